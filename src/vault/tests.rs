//! What needs slots of a certain kind (tombstones, later epochs), without the work that makes them: written by hand under the
//! tenant's root.

use std::sync::Arc;

use super::*;
use crate::error::StoreError;
use crate::journal::MemoryJournal;
use crate::keys::slot::SubjectSlot;
use crate::keys::{Epoch, SlotId, StoredSlot};
use crate::provider::LocalKeyring;
use crate::store::{Filter, KeyStore, MemoryStore, Scan};
use crate::subject::tests::{HandClock, NOW};
use crate::{FieldContext, SubjectKeys};

struct Ports {
    store: Arc<MemoryStore>,
    journal: Arc<MemoryJournal>,
    provider: Arc<LocalKeyring>,
}

impl Ports {
    fn new() -> Result<Self> {
        Ok(Self {
            store: Arc::new(MemoryStore::new()),
            journal: Arc::new(MemoryJournal::new()?),
            provider: Arc::new(LocalKeyring::ephemeral()?),
        })
    }

    async fn vault(&self) -> Result<Vault> {
        let builder = Vault::builder(self.provider.clone(), self.store.clone()).journal(self.journal.clone());
        builder.purposes(["billing"]).build().await
    }
}

fn context(purpose: &'static str) -> FieldContext<'static> {
    FieldContext::unbound("s", "f").unwrap().purpose(purpose)
}

/// Edits a subject's slot in the store, as a later version of this crate, or another process, would.
async fn edit(vault: &Vault, subject: &str, edit: impl FnOnce(&mut SubjectSlot)) -> Result<()> {
    let tenant = vault.default_tenant();
    let state = vault.0.cached_tenant(tenant.id()).state(&vault.0).await?.unwrap();
    let tag = state.root.tag(tenant.id(), &crate::SubjectId::new(subject)?);
    let stored = load(vault, SlotId::Subject(tenant.id().clone(), tag)).await?;
    let mut slot = SubjectSlot::open(&stored, &state.root)?;
    edit(&mut slot);
    let new = slot.seal(tenant.id(), tag, &state.root)?;
    Ok(vault.0.store.put(&new, Expected::Revision(stored.revision())).await?)
}

async fn load(vault: &Vault, id: SlotId) -> Result<StoredSlot, StoreError> {
    Ok(vault.0.store.load(&[id]).await?.remove(0).unwrap())
}

fn destroy(slot: &mut SubjectSlot, purpose: &str, at: u64) {
    let purpose = slot.purposes.iter_mut().find(|p| p.name.as_str() == purpose).unwrap();
    purpose.destroyed.extend(purpose.versions.drain(..).map(|v| v.key_id));
    purpose.erased_at = Some(crate::clock::Timestamp::from_millis(at));
}

fn destroy_all(slot: &mut SubjectSlot) {
    destroy(slot, "default", 7);
    destroy(slot, "billing", 9);
    slot.epoch = None;
}

fn seal(keys: &SubjectKeys) -> Result<Vec<u8>> {
    keys.seal_bytes(b"x", &context("default"))
}

#[tokio::test]
async fn a_tombstone_is_erased_and_not_unknown() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let envelope = seal(&vault.default_tenant().enroll("ada").await?)?;
    edit(&vault, "ada", destroy_all).await?;
    let customers = ports.vault().await?.default_tenant();
    let erased = |e: &Error| matches!(e, Error::SubjectErased { at } if at.as_millis() == 9);
    assert!(customers.keys("ada").await.is_err_and(|e| erased(&e)));
    assert!(customers.enroll("ada").await.is_err_and(|e| erased(&e)), "it comes back by no plain enrollment");
    let page = customers.enroll_all(&["ada", "ben"]).await?;
    assert!(page.get("ada").is_err_and(|e| erased(&e)) && page.get("ben").is_ok());
    // Explicitly, in a new line that opens nothing of the old.
    let keys = customers.enroll_with("ada", &Enrollment::new().even_if_erased()).await?;
    let gone = |e: &Error| matches!(e, Error::PurposeErased { at } if at.as_millis() == 7);
    assert!(keys.open_bytes(&envelope, &context("default")).is_err_and(|e| gone(&e)));
    assert!(keys.open_bytes(&seal(&keys)?, &context("default")).is_ok());
    Ok(())
}

#[tokio::test]
async fn a_new_line_is_journaled_first_and_above_all_known_lines() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll("ada").await?;
    let backup = all(&ports.store).await?;
    for _ in 0..2 {
        edit(&vault, "ada", destroy_all).await?;
        let fresh = ports.vault().await?.default_tenant();
        fresh.enroll_with("ada", &Enrollment::new().even_if_erased()).await?;
    }
    let lines = async || -> Result<Vec<u32>> {
        let entries = ports.journal.read(0, 100).await?;
        let line = |e: &JournalEntry| match e.event() {
            JournalEvent::Reenrolled { purpose, line } if purpose.as_str() == "default" => Some(*line),
            _ => None,
        };
        Ok(entries.iter().filter_map(line).collect())
    };
    assert_eq!(lines().await?, [2, 3]);
    // After a restore the slot is at line 1 again; the journal knows better.
    let restored = Ports { store: Arc::new(backup), ..ports };
    let vault = restored.vault().await?;
    edit(&vault, "ada", destroy_all).await?;
    restored.vault().await?.default_tenant().enroll_with("ada", &Enrollment::new().even_if_erased()).await?;
    let entries = restored.journal.read(0, 100).await?;
    let highest = entries.iter().filter_map(|e| match e.event() {
        JournalEvent::Reenrolled { line, .. } => Some(*line),
        _ => None,
    });
    assert_eq!(highest.max(), Some(4));
    Ok(())
}

#[tokio::test]
async fn a_plain_enrollment_continues_above_journaled_lines() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    vault.default_tenant().enroll("ben").await?; // the tenant
    let backup = all(&ports.store).await?;
    vault.default_tenant().enroll("ada").await?;
    edit(&vault, "ada", destroy_all).await?;
    ports.vault().await?.default_tenant().enroll_with("ada", &Enrollment::new().even_if_erased()).await?;
    // The backup knows nothing of her; the journal names line 2.
    let restored = Ports { store: Arc::new(backup), ..ports };
    restored.vault().await?.default_tenant().enroll("ada").await?;
    let entries = restored.journal.read(0, 100).await?;
    let line = |e: &JournalEntry| match e.event() {
        JournalEvent::Reenrolled { line, .. } => Some(*line),
        _ => None,
    };
    assert_eq!(entries.iter().filter_map(line).max(), Some(3), "and that it opens line 3 is journaled too");
    Ok(())
}

async fn all(store: &MemoryStore) -> Result<MemoryStore> {
    let copy = MemoryStore::new();
    for slot in store.scan(&Scan::new(Filter::All)).await?.slots {
        copy.put(&slot, Expected::Absent).await?;
    }
    Ok(copy)
}

#[tokio::test]
async fn one_erased_purpose_leaves_the_others() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let keys = vault.default_tenant().enroll("ada").await?;
    let billing = keys.seal_bytes(b"x", &context("billing"))?;
    let default = seal(&keys)?;
    edit(&vault, "ada", |slot| destroy(slot, "billing", 9)).await?;
    for keys in [
        ports.vault().await?.default_tenant().keys("ada").await?,
        ports.vault().await?.default_tenant().enroll("ada").await?,
    ] {
        assert!(keys.open_bytes(&default, &context("default")).is_ok());
        let erased = |e: &Error| matches!(e, Error::PurposeErased { at } if at.as_millis() == 9);
        assert!(keys.open_bytes(&billing, &context("billing")).is_err_and(|e| erased(&e)));
        assert!(keys.seal_bytes(b"x", &context("billing")).is_err_and(|e| erased(&e)));
    }
    Ok(())
}

#[tokio::test]
async fn a_scheduled_erasure_makes_the_subject_unreadable() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    vault.default_tenant().enroll("ada").await?;
    edit(&vault, "ada", |slot| slot.erase_at = Some(crate::clock::Timestamp::from_millis(5))).await?;
    let customers = ports.vault().await?.default_tenant();
    assert!(matches!(customers.keys("ada").await, Err(Error::SubjectErased { .. })));
    assert!(matches!(customers.enroll("ada").await, Err(Error::SubjectErased { .. })));
    let again = customers.enroll_with("ada", &Enrollment::new().even_if_erased()).await;
    assert!(matches!(again, Err(Error::SubjectErased { .. })), "that is undone by cancelling, not by enrolling");
    Ok(())
}

/// Opens epoch 2 under a new master key, as `advance_epoch` will.
async fn open_second_epoch(ports: &Ports, vault: &Vault) -> Result<()> {
    let master = ports.provider.add_key().await?;
    let (stored, mut slot) = root::reload(&vault.0).await?;
    slot.epochs.push(crate::keys::slot::EpochRecord {
        epoch: Epoch::new(2).unwrap(),
        state: crate::keys::slot::EpochState::Live,
        created_at: vault.0.clock.wall(),
        master,
    });
    Ok(vault.0.store.put(&slot.seal(&vault.0.root)?, Expected::Revision(stored.revision())).await?)
}

#[tokio::test]
async fn a_slot_written_in_a_later_epoch_moves_with_every_key() -> Result<()> {
    let ports = Ports::new()?;
    let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).journal(ports.journal.clone());
    let first = builder.build().await?; // without the purpose `billing`
    let envelope = seal(&first.default_tenant().enroll("ada").await?)?;
    open_second_epoch(&ports, &first).await?;
    let second = ports.vault().await?;
    let keys = second.default_tenant().enroll("ada").await?; // which adds `billing`
    assert!(keys.open_bytes(&envelope, &context("default")).is_ok());
    let subjects = |slot: &&StoredSlot| matches!(slot.id(), SlotId::Subject(..));
    let slots = ports.store.scan(&Scan::new(Filter::All)).await?.slots;
    assert_eq!(slots.iter().find(subjects).unwrap().epoch(), Epoch::new(2));
    // A process that knew the first epoch alone reads on.
    let old = first.default_tenant();
    assert!(old.refresh(&old.keys("ada").await?).await?.open_bytes(&envelope, &context("default")).is_ok());
    Ok(())
}

#[tokio::test]
async fn a_writer_of_a_retired_epoch_continues_in_the_current_one() -> Result<()> {
    let ports = Ports::new()?;
    let stale = ports.vault().await?;
    stale.default_tenant().enroll("ada").await?;
    open_second_epoch(&ports, &stale).await?;
    let store: &dyn KeyStore = &*ports.store;
    store.raise_floor(Epoch::new(2).unwrap()).await?;
    stale.default_tenant().enroll("ben").await?; // its wrapping key of epoch 1 is refused by the store
    let slots = ports.store.scan(&Scan::new(Filter::EpochBelow(Epoch::new(2).unwrap()))).await?.slots;
    let subjects = slots.iter().filter(|s| matches!(s.id(), SlotId::Subject(..))).count();
    assert_eq!(subjects, 1, "ada's, which nobody moved; ben's is in epoch 2");
    Ok(())
}

#[tokio::test]
async fn a_tenant_whose_root_is_replaced_is_refused() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let tenant = vault.default_tenant();
    tenant.enroll("ada").await?;
    // Another store's tenant slot, made with the same provider: genuine, but not this store's.
    let other = Ports { provider: ports.provider.clone(), ..Ports::new()? };
    other.vault().await?.default_tenant().enroll("ada").await?;
    let id = SlotId::Tenant(tenant.id().clone());
    let planted = other.store.load(std::slice::from_ref(&id)).await?.remove(0).unwrap();
    let own = load(&vault, id).await?;
    vault.0.store.put(&planted, Expected::Revision(own.revision())).await?;
    vault.0.cached_tenant(tenant.id()).forget();
    assert!(matches!(tenant.keys("ada").await, Err(Error::Store(_))));
    Ok(())
}

/// Does something to many subjects, a quarter of `max_age` for each twentieth of them: what the process keeps of them in
/// the end, live and cached, in twentieths.
async fn kept_after(subjects: i64, call: impl AsyncFn(&Tenant, i64) -> Result<()>) -> Result<(usize, usize)> {
    let (ports, clock, mut now) = (Ports::new()?, HandClock::at(NOW), NOW);
    let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).clock(clock.clone());
    let vault = builder.journal(ports.journal.clone()).build().await?;
    let customers = vault.default_tenant();
    let twentieth = subjects / 20;
    for n in 1..=subjects {
        call(&customers, n).await?;
        if n % twentieth == 0 {
            now += u64::try_from((vault.max_age() / 4).as_millis()).unwrap();
            clock.set(now, now);
        }
    }
    let twentieths = |kept: usize| kept.div_ceil(usize::try_from(twentieth).unwrap());
    Ok((twentieths(vault.0.issued.len()), twentieths(vault.cache_stats().subjects)))
}

#[tokio::test]
async fn a_process_that_only_enrolls_keeps_what_max_age_brings() -> Result<()> {
    let (live, cached) = kept_after(10_000, async |customers, n| customers.enroll(&n).await.map(drop)).await?;
    assert!(live <= 6 && cached <= 6, "{live} and {cached} twentieths");
    Ok(())
}

#[tokio::test]
async fn a_process_that_only_erases_keeps_no_more_than_max_age_brings() -> Result<()> {
    let request = crate::vault::ErasureRequest::new();
    let (live, cached) = kept_after(2000, async |customers, n| customers.erase(&n, &request).await.map(drop)).await?;
    assert!(live <= 6 && cached == 0, "{live} and {cached} twentieths");
    Ok(())
}
