//! How soon things are seen: a new link by visitors, a visit in the statistics.

use std::time::{Duration, Instant};

use crate::report::{Bound, Report, quantile};
use crate::system::{System, pause};

/// Links made and looked for.
const EDITS: usize = 200;

/// Visits made and looked for.
const VISITS: usize = 40;

/// Nothing may take longer than this.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn run(report: &mut Report) -> anyhow::Result<()> {
    let system = System::start()?;
    let mut live = Vec::new();
    for i in 0..EDITS {
        let slug = format!("live{i}");
        let body = serde_json::json!({ "url": "https://destination.example/", "custom": slug });
        system.api("POST", "/url/add", Some(&body))?;
        // From the answer of the call on.
        let made = Instant::now();
        while system.location(&slug)?.is_none() {
            anyhow::ensure!(made.elapsed() < DEADLINE, "{slug} does not go live");
        }
        live.push(made.elapsed().as_secs_f64() * 1e3);
    }
    report.note("create to live, median", quantile(&mut live, 0.5), "ms");
    report.check(
        "create to live, p99",
        quantile(&mut live, 0.99),
        "ms",
        Bound::AtMost(100.0),
    );

    let id = system.api("GET", "/urls?limit=1", None)?["data"]["urls"][0]["id"]
        .as_i64()
        .unwrap_or_default();
    let slug = format!("live{}", EDITS - 1);
    let mut seen = Vec::new();
    for visit in 1..=VISITS {
        system.visit(&slug)?;
        let made = Instant::now();
        while system.api("GET", &format!("/url/{id}/stats"), None)?["data"]["total_clicks"] != visit
        {
            anyhow::ensure!(
                made.elapsed() < DEADLINE,
                "visit {visit} is not in the statistics"
            );
            pause();
        }
        seen.push(made.elapsed().as_secs_f64());
    }
    report.note("visit to statistics, median", quantile(&mut seen, 0.5), "s");
    report.check(
        "visit to statistics, p99",
        quantile(&mut seen, 0.99),
        "s",
        Bound::AtMost(2.0),
    );
    Ok(())
}
