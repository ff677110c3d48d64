//! [`Scrubs`]: scrubs of the key store that are asked for at the same time are one.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::lock::Mutex;

use super::VaultInner;
use crate::error::Result;
use crate::store::Residue;

/// One scrub at a time. It serves everybody who asked before it began: what they overwrote had landed by then.
#[derive(Default)]
pub(super) struct Scrubs {
    /// How many were begun.
    begun: AtomicU64,
    /// The last one that was done, by its number, and what it left.
    done: Mutex<Option<(u64, Residue)>>,
}

impl VaultInner {
    /// Has the store drop what was overwritten up to now.
    ///
    /// # Errors
    /// Those of the store, of this caller's scrub alone: whoever waited behind it makes one of his own.
    pub(crate) async fn scrub(&self) -> Result<Residue> {
        let Scrubs { begun, done } = &self.scrubs;
        let before = begun.load(Ordering::SeqCst);
        let mut done = done.lock().await;
        if let Some((number, residue)) = &*done
            && *number > before
        {
            return Ok(residue.clone());
        }
        let number = begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let residue = self.store.scrub().await?;
        *done = Some((number, residue.clone()));
        Ok(residue)
    }
}
