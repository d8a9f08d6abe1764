//! The admin page of one process: `/metrics` (Prometheus), `/live`, `/ready`.
//!
//! It listens on a TCP address, or on a Unix socket (`unix:/path`) where `up` merges the pages of its children.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use schemas::health::Health;
use schemas::settings::Settings;

/// How often the recorder tidies its histograms. Without it they grow with every sample nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Buckets of every histogram of durations, in seconds: from a redirect to a large query.
const SECONDS: [f64; 14] = [
    0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Where an admin page listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// An address for people and Prometheus.
    Tcp(SocketAddr),
    /// A socket for `up`.
    Unix(PathBuf),
}

impl Address {
    /// Reads `SIGNPOST_ADMIN_ADDR`.
    pub(crate) fn from_settings(settings: &mut Settings) -> Self {
        settings
            .parsed_with(
                "SIGNPOST_ADMIN_ADDR",
                "an address such as 127.0.0.1:9090, or unix:/path",
                |text| match text.strip_prefix("unix:") {
                    Some(path) => Some(Self::Unix(PathBuf::from(path))),
                    None => text.parse().ok().map(Self::Tcp),
                },
            )
            .unwrap_or(Self::Tcp(SocketAddr::from(([127, 0, 0, 1], 9090))))
    }
}

/// Installs the process's metrics recorder and starts the admin page on a thread of its own, so that it answers
/// whatever the role is busy with.
///
/// # Errors
/// The address cannot be listened on.
pub(crate) fn start(
    address: &Address,
    role: &'static str,
    health: Health,
    more: Router,
) -> anyhow::Result<()> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot install the metrics recorder")?;
    metrics::describe_gauge!(
        "signpost_build_info",
        "1, labelled with the version that runs"
    );
    metrics::gauge!("signpost_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    metrics::describe_gauge!(
        "process_start_time_seconds",
        "When the process started, seconds since 1970"
    );
    let started = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(started.as_secs_f64());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pages = pages(recorder.clone(), role, health).merge(more);
    let guard = runtime.enter();
    let serve: std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>> = match address {
        Address::Tcp(addr) => {
            let listener = std::net::TcpListener::bind(addr)
                .with_context(|| format!("SIGNPOST_ADMIN_ADDR={addr}: cannot listen there"))?;
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            Box::pin(async move { axum::serve(listener, pages).await })
        }
        Address::Unix(path) => {
            // Left behind by a process that was killed; `up` holds the lock that makes this ours.
            let _ = std::fs::remove_file(path);
            let listener = tokio::net::UnixListener::bind(path)
                .with_context(|| format!("cannot listen on {}", path.display()))?;
            Box::pin(async move { axum::serve(listener, pages).await })
        }
    };
    drop(guard);
    std::thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                tokio::spawn(async move {
                    let mut tick = tokio::time::interval(UPKEEP);
                    loop {
                        tick.tick().await;
                        recorder.run_upkeep();
                    }
                });
                if let Err(error) = serve.await {
                    tracing::error!(%error, "admin page stopped");
                }
            });
        })?;
    Ok(())
}

fn pages(recorder: PrometheusHandle, role: &'static str, health: Health) -> Router {
    Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(move || async move { ready(role, &health) }))
        .route(
            "/metrics",
            get(move || async move { metrics_page(recorder.render()) }),
        )
}

/// Path of the page that says whether a domain is ours.
pub(crate) const DOMAIN: &str = "/domain";

/// What that page is asked.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Asked {
    /// The name.
    pub(crate) domain: String,
}

/// `GET /domain?domain=<name>`: 200 if links are served under that name, 404 if not, 503 while that is not known. For fronts
/// that get certificates on demand, which ask before they get one (Caddy's `on_demand_tls { ask … }`).
pub(crate) fn domain_page(domains: proxy::Domains) -> Router {
    let page = async move |Query(asked): Query<Asked>| match domains.has(&asked.domain) {
        Some(true) => (StatusCode::OK, "ours\n"),
        Some(false) => (StatusCode::NOT_FOUND, "not ours\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "not known yet\n"),
    };
    Router::new().route(DOMAIN, get(page))
}

/// A page of metrics in Prometheus' text format.
pub(crate) fn metrics_page(text: String) -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

fn ready(role: &str, health: &Health) -> Response {
    let ready = health.is_ready();
    let parts: serde_json::Map<String, serde_json::Value> = health
        .report()
        .into_iter()
        .map(|(part, why)| {
            (
                part.to_owned(),
                why.map_or_else(|| "ready".into(), serde_json::Value::String),
            )
        })
        .collect();
    ready_page(
        ready,
        &serde_json::json!({ "ready": ready, "role": role, "parts": parts }),
    )
}

/// The answer of `/ready`: 200 or 503, and why.
pub(crate) fn ready_page(ready: bool, body: &serde_json::Value) -> Response {
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        format!("{body}\n"),
    )
        .into_response()
}
