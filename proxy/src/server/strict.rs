//! What hyper is given to read: whole request heads that are written to the letter, and bodies whose end is certain.
//!
//! hyper is as generous as most servers are: a line may end without CR, an unknown transfer coding may stand beside a
//! length, chunks may carry extensions. Each is harmless alone and dangerous behind a proxy that reads it otherwise: the
//! two then disagree on where a request ends, and a visitor can put words into another's mouth. So every byte that goes
//! to hyper passes here first, one request at a time. What RFC 9112 does not allow, and what it allows and nobody needs,
//! is refused with a short answer of our own, and the connection is closed.
//!
//! A head is held back until it is whole: so its size, its request line and its number of lines are limited here, each
//! with an answer and a counter of its own.
//!
//! What it deliberately does not do: judge what a request asks for, or look at requests of the plain form, which never
//! leave the direct path (whose own reader is stricter still).
//!
//! Format: RFC 9112 2.2 (lines), 3 (request line), 5 (fields), 6.3 (length of a body), 7.1 (chunks).

mod head;

use http::StatusCode;

use crate::config::Limits;
use crate::metrics::Closed;

pub(super) use self::head::Length;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not written as HTTP/1 is.
    Malformed,
    /// It leaves in doubt where it ends.
    Framing,
    /// Its head is too large.
    HeadSize,
    /// Its head has too many lines.
    HeadLines,
    /// Its first line is too long.
    RequestLine,
    /// Its body is too large.
    Body,
    /// Its body is not written as it should be. It is too late for an answer of ours: the request has one.
    Chunk,
}

impl Fault {
    /// How the connection's end is counted.
    pub(super) fn closed(self) -> Closed {
        match self {
            Self::Malformed => Closed::Malformed,
            Self::Framing | Self::Chunk => Closed::Framing,
            Self::HeadSize => Closed::HeadSize,
            Self::HeadLines => Closed::HeadLines,
            Self::RequestLine => Closed::RequestLine,
            Self::Body => Closed::Body,
        }
    }

    /// Status of the answer where hyper writes it.
    pub(super) fn status_code(self) -> StatusCode {
        let status = self.status().unwrap_or_default();
        status
            .get(..3)
            .and_then(|code| code.parse().ok())
            .unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// Status and reason of the answer; `None`: there is one already.
    pub(super) fn status(self) -> Option<&'static str> {
        match self {
            Self::Malformed | Self::Framing => Some("400 Bad Request"),
            Self::HeadSize | Self::HeadLines => Some("431 Request Header Fields Too Large"),
            Self::RequestLine => Some("414 URI Too Long"),
            Self::Body => Some("413 Content Too Large"),
            Self::Chunk => None,
        }
    }
}

/// Largest sizes, in bytes, and counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    head_bytes: usize,
    head_lines: usize,
    request_line_bytes: usize,
    body_bytes: u64,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            head_bytes: limits.header_bytes,
            head_lines: limits.headers,
            request_line_bytes: limits.request_line_bytes,
            body_bytes: limits.body_bytes,
        }
    }
}

/// Reads one connection's requests.
#[derive(Debug)]
pub(super) struct Strict {
    bounds: Bounds,
    state: State,
    /// Bytes at the front that may be passed on.
    released: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// A head: bytes looked at, where its unfinished line begins, lines so far.
    Head {
        seen: usize,
        line: usize,
        lines: usize,
    },
    /// A chunk's size is next; bytes of the body so far.
    Size(u64),
    /// The line end behind a chunk is next.
    ChunkEnd(u64),
    /// The empty line behind the last chunk is next.
    LastEnd,
}

const NEW: State = State::Head {
    seen: 0,
    line: 0,
    lines: 0,
};

/// Longest line that says a chunk's size: 16 hexadecimal digits and a line end.
const MAX_SIZE_LINE: usize = 18;

impl Strict {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            state: NEW,
            released: 0,
        }
    }

    /// How many of these bytes may be passed on, 0: more must come first. `bytes` begins with what was not passed on before.
    ///
    /// # Errors
    /// None of them may, and nothing that follows.
    pub(super) fn released(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        // Each turn ends, or passes at least a byte of framing.
        while self.released == 0 {
            let more = match self.state {
                State::Head { .. } => self.head(bytes)?,
                State::Size(before) => self.size(bytes, before)?,
                State::ChunkEnd(before) => {
                    let more = line_end(bytes)?;
                    self.advance(more, State::Size(before));
                    more
                }
                State::LastEnd => {
                    let more = line_end(bytes)?;
                    self.advance(more, NEW);
                    more
                }
            };
            if more == 0 {
                return Ok(0);
            }
            self.released = more;
        }
        let available = bytes.len() as u64;
        Ok(self.released.min(available) as usize)
    }

    /// So many of them were.
    pub(super) fn passed(&mut self, bytes: usize) {
        self.released = self.released.saturating_sub(bytes as u64);
    }

    fn advance(&mut self, more: u64, next: State) {
        if more > 0 {
            self.state = next;
        }
    }

    /// Length of the head with the body behind it, as far as it is known to be one piece; 0: not whole.
    fn head(&mut self, bytes: &[u8]) -> Result<u64, Fault> {
        let State::Head {
            mut seen,
            mut line,
            mut lines,
        } = self.state
        else {
            return Ok(0);
        };
        let bounds = self.bounds;
        while let Some(at) = bytes
            .get(seen..)
            .and_then(|rest| memchr::memchr(b'\n', rest))
        {
            let end = seen + at;
            seen = end + 1;
            let text = bytes.get(line..end).unwrap_or_default();
            let Some(text) = text.strip_suffix(b"\r").filter(|text| is_text(text)) else {
                return Err(Fault::Malformed);
            };
            if lines == 0 && text.len() > bounds.request_line_bytes {
                return Err(Fault::RequestLine);
            }
            line = seen;
            if !text.is_empty() {
                lines += 1;
                // One of them is the request line.
                if lines > bounds.head_lines + 1 {
                    return Err(Fault::HeadLines);
                }
                continue;
            }
            if lines == 0 {
                // One empty line before a request: some clients once sent it behind a form (RFC 9112 2.2).
                if seen > 2 {
                    return Err(Fault::Malformed);
                }
                continue;
            }
            if seen > bounds.head_bytes {
                return Err(Fault::HeadSize);
            }
            let head = bytes.get(..seen).unwrap_or_default();
            let length = head::length(head)?;
            self.state = NEW;
            return Ok(match length {
                Length::None => seen as u64,
                Length::Bytes(body) if body > bounds.body_bytes => return Err(Fault::Body),
                Length::Bytes(body) => seen as u64 + body,
                Length::Chunked => {
                    self.state = State::Size(0);
                    seen as u64
                }
            });
        }
        // What came before was looked at before, but for a CR at its end: a head that comes byte by byte costs no more.
        let part = bytes.get(line.max(seen.saturating_sub(1))..);
        let part = part.unwrap_or_default();
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        if !is_text(part) {
            return Err(Fault::Malformed);
        }
        if lines == 0 && bytes.len() - line > bounds.request_line_bytes + 1 {
            return Err(Fault::RequestLine);
        }
        if bytes.len() > bounds.head_bytes {
            return Err(Fault::HeadSize);
        }
        self.state = State::Head {
            seen: bytes.len(),
            line,
            lines,
        };
        Ok(0)
    }

    /// Length of a chunk with the line that says so; 0: that line is not whole.
    fn size(&mut self, bytes: &[u8], before: u64) -> Result<u64, Fault> {
        let Some(end) = memchr::memchr(b'\n', bytes) else {
            let good = bytes.len() < MAX_SIZE_LINE
                && bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'\r');
            return if good { Ok(0) } else { Err(Fault::Chunk) };
        };
        // No extension, no space, no sign: nobody sends them who means well.
        let digits = bytes
            .get(..end)
            .and_then(|line| line.strip_suffix(b"\r"))
            .filter(|d| (1..=16).contains(&d.len()) && d.iter().all(u8::is_ascii_hexdigit))
            .and_then(|d| std::str::from_utf8(d).ok())
            .ok_or(Fault::Chunk)?;
        let size = u64::from_str_radix(digits, 16).map_err(|_| Fault::Chunk)?;
        let body = before.saturating_add(size);
        if body > self.bounds.body_bytes {
            return Err(Fault::Chunk);
        }
        let line = end as u64 + 1;
        self.state = match size {
            0 => State::LastEnd,
            _ => State::ChunkEnd(body),
        };
        Ok(line + size)
    }
}

/// Whether there are no control characters in it.
fn is_text(line: &[u8]) -> bool {
    line.iter()
        .all(|b| (*b >= 0x20 && *b != 0x7f) || *b == b'\t')
}

/// Length of the line end at the front; 0: it is not whole. Anything else there is trailers, which nobody reads, or a
/// chunk longer than it says.
fn line_end(bytes: &[u8]) -> Result<u64, Fault> {
    match bytes {
        [] | [b'\r'] => Ok(0),
        [b'\r', b'\n', ..] => Ok(2),
        _ => Err(Fault::Chunk),
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "no hostile bytes reach a test"
)]
mod tests;
