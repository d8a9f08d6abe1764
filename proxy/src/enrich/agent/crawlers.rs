//! The public list of crawlers, `data/crawler-user-agents.json`: 1,500 patterns, nearly all plain texts, matched all at
//! once by one automaton; the rest by one set of regular expressions.

use aho_corasick::AhoCorasick;
use anyhow::Context as _;
use regex::RegexSet;
use serde::Deserialize;

const LIST: &str = include_str!("../../../data/crawler-user-agents.json");

/// Patterns of the list that also fit people's browsers.
const LEFT_OUT: [&str; 2] = [
    // Facebook's in-app browser: a person reads there.
    "MetaIAB Facebook",
    // A build of Android 15 that millions of phones run.
    "AP3A\\.240617\\.008",
];

#[derive(Deserialize)]
struct Entry {
    pattern: String,
}

/// The compiled list.
#[derive(Debug)]
pub(super) struct Crawlers {
    texts: AhoCorasick,
    text_names: Vec<String>,
    patterns: RegexSet,
    pattern_names: Vec<String>,
}

impl Crawlers {
    pub(super) fn new() -> anyhow::Result<Self> {
        let entries: Vec<Entry> = serde_json::from_str(LIST).context("reading the crawler list")?;
        let (mut texts, mut text_names) = (Vec::new(), Vec::new());
        let (mut patterns, mut pattern_names) = (Vec::new(), Vec::new());
        for Entry { pattern } in entries {
            if LEFT_OUT.contains(&pattern.as_str()) {
                continue;
            }
            if let Some(text) = plain(&pattern) {
                text_names.push(name_of(&text));
                texts.push(text);
            } else {
                pattern_names.push(name_of(&pattern));
                patterns.push(pattern);
            }
        }
        Ok(Self {
            texts: AhoCorasick::new(&texts).context("compiling the crawler list")?,
            text_names,
            patterns: RegexSet::new(&patterns).context("compiling the crawler list")?,
            pattern_names,
        })
    }

    /// The name of a crawler that `user_agent` is one of.
    pub(super) fn find(&self, user_agent: &str) -> Option<&str> {
        if let Some(found) = self.texts.find(user_agent) {
            return self
                .text_names
                .get(found.pattern().as_usize())
                .map(String::as_str);
        }
        let index = self.patterns.matches(user_agent).iter().next()?;
        self.pattern_names.get(index).map(String::as_str)
    }
}

/// The text that a pattern stands for, if it is a plain one.
fn plain(pattern: &str) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => text.push(chars.next().filter(|c| c.is_ascii_punctuation())?),
            '^' | '$' | '.' | '|' | '?' | '*' | '+' | '(' | ')' | '[' | ']' | '{' | '}' => {
                return None;
            }
            c => text.push(c),
        }
    }
    (!text.is_empty()).then_some(text)
}

/// A readable name: the pattern's first run of letters, digits and a few marks, the first of a class standing for it.
fn name_of(pattern: &str) -> String {
    let mut name = String::new();
    let mut in_class = false;
    for c in pattern.chars() {
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            '^' | '\\' | '(' => {}
            _ if in_class && name.ends_with(|last: char| last.eq_ignore_ascii_case(&c)) => {}
            '|' | ')' | '$' | '/' | '*' | '?' | ';' if !name.trim().is_empty() => break,
            c if c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | '!' | '@' | '\'') => {
                name.push(c);
            }
            _ => {}
        }
    }
    name.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_compiles_and_every_crawler_has_a_name() {
        let crawlers = Crawlers::new().expect("the checked-in list");
        assert!(crawlers.text_names.len() > 1000);
        for name in crawlers.text_names.iter().chain(&crawlers.pattern_names) {
            assert!(!name.is_empty() && !name.contains('\\'), "{name:?}");
        }
    }

    #[test]
    fn every_pattern_left_out_is_in_the_list() {
        let entries: Vec<Entry> = serde_json::from_str(LIST).expect("the checked-in list");
        for pattern in LEFT_OUT {
            assert!(entries.iter().any(|e| e.pattern == pattern), "{pattern}");
        }
    }

    #[test]
    fn crawlers_are_found_by_name() {
        let crawlers = Crawlers::new().expect("the checked-in list");
        for (text, name) in [
            (
                "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
                Some("Googlebot"),
            ),
            ("Wget/1.21", Some("wget")),
            ("curl/8.5.0", Some("curl")),
            ("WhatsApp/2.23", Some("WhatsApp")),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0",
                None,
            ),
        ] {
            assert_eq!(crawlers.find(text), name, "{text}");
        }
    }
}
