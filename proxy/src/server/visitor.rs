//! Answers the requests that hyper has read, of HTTP/1 and of HTTP/2.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::rt::Executor;
use hyper::service::Service;
use tokio::sync::mpsc::Receiver;

use super::connection::unix_ms;
use super::extended::{self, Begun, Left, Out, Soon, Waiting};
use super::watched::Activity;
use super::worker::Worker;
use crate::client_ip::{client_ip, said_secure};
use crate::extended::{Asked, Granted};
use crate::files::{Broken, Piece};
use crate::handler::decide;
use crate::metrics;
use crate::request::{Head, Headers, HostName};

/// Who is at the other end of a connection.
pub(super) struct Visitor {
    pub(super) worker: Rc<Worker>,
    pub(super) activity: Rc<Activity>,
    pub(super) peer: IpAddr,
    /// Came over TLS to us, or to the balancer that says so in its first bytes.
    pub(super) secure: bool,
}

impl Visitor {
    #[inline]
    fn begin(&self, request: Request<Incoming>) -> Begun {
        let (parts, body) = request.into_parts();
        #[cfg(test)]
        super::tests::perhaps_panic(parts.uri.path());
        let headers = Headers::Map(&parts.headers);
        let trusted = &self.worker.shared.trusted;
        let client_ip = client_ip(self.peer, headers, trusted);
        let secure = self.secure || said_secure(self.peer, headers, trusted);
        let head = Head {
            secure,
            ..Head::of(&parts, client_ip)
        };
        let mut host = HostName::new();
        let table = self.worker.table.load();
        let now_ms = unix_ms();
        let decision = decide(&head, &table, now_ms, &mut host);
        let Some((entry, host)) = decision.extended else {
            if let Some(visit) = &decision.visit {
                self.worker.record(visit);
            }
            let answer = decision.answer;
            let method = metrics::Method::of(&parts.method);
            self.worker.metrics.answered(answer.kind(), method);
            return Begun::Now(Out::Answer(answer.into_response()));
        };
        let asked = Asked {
            head,
            table: &table,
            now_ms,
            host,
            senses: &self.worker.senses,
            gates: &self.worker.shared.gates,
        };
        let mut granted = Granted::default();
        let wait = match extended::answer(&self.worker, &asked, entry, &mut granted) {
            Ok(out) => return Begun::Now(out),
            Err(wait) => wait,
        };
        drop(table);
        let waiting = Waiting {
            worker: Rc::clone(&self.worker),
            activity: Rc::clone(&self.activity),
            parts,
            body: Some(body),
            client_ip,
            secure,
            granted,
        };
        Begun::Later(Box::pin(waiting.answer(wait)))
    }
}

impl Service<Request<Incoming>> for Visitor {
    type Response = Response<Full<Bytes>>;
    type Error = Left;
    type Future = Soon;

    #[inline]
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        self.activity.head_complete(has_body);
        match self.begin(request) {
            Begun::Now(out) => Soon::Now(Some(out.or_leave(&self.worker, &self.activity))),
            Begun::Later(out) => {
                Soon::Later(out, Rc::clone(&self.worker), Rc::clone(&self.activity))
            }
        }
    }
}

/// The same for HTTP/2, where many requests of one connection are answered at a time.
#[derive(Clone)]
pub(super) struct Many(pub(super) Rc<Visitor>);

impl Service<Request<Incoming>> for Many {
    type Response = Response<Carried>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answering = Answering::new(&self.0.activity);
        let is_head = request.method() == Method::HEAD;
        let visitor = Rc::clone(&self.0);
        Box::pin(async move {
            let out = match visitor.begin(request) {
                Begun::Now(out) => out,
                Begun::Later(out) => out.await,
            };
            Ok(match out {
                Out::Answer(mut response) => {
                    if is_head {
                        without_body(&mut response);
                    }
                    response.map(|body| Carried {
                        body: Carrying::Whole(body),
                        _answering: answering,
                    })
                }
                Out::Leave(download) => {
                    let files = &visitor.worker.shared.gates.files;
                    let pieces = files.pieces(download.opened);
                    download.response.map(|_| Carried {
                        body: Carrying::Pieces(pieces),
                        _answering: answering,
                    })
                }
            })
        })
    }
}

/// Leaves of a body its length: with HTTP/1 hyper does so by itself when only the head was asked for.
fn without_body(response: &mut Response<Full<Bytes>>) {
    let body = std::mem::take(response.body_mut());
    if let Some(length @ 1..) = body.size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
}

/// A request of HTTP/2 that is being answered, until this is dropped: so long its connection is not idle.
struct Answering(Rc<Activity>);

impl Answering {
    fn new(activity: &Rc<Activity>) -> Self {
        activity.answering();
        Self(Rc::clone(activity))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A body of HTTP/2.
pub(super) struct Carried {
    body: Carrying,
    _answering: Answering,
}

enum Carrying {
    Whole(Full<Bytes>),
    /// A download: one connection carries it and other answers, so it cannot take the connection with it.
    Pieces(Receiver<Piece>),
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.body {
            Carrying::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Carrying::Pieces(pieces) => pieces
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Carrying::Whole(body) => body.is_end_stream(),
            Carrying::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Carrying::Whole(body) => body.size_hint(),
            Carrying::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Runs the tasks of HTTP/2 on the connection's own thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here;

impl<F> Executor<F> for Here
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}
