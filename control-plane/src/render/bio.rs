//! A bio page: one document that asks nobody for anything. Its pictures are served by its own host, what would be loaded
//! from elsewhere (films, maps, posts) is a card that leads there, and its one script, of countdowns, is not needed.
//!
//! A block is rendered by the file of its family; [`Ink`] is what they draw with.

mod cards;
mod fields;
mod file;
mod ink;
mod ledger;
mod media;
mod people;
mod style;
mod words;

use maud::{Markup, html};

use self::ink::Ink;
pub use self::ledger::{Ledger, Shown, Target, Way};
use super::document::Document;
use crate::domain::bio::{Block, Look};
use crate::domain::page::Rendered;

/// What a page is made of.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Its heading.
    pub title: &'a str,
    /// Lines below it.
    pub description: &'a str,
    /// Its own address.
    pub url: &'a str,
    /// Scheme and host of that address.
    pub base_url: &'a str,
    /// How it looks.
    pub look: &'a Look,
    /// Its blocks with their ids, in order.
    pub blocks: &'a [(i64, Block)],
}

/// What a page leads to and which pictures it shows, before either has an address.
pub fn needs(look: &Look, blocks: &[(i64, Block)]) -> Ledger {
    let mut ledger = Ledger::default();
    if let Some(avatar) = &look.avatar {
        ledger.picture(avatar.as_str());
    }
    // A QR code leads nowhere and costs the most to draw.
    for (id, block) in blocks.iter().filter(|(_, b)| !matches!(b, Block::Qr(_))) {
        rendered(&mut Ink::new(&mut ledger, *id), block);
    }
    ledger
}

/// The page. `ledger` gets what it leads to and shows.
pub fn page(page: &Page<'_>, ledger: &mut Ledger) -> Rendered {
    let avatar = page
        .look
        .avatar
        .as_ref()
        .and_then(|url| ledger.picture(url.as_str()));
    let mut document = Document::new(html! { (page.title) });
    document.is_closed_to_frames = true;
    document.image_source = Some("'self'".to_owned());
    document.language.clone_from(&page.look.language);
    document.head = head(page, avatar.as_ref());
    document.style = style::sheet(page.look);
    let blocks: Vec<Markup> = page
        .blocks
        .iter()
        .map(|(id, block)| rendered(&mut Ink::new(ledger, *id), block))
        .collect();
    let has = |wanted: fn(&Block) -> bool| page.blocks.iter().any(|(_, block)| wanted(block));
    document.has_form = has(|block| {
        matches!(
            block,
            Block::Form(_) | Block::ContactForm(_) | Block::Newsletter(_) | Block::Poll(_)
        )
    });
    if has(|block| matches!(block, Block::Countdown(_))) {
        document.script = include_str!("bio/countdown.js").trim().to_owned();
    }
    document.body = html! {
        main {
            header {
                @if let Some(avatar) = &avatar {
                    img .avatar src={ "/" (avatar.slug) } width=(avatar.width) height=(avatar.height) alt="";
                }
                h1 dir="auto" { (page.title) }
                @if !page.description.is_empty() { p .lines dir="auto" { (page.description) } }
            }
            @for block in &blocks { (block) }
        }
    };
    document.finish()
}

/// What a visitor reads who has sent a form; `votes`: of a poll, with the words of its options.
pub fn sent(page: &Page<'_>, text: &str, votes: &[(String, i64)]) -> Rendered {
    let mut document = Document::new(html! { "Thank you" });
    document.is_closed_to_frames = true;
    document.language.clone_from(&page.look.language);
    document.style = style::sheet(page.look);
    let all: i64 = votes.iter().map(|(_, votes)| votes).sum();
    document.body = html! {
        main {
            header { h1 { "Thank you" } p .lines dir="auto" { (text) } }
            @if !votes.is_empty() {
                ul .panel .votes {
                    @for (option, votes) in votes {
                        li {
                            span dir="auto" { (option) }
                            span { (votes * 100 / all.max(1)) "% (" (votes) ")" }
                            meter aria-label=(option) min="0" max=(all.max(1)) value=(votes) {}
                        }
                    }
                }
            }
            p .centred { a .button href=(page.url) { "Back to " (page.title) } }
        }
    };
    document.finish()
}

/// For those who share the page.
fn head(page: &Page<'_>, avatar: Option<&Shown>) -> Markup {
    let image = avatar.map(|avatar| format!("{}/{}", page.base_url, avatar.slug));
    html! {
        @if !page.description.is_empty() { meta name="description" content=(page.description); }
        link rel="canonical" href=(page.url);
        meta property="og:type" content="profile";
        meta property="og:title" content=(page.title);
        @if !page.description.is_empty() { meta property="og:description" content=(page.description); }
        meta property="og:url" content=(page.url);
        @if let Some(image) = image { meta property="og:image" content=(image); }
        meta name="twitter:card" content="summary";
    }
}

fn rendered(ink: &mut Ink<'_>, block: &Block) -> Markup {
    if let Some(card) = block.card() {
        return cards::service(ink, &card);
    }
    match block {
        Block::Link(link) => cards::link(ink, link),
        Block::FeaturedLink(link) => cards::featured(ink, link),
        Block::SocialLinks(links) => cards::social_links(ink, links),
        Block::Embed(embed) => cards::embed(ink, embed),
        Block::Rss(rss) => cards::rss(ink, rss),
        Block::File(file) => cards::file(ink, file),
        Block::Pdf(pdf) => cards::pdf(ink, pdf),
        Block::Qr(qr) => media::qr(qr),
        Block::Heading(heading) => words::heading(heading),
        Block::Text(text) => words::text(text),
        Block::List(list) => words::list(list),
        Block::Quote(quote) => words::quote(ink, quote),
        Block::Testimonial(testimonial) => words::testimonial(ink, testimonial),
        Block::Rating(rating) => words::rating(ink, rating),
        Block::Faq(faq) => words::faq(faq),
        Block::Divider(divider) => words::divider(divider),
        Block::Spacer(spacer) => words::spacer(spacer),
        Block::Avatar(avatar) => people::avatar(ink, avatar),
        Block::Image(image) => media::image(ink, image),
        Block::Gallery(gallery) => media::gallery(ink, gallery),
        Block::Carousel(carousel) => media::carousel(ink, carousel),
        Block::Video(video) => media::video(ink, video),
        Block::Audio(audio) => media::audio(ink, audio),
        Block::Product(product) => cards::product(ink, product),
        Block::ProductList(list) => cards::product_list(ink, list),
        Block::Coupon(coupon) => cards::coupon(ink, coupon),
        Block::Payment(payment) => cards::payment(ink, payment),
        Block::Donation(donation) => cards::donation(ink, donation),
        Block::Calendar(calendar) => cards::calendar(ink, calendar),
        Block::Event(event) => words::event(ink, event),
        Block::Countdown(countdown) => words::countdown(ink, countdown),
        Block::OpeningHours(hours) => words::opening_hours(hours),
        Block::Email(email) => people::email(ink, email),
        Block::Phone(phone) => people::phone(ink, phone),
        Block::Sms(sms) => people::sms(ink, sms),
        Block::Whatsapp(chat) => people::whatsapp(ink, chat),
        Block::Telegram(chat) => people::telegram(ink, chat),
        Block::Messenger(chat) => people::messenger(ink, chat),
        Block::Vcard(card) => people::vcard(ink, card),
        Block::Map(map) => people::map(ink, map),
        Block::Place(place) => people::place(ink, place),
        Block::Newsletter(newsletter) => fields::newsletter(ink, newsletter),
        Block::ContactForm(form) => fields::contact(ink, form),
        Block::Form(form) => fields::form(ink, form),
        Block::Poll(poll) => fields::poll(ink, poll),
        // The cards of services, above.
        Block::Youtube(_)
        | Block::Vimeo(_)
        | Block::Tiktok(_)
        | Block::Twitch(_)
        | Block::Instagram(_)
        | Block::Facebook(_)
        | Block::X(_)
        | Block::Threads(_)
        | Block::Linkedin(_)
        | Block::Pinterest(_)
        | Block::Reddit(_)
        | Block::Snapchat(_)
        | Block::Spotify(_)
        | Block::AppleMusic(_)
        | Block::Soundcloud(_)
        | Block::Podcast(_) => html! {},
    }
}

#[cfg(test)]
mod tests;
