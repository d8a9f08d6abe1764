//! Exports of other systems, as links to be added. One table of column names serves them all, in CSV with a header line and
//! in JSON: the systems differ in names, not in what they say. What a link needs is brought under the names of
//! `/url/add`, so that its rules are checked in one place.
//!
//! Known: our own export, Bitly, Dub, Shlink, Kutt, YOURLS, Rebrandly, and any file whose columns are named alike. Left
//! out on purpose: passwords (no system exports them) and visits one by one.

use serde_json::{Map, Value};

use super::date::When;
use super::field::FieldError;

/// Most links of one import: ten transactions.
pub const MAX_LINES: usize = 10_000;

/// Systems whose exports are known; the word only tells how an unreadable file is talked about.
pub const FORMATS: [&str; 8] = [
    "auto",
    "csv",
    "bitly",
    "dub",
    "shlink",
    "kutt",
    "yourls",
    "rebrandly",
];

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// Fields of `/url/add`.
    pub fields: Map<String, Value>,
    /// Clicks it had there.
    pub clicks: i64,
    /// When it was made there, milliseconds since 1970.
    pub created_at: Option<i64>,
}

/// Our name and the names others have for it: lower case, letters and digits only. The first that is there wins.
const COLUMNS: [(&str, &[&str]); 26] = [
    (
        "url",
        &[
            "longurl",
            "url",
            "destinationurl",
            "destination",
            "target",
            "targeturl",
            "originalurl",
            "original",
            "redirecturl",
        ],
    ),
    (
        "custom",
        &[
            "alias",
            "custom",
            "slug",
            "keyword",
            "slashtag",
            "shortcode",
            "address",
            "backhalf",
            "custombackhalf",
            "key",
        ],
    ),
    (
        "short",
        &["shorturl", "shortlink", "bitlink", "link", "short"],
    ),
    ("title", &["title", "name"]),
    (
        "description",
        &["description", "comments", "comment", "note", "notes"],
    ),
    ("tags", &["tags", "tag", "labels"]),
    (
        "clicks",
        &[
            "clicks",
            "totalclicks",
            "visits",
            "visitcount",
            "visitscount",
            "totalvisits",
            "engagements",
            "totalengagements",
            "hits",
        ],
    ),
    ("imported_clicks", &["importedclicks"]),
    (
        "created",
        &[
            "createdat",
            "created",
            "datecreated",
            "creationdate",
            "date",
            "timestamp",
        ],
    ),
    (
        "expires_at",
        &[
            "expiresat",
            "expires",
            "expiry",
            "expirationdate",
            "validuntil",
            "expirein",
        ],
    ),
    ("expired_url", &["expiredurl"]),
    ("starts_at", &["startsat", "validsince", "activefrom"]),
    ("max_clicks", &["maxclicks", "maxvisits", "clicklimit"]),
    ("status", &["redirect"]),
    ("disabled", &["disabled", "banned"]),
    ("private", &["private"]),
    ("parameters", &["parameters"]),
    ("settings", &["settings"]),
    ("utm_source", &["utmsource"]),
    ("utm_medium", &["utmmedium"]),
    ("utm_campaign", &["utmcampaign"]),
    ("utm_term", &["utmterm"]),
    ("utm_content", &["utmcontent"]),
    ("metatitle", &["metatitle"]),
    ("metadescription", &["metadescription"]),
    ("metaimage", &["metaimage"]),
];

/// Reads a file.
///
/// # Errors
/// The whole file is unreadable, has no column of destinations, or too many lines. A line's own errors are found when it is
/// read as a link.
pub fn read(field: &str, text: &str) -> Result<Vec<Result<Line, FieldError>>, FieldError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    let rows = if text.starts_with(['[', '{']) {
        json_rows(field, text)?
    } else {
        csv_rows(field, text)?
    };
    if rows.is_empty() {
        return Err(FieldError::new(field, "must hold at least one link"));
    }
    Ok(rows.into_iter().map(|row| row.and_then(line)).collect())
}

type Row = Result<Vec<(String, String)>, FieldError>;

fn csv_rows(field: &str, text: &str) -> Result<Vec<Row>, FieldError> {
    let header = text.lines().next().unwrap_or_default();
    // Spreadsheets of some countries write semicolons.
    let count = |c: char| header.chars().filter(|h| *h == c).count();
    let delimiter = [';', '\t'].into_iter().find(|d| count(*d) > count(','));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter.map_or(b',', |d| d as u8))
        .flexible(true)
        .from_reader(text.as_bytes());
    let bad =
        |e: &csv::Error| FieldError::new(field, format!("must be CSV with a header line: {e}"));
    let names: Vec<String> = reader
        .headers()
        .map_err(|e| bad(&e))?
        .iter()
        .map(plain)
        .collect();
    if !names.iter().any(|n| named("url").contains(&n.as_str())) {
        return Err(FieldError::new(
            field,
            format!(
                "must have a column of destinations, named like one of {}",
                named("url").join(", ")
            ),
        ));
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        if rows.len() == MAX_LINES {
            return Err(too_many(field));
        }
        rows.push(record.map_err(|e| bad(&e)).map(|record| {
            let values = record.iter().map(str::to_owned);
            names.iter().cloned().zip(values).collect()
        }));
    }
    Ok(rows)
}

/// A list of objects, alone or as the only list in an object (`data`, `links`, `urls`), at most three objects deep.
fn json_rows(field: &str, text: &str) -> Result<Vec<Row>, FieldError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|e| FieldError::new(field, format!("must be CSV or JSON: {e}")))?;
    let mut found = &value;
    for _ in 0..3 {
        if let Value::Object(map) = found
            && let Some(inner) = ["data", "links", "urls", "shortUrls"]
                .iter()
                .find_map(|n| map.get(*n))
        {
            found = inner;
        }
    }
    let Value::Array(list) = found else {
        return Err(FieldError::new(field, "must hold a list of links"));
    };
    if list.len() > MAX_LINES {
        return Err(too_many(field));
    }
    let row = |item: &Value| match item {
        Value::Object(map) => Ok(map.iter().map(|(n, v)| (plain(n), flat(v))).collect()),
        _ => Err(FieldError::new(field, "must hold JSON objects")),
    };
    Ok(list.iter().map(row).collect())
}

fn too_many(field: &str) -> FieldError {
    FieldError::new(
        field,
        format!("must hold at most {MAX_LINES} links; split the file"),
    )
}

/// A value as a cell: lists joined by commas; of an object its total or name.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // Pairs, as our parameters, stay JSON.
        Value::Array(list) if list.iter().any(|item| item.get("value").is_some()) => {
            value.to_string()
        }
        Value::Array(list) => list.iter().map(flat).collect::<Vec<_>>().join(","),
        Value::Object(map) => {
            let part = ["total", "name", "nonBots"]
                .iter()
                .find_map(|n| map.get(*n));
            part.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                .unwrap_or_default()
        }
        other => other.to_string(),
    }
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_ascii_alphanumeric());
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

fn named(ours: &str) -> &'static [&'static str] {
    let found = COLUMNS.iter().find(|(name, _)| *name == ours);
    found.map_or(&[], |(_, names)| names)
}

fn line(row: Vec<(String, String)>) -> Result<Line, FieldError> {
    let cell = |ours: &str| {
        let cells = named(ours).iter().filter_map(|name| {
            let cell = row.iter().find(|(n, _)| n == name)?.1.trim();
            (!cell.is_empty() && !cell.eq_ignore_ascii_case("null")).then_some(cell)
        });
        cells.into_iter().next()
    };
    let mut line = Line::default();
    // Our own export has the rest of its fields there.
    if let Some(Ok(Value::Object(map))) = cell("settings").map(serde_json::from_str) {
        line.fields = map;
    }
    for (ours, _) in COLUMNS {
        let Some(text) = cell(ours) else { continue };
        let value = match ours {
            "short" | "clicks" | "imported_clicks" | "created" | "private" | "settings" => continue,
            "tags" => Value::from(
                text.split([',', ';', '|'])
                    .map(str::trim)
                    .collect::<Vec<_>>(),
            ),
            "parameters" => serde_json::from_str(text).unwrap_or(Value::Null),
            "expires_at" | "starts_at" => Value::from(instant(ours, text)?),
            _ => Value::from(text),
        };
        line.fields.insert(ours.to_owned(), value);
    }
    if !line.fields.contains_key("custom")
        && let Some(slug) = cell("short").and_then(path)
    {
        line.fields.insert("custom".to_owned(), Value::from(slug));
    }
    if cell("private").is_some_and(|t| t.eq_ignore_ascii_case("true") || t == "1") {
        line.fields
            .insert("status".to_owned(), Value::from("private"));
    }
    for name in ["clicks", "imported_clicks"] {
        if let Some(text) = cell(name) {
            let digits: String = text
                .chars()
                .filter(|c| !matches!(c, ',' | ' ' | '\''))
                .collect();
            let clicks: Option<i64> = digits.parse().ok().filter(|n| (0..=MAX_CLICKS).contains(n));
            let problem = || format!("must be a whole number from 0 to {MAX_CLICKS}");
            line.clicks += clicks.ok_or_else(|| FieldError::new(name, problem()))?;
        }
    }
    if let Some(text) = cell("created") {
        line.created_at = Some(When::parse("created", &instant("created", text)?)?.start_ms());
    }
    Ok(line)
}

/// Clicks beyond this are a mistake.
const MAX_CLICKS: i64 = 1_000_000_000_000_000;

/// A date in one of our forms; seconds and milliseconds since 1970 too.
fn instant(field: &str, text: &str) -> Result<String, FieldError> {
    if let Ok(number) = text.parse::<i64>()
        && text.len() >= 9
    {
        let ms = if text.len() >= 12 {
            number
        } else {
            number.saturating_mul(1000)
        };
        return Ok(super::date::format_iso(ms));
    }
    When::parse(field, text)?;
    Ok(text.to_owned())
}

/// The path of a short URL, with or without scheme, decoded.
fn path(short: &str) -> Option<String> {
    let rest = short.split_once("://").map_or(short, |(_, rest)| rest);
    let path = rest.split_once('/')?.1.split(['?', '#']).next()?;
    let decoded = percent_encoding::percent_decode_str(path)
        .decode_utf8()
        .ok()?;
    Some(decoded.trim_end_matches('/').to_owned()).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn one(text: &str) -> Line {
        let mut lines = read("data", text).expect("readable");
        lines.remove(0).expect("a line")
    }

    #[track_caller]
    fn check(text: &str, url: &str, slug: &str, clicks: i64) {
        let line = one(text);
        assert_eq!(line.fields["url"], url, "{text}");
        assert_eq!(line.fields["custom"], slug, "{text}");
        assert_eq!(line.clicks, clicks, "{text}");
        assert!(
            line.created_at.is_some_and(|ms| ms > 1_500_000_000_000),
            "{text}"
        );
    }

    #[test]
    fn exports_of_each_system_are_read() {
        // Bitly, Dub, Shlink, YOURLS, Rebrandly, Kutt, ours.
        check(
            "Title,Long URL,Bitlink,Total engagements,Created\nA,https://e.test/1,bit.ly/3abc,1204,2024-02-03T04:05:06+0000\n",
            "https://e.test/1",
            "3abc",
            1204,
        );
        check(
            "Short link,Destination URL,Clicks,Created at,Tags\nhttps://dub.sh/x/y,https://e.test/,7,2024-02-03T04:05:06.000Z,\"a, b\"\n",
            "https://e.test/",
            "x/y",
            7,
        );
        check(
            "createdAt,domain,shortCode,shortUrl,longUrl,title,tags,visits\n2024-01-01T00:00:00+01:00,s.test,abc,https://s.test/abc,https://e.test/,T,x|y,3\n",
            "https://e.test/",
            "abc",
            3,
        );
        check(
            "keyword,url,title,timestamp,ip,clicks\nozh,https://e.test/,T,2019-08-01 10:00:00,10.0.0.1,12\n",
            "https://e.test/",
            "ozh",
            12,
        );
        check(
            "Title;Slashtag;Destination;Short URL;Clicks;Created at\nT;promo;https://e.test/;rebrand.ly/promo;1 000;2020-01-01 00:00:00\n",
            "https://e.test/",
            "promo",
            1000,
        );
        check(
            r#"{"limit":10,"data":[{"address":"kutt1","target":"https://e.test/","visit_count":5,"created_at":"2021-01-01T00:00:00.000Z","description":null}]}"#,
            "https://e.test/",
            "kutt1",
            5,
        );
        check(
            "id,alias,shorturl,longurl,clicks,imported_clicks,date\n1,\"größe\",https://go.test/gr%C3%B6%C3%9Fe,https://e.test/,2,3,2026-01-01 00:00:00\n",
            "https://e.test/",
            "größe",
            5,
        );
        let line = one("url,tags,expires,private\nhttps://e.test/,\"a;b\",1893456000,true\n");
        assert_eq!(
            (&line.fields["tags"], &line.fields["expires_at"]),
            (
                &serde_json::json!(["a", "b"]),
                &Value::from("2030-01-01T00:00:00.000Z")
            )
        );
        assert_eq!(line.fields["status"], "private");
    }

    #[test]
    fn hostile_files_are_refused_whole_or_by_line() {
        for bad in ["", "a,b\n1,2\n", "url\n", "[", "[1", "{\"data\":5}", "[]"] {
            assert!(read("data", bad).is_err(), "{bad:?}");
        }
        let many = "url\n".to_owned() + &"https://e.test/\n".repeat(MAX_LINES + 1);
        assert!(
            read("data", &many)
                .expect_err("too many")
                .to_string()
                .contains("at most 10000")
        );
        for bad in [
            "url,clicks\nhttps://e.test/,-1\n",
            "url,created\nhttps://e.test/,soon\n",
            "url,expires\nhttps://e.test/,99/99\n",
            "[1]",
        ] {
            assert!(
                read("data", bad).expect("a file").remove(0).is_err(),
                "{bad:?}"
            );
        }
        let ragged = read("data", "url,title\n\"https://e.test/,x\n").expect("a file");
        assert_eq!(ragged.len(), 1);
    }
}
