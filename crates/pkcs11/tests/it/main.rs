//! `Pkcs11`, on SoftHSM tokens of the test's own: the conformance suite, and what a token adds.
//!
//! SoftHSM reads where its tokens are from the environment, once a process; so the program makes them, and starts itself
//! again.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod keys;
mod login;
mod tokens;
mod world;

use std::env;
use std::process::ExitCode;

use fieldseal_testkit::provider::RULES;
use fleet_tests::harness::{self, Alone, Arguments};
use fleet_tests::{process, tests};
use tokio::runtime;

fn main() -> ExitCode {
    if env::var(process::CHILD).is_ok() {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(tokens::child());
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    let skip = world::skip();
    if !skip && !arguments.list && !world::is_made() {
        return world::run_in_one();
    }
    let softhsm = Alone::new().ignored(skip);
    let mut trials = Vec::new();
    for (name, rule) in RULES {
        trials.push(softhsm.trial(format!("suite::{name}"), async || rule(&world::family().await).await));
    }
    trials.extend(tests![softhsm =>
        keys::a_whole_life
        keys::a_key_that_can_leave_the_token_is_refused
        keys::a_key_that_is_too_short_is_refused
        keys::a_key_without_an_id_of_its_own_is_refused
        keys::the_key_of_the_highest_number_is_current
        keys::a_key_of_another_name_is_not_ours
        keys::a_trace_counts_only_where_the_key_is_gone
        keys::a_key_that_is_gone_without_a_trace_is_unknown
        keys::a_key_that_may_not_decrypt_is_not_a_wrong_context
        keys::as_many_panics_as_threads_leave_the_token_usable
        login::a_wrong_pin_is_denied
        login::a_pin_that_became_wrong_is_tried_once
        login::who_is_logged_out_logs_in_again
        login::what_keeps_the_pin_away_is_passed_on
        login::nothing_says_the_pin
        tokens::many_calls_share_few_sessions
        tokens::a_token_that_is_gone_is_unavailable
        tokens::a_token_is_found_by_its_label_and_serial_number
        tokens::what_is_no_module_is_refused
        tokens::what_another_process_does_counts_at_once
        tokens::a_call_that_is_dropped_runs_to_its_end
    ]);
    // Where many threads make and destroy objects at once, SoftHSM fails now and then.
    arguments.test_threads.get_or_insert(1);
    harness::run_with(&arguments, trials)
}
