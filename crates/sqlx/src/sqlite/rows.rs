//! [`SqliteRows`]: a table of an SQLite database, through the application's pool.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection, TypeInfo as _, ValueRef as _};
use zeroize::Zeroizing;

use super::queue::{Access, Queue};
use crate::sql::{any_is_null, check, check_key, check_names, not_unique, of_table, quoted, quoted_table};
use fieldseal::jobs::Form;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsError, RowsErrorKind, Swap, Table};

/// A table of an SQLite database.
///
/// A [`swap`](RowSource::swap) is one transaction of as many rows as it is given, and waits for other writers as long as the
/// pool's `busy_timeout` says (5 seconds unless said otherwise). A call that was polled and is polled no more is finished by
/// the next one of this source or a clone of it; until then it has its connection, and if it is a swap all other writers find
/// the database busy.
#[derive(Clone, Debug)]
pub struct SqliteRows {
    source: Arc<Source>,
    calls: Queue,
}

/// The calls themselves.
#[derive(Debug)]
struct Source {
    pool: SqlitePool,
    table: Table,
    /// `t."id", t."line", t."email", ..`: the key's columns, then the others.
    select: String,
    /// With the alias `t`: without one, SQLite takes a name in quotes that is no column for a text.
    name: String,
    /// Those of the key that may be NULL: SQLite's own primary keys may.
    nullable: Vec<String>,
}

impl SqliteRows {
    /// A table of the application's database; that it is there, with these columns, is looked at now.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Misconfigured` if the table or a column isn't there; `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn new(pool: SqlitePool, table: Table) -> Result<Self, RowsError> {
        check(&table)?;
        let name = format!("{} AS t", quoted_table(&table.name));
        let there = there(&pool, &table.name).await?;
        if let Some(name) = missing(&table, &there).first() {
            return Err(RowsError::no_column(name));
        }
        let select = table.key.iter().chain(&table.columns).map(|c| of_table(c)).collect::<Vec<_>>().join(", ");
        let may_be_null = |name: &&String| there.iter().any(|column| column.is(name) && column.may_be_null);
        let nullable = table.key.iter().filter(may_be_null).map(|name| of_table(name)).collect();
        let calls = Queue::of(&pool);
        Ok(Self { source: Arc::new(Source { pool, table, select, name, nullable }), calls })
    }

    /// The columns of a table, those of its key included, that aren't there.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Misconfigured` if the table isn't there; `Unavailable`.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn missing_columns(pool: &SqlitePool, table: &Table) -> Result<Vec<String>, RowsError> {
        check(table)?;
        Ok(missing(table, &there(pool, &table.name).await?))
    }

    /// Adds columns that are not there yet, to hold sealed values: `BLOB`, or `TEXT` for the text form. The table is only
    /// told of them, its rows are not written. Gives those that were added.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Misconfigured` if the table isn't there; `Unavailable`.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn add_columns(
        pool: &SqlitePool,
        table: &str,
        columns: &[(String, Form)],
    ) -> Result<Vec<String>, RowsError> {
        check_names(table, columns.iter().map(|(name, _)| name))?;
        let mut added = Vec::new();
        for (column, form) in columns {
            if there(pool, table).await?.iter().any(|there| there.is(column)) {
                continue;
            }
            let ty = if *form == Form::Text { "TEXT" } else { "BLOB" };
            let add = format!("ALTER TABLE {} ADD COLUMN {} {ty}", quoted_table(table), quoted(column));
            sqlx::query(AssertSqlSafe(add)).execute(pool).await.map_err(failed)?;
            added.push(column.clone());
        }
        Ok(added)
    }
}

#[async_trait]
impl RowSource for SqliteRows {
    fn columns(&self) -> &[String] {
        self.source.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let (source, page) = (self.source.clone(), page.clone());
        self.calls.run(Access::Read, async move { source.page(&page).await }).await
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        let (source, keys) = (self.source.clone(), keys.to_vec());
        self.calls.run(Access::Read, async move { source.load(&keys).await }).await
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        let (source, swaps) = (self.source.clone(), swaps.to_vec());
        self.calls.run(Access::Write, async move { source.swap(&swaps).await }).await
    }

    async fn count(&self) -> Result<u64, RowsError> {
        let source = self.source.clone();
        self.calls.run(Access::Read, async move { source.count().await }).await
    }
}

impl Source {
    /// The key of a row that has no name says where it stands: a text that is none is NULL, and then its bytes.
    fn row(&self, row: &SqliteRow) -> Result<Row, RowsError> {
        let (keys, mut key) = (self.table.key.len(), Vec::with_capacity(self.table.key.len()));
        for at in 0..keys {
            let cell = cell(row, at)?;
            if matches!(cell, Cell::Bytes(_)) && is_text(row, at)? {
                key.push(Cell::Null);
            }
            key.push(cell);
        }
        let key = RowKey::new(key);
        if !key.names_a_row() {
            return Ok(Row::unreadable(key));
        }
        let cells = (keys..keys + self.table.columns.len()).map(|at| cell(row, at)).collect::<Result<_, _>>()?;
        Ok(Row { key, cells })
    }

    /// The marks and cells that stand for the place behind a row; none behind one whose key is NULL: these are the last.
    fn place<'k>(&self, key: &'k RowKey) -> Result<Option<(String, Vec<&'k Cell>)>, RowsError> {
        let (columns, mut rest) = (self.table.key.len(), key.cells());
        if !key.names_a_row() && rest.len() == columns {
            return Ok(None);
        }
        let (mut marks, mut cells) = (Vec::with_capacity(columns), Vec::with_capacity(columns));
        while let [first, tail @ ..] = rest {
            let (mark, cell, tail) = match (first, tail) {
                (Cell::Null, [bytes @ Cell::Bytes(_), tail @ ..]) => ("CAST(? AS TEXT)", bytes, tail),
                _ => ("?", first, tail),
            };
            marks.push(mark);
            cells.push(cell);
            rest = tail;
        }
        if cells.len() != columns || cells.iter().any(|cell| cell.is_null()) {
            return Err(RowsError::misconfigured("a row's key has other columns: is it of another table?"));
        }
        Ok(Some((marks.join(", "), cells)))
    }

    /// The first rows, in the order of their keys, for which all of this holds.
    async fn read(&self, conditions: &[String], bound: &[&Cell], limit: usize) -> Result<Vec<Row>, RowsError> {
        let holds = if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        let sql = format!("SELECT {} FROM {}{holds} ORDER BY {} LIMIT ?", self.select, self.name, self.keys());
        let query = bound.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, cell| bind(query, cell));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.bind(limit).fetch_all(&self.pool).await.map_err(failed)?;
        rows.iter().map(|row| self.row(row)).collect()
    }

    /// `t."id", t."line"`
    fn keys(&self) -> String {
        self.table.key.iter().map(|c| of_table(c)).collect::<Vec<_>>().join(", ")
    }

    /// `t."id" = ? AND t."line" = ?`
    fn is_key(&self) -> String {
        self.table.key.iter().map(|c| format!("{} = ?", of_table(c))).collect::<Vec<_>>().join(" AND ")
    }

    async fn swap_one(&self, connection: &mut SqliteConnection, swap: &Swap) -> Result<bool, RowsError> {
        check_key(swap.key(), self.table.key.len())?;
        swap.check(self.table.columns.len())?;
        let (mut set, mut guard) = (Vec::new(), Vec::new());
        for (at, _, new) in swap.cells() {
            let Some(column) = self.table.columns.get(at) else { continue };
            if new.is_some() {
                set.push(format!("{} = ?", quoted(column)));
            }
            guard.push(format!(" AND {} IS ?", of_table(column)));
        }
        let sql = format!("UPDATE {} SET {} WHERE {}{}", self.name, set.join(", "), self.is_key(), guard.concat());
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for new in swap.cells().filter_map(|(_, _, new)| new) {
            query = bind(query, new);
        }
        for cell in swap.key().cells() {
            query = bind(query, cell);
        }
        for (_, expected, _) in swap.cells() {
            query = bind(query, expected);
        }
        match query.execute(connection).await.map_err(failed)?.rows_affected() {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(not_unique()),
        }
    }
}

#[async_trait]
impl RowSource for Source {
    fn columns(&self) -> &[String] {
        &self.table.columns
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let (mut only, mut held) = (None, None);
        if let Some((column, cell)) = page.only_where() {
            if !self.table.columns.iter().any(|own| own == column) {
                return Err(RowsError::no_column(column));
            }
            (only, held) = (Some(format!("{} IS ?", of_table(column))), Some(cell));
        }
        let (mut conditions, mut bound): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        if let Some(after) = page.cursor() {
            let Some((marks, cells)) = self.place(after)? else { return Ok(Vec::new()) };
            conditions.push(format!("({}) > ({marks})", self.keys()));
            bound.extend(cells);
        }
        conditions.extend(self.nullable.iter().map(|column| format!("{column} IS NOT NULL")));
        conditions.extend(only.clone());
        bound.extend(held);
        let mut rows = self.read(&conditions, &bound, page.page_size()).await?;
        let room = page.page_size().saturating_sub(rows.len());
        if room > 0 && !self.nullable.is_empty() {
            let conditions: Vec<_> = std::iter::once(any_is_null(&self.nullable)).chain(only).collect();
            rows.extend(self.read(&conditions, held.as_slice(), room).await?);
        }
        Ok(rows)
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        let sql = format!("SELECT {} FROM {} WHERE {}", self.select, self.name, self.is_key());
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut loaded = Vec::with_capacity(keys.len());
        for key in keys {
            check_key(key, self.table.key.len())?;
            let query = key.cells().iter().fold(sqlx::query(AssertSqlSafe(sql.clone())), bind);
            let row = query.fetch_optional(&mut *connection).await.map_err(failed)?;
            loaded.push(row.as_ref().map(|row| self.row(row)).transpose()?);
        }
        Ok(loaded)
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        if swaps.is_empty() {
            return Ok(Vec::new());
        }
        // As a writer from the start: a reader that becomes one can't wait for its turn.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let mut swapped = Vec::with_capacity(swaps.len());
        for swap in swaps {
            swapped.push(self.swap_one(&mut transaction, swap).await?);
        }
        transaction.commit().await.map_err(failed)?;
        Ok(swapped)
    }

    async fn count(&self) -> Result<u64, RowsError> {
        let sql = format!("SELECT count(*) FROM {}", self.name);
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&self.pool).await.map_err(failed)?;
        Ok(u64::try_from(count).unwrap_or_default())
    }
}

/// A column of a table.
struct Column {
    name: String,
    may_be_null: bool,
}

impl Column {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The columns of a table.
async fn there(pool: &SqlitePool, table: &str) -> Result<Vec<Column>, RowsError> {
    let (schema, name) = table.rsplit_once('.').unwrap_or(("main", table));
    let columns: Vec<(String, bool)> = sqlx::query_as("SELECT name, \"notnull\" = 0 FROM pragma_table_info(?, ?)")
        .bind(name.to_owned())
        .bind(schema.to_owned())
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    if columns.is_empty() {
        return Err(RowsError::misconfigured(format!("there is no table {table:?} in the SQLite database")));
    }
    Ok(columns.into_iter().map(|(name, may_be_null)| Column { name, may_be_null }).collect())
}

/// The columns of a table that aren't there.
fn missing(table: &Table, there: &[Column]) -> Vec<String> {
    crate::sql::missing(table, |name| there.iter().any(|column| column.is(name)))
}

type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

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

/// By the type that the value has, whatever the column's: SQLite's columns hold values of any.
fn cell(row: &SqliteRow, at: usize) -> Result<Cell, RowsError> {
    let value = row.try_get_raw(at).map_err(failed)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let ty = value.type_info();
    Ok(match ty.name() {
        "INTEGER" | "BOOLEAN" => Cell::Integer(row.try_get_unchecked(at).map_err(failed)?),
        "REAL" => Cell::Real(row.try_get_unchecked(at).map_err(failed)?),
        _ if is_text(row, at)? => {
            let bytes: Vec<u8> = row.try_get_unchecked(at).map_err(failed)?;
            match String::from_utf8(bytes) {
                Ok(text) => Cell::text(text),
                Err(e) => Cell::bytes(e.into_bytes()), // no text: whoever takes it for one says so
            }
        }
        _ => Cell::Bytes(Zeroizing::new(row.try_get_unchecked(at).map_err(failed)?)),
    })
}

fn is_text(row: &SqliteRow, at: usize) -> Result<bool, RowsError> {
    let value = row.try_get_raw(at).map_err(failed)?;
    Ok(matches!(value.type_info().name(), "TEXT" | "DATE" | "TIME" | "DATETIME"))
}

/// Whose fault it is. No message of SQLite's own holds a value, so the source may be kept; but what a trigger says is the
/// application's, and may hold what stands in the row.
fn failed(error: sqlx::Error) -> RowsError {
    let extended: Option<u32> = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse().ok());
    let (kind, hint) = match extended.map(|code| code & 0xff) {
        Some(1 | 20) => {
            (RowsErrorKind::Misconfigured, "SQLite refuses the statement: are table and columns as mapped?")
        }
        Some(19) => (RowsErrorKind::Misconfigured, "a constraint or trigger of the table refuses the change"),
        Some(8) => (RowsErrorKind::Denied, "the SQLite database can't be written"),
        Some(3 | 14 | 23) => (RowsErrorKind::Denied, "the SQLite database can't be opened, or not in this way"),
        Some(11 | 26) => (RowsErrorKind::Corrupt, "the SQLite database"),
        Some(13) => (RowsErrorKind::Unavailable, "the disk is full: make room"),
        Some(5 | 6) => (RowsErrorKind::Unavailable, "another writer holds the SQLite database for long"),
        _ => match &error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (RowsErrorKind::Corrupt, "a value in the table")
            }
            sqlx::Error::Configuration(_) => (RowsErrorKind::Misconfigured, "the SQLite pool"),
            _ => (RowsErrorKind::Unavailable, "the SQLite database"),
        },
    };
    let told = RowsError::new(kind).with_hint(hint);
    if extended == Some(CONSTRAINT_TRIGGER) { told } else { told.with_source(error) }
}

/// `SQLITE_CONSTRAINT_TRIGGER`: a trigger's `RAISE`.
const CONSTRAINT_TRIGGER: u32 = 1811;
