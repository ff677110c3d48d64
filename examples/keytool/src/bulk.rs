//! [`Bulk`]: the options of every job that goes through tables; [`Watch`]: what hears of its pages, shows how far it is, keeps
//! its checkpoint, and makes its pauses.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::Error;
use fieldseal::jobs::{Checkpoint, JobOptions, Observer, PageDone, Tally};
use fieldseal::vault::Shard;
use serde_json::Value;

use crate::checkpoints::Checkpoints;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::progress::Progress;
use crate::tables::MappedTable;
use crate::text::{count, table};
use crate::troubles::Troubles;

/// Options of jobs that go through tables.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bulk {
    /// This table alone; may be given several times. Without it, every table of the configuration.
    #[arg(help_heading = HEADING, long = "table", value_name = "NAME")]
    pub(crate) tables: Vec<String>,
    /// Rows a page: what a page changes is written in one transaction.
    #[arg(help_heading = HEADING, long, value_name = "N", default_value_t = BATCH, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: u16,
    /// Wait so long after each page, to leave the database to others.
    #[arg(help_heading = HEADING, long, value_name = "MS", default_value_t = 0)]
    pause: u64,
    /// Pages that are worked on at once; each takes a connection.
    #[arg(help_heading = HEADING, long, value_name = "N", default_value_t = WORKERS, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// This process's share of the rows: 1/4, 2/4, .. in four processes side by side.
    #[arg(help_heading = HEADING, long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: Shard,
    /// List what needs a look in this new file, a line of JSON each, with the keys of the rows.
    #[arg(help_heading = HEADING, long, value_name = "FILE")]
    troubles: Option<PathBuf>,
}

pub(crate) fn shard(text: &str) -> Result<Shard, String> {
    let wrong = || "a share is written I/N, from 1/N to N/N".to_owned();
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    let index: u32 = index.parse().map_err(|_| wrong())?;
    let of: u32 = of.parse().map_err(|_| wrong())?;
    Shard::new(index.checked_sub(1).ok_or_else(wrong)?, of).map_err(|_| wrong())
}

impl Bulk {
    /// How the library is to go through a table.
    pub(crate) fn options(&self, from: Option<Checkpoint>) -> JobOptions {
        let options = JobOptions::new().batch(self.batch.into()).workers(self.workers.into()).shard(self.shard);
        match from {
            Some(checkpoint) => options.from(checkpoint),
            None => options,
        }
    }

    /// One for each page that is worked on, and one that reads ahead.
    pub(crate) fn connections(&self) -> u32 {
        u32::from(self.workers) + 1
    }

    /// Whether nothing is said of how to go through whole tables.
    pub(crate) fn is_only_tables(&self) -> bool {
        let said = (self.batch, self.pause, self.workers, self.shard, &self.troubles);
        said == (BATCH, 0, WORKERS, Shard::ALL, &None)
    }

    /// For a dry run, which writes no file either.
    pub(crate) fn without_troubles(&self) -> Self {
        Self { troubles: None, ..self.clone() }
    }

    /// What hears of the pages of these tables. A job that goes on adds to the list of troubles that it began.
    pub(crate) async fn watch(
        &self,
        tool: &Tool,
        what: &'static str,
        tables: &[MappedTable],
        goes_on: bool,
    ) -> Result<Watch, Failure> {
        let mut total = 0;
        for table in tables {
            total += table.rows.count().await?;
        }
        Ok(Watch {
            progress: Progress::new(tool.output, what, Some(total)),
            pause: Duration::from_millis(self.pause),
            troubles: Troubles::begin(self.troubles.as_deref(), goes_on)?,
            table: String::new(),
            checkpoints: None,
            failure: None,
        })
    }

    /// The same, with checkpoints.
    pub(crate) async fn watch_from(
        &self,
        tool: &Tool,
        what: &'static str,
        tables: &[MappedTable],
        checkpoints: Option<Checkpoints>,
    ) -> Result<Watch, Failure> {
        let goes_on = checkpoints.as_ref().is_some_and(Checkpoints::goes_on);
        Ok(Watch { checkpoints, ..self.watch(tool, what, tables, goes_on).await? })
    }
}

/// Hears of the pages of one table after the other.
pub(crate) struct Watch {
    progress: Progress,
    pause: Duration,
    troubles: Troubles,
    /// The table that the job is at.
    table: String,
    checkpoints: Option<Checkpoints>,
    /// Why the observer ended the job.
    failure: Option<Failure>,
}

impl Watch {
    /// The job goes on with this table.
    pub(crate) fn begin(&mut self, table: &str) {
        table.clone_into(&mut self.table);
    }

    /// Where the job goes on in its table, if it was there before.
    pub(crate) fn from(&self) -> Result<Option<Checkpoint>, Failure> {
        self.checkpoints.as_ref().map_or(Ok(None), |checkpoints| checkpoints.of(&self.table))
    }

    /// What a job answered; if the observer ended it, why.
    pub(crate) fn answer<T>(&mut self, answer: Result<T, Error>) -> Result<T, Failure> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(answer?),
        }
    }

    /// Takes note of a page: before it is kept that it is done.
    pub(crate) fn note(&mut self, done: &PageDone) -> Result<(), Error> {
        self.progress.advance(done.page.rows);
        let noted = self.troubles.add(&self.table, &done.troubles);
        self.stop_at(noted)
    }

    /// Leaves the database to others.
    pub(crate) async fn rest(&self) {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Ends the job for a reason of the tool's own.
    pub(crate) fn stop_at<T>(&mut self, answer: Result<T, Failure>) -> Result<T, Error> {
        answer.map_err(|failure| {
            self.failure = Some(failure);
            Error::InvalidInput("the observer ended the job".into())
        })
    }

    /// All tables are done: what was kept for going on is of no use any more.
    pub(crate) fn finish(mut self) -> Result<Troubles, Failure> {
        self.troubles.finish()?;
        if let Some(checkpoints) = self.checkpoints.take() {
            checkpoints.remove()?;
        }
        Ok(self.troubles)
    }
}

#[async_trait]
impl Observer for Watch {
    async fn page(&mut self, done: &PageDone, (): &()) -> Result<(), Error> {
        self.note(done)?;
        if let Some(checkpoints) = &mut self.checkpoints {
            let kept = checkpoints.keep(&self.table, &done.checkpoint);
            self.stop_at(kept)?;
        }
        self.rest().await;
        Ok(())
    }
}

/// What tables came to, as text and for a program. `changed` says what a change is, in jobs that make any.
pub(crate) fn tallies(done: &[(String, Tally)], changed: Option<&str>, current: &str) -> (String, Value) {
    let head = ["table", "rows"].into_iter().chain(changed);
    let head: Vec<_> = head.chain([current, "empty", "erased", "not held", "failed"]).collect();
    let row = |(name, t): &(String, Tally)| {
        let numbers = [Some(t.rows), changed.map(|_| t.changed), Some(t.current), Some(t.empty), Some(t.erased)];
        let numbers = numbers.into_iter().flatten().chain([t.not_held, t.failed]);
        std::iter::once(name.clone()).chain(numbers.map(|n| n.to_string())).collect::<Vec<_>>()
    };
    let rows: Vec<_> = done.iter().map(row).collect();
    let tables = done.iter().map(|(name, tally)| {
        let mut numbers: serde_json::Map<_, _> =
            tally.numbers().into_iter().map(|(name, number)| (name.to_owned(), number.into())).collect();
        numbers.insert("table".to_owned(), name.as_str().into());
        Value::from(numbers)
    });
    let mut text = table(&head, &rows);
    let of_nobody = done.iter().map(|(_, tally)| tally.of_nobody).sum();
    if of_nobody > 0 {
        text.push_str(&format!(
            "{} in rows whose subject column is NULL stay as they are.\n",
            count(of_nobody, "value")
        ));
    }
    (text, tables.collect())
}

/// How a job ends: in part if there are cells that it could not deal with. Those of the erased are as they are to be.
pub(crate) fn exit_of<'a>(tallies: impl IntoIterator<Item = &'a Tally>) -> Exit {
    let is_left = tallies.into_iter().any(|tally| tally.failed > 0 || tally.not_held > 0);
    if is_left { Exit::Partly } else { Exit::Done }
}

const HEADING: &str = "Going through the tables";
const BATCH: u16 = 500;
const WORKERS: u8 = 2;
