//! The control plane's settings.

mod files;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemas::names;
use schemas::settings::{Secret, Settings};
use url::Url;

use crate::clock::Clock;
use crate::dns::Txt;
use crate::domain::salt::Period;
use crate::store;

pub use self::files::{FilesConfig, FilesPlace};

/// Shortest administrator's key and feed token that are accepted from the environment, in characters.
const MIN_SECRET: usize = 16;

/// Longest quarantine of a slug in days: a hundred years.
const MAX_QUARANTINE_DAYS: u64 = 36_500;

/// Everything the control plane needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data folder; made when absent.
    pub data_dir: PathBuf,
    /// Where the API listens.
    pub api_addr: SocketAddr,
    /// Where visitors are served; a destination there is a loop.
    pub proxy_addr: SocketAddr,
    /// Scheme, host and port of short URLs on the default domain.
    pub public_url: Url,
    /// Scheme, host and port at which people and apps reach the API; `None`: what each call's `Host` says, with http.
    pub api_url: Option<Url>,
    /// `sqlite://…` or `postgres://…`; may hold a password.
    pub database_url: Secret,
    /// ClickHouse's HTTP interface, user and password in it; `None`: the embedded engine at `clickhouse_addr`, whose
    /// password lies in the data folder.
    pub clickhouse_url: Option<Secret>,
    /// Where the embedded engine listens.
    pub clickhouse_addr: SocketAddr,
    /// How long a visitor counts as the same.
    pub unique_period: Period,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that guarded outgoing requests may reach although private.
    pub fetch_allow: Vec<IpNet>,
    /// The first API key; `None`: random.
    pub admin_key: Option<Secret>,
    /// Token of the feed; `None`: from `<data-dir>/feed.token`, made when absent.
    pub feed_token: Option<Secret>,
    /// File with hosts and URLs nothing may lead to; `None`: everything may be led to.
    pub blocklist: Option<PathBuf>,
    /// Days for which a slug that was given up goes to nobody else; 0: none.
    pub slug_quarantine_days: u32,
    /// Whether destinations are asked for their title and whether they let themselves be framed.
    pub ask_destinations: bool,
    /// Whether a new domain must be proved to be its workspace's.
    pub domain_check: DomainCheck,
    /// Where files lie.
    pub files: FilesConfig,
    /// Where proofs are looked up.
    pub txt: Txt,
    /// The time of day.
    pub clock: Clock,
}

/// What is asked of a new domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainCheck {
    /// A TXT record with its token.
    Txt,
    /// Nothing: whoever adds it first has it.
    Off,
}

impl std::str::FromStr for DomainCheck {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "txt" => Ok(Self::Txt),
            "off" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}

impl Config {
    /// Reads the settings; mistakes are noted in `settings`.
    pub fn from_settings(settings: &mut Settings) -> Self {
        let data_dir = PathBuf::from(settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"));
        // SQLite is given an absolute path: the URL has no room for a relative one.
        let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
        let address = "an address with port, e.g. 127.0.0.1:8081";
        let proxy_addr = settings.parsed(
            "SIGNPOST_PROXY_ADDR",
            SocketAddr::from(([127, 0, 0, 1], 8080)),
            address,
        );
        let public_url = settings
            .parsed_with(
                "SIGNPOST_PUBLIC_URL",
                "http:// or https://, a host, and perhaps a port, nothing else",
                public_url_of,
            )
            .unwrap_or_else(|| visitors_url(proxy_addr));
        let api_url = settings.parsed_with(
            "SIGNPOST_API_URL",
            "http:// or https://, a host, and perhaps a port, nothing else",
            public_url_of,
        );
        let sqlite = store::sqlite_url(&data_dir.join(names::files::SQLITE));
        let database_url = match settings.text("SIGNPOST_DATABASE_URL").map(str::to_owned) {
            None => sqlite,
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                if Url::parse(&url).is_err() {
                    settings.reject(
                        "SIGNPOST_DATABASE_URL",
                        "…",
                        "a URL postgres://user:password@host/database",
                    );
                }
                url
            }
            Some(url) => match url
                .strip_prefix("sqlite://")
                .filter(|p| !p.is_empty() && !p.contains('?'))
            {
                Some(path) => {
                    std::path::absolute(path).map_or(sqlite, |path| store::sqlite_url(&path))
                }
                None => {
                    let scheme = url.split(':').next().unwrap_or_default().to_owned();
                    settings.reject(
                        "SIGNPOST_DATABASE_URL",
                        format!("{scheme}:…"),
                        "sqlite://<path> or postgres://user:password@host/database",
                    );
                    sqlite
                }
            },
        };
        let clickhouse_url = settings.text("SIGNPOST_CLICKHOUSE_URL").map(str::to_owned);
        if let Some(url) = &clickhouse_url
            && !Url::parse(url)
                .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        {
            settings.reject(
                "SIGNPOST_CLICKHOUSE_URL",
                "…",
                "http://user:password@host:8123 or https://…",
            );
        }
        Self {
            api_addr: settings.parsed(
                "SIGNPOST_API_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 8081)),
                address,
            ),
            clickhouse_addr: settings.parsed(
                "SIGNPOST_CLICKHOUSE_ADDR",
                SocketAddr::from(([127, 0, 0, 1], 8123)),
                address,
            ),
            unique_period: settings.parsed("SIGNPOST_UNIQUE_PERIOD", Period::Month, "day or month"),
            blocklist: settings.text("SIGNPOST_BLOCKLIST").map(PathBuf::from),
            slug_quarantine_days: u32::try_from(settings.number(
                "SIGNPOST_SLUG_QUARANTINE_DAYS",
                30,
                0..=MAX_QUARANTINE_DAYS,
            ))
            .unwrap_or(30),
            ask_destinations: settings.switch("SIGNPOST_ASK_DESTINATIONS", true),
            domain_check: settings.parsed("SIGNPOST_DOMAIN_CHECK", DomainCheck::Txt, "txt or off"),
            files: FilesConfig::from_settings(settings, &data_dir),
            txt: Txt::default(),
            trusted_proxies: networks(settings, "SIGNPOST_TRUSTED_PROXIES"),
            fetch_allow: networks(settings, "SIGNPOST_FETCH_ALLOW"),
            admin_key: secret(settings, "SIGNPOST_ADMIN_KEY"),
            feed_token: secret(settings, "SIGNPOST_FEED_TOKEN"),
            clickhouse_url: clickhouse_url.map(Secret),
            database_url: Secret(database_url),
            data_dir,
            proxy_addr,
            public_url,
            api_url,
            clock: Clock::default(),
        }
    }
}

fn networks(settings: &mut Settings, name: &str) -> Vec<IpNet> {
    settings.list_with(
        name,
        "a list of addresses or CIDRs, e.g. 10.0.0.0/8,::1",
        |text| {
            text.parse::<IpNet>()
                .ok()
                .or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
        },
    )
}

/// A secret that can stand in a header and is not trivially guessed.
fn secret(settings: &mut Settings, name: &str) -> Option<Secret> {
    let value = settings.text(name)?.to_owned();
    if value.len() < MIN_SECRET || !value.bytes().all(|b| b.is_ascii_graphic()) {
        settings.reject(
            name,
            "…",
            "at least 16 printable ASCII characters without spaces",
        );
    }
    Some(Secret(value))
}

fn public_url_of(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let bare = matches!(url.scheme(), "http" | "https")
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let host = schemas::host::Host::parse(url.host_str()?).is_ok();
    (bare && host).then_some(url)
}

/// `http://<address>`, with loopback for "every address", which nobody can visit.
fn visitors_url(address: SocketAddr) -> Url {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    match Url::parse(&format!("http://{address}")) {
        Ok(url) => url,
        Err(error) => unreachable!("an address is a host: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_need_no_setting() {
        let mut settings = Settings::default();
        let config = Config::from_settings(&mut settings);
        settings.check().expect("no mistakes");
        assert_eq!(config.public_url.as_str(), "http://127.0.0.1:8080/");
        assert!(config.database_url.0.starts_with("sqlite:///"));
        assert!(config.database_url.0.ends_with("/data/signpost%2Edb"));
    }

    #[test]
    fn every_bad_setting_is_named_and_secrets_are_not_shown() {
        let mut settings = Settings::new([
            ("SIGNPOST_API_ADDR", "here"),
            ("SIGNPOST_PROXY_ADDR", "there"),
            ("SIGNPOST_CLICKHOUSE_ADDR", "nowhere"),
            ("SIGNPOST_PUBLIC_URL", "https://go.example/path"),
            ("SIGNPOST_API_URL", "api.example"),
            ("SIGNPOST_DATABASE_URL", "mysql://root:hunter22@h/d"),
            ("SIGNPOST_CLICKHOUSE_URL", "tcp://u:hunter22@h"),
            ("SIGNPOST_UNIQUE_PERIOD", "year"),
            ("SIGNPOST_DOMAIN_CHECK", "dns"),
            ("SIGNPOST_SLUG_QUARANTINE_DAYS", "-1"),
            ("SIGNPOST_ASK_DESTINATIONS", "perhaps"),
            ("SIGNPOST_TRUSTED_PROXIES", "10.0.0.0/99"),
            ("SIGNPOST_FETCH_ALLOW", "10.0.0"),
            ("SIGNPOST_ADMIN_KEY", "hunter22"),
            ("SIGNPOST_FEED_TOKEN", "hunter22 hunter22 hunter22"),
        ]);
        let _ = Config::from_settings(&mut settings);
        let errors = settings.check().expect_err("fifteen mistakes");
        assert_eq!(errors.0.len(), 15, "{errors}");
        assert!(!errors.to_string().contains("hunter22"), "{errors}");
    }
}
