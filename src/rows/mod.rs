//! An application's rows, as cells: the port [`RowSource`], which bulk work goes through, and its adapters.
//!
//! Imports `error` and `bytes`; knows no other port, and nothing of what the cells hold.

mod cell;
mod memory;

use std::fmt::{self, Debug};

use async_trait::async_trait;
use auto_impl::auto_impl;

pub use crate::error::{RowsError, RowsErrorKind};
pub use cell::{Cell, RowKey};
pub use memory::MemoryRows;

/// One table of an application, or whatever else keeps its records: read page by page in the order of a key, changed by
/// compare-and-swap.
///
/// The application reads and writes the same rows meanwhile. What it writes is never overwritten: a [`Swap`] that expects
/// something else than what stands there changes nothing. An implementation passes `fieldseal_testkit::rows_suite!`.
#[async_trait]
#[auto_impl(&, Arc, Box)]
pub trait RowSource: Debug + Send + Sync {
    /// The names of the columns of a row, in the order of [`Row::cells`].
    fn columns(&self) -> &[String];

    /// Reads rows in the order of their keys, each as it is at one moment. A row that is there from before the first page
    /// is asked for until after the last one is read; whether one is that comes or goes meanwhile is left open. A page that
    /// has fewer rows than asked for is the last one.
    ///
    /// A row that can't be read fails no page: [`Row::unreadable`] stands in its place. So does one for each row that no key
    /// names, because a column of its key is NULL. These come last, and only as many of them as the last page has room for.
    ///
    /// # Errors
    /// [`RowsError`] if the table can't be reached, or isn't as it was said to be.
    ///
    /// # Cancel safety
    /// Reads only.
    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError>;

    /// Reads single rows again: one answer a key, in the order asked; `None` for a row that is gone.
    ///
    /// # Errors
    /// Those of [`page`](Self::page).
    ///
    /// # Cancel safety
    /// Reads only.
    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError>;

    /// Changes cells, each row's for itself: all that a [`Swap`] names if all of them stand as it expects, else none. Tells
    /// which rows were changed, in the order asked; several swaps of one row come one after another, in that order. Durable
    /// when it returns. The rows of one call may share a transaction, which holds no lock when the call is over.
    ///
    /// # Errors
    /// [`RowsError`] of kind `Unavailable` or `Throttled`: some of the rows may have been changed. Otherwise none was.
    ///
    /// # Cancel safety
    /// A call that is dropped may have changed some of the rows.
    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError>;

    /// About how many rows there are: for a progress bar.
    ///
    /// # Errors
    /// Those of [`page`](Self::page).
    ///
    /// # Cancel safety
    /// Reads only.
    async fn count(&self) -> Result<u64, RowsError>;
}

/// What a source of rows is made for: a table, the columns that name a row, and those that are wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// Its name as the database knows it, without quotes: `customer`, `sales.customer`.
    pub name: String,
    /// The columns that name a row, as the primary key does: no two rows share them, and one in which any is NULL has no name.
    pub key: Vec<String>,
    /// The columns to read and to change.
    pub columns: Vec<String>,
}

impl Table {
    /// A table, the columns that name a row, and the columns that are wanted of it.
    pub fn new<K, C>(name: impl Into<String>, key: K, columns: C) -> Self
    where
        K: IntoIterator<Item: Into<String>>,
        C: IntoIterator<Item: Into<String>>,
    {
        let all = |names: &mut dyn Iterator<Item = String>| names.collect();
        Self {
            name: name.into(),
            key: all(&mut key.into_iter().map(Into::into)),
            columns: all(&mut columns.into_iter().map(Into::into)),
        }
    }
}

/// Which rows are read.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Page {
    after: Option<RowKey>,
    limit: usize,
    only: Option<(String, Cell)>,
}

impl Page {
    /// The most rows of one page.
    pub const MAX_LIMIT: usize = 10_000;

    /// The first `limit` rows; at least 1, at most [`MAX_LIMIT`](Self::MAX_LIMIT).
    pub fn first(limit: usize) -> Self {
        Self { after: None, limit: limit.clamp(1, Self::MAX_LIMIT), only: None }
    }

    /// Only those after this one, which need not be there any more.
    pub fn starting_after(mut self, key: RowKey) -> Self {
        self.after = Some(key);
        self
    }

    /// Only those of which this column holds this. Without an index on the column the whole table is searched.
    pub fn only(mut self, column: impl Into<String>, cell: Cell) -> Self {
        self.only = Some((column.into(), cell));
        self
    }

    /// The most rows of it.
    pub fn page_size(&self) -> usize {
        self.limit
    }

    /// The key after which the page begins; `None` for the first page.
    pub fn cursor(&self) -> Option<&RowKey> {
        self.after.as_ref()
    }

    /// The column, and what it holds in every row that is asked for; `None` where all rows are.
    pub fn only_where(&self) -> Option<(&str, &Cell)> {
        self.only.as_ref().map(|(column, cell)| (column.as_str(), cell))
    }
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "adapters make them")]
pub struct Row {
    /// What names it.
    pub key: RowKey,
    /// Its cells, in the order of [`RowSource::columns`]; none where it is [`unreadable`](Self::unreadable).
    pub cells: Vec<Cell>,
}

impl Row {
    /// In the place of a row that is there and can't be worked on: the source can't read what it holds, or its key is NULL. Whoever
    /// goes on behind it, or tells of it, has its key for that alone.
    pub fn unreadable(key: RowKey) -> Self {
        Self { key, cells: Vec::new() }
    }

    /// Whether it stands in the place of such a row.
    pub fn is_unreadable(&self) -> bool {
        self.cells.is_empty()
    }
}

/// Cells of one row that change together, or not at all.
#[derive(Clone, PartialEq)]
#[must_use]
pub struct Swap {
    pub(crate) key: RowKey,
    pub(crate) cells: Vec<CellSwap>,
}

/// What one cell must hold, and what it becomes.
#[derive(Clone, PartialEq)]
pub(crate) struct CellSwap {
    /// Where its column stands among [`RowSource::columns`].
    pub(crate) column: usize,
    pub(crate) expected: Cell,
    /// None where the cell stays as it is.
    pub(crate) new: Option<Cell>,
}

impl Swap {
    /// Nothing yet, of this row.
    pub fn of(key: RowKey) -> Self {
        Self { key, cells: Vec::new() }
    }

    /// This cell (the place of its column among [`RowSource::columns`]) becomes `new` if it is `expected`.
    pub fn cell(mut self, column: usize, expected: Cell, new: Cell) -> Self {
        self.cells.push(CellSwap { column, expected, new: Some(new) });
        self
    }

    /// This cell stays; if it isn't `expected`, nothing of the row changes.
    pub fn guard(mut self, column: usize, expected: Cell) -> Self {
        self.cells.push(CellSwap { column, expected, new: None });
        self
    }

    /// The row's key.
    pub fn key(&self) -> &RowKey {
        &self.key
    }

    /// For each cell: its column's place, what it must hold, and what it becomes, if it changes.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = (usize, &Cell, Option<&Cell>)> {
        self.cells.iter().map(|cell| (cell.column, &cell.expected, cell.new.as_ref()))
    }

    /// Refuses one that changes nothing, or names a column past the `columns` that the source has: for sources, which call
    /// it on every swap before they change anything.
    ///
    /// # Errors
    /// [`RowsErrorKind::Misconfigured`]
    pub fn check(&self, columns: usize) -> Result<(), RowsError> {
        if self.cells.iter().all(|cell| cell.new.is_none()) {
            return Err(RowsError::misconfigured("a swap that changes nothing"));
        }
        if self.cells.iter().any(|cell| cell.column >= columns) {
            return Err(RowsError::misconfigured("a swap of a column that the source has not"));
        }
        Ok(())
    }
}

/// Opaque: cells may hold plaintext.
impl fmt::Debug for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Swap({} cells)", self.cells.len())
    }
}
