//! `/domains`: those of the workspace. A new one is live once its owner has proved it, as in the main dialect.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ids::Uuid;
use super::link::MAX_TEXT;
use super::{ids, problem};
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Id, Object, read};
use crate::app::App;
use crate::domain::field::FieldError;
use crate::domain::key::Scope;
use crate::domain::uuids::Kind;
use crate::domains::{self, New, Redirects};
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::domains::{self as rows, Domain as Row};

/// Domains a list holds: far more than a plan or a person has use for.
const MAX_LISTED: i64 = 1000;

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Domain {
    #[schema(value_type = Uuid, inline)]
    id: String,
    #[schema(example = "mybrand.com")]
    domain: String,
    /// Where its root leads.
    root_url: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
}

/// Domains.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainList {
    domains: Vec<Domain>,
}

/// A domain as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct DomainRequest {
    /// A hostname. Required.
    #[schema(example = "mybrand.com", max_length = 255)]
    domain: Option<String>,
    /// Where its root leads.
    root_url: Option<String>,
}

/// Get a domain.
#[utoipa::path(get, path = "/api/v2/domains/{domain_id}", tag = "Domains", params(("domain_id" = inline(Uuid), Path)), responses(
    (status = 200, body = Domain), (status = 404, description = "No such domain"), (status = 422, description = "Not a UUID")))]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Domain> {
    caller.need(Scope::Read)?;
    let number = ids::needed(&app, (Kind::Domain, "domain"), "domain_id", id.text())?;
    let found = rows::get(&app.store, caller.workspace(), number).await?;
    let row = found.ok_or_else(|| ApiError::not_found("domain", id.text()))?;
    Ok(Json(shown(&app, row)))
}

/// List domains, newest first.
#[utoipa::path(get, path = "/api/v2/domains", tag = "Domains", responses((status = 200, body = DomainList)))]
pub(super) async fn list(State(app): State<Arc<App>>, caller: Caller) -> Reply<DomainList> {
    caller.need(Scope::Read)?;
    let found = rows::page(&app.store, caller.workspace(), (MAX_LISTED, 0)).await?;
    let domains = found.into_iter().map(|row| shown(&app, row)).collect();
    Ok(Json(DomainList { domains }))
}

/// Create a domain.
#[utoipa::path(post, path = "/api/v2/domains", tag = "Domains", request_body = DomainRequest, responses(
    (status = 201, body = Domain), (status = 409, description = "The domain is in use"), (status = 422, description = "A field is missing or wrong")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Result<Response, Failure> {
    caller.need(Scope::Write)?;
    let request: DomainRequest = read(&body)?;
    let name = request
        .domain
        .ok_or_else(|| ApiError::field("domain", "is required"))?;
    if name.contains(['/', ':']) || name.chars().nth(MAX_TEXT).is_some() {
        let problem = format!("must be a hostname of at most {MAX_TEXT} characters");
        return Err(ApiError::field("domain", problem).into());
    }
    let redirects = Redirects {
        root: request.root_url,
        not_found: None,
    };
    // This dialect knows no schemes: the domain has that of the default one.
    let scheme = app.default_domain.base_url.split_once("://");
    let (scheme, _) = scheme.unwrap_or(("https", ""));
    let name = format!("{scheme}://{}", name.trim());
    match domains::add_new(&app, caller.workspace(), &name, &redirects).await {
        Ok(New::Added(domain)) => {
            let domain = Json(shown(&app, *domain));
            Ok((StatusCode::CREATED, domain).into_response())
        }
        Ok(New::Conflict(error)) => Ok(problem::conflict("domain", error.to_string())),
        Err(ApiError::Field(error)) if error.field == "redirectroot" => {
            Err(FieldError::new("root_url", error.problem).into())
        }
        Err(error) => Err(error.into()),
    }
}

fn shown(app: &App, row: Row) -> Domain {
    Domain {
        id: ids::shown(app, Kind::Domain, row.id),
        domain: row.name,
        root_url: Some(row.root_url).filter(|url| !url.is_empty()),
        created_at: ids::instant(row.created_at),
        updated_at: ids::instant(row.updated_at.unwrap_or(row.created_at)),
    }
}
