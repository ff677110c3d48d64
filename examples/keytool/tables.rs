//! The application's tables, as `keytool.toml` maps them: [`MappedTable`], its rows, and its columns added.

use std::sync::Arc;

use fieldseal::TenantId;
use fieldseal::error::RowsErrorKind;
use fieldseal::jobs::{FieldMap, Form, IdColumn, TableMap, ValueType};
use fieldseal::rows::{PostgresRows, RowSource, SqliteRows};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

use crate::config::{self, DatabaseSpec, FieldConfig, FieldForm, FieldType, IdType, TableConfig, TenantSource};
use crate::exit::{Exit, Failure};
use crate::open::{Tool, exists};

/// A table of the application, and how its rows are reached.
pub(crate) struct MappedTable {
    pub(crate) map: TableMap,
    pub(crate) rows: Arc<dyn RowSource>,
}

/// The application's database.
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Tool {
    /// Connects to the application's database; an SQLite file must be there.
    pub(crate) async fn database(&self) -> Result<Database, Failure> {
        match self.config.database()? {
            DatabaseSpec::Sqlite(path) => {
                let file = self.config.path(path);
                if !exists(&file)? {
                    let what = format!("there is no database at {}: correct the configuration", config::shown(&file));
                    return Err(Failure::not_found(what));
                }
                let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
                SqlitePool::connect_with(options).await.map(Database::Sqlite).map_err(|e| unreachable(&e))
            }
            DatabaseSpec::Postgres(url) => {
                let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect(url);
                pool.await.map(Database::Postgres).map_err(|e| unreachable(&e))
            }
        }
    }

    /// The tables of these names; all that are mapped if none is named.
    pub(crate) async fn tables(&self, named: &[String]) -> Result<Vec<MappedTable>, Failure> {
        let database = self.database().await?;
        let mut tables = Vec::new();
        for config in self.mapped(named)? {
            let map = map_of(config)?;
            let rows = database.rows(&map).await?;
            tables.push(MappedTable { map, rows });
        }
        Ok(tables)
    }

    pub(crate) fn mapped(&self, named: &[String]) -> Result<Vec<&TableConfig>, Failure> {
        let tables = self.config.tables();
        if tables.is_empty() {
            let what = "the configuration maps no table: write a [[table]] for each that holds sealed fields \
                        (docs/keytool.md)";
            return Err(Failure::new(Exit::Usage, "configuration", what));
        }
        if named.is_empty() {
            return Ok(tables.iter().collect());
        }
        let find = |name: &String| {
            let missing = || Failure::usage(format!("the configuration maps no table {name:?}"));
            tables.iter().find(|table| table.name() == name).ok_or_else(missing)
        };
        named.iter().map(find).collect()
    }
}

impl Database {
    async fn rows(&self, map: &TableMap) -> Result<Arc<dyn RowSource>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => Arc::new(SqliteRows::new(pool.clone(), map.table()).await?),
            Self::Postgres(pool) => Arc::new(PostgresRows::new(pool.clone(), map.table()).await?),
        })
    }

    /// Adds the columns of a table's sealed values that aren't there; gives those that were added.
    pub(crate) async fn add_columns(&self, map: &TableMap) -> Result<Vec<String>, Failure> {
        let columns = map.sealed_columns();
        Ok(match self {
            Self::Sqlite(pool) => SqliteRows::add_columns(pool, map.name(), &columns).await?,
            Self::Postgres(pool) => PostgresRows::add_columns(pool, map.name(), &columns).await?,
        })
    }
}

impl Database {
    /// The columns of a table's sealed values that aren't there.
    pub(crate) async fn missing_columns(&self, map: &TableMap) -> Result<Vec<String>, Failure> {
        let mut missing = Vec::new();
        for (column, _) in map.sealed_columns() {
            let table = fieldseal::rows::Table::new(map.name(), map.table().key, [&column]);
            let found = match self {
                Self::Sqlite(pool) => SqliteRows::new(pool.clone(), table).await.map(drop),
                Self::Postgres(pool) => PostgresRows::new(pool.clone(), table).await.map(drop),
            };
            match found {
                Ok(()) => {}
                Err(e)
                    if e.kind() == RowsErrorKind::Misconfigured && e.to_string().contains(&format!("{column:?}")) =>
                {
                    missing.push(column);
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(missing)
    }
}

/// A table's configuration, as the library takes it.
pub(crate) fn map_of(config: &TableConfig) -> Result<TableMap, Failure> {
    let id = |id: &config::IdColumn| match id.kind {
        IdType::Integer => IdColumn::integer(&id.column),
        IdType::Text => IdColumn::text(&id.column),
        IdType::Uuid => IdColumn::uuid(&id.column),
    };
    let map = TableMap::new(config.name(), config.key(), config.schema(), id(config.subject()));
    let map = map.ids(config.ids().iter().map(id));
    let map = match config.tenant() {
        TenantSource::Name(name) => map.tenant(TenantId::new(name)?),
        TenantSource::Column(tenant) => map.tenant_column(&tenant.column),
    };
    let map = config.clear().iter().fold(map, |map, column| map.clear(column));
    Ok(config.fields().iter().fold(map, |map, field| map.field(field_of(field))))
}

fn field_of(config: &FieldConfig) -> FieldMap {
    let form = match config.form() {
        FieldForm::Bytes => Form::Bytes,
        FieldForm::Text => Form::Text,
    };
    let ty = match config.kind() {
        FieldType::Text => ValueType::Text,
        FieldType::Bytes => ValueType::Bytes,
        FieldType::Bool => ValueType::Bool,
        FieldType::Integer => ValueType::Integer,
        FieldType::Float => ValueType::Float,
        FieldType::Date => ValueType::Date,
        FieldType::Instant => ValueType::Instant,
        FieldType::Uuid => ValueType::Uuid,
        FieldType::Decimal => ValueType::Decimal,
        FieldType::Json => ValueType::Json,
    };
    let field = FieldMap::new(config.column()).named(config.field()).purpose(config.purpose());
    let field = field.form(form).of(ty).pad(config.pad());
    match config.from() {
        Some(from) => field.from(from),
        None => field,
    }
}

/// The driver's own error is told only as far as it names no user, host or password.
fn unreachable(e: &sqlx::Error) -> Failure {
    let why = match e {
        sqlx::Error::Configuration(_) => "its URL is not one: postgres://user@host/database",
        sqlx::Error::Io(_) => "nobody answers there: is the server running?",
        sqlx::Error::Database(e) if e.code().is_some_and(|code| code.starts_with("28")) => "it refuses this user",
        sqlx::Error::Database(e) if e.code().is_some_and(|code| code == "3D000") => "it has no such database",
        sqlx::Error::PoolTimedOut => "all its connections are taken, or it doesn't answer",
        _ => "it can't be opened",
    };
    let exit = match e {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => Exit::Unavailable,
        _ => Exit::Usage,
    };
    Failure::new(exit, "database_unavailable", format!("the application's database: {why}"))
}

/// One for each page that is worked on, and one that reads ahead, of the most that `--workers` takes by default.
const CONNECTIONS: u32 = 9;
