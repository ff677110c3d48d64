//! `keytool report`: one HTML page of what is so, for whoever answers for the keys.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use fieldseal::Vault;
use fieldseal::jobs::{Census, KeyUse};
use fieldseal::journal::{JournalEntry, JournalEvent};
use fieldseal::vault::{EpochStatus, ErasureRecord, ErasureStatus, KeyEnd, MasterKeyEnd};
use serde_json::json;

use super::census;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::Tool;
use crate::output::Report as Told;
use crate::report::{
    self, Census as CensusData, EpochRow, EpochState, Erasures, MasterKeyEnd as End, Month, PurposeRow, ReportData,
    Scheme, TableRow, Waiting,
};
use crate::survey::{EpochCounts, Survey};
use crate::tables::map_of;

/// Write one HTML page: keys by epoch and age, rotation coverage, erasures over time, what is not final yet.
///
/// It holds counts and times, no ids, and needs no network. Rotation coverage is that of a census: `keytool census --file`.
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// The file; one that is there is replaced.
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// A census that was kept, and is complete, to show how far rotation is.
    #[arg(long, value_name = "FILE")]
    census: Option<PathBuf>,
}

impl Report {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Told, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        let census = self.census.as_deref().map(|file| whole(tool, file)).transpose()?;
        let survey = Survey::take(&vault, tool.output).await?;
        let records = vault.erasures().await?;
        let erasures = by_month(&vault, &records).await?;
        let data = ReportData {
            generated_at: survey.at,
            tool: format!("keytool {}", env!("CARGO_PKG_VERSION")),
            provider: Scheme::of(&tool.config.provider.set.first.url.to_string()),
            store: Scheme::of(&tool.config.store.to_string()),
            journal: Scheme::of(&tool.config.journal.to_string()),
            epochs: survey.epochs.iter().map(epoch_row).collect(),
            oldest_key: survey.oldest_key,
            purposes: survey
                .purposes
                .iter()
                .map(|(purpose, n)| PurposeRow {
                    purpose: purpose.clone(),
                    pending: n.pending,
                    current: n.current,
                    superseded: n.superseded,
                })
                .collect(),
            census: census.as_ref().map(census_data),
            erasures,
            not_final: survey.erasures.erased,
            waits: survey.erasures.waits_for.iter().map(|(master, n)| waiting(master, *n)).collect(),
            due: records.iter().filter(|record| record.scheduled_at.is_some_and(|at| at <= survey.at)).count() as u64,
            held: survey.erasures.held,
            damaged: survey.failed.len() as u64,
        };
        files::replace(&self.output, &report::page(&data))?;
        let file = self.output.display().to_string();
        Ok(Told::new(format!("Written: {file}"), json!({ "file": file })))
    }
}

/// A census of which every table that it has counted is counted to its end: what half of one tells of rotation is not so.
fn whole(tool: &Tool, file: &Path) -> Result<Census, Failure> {
    let census = census::read(file)?;
    for config in tool.config.tables() {
        let is_counted = census.versions().any(|version| version.table == config.name());
        if is_counted && !census.is_complete(&map_of(config)?) {
            let what = format!(
                "{}: the table {:?} was not counted to its end, or is mapped otherwise since: `keytool census --file`",
                file.display(),
                config.name()
            );
            return Err(Failure::new(Exit::Usage, "census_incomplete", what));
        }
    }
    Ok(census)
}

fn epoch_row(epoch: &EpochCounts) -> EpochRow {
    EpochRow {
        number: epoch.info.epoch.get(),
        master_key: epoch.info.master.as_str().to_owned(),
        state: match epoch.info.status {
            EpochStatus::Current => EpochState::Current,
            EpochStatus::Retired => EpochState::Retired,
            _ => EpochState::Live,
        },
        opened_at: Some(epoch.info.opened_at),
        slots: epoch.subjects,
        keys: epoch.ages,
    }
}

fn census_data(census: &Census) -> CensusData {
    let mut tables: BTreeMap<String, TableRow> = BTreeMap::new();
    for version in census.versions() {
        let row = tables.entry(version.table.clone()).or_insert_with(|| TableRow {
            table: version.table.clone(),
            current: 0,
            older: 0,
            newer: 0,
            destroyed: 0,
            not_held: 0,
        });
        let cells = match version.usage {
            KeyUse::Current => &mut row.current,
            KeyUse::Older => &mut row.older,
            KeyUse::Newer => &mut row.newer,
            KeyUse::Destroyed => &mut row.destroyed,
            KeyUse::NotHeld => &mut row.not_held,
            // Of nobody: no chart says how those keys stand.
            _ => continue,
        };
        *cells += version.cells;
    }
    CensusData { made_at: census.started_at(), tables: tables.into_values().collect() }
}

/// Each erasure once, in the month in which it was asked for, as it stands now.
async fn by_month(vault: &Vault, records: &[ErasureRecord]) -> Result<BTreeMap<Month, Erasures>, Failure> {
    let mut months: BTreeMap<Month, Erasures> = BTreeMap::new();
    let mut scheduled = HashMap::new();
    let take = |entry: &JournalEntry| {
        let whom = (entry.tenant().cloned(), entry.tag().copied());
        match entry.event() {
            JournalEvent::ErasureScheduled { .. } => drop(scheduled.insert(whom, entry.at())),
            JournalEvent::ErasureCancelled => {
                let asked = scheduled.remove(&whom).unwrap_or(entry.at());
                months.entry(Month::of(asked)).or_default().cancelled += 1;
            }
            _ => {}
        }
    };
    vault.audit_journal(take).await?;
    for record in records {
        let is_done = matches!(record.status, Some(ErasureStatus::Final { .. } | ErasureStatus::Erased { .. }));
        // When a schedule is due says nothing of when it was asked for.
        let asked = scheduled.get(&(Some(record.tenant.clone()), record.tag)).copied();
        let Some(at) = record.intended_at.or(record.done_at).or(asked).or(record.scheduled_at) else { continue };
        let month = months.entry(Month::of(at)).or_default();
        match record.intended_at {
            _ if is_done => month.done += 1,
            Some(_) => month.pending += 1,
            None => month.scheduled += 1,
        }
    }
    Ok(months)
}

fn waiting(master: &MasterKeyEnd, erasures: u64) -> Waiting {
    let end = match &master.end {
        KeyEnd::Lives => End::Lives,
        KeyEnd::Scheduled { at } => End::Scheduled { at: *at },
        _ => End::Unconfirmed,
    };
    Waiting { erasures, epoch: master.epoch.get(), end }
}
