//! A new link on its way into the table: what it will be, and what is written beside its row.

use super::shown::New;
use super::write::{entry_of, row};
use super::{Added, Link, NewLink, WriteError, groups, shown};
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Pages};
use crate::store::{entries, feed, looks};

/// A new link on its way into the table.
pub(super) struct Draft<'a> {
    new: NewLink<'a>,
    pages: Pages,
    link: Link,
    entry: Vec<u8>,
}

impl<'a> Draft<'a> {
    /// With the slug it wants, or a drawn one. Inside: why the rules refuse it.
    pub(super) async fn new(
        write: &mut feed::Write,
        (workspace, id): (i64, i64),
        new: NewLink<'a>,
        pages: Pages,
        now_ms: i64,
    ) -> Result<Result<Self, FieldError>, WriteError> {
        if let Err(error) = groups::check(write, workspace, &new.groups).await? {
            return Ok(Err(error));
        }
        let slug = match &new.slug {
            Some(slug) => slug.clone(),
            None => entries::drawn_of(new.letters, 0)?,
        };
        let link = Link {
            id,
            uuid: uuid::Uuid::new_v4().to_string(),
            workspace_id: workspace,
            domain_id: new.domain.id,
            base_url: new.domain.base_url.clone(),
            slug,
            content: Content {
                is_drawn: new.slug.is_none(),
                ..new.content.clone()
            },
            imported_clicks: new.imported_clicks,
            created_at: new.created_at.unwrap_or(now_ms),
            updated_at: now_ms,
        };
        Ok(entry_of(&link, pages).map(|entry| Self {
            new,
            pages,
            link,
            entry,
        }))
    }

    pub(super) fn row(&self) -> (entries::Row<'_>, &str) {
        (row(&self.link, &self.entry), &self.link.uuid)
    }

    /// Writes what a link has beside its row; before that, where the row could not be added, tries other slugs if it may.
    pub(super) async fn finish(
        mut self,
        write: &mut feed::Write,
        mut is_added: bool,
        now_ms: i64,
    ) -> Result<Added, WriteError> {
        if !is_added && self.new.slug.is_some() {
            return Ok(Added::Taken(self.link.slug));
        }
        for draw in 1..entries::DRAWS {
            if is_added {
                break;
            }
            self.link.slug = entries::drawn_of(self.new.letters, draw)?;
            self.entry = match entry_of(&self.link, self.pages) {
                Ok(entry) => entry,
                Err(error) => return Ok(Added::Refused(error)),
            };
            let (row, uuid) = self.row();
            is_added = entries::insert(write, &row, uuid, now_ms).await?;
        }
        if !is_added {
            return Err(WriteError::Failed(anyhow::anyhow!(
                "no free slug in {} draws",
                entries::DRAWS
            )));
        }
        let Self {
            new, pages, link, ..
        } = self;
        if new.imported_clicks != 0 || new.created_at.is_some() {
            note_origin(write, &link).await?;
        }
        shown::note_shown(write, link.id, pages, New::Yes).await?;
        looks::want(write, link.id, new.look, &link.content.extras);
        groups::assign(write, (link.workspace_id, link.id), &new.groups, now_ms).await?;
        Ok(Added::Link(Box::new(link)))
    }
}

/// What an imported link brings with it.
async fn note_origin(write: &mut feed::Write, link: &Link) -> sqlx::Result<()> {
    sqlx::query("UPDATE links SET imported_clicks = $1, created_at = $2 WHERE id = $3")
        .bind(link.imported_clicks)
        .bind(link.created_at)
        .bind(link.id)
        .execute(write.connection())
        .await?;
    Ok(())
}
