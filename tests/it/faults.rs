//! Every call of every port fails once, before its work and after it: the operation answers, made again it succeeds, and
//! nothing that lives is lost; behind a guard it succeeds at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldseal::error::Retry;
use fieldseal_testkit::faults::{Act, Moment};
use fieldseal_testkit::world::{Ground, World, is_soak};

use super::common::Result;
use super::operations::{Operation, Scene, is_tried, starts, writes};

operations!(tests! {
    a_call_whose_port_fails_after_its_work_can_be_made_again
    ; in memory: a_call_whose_port_fails_before_its_work_can_be_made_again
    behind_a_guard_a_failure_before_the_work_fails_no_call
    behind_a_guard_a_failure_after_the_work_fails_no_call
});

/// How a call fails whose work may be done: nobody answered, or it was throttled after an attempt of which nobody knows. For
/// all but a guard they are one thing, so whoever is asked without one is asked about both in a soak alone, and in memory.
const WAYS_TO_FAIL: &[Act] = &[Act::Fail, Act::Throttle];

fn ways_to_fail(on: &Ground) -> &'static [Act] {
    if on.is_memory() && is_soak() { WAYS_TO_FAIL } else { &WAYS_TO_FAIL[..1] }
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
        if starts(on, moment == Moment::After) {
            failed(operation, n, (moment, fails), on).await?.0.check_start().await?;
        }
        was_met |= met;
    }
    Ok(was_met)
}

async fn failed_everywhere(operation: Operation, moment: Moment, on: &Ground) -> Result {
    for n in (0..).filter(|n| is_tried(*n, on)) {
        let _told = Told(operation, n, moment);
        if !round(operation, n, moment, on).await? {
            assert!(n > 0 || !on.is_memory(), "it asks no port");
            break;
        }
    }
    Ok(())
}

async fn a_call_whose_port_fails_before_its_work_can_be_made_again(operation: Operation, on: &Ground) -> Result {
    failed_everywhere(operation, Moment::Before, on).await
}

async fn a_call_whose_port_fails_after_its_work_can_be_made_again(operation: Operation, on: &Ground) -> Result {
    failed_everywhere(operation, Moment::After, on).await
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
    // In turn; all of them in a soak.
    let ways = WAYS_TO_FAIL.iter().zip(0..).filter(|(_, way)| is_soak() || n / 2 % 2 == *way);
    for (fails, _) in ways {
        let scene = Scene::before_in(World::on(on).await?.guarded(), operation, on).await?;
        scene.tap.set(move |call| if call.number == n && call.moment == moment { fails.clone() } else { Act::Go });
        scene.call().await?;
        was_met |= scene.tap.calls() > n;
        scene.tap.set(|_| Act::Go);
        scene.check().await?;
    }
    Ok(was_met)
}

async fn unheard_everywhere(operation: Operation, moment: Moment, on: &Ground) -> Result {
    for n in (0..).filter(|n| is_tried(*n, on)) {
        let _told = Told(operation, n, moment);
        if !unheard(operation, n, moment, on).await? {
            assert!(n > 0, "it asks no port");
            break;
        }
    }
    Ok(())
}

async fn behind_a_guard_a_failure_before_the_work_fails_no_call(operation: Operation, on: &Ground) -> Result {
    unheard_everywhere(operation, Moment::Before, on).await
}

async fn behind_a_guard_a_failure_after_the_work_fails_no_call(operation: Operation, on: &Ground) -> Result {
    unheard_everywhere(operation, Moment::After, on).await
}
