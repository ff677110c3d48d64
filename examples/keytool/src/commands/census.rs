//! `keytool census`: which keys the tables still name; and on its word, retiring versions that nothing names.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::{Clock as _, SystemClock};
use fieldseal::jobs::{self, Census as Counted, KeyUse, Observer, PageDone};
use fieldseal::vault::Unnamed;
use fieldseal::{Error, Vault};
use serde_json::json;

use crate::bulk::{Bulk, Watch, exit_of};
use crate::config::duration;
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::{Tool, exists};
use crate::output::Report;
use crate::progress::Progress;
use crate::tables::MappedTable;
use crate::text::{count, moment, slot, slot_json, table};
use crate::troubles::Troubles;

/// Say which keys the sealed values of the tables name, by how many, and which of those nobody has.
///
/// Reads only, unless --retire is given. Exit code 8 if values name keys that nobody has: a restore of the key store lost them;
/// 7 if there are values that can't be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Census {
    #[command(flatten)]
    bulk: Bulk,
    /// Keep the census there. One that was stopped goes on; one that is complete is told again. `report` shows it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Add the census that another process took of another shard; may be given several times.
    #[arg(long, value_name = "FILE")]
    merge: Vec<PathBuf>,
    /// Then destroy the versions of data keys that nothing names, and that ended longer ago than `max_age` and this grace:
    /// 90s, 5m, 2h, 14d. It must be longer than anything lives that may hold values sealed before: backups of the tables,
    /// queues, exports.
    #[arg(long, value_name = "GRACE", value_parser = duration)]
    retire: Option<Duration>,
    #[command(flatten)]
    destructive: Destructive,
}

impl Census {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        if self.retire.is_some() && !self.bulk.tables.is_empty() {
            return Err(Failure::usage(
                "a version is retired on the word of all tables: leave --table out with --retire",
            ));
        }
        let merged: Vec<_> = self.merge.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
        let vault = tool.vault().await?;
        let tables = tool.tables(&self.bulk).await?;
        let file = self.file.as_deref();
        let mut counted = match self.destructive.dry_run {
            true => count_all(tool, &vault, &tables, &self.bulk.without_troubles(), file.map(Keep::Nothing)).await?,
            false => count_all(tool, &vault, &tables, &self.bulk, file.map(Keep::Pages)).await?,
        };
        for shard in merged {
            counted.census.merge(shard)?;
        }
        if !self.merge.is_empty() && !self.destructive.dry_run {
            keep(&counted.census, file)?;
        }
        let census = &counted.census;
        let (mut text, mut json) = described(&counted, file);
        let mut exit = match exit_of([&census.tally()]) {
            _ if census.lost().next().is_some() => Exit::Unverified,
            exit => exit,
        };
        if let Some(grace) = self.retire {
            let maps: Vec<_> = tables.iter().map(|table| &table.map).collect();
            let unnamed = census.unnamed(&maps, grace)?;
            let (retired, failed) = self.retire(tool, &vault, unnamed).await?;
            text.push_str(&retired.0);
            if let Some(fields) = json.as_object_mut() {
                fields.insert("retired".to_owned(), retired.1);
            }
            if failed && exit == Exit::Done {
                exit = Exit::Partly;
            }
        }
        Ok(Report::new(text, json).exit(exit))
    }

    /// Retires what the census doesn't name; tells what came of it, and whether slots failed.
    async fn retire(
        &self,
        tool: &Tool,
        vault: &Vault,
        unnamed: Unnamed,
    ) -> Result<((String, serde_json::Value), bool), Failure> {
        let would = retire_all(tool, vault, &unnamed.clone().only_count()).await?;
        let what = format!("{} of {}", count(would.versions, "key version"), count(would.subjects, "subject"));
        let told = |done: &Retired, text: String, dry_run: bool| {
            let mut text = format!("\nRetired\n  {text}\n");
            done.failed.iter().for_each(|(id, e)| text.push_str(&format!("  {}: {e}\n", slot(id))));
            let failed = done.failed.iter().map(|(id, e)| json!({ "slot": slot_json(id), "error": e.json() }));
            let json = json!({
                "versions": done.versions, "subjects": done.subjects, "dry_run": dry_run,
                "failed": failed.collect::<Vec<_>>(),
            });
            (text, json)
        };
        if self.destructive.dry_run {
            let text = format!("would be {what}. Nothing was changed.");
            return Ok((told(&would, text, true), !would.failed.is_empty()));
        }
        if would.versions == 0 {
            return Ok((
                told(&would, "nothing: no version is unnamed for long enough".to_owned(), false),
                !would.failed.is_empty(),
            ));
        }
        let question = format!("Destroy {what}? What is still sealed under one of them, anywhere, is lost.");
        self.destructive.confirm(&question)?;
        let done = retire_all(tool, vault, &unnamed).await?;
        let text = format!("{} of {}", count(done.versions, "key version"), count(done.subjects, "subject"));
        Ok((told(&done, text, false), !done.failed.is_empty()))
    }
}

/// A census, and what else its taking came to.
pub(crate) struct CountedTables {
    pub(crate) census: Counted,
    troubles: Troubles,
    /// Nothing was counted: the census was complete.
    was_complete: bool,
}

/// The file of a census: one that is there is gone on with.
#[derive(Clone, Copy)]
pub(crate) enum Keep<'a> {
    /// And it is kept there.
    Pages(&'a Path),
    /// And stays as it is.
    Nothing(&'a Path),
}

/// Counts tables.
pub(crate) async fn count_all(
    tool: &Tool,
    vault: &Vault,
    tables: &[MappedTable],
    bulk: &Bulk,
    file: Option<Keep<'_>>,
) -> Result<CountedTables, Failure> {
    let before = match file {
        Some(Keep::Pages(file) | Keep::Nothing(file)) if exists(file)? => Some(read(file)?),
        _ => None,
    };
    let goes_on = before.is_some();
    let mut census = before.unwrap_or_else(|| Counted::begin(vault));
    let was_complete = tables.iter().all(|table| census.is_complete(&table.map));
    let watch = bulk.watch(tool, "rows counted", tables, goes_on).await?;
    let file = match file {
        Some(Keep::Pages(file)) => Some(file),
        _ => None,
    };
    let mut keeping = Keeping { watch, file, clock: SystemClock::new(), kept: None };
    for table in tables {
        keeping.watch.begin(table.map.name());
        let options = bulk.options(None);
        let tally = jobs::census(vault, &table.map, &*table.rows, &mut census, &options, &mut keeping).await;
        keeping.watch.answer(tally)?;
        keep(&census, file)?;
    }
    Ok(CountedTables { census, troubles: keeping.watch.finish()?, was_complete })
}

/// Keeps the census after its first page, and then every few seconds: it may be large.
struct Keeping<'a> {
    watch: Watch,
    file: Option<&'a Path>,
    clock: SystemClock,
    kept: Option<Duration>,
}

#[async_trait]
impl Observer<Counted> for Keeping<'_> {
    async fn page(&mut self, done: &PageDone, census: &Counted) -> Result<(), Error> {
        self.watch.note(done)?;
        let now = self.clock.monotonic();
        if self.kept.is_none_or(|kept| now.saturating_sub(kept) >= EACH) {
            self.kept = Some(now);
            let kept = keep(census, self.file);
            self.watch.stop_at(kept)?;
        }
        self.watch.rest().await;
        Ok(())
    }
}

const EACH: Duration = Duration::from_secs(5);

fn keep(census: &Counted, file: Option<&Path>) -> Result<(), Failure> {
    file.map_or(Ok(()), |file| files::replace(file, &census.to_string()))
}

/// A census that was kept.
pub(crate) fn read(file: &Path) -> Result<Counted, Failure> {
    let text = fs::read_to_string(file).map_err(|e| match e.kind() {
        ErrorKind::NotFound => Failure::not_found(format!("there is no census at {}", file.display())),
        _ => Failure::of_file("read the census", file, &e),
    })?;
    text.parse().map_err(|e| {
        let what = format!("{} is no census, or not a whole one: remove it, or name another file", file.display());
        Failure::new(Exit::Usage, "census_damaged", what).because(&e)
    })
}

struct Retired {
    versions: u64,
    subjects: u64,
    failed: Vec<(fieldseal::store::SlotId, Failure)>,
}

async fn retire_all(tool: &Tool, vault: &Vault, unnamed: &Unnamed) -> Result<Retired, Failure> {
    let mut progress = Progress::new(tool.output, "slots looked at", None);
    let (mut from, mut all) = (None, Retired { versions: 0, subjects: 0, failed: Vec::new() });
    loop {
        let page = vault.retire_versions_page(unnamed, from.as_ref(), SLOTS).await?;
        progress.advance(SLOTS as u64);
        all.versions += page.versions;
        all.subjects += page.subjects;
        all.failed.extend(page.failed.into_iter().map(|(id, e)| (id, e.into())));
        from = page.next;
        if from.is_none() {
            return Ok(all);
        }
    }
}

/// Slots a page.
const SLOTS: usize = 500;

fn described(counted: &CountedTables, file: Option<&Path>) -> (String, serde_json::Value) {
    let census = &counted.census;
    let head = ["table", "purpose", "key", "line", "version", "values", "rows"];
    let rows = census.versions().map(|v| {
        let (line, version) = v.version.map_or((String::new(), String::new()), |(l, n)| (l.to_string(), n.to_string()));
        vec![v.table, v.purpose, v.usage.to_string(), line, version, v.cells.to_string(), v.rows.to_string()]
    });
    let mut text = format!("Census of {}\n{}", moment(census.started_at()), table(&head, &rows.collect::<Vec<_>>()));
    let tally = census.tally();
    text.push_str(&format!("{} counted, {} empty.\n", count(tally.rows, "row"), count(tally.empty, "cell")));
    if let (true, Some(file)) = (counted.was_complete, file) {
        text.push_str(&format!("It was complete before: to count anew, remove {}.\n", file.display()));
    }
    let (lost, older) = (census.lost().count() as u64, values(census, KeyUse::Older));
    if lost > 0 {
        text.push_str(&format!(
            "{} nobody has, named by {}: docs/restore.md, section 5.\n",
            count(lost, "key"),
            count(values(census, KeyUse::NotHeld), "value")
        ));
    }
    if older > 0 {
        text.push_str(&format!("{} under an older key: `keytool reseal`.\n", count(older, "value")));
    }
    text.push_str(&counted.troubles.text());
    let versions = census.versions().map(|v| {
        json!({
            "table": v.table, "purpose": v.purpose, "key": v.usage.to_string(),
            "line": v.version.map(|(line, _)| line), "version": v.version.map(|(_, version)| version),
            "values": v.cells, "rows": v.rows,
        })
    });
    let json = json!({
        "started_at": census.started_at().to_string(),
        "rows": tally.rows,
        "empty": tally.empty,
        "failed": tally.failed,
        "versions": versions.collect::<Vec<_>>(),
        "lost_keys": lost,
        "troubles": counted.troubles.json(),
    });
    (text, json)
}

/// How many values name keys that stand so.
pub(crate) fn values(census: &Counted, usage: KeyUse) -> u64 {
    census.versions().filter(|v| v.usage == usage).map(|v| v.cells).sum()
}
