//! The customer's row, and its queries on SQLite and PostgreSQL.

use std::future::Future;
use std::path::Path;

use fieldseal::id::ToId;
use fieldseal::{Record, Sealed};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{FromRow, PgPool, SqlitePool};
use uuid::Uuid;

/// A customer as stored; `I` is what the database names one by.
#[derive(Record, FromRow, Debug)]
#[record(schema = "customer")]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Customer<I: ToId + Clone> {
    /// The row's, and the person's.
    #[record(id, subject = "customer")]
    pub id: I,
    /// Padded: how long it is would say something of it.
    #[record(pad = 32)]
    pub name: Sealed<String>,
    /// Of any length.
    pub email: Sealed<String>,
    /// Not everybody has one.
    pub phone: Option<Sealed<String>>,
}

/// What the service asks of a database.
pub trait Database: Clone + Send + Sync + 'static {
    /// What it names a customer by.
    type Id: ToId + Clone + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The id of a row that is not there yet: what is sealed is bound to it.
    fn next_id(&self) -> impl Future<Output = sqlx::Result<Self::Id>> + Send;
    /// Stores a new customer.
    fn insert(&self, row: &Customer<Self::Id>) -> impl Future<Output = sqlx::Result<()>> + Send;
    /// A whole row.
    fn select(&self, id: &Self::Id) -> impl Future<Output = sqlx::Result<Option<Customer<Self::Id>>>> + Send;
    /// A single column.
    fn select_email(&self, id: &Self::Id) -> impl Future<Output = sqlx::Result<Option<Sealed<String>>>> + Send;
    /// The first so many rows.
    fn page(&self, limit: i64) -> impl Future<Output = sqlx::Result<Vec<Customer<Self::Id>>>> + Send;

    /// Replaces the phone if it still is `old`; false if it isn't.
    fn swap_phone(
        &self,
        id: &Self::Id,
        old: Option<&Sealed<String>>,
        new: Option<&Sealed<String>>,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;
}

/// SQLite numbers a row when it is inserted, which is too late: the application makes UUIDs.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Sqlite(pub SqlitePool);

impl Sqlite {
    /// Makes the table if it isn't there.
    ///
    /// # Errors
    /// Those of sqlx.
    pub async fn open(path: &Path) -> sqlx::Result<Self> {
        let pool = SqlitePool::connect_with(options(path)).await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS customer (id BLOB PRIMARY KEY, name BLOB NOT NULL, email BLOB NOT NULL, phone BLOB)",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }
}

/// In WAL mode readers and writers don't wait for each other.
pub(crate) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal)
}

/// PostgreSQL draws an id from a sequence before the row is inserted.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Postgres(pub PgPool);

impl Postgres {
    /// Makes the table if it isn't there.
    ///
    /// # Errors
    /// Those of sqlx.
    pub async fn open(pool: PgPool) -> sqlx::Result<Self> {
        sqlx::query("CREATE SEQUENCE IF NOT EXISTS customer_id").execute(&pool).await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS customer (id BIGINT PRIMARY KEY, name BYTEA NOT NULL, email BYTEA NOT NULL, phone BYTEA)",
        )
        .execute(&pool)
        .await?;
        Ok(Self(pool))
    }
}

macro_rules! queries {
    () => {
        async fn insert(&self, row: &Customer<Self::Id>) -> sqlx::Result<()> {
            sqlx::query("INSERT INTO customer (id, name, email, phone) VALUES ($1, $2, $3, $4)")
                .bind(row.id)
                .bind(&row.name)
                .bind(&row.email)
                .bind(&row.phone)
                .execute(&self.0)
                .await?;
            Ok(())
        }

        async fn select(&self, id: &Self::Id) -> sqlx::Result<Option<Customer<Self::Id>>> {
            sqlx::query_as("SELECT id, name, email, phone FROM customer WHERE id = $1")
                .bind(*id)
                .fetch_optional(&self.0)
                .await
        }

        async fn select_email(&self, id: &Self::Id) -> sqlx::Result<Option<Sealed<String>>> {
            sqlx::query_scalar("SELECT email FROM customer WHERE id = $1").bind(*id).fetch_optional(&self.0).await
        }

        async fn page(&self, limit: i64) -> sqlx::Result<Vec<Customer<Self::Id>>> {
            sqlx::query_as("SELECT id, name, email, phone FROM customer ORDER BY id LIMIT $1")
                .bind(limit)
                .fetch_all(&self.0)
                .await
        }

        async fn swap_phone(
            &self,
            id: &Self::Id,
            old: Option<&Sealed<String>>,
            new: Option<&Sealed<String>>,
        ) -> sqlx::Result<bool> {
            let swapped = sqlx::query("UPDATE customer SET phone = $3 WHERE id = $1 AND phone IS NOT DISTINCT FROM $2")
                .bind(*id)
                .bind(old)
                .bind(new)
                .execute(&self.0)
                .await?;
            Ok(swapped.rows_affected() == 1)
        }
    };
}

impl Database for Sqlite {
    type Id = Uuid;

    async fn next_id(&self) -> sqlx::Result<Uuid> {
        Ok(Uuid::new_v4())
    }

    queries!();
}

impl Database for Postgres {
    type Id = i64;

    async fn next_id(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar("SELECT nextval('customer_id')").fetch_one(&self.0).await
    }

    queries!();
}
