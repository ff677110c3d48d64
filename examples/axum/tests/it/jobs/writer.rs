//! How long a job holds an SQLite database: for one batch at a time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum_example::database::{Customer, Sqlite};
use fieldseal::Record as _;
use fieldseal::jobs::{JobOptions, reseal};
use fieldseal::rows::{Page, Row, RowKey, RowSource, RowsError, Swap};
use sqlx::SqlitePool;

use super::engine::Engine;
use super::{CUSTOMERS, Site, Traffic, map};

/// A writer that doesn't wait finds the database free before and after each transaction of a job.
#[derive(Debug)]
struct Impatient {
    rows: Arc<dyn RowSource>,
    writer: SqlitePool,
    batch: usize,
}

impl Impatient {
    async fn write(&self) {
        sqlx::query("UPDATE written SET times = times + 1").execute(&self.writer).await.unwrap();
    }
}

#[async_trait]
impl RowSource for Impatient {
    fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let rows = self.rows.page(page).await;
        self.write().await;
        rows
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        self.rows.load(keys).await
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        assert!(swaps.len() <= self.batch);
        self.write().await;
        let swapped = self.rows.swap(swaps).await;
        self.write().await;
        swapped
    }

    async fn count(&self) -> Result<u64, RowsError> {
        self.rows.count().await
    }
}

pub(crate) async fn between_two_batches_the_database_is_free(database: Sqlite) {
    let site = Site::new().await;
    let traffic = Traffic::to(site.serve(database.clone()).await);
    traffic.create_all(CUSTOMERS).await;
    let (vault, map) = (site.vault().await, map::<Sqlite>());
    for person in traffic.people() {
        vault
            .default_tenant()
            .rotate_now(&Customer::<uuid::Uuid>::subject_of(&Sqlite::id_of(&person.id)).unwrap())
            .await
            .unwrap();
    }
    database.execute("CREATE TABLE written (times INTEGER); INSERT INTO written VALUES (0)").await;
    let options = database.0.connect_options().as_ref().clone().busy_timeout(Duration::ZERO);
    let writer = SqlitePool::connect_with(options).await.unwrap();
    let source = Impatient { rows: database.rows(&map).await, writer, batch: 20 };
    let tally = reseal(&vault, &map, &source, &JobOptions::new().batch(20).workers(1), &mut ()).await.unwrap();
    assert_eq!(tally.rows_changed, CUSTOMERS as u64);
    assert_eq!(database.count("SELECT times FROM written").await, 11 + 2 * 10);
    traffic.check_all().await;
}
