//! Each port passes its whole suite, and a vault on all of them does its work.
#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod life;

use async_trait::async_trait;
use fieldseal::provider::MasterKeyProvider;
use fieldseal::rows::{Row, RowKey, RowSource};
use fieldseal_outside::{Escrow, MapJournal, MapRows, MapStore};
use fieldseal_testkit::provider::ProviderFixture;
use fieldseal_testkit::rows::{CellType, FixtureTable, RowsFixture};

async fn store() -> MapStore {
    MapStore::default()
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
fieldseal_testkit::journal_suite! { #[tokio::test] map_journal, journal }
fieldseal_testkit::provider_suite! { #[tokio::test] escrowed_keys, escrow }
fieldseal_testkit::rows_suite! { #[tokio::test] map_rows, tables }
