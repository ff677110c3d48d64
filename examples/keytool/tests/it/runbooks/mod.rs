//! The runbooks in `docs/`, run as they are written: each is one shell script over a prepared folder, in which each command's
//! output is what the page shows; and then the library looks at what has become of keys and rows.
//!
//! `book` reads a page, `shell` runs it, `company` is whose folder it is run in.

mod book;
mod company;
mod emergency;
mod erasure;
mod moving;
mod restore;
mod rotate_all;
mod rotation;
mod shell;

use fleet_tests::harness::{Alone, Blocking, Trial};
use fleet_tests::tests;

use crate::folder::Result;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(tests![Alone::new() =>
        emergency::after_tables_leaked_all_has_new_keys_and_unused_ones_end
        emergency::after_the_key_store_leaked_nothing_left_opens_the_copy
        emergency::after_a_passphrase_leaked_its_keyring_opens_nothing
        emergency::after_data_keys_leaked_every_value_is_under_a_new_one
        emergency::after_master_keys_leaked_they_open_nothing_that_is_in_use
        erasure::who_asked_is_erased_for_good_and_nobody_else
        moving::the_new_provider_alone_opens_all_rows_and_the_old_one_none
        moving::a_keyring_that_took_over_and_is_lost_is_not_made_anew
        moving::a_copy_of_the_old_keyring_is_no_new_one
        moving::a_previous_keyring_that_is_missing_or_wrong_is_told_of
        restore::the_erased_stay_erased_after_a_restore_and_losses_are_told
        rotate_all::with_the_moment_of_the_first_try_nobody_is_rotated_twice
        rotate_all::it_asks_before_it_seals_at_once_and_tells_whose_keys_stay
        rotate_all::everybody_or_one_is_said
        rotation::every_key_is_new_and_what_is_old_has_ended
        shell::a_command_that_fails_ends_the_runbook
        shell::output_that_differs_from_the_page_is_told
    ]);
    trials.extend(tests![Blocking::new() =>
        book::every_page_is_run_to_its_last_block
        book::what_varies_is_compared_by_its_form_and_all_else_as_it_is
    ]);
    trials
}

/// The pages that are run.
const PAGES: &[&str] = &["emergency.md", "erasure.md", "providers.md", "restore.md", "rotation.md"];
