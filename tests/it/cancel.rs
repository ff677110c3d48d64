//! Every future of a vault and a tenant, dropped at every await: the next call goes on from what is there, and so does a
//! process that starts then.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldseal_testkit::faults::{Act, Gate, drop_after};
use fieldseal_testkit::world::Ground;
use futures_util::future::{Either, select};

use super::common::Result;
use super::operations::{Operation, Scene, is_tried, starts, writes};

operations!(tests! { a_call_can_be_dropped_anywhere_and_the_next_goes_on });

async fn a_call_can_be_dropped_anywhere_and_the_next_goes_on(operation: Operation, on: &Ground) -> Result {
    for call in (0..).filter(|call| is_tried(*call, on)) {
        let ready = if on.is_memory() {
            round(operation, Drops::AfterPolls(2 * call), on).await?
                || round(operation, Drops::AfterPolls(2 * call + 1), on).await?
        } else {
            round(operation, Drops::AfterWrite(call), on).await?
        };
        if ready {
            assert!(call > 0 || !on.is_memory(), "it asks no port");
            break;
        }
    }
    if on.is_memory() {
        return Ok(());
    }
    // In the middle of what a server is asked, wherever that is.
    for polls in [5, 40] {
        round(operation, Drops::AfterPolls(polls), on).await?;
    }
    Ok(())
}

/// Where a call is dropped.
#[derive(Clone, Copy, Debug)]
enum Drops {
    /// It is polled so often. In memory, where each call of a port gives the executor a turn before its work and after it,
    /// these are all the points there are.
    AfterPolls(u64),
    /// It stands still after this one of its port calls that write, and is dropped there. Before that call the server has done
    /// nothing, so a test in memory covers it.
    AfterWrite(u64),
}

impl Drops {
    /// After the work of a call.
    fn is_done(self) -> bool {
        match self {
            Self::AfterPolls(n) => n % 2 == 1,
            Self::AfterWrite(_) => true,
        }
    }
}

/// True if it was ready by then.
async fn dropped(operation: Operation, at: Drops, on: &Ground) -> Result<(Scene, bool)> {
    let scene = Scene::before(operation, on).await?;
    let ready = match at {
        Drops::AfterPolls(polls) => {
            scene.tap.set(|_| Act::Yield(1));
            drop_after(usize::try_from(polls).unwrap(), scene.call()).await
        }
        Drops::AfterWrite(n) => {
            let (passed, gate) = (AtomicU64::new(0), Gate::new());
            let parked = gate.clone();
            scene.tap.set(move |call| {
                let parks = call.is_over() && writes(call.method) && passed.fetch_add(1, Ordering::SeqCst) == n;
                if parks { Act::Park(parked.clone()) } else { Act::Go }
            });
            match select(pin!(scene.call()), pin!(gate.reached())).await {
                Either::Left((done, _)) => done.map(|()| true)?,
                Either::Right(_) => false,
            }
        }
    };
    scene.tap.set(|_| Act::Go);
    Ok((scene, ready))
}

async fn round(operation: Operation, at: Drops, on: &Ground) -> Result<bool> {
    let _told = Told { operation, at };
    let (scene, ready) = dropped(operation, at, on).await?;
    scene.call().await?;
    scene.check().await?;
    if starts(on, at.is_done()) {
        dropped(operation, at, on).await?.0.check_start().await?;
    }
    Ok(ready)
}

struct Told {
    operation: Operation,
    at: Drops,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, dropped {:?}", self.operation, self.at);
        }
    }
}
