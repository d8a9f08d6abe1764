//! The dimensions that clicks are broken down by: one list, in the order of every array of them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Index;

/// Clicks by value of one dimension. What is not known is `""`; each dialect has its word for it. Beyond the 1,000 most
/// frequent values the rest is together under [`OTHERS`].
pub type ByValue = BTreeMap<String, u64>;

/// Where the clicks of rare values are counted together.
pub const OTHERS: &str = "Other";

/// Values of a dimension that are named in an answer. Referrers and UTM values are for visitors to make up: an answer
/// must not grow with their imagination.
const MAX_VALUES: usize = 1_000;

/// The operating system with its version, where both are known.
pub(super) const OS: &str = "if(os = '', '', trimRight(concat(os, ' ', os_version)))";

/// An operating system of [`Dimension::Os`] without its version.
pub fn os_family(os: &str) -> &str {
    match os.rsplit_once(' ') {
        Some((family, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => family,
        _ => os,
    }
}

/// What clicks are broken down by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dimension {
    /// ISO 3166 country code.
    Country,
    /// Region (state, province), name.
    Region,
    /// City, name.
    City,
    /// desktop, mobile, tablet, bot, other.
    Device,
    /// Operating system with its version (`Windows 10`).
    Os,
    /// Browser without version.
    Browser,
    /// Primary language.
    Language,
    /// Host of the referrer.
    Referrer,
    /// utm_source
    UtmSource,
    /// utm_medium
    UtmMedium,
    /// utm_campaign
    UtmCampaign,
    /// utm_term
    UtmTerm,
    /// utm_content
    UtmContent,
}

impl Dimension {
    /// All of them, in the order they are declared in.
    pub const ALL: [Self; 13] = [
        Self::Country,
        Self::Region,
        Self::City,
        Self::Device,
        Self::Os,
        Self::Browser,
        Self::Language,
        Self::Referrer,
        Self::UtmSource,
        Self::UtmMedium,
        Self::UtmCampaign,
        Self::UtmTerm,
        Self::UtmContent,
    ];

    /// Its name in `clicks_by_period`, as ingest writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Region => "region",
            Self::City => "city",
            Self::Device => "device",
            Self::Os => "os",
            Self::Browser => "browser",
            Self::Language => "language",
            Self::Referrer => "referrer_host",
            Self::UtmSource => "utm_source",
            Self::UtmMedium => "utm_medium",
            Self::UtmCampaign => "utm_campaign",
            Self::UtmTerm => "utm_term",
            Self::UtmContent => "utm_content",
        }
    }

    /// SQL: what it is in `clicks`.
    pub(super) const fn of_click(self) -> &'static str {
        match self {
            Self::Os => OS,
            _ => self.name(),
        }
    }

    /// The dimension of that name; `None` of one that a newer version rolls up.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }
}

/// Clicks by dimension and value. Each dimension's sum to the total.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dimensions([ByValue; Dimension::ALL.len()]);

impl Dimensions {
    /// Asks for each dimension in turn.
    pub fn of(by: impl FnMut(Dimension) -> ByValue) -> Self {
        Self(Dimension::ALL.map(by))
    }
}

impl Index<Dimension> for Dimensions {
    type Output = ByValue;

    fn index(&self, dimension: Dimension) -> &ByValue {
        // In range: a dimension's number is its place in `ALL`.
        &self.0[dimension as usize]
    }
}

/// Values and their clicks. The standard hasher took a sixth of what a busy link costs here. The seed is another one in each map, and no
/// visitor sees how long an answer takes.
type Counted = HashMap<Vec<u8>, u64, foldhash::fast::RandomState>;

/// Clicks by value while they are counted.
#[derive(Debug, Default)]
pub(super) struct Counts([Counted; Dimension::ALL.len()]);

impl Counts {
    /// Adds clicks of one value; empty ones are what is left of the total.
    pub(super) fn add(&mut self, dimension: Dimension, value: &[u8], clicks: u64) {
        let Some(by) = self.0.get_mut(dimension as usize) else {
            return;
        };
        match by.get_mut(value) {
            _ if value.is_empty() => {}
            Some(sum) => *sum += clicks,
            None => _ = by.insert(value.to_vec(), clicks),
        }
    }

    /// Adds other counts.
    pub(super) fn append(&mut self, other: Self) {
        for (dimension, by) in Dimension::ALL.into_iter().zip(other.0) {
            for (value, clicks) in by {
                self.add(dimension, &value, clicks);
            }
        }
    }

    /// Names the most frequent values, and what is not known.
    pub(super) fn named(self, total: u64) -> Dimensions {
        Dimensions(self.0.map(|by| named(by, total)))
    }
}

fn named(mut by: Counted, total: u64) -> ByValue {
    // What the server counted together already.
    let together = by.remove(OTHERS.as_bytes()).unwrap_or(0);
    let mut values: Vec<(Vec<u8>, u64)> = by.into_iter().collect();
    values.sort_unstable_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    let known = together + values.iter().map(|(_, clicks)| clicks).sum::<u64>();
    let rare = values.iter().skip(MAX_VALUES).map(|(_, clicks)| clicks);
    let rest = together + rare.sum::<u64>();
    values.truncate(MAX_VALUES);
    let mut named = ByValue::new();
    for (value, clicks) in values {
        *named
            .entry(String::from_utf8_lossy(&value).into_owned())
            .or_default() += clicks;
    }
    for (name, clicks) in [(OTHERS, rest), ("", total.saturating_sub(known))] {
        if clicks > 0 {
            *named.entry(name.to_owned()).or_default() += clicks;
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_sum_to_the_total_whatever_visitors_send() {
        let many = (0..MAX_VALUES as u64 + 500).map(|n| (n.to_string().into_bytes(), n + 1));
        let by: Counted = many.chain([(b"\xff\xfe".to_vec(), 9_000)]).collect();
        let total = by.values().sum::<u64>() + 77;
        let named = named(by, total);
        assert_eq!(named.values().sum::<u64>(), total);
        assert_eq!(named.len(), MAX_VALUES + 2);
        assert_eq!(named.get(""), Some(&77));
        assert_eq!(named.get("\u{fffd}\u{fffd}"), Some(&9_000));
        assert_eq!(named.get(OTHERS), Some(&(1..=501).sum::<u64>()));
    }

    #[test]
    fn a_system_loses_its_version_and_nothing_else() {
        for (os, family) in [
            ("Windows 10", "Windows"),
            ("iOS 17.4.1", "iOS"),
            ("Windows XP", "Windows XP"),
            ("Mac OS X 10.15.7", "Mac OS X"),
            ("", ""),
        ] {
            assert_eq!(os_family(os), family);
        }
    }

    #[test]
    fn a_dimension_is_found_at_its_place() {
        for (at, dimension) in Dimension::ALL.into_iter().enumerate() {
            assert_eq!(dimension as usize, at);
            assert_eq!(Dimension::named(dimension.name()), Some(dimension));
        }
    }
}
