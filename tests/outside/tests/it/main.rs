//! Each port passes its whole suite, and a vault on all of them does its work.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod life;

use std::fmt;
use std::pin::Pin;

use async_trait::async_trait;
use fieldseal::error::{PortError, PortErrorKind};
use fieldseal::layer::{Attempt, Call, Layer};
use fieldseal::provider::MasterKeyProvider;
use fieldseal::rows::{Row, RowKey, RowSource};
use fieldseal::store::SlotId;
use fieldseal_outside::{Escrow, MapJournal, MapRows, MapStore};
use fieldseal_testkit::damage::{Damage, Part};
use fieldseal_testkit::provider::ProviderFixture;
use fieldseal_testkit::rows::{CellType, FixtureTable, RowsFixture};

async fn store() -> MapStore {
    MapStore::default()
}

/// A store whose rows are damaged past it.
struct Damageable<P> {
    inner: P,
}

impl<P> fmt::Debug for Damageable<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Damageable(..)")
    }
}

impl<P: Sync> Layer for Damageable<P> {
    async fn around<'a, T, K>(
        &'a self,
        _: Call<'a>,
        work: impl Fn(Attempt) -> Pin<Box<dyn Future<Output = Result<T, PortError<K>>> + Send + 'a>> + Send + Sync + 'a,
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
impl Damage for Damageable<MapStore> {
    fn parts(&self) -> &'static [Part] {
        use Part::{Column, Gone};
        &[Column("state"), Column("epoch"), Column("due"), Gone("state"), Gone("epoch"), Gone("due")]
    }

    async fn change(&self, id: &SlotId, part: Part, bit: usize) {
        self.inner.change(id, |bytes, columns| match part {
            Part::Bytes => bytes[bit / 8] ^= 1 << (bit % 8),
            Part::Column(name) | Part::Gone(name) => {
                let column = match name {
                    "state" => &mut columns.state,
                    "epoch" => &mut columns.epoch,
                    _ => &mut columns.due,
                };
                *column = matches!(part, Part::Column(_)).then(|| column.unwrap_or_default() ^ (1 << bit));
            }
        });
    }

    async fn rename(&self, id: &SlotId, to: &[u8]) {
        self.inner.rename(id, to);
    }
}

async fn damageable() -> Damageable<MapStore> {
    Damageable { inner: MapStore::default() }
}

async fn journal() -> MapJournal {
    MapJournal::new().unwrap()
}

/// An escrow, and its operator.
struct Operated(Escrow);

#[async_trait]
impl ProviderFixture for Operated {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        self.0.rotate().unwrap();
    }
}

async fn escrow() -> Operated {
    Operated(Escrow::new().unwrap())
}

#[derive(Debug)]
struct Tables;

#[async_trait]
impl RowsFixture for Tables {
    fn types(&self) -> &[CellType] {
        &[CellType::Bool, CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, _: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        Box::new(Table(MapRows::new(columns.iter().map(|(name, _)| *name))))
    }
}

#[derive(Debug)]
struct Table(MapRows);

#[async_trait]
impl FixtureTable for Table {
    fn rows(&self) -> &dyn RowSource {
        &self.0
    }

    async fn put(&self, row: &Row) {
        self.0.put(row);
    }

    async fn delete(&self, key: &RowKey) {
        assert!(self.0.delete(key));
    }
}

async fn tables() -> Tables {
    Tables
}

fieldseal_testkit::store_suite! { #[tokio::test] map_store, store }
fieldseal_testkit::damaged_store_suite! { #[tokio::test] damaged_map_store, damageable }
fieldseal_testkit::journal_suite! { #[tokio::test] map_journal, journal }
fieldseal_testkit::provider_suite! { #[tokio::test] escrowed_keys, escrow }
fieldseal_testkit::rows_suite! { #[tokio::test] map_rows, tables }
