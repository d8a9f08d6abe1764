//! The links of a run: one per distinct target of the log.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};

use crate::api::Api;
use crate::http_client::{Connection, Server};
use crate::slug_map::{check_prefix, destination_of, slug_of};
use crate::traffic::Traffic;

/// How long a new link may take to be live. Far above the promised 100 ms: this is no measurement.
const LIVE_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks whether a link is live.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A link of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Id in the API and in ClickHouse.
    pub id: u64,
    /// Path at the proxy, with the leading `/`.
    pub path: String,
    /// Where it leads.
    pub destination: String,
}

/// Makes one link for each of the log's targets, in the order of [`Traffic::targets`].
///
/// # Errors
/// The prefix is not legal, or the API refused a link.
pub async fn make(api: &mut Api, traffic: &Traffic, prefix: &str) -> anyhow::Result<Vec<Link>> {
    check_prefix(prefix)?;
    let wanted: Vec<(String, String)> = traffic
        .targets()
        .iter()
        .map(|t| (slug_of(prefix, t), destination_of(t)))
        .collect();
    let ids = api.make_links(&wanted).await?;
    ensure!(
        ids.len() == wanted.len(),
        "{} ids for {} links",
        ids.len(),
        wanted.len()
    );
    Ok(wanted
        .into_iter()
        .zip(ids)
        .map(|((slug, destination), id)| Link {
            id,
            path: format!("/{slug}"),
            destination,
        })
        .collect())
}

/// Waits until the proxy answers the link made last. Asks by HEAD, which no count takes.
///
/// # Errors
/// It does not within 30 s.
pub async fn wait_until_live(proxy: &Server, links: &[Link]) -> anyhow::Result<()> {
    let Some(last) = links.last() else {
        return Ok(());
    };
    let mut connection = Connection::new(proxy.clone());
    let until = Instant::now() + LIVE_WITHIN;
    loop {
        let answer = connection
            .send(Method::HEAD, &last.path, HeaderMap::new(), Bytes::new())
            .await;
        let seen = match answer {
            Ok(answer)
                if answer.status == StatusCode::FOUND
                    && answer.header(header::LOCATION) == last.destination =>
            {
                return Ok(());
            }
            Ok(answer) => format!("status {}", answer.status),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= until {
            bail!(
                "the link '{}' is not live at the proxy after {} s: {seen}",
                last.path,
                LIVE_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
