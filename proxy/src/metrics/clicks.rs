//! Metrics of rings, enricher and click log.

use metrics::{Unit, describe_counter, describe_gauge};

pub(crate) const CLICKS: &str = "signpost_proxy_clicks_total";
pub(crate) const BOTS: &str = "signpost_proxy_bot_clicks_total";
pub(crate) const DROPPED: &str = "signpost_proxy_visits_dropped_total";
pub(crate) const RING_LOST: &str = "signpost_proxy_ring_lost_visits";
pub(crate) const RING_DAMAGE: &str = "signpost_proxy_ring_damage_bytes_total";
pub(crate) const RINGS_DRAINED: &str = "signpost_proxy_rings_drained_total";
pub(crate) const RINGS_UNREADABLE: &str = "signpost_proxy_rings_unreadable_total";
pub(crate) const CLAMPED: &str = "signpost_proxy_event_times_moved_total";
pub(crate) const NO_SALT: &str = "signpost_proxy_clicks_without_visitor_total";
pub(crate) const GEO_ERRORS: &str = "signpost_proxy_geo_errors_total";
pub(crate) const LOG_BYTES: &str = "signpost_proxy_click_log_bytes";
pub(crate) const LOG_END: &str = "signpost_proxy_click_log_end_offset";
pub(crate) const LOG_ACKNOWLEDGED: &str = "signpost_proxy_click_log_acknowledged_offset";
pub(crate) const LOG_CUT: &str = "signpost_proxy_click_log_cut_bytes_total";
pub(crate) const LOG_FAILURES: &str = "signpost_proxy_click_log_failures_total";

/// Describes them to the installed recorder.
pub(crate) fn describe() {
    describe_counter!(CLICKS, "records written to the click log");
    describe_counter!(BOTS, "of these, by bots");
    describe_counter!(
        DROPPED,
        "positions reported as dropped in the books, by reason (ring_full, ring_corrupt, ring_unavailable, log_full, log_error)"
    );
    describe_gauge!(
        RING_LOST,
        "visits of this process lost for want of room in a ring, or of a ring; the books follow when there is room again"
    );
    describe_counter!(
        RING_DAMAGE,
        Unit::Bytes,
        "bytes in rings that were no record"
    );
    describe_counter!(
        RINGS_DRAINED,
        "rings of earlier processes drained and deleted"
    );
    describe_counter!(
        RINGS_UNREADABLE,
        "rings of earlier processes that could not be read and were left"
    );
    describe_counter!(CLAMPED, "event times moved to a sane distance from now");
    describe_counter!(
        NO_SALT,
        "clicks without a visitor because no salt covers their time"
    );
    describe_counter!(GEO_ERRORS, "geo look-ups that failed on damaged data");
    describe_gauge!(LOG_BYTES, Unit::Bytes, "bytes of all click log segments");
    describe_gauge!(
        LOG_END,
        Unit::Bytes,
        "offset behind the last record of the click log"
    );
    describe_gauge!(
        LOG_ACKNOWLEDGED,
        Unit::Bytes,
        "offset up to which the reader has stored the click log for good"
    );
    describe_counter!(
        LOG_CUT,
        Unit::Bytes,
        "bytes of torn tails cut off the click log at start"
    );
    describe_counter!(
        LOG_FAILURES,
        "attempts to write to or sync the click log that failed, by reason"
    );
}
