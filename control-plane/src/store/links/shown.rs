//! Pages that a link shows: of its surface and pixels, and texts for visitors of a link that has expired or is used up.
//! Texts are pages too, shared by all links with the same one; like the others they go when no link shows them.

use sha2::{Digest as _, Sha256};

use super::WriteError;
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Extras, Pages};
use crate::domain::page::Rendered;
use crate::pages::{PageError, page_for};
use crate::render;
use crate::store::feed::Write;
use crate::store::pages::{self, Kind};

/// Most different texts in a workspace: each is a page in the memory of every proxy.
const MAX_TEXTS: i64 = 1000;

/// Finds or makes the pages of a link. Before other rows of links are written, see [`page_for`].
pub(super) async fn find(
    write: &mut Write,
    workspace: i64,
    content: &Content,
    now_ms: i64,
) -> Result<Pages, WriteError> {
    let extras = &content.extras;
    let shown = page_for(write, workspace, &extras.page_spec(), now_ms)
        .await
        .map_err(|error| match error {
            PageError::Field(error) => WriteError::Refused(error),
            PageError::Failed(error) => WriteError::Failed(error),
        })?;
    let expired = match (extras.expired_title.as_str(), extras.expired_text.as_str()) {
        ("", "") => None,
        (title, text) => {
            let page = render::expired(title, text);
            Some(note(write, workspace, ("expired_text", &page), now_ms).await?)
        }
    };
    let beyond = match extras.max_clicks_text.as_str() {
        "" => None,
        text => {
            let page = render::notice(410, "This link has been used up", text);
            Some(note(write, workspace, ("max_clicks_text", &page), now_ms).await?)
        }
    };
    Ok(Pages {
        shown,
        expired,
        beyond,
    })
}

/// Whether [`find`] would find none and ask for none.
pub(super) fn needs_no_page(content: &Content) -> bool {
    let extras = &content.extras;
    let texts = [
        &extras.expired_title,
        &extras.expired_text,
        &extras.max_clicks_text,
    ];
    extras.page_spec().is_plain() && texts.iter().all(|text| text.is_empty())
}

/// The page of a text, found by what is on it.
async fn note(
    write: &mut Write,
    workspace: i64,
    (field, page): (&str, &Rendered),
    now_ms: i64,
) -> Result<i64, WriteError> {
    let key = hex::encode(Sha256::digest(&page.body));
    let place = (workspace, Kind::Expired, key.as_str());
    if let Some(id) = pages::find(write, place, now_ms).await? {
        return Ok(id);
    }
    // Two calls at once must not both have the last place.
    pages::lock(write, workspace).await?;
    if let Some(id) = pages::find(write, place, now_ms).await? {
        return Ok(id);
    }
    if pages::count(write, workspace, Kind::Expired).await? >= MAX_TEXTS {
        let problem = format!(
            "must be one of the {MAX_TEXTS} texts that links of this workspace show already"
        );
        return Err(FieldError::new(field, problem).into());
    }
    Ok(pages::put(write, place, page, now_ms).await?)
}

/// Notes which pages the link shows, once its row is there.
pub(super) async fn note_shown(
    write: &mut Write,
    link: i64,
    pages: Pages,
    is_new: New,
) -> sqlx::Result<()> {
    let ids: Vec<i64> = [pages.shown, pages.expired, pages.beyond]
        .into_iter()
        .flatten()
        .collect();
    if is_new == New::Yes && ids.is_empty() {
        return Ok(());
    }
    pages::show(write, link, &ids).await
}

/// Whether a link has just been added: a plain one then needs no note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum New {
    Yes,
    No,
}

/// Whether two states of a link show the same pages.
pub(super) fn same(a: &Extras, b: &Extras) -> bool {
    a.page_spec() == b.page_spec()
        && a.expired_text == b.expired_text
        && a.expired_title == b.expired_title
        && a.max_clicks_text == b.max_clicks_text
}
