//! Every setting of the proxy, read once.

mod limits;
mod tls;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use kafka::Kafka;
use schemas::names::files;
use schemas::settings::{Secret, Settings};

pub use self::limits::Limits;
pub use self::tls::{Pair, Tls};
use crate::ring::RING_BYTES;

/// Most serving threads: the stream's worker number must stay small, and no machine of today has more use for them.
const MAX_WORKERS: u64 = 256;

/// Bounds of the click log, in bytes. Below, a few segments fill it.
const CLICK_LOG_BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=1 << 50;

/// Bounds of the copies of blobs, in bytes. Below, a handful fills it.
const BLOB_CACHE_BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=1 << 50;

/// Bounds of the shipper's pace, in bytes a second. Below, a few hundred clicks a second would not get through.
const SHIP_BYTES_PER_SECOND: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 40;

/// What the proxy is told from outside.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where visitors come in. Port 0 takes a free one.
    pub addr: SocketAddr,
    /// Serving threads, one ring each.
    pub workers: usize,
    /// Limits on what clients may do.
    pub limits: Limits,
    /// Where visitors come in over TLS, and with which certificates; `None`: they do not.
    pub tls: Option<Tls>,
    /// Peers whose `X-Forwarded-For` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Those peers send a header of the PROXY protocol before anything else (`SIGNPOST_PROXY_PROTOCOL`).
    pub proxy_protocol: bool,
    /// Folder for everything that is kept.
    pub data_dir: PathBuf,
    /// Where the link table comes from.
    pub feed: Feed,
    /// Parent of the ring folder; should be in memory.
    pub ring_dir: PathBuf,
    /// Size of one ring, in bytes.
    pub ring_bytes: u64,
    /// Bound of the copies of blobs on disk, in bytes (`SIGNPOST_BLOB_CACHE_BYTES`).
    pub blob_cache_bytes: u64,
    /// The uploads folder, where files are read from when they lie on this machine; `None`: they lie in a bucket.
    pub files: Option<PathBuf>,
    /// Folder of the click log.
    pub click_log_dir: PathBuf,
    /// Bound of the click log, in bytes.
    pub click_log_bytes: u64,
    /// Where the click log is shipped to; `None`: ingest reads it in place.
    pub kafka: Option<Kafka>,
    /// Bytes of the click log shipped a second at most (`SIGNPOST_SHIP_BYTES_PER_SECOND`): catching up after an outage
    /// leaves room on the brokers for other proxies' clicks.
    pub ship_bytes_per_second: u64,
    /// Geo databases (mmdb), asked in turn.
    pub geo_db: Vec<PathBuf>,
    /// What of an address may be kept.
    pub ip_policy: IpPolicy,
    /// How long a visitor counts as the same one.
    pub unique_period: UniquePeriod,
}

/// Where the link table comes from.
#[derive(Debug, Clone)]
pub struct Feed {
    /// Control planes, tried in turn.
    pub urls: Vec<FeedUrl>,
    /// The token; `None`: read from `<data-dir>/feed.token`, waiting until it is there.
    pub token: Option<Secret>,
}

/// Address of a control plane's feed. Cleartext, so on this machine only: salts travel in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedUrl {
    /// `Host` header and address to connect to, `host:port`.
    pub authority: String,
}

impl FeedUrl {
    /// Reads `http://<loopback address or localhost>[:port][/]`.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let authority: http::uri::Authority = rest.parse().ok()?;
        if authority.as_str().contains('@') {
            return None;
        }
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = host.eq_ignore_ascii_case("localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let port: u16 = match authority.as_str().strip_prefix(host)? {
            "" => 80,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        loopback.then(|| Self {
            authority: format!("{host}:{port}"),
        })
    }

    /// The control plane beside us. Where it listens on all addresses it is asked on the loopback one.
    pub fn of_api(mut addr: SocketAddr) -> Self {
        if addr.ip().is_unspecified() {
            addr.set_ip(match addr.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Self {
            authority: addr.to_string(),
        }
    }
}

/// What of a visitor's address may be kept with a click.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpPolicy {
    /// All of it.
    Full,
    /// Its network: /24 of IPv4, /48 of IPv6.
    #[default]
    Truncate,
    /// Nothing.
    None,
}

/// How long a visitor counts as the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UniquePeriod {
    /// A UTC day.
    Day,
    /// A UTC month.
    #[default]
    Month,
}

impl Config {
    /// Reads all settings; mistakes are noted in `settings` and replaced by defaults.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let data_dir = PathBuf::from(settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"));
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        let workers = settings.number(
            "SIGNPOST_PROXY_WORKERS",
            cores.min(MAX_WORKERS),
            1..=MAX_WORKERS,
        );
        let path = |settings: &Settings, name| settings.text(name).map(PathBuf::from);
        let addr = settings.parsed(
            "SIGNPOST_PROXY_ADDR",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            "an address and port, e.g. 0.0.0.0:8080",
        );
        let trusted_proxies = settings.list_with(
            "SIGNPOST_TRUSTED_PROXIES",
            "a list of addresses or networks, e.g. 10.0.0.0/8,::1",
            parse_network,
        );
        let proxy_protocol = settings.switch("SIGNPOST_PROXY_PROTOCOL", false);
        if proxy_protocol && trusted_proxies.is_empty() {
            settings.reject(
                "SIGNPOST_PROXY_PROTOCOL",
                "on",
                "off, unless SIGNPOST_TRUSTED_PROXIES names those who speak it",
            );
        }
        Self {
            addr,
            workers: workers as usize,
            limits: Limits::from_settings(settings),
            tls: Tls::from_settings(settings, addr),
            trusted_proxies,
            proxy_protocol,
            feed: Feed::from_settings(settings),
            ring_dir: path(settings, "SIGNPOST_RING_DIR")
                .unwrap_or_else(|| PathBuf::from("/dev/shm")),
            ring_bytes: settings.bytes("SIGNPOST_RING_BYTES", 32 << 20, RING_BYTES),
            blob_cache_bytes: settings.bytes(
                "SIGNPOST_BLOB_CACHE_BYTES",
                1 << 30,
                BLOB_CACHE_BYTES,
            ),
            // Whether it makes sense is the control plane's to say.
            files: match settings.text("SIGNPOST_FILES") {
                None => Some(data_dir.join(files::UPLOADS)),
                Some(text) if text.contains("://") => None,
                Some(text) => Some(PathBuf::from(text)),
            },
            click_log_dir: path(settings, "SIGNPOST_CLICK_LOG_DIR")
                .unwrap_or_else(|| data_dir.join(files::CLICKS)),
            click_log_bytes: settings.bytes("SIGNPOST_CLICK_LOG_BYTES", 8 << 30, CLICK_LOG_BYTES),
            kafka: Kafka::from_settings(settings),
            ship_bytes_per_second: settings.bytes(
                "SIGNPOST_SHIP_BYTES_PER_SECOND",
                32 << 20,
                SHIP_BYTES_PER_SECOND,
            ),
            geo_db: settings.list_with("SIGNPOST_GEO_DB", "a list of paths", |p| {
                (!p.is_empty()).then(|| PathBuf::from(p))
            }),
            ip_policy: settings
                .parsed_with(
                    "SIGNPOST_IP_POLICY",
                    "full, truncate or none",
                    |text| match text {
                        "full" => Some(IpPolicy::Full),
                        "truncate" => Some(IpPolicy::Truncate),
                        "none" => Some(IpPolicy::None),
                        _ => None,
                    },
                )
                .unwrap_or_default(),
            unique_period: settings
                .parsed_with(
                    "SIGNPOST_UNIQUE_PERIOD",
                    "day or month",
                    |text| match text {
                        "day" => Some(UniquePeriod::Day),
                        "month" => Some(UniquePeriod::Month),
                        _ => None,
                    },
                )
                .unwrap_or_default(),
            data_dir,
        }
    }
}

impl Feed {
    fn from_settings(settings: &mut Settings) -> Self {
        let api = settings.parsed(
            "SIGNPOST_API_ADDR",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            "an address and port, e.g. 127.0.0.1:8081",
        );
        let mut urls = settings.list_with(
            "SIGNPOST_FEED_URL",
            "a list of http://<loopback address>:<port> (the feed holds secrets: reach another machine through a TLS tunnel)",
            FeedUrl::parse,
        );
        if urls.is_empty() {
            urls.push(FeedUrl::of_api(api));
        }
        Self {
            urls,
            token: settings
                .text("SIGNPOST_FEED_TOKEN")
                .map(|t| Secret(t.to_owned())),
        }
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_legal() {
        let mut settings = Settings::default();
        let config = Config::from_settings(&mut settings);
        settings.check().expect("no mistakes");
        assert_eq!(
            config.feed.urls,
            [FeedUrl::parse("http://127.0.0.1:8081").expect("legal")]
        );
        assert_eq!(config.click_log_dir, PathBuf::from("./data/clicks"));
        assert_eq!(config.ring_dir, PathBuf::from("/dev/shm"));
    }

    #[test]
    fn every_mistake_is_reported() {
        let mut settings = Settings::new([
            ("SIGNPOST_PROXY_ADDR", "here"),
            ("SIGNPOST_PROXY_WORKERS", "0"),
            ("SIGNPOST_PROXY_MAX_HEADER_BYTES", "1"),
            ("SIGNPOST_PROXY_HEADER_SECONDS", "0"),
            ("SIGNPOST_PROXY_WRITE_SECONDS", "-1"),
            ("SIGNPOST_PROXY_IDLE_SECONDS", "x"),
            ("SIGNPOST_PROXY_DRAIN_SECONDS", "1h"),
            ("SIGNPOST_PROXY_MAX_CONNECTIONS", "0"),
            ("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "0"),
            ("SIGNPOST_PROXY_MAX_HEADERS", "101"),
            ("SIGNPOST_PROXY_MAX_REQUEST_LINE_BYTES", "1"),
            ("SIGNPOST_PROXY_MAX_BODY_BYTES", "1GiB"),
            ("SIGNPOST_PROXY_MAX_PIPELINED", "0"),
            ("SIGNPOST_PROXY_PROTOCOL", "on"),
            ("SIGNPOST_TLS_CERT", "a.pem"),
            ("SIGNPOST_TLS_ADDR", "443"),
            ("SIGNPOST_TRUSTED_PROXIES", "10.0.0.0/33"),
            ("SIGNPOST_API_ADDR", "nowhere"),
            ("SIGNPOST_FEED_URL", "http://example.com:8081"),
            ("SIGNPOST_RING_BYTES", "1"),
            ("SIGNPOST_CLICK_LOG_BYTES", "1"),
            ("SIGNPOST_KAFKA_BROKERS", "here"),
            ("SIGNPOST_SHIP_BYTES_PER_SECOND", "1"),
            ("SIGNPOST_IP_POLICY", "some"),
            ("SIGNPOST_UNIQUE_PERIOD", "year"),
        ]);
        let _ = Config::from_settings(&mut settings);
        assert_eq!(settings.check().expect_err("all wrong").0.len(), 25);
    }

    #[test]
    fn the_feed_is_cleartext_on_this_machine_only() {
        for good in [
            "http://127.0.0.1:1",
            "http://localhost:8081/",
            "http://[::1]:80",
        ] {
            assert!(FeedUrl::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:1",
            "https://127.0.0.1",
            "http://10.0.0.1:8081",
            "http://127.0.0.1.evil.test:1",
            "http://u:p@127.0.0.1:1",
            "http://127.0.0.1:1/path",
            "http://127.0.0.1:99999",
        ] {
            assert!(FeedUrl::parse(bad).is_none(), "{bad}");
        }
        let any: SocketAddr = "0.0.0.0:8081".parse().expect("address");
        assert_eq!(FeedUrl::of_api(any).authority, "127.0.0.1:8081");
    }
}
