//! What every dialect does with links: the rules of [`crate::domain`] and the database together.

use std::collections::{BTreeMap, HashMap};

use schemas::host::Host;
use schemas::slug::{Slug, lookup_key};

use crate::app::App;
use crate::destinations::{self, Checks};
use crate::domain::alias::Letters;
use crate::domain::date::{self, DAY_MS};
use crate::domain::field::FieldError;
use crate::domain::link::{Content, Edit, Groups};
use crate::domain::page::PageSpec;
use crate::error::ApiError;
use crate::pages::PageError;
use crate::store::domains::{self, Domain};
use crate::store::links::{self, Added, Change, Inserted, Link, NewLink, Together, WriteError};
use crate::store::looks::Look;
use crate::store::quarantine;

/// What a caller wants of a new link, or of a changed one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// The slug; `None`: a random one, or the one it has.
    pub(crate) slug: Option<Slug>,
    /// Of which letters a random one is.
    pub(crate) letters: Letters,
    /// The domain, with or without scheme; `None`: the default one, or the one it has.
    pub(crate) domain: Option<String>,
    /// The password; `Some(None)`: none.
    pub(crate) password: Option<Option<Secret>>,
    /// Where it is filed.
    pub(crate) groups: Groups,
    /// Clicks it had elsewhere.
    pub(crate) imported_clicks: i64,
    /// When it was made elsewhere, milliseconds since 1970.
    pub(crate) created_at: Option<i64>,
    /// What its destination is asked afterwards.
    pub(crate) look: Look,
    /// Everything else.
    pub(crate) edit: Edit,
}

/// A password on its way to being hashed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// A new link that has been checked, but for what only its transaction can know.
#[derive(Debug)]
pub(crate) struct Ready {
    /// `None`: the default one.
    domain: Option<Domain>,
    wish: Wish,
    content: Content,
}

impl Ready {
    /// As the database takes it.
    pub(crate) fn new_link<'a>(&'a self, default_domain: &'a Domain) -> NewLink<'a> {
        NewLink {
            domain: self.domain.as_ref().unwrap_or(default_domain),
            slug: self.wish.slug.clone(),
            letters: self.wish.letters,
            content: self.content.clone(),
            groups: self.wish.groups.clone(),
            imported_clicks: self.wish.imported_clicks,
            created_at: self.wish.created_at,
            look: self.wish.look,
            hosts: Vec::new(),
        }
    }

    /// As [`Self::new_link`], for a transaction that asks whether it leads back to one of our domains.
    pub(crate) fn unasked_link<'a>(&'a self, default_domain: &'a Domain) -> NewLink<'a> {
        let urls = self.wish.edit.urls();
        NewLink {
            hosts: urls
                .filter_map(|(field, url)| Some((field, url.host()?)))
                .collect(),
            ..self.new_link(default_domain)
        }
    }
}

/// Adds one link: together with those that others add at the same time, where it needs nothing but itself.
pub(crate) async fn add(app: &App, workspace: i64, mut wish: Wish) -> Result<Link, ApiError> {
    hash_passwords(app, std::iter::once(&mut wish)).await?;
    // Which domains are ours is asked in the transaction, for all that go in together.
    let checks = Checks::default();
    let ready = prepare(app, workspace, (&checks, &mut Named::default()), wish).await?;
    if ready.new_link(&app.default_domain).stands_alone() {
        let domain = ready.domain.as_ref().unwrap_or(&app.default_domain).id;
        let added = app.adding.add(workspace, ready).await?;
        return added_one(app, (workspace, domain), added).await;
    }
    let wish = ready.wish;
    let mut added = add_all(app, workspace, vec![Ok(wish)], Together::AllOrNothing).await?;
    added.pop().unwrap_or_else(|| {
        Err(ApiError::Internal(anyhow::anyhow!(
            "one link went in, none came out"
        )))
    })
}

/// Adds links in one transaction and says of each what became of it. Wishes that are wrong already stay so.
pub(crate) async fn add_all(
    app: &App,
    workspace: i64,
    mut wishes: Vec<Result<Wish, ApiError>>,
    together: Together,
) -> Result<Vec<Result<Link, ApiError>>, ApiError> {
    hash_passwords(app, wishes.iter_mut().flatten()).await?;
    let checks = Checks::of(app, hosts(wishes.iter().flatten())).await?;
    let mut named = Named::default();
    let mut results: Vec<Option<Result<Link, ApiError>>> = Vec::with_capacity(wishes.len());
    let mut checked: Vec<(usize, Ready)> = Vec::new();
    for (place, wish) in wishes.into_iter().enumerate() {
        let ready = match wish {
            Ok(wish) => prepare(app, workspace, (&checks, &mut named), wish).await,
            Err(error) => Err(error),
        };
        match ready {
            Ok(ready) => {
                checked.push((place, ready));
                results.push(None);
            }
            Err(error) => results.push(Some(Err(error))),
        }
    }
    let hopeless = together == Together::AllOrNothing && results.iter().any(Option::is_some);
    if !checked.is_empty() && !hopeless {
        let new = checked
            .iter()
            .map(|(_, ready)| ready.new_link(&app.default_domain));
        let Inserted {
            results: added,
            stored,
        } = links::insert(
            &app.store,
            workspace,
            new.collect(),
            together,
            app.clock.now_ms(),
        )
        .await?;
        for ((place, ready), added) in checked.iter().zip(added) {
            if matches!(added, Added::Link(_)) && !stored && together != Together::DryRun {
                continue;
            }
            let domain = ready.domain.as_ref().unwrap_or(&app.default_domain).id;
            let result = added_one(app, (workspace, domain), added).await;
            if let Some(slot) = results.get_mut(*place) {
                *slot = Some(result);
            }
        }
    }
    let undone = || {
        ApiError::field(
            "atomic",
            "is set and another link of this call cannot be added, so this one was not added either",
        )
    };
    Ok(results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| Err(undone())))
        .collect())
}

/// What a caller is told of a link that was to be added to a domain.
async fn added_one(
    app: &App,
    (workspace, domain): (i64, i64),
    added: Added,
) -> Result<Link, ApiError> {
    match added {
        Added::Link(link) => Ok(*link),
        Added::Taken(slug) => Err(taken(app, workspace, (domain, slug)).await?),
        Added::Refused(error) => Err(error.into()),
    }
}

/// Changes one link.
pub(crate) async fn update(
    app: &App,
    workspace: i64,
    id: i64,
    mut wish: Wish,
) -> Result<Link, ApiError> {
    hash_passwords(app, std::iter::once(&mut wish)).await?;
    let checks = Checks::of(app, hosts(std::iter::once(&wish))).await?;
    check_urls(app, &checks, &wish.edit)?;
    let mut named = Named::default();
    named.check_parts(app, workspace, &wish.edit).await?;
    let domain = match &wish.domain {
        None => None,
        Some(text) => Some(
            usable_domain(app, workspace, text)
                .await?
                .unwrap_or_else(|| app.default_domain.clone()),
        ),
    };
    let now_ms = app.clock.now_ms();
    let change = Change {
        edit: &wish.edit,
        domain: domain.as_ref(),
        slug: wish.slug.as_ref(),
        groups: &wish.groups,
    };
    match links::update(&app.store, (workspace, id), change, now_ms).await {
        Ok(link) => Ok(link),
        Err(WriteError::NotFound) => Err(ApiError::not_found("link", id)),
        Err(WriteError::Taken(slug)) => {
            let domain = match &domain {
                Some(domain) => Some(domain.id),
                None => links::get(&app.store, workspace, id)
                    .await?
                    .map(|link| link.domain_id),
            };
            let domain = domain.unwrap_or(app.default_domain.id);
            Err(taken(app, workspace, (domain, slug)).await?)
        }
        Err(other) => Err(other.into()),
    }
}

/// Why a slug cannot be had.
pub(crate) async fn taken(
    app: &App,
    workspace: i64,
    (domain, slug): (i64, Slug),
) -> Result<ApiError, ApiError> {
    let rests = quarantine::free_at(&app.store, (domain, &slug), workspace).await?;
    Ok(match rests {
        Some(at) => ApiError::AliasRests {
            slug: slug.to_string(),
            // The first whole day of it.
            free: date::format_day(at.saturating_add(DAY_MS - 1)),
        },
        None => ApiError::AliasTaken(slug.to_string()),
    })
}

/// Deletes one link.
pub(crate) async fn delete(app: &App, workspace: i64, id: i64) -> Result<(), ApiError> {
    links::delete(&app.store, (workspace, id), app.clock.now_ms())
        .await
        .map_err(|error| match error {
            WriteError::NotFound => ApiError::not_found("link", id),
            other => other.into(),
        })
}

/// The workspace's link of this full short URL, with or without scheme.
pub(crate) async fn by_short_url(app: &App, workspace: i64, short: &str) -> Result<Link, ApiError> {
    let missing = || ApiError::not_found("link", short);
    let rest = short
        .trim()
        .split_once("://")
        .map_or(short.trim(), |(_, rest)| rest);
    let (host, path) = rest.split_once('/').ok_or_else(missing)?;
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let slug = lookup_key(path).map_err(|_| missing())?;
    let domain = match Host::parse(host).map_err(|_| missing())? {
        Host::Default => app.default_domain.id,
        Host::Name(name) => {
            domains::by_host(&app.store, &name)
                .await?
                .ok_or_else(missing)?
                .id
        }
    };
    // The exact form wins, else one trailing slash is ignored: as visitors have it.
    for slug in [&*slug, slug.strip_suffix('/').unwrap_or(&slug)] {
        if let Some(link) = links::by_slug(&app.store, workspace, domain, slug).await? {
            return Ok(link);
        }
    }
    Err(missing())
}

/// What the links of one call name, each asked for once: a thousand links on one domain cost one look.
#[derive(Debug, Default)]
struct Named {
    domains: HashMap<String, Result<Option<Domain>, FieldError>>,
    pages: HashMap<PageSpec, Result<(), FieldError>>,
}

impl Named {
    /// Checks that the splash page, overlay and pixels that a change names are the workspace's.
    async fn check_parts(
        &mut self,
        app: &App,
        workspace: i64,
        edit: &Edit,
    ) -> Result<(), ApiError> {
        let Some(spec) = edit.extras.page_spec()? else {
            return Ok(());
        };
        if let Some(known) = self.pages.get(&spec) {
            return Ok(known.clone()?);
        }
        let checked = match crate::pages::check(&app.store, workspace, &spec).await {
            Ok(()) => Ok(()),
            Err(PageError::Field(error)) => Err(error),
            Err(PageError::Failed(error)) => return Err(ApiError::Internal(error)),
        };
        self.pages.insert(spec, checked.clone());
        Ok(checked?)
    }

    /// As [`usable_domain`].
    async fn domain(
        &mut self,
        app: &App,
        workspace: i64,
        text: &str,
    ) -> Result<Option<Domain>, ApiError> {
        if let Some(known) = self.domains.get(text) {
            return Ok(known.clone()?);
        }
        let found = find_domain(app, workspace, text).await?;
        self.domains.insert(text.to_owned(), found.clone());
        Ok(found?)
    }
}

/// Replaces passwords by their hashes. Equal passwords of one call share a hash: a thousand links with one password cost
/// one hashing.
async fn hash_passwords<'a>(
    app: &App,
    wishes: impl Iterator<Item = &'a mut Wish>,
) -> Result<(), ApiError> {
    let mut waiting: Vec<(&mut Wish, Secret)> = Vec::new();
    for wish in wishes {
        match wish.password.take() {
            None => {}
            Some(None) => wish.edit.extras.password_phc = Some(None),
            Some(Some(secret)) => waiting.push((wish, secret)),
        }
    }
    let mut hashed: BTreeMap<Secret, String> = BTreeMap::new();
    for (wish, secret) in waiting {
        let phc = match hashed.get(&secret) {
            Some(phc) => phc.clone(),
            None => {
                let phc = app.passwords.digest(secret.0.clone()).await?;
                hashed.insert(secret, phc.clone());
                phc
            }
        };
        wish.edit.extras.password_phc = Some(Some(phc));
    }
    Ok(())
}

async fn prepare(
    app: &App,
    workspace: i64,
    (checks, named): (&Checks, &mut Named),
    wish: Wish,
) -> Result<Ready, ApiError> {
    if wish.edit.destination.is_none() {
        return Err(ApiError::field("url", "is required"));
    }
    check_urls(app, checks, &wish.edit)?;
    named.check_parts(app, workspace, &wish.edit).await?;
    let mut content = Content::default();
    content.apply(&wish.edit)?;
    let domain = match &wish.domain {
        None => None,
        Some(text) => named.domain(app, workspace, text).await?,
    };
    Ok(Ready {
        domain,
        wish,
        content,
    })
}

/// The live domain of this text that the workspace may use; `None` for the default one.
pub(crate) async fn usable_domain(
    app: &App,
    workspace: i64,
    text: &str,
) -> Result<Option<Domain>, ApiError> {
    Ok(find_domain(app, workspace, text).await??)
}

/// The outer error is the database's.
async fn find_domain(
    app: &App,
    workspace: i64,
    text: &str,
) -> sqlx::Result<Result<Option<Domain>, FieldError>> {
    let refused = || {
        let shown: String = text.chars().take(80).collect();
        let problem = format!("'{shown}' is not a live domain of this workspace");
        Err(FieldError::new("domain", problem))
    };
    let lower = text.trim().to_ascii_lowercase();
    let host = lower
        .strip_prefix("https://")
        .or_else(|| lower.strip_prefix("http://"))
        .unwrap_or(&lower);
    Ok(match Host::parse(host.trim_end_matches('/')) {
        Ok(Host::Default) if app.default_domain.host == "localhost" => Ok(None),
        Ok(Host::Name(name)) if name == app.default_domain.host => Ok(None),
        Ok(Host::Name(name)) => domains::by_host(&app.store, &name)
            .await?
            .filter(|d| d.is_live && d.workspace_id.is_none_or(|owner| owner == workspace))
            .map_or_else(refused, |domain| Ok(Some(domain))),
        Ok(Host::Default) | Err(_) => refused(),
    })
}

/// Hosts of all URLs of a call.
fn hosts<'a>(wishes: impl Iterator<Item = &'a Wish>) -> Vec<String> {
    let urls = wishes.flat_map(|wish| wish.edit.urls());
    urls.filter_map(|(_, url)| url.host()).collect()
}

fn check_urls(app: &App, checks: &Checks, edit: &Edit) -> Result<(), FieldError> {
    for (field, url) in edit.urls() {
        checks.check(app, field, url)?;
    }
    for (field, url) in [
        ("metaimage", &edit.extras.meta_image),
        ("deeplink.apple", &edit.extras.app_apple),
        ("deeplink.google", &edit.extras.app_google),
    ] {
        destinations::check_listed(app, field, url.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound => Self::not_found("link", ""),
            WriteError::Taken(slug) => Self::AliasTaken(slug.to_string()),
            WriteError::Refused(error) => error.into(),
            WriteError::Plan(error) => error.into(),
            WriteError::Failed(error) => Self::Internal(error),
        }
    }
}
