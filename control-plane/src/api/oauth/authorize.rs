//! `/oauth/authorize`: an app sends a browser here; the user signs in, reads what the app asks for, and says yes or no.
//!
//! Until the client and its redirect URI are known to be right, every error is a page of ours: nothing of the request says
//! where a browser may be sent. After that errors go to the redirect URI, with `state`, as RFC 6749 §4.1.2.1 has it, once
//! somebody is signed in: before, whoever registers an app could lead strangers through us to a place of his own, by a
//! request that is wrong on purpose (RFC 9700 §4.11.2).

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, Uri};
use maud::html;
use utoipa::ToSchema;

use super::browser::Browser;
use super::fields::Fields;
use super::page::alert;
use super::sign_in;
use crate::api::openmylink::reply::ErrorReply;
use crate::api::reply::Failure;
use crate::app::App;
use crate::domain::key::{NewKey, Scope, Scopes};
use crate::domain::oauth::{
    CODE_MARK, CODE_MS, Challenge, MAX_STATE, OAuthError, origin_of, requested_scopes,
    with_parameters,
};
use crate::store::members;
use crate::store::oauth::{self, Client, NewCode, Permission};
use crate::store::sign_ins::SignedIn;

/// The form of the consent page.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct ConsentForm {
    /// Proof that the page was given to this browser.
    form: String,
    /// The query of the request to authorize.
    request: String,
    /// Number of the workspace that the app is to work in.
    workspace: Option<String>,
    /// `allow`; everything else denies.
    #[schema(example = "allow")]
    decision: Option<String>,
}

/// A request whose client and redirect URI are right.
struct Asked {
    client: Client,
    /// Where the answer goes.
    redirect_uri: String,
    /// Whether the request said so, and the exchange must repeat it.
    is_named: bool,
    state: Option<String>,
}

/// What it asks for.
struct Wanted {
    scopes: Scopes,
    challenge: Option<Challenge>,
}

/// The page that asks a user to sign in, or to allow an app.
#[utoipa::path(get, path = "/oauth/authorize", tag = "Pages", params(
    ("response_type" = Option<String>, Query, description = "code"),
    ("client_id" = Option<String>, Query),
    ("redirect_uri" = Option<String>, Query, description = "one of the client's; may be left out when it has one only"),
    ("scope" = Option<String>, Query, description = "with spaces; all of the client's when absent"),
    ("state" = Option<String>, Query),
    ("code_challenge" = Option<String>, Query),
    ("code_challenge_method" = Option<String>, Query, description = "S256"),
    ("response_mode" = Option<String>, Query, description = "query"),
), responses(
    (status = 200, description = "The page", content((String = "text/html"))),
    (status = 303, description = "Back to the app, with an error"),
    (status = 400, description = "The request is wrong, for people to read", content((String = "text/html")))))]
pub(super) async fn ask(
    State(app): State<Arc<App>>,
    uri: Uri,
    browser: Browser,
) -> Result<Response, Failure> {
    let fields = Fields::of_query(uri.query().unwrap_or_default());
    let asked = match asked(&app, &fields).await? {
        Ok(asked) => asked,
        Err(text) => return Ok(refuse(browser, &text)),
    };
    let user = browser.signed_in(&app).await?;
    match (wanted(&asked.client, &fields), user) {
        (Err(error), None) => Ok(refuse(browser, &format!("The request is wrong: {error}."))),
        (Err(error), Some(_)) => Ok(answer_error(browser, &asked, &error)),
        (Ok(_), None) => sign_in::form(browser, StatusCode::OK, &fields.to_query(), ""),
        (Ok(wanted), Some(user)) => consent(&app, browser, &user, &asked, &wanted, &fields).await,
    }
}

/// The consent page's form. The request comes with it and is checked anew.
#[utoipa::path(post, path = "/oauth/authorize", tag = "Pages",
    request_body(content = ConsentForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The page once more, or the one that asks to sign in", content((String = "text/html"))),
        (status = 303, description = "Back to the app, with a code or an error"),
        (status = 400, description = "The request is wrong", content((String = "text/html"), (ErrorReply = "application/json"))),
        (status = 403, description = "The form was not made here", content((String = "text/html")))))]
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    browser: Browser,
    request: Request,
) -> Result<Response, Failure> {
    let form = Fields::of_body(request).await?;
    if !browser.proves(&form) {
        return Ok(browser.forged());
    }
    let fields = Fields::of_query(form.text("request"));
    let asked = match asked(&app, &fields).await? {
        Ok(asked) => asked,
        Err(text) => return Ok(refuse(browser, &text)),
    };
    let Some(user) = browser.signed_in(&app).await? else {
        return sign_in::form(browser, StatusCode::OK, &fields.to_query(), "");
    };
    let wanted = match wanted(&asked.client, &fields) {
        Ok(wanted) => wanted,
        Err(error) => return Ok(answer_error(browser, &asked, &error)),
    };
    if form.text("decision") != "allow" {
        return Ok(answer_error(browser, &asked, &OAuthError::AccessDenied));
    }
    let Ok(workspace) = form.text("workspace").parse() else {
        return consent(&app, browser, &user, &asked, &wanted, &fields).await;
    };
    let code = NewKey::marked(CODE_MARK).map_err(anyhow::Error::new)?;
    let now_ms = app.clock.now_ms();
    let permission = Permission {
        client: asked.client.id,
        user: user.user,
        workspace,
        scopes: &wanted.scopes,
    };
    let new = NewCode {
        secret: &code,
        redirect_uri: if asked.is_named {
            &asked.redirect_uri
        } else {
            ""
        },
        challenge: wanted.challenge.as_ref().map(Challenge::as_str),
        expires_at: now_ms + CODE_MS,
    };
    if !oauth::allow(&app.store, &permission, new, now_ms).await? {
        return consent(&app, browser, &user, &asked, &wanted, &fields).await;
    }
    Ok(answer(browser, &asked, &[("code", &code.secret)]))
}

/// The outer error is ours, the inner one for the person to read.
async fn asked(app: &App, fields: &Fields) -> sqlx::Result<Result<Asked, String>> {
    let (client_id, uri) = match (fields.one("client_id"), fields.one("redirect_uri")) {
        (Ok(Some(client_id)), Ok(uri)) => (client_id, uri),
        (Ok(None), _) => return Ok(Err("The request names no client_id.".to_owned())),
        (Err(error), _) | (_, Err(error)) => {
            return Ok(Err(format!("The request is wrong: {error}.")));
        }
    };
    let Some(client) = oauth::find_client(&app.store, client_id).await? else {
        return Ok(Err(
            "No app of this client_id is registered here.".to_owned()
        ));
    };
    let redirect_uri = match (uri, client.redirect_uris.as_slice()) {
        (Some(uri), registered) if registered.iter().any(|known| known == uri) => uri.to_owned(),
        (None, [only]) => only.clone(),
        (Some(_), _) => {
            return Ok(Err(
                "The redirect_uri is not one that this app was registered with.".to_owned(),
            ));
        }
        (None, _) => return Ok(Err("The request must say its redirect_uri.".to_owned())),
    };
    // Cut off rather than refused: without it the app refuses the answer itself.
    let state = fields.one("state").ok().flatten();
    Ok(Ok(Asked {
        state: state.filter(|s| s.len() <= MAX_STATE).map(str::to_owned),
        client,
        redirect_uri,
        is_named: uri.is_some(),
    }))
}

fn wanted(client: &Client, fields: &Fields) -> Result<Wanted, OAuthError> {
    if fields.one("state")?.is_some_and(|s| s.len() > MAX_STATE) {
        return Err(OAuthError::InvalidRequest(format!(
            "state must be at most {MAX_STATE} bytes long"
        )));
    }
    if fields.one("response_type")? != Some("code") {
        return Err(OAuthError::UnsupportedResponseType);
    }
    if !matches!(fields.one("response_mode")?, None | Some("query")) {
        return Err(OAuthError::InvalidRequest(
            "response_mode must be query".to_owned(),
        ));
    }
    let challenge = Challenge::parse(
        fields.one("code_challenge")?,
        fields.one("code_challenge_method")?,
    )?;
    if challenge.is_none() && client.secret_hash.is_none() {
        return Err(OAuthError::InvalidRequest(
            "a public client must send a code_challenge (PKCE, S256)".to_owned(),
        ));
    }
    Ok(Wanted {
        scopes: requested_scopes(fields.one("scope")?, &client.scopes)?,
        challenge,
    })
}

async fn consent(
    app: &App,
    mut browser: Browser,
    user: &SignedIn,
    asked: &Asked,
    wanted: &Wanted,
    fields: &Fields,
) -> Result<Response, Failure> {
    let workspaces = members::workspaces(&app.store, user.user).await?;
    let place = match workspaces.as_slice() {
        [] => return Ok(refuse(browser, "Your account belongs to no workspace.")),
        [(id, ..)] => html! { input type="hidden" name="workspace" value=(id); },
        many => html! {
            label for="workspace" { "Workspace" }
            select id="workspace" name="workspace" {
                @for (id, name, role) in many {
                    option value=(id) { (name) " (" (role) ")" }
                }
            }
        },
    };
    let rights = [
        (Scope::Read, "read your account, links and statistics"),
        (
            Scope::Write,
            "make, change and delete links and everything that belongs to them",
        ),
    ];
    let target = origin_of(&asked.redirect_uri);
    let proof = browser.proof_field()?;
    let content = html! {
        p {
            "You are signed in as " strong { (user.username) } ". The app " strong { (asked.client.name) }
            " at " code { (target) } " asks to"
        }
        ul {
            @for (scope, text) in rights {
                @if wanted.scopes.allow(scope) { li { (text) } }
            }
        }
        p { "It gets neither your password nor your API keys. You can take this back at any time." }
        form method="post" action="/oauth/authorize" {
            (proof)
            input type="hidden" name="request" value=(fields.to_query());
            (place)
            button name="decision" value="allow" { "Allow" }
            button.plain name="decision" value="deny" { "Deny" }
        }
    };
    let title = format!("Allow {}?", asked.client.name);
    Ok(browser.page(StatusCode::OK, &title, &content, Some(&target)))
}

fn refuse(browser: Browser, text: &str) -> Response {
    browser.page(
        StatusCode::BAD_REQUEST,
        "The app cannot be allowed",
        &alert(text),
        None,
    )
}

fn answer_error(browser: Browser, asked: &Asked, error: &OAuthError) -> Response {
    let description = error.to_string();
    answer(
        browser,
        asked,
        &[("error", error.code()), ("error_description", &description)],
    )
}

fn answer(browser: Browser, asked: &Asked, parameters: &[(&str, &str)]) -> Response {
    let issuer = browser.own_url.clone();
    let mut all = parameters.to_vec();
    if let Some(state) = &asked.state {
        all.push(("state", state));
    }
    // Which server answers (RFC 9207): an app that talks to several cannot be led to mix them up.
    all.push(("iss", &issuer));
    browser.to(&with_parameters(&asked.redirect_uri, &all))
}
