//! Requests that two servers may read differently: each is refused, and its connection ends before what may be a second
//! request in it is read.
//!
//! The cases are those of public lists:
//! - RFC 9112: 2.2 (bare CR and LF), 3 (request line), 5.1 (space before the colon), 5.2 (folded lines), 6.1 (codings and
//!   HTTP/1.0), 6.3 (both lengths, several lengths), 7.1 (chunks), 11.2 (smuggling);
//! - PortSwigger, "HTTP Desync Attacks" and the wordlist of its HTTP Request Smuggler (CL.TE, TE.CL and their disguises);
//! - http-garden (narfindustries/http-garden), findings in parsers of lengths, chunks and line ends;
//! - h1spec (uNetworking/h1spec), its table of what a server must refuse.

use std::io::Write as _;

use crate::connections::{hung_up_after, served};
use crate::counting::{closed, recorder};
use crate::harness::{TestProxy, eventually, read_answer};

/// What is smuggled: answered with 302 to its own address, should anybody read it.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: go.test\r\n\r\n";

/// Statuses of all answers until the connection ends.
fn statuses(proxy: &TestProxy, bytes: &[u8], what: &str) -> Vec<u16> {
    let mut stream = proxy.connect();
    let _ = stream.write_all(bytes);
    let mut rest = Vec::new();
    let mut statuses = Vec::new();
    while let Some(answer) = read_answer(&mut stream, &mut rest, false) {
        let to = answer.header("location").unwrap_or_default();
        assert!(
            !to.contains("hidden"),
            "{what}: the hidden request is answered"
        );
        statuses.push(answer.status);
        assert!(statuses.len() < 9, "{what}: it goes on and on");
    }
    hung_up_after(&mut stream);
    statuses
}

#[test]
fn whatever_leaves_in_doubt_where_a_request_ends_is_refused() {
    recorder();
    let (_dir, feed, proxy) = served(&[]);
    feed.put("hidden", "https://dest.test/hidden");
    eventually("live", || proxy.follow("hidden").starts_with("302"));
    let before = [closed("malformed"), closed("framing")];
    let post = "POST /a HTTP/1.1\r\nHost: go.test\r\n";
    let get = "GET /a HTTP/1.1\r\nHost: go.test\r\n";
    let chunked = format!("0\r\n\r\n{HIDDEN}");
    // Name, head, what follows it.
    let mut cases: Vec<(&str, String, &str)> = Vec::new();
    let mut case = |name, head: String, body| cases.push((name, head, body));
    // Both lengths, in either order and disguise.
    for (name, coding) in [
        ("CL.TE", "Transfer-Encoding: chunked"),
        ("TE in other case", "tRANSFER-ENCODING: CHUNKED"),
        ("TE with two codings", "Transfer-Encoding: gzip, chunked"),
        ("TE of no kind", "Transfer-Encoding: xchunked"),
        ("TE identity", "Transfer-Encoding: identity"),
        (
            "TE twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        ),
        ("TE with tab", "Transfer-Encoding:\tchunked"),
        ("TE with vertical tab", "Transfer-Encoding:\x0bchunked"),
        ("TE with form feed", "Transfer-Encoding: chunked\x0c"),
        ("TE quoted", "Transfer-Encoding: \"chunked\""),
        ("TE with space before colon", "Transfer-Encoding : chunked"),
        ("TE with tab before colon", "Transfer-Encoding\t: chunked"),
        ("TE folded", "Transfer-Encoding:\r\n chunked"),
        ("TE folded name", "X: y\r\n Transfer-Encoding: chunked"),
        ("TE behind a bare LF", "X: y\nTransfer-Encoding: chunked"),
        ("TE behind a bare CR", "X: y\rTransfer-Encoding: chunked"),
        ("TE behind a NUL", "X: y\0\r\nTransfer-Encoding: chunked"),
        (
            "TE with control character",
            "Transfer-Encoding\x01: chunked",
        ),
        (
            "TE with a byte above ASCII",
            "Transfer-Encoding\u{a0}: chunked",
        ),
        ("TE with comma", "Transfer-Encoding: chunked,"),
        ("TE with parameter", "Transfer-Encoding: chunked;q=1"),
    ] {
        case(
            name,
            format!("{post}Content-Length: 4\r\n{coding}\r\n\r\n"),
            &chunked,
        );
        case(
            name,
            format!("{post}{coding}\r\nContent-Length: 4\r\n\r\n"),
            &chunked,
        );
        case(
            name,
            format!("{get}{coding}\r\nContent-Length: 4\r\n\r\n"),
            &chunked,
        );
    }
    // Codings that are not one plain `chunked`.
    for coding in [
        "identity",
        "chunked, chunked",
        "chunked, identity",
        "gzip",
        "",
        "chunke",
        "chunked\u{a0}",
    ] {
        case(
            "coding",
            format!("{post}Transfer-Encoding: {coding}\r\n\r\n"),
            &chunked,
        );
    }
    case(
        "coding on HTTP/1.0",
        "POST /a HTTP/1.0\r\nHost: go.test\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        &chunked,
    );
    // Lengths that are not one plain number.
    for length in [
        "0\r\nContent-Length: 40",
        "40\r\nContent-Length: 0",
        "5\r\nContent-Length: 5",
        "5, 5",
        "5,",
        "+5",
        "-1",
        "0x5",
        "5 5",
        "5;",
        "",
        "5.0",
        "1e1",
        "99999999999999999999999",
        "18446744073709551616",
        "\u{665}",
        "5\r\n Content-Length: 40",
        "_5",
        "5_0",
    ] {
        case(
            "length",
            format!("{post}Content-Length: {length}\r\n\r\n"),
            HIDDEN,
        );
    }
    for name in [
        "Content-Length ",
        "Content-Length\t",
        " Content-Length",
        "\tContent-Length",
        "Content-Length\0",
        "Content-\rLength",
        "Content Length",
    ] {
        case(
            "name of length",
            format!("{post}{name}: 40\r\n\r\n"),
            HIDDEN,
        );
    }
    // Line ends, request lines, names.
    for (name, head) in [
        ("bare LF throughout", "GET /a HTTP/1.1\nHost: go.test\n\n"),
        (
            "bare LF behind the request line",
            "GET /a HTTP/1.1\nHost: go.test\r\n\r\n",
        ),
        (
            "bare LF at the end",
            "GET /a HTTP/1.1\r\nHost: go.test\r\n\n",
        ),
        (
            "bare LF in the middle",
            "GET /a HTTP/1.1\r\nHost: go.test\nX: y\r\n\r\n",
        ),
        (
            "bare CR behind the request line",
            "GET /a HTTP/1.1\rHost: go.test\r\n\r\n",
        ),
        ("CR CR LF", "GET /a HTTP/1.1\r\r\nHost: go.test\r\n\r\n"),
        (
            "bare CR in a value",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\rb\r\n\r\n",
        ),
        (
            "NUL in a value",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\0b\r\n\r\n",
        ),
        (
            "DEL in a value",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\x7fb\r\n\r\n",
        ),
        (
            "folded line",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\r\n b\r\n\r\n",
        ),
        (
            "folded by tab",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX: a\r\n\tb\r\n\r\n",
        ),
        (
            "folded first line",
            "GET /a HTTP/1.1\r\n X: a\r\nHost: go.test\r\n\r\n",
        ),
        (
            "folded host",
            "GET /a HTTP/1.1\r\nHost:\r\n go.test\r\n\r\n",
        ),
        (
            "space before the colon",
            "GET /a HTTP/1.1\r\nHost : go.test\r\n\r\n",
        ),
        ("no colon", "GET /a HTTP/1.1\r\nHost: go.test\r\nX\r\n\r\n"),
        ("no name", "GET /a HTTP/1.1\r\nHost: go.test\r\n: x\r\n\r\n"),
        (
            "name in brackets",
            "GET /a HTTP/1.1\r\nHost: go.test\r\n(X): y\r\n\r\n",
        ),
        (
            "name with a byte above ASCII",
            "GET /a HTTP/1.1\r\nHost: go.test\r\nX\u{e9}: y\r\n\r\n",
        ),
        ("two spaces", "GET  /a HTTP/1.1\r\nHost: go.test\r\n\r\n"),
        (
            "tab for a space",
            "GET\t/a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "space at the end",
            "GET /a HTTP/1.1 \r\nHost: go.test\r\n\r\n",
        ),
        (
            "space in front",
            " GET /a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "space in the target",
            "GET /a b HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        ("no version", "GET /a\r\nHost: go.test\r\n\r\n"),
        (
            "version in lower case",
            "GET /a http/1.1\r\nHost: go.test\r\n\r\n",
        ),
        ("version 1.2", "GET /a HTTP/1.2\r\nHost: go.test\r\n\r\n"),
        ("version 2", "GET /a HTTP/2.0\r\nHost: go.test\r\n\r\n"),
        ("version 01.1", "GET /a HTTP/01.1\r\nHost: go.test\r\n\r\n"),
        (
            "version of no kind",
            "GET /a HTTQ/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "empty lines in front",
            "\r\n\r\nGET /a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "bare LF in front",
            "\nGET /a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "method with a colon",
            "GET: /a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        (
            "method in brackets",
            "[GET] /a HTTP/1.1\r\nHost: go.test\r\n\r\n",
        ),
        ("HTTP/0.9", "GET /a\r\n\r\n"),
        ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03"),
        ("PROXY protocol", "PROXY TCP4 203.0.113.7 10.0.0.1 1 80\r\n"),
        ("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        case(name, head.to_owned(), HIDDEN);
    }
    for (name, head, body) in &cases {
        let answers = statuses(&proxy, format!("{head}{body}").as_bytes(), name);
        assert_eq!(answers, [400], "{name}: {head:?}");
    }
    // In one piece with a good one, and behind it: that one is answered.
    for (name, head, body) in &cases {
        let good = "GET /a HTTP/1.1\r\nHost: go.test\r\n\r\n";
        let answers = statuses(&proxy, format!("{good}{head}{body}").as_bytes(), name);
        assert_eq!(answers, [302, 400], "{name}: {head:?}");
    }
    eventually("each is counted", || {
        let now = [closed("malformed"), closed("framing")];
        let counted: f64 = now.iter().sum::<f64>() - before.iter().sum::<f64>();
        now[0] > before[0] && now[1] > before[1] && counted >= 2.0 * cases.len() as f64
    });
}

#[test]
fn whatever_leaves_in_doubt_where_a_body_ends_ends_its_connection() {
    recorder();
    let (_dir, feed, proxy) = served(&[]);
    feed.put("hidden", "https://dest.test/hidden");
    eventually("live", || proxy.follow("hidden").starts_with("302"));
    let head = "POST /a HTTP/1.1\r\nHost: go.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "1;x=y\r\na\r\n0\r\n\r\n",
        "1;\r\na\r\n0\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        " 1\r\na\r\n0\r\n\r\n",
        "1\t\r\na\r\n0\r\n\r\n",
        "1\na\r\n0\r\n\r\n",
        "1\ra\r\n0\r\n\r\n",
        "1\r\na\n0\r\n\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "g\r\na\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1_0\r\na\r\n0\r\n\r\n",
        "ffffffffffffffff\r\na\r\n0\r\n\r\n",
        "10000000000000001\r\na\r\n0\r\n\r\n",
        "0\r\nX: y\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0;\r\n\r\n",
        "00000000000000000000\r\n\r\n",
    ] {
        let answers = statuses(&proxy, format!("{head}{body}{HIDDEN}").as_bytes(), body);
        // The request itself is answered by what it asks for, its body unread.
        assert_eq!(answers, [405], "{body:?}");
    }
}

#[test]
fn clients_of_other_versions_get_a_right_answer_or_a_clean_refusal() {
    let (_dir, _feed, proxy) = served(&[]);
    // HTTP/1.0, with and without host, and asked to keep the connection.
    for request in [
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: go.test\r\n\r\n",
        "GET /a HTTP/1.0\r\nHost: go.test\r\nUser-Agent: ApacheBench/2.3\r\n\r\n",
    ] {
        assert_eq!(statuses(&proxy, request.as_bytes(), request), [302]);
    }
    let mut stream = proxy.connect();
    let mut rest = Vec::new();
    for _ in 0..3 {
        let kept = b"GET /a HTTP/1.0\r\nHost: go.test\r\nConnection: keep-alive\r\n\r\n";
        stream.write_all(kept).expect("written");
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
    // HTTP/2 in cleartext by upgrade: answered as what it is, a request of HTTP/1.1, and what follows as well.
    let mut stream = proxy.connect();
    let upgrade = b"GET /a HTTP/1.1\r\nHost: go.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(upgrade).expect("written");
        let answer = read_answer(&mut stream, &mut rest, false).expect("answer");
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("upgrade"), None);
    }
    // And by prior knowledge: a refusal that a client of HTTP/2 understands as one, for it is no frame.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    assert_eq!(statuses(&proxy, preface, "prior knowledge"), [400]);
}
