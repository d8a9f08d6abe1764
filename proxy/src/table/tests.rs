//! The table against a plain map.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics has failed, which is its job"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use schemas::feed::{self, Change, Key};
use schemas::link::Status;

use super::*;

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

fn entry(domain: u32, slug: &str, destination: &str) -> Vec<u8> {
    let mut out = Vec::new();
    Entry {
        domain,
        slug: slug.as_bytes(),
        destination: destination.as_bytes(),
        link: 1,
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: b"",
    }
    .encode(&mut out)
    .expect("legal");
    out
}

fn change(table: &LinkTable, upsert: Vec<Vec<u8>>, delete: Vec<(u32, &str)>) -> Change {
    Change {
        seq: table.version().seq + 1,
        change: vec![7; CHANGE_ID_BYTES].into(),
        committed_at_ms: 0,
        upsert: upsert.into_iter().map(Into::into).collect(),
        delete: delete
            .into_iter()
            .map(|(domain, slug)| Key {
                domain,
                slug: slug.as_bytes().to_vec().into(),
            })
            .collect(),
        shared: None,
    }
}

#[track_caller]
fn check_against(table: &LinkTable, model: &Model) {
    assert_eq!(table.links(), model.len() as u64);
    let mut sums = vec![0_u64; GROUPS];
    for ((domain, slug), bytes) in model {
        let group = group_of(key_hash(*domain, slug));
        sums[group] = sums[group].wrapping_add(feed::entry_sum(bytes));
        let Lookup::Found(found) = table.find(*domain, slug) else {
            panic!("{} is lost", String::from_utf8_lossy(slug));
        };
        let expected = Entry::parse(bytes).expect("own bytes");
        assert_eq!(found, expected);
        assert_eq!(found.destination, expected.destination);
    }
    assert_eq!(table.sums(), sums);
    let mut seen = 0;
    table.for_each_in(0..PIECES, |group, bytes| {
        let e = Entry::parse(bytes).expect("own bytes");
        assert_eq!(group, group_of(key_hash(e.domain, e.slug)));
        assert_eq!(
            model.get(&(e.domain, e.slug.to_vec())).map(Vec::as_slice),
            Some(bytes)
        );
        seen += 1;
    });
    assert_eq!(seen, model.len());
}

fn packed_groups(model: &Model) -> Vec<Vec<u8>> {
    let mut groups = vec![Vec::new(); GROUPS];
    for ((domain, slug), bytes) in model {
        groups[group_of(key_hash(*domain, slug))].extend_from_slice(bytes);
    }
    groups
}

fn assembled(model: &Model) -> LinkTable {
    let groups = packed_groups(model);
    let facts: Vec<_> = groups
        .iter()
        .enumerate()
        .map(|(g, packed)| check_group(g, packed).expect("own bytes"))
        .collect();
    LinkTable::empty()
        .assemble(
            Around {
                version: Version::default(),
                shared: SharedTables::default(),
                sums: facts.iter().map(|f| f.sum).collect(),
                links: facts.iter().map(|f| f.links).sum(),
                missing: GroupSet::none(),
            },
            |g| Source::Replace(groups[g].clone().into()),
        )
        .expect("own groups")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Few keys, so that inserts, replacements and deletions of the same link meet often.
    #[test]
    fn the_table_is_a_map(changes in proptest::collection::vec(
        proptest::collection::btree_map((0_u32..3, "[a-d]{1,2}/?"), proptest::option::of("[a-z]{1,40}"), 0..12), 1..30),
    ) {
        let mut table = LinkTable::empty();
        let mut model = Model::new();
        for effects in &changes {
            let (mut upsert, mut delete) = (Vec::new(), Vec::new());
            for ((domain, slug), destination) in effects {
                match destination {
                    Some(destination) => {
                        let bytes = entry(*domain, slug, destination);
                        model.insert((*domain, slug.clone().into_bytes()), bytes.clone());
                        upsert.push(bytes);
                    }
                    None => {
                        model.remove(&(*domain, slug.clone().into_bytes()));
                        delete.push((*domain, slug.as_str()));
                    }
                }
            }
            table = table.apply(&change(&table, upsert, delete)).expect("legal");
        }
        check_against(&table, &model);
        check_against(&assembled(&model), &model);
    }

    #[test]
    fn any_bytes_are_a_group_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), group in 0..GROUPS) {
        let _ = check_group(group, &bytes);
    }
}

#[test]
fn shards_stay_small_and_links_cheap_as_the_table_grows() {
    let mut table = LinkTable::empty();
    let mut bytes = 0;
    let total = 240_000;
    for batch in 0..total / 1000 {
        let upsert: Vec<_> = (0..1000)
            .map(|i| {
                let n = batch * 1000 + i;
                let (slug, destination) =
                    (format!("s{n:06}"), format!("https://example.com/{n:06}"));
                bytes += slug.len() + destination.len();
                entry(1, &slug, &destination)
            })
            .collect();
        table = table.apply(&change(&table, upsert, vec![])).expect("legal");
        assert!(table.fullest_shard() <= 600, "{}", table.fullest_shard());
    }
    assert_eq!(table.links(), total);
    assert!(table.links_at_once() >= 512 / COPIED_AT_ONCE);
    let overhead = (table.memory_bytes() - bytes) as f64 / total as f64;
    assert!(
        overhead < 31.0,
        "{overhead} bytes a link over slug and destination"
    );
}

#[test]
fn the_exact_slug_wins_over_one_trailing_slash() {
    let table = LinkTable::empty();
    let upsert = vec![
        entry(1, "a", "h:a"),
        entry(1, "b", "h:b"),
        entry(1, "b/", "h:slash"),
    ];
    let table = table.apply(&change(&table, upsert, vec![])).expect("legal");
    let destination = |slug: &str| match table.find(1, slug.as_bytes()) {
        Lookup::Found(found) => String::from_utf8(found.destination.to_vec()).expect("ascii"),
        Lookup::Unknown => String::new(),
        Lookup::Missing => "missing".to_owned(),
    };
    assert_eq!(destination("a/"), "h:a");
    assert_eq!(destination("b/"), "h:slash");
    assert_eq!(destination("b"), "h:b");
    assert_eq!(destination("a//"), "");
    assert_eq!(destination("A"), "");
    assert_eq!(destination("/"), "");
    assert_eq!(destination(""), "");
}

#[test]
fn a_bad_change_changes_nothing() {
    let empty = LinkTable::empty();
    let table = empty
        .apply(&change(&empty, vec![entry(1, "a", "h:a")], vec![]))
        .expect("legal");
    let twice = change(
        &table,
        vec![entry(1, "b", "h:1"), entry(1, "b", "h:2")],
        vec![],
    );
    assert!(matches!(table.apply(&twice), Err(Invalid::Duplicate)));
    let both = change(&table, vec![entry(1, "b", "h:1")], vec![(1, "b")]);
    assert!(matches!(table.apply(&both), Err(Invalid::Duplicate)));
    let mut gap = change(&table, vec![], vec![]);
    gap.seq += 1;
    assert!(matches!(table.apply(&gap), Err(Invalid::Gap { .. })));
    gap.seq = table.version().seq;
    assert!(matches!(table.apply(&gap), Err(Invalid::Gap { .. })));
    let mut id = change(&table, vec![], vec![]);
    id.change = vec![0; 15].into();
    assert!(matches!(table.apply(&id), Err(Invalid::ChangeId(15))));
    let garbage = change(&table, vec![b"\xffgarbage".to_vec()], vec![]);
    assert!(matches!(table.apply(&garbage), Err(Invalid::Entry(_))));
    let many = (0..=1000)
        .map(|i| entry(1, &format!("m{i}"), "h:m"))
        .collect();
    assert!(matches!(
        table.apply(&change(&table, many, vec![])),
        Err(Invalid::TooMany(1001))
    ));
    assert!(matches!(table.find(1, b"a"), Lookup::Found(_)));
    assert_eq!(table.links(), 1);
}

#[test]
fn groups_that_are_missing_are_not_called_unknown() {
    let mut model = Model::new();
    for i in 0..50 {
        let slug = format!("s{i}");
        model.insert((1, slug.clone().into_bytes()), entry(1, &slug, "h:x"));
    }
    let table = assembled(&model);
    let lost = group_of(key_hash(1, b"s7"));
    let mut missing = GroupSet::none();
    missing.insert(lost);
    let mut sums = table.sums().to_vec();
    let gone = check_group(lost, &packed_groups(&model)[lost]).expect("own bytes");
    sums[lost] = 0;
    let damaged = table
        .assemble(
            Around {
                version: table.version(),
                shared: SharedTables::default(),
                sums: sums.into(),
                links: table.links() - gone.links,
                missing,
            },
            |g| {
                if g == lost {
                    Source::Replace(bytes::Bytes::new())
                } else {
                    Source::Keep
                }
            },
        )
        .expect("the rest");
    assert!(matches!(damaged.find(1, b"s7"), Lookup::Missing));
    assert!(matches!(
        damaged.find(1, b"s7/"),
        Lookup::Missing | Lookup::Unknown
    ));
    let found = (0..50)
        .filter(|i| {
            matches!(
                damaged.find(1, format!("s{i}").as_bytes()),
                Lookup::Found(_)
            )
        })
        .count() as u64;
    assert_eq!(found, 50 - gone.links);
}

#[test]
fn hosts_swap_in_one_transaction_and_never_belong_to_two() {
    let domain = |id, host: &str| feed::Domain {
        id,
        host: host.to_owned(),
        root_url: "https://root.test/".to_owned(),
        live: true,
        ..Default::default()
    };
    let shared = |domain| feed::Shared {
        domain,
        ..Default::default()
    };
    let first = SharedTables::default()
        .apply(&shared(vec![domain(1, "a.test"), domain(2, "b.test")]))
        .expect("legal");
    let swapped = first
        .apply(&shared(vec![domain(1, "b.test"), domain(2, "a.test")]))
        .expect("legal");
    assert_eq!(swapped.by_host(b"a.test").map(|d| d.id), Some(2));
    assert!(swapped.apply(&shared(vec![domain(3, "a.test")])).is_err());
    for (host, url) in [
        ("a b", ""),
        ("-", ""),
        ("c.test", "https://x\r\nSet-Cookie: a"),
        ("c.test", "é"),
    ] {
        let mut bad = domain(4, host);
        bad.not_found_url = url.to_owned();
        assert!(swapped.apply(&shared(vec![bad])).is_err(), "{host} {url}");
    }
    let back = SharedTables::default()
        .apply(&swapped.to_message())
        .expect("own message");
    assert_eq!(back.by_host(b"a.test"), swapped.by_host(b"a.test"));
}
