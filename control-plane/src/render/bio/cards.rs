//! Cards: what leads elsewhere.

use maud::{Markup, html};

use super::ink::{Card, Ink, heading, host, icon, named};
use crate::domain::bio::blocks::links::{Embed, FeaturedLink, File, Link, Pdf, Rss, SocialLinks};
use crate::domain::bio::blocks::offers::{Coupon, Donation, Payment, Product, ProductList};
use crate::domain::bio::blocks::social::{self, mark};
use crate::domain::bio::blocks::times::Calendar;
use crate::domain::bio::value::Line;
use crate::domain::date;

pub(super) fn link(ink: &mut Ink<'_>, link: &Link) -> Markup {
    let image = ink.picture(link.image.as_ref(), "");
    let drawing = icon(link.icon.as_ref(), mark(&link.url).unwrap_or("link"));
    Card::new(ink.url("url", &link.url), drawing, link.title.as_str())
        .description(link.description.as_ref())
        .own(link.icon.as_ref())
        .image(image)
        .draw()
}

pub(super) fn featured(ink: &mut Ink<'_>, link: &FeaturedLink) -> Markup {
    let image = ink.picture(link.image.as_ref(), "");
    html! {
        a .feature href=(ink.url("url", &link.url)) rel="nofollow noopener" {
            @if let Some(image) = image { (image) }
            span .words {
                @if link.icon.is_some() { span .icon { (icon(link.icon.as_ref(), "star")) } }
                span .title dir="auto" { (link.title.as_str()) }
                @if let Some(text) = &link.description { span .more .lines dir="auto" { (text.as_str()) } }
                span .button { (link.button.as_ref().map_or("Open", Line::as_str)) }
            }
        }
    }
}

pub(super) fn social_links(ink: &mut Ink<'_>, links: &SocialLinks) -> Markup {
    html! {
        (heading(links.title.as_ref()))
        ul .marks {
            @for (place, link) in links.links.iter().enumerate() {
                @let name = match (&link.title, social::Service::of(&link.url)) {
                    (Some(title), _) => title.as_str().to_owned(),
                    (None, Some(service)) => service.name.to_owned(),
                    (None, None) => host(&link.url),
                };
                li {
                    a href=(ink.url(&format!("links[{place}]"), &link.url)) rel="nofollow noopener" aria-label=(name) title=(name) {
                        (icon(link.icon.as_ref(), mark(&link.url).unwrap_or("globe")))
                    }
                }
            }
        }
    }
}

pub(super) fn embed(ink: &mut Ink<'_>, embed: &Embed) -> Markup {
    let image = ink.picture(embed.image.as_ref(), "");
    let title = title(embed.title.as_ref(), &host(&embed.url));
    let usual = mark(&embed.url).unwrap_or("external-link");
    Card::new(
        ink.url("url", &embed.url),
        icon(embed.icon.as_ref(), usual),
        &title,
    )
    .description(embed.description.as_ref())
    .own(embed.icon.as_ref())
    .image(image)
    .draw()
}

pub(super) fn rss(ink: &mut Ink<'_>, rss: &Rss) -> Markup {
    let title = title(rss.title.as_ref(), "News feed");
    Card::new(
        ink.url("url", &rss.url),
        icon(rss.icon.as_ref(), "rss"),
        &title,
    )
    .description(rss.description.as_ref())
    .draw()
}

pub(super) fn file(ink: &mut Ink<'_>, file: &File) -> Markup {
    let title = title(file.title.as_ref(), "Download");
    Card::new(
        ink.url("url", &file.url),
        icon(file.icon.as_ref(), "download"),
        &title,
    )
    .description(file.description.as_ref())
    .note(file.size.as_ref())
    .draw()
}

pub(super) fn pdf(ink: &mut Ink<'_>, pdf: &Pdf) -> Markup {
    let title = title(pdf.title.as_ref(), "Read the PDF");
    Card::new(
        ink.url("url", &pdf.url),
        icon(pdf.icon.as_ref(), "file-text"),
        &title,
    )
    .description(pdf.description.as_ref())
    .note(pdf.size.as_ref())
    .draw()
}

pub(super) fn service(ink: &mut Ink<'_>, card: &social::Card<'_>) -> Markup {
    let image = ink.picture(card.image, "");
    let title = title(card.title, card.service.name);
    Card::new(ink.url("url", card.url), named(card.service.icon), &title)
        .description(card.description)
        .image(image)
        .draw()
}

pub(super) fn calendar(ink: &mut Ink<'_>, calendar: &Calendar) -> Markup {
    let title = title(calendar.title.as_ref(), "Book a time");
    Card::new(
        ink.url("url", &calendar.url),
        icon(calendar.icon.as_ref(), "calendar"),
        &title,
    )
    .description(calendar.description.as_ref())
    .draw()
}

pub(super) fn product(ink: &mut Ink<'_>, product: &Product) -> Markup {
    let image = ink.picture(product.image.as_ref(), "");
    html! {
        a .feature href=(ink.url("url", &product.url)) rel="nofollow noopener" {
            @if let Some(image) = image { (image) }
            span .words {
                span .title dir="auto" { (product.title.as_str()) }
                @if let Some(price) = &product.price { span .price { (price.as_str()) } }
                @if let Some(text) = &product.description { span .more .lines dir="auto" { (text.as_str()) } }
                span .button { (product.button.as_ref().map_or("Buy", Line::as_str)) }
            }
        }
    }
}

pub(super) fn product_list(ink: &mut Ink<'_>, list: &ProductList) -> Markup {
    html! {
        (heading(list.title.as_ref()))
        ul .grid {
            @for (place, item) in list.products.iter().enumerate() {
                li {
                    a .tile href=(ink.url(&format!("products[{place}]"), &item.url)) rel="nofollow noopener" {
                        @match ink.picture(item.image.as_ref(), "") {
                            Some(image) => (image),
                            None => span .blank { (named("shopping-bag")) },
                        }
                        span .title dir="auto" { (item.title.as_str()) }
                        @if let Some(text) = &item.description { span .more dir="auto" { (text.as_str()) } }
                        @if let Some(price) = &item.price { span .price { (price.as_str()) } }
                    }
                }
            }
        }
    }
}

pub(super) fn coupon(ink: &mut Ink<'_>, coupon: &Coupon) -> Markup {
    html! {
        div .panel .coupon {
            @if let Some(title) = &coupon.title { p .title dir="auto" { (title.as_str()) } }
            @if let Some(text) = &coupon.description { p dir="auto" { (text.as_str()) } }
            p { code { (coupon.code.as_str()) } }
            @if let Some(until) = &coupon.expires {
                p .more { "Until " time datetime=(date::format_iso(until.start_ms())) { (super::words::when(until)) } }
            }
            @if let Some(url) = &coupon.url {
                a .button href=(ink.url("url", url)) rel="nofollow noopener" { "Use it" }
            }
        }
    }
}

pub(super) fn payment(ink: &mut Ink<'_>, payment: &Payment) -> Markup {
    Card::new(
        ink.url("url", &payment.url),
        icon(payment.icon.as_ref(), "credit-card"),
        payment.title.as_str(),
    )
    .description(payment.description.as_ref())
    .note(payment.amount.as_ref())
    .draw()
}

pub(super) fn donation(ink: &mut Ink<'_>, donation: &Donation) -> Markup {
    let title = title(donation.title.as_ref(), "Support me");
    let usual = mark(&donation.url).unwrap_or("hand-heart");
    Card::new(
        ink.url("url", &donation.url),
        icon(donation.icon.as_ref(), usual),
        &title,
    )
    .description(donation.description.as_ref())
    .note(donation.amount.as_ref())
    .draw()
}

/// The owner's title, else the usual one.
pub(super) fn title(own: Option<&Line>, usual: &str) -> String {
    own.map_or(usual, Line::as_str).to_owned()
}
