//! The accept loop: hyper over TCP with limits and a graceful end.

mod deadline;
mod unread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::metrics;
use deadline::WriteDeadline;
use unread::Unread;

/// Connections open at once. Each costs a file descriptor and some kilobytes; proxies hold one each for the feed.
const MAX_CONNECTIONS: usize = 4096;

/// Longest time for a request's head to arrive, on an idle connection too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest request head, in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Time given to open calls when the process is to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Time for which calls are still taken when the process is to end: it is not ready any more, and balancers need to see that
/// before nobody listens. What is connected and not accepted when a listener closes is reset, and the call is lost.
const LEAVING: Duration = Duration::from_secs(1);

/// Pause after `accept` fails: the cause (no file descriptors) does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until [`LEAVING`] after `shutdown`, then lets open calls finish within [`DRAIN`].
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tasks = TaskTracker::new();
    // Ends what is left when the drain is over.
    let end = CancellationToken::new();
    let closing = CancellationToken::new();
    let mut leaving = std::pin::pin!(async {
        shutdown.cancelled().await;
        tokio::time::sleep(LEAVING).await;
    });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = leaving.as_mut() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            metrics::connection_refused();
            continue;
        };
        let serving = connection(stream, peer, router.clone(), closing.clone());
        let end = end.clone();
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = serving => {}
                () = end.cancelled() => {}
            }
        });
    }
    drop(listener);
    closing.cancel();
    tasks.close();
    if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
        tracing::warn!(
            connections = tasks.len(),
            "connections still open after the drain are closed"
        );
        end.cancel();
        tasks.wait().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    closing: CancellationToken,
) {
    // An answer is one write: waiting for more to send only adds delay.
    let _ = stream.set_nodelay(true);
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (head, body) = request.into_parts();
        let body = Unread::new(body, &head.headers);
        http::Request::from_parts(head, axum::body::Body::new(body))
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(
            TokioIo::new(WriteDeadline::new(stream)),
            TowerToHyperService::new(service),
        );
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = closing.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        // Clients that go away, and requests hyper has answered with 400 or 431 itself.
        tracing::debug!(%error, "connection ended");
    }
}
