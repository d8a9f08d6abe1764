//! Where nothing of ours may lead, asked wherever an owner names a URL: short domains of ours, for visitors would go in a
//! circle or through chains, and what the block list names.
//!
//! A link never leads to a short domain of ours, also not to one of another workspace, so a loop cannot be closed: its last
//! link would lead to a domain that is known. A domain that becomes known after links lead to it makes chains of two, and
//! moving a link of such a chain is checked again where it is written (`store::links`).

use crate::app::App;
use crate::domain::destination::{self, Destination};
use crate::domain::field::FieldError;
use crate::metrics;
use crate::store::domains;

/// Domains of ours among the hosts of a call: one question for all its URLs.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    own_hosts: Vec<String>,
}

impl Checks {
    /// For URLs with these hosts, see [`Destination::host`].
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of(app: &App, mut hosts: Vec<String>) -> sqlx::Result<Self> {
        hosts.sort_unstable();
        hosts.dedup();
        Ok(Self {
            own_hosts: domains::known(&app.store, &hosts).await?,
        })
    }

    /// Adds a host that is about to be a domain of ours.
    pub(crate) fn with(mut self, host: Option<&str>) -> Self {
        self.own_hosts.extend(host.map(str::to_owned));
        self
    }

    /// Checks one of these URLs, in `field`.
    ///
    /// # Errors
    /// It leads where nothing of ours may lead.
    pub(crate) fn check(
        &self,
        app: &App,
        field: &str,
        url: &Destination,
    ) -> Result<(), FieldError> {
        if self.is_ours(app, url) {
            return Err(destination::leads_back(field));
        }
        check_listed(app, field, url.as_str())
    }

    /// Whether it leads to a domain of ours.
    pub(crate) fn is_ours(&self, app: &App, url: &Destination) -> bool {
        url.is_address_of(&app.own_address)
            || url
                .host()
                .is_some_and(|host| self.own_hosts.contains(&host))
    }
}

/// Checks a URL of any scheme, or an empty one, against the block list alone: for what may well be one of ours.
///
/// # Errors
/// It is listed.
pub(crate) fn check_listed(app: &App, field: &str, url: &str) -> Result<(), FieldError> {
    let checked = app.store.guard().blocklist().check(field, url);
    if checked.is_err() {
        metrics::destination_blocked();
    }
    checked
}
