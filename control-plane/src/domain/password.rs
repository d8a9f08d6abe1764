//! Passwords of people: argon2id, never kept in any other form.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

use super::field::FieldError;

/// Shortest password in characters.
pub const MIN_CHARACTERS: usize = 8;

/// Longest password in bytes: hashing time must not be the caller's choice.
pub const MAX_BYTES: usize = 1024;

/// What is tried first, of eight characters and more, in lower case: the head of every list of leaked passwords.
const COMMON: [&str; 40] = [
    "password",
    "password1",
    "password12",
    "password123",
    "password1234",
    "password!",
    "passw0rd",
    "p@ssw0rd",
    "12345678",
    "123456789",
    "1234567890",
    "12345678910",
    "0123456789",
    "987654321",
    "87654321",
    "0987654321",
    "123123123",
    "12341234",
    "12344321",
    "11223344",
    "1q2w3e4r",
    "1q2w3e4r5t",
    "1qaz2wsx",
    "q1w2e3r4",
    "qwertyui",
    "qwertyuiop",
    "qwerty123",
    "qwerty12",
    "asdfghjkl",
    "zxcvbnm1",
    "iloveyou",
    "sunshine",
    "princess",
    "football",
    "baseball",
    "superman",
    "trustno1",
    "letmein1",
    "changeme",
    "welcome1",
];

/// Checks the rules for a new password.
///
/// # Errors
/// Too short, too long, or one that everybody tries first.
pub fn check(field: &str, password: &str) -> Result<(), FieldError> {
    if password.chars().count() < MIN_CHARACTERS {
        return Err(FieldError::new(
            field,
            format!("must be at least {MIN_CHARACTERS} characters long"),
        ));
    }
    let plain = password.to_ascii_lowercase();
    if COMMON.contains(&plain.as_str()) || plain.chars().all(|c| plain.starts_with(c)) {
        return Err(FieldError::new(
            field,
            "must not be one of the passwords that everybody tries first",
        ));
    }
    if password.len() > MAX_BYTES {
        return Err(FieldError::new(
            field,
            format!("must be at most {MAX_BYTES} bytes long"),
        ));
    }
    Ok(())
}

/// Checks the password of a link or file: as short as its owner likes, since guessing goes through the proxy, which counts
/// the attempts.
///
/// # Errors
/// Too long, or with characters that no form sends.
pub fn check_gate(field: &str, password: &str) -> Result<(), FieldError> {
    if password.len() > MAX_BYTES {
        return Err(FieldError::new(
            field,
            format!("must be at most {MAX_BYTES} bytes long"),
        ));
    }
    if password.chars().any(char::is_control) {
        return Err(FieldError::new(field, "must not hold control characters"));
    }
    Ok(())
}

/// The argon2id hash with a fresh salt, in PHC form. Takes tens of milliseconds: not on a thread that serves.
///
/// # Errors
/// The system has no randomness.
pub fn hash(password: &str) -> anyhow::Result<String> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| anyhow::anyhow!("cannot hash a password: {e}"))?;
    Ok(hash.to_string())
}

/// Whether `password` is the one behind `hash`.
pub fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_opens() {
        let stored = hash("correct horse").expect("hashed");
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(verify("correct horse", &stored));
        assert!(!verify("correct horsf", &stored));
        assert!(!verify("correct horse", "not a hash"));
        assert!(check("password", "1234567").is_err());
        assert!(check("password", &"x".repeat(2000)).is_err());
        assert!(check("password", "PassWord123").is_err());
        assert!(check("password", "aaaaaaaaaaaa").is_err());
        assert!(check("password", "correct horse").is_ok());
    }
}
