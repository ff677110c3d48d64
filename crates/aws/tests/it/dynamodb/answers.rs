//! What no emulator answers: a server of the test's own does, call by call.

use std::error::Error as _;

use base64ct::{Base64, Encoding as _};
use fieldseal::clock::Timestamp;
use fieldseal::journal::{ErasureJournal as _, Head, JournalEntry, JournalError, JournalErrorKind, JournalEvent};
use fieldseal::store::{Epoch, Expected, KeyStore as _, Loaded, SlotId, StoreError, StoreErrorKind, StoredSlot};
use fieldseal_aws::DynamoDbJournal;
use fieldseal_aws::DynamoDbStore;
use fieldseal_testkit::slot::SampleSlot;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;

use super::subject;
use fleet_tests::dynamodb::{SECRET, answering, client};

type Answer = (u16, Value);
type Asked = UnboundedReceiver<(String, Value)>;

pub(crate) async fn keys_that_were_not_processed_are_asked_for_again() {
    let slots = [1, 2, 3].map(|n| SampleSlot::new(subject("acme", n)).build());
    let [a, b, c] = slots.each_ref().map(item);
    let [_, kb, kc] = slots.each_ref().map(|slot| key(slot.id()));
    let (store, mut asked) = ready(vec![
        (200, json!({ "Responses": { "keys": [a] }, "UnprocessedKeys": { "keys": { "Keys": [kb, kc] } } })),
        (200, json!({ "Responses": { "keys": [] }, "UnprocessedKeys": { "keys": { "Keys": [kc, kb] } } })),
        (200, json!({ "Responses": { "keys": [c] }, "UnprocessedKeys": { "keys": { "Keys": [kb] } } })),
        (200, json!({ "Responses": { "keys": [b] }, "UnprocessedKeys": {} })),
    ])
    .await;
    let ids: Vec<_> = slots.iter().map(|slot| slot.id().clone()).collect();
    assert!(store.load(&ids).await.unwrap().into_iter().eq(slots.iter().cloned().map(Loaded::Slot)));
    for count in [3, 2, 2, 1] {
        let (operation, question) = asked.recv().await.unwrap();
        let of_table = &question["RequestItems"]["keys"];
        assert_eq!((operation.as_str(), &of_table["ConsistentRead"]), ("BatchGetItem", &json!(true)));
        assert_eq!(of_table["Keys"].as_array().unwrap().len(), count);
    }
}

pub(crate) async fn a_batch_of_which_nothing_is_processed_is_throttled() {
    let id = subject("acme", 1);
    let nothing = json!({ "Responses": {}, "UnprocessedKeys": { "keys": { "Keys": [key(&id)] } } });
    let (store, mut asked) = ready(vec![(200, nothing); 20]).await;
    let error = store.load(&[id]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert!(error.to_string().contains("too many calls"), "{error}");
    let mut calls = 0;
    while asked.try_recv().is_ok() {
        calls += 1;
    }
    assert_eq!(calls, 8, "it is asked for a few times");
}

/// Whether it is behind, or takes no transactions; of either version.
pub(crate) async fn a_global_table_is_refused() {
    let replicas = json!([{ "RegionName": "eu-west-1", "ReplicaStatus": "ACTIVE" }]);
    for global in [
        json!({ "Replicas": replicas, "GlobalTableVersion": "2019.11.21" }),
        json!({ "Replicas": replicas, "MultiRegionConsistency": "EVENTUAL" }),
        json!({ "Replicas": replicas, "MultiRegionConsistency": "STRONG" }),
        json!({ "GlobalTableVersion": "2017.11.29" }),
    ] {
        let mut table = described("ACTIVE");
        table["Table"].as_object_mut().unwrap().extend(global.as_object().unwrap().clone());
        let (url, _asked) = answering(vec![(200, table)]).await;
        let error = DynamoDbStore::new(client(&url), "keys").load(&[SlotId::Vault]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{global}");
        assert!(error.to_string().contains("replicas"), "{error}");
    }
}

pub(crate) async fn a_table_that_is_still_being_made_is_waited_for() {
    let in_use = fault("ResourceInUseException", "Table already exists: keys");
    let (url, mut asked) = answering(vec![
        in_use,
        fault("ResourceNotFoundException", "Requested resource not found: Table: keys not found"),
        (200, described("CREATING")),
        (200, described("ACTIVE")),
        (200, described("ACTIVE")),
        (200, json!({})),
        (200, described("ACTIVE")),
        (200, layout()),
    ])
    .await;
    DynamoDbStore::new(client(&url), "keys").create_table().await.unwrap();
    let mut operations = Vec::new();
    while let Ok((operation, _)) = asked.try_recv() {
        operations.push(operation);
    }
    let describe = "DescribeTable";
    let expected = ["CreateTable", describe, describe, describe, describe, "TransactWriteItems", describe, "GetItem"];
    assert_eq!(operations, expected);

    let (url, _asked) = answering(vec![(200, described("CREATING"))]).await;
    let error = DynamoDbStore::new(client(&url), "keys").load(&[SlotId::Vault]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

/// Each try is a transaction of its own; the SDK's are the same one.
pub(crate) async fn transactions_that_get_in_each_others_way_are_tried_again() {
    let (store, mut asked) = ready(vec![
        canceled(&["TransactionConflict", "None"]),
        canceled(&["None", "TransactionConflict"]),
        (200, json!({})),
    ])
    .await;
    store.put(&slot(), Expected::Absent).await.unwrap();
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let (operation, question) = asked.recv().await.unwrap();
        assert_eq!(operation, "TransactWriteItems");
        tokens.push(question["ClientRequestToken"].as_str().unwrap().to_owned());
    }
    tokens.dedup();
    assert_eq!(tokens.len(), 3);

    // A condition that doesn't hold is an answer, whatever else was in the way.
    for (reasons, kind) in [
        (["ConditionalCheckFailed", "TransactionConflict"], StoreErrorKind::Conflict),
        (["TransactionConflict", "ConditionalCheckFailed"], StoreErrorKind::BelowFloor),
    ] {
        let (store, _asked) = ready(vec![canceled(&reasons)]).await;
        assert_eq!(store.put(&slot(), Expected::Absent).await.unwrap_err().kind(), kind);
    }

    let (store, _asked) = ready(vec![canceled(&["TransactionConflict", "None"]); 8]).await;
    let error = store.put(&slot(), Expected::Absent).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Throttled);
    assert!(error.to_string().contains("at once"), "{error}");
}

/// Of an append that is being written, the entry is there before the head moves.
pub(crate) async fn an_append_in_the_way_of_another_is_no_damage() {
    let (first, second) = (entry(1), entry(2));
    let in_the_way = canceled(&["TransactionConflict", "ConditionalCheckFailed", "None"]);
    // Theirs landed.
    let theirs = [head(std::slice::from_ref(&first)), last(&first)];
    let (result, _) = append(&second, [vec![in_the_way.clone()], theirs.to_vec()].concat()).await;
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Conflict);
    // Its head moved between the two looks.
    let behind = canceled(&["None", "ConditionalCheckFailed", "None"]);
    let (result, _) = append(&second, [vec![behind.clone()], theirs.to_vec()].concat()).await;
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Conflict);
    // Nobody's did.
    let (result, asked) = append(&second, vec![in_the_way.clone(), head(&[]), (200, json!({}))]).await;
    assert_eq!(result.unwrap(), Head::EMPTY.advanced_by(&second));
    assert_eq!(asked, ["TransactWriteItems", "GetItem", "TransactWriteItems"]);
    let (result, _) = append(&second, vec![[in_the_way, head(&[])]; 8].concat()).await;
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Throttled);
    // Of what is throttled nothing is known, either.
    for throttled in [
        canceled(&["ThrottlingError", "ConditionalCheckFailed", "None"]),
        canceled(&["ProvisionedThroughputExceeded", "None", "ConditionalCheckFailed"]),
    ] {
        let (result, _) = append(&second, [vec![throttled.clone()], theirs.to_vec()].concat()).await;
        assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Conflict);
        let (result, _) = append(&second, vec![throttled, head(&[]), (200, json!({}))]).await;
        assert_eq!(result.unwrap(), Head::EMPTY.advanced_by(&second));
    }
    let (result, _) = append(&second, vec![canceled(&["ThrottlingError"; 3])]).await;
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Throttled);
    // With nobody in the way it is damage.
    let (result, _) = append(&second, vec![behind, head(&[])]).await;
    assert_eq!(result.unwrap_err().kind(), JournalErrorKind::Corrupt);
}

/// DynamoDB shows the head before the entry, and the entry before its copy.
pub(crate) async fn a_head_is_given_when_its_entry_is_there() {
    let (first, get) = (entry(1), "TransactGetItems");
    let in_the_way = canceled(&["None", "TransactionConflict"]);
    let (journal, asked) =
        journal(vec![head(std::slice::from_ref(&first)), in_the_way.clone(), in_the_way.clone(), last(&first)]).await;
    assert_eq!(journal.head().await.unwrap(), Head::EMPTY.advanced_by(&first));
    assert_eq!(operations(asked), ["GetItem", get, get, get]);

    let (journal, _asked) =
        self::journal([vec![head(std::slice::from_ref(&first))], vec![in_the_way; 8]].concat()).await;
    let error = journal.head().await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Throttled);
    assert!(error.to_string().contains("at once"), "{error}");
    let throttled = canceled(&["TransactionConflict", "ThrottlingError"]);
    let (journal, _asked) = self::journal(vec![head(std::slice::from_ref(&first)), throttled]).await;
    let error = journal.head().await.unwrap_err();
    assert!(error.kind() == JournalErrorKind::Throttled && error.to_string().contains("too many calls"), "{error}");

    // As one they are there, or were taken away.
    for responses in [json!([{}, {}]), json!([{ "Item": item_of(&first, Head::EMPTY) }, {}])] {
        let (journal, _asked) =
            self::journal(vec![head(std::slice::from_ref(&first)), (200, json!({ "Responses": responses }))]).await;
        assert_eq!(journal.head().await.unwrap_err().kind(), JournalErrorKind::Corrupt);
    }
}

/// It holds that the entry before, and its copy, are there.
pub(crate) async fn no_append_overtakes_another() {
    let (first, second) = (entry(1), entry(2));
    let at = Head::EMPTY.advanced_by(&first);
    let held = |transaction: &Value| -> Vec<Value> {
        let items = transaction["TransactItems"].as_array().unwrap().iter();
        items.filter_map(|item| item.get("ConditionCheck")).map(|check| check["Key"]["pk"]["S"].clone()).collect()
    };
    // After an append of its own, and after a head that was asked for, it knows what to hold.
    let (journal, mut asked) = journal(vec![(200, json!({})), (200, json!({}))]).await;
    journal.append(&first, &Head::EMPTY).await.unwrap();
    journal.append(&second, &at).await.unwrap();
    assert_eq!(held(&asked.recv().await.unwrap().1), [] as [Value; 0]);
    assert_eq!(held(&asked.recv().await.unwrap().1), ["entries", "of-store"]);
    for asks in [true, false] {
        let answers = vec![head(std::slice::from_ref(&first)), last(&first), (200, json!({}))];
        let (journal, mut asked) = self::journal(answers).await;
        if asks {
            journal.head().await.unwrap();
        }
        journal.append(&second, &at).await.unwrap();
        for operation in ["GetItem", "TransactGetItems"] {
            assert_eq!(asked.recv().await.unwrap().0, operation);
        }
        assert_eq!(held(&asked.recv().await.unwrap().1), ["entries", "of-store"]);
    }
    // The one before is still being written.
    let busy = canceled(&["None", "None", "None", "None", "ConditionalCheckFailed"]);
    let is_there = [head(std::slice::from_ref(&first)), last(&first)].to_vec();
    let answers = [is_there.clone(), vec![busy], is_there, vec![(200, json!({}))]].concat();
    let (journal, _asked) = self::journal(answers).await;
    assert_eq!(journal.append(&second, &at).await.unwrap(), at.advanced_by(&second));
}

/// Fewer entries than the head counts are not all there are.
pub(crate) async fn a_short_read_is_no_end() {
    let entries = [entry(1), entry(2)];
    let [one, two] = [item_of(&entries[0], Head::EMPTY), item_of(&entries[1], Head::EMPTY.advanced_by(&entries[0]))];
    let (end, found) = ([head(&entries), last_of(&entries)], |items: &[&Value]| (200, json!({ "Items": items })));
    let answers = [vec![found(&[&one])], end.to_vec()].concat();
    let (journal, _asked) = self::journal([answers.clone(), vec![found(&[&two])], end.to_vec()].concat()).await;
    assert_eq!(journal.read(0, 10).await.unwrap(), entries);
    for first in [vec![], vec![&one]] {
        let answers = [vec![found(&first)], end.to_vec(), vec![found(&[])]].concat();
        let (journal, asked) = self::journal(answers).await;
        let error = journal.read(0, 10).await.unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Unavailable);
        assert!(error.to_string().contains("read again"), "{error}");
        assert_eq!(operations(asked), ["Query", "GetItem", "TransactGetItems", "Query"]);
    }
    // What was asked for is there: how much there is doesn't matter.
    let (journal, asked) = self::journal(vec![found(&[&one])]).await;
    assert_eq!(journal.read(0, 1).await.unwrap(), entries[..1]);
    assert_eq!(operations(asked), ["Query"]);
}

pub(crate) async fn what_a_transaction_says_is_sorted() {
    for code in ["ThrottlingError", "ProvisionedThroughputExceeded"] {
        let (store, _asked) = ready(vec![canceled(&["None", code])]).await;
        let error = store.put(&slot(), Expected::Absent).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Throttled);
        assert!(error.to_string().contains("too many calls"), "{error}");
    }
    let (store, _asked) = ready(vec![canceled(&["ValidationError", "None"])]).await;
    assert_eq!(store.put(&slot(), Expected::Absent).await.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    // Without reasons it is not known why: not a conflict.
    let (store, _asked) = ready(vec![canceled(&[])]).await;
    assert_eq!(store.put(&slot(), Expected::Absent).await.unwrap_err().kind(), StoreErrorKind::Throttled);
}

pub(crate) async fn a_scrub_that_may_not_ask_says_so() {
    let denied = fault("AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized to perform: ..");
    let mut table = described("ACTIVE");
    // Switched off a moment ago.
    table["Table"]["LatestStreamArn"] = json!("arn:aws:dynamodb:eu-central-1:1:table/keys/stream/2026");
    let (url, _asked) = answering(vec![(200, table), denied]).await;
    let residue = DynamoDbStore::new(client(&url), "keys").scrub().await.unwrap();
    let places: Vec<_> = residue.items().iter().map(|item| item.place).collect();
    assert_eq!(places[0], "the table's stream");
    assert!(places[1].contains("may be on") && places[1].contains("DescribeContinuousBackups"), "{places:?}");
    assert_eq!(residue.items()[1].ends_by, "its window, 35 days at most");

    // A stream of keys alone holds no slot.
    let mut table = described("ACTIVE");
    table["Table"]["StreamSpecification"] = json!({ "StreamEnabled": true, "StreamViewType": "KEYS_ONLY" });
    let (url, _asked) = answering(vec![(200, table), (200, json!({}))]).await;
    let residue = DynamoDbStore::new(client(&url), "keys").scrub().await.unwrap();
    assert!(residue.items().iter().all(|item| !item.place.contains("stream")), "{residue:?}");
}

/// Nor what DynamoDB says of it, nor the caller's name.
pub(crate) async fn no_message_holds_what_an_item_does() {
    const HELD: &str = "what-an-item-holds";
    let reason = json!({ "Code": "ValidationError", "Message": HELD, "Item": { "slot": { "S": HELD } } });
    let text = json!({ "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": HELD,
        "CancellationReasons": [reason, { "Code": HELD.repeat(9) }] });
    for answer in [
        (400, text),
        fault("ValidationException", HELD),
        fault("AccessDeniedException", HELD),
        fault("ThrottlingException", HELD),
        fault(&format!("a {HELD}"), HELD),
        (500, json!({ "message": HELD })),
        (200, json!(HELD)),
    ] {
        let (store, _asked) = ready(vec![answer]).await;
        let error = store.put(&slot(), Expected::Absent).await.unwrap_err();
        let said = everything(&error);
        assert!(!said.contains(HELD) && !said.contains(SECRET), "{said}");
        assert!(said.contains("TransactWriteItems"), "{said}");
    }
}

/// Display and Debug, of the error and all its sources.
fn everything(error: &StoreError) -> String {
    let mut said = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        said += &format!(" {error} {error:?}");
        source = error.source();
    }
    said
}

/// A store on a server that answers these once it was found to be a key store's, with one partition and one floor.
async fn ready(answers: Vec<Answer>) -> (DynamoDbStore, Asked) {
    let first = [(200, described("ACTIVE")), (200, layout()), (200, json!({ "Responses": { "keys": [] } }))];
    let (url, mut asked) = answering(first.into_iter().chain(answers).collect()).await;
    let store = DynamoDbStore::new(client(&url), "keys");
    assert_eq!(store.load(&[SlotId::Vault]).await.unwrap(), [Loaded::Absent]);
    for operation in ["DescribeTable", "GetItem", "BatchGetItem"] {
        assert_eq!(asked.recv().await.unwrap().0, operation);
    }
    (store, asked)
}

/// Appends to a journal that is empty as far as the caller knows, on a server that answers so; and what it was asked.
async fn append(entry: &JournalEntry, answers: Vec<Answer>) -> (Result<Head, JournalError>, Vec<String>) {
    let (journal, asked) = journal(answers).await;
    let result = journal.append(entry, &Head::EMPTY).await;
    (result, operations(asked))
}

/// A journal on a server that answers these once its table was found to be right.
async fn journal(answers: Vec<Answer>) -> (DynamoDbJournal, Asked) {
    let first = (200, described("ACTIVE"));
    let (url, mut asked) = answering([first, head(&[])].into_iter().chain(answers).collect()).await;
    let journal = DynamoDbJournal::new(client(&url), "entries");
    journal.id().await.unwrap();
    for operation in ["DescribeTable", "GetItem"] {
        assert_eq!(asked.recv().await.unwrap().0, operation);
    }
    (journal, asked)
}

fn operations(mut asked: Asked) -> Vec<String> {
    std::iter::from_fn(|| asked.try_recv().ok()).map(|(operation, _)| operation).collect()
}

fn entry(moment: u64) -> JournalEntry {
    JournalEntry::store_wide(Timestamp::from_millis(moment), JournalEvent::MaxAgeRaised { millis: 1 })
}

/// The head of a journal of these.
fn head(entries: &[JournalEntry]) -> Answer {
    let head = entries.iter().fold(Head::EMPTY, |head, entry| head.advanced_by(entry));
    let mut item = json!({
        "pk": { "S": "head" }, "sk": { "B": "AA==" }, "version": { "N": "1" },
        "id": { "B": Base64::encode_string(&[7; 16]) },
        "pos": { "N": head.position().to_string() }, "hash": { "B": Base64::encode_string(head.hash()) },
    });
    if !entries.is_empty() {
        item["about"] = json!({ "S": "of-store" });
    }
    (200, json!({ "Item": item }))
}

/// The entry of a journal of one, and its copy, as they are read as one.
fn last(entry: &JournalEntry) -> Answer {
    last_of(std::slice::from_ref(entry))
}

fn last_of(entries: &[JournalEntry]) -> Answer {
    let (last, before) = entries.split_last().unwrap();
    let before = before.iter().fold(Head::EMPTY, |head, entry| head.advanced_by(entry));
    let item = item_of(last, before);
    let hash = json!({ "B": Base64::encode_string(before.hash()) });
    let copy = json!({ "pk": { "S": "of-store" }, "sk": item["sk"], "entry": item["entry"], "before": hash });
    (200, json!({ "Responses": [{ "Item": item }, { "Item": copy }] }))
}

/// The item of an entry that is appended at this head.
fn item_of(entry: &JournalEntry, before: Head) -> Value {
    let after = before.advanced_by(entry);
    json!({
        "pk": { "S": "entries" }, "sk": { "B": Base64::encode_string(&after.position().to_be_bytes()) },
        "entry": { "B": Base64::encode_string(&entry.to_bytes()) },
        "hash": { "B": Base64::encode_string(after.hash()) },
    })
}

fn described(status: &str) -> Value {
    json!({ "Table": {
        "TableStatus": status,
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }, { "AttributeName": "sk", "KeyType": "RANGE" }],
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" }, { "AttributeName": "sk", "AttributeType": "B" },
        ],
    } })
}

fn layout() -> Value {
    json!({ "Item": {
        "pk": { "S": "layout" }, "sk": { "B": "AA==" },
        "version": { "N": "1" }, "partitions": { "N": "1" }, "floors": { "N": "1" },
    } })
}

fn fault(code: &str, message: &str) -> Answer {
    (400, json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": message }))
}

fn canceled(reasons: &[&str]) -> Answer {
    let reasons: Vec<_> = reasons.iter().map(|code| json!({ "Code": code })).collect();
    let text = "Transaction cancelled, please refer cancellation reasons for specific reasons";
    let mut answer = fault("TransactionCanceledException", text);
    answer.1["CancellationReasons"] = json!(reasons);
    answer
}

/// With an epoch: two items, the slot and the floor.
fn slot() -> StoredSlot {
    SampleSlot::new(subject("acme", 1)).epoch(Epoch::FIRST).build()
}

fn key(id: &SlotId) -> Value {
    json!({ "pk": { "S": "slots-0" }, "sk": { "B": Base64::encode_string(&id.to_bytes()) } })
}

fn item(slot: &StoredSlot) -> Value {
    let mut item = key(slot.id());
    item["slot"] = json!({ "B": Base64::encode_string(slot.as_bytes()) });
    item["rev"] = json!({ "B": Base64::encode_string(slot.revision().as_bytes()) });
    item["state"] = json!({ "N": slot.state().number().to_string() });
    item
}
