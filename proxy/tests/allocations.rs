//! What a redirect costs in allocations, on the serving thread of the real proxy, visit recorded.
//!
//! A binary of its own: the allocator counts for the whole process, and nobody else must serve here.
#![allow(unsafe_code, reason = "a counting allocator")]

#[path = "it/feed_server.rs"]
#[allow(dead_code, reason = "shared with the other test binary")]
mod feed_server;
#[path = "it/harness.rs"]
#[allow(dead_code, reason = "shared with the other test binary")]
mod harness;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write as _;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use crate::feed_server::FeedServer;
use crate::harness::{TestProxy, read_answer};

/// A change of this number is a change of the hot path. None: target and header values are slices of the worker's
/// buffer, and the destination is copied from the link table into another.
const PER_REDIRECT: u64 = 0;

const THREADS: usize = 256;

/// Allocations of each thread, with its id.
static COUNTS: [(AtomicI32, AtomicU64); THREADS] =
    [const { (AtomicI32::new(0), AtomicU64::new(0)) }; THREADS];
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

struct Counting;

fn count() {
    let _ = SLOT.try_with(|slot| {
        if slot.get() == usize::MAX {
            slot.set(NEXT.fetch_add(1, Ordering::Relaxed));
            if let Some((id, _)) = COUNTS.get(slot.get()) {
                id.store(
                    rustix::thread::gettid().as_raw_nonzero().get(),
                    Ordering::Relaxed,
                );
            }
        }
        if let Some((_, allocations)) = COUNTS.get(slot.get()) {
            allocations.fetch_add(1, Ordering::Relaxed);
        }
    });
}

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(thread: &str) -> u64 {
    COUNTS
        .iter()
        .find(|(id, _)| {
            let comm = format!("/proc/self/task/{}/comm", id.load(Ordering::Relaxed));
            std::fs::read_to_string(comm).is_ok_and(|name| name.trim() == thread)
        })
        .expect("the thread")
        .1
        .load(Ordering::Relaxed)
}

fn allocations_here() -> u64 {
    let slot = SLOT.with(Cell::get);
    COUNTS
        .get(slot)
        .map_or(0, |(_, n)| n.load(Ordering::Relaxed))
}

#[test]
fn a_redirect_costs_few_allocations() {
    const ROUNDS: u64 = 1000;
    const REQUEST: &[u8] = b"GET /spring?x=1 HTTP/1.1\r\nHost: go.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: */*\r\nAccept-Language: en\r\nReferer: https://example.com/\r\n\r\n";
    let feed = FeedServer::start();
    feed.put("spring", "https://dest.test/a/long/path?utm_source=news");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[("SIGNPOST_PROXY_WORKERS", "1")]);
    let mut stream = proxy.connect();
    let mut rest = Vec::new();
    let mut visit = || {
        stream.write_all(REQUEST).expect("written");
        assert_eq!(
            read_answer(&mut stream, &mut rest, false)
                .expect("answer")
                .status,
            302
        );
    };
    let connected = allocations_of("serve-0");
    (0..100).for_each(|_| visit());
    assert!(allocations_of("serve-0") > connected, "nothing is counted");
    let before = allocations_of("serve-0");
    (0..ROUNDS).for_each(|_| visit());
    let made = allocations_of("serve-0") - before;
    // A few more are the worker's timers, which tick whatever visitors do.
    let each = made as f64 / ROUNDS as f64;
    assert!(
        (each - PER_REDIRECT as f64).abs() < 0.1,
        "{each} allocations a redirect instead of {PER_REDIRECT}"
    );
}

#[test]
fn deciding_and_answering_allocates_nothing() {
    use proxy::answer::{Answer, Date, Pages};
    use proxy::request::{Head, HostName};
    use proxy::table::LinkTable;
    use schemas::feed::Change;

    // The domain comes first: a table is not loaded before a snapshot, so this one is assembled.
    let empty = LinkTable::empty();
    let shared = schemas::feed::Shared {
        domain: vec![feed_server::domain(1, "go.test")],
        ..Default::default()
    };
    let shared = proxy::table::SharedTables::default()
        .apply(&shared)
        .expect("legal");
    let table = empty
        .assemble(
            proxy::table::Around {
                version: empty.version(),
                shared,
                sums: empty.sums().into(),
                links: 0,
                missing: proxy::table::GroupSet::none(),
            },
            |_| proxy::table::Source::Keep,
        )
        .expect("empty");
    let change = Change {
        seq: 1,
        change: vec![0; 16].into(),
        upsert: vec![feed_server::link("spring", "https://dest.test/").into()],
        ..Default::default()
    };
    let table = table.apply(&change).expect("legal");
    let request = http::Request::get("/spring?x=1").header("host", "GO.test:80");
    let (parts, ()) = request.body(()).expect("request").into_parts();
    let (mut date, mut pages, mut out) = (Date::default(), Pages::default(), Vec::new());
    let mut decide = || {
        let head = Head::of(&parts, [127, 0, 0, 1].into());
        let mut host = HostName::new();
        let decision = proxy::handler::decide(&head, &table, 0, &mut host);
        assert!(decision.visit.is_some());
        assert!(matches!(decision.answer, Answer::Redirect { .. }));
        out.clear();
        decision.answer.write(date.at(0), &mut pages, &mut out);
    };
    // The first time the output grows.
    decide();
    let before = allocations_here();
    (0..100).for_each(|_| decide());
    assert_eq!(allocations_here() - before, 0);
}
