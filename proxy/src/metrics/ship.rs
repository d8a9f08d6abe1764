//! Metrics of the shipper.

use metrics::{Unit, describe_counter, describe_gauge};

pub(crate) const RECORDS: &str = "signpost_proxy_ship_records_total";
pub(crate) const BACKLOG_BYTES: &str = "signpost_proxy_ship_backlog_bytes";
pub(crate) const BACKLOG_RECORDS: &str = "signpost_proxy_ship_backlog_records";
pub(crate) const OLDEST_SECONDS: &str = "signpost_proxy_ship_oldest_seconds";
pub(crate) const BROKERS_UP: &str = "signpost_proxy_ship_brokers_up";
pub(crate) const FAILURES: &str = "signpost_proxy_ship_failures_total";
pub(crate) const DAMAGE_BYTES: &str = "signpost_proxy_ship_damage_bytes_total";

/// Describes them to the installed recorder.
pub(crate) fn describe() {
    describe_counter!(
        RECORDS,
        "records of the click log that Kafka has acknowledged"
    );
    describe_gauge!(
        BACKLOG_BYTES,
        Unit::Bytes,
        "bytes of the click log that Kafka has not acknowledged"
    );
    describe_gauge!(
        BACKLOG_RECORDS,
        "records that Kafka has not acknowledged: those under way, and an estimate for what is not read yet"
    );
    describe_gauge!(
        OLDEST_SECONDS,
        Unit::Seconds,
        "age of the oldest click that has been handed over and not been acknowledged"
    );
    describe_gauge!(BROKERS_UP, "Kafka brokers that answer");
    describe_counter!(
        FAILURES,
        "times shipping began again at the acknowledgement, after a record that could not be delivered"
    );
    describe_counter!(
        DAMAGE_BYTES,
        Unit::Bytes,
        "bytes of the click log that were no record and were passed over"
    );
}
