//! Lists in the form of Laravel's paginator.

use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::request::Query;
use crate::app::App;
use crate::own_url::own_url;

/// Items a page.
pub(super) const PER_PAGE: i64 = 15;

/// Largest page: beyond every list.
const MAX_PAGE: i64 = 1_000_000_000;

/// What a list is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    /// Text to look for; empty: everything.
    pub(super) search: String,
    /// From 1.
    pub(super) page: i64,
}

impl Asked {
    /// A page number that is none is 1.
    pub(super) fn read(query: &Query) -> Self {
        let page = query.text("page").and_then(|text| text.parse().ok());
        Self {
            search: query.text("search").unwrap_or_default().to_owned(),
            page: page.filter(|n| (1..=MAX_PAGE).contains(n)).unwrap_or(1),
        }
    }

    /// Items before the page.
    pub(super) fn offset(&self) -> i64 {
        (self.page - 1) * PER_PAGE
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Paginator<T> {
    current_page: i64,
    data: Vec<T>,
    first_page_url: String,
    /// Place of the first item of the page, from 1; `null` of an empty one.
    from: Option<i64>,
    last_page: i64,
    last_page_url: String,
    next_page_url: Option<String>,
    /// The list's address without page.
    path: String,
    #[schema(example = 15)]
    per_page: i64,
    prev_page_url: Option<String>,
    /// Place of the last item of the page.
    to: Option<i64>,
    /// Number of matches.
    total: i64,
}

impl<T> Paginator<T> {
    /// The page `data` of `total` items at `path`, e.g. `/api/v1/links`.
    pub(super) fn new(
        (app, headers): (&App, &HeaderMap),
        path: &str,
        asked: &Asked,
        data: Vec<T>,
        total: i64,
    ) -> Self {
        let path = format!("{}{path}", own_url(app, headers));
        let last_page = (total + PER_PAGE - 1).div_euclid(PER_PAGE).max(1);
        let url = |page: i64| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            if !asked.search.is_empty() {
                query.append_pair("search", &asked.search);
            }
            query.append_pair("page", &page.to_string());
            format!("{path}?{}", query.finish())
        };
        let items = i64::try_from(data.len()).unwrap_or(0);
        let from = (items > 0).then(|| asked.offset() + 1);
        Self {
            current_page: asked.page,
            first_page_url: url(1),
            from,
            last_page,
            last_page_url: url(last_page),
            next_page_url: (asked.page < last_page).then(|| url(asked.page + 1)),
            per_page: PER_PAGE,
            prev_page_url: (asked.page > 1).then(|| url(asked.page - 1)),
            to: from.map(|from| from + items - 1),
            total,
            path: path.clone(),
            data,
        }
    }
}
