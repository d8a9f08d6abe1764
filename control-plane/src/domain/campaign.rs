//! A campaign: links that belong together, a rotator that leads visitors to one of them in turn, and a public list.
//!
//! The rotator answers at `/r/<slug>`, the list at `/u/<user>/<slug>-<id>`, or `/u/<user>/list-<id>` without a slug; both
//! on the default domain. A link is in one campaign or in none.

use schemas::link::plan::{LinkKey, MAX_PICKS, MAX_PLAN_BYTES, MAX_WEIGHT, Pick, Plan, Target};
use schemas::link::{Entry, EntryError, Status};
use schemas::slug::Slug;

use super::field::FieldError;
use super::link::Key;
use super::{alias, channel};

/// Weight of a link that is given none.
pub const DEFAULT_WEIGHT: u32 = 1;

/// Most links that a public list shows: the newest. A page of twice as many would be longer than a blob may be.
pub const MAX_LISTED: usize = 500;

/// Bytes of a pick beside its slug: three numbers of at most ten.
const PICK_BYTES: usize = 30;

/// Bytes of a plan beside its picks.
const PLAN_BYTES: usize = 64;

/// What an owner wants of a campaign; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Its name.
    pub name: Option<String>,
    /// The rotator's path behind `r/`; `Some(None)`: no rotator.
    pub slug: Option<Option<Slug>>,
    /// Whether the list is shown.
    pub is_public: Option<bool>,
}

/// Takes a campaign's name: one line, not empty.
///
/// # Errors
/// A rule it breaks.
pub fn name(text: &str) -> Result<String, FieldError> {
    channel::name("name", text)
}

/// Takes the slug of a campaign; a blank one means: no rotator. The longer paths that are made of it are checked too.
///
/// # Errors
/// A rule it breaks.
pub fn slug(text: &str) -> Result<Option<Slug>, FieldError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let slug = alias::custom("slug", text)?;
    rotator_slug(&slug)?;
    // The list's slug is longer by the user's name and the id; the longest of both is known here.
    if slug.as_str().len() > MAX_SLUG_BYTES {
        return Err(FieldError::new(
            "slug",
            format!("must be at most {MAX_SLUG_BYTES} bytes long"),
        ));
    }
    Ok(Some(slug))
}

/// Longest slug of a campaign, in bytes: leaves room for a user's name and an id beside it in the list's slug.
pub const MAX_SLUG_BYTES: usize = 100;

/// Longest part of a user's name in the list's slug, in bytes.
const MAX_USER_BYTES: usize = 100;

/// Slug of the rotator.
///
/// # Errors
/// Too long.
pub fn rotator_slug(slug: &Slug) -> Result<Slug, FieldError> {
    Slug::parse(&format!("r/{slug}")).map_err(|e| FieldError::new("slug", e.to_string()))
}

/// Slug of the list.
///
/// # Errors
/// None of what [`slug`] takes; a text that is no slug.
pub fn list_slug(user_name: &str, slug: Option<&Slug>, id: i64) -> Result<Slug, FieldError> {
    let slug = slug.map_or("list", Slug::as_str);
    Slug::parse(&format!("u/{}/{slug}-{id}", user_part(user_name)))
        .map_err(|e| FieldError::new("slug", e.to_string()))
}

/// A user's name as one segment of a path: what no slug may hold becomes `-`.
fn user_part(name: &str) -> String {
    let mut part = String::new();
    for c in name.chars() {
        let keep = c != '/' && Slug::parse(&format!("a{c}a")).is_ok();
        let c = if keep { c } else { '-' };
        if part.len() + c.len_utf8() > MAX_USER_BYTES {
            break;
        }
        part.push(c);
    }
    if part.bytes().all(|b| b == b'.') {
        return "user".to_owned();
    }
    part
}

/// Takes the share of a link in its campaign's rotation.
///
/// # Errors
/// 0, or beyond what a rotator can hold.
pub fn weight(number: i64) -> Result<u32, FieldError> {
    u32::try_from(number)
        .ok()
        .filter(|w| (1..=MAX_WEIGHT).contains(w))
        .ok_or_else(|| {
            FieldError::new(
                "weight",
                format!("must be a whole number from 1 to {MAX_WEIGHT}"),
            )
        })
}

/// The entry of a rotator over these links, of which as many are taken from the front as fit: [`MAX_PICKS`], fewer where
/// slugs are long. Without any it answers as a link that is switched off does.
///
/// # Errors
/// A link that cannot be picked.
pub fn rotator_entry(key: Key<'_>, links: Vec<Pick>) -> Result<Vec<u8>, EntryError> {
    let mut room = MAX_PLAN_BYTES - PLAN_BYTES;
    let picks: Vec<Pick> = links
        .into_iter()
        .take(MAX_PICKS)
        .take_while(|pick| {
            let bytes = pick.link.slug.len() + PICK_BYTES;
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        })
        .collect();
    if picks.is_empty() {
        return closed_entry(key);
    }
    entry(key, Some(Target::Pick(picks)))
}

/// The entry of a list, or of a rotator, that shows nothing: visitors get 404. Its id and its clicks stay.
///
/// # Errors
/// A slug beyond its limit.
pub fn closed_entry(key: Key<'_>) -> Result<Vec<u8>, EntryError> {
    entry(key, None)
}

/// The entry of a list that shows this page.
///
/// # Errors
/// A slug beyond its limit.
pub fn list_entry(key: Key<'_>, page: u64) -> Result<Vec<u8>, EntryError> {
    let target = Target::Page {
        page,
        destination: String::new(),
        utm: false,
    };
    entry(key, Some(target))
}

/// `None`: switched off.
fn entry(key: Key<'_>, target: Option<Target>) -> Result<Vec<u8>, EntryError> {
    let disabled = target.is_none();
    let plan = Plan {
        target,
        ..Plan::default()
    }
    .encode()?;
    let entry = Entry {
        domain: key.domain,
        slug: key.slug.as_str().as_bytes(),
        // Nobody is ever led there; an entry without a target must have one.
        destination: if disabled { b"about:blank" } else { b"" },
        link: key.link,
        workspace: key.workspace,
        status: Status::Found,
        disabled,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: &plan,
    };
    let mut bytes = Vec::with_capacity(plan.len() + 300);
    entry.encode(&mut bytes)?;
    Ok(bytes)
}

/// A link as a rotator holds it.
pub fn pick(domain: u32, slug: String, weight: u32) -> Pick {
    Pick {
        weight,
        link: LinkKey { domain, slug },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(user: &str, campaign: &str, expected: &str) {
        let slug = slug(campaign).expect("legal");
        let list = list_slug(user, slug.as_ref(), 7).expect("legal");
        assert_eq!(list.as_str(), expected);
    }

    #[test]
    fn lists_have_a_path_whatever_the_user_is_called() {
        check("admin", "", "u/admin/list-7");
        check("admin", "new-campaign", "u/admin/new-campaign-7");
        check("a b/../c@e.test", "x", "u/a-b-..-c-e.test/x-7");
        check("..", "x", "u/user/x-7");
        check("", "x", "u/user/x-7");
        check("józef", "x", "u/józef/x-7");
        let long = "ü".repeat(300);
        let slug = slug(&"s".repeat(MAX_SLUG_BYTES)).expect("legal");
        assert!(list_slug(&long, slug.as_ref(), i64::MAX).is_ok());
    }

    #[test]
    fn hostile_slugs_are_refused_by_name() {
        for bad in [
            "a b",
            "a//b",
            "../x",
            "r/x",
            "u/x",
            "\0",
            &"s".repeat(101),
            &"s".repeat(9999),
        ] {
            let error = slug(bad).expect_err(bad);
            assert_eq!(error.field, "slug");
        }
        assert_eq!(slug("  "), Ok(None));
    }

    fn picks(entry: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let entry = Entry::parse(entry).expect("an entry");
        let view = schemas::link::view::View::parse(entry.plan).expect("a plan");
        match view.target() {
            Some(schemas::link::view::Target::Pick(picks)) => {
                picks.map(|p| (p.weight, p.slug.to_vec())).collect()
            }
            None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rotator_holds_as_many_links_as_fit() {
        let slug = Slug::parse("r/x").expect("legal");
        let key = Key {
            domain: 1,
            slug: &slug,
            link: 7,
            workspace: 3,
        };
        let links = |count: usize, slug: &str| -> Vec<Pick> {
            (0..count)
                .map(|n| pick(1, format!("{slug}{n}"), 5))
                .collect()
        };
        let few = rotator_entry(key, links(2, "a")).expect("fits");
        assert_eq!(picks(&few), [(5, b"a0".to_vec()), (5, b"a1".to_vec())]);
        let short = rotator_entry(key, links(10_000, "a")).expect("fits");
        assert!((900..=MAX_PICKS).contains(&picks(&short).len()));
        let long = rotator_entry(key, links(10_000, &"é".repeat(125))).expect("fits");
        assert!((100..200).contains(&picks(&long).len()));
        let none = rotator_entry(key, Vec::new()).expect("fits");
        assert!(Entry::parse(&none).expect("an entry").disabled && picks(&none).is_empty());
        let zero = vec![pick(1, "a".to_owned(), 0)];
        assert!(rotator_entry(key, zero).is_err());
    }

    #[test]
    fn weights_are_bounded() {
        assert_eq!(weight(1), Ok(1));
        assert_eq!(weight(i64::from(MAX_WEIGHT)), Ok(MAX_WEIGHT));
        for bad in [0, -1, i64::from(MAX_WEIGHT) + 1, i64::MAX, i64::MIN] {
            assert_eq!(weight(bad).expect_err("out of range").field, "weight");
        }
    }
}
