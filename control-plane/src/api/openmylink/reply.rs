//! Answers: the integer `error` is in each, 0 for success.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use crate::api::reply::{Failure, Reply};
use crate::error::ApiError;
use crate::stats::StatsError;

/// A failed call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorReply {
    /// Never 0: 1, or 429 when there were too many calls, 500 or 503 when the fault is ours.
    #[schema(example = 1, minimum = 1)]
    error: u16,
    /// What went wrong, for people.
    #[schema(example = "Custom alias 'spring-sale' is already in use")]
    message: String,
}

/// A done call that has nothing to show.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageReply {
    #[schema(example = 0)]
    error: u8,
    message: &'static str,
}

impl MessageReply {
    /// Done.
    pub(crate) fn new(message: &'static str) -> Json<Self> {
        Json(Self { error: 0, message })
    }
}

impl ApiError {
    /// HTTP status and `error`. What is wrong with the content of a call is HTTP 200 in this dialect.
    fn codes(&self) -> (StatusCode, u16) {
        match self {
            Self::Field(_)
            | Self::Fields(_)
            | Self::AliasTaken(_)
            | Self::AliasRests { .. }
            | Self::NotFound { .. }
            | Self::Plan(_)
            | Self::TooManyLinks(_)
            | Self::Stats(StatsError::Cursor(_)) => (StatusCode::OK, 1),
            Self::NotJson(_) => (StatusCode::BAD_REQUEST, 1),
            Self::Key(_) => (StatusCode::UNAUTHORIZED, 1),
            Self::Forbidden(_) | Self::Role(_) | Self::NotForApps | Self::Escalation => {
                (StatusCode::FORBIDDEN, 1)
            }
            Self::UnknownPath => (StatusCode::NOT_FOUND, 1),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, 1),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, 1),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, 1),
            Self::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, 429),
            Self::Stats(StatsError::Unavailable(_)) => (StatusCode::SERVICE_UNAVAILABLE, 503),
            Self::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, 503),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, 500),
        }
    }
}

/// An error in this dialect's form.
pub(super) fn render(error: &ApiError) -> Response {
    let (status, code) = error.codes();
    let message = error.public_message();
    let body = ErrorReply {
        error: code,
        message,
    };
    (status, Json(body)).into_response()
}

/// Where a page of a list stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Paging {
    /// Number of matches.
    result: i64,
    /// The limit asked for.
    perpage: i64,
    /// The page asked for.
    currentpage: i64,
    /// The page after it, or itself on the last one.
    nextpage: i64,
    /// Number of pages, at least 1.
    maxpage: i64,
}

impl Paging {
    /// The place of page `page` of `limit` items among `result`.
    pub(crate) fn new(result: i64, limit: i64, page: i64) -> Self {
        let maxpage = result.div_euclid(limit) + i64::from(result % limit != 0);
        let maxpage = maxpage.max(1);
        Self {
            result,
            perpage: limit,
            currentpage: page,
            nextpage: if page < maxpage { page + 1 } else { page },
            maxpage,
        }
    }
}

impl Paging {
    /// The page after it, if there is one.
    pub(crate) fn next(&self) -> Option<i64> {
        Some(self.nextpage).filter(|next| *next != self.currentpage)
    }

    /// Number of pages.
    pub(crate) fn maxpage(&self) -> i64 {
        self.maxpage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(result: i64, limit: i64, page: i64, expected: (i64, i64)) {
        let paging = Paging::new(result, limit, page);
        assert_eq!(
            (paging.nextpage, paging.maxpage),
            expected,
            "{result} by {limit}, page {page}"
        );
    }

    #[test]
    fn the_last_page_names_itself_as_the_next() {
        check(0, 15, 1, (1, 1));
        check(2, 1, 1, (2, 2));
        check(2, 1, 2, (2, 2));
        check(15, 15, 1, (1, 1));
        check(16, 15, 1, (2, 2));
        check(3, 15, 9, (9, 1));
    }
}
