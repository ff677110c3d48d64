//! What the suite of journals doesn't know of DynamoDB.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use fieldseal::clock::Timestamp;
use fieldseal::id::Purpose;
use fieldseal::journal::{
    EntryAt, ErasedLine, ErasureJournal as _, Head, JournalEntry, JournalErrorKind, JournalEvent,
};
use fieldseal::store::Tag;

use fleet_tests::microburst::Upstream;

use super::tables::set;
use super::{FreshTable, journal, store, tenant};

pub(crate) async fn an_entry_that_was_changed_is_corrupt(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let journal = journal(&fresh).await;
    append(&journal, &(0..6).map(held).collect::<Vec<_>>()).await;
    set(&fresh, "entries", &position(4), "entry", AttributeValue::B(Blob::new(held(9).to_bytes()))).await;
    for (from, limit) in [(0, 10), (2, 2), (3, 1)] {
        let error = journal.read(from, limit).await.unwrap_err();
        assert_eq!(error.kind(), JournalErrorKind::Corrupt, "from {from}, at most {limit}");
        assert!(error.to_string().contains("entry 4"), "{error}");
    }
    set(&fresh, "entries", &position(5), "hash", AttributeValue::B(Blob::new([7; 32]))).await;
    assert_eq!(journal.read(4, 1).await.unwrap_err().kind(), JournalErrorKind::Corrupt, "nor does its hash fit");
    assert_eq!(journal.read(0, 2).await.unwrap(), [held(0), held(1)], "what is before it is sound");
    set(&fresh, "entries", &position(4), "entry", AttributeValue::N("3".into())).await;
    assert_eq!(journal.read(0, 10).await.unwrap_err().kind(), JournalErrorKind::Corrupt);
}

pub(crate) async fn an_entry_that_is_missing_is_corrupt(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let journal = journal(&fresh).await;
    append(&journal, &(0..6).map(held).collect::<Vec<_>>()).await;
    let call = fresh.client().delete_item().table_name(&fresh.name).key("pk", AttributeValue::S("entries".into()));
    call.key("sk", AttributeValue::B(Blob::new(position(3)))).send().await.unwrap();
    for from in 0..4 {
        assert_eq!(journal.read(from, 10).await.unwrap_err().kind(), JournalErrorKind::Corrupt, "from {from}");
    }
    assert_eq!(journal.read(4, 10).await.unwrap(), [held(4), held(5)]);
}

/// Nor is a decision made on a head whose entry, or copy, is not there.
pub(crate) async fn a_head_without_its_entry_is_corrupt(aws: &Upstream) {
    let name = format!("of-subject-{}-acme", "00".repeat(16));
    for partition in ["entries", &name] {
        let fresh = FreshTable::new(aws);
        let journal = journal(&fresh).await;
        let head = append(&journal, &[held(0), held(1)]).await;
        assert_eq!(fresh.journal().head().await.unwrap(), head);
        let call = fresh.client().delete_item().table_name(&fresh.name).key("pk", AttributeValue::S(partition.into()));
        call.key("sk", AttributeValue::B(Blob::new(position(2)))).send().await.unwrap();
        assert_eq!(journal.head().await.unwrap_err().kind(), JournalErrorKind::Corrupt, "{partition}");
        for journal in [journal, fresh.journal()] {
            assert_eq!(journal.append(&held(2), &head).await.unwrap_err().kind(), JournalErrorKind::Corrupt);
            assert_eq!(journal.read(0, 10).await.unwrap_err().kind(), JournalErrorKind::Corrupt);
        }
    }
}

pub(crate) async fn a_copy_under_somebody_else_is_corrupt(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let journal = journal(&fresh).await;
    let head = append(&journal, &[held(1)]).await;
    let name = format!("of-subject-{}-acme", "00".repeat(16));
    let other = JournalEntry::of_tenant(Timestamp::from_millis(1), tenant("acme"), TENANT_INTENDED);
    set(&fresh, &name, &position(1), "entry", AttributeValue::B(Blob::new(other.to_bytes()))).await;
    let read = journal.read_of(Some(&tenant("acme")), Some(&Tag::from_bytes([0; 16])), &head).await;
    assert_eq!(read.unwrap_err().kind(), JournalErrorKind::Corrupt);
}

/// What `read` and `read_of` don't look at.
pub(crate) async fn a_verification_compares_every_copy(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    let journal = journal(&fresh).await;
    assert_eq!(journal.verify().await.unwrap(), Head::EMPTY);
    let at = Timestamp::from_millis(1);
    let of_tenant = JournalEntry::of_tenant(at, tenant("acme"), TENANT_INTENDED);
    let of_store = JournalEntry::store_wide(at, JournalEvent::MaxAgeRaised { millis: 1 });
    let mut entries: Vec<_> = (0..101).map(held).collect();
    entries.splice(1..1, [of_tenant.clone(), of_store]);
    let head = append(&journal, &entries).await;
    assert_eq!(journal.verify().await.unwrap(), head, "more than one batch");
    let subject = format!("of-subject-{}-acme", "00".repeat(16));
    let bytes = |entry: &JournalEntry| AttributeValue::B(Blob::new(entry.to_bytes()));
    for (n, partition) in [(2, "of-tenant-acme"), (3, "of-store"), (101, &subject)] {
        let before = entries[..n as usize - 1].iter().fold(Head::EMPTY, |head, entry| head.advanced_by(entry));
        let before = AttributeValue::B(Blob::new(before.hash()));
        let entry = bytes(&entries[n as usize - 1]);
        let damaged = async || {
            let error = journal.verify().await.unwrap_err();
            assert_eq!(error.kind(), JournalErrorKind::Corrupt);
            assert!(error.to_string().contains(&format!("copy of entry {n} ")), "{error}");
            assert_eq!(journal.read(0, 1000).await.unwrap(), entries, "the entries are sound");
        };
        set(&fresh, partition, &position(n), "entry", bytes(&held(999))).await;
        damaged().await;
        set(&fresh, partition, &position(n), "entry", entry.clone()).await;
        set(&fresh, partition, &position(n), "before", AttributeValue::B(Blob::new([7; 32]))).await;
        damaged().await;
        let call = fresh.client().delete_item().table_name(&fresh.name).key("pk", AttributeValue::S(partition.into()));
        call.key("sk", AttributeValue::B(Blob::new(position(n)))).send().await.unwrap();
        damaged().await;
        set(&fresh, partition, &position(n), "entry", entry).await;
        set(&fresh, partition, &position(n), "before", before).await;
        assert_eq!(journal.verify().await.unwrap(), head);
    }
    set(&fresh, "entries", &position(50), "entry", bytes(&held(999))).await;
    let error = journal.verify().await.unwrap_err();
    assert!(error.kind() == JournalErrorKind::Corrupt && error.to_string().contains("entry 50"), "{error}");
}

/// DynamoDB reads 1 MB at a time: here some 30 of the entries.
pub(crate) async fn entries_of_more_than_one_answer_are_read(aws: &Upstream) {
    let journal = journal(&FreshTable::new(aws)).await;
    let entries: Vec<_> = (0..40).map(long).collect();
    let head = append(&journal, &entries).await;
    assert_eq!(journal.read(0, 1000).await.unwrap(), entries);
    assert_eq!(journal.read(1, 38).await.unwrap(), entries[1..39]);
    let tag = Tag::from_bytes([0; 16]);
    let of = journal.read_of(Some(&tenant("acme")), Some(&tag), &head).await.unwrap();
    assert_eq!(of, behind_each_other(&entries));
}

pub(crate) async fn a_journal_is_not_a_key_store(aws: &Upstream) {
    let fresh = FreshTable::new(aws);
    store(&fresh).await;
    let error = fresh.journal().head().await.unwrap_err();
    assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
    assert!(error.to_string().contains("`create_table`"), "{error}");
    let missing = FreshTable::new(aws).journal();
    for error in [
        missing.id().await.unwrap_err(),
        missing.append(&held(1), &Head::EMPTY).await.unwrap_err(),
        missing.read(0, 1).await.unwrap_err(),
        missing.read_of(None, None, &Head::EMPTY.advanced_by(&held(1))).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), JournalErrorKind::Misconfigured);
        assert!(error.to_string().contains("`create_table`"), "{error}");
    }
}

async fn append(journal: &fieldseal_aws::DynamoDbJournal, entries: &[JournalEntry]) -> Head {
    let mut head = journal.head().await.unwrap();
    for entry in entries {
        head = journal.append(entry, &head).await.unwrap();
    }
    head
}

/// Each with the head before it.
fn behind_each_other(entries: &[JournalEntry]) -> Vec<EntryAt> {
    let mut head = Head::EMPTY;
    let at = |entry: &JournalEntry| {
        let at = EntryAt::new(head, entry.clone());
        head = head.advanced_by(entry);
        at
    };
    entries.iter().map(at).collect()
}

fn held(moment: u64) -> JournalEntry {
    let (at, tag) = (Timestamp::from_millis(moment), Tag::from_bytes([0; 16]));
    JournalEntry::of_subject(at, tenant("acme"), tag, JournalEvent::Held)
}

/// 32 purposes with names of 1 KiB.
fn long(moment: u64) -> JournalEntry {
    let (at, tag) = (Timestamp::from_millis(moment), Tag::from_bytes([0; 16]));
    let names = (0..32).map(|n| format!("{n:04}").repeat(256));
    let lines = names.map(|name| ErasedLine::new(Purpose::new(&name).unwrap(), 1)).collect();
    JournalEntry::of_subject(at, tenant("acme"), tag, JournalEvent::ErasureIntended { whole: true, known: true, lines })
}

const TENANT_INTENDED: JournalEvent = JournalEvent::TenantErasureIntended { known: true };

fn position(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}
