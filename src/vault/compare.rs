//! Compares what the journal records of tenants and subjects with what the key store has of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::applied::CheckMode;
use super::cached_tenant::TenantState;
use super::{JOURNAL_PAGE, Tenant, Vault, VaultInner};
use crate::clock::Timestamp;
use crate::error::{Error, Result, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::history::{History, TenantHistory};
use crate::journal::{ErasedLine, ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::slot::{PurposeSlot, SubjectSlot, TenantSlot};
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan, finds_any};

/// What the journal records and the store lacks.
#[derive(Default)]
pub(super) struct Differences {
    /// How many completions the store lacks: it was restored from a backup.
    pub(super) lost: u64,
    /// Something is intended that whoever intends it may still be at.
    pub(super) pending: bool,
    pub(super) subjects: BTreeSet<(TenantId, Tag)>,
    pub(super) tenants: BTreeSet<TenantId>,
}

impl Differences {
    pub(super) fn is_mended(&self) -> bool {
        self.subjects.is_empty() && self.tenants.is_empty()
    }

    /// Leaves these for later.
    pub(super) fn skip(&mut self, skipped: &BTreeMap<(TenantId, Tag), Error>) {
        for subject in skipped.keys() {
            self.pending |= self.subjects.remove(subject);
        }
    }
}

/// Goes through the journal from `applied` (a replay: from its first entry) up to `head`.
pub(super) async fn find_differences(
    vault: &Arc<VaultInner>,
    journal: &dyn ErasureJournal,
    applied: &Head,
    head: &Head,
    mode: CheckMode,
) -> Result<Differences> {
    let mut compare = Compare { vault, journal, mode, found: Differences::default() };
    let mut at = if mode == CheckMode::Replay { Head::EMPTY } else { *applied };
    while at.position() < head.position() {
        let limit = usize::try_from(head.position() - at.position()).unwrap_or(usize::MAX).min(JOURNAL_PAGE);
        let entries = journal.read(at.position(), limit).await?;
        if entries.is_empty() {
            return Err(Error::JournalTruncated);
        }
        for entry in &entries {
            if at.position() == applied.position() && at != *applied {
                return Err(Error::JournalTruncated);
            }
            at = at.advanced_by(entry);
        }
        compare.compare_with_store(&entries).await?;
    }
    // The chain from what was checked to the head: another one says that entries were replaced.
    if at == *head { Ok(compare.found) } else { Err(Error::JournalTruncated) }
}

struct Compare<'a> {
    vault: &'a Arc<VaultInner>,
    journal: &'a dyn ErasureJournal,
    mode: CheckMode,
    found: Differences,
}

impl Compare<'_> {
    /// Compares each tenant and subject that these entries are about.
    async fn compare_with_store(&mut self, entries: &[JournalEntry]) -> Result<()> {
        let mut of_tenant: BTreeMap<&TenantId, BTreeSet<Tag>> = BTreeMap::new();
        for entry in entries {
            // A new line can't be told from one that a restore lost: nothing is to be done about either.
            let tag = entry.tag().filter(|_| !matches!(entry.event(), JournalEvent::Reenrolled { .. }));
            if let Some(tenant) = entry.tenant() {
                of_tenant.entry(tenant).or_default().extend(tag);
            }
        }
        for (id, tags) in of_tenant {
            let tenant = tenant(self.vault, id);
            let tenant_history = tenant.cached.history(self.vault).await?;
            if !self.compare_root(id, &tenant_history).await? {
                continue;
            }
            let erased = tenant_history.erased().is_some();
            if tags.is_empty() && !erased {
                continue; // no provider is asked for a tenant of which there is nothing to check
            }
            if erased {
                tenant.cached.forget(); // what this process holds may be from before another one erased it
            }
            let state = match tenant.cached.any_state(self.vault).await {
                // If one tenant's provider is down, the others go on: this tenant hands out no keys meanwhile.
                Err(Error::Provider(_)) if self.mode == CheckMode::Periodic => {
                    self.found.pending = true;
                    continue;
                }
                state => state?,
            };
            let Some(state) = state else { continue };
            if erased {
                self.compare_erased_tenant(id, &tenant_history, &state);
            } else {
                self.compare_subjects(&tenant, &state, tags.into_iter().collect()).await?;
            }
        }
        Ok(())
    }

    /// Whether the tenant's root is there, so that there is more to compare.
    async fn compare_root(&mut self, id: &TenantId, tenant_history: &TenantHistory) -> Result<bool> {
        let found = &mut self.found;
        match find_root(self.vault, id, tenant_history).await? {
            Root::There => return Ok(true),
            Root::Lost => {
                found.lost += 1;
                found.tenants.insert(id.clone());
            }
            // Using the tenant is refused, so nothing of it opens.
            Root::Unusable => found.pending = true,
            Root::Absent => match tenant_history.intended.filter(|_| tenant_history.done.is_none()) {
                Some(at) if self.mode == CheckMode::Periodic && is_young(self.vault, at) => found.pending = true,
                Some(_) => drop(found.tenants.insert(id.clone())),
                None => {}
            },
        }
        Ok(false)
    }

    fn compare_erased_tenant(&mut self, id: &TenantId, tenant_history: &TenantHistory, state: &TenantState) {
        let is_young = tenant_history.intended.is_some_and(|at| is_young(self.vault, at));
        let is_gone = state.erased_at.is_some();
        let found = &mut self.found;
        match tenant_history.done {
            Some(_) if is_gone => {}
            Some(_) => {
                found.lost += 1;
                found.tenants.insert(id.clone());
            }
            // A periodic check sees that nothing of it opens any more; its subjects may be many.
            None if self.mode == CheckMode::Periodic && (is_gone || is_young) => found.pending = true,
            None => drop(found.tenants.insert(id.clone())),
        }
    }

    async fn compare_subjects(&mut self, tenant: &Tenant, state: &TenantState, tags: Vec<Tag>) -> Result<()> {
        let head = self.journal.head().await?;
        let slots: Vec<SlotId> = tags.iter().map(|tag| tenant.slot_id(tag)).collect();
        let stored = self.vault.load(&slots).await?;
        for (tag, stored) in tags.into_iter().zip(stored) {
            self.compare_subject(tenant, state, tag, stored, &head).await?;
        }
        Ok(())
    }

    async fn compare_subject(
        &mut self,
        tenant: &Tenant,
        state: &TenantState,
        tag: Tag,
        stored: Option<StoredSlot>,
        head: &Head,
    ) -> Result<()> {
        let slot = match stored.map(|stored| SubjectSlot::open(&stored, &state.root)).transpose() {
            // Damaged: nothing in it opens, and nothing in it can be put right.
            Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt => {
                self.found.pending = true;
                return Ok(());
            }
            slot => slot?,
        };
        let history = History::of(&self.journal.read_of(Some(tenant.id()), Some(&tag), head).await?);
        let found = &mut self.found;
        let is_back = !has_destroyed(slot.as_ref(), &history.done());
        // In an epoch that ended nothing opens, and it may be below the floor.
        let lost = is_back && !is_dead(slot.as_ref(), state);
        found.lost += u64::from(lost);
        found.pending |= is_back && !lost;
        let mut to_do = lost || (is_back && self.mode == CheckMode::Replay);
        if is_open(&history) {
            let young = history.intended_at.is_some_and(|at| is_young(self.vault, at));
            match self.mode {
                // Completion is recorded after the store was scrubbed, which a periodic check doesn't wait for.
                CheckMode::Periodic if young || is_destroyed(slot.as_ref(), &history) => found.pending = true,
                _ => to_do = true,
            }
        }
        if to_do || slot.as_ref().is_some_and(|slot| flags_differ(slot, &history)) {
            found.subjects.insert((tenant.id().clone(), tag));
        }
        Ok(())
    }
}

/// What the store has of a tenant's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    There,
    /// None, and none is missed.
    Absent,
    /// None, nor anything else of the tenant, though the journal records that it was stored.
    Lost,
    /// Another than the journal records; or none, beside slots that need it.
    Unusable,
}

/// By the names that the slots carry, without asking the provider.
pub(super) async fn find_root(vault: &VaultInner, id: &TenantId, tenant_history: &TenantHistory) -> Result<Root> {
    let stored = vault.load(&[SlotId::Tenant(id.clone())]).await?.into_iter().next().flatten();
    let root = stored.as_ref().map(TenantSlot::root_of).transpose()?.map(|root| root.key_id);
    if !tenant_history.is_missing(root.as_ref()) {
        return Ok(if root.is_some() { Root::There } else { Root::Absent });
    }
    let alone = !finds_any(&*vault.store, Scan::new(Filter::All).tenant(id.clone())).await?;
    Ok(if root.is_none() && alone { Root::Lost } else { Root::Unusable })
}

pub(super) fn flags_differ(slot: &SubjectSlot, history: &History) -> bool {
    slot.epoch.is_some() && (slot.held != history.held || slot.erase_at != erase_at(slot, history))
}

/// What a slot is to have: what the journal says. But a subject that `erase_due` closed at the end of its retention period stays
/// closed, unless it is held: it may be about to be erased, and must not be prolonged.
pub(super) fn erase_at(slot: &SubjectSlot, history: &History) -> Option<Timestamp> {
    let closed = slot.erase_at.filter(|_| slot.is_closed());
    history.scheduled.or(closed.filter(|_| !history.held))
}

/// Whether an erasure is intended and not recorded as done.
fn is_open(history: &History) -> bool {
    history.whole_is_open || !history.open().is_empty()
}

/// Whether what is intended is gone from the slot.
fn is_destroyed(slot: Option<&SubjectSlot>, history: &History) -> bool {
    let is_alive = |slot: &SubjectSlot| slot.purposes.iter().any(PurposeSlot::is_live);
    has_destroyed(slot, &history.open()) && !(history.whole_is_open && slot.is_none_or(is_alive))
}

/// Whether a slot's keys can't be unwrapped any more.
pub(super) fn is_dead(slot: Option<&SubjectSlot>, state: &TenantState) -> bool {
    slot.and_then(|slot| slot.epoch).is_some_and(|epoch| state.is_dead(epoch))
}

pub(super) fn has_destroyed(slot: Option<&SubjectSlot>, lines: &[ErasedLine]) -> bool {
    lines.iter().all(|l| slot.is_some_and(|slot| slot.has_destroyed(&l.purpose, l.line)))
}

/// Whether whoever intended it may still be at it.
fn is_young(vault: &VaultInner, at: Timestamp) -> bool {
    vault.clock.wall().since(at) < vault.max_age
}

pub(super) fn tenant(vault: &Arc<VaultInner>, id: &TenantId) -> Tenant {
    Vault(vault.clone()).tenant(id)
}
