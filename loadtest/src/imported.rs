//! The same log by way of `signpost clicks import`: original times, no visitors.
//!
//! Three steps, since the import is the product's: links are made, the log is written anew with the links' paths as targets,
//! and after the import everything is compared, days and hours of 2015 included.

use crate::agents::Agents;
use crate::compare::Times;
use crate::links;
use crate::replay::{Settings, compare, wait_for};
use crate::report::{Check, Report};
use crate::slug_map::slug_of;
use crate::traffic::Traffic;

/// The log with each target replaced by the path of its link.
pub fn rewrite(traffic: &Traffic, prefix: &str) -> Vec<u8> {
    let paths: Vec<String> = traffic
        .targets()
        .iter()
        .map(|t| format!("/{}", slug_of(prefix, t)))
        .collect();
    traffic.rewritten(|target| paths.get(target).cloned().unwrap_or_default())
}

/// Compares what the import left with the log. The links of the prefix must be there and must have had no other visits.
///
/// # Errors
/// API or ClickHouse cannot be asked.
pub async fn run(
    settings: &Settings,
    traffic: &Traffic,
    agents: &Agents,
    prefix: &str,
) -> anyhow::Result<Report> {
    let mut clickhouse = settings.connect_clickhouse()?;
    let links = links::make(&mut settings.connect_api()?, traffic, prefix).await?;
    let ids: Vec<u64> = links.iter().map(|l| l.id).collect();
    // Visits are GETs, as when they are sent.
    let visits: Vec<usize> = traffic
        .lines
        .iter()
        .enumerate()
        .filter(|(_, l)| l.method == "GET")
        .map(|(at, _)| at)
        .collect();
    let stored = wait_for(&mut clickhouse, &ids, visits.len() as u64, settings).await?;
    let mut facts = vec![
        ("links".to_owned(), links.len().to_string()),
        (
            "visits in the log and stored".to_owned(),
            format!("{} and {stored}", visits.len()),
        ),
    ];
    let checks = compare(
        settings,
        &mut clickhouse,
        traffic,
        agents,
        &links,
        &visits,
        &Times::Original,
        &mut facts,
    )
    .await?;
    let mut wrong_answers = Check::new("answers");
    wrong_answers.compared = 1;
    Ok(Report {
        tool: "replay --imported",
        requests: traffic.lines.len() as u64,
        wrong_answers,
        books_balanced: stored == visits.len() as u64,
        facts,
        checks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rewritten_log_asks_for_the_links() {
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let again = Traffic::read(&rewrite(&traffic, "old")).expect("still legal");
        assert_eq!(again.lines.len(), 10_000);
        assert_eq!(again.targets().len(), 1_498);
        assert!(again.targets().iter().all(|t| t.starts_with("/old")));
    }
}
