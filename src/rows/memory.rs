//! [`MemoryRows`]: rows in this process's memory, for tests of bulk work and of what is built on it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Cell, Page, Row, RowKey, RowSource, RowsError, Swap};

/// Rows in memory. `Clone` shares them.
#[derive(Clone, Debug)]
pub struct MemoryRows {
    columns: Arc<[String]>,
    rows: Arc<Mutex<BTreeMap<RowKey, Vec<Cell>>>>,
}

impl MemoryRows {
    /// No rows, of these columns.
    pub fn new<C: IntoIterator<Item: Into<String>>>(columns: C) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Arc::default() }
    }

    /// Puts a row, over one of the same key, as an application does.
    ///
    /// # Errors
    /// [`RowsError`] if it has not as many cells as there are columns.
    pub fn put(&self, key: RowKey, cells: Vec<Cell>) -> Result<(), RowsError> {
        if cells.len() != self.columns.len() {
            return Err(RowsError::misconfigured("a row has as many cells as there are columns"));
        }
        self.lock().insert(key, cells);
        Ok(())
    }

    /// Puts a row that can't be read, over one of the same key.
    pub fn put_unreadable(&self, key: RowKey) {
        let Row { key, cells } = Row::unreadable(key);
        self.lock().insert(key, cells);
    }

    /// Deletes a row, as an application does; true if it was there.
    pub fn delete(&self, key: &RowKey) -> bool {
        self.lock().remove(key).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RowKey, Vec<Cell>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RowSource for MemoryRows {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let only = match &page.only {
            None => None,
            Some((column, cell)) => match self.columns.iter().position(|c| c == column) {
                Some(at) => Some((at, cell)),
                None => return Err(RowsError::no_column(column)),
            },
        };
        let rows = self.lock();
        let behind = rows.iter().filter(|(key, _)| page.after.as_ref().is_none_or(|after| *key > after));
        let wanted = behind.filter(|(_, cells)| only.is_none_or(|(at, cell)| cells.get(at) == Some(cell)));
        Ok(wanted.take(page.limit).map(|(key, cells)| Row { key: key.clone(), cells: cells.clone() }).collect())
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        let rows = self.lock();
        let load = |key: &RowKey| rows.get(key).map(|cells| Row { key: key.clone(), cells: cells.clone() });
        Ok(keys.iter().map(load).collect())
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        swaps.iter().try_for_each(|swap| swap.check(self.columns.len()))?;
        let mut rows = self.lock();
        let mut swap = |swap: &Swap| {
            let Some(cells) = rows.get_mut(swap.key()) else { return false };
            if swap.cells().any(|(at, expected, _)| cells.get(at) != Some(expected)) {
                return false;
            }
            for (at, _, new) in swap.cells() {
                if let (Some(cell), Some(new)) = (cells.get_mut(at), new) {
                    *cell = new.clone();
                }
            }
            true
        };
        Ok(swaps.iter().map(&mut swap).collect())
    }

    async fn count(&self) -> Result<u64, RowsError> {
        Ok(self.lock().len() as u64)
    }
}
