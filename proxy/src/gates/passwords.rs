//! Checking passwords: argon2id on a small pool of its own, with a deadline, and few wrong ones from one address.
//!
//! The hash comes by the feed. Its cost is bounded here too: a link must not be able to make a proxy's memory its own.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _};
use dashmap::DashMap;
use metrics::counter;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client_ip::network;
use crate::enrich::lower_priority;
use crate::metrics as names;

/// Threads that check. A check takes some 20 ms of a core and 20 MB of memory; redirects need the other cores.
const THREADS: usize = 2;

/// Checks that may wait for a thread: what two threads do within the deadline.
const WAITING: usize = 64;

/// How long a visitor waits for a check.
const DEADLINE: Duration = Duration::from_secs(2);

/// Wrong passwords from one address (of IPv6: one network of 64 bits) within [`WINDOW_MS`].
const MAX_WRONG: u32 = 10;

/// Passwords from one address within [`WINDOW_MS`], right ones included: a check costs as much either way. Many people may
/// share an address.
const MAX_TRIES: u32 = 300;

/// Checks for one address that wait or run at a time: half of what may wait, so that nobody has all of it.
const MAX_AT_ONCE: u32 = 32;

/// Milliseconds in which tries are counted together.
const WINDOW_MS: i64 = 300_000;

/// Addresses remembered; with more the older half goes. Some 3 MB.
const MAX_ADDRESSES: usize = 50_000;

/// Largest memory of a hash, in KiB; most passes over it; most lanes. Twice and more of what control planes choose.
const MAX_MEMORY_KIB: u32 = 64 << 10;
const MAX_PASSES: u32 = 10;
const MAX_LANES: u32 = 4;

/// What became of a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// It is the link's.
    Right,
    /// It is not.
    Wrong,
    /// Too many wrong ones came from this address.
    Limited,
    /// No thread had time for it.
    Busy,
}

struct Job {
    password: Vec<u8>,
    phc: Box<str>,
    answer: oneshot::Sender<bool>,
}

/// The pool, and who has tried how often.
#[derive(Debug)]
pub struct Passwords {
    jobs: Option<SyncSender<Job>>,
    tries: DashMap<IpAddr, Tries>,
}

/// What one address has tried.
#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    /// Beginning of the window.
    since_ms: i64,
    wrong: u32,
    all: u32,
    /// Under way now.
    at_once: u32,
}

/// A check under way, until this is dropped.
struct Underway<'p> {
    passwords: &'p Passwords,
    network: IpAddr,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if let Some(mut tries) = self.passwords.tries.get_mut(&self.network) {
            tries.at_once = tries.at_once.saturating_sub(1);
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Passwords {
    /// Starts the pool. Its threads end when this is dropped.
    ///
    /// # Errors
    /// No thread.
    pub fn start() -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel::<Job>(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for number in 0..THREADS {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || {
                    lower_priority();
                    while work(&waiting) {}
                })?;
        }
        Ok(Self {
            jobs: Some(jobs),
            tries: DashMap::new(),
        })
    }

    /// A pool without threads: every check is refused as busy.
    pub fn none() -> Self {
        Self {
            jobs: None,
            tries: DashMap::new(),
        }
    }

    /// Checks a password that came from `ip`.
    pub async fn check(&self, ip: IpAddr, password: &[u8], phc: &str, now_ms: i64) -> Checked {
        let checked = self.checked(ip, password, phc, now_ms).await;
        let result = match checked {
            Checked::Right => "right",
            Checked::Wrong => "wrong",
            Checked::Limited => "limited",
            Checked::Busy => "busy",
        };
        counter!(names::PASSWORDS, "result" => result).increment(1);
        checked
    }

    async fn checked(&self, ip: IpAddr, password: &[u8], phc: &str, now_ms: i64) -> Checked {
        let network = network(ip);
        // Counted before it is known, so that many at once are no way around the limit.
        let underway = match self.count(network, now_ms) {
            Ok(underway) => underway,
            Err(refused) => return refused,
        };
        let (answer, answered) = oneshot::channel();
        let job = Job {
            password: password.to_vec(),
            phc: phc.into(),
            answer,
        };
        let sent = self.jobs.as_ref().map(|jobs| jobs.try_send(job));
        let right = match sent {
            Some(Ok(())) => timeout(DEADLINE, answered).await,
            _ => {
                self.uncount(network, true);
                return Checked::Busy;
            }
        };
        drop(underway);
        match right {
            Ok(Ok(true)) => {
                self.uncount(network, false);
                Checked::Right
            }
            Ok(Ok(false)) => Checked::Wrong,
            // Nobody has looked at it.
            _ => {
                self.uncount(network, true);
                Checked::Busy
            }
        }
    }

    /// Counts a try as a wrong one, if there may be one more.
    fn count(&self, network: IpAddr, now_ms: i64) -> Result<Underway<'_>, Checked> {
        if self.tries.len() >= MAX_ADDRESSES {
            self.forget(now_ms);
        }
        let mut tries = self.tries.entry(network).or_default();
        if now_ms - tries.since_ms >= WINDOW_MS || tries.all == 0 {
            *tries = Tries {
                since_ms: now_ms,
                at_once: tries.at_once,
                ..Tries::default()
            };
        }
        if tries.wrong >= MAX_WRONG || tries.all >= MAX_TRIES {
            return Err(Checked::Limited);
        }
        if tries.at_once >= MAX_AT_ONCE {
            return Err(Checked::Busy);
        }
        tries.wrong += 1;
        tries.all += 1;
        tries.at_once += 1;
        drop(tries);
        Ok(Underway {
            passwords: self,
            network,
        })
    }

    /// Makes room: who tried long ago goes, and if that is not enough, whoever tried before half of the others.
    fn forget(&self, now_ms: i64) {
        self.tries
            .retain(|_, tries| now_ms - tries.since_ms < WINDOW_MS);
        if self.tries.len() < MAX_ADDRESSES {
            return;
        }
        let mut begun: Vec<i64> = self.tries.iter().map(|tries| tries.since_ms).collect();
        let middle = begun.len() / 2;
        if begun.is_empty() {
            return;
        }
        let (_, middle, _) = begun.select_nth_unstable(middle);
        let middle = *middle;
        self.tries.retain(|_, tries| tries.since_ms > middle);
    }

    /// It was no wrong one; `unseen`: nor was it checked.
    fn uncount(&self, network: IpAddr, unseen: bool) {
        if let Some(mut tries) = self.tries.get_mut(&network) {
            tries.wrong = tries.wrong.saturating_sub(1);
            tries.all = tries.all.saturating_sub(u32::from(unseen));
        }
    }
}

/// Does one job; false at the end.
fn work(waiting: &Mutex<Receiver<Job>>) -> bool {
    // A thread that panicked held nothing that could be half done.
    let job = waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .recv();
    let Ok(job) = job else {
        return false;
    };
    // The visitor has given up: so do we.
    if !job.answer.is_closed() {
        let _ = job.answer.send(is_right(&job.password, &job.phc));
    }
    true
}

fn is_right(password: &[u8], phc: &str) -> bool {
    let Ok(hash) = PasswordHash::new(phc) else {
        return false;
    };
    let Ok(params) = Params::try_from(&hash) else {
        return false;
    };
    let bounded = hash.algorithm.as_str() == Algorithm::Argon2id.ident().as_str()
        && params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_PASSES
        && params.p_cost() <= MAX_LANES;
    bounded && Argon2::default().verify_password(password, &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    fn phc(password: &str) -> String {
        let params = Params::new(64, 1, 1, None).expect("small");
        let argon2 = Argon2::new(Algorithm::Argon2id, argon2::Version::V0x13, params);
        let hash: PasswordHash = argon2.hash_password(password.as_bytes()).expect("hash");
        hash.to_string()
    }

    fn check(passwords: &Passwords, ip: &str, password: &str, phc: &str, now_ms: i64) -> Checked {
        let ip = ip.parse().expect("address");
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime")
            .block_on(passwords.check(ip, password.as_bytes(), phc, now_ms))
    }

    #[test]
    fn wrong_passwords_are_limited_by_address() {
        let passwords = Passwords::start().expect("threads");
        let phc = phc("right");
        for _ in 0..20 {
            assert_eq!(
                check(&passwords, "192.0.2.1", "right", &phc, 0),
                Checked::Right
            );
        }
        for _ in 0..MAX_WRONG {
            assert_eq!(
                check(&passwords, "192.0.2.1", "no", &phc, 0),
                Checked::Wrong
            );
        }
        assert_eq!(
            check(&passwords, "192.0.2.1", "right", &phc, 1),
            Checked::Limited
        );
        assert_eq!(
            check(&passwords, "192.0.2.2", "right", &phc, 1),
            Checked::Right
        );
        assert_eq!(
            check(&passwords, "192.0.2.1", "right", &phc, WINDOW_MS),
            Checked::Right
        );
        for n in 0..MAX_WRONG {
            let ip = format!("2001:db8::{n}");
            assert_eq!(check(&passwords, &ip, "no", &phc, 0), Checked::Wrong);
        }
        assert_eq!(
            check(&passwords, "2001:db8::ffff", "right", &phc, 0),
            Checked::Limited
        );
        assert_eq!(
            check(&passwords, "2001:db8:0:1::", "right", &phc, 0),
            Checked::Right
        );
    }

    #[test]
    fn right_passwords_are_limited_too_and_nobody_has_the_pool_alone() {
        let passwords = Passwords::none();
        let ip: IpAddr = "192.0.2.1".parse().expect("address");
        let other: IpAddr = "192.0.2.2".parse().expect("address");
        for _ in 0..MAX_TRIES {
            let underway = passwords.count(ip, 0);
            assert!(underway.is_ok());
            drop(underway);
            passwords.uncount(ip, false);
        }
        assert!(matches!(passwords.count(ip, 0), Err(Checked::Limited)));
        assert!(passwords.count(ip, WINDOW_MS).is_ok());
        // Of those that are under way nothing is known yet, so wrong ones are the first limit.
        let held: Vec<_> = (0..MAX_WRONG).map(|_| passwords.count(other, 0)).collect();
        assert!(held.iter().all(Result::is_ok));
        (0..MAX_WRONG).for_each(|_| passwords.uncount(other, true));
        let more: Vec<_> = (MAX_WRONG..MAX_AT_ONCE)
            .map(|_| {
                let underway = passwords.count(other, 0);
                passwords.uncount(other, true);
                underway
            })
            .collect();
        assert!(more.iter().all(Result::is_ok));
        assert!(matches!(passwords.count(other, 0), Err(Checked::Busy)));
        drop((held, more));
        assert!(passwords.count(other, 0).is_ok());
    }

    #[test]
    fn an_attacker_with_many_networks_does_not_make_us_forget_all() {
        let passwords = Passwords::none();
        for n in 0..MAX_ADDRESSES as u64 + 1 {
            let ip = std::net::Ipv6Addr::from_bits(u128::from(n) << 64).into();
            assert!(passwords.count(ip, n as i64).is_ok());
        }
        let left = passwords.tries.len();
        assert!(
            (MAX_ADDRESSES / 2 - 1..MAX_ADDRESSES).contains(&left),
            "{left}"
        );
    }

    #[test]
    fn hostile_hashes_open_nothing_and_cost_nothing() {
        for hash in [
            "",
            "x",
            "$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=64,t=1000000,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ",
            "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        ] {
            assert!(!is_right(b"right", hash), "{hash}");
        }
        assert!(is_right(b"right", &phc("right")) && !is_right(b"", &phc("right")));
        assert!(is_right("pässword".as_bytes(), &phc("pässword")));
    }

    #[test]
    fn without_a_pool_nothing_opens() {
        assert_eq!(check(&Passwords::none(), "::1", "a", "b", 0), Checked::Busy);
    }
}
