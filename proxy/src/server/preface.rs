//! What comes before the first request where a balancer speaks the PROXY protocol: the header of those who are trusted, and
//! a look at whether a stranger sends one.

use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::proxy_protocol::{Read, Said, begins, read};

/// Bytes read at once.
const PIECE: usize = 512;

/// First bytes by which a stranger's header is known.
const LOOK: usize = 6;

/// A connection that has not said anything yet.
#[derive(Debug)]
pub(super) struct Preface {
    stream: TcpStream,
    trusted: bool,
    header: Vec<u8>,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// With requests, or TLS; who is said to be behind it.
    Said(Option<Said>),
    /// With bytes that must not come from this peer.
    Refused,
    /// The client has gone.
    Closed,
}

impl Preface {
    /// `trusted`: a header is due.
    pub(super) fn new(stream: TcpStream, trusted: bool) -> Self {
        Self {
            stream,
            trusted,
            header: Vec::new(),
        }
    }

    /// The socket; nothing that follows the header has been read.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Opening> {
        let opening = match self.trusted {
            true => ready!(self.poll_header(cx)),
            false => ready!(self.poll_look(cx)),
        };
        Poll::Ready(opening.unwrap_or(Opening::Closed))
    }

    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Opening>> {
        loop {
            let more = match read(&self.header) {
                Read::Header(said, _) => return Poll::Ready(Ok(Opening::Said(Some(said)))),
                Read::Bad => return Poll::Ready(Ok(Opening::Refused)),
                // Never beyond the header's end: what follows may be TLS, which reads from the socket.
                Read::Incomplete(more) => more.min(PIECE),
            };
            let mut buffer = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(buffer.get_mut(..more).unwrap_or_default());
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(Opening::Closed));
            }
            self.header.extend_from_slice(piece.filled());
        }
    }

    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Opening>> {
        let mut buffer = [MaybeUninit::uninit(); LOOK];
        let mut front = ReadBuf::uninit(&mut buffer);
        ready!(self.stream.poll_peek(cx, &mut front))?;
        // Fewer bytes are no request either, and whoever reads those says so.
        let header = front.filled().len() == LOOK && begins(front.filled());
        Poll::Ready(Ok(match header {
            true => Opening::Refused,
            false => Opening::Said(None),
        }))
    }
}

/// The visitor behind a connection.
pub(super) fn visitor(said: Option<Said>, peer: IpAddr) -> (IpAddr, bool) {
    match said {
        Some(said) => (said.visitor.unwrap_or(peer), said.tls),
        None => (peer, false),
    }
}
