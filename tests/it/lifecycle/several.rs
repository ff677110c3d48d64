//! Several providers for one key store: any of which opens (`AnyOf`), or a tenant's beside the store's (`ByTenant`).

use std::collections::HashMap;

use fieldseal::journal::ErasedLine;
use fieldseal::provider::{
    AnyOf, ByTenant, Destruction, KeyMaterial, MasterKeyId, ProviderError, Succession, WrapContext, WrappedKey,
};
use fieldseal::store::Notice;
use fieldseal::vault::ErasureStatus;

use super::*;

tests![
    either_provider_alone_keeps_the_application_going
    a_provider_is_added_and_another_removed_by_an_epoch_each
    a_receipt_is_final_when_every_providers_key_is_gone
    a_revoked_tenant_is_unreadable_erasable_and_harms_no_other
    an_epoch_goes_on_past_a_tenant_that_refuses_and_tells_of_it
    a_tenant_that_lets_nobody_in_stands_still_alone
    a_tenant_that_refuses_is_held_closed_and_erased_all_the_same
    a_tenant_whose_newer_key_is_gone_is_closed_and_erased
    a_restore_is_replayed_past_a_tenant_that_revoked
    what_is_below_the_floor_and_can_not_move_stops_no_other
    a_notice_ends_keys_at_once_in_another_process
];

type ProviderResult<T> = std::result::Result<T, ProviderError>;

async fn either_provider_alone_keeps_the_application_going(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (other, tap) = (LocalKeyring::ephemeral()?, Tap::open());
    let both = || AnyOf::new(Tapped::new(world.provider.clone(), &tap)).member(other.clone());
    let sealed = seal(&world.vault_with(both()).await?.default_tenant().enroll(&customer("ada")).await?)?;
    tap.set(|_| Act::Fail);
    let cold = world.vault_with(both()).await?;
    let keys = cold.default_tenant().keys(&customer("ada")).await?;
    assert!(open(&keys, &sealed)?);
    cold.default_tenant().enroll(&customer("ben")).await?;
    let new_tenant = cold.tenant(&acme()).enroll(&customer("ada")).await;
    assert!(is_of_kind(&new_tenant, ProviderErrorKind::Unavailable), "what only one could open is not made");
    Ok(())
}

async fn a_provider_is_added_and_another_removed_by_an_epoch_each(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let [added, last] = [LocalKeyring::ephemeral()?, LocalKeyring::ephemeral()?];
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;

    let both = || AnyOf::new(world.provider.clone()).member(added.clone());
    let vault = world.vault_with(both()).await?;
    let shared = vault.advance_epoch().await;
    assert!(matches!(shared, Err(Error::InvalidInput(_))), "epoch 1 has the first one's key: {shared:?}");
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(epoch(1)).await?;

    // The first goes, another comes; the second stays, with a new key.
    added.add_key().await?;
    let next = AnyOf::new(added.clone()).member(last.clone());
    let vault = world.vault_with(next.clone()).await?;
    assert!(
        open(&vault.default_tenant().keys(&customer("ada")).await?, &sealed)?,
        "the one that stays opens what both wrapped"
    );
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    let alone = vault.retire_epoch(epoch(2)).await;
    assert!(is_of_kind(&alone, ProviderErrorKind::UnknownKey), "the first one's key would live on: {alone:?}");
    world.provider.add_key().await?;
    let vault = world.vault_with(Succession::to(next).from(both())).await?;
    vault.retire_epoch(epoch(2)).await?;

    assert!(open(&world.vault_with(AnyOf::new(last)).await?.default_tenant().keys(&customer("ada")).await?, &sealed)?);
    Ok(())
}

async fn a_receipt_is_final_when_every_providers_key_is_gone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let other = LocalKeyring::ephemeral()?;
    let vault = world.vault_with(AnyOf::new(world.provider.clone()).member(other.clone())).await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    let (first, id) = (vault.current_epoch().await?, world.provider.current().await?);
    world.provider.add_key().await?;
    other.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    world.pass_max_age();
    assert!(receipt.master_keys()[0].master.members().unwrap().contains(&id));
    world.provider.destroy_key(&id).await?;
    let status = customers.erasure_status(&receipt).await?;
    assert!(matches!(status, ErasureStatus::Erased { .. }), "one of the two still opens: {status:?}");
    vault.retire_epoch(first).await?;
    let status = customers.erasure_status(&receipt).await?;
    assert!(matches!(status, ErasureStatus::Final { .. }), "{status:?}");
    Ok(())
}

/// Two tenants, of which `acme` has a master key of its own.
struct Tenants {
    world: World,
    own: Arc<LocalKeyring>,
    vault: Vault,
    sealed: [Vec<u8>; 2],
}

fn globex() -> TenantId {
    TenantId::new("globex").unwrap()
}

impl Tenants {
    async fn on(ground: &Ground) -> Result<Self> {
        let world = world_on(ground).await?;
        let own = Arc::new(LocalKeyring::ephemeral()?);
        let vault = Self::vault_of(&world, &own).await?;
        let mut sealed = [Vec::new(), Vec::new()];
        for (tenant, sealed) in [acme(), globex()].iter().zip(&mut sealed) {
            *sealed = seal(&vault.tenant(tenant).enroll(&customer("ada")).await?)?;
        }
        Ok(Self { world, own, vault, sealed })
    }

    async fn vault_of(world: &World, own: &Arc<LocalKeyring>) -> Result<Vault> {
        let directory = HashMap::from([(acme(), own.clone() as Arc<dyn MasterKeyProvider>)]);
        world.vault_with(ByTenant::new(world.provider.clone(), directory)).await
    }

    /// As if the tenant had revoked its master key; in a process that starts now.
    async fn revoked(&self) -> Result<Vault> {
        let theirs = self.own.current().await?;
        self.own.add_key().await?;
        self.own.destroy_key(&theirs).await?;
        Self::vault_of(&self.world, &self.own).await
    }
}

async fn a_revoked_tenant_is_unreadable_erasable_and_harms_no_other(on: &Ground) -> Result {
    let tenants = Tenants::on(on).await?;
    let vault = tenants.revoked().await?;
    let (acme, globex) = (vault.tenant(&acme()), vault.tenant(&globex()));
    assert!(is_of_kind(&acme.keys(&customer("ada")).await, ProviderErrorKind::KeyDestroyed));
    assert!(is_of_kind(&acme.enroll(&customer("ben")).await, ProviderErrorKind::KeyDestroyed));
    assert!(open(&globex.keys(&customer("ada")).await?, &tenants.sealed[1])?);

    acme.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&acme.keys(&customer("ada")).await));
    vault.erase_tenant(acme.id(), &whole()).await?;
    assert!(matches!(acme.keys(&customer("ada")).await, Err(Error::TenantErased { .. })));
    Ok(())
}

async fn an_epoch_goes_on_past_a_tenant_that_refuses_and_tells_of_it(on: &Ground) -> Result {
    let tenants = Tenants::on(on).await?;
    tenants.own.add_key().await?;
    tenants.world.provider.add_key().await?;
    tenants.vault.advance_epoch().await?;
    rewrap_all(&tenants.vault, 3).await?;
    tenants.vault.retire_epoch(epoch(1)).await?;
    for (tenant, sealed) in [acme(), globex()].iter().zip(&tenants.sealed) {
        assert!(open(&tenants.vault.tenant(tenant).keys(&customer("ada")).await?, sealed)?);
    }

    // Its directory entry is another provider now, which never knew the tenant's keys.
    let vault = Tenants::vault_of(&tenants.world, &Arc::new(LocalKeyring::ephemeral()?)).await?;
    tenants.world.provider.add_key().await?;
    vault.advance_epoch().await?;
    let (mut next, mut failed) = (None, Vec::new());
    loop {
        let page = vault.rewrap_page(next.as_ref(), 10).await?;
        failed.extend(page.failed);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert!(matches!(failed.as_slice(), [(SlotId::Subject(tenant, _), _)] if *tenant == acme()), "{failed:?}");
    assert!(open(&vault.tenant(&globex()).keys(&customer("ada")).await?, &tenants.sealed[1])?);
    assert!(matches!(vault.retire_epoch(epoch(2)).await, Err(Error::EpochInUse { slots: 1, unverified: 0 })));
    Ok(())
}

/// A master key that its owner lets nobody use, or that is out of reach.
#[derive(Debug)]
struct Refuses(ProviderErrorKind);

impl Refuses {
    fn refuse<T>(&self) -> ProviderResult<T> {
        Err(ProviderError::new(self.0))
    }
}

#[async_trait::async_trait]
impl MasterKeyProvider for Refuses {
    async fn current(&self) -> ProviderResult<MasterKeyId> {
        self.refuse()
    }

    async fn wrap_key(&self, _: &KeyMaterial, _: &WrapContext) -> ProviderResult<WrappedKey> {
        self.refuse()
    }

    async fn unwrap_key(&self, _: &WrappedKey, _: &WrapContext) -> ProviderResult<KeyMaterial> {
        self.refuse()
    }

    async fn destroy_key(&self, _: &MasterKeyId) -> ProviderResult<Destruction> {
        self.refuse()
    }

    async fn destruction(&self, _: &MasterKeyId) -> ProviderResult<Option<Destruction>> {
        self.refuse()
    }
}

async fn a_tenant_that_lets_nobody_in_stands_still_alone(on: &Ground) -> Result {
    use ProviderErrorKind::{Denied, Misconfigured, Throttled, Unavailable};
    for kind in [Denied, Unavailable, Throttled, Misconfigured] {
        let refuses = HashMap::from([(acme(), Arc::new(Refuses(kind)) as Arc<dyn MasterKeyProvider>)]);
        stands_still_alone(on, kind, refuses).await?;
    }
    Ok(())
}

async fn stands_still_alone(
    on: &Ground,
    kind: ProviderErrorKind,
    directory: HashMap<TenantId, Arc<dyn MasterKeyProvider>>,
) -> Result {
    let tenants = Tenants::on(on).await?;
    // Its entry in the journal is looked at by whoever starts next.
    tenants.vault.tenant(&acme()).enroll(&customer("eve")).await?;
    tenants.vault.tenant(&acme()).erase(&customer("eve"), &whole()).await?;
    for tenant in [acme(), globex()] {
        tenants.vault.tenant(&tenant).enroll(&customer("cy")).await?;
        tenants.vault.tenant(&tenant).schedule_erasure(&customer("cy"), tenants.world.later(Duration::ZERO)).await?;
    }
    // In the order of their ids the one that refuses comes first.
    let vault = tenants.world.vault_with(ByTenant::new(tenants.world.provider.clone(), directory)).await?;
    let (acme, globex) = (vault.tenant(&acme()), vault.tenant(&globex()));
    tenants.world.provider.add_key().await?;
    assert!(is_of_kind(&all_moved(vault.advance_epoch().await), kind), "it is told of: {kind:?}");
    assert_eq!(vault.current_epoch().await?, epoch(2));
    globex.enroll(&customer("ben")).await?;
    assert!(open(&globex.keys(&customer("ada")).await?, &tenants.sealed[1])?);
    assert!(is_of_kind(&acme.keys(&customer("ada")).await, kind));
    assert!(is_of_kind(&acme.enroll(&customer("ben")).await, kind));
    let page = vault.rewrap_page(None, 100).await?;
    let refused = |(id, e): &(SlotId, Error)| id.tenant() == Some(acme.id()) && matches!(e, Error::Provider(_));
    assert!(!page.failed.is_empty() && page.failed.iter().all(refused), "{kind:?}: {:?}", page.failed);

    // Erased it is all the same, when its time has come, subject by subject and whole.
    let swept = vault.erase_due().await?;
    assert!(swept.failed.is_empty(), "{kind:?}: {:?}", swept.failed);
    for tenant in [&acme, &globex] {
        assert!(is_erased(&tenant.keys(&customer("cy")).await), "{kind:?}");
    }
    acme.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&acme.keys(&customer("ada")).await), "{kind:?}");
    vault.erase_tenant(acme.id(), &whole()).await?;
    world_is_free_of(&vault, epoch(1)).await
}

/// Which of its subjects are held, closed or erased takes no wrapping key to write.
async fn a_tenant_that_refuses_is_held_closed_and_erased_all_the_same(on: &Ground) -> Result {
    use ProviderErrorKind::{Denied, Misconfigured, Unavailable};
    for kind in [Denied, Misconfigured, Unavailable] {
        let Tenants { world, own, vault, sealed } = Tenants::on(on).await?;
        let theirs = vault.tenant(&acme());
        for subject in ["ben", "cy", "dan", "eve", "fay"] {
            theirs.enroll(&customer(subject)).await?;
        }
        theirs.hold(&customer("ben")).await?;
        let in_a_while = world.later(100 * MAX_AGE);
        theirs.schedule_erasure(&customer("dan"), in_a_while).await?;
        // A crash behind the intent to erase one purpose: the other one stays.
        let intended =
            |lines: &[ErasedLine]| JournalEvent::ErasureIntended { whole: false, known: true, lines: lines.to_vec() };
        let lines = [ErasedLine::new(Purpose::new("billing")?, 1)];
        let entry =
            JournalEntry::of_subject(world.clock.wall(), acme(), theirs.tag(&customer("eve")).await?, intended(&lines));
        world.scribe().enter(&entry).await?;

        let refuses = || {
            let directory = HashMap::from([(acme(), Arc::new(Refuses(kind)) as Arc<dyn MasterKeyProvider>)]);
            world.vault_with(ByTenant::new(world.provider.clone(), directory))
        };
        let vault = refuses().await?;
        assert!(is_done(&world, &lines).await?, "{kind:?}");
        let (acme, globex) = (vault.tenant(&acme()), vault.tenant(&globex()));
        acme.release(&customer("ben")).await?;
        acme.hold(&customer("cy")).await?;
        acme.cancel_erasure(&customer("dan")).await?;
        acme.schedule_erasure(&customer("fay"), in_a_while).await?;
        assert!(is_closed(&acme.keys(&customer("fay")).await), "{kind:?}");
        for subject in ["ben", "dan"] {
            acme.erase(&customer(subject), &only("billing")).await?;
        }
        for subject in ["gil", "hal"] {
            world.pass_max_age();
            assert!(open(&globex.keys(&customer("ada")).await?, &sealed[1])?, "{kind:?}");
            globex.enroll(&customer(subject)).await?;
            assert!(is_of_kind(&acme.keys(&customer("cy")).await, kind), "{kind:?}");
        }
        assert!(refuses().await?.erase_due().await?.failed.is_empty(), "{kind:?}");
        assert!(matches!(vault.erase_tenant(acme.id(), &whole()).await, Err(Error::SubjectHeld)), "{kind:?}");
        acme.release(&customer("cy")).await?;

        // It lets somebody in again.
        let vault = Tenants::vault_of(&world, &own).await?;
        let acme = vault.tenant(acme.id());
        for subject in ["ada", "ben", "cy", "dan", "eve"] {
            seal(&acme.keys(&customer(subject)).await?)?;
        }
        for subject in ["ben", "dan", "eve"] {
            let refused = acme.keys(&customer(subject)).await?.seal_bytes(b"1", &context("billing"));
            assert!(matches!(refused, Err(Error::PurposeErased { .. })), "{subject}: {refused:?}");
        }
        vault.erase_tenant(acme.id(), &whole()).await?;
    }
    Ok(())
}

async fn is_done(world: &World, these: &[ErasedLine]) -> Result<bool> {
    let events = world.events().await?;
    Ok(events.iter().any(|event| matches!(event, JournalEvent::ErasureDone { lines, .. } if lines == these)))
}

/// What it has in the epoch before still opens, until it is erased.
async fn a_tenant_whose_newer_key_is_gone_is_closed_and_erased(on: &Ground) -> Result {
    let Tenants { world, own, vault, sealed } = Tenants::on(on).await?;
    let theirs = vault.tenant(&acme());
    for subject in ["ben", "cy"] {
        theirs.enroll(&customer(subject)).await?;
    }
    let newer = own.add_key().await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    own.add_key().await?;
    own.destroy_key(&newer).await?;
    let vault = Tenants::vault_of(&world, &own).await?;
    let theirs = vault.tenant(&acme());
    assert!(open(&theirs.keys(&customer("ada")).await?, &sealed[0])?);
    theirs.schedule_erasure(&customer("ben"), world.later(MAX_AGE)).await?;
    assert!(is_closed(&theirs.keys(&customer("ben")).await));
    theirs.erase(&customer("cy"), &only("billing")).await?;
    let refused = theirs.keys(&customer("cy")).await?.seal_bytes(b"1", &context("billing"));
    assert!(matches!(refused, Err(Error::PurposeErased { .. })), "{refused:?}");
    world.pass_max_age();
    let swept = vault.erase_due().await?;
    assert_eq!((swept.receipts.len(), swept.failed.len()), (1, 0));
    assert!(open(&theirs.keys(&customer("ada")).await?, &sealed[0])?);
    Ok(())
}

/// What was erased is erased again, for others to go on.
async fn a_restore_is_replayed_past_a_tenant_that_revoked(on: &Ground) -> Result {
    use ProviderErrorKind::{Denied, KeyDestroyed};
    for kind in [Denied, KeyDestroyed] {
        let Tenants { world, own, vault, sealed } = Tenants::on(on).await?;
        let theirs = vault.tenant(&acme());
        theirs.enroll(&customer("ben")).await?;
        let backup = world.store.backup().await?;
        theirs.erase(&customer("ada"), &only("billing")).await?;
        theirs.erase(&customer("ben"), &whole()).await?;
        theirs.hold(&customer("ada")).await?;
        drop(vault);
        world.store.restore(backup);
        let directory = HashMap::from([(acme(), Arc::new(Refuses(kind)) as Arc<dyn MasterKeyProvider>)]);
        let provider = ByTenant::new(world.provider.clone(), directory);
        let builder = Vault::builder(provider, world.store.clone()).kinds(["customer"]).clock(world.clock.clone());
        let (vault, replayed) = builder.journal(world.journal.clone()).purposes(["billing"]).replay().await?;
        assert_eq!((replayed.erasures, replayed.flags), (2, 1), "{kind:?}");
        for _ in 0..2 {
            world.pass_max_age();
            assert!(open(&vault.tenant(&globex()).keys(&customer("ada")).await?, &sealed[1])?, "{kind:?}");
        }
        let there = Tenants::vault_of(&world, &own).await?.tenant(&acme());
        assert!(
            open(&there.keys(&customer("ada")).await?, &sealed[0])? && is_erased(&there.keys(&customer("ben")).await)
        );
        let refused = there.keys(&customer("ada")).await?.seal_bytes(b"1", &context("billing"));
        assert!(matches!(refused, Err(Error::PurposeErased { .. })), "{refused:?}");
    }
    Ok(())
}

/// An epoch whose retirement found slots in it that their tenant lets nobody move: they can't be written before it does.
async fn what_is_below_the_floor_and_can_not_move_stops_no_other(on: &Ground) -> Result {
    let Tenants { world, own, vault, sealed } = Tenants::on(on).await?;
    for subject in ["ben", "cy"] {
        vault.tenant(&acme()).enroll(&customer(subject)).await?;
    }
    world.provider.add_key().await?;
    let kind = ProviderErrorKind::Denied;
    let refuses = || {
        let directory = HashMap::from([(acme(), Arc::new(Refuses(kind)) as Arc<dyn MasterKeyProvider>)]);
        world.vault_with(ByTenant::new(world.provider.clone(), directory))
    };
    let vault = refuses().await?;
    assert!(is_of_kind(&all_moved(vault.advance_epoch().await), kind));
    vault.rewrap_page(None, 100).await?;
    assert!(matches!(vault.retire_epoch(epoch(1)).await, Err(Error::EpochInUse { .. })));
    let (acme, globex) = (vault.tenant(&acme()), vault.tenant(&globex()));
    assert!(is_of_kind(&acme.hold(&customer("ben")).await, kind));
    assert!(is_of_kind(&acme.erase(&customer("cy"), &only("billing")).await, kind));
    for vault in [&vault, &refuses().await?] {
        world.pass_max_age();
        assert!(open(&vault.tenant(globex.id()).keys(&customer("ada")).await?, &sealed[1])?);
    }
    let swept = vault.erase_due().await?;
    let left: Vec<_> = swept
        .failed
        .iter()
        .map(|(id, e)| (id.tenant() == Some(acme.id()), is_of_kind(&Err::<(), _>(e.clone()), kind)))
        .collect();
    assert_eq!(left, [(true, true); 2], "{:?}", swept.failed);
    acme.release(&customer("ben")).await?;
    acme.erase(&customer("ben"), &whole()).await?;

    let vault = Tenants::vault_of(&world, &own).await?;
    let theirs = vault.tenant(acme.id());
    assert!(matches!(
        theirs.keys(&customer("cy")).await?.seal_bytes(b"1", &context("billing")),
        Err(Error::PurposeErased { .. })
    ));
    seal(&theirs.keys(&customer("cy")).await?)?;
    assert!(vault.erase_due().await?.failed.is_empty());
    world_is_free_of(&vault, epoch(1)).await
}

async fn world_is_free_of(vault: &Vault, epoch: Epoch) -> Result {
    let page = vault.rewrap_page(None, 100).await?;
    assert!(page.failed.is_empty(), "{:?}", page.failed);
    vault.retire_epoch(epoch).await.map(drop)
}

async fn a_notice_ends_keys_at_once_in_another_process(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.vault().await?, world.vault().await?);
    let keys = there.default_tenant().enroll(&customer("ada")).await?;
    let sealed = seal(&keys)?;
    let others = there.default_tenant().enroll(&customer("ben")).await?;
    here.default_tenant().erase(&customer("ada"), &whole()).await?;
    assert!(open(&keys, &sealed)?, "within max_age");
    let slot = world.subjects().await?.into_iter().find(|slot| slot.epoch().is_none()).map(|slot| slot.id().clone());
    there.heed(&Notice::Ended(slot.unwrap()));
    assert!(matches!(open(&keys, &sealed), Err(Error::KeysExpired)));
    assert!(is_erased(&there.default_tenant().keys(&customer("ada")).await));
    seal(&others)?;
    there.heed(&Notice::Missed);
    assert!(matches!(seal(&others), Err(Error::KeysExpired)));
    assert!(there.default_tenant().keys(&customer("ben")).await.is_ok());
    Ok(())
}
