//! Ports answer slot by slot: what is damaged in one's place is named by every page, is something where it is asked whether there
//! is anything, and is passed by no step that can't be undone.

use fieldseal::journal::MemoryJournal;
use fieldseal::store::SlotState;
use fieldseal::vault::Unnamed;
use fieldseal_testkit::damage::Damage as _;

use super::shelf::{Row, Shelf};
use super::*;

tests![
    every_page_names_what_is_damaged_and_goes_on
    where_all_is_damaged_no_new_root_is_made
    no_tenant_is_made_beside_what_is_damaged
    an_epoch_is_in_use_by_what_is_damaged_or_has_no_name
    a_damaged_tenant_is_moved_to_no_epoch_and_is_named
    a_first_journal_is_not_adopted_over_a_damaged_tenant
    a_put_that_landed_over_damage_is_told_from_damage
];

/// A shelf of three subjects, of whom the second is damaged; in the first epoch, of two.
async fn one_of_three(on: &Ground) -> Result<(World, Shelf, Vault, SlotId)> {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    let due = Enrollment::new().retain_until(world.later(DAY));
    for who in ["ada", "ben", "cy"] {
        vault.default_tenant().enroll_with(&customer(who), &due).await?;
    }
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    let bad = shelf.subjects().remove(1);
    let row = shelf.row(&bad);
    shelf.set(&bad, Row { state: 200, ..row });
    Ok((world, shelf, vault, bad))
}

async fn every_page_names_what_is_damaged_and_goes_on(on: &Ground) -> Result {
    let (world, _, vault, bad) = one_of_three(on).await?;
    let named = |failed: Vec<(SlotId, Error)>| match failed.as_slice() {
        [(id, e)] => *id == bad && is_corrupt::<()>(&Err(e.clone())),
        _ => false,
    };
    let page = vault.inventory_page(None, 100).await?;
    assert!(page.subjects.len() == 2 && named(page.failed));
    let page = vault.rotate_page(&Rotation::of_keys_before(world.later(DAY)).now(), None, 100).await?;
    assert!(page.rotated == 2 && named(page.failed));
    world.clock.advance(10 * MAX_AGE);
    let unnamed = Unnamed::new(world.clock.wall(), Duration::ZERO, []);
    let page = vault.retire_versions_page(&unnamed, None, 100).await?;
    assert!(named(page.failed));
    let page = vault.rewrap_page(None, 100).await?;
    assert!(named(page.failed));
    // Page by page, too: one of them has nothing else.
    let (mut failed, mut next) = (Vec::new(), None);
    loop {
        let page = vault.inventory_page(next.as_ref(), 1).await?;
        failed.extend(page.failed);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert!(named(failed));
    Ok(())
}

async fn where_all_is_damaged_no_new_root_is_made(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let nothing = Row { bytes: vec![7; 100], state: 1, epoch: None, due: None };
    shelf.set(&SlotId::Tenant(acme()), nothing.clone());
    assert!(is_corrupt(&world.vault().await), "the vault's slot is gone");
    shelf.rename(&SlotId::Tenant(acme()), &[9, 9]).await;
    assert!(is_corrupt(&world.vault().await), "what has no name is something");
    shelf.set(&SlotId::Vault, nothing);
    assert!(is_corrupt(&world.vault().await), "the vault's slot is damaged");
    Ok(())
}

async fn no_tenant_is_made_beside_what_is_damaged(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    let nothing = Row { bytes: vec![7; 100], state: 1, epoch: None, due: None };
    shelf.set(&SlotId::Tenant(acme()), nothing.clone());
    assert!(is_corrupt(&vault.tenant(&acme()).enroll(&customer("ada")).await));
    assert!(is_corrupt(&vault.tenant(&acme()).keys(&customer("ada")).await));
    // Nor where only a subject of it is left.
    shelf.rename(&SlotId::Tenant(acme()), &[&[3], b"acme".as_slice(), &[1; 16]].concat()).await;
    assert!(is_corrupt(&vault.tenant(&acme()).enroll(&customer("ada")).await));
    vault.default_tenant().enroll(&customer("ben")).await.map(drop)
}

async fn an_epoch_is_in_use_by_what_is_damaged_or_has_no_name(on: &Ground) -> Result {
    let (_, shelf, vault, bad) = one_of_three(on).await?;
    let _ = rewrap_all(&vault, 100).await; // names the one that it leaves
    let good = Row { state: SlotState::Live.number(), ..shelf.row(&bad) };
    for of_none in [false, true] {
        if of_none {
            shelf.set(&bad, good.clone());
            shelf.rename(&bad, &[3, 3]).await;
        }
        let in_use = vault.retire_epoch(Epoch::FIRST).await;
        assert!(matches!(in_use, Err(Error::EpochInUse { .. })), "{in_use:?}");
    }
    shelf.set(&bad, good);
    assert!(
        matches!(vault.retire_epoch(Epoch::FIRST).await, Err(Error::EpochInUse { .. })),
        "it is in the epoch again"
    );
    Ok(())
}

async fn a_damaged_tenant_is_moved_to_no_epoch_and_is_named(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    vault.default_tenant().enroll(&customer("ben")).await?;
    let id = SlotId::Tenant(acme());
    let row = shelf.row(&id);
    shelf.set(&id, Row { epoch: None, ..row });
    world.provider.add_key().await?;
    let _ = vault.advance_epoch().await; // may say which tenant it left
    assert_eq!(vault.current_epoch().await?, epoch(2));
    let page = vault.rewrap_page(None, 100).await?;
    assert!(page.failed.iter().all(|(of, _)| of.tenant() == Some(&acme())), "{:?}", page.failed);
    let ben = shelf.subjects().into_iter().find(|of| of.tenant() != Some(&acme())).unwrap();
    assert_eq!(shelf.row(&ben).epoch, Some(2));
    assert!(matches!(vault.retire_epoch(Epoch::FIRST).await, Err(Error::EpochInUse { .. })));
    Ok(())
}

/// What it leaves out could never be told from what was lost.
async fn a_first_journal_is_not_adopted_over_a_damaged_tenant(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let builder =
        || Vault::builder(world.provider.clone(), shelf.clone()).kinds(["customer"]).clock(world.clock.clone());
    let tenant = builder().without_journal().build().await?.tenant(&acme());
    tenant.enroll(&customer("ada")).await?;
    let (id, journal) = (SlotId::Tenant(acme()), Arc::new(MemoryJournal::new()?));
    let good = shelf.row(&id);
    shelf.set(&id, Row { due: Some(8), ..good.clone() });
    assert!(is_corrupt(&builder().journal(journal.clone()).build().await));
    shelf.set(&id, good);
    let vault = builder().journal(journal).build().await?;
    vault.tenant(&acme()).keys(&customer("ada")).await.map(drop)
}

/// As a guard does that makes a put again: it may have landed unheard, or not.
async fn a_put_that_landed_over_damage_is_told_from_damage(on: &Ground) -> Result {
    let (_, shelf, _, bad) = one_of_three(on).await?;
    let Loaded::Damaged(token) = shelf.load(std::slice::from_ref(&bad)).await?.remove(0) else { panic!("damaged") };
    let next = fieldseal_testkit::slot::SampleSlot::new(bad.clone()).build();
    let seen = Expected::Damaged(token);
    fieldseal::layer::put_again(&shelf, &next, seen).await?;
    fieldseal::layer::put_again(&shelf, &next, seen).await?;
    let row = shelf.row(&bad);
    shelf.set(&bad, Row { state: 201, ..row });
    let lost = fieldseal::layer::put_again(&shelf, &next, seen).await.unwrap_err();
    assert_eq!(lost.kind(), StoreErrorKind::Conflict, "what is damaged is not what was put");
    Ok(())
}
