//! The replay against a small stand-in for the product, right and wrong in known ways.
//!
//! This tests the tool: that it passes a right product and catches each kind of wrong one. What it says of the real
//! product is tested with the real product.

mod stand_in;

use std::time::Duration;

use loadtest::agents::Agents;
use loadtest::http_client::Server;
use loadtest::report::Report;
use loadtest::sender::Plan;
use loadtest::traffic::Traffic;
use loadtest::{imported, links, replay};
use stand_in::{Fault, StandIn};

/// Every 23rd line of the log, and every line that is no GET.
fn some_traffic() -> Traffic {
    let all = Traffic::embedded().expect("the checked-in log is legal");
    let raw = all.rewritten(|target| all.targets()[target].clone());
    let mut some = Vec::new();
    for (at, line) in raw
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .enumerate()
    {
        if at % 23 == 0 || all.lines[at].method != "GET" {
            some.extend_from_slice(line);
            some.push(b'\n');
        }
    }
    Traffic::read(&some).expect("still legal")
}

fn settings(stand_in: &StandIn) -> replay::Settings {
    let server = Server::parse(&stand_in.url()).expect("legal");
    replay::Settings {
        api: server.clone(),
        proxy: server.clone(),
        clickhouse: server,
        api_key: stand_in::KEY.to_owned(),
        clickhouse_user: "signpost".to_owned(),
        clickhouse_password: "secret".to_owned(),
        deadline: Duration::from_millis(500),
        settle: Duration::from_millis(10),
    }
}

async fn replay_with(fault: Fault, attempt_ids: bool) -> Report {
    let stand_in = StandIn::start(fault).await;
    let plan = Plan {
        connections: 3,
        per_second: None,
        seed: Some(1),
        attempt_ids,
        patience: Duration::from_secs(5),
    };
    let agents = Agents::embedded().expect("the checked-in table is legal");
    replay::run(&settings(&stand_in), &some_traffic(), &agents, "t-1", &plan)
        .await
        .expect("the run could be made")
}

fn differing(report: &Report) -> Vec<&str> {
    report
        .checks
        .iter()
        .filter(|c| c.differences > 0)
        .map(|c| c.name.as_str())
        .collect()
}

#[tokio::test]
async fn a_right_product_passes() {
    let report = replay_with(Fault::None, false).await;
    assert!(report.is_clean(), "{report:?}");
    let lines = some_traffic().lines.len();
    assert_eq!(
        report.verdict(),
        format!("replay: {lines} requests, 0 wrong answers, 0 differences, books balanced")
    );
    assert_eq!(report.to_json()["clean"], true);
}

#[tokio::test]
async fn a_wrong_location_is_a_wrong_answer() {
    let report = replay_with(Fault::WrongLocation, false).await;
    assert_eq!(report.wrong_answers.differences, 1, "{report:?}");
    assert!(!report.is_clean());
}

#[tokio::test]
async fn a_lost_visit_unbalances_the_books() {
    let report = replay_with(Fault::LosesOne, false).await;
    assert!(!report.books_balanced);
    assert!(
        differing(&report).contains(&"API: clicks, all"),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn a_visit_counted_twice_unbalances_the_books() {
    let report = replay_with(Fault::StoresOneTwice, false).await;
    assert!(!report.books_balanced);
    assert!(
        differing(&report).contains(&"SQL: clicks, all"),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn a_bot_taken_for_a_person_is_a_difference() {
    let report = replay_with(Fault::TakesOneBotForAPerson, false).await;
    assert!(report.books_balanced);
    assert!(
        differing(&report).contains(&"API: clicks, people"),
        "{:?}",
        differing(&report)
    );
    assert!(
        differing(&report).contains(&"SQL: clicks, bots"),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn a_wrong_browser_is_a_difference() {
    let report = replay_with(Fault::CallsOneChromeSafari, false).await;
    assert_eq!(differing(&report), ["SQL: browsers", "API: browsers"]);
}

#[tokio::test]
async fn stats_that_disagree_with_the_stored_clicks_are_a_difference() {
    let report = replay_with(Fault::StatsForgetOne, false).await;
    assert!(report.books_balanced);
    assert!(!differing(&report).is_empty());
    assert!(
        differing(&report)
            .iter()
            .all(|name| name.starts_with("API")),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn attempts_without_an_answer_are_repeated_and_may_be_stored_once() {
    let report = replay_with(Fault::CutsConnections, true).await;
    assert!(report.is_clean(), "{report:?}");
    let fact = |name: &str| {
        report
            .facts
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.clone())
            .unwrap_or_default()
    };
    assert_ne!(fact("unanswered ones stored"), "0", "{:?}", report.facts);
}

#[tokio::test]
async fn without_attempt_ids_a_cut_connection_is_a_wrong_answer() {
    let report = replay_with(Fault::CutsConnections, false).await;
    assert!(report.wrong_answers.differences > 0);
}

#[tokio::test]
async fn an_attempt_stored_twice_is_a_difference() {
    let report = replay_with(Fault::StoresOneTwice, true).await;
    assert!(
        differing(&report).contains(&"SQL: each attempt at a visit"),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn an_attempt_stored_under_another_id_is_a_difference() {
    let report = replay_with(Fault::InventsAnAttempt, true).await;
    assert!(
        differing(&report).contains(&"SQL: each attempt at a visit"),
        "{:?}",
        differing(&report)
    );
}

#[tokio::test]
async fn an_import_is_compared_by_day_and_hour() {
    let stand_in = StandIn::start(Fault::None).await;
    let (settings, traffic) = (settings(&stand_in), some_traffic());
    let agents = Agents::embedded().expect("the checked-in table is legal");
    let mut api = settings.connect_api().expect("legal key");
    links::make(&mut api, &traffic, "old")
        .await
        .expect("links are made");
    stand_in.import(&imported::rewrite(&traffic, "old"));
    // The links are there already: they are found again by their short URL.
    let report = imported::run(&settings, &traffic, &agents, "old")
        .await
        .expect("the run could be made");
    assert!(report.is_clean(), "{report:?}");
    for name in ["API: hours", "SQL: days"] {
        assert!(
            report
                .checks
                .iter()
                .any(|c| c.name == name && c.compared > 0),
            "{name}"
        );
    }

    stand_in.move_one_click_by_an_hour();
    let report = imported::run(&settings, &traffic, &agents, "old")
        .await
        .expect("the run could be made");
    assert_eq!(
        differing(&report),
        ["SQL: hours", "API: hours"],
        "{report:?}"
    );
}

#[tokio::test]
async fn a_wrong_key_is_named_at_once() {
    let stand_in = StandIn::start(Fault::None).await;
    let mut settings = settings(&stand_in);
    settings.api_key = "wrong".to_owned();
    let mut api = settings.connect_api().expect("a legal header");
    let error = links::make(&mut api, &some_traffic(), "t")
        .await
        .expect_err("no such key");
    assert!(format!("{error:#}").contains("401"), "{error:#}");
}
