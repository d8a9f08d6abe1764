//! Geolinks: destinations by country, language and system, with conditions joined by AND and OR. They are kept as their
//! owner sent them and shown so; for proxies each is as many rules as it has branches, since AND binds before OR.
//!
//! The `operator` of a condition joins it with the one before it; that of the first says nothing. Where only the last has
//! none, each joins its condition with the next: both habits are met. A missing one between two others is AND.

use schemas::link::plan::{MAX_CONDITIONS, Test};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::destination::Destination;
use super::field::FieldError;
use super::link::resolve::system;
use super::{language, rule};

/// Name of the field.
pub const FIELD: &str = "geolinks";

/// Most geolinks of a link.
pub const MAX_GEOLINKS: usize = 100;

/// A destination for those who meet the conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GeoLink {
    /// At least one.
    pub conditions: Vec<Condition>,
    /// Where it leads, as its owner sent it.
    pub url: String,
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Condition {
    /// What is looked at.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it must be, as its owner sent it.
    pub value: String,
    /// How it is joined.
    pub operator: Option<Operator>,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// ISO 3166 code or English name.
    Country,
    /// Language tag.
    Language,
    /// Operating system.
    System,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operator {
    /// Both.
    And,
    /// One of them.
    Or,
}

impl GeoLink {
    /// Checks it as the `place`th of a list, and its URL for loops later.
    ///
    /// # Errors
    /// The first part that breaks a rule.
    pub fn check(&self, place: usize) -> Result<Destination, FieldError> {
        let field = format!("{FIELD}[{place}]");
        if self.conditions.is_empty() {
            return Err(FieldError::new(
                format!("{field}.conditions"),
                "must hold at least one condition",
            ));
        }
        for (at, condition) in self.conditions.iter().enumerate() {
            condition.test(&format!("{field}.conditions[{at}].value"))?;
        }
        if self.tests().iter().any(|all| all.len() > MAX_CONDITIONS) {
            return Err(FieldError::new(
                format!("{field}.conditions"),
                format!("must hold at most {MAX_CONDITIONS} conditions joined by AND"),
            ));
        }
        Destination::parse(&format!("{field}.url"), &self.url)
    }

    /// Rules it is made of.
    pub fn branches(&self) -> usize {
        let ors = self.joints().filter(|joint| *joint == Operator::Or);
        1 + ors.count()
    }

    /// The conditions as proxies evaluate them: all of one branch, or all of another.
    pub fn tests(&self) -> Vec<Vec<Test>> {
        let mut branches: Vec<Vec<Test>> = vec![Vec::new()];
        // The first one begins the first branch.
        let joints = std::iter::once(Operator::And).chain(self.joints());
        for (condition, joint) in self.conditions.iter().zip(joints) {
            // Checked when it was set.
            let Ok(test) = condition.test(FIELD) else {
                return Vec::new();
            };
            match branches.last_mut() {
                Some(branch) if joint == Operator::And => branch.push(test),
                _ => branches.push(vec![test]),
            }
        }
        branches
    }

    /// How each condition but the first is joined with the one before it.
    fn joints(&self) -> impl Iterator<Item = Operator> {
        let operators = || self.conditions.iter().map(|condition| condition.operator);
        let is_with_next = operators().next().flatten().is_some()
            && operators().next_back().is_some_and(|last| last.is_none());
        operators()
            .skip(usize::from(!is_with_next))
            .take(self.conditions.len().saturating_sub(1))
            .map(|operator| operator.unwrap_or(Operator::And))
    }
}

impl Condition {
    fn test(&self, field: &str) -> Result<Test, FieldError> {
        Ok(match self.kind {
            Kind::Country => {
                let code = rule::country(field, &self.value)?;
                let code = <[u8; 2]>::try_from(code.as_bytes()).unwrap_or_default();
                Test::Country(vec![code])
            }
            Kind::Language => Test::Language(vec![language::tag(field, &self.value)?]),
            Kind::System => Test::Os(vec![system(field, &self.value)?.to_owned()]),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(conditions: &[(&str, &str, Option<&str>)], expected: &str) {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|(kind, value, operator)| json!({"type": kind, "value": value, "operator": operator}))
            .collect();
        let sent = json!({"conditions": conditions, "url": "https://e.test"});
        let link: GeoLink = serde_json::from_value(sent.clone()).expect("a geolink");
        assert_eq!(json!(link), sent, "shown as sent");
        let word = |test: &Test| match test {
            Test::Country(codes) => String::from_utf8_lossy(&codes.concat()).into_owned(),
            Test::Language(list) | Test::Os(list) => list.concat(),
            other => format!("{other:?}"),
        };
        let shown: Vec<String> = link
            .tests()
            .iter()
            .map(|all| all.iter().map(word).collect::<Vec<_>>().join("&"))
            .collect();
        assert_eq!(shown.join(" | "), expected);
        assert_eq!(link.branches(), shown.len());
        link.check(0).expect("legal");
    }

    #[test]
    fn and_binds_before_or() {
        let (us, fr) = (("country", "US"), ("country", "France"));
        let with = |(kind, value): (&'static str, &'static str), op| (kind, value, op);
        check(&[with(us, None)], "US");
        check(&[with(us, Some("OR"))], "US");
        check(&[with(us, None), with(fr, Some("OR"))], "US | FR");
        check(
            &[
                with(us, None),
                ("language", "en-GB", Some("AND")),
                with(fr, Some("OR")),
                ("system", "ios", Some("AND")),
            ],
            "US&en-gb | FR&iOS",
        );
        // The other habit: each with the next.
        check(
            &[
                with(us, Some("OR")),
                with(fr, Some("AND")),
                ("system", "Android", None),
            ],
            "US | FR&Android",
        );
        check(
            &[with(us, Some("AND")), ("system", "macOS", Some("AND"))],
            "US&macOS",
        );
        check(&[with(us, None), ("system", "Windows", None)], "US&Windows");
    }

    #[test]
    fn what_cannot_be_met_is_refused_by_its_place() {
        let field = |value: serde_json::Value| {
            let link: GeoLink = serde_json::from_value(value).expect("the form of one");
            link.check(3).expect_err("wrong").field
        };
        let one =
            |kind: &str, value: &str| json!([{"type": kind, "value": value, "operator": null}]);
        let url = "https://e.test/";
        assert_eq!(
            field(json!({"conditions": [], "url": url})),
            "geolinks[3].conditions"
        );
        for (kind, value) in [("country", "XX"), ("language", "!"), ("system", "BeOS")] {
            assert_eq!(
                field(json!({"conditions": one(kind, value), "url": url})),
                "geolinks[3].conditions[0].value"
            );
        }
        assert_eq!(
            field(json!({"conditions": one("country", "US"), "url": "ftp://e.test"})),
            "geolinks[3].url"
        );
    }
}
