//! `/api/oauth/token` and `/api/oauth/revoke`: apps talk to these, without a person. Errors have RFC 6749's own form.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::fields::Fields;
use crate::app::App;
use crate::domain::key::{self, NewKey, Scopes};
use crate::domain::oauth::{
    ACCESS_MARK, ACCESS_MS, OAuthError, REFRESH_MARK, REFRESH_MS, requested_scopes, verifier_fits,
};
use crate::error::ApiError;
use crate::store::oauth::{self, Client, Exchange, NewToken, Permission, Revocation, Tokens};

/// What `POST /api/oauth/token` is asked with. A confidential client proves itself by `client_secret` or by HTTP Basic.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct TokenForm {
    /// `authorization_code`, `refresh_token` or `client_credentials`.
    #[schema(example = "client_credentials")]
    grant_type: String,
    client_id: Option<String>,
    client_secret: Option<String>,
    /// With `authorization_code`.
    code: Option<String>,
    /// As it was in the request to authorize.
    redirect_uri: Option<String>,
    /// RFC 7636; public clients must send it.
    code_verifier: Option<String>,
    /// With `refresh_token`.
    refresh_token: Option<String>,
    /// With spaces; narrower than what was allowed, never wider.
    #[schema(example = "read write")]
    scope: Option<String>,
}

/// What `POST /api/oauth/revoke` is asked with.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes a form that is read by name")]
pub(super) struct RevokeForm {
    /// An access or a refresh token.
    token: String,
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenReply {
    access_token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// With spaces.
    scope: String,
}

/// An error of RFC 6749 §5.2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenError {
    #[schema(example = "invalid_grant")]
    error: &'static str,
    /// For people.
    error_description: String,
}

/// An error in the form of RFC 6749 §5.2.
pub(super) struct Refused(OAuthError);

impl<E: Into<OAuthError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            OAuthError::InvalidClient => StatusCode::UNAUTHORIZED,
            OAuthError::Server(error) => {
                tracing::error!(error = format!("{error:#}"), "a token could not be made");
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::BAD_REQUEST,
        };
        let body = TokenError {
            error: self.0.code(),
            error_description: self.0.to_string(),
        };
        let mut response = (status, Json(body)).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Basic realm=\"signpost\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Tokens for a code, a refresh token, or a client's own credentials.
#[utoipa::path(post, path = "/api/oauth/token", tag = "Apps",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenReply), (status = 400, body = TokenError), (status = 401, body = TokenError)))]
pub(super) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let fields = form(request).await?;
    let client = client(&app, &headers, &fields).await?;
    let reply = match fields.one("grant_type")? {
        Some("authorization_code") => of_code(&app, &client, &fields).await?,
        Some("refresh_token") => of_refresh(&app, &client, &fields).await?,
        Some("client_credentials") => of_client(&app, &client, &fields).await?,
        None => {
            return Err(OAuthError::InvalidRequest("grant_type is missing".to_owned()).into());
        }
        Some(_) => return Err(OAuthError::UnsupportedGrantType.into()),
    };
    let mut response = Json(reply).into_response();
    // Beside the gate's Cache-Control; RFC 6749 §5.1 wants both.
    let value = HeaderValue::from_static("no-cache");
    response.headers_mut().insert(PRAGMA, value);
    Ok(response)
}

/// Ends a token. One that is none is revoked already (RFC 7009 §2.2).
#[utoipa::path(post, path = "/api/oauth/revoke", tag = "Apps",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200), (status = 400, body = TokenError), (status = 401, body = TokenError)))]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refused> {
    let fields = form(request).await?;
    let client = client(&app, &headers, &fields).await?;
    let token = need(&fields, "token")?;
    let hash = key::hash(token);
    match oauth::revoke(&app.store, client.id, &hash, app.clock.now_ms()).await? {
        Revocation::Done => Ok(StatusCode::OK.into_response()),
        Revocation::Foreign => {
            Err(OAuthError::InvalidGrant("the token was issued to another client").into())
        }
    }
}

async fn form(request: Request) -> Result<Fields, OAuthError> {
    Fields::of_body(request).await.map_err(|error| match error {
        ApiError::Internal(error) => OAuthError::Server(error),
        other => OAuthError::InvalidRequest(other.to_string()),
    })
}

async fn of_code(app: &App, client: &Client, fields: &Fields) -> Result<TokenReply, OAuthError> {
    let code = key::hash(need(fields, "code")?);
    let (uri, verifier) = (fields.one("redirect_uri")?, fields.one("code_verifier")?);
    let fits = |named: &str, challenge: Option<&str>| {
        let same_place = match uri {
            Some(uri) if named.is_empty() => client.redirect_uris.iter().any(|known| known == uri),
            Some(uri) => uri == named,
            None => named.is_empty(),
        };
        let proved = client.secret_hash.is_some() || challenge.is_some();
        same_place && proved && verifier_fits(verifier, challenge)
    };
    let pair = Pair::draw(app)?;
    let now_ms = app.clock.now_ms();
    let done = oauth::redeem(&app.store, client.id, &code, fits, pair.tokens(), now_ms).await?;
    pair.reply(done, "code")
}

async fn of_refresh(app: &App, client: &Client, fields: &Fields) -> Result<TokenReply, OAuthError> {
    let token = key::hash(need(fields, "refresh_token")?);
    let scope = fields.one("scope")?;
    let narrow = |whole: &Scopes| requested_scopes(scope, whole).ok();
    let pair = Pair::draw(app)?;
    let now_ms = app.clock.now_ms();
    match oauth::refresh(&app.store, client.id, &token, narrow, pair.tokens(), now_ms).await? {
        Exchange::Refused => Err(OAuthError::InvalidScope),
        done => pair.reply(done, "refresh token"),
    }
}

async fn of_client(app: &App, client: &Client, fields: &Fields) -> Result<TokenReply, OAuthError> {
    if client.secret_hash.is_none() {
        return Err(OAuthError::UnauthorizedClient(
            "a public client has no credentials",
        ));
    }
    let scopes = requested_scopes(fields.one("scope")?, &client.scopes)?;
    let access = NewKey::marked(ACCESS_MARK).map_err(anyhow::Error::new)?;
    let now_ms = app.clock.now_ms();
    let permission = Permission {
        client: client.id,
        user: client.user_id,
        workspace: client.workspace_id,
        scopes: &scopes,
    };
    let token = NewToken {
        secret: &access,
        expires_at: now_ms + ACCESS_MS,
    };
    if !oauth::issue(&app.store, &permission, token, now_ms).await? {
        return Err(OAuthError::UnauthorizedClient(
            "who registered this client is no member of its workspace any more",
        ));
    }
    Ok(reply(access, None, &scopes))
}

/// The client of a request: by HTTP Basic, or by fields of the form, and never by both. A public one has no secret.
async fn client(app: &App, headers: &HeaderMap, fields: &Fields) -> Result<Client, OAuthError> {
    let (form_id, form_secret) = (fields.one("client_id")?, fields.one("client_secret")?);
    let (id, secret) = match basic(headers)? {
        None => (form_id.map(str::to_owned), form_secret.map(str::to_owned)),
        Some((id, _)) if form_secret.is_some() || form_id.is_some_and(|form| form != id) => {
            return Err(OAuthError::InvalidRequest(
                "the client must prove itself in one way only".to_owned(),
            ));
        }
        Some((id, secret)) => (Some(id), Some(secret).filter(|secret| !secret.is_empty())),
    };
    let id = id.filter(|id| !id.contains('\0'));
    let id = id.ok_or(OAuthError::InvalidClient)?;
    let client = oauth::find_client(&app.store, &id)
        .await?
        .ok_or(OAuthError::InvalidClient)?;
    let right = match (&client.secret_hash, &secret) {
        (None, None) => true,
        (Some(hash), Some(secret)) => key::same(hash, &key::hash(secret)),
        _ => false,
    };
    if right {
        Ok(client)
    } else {
        Err(OAuthError::InvalidClient)
    }
}

/// Name and secret of HTTP Basic, each form-encoded (RFC 6749 §2.3.1). `None`: another scheme or none.
fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, OAuthError> {
    let Some(header) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let text = header.to_str().map_err(|_| OAuthError::InvalidClient)?;
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let pair = STANDARD
        .decode(rest.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.ok_or(OAuthError::InvalidClient)?;
    let (id, secret) = pair.split_once(':').ok_or(OAuthError::InvalidClient)?;
    let decoded = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    Ok(Some((decoded(id), decoded(secret))))
}

fn need<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, OAuthError> {
    fields
        .one(name)?
        .ok_or_else(|| OAuthError::InvalidRequest(format!("{name} is missing")))
}

/// A new access token with its refresh token.
struct Pair {
    access: NewKey,
    refresh: NewKey,
    access_end: i64,
    refresh_end: i64,
}

impl Pair {
    fn draw(app: &App) -> Result<Self, OAuthError> {
        let now_ms = app.clock.now_ms();
        Ok(Self {
            access: NewKey::marked(ACCESS_MARK).map_err(anyhow::Error::new)?,
            refresh: NewKey::marked(REFRESH_MARK).map_err(anyhow::Error::new)?,
            access_end: now_ms + ACCESS_MS,
            refresh_end: now_ms + REFRESH_MS,
        })
    }

    fn tokens(&self) -> Tokens<'_> {
        Tokens {
            access: NewToken {
                secret: &self.access,
                expires_at: self.access_end,
            },
            refresh: NewToken {
                secret: &self.refresh,
                expires_at: self.refresh_end,
            },
        }
    }

    fn reply(self, done: Exchange, what: &'static str) -> Result<TokenReply, OAuthError> {
        let unknown = if what == "code" {
            "the code is not known, was used or has expired, or the redirect_uri or code_verifier does not belong to it"
        } else {
            "the refresh token is not known, was used, was revoked or has expired"
        };
        match done {
            Exchange::Done(scopes) => Ok(reply(self.access, Some(self.refresh), &scopes)),
            Exchange::Replayed => {
                tracing::warn!(
                    what,
                    "a secret of an app was used twice, its tokens are revoked"
                );
                Err(OAuthError::InvalidGrant(unknown))
            }
            Exchange::Unknown | Exchange::Refused => Err(OAuthError::InvalidGrant(unknown)),
        }
    }
}

fn reply(access: NewKey, refresh: Option<NewKey>, scopes: &Scopes) -> TokenReply {
    TokenReply {
        access_token: access.secret,
        token_type: "Bearer",
        expires_in: ACCESS_MS / 1000,
        refresh_token: refresh.map(|refresh| refresh.secret),
        scope: scopes.names().join(" "),
    }
}
