//! One admin page for all roles: their metrics with a `role` label, and `/ready` as the AND of all.

use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use metrics_exporter_prometheus::PrometheusBuilder;

use super::child::Role;
use super::merge;
use super::plan::Plan;
use crate::admin;

/// A child that does not answer within this is reported as not ready, and left out of the metrics.
const CHILD_DEADLINE: Duration = Duration::from_secs(2);

/// Largest page taken from a child, in bytes.
const MAX_PAGE_BYTES: usize = 16 << 20;

/// A child's admin page.
#[derive(Debug, Clone)]
struct Socket {
    role: Role,
    path: std::path::PathBuf,
}

fn sockets(plan: &Plan) -> Vec<Socket> {
    plan.roles()
        .into_iter()
        .map(|role| Socket {
            role,
            path: plan.socket(role),
        })
        .collect()
}

/// Listens on the admin address. The future that is returned serves it.
///
/// # Errors
/// The address cannot be listened on.
pub(super) async fn serve(
    plan: &Plan,
) -> anyhow::Result<impl Future<Output = std::io::Result<()>> + use<>> {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .context("cannot install the metrics recorder")?;
    metrics::describe_counter!(
        "signpost_up_restarts_total",
        "Roles started again after they ended unasked"
    );
    for role in plan.roles() {
        metrics::counter!("signpost_up_restarts_total", "role" => role.name()).increment(0);
    }
    let listener = tokio::net::TcpListener::bind(plan.admin_addr())
        .await
        .with_context(|| {
            format!(
                "SIGNPOST_ADMIN_ADDR={}: cannot listen there",
                plan.admin_addr()
            )
        })?;
    let [for_ready, for_metrics, for_domain] = [(); 3].map(|()| sockets(plan));
    let pages = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route(
            "/ready",
            get(move || async move { ready(&for_ready).await }),
        )
        .route(
            admin::DOMAIN,
            get(move |RawQuery(query): RawQuery| async move {
                domain(&for_domain, query.as_deref().unwrap_or_default()).await
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                let mut merged = merge::Metrics::default();
                // Its only metrics carry the role they are about already.
                merged.add(&recorder.render(), None);
                for socket in &for_metrics {
                    if let Ok((_, page)) = get_page(socket, "/metrics").await {
                        merged.add(&String::from_utf8_lossy(&page), Some(socket.role.name()));
                    }
                }
                admin::metrics_page(merged.render())
            }),
        );
    Ok(async move { axum::serve(listener, pages).await })
}

/// Roles that are not ready, and why.
pub(super) async fn not_ready(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut missing = Vec::new();
    for socket in sockets(plan) {
        match get_page(&socket, "/ready").await {
            Ok((status, _)) if status.is_success() => {}
            Ok((_, page)) => missing.push((socket.role.name(), reasons(&page))),
            Err(error) => missing.push((socket.role.name(), error.to_string())),
        }
    }
    missing
}

fn reasons(page: &[u8]) -> String {
    let page: serde_json::Value = serde_json::from_slice(page).unwrap_or_default();
    let parts = page["parts"].as_object().into_iter().flatten();
    parts
        .filter(|(_, why)| *why != "ready")
        .map(|(part, why)| format!("{part}: {}", why.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join("; ")
}

async fn ready(sockets: &[Socket]) -> axum::response::Response {
    let mut all = true;
    let mut roles = serde_json::Map::new();
    for socket in sockets {
        let answer = match get_page(socket, "/ready").await {
            Ok((status, page)) => {
                all &= status.is_success();
                serde_json::from_slice(&page).unwrap_or_default()
            }
            Err(error) => {
                all = false;
                serde_json::json!({ "ready": false, "error": format!("{error:#}") })
            }
        };
        roles.insert(socket.role.name().to_owned(), answer);
    }
    admin::ready_page(all, &serde_json::json!({ "ready": all, "roles": roles }))
}

/// Whether a domain is ours, as the proxy says.
async fn domain(sockets: &[Socket], query: &str) -> axum::response::Response {
    let asked = format!("{}?{query}", admin::DOMAIN);
    let proxy = sockets.iter().find(|socket| socket.role == Role::Proxy);
    let answer = match proxy {
        Some(socket) => get_page(socket, &asked).await.ok(),
        None => None,
    };
    match answer {
        Some((status, page)) => (status, page).into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "not known yet\n").into_response(),
    }
}

/// Asks a child for a page: its status and body.
async fn get_page(socket: &Socket, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let ask = async {
        let stream = tokio::net::UnixStream::connect(&socket.path)
            .await
            .context("not up yet")?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = hyper::Request::get(path)
            .header("host", "signpost")
            .body(Empty::<Bytes>::new())?;
        let exchange = async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = http_body_util::Limited::new(answer.into_body(), MAX_PAGE_BYTES);
            let page = body
                .collect()
                .await
                .map_err(|e| anyhow::anyhow!("page not read: {e}"))?;
            Ok((status, page.to_bytes()))
        };
        tokio::select! {
            answer = exchange => answer,
            ended = connection => Err(anyhow::anyhow!("hung up: {ended:?}")),
        }
    };
    tokio::time::timeout(CHILD_DEADLINE, ask)
        .await
        .context("no answer in time")?
}
