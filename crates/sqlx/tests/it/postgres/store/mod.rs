//! `PostgresStore`: the conformance suite, also on a partitioned table and through a pooler, and what PostgreSQL adds.

pub(crate) mod crash;
mod damage;
mod notices;
mod puts;
mod replica;
mod residue;
mod round_trips;
mod schema;
mod silence;

use std::time::Duration;

use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit as testkit;
use fieldseal_testkit::store::{self as rules, RULES};
use fleet_tests::harness::Trial;
use fleet_tests::postgres::{Databases, Which};
use fleet_tests::tests;
use sqlx::postgres::{PgConnectOptions, PgPool};

use super::{PATIENCE, execute, no_pooler, pool, through_a_pooler};
use damage::Damageable;

pub(super) fn trials(databases: &Databases) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, rule) in RULES {
        let patience = patience(name);
        trials.push(databases.trial(format!("store::suite::{name}"), async move |database| {
            rule(&made_with(&pool(database).await, patience).await).await;
        }));
        // Once each: neither makes a difference between versions, nor is quick.
        trials.push(match databases.which() {
            Which::Installed => {
                let trial = databases.trial(format!("store::pooler::{name}"), async move |database| {
                    through_a_pooler(database, async |pool| rule(&made_with(&pool, patience).await).await).await;
                });
                let is_ignored = trial.has_ignored_flag() || no_pooler();
                trial.with_ignored_flag(is_ignored)
            }
            Which::Embedded => databases.trial(format!("store::partitioned::{name}"), async move |database| {
                rule(&partitioned_with(&pool(database).await, patience).await).await;
            }),
        });
    }
    for (name, rule) in testkit::damage::RULES {
        trials.push(databases.trial(format!("store::damaged::{name}"), async move |database| {
            let pool = pool(database).await;
            rule(&Damageable { inner: made(&pool).await, pool }).await;
        }));
        if databases.which() == Which::Embedded {
            trials.push(databases.trial(format!("store::damaged_and_partitioned::{name}"), async move |database| {
                let pool = pool(database).await;
                rule(&Damageable { inner: partitioned(&pool).await, pool }).await;
            }));
        }
    }
    macro_rules! persistent {
        ($($rule:ident)*) => {$(
            let name = concat!("store::suite::", stringify!($rule));
            trials.push(databases.trial(name, async |database| rules::$rule(&database, open).await));
        )*};
    }
    persistent![
        what_was_put_survives_reopening
        the_floor_survives_reopening
        a_new_place_can_be_opened_by_many_at_once
        a_store_sees_at_once_what_another_put
        one_of_many_stores_wins
        nothing_below_the_floor_lands_through_another_store
    ];
    trials.extend(tests![databases =>
        schema::a_schema_may_have_any_name
        schema::stores_in_two_schemas_are_two
        schema::a_tenant_may_have_partitions_of_its_own
        schema::tables_are_made_once
        schema::tables_are_made_by_one_of_many
        schema::the_shipped_sql_makes_what_migrate_makes
        schema::a_role_that_may_use_a_schema_need_not_make_one
        schema::a_role_without_rights_is_denied
        schema::what_is_not_there_is_misconfigured_and_says_what_makes_it
        schema::tables_of_another_application_are_left_alone
        schema::tables_of_a_later_version_are_refused
        schema::tables_that_were_altered_are_refused
        schema::a_slot_whose_columns_were_altered_is_damaged
        puts::a_row_of_another_tenants_column_is_damaged_and_not_absent
        puts::a_put_is_durable_whatever_the_session_says
        puts::nothing_is_left_in_the_session
        puts::a_put_to_a_database_that_may_only_be_read_is_denied
        puts::a_put_that_waits_for_long_is_throttled
        puts::a_put_that_is_dropped_holds_no_lock
        puts::a_put_that_is_dropped_leaves_no_transaction
        puts::what_a_constraint_refuses_shows_no_byte
        puts::what_is_put_is_not_in_the_text_of_a_statement
        puts::a_store_whose_server_is_gone_is_unavailable
        round_trips::a_page_of_a_hundred_is_one
        round_trips::a_vault_reads_a_page_of_cold_subjects_in_one
        round_trips::a_put_is_four
        silence::a_call_that_is_given_up_costs_no_place_in_the_pool
        silence::an_abandoned_put_holds_the_floor_for_as_long_as_is_said
        residue::what_a_vacuum_leaves_is_told
        residue::dead_rows_that_a_snapshot_sees_are_told_until_it_ends
        residue::dead_rows_that_a_prepared_transaction_holds_are_told
        residue::a_full_scrub_leaves_no_byte_in_the_table
        residue::a_log_of_parameters_is_told
        residue::a_role_that_may_not_vacuum_is_denied
        notices::what_ends_is_told_to_other_stores
        notices::what_ends_nothing_is_not_told
        notices::an_erased_purpose_is_told
        notices::without_the_setting_nothing_is_told
        notices::a_put_that_is_refused_tells_nothing
        notices::a_connection_that_was_lost_is_told
        notices::what_is_no_id_is_passed_over
    ]);
    trials.extend(tests![databases.alone() =>
        replica::what_a_replica_holds_is_read_there
        replica::a_replica_that_is_behind_is_not_believed
        replica::a_look_at_the_primary_for_one_leaves_the_replica_to_others
        replica::a_machine_that_was_suspended_asks_the_primary
        replica::a_replica_never_misses_what_was_put_here
        replica::a_replica_that_is_none_or_is_gone_is_passed_over
        replica::a_replica_that_goes_silent_is_passed_over
        replica::what_a_replica_lacks_is_looked_for_at_the_primary
        replica::a_damaged_row_of_a_replica_puts_it_to_no_rest
        replica::a_standby_is_no_primary
        residue::standbys_slots_and_archives_are_told
        crash::nothing_that_was_confirmed_is_lost
    ]);
    trials
}

/// How long writers wait for one another under a rule: behind one that was abandoned they are to be told soon.
fn patience(rule: &str) -> Duration {
    match rule {
        "a_call_that_was_polled_and_abandoned_delays_no_other" => Duration::from_millis(100),
        _ => PATIENCE,
    }
}

/// A new store.
async fn made(pool: &PgPool) -> PostgresStore {
    made_with(pool, PATIENCE).await
}

async fn made_with(pool: &PgPool, lock_timeout: Duration) -> PostgresStore {
    PostgresStore::builder(pool.clone()).migrate().await.unwrap();
    PostgresStore::builder(pool.clone()).lock_timeout(lock_timeout).open().await.unwrap()
}

async fn partitioned(pool: &PgPool) -> PostgresStore {
    partitioned_with(pool, PATIENCE).await
}

async fn partitioned_with(pool: &PgPool, lock_timeout: Duration) -> PostgresStore {
    PostgresStore::builder(pool.clone()).migrate().await.unwrap();
    execute(pool, include_str!("../../../../src/postgres/store/migrations/partitioned.sql")).await;
    PostgresStore::builder(pool.clone()).lock_timeout(lock_timeout).open().await.unwrap()
}

async fn open(database: &PgConnectOptions) -> PostgresStore {
    made(&pool(database.clone()).await).await
}
