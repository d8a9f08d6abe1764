//! Any plan there and back, and any bytes.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::super::plan::*;
use super::super::view::View;

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
