//! New data keys: held by everybody before anybody seals under them.

use super::*;

tests![
    a_new_key_is_sealed_under_once_every_process_can_hold_it
    a_key_that_waits_is_not_rotated_again
    a_key_is_dated_from_when_it_has_landed
    a_raised_max_age_counts_for_the_date
    after_a_leak_the_new_key_is_sealed_under_at_once
    after_a_leak_no_clock_is_asked
    after_a_leak_a_key_that_waits_is_passed_over
    every_purpose_that_lives_is_rotated
    what_is_not_there_is_not_rotated
    a_purpose_has_at_most_64_keys_and_loses_none
    values_move_to_the_new_key_when_they_are_resealed
];

/// The key that an envelope names.
fn key_of(envelope: &[u8]) -> &[u8] {
    envelope.get(1..25).unwrap()
}

async fn a_new_key_is_sealed_under_once_every_process_can_hold_it(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    let old = seal(&here.enroll(&customer("ada")).await?)?;
    let held_before = there.keys(&customer("ada")).await?;
    let from = here.rotate(&customer("ada")).await?;
    assert_eq!(from, world.later(MAX_AGE));
    assert_eq!(key_of(&seal(&here.keys(&customer("ada")).await?)?), key_of(&old), "it waits");
    world.clock.advance(MAX_AGE - millis(1));
    let before = here.keys(&customer("ada")).await?;
    assert!(open(&held_before, &seal(&before)?)?, "whoever read before the rotation opens what is sealed until then");
    world.clock.advance(millis(1));
    let new = seal(&before)?;
    assert_ne!(key_of(&new), key_of(&old), "now it is sealed under");
    world.clock.advance(millis(1));
    assert!(matches!(open(&held_before, &new), Err(Error::KeysExpired)), "nobody still has keys without it");
    let fresh = there.keys(&customer("ada")).await?;
    assert!(open(&fresh, &new)? && open(&fresh, &old)?);
    Ok(())
}

async fn a_key_that_waits_is_not_rotated_again(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let from = customers.rotate(&customer("ada")).await?;
    let slot = world.subjects().await?.remove(0);
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.tenant().await?.rotate(&customer("ada")).await?, from);
    assert_eq!(world.subjects().await?.remove(0).revision(), slot.revision(), "nothing was written");
    world.pass_max_age();
    assert!(customers.rotate(&customer("ada")).await? > from, "its time has come, so the next one may");
    Ok(())
}

async fn a_key_is_dated_from_when_it_has_landed(on: &Ground) -> Result {
    let world = world_on(on).await?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    // The write that brings the key takes a minute.
    let slow = Arc::new(Slow { store: world.store.clone(), clock: world.clock.clone() });
    let builder = Vault::builder(world.provider.clone(), slow).kinds(["customer"]).clock(world.clock.clone());
    let vault = builder.journal(world.journal.clone()).build().await?;
    let begun = world.later(Duration::ZERO);
    let from = vault.default_tenant().rotate(&customer("ada")).await?;
    assert!(from >= begun.plus(Duration::from_secs(60) + MAX_AGE), "who read a moment before it landed has max_age");
    Ok(())
}

/// Time passes while it writes.
#[derive(Debug)]
struct Slow {
    store: RestorableStore,
    clock: ManualClock,
}

#[async_trait::async_trait]
impl KeyStore for Slow {
    async fn load(&self, ids: &[SlotId]) -> std::result::Result<Vec<Loaded>, StoreError> {
        self.store.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> std::result::Result<(), StoreError> {
        self.clock.advance(Duration::from_secs(60));
        self.store.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> std::result::Result<ScanPage, StoreError> {
        self.store.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> std::result::Result<(), StoreError> {
        self.store.raise_floor(epoch).await
    }

    async fn scrub(&self) -> std::result::Result<Residue, StoreError> {
        self.store.scrub().await
    }
}

async fn a_raised_max_age_counts_for_the_date(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (old, other) = (world.vault().await?, world.vault().await?);
    old.default_tenant().enroll(&customer("ada")).await?; // has read the store's max_age
    other.set_max_age(Duration::from_secs(3600)).await?;
    assert_eq!(old.default_tenant().rotate(&customer("ada")).await?, world.later(Duration::from_secs(3600)));
    Ok(())
}

async fn after_a_leak_the_new_key_is_sealed_under_at_once(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    let held = here.enroll(&customer("ada")).await?;
    let old = seal(&held)?;
    let elsewhere = there.keys(&customer("ada")).await?;
    here.rotate_now(&customer("ada")).await?;
    assert!(matches!(seal(&held), Err(Error::KeysExpired)), "nothing is sealed under the old one in this process");
    let new = seal(&here.keys(&customer("ada")).await?)?;
    assert_ne!(key_of(&new), key_of(&old));
    assert!(matches!(open(&elsewhere, &new), Err(Error::KeyNotHeld)));
    let refreshed = there.refresh(&elsewhere).await?;
    assert!(open(&refreshed, &new)? && open(&refreshed, &old)?);
    Ok(())
}

async fn after_a_leak_no_clock_is_asked(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let mut behind = world.clone();
    behind.clock = ManualClock::new();
    world.clock.advance(Duration::from_secs(3600));
    let customers = world.tenant().await?;
    let old = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.rotate_now(&customer("ada")).await?;
    let new = seal(&customers.keys(&customer("ada")).await?)?;
    assert_ne!(key_of(&new), key_of(&old));
    let there = behind.tenant().await?;
    assert_eq!(
        key_of(&seal(&there.keys(&customer("ada")).await?)?),
        key_of(&new),
        "an hour behind, it seals under the same key"
    );
    there.rotate_now(&customer("ada")).await?;
    assert_ne!(key_of(&seal(&there.keys(&customer("ada")).await?)?), key_of(&new));
    Ok(())
}

async fn after_a_leak_a_key_that_waits_is_passed_over(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.rotate(&customer("ada")).await?;
    let leaked = world.tenant().await?.keys(&customer("ada")).await?; // with the key that waits
    customers.rotate_now(&customer("ada")).await?;
    let new = seal(&customers.keys(&customer("ada")).await?)?;
    assert!(matches!(open(&leaked, &new), Err(Error::KeyNotHeld)));
    world.pass_max_age();
    assert_eq!(
        key_of(&seal(&customers.keys(&customer("ada")).await?)?),
        key_of(&new),
        "its time comes, and it is not sealed under"
    );
    Ok(())
}

async fn every_purpose_that_lives_is_rotated(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let keys = customers.enroll(&customer("ada")).await?;
    let old = [seal_for(&keys, "default")?, seal_for(&keys, "billing")?];
    customers.rotate_now(&customer("ada")).await?;
    let keys = customers.keys(&customer("ada")).await?;
    for (purpose, old) in ["default", "billing"].into_iter().zip(&old) {
        assert_ne!(key_of(&seal_for(&keys, purpose)?), key_of(old));
        assert!(open_for(&keys, old, purpose)?);
    }
    customers.erase(&customer("ada"), &only("billing")).await?;
    customers.rotate_now(&customer("ada")).await?;
    let keys = customers.keys(&customer("ada")).await?;
    assert!(matches!(seal_for(&keys, "billing"), Err(Error::PurposeErased { .. })), "an erased one stays erased");
    Ok(())
}

async fn what_is_not_there_is_not_rotated(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    assert!(matches!(customers.rotate(&customer("ada")).await, Err(Error::SubjectUnknown)));
    customers.enroll(&customer("ada")).await?;
    customers.schedule_erasure(&customer("ada"), world.later(Duration::from_secs(60))).await?;
    assert!(is_closed(&customers.rotate(&customer("ada")).await));
    customers.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&customers.rotate(&customer("ada")).await));
    assert!(is_erased(&customers.rotate_now(&customer("ada")).await));
    Ok(())
}

async fn a_purpose_has_at_most_64_keys_and_loses_none(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let first = seal(&customers.enroll(&customer("ada")).await?)?;
    for _ in 1..64 {
        customers.rotate_now(&customer("ada")).await?;
    }
    assert!(matches!(customers.rotate_now(&customer("ada")).await, Err(Error::InvalidInput(_))));
    assert!(matches!(customers.rotate(&customer("ada")).await, Err(Error::InvalidInput(_))));
    assert!(open(&customers.keys(&customer("ada")).await?, &first)?);
    Ok(())
}

async fn values_move_to_the_new_key_when_they_are_resealed(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let old = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.rotate(&customer("ada")).await?;
    let keys = customers.keys(&customer("ada")).await?;
    assert_eq!(keys.reseal_bytes(&old, &context("default"))?, None, "the new key waits");
    world.pass_max_age();
    let keys = customers.keys(&customer("ada")).await?;
    let new = keys.reseal_bytes(&old, &context("default"))?.unwrap();
    assert_eq!(key_of(&new), key_of(&seal(&keys)?));
    assert!(open(&keys, &new)? && keys.reseal_bytes(&new, &context("default"))?.is_none());
    Ok(())
}
