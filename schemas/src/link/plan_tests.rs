//! Plans there and back, as ever, and hostile ones.

mod any;

use std::net::{Ipv4Addr, Ipv6Addr};

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
