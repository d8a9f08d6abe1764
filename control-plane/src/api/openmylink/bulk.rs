//! `POST /urls/bulk`: up to 1,000 links in one call and one transaction, with an outcome for each.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemas::feed::MAX_LINKS_PER_CHANGE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::link_request::{LinkRequest, wish, yes_no};
use super::reply::Reply;
use crate::api::request::{BigObject, read};
use crate::app::App;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::middleware::Caller;
use crate::store::links::Together;

/// `POST /urls/bulk`
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body in the OpenAPI document; links are read one by one, so that each has its own error"
)]
pub(super) struct BulkRequest {
    /// 1 to 1,000 links, each as in `POST /url/add`.
    urls: Vec<LinkRequest>,
    /// One that cannot be added keeps all others from being added.
    atomic: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    #[serde(deserialize_with = "yes_no")]
    atomic: Option<bool>,
}

/// Outcomes in the order of the links.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkReply {
    /// 0: the call was understood; each link has its own.
    #[schema(example = 0)]
    error: u8,
    results: Vec<Outcome>,
}

/// What became of one link.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// It exists.
    Added {
        /// 0
        error: u8,
        /// Its id.
        id: i64,
        /// Its short URL.
        shorturl: String,
    },
    /// It does not.
    Refused {
        /// 1
        error: u8,
        /// Why.
        message: String,
    },
}

/// Makes many short links.
#[utoipa::path(post, path = "/api/urls/bulk", tag = "Links", request_body = BulkRequest, responses((status = 200, body = BulkReply)))]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    caller: Caller,
    BigObject(body): BigObject,
) -> Reply<BulkReply> {
    caller.need(Scope::Write)?;
    let urls = match body.get("urls") {
        Some(Value::Array(urls)) => urls,
        None | Some(Value::Null) => return Err(ApiError::field("urls", "is required").into()),
        Some(_) => return Err(ApiError::field("urls", "must be a list").into()),
    };
    if urls.is_empty() || urls.len() > MAX_LINKS_PER_CHANGE {
        return Err(ApiError::TooManyLinks(urls.len()).into());
    }
    let mut options = body.clone();
    options.remove("urls");
    let options: Options = read(&options)?;
    let together = if options.atomic.unwrap_or(false) {
        Together::AllOrNothing
    } else {
        Together::No
    };
    let wishes = urls.iter().map(|url| match url.as_object() {
        Some(map) => wish(map).map_err(ApiError::from),
        None => Err(ApiError::field("urls", "must hold JSON objects")),
    });
    let results =
        crate::links::add_all(&app, caller.workspace(), wishes.collect(), together).await?;
    let results = results.into_iter().map(|result| match result {
        Ok(link) => Outcome::Added {
            error: 0,
            id: link.id,
            shorturl: link.short_url(),
        },
        Err(error) => Outcome::Refused {
            error: 1,
            message: error.public_message(),
        },
    });
    Ok(Json(BulkReply {
        error: 0,
        results: results.collect(),
    }))
}
