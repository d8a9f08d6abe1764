//! The newest changes in memory, read from the database once for all connections.
//!
//! With one reader a connection, a hundred proxies would ask the database for the same rows a hundred times at each
//! commit. The window is filled by whoever is first to ask beyond it; a connection further behind reads pages of its own
//! and leaves the window alone.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::sync::Mutex;

use super::{FeedError, Position};
use crate::store::Store;

/// Frames the window keeps, in bytes; the oldest go first. Some 50,000 edits of one link.
const WINDOW_BYTES: usize = 8 << 20;

/// Changes read by one statement.
const PAGE_CHANGES: i64 = 256;

/// Bytes after which a page is closed, so that a connection holds little more than this and one largest frame.
const PAGE_BYTES: usize = 1 << 20;

/// One transaction, as it goes over the wire.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) at: Position,
    pub(super) frame: Bytes,
}

/// Consecutive changes, the newest that anyone has asked for.
#[derive(Debug, Default)]
pub(super) struct Window {
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    changes: VecDeque<Change>,
    bytes: usize,
    /// Of which history they are: the store's number of it.
    era: u64,
}

impl Window {
    /// The changes right after `at`, in order and without a gap; none when `at` is the newest.
    ///
    /// # Errors
    /// `at` is not, or no longer, in the history; the database's.
    pub(super) async fn after(
        &self,
        store: &Store,
        at: Position,
    ) -> Result<VecDeque<Change>, FeedError> {
        {
            let mut recent = self.recent.lock().await;
            recent.enter(store.era());
            if let Some(page) = recent.after(at) {
                return page;
            }
            if recent.newest().is_none_or(|newest| newest <= at.seq) {
                // Others who need the same rows wait here and then find them.
                let page = read_page(store, at).await?;
                recent.extend(at, &page);
                return Ok(page);
            }
        }
        read_page(store, at).await
    }
}

impl Recent {
    /// Forgets what is of another history.
    fn enter(&mut self, era: u64) {
        if self.era != era {
            *self = Self {
                era,
                ..Self::default()
            };
        }
    }

    fn newest(&self) -> Option<u64> {
        self.changes.back().map(|change| change.at.seq)
    }

    /// What the window has after `at`; `None` when it cannot tell.
    fn after(&self, at: Position) -> Option<Result<VecDeque<Change>, FeedError>> {
        let oldest = self.changes.front()?.at.seq;
        let index = usize::try_from(at.seq.checked_sub(oldest)?).ok()?;
        let known = self.changes.get(index)?;
        if known.at != at {
            return Some(Err(FeedError::Gone(at.seq)));
        }
        let mut bytes = 0;
        let page: VecDeque<Change> = self
            .changes
            .range(index + 1..)
            .take_while(|change| {
                let room = bytes < PAGE_BYTES;
                bytes += change.frame.len();
                room
            })
            .cloned()
            .collect();
        // Nothing after it here: the database may have more.
        (!page.is_empty()).then_some(Ok(page))
    }

    fn extend(&mut self, at: Position, page: &VecDeque<Change>) {
        if self.newest() != Some(at.seq) && !page.is_empty() {
            self.changes.clear();
            self.bytes = 0;
        }
        for change in page {
            self.bytes += change.frame.len();
            self.changes.push_back(change.clone());
        }
        while self.bytes > WINDOW_BYTES {
            let Some(oldest) = self.changes.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(oldest.frame.len());
        }
    }
}

/// The changes after `at` from the database.
async fn read_page(store: &Store, at: Position) -> Result<VecDeque<Change>, FeedError> {
    use futures_util::TryStreamExt as _;

    let mut page = VecDeque::new();
    let mut bytes = 0;
    let mut newest = at.seq;
    // With the change that the reader has, but not its frame once more.
    let mut rows = sqlx::query_as::<_, (i64, Vec<u8>, Option<Vec<u8>>)>(
        "SELECT seq, change_id, CASE WHEN seq > $1 THEN frame END FROM feed_changes \
         WHERE seq >= $1 ORDER BY seq LIMIT $2",
    )
    .bind(at.seq.cast_signed())
    .bind(PAGE_CHANGES)
    .fetch(store.readers());
    while bytes < PAGE_BYTES
        && let Some((seq, change, frame)) = rows.try_next().await?
    {
        let next = Position::from_row((seq, change))?;
        let Some(frame) = frame else {
            // It must still be the one of that number: a database restored under us has other ones.
            if next != at {
                return Err(FeedError::Gone(at.seq));
            }
            continue;
        };
        if next.seq != newest + 1 {
            return Err(FeedError::Gone(at.seq));
        }
        newest = next.seq;
        bytes += frame.len();
        page.push_back(Change {
            at: next,
            frame: frame.into(),
        });
    }
    drop(rows);
    if page.is_empty() && Position::newest(store.readers()).await?.seq < at.seq {
        return Err(FeedError::Gone(at.seq));
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: u64, bytes: usize) -> Change {
        Change {
            at: Position {
                seq,
                change: [seq as u8; 16],
            },
            frame: vec![0; bytes].into(),
        }
    }

    fn seqs(page: Option<Result<VecDeque<Change>, FeedError>>) -> Vec<u64> {
        page.expect("known")
            .expect("in history")
            .iter()
            .map(|c| c.at.seq)
            .collect()
    }

    #[test]
    fn the_window_answers_what_it_holds_and_nothing_else() {
        let mut recent = Recent::default();
        recent.extend(change(4, 0).at, &(5..=9).map(|s| change(s, 10)).collect());
        assert_eq!(seqs(recent.after(change(7, 0).at)), [8, 9]);
        // Its newest and everything outside is for the database to say.
        for outside in [0, 4, 9, 10, u64::MAX] {
            assert!(recent.after(change(outside, 0).at).is_none(), "{outside}");
        }
        let other = Position {
            seq: 7,
            change: [99; 16],
        };
        assert!(matches!(recent.after(other), Some(Err(FeedError::Gone(7)))));
        recent.extend(change(9, 0).at, &[change(10, 10)].into());
        assert_eq!(seqs(recent.after(change(8, 0).at)), [9, 10]);
        recent.extend(change(20, 0).at, &[change(21, 10)].into());
        assert_eq!(recent.changes.len(), 1, "a gap empties it");
    }

    #[test]
    fn the_window_and_a_page_are_bounded_in_bytes() {
        let mut recent = Recent::default();
        let page = (1..=30).map(|s| change(s, PAGE_BYTES / 2)).collect();
        recent.extend(change(0, 0).at, &page);
        assert!(recent.bytes <= WINDOW_BYTES && recent.newest() == Some(30));
        let oldest = recent.changes.front().expect("not empty").at;
        assert_eq!(seqs(recent.after(oldest)).len(), 2);
    }
}
