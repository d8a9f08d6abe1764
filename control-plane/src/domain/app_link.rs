//! What opens in an app: a store page or universal link (http, https), or an address of the app's own scheme, which an
//! owner asks for explicitly. Schemes that a browser runs or reads files with are refused.

use schemas::link::MAX_DESTINATION_BYTES;

use super::destination::Destination;
use super::field::FieldError;
use super::rule::shown;

/// Schemes that are no app's: they run script, show text as a page, or read what is on the device.
const REFUSED: [&str; 14] = [
    "javascript",
    "vbscript",
    "data",
    "file",
    "blob",
    "filesystem",
    "about",
    "view-source",
    "ftp",
    "jar",
    "content",
    "chrome",
    "resource",
    "ws",
];

/// Checks the address in `field` and brings it into one form.
///
/// # Errors
/// A rule it breaks.
pub fn parse(field: &str, text: &str) -> Result<String, FieldError> {
    let text = text.trim_matches(' ');
    let scheme = text
        .split(':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if matches!(scheme.as_str(), "http" | "https") {
        return Ok(Destination::parse(field, text)?.as_str().to_owned());
    }
    let legal = text.contains(':')
        && scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
        && text.len() <= MAX_DESTINATION_BYTES
        && text
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && !b"\"<>\\^`{|}".contains(&b))
        && !REFUSED.contains(&scheme.as_str());
    if legal {
        return Ok(text.to_owned());
    }
    Err(FieldError::new(
        field,
        format!(
            "'{}' must be an http or https URL or the address of an app, e.g. myapp://page, percent-encoded",
            shown(text)
        ),
    ))
}

/// The Android address that opens an http(s) URL in the app that handles it, and else goes on to `fallback`.
/// (`intent:` URIs: developer.chrome.com/docs/android/intents.) `None`: the URL is not http(s).
pub fn intent(url: &str, fallback: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    // A fragment would end the address before its `#Intent`.
    let rest = rest.split('#').next().unwrap_or_default();
    let fallback: String = url::form_urlencoded::byte_serialize(fallback.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let intent = format!(
        "intent://{rest}#Intent;scheme={scheme};action=android.intent.action.VIEW;S.browser_fallback_url={fallback};end"
    );
    (intent.len() <= MAX_DESTINATION_BYTES).then_some(intent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_opened_and_scripts_are_not() {
        for good in [
            "myapp://page?id=1",
            "https://apps.apple.com/app/id1",
            "intent://a#Intent;scheme=https;end",
            "fb:1",
            "whatsapp://send?text=a%20b",
        ] {
            assert!(parse("deeplink.apple", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "x",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,a",
            "file:///etc/passwd",
            "my app://x",
            "myapp://\u{e9}",
            "myapp://a\r\nb",
            "myapp://\"",
            "1app://x",
            "view-source:https://a",
            "https://u:p@h/",
        ] {
            let error = parse("deeplink.apple", bad).expect_err(bad);
            assert_eq!(error.field, "deeplink.apple");
        }
    }

    #[test]
    fn an_intent_falls_back_to_where_it_is_told() {
        assert_eq!(
            intent("https://e.test/a?b=c#d", "https://e.test/a?b=c#d").as_deref(),
            Some(
                "intent://e.test/a?b=c#Intent;scheme=https;action=android.intent.action.VIEW;S.browser_fallback_url=https%3A%2F%2Fe.test%2Fa%3Fb%3Dc%23d;end"
            )
        );
        assert_eq!(intent("myapp://a", "https://e.test/"), None);
    }
}
