//! What every dialect does with domains: the rules of [`crate::domain`], the proof of ownership and the database together.

use crate::app::App;
use crate::config::DomainCheck;
use crate::destinations::Checks;
use crate::domain::destination::Destination;
use crate::domain::domain_name::{self, DomainName};
use crate::domain::field::FieldError;
use crate::error::ApiError;
use crate::ownership;
use crate::store::domains::{self, Adding, Domain, NewClaim};

/// Where a domain's own paths lead, as a caller wants it: `None` leaves it, an empty text clears it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redirects {
    /// From `/`.
    pub(crate) root: Option<String>,
    /// From an unknown path.
    pub(crate) not_found: Option<String>,
}

/// What became of a new domain.
#[derive(Debug)]
pub(crate) enum New {
    /// It is there.
    Added(Box<Domain>),
    /// The workspace has it already, or it is another's.
    Conflict(FieldError),
}

/// As [`add_new`], where a conflict is an error like any other.
pub(crate) async fn add(
    app: &App,
    workspace: i64,
    name: &str,
    redirects: &Redirects,
) -> Result<Domain, ApiError> {
    match add_new(app, workspace, name, redirects).await? {
        New::Added(domain) => Ok(*domain),
        New::Conflict(error) => Err(error.into()),
    }
}

/// Adds a domain. Unless the administrator waives the proof, visitors do not get there before it is found.
pub(crate) async fn add_new(
    app: &App,
    workspace: i64,
    name: &str,
    redirects: &Redirects,
) -> Result<New, ApiError> {
    let name = DomainName::parse(name)?;
    if name.host == app.default_domain.host {
        return Ok(taken(&name));
    }
    let (root, not_found) = checked(app, redirects, Some(&name.host)).await?;
    let token = domain_name::new_token().map_err(|e| ApiError::Internal(e.into()))?;
    let new = NewClaim {
        name: &name,
        root_url: root.as_deref().unwrap_or_default(),
        not_found_url: not_found.as_deref().unwrap_or_default(),
        token: &token,
        live: app.config.domain_check == DomainCheck::Off,
    };
    match domains::add(&app.store, workspace, &new, app.clock.now_ms()).await? {
        Adding::Added(domain) => {
            // The record may be there from an earlier time.
            app.ownership.hurry();
            Ok(New::Added(domain))
        }
        Adding::Has => Ok(New::Conflict(FieldError::new(
            "domain",
            format!("'{}' has been added already", name.host),
        ))),
        Adding::Taken => Ok(taken(&name)),
        Adding::Refused(refusal) => Err(ApiError::Plan(refusal)),
    }
}

/// The domain of this id.
pub(crate) async fn get(app: &App, workspace: i64, id: i64) -> Result<Domain, ApiError> {
    domains::get(&app.store, workspace, id)
        .await?
        .ok_or_else(|| ApiError::not_found("domain", id))
}

/// Looks for the proof now.
pub(crate) async fn check(app: &App, workspace: i64, id: i64) -> Result<Domain, ApiError> {
    ownership::check(app, get(app, workspace, id).await?).await
}

/// Changes where a domain's own paths lead.
pub(crate) async fn update(
    app: &App,
    workspace: i64,
    id: i64,
    redirects: &Redirects,
) -> Result<(), ApiError> {
    let domain = get(app, workspace, id).await?;
    let (root, not_found) = checked(app, redirects, Some(&domain.name)).await?;
    let done = domains::update(
        &app.store,
        (workspace, id),
        root.as_deref(),
        not_found.as_deref(),
        app.clock.now_ms(),
    );
    if done.await? {
        Ok(())
    } else {
        Err(ApiError::not_found("domain", id))
    }
}

/// Deletes a domain. Its links stay, and answer nobody until the workspace adds the domain again.
pub(crate) async fn delete(app: &App, workspace: i64, id: i64) -> Result<(), ApiError> {
    if domains::delete(&app.store, (workspace, id), app.clock.now_ms()).await? {
        Ok(())
    } else {
        Err(ApiError::not_found("domain", id))
    }
}

fn taken(name: &DomainName) -> New {
    let problem = format!("'{}' is already in use", name.host);
    New::Conflict(FieldError::new("domain", problem))
}

type Urls = (Option<String>, Option<String>);

/// The URLs in their one form. They must not lead back to a short domain: visitors would go in a circle.
async fn checked(app: &App, redirects: &Redirects, own: Option<&str>) -> Result<Urls, ApiError> {
    let root = url("redirectroot", redirects.root.as_deref())?;
    let not_found = url("redirect404", redirects.not_found.as_deref())?;
    let all = [("redirectroot", &root), ("redirect404", &not_found)];
    let set = || {
        all.iter()
            .filter_map(|(field, url)| Some((*field, url.as_ref()?.as_ref()?)))
    };
    let hosts = set().filter_map(|(_, url)| url.host()).collect();
    let checks = Checks::of(app, hosts).await?.with(own);
    for (field, url) in set() {
        checks.check(app, field, url)?;
    }
    let text = |url: Option<Option<Destination>>| {
        url.map(|url| url.map(|u| u.as_str().to_owned()).unwrap_or_default())
    };
    Ok((text(root), text(not_found)))
}

fn url(field: &str, text: Option<&str>) -> Result<Option<Option<Destination>>, FieldError> {
    match text.map(|t| t.trim_matches(' ')) {
        None => Ok(None),
        Some("") => Ok(Some(None)),
        Some(text) => Destination::parse(field, text).map(|url| Some(Some(url))),
    }
}
