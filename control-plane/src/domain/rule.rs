//! Rules of a link: conditions on the visit, and where those are led who meet them. What an owner writes, what is stored
//! and what is shown back have one JSON form:
//!
//! ```json
//! {"match": "all", "conditions": [
//!    {"type": "country", "values": ["CA", "US"]},
//!    {"type": "query", "name": "ref", "values": ["mail"]},
//!    {"type": "clock", "zone": "Europe/Berlin", "weekdays": ["mon", "fri"], "from": "09:00", "to": "17:30"},
//!    {"type": "device", "values": ["tablet"], "not": true}
//!  ], "url": "https://example.com/there"}
//! ```
//!
//! What the conditions mean at a visit is said at [`plan::Test`]. Each value is brought into one form when it is read
//! ([`Test::read`]); turning a read rule into the plan's cannot fail but for a stored one that no version of ours wrote.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use schemas::link::plan::{
    self, Clock, DAY_MINUTES, Devices, MAX_CONDITIONS, MAX_RULES, MAX_VALUE_BYTES, MAX_VALUES, Net,
};
use serde::{Deserialize, Serialize};

use super::date::{self, When};
use super::field::{self, FieldError};
use super::{country, language};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// How the conditions count together.
    #[serde(rename = "match")]
    pub matches: Matches,
    /// 1 to [`MAX_CONDITIONS`].
    pub conditions: Vec<Condition>,
    /// Where it leads, as its owner gave it.
    pub url: String,
}

/// How the conditions of a rule count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matches {
    /// Each must be met.
    All,
    /// One must be met.
    Any,
}

/// A test, perhaps turned round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is tested.
    #[serde(flatten)]
    pub test: Test,
    /// Met when the test is not.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not: bool,
}

/// What is tested, each value in its one form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Test {
    /// ISO 3166-1 codes, upper case.
    Country {
        /// One of these.
        values: Vec<String>,
    },
    /// Names of regions.
    Region {
        /// One of these.
        values: Vec<String>,
    },
    /// Names of cities.
    City {
        /// One of these.
        values: Vec<String>,
    },
    /// Language tags, lower case.
    Language {
        /// One of these.
        values: Vec<String>,
    },
    /// `desktop`, `mobile`, `tablet`, `other`.
    Device {
        /// One of these.
        values: Vec<String>,
    },
    /// Operating systems, as statistics name them.
    Os {
        /// One of these.
        values: Vec<String>,
    },
    /// Browsers, as statistics name them.
    Browser {
        /// One of these.
        values: Vec<String>,
    },
    /// A parameter of the visit's query.
    Query {
        /// Its name.
        name: String,
        /// One of these; none: whatever its value.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
    },
    /// Networks, `192.0.2.0/24` or `2001:db8::/32`.
    Ip {
        /// One of these.
        values: Vec<String>,
    },
    /// Before an instant.
    Before {
        /// `YYYY-MM-DD HH:MM:SS` UTC.
        value: String,
    },
    /// From an instant on.
    After {
        /// `YYYY-MM-DD HH:MM:SS` UTC.
        value: String,
    },
    /// By the clock of a time zone.
    Clock {
        /// IANA name.
        zone: String,
        /// `mon` … `sun`.
        weekdays: Vec<String>,
        /// `HH:MM`.
        from: String,
        /// `HH:MM`, up to `24:00`; not after `from`: past midnight.
        to: String,
    },
}

/// What a caller wrote of a condition.
#[derive(Debug, Default)]
pub struct Written<'a> {
    /// Kind of test.
    pub kind: &'a str,
    /// Values.
    pub values: Vec<String>,
    /// Name of a parameter.
    pub name: Option<&'a str>,
    /// Time zone.
    pub zone: Option<&'a str>,
    /// Days; `None`: all.
    pub weekdays: Option<Vec<String>>,
    /// Time of day.
    pub from: Option<&'a str>,
    /// Time of day.
    pub to: Option<&'a str>,
}

/// Kinds of tests, in the words of [`Test`].
pub const KINDS: [&str; 12] = [
    "country", "region", "city", "language", "device", "os", "browser", "query", "ip", "before",
    "after", "clock",
];

/// Days of the week, in the plan's order.
pub const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Kinds of devices.
const DEVICES: [(&str, Devices); 4] = [
    ("desktop", Devices::DESKTOP),
    ("mobile", Devices::MOBILE),
    ("tablet", Devices::TABLET),
    ("other", Devices::OTHER),
];

impl Test {
    /// Checks what a caller wrote in `field`.
    ///
    /// # Errors
    /// A rule it breaks, naming the part.
    pub fn read(field: &str, written: Written<'_>) -> Result<Self, FieldError> {
        let at = |part: &str| format!("{field}.{part}");
        let many = |each: &dyn Fn(&str, &str) -> Result<String, FieldError>| {
            let name = at("values");
            if written.values.is_empty() || written.values.len() > MAX_VALUES {
                return Err(FieldError::new(
                    name,
                    format!("must hold 1 to {MAX_VALUES} values"),
                ));
            }
            written.values.iter().map(|v| each(&name, v)).collect()
        };
        let instant = || match written.values.as_slice() {
            [value] => When::parse(&at("value"), value).map(|w| date::format(w.start_ms())),
            _ => Err(FieldError::new(at("value"), "must be one date")),
        };
        Ok(match written.kind {
            "country" => Self::Country {
                values: many(&country)?,
            },
            "region" => Self::Region {
                values: many(&name)?,
            },
            "city" => Self::City {
                values: many(&name)?,
            },
            "language" => Self::Language {
                values: many(&language::tag)?,
            },
            "device" => Self::Device {
                values: many(&device)?,
            },
            "os" => Self::Os {
                values: many(&name)?,
            },
            "browser" => Self::Browser {
                values: many(&name)?,
            },
            "query" => Self::Query {
                name: name(&at("name"), written.name.unwrap_or_default())?,
                values: match written.values.as_slice() {
                    [] => Vec::new(),
                    _ => many(&bounded)?,
                },
            },
            "ip" => Self::Ip {
                values: many(&network)?,
            },
            "before" => Self::Before { value: instant()? },
            "after" => Self::After { value: instant()? },
            "clock" => clock(&at, &written)?,
            other => {
                return Err(FieldError::new(
                    at("type"),
                    format!("'{}' must be one of {}", shown(other), KINDS.join(", ")),
                ));
            }
        })
    }

    /// As the proxy evaluates it. `None`: no version of ours wrote this.
    pub fn to_plan(&self) -> Option<plan::Test> {
        Some(match self {
            Self::Country { values } => {
                let code = |v: &String| <[u8; 2]>::try_from(v.as_bytes()).ok();
                plan::Test::Country(values.iter().map(code).collect::<Option<_>>()?)
            }
            Self::Region { values } => plan::Test::Region(values.clone()),
            Self::City { values } => plan::Test::City(values.clone()),
            Self::Language { values } => plan::Test::Language(values.clone()),
            Self::Device { values } => {
                let kind = |v: &String| DEVICES.iter().find(|(n, _)| n == v).map(|(_, d)| *d);
                let kinds: Option<Vec<Devices>> = values.iter().map(kind).collect();
                plan::Test::Device(kinds?.into_iter().fold(Devices::default(), Devices::and))
            }
            Self::Os { values } => plan::Test::Os(values.clone()),
            Self::Browser { values } => plan::Test::Browser(values.clone()),
            Self::Query { name, values } if values.is_empty() => {
                plan::Test::QueryPresent(name.clone())
            }
            Self::Query { name, values } => plan::Test::Query {
                name: name.clone(),
                values: values.clone(),
            },
            Self::Ip { values } => {
                plan::Test::Ip(values.iter().map(|v| net(v)).collect::<Option<_>>()?)
            }
            Self::Before { value } => plan::Test::Before(instant_ms(value)?),
            Self::After { value } => plan::Test::After(instant_ms(value)?),
            Self::Clock {
                zone,
                weekdays,
                from,
                to,
            } => plan::Test::Clock(Clock {
                zone: zone.clone(),
                weekdays: weekdays.iter().try_fold(0, |bits, day| {
                    let place = WEEKDAYS.iter().position(|d| d == day)?;
                    Some(bits | 1 << place)
                })?,
                from_minute: minute(from)?,
                to_minute: minute(to)?,
            }),
        })
    }
}

impl Rule {
    /// The conditions as the proxy evaluates them.
    pub fn conditions_to_plan(&self) -> Option<Vec<plan::Condition>> {
        let one = |c: &Condition| {
            Some(plan::Condition {
                negated: c.not,
                test: c.test.to_plan()?,
            })
        };
        self.conditions.iter().map(one).collect()
    }
}

/// Checks how many rules or conditions there are.
///
/// # Errors
/// Too many, or no conditions; `field` is named.
pub fn check_count(field: &str, rules: usize) -> Result<(), FieldError> {
    if rules > MAX_RULES {
        return Err(FieldError::new(
            field,
            format!("must hold at most {MAX_RULES} rules, not {rules}"),
        ));
    }
    Ok(())
}

/// As [`check_count`] for the conditions of one rule.
///
/// # Errors
/// None, or too many; `field` is named.
pub fn check_conditions(field: &str, conditions: usize) -> Result<(), FieldError> {
    if (1..=MAX_CONDITIONS).contains(&conditions) {
        return Ok(());
    }
    Err(FieldError::new(
        format!("{field}.conditions"),
        format!("must hold 1 to {MAX_CONDITIONS} conditions, not {conditions}"),
    ))
}

/// The code of a country given by code or name.
///
/// # Errors
/// Not known; `field` is named.
pub fn country(field: &str, text: &str) -> Result<String, FieldError> {
    country::code(text).map(str::to_owned).ok_or_else(|| {
        FieldError::new(
            field,
            format!(
                "'{}' must be a country: its ISO 3166 code or its English name",
                shown(text)
            ),
        )
    })
}

/// A text of the caller's in an error, not longer than a line.
pub fn shown(text: &str) -> String {
    text.chars()
        .take(60)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn bounded(field: &str, text: &str) -> Result<String, FieldError> {
    let line = field::line(field, text, MAX_VALUE_BYTES)?;
    if line.len() > MAX_VALUE_BYTES {
        return Err(FieldError::new(
            field,
            format!("must be at most {MAX_VALUE_BYTES} bytes long"),
        ));
    }
    Ok(line)
}

fn name(field: &str, text: &str) -> Result<String, FieldError> {
    let name = bounded(field, text)?;
    if name.is_empty() {
        return Err(FieldError::new(field, "must not be empty"));
    }
    Ok(name)
}

fn device(field: &str, text: &str) -> Result<String, FieldError> {
    let lower = text.trim().to_ascii_lowercase();
    if DEVICES.iter().any(|(name, _)| *name == lower) {
        return Ok(lower);
    }
    Err(FieldError::new(
        field,
        format!(
            "'{}' must be one of desktop, mobile, tablet, other",
            shown(text)
        ),
    ))
}

fn network(field: &str, text: &str) -> Result<String, FieldError> {
    let text = text.trim();
    net(text)
        .map(|n| format!("{}/{}", n.addr, n.prefix))
        .ok_or_else(|| {
            FieldError::new(
                field,
                format!(
                    "'{}' must be an address or a network such as 192.0.2.0/24 or 2001:db8::/32",
                    shown(text)
                ),
            )
        })
}

fn net(text: &str) -> Option<Net> {
    if let Ok(addr) = text.parse::<IpAddr>() {
        let prefix = if addr.is_ipv4() { 32 } else { 128 };
        return Some(Net { addr, prefix });
    }
    let net: ipnet::IpNet = text.parse().ok()?;
    Some(Net {
        addr: net.network(),
        prefix: net.prefix_len(),
    })
}

fn instant_ms(text: &str) -> Option<i64> {
    When::parse("", text).ok().map(When::start_ms)
}

fn clock(at: &dyn Fn(&str) -> String, written: &Written<'_>) -> Result<Test, FieldError> {
    let zone = written.zone.unwrap_or("UTC").trim();
    if zone.len() > MAX_VALUE_BYTES || TimeZone::get(zone).is_err() {
        return Err(FieldError::new(
            at("zone"),
            format!(
                "'{}' must be an IANA time zone, e.g. Europe/Berlin",
                shown(zone)
            ),
        ));
    }
    let time = |part: &str, text: Option<&str>, default: &str| {
        let text = text.unwrap_or(default).trim();
        minute(text)
            .filter(|m| part == "to" || *m < DAY_MINUTES)
            .map(|m| format!("{:02}:{:02}", m / 60, m % 60))
            .ok_or_else(|| {
                FieldError::new(
                    at(part),
                    format!("'{}' must be a time of day, HH:MM", shown(text)),
                )
            })
    };
    let mut weekdays = Vec::new();
    for day in written.weekdays.iter().flatten() {
        let lower = day.trim().to_lowercase();
        let short: String = lower.chars().take(3).collect();
        let full = WEEKDAYS.contains(&short.as_str()) && (lower == short || lower.ends_with("day"));
        if !full {
            return Err(FieldError::new(
                at("weekdays"),
                format!("'{}' must be one of {}", shown(day), WEEKDAYS.join(", ")),
            ));
        }
        if !weekdays.contains(&short) {
            weekdays.push(short);
        }
    }
    if written.weekdays.is_none() {
        weekdays = WEEKDAYS.map(str::to_owned).to_vec();
    }
    if weekdays.is_empty() {
        return Err(FieldError::new(at("weekdays"), "must name a day"));
    }
    Ok(Test::Clock {
        zone: zone.to_owned(),
        weekdays,
        from: time("from", written.from, "00:00")?,
        to: time("to", written.to, "24:00")?,
    })
}

/// Minute of the day of `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |t: &str| {
        let digits = (1..=2).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| t.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute)
}

fn is_false(yes: &bool) -> bool {
    !*yes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &str, values: &[&str]) -> Result<Test, FieldError> {
        Test::read(
            "rules[0]",
            Written {
                kind,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
                name: Some("ref"),
                ..Written::default()
            },
        )
    }

    #[test]
    fn every_kind_is_read_shown_and_evaluated() {
        for (kind, value) in KINDS.iter().zip([
            "canada",
            "Bavaria",
            "München",
            "pt-BR",
            "Mobile",
            "iOS",
            "Chrome",
            "mail",
            "10.1.2.3/8",
            "2026-05-01",
            "2026-05-01T10:00:00+02:00",
            "",
        ]) {
            let test = read(kind, &[value]).expect(kind);
            assert!(test.to_plan().is_some(), "{test:?}");
            let condition = Condition { test, not: true };
            let json = serde_json::to_value(&condition).expect("shown");
            assert_eq!(json["type"], *kind);
            assert_eq!(
                serde_json::from_value::<Condition>(json).expect("read"),
                condition
            );
        }
        assert_eq!(
            read("ip", &["10.1.2.3/8", "::1"]),
            Ok(Test::Ip {
                values: vec!["10.0.0.0/8".to_owned(), "::1/128".to_owned()]
            })
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (kind, values, part) in [
            (
                "country",
                &["atlantis"][..],
                "rules[0].values 'atlantis' must be a country",
            ),
            ("country", &[], "rules[0].values must hold 1 to"),
            (
                "device",
                &["toaster"],
                "rules[0].values 'toaster' must be one of desktop",
            ),
            ("language", &["klingon-"], "rules[0].values"),
            (
                "ip",
                &["10.0.0.0/33"],
                "rules[0].values '10.0.0.0/33' must be an address",
            ),
            ("before", &["soon"], "rules[0].value must be a date"),
            (
                "before",
                &["2026-01-01", "2026-01-02"],
                "rules[0].value must be one date",
            ),
            (
                "moon",
                &["full"],
                "rules[0].type 'moon' must be one of country",
            ),
            ("city", &["a\0"], "rules[0].values must not hold control"),
        ] {
            let error = read(kind, values).expect_err(part).to_string();
            assert!(error.starts_with(part), "{error}");
        }
        let clock = |zone, from, days: &[&str]| {
            let written = Written {
                kind: "clock",
                zone: Some(zone),
                from: Some(from),
                weekdays: Some(days.iter().map(|d| (*d).to_owned()).collect()),
                ..Written::default()
            };
            Test::read("c", written)
        };
        assert!(clock("Europe/Berlin", "9:00", &["Monday", "fri"]).is_ok());
        for (zone, from, day, part) in [
            ("Mars/Base", "09:00", "mon", "c.zone"),
            ("UTC", "24:00", "mon", "c.from"),
            ("UTC", "9", "mon", "c.from"),
            ("UTC", "09:60", "mon", "c.from"),
            ("UTC", "09:00", "moon", "c.weekdays"),
        ] {
            let error = clock(zone, from, &[day]).expect_err(part).to_string();
            assert!(error.starts_with(part), "{error}");
        }
    }
}
