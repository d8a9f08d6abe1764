//! Bodies on their way to visitors: in pieces, and so that whoever takes none of them holds little.
//!
//! With HTTP/1 hyper copies what it is given into a buffer of the connection, which it keeps; with HTTP/2 it keeps what the
//! client's window has no room for. So it is given a small piece at a time, and the time that a piece waits is looked at
//! (`watched`): a client that opens no window would hold its answers for ever, and its socket would never be full.
//!
//! A page with holes is a copy of its own for each visitor, up to 2 MiB. So the bytes of large bodies under way are counted, of a
//! connection and of all; beyond a bound whoever asks for one more is asked to come back, and it counts for nothing. Redirects
//! and small pages have no bound: nobody can use it up for them.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

use super::Shared;
use super::visitor::Answering;
use super::watched::Activity;
use crate::files::{Broken, Piece};

/// Bytes of a body that hyper is given at once.
const PIECE: usize = 16 << 10;

/// Bytes of large bodies of one connection that wait for their visitor: two of the largest pages.
const OF_ONE: usize = 4 << 20;

/// Bytes of large bodies of all connections that wait for their visitors.
const OF_ALL: usize = 256 << 20;

/// Bytes of large bodies under way.
#[derive(Debug, Default)]
pub(super) struct Unsent(AtomicUsize);

impl Unsent {
    /// Whether no further large answer may be begun, on this connection.
    pub(super) fn is_full(&self, activity: &Activity) -> bool {
        activity.unsent() >= OF_ONE || self.0.load(Ordering::Relaxed) >= OF_ALL
    }
}

/// Whether a body is counted.
pub(super) fn is_large(body: &Full<Bytes>) -> bool {
    length(body) > PIECE
}

fn length(body: &Full<Bytes>) -> usize {
    usize::try_from(body.size_hint().exact().unwrap_or_default()).unwrap_or(usize::MAX)
}

/// What a large body takes of the bounds, given back when dropped.
#[derive(Debug)]
struct Share {
    shared: Arc<Shared>,
    activity: Rc<Activity>,
    bytes: usize,
}

impl Share {
    fn of(bytes: usize, shared: &Arc<Shared>, activity: &Rc<Activity>) -> Self {
        shared.unsent.0.fetch_add(bytes, Ordering::Relaxed);
        activity.add_unsent(bytes);
        Self {
            shared: Arc::clone(shared),
            activity: Rc::clone(activity),
            bytes,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shared
            .unsent
            .0
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.activity.take_unsent(self.bytes);
    }
}

/// A body that lies in memory, in pieces.
#[derive(Debug)]
pub(super) struct Sliced {
    whole: Full<Bytes>,
    rest: Bytes,
    _share: Option<Share>,
}

impl Sliced {
    pub(super) fn new(whole: Full<Bytes>, shared: &Arc<Shared>, activity: &Rc<Activity>) -> Self {
        let share = is_large(&whole).then(|| Share::of(length(&whole), shared, activity));
        Self {
            whole,
            rest: Bytes::new(),
            _share: share,
        }
    }
}

impl Body for Sliced {
    type Data = Bytes;
    type Error = Infallible;

    #[inline]
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match Pin::new(&mut this.whole).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.rest = frame.into_data().unwrap_or_default();
                }
                other => return other,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    #[inline]
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.whole.is_end_stream()
    }

    #[inline]
    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.size_hint().exact().unwrap_or_default();
        SizeHint::with_exact(whole + self.rest.len() as u64)
    }
}

/// A body of HTTP/2.
pub(super) struct Carried {
    body: Carrying,
    owed: Owed,
    _answering: Answering,
}

enum Carrying {
    Whole(Sliced),
    /// A download: one connection carries it and other answers, so it cannot take the connection with it.
    Pieces {
        pieces: Receiver<Piece>,
        /// Bytes that are still to come.
        left: u64,
    },
}

impl Carrying {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Pieces { pieces, left } => pieces.poll_recv(cx).map(|piece| match piece {
                Some(Ok(bytes)) => {
                    *left = left.saturating_sub(bytes.len() as u64);
                    Some(Ok(Frame::data(bytes)))
                }
                Some(Err(broken)) => Some(Err(broken)),
                // Its visitor must not take it for whole.
                None if *left > 0 => Some(Err(Broken)),
                None => None,
            }),
        }
    }
}

impl Carried {
    pub(super) fn whole(body: Sliced, activity: &Rc<Activity>, answering: Answering) -> Self {
        Self::new(Carrying::Whole(body), activity, answering)
    }

    /// A download of so many bytes.
    pub(super) fn pieces(
        pieces: Receiver<Piece>,
        left: u64,
        activity: &Rc<Activity>,
        answering: Answering,
    ) -> Self {
        Self::new(Carrying::Pieces { pieces, left }, activity, answering)
    }

    fn new(body: Carrying, activity: &Rc<Activity>, answering: Answering) -> Self {
        Self {
            body,
            owed: Owed {
                number: activity.next_owed(),
                activity: Rc::clone(activity),
            },
            _answering: answering,
        }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = self.body.poll(cx);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.owed.activity.owe(self.owed.number, bytes);
            }
            // What is waited for is ours.
            _ => self.owed.activity.settle(self.owed.number),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Carrying::Whole(body) => body.is_end_stream(),
            Carrying::Pieces { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Carrying::Whole(body) => body.size_hint(),
            Carrying::Pieces { .. } => SizeHint::default(),
        }
    }
}

/// What of a body its client has not made room for.
struct Owed {
    activity: Rc<Activity>,
    number: u64,
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.activity.settle(self.number);
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, reason = "a test")]
mod tests {
    use std::task::Waker;

    use tokio::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_body_comes_in_small_pieces_and_says_how_long_it_is() {
        let bytes: Vec<u8> = (0..2 * PIECE + 5).map(|n| n as u8).collect();
        let mut body = Sliced {
            whole: Full::from(bytes.clone()),
            rest: Bytes::new(),
            _share: None,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut got = Vec::new();
        while !body.is_end_stream() {
            assert_eq!(
                body.size_hint().exact(),
                Some((bytes.len() - got.len()) as u64)
            );
            let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut cx) else {
                panic!("a piece");
            };
            let piece = frame.into_data().expect("bytes");
            assert!((1..=PIECE).contains(&piece.len()));
            got.extend_from_slice(&piece);
        }
        assert_eq!(got, bytes);
        assert!(matches!(
            Pin::new(&mut body).poll_frame(&mut cx),
            Poll::Ready(None)
        ));
    }

    #[test]
    fn a_download_that_ends_too_early_is_broken_off() {
        let mut cx = Context::from_waker(Waker::noop());
        for (wanted, whole) in [(3, true), (4, false)] {
            let (sender, pieces) = channel(2);
            sender
                .try_send(Ok(Bytes::from_static(b"abc")))
                .expect("room");
            drop(sender);
            let mut body = Carrying::Pieces {
                pieces,
                left: wanted,
            };
            assert!(matches!(body.poll(&mut cx), Poll::Ready(Some(Ok(_)))));
            match body.poll(&mut cx) {
                Poll::Ready(None) => assert!(whole),
                Poll::Ready(Some(Err(Broken))) => assert!(!whole),
                _ => panic!("an end"),
            }
        }
    }
}
