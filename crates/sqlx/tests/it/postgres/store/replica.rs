//! Loads that a streaming replica answers, and those that it may not.

use std::time::Duration;

use fieldseal::TenantId;
use fieldseal::clock::Clock as _;
use fieldseal::guard::{Guard, Guarded};
use fieldseal::store::{Expected, KeyStore, Loaded, SlotId, StoreErrorKind, StoredSlot, Tag};
use fieldseal_sqlx::{PostgresReplica, PostgresStore};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::slot::SampleSlot;
use fleet_tests::harness::Completion;
use fleet_tests::postgres::{Server, Which};
use fleet_tests::proxy::Proxy;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::made;
use crate::postgres::{execute, pool};

/// A primary, its standby, and how often the primary was asked.
struct Replicated {
    primary: Server,
    standby: Server,
    database: PgConnectOptions,
    /// To the standby's own side of it.
    replica: PgPool,
    proxy: Proxy,
    clock: ManualClock,
    store: PostgresStore,
    reader: PostgresReplica,
    /// Another process's.
    other: PostgresStore,
}

const BOUND: Duration = Duration::from_secs(2);
/// Of a guard: how long an answer is waited for.
const ATTEMPT: Duration = Duration::from_secs(2);

impl Replicated {
    async fn new(which: Which) -> Option<Self> {
        let primary = Server::start_with(which, &["fsync=off"]).await?;
        let standby = primary.standby(&["fsync=off"]).await;
        let database = primary.database().await;
        let other = made(&pool(database.clone()).await).await;
        let proxy = Proxy::start(&database);
        let options = PgPoolOptions::new().test_before_acquire(false);
        let counted = options.connect_with(proxy.options(&database)).await.unwrap();
        let clock = ManualClock::default();
        let store = PostgresStore::builder(counted).clock(clock.clone()).open().await.unwrap();
        let replica = replayed(&standby, &database).await;
        let reader = store.replica(replica.clone(), BOUND);
        Some(Self { primary, standby, database, replica, proxy, clock, store, reader, other })
    }

    /// Until the standby has what the primary has.
    async fn catch_up(&self) {
        let primary = pool(self.database.clone()).await;
        // Of a commit: what the primary has inserted before it is written, and so is sent.
        let commit = "SELECT pg_logical_emit_message(true, '', '')::text";
        let at: String = sqlx::query_scalar(commit).fetch_one(&primary).await.unwrap();
        let replayed = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn";
        while !sqlx::query_scalar::<_, bool>(replayed).bind(&at).fetch_one(&self.replica).await.unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn load(&self, id: &SlotId) -> Option<StoredSlot> {
        self.reader.load(std::slice::from_ref(id)).await.unwrap().remove(0).into_slot().unwrap()
    }

    /// Whether a load was answered without the primary, which learns the more where it is asked.
    async fn is_from_replica(&self, id: &SlotId) -> bool {
        self.proxy.trips();
        self.load(id).await;
        self.proxy.trips() == 0
    }
}

macro_rules! world {
    ($which:expr) => {
        match Replicated::new($which).await {
            Some(world) => world,
            None => return Completion::ignored_with("PostgreSQL is not installed"),
        }
    };
}

pub(super) async fn what_a_replica_holds_is_read_there(which: Which) -> Completion {
    let world = world!(which);
    let slots = [slot(1, 0), slot(2, 0)];
    for slot in &slots {
        world.other.put(slot, Expected::Absent).await.unwrap();
    }
    world.catch_up().await;
    let ids = [slots[1].id().clone(), slots[0].id().clone(), slots[1].id().clone()];
    let expected = [1, 0, 1].map(|n| Loaded::Slot(slots[n].clone()));
    assert_eq!(world.reader.load(&ids).await.unwrap(), expected, "from the primary, which says how far it is");
    world.catch_up().await;
    world.proxy.trips();
    for _ in 0..5 {
        assert_eq!(world.reader.load(&ids).await.unwrap(), expected);
    }
    assert_eq!(world.proxy.trips(), 0, "the primary was not asked");
    // What is not a subject's is few, and says what ended.
    for id in [SlotId::Vault, SlotId::Tenant(TenantId::default_tenant())] {
        assert!(!world.is_from_replica(&id).await);
        world.reader.load(&[ids[0].clone(), id]).await.unwrap();
        assert!(world.proxy.trips() > 0);
    }
    world.store.load(&ids).await.unwrap();
    assert!(world.proxy.trips() > 0, "the store that it was made of");
    Completion::Completed
}

/// What it has not replayed within the bound, the primary is asked for.
pub(super) async fn a_replica_that_is_behind_is_not_believed(which: Which) -> Completion {
    let world = world!(which);
    let (first, second) = (slot(1, 0), slot(1, 1));
    world.other.put(&first, Expected::Absent).await.unwrap();
    world.catch_up().await;
    world.load(first.id()).await;
    world.catch_up().await;
    execute(&world.replica, "SELECT pg_wal_replay_pause()").await;
    world.other.put(&second, Expected::Revision(first.revision())).await.unwrap();
    // It may be missed as long as the bound says, and not longer.
    world.clock.advance(BOUND);
    assert_eq!(world.load(first.id()).await.as_ref(), Some(&first));
    world.clock.advance(Duration::from_millis(1));
    assert_eq!(world.load(first.id()).await.as_ref(), Some(&second));
    // And what was seen stays seen, while the replica doesn't know of it.
    for _ in 0..3 {
        assert_eq!(world.load(first.id()).await.as_ref(), Some(&second));
        assert!(!world.is_from_replica(first.id()).await);
        world.clock.advance(BOUND / 2);
    }
    execute(&world.replica, "SELECT pg_wal_replay_resume()").await;
    world.catch_up().await;
    world.load(first.id()).await;
    world.catch_up().await;
    assert!(world.is_from_replica(first.id()).await);
    assert_eq!(world.load(first.id()).await, Some(second));
    Completion::Completed
}

/// On a primary whose log is never at rest, a replica is always behind the last that was read.
pub(super) async fn a_look_at_the_primary_for_one_leaves_the_replica_to_others(which: Which) -> Completion {
    let world = world!(which);
    let (first, second) = (slot(1, 0), slot(2, 0));
    world.other.put(&first, Expected::Absent).await.unwrap();
    world.load(first.id()).await;
    world.catch_up().await;
    execute(&world.replica, "SELECT pg_wal_replay_pause()").await;
    world.other.put(&second, Expected::Absent).await.unwrap();
    for _ in 0..3 {
        assert_eq!(world.load(second.id()).await.as_ref(), Some(&second));
        assert!(!world.is_from_replica(second.id()).await, "it doesn't know of this one");
        assert!(world.is_from_replica(first.id()).await);
    }
    // What the store itself has read is about all of them.
    world.store.load(&[SlotId::Vault]).await.unwrap();
    assert!(!world.is_from_replica(first.id()).await);
    Completion::Completed
}

/// Which stops one of the clocks on some systems.
pub(super) async fn a_machine_that_was_suspended_asks_the_primary(which: Which) -> Completion {
    let world = world!(which);
    let first = slot(1, 0);
    world.other.put(&first, Expected::Absent).await.unwrap();
    world.load(first.id()).await;
    world.catch_up().await;
    assert!(world.is_from_replica(first.id()).await);
    world.clock.set_wall(world.clock.wall().plus(BOUND + Duration::from_millis(1)));
    assert!(!world.is_from_replica(first.id()).await);
    // That was learned now.
    world.catch_up().await;
    assert!(world.is_from_replica(first.id()).await);
    world.clock.advance_monotonic(BOUND + Duration::from_millis(1));
    assert!(!world.is_from_replica(first.id()).await);
    Completion::Completed
}

/// Whatever the bound.
pub(super) async fn a_replica_never_misses_what_was_put_here(which: Which) -> Completion {
    let world = world!(which);
    let mut last = slot(1, 0);
    world.store.put(&last, Expected::Absent).await.unwrap();
    world.load(last.id()).await;
    world.catch_up().await;
    assert!(world.is_from_replica(last.id()).await);
    execute(&world.replica, "SELECT pg_wal_replay_pause()").await;
    for (content, through) in (1..).zip([&world.store as &dyn KeyStore, &world.reader].repeat(3)) {
        let next = slot(1, content);
        through.put(&next, Expected::Revision(last.revision())).await.unwrap();
        assert_eq!(world.load(next.id()).await.as_ref(), Some(&next));
        assert_eq!(world.load(next.id()).await.as_ref(), Some(&next), "nor once the primary was asked");
        // Nor what a load saw that was under way while it was put.
        let after = slot(1, content + 100);
        let (loaded, put) =
            futures_util::future::join(world.load(next.id()), through.put(&after, Expected::Revision(next.revision())))
                .await;
        put.unwrap();
        assert!(loaded == Some(next) || loaded.as_ref() == Some(&after));
        assert_eq!(world.load(after.id()).await.as_ref(), Some(&after));
        last = after;
    }
    // Also one whose outcome the caller doesn't know.
    let next = slot(1, 1000);
    world.store.put(&next, Expected::Absent).await.unwrap_err();
    assert!(!world.is_from_replica(next.id()).await);
    Completion::Completed
}

pub(super) async fn a_replica_that_is_none_or_is_gone_is_passed_over(which: Which) -> Completion {
    let mut world = world!(which);
    let first = slot(1, 0);
    world.other.put(&first, Expected::Absent).await.unwrap();
    // The primary itself is no replica of itself: it would never be behind.
    let itself = world.store.replica(pool(world.database.clone()).await, BOUND);
    for _ in 0..2 {
        world.proxy.trips();
        assert_eq!(itself.load(&[first.id().clone()]).await.unwrap(), [Loaded::Slot(first.clone())]);
        assert!(world.proxy.trips() > 0);
    }
    // A replica in which the store is not, or not yet.
    let nothing = world.store.replica(pool(world.standby.options()).await, BOUND);
    assert_eq!(nothing.load(&[first.id().clone()]).await.unwrap(), [Loaded::Slot(first.clone())]);
    world.catch_up().await;
    assert_eq!(nothing.load(&[first.id().clone()]).await.unwrap(), [Loaded::Slot(first.clone())]);

    world.standby.promote();
    world.load(first.id()).await;
    assert!(!world.is_from_replica(first.id()).await, "it goes its own way");
    world.standby.kill();
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(300));
    let gone = world.store.replica(options.connect_lazy_with(world.standby.options()), BOUND);
    for _ in 0..2 {
        assert_eq!(gone.load(&[first.id().clone()]).await.unwrap(), [Loaded::Slot(first.clone())]);
    }
    assert!(world.primary.log().contains("ready to accept connections"));
    Completion::Completed
}

/// The guard that is around it gives up an attempt, and makes the next: that one goes to the primary, and so does whoever
/// comes after.
pub(super) async fn a_replica_that_goes_silent_is_passed_over(which: Which) -> Completion {
    let world = world!(which);
    let first = slot(1, 0);
    world.other.put(&first, Expected::Absent).await.unwrap();
    world.load(first.id()).await;
    world.catch_up().await;
    let proxy = Proxy::start(&world.standby.options());
    let options = PgPoolOptions::new().test_before_acquire(false);
    let options = options.connect_with(proxy.options(world.replica.connect_options().as_ref())).await.unwrap();
    let guard = Guard::new().clock(world.clock.clone()).timer(world.clock.clone());
    let guard = guard.attempt_deadline(ATTEMPT).backoff(Duration::ZERO, Duration::ZERO);
    let replica = Guarded::new(world.store.replica(options, 10 * ATTEMPT), &guard);
    let ids = [first.id().clone()];
    let is_from_replica = async || {
        world.proxy.trips();
        assert_eq!(replica.load(&ids).await.unwrap(), [Loaded::Slot(first.clone())]);
        world.proxy.trips() == 0
    };
    assert!(is_from_replica().await);

    proxy.lose("key_slots");
    // Whoever goes away at once says nothing of the replica.
    {
        let mut load = replica.load(&ids);
        while proxy.losses() == 0 {
            assert!((&mut load).now_or_never().is_none());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    // Time passes only while the replica is asked, and doesn't answer.
    let patience = async {
        for asked in 2.. {
            while proxy.losses() < asked {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            world.clock.advance(ATTEMPT);
        }
    };
    let loaded = select(replica.load(&ids), patience.boxed()).await;
    let Either::Left((loaded, _)) = loaded else { unreachable!("it has no end") };
    assert_eq!(loaded.unwrap(), [Loaded::Slot(first.clone())]);
    assert!(!is_from_replica().await);
    assert_eq!(proxy.losses(), 2, "it was asked by the one that went away, and once more");
    assert!(!replica.circuit().is_open());

    proxy.heal();
    world.clock.advance(Duration::from_secs(5));
    assert!(is_from_replica().await, "it had its rest");
    Completion::Completed
}

pub(super) async fn what_a_replica_lacks_is_looked_for_at_the_primary(which: Which) -> Completion {
    let world = world!(which);
    let (first, second) = (slot(1, 0), slot(2, 0));
    world.other.put(&first, Expected::Absent).await.unwrap();
    world.load(first.id()).await;
    world.catch_up().await;
    execute(&world.replica, "SELECT pg_wal_replay_pause()").await;
    world.other.put(&second, Expected::Absent).await.unwrap();
    assert!(world.is_from_replica(first.id()).await);
    let found = world.reader.load(&[second.id().clone(), first.id().clone(), slot(3, 0).id().clone()]).await.unwrap();
    assert_eq!(found, [Loaded::Slot(second), Loaded::Slot(first), Loaded::Absent]);
    Completion::Completed
}

/// However often one such person is asked for, the replica answers for the others. For this one the primary does.
pub(super) async fn a_damaged_row_of_a_replica_puts_it_to_no_rest(which: Which) -> Completion {
    let world = world!(which);
    let (first, second) = (slot(1, 0), slot(2, 0));
    for slot in [&first, &second] {
        world.other.put(slot, Expected::Absent).await.unwrap();
    }
    world.load(first.id()).await;
    let primary = pool(world.database.clone()).await;
    let damage = async |state: i16| {
        let sql = "UPDATE fieldseal.key_slots SET state = $1 WHERE id = $2";
        sqlx::query(sql).persistent(false).bind(state).bind(first.id().to_bytes()).execute(&primary).await.unwrap();
    };
    damage(77).await;
    let ids = [second.id().clone(), first.id().clone()];
    for _ in 0..3 {
        world.catch_up().await;
        let found = world.reader.load(&ids).await.unwrap();
        assert_eq!(found[0], Loaded::Slot(second.clone()));
        assert!(matches!(found[1], Loaded::Damaged(_)));
        assert!(world.is_from_replica(second.id()).await, "it does not rest");
    }
    // The primary has the good one back; the replica hasn't.
    world.catch_up().await;
    execute(&world.replica, "SELECT pg_wal_replay_pause()").await;
    damage(first.state().number().into()).await;
    assert_eq!(world.reader.load(&ids).await.unwrap(), [second.clone(), first].map(Loaded::Slot));
    assert!(world.is_from_replica(second.id()).await, "it does not rest");
    Completion::Completed
}

/// It may lag behind what was confirmed, so it is believed in nothing.
pub(super) async fn a_standby_is_no_primary(which: Which) -> Completion {
    let world = world!(which);
    let store = PostgresStore::new(world.replica.clone()).await.unwrap();
    let slot = slot(1, 0);
    let scan = fieldseal::store::Scan::new(fieldseal::store::Filter::All);
    for error in [
        store.load(&[slot.id().clone()]).await.map(drop).unwrap_err(),
        store.scan(&scan).await.map(drop).unwrap_err(),
        store.put(&slot, Expected::Absent).await.unwrap_err(),
        store.raise_floor(fieldseal::store::Epoch::FIRST).await.unwrap_err(),
        store.scrub().await.map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("standby"), "{error}");
    }
    world.standby.promote();
    store.put(&slot, Expected::Absent).await.unwrap();
    assert_eq!(store.load(&[slot.id().clone()]).await.unwrap(), [Loaded::Slot(slot)], "once it is the primary");
    Completion::Completed
}

/// The standby's side of a database, once it is there, in sessions that don't hold up what it replays.
async fn replayed(standby: &Server, database: &PgConnectOptions) -> PgPool {
    let options = standby.options().database(database.get_database().unwrap());
    loop {
        if let Ok(pool) =
            PgPoolOptions::new().acquire_timeout(Duration::from_secs(5)).connect_with(options.clone()).await
        {
            let there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'fieldseal'";
            if sqlx::query_scalar::<_, i64>(there).fetch_one(&pool).await.is_ok_and(|count| count == 2) {
                return pool;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn slot(n: u8, content: u64) -> StoredSlot {
    SampleSlot::new(SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes([n; 16]))).content(content).build()
}
