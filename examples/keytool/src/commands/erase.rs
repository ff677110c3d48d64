//! `keytool erase`: destroys the keys of subjects, and keeps the receipts.

use std::path::PathBuf;

use fieldseal::vault::{ErasureReceipt, ErasureRequest, SubjectInfo};
use fieldseal::{Error, SubjectId, Tenant};

use super::receipt::{RECEIPT_ROOM, as_file};
use super::subject::{OfTenant, described, ids, json, keys_of, look};
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::files::Reserved;
use crate::open::Tool;
use crate::output::Report;
use crate::text::count;

/// Destroy the keys of subjects, for good: nobody opens what was sealed under them again.
///
/// Repeatable: what crashed is finished, and who is erased already gets a receipt again.
#[derive(Debug, clap::Args)]
pub(crate) struct Erase {
    /// Ids as the application has them; `-` reads them from standard input, one a line, so that no process list shows them.
    #[arg(value_name = "SUBJECT", required = true)]
    subjects: Vec<String>,
    #[command(flatten)]
    of: OfTenant,
    /// One purpose alone: the others stay readable.
    #[arg(long)]
    purpose: Option<String>,
    /// What the request is filed under with you. It stands in the receipt: nothing personal.
    #[arg(long)]
    reference: Option<String>,
    /// Save the receipt there, or a list of them for several subjects. Never replaces a file.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Also subjects that were never enrolled: then no enrollment makes them by accident.
    #[arg(long)]
    unknown: bool,
    #[command(flatten)]
    destructive: Destructive,
}

/// A subject, and what the key store has of it.
struct Whom {
    /// Which argument, or line, from 1: errors name nobody.
    argument: usize,
    subject: SubjectId,
    info: Option<SubjectInfo>,
}

impl Erase {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let subjects = ids(&self.subjects)?;
        let request = self.request()?;
        let vault = tool.vault().await?;
        let tenant = self.of.tenant(&vault)?;
        let mut whom = Vec::with_capacity(subjects.len());
        for (at, subject) in subjects.into_iter().enumerate() {
            whom.push(Whom { argument: at + 1, info: look(&tenant, &subject).await?, subject });
        }
        let (whom, unknown): (Vec<_>, Vec<_>) = whom.into_iter().partition(|w| w.info.is_some() || self.unknown);
        if whom.is_empty() {
            return Err(Failure::not_found(
                "no such subject was ever enrolled: correct the id, or add --unknown to keep it from being enrolled",
            ));
        }
        let unknown: Vec<_> = unknown.into_iter().map(|w| (w.argument, Failure::from(Error::SubjectUnknown))).collect();
        if self.destructive.dry_run {
            return Ok(self.would(&whom, &unknown));
        }
        self.destructive.confirm(&self.question(&whom))?;
        let room = RECEIPT_ROOM * (whom.len() + 1) + self.reference.as_ref().map_or(0, String::len) * whom.len();
        let file = self.receipt.as_deref().map(|file| Reserved::new(file, room)).transpose()?;
        self.erase(&tenant, &whom, &request, unknown, file).await
    }

    fn request(&self) -> Result<ErasureRequest, Failure> {
        let mut request = ErasureRequest::new();
        if let Some(purpose) = &self.purpose {
            request = request.purpose(fieldseal::id::Purpose::new(purpose)?);
        }
        if let Some(reference) = &self.reference {
            request = request.reference(reference);
        }
        Ok(request)
    }

    fn question(&self, whom: &[Whom]) -> String {
        let what = match &self.purpose {
            Some(purpose) => format!("the keys for {purpose:?}"),
            None => "every key".to_owned(),
        };
        let keys: u64 = whom.iter().filter_map(|w| w.info.as_ref()).map(keys_of).sum();
        let has = format!("{} in all", count(keys, "data key"));
        format!("Destroy {what} of {} ({has}), for good?", count(whom.len() as u64, "subject"))
    }

    fn would(&self, whom: &[Whom], failed: &[(usize, Failure)]) -> Report {
        let what = match &self.purpose {
            Some(purpose) => format!("the keys for {purpose:?}"),
            None => "the keys".to_owned(),
        };
        let mut text = format!("Would destroy {what} of:\n");
        for w in whom {
            let info = w.info.as_ref().map_or_else(|| "never enrolled".to_owned(), described);
            let refused = w.info.as_ref().is_some_and(|info| info.held);
            let but = if refused { ": would be refused, release it first" } else { "" };
            text.push_str(&format!("  subject {}: {info}{but}\n", w.argument));
        }
        let json = serde_json::json!({
            "would_erase": whom.iter().map(|w| serde_json::json!({
                "argument": w.argument,
                "subject": w.info.as_ref().map(json),
            })).collect::<Vec<_>>(),
            "failed": failed_json(failed),
        });
        text.push_str(&failed_text(failed));
        Report::dry_run(&text, json)
    }

    async fn erase(
        &self,
        tenant: &Tenant,
        whom: &[Whom],
        request: &ErasureRequest,
        mut failed: Vec<(usize, Failure)>,
        file: Option<Reserved>,
    ) -> Result<Report, Failure> {
        let subjects: Vec<&SubjectId> = whom.iter().map(|w| &w.subject).collect();
        let mut receipts: Vec<ErasureReceipt> = Vec::new();
        for (subject, receipt) in tenant.erase_all(&subjects, request).await? {
            let argument = whom.iter().find(|w| w.subject == subject).map_or(0, |w| w.argument);
            match receipt {
                Ok(receipt) => receipts.push(receipt),
                Err(e) => failed.push((argument, e.into())),
            }
        }
        if receipts.is_empty() && failed.len() == 1 {
            return Err(failed.remove(0).1);
        }
        let alone = self.subjects.len() == 1 && receipts.len() == 1 && failed.is_empty();
        let unsaved = match file.filter(|_| !receipts.is_empty()) {
            Some(file) => file.write(&as_file(&receipts, alone)?).err(),
            None => None,
        };
        failed.sort_by_key(|(argument, _)| *argument);
        let mut text: Vec<String> = receipts.iter().map(ToString::to_string).collect();
        text.push(failed_text(&failed));
        let mut json = serde_json::json!({ "receipts": receipts, "failed": failed_json(&failed) });
        if let Some(e) = &unsaved {
            // What is erased is erased: the receipts are told here.
            text.push(format!("The receipts are not saved: {e}. Erase again with --receipt: that gives them anew."));
            if let Some(fields) = json.as_object_mut() {
                fields.insert("unsaved".to_owned(), e.json());
            }
        }
        let exit = if failed.is_empty() && unsaved.is_none() { Exit::Done } else { Exit::Partly };
        Ok(Report::new(text.join("\n\n"), json).exit(exit))
    }
}

fn failed_text(failed: &[(usize, Failure)]) -> String {
    failed.iter().map(|(argument, e)| format!("  subject {argument}: not erased: {e}\n")).collect()
}

fn failed_json(failed: &[(usize, Failure)]) -> Vec<serde_json::Value> {
    failed.iter().map(|(argument, e)| serde_json::json!({ "argument": argument, "error": e.json() })).collect()
}
