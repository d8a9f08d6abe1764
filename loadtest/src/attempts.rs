//! The books of attempts, for runs in which processes are killed.
//!
//! Each attempt carries its own id in the query (`?attempt=<id>`), and the query is stored with the click. So each stored
//! click names the attempt it came from, and the promise can be checked one by one: an answered attempt is stored
//! exactly once, one whose answer never came at most once, a refused one (503) not at all, and there is nothing else.

use std::collections::{BTreeMap, HashMap};

use crate::agents::{Agent, Agents};
use crate::clickhouse::StoredClick;
use crate::labels;
use crate::links::Link;
use crate::report::Check;
use crate::traffic::Traffic;

/// Name of the query parameter.
pub const PARAMETER: &str = "attempt";

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// No answer's head arrived.
    Unanswered,
    /// 503: come back later.
    Refused,
    /// Any other answer.
    Answered,
}

/// One request that was, perhaps, sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Which line of the log.
    pub line: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether an answer to it is a visit (GET).
    pub counts: bool,
}

/// All attempts of a run; an attempt's id is its place in the list.
#[derive(Debug, Default)]
pub struct Ledger {
    attempts: Vec<Attempt>,
}

/// What the stored clicks say of the attempts.
#[derive(Debug, Default)]
pub struct Books {
    /// Lines of the stored visits: what all numbers must add up to.
    pub visits: Vec<usize>,
    /// Answered visits.
    pub answered: u64,
    /// Attempts at a visit without an answer.
    pub unanswered: u64,
    /// Of these, how many are stored.
    pub unanswered_stored: u64,
    /// Attempts refused by 503.
    pub refused: u64,
    /// Answered visits that are not stored.
    pub missing: u64,
}

impl Ledger {
    /// Opens an attempt as unanswered and gives its id.
    pub fn open(&mut self, line: usize, counts: bool) -> usize {
        self.attempts.push(Attempt {
            line,
            outcome: Outcome::Unanswered,
            counts,
        });
        self.attempts.len() - 1
    }

    /// Notes how an attempt ended.
    pub fn close(&mut self, id: usize, outcome: Outcome) {
        if let Some(attempt) = self.attempts.get_mut(id) {
            attempt.outcome = outcome;
        }
    }

    /// Attempts made.
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Lines of all answered visits.
    pub fn answered_visits(&self) -> Vec<usize> {
        self.attempts
            .iter()
            .filter(|a| a.counts && a.outcome == Outcome::Answered)
            .map(|a| a.line)
            .collect()
    }

    /// Holds the stored clicks against the attempts.
    pub fn settle(&self, stored: &[StoredClick], check: &mut Check) -> Books {
        let mut books = Books::default();
        let mut times: BTreeMap<usize, u64> = BTreeMap::new();
        for click in stored {
            let id = click
                .query
                .strip_prefix(PARAMETER)
                .and_then(|q| q.strip_prefix('='))
                .and_then(|id| id.parse::<usize>().ok());
            match id.filter(|id| self.attempts.get(*id).is_some_and(|a| a.counts)) {
                Some(id) => *times.entry(id).or_default() += 1,
                None => check.differs(|| {
                    format!(
                        "a click of link {} is stored under the query '{}', which was never sent",
                        click.link, click.query
                    )
                }),
            }
        }
        for (id, attempt) in self.attempts.iter().enumerate().filter(|(_, a)| a.counts) {
            let stored = times.get(&id).copied().unwrap_or_default();
            check.compared += 1;
            let most = match attempt.outcome {
                Outcome::Answered => {
                    books.answered += 1;
                    if stored == 0 {
                        books.missing += 1;
                        check.differs(|| format!("attempt {id} was answered and is not stored"));
                    }
                    1
                }
                Outcome::Unanswered => {
                    books.unanswered += 1;
                    books.unanswered_stored += stored.min(1);
                    1
                }
                Outcome::Refused => {
                    books.refused += 1;
                    0
                }
            };
            if stored > most {
                check.differs(|| {
                    format!(
                        "attempt {id} ({:?}) is stored {stored} times",
                        attempt.outcome
                    )
                });
            }
            books.visits.extend((0..stored).map(|_| attempt.line));
        }
        books
    }

    /// Compares each stored click with its own line: link, verdict, referrer and labels. Ambiguous user agents have no
    /// labels to compare.
    pub fn compare_labels(
        &self,
        stored: &[StoredClick],
        traffic: &Traffic,
        agents: &Agents,
        links: &[Link],
        check: &mut Check,
    ) {
        let target_by_id: HashMap<u64, usize> = links
            .iter()
            .enumerate()
            .map(|(target, link)| (link.id, target))
            .collect();
        for click in stored {
            let id = click
                .query
                .split_once('=')
                .and_then(|(_, id)| id.parse::<usize>().ok());
            let Some(attempt) = id.and_then(|id| self.attempts.get(id)) else {
                continue;
            };
            let Some(line) = traffic.lines.get(attempt.line) else {
                continue;
            };
            check.compared += 1;
            let mut expect = |what: &str, expected: &str, found: &str| {
                if expected != found {
                    check.differs(|| {
                        format!(
                            "line {}: {what} is '{found}' instead of '{expected}'",
                            attempt.line + 1
                        )
                    });
                }
            };
            let target = target_by_id
                .get(&click.link)
                .and_then(|t| traffic.targets().get(*t));
            expect("target", &line.target, target.map_or("", String::as_str));
            if let Some(host) = labels::referrer_host(line.referrer.as_deref()) {
                expect("referrer", &host, labels::referrer(&click.referrer_host));
            }
            match agents.get(line.agent.as_deref()) {
                Some(Agent::Bot) => expect(
                    "verdict",
                    "bot",
                    if click.is_bot { "bot" } else { "person" },
                ),
                Some(Agent::Browser {
                    browser,
                    os,
                    device,
                }) => {
                    expect(
                        "verdict",
                        "person",
                        if click.is_bot { "bot" } else { "person" },
                    );
                    expect("browser", browser, labels::browser(&click.browser));
                    expect("operating system", os, labels::os(&click.os));
                    expect("device", device, labels::device(&click.device));
                }
                Some(Agent::Ambiguous) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn click(query: &str) -> StoredClick {
        StoredClick {
            link: 1,
            query: query.to_owned(),
            is_bot: false,
            referrer_host: String::new(),
            browser: String::new(),
            os: String::new(),
            device: String::new(),
        }
    }

    /// Attempts 0 answered, 1 unanswered, 2 refused, 3 an answered HEAD.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for (outcome, counts) in [
            (Outcome::Answered, true),
            (Outcome::Unanswered, true),
            (Outcome::Refused, true),
            (Outcome::Answered, false),
        ] {
            let id = ledger.open(7, counts);
            ledger.close(id, outcome);
        }
        ledger
    }

    #[track_caller]
    fn check(stored: &[&str], differences: u64, visits: usize) {
        let mut check = Check::new("attempts");
        let stored: Vec<StoredClick> = stored.iter().map(|q| click(q)).collect();
        let books = ledger().settle(&stored, &mut check);
        assert_eq!(
            (check.differences, books.visits.len()),
            (differences, visits),
            "{:?}",
            check.examples
        );
    }

    #[test]
    fn answered_once_and_unanswered_at_most_once_is_right() {
        check(&["attempt=0"], 0, 1);
        check(&["attempt=0", "attempt=1"], 0, 2);
    }

    #[test]
    fn anything_else_is_a_difference() {
        check(&[], 1, 0);
        check(&["attempt=0", "attempt=0"], 1, 2);
        check(&["attempt=0", "attempt=1", "attempt=1"], 1, 3);
        check(&["attempt=0", "attempt=2"], 1, 2);
        check(&["attempt=0", "attempt=3"], 1, 1);
        check(&["attempt=0", "attempt=4"], 1, 1);
        check(&["attempt=0", ""], 1, 1);
        check(&["attempt=0", "attempt=0&x"], 1, 1);
        check(&["attempt=0", "attempt=-1"], 1, 1);
    }
}
