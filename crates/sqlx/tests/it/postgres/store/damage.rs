//! A store whose rows are damaged past it.

use async_trait::async_trait;
use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer};
use fieldseal::store::SlotId;
use fieldseal_sqlx::PostgresStore;
use fieldseal_testkit::damage::{Damage, Part};
use futures_util::future::BoxFuture;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;

/// The store, and a way into its tables.
#[derive(Debug)]
pub(super) struct Damageable<P> {
    pub(super) inner: P,
    pub(super) pool: PgPool,
}

impl<P: Sync> Layer for Damageable<P> {
    async fn around<'a, T, K>(
        &'a self,
        _: Call<'a>,
        work: impl Fn(Attempt) -> BoxFuture<'a, Result<T, PortError<K>>> + Send + Sync + 'a,
    ) -> Result<T, PortError<K>>
    where
        T: Send + 'a,
        K: PortErrorKind,
    {
        work(Attempt::First).await
    }
}

fieldseal::layered! { Damageable: store }

#[async_trait]
impl Damage for Damageable<PostgresStore> {
    fn parts(&self) -> &'static [Part] {
        use Part::{Column, Gone};
        &[Column("state"), Column("epoch"), Column("due"), Column("tenant"), Gone("epoch"), Gone("due")]
    }

    async fn change(&self, id: &SlotId, part: Part, bit: usize) {
        match part {
            Part::Bytes => self.flip("bytes", id, bit).await,
            Part::Column("tenant") => self.flip("tenant", id, bit).await,
            Part::Column(name) => {
                let new = format!("coalesce({name}, 0)::bigint # (1::bigint << {bit})");
                self.set(&format!("{name} = {new}"), &[], id).await;
            }
            Part::Gone(name) => self.set(&format!("{name} = NULL"), &[], id).await,
        }
    }

    async fn rename(&self, id: &SlotId, to: &[u8]) {
        self.set("id = $2", to, id).await;
    }
}

impl Damageable<PostgresStore> {
    async fn flip(&self, column: &str, id: &SlotId, bit: usize) {
        let sql = format!("SELECT {column} FROM fieldseal.key_slots WHERE id = $1");
        let query = sqlx::query_scalar::<_, Vec<u8>>(AssertSqlSafe(sql)).persistent(false);
        let mut bytes = query.bind(id.to_bytes()).fetch_one(&self.pool).await.unwrap();
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        self.set(&format!("{column} = $2"), &bytes, id).await;
    }

    async fn set(&self, what: &str, to: &[u8], id: &SlotId) {
        let sql = format!("UPDATE fieldseal.key_slots SET {what} WHERE id = $1 AND $2::bytea IS NOT NULL");
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false).bind(id.to_bytes()).bind(to);
        assert_eq!(query.execute(&self.pool).await.unwrap().rows_affected(), 1, "{what}");
    }
}
