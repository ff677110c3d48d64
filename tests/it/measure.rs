//! Measured ports: they are ports like any other, each call counts once under how it ended, and nothing that is measured or
//! traced says whose keys they were.

use std::time::Duration;

use async_trait::async_trait;
use fieldseal::clock::Clock as _;
use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::MemoryJournal;
use fieldseal::measure::{Counters, Measured, Port, Series};
use fieldseal::provider::{LocalKeyring, MasterKeyProvider};
use fieldseal::rows::{MemoryRows, Page, RowSource as _};
use fieldseal::store::{Expected, KeyStore as _, MemoryStore, SlotId};
use fieldseal::vault::ErasureRequest;
use fieldseal::{TenantId, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, Gate, Tap, Tapped};
use fieldseal_testkit::provider::ProviderFixture;
use fieldseal_testkit::slot::SampleSlot;
use futures_util::FutureExt as _;

async fn store() -> Measured<MemoryStore> {
    Measured::new(MemoryStore::new(), &Counters::new())
}

async fn journal() -> Measured<MemoryJournal> {
    Measured::new(MemoryJournal::new().unwrap(), &Counters::new())
}

struct Keyring(Measured<LocalKeyring>);

async fn keyring() -> Keyring {
    Keyring(Measured::new(LocalKeyring::ephemeral().unwrap(), &Counters::new()))
}

#[async_trait]
impl ProviderFixture for Keyring {
    fn provider(&self) -> &dyn MasterKeyProvider {
        &self.0
    }

    async fn rotate(&self) {
        self.0.inner().rotate().await;
    }
}

fieldseal_testkit::store_suite! { #[tokio::test] measured_store, store }
fieldseal_testkit::journal_suite! { #[tokio::test] measured_journal, journal }
fieldseal_testkit::provider_suite! { #[tokio::test] measured_provider, keyring }

/// Port, method, outcome, count.
fn counts(counters: &Counters) -> Vec<(&'static str, &'static str, &'static str, u64)> {
    counters.snapshot().iter().map(|s| (s.port.name(), s.method, s.outcome, s.count())).collect()
}

#[tokio::test]
async fn a_call_counts_once_under_its_port_method_and_outcome() {
    let (counters, tap) = (Counters::new(), Tap::open());
    let store = Measured::new(Tapped::new(MemoryStore::new(), &tap), &counters);
    let rows = Measured::new(MemoryRows::new(["email"]), &counters);
    let slot = SampleSlot::new(SlotId::Vault).build();
    store.put(&slot, Expected::Absent).await.unwrap();
    store.put(&slot, Expected::Absent).await.unwrap_err();
    for _ in 0..3 {
        store.load(&[SlotId::Vault]).await.unwrap();
    }
    tap.set(|_| Act::Fail);
    store.load(&[]).await.unwrap_err();
    tap.set(|_| Act::Park(Gate::new()));
    assert!(store.load(&[]).now_or_never().is_none());
    rows.page(&Page::first(1)).await.unwrap();
    let wanted = [
        ("store", "load", "dropped", 1),
        ("store", "load", "ok", 3),
        ("store", "load", "unavailable", 1),
        ("store", "put", "conflict", 1),
        ("store", "put", "ok", 1),
        ("rows", "page", "ok", 1),
    ];
    assert_eq!(counts(&counters), wanted);
    assert_eq!(format!("{counters:?}"), "Counters(8 calls)");
}

#[tokio::test]
async fn a_call_is_timed_from_its_first_poll_to_its_end() {
    let clock = ManualClock::new();
    let passing = clock.clone();
    let tap = Tap::new(move |_| {
        passing.advance(Duration::from_millis(2));
        Act::Go
    });
    let counters = Counters::with_clock(clock.clone());
    let store = Measured::new(Tapped::new(MemoryStore::new(), &tap), &counters);
    let load = store.load(&[]);
    clock.advance(Duration::from_secs(100));
    load.await.unwrap();
    let [series] = &*counters.snapshot() else { panic!("one call") };
    assert_eq!(series.sum, Duration::from_millis(4)); // 2 before its work, 2 after
    let bound = Duration::from_micros;
    let within: Vec<_> = series.cumulative().filter(|(b, _)| (bound(1000)..=bound(10_000)).contains(b)).collect();
    assert_eq!(within, [(bound(1000), 0), (bound(2500), 0), (bound(5000), 1), (bound(10_000), 1)]);
    assert_eq!(clock.monotonic(), Duration::from_millis(100_004));
}

#[tokio::test]
async fn within_a_guard_attempts_are_counted_and_around_it_calls() {
    let (attempts, calls) = (Counters::new(), Counters::new());
    let tap = Tap::new(|call| if call.number == 0 && call.is_over() { Act::Fail } else { Act::Go });
    let clock = ManualClock::new();
    let guard = Guard::new().clock(clock.clone()).timer(clock).backoff(Duration::ZERO, Duration::ZERO);
    let store = Measured::new(Tapped::new(MemoryStore::new(), &tap), &attempts);
    let store = Measured::new(Guarded::new(store, &guard), &calls);
    store.put(&SampleSlot::new(SlotId::Vault).build(), Expected::Absent).await.unwrap();
    assert_eq!(counts(&calls), [("store", "put", "ok", 1)]);
    let wanted = [
        ("store", "load", "ok", 1), // whose slot it is that stands there
        ("store", "put", "conflict", 1),
        ("store", "put", "unavailable", 1),
    ];
    assert_eq!(counts(&attempts), wanted);
}

/// Everything that can be measured is one of these words, or a number.
const WORDS: &[&str] = &[
    "provider",
    "store",
    "journal",
    "rows",
    "current",
    "wrap_key",
    "unwrap_key",
    "destroy_key",
    "destruction",
    "load",
    "put",
    "scan",
    "raise_floor",
    "scrub",
    "id",
    "head",
    "append",
    "read",
    "read_of",
    "clock",
    "ok",
    "dropped",
    "conflict",
    "unavailable",
    "unknown_key",
];

/// A life of a vault: enrollments, an erasure, a provider that fails, one that doesn't know a key.
async fn life(counters: &Counters) -> fieldseal::Result<()> {
    let tap = Tap::open();
    let provider = LocalKeyring::ephemeral()?;
    let vault = Vault::builder(
        Measured::new(Tapped::new(provider, &tap), counters),
        Measured::new(MemoryStore::new(), counters),
    )
    .kinds(["customer"])
    .journal(Measured::new(MemoryJournal::new()?, counters))
    .build()
    .await?;
    let tenant = vault.tenant(&TenantId::new("lovelace-and-sons")?);
    tenant.enroll(&customer("ada@example.com")).await?;
    tenant.erase(&customer("ada@example.com"), &ErasureRequest::new()).await?;
    tap.set(|_| Act::Fail);
    vault.tenant(&TenantId::new("babbage-ltd")?).enroll(&customer("charles@example.com")).await.unwrap_err();
    Ok(())
}

#[tokio::test]
async fn what_is_measured_names_nobody() {
    let counters = Counters::new();
    life(&counters).await.unwrap();
    let snapshot = counters.snapshot();
    let of = |port| snapshot.iter().filter(|s| s.port == port).map(Series::count).sum::<u64>();
    assert!(of(Port::Provider) > 2 && of(Port::Store) > 5 && of(Port::Journal) > 5);
    for series in snapshot {
        for word in [series.port.name(), series.method, series.outcome] {
            assert!(WORDS.contains(&word), "{word}");
        }
    }
}

#[cfg(feature = "tracing")]
mod traced {
    use std::fmt;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::subscriber::DefaultGuard;
    use tracing::{Dispatch, Event, Level, Metadata, Subscriber, subscriber};

    use super::*;

    /// What was seen: of which level and name, in which span, and what of it.
    #[derive(Clone, Debug, PartialEq)]
    struct Seen {
        level: Level,
        name: String,
        within: Option<u64>,
        fields: Vec<(&'static str, String)>,
    }

    #[derive(Clone, Default)]
    struct Collector {
        seen: Arc<Mutex<Vec<Seen>>>,
        within: Arc<Mutex<Vec<u64>>>,
        last: Arc<AtomicU64>,
    }

    struct Fields<'a>(&'a mut Vec<(&'static str, String)>);

    impl Visit for Fields<'_> {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push((field.name(), format!("{value:?}").trim_matches('"').to_owned()));
        }
    }

    impl Collector {
        /// Sees what this thread traces, until the guards are dropped. Of a process with one dispatcher `tracing` asks the
        /// thread's own, and switches off for all threads what is first traced on one that has none: so there are two.
        fn collect(&self) -> (DefaultGuard, Dispatch) {
            (subscriber::set_default(self.clone()), Dispatch::new(Self::default()))
        }

        fn add(&self, metadata: &Metadata<'_>, fields: Vec<(&'static str, String)>) {
            let name = if metadata.is_span() { metadata.name() } else { "event" };
            let within = self.within.lock().unwrap().last().copied();
            let seen = Seen { level: *metadata.level(), name: name.to_owned(), within, fields };
            self.seen.lock().unwrap().push(seen);
        }
    }

    impl Subscriber for Collector {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "fieldseal"
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut fields = Vec::new();
            span.record(&mut Fields(&mut fields));
            self.add(span.metadata(), fields);
            Id::from_u64(self.last.fetch_add(1, Ordering::SeqCst) + 1)
        }

        fn record(&self, _: &Id, values: &Record<'_>) {
            values.record(&mut Fields(&mut self.seen.lock().unwrap().last_mut().unwrap().fields));
        }

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn event(&self, event: &Event<'_>) {
            let mut fields = Vec::new();
            event.record(&mut Fields(&mut fields));
            self.add(event.metadata(), fields);
        }

        fn enter(&self, span: &Id) {
            self.within.lock().unwrap().push(span.into_u64());
        }

        fn exit(&self, _: &Id) {
            self.within.lock().unwrap().pop();
        }
    }

    fn fields<const N: usize>(fields: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
        fields.map(|(name, value)| (name, value.to_owned())).into()
    }

    #[tokio::test]
    async fn a_call_is_a_span_that_ends_with_an_event() {
        let collector = Collector::default();
        let _collects = collector.collect();
        let (tap, counters) = (Tap::open(), Counters::with_clock(ManualClock::new()));
        let store = Measured::new(Tapped::new(MemoryStore::new(), &tap), &counters);
        store.load(&[]).await.unwrap();
        tap.set(|_| Act::Fail);
        store.scrub().await.unwrap_err();
        tap.set(|_| Act::Throttle);
        store.load(&[]).await.unwrap_err();
        let seen = collector.seen.lock().unwrap().clone();
        let call = |n, method, outcome, level| {
            let span = fields([("port", "store"), ("method", method), ("outcome", outcome)]);
            let event = fields([("port", "store"), ("method", method), ("outcome", outcome), ("micros", "0")]);
            [
                Seen { level: Level::DEBUG, name: "fieldseal.port".into(), within: None, fields: span },
                Seen { level, name: "event".into(), within: Some(n), fields: event },
            ]
        };
        let wanted = [
            call(1, "load", "ok", Level::DEBUG),
            call(2, "scrub", "unavailable", Level::WARN),
            call(3, "load", "throttled", Level::WARN),
        ];
        assert_eq!(seen, wanted.concat());
    }

    #[tokio::test]
    async fn what_is_traced_names_nobody() {
        let collector = Collector::default();
        let _collects = collector.collect();
        life(&Counters::new()).await.unwrap();
        let seen = collector.seen.lock().unwrap().clone();
        assert!(seen.len() > 20);
        for (name, value) in seen.iter().flat_map(|seen| &seen.fields) {
            assert!(["port", "method", "outcome", "micros"].contains(name), "{name}");
            assert!(WORDS.contains(&value.as_str()) || value.parse::<u64>().is_ok(), "{name} is {value}");
        }
    }
}
