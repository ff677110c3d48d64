//! `keytool init`: makes what is missing of a keyring, a journal, a key store and the vault in it. Touches nothing that is there.

use std::path::{Path, PathBuf};

use fieldseal::Error;
use fieldseal::error::ProviderErrorKind;
use fieldseal::journal::{FileJournal, JournalEvent};
use fieldseal::store::{KeyStore as _, SlotId, SqliteStore};

use crate::config::{TEMPLATE, shown};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::{Tool, exists};
use crate::output::Report;

/// Make what is missing: keyring, journal, key store, vault.
///
/// In this order, so that what a crash left is completed by the next try. Nothing that is there is touched. A key store, or a
/// journal that tells of one, without what comes before it was lost, not new: that is refused. But a keyring is made where
/// it is to take over from `previous` ones, and these alone still open the key store.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Write a keytool.toml with comments first, where there is none.
    #[arg(long)]
    write_config: bool,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What `init` makes, in its order.
struct Parts {
    keyring: PathBuf,
    journal: PathBuf,
    store: PathBuf,
}

impl Init {
    /// Before the configuration is read.
    pub(crate) fn write_config(&self, file: &Path) -> Result<(), Failure> {
        if !self.write_config || exists(file)? {
            return Ok(());
        }
        if self.dry_run {
            return Err(Failure::refused(format!(
                "there is no {}, and a dry run writes none: what would be made can't be told",
                shown(file)
            )));
        }
        // For the owner alone: a database's URL may get a password.
        files::replace(file, TEMPLATE)
    }

    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let parts = Parts { keyring: tool.keyring_file(), journal: tool.journal_file(), store: tool.store_file() };
        let (keyring, journal, store) = (exists(&parts.keyring)?, exists(&parts.journal)?, exists(&parts.store)?);
        let takes_over = !keyring && journal && store && is_to_take_over(tool).await?;
        if !takes_over {
            parts.check(keyring, journal, store)?;
        }
        if journal && !store {
            check_is_new(tool).await?;
        }
        let has_vault = store && tool.store().await?.load(&[SlotId::Vault]).await?.iter().any(Option::is_some);
        if keyring && journal && has_vault {
            return Err(Failure::refused(
                "keyring, journal, key store and vault are there already: nothing was changed",
            ));
        }
        let missing = [
            (!keyring, "keyring", shown(&parts.keyring)),
            (!journal, "journal", shown(&parts.journal)),
            (!store, "store", shown(&parts.store)),
            (!has_vault, "vault", "in the key store".to_owned()),
        ];
        let missing: Vec<_> = missing.into_iter().filter(|(missing, ..)| *missing).collect();
        let json = serde_json::json!({ "made": missing.iter().map(|(_, what, _)| *what).collect::<Vec<_>>() });
        let listed: Vec<String> = missing.iter().map(|(_, what, place)| format!("  {what:<8} {place}")).collect();
        if self.dry_run {
            return Ok(Report::dry_run(&format!("Would make:\n{}", listed.join("\n")), json));
        }
        if !keyring {
            tool.keyring_options()?.generate(&parts.keyring).await?;
        }
        if !journal {
            FileJournal::open(&parts.journal).await?;
        }
        if !store {
            SqliteStore::open(&parts.store).await?;
        }
        tool.vault().await?;
        let text = format!(
            "Made:\n{}\nBack them up apart: whoever has keyring and key store has every key, and a journal that is restored \
             with its key store can't tell that it was. docs/restore.md",
            listed.join("\n")
        );
        Ok(Report::new(text, json))
    }
}

impl Parts {
    /// What is there is complete up to where a crash may have ended.
    fn check(&self, keyring: bool, journal: bool, store: bool) -> Result<(), Failure> {
        let lost = |what: &str, file: &Path, beside: &Path| {
            let what = format!(
                "{} is there, and its {what} {} is not. A new one would not fit: put it back, or correct the configuration",
                shown(beside),
                shown(file)
            );
            Err(Failure::new(Exit::Unfit, "part_missing", what))
        };
        match (keyring, journal, store) {
            (false, _, true) => lost("keyring", &self.keyring, &self.store),
            (false, true, false) => lost("keyring", &self.keyring, &self.journal),
            (true, false, true) => lost("journal", &self.journal, &self.store),
            _ => Ok(()),
        }
    }
}

/// Whether the keyring that is missing is one that is yet to take over: the key store opens without it.
async fn is_to_take_over(tool: &Tool) -> Result<bool, Failure> {
    let Some(ports) = tool.ports_before().await? else { return Ok(false) };
    match ports.builder(tool).build().await {
        Ok(_) => Ok(true),
        Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::UnknownKey => {
            let what = "the keyring is not there, and the previous ones alone don't open the key store: it was lost, and a new \
                        one would not fit. Put it back, or correct the configuration";
            Err(Failure::new(Exit::Unfit, "part_missing", what))
        }
        Err(e) => Err(e.into()),
    }
}

/// A journal without a key store is one that was just made, or that tells of a store that is lost.
async fn check_is_new(tool: &Tool) -> Result<(), Failure> {
    let entries = tool.journal().await?.read(0, ENOUGH).await?;
    let of_a_start =
        |event: &JournalEvent| matches!(event, JournalEvent::RootCreated { .. } | JournalEvent::EpochOpened { .. });
    if entries.iter().all(|entry| entry.tenant().is_none() && of_a_start(entry.event())) {
        return Ok(());
    }
    let what = "the journal tells of a key store that is not there: restore it from a backup (docs/restore.md), or give the \
                new one a journal of its own";
    Err(Failure::new(Exit::Unfit, "store_missing", what))
}

/// A first start enters two: of starts that crashed so often that this is not enough, the vault itself makes sure.
const ENOUGH: usize = 1000;
