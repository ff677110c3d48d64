//! What has become of the master keys, asked of the provider once each; and so what can be said of an erasure.

use super::VaultInner;
use super::receipt::{ErasureStatus, KeyEnd, MasterKeyEnd};
use crate::clock::Timestamp;
use crate::error::{ProviderErrorKind, Result};
use crate::journal::history::Done;
use crate::journal::{JournalEntry, JournalEvent};
use crate::keys::{Epoch, MasterKeyId};

/// The master keys that the journal records, and what the provider says has become of each.
pub(super) struct Masters(Vec<MasterKeyEnd>);

impl Masters {
    /// Asks the provider; where it can't answer, the key counts as there.
    pub(super) async fn ask(vault: &VaultInner) -> Result<Self> {
        let mut ends: Vec<MasterKeyEnd> = Vec::new();
        for (_, epoch, master) in opened(vault).await? {
            if !ends.iter().any(|end| end.master == master) {
                let end = end_of(vault, &master).await;
                ends.push(MasterKeyEnd { master, epoch, end });
            }
        }
        Ok(Self(ends))
    }

    /// Those under which a copy of a key can be wrapped that was destroyed in this epoch at the latest: every one since the
    /// first. In which epoch a line began no slot says: a restore would make it forget.
    pub(super) fn until(&self, epoch: Epoch) -> Vec<MasterKeyEnd> {
        self.0.iter().filter(|end| end.epoch <= epoch).cloned().collect()
    }

    /// What can be said of an erasure that holds. `now` is what the clocks agree on, if they do.
    pub(super) fn status(&self, done: Done, effective_by: Timestamp, now: Option<Timestamp>) -> ErasureStatus {
        let masters = self.until(done.until);
        let open: Vec<MasterKeyEnd> = masters.iter().filter(|master| !master.is_final()).cloned().collect();
        if !open.is_empty() || now.is_none_or(|now| now < effective_by) {
            return ErasureStatus::Erased { waits_for: open };
        }
        let mut vouched: Vec<String> = masters.into_iter().flat_map(MasterKeyEnd::into_copies).collect();
        vouched.sort();
        vouched.dedup();
        ErasureStatus::Final { vouched_for: vouched }
    }
}

/// Every epoch of this key store that the journal records, lost ones too: when it was opened, and under which master key.
pub(super) async fn opened(vault: &VaultInner) -> Result<Vec<(Timestamp, Epoch, MasterKeyId)>> {
    let opened = |entry: &JournalEntry| match entry.event() {
        JournalEvent::EpochOpened { epoch, master } => Some((entry.at(), *epoch, master.clone())),
        _ => None,
    };
    Ok(vault.said_of_store().await?.iter().filter_map(|(_, entry)| opened(entry)).collect())
}

/// What the provider says has become of a master key.
pub(super) async fn end_of(vault: &VaultInner, master: &MasterKeyId) -> KeyEnd {
    match vault.provider.destruction(master).await {
        Ok(destruction) => destruction.map_or(KeyEnd::Lives, KeyEnd::from),
        Err(e) if e.kind() == ProviderErrorKind::KeyDestroyed => KeyEnd::Destroyed,
        Err(_) => KeyEnd::Unconfirmed,
    }
}
