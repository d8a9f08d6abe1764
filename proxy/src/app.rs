//! Builds every part and owns every thread.
//!
//! Start: lock the data folder, load the table from disk, make the rings, listen, follow the feed. Visitors are served
//! as soon as the table on disk is read, whatever else is down.
//!
//! End, each step with a deadline: stop accepting and finish connections, then downloads (`SIGNPOST_PROXY_DRAIN_SECONDS` each); give unspent
//! leases back; end the
//! feed's session and write what is left to disk; drain the rings into the click log; ship what is left of it; exit.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use schemas::health::Health;
use schemas::names;
use tokio_util::sync::CancellationToken;

use crate::blobs::Fetcher;
use crate::client_ip::Trusted;
use crate::config::Config;
use crate::data_folder;
use crate::descriptors;
use crate::domains::Domains;
use crate::enrich::Enricher;
use crate::feed::{self, Caller, Feed};
use crate::files;
use crate::gates::{Gates, Lessee, Passwords};
use crate::metrics;
use crate::salts;
use crate::server::{self, Server};
use crate::ship::{Route, Shipper};
use crate::snapshot;
use crate::table::Current;
use crate::tls::Certificates;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    table: Current,
    feed: Feed,
    fetcher: Fetcher,
    lessee: Lessee,
    sender: files::Sender,
    enricher: Enricher,
    certificates: Option<Certificates>,
    /// There where Kafka is.
    shipper: Option<Shipper>,
    /// Cancelled when a part has ended, asked to or not.
    ended: CancellationToken,
    _lock: data_folder::Lock,
}

impl Proxy {
    /// Starts everything.
    ///
    /// # Errors
    /// The data folder or the address cannot be had.
    pub fn start(config: &Config, health: &Health) -> anyhow::Result<Self> {
        metrics::describe();
        health.not_ready(VISITORS, "not listening yet");
        let lock = data_folder::lock(&config.data_dir)?;
        let ended = CancellationToken::new();
        let (table, opened) = snapshot::load(&config.data_dir.join(names::files::SNAPSHOT));
        let salts = salts::none();
        salts.store(Arc::clone(table.salts()));
        let table = Arc::new(ArcSwap::from_pointee(table));
        let disk = opened
            .start(Arc::clone(&table), ended.clone().drop_guard())
            .context("cannot start the snapshot's thread")?;
        let (enricher, rings, known) = Enricher::start(config, Arc::clone(&salts), health)?;
        let shipper = match &config.kafka {
            None => None,
            Some(kafka) => {
                let route = Route {
                    kafka: kafka.clone(),
                    folder: config.click_log_dir.clone(),
                    end: enricher.log_end(),
                    bytes_per_second: config.ship_bytes_per_second,
                };
                let shipper = Shipper::start(route, health, ended.clone().drop_guard());
                Some(shipper.context("cannot start the shipper")?)
            }
        };
        let caller = Caller::new(&config.feed, config.data_dir.clone());
        let (fetcher, blobs) = Fetcher::start(
            (
                config.data_dir.join(names::files::BLOBS),
                config.blob_cache_bytes,
            ),
            caller.clone(),
            Arc::clone(&table),
            ended.clone().drop_guard(),
        )
        .context("cannot start the blobs' thread")?;
        let (lessee, leases) = Lessee::start(caller.clone(), ended.clone().drop_guard())
            .context("cannot start the leases' thread")?;
        let (sender, files) = files::Sender::start(
            config.files.clone(),
            Arc::clone(&blobs),
            caller.clone(),
            (config.limits.write, config.limits.drain),
        )
        .context("cannot start the files' threads")?;
        let gates = Gates {
            leases,
            passwords: Passwords::start().context("cannot start the passwords' threads")?,
            blobs: Arc::clone(&blobs),
            files,
            caller: Some(caller),
        };
        let tls = config.tls.as_ref().map(|tls| {
            let started = Certificates::start(tls, ended.clone().drop_guard());
            started.map(|started| (tls.addr, started))
        });
        let tls = tls.transpose()?;
        let server = {
            let ended = ended.clone();
            let parts = server::Parts {
                addr: config.addr,
                tls: tls.as_ref().map(|(addr, tls)| (*addr, tls.acceptor())),
                limits: config.limits,
                descriptors: descriptors::most(),
                trusted: Trusted(config.trusted_proxies.clone()),
                proxy_protocol: config.proxy_protocol,
                table: Arc::clone(&table),
                rings,
                known,
                gates: Arc::new(gates),
            };
            Server::start(parts, move || ended.cancel()).with_context(|| cannot_listen(config))?
        };
        let feed = feed::Parts {
            config: config.feed.clone(),
            data_dir: config.data_dir.clone(),
            table: Arc::clone(&table),
            blobs,
            salts,
            disk,
            health: health.clone(),
        };
        let feed =
            Feed::start(feed, ended.clone().drop_guard()).context("cannot start the feed")?;
        health.ready(VISITORS);
        tracing::info!(addr = %server.addr(), workers = config.workers, "serving visitors");
        if let Some(addr) = server.tls_addr() {
            tracing::info!(%addr, "serving visitors over TLS");
        }
        Ok(Self {
            server,
            table,
            certificates: tls.map(|(_, certificates)| certificates),
            feed,
            fetcher,
            lessee,
            sender,
            enricher,
            shipper,
            ended,
            _lock: lock,
        })
    }

    /// Where visitors come in.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Lets these say which domains are ours.
    pub fn know(&self, domains: &Domains) {
        domains.know(&self.table);
    }

    /// Where visitors come in over TLS.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.server.tls_addr()
    }

    /// The number this process draws for its streams.
    pub fn epoch(&self) -> u64 {
        self.enricher.epoch()
    }

    /// Waits until a part has ended of itself.
    pub async fn ended(&self) {
        let enricher = self.enricher.ended();
        tokio::select! {
            () = self.ended.cancelled() => {}
            () = enricher.cancelled() => {}
        }
    }

    /// Ends everything, in order. Blocks.
    ///
    /// # Errors
    /// A part had panicked; the others are ended all the same.
    pub fn stop(self) -> anyhow::Result<()> {
        self.server.drain();
        // No connection is left that could become a download.
        self.sender.stop();
        // Nobody spends any more: what is left goes back while there is a control plane.
        let lent = self.lessee.stop();
        let fetched = self.fetcher.stop();
        let fed = self.feed.stop().and_then(snapshot::Disk::stop);
        let enriched = self.enricher.stop();
        // Nothing is written to the log any more.
        let shipped = self.shipper.map_or(Ok(()), Shipper::stop);
        let watched = self.certificates.map_or(Ok(()), Certificates::stop);
        lent.and(fetched)
            .and(fed)
            .and(enriched)
            .and(shipped)
            .and(watched)
    }
}

fn cannot_listen(config: &Config) -> String {
    let tls = config.tls.as_ref();
    let tls = tls.map_or_else(String::new, |tls| {
        format!(" or SIGNPOST_TLS_ADDR={}", tls.addr)
    });
    format!("cannot listen on SIGNPOST_PROXY_ADDR={}{tls}", config.addr)
}

/// Name of the part that listens.
const VISITORS: &str = "visitors";

/// Runs the proxy until `shutdown` is cancelled. From its start on, `domains` say which are ours.
///
/// # Errors
/// The data folder or the address cannot be had, or a part ended early.
pub fn run(
    config: Config,
    health: Health,
    shutdown: CancellationToken,
    domains: &Domains,
) -> anyhow::Result<()> {
    let proxy = Proxy::start(&config, &health)?;
    proxy.know(domains);
    let early = tokio::runtime::Builder::new_current_thread()
        .build()
        .context("cannot make a runtime")?
        .block_on(async {
            tokio::select! {
                () = shutdown.cancelled() => false,
                () = proxy.ended() => true,
            }
        });
    proxy.stop()?;
    anyhow::ensure!(!early, "a part of the proxy ended early");
    Ok(())
}
