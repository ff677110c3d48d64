//! [`Scrubs`]: scrubs of the key store that are asked for at the same time are one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::WeakShared;

use super::VaultInner;
use super::cache::{Load, WeakLoad, shared};
use crate::error::Result;
use crate::store::Residue;

/// One scrub at a time. It serves everybody who asked before it began: what they overwrote had landed by then.
#[derive(Default)]
pub(super) struct Scrubs(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    running: Option<WeakScrub>,
    /// It begins when that one is over; whoever asks until then joins it.
    next: Option<WeakScrub>,
}

/// Driven by any of those who wait for it, so that none who is not polled holds the others up.
type Scrub = Load<Residue>;
type WeakScrub = WeakLoad<Residue>;

impl VaultInner {
    /// Has the store drop what was overwritten up to now.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn scrub(self: &Arc<Self>) -> Result<Residue> {
        self.next_scrub().await
    }

    fn next_scrub(self: &Arc<Self>) -> Scrub {
        let mut queue = self.scrubs.lock();
        if let Some(next) = queue.next.as_ref().and_then(WeakShared::upgrade) {
            return next;
        }
        let before = queue.running.as_ref().and_then(WeakShared::upgrade);
        let vault = self.clone();
        let next = shared(async move {
            if let Some(before) = before {
                let _ = before.await; // whoever asked for it is told
            }
            vault.scrubs.begin();
            Ok(vault.store.scrub().await?)
        });
        queue.next = next.downgrade();
        next
    }
}

impl Scrubs {
    /// Nobody joins the next one any more: it is the one that runs.
    fn begin(&self) {
        let mut queue = self.lock();
        queue.running = queue.next.take();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
