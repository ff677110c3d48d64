//! [`Examination`]: looks at a key store, its journal and its master keys, and writes nothing: what is wrong with them, and whether
//! every data key opens. For operators, and for whoever tries whether a backup would do.
//!
//! A vault can't say that of itself: it isn't built on a store that was restored, and what it finds half done it finishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::applied::CheckMode;
use super::compare::{Stretch, find_differences};
use super::erase_due::{EraseDueReport, Sweep};
use super::inventory::EpochInfo;
use super::slots::is_of_one_slot;
use super::verified::PassedOver;
use super::{Tenant, Vault, VaultInner, WRITES_AT_ONCE, root};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::error::{Error, Result, StoreError};
use crate::id::TenantId;
use crate::journal::Head;
use crate::keys::ring::KeyRing;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, StoredSlot};
use crate::store::{Filter, Scan};

/// A key store, its journal and its master keys, opened to be looked at: [`VaultBuilder::examine`](super::VaultBuilder::examine).
/// Nothing is written to any of them, whatever is found.
pub struct Examination {
    vault: Vault,
}

/// Slots that an [`Examination`] has looked at.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExaminedSlots {
    /// The subjects, erased ones too, each with the keys that it has. Every one of these was unwrapped.
    pub subjects: Vec<ExaminedSubject>,
    /// Slots that can't be read, or whose keys can't be unwrapped, tenants' too, with the reason.
    pub failed: Vec<(SlotId, Error)>,
    /// Subjects of whom something is dated so far ahead that a clock was wrong when it was written, with that date. Such a version
    /// of a data key is not sealed under, and counts as older than any other.
    pub absurd: Vec<(SlotId, Timestamp)>,
    /// What the store has in its tables without an id, or with another's: nobody can ask for it.
    pub nameless: u64,
    /// Where the next page begins; none where this was the last.
    pub next: Option<SlotId>,
}

/// A subject, and the data keys that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExaminedSubject {
    /// Its slot.
    pub slot: SlotId,
    /// The ids of its data keys; none where it is erased.
    pub keys: Vec<KeyId>,
}

/// What the journal says and the key store doesn't have, by [`Examination::compare`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// Where the journal ends.
    pub head: Head,
    /// How many things the journal records as done that the store lacks: it was restored from a backup.
    pub missing: u64,
    /// Subjects and tenants of whom something is to be done: finished, or done again, by the next vault that is built, or by a
    /// replay.
    pub to_do: Vec<SlotId>,
    /// Of whom it can't be told now, or not put right: a slot is damaged, a provider is away, or whoever intends something may still
    /// be at it.
    pub pending: Vec<SlotId>,
    /// Of whom something can't be taken in, with the reason: nothing of them opens, and nothing is decided about them.
    pub unclear: Vec<(SlotId, Error)>,
    /// Positions of entries that wait until the slot that they are about can be looked at, each with that slot, as far as the
    /// journal tells it.
    pub waiting: Vec<(u64, Option<SlotId>)>,
    /// Entries that nobody with the key store's root entered. They have no effect.
    pub passed_over: PassedOver,
}

impl Examination {
    pub(super) fn of(vault: Vault) -> Self {
        Self { vault }
    }

    /// The key store's epochs: [`Vault::epochs`].
    ///
    /// # Errors
    /// Those of [`Vault::epochs`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn epochs(&self) -> Result<Vec<EpochInfo>> {
        self.vault.epochs().await
    }

    /// Holds the whole journal against the key store.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] without a journal; [`Error::JournalTruncated`] if it lacks entries that the store has seen; those of
    /// the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// A slot's id holds the subject's tag: pseudonymous personal data.
    pub async fn compare(&self) -> Result<Comparison> {
        let vault = self.inner();
        let journal = vault.journal()?;
        let slot = root::reload(vault).await?.1;
        // Behind the slot, so that what it has seen is there.
        let head = journal.head().await?;
        let applied = Head::from_parts(slot.applied.position, slot.applied.hash);
        if head.position() < applied.position().max(slot.told) {
            return Err(Error::JournalTruncated);
        }
        let (waiting, again) = (&*slot.waiting, &BTreeMap::new());
        let stretch = Stretch { from: Head::EMPTY, applied: &applied, head: &head, waiting, again };
        let found = find_differences(vault, journal, &stretch, CheckMode::Replay).await?;
        let subjects = found.subjects.keys().map(|(tenant, tag)| SlotId::Subject(tenant.clone(), *tag));
        let about = |position: &u64| (*position, found.about.get(position).cloned());
        Ok(Comparison {
            head,
            missing: found.lost,
            to_do: found.tenants.keys().cloned().map(SlotId::Tenant).chain(subjects).collect(),
            pending: found.pending.keys().cloned().collect(),
            unclear: found.unclear.iter().map(|(about, cause)| (about.clone(), cause.error.clone())).collect(),
            waiting: slot.waiting.iter().map(about).collect(),
            passed_over: found.passed_over,
        })
    }

    /// What a sweep would do now: how many subjects it would erase and close, and how many are on hold.
    ///
    /// # Errors
    /// Why it would do nothing: [`Error::ClocksDisagree`], [`Error::JournalAhead`], [`Error::TooManyDue`]. Those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn sweep(&self) -> Result<EraseDueReport> {
        self.inner().journal()?;
        let (sweep, mut report) = (Sweep::new(), EraseDueReport::default());
        self.vault.due_within(&sweep, self.vault.moment_of(&sweep).await?, &mut report).await?;
        Ok(report)
    }

    /// Looks at the subjects in at most `limit` slots (1 to 1000). Begin with `None`, go on with [`ExaminedSlots::next`] until there
    /// is none.
    ///
    /// ```
    /// # use fieldseal::journal::MemoryJournal;
    /// # use fieldseal::provider::LocalKeyring;
    /// # use fieldseal::store::MemoryStore;
    /// # use fieldseal::{SubjectId, Vault};
    /// # use std::sync::Arc;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> fieldseal::Result<()> {
    /// # let (keyring, store) = (LocalKeyring::ephemeral()?, Arc::new(MemoryStore::new()));
    /// # let journal = Arc::new(MemoryJournal::new()?);
    /// # let builder = || Vault::builder(keyring.clone(), store.clone()).journal(journal.clone()).kinds(["customer"]);
    /// # builder().build().await?.default_tenant().enroll(&SubjectId::new("customer", &17)?).await?;
    /// let examination = builder().examine().await?;
    /// let (mut keys, mut next) = (0, None);
    /// loop {
    ///     let page = examination.page(next.as_ref(), 500).await?;
    ///     assert!(page.failed.is_empty());
    ///     keys += page.subjects.iter().map(|subject| subject.keys.len()).sum::<usize>();
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// # assert_eq!(keys, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the ports. What is wrong with one slot is listed in [`ExaminedSlots::failed`].
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// A slot's id holds the subject's tag: pseudonymous personal data.
    pub async fn page(&self, from: Option<&SlotId>, limit: usize) -> Result<ExaminedSlots> {
        let mut scan = Scan::new(Filter::All).limit(limit);
        if let Some(from) = from {
            scan = scan.starting_after(from.clone());
        }
        let page = self.inner().store.scan(&scan).await?;
        let mut examined = self.examine(&page.slots, page.failed().collect()).await?;
        (examined.nameless, examined.next) = (page.nameless, page.next);
        Ok(examined)
    }

    /// Looks at these slots alone. What isn't there is in none of the lists.
    ///
    /// # Errors
    /// Those of [`page`](Self::page).
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// That of [`page`](Self::page).
    pub async fn slots(&self, ids: &[SlotId]) -> Result<ExaminedSlots> {
        let (mut slots, mut failed) = (Vec::new(), Vec::new());
        for (id, loaded) in ids.iter().zip(self.inner().load(ids).await?) {
            match loaded.into_slot() {
                Ok(slot) => slots.extend(slot),
                Err(e) => failed.push((id.clone(), e.into())),
            }
        }
        self.examine(&slots, failed).await
    }

    async fn examine(&self, slots: &[StoredSlot], failed: Vec<(SlotId, Error)>) -> Result<ExaminedSlots> {
        let mut examined = ExaminedSlots { failed, ..ExaminedSlots::default() };
        // Tenants first, each once: what is wrong with one is wrong with each of its subjects.
        let tenants = slots.iter().filter_map(|stored| stored.id().tenant());
        let tenants: BTreeMap<&TenantId, Tenant> = tenants.map(|id| (id, self.vault.tenant(id))).collect();
        let looks: Vec<_> = slots
            .iter()
            .filter_map(|stored| Some((stored, tenants.get(stored.id().tenant()?)?)))
            .map(|(stored, tenant)| async move { (stored.id(), tenant.examine(stored).await) })
            .collect();
        let looked: Vec<_> = stream::iter(looks).buffered(WRITES_AT_ONCE).collect().await;
        let horizon = self.inner().horizon(self.vault.now());
        for (id, slot) in looked {
            match slot {
                Ok(None) => {}
                Ok(Some(slot)) => {
                    let latest = latest(&slot).filter(|latest| *latest > horizon);
                    examined.absurd.extend(latest.map(|latest| (id.clone(), latest)));
                    let keys = slot.purposes.iter().flat_map(|purpose| &purpose.versions).map(|v| v.key_id).collect();
                    examined.subjects.push(ExaminedSubject { slot: id.clone(), keys });
                }
                Err(e) if is_of_one_slot(&e) => examined.failed.push((id.clone(), e)),
                Err(e) => return Err(e),
            }
        }
        Ok(examined)
    }

    fn inner(&self) -> &Arc<VaultInner> {
        &self.vault.0
    }
}

impl Tenant {
    /// A subject's slot of this tenant, with every key unwrapped once; none for the tenant's own, if that is sound. Of a tenant that
    /// was erased no key is there to be unwrapped with.
    async fn examine(&self, stored: &StoredSlot) -> Result<Option<SubjectSlot>> {
        let state = self.cached.any_state(&self.vault.0).await?;
        let state = state.ok_or_else(|| StoreError::corrupt("its tenant's slot is gone: restore the key store"))?;
        let SlotId::Subject(_, tag) = stored.id() else { return Ok(None) };
        let mut slot = SubjectSlot::open(stored, &state.root)?;
        if state.erased_at.is_some() {
            slot.purposes.iter_mut().for_each(|purpose| purpose.versions.clear());
            return Ok(Some(slot));
        }
        let kek = slot.epoch.map(|epoch| state.key_of(epoch)).transpose()?;
        KeyRing::unwrap(&slot, self.id(), tag, &[], kek)?;
        Ok(Some(slot))
    }
}

/// The latest moment at which something of a slot was done, or from which a key is sealed under: what is due later is somebody's
/// intention, and no clock's word.
fn latest(slot: &SubjectSlot) -> Option<Timestamp> {
    let versions = slot.purposes.iter().flat_map(|purpose| &purpose.versions);
    let dates = versions.flat_map(|version| [Some(version.created_at), version.sealed_from()]);
    let erased = slot.purposes.iter().map(|purpose| purpose.erased_at);
    dates.chain(erased).chain([slot.closed_at, slot.whole_at]).flatten().max()
}

/// Opaque: it can unwrap every key.
impl std::fmt::Debug for Examination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Examination").finish_non_exhaustive()
    }
}
