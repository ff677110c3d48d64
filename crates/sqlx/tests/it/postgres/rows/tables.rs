//! What a table may be, and what is refused.

use fieldseal::jobs::Form;
use fieldseal::rows::{Cell, Page, Row, RowKey, RowSource, RowsErrorKind, Swap, Table};
use fieldseal_sqlx::PostgresRows;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::{customers, key, load, rename, source};
use crate::postgres::{execute, pool};

pub(super) async fn names_are_names(database: PgConnectOptions) {
    let pool = pool(database).await;
    execute(&pool, r#"CREATE SCHEMA "Sa""les"; CREATE TABLE customer ("ID" int PRIMARY KEY, "E""mail" text)"#).await;
    execute(&pool, r#"CREATE TABLE "Sa""les"."Cust'omer" ("I d" int PRIMARY KEY, "E""mail" text, gone text)"#).await;
    execute(&pool, r#"ALTER TABLE "Sa""les"."Cust'omer" DROP gone"#).await;
    execute(&pool, r#"INSERT INTO "Sa""les"."Cust'omer" VALUES (1, 'ada')"#).await;
    let rows = source(&pool, Table::new("Sa\"les.Cust'omer", ["I d"], ["E\"mail"])).await;
    assert_eq!(rows.swap(&[rename(1, "ada", "eve"), rename(2, "ada", "eve")]).await.unwrap(), [true, false]);
    assert!(load(&rows, key(1)).await == [Cell::text("eve")]);
    assert_eq!(rows.count().await.unwrap(), 1);
}

/// At the time when the source is made; afterwards it is that table, whatever the connection.
pub(super) async fn a_name_without_a_schema_is_that_of_the_search_path(database: PgConnectOptions) {
    let plain = pool(database.clone()).await;
    execute(&plain, "CREATE SCHEMA sales; CREATE TABLE sales.customer (id int PRIMARY KEY, email text)").await;
    execute(&plain, "INSERT INTO sales.customer VALUES (1, 'of sales')").await;
    let one = PgPoolOptions::new().max_connections(1).connect_with(database).await.unwrap();
    let error = PostgresRows::new(one.clone(), Table::new("customer", ["id"], ["email"])).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    execute(&one, "SET search_path TO sales, public").await;
    let rows = source(&one, Table::new("customer", ["id"], ["email"])).await;
    execute(&one, "CREATE TABLE public.customer (id int PRIMARY KEY, email text); SET search_path TO public").await;
    assert!(load(&rows, key(1)).await == [Cell::text("of sales")]);
}

pub(super) async fn what_is_not_there_is_misconfigured(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await;
    execute(&pool, "CREATE INDEX phones ON customer (phone); ALTER TABLE customer ADD gone text, ADD old text").await;
    execute(&pool, "ALTER TABLE customer DROP gone").await;
    for (what, table) in [
        ("no such table", Table::new("customers", ["id"], ["email"])),
        ("a name of other case", Table::new("Customer", ["id"], ["email"])),
        ("no such schema", Table::new("sales.customer", ["id"], ["email"])),
        ("another database", Table::new("other.public.customer", ["id"], ["email"])),
        ("an index", Table::new("phones", ["phone"], ["phone"])),
        ("no such column", Table::new("customer", ["id"], ["mail"])),
        ("no such key", Table::new("customer", ["number"], ["email"])),
        ("a dropped column", Table::new("customer", ["id"], ["gone"])),
        ("a system column", Table::new("customer", ["id"], ["xmin"])),
        ("no key", Table::new("customer", [""; 0], ["email"])),
    ] {
        let error = PostgresRows::new(pool.clone(), table).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{what}: {error:?}");
    }
    // It goes while it is worked on.
    let old = source(&pool, Table::new("customer", ["id"], ["old"])).await;
    execute(&pool, "ALTER TABLE customer DROP old").await;
    let error = old.page(&Page::first(5)).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    execute(&pool, "DROP TABLE customer").await;
    let errors = [
        rows.page(&Page::first(5)).await.unwrap_err(),
        rows.load(&[key(1)]).await.unwrap_err(),
        rows.swap(&[rename(1, "ada", "eve")]).await.unwrap_err(),
        rows.count().await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    }
}

pub(super) async fn what_the_role_may_not_do_is_denied(database: PgConnectOptions) {
    let owner = pool(database.clone()).await;
    customers(&owner).await;
    // Roles are the server's, which the tests share.
    execute(&owner, "DROP ROLE IF EXISTS clerk; CREATE ROLE clerk LOGIN; CREATE SCHEMA secret").await;
    execute(&owner, "CREATE TABLE secret.customer (id int PRIMARY KEY, email text)").await;
    let clerk = pool(database.username("clerk")).await;
    let denied = async |table: Table| {
        let error = PostgresRows::new(clerk.clone(), table).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Denied, "{error:?}");
    };
    denied(Table::new("customer", ["id"], ["email"])).await;
    denied(Table::new("secret.customer", ["id"], ["email"])).await;
    execute(&owner, "GRANT SELECT (id, phone) ON customer TO clerk").await;
    denied(Table::new("customer", ["id"], ["phone", "email"])).await;
    source(&clerk, Table::new("customer", ["id"], ["phone"])).await;
    execute(&owner, "GRANT SELECT ON customer TO clerk").await;
    let rows = source(&clerk, Table::new("customer", ["id"], ["email"])).await;
    assert_eq!(rows.page(&Page::first(5)).await.unwrap().len(), 2);
    let error = rows.swap(&[rename(1, "ada", "eve")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Denied, "{error:?}");
    execute(&owner, "GRANT UPDATE (email) ON customer TO clerk").await;
    assert_eq!(rows.swap(&[rename(1, "ada", "eve")]).await.unwrap(), [true]);
    let columns = [("email_sealed".to_owned(), Form::Bytes)];
    let error = PostgresRows::add_columns(&clerk, "customer", &columns).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Denied, "{error:?}");

    let reading = PgPoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(async {
                sqlx::raw_sql("SET default_transaction_read_only TO on").execute(connection).await.map(drop)
            })
        })
        .connect_with(owner.connect_options().as_ref().clone())
        .await
        .unwrap();
    let rows = source(&reading, Table::new("customer", ["id"], ["email"])).await;
    let error = rows.swap(&[rename(2, "bob", "eve")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Denied, "{error:?}");
    clerk.close().await;
    execute(&owner, "DROP OWNED BY clerk; DROP ROLE clerk").await;
}

pub(super) async fn a_partitioned_table_and_a_view_are_tables(database: PgConnectOptions) {
    let pool = pool(database).await;
    execute(&pool, "CREATE TABLE parted (id int PRIMARY KEY, email text) PARTITION BY RANGE (id)").await;
    execute(&pool, "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (10)").await;
    execute(&pool, "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (10) TO (20)").await;
    execute(&pool, "CREATE VIEW seen AS SELECT * FROM parted").await;
    for name in ["parted", "seen"] {
        execute(&pool, "DELETE FROM parted; INSERT INTO parted VALUES (11, 'bob'), (1, 'ada'), (12, 'eve')").await;
        let rows = source(&pool, Table::new(name, ["id"], ["email"])).await;
        let keys =
            async |page: Page| rows.page(&page).await.unwrap().into_iter().map(|row| row.key).collect::<Vec<_>>();
        assert!(keys(Page::first(2)).await == [key(1), key(11)], "{name}");
        assert!(keys(Page::first(2).starting_after(key(11))).await == [key(12)], "{name}");
        assert_eq!(rows.swap(&[rename(11, "bob", "b"), rename(1, "ada", "a")]).await.unwrap(), [true; 2], "{name}");
        assert_eq!(rows.count().await.unwrap(), 3, "{name}");
        assert!(load(&rows, key(11)).await == [Cell::text("b")], "{name}");
    }
}

pub(super) async fn a_key_that_names_several_rows_changes_none(database: PgConnectOptions) {
    let pool = pool(database).await;
    execute(&pool, "CREATE TABLE visit (customer int, note text)").await;
    execute(&pool, "INSERT INTO visit VALUES (1, 'a'), (2, 'a'), (2, 'b')").await;
    let rows = source(&pool, Table::new("visit", ["customer"], ["note"])).await;
    let error = rows.load(&[key(1), key(2)]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    // Only one of the two is as expected.
    let error = rows.swap(&[rename(1, "a", "c"), rename(2, "a", "c")]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    let changed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM visit WHERE note = 'c'").fetch_one(&pool).await.unwrap();
    assert_eq!(changed, 0);
    assert_eq!(rows.swap(&[rename(1, "a", "b"), rename(1, "b", "c")]).await.unwrap(), [true, true], "twice one row");
}

pub(super) async fn a_row_that_no_key_names_is_unreadable_and_comes_last(database: PgConnectOptions) {
    let pool = pool(database).await;
    customers(&pool).await;
    let rows = source(&pool, Table::new("customer", ["phone"], ["email"])).await;
    let null = RowKey::new(vec![Cell::Null]);
    let ada = Row { key: RowKey::new(vec![Cell::bytes([0])]), cells: vec![Cell::text("ada")] };
    assert!(rows.page(&Page::first(5)).await.unwrap() == [ada.clone(), Row::unreadable(null.clone())]);
    assert!(rows.page(&Page::first(1)).await.unwrap() == [ada.clone()]);
    let behind = |key: &RowKey| Page::first(1).starting_after(key.clone());
    assert!(rows.page(&behind(&ada.key)).await.unwrap() == [Row::unreadable(null.clone())]);
    assert!(rows.page(&behind(&null)).await.unwrap().is_empty());
    let error = rows.load(&[null]).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

/// A view that can't be computed of one row; a text of which the server has no UTF-8 is the same to a client.
pub(super) async fn a_row_that_can_not_be_handed_over_fails_no_page(database: PgConnectOptions) {
    let pool = pool(database).await;
    customers(&pool).await;
    execute(&pool, "INSERT INTO customer VALUES (3, 'eve', NULL)").await;
    execute(&pool, "CREATE VIEW odd AS SELECT id, email, 6 / (id - 2) AS part FROM customer").await;
    let rows = source(&pool, Table::new("odd", ["id"], ["email", "part"])).await;
    let whole =
        |n: i64, email: &str, part: i64| Row { key: key(n), cells: vec![Cell::text(email), Cell::Integer(part)] };
    let all = [whole(1, "ada", -6), Row::unreadable(key(2)), whole(3, "eve", 6)];
    assert!(rows.page(&Page::first(5)).await.unwrap() == all);
    assert!(rows.page(&Page::first(2).starting_after(key(1))).await.unwrap() == all[1..]);
    let loaded = rows.load(&[key(3), key(2), key(9)]).await.unwrap();
    assert!(loaded == [Some(all[2].clone()), Some(all[1].clone()), None]);
}

/// PostgreSQL's own messages, and a trigger's, do.
pub(super) async fn what_a_constraint_or_trigger_refuses_shows_no_value(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await;
    execute(&pool, "CREATE UNIQUE INDEX one_email ON customer (email)").await;
    execute(&pool, "ALTER TABLE customer ADD CONSTRAINT short CHECK (length(email) < 10)").await;
    execute(
        &pool,
        "CREATE FUNCTION grumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.email LIKE 'P%' THEN RAISE 'not %', NEW.email; END IF;
             IF NEW.email LIKE 'Q%' THEN RAISE 'not %', NEW.email USING ERRCODE = '42P01', CONSTRAINT = NEW.email; END IF;
             IF NEW.email LIKE 'R%' THEN RETURN NULL; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER grumble BEFORE UPDATE ON customer FOR EACH ROW EXECUTE FUNCTION grumble()",
    )
    .await;
    for (value, said) in [
        ("bob", Some("one_email")),
        ("4711@example.com", Some("short")),
        ("P4711", Some("P0001")),
        ("Q4711", Some("42P01")),
    ] {
        let fine = Swap::of(key(2)).cell(1, Cell::Null, Cell::bytes(*b"1"));
        let error = rows.swap(&[fine, rename(1, "ada", value)]).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("bob") && !shown.contains("4711") && !shown.contains("ada"), "{shown}");
        assert!(said.is_none_or(|said| shown.contains(said)), "{shown}");
    }
    assert_eq!(rows.swap(&[rename(1, "ada", "R")]).await.unwrap(), [false], "a trigger that lets the row be");
    let stands = [vec![Cell::text("ada"), Cell::bytes(*b"\0")], vec![Cell::text("bob"), Cell::Null]];
    assert!(rows.page(&Page::first(5)).await.unwrap().iter().map(|row| &row.cells).eq(&stands), "nothing was changed");
}

pub(super) async fn columns_are_added_once(database: PgConnectOptions) {
    let pool = pool(database).await;
    customers(&pool).await;
    let file = "SELECT pg_relation_filenode('customer')::int8";
    let before: i64 = sqlx::query_scalar(file).fetch_one(&pool).await.unwrap();
    let columns = [
        ("email_sealed".to_owned(), Form::Bytes),
        ("Note \"sealed\"".to_owned(), Form::Text),
        ("phone".to_owned(), Form::Text),
    ];
    let added = PostgresRows::add_columns(&pool, "customer", &columns).await.unwrap();
    assert_eq!(added, ["email_sealed", "Note \"sealed\""]);
    assert!(PostgresRows::add_columns(&pool, "public.customer", &columns).await.unwrap().is_empty());
    let types: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_name = 'customer' ORDER BY ordinal_position",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let types: Vec<_> = types.iter().map(|(name, ty)| (&**name, &**ty)).collect();
    let expected = [("phone", "bytea"), ("email_sealed", "bytea"), ("Note \"sealed\"", "text")];
    assert_eq!(types[2..], expected);
    let after: i64 = sqlx::query_scalar(file).fetch_one(&pool).await.unwrap();
    assert_eq!(before, after, "the table was not written anew");
    let long = [("x".repeat(64), Form::Bytes)];
    for (table, columns) in [("nobody", &columns[..]), ("customer", &long)] {
        let error = PostgresRows::add_columns(&pool, table, columns).await.unwrap_err();
        assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
    }
}

pub(super) async fn columns_that_are_missing_are_named_without_being_added(database: PgConnectOptions) {
    let pool = pool(database).await;
    customers(&pool).await;
    let missing = async |table: Table| PostgresRows::missing_columns(&pool, &table).await;
    let table = Table::new("customer", ["number", "id"], ["Email", "email", "number"]);
    assert_eq!(missing(table.clone()).await.unwrap(), ["number", "Email"]);
    assert_eq!(missing(table).await.unwrap(), ["number", "Email"]);
    assert!(missing(Table::new("public.customer", ["id"], ["phone"])).await.unwrap().is_empty());
    let error = missing(Table::new("nobody", ["id"], ["phone"])).await.unwrap_err();
    assert_eq!(error.kind(), RowsErrorKind::Misconfigured, "{error:?}");
}

pub(super) async fn an_analysed_table_is_counted_by_its_statistics(database: PgConnectOptions) {
    let pool = pool(database).await;
    let rows = customers(&pool).await;
    execute(&pool, "ALTER TABLE customer SET (autovacuum_enabled = off)").await;
    assert_eq!(rows.count().await.unwrap(), 2, "never analyzed: counted");
    execute(&pool, "INSERT INTO customer SELECT n, 'x' FROM generate_series(3, 100) n; ANALYZE customer").await;
    execute(&pool, "DELETE FROM customer WHERE id > 90").await;
    assert_eq!(rows.count().await.unwrap(), 100);
}

/// However large the table: no call goes through rows that it isn't about.
pub(super) async fn calls_go_by_the_index_of_the_key(database: PgConnectOptions) {
    // One connection: a session counts what it scanned, and tells when asked to.
    let pool = PgPoolOptions::new().max_connections(1).connect_with(database).await.unwrap();
    execute(&pool, "CREATE TABLE visit (tenant text, day date, n int, note text, PRIMARY KEY (tenant, day, n))").await;
    execute(&pool, "ALTER TABLE visit SET (autovacuum_enabled = off)").await;
    let fill = "INSERT INTO visit SELECT 'acme', '2026-01-01', n, 'x' FROM generate_series(1, 5000) n";
    execute(&pool, fill).await;
    execute(&pool, "ANALYZE visit").await;
    let scanned = async || {
        execute(&pool, "SELECT pg_stat_force_next_flush()").await;
        let scanned = "SELECT seq_scan, idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'visit'";
        sqlx::query_as::<_, (i64, i64)>(scanned).fetch_one(&pool).await.unwrap()
    };
    let rows = source(&pool, Table::new("visit", ["tenant", "day", "n"], ["note"])).await;
    let key = |n: i64| RowKey::new(vec![Cell::text("acme"), Cell::text("2026-01-01"), Cell::Integer(n)]);
    let keys: Vec<_> = (1..=20).map(|n| key(n * 200)).collect();
    let before = scanned().await;

    let page = rows.page(&Page::first(20).starting_after(key(4000))).await.unwrap();
    assert!(page.len() == 20 && page.iter().zip(4001..).all(|(row, n)| row.key == key(n)));
    assert!(rows.load(&keys).await.unwrap().iter().all(Option::is_some));
    let swaps: Vec<_> = keys.iter().map(|key| Swap::of(key.clone()).cell(0, Cell::text("x"), Cell::Null)).collect();
    assert_eq!(rows.swap(&swaps).await.unwrap(), [true; 20]);

    let after = scanned().await;
    assert_eq!(after.0, before.0, "the table was gone through");
    let fetched = after.1 - before.1;
    assert!((80..=200).contains(&fetched), "{fetched} rows were fetched for a page, a load and a swap of 20");
}
