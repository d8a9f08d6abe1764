//! Builds every part and owns every task.
//!
//! Order of the end: stop accepting, finish open calls (each deadline in [`crate::server`]), stop the background tasks,
//! close the database.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use schemas::health::Health;
use schemas::settings::Secret;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::adding::Adding;
use crate::api::dialect::Dialects;
use crate::clock::Clock;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::domain::date::DAY_MS;
use crate::domain::destination::OwnAddress;
use crate::domain::uuids::Uuids;
use crate::fetch::Fetcher;
use crate::files::turns::Turns;
use crate::ownership::{self, Ownership};
use crate::passwords::Passwords;
use crate::rate::RateLimiter;
use crate::sign_in::Attempts;
use crate::stats::Stats;
use crate::storage::Storage;
use crate::store::domains::Domain;
use crate::store::guard::Guard;
use crate::store::{
    Engine, Store, blobs, bootstrap, id_key, keys, links, oauth, pages, quarantine, salts,
};
use crate::usage::Usage;
use crate::workers::Workers;
use crate::{blocklist, looks, metrics, router, server};

/// Time between looks whether salts must change: far shorter than a salt is made ahead.
const SALTS_EVERY: Duration = Duration::from_secs(60);

/// Time between looks whether the database answers.
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Time between looks whether something is unused for good. What is found is a day old.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Pause before listening to PostgreSQL again after the connection broke.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Images drawn at the same time: a large one takes 30 MB and some 100 ms of a core.
const DRAWING: usize = 4;

/// Time between looks whether a link's last instant has come. It is not there from that instant on, whatever the look says.
const DELETE_EVERY: Duration = Duration::from_secs(1);

/// Time between looks whether SQLite's log can be moved into its file: some seconds of writes at most, a few megabytes.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Links that one look deletes.
const DELETED_AT_ONCE: i64 = 100;

/// What handlers share.
#[derive(Debug)]
pub struct App {
    /// The settings.
    pub config: Config,
    /// The link database.
    pub store: Store,
    /// Statistics.
    pub stats: Stats,
    /// Token of the feed.
    pub feed_token: Secret,
    /// The time of day.
    pub clock: Clock,
    /// Cancelled when the process is to end: streams without an end of their own stop then.
    pub shutdown: CancellationToken,
    /// The default domain; it changes at a start only.
    pub(crate) default_domain: Domain,
    /// Where visitors are served without a name.
    pub(crate) own_address: OwnAddress,
    /// The way out to what owners name by URL.
    pub fetcher: Fetcher,
    /// New links on their way into the database.
    pub(crate) adding: Adding,
    /// Room to draw and read images.
    pub(crate) drawing: Workers,
    /// Where files lie.
    pub(crate) storage: Storage,
    /// Turns at uploading.
    pub(crate) uploads: Turns,
    /// How each dialect is called, and how often it was.
    pub(crate) dialects: Dialects,
    /// Forms a minute, by visitor.
    pub(crate) visitors: RateLimiter,
    /// Ids as UUIDs.
    pub(crate) uuids: Uuids,
    /// Proofs of domains.
    pub(crate) ownership: Ownership,
    /// Wrong passwords.
    pub(crate) attempts: Attempts,
    /// Room to hash passwords.
    pub(crate) passwords: Passwords,
    /// Clicks a month.
    pub(crate) usage: Usage,
}

/// A control plane that serves.
#[derive(Debug)]
pub struct Running {
    /// Where the API listens.
    pub api_addr: SocketAddr,
    /// The link database, for operator commands and tests in the same process.
    pub store: Store,
    tasks: Vec<JoinHandle<()>>,
    // Held for as long as the process serves.
    _data_dir: DataDir,
}

impl Running {
    /// Waits for the end, which the token given to [`start`] brings.
    ///
    /// # Errors
    /// A task ended early.
    pub async fn wait(self) -> anyhow::Result<()> {
        for task in self.tasks {
            task.await.context("a task of the control plane failed")?;
        }
        self.store.close().await;
        Ok(())
    }
}

/// Serves until `shutdown` is cancelled; blocks.
///
/// # Errors
/// What keeps it from going on.
pub fn run(config: Config, health: Health, shutdown: CancellationToken) -> anyhow::Result<()> {
    metrics::describe();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("control-plane")
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let running = start(config, health, shutdown).await?;
        tracing::info!(api = %running.api_addr, "control plane is ready");
        running.wait().await
    })
}

/// Opens the database, makes what is missing, and serves.
///
/// # Errors
/// The data folder, the database or the address cannot be used.
pub async fn start(
    config: Config,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    health.not_ready("database", "is being opened");
    let data_dir = DataDir::open(&config.data_dir)?;
    let clock = config.clock.clone();
    let rules = blocklist::read(config.blocklist.as_deref())?;
    let quarantine_ms = i64::from(config.slug_quarantine_days) * DAY_MS;
    let guard = Guard::new(rules, quarantine_ms, clock.clone());
    let guard = if config.ask_destinations {
        guard.asking()
    } else {
        guard
    };
    let store = Store::open(&config.database_url.0).await?.guarded(guard);
    let (host, base_url) = public_place(&config)?;
    let wanted = bootstrap::Wanted {
        host: &host,
        base_url: &base_url,
        period: config.unique_period,
    };
    let first_key = || data_dir.first_key(config.admin_key.as_ref());
    let default_domain = bootstrap::run(&store, &wanted, first_key, clock.now_ms()).await?;
    let listener = TcpListener::bind(config.api_addr)
        .await
        .with_context(|| format!("cannot listen on SIGNPOST_API_ADDR={}", config.api_addr))?;
    let api_addr = listener.local_addr()?;
    let app = Arc::new(App {
        adding: Adding::new(store.clone(), clock.clone(), default_domain.clone()),
        stats: Stats::new(&config)?,
        feed_token: data_dir.feed_token(config.feed_token.as_ref())?,
        own_address: OwnAddress::new(config.proxy_addr, &config.public_url),
        fetcher: Fetcher::new(config.fetch_allow.clone())?,
        drawing: Workers::new(DRAWING),
        storage: Storage::open(&config.files.place, store.clone(), clock.clone())?,
        uploads: Turns::default(),
        dialects: Dialects::default(),
        visitors: RateLimiter::default(),
        uuids: id_key::of_installation(&store).await?,
        ownership: Ownership::new(config.txt.clone()),
        attempts: Attempts::default(),
        passwords: Passwords::default(),
        usage: Usage::default(),
        shutdown: shutdown.clone(),
        store: store.clone(),
        default_domain,
        config,
        clock,
    });
    check_admin_key(&app).await?;
    health.ready("database");
    let mut tasks = vec![
        tokio::spawn(server::serve(
            listener,
            router::router(app.clone()),
            shutdown.clone(),
        )),
        tokio::spawn(until(shutdown.clone(), rotate_salts(app.clone()))),
        tokio::spawn(until(shutdown.clone(), probe(app.clone(), health))),
        tokio::spawn(until(shutdown.clone(), sweep(app.clone()))),
        tokio::spawn(until(shutdown.clone(), delete_due(app.clone()))),
        tokio::spawn(until(shutdown.clone(), blocklist::keep(app.clone()))),
        tokio::spawn(until(
            shutdown.clone(),
            ownership::keep_looking(app.clone()),
        )),
    ];
    if app.config.ask_destinations {
        let looking = looks::keep_looking(app.clone());
        tasks.push(tokio::spawn(until(shutdown.clone(), looking)));
    }
    tasks.push(match store.engine() {
        Engine::Postgres => tokio::spawn(until(shutdown, listen(app.clone()))),
        Engine::Sqlite => tokio::spawn(until(shutdown, checkpoint(app.clone()))),
    });
    Ok(Running {
        api_addr,
        store,
        tasks,
        _data_dir: data_dir,
    })
}

async fn until(shutdown: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = task => {}
    }
}

/// Keeps `/ready` true to whether the database answers.
async fn probe(app: Arc<App>, health: Health) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let asked = sqlx::query("SELECT seq FROM feed_state")
            .execute(app.store.readers())
            .await;
        match asked {
            Ok(_) => health.ready("database"),
            Err(error) => {
                tracing::error!(%error, "the link database does not answer");
                health.not_ready("database", "does not answer");
            }
        }
    }
}

/// Says so when the key of the settings does not open anything: it is used at the first start only.
async fn check_admin_key(app: &App) -> anyhow::Result<()> {
    let Some(key) = &app.config.admin_key else {
        return Ok(());
    };
    let row = keys::by_hash(
        &app.store,
        &crate::domain::key::hash(&key.0),
        app.clock.now_ms(),
    )
    .await?;
    if row.is_none_or(|row| row.revoked_at.is_some()) {
        tracing::warn!(
            "SIGNPOST_ADMIN_KEY is not a key of this database: it counts at the first start only, make keys with `signpost key create`"
        );
    }
    Ok(())
}

async fn rotate_salts(app: Arc<App>) {
    loop {
        tokio::time::sleep(SALTS_EVERY).await;
        if let Err(error) =
            salts::rotate(&app.store, app.config.unique_period, app.clock.now_ms()).await
        {
            tracing::error!(%error, "cannot rotate salts, trying again");
        }
    }
}

/// Deletes what nothing uses any more, all of it a bounded number at a time.
async fn sweep(app: Arc<App>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        while sweep_once(&app).await > 0 {}
    }
}

/// Deletes links whose last instant has come.
async fn delete_due(app: Arc<App>) {
    loop {
        tokio::time::sleep(DELETE_EVERY).await;
        loop {
            match links::delete_due(&app.store, DELETED_AT_ONCE, app.clock.now_ms()).await {
                Ok(0) => break,
                Ok(deleted) => metrics::swept("link", deleted),
                Err(error) => {
                    tracing::error!(%error, "cannot delete links whose time is over, trying again");
                    break;
                }
            }
        }
    }
}

/// How much was swept of what is swept a bounded number at a time. What fails is said, and keeps nothing else from it.
async fn sweep_once(app: &App) -> u64 {
    let now_ms = app.clock.now_ms();
    // All tokens at once: nothing but a token's own time keeps it.
    swept("token", oauth::clean(&app.store, now_ms).await);
    swept("blob", blobs::sweep(&app.store, now_ms).await)
        + swept("page", pages::sweep(&app.store, now_ms).await)
        + swept("file", app.storage.sweep().await)
        + swept("slug", quarantine::purge(&app.store, now_ms).await)
}

fn swept<E: std::fmt::Display>(what: &'static str, swept: Result<u64, E>) -> u64 {
    match swept {
        Ok(number) => {
            metrics::swept(what, number);
            number
        }
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                what,
                "cannot sweep, trying again"
            );
            0
        }
    }
}

/// Moves SQLite's log into its file beside the calls, so that none of them waits for it.
async fn checkpoint(app: Arc<App>) {
    loop {
        tokio::time::sleep(CHECKPOINT_EVERY).await;
        if let Err(error) = app.store.checkpoint().await {
            tracing::warn!(%error, "cannot move the log of the link database into its file, trying again");
        }
    }
}

/// Hears of changes that other control planes commit. PostgreSQL tells a listener only after the commit.
async fn listen(app: Arc<App>) {
    loop {
        if let Err(error) = app.store.listen(&app.config.database_url.0).await {
            metrics::listener_lost();
            tracing::warn!(%error, "cannot listen for changes of other control planes, trying again");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
        // Listening again may take longer.
        if let Err(error) = app.store.look().await {
            tracing::debug!(%error, "cannot look for changes of other control planes");
        }
    }
}

/// Host and base URL of the default domain.
fn public_place(config: &Config) -> anyhow::Result<(String, String)> {
    let host = config
        .public_url
        .host_str()
        .context("SIGNPOST_PUBLIC_URL has no host")?;
    let host = match schemas::host::Host::parse(host)? {
        schemas::host::Host::Name(name) => name,
        schemas::host::Host::Default => "localhost".to_owned(),
    };
    Ok((
        host,
        config.public_url.as_str().trim_end_matches('/').to_owned(),
    ))
}
