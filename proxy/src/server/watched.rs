//! A socket that notes what its client does, so that one timer a connection can enforce three deadlines.
//!
//! hyper has a timeout for request heads, but makes a new timer for each, and none for writing. Here a request costs one
//! reading of the clock.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::extended::Download;
use crate::config::Limits;
use crate::metrics::Closed;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Since then no request is on its way.
    Idle(Instant),
    /// Since then a request's head is on its way.
    Head(Instant),
}

/// What a connection's client does.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// Since when the client takes nothing of what we have to send.
    stalled: Cell<Option<Instant>>,
    /// The last request has a body, and nobody reads it.
    body_left: Cell<bool>,
    /// Some bytes have come.
    sent: Cell<bool>,
    /// What the connection is to leave with: here a request can leave it and costs plain ones no allocation.
    leaving: RefCell<Option<Box<Download>>>,
}

impl Activity {
    /// A new connection: its first request's head is due.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Cell::new(Phase::Head(now)),
            stalled: Cell::new(None),
            body_left: Cell::new(false),
            sent: Cell::new(false),
            leaving: RefCell::new(None),
        }
    }

    /// The connection is to leave with this download.
    pub(super) fn leave_with(&self, download: Box<Download>) {
        self.leaving.replace(Some(download));
    }

    /// What the connection is to leave with.
    pub(super) fn leaving(&self) -> Option<Box<Download>> {
        self.leaving.take()
    }

    /// Whether the client has sent anything yet.
    pub(super) fn has_sent(&self) -> bool {
        self.sent.get()
    }

    /// Whether the client took nothing of the last bytes it was sent.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get().is_some()
    }

    /// Whether the last request has a body that nobody has read.
    pub(super) fn has_body_left(&self) -> bool {
        self.body_left.get()
    }

    /// A request's head is complete.
    #[inline]
    pub(super) fn head_complete(&self, has_body: bool) {
        self.body_left.set(has_body);
        // The instant of its first byte will do for the idle deadline, and saves a reading of the clock.
        if let Phase::Head(since) = self.phase.get() {
            self.phase.set(Phase::Idle(since));
        }
    }

    #[inline]
    fn read_some(&self) {
        self.sent.set(true);
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    #[inline]
    fn wrote<T>(&self, result: &Poll<io::Result<T>>) {
        match (result, self.stalled.get()) {
            (Poll::Pending, None) => self.stalled.set(Some(Instant::now())),
            (Poll::Ready(_), Some(_)) => self.stalled.set(None),
            _ => {}
        }
    }

    /// The next deadline, and what it will have been that was too slow.
    pub(super) fn deadline(&self, limits: &Limits) -> (Instant, Closed) {
        let (deadline, why) = match self.phase.get() {
            Phase::Idle(since) => (since + limits.idle, Closed::Idle),
            Phase::Head(since) => (since + limits.header, Closed::Header),
        };
        match self.stalled.get() {
            Some(since) if since + limits.write < deadline => (since + limits.write, Closed::Write),
            _ => (deadline, why),
        }
    }

    /// When to look again: at the deadline, but soon enough for a shorter one that begins in the meantime.
    pub(super) fn look_again(&self, now: Instant, limits: &Limits) -> Instant {
        let soon: Duration = limits.header.min(limits.write);
        self.deadline(limits).0.min(now + soon)
    }
}

/// The socket.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) stream: TcpStream,
    pub(super) activity: Rc<Activity>,
    /// Bytes that were read and put back: they come first.
    put_back: Vec<u8>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Rc<Activity>) -> Self {
        Self {
            stream,
            activity,
            put_back: Vec::new(),
        }
    }

    /// These bytes will be read first.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) {
        self.put_back = bytes;
    }

    #[cold]
    fn read_put_back(&mut self, buf: &mut ReadBuf<'_>) {
        let taken = self.put_back.len().min(buf.remaining());
        buf.put_slice(self.put_back.get(..taken).unwrap_or_default());
        self.put_back.drain(..taken);
    }
}

impl AsyncRead for Watched {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.put_back.is_empty() {
            self.read_put_back(buf);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read_some();
        }
        result
    }
}

impl AsyncWrite for Watched {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.wrote(&result);
        result
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.wrote(&result);
        result
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
