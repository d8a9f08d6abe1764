//! One whole head: whether it is written to the letter, and how long the body behind it is.

use super::Fault;

/// How long a request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Bytes(u64),
    /// It says so itself.
    Chunked,
}

/// Reads a head that ends with its empty line, whose lines all end with CR and LF and hold no control characters.
pub(super) fn length(head: &[u8]) -> Result<Length, Fault> {
    let mut lines = head
        .split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty());
    let first = lines.next().ok_or(Fault::Malformed)?;
    let is_1_1 = request_line(first).ok_or(Fault::Malformed)?;
    let mut length = None;
    let mut coding = None;
    for line in lines {
        let (name, value) = field(line).ok_or(Fault::Malformed)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            // Twice is once too often, were it the same: whoever reads only one of them may read the other.
            if length.replace(value).is_some() {
                return Err(Fault::Framing);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") && coding.replace(value).is_some()
        {
            return Err(Fault::Framing);
        }
    }
    match (length, coding) {
        (None, None) => Ok(Length::None),
        (Some(length), None) => number(length).map(Length::Bytes).ok_or(Fault::Framing),
        // HTTP/1.0 has no codings (RFC 9112 6.1): whoever stands before us may have read the body otherwise.
        (None, Some(coding)) if is_1_1 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Length::Chunked)
        }
        _ => Err(Fault::Framing),
    }
}

/// Whether it is HTTP/1.1, and not 1.0; `None`: it is no request line of either.
fn request_line(line: &[u8]) -> Option<bool> {
    let mut parts = line.split(|b| *b == b' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let good = is_token(method) && !target.is_empty() && parts.next().is_none();
    if !good || target.contains(&b'\t') {
        return None;
    }
    match version {
        b"HTTP/1.1" => Some(true),
        b"HTTP/1.0" => Some(false),
        _ => None,
    }
}

/// Name and value. A folded line begins with a space, which is no token: so there are none (RFC 9112 5.2).
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let value = value.get(1..)?;
    is_token(name).then(|| (name, value.trim_ascii()))
}

/// A length: digits and nothing else (RFC 9110 8.6).
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit) && !text.is_empty();
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

/// RFC 9110 5.6.2.
fn is_token(text: &[u8]) -> bool {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(token)
}
