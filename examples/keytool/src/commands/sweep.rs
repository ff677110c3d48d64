//! `keytool sweep`: erases what is due.

use std::path::PathBuf;
use std::time::Duration;

use fieldseal::store::{Filter, KeyStore, Scan, SlotId};

use super::receipt::{RECEIPT_ROOM, as_file};
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::files::Reserved;
use crate::open::{Tool, now};
use crate::output::Report;
use crate::text::{count, passed_over, passed_over_json, plural, slot, slot_json};

/// Destroy the keys of subjects whose scheduled erasure has come or whose retention period has ended, over all tenants.
///
/// For cron, once a day: `keytool sweep --yes --receipt sweep-$(date +%F).json`.
#[derive(Debug, clap::Args)]
pub(crate) struct Sweep {
    /// Save the receipts there, as a list. Never replaces a file. They can't be had again without the subjects' ids.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    #[command(flatten)]
    destructive: Destructive,
}

impl Sweep {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        let due = due(&*ports.store).await?;
        if self.destructive.dry_run {
            let text = format!("{} due. Those on hold would stay.", plural(due, "subject is", "subjects are"));
            return Ok(Report::dry_run(&text, serde_json::json!({ "due": due })));
        }
        if due > 0 {
            let whom = plural(due, "subject that is", "subjects that are");
            self.destructive.confirm(&format!("Destroy every key of {whom} due, for good?"))?;
        }
        let room = RECEIPT_ROOM * (usize::try_from(due).unwrap_or(usize::MAX).min(MOST) + 1);
        let file = self.receipt.as_deref().map(|file| Reserved::new(file, room)).transpose()?;
        let swept = vault.erase_due().await?;
        let unsaved = match file.filter(|_| !swept.receipts.is_empty()) {
            Some(file) => file.write(&as_file(&swept.receipts, false)?).err(),
            None => None,
        };
        let mut text = format!("{} erased", count(swept.receipts.len() as u64, "subject"));
        if swept.held > 0 {
            text.push_str(&format!(", {} due and on hold", swept.held));
        }
        text.push_str(".\n");
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
            "held": swept.held,
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
}

/// How many subjects are due.
async fn due(store: &dyn KeyStore) -> Result<u64, Failure> {
    let mut scan = Scan::new(Filter::DueBefore(now().plus(Duration::from_millis(1)))).limit(Scan::MAX_LIMIT);
    let mut due = 0;
    loop {
        let page = store.scan(&scan).await?;
        due += page.slots.len() as u64;
        match page.next {
            Some(next) => scan = scan.starting_after(next),
            None => return Ok(due),
        }
    }
}

/// For how many receipts room is taken at most.
const MOST: usize = 1000;
