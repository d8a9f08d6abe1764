//! Accept loops, limits, drain: one current-thread runtime per worker. Plain requests are answered on a path of
//! our own (`direct`), all others by hyper, HTTP/1 read strictly before (`strict`). TLS, with HTTP/2 in it, has listeners of
//! its own; a balancer may say in its first bytes whom it speaks for (`preface`).
//!
//! Every worker has a listener of its own on the same address (`SO_REUSEPORT`). The kernel spreads connections by hash,
//! which with few long ones loads the hottest core up to twice as much as is fair: so a worker that has two connections
//! more than the least loaded one hands the new one over.
//!
//! What it deliberately does not do: HTTP/2 in cleartext, and anything that waits.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod addresses;
mod body;
mod connection;
mod direct;
mod extended;
mod linger;
mod listener;
mod preface;
mod proxy_protocol;
mod strict;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "no hostile bytes reach a test"
)]
mod tests;
mod visitor;
mod watched;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::addresses::{Addresses, Handshakes, Seat};
use self::body::Unsent;
use self::listener::Listeners;
use crate::client_ip::Trusted;
use crate::config::Limits;
use crate::enrich::Known;
use crate::gates::Gates;
use crate::ring;
use crate::rules::Senses;
use crate::table::Current;
use crate::tls::Acceptor;

/// What all workers share.
#[derive(Debug)]
struct Shared {
    /// Connections of each worker, those on their way to it included.
    loads: Vec<AtomicUsize>,
    inboxes: Vec<mpsc::UnboundedSender<(TcpStream, Accepted)>>,
    /// Workers that still accept and may hand connections over.
    accepting: AtomicUsize,
    limits: Limits,
    /// Most connections of all workers.
    connections: usize,
    addresses: Arc<Addresses>,
    handshakes: Handshakes,
    unsent: Unsent,
    trusted: Trusted,
    proxy_protocol: bool,
    tls: Option<Acceptor>,
    /// Stop accepting, finish what is there.
    drain: CancellationToken,
    gates: Arc<Gates>,
}

/// What is known of a connection when it is accepted.
#[derive(Debug)]
struct Accepted {
    peer: SocketAddr,
    /// It came to the address for TLS.
    tls: bool,
    /// Its place among those of its address; trusted proxies have none.
    seat: Option<Seat>,
}

/// The serving threads.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    drain: CancellationToken,
    threads: Vec<thread::JoinHandle<()>>,
}

/// What the serving threads are made of.
#[derive(Debug)]
pub struct Parts {
    /// Address to listen on; port 0 takes a free one.
    pub addr: SocketAddr,
    /// The address for TLS, and how it is spoken.
    pub tls: Option<(SocketAddr, Acceptor)>,
    /// Limits on clients.
    pub limits: Limits,
    /// Descriptors the process may have open.
    pub descriptors: usize,
    /// Whose word on the visitor's address is taken.
    pub trusted: Trusted,
    /// They begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// Where the newest link table is.
    pub table: Current,
    /// One ring a worker: their number is the number of threads.
    pub rings: Vec<ring::Writer>,
    /// What is known of visitors.
    pub known: Known,
    /// What stands before links.
    pub gates: Arc<Gates>,
}

impl Server {
    /// Binds all listeners and starts the threads. `ended` is called by a thread that ends, however it does.
    ///
    /// # Errors
    /// The address cannot be had, or a thread cannot be started.
    pub fn start(parts: Parts, ended: impl Fn() + Clone + Send + 'static) -> io::Result<Self> {
        let workers = parts.rings.len();
        let mut addr = parts.addr;
        let (mut tls_addr, tls) = parts.tls.unzip();
        let mut listeners = Vec::with_capacity(workers);
        for _ in 0..workers {
            listeners.push(Listeners::bind(&mut addr, &mut tls_addr)?);
        }
        let connections = parts.limits.connections(parts.descriptors);
        let (inboxes, outlets): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let drain = CancellationToken::new();
        let shared = Arc::new(Shared {
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            inboxes,
            accepting: AtomicUsize::new(workers),
            limits: parts.limits,
            connections,
            addresses: Addresses::new(parts.limits.per_address(connections)),
            handshakes: Handshakes::new(parts.limits.handshakes),
            unsent: Unsent::default(),
            trusted: parts.trusted,
            proxy_protocol: parts.proxy_protocol,
            tls,
            drain: drain.clone(),
            gates: parts.gates,
        });
        let mut server = Self {
            addr,
            tls_addr,
            drain,
            threads: Vec::with_capacity(workers),
        };
        let each = listeners.into_iter().zip(outlets).zip(parts.rings);
        for (index, ((listeners, inbox), ring)) in each.enumerate() {
            let shared = Arc::clone(&shared);
            let seen = (Arc::clone(&parts.table), Senses::new(&parts.known));
            let ended = OnDrop(ended.clone());
            let thread = thread::Builder::new()
                .name(format!("serve-{index}"))
                .spawn(move || {
                    let _ended = ended;
                    worker::run(index, listeners, inbox, ring, seen, shared);
                })?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it listens for TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Stops accepting and lets connections finish, for as long as the limits allow. Blocks until the threads are gone;
    /// the rings' writers are then dropped.
    pub fn drain(mut self) {
        self.drain.cancel();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a serving thread panicked");
            }
        }
    }
}

/// Calls a function when dropped: also when a thread panics.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
