//! `keytool sweep`: erases what is due.

use std::path::PathBuf;

use fieldseal::store::SlotId;
use fieldseal::vault::{self, EraseDueReport};

use super::journal::SUSPENDED;
use super::receipt::{RECEIPT_ROOM, as_file};
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::files::Reserved;
use crate::open::Tool;
use crate::output::Report;
use crate::text::{count, passed_over, passed_over_json, plural, slot, slot_json};

/// Destroy the keys of subjects whose scheduled erasure has come, over all tenants, and of those that a sweep closed at least a
/// day ago because their retention period had ended. Close those whose period has ended since.
///
/// For cron, once a day: `keytool sweep --yes --receipt sweep-$(date +%F).json`. If more are due than usual, or if clocks
/// disagree, it does nothing.
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// Save the receipts there, as a list. Never replaces a file. They can't be had again without the subjects' ids.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// So many subjects may be erased or closed; 1000 if nothing is said. If more are due, none is.
    #[arg(long, value_name = "N")]
    at_most: Option<u64>,
    /// Also if the journal's last entry is of a time to come: this machine's clock is right.
    #[arg(long)]
    even_if_journal_is_ahead: bool,
    /// From now on, erase by retention periods again: they were looked through after the key store was restored
    #[arg(long)]
    resume_retention: bool,
    #[command(flatten)]
    destructive: Destructive,
}

impl Sweep {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        if self.resume_retention && !self.destructive.dry_run {
            self.destructive
                .confirm("Were the retention periods looked through, so that sweeps may erase by them again?")?;
            vault.resume_retention().await?;
        }
        let found = vault.erase_due_with(&self.sweep().only_count()).await?;
        let (due, closed) = (found.due, found.closed);
        if self.destructive.dry_run {
            let suspended = if found.retention_is_suspended { format!("\n{SUSPENDED}") } else { String::new() };
            let text = format!("{} would be erased{}.{suspended}", count(due, "subject"), others(&found));
            let json = serde_json::json!({
                "due": due, "closed": closed, "waiting": found.waiting, "held": found.held,
                "retention_is_suspended": found.retention_is_suspended,
            });
            return Ok(Report::dry_run(&text, json));
        }
        if due + closed > 0 {
            let closes = match closed {
                0 => String::new(),
                closed => format!(" Close {closed} whose period has ended?"),
            };
            let whom = plural(due, "subject that is", "subjects that are");
            self.destructive.confirm(&format!("Destroy every key of {whom} due, for good?{closes}"))?;
        }
        let room = RECEIPT_ROOM * (usize::try_from(due).unwrap_or(usize::MAX).min(MOST) + 1);
        let file = self.receipt.as_deref().map(|file| Reserved::new(file, room)).transpose()?;
        let swept = vault.erase_due_with(&self.sweep()).await?;
        let unsaved = match file.filter(|_| !swept.receipts.is_empty()) {
            Some(file) => file.write(&as_file(&swept.receipts, false)?).err(),
            None => None,
        };
        let mut text = format!("{} erased{}.\n", count(swept.receipts.len() as u64, "subject"), others(&swept));
        if swept.closed > 0 {
            text.push_str("A sweep that comes at least a day later erases who was closed.\n");
        }
        if swept.retention_is_suspended {
            text.push_str(&format!("{SUSPENDED}\n"));
        }
        for receipt in &swept.receipts {
            text.push_str(&format!("\n{receipt}\n"));
        }
        let failed: Vec<(&SlotId, Failure)> = swept.failed.iter().map(|(id, e)| (id, e.clone().into())).collect();
        failed.iter().for_each(|(id, e)| text.push_str(&format!("\n{}: not erased: {e}\n", slot(id))));
        if swept.passed_over.count > 0 {
            text.push_str(&format!("\n{}.\n", passed_over(&swept.passed_over)));
        }
        let mut json = serde_json::json!({
            "receipts": swept.receipts,
            "closed": swept.closed,
            "waiting": swept.waiting,
            "held": swept.held,
            "retention_is_suspended": swept.retention_is_suspended,
            "passed_over": passed_over_json(&swept.passed_over),
            "failed": failed.iter().map(|(id, e)| serde_json::json!({ "slot": slot_json(id), "error": e.json() })).collect::<Vec<_>>(),
        });
        if let Some(e) = &unsaved {
            text.push_str(&format!("\nThe receipts are not saved: {e}. They are above: keep them.\n"));
            if let Some(fields) = json.as_object_mut() {
                fields.insert("unsaved".to_owned(), e.json());
            }
        }
        let exit = if failed.is_empty() && unsaved.is_none() { Exit::Done } else { Exit::Partly };
        Ok(Report::new(text, json).exit(exit))
    }

    fn sweep(&self) -> vault::Sweep {
        let mut sweep = vault::Sweep::new();
        if let Some(subjects) = self.at_most {
            sweep = sweep.at_most(subjects);
        }
        if self.even_if_journal_is_ahead {
            sweep = sweep.even_if_journal_is_ahead();
        }
        sweep
    }
}

/// Who is not erased yet.
fn others(swept: &EraseDueReport) -> String {
    let told =
        [(swept.closed, "closed"), (swept.waiting, "closed less than a day ago"), (swept.held, "due and on hold")];
    told.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
}

/// For how many receipts room is taken at most.
const MOST: usize = 1000;
