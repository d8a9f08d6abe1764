//! Conditions on what a visitor came with and from, and when, one line a case; as in `cases`.

use super::cases::{each, instant};
use super::*;

#[test]
fn parameters() {
    let make = |text: &str| Visitor {
        query: text.to_owned(),
        ..Visitor::default()
    };
    each(
        make,
        &[
            ("has ref", "ref", true),
            ("has ref", "ref=", true),
            ("has ref", "ref=1", true),
            ("has ref", "x=1&ref=1", true),
            ("has ref", "x=ref", false),
            ("has ref", "Ref=1", false),
            ("has ref", "refs=1", false),
            ("has ref", "re", false),
            ("has ref", "", false),
            ("has ref", "&&&", false),
            ("has ref", "%72ef=1", true),
            ("has ref", "re%66", true),
            ("has a b", "a+b=1", true),
            ("has a b", "a%20b", true),
            ("has a b", "a%2Bb", false),
            ("has ü", "%C3%BC=1", true),
            ("has ü", "%c3%bc", true),
            ("has ", "=1", true),
            ("has ", "a=1", false),
            ("has ", "", false),
            ("has a", "a=1=2", true),
            ("has a=1", "a=1", false),
            ("has a=1", "a%3D1", true),
            ("has %zz", "%zz=1", true),
            ("query a=1", "a=1", true),
            ("query a=1", "a=2", false),
            ("query a=1", "a=11", false),
            ("query a=1", "a", false),
            ("query a=1", "b=1", false),
            ("query a=1", "a=2&a=1", true),
            ("query a=1", "a=1&a=2", true),
            ("query a=1|2", "a=2", true),
            ("query a=1|2", "a=3", false),
            ("query a=", "a", true),
            ("query a=", "a=", true),
            ("query a=", "a=1", false),
            ("query a=|1", "a", true),
            ("query a=x y", "a=x+y", true),
            ("query a=x y", "a=x%20y", true),
            ("query a=x y", "a=x%2By", false),
            ("query a=x+y", "a=x%2By", true),
            ("query a=X", "a=x", false),
            ("query a=1", "a=%31", true),
            ("query %61=1", "a=1", false),
            ("query a=1", "%61=1", true),
            ("query a=1", "a==1", false),
            ("query a=é", "a=%C3%A9", true),
            ("query a=1", "a=1;b=2", false),
            ("query a=1", "&a=1&", true),
            ("has a", "%61", true),
            ("has utm_source", "utm_source=x", true),
            ("has utm_source", "utm-source=x", false),
            ("query lang=de|fr", "lang=fr&lang=en", true),
            ("query lang=de|fr", "lang=en&lang=es", false),
        ],
    );
}

#[test]
fn networks() {
    let make = |text: &str| Visitor {
        ip: text.parse().expect("address"),
        ..Visitor::default()
    };
    each(
        make,
        &[
            ("ip 192.0.2.0/24", "192.0.2.1", true),
            ("ip 192.0.2.0/24", "192.0.2.255", true),
            ("ip 192.0.2.0/24", "192.0.3.0", false),
            ("ip 192.0.2.77/24", "192.0.2.1", true),
            ("ip 192.0.2.1/32", "192.0.2.1", true),
            ("ip 192.0.2.1/32", "192.0.2.0", false),
            ("ip 192.0.2.0/31", "192.0.2.1", true),
            ("ip 192.0.2.0/31", "192.0.2.2", false),
            ("ip 0.0.0.0/0", "255.255.255.255", true),
            ("ip 0.0.0.0/0", "2001:db8::1", false),
            ("ip 0.0.0.0/1", "127.255.255.255", true),
            ("ip 0.0.0.0/1", "128.0.0.0", false),
            ("ip 10.0.0.0/8|192.0.2.0/24", "192.0.2.9", true),
            ("ip 10.0.0.0/8|192.0.2.0/24", "11.0.0.1", false),
            ("ip 10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("ip 2001:db8::/32", "2001:db8::1", true),
            (
                "ip 2001:db8::/32",
                "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
                true,
            ),
            ("ip 2001:db8::/32", "2001:db9::", false),
            ("ip 2001:db8::1/128", "2001:db8::1", true),
            ("ip 2001:db8::1/128", "2001:db8::2", false),
            ("ip 2001:db8::/64", "2001:db8:0:0:1::", true),
            ("ip 2001:db8::/64", "2001:db8:0:1::", false),
            ("ip ::/0", "2001:db8::1", true),
            ("ip ::/0", "10.0.0.1", false),
            ("ip ::1/128|127.0.0.0/8", "127.0.0.1", true),
            ("ip ::1/128|127.0.0.0/8", "::1", true),
            ("ip ::/1", "8000::", false),
            ("ip ::/1", "7fff::", true),
        ],
    );
}

#[test]
fn times() {
    let make = |text: &str| Visitor {
        now_ms: instant(text),
        ..Visitor::default()
    };
    each(
        make,
        &[
            ("before 1000", "999", true),
            ("before 1000", "1000", false),
            ("before -1000", "-1001", true),
            ("before 9223372036854775807", "5", true),
            ("after 1000", "999", false),
            ("after 1000", "1000", true),
            ("after -9223372036854775808", "0", true),
            ("after 2026-11-21T00:00:00Z", "2026-11-20T23:59:59Z", false),
            ("after 2026-11-21T00:00:00Z", "2026-11-21T00:00:00Z", true),
            // 2026-11-21 is a Saturday. Weekdays are Monday to Sunday.
            (
                "clock UTC xxxxx-- 09:00 17:00",
                "2026-11-20T09:00:00Z",
                true,
            ),
            (
                "clock UTC xxxxx-- 09:00 17:00",
                "2026-11-20T08:59:59Z",
                false,
            ),
            (
                "clock UTC xxxxx-- 09:00 17:00",
                "2026-11-20T16:59:59Z",
                true,
            ),
            (
                "clock UTC xxxxx-- 09:00 17:00",
                "2026-11-20T17:00:00Z",
                false,
            ),
            (
                "clock UTC xxxxx-- 09:00 17:00",
                "2026-11-21T12:00:00Z",
                false,
            ),
            (
                "clock UTC -----xx 09:00 17:00",
                "2026-11-21T12:00:00Z",
                true,
            ),
            (
                "clock UTC ------x 09:00 17:00",
                "2026-11-22T12:00:00Z",
                true,
            ),
            (
                "clock UTC x------ 09:00 17:00",
                "2026-11-23T12:00:00Z",
                true,
            ),
            (
                "clock UTC ------- 00:00 24:00",
                "2026-11-23T12:00:00Z",
                false,
            ),
            (
                "clock UTC xxxxxxx 00:00 24:00",
                "2026-11-23T12:00:00Z",
                true,
            ),
            (
                "clock UTC xxxxxxx 00:00 24:00",
                "1969-12-31T23:59:59Z",
                true,
            ),
            (
                "clock UTC xxxxxxx 12:00 12:01",
                "2026-11-23T12:00:59Z",
                true,
            ),
            (
                "clock UTC xxxxxxx 12:00 12:01",
                "2026-11-23T12:01:00Z",
                false,
            ),
            // Winter and summer in Berlin.
            (
                "clock Europe/Berlin xxxxxxx 09:00 10:00",
                "2026-01-15T08:00:00Z",
                true,
            ),
            (
                "clock Europe/Berlin xxxxxxx 09:00 10:00",
                "2026-01-15T09:00:00Z",
                false,
            ),
            (
                "clock Europe/Berlin xxxxxxx 09:00 10:00",
                "2026-07-15T07:00:00Z",
                true,
            ),
            (
                "clock Europe/Berlin xxxxxxx 09:00 10:00",
                "2026-07-15T08:00:00Z",
                false,
            ),
            // The weekday is the zone's: Friday evening in London is Saturday in Kolkata.
            (
                "clock Asia/Kolkata -----x- 00:00 24:00",
                "2026-11-20T18:30:00Z",
                true,
            ),
            (
                "clock Asia/Kolkata -----x- 00:00 24:00",
                "2026-11-20T18:29:59Z",
                false,
            ),
            (
                "clock America/New_York ----x-- 20:00 24:00",
                "2026-11-21T02:00:00Z",
                true,
            ),
            (
                "clock Pacific/Kiritimati -----x- 00:00 01:00",
                "2026-11-20T10:30:00Z",
                true,
            ),
            // Past midnight: the night belongs to the day it began on.
            (
                "clock UTC ----x-- 22:00 06:00",
                "2026-11-20T22:00:00Z",
                true,
            ),
            (
                "clock UTC ----x-- 22:00 06:00",
                "2026-11-21T05:59:00Z",
                true,
            ),
            (
                "clock UTC ----x-- 22:00 06:00",
                "2026-11-21T06:00:00Z",
                false,
            ),
            (
                "clock UTC ----x-- 22:00 06:00",
                "2026-11-20T05:00:00Z",
                false,
            ),
            (
                "clock UTC ----x-- 22:00 06:00",
                "2026-11-21T22:00:00Z",
                false,
            ),
            (
                "clock UTC ------x 22:00 06:00",
                "2026-11-23T01:00:00Z",
                true,
            ),
            (
                "clock UTC ----x-- 22:00 00:00",
                "2026-11-20T23:59:00Z",
                true,
            ),
            (
                "clock UTC ----x-- 22:00 00:00",
                "2026-11-21T00:00:00Z",
                false,
            ),
            (
                "clock UTC ----x-- 12:00 12:00",
                "2026-11-21T11:59:00Z",
                true,
            ),
            (
                "clock UTC ----x-- 12:00 12:00",
                "2026-11-21T12:00:00Z",
                false,
            ),
            // Names without regard to case, and names that are none.
            (
                "clock europe/berlin xxxxxxx 00:00 24:00",
                "2026-01-15T08:00:00Z",
                true,
            ),
            (
                "clock No/Where xxxxxxx 00:00 24:00",
                "2026-01-15T08:00:00Z",
                false,
            ),
            (
                "clock ../etc/passwd xxxxxxx 00:00 24:00",
                "2026-01-15T08:00:00Z",
                false,
            ),
        ],
    );
}
