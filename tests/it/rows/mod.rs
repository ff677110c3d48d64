//! The sources of rows that need no server: the conformance suite on each. What the suite finds.

mod flaws;

use async_trait::async_trait;
use fieldseal::rows::{Cell, MemoryRows, Page, Row, RowKey, RowSource, RowsErrorKind, Swap};
use fieldseal_testkit::faults::{Act, Port, Tap, Tapped};
use fieldseal_testkit::rows::{CellType, FixtureTable, RowsFixture};

/// Tables in memory, behind a tap.
#[derive(Debug)]
struct Memory {
    tap: Tap,
}

#[async_trait]
impl RowsFixture for Memory {
    fn types(&self) -> &[CellType] {
        &[CellType::Bool, CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, _key: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        let rows = MemoryRows::new(columns.iter().map(|(name, _)| *name));
        Box::new(MemoryTable(Tapped::new(rows, &self.tap)))
    }
}

#[derive(Debug)]
struct MemoryTable(Tapped<MemoryRows>);

#[async_trait]
impl FixtureTable for MemoryTable {
    fn rows(&self) -> &dyn RowSource {
        &self.0
    }

    async fn put(&self, row: &Row) {
        self.0.inner().put(row.key.clone(), row.cells.clone()).unwrap();
    }

    async fn delete(&self, key: &RowKey) {
        assert!(self.0.inner().delete(key));
    }
}

async fn memory() -> Memory {
    Memory { tap: Tap::open() }
}

/// So that calls overlap.
async fn interleaved() -> Memory {
    Memory { tap: Tap::random(7, 3) }
}

fieldseal_testkit::rows_suite! {
    #[tokio::test]
    memory_rows, memory
}

fieldseal_testkit::rows_suite! {
    #[tokio::test]
    tapped_rows, interleaved
}

#[tokio::test]
async fn a_tap_fails_calls_to_rows_before_and_after_their_work() {
    let key = || RowKey::new(vec![Cell::Integer(1)]);
    let swap = |from: &str, to: &str| [Swap::of(key()).cell(0, Cell::text(from), Cell::text(to))];
    let rows = MemoryRows::new(["email"]);
    rows.put(key(), vec![Cell::text("a")]).unwrap();
    let tap = Tap::open();
    let tapped = Tapped::new(rows.clone(), &tap);
    let stands = async || rows.load(&[key()]).await.unwrap()[0].clone().unwrap().cells;

    for method in ["page", "load", "swap", "count"] {
        for is_over in [false, true] {
            tap.set(move |call| {
                let is_it = call.port == Port::Rows && call.method == method && call.is_over() == is_over;
                if is_it { Act::Fail } else { Act::Go }
            });
            let failed = |outcome: Option<RowsErrorKind>, of: &str| {
                assert_eq!(outcome, (of == method).then_some(RowsErrorKind::Unavailable), "{of}, {method}, {is_over}");
            };
            failed(tapped.page(&Page::first(1)).await.err().map(|e| e.kind()), "page");
            failed(tapped.load(&[key()]).await.err().map(|e| e.kind()), "load");
            failed(tapped.count().await.err().map(|e| e.kind()), "count");
            failed(tapped.swap(&swap("a", "b")).await.err().map(|e| e.kind()), "swap");
            let was_done = method != "swap" || is_over;
            assert!(stands().await == [Cell::text(if was_done { "b" } else { "a" })], "{method}, {is_over}");
            if was_done {
                assert_eq!(rows.swap(&swap("b", "a")).await.unwrap(), [true]);
            }
        }
    }
}
