//! `DynamoDbStore` and `DynamoDbJournal` on both emulators: the conformance suites, the life of a vault's keys, and what
//! DynamoDB adds.

mod answers;
mod damage;
mod faults;
mod journal;
mod tables;
mod vault;

use fieldseal::TenantId;
use fieldseal::store::{SlotId, Tag};
use fieldseal_aws::{DynamoDbJournal, DynamoDbLayout, DynamoDbStore};
use fieldseal_testkit as testkit;
use fleet_tests::harness::{Alone, Shared, Trial, soak};
use fleet_tests::microburst::Upstream;
use fleet_tests::{dynamodb, service, tests};

use crate::PROGRAMS;
use damage::Damageable;

/// What makes hundreds of calls. moto answers one at a time, and copies a table for each transaction: there they soak.
const MANY_CALLS: &[&str] = &[
    "::nothing_below_the_floor_lands_after_it_was_raised",
    "::nothing_below_the_floor_lands_through_another_store",
    "::ids_never_collide",
    "::a_call_that_was_polled_and_abandoned_delays_no_other",
    "::journals_that_try_again_lose_no_entry",
    "::writers_that_try_again_lose_no_entry",
    "::a_table_of_any_layout_is_read_whole",
    "::slots_of_more_than_one_answer_are_scanned",
    "::slots_of_more_than_one_batch_are_loaded",
    "::a_scan_that_finds_little_gets_on",
    "::slots_with_long_ids_are_found_by_their_tenant",
    "::a_verification_compares_every_copy",
    "::a_damaged_slot_is_answered_beside_the_others",
    "::a_damaged_slots_token_is_no_revision_and_changes_with_every_byte",
    "::a_put_by_token_replaces_what_is_damaged",
    "::a_put_by_revision_never_replaces_what_is_damaged",
    "::a_scan_goes_on_behind_a_row_without_a_name",
];

pub(crate) fn trials(ministack: &Shared<Upstream>) -> Vec<Trial> {
    let skip = service::skip("dynamodb", PROGRAMS);
    let moto = Shared::new(|| Upstream::new(service::moto_in_turn())).named("moto").ignored(skip);
    let ministack = ministack.clone().ignored(skip);
    let mut trials = Vec::new();
    for emulator in [&moto, &ministack] {
        for (rule, check) in testkit::store::RULES {
            let test = async |aws: &Upstream| check(&store(&FreshTable::new(aws)).await).await;
            trials.push(emulator.trial(format!("dynamodb::store::{rule}"), test));
        }
        for (rule, check) in testkit::damage::RULES {
            let test = async |aws: &Upstream| check(&Damageable::new(aws).await).await;
            trials.push(emulator.trial(format!("dynamodb::damaged::{rule}"), test));
        }
        for (rule, check) in testkit::journal::RULES {
            let test = async |aws: &Upstream| check(&journal(&FreshTable::new(aws)).await).await;
            trials.push(emulator.trial(format!("dynamodb::journal::{rule}"), test));
        }
        macro_rules! persistent {
            ($suite:ident $open:ident: $($rule:ident)*) => {$({
                let test = async |aws: &Upstream| testkit::$suite::$rule(&FreshTable::new(aws), $open).await;
                trials.push(emulator.trial(concat!("dynamodb::", stringify!($suite), "::", stringify!($rule)), test));
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
        trials.extend(tests![emulator =>
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
            tables::a_slot_in_another_place_is_damaged_or_nameless
            tables::a_changed_column_is_damaged
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
        ]);
    }
    for rule in MANY_CALLS {
        let on_moto = |trial: &Trial| trial.name().starts_with("moto::") && trial.name().ends_with(rule);
        assert!(trials.iter().any(on_moto), "there is no rule {rule}");
        trials.retain(|trial| soak() || !on_moto(trial));
    }
    // moto does not know a transaction by its token.
    trials.extend(tests![ministack => faults::a_put_that_is_sent_twice_is_not_a_conflict]);
    // On no emulator.
    trials.extend(tests![Alone::new() =>
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
    ]);
    trials.extend(tests![Alone::new().ignored(skip) => faults::an_emulator_that_is_killed_is_unavailable]);
    trials
}

/// Of the stores of tests.
const PARTITIONS: u16 = 5;

/// A table that nobody has made yet.
#[derive(Debug)]
struct FreshTable {
    url: String,
    name: String,
}

impl FreshTable {
    fn new(aws: &Upstream) -> Self {
        Self { url: aws.url(), name: dynamodb::fresh() }
    }

    fn client(&self) -> aws_sdk_dynamodb::Client {
        dynamodb::client(&self.url)
    }

    fn store(&self) -> DynamoDbStore {
        DynamoDbStore::new(self.client(), &self.name)
    }

    fn journal(&self) -> DynamoDbJournal {
        DynamoDbJournal::new(self.client(), &self.name)
    }
}

/// A key store, with fewer floors: emulators are slow.
async fn store(fresh: &FreshTable) -> DynamoDbStore {
    let store = fresh.store();
    store.create_table_with(DynamoDbLayout::new().partitions(PARTITIONS).floors(4)).await.unwrap();
    store
}

async fn journal(fresh: &FreshTable) -> DynamoDbJournal {
    let journal = fresh.journal();
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
