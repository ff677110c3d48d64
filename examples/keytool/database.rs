//! [`Database`]: the application's database, connected to, and what is told where that fails.

use std::sync::Arc;
use std::time::Duration;

use fieldseal::jobs::TableMap;
use fieldseal::rows::{PostgresRows, RowSource, SqliteRows};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::config::{DatabaseSpec, shown};
use crate::exit::{Exit, Failure};
use crate::open::{Tool, exists};

/// The application's database.
pub(crate) enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Tool {
    /// Connects to the application's database, with so many connections at most; an SQLite file must be there.
    pub(crate) async fn database(&self, connections: u32) -> Result<Database, Failure> {
        match self.config.database()? {
            DatabaseSpec::Sqlite(path) => {
                let file = self.config.path(path);
                if !exists(&file)? {
                    let what = format!("there is no database at {}: correct the configuration", shown(&file));
                    return Err(Failure::not_found(what));
                }
                let options = SqliteConnectOptions::new().filename(file).create_if_missing(false);
                let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await;
                let pool = pool.map_err(|e| unreachable(&e))?;
                // What is no database is found out by the first look at it.
                let look = sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&pool).await;
                look.map_err(|e| unreachable(&e))?;
                Ok(Database::Sqlite(pool))
            }
            DatabaseSpec::Postgres(url) => {
                let options: PgConnectOptions = url.parse().map_err(|e| unreachable(&e))?;
                reach(&options).await?;
                let pool = PgPoolOptions::new().max_connections(connections).connect_lazy_with(options);
                Ok(Database::Postgres(pool))
            }
        }
    }
}

impl Database {
    /// A table's rows; that it is there, with the columns of its map, is looked at.
    pub(crate) async fn rows(&self, map: &TableMap) -> Result<Arc<dyn RowSource>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => Arc::new(SqliteRows::new(pool.clone(), map.table()).await?),
            Self::Postgres(pool) => Arc::new(PostgresRows::new(pool.clone(), map.table()).await?),
        })
    }

    /// The columns of a table's map that aren't there.
    pub(crate) async fn missing_columns(&self, map: &TableMap) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => SqliteRows::missing_columns(pool, &map.table()).await?,
            Self::Postgres(pool) => PostgresRows::missing_columns(pool, &map.table()).await?,
        })
    }

    /// Adds columns; gives those that weren't there.
    pub(crate) async fn add_columns(&self, table: &str, columns: &[(String, bool)]) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => SqliteRows::add_columns(pool, table, columns).await?,
            Self::Postgres(pool) => PostgresRows::add_columns(pool, table, columns).await?,
        })
    }
}

/// By one connection, before there is a pool, which would try for long where nobody answers.
async fn reach(options: &PgConnectOptions) -> Result<(), Failure> {
    let connect = async { PgConnection::connect_with(options).await?.close().await };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(connected) => connected.map_err(|e| unreachable(&e)),
        Err(_) => Err(unreachable(&sqlx::Error::PoolTimedOut)),
    }
}

/// The driver's own error is not told: it names users, hosts and files, and may quote what a URL holds.
fn unreachable(e: &sqlx::Error) -> Failure {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let (exit, why) = match e {
        sqlx::Error::Configuration(_) => (Exit::Usage, "its URL is not one: postgres://user@host/database"),
        sqlx::Error::Io(_) => (Exit::Unavailable, "nobody answers there: is the server running?"),
        sqlx::Error::PoolTimedOut => (Exit::Unavailable, "it doesn't answer"),
        sqlx::Error::Tls(_) => (Exit::Usage, "it is to be reached by TLS, which this build of the tool doesn't have"),
        sqlx::Error::Database(_) => match &*code {
            "5" | "6" => (Exit::Unavailable, "somebody else has it locked"),
            "26" => (Exit::Unverified, "the file is no SQLite database, or a damaged one"),
            "3D000" => (Exit::Usage, "the server has no database of this name"),
            code if code.starts_with("28") => (Exit::Usage, "the server refuses this user, or the password"),
            code if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
                (Exit::Unavailable, "the server takes no connection now")
            }
            _ => (Exit::Usage, "it can't be opened"),
        },
        _ => (Exit::Usage, "it can't be opened"),
    };
    let kind = if exit == Exit::Unavailable { "database_unavailable" } else { "database_unusable" };
    Failure::new(exit, kind, format!("the application's database: {why}"))
}

const PATIENCE: Duration = Duration::from_secs(30);
