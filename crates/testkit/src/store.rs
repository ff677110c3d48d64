//! What every [`KeyStore`] must do: one async fn a rule, and the macros that make a test of each.
//!
//! [`store_suite!`](crate::store_suite) runs the rules of one store;
//! [`persistent_store_suite!`](crate::persistent_store_suite) those of a place that stores are opened on again, or
//! several at once. A rule panics where it is broken.
#![expect(clippy::future_not_send, reason = "the runtime is the tester's, and may have one thread")]

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;

use crate::abandoned::{Call, each_beside_each};
use crate::slot::SampleSlot;
use fieldseal::clock::Timestamp;
use fieldseal::error::{StoreError, StoreErrorKind};
use fieldseal::id::{Id, TenantId};
use fieldseal::store::{Epoch, SlotId, SlotState, StoredSlot, Tag};
use fieldseal::store::{Expected, Filter, KeyStore, Loaded, Scan};

/// One test for each rule of a key store.
///
/// The attribute makes an async fn a test, so that the suite chooses no runtime; the name is that of the module that the
/// tests are put in; the last is an async fn that makes an empty store.
///
/// ```
/// use fieldseal::store::MemoryStore;
///
/// async fn make() -> MemoryStore {
///     MemoryStore::new()
/// }
///
/// fieldseal_testkit::store_suite! {
///     #[tokio::test]
///     memory_store, make
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! store_suite {
    ($(#[$test:meta])+ $name:ident, $make:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the name of what makes a store")]
            use super::*;

            $crate::__store_rules! { [$crate::__suite_tests] [$(#[$test])+] [($make().await)] store }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_rules {
    ([$($list:tt)*] $($arguments:tt)*) => {
        $($list)*! {
            $($arguments)*
            an_absent_slot_loads_as_none
            a_load_of_nothing_is_nothing
            a_load_answers_in_the_order_asked
            a_load_of_many_ids_answers_each
            what_was_put_is_loaded
            a_first_put_over_a_slot_conflicts
            a_put_over_another_revision_conflicts
            a_put_over_an_earlier_revision_conflicts
            a_put_of_a_revision_where_no_slot_is_conflicts
            a_put_over_the_right_revision_replaces
            a_put_over_the_right_token_replaces
            a_put_over_another_token_conflicts
            one_of_many_first_puts_wins
            one_of_many_replacements_wins
            concurrent_puts_of_different_slots_all_land
            ids_never_collide
            slots_of_every_size_are_kept
            a_put_below_the_floor_is_refused
            a_slot_without_an_epoch_passes_any_floor
            the_floor_never_sinks
            nothing_below_the_floor_lands_after_it_was_raised
            a_scan_reads_every_slot_once_and_in_order
            a_scan_of_one_tenant_reads_no_other
            a_scan_for_lower_epochs_reads_those_alone
            a_scan_for_what_is_due_reads_that_alone
            a_scan_follows_what_a_put_changed
            a_scan_goes_on_behind_an_id_that_is_not_there
            a_scan_stands_slots_that_are_put_meanwhile
            a_scrub_keeps_what_lives
            a_clock_is_within_the_bound_of_this_machines
            a_call_that_was_polled_and_abandoned_delays_no_other
        }
    };
}

/// A rule, told a store of its own.
pub type Rule = for<'a> fn(&'a dyn KeyStore) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

__store_rules! { [super::list] }

/// One test for each rule of a key store that outlives its process.
///
/// Like [`store_suite!`](crate::store_suite), with two async fns: one that makes an empty place (a folder, a database),
/// and one that takes `&place` and opens a store on it, again and again, several at once.
#[macro_export]
macro_rules! persistent_store_suite {
    ($(#[$test:meta])+ $name:ident, $place:path, $open:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the names of what makes a place and opens it")]
            use super::*;

            $crate::__suite_tests! {
                [$(#[$test])+] [($place().await), $open] store
                what_was_put_survives_reopening
                the_floor_survives_reopening
                a_new_place_can_be_opened_by_many_at_once
                a_store_sees_at_once_what_another_put
                one_of_many_stores_wins
                nothing_below_the_floor_lands_through_another_store
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_tests {
    ($attributes:tt $arguments:tt $suite:ident $($rule:ident)*) => {
        $($crate::__suite_test! { $attributes $arguments $suite $rule })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __suite_test {
    ([$($attribute:tt)*] [($make:expr) $(, $open:path)?] $suite:ident $rule:ident) => {
        $($attribute)*
        async fn $rule() {
            let made = $make;
            $crate::$suite::$rule(&made $(, $open)?).await;
        }
    };
}

/// A slot that was never put is none.
pub async fn an_absent_slot_loads_as_none(store: &dyn KeyStore) {
    let ids = [SlotId::Vault, SlotId::Tenant(tenant("acme")), subject("acme", 1)];
    assert_eq!(store.load(&ids).await.expect("load"), [Loaded::Absent, Loaded::Absent, Loaded::Absent]);
}

/// No ids, no answers.
pub async fn a_load_of_nothing_is_nothing(store: &dyn KeyStore) {
    assert_eq!(store.load(&[]).await.expect("load"), []);
}

/// One answer an id, in their order: with repeats, and with gaps.
pub async fn a_load_answers_in_the_order_asked(store: &dyn KeyStore) {
    let slots: Vec<_> = (0..4).map(|n| SampleSlot::new(subject("acme", n)).build()).collect();
    put_all(store, &slots).await;
    let [a, b, c, d] = slots.as_slice() else { unreachable!("four slots") };
    let absent = subject("acme", 9);
    let ids: Vec<_> = [d, a, a, c, d, b].map(|s| s.id().clone()).into_iter().chain([absent.clone()]).collect();
    let found = store.load(&ids).await.expect("load");
    let slots = [d, a, a, c, d, b].map(|slot| Loaded::Slot(slot.clone()));
    assert!(found.iter().eq(slots.iter().chain([&Loaded::Absent])));
    assert_eq!(
        store.load(&[absent.clone(), b.id().clone(), absent]).await.expect("load"),
        [Loaded::Absent, Loaded::Slot(b.clone()), Loaded::Absent]
    );
}

/// More ids than an engine takes in one request.
pub async fn a_load_of_many_ids_answers_each(store: &dyn KeyStore) {
    let slots: Vec<_> = (0..150).map(|n| SampleSlot::new(subject("acme", n * 10)).build()).collect();
    put_all(store, &slots).await;
    let by_id: BTreeMap<_, _> = slots.iter().map(|slot| (slot.id(), slot)).collect();
    let ids: Vec<_> = (0..1500).rev().map(|n| subject("acme", n)).collect();
    let found = store.load(&ids).await.expect("load");
    assert_eq!(found.len(), ids.len());
    for (id, found) in ids.iter().zip(&found) {
        let there = by_id.get(id).map_or(Loaded::Absent, |slot| Loaded::Slot((*slot).clone()));
        assert_eq!(*found, there);
    }
}

/// The same bytes, id and columns come back, for each kind of slot and each state.
pub async fn what_was_put_is_loaded(store: &dyn KeyStore) {
    let due = Timestamp::from_millis(1_800_000_000_123);
    for slot in [
        SampleSlot::new(SlotId::Vault).epoch(epoch(1)).build(),
        SampleSlot::new(SlotId::Tenant(tenant("acme"))).epoch(epoch(u32::MAX)).due(due).build(),
        SampleSlot::new(subject("acme", 1)).epoch(epoch(2)).build(),
        SampleSlot::new(subject("acme", 2)).state(SlotState::Scheduled).epoch(epoch(2)).due(due).build(),
        SampleSlot::new(subject("acme", 3)).state(SlotState::Erased).build(),
        SampleSlot::new(subject("acme", 4)).due(Timestamp::from_millis(u64::MAX)).build(),
    ] {
        store.put(&slot, Expected::Absent).await.expect("put");
        assert_eq!(load(store, slot.id()).await.as_ref(), Some(&slot));
    }
}

/// A slot is made once.
pub async fn a_first_put_over_a_slot_conflicts(store: &dyn KeyStore) {
    let first = SampleSlot::new(subject("acme", 1)).build();
    store.put(&first, Expected::Absent).await.expect("put");
    let second = SampleSlot::new(subject("acme", 1)).content(1).build();
    refused(store, &second, Expected::Absent, StoreErrorKind::Conflict).await;
    // Not even with the same bytes: the writer would think that it had made the slot.
    refused(store, &first, Expected::Absent, StoreErrorKind::Conflict).await;
}

/// A revision that the slot never had.
pub async fn a_put_over_another_revision_conflicts(store: &dyn KeyStore) {
    let first = SampleSlot::new(subject("acme", 1)).build();
    store.put(&first, Expected::Absent).await.expect("put");
    let second = SampleSlot::new(subject("acme", 1)).content(1).build();
    refused(store, &second, Expected::Revision(second.revision()), StoreErrorKind::Conflict).await;
    let other = SampleSlot::new(subject("acme", 2)).build();
    store.put(&other, Expected::Absent).await.expect("put");
    refused(store, &second, Expected::Revision(other.revision()), StoreErrorKind::Conflict).await;
}

/// A revision that the slot had before.
pub async fn a_put_over_an_earlier_revision_conflicts(store: &dyn KeyStore) {
    let [first, second, third] = [0, 1, 2].map(|n| SampleSlot::new(subject("acme", 1)).content(n).build());
    store.put(&first, Expected::Absent).await.expect("put");
    store.put(&second, Expected::Revision(first.revision())).await.expect("put");
    refused(store, &third, Expected::Revision(first.revision()), StoreErrorKind::Conflict).await;
}

/// What is not there can't be replaced.
pub async fn a_put_of_a_revision_where_no_slot_is_conflicts(store: &dyn KeyStore) {
    let slot = SampleSlot::new(subject("acme", 1)).build();
    refused(store, &slot, Expected::Revision(slot.revision()), StoreErrorKind::Conflict).await;
}

/// By longer, shorter and equally long bytes, by other columns, and by the same bytes.
pub async fn a_put_over_the_right_revision_replaces(store: &dyn KeyStore) {
    let sample = SampleSlot::new(subject("acme", 1)).epoch(epoch(3));
    let beside = SampleSlot::new(subject("acme", 2)).build();
    store.put(&beside, Expected::Absent).await.expect("put");
    let mut last = sample.clone().build();
    store.put(&last, Expected::Absent).await.expect("put");
    let sizes = [300, 511, 512, 513, 100, 5000, 47, 4100, 70_000, 300, 65_000];
    for (content, len) in (1..).zip(sizes) {
        let next = sample.clone().len(len).content(content).due(Timestamp::from_millis(content)).build();
        store.put(&next, Expected::Revision(last.revision())).await.expect("put");
        assert_eq!(load(store, next.id()).await.as_ref(), Some(&next));
        last = next;
    }
    store.put(&last, Expected::Revision(last.revision())).await.expect("put");
    let tombstone = SampleSlot::new(subject("acme", 1)).state(SlotState::Erased).build();
    store.put(&tombstone, Expected::Revision(last.revision())).await.expect("put");
    assert_eq!(load(store, tombstone.id()).await, Some(tombstone));
    assert_eq!(load(store, beside.id()).await, Some(beside));
}

/// The token of what is there, for a slot whose MAC doesn't verify.
pub async fn a_put_over_the_right_token_replaces(store: &dyn KeyStore) {
    let sample = SampleSlot::new(subject("acme", 1)).epoch(epoch(3));
    let beside = SampleSlot::new(subject("acme", 2)).build();
    store.put(&beside, Expected::Absent).await.expect("put");
    let mut last = sample.clone().build();
    store.put(&last, Expected::Absent).await.expect("put");
    for (content, len) in (1..).zip([300, 513, 100, 5000, 47, 70_000]) {
        let next = sample.clone().len(len).content(content).due(Timestamp::from_millis(content)).build();
        store.put(&next, Expected::Damaged(last.token())).await.expect("put");
        assert_eq!(load(store, next.id()).await.as_ref(), Some(&next));
        last = next;
    }
    let tombstone = SampleSlot::new(subject("acme", 1)).state(SlotState::Erased).build();
    store.put(&tombstone, Expected::Damaged(last.token())).await.expect("put");
    assert_eq!(scan_all(store, &Scan::new(Filter::All)).await, [tombstone, beside]);
}

/// One that the slot had before, another slot's, and any where no slot is. And below the floor the right one doesn't help.
pub async fn a_put_over_another_token_conflicts(store: &dyn KeyStore) {
    let [first, second, third] =
        [0, 1, 2].map(|n| SampleSlot::new(subject("acme", 1)).epoch(epoch(2)).content(n).build());
    refused(store, &first, Expected::Damaged(first.token()), StoreErrorKind::Conflict).await;
    store.put(&first, Expected::Absent).await.expect("put");
    refused(store, &second, Expected::Damaged(second.token()), StoreErrorKind::Conflict).await;
    store.put(&second, Expected::Revision(first.revision())).await.expect("put");
    refused(store, &third, Expected::Damaged(first.token()), StoreErrorKind::Conflict).await;
    let other = SampleSlot::new(subject("acme", 2)).build();
    store.put(&other, Expected::Absent).await.expect("put");
    refused(store, &third, Expected::Damaged(other.token()), StoreErrorKind::Conflict).await;
    store.raise_floor(epoch(3)).await.expect("raise the floor");
    refused(store, &third, Expected::Damaged(second.token()), StoreErrorKind::BelowFloor).await;
}

/// Many make one slot at a time: one of them did, the others know that they didn't.
pub async fn one_of_many_first_puts_wins(store: &dyn KeyStore) {
    for round in 0..8 {
        let slots: Vec<_> = (0..8).map(|n| SampleSlot::new(subject("acme", round)).content(n).build()).collect();
        one_wins(store, &slots, Expected::Absent).await;
    }
}

/// Many replace one revision at a time.
pub async fn one_of_many_replacements_wins(store: &dyn KeyStore) {
    let sample = SampleSlot::new(subject("acme", 1));
    let mut last = sample.clone().build();
    store.put(&last, Expected::Absent).await.expect("put");
    for round in 1..8 {
        let slots: Vec<_> = (0..8).map(|n| sample.clone().content(round * 8 + n).build()).collect();
        last = one_wins(store, &slots, Expected::Revision(last.revision())).await;
    }
}

/// Writers of different slots don't disturb each other.
pub async fn concurrent_puts_of_different_slots_all_land(store: &dyn KeyStore) {
    let slots: Vec<_> = (0..64).map(|n| SampleSlot::new(subject("acme", n)).build()).collect();
    for put in join_all(slots.iter().map(|slot| store.put(slot, Expected::Absent))).await {
        put.expect("put");
    }
    for slot in &slots {
        assert_eq!(load(store, slot.id()).await.as_ref(), Some(slot));
    }
}

/// Each id has its own slot: tenants whose names begin or end alike, tags that read like text, the longest names.
pub async fn ids_never_collide(store: &dyn KeyStore) {
    let long = "x".repeat(Id::MAX_LEN);
    let longer = format!("{}y", "x".repeat(Id::MAX_LEN - 1));
    let wide = "\u{1f511}".repeat(Id::MAX_LEN / 4);
    let names = [
        "a",
        "ab",
        "A",
        "a ",
        " a",
        "a\0",
        "a\0b",
        "b",
        "aaaaaaaaaaaaaaaaa",
        "é",
        "e\u{301}",
        "%",
        "_",
        "'",
        "\"",
        "\\",
        "\u{1}",
        "\u{2}",
        "\u{3}",
        "\u{10ffff}",
        "default",
        "null",
        &long,
        &longer,
        &wide,
    ];
    let tags = [[0; 16], [b'a'; 16], [0xff; 16], *b"bbbbbbbbbbbbbbbb", *b"abbbbbbbbbbbbbbb"].map(Tag::from_bytes);
    let mut ids = vec![SlotId::Vault];
    for name in names {
        ids.push(SlotId::Tenant(tenant(name)));
        ids.extend(tags.map(|tag| SlotId::Subject(tenant(name), tag)));
    }
    let slots: Vec<_> = ids.iter().map(|id| SampleSlot::new(id.clone()).build()).collect();
    put_all(store, &slots).await;
    let found = store.load(&ids).await.expect("load");
    assert!(found.into_iter().eq(slots.iter().cloned().map(Loaded::Slot)), "each id gives its own slot");
    assert_eq!(scan_all(store, &Scan::new(Filter::All).limit(7)).await, in_order(&slots));
}

/// From the shortest slot to the longest, and around the sizes of an engine's pages.
pub async fn slots_of_every_size_are_kept(store: &dyn KeyStore) {
    let sizes = [SampleSlot::MIN_LEN, 48, 255, 256, 1023, 4096, 4097, 65_535, 65_536, StoredSlot::MAX_LEN];
    for (n, len) in (0..).zip(sizes) {
        let slot = SampleSlot::new(subject("acme", n)).len(len).build();
        assert_eq!(slot.as_bytes().len(), len);
        store.put(&slot, Expected::Absent).await.expect("put");
        assert_eq!(load(store, slot.id()).await, Some(slot));
    }
}

/// New slots and replacements; the floor itself is allowed.
pub async fn a_put_below_the_floor_is_refused(store: &dyn KeyStore) {
    let old = SampleSlot::new(subject("acme", 1)).epoch(epoch(2)).build();
    store.put(&old, Expected::Absent).await.expect("put");
    store.raise_floor(epoch(3)).await.expect("raise the floor");
    assert_eq!(load(store, old.id()).await.as_ref(), Some(&old), "the floor takes nothing away");

    let fresh = SampleSlot::new(subject("acme", 2)).epoch(epoch(2)).build();
    refused(store, &fresh, Expected::Absent, StoreErrorKind::BelowFloor).await;
    let again = SampleSlot::new(subject("acme", 1)).epoch(epoch(2)).content(1).build();
    refused(store, &again, Expected::Revision(old.revision()), StoreErrorKind::BelowFloor).await;

    let rewrapped = SampleSlot::new(subject("acme", 1)).epoch(epoch(3)).build();
    store.put(&rewrapped, Expected::Revision(old.revision())).await.expect("put at the floor");
    let above = SampleSlot::new(subject("acme", 2)).epoch(epoch(4)).build();
    store.put(&above, Expected::Absent).await.expect("put above the floor");
}

/// A tombstone holds no key, so no epoch keeps it out.
pub async fn a_slot_without_an_epoch_passes_any_floor(store: &dyn KeyStore) {
    let old = SampleSlot::new(subject("acme", 1)).epoch(epoch(1)).build();
    store.put(&old, Expected::Absent).await.expect("put");
    store.raise_floor(epoch(u32::MAX)).await.expect("raise the floor");
    let tombstone = SampleSlot::new(subject("acme", 1)).state(SlotState::Erased).build();
    store.put(&tombstone, Expected::Revision(old.revision())).await.expect("put");
    let unseen = SampleSlot::new(subject("acme", 2)).state(SlotState::Erased).build();
    store.put(&unseen, Expected::Absent).await.expect("put");
}

/// A lower floor leaves the higher one.
pub async fn the_floor_never_sinks(store: &dyn KeyStore) {
    for floor in [5, 3, 5, 1] {
        store.raise_floor(epoch(floor)).await.expect("raise the floor");
    }
    let slot = SampleSlot::new(subject("acme", 1)).epoch(epoch(4)).build();
    refused(store, &slot, Expected::Absent, StoreErrorKind::BelowFloor).await;
    let slot = SampleSlot::new(subject("acme", 1)).epoch(epoch(5)).build();
    store.put(&slot, Expected::Absent).await.expect("put");
}

/// Puts that are under way while the floor rises land before it did, or not at all.
pub async fn nothing_below_the_floor_lands_after_it_was_raised(store: &dyn KeyStore) {
    race_the_floor(&[store]).await;
}

/// Whatever the size of the pages.
pub async fn a_scan_reads_every_slot_once_and_in_order(store: &dyn KeyStore) {
    assert_eq!(scan_all(store, &Scan::new(Filter::All)).await, []);
    let mut slots = vec![SampleSlot::new(SlotId::Vault).build()];
    for name in ["b", "a", "ab"] {
        slots.push(SampleSlot::new(SlotId::Tenant(tenant(name))).build());
        slots.extend((0..4).map(|n| SampleSlot::new(subject(name, n)).build()));
    }
    put_all(store, &slots).await;
    let expected = in_order(&slots);
    for limit in (1..=slots.len() + 2).chain([Scan::MAX_LIMIT]) {
        assert_eq!(scan_all(store, &Scan::new(Filter::All).limit(limit)).await, expected, "pages of {limit}");
    }
}

/// Also where the names of tenants begin alike.
pub async fn a_scan_of_one_tenant_reads_no_other(store: &dyn KeyStore) {
    let mut slots = vec![SampleSlot::new(SlotId::Vault).build()];
    let names = ["a", "aa", "b", "a\u{ff}", "ab"];
    for name in names {
        slots.push(SampleSlot::new(SlotId::Tenant(tenant(name))).epoch(epoch(1)).build());
        slots.extend((0..3).map(|n| SampleSlot::new(subject(name, n)).epoch(epoch(n + 1)).build()));
    }
    put_all(store, &slots).await;
    for name in names.into_iter().chain(["c"]) {
        let own: Vec<_> = slots.iter().filter(|s| s.id().tenant() == Some(&tenant(name))).cloned().collect();
        for limit in [1, 2, 4, 100] {
            let scan = Scan::new(Filter::All).tenant(tenant(name)).limit(limit);
            assert_eq!(scan_all(store, &scan).await, in_order(&own));
            let low = own.iter().filter(|s| s.epoch() == Some(epoch(1))).cloned().collect::<Vec<_>>();
            let scan = Scan::new(Filter::EpochBelow(epoch(2))).tenant(tenant(name)).limit(limit);
            assert_eq!(scan_all(store, &scan).await, in_order(&low));
        }
    }
}

/// Not those at the epoch, nor those without one.
pub async fn a_scan_for_lower_epochs_reads_those_alone(store: &dyn KeyStore) {
    let mut slots = vec![SampleSlot::new(SlotId::Vault).epoch(epoch(2)).build()];
    slots.push(SampleSlot::new(SlotId::Tenant(tenant("acme"))).epoch(epoch(3)).build());
    slots.extend((0..12).map(|n| {
        let sample = SampleSlot::new(subject(if n % 2 == 0 { "acme" } else { "zeta" }, n));
        match n % 4 {
            0 => sample.state(SlotState::Erased).build(),
            e => sample.epoch(epoch(e)).build(),
        }
    }));
    put_all(store, &slots).await;
    for below in 1..=5 {
        let lower: Vec<_> = slots.iter().filter(|s| s.epoch().is_some_and(|e| e < epoch(below))).cloned().collect();
        for limit in [1, 2, 3, 100] {
            let scan = Scan::new(Filter::EpochBelow(epoch(below))).limit(limit);
            assert_eq!(scan_all(store, &scan).await, in_order(&lower), "below {below}, pages of {limit}");
        }
    }
}

/// Not what is due at the moment, nor what never is.
pub async fn a_scan_for_what_is_due_reads_that_alone(store: &dyn KeyStore) {
    const NOON: u64 = 1_800_000_000_000;
    let moments = [1, NOON - 1, NOON, NOON + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX];
    let mut slots: Vec<_> = (0..)
        .zip(moments)
        .map(|(n, due)| SampleSlot::new(subject("acme", n)).due(Timestamp::from_millis(due)).build())
        .collect();
    slots.push(SampleSlot::new(subject("acme", 100)).build());
    put_all(store, &slots).await;
    for moment in moments.map(Timestamp::from_millis) {
        let due: Vec<_> = slots.iter().filter(|s| s.due().is_some_and(|due| due < moment)).cloned().collect();
        for limit in [1, 2, 100] {
            let scan = Scan::new(Filter::DueBefore(moment)).limit(limit);
            assert_eq!(scan_all(store, &scan).await, in_order(&due), "before {moment:?}, pages of {limit}");
        }
    }
}

/// What an engine indexes changes with the slot.
pub async fn a_scan_follows_what_a_put_changed(store: &dyn KeyStore) {
    let (early, late) = (Timestamp::from_millis(10), Timestamp::from_millis(30));
    let before = SampleSlot::new(subject("acme", 1)).epoch(epoch(1)).due(early).build();
    store.put(&before, Expected::Absent).await.expect("put");
    let after = SampleSlot::new(subject("acme", 1)).epoch(epoch(3)).due(late).content(1).build();
    store.put(&after, Expected::Revision(before.revision())).await.expect("put");
    let middle = [Filter::EpochBelow(epoch(2)), Filter::DueBefore(Timestamp::from_millis(20))];
    for filter in middle {
        assert_eq!(scan_all(store, &Scan::new(filter)).await, []);
    }
    for filter in [Filter::All, Filter::EpochBelow(epoch(4)), Filter::DueBefore(Timestamp::from_millis(31))] {
        assert_eq!(scan_all(store, &Scan::new(filter)).await, std::slice::from_ref(&after));
    }
    let tombstone = SampleSlot::new(subject("acme", 1)).state(SlotState::Erased).build();
    store.put(&tombstone, Expected::Revision(after.revision())).await.expect("put");
    for filter in [Filter::EpochBelow(epoch(u32::MAX)), Filter::DueBefore(Timestamp::from_millis(u64::MAX))] {
        assert_eq!(scan_all(store, &Scan::new(filter)).await, []);
    }
    assert_eq!(scan_all(store, &Scan::new(Filter::All)).await, [tombstone]);
}

/// A cursor is a place in the order, not a slot.
pub async fn a_scan_goes_on_behind_an_id_that_is_not_there(store: &dyn KeyStore) {
    let slots: Vec<_> = [2, 4, 6].map(|n| SampleSlot::new(subject("acme", n)).build()).into();
    put_all(store, &slots).await;
    for (after, left) in [(1, 3), (2, 2), (3, 2), (5, 1), (6, 0), (7, 0)] {
        let found = scan_all(store, &Scan::new(Filter::All).starting_after(subject("acme", after)).limit(2)).await;
        assert!(found.iter().eq(slots.iter().skip(slots.len() - left)), "behind {after}");
    }
    assert_eq!(scan_all(store, &Scan::new(Filter::All).starting_after(SlotId::Vault)).await, slots);
}

/// Slots that are put while a scan goes on: before the cursor they are not seen, behind it they are, and none that was
/// there from the beginning is lost or read twice. A slot that was replaced is read as it is now.
pub async fn a_scan_stands_slots_that_are_put_meanwhile(store: &dyn KeyStore) {
    let there: Vec<_> = (1..=9).map(|n| SampleSlot::new(subject("acme", n * 10)).epoch(epoch(1)).build()).collect();
    put_all(store, &there).await;
    let scan = Scan::new(Filter::EpochBelow(epoch(2))).limit(3);
    let first = store.scan(&scan).await.expect("scan");
    let cursor = first.next.expect("six slots more");

    let before = SampleSlot::new(subject("acme", 5)).epoch(epoch(1)).build();
    let behind = SampleSlot::new(subject("acme", 45)).epoch(epoch(1)).build();
    put_all(store, &[before, behind.clone()]).await;
    let [read, .., unread] = there.as_slice() else { unreachable!("nine slots") };
    let reread = SampleSlot::new(read.id().clone()).epoch(epoch(1)).content(1).build();
    store.put(&reread, Expected::Revision(read.revision())).await.expect("put");
    let rewrapped = SampleSlot::new(unread.id().clone()).epoch(epoch(2)).build();
    store.put(&rewrapped, Expected::Revision(unread.revision())).await.expect("put");

    let rest = scan_all(store, &scan.starting_after(cursor)).await;
    let mut expected: Vec<_> = there.iter().skip(3).take(5).cloned().collect();
    expected.insert(1, behind);
    assert_eq!(rest, expected);
}

/// Every slot that lives, and the floor.
pub async fn a_scrub_keeps_what_lives(store: &dyn KeyStore) {
    let mut slots: Vec<_> = (0..20).map(|n| SampleSlot::new(subject("acme", n)).epoch(epoch(2)).build()).collect();
    put_all(store, &slots).await;
    store.raise_floor(epoch(2)).await.expect("raise the floor");
    for (n, slot) in (0..).zip(&mut slots).step_by(2) {
        let next = SampleSlot::new(subject("acme", n)).state(SlotState::Erased).len(100).build();
        store.put(&next, Expected::Revision(slot.revision())).await.expect("put");
        *slot = next;
    }
    for _ in 0..2 {
        store.scrub().await.expect("scrub");
        assert_eq!(scan_all(store, &Scan::new(Filter::All)).await, in_order(&slots));
    }
    let below = SampleSlot::new(subject("acme", 99)).epoch(epoch(1)).build();
    refused(store, &below, Expected::Absent, StoreErrorKind::BelowFloor).await;
}

/// What a vault destroys because its time has come goes by it: a store on another machine tells that one's, or none.
pub async fn a_clock_is_within_the_bound_of_this_machines(store: &dyn KeyStore) {
    crate::clock::assert_within_bound(store.clock()).await;
}

/// Wherever it stands, and though it is not dropped. A store that holds a slot, or the floor, for a put may tell who wants the same
/// that it is `Throttled`; it lets nobody wait for good.
pub async fn a_call_that_was_polled_and_abandoned_delays_no_other(store: &dyn KeyStore) {
    let slot = SampleSlot::new(subject("acme", 0)).build();
    store.put(&slot, Expected::Absent).await.expect("put");
    let (slot, scan, made) = (&slot, &Scan::new(Filter::All).limit(2), &AtomicU32::new(1));
    let call = |method| -> Call<'_, StoreError> {
        Box::pin(async move {
            match method {
                "load" => store.load(&[SlotId::Vault, slot.id().clone()]).await.map(drop),
                "put" => {
                    let slot = SampleSlot::new(subject("acme", made.fetch_add(1, Ordering::SeqCst))).build();
                    store.put(&slot, Expected::Absent).await
                }
                "put of one slot" => {
                    let content = u64::from(made.fetch_add(1, Ordering::SeqCst));
                    let found = store
                        .load(std::slice::from_ref(slot.id()))
                        .await?
                        .pop()
                        .expect("an answer")
                        .into_slot()?
                        .expect("the slot");
                    let next = SampleSlot::new(slot.id().clone()).content(content).build();
                    match store.put(&next, Expected::Revision(found.revision())).await {
                        Err(e) if e.kind() == StoreErrorKind::Conflict => Ok(()), // the other one has landed
                        put => put,
                    }
                }
                "scan" => store.scan(scan).await.map(drop),
                "raise_floor" => store.raise_floor(epoch(1)).await,
                _ => store.scrub().await.map(drop),
            }
        })
    };
    each_beside_each(&["load", "put", "put of one slot", "scan", "raise_floor", "scrub"], call, |which, answer| {
        if let Err(e) = answer {
            assert_eq!(e.kind(), StoreErrorKind::Throttled, "{which}: {e:?}");
        }
    })
    .await;
}

/// The slots are there when a place is opened again.
pub async fn what_was_put_survives_reopening<P, S: KeyStore>(place: &P, open: impl AsyncFn(&P) -> S) {
    let mut slots: Vec<_> = (0..20).map(|n| SampleSlot::new(subject("acme", n)).epoch(epoch(1)).build()).collect();
    let store = open(place).await;
    put_all(&store, &slots).await;
    drop(store);
    let store = open(place).await;
    let next = SampleSlot::new(subject("acme", 0)).content(1).len(3000).build();
    let first = slots.first_mut().expect("twenty slots");
    store.put(&next, Expected::Revision(first.revision())).await.expect("put");
    *first = next;
    drop(store);
    assert_eq!(scan_all(&open(place).await, &Scan::new(Filter::All)).await, in_order(&slots));
}

/// The floor is there when a place is opened again.
pub async fn the_floor_survives_reopening<P, S: KeyStore>(place: &P, open: impl AsyncFn(&P) -> S) {
    let store = open(place).await;
    store.raise_floor(epoch(3)).await.expect("raise the floor");
    drop(store);
    let store = open(place).await;
    let slot = SampleSlot::new(subject("acme", 1)).epoch(epoch(2)).build();
    refused(&store, &slot, Expected::Absent, StoreErrorKind::BelowFloor).await;
    drop(store);
    refused(&open(place).await, &slot, Expected::Absent, StoreErrorKind::BelowFloor).await;
}

/// Several processes start at once on a place that none has used: all open it, and it is one store.
pub async fn a_new_place_can_be_opened_by_many_at_once<P, S: KeyStore>(place: &P, open: impl AsyncFn(&P) -> S) {
    let stores = join_all((0..6).map(|_| open(place))).await;
    for (n, store) in (0..).zip(&stores) {
        store.put(&SampleSlot::new(subject("acme", n)).build(), Expected::Absent).await.expect("put");
    }
    for store in &stores {
        assert_eq!(scan_all(store, &Scan::new(Filter::All)).await.len(), stores.len());
    }
}

/// A read that begins after a put returned sees it, whichever store made it.
pub async fn a_store_sees_at_once_what_another_put<P, S: KeyStore>(place: &P, open: impl AsyncFn(&P) -> S) {
    let (one, other) = (open(place).await, open(place).await);
    let mut last: Option<StoredSlot> = None;
    for (n, (writer, reader)) in (0..).zip([(&one, &other), (&other, &one)].into_iter().cycle().take(20)) {
        let slot = SampleSlot::new(subject("acme", 1)).epoch(epoch(1)).content(n).build();
        let expected = last.map_or(Expected::Absent, |last| Expected::Revision(last.revision()));
        writer.put(&slot, expected).await.expect("put");
        assert_eq!(load(reader, slot.id()).await.as_ref(), Some(&slot));
        assert_eq!(scan_all(reader, &Scan::new(Filter::EpochBelow(epoch(2)))).await, std::slice::from_ref(&slot));
        last = Some(slot);
    }
}

/// One writer of one revision wins, also among several stores.
pub async fn one_of_many_stores_wins<P, S: KeyStore>(place: &P, open: impl AsyncFn(&P) -> S) {
    let stores = [open(place).await, open(place).await, open(place).await];
    let mut expected = Expected::Absent;
    for round in 0..8 {
        let slots: Vec<_> =
            (0..9).map(|n| SampleSlot::new(subject("acme", 1)).content(round * 9 + n).build()).collect();
        let puts = slots.iter().zip(stores.iter().cycle()).map(|(slot, store)| store.put(slot, expected));
        let outcomes = join_all(puts).await;
        let winner = the_winner(&slots, outcomes);
        for store in &stores {
            assert_eq!(load(store, winner.id()).await.as_ref(), Some(winner));
        }
        expected = Expected::Revision(winner.revision());
    }
}

/// A floor that one store raised holds for the puts of another, also those under way.
pub async fn nothing_below_the_floor_lands_through_another_store<P, S: KeyStore>(
    place: &P,
    open: impl AsyncFn(&P) -> S,
) {
    let stores = [open(place).await, open(place).await];
    race_the_floor(&[&stores[0], &stores[1]]).await;
}

/// The last of the stores raises the floor while all of them put.
async fn race_the_floor(stores: &[&dyn KeyStore]) {
    let raiser = stores.last().expect("a store");
    for round in 1..=24 {
        // In different places of the queue, so that the raise comes before, amid and after the puts.
        let slots: Vec<_> =
            (0..8).map(|n| SampleSlot::new(subject("acme", round * 8 + n)).epoch(epoch(round)).build()).collect();
        let early = usize::try_from(round).expect("small") % (slots.len() + 1);
        let puts = slots.iter().zip(stores.iter().cycle()).map(|(slot, store)| store.put(slot, Expected::Absent));
        let mut puts: Vec<_> = puts.collect();
        let late = puts.split_off(early);
        let raise = async {
            raiser.raise_floor(epoch(round + 1)).await.expect("raise the floor");
            scan_below(*raiser, round + 1).await
        };
        let (early, at_raise, late) = futures_util::future::join3(join_all(puts), raise, join_all(late)).await;

        let landed = scan_below(*raiser, round + 1).await;
        assert_eq!(landed, at_raise, "a put landed after the floor was raised");
        for (slot, outcome) in slots.iter().zip(early.into_iter().chain(late)) {
            match outcome {
                Ok(()) => assert!(landed.contains(&slot.id().to_bytes()), "a put that returned has landed"),
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::BelowFloor, "{error:?}"),
            }
        }
    }
}

async fn scan_below(store: &dyn KeyStore, below: u32) -> BTreeSet<Vec<u8>> {
    let slots = scan_all(store, &Scan::new(Filter::EpochBelow(epoch(below))).limit(Scan::MAX_LIMIT)).await;
    slots.iter().map(|slot| slot.id().to_bytes()).collect()
}

async fn one_wins(store: &dyn KeyStore, slots: &[StoredSlot], expected: Expected) -> StoredSlot {
    let outcomes = join_all(slots.iter().map(|slot| store.put(slot, expected))).await;
    let winner = the_winner(slots, outcomes);
    assert_eq!(load(store, winner.id()).await.as_ref(), Some(winner));
    winner.clone()
}

fn the_winner(slots: &[StoredSlot], outcomes: Vec<Result<(), StoreError>>) -> &StoredSlot {
    let mut winners = Vec::new();
    for (slot, outcome) in slots.iter().zip(outcomes) {
        match outcome {
            Ok(()) => winners.push(slot),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict, "{error:?}"),
        }
    }
    let [winner] = winners.as_slice() else { panic!("{} writers of one revision won", winners.len()) };
    winner
}

/// A put that must fail, and must leave the slot as it is.
async fn refused(store: &dyn KeyStore, slot: &StoredSlot, expected: Expected, kind: StoreErrorKind) {
    let before = load(store, slot.id()).await;
    let error = store.put(slot, expected).await.expect_err("a put that must be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    assert_eq!(load(store, slot.id()).await, before, "a refused put changed the slot");
}

async fn load(store: &dyn KeyStore, id: &SlotId) -> Option<StoredSlot> {
    let mut found = store.load(std::slice::from_ref(id)).await.expect("load");
    assert_eq!(found.len(), 1, "one answer an id");
    found.remove(0).into_slot().expect("nothing is damaged")
}

async fn put_all(store: &dyn KeyStore, slots: &[StoredSlot]) {
    for slot in slots {
        store.put(slot, Expected::Absent).await.expect("put");
    }
}

/// Every page of a scan, each held to what a page is.
async fn scan_all(store: &dyn KeyStore, scan: &Scan) -> Vec<StoredSlot> {
    let mut slots = Vec::new();
    let mut next = scan.clone();
    loop {
        let page = store.scan(&next).await.expect("scan");
        assert!(page.slots.len() <= scan.page_size(), "a page is longer than asked for");
        assert!(page.damaged.is_empty() && page.nameless == 0, "nothing is damaged");
        slots.extend(page.slots);
        let Some(cursor) = page.next else { return slots };
        assert!(next.cursor().is_none_or(|last| last.to_bytes() < cursor.to_bytes()), "a cursor that doesn't move on");
        next = scan.clone().starting_after(cursor);
    }
}

fn in_order(slots: &[StoredSlot]) -> Vec<StoredSlot> {
    let mut slots = slots.to_vec();
    slots.sort_by_key(|slot| slot.id().to_bytes());
    slots
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant's name")
}

fn subject(tenant_name: &str, n: u32) -> SlotId {
    let mut tag = [0; Tag::LEN];
    tag[..4].copy_from_slice(&n.to_be_bytes());
    SlotId::Subject(tenant(tenant_name), Tag::from_bytes(tag))
}

fn epoch(number: u32) -> Epoch {
    Epoch::new(number).expect("an epoch from 1")
}
