//! A future that was polled and abandoned delays nobody: neither dropped nor polled again, it stands wherever it had come to.

use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use fieldseal::jobs::{JobOptions, Observer, PageDone, reseal};
use fieldseal_testkit::faults::{Act, Tap, Tapped};
use futures_util::future::pending;
use futures_util::lock::Mutex;
use futures_util::stream::{self, StreamExt as _};
use locking::Locking;

use super::*;

tests![
    who_has_the_turn_and_is_abandoned_delays_nobody
    who_waits_for_the_turn_and_is_abandoned_delays_nobody
    a_hold_in_the_loop_of_a_stream_of_erasures_ends
    who_loads_keys_and_is_abandoned_delays_nobody
    who_scrubs_and_is_abandoned_delays_nobody
    an_observer_waits_for_no_page_of_its_own_job
    an_observer_that_never_ends_bounds_what_is_read_ahead
];

async fn who_has_the_turn_and_is_abandoned_delays_nobody(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let vault = world.tapped(&tap).build().await?;
    let customers = vault.default_tenant();
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    tap.set(|call| if call.method == "append" { Act::Yield(1) } else { Act::Go });
    let (ada, ben) = (customer("ada"), customer("ben"));
    let mut first = Polled::new(customers.hold(&ada));
    assert!(first.poll().is_none(), "it stands before its append");
    tap.set(|_| Act::Go);
    let held = ends(&world, customers.hold(&ben));
    assert!(matches!(held, Some(Ok(()))), "it waits for one that nobody polls");
    assert!(ends(&world, vault.erase_due()).is_some_and(|swept| swept.is_ok()));
    drop(first);
    Ok(())
}

async fn who_waits_for_the_turn_and_is_abandoned_delays_nobody(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let customers = world.tapped(&tap).build().await?.default_tenant();
    customers.enroll_all(&["ada", "ben", "cy"].map(customer)).await?;
    tap.set(|call| if call.method == "append" { Act::Yield(1) } else { Act::Go });
    let [ada, ben, cy] = ["ada", "ben", "cy"].map(customer);
    let mut first = Polled::new(customers.hold(&ada));
    let mut second = Polled::new(customers.hold(&ben));
    let mut third = Polled::new(customers.hold(&cy));
    assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
    // The first goes on and is done. It wakes the second, which nobody polls.
    assert!(first.ends(&world).is_some());
    assert!(matches!(third.ends(&world), Some(Ok(()))), "its turn was given to one that nobody polls");
    drop(second);
    Ok(())
}

async fn a_hold_in_the_loop_of_a_stream_of_erasures_ends(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let customers = world.tapped(&tap).build().await?.default_tenant();
    let (erased, held): (Vec<_>, Vec<_>) =
        ((1..=24i64).map(customer).collect(), (101..=124i64).map(customer).collect());
    customers.enroll_all(&erased).await?;
    customers.enroll_all(&held).await?;
    tap.set(|_| Act::Yield(1));
    let request = whole();
    let all = async {
        let erasures = erased.iter().map(|who| customers.erase(who, &request)).collect::<Vec<_>>();
        let mut erasures = stream::iter(erasures).buffer_unordered(8);
        let mut at = 0;
        while let Some(receipt) = erasures.next().await {
            receipt?;
            // The other seven are not polled until this is done.
            customers.hold(&held[at]).await?;
            at += 1;
        }
        Ok::<_, Error>(at)
    };
    let done = Polled::new(all).ends(&world);
    assert!(matches!(done, Some(Ok(24))), "it hangs");
    Ok(())
}

/// Whoever wants the same drives the load.
async fn who_loads_keys_and_is_abandoned_delays_nobody(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    world.tenant().await?.enroll_all(&["ada", "ben"].map(customer)).await?;
    let customers = world.tapped(&tap).build().await?.default_tenant();
    let (ada, ben) = (customer("ada"), customer("ben"));
    for polls in 1..12 {
        world.pass_max_age();
        tap.set(|_| Act::Yield(1));
        let mut load = Polled::new(customers.keys(&ada));
        for _ in 0..polls {
            if load.poll().is_some() {
                break;
            }
        }
        tap.set(|_| Act::Go);
        assert!(ends(&world, customers.keys(&ada)).is_some_and(|keys| keys.is_ok()), "the same, after {polls} polls");
        assert!(ends(&world, customers.keys(&ben)).is_some_and(|keys| keys.is_ok()), "another, after {polls} polls");
    }
    Ok(())
}

async fn who_scrubs_and_is_abandoned_delays_nobody(on: &Ground) -> Result {
    let (world, tap) = (World::on(on).await?, Tap::open());
    let customers = world.tapped(&tap).build().await?.default_tenant();
    customers.enroll_all(&["ada", "ben"].map(customer)).await?;
    tap.set(|call| if call.method == "scrub" { Act::Yield(1) } else { Act::Go });
    let ([ada, ben], request) = (["ada", "ben"].map(customer), whole());
    let mut scrubs = Polled::new(customers.erase(&ada, &request));
    assert!(scrubs.poll().is_none(), "it stands before its scrub");
    assert!(matches!(ends(&world, customers.erase(&ben, &request)), Some(Ok(_))));
    drop(scrubs);
    Ok(())
}

mod locking {
    use std::sync::Arc;

    use fieldseal::error::{PortError, PortErrorKind};
    use fieldseal::layer::{Attempt, Call, Layer};
    use futures_util::future::BoxFuture;
    use futures_util::lock::Mutex;

    /// Rows that a swap locks until it is over, as a database does.
    #[derive(Debug)]
    pub(super) struct Locking<P> {
        pub(super) inner: P,
        pub(super) lock: Arc<Mutex<()>>,
    }

    impl<P: Sync> Layer for Locking<P> {
        async fn around<'a, T, K>(
            &'a self,
            call: Call<'a>,
            work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
        ) -> Result<T, PortError<K>>
        where
            T: Send + 'a,
            K: PortErrorKind,
        {
            let _held = match call.method {
                "swap" => Some(self.lock.lock().await),
                _ => None,
            };
            work(Attempt::First).await
        }
    }

    fieldseal::layered! { Locking: rows }
}

/// Wants what a swap of any page may hold.
struct Wants(Arc<Mutex<()>>);

#[async_trait]
impl Observer for Wants {
    async fn page(&mut self, _: &PageDone, (): &()) -> Result {
        drop(self.0.lock().await);
        Ok(())
    }
}

async fn an_observer_waits_for_no_page_of_its_own_job(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    let rows = rows_to_reseal(&vault.default_tenant(), 12).await?;
    let lock = Arc::new(Mutex::new(()));
    let rows = Locking { inner: Tapped::new(rows, &Tap::random(1, 5)), lock: lock.clone() };
    let (map, options, mut wants) = (table(), JobOptions::new().batch(1).workers(4), Wants(lock));
    let tally = ends(&world, reseal(&vault, &map, &rows, &options, &mut wants)).expect("it ends")?;
    assert_eq!(tally.changed, 12);
    Ok(())
}

struct NeverEnds;

#[async_trait]
impl Observer for NeverEnds {
    async fn page(&mut self, _: &PageDone, (): &()) -> Result {
        pending().await
    }
}

async fn an_observer_that_never_ends_bounds_what_is_read_ahead(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let vault = world.vault().await?;
    let rows = rows_to_reseal(&vault.default_tenant(), 12).await?;
    let pages = Arc::new(AtomicU64::new(0));
    let read = pages.clone();
    let rows = Tapped::new(
        rows,
        &Tap::new(move |call| {
            read.fetch_add(u64::from(call.method == "page" && call.is_over()), Ordering::SeqCst);
            Act::Go
        }),
    );
    let (map, options) = (table(), JobOptions::new().batch(1).workers(4));
    assert!(ends(&world, reseal(&vault, &map, &rows, &options, &mut NeverEnds)).is_none());
    assert_eq!(pages.load(Ordering::SeqCst), 5, "the one that it hears of, and one for each worker");
    Ok(())
}

/// Every operation, abandoned after each number of polls at which it isn't done: then everything else must end.
async fn nobody_waits_for_one_that_was_abandoned(operation: Operation, on: &Ground) -> Result {
    let mut stuck = Vec::new();
    for polls in (1..).filter(|polls| is_drawn(*polls, 6)) {
        let scene = Scene::before(operation, on).await?;
        scene.customers.enroll(&customer("fay")).await?;
        leave_old_epochs(operation, &scene).await?;
        scene.tap.set(|_| Act::Yield(1));
        let mut call = Polled::new(scene.call());
        if (0..polls).any(|_| call.poll_when_woken().is_some()) {
            break;
        }
        scene.tap.set(|_| Act::Go);
        for other in others(&scene) {
            stuck.push(format!("{other} after {polls} polls"));
        }
        drop(call);
    }
    assert!(stuck.is_empty(), "{operation:?}, abandoned: {} calls don't end: {}", stuck.len(), stuck.join(", "));
    Ok(())
}

/// Calls that don't end.
fn others(scene: &Scene) -> Vec<&'static str> {
    let (vault, customers, world) = (&scene.vault, &scene.customers, &scene.world);
    let (fay, gus, request) = (customer("fay"), customer("gus"), whole());
    let both = ["fay", "ada"].map(customer);
    let mut stuck = Vec::new();
    macro_rules! must_end {
        ($($name:literal $call:expr;)*) => {
            $(if ends(world, $call).is_none() {
                stuck.push($name);
            })*
        };
    }
    must_end! {
        "keys" customers.keys(&fay);
        "keys_of" customers.keys_of(&both);
        "enroll" customers.enroll(&gus);
        "hold" customers.hold(&fay);
        "release" customers.release(&fay);
        "schedule_erasure" customers.schedule_erasure(&fay, world.later(DAY));
        "cancel_erasure" customers.cancel_erasure(&fay);
        "rotate" customers.rotate(&fay);
        "inventory_page" vault.inventory_page(None, 100);
        "erasures" vault.erasures();
        "rewrap_page" vault.rewrap_page(None, 100);
        "set_max_age" vault.set_max_age(Duration::from_secs(900));
        "erase" customers.erase(&fay, &request);
        "erase_due" vault.erase_due();
        "replay_journal" vault.replay_journal();
    }
    stuck
}

macro_rules! each_abandoned {
    ({} [$($operation:ident)*]) => {
        #[expect(non_snake_case, reason = "as the operation is named")]
        mod nobody_waits_for {
            use super::Operation;

            $(#[test]
                    fn $operation() -> crate::common::Result {
                let test = super::nobody_waits_for_one_that_was_abandoned;
                crate::ground::run(async |on| test(Operation::$operation, on).await)
            })*
        }
    };
}
operations!(each_abandoned! {});
