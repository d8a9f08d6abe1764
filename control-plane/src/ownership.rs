//! Proof that a domain is its workspace's: looks for the TXT record, on request and by itself with growing pauses, and makes
//! the domain live once it is there.
//!
//! A domain that is live stays so: a record that is gone later takes no links down. Looks of all kinds share a few places,
//! so that nobody can make this process flood a name server.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::app::App;
use crate::dns::{LookupError, Txt};
use crate::domain::domain_name::{pause_ms, proof_name, proof_value, proves};
use crate::error::ApiError;
use crate::metrics;
use crate::store::domains::{self, Claim, Domain, Verified};

/// Looks at the same time.
const LOOKS_AT_ONCE: usize = 8;

/// Longest time for an answer; name servers that take longer count as silent.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between questions which domains are due.
const DUE_EVERY: Duration = Duration::from_secs(2);

/// Most domains of one round: what is left is due in the next one.
const DUE_AT_ONCE: i64 = 50;

/// Milliseconds after which a look that was begun and never ended is made by somebody else.
const UNFINISHED_MS: i64 = 60_000;

/// What looks share.
#[derive(Debug)]
pub(crate) struct Ownership {
    txt: Txt,
    places: Semaphore,
    hurry: Notify,
}

impl Ownership {
    pub(crate) fn new(txt: Txt) -> Self {
        Self {
            txt,
            places: Semaphore::new(LOOKS_AT_ONCE),
            hurry: Notify::new(),
        }
    }

    /// A domain has just become due.
    pub(crate) fn hurry(&self) {
        self.hurry.notify_one();
    }

    async fn look(&self, host: &str) -> Result<Vec<String>, LookupError> {
        let Ok(_place) = self.places.acquire().await else {
            return Err(LookupError("the look was called off".to_owned()));
        };
        let name = proof_name(host);
        match tokio::time::timeout(LOOK_TIMEOUT, self.txt.records(&name)).await {
            Ok(found) => found,
            Err(_) => Err(LookupError(format!(
                "no answer about {name} within {} s",
                LOOK_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// Looks now, and makes the domain live if the proof is there. Returns it as it is afterwards.
///
/// # Errors
/// The database's. That there is no proof is in the domain's `claim`.
pub(crate) async fn check(app: &App, domain: Domain) -> Result<Domain, ApiError> {
    if domain.is_live {
        return Ok(domain);
    }
    let problem = match app.ownership.look(&domain.name).await {
        Ok(records) if proves(&records, &domain.claim.token) => None,
        Ok(records) if records.is_empty() => {
            Some(format!("{} has no TXT record", proof_name(&domain.name)))
        }
        Ok(_) => Some(format!(
            "no TXT record of {} is '{}'",
            proof_name(&domain.name),
            proof_value(&domain.claim.token)
        )),
        Err(error) => Some(error.0),
    };
    let now_ms = app.clock.now_ms();
    let problem = match problem {
        Some(problem) => problem,
        None => match domains::make_live(&app.store, domain.id, now_ms).await? {
            Verified::Live(live) => {
                metrics::domain_look("proved");
                tracing::info!(domain = live.name, "a domain is proved and live");
                return Ok(*live);
            }
            Verified::Gone => return Err(ApiError::not_found("domain", domain.id)),
            Verified::HeldByAnother => {
                "the record is there, but another workspace holds this domain".to_owned()
            }
        },
    };
    metrics::domain_look("unproved");
    let failures = domain.claim.failures + 1;
    let claim = Claim {
        check_at: pause_ms(failures).map(|pause| now_ms.saturating_add(pause)),
        checked_at: Some(now_ms),
        failures,
        error: problem.chars().take(300).collect(),
        ..domain.claim.clone()
    };
    domains::note_look(&app.store, domain.id, &claim).await?;
    Ok(Domain { claim, ..domain })
}

/// Looks for the proofs of domains that are due, for ever.
pub(crate) async fn keep_looking(app: Arc<App>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(DUE_EVERY) => {}
            () = app.ownership.hurry.notified() => {}
        }
        if let Err(error) = round(&app).await {
            tracing::error!(
                error = format!("{error:#}"),
                "cannot look for proofs of domains"
            );
        }
    }
}

async fn round(app: &Arc<App>) -> anyhow::Result<()> {
    let now_ms = app.clock.now_ms();
    let due = domains::due(&app.store, now_ms, DUE_AT_ONCE).await?;
    let looks = due.into_iter().map(|domain| async {
        let id = domain.id;
        let next_ms = now_ms.saturating_add(UNFINISHED_MS);
        match domains::claim_look(&app.store, &domain, next_ms).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(domain = id, %error, "a look for the proof of a domain cannot begin");
                return;
            }
        }
        if let Err(error) = check(app, domain).await {
            tracing::warn!(domain = id, %error, "a look for the proof of a domain failed");
        }
    });
    futures_util::future::join_all(looks).await;
    Ok(())
}
