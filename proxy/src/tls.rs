//! TLS for visitors: certificates from files, chosen by name, read again when they change.
//!
//! One certificate stands for every name that has none of its own; a folder may hold many, each for the names that stand
//! in it. A file that cannot be read, or a key that is another's, leaves the one before in use, and is counted: a renewal
//! that is half done takes nothing down. What visitors are shown changes in one step.
//!
//! What it deliberately does not do: get certificates. Whoever does that (certbot, lego, Caddy in front) puts files here.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod files;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::Accept;
use tokio_util::sync::DropGuard;

use self::files::Files;
use crate::config;
use crate::enrich::lower_priority;

/// HTTP/2, as ALPN names it (RFC 9113 3.1), and HTTP/1.1.
pub(crate) const H2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// How often the files are looked at, but for no more than this part of the time: a folder may hold very many.
const EVERY: Duration = Duration::from_secs(2);
const SHARE: u32 = 50;

/// Speaks TLS with visitors.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// Begins a handshake.
    pub(crate) fn accept(&self, stream: TcpStream) -> Accept<TcpStream> {
        self.0.accept(stream)
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

/// The certificates in use, kept fresh.
#[derive(Debug)]
pub struct Certificates {
    acceptor: Acceptor,
    stop: Sender<()>,
    thread: thread::JoinHandle<()>,
}

/// Certificates by name.
#[derive(Debug, Default)]
struct Chosen {
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Chosen {
    fn of(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        if let Some(exact) = self.by_name.get(name) {
            return Some(exact);
        }
        // A wildcard stands for one label (RFC 9525 6.3).
        let (_, parent) = name.split_once('.')?;
        self.by_name.get(format!("*.{parent}").as_str())
    }
}

/// Chooses what a visitor is shown.
#[derive(Debug, Default)]
struct Current(ArcSwap<Chosen>);

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let chosen = self.0.load();
        let named = hello
            .server_name()
            .and_then(|name| chosen.of(&name.to_ascii_lowercase()));
        named.or(chosen.default.as_ref()).cloned()
    }
}

impl Certificates {
    /// Reads all files, and goes on looking at them.
    ///
    /// # Errors
    /// The certificate of the settings cannot be used, or there is no thread.
    pub(crate) fn start(config: &config::Tls, ended: DropGuard) -> anyhow::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let mut files = Files::new(config, Arc::clone(&provider));
        let current = Arc::new(Current::default());
        current.0.store(Arc::new(files.read()));
        if let Some(problem) = files.problem_of_settings() {
            return Err(problem.into());
        }
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no versions of TLS")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![H2.to_vec(), HTTP_1_1.to_vec()];
        // Visitors come again with a ticket that we need not remember.
        config.ticketer = ring::Ticketer::new().context("no keys for tickets")?;
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || {
                let _ended = ended;
                lower_priority();
                let mut pause = EVERY;
                while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    let begin = Instant::now();
                    if files.have_changed() {
                        current.0.store(Arc::new(files.read()));
                    }
                    pause = EVERY.max(begin.elapsed() * SHARE);
                }
            })
            .context("cannot start the certificates' thread")?;
        Ok(Self {
            acceptor: Acceptor(TlsAcceptor::from(Arc::new(config))),
            stop,
            thread,
        })
    }

    /// Speaks TLS with these certificates.
    pub(crate) fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    /// Ends the thread.
    ///
    /// # Errors
    /// It has panicked.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.thread
            .join()
            .map_err(|_| anyhow::anyhow!("the certificates' thread has panicked"))
    }
}
