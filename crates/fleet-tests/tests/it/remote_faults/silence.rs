//! Ports that are down, or say nothing: circuits and deadlines.

use std::time::Duration;

use fieldseal::clock::Clock as _;
use fieldseal::guard::{Circuit, Guard, Guarded};
use fieldseal::provider::ProviderErrorKind as P;
use fieldseal::store::StoreErrorKind as S;
use fieldseal::{Error, Tenant, TenantId, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use serde_json::json;

use fleet_tests::microburst::{HANGS, Microburst};

use super::Servers;
use super::aws::Remote;
use super::load::{COLD, Kind, Ledger, WARM, guard, in_time, is_of};

/// Until one call is let through.
const PAUSE: Duration = Duration::from_secs(10);
/// Of a call, where a guard is told no other.
const DEADLINE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(100);

/// So many calls in a row that fail open it, and it stays open until the clock is set.
fn brittle(clock: &ManualClock) -> Guard {
    guard().attempts(1).circuit(3, PAUSE).clock(clock.clone())
}

/// A vault that knows a tenant, and the circuits to its provider and its store.
async fn vault(world: &Remote<'_>, to_kms: &Guard, to_dynamodb: &Guard) -> (Vault, Circuit, Circuit) {
    let provider = Guarded::new(world.provider(&world.to_kms().await.url()), to_kms);
    let store = Guarded::new(world.store(&world.to_dynamodb().await.url()), to_dynamodb);
    let circuits = (provider.circuit(), store.circuit());
    let vault =
        Vault::builder(provider, store).kinds(["customer"]).journal(world.journal.clone()).build().await.unwrap();
    tenant(&vault, WARM).keys(&customer("subject-0")).await.unwrap();
    (vault, circuits.0, circuits.1)
}

fn tenant(vault: &Vault, name: &str) -> Tenant {
    vault.tenant(&TenantId::new(name).unwrap())
}

/// Opens a circuit by calls that fail; then nothing is asked any more.
async fn opens(vault: &Vault, circuit: &Circuit, to: &Microburst, kind: Kind) {
    to.rules(json!([{ "error": { "code": "ServiceUnavailable", "status": 503 } }])).await;
    for n in 0..3 {
        assert!(!circuit.is_open(), "after {n} failures");
        is_of(&cold(vault).await.unwrap_err(), &[kind], "down");
    }
    assert!(circuit.is_open());
    let before = to.asked().await;
    for _ in 0..20 {
        let error = cold(vault).await.unwrap_err();
        is_of(&error, &[kind], "not asked");
        assert!(error.to_string().contains("not asked"), "{error}");
    }
    assert_eq!(to.asked().await, before, "nothing is asked while it is open");
}

/// Closes it by one call that comes through, once its pause is over.
async fn closes(vault: &Vault, circuit: &Circuit, clock: &ManualClock, to: &Microburst, kind: Kind) {
    // Still down: the one call that is let through fails, and nobody else may ask.
    clock.advance(PAUSE);
    let before = to.asked().await;
    is_of(&cold(vault).await.unwrap_err(), &[kind], "still down");
    assert_eq!(to.asked().await, before + 1);
    is_of(&cold(vault).await.unwrap_err(), &[kind], "not asked");
    assert_eq!(to.asked().await, before + 1);
    to.rules(json!([])).await;
    assert!(circuit.is_open(), "nobody has asked since");
    clock.advance(PAUSE);
    cold(vault).await.unwrap();
    assert!(!circuit.is_open());
}

async fn cold(vault: &Vault) -> Result<(), Error> {
    in_time(tenant(vault, COLD[0]).keys(&customer("subject-0"))).await.map(drop)
}

pub(crate) async fn the_circuit_to_kms_opens_and_closes_beside_warm_tenants(servers: &Servers) {
    let (world, clock) = (Remote::new(servers).await, ManualClock::new());
    let (vault, circuit, _) = vault(&world, &brittle(&clock), &guard()).await;
    let kind = Kind::Provider(P::Unavailable);
    opens(&vault, &circuit, world.to_kms().await, kind).await;
    // Subjects that this process never saw, and new ones.
    let (ledger, warm) = (Ledger::default(), tenant(&vault, WARM));
    for name in ["subject-0", "subject-1", "new"] {
        let subject = customer(name);
        let keys = if name == "new" { warm.enroll(&subject).await } else { warm.keys(&subject).await };
        ledger.enrolled(WARM, &subject);
        ledger.use_keys(WARM, &keys.unwrap(), 10);
    }
    closes(&vault, &circuit, &clock, world.to_kms().await, kind).await;
    ledger.check(&world.direct().await).await;
}

pub(crate) async fn the_circuit_to_dynamodb_opens_beside_warm_subjects(servers: &Servers) {
    let (world, clock) = (Remote::new(servers).await, ManualClock::new());
    let (vault, _, circuit) = vault(&world, &guard(), &brittle(&clock)).await;
    let kind = Kind::Store(S::Unavailable);
    opens(&vault, &circuit, world.to_dynamodb().await, kind).await;
    let ledger = Ledger::default();
    let keys = tenant(&vault, WARM).keys(&customer("subject-0")).await.unwrap();
    ledger.enrolled(WARM, &customer("subject-0"));
    ledger.use_keys(WARM, &keys, 10);
    closes(&vault, &circuit, &clock, world.to_dynamodb().await, kind).await;
    ledger.check(&world.direct().await).await;
}

/// By a clock that the test moves, so however slow the machine is, only what hangs is late.
pub(crate) async fn what_does_not_answer_is_unavailable_within_the_deadline(servers: &Servers) {
    let world = Remote::new(servers).await;
    for (to, kind) in [
        (world.to_kms().await, Kind::Provider(P::Unavailable)),
        (world.to_dynamodb().await, Kind::Store(S::Unavailable)),
    ] {
        let clock = ManualClock::new();
        let late = Guard::new().attempts(2).circuit(u32::MAX, PAUSE).clock(clock.clone()).timer(clock.clone());
        let guards = if matches!(kind, Kind::Provider(_)) { [&late, &guard()] } else { [&guard(), &late] };
        let vault = vault(&world, guards[0], guards[1]).await.0;
        to.rules(json!([{ "timeout_ms": HANGS }])).await;
        let enroll = async { in_time(tenant(&vault, "nobody-yet").enroll(&customer("new"))).await.map(drop) };
        for call in [cold(&vault).boxed(), enroll.boxed()] {
            let before = clock.monotonic();
            let passing = async {
                loop {
                    // Only while the guard waits: what is answered on the way to what hangs takes no time.
                    if clock.next_sleeper().is_some() {
                        clock.advance(STEP);
                    }
                    tokio::task::yield_now().await;
                }
            };
            let Either::Left((Err(error), _)) = select(call, passing.boxed()).await else {
                panic!("it is answered, and must not be")
            };
            is_of(&error, &[kind], "hangs");
            assert!(error.to_string().contains("no answer within"), "{error}");
            let waited = clock.monotonic() - before;
            assert!(waited <= DEADLINE + STEP, "one call that hangs, and {waited:?}");
        }
        to.rules(json!([])).await;
        cold(&vault).await.unwrap();
    }
}
