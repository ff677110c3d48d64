//! [`Tenant`]: everything about subjects; what goes into an application's state.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use super::cache::{Batch, SubjectLookup};
use super::cached_tenant::{CachedTenant, TenantState};
use super::issued::ReadTicket;
use super::key_page::KeyPage;
use super::slots::Edit;
use super::{ATTEMPTS, Vault, VaultInner};
use crate::clock::Stamp;
use crate::error::{Error, Result};
use crate::id::{HasSubject, SubjectId, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, Tag};
use crate::store::Loaded;
use crate::subject::{REFRESH_INTERVAL, SubjectKeys};

/// One tenant of a [`Vault`]: enrolls subjects and gives out their keys. `Clone` shares it.
///
/// A cold subject costs one store read, a cached one none; a cold tenant one provider call a key in its slot.
#[derive(Clone)]
pub struct Tenant {
    pub(super) vault: Vault,
    pub(super) cached: Arc<CachedTenant>,
}

impl Tenant {
    pub(super) fn new(vault: Vault, cached: Arc<CachedTenant>) -> Self {
        Self { vault, cached }
    }

    /// Which tenant it is.
    pub fn id(&self) -> &TenantId {
        self.cached.id()
    }

    /// The vault it is of.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The keys of a subject.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if it was never enrolled, [`Error::SubjectErased`] if it was erased, [`Error::SubjectClosed`] if
    /// its retention period has ended, or its erasure is scheduled; [`Error::InvalidInput`] for a placeholder, or a kind that isn't
    /// declared; [`Error::WrongTenant`] for keys of another tenant; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn keys(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<SubjectKeys> {
        let subject = self.subject_of(subject)?;
        let Some(state) = self.cached.state(&self.vault.0).await? else { return Err(Error::SubjectUnknown) };
        let tag = state.root.tag(self.id(), &subject);
        if let Some(keys) = self.cached_keys(&tag, &subject) {
            return Ok(keys);
        }
        self.load_one(tag, subject).await?.into_keys()
    }

    /// The keys of the subjects of a page of rows: one store read for all that weren't cached. Repeats are fine.
    ///
    /// # Errors
    /// Those of the ports; [`Error::InvalidInput`] for a kind that isn't declared, [`Error::WrongTenant`]. A subject that is
    /// unknown, erased or closed, and a row that names nobody, are an error of [`KeyPage::get`] alone.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn keys_of(&self, subjects: &[impl HasSubject + Sync]) -> Result<KeyPage> {
        Ok(self.key_page(self.find(self.distinct(subjects)?).await?))
    }

    /// The tag that the key store's slots, the journal and [receipts](crate::vault::ErasureReceipt) name a subject by;
    /// also of one that was erased, or never seen.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the subject id is a placeholder, or of a kind that isn't declared; [`Error::SubjectUnknown`]
    /// if the tenant has no subject yet; [`Error::WrongTenant`] for keys of another tenant; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// Pseudonymous personal data: whoever has it and the person's id can join what is said of both.
    pub async fn tag(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<Tag> {
        self.known_tag(&self.subject_of(subject)?).await
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
        let subject = self.subject_of(keys)?;
        let Some(state) = self.cached.state(&self.vault.0).await? else { return Err(Error::SubjectUnknown) };
        let tag = state.root.tag(self.id(), &subject);
        if let Some(cached) = self.cached_keys(&tag, &subject)
            && cached.refreshed_ago().is_some_and(|ago| ago < REFRESH_INTERVAL)
        {
            return Ok(cached);
        }
        let found = self.load(HashMap::from([(tag, subject)]), ReadReason::Refresh).await?;
        take(found, &tag).into_keys().map(|keys| keys.refreshed_since(&asked))
    }

    /// [`keys_of`](Self::keys_of), past the cache and past reads that are under way: what they don't hold is nobody's. One
    /// store read; not limited like [`refresh`](Self::refresh), which is for requests. With `enroll`, whoever lacks keys for
    /// a purpose gets them.
    pub(crate) async fn keys_read_now(&self, subjects: &[SubjectId], enroll: bool) -> Result<KeyPage> {
        let subjects = self.distinct(subjects)?;
        let mut found = match self.cached.state(&self.vault.0).await? {
            Some(state) => {
                let wanted: HashMap<_, _> = subjects.into_iter().map(|s| (state.root.tag(self.id(), &s), s)).collect();
                let mut read = self.read(wanted.clone(), ReadReason::Refresh).await?;
                wanted.into_iter().map(|(tag, s)| (s, read.remove(&tag).unwrap_or(SubjectLookup::Unknown))).collect()
            }
            None => subjects.into_iter().map(|subject| (subject, SubjectLookup::Unknown)).collect(),
        };
        if enroll {
            self.enroll_lacking(&mut found).await?;
        }
        Ok(self.key_page(found))
    }

    /// Whose data it is, for this tenant.
    ///
    /// # Errors
    /// Those of [`HasSubject::subject`]; [`Error::WrongTenant`]; [`Error::InvalidInput`] for a kind that isn't declared.
    pub(crate) fn subject_of(&self, named: &(impl HasSubject + ?Sized)) -> Result<SubjectId> {
        check_tenant(self.id(), named)?;
        let subject = named.subject()?;
        self.vault.0.check_kind(&subject)?;
        Ok(subject)
    }

    /// The subjects that rows name. One that names nobody leaves the others alone: whoever asks the page for its keys hears of it.
    pub(super) fn distinct(&self, rows: &[impl HasSubject]) -> Result<HashSet<SubjectId>> {
        let mut subjects = HashSet::with_capacity(rows.len());
        for row in rows {
            if let Ok(subject) = self.named(row)? {
                subjects.insert(subject);
            }
        }
        Ok(subjects)
    }

    /// The subject that one of many rows names: that it names nobody is an error of this row, any other is one of the call.
    pub(super) fn named(&self, row: &impl HasSubject) -> Result<Result<SubjectId>> {
        check_tenant(self.id(), row)?;
        let subject = row.subject();
        subject.iter().try_for_each(|subject| self.vault.0.check_kind(subject))?;
        Ok(subject)
    }

    pub(super) fn key_page(&self, found: HashMap<SubjectId, SubjectLookup>) -> KeyPage {
        KeyPage::new(self.id().clone(), found)
    }

    /// The tag of a subject of a tenant that is there: asking makes none.
    pub(super) async fn known_tag(&self, subject: &SubjectId) -> Result<Tag> {
        let state = self.cached.state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)?;
        Ok(state.root.tag(self.id(), subject))
    }

    /// What is known of each subject, from the cache or the store.
    pub(super) async fn find(&self, subjects: HashSet<SubjectId>) -> Result<HashMap<SubjectId, SubjectLookup>> {
        if subjects.is_empty() {
            return Ok(HashMap::new());
        }
        let Some(state) = self.cached.state(&self.vault.0).await? else {
            return Ok(subjects.into_iter().map(|subject| (subject, SubjectLookup::Unknown)).collect());
        };
        let (mut found, mut cold) = (HashMap::with_capacity(subjects.len()), HashMap::new());
        for subject in subjects {
            let tag = state.root.tag(self.id(), &subject);
            match self.cached_keys(&tag, &subject) {
                Some(keys) => drop(found.insert(subject, SubjectLookup::Keys(keys))),
                None => drop(cold.insert(tag, subject)),
            }
        }
        if cold.is_empty() {
            return Ok(found);
        }
        let mut loaded = self.load(cold.clone(), ReadReason::Cold).await?;
        found.extend(
            cold.into_iter().map(|(tag, subject)| (subject, loaded.remove(&tag).unwrap_or(SubjectLookup::Unknown))),
        );
        Ok(found)
    }

    async fn load_one(&self, tag: Tag, subject: SubjectId) -> Result<SubjectLookup> {
        Ok(take(self.load(HashMap::from([(tag, subject)]), ReadReason::Cold).await?, &tag))
    }

    /// Reads subjects from the store, in one read with whoever wants the same at the same time.
    async fn load(&self, wanted: HashMap<Tag, SubjectId>, reason: ReadReason) -> Result<HashMap<Tag, SubjectLookup>> {
        let start = |subjects: HashMap<Tag, SubjectId>| -> futures_util::future::BoxFuture<'static, Result<Batch>> {
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
    async fn read(&self, subjects: HashMap<Tag, SubjectId>, reason: ReadReason) -> Result<HashMap<Tag, SubjectLookup>> {
        let (mut found, mut left) = (HashMap::with_capacity(subjects.len()), subjects);
        for attempt in 0..ATTEMPTS {
            // What a replica didn't know yet, it may not know a moment later either.
            let may_be_behind = attempt == 0 && reason == ReadReason::Cold;
            left = self.read_once(left, reason, may_be_behind, &mut found).await?;
            if left.is_empty() {
                self.vault.0.evict_expired();
                return Ok(found);
            }
        }
        Err(Error::Conflict)
    }

    /// Gives the subjects that must be read again.
    async fn read_once(
        &self,
        subjects: HashMap<Tag, SubjectId>,
        reason: ReadReason,
        may_be_behind: bool,
        all: &mut HashMap<Tag, SubjectLookup>,
    ) -> Result<HashMap<Tag, SubjectId>> {
        let vault = &self.vault.0;
        let ticket = vault.issued.ticket();
        let subjects: Vec<(Tag, SubjectId)> = subjects.into_iter().collect();
        let ids: Vec<SlotId> = subjects.iter().map(|(tag, _)| SlotId::Subject(self.id().clone(), *tag)).collect();
        let (stored, loaded) = match may_be_behind {
            true => vault.look_up(&ids).await?,
            false => {
                let now = vault.now();
                (vault.load(&ids).await?, now)
            }
        };
        let state = self.cached.state(vault).await?.ok_or(Error::SubjectUnknown)?;
        // Authenticated first: the root never changes, and nobody is to make us read keys again by a byte in a slot.
        let open = |found: Loaded| -> Result<Option<SubjectSlot>> {
            let stored = found.into_slot()?;
            stored.map(|stored| SubjectSlot::open(&stored, &state.root)).transpose()
        };
        let slots: Vec<_> = stored.into_iter().map(open).collect();
        let state = self.state_reaching(&state, slots.iter().flatten().flatten()).await?;
        let read = ReadContext { state: &state, loaded, ticket, reason };
        let (mut again, mut undated) = (HashMap::new(), Vec::new());
        for ((tag, subject), slot) in subjects.into_iter().zip(slots) {
            if slot.as_ref().is_ok_and(|slot| slot.as_ref().is_some_and(SubjectSlot::has_undated)) {
                undated.push(tag);
            }
            let look_up = |slot| self.lookup_of(slot, &tag, subject.clone(), &read);
            let Some(one) = slot.and_then(look_up).unwrap_or_else(|e| Some(SubjectLookup::Failed(e))) else {
                again.insert(tag, subject);
                continue;
            };
            match &one {
                SubjectLookup::Keys(keys) => vault.cache.put(tag, keys.clone()),
                _ => vault.cache.remove(&tag, &loaded),
            }
            all.insert(tag, one);
        }
        for tag in undated {
            self.date_undated(&tag).await;
        }
        Ok(again)
    }

    /// A rotation may have crashed before it dated its key. Whoever reads the key knows that it has landed, and dates it. If
    /// that fails, the next reader does it: until then the older key is sealed under.
    async fn date_undated(&self, tag: &Tag) {
        let _ = self.edit_slot(tag, |_, _| Ok(Edit::Keep(()))).await; // any edit dates it
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
        self.cached.forget();
        self.cached.state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)
    }

    /// What a slot, if there is one, comes to. None if it must be read again.
    fn lookup_of(
        &self,
        slot: Option<SubjectSlot>,
        tag: &Tag,
        subject: SubjectId,
        read: &ReadContext<'_>,
    ) -> Result<Option<SubjectLookup>> {
        let Some(slot) = slot else { return Ok(Some(SubjectLookup::Unknown)) };
        match (slot.erased_at(), slot.closed_by(self.vault.0.clock.wall())) {
            (Some(at), _) => Ok(Some(SubjectLookup::Erased { at })),
            (None, Some(due)) => self.check_clear(tag).map(|()| Some(SubjectLookup::Closed { due })),
            (None, None) => Ok(self.unwrap_keys(&slot, tag, subject, read)?.map(SubjectLookup::Keys)),
        }
    }

    /// A slot's keys. None if the subject ended since the read was sent, or its epoch was retired: read again.
    pub(super) fn unwrap_keys(
        &self,
        slot: &SubjectSlot,
        tag: &Tag,
        subject: SubjectId,
        read: &ReadContext<'_>,
    ) -> Result<Option<SubjectKeys>> {
        let vault: &VaultInner = &self.vault.0;
        self.check_clear(tag)?;
        if slot.epoch.is_some_and(|epoch| !read.state.reaches(epoch)) {
            return Ok(None);
        }
        let kek = slot.epoch.map(|epoch| read.state.key_of(epoch)).transpose()?;
        let ring = KeyRing::unwrap(slot, self.id(), tag, &vault.purposes, kek)?;
        let Some(flag) = vault.issued.admit(tag, read.ticket) else { return Ok(None) };
        vault.cache.count_load(1, slot.purposes.iter().map(|p| p.versions.len()).sum());
        let policy = self.cached.policy.clone();
        Ok(Some(SubjectKeys::new(policy, subject, ring, read.loaded, read.reason == ReadReason::Refresh, flag)))
    }

    pub(super) fn cached_keys(&self, tag: &Tag, subject: &SubjectId) -> Option<SubjectKeys> {
        self.vault.0.cache.get(tag).filter(|keys| keys.belong_to(self.id(), subject))
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("id", self.id()).finish_non_exhaustive()
    }
}

/// Under which circumstances slots were read.
pub(super) struct ReadContext<'a> {
    /// The tenant's keys, read after the slots.
    pub(super) state: &'a TenantState,
    /// When the read was sent: keys count their age from here.
    pub(super) loaded: Stamp,
    /// From before the read was sent: a subject that ended since is read again.
    pub(super) ticket: ReadTicket,
    pub(super) reason: ReadReason,
}

/// Why a slot is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadReason {
    /// The subject isn't cached.
    Cold,
    /// An envelope named a key that the cached ones don't hold.
    Refresh,
}

/// Keys know whose they are among tenants: another one's subject of the same kind and id is another person.
pub(super) fn check_tenant(tenant: &TenantId, named: &(impl HasSubject + ?Sized)) -> Result<()> {
    if named.tenant().is_none_or(|of| of == tenant) { Ok(()) } else { Err(Error::WrongTenant) }
}

fn take(mut found: HashMap<Tag, SubjectLookup>, tag: &Tag) -> SubjectLookup {
    found.remove(tag).unwrap_or(SubjectLookup::Unknown)
}
