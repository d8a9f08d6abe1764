//! Pages that visitors meet, as finished bytes with holes (see [`Rendered`]): splash pages, frames, overlays, pixels,
//! texts of expired links, answers to forms.
//!
//! Markup is written with `maud`, whose macros escape every value they are given; raw text comes only from files of ours
//! and from the escapers of [`document`]. So a text of an owner cannot become markup or script by being forgotten. Each
//! page carries a Content-Security-Policy that names its scripts and styles by hash and, of other hosts, only those of
//! its pixels' vendors, of a splash page's image, and what it frames.
//!
//! Every page works without JavaScript and with the keyboard alone, and loads nothing but what its owner configured.
//! Deliberately absent: reading anything from the database, and the visitor, who is known only at the proxy.

use maud::html;

use self::document::{Document, HOST, Hole, URL};
pub(crate) use self::framed::form;
use crate::domain::overlay::Overlay;
use crate::domain::page::Rendered;
use crate::domain::pixel::{Pixel, Vendor};
use crate::domain::splash::Splash;

pub mod bio;
pub(crate) mod document;
mod framed;
mod list;
mod pixel;
mod splash;

pub use self::list::{Listed, list};

/// What lies over or before the destination, with everything it shows.
#[derive(Debug, Clone, Copy)]
pub enum Surface<'a> {
    /// Nothing.
    Direct,
    /// The destination in a frame.
    Frame,
    /// A page before it; `None`: the usual one.
    Splash(Option<&'a Splash>),
    /// Over the framed destination; with its id, which the form carries.
    Overlay(i64, &'a Overlay),
}

/// The page of a link with this surface and these pixels; `None` with neither: a redirect.
pub fn link(surface: Surface<'_>, pixels: &[Pixel]) -> Option<Rendered> {
    let mut document = match surface {
        Surface::Direct if pixels.is_empty() => return None,
        Surface::Direct => go_on(),
        Surface::Frame => framed::frame(),
        Surface::Splash(splash) => splash::page(splash),
        Surface::Overlay(id, overlay) => framed::overlay(id, overlay),
    };
    for (vendor, name) in Vendor::ALL {
        let mut tags: Vec<&str> = pixels
            .iter()
            .filter(|pixel| pixel.vendor == vendor)
            .map(|pixel| pixel.tag.as_str())
            .collect();
        tags.sort_unstable();
        tags.dedup();
        if !tags.is_empty() {
            pixel::add(&mut document, vendor, name, &tags);
        }
    }
    Some(document.finish())
}

/// A text for visitors of an expired link, status 410.
pub fn expired(title: &str, text: &str) -> Rendered {
    let title = if title.is_empty() {
        "This link has expired"
    } else {
        title
    };
    notice(410, title, text)
}

/// A heading and lines of text.
pub fn notice(status: u16, title: &str, text: &str) -> Rendered {
    let mut document = Document::new(html! { (title) });
    document.status = status;
    document.is_closed_to_frames = true;
    document.style.push_str(PAGE_CSS);
    document.body = html! {
        main {
            h1 { (title) }
            @if !text.is_empty() { p.lines { (text) } }
        }
    };
    document.finish()
}

/// Style of pages that are a card on a ground.
const PAGE_CSS: &str = include_str!("render/page.css");

/// Runs pixels and goes on. Where scripts run, as soon as the vendors' code is there, one second later at the latest;
/// else after that second, where a vendor has anything for such browsers.
fn go_on() -> Document {
    let mut document = Document::new(html! { (Hole(HOST)) });
    document.style.push_str(PAGE_CSS);
    document
        .script_at_end
        .push_str(include_str!("render/go_on.js"));
    document.refresh = Some(0);
    document.body = html! {
        main {
            h1 { "Going on to " (Hole(HOST)) }
            p { a #go .button href=(Hole(URL)) { "Continue" } }
        }
    };
    document
}

#[cfg(test)]
mod tests;
