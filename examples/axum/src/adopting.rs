//! The customers' table while it is adopted: columns in the clear get sealed ones beside them, and give way to them.
//! `docs/jobs.md` has the steps; here is the application's part in them.
//!
//! The service is the same all the while: it gets sealed values, and gives sealed values. `HalfSealed::sealed` decides which
//! of two columns counts, [`Stage`] decides what is written. When the plaintext is dropped and the sealed columns have taken
//! its names, the table is that of [`database`].

use std::path::Path;

use fieldseal::id::ToId;
use fieldseal::vault::KeyPage;
use fieldseal::{Error, Record as _, Sealed, Tenant};
use sqlx::{FromRow, SqlitePool};

use crate::database::{self, Customer, CustomerPlain, Database, Postgres, Sqlite};

/// Which version of the application it is: what it writes. Both read the plaintext if there is one, else what is sealed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "an application's own type")]
pub enum Stage {
    /// Both, in one statement. Deployed before the backfill.
    Both,
    /// What is sealed, and NULL for the plaintext. Deployed before the contract.
    Sealed,
}

/// The table in a database, while it is adopted.
#[derive(Clone, Debug)]
pub struct Adopting<D> {
    database: D,
    customers: Tenant,
    stage: Stage,
}

/// A customer as stored meanwhile.
#[derive(FromRow)]
struct HalfSealed<I> {
    id: I,
    name: Option<String>,
    name_sealed: Option<Sealed<String>>,
    email: Option<String>,
    email_sealed: Option<Sealed<String>>,
    phone: Option<String>,
    phone_sealed: Option<Sealed<String>>,
}

impl<I: ToId + Clone> HalfSealed<I> {
    /// While there is a plaintext, it is what counts: an older version of the application may have changed it alone.
    fn sealed(self, keys: &KeyPage) -> fieldseal::Result<Customer<I>> {
        let place = || keys.get(&Customer::<I>::subject_of(&self.id)?)?.record_ref::<Customer<I>>(&self.id);
        let name = match self.name {
            Some(plain) => Some(place()?.seal(Customer::NAME, plain)?),
            None => self.name_sealed,
        };
        let email = match self.email {
            Some(plain) => Some(place()?.seal(Customer::EMAIL, plain)?),
            None => self.email_sealed,
        };
        let phone = match self.phone {
            Some(plain) => place()?.seal(Customer::PHONE, Some(plain.into()))?,
            None => self.phone_sealed,
        };
        let (name, email) = (name.ok_or(Error::Malformed)?, email.ok_or(Error::Malformed)?);
        Ok(Customer { id: self.id, name, email, phone })
    }

    fn is_in_clear(&self) -> bool {
        [&self.name, &self.email, &self.phone].into_iter().any(Option::is_some)
    }
}

impl<D: Database> Adopting<D> {
    /// Over a table that has its sealed columns: `name_sealed` beside `name`, and so on.
    pub fn new(database: D, customers: &Tenant, stage: Stage) -> Self {
        Self { database, customers: customers.clone(), stage }
    }

    /// Rows as the service knows them, each for itself: of somebody erased, plaintext may still stand there.
    async fn sealed(
        &self,
        rows: Vec<HalfSealed<D::Id>>,
    ) -> sqlx::Result<impl Iterator<Item = fieldseal::Result<Customer<D::Id>>> + use<D>> {
        // Whoever is in the clear may have no keys yet.
        let in_clear = rows.iter().filter(|row| row.is_in_clear()).map(|row| Customer::<D::Id>::subject_of(&row.id));
        let in_clear = in_clear.collect::<Result<Vec<_>, _>>().map_err(ours)?;
        let keys = self.customers.enroll_all(&in_clear).await.map_err(ours)?;
        Ok(rows.into_iter().map(move |row| row.sealed(&keys)))
    }

    /// What this version writes to the plaintext columns.
    async fn in_clear(&self, row: &Customer<D::Id>) -> sqlx::Result<Option<CustomerPlain<D::Id>>> {
        match self.stage {
            Stage::Both => {
                let keys = self.customers.keys(row).await.map_err(ours)?;
                row.open(&keys).map(Some).map_err(ours)
            }
            Stage::Sealed => Ok(None),
        }
    }
}

impl Adopting<Sqlite> {
    /// With such a table, as it is after the first step (expand).
    ///
    /// # Errors
    /// Those of sqlx.
    pub async fn sqlite(path: &Path, customers: &Tenant, stage: Stage) -> sqlx::Result<Self> {
        let pool = SqlitePool::connect_with(database::options(path)).await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS customer (
                id BLOB PRIMARY KEY, name TEXT, email TEXT, phone TEXT, name_sealed BLOB, email_sealed BLOB, phone_sealed BLOB
            )",
        )
        .execute(&pool)
        .await?;
        Ok(Self::new(Sqlite(pool), customers, stage))
    }
}

macro_rules! select {
    () => {
        "SELECT id, name, name_sealed, email, email_sealed, phone, phone_sealed FROM customer"
    };
}

macro_rules! queries {
    () => {
        async fn insert(&self, row: &Customer<Self::Id>) -> sqlx::Result<()> {
            let (name, email, phone) = match self.in_clear(row).await? {
                Some(plain) => (Some(plain.name), Some(plain.email), plain.phone),
                None => (None, None, None),
            };
            sqlx::query(
                "INSERT INTO customer (id, name, name_sealed, email, email_sealed, phone, phone_sealed)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(row.id)
            .bind(name.map(|plain| plain.into_inner()))
            .bind(&row.name)
            .bind(email.map(|plain| plain.into_inner()))
            .bind(&row.email)
            .bind(phone.map(|plain| plain.into_inner()))
            .bind(&row.phone)
            .execute(&self.database.0)
            .await?;
            Ok(())
        }

        async fn select(&self, id: &Self::Id) -> sqlx::Result<Option<Customer<Self::Id>>> {
            let row = sqlx::query_as(concat!(select!(), " WHERE id = $1")).bind(*id);
            let row = row.fetch_all(&self.database.0).await?;
            self.sealed(row).await?.next().transpose().map_err(ours)
        }

        async fn select_email(&self, id: &Self::Id) -> sqlx::Result<Option<Sealed<String>>> {
            Ok(self.select(id).await?.map(|row| row.email))
        }

        async fn page(&self, limit: i64) -> sqlx::Result<Vec<Customer<Self::Id>>> {
            let rows = sqlx::query_as(concat!(select!(), " ORDER BY id LIMIT $1")).bind(limit);
            let rows = self.sealed(rows.fetch_all(&self.database.0).await?).await?;
            let is_listed =
                |row: &Result<_, _>| !matches!(row, Err(Error::SubjectErased { .. } | Error::SubjectClosed { .. }));
            rows.filter(is_listed).collect::<Result<_, _>>().map_err(ours)
        }

        async fn swap_phone(
            &self,
            id: &Self::Id,
            old: Option<&Sealed<String>>,
            new: Option<&Sealed<String>>,
        ) -> sqlx::Result<bool> {
            let keys = self.customers.keys(&Customer::<Self::Id>::subject_of(id).map_err(ours)?).await.map_err(ours)?;
            let open = |phone: Option<&Sealed<String>>| {
                let plain = keys.record_ref::<Customer<Self::Id>>(id)?.open(Customer::PHONE, &phone.cloned())?;
                Ok(plain.map(|plain| plain.into_inner()))
            };
            let (is, becomes) = (open(old).map_err(ours)?, open(new).map_err(ours)?);
            let becomes = match self.stage {
                Stage::Both => becomes,
                Stage::Sealed => None,
            };
            // A plaintext is compared as such: what was sealed of it for the service stands nowhere.
            let swapped = sqlx::query(
                "UPDATE customer SET phone = $2, phone_sealed = $3 WHERE id = $1
                 AND (phone = $4 OR phone IS NULL AND phone_sealed IS NOT DISTINCT FROM $5)",
            )
            .bind(*id)
            .bind(becomes)
            .bind(new)
            .bind(is)
            .bind(old)
            .execute(&self.database.0)
            .await?;
            Ok(swapped.rows_affected() == 1)
        }

        async fn next_id(&self) -> sqlx::Result<Self::Id> {
            self.database.next_id().await
        }
    };
}

impl Database for Adopting<Sqlite> {
    type Id = <Sqlite as Database>::Id;

    queries!();
}

impl Database for Adopting<Postgres> {
    type Id = <Postgres as Database>::Id;

    queries!();
}

/// On its way to whoever knows what it means for a request.
fn ours(e: Error) -> sqlx::Error {
    sqlx::Error::Decode(e.into())
}
