//! A page being put together, and the policy that fits what is in it.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use schemas::feed::hole;
use schemas::link::plan::MAX_CSP_BYTES;
use sha2::{Digest as _, Sha256};

use crate::domain::page::Rendered;

/// Letter of the hole for the destination.
pub(crate) const URL: u8 = hole::ATTRIBUTE;
/// Letter of the hole for the destination's host.
pub(crate) const HOST: u8 = hole::HOST;

/// A hole, in a text or a quoted attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hole(pub(crate) u8);

impl Render for Hole {
    fn render_to(&self, buffer: &mut String) {
        buffer.push(char::from(hole::MARK));
        buffer.push(char::from(self.0));
    }
}

/// A page in parts.
#[derive(Debug)]
pub(crate) struct Document {
    /// HTTP status.
    pub(crate) status: u16,
    /// Seconds after which a visitor without JavaScript goes on to the destination.
    pub(crate) refresh: Option<u32>,
    /// One style sheet; no attribute `style` anywhere, the policy refuses it.
    pub(crate) style: String,
    /// Language of its texts.
    pub(crate) language: String,
    /// More for `head`.
    pub(crate) head: Markup,
    /// Inside of `body`.
    pub(crate) body: Markup,
    /// Scripts in the order they run, each a statement; no attribute `on…` anywhere.
    pub(crate) script: String,
    /// As [`Self::script`], after it.
    pub(crate) script_at_end: String,
    /// Pictures that are asked for without JavaScript, and not shown: their URLs, without anything that ends a text of CSS.
    pub(crate) pictures: Vec<String>,
    /// Frames that are opened without JavaScript, and not seen: title and URL.
    pub(crate) frames: Vec<(&'static str, String)>,
    /// Sources (`https://host`, perhaps with `*.`) that scripts, images, frames and calls may come from and go to.
    pub(crate) sources: BTreeSet<&'static str>,
    /// Source of an image of the owner's.
    pub(crate) image_source: Option<String>,
    /// It frames the destination, whatever that is.
    pub(crate) has_frame: bool,
    /// It has a form, which is sent to the page's own URL.
    pub(crate) has_form: bool,
    /// Other pages may not frame it: what is clicked here must not be clicked unseen.
    pub(crate) is_closed_to_frames: bool,
    title: Markup,
}

impl Document {
    /// An empty page.
    pub(crate) fn new(title: Markup) -> Self {
        Self {
            status: 200,
            refresh: None,
            style: String::new(),
            language: "en".to_owned(),
            head: html! {},
            body: html! {},
            script: String::new(),
            script_at_end: String::new(),
            pictures: Vec::new(),
            frames: Vec::new(),
            sources: BTreeSet::new(),
            image_source: None,
            has_frame: false,
            has_form: false,
            is_closed_to_frames: false,
            title,
        }
    }

    /// The finished page.
    pub(crate) fn finish(self) -> Rendered {
        let script = format!("{}{}", self.script, self.script_at_end);
        let without_script = self.style_without_script();
        let csp = self.policy(&script, &without_script);
        debug_assert!(csp.len() <= MAX_CSP_BYTES, "{csp}");
        let page = html! {
            (DOCTYPE)
            html lang=(self.language) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    meta name="robots" content="noindex";
                    title { (self.title) }
                    (self.head)
                    @if let Some(seconds) = self.seconds_without_script() {
                        noscript { meta http-equiv="refresh" content={ (seconds) ";url=" (Hole(URL)) }; }
                    }
                    style { (PreEscaped(&self.style)) }
                    @if !without_script.is_empty() {
                        noscript { style { (PreEscaped(&without_script)) } }
                    }
                }
                body {
                    (self.body)
                    @if !script.is_empty() { script { (PreEscaped(&script)) } }
                    @if !self.frames.is_empty() {
                        noscript { @for (title, url) in &self.frames { (late_frame(title, url)) } }
                    }
                }
            }
        };
        Rendered {
            status: self.status,
            content_type: "text/html; charset=utf-8",
            csp,
            body: page.into_string().into_bytes(),
        }
    }

    /// When a visitor without JavaScript goes on: not before what is asked for meanwhile has had its second.
    fn seconds_without_script(&self) -> Option<u32> {
        let asks = !self.pictures.is_empty() || !self.frames.is_empty();
        let seconds = self.refresh?;
        Some(seconds.max(u32::from(asks)))
    }

    /// Style that asks for the pictures. As the images that vendors give they would have to be there, or to fail, before
    /// the browser counts the seconds until it goes on, so that one silent vendor held visitors up for as long as a browser
    /// waits; what an animation begins to show a moment later holds nothing up.
    fn style_without_script(&self) -> String {
        if self.pictures.is_empty() {
            return String::new();
        }
        let urls = self.pictures.iter().map(|url| format!("url(\"{url}\")"));
        let urls = urls.collect::<Vec<_>>().join(",");
        format!(
            "@keyframes pictures{{from,to{{background-image:{urls}}}}}\
             body::after{{content:\"\";position:absolute;width:1px;height:1px;animation:pictures 60s .1s}}"
        )
    }

    /// The policy. Vendors' sources stand once, in `default-src`: their code loads more code, images and frames from the
    /// same places, and a list for each would be longer than a header should be.
    fn policy(&self, script: &str, without_script: &str) -> String {
        let mut default: Vec<&str> = self.sources.iter().copied().collect();
        let script_hash = hash(script);
        if !script.is_empty() {
            default.push(&script_hash);
        }
        if default.is_empty() {
            default.push("'none'");
        }
        let mut policy = format!("default-src {}", default.join(" "));
        policy.push_str("; style-src ");
        policy.push_str(&hash(&self.style));
        if !without_script.is_empty() {
            policy.push(' ');
            policy.push_str(&hash(without_script));
        }
        if let Some(source) = &self.image_source {
            let sources: Vec<&str> = self.sources.iter().copied().collect();
            policy.push_str(&format!("; img-src {source} {}", sources.join(" ")));
        }
        if self.has_frame {
            policy.push_str("; frame-src https: http:");
        }
        policy.push_str("; object-src 'none'; base-uri 'none'; form-action ");
        policy.push_str(if self.has_form { "'self'" } else { "'none'" });
        if self.is_closed_to_frames {
            policy.push_str("; frame-ancestors 'none'");
        }
        policy
    }
}

/// A frame that the page does not wait for, as it would for one with a URL: what it holds leads it there by itself.
fn late_frame(title: &str, url: &str) -> Markup {
    let content = format!("0;url={url}");
    let inside = html! { meta http-equiv="refresh" content=(content); };
    html! { iframe.pixel title=(title) srcdoc=(inside.into_string()) {} }
}

/// The name of an inline script or style in a policy.
fn hash(text: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// A text as a literal of JavaScript that may stand in `<script>`: JSON, in which `<` and the two line separators that
/// old engines take for line ends are escaped.
pub(crate) fn js_string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_does_not_end_its_script_or_its_string() {
        assert_eq!(js_string("GTM-1"), "\"GTM-1\"");
        assert_eq!(
            js_string("</script>\"\\\n\u{2028}<!--"),
            "\"\\u003c/script>\\\"\\\\\\n\\u2028\\u003c!--\""
        );
    }
}
