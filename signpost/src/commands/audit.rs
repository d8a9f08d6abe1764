//! `signpost audit`: the books of every stream, and whether the roll-ups agree with the stored clicks.

use std::io::Write as _;
use std::process::ExitCode;

use ingest::audit::{Report, Verdict};
use schemas::settings::Settings;

use crate::cli::AuditOptions;

/// Prints the books; exit status 1 when they don't balance.
pub(crate) fn run(mut settings: Settings, options: &AuditOptions) -> anyhow::Result<ExitCode> {
    let config = ingest::Config::from_settings(&mut settings);
    settings.check()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut report = runtime.block_on(ingest::audit::audit(&config))?;
    if options.repair
        && report
            .roll_ups
            .iter()
            .any(|r| r.verdict == Verdict::Differs)
    {
        for done in runtime.block_on(ingest::audit::repair(&config, &report))? {
            let what = done
                .refused
                .map_or_else(|| "rebuilt".to_owned(), |why| format!("not rebuilt: {why}"));
            writeln!(
                std::io::stderr(),
                "signpost: {} {}: {what}",
                done.table,
                done.month
            )?;
        }
        report = runtime.block_on(ingest::audit::audit(&config))?;
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(out, "{}", json(&report))?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    Ok(if report.balanced() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "{:<24} {:>12} {:>12} {:>10} {:>8} {:>9} {:>9} {:>9} {:>8}  DROPPED BY REASON\n",
        "STREAM",
        "WRITTEN",
        "STORED",
        "IN FLIGHT",
        "DEAD",
        "DROPPED",
        "UNSETTLED",
        "MISSING",
        "DOUBLED"
    );
    for (stream, books) in &report.streams {
        let dropped: u64 = books.dropped.values().sum();
        let reasons: Vec<String> = books
            .dropped
            .iter()
            .map(|(reason, n)| format!("{reason} {n}"))
            .collect();
        text += &format!(
            "{:<24} {:>12} {:>12} {:>10} {:>8} {dropped:>9} {:>9} {:>9} {:>8}  {}\n",
            stream.to_string(),
            books.written,
            books.stored,
            books.in_flight,
            books.dead,
            books.unsettled,
            books.missing,
            books.doubled,
            reasons.join(", ")
        );
    }
    text += &format!(
        "\n{:<16} {:>7} {:>14} {:>14}  VERDICT\n",
        "ROLL-UP", "MONTH", "ROLLED UP", "RAW"
    );
    for books in &report.roll_ups {
        text += &format!(
            "{:<16} {:>7} {:>14} {:>14}  {}\n",
            books.table,
            books.month,
            books.rolled_up,
            books.raw,
            verdict(books.verdict)
        );
    }
    if report.dead_unknown > 0 {
        text += &format!(
            "\n{} dead letters whose click is not known\n",
            report.dead_unknown
        );
    }
    if report.damaged_bytes > 0 {
        text += &format!(
            "\n{} bytes of the click log are damaged\n",
            report.damaged_bytes
        );
    }
    text += if report.balanced() {
        "\nthe books balance\n"
    } else {
        "\nTHE BOOKS DO NOT BALANCE\n"
    };
    text
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Agrees => "agrees",
        Verdict::Differs => "DIFFERS",
        Verdict::Unknown => "raw clicks have expired: cannot be told",
    }
}

fn json(report: &Report) -> serde_json::Value {
    let streams: serde_json::Map<String, serde_json::Value> = report
        .streams
        .iter()
        .map(|(stream, b)| {
            let books = serde_json::json!({
                "written": b.written, "stored": b.stored, "in_flight": b.in_flight, "dead": b.dead, "dropped": b.dropped,
                "unsettled": b.unsettled, "missing": b.missing, "doubled": b.doubled, "closed": b.closed,
            });
            (stream.to_string(), books)
        })
        .collect();
    let roll_ups: Vec<_> = report
        .roll_ups
        .iter()
        .map(|r| serde_json::json!({ "table": r.table, "month": r.month, "rolled_up": r.rolled_up, "raw": r.raw, "verdict": verdict(r.verdict) }))
        .collect();
    serde_json::json!({
        "balanced": report.balanced(), "streams": streams, "roll_ups": roll_ups,
        "dead_unknown": report.dead_unknown, "damaged_bytes": report.damaged_bytes,
    })
}
