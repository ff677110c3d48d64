//! Epochs: a new master key for everything, and the end of an old one.

use std::collections::HashMap;

use super::cached_tenant::{TenantChange, unwrap_root};
use super::decide::highest_epoch;
use super::slots::{is_damage, is_of_one_slot};
use super::{ATTEMPTS, Vault, root};
use crate::error::{Error, ProviderError, Result, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::JournalEvent;
use crate::keys::slot::{EpochRecord, EpochState, MAX_EPOCHS, SubjectSlot, TenantSlot, VaultSlot};
use crate::keys::{Epoch, MasterKeyId, RootKey, SlotId, StoredSlot, WrapContext};
use crate::provider::Destruction;
use crate::store::{Expected, Filter, Scan, ScanPage};

/// What [`Vault::advance_epoch`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AdvancedEpoch {
    /// The epoch that new keys are wrapped in.
    pub epoch: Epoch,
    /// Tenants that stay behind it, with the reason: their slot is damaged, say, or their own master key is refused. They hold up
    /// no other, and follow when this is called again.
    pub failed: Vec<(SlotId, Error)>,
}

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
    /// shares a member with one; those of the ports. What is wrong with one tenant is listed in [`AdvancedEpoch::failed`].
    ///
    /// # Cancel safety
    /// Can be called again: an epoch that was opened and not given to every tenant is finished, not opened twice.
    pub async fn advance_epoch(&self) -> Result<AdvancedEpoch> {
        self.0.check().await?;
        for _ in 0..ATTEMPTS {
            let (stored, slot) = root::reload(&self.0).await?;
            let master = self.0.provider.current().await?;
            let current = slot.current()?;
            if current.master == master {
                let epoch = current.epoch;
                return match self.move_tenants().await? {
                    (0, failed) if failed.is_empty() => Err(Error::invalid(
                        "the provider's current master key is the current epoch's already: make a new master key first",
                    )),
                    (_, failed) => Ok(AdvancedEpoch { epoch, failed }),
                };
            }
            if slot.epochs.iter().any(|e| e.master.shares_with(&master)) {
                return Err(Error::invalid(
                    "the provider's current master key, or one of several, was an earlier epoch's: destroying that epoch's \
                     copies would end this one's too. Make a new master key; where there are several, one at each provider",
                ));
            }
            let Some(epoch) = self.open_epoch(&stored, slot, master).await? else { continue };
            let (_, failed) = self.move_tenants().await?;
            return Ok(AdvancedEpoch { epoch, failed });
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

    /// Moves every tenant to the current epoch: how many were not there, and those that stay behind.
    async fn move_tenants(&self) -> Result<(u64, Vec<(SlotId, Error)>)> {
        let (mut moved, mut failed) = (0, Vec::new());
        let mut scan = Scan::new(Filter::All);
        loop {
            let page = self.0.store.scan(&scan).await?;
            for id in page.ids() {
                let SlotId::Tenant(tenant) = id else { continue };
                match self.rewrap_tenant(tenant).await {
                    Err(e) if is_of_one_slot(&e) => failed.push((id.clone(), e)),
                    done => moved += u64::from(done?),
                }
            }
            match behind_tenants(&page) {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok((moved, failed)),
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
    /// [`Error::EpochInUse`] if slots are still in the epoch, or may be: rewrap, and try again. What is damaged may be in any epoch,
    /// and so may all that is of a tenant whose root can't be had: the good copy in a backup would need the master key.
    /// [`inventory_page`](Self::inventory_page) names each. [`Error::InvalidInput`] if it is the
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
        self.check_left(|own| own <= epoch).await?;
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
        self.check_left(|own| own == epoch).await?;
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

    /// That no slot holds a key of such an epoch: held and scheduled subjects, roots and index keys too. Over all slots, and by what
    /// each says once it is opened: a column could have been changed to hide one, and so could the bytes. What nobody can open may
    /// be in any epoch.
    async fn check_left(&self, such: impl Fn(Epoch) -> bool + Send + Sync) -> Result<()> {
        let (_, vault_slot) = root::reload(&self.0).await?;
        let (mut slots, mut unverified) = (0, 0);
        // Tenants come before every subject.
        let mut roots = HashMap::new();
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        loop {
            let page = self.0.store.scan(&scan).await?;
            unverified += page.damaged.len() as u64 + page.nameless;
            for stored in &page.slots {
                match self.verifies(stored, &vault_slot, &mut roots).await? {
                    true => slots += u64::from(stored.epoch().is_some_and(&such)),
                    false => unverified += 1,
                }
            }
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None if slots + unverified == 0 => return Ok(()),
                None => return Err(Error::EpochInUse { slots: slots + unverified, unverified }),
            }
        }
    }

    /// Whether a slot is what somebody with its tenant's root wrote, in a later version maybe. Notes that root where it is in it.
    async fn verifies(
        &self,
        stored: &StoredSlot,
        vault_slot: &VaultSlot,
        roots: &mut HashMap<TenantId, RootKey>,
    ) -> Result<bool> {
        let opened = match stored.id() {
            SlotId::Vault => VaultSlot::open(stored, &self.0.root).map(drop),
            SlotId::Tenant(id) => match unwrap_root(&*self.0.provider, id, stored, vault_slot).await {
                Err(e) if is_of_one_slot(&e) => return Ok(false),
                unwrapped => {
                    let root = roots.entry(id.clone()).insert_entry(unwrapped?.0);
                    TenantSlot::open(stored, root.get()).map(drop)
                }
            },
            SlotId::Subject(id, _) => match roots.get(id) {
                Some(root) => SubjectSlot::open(stored, root).map(drop),
                None => return Ok(false),
            },
        };
        Ok(!opened.is_err_and(|e| is_damage(&e)))
    }

    /// The tenants' wrapping keys of the epoch: nothing is wrapped under them any more, and soon they can't be unwrapped.
    async fn drop_wrapping_keys(&self, epoch: Epoch) -> Result<()> {
        let mut scan = Scan::new(Filter::All);
        loop {
            let page = self.0.store.scan(&scan).await?;
            for id in page.ids() {
                let SlotId::Tenant(tenant) = id else { continue };
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
