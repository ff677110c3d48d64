//! A panic in a port is an error of the call that met it. Who waits for the same hears of it, and who comes later begins anew.

use std::panic::AssertUnwindSafe;

use fieldseal::Retry;
use fieldseal::jobs::{JobOptions, reseal};
use fieldseal_testkit::faults::{Act, Gate, Moment, Tap, Tapped};
use futures_util::FutureExt as _;

use super::*;

tests![
    one_panic_in_unwrap_key_ends_everybodys_wait_and_no_later_call
    one_panic_in_a_load_ends_everybodys_wait_and_no_later_call
    one_panic_in_a_scrub_ends_everybodys_wait_and_no_later_call
    a_table_that_panics_is_an_error_of_the_job
];

/// What a call answers; none if it panics.
async fn caught<T>(call: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(call).catch_unwind().await.ok()
}

/// Two want the same; the call of the port that both wait for panics once.
async fn two_of_one<T: Send>(
    world: &World,
    tap: &Tap,
    method: &'static str,
    one: impl Future<Output = Result<T>> + Send,
    other: impl Future<Output = Result<T>> + Send,
) {
    let gate = Gate::new();
    let parked = gate.clone();
    tap.set(move |call| match call.method == method && !call.is_over() {
        true => Act::Park(parked.clone()),
        false => Act::Go,
    });
    let (mut one, mut other) = (Polled::new(caught(one)), Polled::new(caught(other)));
    assert!(one.poll().is_none() && other.poll().is_none(), "both wait for `{method}`");
    tap.set(move |call| match call.method == method && call.is_over() {
        true => panic!("on purpose"),
        false => Act::Go,
    });
    gate.open();
    let answers = [one.ends(world), other.ends(world)];
    tap.set(|_| Act::Go);
    for (who, answer) in ["who drove it", "who waited"].iter().zip(answers) {
        match answer {
            None => panic!("{who} never ends"),
            Some(None) => panic!("{who} panics"),
            Some(Some(Ok(_))) => panic!("{who} hears of nothing"),
            Some(Some(Err(_))) => {}
        }
    }
}

async fn one_panic_in_unwrap_key_ends_everybodys_wait_and_no_later_call(on: &Ground) -> Result {
    panics_once("unwrap_key", on).await
}

async fn one_panic_in_a_load_ends_everybodys_wait_and_no_later_call(on: &Ground) -> Result {
    panics_once("load", on).await
}

async fn panics_once(method: &'static str, on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    world.tenant().await?.enroll(&customer("ada")).await?;
    let customers = world.tapped(&tap).build().await?.default_tenant();
    let ada = customer("ada");
    two_of_one(&world, &tap, method, customers.keys(&ada), customers.keys(&ada)).await;
    for n in 1..=10 {
        let keys = caught(customers.keys(&ada)).await;
        assert!(matches!(keys, Some(Ok(_))), "later caller {n}");
    }
    Ok(())
}

async fn one_panic_in_a_scrub_ends_everybodys_wait_and_no_later_call(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let customers = world.tapped(&tap).build().await?.default_tenant();
    let names = ["ada", "ben", "cy", "dee"].map(customer);
    customers.enroll_all(&names).await?;
    let ([ada, ben, cy, _], request) = (&names, whole());
    // The first one's scrub is under way; the other two share the next.
    let gate = Gate::new();
    let parked = gate.clone();
    tap.set(move |call| match call.method == "scrub" && !call.is_over() {
        true => Act::Park(parked.clone()),
        false => Act::Go,
    });
    let mut first = Polled::new(caught(customers.erase(ada, &request)));
    assert!(first.poll().is_none());
    tap.set(|call| match call.method == "scrub" && !call.is_over() {
        true => panic!("on purpose"),
        false => Act::Go,
    });
    let mut others = [ben, cy].map(|who| Polled::new(caught(customers.erase(who, &request))));
    assert!(others.iter_mut().all(|other| other.poll().is_none()));
    gate.open();
    assert!(matches!(first.ends(&world), Some(Some(Ok(_)))), "its own scrub is done");
    for other in &mut others {
        assert!(matches!(other.ends(&world), Some(Some(Err(_)))), "an error, for each who shares it");
    }
    tap.set(|_| Act::Go);
    for who in &names {
        assert!(matches!(caught(customers.erase(who, &request)).await, Some(Ok(_))), "made again");
    }
    Ok(())
}

/// Each call of the table's, before its work and after it; then the job is done again.
async fn a_table_that_panics_is_an_error_of_the_job(on: &Ground) -> Result {
    for moment in [Moment::Before, Moment::After] {
        for n in 0.. {
            let vault = World::on(on).await?.vault().await?;
            let tap = Tap::open();
            let rows = Tapped::new(rows_to_reseal(&vault.default_tenant(), 1).await?, &tap);
            let (map, options) = (table(), JobOptions::new());
            let job = async || reseal(&vault, &map, &rows, &options, &mut ()).await;
            tap.set(move |call| match call.number == n && call.moment == moment {
                true => panic!("on purpose"),
                false => Act::Go,
            });
            let answer = caught(job()).await.expect("no panic");
            if tap.calls() <= n {
                assert!(n >= 2 && answer.is_ok(), "it reads a page and swaps a cell");
                break;
            }
            assert!(matches!(&answer, Err(Error::Rows(e)) if e.retry() == Retry::Later), "call {n}: {answer:?}");
            tap.set(|_| Act::Go);
            job().await?;
            assert_eq!(job().await?.changed, 0, "it is resealed, after call {n}");
        }
    }
    Ok(())
}

/// Every call of a port, before its work and after it: it panics once.
async fn a_call_whose_port_panics_can_be_made_again(operation: Operation, on: &Ground) -> Result {
    let mut panicked = Vec::new();
    for moment in [Moment::Before, Moment::After] {
        for n in (0..).filter(|n| is_drawn(*n, 6)) {
            let scene = Scene::before(operation, on).await?;
            scene.tap.set(move |call| match call.number == n && call.moment == moment {
                true => panic!("on purpose"),
                false => Act::Go,
            });
            let answer = caught(scene.call()).await;
            let met = scene.tap.calls() > n;
            scene.tap.set(|_| Act::Go);
            if answer.is_none() {
                panicked.push(format!("call {n} {moment:?} its work"));
            }
            // What destroys a master key works on a thread of its own, and wakes from there.
            let again = match operation {
                Operation::RetireEpoch => Some(caught(scene.call()).await),
                _ => ends(&scene.world, caught(scene.call())),
            };
            match again {
                Some(Some(again)) => again?,
                Some(None) => panicked.push(format!("made again, call {n} {moment:?} its work")),
                None => panicked.push(format!("made again and never ended, call {n} {moment:?} its work")),
            }
            scene.check().await?;
            if !met {
                break;
            }
        }
    }
    assert!(panicked.is_empty(), "{operation:?} panics {} times: {}", panicked.len(), panicked.join(", "));
    Ok(())
}

macro_rules! each_panics {
    ({} [$($operation:ident)*]) => {
        #[expect(non_snake_case, reason = "as the operation is named")]
        mod a_panic_is_an_error_of {
            use super::Operation;

            $(#[test]
                    fn $operation() -> crate::common::Result {
                let test = super::a_call_whose_port_panics_can_be_made_again;
                crate::ground::run(async |on| test(Operation::$operation, on).await)
            })*
        }
    };
}
operations!(each_panics! {});
