//! Every metric of the control plane, with its description.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "control_plane_requests_total";
const REQUEST_SECONDS: &str = "control_plane_request_seconds";
const RATE_LIMITED: &str = "control_plane_rate_limited_total";
const KEYS_REFUSED: &str = "control_plane_keys_refused_total";
const FEED_CHANGES: &str = "control_plane_feed_changes_total";
const CONNECTIONS_REFUSED: &str = "control_plane_connections_refused_total";
const COUNTS_MISSING: &str = "control_plane_lists_without_counts_total";

/// Describes all of them to the recorder; once, at start.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "API calls, by route and status");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time from a call's head to its answer's head, by route"
    );
    describe_counter!(
        RATE_LIMITED,
        "API calls refused with 429, by what was counted: key or address"
    );
    describe_counter!(
        KEYS_REFUSED,
        "API calls with a key that was refused, by reason"
    );
    describe_counter!(FEED_CHANGES, "Transactions that went to proxies");
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections closed unanswered because too many were open"
    );
    describe_counter!(
        COUNTS_MISSING,
        "Lists answered with clicks 0 because ClickHouse was not there"
    );
}

/// A call was answered.
pub(crate) fn request(route: &str, status: u16, seconds: f64) {
    counter!(REQUESTS, "route" => route.to_owned(), "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route.to_owned()).record(seconds);
}

/// A call was refused with 429.
pub(crate) fn rate_limited(by: &'static str) {
    counter!(RATE_LIMITED, "by" => by).increment(1);
}

/// A key was refused.
pub(crate) fn key_refused(reason: &'static str) {
    counter!(KEYS_REFUSED, "reason" => reason).increment(1);
}

/// A transaction that proxies see was committed.
pub(crate) fn feed_change() {
    counter!(FEED_CHANGES).increment(1);
}

/// A connection was refused.
pub(crate) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

/// A list went out without counts.
pub(crate) fn counts_missing() {
    counter!(COUNTS_MISSING).increment(1);
}
