//! Fields of a link beyond a redirect: gates, targets, rules, variants, app links, preview.

use serde_json::{Map, Value};

use super::LinkRequest;
use super::value::{self, first, is_blank, list, pairs, text};
use crate::api::request::filled;
use crate::domain::app_link;
use crate::domain::date::When;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::language;
use crate::domain::link::ExtrasEdit;
use crate::domain::link::extras::Variant;
use crate::domain::link::resolve::device_name;
use crate::domain::page::{MAX_PIXELS, Surface};
use crate::domain::rule::{self, Condition, Matches, Rule, Test, Written};
use schemas::link::plan::{MAX_VARIANTS, MAX_WEIGHT};

/// Largest click limit: far beyond every link, and exact in JSON.
const MAX_CLICKS: u64 = 1_000_000_000_000;

/// Reads them.
///
/// # Errors
/// The first that breaks a rule.
pub(super) fn read(body: &LinkRequest) -> Result<ExtrasEdit, FieldError> {
    let mut urls = Urls::default();
    let mut edit = ExtrasEdit::default();
    if let Some(kind) = filled(body.kind.as_deref()) {
        edit.surface = Some(Surface::parse("type", kind)?);
    }
    if let Some((name, value)) = first(&[("pixels", &body.pixels), ("pixel_ids", &body.pixel_ids)])
    {
        edit.pixels = Some(value::ids(name, value, MAX_PIXELS)?);
    }
    edit.expired_text.clone_from(&body.expired_text);
    edit.max_clicks_text.clone_from(&body.max_clicks_text);
    let limits = [
        ("max_clicks", &body.max_clicks),
        ("maxclicks", &body.maxclicks),
        ("click_limit", &body.click_limit),
        ("clicklimit", &body.clicklimit),
    ];
    if let Some((name, value)) = first(&limits) {
        let max = (!is_blank(value)).then(|| value::number(name, value, (0, MAX_CLICKS)));
        edit.max_clicks = Some(max.transpose()?.filter(|max| *max > 0));
    }
    if let Some((name, value)) = first(&[("max_clicks_url", &body.max_clicks_url)]) {
        edit.max_clicks_url = Some(urls.optional(name, value)?);
    }
    if let Some((name, value)) = first(&[("geotarget", &body.geotarget)]) {
        edit.countries = Some(urls.targets((name, "location"), value, &rule::country)?);
    }
    if let Some((name, value)) = first(&[("devicetarget", &body.devicetarget)]) {
        edit.devices = Some(urls.targets((name, "device"), value, &device_name)?);
    }
    if let Some((name, value)) = first(&[("languagetarget", &body.languagetarget)]) {
        edit.languages = Some(urls.targets((name, "language"), value, &language::tag)?);
    }
    if let Some((name, value)) = first(&[("rules", &body.rules)]) {
        let rules = list(value);
        rule::check_count(name, rules.len())?;
        let read = |(place, value)| read_rule(&format!("rules[{place}]"), value, &mut urls);
        edit.rules = Some(
            rules
                .into_iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?,
        );
    }
    if let Some((name, value)) = first(&[("variants", &body.variants)]) {
        let variants = list(value);
        if variants.len() > MAX_VARIANTS {
            let problem = format!("must hold at most {MAX_VARIANTS}, not {}", variants.len());
            return Err(FieldError::new(name, problem));
        }
        let read = |(place, value)| read_variant(&format!("variants[{place}]"), value, &mut urls);
        edit.variants = Some(
            variants
                .into_iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?,
        );
    }
    if let Some((name, value)) = first(&[("variants_end", &body.variants_end)]) {
        let end =
            (!is_blank(value)).then(|| When::parse(name, &text(name, value)?).map(When::end_ms));
        edit.variants_end = Some(end.transpose()?);
    }
    if let Some((name, value)) = first(&[("variants_winner", &body.variants_winner)]) {
        let winner = if is_blank(value) {
            0
        } else {
            value::number(name, value, (0, MAX_VARIANTS as u64))?
        };
        edit.winner = Some(u16::try_from(winner).unwrap_or(u16::MAX));
    }
    let pass = [
        ("query_passthrough", &body.query_passthrough),
        ("pass_query", &body.pass_query),
        ("forward_query", &body.forward_query),
    ];
    if let Some((name, value)) = first(&pass) {
        edit.pass_query = Some(value::yes_no(name, value)?);
    }
    edit.meta_title.clone_from(&body.metatitle);
    edit.meta_description.clone_from(&body.metadescription);
    if let Some(url) = &body.metaimage {
        edit.meta_image = Some(match url.trim_matches(' ') {
            "" => String::new(),
            url => Destination::parse("metaimage", url)?.as_str().to_owned(),
        });
    }
    if let Some((_, value)) = first(&[("deeplink", &body.deeplink)]) {
        deeplink(value, &mut edit, &mut urls)?;
    }
    edit.urls = urls.0;
    Ok(edit)
}

/// URLs met on the way, to be checked for loops.
#[derive(Default)]
struct Urls(Vec<(String, Destination)>);

impl Urls {
    fn required(&mut self, field: &str, url: &str) -> Result<String, FieldError> {
        let url = Destination::parse(field, url)?;
        let text = url.as_str().to_owned();
        self.0.push((field.to_owned(), url));
        Ok(text)
    }

    fn optional(&mut self, field: &str, value: &Value) -> Result<String, FieldError> {
        if is_blank(value) {
            return Ok(String::new());
        }
        self.required(field, &text(field, value)?)
    }

    fn targets(
        &mut self,
        (field, key): (&str, &str),
        value: &Value,
        name: &dyn Fn(&str, &str) -> Result<String, FieldError>,
    ) -> Result<Vec<(String, String)>, FieldError> {
        let mut targets: Vec<(String, String)> = Vec::new();
        for (place, (key_text, link)) in pairs(field, key, value)?.into_iter().enumerate() {
            let name = name(&format!("{field}[{place}].{key}"), &key_text)?;
            let url = self.required(&format!("{field}[{place}].link"), &link)?;
            // The last of a name wins.
            targets.retain(|(other, _)| *other != name);
            targets.push((name, url));
        }
        Ok(targets)
    }
}

fn object<'a>(field: &str, value: &'a Value) -> Result<&'a Map<String, Value>, FieldError> {
    value
        .as_object()
        .ok_or_else(|| FieldError::new(field, "must be a JSON object"))
}

/// The text of a part; `None`: absent or blank.
fn part(
    field: &str,
    map: &Map<String, Value>,
    names: &[&str],
) -> Result<Option<String>, FieldError> {
    for name in names {
        match map.get(*name) {
            Some(value) if !is_blank(value) => {
                return text(&format!("{field}.{name}"), value).map(Some);
            }
            _ => {}
        }
    }
    Ok(None)
}

fn read_rule(field: &str, value: &Value, urls: &mut Urls) -> Result<Rule, FieldError> {
    let map = object(field, value)?;
    let matches = match part(field, map, &["match", "matches"])?.as_deref() {
        None | Some("all") => Matches::All,
        Some("any") => Matches::Any,
        Some(other) => {
            let problem = format!("'{}' must be all or any", rule::shown(other));
            return Err(FieldError::new(format!("{field}.match"), problem));
        }
    };
    let conditions = map.get("conditions").map(list).unwrap_or_default();
    rule::check_conditions(field, conditions.len())?;
    let read = |(place, value)| read_condition(&format!("{field}.conditions[{place}]"), value);
    let conditions = conditions
        .into_iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    let url = part(field, map, &["url", "link"])?.unwrap_or_default();
    Ok(Rule {
        matches,
        conditions,
        url: urls.required(&format!("{field}.url"), &url)?,
    })
}

fn read_condition(field: &str, value: &Value) -> Result<Condition, FieldError> {
    let map = object(field, value)?;
    let texts = |name: &str| -> Result<Option<Vec<String>>, FieldError> {
        let Some(value) = map.get(name).filter(|v| !v.is_null()) else {
            return Ok(None);
        };
        let each = |v| text(&format!("{field}.{name}"), v);
        list(value)
            .into_iter()
            .map(each)
            .collect::<Result<_, _>>()
            .map(Some)
    };
    let values = match texts("values")? {
        Some(values) => values,
        None => texts("value")?.unwrap_or_default(),
    };
    let kind = part(field, map, &["type"])?.unwrap_or_default();
    let name = part(field, map, &["name"])?;
    let zone = part(field, map, &["zone", "timezone", "tz"])?;
    let (from, to) = (part(field, map, &["from"])?, part(field, map, &["to"])?);
    let weekdays = match texts("weekdays")? {
        Some(days) => Some(days),
        None => texts("days")?,
    };
    let not = match map.get("not").filter(|v| !v.is_null()) {
        Some(value) => value::yes_no(&format!("{field}.not"), value)?,
        None => false,
    };
    let written = Written {
        kind: &kind,
        values,
        name: name.as_deref(),
        zone: zone.as_deref(),
        weekdays,
        from: from.as_deref(),
        to: to.as_deref(),
    };
    Ok(Condition {
        test: Test::read(field, written)?,
        not,
    })
}

fn read_variant(field: &str, value: &Value, urls: &mut Urls) -> Result<Variant, FieldError> {
    let map = object(field, value)?;
    let weight = match map.get("weight").filter(|v| !v.is_null()) {
        Some(value) => value::number(&format!("{field}.weight"), value, (0, MAX_WEIGHT.into()))?,
        None => 1,
    };
    let url = part(field, map, &["url", "link"])?.unwrap_or_default();
    Ok(Variant {
        name: part(field, map, &["name"])?.unwrap_or_default(),
        weight: u32::try_from(weight).unwrap_or(MAX_WEIGHT),
        url: urls.required(&format!("{field}.url"), &url)?,
    })
}

/// A blank one takes all three away; within, what is absent stays.
fn deeplink(value: &Value, edit: &mut ExtrasEdit, urls: &mut Urls) -> Result<(), FieldError> {
    if is_blank(value) {
        edit.app_auto = Some(false);
        (edit.app_apple, edit.app_google) = (Some(String::new()), Some(String::new()));
        return Ok(());
    }
    let map = object("deeplink", value)?;
    if let Some(auto) = map.get("auto").filter(|v| !v.is_null()) {
        edit.app_auto = Some(value::yes_no("deeplink.auto", auto)?);
    }
    for (name, slot) in [
        ("apple", &mut edit.app_apple),
        ("google", &mut edit.app_google),
    ] {
        let Some(value) = map.get(name).filter(|v| !v.is_null()) else {
            continue;
        };
        let field = format!("deeplink.{name}");
        let url = match value {
            value if is_blank(value) => String::new(),
            value => app_link::parse(&field, &text(&field, value)?)?,
        };
        if let Ok(destination) = Destination::parse(&field, &url) {
            urls.0.push((field, destination));
        }
        *slot = Some(url);
    }
    Ok(())
}
