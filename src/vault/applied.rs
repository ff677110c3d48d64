//! Whether what the journal records is in the key store. `applied` is as far as that was checked. When a vault is built, and
//! twice in each `max_age`, what follows is checked, and what this process has not met itself.
//!
//! An intent that isn't done is a crash, and is finished. If the journal records a completion that the store lacks, the store
//! was restored from a backup: nobody works on it before a replay has destroyed the keys again.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::compare::{Differences, Left, Stretch, find_differences, tenant};
use super::mend::{Mended, mend};
use super::unclear::{Cause, UnclearSlots};
use super::verified::PassedOver;
use super::{ATTEMPTS, VaultInner, root};
use crate::error::{Error, Result, StoreErrorKind};
use crate::journal::Head;
use crate::keys::SlotId;
use crate::keys::slot::{MAX_WAITING, Point, VaultSlot};
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// Subjects of which something can't be written: their provider refuses what that takes, or their slot can't be read, of a
    /// tenant that was erased. They are looked at again; what of them was to be destroyed doesn't open meanwhile.
    pub left: u64,
    /// Subjects and tenants that can't be taken in: a later version wrote of them, or an entry of the journal about them is
    /// missing. Nothing of them opens here, and nothing is decided about them.
    pub unclear: u64,
    /// Entries of the journal that nobody with the key store's root entered. They have no effect.
    pub passed_over: PassedOver,
}

/// Checks what the journal records after `applied`, mends what a crash left, and moves `applied`.
pub(super) async fn verify(vault: &Arc<VaultInner>, mode: CheckMode) -> Result<(ReplayReport, SkippedSlots)> {
    let Some(journal) = &vault.journal else { return Ok(Default::default()) };
    let mut replayed = ReplayReport::default();
    // As far as the journal reaches now: whoever appends meanwhile is at it himself.
    let mut head = journal.head().await?;
    let mut left = Left::default();
    for _ in 0..ATTEMPTS {
        let (stored, slot) = root::reload(vault).await?;
        let head_of = |point: &Point| Head::from_parts(point.position, point.hash);
        let (applied, settled) = (head_of(&slot.applied), head_of(&slot.settled));
        let named = applied.position().max(slot.told);
        if head.position() < named {
            head = journal.head().await?; // somebody else checked further, or entered something, meanwhile
        }
        if head.position() < named {
            return Err(Error::JournalTruncated);
        }
        let seen = vault.applied_seen.load(Ordering::SeqCst);
        if mode == CheckMode::Periodic && applied.position() < seen {
            return Err(Error::StoreBehindJournal { missing: seen - applied.position() });
        }
        let from = match mode {
            CheckMode::OnBuild => vault.not_checked(settled),
            CheckMode::Periodic => vault.not_checked(applied),
            CheckMode::Replay => Head::EMPTY,
        };
        if slot.told > from.position() {
            journal.said_of(&SlotId::Vault, slot.told, &head).await?;
        }
        let stretch = Stretch { from, applied: &applied, head: &head, waiting: &slot.waiting };
        let mut found = find_differences(vault, journal, &stretch, mode).await?;
        if from == Head::EMPTY {
            journal.note_all(&found.passed_over, head.position());
        }
        found.skip(&left);
        vault.leave_unclear(&found, mode, &head);
        if found.lost > 0 && mode != CheckMode::Replay {
            return Err(Error::StoreBehindJournal { missing: found.lost });
        }
        if !found.is_mended() {
            match mend(vault, &found, mode, &mut replayed, &mut left).await? {
                Mended::Whole => continue,
                Mended::Partly => return Ok(report(replayed, left, found)),
            }
        }
        let mut reached = applied.position();
        if let Some(moved) = moved(&slot, &found, &vault.unclear.all(), &head) {
            match vault.store.put(&moved.seal(&vault.root)?, Expected::Revision(stored.revision())).await {
                // Lazily: whoever was faster checked as much, or the next check moves it.
                Err(e) if e.kind() == StoreErrorKind::Conflict => {}
                put => {
                    put?;
                    reached = moved.applied.position;
                }
            }
        }
        vault.applied_seen.fetch_max(reached, Ordering::SeqCst);
        if found.pending.is_empty() {
            vault.note_checked(head);
        } else if mode != CheckMode::Replay {
            vault.note_checked(from);
        }
        return Ok(report(replayed, left, found));
    }
    Err(Error::Conflict)
}

/// The vault's slot where `applied` has moved to the head, and what can't be taken in waits. None if there is nothing to write.
fn moved(slot: &VaultSlot, found: &Differences, unclear: &UnclearSlots, head: &Head) -> Option<VaultSlot> {
    // Of each slot the newest entry alone waits; no longer than until that very slot is found whole.
    let waits = |position: &u64| match found.about.get(position) {
        Some(about) => !unclear.contains(about) && found.is_pending(about),
        None => true,
    };
    let mut waiting: BTreeSet<u64> = slot.waiting.iter().copied().filter(waits).collect();
    waiting.extend(unclear.iter().map(|(_, cause)| cause.position));
    let moves = head.position() > slot.applied.position && found.pending.is_empty() && waiting.len() <= MAX_WAITING;
    let mut new = slot.clone();
    if moves {
        new.apply(Point { position: head.position(), hash: *head.hash() });
        new.tell(found.last_of_store);
    }
    waiting.retain(|position| *position <= new.applied.position);
    if waiting.len() <= MAX_WAITING {
        new.waiting = waiting.into_iter().collect();
    }
    (new != *slot).then_some(new)
}

fn report(mut replayed: ReplayReport, left: Left, found: Differences) -> (ReplayReport, SkippedSlots) {
    (replayed.left, replayed.unclear) = (left.slots.len() as u64, found.unclear.len() as u64);
    replayed.passed_over = found.passed_over;
    let unclear = found.unclear.iter().map(|(about, cause)| (about.clone(), cause.error.clone()));
    (replayed, left.slots.into_iter().chain(unclear).collect())
}

impl VaultInner {
    /// Takes note of what can't be taken in: its keys end, and none are handed out. What this process knew is clear again only
    /// where everything was compared, and it was found whole.
    fn leave_unclear(self: &Arc<Self>, found: &Differences, mode: CheckMode, head: &Head) {
        let stays = |about: &SlotId, cause: &Cause| {
            mode == CheckMode::Periodic || cause.position > head.position() || found.is_pending(about)
        };
        for about in self.unclear.update(&found.unclear, stays) {
            match about {
                SlotId::Subject(id, tag) => tenant(self, &id).revoke_keys(&tag, None),
                SlotId::Tenant(_) | SlotId::Vault => self.revoke_all(),
            }
        }
    }

    /// Where a check begins that is to begin there: earlier if this process has not met all that is before. A process of a later
    /// version may have taken it in, and moved what the store says.
    fn not_checked(&self, from: Head) -> Head {
        let checked = *self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.filter(|checked| checked.position() < from.position()).unwrap_or(from)
    }

    /// Notes that this process has met everything up to there, and found it in the store.
    fn note_checked(&self, up_to: Head) {
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.is_none_or(|checked| checked.position() < up_to.position()) {
            *checked = Some(up_to);
        }
    }
}

/// Slots that could not be written, or taken in, and why.
pub(super) type SkippedSlots = Vec<(SlotId, Error)>;
