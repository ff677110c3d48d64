//! The commands on tables, through `database = "postgres://.."`: what differs from SQLite is the server, its types and roles.

mod shared;

use std::fs;

use fieldseal::{Record, Sealed, Vault};
use fleet_tests::harness::{Blocking, Completion, Trial};
use fleet_tests::postgres::{Databases, Server, url};
use fleet_tests::tests;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::types::Text;
use sqlx::{AssertSqlSafe, Connection as _, FromRow};
use tokio::runtime::Builder;
use uuid::Uuid;

use crate::folder::{CONFIG, Folder, Ran};

pub(crate) fn trials(databases: &Databases) -> Vec<Trial> {
    let mut trials = tests![databases =>
        values_move_to_the_current_key_and_open_as_before
        a_census_is_taken_and_retired_upon
        what_is_held_is_revealed
        a_table_is_adopted_in_four_steps
        what_the_server_refuses_is_told_with_its_code
        however_many_pages_are_worked_on_each_has_a_connection
    ];
    let shared = "postgres::shared::each_job_is_shared_by_two_processes_and_one_is_killed";
    trials.push(on_server(databases, shared, shared::each_job_is_shared_by_two_processes_and_one_is_killed));
    trials
}

/// A test that makes itself as many databases as it needs.
pub(crate) fn on_server(databases: &Databases, name: &str, test: impl AsyncFnOnce(&Server) + Send + 'static) -> Trial {
    let databases = databases.clone();
    Blocking::new().ignored(databases.which().skip()).trial(name, move || {
        let Some(server) = databases.server() else { return Completion::ignored_with("it is not installed") };
        Builder::new_current_thread().enable_all().build().unwrap().block_on(test(server));
        Completion::Completed
    })
}

#[derive(Debug, Record, FromRow)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
    id: Uuid,
    email: Sealed<String>,
    #[record(purpose = "billing")]
    iban: Option<Text<Sealed<String>>>,
}

/// A vault in files, and tables on the server: customers sealed under a key that was rotated since, and guests in the clear.
struct Shop {
    folder: Folder,
    pool: PgPool,
    database: PgConnectOptions,
}

const CUSTOMERS: i64 = 7;

impl Shop {
    async fn new(database: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new().max_connections(4).connect_with(database.clone()).await.unwrap();
        let shop = Self { folder: Folder::new(), pool, database };
        shop.configure("postgres", "");
        shop.execute(
            "CREATE SCHEMA shop;
             CREATE TABLE shop.customer (id UUID PRIMARY KEY, email BYTEA NOT NULL, iban TEXT);
             CREATE TABLE guest (id BIGINT PRIMARY KEY, name TEXT, born DATE);
             INSERT INTO guest SELECT n, 'Ben ' || n, DATE '1572-06-11' + n::int FROM generate_series(1, 9) n",
        )
        .await;
        let vault = shop.folder.vault().await.unwrap();
        for id in 1..=CUSTOMERS {
            shop.insert(&vault, id).await;
            vault.default_tenant().rotate_now(&Customer::subject_of(&person(id)).unwrap()).await.unwrap();
        }
        shop
    }

    /// As this role, and with more in the URL.
    fn configure(&self, role: &str, more: &str) {
        let url = url(role, &self.database);
        self.folder.configure(&format!("{CONFIG}database = \"{url}{more}\"\n{TABLES}"));
    }

    async fn insert(&self, vault: &Vault, id: i64) {
        let iban = (id % 2 == 1).then(|| format!("DE00 {id}").into());
        let plain = CustomerPlain { id: person(id), email: format!("{id}@example.com").into(), iban };
        let keys = vault.default_tenant().enroll(&plain).await.unwrap();
        let row = Customer::seal(&plain, &keys).unwrap();
        sqlx::query("INSERT INTO shop.customer VALUES ($1, $2, $3)")
            .bind(row.id)
            .bind(&row.email)
            .bind(&row.iban)
            .execute(&self.pool)
            .await
            .unwrap();
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    async fn opens(&self) {
        let customers = self.folder.customers().await.unwrap();
        let rows: Vec<Customer> =
            sqlx::query_as("SELECT * FROM shop.customer ORDER BY id").fetch_all(&self.pool).await.unwrap();
        assert_eq!(rows.len(), usize::try_from(CUSTOMERS).unwrap());
        for (id, row) in (1..).zip(rows) {
            let opened = row.open(&customers.keys(&row).await.unwrap()).unwrap();
            assert_eq!(*opened.email.expose(), format!("{id}@example.com"));
            assert_eq!(opened.iban.is_some(), id % 2 == 1);
        }
    }

    /// Nothing that a run says names anybody.
    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        let ran = self.folder.run(args);
        for secret in ["40008000", "4000-8000", "@example.com", "DE00", "Ben ", "1572"] {
            assert!(!ran.out.contains(secret) && !ran.err.contains(secret), "{ran:?}");
        }
        ran
    }

    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Value {
        self.run(&[args, &["--json"]].concat()).exits(code).json()
    }
}

fn person(id: i64) -> Uuid {
    Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::try_from(id).unwrap())
}

const TABLES: &str = r#"
[[table]]
name = "shop.customer"
schema = "customer"
key = ["id"]
subject = { kind = "customer", column = "id", type = "uuid" }
ids = [{ column = "id", type = "uuid" }]

[[table.field]]
column = "email"
type = "text"

[[table.field]]
column = "iban"
purpose = "billing"
form = "text"
type = "text"

[[table]]
name = "guest"
schema = "guest"
key = ["id"]
subject = { kind = "customer", column = "id", type = "integer" }
ids = [{ column = "id", type = "integer" }]

[[table.field]]
column = "name"
form = "text"
type = "text"
from = "name"

[[table.field]]
column = "born_sealed"
field = "born"
type = "date"
from = "born"
"#;

const SHOP: [&str; 2] = ["--table", "shop.customer"];

async fn values_move_to_the_current_key_and_open_as_before(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    let dry = shop.json(&[&["reseal", "--dry-run"], &SHOP[..]].concat(), 0);
    assert_eq!(dry["values"], 11);
    let parts = ["1/2", "2/2"].map(|part| {
        let done = shop.json(&[&["reseal", "--shard", part, "--batch", "2"], &SHOP[..]].concat(), 0);
        done["tables"][0]["changed"].as_u64().unwrap()
    });
    assert_eq!(parts.iter().sum::<u64>(), 11);
    assert_eq!(shop.json(&[&["reseal"], &SHOP[..]].concat(), 0)["tables"][0]["current"], 11);
    shop.opens().await;
    // The whole configuration, of which a table has no columns yet.
    shop.run(&["reseal"]).fails(2, "\"born_sealed\"");
}

async fn a_census_is_taken_and_retired_upon(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    shop.run(&["adopt", "expand"]).done();
    shop.run(&["adopt", "backfill"]).done();
    let census = shop.json(&["census", "--file", "kept.census"], 0);
    let count = |key: &str| {
        let versions = census["versions"].as_array().unwrap().iter();
        versions.filter(|v| v["key"] == key).map(|v| v["values"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((count("older"), count("current"), &census["rows"]), (11, 18, &json!(16)));
    let young = shop.json(&["census", "--retire", "1d", "--yes"], 0);
    assert_eq!(young["retired"]["versions"], 0, "what ended a moment ago may be under way");
    shop.run(&["report", "--census", "kept.census"]).done();
    let page = fs::read_to_string(shop.folder.path("report.html")).unwrap();
    assert!(page.contains("shop.customer") && !page.contains("postgres:"), "{page}");
    shop.opens().await;
}

async fn what_is_held_is_revealed(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    shop.run(&["adopt", "expand"]).done();
    let three = format!("customer:{}", person(3));
    let ran = shop.folder.run(&["reveal", &three]).done();
    let row = &ran.json()["rows"][0];
    assert_eq!(row["fields"], json!({ "email": "3@example.com", "iban": "DE00 3" }));
    let nobody = format!("customer:{}", person(99));
    assert_eq!(shop.folder.run(&[&["reveal", &nobody], &SHOP[..]].concat()).done().json()["rows"], json!([]));
    shop.run(&["reveal", "--all", "--batch", "3", "--output", "all.jsonl"]).exits(0);
    let all = fs::read_to_string(shop.folder.path("all.jsonl")).unwrap();
    assert_eq!((all.lines().count(), all.matches("@example.com").count(), all.matches("Ben ").count()), (16, 7, 9));
    assert!(all.contains("1572-06-12"), "a date as PostgreSQL has it");
}

async fn a_table_is_adopted_in_four_steps(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    let dry = shop.json(&["adopt", "expand", "--dry-run"], 0);
    let born = json!([{ "table": "guest", "column": "born_sealed" }]);
    assert_eq!((&dry["columns"], &dry["dry_run"]), (&born, &json!(true)));
    assert_eq!(shop.json(&["adopt", "expand"], 0)["columns"], born);
    assert_eq!(shop.json(&["adopt", "expand"], 0)["columns"], json!([]));
    shop.run(&["adopt", "verify"]).exits(8);
    assert_eq!(shop.json(&["adopt", "backfill", "--batch", "2", "--workers", "3"], 0)["tables"][0]["changed"], 18);
    shop.run(&["adopt", "verify"]).done();
    assert_eq!(shop.json(&["adopt", "contract", "--yes"], 0)["tables"][0]["changed"], 9);
    let left: i64 = sqlx::query_scalar("SELECT count(born) + count(*) FILTER (WHERE name LIKE 'Ben%') FROM guest")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

async fn what_the_server_refuses_is_told_with_its_code(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    let reseal = [&["reseal"], &SHOP[..]].concat();
    shop.execute(
        "CREATE ROLE reader LOGIN; GRANT USAGE ON SCHEMA shop TO reader; GRANT SELECT ON shop.customer TO reader",
    )
    .await;
    let all = "SELECT string_agg(email::text || coalesce(iban, ''), ' ' ORDER BY id) FROM shop.customer";
    let before: String = sqlx::query_scalar(all).fetch_one(&shop.pool).await.unwrap();
    for (role, more, code, says) in [
        ("reader", "", 2, "the role lacks a privilege"),
        ("nobody", "", 2, "the server refuses this user"),
        ("postgres", "_gone", 2, "the server has no database of this name"),
        ("postgres", "?sslmode=require", 2, "TLS"),
    ] {
        shop.configure(role, more);
        shop.run(&reseal).fails(code, says);
        let after: String = sqlx::query_scalar(all).fetch_one(&shop.pool).await.unwrap();
        assert_eq!(after, before);
    }
    shop.configure("reader", "");
    shop.run(&[&["census"], &SHOP[..]].concat()).done();
    shop.configure("postgres", "");
    // A row that the application holds for long.
    let mut other = shop.pool.acquire().await.unwrap();
    let turn = {
        let mut turn = other.begin().await.unwrap();
        sqlx::query("SELECT FROM shop.customer FOR UPDATE").execute(&mut *turn).await.unwrap();
        turn
    };
    shop.run(&reseal).fails(6, "a transaction of the application holds the table or a row for long");
    turn.rollback().await.unwrap();
    shop.run(&reseal).done();
    shop.opens().await;
}

async fn however_many_pages_are_worked_on_each_has_a_connection(database: PgConnectOptions) {
    let shop = Shop::new(database).await;
    let done = shop.json(&[&["reseal", "--batch", "1", "--workers", "32"], &SHOP[..]].concat(), 0);
    assert_eq!(done["tables"][0]["changed"], 11);
    shop.opens().await;
    // The server has no more to give.
    shop.execute("CREATE ROLE few LOGIN SUPERUSER CONNECTION LIMIT 0; ALTER ROLE few NOSUPERUSER").await;
    shop.configure("few", "");
    shop.run(&[&["census"], &SHOP[..]].concat()).fails(6, "the server takes no connection now");
}
