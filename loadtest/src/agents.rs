//! The hand-made table of user agents: what each of the log's 559 is.
//!
//! The rules of judgement and the labels are in `data/README.md`. This module only reads the table.

use std::collections::HashMap;

use anyhow::{Context, bail, ensure};

/// The checked-in table.
const TABLE: &str = include_str!("../data/user_agents.tsv");
const HEADER: &str = "user_agent\tlines\tkind\tbrowser\tos\tdevice";

/// What a user agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// A person's program, with its labels.
    Browser {
        /// Product, without version.
        browser: String,
        /// Operating system's family.
        os: String,
        /// desktop, mobile or tablet.
        device: String,
    },
    /// Anything that fetches without a person waiting.
    Bot,
    /// A careful person would not decide.
    Ambiguous,
}

/// All user agents; a missing one is there as the empty text.
#[derive(Debug)]
pub struct Agents {
    by_agent: HashMap<Vec<u8>, (Agent, u64)>,
}

impl Agents {
    /// The checked-in table.
    ///
    /// # Errors
    /// The table is broken.
    pub fn embedded() -> anyhow::Result<Self> {
        Self::parse(TABLE).context("reading the table of user agents")
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Names the first line that breaks its form.
    pub fn parse(table: &str) -> anyhow::Result<Self> {
        let mut lines = table.lines();
        ensure!(
            lines.next() == Some(HEADER),
            "the first line must be '{HEADER}'"
        );
        let mut by_agent = HashMap::new();
        for (number, line) in lines.enumerate() {
            let number = number + 2;
            let fields: Vec<&str> = line.split('\t').collect();
            let [agent, count, kind, browser, os, device] = fields.as_slice() else {
                bail!("line {number}: {} fields instead of 6", fields.len());
            };
            let count: u64 = count
                .parse()
                .with_context(|| format!("line {number}: lines '{count}'"))?;
            let judged = match *kind {
                "bot" => Agent::Bot,
                "ambiguous" => Agent::Ambiguous,
                "browser" => Agent::Browser {
                    browser: (*browser).to_owned(),
                    os: (*os).to_owned(),
                    device: (*device).to_owned(),
                },
                other => bail!("line {number}: kind '{other}' is not browser, bot or ambiguous"),
            };
            let key = if *agent == "-" {
                Vec::new()
            } else {
                unescape(agent).with_context(|| format!("line {number}: a lone backslash"))?
            };
            ensure!(
                by_agent.insert(key, (judged, count)).is_none(),
                "line {number}: the user agent is there twice"
            );
        }
        Ok(Self { by_agent })
    }

    /// What the table says of a user agent; `None` in, for a request without one.
    pub fn get(&self, agent: Option<&[u8]>) -> Option<&Agent> {
        self.by_agent
            .get(agent.unwrap_or_default())
            .map(|(agent, _)| agent)
    }

    /// Every agent with the number of lines the table gives it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Agent, u64)> {
        self.by_agent
            .iter()
            .map(|(text, (agent, lines))| (text.as_slice(), agent, *lines))
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'\\' => match bytes.next()? {
                b'\\' => b'\\',
                b't' => b'\t',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels;
    use crate::traffic::Traffic;

    #[test]
    fn the_table_holds_each_user_agent_of_the_log_with_its_lines() {
        let agents = Agents::embedded().expect("the checked-in table is legal");
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let mut seen: HashMap<&[u8], u64> = HashMap::new();
        for line in &traffic.lines {
            *seen
                .entry(line.agent.as_deref().unwrap_or_default())
                .or_default() += 1;
        }
        assert_eq!(seen.len(), 559);
        let table: HashMap<&[u8], u64> = agents
            .iter()
            .map(|(text, _, lines)| (text, lines))
            .collect();
        assert_eq!(table, seen);
    }

    #[test]
    fn at_most_five_lines_in_a_hundred_are_ambiguous() {
        let agents = Agents::embedded().expect("the checked-in table is legal");
        let ambiguous: u64 = agents
            .iter()
            .filter(|(_, a, _)| **a == Agent::Ambiguous)
            .map(|(_, _, lines)| lines)
            .sum();
        assert!(ambiguous <= 500, "{ambiguous} of 10,000");
    }

    #[test]
    fn labels_are_those_of_the_readme() {
        for (text, agent, _) in Agents::embedded()
            .expect("the checked-in table is legal")
            .iter()
        {
            if let Agent::Browser {
                browser,
                os,
                device,
            } = agent
            {
                let text = String::from_utf8_lossy(text);
                assert_eq!(labels::browser(browser), browser, "{text}");
                assert_eq!(labels::os(os), os, "{text}");
                assert!(
                    ["desktop", "mobile", "tablet"].contains(&device.as_str()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn broken_tables_are_refused() {
        for bad in [
            "",
            "x",
            "a\t1\tbot\t-\t-",
            "a\tmany\tbot\t-\t-\tbot",
            "a\t1\tcat\t-\t-\t-",
            "a\\\t1\tbot\t-\t-\tbot",
            "a\t1\tbot\t-\t-\tbot\na\t1\tbot\t-\t-\tbot",
        ] {
            assert!(
                Agents::parse(&format!("{HEADER}\n{bad}\n")).is_err(),
                "{bad:?}"
            );
        }
        assert!(Agents::parse("no header").is_err());
    }
}
