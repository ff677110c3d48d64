//! Bulk work over an application's rows: what each job does to every kind of cell, beside an application that writes, from
//! any checkpoint, in any number of shares.

mod adopt;
mod beside;
mod census;
mod reseal;
#[cfg(feature = "serde")]
mod reveal;

use fieldseal::id::Purpose;
use fieldseal::jobs::{
    Checkpoint, FieldMap, IdColumn, JobOptions, Observer, PageDone, SubjectColumn, TableMap, Trouble,
};
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::rows::{Cell, MemoryRows, Page, Row, RowKey, RowSource as _};
use fieldseal::store::MemoryStore;
use fieldseal::vault::ErasureRequest;
use fieldseal::{FieldContext, Plain, Result, Sealed, SubjectKeys, Tenant, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use fieldseal_testkit::world::World;

/// A vault, and a table of customers: one subject has three rows.
struct Shop {
    vault: Vault,
    customers: Tenant,
    clock: ManualClock,
    rows: MemoryRows,
}

impl Shop {
    async fn new() -> Self {
        let world = World::in_memory().unwrap().purposes(["billing"]);
        let vault = world.vault().await.unwrap();
        let customers = vault.default_tenant();
        Self { vault, customers, clock: world.clock, rows: MemoryRows::new(map().table().columns) }
    }

    /// With `n` rows of the subjects 1 to `n` / 3.
    async fn populated(n: i64) -> Self {
        let shop = Self::new().await;
        for row in 1..=n {
            shop.insert(row, 1 + row % (n / 3).max(1)).await;
        }
        shop
    }

    async fn insert(&self, row: i64, subject: i64) {
        let keys = self.customers.enroll(&customer(subject)).await.unwrap();
        let cells = vec![
            Cell::Integer(subject),
            Cell::Integer(row),
            Cell::bytes(seal(&keys, "email", "default", row, &format!("{row}@example.com"))),
            Cell::text(text_form(&seal(&keys, "iban", "billing", row, &format!("DE{row}")))),
            Cell::Null,
            Cell::text("free"),
        ];
        self.rows.put(key(row), cells).unwrap();
    }

    /// Makes a row nobody's: what is sealed in it stays as it was.
    async fn disown(&self, row: i64) {
        self.set(row, SUBJECT, Cell::Null).await;
    }

    async fn set(&self, row: i64, column: usize, cell: Cell) {
        let mut cells = self.row(row).await.cells;
        cells[column] = cell;
        self.rows.put(key(row), cells).unwrap();
    }

    async fn row(&self, row: i64) -> Row {
        self.rows.load(&[key(row)]).await.unwrap().remove(0).unwrap()
    }

    async fn all(&self) -> Vec<Row> {
        self.rows.page(&Page::first(Page::MAX_LIMIT)).await.unwrap()
    }

    /// The row's e-mail address, opened.
    async fn email(&self, row: i64) -> Result<String> {
        let cells = self.row(row).await.cells;
        let Cell::Integer(subject) = cells[SUBJECT] else { panic!("no subject") };
        let Cell::Bytes(envelope) = &cells[EMAIL] else { panic!("no envelope") };
        let keys = self.customers.keys(&customer(subject)).await?;
        let sealed = Sealed::<String>::from_bytes(envelope.to_vec())?;
        keys.open_value(&sealed, &context("email", "default", row)).map(Plain::into_inner)
    }

    async fn erase(&self, subject: i64, purpose: Option<&str>) {
        let request = ErasureRequest::new();
        let request = match purpose {
            Some(purpose) => request.purpose(Purpose::new(purpose).unwrap()),
            None => request,
        };
        self.customers.erase(&customer(subject), &request).await.unwrap();
    }
}

const SUBJECT: usize = 0;
const ID: usize = 1;
const EMAIL: usize = 2;
const IBAN: usize = 3;
const NOTE: usize = 4;

/// Columns: subject, id, email, iban (as text), note, plan (in the clear).
fn map() -> TableMap {
    TableMap::new("customer", ["id"], "customer", SubjectColumn::new("customer", IdColumn::integer("subject")))
        .ids([IdColumn::integer("id")])
        .field(FieldMap::new("email"))
        .field(FieldMap::new("iban").purpose("billing").form(fieldseal::jobs::Form::Text))
        .field(FieldMap::new("note"))
        .clear("plan")
}

fn key(row: i64) -> RowKey {
    RowKey::new(vec![Cell::Integer(row)])
}

fn context<'a>(field: &'a str, purpose: &'a str, row: i64) -> FieldContext<'static> {
    let row: &'static i64 = Box::leak(Box::new(row));
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    FieldContext::new("customer", leak(field), row).unwrap().purpose(leak(purpose))
}

fn seal(keys: &SubjectKeys, field: &str, purpose: &str, row: i64, value: &str) -> Vec<u8> {
    keys.seal_value(&value.into(), &context(field, purpose, row)).unwrap().into_bytes()
}

fn text_form(envelope: &[u8]) -> String {
    Sealed::<String>::from_bytes(envelope).unwrap().to_string()
}

/// Keeps what it hears.
#[derive(Default)]
struct Heard {
    checkpoints: Vec<Checkpoint>,
    troubles: Vec<Trouble>,
}

#[async_trait::async_trait]
impl<O: Sync> Observer<O> for Heard {
    async fn page(&mut self, done: &PageDone, _: &O) -> Result<()> {
        self.checkpoints.push(done.checkpoint.clone());
        self.troubles.extend(done.troubles.iter().cloned());
        Ok(())
    }
}

fn small() -> JobOptions {
    JobOptions::new().batch(7).workers(3)
}
