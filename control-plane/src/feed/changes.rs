//! `GET /internal/v1/feed?after=<seq>&change=<32 hex digits>`: hello, then each transaction in commit order, with
//! heartbeats while there is none.
//!
//! The stream ends without a word when it cannot go on (shutdown, database gone, history gone): the proxy connects again
//! with its position and gets a hello that says whether to take a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use schemas::feed::{HEARTBEAT_SECONDS, Heartbeat, Hello, Kind, encode_frame};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::window::Change;
use super::{Admitted, FeedError, Position, Shared, frames, refusal};
use crate::app::App;
use crate::metrics;

/// Query of the call.
#[derive(Debug, serde::Deserialize)]
pub(super) struct After {
    after: String,
    change: String,
}

/// The handler.
pub(super) async fn stream(
    _: Admitted,
    State(app): State<Arc<App>>,
    Extension(shared): Extension<Arc<Shared>>,
    query: Result<Query<After>, QueryRejection>,
) -> Response {
    let Some(at) = query.ok().and_then(|Query(after)| position(&after)) else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "after must be a whole number and change 32 hex digits",
        );
    };
    match Reader::new(app, shared, at).await {
        Ok(reader) => frames(Body::from_stream(stream::unfold(reader, Reader::step))),
        Err(error) => {
            tracing::warn!(%error, "feed refused");
            refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "the link database does not answer",
            )
        }
    }
}

fn position(after: &After) -> Option<Position> {
    let mut change = [0; 16];
    hex::decode_to_slice(&after.change, &mut change).ok()?;
    let seq = after.after.parse().ok()?;
    // Sequence numbers are signed in the database.
    (i64::try_from(seq).is_ok()).then_some(Position { seq, change })
}

/// One connection.
struct Reader {
    app: Arc<App>,
    shared: Arc<Shared>,
    newest: watch::Receiver<u64>,
    shutdown: CancellationToken,
    heartbeat: Interval,
    /// What has been handed over.
    at: Position,
    hello: Option<Hello>,
    /// Follows the hello; nothing does when the proxy has to take a snapshot.
    resumed: bool,
    /// In which `at` was looked up last.
    era: u64,
    ready: VecDeque<Change>,
    _open: metrics::OpenFeed,
}

impl Reader {
    async fn new(app: Arc<App>, shared: Arc<Shared>, at: Position) -> Result<Self, FeedError> {
        let newest = app.store.watch();
        // Another control plane may have written what nobody has told this one, or the database was restored.
        app.store.look().await?;
        let era = app.store.era();
        let current = Position::newest(app.store.readers()).await?;
        app.store.announce(current.seq);
        let resumed = at == current || in_history(&app, at).await?;
        metrics::feed_hello(resumed);
        let period = Duration::from_secs(HEARTBEAT_SECONDS);
        let mut heartbeat = tokio::time::interval_at(Instant::now() + period, period);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            newest,
            shutdown: app.shutdown.clone(),
            heartbeat,
            at,
            hello: Some(Hello {
                seq: current.seq,
                change: current.change.to_vec().into(),
                resumed,
            }),
            resumed,
            era,
            ready: VecDeque::new(),
            app,
            shared,
            _open: metrics::OpenFeed::new(),
        })
    }

    /// The next frame; `None` ends the stream. Called when the last one is on its way, never before.
    async fn step(mut self) -> Option<(Result<Bytes, std::convert::Infallible>, Self)> {
        match self.next().await {
            Ok(frame) => {
                let frame = frame?;
                metrics::feed_frame(frame.len());
                Some((Ok(frame), self))
            }
            Err(error) => {
                tracing::warn!(%error, after = self.at.seq, "feed ends");
                None
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, FeedError> {
        if let Some(hello) = self.hello.take() {
            return Ok(Some(encode_frame(Kind::Hello(hello))?.into()));
        }
        if !self.resumed {
            return Ok(None);
        }
        loop {
            if self.shutdown.is_cancelled() {
                return Ok(None);
            }
            self.enter(self.app.store.era()).await?;
            if let Some(change) = self.ready.pop_front() {
                self.at = change.at;
                return Ok(Some(change.frame));
            }
            if *self.newest.borrow_and_update() > self.at.seq {
                self.ready = self.shared.window.after(&self.app.store, self.at).await?;
                if !self.ready.is_empty() {
                    continue;
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(None),
                changed = self.newest.changed() => if changed.is_err() { return Ok(None) },
                _ = self.heartbeat.tick() => if let Some(beat) = self.beat().await? { return Ok(Some(beat)) },
            }
        }
    }

    /// After the database was restored, asks whether what was handed over is still true.
    async fn enter(&mut self, era: u64) -> Result<(), FeedError> {
        if self.era == era {
            return Ok(());
        }
        self.ready.clear();
        let current = Position::newest(self.app.store.readers()).await?;
        if self.at != current && !in_history(&self.app, self.at).await? {
            return Err(FeedError::Gone(self.at.seq));
        }
        self.era = era;
        Ok(())
    }

    /// A heartbeat; `None` when there are changes to send instead. Also where a word that was lost between control
    /// planes, and a database restored under us, are noticed.
    async fn beat(&mut self) -> Result<Option<Bytes>, FeedError> {
        match Position::newest(self.app.store.readers()).await {
            Ok(newest) if newest == self.at => {}
            Ok(newest) if newest.seq > self.at.seq => {
                self.app.store.announce(newest.seq);
                self.newest.mark_changed();
                return Ok(None);
            }
            Ok(_) => return Err(FeedError::Gone(self.at.seq)),
            // No edit is possible either, so there is nothing to miss; proxies stay.
            Err(error) => tracing::debug!(%error, "heartbeat without the link database"),
        }
        let beat = Heartbeat {
            seq: self.at.seq,
            time_ms: self.app.clock.now_ms(),
        };
        Ok(Some(encode_frame(Kind::Heartbeat(beat))?.into()))
    }
}

/// Whether `at` is a change of this database that is still kept.
async fn in_history(app: &App, at: Position) -> Result<bool, FeedError> {
    let row: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT seq, change_id FROM feed_changes WHERE seq = $1")
            .bind(at.seq.cast_signed())
            .fetch_optional(app.store.readers())
            .await?;
    match row {
        Some(row) => Ok(Position::from_row(row)? == at),
        None => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(after: &str, change: &str, expected: Option<u64>) {
        let after = After {
            after: after.to_owned(),
            change: change.to_owned(),
        };
        assert_eq!(position(&after).map(|p| p.seq), expected, "{after:?}");
    }

    #[test]
    fn positions_are_read_or_refused() {
        let change = "00112233445566778899aabbccddeeff";
        check("0", change, Some(0));
        check("7", &change.to_uppercase(), Some(7));
        check("-1", change, None);
        check("", change, None);
        check("18446744073709551615", change, None);
        check("7", "", None);
        check("7", &change[1..], None);
        check("7", "zz112233445566778899aabbccddeeff", None);
        check("7", "é0112233445566778899aabbccddeef", None);
    }
}
