//! The link database: SQLite or PostgreSQL behind one set of queries (sqlx `Any`, `$1` placeholders, whole numbers, texts
//! and bytes only).
//!
//! SQLite has one writer connection, and every write is one `BEGIN IMMEDIATE` transaction on it: a deferred one that
//! reads and then writes is refused as busy at once. Readers have connections of their own that cannot write. On
//! PostgreSQL one pool does both.
//!
//! What visitors can see is written through [`feed::Write`], which puts the feed's change into the same transaction.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Transaction};
use tokio::sync::Notify;

pub mod accounts;
pub mod apps;
pub mod bio;
pub mod blobs;
pub mod blocked;
pub mod bootstrap;
pub mod campaigns;
pub mod channels;
pub mod domains;
pub mod entries;
pub mod feed;
pub mod files;
pub mod folders;
pub mod guard;
pub mod id_key;
pub mod keys;
pub mod leases;
pub mod links;
pub mod looks;
pub mod members;
mod migrate;
mod newest;
pub mod oauth;
pub mod objects;
pub mod overlays;
pub mod pages;
pub mod pixels;
pub mod plans;
pub mod qr;
pub mod quarantine;
pub mod salts;
pub mod sign_ins;
pub mod splashes;
pub mod tags;
pub mod users;

/// Connections that read at the same time (SQLite), and all connections (PostgreSQL).
const CONNECTIONS: u32 = 8;

/// Longest wait for a connection: longer than any one transaction of ours takes, shorter than clients wait.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);

/// A server's connection that was idle for longer is asked whether it still lives before it is used.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Most values in one `IN (…)`, far below every engine's limit of parameters.
const LIST: usize = 500;

/// Pages of SQLite's log at which a commit moves it into the file by itself: far more than gather between two calls of
/// [`Store::checkpoint`], which keeps commits from it. 40 MB.
const LOG_PAGES: &str = "PRAGMA wal_autocheckpoint = 10000";

/// For the one connection that writes. New links touch pages all over the indexes of many: they wait in memory (64 MB at
/// most) for their commit, and so do the old pages that a statement may need again.
const WRITING: [&str; 2] = ["PRAGMA cache_size = -65536", "PRAGMA temp_store = MEMORY"];

/// Which engine is behind the pool; the few statements that differ ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, one writer.
    Sqlite,
    /// A server.
    Postgres,
}

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    engine: Engine,
    writer: AnyPool,
    readers: AnyPool,
    newest: newest::Newest,
    looks_noted: Arc<Notify>,
    guard: guard::Guard,
}

impl Store {
    /// Opens the database at `url` (`sqlite://<absolute path>` or `postgres://…`), and brings its tables up to date.
    ///
    /// # Errors
    /// The database cannot be reached, or was written by a newer version.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let engine = if url.starts_with("sqlite:") {
            Engine::Sqlite
        } else {
            Engine::Postgres
        };
        let (writer, readers) = match engine {
            Engine::Sqlite => {
                let writer = sqlite_pool(1, false)
                    .connect(&format!("{url}?mode=rwc"))
                    .await;
                let writer = writer.context("cannot open the link database")?;
                migrate::run(engine, &writer).await?;
                let readers = sqlite_pool(CONNECTIONS, true).connect(url).await?;
                (writer, readers)
            }
            Engine::Postgres => {
                let pool = AnyPoolOptions::new()
                    .max_connections(CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    // One that was in use a moment ago is not asked whether it still lives: that would double the
                    // questions of a call.
                    .test_before_acquire(false)
                    .before_acquire(|connection, known| {
                        Box::pin(async move {
                            if known.idle_for < TRUSTED_FOR {
                                return Ok(true);
                            }
                            Ok(connection.ping().await.is_ok())
                        })
                    })
                    .connect(url)
                    .await
                    .context("cannot reach the link database")?;
                migrate::run(engine, &pool).await?;
                (pool.clone(), pool)
            }
        };
        Ok(Self {
            engine,
            writer,
            newest: newest::Newest::of(&readers).await?,
            readers,
            looks_noted: Arc::default(),
            guard: guard::Guard::default(),
        })
    }

    /// The same database, with these rules for rows of `links`.
    #[must_use]
    pub fn guarded(mut self, guard: guard::Guard) -> Self {
        self.guard = guard;
        self
    }

    /// Rules for rows of `links`.
    pub fn guard(&self) -> &guard::Guard {
        &self.guard
    }

    /// Waits until this process has committed links to be looked at, if it has not since the last time.
    pub(crate) async fn looks_noted(&self) {
        self.looks_noted.notified().await;
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Connections to read from. Each statement sees the newest committed state.
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// A read-only transaction in which every statement sees the same instant of the database.
    ///
    /// # Errors
    /// No connection in time.
    pub async fn snapshot(&self) -> sqlx::Result<Transaction<'static, Any>> {
        match self.engine {
            Engine::Sqlite => self.readers.begin().await,
            Engine::Postgres => {
                self.readers
                    .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
            }
        }
    }

    /// A transaction that may write. For what visitors can see, see [`feed::Write`].
    pub(crate) async fn begin(&self) -> sqlx::Result<Transaction<'static, Any>> {
        match self.engine {
            Engine::Sqlite => self.writer.begin_with("BEGIN IMMEDIATE").await,
            Engine::Postgres => self.writer.begin().await,
        }
    }

    /// Moves what SQLite has in its log into its file, while others read and write.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn checkpoint(&self) -> sqlx::Result<()> {
        // A connection that cannot write can do this.
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_all(&self.readers)
            .await?;
        Ok(())
    }

    /// Closes all connections, after those in use are given back.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// The URL of a SQLite file.
pub fn sqlite_url(path: &Path) -> String {
    let escaped = percent_encoding::utf8_percent_encode(
        &path.to_string_lossy(),
        percent_encoding::NON_ALPHANUMERIC,
    )
    .to_string();
    format!("sqlite://{}", escaped.replace("%2F", "/"))
}

/// `$first, $first+1, …`: `count` placeholders. (sqlx's query builder writes `?` for `Any`, which PostgreSQL does not read.)
pub(crate) fn placeholders(first: usize, count: usize) -> String {
    let list: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    list.join(", ")
}

/// As many of the last once more as make a list's length a power of four: questions about lists of every length would be
/// as many statements, and few stay prepared.
pub(crate) fn padded<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    let mut length = 1;
    while length < list.len() {
        length *= 4;
    }
    if let Some(last) = list.last().cloned() {
        list.resize(length, last);
    }
    list
}

/// Whether a write broke a unique constraint.
pub(crate) fn is_unique_violation(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|e| e.is_unique_violation())
}

/// Whether a transaction was broken off because it and another waited for each other. It can be made again.
pub(crate) fn is_deadlock(error: &anyhow::Error) -> bool {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    // PostgreSQL's deadlock_detected.
    database
        .and_then(|e| e.code())
        .is_some_and(|code| code == "40P01")
}

fn sqlite_pool(connections: u32, read_only: bool) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A cached page set and prepared statements are worth keeping; there is no server to time out.
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection: &mut AnyConnection, _| {
            Box::pin(async move {
                let pragmas = [
                    "PRAGMA busy_timeout = 5000",
                    "PRAGMA journal_mode = WAL",
                    // An acknowledged call survives a power failure.
                    "PRAGMA synchronous = FULL",
                    "PRAGMA foreign_keys = ON",
                    LOG_PAGES,
                ];
                for pragma in pragmas {
                    sqlx::query(pragma).execute(&mut *connection).await?;
                }
                let own: &[&str] = if read_only {
                    &["PRAGMA query_only = ON"]
                } else {
                    &WRITING
                };
                for pragma in own {
                    sqlx::query(*pragma).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
}

/// The LIKE pattern, with `!` as its escape, of lower-case texts that hold this one in any case.
fn holding(text: &str) -> String {
    holding_as_it_is(&text.to_lowercase())
}

/// As [`holding`], of texts that hold this one as it is written.
fn holding_as_it_is(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}
