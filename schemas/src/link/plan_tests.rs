//! Plans there and back, as ever, and hostile ones.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::plan::*;
use super::view::View;
use super::{Entry, EntryError, Status};

fn redirect(url: &str) -> Target {
    Target::Redirect {
        url: url.to_owned(),
        utm: false,
    }
}

fn one(test: Test) -> Vec<Condition> {
    vec![Condition {
        negated: false,
        test,
    }]
}

/// Everything once.
fn full() -> Plan {
    let not = |test| Condition {
        negated: true,
        test,
    };
    let is = |test| Condition {
        negated: false,
        test,
    };
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    Plan {
        rules: vec![
            Rule {
                matches: Matches::All,
                conditions: vec![
                    is(Test::Country(vec![*b"DE", *b"AT"])),
                    not(Test::Region(texts(&["Bavaria"]))),
                    is(Test::City(texts(&["Köln", "Wien"]))),
                    is(Test::Language(texts(&["de", "pt-BR"]))),
                    is(Test::Device(Devices::MOBILE.and(Devices::TABLET))),
                    is(Test::Os(texts(&["iOS"]))),
                    not(Test::Browser(texts(&["Safari"]))),
                ],
                target: redirect("https://a.test/"),
            },
            Rule {
                matches: Matches::Any,
                conditions: vec![
                    is(Test::QueryPresent("ref".to_owned())),
                    is(Test::Query {
                        name: "a b".to_owned(),
                        values: texts(&["1", ""]),
                    }),
                    is(Test::Ip(vec![
                        Net {
                            addr: Ipv4Addr::new(192, 0, 2, 0).into(),
                            prefix: 24,
                        },
                        Net {
                            addr: Ipv6Addr::LOCALHOST.into(),
                            prefix: 128,
                        },
                    ])),
                    is(Test::Before(-5)),
                    is(Test::After(1_700_000_000_000)),
                    is(Test::Clock(Clock {
                        zone: "Europe/Berlin".to_owned(),
                        weekdays: 0b001_1111,
                        from_minute: 540,
                        to_minute: 1440,
                    })),
                ],
                target: Target::Page {
                    page: 9,
                    destination: "https://b.test/?utm_source=x".to_owned(),
                    utm: true,
                },
            },
        ],
        variants: Some(Variants {
            list: vec![
                Variant {
                    weight: 3,
                    target: Target::Link(LinkKey {
                        domain: 1,
                        slug: "x".to_owned(),
                    }),
                },
                Variant {
                    weight: 0,
                    target: Target::Pick(vec![Pick {
                        weight: 1,
                        link: LinkKey {
                            domain: 2,
                            slug: "y/z".to_owned(),
                        },
                    }]),
                },
                Variant {
                    weight: 1,
                    target: Target::File(File {
                        key: "ab/cd".to_owned(),
                        name: "Prüfung.pdf".to_owned(),
                        content_type: "application/pdf".to_owned(),
                        size: 1 << 40,
                        etag: "v1".to_owned(),
                    }),
                },
            ],
            ends_at_ms: 1_800_000_000_000,
            winner: 2,
        }),
        target: Some(Target::Body(Body {
            content: Content::Blob {
                hash: [7; 32],
                size: 5000,
            },
            content_type: "image/png".to_owned(),
            disposition: "attachment; filename=\"a.png\"".to_owned(),
            csp: "default-src 'none'".to_owned(),
            max_age_s: 300,
        })),
        password: Some(Password {
            version: 3,
            phc: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        }),
        click_limit: Some(ClickLimit {
            max: 100,
            beyond: Beyond::Url("https://over.test/".to_owned()),
        }),
        expired_page: Some(12),
        pass_query: true,
        scan: true,
        uncounted: false,
        apple: Some("https://apps.apple.com/app/id1".to_owned()),
        google: Some("intent://x#Intent;scheme=y;end".to_owned()),
        preview: Some(Preview {
            title: "T & <t>".to_owned(),
            description: "Ü".to_owned(),
            image: "https://i.test/a.png".to_owned(),
        }),
        deletes_at_ms: None,
    }
}

#[test]
fn golden_plans_read_as_ever() {
    // Never edited: a new version of the format adds its own.
    let v1 = include_str!("../../golden/link_plan_v1.hex").trim();
    let bytes = full().encode().expect("legal");
    assert_eq!(hex::encode(&bytes), v1);
    assert_eq!(Plan::decode(&bytes), Ok(full()));
}

#[test]
fn golden_plans_with_a_deletion_read_as_ever() {
    // Never edited: a new version of the format adds its own.
    let v1 = include_str!("../../golden/link_plan_deleted_v1.hex").trim();
    let plan = Plan {
        deletes_at_ms: Some(1_900_000_000_123),
        ..full()
    };
    let bytes = plan.encode().expect("legal");
    assert_eq!(hex::encode(&bytes), v1);
    assert_eq!(Plan::decode(&bytes), Ok(plan));
}

#[test]
fn an_entry_carries_its_plan() {
    let plan = full().encode().expect("legal");
    let entry = Entry {
        domain: 1,
        slug: b"a",
        destination: b"",
        link: 1,
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: &plan,
    };
    let mut bytes = Vec::new();
    entry.encode(&mut bytes).expect("a target of its own");
    assert_eq!(Entry::parse(&bytes), Ok(entry));
    for cut in 0..bytes.len() {
        assert!(Entry::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    // Without a target in the plan there must be a destination.
    let bare = Plan {
        scan: true,
        ..Plan::default()
    };
    let plan = bare.encode().expect("legal");
    let entry = Entry {
        plan: &plan,
        ..entry
    };
    assert_eq!(entry.encode(&mut Vec::new()), Err(EntryError::Limit));
    let entry = Entry {
        plan: b"\x63\x00",
        destination: b"https://a",
        ..entry
    };
    assert_eq!(
        entry.encode(&mut Vec::new()),
        Err(EntryError::Unknown(0x63))
    );
}

#[test]
fn an_empty_plan_is_no_bytes() {
    assert!(Plan::default().is_empty());
    assert_eq!(Plan::default().encode(), Ok(Vec::new()));
    assert_eq!(Plan::decode(&[]), Ok(Plan::default()));
}

#[test]
fn hostile_plans_are_refused() {
    for (bytes, why) in [
        (&b"\x0c\x00"[..], EntryError::Unknown(12)),
        (b"\x0b\x00", EntryError::Short),
        (b"\x00\x00", EntryError::Order(0)),
        (b"\x07\x01\x08", EntryError::Unknown(8)),
        (b"\x07\x01\x01\x07\x01\x01", EntryError::Order(7)),
        (b"\x06\x01\x01\x05\x02\x01\x00", EntryError::Order(5)),
        (b"\x06\x02\x01\x01", EntryError::Trailing(1)),
        (b"\x06\x00", EntryError::Short),
        (b"\x08\x02 a", EntryError::Destination),
        (b"\x05\x02\x01\x03", EntryError::Unknown(3)),
        (b"\x03\x01\x09", EntryError::Unknown(9)),
        (b"\x03\x03\x01\x02a", EntryError::Unknown(2)),
        // A redirect without a URL.
        (b"\x03\x03\x01\x00\x00", EntryError::Limit),
        // A header with a line break.
        (b"\x04\x04\x01\x02a\n", EntryError::Text),
        // A rule without conditions, one of an unknown kind.
        (b"\x01\x06\x00\x00\x01\x00\x01a", EntryError::Limit),
        (
            b"\x01\x08\x00\x02\x7f\x00\x01\x00\x01a",
            EntryError::Unknown(0x7f),
        ),
        // A winner that is none of the variants.
        (
            b"\x02\x0e\0\0\0\0\0\0\0\0\x02\x01\x01\x00\x01a",
            EntryError::Limit,
        ),
    ] {
        assert_eq!(View::parse(bytes), Err(why), "{bytes:x?}");
    }
    let check = |plan: &Plan| assert!(plan.encode().is_err(), "{plan:?}");
    let with = |target| Plan {
        target: Some(target),
        ..Plan::default()
    };
    let ruled = |test| Plan {
        rules: vec![Rule {
            matches: Matches::All,
            conditions: one(test),
            target: redirect("https://a"),
        }],
        ..Plan::default()
    };
    check(&with(redirect("https://a\r\nX: y")));
    check(&with(redirect(&"a".repeat(9000))));
    check(&with(Target::Pick(Vec::new())));
    check(&ruled(Test::Country(vec![*b"de"])));
    check(&ruled(Test::Country(Vec::new())));
    check(&ruled(Test::Device(Devices(0))));
    check(&ruled(Test::Device(Devices(16))));
    check(&ruled(Test::City(vec!["x".repeat(257)])));
    check(&ruled(Test::Ip(vec![Net {
        addr: Ipv4Addr::LOCALHOST.into(),
        prefix: 33,
    }])));
    check(&Plan {
        rules: vec![full().rules[0].clone(); MAX_RULES + 1],
        ..Plan::default()
    });
    check(&Plan {
        rules: vec![
            Rule {
                target: redirect(&format!("https://{}", "a".repeat(8000))),
                ..full().rules[0].clone()
            };
            5
        ],
        ..Plan::default()
    });
}

fn url() -> impl Strategy<Value = String> {
    "[!-~]{1,40}"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec("\\PC{0,8}", 1..4)
}

fn net() -> impl Strategy<Value = Net> {
    prop_oneof![
        (any::<[u8; 4]>(), 0u8..=32).prop_map(|(a, prefix)| Net {
            addr: a.into(),
            prefix
        }),
        (any::<[u8; 16]>(), 0u8..=128).prop_map(|(a, prefix)| Net {
            addr: a.into(),
            prefix
        }),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    let letter = b'A'..=b'Z';
    prop_oneof![
        vec((letter.clone(), letter).prop_map(|(a, b)| [a, b]), 1..5).prop_map(Test::Country),
        texts().prop_map(Test::Region),
        texts().prop_map(Test::City),
        texts().prop_map(Test::Language),
        (1u8..16).prop_map(|set| Test::Device(Devices(set))),
        texts().prop_map(Test::Os),
        texts().prop_map(Test::Browser),
        "\\PC{0,8}".prop_map(Test::QueryPresent),
        ("\\PC{0,8}", texts()).prop_map(|(name, values)| Test::Query { name, values }),
        vec(net(), 1..4).prop_map(Test::Ip),
        any::<i64>().prop_map(Test::Before),
        any::<i64>().prop_map(Test::After),
        ("[A-Za-z/]{1,20}", 0u8..128, 0u16..1440, 0u16..=1440).prop_map(
            |(zone, weekdays, from_minute, to_minute)| Test::Clock(Clock {
                zone,
                weekdays,
                from_minute,
                to_minute
            })
        ),
    ]
}

fn key() -> impl Strategy<Value = LinkKey> {
    (any::<u32>(), "[a-zä/]{1,20}").prop_map(|(domain, slug)| LinkKey { domain, slug })
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        vec(any::<u8>(), 0..50).prop_map(Content::Inline),
        (any::<[u8; 32]>(), 0..=MAX_BLOB_BYTES)
            .prop_map(|(hash, size)| Content::Blob { hash, size }),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (url(), any::<bool>()).prop_map(|(url, utm)| Target::Redirect { url, utm }),
        (any::<u64>(), "[!-~]{0,20}", any::<bool>()).prop_map(|(page, destination, utm)| {
            Target::Page {
                page,
                destination,
                utm,
            }
        }),
        (
            content(),
            "[ -~]{1,20}",
            "[ -~]{0,20}",
            "[ -~]{0,20}",
            any::<u32>()
        )
            .prop_map(
                |(content, content_type, disposition, csp, max_age_s)| Target::Body(Body {
                    content,
                    content_type,
                    disposition,
                    csp,
                    max_age_s
                })
            ),
        (
            "[a-f0-9/]{1,20}",
            "[a-zü.]{1,20}",
            "[a-z/]{1,20}",
            any::<u64>(),
            "[a-f0-9]{1,20}"
        )
            .prop_map(|(key, name, content_type, size, etag)| Target::File(File {
                key,
                name,
                content_type,
                size,
                etag
            })),
        key().prop_map(Target::Link),
        vec(
            (1..=MAX_WEIGHT, key()).prop_map(|(weight, link)| Pick { weight, link }),
            1..5
        )
        .prop_map(Target::Pick),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let conditions = vec(
        (any::<bool>(), test()).prop_map(|(negated, test)| Condition { negated, test }),
        1..4,
    );
    let matches = prop_oneof![Just(Matches::All), Just(Matches::Any)];
    (matches, conditions, target()).prop_map(|(matches, conditions, target)| Rule {
        matches,
        conditions,
        target,
    })
}

fn variants() -> impl Strategy<Value = Variants> {
    let list = vec(
        (0..=MAX_WEIGHT, target()).prop_map(|(weight, target)| Variant { weight, target }),
        1..4,
    );
    (list, any::<i64>(), 0u16..4).prop_map(|(list, ends_at_ms, winner)| Variants {
        winner: winner.min(list.len() as u16),
        list,
        ends_at_ms,
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let gates = (
        option::of(
            (any::<u32>(), "[!-~]{1,80}").prop_map(|(version, phc)| Password { version, phc }),
        ),
        option::of(
            (
                any::<u64>(),
                prop_oneof![
                    Just(Beyond::Expired),
                    url().prop_map(Beyond::Url),
                    any::<u64>().prop_map(Beyond::Page)
                ],
            )
                .prop_map(|(max, beyond)| ClickLimit { max, beyond }),
        ),
        option::of(any::<u64>()),
    );
    let rest = (
        any::<[bool; 3]>(),
        option::of(url()),
        option::of(url()),
        option::of(("\\PC{0,8}", "\\PC{0,8}", "[!-~]{0,20}").prop_map(
            |(title, description, image)| Preview {
                title,
                description,
                image,
            },
        )),
        option::of(any::<i64>()),
    );
    (
        vec(rule(), 0..4),
        option::of(variants()),
        option::of(target()),
        gates,
        rest,
    )
        .prop_map(|(rules, variants, target, gates, rest)| {
            let (password, click_limit, expired_page) = gates;
            let ([pass_query, scan, uncounted], apple, google, preview, deletes_at_ms) = rest;
            Plan {
                rules,
                variants,
                target,
                password,
                click_limit,
                expired_page,
                pass_query,
                scan,
                uncounted,
                apple,
                google,
                preview,
                deletes_at_ms,
            }
        })
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(plan in plan()) {
        let bytes = plan.encode().expect("legal");
        prop_assert_eq!(Plan::decode(&bytes), Ok(plan));
    }

    #[test]
    fn damaged_plans_are_read_or_refused(plan in plan(), at: prop::sample::Index, to: u8) {
        let mut bytes = plan.encode().expect("legal");
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        walk(&bytes);
        if let Ok(plan) = Plan::decode(&bytes) {
            // What is accepted can be said again.
            prop_assert!(plan.encode().is_ok());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        walk(&bytes);
        let _ = View::parse(&bytes);
    }
}

/// Reads everything without having it checked first, as a damaged table would be.
fn walk(bytes: &[u8]) {
    let Ok(view) = View::read(bytes) else {
        return;
    };
    for rule in view.rules() {
        assert!(rule.conditions.count() <= bytes.len());
    }
    if let Some(variants) = view.variants() {
        assert!(variants.list.count() <= bytes.len());
    }
    let _ = view.target();
}
