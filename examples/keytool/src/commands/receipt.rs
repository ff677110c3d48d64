//! `keytool receipt verify`: what has become of an erasure, by its receipt; and how receipts are saved.

use std::fs;
use std::path::PathBuf;

use fieldseal::vault::{ErasureReceipt, ErasureStatus, MasterKeyEnd};

use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::text::moment;

/// Erasure receipts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Receipt {
    Verify(Verify),
}

/// Say what has become of an erasure: from the key store, the journal and the master keys.
///
/// Exit code 0 is final: no copy of the keys opens anywhere. 7 is erased, and not final yet: the master keys that it waits for
/// are listed. 8 is undone.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// A receipt as `erase --receipt` saved it, or a list of them.
    file: PathBuf,
}

impl Receipt {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        match self {
            Self::Verify(verify) => verify.run(tool).await,
        }
    }
}

impl Verify {
    async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let receipts = self.read()?;
        let ports = tool.ports().await?;
        let journal = ports.journal.id().await?;
        if receipts.iter().any(|receipt| receipt.journal() != journal) {
            let what =
                "a receipt is of another journal, and so of another key store: name its configuration with --config";
            return Err(Failure::new(Exit::Unfit, "wrong_journal", what));
        }
        let vault = ports.vault(tool).await?;
        let (mut exit, mut text, mut json) = (Exit::Done, String::new(), Vec::new());
        for receipt in &receipts {
            let status = vault.tenant(receipt.tenant()).erasure_status(receipt).await?;
            let (own, word, more) = told(&status);
            exit = if own.code() > exit.code() { own } else { exit };
            let reference = receipt.reference().map(|reference| format!(" ({reference})")).unwrap_or_default();
            text.push_str(&format!("Erasure of {}{reference}: {status}\n", moment(receipt.erased_at())));
            if matches!(&status, ErasureStatus::Erased { waits_for } if !waits_for.is_empty()) {
                text.push_str("`keytool retire-epoch N` ends a master key.\n");
            }
            json.push(serde_json::json!({
                "reference": receipt.reference(),
                "erased_at": receipt.erased_at().to_string(),
                "effective_by": receipt.effective_by().to_string(),
                "status": word,
                "details": more,
            }));
        }
        Ok(Report::new(text, serde_json::json!({ "receipts": json })).exit(exit))
    }

    fn read(&self) -> Result<Vec<ErasureReceipt>, Failure> {
        let text = fs::read_to_string(&self.file).map_err(|e| Failure::of_file("read the receipt", &self.file, &e))?;
        let read = match text.trim_start().starts_with('[') {
            true => serde_json::from_str(&text),
            false => serde_json::from_str(&text).map(|receipt| vec![receipt]),
        };
        let receipts: Vec<ErasureReceipt> = read.map_err(|e| {
            let what = format!("{} can't be read as an erasure receipt", self.file.display());
            Failure::new(Exit::Unverified, "receipt_damaged", what).because(&e)
        })?;
        if receipts.is_empty() {
            return Err(Failure::not_found(format!("{} holds no receipt", self.file.display())));
        }
        Ok(receipts)
    }
}

fn told(status: &ErasureStatus) -> (Exit, &'static str, Vec<String>) {
    let master = |m: &MasterKeyEnd| format!("{} of epoch {}: {}", m.master, m.epoch, m.end);
    match status {
        ErasureStatus::Final { vouched_for } => (Exit::Done, "final", vouched_for.clone()),
        ErasureStatus::Erased { waits_for } => (Exit::Partly, "erased", waits_for.iter().map(master).collect()),
        ErasureStatus::Undone { reason } => (Exit::Unverified, "undone", vec![reason.to_string()]),
        _ => (Exit::Unforeseen, "unknown", Vec::new()),
    }
}

/// Receipts as they are saved: one is the document of `docs/receipt.md`, several are a list of it.
pub(crate) fn as_file(receipts: &[ErasureReceipt], alone: bool) -> Result<String, Failure> {
    let text = match receipts {
        [receipt] if alone => serde_json::to_string_pretty(receipt),
        receipts => serde_json::to_string_pretty(receipts),
    };
    text.map(|text| text + "\n").map_err(|e| Failure::new(Exit::Unforeseen, "bug", "can't write a receipt").because(&e))
}

/// What a receipt takes, but for a subject with very many keys.
pub(crate) const RECEIPT_ROOM: usize = 16 * 1024;
