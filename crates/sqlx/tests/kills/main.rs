//! Processes that are killed, and processes that run beside each other: vaults on one keyring file, one store and one journal
//! (in files, and in PostgreSQL), and bulk work on a table.
//!
//! The children are this program, started again with `FIELDSEAL_TEST_CHILD` set.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]
#![expect(clippy::print_stdout, reason = "a child tells its parent")]
#![expect(clippy::disallowed_methods, reason = "how long a child may run is drawn by the clock")]

mod jobs;
mod processes;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fleet_tests::harness;
use fleet_tests::process::{CHILD, Process, Result};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Ok(task) = std::env::var(CHILD) {
        return child(&runtime, &task);
    }
    let runtime = Arc::new(runtime);
    let mut trials = jobs::trials(&runtime);
    trials.extend(processes::trials(&runtime));
    harness::run(trials)
}

/// What a process that a test started does; `task` begins with whose it is, on a line of its own.
fn child(runtime: &Runtime, task: &str) -> ExitCode {
    let done = match task.split_once('\n') {
        Some(("jobs", task)) => runtime.block_on(jobs::child(task)),
        Some(("processes", task)) => runtime.block_on(processes::child(task)),
        _ => Err("a task that nobody gives".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            println!("failed {e:?}");
            ExitCode::FAILURE
        }
    }
}

/// Kills a child at points of what it does, each time in a new world, and looks at what it left. `start` starts one that says
/// `reached` at the point of this number and stands still there, or `done` where it doesn't come to it. Gives how many points
/// there are.
///
/// All of them with `FIELDSEAL_SOAK=1`; else every so many, from another one on in each run.
fn kill_at_points<W>(
    every: u64,
    lay: impl Fn() -> Result<W>,
    start: impl Fn(&W, u64) -> Result<Process>,
    look: impl Fn(W) -> Result,
) -> Result<u64> {
    let every = if harness::soak() { 1 } else { every };
    let mut point = seed() % every;
    let mut is_anybody_killed = false;
    loop {
        let world = lay()?;
        let mut child = start(&world, point)?;
        match child.next_line()?.as_str() {
            "reached" => child.kill()?,
            // Before the first of the points that were drawn.
            "done" if point > 0 && !is_anybody_killed => {
                point -= 1;
                continue;
            }
            "done" => return Ok(point),
            other => return Err(format!("the child at point {point} says {other:?}").into()),
        }
        is_anybody_killed = true;
        look(world).map_err(|e| format!("killed at point {point}: {e:?}"))?;
        point += every;
    }
}

/// Another one in each run.
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970");
    u64::try_from(now.as_nanos() & 0xffff_ffff).expect("32 bits")
}

/// A new folder, in memory where there is such a place: processes are killed, not the machine, so a disk would only be slow.
fn new_folder() -> Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}
