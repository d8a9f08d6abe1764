//! Calls a minute or an hour, per key and, for calls without a valid key, per client address.
//!
//! A fixed window begins with its first call and lasts its time, rounded to whole seconds, so that `X-RateLimit-Reset` is
//! the very second at which calls succeed again. A rolling one holds the calls of the last seconds, each until its own
//! time is over; there it is the second at which the oldest leaves. Refused calls neither extend a window nor count
//! against the next one.
//!
//! Counts live in this process: with *n* control planes behind one address a key gets at most *n* times its rate, and a
//! restart begins all windows anew. A shared table would cost each call a write.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};

use dashmap::DashMap;

use crate::store::keys::KeyRow;

/// How calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// For this many seconds from the first call on.
    Fixed(i64),
    /// Over the last so many seconds.
    Rolling(i64),
}

/// A fixed minute.
pub(crate) const MINUTE: Window = Window::Fixed(60);

/// Calls a minute of a client without a valid key.
pub(crate) const ANONYMOUS: i64 = 30;

/// Calls a minute of a client to where apps get their tokens: one server of an app calls for all of its users. What it
/// guesses at there has 256 bits.
pub(crate) const FOR_TOKENS: i64 = 300;

/// Calls a minute of a key: its own rate, else that of the plan.
pub(crate) fn of_key(key: &KeyRow) -> i64 {
    key.rate_per_minute.unwrap_or(key.plan_rate)
}

/// What an unlimited key is told: clients parse the headers as numbers.
pub(crate) const UNLIMITED: i64 = 1_000_000_000;

/// Windows kept before old ones are swept out; a window is 100 bytes, so this bounds the memory a flood of addresses can
/// take to some megabytes.
const MAX_WINDOWS: usize = 100_000;

/// Whose calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// A key.
    Key(i64),
    /// An app for one of its users.
    App {
        /// Its id.
        client: i64,
        /// Of the user.
        user: i64,
    },
    /// An account that somebody tries to sign in to, by part of the hash of its name: it need not exist.
    Account(u64),
    /// An IPv4 address or an IPv6 /64: one customer.
    Address(IpAddr),
    /// As [`Self::Address`], where apps get their tokens.
    Tokens(IpAddr),
    /// Every address that found no room.
    Others,
}

impl Who {
    /// The same address where apps get their tokens.
    pub(crate) fn for_tokens(self) -> Self {
        match self {
            Self::Address(ip) => Self::Tokens(ip),
            other => other,
        }
    }

    /// The client at this address.
    pub(crate) fn address(ip: IpAddr) -> Self {
        Self::Address(match ip.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => {
                let mask = Ipv6Addr::from_bits(!0 << 64);
                IpAddr::V6(v6 & mask)
            }
        })
    }
}

/// What a call is told of its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Calls a window.
    pub(crate) limit: i64,
    /// Calls left in it.
    pub(crate) remaining: i64,
    /// UNIX second at which it ends.
    pub(crate) reset: i64,
    /// This call is one of them.
    pub(crate) allowed: bool,
}

#[derive(Debug, Default)]
struct Calls {
    reset: i64,
    used: i64,
    /// Of a rolling window: the seconds in which there were calls, with their number, the oldest first.
    seconds: VecDeque<(i64, i64)>,
}

impl Calls {
    /// Forgets what is over at `now`.
    fn advance(&mut self, window: Window, now: i64) {
        match window {
            // A window that ends too far ahead is from before the clock was set back.
            Window::Fixed(length) if now >= self.reset || self.reset > now + length => {
                self.reset = now + length;
                self.used = 0;
            }
            Window::Fixed(_) => {}
            Window::Rolling(length) => {
                self.seconds
                    .retain(|(second, _)| now < second + length && *second <= now);
                self.used = self.seconds.iter().map(|(_, calls)| calls).sum();
                self.reset = self.seconds.front().map_or(now, |(second, _)| *second) + length;
            }
        }
    }

    fn take(&mut self, window: Window, now: i64) {
        self.used += 1;
        if let Window::Rolling(_) = window {
            match self.seconds.back_mut() {
                Some((second, calls)) if *second == now => *calls += 1,
                _ => self.seconds.push_back((now, 1)),
            }
        }
    }

    fn give_back(&mut self) {
        self.used = (self.used - 1).max(0);
        if let Some((_, calls)) = self.seconds.back_mut() {
            *calls = (*calls - 1).max(0);
        }
    }
}

/// All windows.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    calls: DashMap<Who, Calls>,
    window: Window,
}

impl Default for RateLimiter {
    fn default() -> Self {
        Self::by(MINUTE)
    }
}

impl RateLimiter {
    /// With windows of this kind.
    pub(crate) fn by(window: Window) -> Self {
        Self {
            calls: DashMap::new(),
            window,
        }
    }

    /// Takes back one call of `who`, which turned out to be none that should count.
    pub(crate) fn give_back(&self, who: Who) {
        if let Some(mut calls) = self.calls.get_mut(&who) {
            calls.give_back();
        }
    }

    /// Counts a call of `who`, who may make `limit` of them a window (0: without limit).
    pub(crate) fn count(&self, who: Who, limit: i64, now_ms: i64) -> Verdict {
        let now = now_ms.div_euclid(1000);
        if limit <= 0 {
            return Verdict {
                limit: UNLIMITED,
                remaining: UNLIMITED,
                reset: now + self.length(),
                allowed: true,
            };
        }
        let who = self.room(who, now);
        let mut calls = self.calls.entry(who).or_default();
        calls.advance(self.window, now);
        let allowed = calls.used < limit;
        if allowed {
            calls.take(self.window, now);
        }
        Verdict {
            limit,
            // Less than nothing after a change to a smaller plan.
            remaining: (limit - calls.used).max(0),
            reset: calls.reset,
            allowed,
        }
    }

    /// In seconds.
    fn length(&self) -> i64 {
        match self.window {
            Window::Fixed(seconds) | Window::Rolling(seconds) => seconds,
        }
    }

    /// `who`, if it has a window or there is room for one.
    fn room(&self, who: Who, now: i64) -> Who {
        if self.calls.len() < MAX_WINDOWS
            || self.calls.contains_key(&who)
            || matches!(who, Who::Key(_) | Who::App { .. })
        {
            return who;
        }
        let length = self.length();
        self.calls.retain(|_, calls| match calls.seconds.back() {
            Some((second, _)) => second + length > now,
            None => calls.reset > now,
        });
        if self.calls.len() < MAX_WINDOWS {
            who
        } else {
            Who::Others
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_its_limit_and_refused_calls_change_nothing() {
        let limiter = RateLimiter::default();
        let who = Who::Key(1);
        for left in (0..30).rev() {
            let verdict = limiter.count(who, 30, 10_500);
            assert_eq!(
                (verdict.allowed, verdict.remaining, verdict.reset),
                (true, left, 70)
            );
        }
        for _ in 0..100 {
            let verdict = limiter.count(who, 30, 69_999);
            assert_eq!(
                (verdict.allowed, verdict.remaining, verdict.reset),
                (false, 0, 70)
            );
        }
        assert_eq!(limiter.count(who, 30, 70_000).remaining, 29);
        assert!(limiter.count(Who::Key(2), 1, 10_500).allowed);
    }

    #[test]
    fn a_rolling_window_lets_each_call_go_when_its_time_is_over() {
        let limiter = RateLimiter::by(Window::Rolling(60));
        let call = |second: i64| {
            let verdict = limiter.count(Who::Key(1), 3, second * 1000);
            (verdict.allowed, verdict.remaining, verdict.reset)
        };
        assert_eq!(call(100), (true, 2, 160));
        assert_eq!(call(130), (true, 1, 160));
        assert_eq!(call(130), (true, 0, 160));
        assert_eq!(call(159), (false, 0, 160));
        // The first call is over, the two others are not.
        assert_eq!(call(160), (true, 0, 190));
        assert_eq!(call(189), (false, 0, 190));
        assert_eq!(call(190), (true, 1, 220));
        limiter.give_back(Who::Key(1));
        assert_eq!(call(191), (true, 1, 220));
        // The clock was set back.
        assert_eq!(call(50), (true, 2, 110));
    }

    #[test]
    fn a_network_counts_as_one_client_and_mapped_addresses_as_themselves() {
        let who = |text: &str| Who::address(text.parse().expect("address"));
        assert_eq!(who("2001:db8::1"), who("2001:db8::ffff"));
        assert_ne!(who("2001:db8::1"), who("2001:db8:0:1::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory() {
        let limiter = RateLimiter::default();
        for n in 0..u32::try_from(MAX_WINDOWS).expect("small") + 5000 {
            limiter.count(Who::address(std::net::Ipv4Addr::from_bits(n).into()), 30, 0);
        }
        assert!(limiter.calls.len() <= MAX_WINDOWS + 1);
        assert!(limiter.count(Who::Key(1), 30, 0).allowed);
    }

    #[test]
    fn an_unlimited_key_is_told_a_number() {
        let verdict = RateLimiter::default().count(Who::Key(1), 0, 5000);
        assert_eq!(
            (verdict.limit, verdict.remaining, verdict.reset),
            (UNLIMITED, UNLIMITED, 65)
        );
    }
}
