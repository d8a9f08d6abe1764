//! Turns at uploading. Each upload holds memory and a connection for as long as its sender takes, which may be hours: so
//! there are few, and one workspace has half of them at most, whatever its senders do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Uploads at the same time: each may hold a part of 8 MiB on its way into a bucket.
const UPLOADS: usize = 32;

/// Those of one workspace.
const OF_ONE: usize = UPLOADS / 2;

/// How long an upload waits for others to end.
const WAIT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    // Of workspaces that upload or wait just now.
    each: Mutex<HashMap<i64, Weak<Semaphore>>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(UPLOADS)),
            each: Mutex::default(),
        }
    }
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _own: OwnedSemaphorePermit,
    _common: OwnedSemaphorePermit,
}

impl Turns {
    /// A turn for a workspace.
    ///
    /// # Errors
    /// There is none in time.
    pub(crate) async fn take(&self, workspace: i64) -> Result<Turn, ApiError> {
        let own = self.of(workspace);
        let both = async {
            Ok(Turn {
                // Its own first: who waits for it keeps nothing from others.
                _own: own.acquire_owned().await?,
                _common: Arc::clone(&self.all).acquire_owned().await?,
            })
        };
        tokio::time::timeout(WAIT, both)
            .await
            .map_err(|_| ApiError::TooMany {
                retry_after: WAIT.as_secs().cast_signed(),
            })?
            .map_err(|error: tokio::sync::AcquireError| ApiError::Internal(error.into()))
    }

    fn of(&self, workspace: i64) -> Arc<Semaphore> {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = each.get(&workspace).and_then(Weak::upgrade) {
            return own;
        }
        each.retain(|_, own| own.strong_count() > 0);
        let own = Arc::new(Semaphore::new(OF_ONE));
        each.insert(workspace, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_workspace_leaves_half_of_the_turns_to_others() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for workspace in [1, 2] {
            for _ in 0..OF_ONE {
                held.push(turns.take(workspace).await.expect("a turn"));
            }
            let more = turns.take(workspace).await;
            assert!(matches!(more, Err(ApiError::TooMany { retry_after: 10 })));
        }
        // All are taken.
        assert!(turns.take(3).await.is_err());
        held.truncate(1);
        let third = turns.take(3).await.expect("a turn");
        assert_eq!(turns.each.lock().expect("not poisoned").len(), 2);
        drop((held, third));
        turns.take(4).await.expect("a turn");
        assert_eq!(turns.each.lock().expect("not poisoned").len(), 1);
        assert_eq!(turns.all.available_permits(), UPLOADS);
    }
}
