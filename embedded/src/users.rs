//! The two users and their passwords.
//!
//! The engine itself knows one user without a password (it is in our process and listens nowhere); who may do what is
//! decided here and in `sql`. Passwords are 256 random bits, made at the first start and kept in the data folder with
//! mode 0600, so guessing needs no limit and a plain comparison in constant time is enough: there is nothing to slow
//! down that a slow hash would protect.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use schemas::names::{files, users};
use schemas::settings::Secret;

/// Random bytes of a password, before hex.
const PASSWORD_BYTES: usize = 32;
/// A password file larger than this is not one.
const MAX_PASSWORD_FILE_BYTES: u64 = 1024;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Everything Signpost does: read, insert, tables.
    Signpost,
    /// Reading, within limits that cannot be raised.
    Analyst,
}

/// Users by name, with their passwords.
#[derive(Debug, Clone)]
pub(crate) struct Users {
    signpost: Secret,
    analyst: Secret,
}

impl Users {
    /// Reads the password files, making what is missing.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        Ok(Self {
            signpost: password(&data_dir.join(files::CLICKHOUSE_PASSWORD))?,
            analyst: password(&data_dir.join(files::ANALYST_PASSWORD))?,
        })
    }

    /// The role of a user who gave the right password.
    pub(crate) fn check(&self, user: &str, password: &str) -> Option<Role> {
        let (role, secret) = match user {
            users::SIGNPOST => (Role::Signpost, &self.signpost),
            users::ANALYST => (Role::Analyst, &self.analyst),
            _ => return None,
        };
        same(password.as_bytes(), secret.0.as_bytes()).then_some(role)
    }
}

/// Comparison whose time depends on the lengths only.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

fn password(path: &Path) -> io::Result<Secret> {
    match read(path) {
        Ok(secret) => return Ok(secret),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(named(path, &e)),
    }
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
    let text = hex::encode(random);
    // By rename, so that a crash never leaves a short password behind. One process at a time is here (the lock).
    let new = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().map_err(|e| named(path, &e))?;
    Ok(Secret(text))
}

fn read(path: &Path) -> io::Result<Secret> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(MAX_PASSWORD_FILE_BYTES)
        .read_to_string(&mut text)?;
    let text = text.trim();
    if text.len() < 8 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "holds no password (8 characters at least); remove it to have a new one made",
        ));
    }
    Ok(Secret(text.to_owned()))
}

fn named(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("password file {}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn passwords_are_made_once_and_private() {
        let dir = tempfile::tempdir().expect("dir");
        let first = Users::open(dir.path()).expect("made");
        let again = Users::open(dir.path()).expect("read");
        assert_eq!(first.signpost, again.signpost);
        assert_ne!(first.signpost, first.analyst);
        let mode = fs::metadata(dir.path().join(files::CLICKHOUSE_PASSWORD))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&first.signpost.0));
    }

    #[test]
    fn only_the_right_password_opens() {
        let dir = tempfile::tempdir().expect("dir");
        let users = Users::open(dir.path()).expect("made");
        let right = users.analyst.0.clone();
        assert_eq!(users.check("analyst", &right), Some(Role::Analyst));
        for (user, password) in [
            ("signpost", right.as_str()),
            ("analyst", ""),
            ("default", ""),
            ("", ""),
        ] {
            assert_eq!(users.check(user, password), None);
        }
    }

    #[test]
    fn an_empty_password_file_is_an_error_and_not_an_open_door() {
        let dir = tempfile::tempdir().expect("dir");
        fs::write(dir.path().join(files::CLICKHOUSE_PASSWORD), "\n").expect("write");
        let error = Users::open(dir.path()).expect_err("refused").to_string();
        assert!(error.contains(files::CLICKHOUSE_PASSWORD), "{error}");
    }
}
