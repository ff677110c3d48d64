//! [`IssuedKeys`]: the subject keys that callers in this process hold, and the subjects that ended a moment ago.
//!
//! A read that was sent before an erasure may be answered after it. So each read takes a ticket first, and what it found
//! is admitted only if its subject has not ended since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{Clock, Stamp};
use crate::keys::Tag;
use crate::subject::{Revocation, RevocationFlag};

#[derive(Default)]
pub(super) struct IssuedKeys {
    /// How often a subject ended.
    turn: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Ends all keys of a subject that callers hold. Weak: keys are wiped when their last holder lets go.
    issued: HashMap<Tag, Weak<RevocationFlag>>,
    ended: HashMap<Tag, (u64, Stamp)>,
    all_ended: u64,
}

/// Taken before a read is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadTicket(u64);

impl IssuedKeys {
    pub(super) fn ticket(&self) -> ReadTicket {
        ReadTicket(self.turn.load(Ordering::SeqCst))
    }

    /// The flag for keys that a read found. None if the subject ended since the read was sent: read again.
    pub(super) fn admit(&self, tag: &Tag, ticket: ReadTicket) -> Option<Arc<RevocationFlag>> {
        let mut known = self.known();
        let ended = known.ended.get(tag).map_or(0, |(turn, _)| *turn).max(known.all_ended);
        if ended > ticket.0 {
            return None;
        }
        if let Some(flag) = known.issued.get(tag).and_then(Weak::upgrade) {
            return Some(flag);
        }
        let flag = Arc::<RevocationFlag>::default();
        known.issued.insert(*tag, Arc::downgrade(&flag));
        Some(flag)
    }

    /// Ends every key of a subject that a caller holds, and what reads find that were sent before.
    pub(super) fn revoke(&self, tag: &Tag, revocation: Revocation, now: Stamp) {
        let mut known = self.known();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        known.ended.insert(*tag, (turn, now));
        if let Some(flag) = known.issued.remove(tag).and_then(|flag| flag.upgrade()) {
            flag.set(revocation);
        }
    }

    /// Ends every key of every subject.
    pub(super) fn revoke_all(&self) {
        let mut known = self.known();
        known.all_ended = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        for flag in known.issued.drain().filter_map(|(_, flag)| flag.upgrade()) {
            flag.set(Revocation::Outdated);
        }
    }

    /// Forgets what nobody holds, and ends that no read can be older than: its keys would be past their age.
    pub(super) fn evict_expired(&self, clock: &dyn Clock, max_age: Duration) {
        let mut known = self.known();
        known.issued.retain(|_, flag| flag.strong_count() > 0);
        known.ended.retain(|_, (_, at)| !at.expired(clock, max_age));
    }

    /// How many subjects it keeps something of.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known();
        known.issued.len() + known.ended.len()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is complete before anything can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
