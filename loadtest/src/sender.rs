//! Sends the log's lines, each as its visitor did, and checks every answer.
//!
//! A handful of keep-alive connections share one queue. With attempt ids, what was not answered (the process behind the address was
//! killed) is tried again as a new attempt until it is; without, one try is all a line gets.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use crate::attempts::{Ledger, Outcome, PARAMETER};
use crate::http_client::{Answer, Connection, Server};
use crate::links::Link;
use crate::log_line::Line;
use crate::report::Check;
use crate::traffic::Traffic;

/// What the proxy documents for a GET or HEAD of a plain link.
const REDIRECT: StatusCode = StatusCode::FOUND;
/// What the proxy documents for methods a link does not have.
const METHOD_NOT_ALLOWED: StatusCode = StatusCode::METHOD_NOT_ALLOWED;
/// What the proxy documents for OPTIONS.
const OPTIONS_STATUS: StatusCode = StatusCode::NO_CONTENT;
/// Methods that `Allow` must name, at least, where it is sent.
const ALLOWED: [&str; 2] = ["GET", "HEAD"];
/// `Allow` of the answer to OPTIONS.
const OPTIONS_ALLOWED: [&str; 3] = ["GET", "HEAD", "OPTIONS"];
/// Between two attempts at a line.
const RETRY_EVERY: Duration = Duration::from_millis(50);
/// Lines between two words on progress.
const PROGRESS_EVERY: usize = 1_000;

/// How the lines are sent.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Keep-alive connections.
    pub connections: usize,
    /// Requests a second over all connections; `None`: as fast as answers come.
    pub per_second: Option<f64>,
    /// Shuffles the lines; `None`: the log's order.
    pub seed: Option<u64>,
    /// Whether each attempt carries its id and is repeated until answered.
    pub attempt_ids: bool,
    /// How long a line is tried again.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Sent {
    /// Every attempt.
    pub ledger: Ledger,
    /// Lines that got an answer in the end.
    pub answered: u64,
    /// Answers that were wrong, and lines that got none.
    pub wrong: Check,
    /// From the first request to the last answer.
    pub took: Duration,
}

/// Sends every line once, or until it is answered.
///
/// # Errors
/// A line cannot be sent at all (its method or a header is not legal).
pub async fn send(
    proxy: &Server,
    traffic: &Traffic,
    links: &[Link],
    plan: &Plan,
) -> anyhow::Result<Sent> {
    let mut order: Vec<usize> = (0..traffic.lines.len()).collect();
    if let Some(seed) = plan.seed {
        shuffle(&mut order, seed);
    }
    let run = Run {
        traffic,
        links,
        plan,
        order,
        next: Cell::new(0),
        began: Instant::now(),
        ledger: RefCell::default(),
        answered: Cell::new(0),
        wrong: RefCell::new(Check::new("answers")),
    };
    for result in
        join_all((0..plan.connections.max(1)).map(|_| run.worker(Connection::new(proxy.clone()))))
            .await
    {
        result?;
    }
    Ok(Sent {
        answered: run.answered.get(),
        took: run.began.elapsed(),
        ledger: run.ledger.into_inner(),
        wrong: run.wrong.into_inner(),
    })
}

/// What the workers share. They are one task, so cells are enough.
struct Run<'a> {
    traffic: &'a Traffic,
    links: &'a [Link],
    plan: &'a Plan,
    order: Vec<usize>,
    next: Cell<usize>,
    began: Instant,
    ledger: RefCell<Ledger>,
    answered: Cell<u64>,
    wrong: RefCell<Check>,
}

impl Run<'_> {
    async fn worker(&self, mut connection: Connection) -> anyhow::Result<()> {
        loop {
            let place = self.next.get();
            let Some(&at) = self.order.get(place) else {
                return Ok(());
            };
            self.next.set(place + 1);
            if place > 0 && place.is_multiple_of(PROGRESS_EVERY) {
                eprintln!("replay: {place} of {} requests sent", self.order.len());
            }
            if let Some(per_second) = self.plan.per_second {
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a log has far fewer than 2^52 lines"
                )]
                let due = Duration::try_from_secs_f64(place as f64 / per_second)
                    .context("the pace is too slow")?;
                tokio::time::sleep_until(self.began + due).await;
            }
            let Some(line) = self.traffic.lines.get(at) else {
                continue;
            };
            let Some(link) = self.traffic.target_of(at).and_then(|t| self.links.get(t)) else {
                continue;
            };
            self.line(&mut connection, at, line, link)
                .await
                .with_context(|| format!("line {} of the log", at + 1))?;
        }
    }

    async fn line(
        &self,
        connection: &mut Connection,
        at: usize,
        line: &Line,
        link: &Link,
    ) -> anyhow::Result<()> {
        let method =
            Method::from_bytes(line.method.as_bytes()).context("the method is not legal")?;
        let headers = headers_of(line)?;
        let until = Instant::now() + self.plan.patience;
        self.wrong.borrow_mut().compared += 1;
        loop {
            let id = self.ledger.borrow_mut().open(at, method == Method::GET);
            let path = if self.plan.attempt_ids {
                format!("{}?{PARAMETER}={id}", link.path)
            } else {
                link.path.clone()
            };
            let (outcome, words) = match connection
                .send(method.clone(), &path, headers.clone(), Bytes::new())
                .await
            {
                Err(error) => (Outcome::Unanswered, format!("{error:#}")),
                Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => {
                    (Outcome::Refused, "status 503".to_owned())
                }
                Ok(answer) => match complaint(&method, link, &answer) {
                    None => {
                        self.ledger.borrow_mut().close(id, Outcome::Answered);
                        self.answered.set(self.answered.get() + 1);
                        return Ok(());
                    }
                    // A wrong answer is no visit, so nothing may be stored for it; and it is not asked for again.
                    Some(words) => {
                        self.ledger.borrow_mut().close(id, Outcome::Refused);
                        self.wrong
                            .borrow_mut()
                            .differs(|| format!("line {}: {method}: {words}", at + 1));
                        return Ok(());
                    }
                },
            };
            self.ledger.borrow_mut().close(id, outcome);
            if !self.plan.attempt_ids || Instant::now() >= until {
                self.wrong
                    .borrow_mut()
                    .differs(|| format!("line {}: {method}: {words}", at + 1));
                return Ok(());
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }
}

/// The header fields a line was sent with, as far as the log tells. The address travels as a trusted proxy tells it.
fn headers_of(line: &Line) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        "X-Forwarded-For",
        HeaderValue::from_str(&line.address.to_string())?,
    );
    if let Some(agent) = &line.agent {
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_bytes(agent).context("the user agent is no header value")?,
        );
    }
    if let Some(referrer) = &line.referrer {
        headers.insert(
            header::REFERER,
            HeaderValue::from_bytes(referrer).context("the referrer is no header value")?,
        );
    }
    Ok(headers)
}

/// What is wrong with an answer, if anything.
fn complaint(method: &Method, link: &Link, answer: &Answer) -> Option<String> {
    let allow = answer.header(header::ALLOW);
    let names = |wanted: &[&str]| {
        wanted
            .iter()
            .all(|w| allow.split(',').any(|m| m.trim() == *w))
    };
    let location = answer.header(header::LOCATION);
    let (status, right, shown) = match method.as_str() {
        "GET" | "HEAD" => (
            REDIRECT,
            location == link.destination,
            format!("location '{location}' instead of '{}'", link.destination),
        ),
        "OPTIONS" => (
            OPTIONS_STATUS,
            names(&OPTIONS_ALLOWED),
            format!("allow '{allow}'"),
        ),
        _ => (
            METHOD_NOT_ALLOWED,
            names(&ALLOWED),
            format!("allow '{allow}'"),
        ),
    };
    if answer.status != status {
        return Some(format!(
            "status {} instead of {status}",
            answer.status.as_u16()
        ));
    }
    if method == Method::HEAD && !answer.body.is_empty() {
        return Some("a body".to_owned());
    }
    (!right).then_some(shown)
}

/// Fisher–Yates with splitmix64: the same seed gives the same order everywhere.
fn shuffle(order: &mut [usize], seed: u64) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    for last in (1..order.len()).rev() {
        let pick = usize::try_from(next() % (last as u64 + 1)).unwrap_or(last);
        order.swap(last, pick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(method: &str, status: u16, name: &str, value: &str, right: bool) {
        let link = Link {
            id: 1,
            path: "/p".to_owned(),
            destination: "https://origin.example/to/a".to_owned(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HeaderName::from_bytes(name.as_bytes()).expect("legal"),
            HeaderValue::from_str(value).expect("legal"),
        );
        let answer = Answer {
            status: StatusCode::from_u16(status).expect("legal"),
            headers,
            body: Bytes::new(),
        };
        let method = Method::from_bytes(method.as_bytes()).expect("legal");
        assert_eq!(
            complaint(&method, &link, &answer).is_none(),
            right,
            "{method} {status} {name}: {value}"
        );
    }

    #[test]
    fn answers_are_checked_to_the_letter() {
        check("GET", 302, "location", "https://origin.example/to/a", true);
        check("HEAD", 302, "location", "https://origin.example/to/a", true);
        check(
            "GET",
            302,
            "location",
            "https://origin.example/to/a/",
            false,
        );
        check("GET", 301, "location", "https://origin.example/to/a", false);
        check("GET", 404, "location", "https://origin.example/to/a", false);
        check("POST", 405, "allow", "GET, HEAD, OPTIONS", true);
        check("POST", 405, "allow", "GET,HEAD", true);
        check("POST", 405, "allow", "GETS, HEAD", false);
        check(
            "POST",
            302,
            "location",
            "https://origin.example/to/a",
            false,
        );
        check("OPTIONS", 204, "allow", "GET, HEAD, OPTIONS", true);
        check("OPTIONS", 204, "allow", "GET, HEAD", false);
    }

    #[test]
    fn a_shuffle_keeps_all_lines_and_repeats_by_seed() {
        let shuffled = |seed| {
            let mut order: Vec<usize> = (0..1_000).collect();
            shuffle(&mut order, seed);
            order
        };
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
        let mut sorted = shuffled(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<_>>());
    }
}
