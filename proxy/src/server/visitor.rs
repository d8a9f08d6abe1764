//! Answers the requests that hyper has read, of HTTP/1 and of HTTP/2.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::rt::Executor;
use hyper::service::Service;

use super::body::{Carried, Sliced};
use super::connection::unix_ms;
use super::extended::{self, Begun, Left, Out, Soon, Underway, Waiting};
use super::strict::Fault;
use super::watched::Activity;
use super::worker::Worker;
use crate::client_ip::{Trusted, client_ip, said_secure};
use crate::extended::{Asked, Granted};
use crate::handler::decide;
use crate::metrics::{self, Closed};
use crate::request::{Head, Headers, HostName};

/// Who is at the other end of a connection.
pub(super) struct Visitor {
    pub(super) worker: Rc<Worker>,
    pub(super) activity: Rc<Activity>,
    pub(super) peer: IpAddr,
    /// Came over TLS to us, or to the balancer that says so in its first bytes.
    pub(super) secure: bool,
    /// A balancer that names no visitor: its headers are not believed.
    pub(super) unnamed: bool,
}

/// Nobody's word is taken.
static NOBODY: Trusted = Trusted(Vec::new());

impl Visitor {
    /// What of a request's head is too large. With HTTP/1 it is not read then (`strict`).
    fn too_large(&self, request: &Request<Incoming>) -> Option<Fault> {
        let limits = &self.worker.shared.limits;
        let target = request.uri().path_and_query();
        let target = target.map_or(0, |target| target.as_str().len());
        // As HTTP/1 would write it, without the version.
        if request.method().as_str().len() + 1 + target > limits.request_line_bytes {
            return Some(Fault::RequestLine);
        }
        (request.headers().len() > limits.headers).then_some(Fault::HeadLines)
    }

    #[inline]
    fn begin(&self, request: Request<Incoming>) -> Begun {
        let (parts, body) = request.into_parts();
        #[cfg(test)]
        super::tests::perhaps_panic(parts.uri.path());
        let headers = Headers::Map(&parts.headers);
        let trusted = match self.unnamed {
            true => &NOBODY,
            false => &self.worker.shared.trusted,
        };
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
        let answered = extended::answer(&self.worker, &self.activity, &asked, entry, &mut granted);
        let wait = match answered {
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
    type Response = Response<Sliced>;
    type Error = Left;
    type Future = Soon;

    #[inline]
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        self.activity.head_complete(has_body);
        match self.begin(request) {
            Begun::Now(out) => Soon::Now(Some(out.or_leave(&self.worker, &self.activity))),
            Begun::Later(out) => {
                Soon::Later(out, Rc::clone(&self.worker), Underway::new(&self.activity))
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
        let visitor = Rc::clone(&self.0);
        let answering = Answering::new(&visitor);
        let is_head = request.method() == Method::HEAD;
        Box::pin(async move {
            let activity = &visitor.activity;
            let whole = |body, answering| {
                let body = Sliced::new(body, &visitor.worker.shared, activity);
                Carried::whole(body, activity, answering)
            };
            if let Some(fault) = visitor.too_large(&request) {
                activity.refuse_many(fault);
                let mut response = Response::new(whole(Full::default(), answering));
                *response.status_mut() = fault.status_code();
                return Ok(response);
            }
            let out = match visitor.begin(request) {
                Begun::Now(out) => out,
                Begun::Later(out) => out.await,
            };
            Ok(match out {
                Out::Answer(mut response) => {
                    if is_head {
                        without_body(&mut response);
                    }
                    response.map(|body| whole(body, answering))
                }
                Out::Leave(download) => {
                    let files = &visitor.worker.shared.gates.files;
                    let range = &download.opened.wanted.range;
                    let left = range.end.saturating_sub(range.start);
                    let pieces = files.pieces(download.opened);
                    let body = Carried::pieces(pieces, left, activity, answering);
                    download.response.map(|_| body)
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
pub(super) struct Answering(Rc<Visitor>);

impl Answering {
    fn new(visitor: &Rc<Visitor>) -> Self {
        visitor.activity.answering();
        Self(Rc::clone(visitor))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A request is a task of its own: it costs its stream, and not the connection.
            self.0.worker.metrics.closed(Closed::Panic);
        }
        self.0.activity.answered();
    }
}

/// Whether a client of HTTP/2 was hung up on for what it did.
pub(super) fn broke_the_rules(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    let cause = cause.and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(h2::Error::is_library)
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
