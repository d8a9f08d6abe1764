//! Guarded outgoing requests: what owners name by URL (logos, pages whose title is wanted) is fetched from here and from
//! nowhere else, since such a URL may be made to reach what only this machine can reach.
//!
//! The guard, per hop:
//! 1. The URL is `http` or `https` without credentials. Its host is what the URL standard makes of it, so `2130706433`,
//!    `0x7f.1` and `0177.0.0.1` are 127.0.0.1 before anything is decided.
//! 2. The host is resolved **once**. If any of its addresses is private or special ([`address::is_public`]) and not in
//!    `SIGNPOST_FETCH_ALLOW`, nothing is asked: names that answer with both kinds are made for rebinding.
//! 3. The connection goes to an address of that answer and never to the name. TLS checks the certificate against the name.
//! 4. A redirect is a new hop: rules 1 to 3 again.
//!
//! Everything is bounded: time (all hops together), size, header size, redirects, fetches at once. No cookies, no proxies
//! of the environment, no referrer, no credentials, nothing compressed, one request a connection.
//!
//! It deliberately does not judge content: what the bytes are is the caller's question.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use rustls::RootCertStore;
use tokio::sync::Semaphore;
use url::{Host, Url};

use crate::metrics;

pub mod address;
mod hop;

/// Redirects followed: more than any honest site asks for.
pub const MAX_REDIRECTS: usize = 5;

/// Fetches at the same time; more wait, within their own deadline. Each holds a socket and at most its body.
const MAX_OPEN: usize = 32;

/// Addresses tried of one host: some networks have broken IPv6.
const MAX_ADDRESSES: usize = 4;

/// What a fetch is for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The `Accept` header.
    pub accept: &'static str,
    /// Largest body in bytes.
    pub max_bytes: usize,
    /// What becomes of a longer one.
    pub overflow: Overflow,
    /// Time for everything, redirects included.
    pub deadline: Duration,
}

/// What becomes of a body that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The fetch fails.
    Refuse,
    /// Its beginning is enough.
    Cut,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Where it came from, after redirects.
    pub url: Url,
    /// Never one of a redirect that could be followed.
    pub status: StatusCode,
    /// Headers of the last hop.
    pub headers: HeaderMap,
    /// At most [`Wanted::max_bytes`].
    pub body: Bytes,
}

impl Fetched {
    /// The body of a 2xx answer.
    ///
    /// # Errors
    /// Another status.
    pub fn successful(self) -> Result<Self, FetchError> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(FetchError::Status(self.status.as_u16()))
        }
    }
}

/// Why nothing was fetched, worded to follow the name of the field that held the URL. A name that leads inside and a name
/// that does not exist read the same: callers must not learn names of our network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a URL that is fetched, at the first or a later hop.
    #[error("must be an http or https URL without user name and password")]
    Url,
    /// Rule 2.
    #[error("must lead to a public address")]
    NotPublic,
    /// No connection.
    #[error("cannot be reached")]
    Unreachable,
    /// No TLS, or a certificate that is not for this name.
    #[error("has no valid TLS certificate")]
    Tls,
    /// More than [`Wanted::deadline`].
    #[error("did not answer in time")]
    TooSlow,
    /// More than [`Wanted::max_bytes`].
    #[error("is longer than {0} bytes")]
    TooLarge(usize),
    /// More than [`MAX_REDIRECTS`].
    #[error("redirects more than {MAX_REDIRECTS} times")]
    Redirects,
    /// Not HTTP, broke off, or compressed although that was not accepted.
    #[error("gave no usable answer")]
    Broken,
    /// [`Fetched::successful`].
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// A redirect leads where the caller does not go, see [`Course`].
    #[error("redirects to where it must not lead")]
    OffCourse,
}

impl FetchError {
    /// For the metric.
    fn outcome(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::NotPublic => "not_public",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::TooSlow => "too_slow",
            Self::TooLarge(_) => "too_large",
            Self::Redirects => "redirects",
            Self::Broken => "broken",
            Self::Status(_) => "status",
            Self::OffCourse => "off_course",
        }
    }
}

/// Turns names into addresses. Tests have their own.
pub trait Resolve: std::fmt::Debug + Send + Sync {
    /// All addresses of `host`, in the order they should be tried.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>>;
}

/// Which redirects are followed, besides the guard's own rules.
pub trait Course: Sync {
    /// Whether to go on to `url`, which is not asked otherwise.
    fn allows<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, bool>;
}

/// All of them.
struct Anywhere;

impl Course for Anywhere {
    fn allows<'a>(&'a self, _: &'a Url) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, std::io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The one way out. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Fetcher {
    resolver: Arc<dyn Resolve>,
    allow: Arc<[IpNet]>,
    tls: Arc<rustls::ClientConfig>,
    open: Arc<Semaphore>,
}

impl Fetcher {
    /// One that asks the system for addresses and trusts the certificate authorities that Mozilla does. `allow`: networks
    /// that may be reached although private.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(allow: Vec<IpNet>) -> anyhow::Result<Self> {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::with(Arc::new(SystemResolver), allow, roots)
    }

    /// One with a resolver and certificate authorities of its own.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn with(
        resolver: Arc<dyn Resolve>,
        allow: Vec<IpNet>,
        roots: RootCertStore,
    ) -> anyhow::Result<Self> {
        // The provider is named, since a process-wide default may be set by nobody or by somebody else.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            resolver,
            allow: allow.into(),
            tls: Arc::new(config),
            open: Arc::new(Semaphore::new(MAX_OPEN)),
        })
    }

    /// Fetches with GET. The answer's status may be anything: see [`Fetched::successful`].
    ///
    /// # Errors
    /// Refused by the guard, or nothing usable came back.
    pub async fn get(&self, url: &str, wanted: &Wanted) -> Result<Fetched, FetchError> {
        self.get_along(url, wanted, &Anywhere).await
    }

    /// As [`Self::get`], as long as redirects stay on `course`.
    ///
    /// # Errors
    /// As [`Self::get`]; [`FetchError::OffCourse`].
    pub async fn get_along(
        &self,
        url: &str,
        wanted: &Wanted,
        course: &dyn Course,
    ) -> Result<Fetched, FetchError> {
        let fetched = tokio::time::timeout(wanted.deadline, self.follow(url, wanted, course))
            .await
            .unwrap_or(Err(FetchError::TooSlow));
        metrics::fetched(fetched.as_ref().map_or_else(|e| e.outcome(), |_| "ok"));
        fetched
    }

    async fn follow(
        &self,
        url: &str,
        wanted: &Wanted,
        course: &dyn Course,
    ) -> Result<Fetched, FetchError> {
        let _open = self
            .open
            .acquire()
            .await
            .map_err(|_| FetchError::Unreachable)?;
        let mut url = Url::parse(url.trim_matches(' ')).map_err(|_| FetchError::Url)?;
        for _ in 0..=MAX_REDIRECTS {
            let addresses = self.addresses(&url).await?;
            let answer = hop::get(&self.tls.clone().into(), &addresses, &url, wanted).await?;
            match next(&url, &answer)? {
                Some(target) if !course.allows(&target).await => {
                    return Err(FetchError::OffCourse);
                }
                Some(target) => url = target,
                None => {
                    return Ok(Fetched {
                        url,
                        status: answer.status,
                        headers: answer.headers,
                        body: answer.body,
                    });
                }
            }
        }
        Err(FetchError::Redirects)
    }

    /// Where the URL may be asked for: rules 1 and 2.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        if !matches!(url.scheme(), "http" | "https")
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(FetchError::Url);
        }
        let port = url
            .port_or_known_default()
            .filter(|port| *port != 0)
            .ok_or(FetchError::Url)?;
        let ips = match url.host().ok_or(FetchError::Url)? {
            Host::Ipv4(ip) => vec![ip.into()],
            Host::Ipv6(ip) => vec![ip.into()],
            Host::Domain(name) => self
                .resolver
                .resolve(name)
                .await
                .map_err(|_| FetchError::NotPublic)?,
        };
        if ips.is_empty() || !ips.iter().all(|ip| self.may_reach(*ip)) {
            return Err(FetchError::NotPublic);
        }
        let of_port = |ip: IpAddr| SocketAddr::new(ip.to_canonical(), port);
        Ok(ips.into_iter().take(MAX_ADDRESSES).map(of_port).collect())
    }

    fn may_reach(&self, ip: IpAddr) -> bool {
        address::is_public(ip)
            || self
                .allow
                .iter()
                .any(|net| net.contains(&ip) || net.contains(&ip.to_canonical()))
    }
}

/// The target of a redirect; `None`: the answer is none.
fn next(url: &Url, answer: &hop::Answer) -> Result<Option<Url>, FetchError> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers.get(LOCATION) else {
        return Ok(None);
    };
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| FetchError::Url)?;
    url.join(location).map(Some).map_err(|_| FetchError::Url)
}
