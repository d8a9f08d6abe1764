//! `/domains`, `/domain/…`.
//!
//! What the published documents leave open, decided here:
//! - A domain is not live for visitors before a TXT record shows that it is its workspace's, unless the administrator
//!   waives that; until then links cannot be put on it. `GET /domains` and `GET /domain/:id` (ours) say what the record must
//!   be, `POST /domain/:id/check` (ours) looks for it at once; besides, it is looked for with growing pauses.
//! - A domain that another workspace has proved is `already in use`; one that is merely claimed blocks nobody.
//! - Deleting a domain deletes no links: they answer nobody, can be moved to another domain, and answer again when the same
//!   workspace adds the domain again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::link_request::text;
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Object, Query, read};
use crate::app::App;
use crate::domain::date;
use crate::domain::domain_name::{letters, proof_name, proof_value};
use crate::domain::key::Scope;
use crate::domains::Redirects;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::domains::{self, Domain};

/// A domain as a caller wants it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct DomainRequest {
    /// Required to add one: the domain with its scheme. Ignored in updates.
    #[serde(deserialize_with = "text")]
    #[schema(example = "https://go.example.com")]
    domain: Option<String>,
    /// Where its `/` leads; empty: our page.
    #[serde(deserialize_with = "text")]
    #[schema(example = "https://example.com")]
    redirectroot: Option<String>,
    /// Where unknown paths lead; empty: our page.
    #[serde(deserialize_with = "text")]
    #[schema(example = "https://example.com/404")]
    redirect404: Option<String>,
}

/// `GET /domains`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainsReply {
    #[schema(example = 0)]
    error: u8,
    data: DomainPage,
}

/// A page of domains.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainPage {
    #[serde(flatten)]
    paging: Paging,
    domains: Vec<DomainItem>,
}

/// `GET /domain/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainReply {
    #[schema(example = 0)]
    error: u8,
    data: DomainItem,
}

/// A domain.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainItem {
    id: i64,
    /// With its scheme; letters of other scripts as punycode.
    #[schema(example = "https://xn--bcher-kva.example")]
    domain: String,
    /// Where its `/` leads; empty: our page.
    redirectroot: String,
    /// Where unknown paths lead; empty: our page.
    redirect404: String,
    /// Its name as people read it.
    #[schema(example = "bücher.example")]
    unicode: String,
    /// `live`, or `pending` until its ownership is proved.
    status: &'static str,
    /// The proof that is asked for; `null` once it is live.
    proof: Option<Proof>,
}

/// The proof of ownership that is asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proof {
    /// `TXT`
    #[serde(rename = "type")]
    kind: &'static str,
    /// Name of the record.
    #[schema(example = "_signpost.go.example.com")]
    name: String,
    /// What the record must hold.
    #[schema(example = "signpost-domain=0123456789abcdef0123456789abcdef")]
    value: String,
    /// When it was last looked for, `YYYY-MM-DD HH:MM:SS` UTC; `null`: not yet.
    checked: Option<String>,
    /// What was found instead; empty: not looked yet.
    problem: String,
    /// When it is looked for next; `null`: only on request.
    next: Option<String>,
}

/// `POST /domain/add`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DomainAddReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
}

/// Domains of the workspace.
#[utoipa::path(get, path = "/api/domains", tag = "Domains", params(
    ("limit" = Option<i64>, Query, description = "domains a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = DomainsReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<DomainsReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let workspace = caller.workspace();
    let found = domains::page(&app.store, workspace, (limit, (page - 1) * limit)).await?;
    let count = domains::count(&app.store, workspace).await?;
    Ok(Json(DomainsReply {
        error: 0,
        data: DomainPage {
            paging: Paging::new(count, limit, page),
            domains: found.into_iter().map(item).collect(),
        },
    }))
}

/// One domain.
#[utoipa::path(get, path = "/api/domain/{id}", tag = "Domains", params(("id" = i64, Path)), responses((status = 200, body = DomainReply)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<DomainReply> {
    caller.need(Scope::Read)?;
    let domain = crate::domains::get(&app, caller.workspace(), id.of("domain")?).await?;
    Ok(Json(DomainReply {
        error: 0,
        data: item(domain),
    }))
}

/// Adds a branded domain. It is live once its ownership is proved.
#[utoipa::path(post, path = "/api/domain/add", tag = "Domains", request_body = DomainRequest, responses((status = 200, body = DomainAddReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Object(body): Object,
) -> Reply<DomainAddReply> {
    caller.need(Scope::Write)?;
    let body: DomainRequest = read(&body)?;
    let name = body.domain.as_deref().map(|d| d.trim_matches(' '));
    let name = name.filter(|d| !d.is_empty());
    let name = name.ok_or_else(|| ApiError::field("domain", "is required"))?;
    let redirects = Redirects {
        root: body.redirectroot.clone(),
        not_found: body.redirect404.clone(),
    };
    let domain = crate::domains::add(&app, caller.workspace(), name, &redirects).await?;
    Ok(Json(DomainAddReply {
        error: 0,
        id: domain.id,
    }))
}

/// Looks for the proof of a domain now. Error 1 with what is missing when it is not there.
#[utoipa::path(post, path = "/api/domain/{id}/check", tag = "Domains", params(("id" = i64, Path)), responses((status = 200, body = DomainReply)))]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<DomainReply> {
    caller.need(Scope::Write)?;
    let domain = crate::domains::check(&app, caller.workspace(), id.of("domain")?).await?;
    if !domain.is_live {
        return Err(ApiError::field(
            "domain",
            format!(
                "'{}' is not proved: {}. Add a TXT record {} with the value {}",
                domain.name,
                domain.claim.error,
                proof_name(&domain.name),
                proof_value(&domain.claim.token)
            ),
        )
        .into());
    }
    Ok(Json(DomainReply {
        error: 0,
        data: item(domain),
    }))
}

/// Changes where a domain's own paths lead; what is not sent stays.
#[utoipa::path(put, path = "/api/domain/{id}/update", tag = "Domains", params(("id" = i64, Path)), request_body = DomainRequest, responses((status = 200, body = MessageReply)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    Object(body): Object,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    let body: DomainRequest = read(&body)?;
    let redirects = Redirects {
        root: body.redirectroot,
        not_found: body.redirect404,
    };
    crate::domains::update(&app, caller.workspace(), id.of("domain")?, &redirects).await?;
    Ok(MessageReply::new("Domain has been updated successfully."))
}

/// Deletes a domain: visitors on it get 404 from now on. Its links stay.
#[utoipa::path(delete, path = "/api/domain/{id}/delete", tag = "Domains", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    crate::domains::delete(&app, caller.workspace(), id.of("domain")?).await?;
    Ok(MessageReply::new("Domain has been deleted successfully."))
}

fn item(domain: Domain) -> DomainItem {
    let proof = Proof {
        kind: "TXT",
        name: proof_name(&domain.name),
        value: proof_value(&domain.claim.token),
        checked: domain.claim.checked_at.map(date::format),
        problem: domain.claim.error,
        next: domain.claim.check_at.map(date::format),
    };
    DomainItem {
        id: domain.id,
        unicode: letters(&domain.name),
        domain: domain.base_url,
        redirectroot: domain.root_url,
        redirect404: domain.not_found_url,
        status: if domain.is_live { "live" } else { "pending" },
        proof: (!domain.is_live).then_some(proof),
    }
}
