//! [`Unclear`]: subjects and tenants whom the journal tells of, and whom this process can't compare with it: their slot is
//! damaged, or it, or an entry about them, is of a later version, or an entry is missing, or their provider refuses. It hands
//! out none of their keys until they were compared anew, and decides nothing about them, but for an erasure of the whole
//! subject, which needs no slot.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::slots::is_damage;
use crate::error::{Error, Result};
use crate::keys::SlotId;

/// Which they are.
#[derive(Default)]
pub(super) struct Unclear {
    slots: Mutex<UnclearSlots>,
    /// There are some: whoever asks for keys waits for no lock where there are none.
    any: AtomicBool,
}

/// Each of them once.
#[derive(Clone, Default)]
pub(super) struct UnclearSlots(BTreeMap<SlotId, Cause>);

/// Why it is not clear what happened to one.
#[derive(Clone)]
pub(super) struct Cause {
    /// The position of the last entry about it, or about a subject of it, that this process has met.
    pub(super) position: u64,
    /// That entry was authenticated. Otherwise the journal alone says whom it is about, and may say it of another later.
    pub(super) is_sure: bool,
    /// What its callers get.
    pub(super) error: Error,
}

impl Cause {
    /// The provider refused the tenant's root, or was away: it may give it the next time.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.error, Error::Provider(_))
    }
}

impl Unclear {
    /// # Errors
    /// What the callers of this one get.
    pub(super) fn check(&self, about: impl FnOnce() -> SlotId) -> Result<()> {
        self.cause_of(about).map_or(Ok(()), Err)
    }

    /// [`check`](Self::check) for an erasure of the whole subject: the journal alone decides about what is damaged.
    pub(super) fn check_to_erase(&self, about: impl FnOnce() -> SlotId) -> Result<()> {
        self.cause_of(about).filter(|error| !is_damage(error)).map_or(Ok(()), Err)
    }

    fn cause_of(&self, about: impl FnOnce() -> SlotId) -> Option<Error> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        self.lock().0.get(&about()).map(|cause| cause.error.clone())
    }

    /// Its slot is a tombstone of the whole subject now, and says what the journal does up to this position.
    pub(super) fn end_damage(&self, about: &SlotId, up_to: u64) {
        let mut slots = self.lock();
        if slots.0.get(about).is_some_and(|cause| cause.position <= up_to && is_damage(&cause.error)) {
            slots.0.remove(about);
            self.any.store(!slots.0.is_empty(), Ordering::SeqCst);
        }
    }

    pub(super) fn contains(&self, about: &SlotId) -> bool {
        self.lock().contains(about)
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> UnclearSlots {
        self.lock().clone()
    }

    /// These, and of those that were there before the ones that are not clear yet. Gives those that were not there, and whose keys
    /// end: where a provider is away, what it gave before is good for its time.
    pub(super) fn update(&self, found: &UnclearSlots, stays: impl Fn(&SlotId, &Cause) -> bool) -> Vec<SlotId> {
        let mut slots = self.lock();
        let is_new = |(about, cause): &(&SlotId, &Cause)| !cause.may_pass() && !slots.0.contains_key(*about);
        let new = found.iter().filter(is_new).map(|(about, _)| about.clone()).collect();
        slots.0.retain(|about, cause| stays(about, cause));
        found.iter().for_each(|(about, cause)| slots.add(about.clone(), cause.clone()));
        self.any.store(!slots.0.is_empty(), Ordering::SeqCst);
        new
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, UnclearSlots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnclearSlots {
    /// One more, or what was met of it last. What is sure goes before what isn't.
    pub(super) fn add(&mut self, about: SlotId, cause: Cause) {
        let rank = |cause: &Cause| (cause.is_sure, cause.position);
        match self.0.entry(about) {
            Entry::Occupied(known) if rank(known.get()) > rank(&cause) => {}
            Entry::Occupied(mut known) => drop(known.insert(cause)),
            Entry::Vacant(new) => drop(new.insert(cause)),
        }
    }

    pub(super) fn contains(&self, about: &SlotId) -> bool {
        self.0.contains_key(about)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&SlotId, &Cause)> {
        self.0.iter()
    }
}
