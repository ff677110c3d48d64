//! What a restore or a damaged slot leaves in the store: it stops nothing but what it makes impossible, and nothing is
//! promised of it that is not so.

use std::sync::atomic::{AtomicBool, Ordering};

use fieldseal::error::ProviderErrorKind;
use fieldseal::journal::ErasureJournal as _;
use fieldseal::vault::Enrollment;
use fieldseal::vault::{ErasureStatus, UndoneReason};
use fieldseal_testkit::faults::Act;

use super::*;

tests![
    what_takes_no_key_is_done_in_a_dead_epoch_too
    a_subject_in_a_dead_epoch_stops_no_build
    a_slot_that_does_not_open_stops_no_build_rewrap_or_sweep
    subjects_in_a_dead_epoch_stop_no_rewrap_or_sweep
    an_erasure_is_not_final_beside_a_backup_that_opens
    an_epoch_that_a_restore_lost_can_be_retired
    a_hold_ends_with_the_root_that_it_was_put_under
    a_schedule_of_somebody_the_backup_lacks_can_be_cancelled
    a_restore_under_a_running_process_is_in_force_after_max_age
    the_status_of_a_tenants_erasure_is_that_of_the_store_now
];

fn is_of_a_dead_key<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed)
}

/// A store that was restored from before ben left epoch 1, whose master key is destroyed; ada left it before. `since` is
/// done after the backup. Gives what ada had sealed.
async fn dead(world: &World, since: impl AsyncFnOnce(&Tenant) -> Result) -> Result<Vec<u8>> {
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.enroll(&customer("ben")).await?;
    advance(world, &vault).await?;
    customers.rotate(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    since(&customers).await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    world.store.restore(backup);
    Ok(envelope)
}

/// Whether `applied` moves when a vault is built: it stands in the vault's slot.
async fn applied_moves(world: &World) -> Result<bool> {
    let moved = Arc::new(AtomicBool::new(false));
    let seen = moved.clone();
    let tap = Tap::new(move |call| {
        seen.fetch_or(call.slot == Some(&SlotId::Vault), Ordering::SeqCst);
        Act::Go
    });
    world.tapped(&tap).build().await?;
    Ok(moved.load(Ordering::SeqCst))
}

async fn what_takes_no_key_is_done_in_a_dead_epoch_too(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let envelope = dead(&world, async |_: &Tenant| Ok(())).await?;
    let customers = world.tenant().await?;
    customers.erase(&customer("ben"), &only("billing")).await?;
    customers.hold(&customer("ben")).await?;
    assert!(matches!(customers.erase(&customer("ben"), &whole()).await, Err(Error::SubjectHeld)));
    customers.release(&customer("ben")).await?;
    customers.schedule_erasure(&customer("ben"), world.later(100 * MAX_AGE)).await?;
    assert!(is_closed(&customers.keys(&customer("ben")).await));
    customers.cancel_erasure(&customer("ben")).await?;
    assert!(is_of_a_dead_key(&customers.keys(&customer("ben")).await), "nothing of him opens");
    assert!(is_of_a_dead_key(&customers.rotate(&customer("ben")).await));
    for _ in 0..2 {
        world.pass_max_age();
        assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    }
    for customers in [world.builder().replay().await?.0.default_tenant(), world.tenant().await?] {
        assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
        customers.erase(&customer("cy"), &whole().even_if_unknown()).await?;
    }
    customers.erase(&customer("ben"), &whole()).await?;
    assert!(is_erased(&customers.keys(&customer("ben")).await));
    Ok(())
}

async fn a_subject_in_a_dead_epoch_stops_no_build(on: &Ground) -> Result {
    for held in [true, false] {
        let world = world_on(on).await?;
        let since = async |customers: &Tenant| match held {
            true => customers.hold(&customer("ben")).await,
            false => customers.erase(&customer("ben"), &only("billing")).await.map(drop),
        };
        let envelope = dead(&world, since).await?;
        for customers in [world.tenant().await?, world.builder().replay().await?.0.default_tenant()] {
            assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
            assert!(is_of_a_dead_key(&customers.keys(&customer("ben")).await), "nothing of him opens");
            customers.erase(&customer("cy"), &whole().even_if_unknown()).await?;
        }
        let customers = world.tenant().await?;
        if held {
            assert!(matches!(customers.erase(&customer("ben"), &whole()).await, Err(Error::SubjectHeld)));
            customers.release(&customer("ben")).await?;
        }
        customers.erase(&customer("ben"), &whole()).await?;
        assert!(is_erased(&world.tenant().await?.keys(&customer("ben")).await));
        world.tenant().await?.enroll(&customer("dee")).await?;
        customers.erase(&customer("dee"), &whole()).await?;
        assert!(applied_moves(&world).await?);
    }
    Ok(())
}

async fn a_slot_that_does_not_open_stops_no_build_rewrap_or_sweep(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for n in 1..=30i64 {
        let due = Enrollment::new().retain_until(world.later(millis(10)));
        vault.default_tenant().enroll_with(&customer(n), &due).await?;
    }
    let slot = world.subjects().await?.remove(0); // the first that a scan comes to
    let mut bytes = slot.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = StoredSlot::from_bytes(slot.id().clone(), bytes).unwrap();
    world.store.put(&damaged, Expected::Revision(slot.revision())).await?;
    advance(&world, &vault).await?;
    let (mut next, mut moved, mut failed) = (None, 0, Vec::new());
    loop {
        let page = vault.rewrap_page(next.as_ref(), 5).await?;
        moved += page.moved;
        failed.extend(page.failed.into_iter().map(|(id, _)| id));
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!((moved, failed.as_slice()), (29, std::slice::from_ref(slot.id())));
    assert!(matches!(vault.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 1, unverified: 1 })));
    world.clock.advance(millis(20));
    let swept = vault.erase_due().await?;
    assert_eq!((swept.closed, swept.failed.len()), (29, 1));
    world.clock.advance(DAY);
    let swept = vault.erase_due().await?;
    assert_eq!((swept.receipts.len(), swept.failed.len()), (29, 1));
    assert_eq!(swept.failed.first().map(|(id, _)| id), Some(slot.id()));
    world.vault().await?;
    world.builder().replay().await?;
    Ok(())
}

async fn subjects_in_a_dead_epoch_stop_no_rewrap_or_sweep(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let all: Vec<i64> = (1..=20).collect();
    for n in &all {
        let due = Enrollment::new().retain_until(world.later(millis(10)));
        vault.default_tenant().enroll_with(&customer(n), &due).await?;
    }
    advance(&world, &vault).await?;
    assert_eq!(vault.rewrap_page(None, 10).await?.moved, 10);
    let backup = world.store.backup().await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    world.store.restore(backup);
    let vault = world.vault().await?;
    assert_eq!(advance(&world, &vault).await?, epoch(3));
    let page = vault.rewrap_page(None, 20).await?;
    assert_eq!((page.moved, page.failed.len()), (10, 10));
    assert!(page.failed.into_iter().all(|(_, e)| is_of_a_dead_key::<()>(&Err(e))));
    world.clock.advance(millis(20));
    // Closing and erasing need no key.
    let swept = vault.erase_due().await?;
    assert_eq!((swept.closed, swept.failed.len()), (20, 0));
    world.clock.advance(DAY);
    let swept = vault.erase_due().await?;
    assert_eq!((swept.receipts.len(), swept.failed.len()), (20, 0));
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch().is_none()));
    Ok(())
}

/// The journal as far as it reaches now.
async fn journal_until_now(world: &World) -> Result<MemoryJournal> {
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in &world.entries().await? {
        journal.append(entry, &journal.head().await?).await?;
    }
    Ok(journal)
}

async fn an_erasure_is_not_final_beside_a_backup_that_opens(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ben")).await?;
    let older = world.store.backup().await?;
    let envelope = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?; // line 1 in epoch 1
    let (newer, journal) = (world.store.backup().await?, journal_until_now(&world).await?);
    world.store.restore(older);
    let vault = world.builder().replay().await?.0;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    vault.default_tenant().enroll(&customer("ada")).await?; // line 1 again, in epoch 2
    let receipt = vault.default_tenant().erase(&customer("ada"), &whole()).await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(2)).await?;
    world.pass_max_age();
    let ErasureStatus::Erased { waits_for } = vault.default_tenant().erasure_status(&receipt).await? else {
        unreachable!("the newer backup is wrapped under the first master key")
    };
    assert_eq!(waits_for.iter().map(|master| master.epoch).collect::<Vec<_>>(), [epoch(1)]);
    let now = world.store.backup().await?;
    // Whoever has that backup and can use the first master key reads her.
    world.store.restore(newer);
    let thief = world.with_journal(journal);
    assert!(open(&thief.tenant().await?.keys(&customer("ada")).await?, &envelope)?);
    thief.store.restore(now);
    vault.retire_epoch(epoch(1)).await?;
    assert!(matches!(vault.default_tenant().erasure_status(&receipt).await?, ErasureStatus::Final { .. }));
    Ok(())
}

async fn an_epoch_that_a_restore_lost_can_be_retired(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let first = world.store.backup().await?;
    assert_eq!(advance(&world, &vault).await?, epoch(2)); // lost
    world.store.restore(first);
    let vault = world.vault().await?;
    assert_eq!(advance(&world, &vault).await?, epoch(3));
    rewrap_all(&vault, 3).await?;
    let receipt = vault.default_tenant().erase(&customer("ada"), &whole()).await?;
    assert_eq!(advance(&world, &vault).await?, epoch(4));
    world.pass_max_age();
    let customers = vault.default_tenant();
    for n in 1..=3 {
        let status = customers.erasure_status(&receipt).await?;
        assert!(matches!(status, ErasureStatus::Erased { waits_for } if waits_for.len() == 4 - n));
        vault.retire_epoch(epoch(u32::try_from(n).unwrap())).await?;
    }
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Final { .. }));
    assert!(matches!(vault.retire_epoch(epoch(5)).await, Err(Error::InvalidInput(_))), "nobody ever opened it");
    Ok(())
}

async fn a_hold_ends_with_the_root_that_it_was_put_under(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let empty = world.store.backup().await?;
    let tenant = vault.tenant(&acme());
    tenant.enroll(&customer("ada")).await?;
    tenant.hold(&customer("ada")).await?;
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::SubjectHeld)));
    world.store.restore(empty);
    let (vault, replayed) = world.builder().replay().await?;
    assert_eq!(replayed.roots_lost, 1);
    let tenant = vault.tenant(&acme());
    tenant.enroll(&customer("ada")).await?; // under another tag
    tenant.hold(&customer("ada")).await?;
    assert!(matches!(vault.erase_tenant(&acme(), &whole()).await, Err(Error::SubjectHeld)), "a new one stands");
    tenant.release(&customer("ada")).await?;
    vault.erase_tenant(&acme(), &whole()).await?;
    assert!(matches!(tenant.keys(&customer("ada")).await, Err(Error::TenantErased { .. })));
    Ok(())
}

async fn a_schedule_of_somebody_the_backup_lacks_can_be_cancelled(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    customers.enroll(&customer("ada")).await?;
    customers.schedule_erasure(&customer("ada"), world.later(Duration::from_secs(5000))).await?;
    world.store.restore(backup);
    let customers = world.builder().replay().await?.0.default_tenant();
    assert!(matches!(customers.keys(&customer("ada")).await, Err(Error::SubjectUnknown)));
    assert!(is_closed(&customers.enroll(&customer("ada")).await), "she is to be erased");
    customers.cancel_erasure(&customer("ada")).await?;
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    assert!(matches!(customers.cancel_erasure(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    world.clock.advance(Duration::from_secs(6000));
    let vault = world.vault().await?;
    assert!(vault.erase_due().await?.receipts.is_empty());
    assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, &envelope)?);
    Ok(())
}

async fn a_restore_under_a_running_process_is_in_force_after_max_age(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (running, eraser) = (world.tenant().await?, world.tenant().await?);
    let envelope = seal(&running.enroll(&customer("ada")).await?)?;
    let backup = world.store.backup().await?;
    eraser.erase(&customer("ada"), &whole()).await?;
    world.pass_max_age();
    assert!(is_erased(&running.keys(&customer("ada")).await)); // it has looked just now
    world.store.restore(backup);
    world.clock.advance(MAX_AGE / 2 - millis(1));
    let keys = running.keys(&customer("ada")).await?; // the last moment before it looks again
    world.clock.advance(MAX_AGE / 2 + millis(2));
    assert!(matches!(open(&keys, &envelope), Err(Error::KeysExpired)), "no older than the look that they count on");
    assert!(matches!(running.keys(&customer("ada")).await, Err(Error::StoreBehindJournal { .. })));
    Ok(())
}

async fn the_status_of_a_tenants_erasure_is_that_of_the_store_now(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    let receipt = vault.erase_tenant(&acme(), &whole()).await?;
    let tenant = vault.tenant(&acme());
    assert!(matches!(tenant.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    world.store.restore(backup);
    let undone = ErasureStatus::Undone { reason: UndoneReason::KeysAreBack };
    assert_eq!(tenant.erasure_status(&receipt).await?, undone);
    let tenant = world.builder().replay().await?.0.tenant(&acme());
    assert!(matches!(tenant.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    Ok(())
}
