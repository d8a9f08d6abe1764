//! Files that visitors take away: an address for the address book, an event for the calendar.
//!
//! Values are escaped, so that a line break in one begins no other property. Long lines are folded: calendars are strict.

use std::fmt::Write as _;

use crate::domain::bio::blocks::contact::Vcard;
use crate::domain::bio::blocks::times::Event;
use crate::domain::bio::value::Line;
use crate::domain::date::{self, DAY_MS};

/// Longest line in bytes, without its end: RFC 5545 3.1 and RFC 6350 3.2.
const MAX_LINE: usize = 75;

/// A vCard 3.0 (RFC 2426), which every phone reads.
pub(super) fn vcard(card: &Vcard) -> String {
    let mut file = String::new();
    let mut put = |name: &str, value: &str| property(&mut file, name, value);
    put("BEGIN", "VCARD");
    put("VERSION", "3.0");
    put("FN", &escaped(card.name.as_str()));
    put("N", &format!("{};;;;", escaped(card.name.as_str())));
    let line = |line: &Option<Line>| line.as_ref().map(|line| escaped(line.as_str()));
    let address = line(&card.address).map(|address| format!(";;{address};;;;"));
    for (name, value) in [
        ("ORG", line(&card.company)),
        ("TITLE", line(&card.job)),
        ("TEL", card.phone.as_ref().map(|p| p.dialled())),
        ("EMAIL", card.email.as_ref().map(|e| escaped(e.as_str()))),
        ("URL", card.url.as_ref().map(|u| u.as_str().to_owned())),
        ("ADR", address),
        ("NOTE", line(&card.note)),
    ] {
        if let Some(value) = value {
            put(name, &value);
        }
    }
    put("END", "VCARD");
    file
}

/// An iCalendar object (RFC 5545) of one event. `block` makes it the same event each time it is taken.
pub(super) fn event(block: i64, event: &Event) -> String {
    let mut file = String::new();
    let mut put = |name: &str, value: &str| property(&mut file, name, value);
    put("BEGIN", "VCALENDAR");
    put("VERSION", "2.0");
    put("PRODID", "-//Signpost//Bio page//EN");
    put("BEGIN", "VEVENT");
    put("UID", &format!("bio-block-{block}@signpost"));
    put("DTSTAMP", &stamp(event.starts_at.start_ms()));
    let is_day = event.starts_at.is_day();
    let mut time = |name: &str, ms: i64| {
        let stamp = stamp(ms);
        match is_day {
            // The date alone: the whole day, wherever one is.
            true => property_of_day(&mut put, name, &stamp),
            false => put(name, &stamp),
        }
    };
    let start = event.starts_at.start_ms();
    time("DTSTART", start);
    if let Some(end) = &event.ends_at
        && end.is_day() == is_day
        && end.start_ms() > start
    {
        // Of days the first that is no longer part of it (RFC 5545, 3.6.1).
        time("DTEND", end.start_ms() + if is_day { DAY_MS } else { 0 });
    }
    put("SUMMARY", &escaped(event.title.as_str()));
    if let Some(place) = &event.location {
        put("LOCATION", &escaped(place.as_str()));
    }
    if let Some(text) = &event.description {
        put("DESCRIPTION", &escaped(text.as_str()));
    }
    if let Some(url) = &event.url {
        put("URL", url.as_str());
    }
    put("END", "VEVENT");
    put("END", "VCALENDAR");
    file
}

fn property_of_day(put: &mut impl FnMut(&str, &str), name: &str, stamp: &str) {
    let day = stamp.get(..8).unwrap_or(stamp);
    put(&format!("{name};VALUE=DATE"), day);
}

/// `20300601T190000Z`
fn stamp(ms: i64) -> String {
    let digits: String = date::format(ms)
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    format!("{day}T{time}Z")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace(';', "\\;")
        .replace(',', "\\,")
        .replace("\r\n", "\\n")
        .replace(['\n', '\r'], "\\n")
}

/// Adds a line, folded.
fn property(file: &mut String, name: &str, value: &str) {
    let mut room = MAX_LINE;
    let _ = write!(file, "{name}:");
    room = room.saturating_sub(name.len() + 1);
    for c in value.chars() {
        if c.len_utf8() > room {
            file.push_str("\r\n ");
            room = MAX_LINE - 1;
        }
        room -= c.len_utf8();
        file.push(c);
    }
    file.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("legal")
    }

    #[test]
    fn no_value_begins_another_property() {
        let card: Vcard =
            read(json!({"name": "A;B,C\\", "note": "x".repeat(200), "address": "1 Street, Town"}));
        let file = vcard(&card);
        assert!(file.contains("FN:A\\;B\\,C\\\\\r\n"), "{file}");
        assert!(file.lines().all(|line| line.len() <= MAX_LINE), "{file}");
        assert!(
            file.starts_with("BEGIN:VCARD\r\nVERSION:3.0\r\n") && file.ends_with("END:VCARD\r\n")
        );
        let party: Event = read(
            json!({"title": "x", "starts_at": "2030-06-01 19:00", "ends_at": "2030-06-01T22:00:00+02:00", "description": "a\nEND:VEVENT\nb"}),
        );
        let file = event(7, &party);
        assert!(
            file.contains("DTSTART:20300601T190000Z\r\nDTEND:20300601T200000Z\r\n"),
            "{file}"
        );
        assert_eq!(file.matches("\r\nEND:VEVENT").count(), 1);
        let day: Event = read(json!({"title": "x", "starts_at": "2030-06-01"}));
        assert!(event(7, &day).contains("DTSTART;VALUE=DATE:20300601\r\n"));
        // The last day is part of it: its end is the day after, also at the end of a month.
        let days: Event =
            read(json!({"title": "x", "starts_at": "2030-06-29", "ends_at": "2030-06-30"}));
        let file = event(7, &days);
        assert!(
            file.contains("DTSTART;VALUE=DATE:20300629\r\nDTEND;VALUE=DATE:20300701\r\n"),
            "{file}"
        );
    }
}
