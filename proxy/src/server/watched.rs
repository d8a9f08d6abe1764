//! A socket that notes what its client does, so that one timer a connection can enforce three deadlines.
//!
//! hyper has a timeout for request heads, but makes a new timer for each, and none for writing. Here a request costs one
//! reading of the clock.
//!
//! For hyper's HTTP/1 it also holds back what is not read strictly yet (`strict`).

use std::cell::{Cell, RefCell};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::extended::Download;
use super::strict::{Bounds, Fault, Strict};
use crate::config::Limits;
use crate::metrics::Closed;
use crate::transport::Transport;

/// What a client must take of an answer that does not fit into the kernel's buffers, beyond the write deadline, in bytes a
/// second: a tenth of what the slowest phone does.
const LEAST_RATE: u64 = 1 << 10;

/// Bytes read at once for `strict`.
const PIECE: usize = 4 << 10;

/// A deadline that is none.
const NEVER: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Since then no request is on its way.
    Idle(Instant),
    /// Since then a request's head is on its way.
    Head(Instant),
    /// Since then requests of HTTP/2 are being answered, so many.
    Answering(Instant, usize),
}

/// What a connection's client does.
#[derive(Debug)]
pub(super) struct Activity {
    phase: Cell<Phase>,
    /// Since when the client has not taken all that we have to send, and how many bytes it took since.
    stalled: Cell<Option<(Instant, u64)>>,
    /// The last request has a body, and nobody reads it.
    body_left: Cell<bool>,
    /// It speaks HTTP/2, where bytes that come are not always a request's.
    many: Cell<bool>,
    /// A request of it is refused, and nothing more is read.
    refused: Cell<Option<Fault>>,
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
            many: Cell::new(false),
            refused: Cell::new(None),
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

    /// Why a request is refused, if one is.
    pub(super) fn refused(&self) -> Option<Fault> {
        self.refused.get()
    }

    /// The connection speaks HTTP/2: no request is on its way yet.
    pub(super) fn speak_http2(&self, now: Instant) {
        self.many.set(true);
        self.phase.set(Phase::Idle(now));
    }

    /// One more request of HTTP/2 is being answered.
    pub(super) fn answering(&self) {
        let before = match self.phase.get() {
            Phase::Answering(_, before) => before,
            _ => 0,
        };
        self.phase.set(Phase::Answering(Instant::now(), before + 1));
    }

    /// One is answered.
    pub(super) fn answered(&self) {
        self.phase.set(match self.phase.get() {
            Phase::Answering(since, before @ 2..) => Phase::Answering(since, before - 1),
            _ => Phase::Idle(Instant::now()),
        });
    }

    /// Whether the client has not taken all it was sent.
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
        if let Phase::Idle(_) = self.phase.get()
            && !self.many.get()
        {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    #[inline]
    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match (result, self.stalled.get()) {
            (Poll::Pending, None) => self.stalled.set(Some((Instant::now(), 0))),
            (Poll::Ready(Ok(bytes)), Some((since, taken))) => {
                self.stalled.set(Some((since, taken + *bytes as u64)));
            }
            _ => {}
        }
    }

    #[inline]
    fn flushed(&self, result: &Poll<io::Result<()>>) {
        match (result, self.stalled.get()) {
            // With TLS around it, what was written may still wait for the socket.
            (Poll::Pending, None) => self.stalled.set(Some((Instant::now(), 0))),
            (Poll::Ready(_), Some(_)) => self.stalled.set(None),
            _ => {}
        }
    }

    /// The next deadline, and what it will have been that was too slow.
    pub(super) fn deadline(&self, limits: &Limits) -> (Instant, Closed) {
        let (deadline, why) = match self.phase.get() {
            Phase::Idle(since) => (since + limits.idle, Closed::Idle),
            Phase::Head(since) => (since + limits.header, Closed::Header),
            Phase::Answering(since, _) => (since + NEVER, Closed::Idle),
        };
        let Some((since, taken)) = self.stalled.get() else {
            return (deadline, why);
        };
        let stalled = since + limits.write + Duration::from_secs(taken / LEAST_RATE);
        match stalled < deadline {
            true => (stalled, Closed::Write),
            false => (deadline, why),
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
    pub(super) transport: Transport,
    pub(super) activity: Rc<Activity>,
    /// Bytes that were read and put back: they come first.
    put_back: Vec<u8>,
    /// What is read has to pass this first.
    strict: Option<Box<Strict>>,
}

impl Watched {
    pub(super) fn new(transport: Transport, activity: Rc<Activity>) -> Self {
        Self {
            transport,
            activity,
            put_back: Vec::new(),
            strict: None,
        }
    }

    /// From here on only whole requests, strictly read, come out of it.
    pub(super) fn read_strictly(&mut self, bounds: Bounds) {
        self.strict = Some(Box::new(Strict::new(bounds)));
    }

    /// These bytes will be read first.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>) {
        self.put_back = bytes;
    }

    /// Passes on what may be of the bytes held back; false: none of them yet.
    fn pass(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let free = buf.remaining();
        let taken = match &mut self.strict {
            None => self.put_back.len().min(free),
            Some(strict) => match strict.released(&self.put_back) {
                Ok(some) => {
                    let taken = some.min(free);
                    strict.passed(taken);
                    taken
                }
                Err(fault) => {
                    // To hyper the client has ended: it finishes the answer it is at, and is done.
                    self.activity.refused.set(Some(fault));
                    return true;
                }
            },
        };
        buf.put_slice(self.put_back.get(..taken).unwrap_or_default());
        self.put_back.drain(..taken);
        taken > 0
    }

    #[cold]
    fn poll_read_held(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.activity.refused().is_some() || self.pass(buf) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut piece = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut piece);
            ready!(Pin::new(&mut self.transport).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.activity.read_some();
            self.put_back.extend_from_slice(piece.filled());
            if self.pass(buf) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncRead for Watched {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.put_back.is_empty() || self.strict.is_some() {
            return self.poll_read_held(cx, buf);
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.transport).poll_read(cx, buf);
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
        let result = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.activity.wrote(&result);
        result
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.transport).poll_flush(cx);
        self.activity.flushed(&result);
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.refused().is_some() {
            // An answer of ours follows.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        header_bytes: 1,
        headers: 1,
        request_line_bytes: 1,
        body_bytes: 1,
        pipelined: 1,
        header: Duration::from_secs(20),
        write: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        connections: None,
        per_address: None,
        drain: Duration::from_secs(1),
    };

    #[test]
    fn who_takes_an_answer_too_slowly_has_only_so_much_time() {
        let now = Instant::now();
        let activity = Activity::new(now);
        assert_eq!(activity.deadline(&LIMITS).1, Closed::Header);
        activity.head_complete(false);
        assert_eq!(
            activity.deadline(&LIMITS),
            (now + LIMITS.idle, Closed::Idle)
        );
        activity.wrote(&Poll::Pending);
        let (first, why) = activity.deadline(&LIMITS);
        assert_eq!(why, Closed::Write);
        // A byte now and then buys nothing, 1 KiB a second.
        (0..20).for_each(|_| activity.wrote(&Poll::Ready(Ok(1))));
        activity.wrote(&Poll::Pending);
        assert_eq!(activity.deadline(&LIMITS), (first, Closed::Write));
        activity.wrote(&Poll::Ready(Ok(4096)));
        let later = first + Duration::from_secs(4);
        assert_eq!(activity.deadline(&LIMITS), (later, Closed::Write));
        assert!(activity.is_stalled());
        activity.flushed(&Poll::Ready(Ok(())));
        assert_eq!(activity.deadline(&LIMITS).1, Closed::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn http2_is_idle_when_nothing_is_being_answered() {
        let now = Instant::now();
        let activity = Activity::new(now);
        activity.speak_http2(now);
        // Its frames are no requests.
        activity.read_some();
        assert_eq!(
            activity.deadline(&LIMITS),
            (now + LIMITS.idle, Closed::Idle)
        );
        activity.answering();
        activity.answering();
        activity.answered();
        assert!(activity.deadline(&LIMITS).0 > now + LIMITS.idle);
        tokio::time::advance(Duration::from_secs(100)).await;
        activity.answered();
        let idle = now + Duration::from_secs(100) + LIMITS.idle;
        assert_eq!(activity.deadline(&LIMITS), (idle, Closed::Idle));
    }
}
