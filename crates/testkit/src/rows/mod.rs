//! What every [`RowSource`] must do: one async fn a rule, and the macro that makes a test of each.
//!
//! [`rows_suite!`](crate::rows_suite) runs the rules on the tables of one [`RowsFixture`]; [`RULES`] lists them for a test
//! harness that makes its tests at run time. A rule panics where it is broken.

mod read;
mod swap;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::pin::Pin;

use async_trait::async_trait;

pub use read::*;
pub use swap::*;

use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, Swap};

/// Makes the tables that the rules are tried on.
#[async_trait]
pub trait RowsFixture: Debug + Send + Sync {
    /// The types of cells that it has columns for. `Integer`, `Text` and `Bytes` are among them.
    fn types(&self) -> &[CellType];

    /// A new, empty table of these columns: the ones that are its primary key, and others, which may be NULL. Names may be
    /// any; columns of text sort lower-case letters by the alphabet.
    async fn table(&self, key: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable>;
}

/// A table, and the application that works on its rows.
#[async_trait]
pub trait FixtureTable: Debug + Send + Sync {
    /// The source that is tried.
    fn rows(&self) -> &dyn RowSource;

    /// Puts a row, over one of the same key.
    async fn put(&self, row: &Row);

    /// Deletes a row that is there.
    async fn delete(&self, key: &RowKey);
}

/// The type of a column's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "those of `Cell`")]
pub enum CellType {
    /// [`Cell::Bool`].
    Bool,
    /// [`Cell::Integer`].
    Integer,
    /// [`Cell::Real`].
    Real,
    /// [`Cell::Text`].
    Text,
    /// [`Cell::Bytes`].
    Bytes,
}

/// A rule: panics where a fixture's tables break it.
pub type Rule = for<'a> fn(&'a dyn RowsFixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One test for each rule of a source of rows.
///
/// The attribute makes an async fn a test, so that the suite chooses no runtime; the name is that of the module that the
/// tests are put in; the last is an async fn that makes a [`RowsFixture`].
///
/// ```
/// use async_trait::async_trait;
/// use fieldseal::rows::{MemoryRows, Row, RowKey, RowSource};
/// use fieldseal_testkit::rows::{CellType, FixtureTable, RowsFixture};
///
/// #[derive(Debug)]
/// struct Memory;
///
/// #[async_trait]
/// impl RowsFixture for Memory {
///     fn types(&self) -> &[CellType] {
///         &[CellType::Bool, CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
///     }
///
///     async fn table(&self, _: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
///         Box::new(MemoryTable(MemoryRows::new(columns.iter().map(|(name, _)| *name))))
///     }
/// }
///
/// #[derive(Debug)]
/// struct MemoryTable(MemoryRows);
///
/// #[async_trait]
/// impl FixtureTable for MemoryTable {
///     fn rows(&self) -> &dyn RowSource {
///         &self.0
///     }
///
///     async fn put(&self, row: &Row) {
///         self.0.put(row.key.clone(), row.cells.clone()).expect("a cell a column");
///     }
///
///     async fn delete(&self, key: &RowKey) {
///         assert!(self.0.delete(key));
///     }
/// }
///
/// async fn make() -> Memory {
///     Memory
/// }
///
/// fieldseal_testkit::rows_suite! {
///     #[tokio::test]
///     memory_rows, make
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! rows_suite {
    ($(#[$test:meta])+ $name:ident, $make:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the name of what makes a fixture")]
            use super::*;

            $crate::__rows_rules! { [$crate::__suite_tests] [$(#[$test])+] [($make().await)] rows }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __rows_rules {
    ([$($list:tt)*] $($arguments:tt)*) => {
        $($list)*! {
            $($arguments)*
            columns_are_named_in_the_order_asked_for
            an_empty_table_has_no_rows
            pages_come_in_the_order_of_the_key
            a_key_of_several_columns_orders_by_the_first_that_differs
            a_page_begins_behind_a_key_that_is_gone
            rows_that_come_go_and_change_leave_the_others_read_once
            only_the_rows_that_hold_a_cell_are_read
            a_load_answers_in_the_order_asked
            a_load_of_many_keys_answers_each
            the_count_is_that_of_the_rows
            any_name_is_only_a_name
            large_cells_are_kept_whole
            a_swap_changes_the_cells_it_names
            a_swap_that_expects_something_else_changes_nothing
            a_row_changes_as_a_whole_or_not_at_all
            a_guard_stops_a_swap_and_stays
            null_is_expected_and_written_like_any_cell
            a_row_that_is_gone_stays_gone
            every_cell_is_read_expected_and_written_as_it_is
            a_conflict_leaves_the_other_rows_of_a_call
            swaps_of_different_columns_share_a_call
            swaps_of_one_row_come_in_their_order
            a_swap_that_makes_no_sense_is_refused
            a_thousand_rows_change_in_one_call
            one_of_many_swaps_wins
            swaps_of_different_cells_of_a_row_all_land
            calls_that_want_the_same_rows_in_opposite_orders_end
            what_the_application_writes_is_not_overwritten
            a_call_that_was_polled_and_abandoned_delays_no_other
        }
    };
}

__rows_rules! { [super::list] }

/// A table of persons: an integer, and an email, a phone number and a blob that may be NULL.
async fn persons(fixture: &dyn RowsFixture) -> Box<dyn FixtureTable> {
    let columns = [("email", CellType::Text), ("phone", CellType::Text), ("blob", CellType::Bytes)];
    fixture.table(&[("id", CellType::Integer)], &columns).await
}

const EMAIL: usize = 0;
const PHONE: usize = 1;
const BLOB: usize = 2;

/// The person with this number.
fn person(n: i64) -> Row {
    let cells = vec![Cell::text(format!("{n}@example.com")), Cell::Null, Cell::bytes(n.to_be_bytes())];
    Row { key: key(n), cells }
}

fn key(n: i64) -> RowKey {
    RowKey::new(vec![Cell::Integer(n)])
}

async fn put_all(table: &dyn FixtureTable, rows: &[Row]) {
    for row in rows {
        table.put(row).await;
    }
}

/// Every row, page by page, each held to what a page is.
async fn read_all(rows: &dyn RowSource, page: &Page) -> Vec<Row> {
    let (mut found, mut keys): (Vec<Row>, _) = (Vec::new(), BTreeSet::new());
    let mut next = page.clone();
    loop {
        let read = rows.page(&next).await.expect("a page");
        assert!(read.len() <= page.page_size(), "a page is longer than asked for");
        assert!(read.iter().all(|row| keys.insert(row.key.clone())), "a row is read twice");
        let is_last = read.len() < page.page_size();
        found.extend(read);
        match found.last() {
            Some(last) if !is_last => next = page.clone().starting_after(last.key.clone()),
            _ => return found,
        }
    }
}

async fn load(rows: &dyn RowSource, key: &RowKey) -> Option<Row> {
    let mut found = rows.load(std::slice::from_ref(key)).await.expect("load");
    assert_eq!(found.len(), 1, "one answer a key");
    found.pop().flatten()
}

async fn swap_one(rows: &dyn RowSource, swap: Swap) -> bool {
    let swapped = rows.swap(&[swap]).await.expect("swap");
    let [swapped] = swapped.as_slice() else { panic!("{} answers to one swap", swapped.len()) };
    *swapped
}

/// Debug shows no cell, so that a failed test shows none by accident; these are the suite's own.
#[track_caller]
fn same(found: &[Row], expected: &[Row], what: &str) {
    let cells =
        |rows: &[Row]| rows.iter().map(|row| shown(row.key.cells().iter().chain(&row.cells))).collect::<Vec<_>>();
    assert_eq!(cells(found), cells(expected), "{what}");
}

fn shown<'a>(cells: impl Iterator<Item = &'a Cell>) -> String {
    let show = |cell: &Cell| match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Bool(b) => format!("{b}"),
        Cell::Integer(n) => format!("{n}"),
        Cell::Real(n) => format!("{n:?}: {:x}", n.to_bits()),
        Cell::Text(text) => format!("{:?}", text.as_str()),
        Cell::Bytes(bytes) => format!("{:x?}", bytes.as_slice()),
    };
    cells.map(show).collect::<Vec<_>>().join(", ")
}
