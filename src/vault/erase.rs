//! Erasing a subject, or one purpose of it, and what can be said of that later.

use std::collections::HashSet;
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
use crate::journal::history::Done;
use crate::keys::slot::SubjectSlot;
use crate::keys::{SlotId, Tag};
use crate::store::Residue;

/// What is to be erased, and for whom.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ErasureRequest {
    purpose: Option<Purpose>,
    reference: Option<String>,
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

    pub(super) fn filed_under(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    fn extent(&self) -> Extent<'_> {
        self.purpose.as_ref().map_or(Extent::Whole, Extent::Purpose)
    }
}

impl Tenant {
    /// Destroys a subject's keys, for good: what was sealed under them can't be opened again, by anybody. Also for a subject
    /// that was never seen: then no enrollment makes it by accident.
    ///
    /// In this order: the intent is journaled, a tombstone replaces the keys, the keys that callers in this process hold end,
    /// the store is scrubbed, completion is journaled. Other processes go on with keys that they read before until the receipt's
    /// [`effective_by`](ErasureReceipt::effective_by). Erasing again finishes what crashed, and gives the receipt of what
    /// is erased already.
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
    /// # let vault = Vault::builder(keyring.clone(), MemoryStore::new()).journal(MemoryJournal::new()?).build().await?;
    /// # let customers = vault.default_tenant();
    /// customers.enroll(&17).await?;
    /// let receipt = customers.erase(&17, &ErasureRequest::new().reference("request 4711")).await?;
    /// println!("{receipt}"); // or keep it as JSON
    /// assert!(matches!(customers.keys(&17).await, Err(Error::SubjectErased { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SubjectHeld`] if it is on hold; [`Error::PurposeUnknown`] if neither subject nor vault has the purpose;
    /// [`Error::InvalidInput`] without a journal; [`Error::TenantErased`]; those of the ports. Once the intent is
    /// journaled it is binding: erase again, or let the next vault that is built finish it.
    ///
    /// # Cancel safety
    /// A call that is dropped may have erased, or begun to; calling again finishes it.
    pub async fn erase(
        &self,
        subject: &(impl HasSubject + Sync + ?Sized),
        request: &ErasureRequest,
    ) -> Result<ErasureReceipt> {
        let erased = self.erase_subjects(vec![subject.subject()?], request).await?;
        erased.into_iter().next().map_or(Err(Error::Bug("an erasure without an answer")), |(_, receipt)| receipt)
    }

    /// [`erase`](Self::erase) for many: the store is scrubbed once. One that fails affects no other; the
    /// answers are in the order asked, repeats left out.
    ///
    /// # Errors
    /// Those of [`erase`](Self::erase) that concern all of them; the others are in the answers.
    ///
    /// # Cancel safety
    /// That of [`erase`](Self::erase).
    pub async fn erase_all(
        &self,
        subjects: &[impl HasSubject + Sync],
        request: &ErasureRequest,
    ) -> Result<Vec<(SubjectId, Result<ErasureReceipt>)>> {
        let mut seen = HashSet::new();
        let subjects: Vec<SubjectId> = subjects.iter().map(HasSubject::subject).collect::<Result<_>>()?;
        self.erase_subjects(subjects.into_iter().filter(|subject| seen.insert(subject.clone())).collect(), request)
            .await
    }

    async fn erase_subjects(
        &self,
        subjects: Vec<SubjectId>,
        request: &ErasureRequest,
    ) -> Result<Vec<(SubjectId, Result<ErasureReceipt>)>> {
        self.vault.0.journal()?;
        let root = self.root_to_write().await?;
        let tagged: Vec<(SubjectId, Tag)> =
            subjects.into_iter().map(|subject| (subject.clone(), root.root.tag(self.id(), &subject))).collect();
        let destroy = |(subject, tag): (SubjectId, Tag)| async move {
            let destroyed = self.destroy(&tag, request.extent(), |_| true).await;
            let destroyed = destroyed.and_then(|d| d.ok_or(Error::Bug("an erasure that nobody asked whether it may")));
            (subject, tag, destroyed)
        };
        let futures: Vec<_> = tagged.into_iter().map(destroy).collect();
        let destroyed: Vec<_> = stream::iter(futures).buffered(WRITES_AT_ONCE).collect().await;
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

    /// The last two steps: completion is journaled, and the receipt is made.
    pub(super) async fn record_done_with_receipt(
        &self,
        tag: &Tag,
        destroyed: DestroyedKeys,
        residue: &Residue,
        masters: &Masters,
        request: &ErasureRequest,
    ) -> Result<ErasureReceipt> {
        let DestroyedKeys { lines, slot, already_recorded } = destroyed;
        if !already_recorded {
            self.record_done(tag, &lines, IfRecorded::RecordAgain).await?;
        }
        let purposes: Vec<ErasedPurpose> = lines.iter().filter_map(|line| erased_purpose(&slot, line)).collect();
        let erased_at = purposes.iter().map(|purpose| purpose.erased_at).max().unwrap_or(self.vault.0.clock.wall());
        let done = self.history(tag).await?.done.ok_or(Error::Bug("an erasure that was entered is not there"))?;
        let whole = request.purpose.is_none();
        Ok(ErasureReceipt {
            journal: self.vault.0.journal()?.id().await?,
            tenant: self.id().clone(),
            tag: Some(*tag),
            whole,
            purposes,
            reference: request.reference.clone(),
            erased_at,
            // The tombstone had landed by then: whoever read keys, read them before.
            effective_by: done.at.max(erased_at).plus(self.vault.0.longest_age()),
            residue: super::receipt::residue_of(residue),
            masters: masters.until(done.until),
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
        if receipt.journal != vault.journal()?.id().await? {
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
        Ok(Masters::ask(vault).await?.status(done, receipt.effective_by, vault.clock.wall()))
    }

    async fn subject_standing(&self, tag: &Tag, receipt: &ErasureReceipt) -> Result<ErasureStanding> {
        use ErasureStanding::{Holds, Undone};
        let history = self.history(tag).await?;
        let Some(done) = history.done else { return Ok(Undone(UndoneReason::NotJournaled)) };
        if receipt.purposes.iter().any(|p| history.done_line(&p.purpose) < p.line) {
            return Ok(Undone(UndoneReason::NotJournaled));
        }
        // Keys of an erased tenant are gone whatever its subjects' slots say.
        let Some(state) = self.state_now().await? else { return Ok(Undone(UndoneReason::TombstoneMissing)) };
        if state.erased_at.is_some() {
            return Ok(Holds(done));
        }
        let Some(slot) = self.read_slot(tag).await?.slot else { return Ok(Undone(UndoneReason::TombstoneMissing)) };
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
            [Some(_)] => self.cached.any_state(&self.vault.0).await,
            _ => Ok(None),
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

/// Whether an erasure still holds.
enum ErasureStanding {
    Holds(Done),
    Undone(UndoneReason),
}

fn erased_purpose(slot: &SubjectSlot, line: &ErasedLine) -> Option<ErasedPurpose> {
    let purpose = slot.purpose(&line.purpose)?;
    Some(ErasedPurpose {
        purpose: line.purpose.clone(),
        line: line.line,
        erased_at: purpose.erased_at?,
        key_ids: purpose.destroyed.clone(),
    })
}
