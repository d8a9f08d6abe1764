//! The log as a whole: its lines in order, and its distinct targets.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::log_line::Line;

/// The checked-in log, gzip.
const LOG: &[u8] = include_bytes!("../data/apache_access.log.gz");
/// Largest log taken, in bytes unpacked: everything is kept in memory.
const MAX_LOG_BYTES: u64 = 1 << 30;

/// A log, read.
#[derive(Debug)]
pub struct Traffic {
    /// All lines, in the order of the file.
    pub lines: Vec<Line>,
    raw: Vec<Vec<u8>>,
    targets: Vec<String>,
    target_of: Vec<usize>,
}

impl Traffic {
    /// The checked-in log.
    ///
    /// # Errors
    /// The log is broken.
    pub fn embedded() -> anyhow::Result<Self> {
        Self::read(LOG).context("reading the checked-in log")
    }

    /// A log from a file, plain or gzip.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not in combined log format.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(path).with_context(|| format!("reading log '{}'", path.display()))?;
        Self::read(&bytes).with_context(|| format!("reading log '{}'", path.display()))
    }

    /// A log from bytes, plain or gzip.
    ///
    /// # Errors
    /// Names the first line that is not in combined log format.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let mut plain = Vec::new();
        let bytes = if bytes.starts_with(&[0x1f, 0x8b]) {
            flate2::read::GzDecoder::new(bytes)
                .take(MAX_LOG_BYTES)
                .read_to_end(&mut plain)
                .context("unpacking gzip")?;
            &plain
        } else {
            bytes
        };
        let mut traffic = Self {
            lines: Vec::new(),
            raw: Vec::new(),
            targets: Vec::new(),
            target_of: Vec::new(),
        };
        let mut known: HashMap<String, usize> = HashMap::new();
        for (number, raw) in bytes.split(|b| *b == b'\n').enumerate() {
            if raw.is_empty() {
                continue;
            }
            let line = Line::parse(raw).with_context(|| format!("line {}", number + 1))?;
            let next = traffic.targets.len();
            let target = *known.entry(line.target.clone()).or_insert(next);
            if target == next {
                traffic.targets.push(line.target.clone());
            }
            traffic.target_of.push(target);
            traffic.lines.push(line);
            traffic.raw.push(raw.to_vec());
        }
        Ok(traffic)
    }

    /// The distinct targets, in the order of their first line.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// Which of [`targets`](Self::targets) a line asks for.
    pub fn target_of(&self, line: usize) -> Option<usize> {
        self.target_of.get(line).copied()
    }

    /// The whole log with each target replaced by what `path` gives for its index.
    pub fn rewritten(&self, path: impl Fn(usize) -> String) -> Vec<u8> {
        let mut out = Vec::new();
        for ((line, raw), target) in self.lines.iter().zip(&self.raw).zip(&self.target_of) {
            out.extend_from_slice(&line.with_target(raw, &path(*target)));
            out.push(b'\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_log_holds_what_its_readme_says() {
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let count = |method: &str| traffic.lines.iter().filter(|l| l.method == method).count();
        assert_eq!(
            [count("GET"), count("HEAD"), count("POST"), count("OPTIONS")],
            [9_952, 42, 5, 1]
        );
        assert_eq!(traffic.lines.len(), 10_000);
        assert_eq!(
            traffic
                .lines
                .iter()
                .map(|l| l.address)
                .collect::<HashSet<_>>()
                .len(),
            1_753
        );
        assert_eq!(
            traffic
                .lines
                .iter()
                .map(|l| &l.agent)
                .collect::<HashSet<_>>()
                .len(),
            559
        );
        assert_eq!(traffic.targets().len(), 1_498);
        let days: HashSet<i64> = traffic.lines.iter().map(|l| l.time / 86_400).collect();
        assert_eq!(days.len(), 4);
    }

    #[test]
    fn a_rewritten_log_differs_in_its_targets_only() {
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let again =
            Traffic::read(&traffic.rewritten(|target| format!("/s{target}"))).expect("still legal");
        assert_eq!(again.targets().len(), traffic.targets().len());
        for (at, (old, new)) in traffic.lines.iter().zip(&again.lines).enumerate() {
            assert_eq!(
                Some(new.target.as_str()),
                traffic.target_of(at).map(|t| format!("/s{t}")).as_deref()
            );
            assert_eq!(
                (
                    &new.agent,
                    &new.referrer,
                    new.address,
                    new.time,
                    &new.method
                ),
                (
                    &old.agent,
                    &old.referrer,
                    old.address,
                    old.time,
                    &old.method
                )
            );
        }
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Traffic::read(b"1.1.1.1 nonsense\n").expect_err("no such line");
        assert!(format!("{error:#}").contains("line 1"), "{error:#}");
        assert!(Traffic::read(&[0x1f, 0x8b, 0, 0]).is_err());
    }
}
