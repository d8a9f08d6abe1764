//! Where links are filed: channels, campaign, folder, tags, each named by id and each the workspace's own. The tables are
//! those groups'; this is what a write of a link does with them.

use super::WriteError;
use crate::domain::channel::ItemKind;
use crate::domain::field::FieldError;
use crate::domain::link::{Groups, TagRef};
use crate::store::channels::{self, Item};
use crate::store::{campaigns, feed, folders, tags};

/// Checks that every group named is the workspace's.
///
/// # Errors
/// Outside: the database's; inside: the first that is not.
pub(super) async fn check(
    write: &mut feed::Write,
    workspace: i64,
    groups: &Groups,
) -> sqlx::Result<Result<(), FieldError>> {
    let tags = groups.tags.iter().flatten().filter_map(|tag| match tag {
        TagRef::Id(id) => Some((
            "tags",
            "tag",
            "SELECT 1 FROM tags WHERE id = $1 AND workspace_id = $2",
            *id,
        )),
        TagRef::Name(_) => None,
    });
    let channels = groups.channels.iter().flatten().map(|id| {
        (
            "channel",
            "channel",
            "SELECT 1 FROM channels WHERE id = $1 AND workspace_id = $2",
            *id,
        )
    });
    let campaign = groups.campaign.flatten().map(|id| {
        (
            "campaign",
            "campaign",
            "SELECT 1 FROM campaigns WHERE id = $1 AND workspace_id = $2",
            id,
        )
    });
    let folder = groups.folder.flatten().map(|id| {
        (
            "folder",
            "folder",
            "SELECT 1 FROM folders WHERE id = $1 AND workspace_id = $2",
            id,
        )
    });
    for (field, what, sql, id) in tags.chain(channels).chain(campaign).chain(folder) {
        let found = sqlx::query(sql)
            .bind(id)
            .bind(workspace)
            .fetch_optional(write.connection())
            .await?;
        if found.is_none() {
            return Ok(Err(gone(field, what, id)));
        }
    }
    Ok(Ok(()))
}

/// Files a link of the workspace, after [`check`].
///
/// # Errors
/// A group that has gone meanwhile, or a tag that cannot be made.
pub(super) async fn assign(
    write: &mut feed::Write,
    (workspace, link): (i64, i64),
    groups: &Groups,
    now_ms: i64,
) -> Result<(), WriteError> {
    let connection = write.connection();
    if let Some(ids) = &groups.channels {
        let item = Item {
            kind: ItemKind::Link,
            item: link,
        };
        channels::forget(connection, item).await?;
        for id in ids {
            if !channels::assign(connection, (workspace, *id), item, now_ms).await? {
                return Err(gone("channel", "channel", *id).into());
            }
        }
    }
    if let Some(Some(id)) = groups.folder {
        if !folders::assign(connection, (workspace, id), link).await? {
            return Err(gone("folder", "folder", id).into());
        }
    } else if groups.folder.is_some() {
        folders::unassign(connection, link).await?;
    }
    if let Some(list) = &groups.tags {
        tags::clear(connection, link).await?;
        for one in list {
            let id = match one {
                TagRef::Id(id) => *id,
                TagRef::Name(name) => tags::by_name(connection, workspace, name, now_ms)
                    .await
                    .map_err(|error| WriteError::Failed(error.into()))?,
            };
            if !tags::assign(connection, (workspace, id), link).await? {
                return Err(gone("tags", "tag", id).into());
            }
        }
    }
    if let Some(Some(id)) = groups.campaign {
        if !campaigns::assign(connection, (workspace, id), (link, None), now_ms).await? {
            return Err(gone("campaign", "campaign", id).into());
        }
    } else if groups.campaign.is_some() {
        campaigns::unassign(connection, link).await?;
    }
    Ok(())
}

fn gone(field: &str, what: &str, id: i64) -> FieldError {
    FieldError::new(
        field,
        format!("'{id}' must be the id of a {what} of this workspace"),
    )
}
