//! What every [`KeyStore`] must do about damage: what is no slot, or whose columns say otherwise, is the answer in its own place,
//! and stands in no other's way.
//!
//! [`damaged_store_suite!`](crate::damaged_store_suite) makes a test of each rule. The store says by [`Damage`] how its rows are
//! damaged past the port. A rule panics where it is broken.

use std::collections::HashSet;
use std::pin::Pin;

use async_trait::async_trait;

use crate::slot::SampleSlot;
use fieldseal::clock::Timestamp;
use fieldseal::error::StoreErrorKind;
use fieldseal::id::TenantId;
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, Revision, Scan, ScanPage, SlotId, SlotState, StoredSlot, Tag, Token,
};

/// A part of what a store keeps of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "whoever damages rows must match on all of them")]
pub enum Part {
    /// The slot's bytes: the bit of this number changes, counted from the first byte's lowest.
    Bytes,
    /// A column, by its name: the bit of this number changes, counted likewise, and from the lowest of a number. Where the
    /// column is empty, it gets a value.
    Column(&'static str),
    /// What is taken away: a column that may be empty, or the row of a join, by its name. Whatever the bit.
    Gone(&'static str),
}

/// A key store whose rows a test can damage, past the port.
#[async_trait]
pub trait Damage: KeyStore {
    /// Everything but the bytes that can be damaged. The bits 0, 5 and 7 of each column must make a difference.
    fn parts(&self) -> &'static [Part];

    /// Damages a part of the row of this slot.
    async fn change(&self, id: &SlotId, part: Part, bit: usize);

    /// Gives the row of this slot another id, which may be none.
    async fn rename(&self, id: &SlotId, to: &[u8]);
}

/// One test for each rule about damage.
///
/// Like [`store_suite!`](crate::store_suite): the async fn makes an empty store that is a
/// [`Damage`], too.
#[macro_export]
macro_rules! damaged_store_suite {
    ($(#[$test:meta])+ $name:ident, $make:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the name of what makes a store")]
            use super::*;

            $crate::__damage_rules! { [$crate::__suite_tests] [$(#[$test])+] [($make().await)] damage }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __damage_rules {
    ([$($list:tt)*] $($arguments:tt)*) => {
        $($list)*! {
            $($arguments)*
            a_damaged_slot_is_answered_beside_the_others
            a_damaged_slots_token_is_no_revision_and_changes_with_every_byte
            a_put_by_token_replaces_what_is_damaged
            a_put_by_token_conflicts_with_what_was_put_back
            a_put_by_token_holds_the_floor
            a_put_by_revision_never_replaces_what_is_damaged
            a_scan_goes_on_behind_a_row_without_a_name
        }
    };
}

/// A rule, told a store of its own.
pub type Rule = for<'a> fn(&'a dyn Damage) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

__damage_rules! { [super::list] }

/// Each byte, each column, each part that can be taken away: a load gives the others, and for this one damage, or, where only
/// its MAC could tell, the changed slot. Each scan gives the others, and what the load gives, where it finds it.
pub async fn a_damaged_slot_is_answered_beside_the_others(store: &dyn Damage) {
    let [before, good, behind] = three(store).await;
    let elsewhere = SampleSlot::new(subject("zeta", 1)).build();
    store.put(&elsewhere, Expected::Absent).await.expect("put");
    for (part, bit) in changes(store, good.as_bytes().len()) {
        store.change(good.id(), part, bit).await;
        let told = format!("{part:?}, bit {bit}");
        let ids = [&behind, &good, &before, &good].map(|slot| slot.id().clone());
        let loaded = store.load(&ids).await.unwrap_or_else(|e| panic!("{told}: a load of all fails: {e}"));
        let [one, found, other, again] = loaded.as_slice() else { panic!("{told}: one answer an id") };
        assert_eq!((one, other), (&Loaded::Slot(behind.clone()), &Loaded::Slot(before.clone())), "{told}");
        assert_eq!(found, again, "{told}: the same each time");
        assert!(!matches!(found, Loaded::Absent), "{told}: what is damaged is not absent");
        assert_ne!(*found, Loaded::Slot(good.clone()), "{told}: it is not noticed");
        if part == Part::Bytes {
            let changed = flipped(&good, bit);
            match found {
                Loaded::Slot(slot) => assert_eq!(slot.as_bytes(), changed, "{told}: as it stands there"),
                // A store that keeps the revision besides can tell more.
                _ => assert!(bit >= REVISION_BIT || !has_the_columns_of(&good, changed), "{told}: {found:?}"),
            }
        }
        for scan in scans() {
            let is_all = scan.filter() == Filter::All && scan.only_tenant().is_none();
            // Of each part once in small pages: a page may ask a store often.
            for limit in if bit == 0 { &[1, 2, 100][..] } else { &[100] } {
                let found_by_scan = scan_all(store, &scan.clone().limit(*limit)).await;
                let of_others = |slot: &&StoredSlot| slot.id() != good.id() && slot.id() != elsewhere.id();
                let others = found_by_scan.slots.iter().filter(of_others);
                assert!(others.eq([&before, &behind]), "{told}, {scan:?}: the others");
                let found_here = found_by_scan.at(good.id());
                assert!(found_here.len() <= 1 && (!is_all || found_here.len() == 1), "{told}, {scan:?}");
                assert!(found_here.iter().all(|here| here == found), "{told}, {scan:?}: as it is loaded");
            }
        }
        heal(store, &good).await;
    }
}

/// So what was damaged otherwise, or is a good slot, is never taken for what somebody saw.
pub async fn a_damaged_slots_token_is_no_revision_and_changes_with_every_byte(store: &dyn Damage) {
    let [_, good, _] = three(store).await;
    let mut tokens = HashSet::from([good.token()]);
    let mut of_its_revision = 0;
    for (part, bit) in changes(store, good.as_bytes().len()) {
        store.change(good.id(), part, bit).await;
        let found = load(store, good.id()).await;
        assert!(tokens.insert(token_of(&found)), "{part:?}, bit {bit}: the token of another damage, or of the slot");
        if let Loaded::Slot(slot) = &found {
            of_its_revision += u64::from(slot.revision() == good.revision());
        }
        let next = SampleSlot::new(good.id().clone()).content(9).build();
        refused(store, &next, Expected::Damaged(good.token()), StoreErrorKind::Conflict).await;
        heal(store, &good).await;
    }
    assert!(of_its_revision > 0, "what is changed in its middle ends in the good slot's revision");
}

/// With every column, also those that were damaged. And what a store takes for a slot, by that one's token.
pub async fn a_put_by_token_replaces_what_is_damaged(store: &dyn Damage) {
    let [before, good, behind] = three(store).await;
    let (soon, later) = (Timestamp::from_millis(5), Timestamp::from_millis(50));
    for (n, (part, bit)) in (1..).zip(changes(store, good.as_bytes().len())) {
        store.change(good.id(), part, bit).await;
        let found = load(store, good.id()).await;
        let next = SampleSlot::new(good.id().clone()).epoch(epoch(7)).due(later).content(n);
        let next = next.len(if n % 2 == 0 { 900 } else { SampleSlot::MIN_LEN }).build();
        store.put(&next, Expected::Damaged(token_of(&found))).await.unwrap_or_else(|e| panic!("{part:?}, {bit}: {e}"));
        assert_eq!(load(store, good.id()).await, Loaded::Slot(next.clone()), "{part:?}, {bit}");
        let whole = scan_all(store, &Scan::new(Filter::All)).await;
        assert!(whole.slots.iter().eq([&before, &next, &behind]), "{part:?}, {bit}");
        assert_eq!((whole.damaged.len(), whole.nameless), (0, 0), "{part:?}, {bit}");
        let lower = scan_all(store, &Scan::new(Filter::EpochBelow(epoch(7)))).await;
        assert!(lower.slots.iter().eq([&before, &behind]), "{part:?}, {bit}: it is found by what it is now");
        let due = scan_all(store, &Scan::new(Filter::DueBefore(soon))).await;
        assert!(due.slots.iter().eq([&before, &behind]), "{part:?}, {bit}: it is found by what it is now");
        heal(store, &good).await;
    }
}

/// Somebody restored the good slot meanwhile, or replaced what was damaged: that is not to be lost.
pub async fn a_put_by_token_conflicts_with_what_was_put_back(store: &dyn Damage) {
    let [_, good, _] = three(store).await;
    for (part, bit) in some_changes(store) {
        store.change(good.id(), part, bit).await;
        let seen = Expected::Damaged(token_of(&load(store, good.id()).await));
        heal(store, &good).await;
        let next = SampleSlot::new(good.id().clone()).state(SlotState::Erased).build();
        refused(store, &next, seen, StoreErrorKind::Conflict).await;
        let absent = SampleSlot::new(subject("acme", 99)).build();
        refused(store, &absent, seen, StoreErrorKind::Conflict).await;
    }
}

/// As any other put.
pub async fn a_put_by_token_holds_the_floor(store: &dyn Damage) {
    let [_, good, _] = three(store).await;
    store.raise_floor(epoch(5)).await.expect("raise the floor");
    for (part, bit) in some_changes(store) {
        store.change(good.id(), part, bit).await;
        let found = load(store, good.id()).await;
        let below = SampleSlot::new(good.id().clone()).epoch(epoch(4)).build();
        refused(store, &below, Expected::Damaged(token_of(&found)), StoreErrorKind::BelowFloor).await;
        for next in [
            SampleSlot::new(good.id().clone()).epoch(epoch(5)).due(Timestamp::from_millis(1)).build(),
            SampleSlot::new(good.id().clone()).state(SlotState::Erased).build(),
        ] {
            let found = load(store, good.id()).await;
            store
                .put(&next, Expected::Damaged(token_of(&found)))
                .await
                .expect("put at the floor, and without an epoch");
        }
        let at_floor = SampleSlot::new(good.id().clone()).epoch(epoch(5)).due(Timestamp::from_millis(1)).build();
        heal(store, &at_floor).await;
    }
}

/// It has none. Nor is it absent.
pub async fn a_put_by_revision_never_replaces_what_is_damaged(store: &dyn Damage) {
    let [_, good, _] = three(store).await;
    let mut damaged = 0;
    for (part, bit) in changes(store, good.as_bytes().len()) {
        store.change(good.id(), part, bit).await;
        let next = SampleSlot::new(good.id().clone()).content(9).build();
        refused(store, &next, Expected::Absent, StoreErrorKind::Conflict).await;
        if let Loaded::Damaged(_) = load(store, good.id()).await {
            damaged += 1;
            refused(store, &next, Expected::Revision(good.revision()), StoreErrorKind::Conflict).await;
        }
        heal(store, &good).await;
    }
    assert!(damaged > 0, "nothing was damaged");
}

/// Nobody can ask for it. It is counted, once, and whatever stands behind it is found.
pub async fn a_scan_goes_on_behind_a_row_without_a_name(store: &dyn Damage) {
    // Before the others, among them and behind them: of no kind, too short for a tag, of a name that is no text.
    let names: [&[u8]; 5] = [&[0, 1], &[3], &[3, b'a', b'd'], &[2, 0xff, 0xfe], &[200; 40]];
    let slots: Vec<_> = (1..=9).map(|n| sample(n).build()).collect();
    for slot in &slots {
        store.put(slot, Expected::Absent).await.expect("put");
    }
    let (gone, left) = slots.split_at(names.len());
    for (slot, name) in gone.iter().zip(names) {
        store.rename(slot.id(), name).await;
        assert_eq!(load(store, slot.id()).await, Loaded::Absent, "it has another name");
    }
    for scan in scans() {
        for limit in [1, 2, 3, 100] {
            let found = scan_all(store, &scan.clone().limit(limit)).await;
            assert_eq!(found.slots, left, "{scan:?}, pages of {limit}");
            assert!(found.damaged.is_empty(), "{scan:?}, pages of {limit}");
            let nameless = if scan.only_tenant().is_some() { 0 } else { names.len() as u64 };
            assert_eq!(found.nameless, nameless, "{scan:?}, pages of {limit}");
        }
    }
}

/// Three slots that each scan of [`scans`] finds, in the order of their ids. The shortest there are: each byte is damaged.
async fn three(store: &dyn Damage) -> [StoredSlot; 3] {
    let slots = [1, 2, 3].map(|n| sample(n).len(SampleSlot::MIN_LEN).build());
    for slot in &slots {
        store.put(slot, Expected::Absent).await.expect("put");
    }
    slots
}

fn sample(n: u32) -> SampleSlot {
    SampleSlot::new(subject("acme", n)).epoch(epoch(2)).due(Timestamp::from_millis(1))
}

fn scans() -> [Scan; 4] {
    let acme = TenantId::new("acme").expect("a tenant's name");
    [
        Scan::new(Filter::All),
        Scan::new(Filter::All).tenant(acme),
        Scan::new(Filter::EpochBelow(epoch(3))),
        Scan::new(Filter::DueBefore(Timestamp::from_millis(2))),
    ]
}

/// Where the revision of the shortest slot begins.
const REVISION_BIT: usize = (SampleSlot::MIN_LEN - Revision::LEN) * 8;

/// One bit of each byte, another one each time; and of each other part what the suite asks for.
fn changes(store: &dyn Damage, len: usize) -> Vec<(Part, usize)> {
    let bytes = (0..len).map(|byte| (Part::Bytes, byte * 8 + byte % 8));
    bytes.chain(changes_of_columns(store)).collect()
}

/// Of each kind: the head, the middle and the end of the bytes, and the columns.
fn some_changes(store: &dyn Damage) -> Vec<(Part, usize)> {
    let bytes = [8, 15 * 8, (SampleSlot::MIN_LEN - 1) * 8].map(|bit| (Part::Bytes, bit));
    bytes.into_iter().chain(changes_of_columns(store)).collect()
}

fn changes_of_columns(store: &dyn Damage) -> impl Iterator<Item = (Part, usize)> {
    let bits = |part| match part {
        Part::Gone(_) => &[0][..],
        Part::Bytes | Part::Column(_) => &[0, 5, 7],
    };
    store.parts().iter().flat_map(move |part| bits(*part).iter().map(|bit| (*part, *bit)))
}

fn flipped(slot: &StoredSlot, bit: usize) -> Vec<u8> {
    let mut bytes = slot.as_bytes().to_vec();
    if let Some(byte) = bytes.get_mut(bit / 8) {
        *byte ^= 1 << (bit % 8);
    }
    bytes
}

/// Whether a store can take these bytes for a slot beside the columns of that one.
fn has_the_columns_of(good: &StoredSlot, bytes: Vec<u8>) -> bool {
    StoredSlot::from_bytes(good.id().clone(), bytes)
        .is_ok_and(|slot| (slot.state(), slot.epoch(), slot.due()) == (good.state(), good.epoch(), good.due()))
}

/// Puts the good slot back, over whatever stands there.
async fn heal(store: &dyn Damage, good: &StoredSlot) {
    let found = load(store, good.id()).await;
    store.put(good, Expected::Damaged(token_of(&found))).await.expect("put over what was read");
    assert_eq!(load(store, good.id()).await, Loaded::Slot(good.clone()));
}

fn token_of(found: &Loaded) -> Token {
    match found {
        Loaded::Absent => panic!("it is there"),
        Loaded::Slot(slot) => slot.token(),
        Loaded::Damaged(token) => *token,
    }
}

async fn load(store: &dyn Damage, id: &SlotId) -> Loaded {
    let mut found = store.load(std::slice::from_ref(id)).await.expect("load");
    assert_eq!(found.len(), 1, "one answer an id");
    found.remove(0)
}

/// A put that must fail, and must leave everything as it is.
async fn refused(store: &dyn Damage, slot: &StoredSlot, expected: Expected, kind: StoreErrorKind) {
    let before = load(store, slot.id()).await;
    let error = store.put(slot, expected).await.expect_err("a put that must be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(load(store, slot.id()).await, before, "a refused put changed the slot");
}

/// All that a scan found.
#[derive(Default)]
struct FoundByScan {
    slots: Vec<StoredSlot>,
    damaged: Vec<(SlotId, Token)>,
    nameless: u64,
}

impl FoundByScan {
    fn at(&self, id: &SlotId) -> Vec<Loaded> {
        let slots = self.slots.iter().filter(|slot| slot.id() == id).cloned().map(Loaded::Slot);
        let damaged = self.damaged.iter().filter(|(damaged, _)| damaged == id);
        slots.chain(damaged.map(|(_, token)| Loaded::Damaged(*token))).collect()
    }
}

/// Every page of a scan, each held to what a page is.
async fn scan_all(store: &dyn Damage, scan: &Scan) -> FoundByScan {
    let (mut all, mut next) = (FoundByScan::default(), scan.clone());
    loop {
        let ScanPage { slots, damaged, nameless, next: cursor } = store.scan(&next).await.expect("scan");
        assert!(slots.len() + damaged.len() <= scan.page_size(), "a page is longer than asked for");
        let ids = slots.iter().map(StoredSlot::id).chain(damaged.iter().map(|(id, _)| id));
        let is_behind = |id: &SlotId| next.cursor().is_none_or(|last| last.to_bytes() < id.to_bytes());
        assert!(ids.chain(&cursor).all(is_behind), "a page that doesn't go on");
        all.slots.extend(slots);
        all.damaged.extend(damaged);
        all.nameless += nameless;
        let Some(cursor) = cursor else { return all };
        next = scan.clone().starting_after(cursor);
    }
}

fn subject(tenant: &str, n: u32) -> SlotId {
    let mut tag = [0; Tag::LEN];
    tag[..4].copy_from_slice(&n.to_be_bytes());
    SlotId::Subject(TenantId::new(tenant).expect("a tenant's name"), Tag::from_bytes(tag))
}

fn epoch(number: u32) -> Epoch {
    Epoch::new(number).expect("an epoch from 1")
}
