//! Wall clocks of time zones. The zones are part of the program: no disk is read, and all proxies of one version agree.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Zones kept. There are 600 names; more are an attempt to fill the memory.
const MAX_ZONES: usize = 1000;

/// The zones asked for so far, and the names that are none.
#[derive(Debug)]
pub(super) struct Zones {
    database: TimeZoneDatabase,
    known: HashMap<Box<str>, Option<TimeZone>>,
}

impl Default for Zones {
    fn default() -> Self {
        Self {
            database: TimeZoneDatabase::bundled(),
            known: HashMap::new(),
        }
    }
}

impl Zones {
    /// Weekday (0: Monday) and minute of the day.
    pub(super) fn clock(&mut self, name: &str, now_ms: i64) -> Option<(u8, u16)> {
        if !self.known.contains_key(name) {
            if self.known.len() >= MAX_ZONES {
                self.known.clear();
            }
            self.known.insert(name.into(), self.database.get(name).ok());
        }
        let zone = self.known.get(name)?.as_ref()?;
        let time = zone.to_datetime(Timestamp::from_millisecond(now_ms).ok()?);
        let weekday = time.weekday().to_monday_zero_offset();
        let minute = i32::from(time.hour()) * 60 + i32::from(time.minute());
        Some((u8::try_from(weekday).ok()?, u16::try_from(minute).ok()?))
    }
}
