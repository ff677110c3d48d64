//! No irreversible act on one clock's word, and no clock that is wrong outlives its being set right.

use fieldseal::error::OtherClock;
use fieldseal::journal::{JournalEntry, JournalEvent};
use fieldseal::vault::{ErasureStatus, Sweep, Unnamed};
use fieldseal_testkit::faults::{Act, Tap};

use super::*;

tests![
    a_sweep_on_a_clock_that_jumped_destroys_nobody
    a_sweep_on_a_clock_that_was_set_back_and_jumped_destroys_nobody
    more_than_the_cap_are_destroyed_only_where_that_is_said
    one_sweep_closes_and_another_a_day_later_destroys
    from_the_end_of_a_period_on_nothing_is_read
    an_emergency_rotation_leaves_nobody_under_the_leaked_key_of_a_host_ahead
    a_rotation_on_a_host_ahead_puts_off_no_other
    an_intent_from_a_clock_ahead_is_finished_by_who_runs
    a_genuine_value_is_no_forgery_after_a_suspend
    a_refresh_reads_again_after_a_suspend
    a_host_behind_leaves_the_leaked_key_too
    a_sweep_says_whose_clock_differs_and_does_nothing
    what_has_come_has_come_by_the_clock_that_is_behind
    a_last_entry_of_a_time_to_come_wants_an_operators_word
    a_strangers_last_entry_stops_no_sweep
    who_was_closed_by_a_clock_ahead_is_closed_anew
    a_cap_counts_who_would_be_closed_or_erased_and_nobody_else
    whose_hold_is_released_after_the_end_is_closed
    who_is_closed_is_rotated_with_all_others
    nothing_is_final_while_clocks_disagree
    a_census_of_a_time_to_come_retires_nothing
];

/// Another host's clock.
fn clock_at(wall: Timestamp) -> ManualClock {
    let clock = ManualClock::new();
    clock.set_wall(wall);
    clock
}

fn earlier(moment: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(moment.as_millis() - u64::try_from(by.as_millis()).unwrap())
}

async fn enroll_for(customers: &Tenant, who: i64, until: Timestamp) -> Result {
    customers.enroll_with(&customer(who), &Enrollment::new().retain_until(until)).await.map(drop)
}

/// How many a sweep erases. One that refuses to sweep erases nobody.
async fn swept(vault: &Vault) -> usize {
    vault.erase_due().await.map_or(0, |swept| swept.receipts.len())
}

async fn a_sweep_on_a_clock_that_jumped_destroys_nobody(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    let (start, due) = (world.clock.wall(), world.later(10 * YEAR));
    for who in 1..=6 {
        enroll_for(&vault.default_tenant(), who, due).await?;
    }
    for ahead in [11 * YEAR, 11 * YEAR + DAY] {
        world.clock.set_wall(start.plus(ahead)); // the monotonic clock says that no time has passed
        assert_eq!(swept(&vault).await, 0, "destroyed on one clock's word");
    }
    world.clock.set_wall(start.plus(Duration::from_secs(1)));
    for who in 1..=6 {
        world.tenant().await?.keys(&customer(who)).await?;
    }
    Ok(())
}

/// A machine whose clock begins in 1970 or so, and is set right while the process runs, is no proof of anything either.
async fn a_sweep_on_a_clock_that_was_set_back_and_jumped_destroys_nobody(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let start = world.clock.wall();
    enroll_for(&world.tenant().await?, 1, world.later(HOUR)).await?;
    world.clock.set_wall(earlier(start, 10 * YEAR));
    let vault = world.vault().await?;
    world.clock.set_wall(start.plus(2 * HOUR));
    assert_eq!(swept(&vault).await, 0, "destroyed on one clock's word");
    Ok(())
}

async fn more_than_the_cap_are_destroyed_only_where_that_is_said(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    for who in 1..=1001 {
        enroll_for(&vault.default_tenant(), who, world.later(HOUR)).await?;
    }
    world.clock.advance(HOUR);
    assert_eq!(swept(&vault).await, 0, "1001 are due");
    world.clock.advance(DAY);
    assert_eq!(swept(&vault).await, 0, "1001 are due, and nobody said that so many may go");
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch().is_some()), "a key is gone");
    Ok(())
}

async fn one_sweep_closes_and_another_a_day_later_destroys(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    enroll_for(&vault.default_tenant(), 17, world.later(HOUR)).await?;
    world.clock.advance(HOUR);
    assert_eq!(swept(&vault).await, 0, "the first one closes");
    world.clock.advance(DAY - Duration::from_secs(60));
    assert_eq!(swept(&vault).await, 0, "it is not a day later");
    // Until then it can be taken back.
    vault.default_tenant().cancel_erasure(&customer(17)).await?;
    enroll_for(&vault.default_tenant(), 17, world.later(HOUR)).await?;
    vault.default_tenant().keys(&customer(17)).await?;
    world.clock.advance(HOUR);
    assert_eq!(swept(&vault).await, 0, "closed anew");
    world.clock.advance(DAY);
    assert_eq!(swept(&vault).await, 1);
    Ok(())
}

async fn from_the_end_of_a_period_on_nothing_is_read(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (cached, vault) = (world.tenant().await?, world.vault().await?);
    let customers = vault.default_tenant();
    for who in [1, 2] {
        enroll_for(&customers, who, world.later(MAX_AGE / 4)).await?;
    }
    customers.hold(&customer(2)).await?;
    let envelope = seal(&cached.keys(&customer(1)).await?)?;
    let held = seal(&cached.keys(&customer(2)).await?)?;
    let keys = cached.keys(&customer(1)).await?;
    world.clock.advance(MAX_AGE / 4); // nobody swept, and the cached keys are young
    for answer in [opens(&keys, &envelope), cached.keys(&customer(1)).await.map(|_| true)] {
        assert!(answer.is_err(), "it is read after its end");
        assert!(!is_erased(&answer), "applications delete rows on that");
    }
    assert!(customers.enroll(&customer(1)).await.is_err(), "a plain enrollment prolongs nothing");
    for customers in [&cached, &world.tenant().await?] {
        open(&customers.keys(&customer(2)).await?, &held)?; // who is held stays readable
    }
    enroll_for(&customers, 1, world.later(DAY)).await?;
    open(&world.tenant().await?.keys(&customer(1)).await?, &envelope)
}

async fn an_emergency_rotation_leaves_nobody_under_the_leaked_key_of_a_host_ahead(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    let leaked = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    let ahead = clock_at(world.later(10 * YEAR));
    let nightly = world.builder().clock(ahead.clone()).build().await?;
    nightly.rotate_page(&Rotation::of_keys_before(ahead.wall()), None, 100).await?;
    world.clock.advance(Duration::from_secs(60));
    let emergency = Rotation::of_keys_before(world.clock.wall()).now();
    let page = vault.rotate_page(&emergency, None, 100).await?;
    assert_eq!((page.rotated, page.failed.len()), (1, 0));
    world.pass_max_age();
    let keys = vault.default_tenant().keys(&customer("ada")).await?;
    assert!(keys.reseal_bytes(&leaked, &context())?.is_some(), "she is sealed for under the leaked key");
    Ok(())
}

async fn a_rotation_on_a_host_ahead_puts_off_no_other(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let before = seal(&customers.enroll(&customer("ada")).await?)?;
    let ahead = clock_at(world.later(10 * YEAR));
    world.builder().clock(ahead).build().await?.default_tenant().rotate(&customer("ada")).await?;
    let from = customers.rotate(&customer("ada")).await?;
    assert!(from <= world.later(MAX_AGE), "it waits for the clock that is ahead");
    world.pass_max_age();
    let keys = customers.keys(&customer("ada")).await?;
    assert!(keys.reseal_bytes(&before, &context())?.is_some(), "the new key is sealed under");
    Ok(())
}

async fn an_intent_from_a_clock_ahead_is_finished_by_who_runs(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let running = world.tenant().await?;
    running.enroll(&customer("ada")).await?;
    let tap = Tap::open();
    let ahead = clock_at(world.later(10 * YEAR));
    let dies = world.tapped(&tap).clock(ahead).build().await?.default_tenant();
    tap.set(|call| if call.puts_a_subject() { Act::Fail } else { Act::Go });
    assert!(dies.erase(&customer("ada"), &whole()).await.is_err());
    for _ in 0..3 {
        world.pass_max_age();
        let _ = running.keys(&customer("ada")).await;
    }
    assert!(is_erased(&running.keys(&customer("ada")).await), "the intent is young for ten years");
    Ok(())
}

/// On systems whose monotonic clock stands still while the machine sleeps.
async fn a_genuine_value_is_no_forgery_after_a_suspend(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let other = world.tenant().await?;
    other.enroll(&customer("ada")).await?;
    let clock = clock_at(world.clock.wall());
    let customers = world.builder().clock(clock.clone()).build().await?.default_tenant();
    let keys = customers.keys(&customer("ada")).await?;
    let keys = customers.refresh(&keys).await?;
    let minute = Duration::from_secs(60);
    world.clock.advance(minute);
    clock.set_wall(world.clock.wall()); // it slept
    other.rotate_now(&customer("ada")).await?;
    let envelope = seal(&other.keys(&customer("ada")).await?)?;
    let answer = opens(&keys, &envelope);
    assert!(matches!(answer, Err(Error::KeyNotHeld)), "what it knows is a minute old: {answer:?}");
    Ok(())
}

async fn a_refresh_reads_again_after_a_suspend(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let other = world.tenant().await?;
    other.enroll(&customer("ada")).await?;
    let clock = clock_at(world.clock.wall());
    let customers = world.builder().clock(clock.clone()).build().await?.default_tenant();
    let keys = customers.keys(&customer("ada")).await?;
    let keys = customers.refresh(&keys).await?;
    world.clock.advance(Duration::from_secs(60));
    clock.set_wall(world.clock.wall());
    other.rotate_now(&customer("ada")).await?;
    let envelope = seal(&other.keys(&customer("ada")).await?)?;
    open(&customers.refresh(&keys).await?, &envelope)
}

async fn a_host_behind_leaves_the_leaked_key_too(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let leaked = seal(&customers.enroll(&customer("ada")).await?)?;
    let behind = clock_at(earlier(world.clock.wall(), Duration::from_secs(20 * 60)));
    let other = world.builder().clock(behind.clone()).build().await?.default_tenant();
    other.keys(&customer("ada")).await?;
    customers.rotate_now(&customer("ada")).await?;
    for clock in [&world.clock, &behind] {
        clock.advance(MAX_AGE + Duration::from_millis(1));
    }
    let keys = other.keys(&customer("ada")).await?;
    assert!(keys.reseal_bytes(&leaked, &context())?.is_some(), "it seals under the leaked key");
    Ok(())
}

/// A world whose key store, or journal, has a clock of its own, that shows what the world's does.
async fn with_clock_of(whose: OtherClock, on: &Ground) -> Result<(World, ManualClock)> {
    let mut world = World::on(on).await?;
    let clock = clock_at(world.clock.wall());
    match whose {
        OtherClock::Store => world.store_clock = Some(clock.clone()),
        _ => world.journal_clock = Some(clock.clone()),
    }
    Ok((world, clock))
}

async fn a_sweep_says_whose_clock_differs_and_does_nothing(on: &Ground) -> Result {
    for of in [OtherClock::Store, OtherClock::Journal] {
        let (world, clock) = with_clock_of(of, on).await?;
        let vault = world.vault().await?;
        let customers = vault.default_tenant();
        enroll_for(&customers, 1, world.later(HOUR)).await?;
        customers.enroll(&customer(2)).await?;
        customers.schedule_erasure(&customer(2), world.later(HOUR)).await?;
        world.clock.advance(HOUR);
        let before = world.subjects().await?;
        for wrong in [world.later(10 * YEAR), world.later(Duration::from_secs(61)), earlier(world.clock.wall(), HOUR)] {
            clock.set_wall(wrong);
            for sweep in [Sweep::new(), Sweep::new().at_most(u64::MAX).even_if_journal_is_ahead()] {
                let swept = vault.erase_due_with(&sweep).await;
                let expected = wrong.since(world.clock.wall()).max(world.clock.wall().since(wrong));
                let Err(Error::ClocksDisagree { whose, apart }) = swept else { panic!("{swept:?}") };
                assert_eq!((whose, apart), (of, expected));
            }
        }
        assert_eq!(world.subjects().await?, before);
        // A host that was suspended has a clock beside it that wasn't.
        clock.set_wall(world.later(Duration::from_secs(59)));
        world.clock.set_wall(world.later(Duration::from_secs(60)));
        let swept = vault.erase_due().await?;
        assert_eq!((swept.receipts.len(), swept.closed), (1, 1), "within the bound");
    }
    Ok(())
}

async fn what_has_come_has_come_by_the_clock_that_is_behind(on: &Ground) -> Result {
    let (world, clock) = with_clock_of(OtherClock::Store, on).await?;
    let vault = world.vault().await?;
    enroll_for(&vault.default_tenant(), 1, world.later(HOUR)).await?;
    for advanced in [&world.clock, &clock] {
        advanced.advance(HOUR - Duration::from_secs(30));
    }
    world.clock.advance(Duration::from_secs(30));
    assert_eq!(vault.erase_due().await?.closed, 0, "her hour is over by one clock");
    clock.advance(Duration::from_secs(30));
    assert_eq!(vault.erase_due().await?.closed, 1);
    Ok(())
}

async fn a_last_entry_of_a_time_to_come_wants_an_operators_word(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    enroll_for(&vault.default_tenant(), 1, world.later(HOUR)).await?;
    world.clock.advance(HOUR);
    let ahead = world.builder().clock(clock_at(world.later(YEAR))).build().await?.default_tenant();
    ahead.enroll(&customer(2)).await?;
    ahead.hold(&customer(2)).await?;
    for vault in [&vault, &world.vault().await?] {
        for sweep in [Sweep::new(), Sweep::new().at_most(9)] {
            let swept = vault.erase_due_with(&sweep).await;
            let is_told = matches!(swept, Err(Error::JournalAhead { at }) if at == world.later(YEAR));
            assert!(is_told, "{swept:?}");
        }
    }
    assert_eq!(vault.erase_due_with(&Sweep::new().even_if_journal_is_ahead()).await?.closed, 1);
    // Whoever enters something with a clock that is right ends it.
    vault.default_tenant().release(&customer(2)).await?;
    assert_eq!(vault.erase_due().await?.waiting, 1);
    Ok(())
}

async fn a_strangers_last_entry_stops_no_sweep(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    enroll_for(&vault.default_tenant(), 1, world.later(HOUR)).await?;
    world.clock.advance(HOUR);
    let (id, tag) = (vault.default_tenant().id().clone(), vault.default_tenant().tag(&customer(1)).await?);
    let forged = JournalEntry::of_subject(world.later(YEAR), id, tag, JournalEvent::Held);
    world.scribe().forge(&forged).await?;
    let swept = vault.erase_due().await?;
    assert_eq!((swept.closed, swept.passed_over.count), (1, 1));
    Ok(())
}

async fn who_was_closed_by_a_clock_ahead_is_closed_anew(on: &Ground) -> Result {
    let world = World::on(on).await?;
    enroll_for(&world.tenant().await?, 1, world.later(HOUR)).await?;
    // Nothing notices that it is ahead: the store has no clock.
    let ahead = world.builder().clock(clock_at(world.later(10 * YEAR))).build().await?;
    assert_eq!(ahead.erase_due().await?.closed, 1);
    world.clock.advance(2 * HOUR);
    let vault = world.vault().await?;
    assert_eq!(vault.erase_due().await?.closed, 1, "not in ten years and a day");
    world.clock.advance(DAY);
    assert_eq!(vault.erase_due().await?.receipts.len(), 1);
    Ok(())
}

async fn a_cap_counts_who_would_be_closed_or_erased_and_nobody_else(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.builder().most_due(2).build().await?;
    let customers = vault.default_tenant();
    for who in 1..=5 {
        enroll_for(&customers, who, world.later(HOUR)).await?;
    }
    customers.hold(&customer(5)).await?;
    world.clock.advance(HOUR);
    let before = world.subjects().await?;
    for sweep in [Sweep::new(), Sweep::new().only_count(), Sweep::new().at_most(3)] {
        let swept = vault.erase_due_with(&sweep).await;
        assert!(matches!(swept, Err(Error::TooManyDue { due: 4, cap: 2 | 3 })), "{swept:?}");
    }
    assert_eq!(world.subjects().await?, before);
    let counted = vault.erase_due_with(&Sweep::new().at_most(4).only_count()).await?;
    assert_eq!((counted.due, counted.closed, counted.held), (0, 4, 1));
    assert_eq!(world.subjects().await?, before, "it only counted");
    assert_eq!(vault.erase_due_with(&Sweep::new().at_most(4)).await?.closed, 4);
    // Who was closed a moment ago is nobody that a sweep would do anything with.
    assert_eq!(vault.erase_due().await?.waiting, 4);
    world.clock.advance(DAY);
    let swept = vault.erase_due().await;
    assert!(matches!(swept, Err(Error::TooManyDue { due: 4, cap: 2 })), "{swept:?}");
    assert_eq!(vault.erase_due_with(&Sweep::new().at_most(4)).await?.receipts.len(), 4);
    Ok(())
}

async fn whose_hold_is_released_after_the_end_is_closed(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    enroll_for(&customers, 1, world.later(MAX_AGE / 4)).await?;
    let envelope = seal(&customers.keys(&customer(1)).await?)?;
    customers.hold(&customer(1)).await?;
    world.clock.advance(MAX_AGE / 4);
    let keys = customers.keys(&customer(1)).await?;
    open(&keys, &envelope)?;
    customers.release(&customer(1)).await?;
    assert!(opens(&keys, &envelope).is_err(), "keys from while he was held");
    let answer = customers.keys(&customer(1)).await;
    assert!(matches!(answer, Err(Error::SubjectClosed { due }) if due == world.clock.wall()), "{answer:?}");
    Ok(())
}

/// Or whoever prolongs their period is under a leaked key again.
async fn who_is_closed_is_rotated_with_all_others(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    enroll_for(&vault.default_tenant(), 1, world.later(HOUR)).await?;
    let leaked = seal(&vault.default_tenant().keys(&customer(1)).await?)?;
    world.clock.advance(HOUR);
    let emergency = Rotation::of_keys_before(world.clock.wall()).now();
    let page = vault.rotate_page(&emergency, None, 100).await?;
    assert_eq!((page.rotated, page.unreadable), (1, 0));
    enroll_for(&vault.default_tenant(), 1, world.later(HOUR)).await?;
    let keys = vault.default_tenant().keys(&customer(1)).await?;
    assert!(keys.reseal_bytes(&leaked, &context())?.is_some());
    Ok(())
}

async fn nothing_is_final_while_clocks_disagree(on: &Ground) -> Result {
    let (world, clock) = with_clock_of(OtherClock::Journal, on).await?;
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    customers.enroll(&customer("ada")).await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    let told = async || -> Result<[ErasureStatus; 2]> {
        let listed = vault.erasures().await?.remove(0).status.unwrap();
        Ok([customers.erasure_status(&receipt).await?, listed])
    };
    let not_final = [(); 2].map(|()| ErasureStatus::Erased { waits_for: vec![] });
    assert_eq!(told().await?, not_final, "others may have its keys");
    world.pass_max_age();
    assert_eq!(told().await?, not_final, "by one clock it is in force everywhere");
    clock.set_wall(world.clock.wall());
    assert!(told().await?.iter().all(|status| matches!(status, ErasureStatus::Final { .. })));
    Ok(())
}

async fn a_census_of_a_time_to_come_retires_nothing(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    vault.default_tenant().rotate_now(&customer("ada")).await?;
    for only_count in [false, true] {
        let unnamed = Unnamed::new(world.later(HOUR), Duration::ZERO, []);
        let unnamed = if only_count { unnamed.only_count() } else { unnamed };
        let retired = vault.retire_versions_page(&unnamed, None, 100).await;
        assert!(matches!(retired, Err(Error::InvalidInput(_))), "{retired:?}");
    }
    world.pass_max_age();
    let unnamed = Unnamed::new(world.clock.wall(), Duration::ZERO, []);
    assert_eq!(vault.retire_versions_page(&unnamed, None, 100).await?.versions, 1);
    world.clock.set_wall(world.later(YEAR));
    let unnamed = Unnamed::new(world.clock.wall(), Duration::ZERO, []);
    let retired = vault.retire_versions_page(&unnamed, None, 100).await;
    assert!(matches!(retired, Err(Error::ClocksDisagree { whose: OtherClock::Monotonic, .. })), "{retired:?}");
    Ok(())
}

/// Which clock is wrong while a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    TimeOfDay,
    /// It only goes forth, and whoever is built anew begins from there.
    Monotonic,
    Stores,
    Journals,
    /// The call is made by another host, that was wrong when it started, and again by this one.
    OtherHosts,
}

/// A scene in which nothing is wrong yet. A port has a clock of its own where that is to be wrong.
async fn scene_of(wrong: Wrong, operation: Operation, on: &Ground) -> Result<(Scene, Option<ManualClock>)> {
    let (world, clock) = match wrong {
        Wrong::Stores => with_clock_of(OtherClock::Store, on).await.map(|(world, clock)| (world, Some(clock)))?,
        Wrong::Journals => with_clock_of(OtherClock::Journal, on).await.map(|(world, clock)| (world, Some(clock)))?,
        _ => (World::on(on).await?, None),
    };
    let scene = Scene::before_in(world, operation, on).await?;
    if let Some(clock) = &clock {
        clock.set_wall(scene.world.clock.wall());
    }
    Ok((scene, clock))
}

/// The process ends, and another one goes on.
async fn restart(scene: &mut Scene) -> Result {
    scene.vault = scene.world.tapped(&scene.tap).purposes(["billing"]).build().await?;
    scene.customers = scene.vault.default_tenant();
    Ok(())
}

/// The call, while a clock is wrong. It may refuse.
async fn call_while(
    wrong: Wrong,
    is: Timestamp,
    by: Duration,
    scene: &mut Scene,
    clock: Option<&ManualClock>,
) -> Result {
    let right = scene.world.clock.clone();
    match wrong {
        Wrong::TimeOfDay => right.set_wall(is),
        Wrong::Monotonic => right.advance_monotonic(by),
        Wrong::Stores | Wrong::Journals => clock.iter().for_each(|clock| clock.set_wall(is)),
        Wrong::OtherHosts => {
            let (vault, customers) = (scene.vault.clone(), scene.customers.clone());
            scene.world.clock = clock_at(is);
            let _ = restart(scene).await; // not on a store that is to be replayed
            let _ = scene.call().await;
            (scene.world.clock, scene.vault, scene.customers) = (right, vault, customers);
            return Ok(());
        }
    }
    let _ = scene.call().await;
    if wrong == Wrong::Monotonic {
        restart(scene).await?; // what compares it with the time of day since the build refuses until then
    }
    Ok(())
}

/// Every operation, while a clock is wrong by so much. Then it is right again, and the operation is made once more: whoever nobody
/// erased is there, and nobody is sealed for under a key that was to be left.
async fn a_wrong_clock_outlives_no_call(wrong: Wrong, operation: Operation, on: &Ground) -> Result {
    let mut harmed = Vec::new();
    let all = [10 * YEAR, DAY, MAX_AGE].into_iter().flat_map(|by| [(by, true), (by, false)]);
    for ((by, is_ahead), n) in all.zip(operation as u64..) {
        if wrong == Wrong::Monotonic && !is_ahead || !is_drawn(n, 4) {
            continue;
        }
        let (mut scene, clock) = scene_of(wrong, operation, on).await?;
        let gus = customer("gus");
        let due = Enrollment::new().retain_until(scene.world.later(5 * YEAR));
        let gus_is_there = operation != Operation::Create;
        if gus_is_there {
            scene.customers.enroll_with(&gus, &due).await?;
            leave_old_epochs(operation, &scene).await?;
        }
        let right = scene.world.clock.wall();
        let is = if is_ahead { right.plus(by) } else { earlier(right, by) };
        call_while(wrong, is, by, &mut scene, clock.as_ref()).await?;
        let world = &scene.world;
        world.clock.set_wall(right.plus(Duration::from_secs(1)));
        world.clock.advance(2 * MAX_AGE);
        clock.iter().for_each(|clock| clock.set_wall(world.clock.wall()));
        let mut note = |what: String| {
            harmed.push(format!("{by:?} {}: {what}", if is_ahead { "ahead" } else { "behind" }));
        };
        match scene.call().await {
            Err(Error::JournalAhead { .. }) if wrong == Wrong::OtherHosts && is_ahead => {
                drop(scene.vault.erase_due_with(&Sweep::new().even_if_journal_is_ahead()).await?);
            }
            Err(e) => note(format!("made again, {e:?}")),
            Ok(()) => {}
        }
        world.pass_max_age();
        if let Err(e) = scene.check_start().await {
            note(format!("a process that starts, {e:?}"));
            continue;
        }
        let builder = world.builder().purposes(["billing"]);
        let fresh = builder.build().await?.default_tenant();
        if gus_is_there && operation != Operation::EraseTenant {
            match fresh.keys(&gus).await {
                Ok(_) => {}
                // Nothing notices a clock that was ahead at the start; and it is called off.
                Err(Error::SubjectClosed { .. }) if wrong == Wrong::OtherHosts && is_ahead => {
                    fresh.cancel_erasure(&gus).await?;
                    fresh.keys(&gus).await?;
                }
                Err(e) => note(format!("who was to be kept for five years, {e:?}")),
            }
        }
        let rotates = [Operation::Rotate, Operation::RotateNow, Operation::RotatePage].contains(&operation);
        let moves = async || fresh.keys(&customer("ada")).await?.reseal_bytes(&scene.sealed, &context());
        if rotates && moves().await?.is_none() {
            note("sealed for under the key that was to be left".to_owned());
        }
    }
    assert!(harmed.is_empty(), "{operation:?}, {wrong:?} wrong, {}: {}", harmed.len(), harmed.join("; "));
    Ok(())
}

macro_rules! each_at_a_wrong_clock {
    ({$name:ident $wrong:ident} [$($operation:ident)*]) => {
        #[expect(non_snake_case, reason = "as the operation is named")]
        mod $name {
            use super::{Operation, Wrong};

            $(#[test]
            fn $operation() -> crate::common::Result {
                let test = super::a_wrong_clock_outlives_no_call;
                crate::ground::run(async |on| test(Wrong::$wrong, Operation::$operation, on).await)
            })*
        }
    };
}
operations!(each_at_a_wrong_clock! {a_wrong_time_of_day_outlives_no TimeOfDay});
operations!(each_at_a_wrong_clock! {a_wrong_monotonic_clock_outlives_no Monotonic});
operations!(each_at_a_wrong_clock! {a_wrong_clock_of_a_store_outlives_no Stores});
operations!(each_at_a_wrong_clock! {a_wrong_clock_of_a_journal_outlives_no Journals});
operations!(each_at_a_wrong_clock! {a_host_with_a_wrong_clock_outlives_no OtherHosts});
