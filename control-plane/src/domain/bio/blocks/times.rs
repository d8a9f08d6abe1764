//! What has a time.

use super::payloads;
use crate::domain::bio::value::{Hour, Icon, Line, Moment, Picture, Text, Web, Weekday};
use crate::domain::field::FieldError;

payloads! {
    /// `calendar`: a card that leads to free times.
    Calendar {
        need { url: Web }
        may { title: Line, description: Line, icon: Icon }
    }
    /// `event`: what happens when, with a file for calendars.
    Event {
        need { title: Line, starts_at: Moment }
        may { ends_at: Moment, location: Line, description: Text, #[doc = "Where more is said."] url: Web, image: Picture }
    }
    /// `countdown`: the time until something. Without JavaScript its date.
    Countdown {
        need { ends_at: Moment }
        may { title: Line, #[doc = "Shown when it is over."] done: Line, url: Web }
    }
    /// `opening-hours`: days and times.
    OpeningHours {
        list { days: OpeningDay }
        may { title: Line, #[doc = "A remark, e.g. on holidays."] description: Line }
    }
    /// One of them: closed without `opens` and `closes`.
    OpeningDay {
        need { day: Weekday }
        may { opens: Hour, closes: Hour }
    }
}

/// Rules of opening hours.
pub(in crate::domain::bio) fn check_hours(hours: &OpeningHours) -> Result<(), FieldError> {
    for (place, day) in hours.days.iter().enumerate() {
        let missing = match (&day.opens, &day.closes) {
            (Some(_), None) => "closes",
            (None, Some(_)) => "opens",
            _ => continue,
        };
        let field = format!("days[{place}].{missing}");
        let problem = "is required beside the other, or neither: then it is closed";
        return Err(FieldError::new(field, problem));
    }
    Ok(())
}

/// Rules of an event.
pub(in crate::domain::bio) fn check_event(event: &Event) -> Result<(), FieldError> {
    match &event.ends_at {
        Some(end) if end.start_ms() < event.starts_at.start_ms() => {
            let problem = format!("must not be before starts_at, not '{}'", end.as_str());
            Err(FieldError::new("ends_at", problem))
        }
        _ => Ok(()),
    }
}
