//! The few pages that people see: no scripts, nothing loaded from anywhere, never in a frame, labels on every field.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}\
label{display:block;margin:1rem 0 .25rem}input,select{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;border:1px solid #6b6b6b;border-radius:.25rem}\
button{font:inherit;margin:1.5rem .5rem 0 0;padding:.5rem 1.25rem;border:1px solid #0b4f9c;border-radius:.25rem;background:#0b4f9c;color:#fff}\
button.plain{background:#fff;color:#0b4f9c}.error{border-left:.25rem solid #b00020;padding-left:.75rem}code{overflow-wrap:anywhere}\
:focus-visible{outline:3px solid #e69f00;outline-offset:2px}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#151515}input,select{color:#eee;background:#222}button.plain{background:#151515;color:#9cc7ff}}";

/// Hash of the one style sheet, for the policy.
static STYLE_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE.as_bytes())));

/// A page. `form_target`: an origin that a form's answer may redirect to, besides this one.
pub(super) fn page(
    status: StatusCode,
    title: &str,
    content: &Markup,
    form_target: Option<&str>,
) -> Response {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (content) } }
        }
    };
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action 'self' {}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH,
        form_target.map(form_source).unwrap_or_default()
    );
    let mut response = (status, Html(html.into_string())).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // What is asked for stands in the query; a form of the same origin may say where it comes from.
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Origins that are registered are legal URIs; if one were not, the page is shown to nobody's frame all the same.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'",
    ));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// An origin as a policy can name it. Its grammar has no IPv6 addresses: of those the scheme and any host.
fn form_source(origin: &str) -> String {
    match origin.split_once("//[") {
        Some((scheme, _)) => scheme.to_owned(),
        None => origin.to_owned(),
    }
}

/// A paragraph that says what went wrong, read out at once; nothing of an empty text.
pub(super) fn alert(text: &str) -> Markup {
    html! { @if !text.is_empty() { p.error role="alert" { (text) } } }
}

/// A token in the path of a form's action.
pub(super) fn in_path(before: &str, token: &str) -> String {
    let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
    format!("{before}{token}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_what_its_grammar_can() {
        assert_eq!(form_source("http://[::1]:8080"), "http:");
        assert_eq!(form_source("https://a.test:8443"), "https://a.test:8443");
        assert_eq!(
            form_source("http://127.0.0.1:8080"),
            "http://127.0.0.1:8080"
        );
        assert_eq!(form_source("com.a:"), "com.a:");
    }

    #[test]
    fn texts_cannot_leave_their_place() {
        let hostile = "<img src='x' onerror=\"a&b\">";
        assert_eq!(
            alert(hostile).into_string(),
            "<p class=\"error\" role=\"alert\">&lt;img src='x' onerror=&quot;a&amp;b&quot;&gt;</p>"
        );
        assert_eq!(alert("").into_string(), "");
        assert_eq!(in_path("/login/", "../\"x"), "/login/%2E%2E%2F%22x");
    }
}
