//! What blocks are drawn with: ways out, pictures, icons, and the card that most of them are.

use maud::{Markup, PreEscaped, html};

use super::ledger::{Ledger, Shown, Target};
use crate::domain::bio::icon;
use crate::domain::bio::value::{Icon, Line, Picture, Web};

/// Draws one block.
pub(super) struct Ink<'a> {
    ledger: &'a mut Ledger,
    block: i64,
}

impl<'a> Ink<'a> {
    pub(super) fn new(ledger: &'a mut Ledger, block: i64) -> Self {
        Self { ledger, block }
    }

    /// Id of the block.
    pub(super) fn block(&self) -> i64 {
        self.block
    }

    /// Path of a way out.
    pub(super) fn way(&mut self, part: &str, target: Target) -> String {
        self.ledger.way(self.block, part.to_owned(), target)
    }

    /// Path of the way to a URL.
    pub(super) fn url(&mut self, part: &str, url: &Web) -> String {
        self.way(part, Target::Url(url.as_str().to_owned()))
    }

    /// A picture; nothing where there is none.
    pub(super) fn picture(&mut self, url: Option<&Picture>, alt: &str) -> Option<Markup> {
        let Shown {
            slug,
            width,
            height,
        } = self.ledger.picture(url?.as_str())?;
        Some(html! {
            img src={ "/" (slug) } width=(width) height=(height) alt=(alt) loading="lazy" decoding="async";
        })
    }
}

/// What a card shows.
pub(super) struct Card<'a> {
    pub(super) href: String,
    pub(super) icon: Markup,
    pub(super) title: &'a str,
    pub(super) description: Option<&'a str>,
    /// Beside the title: a price, a size.
    pub(super) note: Option<&'a str>,
    pub(super) image: Option<Markup>,
    has_own_icon: bool,
}

impl<'a> Card<'a> {
    /// With nothing but a title.
    pub(super) fn new(href: String, icon: Markup, title: &'a str) -> Self {
        Self {
            href,
            icon,
            title,
            description: None,
            note: None,
            image: None,
            has_own_icon: false,
        }
    }

    pub(super) fn description(self, line: Option<&'a Line>) -> Self {
        Self {
            description: line.map(Line::as_str),
            ..self
        }
    }

    pub(super) fn note(self, line: Option<&'a Line>) -> Self {
        Self {
            note: line.map(Line::as_str),
            ..self
        }
    }

    pub(super) fn image(self, image: Option<Markup>) -> Self {
        Self { image, ..self }
    }

    /// An icon of the owner's, which is shown beside a picture too.
    pub(super) fn own(self, own: Option<&Icon>) -> Self {
        Self {
            has_own_icon: own.is_some(),
            ..self
        }
    }

    pub(super) fn draw(self) -> Markup {
        let beside = (self.has_own_icon && self.image.is_some()).then(|| self.icon.clone());
        html! {
            a .card href=(self.href) rel="nofollow noopener" {
                @match self.image {
                    Some(image) => span .thumb { (image) },
                    None => span .icon { (self.icon) },
                }
                span .words {
                    span .title dir="auto" { (self.title) }
                    @if let Some(text) = self.description { span .more dir="auto" { (text) } }
                }
                @if let Some(icon) = beside { span .icon { (icon) } }
                @match self.note {
                    Some(note) => span .note { (note) },
                    None => span .go aria-hidden="true" { (named("chevron-right")) },
                }
            }
        }
    }
}

/// The drawing of this name, hidden from those who are read to.
pub(super) fn named(name: &str) -> Markup {
    let Some(icon) = icon::find(name) else {
        return html! {};
    };
    let class = if icon.is_stroked { "stroked" } else { "filled" };
    html! {
        svg class=(class) viewBox="0 0 24 24" width="24" height="24" aria-hidden="true" focusable="false" {
            (PreEscaped(icon.shapes))
        }
    }
}

/// An owner's icon, else the usual one.
pub(super) fn icon(icon: Option<&Icon>, usual: &str) -> Markup {
    match icon.map(Icon::as_str) {
        None => named(usual),
        Some(name) if icon::find(name).is_some() => named(name),
        Some(symbol) => html! { span .symbol aria-hidden="true" { (symbol) } },
    }
}

/// The heading of a block.
pub(super) fn heading(title: Option<&Line>) -> Markup {
    html! { @if let Some(title) = title { h2 dir="auto" { (title.as_str()) } } }
}

/// The host of a URL, for those who gave no title.
pub(super) fn host(url: &Web) -> String {
    let parsed = url::Url::parse(url.as_str()).ok();
    let host = parsed.as_ref().and_then(url::Url::host_str);
    let host = host.unwrap_or_default();
    host.strip_prefix("www.").unwrap_or(host).to_owned()
}
