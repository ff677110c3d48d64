//! The vault over the in-memory ports: what it costs, what it shares, what it refuses.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::error::{Retry, StoreErrorKind};
use fieldseal::journal::{ErasureJournal as _, JournalEvent, MemoryJournal};
use fieldseal::provider::MasterKeyProvider as _;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, MemoryStore, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};
use fieldseal::vault::{CacheLimits, Enrollment, ErasureRequest, VaultBuilder, WantsJournal};
use fieldseal::{Error, HasSubject, SubjectId, Suite, Tenant, TenantId, Vault};
use fieldseal_testkit::counting::{Counting, Counts};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::drop_after;
use fieldseal_testkit::world::World;
use futures_util::FutureExt as _;

use crate::common::{Result, context};

/// Before it is said which journal.
fn builder(world: &World) -> VaultBuilder<WantsJournal> {
    Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]).clock(world.clock.clone())
}

/// A vault, and what it asks of store and provider from now on.
async fn counted(world: &World) -> Result<(Vault, Counts, Counts)> {
    let (provider, store) = (Counting::new(world.provider.clone()), Counting::new(world.store.clone()));
    let (provider_counts, store_counts) = (provider.counts(), store.counts());
    let builder = Vault::builder(provider, store).kinds(["customer"]).clock(world.clock.clone());
    let vault = builder.journal(world.journal.clone()).build().await?;
    provider_counts.reset();
    store_counts.reset();
    Ok((vault, provider_counts, store_counts))
}

/// Whether what one set of keys sealed opens with the other.
fn opens(sealed_by: &fieldseal::SubjectKeys, opened_by: &fieldseal::SubjectKeys) -> Result<bool> {
    let envelope = sealed_by.seal_bytes(b"ada@example.com", &context())?;
    match opened_by.open_bytes(&envelope, &context()) {
        Ok(value) => Ok(value.as_deref().is_some_and(|v| *v == b"ada@example.com")),
        Err(Error::KeyNotHeld | Error::Authentication) => Ok(false),
        Err(e) => Err(e),
    }
}

#[tokio::test]
async fn a_subject_is_unknown_until_it_is_enrolled() -> Result {
    let customers = World::in_memory()?.tenant().await?;
    assert!(matches!(customers.keys(&customer("ada")).await, Err(Error::SubjectUnknown)));
    let enrolled = customers.enroll(&customer("ada")).await?;
    assert!(opens(&enrolled, &customers.keys(&customer("ada")).await?)?);
    assert!(matches!(customers.keys(&customer("ben")).await, Err(Error::SubjectUnknown)));
    Ok(())
}

#[tokio::test]
async fn another_vault_on_the_same_ports_opens_the_same_values() -> Result {
    let world = World::in_memory()?;
    let sealed_by = world.tenant().await?.enroll(&customer("ada")).await?;
    assert!(opens(&sealed_by, &world.tenant().await?.keys(&customer("ada")).await?)?);
    Ok(())
}

#[tokio::test]
async fn subjects_and_tenants_have_keys_of_their_own() -> Result {
    let vault = World::in_memory()?.vault().await?;
    let (acme, globex) = (vault.tenant(&TenantId::new("acme")?), vault.tenant(&TenantId::new("globex")?));
    let ada = acme.enroll(&customer("ada")).await?;
    assert!(!opens(&ada, &acme.enroll(&customer("ben")).await?)?);
    assert!(!opens(&ada, &globex.enroll(&customer("ada")).await?)?);
    Ok(())
}

/// Customer 17 and employee 17 are two people: one has keys, is rotated, held and erased without the other.
#[tokio::test]
async fn two_kinds_of_one_id_are_two_subjects() -> Result {
    let world = World::in_memory()?;
    let tenant = world.builder().kinds(["employee"]).build().await?.default_tenant();
    let (ada, other) = (customer(17), SubjectId::new("employee", &17)?);
    let customers = tenant.enroll(&ada).await?;
    assert!(matches!(tenant.keys(&other).await, Err(Error::SubjectUnknown)));
    let employees = tenant.enroll(&other).await?;
    assert!(!opens(&customers, &employees)?);
    assert_ne!(tenant.tag(&ada).await?, tenant.tag(&other).await?);
    assert_eq!(tenant.keys_of(&[ada.clone(), other.clone()]).await?.len(), 2);
    tenant.hold(&other).await?;
    tenant.erase(&ada, &ErasureRequest::new()).await?;
    assert!(matches!(tenant.keys(&ada).await, Err(Error::SubjectErased { .. })));
    assert!(opens(&employees, &tenant.keys(&other).await?)?);
    Ok(())
}

/// A kind that is misspelled must be no new person.
#[tokio::test]
async fn a_kind_that_is_not_declared_is_refused_by_every_call() -> Result {
    let world = World::in_memory()?;
    let tenant = world.tenant().await?;
    tenant.enroll(&customer(17)).await?;
    let before = (world.entries().await?, world.slots().await?);
    let costumer = SubjectId::new("costumer", &17)?;
    for refused in every_call(&tenant, &costumer, world.later(Duration::ZERO)).await {
        let Err(Error::InvalidInput(told)) = refused else { panic!("{refused:?}") };
        assert!(told.contains("`customer`") && !told.contains("17"), "{told}");
    }
    assert_eq!((world.entries().await?, world.slots().await?), before);
    Ok(())
}

/// Keys know their tenant: its subject of the same kind and id is another person elsewhere.
#[tokio::test]
async fn keys_of_another_tenant_are_refused_by_every_call() -> Result {
    let world = World::in_memory()?;
    let vault = world.vault().await?;
    let (acme, globex) = (vault.tenant(&TenantId::new("acme")?), vault.tenant(&TenantId::new("globex")?));
    let adas = acme.enroll(&customer("ada")).await?;
    let envelope = globex.enroll(&customer("ada")).await?.seal_bytes(b"x", &context())?;
    let page = globex.keys_of(&[customer("ada")]).await?;
    let before = (world.entries().await?, world.slots().await?);
    for refused in every_call(&globex, &adas, world.later(Duration::ZERO)).await {
        assert!(matches!(refused, Err(Error::WrongTenant)), "{refused:?}");
    }
    assert!(matches!(globex.refresh(&adas).await, Err(Error::WrongTenant)));
    assert!(matches!(page.get(&adas), Err(Error::WrongTenant)));
    assert_eq!((world.entries().await?, world.slots().await?), before);
    assert!(globex.keys(&customer("ada")).await?.open_bytes(&envelope, &context()).is_ok());
    // Their own takes them, in place of the subject.
    assert!(acme.keys(&adas).await.is_ok() && acme.refresh(&adas).await.is_ok());
    acme.erase(&adas, &ErasureRequest::new()).await?;
    Ok(())
}

/// What each call of a tenant that takes a subject answers.
async fn every_call(tenant: &Tenant, subject: &(impl HasSubject + Sync), at: Timestamp) -> Vec<Result> {
    let (request, whom) = (ErasureRequest::new().even_if_unknown(), &[subject]);
    vec![
        tenant.keys(subject).await.map(drop),
        tenant.keys_of(whom).await.map(drop),
        tenant.enroll(subject).await.map(drop),
        tenant.enroll_with(subject, &Enrollment::new().even_if_erased()).await.map(drop),
        tenant.enroll_all(whom).await.map(drop),
        tenant.tag(subject).await.map(drop),
        tenant.inventory(subject).await.map(drop),
        tenant.rotate(subject).await.map(drop),
        tenant.rotate_now(subject).await,
        tenant.hold(subject).await,
        tenant.release(subject).await,
        tenant.schedule_erasure(subject, at).await,
        tenant.cancel_erasure(subject).await,
        tenant.erase(subject, &request).await.map(drop),
        tenant.erase_all(whom, &request).await.map(drop),
    ]
}

#[tokio::test]
async fn a_cold_tenant_costs_a_provider_call_per_key_a_warm_one_none() -> Result {
    let world = World::in_memory()?;
    let customers = world.tenant().await?;
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
    }
    let (vault, provider, store) = counted(&world).await?;
    vault.default_tenant().keys(&customer("ada")).await?;
    assert_eq!(provider.unwraps(), 2, "the tenant's root and its epoch key");
    assert_eq!(store.loads(), 2, "the tenant's slot with the vault's, and the subject's");
    vault.default_tenant().keys(&customer("ben")).await?;
    assert_eq!((provider.unwraps(), provider.wraps()), (2, 0), "a warm tenant asks the provider nothing");
    assert_eq!(store.loads(), 3);
    vault.default_tenant().keys(&customer("ada")).await?;
    assert_eq!(store.loads(), 3, "a cached subject costs nothing");
    Ok(())
}

#[tokio::test]
async fn a_page_of_cold_subjects_is_one_store_read() -> Result {
    let world = World::in_memory()?;
    let subjects: Vec<SubjectId> = (1..=100).map(customer).collect();
    world.tenant().await?.enroll_all(&subjects).await?;
    let (vault, provider, store) = counted(&world).await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    store.reset();
    provider.reset();
    let with_repeats = [&subjects[..], &subjects].concat();
    let page = customers.keys_of(&with_repeats).await?;
    assert_eq!((store.loads(), store.slots_loaded(), provider.unwraps()), (1, 100, 0));
    assert_eq!(page.len(), 100);
    for subject in &subjects {
        assert_eq!(page.get(subject)?.subject(), subject);
    }
    customers.keys_of(&subjects).await?;
    assert_eq!(store.loads(), 1, "now they are cached");
    Ok(())
}

#[tokio::test]
async fn a_page_tells_of_each_subject_alone() -> Result {
    let customers = World::in_memory()?.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let page = customers.keys_of(&["ada", "nobody"].map(customer)).await?;
    assert!(page.get(&customer("ada")).is_ok());
    assert!(matches!(page.get(&customer("nobody")), Err(Error::SubjectUnknown)));
    assert!(matches!(page.get(&customer("not asked for")), Err(Error::InvalidInput(_))));
    assert_eq!((page.len(), page.is_empty()), (1, false));
    assert!(customers.keys_of(&[] as &[SubjectId]).await?.is_empty());
    Ok(())
}

/// A row as an application has one: of somebody, or of nobody yet.
struct Row(Option<SubjectId>);

impl HasSubject for Row {
    fn subject(&self) -> Result<SubjectId> {
        self.0.clone().ok_or(Error::InvalidInput("of nobody yet".into()))
    }
}

#[tokio::test]
async fn a_row_of_nobody_spoils_nothing_for_the_others() -> Result {
    let customers = World::in_memory()?.tenant().await?;
    let rows = [Row(Some(customer("ada"))), Row(None), Row(Some(customer("ben")))];
    for page in [customers.enroll_all(&rows).await?, customers.keys_of(&rows).await?] {
        assert_eq!(page.len(), 2);
        assert!(page.get(&rows[0]).is_ok() && page.get(&rows[2]).is_ok());
        assert!(matches!(page.get(&rows[1]), Err(Error::InvalidInput(told)) if told == "of nobody yet"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_misses_on_one_subject_are_one_read_and_one_unwrap() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let (provider, store) = (Counting::new(world.provider.clone()), Counting::new(slow(&world.store)));
    let (provider_counts, store_counts) = (provider.counts(), store.counts());
    let vault = Vault::builder(provider, store).kinds(["customer"]).journal(world.journal.clone()).build().await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    provider_counts.reset();
    store_counts.reset();
    let before = vault.cache_stats();
    let tasks: Vec<_> = (0..1000)
        .map(|_| {
            let customers = customers.clone();
            tokio::spawn(async move { customers.keys(&customer("ada")).await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap()?;
    }
    assert_eq!((store_counts.loads(), provider_counts.unwraps()), (1, 0));
    assert_eq!(vault.cache_stats().unwraps - before.unwraps, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cold_tenant_is_loaded_once_by_all_who_want_it() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let (provider, store) = (Counting::new(world.provider.clone()), Counting::new(slow(&world.store)));
    let (provider_counts, store_counts) = (provider.counts(), store.counts());
    let vault = Vault::builder(provider, store).kinds(["customer"]).journal(world.journal.clone()).build().await?;
    provider_counts.reset();
    store_counts.reset();
    let tasks: Vec<_> = (0..100)
        .map(|i| {
            let customers = vault.default_tenant();
            tokio::spawn(async move { customers.keys(&customer(format!("nobody {i}"))).await.map(drop) })
        })
        .collect();
    for task in tasks {
        assert!(matches!(task.await.unwrap(), Err(Error::SubjectUnknown)));
    }
    assert_eq!(provider_counts.unwraps(), 2);
    Ok(())
}

#[tokio::test]
async fn dropping_the_first_waiter_stops_nothing_for_the_others() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let store = Counting::new(slow(&world.store));
    let counts = store.counts();
    let vault = Vault::builder(world.provider.clone(), store)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    counts.reset();
    let [ada, ben] = ["ada", "ben"].map(customer);
    let mut first = Box::pin(customers.keys(&ada));
    let mut second = Box::pin(customers.keys(&ada));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    second.await?;
    assert_eq!(counts.loads(), 1);
    // All of them dropped: the next one begins anew.
    vault_forgets(&world, &vault);
    let mut only = Box::pin(customers.keys(&ben));
    assert!((&mut only).now_or_never().is_none());
    drop(only);
    assert!(matches!(customers.keys(&customer("ben")).await, Err(Error::SubjectUnknown)));
    Ok(())
}

fn vault_forgets(world: &World, vault: &Vault) {
    world.clock.advance(vault.max_age() + Duration::from_millis(1));
}

#[tokio::test]
async fn overlapping_pages_wait_for_one_another_without_a_deadlock() -> Result {
    let world = World::in_memory()?;
    let subjects: Vec<SubjectId> = (1..=60).map(customer).collect();
    world.tenant().await?.enroll_all(&subjects).await?;
    let store = Counting::new(slow(&world.store));
    let counts = store.counts();
    let vault = Vault::builder(world.provider.clone(), store)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    counts.reset();
    let (a, b, c) = tokio::join!(
        customers.keys_of(&subjects[..40]),
        customers.keys_of(&subjects[20..]),
        customers.keys_of(&subjects[10..50])
    );
    assert_eq!((a?.len(), b?.len(), c?.len()), (40, 40, 40));
    assert_eq!((counts.loads(), counts.slots_loaded()), (2, 60), "no subject is read twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn vaults_that_enroll_a_new_subject_at_once_end_with_one_key() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("first")).await?;
    for round in 0..50 {
        let subject = format!("subject {round}");
        let tasks: Vec<_> = futures_util::future::try_join_all((0..4).map(|_| world.vault()))
            .await?
            .into_iter()
            .map(|vault| {
                let subject = subject.clone();
                tokio::spawn(async move { vault.default_tenant().enroll(&customer(&subject)).await })
            })
            .collect();
        let mut keys = Vec::new();
        for task in tasks {
            keys.push(task.await.unwrap()?);
        }
        for a in &keys {
            for b in &keys {
                assert!(opens(a, b)?);
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn vaults_that_create_the_store_at_once_end_with_one_root() -> Result {
    for _ in 0..50 {
        let world = World::in_memory()?;
        let vaults = futures_util::future::try_join_all((0..4).map(|_| world.vault())).await?;
        let enroll = |vault: Vault| tokio::spawn(async move { vault.default_tenant().enroll(&customer("ada")).await });
        let tasks: Vec<_> = vaults.into_iter().map(enroll).collect();
        let mut keys = Vec::new();
        for task in tasks {
            keys.push(task.await.unwrap()?);
        }
        assert!(opens(&keys[0], &keys[3])? && opens(&keys[1], &keys[2])?);
    }
    Ok(())
}

#[tokio::test]
async fn enroll_adds_purposes_that_are_missing() -> Result {
    let world = World::in_memory()?;
    let old = world.tenant().await?.enroll(&customer("ada")).await?;
    let billing = context().purpose("billing");
    assert!(matches!(old.seal_bytes(b"x", &billing), Err(Error::PurposeUnknown)));
    let vault = world.builder().purposes(["billing", "billing"]).build().await?;
    let keys = vault.default_tenant().keys(&customer("ada")).await?;
    assert!(matches!(keys.seal_bytes(b"x", &billing), Err(Error::PurposeUnknown)), "keys alone adds nothing");
    let keys = vault.default_tenant().enroll(&customer("ada")).await?;
    let envelope = keys.seal_bytes(b"x", &billing)?;
    assert_eq!(keys.open_bytes(&envelope, &billing)?.as_deref().map(Vec::as_slice), Some(&b"x"[..]));
    assert!(matches!(keys.open_bytes(&envelope, &context()), Err(Error::WrongPurpose)));
    assert!(opens(&old, &keys)?, "what was there is kept");
    Ok(())
}

#[tokio::test]
async fn enrolling_again_writes_nothing() -> Result {
    let world = World::in_memory()?;
    let (vault, _, store) = counted(&world).await?;
    let customers = vault.default_tenant();
    let first = customers.enroll(&customer("ada")).await?;
    store.reset();
    customers.enroll(&customer("ada")).await?;
    assert_eq!((store.loads(), store.puts()), (0, 0), "it is cached");
    let second = world.tenant().await?.enroll(&customer("ada")).await?;
    assert!(opens(&first, &second)?);
    Ok(())
}

#[tokio::test]
async fn a_retention_period_is_kept_and_moved() -> Result {
    let world = World::in_memory()?;
    let customers = world.tenant().await?;
    let later = |millis| world.later(Duration::from_millis(millis));
    let due = async |before| -> Result<usize> {
        let scan = Scan::new(Filter::DueBefore(later(before)));
        Ok(world.store.scan(&scan).await?.slots.len())
    };
    let at = |millis| Enrollment::new().retain_until(later(millis));
    customers.enroll_with(&customer("ada"), &at(5000)).await?;
    assert_eq!((due(5000).await?, due(5001).await?), (0, 1));
    customers.enroll_with(&customer("ada"), &at(9000)).await?;
    assert_eq!((due(9000).await?, due(9001).await?), (0, 1));
    customers.enroll(&customer("ada")).await?;
    assert_eq!(due(9001).await?, 1, "a plain enrollment leaves it");
    // Nor is it prolonged by one once it has ended; by whoever says so it is.
    world.clock.advance(Duration::from_millis(9000));
    let ended = customers.enroll(&customer("ada")).await;
    assert!(matches!(ended, Err(Error::SubjectClosed { due }) if due == world.clock.wall()), "{ended:?}");
    customers.enroll_with(&customer("ada"), &at(1)).await?;
    customers.keys(&customer("ada")).await.map(drop)
}

#[tokio::test]
async fn keys_expire_by_either_clock() -> Result {
    for sleep in [false, true] {
        let world = World::in_memory()?;
        let vault = world.builder().max_age(Duration::from_secs(60)).build().await?;
        let customers = vault.default_tenant();
        let keys = customers.enroll(&customer("ada")).await?;
        world.clock.advance(Duration::from_secs(60));
        assert!(opens(&keys, &keys)?);
        match sleep {
            // A suspended machine: the monotonic clock stands still.
            true => world.clock.set_wall(Timestamp::from_millis(1_767_225_600_000 + 60_001)),
            false => world.clock.advance_monotonic(Duration::from_millis(1)),
        }
        let expired = keys.seal_bytes(b"x", &context());
        assert!(matches!(&expired, Err(e @ Error::KeysExpired) if e.retry() == Retry::Now));
        assert!(
            opens(&customers.keys(&customer("ada")).await?, &customers.keys(&customer("ada")).await?)?,
            "asking again mends it"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_set_back_expires_keys() -> Result {
    let world = World::in_memory()?;
    let keys = world.tenant().await?.enroll(&customer("ada")).await?;
    world.clock.set_wall(Timestamp::from_millis(1_767_225_600_000 - 2_000));
    assert!(opens(&keys, &keys)?, "corrections by a time daemon are borne");
    world.clock.set_wall(Timestamp::from_millis(1_767_225_600_000 - 2_001));
    assert!(matches!(keys.seal_bytes(b"x", &context()), Err(Error::KeysExpired)));
    Ok(())
}

#[tokio::test]
async fn max_age_may_be_smaller_than_the_stores_and_not_larger() -> Result {
    let world = World::in_memory()?;
    let build = async |seconds| {
        let builder = world.builder().max_age(Duration::from_secs(seconds));
        builder.build().await
    };
    assert_eq!(build(60).await?.max_age(), Duration::from_secs(60));
    assert_eq!(build(30).await?.max_age(), Duration::from_secs(30));
    assert_eq!(world.vault().await?.max_age(), Duration::from_secs(60), "nothing said: the store's");
    assert!(matches!(build(61).await, Err(Error::MaxAgeTooLong { limit }) if limit == Duration::from_secs(60)));
    for nonsense in [0, 24 * 3600 + 1] {
        assert!(matches!(build(nonsense).await, Err(Error::InvalidInput(_))));
    }
    let vault = world.vault().await?;
    assert!(matches!(vault.set_max_age(Duration::from_secs(59)).await, Err(Error::InvalidInput(_))));
    vault.set_max_age(Duration::from_secs(120)).await?;
    assert_eq!(build(120).await?.max_age(), Duration::from_secs(120));
    let raised = |e: &fieldseal::journal::JournalEntry| *e.event() == JournalEvent::MaxAgeRaised { millis: 120_000 };
    assert!(world.journal.read(0, 100).await?.iter().any(raised), "receipts count on it, so it is journaled");
    Ok(())
}

#[tokio::test]
async fn the_cache_is_bounded_and_drops_what_expired() -> Result {
    let world = World::in_memory()?;
    let limits = CacheLimits::new().subjects(50);
    let vault = world.builder().cache(limits).build().await?;
    let customers = vault.default_tenant();
    let subjects: Vec<SubjectId> = (1..=500).map(customer).collect();
    customers.enroll_all(&subjects).await?;
    assert!(vault.cache_stats().subjects <= 50);
    world.clock.advance(vault.max_age() + Duration::from_secs(1));
    let _ = customers.keys(&customer("somebody else")).await;
    assert_eq!(vault.cache_stats().subjects, 0, "a load sweeps out what nobody asks for any more");
    Ok(())
}

#[tokio::test]
async fn refresh_reads_past_the_cache_and_tells_not_yet_from_not_ours() -> Result {
    let world = World::in_memory()?;
    let (vault, _, store) = counted(&world).await?;
    let customers = vault.default_tenant();
    let keys = customers.enroll(&customer("ada")).await?;
    // An envelope under a key of somebody else, that says it belongs here.
    let foreign = World::in_memory()?.tenant().await?.enroll(&customer("ada")).await?.seal_bytes(b"x", &context())?;
    assert!(matches!(keys.open_bytes(&foreign, &context()), Err(Error::KeyNotHeld)));
    store.reset();
    let refreshed = customers.refresh(&keys).await?;
    assert_eq!(store.loads(), 1);
    assert!(matches!(refreshed.open_bytes(&foreign, &context()), Err(Error::Authentication)));
    assert!(opens(&keys, &refreshed)?);
    // What the cache has is not marked: a key may be made any time after.
    let cached = customers.keys(&customer("ada")).await?;
    assert!(matches!(cached.open_bytes(&foreign, &context()), Err(Error::KeyNotHeld)));
    // One read a second, however often it is asked for.
    for _ in 0..100 {
        let again = customers.refresh(&cached).await?;
        assert!(matches!(again.open_bytes(&foreign, &context()), Err(Error::KeyNotHeld)));
    }
    assert_eq!(store.loads(), 1);
    world.clock.advance(Duration::from_secs(1));
    let refreshed = customers.refresh(&cached).await?;
    assert!(matches!(refreshed.open_bytes(&foreign, &context()), Err(Error::Authentication)));
    assert_eq!(store.loads(), 2);
    Ok(())
}

#[tokio::test]
async fn a_vault_with_another_journal_or_none_does_not_build() -> Result {
    let world = World::in_memory()?;
    world.vault().await?;
    let another = builder(&world).journal(MemoryJournal::new()?).build().await;
    assert!(matches!(another, Err(Error::WrongJournal)));
    assert!(matches!(builder(&world).without_journal().build().await, Err(Error::WrongJournal)));
    Ok(())
}

#[tokio::test]
async fn a_store_without_a_journal_adopts_its_first_one_for_good() -> Result {
    let world = World::in_memory()?;
    let keys = builder(&world).without_journal().build().await?.default_tenant().enroll(&customer("ada")).await?;
    assert!(opens(&keys, &world.tenant().await?.keys(&customer("ada")).await?)?);
    assert!(matches!(builder(&world).without_journal().build().await, Err(Error::WrongJournal)));
    let events: Vec<_> = world.journal.read(0, 10).await?.iter().map(|e| e.event().clone()).collect();
    assert!(matches!(
        events.as_slice(),
        [
            JournalEvent::RootCreated { .. },
            JournalEvent::EpochOpened { epoch, .. },
            JournalEvent::RootCreated { .. },
            JournalEvent::RootStored { .. },
        ] if epoch.get() == 1
    ));
    Ok(())
}

#[tokio::test]
async fn roots_and_epochs_are_journaled_before_they_are_used() -> Result {
    let world = World::in_memory()?;
    world.vault().await?.tenant(&TenantId::new("acme")?).enroll(&customer("ada")).await?;
    let entries = world.journal.read(0, 10).await?;
    let told: Vec<_> = entries.iter().map(|e| (e.tenant().map(TenantId::as_str), e.event().clone())).collect();
    assert!(matches!(
        told.as_slice(),
        [
            (None, JournalEvent::RootCreated { .. }),
            (None, JournalEvent::EpochOpened { .. }),
            (Some("acme"), JournalEvent::RootCreated { .. }),
            (Some("acme"), JournalEvent::RootStored { .. }),
        ]
    ));
    Ok(())
}

/// A store may end a page before it found anything.
#[tokio::test]
async fn an_empty_page_is_not_the_end() -> Result {
    let world = World::in_memory()?;
    let over = |store| {
        Vault::builder(world.provider.clone(), sparse(store)).kinds(["customer"]).journal(world.journal.clone()).build()
    };
    let vault = over(&world.store).await?;
    let acme = vault.tenant(&TenantId::new("acme")?);
    let ada = acme.enroll(&customer("ada")).await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    let slots = world.store.scan(&Scan::new(Filter::EpochBelow(vault.current_epoch().await?))).await?.slots;
    assert!(slots.iter().all(|slot| matches!(slot.id(), SlotId::Subject(..))), "every tenant has moved: {slots:?}");
    assert!(opens(&ada, &acme.keys(&customer("ada")).await?)?);

    // A tenant's slot that was lost is not made anew beside its subjects.
    let lost = copy_without(&world.store, |id| matches!(id, SlotId::Tenant(_))).await?;
    let lost = world.clone().with_store(lost).store;
    let enrolled = over(&lost).await?.tenant(&TenantId::new("acme")?).enroll(&customer("ben")).await;
    assert!(matches!(enrolled, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt));
    Ok(())
}

#[tokio::test]
async fn an_empty_store_beside_a_journal_of_tenants_is_refused() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let lost = world.with_store(MemoryStore::new());
    assert!(matches!(lost.vault().await, Err(Error::StoreBehindJournal { missing: 4 })));
    Ok(())
}

#[tokio::test]
async fn a_creation_that_crashed_after_the_journal_is_finished() -> Result {
    let world = World::in_memory()?;
    // The journal has it, the store does not.
    let crashed = World::in_memory()?;
    let other = crashed.with_journal(world.journal.clone());
    other.vault().await?;
    let keys = world.tenant().await?.enroll(&customer("ada")).await?;
    assert!(opens(&keys, &keys)?);
    Ok(())
}

#[tokio::test]
async fn a_first_start_that_keeps_failing_can_be_mended() -> Result {
    let world = World::in_memory()?;
    let broken = failing(&world.store);
    broken.refuse_writes();
    for _ in 0..40 {
        let built = Vault::builder(world.provider.clone(), broken.clone())
            .kinds(["customer"])
            .journal(world.journal.clone())
            .build()
            .await;
        assert!(matches!(built, Err(Error::Store(_))));
    }
    let keys = world.tenant().await?.enroll(&customer("ada")).await?;
    assert!(opens(&keys, &world.tenant().await?.keys(&customer("ada")).await?)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eighty_vaults_that_start_at_once_all_build() -> Result {
    let world = World::in_memory()?;
    let tasks: Vec<_> = (0..80)
        .map(|_| {
            let builder = world.builder();
            tokio::spawn(async move { builder.build().await.map(drop) })
        })
        .collect();
    for task in tasks {
        task.await.unwrap()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_of_another_store_is_refused_by_a_fresh_vault() -> Result {
    let staging = World::in_memory()?;
    staging.tenant().await?.enroll(&customer("ada")).await?;
    let world = World::in_memory()?.with_provider(staging.provider.clone());
    world.tenant().await?.enroll(&customer("ada")).await?;
    let id = SlotId::Tenant(TenantId::default_tenant());
    let foreign = staging.store.load(std::slice::from_ref(&id)).await?.remove(0).into_slot()?.unwrap();
    let own = world.store.load(std::slice::from_ref(&id)).await?.remove(0).into_slot()?.unwrap();
    world.store.put(&foreign, Expected::Revision(own.revision())).await?;
    let customers = world.tenant().await?;
    assert!(
        matches!(customers.keys(&customer("ada")).await, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt)
    );
    assert!(
        matches!(customers.enroll(&customer("ada")).await, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt)
    );
    Ok(())
}

#[tokio::test]
async fn a_vault_without_the_journal_that_its_store_has_adopted_stops() -> Result {
    let world = World::in_memory()?;
    let old = builder(&world).without_journal().build().await?;
    old.tenant(&TenantId::new("before")?).enroll(&customer("ada")).await?;
    let new = world.vault().await?;
    assert!(
        new.tenant(&TenantId::new("before")?).keys(&customer("ada")).await.is_ok(),
        "its root is journaled by the adoption"
    );
    assert!(matches!(old.tenant(&TenantId::new("after")?).enroll(&customer("ada")).await, Err(Error::WrongJournal)));
    Ok(())
}

#[tokio::test]
async fn an_older_read_does_not_replace_newer_keys() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let vault = Vault::builder(world.provider.clone(), slow(&world.store))
        .kinds(["customer"])
        .purposes(["billing"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    // The read has the slot as it was, and is told late.
    let ada = customer("ada");
    let mut slow = Box::pin(customers.keys(&ada));
    assert!((&mut slow).now_or_never().is_none());
    let newer = customers.enroll(&customer("ada")).await?;
    assert!(newer.seal_bytes(b"x", &context().purpose("billing")).is_ok());
    let _ = slow.await;
    let cached = customers.keys(&customer("ada")).await?;
    assert!(cached.seal_bytes(b"x", &context().purpose("billing")).is_ok());
    Ok(())
}

#[tokio::test]
async fn a_refresh_that_shares_an_older_read_does_not_speak_for_now() -> Result {
    let world = World::in_memory()?;
    let enrolled = world.tenant().await?.enroll(&customer("ada")).await?;
    let foreign = World::in_memory()?.tenant().await?.enroll(&customer("ada")).await?.seal_bytes(b"x", &context())?;
    let vault = Vault::builder(world.provider.clone(), slow(&world.store))
        .kinds(["customer"])
        .clock(world.clock.clone())
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    let ada = customer("ada");
    let mut cold = Box::pin(customers.keys(&ada));
    assert!((&mut cold).now_or_never().is_none());
    world.clock.advance(Duration::from_millis(1));
    let (shared, cold) = tokio::join!(customers.refresh(&enrolled), cold);
    cold?;
    assert!(matches!(shared?.open_bytes(&foreign, &context()), Err(Error::KeyNotHeld)));
    let fresh = customers.refresh(&enrolled).await?;
    assert!(matches!(fresh.open_bytes(&foreign, &context()), Err(Error::Authentication)));
    world.clock.advance(Duration::from_secs(1));
    assert!(matches!(fresh.open_bytes(&foreign, &context()), Err(Error::KeyNotHeld)), "a key may be made since");
    Ok(())
}

#[tokio::test]
async fn a_store_that_answers_with_other_slots_is_refused() -> Result {
    let world = World::in_memory()?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.enroll(&customer("ben")).await?;
    let vault = Vault::builder(world.provider.clone(), reversed(&world.store))
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let refused = vault.default_tenant().keys_of(&["ada", "ben"].map(customer)).await;
    assert!(matches!(refused, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt));
    Ok(())
}

/// However often its future was polled when it was dropped: the next call is right, and everybody has the same key.
#[tokio::test]
async fn a_dropped_call_leaves_what_the_next_one_can_go_on_from() -> Result {
    for polls in 0..40 {
        let world = World::in_memory()?;
        let builder = || Vault::builder(world.provider.clone(), yielding(&world.store)).kinds(["customer"]);
        drop_after(polls, builder().journal(world.journal.clone()).build()).await;
        let vault = builder().journal(world.journal.clone()).build().await?;
        drop_after(polls, vault.set_max_age(Duration::from_secs(600))).await;
        vault.set_max_age(Duration::from_secs(600)).await?;
        let customers = vault.default_tenant();
        drop_after(polls, customers.enroll(&customer("ada"))).await;
        drop_after(polls, customers.enroll_all(&["ada", "ben"].map(customer))).await;
        drop_after(polls, customers.keys_of(&["ada", "ben"].map(customer))).await;
        let keys = customers.enroll(&customer("ada")).await?;
        drop_after(polls, customers.refresh(&keys)).await;
        customers.refresh(&keys).await?;
        assert!(opens(&keys, &world.tenant().await?.keys(&customer("ada")).await?)?);
    }
    Ok(())
}

/// Copies every slot but the ones left out into a new store.
async fn copy_without(store: &dyn KeyStore, leave_out: impl Fn(&SlotId) -> bool) -> Result<MemoryStore> {
    let copy = MemoryStore::new();
    for slot in store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots {
        if !leave_out(slot.id()) {
            copy.put(&slot, Expected::Absent).await?;
        }
    }
    Ok(copy)
}

#[tokio::test]
async fn a_missing_root_is_never_made_anew() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let no_tenant = copy_without(&world.store, |id| matches!(id, SlotId::Tenant(_))).await?;
    let vault = Vault::builder(world.provider.clone(), no_tenant)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    assert!(
        matches!(vault.default_tenant().enroll(&customer("ben")).await, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt)
    );
    let no_vault = copy_without(&world.store, |id| *id == SlotId::Vault).await?;
    let built = Vault::builder(world.provider.clone(), no_vault)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await;
    assert!(matches!(built, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt));
    Ok(())
}

#[tokio::test]
async fn slots_of_one_subject_are_no_other_subjects() -> Result {
    let world = World::in_memory()?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let slots = world.store.scan(&Scan::new(Filter::All)).await?.slots;
    let ada = slots.iter().find(|s| matches!(s.id(), SlotId::Subject(..))).unwrap();
    let ada_id = ada.id().clone();
    customers.enroll(&customer("ben")).await?;
    let swapped = MemoryStore::new();
    for slot in world.store.scan(&Scan::new(Filter::All)).await?.slots {
        let slot = match slot.id() {
            // Ada's bytes in Ben's place.
            SlotId::Subject(..) if *slot.id() != ada_id => {
                StoredSlot::from_bytes(slot.id().clone(), ada.as_bytes().to_vec())?
            }
            _ => slot,
        };
        swapped.put(&slot, Expected::Absent).await?;
    }
    let vault = Vault::builder(world.provider.clone(), swapped)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    assert!(customers.keys(&customer("ada")).await.is_ok());
    assert!(
        matches!(customers.keys(&customer("ben")).await, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt)
    );
    let page = customers.keys_of(&["ada", "ben"].map(customer)).await?;
    assert!(
        page.get(&customer("ada")).is_ok() && page.get(&customer("ben")).is_err(),
        "a damaged slot spoils nothing for the others"
    );
    Ok(())
}

#[tokio::test]
async fn the_stores_failure_reaches_every_waiter_at_once() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let broken = failing(&world.store);
    let counting = Counting::new(broken.clone());
    let counts = counting.counts();
    let vault = Vault::builder(world.provider.clone(), counting)
        .kinds(["customer"])
        .journal(world.journal.clone())
        .build()
        .await?;
    let customers = vault.default_tenant();
    let _ = customers.keys(&customer("warms the tenant")).await;
    broken.break_now();
    counts.reset();
    let ada = customer("ada");
    let answers = futures_util::future::join_all((0..100).map(|_| customers.keys(&ada))).await;
    for answer in answers {
        assert!(matches!(answer, Err(e @ Error::Store(_)) if e.retry() == Retry::Later));
    }
    assert_eq!(counts.loads(), 1, "a store that is down is not asked a hundred times in a row");
    Ok(())
}

#[tokio::test]
async fn a_provider_that_moved_on_before_the_epoch_is_refused() -> Result {
    let world = World::in_memory()?;
    let vault = world.vault().await?;
    world.provider.add_key().await?;
    let refused = vault.default_tenant().enroll(&customer("ada")).await;
    assert!(matches!(refused, Err(Error::Provider(e)) if e.to_string().contains("the epoch must advance")));
    Ok(())
}

#[tokio::test]
async fn a_destroyed_master_key_opens_nothing() -> Result {
    let world = World::in_memory()?;
    world.tenant().await?.enroll(&customer("ada")).await?;
    let old = world.provider.current().await?;
    world.provider.add_key().await?;
    world.provider.destroy_key(&old).await?;
    assert!(matches!(world.vault().await, Err(Error::Provider(_))));
    Ok(())
}

#[tokio::test]
async fn both_suites_open_each_others_values() -> Result {
    let world = World::in_memory()?;
    let build = async |suite| world.builder().suite(suite).build().await;
    let xaes = build(Suite::Xaes256Gcm).await?.default_tenant().enroll(&customer("ada")).await?;
    let chacha = build(Suite::XChaCha20Poly1305).await?.default_tenant().keys(&customer("ada")).await?;
    assert!(opens(&xaes, &chacha)? && opens(&chacha, &xaes)?);
    assert_eq!(xaes.seal_bytes(b"", &context())?[0], 0xF9);
    assert_eq!(chacha.seal_bytes(b"", &context())?[0], 0xFA);
    Ok(())
}

#[tokio::test]
async fn purposes_are_bounded() -> Result {
    let world = World::in_memory()?;
    let names = |n| (0..n).map(|i| format!("purpose {i}")).collect::<Vec<_>>();
    let build = async |n| world.builder().purposes(names(n)).build().await;
    assert!(build(15).await?.default_tenant().enroll(&customer("ada")).await.is_ok());
    assert!(matches!(build(16).await, Err(Error::InvalidInput(_))));
    let empty = world.builder().purposes([""]).build().await;
    assert!(matches!(empty, Err(Error::InvalidInput(_))));
    Ok(())
}

#[tokio::test]
async fn tags_do_not_show_a_subject_and_differ_by_tenant() -> Result {
    let world = World::in_memory()?;
    let vault = world.vault().await?;
    vault.tenant(&TenantId::new("a")?).enroll(&customer("ada@example.com")).await?;
    vault.tenant(&TenantId::new("b")?).enroll(&customer("ada@example.com")).await?;
    let slots = world.store.scan(&Scan::new(Filter::All)).await?.slots;
    let mut tags = HashSet::new();
    for slot in &slots {
        let dump = [&slot.id().to_bytes()[..], slot.as_bytes()].concat();
        assert!(!dump.windows(3).any(|w| w == b"ada"));
        if let SlotId::Subject(_, tag) = slot.id() {
            tags.insert(*tag);
        }
    }
    assert_eq!(tags.len(), 2);
    Ok(())
}

#[test]
fn handles_are_shared_across_threads_and_futures_are_send() {
    fn send<T: Send>(_: T) {}
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Vault>();
    shared::<Tenant>();
    shared::<fieldseal::SubjectKeys>();
    fn futures(builder: VaultBuilder<WantsJournal>, vault: &Vault, tenant: &Tenant, keys: &fieldseal::SubjectKeys) {
        send(builder.without_journal().build());
        send(vault.set_max_age(Duration::ZERO));
        send(tenant.enroll(&customer("ada")));
        send(tenant.enroll_with(&customer("ada"), &Enrollment::new()));
        send(tenant.enroll_all(&["ada"].map(customer)));
        send(tenant.keys(&customer("ada")));
        send(tenant.keys_of(&["ada"].map(customer)));
        send(tenant.refresh(keys));
    }
    let _ = futures;
}

/// A store with a habit.
#[derive(Debug)]
struct Odd {
    store: Arc<dyn KeyStore>,
    habit: Habit,
}

#[derive(Debug)]
enum Habit {
    /// Reads at once and tells late, so that calls overlap.
    Slow,
    /// Gives the executor a turn in each call, before and after it does its work.
    Yielding,
    /// Answers a batch of two subjects in the wrong order.
    Reversed,
    /// Gives an empty page of a scan before the first tenant, and before a tenant that isn't there.
    Sparse,
    /// Fails when it is told to.
    Failing { down: AtomicBool, read_only: AtomicBool },
}

fn slow(store: &(impl KeyStore + Clone + 'static)) -> Odd {
    Odd { store: Arc::new(store.clone()), habit: Habit::Slow }
}

fn yielding(store: &(impl KeyStore + Clone + 'static)) -> Odd {
    Odd { store: Arc::new(store.clone()), habit: Habit::Yielding }
}

fn reversed(store: &(impl KeyStore + Clone + 'static)) -> Odd {
    Odd { store: Arc::new(store.clone()), habit: Habit::Reversed }
}

fn sparse(store: &(impl KeyStore + Clone + 'static)) -> Odd {
    Odd { store: Arc::new(store.clone()), habit: Habit::Sparse }
}

fn failing(store: &(impl KeyStore + Clone + 'static)) -> Arc<Odd> {
    let habit = Habit::Failing { down: false.into(), read_only: false.into() };
    Arc::new(Odd { store: Arc::new(store.clone()), habit })
}

impl Odd {
    fn break_now(&self) {
        if let Habit::Failing { down, .. } = &self.habit {
            down.store(true, Ordering::SeqCst);
        }
    }

    fn refuse_writes(&self) {
        if let Habit::Failing { read_only, .. } = &self.habit {
            read_only.store(true, Ordering::SeqCst);
        }
    }

    async fn turn(&self) {
        if matches!(self.habit, Habit::Yielding) {
            tokio::task::yield_now().await;
        }
    }
}

type StoreResult<T> = std::result::Result<T, StoreError>;

#[async_trait::async_trait]
impl KeyStore for Odd {
    async fn load(&self, ids: &[SlotId]) -> StoreResult<Vec<Loaded>> {
        self.turn().await;
        let mut loaded = self.store.load(ids).await?;
        match &self.habit {
            Habit::Yielding => self.turn().await,
            Habit::Slow | Habit::Failing { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
            Habit::Reversed if matches!(ids, [SlotId::Subject(..), SlotId::Subject(..)]) => loaded.reverse(),
            Habit::Reversed | Habit::Sparse => {}
        }
        match &self.habit {
            Habit::Failing { down, .. } if down.load(Ordering::SeqCst) => Err(StoreError::unavailable("switched off")),
            _ => Ok(loaded),
        }
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> StoreResult<()> {
        self.turn().await;
        if matches!(&self.habit, Habit::Failing { read_only, .. } if read_only.load(Ordering::SeqCst)) {
            return Err(StoreError::misconfigured("the database is read-only"));
        }
        let put = self.store.put(slot, expected).await;
        self.turn().await;
        put
    }

    async fn scan(&self, scan: &Scan) -> StoreResult<ScanPage> {
        self.turn().await;
        let empty = match (&self.habit, scan.cursor(), scan.only_tenant()) {
            (Habit::Sparse, None, Some(tenant)) => Some(SlotId::Tenant(tenant.clone())),
            (Habit::Sparse, Some(SlotId::Vault), None) => TenantId::new("!").ok().map(SlotId::Tenant),
            _ => None,
        };
        match empty {
            Some(next) if self.store.load(std::slice::from_ref(&next)).await? == [Loaded::Absent] => {
                Ok(ScanPage { next: Some(next), ..ScanPage::default() })
            }
            _ if matches!(self.habit, Habit::Sparse) => self.store.scan(&scan.clone().limit(1)).await,
            _ => self.store.scan(scan).await,
        }
    }

    async fn raise_floor(&self, epoch: Epoch) -> StoreResult<()> {
        self.store.raise_floor(epoch).await
    }

    async fn scrub(&self) -> StoreResult<Residue> {
        self.store.scrub().await
    }
}
