//! The books at the end: each visit that was sent against what is stored, dropped, dead and rolled up.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::http::ClickHouse;
use crate::visitors::{Attempt, Link, Outcome, PARAMETER};

/// How long everything may take to come through after the last fault is mended.
const DRAIN: Duration = Duration::from_secs(180);

/// Between looks.
const LOOK: Duration = Duration::from_millis(500);

/// How long after a proxy was killed a request may still fail because of it: what was on its way to it, and what haproxy
/// had kept connections for.
const EXPLAINED: Duration = Duration::from_secs(2);

/// Differences that are printed one by one.
const SHOWN: usize = 20;

/// What was found.
#[derive(Debug, Default)]
pub struct Books {
    sent: usize,
    answered: u64,
    refused: u64,
    unanswered: u64,
    stored: u64,
    unanswered_stored: u64,
    lost: u64,
    dropped: BTreeMap<String, u64>,
    dead: u64,
    streams: usize,
    rolled_up: usize,
    /// Whatever is not as it should be.
    pub differences: Vec<String>,
}

impl Books {
    /// Whether everything is as it should be.
    pub fn balance(&self) -> bool {
        self.differences.is_empty()
    }

    /// Waits until nothing is under way, and compares.
    ///
    /// # Errors
    /// ClickHouse or `signpost audit` cannot be asked.
    pub fn close(
        cluster: &Cluster,
        attempts: &[Attempt],
        links: &[Link],
        proxies_killed: &[Instant],
    ) -> anyhow::Result<Self> {
        let mut books = Self {
            sent: attempts.len(),
            ..Self::default()
        };
        let audit = drained(cluster)?;
        books.read_audit(&audit);
        let server = cluster.clickhouse()?;
        books.compare(&stored(&server)?, attempts, links);
        for attempt in attempts {
            books.explain(attempt, links, proxies_killed);
        }
        books.compare_roll_ups(&server)?;
        Ok(books)
    }

    fn differs(&mut self, what: String) {
        self.differences.push(what);
    }

    fn read_audit(&mut self, audit: &Value) {
        if audit["balanced"] != true {
            self.differs(format!("signpost audit: the books do not balance: {audit}"));
        }
        for (stream, books) in audit["streams"].as_object().into_iter().flatten() {
            self.streams += 1;
            for place in ["in_flight", "missing", "doubled", "unsettled"] {
                let number = books[place].as_u64().unwrap_or(u64::MAX);
                if number != 0 {
                    self.differs(format!("stream {stream}: {place} {number}"));
                }
            }
            self.dead += books["dead"].as_u64().unwrap_or(0);
            for (reason, number) in books["dropped"].as_object().into_iter().flatten() {
                let dropped = self.dropped.entry(reason.clone()).or_default();
                *dropped += number.as_u64().unwrap_or(0);
            }
        }
        if self.dead > 0 {
            self.differs(format!("{} dead letters", self.dead));
        }
    }

    fn compare(&mut self, stored: &HashMap<String, Stored>, attempts: &[Attempt], links: &[Link]) {
        let mut unknown: HashMap<&str, &Stored> =
            stored.iter().map(|(id, s)| (id.as_str(), s)).collect();
        for attempt in attempts {
            let id = attempt.id.to_string();
            let found = unknown.remove(id.as_str());
            let count = found.map_or(0, |found| found.count);
            self.stored += count;
            if count > 1 {
                self.differs(format!("visit {id} is stored {count} times"));
            }
            let link = links.get(attempt.link).map_or(0, |link| link.id);
            if found.is_some_and(|found| found.link != link) {
                self.differs(format!("visit {id} is stored for another link"));
            }
            match attempt.outcome {
                Outcome::Answered | Outcome::Wrong(_) => {
                    self.answered += 1;
                    self.lost += u64::from(count == 0);
                }
                Outcome::Refused(_) => self.refused += 1,
                Outcome::Unanswered(_) => self.unanswered += 1,
            }
            if !matches!(attempt.outcome, Outcome::Answered | Outcome::Wrong(_)) {
                self.unanswered_stored += count;
            }
        }
        for (id, stored) in unknown {
            self.differs(format!("{} clicks of no visit: '{id}'", stored.count));
        }
        let dropped: u64 = self.dropped.values().sum();
        if self.lost > dropped {
            self.differs(format!(
                "{} answered visits are not stored, and only {dropped} are dropped with a reason",
                self.lost
            ));
        }
    }

    fn explain(&mut self, attempt: &Attempt, links: &[Link], proxies_killed: &[Instant]) {
        let what = match &attempt.outcome {
            Outcome::Answered => return,
            Outcome::Wrong(what) => {
                self.differs(format!("a wrong answer: {what}"));
                return;
            }
            Outcome::Refused(status) => format!("{status}"),
            Outcome::Unanswered(error) => error.clone(),
        };
        let is_explained = proxies_killed
            .iter()
            .any(|at| attempt.ended >= *at && attempt.sent <= *at + EXPLAINED);
        if !is_explained {
            let slug = links.get(attempt.link).map_or("", |link| &link.slug);
            self.differs(format!(
                "visit {} of {slug} failed ({what}) and no proxy was killed then",
                attempt.id
            ));
        }
    }

    fn compare_roll_ups(&mut self, server: &ClickHouse) -> anyhow::Result<()> {
        let raw = "SELECT link, toUnixTimestamp(toStartOfInterval(time, INTERVAL 15 MINUTE)) AS b, toUInt8(is_bot), \
                   count() FROM signpost.clicks GROUP BY ALL";
        let rolled_up = "SELECT link, toUnixTimestamp(bucket) AS b, toUInt8(is_bot), sum(clicks) \
                         FROM signpost.clicks_15m WHERE link > 0 GROUP BY ALL";
        let table = |sql: &str| -> anyhow::Result<BTreeMap<Vec<String>, String>> {
            let rows = server.rows(sql)?.into_iter();
            Ok(rows
                .filter_map(|mut row| row.pop().map(|count| (row, count)))
                .collect())
        };
        let (raw, rolled_up) = (table(raw)?, table(rolled_up)?);
        self.rolled_up = raw.len();
        for (of, count) in &raw {
            let other = rolled_up.get(of).map_or("none", String::as_str);
            if other != count {
                self.differs(format!("roll-up of {of:?}: {other} instead of {count}"));
            }
        }
        for of in rolled_up.keys().filter(|of| !raw.contains_key(*of)) {
            self.differs(format!("roll-up of {of:?} without a click"));
        }
        Ok(())
    }
}

/// What is stored of a visit.
struct Stored {
    link: i64,
    count: u64,
}

/// All stored clicks, by what their query says. A query that no visit of ours has stands for itself.
fn stored(server: &ClickHouse) -> anyhow::Result<HashMap<String, Stored>> {
    let rows =
        server.rows("SELECT query, any(link), count() FROM signpost.clicks GROUP BY query")?;
    let prefix = format!("{PARAMETER}=");
    let row = |row: Vec<String>| {
        let [query, link, count] = &row[..] else {
            anyhow::bail!("a row of {} columns", row.len());
        };
        let stored = Stored {
            link: link.parse().context("link")?,
            count: count.parse().context("count")?,
        };
        let query = query.trim_start_matches('?');
        Ok((
            query.strip_prefix(&prefix).unwrap_or(query).to_owned(),
            stored,
        ))
    };
    rows.into_iter().map(row).collect()
}

/// Waits until the audit finds nothing under way and the books even; then, or when the time is over, what it found.
fn drained(cluster: &Cluster) -> anyhow::Result<Value> {
    let until = Instant::now() + DRAIN;
    loop {
        let audit = match cluster.audit() {
            // Brokers may still be finding out which of them keeps the group's offsets.
            Err(_) if Instant::now() < until => {
                crate::pause(LOOK);
                continue;
            }
            audit => audit?,
        };
        let streams = audit["streams"].as_object().into_iter().flatten();
        let is_even = audit["balanced"] == true
            && streams
                .into_iter()
                .all(|(_, books)| books["in_flight"] == 0 && books["unsettled"] == 0);
        if is_even || Instant::now() > until {
            return Ok(audit);
        }
        crate::pause(LOOK);
    }
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "visits sent        {:>9}", self.sent)?;
        writeln!(f, "  answered         {:>9}", self.answered)?;
        writeln!(f, "  refused (5xx)    {:>9}", self.refused)?;
        writeln!(f, "  unanswered       {:>9}", self.unanswered)?;
        writeln!(f, "clicks stored      {:>9}", self.stored)?;
        writeln!(f, "  of failed visits {:>9}", self.unanswered_stored)?;
        writeln!(f, "answered, not stored {:>7}", self.lost)?;
        for (reason, number) in &self.dropped {
            writeln!(f, "  dropped: {reason:<15} {number:>9}")?;
        }
        writeln!(f, "dead letters       {:>9}", self.dead)?;
        writeln!(f, "streams            {:>9}", self.streams)?;
        writeln!(f, "roll-up rows equal {:>9}", self.rolled_up)?;
        for difference in self.differences.iter().take(SHOWN) {
            writeln!(f, "DIFFERENCE: {difference}")?;
        }
        if self.differences.len() > SHOWN {
            let more = self.differences.len() - SHOWN;
            writeln!(f, "… and {more} more")?;
        }
        f.write_str(if self.balance() {
            "the books balance\n"
        } else {
            "THE BOOKS DO NOT BALANCE\n"
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn attempts(outcomes: &[Outcome]) -> Vec<Attempt> {
        let (now, all) = (Instant::now(), outcomes.iter().cloned().enumerate());
        all.map(|(id, outcome)| Attempt {
            id,
            link: 0,
            sent: now,
            ended: now,
            outcome,
        })
        .collect()
    }

    /// What differs when these visits, of link 7, left these clicks: id, link, how often.
    fn compared(outcomes: &[Outcome], clicks: &[(&str, i64, u64)], dropped: u64) -> Vec<String> {
        let links = [Link {
            id: 7,
            slug: "a".to_owned(),
            tried: AtomicU64::new(0),
        }];
        let stored = clicks.iter().map(|(id, link, count)| {
            let (link, count) = (*link, *count);
            ((*id).to_owned(), Stored { link, count })
        });
        let mut books = Books {
            dropped: [("log_full".to_owned(), dropped)].into(),
            ..Books::default()
        };
        books.compare(&stored.collect(), &attempts(outcomes), &links);
        books.differences
    }

    #[test]
    fn each_visit_is_looked_for_and_nothing_else_may_be_there() {
        let unanswered = || Outcome::Unanswered("reset".to_owned());
        let both = [Outcome::Answered, unanswered()];
        let none: Vec<String> = Vec::new();
        assert_eq!(compared(&both, &[("0", 7, 1)], 0), none);
        assert_eq!(compared(&both, &[("0", 7, 1), ("1", 7, 1)], 0), none);
        assert_eq!(compared(&both, &[], 1), none, "dropped with a reason");
        for (clicks, why) in [
            (&[][..], "1 answered visits are not stored"),
            (&[("0", 7, 2)], "visit 0 is stored 2 times"),
            (&[("0", 7, 1), ("1", 7, 2)], "visit 1 is stored 2 times"),
            (&[("0", 8, 1)], "for another link"),
            (&[("0", 7, 1), ("9", 7, 1)], "1 clicks of no visit: '9'"),
            (&[("0", 7, 1), ("", 7, 3)], "3 clicks of no visit: ''"),
        ] {
            let found = compared(&both, clicks, 0);
            assert!(found.len() == 1 && found[0].contains(why), "{found:?}");
        }
    }

    #[test]
    fn a_failed_visit_needs_a_proxy_that_was_killed_then() {
        let failed = &attempts(&[Outcome::Refused(503)])[0];
        let found = |killed: &[Instant]| {
            let mut books = Books::default();
            books.explain(failed, &[], killed);
            books.differences.len()
        };
        let long = EXPLAINED + Duration::from_secs(1);
        assert_eq!(found(&[failed.sent]), 0);
        assert_eq!(found(&[]), 1);
        assert_eq!(found(&[failed.ended + Duration::from_millis(1)]), 1);
        if let Some(before) = failed.sent.checked_sub(long) {
            assert_eq!(found(&[before]), 1);
        }
    }
}
