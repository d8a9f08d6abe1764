//! People and places: who somebody is and how they are reached.

use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::cards::title;
use super::file;
use super::ink::{Card, Ink, icon, named};
use super::ledger::Target;
use crate::domain::bio::blocks::contact::{
    Email, Map, Messenger, Phone, Place, Sms, Telegram, Vcard, Whatsapp,
};
use crate::domain::bio::blocks::texts::Avatar;
use crate::domain::bio::value::{self, Line};

/// Stays as it is in an address or a query we make.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@');

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

fn mail_url(email: &value::Email, subject: Option<&Line>) -> Target {
    let address = escaped(email.as_str());
    Target::Url(match subject {
        Some(subject) => format!("mailto:{address}?subject={}", escaped(subject.as_str())),
        None => format!("mailto:{address}"),
    })
}

fn call_url(phone: &value::Phone) -> Target {
    Target::Url(format!("tel:{}", phone.dialled()))
}

/// Of a place by its words.
fn search_url(address: &str) -> Target {
    let words: Vec<&str> = address.split_whitespace().collect();
    let query = escaped(&words.join(" "));
    Target::Url(format!(
        "https://www.openstreetmap.org/search?query={query}"
    ))
}

pub(super) fn email(ink: &mut Ink<'_>, email: &Email) -> Markup {
    let title = title(email.title.as_ref(), email.email.as_str());
    let href = ink.way("email", mail_url(&email.email, email.subject.as_ref()));
    let mut card = Card::new(href, icon(email.icon.as_ref(), "mail"), &title);
    if email.title.is_some() {
        card.description = Some(email.email.as_str());
    }
    card.draw()
}

pub(super) fn phone(ink: &mut Ink<'_>, phone: &Phone) -> Markup {
    let title = title(phone.title.as_ref(), phone.phone.as_str());
    let href = ink.way("phone", call_url(&phone.phone));
    let mut card = Card::new(href, icon(phone.icon.as_ref(), "phone"), &title);
    if phone.title.is_some() {
        card.description = Some(phone.phone.as_str());
    }
    card.draw()
}

pub(super) fn sms(ink: &mut Ink<'_>, sms: &Sms) -> Markup {
    let title = title(sms.title.as_ref(), "Send a text message");
    let number = sms.phone.dialled();
    // RFC 5724.
    let url = match &sms.message {
        Some(text) => format!("sms:{number}?body={}", escaped(text.as_str())),
        None => format!("sms:{number}"),
    };
    let href = ink.way("phone", Target::Url(url));
    let mut card = Card::new(href, icon(sms.icon.as_ref(), "message-circle"), &title);
    card.description = Some(sms.phone.as_str());
    card.draw()
}

pub(super) fn whatsapp(ink: &mut Ink<'_>, chat: &Whatsapp) -> Markup {
    let title = title(chat.title.as_ref(), "WhatsApp");
    let number = chat.phone.digits();
    let url = match &chat.message {
        Some(text) => format!("https://wa.me/{number}?text={}", escaped(text.as_str())),
        None => format!("https://wa.me/{number}"),
    };
    let href = ink.way("phone", Target::Url(url));
    let mut card = Card::new(href, icon(chat.icon.as_ref(), "whatsapp"), &title);
    card.description = Some(chat.phone.as_str());
    card.draw()
}

pub(super) fn telegram(ink: &mut Ink<'_>, chat: &Telegram) -> Markup {
    let title = title(chat.title.as_ref(), "Telegram");
    let name = format!("@{}", chat.username.as_str());
    let url = format!("https://t.me/{}", chat.username.as_str());
    let href = ink.way("username", Target::Url(url));
    let mut card = Card::new(href, icon(chat.icon.as_ref(), "telegram"), &title);
    card.description = Some(&name);
    card.draw()
}

pub(super) fn messenger(ink: &mut Ink<'_>, chat: &Messenger) -> Markup {
    let title = title(chat.title.as_ref(), "Messenger");
    let name = format!("@{}", chat.username.as_str());
    let url = format!("https://m.me/{}", chat.username.as_str());
    let href = ink.way("username", Target::Url(url));
    let mut card = Card::new(href, icon(chat.icon.as_ref(), "messenger"), &title);
    card.description = Some(&name);
    card.draw()
}

pub(super) fn vcard(ink: &mut Ink<'_>, card: &Vcard) -> Markup {
    let title = title(card.title.as_ref(), "Save contact");
    let target = Target::File {
        content_type: "text/vcard; charset=utf-8",
        name: "contact.vcf",
        bytes: file::vcard(card).into_bytes(),
    };
    let mut shown = Card::new(
        ink.way("vcard", target),
        icon(card.icon.as_ref(), "contact"),
        &title,
    );
    shown.description = Some(card.name.as_str());
    shown.draw()
}

pub(super) fn map(ink: &mut Ink<'_>, map: &Map) -> Markup {
    let title = title(map.title.as_ref(), "Show on the map");
    let target = match (map.latitude, map.longitude) {
        (Some(north), Some(east)) => {
            let (north, east) = (north.get(), east.get());
            Target::Url(format!(
                "https://www.openstreetmap.org/?mlat={north}&mlon={east}#map=16/{north}/{east}"
            ))
        }
        _ => search_url(map.address.as_str()),
    };
    let mut card = Card::new(
        ink.way("address", target),
        icon(map.icon.as_ref(), "map-pin"),
        &title,
    );
    card.description = Some(map.address.as_str());
    card.draw()
}

pub(super) fn place(ink: &mut Ink<'_>, place: &Place) -> Markup {
    html! {
        (super::ink::heading(place.title.as_ref()))
        address .panel {
            p .lines dir="auto" { (place.address.as_str()) }
            @if let Some(phone) = &place.phone {
                p { a href=(ink.way("phone", call_url(phone))) { (phone.as_str()) } }
            }
            @if let Some(email) = &place.email {
                p { a href=(ink.way("email", mail_url(email, None))) { (email.as_str()) } }
            }
            p {
                a .button href=(ink.way("address", search_url(place.address.as_str()))) rel="nofollow noopener" {
                    (named("map-pin")) "Show on the map"
                }
            }
        }
    }
}

pub(super) fn avatar(ink: &mut Ink<'_>, avatar: &Avatar) -> Markup {
    html! {
        div .person {
            @if let Some(picture) = ink.picture(Some(&avatar.image), "") { (picture) }
            @if let Some(title) = &avatar.title { p .title dir="auto" { (title.as_str()) } }
            @if let Some(text) = &avatar.description { p .more dir="auto" { (text.as_str()) } }
        }
    }
}
