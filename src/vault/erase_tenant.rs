//! Erasing a tenant, with every subject that it has.

use std::collections::{BTreeMap, HashSet};

use futures_util::lock::Mutex;

use super::decide::IfRecorded;
use super::erase::ErasureRequest;
use super::masters::Masters;
use super::receipt::{ErasureReceipt, residue_of};
use super::slots::is_damage;
use super::verified::{Judged, Pages, later, left_out};
use super::{Tenant, Vault, root};
use crate::error::{Error, ProviderErrorKind, Result};
use crate::id::TenantId;
use crate::journal::history::TenantHistory;
use crate::journal::verify::Judgment;
use crate::journal::{Head, JournalEvent};
use crate::keys::slot::{Point, SubjectSlot};
use crate::keys::{SlotId, Tag};
use crate::store::{Filter, Loaded, Scan};

impl Vault {
    /// Destroys every key of a tenant but the root that authenticates its slots: none of its subjects can be read again, and
    /// the tenant is never made anew. Its subjects become tombstones.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if neither key store nor journal knows the tenant, and nothing is entered (but see
    /// [`ErasureRequest::even_if_unknown`]); [`Error::SubjectHeld`] if one of its subjects is on hold; [`Error::InvalidInput`]
    /// without a journal; those of the ports. Once the intent is journaled it is binding, as for
    /// [`Tenant::erase`](crate::Tenant::erase). That of a subject of which no tombstone can be made comes last: all others have
    /// one then, nothing of the tenant opens, and it is done once that one has, too. Where the tenant's own slot is damaged the
    /// intent is entered, and nothing can be written: put the slot back, and the next build or sweep goes on.
    ///
    /// # Cancel safety
    /// A call that is dropped may have erased, or begun to; calling again finishes it.
    pub async fn erase_tenant(&self, tenant: &TenantId, request: &ErasureRequest) -> Result<ErasureReceipt> {
        self.0.journal()?;
        self.0.check().await?;
        let tenant = self.tenant(tenant);
        tenant.intend_tenant(request).await?;
        tenant.destroy_tenant_keys().await?;
        if let Some(e) = tenant.make_tombstones().await?.into_values().next() {
            return Err(e);
        }
        let residue = self.0.scrub().await?;
        root::reload(&self.0).await?; // after the tombstone: nobody else has keys for longer than this says
        tenant.record_tenant_done(IfRecorded::Skip).await?;
        let tenant_history = tenant.cached.history(&self.0).await?;
        let done = tenant_history.done.ok_or(Error::Bug("a tenant's erasure that was entered is not there"))?;
        let erased_at = match tenant.cached.any_state(&self.0).await? {
            Some(state) => state.erased_at.unwrap_or(self.0.clock.wall()),
            None => done.at,
        };
        let masters = Masters::ask(&self.0).await?.until(done.until);
        Ok(ErasureReceipt {
            journal: self.0.journal()?.id(),
            tenant: tenant.id().clone(),
            tag: None,
            whole: true,
            was_known: tenant_history.known,
            purposes: Vec::new(),
            key_ids_complete: true,
            reference: request.filed_under().map(str::to_owned),
            erased_at,
            effective_by: done.at.max(erased_at).plus(self.0.longest_age()),
            residue: residue_of(&residue),
            masters,
            index_keys: Vec::new(),
        })
    }
}

impl Tenant {
    /// Appends the intent at a head up to which no subject of the tenant is on hold.
    async fn intend_tenant(&self, request: &ErasureRequest) -> Result<()> {
        let vault = &self.vault.0;
        if self.cached.history(vault).await?.intended.is_some() {
            return Ok(());
        }
        let about = SlotId::Tenant(self.id().clone());
        // The slots before the journal: it must have what they name.
        let (applied, told_by_slots) = (root::reload(vault).await?.1.applied, self.told_by_slots().await?);
        let is_stored = vault.load(std::slice::from_ref(&about)).await?.iter().any(|found| *found != Loaded::Absent);
        let (journal, told) = (vault.journal()?, self.cached.told());
        // What was read stays read when somebody else moves the head: this is the whole journal.
        let Point { position, hash } = applied;
        let pages = journal.pages_from(Head::EMPTY).past(Head::from_parts(position, hash));
        let holds = &Mutex::new(Holds { pages, held: HashSet::new(), told_by_slots });
        let intended = journal.decide(&about, told, &vault.clock, |head, said| {
            Box::pin(async move {
                let tenant_history = TenantHistory::of(&said);
                if tenant_history.intended.is_some() {
                    return Ok((None, ()));
                }
                let mut holds = holds.lock().await;
                holds.read_on(self.id(), &head).await?;
                if !holds.held.is_empty() {
                    return Err(Error::SubjectHeld);
                }
                let known = is_stored || tenant_history.last > 0;
                if !known && !request.is_even_if_unknown() {
                    return Err(Error::SubjectUnknown);
                }
                Ok((Some(JournalEvent::TenantErasureIntended { known }), ()))
            })
        });
        intended.await.map(drop)
    }

    /// The positions of the journal entries that the slots of the tenant's subjects name. About one whose slot is damaged, and about
    /// all where the tenant's is, the journal alone decides.
    ///
    /// # Errors
    /// That of a slot of a later version: what it says of a hold is not for this one to pass over.
    async fn told_by_slots(&self) -> Result<BTreeMap<Tag, u64>> {
        let (vault, mut told) = (&self.vault.0, BTreeMap::new());
        self.cached.forget(); // and share no read that somebody else has under way, and may have abandoned
        let state = match self.cached.any_state(vault).await {
            Err(e) if is_damaged_root(&e) => return Ok(told),
            state => state?,
        };
        let Some(state) = state else { return Ok(told) };
        let mut scan = Scan::new(Filter::All).tenant(self.id().clone());
        loop {
            let page = vault.store.scan(&scan).await?;
            for stored in &page.slots {
                let SlotId::Subject(_, tag) = stored.id() else { continue };
                match SubjectSlot::open(stored, &state.root) {
                    Ok(slot) if slot.told > 0 => drop(told.insert(*tag, slot.told)),
                    Err(e) if is_damage(&e) => {}
                    opened => drop(opened?),
                }
            }
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(told),
            }
        }
    }
}

/// Whether an error says that a tenant's slot is damaged. Where the wrapped root is, it is the provider that refuses it: the MAC
/// can't be checked before.
fn is_damaged_root(e: &Error) -> bool {
    let is_refused = |kind| matches!(kind, ProviderErrorKind::Authentication | ProviderErrorKind::Corrupt);
    is_damage(e) || matches!(e, Error::Provider(e) if is_refused(e.kind()))
}

/// Which subjects of a tenant are on hold, as far as the journal was read.
struct Holds<'a> {
    pages: Pages<'a>,
    held: HashSet<Tag>,
    /// The entries that its slots name: a hold may be among them.
    told_by_slots: BTreeMap<Tag, u64>,
}

impl Holds<'_> {
    /// # Errors
    /// Where it can't be told whether one of its subjects is on hold: those of a later version, or of a missing entry;
    /// [`Error::JournalTruncated`].
    async fn read_on(&mut self, tenant: &TenantId, head: &Head) -> Result<()> {
        while let Some(page) = self.pages.next(head).await? {
            for Judged { entry, judgment, .. } in page.iter().filter(|judged| judged.entry.tenant() == Some(tenant)) {
                match judgment {
                    Judgment::Later => return Err(later(entry.about())),
                    Judgment::LeftOut => return Err(left_out(entry.about())),
                    Judgment::Attempt | Judgment::PassedOver | Judgment::Skipped => continue,
                    Judgment::Accepted => {}
                }
                match (entry.tag(), entry.event()) {
                    (Some(tag), JournalEvent::Held) => drop(self.held.insert(*tag)),
                    (Some(tag), JournalEvent::Released) => drop(self.held.remove(tag)),
                    // The tags of a root that is lost stand for nobody any more.
                    (None, JournalEvent::RootLost { .. }) => self.held.clear(),
                    _ => {}
                }
            }
        }
        for (tag, told) in &self.told_by_slots {
            let about = SlotId::Subject(tenant.clone(), *tag);
            match *told {
                told if told > head.position() => return Err(Error::JournalTruncated),
                told if told > self.pages.reading().last(&about) => return Err(left_out(&about)),
                _ => {}
            }
        }
        Ok(())
    }
}
