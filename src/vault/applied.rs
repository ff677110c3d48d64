//! Whether what the journal records is in the key store. `applied` is as far as that was checked. Twice in each `max_age` what
//! follows is checked, and what this process has not met itself. A vault that is built checks from `settled`, which is a day
//! older: a backup need not be of one moment, and may have an old slot beside a newer `applied`.
//!
//! An intent that isn't done is a crash, and is finished. If the journal records a completion that the store lacks, the store
//! was restored from a backup: nobody works on it before a replay has destroyed the keys again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::clocks::Moments;
use super::compare::{Differences, Left, Stretch, find_differences, tenant};
use super::mend::{Mended, mend};
use super::unclear::{Cause, UnclearSlots};
use super::verified::{PassedOver, VerifiedJournal};
use super::{ATTEMPTS, VaultInner, root};
use crate::error::{Error, Result, StoreErrorKind};
use crate::journal::Head;
use crate::keys::SlotId;
use crate::keys::slot::{MAX_WAITING, Point, VaultSlot};
use crate::store::Expected;

/// When the store is compared with the journal, and so what is done about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckMode {
    /// A vault is built: what crashed is finished.
    OnBuild,
    /// A vault erases what is due: the same, of what this process has not met, and of what waits.
    Sweep,
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
    /// Subjects and tenants of which something can't be written: their provider refuses what that takes, or their slot can't be
    /// read, of a tenant that was erased. They are looked at again; what of them was to be destroyed doesn't open meanwhile.
    pub left: u64,
    /// Subjects and tenants that can't be taken in: their slot is damaged, a later version wrote of them, an entry of the journal
    /// about them is missing, or the tenant's provider refuses its root. Nothing of them opens here, and nothing is decided
    /// about them, but that a subject whose slot is damaged can be erased as a whole.
    pub unclear: u64,
    /// Entries of the journal that nobody with the key store's root entered. They have no effect.
    pub passed_over: PassedOver,
    /// The journal was told that the key store was restored: from here on sweeps leave retention periods alone, until
    /// [`Vault::resume_retention`](super::Vault::resume_retention).
    pub retention_is_suspended: bool,
}

/// Checks what the journal records after `applied`, mends what a crash left, and moves `applied`.
pub(super) async fn verify(vault: &Arc<VaultInner>, mode: CheckMode) -> Result<(ReplayReport, SkippedSlots)> {
    check(vault, mode, false).await
}

/// Replays the journal. `is_restored`: the operator says that the store was restored, which is not to be seen where nothing was
/// erased since the backup.
pub(super) async fn replay(vault: &Arc<VaultInner>, is_restored: bool) -> Result<ReplayReport> {
    Ok(check(vault, CheckMode::Replay, is_restored).await?.0)
}

async fn check(vault: &Arc<VaultInner>, mode: CheckMode, is_restored: bool) -> Result<(ReplayReport, SkippedSlots)> {
    let Some(journal) = &vault.journal else { return Ok(Default::default()) };
    let mut replayed = ReplayReport::default();
    // As far as the journal reaches now: whoever appends meanwhile is at it himself.
    let mut head = journal.head().await?;
    let mut left = Left::default();
    for _ in 0..ATTEMPTS {
        let (stored, slot) = root::reload(vault).await?;
        let head_of = |point: &Point| Head::from_parts(point.position, point.hash);
        let (applied, settled) = (head_of(&slot.applied), head_of(&slot.settled));
        let met = vault.met();
        let named = applied.position().max(slot.told).max(met.up_to.map_or(0, |met| met.position()));
        if head.position() < named {
            head = journal.head().await?; // somebody else checked further, or entered something, meanwhile
        }
        if head.position() < named {
            return Err(Error::JournalTruncated);
        }
        let seen = vault.applied_seen.load(Ordering::SeqCst);
        if matches!(mode, CheckMode::Periodic | CheckMode::Sweep) && applied.position() < seen {
            return Err(Error::StoreBehindJournal { missing: seen - applied.position() });
        }
        // What is new to this process: one of a later version may have taken in, and applied, what this one has not met. And where
        // `applied` stands still, a look costs no more than what came since the last one.
        let from = match (mode, met.up_to) {
            (CheckMode::OnBuild, Some(met)) if met.position() < settled.position() => met,
            (CheckMode::OnBuild, _) => settled,
            (CheckMode::Sweep | CheckMode::Periodic, met) => met.unwrap_or(applied),
            (CheckMode::Replay, _) => Head::EMPTY,
        };
        if slot.told > from.position() {
            journal.said_of(&SlotId::Vault, slot.told, &head).await?;
        }
        let (waiting, again) = (&slot.waiting, met.again(applied.position()));
        let stretch = Stretch { from, applied: &applied, head: &head, waiting, again: &again };
        let mut found = find_differences(vault, journal, &stretch, mode).await?;
        found.last_of_store = found.last_of_store.max(met.last_of_store);
        if from == Head::EMPTY {
            journal.note_all(&found.passed_over, head.position());
        }
        found.skip(&left);
        vault.leave_unclear(&found, mode, &head);
        if found.lost > 0 && mode != CheckMode::Replay {
            return Err(Error::StoreBehindJournal { missing: found.lost });
        }
        if mode == CheckMode::Replay {
            // Before anything else: once all is destroyed again, nothing tells that the store was restored.
            if !replayed.retention_is_suspended && (is_restored || found.lost > 0) {
                vault.enter_restored(&slot.applied).await?;
                replayed.retention_is_suspended = true;
            }
            if !found.is_mended() {
                vault.clear_settling().await?;
            }
        }
        if !found.is_mended() {
            match mend(vault, &found, mode, &mut replayed, &mut left).await? {
                Mended::Whole => continue,
                Mended::Partly => return Ok(report(replayed, left, found)),
            }
        }
        let mut reached = applied.position();
        let mut moved = moved(journal, &slot, &found, &vault.unclear.all(), &head).await?;
        if found.pending.is_empty() && moved.applied.position == head.position() {
            vault.settle(&mut moved).await;
        }
        if moved != slot {
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
        vault.note_met(head, &found);
        return Ok(report(replayed, left, found));
    }
    Err(Error::Conflict)
}

/// The vault's slot where `applied` has moved to the head, and what can't be taken in waits.
async fn moved(
    journal: &VerifiedJournal,
    slot: &VaultSlot,
    found: &Differences,
    unclear: &UnclearSlots,
    head: &Head,
) -> Result<VaultSlot> {
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
        new.apply(point(head));
        new.tell(found.last_of_store);
    }
    waiting.retain(|position| *position <= new.applied.position);
    if waiting.len() <= MAX_WAITING {
        new.waiting = waiting.into_iter().collect();
    }
    // It may have settled while it waited, and what is there now may be missing in a backup: builds check it again.
    let is_found = |position: &&u64| {
        let newer_waits = found.about.get(position).is_some_and(|about| unclear.contains(about));
        !newer_waits && new.waiting.binary_search(position).is_err()
    };
    if let Some(first) = slot.waiting.iter().find(is_found).filter(|first| **first <= new.settled.position) {
        new.check_from(point(&journal.head_before(*first, head).await?.unwrap_or(Head::EMPTY)));
    }
    Ok(new)
}

fn point(head: &Head) -> Point {
    Point { position: head.position(), hash: *head.hash() }
}

fn report(mut replayed: ReplayReport, left: Left, found: Differences) -> (ReplayReport, SkippedSlots) {
    (replayed.left, replayed.unclear) = (left.slots.len() as u64, found.unclear.len() as u64);
    replayed.passed_over = found.passed_over;
    let unclear = found.unclear.iter().map(|(about, cause)| (about.clone(), cause.error.clone()));
    (replayed, left.slots.into_iter().chain(unclear).collect())
}

impl VaultInner {
    /// Moves `settled` in a slot where all is applied. If a clock can't be asked, the next check does.
    async fn settle(&self, slot: &mut VaultSlot) {
        if slot.may_settle(self.clock.wall(), self.backup_window)
            && let Ok(Moments { earliest, latest, .. }) = self.clocks.read(self).await
        {
            slot.settle(earliest, latest, self.backup_window);
        }
    }

    /// What is settling begins anew. To be called before what is done is destroyed again: a backup that is being made may have
    /// taken the slot already in which it is back, and is not to find it settled.
    pub(super) async fn clear_settling(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (stored, mut slot) = root::reload(self).await?;
            if slot.settling.take().is_none() {
                return Ok(());
            }
            match self.store.put(&slot.seal(&self.root)?, Expected::Revision(stored.revision())).await {
                Err(e) if e.kind() == StoreErrorKind::Conflict => {}
                put => return Ok(put?),
            }
        }
        Err(Error::Conflict)
    }

    /// Takes note of what can't be taken in: its keys end, and none are handed out. What this process knew is clear again only
    /// where it was compared, and found whole.
    fn leave_unclear(self: &Arc<Self>, found: &Differences, mode: CheckMode, head: &Head) {
        let stays = |about: &SlotId, cause: &Cause| {
            let is_left_alone = mode == CheckMode::Periodic && !cause.may_pass();
            is_left_alone || cause.position > head.position() || found.is_pending(about)
        };
        for about in self.unclear.update(&found.unclear, stays) {
            match about {
                SlotId::Subject(id, tag) => tenant(self, &id).revoke_keys(&tag, None),
                SlotId::Tenant(_) | SlotId::Vault => self.revoke_all(),
            }
        }
    }

    fn met(&self) -> Met {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that this process has met everything up to there, and found it in the store but for what is unclear, or pending.
    fn note_met(&self, up_to: Head, found: &Differences) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        // What another check, which looked further, found pending stays so.
        met.pending.retain(|_, position| *position > up_to.position());
        for (about, position) in &found.pending {
            let known = met.pending.entry(about.clone()).or_insert(*position);
            *known = (*known).max(*position);
        }
        met.last_of_store = met.last_of_store.max(found.last_of_store);
        met.witness = met.witness.take().max(found.witness.clone());
        if met.up_to.is_none_or(|known| known.position() < up_to.position()) {
            met.up_to = Some(up_to);
        }
    }
}

/// What this process has seen of the journal. A look at what is new to it begins behind.
#[derive(Clone, Default)]
pub(super) struct Met {
    /// As far as it has compared the journal with the store itself.
    up_to: Option<Head>,
    /// What it has not found whole, each with the position of an entry about it.
    pending: BTreeMap<SlotId, u64>,
    /// The last completion that it found in the store.
    witness: Option<(u64, SlotId)>,
    /// The position of the last entry about the key store as a whole.
    last_of_store: u64,
}

impl Met {
    /// What each look looks at again: what is pending; and, where `applied` has not come as far, so that it would not be seen to fall,
    /// what a store that was restored under this process would lack.
    fn again(&self, applied: u64) -> BTreeMap<SlotId, u64> {
        let witness = self.witness.iter().filter(|(position, _)| *position > applied);
        let again = witness.map(|(position, about)| (about.clone(), *position));
        again.chain(self.pending.clone()).collect()
    }
}

/// Slots that could not be written, or taken in, and why.
pub(super) type SkippedSlots = Vec<(SlotId, Error)>;
