//! The made-up people of Febrl (5 000 in a soak) go from columns in the clear to sealed ones while others read them, and back out again.
//! On SQLite, and the first thousand on a PostgreSQL server of the test's own.
//!
//! The people are those of its fourth data set (`tests/data/febrl4a_people.csv`, under the license beside it): typing errors,
//! gaps and all. What isn't said of somebody is NULL.

use std::cell::Cell as Shared;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::NaiveDate;
use fieldseal::jobs::{
    Adoption, FieldMap, Form, IdColumn, JobOptions, Observer, PageDone, Revealed, SubjectColumn, TableMap, Tally,
    ValueType, adopt, reveal_table,
};
use fieldseal::provider::LocalKeyring;
use fieldseal::rows::{Cell, Page, RowSource};
use fieldseal::store::MemoryStore;
use fieldseal::{FieldContext, Sealed, Tenant, Vault};
use fieldseal_sqlx::{PostgresRows, SqliteRows};
use fieldseal_testkit::customer;
use fleet_tests::harness::{Alone, Trial, soak};
use fleet_tests::postgres::{Databases, Which};
use futures_util::future::{join, join_all};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, PgPool, Row as _, SqlitePool};
use tempfile::TempDir;
use tokio::sync::watch;

pub(super) fn trials() -> Vec<Trial> {
    vec![
        Alone::new().trial("sqlite::febrl::people_are_adopted_and_come_back_as_they_were", on_sqlite),
        Databases::new(Which::Installed).trial("febrl::people_are_adopted_and_come_back_as_they_were", on_postgres),
    ]
}

/// Somebody, with their values in the order of [`FIELDS`], and the state, which stays in the clear.
#[derive(Clone, Debug, PartialEq)]
struct Person {
    id: String,
    values: Vec<Option<String>>,
    state: Option<String>,
}

/// What is sealed of somebody, and the purpose that it is held for.
const FIELDS: [(&str, &str); 9] = [
    ("given_name", "default"),
    ("surname", "default"),
    ("street_number", "default"),
    ("address_1", "default"),
    ("address_2", "default"),
    (IN_PLACE, "default"),
    ("postcode", "default"),
    (DATE, "default"),
    ("soc_sec_id", "billing"),
];

/// Adopted in the column that it stands in.
const IN_PLACE: &str = "suburb";
const DATE: &str = "date_of_birth";

fn map() -> TableMap {
    let map = TableMap::new("person", ["rec_id"], "person", SubjectColumn::new("customer", IdColumn::text("rec_id")))
        .ids([IdColumn::text("rec_id")]);
    FIELDS.into_iter().fold(map.clear("state"), |map, (name, purpose)| {
        map.field(match name {
            IN_PLACE => FieldMap::new(name).from(name).form(Form::Text),
            DATE => FieldMap::new(sealed(name)).named(name).from(name).of(ValueType::Date),
            _ => FieldMap::new(sealed(name)).named(name).from(name).purpose(purpose).pad(16),
        })
    })
}

fn sealed(name: &str) -> String {
    format!("{name}_sealed")
}

fn people() -> Vec<Person> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/febrl4a_people.csv");
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file).unwrap();
    let people: Vec<HashMap<String, String>> = reader.deserialize().collect::<Result<_, _>>().unwrap();
    people
        .iter()
        .map(|columns| {
            let value = |name: &str| Some(columns[name].clone()).filter(|value| !value.is_empty());
            let field = |(name, _)| match name {
                DATE => value(name).map(|date| format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])),
                _ => value(name),
            };
            Person { id: columns["rec_id"].clone(), values: FIELDS.map(field).into(), state: value("state") }
        })
        .collect()
}

/// The application's database.
trait Database: Clone {
    async fn execute(&self, sql: &str);

    async fn insert(&self, people: &[Person]);

    async fn add_columns(&self) -> Vec<String>;

    async fn rows(&self) -> Arc<dyn RowSource>;

    /// The state, and of each field what stands in the column that it is adopted from, and in the sealed one.
    async fn select(&self, id: &str) -> (Option<String>, Vec<(Option<String>, Option<Sealed<String>>)>);
}

macro_rules! database {
    ($pool:ident, $rows:ident, $date:literal) => {
        impl Database for $pool {
            async fn execute(&self, sql: &str) {
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(self).await.unwrap();
            }

            async fn insert(&self, people: &[Person]) {
                let names = FIELDS.map(|(name, _)| name);
                let columns = names.map(|name| format!("{name} {}", if name == DATE { $date } else { "TEXT" }));
                let columns = columns.join(", ");
                self.execute(&format!("CREATE TABLE person (rec_id TEXT PRIMARY KEY, state TEXT, {columns})")).await;
                let marks = (0..names.len()).map(|at| match names[at] {
                    DATE if $date != "TEXT" => format!("${}::{}", at + 3, $date),
                    _ => format!("${}", at + 3),
                });
                let (names, marks) = (names.join(", "), marks.collect::<Vec<_>>().join(", "));
                let insert = format!("INSERT INTO person (rec_id, state, {names}) VALUES ($1, $2, {marks})");
                let mut transaction = self.begin().await.unwrap();
                for person in people {
                    let query = sqlx::query(AssertSqlSafe(insert.clone())).bind(&person.id).bind(&person.state);
                    let query = person.values.iter().fold(query, |query, value| query.bind(value));
                    query.execute(&mut *transaction).await.unwrap();
                }
                transaction.commit().await.unwrap();
            }

            async fn add_columns(&self) -> Vec<String> {
                $rows::add_columns(self, "person", &map().sealed_columns()).await.unwrap()
            }

            async fn rows(&self) -> Arc<dyn RowSource> {
                Arc::new($rows::new(self.clone(), map().table()).await.unwrap())
            }

            async fn select(&self, id: &str) -> (Option<String>, Vec<(Option<String>, Option<Sealed<String>>)>) {
                let columns = FIELDS.map(|(name, _)| match name {
                    IN_PLACE => name.to_owned(),
                    // As text, whatever type the column is of.
                    _ => format!("CAST({name} AS TEXT) AS {name}, {}", sealed(name)),
                });
                let select = format!("SELECT state, {} FROM person WHERE rec_id = $1", columns.join(", "));
                let row = sqlx::query(AssertSqlSafe(select)).bind(id).fetch_one(self).await.unwrap();
                let cell = |(name, _)| match name {
                    IN_PLACE => (row.get(name), None),
                    _ => (row.get(name), row.get(sealed(name).as_str())),
                };
                (row.get("state"), FIELDS.map(cell).into())
            }
        }
    };
}

database!(SqlitePool, SqliteRows, "TEXT");
database!(PgPool, PostgresRows, "DATE");

/// Somebody, as the application reads them during the adoption.
async fn read(database: &impl Database, customers: &Tenant, id: &str) -> Person {
    let (state, cells) = database.select(id).await;
    let mut values = Vec::new();
    for ((name, purpose), cell) in FIELDS.into_iter().zip(cells) {
        values.push(match cell {
            // In place, what is no envelope is plaintext.
            (Some(text), None) if name == IN_PLACE => match text.parse() {
                Ok(envelope) => Some(open(customers, id, name, purpose, &envelope).await),
                Err(_) => Some(text),
            },
            (Some(plain), _) => Some(plain),
            (None, Some(envelope)) => Some(open(customers, id, name, purpose, &envelope).await),
            (None, None) => None,
        });
    }
    Person { id: id.to_owned(), values, state }
}

async fn open(customers: &Tenant, id: &str, name: &str, purpose: &str, envelope: &Sealed<String>) -> String {
    let context = FieldContext::new("person", name, id).unwrap().purpose(purpose);
    let keys = customers.keys(&customer(id)).await.unwrap();
    match name {
        DATE => {
            let date = Sealed::<NaiveDate>::from_bytes(envelope.as_bytes()).unwrap();
            keys.open_value(&date, &context).unwrap().expose().to_string()
        }
        _ => keys.open_value(envelope, &context).unwrap().into_inner(),
    }
}

/// Readers of everybody, one after another, and how many people they read.
struct Readers<'a, D> {
    database: &'a D,
    customers: Tenant,
    people: &'a [Person],
    read: watch::Sender<u64>,
}

impl<D: Database> Readers<'_, D> {
    /// Does something while the readers go on.
    async fn alongside<T>(&self, work: impl Future<Output = T>) -> T {
        let over = Shared::new(false);
        let work = async {
            let done = work.await;
            over.set(true);
            done
        };
        let readers = (0..READERS).map(async |n| {
            for person in self.people.iter().cycle().skip(n).step_by(READERS) {
                if over.get() {
                    return;
                }
                assert!(read(self.database, &self.customers, &person.id).await == *person, "somebody reads otherwise");
                self.read.send_modify(|read| *read += 1);
            }
        });
        join(work, join_all(readers)).await.0
    }
}

/// Lets a job go on when so many more people were read.
struct Reading<'a>(&'a watch::Sender<u64>);

#[async_trait]
impl Observer for Reading<'_> {
    async fn page(&mut self, done: &PageDone, (): &()) -> fieldseal::Result<()> {
        assert!(done.troubles.is_empty(), "{:?}", done.troubles);
        let enough = *self.0.borrow() + 20;
        self.0.subscribe().wait_for(|read| *read >= enough).await.unwrap();
        Ok(())
    }
}

/// The way back: every line to a file.
struct ToFile(fs::File);

#[async_trait]
impl Observer<Vec<Revealed>> for ToFile {
    async fn page(&mut self, _: &PageDone, lines: &Vec<Revealed>) -> fieldseal::Result<()> {
        for line in lines {
            writeln!(self.0, "{}", line.expose()).unwrap();
        }
        Ok(())
    }
}

async fn people_are_adopted_and_come_back_as_they_were(database: &impl Database, people: &[Person], folder: &Path) {
    let (keyring, store) = (LocalKeyring::ephemeral().unwrap(), Arc::new(MemoryStore::new()));
    let vault = async || {
        let vault =
            Vault::builder(keyring.clone(), store.clone()).kinds(["customer"]).purposes(["billing"]).without_journal();
        vault.build().await.unwrap()
    };
    let values = people.iter().flat_map(|person| &person.values).flatten().count() as u64;
    let in_place = FIELDS.iter().position(|(name, _)| *name == IN_PLACE).unwrap();
    let in_place = people.iter().filter(|person| person.values[in_place].is_some()).count() as u64;
    let empty = (people.len() * FIELDS.len()) as u64 - values;
    let (vault, customers) = (vault().await, vault().await.default_tenant());
    let readers = Readers { database, customers, people, read: watch::Sender::new(0) };
    let map = map();

    // Expand.
    assert_eq!(database.add_columns().await.len(), FIELDS.len() - 1);
    let rows = database.rows().await;
    let step = async |step| {
        let mut observer = Reading(&readers.read);
        let tally = adopt(&vault, &map, &rows, step, &JobOptions::new(), &mut observer).await.unwrap();
        assert_eq!((tally.rows, tally.failed, tally.not_held, tally.erased), (people.len() as u64, 0, 0, 0));
        tally
    };
    let numbers = |tally: Tally| (tally.changed, tally.current, tally.empty);
    readers
        .alongside(async {
            assert_eq!(numbers(step(Adoption::Backfill).await), (values, 0, empty));
            assert_eq!(numbers(step(Adoption::Backfill).await), (0, values, empty));
            assert_eq!(numbers(step(Adoption::Verify).await), (0, values, empty));
            assert_eq!(numbers(step(Adoption::Contract).await), (values - in_place, in_place, empty));
        })
        .await;

    // Nothing of anybody stands in a cell any more, but for the state.
    let by_id: HashMap<&str, &Person> = people.iter().map(|person| (person.id.as_str(), person)).collect();
    for row in rows.page(&Page::first(Page::MAX_LIMIT)).await.unwrap() {
        let Cell::Text(id) = &row.key.cells()[0] else { panic!("an id is text") };
        let telling = by_id[id.as_str()].values.iter().flatten().filter(|value| value.len() >= TELLING);
        let held: Vec<&[u8]> = row.cells.iter().map(bytes).collect();
        for value in telling {
            assert!(!held.iter().any(|cell| find(cell, value.as_bytes())), "a value stands in the clear");
        }
    }

    // And back out again.
    let file = folder.join("people.jsonl");
    let mut lines = ToFile(fs::File::create_new(&file).unwrap());
    let tally = reveal_table(&vault, &map, &rows, &JobOptions::new(), &mut lines).await.unwrap();
    assert_eq!((tally.current, tally.empty, tally.failed), (values, empty, 0));
    let lines = BufReader::new(fs::File::open(&file).unwrap()).lines().map(|line| revealed(&line.unwrap()));
    let revealed: HashMap<String, Person> = lines.map(|person| (person.id.clone(), person)).collect();
    assert_eq!(revealed.len(), people.len());
    assert!(people.iter().all(|person| revealed[&person.id] == *person), "somebody came back otherwise");
}

/// Somebody, from their line.
fn revealed(line: &str) -> Person {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = FIELDS.map(|(name, _)| text(&line["fields"][name]));
    assert_eq!(line.get("unreadable"), None);
    Person { id: text(&line["record"][0]).unwrap(), values: values.into(), state: text(&line["clear"]["state"]) }
}

async fn on_sqlite() {
    let people = &people()[..if soak() { 5000 } else { 2000 }];
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("people.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await.unwrap();
    database.insert(people).await;
    let dated = people.iter().filter(|person| telling(person).is_some()).count();
    assert_eq!(in_clear(&file, people), dated, "whoever looks into the file finds them");
    people_are_adopted_and_come_back_as_they_were(&database, people, folder.path()).await;

    // The rows don't hold them, and the file does.
    assert!(in_clear(&file, people) > 0);
    database.execute("PRAGMA secure_delete = ON; VACUUM").await;
    assert_eq!(in_clear(&file, people), 0);
    database.close().await;
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name()).collect::<HashSet<_>>();
    assert_eq!(files, HashSet::from(["people.db".into(), "people.jsonl".into()]), "no journal is left beside it");
}

async fn on_postgres(database: PgConnectOptions) {
    let database = PgPool::connect_with(database).await.unwrap();
    let people = &people()[..1000];
    database.insert(people).await;
    let folder = TempDir::new().unwrap();
    people_are_adopted_and_come_back_as_they_were(&database, people, folder.path()).await;
}

/// Of how many people the file holds date of birth and social security number, which stand side by side in a record.
fn in_clear(file: &Path, people: &[Person]) -> usize {
    let telling: HashSet<Vec<u8>> = people.iter().filter_map(telling).map(String::into_bytes).collect();
    let bytes = fs::read(file).unwrap();
    let found: HashSet<&[u8]> =
        bytes.windows(17).filter(|window| window[4] == b'-' && telling.contains(*window)).collect();
    found.len()
}

/// `1815-12-10` and `1234567`.
fn telling(person: &Person) -> Option<String> {
    let [.., date, number] = person.values.as_slice() else { panic!("nine values") };
    Some(format!("{}{}", date.as_ref()?, number.as_ref()?))
}

fn bytes(cell: &Cell) -> &[u8] {
    match cell {
        Cell::Text(text) => text.as_bytes(),
        Cell::Bytes(bytes) => bytes,
        Cell::Null => &[],
        other => panic!("no column is {other:?}"),
    }
}

fn find(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

const READERS: usize = 3;

/// Shorter values stand in an envelope by chance.
const TELLING: usize = 7;
