//! All visits of a range, as a stream.
//!
//! Three reads run side by side, each in order of time and each a few rows ahead at most: the two halves of the table,
//! and the first visit of every visitor. Merging them gives the visits in order with their `is_unique`, in memory that
//! does not depend on their number; the server sorts and groups over the disk where it must.

use std::collections::VecDeque;

use bytes::Bytes;
use clickhouse::Row;
use clickhouse::query::RowCursor;
use futures_util::stream::{self, Stream};
use serde::Deserialize;

use super::events::{Place, TABLE_ORDER, Visit, columns};
use super::server::{PIECE_TIMEOUT, Server};
use super::span::Span;
use super::{Event, Of, StatsError};

/// Longest run of an export on the server: it goes at the reader's pace.
const EXPORT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(3600);

/// Memory the server takes for the order of first visits before it goes over the disk, in bytes.
const SPILL_BYTES: &str = "200000000";

/// Size of the pieces handed on, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Visits on their way. Dropped, it ends its queries.
pub struct Export {
    server: std::sync::Arc<Server>,
    halves: Vec<Ahead<Visit>>,
    firsts: Option<Ahead<First>>,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Export")
    }
}

#[derive(Debug, Row, Deserialize)]
struct First {
    first: Place,
}

/// A read, with its next row in hand.
struct Ahead<T> {
    rows: RowCursor<T>,
    next: Option<T>,
}

impl<T: clickhouse::RowOwned + clickhouse::RowRead> Ahead<T> {
    async fn open(server: &Server, query: clickhouse::query::Query) -> Result<Self, StatsError> {
        let open = async { query.fetch::<T>() };
        let rows = server.answer(PIECE_TIMEOUT, open).await?;
        let mut ahead = Self { rows, next: None };
        ahead.take(server).await?;
        Ok(ahead)
    }

    /// The row in hand; the one after it takes its place.
    async fn take(&mut self, server: &Server) -> Result<Option<T>, StatsError> {
        let next = server.answer(PIECE_TIMEOUT, self.rows.next()).await?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

pub(super) async fn open(
    server: &std::sync::Arc<Server>,
    of: Of,
    span: Option<&Span>,
) -> Result<Export, StatsError> {
    let mut export = Export {
        server: std::sync::Arc::clone(server),
        halves: Vec::new(),
        firsts: None,
    };
    let Some(span) = span else {
        return Ok(export);
    };
    let (conditions, time, columns) = (of.conditions(), Span::TIME, columns());
    for half in ["rolled_up = false", "rolled_up = true"] {
        let sql = format!(
            "SELECT {columns} FROM signpost.clicks WHERE {conditions} AND {half} AND {time}
             ORDER BY {TABLE_ORDER}"
        );
        let query = span.bind(of.bind(server.query(&sql, EXPORT_TIMEOUT)?));
        export.halves.push(Ahead::open(server, query).await?);
    }
    let sql = format!(
        "SELECT min((toUnixTimestamp64Milli(time), epoch, worker, position)) AS first
         FROM signpost.clicks
         WHERE {conditions} AND rolled_up IN (false, true) AND {time} AND visitor IS NOT NULL
         GROUP BY visitor ORDER BY first"
    );
    let query = span
        .bind(of.bind(server.query(&sql, EXPORT_TIMEOUT)?))
        .with_setting("max_bytes_before_external_group_by", SPILL_BYTES)
        .with_setting("max_bytes_before_external_sort", SPILL_BYTES);
    export.firsts = Some(Ahead::open(server, query).await?);
    Ok(export)
}

impl Export {
    /// The next visit; `None` after the last.
    ///
    /// # Errors
    /// ClickHouse went away, or took too long.
    pub async fn next(&mut self) -> Result<Option<Event>, StatsError> {
        let earliest = self
            .halves
            .iter_mut()
            .filter(|half| half.next.is_some())
            .min_by_key(|half| half.next.as_ref().map(Visit::place));
        let Some(half) = earliest else {
            return Ok(None);
        };
        let Some(visit) = half.take(&self.server).await? else {
            return Ok(None);
        };
        let place = visit.place();
        let mut is_unique = false;
        if let Some(firsts) = &mut self.firsts {
            while firsts
                .next
                .as_ref()
                .is_some_and(|first| first.first < place)
            {
                firsts.take(&self.server).await?;
            }
            is_unique = firsts
                .next
                .as_ref()
                .is_some_and(|first| first.first == place);
        }
        Ok(Some(visit.into_event(is_unique)))
    }

    /// The visits as text in pieces, `head` first; `line` appends one visit with its end of line.
    pub fn into_pieces(
        self,
        head: &str,
        line: fn(&Event, &mut Vec<u8>),
    ) -> impl Stream<Item = Result<Bytes, StatsError>> + Send + use<> {
        let state = (Some(self), VecDeque::from([head.as_bytes().to_vec()]));
        stream::unfold(state, move |(mut export, mut first)| async move {
            let mut piece = first.pop_front().unwrap_or_default();
            while let Some(open) = &mut export
                && piece.len() < PIECE_BYTES
            {
                match open.next().await {
                    Ok(Some(event)) => line(&event, &mut piece),
                    Ok(None) => export = None,
                    Err(error) => return Some((Err(error), (None, first))),
                }
            }
            (!piece.is_empty()).then(|| (Ok(piece.into()), (export, first)))
        })
    }
}

/// First line of the CSV form.
pub fn csv_head() -> &'static str {
    "id,timestamp,country,region,city,device,os,browser,language,referrer,utm_source,utm_medium,utm_campaign,utm_term,utm_content,is_unique,is_bot,is_scan\r\n"
}

/// One visit in CSV (RFC 4180). A cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, a
/// tab or a line break) gets an apostrophe before it: what visitors send must not run at whoever opens the file.
pub fn csv_line(event: &Event, out: &mut Vec<u8>) {
    let time = jiff::Timestamp::from_millisecond(event.time_ms).unwrap_or_default();
    let texts = [
        event.id.as_str(),
        &format!("{time:.3}"),
        &event.country,
        &event.region,
        &event.city,
        &event.device,
        &event.os,
        &event.browser,
        &event.language,
        &event.referrer,
        &event.utm_source,
        &event.utm_medium,
        &event.utm_campaign,
        &event.utm_term,
        &event.utm_content,
    ];
    for text in texts {
        cell(text, out);
        out.push(b',');
    }
    let flags = [event.is_unique, event.is_bot, event.is_scan];
    out.extend_from_slice(
        flags
            .map(|flag| if flag { "true" } else { "false" })
            .join(",")
            .as_bytes(),
    );
    out.extend_from_slice(b"\r\n");
}

fn cell(text: &str, out: &mut Vec<u8>) {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
    if !is_formula && !text.contains(['"', ',', '\r', '\n', '\'']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    if is_formula {
        out.push(b'\'');
    }
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        cell(text, &mut out);
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn cells_are_quoted_and_never_formulas() {
        check("", "");
        check("Berlin", "Berlin");
        check("a,b", "\"a,b\"");
        check("say \"hi\"\n", "\"say \"\"hi\"\"\n\"");
        check("=1+1", "\"'=1+1\"");
        check("+49", "\"'+49\"");
        check("-x", "\"'-x\"");
        check("@sum(a1)", "\"'@sum(a1)\"");
        check("\t=1", "\"'\t=1\"");
        check("\r=1", "\"'\r=1\"");
        check("a=1", "a=1");
        check("<script>\0", "<script>\0");
    }

    #[test]
    fn a_line_has_as_many_cells_as_the_head() {
        let mut out = Vec::new();
        csv_line(&Event::default(), &mut out);
        let line = String::from_utf8(out).expect("text");
        assert_eq!(line.split(',').count(), csv_head().split(',').count());
        assert!(line.starts_with(",1970-01-01T00:00:00.000Z,"), "{line}");
        assert!(line.ends_with("false,false,false\r\n"));
    }
}
