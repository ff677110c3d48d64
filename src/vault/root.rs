//! The vault's own slot: made once for a key store, pinned in the journal, read again by every vault.

use std::time::Duration;

use super::{ATTEMPTS, VaultInner, append};
use crate::clock::Clock;
use crate::envelope::KeyId;
use crate::error::{Error, ProviderError, Result, StoreError, StoreErrorKind};
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::slot::{EpochRecord, EpochState, VaultSlot, WrappedRoot};
use crate::keys::{Epoch, KeyMaterial, MasterKeyId, RootKey, SlotId, StoredSlot, WrapContext};
use crate::provider::MasterKeyProvider;
use crate::store::{Expected, Filter, KeyStore, Scan};

/// The vault's root and slot, made if the store is empty.
pub(super) async fn open_or_create(
    provider: &dyn MasterKeyProvider,
    store: &dyn KeyStore,
    journal: Option<&dyn ErasureJournal>,
    clock: &dyn Clock,
    max_age: Option<Duration>,
) -> Result<(RootKey, VaultSlot)> {
    for _ in 0..ATTEMPTS {
        let Some(stored) = load(store).await? else {
            create(provider, store, journal, clock, max_age.unwrap_or(DEFAULT_MAX_AGE)).await?;
            continue; // and read what is there: another vault's, if it was faster
        };
        let wrapped = VaultSlot::root_of(&stored)?;
        let context = WrapContext::vault_root(wrapped.epoch, wrapped.key_id);
        let root = RootKey::derive(&provider.unwrap_key(&wrapped.wrapped, &context).await?);
        if !root.id().is(&wrapped.key_id) {
            return Err(ProviderError::corrupt("the provider unwrapped another key than was wrapped").into());
        }
        let slot = VaultSlot::open(&stored, &root)?;
        match (journal, slot.journal) {
            (None, None) => return Ok((root, slot)),
            (None, Some(_)) => return Err(Error::WrongJournal),
            (Some(journal), Some(pinned)) if *journal.id().await?.as_bytes() == pinned => {
                check_journal(journal, &slot).await?;
                return Ok((root, slot));
            }
            (Some(_), Some(_)) => return Err(Error::WrongJournal),
            (Some(journal), None) => adopt(journal, store, clock, &stored, slot, &root).await?, // and read it again
        }
    }
    Err(Error::Conflict)
}

/// The vault's slot as it is now; its root must be the one that this vault was built with.
pub(super) async fn reload(vault: &VaultInner) -> Result<(StoredSlot, VaultSlot)> {
    let stored = load(&*vault.store).await?.ok_or_else(missing)?;
    let slot = open(&stored, &vault.root)?;
    Ok((stored, slot))
}

/// Reads the vault's slot with a root that is known; another root in its place is refused, whoever wrapped it.
pub(super) fn open(stored: &StoredSlot, root: &RootKey) -> Result<VaultSlot> {
    if !VaultSlot::root_of(stored)?.key_id.is(root.id()) {
        return Err(StoreError::corrupt("the vault's root is another than it was").into());
    }
    VaultSlot::open(stored, root)
}

pub(super) fn missing() -> Error {
    StoreError::corrupt("the vault's slot is gone: restore the key store").into()
}

async fn load(store: &dyn KeyStore) -> Result<Option<StoredSlot>> {
    Ok(store.load(&[SlotId::Vault]).await?.into_iter().next().flatten())
}

/// Makes a root. It is entered in the journal before it is put, so that a store which lost its slot is told from a new one.
async fn create(
    provider: &dyn MasterKeyProvider,
    store: &dyn KeyStore,
    journal: Option<&dyn ErasureJournal>,
    clock: &dyn Clock,
    max_age: Duration,
) -> Result<()> {
    if !store.scan(&Scan::new(Filter::All).limit(1)).await?.slots.is_empty() {
        // It may be another vault that was faster; then its slot is there now.
        return if load(store).await?.is_some() { Ok(()) } else { Err(missing()) };
    }
    if let Some(journal) = journal {
        check_nothing_was_lost(journal).await?;
    }
    let epoch = Epoch::FIRST;
    let (root, wrapped) = wrap_new(provider, epoch, |id| WrapContext::vault_root(epoch, id)).await?;
    let master = wrapped.wrapped.master().clone();
    let now = clock.wall();
    if let Some(journal) = journal {
        let events = [
            JournalEvent::RootCreated { key_id: wrapped.key_id },
            JournalEvent::EpochOpened { epoch, master: master.clone() },
        ];
        for event in events {
            append(journal, &JournalEntry::store_wide(now, event)).await?;
        }
    }
    let slot = VaultSlot {
        root: wrapped,
        max_age,
        journal: match journal {
            Some(journal) => Some(*journal.id().await?.as_bytes()),
            None => None,
        },
        applied: (0, *Head::EMPTY.hash()),
        epochs: vec![EpochRecord { epoch, state: EpochState::Live, created_at: now, master }],
    };
    match store.put(&slot.seal(&root)?, Expected::Absent).await {
        Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(()),
        put => Ok(put?),
    }
}

/// A new root or wrapping key, wrapped by the provider.
pub(super) async fn wrap_new(
    provider: &dyn MasterKeyProvider,
    epoch: Epoch,
    context: impl FnOnce(KeyId) -> WrapContext,
) -> Result<(RootKey, WrappedRoot)> {
    let key = KeyMaterial::generate()?;
    let (root, key_id) = (RootKey::derive(&key), key.id());
    let wrapped = provider.wrap_key(&key, &context(key_id)).await?;
    Ok((root, WrappedRoot { epoch, key_id, wrapped }))
}

/// A key that a provider wrapped in an earlier epoch, wrapped in this one; as it is if it is in it already.
pub(super) async fn rewrap(
    provider: &dyn MasterKeyProvider,
    old: &WrappedRoot,
    context: &WrapContext,
    epoch: &EpochRecord,
) -> Result<WrappedRoot> {
    if old.epoch == epoch.epoch {
        return Ok(old.clone());
    }
    let key = provider.unwrap_key(&old.wrapped, context).await?;
    if !key.id().is(&old.key_id) {
        return Err(ProviderError::corrupt("the provider unwrapped another key than was wrapped").into());
    }
    let wrapped = provider.wrap_key(&key, &context.in_epoch(epoch.epoch)).await?;
    let moved = WrappedRoot { epoch: epoch.epoch, key_id: old.key_id, wrapped };
    check_master(&moved, &epoch.master).map(|()| moved)
}

/// An epoch has one master key: destroying it must end every copy of what was wrapped in it.
pub(super) fn check_master(wrapped: &WrappedRoot, master: &MasterKeyId) -> Result<()> {
    if wrapped.wrapped.master() == master {
        return Ok(());
    }
    Err(ProviderError::misconfigured(
        "its current master key is not that of the current epoch: make that one current, or advance the epoch",
    )
    .into())
}

/// An empty store beside a journal is new only if the journal tells of nothing but attempts to create it.
async fn check_nothing_was_lost(journal: &dyn ErasureJournal) -> Result<()> {
    let head = journal.head().await?;
    let started = |entry: &JournalEntry| {
        let created = matches!(entry.event(), JournalEvent::RootCreated { .. } | JournalEvent::EpochOpened { .. });
        created && entry.tenant().is_none()
    };
    let entries = journal.read(0, 2 * ATTEMPTS).await?;
    if entries.iter().all(started) && entries.len() as u64 == head.position() {
        return Ok(());
    }
    Err(Error::StoreBehindJournal { missing: head.position() })
}

/// The journal must tell of this root, and reach as far as the store has seen it.
async fn check_journal(journal: &dyn ErasureJournal, slot: &VaultSlot) -> Result<()> {
    let head = journal.head().await?;
    let (position, hash) = slot.applied;
    if head.position() < position || (head.position() == position && *head.hash() != hash) {
        return Err(Error::JournalTruncated);
    }
    let tells_of_it = |entry: &JournalEntry| {
        entry.tenant().is_none()
            && matches!(entry.event(), JournalEvent::RootCreated { key_id } if key_id.is(&slot.root.key_id))
    };
    // It is among the first entries: nothing else is journalled before a store has its root.
    if !journal.read(0, 4 * ATTEMPTS).await?.iter().any(tells_of_it) {
        return Err(Error::JournalTruncated);
    }
    Ok(())
}

/// Binds a store that was made without a journal to its first one.
async fn adopt(
    journal: &dyn ErasureJournal,
    store: &dyn KeyStore,
    clock: &dyn Clock,
    stored: &StoredSlot,
    mut slot: VaultSlot,
    root: &RootKey,
) -> Result<()> {
    check_nothing_was_lost(journal).await?;
    let now = clock.wall();
    let epochs = slot.epochs.iter();
    let opened = epochs.map(|e| JournalEvent::EpochOpened { epoch: e.epoch, master: e.master.clone() });
    let events = std::iter::once(JournalEvent::RootCreated { key_id: slot.root.key_id }).chain(opened);
    for event in events.collect::<Vec<_>>() {
        append(journal, &JournalEntry::store_wide(now, event)).await?;
    }
    slot.journal = Some(*journal.id().await?.as_bytes());
    match store.put(&slot.seal(root)?, Expected::Revision(stored.revision())).await {
        Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(()),
        put => Ok(put?),
    }
}

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
