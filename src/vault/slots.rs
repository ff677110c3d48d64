//! Changing one subject's slot by compare-and-swap: [`Tenant::edit_slot`], and [`Wrapper`], which wraps keys for it.

use std::sync::Arc;

use super::cached_tenant::TenantState;
use super::{ATTEMPTS, Tenant, root};
use crate::clock::Timestamp;
use crate::crypto::Suite;
use crate::error::{Error, ProviderErrorKind, Result, Retry, StoreErrorKind};
use crate::id::{Purpose, TenantId};
use crate::keys::slot::{Date, KeyVersion, SubjectSlot};
use crate::keys::{DataKeyPlace, KeyMaterial, SlotId, StoredSlot, Tag, UsableKey, rewrap_data_key, wrap_data_key};
use crate::store::Expected;

/// A subject's slot as it was read.
pub(super) struct ReadSlot {
    pub(super) state: Arc<TenantState>,
    pub(super) stored: Option<StoredSlot>,
    pub(super) slot: Option<SubjectSlot>,
}

/// What is to become of a slot.
pub(super) enum Edit<T> {
    /// It stays as it is.
    Keep(T),
    /// It becomes this.
    Put(SubjectSlot, T),
}

impl ReadSlot {
    /// The position of the last journal entry about the subject that the slot names; 0 for none.
    pub(super) fn told(&self) -> u64 {
        self.slot.as_ref().map_or(0, |slot| slot.told)
    }
}

impl Tenant {
    /// Reads a subject's slot, and authenticates it.
    ///
    /// # Errors
    /// Among others that of a subject that can't be taken in: nothing is decided about it, and nothing becomes of its slot.
    pub(super) async fn read_slot(&self, tag: &Tag) -> Result<ReadSlot> {
        let vault = &self.vault.0;
        self.check_clear(tag)?;
        let state = self.cached.any_state(vault).await?.ok_or(Error::SubjectUnknown)?;
        let stored = vault.load(&[self.slot_id(tag)]).await?.into_iter().next().flatten();
        let slot = stored.as_ref().map(|stored| SubjectSlot::open(stored, &state.root)).transpose()?;
        Ok(ReadSlot { state, stored, slot })
    }

    /// Changes a subject's slot, as often as others change it meanwhile. `edit` sees it as it was read, but for versions that
    /// are undated: they have landed, so they get a date, even if `edit` keeps the slot. A slot that is written
    /// moves to the current epoch with every key; if the provider refuses a wrapping key that this takes, it stays in its
    /// own, which needs none: a tenant that revoked its master key can still be held, closed, and erased by purpose.
    pub(super) async fn edit_slot<T: Send>(
        &self,
        tag: &Tag,
        mut edit: impl FnMut(Option<&SubjectSlot>, &Wrapper<'_>) -> Result<Edit<T>> + Send,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let ReadSlot { state, stored, mut slot } = self.read_slot(tag).await?;
            if slot.as_ref().is_some_and(SubjectSlot::has_undated) {
                // How long others may use what they read before the key landed is the store's to say, and may be raised.
                root::reload(&self.vault.0).await?;
            }
            let wrapper = self.wrapper(tag, &state);
            let dated = slot.as_mut().is_some_and(|slot| slot.date_undated(wrapper.usable_from));
            let (mut new, answer) = match (edit(slot.as_ref(), &wrapper), slot) {
                (Ok(Edit::Put(new, answer)), _) => (new, answer),
                (Ok(Edit::Keep(answer)), Some(read)) if dated => (read, answer),
                (Ok(Edit::Keep(answer)), _) => return Ok(answer),
                (Err(Error::Conflict), _) => {
                    if !state.reaches(state.epoch) {
                        self.cached.state_to_write(&self.vault.0).await?;
                    }
                    self.cached.forget();
                    continue;
                }
                (Err(e), _) => return Err(e),
            };
            let moved = match state.current_key() {
                None if new.epoch.is_some_and(|own| own != state.epoch) => {
                    match self.cached.state_to_write(&self.vault.0).await {
                        Ok(_) => continue,
                        Err(e) => Err(e),
                    }
                }
                _ => wrapper.move_to_current(&mut new),
            };
            let stays = match moved {
                Err(Error::Conflict) => {
                    self.cached.forget();
                    continue;
                }
                Err(Error::Provider(e)) => Some(e),
                moved => moved.map(|_| None)?,
            };
            match (self.try_put(&new.seal(self.id(), *tag, &state.root)?, stored.as_ref()).await?, stays) {
                (Put::Landed, _) => return Ok(answer),
                (Put::BelowFloor, Some(refused)) => return Err(refused.into()), // it must move, and can't
                _ => {}
            }
        }
        Err(Error::Conflict)
    }

    /// Puts a slot over what was read. False if somebody else was faster: read again.
    pub(super) async fn put_slot(&self, new: &StoredSlot, old: Option<&StoredSlot>) -> Result<bool> {
        Ok(matches!(self.try_put(new, old).await?, Put::Landed))
    }

    async fn try_put(&self, new: &StoredSlot, old: Option<&StoredSlot>) -> Result<Put> {
        let vault = &self.vault.0;
        let expected = old.map_or(Expected::Absent, |old| Expected::Revision(old.revision()));
        match vault.store.put(new, expected).await {
            Ok(()) => Ok(Put::Landed),
            Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(Put::Lost),
            Err(e) if e.kind() == StoreErrorKind::BelowFloor => {
                self.cached.forget(); // the epoch is retired: read which one is current
                Ok(Put::BelowFloor)
            }
            // Whether it landed is not known: look.
            Err(e) if e.retry() == Retry::Later => match vault.load(std::slice::from_ref(new.id())).await.as_deref() {
                Ok([Some(found)]) if found.revision() == new.revision() => Ok(Put::Landed),
                _ => Err(e.into()),
            },
            Err(e) => Err(e.into()),
        }
    }

    /// That a subject, and its tenant, can be taken in here.
    pub(super) fn check_clear(&self, tag: &Tag) -> Result<()> {
        self.cached.check_clear(&self.vault.0)?;
        self.vault.0.unclear.check(|| self.slot_id(tag))
    }

    pub(super) fn slot_id(&self, tag: &Tag) -> SlotId {
        SlotId::Subject(self.id().clone(), *tag)
    }

    pub(super) fn wrapper<'a>(&'a self, tag: &'a Tag, state: &'a TenantState) -> Wrapper<'a> {
        let vault = &self.vault.0;
        let (suite, now) = (vault.suite, vault.clock.wall());
        Wrapper { tenant: self.id(), tag, state, suite, now, usable_from: now.plus(vault.longest_age()) }
    }
}

/// What became of a slot that was put.
enum Put {
    Landed,
    /// Somebody else was faster.
    Lost,
    /// Its epoch has ended.
    BelowFloor,
}

/// Whether an error is about the one slot that was worked on, so that others can be worked on all the same.
pub(crate) fn is_of_one_slot(e: &Error) -> bool {
    match e {
        Error::Store(e) => matches!(e.kind(), StoreErrorKind::Corrupt | StoreErrorKind::NewerSchema),
        // The key of one tenant, perhaps: it may have a master key of its own.
        Error::Provider(e) => {
            e.is_of_one_tenant() || (e.retry() == Retry::Never && e.kind() != ProviderErrorKind::Misconfigured)
        }
        Error::Journal(e) => e.is_of_one_tenant(),
        Error::Authentication | Error::Conflict | Error::InvalidInput(_) | Error::TenantErased { .. } => true,
        _ => false,
    }
}

/// Wraps one subject's data keys under the tenant's keys.
pub(super) struct Wrapper<'a> {
    tenant: &'a TenantId,
    tag: &'a Tag,
    state: &'a TenantState,
    suite: Suite,
    pub(super) now: Timestamp,
    /// From here on every process holds a key that landed before now.
    pub(super) usable_from: Timestamp,
}

impl Wrapper<'_> {
    /// A new key, wrapped in the current epoch.
    pub(super) fn new_version(&self, purpose: &Purpose, line: u32, number: u32, seal_from: Date) -> Result<KeyVersion> {
        let kek = self.current_key()?;
        let key = KeyMaterial::generate()?;
        let key_id = key.id();
        let wrapped = wrap_data_key(kek, self.suite, &self.place(purpose, line, number), &key, &key_id)?;
        Ok(KeyVersion { number, created_at: self.now, seal_from, key_id, wrapped })
    }

    /// Moves every key of a slot to the current epoch; true if it was in another. [`Error::Conflict`] if the caller's view
    /// of the epochs is older than the slot.
    pub(super) fn move_to_current(&self, slot: &mut SubjectSlot) -> Result<bool> {
        let Some(from) = slot.epoch else { return Ok(false) };
        if from == self.state.epoch {
            return Ok(false);
        }
        if from > self.state.epoch {
            return Err(Error::Conflict);
        }
        let (old, new) = (self.state.key_of(from)?, self.current_key()?);
        for purpose in &mut slot.purposes {
            let line = purpose.line;
            for version in &mut purpose.versions {
                let place = self.place(&purpose.name, line, version.number);
                version.wrapped = rewrap_data_key(old, new, self.suite, &place, &version.key_id, &version.wrapped)?;
            }
        }
        slot.epoch = Some(self.state.epoch);
        Ok(true)
    }

    fn current_key(&self) -> Result<&UsableKey> {
        self.state.key_of(self.state.epoch)
    }

    fn place<'b>(&'b self, purpose: &'b Purpose, line: u32, version: u32) -> DataKeyPlace<'b> {
        DataKeyPlace { tenant: self.tenant, tag: self.tag, purpose, line, version }
    }
}
