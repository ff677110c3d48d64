//! Whether what the journal records is in the key store. `applied` is as far as that was checked; what follows is checked
//! when a vault is built, and twice in each `max_age`.
//!
//! An intent that isn't done is a crash, and is finished. If the journal records a completion that the store lacks, the store
//! was restored from a backup: nobody works on it before a replay has destroyed the keys again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::compare::find_differences;
use super::mend::{Mended, mend};
use super::{ATTEMPTS, VaultInner, root};
use crate::error::{Error, Result, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::Head;
use crate::keys::{SlotId, Tag};
use crate::store::Expected;

/// When the store is compared with the journal, and so what is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckMode {
    /// A vault is built, or erases what is due: what crashed is finished.
    OnBuild,
    /// A running vault checks again, before it hands out keys: what another process may still be at is left to it.
    Periodic,
    /// A backup was restored: everything is done again that isn't there, from the journal's first entry on.
    Replay,
}

/// What [`Vault::replay_journal`](super::Vault::replay_journal) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayReport {
    /// Subjects of which something was destroyed again.
    pub erasures: u64,
    /// Subjects whose hold or scheduled erasure was put back, or taken off.
    pub flags: u64,
    /// Tenants that were erased again.
    pub tenants: u64,
    /// Tenants of which the backup had nothing: their keys are lost, and a new root will be made.
    pub roots_lost: u64,
    /// Subjects of which something can't be written as long as their provider refuses what that takes. They are looked at
    /// again; what of them was to be destroyed doesn't open meanwhile.
    pub left: u64,
}

/// Checks what the journal records after `applied`, mends what a crash left, and moves `applied`.
pub(super) async fn verify(vault: &Arc<VaultInner>, mode: CheckMode) -> Result<(ReplayReport, SkippedSlots)> {
    let Some(journal) = vault.journal.as_deref() else { return Ok(Default::default()) };
    let mut replayed = ReplayReport::default();
    // As far as the journal reaches now: whoever appends meanwhile is at it himself.
    let mut head = journal.head().await?;
    let mut skipped = BTreeMap::new();
    for _ in 0..ATTEMPTS {
        let (stored, mut slot) = root::reload(vault).await?;
        let applied = Head::from_parts(slot.applied.0, slot.applied.1);
        if head.position() < applied.position() {
            head = journal.head().await?; // somebody else checked further meanwhile
        }
        if head.position() < applied.position() {
            return Err(Error::JournalTruncated);
        }
        let seen = vault.applied_seen.load(Ordering::SeqCst);
        if mode == CheckMode::Periodic && applied.position() < seen {
            return Err(Error::StoreBehindJournal { missing: seen - applied.position() });
        }
        let mut found = find_differences(vault, journal, &applied, &head, mode).await?;
        if found.lost > 0 && mode != CheckMode::Replay {
            return Err(Error::StoreBehindJournal { missing: found.lost });
        }
        found.skip(&skipped);
        if !found.is_mended() {
            match mend(vault, &found, mode, &mut replayed, &mut skipped).await? {
                Mended::Whole => continue,
                Mended::Partly => {
                    return Ok((ReplayReport { left: skipped.len() as u64, ..replayed }, of_slots(skipped)));
                }
            }
        }
        let mut reached = applied.position();
        if head.position() > reached && !found.pending {
            slot.applied = (head.position(), *head.hash());
            match vault.store.put(&slot.seal(&vault.root)?, Expected::Revision(stored.revision())).await {
                // Lazily: whoever was faster checked as much, or the next check moves it.
                Err(e) if e.kind() == StoreErrorKind::Conflict => {}
                put => {
                    put?;
                    reached = head.position();
                }
            }
        }
        vault.applied_seen.fetch_max(reached, Ordering::SeqCst);
        return Ok((ReplayReport { left: skipped.len() as u64, ..replayed }, of_slots(skipped)));
    }
    Err(Error::Conflict)
}

/// Slots that could not be written, and why: `applied` waits for them.
pub(super) type SkippedSlots = Vec<(SlotId, Error)>;

fn of_slots(skipped: BTreeMap<(TenantId, Tag), Error>) -> SkippedSlots {
    skipped.into_iter().map(|((tenant, tag), e)| (SlotId::Subject(tenant, tag), e)).collect()
}
