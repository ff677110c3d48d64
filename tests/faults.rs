//! Every call of every port fails once, before its work and after it: the operation answers, made again it succeeds, and
//! nothing that lives is lost; behind a guard it succeeds at once. And a put that is late: an epoch's end is not overtaken by it.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/operations.rs"]
mod operations;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::{AtomicBool, Ordering};

use fieldseal::error::Retry;
use fieldseal::store::Epoch;
use fieldseal::testing::faults::{Act, Gate, Moment, Tap};
use fieldseal::{SubjectKeys, Tenant};
use operations::{OPERATIONS, Operation, Scene};
use world::{Result, World, open, seal};

/// The operation, with its `n`-th call failing at this moment. True if there was one.
async fn failed(operation: Operation, n: u64, moment: Moment) -> Result<(Scene, bool)> {
    let scene = Scene::before(operation).await?;
    scene.tap.set(move |call| if call.number == n && call.moment == moment { Act::Fail } else { Act::Go });
    let answer = scene.call().await;
    let met = scene.tap.calls() > n;
    scene.tap.set(|_| Act::Go);
    match answer {
        Err(e) if e.retry() != Retry::Later => return Err(e),
        Err(_) => assert!(met, "it failed by itself"),
        Ok(()) => {}
    }
    Ok((scene, met))
}

async fn round(operation: Operation, n: u64, moment: Moment) -> Result<bool> {
    let (scene, met) = failed(operation, n, moment).await?;
    scene.call().await?;
    scene.check().await?;
    failed(operation, n, moment).await?.0.check_start().await?;
    Ok(met)
}

struct Told(Operation, u64, Moment);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, call {} failed {:?} its work", self.0, self.1, self.2);
        }
    }
}

async fn failed_everywhere(moment: Moment) {
    for &operation in OPERATIONS {
        for n in 0.. {
            let _told = Told(operation, n, moment);
            if !round(operation, n, moment).await.unwrap_or_else(|e| panic!("{e:?}")) {
                assert!(n > 0, "it asks no port");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_call_whose_port_fails_can_be_made_again() {
    failed_everywhere(Moment::Before).await;
}

#[tokio::test]
async fn a_call_whose_port_did_its_work_and_failed_can_be_made_again() {
    failed_everywhere(Moment::After).await;
}

/// True if there was an `n`-th call, whose failure nobody heard of.
async fn unheard(operation: Operation, n: u64, moment: Moment) -> Result<bool> {
    let scene = Scene::before_in(World::guarded()?, operation).await?;
    scene.tap.set(move |call| if call.number == n && call.moment == moment { Act::Fail } else { Act::Go });
    scene.call().await?;
    let met = scene.tap.calls() > n;
    scene.tap.set(|_| Act::Go);
    scene.check().await?;
    Ok(met)
}

#[tokio::test]
async fn behind_a_guard_a_port_that_fails_once_fails_no_call() {
    for moment in [Moment::Before, Moment::After] {
        for &operation in OPERATIONS {
            for n in 0.. {
                let _told = Told(operation, n, moment);
                if !unheard(operation, n, moment).await.unwrap_or_else(|e| panic!("{e:?}")) {
                    assert!(n > 0, "it asks no port");
                    break;
                }
            }
        }
    }
}

/// A put of a subject's slot under epoch 1 that comes to the store when epoch 1 is retired.
async fn a_late_put<F>(call: impl FnOnce(Tenant) -> F) -> Result
where
    F: Future<Output = Result<SubjectKeys>> + Send + 'static,
{
    let world = World::new()?;
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

#[tokio::test]
async fn an_enrolment_whose_put_comes_after_its_epochs_end_goes_on_in_the_next() -> Result {
    a_late_put(|customers| async move { customers.enroll("ben").await }).await
}

#[tokio::test]
async fn a_rotation_whose_put_comes_after_its_epochs_end_goes_on_in_the_next() -> Result {
    a_late_put(|customers| async move {
        customers.rotate("ada").await?;
        customers.keys("ada").await
    })
    .await?;
    a_late_put(|customers| async move {
        customers.rotate_now("ada").await?;
        customers.keys("ada").await
    })
    .await
}
