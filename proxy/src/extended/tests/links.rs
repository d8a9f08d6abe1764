//! The links that the cases ask for.

use schemas::feed::{self, Change};
use schemas::link::plan::{
    Beyond, Body, ClickLimit, Condition, Content, LinkKey, Matches, Password, Pick, Plan, Preview,
    Rule, Target as Planned, Test, Variant, Variants,
};

use super::super::*;
use super::NOW;
use crate::table::{Around, GroupSet, SharedTables, Source};

fn redirect(url: &str) -> Planned {
    Planned::Redirect {
        url: url.to_owned(),
        utm: false,
    }
}

fn page(page: u64, destination: &str) -> Option<Planned> {
    Some(Planned::Page {
        page,
        destination: destination.to_owned(),
        utm: false,
    })
}

fn to_link(slug: &str) -> LinkKey {
    LinkKey {
        domain: 1,
        slug: slug.to_owned(),
    }
}

/// A QR code made for a link.
fn code(slug: &str) -> Plan {
    Plan {
        target: Some(Planned::Link(to_link(slug))),
        scan: true,
        ..Plan::default()
    }
}

/// Slug and plan of each link; ids count from 1. Destinations are `https://dest.test/<slug>?own=1`.
pub(super) fn links() -> Vec<(&'static str, Plan)> {
    let picks = |slugs: &[&str]| {
        let pick = |slug: &&str| Pick {
            weight: 1,
            link: to_link(slug),
        };
        Some(Planned::Pick(slugs.iter().map(pick).collect()))
    };
    let ruled = Plan {
        rules: vec![Rule {
            matches: Matches::All,
            conditions: vec![Condition {
                negated: false,
                test: Test::QueryPresent("r".to_owned()),
            }],
            target: redirect("https://rule.test/?r=own"),
        }],
        variants: Some(Variants {
            list: vec![Variant {
                weight: 1,
                target: redirect("https://variant.test/"),
            }],
            ends_at_ms: i64::MAX,
            winner: 0,
        }),
        pass_query: true,
        ..Plan::default()
    };
    let of = |target| Plan {
        target,
        ..Plan::default()
    };
    vec![
        ("plain", Plan::default()),
        ("ruled", ruled),
        ("splash", of(page(1, ""))),
        ("other-splash", of(page(1, "https://x.test/'"))),
        ("no-splash", of(page(99, ""))),
        ("fetched", of(page(3, ""))),
        (
            "gone",
            Plan {
                expired_page: Some(2),
                scan: true,
                ..Plan::default()
            },
        ),
        (
            "app",
            Plan {
                apple: Some("myapp://x".to_owned()),
                google: Some("https://play.test/".to_owned()),
                ..Plan::default()
            },
        ),
        (
            "script",
            Plan {
                apple: Some("javascript:alert(1)".to_owned()),
                ..Plan::default()
            },
        ),
        (
            "card",
            Plan {
                preview: Some(Preview {
                    title: "T<".to_owned(),
                    ..Preview::default()
                }),
                ..Plan::default()
            },
        ),
        (
            "qr/x",
            Plan {
                target: Some(Planned::Link(to_link("ruled"))),
                scan: true,
                ..Plan::default()
            },
        ),
        (
            "r/x",
            of(picks(&["plain", "ruled", "off", "locked", "nowhere"])),
        ),
        ("r/dead", of(picks(&["off", "nowhere"]))),
        ("twice", of(Some(Planned::Link(to_link("qr/x"))))),
        ("lost", of(Some(Planned::Link(to_link("nowhere"))))),
        (
            "locked",
            Plan {
                password: Some(Password {
                    version: 1,
                    phc: "$x".to_owned(),
                }),
                ..Plan::default()
            },
        ),
        (
            "limited",
            Plan {
                click_limit: Some(ClickLimit {
                    max: 5,
                    beyond: Beyond::Expired,
                }),
                ..Plan::default()
            },
        ),
        (
            "body",
            Plan {
                target: Some(Planned::Body(Body {
                    content: Content::Inline(b"{}".to_vec()),
                    content_type: "application/json".to_owned(),
                    disposition: String::new(),
                    csp: String::new(),
                    max_age_s: 60,
                })),
                uncounted: true,
                ..Plan::default()
            },
        ),
        (
            "off",
            Plan {
                scan: true,
                ..Plan::default()
            },
        ),
        ("qr/0000aaaa", code("plain")),
        ("qr/0000bbbb", code("ruled")),
        ("qr/0000cccc", code("locked")),
        (
            "qr/0000dddd",
            Plan {
                scan: false,
                ..code("plain")
            },
        ),
        (
            "doomed",
            Plan {
                deletes_at_ms: Some(NOW),
                password: Some(Password {
                    version: 1,
                    phc: "$argon2id$".to_owned(),
                }),
                ..Plan::default()
            },
        ),
        (
            "ending",
            Plan {
                deletes_at_ms: Some(NOW + 1),
                ..Plan::default()
            },
        ),
        ("r/doomed", of(picks(&["doomed"]))),
    ]
}

pub(super) fn table() -> LinkTable {
    let encoded = (1..).zip(links()).map(|(id, (slug, plan))| {
        let plan = plan.encode().expect("legal");
        let destination = format!("https://dest.test/{slug}?own=1");
        let entry = Entry {
            domain: 1,
            slug: slug.as_bytes(),
            destination: destination.as_bytes(),
            link: id,
            workspace: 7,
            status: Status::PermanentRedirect,
            disabled: slug == "off",
            utm: false,
            starts_at_ms: i64::MIN,
            expires_at_ms: if slug == "gone" { NOW } else { i64::MAX },
            expired_url: b"",
            plan: &plan,
        };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes).expect("legal");
        bytes.into()
    });
    let page = |id, body: &'static [u8]| feed::Page {
        id,
        status: 200,
        content_type: "text/html".to_owned(),
        csp: "default-src 'self'".to_owned(),
        body: body.into(),
        ..feed::Page::default()
    };
    let change = Change {
        seq: 1,
        change: vec![0; 16].into(),
        upsert: encoded.collect(),
        shared: Some(feed::Shared {
            domain: vec![feed::Domain {
                id: 1,
                host: "one.test".to_owned(),
                live: true,
                ..feed::Domain::default()
            }],
            page: vec![
                page(1, b"<a href='\0d'>"),
                page(2, b"over"),
                feed::Page {
                    blob: vec![1; 32].into(),
                    blob_size: 9,
                    ..page(3, b"")
                },
            ],
            ..feed::Shared::default()
        }),
        ..Change::default()
    };
    let empty = LinkTable::empty();
    empty
        .assemble(
            Around {
                version: empty.version(),
                shared: SharedTables::default(),
                sums: empty.sums().into(),
                links: 0,
                missing: GroupSet::none(),
            },
            |_| Source::Keep,
        )
        .expect("empty")
        .apply(&change)
        .expect("legal")
}
