//! One connection: the direct path, then perhaps hyper; its deadlines, its end.

use std::future::Future;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::direct::{Direct, End};
use super::extended::{self, Left, Out, Soon, Waiting};
use super::watched::{Activity, Watched};
use super::worker::Worker;
use crate::client_ip::client_ip;
use crate::extended::{Asked, Granted};
use crate::handler::decide;
use crate::metrics::{self, Closed};
use crate::request::{Head, Headers, HostName};

/// A connection as a task of its worker. Taken off the worker's books when dropped.
pub(super) struct Connection {
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    timer_set: bool,
    activity: Rc<Activity>,
    worker: Rc<Worker>,
    peer: IpAddr,
    number: u64,
    registered: bool,
    draining: bool,
    /// New when the drain began, and given time for its first request.
    spared: bool,
}

enum Stage {
    /// Plain requests only, so far.
    Direct(Direct),
    /// Requests and answers.
    Serving(Box<http1::Connection<TokioIo<Watched>, Visitor>>),
    /// The last answer is out, and the client may still be sending. Were the socket closed on bytes nobody has read, the
    /// kernel would reset the connection and the client might never see the answer.
    Lingering(Watched, usize),
    Done,
}

/// Least buffer of a connection, in bytes: hyper refuses less.
const MIN_BUFFER_BYTES: usize = 8 << 10;

/// How long, and for how many bytes, a client that was answered may go on sending.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How long a connection that is new when the drain begins may take for its first bytes. Short: browsers open
/// connections that they never use.
const SPARE: Duration = Duration::from_secs(1);

impl Connection {
    pub(super) fn new(
        worker: &Rc<Worker>,
        number: u64,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Self {
        let now = Instant::now();
        let activity = Rc::new(Activity::new(now));
        let socket = Watched::new(stream, Rc::clone(&activity));
        let limits = &worker.shared.limits;
        Self {
            stage: Stage::Direct(Direct::new(socket, peer.ip())),
            peer: peer.ip(),
            timer: Box::pin(sleep_until(activity.look_again(now, limits))),
            timer_set: false,
            activity,
            worker: Rc::clone(worker),
            number,
            registered: false,
            draining: false,
            spared: false,
        }
    }

    /// Hands the connection to hyper, from the first byte that is not answered.
    fn switch_to_http(&mut self) {
        let Stage::Direct(direct) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        let visitor = Visitor {
            worker: Rc::clone(&self.worker),
            activity: Rc::clone(&self.activity),
            peer: self.peer,
        };
        let header_bytes = self.worker.shared.limits.header_bytes;
        let http = http1::Builder::new()
            // Ours are in `watched`.
            .header_read_timeout(None)
            .max_header_size(header_bytes)
            .max_buf_size(header_bytes.max(MIN_BUFFER_BYTES))
            // Answers are a head and at most a page: one `send` of one buffer. With `writev`, hyper fills in a kilobyte of
            // iovecs for every answer and the kernel takes the longer way: 0.3 to 0.5 µs an answer more.
            .writev(false)
            // A client may close its side behind its request and still wants the answer.
            .half_close(true)
            // No `pipeline_flush`: with bytes of a body or of a malformed head left in its buffer, hyper would never
            // send the answer.
            .serve_connection(TokioIo::new(direct.into_socket()), visitor);
        self.stage = Stage::Serving(Box::new(http));
    }

    /// Whether the worker drains and this connection has to be told, or given time for its first request.
    fn must_drain(&mut self) -> bool {
        if !self.worker.is_draining() || self.draining {
            return false;
        }
        if self.activity.has_sent() {
            self.draining = true;
            return true;
        }
        if !self.spared {
            // Nothing has come yet, and the first request may be in the socket already.
            self.spared = true;
            self.timer.as_mut().reset(Instant::now() + SPARE);
            self.timer_set = false;
        }
        false
    }

    fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Direct(direct) = &mut self.stage {
            match direct.poll(cx, &self.worker) {
                Poll::Ready(End::Closed) => return Poll::Ready(()),
                Poll::Ready(End::Http) => {
                    // A request that came while draining is answered; hyper, told to drain before it has read
                    // anything, would hang up. Its answer says that it is the last.
                    self.draining = self.worker.is_draining();
                    self.switch_to_http();
                }
                Poll::Pending => {
                    let idle = direct.is_idle();
                    return match self.must_drain() && idle {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    };
                }
            }
        }
        let drain = self.must_drain();
        if let Stage::Serving(http) = &mut self.stage {
            if drain {
                Pin::new(&mut **http).graceful_shutdown();
            }
            let Poll::Ready(result) = Pin::new(&mut **http).poll(cx) else {
                return Poll::Pending;
            };
            if let Some(download) = self.activity.leaving() {
                self.leave(*download);
                return Poll::Ready(());
            }
            if let Err(error) = &result
                && (error.is_parse() || error.is_parse_too_large())
            {
                self.worker.metrics.closed(Closed::Malformed);
            } else if !self.activity.has_body_left() {
                return Poll::Ready(());
            }
            self.linger();
        }
        let Stage::Lingering(socket, left) = &mut self.stage else {
            return Poll::Ready(());
        };
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        loop {
            let mut read = ReadBuf::uninit(&mut buffer);
            match Pin::new(&mut socket.stream).poll_read(cx, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    let got = read.filled().len();
                    let Some(rest) = left.checked_sub(got) else {
                        return Poll::Ready(());
                    };
                    *left = rest;
                }
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    /// Gives the socket to those who send files.
    fn leave(&mut self, download: extended::Download) {
        let Stage::Serving(http) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        let socket = http.into_parts().io.into_inner();
        // Bytes of an earlier answer are left in hyper's buffer, since the client takes none: this one cannot follow them.
        if self.activity.is_stalled() {
            self.worker.metrics.closed(Closed::Write);
            return;
        }
        match socket.stream.into_std() {
            Ok(stream) => {
                let files = &self.worker.shared.gates.files;
                files.send(stream, download.head, download.opened);
            }
            Err(_) => self.worker.metrics.closed(Closed::Write),
        }
    }

    fn linger(&mut self) {
        if let Stage::Serving(http) = std::mem::replace(&mut self.stage, Stage::Done) {
            let socket = http.into_parts().io.into_inner();
            // hyper shuts our side down at the end of its own accord, but not after an error.
            let _ = SockRef::from(&socket.stream).shutdown(Shutdown::Write);
            self.stage = Stage::Lingering(socket, LINGER_BYTES);
            self.timer.as_mut().reset(Instant::now() + LINGER);
            self.timer_set = false;
        }
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if !this.registered {
            this.registered = true;
            this.worker.register(this.number, cx.waker().clone());
        }
        if this.poll_stage(cx).is_ready() {
            return Poll::Ready(());
        }
        // Polled once after each setting: at every wake-up it would cost more than it is worth.
        while !this.timer_set || this.timer.is_elapsed() {
            if this.timer.is_elapsed() {
                let now = Instant::now();
                let limits = &this.worker.shared.limits;
                let silent = this.spared && !this.activity.has_sent();
                if silent || matches!(this.stage, Stage::Lingering(..)) {
                    return Poll::Ready(());
                }
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
    type Error = Left;
    type Future = Soon;

    #[inline]
    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (parts, body) = request.into_parts();
        // Only a form is read, by `extended`; hyper closes the connection behind an answer whose request it has not read whole.
        self.activity.head_complete(!body.is_end_stream());
        let headers = Headers::Map(&parts.headers);
        let client_ip = client_ip(self.peer, headers, &self.worker.shared.trusted);
        let head = Head::of(&parts, client_ip);
        let mut host = HostName::new();
        let table = self.worker.table.load();
        let now_ms = unix_ms();
        let decision = decide(&head, &table, now_ms, &mut host);
        let mut response = match decision.extended {
            Some((entry, host)) => {
                let asked = Asked {
                    head,
                    table: &table,
                    now_ms,
                    host,
                    senses: &self.worker.senses,
                    gates: &self.worker.shared.gates,
                };
                let mut granted = Granted::default();
                match extended::answer(&self.worker, &asked, entry, &mut granted) {
                    Ok(Out::Answer(response)) => response,
                    Ok(leave) => return Soon::Now(Some(leave.or_leave(&self.activity))),
                    Err(wait) => {
                        let client_ip = head.client_ip;
                        drop(table);
                        let waiting = Waiting {
                            worker: Rc::clone(&self.worker),
                            activity: Rc::clone(&self.activity),
                            parts,
                            body: Some(body),
                            client_ip,
                            granted,
                        };
                        return Soon::Later(Box::pin(waiting.answer(wait)));
                    }
                }
            }
            None => {
                if let Some(visit) = &decision.visit {
                    self.worker.record(visit);
                }
                let answer = decision.answer;
                let method = metrics::Method::of(&parts.method);
                self.worker.metrics.answered(answer.kind(), method);
                answer.into_response()
            }
        };
        if self.worker.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(CONNECTION, close);
        }
        Soon::Now(Some(Ok(response)))
    }
}

#[inline]
pub(super) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
