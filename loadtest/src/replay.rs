//! The replay from beginning to end: links, requests, books, comparison.
//!
//! It asks nothing of the product but what it documents, and it proves nothing about speed. It ends with a
//! [`Report`]; whether processes were killed meanwhile is not its business.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::join_all;

use crate::agents::{Agent, Agents};
use crate::api::Api;
use crate::clickhouse::{ClickHouse, Losses, StoredClick};
use crate::compare::{Comparison, Times};
use crate::expected::{self, Bots, Found, Numbers};
use crate::http_client::Server;
use crate::links::{self, Link};
use crate::report::{Check, Report};
use crate::sender::{self, Plan};
use crate::traffic::Traffic;

/// Between two looks at the stored clicks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Connections that read the stats back.
const READERS: usize = 4;
/// Links between two words on progress.
const PROGRESS_EVERY: usize = 500;

/// Where the product is, and how it is asked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The REST API.
    pub api: Server,
    /// The visitors' side.
    pub proxy: Server,
    /// ClickHouse over HTTP.
    pub clickhouse: Server,
    /// API key.
    pub api_key: String,
    /// ClickHouse user.
    pub clickhouse_user: String,
    /// Its password.
    pub clickhouse_password: String,
    /// How long to wait for the books, and for the stats after them.
    pub deadline: Duration,
    /// How long nothing may be added to full books before they are closed.
    pub settle: Duration,
}

impl Settings {
    /// A client of the API.
    ///
    /// # Errors
    /// The key cannot stand in a header.
    pub fn connect_api(&self) -> anyhow::Result<Api> {
        Api::new(
            self.api.clone(),
            &self.api_key,
            &format!("http://{}", self.proxy.authority()),
            self.deadline,
        )
    }

    /// A client of ClickHouse.
    ///
    /// # Errors
    /// User or password cannot stand in a header.
    pub fn connect_clickhouse(&self) -> anyhow::Result<ClickHouse> {
        ClickHouse::new(
            self.clickhouse.clone(),
            &self.clickhouse_user,
            &self.clickhouse_password,
            self.deadline,
        )
    }
}

/// Sends the log through fresh links and checks everything.
///
/// # Errors
/// The run could not be made; a run that was made and found differences is a report.
pub async fn run(
    settings: &Settings,
    traffic: &Traffic,
    agents: &Agents,
    prefix: &str,
    plan: &Plan,
) -> anyhow::Result<Report> {
    let mut clickhouse = settings.connect_clickhouse()?;
    eprintln!(
        "replay: making {} links under '{prefix}'",
        traffic.targets().len()
    );
    let links = links::make(&mut settings.connect_api()?, traffic, prefix)
        .await
        .context("making the links")?;
    links::wait_until_live(&settings.proxy, &links).await?;
    let ids: Vec<u64> = links.iter().map(|l| l.id).collect();
    let before = clickhouse.losses().await?;

    let first = today();
    let sent = sender::send(&settings.proxy, traffic, &links, plan)
        .await
        .context("sending the log")?;
    let last = today();
    let times = Times::Live {
        one_period: first.get(..7) == last.get(..7),
        first,
        last,
    };
    let requests = traffic.lines.len() as u64;
    let mut facts = vec![
        ("links".to_owned(), links.len().to_string()),
        (
            "requests answered".to_owned(),
            format!(
                "{} of {requests} in {:.1} s",
                sent.answered,
                sent.took.as_secs_f64()
            ),
        ),
    ];

    eprintln!("replay: waiting for the books");
    let answered = sent.ledger.answered_visits();
    let stored = wait_for(&mut clickhouse, &ids, answered.len() as u64, settings).await?;
    let mut checks = Vec::new();
    let (visits, missing) = if plan.attempt_ids {
        let (visits, missing, found) =
            settle_attempts(&mut clickhouse, &ids, &sent.ledger, settings, &mut facts).await?;
        let mut labels = Check::new("SQL: each click against its line");
        sent.ledger
            .compare_labels(&found.1, traffic, agents, &links, &mut labels);
        checks.extend([found.0, labels]);
        (visits, missing)
    } else {
        let count = answered.len() as u64;
        (answered, count.abs_diff(stored))
    };
    facts.push((
        "visits answered and stored".to_owned(),
        format!("{} and {stored}", visits.len()),
    ));
    let after = clickhouse.losses().await?;
    let lost = Losses {
        dropped: after.dropped.saturating_sub(before.dropped),
        dead: after.dead.saturating_sub(before.dead),
    };
    facts.push((
        "dropped, dead letters meanwhile".to_owned(),
        format!("{}, {}", lost.dropped, lost.dead),
    ));
    // With kills, what was dropped may be an attempt that nobody was answered; each attempt's own book says more.
    let books_balanced = missing == 0 && lost.dead == 0 && (plan.attempt_ids || lost.dropped == 0);

    checks.extend(
        compare(
            settings,
            &mut clickhouse,
            traffic,
            agents,
            &links,
            &visits,
            &times,
            &mut facts,
        )
        .await?,
    );
    Ok(Report {
        tool: "replay",
        requests,
        wrong_answers: sent.wrong,
        books_balanced,
        facts,
        checks,
    })
}

/// Waits until so many clicks are stored and nothing is added for a while, or the deadline passes; the number then.
///
/// # Errors
/// ClickHouse cannot be asked.
pub async fn wait_for(
    clickhouse: &mut ClickHouse,
    links: &[u64],
    wanted: u64,
    settings: &Settings,
) -> anyhow::Result<u64> {
    let until = Instant::now() + settings.deadline;
    let (mut stored, mut since) = (clickhouse.count(links).await?, Instant::now());
    loop {
        if Instant::now() >= until || (stored >= wanted && since.elapsed() >= settings.settle) {
            return Ok(stored);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let now = clickhouse.count(links).await?;
        if now != stored {
            eprintln!("replay: {now} of {wanted} visits stored");
            (stored, since) = (now, Instant::now());
        }
    }
}

type Settled = (Vec<usize>, u64, (Check, Vec<StoredClick>));

/// Holds the stored clicks against the attempts until no answered one is missing, or the deadline passes.
async fn settle_attempts(
    clickhouse: &mut ClickHouse,
    ids: &[u64],
    ledger: &crate::attempts::Ledger,
    settings: &Settings,
    facts: &mut Vec<(String, String)>,
) -> anyhow::Result<Settled> {
    let until = Instant::now() + settings.deadline;
    loop {
        let stored = clickhouse.clicks(ids).await?;
        let mut check = Check::new("SQL: each attempt at a visit");
        let books = ledger.settle(&stored, &mut check);
        if books.missing > 0 && Instant::now() < until {
            eprintln!(
                "replay: {} answered visits are not stored yet",
                books.missing
            );
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        facts.push(("attempts".to_owned(), ledger.len().to_string()));
        facts.push((
            "visits answered / unanswered / refused".to_owned(),
            format!(
                "{} / {} / {}",
                books.answered, books.unanswered, books.refused
            ),
        ));
        facts.push((
            "unanswered ones stored".to_owned(),
            books.unanswered_stored.to_string(),
        ));
        return Ok((books.visits, books.missing, (check, stored)));
    }
}

/// Compares API and SQL with the log, for the given visits.
///
/// # Errors
/// API or ClickHouse cannot be asked, or an answer lacks a field.
#[expect(clippy::too_many_arguments, reason = "everything a run knows, once")]
pub async fn compare(
    settings: &Settings,
    clickhouse: &mut ClickHouse,
    traffic: &Traffic,
    agents: &Agents,
    links: &[Link],
    visits: &[usize],
    times: &Times,
    facts: &mut Vec<(String, String)>,
) -> anyhow::Result<Vec<Check>> {
    let ambiguous = visits
        .iter()
        .filter(|at| {
            traffic
                .lines
                .get(**at)
                .and_then(|l| agents.get(l.agent.as_deref()))
                == Some(&Agent::Ambiguous)
        })
        .count();
    facts.push((
        "visits of ambiguous user agents".to_owned(),
        format!("{ambiguous}, left out of the comparison by label"),
    ));
    let mut views = Vec::new();
    for bots in Bots::ALL {
        views.push((bots, expected::numbers(traffic, agents, visits, bots)?));
    }
    let ids: Vec<u64> = links.iter().map(|l| l.id).collect();

    let mut sql = Comparison::new("SQL");
    for (bots, numbers) in &views {
        let found = clickhouse.numbers(&ids, *bots).await?;
        for ((link, target), expected) in links.iter().zip(traffic.targets()).zip(numbers) {
            let nothing = Found {
                uniques: Some(0),
                days: Some(BTreeMap::new()),
                hours: Some(BTreeMap::new()),
                ..Found::default()
            };
            sql.compare(
                target,
                *bots,
                times,
                expected,
                found.get(&link.id).unwrap_or(&nothing),
            );
        }
    }

    eprintln!("replay: reading the stats of {} links", links.len());
    let next = std::cell::Cell::new(0);
    let until = Instant::now() + settings.deadline;
    let readers =
        (0..READERS).map(|_| read_stats(settings, traffic, links, &views, times, &next, until));
    let mut api = Comparison::new("API");
    for part in join_all(readers).await {
        api.absorb(part?);
    }
    Ok(sql.into_checks().chain(api.into_checks()).collect())
}

/// One of the readers: takes links from the common queue until it is empty.
async fn read_stats(
    settings: &Settings,
    traffic: &Traffic,
    links: &[Link],
    views: &[(Bots, Vec<Numbers>)],
    times: &Times,
    next: &std::cell::Cell<usize>,
    until: Instant,
) -> anyhow::Result<Comparison> {
    let mut api = settings.connect_api()?;
    let mut all = Comparison::new("API");
    loop {
        let at = next.get();
        let (Some(link), Some(target)) = (links.get(at), traffic.targets().get(at)) else {
            return Ok(all);
        };
        next.set(at + 1);
        if at > 0 && at.is_multiple_of(PROGRESS_EVERY) {
            eprintln!("replay: stats of {at} links read");
        }
        // Stats may trail the raw table by a moment; a difference counts when it is there to the end.
        all.absorb(loop {
            let one = read_link(&mut api, at, link, target, views, times).await?;
            if one.differences() == 0 || Instant::now() >= until {
                break one;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        });
    }
}

async fn read_link(
    api: &mut Api,
    at: usize,
    link: &Link,
    target: &str,
    views: &[(Bots, Vec<Numbers>)],
    times: &Times,
) -> anyhow::Result<Comparison> {
    let mut one = Comparison::new("API");
    let mut totals = Vec::new();
    for (bots, numbers) in views {
        let Some(expected) = numbers.get(at) else {
            continue;
        };
        let mut found = api.stats(link.id, *bots).await?;
        if *times == Times::Original {
            found.hours = Some(api.hours(link.id, *bots).await?);
        }
        one.compare(target, *bots, times, expected, &found);
        totals.push((found.clicks, found.uniques.unwrap_or_default()));
        if *bots == Bots::Exclude {
            let details = api.details(link.id).await?;
            let check = one.check("one link's own page");
            check.compared += 1;
            if (details.clicks, Some(details.unique_clicks)) != (found.clicks, found.uniques)
                || details.long_url != link.destination
            {
                check.differs(|| {
                    format!(
                        "{target}: {details:?}, stats say {} clicks and {:?} unique",
                        found.clicks, found.uniques
                    )
                });
            }
        }
    }
    if let [all, people, bots] = totals.as_slice() {
        let check = one.check("people and bots add up");
        check.compared += 1;
        if all.0 != people.0 + bots.0 || all.1 != people.1 + bots.1 {
            check.differs(|| format!("{target}: {all:?} in all, {people:?} people, {bots:?} bots"));
        }
    }
    Ok(one)
}

/// The UTC day.
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
