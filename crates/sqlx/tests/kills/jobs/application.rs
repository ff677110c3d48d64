//! The application, which nobody kills: it changes rows while jobs come and go, in one UPDATE each, and keeps a record of
//! its own of what it wrote. What it reads must be what it wrote last.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fieldseal::rows::{Cell, RowKey, RowSource as _, Table};
use fieldseal::{Error, SubjectKeys, Tenant};
use fieldseal_sqlx::SqliteRows;
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use sqlx::SqlitePool;

use super::child::say;
use super::table::{FIELDS, Field, ROWS, is_written, open, put, seal, subject_of, value};
use super::*;

pub(super) async fn run(place: &SharedFiles, job: Job, seed: u64) -> Result {
    let clock = now();
    let customers = place.vault(&Tap::open(), &clock).await?.default_tenant();
    let database = place.database().await?;
    let columns = ["subject", "email", "phone", "note", "iban", "email_plain", "phone_plain", "note_plain"];
    let rows = SqliteRows::new(database.clone(), Table::new("customer", ["id"], columns)).await?;
    let written: Vec<i64> = (1..=ROWS).filter(|row| is_written(job, *row)).collect();
    if job != Job::Adopt {
        // Keys as they are before somebody rotates them.
        let subjects: Vec<_> = written.iter().map(|row| customer(subject_of(*row))).collect();
        customers.keys_of(&subjects).await?;
    }
    let record = OpenOptions::new().create(true).append(true).open(place.file(WRITTEN))?;
    let mut application = Application { job, clock, customers, database, rows, record, last: BTreeMap::new() };
    let stopped = ends_with_its_input();
    let mut random = Random(seed);
    say("begun");
    for version in 1.. {
        if stopped.load(Ordering::SeqCst) {
            break;
        }
        let row = written[usize::try_from(random.below(written.len() as u64))?];
        application.change(row, version).await.map_err(|e| format!("row {row}, version {version}: {e}"))?;
    }
    application.database.close().await;
    say("done");
    Ok(())
}

fn ends_with_its_input() -> Arc<AtomicBool> {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = stopped.clone();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        stop.store(true, Ordering::SeqCst);
    });
    stopped
}

struct Application {
    job: Job,
    clock: ManualClock,
    customers: Tenant,
    database: SqlitePool,
    rows: SqliteRows,
    record: File,
    /// Which version of each row it wrote last.
    last: BTreeMap<i64, u64>,
}

impl Application {
    /// Reads a row, holds it against its record, and writes the next version.
    async fn change(&mut self, row: i64, version: u64) -> Result {
        self.clock.advance(Duration::from_secs(1));
        let loaded = self.rows.load(&[RowKey::new(vec![Cell::Integer(row)])]).await?.remove(0).ok_or("it is gone")?;
        let last = self.last.get(&row).copied().unwrap_or(0);
        let subject = customer(subject_of(row));
        let mut keys = match self.job {
            Job::Adopt => self.customers.enroll(&subject).await?,
            _ => self.customers.keys(&subject).await?,
        };
        for field in &FIELDS {
            let read = match read(&keys, field, row, &loaded.cells) {
                Err(Error::KeyNotHeld) => {
                    // Somebody made a new key since these were read.
                    keys = self.customers.refresh(&keys).await?;
                    read(&keys, field, row, &loaded.cells)
                }
                read => read,
            };
            let expected = value(field, row, last);
            for read in read?.into_iter() {
                if read != expected {
                    return Err(format!("its {} is not what was written last, version {last}", field.name).into());
                }
            }
        }
        let cells = cells(&keys, row, version)?;
        self.record(row, version, "intended")?;
        put(&self.database, row, &cells).await?;
        self.record(row, version, "done")?;
        self.last.insert(row, version);
        Ok(())
    }

    fn record(&mut self, row: i64, version: u64, what: &str) -> Result {
        writeln!(self.record, "{row} {version} {what}")?;
        self.record.sync_data()?;
        Ok(())
    }
}

/// What the application finds of a field: its plaintext, while it is there, and what is sealed, once it is.
fn read(keys: &SubjectKeys, field: &Field, row: i64, cells: &[Cell]) -> fieldseal::Result<Vec<Option<String>>> {
    let plain = match &cells[field.plain_at] {
        Cell::Text(text) if !(field.is_in_place() && text.starts_with("fs1.")) => Some(text.to_string()),
        _ => None,
    };
    match (plain, &cells[field.at]) {
        (Some(plain), sealed) if field.is_in_place() || sealed.is_null() => Ok(vec![Some(plain)]),
        (Some(plain), sealed) => Ok(vec![Some(plain), open(keys, field, row, sealed)?]),
        (None, sealed) => Ok(vec![open(keys, field, row, sealed)?]),
    }
}

/// A row as the application writes it: sealed, and beside that in the clear, which the statement leaves out where the
/// application doesn't write it any more.
fn cells(keys: &SubjectKeys, row: i64, version: u64) -> fieldseal::Result<Vec<Cell>> {
    let mut cells = vec![Cell::Integer(subject_of(row))];
    for field in &FIELDS {
        cells.push(seal(keys, field, row, version)?);
    }
    for field in FIELDS.iter().filter(|field| !field.is_in_place()) {
        cells.push(value(field, row, version).map_or(Cell::Null, Cell::text));
    }
    Ok(cells)
}

/// What the application's record says of each row: every version it may hold or have held, the last one last, and whether
/// that was done. A row that isn't there was never written.
#[derive(Debug, Default)]
pub(super) struct Record(BTreeMap<i64, (Vec<u64>, bool)>);

impl Record {
    pub(super) fn read(place: &SharedFiles) -> Result<Self> {
        let mut record = Self::default();
        for line in std::fs::read_to_string(place.file(WRITTEN)).unwrap_or_default().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let &[row, version, what] = words.as_slice() else { return Err("half a record".into()) };
            let (versions, is_done) = record.0.entry(row.parse()?).or_insert_with(|| (vec![0], true));
            match what {
                "intended" => versions.push(version.parse()?),
                _ => assert_eq!(versions.last(), Some(&version.parse()?), "done without an intent"),
            }
            *is_done = what == "done";
        }
        Ok(record)
    }

    /// How many changes were made.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(|(versions, _)| versions.len() - 1).sum()
    }

    /// The versions that a row may be of now.
    pub(super) fn now(&self, row: i64) -> &[u64] {
        match self.0.get(&row) {
            None => &[0],
            Some((versions, true)) => &versions[versions.len() - 1..],
            Some((versions, false)) => &versions[versions.len() - 2..],
        }
    }

    /// The versions that it was of at some time.
    pub(super) fn ever(&self, row: i64) -> &[u64] {
        self.0.get(&row).map_or(&[0], |(versions, _)| versions)
    }
}
