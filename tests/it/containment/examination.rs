//! What is wrong is named without a byte being written: also where no vault starts, and by whom the ports are as they are live.

use std::sync::atomic::AtomicU64;

use fieldseal::error::JournalErrorKind;
use fieldseal::store::{Filter, Scan};
use fieldseal::vault::{Examination, ExaminedSlots};
use fieldseal_testkit::faults::{Act, Tap};

use super::*;

tests![
    an_examination_names_what_is_wrong_and_writes_nothing
    a_store_that_was_restored_is_examined_and_what_is_missing_counted
    every_key_of_who_lives_is_unwrapped_and_none_of_who_is_erased
    what_would_have_to_be_made_first_is_not_examined
    why_a_sweep_would_do_nothing_is_told
];

/// Opened on ports that count what writes.
async fn examine(world: &World, writes: &Arc<AtomicU64>) -> Result<Examination> {
    let writes = writes.clone();
    let tap = Tap::new(move |call| {
        if ["put", "raise_floor", "scrub", "append", "destroy_key"].contains(&call.method) {
            writes.fetch_add(1, Ordering::SeqCst);
        }
        Act::Go
    });
    world.tapped(&tap).examine().await
}

async fn all(examination: &Examination) -> Result<ExaminedSlots> {
    let mut all = examination.page(None, 2).await?;
    while let Some(next) = all.next.take() {
        let page = examination.page(Some(&next), 2).await?;
        all.subjects.extend(page.subjects);
        all.failed.extend(page.failed);
        all.absurd.extend(page.absurd);
        all.next = page.next;
    }
    Ok(all)
}

async fn an_examination_names_what_is_wrong_and_writes_nothing(on: &Ground) -> Result {
    let (world, writes) = (World::on(on).await?, Arc::default());
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let damaged = damage_the_one(&world).await?;
    customers.enroll(&customer("ben")).await?;
    let ahead = world.elsewhere();
    let now = ahead.clock.wall();
    ahead.clock.set_wall(now.plus(10 * YEAR));
    ahead.tenant().await?.enroll(&customer("cy")).await?;
    ahead.clock.set_wall(now);
    let before = world.store.scan(&Scan::new(Filter::All)).await?.slots;

    let examination = examine(&world, &writes).await?;
    let found = all(&examination).await?;
    assert_eq!(found.subjects.len(), 2, "ben and cy");
    let [(id, e)] = found.failed.as_slice() else { panic!("{:?}", found.failed) };
    assert!(id == damaged.id() && matches!(e, Error::Store(e) if e.kind() == StoreErrorKind::Corrupt));
    let [(absurd, at)] = found.absurd.as_slice() else { panic!("{:?}", found.absurd) };
    assert!(found.subjects.iter().any(|subject| subject.slot == *absurd) && *at >= now.plus(10 * YEAR));
    let compared = examination.compare().await?;
    assert_eq!((compared.missing, compared.to_do.len(), compared.unclear.len()), (0, 0, 0));
    let swept = examination.sweep().await?;
    assert_eq!((swept.due, swept.closed), (0, 0));
    assert_eq!(writes.load(Ordering::SeqCst), 0);
    assert!(world.store.scan(&Scan::new(Filter::All)).await?.slots == before);
    Ok(())
}

async fn a_store_that_was_restored_is_examined_and_what_is_missing_counted(on: &Ground) -> Result {
    let (world, writes) = (World::on(on).await?, Arc::default());
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    world.store.restore(backup);
    assert!(matches!(world.vault().await, Err(Error::StoreBehindJournal { .. })));
    let entries = world.entries().await?.len();
    let examination = examine(&world, &writes).await?;
    assert_eq!(examination.compare().await?.missing, 1);
    assert_eq!(all(&examination).await?.subjects[0].keys.len(), 1, "she is back, and that is told");
    assert_eq!((writes.load(Ordering::SeqCst), world.entries().await?.len()), (0, entries));

    world.builder().replay().await?;
    let examination = examine(&world, &writes).await?;
    let compared = examination.compare().await?;
    assert_eq!((compared.missing, compared.to_do, compared.waiting), (0, Vec::new(), Vec::new()));
    assert!(all(&examination).await?.subjects[0].keys.is_empty());
    Ok(())
}

async fn every_key_of_who_lives_is_unwrapped_and_none_of_who_is_erased(on: &Ground) -> Result {
    let world = World::on(on).await?.purposes(["billing"]);
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.rotate_now(&customer("ada")).await?;
    customers.enroll(&customer("ben")).await?;
    customers.erase(&customer("ben"), &whole()).await?;
    let examination = world.builder().examine().await?;
    let ids: Vec<SlotId> = world.subjects().await?.iter().map(|slot| slot.id().clone()).collect();
    let found = examination.slots(&ids).await?;
    let mut keys: Vec<_> = found.subjects.iter().map(|subject| subject.keys.len()).collect();
    keys.sort_unstable();
    assert_eq!((keys, found.failed.len()), (vec![0, 4], 0));
    assert!(examination.slots(&[SlotId::Tenant(acme())]).await?.failed.is_empty(), "what isn't there is no failure");
    // Under another keyring nothing opens, and that is no slot's fault.
    let other = World::in_memory()?;
    assert!(matches!(world.builder_with(other.provider).examine().await, Err(Error::Provider(_))));
    Ok(())
}

async fn what_would_have_to_be_made_first_is_not_examined(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let refused = world.builder().examine().await.err();
    assert!(matches!(refused, Some(Error::Journal(e)) if e.kind() == JournalErrorKind::Denied));
    assert!(world.entries().await?.is_empty() && world.slots().await?.is_empty());
    Ok(())
}

async fn why_a_sweep_would_do_nothing_is_told(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let ends = Enrollment::new().retain_until(world.later(HOUR));
    for name in ["ada", "ben"] {
        customers.enroll_with(&customer(name), &ends).await?;
    }
    let swept = world.builder().most_due(1).examine().await?.sweep().await?;
    assert_eq!((swept.due, swept.closed), (0, 0));
    world.clock.advance(HOUR);
    let swept = world.builder().most_due(2).examine().await?.sweep().await?;
    assert_eq!((swept.due, swept.closed), (0, 2), "and nobody is");
    let refused = world.builder().most_due(1).examine().await?.sweep().await;
    assert!(matches!(refused, Err(Error::TooManyDue { due: 2, cap: 1 })));
    assert_eq!(world.builder().examine().await?.sweep().await?.closed, 2, "nobody was closed by looking");
    Ok(())
}
