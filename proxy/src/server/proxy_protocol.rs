//! The PROXY protocol, versions 1 and 2: the visitor's address, said by a balancer that passes on bytes and not requests.
//!
//! Format: `proxy-protocol.txt` of HAProxy, 2.1 and 2.2. Pure: bytes in, meaning out. What it deliberately does not do:
//! guess. Whoever is trusted sends a header first, or is no balancer of ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// First bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// First bytes of version 1.
const PROXY: &[u8; 6] = b"PROXY ";

/// ... and of one with addresses, and its least length: `PROXY TCP6 :: :: 1 1` and a line end.
const PROXY_TCP: &[u8] = b"PROXY TCP";
const SHORTEST_TCP: usize = 22;

/// Longest header of version 1, in bytes, line end included.
const MAX_LINE: usize = 107;

/// Fixed part of version 2, in bytes.
const FIXED: usize = 16;

/// Longest rest of version 2 that is taken, in bytes: addresses and what balancers add (AWS and Azure send some 100).
const MAX_REST: usize = 2048;

/// Type of the value that holds a checksum of the header, and of the one about TLS between visitor and balancer.
const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;

/// Bit of the latter: the visitor came over TLS.
const CLIENT_SSL: u8 = 0x01;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Said {
    /// The visitor's address; `None`: the balancer speaks for itself (a health check), or does not know.
    pub(super) visitor: Option<IpAddr>,
    /// The visitor came over TLS.
    pub(super) tls: bool,
}

/// What the front of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// A header of this many bytes.
    Header(Said, usize),
    /// Nothing wrong so far; the header has at least so many bytes more.
    Incomplete(usize),
    /// No header.
    Bad,
}

/// Whether these bytes begin a header, by as many of them as there are.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let begins = |with: &[u8]| {
        let seen = bytes.len().min(with.len());
        bytes.get(..seen) == with.get(..seen)
    };
    !bytes.is_empty() && (begins(PROXY) || begins(SIGNATURE))
}

/// Reads the header at the front.
pub(super) fn read(bytes: &[u8]) -> Read {
    if bytes.is_empty() {
        return Read::Incomplete(SIGNATURE.len());
    }
    if !begins(bytes) {
        return Read::Bad;
    }
    if bytes.first() == PROXY.first() {
        return line(bytes);
    }
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Read::Incomplete(FIXED - bytes.len());
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if command >> 4 != 2 || length > MAX_REST {
        return Read::Bad;
    }
    let Some(rest) = rest.get(..length) else {
        return Read::Incomplete(length - rest.len());
    };
    let header = bytes.get(..FIXED + length).unwrap_or_default();
    match binary(command & 0xf, family, rest, header) {
        Some(said) => Read::Header(said, FIXED + length),
        None => Read::Bad,
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.
fn line(bytes: &[u8]) -> Read {
    let window = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', window) else {
        return match bytes.len() {
            // A line end, at least.
            0..MAX_LINE if bytes.ends_with(b"\r") => Read::Incomplete(1),
            seen @ 0..MAX_LINE if bytes.starts_with(PROXY_TCP) => {
                Read::Incomplete(SHORTEST_TCP.saturating_sub(seen).max(2))
            }
            0..MAX_LINE => Read::Incomplete(2),
            _ => Read::Bad,
        };
    };
    let said = window
        .get(..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| std::str::from_utf8(line).ok())
        .and_then(words);
    match said {
        Some(said) => Read::Header(said, end + 1),
        None => Read::Bad,
    }
}

fn words(line: &str) -> Option<Said> {
    let mut words = line.split(' ');
    words.next().filter(|word| *word == "PROXY")?;
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be ignored.
        return Some(Said {
            visitor: None,
            tls: false,
        });
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source, _): (IpAddr, IpAddr) = match family {
        "TCP4" => (
            source.parse::<Ipv4Addr>().ok()?.into(),
            destination.parse::<Ipv4Addr>().ok()?.into(),
        ),
        "TCP6" => (
            source.parse::<Ipv6Addr>().ok()?.into(),
            destination.parse::<Ipv6Addr>().ok()?.into(),
        ),
        _ => return None,
    };
    for port in [words.next()?, words.next()?] {
        let plain = port.bytes().all(|b| b.is_ascii_digit());
        port.parse::<u16>().ok().filter(|_| plain)?;
    }
    words.next().is_none().then(|| Said {
        visitor: Some(source.to_canonical()),
        tls: false,
    })
}

fn binary(command: u8, family: u8, rest: &[u8], header: &[u8]) -> Option<Said> {
    // LOCAL: a connection of the balancer's own; what it says of addresses is to be ignored.
    match command {
        0 => {
            return Some(Said {
                visitor: None,
                tls: false,
            });
        }
        1 => {}
        _ => return None,
    }
    // Source, destination, two ports; the length of each address and of all.
    let (visitor, addresses): (Option<IpAddr>, usize) = match family {
        // UNSPEC
        0x00 => (None, 0),
        // TCP and UDP over IPv4
        0x11 | 0x12 => {
            let octets = *rest.first_chunk::<4>()?;
            (Some(Ipv4Addr::from(octets).into()), 12)
        }
        // The same over IPv6
        0x21 | 0x22 => {
            let octets = *rest.first_chunk::<16>()?;
            (Some(Ipv6Addr::from(octets).to_canonical()), 36)
        }
        // Unix sockets
        0x31 | 0x32 => (None, 216),
        _ => return None,
    };
    let values = rest.get(addresses..)?;
    let tls = values_say_tls(values, header)?;
    Some(Said { visitor, tls })
}

/// Reads the values behind the addresses; `None`: they are malformed, or the checksum is wrong.
fn values_say_tls(mut values: &[u8], header: &[u8]) -> Option<bool> {
    let mut tls = false;
    while let Some((head, rest)) = values.split_first_chunk::<3>() {
        let [kind, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = rest.get(..length)?;
        values = rest.get(length..)?;
        match kind {
            TYPE_CRC32C => {
                let given = u32::from_be_bytes(value.try_into().ok()?);
                let after = values.len();
                let before = header.len().checked_sub(after + 4)?;
                // Over the whole header, the checksum itself as zeros.
                let sum = crc32c::crc32c(header.get(..before)?);
                let sum = crc32c::crc32c_append(sum, &[0; 4]);
                let sum = crc32c::crc32c_append(sum, values);
                if sum != given {
                    return None;
                }
            }
            TYPE_SSL => tls = value.first()? & CLIENT_SSL != 0,
            _ => {}
        }
    }
    values.is_empty().then_some(tls)
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "no hostile bytes reach a test"
)]
mod tests;
