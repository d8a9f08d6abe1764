//! Pictures, film and sound.

use maud::{Markup, PreEscaped, html};

use super::cards::title;
use super::ink::{Card, Ink, heading, host, icon, named};
use crate::domain::bio::blocks::links::Qr;
use crate::domain::bio::blocks::media::{Audio, Carousel, Gallery, GalleryImage, Image, Video};
use crate::domain::bio::value::{Line, Picture, Web};
use crate::domain::qr::style::{Format, Style};
use crate::qr_image;

pub(super) fn image(ink: &mut Ink<'_>, image: &Image) -> Markup {
    let parts = (&image.url, image.alt.as_ref(), image.title.as_ref());
    html! { figure .image { (framed(ink, parts, ("link", image.link.as_ref()))) } }
}

pub(super) fn gallery(ink: &mut Ink<'_>, gallery: &Gallery) -> Markup {
    html! {
        (heading(gallery.title.as_ref()))
        ul .gallery {
            @for (place, image) in gallery.images.iter().enumerate() {
                li { figure { (one(ink, place, image)) } }
            }
        }
    }
}

pub(super) fn carousel(ink: &mut Ink<'_>, carousel: &Carousel) -> Markup {
    let name = title(carousel.title.as_ref(), "Pictures");
    html! {
        (heading(carousel.title.as_ref()))
        // Can be scrolled with the arrow keys.
        div .carousel role="region" aria-label=(name) tabindex="0" {
            @for (place, image) in carousel.images.iter().enumerate() {
                figure { (one(ink, place, image)) }
            }
        }
    }
}

fn one(ink: &mut Ink<'_>, place: usize, image: &GalleryImage) -> Markup {
    let parts = (&image.url, image.alt.as_ref(), image.title.as_ref());
    let part = format!("images[{place}]");
    framed(ink, parts, (&part, image.link.as_ref()))
}

/// A picture with its words, perhaps a way out.
fn framed(
    ink: &mut Ink<'_>,
    (url, alt, title): (&Picture, Option<&Line>, Option<&Line>),
    (part, link): (&str, Option<&Web>),
) -> Markup {
    // A link needs a name.
    let fallback = match (link, title) {
        (Some(link), None) => host(link),
        _ => String::new(),
    };
    let name = alt.map_or(fallback.as_str(), Line::as_str);
    let picture = ink.picture(Some(url), name).unwrap_or_default();
    html! {
        @match link {
            Some(link) => a href=(ink.url(part, link)) rel="nofollow noopener" {
                (picture)
                @if let Some(title) = title { span .caption dir="auto" { (title.as_str()) } }
            },
            None => {
                (picture)
                @if let Some(title) = title { figcaption .caption dir="auto" { (title.as_str()) } }
            }
        }
    }
}

pub(super) fn video(ink: &mut Ink<'_>, video: &Video) -> Markup {
    let title = title(video.title.as_ref(), "Watch the video");
    let Some(still) = ink.picture(video.image.as_ref(), "") else {
        return Card::new(
            ink.url("url", &video.url),
            icon(video.icon.as_ref(), "play"),
            &title,
        )
        .description(video.description.as_ref())
        .draw();
    };
    html! {
        a .feature .film href=(ink.url("url", &video.url)) rel="nofollow noopener" {
            span .still { (still) span .play { (named("play")) } }
            span .words {
                @if video.icon.is_some() { span .icon { (icon(video.icon.as_ref(), "play")) } }
                span .title dir="auto" { (title) }
                @if let Some(text) = &video.description { span .more dir="auto" { (text.as_str()) } }
            }
        }
    }
}

pub(super) fn audio(ink: &mut Ink<'_>, audio: &Audio) -> Markup {
    let title = title(audio.title.as_ref(), "Listen");
    let cover = ink.picture(audio.image.as_ref(), "");
    Card::new(
        ink.url("url", &audio.url),
        icon(audio.icon.as_ref(), "headphones"),
        &title,
    )
    .description(audio.description.as_ref())
    .own(audio.icon.as_ref())
    .image(cover)
    .draw()
}

pub(super) fn qr(qr: &Qr) -> Markup {
    let style = Style {
        size: 240,
        format: Format::Svg,
        ..Style::default()
    };
    // 500 characters, the most there can be, fit.
    let drawn = qr_image::render("data", qr.data.as_str(), &style, None).unwrap_or_default();
    // Numbers and colours of ours, see `qr_image`.
    let drawn = String::from_utf8(drawn).unwrap_or_default();
    let name = format!("QR code: {}", title(qr.title.as_ref(), qr.data.as_str()));
    html! {
        figure .code {
            div role="img" aria-label=(name) { (PreEscaped(drawn)) }
            @if let Some(title) = &qr.title { figcaption .caption dir="auto" { (title.as_str()) } }
        }
    }
}
