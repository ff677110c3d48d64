//! Rotation of data keys: a new version that every process holds before anybody seals under it.

use super::Tenant;
use super::slots::{Edit, Wrapper};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::HasSubject;
use crate::keys::Tag;
use crate::keys::slot::{Date, PurposeSlot, SubjectSlot};

impl Tenant {
    /// Gives a subject a new data key for each of its purposes, and tells from when on it is sealed under: in `max_age`,
    /// when every process holds it. What was sealed before opens as it did; `needs_reseal` tells it from now on.
    ///
    /// While a new key waits for its time there is no second one: calling again tells the same moment. One that a host whose clock
    /// is ahead dated later than that is not waited for.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`], [`Error::SubjectErased`], [`Error::SubjectClosed`] if its erasure is scheduled or a sweep closed
    /// it; [`Error::InvalidInput`] if a purpose has 64 versions already, or for a kind that isn't declared;
    /// [`Error::WrongTenant`] for keys of another tenant; [`Error::Conflict`] if others kept changing the subject; those of the
    /// ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have made the new key; calling again goes on with it.
    pub async fn rotate(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<Timestamp> {
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        Ok(self.rotate_slot(&tag, |_| true).await?.seal_from)
    }

    /// [`rotate`](Self::rotate) without the wait: a new key is sealed under at once, as after a leak. Callers in this process
    /// that hold the subject's keys must ask for them again ([`Error::KeysExpired`]); other processes meet envelopes
    /// whose key they don't hold ([`Error::KeyNotHeld`]), and refresh. A key that waits for its time is passed over: whoever
    /// had the subject's keys has that one too. Calling again makes another.
    ///
    /// # Errors
    /// Those of [`rotate`](Self::rotate).
    ///
    /// # Cancel safety
    /// A call that is dropped may have rotated.
    pub async fn rotate_now(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<()> {
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        self.rotate_slot_now(&tag, |_| true).await.map(drop)
    }

    /// Gives each purpose that is due a new version, and sets from when on it is sealed under.
    pub(super) async fn rotate_slot(
        &self,
        tag: &Tag,
        is_due: impl Fn(&PurposeSlot) -> bool + Sync,
    ) -> Result<SlotRotation> {
        self.cached.state_to_write(&self.vault.0).await?;
        // Undated at first: its date counts from when the key has landed, and only a second write can know that.
        let rotated = self
            .edit_slot(tag, |slot, wrapper| {
                let is_due =
                    |purpose: &PurposeSlot| is_due(purpose) && !is_pending(purpose, wrapper.now, wrapper.horizon);
                with_new_versions(slot, wrapper, Date::Undated, is_due)
            })
            .await?;
        let seal_from = self
            .edit_slot(tag, |slot, wrapper| {
                let live = rotatable(slot)?.purposes.iter().filter(|p| p.is_live());
                Ok(Edit::Keep(live.filter_map(newest).max().unwrap_or(wrapper.now)))
            })
            .await?;
        self.vault.0.forget(tag);
        Ok(SlotRotation { rotated, seal_from })
    }

    /// Gives each purpose that is due a new version that is sealed under at once, and ends the issued keys. True if any was.
    pub(super) async fn rotate_slot_now(
        &self,
        tag: &Tag,
        is_due: impl Fn(&PurposeSlot) -> bool + Sync,
    ) -> Result<bool> {
        self.cached.state_to_write(&self.vault.0).await?;
        let any = self.edit_slot(tag, |slot, wrapper| with_new_versions(slot, wrapper, Date::AtOnce, &is_due)).await?;
        self.revoke_keys(tag, None);
        Ok(any)
    }
}

/// What a rotation made of a subject's slot.
pub(super) struct SlotRotation {
    /// Whether any purpose got a new version.
    pub(super) rotated: bool,
    /// From when on the newest version of the subject is sealed under.
    pub(super) seal_from: Timestamp,
}

/// A slot with a new version for each live purpose that is due; as it is if none is.
fn with_new_versions(
    slot: Option<&SubjectSlot>,
    wrapper: &Wrapper<'_>,
    seal_from: Date,
    is_due: impl Fn(&PurposeSlot) -> bool,
) -> Result<Edit<bool>> {
    let mut new = rotatable(slot)?.clone();
    wrapper.move_to_current(&mut new)?;
    let mut any = false;
    for purpose in new.purposes.iter_mut().filter(|p| p.is_live() && is_due(p)) {
        add_version(purpose, wrapper, seal_from)?;
        any = true;
    }
    Ok(if any { Edit::Put(new, true) } else { Edit::Keep(false) })
}

fn rotatable(slot: Option<&SubjectSlot>) -> Result<&SubjectSlot> {
    let slot = slot.ok_or(Error::SubjectUnknown)?;
    match (slot.erased_at(), slot.closed()) {
        (Some(at), _) => Err(Error::SubjectErased { at }),
        (None, Some(due)) => Err(Error::SubjectClosed { due }),
        // Also where its period has ended: whoever prolongs it must not be left under a key that leaked.
        (None, None) => Ok(slot),
    }
}

/// Whether the newest version waits for its time. One of a time that no clock which is right can have given waits for nothing.
pub(super) fn is_pending(purpose: &PurposeSlot, now: Timestamp, horizon: Timestamp) -> bool {
    purpose.versions.last().is_some_and(|last| !last.seal_from.has_come(now) && !last.is_absurd(horizon))
}

fn newest(purpose: &PurposeSlot) -> Option<Timestamp> {
    purpose.versions.last()?.sealed_from()
}

fn add_version(purpose: &mut PurposeSlot, wrapper: &Wrapper<'_>, seal_from: Date) -> Result<()> {
    let number = purpose.versions.last().map_or(0, |last| last.number).saturating_add(1);
    purpose.versions.push(wrapper.new_version(&purpose.name, purpose.line, number, seal_from)?);
    Ok(())
}
