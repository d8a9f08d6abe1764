//! Who visited, as far as may be known: a keyed hash that cannot be turned back, and what the policy leaves of an address.

use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemas::feed::Salt;
use siphasher::sip::SipHasher24;

use crate::config::{IpPolicy, UniquePeriod};

/// Length of a salt's key, in bytes.
const KEY_BYTES: usize = 32;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The salt whose time `time_ms` falls into.
pub(super) fn salt_for(salts: &[Salt], time_ms: i64) -> Option<&Salt> {
    salts
        .iter()
        .find(|s| (s.starts_at_ms..s.ends_at_ms).contains(&time_ms) && s.key.len() == KEY_BYTES)
}

/// SipHash-2-4 over workspace, address (an IPv6 network of 64 bits counts as one) and user agent. Half of the salt is
/// the key, the other half goes in front. Workspaces cannot tell whether a visitor of one is one of the other's.
pub(super) fn hash(
    salt: &Salt,
    period: UniquePeriod,
    time_ms: i64,
    workspace: u64,
    ip: IpAddr,
    user_agent: &[u8],
) -> u64 {
    let (key, front) = salt.key.split_at(salt.key.len().min(KEY_BYTES / 2));
    let mut sip_key = [0; KEY_BYTES / 2];
    for (place, byte) in sip_key.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut hasher = SipHasher24::new_with_key(&sip_key);
    hasher.write(front);
    if period == UniquePeriod::Day {
        hasher.write_i64(time_ms.div_euclid(DAY_MS));
    }
    hasher.write_u64(workspace);
    match ip.to_canonical() {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(v6.octets().get(..8).unwrap_or_default()),
    }
    hasher.write(user_agent);
    hasher.finish()
}

/// What of an address is kept: all, its network (/24 of IPv4, /48 of IPv6), or nothing.
pub(super) fn kept_address(policy: IpPolicy, ip: IpAddr) -> String {
    match (policy, ip.to_canonical()) {
        (IpPolicy::None, _) => String::new(),
        (IpPolicy::Full, ip) => ip.to_string(),
        (IpPolicy::Truncate, IpAddr::V4(v4)) => {
            Ipv4Addr::from_bits(v4.to_bits() & !0xff).to_string()
        }
        (IpPolicy::Truncate, IpAddr::V6(v6)) => {
            Ipv6Addr::from_bits(v6.to_bits() & (!0 << 80)).to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn salt(byte: u8, starts_at_ms: i64, ends_at_ms: i64) -> Salt {
        Salt {
            starts_at_ms,
            ends_at_ms,
            key: vec![byte; KEY_BYTES].into(),
        }
    }

    fn of(salt: &Salt, workspace: u64, ip: &str, agent: &str) -> u64 {
        let ip = ip.parse().expect("address");
        hash(
            salt,
            UniquePeriod::Month,
            0,
            workspace,
            ip,
            agent.as_bytes(),
        )
    }

    #[test]
    fn salts_are_chosen_by_time() {
        let salts = [salt(1, 0, 100), salt(2, 100, 200)];
        for (time, expected) in [
            (-1, None),
            (0, Some(1)),
            (99, Some(1)),
            (100, Some(2)),
            (200, None),
        ] {
            assert_eq!(salt_for(&salts, time).map(|s| s.key[0]), expected, "{time}");
        }
        let short = Salt {
            key: vec![1; 31].into(),
            ..salt(1, 0, 100)
        };
        assert!(salt_for(&[short], 5).is_none());
    }

    #[test]
    fn a_visitor_is_the_same_in_one_network_and_one_workspace() {
        let a = salt(1, 0, 1);
        let base = of(&a, 1, "2001:db8::1", "x");
        assert_eq!(base, of(&a, 1, "2001:db8::ffff:1", "x"));
        assert_eq!(
            of(&a, 1, "192.0.2.1", "x"),
            of(&a, 1, "::ffff:192.0.2.1", "x")
        );
        let others = [
            of(&a, 2, "2001:db8::1", "x"),
            of(&a, 1, "2001:db8:0:1::1", "x"),
            of(&a, 1, "2001:db8::1", "y"),
            of(&salt(2, 0, 1), 1, "2001:db8::1", "x"),
            of(&a, 1, "192.0.2.1", "x"),
            of(&a, 1, "192.0.2.2", "x"),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(base, *other, "{i}");
        }
        assert_ne!(others[4], others[5]);
    }

    #[test]
    fn both_halves_of_a_salt_count() {
        for at in [0, 15, 16, 31] {
            let mut key = vec![1; KEY_BYTES];
            key[at] = 2;
            let other = Salt {
                key: key.into(),
                ..salt(1, 0, 1)
            };
            assert_ne!(
                of(&other, 1, "192.0.2.1", "x"),
                of(&salt(1, 0, 1), 1, "192.0.2.1", "x"),
                "{at}"
            );
        }
    }

    #[test]
    fn with_daily_uniques_a_day_makes_another_visitor() {
        let ip = IpAddr::from([192, 0, 2, 1]);
        let at = |period, time_ms| hash(&salt(1, 0, 1), period, time_ms, 1, ip, b"x");
        assert_eq!(at(UniquePeriod::Day, 0), at(UniquePeriod::Day, DAY_MS - 1));
        assert_ne!(at(UniquePeriod::Day, 0), at(UniquePeriod::Day, DAY_MS));
        assert_eq!(at(UniquePeriod::Month, 0), at(UniquePeriod::Month, DAY_MS));
    }

    #[test]
    fn addresses_are_kept_as_the_policy_says() {
        for (policy, ip, expected) in [
            (IpPolicy::Full, "192.0.2.77", "192.0.2.77"),
            (IpPolicy::Full, "::ffff:192.0.2.77", "192.0.2.77"),
            (IpPolicy::Truncate, "192.0.2.77", "192.0.2.0"),
            (IpPolicy::Truncate, "2001:db8:1:2:3::4", "2001:db8:1::"),
            (IpPolicy::None, "192.0.2.77", ""),
            (IpPolicy::None, "2001:db8::1", ""),
        ] {
            assert_eq!(kept_address(policy, ip.parse().expect("address")), expected);
        }
    }
}
