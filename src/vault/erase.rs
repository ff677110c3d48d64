//! Erasing a subject, or one purpose of it, and what can be said of that later.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::cached_tenant::TenantState;
use super::decide::IfRecorded;
use super::destroy::{DestroyedKeys, Extent};
use super::masters::Masters;
use super::receipt::{ErasedPurpose, ErasureReceipt, ErasureStatus, UndoneReason};
use super::{Tenant, WRITES_AT_ONCE, root};
use crate::error::{Error, Result};
use crate::id::{HasSubject, Purpose, SubjectId};
use crate::journal::ErasedLine;
use crate::journal::history::{Done, History};
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, Tag};
use crate::store::{Loaded, Residue};

/// What is to be erased, and for whom.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ErasureRequest {
    purpose: Option<Purpose>,
    reference: Option<String>,
    even_if_unknown: bool,
}

impl ErasureRequest {
    /// The whole subject.
    pub fn new() -> Self {
        Self::default()
    }

    /// One purpose of the subject alone: the others stay readable.
    pub fn purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// What the request is filed under with you. It is in the receipt and nowhere else.
    pub fn reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Also if neither key store nor journal knows the subject, or the tenant: it gets a tombstone, and its tenant is made if there
    /// is none, so that no enrollment makes it by accident. Say it after the key store was restored: who was enrolled since the backup is
    /// unknown then, because the journal doesn't record enrollments. Otherwise an id that is mistyped would leave a tombstone,
    /// and a receipt for nobody.
    pub fn even_if_unknown(mut self) -> Self {
        self.even_if_unknown = true;
        self
    }

    pub(super) fn is_even_if_unknown(&self) -> bool {
        self.even_if_unknown
    }

    pub(super) fn filed_under(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    fn extent(&self) -> Extent<'_> {
        self.purpose.as_ref().map_or(Extent::Whole, Extent::Purpose)
    }
}

impl Tenant {
    /// Destroys a subject's keys, for good: what was sealed under them can't be opened again, by anybody.
    ///
    /// In this order: the intent is journaled, a tombstone replaces the keys, the keys that callers in this process hold end,
    /// the store is scrubbed, completion is journaled. Other processes go on with keys that they read before until the receipt's
    /// [`effective_by`](ErasureReceipt::effective_by). Erasing again finishes what crashed, and gives the receipt of what
    /// is erased already.
    ///
    /// A slot that is damaged is no obstacle, if the whole subject is erased: the journal decides, and a tombstone takes the place of
    /// what nobody can read. The receipt then says that not all key ids are known
    /// ([`has_all_key_ids`](ErasureReceipt::has_all_key_ids)).
    ///
    /// ```
    /// # use fieldseal::journal::MemoryJournal;
    /// # use fieldseal::provider::LocalKeyring;
    /// # use fieldseal::store::MemoryStore;
    /// # use fieldseal::{Error, Vault};
    /// use fieldseal::vault::ErasureRequest;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> fieldseal::Result<()> {
    /// # let keyring = LocalKeyring::ephemeral()?;
    /// # let builder = Vault::builder(keyring.clone(), MemoryStore::new()).journal(MemoryJournal::new()?);
    /// # let customers = builder.kinds(["customer"]).build().await?.default_tenant();
    /// # let ada = fieldseal::SubjectId::new("customer", &17)?; // or `Customer::subject_of(&17)?`
    /// customers.enroll(&ada).await?;
    /// let receipt = customers.erase(&ada, &ErasureRequest::new().reference("request 4711")).await?;
    /// println!("{receipt}"); // or keep it as JSON
    /// assert!(matches!(customers.keys(&ada).await, Err(Error::SubjectErased { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if neither key store nor journal knows it, and nothing is made (but see
    /// [`ErasureRequest::even_if_unknown`]); [`Error::SubjectHeld`] if it is on hold; [`Error::PurposeUnknown`] if neither
    /// subject nor vault has the purpose; [`Error::InvalidInput`] without a journal, or for a kind that isn't declared;
    /// [`Error::WrongTenant`] for keys of another tenant; [`Error::TenantErased`]; those of the ports. Once the intent is
    /// journaled it is binding: erase again, or let the next vault that is built finish it.
    ///
    /// # Cancel safety
    /// A call that is dropped may have erased, or begun to; calling again finishes it.
    pub async fn erase(
        &self,
        subject: &(impl HasSubject + Sync + ?Sized),
        request: &ErasureRequest,
    ) -> Result<ErasureReceipt> {
        let erased = self.erase_subjects(vec![self.subject_of(subject)?], request).await?;
        erased.into_iter().next().map_or(Err(NO_ANSWER), |(_, receipt)| receipt)
    }

    /// [`erase`](Self::erase) for many: the store is scrubbed once. One that fails affects no other. There is an answer for
    /// each, in the order asked; whoever is named twice is erased once.
    ///
    /// # Errors
    /// Those of [`erase`](Self::erase) that concern all of them, a kind that isn't declared and keys of another tenant among
    /// these. The others are in the answers, also that a row names nobody ([`Error::InvalidInput`]).
    ///
    /// # Cancel safety
    /// That of [`erase`](Self::erase).
    pub async fn erase_all(
        &self,
        subjects: &[impl HasSubject + Sync],
        request: &ErasureRequest,
    ) -> Result<Vec<Result<ErasureReceipt>>> {
        let named = subjects.iter().map(|row| self.named(row)).collect::<Result<Vec<_>>>()?;
        let mut seen = HashSet::new();
        let distinct = named.iter().flatten().filter(|subject| seen.insert(*subject)).cloned().collect();
        let erased: HashMap<_, _> = self.erase_subjects(distinct, request).await?.into_iter().collect();
        let answer = |subject: SubjectId| erased.get(&subject).cloned().unwrap_or(Err(NO_ANSWER));
        Ok(named.into_iter().map(|subject| subject.and_then(answer)).collect())
    }

    async fn erase_subjects(
        &self,
        subjects: Vec<SubjectId>,
        request: &ErasureRequest,
    ) -> Result<Vec<(SubjectId, Result<ErasureReceipt>)>> {
        self.vault.0.journal()?;
        if subjects.is_empty() {
            return Ok(Vec::new());
        }
        let Some(root) = self.root_to_erase(request).await? else {
            return Ok(subjects.into_iter().map(|subject| (subject, Err(Error::SubjectUnknown))).collect());
        };
        let tagged: Vec<(SubjectId, Tag)> =
            subjects.into_iter().map(|subject| (subject.clone(), root.root.tag(self.id(), &subject))).collect();
        let destroy = |(subject, tag): (SubjectId, Tag)| async move {
            let may_begin = |_: &History, is_known: bool| match is_known || request.even_if_unknown {
                true => Ok(true),
                false => Err(Error::SubjectUnknown),
            };
            let destroyed = self.destroy(&tag, request.extent(), may_begin).await;
            let destroyed = destroyed.and_then(|d| d.ok_or(Error::Bug("an erasure that nobody asked whether it may")));
            (subject, tag, destroyed)
        };
        let futures: Vec<_> = tagged.into_iter().map(destroy).collect();
        let destroyed: Vec<_> = stream::iter(futures).buffered(WRITES_AT_ONCE).collect().await;
        if destroyed.iter().all(|(_, _, destroyed)| destroyed.is_err()) {
            let failed = |(subject, _, destroyed): (_, _, Result<_>)| Some((subject, Err(destroyed.err()?)));
            return Ok(destroyed.into_iter().filter_map(failed).collect());
        }
        let residue = self.vault.0.scrub().await?;
        // After the tombstones: whoever may use keys for longer than this says read after them.
        root::reload(&self.vault.0).await?;
        let masters = Masters::ask(&self.vault.0).await?;
        let mut answers = Vec::with_capacity(destroyed.len());
        for (subject, tag, destroyed) in destroyed {
            let receipt = match destroyed {
                Ok(destroyed) => self.record_done_with_receipt(&tag, destroyed, &residue, &masters, request).await,
                Err(e) => Err(e),
            };
            answers.push((subject, receipt));
        }
        self.vault.0.evict_expired();
        Ok(answers)
    }

    /// The tenant's root, by which its subjects are found; none where the tenant has none, and so no subject either. Made if the
    /// request says that nobody need be known. That there is a wrapping key for the current epoch is not asked: erasing needs
    /// none.
    async fn root_to_erase(&self, request: &ErasureRequest) -> Result<Option<Arc<TenantState>>> {
        let vault = &self.vault.0;
        if let Some(state) = self.cached.state(vault).await? {
            return Ok(Some(state));
        }
        if request.even_if_unknown {
            return self.cached.state_to_write(vault).await.map(Some);
        }
        match self.cached.history(vault).await?.erased() {
            Some(at) => Err(Error::TenantErased { at }),
            None => Ok(None),
        }
    }

    /// The last two steps: completion is journaled, and the receipt is made.
    pub(super) async fn record_done_with_receipt(
        &self,
        tag: &Tag,
        destroyed: DestroyedKeys,
        residue: &Residue,
        masters: &Masters,
        request: &ErasureRequest,
    ) -> Result<ErasureReceipt> {
        let DestroyedKeys { erased, slot, already_recorded } = destroyed;
        if !already_recorded {
            self.record_done(tag, slot.told, &erased, IfRecorded::RecordAgain).await?;
        }
        let purposes: Vec<ErasedPurpose> = erased.lines.iter().filter_map(|line| erased_purpose(&slot, line)).collect();
        let erased_at = purposes.iter().map(|purpose| purpose.erased_at).max().unwrap_or(self.vault.0.clock.wall());
        let history = self.history(tag, slot.told).await?;
        let done = history.done.ok_or(Error::Bug("an erasure that was entered is not there"))?;
        Ok(ErasureReceipt {
            journal: self.vault.0.journal()?.id(),
            tenant: self.id().clone(),
            tag: Some(*tag),
            whole: erased.whole,
            was_known: history.intent.is_none_or(|intent| intent.known),
            purposes,
            key_ids_complete: !slot.replaced,
            reference: request.reference.clone(),
            erased_at,
            // The tombstone had landed by then: whoever read keys, read them before.
            effective_by: done.at.max(erased_at).plus(self.vault.0.longest_age()),
            residue: super::receipt::residue_of(residue),
            masters: masters.until(done.until),
            index_keys: Vec::new(),
        })
    }

    /// What can be said now of an erasure, by its receipt: recomputed from the key store, the journal and the master key
    /// provider.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the receipt is of another tenant or journal; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn erasure_status(&self, receipt: &ErasureReceipt) -> Result<ErasureStatus> {
        let vault = &self.vault.0;
        if receipt.tenant != *self.id() {
            return Err(Error::invalid("the receipt is of another tenant"));
        }
        if receipt.journal != vault.journal()?.id() {
            return Err(Error::invalid("the receipt is of another journal, and so of another key store"));
        }
        let standing = match &receipt.tag {
            Some(tag) => self.subject_standing(tag, receipt).await?,
            None => self.tenant_standing().await?,
        };
        let done = match standing {
            ErasureStanding::Holds(done) => done,
            ErasureStanding::Undone(reason) => return Ok(ErasureStatus::Undone { reason }),
        };
        let now = vault.clocks.agreed_if_any(vault).await?;
        Ok(Masters::ask(vault).await?.status(done, receipt.effective_by, now))
    }

    async fn subject_standing(&self, tag: &Tag, receipt: &ErasureReceipt) -> Result<ErasureStanding> {
        use ErasureStanding::{Holds, Undone};
        // The slot before the journal: the journal must have what the slot names.
        let state = self.state_now().await?;
        // Keys of an erased tenant are gone whatever its subjects' slots say.
        let tenant_is_erased = state.as_ref().is_some_and(|state| state.erased_at.is_some());
        let slot = match state.filter(|_| !tenant_is_erased) {
            Some(_) => self.read_slot(tag).await?.slot,
            None => None,
        };
        let history = self.history(tag, slot.as_ref().map_or(0, |slot| slot.told)).await?;
        let Some(done) = history.done else { return Ok(Undone(UndoneReason::NotJournaled)) };
        let is_recorded = receipt.purposes.iter().all(|p| history.done_line(&p.purpose) >= p.line);
        if !is_recorded || (receipt.whole && !history.whole_done) {
            return Ok(Undone(UndoneReason::NotJournaled));
        }
        if tenant_is_erased {
            return Ok(Holds(done));
        }
        let Some(slot) = slot else { return Ok(Undone(UndoneReason::TombstoneMissing)) };
        let named = receipt.purposes.iter().map(|erased| (&erased.purpose, erased.line));
        if receipt.whole && !slot.has_destroyed_whole(named) {
            let lives = slot.purposes.iter().any(crate::keys::slot::PurposeSlot::is_live);
            return Ok(Undone(if lives { UndoneReason::KeysAreBack } else { UndoneReason::TombstoneMissing }));
        }
        for erased in &receipt.purposes {
            if slot.has_destroyed(&erased.purpose, erased.line) {
                continue;
            }
            let live = slot.purpose(&erased.purpose).is_some_and(crate::keys::slot::PurposeSlot::is_live);
            return Ok(Undone(if live { UndoneReason::KeysAreBack } else { UndoneReason::TombstoneMissing }));
        }
        Ok(Holds(done))
    }

    /// The tenant as it is in the store, not as this process has read it; none if it is not there.
    async fn state_now(&self) -> Result<Option<Arc<TenantState>>> {
        self.cached.forget();
        let tenant = SlotId::Tenant(self.id().clone());
        match self.vault.0.load(&[tenant]).await?.as_slice() {
            [Loaded::Absent] => Ok(None),
            _ => self.cached.any_state(&self.vault.0).await,
        }
    }

    async fn tenant_standing(&self) -> Result<ErasureStanding> {
        use ErasureStanding::{Holds, Undone};
        let tenant_history = self.cached.history(&self.vault.0).await?;
        let Some(done) = tenant_history.done else { return Ok(Undone(UndoneReason::NotJournaled)) };
        match self.state_now().await? {
            Some(state) if state.erased_at.is_none() => Ok(Undone(UndoneReason::KeysAreBack)),
            // Nothing of a tenant is nothing to open; the journal keeps it from being made anew.
            _ => Ok(Holds(done)),
        }
    }
}

const NO_ANSWER: Error = Error::Bug("an erasure without an answer");

/// Whether an erasure still holds.
enum ErasureStanding {
    Holds(Done),
    Undone(UndoneReason),
}

fn erased_purpose(slot: &SubjectSlot, line: &ErasedLine) -> Option<ErasedPurpose> {
    let ErasedLine { purpose, line } = line.clone();
    let (erased_at, key_ids) = match slot.purpose(&purpose) {
        Some(erased) => (erased.erased_at?, erased.destroyed.clone()),
        None => (slot.whole_at?, Vec::new()), // with the subject as a whole: it has no key that the slot knew
    };
    Some(ErasedPurpose { purpose, line, erased_at, key_ids })
}
