//! Which addresses are public: everything that the registries of special-purpose addresses (RFC 6890 and its successors,
//! as of 2026) do not set apart. What is not known to be public is not.
//!
//! Addresses that carry another one (IPv4-mapped, IPv4-compatible, NAT64, 6to4, Teredo) are refused whatever they carry:
//! a router on the way may unpack them. Only the IPv4-mapped form of a public address is public, for that is how systems
//! write an IPv4 address into an IPv6 socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not public: address and length of the prefix.
const SPECIAL_V4: [(Ipv4Addr, u32); 18] = [
    // "This network", RFC 791
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    // Private, RFC 1918
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Carrier-grade NAT, RFC 6598; clouds put metadata services here
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    // Loopback, RFC 1122
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, RFC 3927; metadata services of most clouds
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Protocol assignments, RFC 6890
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    // Documentation, RFC 5737
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // AS112, RFC 7535 and RFC 7534
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    // AMT, RFC 7450
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    // 6to4 relays, RFC 7526
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    // Benchmarks, RFC 2544
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    // Multicast, RFC 5771
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    // Reserved and broadcast, RFC 1112
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks within 2000::/3 that are not public.
const SPECIAL_V6: [(Ipv6Addr, u32); 5] = [
    // Protocol assignments, RFC 2928: Teredo, benchmarks, ORCHID and others
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    // Documentation, RFC 3849 and RFC 9637
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    // 6to4, RFC 3056
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    // AS112, RFC 7534
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
];

/// Whether anyone on the internet can reach this address, as far as can be told from it.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|(net, length)| {
            let shift = 32 - length;
            u32::from(ip) >> shift == u32::from(*net) >> shift
        }),
        IpAddr::V6(ip) => {
            // Only 2000::/3 is given out: loopback, mapped and compatible addresses, NAT64 (64:ff9b::/96 and
            // 64:ff9b:1::/48), unique local, link-local and multicast lie outside.
            let is_unicast = u128::from(ip) >> 125 == 1;
            let is_special = SPECIAL_V6.iter().any(|(net, length)| {
                let shift = 128 - length;
                u128::from(ip) >> shift == u128::from(*net) >> shift
            });
            is_unicast && !is_special
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: bool) {
        let ip = text.parse().expect("an address");
        assert_eq!(is_public(ip), expected, "{text}");
    }

    #[test]
    fn public_addresses_are_public() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "2001:200::1",
            "2606:4700::1111",
            "2a00::1",
        ] {
            check(ip, true);
        }
    }

    #[test]
    fn private_and_special_addresses_are_not() {
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:a9fe:a9fe",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::101:101",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:101:101::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            check(ip, false);
        }
    }

    proptest! {
        #[test]
        fn no_form_of_an_ipv4_address_is_more_public_than_the_address(bits: u32) {
            let ip = Ipv4Addr::from(bits);
            let is_v4 = is_public(ip.into());
            prop_assert_eq!(is_public(ip.to_ipv6_mapped().into()), is_v4);
            let [a, b, c, d] = ip.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            for v6 in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, !high, !low),
            ] {
                prop_assert!(!is_public(v6.into()), "{}", v6);
            }
            // The standard library's own opinion, where it has one.
            if ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_documentation() || ip.is_unspecified() {
                prop_assert!(!is_v4);
            }
        }
    }
}
