//! Each command, and what goes wrong, with the documented exit code.

mod adoption;
mod app;
mod census;
mod configuration;
mod databases;
mod doctor;
mod epochs;
mod first_steps;
mod journal;
mod manual;
mod rehearse;
mod report;
mod reseal;
mod reveal;
mod sets;
mod shell;
mod status;
mod subjects;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fleet_tests::harness::{Alone, Blocking, Trial};
use fleet_tests::tests;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::folder::{ADA, BEN, CONFIG, Folder, Ran, Result, acme, parsed};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(tests![Alone::new() =>
        adoption::a_table_is_adopted_in_four_repeatable_steps
        adoption::a_dry_run_of_a_step_changes_nothing
        adoption::a_step_that_was_killed_goes_on_from_its_checkpoint
        adoption::the_plaintext_of_the_erased_is_told_and_left_to_be_deleted
        adoption::a_value_of_another_type_stays_and_is_told
        adoption::a_wrong_configuration_is_named_before_anything_is_done
        census::every_value_is_counted_by_how_its_key_stands
        census::a_census_that_was_killed_goes_on_and_is_as_one_that_was_not
        census::the_parts_are_put_together
        census::what_names_a_key_that_nobody_has_is_told
        census::versions_that_nothing_names_are_retired_when_it_is_confirmed
        census::a_census_that_could_not_read_all_retires_nothing
        databases::what_is_not_as_mapped_is_named
        databases::a_map_that_does_not_fit_changes_nothing
        databases::what_is_no_database_is_left_as_it_is
        databases::a_database_with_a_long_writer_is_told_to_be_busy
        databases::a_database_that_may_only_be_read_is_told_so
        databases::a_server_that_is_not_there_is_told_without_its_url
        databases::where_a_list_has_no_room_the_job_stops_and_goes_on_later
        databases::where_what_is_revealed_has_no_room_it_goes_on_later
        databases::a_checkpoint_or_census_without_room_leaves_nothing
        doctor::doctor_names_what_is_damaged_waiting_absurd_behind_or_over_the_cap
        epochs::a_master_key_is_replaced_in_three_commands
        epochs::a_master_key_that_a_crash_left_unused_is_taken_first
        epochs::a_rewrap_that_was_stopped_goes_on_from_its_checkpoint
        epochs::a_dry_run_of_a_share_tells_what_the_share_then_moves
        epochs::progress_is_a_bar_on_a_terminal_elsewhere_json_or_nothing
        epochs::a_receipt_is_erased_then_final_or_undone
        epochs::what_is_no_receipt_of_this_key_store_is_refused
        first_steps::what_was_lost_is_not_made_anew
        journal::a_journal_is_read_from_end_to_end_and_counted
        journal::a_damaged_or_shortened_journal_is_told
        journal::a_restored_key_store_is_refused_until_a_journal_replay
        journal::a_backup_from_before_a_retirement_does_not_fit
        rehearse::rehearse_touches_nothing_that_is_live
        rehearse::rehearse_says_what_would_not_open
        report::the_page_tells_what_is_so_and_names_nobody
        report::a_census_that_is_not_whole_is_not_reported
        reseal::values_move_to_the_current_key_and_open_as_before
        reseal::it_is_done_with_the_tables_that_are_named
        reseal::however_the_work_is_divided_it_comes_to_the_same
        reseal::a_dry_run_counts_and_changes_nothing
        reseal::what_was_killed_goes_on_from_its_checkpoint
        reseal::a_checkpoint_of_other_work_or_half_a_one_is_refused
        reseal::what_needs_a_look_is_counted_and_listed_by_its_rows_keys
        reseal::a_list_is_gone_on_with_where_its_job_is
        reveal::a_person_gets_what_is_held_of_them_and_of_nobody_else
        reveal::into_a_file_it_goes_for_its_owner_alone_and_over_none
        reveal::what_can_not_be_opened_is_named_with_the_reason
        reveal::all_that_was_killed_goes_on_and_is_as_if_it_had_not_been
        sets::one_of_a_set_that_is_away_is_missed_only_by_what_wraps
        sets::a_set_advances_to_new_keys_of_all_and_ends_with_all
        sets::one_provider_becomes_a_set_and_one_again
        sets::a_previous_one_that_is_away_holds_up_only_a_master_keys_end
        sets::a_tenants_own_master_key_rotates_it_and_erasing_needs_none
        status::keys_are_counted_by_epoch_age_and_version
        status::holds_schedules_and_erasures_are_counted_until_final
        status::an_erasure_that_is_due_is_told
        status::a_damaged_slot_is_listed_beside_what_can_be_read
        subjects::a_rotated_subject_has_a_new_version_later_or_at_once
        subjects::an_erased_subject_is_gone_and_its_receipt_is_kept
        subjects::one_purpose_is_erased_alone
        subjects::of_many_those_that_can_be_are_erased_and_the_others_listed
        subjects::a_mistyped_subject_is_not_erased_unless_it_is_said
        subjects::a_dry_run_of_an_erasure_asks_the_journal_as_the_erasure_does
        subjects::a_dry_run_of_what_would_be_refused_is_refused
        subjects::subjects_can_be_read_from_standard_input
        subjects::subjects_of_another_tenant_are_others
        subjects::a_held_subject_stays_until_it_is_released
        subjects::a_scheduled_erasure_is_called_off_or_swept_when_it_is_due
        trouble::a_dry_run_changes_nothing_and_asks_nobody
        trouble::whoever_can_be_asked_is_asked
        trouble::on_a_full_disk_nothing_is_half_made
        trouble::where_the_journal_has_no_room_nothing_is_erased
        trouble::where_a_receipt_has_no_room_nothing_is_erased
        trouble::an_output_that_can_not_be_written_is_told
        trouble::a_database_that_somebody_else_has_locked_is_told_to_be_busy
        trouble::what_is_no_key_store_is_left_as_it_is
    ]);
    trials.extend(tests![Blocking::new() =>
        configuration::a_whole_configuration_is_read
        configuration::what_is_wrong_is_named_with_its_line_and_what_to_write
        configuration::a_line_of_a_list_is_not_told
        configuration::what_only_the_whole_tells_is_named_by_its_names
        configuration::a_max_age_that_the_key_store_does_not_have_is_refused
        first_steps::one_command_makes_everything_that_a_vault_needs
        first_steps::what_is_there_is_kept_and_what_a_crash_left_out_is_made
        first_steps::the_written_configuration_is_valid_also_with_its_examples
        first_steps::a_passphrase_is_taken_from_the_environment_or_a_file
        first_steps::paths_are_relative_to_the_file_that_has_them
        first_steps::a_file_that_is_missing_is_named_and_not_made
        manual::every_command_and_option_is_in_the_manual
        manual::every_example_of_the_manual_is_a_command_line
        manual::the_exit_codes_are_those_of_the_help
        manual::the_configuration_of_the_manual_is_one_and_tells_every_key
        subjects::a_moment_that_has_passed_or_is_none_is_refused
        shell::the_version_is_the_packages
        shell::each_shell_is_told_every_command
        shell::bash_completes_a_command_and_its_options
        shell::there_is_a_manual_page_for_each_command
        trouble::wrong_arguments_are_refused_and_told_as_asked
        trouble::what_a_name_holds_reaches_no_terminal_raw
        trouble::one_place_prints
    ]);
    trials
}
