//! Columns of every type.

use std::slice;

use fieldseal::rows::{Cell, Page, RowKey, RowSource, RowsErrorKind, Swap, Table};
use fieldseal_sqlx::PostgresRows;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{customers, key, load, rename, source};
use crate::postgres::{execute, pool};

/// A type; two of its values as SQL has them, in the order of the type; and as cells.
struct Sample {
    ty: &'static str,
    sql: [&'static str; 2],
    cells: [Cell; 2],
}

fn samples() -> Vec<Sample> {
    let texts = |cells: [&str; 2]| cells.map(Cell::text);
    let samples = [
        ("bytea", ["'\\x00'", "'\\xff00'"], [Cell::bytes(*b"\0"), Cell::bytes(*b"\xFF\0")]),
        ("boolean", ["false", "true"], [false, true].map(Cell::Bool)),
        ("smallint", ["-32768", "32767"], [-32768, 32767].map(Cell::Integer)),
        ("integer", ["-2147483648", "2147483647"], [i64::from(i32::MIN), i64::from(i32::MAX)].map(Cell::Integer)),
        ("bigint", ["-9223372036854775808", "9223372036854775807"], [i64::MIN, i64::MAX].map(Cell::Integer)),
        ("real", ["-0.1", "3.4e38"], [f64::from(-0.1_f32), f64::from(3.4e38_f32)].map(Cell::Real)),
        ("double precision", ["-0.1", "'Infinity'"], [-0.1, f64::INFINITY].map(Cell::Real)),
        ("text", ["''", "'ada'"], texts(["", "ada"])),
        ("varchar(5)", ["'ada'", "'größe'"], texts(["ada", "größe"])),
        ("char(5)", ["'ada'", "'bob'"], texts(["ada", "bob"])),
        ("name", ["'ada'", "'bob'"], texts(["ada", "bob"])),
        (
            "uuid",
            ["'{00000000-0000-4000-8000-00000000000A}'", "'F81D4FAE7DEC11D0A76500A0C91E6BF6'"],
            texts(["00000000-0000-4000-8000-00000000000a", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"]),
        ),
        ("numeric", ["-12345678901234567890.10", "1.0"], texts(["-12345678901234567890.10", "1.0"])),
        ("numeric(6,2)", ["1", "'NaN'"], texts(["1.00", "NaN"])),
        ("date", ["'0044-03-15 BC'", "'2026-01-31'"], texts(["0044-03-15 BC", "2026-01-31"])),
        ("date", ["'0001-01-01'", "'infinity'"], texts(["0001-01-01", "infinity"])),
        ("time", ["'01:02:03'", "'23:59:59.5'"], texts(["01:02:03", "23:59:59.5"])),
        (
            "timestamptz",
            ["'0001-01-01 00:00:00+00'", "'2026-01-31 12:00:00.123456+05:30'"],
            texts(["0001-01-01T00:00:00.000000000Z", "2026-01-31T06:30:00.123456000Z"]),
        ),
        (
            "timestamptz",
            ["'-infinity'", "'0044-03-15 12:00:00+00 BC'"],
            texts(["-infinity", "0044-03-15 12:00:00+00 BC"]),
        ),
        (
            "timestamp",
            ["'9999-12-31 23:59:59.999999'", "'10000-01-01 00:00:00'"],
            texts(["9999-12-31T23:59:59.999999000", "10000-01-01 00:00:00"]),
        ),
        ("interval", ["'1 hour'", "'1 year 2 days'"], texts(["01:00:00", "1 year 2 days"])),
        ("jsonb", ["'{\"a\": 1}'", "'{\"a\":1,\"b\":[null]}'"], texts(["{\"a\": 1}", "{\"a\": 1, \"b\": [null]}"])),
        ("inet", ["'10.0.0.1'", "'10.1.0.0/16'"], texts(["10.0.0.1/32", "10.1.0.0/16"])),
        ("mood", ["'sad'", "'happy'"], texts(["sad", "happy"])),
        ("email", ["'a@b'", "'c@d'"], texts(["a@b", "c@d"])),
        ("number_of_number", ["1", "2"], [1, 2].map(Cell::Integer)),
        ("bytea[]", ["'{\"\\\\x00\"}'", "'{NULL}'"], texts(["{\"\\\\x00\"}", "{NULL}"])),
        (
            "timestamptz[]",
            ["'{2026-01-31 12:00:00+01}'", "'{2026-02-01 12:00:00+01}'"],
            texts(["{\"2026-01-31 11:00:00+00\"}", "{\"2026-02-01 11:00:00+00\"}"]),
        ),
    ];
    samples.map(|(ty, sql, cells)| Sample { ty, sql, cells }).into()
}

async fn types(pool: &PgPool) {
    execute(pool, "CREATE TYPE mood AS ENUM ('sad', 'happy')").await;
    execute(pool, "CREATE DOMAIN email AS text CHECK (value LIKE '%@%')").await;
    execute(pool, "CREATE DOMAIN number AS int CHECK (value > 0); CREATE DOMAIN number_of_number AS number").await;
}

/// A table of one sample: rows 1 and 2.
async fn filled(pool: &PgPool, sample: &Sample) -> PostgresRows {
    let Sample { ty, sql: [first, second], .. } = sample;
    execute(pool, &format!("DROP TABLE IF EXISTS sample; CREATE TABLE sample (id bigint PRIMARY KEY, cell {ty})"))
        .await;
    execute(pool, &format!("INSERT INTO sample VALUES (1, {first}), (2, {second})")).await;
    source(pool, Table::new("sample", ["id"], ["cell"])).await
}

#[track_caller]
fn is(found: &Cell, expected: &Cell, what: &str) {
    let show = |cell: &Cell| match cell {
        Cell::Text(text) => format!("{:?}", text.as_str()),
        Cell::Real(n) => format!("{n:?}"),
        cell => format!("{cell:?}"),
    };
    assert!(found == expected, "{what}: {} is not {}", show(found), show(expected));
}

pub(super) async fn a_column_of_any_type_is_read_and_swapped(database: PgConnectOptions) {
    let pool = pool(database).await;
    types(&pool).await;
    for sample in samples() {
        let (ty, [first, second]) = (sample.ty, &sample.cells);
        let rows = filled(&pool, &sample).await;
        let read = rows.page(&Page::first(5)).await.unwrap();
        is(&read[0].cells[0], first, ty);
        is(&read[1].cells[0], second, ty);
        let swap = |n: i64, old: &Cell, new: &Cell| Swap::of(key(n)).cell(0, old.clone(), new.clone());
        let wrong = [swap(1, second, first), swap(2, first, second), swap(1, &Cell::Null, first)];
        assert_eq!(rows.swap(&wrong).await.unwrap(), [false; 3], "{ty}");
        assert_eq!(
            rows.swap(&[swap(1, first, second), swap(2, second, &Cell::Null)]).await.unwrap(),
            [true; 2],
            "{ty}"
        );
        is(&load(&rows, key(1)).await[0], second, ty);
        is(&load(&rows, key(2)).await[0], &Cell::Null, ty);
        assert_eq!(rows.swap(&[swap(2, &Cell::Null, first)]).await.unwrap(), [true], "{ty}");
        is(&load(&rows, key(2)).await[0], first, ty);
    }
}

pub(super) async fn a_column_of_any_type_is_a_key(database: PgConnectOptions) {
    let pool = pool(database).await;
    types(&pool).await;
    for sample in samples() {
        let Sample { ty, sql: [first, second], cells } = &sample;
        let keys = cells.clone().map(|cell| RowKey::new(vec![cell]));
        execute(&pool, &format!("DROP TABLE IF EXISTS sample; CREATE TABLE sample (cell {ty} PRIMARY KEY, n int)"))
            .await;
        execute(&pool, &format!("INSERT INTO sample VALUES ({second}, 2), ({first}, 1)")).await;
        let rows = source(&pool, Table::new("sample", ["cell"], ["n"])).await;
        let read = rows.page(&Page::first(5)).await.unwrap();
        assert!(read.iter().map(|row| &row.key).eq(&keys), "{ty}");
        let behind = rows.page(&Page::first(5).starting_after(keys[0].clone())).await.unwrap();
        assert!(behind.iter().map(|row| &row.key).eq(&keys[1..]), "{ty}: behind the first");
        assert!(
            rows.page(&Page::first(5).starting_after(keys[1].clone())).await.unwrap().is_empty(),
            "{ty}: behind the last"
        );
        for (n, key) in (1..).zip(keys) {
            is(&load(&rows, key.clone()).await[0], &Cell::Integer(n), ty);
            let swap = Swap::of(key).cell(0, Cell::Integer(n), Cell::Integer(n + 2));
            assert_eq!(rows.swap(slice::from_ref(&swap)).await.unwrap(), [true], "{ty}");
            assert_eq!(rows.swap(&[swap]).await.unwrap(), [false], "{ty}");
        }
    }
}

pub(super) async fn a_row_is_found_by_a_column_of_any_type(database: PgConnectOptions) {
    let pool = pool(database).await;
    types(&pool).await;
    for sample in samples() {
        let rows = filled(&pool, &sample).await;
        for (n, cell) in (1..).zip(sample.cells) {
            let found = rows.page(&Page::first(5).only("cell", cell)).await.unwrap();
            assert!(found.iter().map(|row| &row.key).eq([&key(n)]), "{}", sample.ty);
        }
        assert!(rows.page(&Page::first(5).only("cell", Cell::Null)).await.unwrap().is_empty(), "{}", sample.ty);
        for other in [Cell::text("nothing of the kind"), Cell::bytes(*b"?"), Cell::Integer(77)] {
            assert!(rows.page(&Page::first(5).only("cell", other)).await.unwrap().is_empty(), "{}", sample.ty);
        }
    }
}

/// As what is expected it stands nowhere; to be written it is an error that shows nothing of it; as a key it is one of
/// another table.
pub(super) async fn what_a_column_can_not_hold_is_refused_or_no_match(database: PgConnectOptions) {
    let pool = pool(database).await;
    execute(&pool, "CREATE TABLE held (id int PRIMARY KEY, small smallint, short varchar(4), who uuid, blob bytea)")
        .await;
    execute(&pool, "INSERT INTO held VALUES (1, 7, 'ada', '00000000-0000-4000-8000-00000000000a', '\\x61')").await;
    let rows = source(&pool, Table::new("held", ["id"], ["small", "short", "who", "blob"])).await;
    let stands = load(&rows, key(1)).await;
    for (at, what) in [
        (0, Cell::Integer(65_543)), // 7, if it were cut off
        (0, Cell::text("7")),
        (0, Cell::Real(7.0)),
        (1, Cell::text("ada4711")),
        (1, Cell::text("ada\0")),
        (1, Cell::bytes(*b"ada")),
        (2, Cell::text("4711")),
        (3, Cell::text("a")),
    ] {
        let expecting = Swap::of(key(1)).cell(at, what.clone(), stands[at].clone());
        assert_eq!(rows.swap(&[expecting]).await.unwrap(), [false], "{at}: {what:?}");
        assert!(rows.page(&Page::first(1).only(&rows.columns()[at], what.clone())).await.unwrap().is_empty());
        let writing = Swap::of(key(1)).cell(at, stands[at].clone(), what.clone());
        let other = Swap::of(key(1)).cell(3, stands[3].clone(), Cell::Null);
        let error = rows.swap(&[other, writing]).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{at}: {error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("4711") && !shown.contains("65543"), "{shown}");
        assert!(load(&rows, key(1)).await == stands, "{at}: nothing was changed");
    }
    assert_eq!(rows.load(&[key(i64::from(i32::MAX) + 2)]).await.unwrap(), [None], "too great for the column: no row");
    for key in [vec![Cell::text("1")], vec![Cell::Integer(1), Cell::Integer(1)], vec![Cell::Null]].map(RowKey::new) {
        let swap = Swap::of(key.clone()).cell(3, Cell::Null, Cell::Null);
        let loaded = rows.load(slice::from_ref(&key)).await.unwrap_err();
        let mut errors = vec![loaded, rows.swap(&[swap]).await.unwrap_err()];
        match rows.page(&Page::first(1).starting_after(key.clone())).await {
            Err(error) => errors.push(error),
            Ok(behind) => assert!(behind.is_empty() && !key.names_a_row(), "behind what no key names there is nothing"),
        }
        for error in errors {
            assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
        }
    }
}

pub(super) async fn how_a_session_writes_values_does_not_matter(database: PgConnectOptions) {
    const SETTINGS: [&str; 8] = [
        "SET DateStyle TO 'SQL, DMY'",
        "SET TimeZone TO 'Asia/Kolkata'",
        "SET IntervalStyle TO iso_8601",
        "SET extra_float_digits TO -10",
        "SET bytea_output TO escape",
        "SET standard_conforming_strings TO off",
        "SET default_transaction_isolation TO serializable",
        "SET lc_messages TO 'C'",
    ];
    let plain = pool(database.clone()).await;
    types(&plain).await;
    let odd = PgPoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(async {
                for setting in SETTINGS {
                    sqlx::raw_sql(setting).execute(&mut *connection).await?;
                }
                Ok(())
            })
        })
        .connect_with(database)
        .await
        .unwrap();
    for sample in samples() {
        let rows = filled(&plain, &sample).await;
        let through_odd = source(&odd, Table::new("sample", ["id"], ["cell"])).await;
        let (read, odd_read) =
            (rows.page(&Page::first(5)).await.unwrap(), through_odd.page(&Page::first(5)).await.unwrap());
        assert!(read == odd_read, "{}", sample.ty);
        let [first, second] = sample.cells;
        let swap = Swap::of(key(1)).cell(0, first, second.clone());
        assert_eq!(through_odd.swap(&[swap]).await.unwrap(), [true], "{}", sample.ty);
        is(&load(&rows, key(1)).await[0], &second, sample.ty);
    }
    let (style, zone): (String, String) =
        sqlx::query_as("SELECT current_setting('DateStyle'), current_setting('TimeZone')")
            .fetch_one(&odd)
            .await
            .unwrap();
    assert_eq!((&*style, &*zone), ("SQL, DMY", "Asia/Kolkata"), "the session is as the application made it");
}

pub(super) async fn text_that_the_collation_holds_to_be_equal_is_not_the_same(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await;
    let create = "CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
    execute(&pool, create).await;
    execute(&pool, "ALTER TABLE customer ALTER email TYPE text COLLATE caseless").await;
    let equal: bool =
        sqlx::query_scalar("SELECT email = 'ADA' FROM customer WHERE id = 1").fetch_one(&pool).await.unwrap();
    assert!(equal, "in the collation's eyes");
    assert_eq!(rows.swap(&[rename(1, "ADA", "new")]).await.unwrap(), [false]);
    assert!(rows.page(&Page::first(5).only("email", Cell::text("ADA"))).await.unwrap().is_empty());
    assert_eq!(rows.page(&Page::first(5).only("email", Cell::text("ada"))).await.unwrap().len(), 1);
    assert_eq!(rows.swap(&[rename(1, "ada", "new")]).await.unwrap(), [true]);
}
