//! Every future of a vault and a tenant, dropped at every await: the next call goes on from what is there, and so does a
//! process that starts then.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/operations.rs"]
mod operations;
#[path = "support/world.rs"]
mod world;

use fieldseal::testing::faults::{Act, drop_after};
use operations::{OPERATIONS, Operation, Scene};
use world::Result;

/// Polls it `polls` times, and drops it. True if it was ready by then.
async fn dropped(operation: Operation, polls: usize) -> Result<(Scene, bool)> {
    let scene = Scene::before(operation).await?;
    scene.tap.set(|_| Act::Yield(1));
    let ready = drop_after(polls, scene.call()).await;
    scene.tap.set(|_| Act::Go);
    Ok((scene, ready))
}

/// Gives how often it had to be polled.
async fn dropped_everywhere(operation: Operation) -> usize {
    for polls in 0.. {
        let ready = round(operation, polls).await;
        if ready.unwrap_or_else(|e| panic!("{operation:?}, dropped after {polls} polls: {e:?}")) {
            return polls;
        }
    }
    unreachable!()
}

async fn round(operation: Operation, polls: usize) -> Result<bool> {
    let _told = Told { operation, polls };
    let (scene, ready) = dropped(operation, polls).await?;
    scene.call().await?;
    scene.check().await?;
    dropped(operation, polls).await?.0.check_start().await?;
    Ok(ready)
}

struct Told {
    operation: Operation,
    polls: usize,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}, dropped after {} polls", self.operation, self.polls);
        }
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_anywhere_leaves_what_the_next_can_go_on_from() {
    for &operation in OPERATIONS {
        assert!(dropped_everywhere(operation).await > 2, "{operation:?} asks no port");
    }
}
