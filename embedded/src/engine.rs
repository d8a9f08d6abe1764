//! The engine: one per process and storage path, its connections, and how a running query is stopped.
//!
//! A connection runs one query, so each query gets a fresh one: opening costs 0.3 ms (seen), and nothing a query sets
//! (settings, database, temporary tables) can reach the next one. A first connection is held from start to end, because
//! the engine stops when its last connection closes.
//!
//! A query that works inside the engine cannot be cancelled through its own connection (calls on one wait for each
//! other), so each carries a random mark in `log_comment`, and `KILL QUERY` finds it from another connection.

use std::ffi::CString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use schemas::names::files as names;

use crate::config::Config;
use crate::error::{Exception, Kind};

mod ffi;
pub(crate) mod files;

pub(crate) use ffi::{Class, Connection, Output, Params, Progress};

/// Lock in the data folder: one engine over a storage.
const LOCK: &str = "clickhouse.lock";

/// File in the storage that the engine keeps while it is open, and removes when it closes it.
const STATUS: &str = "status";

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is not there, or not a library, or not this one.
    #[error("cannot load the ClickHouse engine from {path}: {reason}; `make fetch` gets it")]
    Library {
        /// The file.
        path: String,
        /// The loader's text.
        reason: String,
    },
    /// Another process works on this storage.
    #[error("another process has the ClickHouse storage in {0} open")]
    Locked(String),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The engine itself refused; it wrote why to standard error.
    #[error("the ClickHouse engine did not start on {0}; its message is above")]
    Refused(String),
    /// The engine started and cannot answer.
    #[error("the ClickHouse engine started but does not answer: {0}")]
    Silent(String),
}

/// A running engine.
#[derive(Debug)]
pub(crate) struct Engine {
    library: &'static ffi::Library,
    arguments: Vec<CString>,
    version: String,
    /// Table functions of this engine, lower case: `sql` refuses all it does not know to be harmless.
    table_functions: Vec<String>,
    storage: PathBuf,
    /// Keeps the engine up.
    keeper: Mutex<Option<Connection>>,
    /// Held until the end of the process or of this value.
    _lock: File,
}

impl Engine {
    /// Loads the library and opens the storage. Blocks; 0.15 s on an empty storage (seen).
    pub(crate) fn start(config: &Config) -> Result<Self, StartError> {
        let folder = |source: io::Error| StartError::Folder {
            path: config.data_dir.display().to_string(),
            source,
        };
        fs::create_dir_all(&config.data_dir).map_err(folder)?;
        let lock = lock(&config.data_dir)?;
        let library = whole_library(&config.library)
            .and_then(|()| ffi::Library::load(&config.library))
            .map_err(|reason| StartError::Library {
                path: config.library.display().to_string(),
                reason,
            })?;
        library.leave_signals_alone();

        let server = files::write(config).map_err(folder)?;
        let storage =
            std::path::absolute(config.data_dir.join(names::CLICKHOUSE)).map_err(folder)?;
        let argument = |name: &str, path: &Path| {
            let mut bytes = name.as_bytes().to_vec();
            bytes.extend_from_slice(path.as_os_str().as_bytes());
            CString::new(bytes).map_err(|e| folder(io::Error::other(e)))
        };
        let arguments = vec![
            argument("--path=", &storage)?,
            argument("--config-file=", &server)?,
        ];
        let mut keeper = library
            .connect(&arguments)
            .ok_or_else(|| StartError::Refused(storage.display().to_string()))?;
        let version = one_column(&mut keeper, "SELECT version()").map_err(StartError::Silent)?;
        let table_functions = one_column(
            &mut keeper,
            "SELECT lower(name) FROM system.table_functions",
        )
        .map_err(StartError::Silent)?;
        ffi::skip_its_exit_handlers();
        Ok(Self {
            library,
            arguments,
            version: version.concat(),
            table_functions,
            storage,
            keeper: Mutex::new(Some(keeper)),
            _lock: lock,
        })
    }

    /// The engine's own version, e.g. `26.7.2.1`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Names of the engine's table functions, lower case.
    pub(crate) fn table_functions(&self) -> &[String] {
        &self.table_functions
    }

    /// A fresh session. Blocks for 0.3 ms.
    pub(crate) fn connect(&self) -> Result<Connection, Exception> {
        // None once the engine is being closed: a connection now would start it again.
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            return Err(Exception::new(
                Kind::QueryWasCancelled,
                "the server is stopping",
            ));
        }
        self.library.connect(&self.arguments).ok_or_else(|| {
            Exception::new(Kind::UnknownException, "the engine refused a connection")
        })
    }

    /// Asks the engine to stop the query that carries `mark`; returns at once. Nothing happens if there is none (yet).
    pub(crate) fn kill(&self, mark: uuid::Uuid) -> Result<(), Exception> {
        let sql = format!("KILL QUERY WHERE Settings['log_comment'] = '{mark}' ASYNC");
        self.connect()?
            .query(sql.as_bytes(), "Null", &[])
            .map(drop)
            .map_err(|e| Exception::from_engine(&e))
    }

    /// Closes the storage; `false` if it is still open (a session is), then the engine ends with the process.
    ///
    /// The last session's end closes it. Joining the idle threads afterwards is refused once a MergeTree table was used
    /// (seen), so whether the engine's own mark of an open storage is gone tells, not the answer to that.
    pub(crate) fn close(&self) -> bool {
        drop(
            self.keeper
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let joined = self.library.shut_down();
        ffi::skip_its_exit_handlers();
        joined || !self.storage.join(STATUS).exists()
    }
}

/// A download that broke off loads without an error and dies of SIGBUS in the middle, so the end of the file is looked
/// for first: an ELF file's header tells where its last table ends.
fn whole_library(path: &Path) -> Result<(), String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let length = file.metadata().map_err(|e| e.to_string())?.len();
    let mut head = [0_u8; 64];
    file.read_exact(&mut head)
        .map_err(|_| "it is too short for a library".to_owned())?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is not a 64-bit little-endian ELF library".to_owned());
    }
    // e_shoff, e_shentsize, e_shnum: the table of sections is the last thing in the file.
    let number = |at: usize, bytes: usize| {
        head.iter()
            .skip(at)
            .take(bytes)
            .rev()
            .fold(0_u64, |n, &b| n << 8 | u64::from(b))
    };
    let end = number(40, 8).saturating_add(number(58, 2) * number(60, 2));
    if end > length {
        return Err(format!("it is cut off: {length} bytes of at least {end}"));
    }
    Ok(())
}

fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join(LOCK);
    let named = |source| StartError::Folder {
        path: path.display().to_string(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(named)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked(data_dir.display().to_string())),
        Err(TryLockError::Error(e)) => Err(named(e)),
    }
}

fn one_column(connection: &mut Connection, sql: &str) -> Result<Vec<String>, String> {
    let output = connection.query(sql.as_bytes(), "TabSeparated", &[])?;
    Ok(String::from_utf8_lossy(output.bytes())
        .lines()
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests;
