//! `/login`, `/login/:token`, `/logout`. There is no dashboard: signing in is for consent pages, and to see as whom.

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
use crate::api::openmylink::reply::ErrorReply;
use crate::api::reply::Failure;
use crate::app::App;
use crate::domain::key;
use crate::sign_in::{self, SignInError};
use crate::store::sign_ins;

/// The form of the sign-in page.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct SignInForm {
    /// Proof that the page was given to this browser.
    form: String,
    /// Email or user name.
    login: String,
    password: String,
    /// The query of a request to authorize that goes on afterwards.
    request: Option<String>,
}

/// The form of pages with nothing but a button.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct ButtonForm {
    /// Proof that the page was given to this browser.
    form: String,
}

/// Who is signed in, or the page to sign in on.
#[utoipa::path(get, path = "/login", tag = "Pages", responses((status = 200, description = "The page", content((String = "text/html")))))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    mut browser: Browser,
) -> Result<Response, Failure> {
    let Some(user) = browser.signed_in(&app).await? else {
        return form(browser, StatusCode::OK, "", "");
    };
    let proof = browser.proof_field()?;
    let content = html! {
        p { "You are signed in as " strong { (user.username) } " (" (user.email) ")." }
        form method="post" action="/logout" { (proof) button { "Sign out" } }
    };
    Ok(browser.page(StatusCode::OK, "Signed in", &content, None))
}

/// Signs in.
#[utoipa::path(post, path = "/login", tag = "Pages",
    request_body(content = SignInForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Signed in"),
        (status = 401, description = "The page once more: wrong name or password", content((String = "text/html"))),
        (status = 403, description = "The form was not made here", content((String = "text/html"))),
        (status = 429, description = "Too many wrong passwords, or calls", content((String = "text/html"), (ErrorReply = "application/json")))))]
pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    mut browser: Browser,
    request: Request,
) -> Result<Response, Failure> {
    let fields = Fields::of_body(request).await?;
    if !browser.proves(&fields) {
        return Ok(browser.forged());
    }
    // The query of a request to authorize, and never a URL: nobody can be sent elsewhere with it.
    let next = Fields::of_query(fields.text("request")).to_query();
    let password = fields.text("password").to_owned();
    match sign_in::sign_in(&app, browser.ip, fields.text("login"), password).await {
        Ok(user) => {
            browser.sign_in(&app, user).await?;
            let location = if next.is_empty() {
                "/login".to_owned()
            } else {
                format!("/oauth/authorize?{next}")
            };
            Ok(browser.to(&location))
        }
        Err(error) => {
            let status = status(&error);
            form(browser, status, &next, &error.to_string())
        }
    }
}

/// The form; `request` is the query of a request to authorize that goes on after it.
pub(super) fn form(
    mut browser: Browser,
    status: StatusCode,
    request: &str,
    error: &str,
) -> Result<Response, Failure> {
    let proof = browser.proof_field()?;
    let content = html! {
        (alert(error))
        form method="post" action="/login" {
            (proof)
            input type="hidden" name="request" value=(request);
            label for="login" { "Email or user name" }
            input id="login" name="login" autocomplete="username" autocapitalize="none" required;
            label for="password" { "Password" }
            input id="password" name="password" type="password" autocomplete="current-password" required;
            button { "Sign in" }
        }
    };
    Ok(browser.page(status, "Sign in", &content, None))
}

/// The HTTP status of a sign-in that failed.
pub(super) fn status(error: &SignInError) -> StatusCode {
    match error {
        SignInError::Wrong => StatusCode::UNAUTHORIZED,
        SignInError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
        SignInError::Failed(error) => {
            tracing::error!(error = format!("{error:#}"), "a sign-in failed");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

/// A page with a button. The URL itself does nothing, for programs look at URLs in messages too.
#[utoipa::path(get, path = "/login/{token}", tag = "Pages", params(("token" = String, Path)), responses(
    (status = 200, description = "The page", content((String = "text/html"))),
    (status = 410, description = "No token of ours", content((String = "text/html")))))]
pub(super) async fn show_link(
    token: Result<Path<String>, PathRejection>,
    mut browser: Browser,
) -> Result<Response, Failure> {
    let Ok(Path(token)) = token else {
        return Ok(used(browser));
    };
    let proof = browser.proof_field()?;
    let content = html! {
        p { "This URL signs you in once." }
        form method="post" action=(in_path("/login/", &token)) { (proof) button { "Sign in" } }
    };
    Ok(browser.page(StatusCode::OK, "Sign in", &content, None))
}

/// Signs in by a URL that works once.
#[utoipa::path(post, path = "/login/{token}", tag = "Pages", params(("token" = String, Path)),
    request_body(content = ButtonForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Signed in"),
        (status = 403, description = "The form was not made here", content((String = "text/html"))),
        (status = 410, description = "The URL was used already or its hour is over", content((String = "text/html")))))]
pub(super) async fn take_link(
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
        return Ok(used(browser));
    };
    let now_ms = app.clock.now_ms();
    let user = sign_ins::take_link(&app.store, &key::hash(&token), now_ms).await?;
    let Some(user) = user else {
        return Ok(used(browser));
    };
    browser.sign_in(&app, user).await?;
    Ok(browser.to("/login"))
}

fn used(browser: Browser) -> Response {
    let text = "This URL was used already or its hour is over.";
    browser.page(StatusCode::GONE, "Not signed in", &alert(text), None)
}

/// Signs out.
#[utoipa::path(post, path = "/logout", tag = "Pages",
    request_body(content = ButtonForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Signed out"),
        (status = 403, description = "The form was not made here", content((String = "text/html")))))]
pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    mut browser: Browser,
    request: Request,
) -> Result<Response, Failure> {
    let fields = Fields::of_body(request).await?;
    if !browser.proves(&fields) {
        return Ok(browser.forged());
    }
    browser.sign_out(&app).await?;
    Ok(browser.to("/login"))
}
