//! Conditions, one line a case. Each line is asked of the evaluator, of its negation and of the reference.

use super::reference::holds;
use super::*;

/// Reads `kind arguments` as a test.
fn test(text: &str) -> Test {
    let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
    let list = || rest.split('|').map(str::to_owned).collect::<Vec<_>>();
    match kind {
        "country" => Test::Country(
            rest.split('|')
                .map(|c| c.as_bytes().try_into().expect("code"))
                .collect(),
        ),
        "region" => Test::Region(list()),
        "city" => Test::City(list()),
        "lang" => Test::Language(list()),
        "os" => Test::Os(list()),
        "browser" => Test::Browser(list()),
        "device" => Test::Device(rest.split('|').fold(Devices(0), |set, one| {
            set.and(match one {
                "desktop" => Devices::DESKTOP,
                "mobile" => Devices::MOBILE,
                "tablet" => Devices::TABLET,
                _ => Devices::OTHER,
            })
        })),
        "has" => Test::QueryPresent(rest.to_owned()),
        "query" => {
            let (name, values) = rest.split_once('=').expect("name=values");
            Test::Query {
                name: name.to_owned(),
                values: values.split('|').map(str::to_owned).collect(),
            }
        }
        "ip" => Test::Ip(
            rest.split('|')
                .map(|net| {
                    let (addr, prefix) = net.split_once('/').expect("prefix");
                    Net {
                        addr: addr.parse().expect("address"),
                        prefix: prefix.parse().expect("number"),
                    }
                })
                .collect(),
        ),
        "before" => Test::Before(instant(rest)),
        "after" => Test::After(instant(rest)),
        "clock" => {
            let mut parts = rest.split(' ');
            let mut next = || parts.next().expect("part");
            let zone = next().to_owned();
            let weekdays = next()
                .bytes()
                .zip(0..)
                .fold(0, |set, (b, day)| set | u8::from(b == b'x') << day);
            let mut minute = || {
                let (hour, minute) = next().split_once(':').expect("time");
                hour.parse::<u16>().expect("hour") * 60 + minute.parse::<u16>().expect("minute")
            };
            Test::Clock(Clock {
                zone,
                weekdays,
                from_minute: minute(),
                to_minute: minute(),
            })
        }
        other => panic!("{other}"),
    }
}

pub(super) fn instant(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| {
        text.parse::<jiff::Timestamp>()
            .expect("instant")
            .as_millisecond()
    })
}

#[track_caller]
pub(super) fn check(condition: &str, visitor: &Visitor, expected: bool) {
    let test = test(condition);
    let plan = |negated| Plan {
        rules: vec![Rule {
            matches: Matches::All,
            conditions: vec![Condition {
                negated,
                test: test.clone(),
            }],
            target: redirect("https://x"),
        }],
        ..Plan::default()
    };
    assert_eq!(
        visitor.chooses(&plan(false)).0 == 1,
        expected,
        "{condition}: {visitor:?}"
    );
    assert_eq!(
        visitor.chooses(&plan(true)).0 == 1,
        !expected,
        "not {condition}: {visitor:?}"
    );
    assert_eq!(
        holds(&test, visitor),
        expected,
        "reference of {condition}: {visitor:?}"
    );
}

#[track_caller]
pub(super) fn each(make: impl Fn(&str) -> Visitor, cases: &[(&str, &str, bool)]) {
    for (condition, visitor, expected) in cases {
        check(condition, &make(visitor), *expected);
    }
}

#[test]
fn places() {
    let make = |text: &str| {
        let mut parts = text.split('/').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        Visitor {
            place: [next(), next(), next()],
            ..Visitor::default()
        }
    };
    each(
        make,
        &[
            ("country DE", "DE", true),
            ("country DE", "AT", false),
            ("country DE|AT", "AT", true),
            ("country DE|AT|CH", "CH", true),
            ("country DE|AT|CH", "FR", false),
            ("country DE", "", false),
            ("country ED", "DE", false),
            // The end of one code and the beginning of the next are no code.
            ("country DE|SK", "ES", false),
            ("region Bavaria", "DE/Bavaria", true),
            ("region bavaria", "DE/Bavaria", true),
            ("region BAVARIA", "DE/bavaria", true),
            ("region Bavaria", "DE/Bavarian", false),
            ("region Bavarian", "DE/Bavaria", false),
            ("region Bavaria|Hesse", "DE/Hesse", true),
            ("region Bavaria", "DE", false),
            ("region Zürich", "CH/Zürich", true),
            ("region ZÜRICH", "CH/zürich", true),
            ("region Zurich", "CH/Zürich", false),
            ("region ", "DE", false),
            ("city Köln", "DE/x/Köln", true),
            ("city KÖLN", "DE/x/köln", true),
            ("city Köln|Bonn", "DE/x/Bonn", true),
            ("city Köln", "DE/x/Bonn", false),
            ("city Köln", "DE/Köln/x", false),
            ("city Köln", "DE", false),
            ("city São Paulo", "BR/x/SÃO PAULO", true),
            ("city 東京", "JP/x/東京", true),
            ("city 東京", "JP/x/京都", false),
            ("city İstanbul", "TR/x/istanbul", false),
        ],
    );
}

#[test]
fn languages() {
    let make = |text: &str| Visitor {
        language: text.to_owned(),
        ..Visitor::default()
    };
    each(
        make,
        &[
            ("lang en", "en", true),
            ("lang en", "EN", true),
            ("lang EN", "en", true),
            ("lang en", "en-GB", true),
            ("lang en", "en_GB", true),
            ("lang en-GB", "en-GB", true),
            ("lang en-gb", "EN-gb", true),
            ("lang en_GB", "en-GB", true),
            ("lang en-GB", "en_GB", true),
            ("lang en-GB", "en", false),
            ("lang en-GB", "en-US", false),
            ("lang en-GB", "en-GB-oed", false),
            ("lang en", "de", false),
            ("lang en", "", false),
            ("lang en", "*", false),
            ("lang en", "eng", false),
            ("lang e", "en", false),
            ("lang de|en", "en", true),
            ("lang de|fr", "en", false),
            ("lang en", "de,en", false),
            ("lang de", "de,en", true),
            ("lang en", "de;q=0.8,en;q=0.9", true),
            ("lang de", "de;q=0.8,en;q=0.9", false),
            ("lang en", "de;q=0.8,en", true),
            ("lang en", "de-CH,de;q=0.9,en;q=0.8", false),
            ("lang de", "de-CH,de;q=0.9,en;q=0.8", true),
            ("lang de-CH", "de-CH,de;q=0.9,en;q=0.8", true),
            ("lang de-AT", "de-CH,de;q=0.9,en;q=0.8", false),
            ("lang en", "en;q=0", false),
            ("lang de", "en;q=0,de;q=0.1", true),
            ("lang de", "en;q=2,de;q=0.1", true),
            ("lang de", "en;q=nan,de;q=0.1", true),
            ("lang en", " en ; q=0.5 ", true),
            ("lang en", "en;q=0.5,de;q=0.5", true),
            ("lang de", "en;q=0.5,de;q=0.5", false),
            ("lang pt", "*;q=1,pt-BR;q=0.1", true),
            ("lang zh-Hans", "zh-Hans-CN", false),
            ("lang zh", "zh-Hans-CN", true),
            ("lang en", "x,12,<script>", false),
            ("lang en", "i-klingon,en;q=0.1", true),
            ("lang fr|de", "en;q=0.1,fr;q=0.2,de;q=0.3", true),
            ("lang en|fr", "en;q=0.1,fr;q=0.2,de;q=0.3", false),
            ("lang en", ",,en", true),
            ("lang en", "en;level=1;q=0.1,de;q=0.2", false),
            ("lang sr-Latn", "SR-latn;q=1.0", true),
            ("lang sr", "sr-Latn-RS", true),
        ],
    );
}

#[test]
fn devices_and_programs() {
    let make = |text: &str| {
        let mut parts = text.split('/');
        let mut next = || parts.next().unwrap_or_default();
        Visitor {
            device: match next() {
                "desktop" => Device::Desktop,
                "mobile" => Device::Mobile,
                "tablet" => Device::Tablet,
                "bot" => Device::Bot,
                _ => Device::Other,
            },
            os: next().to_owned(),
            browser: next().to_owned(),
            ..Visitor::default()
        }
    };
    each(
        make,
        &[
            ("device desktop", "desktop", true),
            ("device desktop", "mobile", false),
            ("device mobile", "mobile", true),
            ("device tablet", "tablet", true),
            ("device tablet", "mobile", false),
            ("device mobile|tablet", "tablet", true),
            ("device mobile|tablet", "mobile", true),
            ("device mobile|tablet", "desktop", false),
            ("device other", "other", true),
            ("device other", "bot", false),
            ("device desktop|mobile|tablet|other", "bot", false),
            ("device desktop|mobile|tablet|other", "other", true),
            ("os iOS", "mobile/iOS", true),
            ("os ios", "mobile/iOS", true),
            ("os IOS", "mobile/iOS", true),
            ("os iOS", "mobile/Android", false),
            ("os iOS|Android", "mobile/Android", true),
            ("os Windows", "desktop/Windows", true),
            ("os Windows", "desktop/Windows Phone", false),
            ("os Windows 10", "desktop/Windows", false),
            ("os iOS", "bot", false),
            ("os macOS|Linux", "desktop/Linux", true),
            ("browser Chrome", "desktop/Windows/Chrome", true),
            ("browser chrome", "desktop/Windows/Chrome", true),
            ("browser Chrome", "desktop/Windows/Edge", false),
            ("browser Edge|Chrome", "desktop/Windows/Edge", true),
            ("browser Chrome", "bot", false),
            (
                "browser Samsung Internet",
                "mobile/Android/Samsung Internet",
                true,
            ),
            ("browser Samsung", "mobile/Android/Samsung Internet", false),
        ],
    );
}
