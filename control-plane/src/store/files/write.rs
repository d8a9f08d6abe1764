//! Adding, changing and deleting files. Each is one transaction with the feed's change in it.

use schemas::slug::Slug;
use sqlx::Row as _;
use uuid::Uuid;

use super::{StoredFile, bytes_used};
use crate::domain::file::{self, FileName, Served};
use crate::domain::link::{Content, Key};
use crate::domain::plan::{Feature, Limit};
use crate::store::domains::Domain;
use crate::store::entries::{self, Kind, Row, Taken};
use crate::store::objects::{self, Hash, Object};
use crate::store::plans::{self, PlanError};
use crate::store::{Store, feed};

/// What a file is to be; its bytes lie in the storage already.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// For lists.
    pub name: &'a str,
    /// Name it is downloaded by.
    pub file_name: &'a FileName,
    /// Its bytes.
    pub object: &'a Object,
    /// A key of equal bytes that are gone.
    pub lost: Option<&'a str>,
    /// Expiry, password, number of downloads.
    pub content: &'a Content,
}

/// A file that was written, and under which key its bytes are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its id.
    pub id: i64,
    /// Not the new object's when equal bytes were there before.
    pub storage_key: String,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum FileWriteError {
    /// No such file in this workspace.
    #[error("no such file")]
    NotFound,
    /// The slug belongs to another row.
    #[error("the slug is taken")]
    Taken,
    /// It has changed since it was read, or this change and another waited for each other: begin anew.
    #[error("the file has changed since")]
    Stale,
    /// The plan does not allow it.
    #[error(transparent)]
    Plan(PlanError),
    /// The database, or an entry that cannot be.
    #[error(transparent)]
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for FileWriteError {
    fn from(error: anyhow::Error) -> Self {
        if crate::store::is_deadlock(&error) {
            Self::Stale
        } else {
            Self::Failed(error)
        }
    }
}

impl From<sqlx::Error> for FileWriteError {
    fn from(error: sqlx::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

impl From<PlanError> for FileWriteError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Failed(error) => error.into(),
            refused => Self::Plan(refused),
        }
    }
}

/// Whether the plan allows `more` bytes of files, with what a file of `content` needs.
async fn check_plan(
    write: &mut feed::Write,
    workspace: i64,
    content: &Content,
    (less, more): (u64, u64),
    now_ms: i64,
) -> Result<(), FileWriteError> {
    let features = [
        Some(Feature::Files),
        content
            .extras
            .password
            .is_some()
            .then_some(Feature::Password),
        content
            .extras
            .max_clicks
            .is_some()
            .then_some(Feature::ClickLimit),
    ];
    for feature in features.into_iter().flatten() {
        plans::need(write.connection(), workspace, feature, now_ms).await?;
    }
    let allowance =
        plans::allowance(write.connection(), workspace, Limit::FileBytes, now_ms).await?;
    if !allowance.is_unlimited() {
        let used = bytes_used(write.connection(), workspace).await?;
        allowance
            .take(
                used.saturating_sub_unsigned(less),
                i64::try_from(more).unwrap_or(i64::MAX),
            )
            .map_err(PlanError::from)?;
    }
    Ok(())
}

/// Adds a file at `slug`, or at a random one.
///
/// # Errors
/// See [`FileWriteError`].
pub async fn insert(
    store: &Store,
    (workspace, domain, slug): (i64, &Domain, Option<&Slug>),
    new: &NewFile<'_>,
    now_ms: i64,
) -> Result<Written, FileWriteError> {
    let mut write = feed::Write::begin(store).await?;
    let change = (0, new.object.size);
    plans::check_file(write.connection(), workspace, new.object.size, now_ms).await?;
    check_plan(&mut write, workspace, new.content, change, now_ms).await?;
    let link_id = entries::reserve_ids(&mut write, 1).await?;
    let storage_key = objects::hold(write.connection(), new.object, new.lost).await?;
    let draws = if slug.is_some() { 1 } else { entries::DRAWS };
    let mut added = false;
    for draw in 0..draws {
        let slug = match slug {
            Some(slug) => slug.clone(),
            None => entries::drawn_slug("", draw)?,
        };
        let place = Place {
            workspace,
            domain: domain.id,
            link_id,
            slug: &slug,
        };
        let entry = place.entry(new, &storage_key)?;
        let row = place.row(new.content, &entry);
        let uuid = Uuid::new_v4().to_string();
        added = entries::insert(&mut write, &row, &uuid, now_ms).await?;
        if added {
            break;
        }
    }
    if !added {
        return Err(FileWriteError::Taken);
    }
    let (id,): (i64,) = sqlx::query_as(
        "INSERT INTO files (workspace_id, link_id, name, name_search, file_name, content_type, hash, size, version, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9) RETURNING id",
    )
    .bind(workspace)
    .bind(link_id)
    .bind(new.name.to_owned())
    .bind(new.name.to_lowercase())
    .bind(new.file_name.as_str().to_owned())
    .bind(new.file_name.media_type())
    .bind(new.object.hash.to_vec())
    .bind(new.object.size.cast_signed())
    .bind(now_ms)
    .fetch_one(write.connection())
    .await?;
    write.commit(now_ms).await?;
    Ok(Written { id, storage_key })
}

/// Writes what `old` has become; its id, address and downloads stay.
///
/// # Errors
/// See [`FileWriteError`]; [`FileWriteError::Stale`]: read it again and begin anew.
pub async fn update(
    store: &Store,
    old: &StoredFile,
    new: &NewFile<'_>,
    now_ms: i64,
) -> Result<Written, FileWriteError> {
    let mut write = feed::Write::begin(store).await?;
    let change = (old.size, new.object.size);
    // What is there already may be larger than a new plan allows, and stays.
    if new.object.hash != old.hash {
        plans::check_file(
            write.connection(),
            old.workspace_id,
            new.object.size,
            now_ms,
        )
        .await?;
    }
    check_plan(&mut write, old.workspace_id, new.content, change, now_ms).await?;
    let found = sqlx::query(
        "UPDATE files SET version = version + 1, name = $1, name_search = $2, file_name = $3, content_type = $4, size = $5 \
         WHERE id = $6 AND workspace_id = $7 AND version = $8",
    )
    .bind(new.name.to_owned())
    .bind(new.name.to_lowercase())
    .bind(new.file_name.as_str().to_owned())
    .bind(new.file_name.media_type())
    .bind(new.object.size.cast_signed())
    .bind(old.id)
    .bind(old.workspace_id)
    .bind(old.version)
    .execute(write.connection())
    .await?;
    if found.rows_affected() == 0 {
        return Err(FileWriteError::Stale);
    }
    // The old bytes are let go of after the new ones are held: they may be equal.
    let storage_key = objects::hold(write.connection(), new.object, new.lost).await?;
    sqlx::query("UPDATE files SET hash = $1 WHERE id = $2")
        .bind(new.object.hash.to_vec())
        .bind(old.id)
        .execute(write.connection())
        .await?;
    objects::release(write.connection(), &old.hash, now_ms).await?;
    let key = (old.workspace_id, Kind::File, old.link_id);
    let locked = entries::lock(&mut write, key, now_ms)
        .await?
        .ok_or(FileWriteError::NotFound)?;
    let place = Place {
        workspace: old.workspace_id,
        domain: old.domain_id,
        link_id: old.link_id,
        slug: &old.slug,
    };
    let entry = place.entry(new, &storage_key)?;
    let row = place.row(new.content, &entry);
    if let Err(Taken) = entries::update(&mut write, &locked, &row).await? {
        return Err(FileWriteError::Taken);
    }
    write.commit(now_ms).await?;
    Ok(Written {
        id: old.id,
        storage_key,
    })
}

/// Deletes a file; its downloads stay counted under an id that nobody shows any more.
///
/// # Errors
/// See [`FileWriteError`].
pub async fn delete(
    store: &Store,
    (workspace, id): (i64, i64),
    now_ms: i64,
) -> Result<(), FileWriteError> {
    let mut write = feed::Write::begin(store).await?;
    let row = sqlx::query(
        "DELETE FROM files WHERE id = $1 AND workspace_id = $2 RETURNING link_id, hash",
    )
    .bind(id)
    .bind(workspace)
    .fetch_optional(write.connection())
    .await?
    .ok_or(FileWriteError::NotFound)?;
    let hash: Vec<u8> = row.try_get("hash")?;
    if let Ok(hash) = Hash::try_from(hash) {
        objects::release(write.connection(), &hash, now_ms).await?;
    }
    entries::delete(&mut write, (workspace, Kind::File, row.try_get("link_id")?)).await?;
    write.commit(now_ms).await?;
    Ok(())
}

/// What names a file's row of `links`.
struct Place<'a> {
    workspace: i64,
    domain: i64,
    link_id: i64,
    slug: &'a Slug,
}

impl<'a> Place<'a> {
    fn entry(&self, new: &NewFile<'_>, storage_key: &str) -> anyhow::Result<Vec<u8>> {
        let key = Key {
            domain: entries::domain_number(self.domain),
            slug: self.slug,
            link: self.link_id.cast_unsigned(),
            workspace: self.workspace.cast_unsigned(),
        };
        let served = Served {
            storage_key,
            file_name: new.file_name.as_str(),
            content_type: new.file_name.media_type(),
            size: new.object.size,
            hash: new.object.hash,
            name: new.name,
        };
        Ok(file::entry(key, &served, new.content)?)
    }

    fn row(&self, content: &'a Content, entry: &'a [u8]) -> Row<'a> {
        Row {
            id: self.link_id,
            kind: Kind::File,
            workspace: self.workspace,
            domain: self.domain,
            slug: self.slug,
            content,
            entry,
        }
    }
}
