//! The direct path: plain requests answered from the bytes they came in, without hyper.
//!
//! Half of what a redirect used to cost outside the kernel was hyper building a map of headers that nobody reads, and
//! taking it down again. So a connection begins here: heads of the plain form (see `head`) are decided by the same
//! handler, from lines that lie in the worker's buffer, and the answer is written behind its place, ready made. The first
//! request that is anything else takes the connection, with every byte not yet answered, to hyper for good.
//!
//! An idle connection owns no buffer here; all of a worker's share one. What it deliberately does not do: bodies,
//! HEAD, HTTP/1.0, `Connection: close`, errors, pages of links, and whatever must be waited for. Those are hyper's.

mod head;

use std::cell::RefCell;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Method, Version};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use self::head::{MAX_LINES, Read};
use super::connection::unix_ms;
use super::extended;
use super::watched::{Watched, release};
use super::worker::Worker;
use crate::answer::{Date, Pages};
use crate::client_ip::client_ip;
use crate::extended::Asked;
use crate::handler::decide;
use crate::metrics;
use crate::request::{Head, Headers, HostName};

/// Bytes read at once: a pipelined burst, or one head of the largest size.
const INPUT_BYTES: usize = 16 << 10;

/// Bytes of a request line besides path and query, `?` included.
const REQUEST_LINE: usize = "GET ? HTTP/1.1".len();

/// Bytes of answers that are sent before more requests of a burst are read.
const OUTPUT_BYTES: usize = 16 << 10;

/// How often a head may come in another piece. A client that sends it byte by byte would make us read its beginning again
/// and again.
const MAX_PIECES: u8 = 4;

/// What the connections of a worker share: only one of them is at work at a time, and none keeps anything here.
#[derive(Debug)]
pub(super) struct Scratch {
    input: Box<[u8]>,
    output: Vec<u8>,
    date: Date,
    pages: Pages,
}

impl Scratch {
    /// Buffers for heads of up to this many bytes.
    pub(super) fn new(header_bytes: usize) -> RefCell<Self> {
        RefCell::new(Self {
            input: vec![0; header_bytes.max(INPUT_BYTES)].into(),
            output: Vec::with_capacity(OUTPUT_BYTES),
            date: Date::default(),
            pages: Pages::default(),
        })
    }
}

/// How the direct path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client has gone.
    Closed,
    /// What the socket has put back is for hyper.
    Http,
}

/// A connection on the direct path.
#[derive(Debug)]
pub(super) struct Direct {
    socket: Watched,
    peer: IpAddr,
    /// The beginning of a head that is not whole yet.
    partial: Vec<u8>,
    /// Pieces it came in.
    pieces: u8,
    /// What of our answers the socket has not taken yet.
    unsent: Vec<u8>,
    /// `partial` holds whole requests: the answers before them were enough for one sending.
    backlog: bool,
    /// Nothing more is read: `partial` is for hyper.
    leaving: bool,
}

impl Direct {
    pub(super) fn new(socket: Watched, peer: IpAddr) -> Self {
        Self {
            socket,
            peer,
            partial: Vec::new(),
            pieces: 0,
            unsent: Vec::new(),
            backlog: false,
            leaving: false,
        }
    }

    /// The socket, which gives hyper what has been read and not answered.
    pub(super) fn into_socket(self) -> Watched {
        let mut socket = self.socket;
        socket.put_back(self.partial);
        socket
    }

    /// Whether nothing is on its way in either direction.
    pub(super) fn is_idle(&self) -> bool {
        self.partial.is_empty() && self.unsent.is_empty()
    }

    /// Reads and answers until there is nothing more to read, or others have their turn.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, worker: &Worker) -> Poll<End> {
        let mut answered = 0;
        loop {
            if ready!(self.poll_send(cx)).is_err() {
                return Poll::Ready(End::Closed);
            }
            if self.leaving {
                return Poll::Ready(End::Http);
            }
            if answered >= worker.shared.limits.pipelined {
                worker.metrics.pipelining_paused();
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let mut scratch = worker.scratch.borrow_mut();
            let Scratch {
                input,
                output,
                date,
                pages,
            } = &mut *scratch;
            let mut filled = self.partial.len();
            let Some((front, free)) = input.split_at_mut_checked(filled) else {
                self.leaving = true;
                continue;
            };
            front.copy_from_slice(&self.partial);
            if !std::mem::take(&mut self.backlog) {
                release(&mut self.partial);
                let mut read = ReadBuf::new(free);
                match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut read)) {
                    Ok(()) if !read.filled().is_empty() => filled += read.filled().len(),
                    Ok(()) | Err(_) => return Poll::Ready(End::Closed),
                }
            }
            self.partial.clear();
            let mut rest = input.get(..filled).unwrap_or_default();
            output.clear();
            while !rest.is_empty() {
                if output.len() >= OUTPUT_BYTES || answered >= worker.shared.limits.pipelined {
                    self.backlog = true;
                    break;
                }
                match self.answer(rest, worker, date, pages, output) {
                    Some(after) => {
                        answered += 1;
                        rest = after;
                    }
                    None => break,
                }
            }
            self.partial.extend_from_slice(rest);
            if !rest.is_empty() && !self.backlog {
                // Behind those that were answered.
                self.socket.activity.head_begun();
            }
            self.leaving |= !self.backlog && rest.len() >= worker.shared.limits.header_bytes;
            if output.is_empty() {
                continue;
            }
            // One try from the shared buffer: nearly always it takes all, and nothing is copied.
            let sent = match Pin::new(&mut self.socket).poll_write(cx, output) {
                Poll::Ready(Ok(sent)) => sent,
                Poll::Ready(Err(_)) => return Poll::Ready(End::Closed),
                Poll::Pending => 0,
            };
            self.unsent
                .extend_from_slice(output.get(sent..).unwrap_or_default());
        }
    }

    /// Answers the request at the front of `input`, and returns what follows it; `None`: it is not whole, or not for us.
    #[inline]
    fn answer<'i>(
        &mut self,
        input: &'i [u8],
        worker: &Worker,
        date: &mut Date,
        pages: &mut Pages,
        output: &mut Vec<u8>,
    ) -> Option<&'i [u8]> {
        let mut lines = [(&[][..], &[][..]); MAX_LINES];
        let (path, query, count, rest) = match head::read(input, &mut lines) {
            // Answers of a worker that drains say so, which is hyper's job.
            Read::Plain { .. } | Read::Other if worker.is_draining() => {
                self.leaving = true;
                return None;
            }
            Read::Plain {
                path,
                query,
                lines,
                rest,
            } => (path, query, lines, rest),
            Read::Incomplete => {
                self.pieces += 1;
                self.leaving = self.pieces >= MAX_PIECES;
                return None;
            }
            Read::Other => {
                self.leaving = true;
                return None;
            }
        };
        let length = input.len() - rest.len();
        let limits = &worker.shared.limits;
        // Too large a request is refused where all are.
        if length > limits.header_bytes
            || path.len() + query.len() + REQUEST_LINE > limits.request_line_bytes
            || count > limits.headers
        {
            self.leaving = true;
            return None;
        }
        #[cfg(test)]
        super::tests::perhaps_panic(path);
        let headers = Headers::Lines(lines.get(..count).unwrap_or_default());
        let head = Head {
            method: &Method::GET,
            path,
            query,
            absolute: None,
            version: Version::HTTP_11,
            headers,
            client_ip: client_ip(self.peer, headers, &worker.shared.trusted),
            secure: self.socket.transport.is_tls(),
        };
        let now_ms = unix_ms();
        let mut host = HostName::new();
        let table = worker.table.load();
        let decision = decide(&head, &table, now_ms, &mut host);
        if let Some((entry, host)) = decision.extended {
            let asked = Asked {
                head,
                table: &table,
                now_ms,
                host,
                senses: &worker.senses,
                gates: &worker.shared.gates,
            };
            let Some(response) = extended::redirect(worker, &asked, entry) else {
                self.leaving = true;
                return None;
            };
            self.pieces = 0;
            self.socket.activity.head_complete(false);
            extended::write_redirect(&response, date.at(now_ms), output);
            return Some(rest);
        }
        if let Some(visit) = &decision.visit {
            worker.record(visit);
        }
        self.pieces = 0;
        self.socket.activity.head_complete(false);
        let answer = decision.answer;
        worker.metrics.answered(answer.kind(), metrics::Method::Get);
        answer.write(date.at(now_ms), pages, output);
        Some(rest)
    }

    /// Sends what is left of earlier answers.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.unsent.drain(..sent);
            release(&mut self.unsent);
        }
        // Nothing to do but with TLS, or after a client that was slow.
        Pin::new(&mut self.socket).poll_flush(cx)
    }
}
