//! `keytool init`: makes what is missing of a keyring, a journal, a key store and the vault in it. Touches nothing that is there.

use std::path::Path;

use fieldseal::error::ProviderErrorKind;
use fieldseal::journal::JournalEvent;
use fieldseal::store::{Loaded, SlotId};
use fieldseal::vault::{EpochStatus, KeyEnd};
use fieldseal::{Error, TenantId, Vault};

use crate::config::{MemberConfig, SetConfig, TEMPLATE, shown};
use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::{Tool, exists};
use crate::output::Report;

/// Make what is missing: keyring, journal, key store, vault.
///
/// In this order, so that what a crash left is completed by the next try. Nothing that is there is touched. A key store, or a
/// journal that tells of one, without what comes before it was lost, not new: that is refused. But a keyring is made where
/// it is to take over from `previous` ones, or to stand beside others, and these alone still open the key store.
///
/// A key at a KMS or in a transit engine is the operator's to make: that it is there is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    /// Write a keytool.toml with comments first, where there is none.
    #[arg(long)]
    write_config: bool,
    /// Say what would be made, and make nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is there of what `init` makes, in its order.
struct Parts<'a> {
    /// Providers whose master key isn't there.
    keys: Vec<&'a MemberConfig>,
    journal: bool,
    store: bool,
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
        let (config, folder) = (&tool.config, tool.config.folder());
        let parts = Parts {
            keys: missing(tool, &config.provider.set).await?,
            journal: config.journal.is_there(folder).await?,
            store: config.store.is_there(folder).await?,
        };
        let takes_over = parts.journal && parts.store && !parts.keys.is_empty() && parts.are_to_take_over(tool).await?;
        if !takes_over {
            parts.check(tool)?;
        }
        if parts.journal && !parts.store {
            check_is_new(tool).await?;
        }
        let keys = [parts.keys.as_slice(), &missing_of_tenants(tool, parts.store).await?].concat();
        let has_vault = parts.store && tool.holds(SlotId::Vault).await?;
        if keys.is_empty() && parts.journal && has_vault {
            return Err(Failure::refused(
                "keyring, journal, key store and vault are there already: nothing was changed",
            ));
        }
        let mut made: Vec<_> = keys.iter().map(|key| (key.url.what(), key.url.place(folder))).collect();
        made.extend((!parts.journal).then(|| ("journal", config.journal.place(folder))));
        made.extend((!parts.store).then(|| ("store", config.store.place(folder))));
        made.extend((!has_vault).then(|| ("vault", "in the key store".to_owned())));
        let json = serde_json::json!({ "made": made.iter().map(|(what, _)| *what).collect::<Vec<_>>() });
        let listed: Vec<String> = made.iter().map(|(what, place)| format!("  {what:<8} {place}")).collect();
        if self.dry_run {
            return Ok(Report::dry_run(&format!("Would make:\n{}", listed.join("\n")), json));
        }
        for key in &keys {
            key.url.make(folder, tool.passphrase(key.passphrase.as_ref())?).await?;
        }
        if !parts.journal {
            config.journal.make(folder).await?;
        }
        if !parts.store {
            config.store.make(folder).await?;
        }
        tool.vault().await?;
        let text = format!(
            "Made:\n{}\nBack them up apart: whoever has master keys and key store has every key, and a journal that is restored \
             with its key store can't tell that it was. docs/restore.md",
            listed.join("\n")
        );
        Ok(Report::new(text, json))
    }
}

impl Parts<'_> {
    /// What is there is complete up to where a crash may have ended.
    fn check(&self, tool: &Tool) -> Result<(), Failure> {
        let (config, folder) = (&tool.config, tool.config.folder());
        let lost = |what: &str, place: String, beside: String| {
            let what = format!(
                "{beside} is there, and its {what} {place} is not. A new one would not fit: put it back, or correct the configuration"
            );
            Err(Failure::new(Exit::Unfit, "part_missing", what))
        };
        match (self.keys.first(), self.journal, self.store) {
            (Some(key), _, true) => lost(key.url.what(), key.url.place(folder), config.store.place(folder)),
            (Some(key), true, false) => lost(key.url.what(), key.url.place(folder), config.journal.place(folder)),
            (None, false, true) => lost("journal", config.journal.place(folder), config.store.place(folder)),
            _ => Ok(()),
        }
    }

    /// Whether the keyrings that are missing are yet to take over, or to stand beside others: these open the key store, and
    /// know every master key that it has.
    async fn are_to_take_over(&self, tool: &Tool) -> Result<bool, Failure> {
        let config = &tool.config.provider;
        let is_there = |member: &&MemberConfig| !self.keys.iter().any(|missing| std::ptr::eq(*missing, *member));
        let beside = SetConfig::of(config.set.members().filter(is_there).cloned());
        let sets: Vec<_> = beside.into_iter().chain(config.previous.iter().cloned()).collect();
        let [first, others @ ..] = sets.as_slice() else { return Ok(false) };
        let ports = tool.ports_with(tool.providers_of(first, others).await?).await?;
        match ports.builder(tool).build().await {
            Ok(vault) if knows_every_key(&vault).await? => Ok(true),
            Err(Error::Provider(e)) if e.kind() != ProviderErrorKind::UnknownKey => Err(e.into()),
            Err(e) if !matches!(e, Error::Provider(_)) => Err(e.into()),
            _ => {
                let what = "the keyring is not there, and the previous ones alone don't open the key store: it was lost, and a \
                            new one would not fit. Put it back, or correct the configuration";
                Err(Failure::new(Exit::Unfit, "part_missing", what))
            }
        }
    }
}

/// Whether no epoch has a master key, or one of a set, that none of the providers has.
async fn knows_every_key(vault: &Vault) -> Result<bool, Failure> {
    let is_lost = |status, end: &KeyEnd| status != EpochStatus::Retired && *end == KeyEnd::Unconfirmed;
    Ok(!vault.epochs().await?.iter().any(|epoch| is_lost(epoch.status, &epoch.end)))
}

/// Those of a set whose master key isn't there.
async fn missing<'a>(tool: &Tool, set: &'a SetConfig) -> Result<Vec<&'a MemberConfig>, Failure> {
    let mut missing = Vec::new();
    for member in set.members() {
        if !member.url.is_there(tool.config.folder()).await? {
            missing.push(member);
        }
    }
    Ok(missing)
}

/// Tenants' own, for tenants that have no keys yet.
async fn missing_of_tenants(tool: &Tool, store: bool) -> Result<Vec<&MemberConfig>, Failure> {
    let mut all = Vec::new();
    for (tenant, config) in &tool.config.tenants {
        let missing = missing(tool, &config.set).await?;
        if !missing.is_empty() && store && tool.holds(SlotId::Tenant(tenant.clone())).await? {
            return Err(has_keys(tenant));
        }
        all.extend(missing);
    }
    Ok(all)
}

/// Whether it was lost, or is yet to be made, nobody can tell here.
fn has_keys(tenant: &TenantId) -> Failure {
    let what = format!(
        "the own keyring of tenant {:?} is not there, and the tenant has keys already: if it was lost, put it back; if it is to \
         be the tenant's first, make it elsewhere and name it here",
        tenant.as_str()
    );
    Failure::new(Exit::Unfit, "part_missing", what)
}

impl Tool {
    /// Whether the key store has such a slot.
    async fn holds(&self, slot: SlotId) -> Result<bool, Failure> {
        Ok(self.store().await?.load(&[slot]).await?.iter().any(|found| *found != Loaded::Absent))
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
