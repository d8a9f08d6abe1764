//! What many links share: domains, suspended workspaces, salts, cookie keys, pages. Small, so a change of any copies it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use http::HeaderValue;
use schemas::feed::{self, CookieKey, Salt};
use schemas::host::Host;
use schemas::link::MAX_DESTINATION_BYTES;

use super::Invalid;
use crate::pages::Page;

/// A domain's facts, ready to be written into answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    /// Its id, in the key of its links.
    pub id: u32,
    /// Normalised host name; empty for a default domain without a name of its own.
    pub host: Box<str>,
    /// Where `/` leads; `None`: our page.
    pub root: Option<HeaderValue>,
    /// Where an unknown path leads; `None`: our page.
    pub not_found: Option<HeaderValue>,
    /// False until its ownership is proved: as if it were not there.
    pub live: bool,
    /// Answers IP literals, `localhost` and requests without a host.
    pub is_default: bool,
}

/// Domains, suspended workspaces, salts, cookie keys, pages.
#[derive(Default)]
pub struct SharedTables {
    domains: HashMap<u32, Arc<Domain>, RandomState>,
    hosts: HashMap<Box<[u8]>, Arc<Domain>, RandomState>,
    default: Option<Arc<Domain>>,
    suspended: HashSet<u64, RandomState>,
    pub(super) salts: Arc<Vec<Salt>>,
    pub(super) cookie_keys: Arc<Vec<CookieKey>>,
    /// Copied only by a message that touches them: there may be many thousands.
    pages: Arc<HashMap<u64, Arc<Page>, RandomState>>,
}

impl std::fmt::Debug for SharedTables {
    // By hand, for the salts are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedTables")
            .field("domains", &self.domains.len())
            .field("suspended", &self.suspended.len())
            .field("salts", &self.salts.len())
            .field("pages", &self.pages.len())
            .finish_non_exhaustive()
    }
}

impl SharedTables {
    #[inline]
    pub(super) fn by_host(&self, host: &[u8]) -> Option<&Domain> {
        self.hosts.get(host).map(|domain| &**domain)
    }

    #[inline]
    pub(super) fn default_domain(&self) -> Option<&Domain> {
        self.default.as_deref()
    }

    #[inline]
    pub(super) fn is_suspended(&self, workspace: u64) -> bool {
        // Nearly always empty, and then not even a hash is worked out.
        !self.suspended.is_empty() && self.suspended.contains(&workspace)
    }

    pub(super) fn page(&self, id: u64) -> Option<&Arc<Page>> {
        self.pages.get(&id)
    }

    /// All pages, in no order.
    pub fn pages(&self) -> impl Iterator<Item = &Arc<Page>> {
        self.pages.values()
    }

    /// Number of domains.
    pub fn domains(&self) -> usize {
        self.domains.len()
    }

    /// These tables after a message.
    ///
    /// # Errors
    /// The first domain or page that breaks a rule.
    pub fn apply(&self, message: &feed::Shared) -> Result<Self, Invalid> {
        let mut domains = self.domains.clone();
        for id in &message.domain_delete {
            domains.remove(id);
        }
        for domain in &message.domain {
            domains.insert(domain.id, Arc::new(read_domain(domain)?));
        }
        let mut hosts = HashMap::with_capacity_and_hasher(domains.len(), RandomState::default());
        let mut default: Option<&Arc<Domain>> = None;
        for domain in domains.values().filter(|d| d.live) {
            if domain.is_default && default.is_none_or(|other| other.id > domain.id) {
                default = Some(domain);
            }
            if domain.host.is_empty() {
                continue;
            }
            let host = domain.host.as_bytes().into();
            if hosts.insert(host, Arc::clone(domain)).is_some() {
                return Err(Invalid::Domain {
                    id: domain.id,
                    why: "its host belongs to another domain too",
                });
            }
        }
        let mut suspended = self.suspended.clone();
        for workspace in &message.workspace {
            if workspace.suspended {
                suspended.insert(workspace.id);
            } else {
                suspended.remove(&workspace.id);
            }
        }
        let salts = match &message.salts {
            Some(salts) => Arc::new(salts.salt.clone()),
            None => Arc::clone(&self.salts),
        };
        let cookie_keys = match &message.cookie_keys {
            Some(keys) => Arc::new(keys.key.clone()),
            None => Arc::clone(&self.cookie_keys),
        };
        let mut pages = Arc::clone(&self.pages);
        if !message.page.is_empty() || !message.page_delete.is_empty() {
            let mut changed = (*pages).clone();
            for id in &message.page_delete {
                changed.remove(id);
            }
            for page in &message.page {
                let read = Page::read(page).map_err(|why| Invalid::Page { id: page.id, why })?;
                changed.insert(page.id, Arc::new(read));
            }
            pages = Arc::new(changed);
        }
        let default = default.cloned();
        Ok(Self {
            domains,
            hosts,
            default,
            suspended,
            salts,
            cookie_keys,
            pages,
        })
    }

    /// The message that makes these tables out of empty ones.
    pub fn to_message(&self) -> feed::Shared {
        let url = |value: &Option<HeaderValue>| {
            value
                .as_ref()
                .and_then(|v| v.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let domain = |d: &Arc<Domain>| feed::Domain {
            id: d.id,
            host: d.host.to_string(),
            root_url: url(&d.root),
            not_found_url: url(&d.not_found),
            live: d.live,
            is_default: d.is_default,
        };
        let workspace = |id: &u64| feed::Workspace {
            id: *id,
            suspended: true,
        };
        feed::Shared {
            domain: self.domains.values().map(domain).collect(),
            domain_delete: Vec::new(),
            workspace: self.suspended.iter().map(workspace).collect(),
            salts: Some(feed::Salts {
                salt: self.salts.to_vec(),
            }),
            page: self.pages.iter().map(|(id, p)| p.to_message(*id)).collect(),
            page_delete: Vec::new(),
            cookie_keys: Some(feed::CookieKeys {
                key: self.cookie_keys.to_vec(),
            }),
        }
    }
}

fn read_domain(message: &feed::Domain) -> Result<Domain, Invalid> {
    let fail = |why| Invalid::Domain {
        id: message.id,
        why,
    };
    // A public URL like http://127.0.0.1:8080 has a default domain without a name.
    let host = if message.host.is_empty() {
        String::new()
    } else {
        match Host::parse(&message.host) {
            Ok(Host::Name(name)) => name,
            Ok(Host::Default) => String::new(),
            Err(_) => return Err(fail("its host is no host name")),
        }
    };
    let url = |text: &str| {
        if text.is_empty() {
            return Ok(None);
        }
        let printable = text.bytes().all(|b| (0x21..=0x7e).contains(&b));
        if !printable || text.len() > MAX_DESTINATION_BYTES {
            return Err(fail("a url of it must not stand in a header"));
        }
        HeaderValue::from_str(text)
            .map(Some)
            .map_err(|_| fail("a url of it must not stand in a header"))
    };
    Ok(Domain {
        id: message.id,
        host: host.into(),
        root: url(&message.root_url)?,
        not_found: url(&message.not_found_url)?,
        live: message.live,
        is_default: message.is_default,
    })
}
