//! Clicks a second from log to roll-ups, as a ratio to the engine's own insert of the same bytes.
//!
//! `cargo run --release -p ingest --example rate -- <data folder> <clicks>`: the folder must be empty; the engine runs in
//! this process. The floor takes the very rows back in ClickHouse's native format and inserts them into a table of the
//! same definition, in as many pieces as ingest made batches, nothing else.
#![allow(clippy::print_stdout, reason = "a tool that prints its result")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use prost::Message as _;
use schemas::click::{Click, Outcome};
use schemas::click_log::{Kind, append_record, decode_ack, segment_header, segment_name};
use schemas::health::Health;
use schemas::settings::Settings;
use tokio_util::sync::CancellationToken;

/// Links; one in two clicks goes to the first fifty.
const LINKS: u64 = 100_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(
        arguments
            .next()
            .context("usage: rate <empty data folder> <clicks>")?,
    );
    let clicks: u64 = arguments.next().context("number of clicks")?.parse()?;
    let log = folder.join("clicks");
    std::fs::create_dir_all(&log)?;
    let end = write_log(&log, clicks)?;

    let mut engine = embedded::Config::new(&folder, ".cache/chdb/libchdb.so");
    engine.addr = "127.0.0.1:0".parse()?;
    let engine = embedded::start(engine, Health::new(), CancellationToken::new()).await?;
    let mut settings = Settings::new([
        ("SIGNPOST_DATA_DIR", folder.display().to_string()),
        ("SIGNPOST_CLICKHOUSE_ADDR", engine.addr.to_string()),
    ]);
    let config = ingest::Config::from_settings(&mut settings);
    settings.check()?;
    let began = Instant::now();
    let running = ingest::start(config, Health::new(), CancellationToken::new())?;
    while std::fs::read_to_string(log.join("ack"))
        .ok()
        .and_then(|ack| decode_ack(&ack))
        != Some(end)
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop().await?;
    let ours = clicks as f64 / began.elapsed().as_secs_f64();

    let password = std::fs::read_to_string(folder.join("clickhouse.password"))?;
    let client = clickhouse::Client::default()
        .with_url(format!("http://{}", engine.addr))
        .with_user("signpost")
        .with_password(password.trim())
        .with_compression(clickhouse::Compression::None);
    client
        .query_raw("CREATE TABLE signpost.floor AS signpost.clicks")
        .execute()
        .await?;
    let batches = clicks.div_ceil(100_000);
    let mut floor = Duration::ZERO;
    for batch in 0..batches {
        let (from, to) = (batch * 100_000, (batch + 1) * 100_000);
        let sql = format!(
            "SELECT * FROM signpost.clicks WHERE position >= {from} AND position < {to} ORDER BY position"
        );
        let bytes = client
            .query_raw(&sql)
            .fetch_bytes("Native")?
            .collect()
            .await?;
        let began = Instant::now();
        let mut insert = client
            .insert_formatted_with("INSERT INTO signpost.floor FORMAT Native")
            .with_setting("async_insert", "0")
            .with_setting("max_insert_threads", "1");
        insert.send(bytes).await?;
        insert.end().await?;
        floor += began.elapsed();
    }
    let floor = clicks as f64 / floor.as_secs_f64();
    println!(
        "ingest {ours:.0} clicks/s, engine alone {floor:.0} clicks/s, ratio {:.2}",
        ours / floor
    );
    engine.stop().await
}

/// One segment; returns its end.
fn write_log(folder: &std::path::Path, clicks: u64) -> anyhow::Result<u64> {
    let mut out = segment_header(0, 0).to_vec();
    let header = out.len();
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for position in 0..clicks {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let n = random >> 8;
        let pick = |list: &[&str], n: u64| {
            list.get((n % list.len() as u64) as usize)
                .copied()
                .unwrap_or_default()
                .to_owned()
        };
        let click = Click {
            epoch: 7,
            position,
            time_ms: 1_790_000_000_000 + (position * 5) as i64,
            workspace: 1,
            link: 1 + if n.is_multiple_of(2) {
                n % 50
            } else {
                n % LINKS
            },
            domain: 1,
            host: "s.example".to_owned(),
            slug: format!("slug-{}", n % LINKS),
            outcome: Outcome::Redirect.into(),
            status: 302,
            bot: n.is_multiple_of(10),
            visitor: Some(n % 200_000),
            country: pick(&["DE", "US", "FR", "GB", "IN"], n),
            region: format!("region {}", n % 50),
            city: format!("city {}", n % 1_000),
            device: pick(&["desktop", "mobile", "tablet"], n),
            os: pick(&["Windows", "Android", "iOS", "Mac OS"], n),
            os_version: (n % 5).to_string(),
            browser: pick(&["Chrome", "Firefox", "Safari"], n),
            browser_version: (n % 100).to_string(),
            language: pick(&["en", "de", "fr"], n),
            referrer_host: format!("host{}.example", n % 300),
            referrer: format!("https://host{}.example/some/path/{}", n % 300, n % 1_000),
            utm_source: pick(&["", "", "newsletter"], n),
            utm_medium: pick(&["", "", "email"], n),
            utm_campaign: pick(&["", "", "spring"], n),
            query: pick(
                &[
                    "",
                    "",
                    "utm_source=newsletter&utm_medium=email&utm_campaign=spring",
                ],
                n,
            ),
            ip: format!("203.0.113.{}", n % 256),
            ..Click::default()
        };
        append_record(&mut out, Kind::Click, &click.encode_to_vec())?;
    }
    std::fs::write(folder.join(segment_name(0)), &out)?;
    Ok((out.len() - header) as u64)
}
