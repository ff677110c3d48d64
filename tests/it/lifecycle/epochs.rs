//! New master keys for everything, and the end of old ones.

use fieldseal::error::ProviderErrorKind;
use fieldseal::provider::{
    Destruction, KeyMaterial, MasterKeyId, MasterKeyProvider, ProviderError, WrapContext, WrappedKey,
};

use super::*;

tests![
    everything_opens_across_epochs_and_after_the_old_has_ended
    an_epoch_has_a_master_key_of_its_own
    an_epoch_is_journaled_before_it_is_opened
    a_root_that_was_left_behind_holds_the_epoch
    held_and_scheduled_subjects_hold_an_epoch_and_move_along
    a_rewrap_revives_no_tombstone
    the_current_epoch_and_unknown_ones_are_not_retired
    retiring_again_tells_and_does_nothing
    a_later_epoch_can_be_retired_first_and_neither_while_in_use
    no_key_lands_under_an_epoch_that_is_being_retired
    a_master_key_the_provider_still_wraps_with_is_not_destroyed
    an_epoch_opened_after_a_restore_takes_no_used_number
    a_restored_backup_from_a_retired_epoch_does_not_open
    a_backup_from_between_opens_what_had_left_the_retired_epoch
    rotation_and_epochs_need_no_journal
    a_page_of_rewrapping_is_resumed_at_its_cursor
    rewraps_in_parts_move_each_slot_once_and_leave_none_out
];

async fn everything_opens_across_epochs_and_after_the_old_has_ended(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (vault, other) = (world.vault().await?, world.vault().await?);
    let customers = vault.default_tenant();
    let mut sealed = Vec::new();
    for n in 1..=10i64 {
        sealed.push((n, seal(&customers.enroll(&customer(n)).await?)?));
    }
    other.default_tenant().keys(&customer(1i64)).await?; // knows epoch 1 alone
    let first = world.provider.current().await?;
    assert_eq!(advance(&world, &vault).await?, epoch(2));
    for (n, envelope) in &sealed {
        assert!(open(&other.default_tenant().keys(&customer(n)).await?, envelope)?);
    }
    assert!(matches!(vault.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 10, unverified: 0 })));
    assert_eq!(rewrap_all(&vault, 3).await?, 10);
    assert_eq!(rewrap_all(&vault, 3).await?, 0, "what is there stays");
    let retired = vault.retire_epoch(epoch(1)).await?;
    assert_eq!((retired.epoch, &retired.master, retired.destruction), (epoch(1), &first, Destruction::Destroyed));
    for process in [&vault, &other, &world.vault().await?] {
        for (n, envelope) in &sealed {
            assert!(open(&process.default_tenant().keys(&customer(n)).await?, envelope)?);
        }
    }
    Ok(())
}

async fn an_epoch_has_a_master_key_of_its_own(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    assert!(matches!(vault.advance_epoch().await, Err(Error::InvalidInput(_))), "no new master key was made");
    advance(&world, &vault).await?;
    assert!(matches!(vault.advance_epoch().await, Err(Error::InvalidInput(_))));
    assert_eq!(vault.current_epoch().await?, epoch(2));
    Ok(())
}

async fn an_epoch_is_journaled_before_it_is_opened(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    advance(&world, &vault).await?;
    let master = world.provider.current().await?;
    assert_eq!(world.events().await?.pop(), Some(JournalEvent::EpochOpened { epoch: epoch(2), master }));
    Ok(())
}

async fn a_root_that_was_left_behind_holds_the_epoch(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.tenant(&TenantId::new("acme")?).enroll(&customer("ada")).await?;
    // As if the process had died between the epoch and its tenants: the tenant's slot as it was.
    let tenant = SlotId::Tenant(TenantId::new("acme")?);
    let before = world.store.load(std::slice::from_ref(&tenant)).await?.remove(0).into_slot()?.unwrap();
    advance(&world, &vault).await?;
    let moved = world.store.load(std::slice::from_ref(&tenant)).await?.remove(0).into_slot()?.unwrap();
    world.store.put(&before, Expected::Revision(moved.revision())).await?;
    let fresh = world.vault().await?;
    assert!(matches!(fresh.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 2, unverified: 0 })));
    // Advancing again finishes it, and opens no other epoch.
    assert_eq!(all_moved(fresh.advance_epoch().await)?, epoch(2));
    assert!(matches!(fresh.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 1, unverified: 0 })));
    assert!(fresh.tenant(&TenantId::new("acme")?).keys(&customer("ada")).await.is_ok());
    Ok(())
}

async fn held_and_scheduled_subjects_hold_an_epoch_and_move_along(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let sealed = [seal(&customers.enroll(&customer("ada")).await?)?, seal(&customers.enroll(&customer("ben")).await?)?];
    customers.hold(&customer("ada")).await?;
    customers.schedule_erasure(&customer("ben"), world.later(Duration::from_secs(1000))).await?;
    advance(&world, &vault).await?;
    assert!(matches!(vault.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { slots: 2, unverified: 0 })));
    assert_eq!(rewrap_all(&vault, 3).await?, 2);
    vault.retire_epoch(epoch(1)).await?;
    customers.cancel_erasure(&customer("ben")).await?;
    for (subject, envelope) in ["ada", "ben"].into_iter().zip(&sealed) {
        assert!(open(&customers.keys(&customer(subject)).await?, envelope)?);
    }
    Ok(())
}

async fn a_rewrap_revives_no_tombstone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    let tombstone = world.subjects().await?.remove(0);
    advance(&world, &vault).await?;
    assert_eq!(rewrap_all(&vault, 3).await?, 0);
    assert_eq!(world.subjects().await?.remove(0).revision(), tombstone.revision());
    vault.retire_epoch(epoch(1)).await?;
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    Ok(())
}

async fn the_current_epoch_and_unknown_ones_are_not_retired(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for n in [1, 2] {
        assert!(matches!(vault.retire_epoch(epoch(n)).await, Err(Error::InvalidInput(_))));
    }
    assert!(world.provider.destruction(&world.provider.current().await?).await?.is_none());
    Ok(())
}

async fn retiring_again_tells_and_does_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    let first = vault.retire_epoch(epoch(1)).await?;
    let events = world.events().await?.len();
    assert_eq!(world.vault().await?.retire_epoch(epoch(1)).await?, first);
    assert_eq!(world.events().await?.len(), events);
    Ok(())
}

async fn a_later_epoch_can_be_retired_first_and_neither_while_in_use(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let sealed = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    advance(&world, &vault).await?;
    advance(&world, &vault).await?;
    assert!(
        matches!(vault.retire_epoch(epoch(2)).await, Err(Error::EpochInUse { slots: 1, unverified: 0 })),
        "what is in epoch 1"
    );
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(2)).await?;
    vault.retire_epoch(epoch(1)).await?;
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}

async fn no_key_lands_under_an_epoch_that_is_being_retired(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (stale, vault) = (world.tenant().await?, world.vault().await?);
    stale.enroll(&customer("ada")).await?; // knows epoch 1
    advance(&world, &vault).await?;
    assert!(vault.retire_epoch(epoch(1)).await.is_err(), "ada is in it; the floor is up all the same");
    let ben = stale.enroll(&customer("ben")).await?; // refused below the floor, and made in epoch 2
    stale.rotate(&customer("ada")).await?; // moves on the way
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch() == Some(epoch(2))));
    vault.retire_epoch(epoch(1)).await?;
    assert!(open(&world.tenant().await?.keys(&customer("ben")).await?, &seal(&ben)?)?);
    Ok(())
}

async fn a_master_key_the_provider_still_wraps_with_is_not_destroyed(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let first = world.provider.current().await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    let set_back = SetBack { provider: world.provider.clone(), to: first.clone() };
    let builder = Vault::builder(set_back, world.store.clone()).kinds(["customer"]).journal(world.journal.clone());
    let refused = builder.build().await?.retire_epoch(epoch(1)).await;
    assert!(matches!(refused, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::Misconfigured));
    assert_eq!(world.provider.destruction(&first).await?, None);
    Ok(())
}

/// A provider whose current master key an operator set back.
#[derive(Debug)]
struct SetBack {
    provider: LocalKeyring,
    to: MasterKeyId,
}

type ProviderResult<T> = std::result::Result<T, ProviderError>;

#[async_trait::async_trait]
impl MasterKeyProvider for SetBack {
    async fn current(&self) -> ProviderResult<MasterKeyId> {
        Ok(self.to.clone())
    }

    async fn wrap_key(&self, key: &KeyMaterial, context: &WrapContext) -> ProviderResult<WrappedKey> {
        self.provider.wrap_key(key, context).await
    }

    async fn unwrap_key(&self, wrapped: &WrappedKey, context: &WrapContext) -> ProviderResult<KeyMaterial> {
        self.provider.unwrap_key(wrapped, context).await
    }

    async fn destroy_key(&self, id: &MasterKeyId) -> ProviderResult<Destruction> {
        self.provider.destroy_key(id).await
    }

    async fn destruction(&self, id: &MasterKeyId) -> ProviderResult<Option<Destruction>> {
        self.provider.destruction(id).await
    }
}

async fn an_epoch_opened_after_a_restore_takes_no_used_number(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    advance(&world, &vault).await?;
    drop(vault);
    world.store.restore(backup);
    let vault = world.vault().await?;
    assert_eq!(vault.current_epoch().await?, epoch(1));
    assert_eq!(vault.advance_epoch().await?.epoch, epoch(3), "the journal knows of epoch 2");
    Ok(())
}

async fn a_restored_backup_from_a_retired_epoch_does_not_open(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    drop(vault);
    world.store.restore(backup);
    let built = world.vault().await;
    assert!(matches!(built, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed));
    Ok(())
}

async fn a_backup_from_between_opens_what_had_left_the_retired_epoch(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let sealed = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    vault.default_tenant().enroll(&customer("ben")).await?;
    advance(&world, &vault).await?;
    vault.default_tenant().rotate(&customer("ada")).await?; // moves her alone
    let backup = world.store.backup().await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    drop(vault);
    world.store.restore(backup);
    let customers = world.tenant().await?;
    assert!(open(&customers.keys(&customer("ada")).await?, &sealed)?);
    let lost = customers.keys(&customer("ben")).await;
    assert!(matches!(lost, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed));
    // Erasing needs no key.
    customers.erase(&customer("ben"), &whole()).await?;
    assert!(is_erased(&customers.keys(&customer("ben")).await));
    Ok(())
}

async fn rotation_and_epochs_need_no_journal(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let builder =
        Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]).clock(world.clock.clone());
    let vault = builder.without_journal().build().await?;
    let customers = vault.default_tenant();
    let sealed = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.rotate(&customer("ada")).await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;
    assert!(open(&customers.keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}

async fn a_page_of_rewrapping_is_resumed_at_its_cursor(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let subjects: Vec<_> = (1..=10).map(customer).collect();
    vault.default_tenant().enroll_all(&subjects).await?;
    advance(&world, &vault).await?;
    let page = vault.rewrap_page(None, 4).await?;
    assert_eq!((page.moved, page.next.is_some()), (4, true));
    let page = vault.rewrap_page(page.next.as_ref(), 100).await?;
    assert_eq!((page.moved, page.next), (6, None));
    Ok(())
}

async fn rewraps_in_parts_move_each_slot_once_and_leave_none_out(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let people: Vec<_> = (0..60).map(|n| customer(format!("person {n}"))).collect();
    vault.default_tenant().enroll_all(&people).await?;
    let first = vault.current_epoch().await?;
    advance(&world, &vault).await?;
    let mut moved = Vec::new();
    for index in 0..3 {
        let (part, mut from, mut own) = (Shard::new(index, 3)?, None, 0);
        loop {
            let page = vault.rewrap_shard_page(part, from.as_ref(), 7).await?;
            own += page.moved;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        moved.push(own);
    }
    assert_eq!(moved.iter().sum::<u64>(), 60, "{moved:?}");
    assert!(moved.iter().all(|own| *own > 5), "each has a share: {moved:?}");
    vault.retire_epoch(first).await.map(drop)
}
