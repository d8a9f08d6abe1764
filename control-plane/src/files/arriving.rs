//! A body on its way in, with a bound and deadlines: however a sender behaves, an upload ends.
//!
//! Its pieces are handed out one at a time, as they come from the network: whoever does not take them makes the sender
//! wait, so a slow disk costs no memory.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

/// Longest silence. Phones lose their network for a while.
const SILENCE: Duration = Duration::from_secs(30);

/// Time over which a sender's rate is looked at.
const WINDOW: Duration = Duration::from_secs(60);

/// Least bytes in each window: 1 KiB a second, a tenth of what the slowest phone does.
const WINDOW_BYTES: u64 = 60 << 10;

/// Longest upload, whatever its rate. What is left of one is swept a day later.
const DEADLINE: Duration = Duration::from_secs(6 * 3600);

/// Why a body ends before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More than was allowed.
    TooLarge,
    /// The sender is too slow.
    TooSlow,
    /// The sender has hung up.
    HungUp,
}

/// The body.
#[derive(Debug)]
pub(crate) struct Arriving {
    body: Body,
    left: u64,
    ends_at: Instant,
    /// Time of this window in which its sender was waited for: a storage that is slow is not the sender's fault.
    waited: Duration,
    in_window: u64,
}

impl Arriving {
    /// A body of at most `limit` bytes.
    pub(crate) fn new(body: Body, limit: u64) -> Self {
        Self {
            body,
            left: limit,
            ends_at: Instant::now() + DEADLINE,
            waited: Duration::ZERO,
            in_window: 0,
        }
    }

    /// The next piece; `None`: that was all.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let began = Instant::now();
            let patience = SILENCE.min(WINDOW.saturating_sub(self.waited));
            let frame = timeout_at(self.ends_at.min(began + patience), self.body.frame()).await;
            let silence = began.elapsed();
            self.waited += silence;
            if self.waited >= WINDOW {
                if self.in_window < WINDOW_BYTES {
                    return Err(Broken::TooSlow);
                }
                self.waited = Duration::ZERO;
                self.in_window = 0;
            }
            let Ok(frame) = frame else {
                if silence >= SILENCE || Instant::now() >= self.ends_at {
                    return Err(Broken::TooSlow);
                }
                continue;
            };
            let Some(frame) = frame else {
                return Ok(None);
            };
            let Ok(piece) = frame.map_err(|_| Broken::HungUp)?.into_data() else {
                continue;
            };
            let bytes = piece.len() as u64;
            self.left = self.left.checked_sub(bytes).ok_or(Broken::TooLarge)?;
            self.in_window += bytes;
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    /// Pieces of so many bytes, one each `every`.
    fn sender(bytes: usize, every: Duration, pieces: usize) -> Body {
        Body::from_stream(stream::unfold(0, move |number| async move {
            if number == pieces {
                return None;
            }
            sleep(every).await;
            Some((Ok::<_, std::io::Error>(vec![7; bytes]), number + 1))
        }))
    }

    async fn all(mut arriving: Arriving) -> Result<u64, Broken> {
        let mut bytes = 0;
        while let Some(piece) = arriving.piece().await? {
            bytes += piece.len() as u64;
        }
        Ok(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_goes_on_is_heard_and_one_that_trickles_is_not() {
        let second = Duration::from_secs(1);
        let steady = Arriving::new(sender(2 << 10, second, 300), u64::MAX);
        assert_eq!(all(steady).await, Ok(300 * (2 << 10)));
        let began = Instant::now();
        let trickle = Arriving::new(sender(1, second, 10_000), u64::MAX);
        assert_eq!(all(trickle).await, Err(Broken::TooSlow));
        assert!(began.elapsed() <= WINDOW + 2 * second);
        let began = Instant::now();
        let silent = Arriving::new(sender(1 << 20, SILENCE * 2, 2), u64::MAX);
        assert_eq!(all(silent).await, Err(Broken::TooSlow));
        assert!(began.elapsed() <= SILENCE + second);
        let endless = Arriving::new(sender(1 << 20, second, usize::MAX), u64::MAX);
        assert_eq!(all(endless).await, Err(Broken::TooSlow));
        // A storage that takes its time is not the sender's fault.
        let mut steady = Arriving::new(sender(1 << 10, second / 100, 100), u64::MAX);
        while steady.piece().await.expect("no fault of its own").is_some() {
            sleep(WINDOW).await;
        }
    }

    #[tokio::test]
    async fn more_than_allowed_ends_it_at_once() {
        let exact = Arriving::new(Body::from(vec![0; 100]), 100);
        assert_eq!(all(exact).await, Ok(100));
        let more = Arriving::new(Body::from(vec![0; 101]), 100);
        assert_eq!(all(more).await, Err(Broken::TooLarge));
    }

    #[tokio::test]
    async fn nothing_is_taken_from_a_sender_ahead_of_time() {
        let sent = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&sent);
        let pieces = stream::repeat_with(move || {
            counting.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(vec![0; 1000])
        });
        let mut arriving = Arriving::new(Body::from_stream(pieces), u64::MAX);
        for taken in 1..=50 {
            arriving.piece().await.expect("a piece");
            assert_eq!(sent.load(Ordering::Relaxed), taken);
        }
    }
}
