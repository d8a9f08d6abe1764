//! Open-loop load: each request is due at an instant, whether the one before was answered or not, and its latency is
//! counted from that instant. A closed loop waits for a slow server and so never sees how slow it was.
//!
//! One thread for all connections. It sleeps until the next request is due, to the microsecond, so that it leaves the
//! cores to the server. How late it was itself, on connections that were free, is counted: a round in which the generator
//! could not keep its instants says nothing about the server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::event::Timespec;
use rustix::event::epoll;

use crate::load::whole_length;

/// How late a request may be sent on a free connection.
const LAG: Duration = Duration::from_millis(2);

/// Part of the requests that may be later than that.
const LAGGED_PART: f64 = 0.01;

/// The highest priority of setpriority(2).
const FIRST: i32 = -20;

/// How long answers may take after the last request was due.
const DRAIN: Duration = Duration::from_secs(10);

/// A load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections, kept alive.
    pub(crate) connections: usize,
    /// Requests a second.
    pub(crate) rate: f64,
    /// For how long.
    pub(crate) span: Duration,
}

/// What each answer may begin with; anything else ends the run.
pub(crate) const REDIRECT: &[&[u8]] = &[b"HTTP/1.1 302"];
/// The same with misses among the requests.
pub(crate) const REDIRECT_OR_MISS: &[&[u8]] = &[b"HTTP/1.1 302", b"HTTP/1.1 404"];

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// Microseconds from the instant a request was due to the end of its answer, sorted.
    pub(crate) micros: Vec<u32>,
    /// Whether the generator did not keep its instants.
    pub(crate) lagged: bool,
    /// Answers that began with the first of what was allowed.
    pub(crate) first: u64,
}

impl Outcome {
    /// The latency that `q` of all requests did not exceed, in microseconds.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let rank = (q * self.micros.len() as f64).ceil() as usize;
        self.micros
            .get(rank.saturating_sub(1))
            .map_or(f64::NAN, |micros| f64::from(*micros))
    }
}

struct Connection {
    stream: TcpStream,
    /// When the requests that wait were due; the first is under way.
    due: VecDeque<Instant>,
    filled: usize,
    buffer: Vec<u8>,
}

/// Sends the requests that `request` makes (the bytes of the nth), and expects an answer that begins with one of `allowed`
/// for each.
///
/// # Errors
/// Any other answer, a connection that ends, answers that do not come.
pub(crate) fn run(
    addr: SocketAddr,
    load: Load,
    allowed: &[&[u8]],
    request: impl FnMut(u64, &mut Vec<u8>),
) -> anyhow::Result<Outcome> {
    // A client in life is another machine: here it goes before the server, where the system allows that.
    let _ = rustix::process::setpriority_process(None, FIRST);
    let outcome = load_with(addr, load, allowed, request);
    let _ = rustix::process::setpriority_process(None, 0);
    outcome
}

fn load_with(
    addr: SocketAddr,
    load: Load,
    allowed: &[&[u8]],
    mut request: impl FnMut(u64, &mut Vec<u8>),
) -> anyhow::Result<Outcome> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = Vec::with_capacity(load.connections);
    for number in 0..load.connections {
        let stream = TcpStream::connect(addr).with_context(|| format!("{addr} is not there"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(&poll, stream.as_fd(), data, epoll::EventFlags::IN)?;
        connections.push(Connection {
            stream,
            due: VecDeque::new(),
            filled: 0,
            buffer: vec![0; 8192],
        });
    }
    let total = (load.rate * load.span.as_secs_f64()) as u64;
    let every = Duration::from_secs_f64(1.0 / load.rate);
    let mut micros = Vec::with_capacity(total as usize);
    let (mut late, mut sent, mut answered, mut first) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut bytes = Vec::with_capacity(1024);
    let mut events: Vec<epoll::Event> = Vec::with_capacity(load.connections);
    let begin = Instant::now();
    let give_up = begin + load.span + DRAIN;
    while answered < total {
        let mut now = Instant::now();
        anyhow::ensure!(now < give_up, "{answered} of {total} requests answered");
        while sent < total {
            let due = begin + every.mul_f64(sent as f64);
            if due > now {
                break;
            }
            let place = sent as usize % load.connections;
            let connection = connections.get_mut(place).context("no connection")?;
            if connection.due.is_empty() {
                late += u64::from(now - due > LAG);
                bytes.clear();
                request(sent, &mut bytes);
                connection.stream.write_all(&bytes)?;
            }
            connection.due.push_back(due);
            sent += 1;
            now = Instant::now();
        }
        let wait = match sent < total {
            true => (begin + every.mul_f64(sent as f64)).saturating_duration_since(now),
            false => DRAIN,
        };
        let wait = Timespec {
            tv_sec: i64::try_from(wait.as_secs())?,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        events.clear();
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&wait),
        )?;
        for event in &events {
            let place = event.data.u64() as usize;
            let connection = connections.get_mut(place).context("no connection")?;
            let Some((due, kind)) = take_answer(connection, allowed)? else {
                continue;
            };
            first += u64::from(kind == 0);
            let took = due.elapsed().as_micros();
            micros.push(u32::try_from(took).unwrap_or(u32::MAX));
            answered += 1;
            if !connection.due.is_empty() {
                bytes.clear();
                request(answered, &mut bytes);
                connection.stream.write_all(&bytes)?;
            }
        }
    }
    micros.sort_unstable();
    Ok(Outcome {
        lagged: late as f64 > total as f64 * LAGGED_PART,
        first,
        micros,
    })
}

/// Reads what there is; once the answer is whole, when its request was due and which of `allowed` it is.
fn take_answer(
    connection: &mut Connection,
    allowed: &[&[u8]],
) -> anyhow::Result<Option<(Instant, usize)>> {
    let free = connection.buffer.get_mut(connection.filled..);
    match connection.stream.read(free.unwrap_or_default()) {
        Ok(0) => anyhow::bail!("a connection was closed, or an answer is too long"),
        Ok(got) => connection.filled += got,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let answer = connection
        .buffer
        .get(..connection.filled)
        .unwrap_or_default();
    if whole_length(answer).is_none_or(|length| answer.len() < length) {
        return Ok(None);
    }
    let kind = allowed.iter().position(|a| answer.starts_with(a));
    let kind =
        kind.with_context(|| format!("not expected: {}", String::from_utf8_lossy(answer)))?;
    connection.filled = 0;
    let due = connection.due.pop_front().context("nothing was asked")?;
    Ok(Some((due, kind)))
}
