//! Every rule of the format, for bytes that nobody has checked before.

use super::{Rule, Target, Test, Variants};
use crate::link::bytes::Rest;
use crate::link::plan::{
    DAY_MINUTES, MAX_CONDITIONS, MAX_PICKS, MAX_VALUE_BYTES, MAX_VALUES, MAX_VARIANTS,
};
use crate::link::{EntryError, MAX_DESTINATION_BYTES};

pub(super) fn check_rule(mut part: Rest<'_>) -> Result<(), EntryError> {
    let rule = Rule::get_inner(&mut part)?;
    part.end()?;
    rule.conditions
        .check(MAX_CONDITIONS, |c| check_test(&c.test))?;
    check_target(&rule.target)
}

pub(super) fn check_variants(bytes: &[u8]) -> Result<(), EntryError> {
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

pub(super) fn check_test(test: &Test<'_>) -> Result<(), EntryError> {
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

pub(super) fn check_target(target: &Target<'_>) -> Result<(), EntryError> {
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

pub(super) fn utf8(text: &[u8]) -> Result<(), EntryError> {
    std::str::from_utf8(text)
        .map(|_| ())
        .map_err(|_| EntryError::Text)
}

/// A URL that may stand in a header.
pub(super) fn location(url: &[u8]) -> Result<(), EntryError> {
    if url.is_empty() || url.len() > MAX_DESTINATION_BYTES {
        return Err(EntryError::Limit);
    }
    if !url.iter().all(|b| (0x21..=0x7e).contains(b)) {
        return Err(EntryError::Destination);
    }
    Ok(())
}

/// A header's value, perhaps empty.
pub(super) fn value(text: &[u8]) -> Result<(), EntryError> {
    if text.iter().all(|b| (b' '..=0x7e).contains(b)) {
        return Ok(());
    }
    Err(EntryError::Text)
}

/// A header's value.
pub(super) fn label(text: &[u8]) -> Result<(), EntryError> {
    if text.is_empty() {
        return Err(EntryError::Limit);
    }
    value(text)
}

pub(super) fn slug(slug: &[u8]) -> Result<(), EntryError> {
    if slug.is_empty() {
        return Err(EntryError::Limit);
    }
    utf8(slug)
}
