//! Crashes and restored backups: what is finished, what is refused, what a replay does.

use fieldseal::journal::ErasureJournal;
use fieldseal::vault::Enrollment;
use fieldseal::vault::ErasureStatus;
use fieldseal_testkit::faults::Gate;
use futures_util::FutureExt as _;

use super::*;

tests![
    a_restored_backup_does_not_undo_an_erasure
    a_backup_older_than_the_subject_gets_its_tombstone
    a_purpose_that_the_erasure_did_not_know_is_destroyed_too
    a_replay_never_destroys_a_higher_line
    a_line_is_above_what_the_journal_says_was_erased
    holds_and_schedules_come_back_with_a_replay
    a_hold_that_only_the_journal_knows_of_stands
    an_intent_without_done_is_finished_by_the_next_vault
    a_tombstone_without_done_is_completed_by_the_next_vault
    an_enrollment_finishes_what_crashed_before_it_answers
    a_journal_that_lacks_what_the_store_has_seen_is_refused
    a_restore_under_a_running_process_is_noticed_within_max_age
    an_erasure_a_process_never_saw_is_missed_after_a_restore
    a_store_that_went_back_with_nothing_erased_is_noticed_too
    a_writer_from_before_a_restore_overwrites_nothing
    a_single_slot_that_was_restored_by_hand_takes_a_full_replay
    erasing_again_mends_what_came_back
    finality_counts_the_master_keys_that_the_journal_names
    an_erased_tenant_is_erased_again_after_a_restore
    a_tenant_the_backup_lacks_gets_a_new_root_by_a_replay_alone
    another_process_has_max_age_to_finish_its_erasure
    a_look_destroys_what_lives_once_and_buries_nobody
    ; in memory: whoever_finishes_an_erasure_spares_who_was_enrolled_again
    builds_go_on_where_everything_has_settled
];

async fn behind(world: &World) -> Result<u64> {
    match world.vault().await {
        Err(Error::StoreBehindJournal { missing }) => Ok(missing),
        Err(e) => Err(e),
        Ok(_) => Ok(0),
    }
}

async fn replay(world: &World) -> Result<(Tenant, fieldseal::vault::ReplayReport)> {
    let (vault, replayed) = world.builder().replay().await?;
    Ok((vault.default_tenant(), replayed))
}

async fn a_restored_backup_does_not_undo_an_erasure(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let (ada, ben) =
        (seal(&customers.enroll(&customer("ada")).await?)?, seal(&customers.enroll(&customer("ben")).await?)?);
    let backup = world.store.backup().await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    drop(customers);
    world.store.restore(backup);
    assert_eq!(behind(&world).await?, 1);
    assert_eq!(behind(&world).await?, 1, "asking again changes nothing");
    let (customers, replayed) = replay(&world).await?;
    assert_eq!(replayed.erasures, 1);
    assert!(
        is_erased(&customers.keys(&customer("ada")).await)
            && is_erased(&world.tenant().await?.enroll(&customer("ada")).await)
    );
    assert!(open(&customers.keys(&customer("ben")).await?, &ben)?);
    assert!(open(&customers.keys(&customer("ben")).await?, &ada).is_err());
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    assert_eq!(behind(&world).await?, 0);
    Ok(())
}

async fn a_backup_older_than_the_subject_gets_its_tombstone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    drop(customers);
    world.store.restore(backup);
    assert_eq!(behind(&world).await?, 1, "else she would be enrolled again as if new");
    let (customers, _) = replay(&world).await?;
    assert!(is_erased(&customers.enroll(&customer("ada")).await));
    Ok(())
}

async fn a_purpose_that_the_erasure_did_not_know_is_destroyed_too(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let narrow = world.clone().purposes(Vec::<String>::new());
    narrow.tenant().await?.enroll(&customer("ada")).await?;
    let older = world.store.backup().await?;
    let billing = seal_for(&world.tenant().await?.enroll(&customer("ada")).await?, "billing")?;
    let newer = world.store.backup().await?;
    // The store forgets her billing, which the journal never told of; then she is erased.
    world.store.restore(older);
    let receipt = narrow.tenant().await?.erase(&customer("ada"), &whole()).await?;
    assert_eq!(receipt.purposes().len(), 1);
    world.store.restore(newer);
    assert_eq!(behind(&world).await?, 1);
    let (customers, replayed) = replay(&world).await?;
    assert_eq!(replayed.erasures, 1);
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    world.pass_old_keys();
    let keys = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    assert!(matches!(open_for(&keys, &billing, "billing"), Err(Error::PurposeErased { .. })));
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    assert_eq!(behind(&world).await?, 0);
    Ok(())
}

async fn a_replay_never_destroys_a_higher_line(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let first = world.store.backup().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    world.pass_old_keys();
    let envelope = seal(&customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?)?;
    let second = world.store.backup().await?;
    drop(customers);
    // The backup knows line 2: nothing is missing, and a replay leaves it.
    world.store.restore(second);
    let (customers, replayed) = replay(&world).await?;
    assert_eq!(replayed.erasures, 0);
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    drop(customers);
    // The older one knows line 1: that is destroyed; line 2 is lost with the store, and its number is not taken again.
    world.store.restore(first);
    assert_eq!(behind(&world).await?, 1);
    let (customers, _) = replay(&world).await?;
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    world.pass_old_keys();
    let keys = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    assert!(open(&keys, &envelope).is_err());
    let lines = world.events().await?.into_iter().filter_map(|event| match event {
        JournalEvent::Reenrolled { line, .. } => Some(line),
        _ => None,
    });
    assert_eq!(lines.max(), Some(3));
    drop(customers);
    assert_eq!(behind(&world).await?, 0, "and nothing takes it for the erased one");
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &seal(&keys)?)?);
    Ok(())
}

async fn a_line_is_above_what_the_journal_says_was_erased(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    // Erased without ever having been enrolled: no other entry names her line.
    customers.erase(&customer("ada"), &whole().even_if_unknown()).await?;
    drop(customers);
    world.store.restore(backup);
    let (customers, _) = replay(&world).await?;
    let keys = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    drop(customers);
    assert_eq!(behind(&world).await?, 0);
    assert!(
        open(&world.tenant().await?.keys(&customer("ada")).await?, &seal(&keys)?)?,
        "line 2 is no line that was erased"
    );
    Ok(())
}

async fn holds_and_schedules_come_back_with_a_replay(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let at = world.later(Duration::from_secs(1000));
    let mut sealed = Vec::new();
    for subject in ["ada", "ben", "cy", "dee"] {
        sealed.push(seal(&customers.enroll(&customer(subject)).await?)?);
    }
    customers.hold(&customer("cy")).await?;
    customers.schedule_erasure(&customer("dee"), at).await?;
    let backup = world.store.backup().await?;
    customers.hold(&customer("ada")).await?;
    customers.schedule_erasure(&customer("ben"), at).await?;
    customers.release(&customer("cy")).await?;
    customers.cancel_erasure(&customer("dee")).await?;
    drop(customers);
    world.store.restore(backup);
    // None of it is an erasure, so the next vault puts it right by itself.
    let customers = world.tenant().await?;
    assert!(is_closed(&customers.keys(&customer("ben")).await));
    assert!(open(&customers.keys(&customer("dee")).await?, &sealed[3])?);
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    customers.erase(&customer("cy"), &whole()).await?;
    world.clock.advance(Duration::from_secs(1000));
    assert_eq!(customers.vault().erase_due().await?.receipts.len(), 1, "ben's");
    Ok(())
}

async fn a_hold_that_only_the_journal_knows_of_stands(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let unheld = world.store.backup().await?;
    customers.hold(&customer("ada")).await?;
    // Under the running process: the slot says nothing of a hold.
    world.store.restore(unheld);
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    assert!(customers.keys(&customer("ada")).await.is_ok());
    Ok(())
}

async fn an_intent_without_done_is_finished_by_the_next_vault(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let alive = world.store.backup().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    drop(customers);
    // What a crash behind the intent leaves: the journal without its last entry, the store as it was.
    let shorter = without_last(&world).await?;
    let world = world.with_journal(shorter);
    world.store.restore(alive);
    let customers = world.tenant().await?;
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    assert!(matches!(world.events().await?.last(), Some(JournalEvent::ErasureDone { .. })));
    Ok(())
}

async fn a_tombstone_without_done_is_completed_by_the_next_vault(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    drop(customers);
    let tombstone = world.subjects().await?.remove(0);
    let shorter = without_last(&world).await?;
    let world = world.with_journal(shorter);
    world.tenant().await?;
    assert!(matches!(world.events().await?.last(), Some(JournalEvent::ErasureDone { .. })));
    assert_eq!(world.subjects().await?.remove(0).revision(), tombstone.revision(), "and is not written again");
    Ok(())
}

async fn an_enrollment_finishes_what_crashed_before_it_answers(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let running = world.tenant().await?;
    running.enroll(&customer("ben")).await?;
    intend(&world, "ada").await?;
    let tail = world.events().await?.len();
    assert!(is_erased(&running.enroll(&customer("ada")).await), "her tombstone is on its way");
    assert!(matches!(&world.events().await?[tail..], [JournalEvent::ErasureDone { .. }]));
    let keys = running.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &seal(&keys)?)?);
    Ok(())
}

/// What a process leaves that dies behind the intent of an erasure: the entry of one that another world carries out.
async fn intend(world: &World, subject: &str) -> Result {
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in world.entries().await? {
        journal.append(&entry, &journal.head().await?).await?;
    }
    let twin = world.clone().with_backup(world.store.backup().await?).with_journal(journal);
    twin.tenant().await?.erase(&customer(subject), &whole().even_if_unknown()).await?;
    let entries = twin.entries().await?;
    let intent = |entry: &&JournalEntry| matches!(entry.event(), JournalEvent::ErasureIntended { .. });
    let intent = entries.iter().rev().find(intent).unwrap();
    world.scribe().enter(intent).await?;
    Ok(())
}

/// The journal as it was before its last entry: a crash came between.
async fn without_last(world: &World) -> Result<MemoryJournal> {
    let entries = world.entries().await?;
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in entries.iter().rev().skip(1).rev() {
        journal.append(entry, &journal.head().await?).await?;
    }
    Ok(journal)
}

async fn a_journal_that_lacks_what_the_store_has_seen_is_refused(on: &Ground) -> Result {
    let world = world_on(on).await?;
    world.tenant().await?.erase(&customer("ada"), &whole().even_if_unknown()).await?;
    world.vault().await?; // which sees it applied
    let shorter = without_last(&world).await?;
    let shorter = world.with_journal(shorter);
    assert!(matches!(shorter.vault().await, Err(Error::JournalTruncated)));
    assert!(matches!(replay(&shorter).await, Err(Error::JournalTruncated)));
    // As long, and another: its last entry was replaced.
    let entry = JournalEntry::store_wide(shorter.later(MAX_AGE), JournalEvent::MaxAgeRaised { millis: 1 });
    shorter.journal.append(&entry, &shorter.journal.head().await?).await?;
    assert!(matches!(shorter.vault().await, Err(Error::JournalTruncated)));
    shorter.journal.append(&entry, &shorter.journal.head().await?).await?;
    assert!(matches!(shorter.vault().await, Err(Error::JournalTruncated)), "longer, and another before");
    Ok(())
}

async fn a_restore_under_a_running_process_is_noticed_within_max_age(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (running, eraser) = (world.tenant().await?, world.tenant().await?);
    let envelope = seal(&running.enroll(&customer("ada")).await?)?;
    let backup = world.store.backup().await?;
    eraser.erase(&customer("ada"), &whole()).await?;
    drop(eraser);
    world.pass_max_age();
    assert!(is_erased(&running.keys(&customer("ada")).await));
    world.store.restore(backup);
    let unnoticed = running.keys(&customer("ada")).await?; // the second line is not the first
    assert!(open(&unnoticed, &envelope)?);
    world.pass_max_age();
    for _ in 0..2 {
        assert!(matches!(running.keys(&customer("ada")).await, Err(Error::StoreBehindJournal { .. })));
        assert!(matches!(running.enroll(&customer("ben")).await, Err(Error::StoreBehindJournal { .. })));
    }
    assert!(open(&unnoticed, &envelope).is_err());
    Ok(())
}

async fn an_erasure_a_process_never_saw_is_missed_after_a_restore(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (running, eraser) = (world.tenant().await?, world.tenant().await?);
    running.enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    eraser.erase(&customer("ada"), &whole()).await?;
    drop(eraser);
    // `applied` is as it was: only what the journal tells after it gives the restore away.
    world.store.restore(backup);
    world.pass_max_age();
    assert!(matches!(running.keys(&customer("ada")).await, Err(Error::StoreBehindJournal { missing: 1 })));
    Ok(())
}

async fn a_store_that_went_back_with_nothing_erased_is_noticed_too(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let running = world.tenant().await?;
    running.enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    running.hold(&customer("ada")).await?;
    running.release(&customer("ada")).await?;
    world.pass_max_age();
    running.keys(&customer("ada")).await?; // sees that much applied
    world.store.restore(backup);
    world.pass_max_age();
    assert!(matches!(running.keys(&customer("ada")).await, Err(Error::StoreBehindJournal { .. })));
    world.tenant().await?; // a new one begins from what is there
    Ok(())
}

async fn a_writer_from_before_a_restore_overwrites_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let old = world.subjects().await?.remove(0);
    let backup = world.store.backup().await?;
    customers.rotate_now(&customer("ada")).await?;
    let seen = world.subjects().await?.remove(0);
    world.store.restore(backup);
    customers.rotate_now(&customer("ada")).await?; // another second version
    let current = world.subjects().await?.remove(0);
    assert_ne!(current.revision(), seen.revision(), "a revision never comes again");
    assert!(world.store.put(&old, Expected::Revision(seen.revision())).await.is_err());
    Ok(())
}

async fn a_single_slot_that_was_restored_by_hand_takes_a_full_replay(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    let live = world.subjects().await?.remove(0);
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    world.settle().await?;
    let tombstone = world.subjects().await?.remove(0);
    world.store.put(&live, Expected::Revision(tombstone.revision())).await?;
    assert_eq!(behind(&world).await?, 0, "nothing looks before `settled`");
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Undone { .. }), "but the receipt tells");
    let vault = world.vault().await?;
    assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, &envelope)?);
    assert_eq!(vault.replay_journal().await?.erasures, 1);
    assert!(is_erased(&vault.default_tenant().keys(&customer("ada")).await));
    Ok(())
}

async fn erasing_again_mends_what_came_back(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    customers.erase(&customer("ada"), &whole()).await?;
    let tombstone = world.subjects().await?.remove(0);
    world.store.put(&live, Expected::Revision(tombstone.revision())).await?;
    let done = |events: Vec<JournalEvent>| {
        events.iter().filter(|event| matches!(event, JournalEvent::ErasureDone { .. })).count()
    };
    assert_eq!(done(world.events().await?), 1);
    customers.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    assert_eq!(done(world.events().await?), 2, "a later master key may have wrapped what came back");
    Ok(())
}

async fn finality_counts_the_master_keys_that_the_journal_names(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let first = world.store.backup().await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    // A backup taken here has her keys under the second master key. The store goes back to the first.
    drop(vault);
    world.store.restore(first);
    let receipt = world.tenant().await?.erase(&customer("ada"), &whole()).await?;
    let epochs: Vec<u32> = receipt.master_keys().iter().map(|master| master.epoch.get()).collect();
    assert_eq!(epochs, [1, 2]);
    Ok(())
}

async fn an_erased_tenant_is_erased_again_after_a_restore(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let acme = fieldseal::TenantId::new("acme")?;
    vault.tenant(&acme).enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    vault.erase_tenant(&acme, &whole()).await?;
    drop(vault);
    world.store.restore(backup);
    assert_eq!(behind(&world).await?, 1);
    let (vault, replayed) = world.builder().replay().await?;
    assert_eq!(replayed.tenants, 1);
    assert!(matches!(vault.tenant(&acme).keys(&customer("ada")).await, Err(Error::TenantErased { .. })));
    assert_eq!(behind(&world).await?, 0);
    Ok(())
}

async fn a_tenant_the_backup_lacks_gets_a_new_root_by_a_replay_alone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let acme = fieldseal::TenantId::new("acme")?;
    let empty = world.store.backup().await?;
    let envelope = seal(&vault.tenant(&acme).enroll(&customer("ada")).await?)?;
    let full = world.store.backup().await?;
    vault.tenant(&acme).erase(&customer("ben"), &whole().even_if_unknown()).await?;
    drop(vault);
    world.store.restore(empty);
    assert_eq!(behind(&world).await?, 1, "the tenant's root is lost");
    let (vault, replayed) = world.builder().replay().await?;
    assert_eq!((replayed.roots_lost, replayed.erasures), (1, 0));
    let keys = vault.tenant(&acme).enroll(&customer("ada")).await?;
    assert!(open(&keys, &envelope).is_err(), "her old keys are lost with the store");
    drop(vault);
    assert_eq!(behind(&world).await?, 0);
    // A later backup with the root that was given up is not taken for the store.
    world.store.restore(full);
    let vault = world.vault().await;
    let refused = match vault {
        Ok(vault) => vault.tenant(&acme).keys(&customer("ada")).await.map(drop),
        Err(e) => Err(e),
    };
    assert!(refused.is_err());
    Ok(())
}

async fn another_process_has_max_age_to_finish_its_erasure(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let running = vault.default_tenant();
    running.enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    world.pass_max_age();
    intend(&world, "ada").await?;
    let intended = world.events().await?.len();
    let _ = running.keys(&customer("somebody else")).await; // looks again
    assert_eq!(world.subjects().await?.remove(0).revision(), live.revision(), "whoever intends it is at it");
    world.pass_max_age();
    let _ = running.keys(&customer("somebody else")).await;
    assert!(is_erased(&running.keys(&customer("ada")).await), "it did not come to it");
    assert_eq!(
        world.events().await?.len(),
        intended,
        "and is done when the store was scrubbed, which a look doesn't wait for"
    );
    assert!(vault.erase_due().await?.failed.is_empty());
    assert!(matches!(&world.events().await?[intended..], [JournalEvent::ErasureDone { .. }]));
    Ok(())
}

/// Whoever asks for keys waits for a look. What it finds destroyed, and not said to be done, is nothing to do.
async fn a_look_destroys_what_lives_once_and_buries_nobody(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let vault = world.tapped(&tap).build().await?;
    let (acme, customers) = (vault.tenant(&acme()), vault.default_tenant());
    for subject in ["ada", "ben", "cy"] {
        acme.enroll(&customer(subject)).await?;
        customers.enroll(&customer(subject)).await?;
    }
    intend(&world, "ada").await?;
    let intended = JournalEvent::TenantErasureIntended { known: true };
    world.scribe().enter(&JournalEntry::of_tenant(world.clock.wall(), acme.id().clone(), intended)).await?;
    let calls = Arc::new(Mutex::new(Vec::new()));
    let called = calls.clone();
    tap.set(move |call| {
        if !call.is_over() {
            called.lock().unwrap().push(call.method);
        }
        Act::Go
    });
    let count = |method: &str| calls.lock().unwrap().iter().filter(|called| **called == method).count();

    world.pass_max_age();
    customers.keys(&customer("ben")).await?;
    assert_eq!((count("put"), count("scan"), count("scrub")), (2, 0, 0), "the subject's slot, and the tenant's");
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    assert!(matches!(acme.keys(&customer("ben")).await, Err(Error::TenantErased { .. })));
    let buried = |slots: &[StoredSlot]| slots.iter().filter(|slot| slot.epoch().is_none()).count();
    assert_eq!(buried(&world.subjects().await?), 1);

    // The next looks, as often as nobody sweeps.
    for subject in ["dan", "eve", "fay"] {
        let held = customers.enroll(&customer(subject)).await?;
        let envelope = seal(&held)?;
        calls.lock().unwrap().clear();
        world.clock.advance(MAX_AGE / 2 + millis(1));
        customers.keys(&customer("ada")).await.unwrap_err();
        assert!(count("head") > 0, "it looked");
        assert_eq!((count("put"), count("scan"), count("scrub")), (0, 0, 0));
        assert!(open(&held, &envelope)?, "and ended nobody's keys");
    }
    assert!(vault.erase_due().await?.failed.is_empty());
    assert_eq!(buried(&world.subjects().await?), 4, "ada, and who was the tenant's");
    let events = world.events().await?;
    let is_done = |event: &JournalEvent| {
        matches!(event, JournalEvent::ErasureDone { .. } | JournalEvent::TenantErasureDone { .. })
    };
    assert_eq!(events.iter().filter(|event| is_done(event)).count(), 2, "{events:?}");
    Ok(())
}

/// A sweep that finds an intent stands still at each of its calls, while whoever intended it finishes it himself.
async fn whoever_finishes_an_erasure_spares_who_was_enrolled_again(on: &Ground) -> Result {
    for n in 0.. {
        let (world, tap, gate) = (world_on(on).await?, Tap::open(), Gate::new());
        let (sweeps, customers) = (world.tapped(&tap).build().await?, world.tenant().await?);
        customers.enroll(&customer("ada")).await?;
        intend(&world, "ada").await?;
        let parked = gate.clone();
        tap.set(move |call| if call.number == n && !call.is_over() { Act::Park(parked.clone()) } else { Act::Go });
        let mut sweep = std::pin::pin!(sweeps.erase_due());
        if let Some(swept) = (&mut sweep).now_or_never() {
            assert!(n > 10 && swept?.failed.is_empty());
            break;
        }
        customers.erase(&customer("ada"), &whole()).await?;
        world.pass_old_keys();
        let envelope = seal(&customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?)?;
        gate.open();
        match sweep.await {
            Err(Error::JournalAhead { .. }) => {} // it stood still between its look at the clock and that at the journal
            swept => assert!(swept?.failed.is_empty()),
        }
        for customers in [&customers, &world.tenant().await?] {
            assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?, "call {n}");
        }
    }
    Ok(())
}

async fn builds_go_on_where_everything_has_settled(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    for n in 1..=50i64 {
        customers.erase(&customer(n), &whole().even_if_unknown()).await?;
    }
    let read = async || -> Result<Vec<u64>> {
        let journal = Arc::new(Watched { journal: world.journal.clone(), read: Mutex::default() });
        let builder = Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]);
        builder.clock(world.clock.clone()).journal(journal.clone()).purposes(["billing"]).build().await?;
        let read = journal.read.lock().unwrap().clone();
        Ok(read)
    };
    // The first page, where the root stands, is read in any case.
    world.vault().await?;
    assert_eq!(read().await?, [0, 0], "a backup of today may have an older slot beside what is applied");
    world.settle().await?;
    assert_eq!(read().await?, [0]);
    Ok(())
}

/// Remembers where it was read from.
#[derive(Debug)]
struct Watched {
    journal: Arc<dyn ErasureJournal>,
    read: Mutex<Vec<u64>>,
}

type JournalResult<T> = std::result::Result<T, fieldseal::journal::JournalError>;

#[async_trait::async_trait]
impl ErasureJournal for Watched {
    async fn id(&self) -> JournalResult<fieldseal::journal::JournalId> {
        self.journal.id().await
    }

    async fn head(&self) -> JournalResult<fieldseal::journal::Head> {
        self.journal.head().await
    }

    async fn append(
        &self,
        entry: &JournalEntry,
        expected: &fieldseal::journal::Head,
    ) -> JournalResult<fieldseal::journal::Head> {
        self.journal.append(entry, expected).await
    }

    async fn read(&self, from: u64, limit: usize) -> JournalResult<Vec<JournalEntry>> {
        self.read.lock().unwrap().push(from);
        self.journal.read(from, limit).await
    }

    async fn read_of(
        &self,
        tenant: Option<&fieldseal::TenantId>,
        tag: Option<&fieldseal::store::Tag>,
        up_to: &fieldseal::journal::Head,
    ) -> JournalResult<Vec<fieldseal::journal::EntryAt>> {
        self.journal.read_of(tenant, tag, up_to).await
    }
}
