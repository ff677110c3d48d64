//! Erasing a tenant, with every subject that it has.

use std::collections::HashSet;

use super::erase::{ErasureRequest, Masters, now};
use super::receipt::{ErasureReceipt, residue_of};
use crate::error::{Error, JournalErrorKind, Result};
use crate::id::TenantId;
use crate::journal::history::TenantHistory;
use crate::journal::{Head, JournalEntry, JournalEvent};
use crate::keys::Tag;
use crate::vault::{ATTEMPTS, Vault, root};

impl Vault {
    /// Destroys every key of a tenant but the root that authenticates its slots: none of its subjects can be read again, and
    /// the tenant is never made anew. Its subjects become tombstones.
    ///
    /// # Errors
    /// [`Error::SubjectHeld`] if a hold stands on one of its subjects; [`Error::InvalidInput`] without a journal; those of
    /// the ports. Once the intent is journalled it is binding, as for [`Tenant::erase`](crate::Tenant::erase).
    ///
    /// # Cancel safety
    /// A call that is dropped may have erased, or begun to; calling again finishes it.
    pub async fn erase_tenant(&self, tenant: &TenantId, request: &ErasureRequest) -> Result<ErasureReceipt> {
        self.0.journal()?;
        self.0.check().await?;
        self.intend_tenant(tenant).await?;
        let tenant = self.tenant(tenant);
        tenant.destroy_tenant().await?;
        let residue = self.0.store.scrub().await?;
        root::reload(&self.0).await?; // after the tombstone: nobody else has keys for longer than this says
        tenant.conclude_tenant(false).await?;
        let told = tenant.part.history(&self.0).await?;
        let done = told.done.ok_or(Error::Bug("a tenant's erasure that was entered is not there"))?;
        let erased_at = match tenant.part.any_state(&self.0).await? {
            Some(state) => state.erased_at.unwrap_or(now(&self.0)),
            None => done.at,
        };
        let masters = Masters::ask(&self.0).await?.until(done.until);
        Ok(ErasureReceipt {
            journal: self.0.journal()?.id().await?,
            tenant: tenant.id().clone(),
            tag: None,
            whole: true,
            purposes: Vec::new(),
            reference: request.filed_under().map(str::to_owned),
            erased_at,
            effective_by: done.at.max(erased_at).plus(self.0.longest_age()),
            residue: residue_of(&residue),
            masters,
        })
    }

    /// Appends the intent at a head up to which no hold stands on any subject of the tenant.
    async fn intend_tenant(&self, tenant: &TenantId) -> Result<()> {
        let journal = self.0.journal()?;
        let _turn = self.0.journal_turn.lock().await;
        let (mut at, mut held) = (Head::EMPTY, HashSet::<Tag>::new());
        for _ in 0..4 * ATTEMPTS {
            let head = journal.head().await?;
            let told = TenantHistory::of(&journal.read_of(Some(tenant), None, &head).await?);
            if told.intended.is_some() {
                return Ok(());
            }
            while at.position() < head.position() {
                let limit = usize::try_from(head.position() - at.position()).unwrap_or(usize::MAX).min(1000);
                let entries = journal.read(at.position(), limit).await?;
                if entries.is_empty() {
                    return Err(Error::JournalTruncated);
                }
                for entry in &entries {
                    at = at.after(entry);
                    match (entry.tag(), entry.event()) {
                        // Nobody can be told from the tags of a root that is lost.
                        (None, JournalEvent::RootLost { .. }) if entry.tenant() == Some(tenant) => held.clear(),
                        (Some(tag), JournalEvent::Held) if entry.tenant() == Some(tenant) => drop(held.insert(*tag)),
                        (Some(tag), JournalEvent::Released) if entry.tenant() == Some(tenant) => {
                            held.remove(tag);
                        }
                        _ => {}
                    }
                }
            }
            if !held.is_empty() {
                return Err(Error::SubjectHeld);
            }
            let entry = JournalEntry::of_tenant(now(&self.0), tenant.clone(), JournalEvent::TenantErasureIntended);
            match journal.append(&entry, &head).await {
                Err(e) if e.kind() == JournalErrorKind::Conflict => continue,
                appended => return Ok(appended.map(drop)?),
            }
        }
        Err(Error::Conflict)
    }
}
