//! API keys: drawn, hashed, scoped. The key itself is shown once and kept nowhere.
//!
//! SHA-256 without salt is enough for 256 random bits: there is nothing to guess. It lets a call find its row by the
//! hash alone.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::field::FieldError;

/// What every key of ours begins with, so that scanners for leaked secrets know it.
const MARK: &str = "sgn_";

/// Characters of a key that lists show.
const PREFIX: usize = 10;

/// Longest key looked up, in bytes; ours are 47.
pub const MAX_BYTES: usize = 512;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the account, links and statistics.
    Read,
    /// Make, change and delete links; change the account.
    Write,
    /// List, make, rotate and delete keys.
    Keys,
    /// Everything, of every workspace's administration.
    Admin,
}

/// All scopes with their names.
const SCOPES: [(Scope, &str); 4] = [
    (Scope::Read, "read"),
    (Scope::Write, "write"),
    (Scope::Keys, "keys"),
    (Scope::Admin, "admin"),
];

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SCOPES
            .iter()
            .find(|(s, _)| s == self)
            .map_or("", |(_, n)| n);
        f.write_str(name)
    }
}

/// A set of scopes. [`Scope::Admin`] implies all others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// What a key gets when nothing is said: all but administration.
    pub fn usual() -> Self {
        Self([Scope::Read, Scope::Write, Scope::Keys].into())
    }

    /// Everything.
    pub fn all() -> Self {
        Self(SCOPES.map(|(s, _)| s).into())
    }

    /// Whether a key with these scopes may do what `scope` covers.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }

    /// Whether everything in `other` is allowed here too.
    pub fn cover(&self, other: &Self) -> bool {
        other.0.iter().all(|s| self.allow(*s))
    }

    /// Those of `self` that are among `scopes`; administration counts as all of them.
    pub fn only(&self, scopes: &[Scope]) -> Self {
        Self(scopes.iter().copied().filter(|s| self.allow(*s)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of `self` that `limit` allows.
    pub fn within(&self, limit: &Self) -> Self {
        Self(self.0.iter().copied().filter(|s| limit.allow(*s)).collect())
    }

    /// Scopes from their names.
    ///
    /// # Errors
    /// An unknown name, or none at all.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, FieldError> {
        let allowed = "must be a list of read, write, keys and admin";
        let set: Option<BTreeSet<Scope>> = names
            .into_iter()
            .map(|name| {
                SCOPES
                    .iter()
                    .find(|(_, n)| *n == name.trim())
                    .map(|(s, _)| *s)
            })
            .collect();
        set.filter(|s| !s.is_empty())
            .map(Self)
            .ok_or_else(|| FieldError::new("scopes", allowed))
    }

    /// The names, in a fixed order.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// A new key, to be shown once.
#[derive(Clone)]
pub struct NewKey {
    /// The key.
    pub secret: String,
    /// What is stored of it.
    pub hash: [u8; 32],
    /// What lists show of it.
    pub prefix: String,
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewKey({}…)", self.prefix)
    }
}

impl NewKey {
    /// A random key of 256 bits.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        Self::marked(MARK)
    }

    /// As [`Self::random`] for a secret of another kind, with what it begins with.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn marked(mark: &str) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        Ok(Self::given(format!("{mark}{text}")))
    }

    /// A key that somebody chose.
    pub fn given(secret: String) -> Self {
        // Of a short key a prefix would give away too much.
        let shown = PREFIX.min(secret.len() / 4);
        Self {
            hash: hash(&secret),
            prefix: secret.chars().take(shown).collect(),
            secret,
        }
    }
}

/// What is stored of a key.
pub fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Whether two texts or hashes are the same, in a time that depends on their lengths alone.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_random_and_hide_in_debug() {
        let (a, b) = (
            NewKey::random().expect("random"),
            NewKey::random().expect("random"),
        );
        assert_ne!(a.secret, b.secret);
        assert_eq!(a.secret.len(), 47);
        assert_eq!(a.hash, hash(&a.secret));
        assert!(!format!("{a:?}").contains(&a.secret));
    }

    #[test]
    fn scopes_cover_only_what_they_hold() {
        let usual = Scopes::usual();
        assert!(usual.allow(Scope::Write) && !usual.allow(Scope::Admin));
        assert!(Scopes::all().cover(&usual) && !usual.cover(&Scopes::all()));
        assert_eq!(
            Scopes::parse(["write", " read "]).expect("legal").names(),
            ["read", "write"]
        );
        assert!(Scopes::parse(["root"]).is_err());
        assert!(Scopes::parse([]).is_err());
    }
}
