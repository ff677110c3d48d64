//! A move to another provider, as `docs/providers.md` tells it: what can be done at each of its steps, and the way back.

use fieldseal::provider::Succession;

use super::*;

tests![
    before_the_new_epoch_subjects_can_be_made_and_tenants_not
    who_knows_the_old_provider_alone_stops_at_the_new_epoch
    the_old_providers_own_key_is_destroyed_once_it_has_another
    until_the_old_epoch_is_retired_there_is_a_way_back
];

async fn before_the_new_epoch_subjects_can_be_made_and_tenants_not(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let new = LocalKeyring::ephemeral()?;
    let vault = world.vault_with(Succession::to(new).from(world.provider.clone())).await?;
    assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, &sealed)?);
    vault.default_tenant().enroll(&customer("ben")).await?;
    let refused = vault.tenant(&acme()).enroll(&customer("ben")).await;
    assert!(is_of_kind(&refused, ProviderErrorKind::Misconfigured));
    vault.advance_epoch().await?;
    vault.tenant(&acme()).enroll(&customer("ben")).await?;
    Ok(())
}

async fn who_knows_the_old_provider_alone_stops_at_the_new_epoch(on: &Ground) -> Result {
    let world = world_on(on).await?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let old_alone = world.tenant().await?;
    let vault = world.vault_with(Succession::to(LocalKeyring::ephemeral()?).from(world.provider.clone())).await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    world.pass_max_age();
    assert!(is_of_kind(&old_alone.keys(&customer("ada")).await, ProviderErrorKind::UnknownKey));
    assert!(is_of_kind(&world.vault().await, ProviderErrorKind::UnknownKey));
    Ok(())
}

async fn the_old_providers_own_key_is_destroyed_once_it_has_another(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let new = LocalKeyring::ephemeral()?;
    let vault = world.vault_with(Succession::to(new.clone()).from(world.provider.clone())).await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    let refused = vault.retire_epoch(epoch(1)).await;
    assert!(is_of_kind(&refused, ProviderErrorKind::Misconfigured), "no provider destroys its current one");
    world.provider.add_key().await?;
    vault.retire_epoch(epoch(1)).await?;
    let alone = world.vault_with(new).await?;
    assert!(open(&alone.default_tenant().keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}

async fn until_the_old_epoch_is_retired_there_is_a_way_back(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let new = LocalKeyring::ephemeral()?;
    let there = world.vault_with(Succession::to(new.clone()).from(world.provider.clone())).await?;
    there.advance_epoch().await?;
    rewrap_all(&there, 3).await?;
    let back = world.vault_with(Succession::to(world.provider.clone()).from(new.clone())).await?;
    assert!(matches!(back.advance_epoch().await, Err(Error::InvalidInput(_))), "with a new master key alone");
    world.provider.add_key().await?;
    back.advance_epoch().await?;
    rewrap_all(&back, 3).await?;
    back.retire_epoch(epoch(1)).await?;
    new.add_key().await?;
    back.retire_epoch(epoch(2)).await?;
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}
