//! One request to a control plane, and the frames of its answer.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use schemas::feed::{Change, Kind, decode_frame};
use schemas::settings::Secret;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::session::Ended;
use crate::config::FeedUrl;

/// To connect and to get the head of an answer. On one machine both take a moment; a control plane that needs longer
/// than this is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Most changes taken at once.
const MAX_AT_ONCE: usize = 64;

/// The frames of an answer.
pub(super) struct Frames {
    body: Incoming,
    buffer: BytesMut,
    silence: Duration,
}

/// Asks a control plane. `silence`: how long the answer's body may say nothing.
pub(super) async fn ask(
    url: &FeedUrl,
    token: &Secret,
    request: Request<Full<Bytes>>,
    silence: Duration,
) -> Result<Frames, Ended> {
    let response = send(url, token, request).await?;
    match response.status() {
        StatusCode::OK => Ok(Frames {
            body: response.into_body(),
            buffer: BytesMut::new(),
            silence,
        }),
        status => Err(Ended::Status(status)),
    }
}

/// Sends a request with the feed's token, on a connection of its own.
pub(super) async fn send(
    url: &FeedUrl,
    token: &Secret,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Ended> {
    let connecting = async {
        let stream = TcpStream::connect(url.authority.as_str()).await?;
        stream.set_nodelay(true)?;
        let (here, there) = (stream.local_addr()?, stream.peer_addr()?);
        std::io::Result::Ok((stream, here, there))
    };
    let (stream, here, there) = timeout(ANSWER_TIMEOUT, connecting)
        .await
        .map_err(|_| Ended::Silent)?
        .map_err(Ended::Connect)?;
    if !stays_here(here, there) {
        return Err(Ended::Cleartext);
    }
    let bearer = format!("Bearer {}", token.0);
    let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| Ended::Token)?;
    bearer.set_sensitive(true);
    let host = HeaderValue::from_str(&url.authority).map_err(|_| Ended::Cleartext)?;
    request.headers_mut().insert(AUTHORIZATION, bearer);
    request.headers_mut().insert(HOST, host);
    let answer = async {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the answer's body, which is dropped with the session.
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    timeout(ANSWER_TIMEOUT, answer)
        .await
        .map_err(|_| Ended::Silent)?
        .map_err(Ended::Http)
}

/// Salts travel in clear: so to loopback or to one of this machine's own addresses only.
fn stays_here(here: SocketAddr, there: SocketAddr) -> bool {
    there.ip().to_canonical().is_loopback() || here.ip() == there.ip()
}

impl Frames {
    /// Takes changes that have come already, until all have more than `most` links, without waiting for any.
    pub(super) fn more_changes(
        &mut self,
        most: usize,
        changes: &mut Vec<Change>,
        raws: &mut Vec<Bytes>,
    ) {
        let links = |change: &Change| change.upsert.len() + change.delete.len();
        while changes.iter().map(links).sum::<usize>() < most && changes.len() < MAX_AT_ONCE {
            // Anything else, damage too, is for [`Self::next`].
            let Ok(Some((Kind::Change(change), used))) = decode_frame(&self.buffer) else {
                break;
            };
            changes.push(change);
            raws.push(self.buffer.split_to(used).freeze());
        }
    }

    /// The next frame: what it says, and its bytes.
    pub(super) async fn next(&mut self) -> Result<(Kind, Bytes), Ended> {
        loop {
            if let Some((kind, used)) = decode_frame(&self.buffer).map_err(Ended::Frame)? {
                return Ok((kind, self.buffer.split_to(used).freeze()));
            }
            let frame = timeout(self.silence, self.body.frame())
                .await
                .map_err(|_| Ended::Silent)?
                .ok_or(Ended::Closed)?
                .map_err(Ended::Http)?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}
