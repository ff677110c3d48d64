//! [`MapRows`]: a source of rows.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsError, Swap};

use crate::locked;

/// A table in a map. `Clone` shares it.
#[derive(Clone)]
pub struct MapRows {
    columns: Arc<[String]>,
    rows: Arc<Mutex<BTreeMap<RowKey, Vec<Cell>>>>,
}

impl MapRows {
    /// An empty table of these columns.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Arc::default() }
    }

    /// Puts a row, over one of the same key, as an application does.
    pub fn put(&self, row: &Row) {
        locked(&self.rows).insert(row.key.clone(), row.cells.clone());
    }

    /// Deletes a row, as an application does; true if it was there.
    pub fn delete(&self, key: &RowKey) -> bool {
        locked(&self.rows).remove(key).is_some()
    }

    fn column(&self, name: &str) -> Result<usize, RowsError> {
        let missing = || RowsError::misconfigured(format!("there is no column {name:?}"));
        self.columns.iter().position(|column| column == name).ok_or_else(missing)
    }
}

#[async_trait]
impl RowSource for MapRows {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let wanted = page.only_where().map(|(name, cell)| Ok((self.column(name)?, cell))).transpose()?;
        let begin = page.cursor().map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        let rows = locked(&self.rows);
        let found = rows
            .range((begin, Bound::Unbounded))
            .filter(|(_, cells)| wanted.is_none_or(|(at, cell)| cells.get(at) == Some(cell)));
        Ok(found.take(page.page_size()).map(|(key, cells)| Row { key: key.clone(), cells: cells.clone() }).collect())
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        let rows = locked(&self.rows);
        let load = |key: &RowKey| Some(Row { key: key.clone(), cells: rows.get(key)?.clone() });
        Ok(keys.iter().map(load).collect())
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        swaps.iter().try_for_each(|swap| swap.check(self.columns.len()))?;
        let mut rows = locked(&self.rows);
        let mut swap = |swap: &Swap| {
            let Some(cells) = rows.get_mut(swap.key()) else { return false };
            if swap.cells().any(|(at, expected, _)| cells.get(at) != Some(expected)) {
                return false;
            }
            for (at, _, new) in swap.cells() {
                if let (Some(cell), Some(new)) = (cells.get_mut(at), new) {
                    cell.clone_from(new);
                }
            }
            true
        };
        Ok(swaps.iter().map(&mut swap).collect())
    }

    async fn count(&self) -> Result<u64, RowsError> {
        Ok(locked(&self.rows).len() as u64)
    }
}

impl fmt::Debug for MapRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapRows").field("columns", &self.columns).finish_non_exhaustive()
    }
}
