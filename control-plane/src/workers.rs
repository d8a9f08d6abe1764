//! Work that takes a core and much memory for a while, a few pieces at the same time, beside the threads that serve calls.
//!
//! A piece keeps its turn until it has ended, also when the call that brought it is gone: it cannot be stopped, and callers that
//! hang up at once would otherwise have any number under way.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Semaphore;

/// See the module.
#[derive(Debug)]
pub(crate) struct Workers {
    turns: Arc<Semaphore>,
}

impl Workers {
    /// So many pieces at the same time.
    pub(crate) fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Does it when its turn comes.
    ///
    /// # Errors
    /// It panicked, or the process is at its end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.context("a piece of work broke off")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_hangs_up_frees_no_turn() {
        let workers = Workers::new(1);
        let (end, ended) = mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let piece = workers.run(move || {
            let _ = begun.send(());
            let _ = ended.recv();
        });
        tokio::select! {
            _ = piece => panic!("it waits"),
            begun = begins => begun.expect("it begins"),
        }
        assert_eq!(workers.turns.available_permits(), 0);
        end.send(()).expect("it waits");
        assert_eq!(workers.run(|| 7).await.expect("runs"), 7);
        // One that panics gives its turn back.
        assert!(workers.run(|| panic!("broken")).await.is_err());
        assert_eq!(workers.run(|| 8).await.expect("runs"), 8);
    }
}
