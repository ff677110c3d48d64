//! Epochs: a new master key for everything, and the end of an old one.

use super::cached_tenant::TenantChange;
use super::decide::highest_epoch;
use super::slots::is_of_one_slot;
use super::{ATTEMPTS, Vault, root};
use crate::error::{Error, ProviderError, Result, StoreErrorKind};
use crate::journal::JournalEvent;
use crate::keys::slot::{EpochRecord, EpochState, MAX_EPOCHS, VaultSlot};
use crate::keys::{Epoch, MasterKeyId, SlotId, StoredSlot, WrapContext};
use crate::provider::Destruction;
use crate::store::{Expected, Filter, Scan, ScanPage};

/// What [`Vault::retire_epoch`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetiredEpoch {
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
    /// [`Error::InvalidInput`] if the provider's current master key is that of an epoch already and nothing is left to do, or
    /// shares a member with one; those of the ports. That of a tenant whose own master key is refused comes last: every
    /// other tenant has moved then.
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
            if slot.epochs.iter().any(|e| e.master.shares_with(&master)) {
                return Err(Error::invalid(
                    "the provider's current master key, or one of several, was an earlier epoch's: destroying that epoch's \
                     copies would end this one's too. Make a new master key; where there are several, one at each provider",
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
        let live = slot.epochs.iter().filter(|e| e.state == EpochState::Live).count();
        if live >= MAX_EPOCHS {
            return Err(Error::invalid("a key store has at most 64 epochs that are not retired: retire one first"));
        }
        let (epoch, told) = self.journal_epoch(slot.current()?.epoch, &master).await?;
        let record = EpochRecord { epoch, state: EpochState::Live, created_at: vault.clock.wall(), master };
        let context = WrapContext::vault_root(slot.root.epoch, slot.root.key_id);
        slot.root = root::rewrap(&*vault.provider, &slot.root, &context, &record).await?;
        slot.epochs.push(record);
        slot.tell(told);
        match vault.store.put(&slot.seal(&vault.root)?, Expected::Revision(stored.revision())).await {
            Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(None),
            put => Ok(put.map(|()| Some(epoch))?),
        }
    }

    /// Enters the next epoch in the journal, and tells its number and the entry's position. The number is above what was opened
    /// and lost in a restore, too, so that an epoch of one number has one master key.
    async fn journal_epoch(&self, current: Epoch, master: &MasterKeyId) -> Result<(Epoch, u64)> {
        let (vault, after) = (&self.0, |last: Epoch| Epoch::new(last.get().saturating_add(1)));
        let next = |last| after(last).ok_or(Error::Bug("an epoch of 0"));
        let Some(journal) = &vault.journal else { return Ok((next(current)?, 0)) };
        let entered = journal.decide(&SlotId::Vault, vault.store_told(), &vault.clock, |_, said| {
            Box::pin(async move {
                let epoch = next(current.max(highest_epoch(&said)))?;
                let event = JournalEvent::EpochOpened { epoch, master: master.clone() };
                Ok((Some(event), epoch))
            })
        });
        entered.await.map(|entered| (entered.answer, entered.last))
    }

    /// Moves every tenant to the current epoch; how many were not there. One whose own master key is refused holds up no other.
    async fn move_tenants(&self) -> Result<u64> {
        let (mut moved, mut refused) = (0, None);
        let mut scan = Scan::new(Filter::All);
        loop {
            let page = self.0.store.scan(&scan).await?;
            for stored in &page.slots {
                let SlotId::Tenant(tenant) = stored.id() else { continue };
                match self.rewrap_tenant(tenant).await {
                    Err(e) if is_of_one_slot(&e) => drop(refused.get_or_insert(e)),
                    done => moved += u64::from(done?),
                }
            }
            match behind_tenants(&page) {
                Some(next) => scan = scan.starting_after(next),
                None => return refused.map_or(Ok(moved), Err),
            }
        }
    }

    /// Ends an epoch: destroys its master key, and with it every copy of every key that was ever wrapped in the epoch,
    /// those in backups included. Everything that lives must have left it ([`rewrap_page`](Self::rewrap_page)); that is
    /// made certain after no write in the epoch can land any more.
    ///
    /// Calling again on a retired epoch tells how far the destruction of its master key has gone.
    ///
    /// ```
    /// # use fieldseal::journal::MemoryJournal;
    /// # use fieldseal::provider::LocalKeyring;
    /// # use fieldseal::store::MemoryStore;
    /// # use fieldseal::{SubjectId, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> fieldseal::Result<()> {
    /// # let keyring = LocalKeyring::ephemeral()?;
    /// # let builder = Vault::builder(keyring.clone(), MemoryStore::new()).journal(MemoryJournal::new()?);
    /// # let vault = builder.kinds(["customer"]).build().await?;
    /// # let customers = vault.default_tenant();
    /// # customers.enroll(&SubjectId::new("customer", &17)?).await?;
    /// let old = vault.current_epoch().await?;
    /// keyring.add_key().await?; // or a new key at the KMS
    /// vault.advance_epoch().await?;
    /// let mut next = None;
    /// loop {
    ///     let page = vault.rewrap_page(next.as_ref(), 100).await?;
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// let retired = vault.retire_epoch(old).await?;
    /// println!("{} is {:?}", retired.master, retired.destruction);
    /// # Ok(())
    /// # }
    /// ```
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
    /// Of other key stores whose epochs have the same master key nothing is known here: give each a keyring of its own.
    pub async fn retire_epoch(&self, epoch: Epoch) -> Result<RetiredEpoch> {
        self.0.check().await?;
        let (_, slot) = root::reload(&self.0).await?;
        let Some(record) = slot.epochs.iter().find(|e| e.epoch == epoch) else {
            return self.retire_lost_epoch(epoch, &slot).await;
        };
        let master = record.master.clone();
        if record.state == EpochState::Retired
            && let Some(destruction) = self.0.provider.destruction(&master).await?
        {
            return Ok(RetiredEpoch { epoch, master, destruction });
        }
        if slot.current()?.epoch == epoch {
            return Err(Error::invalid("the current epoch can't be retired: advance to another first"));
        }
        self.check_unneeded(epoch, &master, &slot).await?;
        let next = Epoch::new(epoch.get().saturating_add(1)).ok_or(Error::Bug("an epoch of 0"))?;
        self.0.store.raise_floor(next).await?;
        match self.slots_of(|own| own <= epoch).await? {
            0 => {}
            slots => return Err(Error::EpochInUse { slots }),
        }
        self.drop_wrapping_keys(epoch).await?;
        // What rewrapping overwrote is not to outlive the epoch in the store's files: the master key may have copies.
        self.0.scrub().await?;
        let (destruction, told) = self.destroy_master(&master).await?;
        self.mark_retired(epoch, told).await?;
        Ok(RetiredEpoch { epoch, master, destruction })
    }

    /// An epoch that the journal records and the store doesn't: it was opened and lost in a restore, or never came to be.
    /// Copies in backups may be wrapped under its master key all the same.
    async fn retire_lost_epoch(&self, epoch: Epoch, slot: &VaultSlot) -> Result<RetiredEpoch> {
        let unknown = || Error::invalid("there is no such epoch");
        if self.0.journal.is_none() {
            return Err(unknown());
        }
        let said = self.0.said_of_store().await?;
        let master = said.iter().rev().find_map(|(_, entry)| match entry.event() {
            JournalEvent::EpochOpened { epoch: opened, master } if *opened == epoch => Some(master.clone()),
            _ => None,
        });
        let master = master.ok_or_else(unknown)?;
        self.check_unneeded(epoch, &master, slot).await?;
        // No floor: the store has nothing in this epoch, and its own may have lower numbers.
        match self.slots_of(|own| own == epoch).await? {
            0 => {}
            slots => return Err(Error::EpochInUse { slots }),
        }
        let (destruction, _) = self.destroy_master(&master).await?;
        Ok(RetiredEpoch { epoch, master, destruction })
    }

    /// No other epoch may need the master key, nor the provider still wrap with it.
    async fn check_unneeded(&self, epoch: Epoch, master: &MasterKeyId, slot: &VaultSlot) -> Result<()> {
        let needs = |e: &EpochRecord| e.epoch != epoch && e.state == EpochState::Live && e.master.shares_with(master);
        if slot.epochs.iter().any(needs) {
            return Err(Error::invalid("another epoch that is not retired has the same master key"));
        }
        if self.0.provider.current().await?.shares_with(master) {
            return Err(
                ProviderError::misconfigured("the epoch's master key is still the provider's current one").into()
            );
        }
        Ok(())
    }

    /// Destroys it, then enters that in the journal: gives the entry's position.
    async fn destroy_master(&self, master: &MasterKeyId) -> Result<(Destruction, u64)> {
        let destruction = self.0.provider.destroy_key(master).await?;
        let event = JournalEvent::MasterKeyDestroyed { master: master.clone() };
        let told = self.0.append(&SlotId::Vault, self.0.store_told(), &event).await?;
        Ok((destruction, told))
    }

    /// How many slots hold a key of such an epoch: held and scheduled subjects, roots and index keys too. By their bytes, over
    /// all of them: a column could have been changed to hide one.
    async fn slots_of(&self, such: impl Fn(Epoch) -> bool + Send) -> Result<u64> {
        let mut found = 0;
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        loop {
            let page = self.0.store.scan(&scan).await?;
            found += page.slots.iter().filter(|slot| slot.epoch().is_some_and(&such)).count() as u64;
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(found),
            }
        }
    }

    /// The tenants' wrapping keys of the epoch: nothing is wrapped under them any more, and soon they can't be unwrapped.
    async fn drop_wrapping_keys(&self, epoch: Epoch) -> Result<()> {
        let mut scan = Scan::new(Filter::All);
        loop {
            let page = self.0.store.scan(&scan).await?;
            for stored in &page.slots {
                let SlotId::Tenant(tenant) = stored.id() else { continue };
                let tenant = self.0.cached_tenant(tenant);
                let mut attempts = 0;
                while tenant.has_key_of(&self.0, epoch).await? {
                    tenant.change(&self.0, TenantChange::Retire(epoch)).await?;
                    attempts += 1;
                    if attempts > ATTEMPTS {
                        return Err(Error::Conflict);
                    }
                }
                tenant.forget();
            }
            match behind_tenants(&page) {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(()),
            }
        }
    }

    async fn mark_retired(&self, epoch: Epoch, told: u64) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (stored, mut slot) = root::reload(&self.0).await?;
            let Some(record) = slot.epochs.iter_mut().find(|e| e.epoch == epoch && e.state == EpochState::Live) else {
                return Ok(());
            };
            record.state = EpochState::Retired;
            slot.tell(told);
            match self.0.store.put(&slot.seal(&self.0.root)?, Expected::Revision(stored.revision())).await {
                Err(e) if e.kind() == StoreErrorKind::Conflict => continue,
                put => return Ok(put?),
            }
        }
        Err(Error::Conflict)
    }
}

/// Where the next page of tenants begins: they come before every subject. None behind the last.
fn behind_tenants(page: &ScanPage) -> Option<SlotId> {
    page.next.clone().filter(|next| !matches!(next, SlotId::Subject(..)))
}
