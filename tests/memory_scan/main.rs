//! What is done with a key or a value leaves no copy of it in the process's memory: a worker does the job and stands still,
//! while another thread looks through every map that can be written.
//!
//! Linux alone, and optimised builds alone (`cargo test --release`): a debug build keeps every temporary, and where it keeps
//! them is its own affair. Elsewhere these tests count as ignored.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by a panic")]

#[cfg(target_os = "linux")]
#[path = "memory_scan/jobs.rs"]
mod jobs;
#[cfg(target_os = "linux")]
#[path = "memory_scan/needles.rs"]
mod needles;
#[cfg(target_os = "linux")]
#[path = "memory_scan/process.rs"]
mod process;
#[cfg(target_os = "linux")]
#[path = "memory_scan/world.rs"]
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after the other: a trial looks through the memory of all.
    arguments.test_threads = Some(1);
    let ignored = cfg!(debug_assertions);
    if ignored {
        eprintln!("Memory is looked through in optimised builds alone: cargo test --release --test memory_scan");
    }
    let trials = trials().into_iter().map(|trial| trial.with_ignored_flag(ignored)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

#[cfg(target_os = "linux")]
fn trials() -> Vec<Trial> {
    macro_rules! trials {
        ($($job:ident)*) => {
            vec![$(Trial::test(stringify!($job), || {
                process::Stage::play(jobs::$job);
                Ok(())
            })),*]
        };
    }
    trials![
        what_is_left_is_found
        sealing_and_opening_leave_neither_value_nor_key
        moving_a_value_leaves_neither_value_nor_key
        a_record_leaves_neither_values_nor_key
        the_other_suite_leaves_neither_value_nor_key
        an_enrolment_leaves_no_raw_key
        keys_that_are_read_leave_no_raw_key
        an_erased_subject_leaves_nothing
        erased_subjects_leave_nothing
        an_erased_purpose_and_a_swept_subject_leave_nothing
        a_rotation_leaves_no_raw_key
        a_rewrap_leaves_no_raw_key
        a_retired_epoch_leaves_nothing
        an_erased_tenant_leaves_nothing
        tags_and_slot_macs_leave_nothing_of_the_root
        a_keyring_file_leaves_nothing
        a_passphrase_leaves_nothing
    ]
}

/// There is no `/proc/self/mem`.
#[cfg(not(target_os = "linux"))]
fn trials() -> Vec<Trial> {
    vec![Trial::test("memory_is_looked_through_on_linux_alone", || Ok(())).with_ignored_flag(true)]
}
