//! `keytool erase`: destroys the keys of subjects, and keeps the receipts.

use std::collections::HashSet;
use std::path::PathBuf;

use fieldseal::vault::{ErasureReceipt, ErasureRequest, SubjectInfo};
use fieldseal::{Error, SubjectId, Tenant};

use super::receipt::{RECEIPT_ROOM, as_file};
use super::subject::{Known, OfTenant, journaled, keys_of, look, subjects};
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
    /// Kinds and ids as the application has them: `customer:17`; `-` reads them from standard input, one a line, so that no
    /// process list shows them.
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
    /// Also subjects that neither key store nor journal knows, as after a restore of the key store: then no enrollment makes them
    /// by accident.
    #[arg(long)]
    even_if_unknown: bool,
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
        let subjects = subjects(&self.subjects)?;
        let request = self.request()?;
        let vault = tool.vault().await?;
        let tenant = self.of.tenant(&vault)?;
        let mut whom = Vec::with_capacity(subjects.len());
        let mut seen = HashSet::new();
        for (at, subject) in subjects.into_iter().enumerate() {
            // Named twice, erased once.
            if !seen.insert(subject.clone()) {
                continue;
            }
            whom.push(Whom { argument: at + 1, info: look(&tenant, &subject).await?, subject });
        }
        if self.destructive.dry_run {
            return self.would(&tenant, whom).await;
        }
        // Where the key store has none of them, no key is destroyed, and nobody need be asked.
        if self.even_if_unknown || whom.iter().any(|w| w.info.is_some()) {
            self.destructive.confirm(&self.question(&whom))?;
        }
        let room = RECEIPT_ROOM * (whom.len() + 1) + self.reference.as_ref().map_or(0, String::len) * whom.len();
        let file = self.receipt.as_deref().map(|file| Reserved::new(file, room)).transpose()?;
        self.erase(&tenant, &whom, &request, file).await
    }

    fn request(&self) -> Result<ErasureRequest, Failure> {
        let mut request = ErasureRequest::new();
        if let Some(purpose) = &self.purpose {
            request = request.purpose(fieldseal::id::Purpose::new(purpose)?);
        }
        if let Some(reference) = &self.reference {
            request = request.reference(reference);
        }
        if self.even_if_unknown {
            request = request.even_if_unknown();
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

    /// A subject that the key store hasn't is looked for in the journal, as an erasure does: it may be on hold there.
    async fn would(&self, tenant: &Tenant, whom: Vec<Whom>) -> Result<Report, Failure> {
        let strangers = whom.iter().filter(|w| w.info.is_none()).map(|w| &w.subject);
        let journaled = journaled(tenant, strangers).await?;
        let (mut would, mut failed) = (Vec::new(), Vec::new());
        for Whom { argument, subject, info } in whom {
            let known = match (info, journaled.get(&subject)) {
                (Some(info), _) => Ok(Some(Known::Stored(info))),
                (None, Some(said)) => said.clear().map(Some),
                (None, None) if self.even_if_unknown => Ok(None),
                (None, None) => Err(unknown_subject()),
            };
            match known {
                Ok(Some(known)) if known.is_held() => failed.push((argument, Error::SubjectHeld.into())),
                Ok(known) => would.push((argument, known)),
                Err(e) => failed.push((argument, e)),
            }
        }
        if would.is_empty() && failed.len() == 1 {
            return Err(failed.remove(0).1);
        }
        let what = match &self.purpose {
            Some(purpose) => format!("the keys for {purpose:?}"),
            None => "the keys".to_owned(),
        };
        let mut text = format!("Would destroy {what} of:\n");
        for (argument, known) in &would {
            let is = known.as_ref().map_or_else(|| "known to nobody, no data key".to_owned(), Known::described);
            text.push_str(&format!("  subject {argument}: {is}\n"));
        }
        text.push_str(&failed_text(&failed));
        let json = serde_json::json!({
            "would_erase": would.iter().map(|(argument, known)| serde_json::json!({
                "argument": argument,
                "subject": known.as_ref().map(Known::json),
            })).collect::<Vec<_>>(),
            "failed": failed_json(&failed),
        });
        let exit = if failed.is_empty() { Exit::Done } else { Exit::Partly };
        Ok(Report::dry_run(&text, json).exit(exit))
    }

    async fn erase(
        &self,
        tenant: &Tenant,
        whom: &[Whom],
        request: &ErasureRequest,
        file: Option<Reserved>,
    ) -> Result<Report, Failure> {
        let subjects: Vec<&SubjectId> = whom.iter().map(|w| &w.subject).collect();
        let (mut receipts, mut failed): (Vec<ErasureReceipt>, Vec<_>) = (Vec::new(), Vec::new());
        for (Whom { argument, .. }, receipt) in whom.iter().zip(tenant.erase_all(&subjects, request).await?) {
            let argument = *argument;
            match receipt {
                Ok(receipt) => receipts.push(receipt),
                Err(Error::SubjectUnknown) => failed.push((argument, unknown_subject())),
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

/// It is most often mistyped.
fn unknown_subject() -> Failure {
    let what = "neither key store nor journal knows such a subject: correct it, or add --even-if-unknown to keep it from \
                being enrolled";
    Failure::new(Exit::NotFound, "subject_unknown", what)
}

fn failed_text(failed: &[(usize, Failure)]) -> String {
    failed.iter().map(|(argument, e)| format!("  subject {argument}: not erased: {e}\n")).collect()
}

fn failed_json(failed: &[(usize, Failure)]) -> Vec<serde_json::Value> {
    failed.iter().map(|(argument, e)| serde_json::json!({ "argument": argument, "error": e.json() })).collect()
}
