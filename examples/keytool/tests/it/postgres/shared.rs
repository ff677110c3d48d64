//! Everything in PostgreSQL: key store, journal and tables. Each job of the tool is shared by two processes, one of which is
//! killed and begun again, and it comes to what one process would have made of it.

use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use chrono::NaiveDate;
use fieldseal::provider::LocalKeyring;
use fieldseal::vault::ErasureRequest;
use fieldseal::{Record, Sealed, Vault};
use fieldseal_sqlx::{PostgresJournal, PostgresStore};
use fleet_tests::postgres::{Server, url};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::types::Text;
use sqlx::{AssertSqlSafe, FromRow};

use crate::folder::{Folder, Ran};

pub(super) async fn each_job_is_shared_by_two_processes_and_one_is_killed(server: &Server) {
    let town = Town::new(server).await;
    town.run(&["adopt", "expand"]).done();
    town.change(&["adopt", "backfill"]);
    let verified = town.share_pages(&["adopt", "verify"], "--checkpoint", "job");
    assert_eq!(sum(&verified, "rows"), PEOPLE);
    town.change(&["adopt", "contract", "--yes"]);
    town.opens(None).await;

    let vault = town.vault().await;
    for id in (1..=PEOPLE).step_by(3) {
        vault.default_tenant().rotate_now(&Person::subject_of(&id).unwrap()).await.unwrap();
    }
    town.change(&["reseal"]);
    assert_eq!(town.json(&["reseal"])["tables"][0]["current"], 2 * PEOPLE);
    vault.default_tenant().erase(&Person::subject_of(&ERASED).unwrap(), &ErasureRequest::new()).await.unwrap();

    town.run(&["advance-epoch", "--add-key"]).done();
    let moved = town.share(&["rewrap", "--batch", "10"], "--checkpoint", "rewrap");
    let moved = moved
        .iter()
        .map(|done| done["moved"].as_i64().unwrap() + done["moved_before"].as_i64().unwrap())
        .collect::<Vec<_>>();
    assert!(moved.iter().all(|moved| *moved > 0), "{moved:?}");
    assert_eq!(moved.iter().sum::<i64>(), PEOPLE - 1, "each once, and not the erased one");
    town.run(&["retire-epoch", "1", "--yes"]).done();

    town.share_pages(&["census"], "--file", "census");
    let whole = town.json(&["census", "--shard", "1/2", "--file", "census-1", "--merge", "census-2"]);
    assert_eq!(whole["rows"], PEOPLE);
    let sealed = whole["versions"].as_array().unwrap().iter();
    assert_eq!(sealed.map(|version| version["values"].as_i64().unwrap()).sum::<i64>(), 2 * PEOPLE);

    town.share_pages(&["reveal", "--all"], "--output", "revealed");
    let lines = ["revealed-1", "revealed-2"].map(|file| fs::read_to_string(town.folder.path(file)).unwrap()).concat();
    assert_eq!(lines.lines().count(), usize::try_from(PEOPLE).unwrap(), "each row once");
    for id in (1..=PEOPLE).filter(|id| *id != ERASED) {
        assert_eq!(lines.matches(&format!("\"{}\"", name(id))).count(), 1);
    }
    assert!(!lines.contains(&name(ERASED)));
    town.opens(Some(ERASED)).await;

    // A role that the key store refuses is the operator's to mend, and no bug.
    sqlx::raw_sql("CREATE ROLE stranger LOGIN").execute(&town.tables).await.unwrap();
    town.folder.configure(&town.config.replacen(&url("postgres", &town.keys), &url("stranger", &town.keys), 1));
    town.run(&["status"]).fails(2, "the role lacks a privilege");
}

const PEOPLE: i64 = 120;
const ERASED: i64 = 77;

#[derive(Debug, Record, FromRow)]
#[record(schema = "person")]
struct Person {
    #[record(id, subject = "customer")]
    id: i64,
    name: Text<Sealed<String>>,
    #[record(purpose = "billing")]
    #[sqlx(rename = "born_sealed")]
    born: Option<Sealed<NaiveDate>>,
}

const TABLES: &str = r#"
[[table]]
name = "person"
schema = "person"
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
purpose = "billing"
type = "date"
from = "born"
"#;

/// What processes did with the table, all together.
fn sum(done: &[Value], number: &str) -> i64 {
    done.iter().map(|done| done["tables"][0][number].as_i64().unwrap()).sum()
}

fn name(id: i64) -> String {
    format!("Name of {id}.")
}

/// People in the clear, and a configuration that names three databases of a server.
struct Town {
    folder: Folder,
    config: String,
    keys: PgConnectOptions,
    journal: PgConnectOptions,
    tables: PgPool,
}

impl Town {
    async fn new(server: &Server) -> Self {
        let [keys, journal, tables] = [server.database().await, server.database().await, server.database().await];
        let folder = Folder::bare();
        let [store, entries, database] = [&keys, &journal, &tables].map(|of| url("postgres", of));
        let config = format!(
            "provider = \"keyring:master.keyring\"\nstore = \"{store}\"\njournal = \"{entries}\"\nkinds = [\"customer\"]\npurposes = [\"billing\"]\n\
             database = \"{database}\"\n{TABLES}"
        );
        folder.configure(&config);
        folder.run(&["init"]).done();
        let tables = PgPool::connect_with(tables).await.unwrap();
        let sql = format!(
            "CREATE TABLE person (id BIGINT PRIMARY KEY, name TEXT NOT NULL, born DATE);
             INSERT INTO person SELECT n, 'Name of ' || n || '.', DATE '1815-12-10' + n::int FROM generate_series(1, {PEOPLE}) n"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&tables).await.unwrap();
        Self { folder, config, keys, journal, tables }
    }

    /// As an application opens it.
    async fn vault(&self) -> Vault {
        let keyring = LocalKeyring::open(self.folder.path("master.keyring")).await.unwrap();
        let store = PostgresStore::new(PgPool::connect_with(self.keys.clone()).await.unwrap()).await.unwrap();
        let journal = PostgresJournal::new(PgPool::connect_with(self.journal.clone()).await.unwrap()).await.unwrap();
        Vault::builder(keyring, store).kinds(["customer"]).journal(journal).purposes(["billing"]).build().await.unwrap()
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.folder.run(args)
    }

    fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).done().json()
    }

    /// A job on the tables that leaves every value as it is to be. The kill may have come between a page and its checkpoint:
    /// what was changed by then is found as it is to be.
    fn change(&self, job: &[&str]) {
        let done = self.share_pages(job, "--checkpoint", "job");
        assert!(done.iter().all(|done| sum(std::slice::from_ref(done), "changed") > 0), "{job:?}: {done:?}");
        assert_eq!(sum(&done, "changed") + sum(&done, "current"), 2 * PEOPLE, "{job:?}: {done:?}");
        assert_eq!(sum(&done, "rows"), PEOPLE, "each row is counted once: {job:?}");
    }

    fn share_pages(&self, job: &[&str], option: &str, file: &str) -> [Value; 2] {
        self.share(&[job, &["--batch", "10", "--workers", "1"]].concat(), option, file)
    }

    /// Two processes with a half each, at once. The second keeps its place in a file, is killed behind its first page and
    /// begun again. Gives what each says when it is done.
    fn share(&self, job: &[&str], option: &str, file: &str) -> [Value; 2] {
        let files = [format!("{file}-1"), format!("{file}-2")];
        let half = |which: usize| [job, &["--shard", ["1/2", "2/2"][which], option, &files[which], "--json"]].concat();
        let spawn = |args: &[&str]| {
            let mut command = self.folder.command();
            command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let first = spawn(&[&half(0)[..], &["--pause", "20"]].concat());
        let mut second = spawn(&[&half(1)[..], &["--pause", "600000"]].concat());
        while !self.is_kept(&files[1]) {
            assert!(second.try_wait().unwrap().is_none(), "{job:?} ended by itself");
            thread::sleep(Duration::from_millis(1));
        }
        second.kill().unwrap();
        second.wait().unwrap();
        let again = spawn(&half(1));
        [first, again].map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{job:?}: {output:?}");
            serde_json::from_slice(&output.stdout).unwrap()
        })
    }

    /// Whether a process has kept how far it is: in this file, or in the one beside what it writes.
    fn is_kept(&self, file: &str) -> bool {
        let texts =
            [file.to_owned(), format!("{file}.checkpoint")].map(|file| fs::read_to_string(self.folder.path(&file)));
        texts.into_iter().flatten().any(|text| text.contains("after") || text.contains("end "))
    }

    /// Every value, but for those of somebody who was erased.
    async fn opens(&self, erased: Option<i64>) {
        let rows: Vec<Person> =
            sqlx::query_as("SELECT * FROM person ORDER BY id").fetch_all(&self.tables).await.unwrap();
        assert_eq!(rows.len(), usize::try_from(PEOPLE).unwrap());
        let customers = self.vault().await.default_tenant();
        let page = customers.keys_of(&rows).await.unwrap();
        for row in rows {
            match page.get(&row) {
                Ok(keys) => {
                    let opened = row.open(keys).unwrap();
                    assert_eq!(*opened.name.expose(), name(row.id));
                    assert!(opened.born.is_some_and(|born| born.expose().to_string().starts_with("181")), "{}", row.id);
                }
                Err(e) => assert!(erased == Some(row.id), "{}: {e}", row.id),
            }
        }
    }
}
