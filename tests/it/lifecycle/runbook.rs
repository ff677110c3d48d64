//! What `docs/restore.md` and `SECURITY.md` tell operators and no other test holds.

use fieldseal::Retry;
use fieldseal::error::ProviderErrorKind;
use fieldseal::journal::ErasedLine;
use fieldseal::store::Tag;
use fieldseal::vault::Enrollment;

use super::*;

tests![
    after_a_restore_new_tenants_wait_for_the_next_advance
    keys_made_since_the_backup_are_lost_and_said_to_be
    retention_periods_and_max_age_are_those_of_the_backup
    what_a_lost_journal_end_told_is_entered_by_erasing_again
    whoever_writes_to_the_journal_can_erase_and_not_read
];

async fn after_a_restore_new_tenants_wait_for_the_next_advance(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll("ada").await?;
    let backup = world.store.backup().await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    drop(vault);
    world.store.restore(backup);

    let (vault, _) = world.builder().replay().await?;
    vault.default_tenant().enroll("bob").await?;
    let acme = vault.tenant(&TenantId::new("acme")?);
    let refused = acme.enroll("cy").await;
    assert!(matches!(refused, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::Misconfigured));
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    acme.enroll("cy").await?;
    Ok(())
}

async fn keys_made_since_the_backup_are_lost_and_said_to_be(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll("ada").await?;
    let backup = world.store.backup().await?;
    customers.rotate_now("ada").await?;
    let since = seal(&customers.keys("ada").await?)?;
    let of_bob = seal(&customers.enroll("bob").await?)?;
    drop(customers);
    world.store.restore(backup);

    let customers = world.builder().replay().await?.0.default_tenant();
    let keys = customers.keys("ada").await?;
    assert!(matches!(open(&keys, &since), Err(Error::KeyNotHeld)));
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(open(&customers.refresh(&keys).await?, &since), Err(Error::Authentication)));
    assert!(matches!(customers.keys("bob").await, Err(Error::SubjectUnknown)));
    let new = customers.enroll("bob").await?;
    assert!(open(&new, &seal(&new)?)? && open(&new, &of_bob).is_err(), "new keys open nothing old");
    Ok(())
}

async fn retention_periods_and_max_age_are_those_of_the_backup(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll_with("ada", &Enrollment::new().retain_until(world.later(MAX_AGE))).await?;
    let backup = world.store.backup().await?;
    customers.enroll_with("ada", &Enrollment::new().retain_until(world.later(MAX_AGE * 100))).await?;
    vault.set_max_age(MAX_AGE * 2).await?;
    drop((vault, customers));
    world.store.restore(backup);

    let asked = world.builder().max_age(MAX_AGE * 2).build().await;
    assert!(matches!(asked, Err(Error::MaxAgeTooLong { limit }) if limit == MAX_AGE));
    let (vault, _) = world.builder().replay().await?;
    world.pass_max_age();
    assert_eq!(vault.erase_due().await?.receipts.len(), 1);
    Ok(())
}

async fn what_a_lost_journal_end_told_is_entered_by_erasing_again(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll("ada").await?;
    drop(customers);
    world.vault().await?;
    let (backup, before) = (world.store.backup().await?, world.entries().await?);
    world.tenant().await?.erase("ada", &whole()).await?;

    // The journal's disk is lost, and its copy is from before the erasure; the store had not seen it applied.
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in &before {
        journal.append(entry, &journal.head().await?).await?;
    }
    let world = world.with_journal(journal);
    let customers = world.tenant().await?;
    assert!(is_erased(&customers.keys("ada").await), "the tombstone is in the store");
    customers.erase("ada", &whole()).await?;
    drop(customers);
    world.store.restore(backup);
    assert!(matches!(world.vault().await, Err(Error::StoreBehindJournal { .. })), "so a restore knows of it");
    assert_eq!(world.builder().replay().await?.1.erasures, 1);
    Ok(())
}

async fn whoever_writes_to_the_journal_can_erase_and_not_read(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll("ada").await?;
    let SlotId::Subject(tenant, tag) = world.subjects().await?.remove(0).id().clone() else { unreachable!() };
    let forge = async |tag: Tag, event| {
        let entry = JournalEntry::of_subject(world.later(Duration::ZERO), tenant.clone(), tag, event);
        world.journal.append(&entry, &world.journal.head().await?).await.map(drop).map_err(Error::from)
    };
    forge(tag, JournalEvent::Held).await?;
    let held = customers.erase("ada", &whole()).await;
    assert!(matches!(&held, Err(Error::SubjectHeld)) && held.is_err_and(|e| e.retry() == Retry::Never));
    forge(tag, JournalEvent::Released).await?;
    let lines = vec![
        ErasedLine::new(Purpose::new("billing").unwrap(), 1),
        ErasedLine::new(Purpose::new("default").unwrap(), 1),
    ];
    forge(tag, JournalEvent::ErasureIntended { whole: true, lines }).await?;
    assert!(customers.keys("ada").await.is_ok(), "not before the next check");
    assert!(is_erased(&world.tenant().await?.keys("ada").await));
    Ok(())
}
