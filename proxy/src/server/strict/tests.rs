use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds {
    head_bytes: 300,
    head_lines: 5,
    request_line_bytes: 60,
    body_bytes: 40,
};

/// What is passed on of these bytes when they come in pieces of this size, and how it ends.
fn passed(bytes: &[u8], piece: usize) -> (Vec<u8>, Option<Fault>) {
    let mut strict = Strict::new(BOUNDS);
    let (mut held, mut out) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece.max(1)) {
        held.extend_from_slice(piece);
        loop {
            match strict.released(&held) {
                Err(fault) => return (out, Some(fault)),
                Ok(0) => break,
                Ok(some) => {
                    // As if there were room for a few only.
                    let some = some.min(7);
                    out.extend(held.drain(..some));
                    strict.passed(some);
                }
            }
        }
    }
    (out, None)
}

#[track_caller]
fn check(request: &str, expected: Option<Fault>) {
    let before = "GET /before HTTP/1.1\r\nHost: a\r\n\r\n";
    for piece in [1, 2, 3, 1000] {
        let (out, fault) = passed(request.as_bytes(), piece);
        assert_eq!(fault, expected, "{request:?} in pieces of {piece}");
        if expected.is_none() {
            assert_eq!(out, request.as_bytes(), "{request:?}");
        }
        // What comes before a refused request is passed on.
        let (out, _) = passed(format!("{before}{request}").as_bytes(), piece);
        assert!(out.starts_with(before.as_bytes()), "{request:?}");
    }
}

#[test]
fn what_is_written_to_the_letter_is_passed_on() {
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost:\ta \r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nX-Y_z.1: caf\u{e9}\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\nGET / HTTP/0.9\n\n\n\nGET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nab\r\n01\r\nc\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        check(request, None);
    }
}

#[test]
fn what_is_not_is_refused() {
    use Fault::{Body, Chunk, Framing, HeadLines, HeadSize, Malformed, RequestLine};
    let long = "x".repeat(61);
    let line = format!("X: {}\r\n", "x".repeat(55));
    let cases: &[(&str, Fault)] = &[
        ("GET / HTTP/1.1\nHost: a\n\n", Malformed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Malformed),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", Malformed),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Malformed),
        ("GET  / HTTP/1.1\r\n\r\n", Malformed),
        ("GET / HTTP/1.1 \r\n\r\n", Malformed),
        ("GET /\r\n\r\n", Malformed),
        ("GET / HTTP/2.0\r\n\r\n", Malformed),
        ("GET / http/1.1\r\n\r\n", Malformed),
        ("G\u{e9}T / HTTP/1.1\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", Malformed),
        ("\x16\x03\x01", Malformed),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            Framing,
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na", Framing),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Framing),
        (
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            Framing,
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Framing,
        ),
        ("POST / HTTP/1.1\r\nContent-Length: 41\r\n\r\n", Body),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n29\r\n",
            Chunk,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            Chunk,
        ),
        (&format!("GET /{long}"), RequestLine),
        (&format!("GET /{long} HTTP/1.1\r\n\r\n"), RequestLine),
        (
            &format!("GET / HTTP/1.1\r\n{line}{line}{line}{line}{line}\r\n"),
            HeadSize,
        ),
        (
            &format!("GET / HTTP/1.1\r\nX: {long}{long}{long}{long}{long}"),
            HeadSize,
        ),
        (
            "GET / HTTP/1.1\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\nA:\r\n\r\n",
            HeadLines,
        ),
    ];
    for (request, fault) in cases {
        check(request, Some(*fault));
    }
}

proptest! {
    /// However the bytes are cut into pieces, the same of them is passed on.
    #[test]
    fn pieces_make_no_difference(
        parts in prop::collection::vec(prop::sample::select(vec![
            "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "\r\n", "\n", "X: y\r\n", "Content-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n", "abc", "3\r\nabc\r\n", "0\r\n", " ", "\r", "Content-Length: 0\r\n",
        ]), 0..12),
        piece in 1_usize..9,
    ) {
        let bytes = parts.concat();
        let whole = passed(bytes.as_bytes(), 1000);
        let cut = passed(bytes.as_bytes(), piece);
        prop_assert_eq!(&whole.1, &cut.1);
        prop_assert_eq!(whole.0, cut.0);
    }

    /// What is passed on means the same to httparse, hyper's own reader: heads of any bytes at all.
    #[test]
    fn a_head_that_is_passed_on_is_one_to_hyper(
        target in "[!-~]{1,20}", name in "[!-~]{1,12}", value in "[ -~\t]{0,20}",
    ) {
        let head = format!("GET /{target} HTTP/1.1\r\n{name}:{value}\r\n\r\n");
        let (out, fault) = passed(head.as_bytes(), 1000);
        if fault.is_none() && !out.is_empty() {
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut request = httparse::Request::new(&mut headers);
            let whole = request.parse(&out).is_ok_and(|status| status.is_complete());
            prop_assert!(whole, "{head:?}");
            prop_assert_eq!(request.headers.len(), 1);
        }
    }
}
