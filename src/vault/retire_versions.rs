//! Retiring versions of data keys that nothing is sealed under any more: a subject's slot has room for 64 of a purpose.
//!
//! It is no erasure and claims none: no entry in the journal, no receipt. A backup of the key store that is restored brings a
//! retired version back, and nothing is the worse for it. What names a retired version all the same can't be opened again.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::slots::{Edit, is_of_one_slot};
use super::{Vault, WRITES_AT_ONCE, root};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::error::{Error, Result};
use crate::keys::slot::{MAX_DESTROYED, PurposeSlot, SubjectSlot};
use crate::keys::{SlotId, StoredSlot};
use crate::store::{Filter, Scan};

/// What nothing named, as of a moment: the word on which key versions are retired. A
/// [`Census`](crate::jobs::Census::unnamed) gives it.
#[derive(Clone)]
#[must_use]
pub struct Unnamed {
    as_of: Timestamp,
    grace: Duration,
    named: BTreeSet<KeyId>,
    only_count: bool,
}

impl Unnamed {
    /// From `as_of` on it was looked at every place that holds sealed values, and of the keys that are not the only ones of
    /// their subject and purpose `named` were found there. Versions that stopped being current later than `grace` (and the
    /// store's `max_age`) before `as_of` are not to be retired: what was sealed under them may have been on its way. A moment that
    /// is still to come is refused.
    pub fn new(as_of: Timestamp, grace: Duration, named: impl IntoIterator<Item = KeyId>) -> Self {
        Self { as_of, grace, named: named.into_iter().collect(), only_count: false }
    }

    /// Retires nothing: what would be is counted.
    pub fn only_count(mut self) -> Self {
        self.only_count = true;
        self
    }
}

/// The number of keys alone.
impl fmt::Debug for Unnamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unnamed").field("as_of", &self.as_of).field("named", &self.named.len()).finish_non_exhaustive()
    }
}

/// What [`Vault::retire_versions_page`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RetireVersionsPage {
    /// Versions that were destroyed in the key store, or would be.
    pub versions: u64,
    /// Subjects that had one.
    pub subjects: u64,
    /// Slots that could not be dealt with, with the reason. They hold no other slot up.
    pub failed: Vec<(SlotId, Error)>,
    /// Where the next page begins; none where this was the last.
    pub next: Option<SlotId>,
}

impl Vault {
    /// Destroys, in at most `limit` slots (1 to 1000), the versions of data keys that nothing names and that stopped being
    /// current long enough ago. The current version stays, one that waits for its time, and every one between. Begin with
    /// `None`, go on with [`RetireVersionsPage::next`] until there is none.
    ///
    /// The id of a retired key stays in the slot, and in the receipt of a later erasure.
    ///
    /// # Errors
    /// [`Error::ClocksDisagree`]; [`Error::InvalidInput`] if the word is of a moment to come, by the clocks that agree: who gave it
    /// has a clock that is ahead, and looked longer ago than it says. Those of the ports: what was retired before stays so. What is
    /// wrong with one slot is listed in [`RetireVersionsPage::failed`].
    ///
    /// # Cancel safety
    /// Can be called again with the same cursor.
    ///
    /// # Security
    /// What is sealed under a retired version is lost: see [`Census::unnamed`](crate::jobs::Census::unnamed). The wrapped key
    /// is gone from the slot; what an engine and its backups keep of it ends with the epoch, as after an erasure.
    pub async fn retire_versions_page(
        &self,
        unnamed: &Unnamed,
        from: Option<&SlotId>,
        limit: usize,
    ) -> Result<RetireVersionsPage> {
        self.0.check().await?;
        // How long others may seal under what they read is the store's to say, and may be raised.
        root::reload(&self.0).await?;
        let settled = self.0.longest_age().saturating_add(unnamed.grace);
        let now = self.0.clocks.agreed(&self.0).await?;
        if self.0.clocks.is_absurd(unnamed.as_of, now, Duration::ZERO) {
            return Err(Error::invalid("it was counted by a clock that is ahead, so nobody knows when: count anew"));
        }
        let mut scan = Scan::new(Filter::All).limit(limit);
        if let Some(from) = from {
            scan = scan.starting_after(from.clone());
        }
        let page = self.0.store.scan(&scan).await?;
        let failed: Vec<_> = page.failed().collect();
        let retire = |stored: StoredSlot| async move {
            (stored.id().clone(), self.retire_versions(&stored, unnamed, settled).await)
        };
        let retirements: Vec<_> = page.slots.into_iter().map(retire).collect();
        let retired: Vec<_> = stream::iter(retirements).buffer_unordered(WRITES_AT_ONCE).collect().await;
        let mut done = RetireVersionsPage { versions: 0, subjects: 0, failed, next: page.next };
        for (id, versions) in retired {
            match versions {
                Ok(versions) => {
                    done.versions += versions;
                    done.subjects += u64::from(versions > 0);
                }
                Err(e) if is_of_one_slot(&e) => done.failed.push((id, e)),
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    async fn retire_versions(&self, stored: &StoredSlot, unnamed: &Unnamed, settled: Duration) -> Result<u64> {
        let SlotId::Subject(tenant, tag) = stored.id() else { return Ok(0) };
        let tenant = self.tenant(tenant);
        let state = tenant.cached.any_state(&self.0).await?.ok_or(Error::SubjectUnknown)?;
        let found = retire(&mut SubjectSlot::open(stored, &state.root)?, unnamed, settled);
        if found == 0 || unnamed.only_count {
            return Ok(found);
        }
        tenant.cached.state_to_write(&self.0).await?;
        let retired = tenant
            .edit_slot(tag, |slot, _| {
                let Some(mut new) = slot.cloned() else { return Ok(Edit::Keep(0)) };
                Ok(match retire(&mut new, unnamed, settled) {
                    0 => Edit::Keep(0),
                    retired => Edit::Put(new, retired),
                })
            })
            .await?;
        self.0.forget(tag);
        Ok(retired)
    }
}

/// Takes the versions out of a slot that are to be retired; gives how many.
fn retire(slot: &mut SubjectSlot, unnamed: &Unnamed, settled: Duration) -> u64 {
    slot.purposes.iter_mut().map(|purpose| retire_of(purpose, unnamed, settled)).sum()
}

fn retire_of(purpose: &mut PurposeSlot, unnamed: &Unnamed, settled: Duration) -> u64 {
    // A version stops being current when the time of a later one comes: of the first whose time comes.
    let mut superseded = None::<Timestamp>;
    let mut retired = Vec::new();
    for version in purpose.versions.iter().rev() {
        let long_ago = superseded.is_some_and(|at| at.plus(settled) <= unnamed.as_of);
        if long_ago && !unnamed.named.contains(&version.key_id) {
            retired.push(version.key_id);
        }
        superseded = version.sealed_from().into_iter().chain(superseded).min();
    }
    purpose.versions.retain(|version| !retired.contains(&version.key_id));
    purpose.destroyed.extend(retired.iter().rev());
    purpose.destroyed.drain(..purpose.destroyed.len().saturating_sub(MAX_DESTROYED));
    retired.len() as u64
}
