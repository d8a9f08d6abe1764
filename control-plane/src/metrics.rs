//! Every metric of the control plane, with its description.

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const REQUESTS: &str = "control_plane_requests_total";
const REQUEST_SECONDS: &str = "control_plane_request_seconds";
const RATE_LIMITED: &str = "control_plane_rate_limited_total";
const KEYS_REFUSED: &str = "control_plane_keys_refused_total";
const FEED_CHANGES: &str = "control_plane_feed_changes_total";
const ADDED_TOGETHER: &str = "control_plane_links_added_together_total";
const ADDING_TURNS: &str = "control_plane_adding_turns_total";
const STATS_FAILED: &str = "control_plane_stats_failed_total";
const FEED_OPEN: &str = "control_plane_feed_connections";
const FEED_REFUSED: &str = "control_plane_feed_refused_total";
const FEED_HELLOS: &str = "control_plane_feed_hellos_total";
const FEED_FRAMES: &str = "control_plane_feed_frames_total";
const FEED_BYTES: &str = "control_plane_feed_bytes_total";
const FEED_SNAPSHOTS: &str = "control_plane_feed_snapshots_total";
const SLOW_READERS: &str = "control_plane_slow_readers_total";
const FEED_WRONG_GROUPS: &str = "control_plane_feed_wrong_groups_total";
const CONNECTIONS_REFUSED: &str = "control_plane_connections_refused_total";
const FETCHES: &str = "control_plane_fetches_total";
const BLOBS: &str = "control_plane_blobs_total";
const LEASED: &str = "control_plane_leased_visits_total";
const VISITOR_FORMS: &str = "control_plane_visitor_forms_total";
const SWEPT: &str = "control_plane_swept_total";
const SIGN_INS: &str = "control_plane_sign_ins_total";
const COUNTS_MISSING: &str = "control_plane_lists_without_counts_total";
const STORED_FILES: &str = "control_plane_stored_files_total";
const STORED_BYTES: &str = "control_plane_stored_bytes_total";
const STORAGE_FAILED: &str = "control_plane_storage_failed_total";
const DOMAIN_LOOKS: &str = "control_plane_domain_looks_total";
const BLOCKLIST_RULES: &str = "control_plane_blocklist_rules";
const BLOCKLIST_READS: &str = "control_plane_blocklist_reads_total";
const BLOCKLIST_STALE: &str = "control_plane_blocklist_stale";
const BLOCKED_LINKS: &str = "control_plane_blocked_links_total";
const BLOCKED_DESTINATIONS: &str = "control_plane_blocked_destinations_total";
const DESTINATION_LOOKS: &str = "control_plane_destination_looks_total";
const LOOKS_LATE: &str = "control_plane_destination_looks_late_seconds";
const DATABASE_RESTORED: &str = "control_plane_database_restored_total";
const LISTENER_LOST: &str = "control_plane_listener_lost_total";

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
        "API calls refused with 429, by what was counted: key, app or address"
    );
    describe_counter!(
        KEYS_REFUSED,
        "API calls with a key that was refused, by reason"
    );
    describe_counter!(FEED_CHANGES, "Transactions that went to proxies");
    describe_counter!(
        ADDED_TOGETHER,
        "Calls with one new link whose turn to be stored came"
    );
    describe_counter!(
        ADDING_TURNS,
        "Turns in which they came, each a transaction: calls a turn say how many wait for the disk together"
    );
    describe_counter!(
        STATS_FAILED,
        "Queries that ClickHouse did not answer, by reason: timeout, network, refused or other"
    );
    describe_gauge!(FEED_OPEN, "Proxies that follow the feed");
    describe_counter!(FEED_REFUSED, "Calls to the feed without its token");
    describe_counter!(
        FEED_HELLOS,
        "Proxies that began to follow the feed, by resumed: true, or false when they had to take a snapshot"
    );
    describe_counter!(
        LEASED,
        "Visits of click-limited links handed out to proxies"
    );
    describe_counter!(
        FEED_FRAMES,
        "Frames sent to proxies, those of snapshots included"
    );
    describe_counter!(
        FEED_BYTES,
        Unit::Bytes,
        "Bytes sent to proxies, those of snapshots included"
    );
    describe_counter!(
        FEED_SNAPSHOTS,
        "Snapshots sent to proxies, by whole: true, or false when broken off"
    );
    describe_counter!(
        SLOW_READERS,
        "Readers given up because they took nothing for too long, by where: connection, or snapshot (which holds a transaction)"
    );
    describe_counter!(
        FEED_WRONG_GROUPS,
        "Groups of links that differ from their checksum: the link database is damaged"
    );
    describe_counter!(
        CONNECTIONS_REFUSED,
        "Connections closed unanswered because too many were open"
    );
    describe_counter!(
        BLOBS,
        "Blobs that proxies asked for, by found: true, or false when there is none of this name"
    );
    describe_counter!(
        VISITOR_FORMS,
        "Forms that visitors sent, by outcome: kept, refused, limited (by address), trapped (by a field people do not see), full or failed"
    );
    describe_counter!(
        SWEPT,
        "Rows deleted because nothing used them any more, by what: blob, page, slug, token or file"
    );
    describe_counter!(
        SIGN_INS,
        "Sign-ins with a password, by outcome: done, wrong, or limited when there were too many wrong ones"
    );
    describe_counter!(STORED_FILES, "Uploads that were stored");
    describe_counter!(STORED_BYTES, Unit::Bytes, "Bytes of them");
    describe_counter!(
        STORAGE_FAILED,
        "Uploads that could not be stored, by reason: full, read_only, missing, failed; and delete, when the sweep failed"
    );
    describe_counter!(
        DOMAIN_LOOKS,
        "Looks for the TXT record that proves a domain, by result: proved, unproved (also when no name server answered)"
    );
    describe_gauge!(BLOCKLIST_RULES, "Rules of the block list in force");
    describe_counter!(
        BLOCKLIST_READS,
        "Reads of the block list because its file changed, by result: ok or failed"
    );
    describe_gauge!(
        BLOCKLIST_STALE,
        "1 while the file of the block list cannot be read and an older list is in force"
    );
    describe_counter!(
        BLOCKED_LINKS,
        "Links that a change of the block list switched off or on, by what: blocked or freed"
    );
    describe_counter!(
        BLOCKED_DESTINATIONS,
        "URLs refused because they are on the block list"
    );
    describe_counter!(
        DESTINATION_LOOKS,
        "Looks at destinations, by what: way, title or frame; and outcome: found, leads_back (to a short domain of ours, the link is shut), nothing, unreachable (tried again later), given_up (unreachable too often), or failed (what was found could not be kept: tried again)"
    );
    describe_gauge!(
        LOOKS_LATE,
        Unit::Seconds,
        "How long the oldest link that waits for a look had waited when links were last taken"
    );
    describe_counter!(
        DATABASE_RESTORED,
        "Times that the link database was seen to be restored to an older state: proxies take a snapshot then"
    );
    describe_counter!(
        LISTENER_LOST,
        "Times that this control plane could not hear of changes of others: they are found by looking each second then"
    );
    describe_counter!(
        COUNTS_MISSING,
        "Lists answered with clicks 0 because ClickHouse was not there"
    );
    describe_counter!(
        FETCHES,
        "Outgoing requests for what owners named by URL, by outcome: ok, or why nothing was fetched"
    );
}

/// The link database was restored.
pub(crate) fn database_restored() {
    counter!(DATABASE_RESTORED).increment(1);
}

/// The listener for changes of other control planes was lost.
pub(crate) fn listener_lost() {
    counter!(LISTENER_LOST).increment(1);
}

/// So many rules are in force.
pub(crate) fn blocklist(rules: usize) {
    gauge!(BLOCKLIST_RULES).set(rules as f64);
}

/// The block list was read again, or could not be.
pub(crate) fn blocklist_read(is_good: bool) {
    let result = if is_good { "ok" } else { "failed" };
    counter!(BLOCKLIST_READS, "result" => result).increment(1);
    gauge!(BLOCKLIST_STALE).set(if is_good { 0.0 } else { 1.0 });
}

/// Links were switched off or on because the block list changed.
pub(crate) fn links_blocked(blocked: u64, freed: u64) {
    counter!(BLOCKED_LINKS, "what" => "blocked").increment(blocked);
    counter!(BLOCKED_LINKS, "what" => "freed").increment(freed);
}

/// A call named a URL that is on the block list.
pub(crate) fn destination_blocked() {
    counter!(BLOCKED_DESTINATIONS).increment(1);
}

/// The oldest link that waited for a look had waited so long.
pub(crate) fn looks_late(seconds: f64) {
    gauge!(LOOKS_LATE).set(seconds);
}

/// A look at a destination ended.
pub(crate) fn looked(what: &'static str, outcome: &'static str) {
    counter!(DESTINATION_LOOKS, "what" => what, "outcome" => outcome).increment(1);
}

/// A look for the proof of a domain ended.
pub(crate) fn domain_look(result: &'static str) {
    counter!(DOMAIN_LOOKS, "result" => result).increment(1);
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

/// A transaction takes new links of so many calls.
pub(crate) fn added_together(calls: usize) {
    counter!(ADDED_TOGETHER).increment(calls as u64);
    counter!(ADDING_TURNS).increment(1);
}

/// A connection was refused.
pub(crate) fn connection_refused() {
    counter!(CONNECTIONS_REFUSED).increment(1);
}

/// An outgoing request ended.
pub(crate) fn fetched(outcome: &'static str) {
    counter!(FETCHES, "outcome" => outcome).increment(1);
}

/// A list went out without counts.
pub(crate) fn counts_missing() {
    counter!(COUNTS_MISSING).increment(1);
}

/// A proxy asked for a blob.
pub(crate) fn blob(found: bool) {
    counter!(BLOBS, "found" => if found { "true" } else { "false" }).increment(1);
}

/// A visitor sent a form.
pub(crate) fn visitor_form(outcome: &'static str) {
    counter!(VISITOR_FORMS, "outcome" => outcome).increment(1);
}

/// Unused rows were deleted.
pub(crate) fn swept(what: &'static str, rows: u64) {
    counter!(SWEPT, "what" => what).increment(rows);
}

/// Somebody tried to sign in.
pub(crate) fn sign_in(outcome: &'static str) {
    counter!(SIGN_INS, "outcome" => outcome).increment(1);
}

/// An upload was stored.
pub(crate) fn stored(bytes: u64) {
    counter!(STORED_FILES).increment(1);
    counter!(STORED_BYTES).increment(bytes);
}

/// The file storage failed.
pub(crate) fn storage_failed(reason: &'static str) {
    counter!(STORAGE_FAILED, "reason" => reason).increment(1);
}

/// One proxy follows the feed for as long as this lives.
pub(crate) struct OpenFeed;

impl OpenFeed {
    /// Counts it in.
    pub(crate) fn new() -> Self {
        gauge!(FEED_OPEN).increment(1.0);
        Self
    }
}

impl Drop for OpenFeed {
    fn drop(&mut self) {
        gauge!(FEED_OPEN).decrement(1.0);
    }
}

/// A call to the feed without its token.
pub(crate) fn feed_refused() {
    counter!(FEED_REFUSED).increment(1);
}

/// A proxy began to follow the feed.
pub(crate) fn feed_hello(resumed: bool) {
    counter!(FEED_HELLOS, "resumed" => if resumed { "true" } else { "false" }).increment(1);
}

/// A frame went to a proxy.
pub(crate) fn feed_frame(bytes: usize) {
    counter!(FEED_FRAMES).increment(1);
    counter!(FEED_BYTES).increment(bytes as u64);
}

/// A snapshot ended.
pub(crate) fn feed_snapshot(whole: bool) {
    counter!(FEED_SNAPSHOTS, "whole" => if whole { "true" } else { "false" }).increment(1);
}

/// A reader was given up.
pub(crate) fn slow_reader(at: &'static str) {
    counter!(SLOW_READERS, "at" => at).increment(1);
}

/// A group's links are not what its checksum says.
pub(crate) fn feed_wrong_group() {
    counter!(FEED_WRONG_GROUPS).increment(1);
}

/// ClickHouse did not answer.
pub(crate) fn stats_failed(reason: &'static str) {
    counter!(STATS_FAILED, "reason" => reason).increment(1);
}

/// Visits of click-limited links were handed out.
pub(crate) fn leased(visits: u64) {
    counter!(LEASED).increment(visits);
}
