//! A request's body on its way to a query or an INSERT.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use metrics::counter;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::too_large;
use crate::error::{Exception, Kind};
use crate::metrics as m;
use crate::query::Input;

/// How long a request's body may pause. An INSERT holds a place all the while.
const BODY_IDLE: Duration = Duration::from_secs(60);
/// How much of a body is read and thrown away after its INSERT failed, so that a client that is still sending reads the
/// error and not a reset connection.
const MAX_DRAIN_BYTES: usize = 64 << 20;
/// A request's body, read in pieces.
pub(super) struct Source {
    body: Option<Incoming>,
    /// Read, not yet used.
    ahead: Bytes,
}

impl Source {
    pub(super) fn new(body: Incoming) -> Self {
        use hyper::body::Body as _;
        Self {
            body: Some(body).filter(|b| !b.is_end_stream()),
            ahead: Bytes::new(),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            body: None,
            ahead: Bytes::new(),
        }
    }

    /// Whether it is known that nothing more comes.
    pub(super) fn is_end(&self) -> bool {
        self.body.is_none() && self.ahead.is_empty()
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        if !self.ahead.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ahead)));
        }
        while let Some(body) = &mut self.body {
            match timeout(BODY_IDLE, body.frame()).await {
                Err(_) => {
                    self.body = None;
                    return Err(Exception::new(
                        Kind::SocketTimeout,
                        format_args!("no data came for {} seconds", BODY_IDLE.as_secs()),
                    ));
                }
                Ok(None) => self.body = None,
                Ok(Some(Err(_))) => {
                    self.body = None;
                    return Err(Exception::new(
                        Kind::QueryWasCancelled,
                        "the request's body broke off",
                    ));
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        counter!(m::BYTES_IN).increment(data.len() as u64);
                        return Ok(Some(data));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The beginning, without using it up.
    pub(super) async fn peek(&mut self) -> Result<&[u8], Exception> {
        if self.ahead.is_empty() {
            self.ahead = self.next().await?.unwrap_or_default();
        }
        Ok(&self.ahead)
    }

    /// Adds to `text` until it is larger than `limit` or the body ends; whether it ended.
    pub(super) async fn fill(
        &mut self,
        text: &mut BytesMut,
        limit: usize,
    ) -> Result<bool, Exception> {
        while text.len() <= limit {
            match self.next().await? {
                Some(data) => text.extend_from_slice(&data),
                None => return Ok(true),
            }
        }
        Ok(false)
    }

    /// All of it, if no larger than `limit`.
    pub(super) async fn collect(&mut self, limit: usize) -> Result<BytesMut, Exception> {
        let mut all = BytesMut::new();
        if self.fill(&mut all, limit).await? {
            Ok(all)
        } else {
            Err(too_large())
        }
    }

    /// Hands `inline` and then the rest to an INSERT. Ends without the end mark when the client is gone, and then the
    /// INSERT commits nothing.
    pub(super) async fn pump(mut self, inline: Bytes, send: mpsc::Sender<Input>) {
        let mut refused = !inline.is_empty() && send.send(Input::Data(inline)).await.is_err();
        let mut thrown = 0;
        loop {
            match self.next().await {
                Ok(Some(data)) => {
                    let length = data.len();
                    refused = refused || send.send(Input::Data(data)).await.is_err();
                    thrown += if refused { length } else { 0 };
                    if thrown > MAX_DRAIN_BYTES {
                        return;
                    }
                }
                Ok(None) => {
                    let _ = send.send(Input::End).await;
                    return;
                }
                Err(error) => {
                    tracing::debug!(error = error.text, "an insert's data did not arrive whole");
                    return;
                }
            }
        }
    }
}
