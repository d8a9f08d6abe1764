//! What visitors send: forms of pages, passed on by proxies to `/internal/v1/visitor/form` with the feed's token. The
//! answer is a page, which the proxy passes back.
//!
//! A form names by a hidden field what it belongs to. Visitors are strangers and may write anything there: what is named
//! must belong to the workspace of the link that the proxy says the form was sent to. Texts are kept as they are, bounded
//! in length and number, and shown to the owner alone. A visitor's address sends [`MAX_FORMS`] a minute, whatever they are.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use schemas::feed::paths;

use crate::app::App;
use crate::domain::bio::value::Line;
use crate::domain::bio::{Block, form as bio};
use crate::domain::overlay::Note;
use crate::domain::page::Rendered;
use crate::feed::Admitted;
use crate::metrics;
use crate::rate::Who;
use crate::render::{self, form};
use crate::store::bio::{self as store, entries};
use crate::store::overlays::{self, Noted};

/// Largest form in bytes: a text of 5,000 characters, each percent-encoded in up to twelve bytes, and the other fields.
const MAX_FORM_BYTES: usize = 72 << 10;

/// Forms a minute of one address.
const MAX_FORMS: i64 = 20;

/// Address of the visitor, in a proxy's request.
const VISITOR: &str = "x-signpost-visitor";

/// Id of the link a form was sent to, in a proxy's request.
const LINK: &str = "x-signpost-link";

/// Routes for proxies.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route(&format!("{}/form", paths::VISITOR), post(take))
}

/// The handler.
async fn take(
    _: Admitted,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let (outcome, page) = answer(&app, &headers, body).await;
    metrics::visitor_form(outcome);
    respond(page)
}

/// What became of it, for the metric, and what the visitor reads.
async fn answer(app: &App, headers: &HeaderMap, body: Body) -> (&'static str, Rendered) {
    let refused = |status, text: &str| ("refused", render::notice(status, "Not sent", text));
    let Ok(bytes) = axum::body::to_bytes(body, MAX_FORM_BYTES).await else {
        return refused(413, "This is too long.");
    };
    let address = headers.get(VISITOR).and_then(|ip| ip.to_str().ok());
    if let Some(ip) = address.and_then(|ip| ip.parse().ok()) {
        let who = Who::address(ip);
        if !app
            .visitors
            .count(who, MAX_FORMS, app.clock.now_ms())
            .allowed
        {
            let text = "You have sent too much. Please try again in a minute.";
            return ("limited", render::notice(429, "Not sent", text));
        }
    }
    let link = headers.get(LINK).and_then(|id| id.to_str().ok());
    let Some(link) = link.and_then(|id| id.parse::<i64>().ok()) else {
        return refused(400, "This form belongs to no link.");
    };
    let fields: Vec<(String, String)> = url::form_urlencoded::parse(&bytes).into_owned().collect();
    let field = |name: &str| {
        let found = fields.iter().find(|(n, _)| n == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    if !field(bio::BLOCK).is_empty() {
        return bio_form(app, link, field).await;
    }
    let Ok(overlay) = field(form::OVERLAY).parse::<i64>() else {
        return refused(400, "This form is not known.");
    };
    let note = Note::new(field(form::NAME), field(form::EMAIL), field(form::MESSAGE));
    let note = match note {
        Ok(note) => note,
        Err(error) => return refused(400, &format!("Please go back and correct this: {error}.")),
    };
    match overlays::note(&app.store, (link, overlay), &note, app.clock.now_ms()).await {
        Ok(Noted::Kept) => (
            "kept",
            render::notice(200, "Thank you", "Your message has been sent."),
        ),
        Ok(Noted::NoForm) => refused(404, "This form is no longer there."),
        Ok(Noted::Full) => (
            "full",
            render::notice(
                409,
                "Not sent",
                "Too many messages are waiting to be read. Please try again later.",
            ),
        ),
        Err(error) => {
            tracing::error!(%error, "a visitor's form cannot be kept");
            (
                "failed",
                render::notice(503, "Not sent", "Please try again later."),
            )
        }
    }
}

/// A form of a bio page.
async fn bio_form<'a>(
    app: &App,
    link: i64,
    field: impl Fn(&str) -> &'a str,
) -> (&'static str, Rendered) {
    match take_bio_form(app, link, field).await {
        Ok(taken) => taken,
        Err(error) => {
            tracing::error!(%error, "a visitor's form cannot be kept");
            let page = render::notice(503, "Not sent", "Please try again later.");
            ("failed", page)
        }
    }
}

async fn take_bio_form<'a>(
    app: &App,
    link: i64,
    field: impl Fn(&str) -> &'a str,
) -> sqlx::Result<(&'static str, Rendered)> {
    let gone = || {
        let page = render::notice(404, "Not sent", "This form is no longer there.");
        ("refused", page)
    };
    let Ok(id) = field(bio::BLOCK).parse::<i64>() else {
        return Ok(gone());
    };
    let mut connection = app.store.readers().acquire().await?;
    let found = entries::addressed(&mut connection, (link, id)).await?;
    drop(connection);
    let Some((page, block)) = found else {
        return Ok(gone());
    };
    let words = success(&block);
    if !field(bio::TRAP).is_empty() {
        // Told that it was taken: a program that learns better tries again.
        return Ok(("trapped", store::sent(&page, words, &[])));
    }
    let sent = match bio::read(&block, field) {
        None => return Ok(gone()),
        Some(Ok(sent)) => sent,
        Some(Err(error)) => {
            let text = format!("Please go back and correct this: {error}.");
            return Ok(("refused", render::notice(400, "Not sent", &text)));
        }
    };
    let of = (page.id, id, block.name());
    if !entries::keep(&app.store, of, &sent, app.clock.now_ms()).await? {
        let text = "Too many messages are waiting to be read. Please try again later.";
        return Ok(("full", render::notice(409, "Not sent", text)));
    }
    let mut connection = app.store.readers().acquire().await?;
    let votes = entries::votes(&mut connection, page.id).await?;
    let tally = entries::tally((id, &block), &votes);
    Ok(("kept", store::sent(&page, words, &tally)))
}

/// What is read after sending.
fn success(block: &Block) -> &str {
    let (own, usual) = match block {
        Block::Newsletter(block) => (block.success.as_ref(), "You are on the list."),
        Block::ContactForm(block) => (block.success.as_ref(), "Your message has been sent."),
        Block::Form(block) => (block.success.as_ref(), "Your answers have been sent."),
        _ => (None, "Your vote has been counted."),
    };
    own.map_or(usual, Line::as_str)
}

fn respond(page: Rendered) -> Response {
    let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, page.body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(policy) = HeaderValue::from_str(&page.csp) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}
