//! Visitors: each visit carries an id of its own in its query, is sent once, and what came back is written down.
//!
//! Open loop: a visit has its instant whether the last one was answered or not, as far as there are visitors to send it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::random::Random;

/// Name of the query's parameter.
pub const PARAMETER: &str = "attempt";

/// A browser's, so that a visit counts as a person's.
pub(crate) const BROWSER: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Longest wait for an answer: longer than haproxy's, which then says 504.
const PATIENCE: Duration = Duration::from_secs(30);

/// Pause of a visitor that could not even connect.
const AGAIN: Duration = Duration::from_millis(50);

/// Longest answer that is read.
const MAX_ANSWER: u64 = 1 << 20;

/// Where a link leads: `https://e.test/<slug>/<version>`, with versions counted by whoever edits it.
pub fn destination(slug: &str, version: u64) -> String {
    format!("https://e.test/{slug}/{version}")
}

/// A link that is visited.
#[derive(Debug)]
pub struct Link {
    /// Its id.
    pub id: i64,
    /// Its path.
    pub slug: String,
    /// The newest version anybody tried to set.
    pub tried: AtomicU64,
}

/// How a visit ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// With the redirect it should have.
    Answered,
    /// With a redirect to where its link never led, or another answer that no fault explains.
    Wrong(String),
    /// With haproxy's or a proxy's word that there is no answer (5xx).
    Refused(u16),
    /// Without an answer.
    Unanswered(String),
}

/// One visit.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What its query says.
    pub id: usize,
    /// Which link, by its place in the list.
    pub link: usize,
    /// When it was sent.
    pub sent: Instant,
    /// When it ended.
    pub ended: Instant,
    /// How.
    pub outcome: Outcome,
}

/// Visitors at work; an attempt's id is its place in the list they leave.
#[derive(Debug)]
pub struct Visitors {
    over: Arc<AtomicBool>,
    book: Arc<Mutex<Vec<Option<Attempt>>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitors {
    /// Sends them: `visitors` connections, `rate` visits a second over all of them.
    pub fn send(
        front: SocketAddr,
        links: Arc<Vec<Link>>,
        (visitors, rate): (usize, u64),
        seed: u64,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let book: Arc<Mutex<Vec<Option<Attempt>>>> = Arc::default();
        let gap = Duration::from_nanos(1_000_000_000 * visitors as u64 / rate.max(1));
        let threads = (0..visitors).map(|number| {
            let (over, book, links) = (over.clone(), book.clone(), links.clone());
            let mut random = Random::new(seed ^ ((number as u64 + 1) << 32));
            std::thread::spawn(move || {
                let mut connection = None;
                let mut due = Instant::now() + gap.mul_f64(number as f64 / visitors as f64);
                while !over.load(Ordering::Relaxed) {
                    crate::pause(due.saturating_duration_since(Instant::now()));
                    due += gap;
                    // Zipf enough: half of the visits go to a tenth of the links.
                    let of = if random.between(0, 2) == 0 {
                        links.len().div_ceil(10)
                    } else {
                        links.len()
                    };
                    let link = usize::try_from(random.between(0, of as u64)).unwrap_or(0);
                    let id = {
                        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                        book.push(None);
                        book.len() - 1
                    };
                    let attempt = visit(&mut connection, front, (link, &links[link]), id);
                    if matches!(attempt.outcome, Outcome::Unanswered(_)) {
                        crate::pause(AGAIN);
                    }
                    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(place) = book.get_mut(id) {
                        *place = Some(attempt);
                    }
                }
            })
        });
        Self {
            threads: threads.collect(),
            over,
            book,
        }
    }

    /// How many visits there were so far.
    pub fn sent(&self) -> usize {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.len()
    }

    /// Sends no more, waits for what is under way, and returns all visits.
    pub fn end(self) -> Vec<Attempt> {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // A visitor that panicked leaves a visit without an end, which is missed below.
            let _ = thread.join();
        }
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.drain(..).flatten().collect()
    }
}

type Connection = BufReader<TcpStream>;

fn visit(
    connection: &mut Option<Connection>,
    front: SocketAddr,
    (place, link): (usize, &Link),
    id: usize,
) -> Attempt {
    let sent = Instant::now();
    let answer = connection
        .take()
        .map_or_else(|| connect(front), Ok)
        .and_then(|open| exchange(open, &link.slug, id));
    let newest = link.tried.load(Ordering::Relaxed);
    let outcome = match answer {
        Ok((answer, open)) => {
            *connection = open;
            judge(&answer, link, newest)
        }
        Err(error) => Outcome::Unanswered(error.to_string()),
    };
    Attempt {
        id,
        link: place,
        sent,
        ended: Instant::now(),
        outcome,
    }
}

fn judge(answer: &Head, link: &Link, newest: u64) -> Outcome {
    if answer.status >= 500 {
        return Outcome::Refused(answer.status);
    }
    let version = answer
        .location
        .strip_prefix(destination(&link.slug, 0).trim_end_matches('0'))
        .and_then(|version| version.parse::<u64>().ok());
    match version {
        Some(version) if answer.status == 302 && version <= newest => Outcome::Answered,
        _ => Outcome::Wrong(format!(
            "{} {} instead of version {newest} of {}",
            answer.status, answer.location, link.slug
        )),
    }
}

/// What counts of an answer.
struct Head {
    status: u16,
    location: String,
}

fn connect(front: SocketAddr) -> std::io::Result<Connection> {
    let stream = TcpStream::connect(front)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(BufReader::new(stream))
}

/// One request and its answer; the connection, if it may be used again.
fn exchange(
    mut open: Connection,
    slug: &str,
    id: usize,
) -> std::io::Result<(Head, Option<Connection>)> {
    write!(
        open.get_mut(),
        "GET /{slug}?{PARAMETER}={id} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {BROWSER}\r\n\r\n"
    )?;
    let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    open.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.ok_or_else(|| bad("no answer"))?;
    let (mut location, mut length, mut closes) = (String::new(), None, false);
    loop {
        line.clear();
        if open.read_line(&mut line)? == 0 {
            return Err(bad("half an answer"));
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "location" => location = value.to_owned(),
            "content-length" => length = value.parse::<u64>().ok(),
            "connection" => closes = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    if length.is_some() || closes {
        let mut body = (&mut open).take(length.unwrap_or(MAX_ANSWER));
        std::io::copy(&mut body, &mut std::io::sink())?;
    }
    let keeps = length.is_some() && !closes;
    Ok((Head { status, location }, keeps.then_some(open)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_versions_that_were_set_are_right() {
        let link = Link {
            id: 1,
            slug: "a".to_owned(),
            tried: AtomicU64::new(3),
        };
        let judged = |status, location: &str| {
            let location = location.to_owned();
            judge(&Head { status, location }, &link, 3)
        };
        for version in 0..=3 {
            assert_eq!(judged(302, &destination("a", version)), Outcome::Answered);
        }
        assert_eq!(judged(503, ""), Outcome::Refused(503));
        for (status, location) in [
            (302, "https://e.test/a/4"),
            (302, "https://e.test/b/1"),
            (302, "https://e.test/a/"),
            (301, "https://e.test/a/1"),
            (404, ""),
        ] {
            let judged = judged(status, location);
            assert!(matches!(judged, Outcome::Wrong(_)), "{status} {location}");
        }
    }
}
