//! Tables: how they are made, which are refused, what stands in them.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification,
    ScalarAttributeType, StreamSpecification, StreamViewType,
};
use fieldseal::store::{Epoch, Expected, Filter, KeyStore, Loaded, Scan, SlotId, StoreErrorKind, StoredSlot};
use fieldseal_aws::{DynamoDbLayout, DynamoDbStore};
use fieldseal_testkit::slot::SampleSlot;

use fleet_tests::harness::soak;
use fleet_tests::microburst::Upstream;

use super::{FreshTable, store, subject, tenant};

pub(crate) async fn a_table_is_made_once_and_keeps_its_layout(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let first = store(&fresh).await;
    let slots = fill(&first, (0..40).map(|n| subject("acme", n))).await;
    // With another layout these would not be found.
    let again = fresh.store();
    again.create_table().await.unwrap();
    assert_eq!(all(&again, 7).await, slots);
    let table = fresh.client().describe_table().table_name(&fresh.name).send().await.unwrap().table.unwrap();
    assert_eq!(table.billing_mode_summary().unwrap().billing_mode(), Some(&BillingMode::PayPerRequest));
    assert_eq!(table.deletion_protection_enabled(), Some(true));
}

/// The layout's own bounds, and what is right for most.
pub(crate) async fn a_table_of_any_layout_is_read_whole(aws: &Upstream) {
    let (least, wide) = (DynamoDbLayout::new().partitions(0).floors(0), DynamoDbLayout::new().partitions(40).floors(3));
    for layout in [least, wide, DynamoDbLayout::default()] {
        let store = FreshTable::new(aws).store();
        store.create_table_with(layout).await.unwrap();
        let slots = fill(&store, (0..30).map(|n| subject("acme", n))).await;
        // A page asks every partition.
        let least = if soak() { 1 } else { 10 };
        for limit in [least, 29, 30, 100] {
            assert_eq!(all(&store, limit).await, slots);
        }
        let ids: Vec<_> = slots.iter().map(|slot| slot.id().clone()).collect();
        assert!(store.load(&ids).await.unwrap().into_iter().eq(slots.iter().cloned().map(Loaded::Slot)));
        store.raise_floor(Epoch::new(3).unwrap()).await.unwrap();
        for n in 30..50 {
            let slot = SampleSlot::new(subject("acme", n)).epoch(Epoch::new(2).unwrap()).build();
            let error = store.put(&slot, Expected::Absent).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::BelowFloor, "every floor is raised");
        }
    }
}

pub(crate) async fn a_table_that_is_not_there_is_misconfigured(aws: &Upstream) {
    let store = FreshTable::new(aws).store();
    let slot = SampleSlot::new(subject("acme", 1)).build();
    for error in [
        store.load(&[SlotId::Vault]).await.unwrap_err(),
        store.put(&slot, Expected::Absent).await.unwrap_err(),
        store.scan(&Scan::new(Filter::All)).await.unwrap_err(),
        store.raise_floor(Epoch::FIRST).await.unwrap_err(),
        store.scrub().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        assert!(error.to_string().contains("`create_table`"), "{error}");
    }
}

pub(crate) async fn another_table_is_misconfigured(aws: &Upstream) {
    use ScalarAttributeType::{B, N, S};
    let shapes: [&[(&str, ScalarAttributeType)]; 4] =
        [&[("pk", S)], &[("pk", S), ("sk", S)], &[("pk", N), ("sk", B)], &[("id", S), ("sk", B)]];
    for shape in shapes {
        let fresh = FreshTable::new(aws);
        let mut call = fresh.client().create_table().table_name(&fresh.name).billing_mode(BillingMode::PayPerRequest);
        for ((name, ty), key) in shape.iter().zip([KeyType::Hash, KeyType::Range]) {
            let attribute = AttributeDefinition::builder().attribute_name(*name).attribute_type(ty.clone()).build();
            let schema = KeySchemaElement::builder().attribute_name(*name).key_type(key).build();
            call = call.attribute_definitions(attribute.unwrap()).key_schema(schema.unwrap());
        }
        call.send().await.unwrap();
        let store = fresh.store();
        for error in [store.load(&[SlotId::Vault]).await.unwrap_err(), store.create_table().await.unwrap_err()] {
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            assert!(error.to_string().contains("other keys"), "{error}");
        }
    }
}

/// As a journal's.
pub(crate) async fn a_table_without_a_layout_is_misconfigured(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    super::journal(&fresh).await;
    let error = fresh.store().load(&[SlotId::Vault]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    assert!(error.to_string().contains("no key store's"), "{error}");
}

pub(crate) async fn a_later_version_of_a_table_is_refused(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    store(&fresh).await;
    set(&fresh, "layout", &[0], "version", AttributeValue::N("2".into())).await;
    for error in
        [fresh.store().load(&[SlotId::Vault]).await.unwrap_err(), fresh.store().create_table().await.unwrap_err()]
    {
        assert_eq!(error.kind(), StoreErrorKind::NewerSchema);
    }
    set(&fresh, "layout", &[0], "version", AttributeValue::S("1".into())).await;
    assert_eq!(fresh.store().load(&[SlotId::Vault]).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

/// DynamoDB reads 1 MB at a time: here 4 of the slots, in a table of one partition.
pub(crate) async fn slots_of_more_than_one_answer_are_scanned(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let store = fresh.store();
    store.create_table_with(DynamoDbLayout::new().partitions(1).floors(1)).await.unwrap();
    let mut slots = Vec::new();
    for n in 0..14 {
        let epoch = Epoch::new(1 + n % 2).unwrap();
        let slot = SampleSlot::new(subject("acme", n)).len(StoredSlot::MAX_LEN).epoch(epoch).build();
        store.put(&slot, Expected::Absent).await.unwrap();
        slots.push(slot);
    }
    for limit in [1, 13, 14, 1000] {
        assert_eq!(all(&store, limit).await, slots);
        let below = Scan::new(Filter::EpochBelow(Epoch::new(2).unwrap())).limit(limit);
        assert!(pages(&store, &below).await.iter().eq(slots.iter().step_by(2)));
        let own = Scan::new(Filter::All).tenant(tenant("acme")).limit(limit);
        assert_eq!(pages(&store, &own).await, slots);
    }
}

/// A page ends after as many requests, and the next goes on where it looked last, not where it found something.
pub(crate) async fn a_scan_that_finds_little_gets_on(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let store = fresh.store().requests_per_page(1);
    store.create_table_with(DynamoDbLayout::new().partitions(2).floors(1)).await.unwrap();
    let mut slots = fill(&store, (0..60).map(|n| subject("acme", n))).await;
    for n in [40, 55] {
        let low = SampleSlot::new(subject("acme", n)).epoch(Epoch::FIRST).build();
        let slot = &mut slots[n as usize];
        store.put(&low, Expected::Revision(slot.revision())).await.unwrap();
        *slot = low;
    }
    let below = Scan::new(Filter::EpochBelow(Epoch::new(2).unwrap())).limit(1);
    let (mut found, mut next, mut empty) = (Vec::new(), below.clone(), 0);
    loop {
        let page = store.scan(&next).await.unwrap();
        empty += u32::from(page.slots.is_empty());
        found.extend(page.slots);
        let Some(cursor) = page.next else { break };
        let id = cursor.to_bytes();
        assert!(next.cursor().is_none_or(|last| last.to_bytes() < id), "a cursor that doesn't move on");
        let passed = slots.iter().filter(|slot| slot.epoch().is_some() && slot.id().to_bytes() <= id);
        assert!(passed.eq(&found), "what the cursor has passed was found");
        next = below.clone().starting_after(cursor);
    }
    assert_eq!(found, [slots[40].clone(), slots[55].clone()]);
    assert!((4..=12).contains(&empty), "each looks at 5 of 30 in both partitions: {empty}");
    for limit in [1, 7, 1000] {
        assert_eq!(all(&store, limit).await, slots);
        let own = Scan::new(Filter::All).tenant(tenant("acme")).limit(limit);
        assert_eq!(pages(&store, &own).await, slots);
    }
    assert_eq!(pages(&fresh.store(), &below).await, found, "with the usual number of requests");
}

/// 100 keys at most, and 16 MB: here 63 of the slots.
pub(crate) async fn slots_of_more_than_one_batch_are_loaded(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let store = store(&fresh).await;
    let mut slots = Vec::new();
    for n in 0..70 {
        let slot = SampleSlot::new(subject("acme", n)).len(StoredSlot::MAX_LEN).build();
        store.put(&slot, Expected::Absent).await.unwrap();
        slots.push(slot);
    }
    let ids: Vec<_> = (0..250).rev().map(|n| subject("acme", n % 125)).collect();
    let found = store.load(&ids).await.unwrap();
    for (id, found) in ids.iter().zip(found) {
        let there = slots.iter().find(|slot| slot.id() == id);
        assert_eq!(found, there.map_or(Loaded::Absent, |slot| Loaded::Slot(slot.clone())));
    }
}

/// A sort key has 1 024 bytes at most, an id up to 1 041. The names begin alike up to there.
pub(crate) async fn slots_with_long_ids_are_found_by_their_tenant(aws: &Upstream) {
    let store = store(&FreshTable::new(aws)).await;
    let names = [1006, 1007, 1008, 1022, 1023, 1024].map(|len| "x".repeat(len));
    let ids = names.iter().flat_map(|name| {
        let subjects = (0..3).map(|n| subject(name, n << 24));
        subjects.chain([SlotId::Tenant(tenant(name))])
    });
    let slots = fill(&store, ids.chain([subject("x", 1)])).await;
    for limit in [1, 2, 5, 100] {
        assert_eq!(all(&store, limit).await, slots);
        for name in &names {
            let own: Vec<_> = slots.iter().filter(|s| s.id().tenant() == Some(&tenant(name))).cloned().collect();
            assert_eq!(own.len(), 4);
            assert_eq!(pages(&store, &Scan::new(Filter::All).tenant(tenant(name)).limit(limit)).await, own);
        }
    }
}

/// Whoever may write to the table can copy an item. In the place of another it is that one's damage; in a place that nobody asks
/// for it has no name.
pub(crate) async fn a_slot_in_another_place_is_damaged_or_nameless(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let store = store(&fresh).await;
    let [ada, ben] = [subject("acme", 1), subject("acme", 2)];
    fill(&store, [ada.clone(), ben.clone()]).await;
    let mut item = item(&fresh, &ada).await;
    let other = self::item(&fresh, &ben).await;
    item.insert("id".into(), item["sk"].clone());
    item.extend(["pk", "sk"].map(|name| (name.to_owned(), other[name].clone())));
    fresh.client().put_item().table_name(&fresh.name).set_item(Some(item)).send().await.unwrap();
    let mut stray = self::item(&fresh, &ada).await;
    let AttributeValue::S(own) = stray["pk"].clone() else { panic!("its partition") };
    let elsewhere = if own == "slots-0" { "slots-1" } else { "slots-0" };
    stray.insert("pk".into(), AttributeValue::S(elsewhere.into()));
    fresh.client().put_item().table_name(&fresh.name).set_item(Some(stray)).send().await.unwrap();

    let found = store.load(&[ada.clone(), ben.clone()]).await.unwrap();
    let [Loaded::Slot(sound), Loaded::Damaged(token)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(sound.id(), &ada);
    let page = store.scan(&Scan::new(Filter::All)).await.unwrap();
    assert_eq!(
        (page.slots.as_slice(), page.damaged.as_slice()),
        ([sound.clone()].as_slice(), [(ben, *token)].as_slice())
    );
    assert_eq!(page.nameless, 1);
}

pub(crate) async fn a_changed_column_is_damaged(aws: &Upstream) {
    let number = |n: &str| AttributeValue::N(n.into());
    let bytes = |bytes: &[u8]| AttributeValue::B(Blob::new(bytes));
    for (name, value) in [
        ("epoch", number("9")),
        ("epoch", number("1.5")),
        ("epoch", number("-1")),
        ("due", number("18446744073709551616")),
        ("state", number("2")),
        ("state", AttributeValue::Null(true)),
        ("due", AttributeValue::L(vec![number("1"), AttributeValue::M([("a".into(), number("2"))].into())])),
        ("rev", bytes(&[7; 32])),
        ("rev", number("1")),
        ("slot", bytes(&[1, 3, 1])),
        ("id", bytes(&[9])),
    ] {
        let fresh = FreshTable::new(aws);
        let store = store(&fresh).await;
        let slot = SampleSlot::new(subject("acme", 1)).epoch(Epoch::FIRST).build();
        store.put(&slot, Expected::Absent).await.unwrap();
        let item = item(&fresh, slot.id()).await;
        let (AttributeValue::S(pk), AttributeValue::B(sk)) = (&item["pk"], &item["sk"]) else { panic!("its keys") };
        set(&fresh, pk, sk.as_ref(), name, value).await;
        let page = store.scan(&Scan::new(Filter::All)).await.unwrap();
        let [(id, token)] = page.damaged.as_slice() else { panic!("{name}: {page:?}") };
        assert_eq!((id, page.slots.len()), (slot.id(), 0), "{name}");
        assert_eq!(store.load(std::slice::from_ref(id)).await.unwrap(), [Loaded::Damaged(*token)], "{name}");
        // Of whatever type it is.
        store.put(&slot, Expected::Damaged(*token)).await.unwrap();
        assert_eq!(store.load(std::slice::from_ref(id)).await.unwrap(), [Loaded::Slot(slot)], "{name}");
    }
}

/// Not before, and not of what never was.
pub(crate) async fn a_scrub_tells_of_what_is_switched_on(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let (store, client) = (store(&fresh).await, fresh.client());
    let always = ["on-demand backups, exports and other copies of the table", STORAGE];
    assert_eq!(residue(&store).await, always);

    let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true);
    let on = on.recovery_period_in_days(7).build().unwrap();
    let call = client.update_continuous_backups().table_name(&fresh.name).point_in_time_recovery_specification(on);
    call.send().await.unwrap();
    assert_eq!(residue(&store).await, ["point-in-time recovery", always[0], always[1]]);
    let told = store.scrub().await.unwrap();
    // ministack doesn't tell of how many days.
    assert!(["its window, in days: 7", "its window, 35 days at most"].contains(&told.items()[0].ends_by));

    let stream = |on, view| {
        let stream = StreamSpecification::builder().stream_enabled(on).set_stream_view_type(view).build().unwrap();
        client.update_table().table_name(&fresh.name).stream_specification(stream).send()
    };
    stream(true, Some(StreamViewType::NewAndOldImages)).await.unwrap();
    assert_eq!(residue(&store).await, ["the table's stream", "point-in-time recovery", always[0], always[1]]);
}

const STORAGE: &str = "DynamoDB's own storage, encrypted with the table's key";

async fn residue(store: &DynamoDbStore) -> Vec<&'static str> {
    store.scrub().await.unwrap().items().iter().map(|item| item.place).collect()
}

/// Puts slots with these ids; gives them in the order of their ids.
async fn fill(store: &DynamoDbStore, ids: impl IntoIterator<Item = SlotId>) -> Vec<StoredSlot> {
    let mut slots: Vec<_> = ids.into_iter().map(|id| SampleSlot::new(id).build()).collect();
    for slot in &slots {
        store.put(slot, Expected::Absent).await.unwrap();
    }
    slots.sort_by_key(|slot| slot.id().to_bytes());
    slots
}

async fn all(store: &DynamoDbStore, limit: usize) -> Vec<StoredSlot> {
    pages(store, &Scan::new(Filter::All).limit(limit)).await
}

async fn pages(store: &DynamoDbStore, scan: &Scan) -> Vec<StoredSlot> {
    let (mut slots, mut next) = (Vec::new(), scan.clone());
    loop {
        let page = store.scan(&next).await.unwrap();
        assert!(page.slots.len() <= scan.page_size(), "a page is longer than asked for");
        slots.extend(page.slots);
        let Some(cursor) = page.next else { return slots };
        next = scan.clone().starting_after(cursor);
    }
}

type Item = std::collections::HashMap<String, AttributeValue>;

/// The item of a slot with a short id, wherever it stands.
async fn item(fresh: &FreshTable, id: &SlotId) -> Item {
    let items = fresh.client().scan().table_name(&fresh.name).send().await.unwrap().items.unwrap();
    let sort = AttributeValue::B(Blob::new(id.to_bytes()));
    items.into_iter().find(|item| item["sk"] == sort).unwrap()
}

/// Changes an attribute of an item behind the store's back.
pub(crate) async fn set(fresh: &FreshTable, pk: &str, sk: &[u8], name: &str, value: AttributeValue) {
    let client: Client = fresh.client();
    let call = client.update_item().table_name(&fresh.name);
    call.key("pk", AttributeValue::S(pk.into()))
        .key("sk", AttributeValue::B(Blob::new(sk)))
        .update_expression("SET #name = :value")
        .expression_attribute_names("#name", name)
        .expression_attribute_values(":value", value)
        .send()
        .await
        .unwrap();
}
