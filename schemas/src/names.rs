//! Names that more than one process must spell alike: files in the data folder, tables, topics, paths.

/// The ClickHouse database that holds every table of ours.
pub const DATABASE: &str = "signpost";

/// Files and folders in the data folder.
pub mod files {
    use std::path::{Path, PathBuf};

    /// The link database of the control plane (SQLite).
    pub const SQLITE: &str = "signpost.db";
    /// Default folder of the click log.
    pub const CLICKS: &str = "clicks";
    /// Folder of the click log that imports write, read by ingest beside the proxy's.
    pub const CLICKS_IMPORT: &str = "clicks-import";
    /// Folder of the proxy's snapshot of the link table.
    pub const SNAPSHOT: &str = "links";
    /// Folder of the proxy's copies of blobs.
    pub const BLOBS: &str = "blobs";
    /// Default folder of uploaded files.
    pub const UPLOADS: &str = "uploads";
    /// Folder of the embedded ClickHouse engine.
    pub const CLICKHOUSE: &str = "clickhouse";
    /// Token of the feed, made by the control plane, mode 0600.
    pub const FEED_TOKEN: &str = "feed.token";
    /// The first API key, mode 0600.
    pub const ADMIN_KEY: &str = "admin.key";
    /// Password of the ClickHouse user `signpost`, mode 0600.
    pub const CLICKHOUSE_PASSWORD: &str = "clickhouse.password";
    /// Password of the read-only ClickHouse user `analyst`, mode 0600.
    pub const ANALYST_PASSWORD: &str = "clickhouse.analyst-password";
    /// Which partition each stream of a click log is bound to, in the log's folder.
    pub const STREAMS: &str = "streams";
    /// Where ingest keeps its intent.
    pub const INTENT: &str = "ingest.intent";
    /// Random id of the data folder (32 hex digits), made once; names the ring folder.
    pub const FOLDER_ID: &str = "folder.id";

    /// Where a stored file of this key (`<two hex digits>/<hex digits and hyphens>`) lies in the uploads folder. Whoever
    /// writes keys: none leads out of the folder.
    pub fn upload_path(uploads: &Path, key: &str) -> Option<PathBuf> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        };
        let (two, name) = key.split_once('/')?;
        (is_part(two) && is_part(name)).then(|| uploads.join(two).join(name))
    }
}

/// Kafka topics, unless settings say otherwise.
pub mod topics {
    /// Clicks and books, one a record.
    pub const CLICKS: &str = "signpost.clicks.v1";
    /// Records that could not be stored, keyed by the click's id.
    pub const DEAD: &str = "signpost.clicks.dead";
    /// The consumer group of ingest.
    pub const GROUP: &str = "signpost-ingest";
    /// Partition 0 of the topic as `log_partition` of ClickHouse's tables: numbers below are folders of click logs, whose
    /// offsets are bytes.
    pub const FIRST_LOG_PARTITION: u32 = 1_000_000;
}

/// ClickHouse users of the embedded engine.
pub mod users {
    /// May do everything Signpost does.
    pub const SIGNPOST: &str = "signpost";
    /// May read.
    pub const ANALYST: &str = "analyst";
}

/// ClickHouse tables, in [`DATABASE`]. Columns: `schemas/clickhouse/README.md`.
pub mod tables {
    /// One row a click.
    pub const CLICKS: &str = "clicks";
    /// Clicks and scans per link and quarter of an hour.
    pub const CLICKS_15M: &str = "clicks_15m";
    /// Clicks per busy link, day or month, dimension and value.
    pub const CLICKS_BY_PERIOD: &str = "clicks_by_period";
    /// Days on which each visitor of a busy link came, by month.
    pub const VISITORS_BY_MONTH: &str = "visitors_by_month";
    /// What is stored, per stream and day of ingest.
    pub const STREAM_DAYS: &str = "stream_days";
    /// What each stream says it has written.
    pub const BOOKS: &str = "books";
    /// What each stream says it has lost, by reason.
    pub const DROPS: &str = "drops";
    /// Records that could not be stored, by reason.
    pub const DEAD_LETTERS: &str = "dead_letters";
    /// Migrations that have run.
    pub const MIGRATIONS: &str = "migrations";
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::files::upload_path;

    #[test]
    fn no_key_leads_out_of_the_folder() {
        let folder = Path::new("/files");
        assert_eq!(
            upload_path(folder, "ab/ab12-34"),
            Some(PathBuf::from("/files/ab/ab12-34"))
        );
        for bad in [
            "",
            "ab",
            "ab/",
            "/ab",
            "../ab",
            "ab/..",
            "ab/cd/ef",
            "ab/./x",
            "ab/x\0",
            "signpost.db",
            "a/signpost.db",
        ] {
            assert_eq!(upload_path(folder, bad), None, "{bad}");
        }
    }
}
