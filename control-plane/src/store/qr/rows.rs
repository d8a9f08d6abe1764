//! The two rows of `links` that every code has.

use schemas::slug::Slug;

use super::image_path;
use super::write::Drawn;
use crate::domain::link::{Content as LinkContent, Key};
use crate::domain::qr::{Content, entry};
use crate::store::entries::{self, Kind as EntryKind, Row};

/// What names a code and its rows.
pub(super) struct Ids<'a> {
    pub(super) id: i64,
    pub(super) workspace: i64,
    pub(super) domain: i64,
    pub(super) link_id: i64,
    pub(super) image_link_id: i64,
    pub(super) slug: &'a Slug,
    pub(super) token: &'a str,
}

impl Ids<'_> {
    pub(super) fn key<'s>(&self, link: i64, slug: &'s Slug) -> Key<'s> {
        Key {
            domain: entries::domain_number(self.domain),
            slug,
            link: link.cast_unsigned(),
            workspace: self.workspace.cast_unsigned(),
        }
    }
}

/// The two rows of `links`.
pub(super) struct Rows<'a> {
    ids: &'a Ids<'a>,
    image_slug: Slug,
    content: LinkContent,
    image_content: LinkContent,
    scan_entry: Vec<u8>,
    image_entry: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(ids: &'a Ids<'a>, drawn: &Drawn<'_>) -> anyhow::Result<Self> {
        let image_slug = Slug::parse(&image_path(ids.id, drawn.style.format))?;
        let body = entry::body(ids.id, drawn.style.format, drawn.image);
        let image_entry = entry::image(
            ids.key(ids.image_link_id, &image_slug),
            ids.token,
            body.clone(),
        )?;
        let destination = match drawn.content {
            Content::Tracked(url) => url.as_str().to_owned(),
            Content::Fixed(_) | Content::Marked(_) => String::new(),
        };
        let scan_entry = entry::scan(ids.key(ids.link_id, ids.slug), drawn.content, body)?;
        Ok(Self {
            ids,
            image_slug,
            content: LinkContent {
                destination,
                title: drawn.name.to_owned(),
                ..LinkContent::default()
            },
            image_content: LinkContent::default(),
            scan_entry,
            image_entry,
        })
    }

    pub(super) fn scan(&self) -> Row<'_> {
        Row {
            id: self.ids.link_id,
            kind: EntryKind::Qr,
            workspace: self.ids.workspace,
            domain: self.ids.domain,
            slug: self.ids.slug,
            content: &self.content,
            entry: &self.scan_entry,
        }
    }

    pub(super) fn image(&self) -> Row<'_> {
        Row {
            id: self.ids.image_link_id,
            kind: EntryKind::Body,
            workspace: self.ids.workspace,
            domain: self.ids.domain,
            slug: &self.image_slug,
            content: &self.image_content,
            entry: &self.image_entry,
        }
    }
}
