//! `PostgresJournal`: the conformance suite, also through a pooler, and what PostgreSQL adds.

mod tables;

use fieldseal_sqlx::PostgresJournal;
use fieldseal_testkit::journal::{self as rules, RULES};
use fleet_tests::harness::Trial;
use fleet_tests::postgres::{Databases, Which};
use fleet_tests::tests;
use sqlx::postgres::{PgConnectOptions, PgPool};

use super::{PATIENCE, no_pooler, pool, through_a_pooler};

pub(super) fn trials(databases: &Databases) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, rule) in RULES {
        trials.push(databases.trial(format!("journal::suite::{name}"), async move |database| {
            rule(&made(&pool(database).await).await).await;
        }));
        if databases.which() == Which::Installed {
            let trial = databases.trial(format!("journal::pooler::{name}"), async move |database| {
                through_a_pooler(database, async |pool| rule(&made(&pool).await).await).await;
            });
            let is_ignored = trial.has_ignored_flag() || no_pooler();
            trials.push(trial.with_ignored_flag(is_ignored));
        }
    }
    macro_rules! persistent {
        ($($rule:ident)*) => {$(
            let name = concat!("journal::suite::", stringify!($rule));
            trials.push(databases.trial(name, async |database| rules::$rule(&database, open).await));
        )*};
    }
    persistent![
        what_was_appended_survives_reopening
        a_new_place_becomes_one_journal
        a_journal_sees_at_once_what_another_appended
        one_of_many_journals_wins
        journals_that_try_again_lose_no_entry
    ];
    trials.extend(tests![databases =>
        tables::a_schema_may_have_any_name
        tables::journals_in_two_schemas_are_two
        tables::the_shipped_sql_makes_what_migrate_makes
        tables::what_is_not_there_is_misconfigured_and_says_what_makes_it
        tables::tables_that_can_not_be_used_are_refused
        tables::an_entry_that_was_changed_or_taken_away_is_told
        tables::an_entry_that_was_hidden_is_found_by_verifying
        tables::a_role_that_may_only_append_can
        tables::an_append_is_durable_whatever_the_session_says
        tables::an_append_that_is_dropped_holds_nothing
        tables::an_append_that_waits_for_long_is_throttled
    ]);
    trials.extend(tests![databases.alone() => tables::a_standby_is_no_journal]);
    trials
}

/// A new journal.
async fn made(pool: &PgPool) -> PostgresJournal {
    PostgresJournal::builder(pool.clone()).migrate().await.unwrap();
    PostgresJournal::builder(pool.clone()).lock_timeout(PATIENCE).open().await.unwrap()
}

async fn open(database: &PgConnectOptions) -> PostgresJournal {
    made(&pool(database.clone()).await).await
}
