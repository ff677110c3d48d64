//! Puts right what a comparison of journal and store found: copies holds and schedules, and destroys keys again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::applied::{CheckMode, ReplayReport};
use super::compare::{
    Differences, Left, Root, ToMend, closed_at, find_root, flags_differ, has_destroyed_done, is_dead, is_unclear,
    may_be_buried, names_less, tenant,
};
use super::decide::{Erased, IfRecorded};
use super::destroy::{Extent, LinesCover};
use super::slots::{Edit, ReadSlot, Wrapper, damaged, is_of_one_slot};
use super::{ATTEMPTS, Tenant, VaultInner};
use crate::error::{Error, Result, Retry};
use crate::journal::JournalEvent;
use crate::journal::history::History;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, Tag};

/// How far what was found is put right.
pub(super) enum Mended {
    Whole,
    /// The keys are destroyed, but the store was not scrubbed: a later `erase` of the same, `erase_due` or build scrubs it and
    /// records completion. Or the store takes no writes, which it may do later.
    Partly,
}

/// Holds and schedules go back first, then what was destroyed is destroyed again; never a line above the one named.
///
/// If one subject, or one tenant, can't be read or written, it is left, and the others go on. But what was destroyed, and is back,
/// holds everybody up until it is gone. And a periodic check doesn't wait for a store that takes no writes.
pub(super) async fn mend(
    vault: &Arc<VaultInner>,
    found: &Differences,
    mode: CheckMode,
    replayed: &mut ReplayReport,
    left: &mut Left,
) -> Result<Mended> {
    let mut destroyed: Vec<(Tenant, Tag, DestroyedLines)> = Vec::new();
    for ((id, tag), to_mend) in &found.subjects {
        let tenant = tenant(vault, id);
        match mend_subject(&tenant, tag, mode, replayed).await {
            Ok((lines, refused)) => {
                destroyed.extend(lines.into_iter().map(|lines| (tenant.clone(), *tag, lines)));
                left.slots.extend(refused.map(|e| (tenant.slot_id(tag), e)));
            }
            Err(Error::TenantErased { .. }) => {} // since it was compared: the next comparison finds that
            Err(e) if may_be_left(&e, to_mend) => drop(left.slots.insert(tenant.slot_id(tag), e)),
            Err(e) if mode == CheckMode::Periodic && is_not_now(&e) => return Ok(Mended::Partly),
            Err(e) => return Err(e),
        }
    }
    let mut erased_tenants = Vec::new();
    for (id, to_mend) in &found.tenants {
        let tenant = tenant(vault, id);
        match mend_tenant(&tenant, mode, replayed).await {
            Ok(None) => {}
            Ok(Some(unburied)) if unburied.is_empty() => erased_tenants.push(tenant),
            Ok(Some(unburied)) => {
                left.tenants.insert(id.clone());
                left.slots.extend(unburied);
            }
            Err(e) if may_be_left(&e, to_mend) => {
                left.tenants.insert(id.clone());
                left.slots.insert(SlotId::Tenant(id.clone()), e);
            }
            Err(e) if mode == CheckMode::Periodic && is_not_now(&e) => return Ok(Mended::Partly),
            Err(e) => return Err(e),
        }
    }
    if destroyed.is_empty() && erased_tenants.is_empty() {
        return Ok(Mended::Whole);
    }
    // A scrub may take long, or fail: neither keeps everybody else from their keys, who wait for a periodic check.
    match mode {
        CheckMode::Periodic => return Ok(Mended::Partly),
        CheckMode::OnBuild | CheckMode::Sweep if vault.scrub().await.is_err() => return Ok(Mended::Partly),
        CheckMode::OnBuild | CheckMode::Sweep => {}
        CheckMode::Replay => drop(vault.scrub().await?),
    }
    for (tenant, tag, DestroyedLines { erased, told, if_recorded }) in destroyed {
        tenant.record_done(&tag, told, &erased, if_recorded).await?;
        replayed.erasures += u64::from(if_recorded == IfRecorded::RecordAgain);
    }
    for tenant in erased_tenants {
        tenant.record_tenant_done(IfRecorded::RecordAgain).await?;
        replayed.tenants += 1;
    }
    Ok(Mended::Whole)
}

/// Where a tenant was erased, destroys its keys. Gives the subjects that are not buried yet, and why; none where the tenant was not
/// erased.
async fn mend_tenant(
    tenant: &Tenant,
    mode: CheckMode,
    replayed: &mut ReplayReport,
) -> Result<Option<BTreeMap<SlotId, Error>>> {
    let vault = &tenant.vault.0;
    let tenant_history = tenant.cached.history(vault).await?;
    if find_root(vault, tenant.id(), &tenant_history).await? == Root::Lost {
        if mode != CheckMode::Replay {
            return Err(Error::StoreBehindJournal { missing: 1 });
        }
        let Some(key_id) = tenant_history.stored else { return Ok(None) };
        tenant.cached.append(vault, JournalEvent::RootLost { key_id }).await?;
        replayed.roots_lost += 1;
    }
    if tenant_history.erased().is_none() {
        return Ok(None);
    }
    tenant.destroy_tenant_keys().await?;
    match mode {
        CheckMode::Periodic => Ok(Some(BTreeMap::new())),
        CheckMode::OnBuild | CheckMode::Sweep | CheckMode::Replay => tenant.make_tombstones().await.map(Some),
    }
}

/// Lines that are destroyed now.
struct DestroyedLines {
    erased: Erased,
    /// The position that the slot names at least.
    told: u64,
    if_recorded: IfRecorded,
}

/// What is destroyed now; and why something is left, if the provider refuses what it takes.
async fn mend_subject(
    tenant: &Tenant,
    tag: &Tag,
    mode: CheckMode,
    replayed: &mut ReplayReport,
) -> Result<(Vec<DestroyedLines>, Option<Error>)> {
    let found = tenant.read_to_erase(tag).await?;
    let history = tenant.history(tag, found.told()).await?;
    if found.is_damaged() {
        return mend_damaged(tenant, tag, mode, &history).await.map(|lines| (lines.into_iter().collect(), None));
    }
    let (told, mut destroyed, mut left) = (history.last, Vec::new(), None);
    match put_flags(tenant, tag).await {
        Err(e @ Error::Provider(_)) => left = Some(e),
        put => replayed.flags += u64::from(put?),
    }
    let ReadSlot { state, slot, .. } = tenant.read_slot(tag).await?;
    if !has_destroyed_done(slot.as_ref(), &history) {
        let is_dead = is_dead(slot.as_ref(), &state);
        let cover = if history.whole_done { LinesCover::WholeAsRecorded } else { LinesCover::NamedPurposes };
        let erased = Erased { whole: history.whole_done, lines: history.done() };
        match mode {
            CheckMode::Replay => match tenant.destroy_lines(tag, &erased.lines, cover, told).await {
                Err(e @ Error::Provider(_)) if is_dead => left = Some(e),
                gone => {
                    gone?;
                    destroyed.push(DestroyedLines { erased, told, if_recorded: IfRecorded::RecordAgain });
                }
            },
            _ if is_dead => {}
            _ => return Err(Error::StoreBehindJournal { missing: 1 }),
        }
    }
    match tenant.finish_intended(tag, &history).await {
        Err(e @ Error::Provider(_)) => left = Some(e),
        finished => {
            destroyed.extend(finished?.map(|erased| DestroyedLines { erased, told, if_recorded: IfRecorded::Skip }));
        }
    }
    Ok((destroyed, left))
}

/// What is destroyed now of a subject whose slot is damaged.
async fn mend_damaged(
    tenant: &Tenant,
    tag: &Tag,
    mode: CheckMode,
    history: &History,
) -> Result<Option<DestroyedLines>> {
    if !may_be_buried(history, mode) {
        return Err(damaged()); // since it was compared
    }
    let if_recorded = if history.whole_is_open { IfRecorded::Skip } else { IfRecorded::RecordAgain };
    let gone = tenant.destroy(tag, Extent::Whole, |_, _| Ok(false)).await?;
    Ok(gone.map(|gone| DestroyedLines { erased: gone.erased, told: history.last, if_recorded }))
}

/// Whether the others go on without one that can't be put right.
fn may_be_left(e: &Error, to_mend: &ToMend) -> bool {
    is_unclear(e) || (is_of_one_slot(e) && !to_mend.is_back)
}

/// Whether the store may take the same write later.
fn is_not_now(e: &Error) -> bool {
    matches!(e, Error::Store(e) if e.retry() == Retry::Later)
}

/// Makes a slot's copies of what the journal says of holds and schedules what they are to be, and has it name the last entry. True
/// if it had other copies.
///
/// Others may decide, and copy, at the same time. So the journal is read after the slot that is replaced, and again once it
/// is: whoever copies last has read the last word.
pub(super) async fn put_flags(tenant: &Tenant, tag: &Tag) -> Result<bool> {
    let mut put_any = false;
    for _ in 0..ATTEMPTS {
        let read = tenant.read_slot(tag).await?.slot;
        let history = tenant.history(tag, read.as_ref().map_or(0, |slot| slot.told)).await?;
        let flags_differ = |slot: &SubjectSlot| flags_differ(slot, &history);
        let edit = |slot: Option<&SubjectSlot>, _: &Wrapper<'_>| {
            let Some(slot) = slot.filter(|slot| flags_differ(slot) || names_less(slot, &history)) else {
                return Ok(Edit::Keep(Copied::Already));
            };
            if read.as_ref() != Some(slot) {
                return Ok(Edit::Keep(Copied::Changed));
            }
            let (held, erase_at, closed_at) = (history.held, history.scheduled, closed_at(slot, &history));
            let mut new = SubjectSlot { held, erase_at, closed_at, ..slot.clone() };
            new.tell(history.last);
            let readable = |slot: &SubjectSlot| (slot.closed(), slot.closes_at());
            let (readable_changed, had_others) = (readable(&new) != readable(slot), flags_differ(slot));
            Ok(Edit::Put(new, Copied::Put { readable_changed, had_others }))
        };
        let copied = match tenant.edit_slot(tag, edit).await {
            // That it names the last entry is good to have: not worth a key that the provider refuses.
            Err(Error::Provider(_)) if !read.as_ref().is_some_and(flags_differ) => Copied::Already,
            copied => copied?,
        };
        match copied {
            Copied::Already => {
                // Also where another process made the copy: the issued keys in this one end as well.
                if history.scheduled.is_some() {
                    tenant.revoke_keys(tag, None);
                }
                return Ok(put_any);
            }
            Copied::Changed => {}
            Copied::Put { readable_changed, had_others } => {
                put_any |= had_others;
                if readable_changed {
                    tenant.revoke_keys(tag, None);
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
        /// Holds and schedules were others: the slot does not only name another entry.
        had_others: bool,
    },
    /// The slot is another than was read before the journal.
    Changed,
}
