//! OAuth 2 for apps and browsers: authorization, consent and sign-in pages, tokens, revocation, metadata. What is granted
//! and why so narrowly is said in [`crate::domain::oauth`].
//!
//! | | path | standard |
//! | --- | --- | --- |
//! | GET, POST | /oauth/authorize | RFC 6749 §4.1, RFC 7636, RFC 9207 |
//! | POST | /api/oauth/token | RFC 6749 §3.2 |
//! | POST | /api/oauth/revoke | RFC 7009 |
//! | GET | /.well-known/oauth-authorization-server | RFC 8414 |
//! | GET, POST | /login, /login/:token, /logout, /invitation/:token | pages of ours |
//! | GET | /oauth/openapi.json, /oauth/docs | all of these, described |

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::app::App;
use crate::own_url::own_url;

mod authorize;
mod browser;
mod fields;
mod invitation;
mod openapi;
mod page;
mod sign_in;
mod token;

/// All of it.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/oauth/authorize",
            get(authorize::ask).post(authorize::decide),
        )
        .route("/api/oauth/token", post(token::token))
        .route("/api/oauth/revoke", post(token::revoke))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/login", get(sign_in::show).post(sign_in::sign_in))
        .route(
            "/login/{token}",
            get(sign_in::show_link).post(sign_in::take_link),
        )
        .route("/logout", post(sign_in::sign_out))
        .route(
            "/invitation/{token}",
            get(invitation::show).post(invitation::accept),
        )
        .route("/oauth/openapi.json", get(openapi::document))
        .route("/oauth/docs", get(openapi::page))
}

/// What there is and where (RFC 8414).
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "Apps", responses((status = 200, body = Value)))]
async fn metadata(State(app): State<Arc<App>>, headers: HeaderMap) -> Json<Value> {
    let issuer = own_url(&app, &headers);
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/api/oauth/token"),
        "revocation_endpoint": format!("{issuer}/api/oauth/revoke"),
        "service_documentation": format!("{issuer}/api/docs"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["read", "write"],
        "authorization_response_iss_parameter_supported": true,
    }))
}
