//! Single visits: pages, exports, and readers that go away.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use control_plane::stats::{Bots, Event, Range, Stats, StatsError, csv_head, csv_line};
use futures_util::StreamExt as _;

use super::{DEADLINE, asked, clicks, range, ranges, stats, workspace};
use crate::engine::engine;

async fn all_pages(
    stats: &Stats,
    (workspace, link): (u64, u64),
    range: &Range,
    bots: Bots,
    limit: usize,
) -> Vec<Event> {
    let (mut events, mut cursor) = (Vec::new(), None);
    loop {
        let page = stats
            .events(workspace, link, range, bots, cursor.as_deref(), limit)
            .await
            .expect("a page");
        assert!(page.events.len() == limit || page.next_cursor.is_none());
        events.extend(page.events);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return events;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_visits_come_newest_first_from_both_halves() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, is_busy) in [(1, false), (2, true)] {
        let clicks = clicks(workspace, link, 300, is_busy);
        engine.store(&clicks).await;
        for bots in [Bots::Exclude, Bots::Include, Bots::Only] {
            let mut expected = asked(&clicks, &ranges()[0], bots);
            expected.sort_by_key(|c| std::cmp::Reverse((c.time, c.epoch, c.worker, c.position)));
            let events = stats.recent(workspace, link, bots, 50).await;
            let events = events.expect("an answer");
            assert_eq!(events.len(), expected.len().min(50));
            for (event, click) in events.iter().zip(expected) {
                assert_eq!(
                    (event.time_ms, &event.browser),
                    (click.time, &click.browser.shown())
                );
            }
        }
    }
    let none = stats.recent(workspace, 3, Bots::Include, 50).await;
    assert_eq!(none.expect("an answer"), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_all_visits_in_order_whatever_the_page() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, is_busy) in [(1, false), (2, true)] {
        let clicks = clicks(workspace, link, 700, is_busy);
        engine.store(&clicks).await;
        for range in ranges() {
            for bots in [Bots::Exclude, Bots::Include, Bots::Only] {
                let mut expected = asked(&clicks, &range, bots);
                expected.sort_by_key(|c| (c.time, c.epoch, c.worker, c.position));
                let events = all_pages(&stats, (workspace, link), &range, bots, 1_000).await;
                assert_eq!(events.len(), expected.len());
                let mut seen = BTreeSet::new();
                for (event, click) in events.iter().zip(&expected) {
                    assert_eq!(
                        event.id,
                        format!("{:016x}-{}-{}", click.epoch, click.worker, click.position)
                    );
                    assert_eq!(event.time_ms, click.time);
                    assert_eq!((event.is_bot, event.is_scan), (click.is_bot, click.is_scan));
                    assert_eq!(
                        event.is_unique,
                        click.visitor.is_some_and(|v| seen.insert(v)),
                        "{}",
                        event.id
                    );
                    assert_eq!(
                        (&event.city, &event.referrer),
                        (&click.city.shown(), &click.referrer.shown())
                    );
                    assert_eq!(event.country, click.country.shown());
                }
                let mut export = stats
                    .export(workspace, link, &range, bots)
                    .await
                    .expect("an export");
                let mut exported = Vec::new();
                while let Some(event) = export.next().await.expect("an event") {
                    exported.push(event);
                }
                assert_eq!(exported, events);
            }
        }
        let open = range(None, None, "UTC");
        let whole = all_pages(&stats, (workspace, link), &open, Bots::Include, 1_000).await;
        for limit in [1, 7, 699, 700] {
            let some = if limit == 1 {
                range(None, Some("2026-10-21T00:00:00Z"), "UTC")
            } else {
                open.clone()
            };
            let paged = all_pages(&stats, (workspace, link), &some, Bots::Include, limit).await;
            assert_eq!(paged[..], whole[..paged.len()], "pages of {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_is_none_of_ours_is_refused() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    engine.store(&clicks(workspace, 1, 20, false)).await;
    let open = range(None, None, "UTC");
    let page = stats
        .events(workspace, 1, &open, Bots::Include, None, 5)
        .await
        .expect("a page");
    let cursor = page.next_cursor.expect("more");
    let other = stats
        .events(workspace, 2, &open, Bots::Include, Some(&cursor), 5)
        .await;
    assert!(matches!(other, Err(StatsError::Cursor(_))), "{other:?}");
    for bad in ["", "x", "'; DROP TABLE clicks; --", &cursor[1..]] {
        let refused = stats
            .events(workspace, 1, &open, Bots::Include, Some(bad), 5)
            .await;
        assert!(matches!(refused, Err(StatsError::Cursor(_))), "{bad}");
    }
    let nothing = stats
        .events(workspace, 1, &open, Bots::Include, None, 0)
        .await
        .expect("a page");
    assert!(nothing.events.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_csv_that_a_spreadsheet_may_open() {
    let (engine, workspace) = (engine().await, workspace());
    let clicks = clicks(workspace, 1, 2_000, true);
    engine.store(&clicks).await;
    let export = stats(engine)
        .export(workspace, 1, &range(None, None, "UTC"), Bots::Include)
        .await
        .expect("an export");
    let pieces: Vec<_> = export.into_pieces(csv_head(), csv_line).collect().await;
    assert!(pieces.len() > 1, "in pieces");
    let text: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| piece.expect("a piece"))
        .collect();
    let text = String::from_utf8(text).expect("text");
    let records = records(&text);
    assert_eq!(records.len(), 2_001);
    let columns = records[0].len();
    for record in &records {
        assert_eq!(record.len(), columns, "{record:?}");
        assert!(
            record
                .iter()
                .all(|cell| !cell.starts_with(['=', '+', '-', '@'])),
            "{record:?}"
        );
    }
    assert!(
        records
            .iter()
            .flatten()
            .any(|cell| cell == "'=HYPERLINK(\"https://evil.test\")")
    );
    assert!(records.iter().flatten().any(|cell| cell == "nul\0byte"));
}

/// CSV by RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut cell, mut is_quoted) =
        (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => assert_eq!(chars.peek(), Some(&'\n')),
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            c => cell.push(c),
        }
    }
    assert!(!is_quoted && record.is_empty() && cell.is_empty());
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_ends_its_queries() {
    let (engine, workspace) = (engine().await, workspace());
    // More than all buffers between a query and its reader hold: some 200 MB a half.
    for batch in 0..8 {
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, visitor, referrer)
             SELECT {workspace}, number, toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + number % 864000, {workspace}, 1, number % 2, number % 1000, repeat('x', 500)
             FROM numbers({}, 100000)",
            batch * 100_000
        );
        engine.client().query(&sql).execute().await.expect("clicks");
    }
    let running = || async {
        let mut mine = Vec::new();
        let query = engine
            .client()
            .with_validation(false)
            .query("SELECT query FROM system.processes")
            .fetch_all::<String>();
        for query in query.await.expect("a list") {
            if query.contains("FROM signpost.clicks WHERE")
                && query.contains(&workspace.to_string())
            {
                mine.push(query);
            }
        }
        mine.len()
    };
    let mut export = stats(engine)
        .export(workspace, 1, &range(None, None, "UTC"), Bots::Include)
        .await
        .expect("an export");
    for _ in 0..10 {
        assert!(export.next().await.expect("an event").is_some());
    }
    assert!(running().await > 0, "they run while they are read");
    drop(export);
    let began = Instant::now();
    while running().await > 0 {
        assert!(began.elapsed() < DEADLINE, "its queries go on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
