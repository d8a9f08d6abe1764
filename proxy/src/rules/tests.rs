//! Conditions one line a case, choices, and a second evaluator.

mod cases;
mod circumstances;
mod reference;

use std::sync::Arc;

use schemas::link::plan::{
    Clock, Condition, Devices, Net, Pick, Plan, Rule, Target as Planned, Test, Variant, Variants,
};

use super::*;
use crate::enrich::{Agent, Agents, Databases, Device, Known, Place};
use crate::request::Head;

thread_local! {
    static SENSES: Senses = Senses::new(&Known {
        geo: Databases::default(),
        agents: Agents::new().expect("matchers"),
    });
}

/// A visitor as tests describe one.
#[derive(Debug, Clone)]
struct Visitor {
    now_ms: i64,
    ip: std::net::IpAddr,
    query: String,
    language: String,
    /// Country, region, city.
    place: [String; 3],
    device: Device,
    os: String,
    browser: String,
    user_agent: String,
}

impl Default for Visitor {
    fn default() -> Self {
        Self {
            now_ms: 0,
            ip: [192, 0, 2, 1].into(),
            query: String::new(),
            language: String::new(),
            place: Default::default(),
            device: Device::Desktop,
            os: "Windows".to_owned(),
            browser: "Chrome".to_owned(),
            user_agent: "UA".to_owned(),
        }
    }
}

impl Visitor {
    /// What `f` makes of this visitor's facts.
    fn with<T>(&self, f: impl FnOnce(&Facts<'_>) -> T) -> T {
        let request = http::Request::get(format!("/a?{}", self.query))
            .header("accept-language", &self.language)
            .header("user-agent", &self.user_agent);
        let (parts, ()) = request.body(()).expect("request").into_parts();
        let head = Head::of(&parts, self.ip);
        SENSES.with(|senses| {
            let facts = Facts::new(&head, self.now_ms, senses);
            let [country, region, city] = self.place.clone();
            let place = Place {
                country,
                region,
                city,
            };
            facts.place.set(place).expect("new");
            let agent = Agent {
                device: self.device,
                os: self.os.clone(),
                os_version: String::new(),
                browser: self.browser.clone(),
                browser_version: String::new(),
                bot: None,
            };
            facts.agent.set(Arc::new(agent)).expect("new");
            f(&facts)
        })
    }

    /// What is chosen: rule, variant, and where to.
    fn chooses(&self, plan: &Plan) -> (u16, u16, String) {
        let bytes = plan.encode().expect("legal");
        let view = View::parse(&bytes).expect("own bytes");
        let choice = self.with(|facts| choose(&view, 5, facts));
        let to = match choice.to {
            To::Destination => "destination".to_owned(),
            To::App(url) => format!("app {}", String::from_utf8_lossy(url)),
            To::Target(Target::Redirect { url, .. }) => String::from_utf8_lossy(url).into_owned(),
            To::Target(other) => format!("{other:?}"),
        };
        (choice.rule, choice.variant, to)
    }
}

fn redirect(url: &str) -> Planned {
    Planned::Redirect {
        url: url.to_owned(),
        utm: false,
    }
}

fn is(test: Test) -> Condition {
    Condition {
        negated: false,
        test,
    }
}

fn rule(matches: Matches, tests: Vec<Test>, url: &str) -> Rule {
    Rule {
        matches,
        conditions: tests.into_iter().map(is).collect(),
        target: redirect(url),
    }
}

#[track_caller]
fn check_choice(plan: &Plan, visitor: &Visitor, expected: (u16, u16, &str)) {
    let (rule, variant, to) = visitor.chooses(plan);
    assert_eq!((rule, variant, to.as_str()), expected);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let present = |name: &str| Test::QueryPresent(name.to_owned());
    let plan = Plan {
        rules: vec![
            rule(Matches::All, vec![present("a"), present("b")], "https://ab"),
            rule(
                Matches::Any,
                vec![present("a"), present("c")],
                "https://a-or-c",
            ),
            rule(Matches::All, vec![present("b")], "https://b"),
        ],
        target: Some(redirect("https://else")),
        ..Plan::default()
    };
    let of = |query: &str| Visitor {
        query: query.to_owned(),
        ..Visitor::default()
    };
    check_choice(&plan, &of("a&b"), (1, 0, "https://ab"));
    check_choice(&plan, &of("a"), (2, 0, "https://a-or-c"));
    check_choice(&plan, &of("b&c"), (2, 0, "https://a-or-c"));
    check_choice(&plan, &of("b"), (3, 0, "https://b"));
    check_choice(&plan, &of("d"), (0, 0, "https://else"));
    let plan = Plan {
        target: None,
        ..plan
    };
    check_choice(&plan, &of("d"), (0, 0, "destination"));
}

#[test]
fn apps_come_after_rules_and_before_variants() {
    let plan = Plan {
        rules: vec![rule(
            Matches::All,
            vec![Test::QueryPresent("r".to_owned())],
            "https://rule",
        )],
        variants: Some(Variants {
            list: vec![Variant {
                weight: 1,
                target: redirect("https://variant"),
            }],
            ends_at_ms: i64::MAX,
            winner: 0,
        }),
        apple: Some("app://apple".to_owned()),
        google: Some("app://google".to_owned()),
        ..Plan::default()
    };
    let on = |os: &str, query: &str| Visitor {
        os: os.to_owned(),
        query: query.to_owned(),
        ..Visitor::default()
    };
    check_choice(&plan, &on("iOS", ""), (0, 0, "app app://apple"));
    check_choice(&plan, &on("Android", ""), (0, 0, "app app://google"));
    check_choice(&plan, &on("Windows", ""), (0, 1, "https://variant"));
    check_choice(&plan, &on("iOS", "r"), (1, 0, "https://rule"));
    let plan = Plan {
        apple: None,
        ..plan
    };
    check_choice(&plan, &on("iOS", ""), (0, 1, "https://variant"));
}

fn split(weights: &[u32]) -> Plan {
    let variant = |(n, weight): (usize, &u32)| Variant {
        weight: *weight,
        target: redirect(&format!("https://{}", n + 1)),
    };
    Plan {
        variants: Some(Variants {
            list: weights.iter().enumerate().map(variant).collect(),
            ends_at_ms: 1000,
            winner: 2,
        }),
        ..Plan::default()
    }
}

fn visitors(count: u32) -> impl Iterator<Item = Visitor> {
    (0..count).map(|n| Visitor {
        ip: std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(),
        ..Visitor::default()
    })
}

#[test]
fn variants_fall_by_weight_and_stay_with_a_visitor() {
    let plan = split(&[1, 3, 0]);
    let mut counts = [0; 3];
    for visitor in visitors(4000) {
        let (_, variant, _) = visitor.chooses(&plan);
        assert_eq!(visitor.chooses(&plan).1, variant);
        // Another address of the same network of IPv6 is the same visitor; another user agent is not always.
        counts[usize::from(variant) - 1] += 1;
    }
    assert!(
        (900..1100).contains(&counts[0]) && counts[2] == 0,
        "{counts:?}"
    );
    let six = |ip: &str| Visitor {
        ip: ip.parse().expect("address"),
        ..Visitor::default()
    };
    for n in 0..50 {
        let one = six(&format!("2001:db8:0:{n:x}::1")).chooses(&plan);
        assert_eq!(
            one,
            six(&format!("2001:db8:0:{n:x}:ffff::2")).chooses(&plan)
        );
    }
}

#[test]
fn a_change_of_weights_moves_no_more_visitors_than_it_must() {
    let (before, after) = (split(&[1, 1, 1]), split(&[1, 1, 2]));
    let mut moved = 0;
    for visitor in visitors(3000) {
        let (old, new) = (visitor.chooses(&before).1, visitor.chooses(&after).1);
        if old != new {
            moved += 1;
            assert_eq!(new, 3, "only to the variant that grew");
        }
    }
    // From a third to a half: a sixth of all.
    assert!((400..600).contains(&moved), "{moved}");
}

#[test]
fn after_the_end_the_winner_gets_everyone() {
    let plan = split(&[1, 3, 0]);
    let at = |now_ms| Visitor {
        now_ms,
        ..Visitor::default()
    };
    check_choice(&plan, &at(1000), (0, 2, "https://2"));
    let none = Plan {
        variants: plan.variants.clone().map(|v| Variants { winner: 0, ..v }),
        ..plan.clone()
    };
    check_choice(&none, &at(1000), (0, 0, "destination"));
    assert_ne!(at(999).chooses(&none).1, 0);
    check_choice(&split(&[0, 0]), &at(0), (0, 0, "destination"));
}

#[test]
fn links_come_in_turn_by_weight() {
    let pick = |weight, slug: &str| Pick {
        weight,
        link: schemas::link::plan::LinkKey {
            domain: 1,
            slug: slug.to_owned(),
        },
    };
    let order = |picks: Vec<Pick>, number: u64| {
        let plan = Plan {
            target: Some(Planned::Pick(picks)),
            ..Plan::default()
        };
        let bytes = plan.encode().expect("legal");
        let Some(Target::Pick(list)) = View::parse(&bytes).expect("own").target() else {
            panic!("a pick");
        };
        turn(list, number)
            .map(|p| String::from_utf8_lossy(p.slug).into_owned())
            .collect::<Vec<_>>()
    };
    let mut firsts = [0; 3];
    for number in 0..300 {
        let order = order(vec![pick(1, "a"), pick(1, "b"), pick(2, "c")], number);
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(sorted, ["a", "b", "c"]);
        firsts[usize::from(order[0].as_bytes()[0] - b'a')] += 1;
    }
    assert!(
        (70..80).contains(&firsts[0]) && (145..155).contains(&firsts[2]),
        "{firsts:?}"
    );
    // Few visits meet both of two links, wherever they begin.
    for start in 0..1000 {
        let mut seen: Vec<_> = (start..start + 3)
            .map(|n| order(vec![pick(1, "a"), pick(1, "b")], n)[0].clone())
            .collect();
        seen.dedup();
        assert!(seen.len() > 1, "{start}");
    }
    assert_eq!(order(vec![pick(1_000_000, "a")], u64::MAX), ["a"]);
}

#[test]
fn queries_are_merged_and_never_replace_the_owners() {
    let check = |destination: &str, query: &str, expected: &str| {
        let merged = with_query(destination.as_bytes(), query.as_bytes());
        let merged = merged.map_or_else(
            || destination.to_owned(),
            |m| String::from_utf8(m).expect("ascii"),
        );
        assert_eq!(merged, expected, "{destination} + {query}");
    };
    check("https://a.test", "", "https://a.test");
    check("https://a.test", "x=1", "https://a.test?x=1");
    check("https://a.test/p", "x=1&y", "https://a.test/p?x=1&y");
    check("https://a.test/?b=2", "x=1", "https://a.test/?b=2&x=1");
    check(
        "https://a.test/?b=2#f?x",
        "x=1",
        "https://a.test/?b=2&x=1#f?x",
    );
    check("https://a.test/?", "x=1", "https://a.test/?x=1");
    check("https://a.test/?b&", "x=1", "https://a.test/?b&x=1");
    check(
        "https://a.test/?utm_source=own",
        "utm_source=theirs&x=1",
        "https://a.test/?utm_source=own&x=1",
    );
    check(
        "https://a.test/?utm_source=own",
        "utm%5Fsource=theirs",
        "https://a.test/?utm_source=own",
    );
    check("https://a.test/?a+b=1", "a%20b=2", "https://a.test/?a+b=1");
    check("https://a.test/?b=2", "B=3", "https://a.test/?b=2&B=3");
    check("https://a.test/", "x=1&x=2", "https://a.test/?x=1&x=2");
    check("https://a.test/", "&&x=1&&", "https://a.test/?x=1");
    check(
        "https://a.test/",
        "x=%0d%0a<'\"`",
        "https://a.test/?x=%0d%0a%3C%27%22%60",
    );
    check("https://a.test/", "qr=0000aaaa", "https://a.test/");
    check(
        "https://a.test/",
        "x=1&qr=0000aaaa&qr=no",
        "https://a.test/?x=1&qr=no",
    );
    check("https://a.test/", "=1", "https://a.test/?=1");
    check("app://x", "x=1", "app://x");
    check("mailto:a@b.test", "x=1", "mailto:a@b.test");
    let many = "a&".repeat(101);
    check("https://a.test/", &many, "https://a.test/");
    let long = format!("x={}", "y".repeat(9000));
    check("https://a.test/", &long, "https://a.test/");
    assert_eq!(
        with_query(b"https://a.test/", b"x=\xff\n").expect("merged"),
        b"https://a.test/?x=%FF%0A"
    );
}
