//! Epochs: a new master key for everything, and the end of an old one.

use crate::error::{Error, ProviderError, Result, StoreErrorKind};
use crate::journal::{JournalEntry, JournalEvent};
use crate::keys::slot::{EpochRecord, EpochState, VaultSlot};
use crate::keys::{Epoch, MasterKeyId, SlotId, StoredSlot, WrapContext};
use crate::provider::Destruction;
use crate::store::{Expected, Filter, Scan};
use crate::vault::erasing::highest_epoch;
use crate::vault::state::TenantChange;
use crate::vault::{ATTEMPTS, Vault, root};

/// An epoch that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retirement {
    /// The epoch.
    pub epoch: Epoch,
    /// Its master key.
    pub master: MasterKeyId,
    /// How far the destruction of the master key went.
    pub destruction: Destruction,
}

impl Vault {
    /// The epoch that new keys are wrapped in.
    ///
    /// # Errors
    /// Those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn current_epoch(&self) -> Result<Epoch> {
        Ok(root::reload(&self.0).await?.1.current()?.epoch)
    }

    /// Opens a new epoch under the provider's current master key, and gives every tenant a wrapping key in it; the roots and
    /// index keys are wrapped anew. The master key must be one that no earlier epoch used: make it first
    /// (`LocalKeyring::add_key`, a new key at the KMS). Subjects follow when they are written, and by
    /// [`rewrap_page`](Self::rewrap_page).
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the provider's current master key is that of an epoch already and nothing is left to do;
    /// those of the ports.
    ///
    /// # Cancel safety
    /// Can be called again: an epoch that was opened and not given to every tenant is finished, not opened twice.
    pub async fn advance_epoch(&self) -> Result<Epoch> {
        self.0.check().await?;
        for _ in 0..ATTEMPTS {
            let (stored, slot) = root::reload(&self.0).await?;
            let master = self.0.provider.current().await?;
            let current = slot.current()?;
            if current.master == master {
                let epoch = current.epoch;
                return match self.move_tenants().await? {
                    0 => Err(Error::invalid(
                        "the provider's current master key is the current epoch's already: make a new master key first",
                    )),
                    _ => Ok(epoch),
                };
            }
            if slot.epochs.iter().any(|e| e.master == master) {
                return Err(Error::invalid(
                    "the provider's current master key was an earlier epoch's: destroying that epoch's copies would end this \
                     one's too. Make a new master key",
                ));
            }
            let Some(epoch) = self.open_epoch(&stored, slot, master).await? else { continue };
            self.move_tenants().await?;
            return Ok(epoch);
        }
        Err(Error::Conflict)
    }

    /// Journals the epoch, then puts it. None if somebody else was faster.
    async fn open_epoch(&self, stored: &StoredSlot, mut slot: VaultSlot, master: MasterKeyId) -> Result<Option<Epoch>> {
        let vault = &self.0;
        let mut last = slot.current()?.epoch;
        if let Some(journal) = &vault.journal {
            // Above what was opened and lost in a restore, too: an epoch of one number has one master key.
            last = last.max(highest_epoch(&journal.read_of(None, None, &journal.head().await?).await?));
        }
        let epoch = Epoch::new(last.get().saturating_add(1)).ok_or(Error::Bug("an epoch of 0"))?;
        let event = JournalEvent::EpochOpened { epoch, master: master.clone() };
        vault.append(|at| JournalEntry::store_wide(at, event.clone())).await?;
        let record = EpochRecord { epoch, state: EpochState::Live, created_at: vault.clock.wall(), master };
        let context = WrapContext::vault_root(slot.root.epoch, slot.root.key_id);
        slot.root = root::rewrap(&*vault.provider, &slot.root, &context, &record).await?;
        slot.epochs.push(record);
        match vault.store.put(&slot.seal(&vault.root)?, Expected::Revision(stored.revision())).await {
            Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(None),
            put => Ok(put.map(|()| Some(epoch))?),
        }
    }

    /// Moves every tenant to the current epoch; how many were not there.
    async fn move_tenants(&self) -> Result<u64> {
        let mut moved = 0;
        let mut after = None;
        while let Some(page) = self.tenants_after(after).await? {
            for stored in &page {
                let SlotId::Tenant(tenant) = stored.id() else { continue };
                moved += u64::from(self.rewrap_tenant(tenant).await?);
            }
            after = page.last().map(|stored| stored.id().clone());
        }
        Ok(moved)
    }

    /// A page of the vault's and the tenants' slots: they come before every subject's. None behind the last.
    async fn tenants_after(&self, after: Option<SlotId>) -> Result<Option<Vec<StoredSlot>>> {
        let mut scan = Scan::new(Filter::All);
        if let Some(after) = after {
            scan = scan.after(after);
        }
        let mut slots = self.0.store.scan(&scan).await?.slots;
        slots.retain(|slot| !matches!(slot.id(), SlotId::Subject(..)));
        Ok(if slots.is_empty() { None } else { Some(slots) })
    }

    /// Ends an epoch: destroys its master key, and with it every copy of every key that was ever wrapped in the epoch,
    /// those in backups included. Everything that lives must have left it ([`rewrap_page`](Self::rewrap_page)); that is
    /// made certain after no write in the epoch can land any more.
    ///
    /// Calling again on a retired epoch tells how far the destruction of its master key has gone.
    ///
    /// # Errors
    /// [`Error::EpochInUse`] if slots are still in the epoch: rewrap, and try again. [`Error::InvalidInput`] if it is the
    /// current epoch, if there is no such epoch, or if a later epoch has the same master key; [`Error::Provider`] of kind
    /// `Misconfigured` if the provider still wraps with the key. Those of the ports.
    ///
    /// # Cancel safety
    /// Can be called again.
    ///
    /// # Security
    /// A destroyed master key does not come back. Backups of the key store from before the last rewrap can't be opened again.
    pub async fn retire_epoch(&self, epoch: Epoch) -> Result<Retirement> {
        self.0.check().await?;
        let (_, slot) = root::reload(&self.0).await?;
        let record = slot.epochs.iter().find(|e| e.epoch == epoch).ok_or(Error::invalid("there is no such epoch"))?;
        let master = record.master.clone();
        if record.state == EpochState::Retired
            && let Some(destruction) = self.0.provider.destruction(&master).await?
        {
            return Ok(Retirement { epoch, master, destruction });
        }
        if slot.current()?.epoch == epoch {
            return Err(Error::invalid("the current epoch can't be retired: advance to another first"));
        }
        let lives = |e: &&EpochRecord| e.epoch != epoch && e.state == EpochState::Live && e.master == master;
        if slot.epochs.iter().any(|e| lives(&e)) {
            return Err(Error::invalid("another epoch that is not retired has the same master key"));
        }
        if self.0.provider.current().await? == master {
            return Err(
                ProviderError::misconfigured("the epoch's master key is still the provider's current one").into()
            );
        }
        let next = Epoch::new(epoch.get().saturating_add(1)).ok_or(Error::Bug("an epoch of 0"))?;
        self.0.store.raise_floor(next).await?;
        match self.slots_within(epoch).await? {
            0 => {}
            slots => return Err(Error::EpochInUse { slots }),
        }
        self.drop_wrapping_keys(epoch).await?;
        // What rewrapping overwrote is not to outlive the epoch in the store's files: the master key may have copies.
        self.0.store.scrub().await?;
        let destruction = self.0.provider.destroy_key(&master).await?;
        let event = JournalEvent::MasterKeyDestroyed { master: master.clone() };
        self.0.append(|at| JournalEntry::store_wide(at, event.clone())).await?;
        self.mark_retired(epoch).await?;
        Ok(Retirement { epoch, master, destruction })
    }

    /// How many slots hold a key of the epoch or an earlier one: held and scheduled subjects, roots and index keys too. By
    /// their bytes, over all of them: a column could have been changed to hide one.
    async fn slots_within(&self, epoch: Epoch) -> Result<u64> {
        let mut found = 0;
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        loop {
            let page = self.0.store.scan(&scan).await?;
            found += page.slots.iter().filter(|slot| slot.epoch().is_some_and(|own| own <= epoch)).count() as u64;
            match page.next {
                Some(next) => scan = scan.after(next),
                None => return Ok(found),
            }
        }
    }

    /// The tenants' wrapping keys of the epoch: nothing is wrapped under them any more, and soon they can't be unwrapped.
    async fn drop_wrapping_keys(&self, epoch: Epoch) -> Result<()> {
        let mut after = None;
        while let Some(page) = self.tenants_after(after).await? {
            for stored in &page {
                let SlotId::Tenant(tenant) = stored.id() else { continue };
                let part = self.0.tenant_part(tenant);
                let mut attempts = 0;
                while part.has_key_of(&self.0, epoch).await? {
                    part.change(&self.0, TenantChange::Retire(epoch)).await?;
                    attempts += 1;
                    if attempts > ATTEMPTS {
                        return Err(Error::Conflict);
                    }
                }
                part.forget();
            }
            after = page.last().map(|stored| stored.id().clone());
        }
        Ok(())
    }

    async fn mark_retired(&self, epoch: Epoch) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (stored, mut slot) = root::reload(&self.0).await?;
            let Some(record) = slot.epochs.iter_mut().find(|e| e.epoch == epoch && e.state == EpochState::Live) else {
                return Ok(());
            };
            record.state = EpochState::Retired;
            match self.0.store.put(&slot.seal(&self.0.root)?, Expected::Revision(stored.revision())).await {
                Err(e) if e.kind() == StoreErrorKind::Conflict => continue,
                put => return Ok(put?),
            }
        }
        Err(Error::Conflict)
    }
}
