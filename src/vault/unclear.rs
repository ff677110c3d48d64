//! [`Unclear`]: subjects and tenants of whom the journal, or their slot, says something that this process can't take in. It
//! hands out none of their keys, and decides nothing about them, until they were compared anew.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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

impl Unclear {
    /// # Errors
    /// What the callers of this one get.
    pub(super) fn check(&self, about: impl FnOnce() -> SlotId) -> Result<()> {
        if !self.any.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.lock().0.get(&about()).map_or(Ok(()), |cause| Err(cause.error.clone()))
    }

    /// All of them, as they are now.
    pub(super) fn all(&self) -> UnclearSlots {
        self.lock().clone()
    }

    /// These, and of those that were there before the ones that are not clear yet. Gives those that were not there.
    pub(super) fn update(&self, found: &UnclearSlots, stays: impl Fn(&SlotId, &Cause) -> bool) -> Vec<SlotId> {
        let mut slots = self.lock();
        let new = found.0.keys().filter(|about| !slots.0.contains_key(about)).cloned().collect();
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
