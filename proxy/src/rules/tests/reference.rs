//! The rules once more, over the owned plan, slow and obvious; and that both say the same of any visitor.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

fn decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8_lossy()
        .into_owned()
}

fn parameters(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (name, value) = p.split_once('=').unwrap_or((p, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// The preferred tag: parse all, sort by weight, stable.
fn language(header: &str) -> Option<String> {
    let mut all: Vec<(f32, String)> = header
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let tag = parts.next()?.to_lowercase().replace('_', "-");
            let weight = parts
                .find_map(|p| {
                    p.to_lowercase()
                        .strip_prefix("q=")
                        .map(|q| q.trim().parse().unwrap_or(0.0))
                })
                .unwrap_or(1.0);
            let primary = tag.split('-').next()?;
            let legal = (2..=8).contains(&primary.len())
                && primary.bytes().all(|b| b.is_ascii_alphabetic());
            (legal && weight > 0.0 && weight <= 1.0).then_some((weight, tag))
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().next().map(|(_, tag)| tag)
}

fn bits(ip: IpAddr) -> Vec<bool> {
    let bytes = match ip.to_canonical() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    bytes
        .iter()
        .flat_map(|b| (0..8).rev().map(move |i| b >> i & 1 == 1))
        .collect()
}

fn has(list: &[String], value: &str) -> bool {
    !value.is_empty()
        && list
            .iter()
            .any(|one| one.to_lowercase() == value.to_lowercase())
}

pub(super) fn holds(test: &Test, v: &Visitor) -> bool {
    match test {
        Test::Country(list) => list.iter().any(|c| *c == *v.place[0].as_bytes()),
        Test::Region(list) => has(list, &v.place[1]),
        Test::City(list) => has(list, &v.place[2]),
        Test::Language(list) => language(&v.language).is_some_and(|mine| {
            list.iter().any(|one| {
                let one = one.to_lowercase().replace('_', "-");
                one == mine || !one.contains('-') && mine.split('-').next() == Some(&*one)
            })
        }),
        Test::Device(set) => match v.device {
            Device::Desktop => set.0 & 1 != 0,
            Device::Mobile => set.0 & 2 != 0,
            Device::Tablet => set.0 & 4 != 0,
            Device::Other => set.0 & 8 != 0,
            Device::Bot => false,
        },
        Test::Os(list) => has(list, &v.os),
        Test::Browser(list) => has(list, &v.browser),
        Test::QueryPresent(name) => parameters(&v.query).iter().any(|(n, _)| n == name),
        Test::Query { name, values } => parameters(&v.query)
            .iter()
            .any(|(n, value)| n == name && values.contains(value)),
        Test::Ip(nets) => nets.iter().any(|net| {
            let (mine, theirs) = (bits(v.ip), bits(net.addr));
            mine.len() == theirs.len()
                && mine
                    .iter()
                    .zip(&theirs)
                    .take(net.prefix.into())
                    .all(|(a, b)| a == b)
        }),
        Test::Before(instant) => v.now_ms < *instant,
        Test::After(instant) => v.now_ms >= *instant,
        Test::Clock(clock) => {
            let Ok(zone) = TimeZone::get(&clock.zone) else {
                return false;
            };
            let Ok(now) = jiff::Timestamp::from_millisecond(v.now_ms) else {
                return false;
            };
            let local = now.to_zoned(zone);
            // Every minute of every allowed day, as (weekday, minute of the week from that day on).
            let minute = local.hour() as i64 * 60 + local.minute() as i64;
            let weekday = local.weekday().to_monday_zero_offset() as i64;
            let (from, to) = (i64::from(clock.from_minute), i64::from(clock.to_minute));
            let length = if from < to {
                to - from
            } else {
                1440 - from + to
            };
            (0..7)
                .filter(|day| clock.weekdays >> day & 1 == 1)
                .any(|day| {
                    let since = (weekday * 1440 + minute - day * 1440 - from).rem_euclid(7 * 1440);
                    since < length
                })
        }
    }
}

/// The rule that decides, 1-based.
fn deciding(plan: &Plan, v: &Visitor) -> u16 {
    for (place, rule) in (1..).zip(&plan.rules) {
        let met = |c: &Condition| holds(&c.test, v) != c.negated;
        let all = rule.conditions.iter().filter(|c| !met(c)).count() == 0;
        let any = rule.conditions.iter().filter(|c| met(c)).count() > 0;
        let matched = match rule.matches {
            Matches::All => all,
            Matches::Any => any,
        };
        if matched {
            return place;
        }
    }
    0
}

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn words(list: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(word(list), 1..3)
}

const COUNTRIES: &[&str] = &["DE", "US", "CH", "FR"];
const REGIONS: &[&str] = &["Bavaria", "BAVARIA", "Zürich", "ZÜRICH", "Iowa"];
const TAGS: &[&str] = &["de", "en", "en-GB", "EN-us", "pt-BR", "zh_Hans", "fr"];
const NAMES: &[&str] = &["a", "b", "a b", "A", "ü", ""];
const VALUES: &[&str] = &["", "1", "2", "x y", "ü", "+"];
const SYSTEMS: &[&str] = &["iOS", "ios", "Android", "Windows", "macOS"];
const ZONES: &[&str] = &[
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "America/New_York",
    "No/Where",
    "Pacific/Apia",
];
const QUERIES: &[&str] = &[
    "",
    "a",
    "a=1",
    "a=2&b=1",
    "a+b=x%20y",
    "A=1&a=",
    "%C3%BC=%c3%bc",
    "&&a=+&=1",
    "b=%2B",
    "a=1&a=2",
    "a=%zz",
];
const HEADERS: &[&str] = &[
    "",
    "de",
    "en-GB,en;q=0.9,de;q=0.8",
    "de;q=0.5, en ; q=0.9",
    "*",
    "pt-BR",
    "zh_Hans",
    "EN-US;q=0.3,fr;q=0.30",
    "en;q=0,de;q=0.1",
    "x,de",
];

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        prop::sample::select(&[[10, 0, 0, 1], [10, 0, 1, 1], [192, 0, 2, 1]][..])
            .prop_map(IpAddr::from),
        prop::sample::select(&["2001:db8::1", "2001:db8:1::1", "::1", "::ffff:10.0.0.1"][..])
            .prop_map(|text| text.parse().expect("address")),
    ]
}

fn test() -> impl Strategy<Value = Test> {
    let codes = vec(word(COUNTRIES), 1..3).prop_map(|list| {
        let code = |c: &String| c.as_bytes().try_into().expect("two letters");
        Test::Country(list.iter().map(code).collect())
    });
    let net = (address(), 0u8..=32).prop_map(|(addr, prefix)| {
        let addr = addr.to_canonical();
        let prefix = if addr.is_ipv6() { prefix * 4 } else { prefix };
        Net { addr, prefix }
    });
    prop_oneof![
        codes,
        words(REGIONS).prop_map(Test::Region),
        words(REGIONS).prop_map(Test::City),
        words(TAGS).prop_map(Test::Language),
        (1u8..16).prop_map(|set| Test::Device(Devices(set))),
        words(SYSTEMS).prop_map(Test::Os),
        words(SYSTEMS).prop_map(Test::Browser),
        word(NAMES).prop_map(Test::QueryPresent),
        (word(NAMES), words(VALUES)).prop_map(|(name, values)| Test::Query { name, values }),
        vec(net, 1..3).prop_map(Test::Ip),
        (0i64..2000).prop_map(Test::Before),
        (0i64..2000).prop_map(Test::After),
        (word(ZONES), 0u8..128, 0u16..1440, 0u16..=1440).prop_map(
            |(zone, weekdays, from_minute, to_minute)| Test::Clock(Clock {
                zone,
                weekdays,
                from_minute,
                to_minute
            })
        ),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let conditions = vec(
        (any::<bool>(), test()).prop_map(|(negated, test)| Condition { negated, test }),
        1..4,
    );
    let matches = prop_oneof![Just(Matches::All), Just(Matches::Any)];
    let rule = (matches, conditions).prop_map(|(matches, conditions)| Rule {
        matches,
        conditions,
        target: redirect("https://x"),
    });
    vec(rule, 1..6).prop_map(|rules| Plan {
        rules,
        ..Plan::default()
    })
}

fn visitor() -> impl Strategy<Value = Visitor> {
    let devices = &[
        Device::Desktop,
        Device::Mobile,
        Device::Tablet,
        Device::Bot,
        Device::Other,
    ][..];
    let place = (
        option::of(word(COUNTRIES)),
        option::of(word(REGIONS)),
        option::of(word(REGIONS)),
    );
    let now = prop_oneof![0i64..2000, 1_600_000_000_000i64..1_900_000_000_000];
    (
        now,
        address(),
        word(QUERIES),
        word(HEADERS),
        place,
        prop::sample::select(devices),
        word(SYSTEMS),
        word(SYSTEMS),
    )
        .prop_map(
            |(now_ms, ip, query, language, place, device, os, browser)| Visitor {
                now_ms,
                ip,
                query,
                language,
                place: [place.0, place.1, place.2].map(Option::unwrap_or_default),
                device,
                os,
                browser,
                user_agent: "UA".to_owned(),
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_evaluators_say_the_same(plan in plan(), visitor in visitor()) {
        prop_assert_eq!(visitor.chooses(&plan).0, deciding(&plan, &visitor));
    }
}
