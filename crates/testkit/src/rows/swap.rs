//! The rules of changing: what a swap does, and what it leaves alone.

use futures_util::future::{join, join_all};

use super::{BLOB, CellType, EMAIL, PHONE, RowsFixture, key, load, person, persons, put_all, read_all, same, swap_one};
use crate::abandoned::{Call, each_beside_each};
use fieldseal::error::{RowsError, RowsErrorKind};
use fieldseal::rows::{Cell, Page, Row, RowSource, Swap};

/// No other cell of the row, and no other row.
pub async fn a_swap_changes_the_cells_it_names(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let mut rows: Vec<_> = (1..=3).map(person).collect();
    put_all(&*table, &rows).await;
    let swap = Swap::of(key(2)).cell(EMAIL, email(2), Cell::text("new")).cell(BLOB, blob(2), Cell::bytes(*b"new"));
    assert!(swap_one(table.rows(), swap).await);
    rows.get_mut(1).expect("three rows").cells = vec![Cell::text("new"), Cell::Null, Cell::bytes(*b"new")];
    same(&read_all(table.rows(), &Page::first(10)).await, &rows, "the second is changed");
    // A cell that holds already what it is to hold is swapped, too.
    assert!(swap_one(table.rows(), Swap::of(key(3)).cell(EMAIL, email(3), email(3))).await);
    same(&read_all(table.rows(), &Page::first(10)).await, &rows, "the third is as it was");
}

/// However near it comes.
pub async fn a_swap_that_expects_something_else_changes_nothing(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let stands = Row { key: key(1), cells: vec![Cell::text("ada"), Cell::text(""), Cell::bytes(*b"ada")] };
    put_all(&*table, std::slice::from_ref(&stands)).await;
    let near = [
        (EMAIL, ["Ada", "ada ", " ada", "ad", "adaa", "", "ada\0", "ada\u{301}"].map(Cell::text).to_vec()),
        (EMAIL, vec![Cell::Null, Cell::bytes(*b"ada")]),
        (PHONE, vec![Cell::Null, Cell::text(" "), Cell::bytes(*b"")]),
        (BLOB, [&b"ada\0"[..], b"ad", b"ADA", b""].map(Cell::bytes).to_vec()),
        (BLOB, vec![Cell::Null, Cell::text("ada")]),
    ];
    for (column, cells) in near {
        for expected in cells {
            assert!(!swap_one(table.rows(), Swap::of(key(1)).cell(column, expected, Cell::Null)).await);
            same(&read_all(table.rows(), &Page::first(2)).await, std::slice::from_ref(&stands), "nothing is changed");
        }
    }
    let right = Swap::of(key(1)).cell(EMAIL, Cell::text("ada"), Cell::Null).cell(PHONE, Cell::text(""), Cell::Null);
    assert!(swap_one(table.rows(), right.cell(BLOB, Cell::bytes(*b"ada"), Cell::Null)).await);
}

/// Whichever of its cells stands in the way.
pub async fn a_row_changes_as_a_whole_or_not_at_all(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1)]).await;
    let wrong = Cell::bytes(*b"wrong");
    let right = [email(1), Cell::Null, blob(1)];
    let swap_of = |wrong_at: Option<usize>| {
        let expected =
            |(at, cell): (usize, &Cell)| (at, if Some(at) == wrong_at { wrong.clone() } else { cell.clone() });
        let new = [Cell::text("new"), Cell::text("new"), Cell::bytes(*b"new")];
        let cells = right.iter().enumerate().map(expected).zip(new);
        cells.fold(Swap::of(key(1)), |swap, ((at, expected), new)| swap.cell(at, expected, new))
    };
    for at in 0..right.len() {
        assert!(!swap_one(table.rows(), swap_of(Some(at))).await, "cell {at}");
        same(&read_all(table.rows(), &Page::first(2)).await, &[person(1)], &format!("cell {at}"));
    }
    assert!(swap_one(table.rows(), swap_of(None)).await);
}

/// What a guard names must stand, and is not written.
pub async fn a_guard_stops_a_swap_and_stays(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1)]).await;
    let swap = |guard: Cell| Swap::of(key(1)).guard(BLOB, guard).cell(EMAIL, email(1), Cell::text("new"));
    for wrong in [Cell::Null, blob(2)] {
        assert!(!swap_one(table.rows(), swap(wrong)).await);
    }
    let guarded = Swap::of(key(1)).cell(EMAIL, email(1), Cell::text("new")).guard(PHONE, Cell::text("0151"));
    assert!(!swap_one(table.rows(), guarded).await, "a guard behind the cell");
    same(&read_all(table.rows(), &Page::first(2)).await, &[person(1)], "nothing is changed");
    assert!(swap_one(table.rows(), swap(blob(1))).await);
    let changed = Row { key: key(1), cells: vec![Cell::text("new"), Cell::Null, blob(1)] };
    same(&read_all(table.rows(), &Page::first(2)).await, &[changed], "the guard is as it was");
}

/// From a value to nothing, and back.
pub async fn null_is_expected_and_written_like_any_cell(fixture: &dyn RowsFixture) {
    for (ty, samples) in samples(fixture) {
        let value = samples.first().expect("a sample").clone();
        let table = fixture.table(&[("id", CellType::Integer)], &[("cell", ty)]).await;
        put_all(&*table, &[Row { key: key(1), cells: vec![Cell::Null] }]).await;
        let swap = |expected: &Cell, new: &Cell| Swap::of(key(1)).cell(0, expected.clone(), new.clone());
        assert!(!swap_one(table.rows(), swap(&value, &Cell::Null)).await, "{ty:?}: NULL is no value");
        assert!(swap_one(table.rows(), swap(&Cell::Null, &value)).await, "{ty:?}: a value over NULL");
        assert!(!swap_one(table.rows(), swap(&Cell::Null, &Cell::Null)).await, "{ty:?}: a value is not NULL");
        assert!(swap_one(table.rows(), swap(&value, &Cell::Null)).await, "{ty:?}: NULL over a value");
        same(
            &read_all(table.rows(), &Page::first(2)).await,
            &[Row { key: key(1), cells: vec![Cell::Null] }],
            "NULL again",
        );
    }
}

/// A swap makes no row.
pub async fn a_row_that_is_gone_stays_gone(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1), person(2)]).await;
    table.delete(&key(1)).await;
    let over = |expected: Cell| Swap::of(key(1)).cell(EMAIL, expected, Cell::text("new"));
    for swap in [over(email(1)), over(Cell::Null)] {
        assert!(!swap_one(table.rows(), swap).await);
        same(&read_all(table.rows(), &Page::first(5)).await, &[person(2)], "one row is left");
    }
}

/// Each of them: in the row that the application put, as what is expected, and as what is written.
pub async fn every_cell_is_read_expected_and_written_as_it_is(fixture: &dyn RowsFixture) {
    for (ty, samples) in samples(fixture) {
        let table = fixture.table(&[("id", CellType::Integer)], &[("cell", ty)]).await;
        let rows = (0..).zip(&samples).map(|(n, cell)| Row { key: key(n), cells: vec![cell.clone()] });
        let rows: Vec<_> = rows.collect();
        put_all(&*table, &rows).await;
        same(&read_all(table.rows(), &Page::first(100)).await, &rows, &format!("{ty:?}: what was put"));
        let next = samples.iter().cycle().skip(1);
        let swaps: Vec<_> = (0..)
            .zip(samples.iter().zip(next.clone()))
            .map(|(n, (old, new))| Swap::of(key(n)).cell(0, old.clone(), new.clone()))
            .collect();
        assert_eq!(table.rows().swap(&swaps).await.expect("swap"), vec![true; samples.len()], "{ty:?}: as expected");
        let rows: Vec<_> = (0..)
            .zip(next.take(samples.len()))
            .map(|(n, cell)| Row { key: key(n), cells: vec![cell.clone()] })
            .collect();
        same(&read_all(table.rows(), &Page::first(100)).await, &rows, &format!("{ty:?}: what was swapped"));
        assert_eq!(table.rows().swap(&swaps).await.expect("swap"), vec![false; samples.len()], "{ty:?}: not again");
    }
}

/// Each row is for itself.
pub async fn a_conflict_leaves_the_other_rows_of_a_call(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..20).map(person).collect::<Vec<_>>()).await;
    let is_right = |n: i64| n % 3 != 1 && n < 20;
    let swaps: Vec<_> = (0..25)
        .rev()
        .map(|n| {
            let expected = if n % 3 == 1 { Cell::text("other") } else { email(n) };
            Swap::of(key(n)).cell(EMAIL, expected, Cell::text(format!("new {n}")))
        })
        .collect();
    let expected: Vec<_> = (0..25).rev().map(is_right).collect();
    assert_eq!(table.rows().swap(&swaps).await.expect("swap"), expected);
    let now = |n: i64| {
        let mut row = person(n);
        row.cells.splice(..1, [if is_right(n) { Cell::text(format!("new {n}")) } else { email(n) }]);
        row
    };
    same(&read_all(table.rows(), &Page::first(7)).await, &(0..20).map(now).collect::<Vec<_>>(), "those as expected");
}

/// Answers stay in the order asked.
pub async fn swaps_of_different_columns_share_a_call(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..6).map(person).collect::<Vec<_>>()).await;
    let new = || Cell::text("new");
    let swaps = [
        Swap::of(key(5)).cell(PHONE, Cell::Null, new()).guard(EMAIL, email(5)),
        Swap::of(key(0)).cell(EMAIL, email(0), new()),
        Swap::of(key(1)).cell(EMAIL, email(0), new()),
        Swap::of(key(4)).cell(PHONE, Cell::Null, new()).guard(EMAIL, email(0)),
        Swap::of(key(2)).cell(BLOB, blob(2), Cell::Null).cell(EMAIL, email(2), new()),
        Swap::of(key(3)).cell(EMAIL, email(3), Cell::Null),
        Swap::of(key(9)).cell(BLOB, blob(9), Cell::Null),
    ];
    assert_eq!(table.rows().swap(&swaps).await.expect("swap"), [true, true, false, false, true, true, false]);
    let now = [
        vec![new(), Cell::Null, blob(0)],
        person(1).cells,
        vec![new(), Cell::Null, Cell::Null],
        vec![Cell::Null, Cell::Null, blob(3)],
        person(4).cells,
        vec![email(5), new(), blob(5)],
    ];
    let now: Vec<_> = (0..).zip(now).map(|(n, cells)| Row { key: key(n), cells }).collect();
    same(&read_all(table.rows(), &Page::first(10)).await, &now, "each by its own columns");
}

/// One after another within a call, each on what the one before has left.
pub async fn swaps_of_one_row_come_in_their_order(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1), person(2)]).await;
    let step = |from: &str, to: &str| Swap::of(key(1)).cell(PHONE, Cell::text(from), Cell::text(to));
    let swaps = [
        Swap::of(key(1)).cell(PHONE, Cell::Null, Cell::text("a")),
        step("b", "c"), // not yet
        step("a", "b"),
        Swap::of(key(1)).cell(EMAIL, email(1), Cell::text("new")).guard(PHONE, Cell::text("b")),
        Swap::of(key(2)).cell(PHONE, Cell::Null, Cell::text("z")),
        step("b", "d"),
        step("b", "e"), // not any more
    ];
    let swapped = table.rows().swap(&swaps).await.expect("swap");
    assert_eq!(swapped, [true, false, true, true, true, true, false]);
    let first = Row { key: key(1), cells: vec![Cell::text("new"), Cell::text("d"), blob(1)] };
    let second = Row { key: key(2), cells: vec![email(2), Cell::text("z"), blob(2)] };
    same(&read_all(table.rows(), &Page::first(10)).await, &[first, second], "the last of each");
}

/// As is every other swap of its call.
pub async fn a_swap_that_makes_no_sense_is_refused(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1), person(2)]).await;
    let good = || Swap::of(key(2)).cell(EMAIL, email(2), Cell::text("new"));
    for (what, bad) in [
        ("no cell", Swap::of(key(1))),
        ("a guard alone", Swap::of(key(1)).guard(EMAIL, email(1))),
        ("no such column", Swap::of(key(1)).cell(3, Cell::Null, Cell::Null)),
    ] {
        let error = table.rows().swap(&[good(), bad]).await.expect_err(what);
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{what}: {error:?}");
        same(&read_all(table.rows(), &Page::first(5)).await, &[person(1), person(2)], what);
    }
}

/// As many as a worker takes at once.
pub async fn a_thousand_rows_change_in_one_call(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..1000).map(person).collect::<Vec<_>>()).await;
    let swap = |n: i64| Swap::of(key(n)).cell(PHONE, Cell::Null, Cell::text(format!("{n}"))).guard(BLOB, blob(n));
    let swaps: Vec<_> = (0..1000).map(|n| swap(n * 7 % 1000)).collect();
    assert_eq!(table.rows().swap(&swaps).await.expect("swap"), vec![true; 1000]);
    let rows = read_all(table.rows(), &Page::first(1000)).await;
    assert_eq!(rows.len(), 1000);
    for (n, row) in (0..).zip(rows) {
        assert!(row.cells == [email(n), Cell::text(format!("{n}")), blob(n)], "row {n}");
    }
}

/// Of those that expect the same; that which says so.
pub async fn one_of_many_swaps_wins(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1)]).await;
    let mut stands = email(1);
    for round in 0..10 {
        let new: Vec<_> = (0..6).map(|n| Cell::text(format!("{round} {n}"))).collect();
        let swap = |new: &Cell| swap_one(table.rows(), Swap::of(key(1)).cell(EMAIL, stands.clone(), new.clone()));
        let swapped = join_all(new.iter().map(swap)).await;
        let winners: Vec<_> = new.iter().zip(swapped).filter_map(|(new, swapped)| swapped.then_some(new)).collect();
        let [winner] = winners.as_slice() else { panic!("{} swaps of one cell won", winners.len()) };
        let row = load(table.rows(), &key(1)).await.expect("the row");
        assert!(row.cells.first() == Some(*winner), "another than the winner's cell stands there");
        stands = (*winner).clone();
    }
}

/// At once: none takes the other's place.
pub async fn swaps_of_different_cells_of_a_row_all_land(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1)]).await;
    let mut stands = person(1).cells;
    for round in 0..10 {
        let new = vec![Cell::text(format!("e{round}")), Cell::text(format!("p{round}")), Cell::bytes([round])];
        let swaps = stands
            .iter()
            .zip(&new)
            .enumerate()
            .map(|(at, (old, new))| swap_one(table.rows(), Swap::of(key(1)).cell(at, old.clone(), new.clone())));
        assert_eq!(join_all(swaps).await, [true; 3]);
        same(load(table.rows(), &key(1)).await.as_slice(), &[Row { key: key(1), cells: new.clone() }], "all three");
        stands = new;
    }
}

/// Whoever is second finds what the first has left; none waits for ever.
pub async fn calls_that_want_the_same_rows_in_opposite_orders_end(fixture: &dyn RowsFixture) {
    const ROWS: i64 = 60;
    let table = persons(fixture).await;
    put_all(&*table, &(0..ROWS).map(person).collect::<Vec<_>>()).await;
    for round in 0..6 {
        let expected = if round == 0 { Cell::Null } else { Cell::text(format!("{}", round - 1)) };
        let swap = |n: i64| Swap::of(key(n)).cell(PHONE, expected.clone(), Cell::text(format!("{round}")));
        // Two sets of columns, so that an engine which groups by them has them in two statements.
        let swap = |n: i64| if n % 2 == 0 { swap(n) } else { swap(n).guard(BLOB, blob(n)) };
        let up: Vec<_> = (0..ROWS).map(swap).collect();
        let down: Vec<_> = (0..ROWS).rev().map(swap).collect();
        let (up, down) = join(swap_all(table.rows(), &up), swap_all(table.rows(), &down)).await;
        for (up, down) in up.into_iter().zip(down.into_iter().rev()) {
            assert!(up != down, "one of the two has changed the row");
        }
    }
}

/// It writes without looking, at the same time: whatever the order, what it wrote stands there afterwards.
pub async fn what_the_application_writes_is_not_overwritten(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &[person(1)]).await;
    let mut stands = email(1);
    for round in 0..30 {
        let mut written = person(1);
        written.cells.splice(..1, [Cell::text(format!("written {round}"))]);
        let swap = Swap::of(key(1)).cell(EMAIL, stands, Cell::text(format!("swapped {round}")));
        let swap = swap_one(table.rows(), swap);
        // Each of the two begins in turn.
        if round % 2 == 0 {
            join(swap, table.put(&written)).await;
        } else {
            join(table.put(&written), swap).await;
        }
        same(load(table.rows(), &key(1)).await.as_slice(), std::slice::from_ref(&written), "what was written");
        stands = written.cells.swap_remove(EMAIL);
    }
}

async fn swap_all(rows: &dyn RowSource, swaps: &[Swap]) -> Vec<bool> {
    rows.swap(swaps).await.expect("swap")
}

/// Wherever it stands, and though it is not dropped. A source that holds a row for a swap may tell who wants the same row that it
/// is `Throttled`; it lets nobody wait for good.
pub async fn a_call_that_was_polled_and_abandoned_delays_no_other(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..3).map(person).collect::<Vec<_>>()).await;
    let rows = table.rows();
    let touch = |n| async move { rows.swap(&[Swap::of(key(n)).cell(EMAIL, email(n), email(n))]).await.map(drop) };
    let call = |method| -> Call<'_, RowsError> {
        Box::pin(async move {
            match method {
                "page" => rows.page(&Page::first(2)).await.map(drop),
                "load" => rows.load(&[key(1), key(9)]).await.map(drop),
                "count" => rows.count().await.map(drop),
                "swap" => touch(1).await,
                _ => touch(2).await,
            }
        })
    };
    each_beside_each(&["page", "load", "count", "swap", "swap of another row"], call, |which, answer| {
        if let Err(e) = answer {
            assert_eq!(e.kind(), RowsErrorKind::Throttled, "{which}: {e:?}");
        }
    })
    .await;
}

fn email(n: i64) -> Cell {
    Cell::text(format!("{n}@example.com"))
}

fn blob(n: i64) -> Cell {
    Cell::bytes(n.to_be_bytes())
}

/// Cells of every type that the fixture has, those at the edges among them; no two of a type are equal.
fn samples(fixture: &dyn RowsFixture) -> Vec<(CellType, Vec<Cell>)> {
    let of = |ty: CellType| match ty {
        CellType::Bool => vec![Cell::Bool(true), Cell::Bool(false)],
        CellType::Integer => [7, 0, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1].map(Cell::Integer).to_vec(),
        CellType::Real => [0.1, 0.0, -1.5, 1.0, f64::MAX, f64::MIN_POSITIVE, 1.0 / 3.0].map(Cell::Real).to_vec(),
        CellType::Text => ["ada", "", " ", "Ada", "NULL", "'\"\\ %_;--", "1", "\u{1F980} Größe\r\n\t", "{a,b}"]
            .map(Cell::text)
            .to_vec(),
        CellType::Bytes => {
            let all: Vec<u8> = (0..=255).collect();
            [&b"ada"[..], b"", b"\0", b"\xFF\xFE", b"\\x61", &all].map(Cell::bytes).to_vec()
        }
    };
    fixture.types().iter().map(|ty| (*ty, of(*ty))).collect()
}
