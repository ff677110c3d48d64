//! `keytool advance-epoch` and `keytool retire-epoch`: a new master key for everything, and the end of an old one.

use fieldseal::Error;
use fieldseal::provider::MasterKeyId;
use fieldseal::store::{Epoch, Filter, KeyStore, Scan, SlotId, StoredSlot};
use fieldseal::vault::{EpochInfo, EpochStatus, KeyEnd};

use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::text::{count, plural, slot, slot_json};

/// Open a new epoch under the provider's current master key. Then `rewrap`, and `retire-epoch` the old one.
#[derive(Debug, clap::Args)]
pub(crate) struct AdvanceEpoch {
    /// Make the new master key first: in a keyring, or in a token (PKCS#11). Elsewhere the operator makes it. One that was made
    /// and that no epoch has yet is taken.
    #[arg(long)]
    add_key: bool,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Destroy the master key of an epoch, and with it every copy of every key that was ever wrapped in it, in backups too.
#[derive(Debug, clap::Args)]
pub(crate) struct RetireEpoch {
    /// The epoch's number: `keytool status` lists them.
    #[arg(value_name = "EPOCH")]
    epoch: u32,
    #[command(flatten)]
    destructive: Destructive,
}

impl AdvanceEpoch {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        let current = ports.provider.port().current().await?;
        let epochs = vault.epochs().await?;
        let named: Vec<_> = epochs.iter().flat_map(|epoch| members(&epoch.master)).collect();
        let used = ports.provider.used(&named).await?;
        let makes_key = self.add_key && !used.is_empty();
        if self.dry_run {
            let from = vault.current_epoch().await?;
            let master = match (used.is_empty(), makes_key) {
                (true, _) => format!("master key {current}, which no epoch has yet"),
                (false, true) => "a new master key".to_owned(),
                (false, false) => return Err(Failure::refused(format!("{USED}: {}", used.advice()))),
            };
            let text = format!("Would open the epoch after {from}, under {master}.");
            return Ok(Report::dry_run(&text, serde_json::json!({ "current": from.get(), "makes_key": makes_key })));
        }
        if makes_key {
            used.add_keys().await?;
        }
        let advanced = vault.advance_epoch().await.map_err(|e| match e {
            Error::InvalidInput(_) if !used.is_empty() => Failure::refused(format!("{USED}: {}", used.advice())),
            e => e.into(),
        })?;
        let epoch = advanced.epoch;
        let failed: Vec<(SlotId, Failure)> = advanced.failed.into_iter().map(|(id, e)| (id, e.into())).collect();
        let master = ports.provider.port().current().await?;
        let mut text = format!(
            "Epoch {epoch} is open, under master key {master}. Next: `keytool rewrap`, then `keytool retire-epoch` for each \
             earlier one.{}",
            if tool.config.provider.set.has_keyring() { " Back the keyring up first." } else { "" }
        );
        failed.iter().for_each(|(id, e)| text.push_str(&format!("\n{}: stays behind: {e}", slot(id))));
        let json = serde_json::json!({
            "epoch": epoch.get(),
            "master_key": master.as_str(),
            "failed": failed.iter().map(|(id, e)| serde_json::json!({ "slot": slot_json(id), "error": e.json() })).collect::<Vec<_>>(),
        });
        Ok(Report::new(text, json).exit(if failed.is_empty() { Exit::Done } else { Exit::Partly }))
    }
}

impl RetireEpoch {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        let unknown = || Failure::not_found(format!("there is no epoch {}: `keytool status` lists them", self.epoch));
        let epoch = Epoch::new(self.epoch).ok_or_else(unknown)?;
        let info = vault.epochs().await?.into_iter().find(|e| e.epoch == epoch).ok_or_else(unknown)?;
        if info.status == EpochStatus::Current {
            return Err(Failure::refused(format!(
                "epoch {epoch} is the current one: `keytool advance-epoch` and `keytool rewrap` first"
            )));
        }
        // No key ends before every provider has said whether it is its own.
        if let Some(shut) = ports.provider.why_shut() {
            let what = format!(
                "every provider is asked before a master key ends, and one can't be opened: {shut}. Nothing was \
                                destroyed"
            );
            return Err(Failure::new(shut.exit(), "provider_shut", what));
        }
        let ended = matches!(info.end, KeyEnd::Destroyed | KeyEnd::DestroyedHere { .. } | KeyEnd::Scheduled { .. });
        if self.destructive.dry_run {
            return self.would(&info, ended, &*ports.store).await;
        }
        if !ended {
            let question = format!(
                "Destroy master key {} of epoch {epoch}, for good? Backups of the key store from before the last rewrap can't be \
                 opened again.",
                info.master
            );
            self.destructive.confirm(&question)?;
            ports.provider.let_go(&info.master).await?;
        }
        let retired = vault.retire_epoch(epoch).await?;
        let end = KeyEnd::from(retired.destruction);
        let mut text = format!("Epoch {epoch} is retired. Its master key {}: ", retired.master);
        let (state, copies, at) = match end {
            KeyEnd::DestroyedHere { copies } => ("destroyed_here", copies, None),
            KeyEnd::Scheduled { at } => ("scheduled", Vec::new(), Some(at)),
            KeyEnd::Destroyed => ("destroyed", Vec::new(), None),
            _ => ("unconfirmed", Vec::new(), None),
        };
        match (at, copies.as_slice()) {
            (Some(at), _) => text.push_str(&format!("will be destroyed at {at}, and can be called back until then.")),
            (None, []) => text.push_str("destroyed."),
            (None, copies) => {
                text.push_str("destroyed here. You answer for\n");
                copies.iter().for_each(|copy| text.push_str(&format!("  - {copy}\n")));
            }
        }
        let json = serde_json::json!({
            "epoch": epoch.get(),
            "master_key": retired.master.as_str(),
            "end": state,
            "at": at.map(|at| at.to_string()),
            "copies": copies,
        });
        Ok(Report::new(text, json))
    }

    async fn would(&self, info: &EpochInfo, ended: bool, store: &dyn KeyStore) -> Result<Report, Failure> {
        let (epoch, master) = (info.epoch, &info.master);
        if ended {
            let text = format!("Its master key {master} is ended already: {}.", info.end);
            return Ok(Report::dry_run(&text, serde_json::json!({ "epoch": epoch.get(), "slots": 0 })));
        }
        let lost = info.status == EpochStatus::Lost;
        let such = |own: Epoch| if lost { own == epoch } else { own <= epoch };
        let is_such = |slot: &StoredSlot| slot.epoch().is_some_and(such);
        let slots = slots(store, Filter::All, |_, slot| slot.is_none_or(is_such)).await?;
        let text = match (slots.such, slots.damaged) {
            (0, 0) => format!("Would destroy master key {master} of epoch {epoch}."),
            (0, _) => format!("Would be refused.{}", slots.of_damage()),
            (such, _) => {
                let such = count(such, "slot");
                format!("Would be refused: {such} still in the epoch. `keytool rewrap` first.{}", slots.of_damage())
            }
        };
        let json = serde_json::json!({ "epoch": epoch.get(), "slots": slots.such, "damaged": slots.damaged });
        Ok(Report::dry_run(&text, json))
    }
}

/// A master key, or those that a set is.
fn members(master: &MasterKeyId) -> Vec<MasterKeyId> {
    master.members().unwrap_or_else(|| vec![master.clone()])
}

/// How many slots there are, of those that a filter finds.
#[derive(Default)]
pub(crate) struct CountedSlots {
    pub(crate) such: u64,
    /// Where no slot can be read: nobody knows whether it is one of these.
    pub(crate) damaged: u64,
}

impl CountedSlots {
    /// A sentence behind another; nothing where nothing is damaged.
    pub(crate) fn of_damage(&self) -> String {
        match self.damaged {
            0 => String::new(),
            n => format!(" {} damaged: it may be any.", plural(n, "slot is", "slots are")),
        }
    }
}

/// Counts the slots, of those that the filter finds, that are such.
pub(crate) async fn slots(
    store: &dyn KeyStore,
    filter: Filter,
    such: impl Fn(&SlotId, Option<&StoredSlot>) -> bool,
) -> Result<CountedSlots, Failure> {
    let mut scan = Scan::new(filter).limit(Scan::MAX_LIMIT);
    let mut found = CountedSlots::default();
    loop {
        let page = store.scan(&scan).await?;
        found.such += page.slots.iter().filter(|slot| such(slot.id(), Some(slot))).count() as u64;
        found.damaged += page.damaged.iter().filter(|(id, _)| such(id, None)).count() as u64 + page.nameless;
        match page.next {
            Some(next) => scan = scan.starting_after(next),
            None => return Ok(found),
        }
    }
}

const USED: &str = "the provider's current master key is that of an epoch already, so a new one is needed first";
