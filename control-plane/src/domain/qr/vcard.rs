//! A person as a vCard: version 3.0 (RFC 2426), which every camera reads, or 4.0 (RFC 6350) where `version` asks for it.
//!
//! Text values are escaped, so that a comma in a company's name does not begin another value and a line break does not
//! begin another property. Lines are not folded: both standards only recommend it, and each fold makes the image larger.

use super::content::{Given, address, phone};
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V3,
    V4,
}

pub(super) fn read(given: &Given<'_>) -> Result<String, FieldError> {
    if let Some(text) = given.text() {
        let is_card = text
            .get(..11)
            .is_some_and(|start| start.eq_ignore_ascii_case("BEGIN:VCARD"));
        if is_card {
            return Ok(text.to_owned());
        }
        return Ok(card(
            Version::V3,
            &[
                property("N", &[text, "", "", "", ""]),
                property("FN", &[text]),
            ],
        ));
    }
    let version = match given.optional("version")?.as_str() {
        "" | "3" | "3.0" => Version::V3,
        "4" | "4.0" => Version::V4,
        _ => return Err(FieldError::new(given.name("version"), "must be 3.0 or 4.0")),
    };
    let [first, last, org, title] =
        ["fname", "lname", "org", "title"].map(|name| given.optional(name));
    let (first, last, org, title) = (first?, last?, org?, title?);
    let full = [first.as_str(), last.as_str()].join(" ");
    let full = match full.trim() {
        "" => org.as_str(),
        name => name,
    };
    if full.is_empty() {
        return Err(FieldError::new(
            given.name("fname"),
            "is required, or lname, or org",
        ));
    }
    let mut lines = vec![
        property("N", &[&last, &first, "", "", ""]),
        property("FN", &[full]),
    ];
    for (name, value) in [("ORG", &org), ("TITLE", &title)] {
        if !value.is_empty() {
            lines.push(property(name, &[value]));
        }
    }
    let number = given.optional("phone")?;
    if !number.is_empty() {
        let number = phone(&given.name("phone"), &number)?;
        lines.push(match version {
            Version::V3 => property("TEL", &[&number.replace("%23", "#")]),
            Version::V4 => format!("TEL;VALUE=uri:tel:{number}"),
        });
    }
    let mail = given.optional("email")?;
    if !mail.is_empty() {
        lines.push(property("EMAIL", &[&address(&given.name("email"), &mail)?]));
    }
    let site = given.optional("site")?;
    if !site.is_empty() {
        // A URI is no text: it has no escapes, and needs none.
        lines.push(format!(
            "URL:{}",
            Destination::parse(&given.name("site"), &site)?.as_str()
        ));
    }
    let [street, city, zip, country] =
        ["street", "city", "zip", "country"].map(|name| given.optional(name));
    let (street, city, zip, country) = (street?, city?, zip?, country?);
    let place = ["", "", &street, &city, "", &zip, &country];
    if place.iter().any(|part| !part.is_empty()) {
        lines.push(property("ADR", &place));
    }
    Ok(card(version, &lines))
}

fn card(version: Version, lines: &[String]) -> String {
    let version = match version {
        Version::V3 => "3.0",
        Version::V4 => "4.0",
    };
    format!(
        "BEGIN:VCARD\r\nVERSION:{version}\r\n{}\r\nEND:VCARD",
        lines.join("\r\n")
    )
}

/// A property of components, each escaped.
fn property(name: &str, components: &[&str]) -> String {
    let escaped: Vec<String> = components.iter().map(|text| escaped(text)).collect();
    format!("{name}:{}", escaped.join(";"))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").replace('\r', "\n").chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\\' | ',' | ';' => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Content, Kind, content};

    #[track_caller]
    fn check(data: Value, expected: &str) {
        let text = match content::read(Kind::Vcard, "data", &data) {
            Ok(Content::Fixed(text)) => text.replace("\r\n", "|"),
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected, "{data}");
    }

    #[test]
    fn a_person_is_written_in_either_version() {
        let data = |version: &str| {
            json!({
                "fname": "Ada", "lname": "Lovelace", "phone": "+44 20 1", "email": "ada@e.test", "org": "Engines, Ltd; London",
                "title": "C\\S", "site": "https://e.test/a,b;c", "street": "1 Road\nFlat 2", "city": "London", "zip": 10115,
                "country": "UK", "version": version,
            })
        };
        check(
            data(""),
            "BEGIN:VCARD|VERSION:3.0|N:Lovelace;Ada;;;|FN:Ada Lovelace|ORG:Engines\\, Ltd\\; London|TITLE:C\\\\S|TEL:+44201|\
             EMAIL:ada@e.test|URL:https://e.test/a,b;c|ADR:;;1 Road\\nFlat 2;London;;10115;UK|END:VCARD",
        );
        check(
            data("4.0"),
            "BEGIN:VCARD|VERSION:4.0|N:Lovelace;Ada;;;|FN:Ada Lovelace|ORG:Engines\\, Ltd\\; London|TITLE:C\\\\S|\
             TEL;VALUE=uri:tel:+44201|EMAIL:ada@e.test|URL:https://e.test/a,b;c|ADR:;;1 Road\\nFlat 2;London;;10115;UK|END:VCARD",
        );
    }

    #[test]
    fn no_field_can_begin_another_property() {
        check(
            json!({"fname": "A\r\nTEL:666\rX:1\nY:2", "unknown": 1}),
            "BEGIN:VCARD|VERSION:3.0|N:;A\\nTEL:666\\nX:1\\nY:2;;;|FN:A\\nTEL:666\\nX:1\\nY:2|END:VCARD",
        );
        check(
            json!({"fname": "A", "email": "a@e.test\r\nX:1"}),
            "data.email must be an e-mail address, e.g. name@example.com",
        );
        check(
            json!({"fname": "A", "phone": "1\r\nX:1"}),
            "data.phone must be a telephone number, e.g. +49 30 123456",
        );
        check(
            json!({"fname": "A", "site": "https://e.test/\r\nX:1"}),
            "data.site must not hold control characters",
        );
    }

    #[test]
    fn a_name_is_enough_and_needed() {
        check(
            json!({"org": "Engines"}),
            "BEGIN:VCARD|VERSION:3.0|N:;;;;|FN:Engines|ORG:Engines|END:VCARD",
        );
        check(
            json!("Ada Lovelace"),
            "BEGIN:VCARD|VERSION:3.0|N:Ada Lovelace;;;;|FN:Ada Lovelace|END:VCARD",
        );
        check(
            json!("BEGIN:VCARD\r\nVERSION:4.0\r\nFN:x\r\nEND:VCARD"),
            "BEGIN:VCARD|VERSION:4.0|FN:x|END:VCARD",
        );
        check(json!({}), "data.fname is required, or lname, or org");
        check(
            json!({"fname": "A", "version": 2.1}),
            "data.version must be 3.0 or 4.0",
        );
    }
}
