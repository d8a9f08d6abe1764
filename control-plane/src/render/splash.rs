//! The splash page: a text, perhaps an image and a button, and the way on. The countdown can be stopped, and the way on
//! is open from the first moment.

use maud::html;
use url::Url;

use super::PAGE_CSS;
use super::document::{Document, HOST, Hole, URL};
use crate::domain::splash::{self, Splash};

/// Text of a button that has a link and no text.
const BUTTON: &str = "Learn more";

/// The page; `None`: the usual one.
pub(super) fn page(splash: Option<&Splash>) -> Document {
    let usual = Splash::default();
    let custom = splash.unwrap_or(&usual);
    let heading = if custom.title.is_empty() {
        &custom.name
    } else {
        &custom.title
    };
    let mut document = Document::new(html! {
        @if splash.is_some() { (custom.name) } @else { "You are leaving for " (Hole(HOST)) }
    });
    document.style.push_str(PAGE_CSS);
    document.is_closed_to_frames = true;
    document.image_source = source(&custom.image);
    if custom.counter > 0 {
        document.refresh = Some(custom.counter);
        document
            .script_at_end
            .push_str(include_str!("countdown.js"));
    }
    let button = match (custom.button.as_str(), custom.link.as_str()) {
        ("", "") => None,
        ("", _) => Some(BUTTON),
        (text, _) => Some(text),
    };
    document.body = html! {
        main {
            @if !custom.image.is_empty() { img src=(custom.image) alt="" referrerpolicy="no-referrer"; }
            h1 {
                @if splash.is_some() { (heading) } @else { "You are leaving for " (Hole(HOST)) }
            }
            @if !custom.message.is_empty() { p.lines { (custom.message) } }
            @if let Some(text) = button {
                p {
                    @if custom.link.is_empty() {
                        a.button href=(Hole(URL)) { (text) }
                    } @else {
                        a.button href=(custom.link) { (text) }
                    }
                }
            }
            p { a #go href=(Hole(URL)) { "Continue to " (Hole(HOST)) } }
            @if custom.counter > 0 {
                div #wait data-seconds=(custom.counter) hidden {
                    p {
                        "You will be taken there in " span #left role="timer" { (custom.counter) } " seconds."
                    }
                    button #stop type="button" { "Stay on this page" }
                }
                noscript { p { "You will be taken there in " (custom.counter) " seconds." } }
            }
        }
    };
    document
}

/// Scheme, host and port of a URL, for a policy.
fn source(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    // A comma or semicolon in a host would end the directive; hosts of the URL standard have neither.
    Some(url.origin().ascii_serialization()).filter(|s| !s.contains([',', ';', ' ']))
}

const _: () = assert!(splash::COUNTER <= splash::MAX_COUNTER);
