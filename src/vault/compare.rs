//! Compares what the journal records of tenants and subjects with what the key store has of them, each by itself: whom it can't
//! be compared with is named, and holds up nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::applied::CheckMode;
use super::cached_tenant::TenantState;
use super::destroy::by_purpose;
use super::slots::{Found, ReadSlot, damaged, is_damage, is_of_one_slot};
use super::unclear::{Cause, UnclearSlots};
use super::verified::{Judged, PassedOver, VerifiedJournal, later, left_out};
use super::{Tenant, Vault, VaultInner};
use crate::clock::Timestamp;
use crate::error::{Error, JournalErrorKind, Result, StoreError, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::history::{History, TenantHistory};
use crate::journal::verify::Judgment;
use crate::journal::{ErasedLine, Head, JournalEvent};
use crate::keys::slot::{PurposeSlot, SubjectSlot, TenantSlot};
use crate::keys::{SlotId, Tag};
use crate::store::{Filter, Loaded, Scan, finds_any};

/// What the journal records and the store lacks.
#[derive(Default)]
pub(super) struct Differences {
    /// How many completions the store lacks: it was restored from a backup.
    pub(super) lost: u64,
    /// Of these something can't be told to be whole, or put right, now: whoever intends it may still be at it, a provider is away.
    /// Each with the position of an entry about it, or about a subject of it.
    pub(super) pending: BTreeMap<SlotId, u64>,
    pub(super) subjects: BTreeMap<(TenantId, Tag), ToMend>,
    pub(super) tenants: BTreeMap<TenantId, ToMend>,
    /// What can't be taken in here, or not be read.
    pub(super) unclear: UnclearSlots,
    /// The last completion that was found in the store, and whom it is about. Where that one is missing later, the store was restored.
    pub(super) witness: Option<(u64, SlotId)>,
    /// Whom the entries at positions that wait are about, as far as that is certain.
    pub(super) about: BTreeMap<u64, SlotId>,
    /// What nobody with the store's root entered.
    pub(super) passed_over: PassedOver,
    /// The position of the last entry about the key store as a whole; 0 if none was read.
    pub(super) last_of_store: u64,
}

/// What is to be put right.
#[derive(Clone, Copy)]
pub(super) struct ToMend {
    /// That of an entry about it.
    position: u64,
    /// What was destroyed is there again: nobody goes on before it is gone.
    pub(super) is_back: bool,
}

impl Differences {
    pub(super) fn is_mended(&self) -> bool {
        self.subjects.is_empty() && self.tenants.is_empty()
    }

    /// Leaves these for later, but for what is back.
    pub(super) fn skip(&mut self, left: &Left) {
        let pending = &mut self.pending;
        self.subjects.retain(|(tenant, tag), to_mend| {
            let about = SlotId::Subject(tenant.clone(), *tag);
            let stays = to_mend.is_back || !left.slots.contains_key(&about);
            if !stays {
                pending.insert(about, to_mend.position);
            }
            stays
        });
        self.tenants.retain(|tenant, to_mend| {
            let stays = to_mend.is_back || !left.tenants.contains(tenant);
            if !stays {
                pending.insert(SlotId::Tenant(tenant.clone()), to_mend.position);
            }
            stays
        });
    }

    fn has_seen_done(&mut self, about: SlotId, position: u64) {
        self.witness = self.witness.take().max(Some((position, about)));
    }

    /// Whether this one, or its tenant, was not found whole yet.
    pub(super) fn is_pending(&self, about: &SlotId) -> bool {
        let of_tenant = |tenant: &TenantId| self.pending.contains_key(&SlotId::Tenant(tenant.clone()));
        self.pending.contains_key(about) || about.tenant().is_some_and(of_tenant)
    }
}

/// What could not be put right: it is left for a later check, and holds up nothing else.
#[derive(Default)]
pub(super) struct Left {
    /// Subjects and tenants of which something can't be written, and why.
    pub(super) slots: BTreeMap<SlotId, Error>,
    /// Tenants that were erased, and of whose subjects some are left: that it is done is not entered.
    pub(super) tenants: BTreeSet<TenantId>,
}

/// What of the journal is compared.
pub(super) struct Stretch<'a> {
    /// Behind this head.
    pub(super) from: Head,
    pub(super) applied: &'a Head,
    pub(super) head: &'a Head,
    /// Positions of entries whose slot could not be checked.
    pub(super) waiting: &'a [u64],
    /// What this process is to look at again.
    pub(super) again: &'a BTreeMap<SlotId, u64>,
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

impl MentionsOfTenant {
    /// The tenant, and each subject of it that is to be compared, with the last entry about it.
    fn all(&self, id: &TenantId) -> impl Iterator<Item = (SlotId, u64)> {
        let subjects = self.subjects.iter().map(|(tag, at)| (SlotId::Subject(id.clone(), *tag), *at));
        subjects.chain([(SlotId::Tenant(id.clone()), self.last)])
    }
}

impl Mentions {
    /// Has the tenant itself compared, because of an entry about it or about a subject of it.
    fn add_tenant(&mut self, tenant: &TenantId, position: u64) -> &mut MentionsOfTenant {
        let of_tenant = self.0.entry(tenant.clone()).or_default();
        of_tenant.last = of_tenant.last.max(position);
        of_tenant
    }

    /// Has one compared again. The entry about a tenant may be about a subject of it.
    fn add_again(&mut self, about: &SlotId, position: u64) {
        match about {
            SlotId::Tenant(tenant) => drop(self.add_tenant(tenant, position)),
            SlotId::Subject(..) | SlotId::Vault => self.add(about, position),
        }
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

    /// Compares what could not be taken in before, or was pending. What this process knows of itself to be unclear it leaves to the
    /// next build or sweep where it is to look at what is new alone; but for what the provider may give by now.
    async fn compare_waiting(&mut self, stretch: &Stretch<'_>) -> Result<()> {
        let (is_periodic, mut mentions) = (self.mode == CheckMode::Periodic, Mentions::default());
        let mut left = BTreeSet::new();
        for (about, cause) in self.vault.unclear.all().iter() {
            match cause.is_sure {
                true => drop(self.found.about.insert(cause.position, about.clone())),
                false => drop(left.insert(cause.position)),
            }
            if cause.is_sure && (!is_periodic || cause.may_pass()) {
                mentions.add_again(about, cause.position);
            }
        }
        for (about, position) in stretch.again.iter().filter(|(_, position)| **position <= stretch.from.position()) {
            mentions.add_again(about, *position);
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
                Ok(None) => {}
                Ok(Some(state)) => self.compare_subjects(&tenant, &state, &mentions.subjects).await?,
                // If one tenant's provider is down, the others go on, and this one's keys are not to be had. Where nobody has looked
                // at the tenant yet, it hands out none until somebody has.
                Err(Error::Provider(_)) if self.mode == CheckMode::Periodic && !self.is_known_unclear(&id) => {
                    self.found.pending.extend(mentions.all(&id));
                }
                Err(e @ Error::Provider(_)) if self.mode == CheckMode::Periodic || is_of_one_slot(&e) => {
                    self.leave_unclear(&id, &mentions, &e);
                }
                Err(e) if is_unclear(&e) => self.leave_unclear(&id, &mentions, &e),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn is_known_unclear(&self, id: &TenantId) -> bool {
        self.vault.unclear.contains(&SlotId::Tenant(id.clone()))
    }

    /// Nothing of it opens here, until it was compared.
    fn leave_unclear(&mut self, id: &TenantId, mentions: &MentionsOfTenant, e: &Error) {
        for (about, position) in mentions.all(id) {
            self.found.unclear.add(about, Cause { position, is_sure: true, error: e.clone() });
        }
    }

    /// Compares the tenant itself. Gives its keys if it has subjects to compare.
    ///
    /// # Errors
    /// One that [`is_unclear`], or its provider's, if the tenant itself can't be taken in.
    async fn compare_tenant(
        &mut self,
        tenant: &Tenant,
        mentions: &MentionsOfTenant,
    ) -> Result<Option<Arc<TenantState>>> {
        tenant.cached.note_told(mentions.own);
        let tenant_history = tenant.cached.history(self.vault).await?;
        if !self.compare_root(tenant.id(), &tenant_history, mentions.last).await? {
            return Ok(None);
        }
        let erased = tenant_history.erased().is_some();
        if mentions.subjects.is_empty() && !erased {
            return Ok(None); // no provider is asked for a tenant of which there is nothing to check
        }
        if erased {
            tenant.cached.forget(); // what this process holds may be from before another one erased it
        }
        let Some(state) = tenant.cached.any_state(self.vault).await? else {
            self.found.pending.extend(mentions.all(tenant.id())); // it went since
            return Ok(None);
        };
        if erased {
            self.compare_erased_tenant(tenant.id(), &tenant_history, &state, mentions.last);
            return Ok(None);
        }
        Ok(Some(state))
    }

    /// Whether the tenant's root is there, so that there is more to compare. `position` is that of an entry about the tenant.
    async fn compare_root(&mut self, id: &TenantId, tenant_history: &TenantHistory, position: u64) -> Result<bool> {
        let to_mend = |is_back: bool| ToMend { position, is_back };
        let found = &mut self.found;
        match find_root(self.vault, id, tenant_history).await? {
            Root::There => return Ok(true),
            Root::Lost => {
                found.lost += 1;
                found.tenants.insert(id.clone(), to_mend(true));
            }
            Root::Absent => match tenant_history.intended.filter(|_| tenant_history.done.is_none()) {
                Some(at) if self.mode == CheckMode::Periodic && is_young(self.vault, at) => {
                    found.pending.insert(SlotId::Tenant(id.clone()), position);
                }
                Some(_) => drop(found.tenants.insert(id.clone(), to_mend(false))),
                None => {}
            },
        }
        Ok(false)
    }

    fn compare_erased_tenant(
        &mut self,
        id: &TenantId,
        tenant_history: &TenantHistory,
        state: &TenantState,
        position: u64,
    ) {
        let is_young = tenant_history.intended.is_some_and(|at| is_young(self.vault, at));
        let is_gone = state.erased_at.is_some();
        let to_mend = |is_back: bool| ToMend { position, is_back };
        let found = &mut self.found;
        match tenant_history.done {
            Some(_) if is_gone => found.has_seen_done(SlotId::Tenant(id.clone()), position),
            Some(_) => {
                found.lost += 1;
                found.tenants.insert(id.clone(), to_mend(true));
            }
            // A periodic check sees that nothing of it opens any more; its subjects may be many.
            None if self.mode == CheckMode::Periodic && (is_gone || is_young) => {
                found.pending.insert(SlotId::Tenant(id.clone()), position);
            }
            None => drop(found.tenants.insert(id.clone(), to_mend(false))),
        }
    }

    async fn compare_subjects(
        &mut self,
        tenant: &Tenant,
        state: &Arc<TenantState>,
        subjects: &BTreeMap<Tag, u64>,
    ) -> Result<()> {
        let lost_at = tenant.cached.root_lost_at();
        let subjects: BTreeMap<Tag, u64> =
            subjects.iter().filter(|(_, at)| **at > lost_at).map(|(tag, at)| (*tag, *at)).collect();
        // Before the slots: what the journal says up to here to be done is in them.
        let head = self.journal.head().await?;
        let slots: Vec<SlotId> = subjects.keys().map(|tag| tenant.slot_id(tag)).collect();
        let loaded = self.vault.load(&slots).await?;
        for ((id, loaded), (tag, position)) in slots.into_iter().zip(loaded).zip(subjects) {
            match self.compare_subject(&id, tag, state, loaded, position, &head).await {
                Err(error) if is_unclear(&error) => {
                    self.found.unclear.add(id, Cause { position, is_sure: true, error });
                }
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
        state: &Arc<TenantState>,
        loaded: Loaded,
        mentioned: u64,
        head: &Head,
    ) -> Result<()> {
        let slot = match Found::of(loaded, state.clone())? {
            Found::Sound(ReadSlot { slot, .. }) => slot,
            Found::Damaged(_) => return self.compare_damaged(id, tag, mentioned, head).await,
        };
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
        let is_back = !has_destroyed_done(slot.as_ref(), &history);
        if !is_back && history.done.is_some() {
            self.found.has_seen_done(id.clone(), mentioned);
        }
        // In an epoch that ended nothing opens, and it may be below the floor.
        let lost = is_back && !is_dead(slot.as_ref(), state);
        self.found.lost += u64::from(lost);
        let mut is_pending = is_back && !lost;
        let mut to_do = lost || (is_back && self.mode == CheckMode::Replay);
        if is_open(&history) {
            match self.mode {
                // Completion is recorded after the store was scrubbed, which a periodic check doesn't wait for.
                CheckMode::Periodic
                    if is_young_intent(self.vault, &history) || is_destroyed(slot.as_ref(), &history) =>
                {
                    is_pending = true;
                }
                _ => to_do = true,
            }
        }
        if is_pending {
            self.found.pending.insert(id.clone(), mentioned);
        }
        if to_do || slot.as_ref().is_some_and(|slot| flags_differ(slot, &history)) {
            self.leave_to_mend(id, tag, ToMend { position: mentioned, is_back: lost });
        }
        Ok(())
    }

    /// What is damaged opens nothing, and nobody can tell what is in it. Where the journal knows, it becomes a tombstone: if an
    /// erasure as a whole is intended, or a replay is to do it again, and nobody was enrolled again since.
    ///
    /// # Errors
    /// One that [`is_unclear`] otherwise: it waits until the slot is put back, or the subject erased as a whole.
    async fn compare_damaged(&mut self, id: &SlotId, tag: Tag, mentioned: u64, head: &Head) -> Result<()> {
        let history = History::of(&self.journal.said_of(id, mentioned, head).await?);
        if !may_be_buried(&history, self.mode) {
            return Err(damaged());
        }
        match self.mode {
            CheckMode::Periodic if is_young_intent(self.vault, &history) => {
                self.found.pending.insert(id.clone(), mentioned);
            }
            _ => self.leave_to_mend(id, tag, ToMend { position: mentioned, is_back: false }),
        }
        Ok(())
    }

    fn leave_to_mend(&mut self, id: &SlotId, tag: Tag, to_mend: ToMend) {
        self.found.subjects.extend(id.tenant().map(|tenant| ((tenant.clone(), tag), to_mend)));
    }
}

/// Whether an error says that a subject or a tenant can't be taken in here, now: its slot is damaged, or it, or an entry about it,
/// is of a later version, or an entry about it is missing. Others can.
pub(super) fn is_unclear(e: &Error) -> bool {
    match e {
        Error::Store(e) if e.kind() == StoreErrorKind::NewerSchema => true,
        Error::Journal(e) => e.is_of_one_tenant(),
        e => is_damage(e),
    }
}

/// Whether a damaged slot becomes a tombstone of the whole subject: of that the journal must tell, and of nothing that came later.
pub(super) fn may_be_buried(history: &History, mode: CheckMode) -> bool {
    let is_asked_for = history.whole_is_open || (mode == CheckMode::Replay && history.whole_done);
    is_asked_for && history.leaves_nothing()
}

/// What the store has of a tenant's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    There,
    /// None, and none is missed.
    Absent,
    /// None, nor anything else of the tenant, though the journal records that it was stored.
    Lost,
}

/// By the names that the slots carry, without asking the provider.
///
/// # Errors
/// One that [`is_unclear`] if the tenant's slot is damaged, has another root than the journal records, or is missing beside
/// slots that need it: using the tenant is refused, so nothing of it opens.
pub(super) async fn find_root(vault: &VaultInner, id: &TenantId, tenant_history: &TenantHistory) -> Result<Root> {
    let stored = vault.load_one(SlotId::Tenant(id.clone())).await?;
    let root = stored.as_ref().map(TenantSlot::root_of).transpose()?.map(|root| root.key_id);
    if !tenant_history.is_missing(root.as_ref()) {
        return Ok(if root.is_some() { Root::There } else { Root::Absent });
    }
    if root.is_none() && !finds_any(&*vault.store, Scan::new(Filter::All).tenant(id.clone())).await? {
        return Ok(Root::Lost);
    }
    Err(StoreError::corrupt("a tenant's root is not the one that the journal tells of: put its slot back").into())
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

/// Whether whoever intended to erase the subject may still be at it.
fn is_young_intent(vault: &VaultInner, history: &History) -> bool {
    history.intent.is_some_and(|intent| is_young(vault, intent.at))
}

/// Whether whoever intended it may still be at it. Of what is dated by a clock that is ahead nobody knows: it counts as old.
fn is_young(vault: &VaultInner, at: Timestamp) -> bool {
    let now = vault.clock.wall();
    now.since(at) < vault.max_age && !vault.clocks.is_absurd(at, now, vault.max_age)
}

pub(super) fn tenant(vault: &Arc<VaultInner>, id: &TenantId) -> Tenant {
    Vault(vault.clone()).tenant(id)
}
