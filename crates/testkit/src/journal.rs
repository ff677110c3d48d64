//! What every [`ErasureJournal`] must do: one async fn a rule, and the macros that make a test of each.
//!
//! [`journal_suite!`](crate::journal_suite) runs the rules of one journal;
//! [`persistent_journal_suite!`](crate::persistent_journal_suite) those of a place that journals are opened on again, or
//! several at once. A rule panics where it is broken.
#![expect(clippy::future_not_send, reason = "the runtime is the tester's, and may have one thread")]

use std::pin::Pin;

use futures_util::future::join_all;

use crate::abandoned::{Call, each_beside_each};
use fieldseal::clock::Timestamp;
use fieldseal::envelope::KeyId;
use fieldseal::error::{JournalError, JournalErrorKind};
use fieldseal::id::{Id, Purpose, TenantId};
use fieldseal::journal::{EntryAt, ErasedLine, ErasureJournal, Head, JournalEntry, JournalEvent};
use fieldseal::provider::MasterKeyId;
use fieldseal::store::{Epoch, Tag};

/// One test for each rule of a journal.
///
/// The attribute makes an async fn a test, so that the suite chooses no runtime; the name is that of the module that the
/// tests are put in; the last is an async fn that makes an empty journal.
///
/// ```
/// use fieldseal::journal::MemoryJournal;
///
/// async fn make() -> MemoryJournal {
///     MemoryJournal::new().unwrap()
/// }
///
/// fieldseal_testkit::journal_suite! {
///     #[tokio::test]
///     memory_journal, make
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! journal_suite {
    ($(#[$test:meta])+ $name:ident, $make:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the name of what makes a journal")]
            use super::*;

            $crate::__journal_rules! { [$crate::__suite_tests] [$(#[$test])+] [($make().await)] journal }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __journal_rules {
    ([$($list:tt)*] $($arguments:tt)*) => {
        $($list)*! {
            $($arguments)*
            a_new_journal_is_empty
            an_id_stays_the_same
            an_append_gives_the_head_after_the_entry
            what_was_appended_is_read
            an_append_at_a_stale_head_conflicts
            an_append_at_a_head_that_never_was_conflicts
            one_of_many_appends_at_one_head_wins
            writers_that_try_again_lose_no_entry
            pages_are_read_in_order
            a_page_ends_where_the_journal_does
            entries_of_a_subject_are_read_alone
            entries_of_a_tenant_are_read_without_its_subjects
            entries_of_the_store_are_read_without_its_tenants
            an_entry_comes_with_the_head_before_it
            entries_of_later_versions_are_kept
            entries_are_read_up_to_a_head
            names_never_collide
            the_longest_entry_is_kept
            an_entry_out_of_bounds_is_refused
            a_clock_is_within_the_bound_of_this_machines
            a_call_that_was_polled_and_abandoned_delays_no_other
        }
    };
}

/// A rule, told a journal of its own.
pub type Rule = for<'a> fn(&'a dyn ErasureJournal) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

__journal_rules! { [super::list] }

/// One test for each rule of a journal that outlives its process.
///
/// Like [`journal_suite!`](crate::journal_suite), with two async fns: one that makes an empty place (a folder, a
/// database), and one that takes `&place` and opens a journal on it, again and again, several at once.
#[macro_export]
macro_rules! persistent_journal_suite {
    ($(#[$test:meta])+ $name:ident, $place:path, $open:path $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "for the names of what makes a place and opens it")]
            use super::*;

            $crate::__suite_tests! {
                [$(#[$test])+] [($place().await), $open] journal
                what_was_appended_survives_reopening
                a_new_place_becomes_one_journal
                a_journal_sees_at_once_what_another_appended
                one_of_many_journals_wins
                journals_that_try_again_lose_no_entry
            }
        }
    };
}

/// What a vault destroys because its time has come goes by it: a journal on another machine tells that one's, or none.
pub async fn a_clock_is_within_the_bound_of_this_machines(journal: &dyn ErasureJournal) {
    crate::clock::assert_within_bound(journal.clock()).await;
}

/// No entries, and the head that says so.
pub async fn a_new_journal_is_empty(journal: &dyn ErasureJournal) {
    assert_eq!(head(journal).await, Head::EMPTY);
    assert_eq!(journal.read(0, 10).await.expect("read"), []);
    assert_eq!(journal.read_of(None, None, &Head::EMPTY).await.expect("read"), []);
    assert_eq!(journal.read_of(Some(&tenant("acme")), Some(&tag(1)), &Head::EMPTY).await.expect("read"), []);
}

/// Whatever is appended.
pub async fn an_id_stays_the_same(journal: &dyn ErasureJournal) {
    let id = journal.id().await.expect("id");
    append_all(journal, &entries(3)).await;
    assert_eq!(journal.id().await.expect("id"), id);
}

/// [`Head::advanced_by`] is what each append gives, and what the journal's head is then.
pub async fn an_append_gives_the_head_after_the_entry(journal: &dyn ErasureJournal) {
    let mut last = Head::EMPTY;
    for entry in entries(20) {
        let next = journal.append(&entry, &last).await.expect("append");
        assert_eq!(next, last.advanced_by(&entry));
        assert_eq!(head(journal).await, next);
        last = next;
    }
    assert_eq!(last.position(), 20);
}

/// The same entries come back: of each event, about the store, a tenant and a subject.
pub async fn what_was_appended_is_read(journal: &dyn ErasureJournal) {
    let entries = one_of_each();
    append_all(journal, &entries).await;
    assert_eq!(journal.read(0, 100).await.expect("read"), entries);
}

/// A head that was passed: nothing is appended.
pub async fn an_append_at_a_stale_head_conflicts(journal: &dyn ErasureJournal) {
    let [a, b, c] = [1, 2, 3].map(|n| held(n, 1));
    let first = journal.append(&a, &Head::EMPTY).await.expect("append");
    let second = journal.append(&b, &first).await.expect("append");
    for stale in [Head::EMPTY, first] {
        refused(journal, &c, &stale, JournalErrorKind::Conflict).await;
        // Not even the entry that was appended there: its writer would think that it had done it.
        refused(journal, &b, &stale, JournalErrorKind::Conflict).await;
    }
    journal.append(&c, &second).await.expect("append");
    assert_eq!(journal.read(0, 10).await.expect("read"), [a, b, c]);
}

/// Of the right position but another hash, or of the right hash but another position.
pub async fn an_append_at_a_head_that_never_was_conflicts(journal: &dyn ErasureJournal) {
    let last = append_all(journal, &entries(2)).await;
    let mut hash = *last.hash();
    if let Some(byte) = hash.last_mut() {
        *byte ^= 1;
    }
    for wrong in [
        Head::from_parts(last.position(), hash),
        Head::from_parts(last.position() + 1, *last.hash()),
        Head::from_parts(last.position() - 1, *last.hash()),
        last.advanced_by(&held(9, 9)),
        Head::EMPTY.advanced_by(&held(9, 9)).advanced_by(&held(9, 9)),
    ] {
        refused(journal, &held(1, 1), &wrong, JournalErrorKind::Conflict).await;
    }
}

/// Many append at one head at a time: one of them did, the others know that they didn't.
pub async fn one_of_many_appends_at_one_head_wins(journal: &dyn ErasureJournal) {
    let mut last = Head::EMPTY;
    for round in 0..8 {
        let entries: Vec<_> = (0..8).map(|n| held(round, n)).collect();
        let outcomes = join_all(entries.iter().map(|entry| journal.append(entry, &last))).await;
        let (winner, next) = the_winner(&entries, outcomes);
        assert_eq!(next, last.advanced_by(winner));
        assert_eq!(journal.read(last.position(), 10).await.expect("read"), std::slice::from_ref(winner));
        last = next;
    }
}

/// Everybody who meets a conflict reads the head and tries again: each entry is there once.
pub async fn writers_that_try_again_lose_no_entry(journal: &dyn ErasureJournal) {
    all_land(&[journal, journal, journal, journal], 12).await;
}

/// Behind any position, in pages of any size.
pub async fn pages_are_read_in_order(journal: &dyn ErasureJournal) {
    let entries = entries(23);
    append_all(journal, &entries).await;
    for limit in [1, 2, 7, 22, 23, 24, usize::MAX] {
        let mut read = Vec::new();
        loop {
            let page = journal.read(read.len() as u64, limit).await.expect("read");
            assert!(page.len() <= limit, "a page is longer than asked for");
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, entries);
    }
    for from in 0..23 {
        let page = journal.read(from, 5).await.expect("read");
        let from = usize::try_from(from).expect("small");
        assert!(page.iter().eq(entries.iter().skip(from).take(5)), "from {from}");
    }
}

/// Behind the end there is nothing, and a page of nothing is nothing.
pub async fn a_page_ends_where_the_journal_does(journal: &dyn ErasureJournal) {
    append_all(journal, &entries(3)).await;
    for (from, limit) in [(3, 10), (4, 10), (u64::MAX, 10), (u64::MAX, usize::MAX), (0, 0), (2, 0), (3, 0)] {
        assert_eq!(journal.read(from, limit).await.expect("read"), [], "from {from}, at most {limit}");
    }
    assert_eq!(journal.read(2, usize::MAX).await.expect("read").len(), 1);
}

/// Those of no other subject, of no other tenant, in order.
pub async fn entries_of_a_subject_are_read_alone(journal: &dyn ErasureJournal) {
    let (acme, other) = (tenant("acme"), tenant("other"));
    let mut all = Vec::new();
    for n in 0..12 {
        all.extend([
            of(Some((&acme, Some(n % 3))), n.into()),
            of(Some((&other, Some(n % 3))), n.into()),
            of(Some((&acme, None)), n.into()),
            of(None, n.into()),
        ]);
    }
    let last = append_all(journal, &all).await;
    for who in [&acme, &other] {
        for n in 0..3 {
            about(journal, &all, Some(who), Some(&tag(n)), &last, 4).await;
        }
    }
    about(journal, &all, Some(&acme), Some(&tag(3)), &last, 0).await;
    about(journal, &all, Some(&tenant("nobody")), Some(&tag(0)), &last, 0).await;
    // Nobody is a subject of the store.
    about(journal, &all, None, Some(&tag(0)), &last, 0).await;
}

/// Those about the tenant itself.
pub async fn entries_of_a_tenant_are_read_without_its_subjects(journal: &dyn ErasureJournal) {
    let all = one_of_each();
    let last = append_all(journal, &all).await;
    about(journal, &all, Some(&tenant("acme")), None, &last, 5).await;
    about(journal, &all, Some(&tenant("nobody")), None, &last, 0).await;
}

/// Those about the key store as a whole.
pub async fn entries_of_the_store_are_read_without_its_tenants(journal: &dyn ErasureJournal) {
    let all = one_of_each();
    let last = append_all(journal, &all).await;
    about(journal, &all, None, None, &last, 10).await;
}

/// What was appended later is left out.
pub async fn entries_are_read_up_to_a_head(journal: &dyn ErasureJournal) {
    let acme = tenant("acme");
    let all: Vec<_> = (0..9).map(|n| of(Some((&acme, Some(n % 2))), n.into())).collect();
    let mut heads = vec![Head::EMPTY];
    for entry in &all {
        heads.push(append_all(journal, std::slice::from_ref(entry)).await);
    }
    for head in &heads {
        let before = usize::try_from(head.position()).expect("small");
        let expected: Vec<_> = all.iter().take(before).filter(|e| e.tag() == Some(&tag(0))).cloned().collect();
        let read = journal.read_of(Some(&acme), Some(&tag(0)), head).await.expect("read");
        assert_eq!(read.into_iter().map(|at| at.entry).collect::<Vec<_>>(), expected);
    }
}

/// A vault authenticates an entry at that head: with another one it passes it over.
pub async fn an_entry_comes_with_the_head_before_it(journal: &dyn ErasureJournal) {
    let acme = tenant("acme");
    let (mut head, mut expected) = (Head::EMPTY, Vec::new());
    // The first entry, the last one, and others between them that stand behind what is about somebody else.
    for n in [1, 1, 2, 3, 1, 2, 1] {
        let entry = held(n, 0);
        if n == 1 {
            expected.push(EntryAt::new(head, entry.clone()));
        }
        head = journal.append(&entry, &head).await.expect("append");
    }
    assert_eq!(journal.read_of(Some(&acme), Some(&tag(1)), &head).await.expect("read"), expected);
}

/// Whatever they hold: this version can't know what they must.
pub async fn entries_of_later_versions_are_kept(journal: &dyn ErasureJournal) {
    let acme = tenant("acme");
    let events = |bytes: Vec<u8>| {
        [
            JournalEvent::Unknown { number: 22, bytes: bytes.clone() },
            JournalEvent::Unknown { number: 200, bytes: bytes.clone() },
            JournalEvent::LaterVersion { version: 2, bytes },
        ]
    };
    let mut all = vec![held(1, 1)];
    for bytes in [vec![], vec![0], vec![7; 1000]] {
        for event in events(bytes) {
            all.push(JournalEntry::store_wide(at(1), event.clone()));
            all.push(JournalEntry::of_tenant(at(2), acme.clone(), event.clone()));
            all.push(JournalEntry::of_subject(at(3), acme.clone(), tag(1), event));
        }
    }
    let last = append_all(journal, &all).await;
    assert_eq!(journal.read(0, 100).await.expect("read"), all);
    about(journal, &all, None, None, &last, 9).await;
    about(journal, &all, Some(&acme), None, &last, 9).await;
    about(journal, &all, Some(&acme), Some(&tag(1)), &last, 10).await;
}

/// Tenants whose names begin or end alike, or read like a tag.
pub async fn names_never_collide(journal: &dyn ErasureJournal) {
    let (long, text) = ("x".repeat(Id::MAX_LEN), "a".repeat(Tag::LEN));
    let names = ["a", "ab", "A", "a\0", "\0a", "é", "e\u{301}", "default", &text, &long, &long[1..]].map(tenant);
    let tags = [[0; Tag::LEN], [b'a'; Tag::LEN], [0xff; Tag::LEN]].map(Tag::from_bytes);
    let mut all = Vec::new();
    for name in &names {
        all.push(JournalEntry::of_tenant(at(1), name.clone(), TENANT_INTENDED));
        all.extend(tags.map(|tag| JournalEntry::of_subject(at(2), name.clone(), tag, JournalEvent::Held)));
    }
    let last = append_all(journal, &all).await;
    for name in &names {
        about(journal, &all, Some(name), None, &last, 1).await;
        for tag in &tags {
            about(journal, &all, Some(name), Some(tag), &last, 1).await;
        }
    }
}

/// With the most purposes, and the longest names.
pub async fn the_longest_entry_is_kept(journal: &dyn ErasureJournal) {
    let entry = erasure((0..32).map(|n| line(&format!("{n:04}").repeat(256), u32::MAX)).collect());
    let all = [held(0, 1), entry, held(0, 2)];
    let last = append_all(journal, &all).await;
    assert_eq!(journal.read(0, 10).await.expect("read"), all);
    about(journal, &all, Some(&tenant(&"t".repeat(Id::MAX_LEN))), Some(&tag(1)), &last, 1).await;
}

/// What would not be read again is not appended: `Misconfigured`, because the caller is to blame.
pub async fn an_entry_out_of_bounds_is_refused(journal: &dyn ErasureJournal) {
    let last = append_all(journal, &entries(2)).await;
    for lines in [
        vec![],
        vec![line("a", 0)],
        vec![line("a", 1), line("a", 2)],
        vec![line("b", 1), line("a", 1)],
        (0..33).map(|n| line(&format!("{n:04}"), 1)).collect(),
        (0..300).map(|n| line(&format!("{n:04}"), 1)).collect(),
    ] {
        refused(journal, &erasure(lines), &last, JournalErrorKind::Misconfigured).await;
    }
    // An event about whom it can't be about, or that would be read as another one.
    for entry in [
        JournalEntry::of_tenant(at(1), tenant("acme"), JournalEvent::Held),
        JournalEntry::of_subject(at(1), tenant("acme"), tag(1), TENANT_INTENDED),
        JournalEntry::store_wide(at(1), JournalEvent::Unknown { number: 3, bytes: vec![0; 8] }),
        JournalEntry::store_wide(at(1), JournalEvent::Unknown { number: 0, bytes: vec![] }),
        JournalEntry::store_wide(at(1), JournalEvent::LaterVersion { version: 0, bytes: vec![] }),
    ] {
        refused(journal, &entry, &last, JournalErrorKind::Misconfigured).await;
    }
    journal.append(&held(1, 1), &last).await.expect("append");
}

/// Id, head and entries are there when a place is opened again.
pub async fn what_was_appended_survives_reopening<P, J: ErasureJournal>(place: &P, open: impl AsyncFn(&P) -> J) {
    let all = one_of_each();
    let journal = open(place).await;
    let id = journal.id().await.expect("id");
    let mut last = head(&journal).await;
    drop(journal);
    for entry in &all {
        let journal = open(place).await;
        assert_eq!(head(&journal).await, last);
        last = journal.append(entry, &last).await.expect("append");
    }
    let journal = open(place).await;
    assert_eq!((journal.id().await.expect("id"), head(&journal).await), (id, last));
    assert_eq!(journal.read(0, 100).await.expect("read"), all);
    about(&journal, &all, Some(&tenant("acme")), Some(&tag(1)), &last, 7).await;
}

/// Several processes start at once on a place that none has used: it is one journal.
pub async fn a_new_place_becomes_one_journal<P, J: ErasureJournal>(place: &P, open: impl AsyncFn(&P) -> J) {
    let journals = join_all((0..6).map(|_| open(place))).await;
    let mut last = Head::EMPTY;
    let mut ids = Vec::new();
    for (n, journal) in (0..).zip(&journals) {
        ids.push(journal.id().await.expect("id"));
        last = journal.append(&held(1, n), &last).await.expect("append");
    }
    assert!(ids.iter().all(|id| Some(id) == ids.first()), "one place, one id");
    for journal in &journals {
        assert_eq!(head(journal).await, last);
    }
}

/// A read that begins after an append returned sees it, whichever journal made it.
pub async fn a_journal_sees_at_once_what_another_appended<P, J: ErasureJournal>(
    place: &P,
    open: impl AsyncFn(&P) -> J,
) {
    let (one, other) = (open(place).await, open(place).await);
    let mut last = Head::EMPTY;
    let mut all = Vec::new();
    for (n, (writer, reader)) in (0..).zip([(&one, &other), (&other, &one)].into_iter().cycle().take(20)) {
        all.push(held(1, n));
        last = writer.append(&held(1, n), &last).await.expect("append");
        match n % 3 {
            0 => assert_eq!(head(reader).await, last),
            1 => assert_eq!(reader.read(0, 100).await.expect("read"), all),
            _ => about(reader, &all, Some(&tenant("acme")), Some(&tag(1)), &last, all.len()).await,
        }
    }
}

/// One append at one head wins, also among several journals.
pub async fn one_of_many_journals_wins<P, J: ErasureJournal>(place: &P, open: impl AsyncFn(&P) -> J) {
    let journals = [open(place).await, open(place).await, open(place).await];
    let mut last = Head::EMPTY;
    for round in 0..6 {
        let entries: Vec<_> = (0..9).map(|n| held(round, n)).collect();
        let appends = entries.iter().zip(journals.iter().cycle()).map(|(entry, journal)| journal.append(entry, &last));
        let (winner, next) = the_winner(&entries, join_all(appends).await);
        for journal in &journals {
            assert_eq!(head(journal).await, next);
            assert_eq!(journal.read(last.position(), 10).await.expect("read"), std::slice::from_ref(winner));
        }
        last = next;
    }
}

/// Everybody who meets a conflict reads the head and tries again, also through several journals.
pub async fn journals_that_try_again_lose_no_entry<P, J: ErasureJournal>(place: &P, open: impl AsyncFn(&P) -> J) {
    let journals = [open(place).await, open(place).await, open(place).await];
    all_land(&[&journals[0], &journals[1], &journals[2]], 12).await;
}

/// Wherever it stands, and though it is not dropped.
pub async fn a_call_that_was_polled_and_abandoned_delays_no_other(journal: &dyn ErasureJournal) {
    append_all(journal, &entries(3)).await;
    let call = |method| -> Call<'_, JournalError> {
        Box::pin(async move {
            match method {
                "id" => journal.id().await.map(drop),
                "head" => journal.head().await.map(drop),
                "read" => journal.read(0, 10).await.map(drop),
                "read_of" => {
                    let head = journal.head().await?;
                    journal.read_of(Some(&tenant("acme")), Some(&tag(1)), &head).await.map(drop)
                }
                _ => loop {
                    let head = journal.head().await?;
                    match journal.append(&held(1, 1), &head).await {
                        Err(e) if e.kind() == JournalErrorKind::Conflict => {} // the other one has landed
                        appended => return appended.map(drop),
                    }
                },
            }
        })
    };
    each_beside_each(&["id", "head", "read", "read_of", "append"], call, |which, answer| {
        if let Err(e) = answer {
            panic!("{which}: {e:?}");
        }
    })
    .await;
}

/// Each of the journals appends `count` entries, all at a time.
async fn all_land(journals: &[&dyn ErasureJournal], count: u32) {
    let write = |writer: u32, journal| async move {
        for n in 0..count {
            while let Err(error) = try_append(journal, &held(writer, n)).await {
                assert_eq!(error.kind(), JournalErrorKind::Conflict, "{error:?}");
            }
        }
    };
    join_all((0..).zip(journals).map(|(writer, journal)| write(writer, *journal))).await;
    for journal in journals {
        let last = head(*journal).await;
        let read = journal.read(0, usize::MAX).await.expect("read");
        assert_eq!(read.iter().fold(Head::EMPTY, |head, entry| head.advanced_by(entry)), last);
        assert_eq!(read.len(), journals.len() * usize::try_from(count).expect("small"));
        for writer in (0..).take(journals.len()) {
            let own: Vec<_> = (0..count).map(|n| held(writer, n)).collect();
            about(*journal, &own, Some(&tenant("acme")), Some(&tag(writer)), &last, own.len()).await;
        }
    }
}

async fn try_append(journal: &dyn ErasureJournal, entry: &JournalEntry) -> Result<Head, JournalError> {
    let head = journal.head().await?;
    journal.append(entry, &head).await
}

fn the_winner(entries: &[JournalEntry], outcomes: Vec<Result<Head, JournalError>>) -> (&JournalEntry, Head) {
    let mut winners = Vec::new();
    for (entry, outcome) in entries.iter().zip(outcomes) {
        match outcome {
            Ok(head) => winners.push((entry, head)),
            Err(error) => assert_eq!(error.kind(), JournalErrorKind::Conflict, "{error:?}"),
        }
    }
    let [winner] = winners.as_slice() else { panic!("{} writers at one head won", winners.len()) };
    *winner
}

/// An append that must fail, and must leave the journal as it is.
async fn refused(journal: &dyn ErasureJournal, entry: &JournalEntry, expected: &Head, kind: JournalErrorKind) {
    let before = (head(journal).await, journal.read(0, usize::MAX).await.expect("read"));
    let error = journal.append(entry, expected).await.expect_err("an append that must be refused");
    assert_eq!(error.kind(), kind, "{error:?}");
    let after = (head(journal).await, journal.read(0, usize::MAX).await.expect("read"));
    assert_eq!(after, before, "a refused append changed the journal");
}

/// What the journal says of somebody is what `all` does, which is `count` entries, each with the head before it.
async fn about(
    journal: &dyn ErasureJournal,
    all: &[JournalEntry],
    tenant: Option<&TenantId>,
    tag: Option<&Tag>,
    up_to: &Head,
    count: usize,
) {
    let expected: Vec<_> = all.iter().filter(|e| e.tenant() == tenant && e.tag() == tag).cloned().collect();
    assert_eq!(expected.len(), count, "the test itself");
    let mut head = Head::EMPTY;
    let at = |entry: JournalEntry| {
        let at = EntryAt::new(head, entry);
        head = head.advanced_by(&at.entry);
        at
    };
    let of = journal.read(0, usize::MAX).await.expect("read").into_iter().map(at);
    let of: Vec<_> = of.filter(|at| at.entry.tenant() == tenant && at.entry.tag() == tag).collect();
    assert!(of.iter().map(|at| &at.entry).eq(&expected), "the journal as a whole says otherwise");
    assert_eq!(journal.read_of(tenant, tag, up_to).await.expect("read"), of);
}

async fn append_all(journal: &dyn ErasureJournal, entries: &[JournalEntry]) -> Head {
    let mut last = head(journal).await;
    for entry in entries {
        last = journal.append(entry, &last).await.expect("append");
    }
    last
}

async fn head(journal: &dyn ErasureJournal) -> Head {
    journal.head().await.expect("head")
}

fn entries(count: u32) -> Vec<JournalEntry> {
    (0..count).map(|n| held(n % 3, n)).collect()
}

/// One entry of each event, as the format has them.
fn one_of_each() -> Vec<JournalEntry> {
    let acme = || tenant("acme");
    let key_id = KeyId::from_bytes([7; 24]);
    let master = || MasterKeyId::new("arn:key/1").expect("a name");
    let lines = || vec![line("billing", 2), line("default", 1)];
    let until = Epoch::FIRST;
    let store = |event| JournalEntry::store_wide(at(1), event);
    let of_tenant = |event| JournalEntry::of_tenant(at(2), acme(), event);
    let subject = |event| JournalEntry::of_subject(at(3), acme(), tag(1), event);
    vec![
        store(JournalEvent::RootCreated { key_id }),
        store(JournalEvent::EpochOpened { epoch: until, master: master() }),
        store(JournalEvent::MaxAgeRaised { millis: u64::MAX }),
        of_tenant(JournalEvent::RootCreated { key_id }),
        of_tenant(JournalEvent::RootStored { key_id }),
        of_tenant(JournalEvent::RootLost { key_id }),
        subject(JournalEvent::Reenrolled { purpose: Purpose::new("default").expect("a name"), line: 2 }),
        subject(JournalEvent::Held),
        subject(JournalEvent::Released),
        subject(JournalEvent::ErasureScheduled { at: at(u64::MAX) }),
        subject(JournalEvent::ErasureCancelled),
        subject(JournalEvent::ErasureIntended { whole: false, known: true, lines: lines() }),
        subject(JournalEvent::ErasureDone { whole: true, lines: lines(), until }),
        of_tenant(TENANT_INTENDED),
        of_tenant(JournalEvent::TenantErasureDone { until }),
        store(JournalEvent::MasterKeyDestroyed { master: master() }),
        store(JournalEvent::StoreRestored { applied: 7 }),
        store(JournalEvent::RetentionResumed),
        store(JournalEvent::IndexEpochOpened { index_epoch: 1 }),
        store(JournalEvent::IndexEpochSettled { index_epoch: 1 }),
        store(JournalEvent::IndexEpochGivenUp { index_epoch: u32::MAX, until }),
        store(JournalEvent::IndexEpochRetired { index_epoch: 1, until }),
    ]
}

/// Entries of any number, told apart by their moment.
fn held(who: u32, moment: u32) -> JournalEntry {
    of(Some((&tenant("acme"), Some(who))), moment.into())
}

fn of(whom: Option<(&TenantId, Option<u32>)>, moment: u64) -> JournalEntry {
    match whom {
        None => JournalEntry::store_wide(at(moment), JournalEvent::MaxAgeRaised { millis: moment }),
        Some((tenant, None)) => JournalEntry::of_tenant(at(moment), tenant.clone(), TENANT_INTENDED),
        Some((tenant, Some(n))) => JournalEntry::of_subject(at(moment), tenant.clone(), tag(n), JournalEvent::Held),
    }
}

fn erasure(lines: Vec<ErasedLine>) -> JournalEntry {
    let tenant = tenant(&"t".repeat(Id::MAX_LEN));
    JournalEntry::of_subject(
        at(u64::MAX),
        tenant,
        tag(1),
        JournalEvent::ErasureIntended { whole: true, known: false, lines },
    )
}

const TENANT_INTENDED: JournalEvent = JournalEvent::TenantErasureIntended { known: true };

fn line(purpose: &str, line: u32) -> ErasedLine {
    ErasedLine::new(Purpose::new(purpose).expect("a purpose's name"), line)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant's name")
}

fn tag(n: u32) -> Tag {
    let mut tag = [0; Tag::LEN];
    tag[..4].copy_from_slice(&n.to_be_bytes());
    Tag::from_bytes(tag)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}
