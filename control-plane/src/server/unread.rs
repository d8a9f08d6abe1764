//! A request's body that is read a little further when it is dropped. Whoever refuses a call drops its body, at any depth;
//! most clients write everything before they read, and closing a connection with bytes in it would reset it and take the
//! answer away from them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, SizeHint};

/// How long a dropped body is read: about what a phone needs for the largest plain call.
const LINGER: Duration = Duration::from_secs(2);

/// How much of one: all that the largest call that is no file may have.
const LINGER_BYTES: u64 = 16 << 20;

/// `body`, with what is left of it read and thrown away when it is dropped.
#[derive(Debug)]
pub(super) struct Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    body: Option<B>,
    /// Its sender waits for a word before it sends anything, and has not had it: nothing is on its way.
    is_held_back: bool,
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Unread<B> {
    /// The body of a request with these headers.
    pub(super) fn new(body: B, headers: &HeaderMap) -> Self {
        let waits = |word: &HeaderValue| word.as_bytes().eq_ignore_ascii_case(b"100-continue");
        Self {
            body: Some(body),
            is_held_back: headers.get(EXPECT).is_some_and(waits),
        }
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Body for Unread<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        // Who looks gives the word.
        this.is_held_back = false;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let none = SizeHint::with_exact(0);
        self.body.as_ref().map_or(none, Body::size_hint)
    }
}

impl<B: Body<Data = Bytes> + Send + Unpin + 'static> Drop for Unread<B> {
    fn drop(&mut self) {
        if self.is_held_back || self.is_end_stream() {
            return;
        }
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body)));
        }
    }
}

async fn throw_away<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(rest) = left.checked_sub(bytes) else {
            return;
        };
        left = rest;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::stream;
    use http_body_util::StreamBody;
    use tokio::time::{Instant, sleep};

    use super::*;

    const PIECE: usize = 1 << 20;

    /// So many pieces of a megabyte, one each `every`; counts those that were taken.
    fn sender(
        pieces: u64,
        every: Duration,
    ) -> (
        impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
        Arc<AtomicU64>,
    ) {
        let taken = Arc::new(AtomicU64::new(0));
        let counting = Arc::clone(&taken);
        let stream = stream::unfold(0, move |number| {
            let counting = Arc::clone(&counting);
            async move {
                if number == pieces {
                    return None;
                }
                sleep(every).await;
                counting.fetch_add(1, Ordering::Relaxed);
                let piece = Frame::data(Bytes::from(vec![0; PIECE]));
                Some((Ok::<_, Infallible>(piece), number + 1))
            }
        });
        (StreamBody::new(Box::pin(stream)), taken)
    }

    /// Pieces taken of a body that is dropped after `read` of them.
    async fn taken(pieces: u64, every: Duration, read: usize, word: &'static str) -> u64 {
        let (body, taken) = sender(pieces, every);
        let headers = match word {
            "" => HeaderMap::new(),
            word => HeaderMap::from_iter([(EXPECT, HeaderValue::from_static(word))]),
        };
        let mut body = Unread::new(body, &headers);
        for _ in 0..read {
            body.frame().await.expect("a piece").expect("whole");
        }
        drop(body);
        // Long after all that may happen.
        let end = Instant::now() + LINGER * 5;
        tokio::time::sleep_until(end).await;
        taken.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_read_to_a_bound() {
        let quick = Duration::from_millis(1);
        assert_eq!(taken(5, quick, 0, "").await, 5);
        assert_eq!(taken(5, quick, 2, "").await, 5);
        assert_eq!(taken(5, quick, 5, "").await, 5);
        // The one too many is taken to see that it is one.
        assert_eq!(taken(u64::MAX, quick, 0, "").await, 17);
        assert_eq!(taken(u64::MAX, quick, 30, "").await, 47);
        assert!(taken(u64::MAX, LINGER / 4, 0, "").await <= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_word_is_not_asked_to_send() {
        let quick = Duration::from_millis(1);
        assert_eq!(taken(5, quick, 0, "100-Continue").await, 0);
        // It has had the word.
        assert_eq!(taken(5, quick, 1, "100-continue").await, 5);
        assert_eq!(taken(5, quick, 0, "something else").await, 5);
    }
}
