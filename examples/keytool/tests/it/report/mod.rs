//! The page of the tool's report: what it says, what it never says, and how a browser shows it.
//!
//! To draw the pictures in `docs/` anew: `FIELDSEAL_DRAW=docs cargo test -p fieldseal-keytool --test it report`.

mod looks;
#[path = "../../../src/report/mod.rs"]
mod page;
mod sample;
mod says;

use fleet_tests::chromium;
use fleet_tests::harness::{Blocking, Trial};
use fleet_tests::tests;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = tests![Blocking::new() =>
        says::text_from_outside_is_escaped
        says::only_these_texts_reach_the_page
        says::a_scheme_is_all_that_is_shown_of_an_address
        says::the_page_needs_nothing_but_itself
        says::ages_end_where_the_next_begin
        says::months_are_those_of_utc
        says::numbers_are_grouped_by_thin_spaces
        says::short_numbers_have_four_characters
        says::only_all_is_a_hundred_percent
        says::an_empty_store_has_nothing_to_do
        says::a_store_in_order_is_told_so
        says::each_trouble_is_told_with_its_command
        says::the_way_to_retire_an_epoch_begins_where_the_epoch_is
        says::an_epoch_that_nothing_needs_is_to_be_retired
        says::no_census_is_no_coverage
        says::each_chart_says_its_figures_in_words
        says::what_is_little_is_seen_and_what_is_nothing_is_not
        says::months_without_erasures_are_shown_and_older_ones_are_tabled
        says::colors_have_contrast
    ];
    trials.extend(tests![Blocking::new().ignored(chromium::skip()) =>
        looks::nothing_overflows
        looks::text_from_outside_makes_no_element
        looks::the_policy_lets_no_script_run
        looks::pictures_are_of_their_size_and_not_blank
    ]);
    trials
}
