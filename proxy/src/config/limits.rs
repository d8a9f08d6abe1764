//! Limits on what clients may do.

use std::time::Duration;

use schemas::settings::Settings;

/// Largest value of any time limit, in seconds.
const MAX_SECONDS: u64 = 86_400;

/// Header lines hyper has room for.
const MAX_HEADERS: u64 = 100;

/// Most connections that are allowed unasked: at some 2 KiB each, idle and in cleartext, they then take no more memory than a
/// small machine has.
const MOST_CONNECTIONS: usize = 100_000;

/// Descriptors that are left for everything else: downloads (two each, 1,000 of them), files, the feed.
const OTHER_DESCRIPTORS: usize = 2_500;

/// Descriptors that are left for everything else where more connections are asked for than there are descriptors.
const LEAST_OTHER: usize = 256;

/// Share of all connections, in percent, from which on there are many: then idle ones make room sooner.
const MANY_PERCENT: usize = 80;

/// How long a connection may be idle, and a head may take, while there are many: an attacker with few addresses fills all
/// places by a request a minute, and honest visitors come back by a new one.
const IDLE_OF_MANY: Duration = Duration::from_secs(5);
const HEAD_OF_MANY: Duration = Duration::from_secs(5);

/// Connections that one address is allowed unasked, of half of all at most: an office or a mobile network shares one.
const LEAST_PER_ADDRESS: usize = 1_000;

/// Limits on what clients may do.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest request head, in bytes (`SIGNPOST_PROXY_MAX_HEADER_BYTES`).
    pub header_bytes: usize,
    /// Most header lines of a request (`SIGNPOST_PROXY_MAX_HEADERS`).
    pub headers: usize,
    /// Longest request line, in bytes without its end (`SIGNPOST_PROXY_MAX_REQUEST_LINE_BYTES`).
    pub request_line_bytes: usize,
    /// Largest body, in bytes (`SIGNPOST_PROXY_MAX_BODY_BYTES`), whether it is read (forms) or not.
    pub body_bytes: u64,
    /// Requests of one connection that are answered in one go (`SIGNPOST_PROXY_MAX_PIPELINED`): then others have their turn.
    pub pipelined: usize,
    /// From the first byte of a request head to its last (`SIGNPOST_PROXY_HEADER_SECONDS`): a client that sends slower
    /// holds memory for nothing.
    pub header: Duration,
    /// A client that takes an answer more slowly than 1 KiB a second, beyond this, is cut off
    /// (`SIGNPOST_PROXY_WRITE_SECONDS`).
    pub write: Duration,
    /// A connection without a request is closed after this (`SIGNPOST_PROXY_IDLE_SECONDS`).
    pub idle: Duration,
    /// Connections of all workers (`SIGNPOST_PROXY_MAX_CONNECTIONS`); more are closed at once. `None`: as many as the process
    /// may have descriptors for.
    pub connections: Option<usize>,
    /// Connections of one address, of a /64 with IPv6 (`SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS`); more are closed at once.
    /// `None`: a quarter of all. Trusted proxies have no limit of their own.
    pub per_address: Option<usize>,
    /// TLS handshakes a second of one address, of a /64 with IPv6 (`SIGNPOST_PROXY_MAX_HANDSHAKES_PER_SECOND`), and four times as many
    /// in a row; connections with more are closed at once. Trusted proxies have no limit.
    pub handshakes: u32,
    /// How long connections may take to finish at the end (`SIGNPOST_PROXY_DRAIN_SECONDS`).
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 << 10,
            headers: 100,
            request_line_bytes: 8 << 10,
            body_bytes: 16 << 10,
            pipelined: 128,
            header: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            connections: None,
            per_address: None,
            handshakes: 50,
            drain: Duration::from_secs(10),
        }
    }
}

impl Limits {
    pub(super) fn from_settings(settings: &mut Settings) -> Self {
        let default = Self::default();
        let mut seconds = |name, default: Duration| {
            Duration::from_secs(settings.number(name, default.as_secs(), 1..=MAX_SECONDS))
        };
        let header = seconds("SIGNPOST_PROXY_HEADER_SECONDS", default.header);
        let write = seconds("SIGNPOST_PROXY_WRITE_SECONDS", default.write);
        let idle = seconds("SIGNPOST_PROXY_IDLE_SECONDS", default.idle);
        let drain = seconds("SIGNPOST_PROXY_DRAIN_SECONDS", default.drain);
        let mut bytes = |name, default: u64, range| settings.bytes(name, default, range);
        // Below 8 KiB hyper refuses to work; above 1 MiB a client costs more than it can be worth.
        let header_bytes = bytes(
            "SIGNPOST_PROXY_MAX_HEADER_BYTES",
            default.header_bytes as u64,
            8 << 10..=1 << 20,
        );
        // Below, a slug of the greatest length would not fit, with a browser's query behind it.
        let request_line_bytes = bytes(
            "SIGNPOST_PROXY_MAX_REQUEST_LINE_BYTES",
            default.request_line_bytes as u64,
            2 << 10..=1 << 20,
        );
        let body_bytes = bytes(
            "SIGNPOST_PROXY_MAX_BODY_BYTES",
            default.body_bytes,
            1 << 10..=1 << 20,
        );
        let mut some = |name, most| {
            // A default that is none of the numbers: it depends on the machine.
            let given = settings.text(name).is_some();
            let number = settings.number(name, 1, 1..=most);
            given.then_some(number as usize)
        };
        let connections = some("SIGNPOST_PROXY_MAX_CONNECTIONS", 10_000_000);
        let per_address = some("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", 10_000_000);
        let headers = some("SIGNPOST_PROXY_MAX_HEADERS", MAX_HEADERS);
        let pipelined = some("SIGNPOST_PROXY_MAX_PIPELINED", 100_000);
        let handshakes = some("SIGNPOST_PROXY_MAX_HANDSHAKES_PER_SECOND", 1_000_000);
        Self {
            header_bytes: header_bytes as usize,
            headers: headers.unwrap_or(default.headers),
            request_line_bytes: request_line_bytes as usize,
            body_bytes,
            pipelined: pipelined.unwrap_or(default.pipelined),
            header,
            write,
            idle,
            connections,
            per_address,
            handshakes: handshakes.map_or(default.handshakes, |some| some as u32),
            drain,
        }
    }

    /// Connections of all workers, where the process may have this many descriptors open.
    pub fn connections(&self, descriptors: usize) -> usize {
        let left = descriptors.saturating_sub(OTHER_DESCRIPTORS);
        let left = left.max(descriptors / 2);
        match self.connections {
            // Beyond it nobody could be accepted, and no file be opened.
            Some(given) => given.min(descriptors.saturating_sub(LEAST_OTHER).max(left)),
            None => left.min(MOST_CONNECTIONS),
        }
        .max(1)
    }

    /// Whether so many connections are many, of this many that are allowed.
    pub fn is_many(open: usize, connections: usize) -> bool {
        open * 100 >= connections * MANY_PERCENT
    }

    /// The limits while there are many connections.
    #[must_use]
    pub fn of_many(self) -> Self {
        Self {
            idle: self.idle.min(IDLE_OF_MANY),
            header: self.header.min(HEAD_OF_MANY),
            ..self
        }
    }

    /// Connections of one address, of this many in all.
    pub fn per_address(&self, connections: usize) -> usize {
        self.per_address
            .unwrap_or_else(|| (connections / 4).max(LEAST_PER_ADDRESS.min(connections / 2)))
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_connections_follows_the_descriptors() {
        let limits = Limits::default();
        for (descriptors, connections) in [
            (0, 1),
            (1024, 512),
            (20_000, 17_500),
            (1 << 30, MOST_CONNECTIONS),
        ] {
            assert_eq!(limits.connections(descriptors), connections);
        }
        assert_eq!(limits.per_address(17_500), 4_375);
        assert_eq!(limits.per_address(3_000), LEAST_PER_ADDRESS);
        // One address never has all.
        assert_eq!((limits.per_address(512), limits.per_address(1)), (256, 1));
        let given = Limits {
            connections: Some(7),
            per_address: Some(3),
            ..limits
        };
        assert_eq!((given.connections(1024), given.per_address(7)), (7, 3));
        let given = Limits {
            connections: Some(10_000),
            ..limits
        };
        assert_eq!(given.connections(4096), 4096 - LEAST_OTHER);
    }
}
