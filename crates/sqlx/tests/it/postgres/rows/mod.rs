//! `PostgresRows`: the conformance suite, and what PostgreSQL adds.

mod locks;
mod tables;
mod types;

use async_trait::async_trait;
use fieldseal::rows::{Cell, Row, RowKey, RowSource, Swap, Table};
use fieldseal_sqlx::PostgresRows;
use fieldseal_testkit::rows::{CellType, FixtureTable, RULES, RowsFixture};
use fleet_tests::harness::Trial;
use fleet_tests::postgres::Databases;
use fleet_tests::tests;
use sqlx::postgres::{PgArguments, PgPool};
use sqlx::{AssertSqlSafe, Postgres};

use super::{execute, pool};

pub(super) fn trials(databases: &Databases) -> Vec<Trial> {
    let suite = RULES.iter().map(|(name, rule)| {
        databases.trial(format!("rows::suite::{name}"), async move |database| rule(&Suite(pool(database).await)).await)
    });
    let mut trials: Vec<_> = suite.collect();
    trials.extend(tests![databases =>
        types::a_column_of_any_type_is_read_and_swapped
        types::a_column_of_any_type_is_a_key
        types::a_row_is_found_by_a_column_of_any_type
        types::what_a_column_can_not_hold_is_refused_or_no_match
        types::how_a_session_writes_values_does_not_matter
        types::text_that_the_collation_holds_to_be_equal_is_not_the_same
        tables::names_are_names
        tables::a_name_without_a_schema_is_that_of_the_search_path
        tables::what_is_not_there_is_misconfigured
        tables::what_the_role_may_not_do_is_denied
        tables::a_partitioned_table_and_a_view_are_tables
        tables::a_key_that_names_several_rows_changes_none
        tables::a_row_that_no_key_names_is_unreadable_and_comes_last
        tables::a_row_that_can_not_be_handed_over_fails_no_page
        tables::what_a_constraint_or_trigger_refuses_shows_no_value
        tables::columns_are_added_once
        tables::columns_that_are_missing_are_named_without_being_added
        tables::an_analysed_table_is_counted_by_its_statistics
        tables::calls_go_by_the_index_of_the_key
        locks::nothing_is_left_in_the_session
        locks::a_swap_is_durable_whatever_the_session_says
        locks::a_process_that_is_gone_holds_no_row_for_hours
        locks::workers_that_deadlock_go_on
        locks::a_row_that_is_held_for_long_throttles_a_swap
        locks::a_swap_waits_for_a_row_and_sees_what_was_written
        locks::columns_are_not_added_while_a_transaction_holds_the_table
        locks::a_swap_that_is_dropped_holds_no_lock
        locks::rows_that_refer_to_the_changed_are_not_held_up
    ]);
    trials
}

/// Two customers: 1 is ada, 2 is bob.
async fn customers(pool: &PgPool) -> PostgresRows {
    execute(pool, "CREATE TABLE customer (id BIGINT PRIMARY KEY, email TEXT, phone BYTEA)").await;
    execute(pool, "INSERT INTO customer VALUES (1, 'ada', '\\x00'), (2, 'bob', NULL)").await;
    source(pool, Table::new("customer", ["id"], ["email", "phone"])).await
}

async fn source(pool: &PgPool, table: Table) -> PostgresRows {
    PostgresRows::new(pool.clone(), table).await.unwrap()
}

fn key(n: i64) -> RowKey {
    RowKey::new(vec![Cell::Integer(n)])
}

fn rename(n: i64, from: &str, to: &str) -> Swap {
    Swap::of(key(n)).cell(0, Cell::text(from), Cell::text(to))
}

async fn load(rows: &PostgresRows, key: RowKey) -> Vec<Cell> {
    rows.load(&[key]).await.unwrap()[0].clone().unwrap().cells
}

#[derive(Debug)]
struct Suite(PgPool);

#[async_trait]
impl RowsFixture for Suite {
    fn types(&self) -> &[CellType] {
        &[CellType::Bool, CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, key: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        let quoted = |(name, _): &(&str, CellType)| format!("\"{}\"", name.replace('"', "\"\""));
        let (keys, names): (Vec<_>, Vec<_>) = (key.iter().map(quoted).collect(), columns.iter().map(quoted).collect());
        let declared = keys.iter().chain(&names).zip(key.iter().chain(columns));
        let declared = declared.map(|(name, (_, ty))| format!("{name} {}", declare(*ty))).collect::<Vec<_>>();
        let (all, keys) = (declared.join(", "), keys.join(", "));
        execute(&self.0, &format!("DROP TABLE IF EXISTS tried; CREATE TABLE tried ({all}, PRIMARY KEY ({keys}))"))
            .await;
        let table = Table::new("tried", key.iter().map(|(name, _)| *name), columns.iter().map(|(name, _)| *name));
        let marks = |count: usize| (1..=count).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let set = names.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ");
        let values = marks(key.len() + columns.len());
        Box::new(SuiteTable {
            rows: source(&self.0, table).await,
            pool: self.0.clone(),
            types: key.iter().chain(columns).map(|(_, ty)| *ty).collect(),
            put: format!("INSERT INTO tried VALUES ({values}) ON CONFLICT ({keys}) DO UPDATE SET {set}"),
            delete: format!("DELETE FROM tried WHERE ({keys}) = ({})", marks(key.len())),
        })
    }
}

fn declare(ty: CellType) -> &'static str {
    match ty {
        CellType::Bool => "BOOLEAN",
        CellType::Integer => "BIGINT",
        CellType::Real => "DOUBLE PRECISION",
        CellType::Text => "TEXT",
        CellType::Bytes => "BYTEA",
    }
}

#[derive(Debug)]
struct SuiteTable {
    rows: PostgresRows,
    pool: PgPool,
    types: Vec<CellType>,
    put: String,
    delete: String,
}

#[async_trait]
impl FixtureTable for SuiteTable {
    fn rows(&self) -> &dyn RowSource {
        &self.rows
    }

    async fn put(&self, row: &Row) {
        let cells = row.key.cells().iter().chain(&row.cells).zip(&self.types);
        let query = cells.fold(statement(&self.put), bind);
        query.execute(&self.pool).await.unwrap();
    }

    async fn delete(&self, key: &RowKey) {
        let cells = key.cells().iter().zip(&self.types);
        let query = cells.fold(statement(&self.delete), bind);
        assert_eq!(query.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }
}

type Query<'q> = sqlx::query::Query<'q, Postgres, PgArguments>;

/// Not kept by sqlx: the next table has the same name, and columns of other types.
fn statement<'q>(sql: &str) -> Query<'q> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).persistent(false)
}

fn bind<'q>(query: Query<'q>, (cell, ty): (&Cell, &CellType)) -> Query<'q> {
    match (cell, ty) {
        (Cell::Bool(b), _) => query.bind(*b),
        (Cell::Integer(n), _) => query.bind(*n),
        (Cell::Real(n), _) => query.bind(*n),
        (Cell::Text(text), _) => query.bind(String::clone(text)),
        (Cell::Bytes(bytes), _) => query.bind(Vec::clone(bytes)),
        (Cell::Null, CellType::Bool) => query.bind(None::<bool>),
        (Cell::Null, CellType::Integer) => query.bind(None::<i64>),
        (Cell::Null, CellType::Real) => query.bind(None::<f64>),
        (Cell::Null, CellType::Text) => query.bind(None::<String>),
        (Cell::Null, CellType::Bytes) => query.bind(None::<Vec<u8>>),
    }
}
