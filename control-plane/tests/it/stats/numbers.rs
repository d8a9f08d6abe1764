//! Totals, series, dimensions and visitors.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use control_plane::stats::{
    Bots, ByValue, Dimension, Dimensions, OTHERS, Range, StatsError, Step, Totals,
};
use jiff::Timestamp;

use super::{asked, clicks, range, ranges, stats, stats_of, workspace};
use crate::engine::{Click, engine};

fn totals(clicks: &[&Click]) -> Totals {
    let visitors: HashSet<u64> = clicks.iter().filter_map(|click| click.visitor).collect();
    Totals {
        clicks: clicks.len() as u64,
        unique_clicks: visitors.len() as u64,
    }
}

fn series(clicks: &[&Click], range: &Range, step: Step) -> BTreeMap<String, Totals> {
    let mut buckets: BTreeMap<String, Vec<&Click>> = BTreeMap::new();
    for click in clicks {
        let zoned = Timestamp::from_millisecond(click.time)
            .expect("a time")
            .to_zoned(range.tz.clone());
        let name = match step {
            Step::Day => zoned.strftime("%Y-%m-%d"),
            Step::Hour => zoned.strftime("%Y-%m-%d %H:00:00"),
        };
        buckets.entry(name.to_string()).or_default().push(click);
    }
    buckets
        .into_iter()
        .map(|(name, clicks)| (name, totals(&clicks)))
        .collect()
}

fn by(clicks: &[&Click], value: impl Fn(&Click) -> String) -> ByValue {
    let mut by = ByValue::new();
    for click in clicks {
        *by.entry(value(click)).or_default() += 1;
    }
    by
}

fn dimensions(clicks: &[&Click]) -> Dimensions {
    Dimensions::of(|dimension| {
        by(clicks, |c| match dimension {
            Dimension::Country => c.country.shown(),
            Dimension::Region => c.region.shown(),
            Dimension::City => c.city.shown(),
            Dimension::Device => c.device.shown(),
            Dimension::Os => match (c.os.shown().as_str(), c.os_version.shown().as_str()) {
                ("", _) => String::new(),
                (os, "") => os.to_owned(),
                (os, version) => format!("{os} {version}"),
            },
            Dimension::Browser => c.browser.shown(),
            Dimension::Language => c.language.shown(),
            Dimension::Referrer => c.referrer_host.shown(),
            Dimension::UtmSource => c.utm_source.shown(),
            Dimension::UtmMedium => c.utm_medium.shown(),
            Dimension::UtmCampaign => c.utm_campaign.shown(),
            Dimension::UtmTerm => c.utm_term.shown(),
            Dimension::UtmContent => c.utm_content.shown(),
        })
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_number_is_what_plain_code_counts() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, is_busy) in [(1, false), (2, true)] {
        let clicks = clicks(workspace, link, 3_000, is_busy);
        engine.store(&clicks).await;
        // Neighbours that must not be counted.
        let mut other = clicks.clone();
        other.truncate(50);
        for click in &mut other {
            (click.link, click.epoch) = (link + 10, click.epoch + 1_000_000_000);
        }
        engine.store(&other).await;
        for range in ranges() {
            for bots in [Bots::Exclude, Bots::Include, Bots::Only] {
                let asked = asked(&clicks, &range, bots);
                let about = format!("link {link}, {range:?}, {bots:?}");
                let found = stats
                    .totals_in(workspace, link, &range, bots)
                    .await
                    .expect("totals");
                assert_eq!(found, totals(&asked), "{about}");
                for step in [Step::Day, Step::Hour] {
                    let found = stats
                        .link(workspace, link, &range, bots, step)
                        .await
                        .expect("stats");
                    assert_eq!(found.totals, totals(&asked), "{about}");
                    let buckets: Vec<_> = found
                        .series
                        .iter()
                        .map(|b| (b.start.clone(), b.totals))
                        .collect();
                    let expected: Vec<_> = series(&asked, &range, step).into_iter().collect();
                    assert_eq!(buckets, expected, "{about}, {step:?}");
                    assert_eq!(found.by, dimensions(&asked), "{about}");
                    let again = stats
                        .link(workspace, link, &range, bots, step)
                        .await
                        .expect("stats");
                    assert_eq!(again, found, "the same question has the same answer");
                }
            }
        }
        let whole = totals(&asked(&clicks, &range(None, None, "UTC"), Bots::Exclude));
        let listed = stats.totals(workspace, &[link, 99]).await.expect("totals");
        assert_eq!(listed.into_iter().collect::<Vec<_>>(), [(link, whole)]);
        let all = stats.totals_of_workspace(workspace).await.expect("totals");
        assert_eq!(all.get(&link), Some(&whole));
        assert!(all.contains_key(&(link + 10)));
        // A number of its own: the next one may be another test's.
        assert_eq!(
            stats
                .totals(super::workspace(), &[link])
                .await
                .expect("totals")
                .len(),
            0
        );
    }
    assert_eq!(stats.totals(workspace, &[]).await.expect("totals").len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_visits_are_in_the_next_answer() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    let mut all = Vec::new();
    let rounds = [false, false, true, true, false, true];
    for (round, is_busy) in rounds.into_iter().enumerate() {
        let mut more = clicks(workspace, 1, 40, is_busy);
        for click in &mut more {
            click.epoch = click.epoch * 10 + round as u64;
        }
        engine.store(&more).await;
        all.extend(more);
        for (place, range) in ranges().into_iter().enumerate() {
            let bots = [Bots::Include, Bots::Exclude, Bots::Only][(place + round) % 3];
            let asked = asked(&all, &range, bots);
            let found = stats
                .link(workspace, 1, &range, bots, Step::Day)
                .await
                .expect("stats");
            let about = format!("round {round}, {range:?}, {bots:?}");
            assert_eq!(found.totals, totals(&asked), "{about}");
            let buckets = found.series.into_iter().map(|b| (b.start, b.totals));
            let buckets: BTreeMap<String, Totals> = buckets.collect();
            assert_eq!(buckets, series(&asked, &range, Step::Day), "{about}");
            assert_eq!(found.by, dimensions(&asked), "{about}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_given_while_visits_come_in_is_of_one_instant() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    let range = range(
        Some("2026-10-21T00:00:00Z"),
        Some("2026-10-28T00:00:00Z"),
        "UTC",
    );
    let stored = std::sync::atomic::AtomicU64::new(0);
    let coming = async {
        for round in 0..12 {
            let mut more = clicks(workspace, 1, 30, true);
            for click in &mut more {
                (click.epoch, click.rolled_up) = (click.epoch * 100 + round, true);
            }
            engine.store(&more).await;
            let of_range = asked(&more, &range, Bots::Include).len() as u64;
            stored.fetch_add(of_range, std::sync::atomic::Ordering::SeqCst);
        }
    };
    let one_round = asked(&clicks(workspace, 1, 30, true), &range, Bots::Include).len() as u64;
    let asking = async {
        let mut answers = 0_u64;
        loop {
            let before = stored.load(std::sync::atomic::Ordering::SeqCst);
            let found = stats
                .link(workspace, 1, &range, Bots::Include, Step::Day)
                .await
                .expect("stats");
            let after = stored.load(std::sync::atomic::Ordering::SeqCst) + one_round;
            let clicks = found.totals.clicks;
            assert!(
                (before..=after).contains(&clicks),
                "{before} {clicks} {after}"
            );
            assert_eq!(clicks % one_round, 0, "rounds come whole");
            let by_day: u64 = found.series.iter().map(|day| day.totals.clicks).sum();
            assert_eq!(by_day, clicks);
            for dimension in Dimension::ALL {
                assert_eq!(
                    found.by[dimension].values().sum::<u64>(),
                    clicks,
                    "{dimension:?}"
                );
            }
            answers += 1;
            if before == 12 * one_round {
                return answers;
            }
        }
    };
    let ((), answers) = tokio::join!(coming, asking);
    println!("{answers} answers while visits came in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rare_values_are_counted_together() {
    let (engine, workspace) = (engine().await, workspace());
    for (link, is_busy) in [(1, false), (2, true)] {
        let mut clicks = clicks(workspace, link, 6_000, is_busy);
        for (n, click) in clicks.iter_mut().enumerate() {
            click.referrer_host = if n % 2 == 0 {
                "often.test".into()
            } else {
                format!("r{n}.test").as_str().into()
            };
            click.rolled_up = is_busy;
        }
        engine.store(&clicks).await;
        let open = range(None, None, "UTC");
        let found = stats(engine)
            .link(workspace, link, &open, Bots::Include, Step::Day)
            .await
            .expect("stats");
        let referrers = &found.by[Dimension::Referrer];
        assert_eq!(referrers.values().sum::<u64>(), 6_000);
        assert_eq!(referrers.get("often.test"), Some(&3_000));
        assert_eq!(referrers.get(OTHERS), Some(&2_001));
        assert_eq!(referrers.len(), 1_001);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_with_more_values_than_are_sent_has_its_frequent_ones() {
    let (engine, workspace) = (engine().await, workspace());
    let sql = format!(
        "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, referrer_host)
         SELECT {workspace}, number, toDateTime64('2026-10-20 00:00:00', 3, 'UTC'), {workspace}, 1, true,
            if(number % 3 = 0, 'often.test', concat('r', toString(number), '.test'))
         FROM numbers(36000)"
    );
    engine.client().query(&sql).execute().await.expect("clicks");
    engine.roll_up(workspace).await;
    let found = stats(engine)
        .link(
            workspace,
            1,
            &range(None, None, "UTC"),
            Bots::Exclude,
            Step::Day,
        )
        .await
        .expect("stats");
    let referrers = &found.by[Dimension::Referrer];
    assert_eq!(found.totals.clicks, 36_000);
    assert_eq!(referrers.values().sum::<u64>(), 36_000);
    assert_eq!(referrers.get("often.test"), Some(&12_000));
    assert_eq!(referrers.get(OTHERS), Some(&(24_000 - 999)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn months_that_are_new_to_a_busy_link_are_counted_at_once() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    let open = range(None, None, "UTC");
    let mut clicks = 0;
    // The first month is sampled, and what is known of it stays known while the others come.
    for (round, (from, visitors)) in [
        ("2026-10-20", 100_000_u64),
        ("2026-09-30", 500),
        ("2026-12-01", 700),
    ]
    .into_iter()
    .enumerate()
    {
        let epoch = workspace * 10 + round as u64;
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, visitor)
             SELECT {epoch}, number, toDateTime64('{from} 00:00:00', 3, 'UTC'), {workspace}, 1, true, sipHash64(number, {round})
             FROM numbers({visitors})"
        );
        engine.client().query(&sql).execute().await.expect("clicks");
        engine.roll_up(epoch).await;
        clicks += visitors;
        let found = stats
            .link(workspace, 1, &open, Bots::Exclude, Step::Day)
            .await
            .expect("stats");
        assert_eq!(found.totals.clicks, clicks);
        for day in found.series {
            let (there, unique) = (day.totals.clicks, day.totals.unique_clicks);
            let is_sampled = there == 100_000;
            let off = there.abs_diff(unique);
            assert!(
                if is_sampled { off < 3_000 } else { off == 0 },
                "{}: {there} visitors, {unique} counted",
                day.start
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uniques_of_busy_links_are_exact_up_to_65_536_a_month_and_close_beyond() {
    let (engine, workspace) = (engine().await, workspace());
    let stats = stats(engine);
    for (link, visitors) in [(1, 4_000_u64), (2, 65_536), (3, 200_000)] {
        let epoch = workspace * 1_000 + link;
        let sql = format!(
            "INSERT INTO signpost.clicks (epoch, position, time, workspace, link, rolled_up, visitor)
             SELECT {epoch}, number, toDateTime64('2026-10-20 00:00:00', 3, 'UTC') + number % 864000, {workspace}, {link}, number % 5 > 0, sipHash64(number % {visitors}, {link})
             FROM numbers({})",
            visitors * 2
        );
        engine.client().query(&sql).execute().await.expect("clicks");
        engine.roll_up(epoch).await;
        let open = range(None, None, "UTC");
        let stat = stats
            .link(workspace, link, &open, Bots::Exclude, Step::Day)
            .await
            .expect("stats");
        let found = stat.totals;
        assert_eq!(found.clicks, visitors * 2);
        let is_off = |found: u64, visitors: u64| found.abs_diff(visitors) as f64 / visitors as f64;
        let off = is_off(found.unique_clicks, visitors);
        println!(
            "{visitors} visitors: {} counted, {:.3} % off",
            found.unique_clicks,
            off * 100.0
        );
        let is_exact = visitors <= 65_536;
        assert!(if is_exact { off == 0.0 } else { off < 0.01 });
        // A click a second, so the visitors of a day are those of its seconds. Of the sampled link a day has 86,400 of
        // the 200,000: standard error 1 %.
        for day in &stat.series {
            let (there, unique) = (day.totals.clicks.min(visitors), day.totals.unique_clicks);
            let off = is_off(unique, there);
            println!("{}: {there} visitors, {unique} counted", day.start);
            assert!(if is_exact { off == 0.0 } else { off < 0.03 });
        }
        assert_eq!(
            stats
                .totals(workspace, &[link])
                .await
                .expect("totals")
                .get(&link),
            Some(&found)
        );
        assert_eq!(
            stats
                .totals_in(workspace, link, &open, Bots::Exclude)
                .await
                .expect("totals"),
            found
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_clickhouse_there_is_an_error_at_once() {
    let open = range(None, None, "UTC");
    let engine = engine().await;
    let wrong_password = engine
        .url
        .replacen(':', "://x:y@", 0)
        .replace("signpost:", "signpost:wrong");
    for stats in [
        stats_of(&[("SIGNPOST_CLICKHOUSE_URL", "http://127.0.0.1:1")]),
        stats_of(&[("SIGNPOST_CLICKHOUSE_ADDR", "127.0.0.1:1")]),
        stats_of(&[("SIGNPOST_CLICKHOUSE_URL", &wrong_password)]),
    ] {
        let began = Instant::now();
        let error = stats
            .link(1, 1, &open, Bots::Exclude, Step::Day)
            .await
            .expect_err("not there");
        assert!(
            matches!(&error, StatsError::Unavailable(text) if !text.is_empty() && text.len() < 1_000),
            "{error}"
        );
        assert!(
            !format!("{stats:?}").contains("wrong"),
            "secrets are not printed"
        );
        for failed in [
            stats.totals(1, &[1]).await.is_err(),
            stats
                .events(1, 1, &open, Bots::Exclude, None, 5)
                .await
                .is_err(),
            stats.export(1, 1, &open, Bots::Exclude).await.is_err(),
        ] {
            assert!(failed);
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
