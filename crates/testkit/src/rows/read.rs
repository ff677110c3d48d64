//! The rules of reading: pages, single rows, the count.

use super::{
    BLOB, CellType, FixtureTable, PHONE, RowsFixture, key, load, person, persons, put_all, read_all, same, swap_one,
};
use fieldseal::error::RowsErrorKind;
use fieldseal::rows::{Cell, Page, Row, RowKey, Swap};

/// Cells stand in the order of the names.
pub async fn columns_are_named_in_the_order_asked_for(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    assert_eq!(table.rows().columns(), ["email", "phone", "blob"]);
    let columns = [("zeta", CellType::Text), ("alpha", CellType::Integer)];
    let table = fixture.table(&[("middle", CellType::Integer)], &columns).await;
    assert_eq!(table.rows().columns(), ["zeta", "alpha"]);
    let row = Row { key: key(1), cells: vec![Cell::text("z"), Cell::Integer(7)] };
    table.put(&row).await;
    same(&read_all(table.rows(), &Page::first(10)).await, &[row], "the order of the cells");
}

/// Nor is that an error.
pub async fn an_empty_table_has_no_rows(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let rows = table.rows();
    assert_eq!(rows.page(&Page::first(10)).await.expect("a page"), []);
    assert_eq!(rows.page(&Page::first(10).starting_after(key(5))).await.expect("a page"), []);
    assert_eq!(rows.load(&[]).await.expect("load"), []);
    assert_eq!(rows.load(&[key(1)]).await.expect("load"), [None]);
    assert_eq!(rows.swap(&[]).await.expect("swap"), [false; 0]);
    assert_eq!(rows.count().await.expect("count"), 0);
}

/// Whatever the key's type and the order in which they were put; each once, in pages of any size.
pub async fn pages_come_in_the_order_of_the_key(fixture: &dyn RowsFixture) {
    let integers = [i64::MIN, -300, -1, 0, 1, 9, 10, 100, 1 << 40, i64::MAX].map(Cell::Integer);
    let texts = ["ada", "adam", "b", "ba", "bab", "c", "x", "xy", "z", "zz"].map(Cell::text);
    let bytes: [&[u8]; 10] = [b"\0", b"\0\0", b"\0\x01", b"\x01", b"\x7F", b"\x80", b"a", b"b", b"\xFF", b"\xFF\xFF"];
    let mut bytes = bytes.map(Cell::bytes);
    bytes.sort();
    for (ty, keys) in [(CellType::Integer, integers), (CellType::Text, texts), (CellType::Bytes, bytes)] {
        let table = fixture.table(&[("id", ty)], &[("email", CellType::Text)]).await;
        let row = |(n, cell): (usize, &Cell)| Row {
            key: RowKey::new(vec![cell.clone()]),
            cells: vec![Cell::text(format!("{n}@example.com"))],
        };
        let rows: Vec<_> = keys.iter().enumerate().map(row).collect();
        // 0, 7, 4, 1, 8, ..
        for n in (0..rows.len()).map(|n| n * 7 % rows.len()) {
            put_all(&*table, rows.get(n..=n).expect("ten rows")).await;
        }
        for limit in [1, 2, 3, 9, 10, 11, 1000] {
            same(&read_all(table.rows(), &Page::first(limit)).await, &rows, &format!("{ty:?}, pages of {limit}"));
        }
    }
}

/// Also where a page ends among rows that share the first.
pub async fn a_key_of_several_columns_orders_by_the_first_that_differs(fixture: &dyn RowsFixture) {
    let columns = [("tenant", CellType::Text), ("id", CellType::Integer)];
    let table = fixture.table(&columns, &[("email", CellType::Text)]).await;
    let keys = ["acme", "acme", "acme", "beta", "beta", "zeta"].iter().zip([-5, 2, 10, 1, 9, 2]);
    let row = |(tenant, id): (&&str, i64)| Row {
        key: RowKey::new(vec![Cell::text(*tenant), Cell::Integer(id)]),
        cells: vec![Cell::text(format!("{id}@{tenant}.example"))],
    };
    let mut rows: Vec<_> = keys.map(row).collect();
    for row in rows.iter().rev() {
        table.put(row).await;
    }
    for limit in 1..=7 {
        same(&read_all(table.rows(), &Page::first(limit)).await, &rows, &format!("pages of {limit}"));
    }
    // Neither column alone names a row.
    let other = RowKey::new(vec![Cell::text("zeta"), Cell::Integer(10)]);
    assert_eq!(load(table.rows(), &other).await, None);
    let second = rows.get_mut(1).expect("six rows");
    let old = std::mem::replace(&mut second.cells, vec![Cell::text("changed")]);
    let swap = Swap::of(second.key.clone()).cell(0, old.first().expect("a cell").clone(), Cell::text("changed"));
    assert!(swap_one(table.rows(), swap).await);
    same(&read_all(table.rows(), &Page::first(100)).await, &rows, "one row was changed");
}

/// A key is a place in the order.
pub async fn a_page_begins_behind_a_key_that_is_gone(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let rows: Vec<_> = [2, 4, 6].map(person).into();
    put_all(&*table, &rows).await;
    for (after, left) in [(1, 3), (2, 2), (3, 2), (5, 1), (6, 0), (7, 0)] {
        let page = table.rows().page(&Page::first(10).starting_after(key(after))).await.expect("a page");
        same(&page, rows.get(rows.len() - left..).expect("three rows"), &format!("behind {after}"));
    }
    table.delete(&key(4)).await;
    let page = table.rows().page(&Page::first(10).starting_after(key(4))).await.expect("a page");
    same(&page, rows.get(2..).expect("three rows"), "behind a row that was deleted");
}

/// None that was there all the time is lost, or read twice; a row is read as it is by then.
pub async fn rows_that_come_go_and_change_leave_the_others_read_once(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let rows: Vec<_> = (1..=9).map(|n| person(n * 10)).collect();
    put_all(&*table, &rows).await;
    let page = Page::first(3);
    same(&table.rows().page(&page).await.expect("a page"), rows.get(..3).expect("nine rows"), "the first page");

    table.put(&person(5)).await; // before the page's end: not seen
    table.put(&person(45)).await; // behind it: seen
    table.delete(&key(30)).await; // the page's end itself
    table.delete(&key(60)).await;
    let mut changed = person(70);
    changed.cells = vec![Cell::Null, Cell::text("0151"), Cell::Null];
    table.put(&changed).await;

    let found = read_all(table.rows(), &page.starting_after(key(30))).await;
    same(&found, &[person(40), person(45), person(50), changed, person(80), person(90)], "what is left");
}

/// Exactly, NULL among the cells; in pages like any.
pub async fn only_the_rows_that_hold_a_cell_are_read(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    let phones =
        [Cell::text("a"), Cell::text("A"), Cell::text("a "), Cell::text(""), Cell::Null, Cell::text("a"), Cell::Null];
    let with = |(n, phone): (i64, &Cell)| {
        let blob = if n % 2 == 0 { Cell::bytes(*b"even") } else { Cell::bytes(*b"odd") };
        Row { key: key(n), cells: vec![Cell::text("ada@example.com"), phone.clone(), blob] }
    };
    let rows: Vec<_> = (0..).zip(&phones).map(with).collect();
    put_all(&*table, &rows).await;
    for cell in &phones {
        let expected: Vec<_> = rows.iter().filter(|row| row.cells.get(PHONE) == Some(cell)).cloned().collect();
        for limit in [1, 2, 10] {
            same(&read_all(table.rows(), &Page::first(limit).only("phone", cell.clone())).await, &expected, "by phone");
        }
    }
    let odd: Vec<_> = rows.iter().filter(|row| row.cells.get(BLOB) == Some(&Cell::bytes(*b"odd"))).cloned().collect();
    same(&read_all(table.rows(), &Page::first(2).only("blob", Cell::bytes(*b"odd"))).await, &odd, "by bytes");
    for absent in [Cell::text("b"), Cell::bytes(*b"a")] {
        assert_eq!(table.rows().page(&Page::first(10).only("phone", absent)).await.expect("a page"), []);
    }
    let error = table.rows().page(&Page::first(10).only("fax", Cell::Null)).await.expect_err("no such column");
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

/// One answer a key: with repeats, and with gaps.
pub async fn a_load_answers_in_the_order_asked(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..4).map(person).collect::<Vec<_>>()).await;
    table.delete(&key(2)).await;
    let asked = [3, 0, 0, 2, 3, 9, 1, -1];
    let found = table.rows().load(&asked.map(key)).await.expect("load");
    let there = |n: i64| [0, 1, 3].contains(&n).then(|| person(n));
    assert!(found == asked.map(there), "an answer is that to another key");
}

/// More keys than an engine takes in one statement.
pub async fn a_load_of_many_keys_answers_each(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..150).map(|n| person(n * 10)).collect::<Vec<_>>()).await;
    let keys: Vec<_> = (0..1500).rev().map(key).collect();
    let found = table.rows().load(&keys).await.expect("load");
    assert_eq!(found.len(), keys.len());
    for (n, found) in (0..1500).rev().zip(found) {
        assert!(found == (n % 10 == 0).then(|| person(n)), "the answer to {n}");
    }
}

/// As far as the engine knows; of a table that was just filled it does.
pub async fn the_count_is_that_of_the_rows(fixture: &dyn RowsFixture) {
    let table = persons(fixture).await;
    put_all(&*table, &(0..25).map(person).collect::<Vec<_>>()).await;
    table.delete(&key(7)).await;
    assert_eq!(table.rows().count().await.expect("count"), 24);
}

/// With quotes in it, a keyword, letters of any case and script.
pub async fn any_name_is_only_a_name(fixture: &dyn RowsFixture) {
    let names = ["select", "a\"b", "a'b", "a b", "Größe", "k0", "$1", "v", "t.id", "-- x", "%s", "\\"];
    let columns = names.map(|name| (name, CellType::Text));
    let (id, rest) = columns.split_first().expect("some names");
    let table: Box<dyn FixtureTable> = fixture.table(&[*id], rest).await;
    let (key, cell) = (RowKey::new(vec![Cell::text("\"'; --")]), |n: usize| Cell::text(format!("'\"{n}")));
    let mut row = Row { key: key.clone(), cells: (0..rest.len()).map(cell).collect() };
    table.put(&row).await;
    same(&read_all(table.rows(), &Page::first(1)).await, std::slice::from_ref(&row), "what was put");
    for (at, (name, _)) in rest.iter().enumerate() {
        let only = table.rows().page(&Page::first(1).only(*name, cell(at))).await.expect("a page");
        same(&only, std::slice::from_ref(&row), name);
        assert!(swap_one(table.rows(), Swap::of(key.clone()).cell(at, cell(at), Cell::text(*name))).await, "{name}");
        *row.cells.get_mut(at).expect("a cell a name") = Cell::text(*name);
        same(load(table.rows(), &key).await.as_slice(), std::slice::from_ref(&row), name);
    }
}

/// Of a megabyte, in text and bytes; read, loaded, expected and written.
pub async fn large_cells_are_kept_whole(fixture: &dyn RowsFixture) {
    const LEN: usize = 1 << 20;
    let large = |n: u8| (Cell::text(char::from(b'a' + n).to_string().repeat(LEN)), Cell::bytes(vec![n; LEN]));
    let table = persons(fixture).await;
    let (text, bytes) = large(1);
    table.put(&Row { key: key(1), cells: vec![text.clone(), Cell::Null, bytes.clone()] }).await;
    let (new_text, new_bytes) = large(2);
    let swap = Swap::of(key(1)).cell(0, text, new_text.clone()).cell(BLOB, bytes.clone(), new_bytes.clone());
    assert!(swap_one(table.rows(), swap).await);
    let row = Row { key: key(1), cells: vec![new_text.clone(), Cell::Null, new_bytes] };
    // Not with `assert_eq`, which would print them.
    assert!(load(table.rows(), &key(1)).await.as_ref() == Some(&row), "what was loaded");
    assert!(read_all(table.rows(), &Page::first(10)).await == [row], "what was read");
    assert!(!swap_one(table.rows(), Swap::of(key(1)).cell(0, new_text, Cell::Null).guard(BLOB, bytes)).await);
}
