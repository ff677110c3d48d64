//! The folder that a runbook is run in: a keyring, a key store and a journal of more than a year, and an application's database
//! with sealed rows.
//!
//! Customers 1 to 19 are there for 400 days; 1 to 6 have second keys for 60 days, and letters under both. The key store was
//! backed up 55 days ago. 50 days ago customer 12 was erased, and 40 days ago customer 20 came.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fieldseal::clock::{Clock as _, SystemClock, Timestamp};
use fieldseal::journal::FileJournal;
use fieldseal::provider::{KeyringOptions, LocalKeyring, MasterKeyProvider, Passphrase};
use fieldseal::store::Epoch;
use fieldseal::vault::{EpochInfo, ErasureReceipt, ErasureRequest, ErasureStatus, KeyEnd};
use fieldseal::{Error, Record, Sealed, Tenant, Vault};
use fieldseal_sqlx::SqliteStore;
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};

use super::Result;

/// A row of the application.
#[derive(Record, sqlx::FromRow)]
#[record(schema = "customer")]
pub(crate) struct Customer {
    #[record(id, subject = "customer")]
    id: i64,
    email: Sealed<String>,
    #[record(purpose = "billing")]
    iban: Option<Sealed<String>>,
    #[record(clear)]
    plan: String,
}

/// Another: what a customer wrote.
#[derive(Record, sqlx::FromRow)]
#[record(schema = "letter")]
pub(crate) struct Letter {
    #[record(id)]
    id: i64,
    #[record(subject = "customer")]
    customer: i64,
    body: Sealed<String>,
}

pub(crate) struct Company {
    root: tempfile::TempDir,
    application: Application,
}

/// A process of its own, which does nothing, and ends when it is told to.
struct Application {
    pid: u32,
    ends: JoinHandle<()>,
}

impl Company {
    pub(crate) async fn new() -> Result<Self> {
        Self::protected(None).await
    }

    /// The keyring has a passphrase, and the configuration says where it is.
    pub(crate) async fn with_passphrase() -> Result<Self> {
        Self::protected(Some(PASSPHRASE)).await
    }

    async fn protected(passphrase: Option<&str>) -> Result<Self> {
        let company = Self { root: tempfile::tempdir()?, application: Application::start()? };
        fs::write(company.path("app.pid"), company.application.pid.to_string())?;
        let source = passphrase.map_or("", |_| "passphrase = { env = \"KEYRING_PASSPHRASE\" }\n");
        fs::write(company.path("keytool.toml"), format!("{source}{CONFIG}"))?;
        for folder in ["backups", "elsewhere", "receipts"] {
            fs::create_dir(company.path(folder))?;
        }
        company.live(passphrase).await?;
        Ok(company)
    }

    /// What happened until now.
    async fn live(&self, passphrase: Option<&str>) -> Result {
        let clock = ManualClock::new();
        clock.set_wall(days_ago(400));
        let keyring = options(passphrase)?.clock(clock.clone()).argon2_memory_kib(8192).argon2_passes(1);
        let keyring = keyring.generate(self.path("master.keyring")).await?;
        let (keys, vault) = self.open(keyring, &clock).await?;
        let customers = vault.default_tenant();
        let rows = self.create_tables().await?;
        for id in 1..=19 {
            arrive(&customers, &rows, id).await?;
        }
        clock.set_wall(days_ago(60));
        for id in 1..=6 {
            customers.rotate_now(&customer(id)).await?;
            write(&customers, &rows, id, 100 + id).await?;
        }
        clock.set_wall(days_ago(55));
        self.copy_of_store("backups/keys.db").await?;
        clock.set_wall(days_ago(50));
        let request = ErasureRequest::new().reference("request 2026-0007");
        let receipt = customers.erase(&customer(12), &request).await?;
        fs::write(self.path("receipts/2026-0007.json"), serde_json::to_string_pretty(&receipt)?)?;
        clock.set_wall(days_ago(40));
        arrive(&customers, &rows, 20).await?;
        drop((vault, customers));
        keys.close().await;
        rows.close().await;
        Ok(())
    }

    /// Somebody's erasure is scheduled: so many days ago, for so many days ago.
    pub(crate) async fn schedule(&self, id: i64, made: u64, due: u64) -> Result {
        let clock = ManualClock::new();
        clock.set_wall(days_ago(made));
        let (keys, vault) = self.open(self.keyring("master.keyring").await?, &clock).await?;
        vault.default_tenant().schedule_erasure(&customer(id), days_ago(due)).await?;
        drop(vault);
        keys.close().await;
        Ok(())
    }

    /// At another time. The pool is to be closed: what closes the file late spoils the one that a runbook puts in its company.
    async fn open(&self, keyring: LocalKeyring, clock: &ManualClock) -> Result<(SqlitePool, Vault)> {
        let file = SqliteConnectOptions::new().filename(self.path("keys.db")).create_if_missing(true);
        let keys = SqlitePool::connect_with(file.journal_mode(SqliteJournalMode::Wal)).await?;
        let journal = FileJournal::open(self.path("erasures.journal")).await?;
        let builder =
            Vault::builder(keyring, SqliteStore::new(keys.clone()).await?).kinds(["customer"]).journal(journal);
        let vault = builder.purposes(["billing"]).max_age(MAX_AGE).clock(clock.clone()).build().await?;
        Ok((keys, vault))
    }

    async fn create_tables(&self) -> Result<SqlitePool> {
        let options = SqliteConnectOptions::new().filename(self.path("app.db")).create_if_missing(true);
        let rows = SqlitePool::connect_with(options).await?;
        for table in TABLES {
            sqlx::query(*table).execute(&rows).await?;
        }
        Ok(rows)
    }

    /// A copy of the key store as it is.
    pub(crate) async fn copy_of_store(&self, name: &str) -> Result {
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(self.path("keys.db"))).await?;
        sqlx::query("VACUUM INTO ?").bind(self.path(name).to_str()).execute(&pool).await?;
        pool.close().await;
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Whether the application still runs.
    pub(crate) fn application_runs(&self) -> bool {
        !self.application.ends.is_finished()
    }

    /// A vault on the key store as it is, with these master keys, as an application opens it.
    pub(crate) async fn vault(&self, provider: impl MasterKeyProvider) -> fieldseal::Result<Vault> {
        self.vault_of("keys.db", provider).await
    }

    /// On another file of a key store.
    pub(crate) async fn vault_of(&self, store: &str, provider: impl MasterKeyProvider) -> fieldseal::Result<Vault> {
        let store = SqliteStore::open(self.path(store)).await?;
        let journal = FileJournal::open(self.path("erasures.journal")).await?;
        Vault::builder(provider, store).kinds(["customer"]).journal(journal).purposes(["billing"]).build().await
    }

    pub(crate) async fn keyring(&self, name: &str) -> Result<LocalKeyring> {
        Ok(options(None)?.open(self.path(name)).await?)
    }

    pub(crate) async fn keyring_behind(&self, name: &str, passphrase: &str) -> Result<LocalKeyring> {
        Ok(options(Some(passphrase))?.open(self.path(name)).await?)
    }

    /// A receipt that was saved: what has become of the erasure.
    pub(crate) async fn status(&self, vault: &Vault, receipt: &str) -> Result<ErasureStatus> {
        let receipt: ErasureReceipt = serde_json::from_str(&fs::read_to_string(self.path(receipt))?)?;
        Ok(vault.default_tenant().erasure_status(&receipt).await?)
    }

    /// Opens every row, and compares it with what was sealed. Of customers in `gone` nothing opens.
    pub(crate) async fn check_rows(&self, vault: &Vault, gone: &[i64]) -> Result {
        self.each_row(vault, gone, &[], |_, _| ()).await
    }

    /// The same; of customers in `partly` the purpose `billing` alone is left.
    pub(crate) async fn check_rows_but(&self, vault: &Vault, gone: &[i64], partly: &[i64]) -> Result {
        self.each_row(vault, gone, partly, |_, _| ()).await
    }

    /// The same; and each value is sealed under the newest key of its purpose.
    pub(crate) async fn check_all_are_new(&self, vault: &Vault, gone: &[i64]) -> Result {
        self.each_row(vault, gone, &[], |stale, whose| {
            assert!(!stale, "a row of customer {whose} is under an older key")
        })
        .await
    }

    async fn each_row(&self, vault: &Vault, gone: &[i64], partly: &[i64], see: impl Fn(bool, i64)) -> Result {
        let options = SqliteConnectOptions::new().filename(self.path("app.db"));
        let rows = SqlitePool::connect_with(options).await?;
        let customers = vault.default_tenant();
        let people: Vec<Customer> = sqlx::query_as("SELECT * FROM customer").fetch_all(&rows).await?;
        let letters: Vec<Letter> = sqlx::query_as("SELECT * FROM letter").fetch_all(&rows).await?;
        assert_eq!((people.len(), letters.len()), (20, 26), "no row is lost");
        for row in &people {
            if gone.contains(&row.id) {
                let keys = customers.keys(row).await;
                let is_gone = matches!(keys, Err(Error::SubjectErased { .. } | Error::SubjectUnknown));
                assert!(is_gone, "customer {}: {keys:?}", row.id);
                continue;
            }
            let keys = customers.keys(row).await?;
            assert_eq!(keys.open(row, Customer::IBAN)?.map(|iban| iban.expose().clone()), Some(iban(row.id)));
            match keys.open(row, Customer::EMAIL).map_err(Error::without_field) {
                Err(Error::PurposeErased { .. }) if partly.contains(&row.id) => {}
                opened => {
                    assert_eq!(opened?.expose(), &email(row.id));
                    see(row.needs_reseal(&keys)?, row.id);
                }
            }
        }
        for row in letters.iter().filter(|row| !gone.contains(&row.customer) && !partly.contains(&row.customer)) {
            let keys = customers.keys(row).await?;
            assert_eq!(keys.open(row, Letter::BODY)?.expose(), &body(row.id));
            see(row.needs_reseal(&keys)?, row.customer);
        }
        rows.close().await;
        Ok(())
    }
}

impl Application {
    fn start() -> Result<Self> {
        let mut child = Command::new("sleep").arg("600").spawn()?;
        let pid = child.id();
        // Waited for at once, so that nobody finds its pid once it has ended.
        let ends = thread::spawn(move || drop(child.wait()));
        Ok(Self { pid, ends })
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if !self.ends.is_finished() {
            // It may be ending.
            let _ = Command::new("kill").arg(self.pid.to_string()).status();
        }
    }
}

/// The numbers of a customer's versions of the default key.
pub(crate) async fn versions(vault: &Vault, id: i64) -> Result<Vec<u32>> {
    let info = vault.default_tenant().inventory(&customer(id)).await?;
    let purpose = info.purposes.iter().find(|purpose| purpose.purpose.as_str() == "default").unwrap();
    Ok(purpose.versions.iter().map(|version| version.number).collect())
}

/// An epoch of the key store.
pub(crate) async fn epoch(vault: &Vault, number: u32) -> Result<EpochInfo> {
    let number = Epoch::new(number).unwrap();
    Ok(vault.epochs().await?.into_iter().find(|epoch| epoch.epoch == number).unwrap())
}

/// Its master key is gone from the keyring.
pub(crate) fn is_destroyed(epoch: &EpochInfo) -> bool {
    matches!(epoch.end, KeyEnd::DestroyedHere { .. })
}

/// A new customer, with a letter.
async fn arrive(customers: &Tenant, rows: &SqlitePool, id: i64) -> Result {
    let keys = customers.enroll(&customer(id)).await?;
    let plain = CustomerPlain { id, email: email(id).into(), iban: Some(iban(id).into()), plan: "free".to_owned() };
    let row = Customer::seal(&plain, &keys)?;
    sqlx::query("INSERT INTO customer VALUES (?, ?, ?, ?)")
        .bind(row.id)
        .bind(row.email)
        .bind(row.iban)
        .bind(row.plan)
        .execute(rows)
        .await?;
    write(customers, rows, id, id).await
}

async fn write(customers: &Tenant, rows: &SqlitePool, customer: i64, id: i64) -> Result {
    let keys = customers.keys(&Customer::subject_of(&customer)?).await?;
    let row = Letter::seal(&LetterPlain { id, customer, body: body(id).into() }, &keys)?;
    let insert = sqlx::query("INSERT INTO letter VALUES (?, ?, ?)").bind(row.id).bind(row.customer).bind(row.body);
    insert.execute(rows).await?;
    Ok(())
}

fn email(id: i64) -> String {
    format!("customer{id}@example.com")
}

fn iban(id: i64) -> String {
    format!("GB33BUKB20201555555{id:03}")
}

fn body(id: i64) -> String {
    format!("Dear all, this is letter {id}.")
}

fn options(passphrase: Option<&str>) -> Result<KeyringOptions> {
    let options = KeyringOptions::new();
    Ok(match passphrase {
        Some(passphrase) => options.passphrase(Passphrase::new(passphrase)?),
        None => options,
    })
}

fn days_ago(days: u64) -> Timestamp {
    let now = SystemClock::new().wall().as_millis();
    Timestamp::from_millis(now.saturating_sub(days * 24 * 3600 * 1000))
}

/// Of the key store: so short that a runbook can wait for it.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(5);

pub(crate) const PASSPHRASE: &str = "a passphrase that somebody knows";

const TABLES: &[&str] = &[
    "CREATE TABLE customer (id INTEGER PRIMARY KEY, email BLOB NOT NULL, iban BLOB, plan TEXT NOT NULL)",
    "CREATE TABLE letter (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, body BLOB NOT NULL)",
];

const CONFIG: &str = r#"provider = "keyring:master.keyring"
store = "sqlite:keys.db"
journal = "file:erasures.journal"
kinds = ["customer"]
purposes = ["billing"]
database = "sqlite:app.db"

[[table]]
name = "customer"
schema = "customer"
key = ["id"]
subject = { kind = "customer", column = "id", type = "integer" }
ids = [{ column = "id", type = "integer" }]
clear = ["plan"]

[[table.field]]
column = "email"
type = "text"

[[table.field]]
column = "iban"
type = "text"
purpose = "billing"

[[table]]
name = "letter"
schema = "letter"
key = ["id"]
subject = { kind = "customer", column = "customer", type = "integer" }
ids = [{ column = "id", type = "integer" }]

[[table.field]]
column = "body"
type = "text"
"#;
