//! `keytool adopt`: columns in the clear become sealed ones, step by step, while the application works.

use std::path::PathBuf;

use fieldseal::jobs::{self, Adoption, Tally};
use serde_json::json;

use crate::bulk::{Bulk, Checkpoints, exit_of, tallies};
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::tables::{MappedTable, map_of};
use crate::text::count;

/// Seal columns that are in the clear, in four steps, while the application works: docs/jobs.md says what it does meanwhile.
///
/// The columns are those of the configuration's fields with `from`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Adopt {
    Expand(Expand),
    Backfill(Backfill),
    Verify(Verify),
    Contract(Contract),
}

/// Step 1: add the columns that sealed values are to stand in. No row is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Expand {
    /// This table alone; may be given several times. Without it, every table of the configuration.
    #[arg(long = "table", value_name = "NAME")]
    tables: Vec<String>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Step 2: seal every plaintext beside it, and anew where the two differ. Enrolls who has no keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Backfill {
    #[command(flatten)]
    bulk: Bulk,
    /// Keep there how far it is, and go on from there if it was stopped. Removed at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Step 3: open every sealed value and compare it with its plaintext. Writes nothing; exit code 8 if anything differs.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    bulk: Bulk,
    /// Keep there how far it is, and go on from there if it was stopped. Removed at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

/// Step 4: make each plaintext NULL that is sealed beside it. What isn't, stays and is told of.
#[derive(Debug, clap::Args)]
pub(crate) struct Contract {
    #[command(flatten)]
    bulk: Bulk,
    /// Keep there how far it is, and go on from there if it was stopped. Removed at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    destructive: Destructive,
}

impl Adopt {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        match self {
            Self::Expand(expand) => expand.run(tool).await,
            Self::Backfill(backfill) => backfill.run(tool).await,
            Self::Verify(verify) => verify.run(tool).await,
            Self::Contract(contract) => contract.run(tool).await,
        }
    }
}

impl Expand {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let database = tool.database().await?;
        let (mut text, mut added) = (String::new(), Vec::new());
        for config in tool.mapped(&self.tables)? {
            let map = map_of(config)?;
            let columns = match self.dry_run {
                true => database.missing_columns(&map).await?,
                false => database.add_columns(&map).await?,
            };
            for column in columns {
                text.push_str(&format!("{}.{column}\n", map.name()));
                added.push(json!({ "table": map.name(), "column": column }));
            }
        }
        let n = count(added.len() as u64, "column");
        if self.dry_run {
            let text = format!("Would add {n}.\n{text}");
            return Ok(Report::dry_run(&text, json!({ "columns": added })));
        }
        let next = "Next: deploy the version that reads and writes both, then `keytool adopt backfill`.";
        Ok(Report::new(format!("{n} added.\n{text}{next}"), json!({ "added": added })))
    }
}

impl Backfill {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = adopted(tool, &self.bulk).await?;
        if self.dry_run {
            let (done, _) = step(tool, &tables, &self.bulk, Adoption::Verify, None).await?;
            let left: u64 = done.iter().map(|(_, tally)| tally.failed).sum();
            let text = format!("Would seal {}, as far as they can be.", count(left, "value"));
            return Ok(Report::dry_run(&text, json!({ "values": left })));
        }
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt backfill")?;
        let (done, report) = step(tool, &tables, &self.bulk, Adoption::Backfill, checkpoints).await?;
        Ok(report.exit(exit_of(&done)))
    }
}

impl Verify {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = adopted(tool, &self.bulk).await?;
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt verify")?;
        let (done, report) = step(tool, &tables, &self.bulk, Adoption::Verify, checkpoints).await?;
        Ok(report.exit(if exit_of(&done) == Exit::Done { Exit::Done } else { Exit::Unverified }))
    }
}

impl Contract {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = adopted(tool, &self.bulk).await?;
        if self.destructive.dry_run {
            let (done, _) = step(tool, &tables, &self.bulk, Adoption::Verify, None).await?;
            let sealed: u64 = done.iter().map(|(_, tally)| tally.current).sum();
            let left: u64 = done.iter().map(|(_, tally)| tally.failed).sum();
            let text = format!(
                "Of {} that are sealed, would make those NULL that stand beside their envelope; {} would stay.",
                count(sealed, "plaintext"),
                count(left, "other")
            );
            return Ok(Report::dry_run(&text, json!({ "sealed": sealed, "left": left })));
        }
        self.destructive.confirm("Make every plaintext NULL that is sealed beside it?")?;
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt contract")?;
        let (done, mut report) = step(tool, &tables, &self.bulk, Adoption::Contract, checkpoints).await?;
        report.text.push_str(
            "\nThe plaintext is still in the database's log, free pages, replicas and backups: docs/jobs.md, \
             \"What stays\".\n",
        );
        Ok(report.exit(exit_of(&done)))
    }
}

/// The tables; an error if none of their fields is adopted.
async fn adopted(tool: &Tool, bulk: &Bulk) -> Result<Vec<MappedTable>, Failure> {
    let configs = tool.mapped(&bulk.tables)?;
    if !configs.iter().any(|table| table.fields().iter().any(|field| field.from().is_some())) {
        let what = "no field of these tables has a `from`: name the column of its plaintext in the configuration";
        return Err(Failure::new(Exit::Usage, "configuration", what));
    }
    tool.tables(&bulk.tables).await
}

async fn step(
    tool: &Tool,
    tables: &[MappedTable],
    bulk: &Bulk,
    step: Adoption,
    checkpoints: Option<Checkpoints>,
) -> Result<(Vec<(String, Tally)>, Report), Failure> {
    let vault = tool.vault().await?;
    let mut watch = bulk.watch(tool, "rows gone through", tables).await?;
    watch.keep(checkpoints);
    let mut done = Vec::new();
    for table in tables {
        let options = bulk.options(watch.begin(table.map.name())?);
        let tally = jobs::adopt(&vault, &table.map, &*table.rows, step, &options, &mut watch).await;
        done.push((table.map.name().to_owned(), watch.answer(tally)?));
    }
    let troubles = watch.finish()?;
    let (mut text, tables) = tallies(&done, if step == Adoption::Contract { "removed" } else { "sealed" });
    text.push_str(&troubles.text(bulk.troubles_file()));
    Ok((done, Report::new(text, json!({ "tables": tables, "troubles": troubles.json() }))))
}
