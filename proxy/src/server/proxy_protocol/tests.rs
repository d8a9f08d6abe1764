use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(bytes: &[u8], visitor: Option<&str>, tls: bool) {
    let visitor = visitor.map(|ip| ip.parse().expect("address"));
    let said = Said { visitor, tls };
    assert_eq!(read(bytes), Read::Header(said, bytes.len()), "{bytes:?}");
    let with_more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(read(&with_more), Read::Header(said, bytes.len()));
    for cut in 0..bytes.len() {
        match read(&bytes[..cut]) {
            Read::Incomplete(more) => assert!((1..=bytes.len() - cut).contains(&more)),
            other => panic!("{other:?} for {:?}", &bytes[..cut]),
        }
    }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    let fixed = [&SIGNATURE[..], &[0x20 | command, family], &length].concat();
    [&fixed[..], rest].concat()
}

const V4: [u8; 12] = [203, 0, 113, 7, 10, 0, 0, 1, 0xdc, 4, 1, 187];

#[test]
fn headers_of_the_specification_are_read() {
    check(
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
        Some("203.0.113.7"),
        false,
    );
    check(
        b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n",
        Some("2001:db8::7"),
        false,
    );
    check(
        b"PROXY TCP6 ::ffff:203.0.113.7 ::1 1 2\r\n",
        Some("203.0.113.7"),
        false,
    );
    check(b"PROXY UNKNOWN\r\n", None, false);
    check(
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
        None,
        false,
    );
    check(&v2(1, 0x11, &V4), Some("203.0.113.7"), false);
    let v6 = [
        &"2001:db8::7".parse::<Ipv6Addr>().expect("address").octets()[..],
        &[0; 20],
    ]
    .concat();
    check(&v2(1, 0x21, &v6), Some("2001:db8::7"), false);
    check(&v2(1, 0x31, &[0; 216]), None, false);
    check(&v2(1, 0x00, &[]), None, false);
    // Health checks speak for the balancer, whatever the rest says.
    check(&v2(0, 0x00, &[]), None, false);
    check(&v2(0, 0x11, &V4), None, false);
}

#[test]
fn values_behind_the_addresses_are_read() {
    let ssl = |client| [&V4[..], &[TYPE_SSL, 0, 5, client, 0, 0, 0, 0]].concat();
    check(&v2(1, 0x11, &ssl(1)), Some("203.0.113.7"), true);
    check(&v2(1, 0x11, &ssl(0)), Some("203.0.113.7"), false);
    let unknown = [&V4[..], &[0xea, 0, 2, 1, 2], &[4, 0, 0]].concat();
    check(&v2(1, 0x11, &unknown), Some("203.0.113.7"), false);
    let mut summed = v2(
        1,
        0x11,
        &[&V4[..], &[TYPE_CRC32C, 0, 4, 0, 0, 0, 0], &[4, 0, 1, 9]].concat(),
    );
    let sum = crc32c::crc32c(&summed).to_be_bytes();
    let at = summed.len() - 8;
    summed[at..at + 4].copy_from_slice(&sum);
    check(&summed, Some("203.0.113.7"), false);
    summed[at] ^= 1;
    assert_eq!(read(&summed), Read::Bad);
}

#[test]
fn what_is_no_header_is_refused() {
    for bad in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROXY\r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 \r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n",
        b"PROXY TCP4  203.0.113.7 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.07 10.0.0.1 56324 443\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 65536\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.1 +1 443\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
        b"PROXY TCP6 203.0.113.7 10.0.0.1 1 443\r\n",
        b"PROXY UDP4 203.0.113.7 10.0.0.1 1 443\r\n",
        b"proxy TCP4 203.0.113.7 10.0.0.1 1 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\r",
        &[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
        &v2(2, 0x11, &V4),
        &v2(1, 0x13, &V4),
        &v2(1, 0x41, &V4),
        &v2(1, 0x11, &V4[..11]),
        &v2(1, 0x21, &V4),
        &v2(1, 0x11, &[&V4[..], &[1]].concat()),
        &v2(1, 0x11, &[&V4[..], &[1, 0, 9, 1]].concat()),
        &v2(1, 0x11, &[0; MAX_REST + 1]),
    ] {
        assert_eq!(read(bad), Read::Bad, "{bad:?}");
    }
    let mut version_1 = v2(1, 0x11, &V4);
    version_1[12] = 0x11;
    assert_eq!(read(&version_1), Read::Bad);
}

proptest! {
    #[test]
    fn hostile_bytes_are_read_or_refused(
        begin in prop::sample::select(vec![&b""[..], PROXY, SIGNATURE, b"PROXY TCP4 "]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, &rest].concat();
        match read(&bytes) {
            Read::Header(_, length) => prop_assert!(length <= bytes.len()),
            Read::Incomplete(more) => prop_assert!(more > 0 && bytes.len() < FIXED + MAX_REST),
            Read::Bad => {}
        }
    }

    #[test]
    fn every_address_comes_through(ip: [u8; 4], six: [u8; 16], port: u16) {
        let (ip, six) = (Ipv4Addr::from(ip), Ipv6Addr::from(six));
        for (family, ip) in [("TCP4", IpAddr::V4(ip)), ("TCP6", IpAddr::V6(six))] {
            let line = format!("PROXY {family} {ip} {ip} {port} {port}\r\n");
            let said = Said { visitor: Some(ip.to_canonical()), tls: false };
            prop_assert_eq!(read(line.as_bytes()), Read::Header(said, line.len()));
        }
    }
}
