//! [`Live`]: the subject keys that are out in this process, and the subjects that ended a moment ago.
//!
//! A read that was sent before an erasure may be answered after it. So each read takes a ticket first, and what it found
//! is admitted only if its subject has not ended since.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{Clock, Stamp};
use crate::keys::Tag;
use crate::subject::{End, Mark};

#[derive(Default)]
pub(super) struct Live {
    /// How often a subject ended.
    turn: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What ends all keys of a subject that are out. Weak: keys are wiped when their last holder lets go.
    out: HashMap<Tag, Weak<Mark>>,
    ended: HashMap<Tag, (u64, Stamp)>,
    all_ended: u64,
}

/// Taken before a read is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(u64);

impl Live {
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(self.turn.load(Ordering::SeqCst))
    }

    /// The mark for keys that a read found; none if the subject ended since the read was sent: read again.
    pub(super) fn admit(&self, tag: &Tag, ticket: Ticket) -> Option<Arc<Mark>> {
        let mut known = self.known();
        let ended = known.ended.get(tag).map_or(0, |(turn, _)| *turn).max(known.all_ended);
        if ended > ticket.0 {
            return None;
        }
        if let Some(mark) = known.out.get(tag).and_then(Weak::upgrade) {
            return Some(mark);
        }
        let mark = Arc::<Mark>::default();
        known.out.insert(*tag, Arc::downgrade(&mark));
        Some(mark)
    }

    /// Ends every key of a subject that is out, and whatever reads that were sent before find.
    pub(super) fn end(&self, tag: &Tag, end: End, now: Stamp) {
        let mut known = self.known();
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        known.ended.insert(*tag, (turn, now));
        if let Some(mark) = known.out.remove(tag).and_then(|mark| mark.upgrade()) {
            mark.set(end);
        }
    }

    /// Ends every key of every subject.
    pub(super) fn end_all(&self) {
        let mut known = self.known();
        known.all_ended = self.turn.fetch_add(1, Ordering::SeqCst) + 1;
        for mark in known.out.drain().filter_map(|(_, mark)| mark.upgrade()) {
            mark.set(End::Outdated);
        }
    }

    /// Forgets what nobody holds, and ends that no read can be older than: its keys would be past their age.
    pub(super) fn sweep(&self, clock: &dyn Clock, max_age: Duration) {
        let mut known = self.known();
        known.out.retain(|_, mark| mark.strong_count() > 0);
        known.ended.retain(|_, (_, at)| !at.expired(clock, max_age));
    }

    /// How many subjects it keeps something of.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let known = self.known();
        known.out.len() + known.ended.len()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is complete before anything can panic.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
