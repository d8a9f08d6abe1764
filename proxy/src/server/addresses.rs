//! Connections and handshakes by address, so that nobody takes all places, nor all of a thread's time.
//!
//! Trusted proxies are not counted: everybody's visitors come through them. Whom they name by the PROXY protocol is. With
//! IPv6 a /64 is one address. A connection costs two look-ups here, a request none.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::time::Instant;

use crate::client_ip::network;

/// Who holds how many connections.
#[derive(Debug)]
pub(super) struct Addresses {
    held: DashMap<IpAddr, usize, foldhash::fast::RandomState>,
    limit: usize,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    addresses: Arc<Addresses>,
    of: IpAddr,
}

impl Addresses {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: DashMap::default(),
            limit,
        })
    }

    /// A place for one more connection of this address, if it may have one.
    pub(super) fn seat(self: &Arc<Self>, ip: IpAddr) -> Option<Seat> {
        let of = network(ip);
        let mut held = self.held.entry(of).or_insert(0);
        if *held >= self.limit {
            return None;
        }
        *held += 1;
        drop(held);
        Some(Seat {
            addresses: Arc::clone(self),
            of,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let held = &self.addresses.held;
        if let Some(mut count) = held.get_mut(&self.of) {
            *count = count.saturating_sub(1);
        }
        held.remove_if(&self.of, |_, count| *count == 0);
    }
}

/// Seconds' worth of handshakes that one address may begin in a row: an office that comes to work.
const IN_A_ROW: u32 = 4;

/// Addresses remembered; with more those that may begin all of theirs are forgotten.
const MAX_REMEMBERED: usize = 50_000;

/// Who has begun how many handshakes of TLS: for each the instant at which it has all of them again. A full one costs a serving
/// thread up to 5 ms (RSA of 4096 bits), a hundred redirects.
#[derive(Debug)]
pub(super) struct Handshakes {
    one_more_after: Duration,
    whole_in: Duration,
    whole_at: DashMap<IpAddr, Instant, foldhash::fast::RandomState>,
}

impl Handshakes {
    /// So many a second of one address.
    pub(super) fn new(a_second: u32) -> Self {
        Self {
            one_more_after: Duration::from_secs(1) / a_second.max(1),
            whole_in: Duration::from_secs(IN_A_ROW.into()),
            whole_at: DashMap::default(),
        }
    }

    /// Whether this address may begin one.
    pub(super) fn may_begin(&self, ip: IpAddr, now: Instant) -> bool {
        if self.whole_at.len() >= MAX_REMEMBERED {
            self.whole_at.retain(|_, whole_at| *whole_at > now);
            if self.whole_at.len() >= MAX_REMEMBERED {
                self.whole_at.clear();
            }
        }
        let mut whole_at = self.whole_at.entry(network(ip)).or_insert(now);
        let next = (*whole_at).max(now) + self.one_more_after;
        if next > now + self.whole_in {
            return false;
        }
        *whole_at = next;
        true
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn handshakes_of_one_address_are_as_many_as_time_allows() {
        let handshakes = Handshakes::new(50);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().expect("address"));
        let now = Instant::now();
        for _ in 0..50 * IN_A_ROW {
            assert!(handshakes.may_begin(one, now));
        }
        assert!(!handshakes.may_begin(one, now));
        assert!(handshakes.may_begin(other, now));
        let later = now + Duration::from_millis(20);
        assert!(handshakes.may_begin(one, later) && !handshakes.may_begin(one, later));
    }

    #[test]
    fn each_address_has_its_places() {
        let addresses = Addresses::new(2);
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let seat = |text| addresses.seat(ip(text));
        let held = [seat("192.0.2.1"), seat("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(seat("192.0.2.1").is_none());
        assert!(seat("192.0.2.2").is_some());
        // One household's /64 is one address, whatever addresses it gives itself.
        let six = [seat("2001:db8::1"), seat("2001:db8::2")];
        assert!(six.iter().all(Option::is_some) && seat("2001:db8::3").is_none());
        assert!(seat("2001:db8:0:1::1").is_some());
        drop((held, six));
        assert!(seat("192.0.2.1").is_some());
        assert!(addresses.held.is_empty());
    }
}
