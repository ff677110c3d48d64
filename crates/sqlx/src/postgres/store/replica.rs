//! [`PostgresReplica`]: a read replica that answers loads where it is known to be no further behind than was said.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::error::failed;
use super::{Inner, PostgresStore, select, slot_rows};
use crate::postgres::{Lsn, read};
use crate::slots::FoundRows;
use fieldseal::clock::{Clock, Stamp, Timestamp};
use fieldseal::error::StoreError;
use fieldseal::store::{Epoch, SlotId, StoredSlot};
use fieldseal::store::{Expected, KeyStore, Loaded, Residue, Scan, ScanPage};

/// A [`PostgresStore`] whose loads of subjects may be answered by a read replica, at most so far behind as was said. All
/// else is the primary's.
///
/// # What a load may miss
/// What other processes put less than the bound ago. It never misses what was put through the store that the replica was
/// made of, or through this; nor what that store has read; nor, of a subject, what this has read of it at the primary. (Of
/// two subjects, one may be seen as it was before the other.) So the keys of a person whom another process erased are still
/// read up to the bound later: a vault counts their `max_age` from so much earlier
/// ([`VaultBuilder::replica`](fieldseal::vault::VaultBuilder::replica)). A subject that the replica doesn't have, or whose slot
/// is damaged there, is looked for at the primary.
///
/// # Security
/// Only for looking keys up, as [`VaultBuilder::replica`](fieldseal::vault::VaultBuilder::replica) does. It breaks the promise
/// of [`KeyStore`], that a load sees what was put before it, which all that decides by what it reads relies on: erasures
/// and their status, holds, the comparison with the journal, retirement. Whoever gives it to a vault as *the* store would
/// have an erasure that is not in the replica yet taken for one that a restore undid.
///
/// # How it knows
/// Loads that go to the primary learn how far its log is, and when. An answer of the replica counts if it has replayed the
/// log up to there, and if that was learned no longer than the bound ago, by the greater of this machine's two clocks: a
/// machine that was suspended doesn't take it for younger than it is. Both servers' clocks don't matter, and a replica that
/// is cut off is found out. So one load a bound goes to the primary, and the first one after each put; and with it those
/// that come before the replica has got there. They leave what it must reach as it is, but for their own subjects: of each
/// bound, the primary has as much as the replica lags behind, and that again after each put through the store or this. A
/// replica that is behind, that fails, or that was promoted leaves the load to the primary; one that fails is not asked for
/// five seconds, nor is one that gave no answer within somebody's time limit. So give it one: in a
/// [`Guarded`](fieldseal::guard::Guarded) the next attempt goes to the primary. Let its pool give up soon (`acquire_timeout`).
///
/// What is not found out is a replica that goes on following a primary which a failover has replaced, if it was ahead of the
/// successor: point replicas to that one, or stop them, before it is promoted.
#[derive(Clone)]
pub struct PostgresReplica {
    primary: PostgresStore,
    replica: Arc<Replica>,
}

struct Replica {
    pool: PgPool,
    bound: Duration,
    /// When it failed last.
    failed_at: Mutex<Option<Duration>>,
}

impl PostgresStore {
    /// This key store, with loads of subjects answered by a replica that is no further behind than `bound`: for
    /// [`VaultBuilder::replica`](fieldseal::vault::VaultBuilder::replica). It is no store for everything that a vault does.
    pub fn replica(&self, pool: PgPool, bound: Duration) -> PostgresReplica {
        let replica = Replica { pool, bound, failed_at: Mutex::new(None) };
        PostgresReplica { primary: self.clone(), replica: Arc::new(replica) }
    }
}

impl PostgresReplica {
    /// What the replica knows of these; nothing if it may be too far behind.
    async fn ask(&self, ids: &[SlotId]) -> FoundRows {
        let Inner { schema, seen, .. } = &*self.primary.0;
        let nothing = FoundRows::default;
        let now = seen.clock.monotonic();
        let rests = self.replica.failed_at().is_some_and(|at| now.saturating_sub(at) < REST);
        if rests || ids.is_empty() || ids.len() > super::LOAD_CHUNK || !are_subjects(ids) {
            return nothing();
        }
        let Some(needed) = seen.needed(ids, self.replica.bound) else { return nothing() };
        let mut found = FoundRows::default();
        let asking = Asking { replica: &self.replica, clock: &*seen.clock, since: now, is_answered: false };
        let answer = read(&self.replica.pool, &schema.sql(&select(ids))).await;
        asking.answered();
        match answer.map_err(failed).and_then(|(server, rows)| Ok((server, slot_rows(&rows)?))) {
            Ok((server, _)) if !server.is_standby || server.replayed < needed => {}
            Ok((_, rows)) => found.add(rows),
            Err(_) => *self.replica.failed_at() = Some(seen.clock.monotonic()),
        }
        found
    }
}

impl Replica {
    fn failed_at(&self) -> MutexGuard<'_, Option<Duration>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read of the replica. One that is dropped was given up by somebody's time limit, if it had any time at all: then the
/// replica has gone silent, and is put to rest as one that fails.
struct Asking<'a> {
    replica: &'a Replica,
    clock: &'a dyn Clock,
    since: Duration,
    is_answered: bool,
}

impl Asking<'_> {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        if !self.is_answered && now.saturating_sub(self.since) >= SILENT {
            *self.replica.failed_at() = Some(now);
        }
    }
}

#[async_trait]
impl KeyStore for PostgresReplica {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let there = self.ask(ids).await;
        let mut found: Vec<_> = ids.iter().map(|id| there.loaded(id)).collect();
        let lacks = |(_, found): &(&SlotId, &Loaded)| !matches!(found, Loaded::Slot(_));
        let lacking: Vec<_> = ids.iter().zip(&found).filter(lacks).map(|(id, _)| id.clone()).collect();
        let at_primary = match are_subjects(&lacking) {
            true => self.primary.0.load_beside(&lacking, self.replica.bound).await?,
            false => self.primary.0.load(&lacking).await?,
        };
        for (id, found) in ids.iter().zip(&mut found) {
            if !matches!(found, Loaded::Slot(_)) {
                *found = at_primary.loaded(id);
            }
        }
        Ok(found)
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        self.primary.put(slot, expected).await
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        self.primary.scan(scan).await
    }

    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.primary.raise_floor(epoch).await
    }

    async fn scrub(&self) -> Result<Residue, StoreError> {
        self.primary.scrub().await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.primary.clock().await
    }
}

impl fieldseal::store::Replica for PostgresReplica {
    fn bound(&self) -> Duration {
        self.replica.bound
    }
}

impl fmt::Debug for PostgresReplica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, bound) = (self.primary.0.schema.name(), self.replica.bound);
        f.debug_struct("PostgresReplica").field("schema", &schema).field("bound", &bound).finish_non_exhaustive()
    }
}

/// A tenant's keys, and the vault's, say what has ended, too; and they are few.
fn are_subjects(ids: &[SlotId]) -> bool {
    ids.iter().all(|id| matches!(id, SlotId::Subject(..)))
}

/// How far the primary's log was, when this store last asked it.
pub(super) struct Seen {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often a put began or ended.
    turn: u64,
    /// As of when an answer tells all, if it tells what the log had up to `least`. None if that isn't known.
    asked: Option<Stamp>,
    /// What was read so far stands there, but for what is in `shown`.
    least: Lsn,
    /// When that was last read, or raised.
    noted: Option<Stamp>,
    /// Subjects that were read at the primary meanwhile, and where that stands.
    shown: HashMap<SlotId, Lsn>,
}

/// Before a read is sent: the turn, and when.
#[derive(Clone, Copy)]
pub(super) struct Asked(u64, Stamp);

/// A put that is under way: what was seen before it ends says nothing of it.
pub(super) struct Writing<'a>(&'a Seen);

impl Seen {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    pub(super) fn ask(&self) -> Asked {
        Asked(self.state().turn, Stamp::now(&self.clock))
    }

    pub(super) fn note(&self, Asked(turn, at): Asked, lsn: Lsn) {
        let mut state = self.state();
        if lsn < state.least && state.noted.is_some_and(|noted| noted.is_before(&at)) {
            // The pool leads to another server, whose log is shorter: what was read from the former one counts no more.
            (state.least, state.asked) = (Lsn::default(), None);
            state.shown.clear();
        }
        // The highest, so that nothing which was read before is missed; as of the latest moment, of which it says no less.
        let least = lsn.max(state.least);
        (state.least, state.noted) = (least, Some(Stamp::now(&self.clock)));
        state.shown.retain(|_, shown| *shown > least);
        if state.turn == turn {
            state.asked = Some(state.asked.filter(|last| at.is_before(last)).unwrap_or(at));
        }
    }

    /// Of a load of subjects that a replica did not answer. As long as is known what one of this bound must tell, that stays:
    /// on a primary that writes all the time, a replica a few milliseconds behind would else never get there, since each of
    /// the loads that wait for it would raise it. But what was shown of these subjects is not taken back.
    pub(super) fn note_beside(&self, asked: Asked, lsn: Lsn, ids: &[SlotId], bound: Duration) {
        let mut state = self.state();
        if !state.is_known(&self.clock, bound) || state.shown.len() + ids.len() > MOST_SHOWN {
            drop(state);
            return self.note(asked, lsn);
        }
        for id in ids {
            let shown = state.shown.entry(id.clone()).or_default();
            *shown = lsn.max(*shown);
        }
    }

    pub(super) fn write(&self) -> Writing<'_> {
        self.turn();
        Writing(self)
    }

    /// What a replica must have replayed to answer for these; none if that isn't known as of so short a time ago.
    fn needed(&self, ids: &[SlotId], bound: Duration) -> Option<Lsn> {
        let state = self.state();
        let shown = ids.iter().filter_map(|id| state.shown.get(id));
        state.is_known(&self.clock, bound).then(|| shown.fold(state.least, |needed, shown| needed.max(*shown)))
    }

    fn turn(&self) {
        let mut state = self.state();
        state.turn += 1;
        state.asked = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_known(&self, clock: &dyn Clock, bound: Duration) -> bool {
        self.asked.is_some_and(|asked| !asked.expired(clock, bound))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.turn();
    }
}

const REST: Duration = Duration::from_secs(5);

/// So many subjects are remembered; then all of them raise what a replica must tell.
const MOST_SHOWN: usize = 4096;

/// Whoever doesn't wait so long for an answer has gone away, which says nothing of the replica.
const SILENT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use fieldseal::id::TenantId;
    use fieldseal::store::Tag;
    use fieldseal_testkit::clock::ManualClock;

    const BOUND: Duration = Duration::from_secs(10);

    fn subjects(count: usize) -> Vec<SlotId> {
        let tag = |n: usize| Tag::from_bytes((n as u128).to_be_bytes());
        (0..count).map(|n| SlotId::Subject(TenantId::default_tenant(), tag(n))).collect()
    }

    #[test]
    fn who_waits_for_a_replica_does_not_put_off_the_others() {
        let clock = ManualClock::new();
        let (seen, ids) = (Seen::new(Arc::new(clock.clone())), subjects(3));
        let needed = |id: usize| seen.needed(&ids[id..=id], BOUND);
        assert_eq!(needed(0), None);
        seen.note_beside(seen.ask(), Lsn(10), &ids[..1], BOUND);
        assert_eq!((needed(0), needed(1)), (Some(Lsn(10)), Some(Lsn(10))), "there was nothing to wait for");
        for (id, lsn) in [(0, 20), (1, 40), (0, 30), (1, 35)] {
            seen.note_beside(seen.ask(), Lsn(lsn), &ids[id..=id], BOUND);
        }
        assert_eq!((needed(0), needed(1), needed(2)), (Some(Lsn(30)), Some(Lsn(40)), Some(Lsn(10))));
        assert_eq!(seen.needed(&ids, BOUND), Some(Lsn(40)), "what was shown of one of them");
        // What was read otherwise is about all of them.
        seen.note(seen.ask(), Lsn(32));
        assert_eq!((needed(0), needed(1), needed(2)), (Some(Lsn(32)), Some(Lsn(40)), Some(Lsn(32))));
        // Once it isn't known any more, the next load says it anew.
        clock.advance(BOUND + Duration::from_millis(1));
        assert_eq!(needed(0), None);
        seen.note_beside(seen.ask(), Lsn(50), &ids[..1], BOUND);
        assert_eq!((needed(0), needed(1), needed(2)), (Some(Lsn(50)), Some(Lsn(50)), Some(Lsn(50))));
    }

    #[test]
    fn what_was_shown_before_a_put_is_not_taken_back_after_it() {
        let (seen, ids) = (Seen::new(Arc::new(ManualClock::new())), subjects(2));
        seen.note(seen.ask(), Lsn(10));
        seen.note_beside(seen.ask(), Lsn(30), &ids[..1], BOUND);
        let early = seen.ask();
        drop(seen.write());
        assert_eq!(seen.needed(&ids, BOUND), None);
        seen.note_beside(seen.ask(), Lsn(20), &ids[1..], BOUND);
        assert_eq!(seen.needed(&ids[..1], BOUND), Some(Lsn(30)));
        assert_eq!(seen.needed(&ids[1..], BOUND), Some(Lsn(20)));
        // Nor by a read that was sent before it: it says nothing of the put, and has shown what it has.
        seen.note(early, Lsn(25));
        assert_eq!(seen.needed(&ids[1..], BOUND), Some(Lsn(25)));
        drop(seen.write());
        seen.note(early, Lsn(40));
        assert_eq!(seen.needed(&ids, BOUND), None);
    }

    #[test]
    fn a_primary_whose_log_is_shorter_is_another_one() {
        let clock = ManualClock::new();
        let (seen, ids) = (Seen::new(Arc::new(clock.clone())), subjects(2));
        let late = seen.ask();
        clock.advance(Duration::from_millis(1));
        seen.note(seen.ask(), Lsn(30));
        seen.note_beside(seen.ask(), Lsn(40), &ids[..1], BOUND);
        seen.note(late, Lsn(20));
        assert_eq!(seen.needed(&ids, BOUND), Some(Lsn(40)), "it was asked before the others were answered");
        clock.advance(Duration::from_millis(1));
        seen.note(seen.ask(), Lsn(20));
        assert_eq!(seen.needed(&ids, BOUND), Some(Lsn(20)));
    }

    #[test]
    fn only_so_many_are_remembered() {
        let (seen, ids) = (Seen::new(Arc::new(ManualClock::new())), subjects(MOST_SHOWN + 1));
        seen.note(seen.ask(), Lsn(10));
        seen.note_beside(seen.ask(), Lsn(20), &ids[..MOST_SHOWN], BOUND);
        assert_eq!(seen.needed(&ids[MOST_SHOWN..], BOUND), Some(Lsn(10)));
        seen.note_beside(seen.ask(), Lsn(30), &ids[MOST_SHOWN..], BOUND);
        assert_eq!(seen.needed(&ids[..1], BOUND), Some(Lsn(30)));
        assert!(seen.state().shown.is_empty());
    }
}
