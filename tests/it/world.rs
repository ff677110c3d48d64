//! Ports that several vaults share, as several processes would; and what every life-cycle test looks at afterwards.
#![allow(dead_code, reason = "each test needs a part of it")]

use std::sync::Arc;
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::{ErasureJournal, JournalEntry};
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Epoch, Filter, KeyStore, Scan, SlotId, StoredSlot};
use fieldseal::testing::clock::ManualClock;
use fieldseal::testing::faults::{Tap, Tapped};
use fieldseal::vault::{Ready, VaultBuilder};
use fieldseal::{Error, FieldContext, SubjectKeys, Tenant, Vault};

use crate::ground::{Ground, Kept, Ports};

pub(crate) type Result<T = ()> = fieldseal::Result<T>;

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) provider: LocalKeyring,
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) journal: Arc<dyn ErasureJournal>,
    pub(crate) clock: ManualClock,
    /// Around the tapped ports, where it is said.
    pub(crate) guard: Option<Guard>,
    pub(crate) kept: Kept,
    pub(crate) elsewhere: Ports,
}

impl World {
    pub(crate) async fn on(ground: &Ground) -> Result<Self> {
        let [Ports { store: kept, journal }, elsewhere] = ground.ports().await?;
        let (provider, clock) = (LocalKeyring::ephemeral()?, ManualClock::new());
        Ok(Self { provider, store: kept.store.clone(), journal, clock, guard: None, kept, elsewhere })
    }

    /// The same, by connections of its own.
    pub(crate) fn elsewhere(&self) -> Self {
        let here = Ports { store: self.kept.clone(), journal: self.journal.clone() };
        let Ports { store: kept, journal } = self.elsewhere.clone();
        Self { store: kept.store.clone(), journal, kept, elsewhere: here, ..self.clone() }
    }

    /// What a restore of a backup that is taken now gives.
    pub(crate) async fn backup(&self) -> Result<Arc<dyn KeyStore>> {
        Ok(self.kept.backup().await?.store)
    }

    /// With guards that don't pause, and never give up on a port.
    pub(crate) async fn guarded(ground: &Ground) -> Result<Self> {
        let world = Self::on(ground).await?;
        let guard = Guard::new().clock(world.clock.clone()).timer(world.clock.clone());
        let guard = guard.backoff(Duration::ZERO, Duration::ZERO).circuit(u32::MAX, Duration::ZERO);
        Ok(Self { guard: Some(guard), ..world })
    }

    /// On the ports themselves.
    pub(crate) fn builder(&self) -> VaultBuilder<Ready> {
        Vault::builder(self.provider.clone(), self.store.clone())
            .clock(self.clock.clone())
            .journal(self.journal.clone())
    }

    /// On ports that ask `tap`.
    pub(crate) fn tapped(&self, tap: &Tap) -> VaultBuilder<Ready> {
        let provider = Tapped::new(self.provider.clone(), tap);
        let store = Tapped::new(self.store.clone(), tap);
        let journal = Tapped::new(self.journal.clone(), tap);
        let builder = match &self.guard {
            None => Vault::builder(provider, store).journal(journal),
            Some(guard) => Vault::builder(Guarded::new(provider, guard), Guarded::new(store, guard))
                .journal(Guarded::new(journal, guard)),
        };
        builder.clock(self.clock.clone())
    }

    /// A process that starts now.
    pub(crate) async fn fresh(&self) -> Result<Tenant> {
        Ok(self.builder().build().await?.default_tenant())
    }

    /// So much later than it is.
    pub(crate) fn after(&self, seconds: u64) -> Timestamp {
        self.clock.wall().plus(Duration::from_secs(seconds))
    }

    pub(crate) async fn entries(&self) -> Result<Vec<JournalEntry>> {
        Ok(self.journal.read(0, usize::MAX).await?)
    }

    /// Every subject's slot, as it is stored.
    pub(crate) async fn subjects(&self) -> Result<Vec<StoredSlot>> {
        let slots = self.store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
        Ok(slots.into_iter().filter(|slot| matches!(slot.id(), SlotId::Subject(..))).collect())
    }

    /// Rewraps until nothing is left to do.
    pub(crate) async fn rewrap_all(vault: &Vault) -> Result {
        let mut from = None;
        loop {
            from = vault.rewrap_page(from.as_ref(), 100).await?.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Nothing that lives is in an epoch up to this one.
    pub(crate) async fn check_none_within(&self, epoch: Epoch) -> Result {
        let slots = self.store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
        assert!(slots.iter().all(|slot| slot.epoch().is_none_or(|own| own > epoch)), "a slot is under a destroyed key");
        Ok(())
    }
}

pub(crate) fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

pub(crate) fn seal(keys: &SubjectKeys) -> Result<Vec<u8>> {
    keys.seal_bytes(VALUE, &context())
}

pub(crate) fn open(keys: &SubjectKeys, envelope: &[u8]) -> Result {
    let value = keys.open_bytes(envelope, &context())?;
    assert_eq!(value.as_deref().map(Vec::as_slice), Some(VALUE), "it opens as something else");
    Ok(())
}

pub(crate) fn is_erased<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::SubjectErased { .. }))
}

pub(crate) const VALUE: &[u8] = b"ada@example.com";
