//! Answers to requests for links that do more than redirect, waiting where that must be.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use schemas::feed::paths;
use schemas::link::Entry;
use tokio::time::timeout;

use super::body::{Sliced, is_large};
use super::connection::unix_ms;
use super::watched::Activity;
use super::worker::Worker;
use crate::answer::{Date, Kind};
use crate::enrich::form_decoded;
use crate::extended::{Asked, Decided, Granted, Reply, Response, Wait, decide};
use crate::files::{Closed, Opened};
use crate::gates::Checked;
use crate::handler;
use crate::metrics::Method;
use crate::pages::own::PASSWORD_FIELD;
use crate::request::{Head, HostName};

/// How long a form may take to arrive.
const FORM_DEADLINE: Duration = Duration::from_secs(5);

/// How long the control plane may take with a form (design of forwarded forms), and how much it may answer.
const FORWARD_DEADLINE: Duration = Duration::from_secs(2);
const MAX_FORWARDED_BYTES: usize = 256 << 10;

/// Times a request may wait for something: a password, two leases, two pages or a file that changes meanwhile, and one that
/// another visitor got first.
const MAX_WAITS: usize = 6;

const X_LINK: HeaderName = HeaderName::from_static("x-signpost-link");
const X_VISITOR: HeaderName = HeaderName::from_static("x-signpost-visitor");

/// What a request comes to.
pub(super) enum Out {
    /// An answer.
    Answer(Response),
    /// The connection leaves, with a download.
    Leave(Box<Download>),
}

/// A download that is to take its connection with it.
#[derive(Debug)]
pub(super) struct Download {
    /// The answer, without what is sent behind it.
    pub(super) response: Response,
    /// What is sent behind it.
    pub(super) opened: Opened,
}

impl Download {
    /// The answer's head as bytes of HTTP/1.1.
    pub(super) fn head(&self) -> Vec<u8> {
        last_head(&self.response, unix_ms())
    }
}

/// How hyper is told to let go of a connection.
#[derive(Debug, thiserror::Error)]
#[error("the connection is a download's from here on")]
pub(super) struct Left;

impl Out {
    /// For hyper's HTTP/1, which carries answers only: a download is left with the connection.
    #[inline]
    pub(super) fn or_leave(
        self,
        worker: &Worker,
        activity: &Rc<Activity>,
    ) -> Result<http::Response<Sliced>, Left> {
        match self {
            Self::Answer(mut response) => {
                // A body that nobody has read ends the connection: only forms are, by `form`.
                if worker.is_draining() || activity.has_body_left() {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok(response.map(|body| Sliced::new(body, &worker.shared, activity)))
            }
            Self::Leave(download) => {
                activity.leave_with(download);
                Err(Left)
            }
        }
    }
}

/// What becomes of a request: it is answered, or waited for.
pub(super) enum Begun {
    /// The answer is there.
    Now(Out),
    /// It is waited for.
    Later(Pin<Box<dyn Future<Output = Out>>>),
}

/// An answer of HTTP/1, now or after waiting.
pub(super) enum Soon {
    /// It is there.
    Now(Option<Result<http::Response<Sliced>, Left>>),
    /// It is waited for.
    Later(Pin<Box<dyn Future<Output = Out>>>, Rc<Worker>, Underway),
}

/// A request of HTTP/1 that is being answered: so long its connection is not idle.
pub(super) struct Underway(Rc<Activity>);

impl Underway {
    pub(super) fn new(activity: &Rc<Activity>) -> Self {
        activity.answering();
        Self(Rc::clone(activity))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl Future for Soon {
    type Output = Result<http::Response<Sliced>, Left>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            // hyper asks once.
            Self::Now(response) => response.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(future, worker, underway) => {
                let out = ready!(future.as_mut().poll(cx));
                Poll::Ready(out.or_leave(worker, &underway.0))
            }
        }
    }
}

/// The answer, its visits recorded; or what must be waited for.
#[cold]
pub(super) fn answer(
    worker: &Worker,
    activity: &Activity,
    asked: &Asked<'_>,
    entry: Entry<'_>,
    granted: &mut Granted,
) -> Result<Out, Wait> {
    match decide(asked, entry, granted) {
        Decided::Answer(answered) => {
            let method = Method::of(asked.head.method);
            if is_large(answered.response.body()) && worker.shared.unsent.is_full(activity) {
                // It counts for nothing. Small answers, redirects first of all, go on.
                granted.give_back(asked.gates);
                let reply = Reply::own(Kind::GateBusy);
                worker.metrics.answered(reply.kind, method);
                return Ok(Out::Answer(reply.into_response(&asked.head)));
            }
            for visit in answered.visits.iter().flatten() {
                worker.record(visit);
            }
            granted.used();
            worker.metrics.answered(answered.kind, method);
            let Some(opened) = answered.download else {
                return Ok(Out::Answer(answered.response));
            };
            Ok(Out::Leave(Box::new(Download {
                response: answered.response,
                opened: *opened,
            })))
        }
        Decided::Wait(wait) => Err(wait),
    }
}

/// A redirect that is decided without waiting, its visits recorded. `None`: it is something else, and nothing has happened.
#[cold]
pub(super) fn redirect(worker: &Worker, asked: &Asked<'_>, entry: Entry<'_>) -> Option<Response> {
    let mut granted = Granted::default();
    let answered = match decide(asked, entry, &mut granted) {
        Decided::Answer(answered) if is_redirect(&answered.response) => answered,
        Decided::Answer(_) | Decided::Wait(_) => {
            granted.give_back(&worker.shared.gates);
            return None;
        }
    };
    for visit in answered.visits.iter().flatten() {
        worker.record(visit);
    }
    worker.metrics.answered(answered.kind, Method::Get);
    Some(answered.response)
}

fn is_redirect(response: &Response) -> bool {
    response.headers().contains_key(LOCATION) && response.body().size_hint().exact() == Some(0)
}

/// The bytes of a redirect, as hyper would send it.
pub(super) fn write_redirect(response: &Response, date: &[u8], out: &mut Vec<u8>) {
    write_head(response, out);
    out.extend_from_slice(b"content-length: 0\r\ndate: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
}

/// The head of a connection's last answer, as bytes.
fn last_head(response: &Response, now_ms: i64) -> Vec<u8> {
    let mut head = Vec::new();
    write_head(response, &mut head);
    head.extend_from_slice(b"connection: close\r\ndate: ");
    head.extend_from_slice(Date::default().at(now_ms));
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// Status line and headers, without the end.
fn write_head(response: &Response, out: &mut Vec<u8>) {
    let status = response.status();
    let reason = status.canonical_reason().unwrap_or_default().as_bytes();
    for part in [
        b"HTTP/1.1 ",
        status.as_str().as_bytes(),
        b" ",
        reason,
        b"\r\n",
    ] {
        out.extend_from_slice(part);
    }
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// A request that waits.
pub(super) struct Waiting {
    pub(super) worker: Rc<Worker>,
    pub(super) activity: Rc<Activity>,
    pub(super) parts: Parts,
    pub(super) body: Option<Incoming>,
    pub(super) client_ip: IpAddr,
    pub(super) secure: bool,
    pub(super) granted: Granted,
}

impl Drop for Waiting {
    /// Whoever goes away while he waits, or is sent away at the end, has not used up a click limit. What was used for a visit
    /// that is recorded is not in there any more.
    fn drop(&mut self) {
        self.granted.give_back(&self.worker.shared.gates);
    }
}

impl Waiting {
    /// Waits for this, then for whatever else, then answers.
    pub(super) async fn answer(mut self, mut wait: Wait) -> Out {
        let mut out = None;
        for _ in 0..MAX_WAITS {
            if let Err(reply) = self.wait(wait).await {
                out = Some(Out::Answer(self.finish(reply)));
                break;
            }
            match self.again() {
                Ok(answered) => {
                    out = Some(answered);
                    break;
                }
                Err(next) => wait = next,
            }
        }
        out.unwrap_or_else(|| Out::Answer(self.finish(Reply::own(Kind::GateBusy))))
    }

    /// Decides anew, with the newest table.
    fn again(&mut self) -> Result<Out, Wait> {
        let worker = &self.worker;
        let head = Head {
            secure: self.secure,
            ..Head::of(&self.parts, self.client_ip)
        };
        let mut host = HostName::new();
        let table = worker.table.load();
        let now_ms = unix_ms();
        let decision = handler::decide(&head, &table, now_ms, &mut host);
        let Some((entry, host)) = decision.extended else {
            // It was edited meanwhile.
            if let Some(visit) = &decision.visit {
                worker.record(visit);
            }
            let method = Method::of(head.method);
            worker.metrics.answered(decision.answer.kind(), method);
            self.granted.give_back(&worker.shared.gates);
            return Ok(Out::Answer(decision.answer.into_response()));
        };
        let asked = Asked {
            head,
            table: &table,
            now_ms,
            host,
            senses: &worker.senses,
            gates: &worker.shared.gates,
        };
        answer(worker, &self.activity, &asked, entry, &mut self.granted)
    }

    /// An answer that is none of a link's.
    fn finish(&mut self, reply: Reply) -> Response {
        self.granted.give_back(&self.worker.shared.gates);
        let method = Method::of(&self.parts.method);
        self.worker.metrics.answered(reply.kind, method);
        reply.into_response(&Head::of(&self.parts, self.client_ip))
    }

    /// Waits; what to answer when that was in vain.
    async fn wait(&mut self, wait: Wait) -> Result<(), Reply> {
        let worker = Rc::clone(&self.worker);
        let gates = &worker.shared.gates;
        match wait {
            Wait::Lease { link } => gates.leases.ask(link, unix_ms()).await,
            Wait::Blob { hash } => {
                let bytes = gates.blobs.load(hash).await;
                self.granted.add_blob(hash, bytes);
            }
            Wait::File(wanted) => match gates.files.open(wanted, self.client_ip).await {
                Ok(opened) => self.granted.add_file(opened),
                Err(Closed::Busy) => return Err(Reply::own(Kind::GateBusy)),
                Err(Closed::Missing) => return Err(Reply::own(Kind::BodyMissing)),
            },
            Wait::Password { link, phc } => {
                let form = self.form().await?;
                let password = field(&form, PASSWORD_FIELD.as_bytes());
                let checked = gates
                    .passwords
                    .check(self.client_ip, &password, &phc, unix_ms());
                match checked.await {
                    Checked::Right => self.granted.password = Some(link),
                    Checked::Wrong => {
                        return Err(Reply::password(Some("That was not it. Please try again.")));
                    }
                    Checked::Limited => return Err(Reply::own(Kind::PasswordLimited)),
                    Checked::Busy => return Err(Reply::own(Kind::GateBusy)),
                }
            }
            Wait::Form { link } => return Err(self.forward(link).await),
        }
        Ok(())
    }

    /// The request's body. It is read once.
    async fn form(&mut self) -> Result<Bytes, Reply> {
        let Some(body) = self.body.take() else {
            return Ok(Bytes::new());
        };
        let most = self.worker.shared.limits.body_bytes;
        let read = Limited::new(body, usize::try_from(most).unwrap_or(usize::MAX)).collect();
        match timeout(FORM_DEADLINE, read).await {
            Ok(Ok(body)) => {
                self.activity.head_complete(false);
                Ok(body.to_bytes())
            }
            _ => Err(Reply::own(Kind::BadRequest)),
        }
    }

    /// Passes a form on, and its answer back.
    async fn forward(&mut self, link: u64) -> Reply {
        let busy = Reply::own(Kind::GateBusy);
        let worker = Rc::clone(&self.worker);
        let Some(caller) = &worker.shared.gates.caller else {
            return busy;
        };
        let form = match self.form().await {
            Ok(form) => form,
            Err(reply) => return reply,
        };
        let mut headers = HeaderMap::new();
        if let Some(kind) = self.parts.headers.get(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, kind.clone());
        }
        headers.insert(X_LINK, link.into());
        if let Ok(visitor) = HeaderValue::from_str(&self.client_ip.to_string()) {
            headers.insert(X_VISITOR, visitor);
        }
        let path = format!("{}/form", paths::VISITOR);
        let answer = caller
            .call(
                (http::Method::POST, &path),
                headers,
                form,
                MAX_FORWARDED_BYTES,
                FORWARD_DEADLINE,
            )
            .await;
        let Some(answer) = answer.filter(|a| a.status.as_u16() < 500) else {
            return busy;
        };
        // Nothing else of its headers: what the control plane says of itself is not for visitors.
        let kept = [
            CONTENT_TYPE,
            LOCATION,
            CACHE_CONTROL,
            http::header::CONTENT_SECURITY_POLICY,
        ];
        let kept = kept
            .into_iter()
            .filter_map(|name| Some((name.clone(), answer.headers.get(&name)?.clone())));
        let status = match answer.status {
            // The feed's token is none of the visitor's business.
            StatusCode::UNAUTHORIZED => return busy,
            status => status,
        };
        Reply::forwarded(status, kept.collect(), answer.body)
    }
}

/// The first value of a form's field.
fn field(form: &[u8], name: &[u8]) -> Vec<u8> {
    form.split(|b| *b == b'&')
        .find_map(|pair| {
            let at = pair.iter().position(|b| *b == b'=')?;
            let (key, value) = pair.split_at_checked(at)?;
            (form_decoded(key) == name)
                .then(|| form_decoded(value.get(1..).unwrap_or_default()).into_owned())
        })
        .unwrap_or_default()
}
