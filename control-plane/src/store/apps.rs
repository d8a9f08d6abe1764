//! Apps of domains, and the files below `.well-known/` that are made of them: entries with a body of their own, which
//! nobody's clicks count.

use schemas::link::plan::{Body, Content as Bytes, Plan, Target};
use schemas::link::{Entry, Status};
use schemas::slug::Slug;
use sqlx::Row as _;

use super::entries::{self, Kind, Row, Taken};
use super::links::WriteError;
use super::{Store, feed};
use crate::domain::apps::{Apps, File};
use crate::domain::link::Content;

/// Seconds that a cache may keep a file: phones ask rarely, and an edit should be seen within the hour.
const MAX_AGE_S: u32 = 3600;

/// The apps of a workspace's domain.
///
/// # Errors
/// The database's.
pub async fn get(store: &Store, workspace: i64, domain: i64) -> sqlx::Result<Option<Apps>> {
    let row = sqlx::query(
        "SELECT apple_apps, android_apps FROM domains WHERE id = $1 AND workspace_id = $2 AND deleted_at IS NULL",
    )
    .bind(domain)
    .bind(workspace)
    .fetch_optional(store.readers())
    .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let bad = |column: &str, error: serde_json::Error| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    };
    let (apple, android): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(Apps {
        apple: serde_json::from_str(&apple).map_err(|e| bad("apple_apps", e))?,
        android: serde_json::from_str(&android).map_err(|e| bad("android_apps", e))?,
    }))
}

/// Replaces the apps of a workspace's domain and its files, in one change.
///
/// # Errors
/// No such domain, or a slug of the files is another's; the database's.
pub async fn put(
    store: &Store,
    (workspace, domain): (i64, i64),
    apps: &Apps,
    now_ms: i64,
) -> Result<(), WriteError> {
    let mut write = feed::Write::begin(store).await?;
    // Locks the domain's row, so that two calls do not mix.
    let done = sqlx::query(
        "UPDATE domains SET apple_apps = $1, android_apps = $2 WHERE id = $3 AND workspace_id = $4 AND deleted_at IS NULL",
    )
    .bind(serde_json::json!(apps.apple).to_string())
    .bind(serde_json::json!(apps.android).to_string())
    .bind(domain)
    .bind(workspace)
    .execute(write.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Err(WriteError::NotFound);
    }
    for file in File::ALL {
        put_file(
            &mut write,
            (workspace, domain),
            file,
            apps.body(file),
            now_ms,
        )
        .await?;
    }
    write.commit(now_ms).await?;
    Ok(())
}

async fn put_file(
    write: &mut feed::Write,
    (workspace, domain): (i64, i64),
    file: File,
    body: Vec<u8>,
    now_ms: i64,
) -> Result<(), WriteError> {
    let slug = Slug::parse(file.slug()).map_err(|e| WriteError::Failed(e.into()))?;
    let old: Option<(i64,)> = sqlx::query_as(
        "SELECT id FROM links WHERE domain_id = $1 AND slug = $2 AND workspace_id = $3 AND kind = $4",
    )
    .bind(domain)
    .bind(slug.as_str().to_owned())
    .bind(workspace)
    .bind(Kind::Body.number())
    .fetch_optional(write.connection())
    .await?;
    if body.is_empty() {
        if let Some((id,)) = old {
            entries::delete(write, (workspace, Kind::Body, id)).await?;
        }
        return Ok(());
    }
    let id = match old {
        Some((id,)) => id,
        None => entries::reserve_ids(write, 1).await?,
    };
    let entry = entry((workspace, domain), id, &slug, body)?;
    let content = Content::default();
    let row = Row {
        id,
        kind: Kind::Body,
        workspace,
        domain,
        slug: &slug,
        content: &content,
        entry: &entry,
    };
    if old.is_some() {
        let locked = entries::lock(write, (workspace, Kind::Body, id), now_ms).await?;
        let locked = locked.ok_or(WriteError::NotFound)?;
        return match entries::update(write, &locked, &row).await? {
            Ok(()) => Ok(()),
            Err(Taken) => Err(WriteError::Taken(slug)),
        };
    }
    let uuid = uuid::Uuid::new_v4().to_string();
    if entries::insert(write, &row, &uuid, now_ms).await? {
        return Ok(());
    }
    Err(WriteError::Taken(slug))
}

fn entry(
    (workspace, domain): (i64, i64),
    id: i64,
    slug: &Slug,
    body: Vec<u8>,
) -> Result<Vec<u8>, WriteError> {
    let plan = Plan {
        target: Some(Target::Body(Body {
            content: Bytes::Inline(body),
            content_type: "application/json".to_owned(),
            disposition: String::new(),
            csp: String::new(),
            max_age_s: MAX_AGE_S,
        })),
        uncounted: true,
        ..Plan::default()
    };
    let failed = |e: schemas::link::EntryError| WriteError::Failed(e.into());
    let plan = plan.encode().map_err(failed)?;
    let mut bytes = Vec::with_capacity(plan.len() + 64);
    let entry = Entry {
        domain: entries::domain_number(domain),
        slug: slug.as_str().as_bytes(),
        destination: b"",
        link: id.cast_unsigned(),
        workspace: workspace.cast_unsigned(),
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: &plan,
    };
    entry.encode(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
