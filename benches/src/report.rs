//! What was measured, and whether it holds its bound.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers of one run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    name: String,
    value: f64,
    unit: &'static str,
    bound: Option<Bound>,
}

/// What a number must not exceed, or must reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    /// At most.
    AtMost(f64),
    /// At least.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(bound) => format!("≤ {bound}"),
            Self::AtLeast(bound) => format!("≥ {bound}"),
        }
    }
}

impl Report {
    /// Says what goes on, on standard error.
    #[expect(clippy::unused_self, reason = "where numbers go, this goes")]
    pub(crate) fn say(&self, what: &str) {
        let _ = writeln!(std::io::stderr(), "  {what} …");
    }

    /// A number for information.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.add(name.into(), value, unit, None);
    }

    /// A number with a bound.
    pub(crate) fn check(
        &mut self,
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        bound: Bound,
    ) {
        self.add(name.into(), value, unit, Some(bound));
    }

    fn add(&mut self, name: String, value: f64, unit: &'static str, bound: Option<Bound>) {
        let _ = writeln!(std::io::stderr(), "  {name}: {value:.3} {unit}");
        self.lines.push(Line {
            name,
            value,
            unit,
            bound,
        });
    }

    /// Whether every bound holds.
    pub(crate) fn holds(&self) -> bool {
        self.lines
            .iter()
            .all(|l| l.bound.is_none_or(|b| b.holds(l.value)))
    }

    /// Writes the numbers as JSON, with the machine they are of, to `<folder>/<name>.json`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
        let cpu = cpu
            .lines()
            .find_map(|l| l.strip_prefix("model name")?.split_once(": "))
            .map(|(_, model)| model.to_owned());
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
        let load = std::fs::read_to_string("/proc/loadavg")?;
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let value = serde_json::json!({
            "unix_time": at,
            "machine": {
                "cpu": cpu,
                "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
                "kernel": kernel.trim(),
                "load_average_at_the_end": load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            },
            "arguments": std::env::args().skip(1).collect::<Vec<_>>(),
            "numbers": self.values(),
        });
        std::fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(&value)?;
        std::fs::write(folder.join(format!("{name}.json")), text + "\n")?;
        Ok(())
    }

    fn values(&self) -> Vec<serde_json::Value> {
        let value = |l: &Line| serde_json::json!({ "name": l.name, "value": l.value, "unit": l.unit, "bound": l.bound.map(Bound::text), "holds": l.bound.map(|b| b.holds(l.value)) });
        self.lines.iter().map(value).collect()
    }

    /// Prints the numbers on standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::Value::from(self.values()))?;
            return Ok(());
        }
        writeln!(
            out,
            "| measured | value | bound | |\n| --- | --- | --- | --- |"
        )?;
        for line in &self.lines {
            let bound = line.bound.map(Bound::text).unwrap_or_default();
            let verdict = match line.bound.map(|b| b.holds(line.value)) {
                Some(true) => "holds",
                Some(false) => "MISSED",
                None => "",
            };
            writeln!(
                out,
                "| {} | {:.3} {} | {bound} | {verdict} |",
                line.name, line.value, line.unit
            )?;
        }
        Ok(())
    }
}

/// The middle of some numbers; `NaN` of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The smallest value that at least `q` of the values do not exceed; `NaN` of none.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (q * values.len() as f64).ceil() as usize;
    values
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}
