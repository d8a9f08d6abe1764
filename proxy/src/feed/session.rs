//! One session: a snapshot if need be, then changes until something ends it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use metrics::counter;
use prost::Message as _;
use schemas::feed::{Change, FrameError, GROUPS, HEARTBEAT_SECONDS, Kind, SnapshotRequest, paths};
use schemas::settings::Secret;

use super::Client;
use super::client::{Frames, ask};
use super::parts::{Coming, Parts};
use crate::config::FeedUrl;
use crate::metrics as names;
use crate::table::{Around, GroupSet, Invalid, LinkTable, SharedTables, Version};

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
                    let mut changes = vec![change];
                    let mut raws = vec![raw];
                    let most = self.table.load().links_at_once();
                    frames.more_changes(most, &mut changes, &mut raws);
                    self.apply(&changes, raws)?;
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

    /// Applies changes that follow each other, as one if they are right. Each copies the parts of the table that it touches,
    /// and a thousand links touch a thousand parts: a bulk load by single changes would be copying above all.
    fn apply(&mut self, changes: &[Change], raws: Vec<Bytes>) -> Result<(), Ended> {
        let table = self.table.load_full();
        let (table, applied, outcome) = match table.apply_all(changes) {
            Ok(table) => (table, changes.len(), Ok(())),
            // One of them is wrong in itself: those before it hold.
            Err(error) => {
                let (mut next, mut applied) = (None, 0);
                for change in changes {
                    match next.as_ref().unwrap_or(&*table).apply(change) {
                        Ok(table) => next = Some(table),
                        Err(_) => break,
                    }
                    applied += 1;
                }
                match next {
                    Some(table) => (table, applied, Err(error)),
                    None => return Err(error.into()),
                }
            }
        };
        self.publish(table);
        let now_ms = unix_ms();
        for (change, raw) in changes.iter().zip(raws).take(applied) {
            self.blobs.changed(change);
            counter!(names::FEED_CHANGES).increment(1);
            let delay = now_ms.saturating_sub(change.committed_at_ms);
            self.metrics.delay.record(delay.max(0) as f64 / 1000.0);
            self.disk.change(change.seq, raw);
        }
        Ok(outcome?)
    }

    /// Takes a snapshot: of all groups, or of those that differ from what we hold and from what came of an earlier one that
    /// broke off.
    async fn snapshot(&mut self, url: &FeedUrl, token: &Secret) -> Result<(), Ended> {
        let table = self.table.load_full();
        let all = self.wants_all || !table.is_loaded();
        let mut parts = match self.parts.take() {
            Some(parts) => parts,
            None if all => Parts::nothing(),
            None => Parts::of(&table),
        };
        drop(table);
        let body = SnapshotRequest {
            group_sum: parts.sums.clone(),
        };
        let request = request(Method::POST, paths::SNAPSHOT, body.encode_to_vec().into())?;
        let mut frames = ask(url, token, request, SNAPSHOT_SILENCE).await?;
        let taken = take(&mut frames, &mut parts).await;
        let Taken {
            version,
            shared,
            links,
            groups,
        } = match taken {
            Ok(taken) => taken,
            Err(ended) => {
                // What came whole need not come again, unless it is in doubt itself.
                self.parts = (!matches!(ended, Ended::Incomplete(_))).then_some(parts);
                return Err(ended);
            }
        };
        let around = Around {
            version,
            shared,
            sums: parts.sums.into(),
            links,
            missing: GroupSet::none(),
        };
        let table = LinkTable::of(around, parts.pieces.into()).map_err(Ended::Incomplete)?;
        self.publish(table);
        self.blobs.replaced();
        counter!(names::FEED_SNAPSHOTS).increment(1);
        tracing::info!(
            seq = version.seq,
            links,
            groups,
            "took a snapshot from the feed"
        );
        self.disk.everything();
        Ok(())
    }
}

/// What a snapshot says beside its links.
struct Taken {
    version: Version,
    shared: SharedTables,
    links: u64,
    /// Groups that came.
    groups: usize,
}

/// Reads a snapshot, and brings `parts` to its state.
async fn take(frames: &mut Frames, parts: &mut Parts) -> Result<Taken, Ended> {
    let begin = match frames.next().await?.0 {
        Kind::SnapshotBegin(begin) => begin,
        other => return Err(Ended::Unexpected(name(&other))),
    };
    let mut shared = match frames.next().await?.0 {
        Kind::Shared(shared) => SharedTables::default().apply(&shared)?,
        other => return Err(Ended::Unexpected(name(&other))),
    };
    if begin.group_sum.len() != GROUPS {
        return Err(Ended::Incomplete(Invalid::Group(begin.group_sum.len())));
    }
    let version = Version::new(begin.seq, &begin.change)?;
    let mut coming = Coming::new(begin.group_sum);
    let links = loop {
        match frames.next().await?.0 {
            Kind::Group(group) => coming.group(&group, parts)?,
            // Pages take frames of their own.
            Kind::Shared(more) => shared = shared.apply(&more)?,
            Kind::SnapshotEnd(end) => break end.links,
            other => return Err(Ended::Unexpected(name(&other))),
        }
    };
    Ok(Taken {
        version,
        shared,
        links,
        groups: coming.finish(parts)?,
    })
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
