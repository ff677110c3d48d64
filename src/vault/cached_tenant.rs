//! [`CachedTenant`]: a tenant's root and wrapping keys in memory, read with the vault's slot, for at most `max_age`.

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::Flight;
use super::decide::tenant_history;
use super::verified::VerifiedJournal;
use super::{ATTEMPTS, VaultInner, root};
use crate::clock::{Stamp, Timestamp};
use crate::envelope::KeyId;
use crate::error::{Error, ProviderError, ProviderErrorKind, Result, Retry, StoreError, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::JournalEvent;
use crate::journal::history::TenantHistory;
use crate::journal::verify::Accepted;
use crate::keys::slot::{EpochRecord, TenantSlot, VaultSlot, WrappedRoot};
use crate::keys::{Epoch, RootKey, SlotId, StoredSlot, UsableKey, WrapContext};
use crate::provider::MasterKeyProvider;
use crate::store::{Expected, Filter, Loaded, Scan, finds_any};
use crate::subject::Policy;

/// Cached root and epoch keys of one tenant.
pub(super) struct CachedTenant {
    pub(super) policy: Arc<Policy>,
    state: Mutex<Known>,
    flight: Flight<Option<Arc<TenantState>>>,
}

#[derive(Default)]
struct Known {
    state: Option<Arc<TenantState>>,
    /// Pinned by the first read: a tenant's root never changes.
    root_id: Option<KeyId>,
    /// When the tenant was erased, or its erasure began, as slot or journal said once: it is never undone.
    erased_at: Option<Timestamp>,
    /// The position at which a root of the tenant was given up last.
    root_lost_at: u64,
    /// The highest position of the journal that the slot was seen to name.
    told: u64,
    /// How often it was forgotten: what a read finds that was sent before is not kept.
    turn: u64,
}

/// A tenant's unwrapped keys.
pub(super) struct TenantState {
    pub(super) root: RootKey,
    /// When the tenant was erased, as its slot says: there is no wrapping key then.
    pub(super) erased_at: Option<Timestamp>,
    /// The epoch that new keys are wrapped in; its wrapping key is here if the tenant has one yet.
    pub(super) epoch: Epoch,
    epoch_keys: Vec<(Epoch, EpochKey)>,
    loaded: Stamp,
}

/// What becomes of a tenant's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TenantChange {
    /// It is made if it is not there.
    Move,
    /// Its wrapping key of this epoch goes.
    Retire(Epoch),
    /// All its keys but the root go. It is made without any if it is not there.
    Erase(Timestamp),
}

/// A tenant's slot as it was read.
struct ReadTenant {
    stored: StoredSlot,
    /// Authenticated by the root.
    slot: TenantSlot,
    /// The vault's, from the same read.
    vault_slot: VaultSlot,
    root: RootKey,
}

enum EpochKey {
    Usable(UsableKey),
    /// Its master key was destroyed, or the provider refuses it or is down: what needs no such key goes on, erasure first of
    /// all.
    Refused(ProviderError),
}

impl CachedTenant {
    pub(super) fn new(policy: Arc<Policy>) -> Self {
        Self { policy, state: Mutex::default(), flight: Flight::default() }
    }

    pub(super) fn id(&self) -> &TenantId {
        &self.policy.tenant
    }

    /// Whether keys are held that are not past their age.
    pub(super) fn is_warm(&self) -> bool {
        self.known().is_some()
    }

    /// Wipes keys that are past their age.
    pub(super) fn evict_expired(&self) {
        self.known();
    }

    /// The keys of a tenant that lives; none if it has no slot. Concurrent reads are one.
    pub(super) async fn state(self: &Arc<Self>, vault: &Arc<VaultInner>) -> Result<Option<Arc<TenantState>>> {
        vault.check().await?;
        self.check_clear(vault)?;
        self.any_state(vault).await?.map(|state| self.living(state)).transpose()
    }

    /// [`Self::state`], also of a tenant that was erased, and without checking whether the store was restored.
    pub(super) async fn any_state(self: &Arc<Self>, vault: &Arc<VaultInner>) -> Result<Option<Arc<TenantState>>> {
        if let Some(state) = self.known() {
            return Ok(Some(state));
        }
        let (tenant, vault) = (self.clone(), vault.clone());
        self.flight.join(|| Box::pin(async move { tenant.load(&vault).await })).await
    }

    /// The tenant's keys, with a wrapping key for the current epoch: made if need be.
    pub(super) async fn state_to_write(self: &Arc<Self>, vault: &Arc<VaultInner>) -> Result<Arc<TenantState>> {
        self.check_clear(vault)?;
        for _ in 0..ATTEMPTS {
            let state = self.any_state(vault).await?.map(|state| self.living(state)).transpose()?;
            if let Some(state) = state.filter(|state| state.reaches(state.epoch)) {
                state.key_of(state.epoch)?;
                return Ok(state);
            }
            self.change(vault, TenantChange::Move).await?;
            self.forget();
        }
        Err(Error::Conflict)
    }

    /// When the tenant was erased, or its erasure began: also where its slot was put back, and says nothing of it.
    pub(super) fn erased_at(&self, state: &TenantState) -> Option<Timestamp> {
        state.erased_at.or(self.lock().erased_at)
    }

    /// # Errors
    /// [`Error::TenantErased`].
    fn living(&self, state: Arc<TenantState>) -> Result<Arc<TenantState>> {
        match self.erased_at(&state) {
            Some(at) => Err(Error::TenantErased { at }),
            None => Ok(state),
        }
    }

    /// That the tenant can be taken in here.
    pub(super) fn check_clear(&self, vault: &VaultInner) -> Result<()> {
        vault.unclear.check(|| SlotId::Tenant(self.id().clone()))
    }

    /// Drops what is held: the next use reads it again, and shares no read that is under way.
    pub(super) fn forget(&self) {
        let mut known = self.lock();
        known.state = None;
        known.turn += 1;
        self.flight.leave();
    }

    /// What is held and not past its age; what is past it goes.
    fn known(&self) -> Option<Arc<TenantState>> {
        let mut known = self.lock();
        let policy = &self.policy;
        if known.state.as_ref().is_some_and(|s| s.loaded.expired(&policy.clock, policy.max_age)) {
            known.state = None;
        }
        known.state.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One store read, and one provider call a key in the slot.
    async fn load(&self, vault: &VaultInner) -> Result<Option<Arc<TenantState>>> {
        let (loaded, turn) = (vault.now(), self.lock().turn);
        let Some(ReadTenant { slot, vault_slot, root, .. }) = self.read(vault).await? else { return Ok(None) };
        let mut epoch_keys = Vec::with_capacity(slot.epoch_keys.len());
        for wrapped in &slot.epoch_keys {
            let context = WrapContext::epoch_key(self.id().clone(), wrapped.epoch, wrapped.key_id);
            let key = match vault.provider.unwrap_key(&wrapped.wrapped, &context).await {
                // In a slot out of a backup what is in later epochs still opens; a tenant whose own master key is revoked, or
                // whose provider is switched off, can still be erased.
                Err(e) => EpochKey::Refused(e),
                Ok(key) => EpochKey::Usable(UsableKey::derive(&key)),
            };
            if matches!(&key, EpochKey::Usable(key) if !key.id().is(&wrapped.key_id)) {
                return Err(unwrapped_another());
            }
            epoch_keys.push((wrapped.epoch, key));
        }
        let (epoch, erased_at) = (vault_slot.current()?.epoch, slot.erased_at);
        let state = Arc::new(TenantState { root, erased_at, epoch, epoch_keys, loaded });
        let mut known = self.lock();
        known.root_id = Some(*state.root.id());
        known.erased_at = known.erased_at.or(erased_at);
        // Not to be remembered until `max_age`: a provider that is down, or one that refuses the current epoch's key though the
        // root came out of that epoch's master key a moment ago, such as while credentials are renewed.
        if known.turn == turn && !state.may_be_given_later() {
            known.state = Some(state.clone());
        }
        Ok(Some(state))
    }

    /// Reads the tenant's slot, and the vault's, in one read.
    async fn read(&self, vault: &VaultInner) -> Result<Option<ReadTenant>> {
        let ids = [SlotId::Vault, SlotId::Tenant(self.id().clone())];
        // Known before the read is sent: it may be made, and read by somebody else here, while the answer is on its way.
        let must_be_there = self.lock().root_id.is_some();
        let mut stored = vault.load(&ids).await?.into_iter();
        let mut next = || stored.next().unwrap_or(Loaded::Absent).into_slot();
        let vault_slot = root::open(&next()?.ok_or_else(root::missing)?, vault)?;
        let Some(stored) = next()? else {
            return if must_be_there { Err(root_missing()) } else { Ok(None) };
        };
        let wrapped = TenantSlot::root_of(&stored)?;
        let known = self.lock().root_id;
        if known.is_some_and(|id| !id.is(&wrapped.key_id)) {
            return Err(StoreError::corrupt("a tenant's root is another than it was").into());
        }
        let journal = vault.journal.as_ref().filter(|_| known.is_none());
        let said = match journal {
            Some(journal) => Some((journal, self.check_journaled(journal, &wrapped.key_id).await?)),
            None => None,
        };
        let (root, _) = unwrap_root(&*vault.provider, self.id(), &stored, &vault_slot).await?;
        let slot = TenantSlot::open(&stored, &root)?;
        self.note_told(slot.told);
        if let Some((journal, said)) = said {
            self.check_told(vault, journal, &slot, &said).await?;
        }
        Ok(Some(ReadTenant { stored, slot, vault_slot, root }))
    }

    /// The first time that this process meets the tenant: its root must be one that the journal records and has not given
    /// up. Another store's, of a tenant of the same name, is genuine in every other way: nothing is believed of it before, and no
    /// provider asked. Where the journal says that the tenant was erased, a slot of before that was put back opens nothing.
    async fn check_journaled(&self, journal: &VerifiedJournal, root_id: &KeyId) -> Result<Accepted> {
        let (about, told) = (SlotId::Tenant(self.id().clone()), self.told());
        let said = journal.said_of(&about, told, &journal.head().await?).await?;
        let tenant_history = TenantHistory::of(&said);
        self.note(&tenant_history);
        if !tenant_history.created(root_id) {
            return Err(StoreError::corrupt("a tenant's root that the journal does not tell of").into());
        }
        if tenant_history.lost(root_id) {
            return Err(StoreError::corrupt(
                "a tenant's root that was given up after a restore: the key store was restored again, from a later backup",
            )
            .into());
        }
        Ok(said)
    }

    /// The slot that was met is the store's. What was read of the journal has the entry that it names, and is to say that it is
    /// stored.
    async fn check_told(
        &self,
        vault: &VaultInner,
        journal: &VerifiedJournal,
        slot: &TenantSlot,
        said: &Accepted,
    ) -> Result<()> {
        if slot.told > 0 && said.iter().all(|(position, _)| position != slot.told) {
            self.history(vault).await?; // says why, unless it names one that may be skipped
        }
        let key_id = slot.root.key_id;
        if TenantHistory::of(said).stored != Some(key_id) {
            // Reading must not depend on a journal that can be written, nor wait for who decides; whoever comes next says it.
            let stored = Some(JournalEvent::RootStored { key_id });
            let about = SlotId::Tenant(self.id().clone());
            let _ = journal
                .decide_at_once(&about, self.told(), &vault.clock, |_, _| Box::pin(ready(Ok((stored.clone(), ())))))
                .await;
        }
        Ok(())
    }

    /// The position that the tenant's slot names, as far as this process has read it; 0 for none.
    pub(super) fn told(&self) -> u64 {
        self.lock().told
    }

    /// The journal has an entry about the tenant itself at this position: whoever asks what it says of the tenant must find it.
    pub(super) fn note_told(&self, position: u64) {
        let mut known = self.lock();
        known.told = known.told.max(position);
    }

    fn note(&self, tenant_history: &TenantHistory) {
        let mut known = self.lock();
        known.erased_at = known.erased_at.or(tenant_history.erased());
        known.root_lost_at = known.root_lost_at.max(tenant_history.lost_at);
    }

    /// What was entered about subjects before this position is by tags of a root that was given up.
    pub(super) fn root_lost_at(&self) -> u64 {
        self.lock().root_lost_at
    }

    /// What the journal says of the tenant itself.
    pub(super) async fn history(&self, vault: &VaultInner) -> Result<TenantHistory> {
        let Some(journal) = &vault.journal else { return Ok(TenantHistory::default()) };
        let told = self.told();
        let tenant_history = tenant_history(journal, self, told, &journal.head().await?).await?;
        self.note(&tenant_history);
        Ok(tenant_history)
    }

    /// Enters an event, and gives its position; nothing, and 0, without a journal.
    pub(super) async fn append(&self, vault: &VaultInner, event: JournalEvent) -> Result<u64> {
        vault.append(&SlotId::Tenant(self.id().clone()), self.told(), &event).await
    }

    /// Changes the tenant's slot, or makes it. Whatever it holds moves to the current epoch. False if there is nothing to
    /// do, or somebody else was faster: read again.
    pub(super) async fn change(&self, vault: &VaultInner, change: TenantChange) -> Result<bool> {
        let vault_slot = root::reload(vault).await?.1;
        let current = vault_slot.current()?;
        let (slot, expected) = match self.read(vault).await? {
            Some(ReadTenant { stored, slot, root, .. }) => match self.changed(vault, &slot, current, change).await? {
                moved if moved == slot => return Ok(false),
                moved => (moved.seal(self.id(), &root)?, Expected::Revision(stored.revision())),
            },
            None if matches!(change, TenantChange::Retire(_)) => return Ok(false),
            None if self.may_be_made(vault, change).await? => {
                (self.new_slot(vault, current, change).await?, Expected::Absent)
            }
            None => return Ok(false),
        };
        match vault.store.put(&slot, expected).await {
            Err(e) if matches!(e.kind(), StoreErrorKind::Conflict | StoreErrorKind::BelowFloor) => return Ok(false),
            put => put?,
        }
        if expected == Expected::Absent {
            let key_id = TenantSlot::root_of(&slot)?.key_id;
            self.append(vault, JournalEvent::RootStored { key_id }).await?;
        }
        Ok(true)
    }

    /// What a slot holds moves to the current epoch whenever it is written: below the floor it could not land.
    async fn changed(
        &self,
        vault: &VaultInner,
        old: &TenantSlot,
        current: &EpochRecord,
        change: TenantChange,
    ) -> Result<TenantSlot> {
        let (provider, tenant) = (&*vault.provider, || self.id().clone());
        // Nothing becomes of a tenant of which the journal says what this version doesn't know.
        let last = self.history(vault).await?.last;
        let mut slot = old.clone();
        match change {
            TenantChange::Move => {}
            TenantChange::Retire(epoch) => slot.epoch_keys.retain(|key| key.epoch != epoch),
            TenantChange::Erase(at) => {
                slot.erased_at.get_or_insert(at);
                slot.epoch_keys.clear();
                slot.index_keys.clear();
            }
        }
        if slot.erased_at.is_none() && slot.epoch_keys.iter().all(|key| key.epoch != current.epoch) {
            slot.epoch_keys.push(self.new_epoch_key(vault, current).await?);
            slot.epoch_keys.sort_by_key(|key| key.epoch);
        }
        let context = WrapContext::root(tenant(), slot.root.epoch, slot.root.key_id);
        slot.root = root::rewrap(provider, &slot.root, &context, current).await?;
        for index in &mut slot.index_keys {
            let key = &index.key;
            let context = WrapContext::index_key(tenant(), key.epoch, index.index_epoch, key.key_id);
            index.key = root::rewrap(provider, key, &context, current).await?;
        }
        if slot != *old {
            slot.tell(last);
        }
        Ok(slot)
    }

    async fn new_epoch_key(&self, vault: &VaultInner, current: &EpochRecord) -> Result<WrappedRoot> {
        let context = |id| WrapContext::epoch_key(self.id().clone(), current.epoch, id);
        let (_, wrapped) = root::wrap_new(&*vault.provider, current.epoch, context).await?;
        root::check_master(&wrapped, &current.master).map(|()| wrapped)
    }

    /// A slot with a new root, which is journaled first.
    async fn new_slot(&self, vault: &VaultInner, current: &EpochRecord, change: TenantChange) -> Result<StoredSlot> {
        let context = |id| WrapContext::root(self.id().clone(), current.epoch, id);
        let (root, wrapped) = root::wrap_new(&*vault.provider, current.epoch, context).await?;
        root::check_master(&wrapped, &current.master)?;
        let told = self.append(vault, JournalEvent::RootCreated { key_id: wrapped.key_id }).await?;
        let (erased_at, epoch_keys) = match change {
            TenantChange::Erase(at) => (Some(at), Vec::new()),
            _ => (None, vec![self.new_epoch_key(vault, current).await?]),
        };
        TenantSlot { root: wrapped, erased_at, told, epoch_keys, index_keys: Vec::new() }.seal(self.id(), &root)
    }

    /// Whether the slot has a wrapping key of an epoch.
    pub(super) async fn has_key_of(&self, vault: &VaultInner, epoch: Epoch) -> Result<bool> {
        let read = self.read(vault).await?;
        Ok(read.is_some_and(|read| read.slot.epoch_keys.iter().any(|key| key.epoch == epoch)))
    }

    /// A root is never made anew: subjects, or erasures of them, would become unfindable. False if there is one after all.
    async fn may_be_made(&self, vault: &VaultInner, change: TenantChange) -> Result<bool> {
        let of_tenant = Scan::new(Filter::All).tenant(self.id().clone());
        if finds_any(&*vault.store, of_tenant).await? {
            return if self.is_stored(vault).await? { Ok(false) } else { Err(root_missing()) };
        }
        let tenant_history = self.history(vault).await?;
        if let Some(at) = tenant_history.erased().filter(|_| change == TenantChange::Move) {
            return Err(Error::TenantErased { at });
        }
        // A root that was made and not stored: its maker crashed before the put. One that was stored is lost.
        if !tenant_history.is_missing(None) {
            return Ok(true);
        }
        if self.is_stored(vault).await? { Ok(false) } else { Err(Error::StoreBehindJournal { missing: 1 }) }
    }

    /// Whether the tenant's slot is there now: another vault may have been faster.
    async fn is_stored(&self, vault: &VaultInner) -> Result<bool> {
        let now = vault.load(&[SlotId::Tenant(self.id().clone())]).await?;
        Ok(now.iter().any(|found| *found != Loaded::Absent))
    }
}

impl TenantState {
    /// The wrapping key of the current epoch, if the tenant has one yet.
    pub(super) fn current_key(&self) -> Option<&UsableKey> {
        self.key_of(self.epoch).ok()
    }

    /// Whether the tenant has, or had, a wrapping key of an epoch.
    pub(super) fn reaches(&self, epoch: Epoch) -> bool {
        self.epoch_keys.iter().any(|(e, _)| *e == epoch)
    }

    /// Whether a wrapping key that was refused may be given the next time.
    fn may_be_given_later(&self) -> bool {
        self.epoch_keys.iter().any(|(epoch, key)| match key {
            EpochKey::Refused(e) => e.retry() == Retry::Later || *epoch == self.epoch,
            EpochKey::Usable(_) => false,
        })
    }

    /// Whether what is wrapped in an epoch is gone for good: nothing of it opens again, whoever asks. Not where the provider
    /// knows no such key, which may be the wrong one, or one that is to be destroyed, and may be called back.
    pub(super) fn is_dead(&self, epoch: Epoch) -> bool {
        matches!(self.key_of(epoch), Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed)
    }

    /// The wrapping key of an epoch.
    ///
    /// # Errors
    /// [`Error::Provider`] if the provider refused it or was down, or it went when its epoch was retired;
    /// [`Error::Conflict`] if it is not known yet.
    pub(super) fn key_of(&self, epoch: Epoch) -> Result<&UsableKey> {
        match self.epoch_keys.iter().find(|(e, _)| *e == epoch) {
            Some((_, EpochKey::Usable(key))) => Ok(key),
            Some((_, EpochKey::Refused(e))) => Err(e.clone().into()),
            None if self.erased_at.is_none() && epoch < self.epoch => {
                let gone = ProviderError::new(ProviderErrorKind::KeyDestroyed).with_hint("its epoch was retired");
                Err(gone.into())
            }
            None => Err(Error::Conflict),
        }
    }
}

/// The root in a tenant's slot, and its wrapping. It authenticates the slot, so it is read before the slot is
/// authenticated.
pub(super) async fn unwrap_root(
    provider: &dyn MasterKeyProvider,
    tenant: &TenantId,
    stored: &StoredSlot,
    vault_slot: &VaultSlot,
) -> Result<(RootKey, WrappedRoot)> {
    let wrapped = TenantSlot::root_of(stored)?;
    root::check_known(&wrapped, vault_slot)?;
    let context = WrapContext::root(tenant.clone(), wrapped.epoch, wrapped.key_id);
    let root = RootKey::derive(&provider.unwrap_key(&wrapped.wrapped, &context).await?);
    if !root.id().is(&wrapped.key_id) {
        return Err(unwrapped_another());
    }
    Ok((root, wrapped))
}

fn root_missing() -> Error {
    StoreError::corrupt("a tenant's slot is gone, and its subjects are there: restore the key store").into()
}

fn unwrapped_another() -> Error {
    ProviderError::corrupt("the provider unwrapped another key than was wrapped").into()
}
