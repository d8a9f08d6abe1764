//! A [`Plan`] to bytes.
//!
//! ```text
//! plan      := (tag:varint length:varint item)*            tags rise; RULE alone may repeat
//! RULE 1        matches:u8 length:varint condition* target
//! VARIANTS 2    ends_at:i64le winner:varint (weight:varint target)*
//! TARGET 3      target
//! PASSWORD 4    version:varint phc:bytes
//! LIMIT 5       max:varint kind:u8 (0 | 1 url:bytes | 2 page:varint)
//! EXPIRED 6     page:varint
//! SWITCHES 7    bits:u8: 1 pass_query, 2 scan, 4 uncounted
//! APPLE 8, GOOGLE 9   url
//! PREVIEW 10    title:bytes description:bytes image:bytes
//! DELETED 11    from:i64le
//!
//! condition := kind:u8 (high bit: negated) length:varint payload
//!   1 country (two bytes each)  2 region, 3 city, 4 language, 6 os, 7 browser (bytes each)  5 devices:u8
//!   8 query name  9 query name:bytes value:bytes*  10 (4|6 prefix:u8 address)*  11 before:i64le  12 after:i64le
//!   13 weekdays:u8 from:u16le to:u16le zone
//! target    := 1 utm:u8 url:bytes | 2 utm:u8 page:varint url:bytes | 3 body | 4 file | 5 domain:varint slug:bytes
//!            | 6 length:varint (weight:varint domain:varint slug:bytes)*
//! body      := content_type:bytes disposition:bytes csp:bytes max_age:varint (0 bytes | 1 hash:32 size:varint)
//! file      := key:bytes name:bytes content_type:bytes size:varint etag:bytes
//! ```
//!
//! What is written is checked with the reader, so there is one place that knows the rules.

use std::net::IpAddr;

use super::EntryError;
use super::bytes::{put_bytes, put_varint};
use super::plan::{Beyond, Body, Condition, Content, Matches, Plan, Rule, Target, Test, Variants};
use super::view::{View, condition, item, target};

impl Plan {
    /// Whether it says anything: a link with an empty plan is a plain one.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The encoded plan, for [`super::Entry::plan`]; empty for a plan that says nothing.
    ///
    /// # Errors
    /// Something in it is beyond its limit, or must not stand in a header.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let mut out = Vec::new();
        let mut put = |tag: u8, fill: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            fill(&mut bytes);
            out.push(tag);
            put_bytes(&mut out, &bytes);
        };
        for rule in &self.rules {
            put(item::RULE, &|out| put_rule(out, rule));
        }
        if let Some(variants) = &self.variants {
            put(item::VARIANTS, &|out| put_variants(out, variants));
        }
        if let Some(target) = &self.target {
            put(item::TARGET, &|out| put_target(out, target));
        }
        if let Some(password) = &self.password {
            put(item::PASSWORD, &|out| {
                put_varint(out, password.version.into());
                put_bytes(out, password.phc.as_bytes());
            });
        }
        if let Some(limit) = &self.click_limit {
            put(item::LIMIT, &|out| {
                put_varint(out, limit.max);
                match &limit.beyond {
                    Beyond::Expired => out.push(0),
                    Beyond::Url(url) => {
                        out.push(1);
                        put_bytes(out, url.as_bytes());
                    }
                    Beyond::Page(page) => {
                        out.push(2);
                        put_varint(out, *page);
                    }
                }
            });
        }
        if let Some(page) = self.expired_page {
            put(item::EXPIRED, &|out| put_varint(out, page));
        }
        let mut switches = 0;
        for (on, bit) in [
            (self.pass_query, item::PASS_QUERY),
            (self.scan, item::SCAN),
            (self.uncounted, item::UNCOUNTED),
        ] {
            switches |= if on { bit } else { 0 };
        }
        if switches != 0 {
            put(item::SWITCHES, &|out| out.push(switches));
        }
        for (tag, url) in [(item::APPLE, &self.apple), (item::GOOGLE, &self.google)] {
            if let Some(url) = url {
                put(tag, &|out| out.extend_from_slice(url.as_bytes()));
            }
        }
        if let Some(preview) = &self.preview {
            put(item::PREVIEW, &|out| {
                put_bytes(out, preview.title.as_bytes());
                put_bytes(out, preview.description.as_bytes());
                put_bytes(out, preview.image.as_bytes());
            });
        }
        if let Some(instant) = self.deletes_at_ms {
            put(item::DELETED, &|out| {
                out.extend_from_slice(&instant.to_le_bytes());
            });
        }
        View::parse(&out)?;
        Ok(out)
    }
}

fn put_rule(out: &mut Vec<u8>, rule: &Rule) {
    out.push(match rule.matches {
        Matches::All => 0,
        Matches::Any => 1,
    });
    let mut conditions = Vec::new();
    for condition in &rule.conditions {
        put_condition(&mut conditions, condition);
    }
    put_bytes(out, &conditions);
    put_target(out, &rule.target);
}

fn put_variants(out: &mut Vec<u8>, variants: &Variants) {
    out.extend_from_slice(&variants.ends_at_ms.to_le_bytes());
    put_varint(out, variants.winner.into());
    for variant in &variants.list {
        put_varint(out, variant.weight.into());
        put_target(out, &variant.target);
    }
}

fn put_condition(out: &mut Vec<u8>, condition: &Condition) {
    let mut payload = Vec::new();
    let texts = |list: &[String]| {
        let mut out = Vec::new();
        for text in list {
            put_bytes(&mut out, text.as_bytes());
        }
        out
    };
    let kind = match &condition.test {
        Test::Country(codes) => {
            payload = codes.concat();
            condition::COUNTRY
        }
        Test::Region(list) => {
            payload = texts(list);
            condition::REGION
        }
        Test::City(list) => {
            payload = texts(list);
            condition::CITY
        }
        Test::Language(list) => {
            payload = texts(list);
            condition::LANGUAGE
        }
        Test::Device(set) => {
            payload.push(set.0);
            condition::DEVICE
        }
        Test::Os(list) => {
            payload = texts(list);
            condition::OS
        }
        Test::Browser(list) => {
            payload = texts(list);
            condition::BROWSER
        }
        Test::QueryPresent(name) => {
            payload.extend_from_slice(name.as_bytes());
            condition::QUERY_PRESENT
        }
        Test::Query { name, values } => {
            put_bytes(&mut payload, name.as_bytes());
            payload.append(&mut texts(values));
            condition::QUERY
        }
        Test::Ip(nets) => {
            for net in nets {
                match net.addr {
                    IpAddr::V4(v4) => {
                        payload.extend_from_slice(&[4, net.prefix]);
                        payload.extend_from_slice(&v4.octets());
                    }
                    IpAddr::V6(v6) => {
                        payload.extend_from_slice(&[6, net.prefix]);
                        payload.extend_from_slice(&v6.octets());
                    }
                }
            }
            condition::IP
        }
        Test::Before(instant) => {
            payload.extend_from_slice(&instant.to_le_bytes());
            condition::BEFORE
        }
        Test::After(instant) => {
            payload.extend_from_slice(&instant.to_le_bytes());
            condition::AFTER
        }
        Test::Clock(clock) => {
            payload.push(clock.weekdays);
            payload.extend_from_slice(&clock.from_minute.to_le_bytes());
            payload.extend_from_slice(&clock.to_minute.to_le_bytes());
            payload.extend_from_slice(clock.zone.as_bytes());
            condition::CLOCK
        }
    };
    let negated = if condition.negated {
        condition::NEGATED
    } else {
        0
    };
    out.push(kind | negated);
    put_bytes(out, &payload);
}

fn put_target(out: &mut Vec<u8>, target: &Target) {
    match target {
        Target::Redirect { url, utm } => {
            out.extend_from_slice(&[target::REDIRECT, u8::from(*utm)]);
            put_bytes(out, url.as_bytes());
        }
        Target::Page {
            page,
            destination,
            utm,
        } => {
            out.extend_from_slice(&[target::PAGE, u8::from(*utm)]);
            put_varint(out, *page);
            put_bytes(out, destination.as_bytes());
        }
        Target::Body(body) => {
            out.push(target::BODY);
            put_body(out, body);
        }
        Target::File(file) => {
            out.push(target::FILE);
            for text in [&file.key, &file.name, &file.content_type] {
                put_bytes(out, text.as_bytes());
            }
            put_varint(out, file.size);
            put_bytes(out, file.etag.as_bytes());
        }
        Target::Link(link) => {
            out.push(target::LINK);
            put_varint(out, link.domain.into());
            put_bytes(out, link.slug.as_bytes());
        }
        Target::Pick(picks) => {
            out.push(target::PICK);
            let mut list = Vec::new();
            for pick in picks {
                put_varint(&mut list, pick.weight.into());
                put_varint(&mut list, pick.link.domain.into());
                put_bytes(&mut list, pick.link.slug.as_bytes());
            }
            put_bytes(out, &list);
        }
    }
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    for text in [&body.content_type, &body.disposition, &body.csp] {
        put_bytes(out, text.as_bytes());
    }
    put_varint(out, body.max_age_s.into());
    match &body.content {
        Content::Inline(bytes) => {
            out.push(0);
            put_bytes(out, bytes);
        }
        Content::Blob { hash, size } => {
            out.push(1);
            out.extend_from_slice(hash);
            put_varint(out, *size);
        }
    }
}
