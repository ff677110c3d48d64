//! Every future of a vault and a tenant, dropped at every await: the next call goes on from what is there, and so does a
//! process that starts then.
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

use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use fieldseal::testing::faults::{Act, Gate, drop_after};
use futures_util::future::{Either, select};
use ground::{Ground, Servers, Test};
use operations::{OPERATIONS, Operation, Scene, writes};
use world::Result;

fn main() -> ExitCode {
    let tests = OPERATIONS.iter().map(|&operation| {
        let name = format!("a_call_that_is_dropped_anywhere_leaves_what_the_next_can_go_on_from::{operation:?}");
        Test::new(name, move |on| Box::pin(async move { dropped_everywhere(operation, &on).await }))
    });
    ground::run(&tests.collect::<Vec<_>>(), Servers::Newest)
}

async fn dropped_everywhere(operation: Operation, on: &Ground) -> Result {
    let mut points = 0;
    loop {
        let at = if on.is_memory() { Drops::AfterPolls(points) } else { Drops::AtWrite(points) };
        if round(operation, at, on).await? {
            break;
        }
        points += 1;
    }
    if on.is_memory() {
        assert!(points > 2, "it asks no port");
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
    AfterPolls(usize),
    /// It stands still at this one of the moments before and after a call of a port that writes, and is dropped there.
    AtWrite(usize),
}

impl Drops {
    /// A server is slow: there a process that starts looks at every other one, that is after the work of a call.
    fn is_odd(self) -> bool {
        match self {
            Self::AfterPolls(n) | Self::AtWrite(n) => n % 2 == 1,
        }
    }
}

/// True if it was ready by then.
async fn dropped(operation: Operation, at: Drops, on: &Ground) -> Result<(Scene, bool)> {
    let scene = Scene::before(operation, on).await?;
    let ready = match at {
        Drops::AfterPolls(polls) => {
            scene.tap.set(|_| Act::Yield(1));
            drop_after(polls, scene.call()).await
        }
        Drops::AtWrite(point) => {
            let (passed, gate) = (AtomicUsize::new(0), Gate::new());
            let parked = gate.clone();
            scene.tap.set(move |call| {
                let parks = writes(call.method) && passed.fetch_add(1, Ordering::SeqCst) == point;
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
    if on.is_memory() || at.is_odd() {
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
