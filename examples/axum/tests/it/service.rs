//! The service: what it answers, and what it stores.

use std::fs;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum_example::database::{Customer, Database, Postgres, Sqlite};
use axum_example::service;
use fieldseal::Vault;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::{Epoch, Expected, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot};
use fieldseal_sqlx::SqliteStore;
use fleet_tests::client::{Client, Listed, customer, text};
use fleet_tests::harness::{Alone, Trial};
use fleet_tests::postgres::Databases;
use futures_util::future::join_all;
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::on_both;

pub(crate) fn trials(databases: &Databases) -> Vec<Trial> {
    on_both![OnSqlite, OnPostgres(databases) =>
        a_new_customer_gets_an_id
        what_was_sent_is_read_back
        a_list_is_a_page_of_fifty
        one_field_is_read_alone
        a_change_that_knows_what_it_changes_is_made
        a_change_of_something_else_is_a_conflict
        an_unknown_customer_is_not_found
        a_malformed_body_is_the_clients_error
        a_key_store_that_is_down_is_try_again_later
        a_value_moved_to_another_row_is_an_error_that_names_nothing
        neither_database_nor_key_store_holds_plaintext
        many_at_once_are_all_created
    ]
}

async fn a_new_customer_gets_an_id<D: Database>(shop: Shop<D>) {
    let created = shop.post(&ada()).await;
    assert_eq!(created.status(), StatusCode::CREATED);
    let created: Value = created.json().await.unwrap();
    assert!(shop.behind.is_id(&created["id"]), "{created}");
    assert_ne!(shop.create(&ada()).await, text(&created["id"]));
}

async fn what_was_sent_is_read_back<D: Database>(shop: Shop<D>) {
    let ada = shop.create(&ada()).await;
    let zoe = shop.create(&json!({ "name": "Zoë Łęcka 佐藤", "email": "zoë@例え.jp", "phone": null })).await;
    let silent = shop.create(&json!({ "name": "", "email": "" })).await;
    for cold in [false, true] {
        let shop = if cold { &shop.restarted().await } else { &shop };
        assert_eq!(shop.read(&ada).await, json!({ "name": "Ada", "email": "ada@example.com", "phone": "+44 20" }));
        assert_eq!(shop.read(&zoe).await, json!({ "name": "Zoë Łęcka 佐藤", "email": "zoë@例え.jp", "phone": null }));
        assert_eq!(shop.read(&silent).await, json!({ "name": "", "email": "", "phone": null }));
    }
}

async fn a_list_is_a_page_of_fifty<D: Database>(shop: Shop<D>) {
    assert_eq!(shop.list().await.len(), 0);
    for i in 0..60 {
        shop.create(&customer(i)).await;
    }
    for shop in [&shop, &shop.restarted().await] {
        let listed = shop.list().await;
        assert_eq!(listed.len(), 50);
        for Listed { id, name } in listed {
            assert_eq!(shop.read(&id).await["name"], *name);
        }
    }
}

async fn one_field_is_read_alone<D: Database>(shop: Shop<D>) {
    let (ada, ben) = (shop.create(&ada()).await, shop.create(&customer(2)).await);
    assert_eq!(shop.email(&ada).await, json!({ "email": "ada@example.com" }));
    assert_eq!(shop.email(&ben).await, json!({ "email": "person2@example.com" }));
}

async fn a_change_that_knows_what_it_changes_is_made<D: Database>(shop: Shop<D>) {
    let ada = shop.create(&ada()).await;
    let phones = [json!("+44 20"), json!("+44 21"), Value::Null, json!("+44 22")];
    for pair in phones.windows(2) {
        assert_eq!(shop.change_phone(&ada, &pair[0], &pair[1]).await, StatusCode::NO_CONTENT);
        assert_eq!(shop.read(&ada).await, json!({ "name": "Ada", "email": "ada@example.com", "phone": pair[1] }));
    }
}

async fn a_change_of_something_else_is_a_conflict<D: Database>(shop: Shop<D>) {
    let ada = shop.create(&ada()).await;
    for wrong in [json!("+44 2"), json!(""), Value::Null] {
        assert_eq!(shop.change_phone(&ada, &wrong, &json!("+1")).await, StatusCode::CONFLICT);
        assert_eq!(shop.read(&ada).await["phone"], "+44 20");
    }
    // Of several that start from the same number, one is made.
    let to: Vec<_> = (0..8).map(|i| json!(format!("+{i}"))).collect();
    let from = json!("+44 20");
    let answers = join_all(to.iter().map(|to| shop.change_phone(&ada, &from, to))).await;
    let made: Vec<_> = answers.iter().zip(&to).filter(|(status, _)| **status == StatusCode::NO_CONTENT).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(
        answers.iter().all(|status| [StatusCode::NO_CONTENT, StatusCode::CONFLICT].contains(status)),
        "{answers:?}"
    );
    assert_eq!(shop.read(&ada).await["phone"], *made[0].1);
}

async fn an_unknown_customer_is_not_found<D: Database>(shop: Shop<D>) {
    shop.create(&ada()).await;
    let unknown = shop.behind.unknown();
    for path in [format!("/customers/{unknown}"), format!("/customers/{unknown}/email")] {
        says_only(shop.get(&path).await, StatusCode::NOT_FOUND).await;
    }
    assert_eq!(shop.change_phone(unknown, &Value::Null, &json!("+1")).await, StatusCode::NOT_FOUND);
    assert!(shop.get("/customers/no-id-at-all").await.status().is_client_error());
}

/// The answer shows nothing of what was sent: it goes through proxies and into the logs of clients.
async fn a_malformed_body_is_the_clients_error<D: Database>(shop: Shop<D>) {
    for body in [
        r#""#,
        r#"{"name":"Ada","email":"ada@exa"#,
        r#"{"name":"Ada"}"#,
        r#"{"name":"Ada","email":["ada@example.com"],"phone":null}"#,
        r#"{"name":4711,"email":"ada@example.com"}"#,
        r#"{"name":"Ada","email":"ada@example.com","phone":4711}"#,
        r#"["Ada"]"#,
    ] {
        let post = shop.http.post(shop.url("/customers")).header(header::CONTENT_TYPE, "application/json").body(body);
        let answer = post.send().await.unwrap();
        assert!(answer.status().is_client_error(), "{body}: {}", answer.status());
        let answer = answer.text().await.unwrap();
        assert!(["Ada", "ada@", "4711"].iter().all(|sent| !answer.contains(sent)), "{body}: {answer}");
    }
    assert_eq!(shop.list().await.len(), 0);
}

async fn a_key_store_that_is_down_is_try_again_later<D: Database>(shop: Shop<D>) {
    let ada = shop.create(&ada()).await;
    let shop = shop.restarted().await;
    shop.keys.down.store(true, Ordering::SeqCst);
    for answer in [
        shop.get(&format!("/customers/{ada}")).await,
        shop.get(&format!("/customers/{ada}/email")).await,
        shop.get("/customers").await,
        shop.post(&customer(2)).await,
    ] {
        assert!(answer.headers().contains_key(header::RETRY_AFTER));
        says_only(answer, StatusCode::SERVICE_UNAVAILABLE).await;
    }
    shop.keys.down.store(false, Ordering::SeqCst);
    assert_eq!(shop.read(&ada).await["name"], "Ada");
    assert_eq!(shop.list().await.len(), 1, "what could not be sealed was not stored");
}

async fn a_value_moved_to_another_row_is_an_error_that_names_nothing<D: Database>(shop: Shop<D>) {
    let (ada, ben) = (shop.create(&ada()).await, shop.create(&customer(2)).await);
    shop.behind.swap_emails().await;
    // Asked again within a second of the refresh, the service would say 503: the key might be a new one still.
    for path in [format!("/customers/{ada}"), format!("/customers/{ben}/email")] {
        says_only(shop.get(&path).await, StatusCode::INTERNAL_SERVER_ERROR).await;
    }
    assert_eq!(shop.list().await.len(), 2, "the names stand where they belong");
    shop.behind.swap_emails().await;
    assert_eq!(shop.read(&ada).await["email"], "ada@example.com");
}

async fn neither_database_nor_key_store_holds_plaintext<D: Database>(shop: Shop<D>) {
    for i in 10..30 {
        let id = shop.create(&customer(i)).await;
        shop.change_phone(&id, &json!(format!("555-{i}")), &json!(format!("777-{i}"))).await;
    }
    let mut dump = shop.behind.cells().await;
    for file in fs::read_dir(shop.folder.path()).unwrap() {
        dump.push(fs::read(file.unwrap().path()).unwrap());
    }
    assert!(dump.iter().any(|bytes| find(bytes, b"SQLite format 3")), "the files are those of the databases");
    for part in ["Person", "person1", "example.com", "555-1", "777-2"] {
        let hex: String = part.bytes().map(|byte| format!("{byte:02x}")).collect();
        for needle in [part, &hex, &hex.to_uppercase()] {
            assert!(!dump.iter().any(|bytes| find(bytes, needle.as_bytes())), "{part} is stored in the clear");
        }
    }
}

async fn many_at_once_are_all_created<D: Database>(shop: Shop<D>) {
    let customers: Vec<_> = (0..50).map(customer).collect();
    let ids = join_all(customers.iter().map(|customer| shop.create(customer))).await;
    for (id, customer) in ids.iter().zip(&customers) {
        assert_eq!(shop.read(id).await, *customer);
    }
}

fn ada() -> Value {
    json!({ "name": "Ada", "email": "ada@example.com", "phone": "+44 20" })
}

/// The service, served; and what is behind it.
struct Shop<D> {
    client: Client,
    database: D,
    behind: Arc<Behind>,
    keys: Arc<Switch>,
    /// Keyring, key store, and SQLite's database.
    folder: Arc<TempDir>,
}

impl<D: Database> Shop<D> {
    async fn open(folder: Arc<TempDir>, database: D, behind: impl Into<Arc<Behind>>) -> Self {
        let keyring = folder.path().join("master.keyring");
        let keyring = match keyring.exists() {
            true => LocalKeyring::open(keyring).await.unwrap(),
            false => LocalKeyring::generate(keyring).await.unwrap(),
        };
        let store = SqliteStore::open(folder.path().join("keys.db")).await.unwrap();
        let keys = Arc::new(Switch { store, down: false.into() });
        let vault = Vault::builder(keyring, Arc::clone(&keys))
            .record::<Customer<i64>>()
            .without_journal()
            .build()
            .await
            .unwrap();
        let client = Client::of(service::router(vault.default_tenant(), database.clone())).await;
        Self { client, database, behind: behind.into(), keys, folder }
    }

    /// Another process on the same databases: nothing is cached.
    async fn restarted(&self) -> Self {
        Self::open(Arc::clone(&self.folder), self.database.clone(), Arc::clone(&self.behind)).await
    }
}

/// So that a shop is asked as its client is.
impl<D> Deref for Shop<D> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The status, and its own words for it.
async fn says_only(answer: Response, status: StatusCode) {
    assert_eq!(answer.status(), status);
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "error": status.canonical_reason() }));
}

fn find(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// A key store that can be switched off.
#[derive(Debug)]
struct Switch {
    store: SqliteStore,
    down: AtomicBool,
}

impl Switch {
    fn store(&self) -> Result<&SqliteStore, StoreError> {
        match self.down.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("switched off").with_hint("it was switched off")),
            false => Ok(&self.store),
        }
    }
}

#[async_trait]
impl KeyStore for Switch {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        self.store()?.load(ids).await
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.store()?.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.store()?.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.store()?.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.store()?.scrub().await
    }
}

/// The database behind the service, as somebody with its password has it.
enum Behind {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Behind {
    /// An id that no customer has.
    fn unknown(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "01234567-89ab-4cde-8f01-23456789abcd",
            Self::Postgres(_) => "4711",
        }
    }

    fn is_id(&self, id: &Value) -> bool {
        match self {
            Self::Sqlite(_) => id.as_str().is_some_and(|id| Uuid::parse_str(id).is_ok()),
            Self::Postgres(_) => id.as_i64().is_some_and(|id| id > 0),
        }
    }

    /// Each of two customers gets the other's e-mail.
    async fn swap_emails(&self) {
        const SWAP: &str =
            "UPDATE customer SET email = other.email FROM customer AS other WHERE other.id <> customer.id";
        let swapped = match self {
            Self::Sqlite(pool) => sqlx::query(SWAP).execute(pool).await.unwrap().rows_affected(),
            Self::Postgres(pool) => sqlx::query(SWAP).execute(pool).await.unwrap().rows_affected(),
        };
        assert_eq!(swapped, 2);
    }

    /// Every cell that the server holds, as bytes; none where the database is a file of the test's folder.
    async fn cells(&self) -> Vec<Vec<u8>> {
        let Self::Postgres(pool) = self else { return Vec::new() };
        let cells: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT UNNEST(ARRAY[int8send(id), name, email, COALESCE(phone, '')]) AS cell FROM customer",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        assert!(!cells.is_empty());
        cells
    }
}

/// A test gets a shop over a file.
struct OnSqlite;

impl OnSqlite {
    fn trial(&self, name: String, test: impl AsyncFnOnce(Shop<Sqlite>) + Send + 'static) -> Trial {
        Alone::new().named("sqlite").trial(name, async || {
            let folder = folder();
            let file = folder.path().join("app.db");
            let database = Sqlite::open(&file).await.unwrap();
            let behind = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file)).await.unwrap();
            test(Shop::open(folder, database, Behind::Sqlite(behind)).await).await;
        })
    }
}

/// A test gets a shop over a database of its own.
struct OnPostgres<'a>(&'a Databases);

impl OnPostgres<'_> {
    fn trial(&self, name: String, test: impl AsyncFnOnce(Shop<Postgres>) + Send + 'static) -> Trial {
        self.0.trial(name, async |options| {
            let pool = PgPool::connect_with(options).await.unwrap();
            let database = Postgres::open(pool.clone()).await.unwrap();
            test(Shop::open(folder(), database, Behind::Postgres(pool)).await).await;
        })
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(TempDir::new().unwrap())
}
