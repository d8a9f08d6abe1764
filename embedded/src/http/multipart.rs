//! `multipart/form-data`, which the official Rust client uses for a query with parameters: fields `query` and `param_*`.
//!
//! The form is in memory (its size is bounded before); files, transfer encodings and nested forms are not supported,
//! and what is not exactly a form is an error.

use crate::error::{Exception, Kind};

/// Most fields of a form.
const MAX_FIELDS: usize = 1000;
/// Longest boundary (RFC 2046).
const MAX_BOUNDARY: usize = 70;

/// The boundary, if this is the content type of a form.
pub(super) fn boundary(content_type: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content_type).ok()?;
    let mut parts = text.split(';');
    if !parts
        .next()?
        .trim()
        .eq_ignore_ascii_case("multipart/form-data")
    {
        return None;
    }
    let value = parts.find_map(|p| {
        let (name, value) = p.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    })?;
    (!value.is_empty() && value.len() <= MAX_BOUNDARY).then(|| value.to_owned())
}

/// Names and values of the fields, in order.
pub(super) fn fields(form: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Exception> {
    let broken = |what: &str| {
        Exception::new(
            Kind::BadArguments,
            format_args!("broken multipart form: {what}"),
        )
    };
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut rest = form
        .strip_prefix(first.as_bytes())
        .ok_or_else(|| broken("it does not begin with its boundary"))?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        if fields.len() == MAX_FIELDS {
            return Err(broken("too many fields"));
        }
        rest = rest
            .strip_prefix(b"\r\n")
            .ok_or_else(|| broken("no line break behind a boundary"))?;
        let end = find(rest, between.as_bytes()).ok_or_else(|| broken("a field is not closed"))?;
        let (part, tail) = rest.split_at(end);
        rest = tail.get(between.len()..).unwrap_or_default();
        let head = find(part, b"\r\n\r\n").ok_or_else(|| broken("a field has no head"))?;
        let (head, value) = (
            part.get(..head).unwrap_or_default(),
            part.get(head + 4..).unwrap_or_default(),
        );
        let name = name(head).ok_or_else(|| broken("a field has no name"))?;
        let value =
            String::from_utf8(value.to_vec()).map_err(|_| broken("a value is not UTF-8"))?;
        fields.push((name, value));
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|w| w == what)
}

/// The name in `Content-Disposition: form-data; name="…"`.
fn name(head: &[u8]) -> Option<String> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").find_map(|line| {
        let (key, value) = line.split_once(':')?;
        if !key.trim().eq_ignore_ascii_case("content-disposition") {
            return None;
        }
        value.split(';').find_map(|p| {
            let (k, v) = p.split_once('=')?;
            (k.trim() == "name").then(|| v.trim().trim_matches('"').to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_client_writes() {
        let b =
            boundary(b"multipart/form-data; boundary=clickhouse-rs-boundary-x").expect("boundary");
        let form = "--clickhouse-rs-boundary-x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {a:Int8}\r\n\
                    --clickhouse-rs-boundary-x\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n\r\n\
                    --clickhouse-rs-boundary-x--\r\n";
        let got = fields(form.as_bytes(), &b).expect("fields");
        assert_eq!(
            got,
            [
                ("query".to_owned(), "SELECT {a:Int8}".to_owned()),
                ("param_a".to_owned(), String::new())
            ]
        );
    }

    #[test]
    fn broken_forms_are_errors() {
        for form in [
            "",
            "x",
            "--b",
            "--b\r\n",
            "--b\r\nno head\r\n--b--",
            "--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n--b--",
            "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nv",
        ] {
            assert!(fields(form.as_bytes(), "b").is_err(), "{form:?}");
        }
        assert_eq!(boundary(b"multipart/form-data"), None);
        assert_eq!(boundary(b"text/plain; boundary=x"), None);
    }
}
