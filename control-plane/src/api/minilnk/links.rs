//! `/links` and `/links/{id}`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use schemas::slug::Slug;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Payload;
use super::paginator::{Asked, PER_PAGE, Paginator};
use super::wrong::Wrong;
use super::{Done, named, some, time};
use crate::api::counts::totals;
use crate::api::fields::Fields;
use crate::api::reply::{Failure, Reply};
use crate::api::request::{Id, Query};
use crate::app::App;
use crate::destinations::Checks;
use crate::domain::alias::{self, Letters};
use crate::domain::date::When;
use crate::domain::destination::Destination;
use crate::domain::field::{self, FieldError};
use crate::domain::link::{Edit, Found, MAX_TITLE};
use crate::domain::password;
use crate::error::ApiError;
use crate::links::{Secret, Wish};
use crate::looks;
use crate::middleware::Caller;
use crate::stats::Totals;
use crate::store::links::{self, Filter, Link as Row};
use crate::store::{entries, quarantine};

/// Longest URL, in characters.
const MAX_URL: usize = 2048;

/// Shortest and longest alias, in characters.
const ALIAS: std::ops::RangeInclusive<usize> = 3..=20;

/// Says that counts are 0 because they could not be had.
const X_STATS: HeaderName = HeaderName::from_static("x-stats");

/// A short link.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Link {
    #[schema(example = 43)]
    id: i64,
    /// The user of the key.
    user_id: i64,
    /// `null`: the default domain.
    domain_id: Option<i64>,
    #[schema(example = "https://news.ycombinator.com/")]
    original_url: String,
    #[schema(example = "hnnews")]
    short_code: String,
    /// As `short_code`, where that was chosen.
    alias: Option<String>,
    title: Option<String>,
    description: Option<String>,
    total_clicks: u64,
    unique_clicks: u64,
    /// Whether it is switched on.
    is_active: bool,
    #[schema(format = DateTime, example = "2026-05-24T22:05:00.000000Z")]
    created_at: String,
    #[schema(example = "https://go.example/hnnews")]
    short_url: String,
}

/// A link to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct NewLink {
    /// http(s) URL, at most 2048 characters, not one of our short domains.
    #[schema(example = "https://news.ycombinator.com", max_length = 2048)]
    original_url: String,
    /// 3 to 20 letters and digits; drawn when absent. Plan feature `alias`.
    #[schema(pattern = "^[0-9A-Za-z]{3,20}$")]
    alias: Option<String>,
    /// Read from the page's `<title>` when absent, at most 3 seconds long.
    #[schema(max_length = 255)]
    title: Option<String>,
    /// Visitors must give it. Plan feature `password`.
    password: Option<String>,
    /// In the future, ISO 8601; UTC without offset. Plan feature `expiry`.
    expires_at: Option<String>,
}

/// A change of a link.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; `Fields` reads it"
)]
pub(super) struct LinkChange {
    /// http(s) URL, at most 2048 characters.
    #[schema(max_length = 2048)]
    original_url: String,
    /// The one it has: it cannot change.
    alias: Option<String>,
    /// Stays when absent; an empty one takes it away.
    #[schema(max_length = 255)]
    title: Option<String>,
    /// Stays when absent.
    password: Option<String>,
    /// Stays when absent; in the future.
    expires_at: Option<String>,
    /// true: no password any more.
    remove_password: Option<bool>,
    /// true: it does not expire any more.
    remove_expiration: Option<bool>,
}

/// Links, newest first.
#[utoipa::path(get, path = "/api/v1/links", tag = "Links", params(
    ("search" = Option<String>, Query, description = "text in title, original URL or short code"),
    ("page" = Option<i64>, Query, description = "from 1, 15 links each"),
), responses((status = 200, body = Paginator<Link>)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    query: Query,
) -> Result<Response, Failure> {
    let asked = Asked::read(&query);
    let filter = Filter {
        search: asked.search.clone(),
        ..Filter::default()
    };
    let workspace = caller.workspace();
    let found = links::page(&app.store, workspace, &filter, PER_PAGE, asked.offset()).await?;
    let total = links::count(&app.store, workspace, &filter).await?;
    let ids: Vec<i64> = found.iter().map(|link| link.id).collect();
    let known = totals(&app, workspace, &ids).await?;
    let none = HashMap::new();
    let counts = known.as_ref().unwrap_or(&none);
    let data = found
        .into_iter()
        .map(|link| shown(&app, &caller, link, counts))
        .collect();
    let page = Paginator::new((&app, &headers), "/api/v1/links", &asked, data, total);
    Ok(with_counts(Json(page), StatusCode::OK, known.is_some()))
}

/// Makes a link.
#[utoipa::path(post, path = "/api/v1/links", tag = "Links", request_body = NewLink, responses((status = 201, body = Link), (status = 422)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    payload: Payload,
) -> Result<(StatusCode, Json<Link>), Failure> {
    let fields = payload.fields::<NewLink>();
    let mut wrong = Wrong::default();
    let edit = edit(fields, &mut wrong, app.clock.now_ms());
    let wants_title = edit.title.is_none();
    let wish = Wish {
        slug: wrong.or_note(alias_of(fields)),
        letters: Letters::Small,
        password: wrong.or_note(password_of(fields)),
        edit,
        ..Wish::default()
    };
    let workspace = caller.workspace();
    let named_there = (wish.edit.destination.clone(), wish.slug.clone());
    let added = match wrong.end() {
        Ok(()) => crate::links::add(&app, workspace, wish)
            .await
            .map_err(named),
        Err(error) => Err(error),
    };
    let mut link = match added {
        Ok(link) => link,
        Err(error) => return Err(complete(&app, workspace, error, named_there).await.into()),
    };
    // Only now, when nothing refuses it any more: a look takes its time.
    if wants_title && let Some(title) = looks::title_now(&app, &link.content.destination).await {
        let edit = Edit {
            found: Some(Found {
                destination: link.content.destination.clone(),
                title: Some(title),
                refuses_frame: link.content.extras.refuses_frame,
                leads_back: link.content.extras.leads_back,
            }),
            ..Edit::default()
        };
        let wish = Wish {
            edit,
            ..Wish::default()
        };
        link = crate::links::update(&app, workspace, link.id, wish).await?;
    }
    let link = shown(&app, &caller, link, &HashMap::new());
    Ok((StatusCode::CREATED, Json(link)))
}

/// One link.
#[utoipa::path(get, path = "/api/v1/links/{id}", tag = "Links", params(("id" = i64, Path)), responses((status = 200, body = Link)))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Result<Response, Failure> {
    let link = get(&app, &caller, &id).await?;
    counted(&app, &caller, link).await
}

/// Changes a link. Its code, alias and counts stay, and so does what this dialect does not know of.
#[utoipa::path(put, path = "/api/v1/links/{id}", tag = "Links", params(("id" = i64, Path)), request_body = LinkChange, responses((status = 200, body = Link), (status = 422)))]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    payload: Payload,
) -> Result<Response, Failure> {
    let fields = payload.fields::<LinkChange>();
    let link = get(&app, &caller, &id).await?;
    let mut wrong = Wrong::default();
    let mut edit = edit(fields, &mut wrong, app.clock.now_ms());
    if fields.text("title").ok().flatten() == Some("") {
        edit.title = Some(String::new());
    }
    let mut password = wrong.or_note(password_of(fields));
    if let Some(alias) = wrong.or_note(fields.filled("alias"))
        && alias != link.slug.as_str()
    {
        wrong.note("alias", "cannot change");
    }
    for (name, other, is_given) in [
        ("remove_password", "password", password.is_some()),
        ("remove_expiration", "expires_at", edit.expires_at.is_some()),
    ] {
        if !wrong.or_note(fields.is_set(name)) {
            continue;
        }
        if is_given {
            wrong.note(name, format!("cannot be true where {other} is given"));
        }
        match name {
            "remove_password" => password = Some(None),
            _ => edit.expires_at = Some(None),
        }
    }
    let wish = Wish {
        password,
        edit,
        ..Wish::default()
    };
    let workspace = caller.workspace();
    let named_there = (wish.edit.destination.clone(), None);
    let changed = match wrong.end() {
        Ok(()) => crate::links::update(&app, workspace, link.id, wish)
            .await
            .map_err(named),
        Err(error) => Err(error),
    };
    match changed {
        Ok(link) => counted(&app, &caller, link).await,
        Err(error) => Err(complete(&app, workspace, error, named_there).await.into()),
    }
}

/// An error with all fields that are wrong: with those, too, that only the database knows, which a call that is refused
/// for others has not come to.
async fn complete(
    app: &App,
    workspace: i64,
    error: ApiError,
    (url, alias): (Option<Destination>, Option<Slug>),
) -> ApiError {
    let mut wrong = match Wrong::of(error) {
        Ok(wrong) => wrong,
        Err(other) => return other,
    };
    let looked = async {
        if let Some(url) = url.filter(|_| !wrong.names("original_url")) {
            let checks = Checks::of(app, url.host().into_iter().collect()).await?;
            wrong.or_note(checks.check(app, "original_url", &url));
        }
        if let Some(slug) = alias.filter(|_| !wrong.names("alias")) {
            let place = (app.default_domain.id, &slug);
            let is_free = entries::slug_is_free(&app.store, place.0, place.1).await?;
            if !is_free
                || quarantine::free_at(&app.store, place, workspace)
                    .await?
                    .is_some()
            {
                let taken = crate::links::taken(app, workspace, (place.0, slug)).await?;
                if let ApiError::Field(error) = named(taken) {
                    wrong.note(&error.field, error.problem);
                }
            }
        }
        wrong.end()
    };
    looked
        .await
        .err()
        .unwrap_or_else(|| ApiError::Internal(anyhow::anyhow!("a call was refused for no field")))
}

/// Deletes a link: visitors get 404 from now on.
#[utoipa::path(delete, path = "/api/v1/links/{id}", tag = "Links", params(("id" = i64, Path)), responses((status = 200, body = Done)))]
pub(super) async fn delete(State(app): State<Arc<App>>, caller: Caller, id: Id) -> Reply<Done> {
    crate::links::delete(&app, caller.workspace(), id.of("link")?).await?;
    let message = "Link deleted successfully.";
    Ok(Json(Done { message }))
}

/// The link of this id.
pub(super) async fn get(app: &App, caller: &Caller, id: &Id) -> Result<Row, ApiError> {
    let number = id.of("link")?;
    links::get(&app.store, caller.workspace(), number)
        .await?
        .ok_or_else(|| ApiError::not_found("link", number))
}

async fn counted(app: &App, caller: &Caller, link: Row) -> Result<Response, Failure> {
    let known = totals(app, caller.workspace(), &[link.id]).await?;
    let none = HashMap::new();
    let link = shown(app, caller, link, known.as_ref().unwrap_or(&none));
    Ok(with_counts(Json(link), StatusCode::OK, known.is_some()))
}

/// An answer that says so when its counts are not known.
pub(super) fn with_counts<T: Serialize>(
    body: Json<T>,
    status: StatusCode,
    are_known: bool,
) -> Response {
    let mut response = (status, body).into_response();
    if !are_known {
        let unavailable = HeaderValue::from_static("unavailable");
        response.headers_mut().insert(X_STATS, unavailable);
    }
    response
}

fn shown(app: &App, caller: &Caller, link: Row, counts: &HashMap<u64, Totals>) -> Link {
    let totals = counts.get(&link.id.cast_unsigned()).copied();
    let totals = totals.unwrap_or_default();
    let is_default = link.domain_id == app.default_domain.id;
    Link {
        id: link.id,
        user_id: caller.key.user_id,
        domain_id: (!is_default).then_some(link.domain_id),
        short_code: link.slug.to_string(),
        alias: (!link.content.is_drawn).then(|| link.slug.to_string()),
        title: some(&link.content.title),
        description: some(&link.content.description),
        total_clicks: totals.clicks,
        unique_clicks: totals.unique_clicks,
        is_active: !link.content.is_disabled,
        created_at: time(link.created_at),
        short_url: link.short_url(),
        original_url: link.content.destination,
    }
}

/// What both bodies have in common.
fn edit(fields: Fields<'_>, wrong: &mut Wrong, now_ms: i64) -> Edit {
    let title = fields.filled("title").and_then(|title| match title {
        Some(title) => field::text("title", title, MAX_TITLE).map(Some),
        None => Ok(None),
    });
    Edit {
        destination: wrong.or_note(url_of(fields).map(Some)),
        title: wrong.or_note(title),
        expires_at: wrong.or_note(expiry_of(fields, now_ms)).map(Some),
        ..Edit::default()
    }
}

fn url_of(fields: Fields<'_>) -> Result<Destination, FieldError> {
    let url = fields.required("original_url")?;
    if url.chars().nth(MAX_URL).is_some() {
        let problem = format!("must be at most {MAX_URL} characters long");
        return Err(FieldError::new("original_url", problem));
    }
    Destination::parse("original_url", url)
}

fn expiry_of(fields: Fields<'_>, now_ms: i64) -> Result<Option<i64>, FieldError> {
    let Some(text) = fields.filled("expires_at")? else {
        return Ok(None);
    };
    let at = When::parse("expires_at", text)?.end_ms();
    if at <= now_ms {
        return Err(FieldError::new("expires_at", "must be in the future"));
    }
    Ok(Some(at))
}

fn alias_of(fields: Fields<'_>) -> Result<Option<Slug>, FieldError> {
    let Some(text) = fields.filled("alias")?.map(str::trim) else {
        return Ok(None);
    };
    let is_legal =
        ALIAS.contains(&text.chars().count()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
    if !is_legal {
        let problem = "must be 3 to 20 letters and digits";
        return Err(FieldError::new("alias", problem));
    }
    alias::custom("alias", text).map(Some)
}

fn password_of(fields: Fields<'_>) -> Result<Option<Option<Secret>>, FieldError> {
    let Some(text) = fields.text("password")?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    password::check_gate("password", text)?;
    Ok(Some(Some(Secret(text.to_owned()))))
}
