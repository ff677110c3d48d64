//! What the suite finds: sources of rows with one flaw each.

use std::panic::{AssertUnwindSafe, catch_unwind};

use async_trait::async_trait;
use fieldseal::rows::{Cell, MemoryRows, Page, Row, RowKey, RowSource, RowsError, Swap};
use fieldseal_testkit::rows::{CellType, FixtureTable, RULES, RowsFixture};
use tokio::runtime;

/// What a source does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    /// Pages that begin with the row that they were to begin behind.
    RepeatsTheCursor,
    /// Pages that end behind the row that was deleted last.
    LosesItsPlace,
    /// Pages that ignore which rows are wanted.
    ReadsAll,
    /// Text that is the same if only its case differs.
    IgnoresCase,
    /// Single rows in the order of their keys.
    SortsWhatItLoads,
    /// Rows that are gone are left out of the answer.
    SkipsWhatIsGone,
    /// Nothing is held against what is expected.
    Overwrites,
    /// What is expected is looked up by a call of its own, then written.
    ChecksBeforehand,
    /// What a guard says is not looked at.
    IgnoresGuards,
    /// A guard is a cell that becomes what it is.
    WritesGuards,
    /// Cells of one row one by one.
    WritesInPart,
    /// One row that isn't as expected keeps the others from being changed.
    WritesAllOrNone,
    /// Of each row, the first swap of a call alone.
    WritesOnceARow,
    /// NULL is never what is expected, as `=` has it.
    ComparesNullAsSql,
    /// Only some of many are changed.
    StopsAtAHundred,
    /// The answers of a call, the other way round.
    AnswersBackwards,
    /// Large cells are cut off.
    CutsOff,
}

use Flaw::{
    AnswersBackwards, ChecksBeforehand, ComparesNullAsSql, CutsOff, IgnoresCase, IgnoresGuards, LosesItsPlace,
    Overwrites, ReadsAll, RepeatsTheCursor, SkipsWhatIsGone, SortsWhatItLoads, StopsAtAHundred, WritesAllOrNone,
    WritesGuards, WritesInPart, WritesOnceARow,
};

/// Each flaw, and a rule that it breaks.
const FOUND: &[(Flaw, &str)] = &[
    (RepeatsTheCursor, "a_page_begins_behind_a_key_that_is_gone"),
    (LosesItsPlace, "rows_that_come_go_and_change_leave_the_others_read_once"),
    (ReadsAll, "only_the_rows_that_hold_a_cell_are_read"),
    (IgnoresCase, "a_swap_that_expects_something_else_changes_nothing"),
    (SortsWhatItLoads, "a_load_answers_in_the_order_asked"),
    (SkipsWhatIsGone, "a_load_of_many_keys_answers_each"),
    (Overwrites, "one_of_many_swaps_wins"),
    (ChecksBeforehand, "what_the_application_writes_is_not_overwritten"),
    (IgnoresGuards, "a_guard_stops_a_swap_and_stays"),
    (WritesGuards, "a_guard_stops_a_swap_and_stays"),
    (WritesInPart, "a_row_changes_as_a_whole_or_not_at_all"),
    (WritesAllOrNone, "a_conflict_leaves_the_other_rows_of_a_call"),
    (WritesOnceARow, "swaps_of_one_row_come_in_their_order"),
    (ComparesNullAsSql, "null_is_expected_and_written_like_any_cell"),
    (StopsAtAHundred, "a_thousand_rows_change_in_one_call"),
    (AnswersBackwards, "swaps_of_different_columns_share_a_call"),
    (CutsOff, "large_cells_are_kept_whole"),
];

#[test]
fn the_suite_finds_each_flaw() {
    for (flaw, broken) in FOUND {
        let (_, rule) = RULES.iter().find(|(name, _)| name == broken).unwrap();
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| runtime.block_on(rule(&Flawed(*flaw)))));
        assert!(outcome.is_err(), "{flaw:?} passes {broken}");
    }
}

#[derive(Debug)]
struct Flawed(Flaw);

#[async_trait]
impl RowsFixture for Flawed {
    fn types(&self) -> &[CellType] {
        &[CellType::Integer, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, _: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        Box::new(FlawedTable { flaw: self.0, rows: MemoryRows::new(columns.iter().map(|(name, _)| *name)) })
    }
}

#[derive(Debug)]
struct FlawedTable {
    flaw: Flaw,
    rows: MemoryRows,
}

#[async_trait]
impl FixtureTable for FlawedTable {
    fn rows(&self) -> &dyn RowSource {
        self
    }

    async fn put(&self, row: &Row) {
        self.rows.put(row.key.clone(), row.cells.clone()).unwrap();
    }

    async fn delete(&self, key: &RowKey) {
        assert!(self.rows.delete(key));
    }
}

impl FlawedTable {
    async fn stands(&self, key: &RowKey) -> Option<Vec<Cell>> {
        self.rows.load(std::slice::from_ref(key)).await.unwrap()[0].clone().map(|row| row.cells)
    }

    /// The swap that is made in place of this one.
    async fn bent(&self, swap: &Swap) -> Swap {
        let stands = self.stands(swap.key()).await;
        let at = |column: usize| stands.as_ref().and_then(|cells| cells.get(column)).cloned();
        let mut bent = Swap::of(swap.key().clone());
        for (column, expected, new) in swap.cells() {
            let expected = match self.flaw {
                Overwrites | ChecksBeforehand => at(column).unwrap_or(Cell::Null),
                WritesInPart if at(column).as_ref() != Some(expected) => continue,
                IgnoresCase => match (at(column), expected) {
                    (Some(Cell::Text(a)), Cell::Text(b)) if a.eq_ignore_ascii_case(b) => Cell::Text(a),
                    _ => expected.clone(),
                },
                ComparesNullAsSql if expected.is_null() => Cell::text("nothing equals NULL"),
                _ => expected.clone(),
            };
            bent = match new {
                None if self.flaw == IgnoresGuards => bent,
                None if self.flaw == WritesGuards => bent.cell(column, expected, Cell::Null),
                None => bent.guard(column, expected),
                Some(Cell::Text(text)) if self.flaw == CutsOff => {
                    bent.cell(column, expected, Cell::text(text.chars().take(65_535).collect::<String>()))
                }
                Some(new) => bent.cell(column, expected, new.clone()),
            };
        }
        bent
    }

    async fn is_as_expected(&self, swap: &Swap) -> bool {
        let stands = self.stands(swap.key()).await.unwrap_or_default();
        swap.cells().all(|(column, expected, _)| stands.get(column) == Some(expected))
    }
}

#[async_trait]
impl RowSource for FlawedTable {
    fn columns(&self) -> &[String] {
        self.rows.columns()
    }

    async fn page(&self, page: &Page) -> Result<Vec<Row>, RowsError> {
        let whole = self.rows.page(&Page::first(Page::MAX_LIMIT)).await?;
        let read = self.rows.page(page).await?;
        Ok(match self.flaw {
            // Where the first row that it gives stands, one before.
            RepeatsTheCursor => match read.first().and_then(|first| whole.iter().position(|row| row == first)) {
                Some(at) if at > 0 => [&whole[at - 1..at], &read].concat(),
                _ => read,
            },
            LosesItsPlace if whole.len() == 9 && whole[0].key.cells() == [Cell::Integer(5)] => Vec::new(),
            ReadsAll => whole.into_iter().take(read.len().max(1)).collect(),
            _ => read,
        })
    }

    async fn load(&self, keys: &[RowKey]) -> Result<Vec<Option<Row>>, RowsError> {
        let mut keys = keys.to_vec();
        if self.flaw == SortsWhatItLoads {
            keys.sort();
        }
        let mut loaded = self.rows.load(&keys).await?;
        loaded.retain(|row| row.is_some() || self.flaw != SkipsWhatIsGone);
        Ok(loaded)
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<bool>, RowsError> {
        let mut swapped = Vec::new();
        for (at, swap) in swaps.iter().enumerate() {
            let is_as_expected = self.is_as_expected(swap).await;
            let is_refused = match self.flaw {
                ChecksBeforehand => {
                    tokio::task::yield_now().await; // somebody else writes
                    !is_as_expected
                }
                WritesOnceARow => swaps[..at].iter().any(|earlier| earlier.key() == swap.key()),
                StopsAtAHundred => at >= 100,
                _ => false,
            };
            let bent = self.bent(swap).await;
            let is_empty = bent.cells().len() == 0;
            swapped.push(!is_refused && !is_empty && self.rows.swap(&[bent]).await?[0]);
        }
        if self.flaw == WritesAllOrNone && swapped.contains(&false) {
            swapped = vec![false; swaps.len()];
        }
        if self.flaw == AnswersBackwards {
            swapped.reverse();
        }
        Ok(swapped)
    }

    async fn count(&self) -> Result<u64, RowsError> {
        self.rows.count().await
    }
}
