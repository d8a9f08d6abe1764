//! A database with all tables and nothing in them, made once: every test begins with a copy of its own, for making them
//! takes longer than most tests do. The first start, which fills them, is each test's own.

use std::path::Path;

use control_plane::store::{Store, sqlite_url};
use schemas::names::files;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// Where file systems live in memory: what a power failure takes is no subject of these tests, and waiting for a disk
/// would be most of their time.
const MEMORY: &str = "/dev/shm";

/// A folder for a test's files.
pub(crate) fn scratch() -> TempDir {
    let in_memory = tempfile::Builder::new()
        .prefix("signpost-test-")
        .tempdir_in(MEMORY);
    in_memory
        .or_else(|_| TempDir::new())
        .expect("temporary folder")
}

/// Puts the tables of SQLite into a data folder.
pub(super) async fn put_into(data: &Path) {
    static TABLES: OnceCell<Vec<u8>> = OnceCell::const_new();
    let tables = TABLES
        .get_or_init(async || {
            let folder = scratch();
            let file = folder.path().join(files::SQLITE);
            made(&sqlite_url(&file)).await;
            std::fs::read(&file).expect("a database")
        })
        .await;
    std::fs::write(data.join(files::SQLITE), tables).expect("a copy");
}

/// Makes the tables in the empty database of this URL.
pub(super) async fn made(url: &str) {
    let store = Store::open(url).await.expect("a database");
    store.close().await;
}
