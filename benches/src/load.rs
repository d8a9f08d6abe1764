//! A load generator that costs little: one thread, many keep-alive connections, one request in flight on each.
//!
//! Closed loop, so it measures cost and not latency. It writes to all connections, then reads from all, and checks the
//! status of every answer and that it is whole.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Connections of the generator.
pub(crate) const CONNECTIONS: usize = 64;

/// A browser's headers: with the request line of a seven-letter slug they make 11 headers in about 530 bytes.
const HEADERS: &str = "Host: localhost:8080\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"126\", \"Google Chrome\";v=\"126\", \"Not-A.Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Windows\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,image/avif,*/*;q=0.8\r\n\
    Referer: https://news.example/article\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\r\n";

/// The request for a slug.
pub(crate) fn request(slug: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    put_request(slug, &mut bytes);
    bytes
}

/// The same behind what is in `bytes`.
pub(crate) fn put_request(slug: &str, bytes: &mut Vec<u8>) {
    for part in ["GET /", slug, " HTTP/1.1\r\n", HEADERS] {
        bytes.extend_from_slice(part.as_bytes());
    }
}

/// The whole answer to one request, as bytes.
pub(crate) fn one_answer(addr: SocketAddr, slug: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(&request(slug))?;
    let mut buffer = vec![0; 4096];
    let length = read_answer(&mut stream, &mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}

/// Reads one answer; returns its length. Servers of others send a body with a redirect.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<usize> {
    let (mut filled, mut length) = (0, None);
    loop {
        let got = stream.read(buffer.get_mut(filled..).unwrap_or_default())?;
        anyhow::ensure!(got > 0, "connection closed, or an answer that is too long");
        filled += got;
        let answer = buffer.get(..filled).unwrap_or_default();
        if length.is_none() {
            length = whole_length(answer);
        }
        if length.is_some_and(|length| filled >= length) {
            return Ok(filled);
        }
    }
}

/// Length of an answer whose head is there, with its body.
pub(crate) fn whole_length(answer: &[u8]) -> Option<usize> {
    // Most have no body, and then the head's end is the end.
    let head = if answer.ends_with(b"\r\n\r\n") {
        answer.len()
    } else {
        answer.windows(4).position(|w| w == b"\r\n\r\n")? + 4
    };
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let at = answer
        .get(..head)?
        .windows(NAME.len())
        .position(|w| w.eq_ignore_ascii_case(NAME));
    let digits = at.and_then(|at| answer.get(at + NAME.len()..head));
    let body = digits
        .into_iter()
        .flatten()
        .take_while(|b| b.is_ascii_digit())
        .fold(0, |body, digit| body * 10 + usize::from(digit - b'0'));
    Some(head + body)
}

/// Sends requests for `slugs` in a random order for `span`; returns how many were answered with a redirect.
///
/// # Errors
/// Any answer that is not a 302, any connection that ends.
pub(crate) fn run(
    addr: SocketAddr,
    slugs: &[String],
    span: Duration,
    seed: u64,
) -> anyhow::Result<u64> {
    let requests: Vec<Vec<u8>> = slugs.iter().map(|slug| request(slug)).collect();
    run_requests(addr, &requests, (CONNECTIONS, span, seed), b"HTTP/1.1 302")
}

/// As [`run`] with whole requests, on so many connections, where answers begin with `expected`.
pub(crate) fn run_requests(
    addr: SocketAddr,
    requests: &[Vec<u8>],
    (connections, span, seed): (usize, Duration, u64),
    expected: &[u8],
) -> anyhow::Result<u64> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(addr).with_context(|| format!("{addr} is not there"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        streams.push(stream);
    }
    let mut random = seed | 1;
    let mut buffer = vec![0; 16 << 10];
    let mut answered = 0;
    let until = Instant::now() + span;
    while Instant::now() < until {
        for stream in &mut streams {
            // xorshift64: the order must only be without pattern.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let pick = requests
                .get(random as usize % requests.len())
                .context("no requests")?;
            stream.write_all(pick)?;
        }
        for stream in &mut streams {
            let length = read_answer(stream, &mut buffer)
                .with_context(|| format!("after {answered} answers"))?;
            anyhow::ensure!(
                buffer.starts_with(expected),
                "not what was expected: {}",
                String::from_utf8_lossy(buffer.get(..length).unwrap_or_default())
            );
            answered += 1;
        }
    }
    Ok(answered)
}
