//! [`Bulk`]: the options of every job that goes through tables; [`Watch`]: what hears of its pages, shows how far it is, keeps
//! its checkpoint, and makes its pauses.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::Error;
use fieldseal::jobs::{Checkpoint, JobOptions, Observer, PageDone, Part, Tally, Trouble};
use fieldseal::rows::{Cell, RowKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::Tool;
use crate::progress::Progress;
use crate::tables::MappedTable;
use crate::text::{count, table};

/// Options of jobs that go through tables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bulk {
    /// This table alone; may be given several times. Without it, every table of the configuration.
    #[arg(long = "table", value_name = "NAME")]
    pub(crate) tables: Vec<String>,
    /// Rows a page: what a page changes is written in one transaction.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Wait so long after each page, to leave the database to others.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause: u64,
    /// Pages that are worked on at once.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// This process's share of the rows: 1/4, 2/4, .. in four processes side by side.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = part)]
    part: Part,
    /// Write what needs a look to this file, a line of JSON each, with the keys of the rows.
    #[arg(long, value_name = "FILE")]
    troubles: Option<PathBuf>,
}

fn part(text: &str) -> Result<Part, String> {
    let wrong = || "a share is written I/N, from 1/N to N/N".to_owned();
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let index: u32 = index.parse().map_err(|_| wrong())?;
    let of: u32 = of.parse().map_err(|_| wrong())?;
    Part::new(index.checked_sub(1).ok_or_else(wrong)?, of).map_err(|_| wrong())
}

impl Bulk {
    /// How the library is to go through a table.
    pub(crate) fn options(&self, from: Option<Checkpoint>) -> JobOptions {
        let options = JobOptions::new().batch(self.batch.into()).workers(self.workers.into()).part(self.part);
        match from {
            Some(checkpoint) => options.from(checkpoint),
            None => options,
        }
    }

    /// What hears of the pages of these tables. A file of troubles is begun now: if it can't be written, nothing is done.
    pub(crate) async fn watch(
        &self,
        tool: &Tool,
        what: &'static str,
        tables: &[MappedTable],
    ) -> Result<Watch, Failure> {
        let mut total = 0;
        for table in tables {
            total += table.rows.count().await?;
        }
        let troubles = match &self.troubles {
            None => None,
            Some(path) => Some((files::begin(path)?, path.clone())),
        };
        Ok(Watch {
            progress: Progress::new(tool.output, what, Some(total)),
            pause: Duration::from_millis(self.pause),
            told: BTreeMap::new(),
            troubles,
            table: String::new(),
            checkpoints: None,
            failure: None,
        })
    }
}

/// Hears of the pages of one job after the other.
pub(crate) struct Watch {
    progress: Progress,
    pause: Duration,
    /// Table, column and what is wrong: how often.
    told: BTreeMap<(String, String, String), u64>,
    troubles: Option<(fs::File, PathBuf)>,
    /// The table that the job is at.
    table: String,
    checkpoints: Option<Checkpoints>,
    /// Why the observer ended the job.
    failure: Option<Failure>,
}

impl Watch {
    /// Keeps checkpoints from now on.
    pub(crate) fn keep(&mut self, checkpoints: Option<Checkpoints>) {
        self.checkpoints = checkpoints;
    }

    /// The job goes on with this table; gives where from, if it was there before.
    pub(crate) fn begin(&mut self, table: &str) -> Result<Option<Checkpoint>, Failure> {
        table.clone_into(&mut self.table);
        match &self.checkpoints {
            None => Ok(None),
            Some(checkpoints) => checkpoints.of(table),
        }
    }

    /// What a job answered; if the observer ended it, why.
    pub(crate) fn answer<T>(&mut self, answer: Result<T, Error>) -> Result<T, Failure> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(answer?),
        }
    }

    /// A page is done.
    pub(crate) async fn see(&mut self, done: &PageDone) -> Result<(), Error> {
        self.progress.advance(done.page.rows);
        for trouble in &done.troubles {
            let column = trouble.column.clone().unwrap_or_default();
            *self.told.entry((self.table.clone(), column, trouble.kind.to_string())).or_default() += 1;
        }
        let kept = self.keep_page(done);
        self.stop_at(kept)?;
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        Ok(())
    }

    /// Ends the job for a reason of the tool's own.
    pub(crate) fn stop_at<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Error> {
        answer.map_err(|failure| {
            self.failure = Some(failure);
            Error::InvalidInput("the observer ended the job".into())
        })
    }

    fn keep_page(&mut self, done: &PageDone) -> Result<(), Failure> {
        if let Some((file, path)) = &mut self.troubles {
            let mut lines = String::new();
            for trouble in &done.troubles {
                lines.push_str(&format!("{}\n", trouble_json(&self.table, trouble)));
            }
            file.write_all(lines.as_bytes()).map_err(|e| Failure::of_file("write", path, &e))?;
        }
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.keep(&self.table, &done.checkpoint),
            None => Ok(()),
        }
    }

    /// All tables are done: what was kept for going on is of no use any more.
    pub(crate) fn finish(mut self) -> Result<Troubles, Failure> {
        if let Some((file, path)) = &self.troubles {
            file.sync_all().map_err(|e| Failure::of_file("write", path, &e))?;
        }
        if let Some(checkpoints) = self.checkpoints.take() {
            checkpoints.remove()?;
        }
        Ok(Troubles(self.told))
    }
}

#[async_trait]
impl Observer for Watch {
    async fn page(&mut self, done: &PageDone, (): &()) -> Result<(), Error> {
        self.see(done).await
    }
}

/// What needs a look, counted.
pub(crate) struct Troubles(BTreeMap<(String, String, String), u64>);

impl Troubles {
    pub(crate) fn text(&self, file: Option<&Path>) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut text = "\nTo be looked at\n".to_owned();
        for ((table, column, what), n) in &self.0 {
            let place = if column.is_empty() { table.clone() } else { format!("{table}.{column}") };
            text.push_str(&format!(
                "  {}: {place} {what}\n",
                count(*n, if column.is_empty() { "row" } else { "cell" })
            ));
        }
        match file {
            Some(file) => text.push_str(&format!("  which ones stands in {}\n", file.display())),
            None => text.push_str("  --troubles FILE lists which ones\n"),
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let one = |((table, column, what), n): (&(String, String, String), &u64)| json!({ "table": table, "column": Some(column).filter(|c| !c.is_empty()), "what": what, "count": n });
        self.0.iter().map(one).collect()
    }
}

impl Bulk {
    pub(crate) fn troubles_file(&self) -> Option<&Path> {
        self.troubles.as_deref()
    }
}

/// What tables came to, as text and for a program.
pub(crate) fn tallies(done: &[(String, Tally)], changed: &str) -> (String, Value) {
    let head = ["table", "rows", changed, "as it should be", "empty", "erased", "not held", "failed"];
    let row = |(name, t): &(String, Tally)| {
        let numbers = [t.rows, t.changed, t.current, t.empty, t.erased, t.not_held, t.failed];
        std::iter::once(name.clone()).chain(numbers.map(|n| n.to_string())).collect::<Vec<_>>()
    };
    let rows: Vec<_> = done.iter().map(row).collect();
    let tables = done.iter().map(|(name, tally)| {
        let mut numbers: serde_json::Map<_, _> =
            tally.numbers().into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
        numbers.insert("table".to_owned(), name.as_str().into());
        Value::from(numbers)
    });
    (table(&head, &rows), tables.collect())
}

/// How a job ends that left something.
pub(crate) fn exit_of(done: &[(String, Tally)]) -> Exit {
    let left = done.iter().any(|(_, tally)| tally.failed > 0 || tally.not_held > 0);
    if left { Exit::Partly } else { Exit::Done }
}

fn trouble_json(table: &str, trouble: &Trouble) -> Value {
    json!({ "table": table, "key": key_json(&trouble.key), "column": trouble.column, "what": trouble.kind.to_string() })
}

/// A row's key, for whoever is to look at the row.
fn key_json(key: &RowKey) -> Value {
    let cell = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => (*b).into(),
        Cell::Integer(n) => (*n).into(),
        Cell::Real(n) => (*n).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Bytes(bytes) => crate::text::hex(bytes).into(),
    };
    key.cells().iter().map(cell).collect()
}

/// The checkpoints of a job's tables, in one file.
pub(crate) struct Checkpoints {
    file: PathBuf,
    kept: Kept,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: String,
    job: String,
    tables: BTreeMap<String, String>,
}

impl Checkpoints {
    /// Of a job, in this file; with what is there already.
    pub(crate) fn open(file: Option<&Path>, job: &str) -> Result<Option<Self>, Failure> {
        let Some(file) = file else { return Ok(None) };
        let damaged = |what: &str| {
            let what = format!("{} {what}: remove it, or name another file", file.display());
            Failure::new(Exit::Usage, "checkpoint_damaged", what)
        };
        let kept = match fs::read_to_string(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Kept { format: FORMAT.to_owned(), job: job.to_owned(), tables: BTreeMap::new() }
            }
            text => {
                let text = text.map_err(|e| Failure::of_file("read the checkpoint", file, &e))?;
                serde_json::from_str(&text).map_err(|_| damaged("is no checkpoint of a job on tables"))?
            }
        };
        if kept.format != FORMAT {
            return Err(damaged("is no checkpoint of a job on tables"));
        }
        if kept.job != job {
            return Err(damaged("is the checkpoint of another job"));
        }
        Ok(Some(Self { file: file.to_owned(), kept }))
    }

    fn of(&self, table: &str) -> Result<Option<Checkpoint>, Failure> {
        Ok(self.kept.tables.get(table).map(|text| text.parse()).transpose()?)
    }

    fn keep(&mut self, table: &str, checkpoint: &Checkpoint) -> Result<(), Failure> {
        self.kept.tables.insert(table.to_owned(), checkpoint.to_string());
        let text = serde_json::to_string_pretty(&self.kept);
        let text = text.map_err(|e| Failure::new(Exit::Unforeseen, "bug", "can't write a checkpoint").because(&e))?;
        files::replace(&self.file, &(text + "\n"))
    }

    fn remove(self) -> Result<(), Failure> {
        match fs::remove_file(&self.file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::of_file("remove the checkpoint", &self.file, &e))
            }
            _ => Ok(()),
        }
    }
}

const FORMAT: &str = "fieldseal keytool job 1";
