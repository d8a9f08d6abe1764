//! Every metric of the proxy: names, descriptions, and the counters of the serving threads.
//!
//! Labels are few and known in advance: nothing a visitor sends becomes one.

pub(crate) mod clicks;
pub(crate) mod ship;

use std::cell::Cell;

use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram};

use crate::answer::Kind;

/// Requests answered, by `answer` and `method` (get, head, other).
pub const ANSWERS: &str = "signpost_proxy_answers_total";
/// Connections accepted.
pub const CONNECTIONS: &str = "signpost_proxy_connections_total";
/// Connections that went to another worker than the one that accepted them.
pub const HANDED: &str = "signpost_proxy_connections_handed_total";
/// Connections ended by us, by `reason`.
pub const CLOSED: &str = "signpost_proxy_connections_closed_total";
/// Times a connection that sent many requests at once had to wait for others.
pub const PIPELINED: &str = "signpost_proxy_pipelining_paused_total";
/// Requests with a body that nobody reads.
pub const UNREAD_BODIES: &str = "signpost_proxy_unread_bodies_total";
/// Certificates, by `result` (loaded, failed).
pub const CERTIFICATES: &str = "signpost_proxy_certificates_total";
/// Connections open now.
pub const OPEN: &str = "signpost_proxy_connections_open";
/// Errors of the system on accepting a connection.
pub const ACCEPT_ERRORS: &str = "signpost_proxy_accept_errors_total";
/// Links in the table.
pub const LINKS: &str = "signpost_proxy_links";
/// Groups of the table that were damaged on disk and have not come by the feed yet.
pub const MISSING_GROUPS: &str = "signpost_proxy_missing_groups";
/// Transaction the table shows.
pub const FEED_SEQ: &str = "signpost_proxy_feed_seq";
/// Transactions the control plane is ahead, as of its last heartbeat.
pub const FEED_LAG: &str = "signpost_proxy_feed_lag";
/// 1 while connected to the feed.
pub const FEED_CONNECTED: &str = "signpost_proxy_feed_connected";
/// From commit to live, in seconds.
pub const FEED_DELAY: &str = "signpost_proxy_feed_delay_seconds";
/// Transactions applied.
pub const FEED_CHANGES: &str = "signpost_proxy_feed_changes_total";
/// Sessions with the feed that ended, by `reason`.
pub const FEED_ENDED: &str = "signpost_proxy_feed_ended_total";
/// Snapshots taken from the feed.
pub const FEED_SNAPSHOTS: &str = "signpost_proxy_feed_snapshots_total";
/// What went wrong with the snapshot on disk, by `kind`.
pub const SNAPSHOT_ERRORS: &str = "signpost_proxy_snapshot_errors_total";
/// Snapshots written to disk.
pub const SNAPSHOT_WRITES: &str = "signpost_proxy_snapshot_writes_total";

/// Blobs asked of the control plane, by `result` (fetched, failed).
pub const BLOB_FETCHES: &str = "signpost_proxy_blob_fetches_total";
/// What went wrong with copies of blobs on disk, by `kind` (damaged, write).
pub const BLOB_ERRORS: &str = "signpost_proxy_blob_errors_total";
/// Downloads of stored files, by `result` (done, gone, slow, broken, missing, ended).
pub const DOWNLOADS: &str = "signpost_proxy_downloads_total";
/// Passwords checked, by `result` (right, wrong, limited, busy).
pub const PASSWORDS: &str = "signpost_proxy_passwords_total";
/// Visits of click-limited links leased, by `result` (granted, none, failed), and given back.
pub const LEASES: &str = "signpost_proxy_leases_total";

/// Describes the metrics of this file to the recorder.
pub fn describe() {
    clicks::describe();
    ship::describe();
    describe_counter!(ANSWERS, "requests answered, by answer and method");
    describe_counter!(CONNECTIONS, "connections accepted");
    describe_counter!(HANDED, "connections handed to a less loaded worker");
    describe_counter!(
        CLOSED,
        "connections ended by us, by reason: header (head too slow), idle, write (client takes too little), limit (too many), address (too many of one address), malformed (no HTTP), framing (in doubt where a request ends), head_size, head_lines, request_line, body (each too large), proxy_header (malformed, or from a stranger), tls (no handshake), handshakes (too many of one address), panic (a defect of ours), drain"
    );
    describe_counter!(
        PIPELINED,
        "times a connection that sent many requests at once had to wait for others"
    );
    describe_counter!(
        UNREAD_BODIES,
        "requests with a body that nobody reads; their connections are closed behind the answer"
    );
    describe_counter!(
        CERTIFICATES,
        "certificates read, by result: loaded, failed (the one before stays in use)"
    );
    describe_gauge!(OPEN, "connections open");
    describe_counter!(
        ACCEPT_ERRORS,
        "errors of the system on accepting a connection"
    );
    describe_gauge!(LINKS, "links in the table");
    describe_gauge!(
        MISSING_GROUPS,
        "groups of 4,096 that were damaged on disk and wait for the feed; their links answer 503"
    );
    describe_gauge!(FEED_SEQ, "transaction the table shows");
    describe_gauge!(
        FEED_LAG,
        "transactions the control plane is ahead, as of its last heartbeat"
    );
    describe_gauge!(FEED_CONNECTED, "1 while connected to the feed");
    describe_histogram!(
        FEED_DELAY,
        Unit::Seconds,
        "from commit to live in this proxy"
    );
    describe_counter!(FEED_CHANGES, "transactions applied");
    describe_counter!(FEED_ENDED, "sessions with the feed that ended, by reason");
    describe_counter!(FEED_SNAPSHOTS, "snapshots taken from the feed");
    describe_counter!(
        SNAPSHOT_ERRORS,
        "what went wrong with the snapshot on disk, by kind: read, damaged, write, queue_full"
    );
    describe_counter!(BLOB_FETCHES, "blobs asked of the control plane, by result");
    describe_counter!(
        BLOB_ERRORS,
        "what went wrong with copies of blobs on disk, by kind: damaged, write"
    );
    describe_counter!(
        DOWNLOADS,
        "downloads of stored files, by result: done, gone (the client went away), slow (it took too little), broken (the file broke off), missing (its bytes could not be had), ended (the process did)"
    );
    describe_counter!(
        PASSWORDS,
        "passwords checked, by result: right, wrong, limited (too many from one address), busy"
    );
    describe_counter!(
        LEASES,
        "visits of click-limited links, by result: granted, none (asked for, and there are none left), failed (no answer in time), returned"
    );
    describe_counter!(SNAPSHOT_WRITES, "snapshots written to disk");
}

/// Why a connection was ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Closed {
    /// Its request head took too long.
    Header,
    /// No request came.
    Idle,
    /// The client takes nothing of its answer.
    Write,
    /// There are too many.
    Limit,
    /// There are too many of its address.
    Address,
    /// It does not speak HTTP.
    Malformed,
    /// A request of it leaves in doubt where it ends.
    Framing,
    /// A request's head is too large.
    HeadSize,
    /// A request's head has too many lines.
    HeadLines,
    /// A request line is too long.
    RequestLine,
    /// A body is too large.
    Body,
    /// A header of the PROXY protocol is malformed or missing, or comes from a stranger.
    ProxyHeader,
    /// It does not speak TLS where it should, or not with us.
    Tls,
    /// Too many of its address begin a handshake.
    Handshakes,
    /// Serving it met a defect of ours.
    Panic,
    /// It did not finish in time at the end.
    Drain,
}

impl Closed {
    const ALL: [(Self, &'static str); 16] = [
        (Self::Header, "header"),
        (Self::Idle, "idle"),
        (Self::Write, "write"),
        (Self::Limit, "limit"),
        (Self::Address, "address"),
        (Self::Malformed, "malformed"),
        (Self::Framing, "framing"),
        (Self::HeadSize, "head_size"),
        (Self::HeadLines, "head_lines"),
        (Self::RequestLine, "request_line"),
        (Self::Body, "body"),
        (Self::ProxyHeader, "proxy_header"),
        (Self::Tls, "tls"),
        (Self::Handshakes, "handshakes"),
        (Self::Panic, "panic"),
        (Self::Drain, "drain"),
    ];
}

/// How a request's method is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Method {
    /// A visit.
    Get,
    /// Answered as GET, never counted as a click.
    Head,
    /// Anything else.
    Other,
}

impl Method {
    /// How this one is counted.
    #[inline]
    pub fn of(method: &http::Method) -> Self {
        match *method {
            http::Method::GET => Self::Get,
            http::Method::HEAD => Self::Head,
            _ => Self::Other,
        }
    }
}

const METHODS: [&str; 3] = ["get", "head", "other"];

/// A count of one thread, handed on to the shared counter now and then: an increment costs no atomic operation and no
/// cache line moves between cores.
#[derive(Debug)]
struct Local {
    count: Cell<u64>,
    shared: Counter,
}

impl Local {
    fn new(shared: Counter) -> Self {
        Self {
            count: Cell::new(0),
            shared,
        }
    }

    #[inline]
    fn add(&self) {
        self.count.set(self.count.get() + 1);
    }

    fn flush(&self) {
        let count = self.count.take();
        if count > 0 {
            self.shared.increment(count);
        }
    }
}

/// The counters of one serving thread.
#[derive(Debug)]
pub struct Worker {
    answers: [[Local; METHODS.len()]; Kind::COUNT],
    closed: [Local; Closed::ALL.len()],
    connections: Local,
    handed: Local,
    accept_errors: Local,
    pipelined: Local,
    unread_bodies: Local,
}

impl Worker {
    /// Counters of one more thread.
    pub fn new() -> Self {
        Self {
            answers: Kind::ALL.map(|kind| {
                METHODS.map(|method| {
                    Local::new(counter!(ANSWERS, "answer" => kind.name(), "method" => method))
                })
            }),
            closed: Closed::ALL.map(|(_, reason)| Local::new(counter!(CLOSED, "reason" => reason))),
            connections: Local::new(counter!(CONNECTIONS)),
            handed: Local::new(counter!(HANDED)),
            accept_errors: Local::new(counter!(ACCEPT_ERRORS)),
            pipelined: Local::new(counter!(PIPELINED)),
            unread_bodies: Local::new(counter!(UNREAD_BODIES)),
        }
    }

    /// A request was answered.
    #[inline]
    pub fn answered(&self, kind: Kind, method: Method) {
        if let Some(local) = self
            .answers
            .get(kind as usize)
            .and_then(|methods| methods.get(method as usize))
        {
            local.add();
        }
    }

    /// A connection was ended.
    pub fn closed(&self, reason: Closed) {
        if let Some(local) = self.closed.get(reason as usize) {
            local.add();
        }
    }

    /// A connection was accepted.
    pub fn accepted(&self) {
        self.connections.add();
    }

    /// A connection was handed to another worker.
    pub fn handed(&self) {
        self.handed.add();
    }

    /// Accepting failed.
    pub fn accept_failed(&self) {
        self.accept_errors.add();
    }

    /// A connection waits for others.
    pub fn pipelining_paused(&self) {
        self.pipelined.add();
    }

    /// A request came with a body that nobody reads.
    pub fn unread_body(&self) {
        self.unread_bodies.add();
    }

    /// Hands everything on.
    pub fn flush(&self) {
        self.answers.iter().flatten().for_each(Local::flush);
        self.closed.iter().for_each(Local::flush);
        for local in [
            &self.connections,
            &self.handed,
            &self.accept_errors,
            &self.pipelined,
            &self.unread_bodies,
        ] {
            local.flush();
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}
