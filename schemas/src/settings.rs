//! Reading settings: from a map, so that tests can fake it, with all mistakes reported together.
//!
//! The binary fills the map once from the environment and the command line (flags win); roles take what they need in
//! their `config.rs`. Nothing else reads the environment. An empty value counts as absent.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Settings by name, and the mistakes found so far.
#[derive(Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, String>,
    errors: Vec<SettingError>,
}

/// One bad setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Name of the environment variable, e.g. `SIGNPOST_PROXY_ADDR`.
    pub name: String,
    /// What was given; hidden for secrets.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}='{}': must be {}",
            self.name, self.value, self.allowed
        )
    }
}

/// All bad settings of a start.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingErrors(pub Vec<SettingError>);

impl Settings {
    /// Settings from names and values. Names are those of the environment variables.
    pub fn new<K: Into<String>, V: Into<String>>(values: impl IntoIterator<Item = (K, V)>) -> Self {
        Self {
            values: values
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .filter(|(_, v)| !v.is_empty())
                .collect(),
            errors: Vec::new(),
        }
    }

    /// The value as given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Names and values of all settings whose name starts with `prefix`.
    pub fn with_prefix<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        self.values
            .range(prefix.to_owned()..)
            .take_while(move |(k, _)| k.starts_with(prefix))
            .map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// A value of any type that parses from text; absent: `default`. A mistake is noted and the default returned.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T, allowed: &str) -> T {
        self.parsed_with(name, allowed, |text| text.parse().ok())
            .unwrap_or(default)
    }

    /// As [`Self::parsed`], with a parser of its own; `None` when absent or wrong (then noted).
    pub fn parsed_with<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = self.values.get(name)?;
        let parsed = parse(value);
        if parsed.is_none() {
            let value = value.clone();
            self.reject(name, value, allowed);
        }
        parsed
    }

    /// A comma-separated list; empty when absent.
    pub fn list_with<T>(
        &mut self,
        name: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        self.parsed_with(name, allowed, |text| {
            text.split(',').map(|item| parse(item.trim())).collect()
        })
        .unwrap_or_default()
    }

    /// A size in bytes: a whole number with an optional unit `KiB`, `MiB`, `GiB` or `TiB`, within `min..=max`.
    pub fn bytes(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        let allowed = format!(
            "a size from {} to {} bytes, e.g. 512MiB",
            range.start(),
            range.end()
        );
        self.parsed_with(name, &allowed, |text| {
            parse_bytes(text).filter(|size| range.contains(size))
        })
        .unwrap_or(default)
    }

    /// A whole number within `range`.
    pub fn number(
        &mut self,
        name: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed_with(name, &allowed, |text| {
            text.parse().ok().filter(|n| range.contains(n))
        })
        .unwrap_or(default)
    }

    /// `on`/`off`, `true`/`false`, `1`/`0`.
    pub fn switch(&mut self, name: &str, default: bool) -> bool {
        self.parsed_with(name, "on or off", |text| match text {
            "on" | "true" | "1" => Some(true),
            "off" | "false" | "0" => Some(false),
            _ => None,
        })
        .unwrap_or(default)
    }

    /// Notes a mistake that no getter finds (two settings that exclude each other).
    pub fn reject(&mut self, name: &str, value: impl Into<String>, allowed: &str) {
        // Several roles read some settings; one word on each is enough.
        if !self.errors.iter().any(|error| error.name == name) {
            self.errors.push(SettingError {
                name: name.to_owned(),
                value: value.into(),
                allowed: allowed.to_owned(),
            });
        }
    }

    /// # Errors
    /// All mistakes noted so far, if any.
    pub fn check(&self) -> Result<(), SettingErrors> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(SettingErrors(self.errors.clone()))
        }
    }
}

fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A value that must not appear in a log, an error or a `Debug` print.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_with_and_without_unit() {
        assert_eq!(parse_bytes("0"), Some(0));
        assert_eq!(parse_bytes("32MiB"), Some(32 << 20));
        assert_eq!(parse_bytes("8 GiB"), Some(8 << 30));
        for bad in [
            "",
            "MiB",
            "-1",
            "1MB",
            "99999999999999999999",
            "18446744073709551615TiB",
        ] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_mistakes_are_reported_together_and_once() {
        let mut s = Settings::new([("A", "x"), ("B", "y"), ("C", "")]);
        assert_eq!(s.number("A", 7, 1..=9), 7);
        assert_eq!(s.number("A", 7, 1..=9), 7);
        assert!(s.switch("B", true));
        assert_eq!(s.number("C", 3, 1..=9), 3);
        let errors = s.check().expect_err("two mistakes").0;
        assert_eq!(errors.len(), 2);
        assert_eq!(
            errors[0].to_string(),
            "A='x': must be a whole number from 1 to 9"
        );
    }
}
