//! Single calls to a control plane beside the feed: blobs, leases, visitors' forms. Same addresses, same token.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use schemas::names::files::FEED_TOKEN;
use schemas::settings::Secret;
use tokio::time::timeout;

use super::client::send;
use crate::config;

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    config: config::Feed,
    data_dir: PathBuf,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Caller {
    pub(crate) fn new(config: &config::Feed, data_dir: PathBuf) -> Self {
        Self {
            config: config.clone(),
            data_dir,
        }
    }

    /// The answer of the first control plane that gives one, with at most `limit` bytes of body; `None` when none does
    /// before the deadline, which is for all of them together. Only a connection that fails leads to the next control
    /// plane: what one has perhaps done is not asked of another.
    pub(crate) async fn call(
        &self,
        (method, path): (Method, &str),
        headers: HeaderMap,
        body: Bytes,
        limit: usize,
        deadline: Duration,
    ) -> Option<Answer> {
        let token = self.token()?;
        let asking = async {
            for url in &self.config.urls {
                let mut request = Request::builder()
                    .method(method.clone())
                    .uri(path)
                    .body(Full::new(body.clone()))
                    .ok()?;
                *request.headers_mut() = headers.clone();
                let response = match send(url, &token, request).await {
                    Ok(response) => response,
                    Err(super::Ended::Connect(_)) => continue,
                    Err(_) => return None,
                };
                let (head, body) = response.into_parts();
                let body = Limited::new(body, limit).collect().await.ok()?.to_bytes();
                return Some(Answer {
                    status: head.status,
                    headers: head.headers,
                    body,
                });
            }
            None
        };
        timeout(deadline, asking).await.ok()?
    }

    /// The head of an answer, its body still to come: of the first control plane that can be reached. No deadline is set
    /// here beyond that of the head.
    pub(crate) async fn open(
        &self,
        (method, path): (Method, &str),
        headers: HeaderMap,
    ) -> Option<Response<Incoming>> {
        let token = self.token()?;
        for url in &self.config.urls {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(path)
                .body(Full::new(Bytes::new()))
                .ok()?;
            *request.headers_mut() = headers.clone();
            match send(url, &token, request).await {
                Ok(response) => return Some(response),
                Err(super::Ended::Connect(_)) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// Read anew each time: it may have been made, or replaced, since.
    fn token(&self) -> Option<Secret> {
        if let Some(token) = &self.config.token {
            return Some(token.clone());
        }
        let text = std::fs::read_to_string(self.data_dir.join(FEED_TOKEN)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| Secret(text.to_owned()))
    }
}
