//! The vault's own slot: made once for a key store, pinned in the journal, read again by every vault.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{ATTEMPTS, JOURNAL_PAGE, VaultInner, append};
use crate::clock::Clock;
use crate::envelope::KeyId;
use crate::error::{Error, JournalErrorKind, ProviderError, Result, StoreError, StoreErrorKind};
use crate::id::TenantId;
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::slot::{EpochRecord, EpochState, VaultSlot, WrappedRoot};
use crate::keys::{Epoch, KeyMaterial, MasterKeyId, RootKey, SlotId, StoredSlot, WrapContext};
use crate::provider::{MasterKeyProvider, wrap_proven};
use crate::store::{Expected, Filter, KeyStore, Scan, finds_any};

/// The vault's root and slot, made if the store is empty.
pub(super) async fn open_or_create(
    provider: &dyn MasterKeyProvider,
    store: &dyn KeyStore,
    journal: Option<&dyn ErasureJournal>,
    clock: &dyn Clock,
    max_age: Option<Duration>,
) -> Result<(RootKey, VaultSlot)> {
    // Of many that start at once, one writes its entries in a row; the others look again until its slot is there.
    for _ in 0..4 * ATTEMPTS {
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
            (Some(journal), None) => adopt(journal, provider, store, clock, &stored, slot, &root).await?, // and read again
        }
    }
    Err(Error::Conflict)
}

/// The vault's slot as it is now; its root must be the one that this vault was built with.
pub(super) async fn reload(vault: &VaultInner) -> Result<(StoredSlot, VaultSlot)> {
    let stored = load(&*vault.store).await?.ok_or_else(missing)?;
    let slot = open(&stored, vault)?;
    Ok((stored, slot))
}

/// Reads the vault's slot with a root that is known; another root in its place is refused, whoever wrapped it. So is a store
/// that was bound to a journal since: what goes unjournaled could not be told from what was lost.
pub(super) fn open(stored: &StoredSlot, vault: &VaultInner) -> Result<VaultSlot> {
    if !VaultSlot::root_of(stored)?.key_id.is(vault.root.id()) {
        return Err(StoreError::corrupt("the vault's root is another than it was").into());
    }
    let slot = VaultSlot::open(stored, &vault.root)?;
    if slot.journal != vault.journal_id.map(|id| *id.as_bytes()) {
        return Err(Error::WrongJournal);
    }
    vault.longest_age.fetch_max(u64::try_from(slot.max_age.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    Ok(slot)
}

/// What a provider is asked to unwrap must be under a master key of the store's epochs: in bytes that aren't authenticated
/// yet, an attacker could name one of his own.
pub(super) fn check_known(wrapped: &WrappedRoot, vault: &VaultSlot) -> Result<()> {
    let known = |e: &EpochRecord| e.epoch == wrapped.epoch && e.master == *wrapped.wrapped.master();
    if vault.epochs.iter().any(known) {
        return Ok(());
    }
    Err(StoreError::corrupt("a key is wrapped under a master key that no epoch of this store has").into())
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
    if finds_any(store, Scan::new(Filter::All)).await? {
        // It may be another vault that was faster; then its slot is there now.
        return if load(store).await?.is_some() { Ok(()) } else { Err(missing()) };
    }
    let head = match journal {
        Some(journal) => Some(check_nothing_was_lost(journal).await?),
        None => None,
    };
    let epoch = Epoch::FIRST;
    let (root, wrapped) = wrap_new(provider, epoch, |id| WrapContext::vault_root(epoch, id)).await?;
    let master = wrapped.wrapped.master().clone();
    let now = clock.wall();
    if let Some((journal, mut head)) = journal.zip(head) {
        let events = [
            JournalEvent::RootCreated { key_id: wrapped.key_id },
            JournalEvent::EpochOpened { epoch, master: master.clone() },
        ];
        for event in events {
            // At the head that was looked at: whoever else starts looks again.
            match journal.append(&JournalEntry::store_wide(now, event), &head).await {
                Err(e) if e.kind() == JournalErrorKind::Conflict => return Ok(()),
                appended => head = appended?,
            }
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
    let wrapped = wrap_proven(provider, &key, &context(key_id)).await?;
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
    let wrapped = wrap_proven(provider, &key, &context.in_epoch(epoch.epoch)).await?;
    let moved = WrappedRoot { epoch: epoch.epoch, key_id: old.key_id, wrapped };
    check_master(&moved, &epoch.master).map(|()| moved)
}

/// An epoch has one master key: destroying it must end every copy of what was wrapped in it.
pub(super) fn check_master(wrapped: &WrappedRoot, master: &MasterKeyId) -> Result<()> {
    if wrapped.wrapped.master() == master {
        return Ok(());
    }
    Err(ProviderError::misconfigured(
        "its current master key is not that of the store's current epoch: before a new master key is used, the epoch must \
         advance",
    )
    .into())
}

/// An empty store beside a journal is new only if the journal tells of nothing but attempts to create it. Gives the head as
/// far as it was read.
async fn check_nothing_was_lost(journal: &dyn ErasureJournal) -> Result<Head> {
    let started = |entry: &JournalEntry| {
        let created = matches!(entry.event(), JournalEvent::RootCreated { .. } | JournalEvent::EpochOpened { .. });
        created && entry.tenant().is_none()
    };
    let mut head = Head::EMPTY;
    loop {
        let entries = journal.read(head.position(), JOURNAL_PAGE).await?;
        if !entries.iter().all(started) {
            return Err(Error::StoreBehindJournal { missing: journal.head().await?.position() });
        }
        if entries.is_empty() {
            return Ok(head);
        }
        head = entries.iter().fold(head, |head, entry| head.advanced_by(entry));
    }
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
    // It is near the beginning: before it there are only attempts that others lost, or that crashed.
    let mut from = 0;
    loop {
        let entries = journal.read(from, JOURNAL_PAGE).await?;
        if entries.iter().any(tells_of_it) {
            return Ok(());
        }
        if entries.is_empty() {
            return Err(Error::JournalTruncated);
        }
        from += entries.len() as u64;
    }
}

/// Binds a store that was made without a journal to its first one, and enters there what would have been entered.
async fn adopt(
    journal: &dyn ErasureJournal,
    provider: &dyn MasterKeyProvider,
    store: &dyn KeyStore,
    clock: &dyn Clock,
    stored: &StoredSlot,
    mut slot: VaultSlot,
    root: &RootKey,
) -> Result<()> {
    let said = said_of_adoption(journal, &slot.root.key_id).await?;
    let now = clock.wall();
    let say = async |tenant: Option<&TenantId>, event: JournalEvent| {
        if said.iter().any(|entry| entry.tenant() == tenant && *entry.event() == event) {
            return Ok(());
        }
        let entry = match tenant {
            Some(tenant) => JournalEntry::of_tenant(now, tenant.clone(), event),
            None => JournalEntry::store_wide(now, event),
        };
        append(journal, &entry).await
    };
    say(None, JournalEvent::RootCreated { key_id: slot.root.key_id }).await?;
    for record in &slot.epochs {
        say(None, JournalEvent::EpochOpened { epoch: record.epoch, master: record.master.clone() }).await?;
    }
    // Tenants come before every subject.
    let mut scan = Scan::new(Filter::All);
    'tenants: loop {
        let page = store.scan(&scan).await?;
        for stored in &page.slots {
            match stored.id() {
                SlotId::Vault => {}
                SlotId::Tenant(tenant) => {
                    let key_id = super::cached_tenant::unwrap_root(provider, tenant, stored, &slot).await?.1.key_id;
                    say(Some(tenant), JournalEvent::RootCreated { key_id }).await?;
                    say(Some(tenant), JournalEvent::RootStored { key_id }).await?;
                }
                SlotId::Subject(..) => break 'tenants,
            }
        }
        match page.next {
            Some(next) => scan = scan.starting_after(next),
            None => break,
        }
    }
    slot.journal = Some(*journal.id().await?.as_bytes());
    match store.put(&slot.seal(root)?, Expected::Revision(stored.revision())).await {
        Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(()),
        put => Ok(put?),
    }
}

/// What a journal says already that is to be adopted: nothing but attempts to make a store, and what an adoption by this very
/// one entered that did not come to its end.
async fn said_of_adoption(journal: &dyn ErasureJournal, root: &KeyId) -> Result<Vec<JournalEntry>> {
    let (mut said, mut is_ours) = (Vec::new(), false);
    loop {
        let entries = journal.read(said.len() as u64, JOURNAL_PAGE).await?;
        if entries.is_empty() {
            return Ok(said);
        }
        for entry in entries {
            let fits = match entry.event() {
                JournalEvent::RootCreated { key_id } if entry.tenant().is_none() => {
                    is_ours = key_id.is(root);
                    true
                }
                JournalEvent::EpochOpened { .. } => true,
                JournalEvent::RootCreated { .. } | JournalEvent::RootStored { .. } => is_ours,
                _ => false,
            };
            if !fits {
                return Err(Error::StoreBehindJournal { missing: journal.head().await?.position() });
            }
            said.push(entry);
        }
    }
}

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
