//! One ingest per data folder: a second process would read the same log and write the same intent.

use std::fs::File;
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};

/// Name of the lock file in the data folder.
const FILE: &str = "ingest.lock";

/// The lock; given up when dropped or when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct RoleLock {
    _file: File,
}

impl RoleLock {
    /// Takes the lock, making the folder if need be.
    ///
    /// # Errors
    /// The folder cannot be written, or another process has the lock.
    pub(crate) fn take(data_dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
        let path = data_dir.join(FILE);
        let file = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!(
                "another ingest is running over the data folder {} (it holds {FILE})",
                data_dir.display()
            ),
            Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_ends() {
        let folder = tempfile::tempdir().expect("folder");
        let first = RoleLock::take(folder.path()).expect("free");
        let error = RoleLock::take(folder.path())
            .expect_err("taken")
            .to_string();
        assert!(error.contains("another ingest"), "{error}");
        drop(first);
        RoleLock::take(folder.path()).expect("free again");
    }
}
