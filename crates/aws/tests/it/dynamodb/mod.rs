//! `DynamoDbStore` and `DynamoDbJournal` on two emulators, moto and ministack: the conformance suites, the life of a vault's
//! keys, and what DynamoDB adds. microburst, a proxy before them, gives the errors that they don't; a server of the test's
//! own what none of them does.
//!
//! Not libtest's harness, which knows only when it is compiled what to ignore.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

#[path = "dynamodb/answers.rs"]
mod answers;
#[path = "support/dynamodb.rs"]
mod dynamodb;
#[path = "dynamodb/faults.rs"]
mod faults;
#[path = "dynamodb/journal.rs"]
mod journal;
#[path = "support/service.rs"]
mod service;
#[path = "dynamodb/tables.rs"]
mod tables;
#[path = "dynamodb/vault.rs"]
mod vault;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use fieldseal::TenantId;
use fieldseal::journal::DynamoDbJournal;
use fieldseal::store::{DynamoDbLayout, DynamoDbStore, SlotId, Tag};
use fieldseal::testing;
use libtest_mimic::{Arguments, Completion, Trial};
use service::Service;
use tokio::runtime;

fn main() -> ExitCode {
    // With the examples' TLS built in, reqwest makes no client before it has cryptography.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let skip = service::skip("dynamodb", &["moto_server", "ministack", "microburst"]);
    let mut trials = Vec::new();
    for (name, start) in [("moto", dynamodb::moto as fn() -> Service), ("ministack", service::ministack)] {
        // Started by the first test that runs, so that listing them starts nothing.
        let server = OnceLock::new();
        let url = Arc::new(move || server.get_or_init(start).url());
        for (rule, test) in testing::store::RULES {
            let url = Arc::clone(&url);
            let test = move || Ok(run(async { test(&store(&Place::new(&url())).await).await }));
            trials.push(Trial::ignorable_test(format!("{name}::store::{rule}"), test).with_ignored_flag(skip));
        }
        for (rule, test) in testing::journal::RULES {
            let url = Arc::clone(&url);
            let test = move || Ok(run(async { test(&journal(&Place::new(&url())).await).await }));
            trials.push(Trial::ignorable_test(format!("{name}::journal::{rule}"), test).with_ignored_flag(skip));
        }
        macro_rules! persistent {
            ($suite:ident $open:ident: $($rule:ident)*) => {$({
                let url = Arc::clone(&url);
                let test = move || Ok(run(async { testing::$suite::$rule(&Place::new(&url()), $open).await }));
                let name = format!("{name}::{}::{}", stringify!($suite), stringify!($rule));
                trials.push(Trial::ignorable_test(name, test).with_ignored_flag(skip));
            })*};
        }
        persistent![store store:
            what_was_put_survives_reopening
            the_floor_survives_reopening
            a_new_place_can_be_opened_by_many_at_once
            a_store_sees_at_once_what_another_put
            one_of_many_stores_wins
            nothing_below_the_floor_lands_through_another_store
        ];
        persistent![journal journal:
            what_was_appended_survives_reopening
            a_new_place_becomes_one_journal
            a_journal_sees_at_once_what_another_appended
            one_of_many_journals_wins
            journals_that_try_again_lose_no_entry
        ];
        macro_rules! trials {
            ($($module:ident::$test:ident)*) => {$({
                let url = Arc::clone(&url);
                let test = move || Ok(run(async { $module::$test(&url()).await }));
                let name = format!("{name}::{}::{}", stringify!($module), stringify!($test));
                trials.push(Trial::ignorable_test(name, test).with_ignored_flag(skip));
            })*};
        }
        trials![
            tables::a_table_is_made_once_and_keeps_its_layout
            tables::a_table_of_any_layout_is_read_whole
            tables::a_table_that_is_not_there_is_misconfigured
            tables::another_table_is_misconfigured
            tables::a_table_without_a_layout_is_misconfigured
            tables::a_later_version_of_a_table_is_refused
            tables::slots_of_more_than_one_answer_are_scanned
            tables::a_scan_that_finds_little_gets_on
            tables::slots_of_more_than_one_batch_are_loaded
            tables::slots_with_long_ids_are_found_by_their_tenant
            tables::a_slot_in_another_place_is_corrupt
            tables::a_changed_column_is_corrupt
            tables::a_scrub_tells_of_what_is_switched_on
            journal::an_entry_that_was_changed_is_corrupt
            journal::an_entry_that_is_missing_is_corrupt
            journal::a_head_without_its_entry_is_corrupt
            journal::a_copy_under_somebody_else_is_corrupt
            journal::a_verification_compares_every_copy
            journal::entries_of_more_than_one_answer_are_read
            journal::a_journal_is_not_a_key_store
            vault::keys_live_and_die
            vault::two_processes_share_a_table
            faults::every_error_is_of_its_kind
            faults::a_put_of_which_nobody_heard_has_landed
            faults::an_answer_that_breaks_off_is_unavailable
            faults::the_sdk_tries_again_what_may_be
        ];
        if name == "ministack" {
            trials![faults::a_put_that_is_sent_twice_is_not_a_conflict];
        }
    }
    macro_rules! alone {
        ($skip:expr; $($module:ident::$test:ident)*) => {$({
            let test = || Ok(run($module::$test()));
            let name = concat!(stringify!($module), "::", stringify!($test));
            trials.push(Trial::ignorable_test(name, test).with_ignored_flag($skip));
        })*};
    }
    // These need no emulator.
    alone![false;
        answers::keys_that_were_not_processed_are_asked_for_again
        answers::a_batch_of_which_nothing_is_processed_is_throttled
        answers::a_global_table_is_refused
        answers::a_table_that_is_still_being_made_is_waited_for
        answers::transactions_that_get_in_each_others_way_are_tried_again
        answers::an_append_in_the_way_of_another_is_no_damage
        answers::a_head_is_given_when_its_entry_is_there
        answers::no_append_overtakes_another
        answers::a_short_read_is_no_end
        answers::what_a_transaction_says_is_sorted
        answers::a_scrub_that_may_not_ask_says_so
        answers::no_message_holds_what_an_item_does
    ];
    alone![skip; faults::an_emulator_that_is_killed_is_unavailable];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(test: impl Future<Output = ()>) -> Completion {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    Completion::Completed
}

/// A table that nobody has made yet.
struct Place {
    url: String,
    table: String,
}

impl Place {
    fn new(url: &str) -> Self {
        Self { url: url.to_owned(), table: dynamodb::fresh() }
    }

    fn client(&self) -> aws_sdk_dynamodb::Client {
        dynamodb::client(&self.url)
    }

    fn store(&self) -> DynamoDbStore {
        DynamoDbStore::new(self.client(), &self.table)
    }

    fn journal(&self) -> DynamoDbJournal {
        DynamoDbJournal::new(self.client(), &self.table)
    }
}

/// A key store in a place, with fewer floors: emulators are slow.
async fn store(place: &Place) -> DynamoDbStore {
    let store = place.store();
    store.create_table_with(DynamoDbLayout::new().partitions(5).floors(4)).await.unwrap();
    store
}

async fn journal(place: &Place) -> DynamoDbJournal {
    let journal = place.journal();
    journal.create_table().await.unwrap();
    journal
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

fn subject(tenant_name: &str, n: u32) -> SlotId {
    let mut tag = [0; Tag::LEN];
    tag[..4].copy_from_slice(&n.to_be_bytes());
    SlotId::Subject(tenant(tenant_name), Tag::from_bytes(tag))
}
