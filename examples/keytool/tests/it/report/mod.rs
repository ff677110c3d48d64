//! The page of the key tool's report: what it says, what it never says, and how a browser shows it.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore: a browser may not be installed
//! (`support/chromium.rs`). To draw the pictures in `docs/` anew: `FIELDSEAL_DRAW=docs cargo test --test report`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "support/chromium.rs"]
mod chromium;
#[path = "report/looks.rs"]
mod looks;
#[path = "../examples/keytool/report/mod.rs"]
mod report;
#[path = "report/sample.rs"]
mod sample;
#[path = "report/says.rs"]
mod says;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    macro_rules! trials {
        ($module:ident: $($test:ident)*) => {
            [$(Trial::test(stringify!($test), || {
                $module::$test();
                Ok(())
            })),*]
        };
    }
    let told = trials![
        says:
        text_from_outside_is_escaped
        only_these_texts_reach_the_page
        a_scheme_is_all_that_is_shown_of_an_address
        the_page_needs_nothing_but_itself
        ages_end_where_the_next_begin
        months_are_those_of_utc
        numbers_are_grouped_by_thin_spaces
        short_numbers_have_four_characters
        only_all_is_a_hundred_percent
        an_empty_store_has_nothing_to_do
        a_store_in_order_is_told_so
        each_trouble_is_told_with_its_command
        the_way_to_retire_an_epoch_begins_where_the_epoch_is
        an_epoch_that_nothing_needs_is_to_be_retired
        no_census_is_no_coverage
        each_chart_says_its_figures_in_words
        what_is_little_is_seen_and_what_is_nothing_is_not
        months_without_erasures_are_shown_and_older_ones_are_in_the_table
        colours_have_contrast
    ];
    let shown = trials![
        looks:
        nothing_overflows
        text_from_outside_makes_no_element
        the_policy_lets_no_script_run
        pictures_are_of_their_size_and_not_blank
    ];
    let shown = shown.map(|trial| trial.with_ignored_flag(chromium::skip()));
    libtest_mimic::run(&Arguments::from_args(), told.into_iter().chain(shown).collect()).exit_code()
}
