//! The proxy's part of the data folder: its lock against a second proxy, and the folder's id.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use schemas::names::files::FOLDER_ID;

/// Held by the one proxy of a data folder.
pub const LOCK_FILE: &str = "proxy.lock";

/// Digits of a folder's id.
const ID_DIGITS: usize = 32;

/// The proxy's lock; let go by the system however the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Makes the folder if need be and locks it for this proxy.
///
/// # Errors
/// The folder cannot be made or written to, or another proxy holds it.
pub fn lock(data_dir: &Path) -> anyhow::Result<Lock> {
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
    let path = data_dir.join(LOCK_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        // A folder that has become read-only still holds links to serve, and a lock needs no writing.
        .or_else(|e| File::open(&path).map_err(|_| e))
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => {
            anyhow::bail!(
                "the data folder {} is in use by another proxy",
                data_dir.display()
            )
        }
        Err(fs::TryLockError::Error(e)) => {
            Err(e).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The folder's id (32 hex digits), made at first use. Several roles may race for it: the first one wins.
///
/// # Errors
/// It can be neither read nor made, or holds something else.
pub fn id(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(FOLDER_ID);
    if !path.exists() {
        make_id(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let id = text.trim();
    anyhow::ensure!(
        id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{} does not hold {ID_DIGITS} hex digits",
        path.display()
    );
    Ok(id.to_owned())
}

/// Writes beside and links into place, so that nobody ever reads half an id and nobody replaces one.
fn make_id(path: &Path) -> io::Result<()> {
    let mut bytes = [0; ID_DIGITS / 2];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let id = hex::encode(bytes);
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = File::create(&beside)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let first = id(dir.path()).expect("made");
        assert_eq!(id(dir.path()).expect("read"), first);
        fs::write(dir.path().join(FOLDER_ID), "nonsense").expect("write");
        assert!(id(dir.path()).is_err());
    }

    #[test]
    fn a_second_proxy_is_turned_away() {
        let dir = tempfile::tempdir().expect("tempdir");
        let held = lock(dir.path()).expect("free");
        assert!(
            lock(dir.path())
                .expect_err("held")
                .to_string()
                .contains("in use")
        );
        drop(held);
        lock(dir.path()).expect("free again");
    }
}
