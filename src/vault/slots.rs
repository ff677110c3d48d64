//! Changing one subject's slot by compare-and-swap: [`Tenant::edit_slot`], and [`Wrapper`], which wraps keys for it. What is
//! damaged nobody changes: an erasure of the whole subject alone reads it as such ([`Found`]), and may replace it.

use std::sync::Arc;

use super::cached_tenant::TenantState;
use super::{ATTEMPTS, Tenant, root};
use crate::clock::Timestamp;
use crate::crypto::Suite;
use crate::error::{Error, ProviderErrorKind, Result, Retry, StoreError, StoreErrorKind};
use crate::id::{Purpose, TenantId};
use crate::keys::slot::{Date, KeyVersion, SubjectSlot};
use crate::keys::{DataKeyPlace, KeyMaterial, SlotId, StoredSlot, Tag, UsableKey, rewrap_data_key, wrap_data_key};
use crate::store::{Expected, Loaded, Token};

/// A subject's slot as it was read.
pub(super) struct ReadSlot {
    pub(super) state: Arc<TenantState>,
    pub(super) stored: Option<StoredSlot>,
    pub(super) slot: Option<SubjectSlot>,
}

/// What an erasure of the whole subject finds in the place of its slot.
pub(super) enum Found {
    /// A slot, or none.
    Sound(ReadSlot),
    Damaged(DamagedSlot),
}

/// What stands in the place of a subject's slot, and is none, or does not verify.
pub(super) struct DamagedSlot {
    state: Arc<TenantState>,
    /// Never a revision: a slot that is changed in its middle still ends in the good one's, which may be put back meanwhile.
    token: Token,
}

/// What is to become of a slot.
pub(super) enum Edit<T> {
    /// It stays as it is.
    Keep(T),
    /// It becomes this.
    Put(SubjectSlot, T),
}

impl Found {
    /// # Errors
    /// That of a slot of a later version.
    pub(super) fn of(loaded: Loaded, state: Arc<TenantState>) -> Result<Self> {
        let stored = match loaded {
            Loaded::Absent => return Ok(Self::Sound(ReadSlot { state, stored: None, slot: None })),
            Loaded::Damaged(token) => return Ok(Self::Damaged(DamagedSlot { state, token })),
            Loaded::Slot(stored) => stored,
        };
        match SubjectSlot::open(&stored, &state.root) {
            Err(e) if is_damage(&e) => Ok(Self::Damaged(DamagedSlot { state, token: stored.token() })),
            slot => Ok(Self::Sound(ReadSlot { slot: Some(slot?), stored: Some(stored), state })),
        }
    }

    pub(super) fn slot(&self) -> Option<&SubjectSlot> {
        match self {
            Self::Sound(read) => read.slot.as_ref(),
            Self::Damaged(_) => None,
        }
    }

    /// What [`ReadSlot::told`] says; of what is damaged nothing.
    pub(super) fn told(&self) -> u64 {
        match self {
            Self::Sound(read) => read.told(),
            Self::Damaged(_) => 0,
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// Whether nothing stands there: what is damaged is none that can be read, and not none.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Sound(ReadSlot { stored: None, .. }))
    }
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
    /// Among others that of a subject that can't be taken in, or whose slot is damaged: nothing is decided about it, and nothing
    /// becomes of its slot.
    pub(super) async fn read_slot(&self, tag: &Tag) -> Result<ReadSlot> {
        self.check_clear(tag)?;
        match self.read_to_erase(tag).await? {
            Found::Sound(read) => Ok(read),
            Found::Damaged(_) => Err(damaged()),
        }
    }

    /// [`read_slot`](Self::read_slot) for an erasure of the whole subject, and for nobody else: the journal decides about what
    /// nobody can read.
    pub(super) async fn read_to_erase(&self, tag: &Tag) -> Result<Found> {
        let vault = &self.vault.0;
        self.cached.check_clear(vault)?;
        vault.unclear.check_to_erase(|| self.slot_id(tag))?;
        let state = self.cached.any_state(vault).await?.ok_or(Error::SubjectUnknown)?;
        let loaded = vault.load(&[self.slot_id(tag)]).await?.pop().unwrap_or(Loaded::Absent);
        Found::of(loaded, state)
    }

    /// Puts a tombstone of the whole subject in the place of what is damaged. False if that is not there any more: read again.
    pub(super) async fn replace_damaged(&self, tag: &Tag, old: &DamagedSlot, tombstone: &SubjectSlot) -> Result<bool> {
        let new = tombstone.seal(self.id(), *tag, &old.state.root)?;
        Ok(matches!(self.try_put(&new, Expected::Damaged(old.token)).await?, Put::Landed))
    }

    /// Changes a subject's slot, as often as others change it meanwhile. `edit` sees it as it was read, but for versions that
    /// are undated: they have landed, so they get a date, even if `edit` keeps the slot. A slot that is written
    /// moves to the current epoch with every key; if the provider refuses a wrapping key that this takes, it stays in its
    /// own, which needs none: a tenant that revoked its master key can still be held, closed, and erased by purpose.
    pub(super) async fn edit_slot<T: Send>(
        &self,
        tag: &Tag,
        edit: impl FnMut(Option<&SubjectSlot>, &Wrapper<'_>) -> Result<Edit<T>> + Send,
    ) -> Result<T> {
        self.check_clear(tag)?;
        self.edit_to_erase(tag, edit).await
    }

    /// [`edit_slot`](Self::edit_slot) for an erasure of the whole subject: also of one whose slot was damaged, and is put back.
    pub(super) async fn edit_to_erase<T: Send>(
        &self,
        tag: &Tag,
        mut edit: impl FnMut(Option<&SubjectSlot>, &Wrapper<'_>) -> Result<Edit<T>> + Send,
    ) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let Found::Sound(ReadSlot { state, stored, mut slot }) = self.read_to_erase(tag).await? else {
                return Err(damaged());
            };
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
            match (self.try_put(&new.seal(self.id(), *tag, &state.root)?, expected(stored.as_ref())).await?, stays) {
                (Put::Landed, _) => return Ok(answer),
                (Put::BelowFloor, Some(refused)) => return Err(refused.into()), // it must move, and can't
                _ => {}
            }
        }
        Err(Error::Conflict)
    }

    /// Puts a slot over what was read. False if somebody else was faster: read again.
    pub(super) async fn put_slot(&self, new: &StoredSlot, old: Option<&StoredSlot>) -> Result<bool> {
        Ok(matches!(self.try_put(new, expected(old)).await?, Put::Landed))
    }

    async fn try_put(&self, new: &StoredSlot, expected: Expected) -> Result<Put> {
        let vault = &self.vault.0;
        match vault.store.put(new, expected).await {
            Ok(()) => Ok(Put::Landed),
            Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(Put::Lost),
            Err(e) if e.kind() == StoreErrorKind::BelowFloor => {
                self.cached.forget(); // the epoch is retired: read which one is current
                Ok(Put::BelowFloor)
            }
            // Whether it landed is not known: look.
            Err(e) if e.retry() == Retry::Later => match vault.load_one(new.id().clone()).await {
                Ok(Some(found)) if found.revision() == new.revision() => Ok(Put::Landed),
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
        let (usable_from, horizon) = (now.plus(vault.longest_age()), vault.horizon(now));
        Wrapper { tenant: self.id(), tag, state, suite, now, usable_from, horizon }
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

fn expected(old: Option<&StoredSlot>) -> Expected {
    old.map_or(Expected::Absent, |old| Expected::Revision(old.revision()))
}

/// What callers get of a subject whose slot is damaged.
pub(super) fn damaged() -> Error {
    StoreError::corrupt("a subject's slot: put a good copy back, or erase the subject as a whole").into()
}

/// Whether an error says that what is stored is damaged.
pub(super) fn is_damage(e: &Error) -> bool {
    matches!(e, Error::Store(e) if e.kind() == StoreErrorKind::Corrupt)
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
    /// No clock that is right dates anything later.
    pub(super) horizon: Timestamp,
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
