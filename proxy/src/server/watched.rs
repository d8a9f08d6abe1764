//! A socket that notes what its client does, so that one timer a connection can enforce three deadlines.
//!
//! hyper has a timeout for request heads, but makes a new timer for each, and none for writing. Here a request costs one
//! reading of the clock.
//!
//! For hyper's HTTP/1 it also holds back what is not read strictly yet (`strict`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
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
    /// Since when the client has not taken all that we have to send; what it takes moves the instant on.
    stalled: Cell<Option<Instant>>,
    /// Bodies of HTTP/2 of which a piece waits for the client's window: since when, and how many bytes.
    owed: RefCell<BTreeMap<u64, (Instant, usize)>>,
    next_owed: Cell<u64>,
    /// Bytes of large bodies under way.
    unsent: Cell<usize>,
    /// A request of HTTP/2 is too large, and the connection ends behind its answer.
    too_large: Cell<Option<Fault>>,
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
            owed: RefCell::default(),
            next_owed: Cell::new(0),
            unsent: Cell::new(0),
            too_large: Cell::new(None),
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

    /// Bytes of large bodies under way.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.get()
    }

    pub(super) fn add_unsent(&self, bytes: usize) {
        self.unsent.set(self.unsent.get() + bytes);
    }

    pub(super) fn take_unsent(&self, bytes: usize) {
        self.unsent.set(self.unsent.get().saturating_sub(bytes));
    }

    /// A number for a body of HTTP/2.
    pub(super) fn next_owed(&self) -> u64 {
        let number = self.next_owed.get();
        self.next_owed.set(number + 1);
        number
    }

    /// A piece of this body waits for the client's window, from now on.
    pub(super) fn owe(&self, number: u64, bytes: usize) {
        let now = Instant::now();
        self.owed.borrow_mut().insert(number, (now, bytes));
    }

    /// Nothing of this body waits for the client.
    pub(super) fn settle(&self, number: u64) {
        self.owed.borrow_mut().remove(&number);
    }

    /// A request of HTTP/2 is too large.
    pub(super) fn refuse_many(&self, fault: Fault) {
        self.too_large.set(Some(fault));
    }

    /// Why the connection is to end, told once.
    pub(super) fn take_refused_many(&self) -> Option<Fault> {
        self.too_large.take()
    }

    /// Whether a request's head is on its way.
    pub(super) fn is_reading_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Head(_))
    }

    /// A request's head has begun behind one that was answered.
    #[cold]
    pub(super) fn head_begun(&self) {
        self.read_some();
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
            (Poll::Pending, None) => self.stalled.set(Some(Instant::now())),
            // A second for each KiB, and none in advance: who took much, and then takes nothing, is as slow as all who do.
            (Poll::Ready(Ok(bytes)), Some(since)) => {
                let bought = Duration::from_nanos(*bytes as u64 * 1_000_000_000 / LEAST_RATE);
                self.stalled.set(Some((since + bought).min(Instant::now())));
            }
            _ => {}
        }
    }

    #[inline]
    fn flushed(&self, result: &Poll<io::Result<()>>) {
        match (result, self.stalled.get()) {
            // With TLS around it, what was written may still wait for the socket.
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
            Phase::Answering(since, _) => (since + NEVER, Closed::Idle),
        };
        let stalled = self.stalled.get().map(|since| since + limits.write);
        let owed = self.owed.borrow();
        let owed = owed
            .values()
            .map(|(since, bytes)| {
                *since + limits.write + Duration::from_secs(*bytes as u64 / LEAST_RATE)
            })
            .min();
        match stalled.into_iter().chain(owed).min() {
            Some(slow) if slow < deadline => (slow, Closed::Write),
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
        release(&mut self.put_back);
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

/// Bytes that an empty buffer of an idle connection may keep: one large head must not cost memory for as long as its
/// connection lasts.
const KEPT: usize = 1 << 10;

/// Gives the memory of a buffer back that is empty.
#[inline]
pub(super) fn release(buffer: &mut Vec<u8>) {
    if buffer.is_empty() && buffer.capacity() > KEPT {
        *buffer = Vec::new();
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
        handshakes: 1,
        drain: Duration::from_secs(1),
    };

    #[tokio::test(start_paused = true)]
    async fn who_takes_an_answer_too_slowly_has_only_so_much_time() {
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
        // A byte now and then buys next to nothing, 1 KiB a second.
        tokio::time::advance(Duration::from_secs(6)).await;
        (0..20).for_each(|_| activity.wrote(&Poll::Ready(Ok(1))));
        activity.wrote(&Poll::Pending);
        let (later, why) = activity.deadline(&LIMITS);
        assert_eq!(why, Closed::Write);
        assert!(later < first + Duration::from_millis(50));
        activity.wrote(&Poll::Ready(Ok(4096)));
        let after = activity.deadline(&LIMITS).0;
        assert_eq!(after, later + Duration::from_secs(4));
        assert!(activity.is_stalled());
        // However much it took, it has no more time than whoever begins now.
        activity.wrote(&Poll::Ready(Ok(10 << 20)));
        activity.wrote(&Poll::Pending);
        let most = Instant::now() + LIMITS.write;
        assert_eq!(activity.deadline(&LIMITS), (most, Closed::Write));
        activity.flushed(&Poll::Ready(Ok(())));
        assert_eq!(activity.deadline(&LIMITS).1, Closed::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_piece_that_the_window_has_no_room_for_has_only_so_much_time() {
        let now = Instant::now();
        let activity = Activity::new(now);
        activity.speak_http2(now);
        activity.answering();
        let [slow, quick] = [activity.next_owed(), activity.next_owed()];
        activity.owe(slow, 2048);
        tokio::time::advance(Duration::from_secs(5)).await;
        activity.owe(quick, 0);
        let first = now + LIMITS.write + Duration::from_secs(2);
        assert_eq!(activity.deadline(&LIMITS), (first, Closed::Write));
        // What others take is no help to it.
        activity.settle(quick);
        assert_eq!(activity.deadline(&LIMITS), (first, Closed::Write));
        activity.settle(slow);
        assert!(activity.deadline(&LIMITS).0 > first);
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
