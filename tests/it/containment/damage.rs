//! A damaged slot stops nobody else, is named, and is replaced by a whole erasure alone.

use fieldseal::id::Purpose;
use fieldseal::journal::JournalEvent;
use fieldseal_testkit::faults::{Act, Tap};

use super::shelf::{Row, Shelf};
use super::*;

tests![
    who_has_a_damaged_slot_can_be_erased_and_stays_so
    a_hold_stands_on_who_has_a_damaged_slot
    an_erased_tenant_has_no_damaged_slots
    each_byte_of_one_slot_stops_nobody_else
    each_column_of_one_slot_stops_nobody_else
    each_byte_of_one_tenants_slot_stops_no_other_tenant
    a_damaged_tombstone_that_is_not_applied_refuses_nobody_else
    one_due_date_in_twenty_that_is_off_leaves_the_others_to_the_sweep
    an_epoch_is_in_use_by_a_slot_whose_epoch_is_damaged
    a_look_beside_a_damaged_slot_costs_what_is_new
    more_damaged_slots_than_can_wait_cost_a_look_nothing
    what_counts_as_applied_moves_past_a_damaged_slot
    a_restore_under_a_running_process_is_noticed_where_applied_stands_still
    who_runs_hands_out_nothing_that_was_put_back_over_damage
    a_purpose_alone_waits_for_a_damaged_slot
    what_waited_is_checked_by_the_next_builds
    an_intent_over_a_damaged_slot_is_finished_by_who_looks_next
    a_replay_buries_what_is_damaged_where_nobody_was_enrolled_again
    a_build_and_a_sweep_bury_nothing_that_was_done
    a_damaged_slot_that_was_put_back_is_erased_at_once
    a_tenant_whose_slot_is_damaged_is_erased_once_it_is_back
    an_epoch_ends_when_what_was_damaged_is_back
    damage_alone_makes_no_tombstone
    one_flipped_bit_of_a_mac_stops_nobody_else
];

async fn who_has_a_damaged_slot_can_be_erased_and_stays_so(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    let good = damage_the_one(&world).await?;
    let receipt = customers.erase(&customer("ada"), &whole()).await?;
    assert!(!receipt.has_all_key_ids(), "nobody could read which keys there were");
    put_back(&world, &good).await?;
    match world.tenant().await {
        Err(Error::StoreBehindJournal { .. }) => {}
        built => assert!(is_erased(&built?.keys(&customer("ada")).await)),
    }
    let customers = world.builder().replay().await?.0.default_tenant();
    let opens = customers.keys(&customer("ada")).await.and_then(|keys| opens(&keys, &envelope));
    assert!(is_erased(&opens));
    Ok(())
}

async fn a_hold_stands_on_who_has_a_damaged_slot(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.hold(&customer("ada")).await?;
    let good = damage_the_one(&world).await?;
    assert!(matches!(customers.erase(&customer("ada"), &whole()).await, Err(Error::SubjectHeld)));
    put_back(&world, &good).await?;
    world.tenant().await?.keys(&customer("ada")).await.map(drop)
}

async fn an_erased_tenant_has_no_damaged_slots(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    vault.tenant(&acme()).enroll_all(&["ada", "ben", "cy"].map(customer)).await?;
    let good = world.subjects().await?;
    put_back(&world, &flipped(&good[0], good[0].as_bytes().len() - 1)).await?;
    put_back(&world, &flipped(&good[1], 6)).await?; // of no epoch now, as if it were one already
    vault.erase_tenant(&acme(), &whole()).await?;
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch().is_none()), "all of them are tombstones");
    let page = vault.inventory_page(None, 100).await?;
    assert_eq!((page.subjects.len(), page.failed.len()), (3, 0), "{:?}", page.failed);
    Ok(())
}

/// What is wrong with one slot, after `damage` has changed its row: calls about others that fail, by name.
async fn stopped(on: &Ground, damage: impl Fn(&mut Row)) -> Result<Vec<&'static str>> {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let all: Vec<_> = (1..=8i64).map(customer).collect();
    let due = Enrollment::new().retain_until(world.later(DAY));
    for who in &all {
        customers.enroll_with(who, &due).await?;
    }
    world.provider.add_key().await?;
    let bad = shelf.subjects().remove(3);
    let mut row = shelf.row(&bad);
    damage(&mut row);
    shelf.set(&bad, row);
    let mut stopped = Vec::new();
    let mut note = |what, stops: bool| stopped.extend(stops.then_some(what));
    world.pass_max_age();
    let page = customers.keys_of(&all).await;
    note("keys_of", page.map_or(true, |page| all.iter().filter(|who| page.get(*who).is_ok()).count() < 7));
    note("enroll_all", customers.enroll_all(&all).await.is_err());
    note("inventory_page", vault.inventory_page(None, 100).await.map_or(true, |page| page.subjects.len() < 7));
    note("advance_epoch", vault.advance_epoch().await.is_err());
    note("rewrap_page", vault.rewrap_page(None, 100).await.map_or(true, |page| page.moved < 7));
    let rotation = Rotation::of_keys_before(world.later(DAY)).now();
    note("rotate_page", vault.rotate_page(&rotation, None, 100).await.map_or(true, |page| page.rotated < 7));
    note("build", world.vault().await.is_err());
    world.clock.advance(DAY);
    let _ = vault.erase_due().await; // may only close them
    world.clock.advance(DAY);
    note("erase_due", vault.erase_due().await.is_err());
    let is_alive = |id: &SlotId| *id != bad && shelf.row(id).epoch.is_some();
    note("erasing what is due", shelf.subjects().iter().any(is_alive));
    note("replay", world.builder().replay().await.is_err());
    Ok(stopped)
}

/// Slots are of different lengths: a byte counts from the beginning in the head and the body, from the end in the MAC.
async fn each_byte_of_one_slot_stops_nobody_else(on: &Ground) -> Result {
    let mut found = Vec::new();
    let len = {
        let world = World::on(on).await?;
        world.tenant().await?.enroll(&customer(1i64)).await?;
        world.subjects().await?.remove(0).as_bytes().len()
    };
    // Each of the head, and of the others as many as a run tries.
    for byte in (0..len).filter(|byte| *byte < 16 || is_drawn(*byte as u64, 8)) {
        let calls = stopped(on, |row| row.bytes[byte] ^= 1).await?;
        if !calls.is_empty() {
            found.push(format!("byte {byte}: {}", calls.join(", ")));
        }
    }
    // Nothing at all, too few, too many.
    for len in [0, 1, 47, 100] {
        let calls = stopped(on, |row| row.bytes.truncate(len)).await?;
        if !calls.is_empty() {
            found.push(format!("{len} bytes: {}", calls.join(", ")));
        }
    }
    assert!(found.is_empty(), "of {} ways, {} stop others:\n{}", len + 4, found.len(), found.join("\n"));
    Ok(())
}

async fn each_column_of_one_slot_stops_nobody_else(on: &Ground) -> Result {
    type Damage = fn(&mut Row);
    let ways: [(&str, Damage); 8] = [
        ("another state", |row| row.state ^= 1),
        ("a state that there isn't", |row| row.state = 200),
        ("another epoch", |row| row.epoch = Some(2)),
        ("no epoch", |row| row.epoch = None),
        ("an epoch of 0", |row| row.epoch = Some(0)),
        ("due a millisecond later", |row| row.due = row.due.map(|due| due + 1)),
        ("never due", |row| row.due = None),
        ("another revision", |row| *row.bytes.last_mut().unwrap() ^= 1),
    ];
    let mut found = Vec::new();
    for (way, damage) in ways {
        let calls = stopped(on, damage).await?;
        if !calls.is_empty() {
            found.push(format!("{way}: {}", calls.join(", ")));
        }
    }
    assert!(found.is_empty(), "{} of {} ways stop others:\n{}", found.len(), ways.len(), found.join("\n"));
    Ok(())
}

/// Calls about another tenant that fail where a bit of this byte of a tenant's slot is changed. What was erased in it isn't
/// applied yet.
async fn stopped_by_a_tenant(on: &Ground, byte: usize) -> Result<Option<Vec<&'static str>>> {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let running = world.vault().await?;
    running.default_tenant().enroll(&customer("ben")).await?;
    running.tenant(&acme()).enroll_all(&["ada", "cy"].map(customer)).await?;
    world.vault().await?.tenant(&acme()).erase(&customer("ada"), &whole()).await?;
    let acme = SlotId::Tenant(acme());
    let mut row = shelf.row(&acme);
    let Some(bad) = row.bytes.get_mut(byte) else { return Ok(None) };
    *bad ^= 1;
    shelf.set(&acme, row);
    let mut stopped = Vec::new();
    let mut note = |what, stops: bool| stopped.extend(stops.then_some(what));
    world.pass_max_age();
    note("keys, in a process that runs", running.default_tenant().keys(&customer("ben")).await.is_err());
    note("enroll", running.default_tenant().enroll(&customer("dee")).await.is_err());
    note("erase_due", running.erase_due().await.is_err());
    match world.vault().await {
        Err(_) => note("build", true),
        Ok(vault) => note("keys", vault.default_tenant().keys(&customer("ben")).await.is_err()),
    }
    note("replay", world.builder().replay().await.is_err());
    note("inventory_page", running.inventory_page(None, 100).await.map_or(true, |page| page.subjects.len() < 2));
    world.provider.add_key().await?;
    let _ = running.advance_epoch().await; // says which tenant it left
    note("advance_epoch", running.current_epoch().await.map_or(true, |now| now != epoch(2)));
    note("rewrap_page", running.rewrap_page(None, 100).await.map_or(true, |page| page.moved < 2));
    Ok(Some(stopped))
}

async fn each_byte_of_one_tenants_slot_stops_no_other_tenant(on: &Ground) -> Result {
    let (mut found, mut len) = (Vec::new(), 0);
    for byte in (0..).filter(|byte| *byte < 16 || is_drawn(*byte as u64, 8)) {
        let Some(calls) = stopped_by_a_tenant(on, byte).await? else { break };
        if !calls.is_empty() {
            found.push(format!("byte {byte}: {}", calls.join(", ")));
        }
        len = byte + 1;
    }
    assert!(found.is_empty(), "of {len} bytes, {} stop others:\n{}", found.len(), found.join("\n"));
    Ok(())
}

async fn a_damaged_tombstone_that_is_not_applied_refuses_nobody_else(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let (running, eraser) = (world.tenant().await?, world.tenant().await?);
    running.enroll(&customer("ada")).await?;
    let ada = shelf.subjects().remove(0);
    running.enroll(&customer("ben")).await?;
    eraser.erase(&customer("ada"), &whole()).await?;
    let good = shelf.row(&ada);
    for byte in 0..good.bytes.len() {
        let mut bad = good.clone();
        bad.bytes[byte] ^= 1;
        shelf.set(&ada, bad);
        world.pass_max_age();
        let keys = running.keys(&customer("ben")).await;
        assert!(keys.is_ok(), "byte {byte} of ada's tombstone refuses ben: {keys:?}");
    }
    Ok(())
}

async fn one_due_date_in_twenty_that_is_off_leaves_the_others_to_the_sweep(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    for who in 1..=20i64 {
        let due = Enrollment::new().retain_until(world.later(HOUR));
        vault.default_tenant().enroll_with(&customer(who), &due).await?;
    }
    let bad = shelf.subjects().remove(7);
    let row = shelf.row(&bad);
    shelf.set(&bad, Row { due: row.due.map(|due| due - 1), ..row });
    world.clock.advance(HOUR);
    let _ = vault.erase_due().await; // may only close them
    world.clock.advance(DAY);
    let swept = vault.erase_due().await?;
    assert_eq!(swept.failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&bad], "the one that is bad is named");
    let gone = shelf.subjects().iter().filter(|id| shelf.row(id).epoch.is_none()).count();
    assert_eq!(gone, 19);
    Ok(())
}

/// Where the bytes of the epoch are damaged, the slot seems to be in another one, or in none. The good copy is in a backup, and
/// needs the master key.
async fn an_epoch_is_in_use_by_a_slot_whose_epoch_is_damaged(on: &Ground) -> Result {
    let mut retired = Vec::new();
    // The epoch in the head, whose last byte says 1: it becomes 0, and 3.
    for bit in [1, 2] {
        let world = World::on(on).await?;
        let vault = world.vault().await?;
        vault.default_tenant().enroll(&customer("ada")).await?;
        let good = world.subjects().await?.remove(0);
        let mut bytes = good.as_bytes().to_vec();
        bytes[6] ^= bit;
        put_back(&world, &StoredSlot::from_bytes(good.id().clone(), bytes).unwrap()).await?;
        world.provider.add_key().await?;
        vault.advance_epoch().await?;
        let _ = rewrap_all(&vault, 100).await;
        if vault.retire_epoch(Epoch::FIRST).await.is_ok() {
            retired.push(bit);
        }
    }
    assert!(retired.is_empty(), "the good copy's master key is destroyed: {retired:?}");
    Ok(())
}

async fn a_look_beside_a_damaged_slot_costs_what_is_new(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let running = world.tapped(&tap).build().await?.default_tenant();
    let other = world.tenant().await?;
    running.enroll_all(&["ada", "ben"].map(customer)).await?;
    let before = world.subjects().await?;
    other.erase(&customer("ada"), &whole()).await?;
    let tombstone = world.subjects().await?.into_iter().find(|slot| !before.contains(slot)).unwrap();
    put_back(&world, &flipped(&tombstone, tombstone.as_bytes().len() - 1)).await?;
    let mut costs = Vec::new();
    for round in 0..4i64 {
        let more: Vec<_> = (0..25).map(|n| customer(100 * (round + 1) + n)).collect();
        other.enroll_all(&more).await?;
        for receipt in other.erase_all(&more, &whole()).await? {
            receipt?;
        }
        world.pass_max_age();
        let _ = running.keys(&customer("ben")).await?; // brings the tenant's keys
        world.pass_max_age();
        let calls = tap.calls();
        running.keys(&customer("ben")).await?;
        costs.push(tap.calls() - calls);
    }
    assert!(costs[3] <= costs[0] + 4, "a look with nothing new costs {costs:?} calls of ports, after 25, 50, 75, 100");
    Ok(())
}

/// A call that would change a subject's slot fails, as in a process that ends there.
fn puts_of_subjects_fail() -> Tap {
    Tap::new(|call| {
        let is_put = call.method == "put" && matches!(call.slot, Some(SlotId::Subject(..)));
        if is_put && !call.is_over() { Act::Fail } else { Act::Go }
    })
}

/// The slot of one of several who were enrolled since `before`.
async fn new_since(world: &World, before: &[StoredSlot]) -> Result<StoredSlot> {
    let new = |slot: &StoredSlot| before.iter().all(|old| old.id() != slot.id());
    Ok(world.subjects().await?.into_iter().find(new).unwrap())
}

async fn slot_now(world: &World, id: &SlotId) -> Result<StoredSlot> {
    Ok(world.subjects().await?.into_iter().find(|slot| slot.id() == id).unwrap())
}

async fn damage(world: &World, id: &SlotId) -> Result<StoredSlot> {
    let good = slot_now(world, id).await?;
    put_back(world, &flipped(&good, good.as_bytes().len() - 1)).await?;
    Ok(good)
}

fn is_behind<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::StoreBehindJournal { .. }))
}

/// More than the vault's slot has room for: what it counts as applied stands still, and a look costs what it did.
async fn more_damaged_slots_than_can_wait_cost_a_look_nothing(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let running = world.tapped(&tap).build().await?.default_tenant();
    let other = world.tenant().await?;
    other.enroll(&customer("ben")).await?;
    let ben = world.subjects().await?.remove(0);
    let all: Vec<_> = (1..=1100i64).map(customer).collect();
    for some in all.chunks(100) {
        other.enroll_all(some).await?;
        for receipt in other.erase_all(some, &whole()).await? {
            receipt?;
        }
    }
    for slot in world.subjects().await?.iter().filter(|slot| slot.id() != ben.id()) {
        put_back(&world, &flipped(slot, slot.as_bytes().len() - 1)).await?;
    }
    let mut costs = Vec::new();
    for round in 0..4i64 {
        let more: Vec<_> = (0..25).map(|n| customer(10_000 + 100 * round + n)).collect();
        other.enroll_all(&more).await?;
        for receipt in other.erase_all(&more, &whole()).await? {
            receipt?;
        }
        world.pass_max_age();
        let _ = running.keys(&customer("ben")).await?; // meets what is new
        world.pass_max_age();
        let calls = tap.calls();
        running.keys(&customer("ben")).await?;
        costs.push(tap.calls() - calls);
    }
    assert!(costs[3] <= costs[0] + 4, "a look with nothing new costs {costs:?} calls of ports");
    assert!(costs[0] < 50, "it costs {} calls", costs[0]);
    let vault = world.vault().await?;
    vault.default_tenant().keys(&customer("ben")).await?;
    assert_eq!(vault.erase_due().await?.failed.len(), 1100, "each is named");
    Ok(())
}

async fn what_counts_as_applied_moves_past_a_damaged_slot(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    let before = world.subjects().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    let ada = world.subjects().await?.into_iter().find(|slot| !before.contains(slot)).unwrap();
    damage(&world, ada.id()).await?;
    customers.erase(&customer("ben"), &whole()).await?;
    let moved = Arc::new(AtomicBool::new(false));
    let seen = moved.clone();
    let tap = Tap::new(move |call| {
        seen.fetch_or(call.method == "put" && call.slot == Some(&SlotId::Vault), Ordering::SeqCst);
        Act::Go
    });
    let vault = world.tapped(&tap).build().await?;
    assert!(moved.load(Ordering::SeqCst), "one that is damaged holds nothing up");
    assert_eq!(vault.erase_due().await?.failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [ada.id()]);
    Ok(())
}

/// An erasure that somebody is at keeps `applied` where it is, in the backup, too: so nothing is seen to fall.
async fn a_restore_under_a_running_process_is_noticed_where_applied_stands_still(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (running, other) = (world.tenant().await?, world.tenant().await?);
    running.enroll_all(&["ada", "ben", "cy"].map(customer)).await?;
    world.pass_max_age();
    running.keys(&customer("ben")).await?;
    let crashed = world.tapped(&puts_of_subjects_fail()).build().await?.default_tenant();
    assert!(crashed.erase(&customer("cy"), &whole()).await.is_err());
    let backup = world.store.backup().await?;
    other.erase(&customer("ada"), &whole()).await?;
    let half = MAX_AGE / 2 + Duration::from_millis(1);
    world.clock.advance(half);
    running.keys(&customer("ben")).await?; // looks, and finds ada's erasure in the store
    world.store.restore(backup);
    world.clock.advance(half);
    let keys = running.keys(&customer("ben")).await;
    assert!(is_behind(&keys), "{keys:?}");
    Ok(())
}

/// Whoever looked while the slot was damaged doesn't know what came in its place.
async fn who_runs_hands_out_nothing_that_was_put_back_over_damage(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (running, other) = (world.tenant().await?, world.tenant().await?);
    running.enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    running.enroll(&customer("ben")).await?;
    other.erase(&customer("ada"), &whole()).await?;
    damage(&world, live.id()).await?;
    world.pass_max_age();
    running.keys(&customer("ben")).await?;
    put_back(&world, &live).await?;
    for _ in 0..3 {
        world.pass_max_age();
        running.keys(&customer("ben")).await?;
        assert!(is_corrupt(&running.keys(&customer("ada")).await));
    }
    assert!(is_behind(&world.tenant().await), "and who starts looks at what waits");
    Ok(())
}

/// Other purposes may live in what is damaged: nobody but an erasure of the whole subject may replace it.
async fn a_purpose_alone_waits_for_a_damaged_slot(on: &Ground) -> Result {
    let world = World::on(on).await?.purposes(["billing"]);
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    let billing = whole().purpose(Purpose::new("billing").unwrap());
    customers.erase(&customer("ada"), &billing).await?;
    let good = damage(&world, live.id()).await?;
    for _ in 0..2 {
        let vault = world.vault().await?;
        assert!(is_corrupt(&vault.default_tenant().keys(&customer("ada")).await));
        assert_eq!(vault.erase_due().await?.failed.len(), 1);
    }
    let replayed = world.builder().replay().await?.1;
    assert_eq!((replayed.erasures, replayed.unclear), (0, 1));
    put_back(&world, &live).await?;
    assert!(is_behind(&world.tenant().await), "what was applied past it is not forgotten");
    put_back(&world, &good).await?;
    world.tenant().await?.keys(&customer("ada")).await.map(drop)
}

/// What waited may have settled meanwhile, so that a backup that has the old slot, and the vault's slot in which nothing waits any
/// more, would bring back what was destroyed.
async fn what_waited_is_checked_by_the_next_builds(on: &Ground) -> Result {
    let world = World::on(on).await?.purposes(["billing"]);
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let live = world.subjects().await?.remove(0);
    let billing = whole().purpose(Purpose::new("billing").unwrap());
    customers.erase(&customer("ada"), &billing).await?;
    damage(&world, live.id()).await?;
    for _ in 0..4 {
        world.vault().await?;
        world.clock.advance(DAY + HOUR);
    }
    put_back(&world, &live).await?;
    // It destroys again, and crashes before it says so.
    let has_destroyed = AtomicBool::new(false);
    let tap = Tap::new(move |call| match call.method {
        "put" if matches!(call.slot, Some(SlotId::Subject(..))) => {
            has_destroyed.store(true, Ordering::SeqCst);
            Act::Go
        }
        "append" if has_destroyed.load(Ordering::SeqCst) => Act::Fail,
        _ => Act::Go,
    });
    assert!(world.tapped(&tap).replay().await.is_err());
    world.vault().await?; // finds it destroyed: nothing waits any more
    put_back(&world, &live).await?;
    assert!(is_behind(&world.tenant().await), "what waited is checked");
    Ok(())
}

async fn an_intent_over_a_damaged_slot_is_finished_by_who_looks_next(on: &Ground) -> Result {
    for is_running in [true, false] {
        let world = World::on(on).await?;
        let running = world.tenant().await?;
        running.enroll_all(&["ada", "ben"].map(customer)).await?;
        let before = world.subjects().await?;
        let crashed = world.tapped(&puts_of_subjects_fail()).build().await?.default_tenant();
        assert!(crashed.erase(&customer("ada"), &whole()).await.is_err());
        running.hold(&customer("ben")).await?; // tells whose slot is whose
        let ada = world.subjects().await?.into_iter().find(|slot| before.contains(slot)).unwrap();
        damage(&world, ada.id()).await?;
        world.pass_max_age();
        if is_running {
            running.keys(&customer("ben")).await?;
            assert!(is_erased(&running.keys(&customer("ada")).await));
        }
        let customers = world.tenant().await?;
        assert!(is_erased(&customers.keys(&customer("ada")).await));
        let receipt = customers.erase(&customer("ada"), &whole()).await?;
        assert!(!receipt.has_all_key_ids());
        put_back(&world, &ada).await?;
        assert!(is_behind(&world.tenant().await), "done is entered");
    }
    Ok(())
}

async fn a_replay_buries_what_is_damaged_where_nobody_was_enrolled_again(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let ada = world.subjects().await?;
    customers.erase(&customer("ada"), &whole()).await?;
    customers.enroll(&customer("ben")).await?;
    customers.erase(&customer("ben"), &whole()).await?;
    let ben = new_since(&world, &ada).await?;
    let ada = ada[0].id();
    world.clock.advance(DAY); // whoever had her destroyed keys has them no more
    let again = Enrollment::new().even_if_erased();
    let envelope = seal(&customers.enroll_with(&customer("ada"), &again).await?)?;
    let live = damage(&world, ada).await?;
    damage(&world, ben.id()).await?;
    let replayed = world.builder().replay().await?.1;
    assert_eq!((replayed.erasures, replayed.unclear), (1, 1), "ben's alone");
    let customers = world.tenant().await?;
    assert!(is_erased(&customers.keys(&customer("ben")).await));
    assert!(is_corrupt(&customers.keys(&customer("ada")).await));
    assert_eq!(slot_now(&world, ben.id()).await?.epoch(), None);
    put_back(&world, &live).await?;
    let keys = world.tenant().await?.keys(&customer("ada")).await?;
    assert!(opens(&keys, &envelope)?, "what she has since is as it was");
    Ok(())
}

/// Nothing is to be destroyed but bytes that nobody can read, and the good tombstone has more to tell.
async fn a_build_and_a_sweep_bury_nothing_that_was_done(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    customers.erase(&customer("ada"), &whole()).await?;
    let good = damage_the_one(&world).await?;
    let bad = world.subjects().await?;
    let swept = world.vault().await?.erase_due().await?;
    assert_eq!(swept.failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [good.id()]);
    assert!(world.subjects().await? == bad);
    put_back(&world, &good).await?;
    let customers = world.tenant().await?;
    assert!(customers.erase(&customer("ada"), &whole()).await?.has_all_key_ids());
    Ok(())
}

/// This process has not looked since, so it hands nothing out; but an erasure needs no look.
async fn a_damaged_slot_that_was_put_back_is_erased_at_once(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let (running, other) = (world.tenant().await?, world.tenant().await?);
    running.enroll(&customer("ada")).await?;
    let ada = world.subjects().await?.remove(0);
    running.enroll(&customer("ben")).await?;
    other.hold(&customer("ada")).await?;
    other.release(&customer("ada")).await?;
    let good = damage(&world, ada.id()).await?;
    world.pass_max_age();
    running.keys(&customer("ben")).await?;
    put_back(&world, &good).await?;
    assert!(is_corrupt(&running.keys(&customer("ada")).await));
    assert!(running.erase(&customer("ada"), &whole()).await?.has_all_key_ids());
    assert!(is_erased(&running.keys(&customer("ada")).await));
    running.release(&customer("ada")).await?; // decided about like anybody
    Ok(())
}

async fn a_tenant_whose_slot_is_damaged_is_erased_once_it_is_back(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    vault.default_tenant().enroll(&customer("ben")).await?;
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    let id = SlotId::Tenant(acme());
    let good = shelf.row(&id);
    let len = good.bytes.len();
    // In the head, the wrapped root, the MAC.
    for byte in [0, 60, len - 1] {
        let mut bad = good.clone();
        bad.bytes[byte] ^= 1;
        shelf.set(&id, bad);
        let vault = world.vault().await?;
        assert!(vault.erase_tenant(&acme(), &whole()).await.is_err(), "byte {byte}");
        vault.default_tenant().keys(&customer("ben")).await?;
        assert!(!vault.erase_due().await?.failed.is_empty(), "it is named");
    }
    let intended = world.events().await?;
    let is_intent = |event: &JournalEvent| matches!(event, JournalEvent::TenantErasureIntended { .. });
    assert_eq!(intended.iter().filter(|event| is_intent(event)).count(), 1);
    shelf.set(&id, good);
    let vault = world.vault().await?;
    let keys = vault.tenant(&acme()).keys(&customer("ada")).await;
    assert!(matches!(keys, Err(Error::TenantErased { .. })), "{keys:?}");
    let done = world.events().await?;
    assert!(done.iter().any(|event| matches!(event, JournalEvent::TenantErasureDone { .. })));
    Ok(())
}

/// By hand, as whoever has the database does: the floor is raised by then.
async fn an_epoch_ends_when_what_was_damaged_is_back(on: &Ground) -> Result {
    let shelf = Shelf::default();
    let world = World::on(on).await?.with_store(shelf.clone());
    let vault = world.vault().await?;
    let customers = vault.default_tenant();
    let envelope = seal(&customers.enroll(&customer("ada")).await?)?;
    let ada = shelf.subjects().remove(0);
    let good = shelf.row(&ada);
    let mut bad = good.clone();
    *bad.bytes.last_mut().unwrap() ^= 1;
    shelf.set(&ada, bad);
    world.provider.add_key().await?;
    assert!(vault.advance_epoch().await?.failed.is_empty(), "tenants alone move with an epoch");
    let _ = rewrap_all(&vault, 100).await;
    let retired = vault.retire_epoch(Epoch::FIRST).await;
    assert!(matches!(retired, Err(Error::EpochInUse { slots: 1, unverified: 1 })), "{retired:?}");
    let page = vault.inventory_page(None, 100).await?;
    assert_eq!(page.failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&ada], "it is named");
    shelf.set(&ada, good);
    rewrap_all(&vault, 100).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    assert!(opens(&world.tenant().await?.keys(&customer("ada")).await?, &envelope)?);
    Ok(())
}

async fn damage_alone_makes_no_tombstone(on: &Ground) -> Result {
    let world = World::on(on).await?.purposes(["billing"]);
    let customers = world.tenant().await?;
    customers.enroll(&customer("ada")).await?;
    let good = damage_the_one(&world).await?;
    let ada = customer("ada");
    assert!(is_corrupt(&customers.enroll_with(&ada, &Enrollment::new().even_if_erased()).await));
    assert!(is_corrupt(&customers.hold(&ada).await));
    assert!(is_corrupt(&customers.schedule_erasure(&ada, world.later(HOUR)).await));
    assert!(is_corrupt(&customers.rotate(&ada).await));
    assert!(is_corrupt(&customers.rotate_now(&ada).await));
    let one = whole().purpose(Purpose::new("billing").unwrap());
    assert!(is_corrupt(&customers.erase(&ada, &one).await));
    world.builder().replay().await?;
    assert!(world.vault().await?.erase_due().await?.receipts.is_empty());
    put_back(&world, &good).await?;
    world.tenant().await?.keys(&ada).await.map(drop)
}

async fn one_flipped_bit_of_a_mac_stops_nobody_else(on: &Ground) -> Result {
    let calls = stopped(on, |row| *row.bytes.last_mut().unwrap() ^= 1).await?;
    assert!(calls.is_empty(), "{calls:?}");
    Ok(())
}
