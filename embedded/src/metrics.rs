//! Every metric of this role, with its description. Labels are from closed sets, so the number of series is bounded.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Queries finished; labels `kind` (select, insert, ddl, show), `outcome` (ok, error, cancelled).
pub(crate) const QUERIES: &str = "signpost_clickhouse_queries_total";
/// Queries the engine works on now.
pub(crate) const RUNNING: &str = "signpost_clickhouse_running_queries";
/// Queries waiting for a place.
pub(crate) const QUEUED: &str = "signpost_clickhouse_queued_queries";
/// Requests turned away before the engine saw them; label `reason`.
pub(crate) const REFUSED: &str = "signpost_clickhouse_refused_total";
/// Bytes of request bodies.
pub(crate) const BYTES_IN: &str = "signpost_clickhouse_received_bytes_total";
/// Bytes of results.
pub(crate) const BYTES_OUT: &str = "signpost_clickhouse_sent_bytes_total";
/// Time from a query's start to its end, the wait for a place left out; label `kind`.
pub(crate) const DURATION: &str = "signpost_clickhouse_query_seconds";
/// Open HTTP connections.
pub(crate) const CONNECTIONS: &str = "signpost_clickhouse_connections";

/// Registers the descriptions with the recorder.
pub(crate) fn describe() {
    describe_counter!(QUERIES, "queries finished, by kind and outcome");
    describe_gauge!(RUNNING, "queries the engine works on now");
    describe_gauge!(QUEUED, "queries waiting for a place");
    describe_counter!(
        REFUSED,
        "requests turned away before the engine saw them, by reason"
    );
    describe_counter!(BYTES_IN, Unit::Bytes, "bytes of request bodies");
    describe_counter!(BYTES_OUT, Unit::Bytes, "bytes of results");
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "time of a query in the engine, by kind"
    );
    describe_gauge!(CONNECTIONS, "open HTTP connections");
}
