//! New data keys for everybody, page by page.

use fieldseal::vault::{RotatePage, Rotation, VersionState};
use fieldseal_testkit::faults::{Act, Moment, Tap, Tapped};

use super::*;

tests![
    everybody_gets_a_new_key_that_waits_for_its_time
    who_was_rotated_since_the_moment_is_not_rotated_again
    now_ends_keys_in_use_and_passes_over_a_waiting_key
    the_erased_get_no_key_and_the_scheduled_are_told_of
    one_tenant_alone_and_only_counting
    a_slot_without_room_is_told_of_and_holds_nobody_up
    a_page_that_failed_anywhere_is_remade_and_rotates_each_once
];

/// Every page, of so many slots; what they came to together.
async fn rotate_all(vault: &Vault, rotation: &Rotation, limit: usize) -> Result<RotatePage> {
    let mut all = vault.rotate_page(rotation, None, limit).await?;
    while let Some(next) = all.next.take() {
        let page = vault.rotate_page(rotation, Some(&next), limit).await?;
        all.rotated += page.rotated;
        all.unreadable += page.unreadable;
        all.seal_from = all.seal_from.max(page.seal_from);
        all.failed.extend(page.failed);
        all.next = page.next;
    }
    Ok(all)
}

/// How many versions of its default key a subject has.
async fn versions(world: &World, subject: &str) -> Result<usize> {
    let info = world.tenant().await?.inventory(&customer(subject)).await?;
    Ok(info.purposes.iter().map(|purpose| purpose.versions.len()).max().unwrap_or_default())
}

/// The pages of so many subjects, and a moment after they were made.
async fn enrolled(world: &World, subjects: &[&str]) -> Result<Timestamp> {
    let customers = world.tenant().await?;
    for subject in subjects {
        customers.enroll(&customer(*subject)).await?;
    }
    world.clock.advance(millis(1));
    Ok(world.later(Duration::ZERO))
}

async fn everybody_gets_a_new_key_that_waits_for_its_time(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let now = enrolled(&world, &["ada", "ben", "cy"]).await?;
    let old = seal(&world.tenant().await?.keys(&customer("ada")).await?)?;
    let page = rotate_all(&world.vault().await?, &Rotation::of_keys_before(now), 2).await?;
    assert_eq!((page.rotated, page.unreadable, page.failed.len()), (3, 0, 0));
    assert_eq!(page.seal_from, Some(world.later(MAX_AGE)));
    let customers = world.tenant().await?;
    assert_eq!(seal(&customers.keys(&customer("ada")).await?)?.get(1..25), old.get(1..25), "it waits");
    world.clock.advance(MAX_AGE);
    let keys = world.tenant().await?.keys(&customer("ada")).await?;
    assert_ne!(seal(&keys)?.get(1..25), old.get(1..25));
    assert!(open(&keys, &old)?);
    Ok(())
}

async fn who_was_rotated_since_the_moment_is_not_rotated_again(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let now = enrolled(&world, &["ada", "ben", "cy"]).await?;
    let rotation = Rotation::of_keys_before(now).now();
    let vault = world.vault().await?;
    assert_eq!(
        vault.rotate_page(&rotation, None, 3).await?.rotated,
        1,
        "the vault's slot, the tenant's, and a subject's"
    );
    // As after a crash that lost the cursor.
    assert_eq!(rotate_all(&world.vault().await?, &rotation, 100).await?.rotated, 2);
    assert_eq!(rotate_all(&vault, &rotation, 100).await?.rotated, 0);
    for subject in ["ada", "ben", "cy"] {
        assert_eq!(versions(&world, subject).await?, 2);
    }
    world.tenant().await?.enroll(&customer("dan")).await?;
    assert_eq!(rotate_all(&vault, &rotation, 100).await?.rotated, 0, "and who came since has a new key anyway");
    Ok(())
}

async fn now_ends_keys_in_use_and_passes_over_a_waiting_key(on: &Ground) -> Result {
    let world = world_on(on).await?;
    enrolled(&world, &["ada"]).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let waits = customers.rotate(&customer("ada")).await?;
    world.clock.advance(millis(1));
    let now = world.later(Duration::ZERO);
    let page = rotate_all(&vault, &Rotation::of_keys_before(now), 100).await?;
    assert_eq!((page.rotated, page.seal_from), (0, Some(waits)), "one that waits is enough");
    let held = customers.keys(&customer("ada")).await?;
    assert_eq!(rotate_all(&vault, &Rotation::of_keys_before(now).now(), 100).await?.rotated, 1);
    assert!(matches!(seal(&held), Err(Error::KeysExpired)));
    let info = customers.inventory(&customer("ada")).await?;
    let states: Vec<_> = info.purposes.iter().map(|purpose| purpose.versions.last().map(|v| v.state)).collect();
    assert!(states.iter().all(|state| *state == Some(VersionState::Current)), "{states:?}");
    Ok(())
}

async fn the_erased_get_no_key_and_the_scheduled_are_told_of(on: &Ground) -> Result {
    let world = world_on(on).await?;
    enrolled(&world, &["ada", "ben", "cy"]).await?;
    let customers = world.tenant().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    customers.schedule_erasure(&customer("ben"), world.later(MAX_AGE)).await?;
    let now = world.later(millis(1));
    let page = rotate_all(&world.vault().await?, &Rotation::of_keys_before(now), 100).await?;
    assert_eq!((page.rotated, page.unreadable), (1, 1));
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    assert_eq!(versions(&world, "ben").await?, 1);
    customers.cancel_erasure(&customer("ben")).await?;
    assert_eq!(rotate_all(&world.vault().await?, &Rotation::of_keys_before(now), 100).await?.rotated, 1);
    Ok(())
}

async fn one_tenant_alone_and_only_counting(on: &Ground) -> Result {
    let world = world_on(on).await?;
    enrolled(&world, &["ada"]).await?;
    let vault = world.vault().await?;
    let acme = TenantId::new("acme")?;
    vault.tenant(&acme).enroll(&customer("ben")).await?;
    let rotation = Rotation::of_keys_before(world.later(millis(1)));
    assert_eq!(rotate_all(&vault, &rotation.clone().only_count(), 100).await?.rotated, 2);
    assert_eq!(rotate_all(&vault, &rotation.clone().tenant(acme), 100).await?.rotated, 1);
    assert_eq!(versions(&world, "ada").await?, 1, "counted, and of another tenant");
    assert_eq!(rotate_all(&vault, &rotation, 100).await?.rotated, 1);
    Ok(())
}

async fn a_slot_without_room_is_told_of_and_holds_nobody_up(on: &Ground) -> Result {
    let world = world_on(on).await?;
    enrolled(&world, &["ada", "ben"]).await?;
    let customers = world.tenant().await?;
    for _ in 1..64 {
        customers.rotate_now(&customer("ada")).await?;
    }
    let rotation = Rotation::of_keys_before(world.later(millis(1))).now();
    let page = rotate_all(&world.vault().await?, &rotation, 100).await?;
    assert_eq!((page.rotated, page.failed.len()), (1, 1));
    assert!(matches!(page.failed.first(), Some((_, Error::InvalidInput(_)))));
    Ok(())
}

async fn a_page_that_failed_anywhere_is_remade_and_rotates_each_once(on: &Ground) -> Result {
    for moment in [Moment::Before, Moment::After] {
        for n in 0.. {
            let world = world_on(on).await?;
            let now = enrolled(&world, &["ada", "ben"]).await?;
            let tap = Tap::open();
            let store = Tapped::new(world.store.clone(), &tap);
            let builder = Vault::builder(world.provider.clone(), store).kinds(["customer"]).clock(world.clock.clone());
            let vault = builder.journal(world.journal.clone()).build().await?;
            let rotation = Rotation::of_keys_before(now).now();
            tap.set(move |call| if call.number == n && call.moment == moment { Act::Fail } else { Act::Go });
            let failed = rotate_all(&vault, &rotation, 1).await;
            let met = tap.calls() > n;
            tap.set(|_| Act::Go);
            if failed.is_err() {
                rotate_all(&vault, &rotation, 1).await?;
            }
            for subject in ["ada", "ben"] {
                assert_eq!(versions(&world, subject).await?, 2, "call {n}, {moment:?}");
            }
            if !met {
                assert!(n > 4, "it asks the store");
                break;
            }
        }
    }
    Ok(())
}
