//! What needs slots of a certain kind (tombstones, later epochs), without the work that makes them: written by hand under the
//! tenant's root.

use std::sync::Arc;

use super::*;
use crate::error::StoreError;
use crate::id::customer;
use crate::journal::verify::Verifier;
use crate::journal::{ErasureJournal as _, JournalEntry, MemoryJournal};
use crate::keys::slot::{
    Date, IndexEpochRecord, IndexEpochState, MAX_WAITING, Point, SubjectSlot, TenantSlot, VaultSlot, WrappedIndexKey,
    as_later_version,
};
use crate::keys::{Epoch, SlotId, StoredSlot, WrapContext};
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
        let builder =
            Vault::builder(self.provider.clone(), self.store.clone()).kinds(["customer"]).journal(self.journal.clone());
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
    let tag = state.root.tag(tenant.id(), &crate::id::customer(subject));
    let stored = load(vault, SlotId::Subject(tenant.id().clone(), tag)).await?;
    let mut slot = SubjectSlot::open(&stored, &state.root)?;
    edit(&mut slot);
    let new = slot.seal(tenant.id(), tag, &state.root)?;
    Ok(vault.0.store.put(&new, Expected::Revision(stored.revision())).await?)
}

async fn load(vault: &Vault, id: SlotId) -> Result<StoredSlot, StoreError> {
    Ok(vault.0.store.load(&[id]).await?.remove(0).into_slot()?.unwrap())
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
    let envelope = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    edit(&vault, "ada", destroy_all).await?;
    let customers = ports.vault().await?.default_tenant();
    let erased = |e: &Error| matches!(e, Error::SubjectErased { at } if at.as_millis() == 9);
    assert!(customers.keys(&customer("ada")).await.is_err_and(|e| erased(&e)));
    assert!(
        customers.enroll(&customer("ada")).await.is_err_and(|e| erased(&e)),
        "it comes back by no plain enrollment"
    );
    let page = customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    assert!(page.get(&customer("ada")).is_err_and(|e| erased(&e)) && page.get(&customer("ben")).is_ok());
    // Explicitly, in a new line that opens nothing of the old.
    let keys = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
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
    customers.enroll(&customer("ada")).await?;
    let backup = all(&ports.store).await?;
    for _ in 0..2 {
        edit(&vault, "ada", destroy_all).await?;
        let fresh = ports.vault().await?.default_tenant();
        fresh.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
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
    restored.vault().await?.default_tenant().enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
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
    vault.default_tenant().enroll(&customer("ben")).await?; // the tenant
    let backup = all(&ports.store).await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    edit(&vault, "ada", destroy_all).await?;
    ports.vault().await?.default_tenant().enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    // The backup knows nothing of her; the journal names line 2.
    let restored = Ports { store: Arc::new(backup), ..ports };
    restored.vault().await?.default_tenant().enroll(&customer("ada")).await?;
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
    let keys = vault.default_tenant().enroll(&customer("ada")).await?;
    let billing = keys.seal_bytes(b"x", &context("billing"))?;
    let default = seal(&keys)?;
    edit(&vault, "ada", |slot| destroy(slot, "billing", 9)).await?;
    for keys in [
        ports.vault().await?.default_tenant().keys(&customer("ada")).await?,
        ports.vault().await?.default_tenant().enroll(&customer("ada")).await?,
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
    vault.default_tenant().enroll(&customer("ada")).await?;
    edit(&vault, "ada", |slot| slot.erase_at = Some(crate::clock::Timestamp::from_millis(5))).await?;
    let customers = ports.vault().await?.default_tenant();
    let closed =
        |answer: Result<SubjectKeys>| matches!(answer, Err(Error::SubjectClosed { due }) if due.as_millis() == 5);
    assert!(closed(customers.keys(&customer("ada")).await) && closed(customers.enroll(&customer("ada")).await));
    let again = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await;
    assert!(closed(again), "that is undone by cancelling, not by enrolling");
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
    let builder =
        Vault::builder(ports.provider.clone(), ports.store.clone()).kinds(["customer"]).journal(ports.journal.clone());
    let first = builder.build().await?; // without the purpose `billing`
    let envelope = seal(&first.default_tenant().enroll(&customer("ada")).await?)?;
    open_second_epoch(&ports, &first).await?;
    let second = ports.vault().await?;
    let keys = second.default_tenant().enroll(&customer("ada")).await?; // which adds `billing`
    assert!(keys.open_bytes(&envelope, &context("default")).is_ok());
    let subjects = |slot: &&StoredSlot| matches!(slot.id(), SlotId::Subject(..));
    let slots = ports.store.scan(&Scan::new(Filter::All)).await?.slots;
    assert_eq!(slots.iter().find(subjects).unwrap().epoch(), Epoch::new(2));
    // A process that knew the first epoch alone reads on.
    let old = first.default_tenant();
    assert!(old.refresh(&old.keys(&customer("ada")).await?).await?.open_bytes(&envelope, &context("default")).is_ok());
    Ok(())
}

#[tokio::test]
async fn a_writer_of_a_retired_epoch_continues_in_the_current_one() -> Result<()> {
    let ports = Ports::new()?;
    let stale = ports.vault().await?;
    stale.default_tenant().enroll(&customer("ada")).await?;
    open_second_epoch(&ports, &stale).await?;
    let store: &dyn KeyStore = &*ports.store;
    store.raise_floor(Epoch::new(2).unwrap()).await?;
    stale.default_tenant().enroll(&customer("ben")).await?; // its wrapping key of epoch 1 is refused by the store
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
    tenant.enroll(&customer("ada")).await?;
    // Another store's tenant slot, made with the same provider: genuine, but not this store's.
    let other = Ports { provider: ports.provider.clone(), ..Ports::new()? };
    other.vault().await?.default_tenant().enroll(&customer("ada")).await?;
    let id = SlotId::Tenant(tenant.id().clone());
    let planted = other.store.load(std::slice::from_ref(&id)).await?.remove(0).into_slot()?.unwrap();
    let own = load(&vault, id).await?;
    vault.0.store.put(&planted, Expected::Revision(own.revision())).await?;
    vault.0.cached_tenant(tenant.id()).forget();
    assert!(matches!(tenant.keys(&customer("ada")).await, Err(Error::Store(_))));
    Ok(())
}

/// What no job of this version uses yet, in all three kinds of slot, stays as it is whoever writes them.
#[tokio::test]
async fn what_a_slot_says_for_later_is_kept_by_every_write() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let head = ports.journal.head().await?;

    let (stored, mut slot) = root::reload(&vault.0).await?;
    let index = |number, state, alone_from| IndexEpochRecord { number, opened_at: NOW_AT, state, alone_from };
    slot.settled = Point::NONE;
    slot.settling = Some((slot.applied, vault.0.clock.wall()));
    slot.index_epochs =
        vec![index(4, IndexEpochState::Settled, Date::Dated(NOW_AT)), index(5, IndexEpochState::Open, Date::Undated)];
    vault.0.store.put(&slot.seal(&vault.0.root)?, Expected::Revision(stored.revision())).await?;

    let state = customers.cached.state(&vault.0).await?.unwrap();
    let id = SlotId::Tenant(customers.id().clone());
    let stored = load(&vault, id.clone()).await?;
    let mut tenant = TenantSlot::open(&stored, &state.root)?;
    let context = |id| WrapContext::index_key(customers.id().clone(), Epoch::FIRST, 4, id);
    let (_, key) = root::wrap_new(&*vault.0.provider, Epoch::FIRST, context).await?;
    tenant.index_keys = vec![WrappedIndexKey { index_epoch: 4, created_at: NOW_AT, write_from: Date::AtOnce, key }];
    vault.0.store.put(&tenant.seal(customers.id(), &state.root)?, Expected::Revision(stored.revision())).await?;

    ports.provider.add_key().await?;
    vault.advance_epoch().await?;
    vault.set_max_age(Duration::from_secs(3600)).await?;
    vault.rewrap_page(None, 100).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    customers.rotate(&customer("ada")).await?;
    customers.erase(&customer("ada"), &crate::vault::ErasureRequest::new()).await?;
    let vault = ports.vault().await?; // which finds all of it applied

    let now = root::reload(&vault.0).await?.1;
    assert!(now.applied.position > head.position());
    let kept = |slot: &VaultSlot| (slot.settled, slot.settling, slot.index_epochs.clone());
    assert_eq!(kept(&now), kept(&slot));
    let now = TenantSlot::open(&load(&vault, id).await?, &state.root)?;
    let [of_now, before] = [&now, &tenant].map(|slot| slot.index_keys.first().unwrap());
    assert_eq!(of_now.key.epoch, Epoch::new(2).unwrap(), "the key moved");
    assert_eq!(of_now.key.key_id, before.key.key_id);
    assert_eq!((of_now.index_epoch, of_now.created_at, of_now.write_from), (4, NOW_AT, Date::AtOnce));
    edit(&vault, "ada", |slot| assert!(slot.whole_at.is_some())).await?;
    Ok(())
}

/// So that whoever reads the journal misses an entry that is kept back.
#[tokio::test]
async fn every_slot_names_the_last_entry_that_it_was_written_after() -> Result<()> {
    let (ports, clock) = (Ports::new()?, HandClock::at(NOW));
    let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).kinds(["customer"]).clock(clock.clone());
    let vault = builder.journal(ports.journal.clone()).build().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let last = async |of: &dyn Fn(&JournalEvent) -> bool| -> Result<u64> {
        let entries = ports.journal.read(0, 1000).await?;
        Ok((1..).zip(&entries).filter(|(_, entry)| of(entry.event())).map(|(n, _)| n).last().unwrap_or(0))
    };
    let told = async || -> Result<u64> {
        let mut told = 0;
        edit(&vault, "ada", |slot| told = slot.told).await?;
        Ok(told)
    };
    let of_vault = async || root::reload(&vault.0).await.map(|(_, slot)| slot.told);
    let id = SlotId::Tenant(customers.id().clone());
    let state = customers.cached.state(&vault.0).await?.unwrap();
    let of_tenant =
        async || -> Result<u64> { Ok(TenantSlot::open(&load(&vault, id.clone()).await?, &state.root)?.told) };

    assert_eq!(of_vault().await?, last(&|e| matches!(e, JournalEvent::EpochOpened { .. })).await?);
    assert_eq!(of_tenant().await?, last(&|e| matches!(e, JournalEvent::RootCreated { .. })).await?);
    assert_eq!(told().await?, 0, "nothing was said of her");
    customers.hold(&customer("ada")).await?;
    assert_eq!(told().await?, last(&|e| *e == JournalEvent::Held).await?);
    customers.release(&customer("ada")).await?;
    assert_eq!(told().await?, last(&|e| *e == JournalEvent::Released).await?);
    customers.schedule_erasure(&customer("ada"), NOW_AT.plus(Duration::from_secs(9))).await?;
    customers.cancel_erasure(&customer("ada")).await?;
    assert_eq!(told().await?, last(&|e| *e == JournalEvent::ErasureCancelled).await?);
    customers.erase(&customer("ada"), &crate::vault::ErasureRequest::new()).await?;
    assert_eq!(told().await?, last(&|e| matches!(e, JournalEvent::ErasureIntended { .. })).await?);
    clock.set(2 * NOW, 2 * NOW);
    customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    assert_eq!(told().await?, last(&|e| matches!(e, JournalEvent::Reenrolled { .. })).await?);

    vault.set_max_age(Duration::from_secs(3600)).await?;
    assert_eq!(of_vault().await?, last(&|e| matches!(e, JournalEvent::MaxAgeRaised { .. })).await?);
    ports.provider.add_key().await?;
    vault.advance_epoch().await?;
    assert_eq!(of_vault().await?, last(&|e| matches!(e, JournalEvent::EpochOpened { .. })).await?);
    assert_eq!(of_tenant().await?, last(&|e| matches!(e, JournalEvent::RootStored { .. })).await?);
    vault.rewrap_page(None, 100).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    assert_eq!(of_vault().await?, last(&|e| matches!(e, JournalEvent::MasterKeyDestroyed { .. })).await?);
    vault.erase_tenant(customers.id(), &crate::vault::ErasureRequest::new()).await?;
    assert_eq!(of_tenant().await?, last(&|e| matches!(e, JournalEvent::TenantErasureIntended { .. })).await?);
    Ok(())
}

/// A later version has entered something of so many subjects: those who have room wait, and `applied` moves on.
#[tokio::test]
async fn where_too_much_waits_applied_stays_where_it_is() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let id = vault.default_tenant().id().clone();
    vault.default_tenant().enroll(&customer("ada")).await?;
    let enter = async |subjects: std::ops::Range<usize>| -> Result<()> {
        for n in subjects {
            let mut tag = [0; Tag::LEN];
            tag[..8].copy_from_slice(&n.to_be_bytes());
            let about = SlotId::Subject(id.clone(), Tag::from_bytes(tag));
            vault.0.append(&about, 0, &JournalEvent::Unknown { number: 40, bytes: vec![] }).await?;
        }
        Ok(())
    };
    enter(0..3).await?;
    assert_eq!(vault.erase_due().await?.failed.len(), 3);
    let slot = root::reload(&vault.0).await?.1;
    let head = ports.journal.head().await?.position();
    assert_eq!((slot.applied.position, slot.waiting.clone()), (head, vec![head - 2, head - 1, head]));
    enter(3..MAX_WAITING + 1).await?;
    for vault in [&vault, &ports.vault().await?] {
        assert_eq!(vault.erase_due().await?.failed.len(), MAX_WAITING + 1);
        let now = root::reload(&vault.0).await?.1;
        assert_eq!((now.applied, now.waiting), (slot.applied, slot.waiting.clone()));
        vault.default_tenant().keys(&customer("ada")).await?;
    }
    Ok(())
}

/// However often it is entered something of, and whoever finds that.
#[tokio::test]
async fn of_a_slot_that_is_not_clear_the_newest_entry_alone_waits() -> Result<()> {
    let (ports, clock) = (Ports::new()?, HandClock::at(NOW));
    let builder = || {
        let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).kinds(["customer"]);
        builder.clock(clock.clone()).journal(ports.journal.clone())
    };
    let (one, other) = (builder().build().await?, builder().build().await?);
    let customers = one.default_tenant();
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    let about = SlotId::Subject(customers.id().clone(), customers.tag(&customer("ada")).await?);
    let (mut now, mut last) = (NOW, 0);
    for round in 1..=4 {
        let later = JournalEvent::Unknown { number: 40, bytes: vec![] };
        let entry = JournalEntry::unsealed(one.0.clock.wall(), about.clone(), later);
        let head = ports.journal.head().await?;
        let entry = Verifier::of(&one.0.root).seal(entry, last, &head);
        last = ports.journal.append(&entry, &head).await?.position();
        now += u64::try_from(one.max_age().as_millis()).unwrap();
        clock.set(now, now);
        for vault in [&one, &other, &builder().build().await?] {
            vault.default_tenant().keys(&customer("ben")).await?;
            assert!(vault.default_tenant().keys(&customer("ada")).await.is_err(), "round {round}");
            assert_eq!(vault.erase_due().await?.failed.len(), 1);
        }
        assert_eq!(root::reload(&one.0).await?.1.waiting, [last], "round {round}");
    }
    Ok(())
}

/// A backup that is being made may have the slot already in which it is back.
#[tokio::test]
async fn whoever_destroys_again_what_is_done_has_the_window_begin_anew() -> Result<()> {
    let ports = Ports::new()?;
    let (vault, request) = (ports.vault().await?, crate::vault::ErasureRequest::new());
    let (customers, acme) = (vault.default_tenant(), TenantId::new("acme")?);
    customers.enroll(&customer("ada")).await?;
    vault.tenant(&acme).enroll(&customer("ada")).await?;
    let [subject, tenant] =
        [SlotId::Subject(customers.id().clone(), customers.tag(&customer("ada")).await?), SlotId::Tenant(acme.clone())];
    let before = [load(&vault, subject.clone()).await?, load(&vault, tenant).await?];
    let put_back = async |old: &StoredSlot| -> Result<()> {
        let now = load(&vault, old.id().clone()).await?;
        Ok(vault.0.store.put(old, Expected::Revision(now.revision())).await?)
    };
    let is_settling = async || -> Result<bool> { Ok(root::reload(&vault.0).await?.1.settling.is_some()) };

    customers.erase(&customer("ada"), &request).await?;
    vault.erase_tenant(&acme, &request).await?;
    ports.vault().await?; // finds it applied
    customers.erase(&customer("ada"), &request).await?;
    vault.erase_tenant(&acme, &request).await?;
    assert!(is_settling().await?, "nothing was back");

    put_back(&before[0]).await?;
    customers.erase(&customer("ada"), &request).await?;
    assert!(!is_settling().await?);
    ports.vault().await?;
    put_back(&before[1]).await?;
    assert!(is_settling().await?);
    vault.erase_tenant(&acme, &request).await?;
    assert!(!is_settling().await?);
    ports.vault().await?;
    put_back(&before[0]).await?;
    assert!(is_settling().await?);
    vault.replay_journal().await?;
    let slot = root::reload(&vault.0).await?.1;
    let (point, _) = slot.settling.unwrap();
    assert_eq!((point, point.position), (slot.applied, slot.applied.position), "it began when all was destroyed again");
    assert_eq!(load(&vault, subject).await?.epoch(), None);
    Ok(())
}

/// As one does that knows what the entry says.
#[tokio::test]
async fn what_a_later_process_has_taken_in_is_met_all_the_same() -> Result<()> {
    let (ports, clock) = (Ports::new()?, HandClock::at(NOW));
    let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).kinds(["customer"]).clock(clock.clone());
    let vault = builder.journal(ports.journal.clone()).build().await?;
    let customers = vault.default_tenant();
    let keys = customers.enroll(&customer("ada")).await?;
    customers.enroll(&customer("ben")).await?;
    let about = SlotId::Subject(customers.id().clone(), customers.tag(&customer("ada")).await?);
    vault.0.append(&about, 0, &JournalEvent::Unknown { number: 40, bytes: vec![] }).await?;
    let head = ports.journal.head().await?;
    let (stored, mut slot) = root::reload(&vault.0).await?;
    slot.apply(Point { position: head.position(), hash: *head.hash() });
    vault.0.store.put(&slot.seal(&vault.0.root)?, Expected::Revision(stored.revision())).await?;

    let now = NOW + u64::try_from(vault.max_age().as_millis()).unwrap();
    clock.set(now, now);
    let is_newer =
        |e: &Error| matches!(e, Error::Journal(e) if e.kind() == crate::error::JournalErrorKind::NewerSchema);
    for _ in 0..2 {
        assert!(customers.keys(&customer("ada")).await.is_err_and(|e| is_newer(&e)));
        assert!(seal(&keys).is_err());
        customers.keys(&customer("ben")).await?;
        // A sweep compares everything anew.
        assert!(matches!(&vault.erase_due().await?.failed[..], [(failed, e)] if *failed == about && is_newer(e)));
    }
    Ok(())
}

/// Nothing is believed of it, and no provider asked to unwrap what it holds.
#[tokio::test]
async fn a_tenants_slot_of_another_store_leaves_nothing_behind() -> Result<()> {
    let other = Ports::new()?;
    let vault = other.vault().await?;
    for tenant in ["a", "b", "c", "d"] {
        vault.tenant(&TenantId::new(tenant)?).enroll(&customer("ada")).await?;
    }
    vault.default_tenant().enroll(&customer("ada")).await?;
    let id = SlotId::Tenant(TenantId::default_tenant());
    let genuine = load(&vault, id.clone()).await?;
    let foreign = vault.default_tenant().cached.state(&vault.0).await?.unwrap();
    let mut does_not_unwrap = TenantSlot::open(&genuine, &foreign.root)?;
    let wrapped = &does_not_unwrap.root.wrapped;
    does_not_unwrap.root.wrapped = crate::keys::WrappedKey::new(wrapped.master().clone(), vec![7; 98])?;

    for planted in [genuine, does_not_unwrap.seal(&TenantId::default_tenant(), &foreign.root)?] {
        let ports = Ports { provider: other.provider.clone(), ..Ports::new()? };
        ports.vault().await?.default_tenant().enroll(&customer("ada")).await?;
        let vault = ports.vault().await?;
        let own = load(&vault, id.clone()).await?;
        vault.0.store.put(&planted, Expected::Revision(own.revision())).await?;
        let refused = vault.default_tenant().keys(&customer("ada")).await;
        assert!(matches!(&refused, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt), "{refused:?}");
        vault.0.store.put(&own, Expected::Revision(planted.revision())).await?;
        vault.default_tenant().keys(&customer("ada")).await?;
        vault.default_tenant().erase(&customer("ada"), &crate::vault::ErasureRequest::new()).await?;
    }
    Ok(())
}

/// Also one that the slot was not written after, because whoever entered it crashed, or because it came after the write.
#[tokio::test]
async fn a_slot_whose_copies_are_looked_at_names_the_last_entry() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    let only_billing = crate::vault::ErasureRequest::new().purpose(Purpose::new("billing")?);
    customers.erase(&customer("ada"), &only_billing).await?;
    let ben = customers.tag(&customer("ben")).await?;
    for event in [JournalEvent::Held, JournalEvent::Released] {
        customers.decide(&ben, 0, |_| Ok((Some(event.clone()), ()))).await?;
    }
    let told = async |subject: &str| -> Result<u64> {
        let mut told = 0;
        edit(&vault, subject, |slot| told = slot.told).await?;
        Ok(told)
    };
    let last = async |of: &dyn Fn(&JournalEvent) -> bool| -> Result<u64> {
        let entries = ports.journal.read(0, 1000).await?;
        Ok((1..).zip(&entries).filter(|(_, entry)| of(entry.event())).map(|(n, _)| n).last().unwrap_or(0))
    };
    let done = last(&|e| matches!(e, JournalEvent::ErasureDone { .. })).await?;
    assert!(told("ada").await? < done);
    assert_eq!(told("ben").await?, 0);
    customers.release(&customer("ada")).await?; // nothing is held, and nothing entered
    customers.release(&customer("ben")).await?;
    assert_eq!(told("ada").await?, done);
    assert_eq!(told("ben").await?, last(&|e| *e == JournalEvent::Released).await?);
    let slots = async || -> Result<_> { Ok(ports.store.scan(&Scan::new(Filter::All)).await?.slots) };
    let before = slots().await?;
    customers.release(&customer("ben")).await?;
    assert_eq!(slots().await?, before, "nothing is written again");
    // While an erasure is intended, what carries it out names it: whoever looks meanwhile does not write.
    let lines = vec![crate::journal::ErasedLine::new(Purpose::new("default")?, 1)];
    let intended = JournalEvent::ErasureIntended { whole: false, known: true, lines };
    customers.decide(&ben, 0, |_| Ok((Some(intended.clone()), ()))).await?;
    customers.release(&customer("ben")).await?;
    assert_eq!(slots().await?, before);
    Ok(())
}

#[tokio::test]
async fn an_adoption_goes_on_past_what_a_stranger_appended() -> Result<()> {
    let ports = Ports::new()?;
    let builder = |store: Arc<MemoryStore>| Vault::builder(ports.provider.clone(), store).kinds(["customer"]);
    let envelope = {
        let vault = builder(ports.store.clone()).without_journal().build().await?;
        seal(&vault.default_tenant().enroll(&customer("ada")).await?)?
    };
    let copy = Arc::new(all(&ports.store).await?);
    builder(copy).journal(ports.journal.clone()).build().await?;
    let adoption = ports.journal.read(0, 100).await?;
    assert!(adoption.len() > 3);
    let journal = async |entries: &[JournalEntry]| -> Result<Arc<MemoryJournal>> {
        let journal = Arc::new(MemoryJournal::new()?);
        for entry in entries {
            journal.append(entry, &journal.head().await?).await?;
        }
        Ok(journal)
    };
    let stranger = JournalEntry::store_wide(NOW_AT, JournalEvent::MaxAgeRaised { millis: 1 });
    // Before the beginning it may be another store's journal.
    for others in [vec![stranger.clone()], vec![stranger.clone(), adoption[0].clone()]] {
        let refused = builder(ports.store.clone()).journal(journal(&others).await?).build().await;
        assert!(matches!(refused, Err(Error::StoreBehindJournal { .. })));
    }
    // It crashed behind its second entry.
    let begun = [&adoption[..2], &[stranger]].concat();
    let begun = journal(&begun).await?;
    let vault = builder(ports.store.clone()).journal(begun.clone()).build().await?;
    assert!(vault.default_tenant().keys(&customer("ada")).await?.open_bytes(&envelope, &context("default")).is_ok());
    assert_eq!(vault.passed_over().positions, [3]);
    let events = |entries: &[JournalEntry]| entries.iter().map(|entry| entry.event().clone()).collect::<Vec<_>>();
    let mut entered = events(&begun.read(0, 100).await?);
    entered.remove(2);
    assert_eq!(entered, events(&adoption));
    let audit = vault.audit_journal(|_| ()).await?;
    assert!(audit.unclear.is_empty(), "each names the one before it");
    Ok(())
}

const NOW_AT: crate::clock::Timestamp = crate::clock::Timestamp::from_millis(NOW);

#[tokio::test]
async fn a_slot_of_a_later_version_stops_nobody_else() -> Result<()> {
    let ports = Ports::new()?;
    let vault = ports.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    customers.hold(&customer("ada")).await?;
    customers.release(&customer("ada")).await?; // what the journal tells of her is compared with her slot
    let state = customers.cached.state(&vault.0).await?.unwrap();
    let id = SlotId::Subject(customers.id().clone(), customers.tag(&customer("ada")).await?);
    let stored = load(&vault, id.clone()).await?;
    let later = as_later_version(&stored, &state.root);
    vault.0.store.put(&later, Expected::Revision(stored.revision())).await?;

    let is_newer = |e: &Error| matches!(e, Error::Store(e) if e.kind() == StoreErrorKind::NewerSchema);
    let fresh = ports.vault().await?;
    let customers = fresh.default_tenant();
    assert!(customers.keys(&customer("ada")).await.is_err_and(|e| is_newer(&e)));
    assert!(customers.erase(&customer("ada"), &crate::vault::ErasureRequest::new()).await.is_err_and(|e| is_newer(&e)));
    let page = customers.keys_of(&["ada", "ben"].map(customer)).await?;
    assert!(page.get(&customer("ada")).is_err_and(|e| is_newer(&e)) && page.get(&customer("ben")).is_ok());
    ports.provider.add_key().await?;
    fresh.advance_epoch().await?;
    let page = fresh.rewrap_page(None, 100).await?;
    assert_eq!(page.moved, 1, "ben's");
    assert!(matches!(&page.failed[..], [(failed, e)] if *failed == id && is_newer(e)));
    assert!(
        matches!(fresh.retire_epoch(Epoch::FIRST).await, Err(Error::EpochInUse { slots: 1, unverified: 0 })),
        "and it counts"
    );
    assert_eq!(load(&fresh, id).await?, later, "nobody wrote over it");
    Ok(())
}

/// Does something to many subjects, a quarter of `max_age` for each twentieth of them: what the process keeps of them in
/// the end, live and cached, in twentieths.
async fn kept_after(subjects: i64, call: impl AsyncFn(&Tenant, i64) -> Result<()>) -> Result<(usize, usize)> {
    let (ports, clock, mut now) = (Ports::new()?, HandClock::at(NOW), NOW);
    let builder = Vault::builder(ports.provider.clone(), ports.store.clone()).kinds(["customer"]).clock(clock.clone());
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
    let (live, cached) =
        kept_after(10_000, async |customers, n| customers.enroll(&customer(n)).await.map(drop)).await?;
    assert!(live <= 6 && cached <= 6, "{live} and {cached} twentieths");
    Ok(())
}

#[tokio::test]
async fn a_process_that_only_erases_keeps_no_more_than_max_age_brings() -> Result<()> {
    let request = crate::vault::ErasureRequest::new().even_if_unknown();
    let (live, cached) =
        kept_after(2000, async |customers, n| customers.erase(&customer(n), &request).await.map(drop)).await?;
    assert!(live <= 6 && cached == 0, "{live} and {cached} twentieths");
    Ok(())
}
