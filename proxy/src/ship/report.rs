//! How shipping stands: metrics, and the part of `/ready`.

use metrics::gauge;
use schemas::health::Health;

use super::flight::Flight;
use super::link::Link;
use super::reader::Reader;
use crate::enrich::now_ms;
use crate::metrics::ship as names;

/// The part of `/ready` that speaks of Kafka.
pub(super) const KAFKA: &str = "kafka";

/// Age of the oldest record under way above which `/ready` says so although brokers answer, in seconds.
const STALE_SECONDS: f64 = 60.0;

/// Size of a record when none is under way to tell, in bytes.
const MEAN_RECORD_BYTES: f64 = 300.0;

/// Says how it stands. `end` is the offset behind the log's last record.
pub(super) fn report(
    end: u64,
    reader: &Reader,
    flight: &Flight,
    link: Option<&Link>,
    health: &Health,
) {
    let acknowledged = flight.acknowledged();
    let in_flight = flight.records() as f64;
    // What is not read yet is counted by the mean size of what is under way.
    let under_way = reader.next_offset().saturating_sub(acknowledged);
    let mean = if in_flight > 0.0 {
        (under_way as f64 / in_flight).max(1.0)
    } else {
        MEAN_RECORD_BYTES
    };
    let unread = end.saturating_sub(reader.next_offset().max(acknowledged)) as f64;
    let oldest = flight
        .oldest_ms()
        .map_or(0.0, |ms| ((now_ms() - ms) as f64 / 1e3).max(0.0));
    let up = link.map_or(0, |l| l.brokers().up());
    gauge!(names::BACKLOG_BYTES).set(end.saturating_sub(acknowledged) as f64);
    gauge!(names::BACKLOG_RECORDS).set(in_flight + (unread / mean).ceil());
    gauge!(names::OLDEST_SECONDS).set(oldest);
    gauge!(names::BROKERS_UP).set(up as f64);
    let Some(link) = link else { return };
    match link.brokers().problem() {
        Some(why) => health.not_ready(KAFKA, format!("clicks wait in the log: {why}")),
        None if link.partitions() == 0 => {}
        None if oldest > STALE_SECONDS => health.not_ready(
            KAFKA,
            format!("brokers answer, but a click has been under way for {oldest:.0} s"),
        ),
        None => health.ready(KAFKA),
    }
}
