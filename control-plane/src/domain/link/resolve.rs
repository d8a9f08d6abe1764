//! From what an owner set to the plan proxies evaluate. Everything that does not depend on the visit is done here: UTM and
//! extra parameters are in every URL, names are codes, targets by country, device and language are rules.
//!
//! Order of the plan's rules: the owner's own (their places are what statistics show), then countries, devices, languages,
//! then geolinks, each of which is as many rules as it has branches.

use schemas::link::plan::{
    Beyond, ClickLimit, Condition, Devices, Matches, Password, Plan, Preview, Rule, Target, Test,
    Variant, Variants,
};

use super::Content;
use super::extras::Extras;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::{app_link, destination, rule};

/// Names of `devicetarget`, and what they stand for.
const DEVICES: [(&str, Option<&str>, Option<Devices>); 18] = [
    ("iphone", Some("iOS"), Some(Devices::MOBILE)),
    ("ipad", Some("iOS"), Some(Devices::TABLET)),
    ("ios", Some("iOS"), None),
    ("apple", Some("iOS"), None),
    ("android", Some("Android"), None),
    ("windows", Some("Windows"), None),
    ("mac", Some("macOS"), None),
    ("macos", Some("macOS"), None),
    ("linux", Some("Linux"), None),
    ("chromeos", Some("Chrome OS"), None),
    ("blackberry", Some("BlackBerry"), None),
    ("harmonyos", Some("HarmonyOS"), None),
    ("desktop", None, Some(Devices::DESKTOP)),
    ("mobile", None, Some(Devices::MOBILE)),
    ("phone", None, Some(Devices::MOBILE)),
    ("smartphone", None, Some(Devices::MOBILE)),
    ("tablet", None, Some(Devices::TABLET)),
    ("other", None, Some(Devices::OTHER)),
];

/// A name of `devicetarget`, in its one form.
///
/// # Errors
/// Not known; `field` is named.
pub fn device_name(field: &str, text: &str) -> Result<String, FieldError> {
    let lower: String = text.trim().to_lowercase();
    if DEVICES.iter().any(|(name, ..)| *name == lower) {
        return Ok(lower);
    }
    let names: Vec<&str> = DEVICES.iter().map(|(name, ..)| *name).collect();
    Err(FieldError::new(
        field,
        format!(
            "'{}' must be one of {}",
            rule::shown(text),
            names.join(", ")
        ),
    ))
}

/// The system of this name, as statistics and proxies call it.
///
/// # Errors
/// Not known; `field` is named.
pub fn system(field: &str, text: &str) -> Result<&'static str, FieldError> {
    let wanted = text.trim();
    let systems = || {
        DEVICES
            .iter()
            .filter_map(|(name, os, _)| Some((*name, (*os)?)))
    };
    systems()
        .find(|(name, os)| name.eq_ignore_ascii_case(wanted) || os.eq_ignore_ascii_case(wanted))
        .map(|(_, os)| os)
        .ok_or_else(|| {
            let mut names: Vec<&str> = systems().map(|(_, os)| os).collect();
            names.dedup();
            FieldError::new(
                field,
                format!(
                    "'{}' must be one of {}",
                    rule::shown(text),
                    names.join(", ")
                ),
            )
        })
}

/// Pages a link shows, by id; made by the caller in the transaction that writes the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pages {
    /// Of its surface and pixels; `None`: redirects.
    pub shown: Option<i64>,
    /// Once it has expired.
    pub expired: Option<i64>,
    /// Beyond its click limit.
    pub beyond: Option<i64>,
}

fn device_conditions(name: &str) -> Vec<Condition> {
    let Some((_, os, device)) = DEVICES.iter().find(|(n, ..)| *n == name) else {
        return Vec::new();
    };
    let os = os.map(|os| Test::Os(vec![os.to_owned()]));
    let device = device.map(Test::Device);
    os.into_iter().chain(device).map(met).collect()
}

fn met(test: Test) -> Condition {
    Condition {
        negated: false,
        test,
    }
}

impl Content {
    /// What the link does beyond a redirect to its destination; empty for a plain one.
    ///
    /// # Errors
    /// A URL that is too long with its parameters.
    pub fn plan(&self, pages: Pages) -> Result<Plan, FieldError> {
        let extras = &self.extras;
        let page = |id: Option<i64>| id.map(i64::cast_unsigned);
        let to = |field: String, url: &str| {
            let url = self.finish_url(&field, url)?;
            let utm = destination::has_utm(&url);
            Ok::<_, FieldError>(match page(pages.shown) {
                Some(page) => Target::Page {
                    page,
                    destination: url,
                    utm,
                },
                None => Target::Redirect { url, utm },
            })
        };
        let mut rules = Vec::new();
        for (place, rule) in extras.rules.iter().enumerate() {
            let field = format!("rules[{place}]");
            let unreadable =
                || FieldError::new(field.clone(), "cannot be evaluated; write it anew");
            rules.push(Rule {
                matches: match rule.matches {
                    rule::Matches::All => Matches::All,
                    rule::Matches::Any => Matches::Any,
                },
                conditions: rule.conditions_to_plan().ok_or_else(unreadable)?,
                target: to(format!("{field}.url"), &rule.url)?,
            });
        }
        let countries = extras.countries.iter().map(|(code, url)| {
            let code = <[u8; 2]>::try_from(code.as_bytes()).unwrap_or_default();
            ("geotarget", vec![met(Test::Country(vec![code]))], url)
        });
        let devices = extras
            .devices
            .iter()
            .map(|(name, url)| ("devicetarget", device_conditions(name), url));
        let languages = extras.languages.iter().map(|(tag, url)| {
            (
                "languagetarget",
                vec![met(Test::Language(vec![tag.clone()]))],
                url,
            )
        });
        for (field, conditions, url) in countries.chain(devices).chain(languages) {
            rules.push(Rule {
                matches: Matches::All,
                conditions,
                target: to(field.to_owned(), url)?,
            });
        }
        for (place, geo) in extras.geolinks.iter().enumerate() {
            let field = format!("geolinks[{place}].url");
            let target = to(
                field.clone(),
                Destination::parse(&field, &geo.url)?.as_str(),
            )?;
            for tests in geo.tests() {
                rules.push(Rule {
                    matches: Matches::All,
                    conditions: tests.into_iter().map(met).collect(),
                    target: target.clone(),
                });
            }
        }
        Ok(Plan {
            rules,
            variants: variants(extras, &to)?,
            target: page(pages.shown).map(|page| Target::Page {
                page,
                destination: String::new(),
                utm: false,
            }),
            password: extras.password.as_ref().map(|p| Password {
                version: p.version,
                phc: p.phc.clone(),
            }),
            click_limit: extras.max_clicks.map(|max| ClickLimit {
                max,
                beyond: match page(pages.beyond) {
                    _ if !extras.max_clicks_url.is_empty() => {
                        Beyond::Url(extras.max_clicks_url.clone())
                    }
                    Some(page) => Beyond::Page(page),
                    None => Beyond::Expired,
                },
            }),
            expired_page: page(pages.expired),
            pass_query: extras.pass_query,
            apple: Some(extras.app_apple.clone()).filter(|url| !url.is_empty()),
            google: self.android()?,
            preview: preview(extras),
            deletes_at_ms: self.deletes_at(),
            ..Plan::default()
        })
    }

    /// With `auto`, Android opens the destination's app, and goes on to the store or the destination where there is none;
    /// Apple's systems do so by themselves for https destinations.
    fn android(&self) -> Result<Option<String>, FieldError> {
        let google = &self.extras.app_google;
        if !self.extras.app_auto || google.starts_with("intent:") {
            return Ok(Some(google.clone()).filter(|url| !url.is_empty()));
        }
        let finished = self.finished()?;
        let is_web = google.starts_with("http://") || google.starts_with("https://");
        if !google.is_empty() && !is_web {
            return Ok(Some(google.clone()));
        }
        let fallback = if is_web { google } else { &finished };
        Ok(app_link::intent(&finished, fallback))
    }
}

fn variants(
    extras: &Extras,
    to: &dyn Fn(String, &str) -> Result<Target, FieldError>,
) -> Result<Option<Variants>, FieldError> {
    if extras.variants.is_empty() {
        return Ok(None);
    }
    let one = |(place, variant): (usize, &super::extras::Variant)| {
        Ok::<_, FieldError>(Variant {
            weight: variant.weight,
            target: to(format!("variants[{place}].url"), &variant.url)?,
        })
    };
    // A winner without an end has won already.
    let ends_at_ms = extras
        .variants_end
        .unwrap_or(if extras.winner > 0 { 0 } else { i64::MAX });
    Ok(Some(Variants {
        list: extras
            .variants
            .iter()
            .enumerate()
            .map(one)
            .collect::<Result<_, _>>()?,
        ends_at_ms,
        winner: extras.winner,
    }))
}

fn preview(extras: &Extras) -> Option<Preview> {
    let any = !extras.meta_title.is_empty()
        || !extras.meta_description.is_empty()
        || !extras.meta_image.is_empty();
    any.then(|| Preview {
        title: extras.meta_title.clone(),
        description: extras.meta_description.clone(),
        image: extras.meta_image.clone(),
    })
}
