//! Transactions, locks and sessions: those of the application, and those that a call must not leave behind.

use std::time::Duration;

use fieldseal::jobs::Form;
use fieldseal::rows::{Cell, Page, RowSource, RowsErrorKind};
use fieldseal_sqlx::PostgresRows;
use futures_util::future::join;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{customers, key, load, rename};
use crate::postgres::{execute, pool};

/// No statement with a name, no setting, no transaction: the next call may be given to another server.
pub(super) async fn nothing_is_left_in_the_session(database: PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(1).connect_with(database).await.unwrap();
    execute(&pool, "SET synchronous_commit TO off; SET DateStyle TO 'SQL, DMY'; SET lock_timeout TO 7").await;
    let session = async || {
        let settings = "SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name";
        let settings: Vec<(String, String)> =
            sqlx::query_as(settings).persistent(false).fetch_all(&pool).await.unwrap();
        let statements = "SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared%'";
        let statements: i64 = sqlx::query_scalar(statements).persistent(false).fetch_one(&pool).await.unwrap();
        (settings, statements)
    };
    let before = session().await;
    assert!(before.0.len() >= 3 && before.1 == 0);
    let rows = customers(&pool).await;
    rows.page(&Page::first(5).starting_after(key(1)).only("email", Cell::text("bob"))).await.unwrap();
    load(&rows, key(1)).await;
    assert_eq!(rows.swap(&[rename(1, "ada", "eve"), rename(2, "eve", "ada")]).await.unwrap(), [true, false]);
    rows.count().await.unwrap();
    PostgresRows::add_columns(&pool, "customer", &[("note".to_owned(), Form::Text)]).await.unwrap();
    assert_eq!(session().await, before);
    // Nor after an error.
    execute(&pool, "ALTER TABLE customer DROP email").await;
    rows.page(&Page::first(5)).await.unwrap_err();
    rows.swap(&[rename(1, "eve", "ada")]).await.unwrap_err();
    assert_eq!(session().await, before);
}

/// With a transaction of the application's, which takes its rows in another order. It is the swap that gives way: the
/// application waits for longer before it looks whether there is a deadlock. Each looks once, so there must be one when the
/// swap does: the application has come that far by then.
pub(super) async fn workers_that_deadlock_go_on(database: PgConnectOptions) {
    let patient = pool(database.clone().options([("deadlock_timeout", "60s")])).await;
    let pool = pool(database.options([("deadlock_timeout", "3s")])).await;
    let rows = customers(&pool).await.lock_timeout(Duration::from_secs(120));
    // It holds the second, and wants the first once the swap waits for the second, which has the first.
    let mut application = patient.begin().await.unwrap();
    sqlx::query("UPDATE customer SET phone = '\\x01' WHERE id = 2").execute(&mut *application).await.unwrap();
    let swaps = [rename(1, "ada", "eve"), rename(2, "bob", "eve")];
    let application = async {
        waits_for_a_lock(&pool).await;
        sqlx::query("UPDATE customer SET phone = '\\x01' WHERE id = 1").execute(&mut *application).await.unwrap();
        application.commit().await.unwrap();
    };
    let (swapped, ()) = join(rows.swap(&swaps), application).await;
    assert_eq!(swapped.unwrap(), [true, true]);
    let both = [Cell::text("eve"), Cell::bytes(*b"\x01")];
    assert!(load(&rows, key(1)).await == both && load(&rows, key(2)).await == both, "what each of them wrote");
}

pub(super) async fn a_row_that_is_held_for_long_throttles_a_swap(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await.lock_timeout(Duration::from_millis(20));
    let mut application = pool.begin().await.unwrap();
    sqlx::query("UPDATE customer SET phone = NULL WHERE id = 2").execute(&mut *application).await.unwrap();
    let both = [rename(1, "ada", "eve"), rename(2, "bob", "eve")];
    let error = rows.swap(&both).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Throttled, "{error:?}");
    // The rows that nobody holds can be had, and all can be read.
    assert_eq!(rows.page(&Page::first(5)).await.unwrap().len(), 2);
    assert_eq!(rows.swap(&[rename(1, "ada", "eve")]).await.unwrap(), [true], "nothing was changed, nothing is held");
    application.commit().await.unwrap();
    assert_eq!(rows.swap(&both).await.unwrap(), [false, true]);
}

/// Not what stood there when it was begun.
pub(super) async fn a_swap_waits_for_a_row_and_sees_what_was_written(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await.lock_timeout(Duration::from_secs(60));
    for (is_kept, delete) in [(true, false), (false, false), (true, true)] {
        execute(&pool, "INSERT INTO customer VALUES (1, 'ada') ON CONFLICT (id) DO UPDATE SET email = 'ada'").await;
        let mut application = pool.begin().await.unwrap();
        let sql =
            if delete { "DELETE FROM customer WHERE id = 1" } else { "UPDATE customer SET email = 'ann' WHERE id = 1" };
        sqlx::query(sql).execute(&mut *application).await.unwrap();
        let application = async {
            waits_for_a_lock(&pool).await;
            if is_kept { application.commit().await.unwrap() } else { application.rollback().await.unwrap() }
        };
        let swaps = [rename(1, "ada", "eve")];
        let (swapped, ()) = join(rows.swap(&swaps), application).await;
        assert_eq!(swapped.unwrap(), [!is_kept], "kept {is_kept}, deleted {delete}");
        let stands = rows.load(&[key(1)]).await.unwrap()[0].clone().map(|row| row.cells[0].clone());
        let expected = if delete { None } else { Some(Cell::text(if is_kept { "ann" } else { "eve" })) };
        assert!(stands == expected, "kept {is_kept}, deleted {delete}");
    }
}

/// And don't keep those waiting who want to read it.
pub(super) async fn columns_are_not_added_while_a_transaction_holds_the_table(database: PgConnectOptions) {
    let pool = pool(database).await;
    customers(&pool).await;
    let mut application = pool.begin().await.unwrap();
    sqlx::query("SELECT * FROM customer").fetch_all(&mut *application).await.unwrap();
    let columns = [("note".to_owned(), Form::Text)];
    let error = PostgresRows::add_columns(&pool, "customer", &columns).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Throttled, "{error:?}");
    // Those that are there already need no lock.
    let there = [("email".to_owned(), Form::Text)];
    assert!(PostgresRows::add_columns(&pool, "customer", &there).await.unwrap().is_empty());
    application.commit().await.unwrap();
    assert_eq!(PostgresRows::add_columns(&pool, "customer", &columns).await.unwrap(), ["note"]);
}

/// It has changed the rows, or not; never some of what one swap names. Each poll is a place to drop it at.
pub(super) async fn a_swap_that_is_dropped_holds_no_lock(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await;
    let mut stands = "ada".to_owned();
    for polls in 1..40 {
        let next = format!("ada {polls}");
        let swap = [rename(1, &stands, &next).cell(1, Cell::bytes(*b"\0"), Cell::bytes(*b"\0"))];
        let mut future = Box::pin(rows.swap(&swap));
        let mut left = polls;
        let is_done = std::future::poll_fn(|context| {
            left -= 1;
            match future.as_mut().poll(context) {
                std::task::Poll::Ready(outcome) => std::task::Poll::Ready(outcome.is_ok()),
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(false),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        })
        .await;
        drop(future);
        // It waits for the dropped one's connection to be tidied up, at most.
        execute(&pool, "UPDATE customer SET phone = '\\x00' WHERE id = 1").await;
        let email = load(&rows, key(1)).await[0].clone();
        if email == Cell::text(&*next) {
            stands = next;
        } else {
            assert!(!is_done && email == Cell::text(&*stands), "after {polls} polls");
        }
    }
    assert_ne!(stands, "ada", "none was done");
}

/// A row that is inserted with a foreign key locks the one that it refers to; a swap of other columns lets it.
pub(super) async fn rows_that_refer_to_the_changed_are_not_held_up(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await.lock_timeout(Duration::from_millis(20));
    execute(&pool, "CREATE TABLE visit (customer bigint REFERENCES customer)").await;
    let mut application = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO visit VALUES (1)").execute(&mut *application).await.unwrap();
    assert_eq!(rows.swap(&[rename(1, "ada", "eve")]).await.unwrap(), [true]);
    application.commit().await.unwrap();
}

/// An answer to a swap is one that a crash of the server does not take back, whatever the application settles for.
pub(super) async fn a_swap_is_durable_whatever_the_session_says(database: PgConnectOptions) {
    for (session, swap) in [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")] {
        assert!(within_a_swap(&database, "synchronous_commit", session).await == Cell::bytes(swap), "{session}");
    }
}

/// The server ends a transaction that nobody goes on with.
pub(super) async fn a_process_that_is_gone_holds_no_row_for_hours(database: PgConnectOptions) {
    for session in ["0", "5s"] {
        let swap = within_a_swap(&database, "idle_in_transaction_session_timeout", session).await;
        assert!(swap == Cell::bytes("30s"), "{session}");
    }
}

/// What a setting is within a swap, in a session that has it so.
async fn within_a_swap(database: &PgConnectOptions, setting: &str, session: &str) -> Cell {
    let pool = pool(database.clone().options([(setting, session)])).await;
    execute(&pool, "DROP TABLE IF EXISTS customer").await;
    let rows = customers(&pool).await;
    let tell = format!(
        "CREATE OR REPLACE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             NEW.phone := convert_to(current_setting('{setting}'), 'UTF8'); RETURN NEW;
         END $$;
         CREATE TRIGGER tell BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION tell()"
    );
    execute(&pool, &tell).await;
    assert_eq!(rows.swap(&[rename(1, "ada", "eve")]).await.unwrap(), [true]);
    load(&rows, key(1)).await.remove(1)
}

/// Until one of the sessions waits for another's lock.
async fn waits_for_a_lock(pool: &PgPool) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 0 {
        tokio::task::yield_now().await;
    }
}
