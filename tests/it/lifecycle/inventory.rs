//! What an operator is told of keys, epochs and erasures is what is so.

use std::sync::atomic::{AtomicU64, Ordering};

use fieldseal::error::StoreErrorKind;
use fieldseal::vault::Enrollment;
use fieldseal::vault::{
    EpochStatus, ErasureRecord, ErasureStatus, InventoryPage, KeyEnd, SubjectInfo, SubjectState, VersionState,
};
use fieldseal_testkit::faults::{Act, Port};

use super::*;

tests![
    a_version_is_pending_then_current_then_superseded
    what_has_become_of_a_subject_is_told
    asking_for_an_unknown_subject_makes_nothing
    pages_of_any_size_tell_each_subject_once
    a_damaged_slot_is_told_and_hides_no_other
    no_provider_is_asked_for_a_subject
    a_store_that_can_not_be_reached_is_no_empty_one
    an_epoch_is_current_live_retired_or_lost
    holds_and_schedules_are_told_while_they_stand
    an_erasure_is_pending_until_it_is_done
    a_record_says_what_the_status_of_its_receipt_says
    a_provider_is_asked_once_for_each_master_key
    what_ended_with_a_root_or_a_tenant_waits_for_nothing
    without_a_journal_epochs_are_told_and_erasures_are_not
];

/// All pages, and that each goes on where the last ended.
async fn inventory(vault: &Vault, limit: usize) -> Result<InventoryPage> {
    let mut all = vault.inventory_page(None, limit).await?;
    while let Some(next) = all.next {
        let page = vault.inventory_page(Some(&next), limit).await?;
        all.subjects.extend(page.subjects);
        all.failed.extend(page.failed);
        all.next = page.next;
    }
    Ok(all)
}

/// The states of the default purpose's versions, oldest first.
fn versions(info: &SubjectInfo) -> Vec<VersionState> {
    let purpose = info.purposes.iter().find(|p| p.purpose.as_str() == Purpose::DEFAULT).unwrap();
    purpose.versions.iter().map(|version| version.state).collect()
}

/// A slot whose MAC is not its own any more.
async fn damage(world: &World, id: &SlotId) -> Result {
    let slot = world.store.load(std::slice::from_ref(id)).await?.remove(0).into_slot()?.unwrap();
    let mut bytes = slot.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = StoredSlot::from_bytes(id.clone(), bytes)?;
    Ok(world.store.put(&damaged, Expected::Revision(slot.revision())).await?)
}

fn is_damaged(e: &Error) -> bool {
    matches!(e, Error::Store(e) if e.kind() == StoreErrorKind::Corrupt)
}

async fn a_version_is_pending_then_current_then_superseded(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let made = world.later(Duration::ZERO);
    assert_eq!(versions(&customers.inventory(&customer("ada")).await?), [VersionState::Current]);
    let second = customers.rotate(&customer("ada")).await?;
    let info = customers.inventory(&customer("ada")).await?;
    assert_eq!(versions(&info), [VersionState::Current, VersionState::Pending]);
    let dated: Vec<_> = info.purposes.iter().map(|p| (p.purpose.as_str(), p.versions[1].seal_from)).collect();
    assert_eq!(dated, [("billing", Some(second)), ("default", Some(second))]);
    assert_eq!((info.purposes[0].versions[0].number, info.purposes[0].versions[0].created_at), (1, made));

    world.clock.advance(second.since(made));
    let since = VersionState::Superseded { since: second };
    assert_eq!(versions(&customers.inventory(&customer("ada")).await?), [since, VersionState::Current]);

    // One that waits is passed over by one that doesn't.
    customers.rotate(&customer("ada")).await?;
    customers.rotate_now(&customer("ada")).await?;
    let now = VersionState::Superseded { since: world.later(Duration::ZERO) };
    assert_eq!(versions(&customers.inventory(&customer("ada")).await?), [since, now, now, VersionState::Current]);
    Ok(())
}

async fn what_has_become_of_a_subject_is_told(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let (soon, due) = (world.later(MAX_AGE), world.later(MAX_AGE * 2));
    for subject in ["live", "held", "scheduled", "part", "gone"] {
        customers.enroll(&customer(subject)).await?;
    }
    customers.enroll_with(&customer("kept"), &Enrollment::new().retain_until(due)).await?;
    customers.hold(&customer("held")).await?;
    customers.schedule_erasure(&customer("scheduled"), soon).await?;
    customers.erase(&customer("part"), &only("billing")).await?;
    let receipt = customers.erase(&customer("gone"), &whole()).await?;
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    advance(&world, &vault).await?;
    customers.rotate(&customer("live")).await?; // which moves it

    let told = async |subject: &str| customers.inventory(&customer(subject)).await;
    let live = told("live").await?;
    assert_eq!(
        (live.state, live.epoch, live.held, live.retain_until),
        (SubjectState::Live, Some(epoch(2)), false, None)
    );
    assert!(told("held").await?.held);
    assert_eq!(told("scheduled").await?.state, SubjectState::Scheduled { at: soon });
    let kept = told("kept").await?;
    assert_eq!((kept.state, kept.epoch, kept.retain_until), (SubjectState::Live, Some(epoch(1)), Some(due)));
    let part = told("part").await?;
    assert_eq!(part.state, SubjectState::Live);
    let lines: Vec<_> = part.purposes.iter().map(|p| (p.line, p.erased_at.is_some(), p.versions.len())).collect();
    assert_eq!(lines, [(1, true, 0), (1, false, 1)]);
    let gone = told("gone").await?;
    assert_eq!((gone.state, gone.epoch), (SubjectState::Erased { at: receipt.erased_at() }, None));
    assert_eq!(gone.slot, SlotId::Subject(TenantId::default_tenant(), customers.tag(&customer("gone")).await?));

    vault.erase_tenant(&acme(), &whole()).await?;
    let of_acme =
        inventory(&vault, 100).await?.subjects.into_iter().find(|s| s.slot.tenant() == Some(&acme())).unwrap();
    assert!(matches!(of_acme.state, SubjectState::Erased { .. }));
    Ok(())
}

async fn asking_for_an_unknown_subject_makes_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for tenant in [vault.tenant(&acme()), vault.default_tenant()] {
        assert!(matches!(tenant.inventory(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    }
    vault.default_tenant().enroll(&customer("ada")).await?;
    let (events, slots) = (world.events().await?, world.subjects().await?);
    assert!(matches!(vault.default_tenant().inventory(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    vault.default_tenant().inventory(&customer("ada")).await?;
    inventory(&vault, 2).await?;
    assert_eq!((world.events().await?, world.subjects().await?), (events, slots), "it reads only");
    Ok(())
}

async fn pages_of_any_size_tell_each_subject_once(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for n in 1..=5 {
        vault.default_tenant().enroll(&customer(n)).await?;
        vault.tenant(&acme()).enroll(&customer(n)).await?;
    }
    let all = inventory(&vault, 1000).await?;
    assert_eq!((all.subjects.len(), all.failed.len()), (10, 0));
    for tenant in [vault.default_tenant(), vault.tenant(&acme())] {
        let own = all.subjects.iter().filter(|s| s.slot.tenant() == Some(tenant.id())).count();
        assert_eq!(own, 5);
        assert!(all.subjects.contains(&tenant.inventory(&customer("3")).await?), "one is told as in the page");
    }
    for limit in [1, 2, 3, 7] {
        let first = vault.inventory_page(None, limit).await?;
        assert!(first.subjects.len() <= limit && first.next.is_some());
        assert_eq!(inventory(&vault, limit).await?.subjects, all.subjects, "pages of {limit}");
    }
    Ok(())
}

async fn a_damaged_slot_is_told_and_hides_no_other(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    for subject in ["ada", "ben", "cy"] {
        vault.default_tenant().enroll(&customer(subject)).await?;
    }
    vault.tenant(&acme()).enroll(&customer("dee")).await?;
    let damaged = vault.default_tenant().inventory(&customer("ben")).await?.slot;
    damage(&world, &damaged).await?;
    let all = inventory(&vault, 2).await?;
    assert_eq!(all.subjects.len(), 3);
    assert!(matches!(all.failed.as_slice(), [(id, e)] if *id == damaged && is_damaged(e)));
    assert!(matches!(vault.default_tenant().inventory(&customer("ben")).await, Err(e) if is_damaged(&e)));

    // A tenant's, and with it what it authenticates. To a process that has not read it before.
    let tenant = SlotId::Tenant(acme());
    damage(&world, &tenant).await?;
    let all = inventory(&world.vault().await?, 2).await?;
    assert_eq!(all.subjects.len(), 2);
    let failed = all.failed.iter().map(|(id, e)| (id.tenant().unwrap().clone(), is_damaged(e))).collect::<Vec<_>>();
    assert_eq!(failed.iter().filter(|(of, _)| *of == acme()).count(), 2, "the tenant, and its subject");
    assert!(failed.iter().all(|(_, damaged)| *damaged));
    Ok(())
}

async fn no_provider_is_asked_for_a_subject(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let vault = world.tapped(&tap).build().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    inventory(&vault, 10).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    tap.set(move |call| {
        count.fetch_add(u64::from(call.port == Port::Provider), Ordering::SeqCst);
        Act::Go
    });
    for n in 1..=20 {
        vault.default_tenant().enroll(&customer(n)).await?;
    }
    inventory(&vault, 10).await?;
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    Ok(())
}

async fn a_store_that_can_not_be_reached_is_no_empty_one(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let vault = world.tapped(&tap).build().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    tap.set(|call| if call.port == Port::Store { Act::Fail } else { Act::Go });
    assert!(vault.inventory_page(None, 10).await.is_err());
    tap.set(|call| if call.port == Port::Journal { Act::Fail } else { Act::Go });
    assert!(vault.erasures().await.is_err() && vault.epochs().await.is_err());
    Ok(())
}

async fn an_epoch_is_current_live_retired_or_lost(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let opened = world.later(Duration::ZERO);
    vault.default_tenant().enroll(&customer("ada")).await?;
    world.clock.advance(MAX_AGE);
    let backup = world.store.backup().await?;
    advance(&world, &vault).await?; // lost
    world.store.restore(backup);
    let vault = world.vault().await?;
    advance(&world, &vault).await?;
    let told = async || Ok(vault.epochs().await?.into_iter().map(|e| (e.epoch, e.status, e.end)).collect::<Vec<_>>());
    let expected = [
        (epoch(1), EpochStatus::Live, KeyEnd::Lives),
        (epoch(2), EpochStatus::Lost, KeyEnd::Lives),
        (epoch(3), EpochStatus::Current, KeyEnd::Lives),
    ];
    let now: Result<Vec<_>> = told().await;
    assert_eq!(now?, expected);
    rewrap_all(&vault, 3).await?;
    for n in [1, 2] {
        vault.retire_epoch(epoch(n)).await?;
    }
    let epochs = vault.epochs().await?;
    let statuses: Vec<_> = epochs.iter().map(|e| (e.epoch, e.status, e.end == KeyEnd::Destroyed)).collect();
    let expected = [
        (epoch(1), EpochStatus::Retired, true),
        (epoch(2), EpochStatus::Lost, true),
        (epoch(3), EpochStatus::Current, false),
    ];
    assert_eq!(statuses, expected);
    let keys = world.provider.keys().await?;
    assert!(epochs.iter().zip(&keys).all(|(epoch, key)| epoch.master == *key.id()));
    assert_eq!((epochs[0].opened_at, epochs[2].opened_at), (opened, opened.plus(MAX_AGE)));
    Ok(())
}

/// The record of a subject of the default tenant.
async fn record(customers: &Tenant, subject: &str) -> Result<Option<ErasureRecord>> {
    let tag = customers.tag(&customer(subject)).await?;
    let records = customers.vault().erasures().await?;
    assert!(records.is_sorted_by(|a, b| (&a.tenant, a.tag) < (&b.tenant, b.tag)), "one record each");
    Ok(records.into_iter().find(|record| record.tag == Some(tag)))
}

async fn holds_and_schedules_are_told_while_they_stand(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    for subject in ["ada", "ben"] {
        customers.enroll(&customer(subject)).await?;
        assert_eq!(record(&customers, subject).await?, None);
    }
    let at = world.later(MAX_AGE);
    customers.hold(&customer("ada")).await?;
    customers.schedule_erasure(&customer("ben"), at).await?;
    let (ada, ben) = (record(&customers, "ada").await?.unwrap(), record(&customers, "ben").await?.unwrap());
    assert!(ada.held && ada.scheduled_at.is_none() && ada.intended_at.is_none() && ada.status.is_none());
    assert!(!ben.held && ben.scheduled_at == Some(at) && ben.intended_at.is_none() && ben.done_at.is_none());
    customers.release(&customer("ada")).await?;
    customers.cancel_erasure(&customer("ben")).await?;
    assert!(customers.vault().erasures().await?.is_empty());
    Ok(())
}

async fn an_erasure_is_pending_until_it_is_done(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let crash = Tap::open();
    let customers = world.tapped(&crash).build().await?.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let intended = world.later(Duration::ZERO);
    crash.set(|call| if call.puts_a_subject() && !call.is_over() { Act::Fail } else { Act::Go });
    assert!(customers.erase(&customer("ada"), &only("billing")).await.is_err());
    let pending = record(&customers, "ada").await?.unwrap();
    assert_eq!((pending.intended_at, pending.done_at, pending.status), (Some(intended), None, None));
    assert_eq!((pending.whole, pending.purposes), (false, vec![Purpose::new("billing")?]));

    world.clock.advance(millis(5));
    let customers = world.tenant().await?; // which finishes it
    let done = record(&customers, "ada").await?.unwrap();
    assert_eq!((done.intended_at, done.done_at), (Some(intended), Some(intended.plus(millis(5)))));
    customers.erase(&customer("ada"), &whole()).await?;
    let whole = record(&customers, "ada").await?.unwrap();
    assert!(whole.whole && whole.purposes.len() == 2 && whole.intended_at > Some(intended));
    Ok(())
}

async fn a_record_says_what_the_status_of_its_receipt_says(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let mut receipts = Vec::new();
    customers.enroll(&customer("kept")).await?;
    for (n, subject) in ["ada", "ben"].into_iter().enumerate() {
        customers.enroll(&customer(subject)).await?;
        receipts.push((subject, customers.erase(&customer(subject), &whole()).await?));
        if n == 0 {
            advance(&world, &vault).await?;
        }
    }
    vault.tenant(&acme()).enroll(&customer("dee")).await?;
    let of_acme = vault.erase_tenant(&acme(), &whole()).await?;
    advance(&world, &vault).await?;
    rewrap_all(&vault, 3).await?;
    let (mut erased, mut ended) = (0, 0);
    for retired in [None, Some(epoch(1)), Some(epoch(2))] {
        if let Some(epoch) = retired {
            vault.retire_epoch(epoch).await?;
        }
        for _ in 0..2 {
            for (subject, receipt) in &receipts {
                let status = customers.erasure_status(receipt).await?;
                match &status {
                    ErasureStatus::Erased { .. } => erased += 1,
                    _ => ended += 1,
                }
                assert_eq!(record(&customers, subject).await?.unwrap().status, Some(status));
            }
            let tenant = vault.erasures().await?.into_iter().find(|record| record.tag.is_none()).unwrap();
            assert_eq!(tenant.status, Some(vault.tenant(&acme()).erasure_status(&of_acme).await?));
            assert!(tenant.whole && tenant.purposes.is_empty() && tenant.done_at.is_some());
            world.pass_max_age();
        }
    }
    assert!(erased > 0 && ended > 0);
    Ok(())
}

async fn a_provider_is_asked_once_for_each_master_key(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let tap = Tap::new(move |call| {
        count.fetch_add(u64::from(call.method == "destruction" && call.is_over()), Ordering::SeqCst);
        Act::Go
    });
    let vault = world.tapped(&tap).build().await?;
    advance(&world, &vault).await?;
    let subjects: Vec<_> = (1..=20).map(customer).collect();
    vault.default_tenant().erase_all(&subjects, &whole().even_if_unknown()).await?;
    asked.store(0, Ordering::SeqCst);
    assert_eq!(vault.erasures().await?.len(), 20);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    Ok(())
}

async fn what_ended_with_a_root_or_a_tenant_waits_for_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let empty = world.store.backup().await?;
    let tenant = vault.tenant(&acme());
    for subject in ["ada", "ben", "cy"] {
        tenant.enroll(&customer(subject)).await?;
    }
    tenant.hold(&customer("ada")).await?;
    tenant.schedule_erasure(&customer("ben"), world.later(MAX_AGE)).await?;
    tenant.erase(&customer("cy"), &whole()).await?;
    assert_eq!(vault.erasures().await?.len(), 3);
    world.store.restore(empty);
    let (vault, _) = world.builder().replay().await?; // the tenant's root is lost
    let left = vault.erasures().await?;
    assert!(matches!(left.as_slice(), [cy] if cy.done_at.is_some()));

    let tenant = vault.tenant(&acme());
    tenant.enroll(&customer("dee")).await?;
    tenant.schedule_erasure(&customer("dee"), world.later(MAX_AGE)).await?;
    vault.erase_tenant(&acme(), &whole()).await?;
    let left = vault.erasures().await?;
    assert!(left.iter().all(|record| record.scheduled_at.is_none() && record.done_at.is_some()));
    assert_eq!(left.iter().filter(|record| record.tag.is_none()).count(), 1);
    Ok(())
}

async fn without_a_journal_epochs_are_told_and_erasures_are_not(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = Vault::builder(world.provider.clone(), world.store.clone())
        .kinds(["customer"])
        .without_journal()
        .build()
        .await?;
    assert_eq!(vault.epochs().await?.len(), 1);
    assert!(matches!(vault.erasures().await, Err(Error::InvalidInput(_))));
    Ok(())
}
