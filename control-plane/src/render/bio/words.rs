//! What is read: texts, opinions, times.

use maud::{Markup, html};

use super::cards::title;
use super::file;
use super::ink::{Ink, heading as block_heading, named};
use super::ledger::Target;
use crate::domain::bio::blocks::texts::{
    Divider, Faq, Heading, List, Paragraphs, Quote, Rating, Spacer, Testimonial,
};
use crate::domain::bio::blocks::times::{Countdown, Event, OpeningHours};
use crate::domain::bio::value::{Line, Moment, Room, Stroke};
use crate::domain::date;

pub(super) fn heading(heading: &Heading) -> Markup {
    block_heading(Some(&heading.title))
}

pub(super) fn text(text: &Paragraphs) -> Markup {
    html! {
        (block_heading(text.title.as_ref()))
        p .text .lines dir="auto" { (text.text.as_str()) }
    }
}

pub(super) fn list(list: &List) -> Markup {
    let items = html! { @for item in &list.items { li dir="auto" { (item.as_str()) } } };
    html! {
        (block_heading(list.title.as_ref()))
        @if list.ordered { ol .panel .list { (items) } } @else { ul .panel .list { (items) } }
    }
}

pub(super) fn quote(ink: &mut Ink<'_>, quote: &Quote) -> Markup {
    html! {
        figure .panel .quote {
            blockquote .lines dir="auto" { (quote.text.as_str()) }
            @if quote.author.is_some() || quote.url.is_some() {
                figcaption {
                    @let author = title(quote.author.as_ref(), "Source");
                    "— "
                    @match &quote.url {
                        Some(url) => a href=(ink.url("url", url)) rel="nofollow noopener" { (author) },
                        None => (author),
                    }
                }
            }
        }
    }
}

pub(super) fn testimonial(ink: &mut Ink<'_>, testimonial: &Testimonial) -> Markup {
    let picture = ink.picture(testimonial.image.as_ref(), "");
    html! {
        figure .panel .testimonial {
            @if let Some(rating) = testimonial.rating { (stars(rating.get())) }
            blockquote .lines dir="auto" { (testimonial.text.as_str()) }
            figcaption {
                @if let Some(picture) = picture { (picture) }
                span {
                    span .title dir="auto" { (testimonial.author.as_str()) }
                    @if let Some(role) = &testimonial.role { span .more dir="auto" { (role.as_str()) } }
                }
            }
        }
    }
}

pub(super) fn rating(ink: &mut Ink<'_>, rating: &Rating) -> Markup {
    let number = rating.rating.get();
    html! {
        div .panel .rating {
            @if let Some(title) = &rating.title { p .title dir="auto" { (title.as_str()) } }
            (stars(number))
            p .more {
                (number) " of 5"
                // Whole numbers, see the type.
                @if let Some(count) = rating.count { " · " (count.get().round()) " ratings" }
            }
            @if let Some(url) = &rating.url {
                a .button href=(ink.url("url", url)) rel="nofollow noopener" { "Read more" }
            }
        }
    }
}

/// Five stars, to halves.
fn stars(rating: f64) -> Markup {
    let name = format!("{rating} of 5 stars");
    let halves = (rating * 2.0).round();
    html! {
        span .stars role="img" aria-label=(name) {
            @for star in 0..5 {
                @let filled = halves - f64::from(star) * 2.0;
                svg viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
                    @if filled >= 2.0 { path .full d=(STAR); }
                    @else {
                        @if filled >= 1.0 { path .full d=(HALF_STAR); }
                        path .rim d=(STAR);
                    }
                }
            }
        }
    }
}

const STAR: &str =
    "M12 2l3.09 6.26L22 9.27l-5 4.87 1.18 6.88L12 17.77l-6.18 3.25L7 14.14 2 9.27l6.91-1.01z";
const HALF_STAR: &str = "M12 2v15.77l-6.18 3.25L7 14.14 2 9.27l6.91-1.01z";

pub(super) fn faq(faq: &Faq) -> Markup {
    html! {
        (block_heading(faq.title.as_ref()))
        @for item in &faq.items {
            details .panel {
                summary dir="auto" { (item.question.as_str()) }
                p .lines dir="auto" { (item.answer.as_str()) }
            }
        }
    }
}

pub(super) fn divider(divider: &Divider) -> Markup {
    html! { hr class=(divider.style.unwrap_or(Stroke::Solid).word()); }
}

pub(super) fn spacer(spacer: &Spacer) -> Markup {
    let class = format!("room-{}", spacer.height.unwrap_or(Room::Medium).word());
    html! { div class=(class) {} }
}

pub(super) fn event(ink: &mut Ink<'_>, event: &Event) -> Markup {
    let picture = ink.picture(event.image.as_ref(), "");
    let calendar = Target::File {
        content_type: "text/calendar; charset=utf-8",
        name: "event.ics",
        bytes: file::event(ink.block(), event).into_bytes(),
    };
    html! {
        section .panel .event {
            @if let Some(picture) = picture { (picture) }
            p .title dir="auto" { (event.title.as_str()) }
            p .fact { (named("calendar")) span { (time(&event.starts_at))
                @if let Some(end) = &event.ends_at { " – " (until(&event.starts_at, end)) }
            } }
            @if let Some(place) = &event.location { p .fact { (named("map-pin")) span dir="auto" { (place.as_str()) } } }
            @if let Some(text) = &event.description { p .lines dir="auto" { (text.as_str()) } }
            p .buttons {
                @if let Some(url) = &event.url { a .button href=(ink.url("url", url)) rel="nofollow noopener" { "Learn more" } }
                a .button .second href=(ink.way("calendar", calendar)) rel="nofollow" { "Add to calendar" }
            }
        }
    }
}

pub(super) fn countdown(ink: &mut Ink<'_>, countdown: &Countdown) -> Markup {
    let done = countdown.done.as_ref().map_or("It is over.", Line::as_str);
    html! {
        section .panel .countdown {
            @if let Some(title) = &countdown.title { p .title dir="auto" { (title.as_str()) } }
            p .left data-end=(countdown.ends_at.start_ms()) data-done=(done) { (time(&countdown.ends_at)) }
            @if let Some(url) = &countdown.url {
                a .button href=(ink.url("url", url)) rel="nofollow noopener" { "Learn more" }
            }
        }
    }
}

pub(super) fn opening_hours(hours: &OpeningHours) -> Markup {
    let name = title(hours.title.as_ref(), "Opening hours");
    html! {
        (block_heading(hours.title.as_ref()))
        div .panel {
            table aria-label=(name) {
                @for day in &hours.days {
                    tr {
                        th scope="row" { (capital(day.day.word())) }
                        td {
                            @match (&day.opens, &day.closes) {
                                (Some(opens), Some(closes)) => { (opens.as_str()) " – " (closes.as_str()) },
                                _ => "closed",
                            }
                        }
                    }
                }
            }
            @if let Some(text) = &hours.description { p .more dir="auto" { (text.as_str()) } }
        }
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// An instant for people: the page is the same for all, so it is in UTC and says so.
pub(super) fn when(at: &Moment) -> String {
    let form = if at.is_day() {
        "%-d %B %Y"
    } else {
        "%-d %B %Y, %H:%M UTC"
    };
    date::worded(at.start_ms(), form)
}

fn time(at: &Moment) -> Markup {
    html! { time datetime=(date::format_iso(at.start_ms())) { (when(at)) } }
}

/// An end, on the same day by its time alone.
fn until(start: &Moment, end: &Moment) -> Markup {
    let same_day = date::format_day(start.start_ms()) == date::format_day(end.start_ms());
    if !same_day || end.is_day() {
        return time(end);
    }
    html! { time datetime=(date::format_iso(end.start_ms())) { (date::worded(end.start_ms(), "%H:%M UTC")) } }
}
