//! Erasing a tenant, with every subject that it has.

use std::collections::HashSet;

use futures_util::lock::Mutex;

use super::decide::IfRecorded;
use super::erase::ErasureRequest;
use super::masters::Masters;
use super::receipt::{ErasureReceipt, residue_of};
use super::{JOURNAL_PAGE, Vault, root};
use crate::error::{Error, Result};
use crate::id::TenantId;
use crate::journal::history::TenantHistory;
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent};
use crate::keys::Tag;

impl Vault {
    /// Destroys every key of a tenant but the root that authenticates its slots: none of its subjects can be read again, and
    /// the tenant is never made anew. Its subjects become tombstones.
    ///
    /// # Errors
    /// [`Error::SubjectHeld`] if one of its subjects is on hold; [`Error::InvalidInput`] without a journal; those of
    /// the ports. Once the intent is journaled it is binding, as for [`Tenant::erase`](crate::Tenant::erase).
    ///
    /// # Cancel safety
    /// A call that is dropped may have erased, or begun to; calling again finishes it.
    pub async fn erase_tenant(&self, tenant: &TenantId, request: &ErasureRequest) -> Result<ErasureReceipt> {
        self.0.journal()?;
        self.0.check().await?;
        self.intend_tenant(tenant).await?;
        let tenant = self.tenant(tenant);
        tenant.destroy_tenant_keys().await?;
        tenant.make_tombstones().await?;
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

    /// Appends the intent at a head up to which no subject of the tenant is on hold.
    async fn intend_tenant(&self, tenant: &TenantId) -> Result<()> {
        let vault = &self.0;
        // What was read stays read when somebody else moves the head: this is the whole journal.
        let holds = &Mutex::new(Holds::default());
        vault
            .append_deciding(|head| {
                Box::pin(async move {
                    let journal = vault.journal()?;
                    if TenantHistory::of(&journal.read_of(Some(tenant), None, &head).await?).intended.is_some() {
                        return Ok((None, ()));
                    }
                    let mut holds = holds.lock().await;
                    holds.read_on(journal, tenant, &head).await?;
                    if !holds.held.is_empty() {
                        return Err(Error::SubjectHeld);
                    }
                    let event = JournalEvent::TenantErasureIntended;
                    Ok((Some(JournalEntry::of_tenant(vault.clock.wall(), tenant.clone(), event)), ()))
                })
            })
            .await
    }
}

/// Which subjects of a tenant are on hold, as far as the journal was read.
#[derive(Default)]
struct Holds {
    read: u64,
    held: HashSet<Tag>,
}

impl Holds {
    async fn read_on(&mut self, journal: &dyn ErasureJournal, tenant: &TenantId, head: &Head) -> Result<()> {
        while self.read < head.position() {
            let limit = usize::try_from(head.position() - self.read).unwrap_or(usize::MAX).min(JOURNAL_PAGE);
            let entries = journal.read(self.read, limit).await?;
            if entries.is_empty() {
                return Err(Error::JournalTruncated);
            }
            self.read += entries.len() as u64;
            for entry in entries.iter().filter(|entry| entry.tenant() == Some(tenant)) {
                match (entry.tag(), entry.event()) {
                    (Some(tag), JournalEvent::Held) => drop(self.held.insert(*tag)),
                    (Some(tag), JournalEvent::Released) => drop(self.held.remove(tag)),
                    // The tags of a root that is lost stand for nobody any more.
                    (None, JournalEvent::RootLost { .. }) => self.held.clear(),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
