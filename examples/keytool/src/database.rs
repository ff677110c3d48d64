//! [`Database`]: the application's database, connected to, and what is told where that fails.

use std::sync::Arc;

use fieldseal::jobs::{Form, TableMap};
use fieldseal::rows::RowSource;
use fieldseal_sqlx::SqliteRows;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use crate::config::{DatabaseSpec, shown};
use crate::exit::{Exit, Failure};
use crate::open::{Tool, exists};
use crate::ports::Kind;

/// The application's database.
pub(crate) enum Database {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
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
                let pool = pool.map_err(|e| not_opened(&e))?;
                // What is no database is found out by the first look at it.
                let look = sqlx::query("SELECT 1 FROM sqlite_schema LIMIT 1").fetch_optional(&pool).await;
                look.map_err(|e| not_opened(&e))?;
                Ok(Database::Sqlite(pool))
            }
            #[cfg(feature = "postgres")]
            DatabaseSpec::Postgres(url) => {
                Ok(Database::Postgres(postgres::connect(url, self.config.folder(), connections).await?))
            }
        }
    }
}

impl Database {
    /// A table's rows, guarded where they are somewhere else; that it is there, with the columns of its map, is looked at.
    pub(crate) async fn rows(&self, map: &TableMap) -> Result<Arc<dyn RowSource>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => Arc::new(SqliteRows::new(pool.clone(), map.table()).await?),
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => postgres::rows(pool, map).await?,
        })
    }

    /// The columns of a table's map that aren't there.
    pub(crate) async fn missing_columns(&self, map: &TableMap) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => SqliteRows::missing_columns(pool, &map.table()).await?,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => postgres::missing_columns(pool, map).await?,
        })
    }

    /// Adds columns; gives those that weren't there.
    pub(crate) async fn add_columns(&self, table: &str, columns: &[(String, Form)]) -> Result<Vec<String>, Failure> {
        Ok(match self {
            Self::Sqlite(pool) => SqliteRows::add_columns(pool, table, columns).await?,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => postgres::add_columns(pool, table, columns).await?,
        })
    }
}

/// What is told of an SQLite database that can't be opened.
fn not_opened(e: &sqlx::Error) -> Failure {
    let code = e.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
    let (kind, why) = match (e, &*code) {
        (_, "5" | "6") => (Kind::Unavailable, "somebody else has it locked"),
        (_, "26") => (Kind::Damaged, "the file is no SQLite database, or a damaged one"),
        (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut, _) => (Kind::Unavailable, "it doesn't answer"),
        _ => (Kind::Usage, "it can't be opened"),
    };
    unreachable(&kind, why)
}

fn unreachable(kind: &Kind, why: &str) -> Failure {
    let (exit, kind) = match kind {
        Kind::Unavailable => (Exit::Unavailable, "database_unavailable"),
        Kind::Damaged => (Exit::Unverified, "database_unusable"),
        _ => (Exit::Usage, "database_unusable"),
    };
    Failure::new(exit, kind, format!("the application's database: {why}"))
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::path::Path;
    use std::sync::{Arc, LazyLock};
    use std::time::Duration;

    use fieldseal::guard::{Guard, Guarded};
    use fieldseal::jobs::{Form, TableMap};
    use fieldseal::rows::{RowSource, RowsError, RowsErrorKind};
    use fieldseal_sqlx::PostgresRows;
    use sqlx::postgres::{PgConnectOptions, PgPool};

    use super::unreachable;
    use crate::exit::Failure;
    use crate::ports::postgres::{self as server, Refusal, refusal};

    pub(super) async fn connect(url: &str, folder: &Path, connections: u32) -> Result<PgPool, Failure> {
        let options: PgConnectOptions = url.parse().map_err(|e| not_opened(&e))?;
        let options = server::with_certificates(options, url, folder)?;
        server::pool(&options, connections).await.map_err(|e| not_opened(&e))
    }

    pub(super) async fn rows(pool: &PgPool, map: &TableMap) -> Result<Arc<dyn RowSource>, RowsError> {
        let rows = in_time(PostgresRows::new(pool.clone(), map.table())).await?;
        Ok(Arc::new(Guarded::new(rows, &GUARD)))
    }

    pub(super) async fn missing_columns(pool: &PgPool, map: &TableMap) -> Result<Vec<String>, RowsError> {
        in_time(PostgresRows::missing_columns(pool, &map.table())).await
    }

    pub(super) async fn add_columns(
        pool: &PgPool,
        table: &str,
        columns: &[(String, Form)],
    ) -> Result<Vec<String>, RowsError> {
        in_time(PostgresRows::add_columns(pool, table, columns)).await
    }

    /// As the ports are guarded: nobody waits but an operator.
    static GUARD: LazyLock<Guard> = LazyLock::new(|| Guard::new().attempt_deadline(ATTEMPT).deadline(CALL));

    const ATTEMPT: Duration = Duration::from_secs(20);
    const CALL: Duration = Duration::from_secs(60);

    /// What no guard stands around, made once. Columns that were added unseen are there when it is run again.
    async fn in_time<T>(call: impl Future<Output = Result<T, RowsError>>) -> Result<T, RowsError> {
        tokio::time::timeout(CALL, call).await.unwrap_or_else(|_| {
            let hint =
                format!("no answer within {CALL:?}; what was to be changed may have been: run the command again");
            Err(RowsError::new(RowsErrorKind::Unavailable).with_hint(hint))
        })
    }

    fn not_opened(e: &sqlx::Error) -> Failure {
        let Refusal { kind, why } = refusal(e);
        unreachable(&kind, why)
    }
}
