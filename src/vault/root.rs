//! The vault's own slot: made once for a key store, pinned in the journal, read again by every vault.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::verified::{Judged, Pages};
use super::{ATTEMPTS, VaultInner};
use crate::clock::{Clock, Timestamp};
use crate::envelope::KeyId;
use crate::error::{Error, JournalErrorKind, ProviderError, Result, StoreError, StoreErrorKind};
use crate::journal::verify::{Judgment, Verifier, is_attempt};
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::slot::{EpochRecord, EpochState, Point, VaultSlot, WrappedRoot};
use crate::keys::{Epoch, KeyMaterial, MasterKeyId, RootKey, SlotId, StoredSlot, WrapContext};
use crate::provider::{MasterKeyProvider, wrap_proven};
use crate::store::{Expected, Filter, KeyStore, Loaded, Scan, finds_any};

/// The vault's root and slot, made if the store is empty; and what judges its journal, if it has one.
pub(super) async fn open_or_create(
    provider: &dyn MasterKeyProvider,
    store: &dyn KeyStore,
    journal: Option<&dyn ErasureJournal>,
    clock: &dyn Clock,
    max_age: Option<Duration>,
) -> Result<(RootKey, VaultSlot, Option<Verifier>)> {
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
            (None, None) => return Ok((root, slot, None)),
            (None, Some(_)) => return Err(Error::WrongJournal),
            (Some(journal), Some(pinned)) if *journal.id().await?.as_bytes() == pinned => {
                let verifier = check_journal(journal, &slot, &root).await?;
                return Ok((root, slot, Some(verifier)));
            }
            (Some(_), Some(_)) => return Err(Error::WrongJournal),
            (Some(journal), None) => match adopt(journal, provider, store, clock, &stored, slot, &root).await {
                Err(Error::Conflict) => {} // another one adopts it at the same time
                adopted => adopted?,       // and read again
            },
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
    if slot.journal != vault.journal.as_ref().map(|journal| *journal.id().as_bytes()) {
        return Err(Error::WrongJournal);
    }
    vault.longest_age.fetch_max(u64::try_from(slot.max_age.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    vault.store_told.fetch_max(slot.told, Ordering::SeqCst);
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
    Ok(store.load(&[SlotId::Vault]).await?.pop().unwrap_or(Loaded::Absent).into_slot()?)
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
    let (now, mut told) = (clock.wall(), 0);
    if let Some((journal, mut head)) = journal.zip(head) {
        let verifier = Verifier::of(&root);
        let events = [
            JournalEvent::RootCreated { key_id: wrapped.key_id },
            JournalEvent::EpochOpened { epoch, master: master.clone() },
        ];
        for event in events {
            let entry = verifier.seal(JournalEntry::store_wide(now, event), told, &head);
            // At the head that was looked at: whoever else starts looks again.
            match journal.append(&entry, &head).await {
                Err(e) if e.kind() == JournalErrorKind::Conflict => return Ok(()),
                appended => head = appended?,
            }
            told = head.position();
        }
    }
    let slot = VaultSlot {
        root: wrapped,
        max_age,
        journal: match journal {
            Some(journal) => Some(*journal.id().await?.as_bytes()),
            None => None,
        },
        applied: Point::NONE,
        settled: Point::NONE,
        settling: None,
        told,
        waiting: Vec::new(),
        epochs: vec![EpochRecord { epoch, state: EpochState::Live, created_at: now, master }],
        index_epochs: Vec::new(),
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
    let mut head = Head::EMPTY;
    loop {
        let entries = journal.read(head.position(), ENTRIES).await?;
        if !entries.iter().all(is_attempt) {
            return Err(Error::StoreBehindJournal { missing: journal.head().await?.position() });
        }
        if entries.is_empty() {
            return Ok(head);
        }
        head = entries.iter().fold(head, |head, entry| head.advanced_by(entry));
    }
}

/// The journal must tell of this root, and reach as far as the store has seen it.
async fn check_journal(journal: &dyn ErasureJournal, slot: &VaultSlot, root: &RootKey) -> Result<Verifier> {
    let head = journal.head().await?;
    let Point { position, hash } = slot.applied;
    if head.position() < position || (head.position() == position && *head.hash() != hash) {
        return Err(Error::JournalTruncated);
    }
    let verifier = Verifier::of(root);
    // It is near the beginning: before it there are only attempts that others lost, or that crashed.
    let mut pages = Pages::new(journal, &verifier, Head::EMPTY);
    let creation = loop {
        match (pages.next(&head).await?, pages.reading().creation()) {
            (_, Some(creation)) => break creation,
            (Some(_), None) => {}
            (None, None) => return Err(Error::JournalTruncated),
        }
    };
    Ok(verifier.created_at(creation))
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
    let verifier = Verifier::of(root);
    let mut adoption = Adoption::begun(journal, &verifier).await?;
    let now = clock.wall();
    adoption.say(now, &SlotId::Vault, JournalEvent::RootCreated { key_id: slot.root.key_id }).await?;
    for record in &slot.epochs {
        let event = JournalEvent::EpochOpened { epoch: record.epoch, master: record.master.clone() };
        adoption.say(now, &SlotId::Vault, event).await?;
    }
    // Tenants come before every subject.
    let mut scan = Scan::new(Filter::All);
    'tenants: loop {
        let page = store.scan(&scan).await?;
        // What an adoption leaves out could never be told from what was lost.
        if page.damaged.iter().any(|(id, _)| matches!(id, SlotId::Tenant(_))) {
            return Err(StoreError::corrupt("a tenant's slot, so that no journal can be adopted: put it back").into());
        }
        for stored in &page.slots {
            match stored.id() {
                SlotId::Vault => {}
                SlotId::Tenant(tenant) => {
                    let key_id = super::cached_tenant::unwrap_root(provider, tenant, stored, &slot).await?.1.key_id;
                    for event in [JournalEvent::RootCreated { key_id }, JournalEvent::RootStored { key_id }] {
                        adoption.say(now, stored.id(), event).await?;
                    }
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
    slot.tell(adoption.last(&SlotId::Vault));
    match store.put(&slot.seal(root)?, Expected::Revision(stored.revision())).await {
        Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(()),
        put => Ok(put?),
    }
}

/// What a journal says of the store that adopts it.
struct Adoption<'a> {
    journal: &'a dyn ErasureJournal,
    verifier: &'a Verifier,
    said: Vec<(SlotId, JournalEvent)>,
    last: HashMap<SlotId, u64>,
    head: Head,
}

impl<'a> Adoption<'a> {
    /// A journal that is to be adopted holds nothing but attempts to make a store, and what an adoption by this very one
    /// entered that did not come to its end.
    async fn begun(journal: &'a dyn ErasureJournal, verifier: &'a Verifier) -> Result<Self> {
        let head = journal.head().await?;
        let mut begun = Self { journal, verifier, said: Vec::new(), last: HashMap::new(), head };
        let mut pages = Pages::new(journal, verifier, Head::EMPTY);
        while let Some(page) = pages.next(&head).await? {
            for Judged { position, entry, judgment } in page {
                let is_ours = judgment == Judgment::Accepted && is_of_adoption(&entry);
                // Behind its beginning, whoever can write to the journal may have appended what nobody believes.
                let is_passed_over = judgment == Judgment::PassedOver
                    && pages.reading().creation().is_some_and(|creation| creation < position);
                if is_ours {
                    begun.last.insert(entry.about().clone(), position);
                    begun.said.push((entry.about().clone(), entry.event().clone()));
                } else if judgment != Judgment::Attempt && !is_passed_over {
                    return Err(Error::StoreBehindJournal { missing: head.position() });
                }
            }
        }
        Ok(begun)
    }

    /// Says it, if that isn't said yet.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else appends: what there is must be looked at again. Those of the journal.
    async fn say(&mut self, now: Timestamp, about: &SlotId, event: JournalEvent) -> Result<()> {
        if self.said.iter().any(|said| (&said.0, &said.1) == (about, &event)) {
            return Ok(());
        }
        let entry = JournalEntry::unsealed(now, about.clone(), event);
        let entry = self.verifier.seal(entry, self.last(about), &self.head);
        match self.journal.append(&entry, &self.head).await {
            Err(e) if e.kind() == JournalErrorKind::Conflict => return Err(Error::Conflict),
            appended => self.head = appended?,
        }
        self.last.insert(about.clone(), self.head.position());
        Ok(())
    }

    fn last(&self, about: &SlotId) -> u64 {
        self.last.get(about).copied().unwrap_or(0)
    }
}

fn is_of_adoption(entry: &JournalEntry) -> bool {
    matches!(
        entry.event(),
        JournalEvent::RootCreated { .. } | JournalEvent::EpochOpened { .. } | JournalEvent::RootStored { .. }
    )
}

const DEFAULT_MAX_AGE: Duration = Duration::from_secs(300);
/// Entries in one read of a journal that nobody can verify yet.
const ENTRIES: usize = 1000;
