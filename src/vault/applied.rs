//! Whether what the journal tells is in the key store. `applied` is as far as that was checked; what follows is checked
//! when a vault is built, and twice in each `max_age`.
//!
//! An intent that isn't done is a crash, and is finished. Something that is done and not in the store is a restored backup:
//! nobody works on it before a replay has done it again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ATTEMPTS, Tenant, Vault, VaultInner, root};
use crate::clock::Timestamp;
use crate::error::{Error, Result, Retry, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::history::{History, TenantHistory};
use crate::journal::{ErasedLine, ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::slot::{PurposeSlot, SubjectSlot, TenantSlot};
use crate::keys::{SlotId, Tag};
use crate::store::{Expected, Filter, Scan, finds_any};
use crate::vault::slots::{Edit, ReadSlot, Wrapper};
use crate::vault::state::TenantState;

/// Why it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// A vault is built, or sweeps: what crashed is finished.
    Build,
    /// A running vault looks again, before it hands out keys: what another process may still be at is left to it.
    Look,
    /// A backup was restored: everything is done again that isn't there, from the journal's first entry on.
    Replay,
}

/// What a replay of the journal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
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

/// Checks what the journal tells after `applied`, mends what a crash left, and moves `applied`.
pub(super) async fn verify(vault: &Arc<VaultInner>, why: Why) -> Result<(Replayed, Passed)> {
    let Some(journal) = vault.journal.as_deref() else { return Ok(Default::default()) };
    let mut replayed = Replayed::default();
    // As far as the journal reaches now: whoever appends meanwhile is at it himself.
    let mut head = journal.head().await?;
    let mut passed = BTreeMap::new();
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
        if why == Why::Look && applied.position() < seen {
            return Err(Error::StoreBehindJournal { missing: seen - applied.position() });
        }
        let mut found = survey(vault, journal, &applied, &head, why).await?;
        if found.lost > 0 && why != Why::Replay {
            return Err(Error::StoreBehindJournal { missing: found.lost });
        }
        found.pass_over(&passed);
        if !found.is_mended() {
            match mend(vault, &found, why, &mut replayed, &mut passed).await? {
                Mended::Whole => continue,
                Mended::Partly => return Ok((Replayed { left: passed.len() as u64, ..replayed }, of_slots(passed))),
            }
        }
        let mut reached = applied.position();
        if head.position() > reached && !found.pending {
            slot.applied = (head.position(), *head.hash());
            match vault.store.put(&slot.seal(&vault.root)?, Expected::Revision(stored.revision())).await {
                // Lazily: whoever was faster checked as much, or the next look moves it.
                Err(e) if e.kind() == StoreErrorKind::Conflict => {}
                put => {
                    put?;
                    reached = head.position();
                }
            }
        }
        vault.applied_seen.fetch_max(reached, Ordering::SeqCst);
        return Ok((Replayed { left: passed.len() as u64, ..replayed }, of_slots(passed)));
    }
    Err(Error::Conflict)
}

/// Slots that could not be written, and why: `applied` waits for them.
pub(crate) type Passed = Vec<(SlotId, Error)>;

fn of_slots(passed: BTreeMap<(TenantId, Tag), Error>) -> Passed {
    passed.into_iter().map(|((tenant, tag), e)| (SlotId::Subject(tenant, tag), e)).collect()
}

/// What the journal tells and the store lacks.
#[derive(Default)]
struct Found {
    /// How many things were done and are not in the store: it was restored.
    lost: u64,
    /// Something is intended that whoever intends it may still be at.
    pending: bool,
    subjects: BTreeSet<(TenantId, Tag)>,
    tenants: BTreeSet<TenantId>,
}

impl Found {
    fn is_mended(&self) -> bool {
        self.subjects.is_empty() && self.tenants.is_empty()
    }

    /// Leaves these for later.
    fn pass_over(&mut self, passed: &BTreeMap<(TenantId, Tag), Error>) {
        for subject in passed.keys() {
            self.pending |= self.subjects.remove(subject);
        }
    }
}

async fn survey(
    vault: &Arc<VaultInner>,
    journal: &dyn ErasureJournal,
    applied: &Head,
    head: &Head,
    why: Why,
) -> Result<Found> {
    let mut found = Found::default();
    let mut at = if why == Why::Replay { Head::EMPTY } else { *applied };
    while at.position() < head.position() {
        let limit = usize::try_from(head.position() - at.position()).unwrap_or(usize::MAX).min(PAGE);
        let entries = journal.read(at.position(), limit).await?;
        if entries.is_empty() {
            return Err(Error::JournalTruncated);
        }
        for entry in &entries {
            if at.position() == applied.position() && at != *applied {
                return Err(Error::JournalTruncated);
            }
            at = at.after(entry);
        }
        examine(vault, journal, &entries, why, &mut found).await?;
    }
    // The chain from what was checked to the head: another one says that entries were replaced.
    if at == *head { Ok(found) } else { Err(Error::JournalTruncated) }
}

async fn examine(
    vault: &Arc<VaultInner>,
    journal: &dyn ErasureJournal,
    entries: &[JournalEntry],
    why: Why,
    found: &mut Found,
) -> Result<()> {
    let mut of_tenant: BTreeMap<&TenantId, BTreeSet<Tag>> = BTreeMap::new();
    for entry in entries {
        // A new line can't be told from one that a restore lost: nothing is to be done about either.
        let tag = entry.tag().filter(|_| !matches!(entry.event(), JournalEvent::Reenrolled { .. }));
        if let Some(tenant) = entry.tenant() {
            of_tenant.entry(tenant).or_default().extend(tag);
        }
    }
    for (id, tags) in of_tenant {
        let tenant = tenant(vault, id);
        let told = tenant.part.history(vault).await?;
        match find_root(vault, id, &told).await? {
            Root::Lost => {
                found.lost += 1;
                found.tenants.insert(id.clone());
                continue;
            }
            // Using the tenant is refused, so nothing of it opens.
            Root::Unusable => {
                found.pending = true;
                continue;
            }
            Root::Absent => {
                match told.intended.filter(|_| told.done.is_none()) {
                    Some(at) if why == Why::Look && is_young(vault, at) => found.pending = true,
                    Some(_) => drop(found.tenants.insert(id.clone())),
                    None => {}
                }
                continue;
            }
            Root::There => {}
        }
        if tags.is_empty() && told.erased().is_none() {
            continue; // no provider is asked for a tenant of which there is nothing to check
        }
        if told.erased().is_some() {
            tenant.part.forget(); // what this process holds may be from before another one erased it
        }
        let state = match tenant.part.any_state(vault).await {
            // One tenant's provider that is down is not to stop the others: this one hands out no keys meanwhile.
            Err(Error::Provider(_)) if why == Why::Look => {
                found.pending = true;
                continue;
            }
            state => state?,
        };
        let Some(state) = state else { continue };
        if told.erased().is_some() {
            let is_gone = state.erased_at.is_some();
            match told.done {
                Some(_) if is_gone => {}
                Some(_) => {
                    found.lost += 1;
                    found.tenants.insert(id.clone());
                }
                // A look sees that nothing of it opens any more; its subjects may be many.
                None if why == Why::Look && (is_gone || told.intended.is_some_and(|at| is_young(vault, at))) => {
                    found.pending = true;
                }
                None => drop(found.tenants.insert(id.clone())),
            }
            continue;
        }
        let tags: Vec<Tag> = tags.into_iter().collect();
        let now = journal.head().await?;
        let stored = vault.load(&tags.iter().map(|tag| tenant.slot_id(tag)).collect::<Vec<_>>()).await?;
        for (tag, stored) in tags.into_iter().zip(stored) {
            let slot = match stored.map(|stored| SubjectSlot::open(&stored, &state.root)).transpose() {
                // Damaged: nothing in it opens, and nothing in it can be put right.
                Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt => {
                    found.pending = true;
                    continue;
                }
                slot => slot?,
            };
            let history = History::of(&journal.read_of(Some(id), Some(&tag), &now).await?);
            let is_back = !has_destroyed(slot.as_ref(), &history.done());
            // In an epoch that ended nothing opens, and it may be below the floor.
            let lost = is_back && !is_dead(slot.as_ref(), &state);
            found.lost += u64::from(lost);
            found.pending |= is_back && !lost;
            let mut to_do = lost || (is_back && why == Why::Replay);
            if is_open(&history) {
                let young = history.intended_at.is_some_and(|at| is_young(vault, at));
                match why {
                    // That it was done is said once the store was scrubbed, which a look doesn't wait for.
                    Why::Look if young || is_destroyed(slot.as_ref(), &history) => found.pending = true,
                    _ => to_do = true,
                }
            }
            if to_do || slot.as_ref().is_some_and(|slot| flags_differ(slot, &history)) {
                found.subjects.insert((id.clone(), tag));
            }
        }
    }
    Ok(())
}

/// What the store has of a tenant's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    There,
    /// None, and none is missed.
    Absent,
    /// None, nor anything else of the tenant, though the journal tells that it was stored.
    Lost,
    /// Another than the journal tells of; or none, beside slots that need it.
    Unusable,
}

/// By the names that the slots carry, without asking the provider.
async fn find_root(vault: &VaultInner, id: &TenantId, told: &TenantHistory) -> Result<Root> {
    let stored = vault.load(&[SlotId::Tenant(id.clone())]).await?.into_iter().next().flatten();
    let root = stored.as_ref().map(TenantSlot::root_of).transpose()?.map(|root| root.key_id);
    if !told.is_missing(root.as_ref()) {
        return Ok(if root.is_some() { Root::There } else { Root::Absent });
    }
    let alone = !finds_any(&*vault.store, Scan::new(Filter::All).tenant(id.clone())).await?;
    Ok(if root.is_none() && alone { Root::Lost } else { Root::Unusable })
}

/// How far what was found is put right.
enum Mended {
    Whole,
    /// What was to be destroyed is; but the store was not scrubbed, so it stays intended until it is: by the next `erase` of
    /// the same, sweep or build. Or the store takes no writes, which it may do later.
    Partly,
}

/// Holds and schedules go back first, then what was destroyed is destroyed again; never a line above the one named.
///
/// One subject that can't be written is not to stop the others: it is passed over. But what was destroyed, and is back, holds
/// everybody up until it is gone. And whoever waits for a look is not to wait for a store that takes no writes.
async fn mend(
    vault: &Arc<VaultInner>,
    found: &Found,
    why: Why,
    replayed: &mut Replayed,
    passed: &mut BTreeMap<(TenantId, Tag), Error>,
) -> Result<Mended> {
    let mut destroyed: Vec<(Tenant, Tag, Vec<ErasedLine>, bool)> = Vec::new();
    for subject @ (id, tag) in &found.subjects {
        let tenant = tenant(vault, id);
        match mend_subject(&tenant, tag, why, replayed).await {
            Ok((lines, left)) => {
                destroyed.extend(lines.into_iter().map(|(lines, again)| (tenant.clone(), *tag, lines, again)));
                passed.extend(left.map(|e| (subject.clone(), e)));
            }
            Err(Error::TenantErased { .. }) => {} // since it was surveyed: the next survey finds that
            Err(e) if why == Why::Look && is_not_now(&e) => return Ok(Mended::Partly),
            Err(e) => return Err(e),
        }
    }
    let mut erased_tenants = Vec::new();
    for id in &found.tenants {
        let tenant = tenant(vault, id);
        let told = tenant.part.history(vault).await?;
        if find_root(vault, id, &told).await? == Root::Lost {
            if why != Why::Replay {
                return Err(Error::StoreBehindJournal { missing: 1 });
            }
            let Some(key_id) = told.stored else { continue };
            tenant.part.append(vault, JournalEvent::RootLost { key_id }).await?;
            replayed.roots_lost += 1;
        }
        if told.erased().is_some() {
            match tenant.destroy_tenant_keys().await {
                Err(e) if why == Why::Look && is_not_now(&e) => return Ok(Mended::Partly),
                gone => gone?,
            }
            if why != Why::Look {
                tenant.bury_subjects().await?;
            }
            erased_tenants.push(tenant);
        }
    }
    if destroyed.is_empty() && erased_tenants.is_empty() {
        return Ok(Mended::Whole);
    }
    // A scrub may take long, or fail: neither is to keep everybody else from their keys, who wait for a look.
    match why {
        Why::Look => return Ok(Mended::Partly),
        Why::Build if vault.scrub().await.is_err() => return Ok(Mended::Partly),
        Why::Build => {}
        Why::Replay => drop(vault.scrub().await?),
    }
    for (tenant, tag, lines, again) in destroyed {
        tenant.conclude(&tag, &lines, again).await?;
        replayed.erasures += u64::from(again);
    }
    for tenant in erased_tenants {
        tenant.conclude_tenant(true).await?;
        replayed.tenants += 1;
    }
    Ok(Mended::Whole)
}

/// Lines that are destroyed now, and whether they had been before.
type Lines = Vec<(Vec<ErasedLine>, bool)>;

/// What is destroyed now; and why something is left, if the provider refuses what it takes.
async fn mend_subject(tenant: &Tenant, tag: &Tag, why: Why, replayed: &mut Replayed) -> Result<(Lines, Option<Error>)> {
    let history = tenant.history(tag).await?;
    let (mut destroyed, mut left) = (Vec::new(), None);
    match put_flags(tenant, tag).await {
        Err(e @ Error::Provider(_)) => left = Some(e),
        put => replayed.flags += u64::from(put?),
    }
    let ReadSlot { state, slot, .. } = tenant.read_slot(tag).await?;
    if !has_destroyed(slot.as_ref(), &history.done()) {
        let is_dead = is_dead(slot.as_ref(), &state);
        match why {
            Why::Replay => match tenant.destroy_lines(tag, &history.done(), false).await {
                Err(e @ Error::Provider(_)) if is_dead => left = Some(e),
                gone => drop(gone.map(|_| destroyed.push((history.done(), true)))?),
            },
            _ if is_dead => {}
            _ => return Err(Error::StoreBehindJournal { missing: 1 }),
        }
    }
    match tenant.finish(tag, &history).await {
        Err(e @ Error::Provider(_)) => left = Some(e),
        finished => destroyed.push((finished?, false)),
    }
    destroyed.retain(|(lines, _)| !lines.is_empty());
    Ok((destroyed, left))
}

/// Whether the store may take the same write later.
fn is_not_now(e: &Error) -> bool {
    matches!(e, Error::Store(e) if e.retry() == Retry::Later)
}

/// Makes a slot's copies of what the journal says of holds and schedules what they are to be. True if it had others.
///
/// Others may decide, and copy, at the same time. So the journal is read after the slot that is replaced, and again once it
/// is: whoever copies last has read the last word.
pub(crate) async fn put_flags(tenant: &Tenant, tag: &Tag) -> Result<bool> {
    let mut put_any = false;
    for _ in 0..ATTEMPTS {
        let read = tenant.read_slot(tag).await?.slot;
        let history = tenant.history(tag).await?;
        let edit = |slot: Option<&SubjectSlot>, _: &Wrapper<'_>| {
            let Some(slot) = slot.filter(|slot| flags_differ(slot, &history)) else {
                return Ok(Edit::Keep(Copied::Already));
            };
            if read.as_ref() != Some(slot) {
                return Ok(Edit::Keep(Copied::Changed));
            }
            let new = SubjectSlot { held: history.held, erase_at: erase_at(slot, &history), ..slot.clone() };
            let readable_changed = new.erase_at != slot.erase_at;
            Ok(Edit::Put(new, Copied::Put { readable_changed }))
        };
        match tenant.edit_slot(tag, edit).await? {
            Copied::Already => {
                // Also where another process made the copy: the keys that are out in this one end as well.
                if history.scheduled.is_some() {
                    tenant.end(tag, history.scheduled);
                }
                return Ok(put_any);
            }
            Copied::Changed => {}
            Copied::Put { readable_changed } => {
                put_any = true;
                if readable_changed {
                    tenant.end(tag, history.scheduled);
                }
            }
        }
    }
    Err(Error::Conflict)
}

/// What became of a copy.
enum Copied {
    Already,
    Put {
        readable_changed: bool,
    },
    /// The slot is another than was read before the journal.
    Changed,
}

fn flags_differ(slot: &SubjectSlot, history: &History) -> bool {
    slot.epoch.is_some() && (slot.held != history.held || slot.erase_at != erase_at(slot, history))
}

/// What a slot is to have: what the journal says. But a subject that a sweep closed at the end of its retention period stays
/// closed, unless it is held: it may be about to be erased, and must not be prolonged.
fn erase_at(slot: &SubjectSlot, history: &History) -> Option<Timestamp> {
    let closed = slot.erase_at.filter(|_| slot.is_closed());
    history.scheduled.or(closed.filter(|_| !history.held))
}

/// Whether something is intended and not said to be done.
fn is_open(history: &History) -> bool {
    history.whole_is_open || !history.open().is_empty()
}

/// Whether what is intended is gone from the slot.
fn is_destroyed(slot: Option<&SubjectSlot>, history: &History) -> bool {
    let is_alive = |slot: &SubjectSlot| slot.purposes.iter().any(PurposeSlot::is_live);
    has_destroyed(slot, &history.open()) && !(history.whole_is_open && slot.is_none_or(is_alive))
}

/// Whether a slot's keys can't be unwrapped any more.
fn is_dead(slot: Option<&SubjectSlot>, state: &TenantState) -> bool {
    slot.and_then(|slot| slot.epoch).is_some_and(|epoch| state.is_dead(epoch))
}

fn has_destroyed(slot: Option<&SubjectSlot>, lines: &[ErasedLine]) -> bool {
    lines.iter().all(|l| slot.is_some_and(|slot| slot.has_destroyed(&l.purpose, l.line)))
}

/// Whether whoever intended it may still be at it.
fn is_young(vault: &VaultInner, at: Timestamp) -> bool {
    vault.clock.wall().since(at) < vault.max_age
}

fn tenant(vault: &Arc<VaultInner>, id: &TenantId) -> Tenant {
    Vault(vault.clone()).tenant(id)
}

/// Entries a read of the journal.
const PAGE: usize = 1000;
