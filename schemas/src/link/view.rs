//! A plan read in place: no copy, no allocation, total. What the proxy evaluates.
//!
//! [`View::parse`] walks everything once and checks every rule of the format: for bytes from a feed or a disk.
//! [`View::read`] finds the parts of a plan that was accepted before: for the hot path. Its iterators stop at bytes that
//! make no sense; with accepted bytes they never meet any.
//!
//! The format is drawn in [`super::encode`](mod@super::encode).

use std::net::IpAddr;

use super::bytes::Rest;
use super::plan::{
    DAY_MINUTES, Devices, MAX_BLOB_BYTES, MAX_CONDITIONS, MAX_CSP_BYTES, MAX_INLINE_BODY_BYTES,
    MAX_LABEL_BYTES, MAX_PHC_BYTES, MAX_PICKS, MAX_PLAN_BYTES, MAX_PREVIEW_BYTES, MAX_RULES,
    MAX_VALUE_BYTES, MAX_VALUES, MAX_VARIANTS, MAX_WEIGHT, Matches, Net,
};
use super::{EntryError, MAX_DESTINATION_BYTES};
use crate::slug::MAX_SLUG_BYTES;

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

/// Things of one kind, end to end. An iterator over what is left; copies are cheap.
pub struct List<'a, T> {
    rest: Rest<'a>,
    get: fn(&mut Rest<'a>) -> Result<T, EntryError>,
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

impl<'a, T> List<'a, T> {
    fn new(bytes: &'a [u8], get: fn(&mut Rest<'a>) -> Result<T, EntryError>) -> Self {
        Self {
            rest: Rest(bytes),
            get,
        }
    }

    /// Checks that everything can be read and that there are at least one and at most `limit`.
    fn check(
        &self,
        limit: usize,
        mut each: impl FnMut(T) -> Result<(), EntryError>,
    ) -> Result<(), EntryError> {
        let mut rest = self.rest;
        let mut count = 0;
        while !rest.0.is_empty() {
            each((self.get)(&mut rest)?)?;
            count += 1;
        }
        if (1..=limit).contains(&count) {
            return Ok(());
        }
        Err(EntryError::Limit)
    }
}

impl<T> Iterator for List<'_, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        if self.rest.0.is_empty() {
            return None;
        }
        let item = (self.get)(&mut self.rest).ok();
        if item.is_none() {
            self.rest = Rest(&[]);
        }
        item
    }
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<T> PartialEq for List<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

impl<T> Eq for List<'_, T> {}

impl<T> std::fmt::Debug for List<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "List({} bytes)", self.rest.0.len())
    }
}

fn get_rule<'a>(rest: &mut Rest<'a>) -> Result<&'a [u8], EntryError> {
    match rest.byte()? {
        item::RULE => rest.bytes(MAX_PLAN_BYTES),
        other => Err(EntryError::Unknown(other)),
    }
}

fn get_text<'a>(rest: &mut Rest<'a>) -> Result<&'a [u8], EntryError> {
    rest.bytes(MAX_VALUE_BYTES)
}

impl<'a> Rule<'a> {
    fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        let mut part = Rest(get_rule(rest)?);
        Self::get_inner(&mut part)
    }

    fn get_inner(part: &mut Rest<'a>) -> Result<Self, EntryError> {
        let matches = match part.byte()? {
            0 => Matches::All,
            1 => Matches::Any,
            other => return Err(EntryError::Unknown(other)),
        };
        let conditions = part.bytes(MAX_PLAN_BYTES)?;
        Ok(Self {
            matches,
            conditions: List::new(conditions, Condition::get),
            target: Target::get(part)?,
        })
    }
}

impl<'a> Variants<'a> {
    fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        let ends_at_ms = i64::from_le_bytes(rest.array()?);
        let winner = rest.number(MAX_VARIANTS as u64)?;
        let list = rest.take(rest.0.len())?;
        Ok(Self {
            ends_at_ms,
            winner,
            list: List::new(list, |rest| {
                Ok((rest.number(MAX_WEIGHT.into())?, Target::get(rest)?))
            }),
        })
    }
}

impl<'a> Condition<'a> {
    fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        let kind = rest.byte()?;
        let payload = rest.bytes(MAX_PLAN_BYTES)?;
        let texts = List::new(payload, get_text as fn(&mut Rest<'a>) -> _);
        let mut part = Rest(payload);
        let test = match kind & !condition::NEGATED {
            condition::COUNTRY => Test::Country(payload),
            condition::REGION => Test::Region(texts),
            condition::CITY => Test::City(texts),
            condition::LANGUAGE => Test::Language(texts),
            condition::DEVICE => {
                let set = Devices(part.byte()?);
                part.end()?;
                Test::Device(set)
            }
            condition::OS => Test::Os(texts),
            condition::BROWSER => Test::Browser(texts),
            condition::QUERY_PRESENT => Test::QueryPresent(payload),
            condition::QUERY => {
                let name = part.bytes(MAX_VALUE_BYTES)?;
                Test::Query(name, List::new(part.0, get_text))
            }
            condition::IP => Test::Ip(List::new(payload, get_net)),
            condition::BEFORE | condition::AFTER => {
                let instant = i64::from_le_bytes(part.array()?);
                part.end()?;
                if kind & !condition::NEGATED == condition::BEFORE {
                    Test::Before(instant)
                } else {
                    Test::After(instant)
                }
            }
            condition::CLOCK => Test::Clock {
                weekdays: part.byte()?,
                from_minute: u16::from_le_bytes(part.array()?),
                to_minute: u16::from_le_bytes(part.array()?),
                zone: std::str::from_utf8(part.0).map_err(|_| EntryError::Text)?,
            },
            other => return Err(EntryError::Unknown(other)),
        };
        Ok(Self {
            negated: kind & condition::NEGATED != 0,
            test,
        })
    }
}

fn get_net(rest: &mut Rest<'_>) -> Result<Net, EntryError> {
    let family = rest.byte()?;
    let prefix = rest.byte()?;
    let addr = match family {
        4 => IpAddr::from(rest.array::<4>()?),
        6 => IpAddr::from(rest.array::<16>()?),
        other => return Err(EntryError::Unknown(other)),
    };
    Ok(Net { addr, prefix })
}

fn get_flag(rest: &mut Rest<'_>) -> Result<bool, EntryError> {
    match rest.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(EntryError::Unknown(other)),
    }
}

impl<'a> Target<'a> {
    fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        Ok(match rest.byte()? {
            target::REDIRECT => Self::Redirect {
                utm: get_flag(rest)?,
                url: rest.bytes(MAX_DESTINATION_BYTES)?,
            },
            target::PAGE => Self::Page {
                utm: get_flag(rest)?,
                page: rest.varint()?,
                destination: rest.bytes(MAX_DESTINATION_BYTES)?,
            },
            target::BODY => Self::Body(Body::get(rest)?),
            target::FILE => Self::File(File {
                key: rest.bytes(MAX_LABEL_BYTES)?,
                name: rest.bytes(MAX_LABEL_BYTES)?,
                content_type: rest.bytes(MAX_LABEL_BYTES)?,
                size: rest.varint()?,
                etag: rest.bytes(MAX_LABEL_BYTES)?,
            }),
            target::LINK => Self::Link {
                domain: rest.number(u32::MAX.into())?,
                slug: rest.bytes(MAX_SLUG_BYTES)?,
            },
            target::PICK => Self::Pick(List::new(rest.bytes(MAX_PLAN_BYTES)?, |rest| {
                Ok(Pick {
                    weight: rest.number(MAX_WEIGHT.into())?,
                    domain: rest.number(u32::MAX.into())?,
                    slug: rest.bytes(MAX_SLUG_BYTES)?,
                })
            })),
            other => return Err(EntryError::Unknown(other)),
        })
    }
}

impl<'a> Body<'a> {
    fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        Ok(Self {
            content_type: rest.bytes(MAX_LABEL_BYTES)?,
            disposition: rest.bytes(MAX_DESTINATION_BYTES)?,
            csp: rest.bytes(MAX_CSP_BYTES)?,
            max_age_s: rest.number(u32::MAX.into())?,
            content: match rest.byte()? {
                0 => Content::Inline(rest.bytes(MAX_INLINE_BODY_BYTES)?),
                1 => {
                    let hash = rest.take(32)?.try_into().map_err(|_| EntryError::Short)?;
                    Content::Blob(hash, rest.number(MAX_BLOB_BYTES)?)
                }
                other => return Err(EntryError::Unknown(other)),
            },
        })
    }
}

fn check_rule(mut part: Rest<'_>) -> Result<(), EntryError> {
    let rule = Rule::get_inner(&mut part)?;
    part.end()?;
    rule.conditions
        .check(MAX_CONDITIONS, |c| check_test(&c.test))?;
    check_target(&rule.target)
}

fn check_variants(bytes: &[u8]) -> Result<(), EntryError> {
    if bytes.is_empty() {
        return Ok(());
    }
    let variants = Variants::get(&mut Rest(bytes))?;
    let mut count = 0;
    variants.list.check(MAX_VARIANTS, |(_, target)| {
        count += 1;
        check_target(&target)
    })?;
    if variants.winner > count {
        return Err(EntryError::Limit);
    }
    Ok(())
}

fn check_test(test: &Test<'_>) -> Result<(), EntryError> {
    match test {
        Test::Country(codes) => {
            let legal = codes.len() % 2 == 0
                && (1..=MAX_VALUES).contains(&(codes.len() / 2))
                && codes.iter().all(u8::is_ascii_uppercase);
            if legal { Ok(()) } else { Err(EntryError::Text) }
        }
        Test::Region(texts)
        | Test::City(texts)
        | Test::Language(texts)
        | Test::Os(texts)
        | Test::Browser(texts) => texts.check(MAX_VALUES, utf8),
        Test::Device(set) => match set.0 {
            1..=15 => Ok(()),
            other => Err(EntryError::Unknown(other)),
        },
        Test::QueryPresent(name) => match name.len() {
            0..=MAX_VALUE_BYTES => utf8(name),
            _ => Err(EntryError::Limit),
        },
        Test::Query(name, values) => {
            utf8(name)?;
            values.check(MAX_VALUES, utf8)
        }
        Test::Ip(nets) => nets.check(MAX_VALUES, |net| {
            let most = if net.addr.is_ipv4() { 32 } else { 128 };
            if net.prefix > most {
                return Err(EntryError::Limit);
            }
            Ok(())
        }),
        Test::Before(_) | Test::After(_) => Ok(()),
        Test::Clock {
            zone,
            weekdays,
            from_minute,
            to_minute,
        } => {
            let legal = (1..=MAX_VALUE_BYTES).contains(&zone.len())
                && *weekdays < 128
                && *from_minute < DAY_MINUTES
                && *to_minute <= DAY_MINUTES;
            if legal {
                Ok(())
            } else {
                Err(EntryError::Limit)
            }
        }
    }
}

fn check_target(target: &Target<'_>) -> Result<(), EntryError> {
    match target {
        Target::Redirect { url, .. } => location(url),
        Target::Page {
            destination: [], ..
        } => Ok(()),
        Target::Page { destination, .. } => location(destination),
        Target::Body(body) => {
            label(body.content_type)?;
            value(body.disposition)?;
            value(body.csp)
        }
        Target::File(file) => {
            label(file.key)?;
            label(file.content_type)?;
            label(file.etag)?;
            if file.name.is_empty() || file.name.iter().any(|b| *b < b' ' || *b == 0x7f) {
                return Err(EntryError::Text);
            }
            utf8(file.name)
        }
        Target::Link { slug, .. } => self::slug(slug),
        Target::Pick(picks) => picks.check(MAX_PICKS, |pick| {
            if pick.weight == 0 {
                return Err(EntryError::Limit);
            }
            slug(pick.slug)
        }),
    }
}

fn utf8(text: &[u8]) -> Result<(), EntryError> {
    std::str::from_utf8(text)
        .map(|_| ())
        .map_err(|_| EntryError::Text)
}

/// A URL that may stand in a header.
fn location(url: &[u8]) -> Result<(), EntryError> {
    if url.is_empty() || url.len() > MAX_DESTINATION_BYTES {
        return Err(EntryError::Limit);
    }
    if !url.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(EntryError::Destination);
    }
    Ok(())
}

/// A header's value, perhaps empty.
fn value(text: &[u8]) -> Result<(), EntryError> {
    if text.iter().all(|b| (b' '..=0x7e).contains(b)) {
        return Ok(());
    }
    Err(EntryError::Text)
}

/// A header's value.
fn label(text: &[u8]) -> Result<(), EntryError> {
    if text.is_empty() {
        return Err(EntryError::Limit);
    }
    value(text)
}

fn slug(slug: &[u8]) -> Result<(), EntryError> {
    if slug.is_empty() {
        return Err(EntryError::Limit);
    }
    utf8(slug)
}
