//! `signpost dead`: records that could not be stored, listed, and sent again once this program can read them.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use ingest::{Conflicts, Letter, Letters, Replayed};
use schemas::settings::Settings;

use crate::cli::{DeadCommand, DeadFilter};

/// Runs one of the commands.
pub(crate) fn run(mut settings: Settings, command: DeadCommand) -> anyhow::Result<ExitCode> {
    let config = ingest::Config::from_settings(&mut settings);
    settings.check()?;
    let kafka = config.kafka.context(
        "there is no Kafka (SIGNPOST_KAFKA_BROKERS is not set); without it, dead letters are in ClickHouse's table \
         signpost.dead_letters",
    )?;
    let letters = Letters::read(&kafka).context("cannot read the dead letters")?;
    match command {
        DeadCommand::List { filter, json } => list(&wanted(&letters, &filter), json),
        DeadCommand::Replay { filter, dry_run } => {
            let conflicts = if filter.reason.as_deref() == Some("conflict") {
                Conflicts::Send
            } else {
                Conflicts::Leave
            };
            let wanted = wanted(&letters, &filter);
            let results = if dry_run {
                Letters::judge(&wanted, conflicts)
            } else {
                Letters::replay(&kafka, &wanted, conflicts).context("cannot send them again")?
            };
            replayed(&results, dry_run)
        }
    }
}

fn wanted<'a>(letters: &'a [Letter], filter: &DeadFilter) -> Vec<&'a Letter> {
    letters
        .iter()
        .filter(|letter| {
            filter
                .reason
                .as_ref()
                .is_none_or(|reason| *reason == letter.reason)
                && (filter.origin.is_empty() || filter.origin.contains(&letter.origin.to_string()))
        })
        .collect()
}

fn list(letters: &[&Letter], json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if !json && std::io::stdout().is_terminal() {
        writeln!(out, "ORIGIN\tDIED (MS SINCE 1970)\tREASON\tBYTES\tCLICK")?;
    }
    for letter in letters {
        if json {
            let line = serde_json::json!({
                "origin": letter.origin.to_string(), "at_ms": letter.at_ms, "reason": letter.reason, "id": letter.id,
                "key": hex(&letter.key), "payload": hex(&letter.payload),
            });
            writeln!(out, "{line}")?;
        } else {
            // What a stranger wrote must not speak to the terminal.
            let plain = |text: &str| {
                text.chars()
                    .map(|c| if c.is_control() { '?' } else { c })
                    .collect::<String>()
            };
            writeln!(
                out,
                "{}\t{}\t{}\t{}\t{}",
                plain(&letter.origin.to_string()),
                letter.at_ms,
                plain(&letter.reason),
                letter.payload.len(),
                plain(&letter.id)
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn replayed(results: &[(ingest::Origin, Replayed)], dry_run: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut left = 0;
    for (origin, replayed) in results {
        let what = match replayed {
            Replayed::Sent(id) if dry_run => format!("would be sent\t{id}"),
            Replayed::Sent(id) => format!("sent\t{id}"),
            Replayed::Dead(reason) => {
                left += 1;
                format!("still dead\t{reason}")
            }
            Replayed::Left => "left: its click is stored\t--reason conflict sends it".to_owned(),
        };
        writeln!(out, "{origin}\t{what}")?;
    }
    if left > 0 {
        writeln!(
            std::io::stderr(),
            "signpost: {left} of {} cannot be stored by this version either",
            results.len()
        )?;
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
