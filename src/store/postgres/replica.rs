//! [`PostgresReplica`]: a read replica that answers loads where it is known to be no further behind than was said.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::PgPool;

use super::{Inner, PostgresStore, add, select};
use crate::clock::{Clock, Stamp};
use crate::error::StoreError;
use crate::keys::{Epoch, SlotId, StoredSlot};
use crate::postgres::{Lsn, read};
use crate::store::{Expected, KeyStore, Residue, Scan, ScanPage};

/// A [`PostgresStore`] whose loads of subjects may be answered by a read replica, at most so far behind as was said. All
/// else is the primary's.
///
/// # What a load may miss
/// What other processes put less than the bound ago. It never misses what was put through the store that the replica was
/// made of, or through this, nor anything that either has read from the primary. So the keys of a person whom another
/// process erased are still read up to the bound later: a vault counts their `max_age` from so much earlier
/// ([`VaultBuilder::replica`](crate::vault::VaultBuilder::replica)). A subject that the replica doesn't have is looked for at
/// the primary.
///
/// # Security
/// Only for looking keys up, as [`VaultBuilder::replica`](crate::vault::VaultBuilder::replica) does. It breaks the promise
/// of [`KeyStore`], that a load sees what was put before it, which all that decides by what it reads relies on: erasures
/// and their status, holds, the comparison with the journal, retirement. Whoever gives it to a vault as *the* store would
/// have an erasure that is not in the replica yet taken for one that a restore undid.
///
/// # How it knows
/// Loads that go to the primary learn how far its log is, and when. An answer of the replica counts if it has replayed the
/// log up to there, and if that was learned no longer than the bound ago, by the greater of this machine's two clocks: a
/// machine that was suspended doesn't take it for younger than it is. Both servers' clocks don't matter, and a replica that is
/// cut off is found out. So one load a bound goes to the primary, and the first one after each put. A replica that is
/// behind, that fails, or that was promoted leaves the load to the primary; one that fails is not asked for five seconds, nor
/// is one that gave no answer within somebody's time limit. So give it one: in a [`Guarded`](crate::guard::Guarded) the next
/// attempt goes to the primary. Let its pool give up soon (`acquire_timeout`).
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
    /// [`VaultBuilder::replica`](crate::vault::VaultBuilder::replica). It is no store for everything that a vault does.
    pub fn replica(&self, pool: PgPool, bound: Duration) -> PostgresReplica {
        let replica = Replica { pool, bound, failed_at: Mutex::new(None) };
        PostgresReplica { primary: self.clone(), replica: Arc::new(replica) }
    }
}

impl PostgresReplica {
    /// What the replica knows of these; nothing if it may be too far behind.
    async fn ask(&self, ids: &[SlotId]) -> Vec<Option<StoredSlot>> {
        let Inner { schema, seen, .. } = &*self.primary.0;
        let nothing = || vec![None; ids.len()];
        // A tenant's keys, and the vault's, say what has ended, too; and they are few.
        let is_subject = |id: &SlotId| matches!(id, SlotId::Subject(..));
        let now = seen.clock.monotonic();
        let rests = self.replica.failed_at().is_some_and(|at| now.saturating_sub(at) < REST);
        if rests || ids.is_empty() || ids.len() > super::LOAD_CHUNK || !ids.iter().all(is_subject) {
            return nothing();
        }
        let Some(needed) = seen.within(self.replica.bound) else { return nothing() };
        let mut found = HashMap::with_capacity(ids.len());
        let asking = Asking { replica: &self.replica, clock: &*seen.clock, since: now, is_answered: false };
        let answer = read(&self.replica.pool, &schema.sql(&select(ids))).await;
        asking.answered();
        match answer {
            Ok((server, _)) if !server.is_standby || server.replayed < needed => nothing(),
            Ok((_, rows)) if add(&mut found, &rows).is_ok() => ids.iter().map(|id| found.get(id).cloned()).collect(),
            _ => {
                *self.replica.failed_at() = Some(seen.clock.monotonic());
                nothing()
            }
        }
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
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Option<StoredSlot>>, StoreError> {
        let mut slots = self.ask(ids).await;
        let missing: Vec<_> =
            ids.iter().zip(&slots).filter(|(_, slot)| slot.is_none()).map(|(id, _)| id.clone()).collect();
        let found = self.primary.0.load(&missing).await?;
        for (id, slot) in ids.iter().zip(&mut slots).filter(|(_, slot)| slot.is_none()) {
            *slot = found.get(id).cloned();
        }
        Ok(slots)
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
}

impl super::super::Replica for PostgresReplica {
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

/// How far the primary's log was, when this store last asked it.
pub(super) struct Seen {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often a put began or ended.
    turn: u64,
    /// And when that was asked.
    last: Option<(Lsn, Stamp)>,
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
        // The highest, so that nothing which was read before is missed; as of the latest moment, of which it says no less.
        let last = state.last.unwrap_or((lsn, at));
        if state.turn == turn {
            state.last = Some((lsn.max(last.0), if at.is_before(&last.1) { last.1 } else { at }));
        }
    }

    pub(super) fn write(&self) -> Writing<'_> {
        self.turn();
        Writing(self)
    }

    /// What a replica must have replayed; none if that isn't known as of so short a time ago.
    fn within(&self, bound: Duration) -> Option<Lsn> {
        let (lsn, at) = self.state().last?;
        (!at.expired(&self.clock, bound)).then_some(lsn)
    }

    fn turn(&self) {
        let mut state = self.state();
        state.turn += 1;
        state.last = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.turn();
    }
}

const REST: Duration = Duration::from_secs(5);

/// Whoever doesn't wait so long for an answer has gone away, which says nothing of the replica.
const SILENT: Duration = Duration::from_millis(100);
