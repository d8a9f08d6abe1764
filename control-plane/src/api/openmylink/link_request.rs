//! Body of `/url/add` and `/url/:id/update`, and of each link in `/urls/bulk`.

use schemas::link::Status;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::api::request::read;
use crate::domain::alias::{self, Letters};
use crate::domain::date::When;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::link::Edit;
use crate::domain::password;
use crate::links::{Secret, Wish};
use crate::store::looks::Look;

mod extras;
mod groups;
mod value;

/// A link as a caller wants it. Unknown fields are ignored; those that other systems use for what has a name of its own
/// here are refused with that name.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct LinkRequest {
    /// Where the link leads: `http` or `https`, at most 8192 bytes. Required to add a link.
    #[serde(deserialize_with = "text")]
    #[schema(example = "https://example.com/spring-sale-page")]
    url: Option<String>,
    /// The alias; a random one when absent.
    #[serde(deserialize_with = "text")]
    #[schema(example = "spring-sale")]
    custom: Option<String>,
    /// `direct` (default), `frame`, `splash` (the usual page), the id of a splash page, or `overlay-<id>`.
    #[serde(rename = "type", deserialize_with = "text")]
    kind: Option<String>,
    /// A live domain of the workspace, with or without scheme; the default one when absent.
    #[serde(deserialize_with = "text")]
    domain: Option<String>,
    /// When it stops working: a date (its end, 23:59:59 UTC), a date and time, or ISO 8601.
    #[serde(deserialize_with = "text")]
    expires_at: Option<String>,
    /// As `expires_at`, which wins.
    #[serde(deserialize_with = "text")]
    expiry: Option<String>,
    /// When it begins to work, in the same forms; a date means its beginning.
    #[serde(deserialize_with = "text")]
    starts_at: Option<String>,
    /// As `starts_at`, which wins.
    #[serde(deserialize_with = "text")]
    active_from: Option<String>,
    /// Where visitors go once it has expired.
    #[serde(deserialize_with = "text")]
    expired_url: Option<String>,
    /// What they read, where there is no `expired_url`.
    #[serde(deserialize_with = "text")]
    expired_text: Option<String>,
    /// Ids of all its pixels.
    #[schema(value_type = Option<Vec<i64>>)]
    pixels: Option<Value>,
    /// As `pixels`, which wins.
    #[schema(value_type = Option<Vec<i64>>)]
    pixel_ids: Option<Value>,
    /// Switched off.
    #[serde(deserialize_with = "yes_no")]
    disabled: Option<bool>,
    /// `public` or `private`; or 301, 302, 307, 308: the status of the redirect.
    #[serde(deserialize_with = "text")]
    #[schema(example = "public")]
    status: Option<String>,
    /// For lists.
    #[serde(deserialize_with = "text")]
    title: Option<String>,
    /// For lists.
    #[serde(deserialize_with = "text")]
    description: Option<String>,
    /// Put into the destination's query, replacing the same name.
    #[serde(deserialize_with = "text")]
    #[schema(example = "newsletter")]
    utm_source: Option<String>,
    /// As `utm_source`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "email")]
    utm_medium: Option<String>,
    /// As `utm_source`.
    #[serde(deserialize_with = "text")]
    #[schema(example = "spring-2026")]
    utm_campaign: Option<String>,
    /// As `utm_source`.
    #[serde(deserialize_with = "text")]
    utm_term: Option<String>,
    /// As `utm_source`.
    #[serde(deserialize_with = "text")]
    utm_content: Option<String>,
    /// More of the kind.
    #[serde(deserialize_with = "parameters")]
    parameters: Option<Vec<Parameter>>,
    /// Asked for before anything is shown; empty: none. Never shown back.
    #[serde(deserialize_with = "text")]
    password: Option<String>,
    /// Visits let through; 0: any number. Beyond them visitors meet `max_clicks_url`, else what an expired link shows.
    #[schema(value_type = Option<u64>, example = 1000)]
    max_clicks: Option<Value>,
    /// As `max_clicks`, which wins.
    #[schema(value_type = Option<u64>)]
    maxclicks: Option<Value>,
    /// As `max_clicks`, which wins.
    #[schema(value_type = Option<u64>)]
    click_limit: Option<Value>,
    /// As `max_clicks`, which wins.
    #[schema(value_type = Option<u64>)]
    clicklimit: Option<Value>,
    /// Where visitors go beyond the limit.
    #[schema(value_type = Option<String>)]
    max_clicks_url: Option<Value>,
    /// What visitors read beyond it, where there is no `max_clicks_url`.
    #[serde(deserialize_with = "text")]
    max_clicks_text: Option<String>,
    /// Destinations by country: an English name or an ISO 3166 code.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"location": "canada", "link": "https://example.ca/"}]))]
    geotarget: Option<Value>,
    /// Destinations by device or system: iphone, ipad, ios, android, windows, mac, linux, desktop, mobile, tablet …
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"device": "iphone", "link": "https://example.com/app"}]))]
    devicetarget: Option<Value>,
    /// Destinations by the language the visitor prefers: `en` is met by `en-GB`, `pt-BR` by itself alone.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"language": "de", "link": "https://example.de/"}]))]
    languagetarget: Option<Value>,
    /// Rules in order, asked before the targets above; the first that matches leads to its `url`. `match`: all or any.
    /// Types of conditions: country, region, city, language, device, os, browser, ip (each with `values`), query (`name`,
    /// and `values` or none for "is there"), before, after (`value`, a date), clock (`zone`, `weekdays`, `from`, `to`);
    /// `not` turns one round.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"match": "all", "conditions": [{"type": "country", "values": ["CA"]}, {"type": "clock", "zone": "America/Toronto", "weekdays": ["sat", "sun"], "from": "09:00", "to": "17:00"}], "url": "https://example.ca/weekend"}]))]
    rules: Option<Value>,
    /// Weighted destinations for those whom no rule decided on, the same for a visitor each time.
    #[schema(value_type = Option<Vec<Object>>, example = json!([{"name": "a", "url": "https://example.com/a", "weight": 50}, {"name": "b", "url": "https://example.com/b", "weight": 50}]))]
    variants: Option<Value>,
    /// When the test ends: from then on `variants_winner` gets every visit, or without one `url`.
    #[schema(value_type = Option<String>)]
    variants_end: Option<Value>,
    /// Place of a variant, from 1; 0: none. Without an end it has won already.
    #[schema(value_type = Option<u16>)]
    variants_winner: Option<Value>,
    /// The visitor's query goes on to the destination; what the destination has already wins.
    #[schema(value_type = Option<bool>)]
    query_passthrough: Option<Value>,
    /// As `query_passthrough`, which wins.
    #[schema(value_type = Option<bool>)]
    pass_query: Option<Value>,
    /// As `query_passthrough`, which wins.
    #[schema(value_type = Option<bool>)]
    forward_query: Option<Value>,
    /// Title that chats and social networks show.
    #[serde(deserialize_with = "text")]
    metatitle: Option<String>,
    /// Description that they show.
    #[serde(deserialize_with = "text")]
    metadescription: Option<String>,
    /// URL of the image that they show.
    #[serde(deserialize_with = "text")]
    metaimage: Option<String>,
    /// `apple`, `google`: what opens on those systems (a store page or an app's own address); `auto`: on Android the app
    /// that handles the destination, else the store page or the destination.
    #[schema(value_type = Option<Object>, example = json!({"auto": true, "apple": "https://apps.apple.com/app/id1", "google": "https://play.google.com/store/apps/details?id=a"}))]
    deeplink: Option<Value>,
    /// Id of a channel, or a list of them: all channels the link is in.
    #[schema(value_type = Option<Vec<i64>>)]
    channel: Option<Value>,
    /// Id of a campaign; 0: none.
    #[schema(value_type = Option<i64>)]
    campaign: Option<Value>,
    /// Id of a folder; 0: none.
    #[schema(value_type = Option<i64>)]
    folder: Option<Value>,
    /// Ids or names of all its tags; a name that is new makes a tag.
    #[schema(value_type = Option<Vec<String>>)]
    tags: Option<Value>,
}

/// Fields that other systems have for what has another name here: refused unless empty, with what to do.
const ELSEWHERE: [(&str, &str); 7] = [
    ("rotator", "is not a field of links: use variants"),
    ("abtesting", "is not a field of links: use variants"),
    ("splash", "is not a field of links: use type"),
    ("overlay", "is not a field of links: use type"),
    ("cloaking", "is not a field of links: use type"),
    (
        "ios",
        "is not a field of links: use deeplink or devicetarget",
    ),
    (
        "android",
        "is not a field of links: use deeplink or devicetarget",
    ),
];

/// A parameter for the destination's query.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct Parameter {
    /// Its name.
    #[serde(deserialize_with = "text")]
    name: Option<String>,
    /// Its value.
    #[serde(deserialize_with = "text")]
    value: Option<String>,
}

/// Reads a body into what is wanted.
///
/// # Errors
/// The first field that breaks a rule.
pub(super) fn wish(map: &Map<String, Value>) -> Result<Wish, FieldError> {
    for (name, problem) in ELSEWHERE {
        if map.get(name).is_some_and(|value| !is_empty(value)) {
            return Err(FieldError::new(name, problem));
        }
    }
    let body: LinkRequest = read(map)?;
    let (extras, groups) = (extras::read(&body)?, groups::read(&body)?);
    let (status, is_private) = status(given(&body.status))?;
    let parameters = body.parameters.map(|list| {
        let pair = |p: Parameter| (p.name.unwrap_or_default(), p.value.unwrap_or_default());
        list.into_iter().map(pair).collect()
    });
    let password = match body.password.as_deref() {
        None => None,
        Some("") => Some(None),
        Some(text) => {
            password::check_gate("password", text)?;
            Some(Some(Secret(text.to_owned())))
        }
    };
    Ok(Wish {
        password,
        groups,
        look: Look::Way,
        imported_clicks: 0,
        created_at: None,
        letters: Letters::Both,
        slug: given(&body.custom)
            .map(|text| alias::custom("custom", text))
            .transpose()?,
        domain: given(&body.domain).map(str::to_owned),
        edit: Edit {
            destination: given(&body.url)
                .map(|url| Destination::parse("url", url))
                .transpose()?,
            starts_at: instant(
                &[
                    ("starts_at", &body.starts_at),
                    ("active_from", &body.active_from),
                ],
                When::start_ms,
            )?,
            expires_at: instant(
                &[("expires_at", &body.expires_at), ("expiry", &body.expiry)],
                When::end_ms,
            )?,
            expired_url: body
                .expired_url
                .map(|url| match url.trim_matches(' ') {
                    "" => Ok(None),
                    url => Destination::parse("expired_url", url).map(Some),
                })
                .transpose()?,
            title: body.title,
            description: body.description,
            status,
            is_private,
            is_disabled: body.disabled,
            utm: [
                body.utm_source,
                body.utm_medium,
                body.utm_campaign,
                body.utm_term,
                body.utm_content,
            ],
            parameters,
            extras,
            found: None,
        },
    })
}

/// The text, unless it is absent or blank. Only spaces are trimmed: a URL must not lose other characters unseen.
fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref()
        .map(|t| t.trim_matches(' '))
        .filter(|t| !t.is_empty())
}

/// The first of these that is not blank; blank ones clear the instant.
fn instant(
    fields: &[(&str, &Option<String>)],
    ms: fn(When) -> i64,
) -> Result<Option<Option<i64>>, FieldError> {
    let mut found = None;
    for (name, text) in fields {
        match text.as_deref().map(str::trim) {
            None => {}
            Some("") => found = Some(None),
            Some(text) => return When::parse(name, text).map(|when| Some(Some(ms(when)))),
        }
    }
    Ok(found)
}

fn status(text: Option<&str>) -> Result<(Option<Status>, Option<bool>), FieldError> {
    match text {
        None => Ok((None, None)),
        Some("public") => Ok((None, Some(false))),
        Some("private") => Ok((None, Some(true))),
        Some(code) => match code.parse().ok().and_then(Status::from_code) {
            Some(status) => Ok((Some(status), None)),
            None => Err(FieldError::new(
                "status",
                "must be public, private, 301, 302, 307 or 308",
            )),
        },
    }
}

/// Whether a value says nothing: `null`, `false`, blank, and lists and objects of such.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().all(is_empty),
        Value::Object(map) => map.values().all(is_empty),
        other => value::is_blank(other),
    }
}

/// A text, or a number as a text.
pub(super) fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(value)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(D::Error::custom("must be text")),
    }
}

/// `true`, `false`, 0, 1, or one of these as a text.
pub(super) fn yes_no<'de, D: Deserializer<'de>>(value: D) -> Result<Option<bool>, D::Error> {
    let value = Value::deserialize(value)?;
    let word = match &value {
        Value::Null => return Ok(None),
        Value::Bool(yes) => return Ok(Some(*yes)),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "true" | "1" => Ok(Some(true)),
        "false" | "0" => Ok(Some(false)),
        "" if value.is_string() => Ok(None),
        _ => Err(D::Error::custom("must be true or false")),
    }
}

fn parameters<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Vec<Parameter>>, D::Error> {
    match Value::deserialize(value)? {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        list @ Value::Array(_) => serde_json::from_value(list)
            .map(Some)
            .map_err(D::Error::custom),
        _ => Err(D::Error::custom(
            "must be a list of {\"name\":…,\"value\":…}",
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Wish, FieldError> {
        wish(value.as_object().expect("object"))
    }

    #[test]
    fn empty_forms_of_what_is_not_there_yet_are_fine() {
        let wish = read(json!({
            "url": "https://e.test/", "password": "", "pixels": [], "pixel_ids": null, "deeplink": {"auto": false, "apple": ""},
            "geotarget": [{"location": "", "link": null}], "clicklimit": 0, "type": "direct", "campaign": null, "unknown": [1],
        }))
        .expect("nothing wanted");
        assert!(wish.slug.is_none() && wish.domain.is_none());
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_name() {
        for (name, _) in ELSEWHERE {
            let error = read(json!({"url": "https://e.test/", name: "x"})).expect_err(name);
            assert_eq!(error.field, name);
        }
        for (name, value) in [
            ("pixels", json!(["x"])),
            ("type", json!("curtain")),
            ("type", json!(-7)),
        ] {
            let error = read(json!({"url": "https://e.test/", name: value})).expect_err(name);
            assert_eq!(error.field, name);
        }
    }

    #[test]
    fn wrong_types_name_their_field() {
        for (name, value) in [
            ("url", json!(["https://e.test/"])),
            ("custom", json!({})),
            ("custom", json!(true)),
            ("disabled", json!("maybe")),
            ("disabled", json!(2)),
            ("parameters", json!("a=b")),
            ("parameters", json!([{"name": []}])),
            ("status", json!(303)),
            ("status", json!("hidden")),
            ("expires_at", json!("2026-02-30")),
            ("expiry", json!(17)),
            ("starts_at", json!("soon")),
            ("title", json!([])),
        ] {
            let error =
                read(json!({"url": "https://e.test/", name: value.clone()})).expect_err(name);
            assert_eq!(error.field, name, "{value}");
        }
    }

    #[test]
    fn loose_values_are_understood() {
        let wish =
            read(json!({"custom": 123, "disabled": "1", "status": 301, "expiry": "", "url": null}))
                .expect("legal");
        assert_eq!(wish.slug.map(|s| s.to_string()).as_deref(), Some("123"));
        assert_eq!(wish.edit.is_disabled, Some(true));
        assert_eq!(wish.edit.status, Some(Status::MovedPermanently));
        assert_eq!(wish.edit.expires_at, Some(None));
        assert!(wish.edit.destination.is_none());
    }
}
