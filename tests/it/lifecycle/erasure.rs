//! Erasing subjects, purposes and tenants; holds, schedules and retention; receipts.

use fieldseal::provider::MasterKeyProvider as _;
use fieldseal::vault::Enrollment;
use fieldseal::vault::{EraseDueReport, ErasureReceipt, ErasureStatus, KeyEnd, UndoneReason};
use fieldseal::{HasSubject, SubjectId};

use super::*;

tests![
    an_erased_subject_is_erased_for_good_and_not_unknown
    one_purpose_is_erased_alone
    who_was_never_seen_is_erased_by_nobody_unless_it_is_said
    who_was_never_seen_is_erased_where_it_is_said
    who_is_known_to_the_journal_alone_is_known
    enrolling_again_takes_a_word_and_opens_nothing_old
    a_purpose_that_nobody_named_is_erased_with_the_person
    a_purpose_that_went_with_the_person_has_a_receipt_of_its_own
    whose_purposes_were_erased_one_by_one_is_erased_as_a_whole
    the_intent_comes_before_the_tombstone_and_done_after_it
    erasing_again_gives_the_receipt_again
    many_are_erased_at_once_and_one_that_is_held_spoils_nothing
    a_row_that_names_nobody_keeps_no_other_from_being_erased
    without_a_journal_nothing_is_erased
    a_hold_stands_until_it_is_released
    a_scheduled_erasure_hides_at_once_and_is_undone_until_due
    a_retention_period_ends_in_erasure_unless_prolonged_or_held
    an_erased_tenant_has_no_keys_and_never_gets_any
    nobody_makes_anything_in_a_tenant_that_was_erased_meanwhile
    what_an_erased_tenant_has_left_is_buried_and_holds_no_epoch
    only_an_erasure_of_the_whole_subject_fulfills_a_schedule
    a_tenant_that_was_never_seen_is_erased_where_it_is_said
    a_receipt_tells_what_is_gone_and_what_may_hold_a_copy
    an_erasure_is_final_once_all_its_master_keys_are_destroyed
    a_keyring_file_is_final_as_far_as_its_operator_vouches
    a_receipt_of_another_tenant_or_journal_is_refused
    an_earlier_receipt_holds_beside_a_new_line
    an_erasure_that_did_not_hold_is_undone_with_its_reason
    the_longest_max_age_counts_for_when_an_erasure_is_in_force
];

async fn an_erased_subject_is_erased_for_good_and_not_unknown(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    let held = here.enroll(&customer("ada")).await?;
    let envelope = seal(&held)?;
    let elsewhere = there.keys(&customer("ada")).await?;
    here.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&open(&held, &envelope)), "keys that are out in this process end");
    assert!(is_erased(&held.place_open(&envelope)));
    assert!(is_erased(&here.keys(&customer("ada")).await) && is_erased(&here.refresh(&held).await));
    assert!(
        is_erased(&here.enroll(&customer("ada")).await)
            && is_erased(&here.enroll_with(&customer("ada"), &due_at(9)).await)
    );
    let page = here.enroll_all(&["ada", "ben"].map(customer)).await?;
    assert!(is_erased(&page.get(&customer("ada"))) && page.get(&customer("ben")).is_ok());
    assert!(matches!(here.keys(&customer("never seen")).await, Err(Error::SubjectUnknown)), "which is another thing");
    assert!(open(&elsewhere, &envelope)?, "another process goes on with what it read");
    world.pass_max_age();
    assert!(matches!(open(&elsewhere, &envelope), Err(Error::KeysExpired)), "for max_age at most");
    assert!(is_erased(&there.keys(&customer("ada")).await));
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    Ok(())
}

trait PlaceOpen {
    fn place_open(&self, envelope: &[u8]) -> Result<bool>;
}

impl PlaceOpen for SubjectKeys {
    fn place_open(&self, envelope: &[u8]) -> Result<bool> {
        self.reseal_bytes(envelope, &context("default")).map(|moved| moved.is_some())
    }
}

fn due_at(millis: u64) -> Enrollment {
    Enrollment::new().retain_until(Timestamp::from_millis(millis))
}

async fn one_purpose_is_erased_alone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let held = customers.enroll(&customer("ada")).await?;
    let (default, billing) = (seal_for(&held, "default")?, seal_for(&held, "billing")?);
    let receipt = customers.erase(&customer("ada"), &only("billing")).await?;
    assert_eq!((receipt.is_whole(), receipt.purposes().len()), (false, 1));
    assert!(matches!(open(&held, &default), Err(Error::KeysExpired)), "what is out is to be read again");
    for keys in [customers.keys(&customer("ada")).await?, world.tenant().await?.enroll(&customer("ada")).await?] {
        assert!(open(&keys, &default)?);
        assert!(matches!(open_for(&keys, &billing, "billing"), Err(Error::PurposeErased { .. })));
        assert!(matches!(seal_for(&keys, "billing"), Err(Error::PurposeErased { .. })));
    }
    assert!(matches!(customers.erase(&customer("ada"), &only("marketing")).await, Err(Error::PurposeUnknown)));
    customers.erase(&customer("ada"), &only("default")).await?;
    assert!(is_erased(&customers.keys(&customer("ada")).await), "nothing is left");
    Ok(())
}

/// A mistyped id leaves no tombstone, and no receipt for nobody.
async fn who_was_never_seen_is_erased_by_nobody_unless_it_is_said(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let (customers, nobodys) = (vault.default_tenant(), vault.tenant(&acme()));
    customers.enroll(&customer("ben")).await?;
    let before = (world.events().await?, world.slots().await?);
    for tenant in [&customers, &nobodys] {
        for request in [whole(), only("billing"), whole().reference("case 4711")] {
            assert!(matches!(tenant.erase(&customer("ada"), &request).await, Err(Error::SubjectUnknown)));
        }
        let answers = tenant.erase_all(&["ada", "cy"].map(customer), &whole()).await?;
        assert!(answers.iter().all(|answer| matches!(answer, Err(Error::SubjectUnknown))) && answers.len() == 2);
    }
    assert_eq!((world.events().await?, world.slots().await?), before, "nothing is made, not even a tenant");
    assert!(customers.enroll(&customer("ada")).await.is_ok());
    Ok(())
}

async fn who_was_never_seen_is_erased_where_it_is_said(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let receipt = customers.erase(&customer("ada"), &whole().even_if_unknown()).await?;
    assert!(receipt.purposes().iter().all(|erased| erased.key_ids.is_empty()));
    assert!(is_erased(&customers.enroll(&customer("ada")).await));
    assert!(is_erased(&world.tenant().await?.enroll(&customer("ada")).await));
    // A service that knows other purposes doesn't take her for new.
    let other = Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]);
    let other = other.journal(world.journal.clone()).purposes(["marketing"]).build().await?.default_tenant();
    assert!(is_erased(&other.enroll(&customer("ada")).await));
    // From now on she is known.
    assert_same(&customers.erase(&customer("ada"), &whole()).await?, &receipt);
    Ok(())
}

/// A store that was restored doesn't know her, and the journal does.
async fn who_is_known_to_the_journal_alone_is_known(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    customers.enroll(&customer("ada")).await?;
    customers.hold(&customer("ada")).await?;
    world.store.restore(backup);
    let (vault, _) = world.builder().replay().await?;
    let customers = vault.default_tenant();
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    customers.release(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    Ok(())
}

async fn enrolling_again_takes_a_word_and_opens_nothing_old(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let old = seal(&customers.enroll(&customer("ada")).await?)?;
    for line in 2..4 {
        customers.erase(&customer("ada"), &whole()).await?;
        assert!(is_erased(&customers.enroll(&customer("ada")).await));
        world.pass_old_keys();
        let keys = customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
        assert!(matches!(open(&keys, &old), Err(Error::PurposeErased { .. })));
        assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &seal(&keys)?)?);
        let reenrolled =
            |event: &&JournalEvent| matches!(event, JournalEvent::Reenrolled { line: l, .. } if *l == line);
        assert_eq!(world.events().await?.iter().filter(reenrolled).count(), 2, "both purposes, line {line}");
    }
    Ok(())
}

async fn a_purpose_that_nobody_named_is_erased_with_the_person(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    let again = Enrollment::new().even_if_erased();
    world.pass_old_keys();
    customers.enroll_with(&customer("ada"), &again).await?;
    // A service that knows another purpose. She lives; but what she had for that, if she had, was erased with her.
    let other = world.clone().purposes(["marketing"]).tenant().await?;
    assert!(is_erased(&other.enroll(&customer("ada")).await));
    let page = other.enroll_all(&["ada", "ben"].map(customer)).await?;
    seal_for(page.get(&customer("ben"))?, "marketing")?;
    seal_for(page.get(&customer("ada"))?, "default")?;
    assert!(matches!(seal_for(page.get(&customer("ada"))?, "marketing"), Err(Error::PurposeErased { .. })));
    let keys = other.enroll_with(&customer("ada"), &again).await?;
    assert!(open_for(
        &world.tenant().await?.keys(&customer("ada")).await?,
        &seal_for(&keys, "marketing")?,
        "marketing"
    )?);
    let opened = |event: &JournalEvent| match event {
        JournalEvent::Reenrolled { purpose, line } if purpose.as_str() == "marketing" => Some(*line),
        _ => None,
    };
    assert_eq!(world.events().await?.iter().filter_map(opened).collect::<Vec<_>>(), [2]);
    Ok(())
}

async fn a_purpose_that_went_with_the_person_has_a_receipt_of_its_own(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let of_ada = customers.erase(&customer("ada"), &whole()).await?;
    let before = world.events().await?;
    world.pass_max_age();
    let other = world.clone().purposes(["marketing"]).tenant().await?;
    let receipt = other.erase(&customer("ada"), &only("marketing")).await?;
    let [erased] = receipt.purposes() else { panic!("{:?}", receipt.purposes()) };
    assert_eq!((erased.purpose.as_str(), erased.line, erased.key_ids.len()), ("marketing", 1, 0));
    assert_eq!((erased.erased_at, receipt.erased_at()), (of_ada.erased_at(), of_ada.erased_at()));
    assert!(matches!(other.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    assert_eq!(world.events().await?, before, "it was erased already");
    Ok(())
}

async fn whose_purposes_were_erased_one_by_one_is_erased_as_a_whole(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &only("billing")).await?;
    customers.erase(&customer("ada"), &only("default")).await?;
    let before = world.events().await?.len();
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    assert!(receipt.is_whole() && receipt.purposes().iter().all(|erased| erased.key_ids.len() == 1));
    let events = world.events().await?.split_off(before);
    assert!(
        matches!(&events[..], [JournalEvent::ErasureIntended { whole: true, .. }, JournalEvent::ErasureDone { .. }]),
        "what nobody named is erased as well, which a restore must not undo"
    );
    customers.erase(&customer("ada"), &whole()).await?;
    assert_eq!(world.events().await?.len(), before + 2, "once");
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    Ok(())
}

async fn the_intent_comes_before_the_tombstone_and_done_after_it(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let before = world.events().await?.len();
    customers.erase(&customer("ada"), &whole()).await?;
    let events = world.events().await?.split_off(before);
    assert!(
        matches!(&events[..], [JournalEvent::ErasureIntended { whole: true, known: true, lines }, JournalEvent::ErasureDone { .. }]
            if lines.len() == 2)
    );
    Ok(())
}

async fn erasing_again_gives_the_receipt_again(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let request = whole().reference("case 4711");
    let first = customers.erase(&customer("ada"), &request).await?;
    let events = world.events().await?.len();
    world.clock.advance(Duration::from_secs(9));
    assert_same(&world.tenant().await?.erase(&customer("ada"), &request).await?, &first);
    assert_eq!(world.events().await?.len(), events, "and enters nothing");
    Ok(())
}

/// But for the residue, which is what the store finds now: what others have done there since counts.
fn assert_same(again: &ErasureReceipt, first: &ErasureReceipt) {
    let told = |receipt: &ErasureReceipt| {
        let whom = (
            receipt.journal(),
            receipt.tenant().clone(),
            receipt.tag().cloned(),
            receipt.reference().map(str::to_owned),
        );
        let what = (receipt.is_whole(), receipt.purposes().to_vec(), receipt.master_keys().to_vec());
        (whom, what, receipt.erased_at(), receipt.effective_by())
    };
    assert_eq!(told(again), told(first));
}

async fn many_are_erased_at_once_and_one_that_is_held_spoils_nothing(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll_all(&["ada", "ben", "cy"].map(customer)).await?;
    customers.hold(&customer("ben")).await?;
    let answers = customers.erase_all(&["ada", "ben", "ada", "cy", "never seen"].map(customer), &whole()).await?;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, true, false]);
    assert!(matches!((&answers[1], &answers[4]), (Err(Error::SubjectHeld), Err(Error::SubjectUnknown))));
    let tags: Vec<_> = answers.iter().flatten().map(ErasureReceipt::tag).collect();
    assert!(tags[0] == tags[1] && tags[0] != tags[2], "named twice, erased once");
    assert!(customers.keys(&customer("ben")).await.is_ok() && is_erased(&customers.keys(&customer("cy")).await));
    Ok(())
}

/// A row whose subject column is an option.
struct Row(Option<&'static str>);

impl HasSubject for Row {
    fn subject(&self) -> Result<SubjectId> {
        SubjectId::new("customer", self.0.unwrap_or_default())
    }
}

async fn a_row_that_names_nobody_keeps_no_other_from_being_erased(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    let answers = customers.erase_all(&[Some("ada"), None, Some("ben")].map(Row), &whole()).await?;
    assert!(matches!(answers.as_slice(), [Ok(_), Err(Error::InvalidInput(_)), Ok(_)]), "{answers:?}");
    for erased in ["ada", "ben"] {
        assert!(is_erased(&customers.keys(&customer(erased)).await));
    }
    // With nobody at all there is nothing to do, not even a tenant to make.
    let elsewhere = customers.vault().tenant(&TenantId::new("elsewhere")?);
    let before = (world.entries().await?, world.slots().await?);
    let answers = elsewhere.erase_all(&[Row(None)], &whole().even_if_unknown()).await?;
    assert!(matches!(answers.as_slice(), [Err(Error::InvalidInput(_))]));
    assert_eq!((world.entries().await?, world.slots().await?), before);
    Ok(())
}

async fn without_a_journal_nothing_is_erased(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let builder = Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]);
    let vault = builder.without_journal().build().await?;
    let customers = vault.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    let at = world.later(MAX_AGE);
    let invalid = |result: Result| matches!(result, Err(Error::InvalidInput(_)));
    assert!(invalid(customers.erase(&customer("ada"), &whole()).await.map(drop)));
    assert!(invalid(customers.erase_all(&["ada"].map(customer), &whole()).await.map(drop)));
    assert!(
        invalid(customers.schedule_erasure(&customer("ada"), at).await)
            && invalid(customers.hold(&customer("ada")).await)
    );
    assert!(invalid(vault.erase_due().await.map(drop)) && invalid(vault.replay_journal().await.map(drop)));
    assert!(invalid(vault.erase_tenant(customers.id(), &whole()).await.map(drop)));
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    Ok(())
}

async fn a_hold_stands_until_it_is_released(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    let envelope = seal(&here.enroll(&customer("ada")).await?)?;
    assert!(matches!(here.hold(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    let before = world.events().await?;
    assert!(
        matches!(here.release(&customer("nobody")).await, Err(Error::SubjectUnknown)),
        "not one of whom nothing is held"
    );
    assert_eq!(world.events().await?, before);
    here.hold(&customer("ada")).await?;
    here.hold(&customer("ada")).await?;
    for refused in [
        there.erase(&customer("ada"), &whole()).await.map(drop),
        there.erase(&customer("ada"), &only("billing")).await.map(drop),
        there.schedule_erasure(&customer("ada"), world.later(MAX_AGE)).await,
        there.vault().erase_tenant(there.id(), &whole()).await.map(drop),
    ] {
        assert!(matches!(refused, Err(Error::SubjectHeld)));
    }
    assert!(open(&there.keys(&customer("ada")).await?, &envelope)?, "held is readable");
    there.release(&customer("ada")).await?;
    there.release(&customer("ada")).await?;
    here.erase(&customer("ada"), &whole()).await?;
    assert!(is_erased(&there.hold(&customer("ada")).await), "and a hold comes too late");
    Ok(())
}

async fn a_scheduled_erasure_hides_at_once_and_is_undone_until_due(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    let held = here.enroll(&customer("ada")).await?;
    let envelope = seal(&held)?;
    let at = world.later(Duration::from_secs(3600));
    here.schedule_erasure(&customer("ada"), at).await?;
    assert!(matches!(open(&held, &envelope), Err(Error::KeysExpired)), "what is out is to be asked for again");
    let told = there.keys(&customer("ada")).await;
    assert!(matches!(told, Err(Error::SubjectClosed { due }) if due == at), "{told:?}");
    assert!(is_closed(&there.enroll(&customer("ada")).await));
    for enrollment in [Enrollment::new().even_if_erased(), Enrollment::new().retain_until(at)] {
        let enrolled = there.enroll_with(&customer("ada"), &enrollment).await;
        assert!(is_closed(&enrolled), "it is undone by cancelling alone");
    }
    assert!(there.vault().erase_due().await?.receipts.is_empty(), "it is not due");
    there.cancel_erasure(&customer("ada")).await?;
    there.cancel_erasure(&customer("ada")).await?;
    assert!(open(&here.keys(&customer("ada")).await?, &envelope)?);
    // Scheduled again, moved, and due.
    here.schedule_erasure(&customer("ada"), at).await?;
    let sooner = world.later(Duration::from_secs(60));
    here.schedule_erasure(&customer("ada"), sooner).await?;
    world.clock.advance(Duration::from_secs(60));
    let swept = there.vault().erase_due().await?;
    assert_eq!((swept.receipts.len(), swept.held), (1, 0));
    assert!(is_erased(&here.cancel_erasure(&customer("ada")).await), "too late");
    let swept = there.vault().erase_due().await?;
    assert!(swept.receipts.is_empty() && swept.held == 0 && swept.failed.is_empty(), "a tombstone is not due");
    assert!(matches!(here.schedule_erasure(&customer("nobody"), at).await, Err(Error::SubjectUnknown)));
    Ok(())
}

async fn a_retention_period_ends_in_erasure_unless_prolonged_or_held(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let end = world.later(Duration::from_secs(100));
    for subject in ["ada", "ben", "cy"] {
        customers.enroll_with(&customer(subject), &Enrollment::new().retain_until(end)).await?;
    }
    customers.enroll(&customer("dee")).await?;
    customers.hold(&customer("ben")).await?;
    customers
        .enroll_with(&customer("cy"), &Enrollment::new().retain_until(world.later(Duration::from_secs(1000))))
        .await?;
    assert!(vault.erase_due().await?.receipts.is_empty());
    world.clock.advance(Duration::from_secs(100));
    let told = |swept: &EraseDueReport| (swept.receipts.len(), swept.due, swept.closed, swept.waiting, swept.held);
    assert_eq!(told(&vault.erase_due().await?), (0, 0, 1, 0, 1), "she is closed");
    assert!(is_closed(&customers.keys(&customer("ada")).await));
    for subject in ["ben", "cy", "dee"] {
        assert!(customers.keys(&customer(subject)).await.is_ok());
    }
    assert_eq!(told(&vault.erase_due().await?), (0, 0, 0, 1, 1), "and that was all");
    customers.release(&customer("ben")).await?;
    assert!(is_closed(&customers.keys(&customer("ben")).await), "his period has ended, too");
    world.clock.advance(DAY);
    assert_eq!(told(&vault.erase_due().await?), (1, 1, 2, 0, 0), "ben, and cy by now");
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    world.clock.advance(DAY);
    assert_eq!(told(&vault.erase_due().await?), (2, 2, 0, 0, 0));
    assert!(is_erased(&customers.keys(&customer("ben")).await) && is_erased(&customers.keys(&customer("cy")).await));
    customers.keys(&customer("dee")).await.map(drop)
}

async fn an_erased_tenant_has_no_keys_and_never_gets_any(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (vault, other) = (world.vault().await?, world.vault().await?);
    let acme = TenantId::new("acme")?;
    let mut held = Vec::new();
    for n in 1..=5i64 {
        held.push(vault.tenant(&acme).enroll(&customer(n)).await?);
    }
    let envelope = seal(&held[0])?;
    let neighbor = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    let elsewhere = other.tenant(&acme).keys(&customer(1i64)).await?;
    let receipt = vault.erase_tenant(&acme, &whole()).await?;
    assert!(receipt.tag().is_none() && receipt.is_whole() && receipt.purposes().is_empty());
    let erased = |result: Result| matches!(result, Err(Error::TenantErased { .. }));
    assert!(matches!(open(&held[0], &envelope), Err(Error::KeysExpired)));
    for tenant in [vault.tenant(&acme), world.vault().await?.tenant(&acme)] {
        assert!(
            erased(tenant.keys(&customer(1i64)).await.map(drop))
                && erased(tenant.enroll(&customer(9i64)).await.map(drop))
        );
        assert!(erased(tenant.enroll_with(&customer(1i64), &Enrollment::new().even_if_erased()).await.map(drop)));
        assert!(
            erased(tenant.rotate(&customer(1i64)).await.map(drop))
                && erased(tenant.erase(&customer(1i64), &whole()).await.map(drop))
        );
    }
    assert!(open(&elsewhere, &envelope)?);
    world.pass_max_age();
    assert!(open(&elsewhere, &envelope).is_err() && erased(other.tenant(&acme).keys(&customer(1i64)).await.map(drop)));
    assert!(open(&other.default_tenant().keys(&customer("ada")).await?, &neighbor)?, "others are not concerned");
    assert_same(&vault.erase_tenant(&acme, &whole()).await?, &receipt);
    // Its tombstones hold no epoch.
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 3).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    assert!(matches!(vault.tenant(&acme).erasure_status(&receipt).await?, ErasureStatus::Final { .. }));
    Ok(())
}

async fn nobody_makes_anything_in_a_tenant_that_was_erased_meanwhile(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (vault, other) = (world.vault().await?, world.vault().await?);
    let acme = TenantId::new("acme")?;
    other.tenant(&acme).enroll(&customer("ada")).await?; // has the tenant's keys for a while
    vault.erase_tenant(&acme, &whole()).await?;
    assert!(matches!(other.tenant(&acme).enroll(&customer("ben")).await, Err(Error::TenantErased { .. })));
    assert!(matches!(other.tenant(&acme).erase(&customer("ada"), &whole()).await, Err(Error::TenantErased { .. })));
    Ok(())
}

async fn what_an_erased_tenant_has_left_is_buried_and_holds_no_epoch(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let acme = TenantId::new("acme")?;
    vault.tenant(&acme).enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    vault.erase_tenant(&acme, &whole()).await?;
    let tombstone = world.subjects().await?.remove(0);
    // As a write does that was under way when the tenant was erased.
    world.store.put(&live, Expected::Revision(tombstone.revision())).await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    assert!(matches!(vault.retire_epoch(Epoch::FIRST).await, Err(Error::EpochInUse { slots: 1, unverified: 0 })));
    assert_eq!(rewrap_all(&vault, 3).await?, 1);
    vault.retire_epoch(Epoch::FIRST).await?;
    assert_eq!(world.subjects().await?.remove(0).epoch(), None);
    Ok(())
}

async fn only_an_erasure_of_the_whole_subject_fulfills_a_schedule(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let at = world.later(Duration::from_secs(3600));
    customers.schedule_erasure(&customer("ada"), at).await?;
    for purpose in ["billing", "default"] {
        customers.erase(&customer("ada"), &only(purpose)).await?;
    }
    let again = Enrollment::new().even_if_erased();
    let refused = customers.enroll_with(&customer("ada"), &again).await;
    assert!(matches!(refused, Err(Error::SubjectClosed { due }) if due == at), "new keys would be destroyed by it");
    customers.erase(&customer("ada"), &whole()).await?;
    world.pass_old_keys();
    let envelope = seal(&customers.enroll_with(&customer("ada"), &again).await?)?;
    world.clock.advance(Duration::from_secs(3601));
    let customers = world.tenant().await?;
    assert!(customers.vault().erase_due().await?.receipts.is_empty());
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    Ok(())
}

async fn a_tenant_that_was_never_seen_is_erased_where_it_is_said(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let acme = TenantId::new("acme")?;
    let before = world.events().await?;
    assert!(
        matches!(vault.erase_tenant(&acme, &whole()).await, Err(Error::SubjectUnknown)),
        "its name may be misspelt"
    );
    assert_eq!(world.events().await?, before, "nothing is entered, for good or not");
    assert!(world.slots().await?.iter().all(|slot| slot.id().tenant().is_none()));
    let receipt = vault.erase_tenant(&acme, &whole().even_if_unknown()).await?;
    assert!(!receipt.was_known());
    assert!(matches!(vault.tenant(&acme).enroll(&customer("ada")).await, Err(Error::TenantErased { .. })));
    assert!(matches!(
        world.vault().await?.tenant(&acme).enroll(&customer("ada")).await,
        Err(Error::TenantErased { .. })
    ));
    Ok(())
}

async fn a_receipt_tells_what_is_gone_and_what_may_hold_a_copy(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    customers.rotate_now(&customer("ada")).await?;
    let receipt = customers.erase(&customer("ada"), &whole().reference("case 4711")).await?;
    let now = world.later(Duration::ZERO);
    assert_eq!((receipt.erased_at(), receipt.effective_by()), (now, now.plus(MAX_AGE)));
    assert_eq!(receipt.reference(), Some("case 4711"));
    let [billing, default] = receipt.purposes() else { panic!("two purposes") };
    assert_eq!((billing.purpose.as_str(), billing.line, billing.key_ids.len()), ("billing", 1, 2));
    assert!(default.key_ids.iter().any(|id| id.as_bytes() == &envelope[1..25]), "the key that the envelope names");
    let [master] = receipt.master_keys() else { panic!("one master key") };
    assert_eq!((&master.master, &master.end), (&world.provider.current().await?, &KeyEnd::Lives));
    assert_eq!(receipt.tag(), Some(&world.tenant().await?.tag(&customer("ada")).await?));
    assert_ne!(receipt.tag(), Some(&world.tenant().await?.tag(&customer("ben")).await?));
    let shown = receipt.to_string();
    assert!(shown.contains("case 4711") && shown.contains("is there; retiring the epoch ends it"));
    // As a word: hexadecimal digits can spell this name.
    assert!(!shown.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "ada"));
    Ok(())
}

async fn an_erasure_is_final_once_all_its_master_keys_are_destroyed(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let next = async || -> Result<()> {
        world.provider.add_key().await?;
        vault.advance_epoch().await?;
        rewrap_all(&vault, 3).await.map(drop)
    };
    customers.enroll(&customer("ada")).await?;
    next().await?;
    next().await?; // epoch 3: she is erased here
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    let epochs = |masters: &[fieldseal::vault::MasterKeyEnd]| masters.iter().map(|m| m.epoch.get()).collect::<Vec<_>>();
    assert_eq!(epochs(receipt.master_keys()), [1, 2, 3]);
    let waits = async || -> Result<Vec<u32>> {
        match customers.erasure_status(&receipt).await? {
            ErasureStatus::Erased { waits_for } => Ok(epochs(&waits_for)),
            other => panic!("{other:?}"),
        }
    };
    vault.retire_epoch(Epoch::new(2).unwrap()).await?;
    assert_eq!(waits().await?, [1, 3]);
    next().await?; // epoch 4 never wrapped her keys
    vault.retire_epoch(Epoch::new(3).unwrap()).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    assert_eq!(waits().await?, [0; 0], "not before every process has stopped");
    world.pass_max_age();
    let status = customers.erasure_status(&receipt).await?;
    assert_eq!(status, ErasureStatus::Final { vouched_for: vec![] });
    assert!(world.provider.destruction(&receipt.master_keys()[0].master).await?.is_some());
    Ok(())
}

async fn a_keyring_file_is_final_as_far_as_its_operator_vouches(on: &Ground) -> Result {
    let folder = tempfile::tempdir().unwrap();
    let keyring = LocalKeyring::generate(folder.path().join("keyring")).await?;
    let world = world_on(on).await?;
    let builder = Vault::builder(keyring.clone(), world.store.clone()).kinds(["customer"]).clock(world.clock.clone());
    let vault = builder.journal(world.journal.clone()).build().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    keyring.add_key().await?;
    vault.advance_epoch().await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    world.pass_max_age();
    let status = customers.erasure_status(&receipt).await?;
    assert!(
        matches!(&status, ErasureStatus::Final { vouched_for } if vouched_for.iter().any(|c| c.contains("backup")))
    );
    assert!(status.to_string().contains("as far as the operator vouches"));
    Ok(())
}

async fn a_receipt_of_another_tenant_or_journal_is_refused(on: &Ground) -> Result {
    let (world, other) = (world_on(on).await?, world_on(on).await?);
    let receipt = world.tenant().await?.erase(&customer("ada"), &whole().even_if_unknown()).await?;
    let elsewhere = other.tenant().await?.erasure_status(&receipt).await;
    assert!(matches!(elsewhere, Err(Error::InvalidInput(_))));
    let acme = world.vault().await?.tenant(&TenantId::new("acme")?);
    assert!(matches!(acme.erasure_status(&receipt).await, Err(Error::InvalidInput(_))));
    Ok(())
}

async fn an_earlier_receipt_holds_beside_a_new_line(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    world.pass_old_keys();
    customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await?;
    assert!(matches!(customers.erasure_status(&receipt).await?, ErasureStatus::Erased { .. }));
    Ok(())
}

async fn an_erasure_that_did_not_hold_is_undone_with_its_reason(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let customers = world.tenant().await?;
    let before = world.store.backup().await?;
    customers.enroll(&customer("ada")).await?;
    let enrolled = world.store.backup().await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    for (backup, reason) in [(enrolled, UndoneReason::KeysAreBack), (before, UndoneReason::TombstoneMissing)] {
        world.store.restore(backup);
        assert_eq!(customers.erasure_status(&receipt).await?, ErasureStatus::Undone { reason });
    }
    Ok(())
}

async fn the_longest_max_age_counts_for_when_an_erasure_is_in_force(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let short = world.builder().max_age(Duration::from_secs(300)).build().await?;
    let quick = world.builder().max_age(Duration::from_secs(5)).build().await?;
    quick.default_tenant().enroll(&customer("ada")).await?; // has read the store's max_age
    short.set_max_age(Duration::from_secs(900)).await?;
    let receipt = quick.default_tenant().erase(&customer("ada"), &whole()).await?;
    assert_eq!(receipt.effective_by(), receipt.erased_at().plus(Duration::from_secs(900)));
    Ok(())
}
