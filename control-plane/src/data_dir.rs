//! The data folder: its lock, the first key and the feed's token.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use schemas::names::files;
use schemas::settings::Secret;

use crate::domain::key::NewKey;

/// Held by the one control plane that serves from the folder.
const LOCK: &str = "control-plane.lock";

/// The folder, locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the folder where it is missing, and locks it.
    ///
    /// # Errors
    /// It cannot be written, or another control plane has it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make SIGNPOST_DATA_DIR={}", path.display()))?;
        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| format!("cannot write to SIGNPOST_DATA_DIR={}", path.display()))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).with_context(|| {
            format!(
                "another control plane uses SIGNPOST_DATA_DIR={}",
                path.display()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The first key, for a database that has none: the one given, else the one in the file (its database was replaced, or
    /// a first start did not finish), else a random one. It is in the file before it is in the database, so it is
    /// never lost.
    pub(crate) fn first_key(&self, given: Option<&Secret>) -> anyhow::Result<NewKey> {
        let path = self.path.join(files::ADMIN_KEY);
        if let Some(key) = given {
            replace(&path, &key.0)?;
            return Ok(NewKey::given(key.0.clone()));
        }
        if let Some(key) = read(&path)? {
            return Ok(NewKey::given(key));
        }
        let key = NewKey::random()?;
        replace(&path, &key.secret)?;
        Ok(key)
    }

    /// The feed's token: the one given, else the one in the file, made when absent.
    pub(crate) fn feed_token(&self, given: Option<&Secret>) -> anyhow::Result<Secret> {
        if let Some(token) = given {
            return Ok(token.clone());
        }
        let path = self.path.join(files::FEED_TOKEN);
        if let Some(token) = read(&path)? {
            return Ok(Secret(token));
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).context("no randomness from the system")?;
        let token = hex::encode(bytes);
        replace(&path, &token)?;
        Ok(Secret(token))
    }
}

/// The trimmed content of a file; `None` when it is absent or empty.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned()).filter(|t| !t.is_empty())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let fresh = path.with_extension("new");
        // Its mode must be right from the first byte on.
        let _ = fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
