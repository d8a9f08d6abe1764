//! Visits one by one, in pages.
//!
//! In order of time, oldest first, ties by id, so that new visits come after the last page and never into one. A cursor
//! is the place of the last visit given; a page begins right after it in the table's own order, so it costs the same at
//! any depth.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clickhouse::Row;
use schemas::click::{ClickId, Stream};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::dimensions::OS;
use super::server::{ANSWER_TIMEOUT, Server};
use super::span::Span;
use super::text::lossy;
use super::{Event, EventPage, Of, StatsError};

/// A visitor's hash lives no longer than the longest period of a salt, so it was never seen before this time.
const LONGEST_PERIOD_MS: i64 = 32 * 86_400_000;

/// Longest cursor text that is quoted in an error, in characters.
const MAX_QUOTED_CHARS: usize = 80;

/// The order of visits within a half of the table, as the table itself is sorted: said in full, since 26.7 sorts all of
/// the link's clicks when the columns that the conditions fix are left out (ten million: 660 ms for the first page, so
/// 20 to 50 ms).
pub(super) const TABLE_ORDER: &str = "workspace, link, rolled_up, time, epoch, worker, position";

/// A visit's place in the order: time, epoch, worker, position.
pub(super) type Place = (i64, u64, u16, u64);

/// One visit, with its columns in the order of [`COLUMNS`].
#[derive(Debug, Row, Deserialize)]
pub(super) struct Visit {
    time_ms: i64,
    epoch: u64,
    worker: u16,
    position: u64,
    visitor: Option<u64>,
    is_bot: bool,
    is_scan: bool,
    #[serde(deserialize_with = "lossy")]
    country: String,
    #[serde(deserialize_with = "lossy")]
    region: String,
    #[serde(deserialize_with = "lossy")]
    city: String,
    #[serde(deserialize_with = "lossy")]
    device: String,
    #[serde(deserialize_with = "lossy")]
    system: String,
    #[serde(deserialize_with = "lossy")]
    browser: String,
    #[serde(deserialize_with = "lossy")]
    language: String,
    #[serde(deserialize_with = "lossy")]
    referrer: String,
    #[serde(deserialize_with = "lossy")]
    utm_source: String,
    #[serde(deserialize_with = "lossy")]
    utm_medium: String,
    #[serde(deserialize_with = "lossy")]
    utm_campaign: String,
    #[serde(deserialize_with = "lossy")]
    utm_term: String,
    #[serde(deserialize_with = "lossy")]
    utm_content: String,
}

impl Visit {
    pub(super) fn place(&self) -> Place {
        (self.time_ms, self.epoch, self.worker, self.position)
    }

    pub(super) fn into_event(self, is_unique: bool) -> Event {
        let id = ClickId {
            stream: Stream {
                epoch: self.epoch,
                worker: self.worker,
            },
            position: self.position,
        };
        Event {
            id: id.to_string(),
            time_ms: self.time_ms,
            country: self.country,
            region: self.region,
            city: self.city,
            device: self.device,
            os: self.system,
            browser: self.browser,
            language: self.language,
            referrer: self.referrer,
            utm_source: self.utm_source,
            utm_medium: self.utm_medium,
            utm_campaign: self.utm_campaign,
            utm_term: self.utm_term,
            utm_content: self.utm_content,
            is_unique,
            is_bot: self.is_bot,
            is_scan: self.is_scan,
        }
    }
}

/// What to select for a [`Visit`].
pub(super) fn columns() -> String {
    format!(
        "toUnixTimestamp64Milli(time) AS time_ms, epoch, worker, position, visitor, is_bot, is_scan,
         country, region, city, device, {OS} AS system, browser, language, referrer,
         utm_source, utm_medium, utm_campaign, utm_term, utm_content"
    )
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cursor(Place);

/// Bytes of a cursor's place and of its check.
const PLACE_BYTES: usize = 26;
const CHECK_BYTES: usize = 6;

impl Cursor {
    /// From the text that a page of this link ended with.
    pub(super) fn read(text: &str, link: u64) -> Result<Self, StatsError> {
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
            let (place, check) = bytes.split_first_chunk::<PLACE_BYTES>()?;
            if check != Self::check(place, link) {
                return None;
            }
            let (time, rest) = place.split_first_chunk()?;
            let (epoch, rest) = rest.split_first_chunk()?;
            let (worker, rest) = rest.split_first_chunk()?;
            let (position, _) = rest.split_first_chunk()?;
            Some(Self((
                i64::from_le_bytes(*time),
                u64::from_le_bytes(*epoch),
                u16::from_le_bytes(*worker),
                u64::from_le_bytes(*position),
            )))
        };
        read().ok_or_else(|| StatsError::Cursor(text.chars().take(MAX_QUOTED_CHARS).collect()))
    }

    fn text(self, link: u64) -> String {
        let (time, epoch, worker, position) = self.0;
        let mut bytes = Vec::with_capacity(PLACE_BYTES + CHECK_BYTES);
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&worker.to_le_bytes());
        bytes.extend_from_slice(&position.to_le_bytes());
        let check = Self::check(&bytes, link);
        bytes.extend_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Against mistakes (another link's cursor, a cut one), not against forgery: a forged one gains nothing.
    fn check(place: &[u8], link: u64) -> [u8; CHECK_BYTES] {
        let digest = Sha256::new()
            .chain_update(link.to_le_bytes())
            .chain_update(place)
            .finalize();
        let mut check = [0; CHECK_BYTES];
        for (to, from) in check.iter_mut().zip(digest) {
            *to = from;
        }
        check
    }
}

/// At most `limit` visits after `after`.
pub(super) async fn page(
    server: &Server,
    of: Of,
    span: &Span,
    after: Option<Cursor>,
    limit: usize,
) -> Result<EventPage, StatsError> {
    if limit == 0 {
        return Ok(EventPage::default());
    }
    let (conditions, time, columns) = (of.conditions(), Span::TIME, columns());
    let beyond = if after.is_some() {
        "AND time >= fromUnixTimestamp64Milli({after_time:Int64}, 'UTC')
         AND (toUnixTimestamp64Milli(time), epoch, worker, position)
            > ({after_time:Int64}, {after_epoch:UInt64}, {after_worker:UInt16}, {after_position:UInt64})"
    } else {
        ""
    };
    // The table is ordered by time within each half: two short reads in order, and a merge of two pages.
    let half = |flag: &str| {
        format!(
            "SELECT {columns} FROM signpost.clicks
             WHERE {conditions} AND {flag} AND {time} {beyond}
             ORDER BY {TABLE_ORDER} LIMIT {{limit:UInt64}}"
        )
    };
    let sql = format!(
        "SELECT * FROM ({} UNION ALL {}) ORDER BY time_ms, epoch, worker, position LIMIT {{limit:UInt64}}",
        half("rolled_up = false"),
        half("rolled_up = true")
    );
    let mut query = span
        .bind(of.bind(server.query(&sql, ANSWER_TIMEOUT)?))
        // One more tells whether there is a next page.
        .param("limit", limit as u64 + 1);
    if let Some(Cursor((time, epoch, worker, position))) = after {
        query = query
            .param("after_time", time)
            .param("after_epoch", epoch)
            .param("after_worker", worker)
            .param("after_position", position);
    }
    let mut visits: Vec<Visit> = server.answer(ANSWER_TIMEOUT, query.fetch_all()).await?;
    let has_more = visits.len() > limit;
    visits.truncate(limit);
    let next_cursor = visits
        .last()
        .filter(|_| has_more)
        .map(|last| Cursor(last.place()).text(of.link));
    let firsts = first_visits(server, of, span, &visits).await?;
    let events = visits
        .into_iter()
        .map(|visit| {
            let is_unique = firsts.contains(&visit.place());
            visit.into_event(is_unique)
        })
        .collect();
    Ok(EventPage {
        events,
        next_cursor,
    })
}

/// The last visits, newest first: each half of the table is read backwards from its end.
pub(super) async fn recent(
    server: &Server,
    of: Of,
    limit: usize,
) -> Result<Vec<Event>, StatsError> {
    let (conditions, columns) = (of.conditions(), columns());
    let backwards = TABLE_ORDER.replace(", ", " DESC, ");
    let half = |flag: &str| {
        format!(
            "SELECT {columns} FROM signpost.clicks WHERE {conditions} AND {flag}
             ORDER BY {backwards} DESC LIMIT {{limit:UInt64}}"
        )
    };
    let sql = format!(
        "SELECT * FROM ({} UNION ALL {})
         ORDER BY time_ms DESC, epoch DESC, worker DESC, position DESC LIMIT {{limit:UInt64}}",
        half("rolled_up = false"),
        half("rolled_up = true")
    );
    let query = of
        .bind(server.query(&sql, ANSWER_TIMEOUT)?)
        .param("limit", limit as u64);
    let visits: Vec<Visit> = server.answer(ANSWER_TIMEOUT, query.fetch_all()).await?;
    Ok(visits
        .into_iter()
        .map(|visit| visit.into_event(false))
        .collect())
}

#[derive(Debug, Row, Deserialize)]
struct First {
    first: Place,
}

/// Places of the first visits, within the span, of those who made these visits.
async fn first_visits(
    server: &Server,
    of: Of,
    span: &Span,
    visits: &[Visit],
) -> Result<std::collections::HashSet<Place>, StatsError> {
    let visitors: Vec<u64> = visits.iter().filter_map(|visit| visit.visitor).collect();
    let (Some(earliest), Some(latest)) = (visits.first(), visits.last()) else {
        return Ok(Default::default());
    };
    if visitors.is_empty() {
        return Ok(Default::default());
    }
    let conditions = of.conditions();
    let sql = format!(
        "SELECT min((toUnixTimestamp64Milli(time), epoch, worker, position)) AS first
         FROM signpost.clicks
         WHERE {conditions} AND rolled_up IN (false, true)
            AND time >= fromUnixTimestamp64Milli({{earliest:Int64}}, 'UTC')
            AND time <= fromUnixTimestamp64Milli({{latest:Int64}}, 'UTC')
            AND visitor IN {{visitors:Array(UInt64)}}
         GROUP BY visitor"
    );
    let earliest = span.start_ms().max(earliest.time_ms - LONGEST_PERIOD_MS);
    let query = of
        .bind(server.query(&sql, ANSWER_TIMEOUT)?)
        .param("earliest", earliest)
        .param("latest", latest.time_ms)
        .param("visitors", &visitors);
    let rows: Vec<First> = server.answer(ANSWER_TIMEOUT, query.fetch_all()).await?;
    Ok(rows.into_iter().map(|row| row.first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (1_777_000_000_123, u64::MAX, u16::MAX, u64::MAX - 1);

    #[test]
    fn a_cursor_is_read_back_for_its_link_only() {
        let text = Cursor(PLACE).text(7);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        );
        assert_eq!(Cursor::read(&text, 7).expect("ours"), Cursor(PLACE));
        assert!(Cursor::read(&text, 8).is_err());
    }

    #[test]
    fn hostile_cursors_are_refused() {
        let good = Cursor(PLACE).text(7);
        for cut in 0..good.len() {
            assert!(
                Cursor::read(good.get(..cut).expect("ascii"), 7).is_err(),
                "{cut}"
            );
        }
        let mut flipped = good.clone().into_bytes();
        flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
        let flipped = String::from_utf8(flipped).expect("ascii");
        let long = "A".repeat(100_000);
        let longer = format!("{good}AAAA");
        for bad in ["", "=", "' OR 1=1", "é", "\0", &flipped, &long, &longer] {
            let error = Cursor::read(bad, 7).expect_err("refused");
            assert!(error.to_string().chars().count() < 200);
        }
    }
}
