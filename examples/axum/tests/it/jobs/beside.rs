//! A source of rows that has clients at work between what a job reads and what it writes.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsError, Swap};

use super::BATCH;
use super::traffic::Traffic;

/// A page is handed over stale: after it was read, one of its rows was changed, and the clients were answered so many times
/// more.
#[derive(Debug)]
pub(crate) struct Beside {
    rows: Arc<dyn RowSource>,
    traffic: Arc<Traffic>,
    /// The column that clients change.
    phone: usize,
    seen: Mutex<Seen>,
}

/// What a job asked of its source.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pages: u64,
    /// Answers to the clients when the first page was asked for, and when the last one was handed over.
    asked: Option<(u64, u64)>,
    /// And when the first row was changed, and the last.
    changed: Option<(u64, u64)>,
    /// Rows that somebody else had changed.
    pub(crate) refused: u64,
}

impl Beside {
    /// `phone` is the name of the column that clients change.
    pub(crate) fn new(rows: Arc<dyn RowSource>, traffic: &Arc<Traffic>, phone: &str) -> Self {
        let phone = rows.columns().iter().position(|column| column == phone).unwrap();
        Self { rows, traffic: Arc::clone(traffic), phone, seen: Mutex::default() }
    }

    /// Checks that the job was at work while the clients were answered; changing rows, if it is one that does.
    pub(crate) fn check(&self, changes: bool) -> Seen {
        let seen = *self.seen.lock().unwrap();
        let between = |span: Option<(u64, u64)>| span.map_or(0, |(first, last)| last - first);
        assert!(seen.pages >= 8 && between(seen.asked) >= 8 * ANSWERS, "{seen:?}");
        assert_eq!(changes, seen.changed.is_some());
        assert!(!changes || between(seen.changed) >= 5 * ANSWERS, "{seen:?}");
        seen
    }
}

#[async_trait]
impl RowSource for Beside {
    fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let asked = self.traffic.answered();
        let rows = self.rows.page(page).await?;
        let has_phone = rows.iter().filter(|row| !row.cells[self.phone].is_null());
        let person = has_phone.map(|row| id(&row.key)).find_map(|id| self.traffic.person(&id));
        if let Some(person) = person {
            self.traffic.change(&person).await;
        }
        self.traffic.more(ANSWERS).await;
        let mut seen = self.seen.lock().unwrap();
        seen.pages += 1;
        seen.asked = Some((seen.asked.map_or(asked, |(first, _)| first), self.traffic.answered()));
        Ok(rows)
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        self.rows.load(keys).await
    }

    /// One transaction: of no more rows than a batch has.
    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        assert!(swaps.len() <= BATCH);
        let swapped = self.rows.swap(swaps).await?;
        let now = self.traffic.answered();
        let mut seen = self.seen.lock().unwrap();
        if swapped.contains(&true) {
            seen.changed = Some((seen.changed.map_or(now, |(first, _)| first), now));
        }
        seen.refused += swapped.iter().filter(|swapped| !**swapped).count() as u64;
        Ok(swapped)
    }

    async fn count(&self) -> Result<u64, RowsError> {
        self.rows.count().await
    }
}

/// A customer's id, as clients have it.
fn id(key: &RowKey) -> String {
    match &key.cells()[0] {
        Cell::Integer(id) => id.to_string(),
        Cell::Bytes(id) => uuid::Uuid::from_slice(id).unwrap().to_string(),
        other => panic!("{other:?} is no id"),
    }
}

/// Between what is read and what is written.
const ANSWERS: u64 = 20;
