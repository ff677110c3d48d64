//! `keytool adopt`: columns in the clear become sealed ones, step by step, while the application works.

use std::path::PathBuf;

use fieldseal::jobs::{self, Adoption, Tally, TroubleKind};
use serde_json::json;

use crate::bulk::{Bulk, exit_of, tallies};
use crate::checkpoints::Checkpoints;
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::tables::{MappedTable, map_of};
use crate::text::{count, plural};
use crate::troubles::Troubles;

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
        let maps: Vec<_> = tool.adopting(&self.tables)?.into_iter().map(map_of).collect::<Result<_, _>>()?;
        let database = tool.database(1).await?;
        let mut to_add = Vec::new();
        for map in &maps {
            let missing = database.missing_columns(map).await?;
            let wanted = map.sealed_columns();
            if let Some(other) = missing.iter().find(|name| !wanted.iter().any(|(column, _)| column == *name)) {
                let what = format!("the table {:?} has no column {other:?}, and it is none to be added", map.name());
                return Err(Failure::new(Exit::Usage, "table_misconfigured", what));
            }
            to_add.push((map.name(), wanted, missing));
        }
        let (mut text, mut columns) = (String::new(), Vec::new());
        for (table, wanted, missing) in to_add {
            let added = if self.dry_run { missing } else { database.add_columns(table, &wanted).await? };
            for column in added {
                text.push_str(&format!("  {table}.{column}\n"));
                columns.push(json!({ "table": table, "column": column }));
            }
        }
        let n = count(columns.len() as u64, "column");
        if self.dry_run {
            return Ok(Report::dry_run(&format!("Would add {n}.\n{text}"), json!({ "columns": columns })));
        }
        let next = "Next: deploy the version that writes both, then `keytool adopt backfill`.";
        Ok(Report::new(format!("Added {n}.\n{text}{next}"), json!({ "columns": columns })))
    }
}

impl Backfill {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = tool.adopting_tables(&self.bulk).await?;
        if self.dry_run {
            let looked = step(tool, &tables, &self.bulk.without_troubles(), Adoption::Verify, None).await?;
            let values = looked.troubles.number(&TroubleKind::InClear) + looked.troubles.number(&TroubleKind::Differs);
            let text = format!("Would seal {}.", count(values, "value"));
            return Ok(Report::dry_run(&text, json!({ "values": values })));
        }
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt backfill")?;
        let done = step(tool, &tables, &self.bulk, Adoption::Backfill, checkpoints).await?;
        Ok(done.report(Some("sealed"), "sealed before").exit(done.exit()))
    }
}

impl Verify {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = tool.adopting_tables(&self.bulk).await?;
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt verify")?;
        let done = step(tool, &tables, &self.bulk, Adoption::Verify, checkpoints).await?;
        let exit = if done.exit() == Exit::Done { Exit::Done } else { Exit::Unverified };
        Ok(done.report(None, "sealed").exit(exit))
    }
}

impl Contract {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let tables = tool.adopting_tables(&self.bulk).await?;
        if self.destructive.dry_run {
            let looked = step(tool, &tables, &self.bulk.without_troubles(), Adoption::Verify, None).await?;
            let sum = |number: fn(&Tally) -> u64| looked.tables.iter().map(|(_, tally)| number(tally)).sum::<u64>();
            let (sealed, left) = (sum(|tally| tally.current), sum(|tally| tally.failed));
            let text = format!(
                "{} sealed: would make the plaintext NULL of those that have it beside them; {} would stay.",
                plural(sealed, "value is", "values are"),
                count(left, "other")
            );
            return Ok(Report::dry_run(&text, json!({ "sealed": sealed, "left": left })));
        }
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "adopt contract")?;
        self.destructive.confirm("Make every plaintext NULL that is sealed beside it?")?;
        let done = step(tool, &tables, &self.bulk, Adoption::Contract, checkpoints).await?;
        let mut report = done.report(Some("removed"), "sealed in place");
        report.text.push_str(
            "\nThe plaintext is still in the database's log, free pages, replicas and backups: docs/jobs.md, \
             \"What stays\".\n",
        );
        Ok(report.exit(done.exit()))
    }
}

/// What a step came to.
struct Step {
    tables: Vec<(String, Tally)>,
    troubles: Troubles,
}

impl Step {
    fn exit(&self) -> Exit {
        exit_of(self.tables.iter().map(|(_, tally)| tally))
    }

    fn report(&self, changed: Option<&str>, current: &str) -> Report {
        let (mut text, tables) = tallies(&self.tables, changed, current);
        text.push_str(&self.troubles.text());
        Report::new(text, json!({ "tables": tables, "troubles": self.troubles.json() }))
    }
}

async fn step(
    tool: &Tool,
    tables: &[MappedTable],
    bulk: &Bulk,
    step: Adoption,
    checkpoints: Option<Checkpoints>,
) -> Result<Step, Failure> {
    let vault = tool.vault().await?;
    let mut watch = bulk.watch_from(tool, "rows gone through", tables, checkpoints).await?;
    let mut done = Vec::new();
    for table in tables {
        watch.begin(table.map.name());
        let options = bulk.options(watch.from()?);
        let tally = jobs::adopt(&vault, &table.map, &*table.rows, step, &options, &mut watch).await;
        done.push((table.map.name().to_owned(), watch.answer(tally)?));
    }
    Ok(Step { tables: done, troubles: watch.finish()? })
}
