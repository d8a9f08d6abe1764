//! One connection: hyper, its deadlines, its end.

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::watched::{Activity, Watched};
use super::worker::Worker;
use crate::client_ip::client_ip;
use crate::handler::decide;
use crate::metrics;
use crate::request::{Head, HostName};

/// A connection as a task of its worker. Taken off the worker's books when dropped.
pub(super) struct Connection {
    http: Pin<Box<http1::Connection<TokioIo<Watched>, Visitor>>>,
    timer: Pin<Box<Sleep>>,
    activity: Rc<Activity>,
    worker: Rc<Worker>,
    number: u64,
    registered: bool,
    timer_set: bool,
    draining: bool,
}

impl Connection {
    pub(super) fn new(
        worker: &Rc<Worker>,
        number: u64,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Self {
        let now = Instant::now();
        let activity = Rc::new(Activity::new(now));
        let io = TokioIo::new(Watched {
            stream,
            activity: Rc::clone(&activity),
        });
        let visitor = Visitor {
            worker: Rc::clone(worker),
            activity: Rc::clone(&activity),
            peer: peer.ip(),
        };
        let limits = &worker.shared.limits;
        let http = http1::Builder::new()
            // Ours are in `watched`.
            .header_read_timeout(None)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER_BYTES))
            .pipeline_flush(true)
            .serve_connection(io, visitor);
        Self {
            http: Box::pin(http),
            timer: Box::pin(sleep_until(activity.look_again(now, limits))),
            activity,
            worker: Rc::clone(worker),
            number,
            registered: false,
            timer_set: false,
            draining: false,
        }
    }
}

/// Least buffer of a connection, in bytes: hyper refuses less.
const MIN_BUFFER_BYTES: usize = 8 << 10;

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.registered {
            this.registered = true;
            this.worker.register(this.number, cx.waker().clone());
        }
        if this.worker.is_draining() && !this.draining {
            this.draining = true;
            this.http.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(result) = this.http.as_mut().poll(cx) {
            if result.is_err_and(|e| e.is_parse() || e.is_parse_too_large()) {
                this.worker.metrics.closed(metrics::Closed::Malformed);
            }
            return Poll::Ready(());
        }
        // Polled once after each setting: at every wake-up it would cost more than it is worth.
        while !this.timer_set || this.timer.is_elapsed() {
            if this.timer.is_elapsed() {
                let now = Instant::now();
                let limits = &this.worker.shared.limits;
                let (deadline, why) = this.activity.deadline(limits);
                if deadline <= now {
                    this.worker.metrics.closed(why);
                    return Poll::Ready(());
                }
                let again = this.activity.look_again(now, limits);
                this.timer.as_mut().reset(again);
            }
            this.timer_set = this.timer.as_mut().poll(cx).is_pending();
        }
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.worker.gone(self.number);
    }
}

/// Answers the requests of one connection.
struct Visitor {
    worker: Rc<Worker>,
    activity: Rc<Activity>,
    peer: IpAddr,
}

impl Service<Request<Incoming>> for Visitor {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    #[inline]
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.activity.head_complete();
        let (parts, _body) = request.into_parts();
        let head = Head {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            client_ip: client_ip(self.peer, &parts.headers, &self.worker.shared.trusted),
        };
        let mut host = HostName::new();
        let table = self.worker.table.load();
        let decision = decide(&head, &table, unix_ms(), &mut host);
        if let Some(visit) = &decision.visit {
            self.worker.record(visit);
        }
        let method = if parts.method == Method::GET {
            metrics::Method::Get
        } else if parts.method == Method::HEAD {
            metrics::Method::Head
        } else {
            metrics::Method::Other
        };
        let answer = decision.answer;
        self.worker.metrics.answered(answer.kind(), method);
        drop(table);
        ready(Ok(answer.into_response(parts.headers)))
    }
}

#[inline]
fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
