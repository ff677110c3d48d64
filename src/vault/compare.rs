//! Compares what the journal records of tenants and subjects with what the key store has of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::applied::CheckMode;
use super::cached_tenant::TenantState;
use super::destroy::by_purpose;
use super::unclear::{Cause, UnclearSlots};
use super::verified::{Judged, PassedOver, VerifiedJournal, later, left_out};
use super::{Tenant, Vault, VaultInner};
use crate::clock::Timestamp;
use crate::error::{Error, JournalErrorKind, Result, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::history::{History, TenantHistory};
use crate::journal::verify::Judgment;
use crate::journal::{ErasedLine, Head, JournalEvent};
use crate::keys::slot::{PurposeSlot, SubjectSlot, TenantSlot};
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan, finds_any};

/// What the journal records and the store lacks.
#[derive(Default)]
pub(super) struct Differences {
    /// How many completions the store lacks: it was restored from a backup.
    pub(super) lost: u64,
    /// Of these something can't be told to be whole, or put right, now: whoever intends it may still be at it, a slot is damaged,
    /// a provider is away.
    pub(super) pending: BTreeSet<SlotId>,
    pub(super) subjects: BTreeSet<(TenantId, Tag)>,
    pub(super) tenants: BTreeSet<TenantId>,
    /// What can't be taken in here.
    pub(super) unclear: UnclearSlots,
    /// Whom the entries at positions that wait are about, as far as that is certain.
    pub(super) about: BTreeMap<u64, SlotId>,
    /// What nobody with the store's root entered.
    pub(super) passed_over: PassedOver,
    /// The position of the last entry about the key store as a whole; 0 if none was read.
    pub(super) last_of_store: u64,
}

impl Differences {
    pub(super) fn is_mended(&self) -> bool {
        self.subjects.is_empty() && self.tenants.is_empty()
    }

    /// Leaves these for later.
    pub(super) fn skip(&mut self, left: &Left) {
        for about in left.slots.keys() {
            if let SlotId::Subject(tenant, tag) = about
                && self.subjects.remove(&(tenant.clone(), *tag))
            {
                self.pending.insert(about.clone());
            }
        }
        for tenant in &left.tenants {
            if self.tenants.remove(tenant) {
                self.pending.insert(SlotId::Tenant(tenant.clone()));
            }
        }
    }

    /// Whether this one, or its tenant, was not found whole yet.
    pub(super) fn is_pending(&self, about: &SlotId) -> bool {
        let of_tenant = |tenant: &TenantId| self.pending.contains(&SlotId::Tenant(tenant.clone()));
        self.pending.contains(about) || about.tenant().is_some_and(of_tenant)
    }
}

/// What could not be put right: it is left for a later check, and holds up nothing else.
#[derive(Default)]
pub(super) struct Left {
    /// Subjects of which something can't be written, and why.
    pub(super) slots: BTreeMap<SlotId, Error>,
    /// Tenants that were erased, and of whose subjects some are left: that it is done is not entered.
    pub(super) tenants: BTreeSet<TenantId>,
}

/// What of the journal is compared.
pub(super) struct Stretch<'a> {
    /// Behind this head, which isn't after `applied`.
    pub(super) from: Head,
    pub(super) applied: &'a Head,
    pub(super) head: &'a Head,
    /// Positions of entries whose slot could not be checked.
    pub(super) waiting: &'a [u64],
}

/// Goes through a stretch of the journal.
pub(super) async fn find_differences(
    vault: &Arc<VaultInner>,
    journal: &VerifiedJournal,
    stretch: &Stretch<'_>,
    mode: CheckMode,
) -> Result<Differences> {
    let mut compare = Compare { vault, journal, mode, found: Differences::default() };
    // The chain from what was checked to the head: another one says that entries were replaced.
    let mut pages = journal.pages_from(stretch.from).past(*stretch.applied);
    while let Some(page) = pages.next(stretch.head).await? {
        journal.note_page(&page);
        compare.compare_page(&page, stretch.waiting).await?;
    }
    compare.found.last_of_store = pages.reading().last(&SlotId::Vault);
    compare.compare_waiting(stretch).await?;
    Ok(compare.found)
}

struct Compare<'a> {
    vault: &'a Arc<VaultInner>,
    journal: &'a VerifiedJournal,
    mode: CheckMode,
    found: Differences,
}

/// Whom entries are about.
#[derive(Default)]
struct Mentions(BTreeMap<TenantId, MentionsOfTenant>);

/// The positions of the last entries.
#[derive(Default)]
struct MentionsOfTenant {
    /// About the tenant itself; 0 if there is none.
    own: u64,
    /// About each subject that is to be compared.
    subjects: BTreeMap<Tag, u64>,
    /// About the tenant or any of its subjects.
    last: u64,
}

impl Mentions {
    /// Has the tenant itself compared, because of an entry about it or about a subject of it.
    fn add_tenant(&mut self, tenant: &TenantId, position: u64) -> &mut MentionsOfTenant {
        let of_tenant = self.0.entry(tenant.clone()).or_default();
        of_tenant.last = of_tenant.last.max(position);
        of_tenant
    }

    fn add(&mut self, about: &SlotId, position: u64) {
        let Some(tenant) = about.tenant() else { return };
        let of_tenant = self.add_tenant(tenant, position);
        let last = match about {
            SlotId::Subject(_, tag) => of_tenant.subjects.entry(*tag).or_default(),
            SlotId::Tenant(_) | SlotId::Vault => &mut of_tenant.own,
        };
        *last = position.max(*last);
    }
}

impl Compare<'_> {
    /// Compares each tenant and subject that these entries are about.
    async fn compare_page(&mut self, page: &[Judged], waiting: &[u64]) -> Result<()> {
        let mut mentions = Mentions::default();
        for judged @ Judged { position, entry, judgment } in page {
            let about = entry.about();
            let is_said = matches!(judgment, Judgment::LeftOut | Judgment::Later | Judgment::Accepted);
            if is_said && waiting.binary_search(position).is_ok() {
                self.found.about.insert(*position, about.clone());
            }
            match judgment {
                Judgment::PassedOver => self.found.passed_over.add(judged),
                Judgment::Attempt | Judgment::Skipped => {}
                Judgment::LeftOut if *about == SlotId::Vault => return Err(left_out(about)),
                Judgment::Later if *about == SlotId::Vault => return Err(later(about)),
                // A new line can't be told from one that a restore lost: nothing is to be done about either.
                Judgment::Accepted if matches!(entry.event(), JournalEvent::Reenrolled { .. }) => {
                    if let Some(tenant) = about.tenant() {
                        mentions.add_tenant(tenant, *position);
                    }
                }
                Judgment::LeftOut | Judgment::Later | Judgment::Accepted => mentions.add(about, *position),
            }
        }
        self.compare_all(mentions).await
    }

    /// Compares what could not be taken in before. What this process knows of itself it leaves to the next build or sweep where it
    /// is to look at what is new alone.
    async fn compare_waiting(&mut self, stretch: &Stretch<'_>) -> Result<()> {
        let (is_periodic, mut mentions) = (self.mode == CheckMode::Periodic, Mentions::default());
        let mut left = BTreeSet::new();
        for (about, cause) in self.vault.unclear.all().iter() {
            match cause.is_sure {
                true => drop(self.found.about.insert(cause.position, about.clone())),
                false => drop(left.insert(cause.position)),
            }
            match about {
                _ if is_periodic || !cause.is_sure => {}
                // Its entry may be about a subject.
                SlotId::Tenant(tenant) => drop(mentions.add_tenant(tenant, cause.position)),
                SlotId::Subject(..) | SlotId::Vault => mentions.add(about, cause.position),
            }
        }
        for position in stretch.waiting.iter().copied().filter(|position| *position <= stretch.from.position()) {
            if self.found.about.contains_key(&position) || (is_periodic && left.contains(&position)) {
                continue;
            }
            let about = self.journal.about_at(position).await?;
            match self.journal.said_of(&about, position, stretch.head).await {
                // Those about it that are genuine have none there. (What is about the key store never waits: that it does is what
                // the journal says, and stops nobody.)
                Err(Error::Journal(e)) if e.kind() == JournalErrorKind::Corrupt => {
                    let error = e.of_one_tenant().into();
                    self.found.unclear.add(about, Cause { position, is_sure: false, error });
                    continue;
                }
                Err(Error::Journal(e)) if e.kind() == JournalErrorKind::NewerSchema => {}
                said => drop(said?),
            }
            mentions.add(&about, position);
            self.found.about.insert(position, about);
        }
        self.compare_all(mentions).await
    }

    async fn compare_all(&mut self, mentions: Mentions) -> Result<()> {
        for (id, mentions) in mentions.0 {
            let tenant = tenant(self.vault, &id);
            match self.compare_tenant(&tenant, &mentions).await {
                // Nothing of it opens here, until it was compared.
                Err(e) if is_unclear(&e) => self.leave_unclear(&id, &mentions, &e),
                compared => compared?,
            }
        }
        Ok(())
    }

    fn leave_unclear(&mut self, id: &TenantId, mentions: &MentionsOfTenant, e: &Error) {
        let subjects = mentions.subjects.iter().map(|(tag, at)| (SlotId::Subject(id.clone(), *tag), *at));
        for (about, position) in subjects.chain([(SlotId::Tenant(id.clone()), mentions.last)]) {
            self.found.unclear.add(about, Cause { position, is_sure: true, error: e.clone() });
        }
    }

    /// # Errors
    /// One that [`is_unclear`] if the tenant itself can't be taken in.
    async fn compare_tenant(&mut self, tenant: &Tenant, mentions: &MentionsOfTenant) -> Result<()> {
        tenant.cached.note_told(mentions.own);
        let tenant_history = tenant.cached.history(self.vault).await?;
        if !self.compare_root(tenant.id(), &tenant_history).await? {
            return Ok(());
        }
        let erased = tenant_history.erased().is_some();
        if mentions.subjects.is_empty() && !erased {
            return Ok(()); // no provider is asked for a tenant of which there is nothing to check
        }
        if erased {
            tenant.cached.forget(); // what this process holds may be from before another one erased it
        }
        let state = match tenant.cached.any_state(self.vault).await {
            // If one tenant's provider is down, the others go on: this tenant hands out no keys meanwhile.
            Err(Error::Provider(_)) if self.mode == CheckMode::Periodic => None,
            state => state?,
        };
        let Some(state) = state else {
            self.found.pending.insert(SlotId::Tenant(tenant.id().clone()));
            return Ok(());
        };
        if erased {
            self.compare_erased_tenant(tenant.id(), &tenant_history, &state);
            return Ok(());
        }
        self.compare_subjects(tenant, &state, &mentions.subjects).await
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
            Root::Unusable => drop(found.pending.insert(SlotId::Tenant(id.clone()))),
            Root::Absent => match tenant_history.intended.filter(|_| tenant_history.done.is_none()) {
                Some(at) if self.mode == CheckMode::Periodic && is_young(self.vault, at) => {
                    found.pending.insert(SlotId::Tenant(id.clone()));
                }
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
            None if self.mode == CheckMode::Periodic && (is_gone || is_young) => {
                found.pending.insert(SlotId::Tenant(id.clone()));
            }
            None => drop(found.tenants.insert(id.clone())),
        }
    }

    async fn compare_subjects(
        &mut self,
        tenant: &Tenant,
        state: &TenantState,
        subjects: &BTreeMap<Tag, u64>,
    ) -> Result<()> {
        // Before the slots: what the journal says up to here to be done is in them.
        let head = self.journal.head().await?;
        let slots: Vec<SlotId> = subjects.keys().map(|tag| tenant.slot_id(tag)).collect();
        let stored = self.vault.load(&slots).await?;
        for ((id, stored), (tag, position)) in slots.into_iter().zip(stored).zip(subjects) {
            match self.compare_subject(&id, *tag, state, stored, *position, &head).await {
                Err(error) if is_unclear(&error) => {
                    self.found.unclear.add(id, Cause { position: *position, is_sure: true, error });
                }
                // Damaged: nothing in it opens, and nothing in it can be put right.
                Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt => drop(self.found.pending.insert(id)),
                compared => compared?,
            }
        }
        Ok(())
    }

    /// `mentioned` is the position of an entry about the subject.
    ///
    /// # Errors
    /// One that [`is_unclear`] if the subject can't be taken in.
    async fn compare_subject(
        &mut self,
        id: &SlotId,
        tag: Tag,
        state: &TenantState,
        stored: Option<StoredSlot>,
        mentioned: u64,
        head: &Head,
    ) -> Result<()> {
        let slot = stored.map(|stored| SubjectSlot::open(&stored, &state.root)).transpose()?;
        let mut told = slot.as_ref().map_or(0, |slot| slot.told);
        if told > head.position() {
            // It was written since. A journal that ends before what it names was cut.
            if told > self.journal.head().await?.position() {
                return Err(Error::JournalTruncated);
            }
            told = 0;
        }
        let told = told.max(mentioned);
        let history = History::of(&self.journal.said_of(id, told, head).await?);
        let found = &mut self.found;
        let is_back = !has_destroyed_done(slot.as_ref(), &history);
        // In an epoch that ended nothing opens, and it may be below the floor.
        let lost = is_back && !is_dead(slot.as_ref(), state);
        found.lost += u64::from(lost);
        let mut is_pending = is_back && !lost;
        let mut to_do = lost || (is_back && self.mode == CheckMode::Replay);
        if is_open(&history) {
            let young = history.intent.is_some_and(|intent| is_young(self.vault, intent.at));
            match self.mode {
                // Completion is recorded after the store was scrubbed, which a periodic check doesn't wait for.
                CheckMode::Periodic if young || is_destroyed(slot.as_ref(), &history) => is_pending = true,
                _ => to_do = true,
            }
        }
        if is_pending {
            found.pending.insert(id.clone());
        }
        if to_do || slot.as_ref().is_some_and(|slot| flags_differ(slot, &history)) {
            found.subjects.extend(id.tenant().map(|tenant| (tenant.clone(), tag)));
        }
        Ok(())
    }
}

/// Whether an error says that a subject or a tenant can't be taken in here, now: its slot, or an entry about it, is of a later
/// version, or an entry about it is missing. Others can.
pub(super) fn is_unclear(e: &Error) -> bool {
    match e {
        Error::Store(e) => e.kind() == StoreErrorKind::NewerSchema,
        Error::Journal(e) => e.is_of_one_tenant(),
        _ => false,
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

/// Whether a slot that lives has another copy of holds and schedules than the journal says.
pub(super) fn flags_differ(slot: &SubjectSlot, history: &History) -> bool {
    slot.epoch.is_some()
        && (slot.held != history.held
            || slot.erase_at != history.scheduled
            || slot.closed_at != closed_at(slot, history))
}

/// Whether a slot that lives does not name the last entry about the subject: one that was kept back would not be missed. While an
/// erasure is intended, whoever carries that out names it.
pub(super) fn names_less(slot: &SubjectSlot, history: &History) -> bool {
    slot.epoch.is_some() && slot.told < history.last && !is_open(history)
}

/// A subject that `erase_due` closed at the end of its retention period stays closed, unless it is held: it may be about to be
/// erased, and must not be prolonged.
pub(super) fn closed_at(slot: &SubjectSlot, history: &History) -> Option<Timestamp> {
    slot.closed_at.filter(|_| !history.held)
}

/// Whether an erasure is intended and not recorded as done.
fn is_open(history: &History) -> bool {
    history.whole_is_open || !history.open().is_empty()
}

/// Whether what is intended is gone from the slot.
fn is_destroyed(slot: Option<&SubjectSlot>, history: &History) -> bool {
    let is_alive = |slot: &SubjectSlot| slot.purposes.iter().any(PurposeSlot::is_live) || slot.whole_at.is_none();
    has_destroyed(slot, &history.open()) && !(history.whole_is_open && slot.is_none_or(is_alive))
}

/// Whether what is recorded as destroyed is gone from the slot.
pub(super) fn has_destroyed_done(slot: Option<&SubjectSlot>, history: &History) -> bool {
    let done = history.done();
    match history.whole_done {
        true => slot.is_some_and(|slot| slot.has_destroyed_whole(by_purpose(&done))),
        false => has_destroyed(slot, &done),
    }
}

/// Whether a slot's keys can't be unwrapped any more.
pub(super) fn is_dead(slot: Option<&SubjectSlot>, state: &TenantState) -> bool {
    slot.and_then(|slot| slot.epoch).is_some_and(|epoch| state.is_dead(epoch))
}

fn has_destroyed(slot: Option<&SubjectSlot>, lines: &[ErasedLine]) -> bool {
    lines.iter().all(|l| slot.is_some_and(|slot| slot.has_destroyed(&l.purpose, l.line)))
}

/// Whether whoever intended it may still be at it.
fn is_young(vault: &VaultInner, at: Timestamp) -> bool {
    vault.clock.wall().since(at) < vault.max_age
}

pub(super) fn tenant(vault: &Arc<VaultInner>, id: &TenantId) -> Tenant {
    Vault(vault.clone()).tenant(id)
}
