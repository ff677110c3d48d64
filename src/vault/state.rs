//! A tenant's root and wrapping keys in memory: read with the vault's slot, for at most `max_age`.

use std::sync::{Arc, Mutex, PoisonError};

use super::cache::Flight;
use super::{ATTEMPTS, VaultInner, root};
use crate::clock::Stamp;
use crate::envelope::KeyId;
use crate::error::{Error, ProviderError, Result, StoreError, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::{JournalEntry, JournalEvent};
use crate::keys::slot::{TenantSlot, VaultSlot, WrappedRoot};
use crate::keys::{Epoch, RootKey, SlotId, StoredSlot, UsableKey, WrapContext};
use crate::provider::MasterKeyProvider;
use crate::store::{Expected, Filter, Scan};
use crate::subject::Policy;

/// What a process keeps of a tenant.
pub(super) struct TenantPart {
    pub(super) policy: Arc<Policy>,
    state: Mutex<Known>,
    flight: Flight<Option<Arc<TenantState>>>,
}

#[derive(Default)]
struct Known {
    state: Option<Arc<TenantState>>,
    /// Pinned by the first read: a tenant's root never changes.
    root_id: Option<KeyId>,
}

/// A tenant's unwrapped keys.
pub(super) struct TenantState {
    pub(super) root: RootKey,
    /// The epoch that new keys are wrapped in, and its wrapping key if the tenant has one yet.
    pub(super) epoch: Epoch,
    epoch_keys: Vec<(Epoch, UsableKey)>,
    loaded: Stamp,
}

impl TenantPart {
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

    /// The tenant's keys; none if the tenant has no slot. Concurrent reads are one.
    pub(super) async fn state(self: &Arc<Self>, vault: &Arc<VaultInner>) -> Result<Option<Arc<TenantState>>> {
        if let Some(state) = self.known() {
            return Ok(Some(state));
        }
        let (part, vault) = (self.clone(), vault.clone());
        self.flight.join(|| Box::pin(async move { part.load(&vault).await })).await
    }

    /// The tenant's keys, with a wrapping key for the current epoch: made if need be.
    pub(super) async fn state_to_write(self: &Arc<Self>, vault: &Arc<VaultInner>) -> Result<Arc<TenantState>> {
        for _ in 0..ATTEMPTS {
            match self.state(vault).await? {
                Some(state) if state.epoch_key(state.epoch).is_some() => return Ok(state),
                _ => self.create_missing(vault).await?,
            }
            self.forget();
        }
        Err(Error::Conflict)
    }

    /// Drops what is held: the next use reads it again.
    pub(super) fn forget(&self) {
        self.lock().state = None;
    }

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
        let loaded = vault.now();
        let Some((_, slot, vault_slot, root)) = self.read(vault).await? else { return Ok(None) };
        let mut epoch_keys = Vec::with_capacity(slot.epoch_keys.len());
        for wrapped in &slot.epoch_keys {
            let context = WrapContext::epoch_key(self.id().clone(), wrapped.epoch, wrapped.key_id);
            let key = UsableKey::derive(&vault.provider.unwrap_key(&wrapped.wrapped, &context).await?);
            if !key.id().is(&wrapped.key_id) {
                return Err(unwrapped_another());
            }
            epoch_keys.push((wrapped.epoch, key));
        }
        let epoch = vault_slot.current()?.epoch;
        let state = Arc::new(TenantState { root, epoch, epoch_keys, loaded });
        let mut known = self.lock();
        known.root_id = Some(*state.root.id());
        known.state = Some(state.clone());
        Ok(Some(state))
    }

    /// The tenant's slot, authenticated by its root; and the vault's, from the same read.
    async fn read(&self, vault: &VaultInner) -> Result<Option<(StoredSlot, TenantSlot, VaultSlot, RootKey)>> {
        let ids = [SlotId::Vault, SlotId::Tenant(self.id().clone())];
        let mut stored = vault.load(&ids).await?.into_iter();
        let vault_slot = root::open(&stored.next().flatten().ok_or_else(root::missing)?, vault)?;
        let Some(stored) = stored.next().flatten() else {
            return if self.lock().root_id.is_some() { Err(root_missing()) } else { Ok(None) };
        };
        let wrapped = TenantSlot::root_of(&stored)?;
        if self.lock().root_id.is_some_and(|id| !id.is(&wrapped.key_id)) {
            return Err(StoreError::corrupt("a tenant's root is another than it was").into());
        }
        let (root, _) = unwrap_root(&*vault.provider, self.id(), &stored, &vault_slot).await?;
        self.check_journalled(vault, root.id()).await?;
        let slot = TenantSlot::open(&stored, &root)?;
        Ok(Some((stored, slot, vault_slot, root)))
    }

    /// The first time that this process meets the tenant: its root must be one that the journal tells of. Another store's,
    /// of a tenant of the same name, is genuine in every other way.
    async fn check_journalled(&self, vault: &VaultInner, root_id: &KeyId) -> Result<()> {
        let Some(journal) = vault.journal.as_ref().filter(|_| self.lock().root_id.is_none()) else { return Ok(()) };
        let head = journal.head().await?;
        let entries = journal.read_of(Some(self.id()), None, &head).await?;
        let told = |e: &JournalEntry| matches!(e.event(), JournalEvent::RootCreated { key_id } if key_id.is(root_id));
        if entries.iter().any(told) {
            return Ok(());
        }
        Err(StoreError::corrupt("a tenant's root that the journal does not tell of").into())
    }

    /// Makes the tenant's slot, or the wrapping key of the current epoch in it. Whoever else does the same at the same time:
    /// one of them wins, and the caller reads again.
    async fn create_missing(&self, vault: &VaultInner) -> Result<()> {
        let current = root::reload(vault).await?.1;
        let current = current.current()?;
        let epoch = current.epoch;
        let wrap_epoch_key = async || {
            let context = |id| WrapContext::epoch_key(self.id().clone(), epoch, id);
            let (_, wrapped) = root::wrap_new(&*vault.provider, epoch, context).await?;
            root::check_master(&wrapped, &current.master).map(|()| wrapped)
        };
        let (slot, expected) = match self.read(vault).await? {
            Some((_, slot, ..)) if slot.epoch_keys.iter().any(|k| k.epoch == epoch) => return Ok(()),
            Some((stored, mut slot, _, root)) => {
                slot.epoch_keys.push(wrap_epoch_key().await?);
                slot.epoch_keys.sort_by_key(|k| k.epoch);
                // What a slot holds moves to the current epoch whenever it is written: below the floor it could not land.
                let tenant = || self.id().clone();
                let context = WrapContext::root(tenant(), slot.root.epoch, slot.root.key_id);
                slot.root = root::rewrap(&*vault.provider, &slot.root, &context, current).await?;
                for index in &mut slot.index_keys {
                    let key = &index.key;
                    let context = WrapContext::index_key(tenant(), key.epoch, index.index_epoch, key.key_id);
                    index.key = root::rewrap(&*vault.provider, key, &context, current).await?;
                }
                (slot.seal(self.id(), &root)?, Expected::Revision(stored.revision()))
            }
            None => {
                if !self.never_had_a_root(vault).await? {
                    return Ok(());
                }
                let context = |id| WrapContext::root(self.id().clone(), epoch, id);
                let (root, wrapped) = root::wrap_new(&*vault.provider, epoch, context).await?;
                root::check_master(&wrapped, &current.master)?;
                let event = JournalEvent::RootCreated { key_id: wrapped.key_id };
                vault.append(|at| JournalEntry::of_tenant(at, self.id().clone(), event.clone())).await?;
                let epoch_keys = vec![wrap_epoch_key().await?];
                let slot = TenantSlot { root: wrapped, erased_at: None, epoch_keys, index_keys: Vec::new() };
                (slot.seal(self.id(), &root)?, Expected::Absent)
            }
        };
        match vault.store.put(&slot, expected).await {
            Err(e) if matches!(e.kind(), StoreErrorKind::Conflict | StoreErrorKind::BelowFloor) => Ok(()),
            put => Ok(put?),
        }
    }

    /// A root is never made anew: subjects, or erasures of them, would become unfindable. False if there is one after all.
    async fn never_had_a_root(&self, vault: &VaultInner) -> Result<bool> {
        let of_tenant = Scan::new(Filter::All).tenant(self.id().clone()).limit(1);
        if !vault.store.scan(&of_tenant).await?.slots.is_empty() {
            // It may be that another vault was faster; then the tenant's slot is there now.
            let now = vault.store.load(&[SlotId::Tenant(self.id().clone())]).await?;
            return if now.iter().any(Option::is_some) { Ok(false) } else { Err(root_missing()) };
        }
        let Some(journal) = &vault.journal else { return Ok(true) };
        let head = journal.head().await?;
        if journal.read_of(Some(self.id()), None, &head).await?.is_empty() {
            return Ok(true);
        }
        // A root was journalled. Either its put never happened, and then nothing else was; or the store was restored.
        let (mut from, mut lost) = (0, 0);
        while from < head.position() {
            let entries = journal.read(from, 1000).await?;
            if entries.is_empty() {
                return Err(Error::JournalTruncated);
            }
            from += entries.len() as u64;
            let of_tenant = entries.iter().filter(|e| e.tenant() == Some(self.id()));
            lost += of_tenant.filter(|e| !matches!(e.event(), JournalEvent::RootCreated { .. })).count() as u64;
        }
        if lost == 0 { Ok(true) } else { Err(Error::StoreBehindJournal { missing: lost }) }
    }
}

impl TenantState {
    /// The wrapping key of an epoch.
    pub(super) fn epoch_key(&self, epoch: Epoch) -> Option<&UsableKey> {
        self.epoch_keys.iter().find(|(e, _)| *e == epoch).map(|(_, key)| key)
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
