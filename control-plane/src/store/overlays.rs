//! Overlays of a workspace, and what visitors wrote into their forms.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};

use super::Store;
use crate::domain::color::Color;
use crate::domain::overlay::{Kind, Note, Overlay, Position};
use crate::domain::plan::Feature;
use crate::store::plans::{self, PlanError};

/// Most notes kept for one overlay. Visitors are strangers: beyond it, more are refused until the owner deletes some.
pub const MAX_NOTES: i64 = 10_000;

/// An overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayRow {
    /// Its id.
    pub id: i64,
    /// What is set of it.
    pub overlay: Overlay,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for OverlayRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        let wrong = |error| sqlx::Error::Decode(Box::new(error));
        let (kind, position): (String, String) = (row.try_get("type")?, row.try_get("position")?);
        let color: String = row.try_get("color")?;
        Ok(Self {
            id: row.try_get("id")?,
            overlay: Overlay {
                kind: Kind::parse("type", &kind).map_err(wrong)?,
                name: row.try_get("name")?,
                message: row.try_get("message")?,
                button: row.try_get("button")?,
                link: row.try_get("link")?,
                position: Position::parse("position", &position).map_err(wrong)?,
                color: Color::parse("color", &color).map_err(wrong)?,
                email: row.try_get("email")?,
                subject: row.try_get("subject")?,
            },
            created_at: row.try_get("created_at")?,
        })
    }
}

/// What a visitor wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteRow {
    /// Its id.
    pub id: i64,
    /// The link it was written on; it may be gone.
    pub link_id: i64,
    /// What.
    pub note: Note,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl<'r> FromRow<'r, AnyRow> for NoteRow {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            link_id: row.try_get("link_id")?,
            note: Note {
                name: row.try_get("name")?,
                email: row.try_get("email")?,
                message: row.try_get("message")?,
            },
            created_at: row.try_get("created_at")?,
        })
    }
}

/// A page of a workspace's overlays, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    store: &Store,
    workspace: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<OverlayRow>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM overlays WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(workspace)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM overlays WHERE workspace_id = $1")
        .bind(workspace)
        .fetch_one(store.readers())
        .await?;
    Ok((rows, count))
}

/// The overlay of this id in a workspace.
///
/// # Errors
/// The database's.
pub async fn get(
    connection: &mut AnyConnection,
    workspace: i64,
    id: i64,
) -> sqlx::Result<Option<OverlayRow>> {
    sqlx::query_as("SELECT * FROM overlays WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .fetch_optional(connection)
        .await
}

/// Adds an overlay and returns its id.
///
/// # Errors
/// The plan does not include them; the database's.
pub async fn insert(
    store: &Store,
    workspace: i64,
    overlay: &Overlay,
    now_ms: i64,
) -> Result<i64, PlanError> {
    let mut tx = store.begin().await?;
    plans::need(&mut tx, workspace, Feature::Overlay, now_ms).await?;
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO overlays (name, message, button, link, position, color, email, subject, type, workspace_id, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
    )
    .bind(overlay.name.clone())
    .bind(overlay.message.clone())
    .bind(overlay.button.clone())
    .bind(overlay.link.clone())
    .bind(overlay.position.name())
    .bind(overlay.color.to_hex())
    .bind(overlay.email.clone())
    .bind(overlay.subject.clone())
    .bind(overlay.kind.name())
    .bind(workspace)
    .bind(now_ms)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// Gives it another content, but for its type.
///
/// # Errors
/// The database's.
pub async fn update(
    connection: &mut AnyConnection,
    id: i64,
    overlay: &Overlay,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE overlays SET name = $1, message = $2, button = $3, link = $4, position = $5, color = $6, email = $7, \
         subject = $8 WHERE id = $9",
    )
    .bind(overlay.name.clone())
    .bind(overlay.message.clone())
    .bind(overlay.button.clone())
    .bind(overlay.link.clone())
    .bind(overlay.position.name())
    .bind(overlay.color.to_hex())
    .bind(overlay.email.clone())
    .bind(overlay.subject.clone())
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes it with its notes. `false`: there is none of this id in the workspace.
///
/// # Errors
/// The database's.
pub async fn delete(connection: &mut AnyConnection, workspace: i64, id: i64) -> sqlx::Result<bool> {
    let done = sqlx::query("DELETE FROM overlays WHERE id = $1 AND workspace_id = $2")
        .bind(id)
        .bind(workspace)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// What became of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is kept.
    Kept,
    /// The link does not exist, or its workspace has no contact overlay of this id.
    NoForm,
    /// [`MAX_NOTES`] are there.
    Full,
}

/// Keeps what a visitor of a link wrote into an overlay's form.
///
/// # Errors
/// The database's.
pub async fn note(
    store: &Store,
    (link, overlay): (i64, i64),
    note: &Note,
    now_ms: i64,
) -> sqlx::Result<Noted> {
    let mut tx = store.begin().await?;
    let form = sqlx::query(
        "SELECT 1 FROM links l JOIN overlays o ON o.workspace_id = l.workspace_id \
         WHERE l.id = $1 AND o.id = $2 AND o.type = 'contact'",
    )
    .bind(link)
    .bind(overlay)
    .fetch_optional(&mut *tx)
    .await?;
    if form.is_none() {
        return Ok(Noted::NoForm);
    }
    let (count,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM (SELECT 1 FROM overlay_messages WHERE overlay_id = $1 LIMIT $2) AS counted",
    )
    .bind(overlay)
    .bind(MAX_NOTES)
    .fetch_one(&mut *tx)
    .await?;
    if count >= MAX_NOTES {
        return Ok(Noted::Full);
    }
    sqlx::query(
        "INSERT INTO overlay_messages (overlay_id, link_id, name, email, message, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(overlay)
    .bind(link)
    .bind(note.name.clone())
    .bind(note.email.clone())
    .bind(note.message.clone())
    .bind(now_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Noted::Kept)
}

/// A page of an overlay's notes, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn notes(
    store: &Store,
    overlay: i64,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<NoteRow>, i64)> {
    let rows = sqlx::query_as(
        "SELECT * FROM overlay_messages WHERE overlay_id = $1 ORDER BY id DESC LIMIT $2 OFFSET $3",
    )
    .bind(overlay)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.readers())
    .await?;
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM overlay_messages WHERE overlay_id = $1")
            .bind(overlay)
            .fetch_one(store.readers())
            .await?;
    Ok((rows, count))
}

/// Deletes a note of an overlay. `false`: there is none of this id.
///
/// # Errors
/// The database's.
pub async fn delete_note(store: &Store, overlay: i64, id: i64) -> sqlx::Result<bool> {
    let mut tx = store.begin().await?;
    let done = sqlx::query("DELETE FROM overlay_messages WHERE id = $1 AND overlay_id = $2")
        .bind(id)
        .bind(overlay)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(done.rows_affected() > 0)
}
