//! How each part of a plan lies in its bytes.

use std::net::IpAddr;

use super::{
    Body, Condition, Content, File, List, Pick, Rule, Target, Test, Variants, condition, item,
    target,
};
use crate::link::bytes::Rest;
use crate::link::plan::{
    Devices, MAX_BLOB_BYTES, MAX_CSP_BYTES, MAX_INLINE_BODY_BYTES, MAX_LABEL_BYTES, MAX_PLAN_BYTES,
    MAX_VALUE_BYTES, MAX_VARIANTS, MAX_WEIGHT, Matches, Net,
};
use crate::link::{EntryError, MAX_DESTINATION_BYTES};
use crate::slug::MAX_SLUG_BYTES;

pub(super) fn get_rule<'a>(rest: &mut Rest<'a>) -> Result<&'a [u8], EntryError> {
    match rest.byte()? {
        item::RULE => rest.bytes(MAX_PLAN_BYTES),
        other => Err(EntryError::Unknown(other)),
    }
}

pub(super) fn get_text<'a>(rest: &mut Rest<'a>) -> Result<&'a [u8], EntryError> {
    rest.bytes(MAX_VALUE_BYTES)
}

impl<'a> Rule<'a> {
    pub(super) fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
        let mut part = Rest(get_rule(rest)?);
        Self::get_inner(&mut part)
    }

    pub(super) fn get_inner(part: &mut Rest<'a>) -> Result<Self, EntryError> {
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
    pub(super) fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
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
    pub(super) fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
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

pub(super) fn get_net(rest: &mut Rest<'_>) -> Result<Net, EntryError> {
    let family = rest.byte()?;
    let prefix = rest.byte()?;
    let addr = match family {
        4 => IpAddr::from(rest.array::<4>()?),
        6 => IpAddr::from(rest.array::<16>()?),
        other => return Err(EntryError::Unknown(other)),
    };
    Ok(Net { addr, prefix })
}

pub(super) fn get_flag(rest: &mut Rest<'_>) -> Result<bool, EntryError> {
    match rest.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(EntryError::Unknown(other)),
    }
}

impl<'a> Target<'a> {
    pub(super) fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
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
    pub(super) fn get(rest: &mut Rest<'a>) -> Result<Self, EntryError> {
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
