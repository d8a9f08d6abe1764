//! `POST /internal/v1/snapshot`: the whole of one instant of the database, less the groups of links the proxy says it
//! holds.
//!
//! Everything is read in one read transaction and streamed: rows become frames of [`SNAPSHOT_FRAME_BYTES`], a few of
//! which wait for the reader. A transaction that stays open keeps the database from tidying up (SQLite's WAL grows,
//! PostgreSQL keeps dead rows), so a reader that takes nothing for [`PIECE_DEADLINE`] is hung up on, and so is one that
//! takes longer than [`SNAPSHOT_DEADLINE`] in all. A snapshot that ends early ends in an error, never cleanly.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http::{StatusCode, header};
use prost::Message as _;
use schemas::feed::{
    self, Domain, GROUPS, Kind, SNAPSHOT_FRAME_BYTES, SnapshotBegin, SnapshotEnd, SnapshotGroup,
    SnapshotRequest, Workspace, encode_frame, entry_sum,
};
use sqlx::AnyConnection;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Admitted, FeedError, Position, Shared, frames, refusal};
use crate::app::App;
use crate::metrics;
use crate::store::{pages, salts};

/// Largest request body in bytes: all checksums in protobuf's longer form, and room.
const MAX_REQUEST_BYTES: usize = GROUPS * 9 + 1024;

/// Longest wait of a snapshot for its turn; the proxy tries again after that.
const TURN_DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for a reader to take one piece.
pub(super) const PIECE_DEADLINE: Duration = Duration::from_secs(15);

/// Longest life of a snapshot, and so of its transaction: ten million links at 2 MB/s.
const SNAPSHOT_DEADLINE: Duration = Duration::from_secs(600);

/// Bytes collected before they are handed to the connection: small groups travel together.
const PIECE_BYTES: usize = 64 << 10;

/// Pieces that wait for the reader.
const PIECES_WAITING: usize = 2;

/// Pages in one frame: half a megabyte when each is as large as may travel in the feed.
const PAGES_A_FRAME: i64 = 100;

type Piece = Result<Bytes, FeedError>;

/// The handler.
pub(super) async fn stream(
    _: Admitted,
    State(app): State<Arc<App>>,
    Extension(shared): Extension<Arc<Shared>>,
    body: Body,
) -> Response {
    let held = match request(body).await {
        Ok(held) => held,
        Err(refused) => return refused,
    };
    let turn = shared.snapshots.clone().acquire_owned();
    let Ok(Ok(turn)) = tokio::time::timeout(TURN_DEADLINE, turn).await else {
        let again = [(header::RETRY_AFTER, "1")];
        return (
            again,
            refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many snapshots at once",
            ),
        )
            .into_response();
    };
    let (pieces, waiting) = mpsc::channel(PIECES_WAITING);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let _turn = turn;
        let mut writer = Writer::new(pieces);
        let whole = tokio::time::timeout(SNAPSHOT_DEADLINE, write(&app, &held, &mut writer));
        let outcome = tokio::select! {
            outcome = whole => outcome.unwrap_or(Err(FeedError::Slow)),
            () = app.shutdown.cancelled() => Err(FeedError::Closed),
        };
        metrics::feed_snapshot(outcome.is_ok());
        match outcome {
            Ok(()) | Err(FeedError::Closed) => {}
            Err(error) => {
                if matches!(error, FeedError::Slow) {
                    metrics::slow_reader("snapshot");
                }
                tracing::warn!(%error, "snapshot broken off");
                writer.fail(error).await;
            }
        }
    }));
    // The stream owns the task: a reader that hangs up ends it.
    frames(Body::from_stream(stream::unfold(
        (waiting, task, false),
        |(mut waiting, task, done)| async move {
            if done {
                return None;
            }
            match waiting.recv().await {
                Some(Ok(bytes)) if bytes.is_empty() => None,
                Some(piece) => {
                    let failed = piece.is_err();
                    Some((piece, (waiting, task, failed)))
                }
                // Without the empty last piece it was not whole.
                None => Some((Err(FeedError::Closed), (waiting, task, true))),
            }
        },
    )))
}

/// The checksums the proxy holds: none or all.
async fn request(body: Body) -> Result<Vec<u64>, Response> {
    let bytes = axum::body::to_bytes(body, MAX_REQUEST_BYTES).await;
    let bytes = bytes.map_err(|_| {
        refusal(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("a snapshot request has at most {MAX_REQUEST_BYTES} bytes"),
        )
    })?;
    let sums = SnapshotRequest::decode(bytes)
        .ok()
        .map(|request| request.group_sum)
        .filter(|sums| sums.is_empty() || sums.len() == GROUPS);
    sums.ok_or_else(|| {
        refusal(
            StatusCode::BAD_REQUEST,
            &format!("not a snapshot request with none or {GROUPS} checksums"),
        )
    })
}

/// Writes the snapshot, frame by frame.
async fn write(app: &App, held: &[u64], writer: &mut Writer) -> Result<(), FeedError> {
    let mut tx = app.store.snapshot().await?;
    let at = Position::newest(&mut *tx).await?;
    let sums = group_sums(&mut tx).await?;
    let begin = SnapshotBegin {
        seq: at.seq,
        change: at.change.to_vec().into(),
        group_sum: sums.clone(),
    };
    writer.frame(Kind::SnapshotBegin(begin)).await?;
    let shared = shared_tables(&mut tx).await?;
    writer.frame(Kind::Shared(shared)).await?;
    write_pages(&mut tx, writer).await?;
    // Who holds nothing holds sum 0 everywhere.
    let differs = |group: usize| sums.get(group) != Some(held.get(group).unwrap_or(&0));
    for (first, last) in runs(differs) {
        write_groups(&mut tx, first, last, &sums, writer).await?;
    }
    let (links,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM links")
        .fetch_one(&mut *tx)
        .await?;
    tx.rollback().await?;
    let end = SnapshotEnd {
        links: u64::try_from(links).unwrap_or(0),
    };
    writer.frame(Kind::SnapshotEnd(end)).await?;
    writer.finish().await
}

/// Groups next to each other are read by one statement: a proxy that holds nothing costs one, not 4,096.
fn runs(differs: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for group in (0..GROUPS).filter(|group| differs(*group)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == group => *last = group,
            _ => runs.push((group, group)),
        }
    }
    runs
}

async fn group_sums(connection: &mut AnyConnection) -> Result<Vec<u64>, FeedError> {
    let rows: Vec<(i64, i64)> = sqlx::query_as("SELECT group_no, sum FROM feed_groups")
        .fetch_all(connection)
        .await?;
    let mut sums = vec![0; GROUPS];
    for (group, sum) in rows {
        let place = usize::try_from(group).ok().and_then(|g| sums.get_mut(g));
        *place.ok_or(FeedError::Row("group_no"))? = sum.cast_unsigned();
    }
    Ok(sums)
}

async fn shared_tables(connection: &mut AnyConnection) -> Result<feed::Shared, FeedError> {
    let domains: Vec<(i64, String, String, String, i64, i64)> = sqlx::query_as(
        "SELECT id, host, root_url, not_found_url, is_live, is_default FROM domains WHERE is_live = 1 ORDER BY id",
    )
    .fetch_all(&mut *connection)
    .await?;
    let workspaces: Vec<(i64, i64)> =
        sqlx::query_as("SELECT id, suspended FROM workspaces ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
    let salts = salts::all_salts(&mut *connection).await?;
    let cookie_keys = salts::all_cookie_keys(&mut *connection).await?;
    let domain = domains
        .into_iter()
        .map(|(id, host, root_url, not_found_url, live, default)| {
            Ok(Domain {
                id: u32::try_from(id).map_err(|_| FeedError::Row("domains.id"))?,
                host,
                root_url,
                not_found_url,
                live: live != 0,
                is_default: default != 0,
            })
        })
        .collect::<Result<_, FeedError>>()?;
    let workspace = workspaces
        .into_iter()
        .map(|(id, suspended)| Workspace {
            id: id.cast_unsigned(),
            suspended: suspended != 0,
        })
        .collect();
    Ok(feed::Shared {
        domain,
        domain_delete: Vec::new(),
        workspace,
        salts: Some(salts),
        cookie_keys: Some(cookie_keys),
        ..feed::Shared::default()
    })
}

/// Writes all pages, some in each frame.
async fn write_pages(connection: &mut AnyConnection, writer: &mut Writer) -> Result<(), FeedError> {
    let mut after = 0;
    loop {
        let pages = pages::after(&mut *connection, after, PAGES_A_FRAME).await?;
        let Some((last, _)) = pages.last() else {
            return Ok(());
        };
        after = *last;
        let shared = feed::Shared {
            page: pages.into_iter().map(|(_, page)| page).collect(),
            ..feed::Shared::default()
        };
        writer.frame(Kind::Shared(shared)).await?;
    }
}

/// Writes groups `first..=last` whole, the empty ones too.
async fn write_groups(
    connection: &mut AnyConnection,
    first: usize,
    last: usize,
    sums: &[u64],
    writer: &mut Writer,
) -> Result<(), FeedError> {
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>)>(
        "SELECT group_no, entry FROM links WHERE group_no >= $1 AND group_no <= $2 ORDER BY group_no",
    )
    .bind(first as i64)
    .bind(last as i64)
    .fetch(connection);
    let mut group = Group::new(first);
    while let Some((number, entry)) = rows.try_next().await? {
        let number = usize::try_from(number).map_err(|_| FeedError::Row("group_no"))?;
        while group.number < number {
            group = group.close(sums, writer).await?;
        }
        group.add(entry, writer).await?;
    }
    while group.number < last {
        group = group.close(sums, writer).await?;
    }
    group.close(sums, writer).await?;
    Ok(())
}

/// The group being written.
struct Group {
    number: usize,
    entries: Vec<Bytes>,
    bytes: usize,
    sum: u64,
}

impl Group {
    fn new(number: usize) -> Self {
        Self {
            number,
            entries: Vec::new(),
            bytes: 0,
            sum: 0,
        }
    }

    async fn add(&mut self, entry: Vec<u8>, writer: &mut Writer) -> Result<(), FeedError> {
        self.sum = self.sum.wrapping_add(entry_sum(&entry));
        self.bytes += entry.len();
        self.entries.push(entry.into());
        if self.bytes >= SNAPSHOT_FRAME_BYTES {
            self.bytes = 0;
            writer.frame(self.take(false)).await?;
        }
        Ok(())
    }

    fn take(&mut self, last: bool) -> Kind {
        Kind::Group(SnapshotGroup {
            group: self.number as u32,
            entry: std::mem::take(&mut self.entries),
            last,
        })
    }

    /// Ends the group and begins the next.
    async fn close(mut self, sums: &[u64], writer: &mut Writer) -> Result<Self, FeedError> {
        if sums.get(self.number) != Some(&self.sum) {
            // The proxy finds out too and says so; here is where it can be mended.
            metrics::feed_wrong_group();
            tracing::error!(
                group = self.number,
                "links differ from their group's checksum"
            );
        }
        let frame = self.take(true);
        writer.frame(frame).await?;
        Ok(Self::new(self.number + 1))
    }
}

/// Collects frames into pieces and hands them over.
struct Writer {
    piece: Vec<u8>,
    pieces: mpsc::Sender<Piece>,
}

impl Writer {
    fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            piece: Vec::new(),
            pieces,
        }
    }

    async fn frame(&mut self, kind: Kind) -> Result<(), FeedError> {
        let frame = encode_frame(kind)?;
        metrics::feed_frame(frame.len());
        if self.piece.is_empty() {
            self.piece = frame;
        } else {
            self.piece.extend_from_slice(&frame);
        }
        if self.piece.len() >= PIECE_BYTES {
            let piece = std::mem::take(&mut self.piece);
            self.send(Ok(piece.into())).await?;
        }
        Ok(())
    }

    /// Sends what is left and the mark of a whole snapshot.
    async fn finish(&mut self) -> Result<(), FeedError> {
        let piece = std::mem::take(&mut self.piece);
        if !piece.is_empty() {
            self.send(Ok(piece.into())).await?;
        }
        self.send(Ok(Bytes::new())).await
    }

    async fn fail(&mut self, error: FeedError) {
        // Nobody may be left to tell.
        let _ = self.pieces.try_send(Err(error));
    }

    async fn send(&mut self, piece: Piece) -> Result<(), FeedError> {
        tokio::time::timeout(PIECE_DEADLINE, self.pieces.send(piece))
            .await
            .map_err(|_| FeedError::Slow)?
            .map_err(|_| FeedError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_read_together() {
        assert_eq!(runs(|_| false), []);
        assert_eq!(runs(|_| true), [(0, GROUPS - 1)]);
        assert_eq!(
            runs(|g| [0, 5, 6, 7, GROUPS - 1].contains(&g)),
            [(0, 0), (5, 7), (GROUPS - 1, GROUPS - 1)]
        );
    }

    #[tokio::test]
    async fn hostile_requests_are_refused() {
        let ask =
            |bytes: Vec<u8>| async { request(Body::from(bytes)).await.map_err(|r| r.status()) };
        assert_eq!(ask(Vec::new()).await, Ok(Vec::new()));
        let full = SnapshotRequest {
            group_sum: vec![7; GROUPS],
        };
        assert_eq!(ask(full.encode_to_vec()).await.map(|s| s.len()), Ok(GROUPS));
        let some = SnapshotRequest {
            group_sum: vec![7; GROUPS - 1],
        };
        assert_eq!(
            ask(some.encode_to_vec()).await,
            Err(StatusCode::BAD_REQUEST)
        );
        for bad in [
            &b"\xff\xff\xff\xff"[..],
            b"{}",
            b"\x0a\xff\xff\xff\xff\x0f",
            &[0; 100],
        ] {
            assert_eq!(
                ask(bad.to_vec()).await,
                Err(StatusCode::BAD_REQUEST),
                "{bad:?}"
            );
        }
        assert_eq!(
            ask(vec![0; MAX_REQUEST_BYTES + 1]).await,
            Err(StatusCode::PAYLOAD_TOO_LARGE)
        );
    }
}
