//! [`PostgresRows`]: a table of a PostgreSQL database, through the application's pool.

mod catalog;
mod column;
mod error;
mod swap;

use std::convert::identity;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};

use self::catalog::{Found, find};
use self::column::Column;
use self::error::failed;
use crate::postgres::{self, Cause, PgQuery, Transaction, query};
use crate::sql::{any_is_null, check, check_key, check_names, not_unique, quoted};
use fieldseal::jobs::Form;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsError, Swap, Table};

/// A table of a PostgreSQL database: one that is partitioned too, or a view that can be updated.
///
/// `bytea`, `bool`, integers and floats are cells of their own types; a column of any other type reads as text, and takes
/// text: numbers of type `numeric`, UUIDs and JSON as PostgreSQL writes them, dates as `YYYY-MM-DD`, a `timestamptz` in
/// UTC as `2026-01-31T12:00:00.123456000Z`, a `timestamp` likewise. How a session writes dates and the like does not matter.
///
/// Each call is one short transaction, after which nothing is left in the session: a pooler in transaction mode may stand
/// in between. A [`swap`](RowSource::swap) locks its rows in the order of their keys, and waits for those that others hold
/// as long as [`lock_timeout`](Self::lock_timeout) says. One that was polled and is polled no more, and not dropped either, holds
/// its rows until the server ends its transaction, 30 seconds later.
#[derive(Clone, Debug)]
pub struct PostgresRows {
    pool: PgPool,
    /// With its schema, in quotes.
    table: String,
    key: Arc<[Column]>,
    columns: Arc<[Column]>,
    names: Arc<[String]>,
    lock_timeout: Duration,
}

impl PostgresRows {
    /// A table of the application's database. That it is there, with these columns, and what they hold, is looked up now:
    /// a name without a schema is looked for in the `search_path` of the pool's connections.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Misconfigured` if the table or a column isn't there; `Denied` if the role may not read it;
    /// `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn new(pool: PgPool, table: Table) -> Result<Self, RowsError> {
        check(&table)?;
        let found = look(&pool, &table.name).await?;
        let all = |names: &[String]| names.iter().map(|name| found.column(name)).collect::<Result<Arc<[_]>, _>>();
        let (key, columns) = (all(&table.key)?, all(&table.columns)?);
        let names = table.columns.into();
        Ok(Self { pool, table: found.name, key, columns, names, lock_timeout: LOCK_TIMEOUT })
    }

    /// How long a swap waits for rows that a transaction of the application holds, before it gives up with `Throttled`:
    /// 3 seconds unless said otherwise. The rows that it has got so far, it holds meanwhile. Let it be less than the deadline
    /// of the [`Guard`](fieldseal::guard::Guard) that is around the table, which counts a swap that it drops as one that found no
    /// answer.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// The columns of a table, those of its key included, that aren't there.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Misconfigured` if the table isn't there; `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn missing_columns(pool: &PgPool, table: &Table) -> Result<Vec<String>, RowsError> {
        check(table)?;
        let found = look(pool, &table.name).await?;
        Ok(crate::sql::missing(table, |name| found.has(name)))
    }

    /// Adds columns that are not there yet, to hold sealed values: `BYTEA`, or `TEXT` for the text form. The table is only
    /// told of them, its rows are not written. Gives those that were added.
    ///
    /// That needs the table to itself for a moment. Where a transaction holds it for longer, this gives up after a second:
    /// whoever wants to read the table would have to wait behind it.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Throttled` if a transaction holds the table: do it again; `Denied` if the role doesn't own
    /// it; `Misconfigured` if it isn't there. None was added.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn add_columns(pool: &PgPool, table: &str, columns: &[(String, Form)]) -> Result<Vec<String>, RowsError> {
        check_names(table, columns.iter().map(|(name, _)| name))?;
        if columns.iter().any(|(name, _)| name.len() > MAX_NAME) {
            return Err(RowsError::misconfigured("PostgreSQL cuts a column's name off behind 63 bytes"));
        }
        let mut transaction = begin(pool, Duration::from_secs(1)).await.map_err(failed)?;
        let added = add_columns(&mut transaction, table, columns).await;
        transaction.end(added, failed).await
    }

    async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        begin(&self.pool, self.lock_timeout).await
    }

    /// `t."id"::pg_catalog.int8, t."email"::pg_catalog.bytea, ..`: the key's columns, then the others.
    fn select(&self) -> String {
        self.key.iter().chain(&*self.columns).map(Column::read).collect::<Vec<_>>().join(", ")
    }

    /// The key's columns alone.
    fn select_key(&self) -> String {
        self.key.iter().map(Column::read).collect::<Vec<_>>().join(", ")
    }

    /// The key that [`select`](Self::select) gave, or [`select_key`](Self::select_key), from the `at`-th place on.
    fn key_of(&self, row: &PgRow, at: usize) -> Result<RowKey, sqlx::Error> {
        let cells = self.key.iter().zip(at..).map(|(column, at)| column.cell(row, at));
        Ok(RowKey::new(cells.collect::<Result<_, _>>()?))
    }

    /// The row that [`select`](Self::select) gave, from its `at`-th place on.
    fn row(&self, row: &PgRow, at: usize) -> Result<Row, sqlx::Error> {
        let key = self.key_of(row, at)?;
        let cells = self.columns.iter().zip(at + self.key.len()..).map(|(column, at)| column.cell(row, at));
        Ok(match cells.collect::<Result<Vec<_>, _>>() {
            Ok(cells) if key.names_a_row() => Row { key, cells },
            _ => Row::unreadable(key),
        })
    }

    /// What a page selects of the table's rows; none that no key names.
    async fn read(&self, select: &str, wanted: &Wanted<'_>, limit: usize) -> Result<Vec<PgRow>, sqlx::Error> {
        let keys = self.key.iter().map(Column::raw).collect::<Vec<_>>().join(", ");
        let (table, only) = (&self.table, wanted.conditions());
        let statement = query(format!("SELECT {select} FROM {table} AS t{only} ORDER BY {keys} LIMIT {limit}"));
        let statement = wanted.bound.iter().fold(statement, |statement, (_, cell)| bind(statement, cell));
        let mut transaction = self.begin().await?;
        let rows = statement.fetch_all(&mut *transaction).await;
        transaction.end(rows, identity).await
    }

    /// Rows that are wanted, and in the place of those that can't be handed over that they can't.
    async fn read_rows(&self, wanted: &Wanted<'_>, limit: usize) -> Result<Vec<Row>, RowsError> {
        match self.read(&self.select(), wanted, limit).await {
            // A value of one of them, and nobody says of which.
            Err(error) if Cause::of(&error) == Cause::Value => {
                let mut rows = Vec::new();
                for row in self.read(&self.select_key(), wanted, limit).await.map_err(failed)? {
                    rows.extend(self.load_alone(&self.key_of(&row, 0).map_err(failed)?).await?);
                }
                Ok(rows)
            }
            rows => rows.map_err(failed)?.iter().map(|row| self.row(row, 0).map_err(failed)).collect(),
        }
    }

    /// What the statement selects of the rows of these keys, each behind its key's place in the list.
    async fn look_for(&self, select: &str, keys: &[&RowKey]) -> Result<Vec<PgRow>, sqlx::Error> {
        let handed = self.keys();
        let (rows, table, conditions) = (handed.rows(), &self.table, handed.conditions());
        let sql = format!("SELECT v.ord, {select} FROM {rows} JOIN {table} AS t ON {conditions}");
        let statement = self.bind_keys(query(sql), keys);
        let mut transaction = self.begin().await?;
        let rows = statement.fetch_all(&mut *transaction).await;
        transaction.end(rows, identity).await
    }

    /// One row by itself, where among others it may be what can't be handed over.
    async fn load_alone(&self, key: &RowKey) -> Result<Option<Row>, RowsError> {
        if !key.names_a_row() {
            return Ok(Some(Row::unreadable(key.clone())));
        }
        let found = match self.look_for(&self.select(), &[key]).await {
            Err(error) if Cause::of(&error) == Cause::Value => {
                let found = self.look_for(&self.select_key(), &[key]).await.map_err(failed)?;
                return Ok((!found.is_empty()).then(|| Row::unreadable(key.clone())));
            }
            found => found.map_err(failed)?,
        };
        match found.as_slice() {
            [] => Ok(None),
            [row] => self.row(row, 1).map(Some).map_err(failed),
            _ => Err(not_unique()),
        }
    }

    fn check_key(&self, key: &RowKey) -> Result<(), RowsError> {
        check_key(key, self.key.len())?;
        if !self.key.iter().zip(key.cells()).all(|(column, cell)| column.takes(cell)) {
            return Err(RowsError::misconfigured("a row's key has cells of other types: is it of another table?"));
        }
        Ok(())
    }

    /// Keys, as rows `v` of a statement: `unnest($1, $2) WITH ORDINALITY AS v(k0, k1, ord)`, and their conditions on `t`.
    fn keys(&self) -> Handed<'_> {
        let mut handed = Handed::default();
        for (n, column) in self.key.iter().enumerate() {
            let value = handed.column(column, format!("k{n}"));
            handed.conditions.push(column.equals(&value));
        }
        handed
    }

    /// Gives each key's cells over to the statement that [`keys`](Self::keys) began.
    fn bind_keys<'q>(&self, mut query: PgQuery<'q>, keys: &[&'q RowKey]) -> PgQuery<'q> {
        for (at, column) in self.key.iter().enumerate() {
            query = column.bind_all(query, keys.iter().filter_map(|key| key.cells().get(at)));
        }
        query
    }
}

#[async_trait]
impl RowSource for PostgresRows {
    fn columns(&self) -> &[String] {
        &self.names
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let mut wanted = Wanted::default();
        if let Some((name, cell)) = page.only_where() {
            let column = self.columns.iter().find(|column| column.name == name);
            let column = column.ok_or_else(|| RowsError::no_column(name))?;
            if !column.takes(cell) {
                return Ok(Vec::new());
            }
            if cell.is_null() {
                wanted.conditions.push(format!("{} IS NULL", column.raw()));
            } else {
                let value = wanted.bind(column, cell);
                // For the sake of an index on the column.
                wanted.conditions.extend(column.is_equal_too(cell).then(|| column.equals(&value)));
                wanted.conditions.push(column.is(&value));
            }
        }
        let nullable: Vec<_> = self.key.iter().filter(|column| column.may_be_null).map(Column::raw).collect();
        let mut nameless = wanted.clone();
        if let Some(after) = page.cursor() {
            if !after.names_a_row() {
                return Ok(Vec::new()); // these are the last
            }
            self.check_key(after)?;
            let keys = self.key.iter().map(Column::raw).collect::<Vec<_>>().join(", ");
            let marks = self.key.iter().zip(after.cells());
            let marks: Vec<_> = marks.map(|(column, cell)| column.own(&wanted.bind(column, cell))).collect();
            wanted.conditions.push(format!("({keys}) > ({})", marks.join(", ")));
        }
        wanted.conditions.extend(nullable.iter().map(|column| format!("{column} IS NOT NULL")));
        let mut rows = self.read_rows(&wanted, page.page_size()).await?;
        let room = page.page_size().saturating_sub(rows.len());
        if room > 0 && !nullable.is_empty() {
            nameless.conditions.push(any_is_null(&nullable));
            rows.extend(self.read_rows(&nameless, room).await?);
        }
        Ok(rows)
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        keys.iter().try_for_each(|key| self.check_key(key))?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = match self.look_for(&self.select(), &keys.iter().collect::<Vec<_>>()).await {
            Err(error) if Cause::of(&error) == Cause::Value => {
                let mut loaded = Vec::with_capacity(keys.len());
                for key in keys {
                    loaded.push(self.load_alone(key).await?);
                }
                return Ok(loaded);
            }
            found => found.map_err(failed)?,
        };
        let mut loaded: Vec<Option<Row>> = keys.iter().map(|_| None).collect();
        for row in &found {
            let place = loaded.get_mut(ordinal(row).map_err(failed)?);
            let place = place.ok_or_else(|| RowsError::corrupt("an answer to no question"))?;
            if place.replace(self.row(row, 1).map_err(failed)?).is_some() {
                return Err(not_unique());
            }
        }
        Ok(loaded)
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        self.swap_all(swaps).await
    }

    async fn count(&self) -> Result<u64, RowsError> {
        let mut transaction = self.begin().await.map_err(failed)?;
        let count = count(&mut transaction, &self.table).await.map_err(failed);
        Ok(u64::try_from(transaction.end(count, failed).await?).unwrap_or_default())
    }
}

/// A table of the database.
async fn look(pool: &PgPool, table: &str) -> Result<Found, RowsError> {
    let mut transaction = begin(pool, LOCK_TIMEOUT).await.map_err(failed)?;
    let found = find(&mut transaction, table).await;
    transaction.end(found, failed).await
}

async fn add_columns(
    connection: &mut PgConnection,
    table: &str,
    columns: &[(String, Form)],
) -> Result<Vec<String>, RowsError> {
    let found = find(connection, table).await?;
    let mut added: Vec<String> = Vec::new();
    let mut add = Vec::new();
    for (name, form) in columns.iter().filter(|(name, _)| !found.has(name)) {
        let ty = if *form == Form::Text { "TEXT" } else { "BYTEA" };
        // Another process may be adding it, too.
        add.push(format!("ADD COLUMN IF NOT EXISTS {} {ty}", quoted(name)));
        added.push(name.clone());
    }
    if !add.is_empty() {
        let alter = format!("ALTER TABLE {} {}", found.name, add.join(", "));
        query(alter).execute(connection).await.map_err(failed)?;
    }
    Ok(added)
}

/// By the table's statistics.
async fn count(connection: &mut PgConnection, table: &str) -> Result<i64, sqlx::Error> {
    let estimate = query("SELECT reltuples::int8 FROM pg_catalog.pg_class WHERE oid = to_regclass($1)");
    let estimate = estimate.bind(table).fetch_optional(&mut *connection).await?;
    let count = estimate.map_or(Ok(0), |row| row.try_get(0))?;
    if count > 0 {
        return Ok(count);
    }
    // Never analyzed, or found to be empty.
    query(format!("SELECT count(*) FROM {table}")).fetch_one(connection).await?.try_get(0)
}

/// Which rows are wanted: for which all of this holds.
#[derive(Clone, Default)]
struct Wanted<'a> {
    conditions: Vec<String>,
    bound: Vec<(&'a Column, &'a Cell)>,
}

impl<'a> Wanted<'a> {
    /// A cell that is not NULL, as a parameter: how the conditions name it.
    fn bind(&mut self, column: &'a Column, cell: &'a Cell) -> String {
        self.bound.push((column, cell));
        format!("${}::{}", self.bound.len(), column.handed())
    }

    fn conditions(&self) -> String {
        if self.conditions.is_empty() { String::new() } else { format!(" WHERE {}", self.conditions.join(" AND ")) }
    }
}

/// Columns of values that are handed over, one array each.
#[derive(Default)]
struct Handed<'a> {
    arrays: Vec<&'a str>,
    names: Vec<String>,
    conditions: Vec<String>,
}

impl<'a> Handed<'a> {
    /// One more, of values of this column's: how a statement names it.
    fn column(&mut self, column: &'a Column, name: String) -> String {
        let value = format!("v.{name}");
        self.arrays.push(column.handed());
        self.names.push(name);
        value
    }

    /// `unnest($1::pg_catalog.int8[], ..) WITH ORDINALITY AS v(k0, .., ord)`
    fn rows(&self) -> String {
        let arrays: Vec<_> = self.arrays.iter().zip(1..).map(|(ty, n)| format!("${n}::{ty}[]")).collect();
        format!("unnest({}) WITH ORDINALITY AS v({}, ord)", arrays.join(", "), self.names.join(", "))
    }

    fn conditions(&self) -> String {
        self.conditions.join(" AND ")
    }
}

/// A cell that is not NULL.
fn bind<'q>(query: PgQuery<'q>, cell: &'q Cell) -> PgQuery<'q> {
    match cell {
        Cell::Null => query.bind(None::<&str>),
        Cell::Bool(b) => query.bind(*b),
        Cell::Integer(n) => query.bind(*n),
        Cell::Real(n) => query.bind(*n),
        Cell::Text(text) => query.bind(text.as_str()),
        Cell::Bytes(bytes) => query.bind(bytes.as_slice()),
    }
}

/// Which of the rows that were handed over it is about: its `ord`, from 0.
fn ordinal(row: &PgRow) -> Result<usize, sqlx::Error> {
    let ord: i64 = row.try_get(0)?;
    Ok(usize::try_from(ord - 1).unwrap_or(usize::MAX))
}

/// A transaction in which texts are as this adapter means them, whatever the session, the role or the database says.
async fn begin(pool: &PgPool, lock_timeout: Duration) -> Result<Transaction, sqlx::Error> {
    postgres::begin(pool, lock_timeout, SETTINGS).await
}

const SETTINGS: &str = "SET LOCAL DateStyle TO ISO, YMD; SET LOCAL IntervalStyle TO postgres; \
     SET LOCAL TimeZone TO 'UTC'; SET LOCAL extra_float_digits TO 1; SET LOCAL bytea_output TO hex";

/// Less than the deadline of a guard, for which a swap is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// `NAMEDATALEN` less one.
const MAX_NAME: usize = 63;
