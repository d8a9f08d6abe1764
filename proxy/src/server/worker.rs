//! A worker: one thread, one listener, one ring, its connections.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::connection::Connection;
use super::direct::Scratch;
use super::listener::{Arrived, Listeners};
use super::{Accepted, Shared};
use crate::config::Limits;
use crate::metrics::{self, Closed};
use crate::ring;
use crate::rules::Senses;
use crate::table::Current;
use crate::visit::Visit;

/// How often counts are handed on to the shared counters.
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// Pause after an error of the system on accepting (no file descriptors left, say): the next try would fail as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a draining worker looks whether the last connection is gone.
const DRAIN_TICK: Duration = Duration::from_millis(10);

/// A connection is handed over when the other worker has this many fewer.
const HAND_OVER_AT: usize = 2;

/// What the connections of one thread share.
pub(super) struct Worker {
    index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) table: Current,
    pub(super) senses: Senses,
    ring: RefCell<ring::Writer>,
    pub(super) metrics: metrics::Worker,
    draining: Cell<bool>,
    /// There are many connections: idle ones make room.
    many: Cell<bool>,
    /// Connections by number, with what wakes them up.
    connections: RefCell<BTreeMap<u64, Option<Waker>>>,
    next: Cell<u64>,
    open: ::metrics::Gauge,
    /// Buffers of the direct path.
    pub(super) scratch: RefCell<Scratch>,
}

impl Worker {
    /// Appends a visit to the ring. Never waits.
    #[inline]
    pub(super) fn record(&self, visit: &Visit<'_>) {
        self.ring.borrow_mut().append(visit);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether there are many connections.
    pub(super) fn has_many(&self) -> bool {
        self.many.get()
    }

    /// The limits on clients, as of now.
    pub(super) fn limits(&self) -> Limits {
        match self.many.get() {
            true => self.shared.limits.of_many(),
            false => self.shared.limits,
        }
    }

    /// Looks at how many connections there are; when they become many, all of ours look at their deadlines again.
    fn count(&self) {
        let open: usize = (self.shared.loads.iter())
            .map(|load| load.load(Ordering::Relaxed))
            .sum();
        let many = Limits::is_many(open, self.shared.connections);
        if many && !self.many.replace(many) {
            self.wake_all();
        }
        self.many.set(many);
    }

    fn wake_all(&self) {
        for waker in self.connections.borrow().values().flatten() {
            waker.wake_by_ref();
        }
    }

    pub(super) fn register(&self, number: u64, waker: Waker) {
        self.connections.borrow_mut().insert(number, Some(waker));
    }

    /// A connection has ended.
    pub(super) fn gone(&self, number: u64) {
        self.connections.borrow_mut().remove(&number);
        self.count_out();
    }

    fn count_out(&self) {
        if let Some(load) = self.shared.loads.get(self.index) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Takes an accepted socket, or hands it to a worker that has less to do.
    fn place(self: &Rc<Self>, (stream, peer, tls): Arrived) {
        self.metrics.accepted();
        let shared = &self.shared;
        let load = |index: usize| {
            shared
                .loads
                .get(index)
                .map_or(usize::MAX, |load| load.load(Ordering::Relaxed))
        };
        let mine = load(self.index);
        let total: usize = (0..shared.loads.len()).map(load).sum();
        if total >= shared.connections {
            self.metrics.closed(Closed::Limit);
            return;
        }
        let ip = peer.ip();
        let mut accepted = Accepted {
            peer,
            tls,
            seat: None,
        };
        if !shared.trusted.contains(ip.to_canonical()) {
            accepted.seat = shared.addresses.seat(ip);
            if accepted.seat.is_none() {
                self.metrics.closed(Closed::Address);
                return;
            }
        }
        let least = (0..shared.loads.len()).min_by_key(|i| load(*i));
        match least.filter(|other| load(*other) + HAND_OVER_AT <= mine) {
            Some(other) => self.hand_over(stream, accepted, other),
            None => {
                self.count_in(self.index);
                self.adopt(stream, accepted);
            }
        }
    }

    fn hand_over(&self, stream: TcpStream, accepted: Accepted, to: usize) {
        let Some(inbox) = self.shared.inboxes.get(to) else {
            return;
        };
        // Off this thread's poll, onto the other's.
        let Ok(stream) = stream.into_std() else {
            self.metrics.accept_failed();
            return;
        };
        self.count_in(to);
        self.metrics.handed();
        if inbox.send((stream, accepted)).is_err() {
            // That thread is gone, which ends the process: nothing to save.
            self.metrics.accept_failed();
        }
    }

    fn count_in(&self, index: usize) {
        if let Some(load) = self.shared.loads.get(index) {
            load.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Serves a socket of another worker's listener, which is counted in our load already.
    fn receive(self: &Rc<Self>, stream: StdStream, accepted: Accepted) {
        match TcpStream::from_std(stream) {
            Ok(stream) => self.adopt(stream, accepted),
            Err(_) => {
                self.metrics.accept_failed();
                self.count_out();
            }
        }
    }

    /// Serves a socket that is counted in our load already.
    fn adopt(self: &Rc<Self>, stream: TcpStream, accepted: Accepted) {
        let number = self.next.get();
        self.next.set(number + 1);
        self.connections.borrow_mut().insert(number, None);
        // Answers are small and whole: nothing to wait for. A socket that refuses is on its way out anyway.
        let _ = stream.set_nodelay(true);
        tokio::task::spawn_local(Connection::new(self, number, stream, accepted));
    }

    fn drain(&self) {
        self.draining.set(true);
        self.wake_all();
    }

    fn flush(&self) {
        self.count();
        self.metrics.flush();
        if let Some(load) = self.shared.loads.first().filter(|_| self.index == 0) {
            let others: usize = self
                .shared
                .loads
                .iter()
                .skip(1)
                .map(|l| l.load(Ordering::Relaxed))
                .sum();
            self.open
                .set((load.load(Ordering::Relaxed) + others) as f64);
        }
    }
}

/// Runs a worker until it has drained.
pub(super) fn run(
    index: usize,
    listeners: Listeners,
    inbox: UnboundedReceiver<(StdStream, Accepted)>,
    ring: ring::Writer,
    (table, senses): (Current, Senses),
    shared: Arc<Shared>,
) {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime for a serving thread");
            return;
        }
    };
    let scratch = Scratch::new(shared.limits.header_bytes);
    let worker = Rc::new(Worker {
        index,
        scratch,
        shared,
        table,
        senses,
        ring: RefCell::new(ring),
        metrics: metrics::Worker::new(),
        draining: Cell::new(false),
        many: Cell::new(false),
        connections: RefCell::default(),
        next: Cell::new(0),
        open: ::metrics::gauge!(metrics::OPEN),
    });
    if let Err(error) = runtime.block_on(serve(Rc::clone(&worker), listeners, inbox)) {
        tracing::error!(%error, "a serving thread cannot listen");
    }
    // What did not finish in time is cut off here.
    let left = worker.connections.borrow().len();
    for _ in 0..left {
        worker.metrics.closed(Closed::Drain);
    }
    drop(runtime);
    worker.flush();
}

async fn serve(
    worker: Rc<Worker>,
    listeners: Listeners,
    mut inbox: UnboundedReceiver<(StdStream, Accepted)>,
) -> io::Result<()> {
    let listening = listeners.attach()?;
    let drain = worker.shared.drain.clone();
    let mut flush = interval(FLUSH_EVERY);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = drain.cancelled() => break,
            Some((stream, accepted)) = inbox.recv() => worker.receive(stream, accepted),
            arrived = listening.accept() => match arrived {
                Ok(arrived) => worker.place(arrived),
                Err(_) => {
                    worker.metrics.accept_failed();
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = flush.tick() => worker.flush(),
        }
    }
    // Those that are connected are told by their next answer, from now on.
    worker.drain();
    let closing = listening.close(|arrived| match arrived {
        Ok(arrived) => worker.place(arrived),
        Err(_) => worker.metrics.accept_failed(),
    });
    tokio::pin!(closing);
    loop {
        tokio::select! {
            () = &mut closing => break,
            Some((stream, accepted)) = inbox.recv() => worker.receive(stream, accepted),
        }
    }
    worker.shared.accepting.fetch_sub(1, Ordering::AcqRel);
    let deadline = Instant::now() + worker.shared.limits.drain;
    while Instant::now() < deadline {
        match timeout_at(Instant::now() + DRAIN_TICK, inbox.recv()).await {
            Ok(Some((stream, accepted))) => worker.receive(stream, accepted),
            _ => {
                let done = worker.shared.accepting.load(Ordering::Acquire) == 0
                    && inbox.is_empty()
                    && worker.connections.borrow().is_empty();
                if done {
                    break;
                }
            }
        }
    }
    Ok(())
}
