//! [`App`]: an application with tables of its own, as the derive and sqlx write them; all rows under keys of ten days ago,
//! which were rotated a day later.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use fieldseal::clock::{Clock as _, SystemClock, Timestamp};
use fieldseal::journal::FileJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::{Record, Sealed, SubjectId, TenantId, Vault};
use fieldseal_testkit::clock::ManualClock;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::types::Text;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use crate::folder::{CONFIG, Folder, Ran, Result};

#[derive(Clone, Debug, Record, FromRow)]
#[record(schema = "customer")]
pub(crate) struct Customer {
    #[record(id, subject = "customer")]
    pub(crate) id: Uuid,
    pub(crate) email: Sealed<String>,
    #[record(purpose = "billing", pad = 32)]
    pub(crate) iban: Option<Sealed<String>>,
    #[record(clear)]
    pub(crate) plan: String,
}

/// Of a tenant that the row names.
#[derive(Clone, Debug, Record, FromRow)]
#[record(schema = "ticket")]
pub(crate) struct Ticket {
    #[record(id)]
    pub(crate) id: i64,
    #[record(clear)]
    pub(crate) tenant: String,
    #[record(subject = "customer")]
    pub(crate) customer: Uuid,
    pub(crate) body: Text<Sealed<String>>,
}

/// The tool's folder, with the application's database in it.
pub(crate) struct App {
    pub(crate) folder: Folder,
    pub(crate) pool: SqlitePool,
}

impl App {
    /// Customers 1 to `n`, each with an e-mail address, an IBAN if its number is odd, and a ticket: of the tenant acme if its
    /// number is even. A value for each of these, so `2 * n` and the odd ones.
    pub(crate) async fn new(n: i64) -> Result<Self> {
        let folder = Folder::new();
        folder.configure(&format!("{CONFIG}{TABLES}"));
        let pool = database(&folder.path("app.db")).await?;
        sqlx::raw_sql(
            "CREATE TABLE customer (id BLOB PRIMARY KEY, email BLOB NOT NULL, iban BLOB, plan TEXT NOT NULL);
             CREATE TABLE ticket (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL, customer BLOB NOT NULL, body TEXT NOT NULL);
             CREATE INDEX ticket_customer ON ticket (customer);",
        )
        .execute(&pool)
        .await?;
        let app = Self { folder, pool };
        let clock = ManualClock::new();
        clock.set_wall(Timestamp::from_millis(SystemClock::new().wall().as_millis() - 10 * DAY_MILLIS));
        let vault = app.vault_at(clock.clone()).await?;
        for id in 1..=n {
            app.insert(&vault, id).await?;
        }
        clock.advance(Duration::from_secs(24 * 3600));
        for id in 1..=n {
            vault.tenant(&tenant(id)).rotate_now(&subject(id)).await?;
            if tenant(id) != TenantId::default_tenant() {
                vault.default_tenant().rotate_now(&subject(id)).await?;
            }
        }
        Ok(app)
    }

    /// The application's vault, at another time.
    async fn vault_at(&self, clock: ManualClock) -> Result<Vault> {
        let keyring = LocalKeyring::open(self.folder.path("master.keyring")).await?;
        let journal = FileJournal::open(self.folder.path("erasures.journal")).await?;
        let builder = Vault::builder(keyring, self.folder.store().await?).kinds(["customer"]).journal(journal);
        Ok(builder.purposes(["billing"]).clock(clock).build().await?)
    }

    pub(crate) async fn insert(&self, vault: &Vault, id: i64) -> Result {
        let keys = vault.default_tenant().enroll(&subject(id)).await?;
        let iban = (id % 2 == 1).then(|| iban(id).into());
        let plan = "free".to_owned();
        let customer = Customer::seal(&CustomerPlain { id: person(id), email: email(id).into(), iban, plan }, &keys)?;
        sqlx::query("INSERT INTO customer VALUES (?, ?, ?, ?)")
            .bind(customer.id)
            .bind(&customer.email)
            .bind(&customer.iban)
            .bind(&customer.plan)
            .execute(&self.pool)
            .await?;
        let tenant = tenant(id);
        let keys = vault.tenant(&tenant).enroll(&subject(id)).await?;
        let tenant = tenant.as_str().to_owned();
        let plain = TicketPlain { id, tenant, customer: person(id), body: body(id).into() };
        let ticket = Ticket::seal(&plain, &keys)?;
        sqlx::query("INSERT INTO ticket VALUES (?, ?, ?, ?)")
            .bind(ticket.id)
            .bind(&ticket.tenant)
            .bind(ticket.customer)
            .bind(&ticket.body)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Every row opens by the library, to what was sealed.
    pub(crate) async fn opens(&self) -> Result {
        let vault = self.folder.vault().await?;
        let customers: Vec<Customer> = sqlx::query_as("SELECT * FROM customer").fetch_all(&self.pool).await?;
        let tickets: Vec<Ticket> = sqlx::query_as("SELECT * FROM ticket").fetch_all(&self.pool).await?;
        assert_eq!(customers.len(), tickets.len());
        for ticket in tickets {
            let (id, tenant) = (ticket.id, TenantId::new(ticket.tenant.as_str())?);
            let opened = ticket.open(&vault.tenant(&tenant).keys(&subject(id)).await?)?;
            assert_eq!(*opened.body.expose(), body(id));
            let row = customers.iter().find(|row| row.id == person(id)).unwrap();
            let opened = row.open(&vault.default_tenant().keys(&subject(id)).await?)?;
            assert_eq!(*opened.email.expose(), email(id));
            let opened = opened.iban.map(|iban| iban.expose().clone());
            assert_eq!(opened, (id % 2 == 1).then(|| iban(id)));
        }
        Ok(())
    }

    /// The same, but for the tickets that never held anything.
    pub(crate) async fn opens_but_nonsense(&self) -> Result {
        self.execute(
            "CREATE TABLE put_aside AS SELECT * FROM ticket WHERE body = 'x'; DELETE FROM ticket WHERE body = 'x'",
        )
        .await?;
        self.opens().await?;
        self.execute("INSERT INTO ticket SELECT * FROM put_aside; DROP TABLE put_aside").await
    }

    pub(crate) async fn execute(&self, sql: &str) -> Result {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await?;
        Ok(())
    }

    /// Runs the tool; what it says of a person's id, or of what is sealed, is a failure.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let ran = self.folder.run(args);
        assert_tells_nobody(&ran.out);
        assert_tells_nobody(&ran.err);
        ran
    }

    /// The document that a run prints which ends so.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        self.run(&[args, &["--json"]].concat()).exits(code).json()
    }

    /// Changes the configuration.
    pub(crate) fn remap(&self, from: &str, to: &str) {
        let whole = format!("{CONFIG}{TABLES}");
        assert!(whole.contains(from), "{from}");
        self.folder.configure(&whole.replacen(from, to, 1));
    }

    /// Kills a run in the pause behind its first page, when this file is there and what it says holds.
    pub(crate) fn kill_behind_the_first_page(
        &self,
        args: &[&str],
        file: &str,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result {
        kill_when(&self.folder, &[args, &["--pause", "600000"]].concat(), file, is_kept)
    }
}

/// Kills a run as soon as a file says so.
pub(crate) fn kill_when(folder: &Folder, args: &[&str], file: &str, is_kept: impl Fn(&str) -> bool) -> Result {
    let mut child = folder.command().args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    while !std::fs::read_to_string(folder.path(file)).is_ok_and(|text| is_kept(&text)) {
        assert!(child.try_wait()?.is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

pub(crate) async fn database(file: &Path) -> Result<SqlitePool> {
    Ok(SqlitePool::connect_with(SqliteConnectOptions::new().filename(file).create_if_missing(true)).await?)
}

/// No id of a person and no value.
#[track_caller]
pub(crate) fn assert_tells_nobody(text: &str) {
    for secret in ["4000-8000", "40008000", "@example.com", "DE00", "the matter of"] {
        assert!(!text.contains(secret), "{secret:?} is told: {text}");
    }
}

/// A customer, as the tool is told of one.
pub(crate) fn named(id: i64) -> String {
    format!("customer:{}", person(id))
}

pub(crate) fn subject(id: i64) -> SubjectId {
    Customer::subject_of(&person(id)).unwrap()
}

pub(crate) fn person(id: i64) -> Uuid {
    Uuid::from_u128(0x5eed_0000_0000_4000_8000_0000_0000_0000 + u128::try_from(id).unwrap())
}

pub(crate) fn email(id: i64) -> String {
    format!("{id}@example.com")
}

pub(crate) fn iban(id: i64) -> String {
    format!("DE00 {id}")
}

pub(crate) fn body(id: i64) -> String {
    format!("the matter of {id}")
}

pub(crate) fn tenant(id: i64) -> TenantId {
    if id % 2 == 0 { TenantId::new("acme").unwrap() } else { TenantId::default_tenant() }
}

const DAY_MILLIS: u64 = 24 * 3600 * 1000;

/// The database, and what is in it.
pub(crate) const TABLES: &str = r#"
database = "sqlite:app.db"

[[table]]
name = "customer"
schema = "customer"
key = ["id"]
subject = { kind = "customer", column = "id", type = "uuid" }
ids = [{ column = "id", type = "uuid" }]
clear = ["plan"]

[[table.field]]
column = "email"
type = "text"

[[table.field]]
column = "iban"
purpose = "billing"
type = "text"
pad = 32

[[table]]
name = "ticket"
schema = "ticket"
tenant = { column = "tenant" }
key = ["id"]
subject = { kind = "customer", column = "customer", type = "uuid" }
ids = [{ column = "id", type = "integer" }]

[[table.field]]
column = "body"
form = "text"
type = "text"
"#;
