//! Counts under this dialect's words for values: names of countries, `Unknown`, `Direct, email and other`.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::stats::ByValue;

/// Counts by label, most frequent first, then by label. JSON objects have no order, but people read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels<V>(Vec<(String, V)>);

impl Labels<u64> {
    /// Each value under its label; values with the same label are added up.
    pub(super) fn new(values: &ByValue, label: fn(&str) -> &str) -> Self {
        let mut labelled: BTreeMap<String, u64> = BTreeMap::new();
        for (value, clicks) in values {
            *labelled.entry(label(value).to_owned()).or_default() += clicks;
        }
        let mut list: Vec<(String, u64)> = labelled.into_iter().collect();
        list.sort_by(|(a_name, a), (b_name, b)| b.cmp(a).then_with(|| a_name.cmp(b_name)));
        Self(list)
    }

    /// Without the clicks that have no value.
    pub(super) fn of_known(values: &ByValue) -> Self {
        let mut labels = Self::new(values, label::same);
        labels.0.retain(|(name, _)| !name.is_empty());
        labels
    }

    /// The first `count`, with counts as texts.
    pub(super) fn top(self, count: usize) -> Labels<String> {
        Labels(
            self.0
                .into_iter()
                .take(count)
                .map(|(name, clicks)| (name, clicks.to_string()))
                .collect(),
        )
    }
}

impl<V: Serialize> Serialize for Labels<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// This dialect's words for values.
pub(super) mod label {
    /// Name of a country.
    pub(crate) fn country(code: &str) -> &str {
        crate::domain::country::name(code)
    }

    /// Host of a referrer.
    pub(crate) fn referrer(host: &str) -> &str {
        if host.is_empty() {
            "Direct, email and other"
        } else {
            host
        }
    }

    /// A value that may not be known.
    pub(crate) fn unknown(value: &str) -> &str {
        if value.is_empty() { "Unknown" } else { value }
    }

    /// Kind of device.
    pub(crate) fn device(value: &str) -> &str {
        if value.is_empty() { "other" } else { value }
    }

    /// The value itself.
    pub(crate) fn same(value: &str) -> &str {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_add_up_and_fall() {
        let values: ByValue = [("", 2), ("Unknown", 3), ("CA", 4), ("AT", 4)]
            .map(|(v, n)| (v.to_owned(), n))
            .into();
        let labels = Labels::new(&values, label::unknown);
        assert_eq!(
            serde_json::to_string(&labels).expect("json"),
            r#"{"Unknown":5,"AT":4,"CA":4}"#
        );
        assert_eq!(
            serde_json::to_string(&labels.top(1)).expect("json"),
            r#"{"Unknown":"5"}"#
        );
        assert_eq!(Labels::new(&values, label::country).0[1].0, "Austria");
        assert_eq!(Labels::of_known(&values).0.len(), 3);
    }
}
