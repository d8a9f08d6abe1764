//! One session: a snapshot if need be, then changes until something ends it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use metrics::counter;
use prost::Message as _;
use schemas::feed::{
    Change, FrameError, GROUPS, HEARTBEAT_SECONDS, Kind, SnapshotBegin, SnapshotGroup,
    SnapshotRequest, group_of, key_hash, paths,
};
use schemas::link::Entry;
use schemas::settings::Secret;

use super::Client;
use super::client::{Frames, ask};
use crate::config::FeedUrl;
use crate::metrics as names;
use crate::table::{GroupSet, Invalid, SharedTables, Source, Version, check_group};

/// How long the feed may say nothing: three heartbeats.
const SILENCE: Duration = Duration::from_secs(3 * HEARTBEAT_SECONDS);

/// How long a snapshot may say nothing. Longer, for the control plane may have to read a while before it begins.
const SNAPSHOT_SILENCE: Duration = Duration::from_secs(60);

/// Heartbeats in a row that may tell of transactions we have not got, before the session is given up.
const MAX_BEHIND: u32 = 3;

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// No connection.
    #[error("cannot connect to the control plane: {0}")]
    Connect(std::io::Error),
    /// The address leads to another machine.
    #[error("the feed's address leads to another machine, and it must not travel in clear")]
    Cleartext,
    /// The token holds what must not stand in a header.
    #[error("the feed's token is not printable")]
    Token,
    /// HTTP went wrong.
    #[error("the connection to the control plane failed: {0}")]
    Http(hyper::Error),
    /// An answer other than 200.
    #[error("the control plane answered {0}")]
    Status(StatusCode),
    /// Nothing came for too long.
    #[error("the control plane says nothing")]
    Silent,
    /// The control plane hung up.
    #[error("the control plane closed the feed")]
    Closed,
    /// No frame of ours.
    #[error("{0}")]
    Frame(FrameError),
    /// A frame that must not come here.
    #[error("{0} where it does not belong")]
    Unexpected(&'static str),
    /// A message that must not be applied.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The database's history is not ours.
    #[error("the database does not know our state, a snapshot is due")]
    Unknown,
    /// A snapshot that does not fit what we hold.
    #[error("the snapshot does not add up: {0}")]
    Incomplete(Invalid),
    /// Changes do not come although there are some.
    #[error("the feed tells of changes and does not send them")]
    Behind,
}

impl Ended {
    /// Value of the metric's label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Cleartext => "cleartext",
            Self::Token => "token",
            Self::Http(_) => "http",
            Self::Status(_) => "status",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Frame(_) => "frame",
            Self::Unexpected(_) => "unexpected",
            Self::Invalid(_) => "invalid",
            Self::Unknown => "unknown_history",
            Self::Incomplete(_) => "incomplete",
            Self::Behind => "behind",
        }
    }
}

impl Client {
    /// A session until its end, and whether the control plane was of use.
    pub(super) async fn session(&mut self, url: &FeedUrl, token: &Secret) -> (Ended, bool) {
        let table = self.table.load_full();
        if self.wants_snapshot || self.wants_all || !table.is_loaded() || table.missing().is_some()
        {
            if let Err(ended) = self.snapshot(url, token).await {
                return (ended, false);
            }
            self.wants_snapshot = false;
            self.wants_all = false;
        }
        drop(table);
        let mut greeted = false;
        match self.follow(url, token, &mut greeted).await {
            Err(ended) => (ended, greeted),
            Ok(never) => match never {},
        }
    }

    async fn follow(
        &mut self,
        url: &FeedUrl,
        token: &Secret,
        greeted: &mut bool,
    ) -> Result<std::convert::Infallible, Ended> {
        let version = self.table.load().version();
        let target = format!(
            "{}?after={}&change={}",
            paths::FEED,
            version.seq,
            hex::encode(version.change)
        );
        let request = request(Method::GET, &target, Bytes::new())?;
        let mut frames = ask(url, token, request, SILENCE).await?;
        match frames.next().await?.0 {
            Kind::Hello(hello) if hello.resumed && hello.seq >= version.seq => {}
            Kind::Hello(_) => return Err(Ended::Unknown),
            other => return Err(Ended::Unexpected(name(&other))),
        }
        *greeted = true;
        self.metrics.connected.set(1.0);
        tracing::info!(seq = version.seq, url = %url.authority, "following the feed");
        let mut behind = 0;
        loop {
            match frames.next().await? {
                (Kind::Change(change), raw) => {
                    behind = 0;
                    self.apply(&change, raw)?;
                }
                (Kind::Heartbeat(heartbeat), _) => {
                    self.retired.sweep();
                    let seq = self.table.load().version().seq;
                    self.metrics
                        .lag
                        .set(heartbeat.seq.saturating_sub(seq) as f64);
                    if heartbeat.seq < seq {
                        return Err(Ended::Unknown);
                    }
                    behind = if heartbeat.seq > seq { behind + 1 } else { 0 };
                    if behind >= MAX_BEHIND {
                        return Err(Ended::Behind);
                    }
                }
                (other, _) => return Err(Ended::Unexpected(name(&other))),
            }
        }
    }

    fn apply(&mut self, change: &Change, raw: Bytes) -> Result<(), Ended> {
        let table = self.table.load_full().apply(change)?;
        self.publish(table);
        self.blobs.changed(change);
        counter!(names::FEED_CHANGES).increment(1);
        let delay = unix_ms().saturating_sub(change.committed_at_ms);
        self.metrics.delay.record(delay.max(0) as f64 / 1000.0);
        self.disk.change(change.seq, raw);
        Ok(())
    }

    /// Takes a snapshot: of all groups, or of those that differ from what we hold.
    async fn snapshot(&mut self, url: &FeedUrl, token: &Secret) -> Result<(), Ended> {
        let table = self.table.load_full();
        let all = self.wants_all || !table.is_loaded();
        let held: Vec<u64> = if all {
            Vec::new()
        } else {
            table.sums().to_vec()
        };
        let body = SnapshotRequest {
            group_sum: held.clone(),
        };
        let request = request(Method::POST, paths::SNAPSHOT, body.encode_to_vec().into())?;
        let mut frames = ask(url, token, request, SNAPSHOT_SILENCE).await?;
        let mut taken = Taken::new(&mut frames).await?;
        let links = taken.groups(&mut frames).await?;
        let mut got = taken.links;
        for group in 0..GROUPS {
            let expected = taken.sums.get(group).copied().unwrap_or_default();
            let have = match taken.packed.get(&group) {
                Some(packed) => packed.sum,
                None => held.get(group).copied().unwrap_or_default(),
            };
            if have != expected {
                return Err(Ended::Incomplete(Invalid::Sum(group)));
            }
        }
        if !all {
            // Links of the groups that stay.
            table.for_each_in(0, 0, |group, _| {
                got += u64::from(!taken.packed.contains_key(&group));
            });
        }
        if got != links {
            return Err(Ended::Incomplete(Invalid::Count {
                expected: links,
                got,
            }));
        }
        let version = taken.version;
        let shared = std::mem::take(&mut taken.shared);
        let sums = std::mem::take(&mut taken.sums).into();
        let replaced = taken.packed.len();
        let assembled = table
            .assemble(
                version,
                shared,
                sums,
                links,
                GroupSet::none(),
                |group| match taken.packed.remove(&group) {
                    Some(packed) => Source::Replace(packed.bytes.into()),
                    None if all => Source::Replace(Bytes::new()),
                    None => Source::Keep,
                },
            )
            .map_err(Ended::Incomplete)?;
        drop(table);
        self.publish(assembled);
        self.blobs.replaced();
        counter!(names::FEED_SNAPSHOTS).increment(1);
        tracing::info!(
            seq = version.seq,
            links,
            groups = replaced,
            "took a snapshot from the feed"
        );
        self.disk.everything();
        Ok(())
    }
}

/// A group as it comes in.
#[derive(Default)]
struct Packed {
    bytes: Vec<u8>,
    sum: u64,
    whole: bool,
}

/// A snapshot as it comes in.
struct Taken {
    version: Version,
    sums: Vec<u64>,
    shared: SharedTables,
    packed: HashMap<usize, Packed>,
    links: u64,
}

impl Taken {
    /// Reads the first two frames.
    async fn new(frames: &mut Frames) -> Result<Self, Ended> {
        let begin = match frames.next().await?.0 {
            Kind::SnapshotBegin(begin) => begin,
            other => return Err(Ended::Unexpected(name(&other))),
        };
        let shared = match frames.next().await?.0 {
            Kind::Shared(shared) => shared,
            other => return Err(Ended::Unexpected(name(&other))),
        };
        let SnapshotBegin {
            seq,
            change,
            group_sum,
        } = begin;
        if group_sum.len() != GROUPS {
            return Err(Ended::Incomplete(Invalid::Group(group_sum.len())));
        }
        Ok(Self {
            version: Version::new(seq, &change)?,
            sums: group_sum,
            shared: SharedTables::default().apply(&shared)?,
            packed: HashMap::new(),
            links: 0,
        })
    }

    /// Reads all groups, and returns how many links the whole database has.
    async fn groups(&mut self, frames: &mut Frames) -> Result<u64, Ended> {
        loop {
            match frames.next().await?.0 {
                Kind::Group(group) => self.group(&group)?,
                // Pages take frames of their own.
                Kind::Shared(shared) => self.shared = self.shared.apply(&shared)?,
                Kind::SnapshotEnd(end) => {
                    if let Some((group, _)) = self.packed.iter().find(|(_, p)| !p.whole) {
                        return Err(Ended::Incomplete(Invalid::Group(*group)));
                    }
                    return Ok(end.links);
                }
                other => return Err(Ended::Unexpected(name(&other))),
            }
        }
    }

    fn group(&mut self, message: &SnapshotGroup) -> Result<(), Ended> {
        let number = message.group as usize;
        if number >= GROUPS {
            return Err(Invalid::Group(number).into());
        }
        let packed = self.packed.entry(number).or_default();
        if packed.whole {
            return Err(Invalid::Group(number).into());
        }
        for bytes in &message.entry {
            let entry = Entry::parse(bytes).map_err(Invalid::from)?;
            if group_of(key_hash(entry.domain, entry.slug)) != number {
                return Err(Invalid::Group(number).into());
            }
            packed.bytes.extend_from_slice(bytes);
            self.links += 1;
        }
        if message.last {
            packed.whole = true;
            packed.bytes.shrink_to_fit();
            packed.sum = check_group(number, &packed.bytes)?.sum;
        }
        Ok(())
    }
}

fn request(method: Method, target: &str, body: Bytes) -> Result<Request<Full<Bytes>>, Ended> {
    Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(body))
        .map_err(|_| Ended::Unexpected("a target"))
}

fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Hello(_) => "a hello",
        Kind::Change(_) => "a change",
        Kind::Heartbeat(_) => "a heartbeat",
        Kind::SnapshotBegin(_) => "the beginning of a snapshot",
        Kind::Shared(_) => "shared tables",
        Kind::Group(_) => "a group",
        Kind::SnapshotEnd(_) => "the end of a snapshot",
    }
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}
