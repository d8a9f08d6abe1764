//! Signing in with a password: counted per address and per account, with one answer for everything that is wrong.

use std::net::IpAddr;

use crate::app::App;
use crate::domain::key;
use crate::metrics;
use crate::rate::{RateLimiter, Who, Window};
use crate::store::users;

/// Length of the windows below, in seconds.
const WINDOW: i64 = 15 * 60;

/// Wrong passwords that an address (an IPv6 /64) may send in a window: an office behind one address mistypes less.
const PER_ADDRESS: i64 = 30;

/// Wrong passwords that may be sent for one account in a window, from wherever: at this rate a word list of a thousand
/// takes most of a day. Who is kept out so has one-time URLs of the administrator.
const PER_ACCOUNT: i64 = 10;

/// Counts of wrong passwords. In this process alone, as [`crate::rate`] says of calls.
#[derive(Debug)]
pub(crate) struct Attempts(RateLimiter);

impl Default for Attempts {
    fn default() -> Self {
        Self(RateLimiter::by(Window::Fixed(WINDOW)))
    }
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// Name, address or password.
    #[error("The name or the password is wrong.")]
    Wrong,
    /// Too many wrong ones.
    #[error("Too many attempts. Try again in {} minutes.", .0 / 60 + 1)]
    TooMany(i64),
    /// Ours.
    #[error("Something went wrong here. Try again later.")]
    Failed(#[from] anyhow::Error),
}

/// The user of this address or name, if the password is right.
pub(crate) async fn sign_in(
    app: &App,
    ip: IpAddr,
    login: &str,
    password: String,
) -> Result<i64, SignInError> {
    let now_ms = app.clock.now_ms();
    let login = login.trim();
    let found = if login.contains('\0') {
        None
    } else {
        let found = users::credentials(&app.store, login).await;
        found.map_err(anyhow::Error::new)?
    };
    let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), hash));
    // By what was typed, so that accounts that do not exist are counted alike, or the count would tell; and by the account,
    // which can be tried by its name and by its address.
    let mut windows = vec![
        (Who::address(ip), PER_ADDRESS),
        (counted("name", &login.to_lowercase()), PER_ACCOUNT),
    ];
    windows.extend(user.map(|user| (counted("user", &user.to_string()), PER_ACCOUNT)));
    // Counted before the check: many at once get no more tries than one after the other.
    for (place, (who, limit)) in windows.iter().copied().enumerate() {
        let verdict = app.attempts.0.count(who, limit, now_ms);
        if !verdict.allowed {
            for (who, _) in windows.iter().take(place) {
                app.attempts.0.give_back(*who);
            }
            metrics::sign_in("limited");
            return Err(SignInError::TooMany(
                (verdict.reset - now_ms.div_euclid(1000)).max(1),
            ));
        }
    }
    let right = app.passwords.verify(password, hash).await?;
    match user.filter(|_| right) {
        Some(user) => {
            for (who, _) in windows {
                app.attempts.0.give_back(who);
            }
            metrics::sign_in("done");
            Ok(user)
        }
        None => {
            metrics::sign_in("wrong");
            Err(SignInError::Wrong)
        }
    }
}

fn counted(what: &str, value: &str) -> Who {
    let digest = key::hash(&format!("{what} {value}"));
    let first = digest.iter().take(8);
    Who::Account(first.fold(0, |n, b| (n << 8) | u64::from(*b)))
}
