//! `keytool journal verify` and `keytool journal replay`.

use std::collections::BTreeMap;

use fieldseal::Error;
use fieldseal::journal::{ErasureJournal, Head, JournalEvent};
use fieldseal::vault::ReplayReport;

use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::progress::Progress;
use crate::text::{count, hex, moment, passed_over, passed_over_json, plural, slot, slot_json, table, unclear};

/// The journal of erasures.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Journal {
    Verify(Verify),
    Replay(Replay),
}

/// Read the whole journal, compute its chain of hashes anew, and compare it with the key store.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Without the key store and the master keys. What was cut from the journal's end is not found so.
    #[arg(long)]
    alone: bool,
}

/// Do everything again that the journal tells and the key store lacks: after a restore of the key store.
///
/// Every other process that has the key store open must be stopped, or it can lose what it writes. From here on sweeps leave
/// retention periods alone, which are as old as the backup, until `keytool sweep --resume-retention`. docs/restore.md
#[derive(Debug, clap::Args)]
pub(crate) struct Replay {
    /// The key store was not restored: look whether somebody put single slots back. Nothing need be stopped. Retention is suspended
    /// only if something is found
    #[arg(long)]
    not_restored: bool,
    #[command(flatten)]
    destructive: Destructive,
}

impl Journal {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        match self {
            Self::Verify(verify) => verify.run(tool).await,
            Self::Replay(replay) => replay.run(tool).await,
        }
    }
}

impl Verify {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let journal = tool.journal().await?;
        let (head, kinds, last) = read(&*journal, tool).await?;
        let audit = match self.alone {
            true => None,
            false => Some(tool.vault().await?.audit_journal(|_| ()).await?),
        };
        let fits = if self.alone { "not compared with the key store" } else { "the key store fits" };
        let rows: Vec<Vec<String>> = kinds.iter().map(|(kind, n)| vec![(*kind).to_owned(), n.to_string()]).collect();
        let last = last.map_or_else(|| "none".to_owned(), moment);
        let mut text = format!(
            "The chain holds: {}, the last of {last}; {fits}.\n{}",
            plural(head.position(), "entry", "entries"),
            table(&["entry", "times"], &rows)
        );
        let mut exit = Exit::Done;
        if let Some(audit) = &audit {
            if audit.passed_over.count > 0 {
                text.push_str(&format!("\n{}.\n", passed_over(&audit.passed_over)));
            }
            for (id, kind) in &audit.unclear {
                exit = Exit::Unverified;
                text.push_str(&format!("\n{}: {}.\n", slot(id), unclear(*kind)));
            }
        }
        let json = serde_json::json!({
            "journal": hex(journal.id().await?.as_bytes()),
            "entries": head.position(),
            "head": hex(head.hash()),
            "kinds": kinds,
            "compared_with_store": !self.alone,
            "passed_over": audit.as_ref().map(|audit| passed_over_json(&audit.passed_over)),
            "unclear": audit.map(|audit| audit.unclear.iter().map(|(id, _)| slot_json(id)).collect::<Vec<_>>()),
        });
        Ok(Report::new(text, json).exit(exit))
    }
}

type Kinds = BTreeMap<&'static str, u64>;

/// Reads a journal to its head, and holds the head to what was read.
async fn read(
    journal: &dyn ErasureJournal,
    tool: &Tool,
) -> Result<(Head, Kinds, Option<fieldseal::clock::Timestamp>), Failure> {
    let (head, mut at, mut kinds, mut last) = (journal.head().await?, Head::EMPTY, Kinds::new(), None);
    let mut progress = Progress::new(tool.output, "entries read", Some(head.position()));
    while at.position() < head.position() {
        let limit = usize::try_from(head.position() - at.position()).unwrap_or(usize::MAX).min(PAGE);
        let entries = journal.read(at.position(), limit).await?;
        if entries.is_empty() {
            break;
        }
        progress.advance(entries.len() as u64);
        for entry in &entries {
            at = at.advanced_by(entry);
            *kinds.entry(kind(entry.event())).or_default() += 1;
            last = Some(entry.at());
        }
    }
    if at != head {
        let what = "the journal's entries don't lead to its head: it is damaged. Put back a copy that has every entry";
        return Err(Failure::new(Exit::Unverified, "journal_corrupt", what));
    }
    Ok((head, kinds, last))
}

fn kind(event: &JournalEvent) -> &'static str {
    match event {
        JournalEvent::RootCreated { .. } => "root created",
        JournalEvent::RootStored { .. } => "root stored",
        JournalEvent::RootLost { .. } => "root lost",
        JournalEvent::EpochOpened { .. } => "epoch opened",
        JournalEvent::MaxAgeRaised { .. } => "max_age raised",
        JournalEvent::Reenrolled { .. } => "enrolled again",
        JournalEvent::ErasureIntended { .. } => "erasure intended",
        JournalEvent::ErasureDone { .. } => "erasure done",
        JournalEvent::Held => "held",
        JournalEvent::Released => "released",
        JournalEvent::ErasureScheduled { .. } => "erasure scheduled",
        JournalEvent::ErasureCancelled => "erasure cancelled",
        JournalEvent::TenantErasureIntended { .. } => "tenant's erasure intended",
        JournalEvent::TenantErasureDone { .. } => "tenant's erasure done",
        JournalEvent::MasterKeyDestroyed { .. } => "master key destroyed",
        JournalEvent::StoreRestored { .. } => "store restored",
        JournalEvent::RetentionResumed => "retention resumed",
        JournalEvent::IndexEpochOpened { .. } => "index epoch opened",
        JournalEvent::IndexEpochSettled { .. } => "index epoch settled",
        JournalEvent::IndexEpochGivenUp { .. } => "index epoch given up",
        JournalEvent::IndexEpochRetired { .. } => "index epoch retired",
        _ => "of a later version",
    }
}

impl Replay {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let missing = match ports.builder(tool).build().await {
            Ok(_) => 0,
            Err(Error::StoreBehindJournal { missing }) => missing,
            Err(e) => return Err(e.into()),
        };
        let text = match missing {
            0 => "The key store has what the journal tells since it was last checked; a replay goes through all of it."
                .to_owned(),
            n => {
                format!("The key store lacks {} at least: it was restored from a backup.", count(n, "journaled change"))
            }
        };
        if self.destructive.dry_run {
            return Ok(Report::dry_run(&text, serde_json::json!({ "missing": missing })));
        }
        let question = match self.not_restored {
            true => format!("{text} Is everything to be done again?"),
            false => format!(
                "{text} Is every other process that has it open stopped, is retention to be suspended, and is everything to be \
                 done again?"
            ),
        };
        self.destructive.confirm(&question)?;
        let replayed = match self.not_restored {
            true => ports.builder(tool).build().await?.replay_journal().await?,
            false => ports.builder(tool).replay().await?.1,
        };
        let ReplayReport { erasures, flags, tenants, roots_lost, left, unclear, passed_over: passed, .. } = replayed;
        let mut text = format!(
            "Replayed: {} erased again, {} put back, {} erased again, {}.",
            count(erasures, "subject"),
            plural(flags, "hold or schedule", "holds or schedules"),
            count(tenants, "tenant"),
            plural(roots_lost, "tenant's root lost", "tenants' roots lost"),
        );
        if replayed.retention_is_suspended {
            text.push_str(&format!("\n{SUSPENDED}"));
        }
        if left > 0 {
            let left = count(left, "subject");
            text.push_str(&format!(
                "\nLeft: {left}, as long as a provider refuses what it takes. `keytool sweep` names them."
            ));
        }
        if unclear > 0 {
            let whom = plural(unclear, "subject or tenant is", "subjects or tenants are");
            text.push_str(&format!("\nNot clear: {whom} left alone. `keytool status` names them."));
        }
        if passed.count > 0 {
            text.push_str(&format!("\n{}.", passed_over(&passed)));
        }
        let json = serde_json::json!({
            "missing": missing, "erasures": erasures, "flags": flags, "tenants": tenants, "roots_lost": roots_lost, "left": left,
            "unclear": unclear, "passed_over": passed_over_json(&passed), "retention_is_suspended": replayed.retention_is_suspended,
        });
        Ok(Report::new(text, json))
    }
}

/// The key store was restored.
pub(super) const SUSPENDED: &str = "Retention is suspended: look through the periods, then `keytool sweep --resume-retention`. docs/restore.md, section 5.";

/// Entries a read of the journal.
const PAGE: usize = 1000;
