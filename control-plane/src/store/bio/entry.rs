//! Entries below `u/bio/`: a way out, and a picture.

use schemas::link::plan::{Body, Content, MAX_INLINE_BODY_BYTES, Plan, Target as To};
use schemas::link::{Entry, EntryError, Status};

use super::super::blobs::BlobHash;
use crate::domain::destination::has_utm;
use crate::domain::link::Key;
use crate::render::bio::Target;

/// Seconds a cache may keep a picture: its address changes with it.
const PICTURE_MAX_AGE_S: u32 = 30 * 86_400;

/// Whether a file is too large for its entry.
pub(super) fn needs_blob(target: &Target) -> Option<&[u8]> {
    match target {
        Target::File { bytes, .. } if bytes.len() > MAX_INLINE_BODY_BYTES => Some(bytes),
        _ => None,
    }
}

/// A way out: a plain redirect, or a file.
///
/// # Errors
/// Something beyond a limit of entries.
pub(super) fn way(key: Key<'_>, target: &Target) -> Result<Vec<u8>, EntryError> {
    match target {
        Target::Url(url) => encode(key, url, &[]),
        Target::File {
            content_type,
            name,
            bytes,
        } => {
            let body = Body {
                content: content(bytes),
                content_type: (*content_type).to_owned(),
                disposition: format!("attachment; filename=\"{name}\""),
                csp: String::new(),
                max_age_s: 0,
            };
            let plan = Plan {
                target: Some(To::Body(body)),
                ..Plan::default()
            };
            encode(key, "", &plan.encode()?)
        }
    }
}

/// A picture. Nobody is counted for seeing one.
///
/// # Errors
/// Something beyond a limit of entries.
pub(super) fn picture(
    key: Key<'_>,
    (hash, size): (BlobHash, u64),
    content_type: &str,
) -> Result<Vec<u8>, EntryError> {
    let body = Body {
        content: Content::Blob { hash: hash.0, size },
        content_type: content_type.to_owned(),
        disposition: String::new(),
        csp: String::new(),
        max_age_s: PICTURE_MAX_AGE_S,
    };
    let plan = Plan {
        target: Some(To::Body(body)),
        uncounted: true,
        ..Plan::default()
    };
    encode(key, "", &plan.encode()?)
}

fn content(bytes: &[u8]) -> Content {
    if bytes.len() <= MAX_INLINE_BODY_BYTES {
        Content::Inline(bytes.to_vec())
    } else {
        Content::Blob {
            hash: BlobHash::of(bytes).0,
            size: bytes.len() as u64,
        }
    }
}

fn encode(key: Key<'_>, destination: &str, plan: &[u8]) -> Result<Vec<u8>, EntryError> {
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
        plan,
    };
    let mut bytes = Vec::with_capacity(destination.len() + plan.len() + 64);
    entry.encode(&mut bytes)?;
    Ok(bytes)
}
