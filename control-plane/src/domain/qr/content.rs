//! What a caller gives as the content of a code, checked and written in the form that cameras understand.
//!
//! | kind | data | in the image |
//! | --- | --- | --- |
//! | text | a text | itself |
//! | link, dynamic | an http(s) URL | the code's own address |
//! | static | an http(s) URL | itself, in its one form |
//! | email | an address, or `{email, subject, body}` | `mailto:` (RFC 6068) |
//! | phone | a number, or `{phone}` | `tel:` (RFC 3966), without separators |
//! | sms | a number, `number:message`, a message, or `{phone, message}` | `SMSTO:number:message`, which both large systems read |
//! | wifi | `{ssid, encryption, password, hidden}`, the name of an open network, or a `WIFI:` text | `WIFI:T:…;S:…;P:…;H:true;;` (ZXing's form) |
//! | vcard | fields of a person, a name, or a `BEGIN:VCARD` text | a vCard 3.0 (RFC 2426), or 4.0 (RFC 6350) with `version` `4.0` |

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use super::{Content, Kind, vcard};
use crate::domain::destination::Destination;
use crate::domain::field::{self, FieldError};

/// Longest text of a field, in characters: no image holds more than 2,953 bytes.
pub(super) const MAX_TEXT: usize = 2953;

/// Longest name of a network in bytes (IEEE 802.11).
const MAX_SSID: usize = 32;

/// Longest key of a network: 63 characters, or 64 hex digits.
const MAX_WIFI_PASSWORD: usize = 64;

/// Longest telephone number in digits: E.164 allows 15; extensions and service codes need some more.
const MAX_DIGITS: usize = 24;

/// Longest address of a mailbox in bytes (RFC 5321).
const MAX_ADDRESS: usize = 254;

/// What is not escaped in a `mailto:` URL: unreserved characters of RFC 3986.
const MAIL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// As [`MAIL`], with what an address may hold bare.
const MAIL_ADDRESS: &AsciiSet = &MAIL.remove(b'@').remove(b'+');

/// Reads the content of a code of this kind from `field`.
///
/// # Errors
/// The first rule it breaks; fields of an object are named `data.ssid` and so on.
pub fn read(kind: Kind, field: &str, value: &Value) -> Result<Content, FieldError> {
    let given = Given::new(field, value)?;
    let text = match kind {
        Kind::Link | Kind::Dynamic => {
            let url = given.only_text("a URL")?;
            return Destination::parse(field, &url).map(Content::Tracked);
        }
        Kind::Static => {
            let url = given.only_text("a URL")?;
            Destination::parse(field, &url)?.as_str().to_owned()
        }
        Kind::Text => given.only_text("a text")?,
        Kind::Email => email(&given)?,
        Kind::Phone => format!(
            "tel:{}",
            phone(&given.name("phone"), &given.text_or("phone")?)?
        ),
        Kind::Sms => sms(&given)?,
        Kind::Wifi => wifi(&given)?,
        Kind::Vcard => vcard::read(&given)?,
    };
    Ok(Content::Fixed(text))
}

/// Addresses of pages in the text of a code, which a camera may open: the whole of it, or the site of a person.
pub fn sites(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("URL:").unwrap_or(line));
    lines.filter(|line| Destination::parse("data", line).is_ok())
}

/// The content as given: a text, or an object with fields of its own.
#[derive(Debug)]
pub(super) struct Given<'a> {
    field: &'a str,
    value: Shape<'a>,
}

#[derive(Debug)]
enum Shape<'a> {
    Text(String),
    Fields(&'a Map<String, Value>),
}

impl<'a> Given<'a> {
    fn new(field: &'a str, value: &'a Value) -> Result<Self, FieldError> {
        let value = match value {
            Value::String(_) | Value::Number(_) => Shape::Text(scalar(field, value)?),
            Value::Object(map) => Shape::Fields(map),
            Value::Null => return Err(FieldError::new(field, "is required")),
            _ => return Err(FieldError::new(field, "must be a text or an object")),
        };
        if matches!(&value, Shape::Text(text) if text.is_empty()) {
            return Err(FieldError::new(field, "must not be empty"));
        }
        Ok(Self { field, value })
    }

    /// What errors call the field `name`.
    pub(super) fn name(&self, name: &str) -> String {
        match self.value {
            Shape::Text(_) => self.field.to_owned(),
            Shape::Fields(_) => format!("{}.{name}", self.field),
        }
    }

    /// The whole, where it is a text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Shape::Text(text) => Some(text),
            Shape::Fields(_) => None,
        }
    }

    fn only_text(&self, what: &str) -> Result<String, FieldError> {
        self.text()
            .map(str::to_owned)
            .ok_or_else(|| FieldError::new(self.field, format!("must be {what}")))
    }

    /// The whole, or the required field `name`.
    fn text_or(&self, name: &str) -> Result<String, FieldError> {
        match self.text() {
            Some(text) => Ok(text.to_owned()),
            None => self.required(name),
        }
    }

    /// A field of the object; empty when absent.
    pub(super) fn optional(&self, name: &str) -> Result<String, FieldError> {
        match &self.value {
            Shape::Fields(map) => match map.get(name) {
                None | Some(Value::Null) => Ok(String::new()),
                Some(value) => scalar(&self.name(name), value),
            },
            Shape::Text(_) => Ok(String::new()),
        }
    }

    fn required(&self, name: &str) -> Result<String, FieldError> {
        let text = self.optional(name)?;
        if text.is_empty() {
            return Err(FieldError::new(self.name(name), "is required"));
        }
        Ok(text)
    }

    fn yes_no(&self, name: &str) -> Result<bool, FieldError> {
        let Shape::Fields(map) = &self.value else {
            return Ok(false);
        };
        let word = match map.get(name) {
            None | Some(Value::Null) => return Ok(false),
            Some(Value::Bool(yes)) => return Ok(*yes),
            Some(value) => scalar(&self.name(name), value)?,
        };
        match word.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" | "" => Ok(false),
            _ => Err(FieldError::new(self.name(name), "must be true or false")),
        }
    }
}

fn scalar(field: &str, value: &Value) -> Result<String, FieldError> {
    match value {
        Value::String(text) => field::text(field, text, MAX_TEXT),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(FieldError::new(field, "must be text")),
    }
}

fn email(given: &Given<'_>) -> Result<String, FieldError> {
    let text = given.text_or("email")?;
    let text = strip_scheme(&text, "mailto:");
    let address = address(&given.name("email"), text)?;
    let mut url = format!("mailto:{}", utf8_percent_encode(&address, MAIL_ADDRESS));
    let mut separator = '?';
    for name in ["subject", "body"] {
        // RFC 6068: a line break is CRLF.
        let value = given
            .optional(name)?
            .replace("\r\n", "\n")
            .replace('\n', "\r\n");
        if !value.is_empty() {
            url.push(separator);
            url.push_str(&format!("{name}={}", utf8_percent_encode(&value, MAIL)));
            separator = '&';
        }
    }
    Ok(url)
}

/// An address of a mailbox. Whether it exists only a mail can tell, so no more is checked than what surely is none.
pub(super) fn address(field: &str, text: &str) -> Result<String, FieldError> {
    let legal = text.len() <= MAX_ADDRESS
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "<>(),;:\\\"[]?&".contains(c))
        && text.rsplit_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && !local.contains('@')
                && !host.is_empty()
                && !host.starts_with('.')
                && !host.ends_with('.')
        });
    if legal {
        Ok(text.to_owned())
    } else {
        Err(FieldError::new(
            field,
            "must be an e-mail address, e.g. name@example.com",
        ))
    }
}

/// A telephone number without what people put between the digits.
pub(super) fn phone(field: &str, text: &str) -> Result<String, FieldError> {
    let text = strip_scheme(text, "tel:").trim();
    let bare: String = text
        .chars()
        .filter(|c| !" -.()/\u{a0}\u{2011}".contains(*c))
        .collect();
    let digits = bare.strip_prefix('+').unwrap_or(&bare);
    // `*` and `#` begin service codes; `#` would begin a URL's fragment.
    let legal = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'))
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.len() <= MAX_DIGITS;
    if legal {
        Ok(bare.replace('#', "%23"))
    } else {
        Err(FieldError::new(
            field,
            "must be a telephone number, e.g. +49 30 123456",
        ))
    }
}

fn sms(given: &Given<'_>) -> Result<String, FieldError> {
    let (number, message) = match given.text() {
        None => {
            let number = given.required("phone")?;
            (
                phone(&given.name("phone"), &number)?,
                given.optional("message")?,
            )
        }
        Some(text) => {
            let text = strip_scheme(strip_scheme(text, "smsto:"), "sms:");
            let (first, rest) = text.split_once(':').unwrap_or((text, ""));
            match phone("", first) {
                Ok(number) => (number, rest.to_owned()),
                // No number: a message, for which the sender chooses who gets it.
                Err(_) => (String::new(), text.to_owned()),
            }
        }
    };
    Ok(format!("SMSTO:{}:{message}", number.replace("%23", "#")))
}

fn wifi(given: &Given<'_>) -> Result<String, FieldError> {
    if let Some(text) = given.text()
        && text
            .get(..5)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("wifi:"))
    {
        return Ok(text.to_owned());
    }
    let ssid = given.text_or("ssid")?;
    if ssid.len() > MAX_SSID {
        return Err(FieldError::new(
            given.name("ssid"),
            format!("must be at most {MAX_SSID} bytes long"),
        ));
    }
    let password = given.optional("password")?;
    let encryption = given.optional("encryption")?;
    let encryption = match encryption.to_ascii_lowercase().as_str() {
        "" if password.is_empty() => "nopass",
        "" | "wpa" | "wpa2" | "wpa3" | "wpa/wpa2" | "wpa2/wpa3" => "WPA",
        "wep" => "WEP",
        "nopass" | "none" | "open" => "nopass",
        _ => {
            return Err(FieldError::new(
                given.name("encryption"),
                "must be WPA, WEP or nopass",
            ));
        }
    };
    let is_open = encryption == "nopass";
    if is_open != password.is_empty() {
        let problem = if is_open {
            "must be empty when encryption is nopass"
        } else {
            "is required, or encryption must be nopass"
        };
        return Err(FieldError::new(given.name("password"), problem));
    }
    if password.chars().count() > MAX_WIFI_PASSWORD {
        return Err(FieldError::new(
            given.name("password"),
            format!("must be at most {MAX_WIFI_PASSWORD} characters long"),
        ));
    }
    for (name, text) in [("ssid", &ssid), ("password", &password)] {
        if text.chars().any(char::is_control) {
            return Err(FieldError::new(
                given.name(name),
                "must not hold control characters",
            ));
        }
    }
    let mut text = format!("WIFI:T:{encryption};S:{};", escaped(&ssid));
    if !is_open {
        text.push_str(&format!("P:{};", escaped(&password)));
    }
    if given.yes_no("hidden")? {
        text.push_str("H:true;");
    }
    text.push(';');
    Ok(text)
}

/// With a backslash before each character that has a meaning in a `WIFI:` text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | ';' | ',' | ':' | '"') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> &'a str {
    match text.split_at_checked(scheme.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(scheme) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, data: Value, expected: &str) {
        match read(kind, "data", &data) {
            Ok(Content::Fixed(text)) => assert_eq!(text, expected),
            Ok(Content::Tracked(url)) => assert_eq!(url.as_str(), expected),
            Ok(other @ Content::Marked(_)) => panic!("{other:?}"),
            Err(error) => assert_eq!(error.to_string(), expected, "{data}"),
        }
    }

    #[test]
    fn texts_and_urls_are_themselves() {
        check(Kind::Text, json!("Grüße\n漢字"), "Grüße\n漢字");
        check(Kind::Text, json!(42), "42");
        check(Kind::Text, json!({"a": 1}), "data must be a text");
        check(Kind::Text, json!(["a"]), "data must be a text or an object");
        check(Kind::Text, json!(" "), "data must not be empty");
        check(
            Kind::Text,
            json!("a\u{0}"),
            "data must not hold control characters",
        );
        check(
            Kind::Text,
            json!("x".repeat(2954)),
            "data must be at most 2953 characters long",
        );
        check(
            Kind::Link,
            json!("https://google.com"),
            "https://google.com/",
        );
        check(
            Kind::Link,
            json!("javascript:alert(1)"),
            "data must begin with http:// or https://",
        );
        check(Kind::Link, json!(null), "data is required");
        check(
            Kind::Static,
            json!("https://e.test/ä"),
            "https://e.test/%C3%A4",
        );
        check(Kind::Dynamic, json!({"url": "x"}), "data must be a URL");
    }

    #[test]
    fn mails_are_escaped() {
        check(Kind::Email, json!("me@e.test"), "mailto:me@e.test");
        check(
            Kind::Email,
            json!("MAILTO:me+tag@e.test"),
            "mailto:me+tag@e.test",
        );
        check(
            Kind::Email,
            json!({"email": "me@e.test", "subject": "a&b=c? ä", "body": "1\n2\r\n3"}),
            "mailto:me@e.test?subject=a%26b%3Dc%3F%20%C3%A4&body=1%0D%0A2%0D%0A3",
        );
        check(
            Kind::Email,
            json!({"email": "ünï@e.test", "body": "x"}),
            "mailto:%C3%BCn%C3%AF@e.test?body=x",
        );
        for bad in [
            "me",
            "@e.test",
            "me@",
            "a@b@c",
            "a b@e.test",
            "me@e.test?cc=x@y.test",
            "a,b@e.test",
            "me@.test",
        ] {
            check(
                Kind::Email,
                json!(bad),
                "data must be an e-mail address, e.g. name@example.com",
            );
            check(
                Kind::Email,
                json!({"email": bad}),
                "data.email must be an e-mail address, e.g. name@example.com",
            );
        }
        check(
            Kind::Email,
            json!({"subject": "x"}),
            "data.email is required",
        );
    }

    #[test]
    fn numbers_lose_their_separators() {
        check(Kind::Phone, json!("+49 (30) 123-456.7"), "tel:+49301234567");
        check(Kind::Phone, json!(301234), "tel:301234");
        check(Kind::Phone, json!("tel:*100#"), "tel:*100%23");
        check(Kind::Phone, json!({"phone": "112"}), "tel:112");
        for bad in ["call me", "+", "++1", "1+1", "1;ext=2", &"1".repeat(25)] {
            check(
                Kind::Phone,
                json!(bad),
                "data must be a telephone number, e.g. +49 30 123456",
            );
        }
    }

    #[test]
    fn short_messages_take_every_form() {
        check(Kind::Sms, json!("+49 30 1"), "SMSTO:+49301:");
        check(
            Kind::Sms,
            json!("+49301:Hello: you"),
            "SMSTO:+49301:Hello: you",
        );
        check(Kind::Sms, json!("smsto:+49301:x"), "SMSTO:+49301:x");
        check(Kind::Sms, json!("Hello"), "SMSTO::Hello");
        check(
            Kind::Sms,
            json!({"phone": "*1#", "message": "a;b"}),
            "SMSTO:*1#:a;b",
        );
        check(Kind::Sms, json!({"message": "a"}), "data.phone is required");
        check(
            Kind::Sms,
            json!({"phone": "x"}),
            "data.phone must be a telephone number, e.g. +49 30 123456",
        );
    }

    #[test]
    fn networks_are_escaped() {
        check(
            Kind::Wifi,
            json!({"ssid": "net", "password": "secret", "encryption": "WPA"}),
            "WIFI:T:WPA;S:net;P:secret;;",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "a;b,c:d\"e\\f", "password": ";T:nopass;", "encryption": "wep", "hidden": "1"}),
            "WIFI:T:WEP;S:a\\;b\\,c\\:d\\\"e\\\\f;P:\\;T\\:nopass\\;;H:true;;",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "open"}),
            "WIFI:T:nopass;S:open;;",
        );
        check(Kind::Wifi, json!("open"), "WIFI:T:nopass;S:open;;");
        check(
            Kind::Wifi,
            json!("WIFI:T:WPA;S:a;P:b;;"),
            "WIFI:T:WPA;S:a;P:b;;",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "n", "password": "p"}),
            "WIFI:T:WPA;S:n;P:p;;",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "n", "encryption": "WPA"}),
            "data.password is required, or encryption must be nopass",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "n", "encryption": "nopass", "password": "p"}),
            "data.password must be empty when encryption is nopass",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "n", "encryption": "AES", "password": "p"}),
            "data.encryption must be WPA, WEP or nopass",
        );
        check(
            Kind::Wifi,
            json!({"password": "p"}),
            "data.ssid is required",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "ä".repeat(17)}),
            "data.ssid must be at most 32 bytes long",
        );
        check(
            Kind::Wifi,
            json!({"ssid": "a\nb"}),
            "data.ssid must not hold control characters",
        );
        check(Kind::Wifi, json!({"ssid": ["a"]}), "data.ssid must be text");
        check(
            Kind::Wifi,
            json!({"ssid": "n", "hidden": "maybe"}),
            "data.hidden must be true or false",
        );
    }
}
