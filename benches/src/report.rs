//! What was measured, and whether it holds its bound.

use std::io::Write as _;

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

    /// Prints the numbers on standard output.
    pub(crate) fn print(&self, json: bool) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            let lines: Vec<_> = self
                .lines
                .iter()
                .map(|l| serde_json::json!({ "name": l.name, "value": l.value, "unit": l.unit, "holds": l.bound.map(|b| b.holds(l.value)) }))
                .collect();
            writeln!(out, "{}", serde_json::Value::from(lines))?;
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
