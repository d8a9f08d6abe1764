//! What a run found: a table and a verdict for people, JSON for machines.

use std::io::Write;

use serde_json::{Value, json};

/// Most differences of one check that are spelled out; the rest are only counted.
const MAX_EXAMPLES: usize = 10;

/// One kind of comparison.
#[derive(Debug)]
pub struct Check {
    /// What was compared.
    pub name: String,
    /// How many numbers or clicks.
    pub compared: u64,
    /// How many differed.
    pub differences: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

impl Check {
    /// A check that has compared nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            compared: 0,
            differences: 0,
            examples: Vec::new(),
        }
    }

    /// Counts a difference, and keeps its words if it is one of the first.
    pub fn differs(&mut self, words: impl FnOnce() -> String) {
        self.differences += 1;
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(words());
        }
    }

    /// Adds what another check of the same name found.
    pub fn absorb(&mut self, other: Self) {
        self.compared += other.compared;
        self.differences += other.differences;
        self.examples.extend(other.examples);
        self.examples.truncate(MAX_EXAMPLES);
    }
}

/// The whole run.
#[derive(Debug)]
pub struct Report {
    /// What every line of the report begins with.
    pub tool: &'static str,
    /// Lines of the log that were answered in the end, or read back where nothing was sent.
    pub requests: u64,
    /// Answers that were not what they had to be.
    pub wrong_answers: Check,
    /// Whether what was answered is what is stored.
    pub books_balanced: bool,
    /// Facts that are no comparison: name and value.
    pub facts: Vec<(String, String)>,
    /// All comparisons.
    pub checks: Vec<Check>,
}

impl Report {
    /// All differences of all checks.
    pub fn differences(&self) -> u64 {
        self.checks.iter().map(|c| c.differences).sum()
    }

    /// Whether there is nothing to complain about.
    pub fn is_clean(&self) -> bool {
        self.books_balanced
            && self.differences() == 0
            && self.wrong_answers.differences == 0
            && self.checks.iter().all(|c| c.compared > 0)
    }

    /// The one line that says it all.
    pub fn verdict(&self) -> String {
        format!(
            "{}: {} requests, {} wrong answers, {} differences, books {}",
            self.tool,
            self.requests,
            self.wrong_answers.differences,
            self.differences(),
            if self.books_balanced {
                "balanced"
            } else {
                "NOT balanced"
            }
        )
    }

    /// The table and the verdict.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        for (name, value) in &self.facts {
            writeln!(out, "{name:<44} {value}")?;
        }
        writeln!(
            out,
            "{:<44} {:>10} {:>10}",
            "check", "compared", "differing"
        )?;
        for check in std::iter::once(&self.wrong_answers).chain(&self.checks) {
            writeln!(
                out,
                "{:<44} {:>10} {:>10}",
                check.name, check.compared, check.differences
            )?;
            for example in &check.examples {
                writeln!(out, "    {example}")?;
            }
        }
        writeln!(out, "{}", self.verdict())
    }

    /// The same for machines.
    pub fn to_json(&self) -> Value {
        let check = |c: &Check| json!({"name": c.name, "compared": c.compared, "differences": c.differences, "examples": c.examples});
        json!({
            "verdict": self.verdict(),
            "clean": self.is_clean(),
            "requests": self.requests,
            "wrong_answers": self.wrong_answers.differences,
            "differences": self.differences(),
            "books_balanced": self.books_balanced,
            "facts": self.facts.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect::<serde_json::Map<_, _>>(),
            "checks": std::iter::once(&self.wrong_answers).chain(&self.checks).map(check).collect::<Vec<_>>(),
        })
    }
}
