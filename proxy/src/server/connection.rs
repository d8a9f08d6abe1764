//! One connection: what opens it, the direct path, then perhaps hyper; its deadlines, its end.

use std::future::Future;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::server::Accept;

use super::Accepted;
use super::addresses::Seat;
use super::direct::{Direct, End};
use super::extended::Download;
use super::linger::{LINGER, Lingering};
use super::preface::{Opening, Preface, visitor};
use super::proxy_protocol::Said;
use super::strict::Bounds;
use super::visitor::{Here, Many, Visitor, broke_the_rules};
use super::watched::{Activity, Watched};
use super::worker::Worker;
use crate::metrics::Closed;
use crate::tls::H2;
use crate::transport::Transport;

/// A connection as a task of its worker. Taken off the worker's books when dropped.
pub(super) struct Connection {
    stage: Stage,
    timer: Pin<Box<Sleep>>,
    timer_set: bool,
    activity: Rc<Activity>,
    worker: Rc<Worker>,
    /// The visitor, or a proxy that sends its requests.
    peer: IpAddr,
    /// The balancer in front says that the visitor came to it over TLS.
    secure: bool,
    /// Its balancer names no visitor.
    unnamed: bool,
    /// Speaks TLS.
    tls: bool,
    /// Its place among those of its address.
    seat: Option<Seat>,
    number: u64,
    registered: bool,
    /// Set when the worker drains: until then it may go on being idle.
    grace: Option<Instant>,
    /// The grace is over.
    told: bool,
    /// There are many connections, and its deadlines are shorter.
    of_many: bool,
    /// HTTP/2 was told to end for being idle, and has until then to say that it is not.
    parting: Option<Instant>,
}

enum Stage {
    /// A header of the PROXY protocol is due, or looked out for.
    Opening(Preface),
    /// The handshake of TLS, and whether its client has begun it.
    Handshake(Box<Accept<TcpStream>>, bool),
    /// Plain requests only, so far.
    Direct(Direct),
    /// Requests and answers.
    Serving(Box<http1::Connection<TokioIo<Watched>, Visitor>>),
    /// Many of them at a time.
    Http2(Box<http2::Connection<TokioIo<Watched>, Many, Here>>),
    /// The last answer is out, or goes out now.
    Lingering(Box<Lingering>),
    Done,
}

/// Least buffer of a connection, in bytes: hyper refuses less.
const MIN_BUFFER_BYTES: usize = 8 << 10;

/// How long a connection may be idle when the drain has begun. Its client may just be sending a request, which is answered,
/// and whose answer says that it is the last; were it closed at once, the request would be lost. Short: browsers open
/// connections that they never use.
const GRACE: Duration = Duration::from_secs(1);

/// Requests of one connection that are answered at a time, with HTTP/2.
const STREAMS: u32 = 100;

/// Least bytes that a client may send before they are read, with HTTP/2: the protocol's own default.
const LEAST_WINDOW: u32 = (64 << 10) - 1;

/// Bytes of answers that wait in memory for one request, with HTTP/2.
const STREAM_BYTES: usize = 64 << 10;

impl Connection {
    pub(super) fn new(worker: &Rc<Worker>, number: u64, stream: TcpStream, of: Accepted) -> Self {
        let now = Instant::now();
        let activity = Rc::new(Activity::new(now));
        let shared = &worker.shared;
        let peer = of.peer.ip();
        let mut this = Self {
            stage: Stage::Done,
            peer,
            secure: false,
            unnamed: false,
            tls: of.tls,
            seat: of.seat,
            timer: Box::pin(sleep_until(activity.look_again(now, &shared.limits))),
            timer_set: false,
            activity,
            worker: Rc::clone(worker),
            number,
            registered: false,
            grace: None,
            told: false,
            of_many: false,
            parting: None,
        };
        if shared.proxy_protocol {
            let trusted = shared.trusted.contains(peer.to_canonical());
            this.stage = Stage::Opening(Preface::new(stream, trusted));
        } else {
            this.opened(stream);
        }
        this
    }

    /// Requests are next, or TLS.
    fn opened(&mut self, stream: TcpStream) {
        let shared = &self.worker.shared;
        self.stage = match &shared.tls {
            Some(tls) if self.tls => {
                // A balancer begins as many as it has visitors.
                let trusted = shared.trusted.contains(self.peer.to_canonical());
                if !trusted && !shared.handshakes.may_begin(self.peer, Instant::now()) {
                    self.worker.metrics.closed(Closed::Handshakes);
                    return;
                }
                Stage::Handshake(Box::new(tls.accept(stream)), false)
            }
            _ => {
                self.begin_http(Transport::Plain(stream));
                return;
            }
        };
    }

    /// Requests are next.
    fn begin_http(&mut self, transport: Transport) {
        let socket = Watched::new(transport, Rc::clone(&self.activity));
        self.stage = Stage::Direct(Direct::new(socket, self.peer));
        if self.unnamed {
            // The direct path believes whoever is trusted.
            self.switch_to_http();
        }
    }

    /// Believes what the balancer says of its visitor; false: there are too many of that address.
    fn believe(&mut self, said: Option<Said>) -> bool {
        let peer = self.peer;
        (self.peer, self.secure) = visitor(said, peer);
        self.unnamed = said.is_some_and(|said| said.visitor.is_none());
        if self.peer == peer {
            return true;
        }
        let shared = &self.worker.shared;
        if shared.trusted.contains(self.peer.to_canonical()) {
            return true;
        }
        self.seat = shared.addresses.seat(self.peer);
        self.seat.is_some()
    }

    fn visitor(&self) -> Visitor {
        Visitor {
            worker: Rc::clone(&self.worker),
            activity: Rc::clone(&self.activity),
            peer: self.peer,
            secure: self.secure || self.tls,
            unnamed: self.unnamed,
        }
    }

    /// Hands the connection to hyper, from the first byte that is not answered.
    fn switch_to_http(&mut self) {
        let Stage::Direct(direct) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return;
        };
        let limits = &self.worker.shared.limits;
        let mut socket = direct.into_socket();
        socket.read_strictly(Bounds::from(limits));
        let http = http1::Builder::new()
            // Ours are in `watched`.
            .header_read_timeout(None)
            .max_header_size(limits.header_bytes)
            .max_buf_size(limits.header_bytes.max(MIN_BUFFER_BYTES))
            // Answers are a head and at most a page: one `send` of one buffer. With `writev`, hyper fills in a kilobyte of
            // iovecs for every answer and the kernel takes the longer way: 0.3 to 0.5 µs an answer more.
            .writev(false)
            // A client may close its side behind its request and still wants the answer.
            .half_close(true)
            // No `pipeline_flush`: with bytes of a body or of a malformed head left in its buffer, hyper would never
            // send the answer.
            .serve_connection(TokioIo::new(socket), self.visitor());
        self.stage = Stage::Serving(Box::new(http));
    }

    fn serve_http2(&mut self, transport: Transport) {
        let limits = &self.worker.shared.limits;
        self.activity.speak_http2(Instant::now());
        let socket = Watched::new(transport, Rc::clone(&self.activity));
        // A client may send what a form may have, and not hyper's megabyte a request.
        let window = u32::try_from(limits.body_bytes).unwrap_or(u32::MAX);
        let window = window.max(LEAST_WINDOW);
        let http = http2::Builder::new(Here)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS)
            .max_send_buf_size(STREAM_BYTES)
            .initial_stream_window_size(window)
            .initial_connection_window_size(window)
            .serve_connection(TokioIo::new(socket), Many(Rc::new(self.visitor())));
        self.stage = Stage::Http2(Box::new(http));
        if self.worker.is_draining() {
            // It came too late to be told with the others.
            let grace = Instant::now() + GRACE;
            self.grace = Some(grace);
            self.told = false;
            self.timer.as_mut().reset(grace);
            self.timer_set = false;
        }
    }

    /// Notes that the worker drains.
    fn see_drain(&mut self) {
        if self.grace.is_some() || !self.worker.is_draining() {
            return;
        }
        let grace = Instant::now() + GRACE;
        self.grace = Some(grace);
        self.timer.as_mut().reset(grace);
        self.timer_set = false;
        if let Stage::Http2(http) = &mut self.stage {
            // It knows how to say so without losing a request.
            Pin::new(&mut **http).graceful_shutdown();
        }
    }

    /// The grace is over: what is idle ends, and what is not ends with its next answer.
    fn end_if_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.told = true;
        match &mut self.stage {
            Stage::Opening(_) | Stage::Handshake(_, false) => Poll::Ready(()),
            Stage::Direct(direct) if direct.is_idle() => Poll::Ready(()),
            // A client that sleeps does not answer the question whether a request is on its way: see `part`.
            Stage::Http2(http) => {
                Pin::new(&mut **http).graceful_shutdown();
                self.poll_stage(cx)
            }
            // Not in the middle of a head: its answer says that it is the last.
            Stage::Serving(http) if !self.activity.is_reading_head() => {
                Pin::new(&mut **http).graceful_shutdown();
                self.poll_stage(cx)
            }
            _ => Poll::Pending,
        }
    }

    /// Tells a client of HTTP/2 that has been idle for too long that its connection ends, and waits a little for a request that
    /// crosses that: a client that is just hung up on does not know whether it may repeat it. `None`: it has waited.
    fn part(&mut self, now: Instant, why: Closed) -> Option<Instant> {
        let (Stage::Http2(http), Closed::Idle) = (&mut self.stage, why) else {
            return None;
        };
        if let Some(until) = self.parting {
            return Some(until).filter(|until| *until > now);
        }
        Pin::new(&mut **http).graceful_shutdown();
        let until = now + GRACE;
        self.parting = Some(until);
        Some(until)
    }

    fn poll_stage(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stage {
            Stage::Opening(_) | Stage::Handshake(..) => ready!(self.poll_opening(cx)),
            _ => {}
        }
        if let Stage::Direct(direct) = &mut self.stage {
            match ready!(direct.poll(cx, &self.worker)) {
                End::Closed => return Poll::Ready(()),
                End::Http => self.switch_to_http(),
            }
        }
        match &mut self.stage {
            Stage::Serving(http) => {
                let result = ready!(Pin::new(&mut **http).poll(cx));
                if self.served(result).is_ready() {
                    return Poll::Ready(());
                }
            }
            Stage::Http2(http) => {
                let mut result = Pin::new(&mut **http).poll(cx);
                if let Some(fault) = self.activity.take_refused_many() {
                    self.worker.metrics.closed(fault.closed());
                    Pin::new(&mut **http).graceful_shutdown();
                    if result.is_pending() {
                        result = Pin::new(&mut **http).poll(cx);
                    }
                }
                // Whatever ended it, hyper has told the client, if there still is one.
                let result = ready!(result);
                if self.parting.is_some() && !self.told {
                    self.worker.metrics.closed(Closed::Idle);
                } else if result.is_err_and(|error| broke_the_rules(&error)) {
                    self.worker.metrics.closed(Closed::Malformed);
                }
                return Poll::Ready(());
            }
            _ => {}
        }
        match &mut self.stage {
            Stage::Lingering(lingering) => lingering.poll(cx),
            _ => Poll::Ready(()),
        }
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Stage::Opening(preface) = &mut self.stage {
            let opening = ready!(preface.poll(cx));
            let Stage::Opening(preface) = std::mem::replace(&mut self.stage, Stage::Done) else {
                return Poll::Ready(());
            };
            match opening {
                Opening::Said(said) if self.believe(said) => self.opened(preface.into_stream()),
                Opening::Said(_) => self.worker.metrics.closed(Closed::Address),
                Opening::Refused => self.worker.metrics.closed(Closed::ProxyHeader),
                Opening::Closed => {}
            }
        }
        if let Stage::Handshake(handshake, begun) = &mut self.stage {
            if let (false, Some(stream)) = (*begun, handshake.get_ref()) {
                let mut first = [MaybeUninit::uninit()];
                let mut first = ReadBuf::uninit(&mut first);
                *begun = ready!(stream.poll_peek(cx, &mut first)).is_ok();
            }
            match ready!(Pin::new(&mut **handshake).poll(cx)) {
                Ok(stream) => {
                    let many = stream.get_ref().1.alpn_protocol() == Some(H2);
                    let transport = Transport::Tls(Box::new(stream));
                    if many {
                        self.serve_http2(transport);
                    } else {
                        self.begin_http(transport);
                    }
                }
                Err(_) => {
                    self.worker.metrics.closed(Closed::Tls);
                    self.stage = Stage::Done;
                }
            }
        }
        Poll::Ready(())
    }

    /// hyper is done with it; not ready: the client is waited for a little longer.
    fn served(&mut self, result: Result<(), hyper::Error>) -> Poll<()> {
        let Stage::Serving(http) = std::mem::replace(&mut self.stage, Stage::Done) else {
            return Poll::Ready(());
        };
        if let Some(download) = self.activity.leaving() {
            self.leave(http.into_parts().io.into_inner(), download);
            return Poll::Ready(());
        }
        let metrics = &self.worker.metrics;
        let refused = self.activity.refused();
        let unread = self.activity.has_body_left();
        let malformed = result.is_err_and(|error| error.is_parse() || error.is_parse_too_large());
        match refused {
            Some(fault) => metrics.closed(fault.closed()),
            None if malformed => metrics.closed(Closed::Malformed),
            None if unread => metrics.unread_body(),
            // The last answer is out; a request behind it, unread, would have the kernel reset it.
            None if self.worker.is_draining() && !self.told => {}
            None => return Poll::Ready(()),
        }
        let socket = http.into_parts().io.into_inner();
        self.stage = Stage::Lingering(Box::new(match refused {
            // Bytes of an earlier answer are left in hyper's buffer, since the client takes none: ours cannot follow them.
            Some(fault) if !self.activity.is_stalled() => Lingering::refusing(socket, fault),
            _ => Lingering::new(socket),
        }));
        self.timer.as_mut().reset(Instant::now() + LINGER);
        self.timer_set = false;
        Poll::Pending
    }

    /// Gives the socket to those who send files.
    fn leave(&self, socket: Watched, download: Box<Download>) {
        // As above: this answer cannot follow them.
        if self.activity.is_stalled() {
            self.worker.metrics.closed(Closed::Write);
            return;
        }
        match socket.transport.detach() {
            Ok(transport) => {
                let files = &self.worker.shared.gates.files;
                files.send(transport, download.head(), download.opened);
            }
            Err(_) => self.worker.metrics.closed(Closed::Write),
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
        this.see_drain();
        if this.poll_stage(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.told && matches!(&this.stage, Stage::Direct(direct) if direct.is_idle()) {
            return Poll::Ready(());
        }
        if this.worker.has_many() && !this.of_many && this.grace.is_none() {
            this.of_many = true;
            let again = this
                .activity
                .look_again(Instant::now(), &this.worker.limits());
            this.timer.as_mut().reset(again);
            this.timer_set = false;
        }
        // Polled once after each setting: at every wake-up it would cost more than it is worth.
        while !this.timer_set || this.timer.is_elapsed() {
            if this.timer.is_elapsed() {
                let now = Instant::now();
                if matches!(this.stage, Stage::Lingering(..)) {
                    return Poll::Ready(());
                }
                let grace = this.grace.filter(|_| !this.told);
                if grace.is_some_and(|grace| grace <= now) && this.end_if_idle(cx).is_ready() {
                    return Poll::Ready(());
                }
                let mut limits = this.worker.limits();
                if this.told {
                    limits.idle = limits.idle.min(GRACE);
                }
                this.of_many = this.worker.has_many();
                let (deadline, why) = this.activity.deadline(&limits);
                let mut again = this.activity.look_again(now, &limits);
                if deadline <= now {
                    match this.part(now, why) {
                        Some(until) => again = until,
                        None => {
                            this.worker.metrics.closed(why);
                            return Poll::Ready(());
                        }
                    }
                    if this.poll_stage(cx).is_ready() {
                        return Poll::Ready(());
                    }
                } else {
                    this.parting = None;
                }
                let again = match grace {
                    Some(grace) if grace > now => again.min(grace),
                    // What was not idle then may be soon.
                    _ if this.told => again.min(now + GRACE),
                    _ => again,
                };
                this.timer.as_mut().reset(again);
            }
            this.timer_set = this.timer.as_mut().poll(cx).is_pending();
        }
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.worker.metrics.closed(Closed::Panic);
        }
        self.worker.gone(self.number);
    }
}

/// Milliseconds since 1970-01-01 UTC.
#[inline]
pub(super) fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
