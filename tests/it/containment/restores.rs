//! A backup need not be of one moment, and nothing that was put back opens what was erased, or destroys who was prolonged.

use std::sync::Mutex;

use fieldseal::journal::{ErasureJournal as _, JournalEvent, MemoryJournal};
use fieldseal::store::MemoryStore;
use fieldseal::vault::SubjectState;
use fieldseal_testkit::clock::Clocked;
use fieldseal_testkit::faults::{Act, Tap};
use futures_util::FutureExt as _;

use super::*;

tests![
    a_slot_from_before_an_erasure_opens_nobody_beside_a_vaults_slot_from_after
    a_slot_from_before_opens_nobody_in_any_of_the_next_builds
    a_backup_of_any_two_moments_of_an_erasure_brings_nobody_back
    a_crash_in_a_replay_and_a_backup_after_it_bring_nobody_back
    a_window_is_over_when_the_stores_clock_says_so_too
    a_sweep_costs_what_is_new
    an_erased_tenants_slots_that_were_put_back_open_nothing
    who_is_enrolled_again_waits_for_who_still_holds_the_old_keys
    who_is_enrolled_again_waits_for_the_longest_max_age_that_was_allowed
    an_erasure_that_is_dated_ahead_is_waited_for_once
    an_erasure_by_a_host_behind_is_waited_for_all_the_same
    a_purpose_alone_is_waited_for_alone
    a_restore_has_nobody_swept_by_a_date_that_is_back
    a_replay_suspends_retention_until_it_is_resumed
    a_look_through_the_journal_suspends_retention_where_something_is_back
];

/// Ada's slot from before her erasure, and what she had sealed; `applied` is behind the erasure.
async fn erased_and_applied(world: &World) -> Result<(StoredSlot, Vec<u8>)> {
    let customers = world.tenant().await?;
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    let before = world.subjects().await?.remove(0);
    customers.erase(&customer("ada"), &whole()).await?;
    world.vault().await?;
    world.vault().await?;
    Ok((before, envelope))
}

/// Whether a process that starts now opens what she had sealed. One that doesn't build opens nothing.
async fn opens_now(world: &World, envelope: &[u8]) -> bool {
    let Ok(customers) = world.tenant().await else { return false };
    match customers.keys(&customer("ada")).await {
        Ok(keys) => opens(&keys, envelope).unwrap_or(false),
        Err(_) => false,
    }
}

async fn a_slot_from_before_an_erasure_opens_nobody_beside_a_vaults_slot_from_after(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (before, envelope) = erased_and_applied(&world).await?;
    put_back(&world, &before).await?;
    assert!(!opens_now(&world, &envelope).await, "she opens");
    world.builder().replay().await?;
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    Ok(())
}

async fn a_slot_from_before_opens_nobody_in_any_of_the_next_builds(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (before, envelope) = erased_and_applied(&world).await?;
    put_back(&world, &before).await?;
    let mut opened = Vec::new();
    for hours in 0..24 {
        if opens_now(&world, &envelope).await {
            opened.push(hours);
        }
        if let Ok(vault) = world.vault().await {
            let _ = vault.erase_due().await;
        }
        world.clock.advance(HOUR);
    }
    assert!(opened.is_empty(), "she opens, after hours: {opened:?}");
    Ok(())
}

/// What a key store was at a moment.
#[derive(Clone)]
struct Shot {
    at: Timestamp,
    slots: Vec<StoredSlot>,
}

impl Shot {
    /// Ports in memory answer at once.
    fn of(world: &World) -> Self {
        Self { at: world.clock.wall(), slots: world.slots().now_or_never().unwrap().unwrap() }
    }
}

/// Each moment of a key store after a put that passes a tap.
fn film(world: &World, tap: &Tap) -> Arc<Mutex<Vec<Shot>>> {
    let shots = Arc::new(Mutex::new(vec![Shot::of(world)]));
    let (taken, world) = (shots.clone(), world.clone());
    tap.set(move |call| {
        if call.method == "put" && call.is_over() {
            taken.lock().unwrap().push(Shot::of(&world));
        }
        Act::Go
    });
    shots
}

/// What is restored from a backup that took the subjects' slots at one moment, and the rest at another. The journal is as it is.
async fn restored(world: &World, subjects: &Shot, rest: &Shot) -> Result<World> {
    let is_subject = |slot: &&StoredSlot| matches!(slot.id(), SlotId::Subject(..));
    let store = MemoryStore::new();
    let rest = rest.slots.iter().filter(|slot| !is_subject(slot));
    for slot in subjects.slots.iter().filter(is_subject).chain(rest) {
        store.put(slot, Expected::Absent).await?;
    }
    let journal = MemoryJournal::with_id(world.journal.id().await?);
    for entry in world.entries().await? {
        journal.append(&entry, &journal.head().await?).await?;
    }
    Ok(world.clone().with_store(store).with_journal(journal))
}

/// How often a person opens who was erased, after restores of backups each of which took less than a day; and how many there
/// were, and how many of them were replayed.
async fn who_is_back(on: &Ground, window: Duration) -> Result<[usize; 3]> {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let customers = world.tapped(&tap).backup_window(window).build().await?.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    world.settle().await?; // the window begins with the erasure
    let shots = film(&world, &tap);
    customers.erase(&customer("ada"), &whole()).await?;
    for _ in 0..18 {
        world.builder().backup_window(window).build().await?;
        shots.lock().unwrap().push(Shot::of(&world));
        world.clock.advance(3 * HOUR);
        customers.enroll(&customer("ben")).await?; // by a process that runs, and looks
    }
    let shots = shots.lock().unwrap().clone();
    let (mut back, mut restores, mut replays) = (0, 0, 0);
    for (n, first) in shots.iter().enumerate() {
        for last in shots.iter().skip(n).filter(|last| last.at.since(first.at) <= DAY) {
            for (subjects, rest) in [(first, last), (last, first)] {
                let world = restored(&world, subjects, rest).await?;
                restores += 1;
                back += usize::from(opens_now(&world, &envelope).await);
                if world.vault().await.is_err() {
                    replays += 1;
                    world.builder().replay().await?;
                    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
                }
            }
        }
    }
    Ok([back, restores, replays])
}

async fn a_backup_of_any_two_moments_of_an_erasure_brings_nobody_back(on: &Ground) -> Result {
    let [back, restores, replays] = who_is_back(on, DAY).await?;
    assert_eq!(back, 0, "of {restores}");
    assert!(replays > 0);
    let [back, ..] = who_is_back(on, Duration::ZERO).await?;
    assert!(back > 0, "it is the window that keeps them away");
    Ok(())
}

async fn a_crash_in_a_replay_and_a_backup_after_it_bring_nobody_back(on: &Ground) -> Result {
    for n in (0..).filter(|n| is_drawn(*n, 5)) {
        for is_done in [false, true] {
            let world = World::on(on).await?;
            let customers = world.tenant().await?;
            let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
            world.settle().await?;
            let before = Shot::of(&world);
            customers.erase(&customer("ada"), &whole()).await?;
            world.vault().await?; // from here on it settles
            world.clock.advance(20 * HOUR);
            let world = restored(&world, &before, &Shot::of(&world)).await?;

            let (begun, tap) = (Shot::of(&world), Tap::open()); // a backup takes her slot
            tap.set(move |call| match call.number {
                number if number > n || (number == n && call.is_over() == is_done) => Act::Fail,
                _ => Act::Go,
            });
            let replayed = world.tapped(&tap).replay().await;
            let is_told = |event: &JournalEvent| matches!(event, JournalEvent::StoreRestored { .. });
            let is_destroyed = world.subjects().await?.iter().all(|slot| slot.epoch().is_none());
            assert!(
                !is_destroyed || world.events().await?.iter().any(is_told),
                "call {n}: nobody knows of the restore"
            );

            let mut shots = vec![Shot::of(&world)];
            for _ in 0..6 {
                world.clock.advance(4 * HOUR - Duration::from_secs(1));
                if world.vault().await.is_err() {
                    world.builder().replay().await?;
                }
                shots.push(Shot::of(&world));
            }
            for ended in &shots {
                let world = restored(&world, &begun, ended).await?;
                assert!(!opens_now(&world, &envelope).await, "call {n}: she is back");
            }
            if replayed.is_ok() {
                assert!(n > 20, "{n} calls");
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn a_window_is_over_when_the_stores_clock_says_so_too(on: &Ground) -> Result {
    for is_told in [true, false] {
        let world = World::on(on).await?;
        let (before, envelope) = erased_and_applied(&world).await?;
        let store = Clocked::new(world.store.clone(), is_told.then(|| world.clock.clone()));
        // No time passes, but for a host whose clock is ahead, and jumps on.
        let ahead = ManualClock::new();
        for days in [2, 4, 6] {
            ahead.set_wall(world.later(days * DAY));
            let builder = Vault::builder(world.provider.clone(), store.clone()).journal(world.journal.clone());
            builder.kinds(["customer"]).clock(ahead.clone()).build().await?;
        }
        put_back(&world, &before).await?;
        assert_eq!(
            opens_now(&world, &envelope).await,
            !is_told,
            "one clock alone ends a window, another keeps it open"
        );
    }
    Ok(())
}

async fn a_sweep_costs_what_is_new(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let vault = world.tapped(&tap).build().await?;
    let mut costs = Vec::new();
    for n in 0..3i64 {
        for who in 1..=25 {
            vault.default_tenant().erase(&customer(100 * n + who), &whole().even_if_unknown()).await?;
        }
        assert!(vault.erase_due().await?.failed.is_empty()); // what is new
        let before = tap.calls();
        assert!(vault.erase_due().await?.failed.is_empty());
        costs.push(tap.calls() - before);
    }
    assert!(costs.iter().all(|calls| *calls == costs[0]), "calls of sweeps with nothing new: {costs:?}");
    Ok(())
}

async fn an_erased_tenants_slots_that_were_put_back_open_nothing(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    let envelope = seal(&vault.tenant(&acme()).enroll(&customer("ada")).await?)?;
    let of_tenant = |slot: &StoredSlot| slot.id().tenant() == Some(&acme());
    let before: Vec<_> = world.slots().await?.into_iter().filter(of_tenant).collect();
    vault.erase_tenant(&acme(), &whole()).await?;
    let running = world.vault().await?;
    for is_settled in [false, true] {
        if is_settled {
            world.settle().await?;
        }
        let keys = running.tenant(&acme()).keys(&customer("ada")).await;
        assert!(matches!(keys, Err(Error::TenantErased { .. })), "{keys:?}");
        for slot in &before {
            put_back(&world, slot).await?;
        }
        world.pass_max_age();
        let vault = world.vault().await;
        assert_eq!(vault.is_ok(), is_settled, "a build looks behind `settled`");
        for vault in [Some(&running), vault.as_ref().ok()].into_iter().flatten() {
            let acme = vault.tenant(&acme());
            for keys in [acme.keys(&customer("ada")).await, acme.enroll(&customer("ada")).await] {
                let opens = keys.as_ref().is_ok_and(|keys| opens(keys, &envelope).unwrap_or(false));
                assert!(!opens, "she opens");
                assert!(matches!(keys, Err(Error::TenantErased { .. })), "{keys:?}");
            }
            let state = acme.inventory(&customer("ada")).await?.state;
            assert!(matches!(state, SubjectState::Erased { .. }), "{state:?}");
        }
        let (_, replayed) = world.builder().replay().await?;
        assert_eq!(replayed.tenants, 1);
        world.vault().await?;
    }
    Ok(())
}

async fn who_is_enrolled_again_waits_for_who_still_holds_the_old_keys(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (one, other) = (world.tenant().await?, world.tenant().await?);
    let held = one.enroll(&customer("ada")).await?;
    other.erase(&customer("ada"), &whole()).await?;
    let again = Enrollment::new().even_if_erased();
    if other.enroll_with(&customer("ada"), &again).await.is_ok() {
        // She has keys again, so what is sealed for her is to be read; but this process doesn't know that she was erased.
        let envelope = seal(&held)?;
        world.pass_max_age();
        open(&world.tenant().await?.keys(&customer("ada")).await?, &envelope)?;
    }
    world.clock.advance(2 * MAX_AGE + HOUR);
    other.enroll_with(&customer("ada"), &again).await?;
    // Nobody waits where there was no key to hold.
    other.erase(&customer("ben"), &whole().even_if_unknown()).await?;
    other.enroll_with(&customer("ben"), &again).await.map(drop)
}

/// The moment from which on she may be enrolled again; none if she is now.
async fn waits_until(customers: &Tenant) -> Result<Option<Timestamp>> {
    let again = Enrollment::new().even_if_erased();
    match customers.enroll_with(&customer("ada"), &again).await {
        Err(Error::TooEarly { until }) => Ok(Some(until)),
        enrolled => enrolled.map(|_| None),
    }
}

async fn who_is_enrolled_again_waits_for_the_longest_max_age_that_was_allowed(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ada")).await?;
    let backup = world.store.backup().await?;
    vault.set_max_age(HOUR).await?;
    // The store forgets that it was raised: not every process need have been built since.
    world.store.restore(backup);
    let customers = world.builder().replay().await?.0.default_tenant();
    customers.erase(&customer("ada"), &whole()).await?;
    let until = world.later(HOUR + Duration::from_secs(60));
    assert_eq!(waits_until(&customers).await?, Some(until));
    world.clock.advance(HOUR);
    assert_eq!(waits_until(&world.tenant().await?).await?, Some(until), "whoever asks, and when");
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(waits_until(&customers).await?, None);
    Ok(())
}

async fn an_erasure_that_is_dated_ahead_is_waited_for_once(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let ahead = ManualClock::new();
    ahead.set_wall(world.later(10 * YEAR));
    world.builder().clock(ahead).build().await?.default_tenant().erase(&customer("ada"), &whole()).await?;
    world.clock.advance(HOUR);
    let until = world.later(MAX_AGE + Duration::from_secs(60));
    for _ in 0..2 {
        assert_eq!(waits_until(&customers).await?, Some(until), "since when it was done nobody knows");
        world.clock.advance(MAX_AGE);
    }
    assert_eq!(waits_until(&customers).await?, None);
    Ok(())
}

/// What it enters would be long ago, by its own clock.
async fn an_erasure_by_a_host_behind_is_waited_for_all_the_same(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let behind = ManualClock::new();
    behind.set_wall(Timestamp::from_millis(1_000_000));
    let journal = Clocked::new(world.journal.clone(), Some(world.clock.clone()));
    let builder = Vault::builder(world.provider.clone(), world.store.clone()).journal(journal).kinds(["customer"]);
    builder.clock(behind).build().await?.default_tenant().erase(&customer("ada"), &whole()).await?;
    let until = world.later(MAX_AGE + Duration::from_secs(60));
    assert_eq!(waits_until(&customers).await?, Some(until));
    world.pass_old_keys();
    assert_eq!(waits_until(&customers).await?, None);
    Ok(())
}

async fn a_purpose_alone_is_waited_for_alone(on: &Ground) -> Result {
    let world = World::on(on).await?.purposes(["billing", "support"]);
    let customers = world.tenant().await?;
    let of = |purpose: &str| Ok::<_, Error>(whole().purpose(fieldseal::id::Purpose::new(purpose)?));
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &of("billing")?).await?;
    world.pass_old_keys();
    assert_eq!(waits_until(&customers).await?, None);
    customers.erase(&customer("ada"), &of("support")?).await?;
    let until = world.later(MAX_AGE + Duration::from_secs(60));
    assert_eq!(waits_until(&customers).await?, Some(until), "for the one that was erased a moment ago");
    // A process that doesn't know it waits for none.
    let other = world.clone().purposes(["billing"]).tenant().await?;
    assert_eq!(waits_until(&other).await?, None);
    Ok(())
}

async fn a_restore_has_nobody_swept_by_a_date_that_is_back(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let until = |at| Enrollment::new().retain_until(at);
    customers.enroll_with(&customer("ada"), &until(world.later(HOUR))).await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    customers.enroll_with(&customer("ada"), &until(world.later(10 * YEAR))).await?;
    customers.erase(&customer("ben"), &whole()).await?;
    world.store.restore(backup);
    world.builder().replay().await?;
    for _ in 0..3 {
        world.clock.advance(DAY + HOUR);
        let swept = world.vault().await?.erase_due().await?;
        assert!(swept.receipts.is_empty(), "she was prolonged for ten years");
    }
    Ok(())
}

/// How many are erased by sweeps of three days, the last of which says whether retention is suspended.
async fn swept_in_three_days(world: &World) -> Result<(usize, bool)> {
    let (mut erased, mut is_suspended) = (0, false);
    for _ in 0..3 {
        let swept = world.vault().await?.erase_due().await?;
        erased += swept.receipts.len();
        is_suspended = swept.retention_is_suspended;
        world.clock.advance(DAY + HOUR);
    }
    Ok((erased, is_suspended))
}

async fn a_replay_suspends_retention_until_it_is_resumed(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let until = Enrollment::new().retain_until(world.later(HOUR));
    customers.enroll_with(&customer("ada"), &until).await?;
    customers.enroll(&customer("ben")).await?;
    let backup = world.store.backup().await?;
    // Nothing was erased since: no build can see that the store was restored.
    world.store.restore(backup);
    world.vault().await?;
    let (vault, replayed) = world.builder().replay().await?;
    assert!(replayed.retention_is_suspended);
    world.clock.advance(HOUR);
    vault.default_tenant().schedule_erasure(&customer("ben"), world.later(HOUR)).await?;
    world.clock.advance(HOUR);
    assert_eq!(swept_in_three_days(&world).await?, (1, true), "ben, whose moment the journal knows");
    assert!(vault.resume_retention().await?);
    assert!(!vault.resume_retention().await?, "it is");
    assert_eq!(swept_in_three_days(&world).await?, (1, false));
    assert!(is_erased(&world.tenant().await?.keys(&customer("ada")).await));
    // And the next restore suspends it again.
    world.builder().replay().await?;
    assert!(world.vault().await?.erase_due().await?.retention_is_suspended);
    Ok(())
}

async fn a_look_through_the_journal_suspends_retention_where_something_is_back(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (before, _) = erased_and_applied(&world).await?;
    let vault = world.vault().await?;
    assert!(!vault.replay_journal().await?.retention_is_suspended, "a look of every month changes nothing");
    assert!(!vault.erase_due().await?.retention_is_suspended);
    put_back(&world, &before).await?;
    assert!(vault.replay_journal().await?.retention_is_suspended, "other slots may be back, too");
    assert!(vault.erase_due().await?.retention_is_suspended);
    Ok(())
}
