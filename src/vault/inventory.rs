//! What an operator asks of a key store: which epochs and which keys there are, how old they are, what is sealed under.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt as _};

use super::masters;
use super::receipt::KeyEnd;
use super::slots::is_of_one_slot;
use super::{Tenant, Vault, WRITES_AT_ONCE, root};
use crate::clock::Timestamp;
use crate::error::{Error, Result, StoreError};
use crate::id::{HasSubject, Purpose, TenantId};
use crate::keys::slot::{EpochRecord, EpochState, KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{Epoch, MasterKeyId, SlotId, StoredSlot, newest_due};
use crate::store::{Filter, Scan};

/// What [`Vault::inventory_page`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InventoryPage {
    /// The subjects, in the order of their slots. Fewer than asked for where slots of the vault, of tenants or damaged ones
    /// are among them.
    pub subjects: Vec<SubjectInfo>,
    /// Slots that could not be read, tenants' too, with the reason.
    pub failed: Vec<(SlotId, Error)>,
    /// Where the next page begins; none where this was the last.
    pub next: Option<SlotId>,
}

/// What the key store holds of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectInfo {
    /// Its slot.
    pub slot: SlotId,
    /// The epoch that its keys are wrapped in; none where it has none.
    pub epoch: Option<Epoch>,
    /// What has become of it.
    pub state: SubjectState,
    /// It is on hold, as the slot's copy of the journal says.
    pub held: bool,
    /// When its retention period ends.
    pub retain_until: Option<Timestamp>,
    /// Its purposes, by name.
    pub purposes: Vec<PurposeInfo>,
}

/// What has become of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectState {
    /// Its keys can be used.
    Live,
    /// They can't, and [`Vault::erase_due`] destroys them: its erasure is scheduled, or its retention period has ended. Until then
    /// they are there.
    Scheduled {
        /// When it is due, or when its period ended.
        at: Timestamp,
    },
    /// Every key of it is destroyed.
    Erased {
        /// When the last one was.
        at: Timestamp,
    },
}

/// One purpose of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PurposeInfo {
    /// Its name.
    pub purpose: Purpose,
    /// The line that it is at: the live one, or the last that was destroyed.
    pub line: u32,
    /// When the last of its lines that was destroyed was destroyed.
    pub erased_at: Option<Timestamp>,
    /// The versions of its data key, oldest first; none where the line is destroyed.
    pub versions: Vec<VersionInfo>,
}

/// One version of a data key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number, from 1.
    pub number: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is sealed under: from its making where that is at once; none where it has not got its date yet.
    pub seal_from: Option<Timestamp>,
    /// Whether it is sealed under now.
    pub state: VersionState,
}

/// Whether a version of a data key is sealed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VersionState {
    /// Not yet: its time has not come.
    Pending,
    /// Now.
    Current,
    /// Not any more. What it sealed opens as before.
    Superseded {
        /// Since a later version's time has come.
        since: Timestamp,
    },
}

/// An epoch of a key store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EpochInfo {
    /// Its number.
    pub epoch: Epoch,
    /// Its master key.
    pub master: MasterKeyId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What has become of it.
    pub status: EpochStatus,
    /// What has become of its master key.
    pub end: KeyEnd,
}

/// What has become of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EpochStatus {
    /// New keys are wrapped in it.
    Current,
    /// Keys may still be wrapped in it; new ones are not.
    Live,
    /// It has ended.
    Retired,
    /// The journal records it and the key store doesn't have it: it was opened, and lost in a restore. Copies in backups may
    /// be wrapped in it, so it can be retired all the same.
    Lost,
}

impl Vault {
    /// The key store's epochs, oldest first, each with what the provider says has become of its master key.
    ///
    /// # Errors
    /// Those of the ports. If the provider can't answer, [`EpochInfo::end`] says so.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn epochs(&self) -> Result<Vec<EpochInfo>> {
        let slot = root::reload(&self.0).await?.1;
        let current = slot.current()?.epoch;
        let mut found = Vec::with_capacity(slot.epochs.len());
        for EpochRecord { epoch, state, created_at, master } in &slot.epochs {
            let status = match state {
                EpochState::Live if *epoch == current => EpochStatus::Current,
                EpochState::Live => EpochStatus::Live,
                EpochState::Retired => EpochStatus::Retired,
            };
            found.push((*epoch, master.clone(), *created_at, status));
        }
        let journaled = if self.0.journal.is_some() { masters::opened(&self.0).await? } else { Vec::new() };
        for (opened_at, epoch, master) in journaled {
            // Of two that open the same one at once, both enter it: their master key is that of an epoch then.
            if found.iter().all(|(_, known, ..)| *known != master) {
                found.push((epoch, master, opened_at, EpochStatus::Lost));
            }
        }
        found.sort_by_key(|(epoch, ..)| *epoch);
        let mut epochs = Vec::with_capacity(found.len());
        for (epoch, master, opened_at, status) in found {
            let end = masters::end_of(&self.0, &master).await;
            epochs.push(EpochInfo { epoch, master, opened_at, status, end });
        }
        Ok(epochs)
    }

    /// What the key store holds of the subjects in at most `limit` slots (1 to 1000): epochs, states, purposes, versions.
    /// Begin with `None`, go on with [`InventoryPage::next`] until there is none. Each slot is authenticated; no data key is
    /// unwrapped.
    ///
    /// ```
    /// # use fieldseal::journal::MemoryJournal;
    /// # use fieldseal::provider::LocalKeyring;
    /// # use fieldseal::store::MemoryStore;
    /// # use fieldseal::{SubjectId, Vault};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> fieldseal::Result<()> {
    /// # let builder = Vault::builder(LocalKeyring::ephemeral()?, MemoryStore::new()).journal(MemoryJournal::new()?);
    /// # let vault = builder.kinds(["customer"]).build().await?;
    /// # vault.default_tenant().enroll(&SubjectId::new("customer", &17)?).await?;
    /// let (mut versions, mut next) = (0, None);
    /// loop {
    ///     let page = vault.inventory_page(next.as_ref(), 500).await?;
    ///     versions += page.subjects.iter().flat_map(|s| &s.purposes).map(|p| p.versions.len()).sum::<usize>();
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// # assert_eq!(versions, 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the ports. What is wrong with one slot is listed in [`InventoryPage::failed`].
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// A slot's id holds the subject's tag: pseudonymous personal data.
    pub async fn inventory_page(&self, from: Option<&SlotId>, limit: usize) -> Result<InventoryPage> {
        let mut scan = Scan::new(Filter::All).limit(limit);
        if let Some(from) = from {
            scan = scan.starting_after(from.clone());
        }
        let page = self.0.store.scan(&scan).await?;
        // Tenants first, each once: what is wrong with one is wrong with each of its subjects.
        let mut tenants: HashMap<&TenantId, Tenant> = HashMap::new();
        for id in page.slots.iter().filter_map(|stored| stored.id().tenant()) {
            tenants.entry(id).or_insert_with(|| self.tenant(id));
        }
        let reads: Vec<_> = page
            .slots
            .iter()
            .filter_map(|stored| Some((stored, tenants.get(stored.id().tenant()?)?)))
            .map(|(stored, tenant)| async move { (stored.id(), tenant.info_of(stored).await) })
            .collect();
        let read: Vec<_> = stream::iter(reads).buffered(WRITES_AT_ONCE).collect().await;
        let (mut subjects, mut failed) = (Vec::with_capacity(read.len()), page.failed().collect::<Vec<_>>());
        for (id, info) in read {
            match info {
                Ok(info) => subjects.extend(info),
                Err(e) if is_of_one_slot(&e) => failed.push((id.clone(), e)),
                Err(e) => return Err(e),
            }
        }
        Ok(InventoryPage { subjects, failed, next: page.next })
    }
}

impl Tenant {
    /// What the key store holds of one subject, one that was erased too.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if it holds nothing of it; [`Error::InvalidInput`] for a kind that isn't declared;
    /// [`Error::WrongTenant`] for keys of another tenant; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// That of [`Tenant::tag`]: the slot's id holds the tag.
    pub async fn inventory(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<SubjectInfo> {
        let subject = self.subject_of(subject)?;
        let state = self.cached.any_state(&self.vault.0).await?.ok_or(Error::SubjectUnknown)?;
        let tag = state.root.tag(self.id(), &subject);
        let slot = self.read_slot(&tag).await?.slot.ok_or(Error::SubjectUnknown)?;
        Ok(SubjectInfo::of(self.slot_id(&tag), &slot, self.cached.erased_at(&state), self.vault.0.clock.wall()))
    }

    /// Of a slot of this tenant as a scan read it; none for the tenant's own, if that is sound.
    async fn info_of(&self, stored: &StoredSlot) -> Result<Option<SubjectInfo>> {
        let state = self.cached.any_state(&self.vault.0).await?;
        let state = state.ok_or_else(|| StoreError::corrupt("its tenant's slot is gone: restore the key store"))?;
        if !matches!(stored.id(), SlotId::Subject(..)) {
            return Ok(None);
        }
        let slot = SubjectSlot::open(stored, &state.root)?;
        let erased_at = self.cached.erased_at(&state);
        Ok(Some(SubjectInfo::of(stored.id().clone(), &slot, erased_at, self.vault.0.clock.wall())))
    }
}

impl SubjectInfo {
    /// What a slot comes to. Keys of a tenant that was erased are gone, whatever its subjects' slots say.
    fn of(id: SlotId, slot: &SubjectSlot, tenant_erased_at: Option<Timestamp>, now: Timestamp) -> Self {
        let state = match (slot.erased_at().or(tenant_erased_at), slot.closed_by(now)) {
            (Some(at), _) => SubjectState::Erased { at },
            (None, Some(at)) => SubjectState::Scheduled { at },
            (None, None) => SubjectState::Live,
        };
        Self {
            slot: id,
            epoch: slot.epoch,
            state,
            held: slot.held,
            retain_until: slot.retain_until,
            purposes: slot.purposes.iter().map(|purpose| PurposeInfo::of(purpose, now)).collect(),
        }
    }
}

impl PurposeInfo {
    fn of(purpose: &PurposeSlot, now: Timestamp) -> Self {
        let versions = &purpose.versions;
        let current = newest_due(versions.iter().map(|version| version.seal_from), now);
        let state = |at: usize| {
            let later = versions.iter().skip(at + 1).filter(|version| version.seal_from.has_come(now));
            match later.filter_map(KeyVersion::sealed_from).min() {
                Some(since) => VersionState::Superseded { since },
                None if at == current => VersionState::Current,
                None => VersionState::Pending,
            }
        };
        let versions = versions.iter().enumerate().map(|(at, version)| VersionInfo {
            number: version.number,
            created_at: version.created_at,
            seal_from: version.sealed_from(),
            state: state(at),
        });
        Self {
            purpose: purpose.name.clone(),
            line: purpose.line,
            erased_at: purpose.erased_at,
            versions: versions.collect(),
        }
    }
}
