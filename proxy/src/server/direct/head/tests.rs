//! What is taken, what is left to hyper, and that both parsers agree on the former.

use proptest::prelude::*;

use super::*;

const BROWSER: &str = "GET /a/b%20c?x=1&y HTTP/1.1\r\nHost: go.test\r\nUser-Agent: Mozilla/5.0\r\n\
    Accept:text/html\r\nX-Empty:\r\nX-Space: \t two  words \t\r\nConnection: Keep-Alive\r\n\r\n";

fn outcome(text: &[u8]) -> &'static str {
    match read(text, &mut [(&[], &[]); MAX_LINES]) {
        Read::Plain { .. } => "plain",
        Read::Incomplete => "incomplete",
        Read::Other => "other",
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(outcome(text.as_bytes()), expected, "{text:?}");
}

#[test]
fn a_browsers_head_is_read() {
    let text = format!("{BROWSER}GET /next");
    let mut lines = [(&[][..], &[][..]); MAX_LINES];
    let Read::Plain {
        path,
        query,
        lines: count,
        rest,
    } = read(text.as_bytes(), &mut lines)
    else {
        panic!("not taken");
    };
    assert_eq!((path, query), ("/a/b%20c", &b"x=1&y"[..]));
    assert_eq!(rest, b"GET /next");
    assert_eq!(count, 6);
    assert_eq!(lines[0], (&b"Host"[..], &b"go.test"[..]));
    assert_eq!(lines[2], (&b"Accept"[..], &b"text/html"[..]));
    assert_eq!(lines[3], (&b"X-Empty"[..], &b""[..]));
    assert_eq!(lines[4], (&b"X-Space"[..], &b"two  words"[..]));
}

#[test]
fn a_head_in_pieces_is_incomplete_until_its_last_byte() {
    for cut in 0..BROWSER.len() {
        assert_eq!(outcome(&BROWSER.as_bytes()[..cut]), "incomplete", "{cut}");
    }
    check(BROWSER, "plain");
}

#[test]
fn everything_else_is_left_to_hyper() {
    for start in [
        "HEAD / HTTP/1.1",
        "POST / HTTP/1.1",
        "get / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.0",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET * HTTP/1.1",
        "GET http://go.test/ HTTP/1.1",
        "GET /#fragment HTTP/1.1",
        "GET /\u{fc} HTTP/1.1",
        "GET /<b> HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /a\tb HTTP/1.1",
        "\r\nGET / HTTP/1.1",
        " GET / HTTP/1.1",
        "PRI * HTTP/2.0",
        "\u{16}\u{3}\u{1}",
    ] {
        check(&format!("{start}\r\nHost: a\r\n\r\n"), "other");
    }
    for line in [
        "Content-Length: 0",
        "content-length: 5",
        "Transfer-Encoding: chunked",
        "transfer-encoding : chunked",
        "Transfer-Encoding:\u{b}chunked",
        "Connection: close",
        "Connection: upgrade",
        "connection: keep-alive, close",
        "Upgrade: h2c",
        "Expect: 100-continue",
        "HTTP2-Settings: x",
        "Trailer: x",
        "Proxy-Connection: close",
        " folded",
        "\tfolded",
        ": no name",
        "no colon",
        "sp ace: x",
        "n\u{e4}me: x",
        "x: a\0b",
        "x: a\u{7f}b",
        "x: a\nContent-Length: 5",
        "x: a\rContent-Length: 5",
        "x\r: a",
        "x: a\u{1}",
    ] {
        check(
            &format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n"),
            "other",
        );
    }
    check("GET / HTTP/1.1\nHost: a\n\n", "other");
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", "other");
    let many = "x: y\r\n".repeat(MAX_LINES + 1);
    check(&format!("GET / HTTP/1.1\r\n{many}\r\n"), "other");
}

/// Whether httparse reads the same.
fn agrees(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut lines = [(&[][..], &[][..]); MAX_LINES];
    let Read::Plain {
        path,
        query,
        lines: count,
        rest,
    } = read(bytes, &mut lines)
    else {
        return Ok(());
    };
    let mut theirs = [httparse::EMPTY_HEADER; MAX_LINES];
    let mut request = httparse::Request::new(&mut theirs);
    let parsed = request.parse(bytes);
    prop_assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(bytes.len() - rest.len()))
    );
    prop_assert_eq!(request.method, Some("GET"));
    prop_assert_eq!(request.version, Some(1));
    let uri: http::Uri = request.path.unwrap_or_default().parse().expect("target");
    prop_assert_eq!(uri.path(), path);
    prop_assert_eq!(uri.query().unwrap_or_default().as_bytes(), query);
    let theirs: Vec<_> = request
        .headers
        .iter()
        .map(|header| (header.name.as_bytes(), header.value))
        .collect();
    prop_assert_eq!(&lines[..count], &theirs[..]);
    for (name, _) in theirs {
        let text = std::str::from_utf8(name)
            .expect("token")
            .to_ascii_lowercase();
        prop_assert!(!["content-length", "transfer-encoding"].contains(&text.as_str()));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_taken_means_the_same_to_hypers_parser(
        at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 0..4),
    ) {
        let mut bytes = BROWSER.as_bytes().to_vec();
        for (index, byte, how) in at {
            let place = index.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => { bytes.remove(place); }
            }
        }
        agrees(&bytes)?;
    }

    #[test]
    fn heads_put_together_at_random_mean_the_same(
        target in "/[!-~]{0,12}",
        lines in prop::collection::vec("[!-~]{0,8}[: ]{1,2}[ -~\t]{0,8}", 0..6),
        ends in prop::collection::vec(prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]), 8),
    ) {
        let mut text = format!("GET {target} HTTP/1.1{}", ends[0]);
        for (line, end) in lines.iter().zip(&ends[1..]) {
            text.push_str(line);
            text.push_str(end);
        }
        text.push_str("\r\n");
        agrees(text.as_bytes())?;
    }

    #[test]
    fn any_bytes_end_somewhere(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        agrees(&bytes)?;
    }
}
