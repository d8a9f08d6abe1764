//! What every dialect does with files: bytes on their way in, the storage and the database together.
//!
//! Bytes are stored first and used then, in the transaction that writes the file. What is not used after all (a taken alias,
//! equal bytes that were there before, a plan that is full by now) is deleted at once; what a crash leaves is noted
//! ([`crate::store::objects`]) and swept.

pub(crate) mod arriving;
pub(crate) mod multipart;
mod receive;
pub(crate) mod turns;

use schemas::slug::Slug;

pub(crate) use self::receive::{Room, Source, receive, room};
use crate::app::App;
use crate::domain::field;
use crate::domain::file::{FileName, MAX_NAME};
use crate::domain::link::{Content, ExtrasEdit};
use crate::domain::password;
use crate::error::ApiError;
use crate::links::{Secret, taken, usable_domain};
use crate::storage::StorageError;
use crate::store::entries;
use crate::store::files::{self, FileWriteError, NewFile, StoredFile, Written};
use crate::store::objects::{self, Object, Stray};

/// Changes tried when others change the same file.
const TRIES: usize = 10;

/// What a caller wants of a file; `None`: the default, or what it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// For lists; empty: the file's name.
    pub(crate) name: Option<String>,
    /// Its slug; `None`: a random one.
    pub(crate) slug: Option<Slug>,
    /// Its domain, with or without scheme.
    pub(crate) domain: Option<String>,
    /// Its password; `Some(None)`: none.
    pub(crate) password: Option<Option<Secret>>,
    /// Milliseconds since 1970; `Some(None)`: never.
    pub(crate) expires_at: Option<Option<i64>>,
    /// `Some(None)`: any number.
    pub(crate) max_downloads: Option<Option<u64>>,
}

/// Whether a new file can be what a caller wants, before its bytes are read.
///
/// # Errors
/// A field is wrong, or the alias is taken.
pub(crate) async fn check(app: &App, workspace: i64, wish: &Wish) -> Result<(), ApiError> {
    // No password is hashed for a call that is refused.
    let plain = Wish {
        password: None,
        ..wish.clone()
    };
    edited(app, &Content::default(), &plain, "").await?;
    if let Some(Some(secret)) = &wish.password {
        password::check_gate("password", &secret.0)?;
    }
    let domain = domain_of(app, workspace, wish).await?;
    let domain = domain.as_ref().unwrap_or(&app.default_domain);
    match &wish.slug {
        Some(slug) if !entries::slug_is_free(&app.store, domain.id, slug).await? => {
            Err(taken(app, workspace, (domain.id, slug.clone())).await?)
        }
        _ => Ok(()),
    }
}

async fn domain_of(
    app: &App,
    workspace: i64,
    wish: &Wish,
) -> Result<Option<crate::store::domains::Domain>, ApiError> {
    match &wish.domain {
        None => Ok(None),
        Some(text) => usable_domain(app, workspace, text).await,
    }
}

/// Adds a file of bytes that are stored.
///
/// # Errors
/// A field is wrong, the alias is taken, the plan is full; the bytes are deleted then.
pub(crate) async fn add(
    app: &App,
    workspace: i64,
    (wish, file_name, object): (&Wish, &FileName, Object),
) -> Result<StoredFile, ApiError> {
    let added = async {
        let content = edited(app, &Content::default(), wish, file_name.as_str()).await?;
        let domain = domain_of(app, workspace, wish).await?;
        let domain = domain.as_ref().unwrap_or(&app.default_domain);
        let lost = lost(app, &object).await?;
        let new = NewFile {
            name: &content.title,
            file_name,
            object: &object,
            lost: lost.as_deref(),
            content: &content,
        };
        for _ in 0..TRIES {
            let place = (workspace, domain, wish.slug.as_ref());
            match files::insert(&app.store, place, &new, app.clock.now_ms()).await {
                Err(FileWriteError::Stale) => {}
                Err(FileWriteError::Taken) => {
                    return Err(match &wish.slug {
                        Some(slug) => taken(app, workspace, (domain.id, slug.clone())).await?,
                        None => anyhow::anyhow!("no free slug in {} draws", entries::DRAWS).into(),
                    });
                }
                Err(error) => return Err(failed(error, "")),
                Ok(written) => return Ok(written),
            }
        }
        Err(anyhow::anyhow!("an upload met others {TRIES} times").into())
    };
    let written = settled(app, &object, added.await).await?;
    get(app, workspace, written.id).await
}

/// Changes a file, perhaps its bytes too.
///
/// # Errors
/// As [`add`]; there is no such file.
pub(crate) async fn update(
    app: &App,
    (workspace, id): (i64, i64),
    wish: &Wish,
    new: Option<(FileName, Object)>,
) -> Result<StoredFile, ApiError> {
    let stored = new.as_ref().map(|(_, object)| object.clone());
    let changed = async {
        for _ in 0..TRIES {
            let old = get(app, workspace, id).await?;
            let (file_name, object) = match &new {
                Some((file_name, object)) => (file_name.clone(), object.clone()),
                None => (
                    FileName::parse("file", &old.file_name)?,
                    Object {
                        hash: old.hash,
                        storage_key: old.storage_key.clone(),
                        size: old.size,
                    },
                ),
            };
            let content = edited(app, &old.content, wish, file_name.as_str()).await?;
            let lost = lost(app, &object).await?;
            let file = NewFile {
                name: &content.title,
                file_name: &file_name,
                object: &object,
                lost: lost.as_deref(),
                content: &content,
            };
            match files::update(&app.store, &old, &file, app.clock.now_ms()).await {
                Err(FileWriteError::Stale) => {}
                Err(error) => return Err(failed(error, &id.to_string())),
                Ok(written) => return Ok(written),
            }
        }
        Err(anyhow::anyhow!("a file that others change all the time").into())
    };
    let changed = changed.await;
    match &stored {
        Some(object) => settled(app, object, changed).await?,
        None => changed?,
    };
    get(app, workspace, id).await
}

/// Deletes a file: visitors get 404 from now on.
///
/// # Errors
/// There is none of this id.
pub(crate) async fn delete(app: &App, workspace: i64, id: i64) -> Result<(), ApiError> {
    for _ in 0..TRIES {
        match files::delete(&app.store, (workspace, id), app.clock.now_ms()).await {
            Ok(()) => return Ok(()),
            Err(FileWriteError::Stale) => {}
            Err(error) => return Err(failed(error, &id.to_string())),
        }
    }
    Err(anyhow::anyhow!("a file that others change all the time").into())
}

/// The file of this id.
///
/// # Errors
/// There is none.
pub(crate) async fn get(app: &App, workspace: i64, id: i64) -> Result<StoredFile, ApiError> {
    files::get(&app.store, workspace, id)
        .await?
        .ok_or_else(|| not_found(&id.to_string()))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found("file", id)
}

fn failed(error: FileWriteError, id: &str) -> ApiError {
    match error {
        FileWriteError::NotFound => not_found(id),
        FileWriteError::Plan(error) => error.into(),
        other => ApiError::Internal(other.into()),
    }
}

/// What a file's row of `links` says, changed as wished. Its title is the file's name in lists.
async fn edited(
    app: &App,
    old: &Content,
    wish: &Wish,
    file_name: &str,
) -> Result<Content, ApiError> {
    let mut content = old.clone();
    if let Some(name) = &wish.name {
        content.title = field::line("name", name, MAX_NAME)?;
    }
    if content.title.is_empty() {
        file_name.clone_into(&mut content.title);
    }
    content.expires_at = wish.expires_at.unwrap_or(content.expires_at);
    let password_phc = match &wish.password {
        None => None,
        Some(None) => Some(None),
        Some(Some(secret)) => {
            password::check_gate("password", &secret.0)?;
            Some(Some(app.passwords.digest(secret.0.clone()).await?))
        }
    };
    content.extras.apply(&ExtrasEdit {
        password_phc,
        max_clicks: wish.max_downloads,
        ..ExtrasEdit::default()
    })?;
    Ok(content)
}

/// The key of equal bytes that should be in the storage and are not: an operator has lost them, and they are here again.
async fn lost(app: &App, object: &Object) -> Result<Option<String>, ApiError> {
    let Some(known) = objects::find(&app.store, &object.hash).await? else {
        return Ok(None);
    };
    if known.storage_key == object.storage_key || app.storage.has(&known.storage_key).await? {
        return Ok(None);
    }
    tracing::warn!(
        key = known.storage_key,
        "bytes that were lost are stored anew"
    );
    Ok(Some(known.storage_key))
}

/// Deletes stored bytes that are not used after all.
async fn settled(
    app: &App,
    object: &Object,
    written: Result<Written, ApiError>,
) -> Result<Written, ApiError> {
    let is_used = written
        .as_ref()
        .is_ok_and(|written| written.storage_key == object.storage_key);
    if !is_used {
        forget(app, object).await;
    }
    written
}

/// Deletes stored bytes that nobody uses yet.
pub(crate) async fn forget(app: &App, object: &Object) {
    let stray = Stray {
        storage_key: object.storage_key.clone(),
        multipart_id: String::new(),
    };
    // Else the sweep does it.
    if let Err(error) = app.storage.discard(&stray).await {
        tracing::warn!(%error, "bytes that are not used cannot be deleted now");
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}
