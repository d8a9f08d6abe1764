//! Who calls: the key or the app's token that a call carries, and what its user may do in the workspace.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::api::reply::Failure;
use crate::app::App;
use crate::domain::key::{self, Scope};
use crate::domain::oauth::ACCESS_MARK;
use crate::domain::role::{Action, Role};
use crate::error::{ApiError, KeyRefusal};
use crate::metrics;
use crate::rate::Who;
use crate::store::keys::{self, KeyRow};
use crate::store::oauth;

/// A call with a key or token in force.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key; its scopes are those that count in its user's role. Of an app's token: a key made of it, with id 0.
    pub(crate) key: Arc<KeyRow>,
    /// What its user is in the workspace.
    pub(crate) role: Role,
    /// The app that calls, by its id.
    app: Option<i64>,
    /// Whether the key itself may write, whatever the role: so a viewer can change the own sign-in.
    may_change_account: bool,
}

impl Caller {
    /// The workspace it sees.
    pub(crate) fn workspace(&self) -> i64 {
        self.key.workspace_id
    }

    /// Whether the key covers more than what the gate asked for by method and path ([`crate::domain::role::needed`]).
    ///
    /// # Errors
    /// The key lacks the scope.
    pub(crate) fn need(&self, scope: Scope) -> Result<(), ApiError> {
        if self.key.scopes.allow(scope) {
            Ok(())
        } else {
            Err(ApiError::Forbidden(scope))
        }
    }

    /// # Errors
    /// The role, the key's scopes or the app's token do not allow the action.
    pub(super) fn may(&self, action: Action) -> Result<(), ApiError> {
        if self.app.is_some() && !action.is_for_apps() {
            return Err(ApiError::NotForApps);
        }
        let administers = self.key.scopes.allow(Scope::Admin);
        if !administers && !action.is_for(self.role) {
            return Err(ApiError::Role(self.role));
        }
        if action == Action::Account && self.may_change_account {
            return Ok(());
        }
        self.need(action.scope())
    }

    /// Whose calls are counted together. All tokens that an app has of one user are one: a refresh begins no new window.
    pub(super) fn who(&self) -> Who {
        match self.app {
            Some(client) => Who::App {
                client,
                user: self.key.user_id,
            },
            None => Who::Key(self.key.id),
        }
    }

    fn new(mut row: KeyRow, app: Option<i64>, now_ms: i64) -> Result<Self, KeyRefusal> {
        if row.revoked_at.is_some() {
            return Err(KeyRefusal::Revoked);
        }
        if row.expires_at.is_some_and(|at| at <= now_ms) {
            return Err(KeyRefusal::Expired);
        }
        // Who was taken out of the workspace has no role.
        let role = row.role.ok_or(KeyRefusal::Revoked)?;
        let may_change_account = row.scopes.allow(Scope::Write);
        row.scopes = role.limit(&row.scopes, row.is_admin);
        Ok(Self {
            key: Arc::new(row),
            role,
            app,
            may_change_account,
        })
    }
}

/// What the gate found, for [`Caller`].
#[derive(Debug, Clone)]
pub(super) struct Found(pub(super) Result<Caller, KeyRefusal>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match parts.extensions.get::<Found>() {
            Some(Found(Ok(caller))) => Ok(caller.clone()),
            Some(Found(Err(refusal))) => {
                metrics::key_refused(refusal.reason());
                Err(ApiError::Key(*refusal).into())
            }
            None => Err(ApiError::Key(KeyRefusal::Missing).into()),
        }
    }
}

/// Finds the row of a key or token. The outer error is the database's.
pub(super) async fn authenticate(
    app: &App,
    credential: Option<String>,
    now_ms: i64,
) -> sqlx::Result<Result<Caller, KeyRefusal>> {
    let Some(secret) = credential else {
        return Ok(Err(KeyRefusal::Missing));
    };
    if secret.len() > key::MAX_BYTES {
        return Ok(Err(KeyRefusal::Unknown));
    }
    let hash = key::hash(&secret);
    if secret.starts_with(ACCESS_MARK) {
        let found = oauth::by_access_token(&app.store, &hash, now_ms).await?;
        return Ok(found.map_or(Err(KeyRefusal::Unknown), |(client, row)| {
            Caller::new(row, Some(client), now_ms)
        }));
    }
    let found = keys::by_hash(&app.store, &hash, now_ms).await?;
    Ok(found.map_or(Err(KeyRefusal::Unknown), |row| {
        Caller::new(row, None, now_ms)
    }))
}
