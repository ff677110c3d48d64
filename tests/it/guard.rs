//! Guarded ports: they are ports like any other, however often what is behind them fails; every call ends in time; and a
//! port that is down is left alone, while what is cached goes on.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::error::{ProviderError, ProviderErrorKind, Retry};
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::{
    EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalErrorKind, JournalEvent, MemoryJournal,
};
use fieldseal::provider::{
    ByTenant, Destruction, KeyMaterial, LocalKeyring, MasterKeyId, MasterKeyProvider, WrapContext, WrappedKey,
};
use fieldseal::rows::{Cell, MemoryRows, Page, Row, RowKey, RowSource, RowsErrorKind, Swap};
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, MemoryStore, Residue, Scan, SlotId, StoreError, StoreErrorKind,
};
use fieldseal::{Error, FieldContext, SubjectKeys, TenantId, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::counting::{Counting, Counts};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, CallPoint, Gate, Port, Tap, Tapped};
use fieldseal_testkit::provider::ProviderFixture;
use fieldseal_testkit::rows::{CellType, FixtureTable, RowsFixture};
use fieldseal_testkit::slot::SampleSlot;
use futures_util::FutureExt as _;
use futures_util::future::join_all;

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_secs(10);

/// On a clock that stands still, and without pauses between attempts.
fn guard(clock: &ManualClock) -> Guard {
    Guard::new().clock(clock.clone()).timer(clock.clone()).backoff(Duration::ZERO, Duration::ZERO)
}

/// Lets time pass whenever the future waits for it, and for nothing else.
async fn driven<T>(clock: &ManualClock, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return done;
        }
        clock.advance(clock.next_sleeper().expect("it waits for what never comes"));
    }
}

// --- The suites, over ports of which one call in three fails: half of these after they did their work -----------------

/// Which calls fail follows from the seed, and from no pattern of theirs.
fn flaky(seed: u64, fails: fn(&CallPoint<'_>) -> bool) -> Tap {
    let drawn = AtomicU64::new(seed);
    Tap::new(move |call| {
        // A generator of Knuth's.
        let step = |x: u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let x = drawn.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).unwrap();
        if fails(call) && (x >> 33).is_multiple_of(5) { Act::Fail } else { Act::Go }
    })
}

/// Some rules write what stands there already and must hear of a conflict. Whoever doesn't know whether its own write
/// landed can't tell that from another's that is the same, byte for byte: in the suites the first write comes through.
fn is_no_write(call: &CallPoint<'_>) -> bool {
    !matches!(call.method, "put" | "append")
}

fn patient() -> Guard {
    guard(&ManualClock::new()).attempts(200).circuit(u32::MAX, PAUSE)
}

async fn store() -> Guarded<Tapped<MemoryStore>> {
    Guarded::new(Tapped::new(MemoryStore::new(), &flaky(1, is_no_write)), &patient())
}

async fn journal() -> Guarded<Tapped<MemoryJournal>> {
    Guarded::new(Tapped::new(MemoryJournal::new().unwrap(), &flaky(1, is_no_write)), &patient())
}

struct Keyring(Guarded<Tapped<LocalKeyring>>);

async fn keyring() -> Keyring {
    Keyring(Guarded::new(Tapped::new(LocalKeyring::ephemeral().unwrap(), &flaky(1, |_| true)), &patient()))
}

#[async_trait]
impl ProviderFixture for Keyring {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        self.0.inner().inner().rotate().await;
    }
}

/// A swap is not made again, so in the suite it comes through.
#[derive(Debug)]
struct Rows(Tap);

#[async_trait]
impl RowsFixture for Rows {
    fn types(&self) -> &[CellType] {
        &[CellType::Bool, CellType::Integer, CellType::Real, CellType::Text, CellType::Bytes]
    }

    async fn table(&self, _key: &[(&str, CellType)], columns: &[(&str, CellType)]) -> Box<dyn FixtureTable> {
        let rows = MemoryRows::new(columns.iter().map(|(name, _)| *name));
        Box::new(RowsTable(Guarded::new(Tapped::new(rows, &self.0), &patient())))
    }
}

#[derive(Debug)]
struct RowsTable(Guarded<Tapped<MemoryRows>>);

#[async_trait]
impl FixtureTable for RowsTable {
    fn rows(&self) -> &dyn RowSource {
        &self.0
    }

    async fn put(&self, row: &Row) {
        self.0.inner().inner().put(row.key.clone(), row.cells.clone()).unwrap();
    }

    async fn delete(&self, key: &RowKey) {
        assert!(self.0.inner().inner().delete(key));
    }
}

async fn rows() -> Rows {
    Rows(flaky(1, |call| call.method != "swap"))
}

fieldseal_testkit::store_suite! { #[tokio::test] guarded_store, store }
fieldseal_testkit::journal_suite! { #[tokio::test] guarded_journal, journal }
fieldseal_testkit::provider_suite! { #[tokio::test] guarded_provider, keyring }
fieldseal_testkit::rows_suite! { #[tokio::test] guarded_rows, rows }

/// The rules about writes that replace and compete, with writes that fail before and after they landed.
#[tokio::test]
async fn writes_are_compare_and_swap_though_they_fail() {
    use fieldseal_testkit::{journal, store};
    for seed in 0..50 {
        let make = || Guarded::new(Tapped::new(MemoryStore::new(), &flaky(seed, |_| true)), &patient());
        store::a_put_over_another_revision_conflicts(&make()).await;
        store::a_put_over_an_earlier_revision_conflicts(&make()).await;
        store::a_put_over_the_right_revision_replaces(&make()).await;
        store::one_of_many_first_puts_wins(&make()).await;
        store::one_of_many_replacements_wins(&make()).await;
        store::concurrent_puts_of_different_slots_all_land(&make()).await;
        store::a_put_below_the_floor_is_refused(&make()).await;
        store::nothing_below_the_floor_lands_after_it_was_raised(&make()).await;
        let make = || Guarded::new(Tapped::new(MemoryJournal::new().unwrap(), &flaky(seed, |_| true)), &patient());
        journal::an_append_gives_the_head_after_the_entry(&make()).await;
        journal::an_append_at_a_head_that_never_was_conflicts(&make()).await;
        journal::one_of_many_appends_at_one_head_wins(&make()).await;
        journal::writers_that_try_again_lose_no_entry(&make()).await;
    }
}

// --- Writes of which nobody knows whether they landed -----------------------------------------------------------------

/// The first call of a method fails so after its work, or before it.
fn first(method: &'static str, after: bool, fails: Act) -> Tap {
    Tap::new(move |call| {
        let it_is = call.number == 0 && call.method == method && call.is_over() == after;
        if it_is { fails.clone() } else { Act::Go }
    })
}

/// What is throttled may have landed, too: by an attempt that the port's own client made before.
const WAYS_TO_FAIL: [(bool, Act); 4] =
    [(false, Act::Fail), (true, Act::Fail), (false, Act::Throttle), (true, Act::Throttle)];

fn slot(content: u64) -> fieldseal::store::StoredSlot {
    SampleSlot::new(SlotId::Vault).content(content).build()
}

fn entry(millis: u64) -> JournalEntry {
    JournalEntry::store_wide(Timestamp::from_millis(millis), JournalEvent::MaxAgeRaised { millis })
}

#[tokio::test]
async fn a_put_is_done_once_whether_or_not_it_had_landed() {
    for (after, fails) in WAYS_TO_FAIL {
        let tap = first("put", after, fails);
        let store = Guarded::new(Counting::new(Tapped::new(MemoryStore::new(), &tap)), &guard(&ManualClock::new()));
        let counts = store.inner().counts();
        store.put(&slot(1), Expected::Absent).await.unwrap();
        assert_eq!((counts.puts(), counts.loads()), (2, u64::from(after)));
        let found = store.load(&[SlotId::Vault]).await.unwrap();
        assert_eq!(found, [Loaded::Slot(slot(1))]);
        store.put(&slot(2), Expected::Revision(slot(1).revision())).await.unwrap();
    }
}

#[tokio::test]
async fn a_put_that_lost_while_nobody_knew_conflicts() {
    let inner = Arc::new(MemoryStore::new());
    let store = Guarded::new(Tapped::new(inner.clone(), &first("put", false, Act::Fail)), &guard(&ManualClock::new()));
    inner.put(&slot(7), Expected::Absent).await.unwrap();
    let lost = store.put(&slot(1), Expected::Absent).await.unwrap_err();
    assert_eq!(lost.kind(), StoreErrorKind::Conflict);
    assert_eq!(inner.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Slot(slot(7))]);
}

#[tokio::test]
async fn a_put_that_landed_before_the_floor_rose_is_done() {
    let (clock, inner, gate) = (ManualClock::new(), Arc::new(MemoryStore::new()), Gate::new());
    let parked = gate.clone();
    let tap =
        Tap::new(move |call| if call.number == 0 && call.is_over() { Act::Park(parked.clone()) } else { Act::Go });
    let store = Guarded::new(Tapped::new(inner.clone(), &tap), &guard(&clock));
    let slot = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).build();
    let mut put = pin!(store.put(&slot, Expected::Absent));
    assert!((&mut put).now_or_never().is_none(), "its answer is held back");
    inner.raise_floor(Epoch::new(2).unwrap()).await.unwrap();
    clock.advance(2 * SECOND);
    put.await.unwrap();
}

#[tokio::test]
async fn an_append_is_done_once_whether_or_not_it_had_landed() {
    for (after, fails) in WAYS_TO_FAIL {
        let inner = Arc::new(MemoryJournal::new().unwrap());
        let tap = first("append", after, fails);
        let journal = Guarded::new(Tapped::new(inner.clone(), &tap), &guard(&ManualClock::new()));
        let head = journal.append(&entry(1), &Head::EMPTY).await.unwrap();
        assert_eq!(head, Head::EMPTY.advanced_by(&entry(1)));
        assert_eq!(inner.read(0, 9).await.unwrap(), [entry(1)]);
        assert_eq!(inner.head().await.unwrap(), head);
    }
}

/// An append whose answer is held back, until `meanwhile` was done and its time is over.
async fn slow_append<F: Future>(
    landed: bool,
    meanwhile: impl FnOnce(Arc<MemoryJournal>) -> F,
) -> (Result<Head, JournalError>, Vec<JournalEntry>) {
    let (clock, inner) = (ManualClock::new(), Arc::new(MemoryJournal::new().unwrap()));
    let tap = Tap::new(move |call: &CallPoint<'_>| {
        let parks = call.number == 0 && call.is_over() == landed;
        if parks { Act::Park(Gate::new()) } else { Act::Go }
    });
    let journal = Guarded::new(Tapped::new(inner.clone(), &tap), &guard(&clock));
    let entry = entry(1);
    let mut append = pin!(journal.append(&entry, &Head::EMPTY));
    assert!((&mut append).now_or_never().is_none());
    meanwhile(inner.clone()).await;
    clock.advance(2 * SECOND);
    let answer = append.await;
    (answer, inner.read(0, 9).await.unwrap())
}

#[tokio::test]
async fn an_append_is_found_behind_which_others_have_appended() {
    let (answer, entries) = slow_append(true, async |inner| {
        for n in [2, 3] {
            let head = inner.head().await.unwrap();
            inner.append(&entry(n), &head).await.unwrap();
        }
    })
    .await;
    assert_eq!(answer.unwrap(), Head::EMPTY.advanced_by(&entry(1)));
    assert_eq!(entries, [entry(1), entry(2), entry(3)]);
}

#[tokio::test]
async fn an_append_that_lost_while_nobody_knew_conflicts() {
    let (answer, entries) = slow_append(false, async |inner| {
        inner.append(&entry(2), &Head::EMPTY).await.unwrap();
    })
    .await;
    assert_eq!(answer.unwrap_err().kind(), JournalErrorKind::Conflict);
    assert_eq!(entries, [entry(2)]);
}

/// A journal in which the entry stands where it should, behind another that nobody asks about; it ends here.
#[derive(Debug)]
struct Forked(Head);

#[async_trait]
impl ErasureJournal for Forked {
    async fn id(&self) -> Result<fieldseal::journal::JournalId, JournalError> {
        Err(JournalError::unavailable("not asked for"))
    }

    async fn head(&self) -> Result<Head, JournalError> {
        Ok(self.0)
    }

    async fn append(&self, _: &JournalEntry, _: &Head) -> Result<Head, JournalError> {
        Err(JournalError::conflict())
    }

    async fn read(&self, _: u64, _: usize) -> Result<Vec<JournalEntry>, JournalError> {
        Ok(vec![entry(1)])
    }

    async fn read_of(
        &self,
        _: Option<&TenantId>,
        _: Option<&fieldseal::store::Tag>,
        _: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        Err(JournalError::unavailable("not asked for"))
    }
}

#[tokio::test]
async fn an_append_is_found_in_its_own_chain_alone() {
    let [own, other] = [7, 8].map(|byte| Head::from_parts(1, [byte; 32]));
    let guard = guard(&ManualClock::new());
    let append = async |expected: Head, end: Head| {
        let journal = Guarded::new(Tapped::new(Forked(end), &first("append", false, Act::Fail)), &guard);
        journal.append(&entry(1), &expected).await.map_err(|e| e.kind())
    };
    assert_eq!(append(own, own.advanced_by(&entry(1))).await, Ok(own.advanced_by(&entry(1))));
    assert_eq!(append(other, own.advanced_by(&entry(1))).await, Err(JournalErrorKind::Conflict));
    assert_eq!(append(own, own).await, Err(JournalErrorKind::Conflict), "the journal ends before it");
    let far = Head::from_parts(5000, [9; 32]);
    assert_eq!(append(own, far).await, Err(JournalErrorKind::Unavailable), "nobody can tell");
}

// --- Rows -------------------------------------------------------------------------------------------------------------

fn row_key() -> RowKey {
    RowKey::new(vec![Cell::Integer(1)])
}

/// One row, with one cell.
fn one_row(tap: &Tap, guard: &Guard) -> (MemoryRows, Guarded<Tapped<MemoryRows>>) {
    let rows = MemoryRows::new(["email"]);
    rows.put(row_key(), vec![Cell::text("a")]).unwrap();
    (rows.clone(), Guarded::new(Tapped::new(rows, tap), guard))
}

fn swap(from: &str, to: &str) -> [Swap; 1] {
    [Swap::of(row_key()).cell(0, Cell::text(from), Cell::text(to))]
}

#[tokio::test]
async fn rows_that_could_not_be_read_are_read_again() {
    for (after, fails) in WAYS_TO_FAIL {
        for method in ["page", "load", "count"] {
            let tap = first(method, after, fails.clone());
            let (_, rows) = one_row(&tap, &guard(&ManualClock::new()));
            match method {
                "page" => assert_eq!(rows.page(&Page::first(9)).await.unwrap().len(), 1),
                "load" => assert!(rows.load(&[row_key()]).await.unwrap().iter().all(Option::is_some)),
                _ => assert_eq!(rows.count().await.unwrap(), 1),
            }
            assert_eq!(tap.calls(), 2, "{method}");
        }
    }
}

#[tokio::test]
async fn a_swap_that_may_have_landed_is_not_made_again() {
    for (after, fails) in WAYS_TO_FAIL {
        let kind = if let Act::Throttle = fails { RowsErrorKind::Throttled } else { RowsErrorKind::Unavailable };
        let tap = first("swap", after, fails);
        let (stands, rows) = one_row(&tap, &guard(&ManualClock::new()));
        let failed = rows.swap(&swap("a", "b")).await.unwrap_err();
        assert_eq!((failed.kind(), failed.retry(), tap.calls()), (kind, Retry::Later, 1));
        // A second one, to which it had landed, would have told of another's change.
        assert_eq!(stands.swap(&swap("b", "c")).await.unwrap(), [after]);
        assert_eq!(rows.swap(&swap(if after { "c" } else { "a" }, "d")).await.unwrap(), [true]);
        assert_eq!(rows.swap(&swap("a", "d")).await.unwrap(), [false], "that is an answer");
    }
}

#[tokio::test]
async fn rows_that_do_not_answer_are_given_up_by_the_deadline() {
    let (clock, tap) = (ManualClock::new(), silent());
    let guard = guard(&clock).circuit(u32::MAX, PAUSE);
    let (_, rows) = one_row(&tap, &guard);
    let only = Page::first(9).only("email", Cell::text("a"));
    let spent = async |name: &str| {
        let (before, calls) = (clock.monotonic(), tap.calls());
        let answer = match name {
            "page" => driven(&clock, rows.page(&Page::first(9))).await.map(drop),
            "only" => driven(&clock, rows.page(&only)).await.map(drop),
            "load" => driven(&clock, rows.load(&[row_key()])).await.map(drop),
            "count" => driven(&clock, rows.count()).await.map(drop),
            _ => driven(&clock, rows.swap(&swap("a", "b"))).await.map(drop),
        };
        assert_eq!(answer.unwrap_err().kind(), RowsErrorKind::Unavailable, "{name}");
        ((clock.monotonic() - before).as_secs(), tap.calls() - calls)
    };
    assert_eq!(spent("page").await, (5, 3));
    assert_eq!(spent("load").await, (5, 3));
    assert_eq!(spent("swap").await, (5, 1));
    assert_eq!(spent("only").await, (600, 1), "without an index on the column it reads the whole table");
    assert_eq!(spent("count").await, (600, 1));
}

#[tokio::test]
async fn a_table_that_is_down_is_left_alone() {
    let (clock, tap) = (ManualClock::new(), Tap::new(|_| Act::Fail));
    let (_, rows) = one_row(&tap, &guard(&clock));
    for n in 1..=5 {
        assert!(!rows.circuit().is_open());
        rows.swap(&swap("a", "b")).await.unwrap_err();
        assert_eq!(tap.calls(), n);
    }
    let failed = rows.page(&Page::first(9)).await.unwrap_err().to_string();
    assert!(rows.circuit().is_open() && failed.contains("not asked"), "{failed}");
    assert_eq!(tap.calls(), 5);
}

// --- Which answers are asked for again --------------------------------------------------------------------------------

/// Answers everything with this.
#[derive(Debug)]
struct Says(ProviderErrorKind);

impl Says {
    fn counted(self) -> (Guarded<Counting<Self>>, Counts) {
        let inner = Counting::new(self);
        let counts = inner.counts();
        (Guarded::new(inner, &guard(&ManualClock::new())), counts)
    }
}

#[async_trait]
impl MasterKeyProvider for Says {
    async fn current(&self) -> Result<MasterKeyId, ProviderError> {
        Err(ProviderError::new(self.0).with_hint("as it was told"))
    }

    async fn wrap_key(&self, _: &KeyMaterial, _: &WrapContext) -> Result<WrappedKey, ProviderError> {
        Err(ProviderError::new(self.0))
    }

    async fn unwrap_key(&self, _: &WrappedKey, _: &WrapContext) -> Result<KeyMaterial, ProviderError> {
        Err(ProviderError::new(self.0))
    }

    async fn destroy_key(&self, _: &MasterKeyId) -> Result<Destruction, ProviderError> {
        Err(ProviderError::new(self.0))
    }

    async fn destruction(&self, _: &MasterKeyId) -> Result<Option<Destruction>, ProviderError> {
        Err(ProviderError::new(self.0))
    }
}

const REFUSALS: [ProviderErrorKind; 8] = [
    ProviderErrorKind::UnknownKey,
    ProviderErrorKind::KeyDestroyed,
    ProviderErrorKind::Authentication,
    ProviderErrorKind::Disabled,
    ProviderErrorKind::PendingDeletion,
    ProviderErrorKind::Denied,
    ProviderErrorKind::Corrupt,
    ProviderErrorKind::Misconfigured,
];

#[tokio::test]
async fn a_refusal_is_asked_for_once_and_passed_on_as_it_is() {
    for kind in REFUSALS {
        let (provider, counts) = Says(kind).counted();
        for n in 1..=10 {
            let error = provider.current().await.unwrap_err();
            assert_eq!((error.kind(), counts.currents()), (kind, n));
            assert!(error.to_string().ends_with(": as it was told"));
        }
        assert!(!provider.circuit().is_open(), "{kind:?} is an answer");
    }
}

#[tokio::test]
async fn a_conflict_is_the_callers_to_decide() {
    let store = Guarded::new(Counting::new(MemoryStore::new()), &guard(&ManualClock::new()));
    let counts = store.inner().counts();
    let absent = Expected::Revision(slot(1).revision());
    assert_eq!(store.put(&slot(2), absent).await.unwrap_err().kind(), StoreErrorKind::Conflict);
    assert_eq!((counts.puts(), counts.loads()), (1, 0));
}

#[tokio::test]
async fn what_is_throttled_is_asked_again_and_opens_nothing() {
    let (provider, counts) = Says(ProviderErrorKind::Throttled).counted();
    for n in 1..=10 {
        assert_eq!(provider.current().await.unwrap_err().kind(), ProviderErrorKind::Throttled);
        assert_eq!(counts.currents(), 3 * n);
    }
    assert!(!provider.circuit().is_open());
    let tap = Tap::new(|_| Act::Throttle);
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard(&ManualClock::new()));
    let journal = Guarded::new(Tapped::new(MemoryJournal::new().unwrap(), &tap), &guard(&ManualClock::new()));
    let (_, rows) = one_row(&tap, &guard(&ManualClock::new()));
    for n in 1..=10 {
        assert_eq!(store.load(&[SlotId::Vault]).await.unwrap_err().kind(), StoreErrorKind::Throttled);
        assert_eq!(journal.head().await.unwrap_err().kind(), JournalErrorKind::Throttled);
        assert_eq!(rows.count().await.unwrap_err().kind(), RowsErrorKind::Throttled);
        assert_eq!(tap.calls(), 9 * n);
    }
    assert!(!store.circuit().is_open() && !journal.circuit().is_open() && !rows.circuit().is_open());
}

#[tokio::test]
async fn one_tenants_provider_that_is_down_opens_no_circuit_for_all() {
    let [acme, globex] = ["acme", "globex"].map(|tenant| TenantId::new(tenant).unwrap());
    let down = Arc::new(Says(ProviderErrorKind::Unavailable)) as Arc<dyn MasterKeyProvider>;
    let set = ByTenant::new(LocalKeyring::ephemeral().unwrap(), HashMap::from([(acme.clone(), down)]));
    let provider = Guarded::new(set, &guard(&ManualClock::new()));
    let key = KeyMaterial::generate().unwrap();
    let context = |tenant| WrapContext::epoch_key(tenant, Epoch::FIRST, key.id());
    for _ in 0..10 {
        let failed = provider.wrap_key(&key, &context(acme.clone())).await.unwrap_err();
        assert_eq!(failed.kind(), ProviderErrorKind::Unavailable);
    }
    assert!(!provider.circuit().is_open());
    provider.wrap_key(&key, &context(globex)).await.unwrap();
}

/// Such as one that waits for a lock for 1.5 s: the last attempt ends with the call, before it can say so.
#[tokio::test]
async fn what_is_throttled_late_is_throttled_when_the_time_is_up() {
    let clock = ManualClock::new();
    let (tap, slow) = (Tap::open(), clock.clone());
    tap.set(move |_| {
        if slow.monotonic() < 3 * SECOND {
            slow.advance(1900 * SECOND / 1000);
            return Act::Throttle;
        }
        Act::Park(Gate::new())
    });
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard(&clock).circuit(1, PAUSE));
    let failed = driven(&clock, store.load(&[SlotId::Vault])).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Throttled);
    assert_eq!((tap.calls(), clock.monotonic()), (3, 5 * SECOND));
    assert!(!store.circuit().is_open());
}

// --- Deadlines --------------------------------------------------------------------------------------------------------

/// Never answers.
fn silent() -> Tap {
    Tap::new(|_| Act::Park(Gate::new()))
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_though_the_port_never_answers() {
    let (clock, tap) = (ManualClock::new(), silent());
    let guard = guard(&clock).circuit(u32::MAX, PAUSE);
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard);
    let error = driven(&clock, store.load(&[])).await.unwrap_err();
    assert_eq!((clock.monotonic(), tap.calls()), (5 * SECOND, 3)); // 2 + 2 + 1
    assert_eq!((error.kind(), error.retry()), (StoreErrorKind::Unavailable, Retry::Later));
    assert_eq!(error.to_string(), "not available: no answer within 1s; what was to be changed may have been");

    let one = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard.attempts(1).attempt_deadline(PAUSE));
    driven(&clock, one.load(&[])).await.unwrap_err();
    assert_eq!(clock.monotonic(), 10 * SECOND, "an attempt may not take longer than the call");
}

#[tokio::test]
async fn pauses_are_part_of_the_deadline() {
    let (clock, tap) = (ManualClock::new(), Tap::new(|_| Act::Fail));
    let guard = guard(&clock).backoff(PAUSE, PAUSE).circuit(u32::MAX, PAUSE).attempts(1000);
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard);
    for _ in 0..100 {
        let before = clock.monotonic();
        let error = driven(&clock, store.load(&[])).await.unwrap_err();
        assert!(clock.monotonic() - before <= 5 * SECOND);
        assert_eq!(error.source().unwrap().to_string(), "a tap let the call fail", "it is the port's own error");
    }
    assert!(tap.calls() > 100, "there were second attempts");
}

#[tokio::test]
async fn a_scrub_is_waited_for_longer() {
    let (clock, gate) = (ManualClock::new(), Gate::new());
    let parked = gate.clone();
    let tap = Tap::new(move |_| Act::Park(parked.clone()));
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard(&clock));
    let mut scrub = pin!(store.scrub());
    assert!((&mut scrub).now_or_never().is_none());
    clock.advance(599 * SECOND);
    assert!((&mut scrub).now_or_never().is_none(), "it is still waited for");
    gate.open();
    let _: Residue = scrub.await.unwrap();
    tap.set(|_| Act::Park(Gate::new()));
    let error: StoreError = driven(&clock, store.scrub()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn a_page_is_waited_for_longer_and_a_single_slot_is_not() {
    let clock = ManualClock::new();
    let guard = guard(&clock).circuit(u32::MAX, PAUSE);
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &silent()), &guard);
    let tenant = Scan::new(Filter::All).tenant(TenantId::default_tenant());
    for (scan, limit) in [
        (Scan::new(Filter::All).limit(1), 5),
        (tenant.clone().limit(1), 5),
        (tenant.limit(2), 600),
        (Scan::new(Filter::All), 600),
        // There may be none for as long as there are others.
        (Scan::new(Filter::EpochBelow(Epoch::FIRST)).limit(1), 600),
        (Scan::new(Filter::DueBefore(Timestamp::from_millis(1))).limit(1), 600),
    ] {
        let before = clock.monotonic();
        driven(&clock, store.scan(&scan)).await.unwrap_err();
        assert_eq!(clock.monotonic() - before, limit * SECOND, "{scan:?}");
    }
}

/// Somebody waits for it.
#[tokio::test]
async fn a_first_enrollment_meets_its_deadline_if_a_scan_hangs() -> Result<(), Error> {
    let (clock, tap) = (ManualClock::new(), Tap::open());
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard(&clock).circuit(u32::MAX, PAUSE));
    let builder = Vault::builder(LocalKeyring::ephemeral()?, store).kinds(["customer"]).journal(MemoryJournal::new()?);
    let vault = builder.clock(clock.clone()).build().await?;
    tap.set(|call| if call.method == "scan" { Act::Park(Gate::new()) } else { Act::Go });
    let before = clock.monotonic();
    let failed = driven(&clock, vault.default_tenant().enroll(&customer("ada"))).await.map(drop).unwrap_err();
    assert!(failed.to_string().contains("no answer within"), "{failed}");
    assert_eq!(clock.monotonic() - before, 5 * SECOND);
    Ok(())
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_on_the_systems_clock() {
    let guard = Guard::new().deadline(Duration::from_millis(20)); // and its own thread
    let store = Guarded::new(Tapped::new(MemoryStore::new(), &silent()), &guard);
    assert_eq!(store.load(&[]).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

// --- The circuit ------------------------------------------------------------------------------------------------------

struct Circuit {
    clock: ManualClock,
    tap: Tap,
    provider: Guarded<Tapped<LocalKeyring>>,
}

impl Circuit {
    /// Of a provider that is down, and opens after 5.
    fn new() -> Self {
        let (clock, tap) = (ManualClock::new(), Tap::new(|_| Act::Fail));
        let inner = Tapped::new(LocalKeyring::ephemeral().unwrap(), &tap);
        let provider = Guarded::new(inner, &guard(&clock));
        Self { clock, tap, provider }
    }

    async fn open() -> Self {
        let circuit = Self::new();
        for _ in 0..2 {
            circuit.provider.current().await.unwrap_err();
        }
        assert!(circuit.provider.circuit().is_open());
        circuit.tap.set(|_| Act::Fail);
        circuit
    }
}

#[tokio::test]
async fn a_port_that_is_down_is_left_alone() {
    let Circuit { tap, provider, .. } = Circuit::new();
    let circuit = provider.circuit();
    provider.current().await.unwrap_err();
    assert_eq!((tap.calls(), circuit.is_open()), (3, false));
    let error = provider.current().await.unwrap_err();
    assert_eq!((tap.calls(), circuit.is_open()), (5, true), "no third attempt of the second call");
    assert_eq!(error.source().unwrap().to_string(), "a tap let the call fail");
    for _ in 0..10 {
        let error = provider.current().await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ProviderErrorKind::Unavailable, Retry::Later));
        let hint = "not asked: it failed 5 times in a row and is asked again in 10 s; what is cached goes on until its \
                    time limit";
        assert_eq!(error.to_string(), format!("not available: {hint}"));
    }
    assert_eq!(tap.calls(), 5);
}

#[tokio::test]
async fn after_a_pause_one_call_is_let_through() {
    let Circuit { clock, tap, provider } = Circuit::open().await;
    for n in 1..=3 {
        clock.advance(PAUSE);
        let many = join_all((0..100).map(|_| provider.current())).await;
        assert!(many.iter().all(Result::is_err));
        assert_eq!(tap.calls(), n);
    }
    tap.set(|_| Act::Go);
    clock.advance(PAUSE - Duration::from_millis(1));
    let error = provider.current().await.unwrap_err();
    assert!(error.to_string().contains("failed 8 times in a row and is asked again in 1 s"), "{error}");
    clock.advance(Duration::from_millis(1));
    provider.current().await.unwrap();
    assert!(join_all((0..100).map(|_| provider.current())).await.iter().all(Result::is_ok));
}

/// As its documentation says: an alert on it must not end because nobody called for a while.
#[tokio::test]
async fn a_pause_alone_closes_no_circuit_and_an_answered_call_does() {
    let Circuit { clock, tap, provider } = Circuit::open().await;
    let circuit = provider.circuit();
    tap.set(|_| Act::Go);
    clock.advance(100 * PAUSE);
    assert!(circuit.is_open(), "nobody has asked");
    provider.current().await.unwrap();
    assert!(!circuit.is_open());
}

#[tokio::test]
async fn a_dropped_trial_call_keeps_others_out_for_one_pause_at_most() {
    let Circuit { clock, tap, provider } = Circuit::open().await;
    clock.advance(PAUSE);
    tap.set(|_| Act::Park(Gate::new()));
    assert!(provider.current().now_or_never().is_none());
    tap.set(|_| Act::Go);
    provider.current().await.unwrap_err();
    clock.advance(PAUSE);
    provider.current().await.unwrap();
}

#[tokio::test]
async fn an_answer_of_any_kind_closes_it() {
    for kind in REFUSALS.into_iter().chain([ProviderErrorKind::Throttled]) {
        let clock = ManualClock::new();
        let tap = Tap::new(|_| Act::Fail);
        let provider = Guarded::new(Tapped::new(Says(kind), &tap), &guard(&clock));
        for _ in 0..2 {
            provider.current().await.unwrap_err();
        }
        tap.set(|_| Act::Go);
        assert!(provider.circuit().is_open());
        clock.advance(PAUSE);
        assert_eq!(provider.current().await.unwrap_err().kind(), kind);
        assert!(!provider.circuit().is_open());
    }
}

#[tokio::test]
async fn failures_with_an_answer_between_them_open_nothing() {
    let Circuit { tap, provider, .. } = Circuit::new();
    tap.set(|call| if call.number % 5 == 4 { Act::Go } else { Act::Fail });
    for _ in 0..100 {
        let _ = provider.current().await;
    }
    assert!(!provider.circuit().is_open());
    assert!(tap.calls() > 200);
}

#[tokio::test]
async fn silence_opens_it_like_a_refused_connection() {
    let Circuit { clock, tap, provider } = Circuit::new();
    tap.set(|_| Act::Park(Gate::new()));
    for _ in 0..2 {
        driven(&clock, provider.current()).await.unwrap_err();
    }
    assert!(provider.circuit().is_open());
    let before = clock.monotonic();
    provider.current().await.unwrap_err();
    assert_eq!(clock.monotonic(), before, "it fails at once");
}

// --- A vault whose provider is down -----------------------------------------------------------------------------------

struct Scene {
    clock: ManualClock,
    tap: Tap,
    vault: Vault,
}

impl Scene {
    async fn new() -> Result<Self, Error> {
        let (clock, tap) = (ManualClock::new(), Tap::open());
        let provider = Guarded::new(Tapped::new(LocalKeyring::ephemeral()?, &tap), &guard(&clock));
        let vault = Vault::builder(provider, MemoryStore::new())
            .kinds(["customer"])
            .journal(MemoryJournal::new()?)
            .clock(clock.clone())
            .build()
            .await?;
        Ok(Self { clock, tap, vault })
    }

    fn fail(&self) {
        self.tap.set(|_| Act::Fail);
    }
}

fn seal(keys: &SubjectKeys) -> Result<Vec<u8>, Error> {
    keys.seal_bytes(b"ada@example.com", &FieldContext::new("customer", "email", &17i64)?)
}

fn open(keys: &SubjectKeys, envelope: &[u8]) -> Result<(), Error> {
    let value = keys.open_bytes(envelope, &FieldContext::new("customer", "email", &17i64)?)?;
    assert_eq!(value.as_deref().map(Vec::as_slice), Some(b"ada@example.com".as_slice()));
    Ok(())
}

/// The provider's silence, and nothing else.
fn unavailable<T>(answer: Result<T, Error>) -> String {
    match answer.map(drop).unwrap_err() {
        Error::Provider(e) if e.kind() == ProviderErrorKind::Unavailable => e.to_string(),
        e => panic!("{e:?}"),
    }
}

#[tokio::test]
async fn a_warm_tenant_needs_no_provider_until_its_time_limit() -> Result<(), Error> {
    let scene = Scene::new().await?;
    let warm = scene.vault.default_tenant();
    let sealed = seal(&warm.enroll(&customer("ada")).await?)?;
    scene.fail();
    scene.clock.advance(scene.vault.max_age() / 2);
    open(&warm.keys(&customer("ada")).await?, &sealed)?;
    let ben = warm.enroll(&customer("ben")).await?; // a data key is wrapped by the tenant's, which is cached
    open(&ben, &seal(&ben)?)?;
    open(&warm.refresh(&ben).await?, &seal(&ben)?)?;
    assert_eq!(scene.tap.calls(), 0, "nothing is asked of the provider");

    scene.clock.advance(scene.vault.max_age() / 2 + SECOND);
    let first = unavailable(warm.keys(&customer("ada")).await);
    let second = unavailable(warm.keys(&customer("ada")).await);
    let third = unavailable(warm.keys(&customer("ada")).await);
    assert!(
        !first.contains("not asked") && third.contains("not asked: it failed 5 times in a row"),
        "{second}; {third}"
    );

    scene.tap.set(|_| Act::Go);
    scene.clock.advance(PAUSE);
    open(&warm.keys(&customer("ada")).await?, &sealed)
}

#[tokio::test]
async fn cold_tenants_fail_at_once_until_the_provider_is_back() -> Result<(), Error> {
    let scene = Scene::new().await?;
    let cold = ["acme", "bolt", "core"].map(|name| scene.vault.tenant(&TenantId::new(name).unwrap()));
    let mut sealed = Vec::new();
    for tenant in &cold {
        sealed.push(seal(&tenant.enroll(&customer("ada")).await?)?);
    }
    scene.clock.advance(scene.vault.max_age() + SECOND);
    scene.fail();
    for _ in 0..2 {
        unavailable(cold.first().unwrap().keys(&customer("ada")).await);
    }
    assert_eq!(scene.tap.calls(), 5);
    let ada = customer("ada");
    for pauses in 0..3 {
        for tenant in &cold {
            for answer in join_all((0..50).map(|_| tenant.keys(&ada))).await {
                unavailable(answer);
            }
        }
        assert_eq!(scene.tap.calls(), 5 + pauses, "one call a pause");
        scene.clock.advance(PAUSE);
    }
    scene.tap.set(|_| Act::Go);
    for (tenant, sealed) in cold.iter().zip(&sealed) {
        open(&tenant.keys(&customer("ada")).await?, sealed)?;
    }
    Ok(())
}

#[tokio::test]
async fn while_a_port_is_down_keys_are_given_out_for_half_max_age() -> Result<(), Error> {
    for down in [Port::Store, Port::Journal] {
        let (clock, tap) = (ManualClock::new(), Tap::open());
        let guard = guard(&clock);
        let store = Guarded::new(Tapped::new(MemoryStore::new(), &tap), &guard);
        let journal = Guarded::new(Tapped::new(MemoryJournal::new()?, &tap), &guard);
        let builder =
            Vault::builder(LocalKeyring::ephemeral()?, store).kinds(["customer"]).journal(journal).clock(clock.clone());
        let vault = builder.build().await?;
        let customers = vault.default_tenant();
        let sealed = seal(&customers.enroll(&customer("ada")).await?)?;
        tap.set(move |call| if call.port == down { Act::Fail } else { Act::Go });
        clock.advance(vault.max_age() / 2);
        let keys = customers.keys(&customer("ada")).await?;
        clock.advance(SECOND);
        for _ in 0..10 {
            let failed = customers.keys(&customer("ada")).await.map(drop).unwrap_err();
            assert_eq!(failed.retry(), Retry::Later);
        }
        let failed = customers.keys(&customer("ada")).await.map(drop).unwrap_err().to_string();
        let name = if down == Port::Store { "key store" } else { "erasure journal" };
        assert!(failed.starts_with(&format!("{name}: not available: not asked")), "{failed}");
        clock.advance(vault.max_age() / 2 - SECOND);
        open(&keys, &sealed)?;
        clock.advance(SECOND);
        assert!(matches!(open(&keys, &sealed), Err(Error::KeysExpired)));
        tap.set(|_| Act::Go);
        open(&customers.keys(&customer("ada")).await?, &sealed)?;
    }
    Ok(())
}
