//! What visitors meet of a code: its own address, and its image.

use schemas::link::plan::{
    Body, Condition, Content as Bytes, LinkKey, MAX_INLINE_BODY_BYTES, Matches, Plan, Rule, Target,
    Test,
};
use schemas::link::{Entry, EntryError, Status};
use schemas::slug::Slug;
use sha2::{Digest as _, Sha256};

use super::Content;
use super::style::Format;
use crate::domain::destination::has_utm;
use crate::domain::link::Key;

/// Name of the parameter that opens an image's address.
pub const TOKEN: &str = "token";

/// Seconds a cache may keep an image: short, since its owner may change colours or logo.
const IMAGE_MAX_AGE_S: u32 = 300;

/// Content security policy of an SVG opened by itself: nothing but the logo inside it.
const SVG_CSP: &str = "default-src 'none'; img-src data:; sandbox";

/// An image as proxies serve it: small ones travel in the entry, others are blobs.
pub fn body(id: i64, format: Format, image: &[u8]) -> Body {
    let content = if image.len() <= MAX_INLINE_BODY_BYTES {
        Bytes::Inline(image.to_vec())
    } else {
        Bytes::Blob {
            hash: Sha256::digest(image).into(),
            size: image.len() as u64,
        }
    };
    let csp = match format {
        Format::Svg => SVG_CSP,
        Format::Png | Format::Webp => "",
    };
    Body {
        content,
        content_type: format.media_type().to_owned(),
        disposition: format!("inline; filename=\"qr-{id}.{}\"", format.name()),
        csp: csp.to_owned(),
        max_age_s: IMAGE_MAX_AGE_S,
    }
}

/// The entry at `qr/<slug>`: leads on (to a destination, or to the link it was made
/// for) and counts scans, or answers the image and counts nothing.
///
/// # Errors
/// Something beyond a limit of entries.
pub fn scan(key: Key<'_>, content: &Content, image: Body) -> Result<Vec<u8>, EntryError> {
    match content {
        Content::Tracked(destination) => encode(
            key,
            destination.as_str(),
            &Plan {
                scan: true,
                ..Plan::default()
            },
        ),
        Content::Marked(link) => encode(
            key,
            "",
            &Plan {
                scan: true,
                target: Some(Target::Link(LinkKey {
                    domain: link.domain,
                    slug: link.slug.as_str().to_owned(),
                })),
                ..Plan::default()
            },
        ),
        Content::Fixed(_) => encode(
            key,
            "",
            &Plan {
                target: Some(Target::Body(image)),
                uncounted: true,
                ..Plan::default()
            },
        ),
    }
}

/// The entry at `qr/<slug>` of a link's own code: a scan, that hops to the link.
///
/// # Errors
/// Something beyond a limit of entries.
pub fn mark(key: Key<'_>, link: &Slug) -> Result<Vec<u8>, EntryError> {
    let link = LinkKey {
        domain: key.domain,
        slug: link.as_str().to_owned(),
    };
    encode(
        key,
        "",
        &Plan {
            scan: true,
            target: Some(Target::Link(link)),
            ..Plan::default()
        },
    )
}

/// The entry of the image's address: the image for who has the token; for all others there is nothing.
///
/// # Errors
/// Something beyond a limit of entries.
pub fn image(key: Key<'_>, token: &str, image: Body) -> Result<Vec<u8>, EntryError> {
    // A link that can never be: this path takes no slug that an owner chooses. What leads there is answered as unknown.
    let nowhere = LinkKey {
        domain: key.domain,
        slug: format!("{}/-", key.slug),
    };
    let has_token = Condition {
        negated: false,
        test: Test::Query {
            name: TOKEN.to_owned(),
            values: vec![token.to_owned()],
        },
    };
    let rule = Rule {
        matches: Matches::All,
        conditions: vec![has_token],
        target: Target::Body(image),
    };
    encode(
        key,
        "",
        &Plan {
            rules: vec![rule],
            target: Some(Target::Link(nowhere)),
            uncounted: true,
            ..Plan::default()
        },
    )
}

fn encode(key: Key<'_>, destination: &str, plan: &Plan) -> Result<Vec<u8>, EntryError> {
    let plan = plan.encode()?;
    let entry = Entry {
        domain: key.domain,
        slug: key.slug.as_str().as_bytes(),
        destination: destination.as_bytes(),
        link: key.link,
        workspace: key.workspace,
        status: Status::Found,
        disabled: false,
        utm: has_utm(destination),
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: &plan,
    };
    let mut bytes = Vec::with_capacity(destination.len() + plan.len() + 64);
    entry.encode(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::destination::Destination;

    fn key(slug: &Slug) -> Key<'_> {
        Key {
            domain: 1,
            slug,
            link: 7,
            workspace: 3,
        }
    }

    fn plan(bytes: &[u8]) -> (String, Plan) {
        let entry = Entry::parse(bytes).expect("own entry");
        let destination = String::from_utf8(entry.destination.to_vec()).expect("ascii");
        (destination, Plan::decode(entry.plan).expect("own plan"))
    }

    #[test]
    fn a_tracked_code_leads_on_and_its_visits_are_scans() {
        let slug = Slug::parse("qr/a2d5e").expect("legal");
        let url = Destination::parse("url", "https://e.test/?utm_source=x").expect("legal");
        let image = body(1, Format::Png, b"png");
        let bytes = scan(key(&slug), &Content::Tracked(url), image.clone()).expect("fits");
        let (destination, plan_of) = plan(&bytes);
        assert_eq!(destination, "https://e.test/?utm_source=x");
        assert!(plan_of.scan && !plan_of.uncounted && plan_of.target.is_none());
        assert!(Entry::parse(&bytes).expect("own entry").utm);
        let fixed = scan(key(&slug), &Content::Fixed("x".to_owned()), image.clone());
        let (destination, plan_of) = plan(&fixed.expect("fits"));
        assert_eq!(destination, "");
        assert!(!plan_of.scan && plan_of.uncounted);
        assert_eq!(plan_of.target, Some(Target::Body(image)));
    }

    #[test]
    fn small_images_travel_in_the_entry_and_large_ones_do_not() {
        let slug = Slug::parse("dashboard/qrcodes/1/download/svg").expect("legal");
        let svg = body(1, Format::Svg, &[b'x'; 4097]);
        assert_eq!(svg.content_type, "image/svg+xml");
        assert_eq!(svg.csp, SVG_CSP);
        assert!(matches!(svg.content, Bytes::Blob { size: 4097, .. }));
        let png = body(1, Format::Png, &[b'x'; 4096]);
        assert!(matches!(png.content, Bytes::Inline(_)));
        for body in [svg, png] {
            let (_, plan) = plan(&image(key(&slug), "secret", body.clone()).expect("fits"));
            assert!(plan.uncounted);
            assert_eq!(plan.rules[0].target, Target::Body(body));
            assert!(matches!(plan.target, Some(Target::Link(_))));
        }
    }
}
