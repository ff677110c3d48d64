//! What breaks on the way: microburst stands between store and emulator.

use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use fieldseal::journal::{ErasureJournal as _, Head, JournalEntry, JournalErrorKind, JournalEvent};
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, Scan, SlotId, StoreError, StoreErrorKind, StoredSlot,
};
use fieldseal::{Retry, clock::Timestamp};
use fieldseal_aws::DynamoDbJournal;
use fieldseal_aws::DynamoDbStore;
use fieldseal_testkit::slot::SampleSlot;
use serde_json::json;

use super::{FreshTable, journal, store, subject};
use fleet_tests::dynamodb::{client, client_with};
use fleet_tests::microburst::Upstream;
use fleet_tests::service::ministack;

/// Whatever is called, and says nothing of what was asked.
pub(crate) async fn every_error_is_of_its_kind(aws: &Upstream) {
    let (keys, entries) = (FreshTable::new(aws), FreshTable::new(aws));
    store(&keys).await;
    journal(&entries).await;
    let proxy = aws.microburst().await;
    let store = DynamoDbStore::new(client(&proxy.url()), &keys.name);
    store.load(&[SlotId::Vault]).await.unwrap();
    let journal = DynamoDbJournal::new(client(&proxy.url()), &entries.name);
    journal.head().await.unwrap();
    use StoreErrorKind::{Denied, Misconfigured, Throttled, Unavailable};
    for (code, kind, retry) in [
        ("ProvisionedThroughputExceededException", Throttled, Retry::Later),
        ("ThrottlingException", Throttled, Retry::Later),
        ("RequestLimitExceeded", Throttled, Retry::Later),
        ("InternalServerError", Unavailable, Retry::Later),
        ("ServiceUnavailable", Unavailable, Retry::Later),
        ("TransactionInProgressException", Throttled, Retry::Later),
        ("AccessDeniedException", Denied, Retry::Never),
        ("UnrecognizedClientException", Denied, Retry::Never),
        ("ExpiredTokenException", Denied, Retry::Never),
        ("ResourceNotFoundException", Misconfigured, Retry::Never),
        ("ValidationException", Misconfigured, Retry::Never),
        ("SerializationException", Misconfigured, Retry::Never),
    ] {
        proxy.breaks("dynamodb", "*", json!({ "error": { "code": code } })).await;
        for error in errors(&store).await {
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{code}: {error:?}");
            assert!(format!("{error:?}").contains(code), "the code says what it was: {error:?}");
        }
        let error = journal.append(&entry(), &Head::EMPTY).await.unwrap_err();
        assert_eq!(error.retry(), retry, "{code}: {error:?}");
        let of_journal = match kind {
            Throttled => JournalErrorKind::Throttled,
            Unavailable => JournalErrorKind::Unavailable,
            Denied => JournalErrorKind::Denied,
            _ => JournalErrorKind::Misconfigured,
        };
        assert_eq!(error.kind(), of_journal, "{code}: {error:?}");
    }
    proxy.breaks("dynamodb", "*", json!({ "reset": true })).await;
    for error in errors(&store).await {
        assert_eq!(error.kind(), Unavailable, "{error:?}");
    }
    proxy.rules(json!([])).await;
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Absent], "nothing of it was remembered");
    assert_eq!(journal.head().await.unwrap(), Head::EMPTY, "nothing was appended");
}

/// It is not called a conflict, and it is not called done: nobody knows.
pub(crate) async fn a_put_of_which_nobody_heard_has_landed(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let direct = store(&fresh).await;
    let proxy = aws.microburst().await;
    let store = DynamoDbStore::new(client(&proxy.url()), &fresh.name);
    store.load(&[SlotId::Vault]).await.unwrap();
    proxy.breaks("dynamodb", "TransactWriteItems", json!({ "response": { "abort_bytes": 0 } })).await;
    let error = store.put(&slot(1), Expected::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    assert_eq!(direct.load(&[subject("acme", 1)]).await.unwrap(), [Loaded::Slot(slot(1))]);
}

pub(crate) async fn an_answer_that_breaks_off_is_unavailable(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let direct = store(&fresh).await;
    direct.put(&slot(1), Expected::Absent).await.unwrap();
    let proxy = aws.microburst().await;
    let store = DynamoDbStore::new(client(&proxy.url()), &fresh.name);
    store.load(&[SlotId::Vault]).await.unwrap();
    let ids = [subject("acme", 1)];
    for broken in [json!({ "abort_frac": 0.5 }), json!({ "truncate_frac": 0.5 }), json!({ "truncate_bytes": 1 })] {
        proxy.breaks("dynamodb", "*", json!({ "response": broken })).await;
        assert_eq!(store.load(&ids).await.unwrap_err().kind(), StoreErrorKind::Unavailable, "{broken}");
        let error = store.scan(&Scan::new(Filter::All)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{broken}");
    }
    proxy.breaks("dynamodb", "*", json!({ "latency": 60_000 })).await;
    let hasty = client_with(&proxy.url(), Duration::from_millis(200), RetryConfig::disabled());
    let error = DynamoDbStore::new(hasty, &fresh.name).load(&ids).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "the client's own time limit: {error:?}");
}

/// As the client is told to: what was throttled, and comes through at last.
pub(crate) async fn the_sdk_tries_again_what_may_be(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    store(&fresh).await;
    let proxy = aws.microburst().await;
    let store = DynamoDbStore::new(patient(&proxy.url()), &fresh.name);
    let throttled = json!({ "times": 2, "error": { "code": "ThrottlingException" } });
    for operation in ["DescribeTable", "TransactWriteItems"] {
        proxy.breaks("dynamodb", operation, throttled.clone()).await;
        let n = u32::from(operation == "DescribeTable");
        store.put(&slot(n), Expected::Absent).await.unwrap();
    }
    proxy.breaks("dynamodb", "BatchGetItem", throttled).await;
    assert_eq!(store.load(&[subject("acme", 0)]).await.unwrap(), [Loaded::Slot(slot(0))]);
}

/// The SDK tries again, and DynamoDB knows the transaction by its token. moto doesn't.
pub(crate) async fn a_put_that_is_sent_twice_is_not_a_conflict(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    store(&fresh).await;
    let proxy = aws.microburst().await;
    let store = DynamoDbStore::new(patient(&proxy.url()), &fresh.name);
    store.load(&[SlotId::Vault]).await.unwrap();
    let unheard = json!({ "times": 1, "response": { "abort_bytes": 0 } });
    proxy.breaks("dynamodb", "TransactWriteItems", unheard.clone()).await;
    store.put(&slot(1), Expected::Absent).await.unwrap();
    // Another writer's is one.
    proxy.breaks("dynamodb", "TransactWriteItems", unheard).await;
    assert_eq!(store.put(&slot(1), Expected::Absent).await.unwrap_err().kind(), StoreErrorKind::Conflict);
}

pub(crate) async fn an_emulator_that_is_killed_is_unavailable() {
    let mut emulator = Upstream::new(ministack());
    let fresh = FreshTable::new(&emulator);
    store(&fresh).await;
    let proxy = emulator.microburst().await;
    let store = DynamoDbStore::new(client(&proxy.url()), &fresh.name);
    store.load(&[SlotId::Vault]).await.unwrap();
    // The put is on its way when the emulator dies.
    proxy.breaks("dynamodb", "TransactWriteItems", json!({ "latency": 3_000 })).await;
    let under_way = slot(1);
    let kill = async { emulator.kill() };
    let (put, ()) = futures_util::future::join(store.put(&under_way, Expected::Absent), kill).await;
    assert_eq!(put.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let direct = fresh.store();
    for error in errors(&direct).await.into_iter().chain(errors(&store).await) {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error:?}");
    }
}

/// What each call of a store answers that can't.
async fn errors(store: &DynamoDbStore) -> Vec<StoreError> {
    vec![
        store.load(&[SlotId::Vault]).await.unwrap_err(),
        store.put(&slot(1), Expected::Absent).await.unwrap_err(),
        store.scan(&Scan::new(Filter::All)).await.unwrap_err(),
        store.raise_floor(Epoch::FIRST).await.unwrap_err(),
    ]
}

/// A client that makes a call three times.
fn patient(url: &str) -> aws_sdk_dynamodb::Client {
    let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(1));
    client_with(url, Duration::from_secs(60), retries)
}

fn slot(n: u32) -> StoredSlot {
    SampleSlot::new(subject("acme", n)).epoch(Epoch::FIRST).build()
}

fn entry() -> JournalEntry {
    JournalEntry::store_wide(Timestamp::from_millis(1), JournalEvent::MaxAgeRaised { millis: 1 })
}
