//! One condition.

use std::net::IpAddr;

use schemas::link::plan::{Devices, Net};
use schemas::link::view::{Condition, Test, Texts};

use super::Facts;
use super::query::pairs;
use crate::enrich::{Device, form_decoded, primary};

/// Whether the visit meets it.
pub(super) fn met(condition: &Condition<'_>, facts: &Facts<'_>) -> bool {
    holds(&condition.test, facts) != condition.negated
}

fn holds(test: &Test<'_>, facts: &Facts<'_>) -> bool {
    match test {
        Test::Country(codes) => {
            let country = facts.place().country.as_bytes();
            codes.chunks_exact(2).any(|code| code == country)
        }
        Test::Region(names) => is_one_of(&facts.place().region, names),
        Test::City(names) => is_one_of(&facts.place().city, names),
        Test::Language(tags) => speaks(facts.language(), tags),
        Test::Device(set) => set.has(match facts.agent().device {
            Device::Desktop => Devices::DESKTOP,
            Device::Mobile => Devices::MOBILE,
            Device::Tablet => Devices::TABLET,
            Device::Other => Devices::OTHER,
            Device::Bot => Devices(0),
        }),
        Test::Os(names) => is_one_of(&facts.agent().os, names),
        Test::Browser(names) => is_one_of(&facts.agent().browser, names),
        Test::QueryPresent(name) => pairs(facts.query).any(|(n, _)| form_decoded(n) == *name),
        Test::Query(name, values) => pairs(facts.query)
            .filter(|(n, _)| form_decoded(n) == *name)
            .any(|(_, value)| {
                let value = form_decoded(value);
                values.into_iter().any(|v| v == &*value)
            }),
        Test::Ip(nets) => nets.into_iter().any(|net| is_in(facts.client_ip, net)),
        Test::Before(instant) => facts.now_ms < *instant,
        Test::After(instant) => facts.now_ms >= *instant,
        Test::Clock {
            zone,
            weekdays,
            from_minute,
            to_minute,
        } => {
            let Some((weekday, minute)) = facts.clock(zone) else {
                return false;
            };
            let on = |day: u8| weekdays & (1 << day) != 0;
            if from_minute < to_minute {
                return on(weekday) && (*from_minute..*to_minute).contains(&minute);
            }
            // Past midnight: the hours after it belong to the day before.
            on(weekday) && minute >= *from_minute || on((weekday + 6) % 7) && minute < *to_minute
        }
    }
}

/// Whether a known name is one of these, without regard to case.
fn is_one_of(name: &str, names: &Texts<'_>) -> bool {
    !name.is_empty() && names.into_iter().any(|other| is_same(name, other))
}

fn is_same(name: &str, other: &[u8]) -> bool {
    if name.as_bytes().eq_ignore_ascii_case(other) {
        return true;
    }
    if name.is_ascii() && other.is_ascii() {
        return false;
    }
    let Ok(other) = std::str::from_utf8(other) else {
        return false;
    };
    let lower = |text| str::chars(text).flat_map(char::to_lowercase);
    lower(name).eq(lower(other))
}

fn speaks(tag: &[u8], tags: &Texts<'_>) -> bool {
    let same = |(a, b): (&u8, &u8)| {
        // `zh_Hans` is sent now and then.
        let plain = |byte: &u8| match byte {
            b'_' => b'-',
            byte => byte.to_ascii_lowercase(),
        };
        plain(a) == plain(b)
    };
    !tag.is_empty()
        && tags.into_iter().any(|other| {
            let whole = other.iter().any(|b| matches!(b, b'-' | b'_'));
            let mine = if whole { tag } else { primary(tag) };
            mine.len() == other.len() && mine.iter().zip(other).all(same)
        })
}

fn is_in(ip: IpAddr, net: Net) -> bool {
    match (ip, net.addr.to_canonical()) {
        (IpAddr::V4(ip), IpAddr::V4(addr)) => {
            // A network inside ::ffff:0:0/96 has 96 bits more.
            let prefix = if net.addr.is_ipv6() {
                match net.prefix.checked_sub(96) {
                    Some(prefix) => prefix,
                    None => return true,
                }
            } else {
                net.prefix
            };
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32)));
            (ip.to_bits() ^ addr.to_bits()) & mask.unwrap_or(0) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(addr)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(net.prefix.min(128)));
            (ip.to_bits() ^ addr.to_bits()) & mask.unwrap_or(0) == 0
        }
        _ => false,
    }
}
