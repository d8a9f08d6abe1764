//! Every metric of the role. Names are registered here and nowhere else.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub(crate) const ROWS: &str = "signpost_ingest_rows_total";
pub(crate) const DUPLICATES: &str = "signpost_ingest_duplicates_total";
pub(crate) const GAPS: &str = "signpost_ingest_gap_positions_total";
pub(crate) const DROPPED: &str = "signpost_ingest_reported_drops_total";
pub(crate) const DEAD: &str = "signpost_ingest_dead_letters_total";
pub(crate) const BATCHES: &str = "signpost_ingest_batches_total";
pub(crate) const INSERT_SECONDS: &str = "signpost_ingest_insert_seconds";
pub(crate) const ROLL_UP_SECONDS: &str = "signpost_ingest_roll_up_seconds";
pub(crate) const LAG_BYTES: &str = "signpost_ingest_lag_bytes";
pub(crate) const LAG_SECONDS: &str = "signpost_ingest_oldest_unacknowledged_seconds";
pub(crate) const LAG_RECORDS: &str = "signpost_ingest_lag_records";
pub(crate) const PARTITIONS: &str = "signpost_ingest_partitions";
pub(crate) const NOT_RETAINED: &str = "signpost_ingest_not_retained_records_total";
pub(crate) const DAMAGED_FETCHES: &str = "signpost_ingest_damaged_fetches_total";
pub(crate) const MISSING_RECORDS: &str = "signpost_ingest_missing_records_total";
pub(crate) const DEAD_UNSENT: &str = "signpost_ingest_dead_letters_unsent_total";
pub(crate) const BROKERS_UP: &str = "signpost_ingest_kafka_brokers_up";
pub(crate) const DAMAGE_BYTES: &str = "signpost_ingest_log_damage_bytes_total";
pub(crate) const RESTARTS: &str = "signpost_ingest_log_restarts_total";
pub(crate) const DOUBTS: &str = "signpost_ingest_doubts_total";
pub(crate) const REPAIRED: &str = "signpost_ingest_rows_inserted_after_doubt_total";
pub(crate) const INTENT_CORRUPT: &str = "signpost_ingest_intent_corrupt_total";
pub(crate) const FAILURES: &str = "signpost_ingest_failures_total";
pub(crate) const ROLLED_UP: &str = "signpost_ingest_rows_rolled_up_by_day_total";

/// Describes every metric to the installed recorder.
pub fn describe() {
    describe_counter!(ROWS, "clicks stored");
    describe_counter!(
        DUPLICATES,
        "records of clicks at or below their stream's high-water mark, left out"
    );
    describe_counter!(
        GAPS,
        "positions that are neither in the log nor reported as dropped; any is an alarm"
    );
    describe_counter!(DROPPED, "positions that books report as dropped, by reason");
    describe_counter!(
        DEAD,
        "records that could not be stored, by reason; kept in dead_letters"
    );
    describe_counter!(BATCHES, "batches inserted");
    describe_histogram!(
        INSERT_SECONDS,
        Unit::Seconds,
        "time of one insert of clicks"
    );
    describe_histogram!(
        ROLL_UP_SECONDS,
        Unit::Seconds,
        "time of rolling up one range into all tables"
    );
    describe_gauge!(
        LAG_BYTES,
        Unit::Bytes,
        "bytes of the click log not acknowledged, by partition"
    );
    describe_gauge!(
        LAG_SECONDS,
        Unit::Seconds,
        "age of the oldest click read and not acknowledged, by partition"
    );
    describe_gauge!(
        LAG_RECORDS,
        "records of a partition of Kafka that are not stored yet, by partition"
    );
    describe_gauge!(PARTITIONS, "partitions of Kafka that this worker holds");
    describe_counter!(
        NOT_RETAINED,
        "records that Kafka deleted before they were read"
    );
    describe_counter!(
        DAMAGED_FETCHES,
        "times records came from Kafka that are not what was sent; they are read again"
    );
    describe_counter!(
        MISSING_RECORDS,
        "records that Kafka does not give, however often it is asked"
    );
    describe_counter!(
        DEAD_UNSENT,
        "dead letters that the topic of dead letters does not take; they are in dead_letters alone"
    );
    describe_gauge!(BROKERS_UP, "Kafka brokers that answer");
    describe_counter!(
        DAMAGE_BYTES,
        Unit::Bytes,
        "bytes of the click log passed over, by reason"
    );
    describe_counter!(
        RESTARTS,
        "times a click log or partition was read from its beginning because it is not the one that was read before"
    );
    describe_counter!(
        DOUBTS,
        "times the tables were asked what they hold, after a start or an error"
    );
    describe_counter!(
        REPAIRED,
        "clicks of an unfinished batch that the table did not have and that were inserted again"
    );
    describe_counter!(
        INTENT_CORRUPT,
        "intents, in the file or beside a committed offset, that could not be read and were taken as doubt"
    );
    describe_counter!(FAILURES, "failed attempts to store or roll up, by kind");
    describe_counter!(ROLLED_UP, "clicks of busy links, rolled up by dimension");
}
