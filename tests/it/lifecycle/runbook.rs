//! What `docs/restore.md` and `SECURITY.md` tell operators and no other test holds.

use fieldseal::Retry;
use fieldseal::envelope::KeyId;
use fieldseal::error::{JournalErrorKind, ProviderErrorKind};
use fieldseal::journal::ErasedLine;
use fieldseal::vault::Enrollment;

use super::*;

tests![
    after_a_restore_new_tenants_wait_for_the_next_advance
    keys_made_since_the_backup_are_lost_and_said_to_be
    retention_periods_and_max_age_are_those_of_the_backup
    a_lost_journal_end_is_noticed_where_a_slot_names_it
    whoever_writes_to_the_journal_decides_nothing
];

async fn after_a_restore_new_tenants_wait_for_the_next_advance(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    drop(vault);
    world.store.restore(backup);

    let (vault, _) = world.builder().replay().await?;
    vault.default_tenant().enroll(&customer("bob")).await?;
    let acme = vault.tenant(&TenantId::new("acme")?);
    let refused = acme.enroll(&customer("cy")).await;
    assert!(matches!(refused, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::Misconfigured));
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    acme.enroll(&customer("cy")).await?;
    Ok(())
}

async fn keys_made_since_the_backup_are_lost_and_said_to_be(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    customers.rotate_now(&customer("ada")).await?;
    let since = seal(&customers.keys(&customer("ada")).await?)?;
    let of_bob = seal(&customers.enroll(&customer("bob")).await?)?;
    drop(customers);
    world.store.restore(backup);

    let customers = world.builder().replay().await?.0.default_tenant();
    let keys = customers.keys(&customer("ada")).await?;
    assert!(matches!(open(&keys, &since), Err(Error::KeyNotHeld)));
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(open(&customers.refresh(&keys).await?, &since), Err(Error::Authentication)));
    assert!(matches!(customers.keys(&customer("bob")).await, Err(Error::SubjectUnknown)));
    let new = customers.enroll(&customer("bob")).await?;
    assert!(open(&new, &seal(&new)?)? && open(&new, &of_bob).is_err(), "new keys open nothing old");
    Ok(())
}

async fn retention_periods_and_max_age_are_those_of_the_backup(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll_with(&customer("ada"), &Enrollment::new().retain_until(world.later(MAX_AGE))).await?;
    let backup = world.store.backup().await?;
    customers.enroll_with(&customer("ada"), &Enrollment::new().retain_until(world.later(MAX_AGE * 100))).await?;
    vault.set_max_age(MAX_AGE * 2).await?;
    drop((vault, customers));
    world.store.restore(backup);

    let asked = world.builder().max_age(MAX_AGE * 2).build().await;
    assert!(matches!(asked, Err(Error::MaxAgeTooLong { limit }) if limit == MAX_AGE));
    let (vault, _) = world.builder().replay().await?;
    world.pass_max_age();
    let swept = vault.erase_due().await?;
    assert!(swept.retention_is_suspended && swept.closed == 0, "until somebody has looked through the dates");
    vault.resume_retention().await?;
    assert_eq!(vault.erase_due().await?.closed, 1);
    Ok(())
}

async fn a_lost_journal_end_is_noticed_where_a_slot_names_it(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.enroll(&customer("ben")).await?;
    drop(customers);
    world.vault().await?;
    let before = world.entries().await?;
    world.tenant().await?.erase(&customer("ada"), &whole()).await?;

    // The journal's disk is lost, and its copy is from before the erasure; the store had not seen it applied.
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in &before {
        journal.append(entry, &journal.head().await?).await?;
    }
    let whole_journal = world.journal.clone();
    let shorter = world.clone().with_journal(journal);
    let customers = shorter.tenant().await?;
    assert!(is_erased(&customers.keys(&customer("ada")).await), "the tombstone is in the store");
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::JournalTruncated)));
    // Another entry in the place of the lost one is not it.
    for _ in 0..2 {
        customers.hold(&customer("ben")).await?;
        customers.release(&customer("ben")).await?;
    }
    let error = customers.erase(&customer("ada"), &whole()).await.unwrap_err();
    assert!(matches!(&error, Error::Journal(e) if e.kind() == JournalErrorKind::Corrupt), "{error:?}");
    customers.erase(&customer("ben"), &whole()).await?;
    // Whoever puts back the journal that has every entry is told of nothing.
    let world = world.with_journal(whole_journal);
    world.tenant().await?.erase(&customer("ada"), &whole()).await?;
    Ok(())
}

/// Not by an entry about anybody, nor about a tenant or the key store. It is told of; and stops nobody.
async fn whoever_writes_to_the_journal_decides_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.enroll(&customer("ben")).await?;
    customers.hold(&customer("ben")).await?;
    let (tenant, master) = (customers.id().clone(), world.provider.current().await?);
    let [ada, ben] = [customers.tag(&customer("ada")).await?, customers.tag(&customer("ben")).await?];
    let lines = ["billing", "default"].map(|name| ErasedLine::new(Purpose::new(name).unwrap(), 1));
    let (lines, key_id, until) = (lines.to_vec(), KeyId::from_bytes([7; 24]), Epoch::FIRST);
    let at = world.later(Duration::ZERO);
    let of_subject = |tag, event| JournalEntry::of_subject(at, tenant.clone(), tag, event);
    let of_tenant = |event| JournalEntry::of_tenant(at, tenant.clone(), event);
    let forged = [
        of_subject(ada, JournalEvent::Held),
        of_subject(ben, JournalEvent::Released),
        of_subject(ada, JournalEvent::ErasureScheduled { at }),
        of_subject(ada, JournalEvent::ErasureIntended { whole: true, known: true, lines: lines.clone() }),
        of_subject(ben, JournalEvent::ErasureDone { whole: true, lines, until }),
        of_subject(ada, JournalEvent::Unknown { number: 40, bytes: vec![] }),
        of_subject(ada, JournalEvent::LaterVersion { version: 2, bytes: vec![] }),
        of_tenant(JournalEvent::TenantErasureIntended { known: true }),
        of_tenant(JournalEvent::RootLost { key_id }),
        of_tenant(JournalEvent::RootStored { key_id }),
        JournalEntry::store_wide(at, JournalEvent::RootCreated { key_id }),
        JournalEntry::store_wide(at, JournalEvent::EpochOpened { epoch: epoch(9), master }),
        JournalEntry::store_wide(at, JournalEvent::Unknown { number: 40, bytes: vec![] }),
    ];
    let mut positions = Vec::new();
    for entry in &forged {
        positions.push(world.scribe().forge(entry).await?);
    }
    // A genuine entry once more is none: it was made for its place.
    let held = world.entries().await?.into_iter().find(|entry| *entry.event() == JournalEvent::Held).unwrap();
    positions.push(world.scribe().forge(&held).await?);

    world.pass_max_age();
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?, "a running process");
    assert_eq!(vault.passed_over().positions, positions);
    let swept = vault.erase_due().await?;
    assert!(swept.failed.is_empty() && swept.receipts.is_empty());
    assert_eq!((swept.passed_over.count, swept.passed_over.positions), (positions.len() as u64, positions.clone()));
    let audit = vault.audit_journal(|_| ()).await?;
    assert_eq!((audit.passed_over.positions, audit.unclear), (positions.clone(), vec![]));
    let replayed = vault.replay_journal().await?;
    assert_eq!(replayed.passed_over.positions, positions);
    assert_eq!((replayed.erasures, replayed.flags, replayed.tenants, replayed.unclear), (0, 0, 0, 0));
    assert_eq!(vault.erasures().await?.len(), 1, "ben's hold");

    // One that starts now; what follows names what went before, and not what was forged.
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    assert!(matches!(customers.erase(&customer("ben"), &whole()).await, Err(Error::SubjectHeld)));
    customers.hold(&customer("ada")).await?;
    let held = customers.erase(&customer("ada"), &whole()).await;
    assert!(matches!(&held, Err(Error::SubjectHeld)) && held.is_err_and(|e| e.retry() == Retry::Never));
    customers.release(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    assert_eq!(advance(&world, &vault).await?, epoch(2), "the number that is next");
    let vault = world.vault().await?;
    assert!(is_erased(&vault.default_tenant().keys(&customer("ada")).await));
    assert_eq!(vault.audit_journal(|_| ()).await?.passed_over.positions, positions);
    Ok(())
}
