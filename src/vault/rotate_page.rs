//! Rotation of everybody's data keys, page by page.

use futures_util::stream::{self, StreamExt as _};

use super::rotate::{SlotRotation, is_pending};
use super::slots::is_of_one_slot;
use super::{Vault, WRITES_AT_ONCE};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::TenantId;
use crate::keys::slot::{KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{SlotId, StoredSlot};
use crate::store::{Filter, Scan};

/// Whose data keys [`Vault::rotate_page`] rotates, and how.
#[derive(Clone, Debug)]
#[must_use]
pub struct Rotation {
    made_before: Timestamp,
    tenant: Option<TenantId>,
    now: bool,
    only_count: bool,
}

impl Rotation {
    /// Of every subject with a data key that was made before this moment and has no newer one: keys that get too old, or all
    /// that there were when something leaked. Keep the moment, to go on after a crash: who was rotated since is not rotated
    /// again. A key that was made, or is sealed under, later than any clock that is right can say counts as older than any
    /// moment: a host whose clock is ahead made it.
    pub fn of_keys_before(moment: Timestamp) -> Self {
        Self { made_before: moment, tenant: None, now: false, only_count: false }
    }

    /// Only of this tenant.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// Seal under the new keys at once, as after a leak: [`Tenant::rotate_now`](crate::Tenant::rotate_now) says what that
    /// means for other processes.
    pub fn now(mut self) -> Self {
        self.now = true;
        self
    }

    /// Rotates nothing: who would be is counted.
    pub fn only_count(mut self) -> Self {
        self.only_count = true;
        self
    }

    fn is_due(&self, purpose: &PurposeSlot, horizon: Timestamp) -> bool {
        let is_due = |newest: &KeyVersion| newest.created_at < self.made_before || newest.is_absurd(horizon);
        purpose.versions.last().is_some_and(is_due)
    }
}

/// What [`Vault::rotate_page`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RotatePage {
    /// Subjects that got new keys, or would.
    pub rotated: u64,
    /// Subjects whose keys are as old and stay, because an erasure is scheduled or under way, or a sweep closed them: nothing is
    /// sealed for them. If that is called off, rotate again.
    pub unreadable: u64,
    /// From when on the last of the new keys is sealed under, of those too that waited for their time already; none if there
    /// is none. What is resealed before that stays under an older key.
    pub seal_from: Option<Timestamp>,
    /// Slots that could not be dealt with, with the reason: damaged ones, and those that have no room for another version
    /// ([`Vault::retire_versions_page`] makes some). They hold no other slot up.
    pub failed: Vec<(SlotId, Error)>,
    /// Where the next page begins; none where this was the last.
    pub next: Option<SlotId>,
}

/// What became of one slot of a page.
enum PageSlot {
    /// Erased, or with newer keys, or no subject.
    NotDue,
    Unreadable,
    /// Its new key waits for its time already.
    Waits(Timestamp),
    Rotated(Option<Timestamp>),
}

impl Vault {
    /// Gives the subjects of at most `limit` slots (1 to 1000) new data keys, as [`rotate`](crate::Tenant::rotate) does, if
    /// `rotation` says that theirs are to be. Begin with `None`, go on with [`RotatePage::next`] until there is none. What
    /// was sealed before opens as it did, until it is resealed and the old versions are retired.
    ///
    /// Safe beside everything else, other rotations included: each slot changes by compare-and-swap. A key that waits for its
    /// time already is not followed by another, unless [`Rotation::now`] is said.
    ///
    /// ```
    /// # use fieldseal::clock::{Clock as _, SystemClock};
    /// # use fieldseal::vault::Rotation;
    /// # async fn example(vault: &fieldseal::Vault) -> fieldseal::Result<()> {
    /// let rotation = Rotation::of_keys_before(SystemClock::new().wall());
    /// let mut next = None;
    /// loop {
    ///     let page = vault.rotate_page(&rotation, next.as_ref(), 100).await?;
    ///     next = page.next;
    ///     if next.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of the ports: subjects that were rotated before stay so. What is wrong with one slot is listed in
    /// [`RotatePage::failed`].
    ///
    /// # Cancel safety
    /// Can be called again with the same rotation and cursor.
    pub async fn rotate_page(&self, rotation: &Rotation, from: Option<&SlotId>, limit: usize) -> Result<RotatePage> {
        self.0.check().await?;
        let mut scan = Scan::new(Filter::All).limit(limit);
        if let Some(tenant) = &rotation.tenant {
            scan = scan.tenant(tenant.clone());
        }
        if let Some(from) = from {
            scan = scan.starting_after(from.clone());
        }
        let page = self.0.store.scan(&scan).await?;
        let failed: Vec<_> = page.failed().collect();
        let rotate =
            |stored: StoredSlot| async move { (stored.id().clone(), self.rotate_stored(&stored, rotation).await) };
        let rotations: Vec<_> = page.slots.into_iter().map(rotate).collect();
        let rotated: Vec<_> = stream::iter(rotations).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut done = RotatePage { rotated: 0, unreadable: 0, seal_from: None, failed, next: page.next };
        for (id, found) in rotated {
            match found {
                Ok(PageSlot::Rotated(from)) => {
                    done.rotated += 1;
                    done.seal_from = done.seal_from.max(from);
                }
                Ok(PageSlot::Waits(from)) => done.seal_from = done.seal_from.max(Some(from)),
                Ok(PageSlot::Unreadable) => done.unreadable += 1,
                Err(Error::SubjectClosed { .. }) => done.unreadable += 1, // meanwhile
                // Erased meanwhile.
                Ok(PageSlot::NotDue) | Err(Error::SubjectErased { .. } | Error::SubjectUnknown) => {}
                Err(e) if is_of_one_slot(&e) => done.failed.push((id, e)),
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    async fn rotate_stored(&self, stored: &StoredSlot, rotation: &Rotation) -> Result<PageSlot> {
        let SlotId::Subject(tenant, tag) = stored.id() else { return Ok(PageSlot::NotDue) };
        let tenant = self.tenant(tenant);
        let state = tenant.cached.any_state(&self.0).await?.ok_or(Error::SubjectUnknown)?;
        let slot = SubjectSlot::open(stored, &state.root)?;
        let now = self.0.clock.wall();
        let horizon = self.0.horizon(now);
        let is_due = |purpose: &PurposeSlot| rotation.is_due(purpose, horizon);
        if state.erased_at.is_some() || !slot.purposes.iter().any(is_due) {
            return Ok(PageSlot::NotDue);
        }
        if slot.closed().is_some() {
            return Ok(PageSlot::Unreadable);
        }
        if rotation.only_count {
            let rotates =
                |purpose: &PurposeSlot| is_due(purpose) && (rotation.now || !is_pending(purpose, now, horizon));
            return Ok(if slot.purposes.iter().any(rotates) { PageSlot::Rotated(None) } else { PageSlot::NotDue });
        }
        let rotation = match rotation.now {
            true => {
                let rotated = tenant.rotate_slot_now(tag, is_due).await?;
                SlotRotation { rotated, seal_from: self.0.clock.wall() }
            }
            false => tenant.rotate_slot(tag, is_due).await?,
        };
        Ok(match rotation {
            SlotRotation { rotated: true, seal_from } => PageSlot::Rotated(Some(seal_from)),
            SlotRotation { rotated: false, seal_from } => PageSlot::Waits(seal_from),
        })
    }
}
