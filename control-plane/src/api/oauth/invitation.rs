//! `/invitation/:token`: who was invited joins the workspace, with the account it has or a new one.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::StatusCode;
use maud::html;
use utoipa::ToSchema;

use super::browser::Browser;
use super::fields::Fields;
use super::page::{alert, in_path};
use super::sign_in::status;
use crate::api::openmylink::reply::ErrorReply;
use crate::api::openmylink::users::Person;
use crate::api::reply::Failure;
use crate::app::App;
use crate::domain::key::{self, NewKey};
use crate::domain::role::Role;
use crate::error::ApiError;
use crate::sign_in;
use crate::store::members::{self, Invitation};
use crate::store::users::{self, Place};

/// The form of an invitation.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct InvitationForm {
    /// Proof that the page was given to this browser.
    form: String,
    /// Of a new account.
    username: Option<String>,
    /// Of the account, or of the new one.
    password: String,
}

/// Who is invited to what, and a form to join.
#[utoipa::path(get, path = "/invitation/{token}", tag = "Pages", params(("token" = String, Path)), responses(
    (status = 200, description = "The page", content((String = "text/html"))),
    (status = 410, description = "There is no such invitation any more", content((String = "text/html")))))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    token: Result<Path<String>, PathRejection>,
    browser: Browser,
) -> Result<Response, Failure> {
    let Ok(Path(token)) = token else {
        return Ok(over(browser));
    };
    match find(&app, &token).await? {
        None => Ok(over(browser)),
        Some(invitation) => form(&app, browser, StatusCode::OK, &token, &invitation, "").await,
    }
}

/// Joins, with the account there is or a new one; shows the key of the workspace once.
#[utoipa::path(post, path = "/invitation/{token}", tag = "Pages", params(("token" = String, Path)),
    request_body(content = InvitationForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Joined", content((String = "text/html"))),
        (status = 401, description = "The page once more: wrong password", content((String = "text/html"))),
        (status = 403, description = "The form was not made here", content((String = "text/html"))),
        (status = 410, description = "There is no such invitation any more", content((String = "text/html"))),
        (status = 422, description = "The page once more: no such account can be", content((String = "text/html"))),
        (status = 429, description = "Too many wrong passwords, or calls", content((String = "text/html"), (ErrorReply = "application/json")))))]
pub(super) async fn accept(
    State(app): State<Arc<App>>,
    token: Result<Path<String>, PathRejection>,
    mut browser: Browser,
    request: Request,
) -> Result<Response, Failure> {
    let fields = Fields::of_body(request).await?;
    if !browser.proves(&fields) {
        return Ok(browser.forged());
    }
    let Ok(Path(token)) = token else {
        return Ok(over(browser));
    };
    let Some(invitation) = find(&app, &token).await? else {
        return Ok(over(browser));
    };
    let password = fields.text("password").to_owned();
    let has_account = users::credentials(&app.store, &invitation.email)
        .await?
        .is_some();
    let (user, key) = if has_account {
        let user = match sign_in::sign_in(&app, browser.ip, &invitation.email, password).await {
            Ok(user) => user,
            Err(error) => {
                let status = status(&error);
                let text = error.to_string();
                return form(&app, browser, status, &token, &invitation, &text).await;
            }
        };
        let key = NewKey::random().map_err(anyhow::Error::new)?;
        users::join(&app.store, &invitation, user, &key, app.clock.now_ms())
            .await
            .map_err(ApiError::from)?;
        (user, key)
    } else {
        let added = async {
            let name = fields.text("username").to_owned();
            let person = Person::read(Some(name), Some(invitation.email.clone()), Some(password))?;
            person.add(&app, Place::Invited(&invitation)).await
        };
        match added.await {
            Ok(added) => added,
            Err(error) => {
                let text = error.public_message();
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                return form(&app, browser, status, &token, &invitation, &text).await;
            }
        }
    };
    browser.sign_in(&app, user).await?;
    let content = html! {
        p { "You belong to the workspace now." }
        p { "Your API key for it, shown this once:" }
        p { code { (key.secret) } }
    };
    Ok(browser.page(StatusCode::OK, "Welcome", &content, None))
}

async fn find(app: &App, token: &str) -> sqlx::Result<Option<Invitation>> {
    members::invitation(&app.store, &key::hash(token), app.clock.now_ms()).await
}

async fn form(
    app: &App,
    mut browser: Browser,
    status: StatusCode,
    token: &str,
    invitation: &Invitation,
    error: &str,
) -> Result<Response, Failure> {
    let has_account = users::credentials(&app.store, &invitation.email)
        .await?
        .is_some();
    let (label, complete) = if has_account {
        ("Password of your account", "current-password")
    } else {
        ("New password, at least 8 characters", "new-password")
    };
    let proof = browser.proof_field()?;
    let role = invitation.role.map_or("", Role::name);
    let content = html! {
        (alert(error))
        p { strong { (invitation.email) } " is invited to a workspace as " strong { (role) } "." }
        form method="post" action=(in_path("/invitation/", token)) {
            (proof)
            @if !has_account {
                label for="username" { "User name" }
                input id="username" name="username" autocomplete="username" autocapitalize="none" required;
            }
            label for="password" { (label) }
            input id="password" name="password" type="password" autocomplete=(complete) required;
            button { "Join" }
        }
    };
    Ok(browser.page(status, "Invitation", &content, None))
}

fn over(browser: Browser) -> Response {
    let text = "This invitation was taken already, was taken back, or its week is over.";
    browser.page(StatusCode::GONE, "No invitation", &alert(text), None)
}
