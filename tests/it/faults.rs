//! Every call of every port fails once, before its work and after it: the operation answers, made again it succeeds, and
//! nothing that lives is lost; behind a guard it succeeds at once. And a put that is late: an epoch's end is not overtaken by it.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(feature = "store-postgres")]
#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/ground.rs"]
mod ground;
#[path = "support/operations.rs"]
mod operations;
#[cfg(feature = "store-postgres")]
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/world.rs"]
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fieldseal::error::Retry;
use fieldseal::store::Epoch;
use fieldseal::testing::faults::{Act, Gate, Moment, Tap};
use fieldseal::{SubjectKeys, Tenant};
use ground::{Ground, Servers, Test};
use operations::{OPERATIONS, Operation, Scene, writes};
use world::{Result, World, open, seal};

fn main() -> ExitCode {
    let mut tests = tests();
    for &operation in OPERATIONS {
        for moment in [Moment::Before, Moment::After] {
            let name = format!("a_call_whose_port_fails_can_be_made_again::{operation:?}::{moment:?}");
            tests.push(Test::new(name, move |on| {
                Box::pin(async move { failed_everywhere(operation, moment, &on).await })
            }));
            let name = format!("behind_a_guard_a_port_that_fails_once_fails_no_call::{operation:?}::{moment:?}");
            let test =
                Test::new(name, move |on| Box::pin(async move { unheard_everywhere(operation, moment, &on).await }));
            tests.push(test.in_memory());
        }
    }
    ground::run(&tests, Servers::Newest)
}

/// How a call fails whose work may be done: nobody answered, or it was throttled after an attempt of which nobody knows. For
/// all but a guard they are one thing, so a server is asked about one.
fn ways_to_fail(on: &Ground) -> &'static [Act] {
    if on.is_memory() { &[Act::Fail, Act::Throttle] } else { &[Act::Fail] }
}

/// The operation, with its `n`-th call failing at this moment. True if there was one.
///
/// On a server it is the `n`-th that writes: what it reads, and fails to, is the same as in memory.
async fn failed(operation: Operation, n: u64, at: (Moment, &Act), on: &Ground) -> Result<(Scene, bool)> {
    let scene = Scene::before(operation, on).await?;
    let (moment, fails) = (at.0, at.1.clone());
    let (all, passed) = (on.is_memory(), Arc::new(AtomicU64::new(0)));
    let passes = passed.clone();
    scene.tap.set(move |call| {
        let counts = call.moment == moment && (all || writes(call.method));
        if counts && passes.fetch_add(1, Ordering::SeqCst) == n { fails.clone() } else { Act::Go }
    });
    let answer = scene.call().await;
    let met = passed.load(Ordering::SeqCst) > n;
    scene.tap.set(|_| Act::Go);
    match answer {
        Err(e) if e.retry() != Retry::Later => return Err(e),
        Err(_) => assert!(met, "it failed by itself"),
        Ok(()) => {}
    }
    Ok((scene, met))
}

async fn round(operation: Operation, n: u64, moment: Moment, on: &Ground) -> Result<bool> {
    let mut was_met = false;
    for fails in ways_to_fail(on) {
        let (scene, met) = failed(operation, n, (moment, fails), on).await?;
        scene.call().await?;
        scene.check().await?;
        // A server is slow: there a process that starts looks only at what was done.
        if on.is_memory() || moment == Moment::After {
            failed(operation, n, (moment, fails), on).await?.0.check_start().await?;
        }
        was_met |= met;
    }
    Ok(was_met)
}

async fn failed_everywhere(operation: Operation, moment: Moment, on: &Ground) -> Result {
    for n in 0.. {
        let _told = Told(operation, n, moment);
        if !round(operation, n, moment, on).await? {
            assert!(n > 0 || !on.is_memory(), "it asks no port");
            break;
        }
    }
    Ok(())
}

struct Told(Operation, u64, Moment);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, call {} failed {:?} its work", self.0, self.1, self.2);
        }
    }
}

/// True if there was an `n`-th call, whose failure nobody heard of.
async fn unheard(operation: Operation, n: u64, moment: Moment, on: &Ground) -> Result<bool> {
    let mut was_met = false;
    for fails in ways_to_fail(on) {
        let scene = Scene::before_in(World::guarded(on).await?, operation, on).await?;
        scene.tap.set(move |call| if call.number == n && call.moment == moment { fails.clone() } else { Act::Go });
        scene.call().await?;
        was_met |= scene.tap.calls() > n;
        scene.tap.set(|_| Act::Go);
        scene.check().await?;
    }
    Ok(was_met)
}

async fn unheard_everywhere(operation: Operation, moment: Moment, on: &Ground) -> Result {
    for n in 0.. {
        let _told = Told(operation, n, moment);
        if !unheard(operation, n, moment, on).await? {
            assert!(n > 0, "it asks no port");
            break;
        }
    }
    Ok(())
}

ground::tests![
    an_enrolment_whose_put_comes_after_its_epochs_end_goes_on_in_the_next
    a_rotation_whose_put_comes_after_its_epochs_end_goes_on_in_the_next
];

/// A put of a subject's slot under epoch 1 that comes to the store when epoch 1 is retired.
async fn a_late_put<F>(on: &Ground, call: impl FnOnce(Tenant) -> F) -> Result
where
    F: Future<Output = Result<SubjectKeys>> + Send + 'static,
{
    let world = World::on(on).await?;
    let sealed = seal(&world.fresh().await?.enroll("ada").await?)?;
    let (tap, gate) = (Tap::open(), Gate::new());
    let slow = world.tapped(&tap).build().await?.default_tenant();
    slow.keys("ada").await?;
    let (first, parked) = (AtomicBool::new(true), gate.clone());
    tap.set(move |point| {
        let parks = point.puts_a_subject() && first.swap(false, Ordering::SeqCst);
        if parks { Act::Park(parked.clone()) } else { Act::Go }
    });
    let call = tokio::spawn(call(slow));
    gate.reached().await;
    let vault = world.builder().build().await?;
    let first = Epoch::new(1).unwrap();
    world.provider.add_key().await?;
    vault.advance_epoch().await?;
    World::rewrap_all(&vault).await?;
    vault.retire_epoch(first).await?;
    gate.open();
    let keys = call.await.unwrap()?;
    world.check_none_within(first).await?;
    let late = seal(&keys)?;
    let fresh = world.fresh().await?;
    open(&fresh.keys("ada").await?, &sealed)?;
    open(&fresh.keys(&keys).await?, &late)
}

async fn an_enrolment_whose_put_comes_after_its_epochs_end_goes_on_in_the_next(on: &Ground) -> Result {
    a_late_put(on, |customers| async move { customers.enroll("ben").await }).await
}

async fn a_rotation_whose_put_comes_after_its_epochs_end_goes_on_in_the_next(on: &Ground) -> Result {
    a_late_put(on, |customers| async move {
        customers.rotate("ada").await?;
        customers.keys("ada").await
    })
    .await?;
    a_late_put(on, |customers| async move {
        customers.rotate_now("ada").await?;
        customers.keys("ada").await
    })
    .await
}
