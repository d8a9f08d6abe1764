//! What a cluster is made of, and the settings of each of its processes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// How many of each.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Kafka brokers.
    pub brokers: u32,
    /// `signpost control-plane`
    pub control_planes: usize,
    /// `signpost proxy`
    pub proxies: usize,
    /// `signpost ingest`
    pub ingest_workers: usize,
}

impl Counts {
    /// What `make up-cluster` runs.
    pub const USUAL: Self = Self {
        brokers: 3,
        control_planes: 2,
        proxies: 3,
        ingest_workers: 2,
    };
}

/// Where things are and what they are told.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many of each.
    pub counts: Counts,
    /// The program `signpost`.
    pub program: PathBuf,
    /// `deploy/dev` of the repository.
    pub scripts: PathBuf,
    /// What `make fetch` and `deploy/dev/fetch kafka` got.
    pub cache: PathBuf,
    /// Everything that is kept.
    pub folder: PathBuf,
    /// Where haproxy takes visitors; port 0: a free one.
    pub visitors: SocketAddr,
    /// Where haproxy takes calls of the API; port 0: a free one.
    pub api: SocketAddr,
    /// Settings for all, except for where things are.
    pub settings: BTreeMap<String, String>,
    /// Clients reach brokers and ClickHouse through relays, which can be cut.
    pub relayed: bool,
}

impl Plan {
    /// Of the program and the scripts of a repository, on free ports.
    pub fn new(
        counts: Counts,
        program: &Path,
        repository: &Path,
        cache: &Path,
        folder: &Path,
    ) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            counts,
            program: program.to_owned(),
            scripts: repository.join("deploy/dev"),
            cache: cache.to_owned(),
            folder: folder.to_owned(),
            visitors: any,
            api: any,
            settings: BTreeMap::new(),
            relayed: false,
        }
    }
}

/// The address itself, or a free port of it. Somebody else may take it before it is used; the start then fails.
pub(crate) fn or_free(addr: SocketAddr) -> anyhow::Result<SocketAddr> {
    if addr.port() != 0 {
        return Ok(addr);
    }
    let listener = TcpListener::bind(addr).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// A free port of this machine.
pub(crate) fn free() -> anyhow::Result<SocketAddr> {
    or_free(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
}
