//! Rewrapping: the same keys under the current epoch, page by page.

use futures_util::stream::{self, StreamExt as _};

use super::cached_tenant::TenantChange;
use super::shard::Shard;
use super::slots::{Edit, is_of_one_slot};
use super::{Vault, WRITES_AT_ONCE, root};
use crate::error::{Error, Result};
use crate::id::TenantId;
use crate::keys::slot::SubjectSlot;
use crate::keys::{Epoch, SlotId, StoredSlot, Tag};
use crate::store::{Filter, Scan};

/// What [`Vault::rewrap_page`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RewrapPage {
    /// Slots that are in the current epoch now and were not before.
    pub moved: u64,
    /// Slots that could not be moved, with the reason: damaged ones, and those whose master key was destroyed before they
    /// left its epoch. They hold no other slot up.
    pub failed: Vec<(SlotId, Error)>,
    /// Where the next page begins; none where this was the last.
    pub next: Option<SlotId>,
}

impl Vault {
    /// Wraps the keys of at most `limit` slots (1 to 1000) anew, under the current epoch: subjects, tenants and the vault's
    /// own. Begin with `None`, go on with [`RewrapPage::next`] until there is none; keep that cursor, to go on after a
    /// crash. Beginning anew costs little: slots that are in the current epoch are not found again.
    ///
    /// Safe beside everything else, other rewraps included: each slot changes by compare-and-swap, and one that somebody
    /// else changed is read again. A tombstone holds no key and stays one.
    ///
    /// # Errors
    /// Those of the ports: slots that were moved before stay so. What is wrong with one slot is listed in
    /// [`RewrapPage::failed`].
    ///
    /// # Cancel safety
    /// Can be called again with the same cursor.
    pub async fn rewrap_page(&self, from: Option<&SlotId>, limit: usize) -> Result<RewrapPage> {
        self.rewrap_shard_page(Shard::ALL, from, limit).await
    }

    /// [`rewrap_page`](Self::rewrap_page) of one share of the slots, so that several processes can rewrap side by side: each
    /// reads pages of at most `limit` slots and moves those of its own shard.
    ///
    /// # Errors
    /// Those of [`rewrap_page`](Self::rewrap_page).
    ///
    /// # Cancel safety
    /// That of [`rewrap_page`](Self::rewrap_page).
    pub async fn rewrap_shard_page(&self, shard: Shard, from: Option<&SlotId>, limit: usize) -> Result<RewrapPage> {
        self.0.check().await?;
        let current = root::reload(&self.0).await?.1.current()?.epoch;
        let mut scan = Scan::new(Filter::EpochBelow(current)).limit(limit);
        if let Some(from) = from {
            scan = scan.starting_after(from.clone());
        }
        let page = self.0.store.scan(&scan).await?;
        let damaged = page.failed().filter(|(id, _)| shard.has(&id.to_bytes()));
        let failed: Vec<_> = damaged.collect();
        let rewrap = |stored: StoredSlot| async move { (stored.id().clone(), self.rewrap(stored, current).await) };
        let own = page.slots.into_iter().filter(|stored| shard.has(&stored.id().to_bytes()));
        let rewraps = own.map(rewrap).collect::<Vec<_>>();
        let rewrapped: Vec<_> = stream::iter(rewraps).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut done = RewrapPage { moved: 0, failed, next: page.next };
        for (id, moved) in rewrapped {
            match moved {
                Ok(moved) => done.moved += u64::from(moved),
                Err(e) if is_of_one_slot(&e) => done.failed.push((id, e)),
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    async fn rewrap(&self, stored: StoredSlot, current: Epoch) -> Result<bool> {
        match stored.id().clone() {
            // It moves with the epoch itself.
            SlotId::Vault => Ok(false),
            SlotId::Tenant(tenant) => self.rewrap_tenant(&tenant).await,
            SlotId::Subject(tenant, tag) => self.rewrap_subject(&tenant, &tag, &stored, current).await,
        }
    }

    /// Moves a tenant's root and index keys to the current epoch, and gives it a wrapping key there.
    pub(super) async fn rewrap_tenant(&self, tenant: &TenantId) -> Result<bool> {
        let tenant = self.0.cached_tenant(tenant);
        let moved = tenant.change(&self.0, TenantChange::Move).await?;
        tenant.forget();
        Ok(moved)
    }

    async fn rewrap_subject(&self, tenant: &TenantId, tag: &Tag, stored: &StoredSlot, current: Epoch) -> Result<bool> {
        let tenant = self.tenant(tenant);
        tenant.check_clear(tag)?;
        let mut state = tenant.cached.any_state(&self.0).await?.ok_or(Error::SubjectUnknown)?;
        if state.erased_at.is_some() {
            return tenant.make_tombstone(tag).await.map(|()| true);
        }
        if state.epoch < current || state.current_key().is_none() {
            tenant.cached.forget();
            state = tenant.cached.state_to_write(&self.0).await?;
        }
        // As the scan read it; only if somebody changed it since it is read again.
        let mut slot = SubjectSlot::open(stored, &state.root)?;
        if slot.has_undated() {
            root::reload(&self.0).await?;
        }
        let wrapper = tenant.wrapper(tag, &state);
        slot.date_undated(wrapper.usable_from);
        if wrapper.move_to_current(&mut slot)?
            && tenant.put_slot(&slot.seal(tenant.id(), *tag, &state.root)?, Some(stored)).await?
        {
            return Ok(true);
        }
        tenant
            .edit_slot(tag, |slot, wrapper| {
                let Some(mut new) = slot.cloned() else { return Ok(Edit::Keep(false)) };
                Ok(if wrapper.move_to_current(&mut new)? { Edit::Put(new, true) } else { Edit::Keep(false) })
            })
            .await
    }
}
