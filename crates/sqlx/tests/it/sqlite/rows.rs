//! `SqliteRows`: the suite on a file and in memory; then what its tables may be, and what is refused.

use std::time::Duration;

use async_trait::async_trait;
use fieldseal::jobs::Form;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsErrorKind, Swap, Table};
use fieldseal_sqlx::SqliteRows;
use fieldseal_testkit::rows::{CellType, FixtureTable, RULES, RowsFixture};
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::tests;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Sqlite, SqlitePool};
use tempfile::TempDir;

pub(super) fn trials() -> Vec<Trial> {
    let mut trials = tests![Alone::new() =>
        a_table_or_column_that_is_not_there_is_misconfigured
        a_table_that_changes_under_its_source_is_misconfigured
        a_row_that_no_key_names_is_unreadable_and_comes_last
        a_row_whose_key_is_no_text_is_unreadable_in_its_place
        a_key_that_names_several_rows_changes_none
        a_writer_that_holds_the_database_makes_a_swap_unavailable
        a_database_that_may_only_be_read_denies_a_swap
        a_constraint_that_refuses_a_swap_is_named_without_the_value
        text_that_is_not_utf8_is_read_as_bytes
        a_cell_is_of_the_type_of_its_value
        a_table_of_another_schema_is_named_with_it
        columns_are_added_once
        columns_that_are_missing_are_named_without_being_added
        what_a_trigger_says_is_in_no_error
    ];
    for (name, rule) in RULES {
        let on_file = async move || rule(&file().await).await;
        trials.push(Alone::new().trial(format!("sqlite::rows::file::{name}"), on_file));
        let in_memory = async move || rule(&memory().await).await;
        trials.push(Alone::new().trial(format!("sqlite::rows::in_memory::{name}"), in_memory));
    }
    trials
}

/// A database, and the folder that it is in.
#[derive(Debug)]
struct Database {
    pool: SqlitePool,
    _folder: Option<TempDir>,
}

#[async_trait]
impl RowsFixture for Database {
    /// SQLite has no type of its own for truth values: it keeps integers.
    fn types(&self) -> &[CellType] {
        &[CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, key: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        let (keys, names) = (quoted(key), quoted(columns));
        let declared = |names: &[String], columns: &[(&str, CellType)]| {
            let declare = |(name, (_, ty)): (&String, &(&str, CellType))| format!("{name} {}", declared(*ty));
            names.iter().zip(columns).map(declare).collect::<Vec<_>>()
        };
        let all = [declared(&keys, key), declared(&names, columns)].concat().join(", ");
        execute(&self.pool, "DROP TABLE IF EXISTS tried").await;
        execute(&self.pool, &format!("CREATE TABLE tried ({all}, PRIMARY KEY ({}))", keys.join(", "))).await;
        let table = Table::new("tried", key.iter().map(|(name, _)| *name), columns.iter().map(|(name, _)| *name));
        Box::new(DatabaseTable {
            rows: SqliteRows::new(self.pool.clone(), table).await.unwrap(),
            pool: self.pool.clone(),
            put: format!(
                "INSERT INTO tried VALUES ({}) ON CONFLICT DO UPDATE SET {}",
                vec!["?"; key.len() + columns.len()].join(", "),
                names.iter().map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", "),
            ),
            delete: format!("DELETE FROM tried WHERE ({}) = ({})", keys.join(", "), vec!["?"; key.len()].join(", ")),
        })
    }
}

fn declared(ty: CellType) -> &'static str {
    match ty {
        CellType::Bool => unreachable!("not among the types"),
        CellType::Integer => "INTEGER",
        CellType::Real => "REAL",
        CellType::Text => "TEXT",
        CellType::Bytes => "BLOB",
    }
}

fn quoted(columns: &[(&str, CellType)]) -> Vec<String> {
    columns.iter().map(|(name, _)| format!("\"{}\"", name.replace('"', "\"\""))).collect()
}

#[derive(Debug)]
struct DatabaseTable {
    rows: SqliteRows,
    pool: SqlitePool,
    put: String,
    delete: String,
}

#[async_trait]
impl FixtureTable for DatabaseTable {
    fn rows(&self) -> &dyn RowSource {
        &self.rows
    }

    async fn put(&self, row: &Row) {
        let query = sqlx::query(AssertSqlSafe(self.put.clone()));
        let query = row.key.cells().iter().chain(&row.cells).fold(query, bind);
        query.execute(&self.pool).await.unwrap();
    }

    async fn delete(&self, key: &RowKey) {
        let query = key.cells().iter().fold(sqlx::query(AssertSqlSafe(self.delete.clone())), bind);
        assert_eq!(query.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }
}

type SqliteQuery<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

fn bind<'q>(query: SqliteQuery<'q>, cell: &Cell) -> SqliteQuery<'q> {
    match cell {
        Cell::Null => query.bind(None::<i64>),
        Cell::Bool(b) => query.bind(*b),
        Cell::Integer(n) => query.bind(*n),
        Cell::Real(n) => query.bind(*n),
        Cell::Text(text) => query.bind(String::clone(text)),
        Cell::Bytes(bytes) => query.bind(Vec::clone(bytes)),
    }
}

async fn file() -> Database {
    on_file(Duration::from_secs(60)).await
}

async fn on_file(busy_timeout: Duration) -> Database {
    let folder = TempDir::new().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("rows.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(busy_timeout);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    Database { pool, _folder: Some(folder) }
}

/// One connection: calls wait for one another.
async fn memory() -> Database {
    let options = SqliteConnectOptions::new().in_memory(true);
    Database { pool: SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap(), _folder: None }
}

async fn execute(pool: &SqlitePool, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(pool).await.unwrap();
}

async fn customers() -> (Database, SqliteRows) {
    let database = memory().await;
    execute(&database.pool, "CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT, phone BLOB)").await;
    execute(&database.pool, "INSERT INTO customer VALUES (1, 'ada', x'00'), (2, 'bob', NULL)").await;
    let rows =
        SqliteRows::new(database.pool.clone(), Table::new("customer", ["id"], ["email", "phone"])).await.unwrap();
    (database, rows)
}

fn key(n: i64) -> RowKey {
    RowKey::new(vec![Cell::Integer(n)])
}

fn rename(n: i64, from: &str, to: &str) -> Swap {
    Swap::of(key(n)).cell(0, Cell::text(from), Cell::text(to))
}

async fn a_table_or_column_that_is_not_there_is_misconfigured() {
    let (database, _) = customers().await;
    for (what, table) in [
        ("no such table", Table::new("customers", ["id"], ["email"])),
        ("no such schema", Table::new("sales.customer", ["id"], ["email"])),
        ("no such column", Table::new("customer", ["id"], ["mail"])),
        ("no such key", Table::new("customer", ["number"], ["email"])),
    ] {
        let error = SqliteRows::new(database.pool.clone(), table).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{what}: {error:?}");
    }
}

async fn a_table_that_changes_under_its_source_is_misconfigured() {
    let (database, rows) = customers().await;
    execute(&database.pool, "ALTER TABLE customer RENAME COLUMN email TO mail").await;
    let errors = [rows.page(&Page::first(1)).await.unwrap_err(), rows.load(&[key(1)]).await.unwrap_err()];
    for error in errors {
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    }
}

async fn a_row_that_no_key_names_is_unreadable_and_comes_last() {
    let (database, _) = customers().await;
    execute(&database.pool, "INSERT INTO customer VALUES (3, 'eve', x'01'), (4, 'dan', NULL)").await;
    let table = Table::new("customer", ["phone"], ["email"]);
    let rows = SqliteRows::new(database.pool.clone(), table).await.unwrap();
    let null = RowKey::new(vec![Cell::Null]);
    let nameless = || Row::unreadable(null.clone());
    let named =
        |phone: u8, email: &str| Row { key: RowKey::new(vec![Cell::bytes([phone])]), cells: vec![Cell::text(email)] };
    let all = rows.page(&Page::first(5)).await.unwrap();
    assert!(all == [named(0, "ada"), named(1, "eve"), nameless(), nameless()]);
    let mut pages = vec![rows.page(&Page::first(1)).await.unwrap()];
    while let Some(last) = pages.last().unwrap().last() {
        let behind = Page::first(1).starting_after(last.key.clone());
        pages.push(rows.page(&behind).await.unwrap());
    }
    assert!(
        pages == [vec![named(0, "ada")], vec![named(1, "eve")], vec![nameless()], vec![]],
        "one at least is told of"
    );
    let only = Page::first(5).only("email", Cell::text("dan"));
    assert!(rows.page(&only).await.unwrap() == [nameless()], "of a person, too");
    let errors = [
        rows.load(std::slice::from_ref(&null)).await.unwrap_err(),
        rows.swap(&[Swap::of(null).cell(0, Cell::text("bob"), Cell::Null)]).await.unwrap_err(),
        rows.load(&[RowKey::new(vec![Cell::Integer(1), Cell::Integer(1)])]).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    }
}

async fn a_row_whose_key_is_no_text_is_unreadable_in_its_place() {
    let database = memory().await;
    execute(&database.pool, "CREATE TABLE login (name TEXT PRIMARY KEY, email TEXT)").await;
    execute(
        &database.pool,
        "INSERT INTO login VALUES ('ada', '1'), (CAST(x'62FF' AS TEXT), '2'), ('cy', '3'), (x'61', '4')",
    )
    .await;
    let rows = SqliteRows::new(database.pool.clone(), Table::new("login", ["name"], ["email"])).await.unwrap();
    let named = |name: Cell, email: &str| Row { key: RowKey::new(vec![name]), cells: vec![Cell::text(email)] };
    let garbled = Row::unreadable(RowKey::new(vec![Cell::Null, Cell::bytes(*b"b\xFF")]));
    let all = [named(Cell::text("ada"), "1"), garbled, named(Cell::text("cy"), "3"), named(Cell::bytes(*b"a"), "4")];
    assert!(rows.page(&Page::first(9)).await.unwrap() == all);
    for (row, next) in all.iter().zip(&all[1..]) {
        let behind = rows.page(&Page::first(1).starting_after(row.key.clone())).await.unwrap();
        assert!(behind == std::slice::from_ref(next), "a page may end with it");
    }
    let error = rows.load(&[all[1].key.clone()]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

async fn a_key_that_names_several_rows_changes_none() {
    let database = memory().await;
    execute(&database.pool, "CREATE TABLE visit (customer INTEGER, note TEXT)").await;
    execute(&database.pool, "INSERT INTO visit VALUES (1, 'a'), (2, 'a'), (2, 'a')").await;
    let rows = SqliteRows::new(database.pool.clone(), Table::new("visit", ["customer"], ["note"])).await.unwrap();
    let error = rows.swap(&[rename(1, "a", "b"), rename(2, "a", "b")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    let changed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM visit WHERE note <> 'a'").fetch_one(&database.pool).await.unwrap();
    assert_eq!(changed, 0, "also what came before it in the call");
}

async fn a_writer_that_holds_the_database_makes_a_swap_unavailable() {
    let database = on_file(Duration::ZERO).await;
    execute(&database.pool, "CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT)").await;
    execute(&database.pool, "INSERT INTO customer VALUES (1, 'ada')").await;
    let rows = SqliteRows::new(database.pool.clone(), Table::new("customer", ["id"], ["email"])).await.unwrap();
    let writer = database.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = rows.swap(&[rename(1, "ada", "bob")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Unavailable, "{error:?}");
    assert_eq!(rows.page(&Page::first(5)).await.unwrap().len(), 1, "a reader needs no turn");
    writer.rollback().await.unwrap();
    assert_eq!(rows.swap(&[rename(1, "ada", "bob")]).await.unwrap(), [true]);
}

async fn a_database_that_may_only_be_read_denies_a_swap() {
    let database = file().await;
    execute(&database.pool, "CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT)").await;
    execute(&database.pool, "INSERT INTO customer VALUES (1, 'ada')").await;
    let options = database.pool.connect_options().as_ref().clone().read_only(true);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let rows = SqliteRows::new(pool, Table::new("customer", ["id"], ["email"])).await.unwrap();
    assert_eq!(rows.page(&Page::first(5)).await.unwrap().len(), 1);
    let error = rows.swap(&[rename(1, "ada", "bob")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Denied, "{error:?}");
}

async fn a_constraint_that_refuses_a_swap_is_named_without_the_value() {
    let database = memory().await;
    let create = "CREATE TABLE customer (id INTEGER PRIMARY KEY, email TEXT UNIQUE CHECK (length(email) < 10))";
    execute(&database.pool, create).await;
    execute(&database.pool, "INSERT INTO customer VALUES (1, 'ada'), (2, 'bob')").await;
    let rows = SqliteRows::new(database.pool.clone(), Table::new("customer", ["id"], ["email"])).await.unwrap();
    for value in ["bob", "bob@example.com"] {
        let error = rows.swap(&[rename(2, "bob", "eve"), rename(1, "ada", value), rename(2, "eve", "bob")]).await;
        let error = error.err();
        // The first call meets no twin: the second is "eve" by then.
        assert_eq!(error.as_ref().map(|e| e.kind()), Some(RowsErrorKind::Misconfigured), "{error:?}");
        let shown = format!("{error:?} {}", error.as_ref().unwrap());
        assert!(!shown.contains("bob"), "{shown}");
    }
    let stands = rows.page(&Page::first(5)).await.unwrap();
    assert!(stands.iter().map(|row| &row.cells[0]).eq(&[Cell::text("ada"), Cell::text("bob")]), "nothing was changed");
}

/// SQLite keeps any bytes as text. They are read as the bytes that they are, so that nobody takes them for a text.
async fn text_that_is_not_utf8_is_read_as_bytes() {
    let (database, rows) = customers().await;
    execute(&database.pool, "INSERT INTO customer VALUES (3, CAST(x'FF61' AS TEXT), NULL)").await;
    let row = rows.load(&[key(3)]).await.unwrap()[0].clone().unwrap();
    assert!(row.cells == [Cell::bytes(*b"\xFFa"), Cell::Null], "the bytes, and no text");
}

/// By type as well as by value: a column of SQLite's holds values of any.
async fn a_cell_is_of_the_type_of_its_value() {
    let database = memory().await;
    execute(&database.pool, "CREATE TABLE any (id INTEGER PRIMARY KEY, cell)").await;
    execute(&database.pool, "INSERT INTO any VALUES (1, 1), (2, 1.0), (3, '1'), (4, x'31'), (5, NULL)").await;
    let rows = SqliteRows::new(database.pool.clone(), Table::new("any", ["id"], ["cell"])).await.unwrap();
    let read = rows.page(&Page::first(9)).await.unwrap();
    let cells = [Cell::Integer(1), Cell::Real(1.0), Cell::text("1"), Cell::bytes(*b"1"), Cell::Null];
    assert!(read.iter().map(|row| &row.cells[0]).eq(&cells), "{read:?}");
    for (n, cell) in (1..).zip(&cells) {
        assert_eq!(rows.swap(&[Swap::of(key(n)).cell(0, cell.clone(), Cell::Null)]).await.unwrap(), [true], "{n}");
    }
}

async fn a_table_of_another_schema_is_named_with_it() {
    let (database, _) = customers().await;
    execute(&database.pool, "ATTACH ':memory:' AS \"sa\"\"les\"").await;
    execute(&database.pool, "CREATE TABLE \"sa\"\"les\".\"cust\"\"omer\" (id INTEGER PRIMARY KEY, email TEXT)").await;
    execute(&database.pool, "INSERT INTO \"sa\"\"les\".\"cust\"\"omer\" VALUES (9, 'eve')").await;
    let table = Table::new("sa\"les.cust\"omer", ["id"], ["email"]);
    let rows = SqliteRows::new(database.pool.clone(), table).await.unwrap();
    assert_eq!(rows.swap(&[rename(9, "eve", "ada"), rename(1, "ada", "eve")]).await.unwrap(), [true, false]);
    assert_eq!(rows.count().await.unwrap(), 1);
    assert_eq!(rows.page(&Page::first(5)).await.unwrap()[0].key, key(9));
}

async fn columns_are_added_once() {
    let (database, _) = customers().await;
    let columns = [
        ("email_sealed".to_owned(), Form::Bytes),
        ("Note \"sealed\"".to_owned(), Form::Text),
        ("phone".to_owned(), Form::Text),
    ];
    let added = SqliteRows::add_columns(&database.pool, "customer", &columns).await.unwrap();
    assert_eq!(added, ["email_sealed", "Note \"sealed\""]);
    assert!(SqliteRows::add_columns(&database.pool, "customer", &columns).await.unwrap().is_empty());
    let types: Vec<(String, String)> =
        sqlx::query_as("SELECT name, type FROM pragma_table_info('customer')").fetch_all(&database.pool).await.unwrap();
    let types: Vec<_> = types.iter().map(|(name, ty)| (&**name, &**ty)).collect();
    assert_eq!(
        types[1..],
        [("email", "TEXT"), ("phone", "BLOB"), ("email_sealed", "BLOB"), ("Note \"sealed\"", "TEXT")]
    );
    let error = SqliteRows::add_columns(&database.pool, "nobody", &columns).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

async fn columns_that_are_missing_are_named_without_being_added() {
    let (database, _) = customers().await;
    let missing = async |table: Table| SqliteRows::missing_columns(&database.pool, &table).await;
    let table = Table::new("customer", ["number", "id"], ["Email", "note", "number"]);
    assert_eq!(missing(table.clone()).await.unwrap(), ["number", "note"]);
    assert_eq!(missing(table).await.unwrap(), ["number", "note"]);
    assert!(missing(Table::new("customer", ["id"], ["phone"])).await.unwrap().is_empty());
    let error = missing(Table::new("nobody", ["id"], ["phone"])).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

/// What a trigger says may hold what stands in the row.
async fn what_a_trigger_says_is_in_no_error() {
    let database = file().await;
    let script = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'ada@example.com'); \
                  CREATE TRIGGER guard BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'not ' || OLD.a); END;";
    sqlx::raw_sql(script).execute(&database.pool).await.unwrap();
    let rows = SqliteRows::new(database.pool.clone(), Table::new("t", ["id"], ["a"])).await.unwrap();
    let swap = Swap::of(RowKey::new(vec![Cell::Integer(1)])).cell(0, Cell::text("ada@example.com"), Cell::Null);
    let refused = rows.swap(&[swap]).await.unwrap_err();
    assert_eq!(refused.kind(), RowsErrorKind::Misconfigured);
    assert!(refused.to_string().contains("trigger"));
    assert!(!format!("{refused:?}").contains("ada@"), "{refused:?}");
}
