//! What the product says of a link against what the log says.

use std::collections::{BTreeMap, BTreeSet};

use crate::expected::{Bots, Found, Numbers, Span, Tally};
use crate::report::Check;

/// Whose times the clicks have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Times {
    /// The log's: days and hours are compared one by one; there are no visitors.
    Original,
    /// The run's: every click must lie between its first and last day (`YYYY-MM-DD`, UTC), both included.
    Live {
        /// Day of the first request.
        first: String,
        /// Day after whose end nothing was sent.
        last: String,
        /// Whether the run lies within one salt's period, so that unique visitors can be compared.
        one_period: bool,
    },
}

/// All checks of one source (API or SQL), by what they compare.
#[derive(Debug, Default)]
pub struct Comparison {
    source: String,
    checks: BTreeMap<&'static str, Check>,
}

impl Comparison {
    /// Nothing compared yet.
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            checks: BTreeMap::new(),
        }
    }

    /// The check of that name.
    pub fn check(&mut self, what: &'static str) -> &mut Check {
        self.checks
            .entry(what)
            .or_insert_with(|| Check::new(format!("{}: {what}", self.source)))
    }

    /// How much differed.
    pub fn differences(&self) -> u64 {
        self.checks.values().map(|c| c.differences).sum()
    }

    /// Adds another comparison of the same source.
    pub fn absorb(&mut self, other: Self) {
        for (what, check) in other.checks {
            self.check(what).absorb(check);
        }
    }

    /// The checks, in the order of their names.
    pub fn into_checks(self) -> impl Iterator<Item = Check> {
        self.checks.into_values()
    }

    /// Compares one link in one view.
    pub fn compare(
        &mut self,
        link: &str,
        bots: Bots,
        times: &Times,
        expected: &Numbers,
        found: &Found,
    ) {
        let (clicks, uniques) = match bots {
            Bots::Include => ("clicks, all", "unique visitors, all"),
            Bots::Exclude => ("clicks, people", "unique visitors, people"),
            Bots::Only => ("clicks, bots", "unique visitors, bots"),
        };
        self.number(clicks, link, expected.clicks, found.clicks);
        if let (
            Times::Live {
                one_period: true, ..
            },
            Some(unique),
        ) = (times, found.uniques)
        {
            self.number(uniques, link, expected.uniques, unique);
        }
        self.tally("referrers", link, &expected.referrers, &found.referrers);
        // What a bot pretends to be is nobody's number; with bots only there is nothing to compare but the device.
        if bots == Bots::Exclude {
            self.tally("browsers", link, &expected.browsers, &found.browsers);
            self.tally("operating systems", link, &expected.systems, &found.systems);
        }
        if bots != Bots::Include {
            self.tally("devices", link, &expected.devices, &found.devices);
        }
        match times {
            Times::Original => {
                if let Some(days) = &found.days {
                    self.tally("days", link, &expected.days, days);
                }
                if let Some(hours) = &found.hours {
                    self.tally("hours", link, &expected.hours, hours);
                }
            }
            Times::Live { first, last, .. } => {
                if let Some(days) = &found.days {
                    let check = self.check("days");
                    check.compared += 1;
                    let sum: u64 = days.values().sum();
                    if sum != found.clicks {
                        check.differs(|| {
                            format!(
                                "{link}: days add up to {sum} and the total is {}",
                                found.clicks
                            )
                        });
                    }
                    for day in days.keys().filter(|d| *d < first || *d > last) {
                        check.differs(|| {
                            format!("{link}: clicks on {day}, sent between {first} and {last}")
                        });
                    }
                }
            }
        }
    }

    /// Compares one number.
    pub fn number(&mut self, what: &'static str, link: &str, expected: Span, found: u64) {
        let check = self.check(what);
        check.compared += 1;
        if !expected.holds(found) {
            check.differs(|| format!("{link}: {found} instead of {expected}"));
        }
    }

    fn tally(
        &mut self,
        what: &'static str,
        link: &str,
        expected: &Tally,
        found: &BTreeMap<String, u64>,
    ) {
        let check = self.check(what);
        let labels: BTreeSet<&String> = expected.sure.keys().chain(found.keys()).collect();
        let mut over = 0;
        for label in labels {
            check.compared += 1;
            let sure = expected.sure.get(label).copied().unwrap_or_default();
            let is = found.get(label).copied().unwrap_or_default();
            let span = Span {
                sure,
                loose: expected.loose,
            };
            over += is.saturating_sub(sure);
            if !span.holds(is) {
                check.differs(|| format!("{link}: '{label}' {is} instead of {span}"));
            }
        }
        // Each ambiguous visit explains one click too many under one label, not one under each.
        if over > expected.loose {
            check.differs(|| {
                format!(
                    "{link}: {over} clicks more than the labels have for sure, {} ambiguous ones",
                    expected.loose
                )
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(sure: &[(&str, u64)], loose: u64) -> Tally {
        Tally {
            sure: map(sure),
            loose,
        }
    }

    fn map(entries: &[(&str, u64)]) -> BTreeMap<String, u64> {
        entries.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect()
    }

    #[track_caller]
    fn check(expected: &Tally, found: &[(&str, u64)], same: bool) {
        let mut comparison = Comparison::new("test");
        comparison.tally("labels", "/a", expected, &map(found));
        assert_eq!(
            comparison.differences() == 0,
            same,
            "{:?}",
            comparison.checks
        );
    }

    #[test]
    fn labels_without_ambiguous_visits_must_be_equal() {
        let expected = tally(&[("Chrome", 2), ("Firefox", 1)], 0);
        check(&expected, &[("Chrome", 2), ("Firefox", 1)], true);
        check(&expected, &[("Chrome", 2)], false);
        check(&expected, &[("Chrome", 3), ("Firefox", 1)], false);
        check(
            &expected,
            &[("Chrome", 2), ("Firefox", 1), ("Safari", 1)],
            false,
        );
    }

    #[test]
    fn ambiguous_visits_explain_as_many_clicks_as_they_are() {
        let expected = tally(&[("Chrome", 2)], 1);
        check(&expected, &[("Chrome", 2)], true);
        check(&expected, &[("Chrome", 3)], true);
        check(&expected, &[("Chrome", 2), ("Other", 1)], true);
        check(&expected, &[("Chrome", 3), ("Other", 1)], false);
        check(&expected, &[("Chrome", 1), ("Other", 1)], false);
    }

    #[test]
    fn live_clicks_must_lie_within_the_run() {
        let times = Times::Live {
            first: "2026-01-01".to_owned(),
            last: "2026-01-02".to_owned(),
            one_period: true,
        };
        let expected = Numbers {
            clicks: Span { sure: 1, loose: 0 },
            uniques: Span { sure: 1, loose: 0 },
            referrers: tally(&[("", 1)], 0),
            ..Numbers::default()
        };
        let found = |day: &str| Found {
            clicks: 1,
            uniques: Some(1),
            referrers: map(&[("", 1)]),
            days: Some(map(&[(day, 1)])),
            ..Found::default()
        };
        for (day, differences) in [
            ("2026-01-01", 0),
            ("2026-01-02", 0),
            ("2026-01-03", 1),
            ("2015-05-17", 1),
        ] {
            let mut comparison = Comparison::new("test");
            comparison.compare("/a", Bots::Include, &times, &expected, &found(day));
            assert_eq!(
                comparison.differences(),
                differences,
                "{day}: {comparison:?}"
            );
        }
    }
}
