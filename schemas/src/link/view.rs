//! A plan read in place: no copy, no allocation, total. What the proxy evaluates.
//!
//! [`View::parse`] walks everything once and checks every rule of the format: for bytes from a feed or a disk.
//! [`View::read`] finds the parts of a plan that was accepted before: for the hot path. Its iterators stop at bytes that
//! make no sense; with accepted bytes they never meet any.
//!
//! The format is drawn in [`super::encode`](mod@super::encode).

mod check;
mod list;
mod parts;

use self::check::{check_rule, check_target, check_variants, label, location, utf8};
pub use self::list::List;
use self::parts::get_rule;
use super::bytes::Rest;
use super::plan::{
    Devices, MAX_PHC_BYTES, MAX_PLAN_BYTES, MAX_PREVIEW_BYTES, MAX_RULES, Matches, Net,
};
use super::{EntryError, MAX_DESTINATION_BYTES};

/// Tags of a plan's items.
pub(super) mod item {
    pub(in super::super) const RULE: u8 = 1;
    pub(in super::super) const VARIANTS: u8 = 2;
    pub(in super::super) const TARGET: u8 = 3;
    pub(in super::super) const PASSWORD: u8 = 4;
    pub(in super::super) const LIMIT: u8 = 5;
    pub(in super::super) const EXPIRED: u8 = 6;
    pub(in super::super) const SWITCHES: u8 = 7;
    pub(in super::super) const APPLE: u8 = 8;
    pub(in super::super) const GOOGLE: u8 = 9;
    pub(in super::super) const PREVIEW: u8 = 10;
    pub(in super::super) const DELETED: u8 = 11;

    pub(in super::super) const PASS_QUERY: u8 = 1;
    pub(in super::super) const SCAN: u8 = 2;
    pub(in super::super) const UNCOUNTED: u8 = 4;
}

/// Kinds of conditions.
pub(super) mod condition {
    pub(in super::super) const COUNTRY: u8 = 1;
    pub(in super::super) const REGION: u8 = 2;
    pub(in super::super) const CITY: u8 = 3;
    pub(in super::super) const LANGUAGE: u8 = 4;
    pub(in super::super) const DEVICE: u8 = 5;
    pub(in super::super) const OS: u8 = 6;
    pub(in super::super) const BROWSER: u8 = 7;
    pub(in super::super) const QUERY_PRESENT: u8 = 8;
    pub(in super::super) const QUERY: u8 = 9;
    pub(in super::super) const IP: u8 = 10;
    pub(in super::super) const BEFORE: u8 = 11;
    pub(in super::super) const AFTER: u8 = 12;
    pub(in super::super) const CLOCK: u8 = 13;

    pub(in super::super) const NEGATED: u8 = 0x80;
}

/// Kinds of targets.
pub(super) mod target {
    pub(in super::super) const REDIRECT: u8 = 1;
    pub(in super::super) const PAGE: u8 = 2;
    pub(in super::super) const BODY: u8 = 3;
    pub(in super::super) const FILE: u8 = 4;
    pub(in super::super) const LINK: u8 = 5;
    pub(in super::super) const PICK: u8 = 6;
}

/// A plan, borrowed from its bytes. Fields as in [`super::plan::Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View<'a> {
    rules: &'a [u8],
    variants: &'a [u8],
    target: &'a [u8],
    /// Version and PHC text.
    pub password: Option<(u32, &'a [u8])>,
    /// Visits let through, and what is shown beyond.
    pub click_limit: Option<(u64, Beyond<'a>)>,
    /// Id of a shared page.
    pub expired_page: Option<u64>,
    /// The visitor's query goes on to the destination.
    pub pass_query: bool,
    /// Visits are scans.
    pub scan: bool,
    /// Visits are not recorded.
    pub uncounted: bool,
    /// What opens on iOS and iPadOS; empty: nothing else.
    pub apple: &'a [u8],
    /// What opens on Android; empty: nothing else.
    pub google: &'a [u8],
    /// Title, description, image.
    pub preview: Option<[&'a [u8]; 3]>,
    /// Instant from which there is no such link.
    pub deletes_at_ms: Option<i64>,
}

/// What is shown beyond a click limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond<'a> {
    /// What an expired link shows.
    Expired,
    /// A redirect.
    Url(&'a [u8]),
    /// A shared page.
    Page(u64),
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule<'a> {
    /// How the conditions count together.
    pub matches: Matches,
    /// The conditions.
    pub conditions: Conditions<'a>,
    /// Where it leads.
    pub target: Target<'a>,
}

/// Variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variants<'a> {
    /// Instant of the end.
    pub ends_at_ms: i64,
    /// 1-based; 0: none.
    pub winner: u16,
    /// Weights and targets.
    pub list: List<'a, (u32, Target<'a>)>,
}

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test<'a> {
    /// Codes, two bytes each.
    Country(&'a [u8]),
    /// Names.
    Region(Texts<'a>),
    /// Names.
    City(Texts<'a>),
    /// Tags.
    Language(Texts<'a>),
    /// Kinds.
    Device(Devices),
    /// Names.
    Os(Texts<'a>),
    /// Names.
    Browser(Texts<'a>),
    /// Name of a parameter.
    QueryPresent(&'a [u8]),
    /// Name and values.
    Query(&'a [u8], Texts<'a>),
    /// Networks.
    Ip(List<'a, Net>),
    /// Instant.
    Before(i64),
    /// Instant.
    After(i64),
    /// Zone, days, minutes.
    Clock {
        /// IANA name.
        zone: &'a str,
        /// Bit 0: Monday.
        weekdays: u8,
        /// First minute.
        from_minute: u16,
        /// The minute after the last.
        to_minute: u16,
    },
}

/// Where a visitor is led.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A URL, and whether it holds UTM parameters.
    Redirect {
        /// The URL.
        url: &'a [u8],
        /// It holds UTM parameters.
        utm: bool,
    },
    /// A shared page and what fills its holes.
    Page {
        /// Its id.
        page: u64,
        /// Empty: the entry's destination.
        destination: &'a [u8],
        /// It holds UTM parameters.
        utm: bool,
    },
    /// Bytes.
    Body(Body<'a>),
    /// A stored file.
    File(File<'a>),
    /// Another link.
    Link {
        /// Its domain.
        domain: u32,
        /// Its slug.
        slug: &'a [u8],
    },
    /// One of these links.
    Pick(List<'a, Pick<'a>>),
}

/// A served body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<'a> {
    /// The bytes.
    pub content: Content<'a>,
    /// `Content-Type`.
    pub content_type: &'a [u8],
    /// `Content-Disposition`; empty: none.
    pub disposition: &'a [u8],
    /// `Content-Security-Policy`; empty: the strictest.
    pub csp: &'a [u8],
    /// Seconds.
    pub max_age_s: u32,
}

/// The bytes of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// A blob: SHA-256 and length.
    Blob(&'a [u8; 32], u64),
}

/// A stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct File<'a> {
    /// Where it lies.
    pub key: &'a [u8],
    /// Name it is downloaded by.
    pub name: &'a [u8],
    /// `Content-Type`.
    pub content_type: &'a [u8],
    /// Bytes.
    pub size: u64,
    /// Entity tag.
    pub etag: &'a [u8],
}

/// A link to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick<'a> {
    /// Its share.
    pub weight: u32,
    /// Its domain.
    pub domain: u32,
    /// Its slug.
    pub slug: &'a [u8],
}

impl<'a> View<'a> {
    /// Reads a plan, checking every rule of the format.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_PLAN_BYTES {
            return Err(EntryError::Limit);
        }
        let view = Self::read(bytes)?;
        let mut rest = Rest(view.rules);
        let mut rules = 0;
        while !rest.0.is_empty() {
            check_rule(Rest(get_rule(&mut rest)?))?;
            rules += 1;
        }
        if rules > MAX_RULES {
            return Err(EntryError::Limit);
        }
        check_variants(view.variants)?;
        if !view.target.is_empty() {
            let mut rest = Rest(view.target);
            check_target(&Target::get(&mut rest)?)?;
            rest.end()?;
        }
        if let Some((_, phc)) = view.password {
            label(phc)?;
        }
        if let Some((_, Beyond::Url(url))) = view.click_limit {
            location(url)?;
        }
        for url in [view.apple, view.google] {
            if !url.is_empty() {
                location(url)?;
            }
        }
        for text in view.preview.into_iter().flatten() {
            utf8(text)?;
        }
        Ok(view)
    }

    /// Finds the parts of a plan that [`Self::parse`] has accepted before.
    ///
    /// # Errors
    /// No plan.
    pub fn read(bytes: &'a [u8]) -> Result<Self, EntryError> {
        let mut view = Self::default();
        let mut rest = Rest(bytes);
        let mut last = 0;
        while !rest.0.is_empty() {
            let before = rest;
            let tag = rest.byte()?;
            let bytes = rest.bytes(MAX_PLAN_BYTES)?;
            if tag < last || (tag == last && tag != item::RULE) {
                return Err(EntryError::Order(tag));
            }
            last = tag;
            let mut part = Rest(bytes);
            match tag {
                item::RULE => {
                    // All of them, from the first tag on.
                    while rest.0.first() == Some(&item::RULE) {
                        rest.byte()?;
                        rest.bytes(MAX_PLAN_BYTES)?;
                    }
                    view.rules = rest.taken_from(before);
                    continue;
                }
                item::VARIANTS => {
                    view.variants = bytes;
                    continue;
                }
                item::TARGET => {
                    view.target = bytes;
                    continue;
                }
                item::PASSWORD => {
                    let version = part.number(u32::MAX.into())?;
                    view.password = Some((version, part.bytes(MAX_PHC_BYTES)?));
                }
                item::LIMIT => {
                    let max = part.varint()?;
                    let beyond = match part.byte()? {
                        0 => Beyond::Expired,
                        1 => Beyond::Url(part.bytes(MAX_DESTINATION_BYTES)?),
                        2 => Beyond::Page(part.varint()?),
                        other => return Err(EntryError::Unknown(other)),
                    };
                    view.click_limit = Some((max, beyond));
                }
                item::EXPIRED => view.expired_page = Some(part.varint()?),
                item::SWITCHES => {
                    let bits = part.byte()?;
                    if bits & !(item::PASS_QUERY | item::SCAN | item::UNCOUNTED) != 0 {
                        return Err(EntryError::Unknown(bits));
                    }
                    view.pass_query = bits & item::PASS_QUERY != 0;
                    view.scan = bits & item::SCAN != 0;
                    view.uncounted = bits & item::UNCOUNTED != 0;
                }
                item::APPLE => view.apple = part.take(bytes.len())?,
                item::GOOGLE => view.google = part.take(bytes.len())?,
                item::PREVIEW => {
                    view.preview = Some([
                        part.bytes(MAX_PREVIEW_BYTES)?,
                        part.bytes(MAX_PREVIEW_BYTES)?,
                        part.bytes(MAX_DESTINATION_BYTES)?,
                    ]);
                }
                item::DELETED => view.deletes_at_ms = Some(i64::from_le_bytes(part.array()?)),
                other => return Err(EntryError::Unknown(other)),
            }
            part.end()?;
        }
        Ok(view)
    }

    /// The rules, in order.
    pub fn rules(&self) -> List<'a, Rule<'a>> {
        List::new(self.rules, Rule::get)
    }

    /// The variants, if any.
    pub fn variants(&self) -> Option<Variants<'a>> {
        let mut rest = Rest(self.variants);
        Variants::get(&mut rest).ok()
    }

    /// Where visitors are led whom nothing else decided on; `None`: a redirect to the entry's destination.
    pub fn target(&self) -> Option<Target<'a>> {
        Target::get(&mut Rest(self.target)).ok()
    }
}

/// Texts of a condition.
pub type Texts<'a> = List<'a, &'a [u8]>;

/// Conditions of a rule.
pub type Conditions<'a> = List<'a, Condition<'a>>;

/// A test, perhaps turned round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition<'a> {
    /// Met when the test is not.
    pub negated: bool,
    /// What is tested.
    pub test: Test<'a>,
}
