//! [`Tenant`]: everything about subjects; what goes into an application's state.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use super::cache::{Batch, Found};
use super::live::Ticket;
use super::page::KeyPage;
use super::slots::Edit;
use super::state::{TenantPart, TenantState};
use super::{ATTEMPTS, Vault, VaultInner};
use crate::clock::Stamp;
use crate::error::{Error, Result};
use crate::id::{HasSubject, SubjectId, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, StoredSlot, Tag};
use crate::subject::{REFRESH_INTERVAL, SubjectKeys};

/// One tenant of a [`Vault`]: enrolls subjects and gives out their keys. `Clone` shares it.
///
/// A cold subject costs one store read, a cached one none; a cold tenant one provider call a key in its slot.
#[derive(Clone)]
pub struct Tenant {
    pub(crate) vault: Vault,
    pub(crate) part: Arc<TenantPart>,
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

    /// The tag that the key store's slots, the journal and [receipts](crate::lifecycle::ErasureReceipt) name a subject by;
    /// also of one that was erased, or never seen.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the subject id is a placeholder; [`Error::SubjectUnknown`] if the tenant has no subject
    /// yet; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// Pseudonymous personal data: whoever has it and the person's id can join what is said of both.
    pub async fn tag(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<Tag> {
        self.known_tag(&subject.subject()?).await
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

    /// [`keys_of`](Self::keys_of), past the cache and past reads that are under way: what they don't hold is nobody's. One
    /// store read; not limited like [`refresh`](Self::refresh), which is for requests. With `enroll`, whoever lacks keys for
    /// a purpose gets them.
    pub(crate) async fn keys_read_now(&self, subjects: &[SubjectId], enroll: bool) -> Result<KeyPage> {
        let subjects = distinct(subjects)?;
        let mut found = match self.part.state(&self.vault.0).await? {
            Some(state) => {
                let wanted: HashMap<_, _> = subjects.into_iter().map(|s| (state.root.tag(self.id(), &s), s)).collect();
                let mut read = self.read(wanted.clone(), Reason::Refresh).await?;
                wanted.into_iter().map(|(tag, s)| (s, read.remove(&tag).unwrap_or(Found::Unknown))).collect()
            }
            None => subjects.into_iter().map(|subject| (subject, Found::Unknown)).collect(),
        };
        if enroll {
            self.enroll_lacking(&mut found).await?;
        }
        Ok(KeyPage::new(found))
    }

    /// The tag of a subject of a tenant that is there: asking makes none.
    pub(crate) async fn known_tag(&self, subject: &SubjectId) -> Result<Tag> {
        let state = self.part.state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)?;
        Ok(state.root.tag(self.id(), subject))
    }

    /// The tenant's root; made if there is none. That there is a wrapping key for the current epoch is not asked: erasing
    /// needs none.
    pub(crate) async fn root_to_write(&self) -> Result<Arc<TenantState>> {
        match self.part.state(&self.vault.0).await? {
            Some(state) => Ok(state),
            None => self.part.state_to_write(&self.vault.0).await,
        }
    }

    /// What is known of each subject, from the cache or the store.
    pub(super) async fn find(&self, subjects: HashSet<SubjectId>) -> Result<HashMap<SubjectId, Found>> {
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

    /// One store read; every key of every slot is unwrapped, and cached. Once more for subjects that this process erased,
    /// or changed otherwise, since it was sent.
    async fn read(&self, subjects: HashMap<Tag, SubjectId>, reason: Reason) -> Result<HashMap<Tag, Found>> {
        let (mut found, mut left) = (HashMap::with_capacity(subjects.len()), subjects);
        for attempt in 0..ATTEMPTS {
            // What a replica didn't know yet, it may not know a moment later either.
            let may_be_behind = attempt == 0 && reason == Reason::Cold;
            left = self.read_once(left, reason, may_be_behind, &mut found).await?;
            if left.is_empty() {
                self.vault.0.sweep();
                return Ok(found);
            }
        }
        Err(Error::Conflict)
    }

    /// Gives the subjects that must be read again.
    async fn read_once(
        &self,
        subjects: HashMap<Tag, SubjectId>,
        reason: Reason,
        may_be_behind: bool,
        all: &mut HashMap<Tag, Found>,
    ) -> Result<HashMap<Tag, SubjectId>> {
        let vault = &self.vault.0;
        let ticket = vault.live.ticket();
        let subjects: Vec<(Tag, SubjectId)> = subjects.into_iter().collect();
        let ids: Vec<SlotId> = subjects.iter().map(|(tag, _)| SlotId::Subject(self.id().clone(), *tag)).collect();
        let (stored, loaded) = match may_be_behind {
            true => vault.look_up(&ids).await?,
            false => {
                let now = vault.now();
                (vault.load(&ids).await?, now)
            }
        };
        let state = self.part.state(vault).await?.ok_or(Error::SubjectUnknown)?;
        // Authenticated first: the root never changes, and nobody is to make us read keys again by a byte in a slot.
        let open = |stored: &StoredSlot| SubjectSlot::open(stored, &state.root);
        let slots: Vec<_> = stored.iter().map(|stored| stored.as_ref().map(open).transpose()).collect();
        let state = self.state_reaching(&state, slots.iter().flatten().flatten()).await?;
        let (mut again, mut undated) = (HashMap::new(), Vec::new());
        for ((tag, subject), slot) in subjects.into_iter().zip(slots) {
            if slot.as_ref().is_ok_and(|slot| slot.as_ref().is_some_and(SubjectSlot::has_undated)) {
                undated.push(tag);
            }
            let find = |slot| self.found(slot, &tag, subject.clone(), &state, loaded, ticket, reason);
            let Some(one) = slot.and_then(find).unwrap_or_else(|e| Some(Found::Failed(e))) else {
                again.insert(tag, subject);
                continue;
            };
            match &one {
                Found::Keys(keys) => vault.cache.put(tag, keys.clone()),
                _ => vault.cache.remove(&tag, &loaded),
            }
            all.insert(tag, one);
        }
        for tag in undated {
            self.date(&tag).await;
        }
        Ok(again)
    }

    /// A rotation that crashed before it dated its key: whoever reads the key knows that it has landed, and dates it. If that
    /// fails, the next one does: until then the older key is sealed under.
    async fn date(&self, tag: &Tag) {
        let _ = self.edit_slot(tag, |_, _| Ok(Edit::Keep(()))).await;
    }

    /// The tenant's keys; read again if a slot is in an epoch that they don't reach.
    async fn state_reaching(
        &self,
        state: &Arc<TenantState>,
        mut slots: impl Iterator<Item = &SubjectSlot> + Send,
    ) -> Result<Arc<TenantState>> {
        if slots.all(|slot| slot.epoch.is_none_or(|epoch| state.reaches(epoch))) {
            return Ok(state.clone());
        }
        drop(slots);
        self.part.forget();
        self.part.state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)
    }

    #[expect(clippy::too_many_arguments, reason = "one read's circumstances")]
    fn found(
        &self,
        slot: Option<SubjectSlot>,
        tag: &Tag,
        subject: SubjectId,
        state: &TenantState,
        loaded: Stamp,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Option<Found>> {
        let Some(slot) = slot else { return Ok(Some(Found::Unknown)) };
        match slot.erase_at.or(slot.erased_at()) {
            Some(at) => Ok(Some(Found::Erased { at })),
            None => Ok(self.unwrap(&slot, tag, subject, state, loaded, ticket, reason)?.map(Found::Keys)),
        }
    }

    /// A slot's keys; none if the subject ended since the read was sent, or its epoch was retired: read again.
    #[expect(clippy::too_many_arguments, reason = "one read's circumstances")]
    pub(super) fn unwrap(
        &self,
        slot: &SubjectSlot,
        tag: &Tag,
        subject: SubjectId,
        state: &TenantState,
        loaded: Stamp,
        ticket: Ticket,
        reason: Reason,
    ) -> Result<Option<SubjectKeys>> {
        let vault: &VaultInner = &self.vault.0;
        if slot.epoch.is_some_and(|epoch| !state.reaches(epoch)) {
            return Ok(None);
        }
        let kek = slot.epoch.map(|epoch| state.key_of(epoch)).transpose()?;
        let ring = KeyRing::unwrap(slot, self.id(), tag, &vault.purposes, kek)?;
        let Some(mark) = vault.live.admit(tag, ticket) else { return Ok(None) };
        vault.cache.count_load(1, slot.purposes.iter().map(|p| p.versions.len()).sum());
        let policy = self.part.policy.clone();
        Ok(Some(SubjectKeys::new(policy, subject, ring, loaded, reason == Reason::Refresh, mark)))
    }

    pub(super) fn cached(&self, tag: &Tag, subject: &SubjectId) -> Option<SubjectKeys> {
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
pub(super) enum Reason {
    /// The subject isn't cached.
    Cold,
    /// An envelope named a key that the cached ones don't hold.
    Refresh,
}

pub(crate) fn distinct(subjects: &[impl HasSubject + Sync]) -> Result<HashSet<SubjectId>> {
    subjects.iter().map(HasSubject::subject).collect()
}

fn take(mut found: HashMap<Tag, Found>, tag: &Tag) -> Found {
    found.remove(tag).unwrap_or(Found::Unknown)
}

/// How many subjects are written at a time.
pub(crate) const WRITES_AT_ONCE: usize = 8;
