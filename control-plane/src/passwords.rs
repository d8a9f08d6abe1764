//! Hashing people's passwords off the threads that serve, a few at a time: each takes tens of milliseconds and 19 MiB, and
//! how many are asked for is the callers' choice.

use crate::domain::password;
use crate::error::ApiError;
use crate::workers::Workers;

/// Passwords hashed at once; more would take the machine from everything else.
const AT_ONCE: usize = 2;

/// Hash of a password nobody has: what is compared for an account that does not exist, so that the time of the answer does
/// not tell.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The room for it.
#[derive(Debug)]
pub(crate) struct Passwords {
    room: Workers,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            room: Workers::new(AT_ONCE),
        }
    }
}

impl Passwords {
    /// The hash of a new password.
    ///
    /// # Errors
    /// It breaks a rule; `field` is what the caller named it.
    pub(crate) async fn hash(&self, field: &str, secret: String) -> Result<String, ApiError> {
        password::check(field, &secret)?;
        Ok(self.digest(secret).await?)
    }

    /// The hash of a password whose rules the caller has checked: those of links, files and pages are others.
    ///
    /// # Errors
    /// The process is at its end.
    pub(crate) async fn digest(&self, secret: String) -> anyhow::Result<String> {
        self.room.run(move || password::hash(&secret)).await?
    }

    /// Whether `secret` is the password of `hash`. Takes as long without one.
    ///
    /// # Errors
    /// The process is at its end.
    pub(crate) async fn verify(
        &self,
        secret: String,
        hash: Option<String>,
    ) -> anyhow::Result<bool> {
        if secret.len() > password::MAX_BYTES {
            return Ok(false);
        }
        let check = move || {
            let right = password::verify(&secret, hash.as_deref().unwrap_or(NOBODY));
            right && hash.is_some()
        };
        self.room.run(check).await
    }
}
