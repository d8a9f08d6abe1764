//! `/members` and `/member/…`: the people of a workspace and their roles, for its owners.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{MessageReply, Reply};
use super::users::Person;
use crate::api::request::{Id, Object, read};
use crate::app::App;
use crate::domain::date;
use crate::domain::key::{NewKey, Scopes};
use crate::domain::role::Role;
use crate::domain::user;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::own_url::own_url;
use crate::store::members::{self, MemberError};
use crate::store::plans::PlanError;
use crate::store::users::Place;

/// `GET /members`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MembersReply {
    #[schema(example = 0)]
    error: u8,
    data: MembersData,
}

/// Who belongs to the workspace, and who is invited.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MembersData {
    members: Vec<MemberItem>,
    invitations: Vec<InvitationItem>,
}

/// A member.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberItem {
    id: i64,
    email: String,
    username: String,
    /// `owner`, `editor` or `viewer`.
    role: &'static str,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// An invitation nobody has taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvitationItem {
    id: i64,
    email: String,
    role: &'static str,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    expires: String,
}

/// `POST /member/invite`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct InviteRequest {
    #[serde(deserialize_with = "text")]
    email: Option<String>,
    /// `owner`, `editor` or `viewer`.
    #[serde(deserialize_with = "text")]
    role: Option<String>,
}

/// An invitation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InviteReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    /// To be sent to the invited: nothing here sends mail. Shown this once, works once, for seven days.
    url: String,
}

/// `POST /member/add`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct MemberRequest {
    #[serde(deserialize_with = "text")]
    username: Option<String>,
    #[serde(deserialize_with = "text")]
    email: Option<String>,
    /// At least 8 characters.
    #[serde(deserialize_with = "text")]
    password: Option<String>,
    /// `owner`, `editor` or `viewer`.
    #[serde(deserialize_with = "text")]
    role: Option<String>,
}

/// `PUT /member/:id/update`
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct RoleRequest {
    /// `owner`, `editor` or `viewer`.
    #[serde(deserialize_with = "text")]
    role: Option<String>,
}

/// A new member.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewMemberReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    /// Its first API key, shown this once.
    key: String,
}

/// The people of the workspace.
#[utoipa::path(get, path = "/api/members", tag = "Members", responses((status = 200, body = MembersReply)))]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Reply<MembersReply> {
    let workspace = caller.workspace();
    let people = members::all(&app.store, workspace).await?;
    let invited = members::invited(&app.store, workspace, app.clock.now_ms()).await?;
    let name = |role: Option<Role>| role.map_or("", Role::name);
    Ok(Json(MembersReply {
        error: 0,
        data: MembersData {
            members: people
                .into_iter()
                .map(|member| MemberItem {
                    id: member.id,
                    email: member.email,
                    username: member.username,
                    role: name(member.role),
                    date: date::format(member.created_at),
                })
                .collect(),
            invitations: invited
                .into_iter()
                .map(|invitation| InvitationItem {
                    id: invitation.id,
                    email: invitation.email,
                    role: name(invitation.role),
                    expires: date::format(invitation.expires_at),
                })
                .collect(),
        },
    }))
}

/// Invites an address, of a user or of nobody yet. A second invitation takes the place of the first.
#[utoipa::path(post, path = "/api/member/invite", tag = "Members", request_body = InviteRequest, responses((status = 200, body = InviteReply)))]
pub(super) async fn invite(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Object(body): Object,
) -> Reply<InviteReply> {
    gives(&caller)?;
    let body: InviteRequest = read(&body)?;
    let email = user::email(body.email.as_deref().unwrap_or_default())?;
    let role = Role::parse(body.role.as_deref().unwrap_or_default())?;
    let secret = NewKey::marked("").map_err(anyhow::Error::new)?;
    let now_ms = app.clock.now_ms();
    let times = (now_ms, now_ms + user::INVITATION_MS);
    let workspace = caller.workspace();
    let id = members::invite(&app.store, workspace, (&email, role), &secret, times).await?;
    Ok(Json(InviteReply {
        error: 0,
        id,
        url: format!("{}/invitation/{}", own_url(&app, &headers), secret.secret),
    }))
}

/// Takes an invitation back.
#[utoipa::path(delete, path = "/api/member/invite/{id}/delete", tag = "Members", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn uninvite(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let id = id.of("invitation")?;
    if !members::uninvite(&app.store, caller.workspace(), id).await? {
        return Err(ApiError::not_found("invitation", id).into());
    }
    Ok(MessageReply::new(
        "Invitation has been deleted successfully.",
    ))
}

/// Makes a user who belongs to this workspace.
#[utoipa::path(post, path = "/api/member/add", tag = "Members", request_body = MemberRequest, responses((status = 200, body = NewMemberReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<NewMemberReply> {
    gives(&caller)?;
    let body: MemberRequest = read(&body)?;
    let role = Role::parse(body.role.as_deref().unwrap_or_default())?;
    let person = Person::read(body.username, body.email, body.password)?;
    let place = Place::Member {
        workspace: caller.workspace(),
        role,
    };
    let (id, key) = person.add(&app, place).await?;
    Ok(Json(NewMemberReply {
        error: 0,
        id,
        key: key.secret,
    }))
}

/// Gives a member another role; it holds for its keys and apps at once.
#[utoipa::path(put, path = "/api/member/{id}/update", tag = "Members", params(("id" = i64, Path)), request_body = RoleRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    gives(&caller)?;
    let id = id.of("member")?;
    let body: RoleRequest = read(&body)?;
    let role = Role::parse(body.role.as_deref().unwrap_or_default())?;
    members::set_role(&app.store, (caller.workspace(), id), role)
        .await
        .map_err(|error| of(error, id))?;
    Ok(MessageReply::new("Member has been updated successfully."))
}

/// Takes a member out: its keys and apps in this workspace stop working, what it made stays.
#[utoipa::path(delete, path = "/api/member/{id}/delete", tag = "Members", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    let id = id.of("member")?;
    members::remove(&app.store, (caller.workspace(), id), app.clock.now_ms())
        .await
        .map_err(|error| of(error, id))?;
    Ok(MessageReply::new("Member has been removed successfully."))
}

/// A member has keys that read and write: a key that may not do so itself must not make one.
fn gives(caller: &Caller) -> Result<(), ApiError> {
    if caller.key.scopes.cover(&Scopes::usual()) {
        Ok(())
    } else {
        Err(ApiError::Escalation)
    }
}

fn of(error: MemberError, id: i64) -> ApiError {
    match error {
        MemberError::NotFound => ApiError::not_found("member", id),
        other => other.into(),
    }
}

impl From<MemberError> for ApiError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::NotFound => Self::not_found("member", ""),
            MemberError::LastOwner => Self::field(
                "role",
                "of the last owner cannot change: make another owner first",
            ),
            MemberError::Already => Self::field("email", "belongs to a member already"),
            MemberError::Plan(PlanError::Refused(refusal)) => Self::Plan(refusal),
            MemberError::Plan(PlanError::Failed(error)) | MemberError::Failed(error) => {
                error.into()
            }
        }
    }
}
