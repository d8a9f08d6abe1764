//! Accept loops, limits, drain: HTTP/1.1, one current-thread runtime per worker. Plain requests are answered on a path of
//! our own (`direct`), all others by hyper.
//!
//! Every worker has a listener of its own on the same address (`SO_REUSEPORT`). The kernel spreads connections by hash,
//! which with few long ones loads the hottest core up to twice as much as is fair: so a worker that has two connections
//! more than the least loaded one hands the new one over.
//!
//! What it deliberately does not do: TLS, HTTP/2 (a proxy in front does), and anything that waits.

#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod connection;
mod direct;
mod extended;
mod watched;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client_ip::Trusted;
use crate::config::Limits;
use crate::enrich::Known;
use crate::gates::Gates;
use crate::ring;
use crate::rules::Senses;
use crate::table::Current;

/// Connections the kernel keeps for us before we accept them.
const BACKLOG: i32 = 4096;

/// What all workers share.
#[derive(Debug)]
struct Shared {
    /// Connections of each worker, those on their way to it included.
    loads: Vec<AtomicUsize>,
    inboxes: Vec<mpsc::UnboundedSender<(TcpStream, SocketAddr)>>,
    /// Workers that still accept and may hand connections over.
    accepting: AtomicUsize,
    limits: Limits,
    trusted: Trusted,
    /// Stop accepting, finish what is there.
    drain: CancellationToken,
    gates: Arc<Gates>,
}

/// The serving threads.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    drain: CancellationToken,
    threads: Vec<thread::JoinHandle<()>>,
}

/// What the serving threads are made of.
#[derive(Debug)]
pub struct Parts {
    /// Address to listen on; port 0 takes a free one.
    pub addr: SocketAddr,
    /// Limits on clients.
    pub limits: Limits,
    /// Whose word on the visitor's address is taken.
    pub trusted: Trusted,
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
        let mut listeners = Vec::with_capacity(workers);
        for _ in 0..workers {
            let listener = listen(addr)?;
            // With port 0 the first listener finds the port for all.
            addr = listener.local_addr()?;
            listeners.push(listener);
        }
        let (inboxes, outlets): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let drain = CancellationToken::new();
        let shared = Arc::new(Shared {
            loads: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            inboxes,
            accepting: AtomicUsize::new(workers),
            limits: parts.limits,
            trusted: parts.trusted,
            drain: drain.clone(),
            gates: parts.gates,
        });
        let mut server = Self {
            addr,
            drain,
            threads: Vec::with_capacity(workers),
        };
        let each = listeners.into_iter().zip(outlets).zip(parts.rings);
        for (index, ((listener, inbox), ring)) in each.enumerate() {
            let shared = Arc::clone(&shared);
            let seen = (Arc::clone(&parts.table), Senses::new(&parts.known));
            let ended = OnDrop(ended.clone());
            let thread = thread::Builder::new()
                .name(format!("serve-{index}"))
                .spawn(move || {
                    let _ended = ended;
                    worker::run(index, listener, inbox, ring, seen, shared);
                })?;
            server.threads.push(thread);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
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

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
