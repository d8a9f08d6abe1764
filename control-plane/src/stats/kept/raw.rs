//! Clicks that are not rolled up.

use std::collections::HashMap;
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;

use super::super::dimensions::Dimension;
use super::super::server::{ANSWER_TIMEOUT, Server};
use super::super::text::Raw;
use super::super::{Of, StatsError};
use super::{MAX_RAW, Marked, Marks, Weighed};

/// Raw clicks of a busy link, of all time: each value once, and clicks by their numbers.
#[derive(Debug, Default)]
pub(in crate::stats) struct RawClicks {
    pub(in crate::stats) clicks: Vec<RawClick>,
    /// By dimension; a click's value is a place in it.
    pub(in crate::stats) values: [Vec<Vec<u8>>; Dimension::ALL.len()],
}

/// One of them.
#[derive(Debug)]
pub(in crate::stats) struct RawClick {
    pub(in crate::stats) time_ms: i64,
    pub(in crate::stats) visitor: Option<u64>,
    pub(in crate::stats) values: [u32; Dimension::ALL.len()],
}

impl Weighed for RawClicks {
    fn bytes(&self) -> usize {
        let texts = self.values.iter().flatten();
        self.clicks.len() * size_of::<RawClick>()
            + texts
                .map(|text| text.capacity() + size_of::<Vec<u8>>())
                .sum::<usize>()
    }
}

/// A click as it is read.
#[derive(Debug, Row, Deserialize)]
pub(in crate::stats) struct Click<'a> {
    pub(in crate::stats) time_ms: i64,
    pub(in crate::stats) visitor: Option<u64>,
    /// A column each, in the order of [`Dimension::ALL`].
    #[serde(borrow)]
    pub(in crate::stats) values: [Raw<'a>; Dimension::ALL.len()],
}

impl Click<'_> {
    /// SQL: the raw clicks of a link as such rows. Takes an `AND`.
    pub(in crate::stats) fn sql(of: Of) -> String {
        let conditions = of.conditions();
        // Columns and no array of them: to work out what thirteen conversions mean took the server 4 ms.
        let values = Dimension::ALL.map(Dimension::of_click).join(", ");
        format!(
            "SELECT toUnixTimestamp64Milli(time) AS time_ms, visitor, {values}
             FROM signpost.clicks WHERE {conditions} AND NOT rolled_up"
        )
    }
}

/// The raw clicks of a busy link; `None` when it has too many to keep, or nobody asked how many.
pub(in crate::stats) async fn raw(
    server: &Server,
    of: Of,
    marks: &Marks,
) -> Result<Option<Arc<RawClicks>>, StatsError> {
    let mark = match marks.raw {
        Some(mark) if mark <= MAX_RAW => mark,
        _ => return Ok(None),
    };
    if let Some(kept) = server.kept.raw(of, marks) {
        return Ok(Some(kept));
    }
    if mark == 0 {
        return Ok(Some(Arc::default()));
    }
    let query = of.bind(server.query(&Click::sql(of), ANSWER_TIMEOUT)?);
    let read = async {
        let mut raw = RawClicks::default();
        let mut known: [HashMap<Vec<u8>, u32>; Dimension::ALL.len()] = Default::default();
        let mut rows = query.fetch::<Click<'_>>()?;
        while let Some(row) = rows.next().await? {
            let mut places = [0; Dimension::ALL.len()];
            let dimensions = known.iter_mut().zip(&mut raw.values).zip(&mut places);
            for (((known, values), place), Raw(value)) in dimensions.zip(row.values) {
                *place = match known.get(value) {
                    Some(place) => *place,
                    None => {
                        // Far below: a link has at most some thousands of such clicks.
                        let new = u32::try_from(values.len()).unwrap_or(u32::MAX);
                        known.insert(value.to_vec(), new);
                        values.push(value.to_vec());
                        new
                    }
                };
            }
            raw.clicks.push(RawClick {
                time_ms: row.time_ms,
                visitor: row.visitor,
                values: places,
            });
        }
        Ok(raw)
    };
    let piece = Arc::new(server.answer(ANSWER_TIMEOUT, read).await?);
    let kept = Arc::clone(&piece);
    server.kept.raw.insert(of, Marked { mark, piece: kept });
    Ok(Some(piece))
}
