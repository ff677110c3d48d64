//! What is done with a key or a value leaves no copy of it in the process's memory: a worker does the job and stands still,
//! while another thread looks through every map that can be written.
//!
//! Linux alone, and optimized builds alone (`cargo test --release`): a debug build keeps every temporary, and where it keeps
//! them is its own affair. Elsewhere these tests count as ignored.
#![cfg(test)]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(target_os = "linux")]
mod format;
#[cfg(target_os = "linux")]
mod jobs;
#[cfg(target_os = "linux")]
mod needles;
#[cfg(target_os = "linux")]
mod overheard;
#[cfg(target_os = "linux")]
mod process;

#[cfg(target_os = "linux")]
macro_rules! jobs {
    ($($job:ident)*) => {$(
        #[test]
        #[cfg_attr(debug_assertions, ignore = "memory is looked through in optimized builds alone")]
        fn $job() {
            process::Stage::play(jobs::$job);
        }
    )*};
}

#[cfg(target_os = "linux")]
jobs! {
    what_is_left_is_found
    sealing_and_opening_leave_neither_value_nor_key
    moving_a_value_leaves_neither_value_nor_key
    a_record_leaves_neither_values_nor_key
    the_other_suite_leaves_neither_value_nor_key
    an_enrollment_leaves_no_raw_key
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
}

#[cfg(not(target_os = "linux"))]
#[test]
#[ignore = "there is no /proc/self/mem"]
fn memory_is_looked_through_on_linux_alone() {}
