//! What two processes come to whose calls meet in an awkward place: one stands still at a call of a port, the other goes on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fieldseal::store::Notice;
use fieldseal::vault::Enrollment;
use fieldseal_testkit::faults::{Act, CallPoint, Gate, Port};
use fieldseal_testkit::world::is_drawn;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};

use super::*;

tests![
    a_tenant_that_is_erased_while_it_is_made_stops_nobody
    a_tenant_made_by_two_processes_at_once_is_not_taken_for_lost
    an_adoption_that_failed_anywhere_goes_on_where_it_stopped
    two_processes_adopt_at_once
    a_store_that_is_not_scrubbed_keeps_nobody_from_their_keys
    an_erasure_is_in_force_max_age_after_its_tombstone
    who_is_prolonged_while_a_sweep_decides_is_spared
    who_is_held_while_a_sweep_closes_her_stays_readable
    a_cancellation_cancels_nothing_that_is_scheduled_after_it
    who_was_scheduled_elsewhere_is_scheduled_here_too
    asking_after_nobody_makes_no_tenant
    an_epoch_above_64_is_refused_before_anything_changes
    an_enrollment_put_after_its_epochs_end_goes_on_in_the_next
    a_rotation_put_after_its_epochs_end_goes_on_in_the_next
    ; in memory: a_vault_is_built_beside_a_bulk_erasure erasures_that_wait_for_a_scrub_share_the_next_one
        who_is_prolonged_while_the_provider_fails_is_spared
];

/// Where a call of this kind stands before its work, until the gate is opened.
fn park(tap: &Tap, kind: fn(&CallPoint<'_>) -> bool) -> Gate {
    let gate = Gate::new();
    let parked = gate.clone();
    tap.set(move |call| if !call.is_over() && kind(call) { Act::Park(parked.clone()) } else { Act::Go });
    gate
}

/// What a call answers that stands at the gate while something else is done.
async fn meanwhile<T>(
    gate: &Gate,
    call: impl Future<Output = Result<T>>,
    done: impl Future<Output = Result>,
) -> Result<Result<T>> {
    let done = async {
        gate.reached().await;
        let answer = done.await;
        gate.open();
        answer
    };
    let (answer, done) = tokio::join!(call, done);
    done.map(|()| answer)
}

/// Her period has ended: a sweep closes her from now on.
async fn enroll_ended(world: &World, customers: &Tenant) -> Result<Vec<u8>> {
    let due = Enrollment::new().retain_until(world.later(millis(10)));
    let envelope = seal(&customers.enroll_with(&customer("ada"), &due).await?)?;
    world.clock.advance(millis(20));
    Ok(envelope)
}

/// A sweep closed her, a day ago: the next one erases her.
async fn enroll_due(world: &World, customers: &Tenant) -> Result<Vec<u8>> {
    let envelope = enroll_ended(world, customers).await?;
    assert_eq!(customers.vault().erase_due().await?.closed, 1);
    world.clock.advance(DAY);
    Ok(envelope)
}

async fn a_tenant_that_is_erased_while_it_is_made_stops_nobody(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let envelope = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let tap = Tap::open();
    let (maker, running) = (world.tapped(&tap).build().await?.tenant(&acme()), world.vault().await?);
    let gate = park(&tap, |call| matches!(call.slot, Some(SlotId::Tenant(tenant)) if *tenant == acme()));
    let erase = async { running.erase_tenant(&acme(), &whole()).await.map(drop) };
    let enrolled = meanwhile(&gate, maker.enroll(&customer("x")), erase).await?;
    assert!(matches!(enrolled, Err(Error::TenantErased { .. })));
    world.pass_max_age();
    for vault in [running, world.vault().await?, world.builder().replay().await?.0] {
        assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, &envelope)?);
        assert!(matches!(vault.tenant(&acme()).enroll(&customer("x")).await, Err(Error::TenantErased { .. })));
    }
    Ok(())
}

async fn a_tenant_made_by_two_processes_at_once_is_not_taken_for_lost(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let (here, there) = (world.tapped(&tap).build().await?.tenant(&acme()), world.vault().await?.tenant(&acme()));
    let gate = park(&tap, |call| call.port == Port::Journal); // it has found nothing of the tenant in the store
    let envelope = Mutex::new(Vec::new());
    let make = async {
        *envelope.lock().unwrap() = seal(&there.enroll(&customer("ada")).await?)?;
        Ok(())
    };
    meanwhile(&gate, here.enroll(&customer("ben")), make).await??;
    assert!(open(&here.keys(&customer("ada")).await?, &envelope.into_inner().unwrap())?);
    there.keys(&customer("ben")).await?;
    Ok(())
}

/// A store with two tenants that was made without a journal.
async fn unjournaled(world: &World) -> Result<Vec<u8>> {
    let builder =
        Vault::builder(world.provider.clone(), world.store.clone()).kinds(["customer"]).clock(world.clock.clone());
    let vault = builder.purposes(["billing"]).without_journal().build().await?;
    vault.tenant(&acme()).enroll(&customer("ada")).await?;
    seal(&vault.default_tenant().enroll(&customer("ada")).await?)
}

async fn has_adopted(world: &World, envelope: &[u8]) -> Result {
    for vault in [world.vault().await?, world.builder().replay().await?.0] {
        assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, envelope)?);
        vault.tenant(&acme()).keys(&customer("ada")).await?;
    }
    let created = |event: &&JournalEvent| matches!(event, JournalEvent::RootCreated { .. });
    assert_eq!(world.events().await?.iter().filter(created).count(), 3, "each root is entered once");
    assert!(is_erased(&{
        let customers = world.tenant().await?;
        customers.erase(&customer("ada"), &whole()).await?;
        customers.keys(&customer("ada")).await
    }));
    Ok(())
}

async fn an_adoption_that_failed_anywhere_goes_on_where_it_stopped(on: &Ground) -> Result {
    for point in (0..).filter(|point| on.is_memory() || is_drawn(*point, 3)) {
        let world = world_on(on).await?;
        let envelope = unjournaled(&world).await?;
        let fails = move |call: &CallPoint<'_>| call.number == point / 2 && call.is_over() == (point % 2 == 1);
        let tap = Tap::new(move |call| if fails(call) { Act::Fail } else { Act::Go });
        let built = world.tapped(&tap).build().await;
        if tap.calls() <= point / 2 {
            built?;
            assert!(point > 20, "adopting takes more calls than that");
            return has_adopted(&world, &envelope).await;
        }
        has_adopted(&world, &envelope).await?;
    }
    Ok(())
}

async fn two_processes_adopt_at_once(on: &Ground) -> Result {
    for seed in 0..20 {
        let world = world_on(on).await?;
        let envelope = unjournaled(&world).await?;
        let (here, there) = (world.tapped(&Tap::random(seed, 3)), world.tapped(&Tap::random(seed + 100, 3)));
        tokio::try_join!(here.build(), there.build())?;
        for customers in [world.tenant().await?, world.builder().replay().await?.0.default_tenant()] {
            assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?, "seed {seed}");
        }
    }
    Ok(())
}

/// A vacuum that takes too long, a right that was taken away: whoever asked for the erasure is told, and nobody else.
async fn a_store_that_is_not_scrubbed_keeps_nobody_from_their_keys(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let vault = world.tapped(&tap).build().await?;
    let here = vault.default_tenant();
    here.enroll(&customer("ada")).await?;
    let sealed = seal(&here.enroll(&customer("ben")).await?)?;
    tap.set(|call| if call.method == "scrub" { Act::Fail } else { Act::Go });
    assert!(matches!(here.erase(&customer("ada"), &whole()).await, Err(Error::Store(_))));
    let is_done = async || -> Result<bool> {
        Ok(world.events().await?.iter().any(|event| matches!(event, JournalEvent::ErasureDone { .. })))
    };
    for _ in 0..2 {
        world.pass_max_age();
        let there = world.tapped(&tap).build().await?.default_tenant();
        for customers in [&here, &there] {
            assert!(open(&customers.keys(&customer("ben")).await?, &sealed)?);
            assert!(is_erased(&customers.keys(&customer("ada")).await));
        }
        assert!(!is_done().await?, "it is not confirmed");
    }
    // Whoever waits for keys doesn't wait for a scrub.
    let scrubs = Arc::new(AtomicU64::new(0));
    let counted = scrubs.clone();
    tap.set(move |call| {
        counted.fetch_add(u64::from(call.method == "scrub"), Ordering::SeqCst);
        Act::Go
    });
    world.pass_max_age();
    here.keys(&customer("ben")).await?;
    assert_eq!(scrubs.load(Ordering::SeqCst), 0);
    assert!(!is_done().await?);
    assert!(vault.erase_due().await?.failed.is_empty());
    assert!(is_done().await?, "the next sweep finishes it");
    Ok(())
}

/// The one that runs may have begun before their tombstones landed.
async fn erasures_that_wait_for_a_scrub_share_the_next_one(on: &Ground) -> Result {
    for fails in [false, true] {
        let world = world_on(on).await?;
        let (tap, gate, scrubs) = (Tap::open(), Gate::new(), Arc::new(AtomicU64::new(0)));
        let customers = world.tapped(&tap).build().await?.default_tenant();
        let subjects = ["ada", "ben", "cy", "dan", "eve"].map(customer);
        customers.enroll_all(&subjects).await?;
        let (parked, begun) = (gate.clone(), scrubs.clone());
        tap.set(move |call| match (call.method, call.is_over()) {
            ("scrub", false) if begun.fetch_add(1, Ordering::SeqCst) == 0 => Act::Park(parked.clone()),
            ("scrub", true) if fails && begun.load(Ordering::SeqCst) == 1 => Act::Fail,
            _ => Act::Go,
        });
        let request = whole();
        let mut erasures = subjects.each_ref().map(|subject| Box::pin(customers.erase(subject, &request)));
        for erasure in &mut erasures {
            assert!(erasure.now_or_never().is_none(), "it waits for a scrub");
        }
        assert_eq!(scrubs.load(Ordering::SeqCst), 1);
        gate.open();
        // The one whose scrub it is isn't polled: whoever waits for it drives it.
        let [first, others @ ..] = &mut erasures;
        let others = join_all(others).await;
        let answers: Vec<_> = [first.await].into_iter().chain(others).collect();
        assert_eq!(scrubs.load(Ordering::SeqCst), 2);
        let failed: Vec<_> = answers.iter().map(Result::is_err).collect();
        assert_eq!(failed, [fails, false, false, false, false], "whose scrub failed is told, and nobody else");
        customers.erase(&customer("ada"), &request).await?;
        assert_eq!(scrubs.load(Ordering::SeqCst), 3, "who comes later asks for one of his own");
    }
    Ok(())
}

async fn an_erasure_is_in_force_max_age_after_its_tombstone(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let (here, there) = (world.tapped(&tap).build().await?.default_tenant(), world.tenant().await?);
    let envelope = seal(&here.enroll(&customer("ada")).await?)?;
    let gate = park(&tap, |call| call.puts_a_subject());
    let (request, keys) = (whole(), Mutex::new(None));
    let read = async {
        world.clock.advance(Duration::from_secs(200)); // a slow store
        *keys.lock().unwrap() = Some(there.keys(&customer("ada")).await?);
        Ok(())
    };
    let receipt = meanwhile(&gate, here.erase(&customer("ada"), &request), read).await??;
    let keys = keys.into_inner().unwrap().unwrap();
    assert_eq!(receipt.effective_by(), world.later(MAX_AGE), "from the journal's done, not from the intent");
    world.clock.advance(MAX_AGE - millis(1));
    assert!(open(&keys, &envelope)?, "and not a moment less");
    world.clock.advance(millis(2));
    assert!(matches!(open(&keys, &envelope), Err(Error::KeysExpired)));
    Ok(())
}

async fn who_is_prolonged_while_a_sweep_decides_is_spared(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let (sweeper, customers) = (world.tapped(&tap).build().await?, world.tenant().await?);
    enroll_due(&world, &customers).await?;
    let gate = park(&tap, |call| call.port == Port::Journal && call.method == "append"); // it has closed her anew
    let envelope = Mutex::new(Vec::new());
    let prolong = async {
        customers.cancel_erasure(&customer("ada")).await?;
        let period = Enrollment::new().retain_until(world.later(Duration::from_secs(9999)));
        *envelope.lock().unwrap() = seal(&customers.enroll_with(&customer("ada"), &period).await?)?;
        Ok(())
    };
    let swept = meanwhile(&gate, sweeper.erase_due(), prolong).await??;
    assert!(swept.receipts.is_empty() && swept.failed.is_empty());
    let envelope = envelope.into_inner().unwrap();
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &envelope)?);
    world.clock.advance(Duration::from_secs(10_000));
    assert_eq!(world.vault().await?.erase_due().await?.closed, 1, "her new period ends, too");
    world.clock.advance(DAY);
    assert_eq!(world.vault().await?.erase_due().await?.receipts.len(), 1);
    Ok(())
}

/// At each call of a sweep that is to close her, or to erase her: the next time that it asks the provider, it gets no answer.
async fn who_is_prolonged_while_the_provider_fails_is_spared(on: &Ground) -> Result {
    for is_due in [false, true] {
        let (mut spared, mut erased) = (0, 0);
        for n in 0.. {
            let (world, tap) = (world_on(on).await?, Tap::open());
            let (sweeps, customers) = (world.tapped(&tap).build().await?, world.tenant().await?);
            let envelope = match is_due {
                true => enroll_due(&world, &customers).await?,
                false => enroll_ended(&world, &customers).await?,
            };
            let later = Enrollment::new().retain_until(world.later(100 * MAX_AGE));
            let (prolonged, told) = (Arc::new(Mutex::new(None)), customers.clone());
            let (answer, forgets, fails) = (prolonged.clone(), sweeps.clone(), AtomicBool::new(true));
            tap.set(move |call| {
                let mut answer = answer.lock().unwrap();
                if call.number == n && !call.is_over() {
                    let prolong = async {
                        told.cancel_erasure(&customer("ada")).await?;
                        told.enroll_with(&customer("ada"), &later).await
                    };
                    *answer = prolong.now_or_never();
                    forgets.heed(&Notice::Missed);
                }
                let asks = answer.is_some() && call.port == Port::Provider;
                if asks && fails.swap(false, Ordering::SeqCst) { Act::Fail } else { Act::Go }
            });
            let _ = sweeps.erase_due().await;
            tap.set(|_| Act::Go);
            let prolonged = prolonged.lock().unwrap().take();
            match prolonged {
                None => break,
                Some(Ok(_)) => {
                    spared += 1;
                    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &envelope)?, "call {n}");
                }
                Some(Err(e)) => {
                    erased += 1;
                    assert!(matches!(e, Error::SubjectErased { .. }), "call {n}: {e:?}");
                }
            }
        }
        assert!(spared > 3 && is_due == (erased > 3), "{spared} and {erased}");
    }
    Ok(())
}

async fn who_is_held_while_a_sweep_closes_her_stays_readable(on: &Ground) -> Result {
    for applied_is_past_it in [false, true] {
        let world = world_on(on).await?;
        let tap = Tap::open();
        let (sweeper, customers) = (world.tapped(&tap).build().await?, world.tenant().await?);
        let envelope = enroll_ended(&world, &customers).await?;
        let gate = park(&tap, |call| call.puts_a_subject());
        let hold = async {
            customers.hold(&customer("ada")).await?;
            if applied_is_past_it {
                world.vault().await?;
            }
            Ok(())
        };
        let swept = meanwhile(&gate, sweeper.erase_due(), hold).await??;
        assert_eq!((swept.receipts.len(), swept.closed, swept.failed.len()), (0, 0, 0));
        for _ in 0..2 {
            assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
            let vault = world.vault().await?;
            assert!(open(&vault.default_tenant().keys(&customer("ada")).await?, &envelope)?);
            assert_eq!(vault.erase_due().await?.held, 1);
            world.pass_max_age();
        }
        customers.release(&customer("ada")).await?;
        assert_eq!(world.vault().await?.erase_due().await?.closed, 1, "due as ever once she is released");
        world.clock.advance(DAY);
        assert_eq!(world.vault().await?.erase_due().await?.receipts.len(), 1);
    }
    Ok(())
}

async fn a_cancellation_cancels_nothing_that_is_scheduled_after_it(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let (here, there) = (world.tapped(&tap).build().await?.default_tenant(), world.tenant().await?);
    there.enroll(&customer("ada")).await?;
    there.schedule_erasure(&customer("ada"), world.later(Duration::from_secs(5000))).await?;
    let gate = park(&tap, |call| call.puts_a_subject()); // it is entered; the slot's copy is on the way
    let schedule = async {
        there.schedule_erasure(&customer("ada"), world.later(Duration::from_secs(1000))).await?;
        world.vault().await.map(drop) // `applied` is past all this
    };
    meanwhile(&gate, here.cancel_erasure(&customer("ada")), schedule).await??;
    for customers in [&here, &there, &world.tenant().await?] {
        assert!(is_closed(&customers.keys(&customer("ada")).await), "the journal's last word is that she is scheduled");
    }
    world.clock.advance(Duration::from_secs(1001));
    let vault = world.vault().await?;
    assert_eq!(vault.erase_due().await?.receipts.len(), 1);
    assert!(is_erased(&vault.default_tenant().keys(&customer("ada")).await));
    Ok(())
}

async fn who_was_scheduled_elsewhere_is_scheduled_here_too(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let (here, there) = (world.tenant().await?, world.tenant().await?);
    here.enroll(&customer("ada")).await?;
    let keys = there.keys(&customer("ada")).await?;
    let envelope = seal(&keys)?;
    let at = world.later(Duration::from_secs(5000));
    here.schedule_erasure(&customer("ada"), at).await?;
    assert!(open(&keys, &envelope)?, "this process has not heard of it");
    there.schedule_erasure(&customer("ada"), at).await?; // which changes nothing in the store
    assert!(matches!(open(&keys, &envelope), Err(Error::KeysExpired)));
    assert!(is_closed(&there.keys(&customer("ada")).await));
    Ok(())
}

async fn a_vault_is_built_beside_a_bulk_erasure(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let tap = Tap::open();
    let eraser = world.tapped(&tap).build().await?.default_tenant();
    let mut bulk = Bulk { eraser, tap, begun: 0, under_way: VecDeque::new() };
    for _ in 0..Bulk::UNDER_WAY {
        bulk.step();
    }
    let bulk = Arc::new(Mutex::new(bulk));
    let steps = bulk.clone();
    // As often as the builder asks the journal, one more is begun: it must not wait for the last.
    let tap = Tap::new(move |call| {
        if call.port == Port::Journal && !call.is_over() {
            steps.lock().unwrap().step();
        }
        Act::Go
    });
    world.tapped(&tap).build().await?;
    assert!(bulk.lock().unwrap().begun > 2 * Bulk::UNDER_WAY, "little was erased beside it");
    Ok(())
}

/// Erasures of which the last are always under way: the intent is journaled, the tombstone not put.
struct Bulk {
    eraser: Tenant,
    tap: Tap,
    begun: i64,
    under_way: VecDeque<(Gate, BoxFuture<'static, Result>)>,
}

impl Bulk {
    const UNDER_WAY: i64 = 20;

    /// Begins one, and brings the one before so many others to its end.
    fn step(&mut self) {
        self.begun += 1;
        assert!(self.begun < 1000, "the build goes after every erasure that is begun meanwhile");
        let gate = park(&self.tap, |call| call.puts_a_subject());
        let (eraser, subject) = (self.eraser.clone(), self.begun);
        let mut erasure =
            async move { eraser.erase(&customer(subject), &whole().even_if_unknown()).await.map(drop) }.boxed();
        assert!((&mut erasure).now_or_never().is_none(), "it stands at its tombstone");
        self.under_way.push_back((gate, erasure));
        if self.begun > Self::UNDER_WAY {
            let (gate, erasure) = self.under_way.pop_front().unwrap();
            gate.open();
            erasure.now_or_never().unwrap().unwrap();
        }
    }
}

async fn asking_after_nobody_makes_no_tenant(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let before = world.events().await?;
    let tenant = vault.tenant(&acme());
    assert!(matches!(tenant.hold(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    assert!(matches!(tenant.release(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    assert!(matches!(tenant.rotate(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    assert!(matches!(tenant.rotate_now(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    assert!(matches!(tenant.cancel_erasure(&customer("nobody")).await, Err(Error::SubjectUnknown)));
    let at = world.later(MAX_AGE);
    assert!(matches!(tenant.schedule_erasure(&customer("nobody"), at).await, Err(Error::SubjectUnknown)));
    assert!(matches!(tenant.erase(&customer("nobody"), &whole()).await, Err(Error::SubjectUnknown)));
    assert_eq!(world.events().await?, before);
    let tenants = world.store.scan(&Scan::new(Filter::All)).await?.slots;
    assert!(tenants.iter().all(|slot| *slot.id() == SlotId::Vault), "nor is anything stored");
    Ok(())
}

async fn an_epoch_above_64_is_refused_before_anything_changes(on: &Ground) -> Result {
    let world = world_on(on).await?;
    let vault = world.vault().await?;
    let envelope = seal(&vault.default_tenant().enroll(&customer("ada")).await?)?;
    for n in 2..=64 {
        assert_eq!(advance(&world, &vault).await?, epoch(n));
    }
    let before = world.events().await?;
    assert!(matches!(advance(&world, &vault).await, Err(Error::InvalidInput(_))));
    assert_eq!((world.events().await?, vault.current_epoch().await?), (before, epoch(64)));
    // The provider's current master key is no epoch's now: new keys can't be wrapped under an epoch that hasn't it.
    let customers = vault.default_tenant();
    assert!(open(&customers.keys(&customer("ada")).await?, &envelope)?);
    customers.enroll(&customer("ben")).await?;
    customers.rotate(&customer("ada")).await?;
    customers.hold(&customer("ada")).await?;
    assert_eq!(rewrap_all(&vault, 3).await?, 0, "the rotation moved her");
    vault.retire_epoch(epoch(1)).await?;
    assert_eq!(vault.advance_epoch().await?.epoch, epoch(65), "as soon as one is retired");
    assert!(open(&world.tenant().await?.keys(&customer("ada")).await?, &envelope)?);
    Ok(())
}

/// A put of a subject's slot under epoch 1 that comes to the store when epoch 1 is retired.
async fn a_late_put<F>(on: &Ground, call: impl FnOnce(Tenant) -> F) -> Result
where
    F: Future<Output = Result<SubjectKeys>> + Send + 'static,
{
    let world = world_on(on).await?;
    let sealed = seal(&world.tenant().await?.enroll(&customer("ada")).await?)?;
    let (tap, gate) = (Tap::open(), Gate::new());
    let slow = world.tapped(&tap).build().await?.default_tenant();
    slow.keys(&customer("ada")).await?;
    let (first, parked) = (AtomicBool::new(true), gate.clone());
    tap.set(move |point| {
        let parks = point.puts_a_subject() && first.swap(false, Ordering::SeqCst);
        if parks { Act::Park(parked.clone()) } else { Act::Go }
    });
    let call = tokio::spawn(call(slow));
    gate.reached().await;
    let vault = world.builder().build().await?;
    let first = epoch(1);
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    rewrap_all(&vault, 100).await?;
    vault.retire_epoch(first).await?;
    gate.open();
    let keys = call.await.unwrap()?;
    world.assert_nothing_within(first).await?;
    let late = seal(&keys)?;
    let fresh = world.tenant().await?;
    assert!(open(&fresh.keys(&customer("ada")).await?, &sealed)? && open(&fresh.keys(&keys).await?, &late)?);
    Ok(())
}

async fn an_enrollment_put_after_its_epochs_end_goes_on_in_the_next(on: &Ground) -> Result {
    a_late_put(on, |customers| async move { customers.enroll(&customer("ben")).await }).await
}

async fn a_rotation_put_after_its_epochs_end_goes_on_in_the_next(on: &Ground) -> Result {
    a_late_put(on, |customers| async move {
        customers.rotate(&customer("ada")).await?;
        customers.keys(&customer("ada")).await
    })
    .await?;
    a_late_put(on, |customers| async move {
        customers.rotate_now(&customer("ada")).await?;
        customers.keys(&customer("ada")).await
    })
    .await
}
