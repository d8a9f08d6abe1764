//! Which of a link's targets a visitor is led to: rules in order, then app links, then variants, then the plan's own.
//!
//! Works over bytes as they lie in the table and in the request. Nothing here waits, reads a clock or a disk, or takes a
//! lock that another thread may hold long: where an address is, what a user agent says and which language is preferred
//! are looked up when the first condition asks and never again for the same visit ([`Facts`]). A rule about the query
//! alone so costs no look-up in a geo database.
//!
//! What the words of a condition mean is written at [`schemas::link::plan::Test`]; a second, slower evaluator over the
//! owned plan in the tests holds both to the same meaning.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod conditions;
mod facts;
mod query;
mod variants;
mod zones;

use schemas::link::plan::Matches;
use schemas::link::view::{Target, View};

pub use self::facts::{Facts, Senses};
pub(crate) use self::query::with_query;
pub(crate) use self::variants::turn;

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Where to.
    pub to: To<'a>,
    /// 1-based place of the rule that chose; 0: none.
    pub rule: u16,
    /// 1-based place of the variant; 0: none.
    pub variant: u16,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// The entry's own destination.
    Destination,
    /// A target of the plan.
    Target(Target<'a>),
    /// An app on the visitor's system, by this URL.
    App(&'a [u8]),
}

/// Chooses for a visitor of the link with id `link`.
pub fn choose<'a>(view: &View<'a>, link: u64, facts: &Facts<'_>) -> Choice<'a> {
    let mut choice = Choice {
        to: view.target().map_or(To::Destination, To::Target),
        rule: 0,
        variant: 0,
    };
    for (place, rule) in (1..).zip(view.rules()) {
        let mut conditions = rule.conditions;
        let met = match rule.matches {
            Matches::All => conditions.all(|c| conditions::met(&c, facts)),
            Matches::Any => conditions.any(|c| conditions::met(&c, facts)),
        };
        if met {
            choice.to = To::Target(rule.target);
            choice.rule = place;
            return choice;
        }
    }
    if !(view.apple.is_empty() && view.google.is_empty()) {
        let url = match facts.agent().os.as_str() {
            "iOS" | "iPadOS" => view.apple,
            "Android" => view.google,
            _ => &[],
        };
        if !url.is_empty() {
            choice.to = To::App(url);
            return choice;
        }
    }
    if let Some(variants) = view.variants()
        && let Some((place, target)) = variants::choose(&variants, link, facts)
    {
        choice.to = To::Target(target);
        choice.variant = place;
    }
    choice
}

#[cfg(test)]
mod tests;
