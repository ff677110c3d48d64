//! [`Tenant`]: everything about subjects; what goes into an application's state.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::cache::{Batch, Found};
use super::enrol::{Applicant, Enrolment};
use super::page::KeyPage;
use super::state::{TenantPart, TenantState};
use super::{ATTEMPTS, Vault, VaultInner};
use crate::clock::Stamp;
use crate::error::{Error, Result, StoreErrorKind};
use crate::id::{HasSubject, Purpose, SubjectId, TenantId};
use crate::journal::{JournalEntry, JournalEvent};
use crate::keys::ring::KeyRing;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::store::Expected;
use crate::subject::{REFRESH_INTERVAL, SubjectKeys};

/// One tenant of a [`Vault`]: enrolls subjects and gives out their keys. `Clone` shares it.
///
/// A cold subject costs one store read, a cached one none; a cold tenant one provider call a key in its slot.
#[derive(Clone)]
pub struct Tenant {
    vault: Vault,
    part: Arc<TenantPart>,
}

impl Tenant {
    pub(super) fn new(vault: Vault, part: Arc<TenantPart>) -> Self {
        Self { vault, part }
    }

    /// Which tenant it is.
    pub fn id(&self) -> &TenantId {
        self.part.id()
    }

    /// The vault it is of.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Gives a subject keys for every purpose of the vault that it has none for, and hands its keys out. Repeatable: a
    /// subject that has them all costs what [`keys`](Self::keys) does. Vaults that enroll one subject at the same time end
    /// with the same keys.
    ///
    /// # Errors
    /// [`Error::SubjectErased`] if the subject was erased: an erased purpose is never enrolled again by itself (see
    /// [`Enrolment::again`]). [`Error::Conflict`] if others kept changing the subject. Those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have enrolled; calling again finds the same keys.
    pub async fn enroll(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<SubjectKeys> {
        self.enroll_subject(subject.subject()?, &Enrolment::new()).await
    }

    /// Like [`enroll`](Self::enroll), with a retention period, or again after an erasure.
    ///
    /// # Errors
    /// Those of [`enroll`](Self::enroll).
    ///
    /// # Cancel safety
    /// That of [`enroll`](Self::enroll).
    pub async fn enroll_with(
        &self,
        subject: &(impl HasSubject + Sync + ?Sized),
        enrolment: &Enrolment,
    ) -> Result<SubjectKeys> {
        self.enroll_subject(subject.subject()?, enrolment).await
    }

    /// Enrolls many: one store read tells which are new; each of those then costs a read and a write.
    ///
    /// # Errors
    /// Those of [`enroll`](Self::enroll), but for a subject that was erased: [`KeyPage::get`] says so when it is asked
    /// for. Those before a failure stay enrolled.
    ///
    /// # Cancel safety
    /// That of [`enroll`](Self::enroll).
    pub async fn enroll_all(&self, subjects: &[impl HasSubject + Sync]) -> Result<KeyPage> {
        let mut page = self.find(distinct(subjects)?).await?;
        let lacking = page.iter().filter(|(_, found)| match found {
            Found::Keys(keys) => !keys.know_all(&self.vault.0.purposes),
            Found::Unknown => true,
            Found::Erased { .. } | Found::Failed(_) => false,
        });
        let lacking: Vec<SubjectId> = lacking.map(|(subject, _)| subject.clone()).collect();
        let enroll = |subject: SubjectId| async move {
            let keys = self.enroll_subject(subject.clone(), &Enrolment::new()).await?;
            Ok::<_, Error>((subject, Found::Keys(keys)))
        };
        let futures: Vec<_> = lacking.into_iter().map(enroll).collect();
        let enrolled: Vec<_> = stream::iter(futures).buffer_unordered(WRITES_AT_ONCE).try_collect().await?;
        page.extend(enrolled);
        Ok(KeyPage::new(page))
    }

    /// The keys of a subject.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if it was never enrolled, [`Error::SubjectErased`] if it was erased; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn keys(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<SubjectKeys> {
        let subject = subject.subject()?;
        let Some(state) = self.part.state(&self.vault.0).await? else { return Err(Error::SubjectUnknown) };
        let tag = state.root.tag(self.id(), &subject);
        if let Some(keys) = self.cached(&tag, &subject) {
            return Ok(keys);
        }
        self.load_one(tag, subject).await?.into_keys()
    }

    /// The keys of the subjects of a page of rows: one store read for all that weren't cached. Repeats are fine.
    ///
    /// # Errors
    /// Those of the ports; [`Error::InvalidInput`] if a subject id is a placeholder. A subject that is unknown or erased is
    /// an error of [`KeyPage::get`] alone.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn keys_of(&self, subjects: &[impl HasSubject + Sync]) -> Result<KeyPage> {
        self.find(distinct(subjects)?).await.map(KeyPage::new)
    }

    /// Reads a subject's keys again, past the cache: for an envelope that names a key which they don't hold
    /// ([`Error::KeyNotHeld`]). A key that the new ones don't hold either is nobody's: [`Error::Authentication`].
    ///
    /// Limited to one read a second and subject, and it may share a read that was under way: where the answer is older than
    /// the question, or than a second when it is used, an unknown key is [`Error::KeyNotHeld`] still.
    ///
    /// # Errors
    /// Those of [`keys`](Self::keys).
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn refresh(&self, keys: &SubjectKeys) -> Result<SubjectKeys> {
        let asked = self.vault.0.now();
        let subject = keys.subject().clone();
        if !keys.belong_to(self.id(), &subject) {
            return Err(Error::invalid("these keys are another tenant's"));
        }
        let Some(state) = self.part.state(&self.vault.0).await? else { return Err(Error::SubjectUnknown) };
        let tag = state.root.tag(self.id(), &subject);
        if let Some(cached) = self.cached(&tag, &subject)
            && cached.refreshed_ago().is_some_and(|ago| ago < REFRESH_INTERVAL)
        {
            return Ok(cached);
        }
        let found = self.load(HashMap::from([(tag, subject)]), Reason::Refresh).await?;
        take(found, &tag).into_keys().map(|keys| keys.refreshed_since(&asked))
    }

    async fn enroll_subject(&self, subject: SubjectId, enrolment: &Enrolment) -> Result<SubjectKeys> {
        let vault = &self.vault.0;
        for _ in 0..ATTEMPTS {
            let state = self.part.state_to_write(vault).await?;
            let tag = state.root.tag(self.id(), &subject);
            if enrolment.changes_nothing_for_known()
                && let Some(keys) = self.cached(&tag, &subject).filter(|keys| keys.know_all(&vault.purposes))
            {
                return Ok(keys);
            }
            let loaded = vault.now();
            let id = SlotId::Subject(self.id().clone(), tag);
            let stored = vault.load(std::slice::from_ref(&id)).await?.into_iter().next().flatten();
            let old = stored.as_ref().map(|stored| SubjectSlot::open(stored, &state.root)).transpose()?;
            let lines = self.journal_lines(&tag, old.as_ref(), enrolment).await?;
            let applicant = Applicant {
                tenant: self.id(),
                tag: &tag,
                state: &state,
                suite: vault.suite,
                now: vault.clock.wall(),
                purposes: &vault.purposes,
                journal_lines: &lines,
            };
            let enrolled = match applicant.enroll(old.as_ref(), enrolment) {
                Err(Error::Conflict) => {
                    self.part.forget();
                    continue;
                }
                enrolled => enrolled?,
            };
            let slot = match (enrolled, old) {
                (None, Some(old)) => old,
                (None, None) => return Err(Error::Bug("an enrolment that changes nothing made nothing")),
                (Some(enrolled), _) => {
                    for (purpose, line) in enrolled.new_lines {
                        let event = JournalEvent::Reenrolled { purpose, line };
                        vault.append(|at| JournalEntry::of_subject(at, self.id().clone(), tag, event.clone())).await?;
                    }
                    let new = enrolled.slot.seal(self.id(), tag, &state.root)?;
                    let expected = stored.map_or(Expected::Absent, |old| Expected::Revision(old.revision()));
                    match vault.store.put(&new, expected).await {
                        Err(e) if e.kind() == StoreErrorKind::Conflict => continue,
                        Err(e) if e.kind() == StoreErrorKind::BelowFloor => {
                            self.part.forget(); // the epoch is retired: read which one is current
                            continue;
                        }
                        put => put?,
                    }
                    enrolled.slot
                }
            };
            let keys = self.unwrap(&slot, &tag, subject, &state, loaded, Reason::Cold)?;
            vault.cache.put(tag, keys.clone());
            return Ok(keys);
        }
        Err(Error::Conflict)
    }

    /// The highest line a purpose that the journal names, where the enrolment may open a new one.
    async fn journal_lines(
        &self,
        tag: &Tag,
        old: Option<&SubjectSlot>,
        enrolment: &Enrolment,
    ) -> Result<HashMap<Purpose, u32>> {
        let mut lines = HashMap::new();
        let Some(journal) = &self.vault.0.journal else { return Ok(lines) };
        let complete = old.is_some_and(|old| self.vault.0.purposes.iter().all(|p| old.purpose(p).is_some()));
        if complete && !enrolment.is_again() {
            return Ok(lines); // no line is opened
        }
        let head = journal.head().await?;
        for entry in journal.read_of(Some(self.id()), Some(tag), &head).await? {
            if let JournalEvent::Reenrolled { purpose, line } = entry.event() {
                let highest = lines.entry(purpose.clone()).or_insert(0);
                *highest = line.max(highest).to_owned();
            }
        }
        Ok(lines)
    }

    /// What is known of each subject, from the cache or the store.
    async fn find(&self, subjects: HashSet<SubjectId>) -> Result<HashMap<SubjectId, Found>> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let Some(state) = self.part.state(&self.vault.0).await? else {
            return Ok(subjects.into_iter().map(|subject| (subject, Found::Unknown)).collect());
        };
        let (mut found, mut cold) = (HashMap::with_capacity(subjects.len()), HashMap::new());
        for subject in subjects {
            let tag = state.root.tag(self.id(), &subject);
            match self.cached(&tag, &subject) {
                Some(keys) => drop(found.insert(subject, Found::Keys(keys))),
                None => drop(cold.insert(tag, subject)),
            }
        }
        if cold.is_empty() {
            return Ok(found);
        }
        let mut loaded = self.load(cold.clone(), Reason::Cold).await?;
        found.extend(cold.into_iter().map(|(tag, subject)| (subject, loaded.remove(&tag).unwrap_or(Found::Unknown))));
        Ok(found)
    }

    async fn load_one(&self, tag: Tag, subject: SubjectId) -> Result<Found> {
        Ok(take(self.load(HashMap::from([(tag, subject)]), Reason::Cold).await?, &tag))
    }

    /// Reads subjects from the store, in one read with whoever wants the same at the same time.
    async fn load(&self, wanted: HashMap<Tag, SubjectId>, reason: Reason) -> Result<HashMap<Tag, Found>> {
        let start = |subjects: HashMap<Tag, SubjectId>| -> futures_util::future::BoxFuture<'static, Batch> {
            let tenant = self.clone();
            Box::pin(async move { tenant.read(subjects, reason).await.map(Arc::new) })
        };
        let loads = self.vault.0.cache.flights.join(wanted, start);
        let mut found = HashMap::new();
        for batch in join_all(loads).await {
            found.extend(batch?.iter().map(|(tag, f)| (*tag, f.clone())));
        }
        Ok(found)
    }

    /// One store read; every key of every slot is unwrapped, and cached.
    async fn read(&self, subjects: HashMap<Tag, SubjectId>, reason: Reason) -> Result<HashMap<Tag, Found>> {
        let vault = &self.vault.0;
        let loaded = vault.now();
        let subjects: Vec<(Tag, SubjectId)> = subjects.into_iter().collect();
        let ids: Vec<SlotId> = subjects.iter().map(|(tag, _)| SlotId::Subject(self.id().clone(), *tag)).collect();
        let stored = vault.load(&ids).await?;
        let state = self.part.state(vault).await?.ok_or(Error::SubjectUnknown)?;
        // Authenticated first: the root never changes, and nobody is to make us read keys again by a byte in a slot.
        let open = |stored: &StoredSlot| SubjectSlot::open(stored, &state.root);
        let slots: Vec<_> = stored.iter().map(|stored| stored.as_ref().map(open).transpose()).collect();
        let state = self.state_reaching(&state, slots.iter().flatten().flatten()).await?;
        let mut found = HashMap::with_capacity(subjects.len());
        for ((tag, subject), slot) in subjects.into_iter().zip(slots) {
            let find = |slot| self.found(slot, &tag, subject, &state, loaded, reason);
            let one = slot.and_then(find).unwrap_or_else(Found::Failed);
            match &one {
                Found::Keys(keys) => vault.cache.put(tag, keys.clone()),
                _ => vault.cache.remove(&tag, &loaded),
            }
            found.insert(tag, one);
        }
        vault.sweep();
        Ok(found)
    }

    /// The tenant's keys; read again if a slot is in an epoch that they don't reach.
    async fn state_reaching(
        &self,
        state: &Arc<TenantState>,
        mut slots: impl Iterator<Item = &SubjectSlot> + Send,
    ) -> Result<Arc<TenantState>> {
        if slots.all(|slot| slot.epoch.is_none_or(|epoch| state.epoch_key(epoch).is_some())) {
            return Ok(state.clone());
        }
        drop(slots);
        self.part.forget();
        self.part.state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)
    }

    fn found(
        &self,
        slot: Option<SubjectSlot>,
        tag: &Tag,
        subject: SubjectId,
        state: &TenantState,
        loaded: Stamp,
        reason: Reason,
    ) -> Result<Found> {
        let Some(slot) = slot else { return Ok(Found::Unknown) };
        match slot.erase_at.or(slot.erased_at()) {
            Some(at) => Ok(Found::Erased { at }),
            None => self.unwrap(&slot, tag, subject, state, loaded, reason).map(Found::Keys),
        }
    }

    fn unwrap(
        &self,
        slot: &SubjectSlot,
        tag: &Tag,
        subject: SubjectId,
        state: &TenantState,
        loaded: Stamp,
        reason: Reason,
    ) -> Result<SubjectKeys> {
        let vault: &VaultInner = &self.vault.0;
        let kek = match slot.epoch {
            Some(epoch) => Some(state.epoch_key(epoch).ok_or_else(|| {
                crate::error::StoreError::corrupt("a subject's slot is in an epoch that its tenant has no key of")
            })?),
            None => None,
        };
        let ring = KeyRing::unwrap(slot, self.id(), tag, &vault.purposes, kek)?;
        vault.cache.count_load(1, slot.purposes.iter().map(|p| p.versions.len()).sum());
        Ok(SubjectKeys::new(self.part.policy.clone(), subject, ring, loaded, reason == Reason::Refresh))
    }

    fn cached(&self, tag: &Tag, subject: &SubjectId) -> Option<SubjectKeys> {
        self.vault.0.cache.get(tag).filter(|keys| keys.belong_to(self.id(), subject))
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("id", self.id()).finish_non_exhaustive()
    }
}

/// Why a slot is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// The subject isn't cached.
    Cold,
    /// An envelope named a key that the cached ones don't hold.
    Refresh,
}

fn distinct(subjects: &[impl HasSubject + Sync]) -> Result<HashSet<SubjectId>> {
    subjects.iter().map(HasSubject::subject).collect()
}

fn take(mut found: HashMap<Tag, Found>, tag: &Tag) -> Found {
    found.remove(tag).unwrap_or(Found::Unknown)
}

/// How many subjects are written at a time.
const WRITES_AT_ONCE: usize = 8;
