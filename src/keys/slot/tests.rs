//! Slots: what is written is read back, there is one encoding of it, and nothing else is accepted.

use std::collections::HashSet;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::subject::{MAX_DESTROYED, MAX_PURPOSES, MAX_VERSIONS};
use super::vault::MAX_WAITING;
use super::*;
use crate::error::StoreErrorKind;
use crate::id::Purpose;
use crate::keys::{KeyMaterial, WRAPPED_LEN};

mod known_answers;

const SUBJECT: Tag = Tag::from_bytes([9; 16]);

fn root(byte: u8) -> RootKey {
    RootKey::derive(&KeyMaterial::from_slice(&[byte; 32]).unwrap())
}

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn purpose(name: &str) -> Purpose {
    Purpose::new(name).unwrap()
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn epoch_of(number: u32) -> Epoch {
    Epoch::new(number).unwrap()
}

/// Opens bytes as a slot of this kind, all the way.
fn open_bytes<B: Body>(id: &SlotId, bytes: &[u8], root: &RootKey) -> Result<B> {
    open(&StoredSlot::from_bytes(id.clone(), bytes.to_vec())?, root)
}

/// Opens what must not open; gives who is to blame.
fn refusal<B: Body>(id: &SlotId, bytes: &[u8], root: &RootKey) -> StoreErrorKind {
    match open_bytes::<B>(id, bytes, root) {
        Ok(_) => panic!("it opens"),
        Err(Error::Store(e)) => e.kind(),
        Err(e) => panic!("{e:?}"),
    }
}

/// The content of a slot, changed, with the MAC that somebody who holds the root would put behind it.
fn with_mac(stored: &StoredSlot, root: &RootKey, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut content = stored.as_bytes()[..stored.as_bytes().len() - Revision::LEN].to_vec();
    change(&mut content);
    let mac = slot_mac(&stored.id, &content, root);
    [content, mac.to_vec()].concat()
}

// --- Slots of every shape --------------------------------------------------------------------

fn epoch() -> impl Strategy<Value = Epoch> {
    (1..=u32::MAX).prop_map(epoch_of)
}

fn moment_from_1() -> impl Strategy<Value = Timestamp> {
    (1..=u64::MAX).prop_map(at)
}

fn key_id() -> impl Strategy<Value = KeyId> {
    any::<[u8; 24]>().prop_map(KeyId::from_bytes)
}

fn wrapped_root() -> impl Strategy<Value = WrappedRoot> {
    (epoch(), key_id(), "\\PC{1,12}", vec(any::<u8>(), 1..80)).prop_map(|(epoch, key_id, master, bytes)| WrappedRoot {
        epoch,
        key_id,
        wrapped: WrappedKey::new(MasterKeyId::new(master).unwrap(), bytes).unwrap(),
    })
}

fn date() -> impl Strategy<Value = Date> {
    prop_oneof![Just(Date::Undated), moment_from_1().prop_map(Date::Dated), Just(Date::AtOnce)]
}

fn key_version() -> impl Strategy<Value = KeyVersion> {
    (any::<u64>(), date(), key_id(), vec(any::<u8>(), WRAPPED_LEN)).prop_map(
        |(created_at, seal_from, key_id, wrapped)| KeyVersion {
            number: 0,
            created_at: at(created_at),
            seal_from,
            key_id,
            wrapped: wrapped.try_into().unwrap(),
        },
    )
}

fn purpose_slot() -> impl Strategy<Value = PurposeSlot> {
    let versions = btree_map(1..=u32::MAX, key_version(), 0..4);
    (1..=u32::MAX, option::of(moment_from_1()), vec(key_id(), 0..4), versions).prop_map(
        |(line, erased_at, destroyed, versions)| PurposeSlot {
            name: purpose("set below"),
            line,
            // Where something was destroyed, or nothing lives, that has a moment.
            erased_at: erased_at.or((versions.is_empty() || !destroyed.is_empty()).then_some(at(1))),
            destroyed,
            versions: versions.into_iter().map(|(number, version)| KeyVersion { number, ..version }).collect(),
        },
    )
}

fn subject_slot() -> impl Strategy<Value = SubjectSlot> {
    let purposes = btree_map("\\PC{1,8}", purpose_slot(), 1..4);
    let moment = || option::of(moment_from_1());
    (epoch(), (moment(), moment(), moment(), moment()), any::<(bool, bool, u64)>(), purposes).prop_map(
        |(epoch, (retain_until, erase_at, closed_at, whole_at), (held, replaced, told), purposes)| {
            let purposes: Vec<_> =
                purposes.into_iter().map(|(name, slot)| PurposeSlot { name: purpose(&name), ..slot }).collect();
            let epoch = purposes.iter().any(PurposeSlot::is_live).then_some(epoch);
            // Closed at the end of a period, or after it; and nothing is replaced but as a whole.
            let closed_at = retain_until.and_then(|until| closed_at.max(Some(until)));
            let replaced = replaced && whole_at.is_some();
            SubjectSlot { epoch, retain_until, erase_at, closed_at, whole_at, held, replaced, told, purposes }
        },
    )
}

fn tenant_slot() -> impl Strategy<Value = TenantSlot> {
    let epoch_keys = btree_map(epoch(), wrapped_root(), 1..4);
    let index_key = (any::<u64>(), date(), wrapped_root());
    let index_keys = btree_map(1..=u32::MAX, index_key, 0..4);
    (wrapped_root(), option::of(moment_from_1()), any::<u64>(), epoch_keys, index_keys).prop_map(
        |(root, erased_at, told, epoch_keys, index_keys)| {
            let mut slot = TenantSlot {
                root,
                erased_at,
                told,
                epoch_keys: epoch_keys.into_iter().map(|(epoch, key)| WrappedRoot { epoch, ..key }).collect(),
                index_keys: index_keys
                    .into_iter()
                    .map(|(index_epoch, (created_at, write_from, key))| WrappedIndexKey {
                        index_epoch,
                        created_at: at(created_at),
                        write_from,
                        key,
                    })
                    .collect(),
            };
            if slot.erased_at.is_some() {
                slot.epoch_keys.clear();
                slot.index_keys.clear();
            }
            slot
        },
    )
}

/// What a vault's slot says of its journal: which one, the points, what it was told, and what waits.
#[derive(Clone, Debug)]
struct Journaled {
    journal: Option<[u8; 16]>,
    applied: Point,
    settled: Point,
    settling: Option<(Point, Timestamp)>,
    told: u64,
    waiting: Vec<u64>,
}

fn journaled() -> impl Strategy<Value = Journaled> {
    let positions = prop_oneof![0..20u64, any::<u64>()].prop_flat_map(|applied| {
        let waiting = btree_set(1..=applied.max(1), 0..4);
        (Just(applied), (0..=applied), option::of(0..=applied), waiting)
    });
    (option::of(any::<[u8; 16]>()), positions, any::<([u8; 32], u64, u64)>()).prop_map(
        |(journal, (applied, settled, settling, waiting), (hash, told, since))| {
            let point = |position| if position == 0 { Point::NONE } else { Point { position, hash } };
            let there = |position: &u64| *position <= applied;
            let journaled = Journaled {
                journal,
                applied: point(applied),
                settled: point(settled),
                settling: settling.filter(|position| *position > settled).map(|position| (point(position), at(since))),
                told,
                waiting: waiting.into_iter().filter(there).collect(),
            };
            match journal {
                Some(_) => journaled,
                None => Journaled {
                    applied: Point::NONE,
                    settled: Point::NONE,
                    settling: None,
                    told: 0,
                    waiting: Vec::new(),
                    ..journaled
                },
            }
        },
    )
}

fn index_epochs() -> impl Strategy<Value = Vec<IndexEpochRecord>> {
    let record = |(number, (opened_at, settled, date)): (u32, (u64, bool, Date))| IndexEpochRecord {
        number,
        opened_at: at(opened_at),
        state: if settled { IndexEpochState::Settled } else { IndexEpochState::Open },
        alone_from: if settled { date } else { Date::Undated },
    };
    let records = btree_map(1..=u32::MAX, (any::<u64>(), any::<bool>(), date()), 0..4);
    records.prop_map(move |records| records.into_iter().map(record).collect())
}

fn vault_slot() -> impl Strategy<Value = VaultSlot> {
    let epochs = btree_map(epoch(), (any::<bool>(), any::<u64>(), "\\PC{1,12}"), 1..5);
    (wrapped_root(), 1..=u64::MAX, journaled(), epochs, index_epochs()).prop_map(
        |(root, max_age, journaled, epochs, index_epochs)| {
            let record = |(epoch, (live, created_at, master)): (Epoch, (bool, u64, String))| EpochRecord {
                epoch,
                state: if live { EpochState::Live } else { EpochState::Retired },
                created_at: at(created_at),
                master: MasterKeyId::new(master).unwrap(),
            };
            let mut epochs: Vec<_> = epochs.into_iter().map(record).collect();
            epochs.last_mut().unwrap().state = EpochState::Live;
            let Journaled { journal, applied, settled, settling, told, waiting } = journaled;
            let max_age = Duration::from_millis(max_age);
            VaultSlot { root, max_age, journal, applied, settled, settling, told, waiting, epochs, index_epochs }
        },
    )
}

/// What holds for a slot of any kind.
fn check<B: Body + PartialEq + fmt::Debug>(
    stored: &StoredSlot,
    slot: &B,
    own: &RootKey,
    elsewhere: &[SlotId],
) -> Result<(), TestCaseError> {
    let (id, bytes) = (stored.id(), stored.as_bytes());
    // It is read back, and written again it is the same to the byte.
    let read = StoredSlot::from_bytes(id.clone(), bytes.to_vec()).unwrap();
    prop_assert_eq!(&read, stored);
    let opened: B = open(&read, own).unwrap();
    prop_assert_eq!(&opened, slot);
    prop_assert_eq!(&seal(id.clone(), &opened, own).unwrap(), stored);
    prop_assert!(bytes.ends_with(stored.revision().as_bytes()));
    parse_any(bytes);

    // Its columns are its own.
    let own_columns @ RawColumns { state, epoch, due } = RawColumns::of(stored);
    let with = |columns| StoredSlot::from_row(id, bytes.to_vec(), Some(columns));
    prop_assert_eq!(&with(own_columns).unwrap(), stored);
    let mut tokens = vec![stored.token()];
    let number = |column: Option<i128>| if column.is_some() { None } else { Some(8) };
    for columns in [
        RawColumns { state: state.map(|state| state % 3 + 1), ..own_columns },
        RawColumns { state: Some(0), ..own_columns },
        RawColumns { state: state.map(|state| state + 256), ..own_columns },
        RawColumns { state: None, ..own_columns },
        RawColumns { epoch: epoch.map_or(Some(1), |e| Some(e + 1)), ..own_columns },
        RawColumns { epoch: epoch.map_or(Some(0), |e| Some(e + (1 << 32))), ..own_columns },
        RawColumns { epoch: number(epoch), ..own_columns },
        RawColumns { due: due.map_or(Some(1), |d| Some(d ^ 1)), ..own_columns },
        RawColumns { due: due.map_or(Some(0), |d| Some(d - (1 << 64))), ..own_columns },
        RawColumns { due: number(due), ..own_columns },
    ] {
        prop_assert_eq!(with(columns), Err(bytes.to_vec()));
        tokens.push(Token::of(id, Some(bytes), columns, &[]));
    }

    // Its token stands for its bytes, its columns, its place and what is kept besides.
    tokens.extend(elsewhere.iter().map(|other| Token::of(other, Some(bytes), own_columns, &[])));
    tokens.push(Token::of(id, Some(bytes), own_columns, &[0]));
    tokens.push(Token::of(id, None, own_columns, &[]));
    tokens.push(Token::of(id, Some(&[]), own_columns, &[]));
    prop_assert_eq!(tokens.iter().collect::<HashSet<_>>().len(), tokens.len());

    // It is of nobody else.
    prop_assert_eq!(refusal::<B>(id, bytes, &root(0xEE)), StoreErrorKind::Corrupt);
    for other in elsewhere {
        prop_assert_eq!(refusal::<B>(other, bytes, own), StoreErrorKind::Corrupt);
    }

    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(refusal::<B>(id, &changed, own), StoreErrorKind::Corrupt, "bit {}", bit);
        let is_other = bit % 8 > 0 || Token::of(id, Some(&changed), own_columns, &[]) != stored.token();
        prop_assert!(is_other, "bit {}", bit);
        parse_any(&changed);
    }
    for len in 0..bytes.len() {
        prop_assert_eq!(refusal::<B>(id, &bytes[..len], own), StoreErrorKind::Corrupt, "cut to {}", len);
        parse_any(&bytes[..len]);
    }
    prop_assert_eq!(refusal::<B>(id, &[bytes, &[0]].concat(), own), StoreErrorKind::Corrupt);

    // Cut or longer it is refused by its structure too, not by the MAC alone.
    let content = bytes.len() - Revision::LEN;
    for len in 0..content {
        let cut = with_mac(stored, own, |content| content.truncate(len));
        prop_assert_eq!(refusal::<B>(id, &cut, own), StoreErrorKind::Corrupt, "content cut to {}", len);
    }
    let longer = with_mac(stored, own, |content| content.push(0));
    prop_assert_eq!(refusal::<B>(id, &longer, own), StoreErrorKind::Corrupt);
    // A later version is told from damage by its MAC alone, whatever is in its body.
    for (version, expected) in
        [(0, StoreErrorKind::Corrupt), (2, StoreErrorKind::NewerSchema), (255, StoreErrorKind::NewerSchema)]
    {
        let other = with_mac(stored, own, |content| {
            content[0] = version;
            content.extend_from_slice(b"and more");
        });
        prop_assert_eq!(refusal::<B>(id, &other, own), expected, "version {}", version);
        parse_any(&other);
    }
    // And each byte of the content, changed, means something else or nothing.
    for i in 1..content {
        let changed = with_mac(stored, own, |content| content[i] ^= 1);
        if let Ok(opened) = open_bytes::<B>(id, &changed, own) {
            prop_assert_ne!(&opened, slot, "byte {}", i);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_subject_slot_is_read_as_it_was_written_and_not_otherwise(slot in subject_slot()) {
        let stored = slot.seal(&acme(), SUBJECT, &root(1)).unwrap();
        let other_tag = SlotId::Subject(acme(), Tag::from_bytes([8; 16]));
        let other_tenant = SlotId::Subject(TenantId::new("acme2").unwrap(), SUBJECT);
        check(&stored, &slot, &root(1), &[other_tag, other_tenant, SlotId::Tenant(acme()), SlotId::Vault])?;
    }

    #[test]
    fn a_tenant_slot_is_read_as_it_was_written_and_not_otherwise(slot in tenant_slot()) {
        let stored = slot.seal(&acme(), &root(1)).unwrap();
        prop_assert_eq!(&TenantSlot::root_of(&stored).unwrap(), &slot.root);
        let other_tenant = SlotId::Tenant(TenantId::new("acme2").unwrap());
        check(&stored, &slot, &root(1), &[other_tenant, SlotId::Subject(acme(), SUBJECT), SlotId::Vault])?;
    }

    #[test]
    fn a_vault_slot_is_read_as_it_was_written_and_not_otherwise(slot in vault_slot()) {
        let stored = slot.seal(&root(1)).unwrap();
        prop_assert_eq!(&VaultSlot::root_of(&stored).unwrap(), &slot.root);
        check(&stored, &slot, &root(1), &[SlotId::Tenant(acme()), SlotId::Subject(acme(), SUBJECT)])?;
    }
}

proptest! {
    #[test]
    fn reading_arbitrary_bytes_never_panics(kind in 0u8..5, bytes in vec(prop_oneof![any::<u8>(), 0u8..3], 0..400)) {
        parse_any(&bytes);
        let head = [&[1, kind, 1], &bytes[..]].concat();
        parse_any(&head);
        let _ = SlotId::from_bytes(&bytes);
        for id in [SlotId::Vault, SlotId::Tenant(acme()), SlotId::Subject(acme(), SUBJECT)] {
            if let Ok(stored) = StoredSlot::from_bytes(id, head.clone()) {
                // With the right MAC, so that all of it is read.
                let bytes = with_mac(&stored, &root(1), |_| ());
                let _ = open_bytes::<VaultSlot>(stored.id(), &bytes, &root(1));
                let _ = open_bytes::<TenantSlot>(stored.id(), &bytes, &root(1));
                let _ = open_bytes::<SubjectSlot>(stored.id(), &bytes, &root(1));
            }
        }
    }

    #[test]
    fn slot_ids_are_read_back_and_no_two_are_alike(a in slot_id(), b in slot_id()) {
        prop_assert_eq!(&SlotId::from_bytes(&a.to_bytes()).unwrap(), &a);
        prop_assert_eq!(a == b, a.to_bytes() == b.to_bytes());
        prop_assert!(a.to_bytes().len() <= SlotId::MAX_LEN);
    }
}

fn slot_id() -> impl Strategy<Value = SlotId> {
    let tenant = || "[ab]{1,3}|\\PC{1,20}".prop_map(|name| TenantId::new(name).unwrap());
    prop_oneof![
        Just(SlotId::Vault),
        tenant().prop_map(SlotId::Tenant),
        (tenant(), prop_oneof![Just([b'a'; 16]), Just([b'b'; 16]), any::<[u8; 16]>()])
            .prop_map(|(tenant, tag)| SlotId::Subject(tenant, Tag::from_bytes(tag))),
    ]
}

#[test]
fn ids_that_no_slot_has_are_refused() {
    let long = [&[2][..], &[b'x'; 1025]].concat();
    let tag_alone = [&[3][..], &[b'x'; 16]].concat();
    let not_text = [&[3, 0xFF][..], &[0; 16]].concat();
    for bytes in [&b""[..], b"\0", b"\x01x", b"\x02", b"\x03", b"\x04x", b"\x02\xFF", &long, &tag_alone, &not_text] {
        assert_eq!(SlotId::from_bytes(bytes).unwrap_err().kind(), StoreErrorKind::Corrupt, "{bytes:?}");
    }
}

// --- Caps and canonical form -----------------------------------------------------------------

fn version(number: u32) -> KeyVersion {
    KeyVersion {
        number,
        created_at: at(1),
        seal_from: Date::AtOnce,
        key_id: KeyId::from_bytes([1; 24]),
        wrapped: [2; WRAPPED_LEN],
    }
}

fn live(name: &str) -> PurposeSlot {
    PurposeSlot { name: purpose(name), line: 1, erased_at: None, destroyed: vec![], versions: vec![version(1)] }
}

fn slot_of(purposes: Vec<PurposeSlot>) -> SubjectSlot {
    SubjectSlot { epoch: Some(Epoch::FIRST), purposes, ..SubjectSlot::empty() }
}

fn subject_id() -> SlotId {
    SlotId::Subject(acme(), SUBJECT)
}

/// A slot that `seal` refuses, written all the same, is refused when it is read.
fn refused_both_ways<B: Body>(id: &SlotId, slot: &B, sealed: &Result<StoredSlot>, what: &str) {
    assert!(matches!(sealed, Err(Error::InvalidInput(_) | Error::Bug(_))), "{what}: written");
    let stored = seal(id.clone(), slot, &root(1)).unwrap();
    assert_eq!(refusal::<B>(id, stored.as_bytes(), &root(1)), StoreErrorKind::Corrupt, "{what}: read");
    parse_any(stored.as_bytes());
}

#[test]
fn a_subject_slot_out_of_order_or_bounds_is_refused() {
    let names: Vec<_> = (0..=MAX_PURPOSES).map(|i| format!("p{i:02}")).collect();
    let versions = |n: u32| (1..=n).map(version).collect::<Vec<_>>();
    let ids = |n: usize| vec![KeyId::from_bytes([1; 24]); n];
    assert_eq!((MAX_PURPOSES, MAX_VERSIONS, MAX_DESTROYED), (16, 64, 512));
    let good = |slot: SubjectSlot| {
        let stored = slot.seal(&acme(), SUBJECT, &root(1)).unwrap();
        assert_eq!(SubjectSlot::open(&stored, &root(1)).unwrap(), slot);
    };
    let bad = |what: &str, slot: SubjectSlot| {
        refused_both_ways(&subject_id(), &slot, &slot.seal(&acme(), SUBJECT, &root(1)), what);
    };
    let one = |purpose: PurposeSlot| slot_of(vec![purpose]);

    good(slot_of(names[..16].iter().map(|n| PurposeSlot { versions: versions(64), ..live(n) }).collect()));
    bad("17 purposes", slot_of(names.iter().map(|n| live(n)).collect()));
    bad("65 versions", one(PurposeSlot { versions: versions(65), ..live("p") }));
    good(one(PurposeSlot { destroyed: ids(512), erased_at: Some(at(1)), ..live("p") }));
    bad("513 destroyed", one(PurposeSlot { destroyed: ids(513), erased_at: Some(at(1)), ..live("p") }));
    bad("no purpose", slot_of(vec![]));
    bad("purposes out of order", slot_of(vec![live("b"), live("a")]));
    bad("a purpose twice", slot_of(vec![live("a"), live("a")]));
    bad("versions out of order", one(PurposeSlot { versions: vec![version(2), version(1)], ..live("p") }));
    bad("a version twice", one(PurposeSlot { versions: vec![version(1), version(1)], ..live("p") }));
    bad("version 0", one(PurposeSlot { versions: vec![version(0)], ..live("p") }));
    bad("line 0", one(PurposeSlot { line: 0, ..live("p") }));
    good(one(PurposeSlot { destroyed: ids(1), ..live("p") })); // a version that was retired
    bad("a key and no epoch", SubjectSlot { epoch: None, ..slot_of(vec![live("p")]) });
    let gone = PurposeSlot { versions: vec![], erased_at: Some(at(5)), destroyed: ids(1), ..live("p") };
    good(SubjectSlot { epoch: None, ..slot_of(vec![gone.clone()]) });
    bad("an epoch and no key", slot_of(vec![gone.clone()]));
    let without = PurposeSlot { erased_at: None, destroyed: vec![], ..gone };
    bad("a tombstone of no moment", SubjectSlot { epoch: None, ..slot_of(vec![without]) });
    let closed = |retain_until, closed_at| SubjectSlot {
        retain_until,
        closed_at: Some(at(closed_at)),
        ..slot_of(vec![live("p")])
    };
    good(closed(Some(at(5)), 5));
    bad("closed before its period ended", closed(Some(at(6)), 5));
    bad("closed without a period", closed(None, 5));
    let replaced = |whole_at| SubjectSlot { replaced: true, whole_at, ..slot_of(vec![live("p")]) };
    good(replaced(Some(at(1))));
    bad("replaced, and not as a whole", replaced(None));
}

#[test]
fn a_moment_that_reads_as_none_is_not_written() {
    let zero = Some(at(0));
    for slot in [
        SubjectSlot { retain_until: zero, ..slot_of(vec![live("p")]) },
        SubjectSlot { erase_at: zero, ..slot_of(vec![live("p")]) },
        SubjectSlot { retain_until: Some(at(1)), closed_at: zero, ..slot_of(vec![live("p")]) },
        SubjectSlot { whole_at: zero, ..slot_of(vec![live("p")]) },
        slot_of(vec![PurposeSlot { erased_at: zero, ..live("p") }]),
        slot_of(vec![PurposeSlot {
            versions: vec![KeyVersion { seal_from: Date::Dated(at(0)), ..version(1) }],
            ..live("p")
        }]),
    ] {
        assert!(matches!(slot.seal(&acme(), SUBJECT, &root(1)), Err(Error::InvalidInput(_))));
    }
}

/// The bytes before the MAC.
fn content(stored: &StoredSlot) -> &[u8] {
    stored.content().unwrap()
}

#[test]
fn a_date_says_its_state_once() {
    let of =
        |date| slot_of(vec![PurposeSlot { versions: vec![KeyVersion { seal_from: date, ..version(1) }], ..live("p") }]);
    let stored = of(Date::Undated).seal(&acme(), SUBJECT, &root(1)).unwrap();
    let date = content(&stored).len() - WRAPPED_LEN - KeyId::LEN - 9;
    let with = |state: u8, millis: u64| {
        let bytes = with_mac(&stored, &root(1), |content| {
            content[date] = state;
            content[date + 1..date + 9].copy_from_slice(&millis.to_be_bytes());
        });
        open_bytes::<SubjectSlot>(stored.id(), &bytes, &root(1))
    };
    for (state, millis, read) in [(0, 0, Date::Undated), (1, 7, Date::Dated(at(7))), (2, 0, Date::AtOnce)] {
        assert_eq!(with(state, millis).unwrap(), of(read));
    }
    for (state, millis) in [(0, 1), (1, 0), (2, 1), (3, 0), (3, 1)] {
        assert!(with(state, millis).is_err(), "{state} {millis}");
    }
    let has_come = |date: Date, now| date.has_come(at(now));
    assert!(!has_come(Date::Undated, u64::MAX) && has_come(Date::AtOnce, 0));
    assert!(has_come(Date::Dated(at(7)), 7) && !has_come(Date::Dated(at(7)), 6));
}

fn wrapped(epoch: u32) -> WrappedRoot {
    WrappedRoot {
        epoch: epoch_of(epoch),
        key_id: KeyId::from_bytes([1; 24]),
        wrapped: WrappedKey::new(MasterKeyId::new("k").unwrap(), vec![1; 40]).unwrap(),
    }
}

fn index_key(index_epoch: u32, epoch: u32) -> WrappedIndexKey {
    WrappedIndexKey { index_epoch, created_at: at(1), write_from: Date::Undated, key: wrapped(epoch) }
}

#[test]
fn a_tenant_slot_out_of_order_or_bounds_is_refused() {
    let slot = |epochs: &[u32], indexes: &[u32]| TenantSlot {
        root: wrapped(1),
        erased_at: None,
        told: 0,
        epoch_keys: epochs.iter().map(|e| wrapped(*e)).collect(),
        index_keys: indexes.iter().map(|i| index_key(*i, 1)).collect(),
    };
    let all: Vec<_> = (1..=65).collect();
    let good = slot(&all[..64], &all[..64]);
    assert_eq!(TenantSlot::open(&good.seal(&acme(), &root(1)).unwrap(), &root(1)).unwrap(), good);
    for (what, slot) in [
        ("no epoch key", slot(&[], &[])),
        ("an epoch key after its erasure", TenantSlot { erased_at: Some(at(1)), ..slot(&[1], &[]) }),
        ("an index key after its erasure", TenantSlot { erased_at: Some(at(1)), ..slot(&[], &[1]) }),
        ("65 epoch keys", slot(&all, &[])),
        ("epoch keys out of order", slot(&[2, 1], &[])),
        ("an epoch twice", slot(&[1, 1], &[])),
        ("65 index keys", slot(&[1], &all)),
        ("index keys out of order", slot(&[1], &[2, 1])),
        ("an index epoch twice", slot(&[1], &[3, 3])),
        ("an index epoch 0", slot(&[1], &[0])),
    ] {
        refused_both_ways(&SlotId::Tenant(acme()), &slot, &slot.seal(&acme(), &root(1)), what);
    }
    let zero = WrappedIndexKey { write_from: Date::Dated(at(0)), ..index_key(1, 1) };
    let zero = TenantSlot { index_keys: vec![zero], ..slot(&[1], &[]) };
    refused_both_ways(&SlotId::Tenant(acme()), &zero, &zero.seal(&acme(), &root(1)), "a date of no moment");
    // What the types don't let a writer say: an epoch 0, no master key, no wrapped bytes.
    let stored = slot(&[1], &[]).seal(&acme(), &root(1)).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let bytes = with_mac(&stored, &root(1), change);
        assert_eq!(refusal::<TenantSlot>(stored.id(), &bytes, &root(1)), StoreErrorKind::Corrupt);
        parse_any(&bytes);
    };
    let (body, master) = (15, 15 + 4 + 24);
    refused(&|content| content[body + 3] = 0);
    refused(&|content| {
        content[master + 1] = 0;
        content.remove(master + 2);
    });
    refused(&|content| content[master + 2] = 0xFF);
    refused(&|content| {
        content[master + 4] = 0;
        content.drain(master + 5..master + 45);
    });
    refused(&|content| {
        content[master + 3..master + 5].copy_from_slice(&4097u16.to_be_bytes());
        content.splice(master + 5..master + 45, [1; 4097]);
    });
}

#[test]
fn a_vault_slot_out_of_order_or_bounds_is_refused() {
    let record = |epoch: u32, state| EpochRecord {
        epoch: epoch_of(epoch),
        state,
        created_at: at(1),
        master: MasterKeyId::new("k").unwrap(),
    };
    let slot = |epochs: Vec<EpochRecord>| VaultSlot {
        root: wrapped(1),
        max_age: Duration::from_secs(300),
        journal: Some([7; 16]),
        applied: point(9),
        settled: point(5),
        settling: Some((point(7), at(0))),
        told: 8,
        waiting: vec![2, 9],
        epochs,
        index_epochs: vec![
            index(4, IndexEpochState::Settled, Date::AtOnce),
            index(5, IndexEpochState::Open, Date::Undated),
        ],
    };
    let good = slot(vec![record(1, EpochState::Retired), record(2, EpochState::Live)]);
    let stored = good.seal(&root(1)).unwrap();
    assert_eq!(VaultSlot::open(&stored, &root(1)).unwrap(), good);
    assert_eq!(good.current().unwrap().epoch, epoch_of(2));
    let together = VaultSlot { settled: good.applied, settling: None, ..good.clone() };
    let bare = VaultSlot {
        journal: None,
        applied: Point::NONE,
        settled: Point::NONE,
        settling: None,
        told: 0,
        waiting: vec![],
        ..good.clone()
    };
    let full = VaultSlot { applied: point(5000), waiting: (1..=1024).collect(), ..good.clone() };
    assert_eq!(MAX_WAITING, 1024);
    let many = |n| (1..=n).map(|number| index(number, IndexEpochState::Open, Date::Undated)).collect::<Vec<_>>();
    let most = VaultSlot { index_epochs: many(64), ..good.clone() };
    for slot in [&together, &bare, &full, &most] {
        assert_eq!(&VaultSlot::open(&slot.seal(&root(1)).unwrap(), &root(1)).unwrap(), slot);
    }
    let other = |change: &dyn Fn(&mut VaultSlot)| {
        let mut slot = good.clone();
        change(&mut slot);
        slot
    };
    let indexed = |index_epochs: Vec<IndexEpochRecord>| VaultSlot { index_epochs, ..good.clone() };
    for (what, slot) in [
        ("no epoch", slot(vec![])),
        ("epochs out of order", slot(vec![record(2, EpochState::Live), record(1, EpochState::Live)])),
        ("an epoch twice", slot(vec![record(1, EpochState::Live), record(1, EpochState::Live)])),
        ("a retired current epoch", slot(vec![record(1, EpochState::Retired)])),
        ("a max_age of nothing", VaultSlot { max_age: Duration::ZERO, ..good.clone() }),
        ("settled above applied", VaultSlot { settled: point(10), ..together.clone() }),
        ("settling above applied", other(&|slot| slot.settling = Some((point(10), at(1))))),
        ("settling at settled", other(&|slot| slot.settling = Some((point(5), at(1))))),
        (
            "a hash before the first entry",
            VaultSlot { settled: Point { hash: [1; 32], ..Point::NONE }, ..together.clone() },
        ),
        ("a wait above applied", other(&|slot| slot.waiting = vec![10])),
        ("a wait at 0", other(&|slot| slot.waiting = vec![0])),
        ("waits out of order", other(&|slot| slot.waiting = vec![3, 2])),
        ("a wait twice", other(&|slot| slot.waiting = vec![2, 2])),
        ("1025 waits", VaultSlot { waiting: (1..=1025).collect(), ..full.clone() }),
        ("no journal, and applied", VaultSlot { applied: point(1), ..bare.clone() }),
        ("no journal, and an entry", VaultSlot { told: 1, ..bare.clone() }),
        ("an index epoch 0", indexed(vec![index(0, IndexEpochState::Open, Date::Undated)])),
        ("an open index epoch with a date", indexed(vec![index(1, IndexEpochState::Open, Date::AtOnce)])),
        ("index epochs out of order", other(&|slot| slot.index_epochs.reverse())),
        ("65 index epochs", indexed(many(65))),
        ("a date of no moment", indexed(vec![index(1, IndexEpochState::Settled, Date::Dated(at(0)))])),
    ] {
        refused_both_ways(&SlotId::Vault, &slot, &slot.seal(&root(1)), what);
    }
    // Below what the format can say.
    assert!(VaultSlot { max_age: Duration::from_micros(1500), ..good }.seal(&root(1)).is_err());
    let journal_flag = 15 + (4 + 24 + 2 + 1 + 2 + 40) + 8;
    let settling_flag = journal_flag + 1 + 16 + 40 + 40;
    let epoch_state = settling_flag + 1 + 40 + 8 + 8 + (2 + 2 * 8) + 2 + 4;
    let index_state = content(&stored).len() - 9 - 1;
    for (i, byte) in [
        (journal_flag, 2),
        (settling_flag, 2),
        (epoch_state, 0),
        (epoch_state, 3),
        (epoch_state - 1, 0),
        (index_state, 0),
        (index_state, 3),
    ] {
        let bytes = with_mac(&stored, &root(1), |content| content[i] = byte);
        assert_eq!(refusal::<VaultSlot>(stored.id(), &bytes, &root(1)), StoreErrorKind::Corrupt, "{i}");
        parse_any(&bytes);
    }
}

#[test]
fn what_is_applied_settles_once_its_window_is_over_by_every_clock() {
    const WINDOW: Duration = Duration::from_millis(100);
    let points = |slot: &VaultSlot| {
        (slot.applied.position, slot.settled.position, slot.settling.map(|(p, since)| (p.position, since.as_millis())))
    };
    let mut slot = bare_vault();
    let mut settle = |up_to, earliest, latest| {
        slot.apply(point(up_to));
        let before = slot.clone();
        slot.settle(at(earliest), at(latest), WINDOW);
        // Whoever asks one clock first misses nothing.
        let asks = [earliest, latest].map(|now| before.may_settle(at(now), WINDOW));
        assert!(slot == before || asks == [true, true], "{up_to} {earliest} {latest}");
        slot.seal(&root(1)).unwrap();
        points(&slot)
    };
    assert_eq!(settle(3, 10, 20), (3, 0, Some((3, 20))), "dated by the latest clock");
    for (earliest, latest) in [(20, 20), (119, 500), (120, 121)] {
        assert_eq!(settle(9, earliest, latest), (9, 0, Some((3, 20))), "{earliest} {latest}");
    }
    assert_eq!(settle(9, 121, 500), (9, 3, Some((9, 500))), "the next begins then");
    assert_eq!(settle(9, 601, 700), (9, 9, None), "and nothing is left to begin");
    assert_eq!(settle(9, 9000, 9000), (9, 9, None));
    // By a clock that was ahead: its window would never be over. It begins anew.
    assert_eq!(settle(12, 9000, 99_000), (12, 9, Some((12, 99_000))));
    assert_eq!(settle(13, 9100, 99_000), (13, 9, Some((12, 99_000))), "one of the clocks is right");
    assert_eq!(settle(13, 9200, 9201), (13, 9, Some((13, 9201))));
    assert_eq!(settle(13, 9302, 9302), (13, 13, None));
}

#[test]
fn what_a_slot_was_told_never_falls() {
    let (mut vault, mut subject) = (bare_vault(), slot_of(vec![live("p")]));
    let mut tenant =
        TenantSlot { root: wrapped(1), erased_at: None, told: 0, epoch_keys: vec![wrapped(1)], index_keys: vec![] };
    for (position, told) in [(3, 3), (2, 3), (4, 4)] {
        vault.tell(position);
        tenant.tell(position);
        subject.tell(position);
        assert_eq!((vault.told, tenant.told, subject.told), (told, told, told));
    }
    subject.destroy(&purpose("p"), 1, at(5));
    assert_eq!((subject.erased_at(), subject.told), (Some(at(5)), 4), "a tombstone was told as much");
}

fn point(position: u64) -> Point {
    Point { position, hash: [3; 32] }
}

fn index(number: u32, state: IndexEpochState, alone_from: Date) -> IndexEpochRecord {
    IndexEpochRecord { number, opened_at: at(1), state, alone_from }
}

fn bare_vault() -> VaultSlot {
    VaultSlot {
        root: wrapped(1),
        max_age: Duration::from_secs(300),
        journal: Some([7; 16]),
        applied: Point::NONE,
        settled: Point::NONE,
        settling: None,
        told: 0,
        waiting: vec![],
        epochs: vec![EpochRecord {
            epoch: Epoch::FIRST,
            state: EpochState::Live,
            created_at: at(1),
            master: MasterKeyId::new("k").unwrap(),
        }],
        index_epochs: vec![],
    }
}

#[test]
fn bytes_no_subject_slot_has_are_refused_even_with_a_mac() {
    let stored = slot_of(vec![live("p")]).seal(&acme(), SUBJECT, &root(1)).unwrap();
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let bytes = with_mac(&stored, &root(1), change);
        parse_any(&bytes);
        refusal::<SubjectSlot>(stored.id(), &bytes, &root(1))
    };
    assert!(open_bytes::<SubjectSlot>(stored.id(), &with_mac(&stored, &root(1), |_| ()), &root(1)).is_ok());
    let held = 15 + 4 + 4 * 8;
    let purposes = held + 1 + 1 + 8;
    let name = purposes + 1;
    for (what, i, byte) in [
        ("version 0", 0, 0),
        ("kind 0", 1, 0),
        ("kind of a tenant", 1, 2),
        ("kind 4", 1, 4),
        ("state 0", 2, 0),
        ("state 4", 2, 4),
        ("another state than the body's", 2, 3),
        ("another epoch than the body's", 6, 2),
        ("no epoch where the body has one", 6, 0),
        ("another due date than the body's", 14, 1),
        ("a hold flagged 2", held, 2),
        ("a replacement flagged 2", held + 1, 2),
        ("more purposes than there are", purposes, 2),
        ("no purpose", purposes, 0),
        ("a name longer than the rest", name, 0xFF),
        ("a name that is no text", name + 2, 0xFF),
        ("a line 0", name + 2 + 1 + 3, 0),
    ] {
        assert_eq!(refused(&|content| content[i] = byte), StoreErrorKind::Corrupt, "{what}");
    }
    // A MAC that fits says that a later version wrote it; one that doesn't, that somebody changed a byte.
    assert_eq!(refused(&|content| content[0] = 2), StoreErrorKind::NewerSchema);
    let mut changed = stored.as_bytes().to_vec();
    changed[0] = 2;
    assert_eq!(refusal::<SubjectSlot>(stored.id(), &changed, &root(1)), StoreErrorKind::Corrupt);
    assert_eq!(refused(&|content| content.push(0)), StoreErrorKind::Corrupt);
    let empty_name = |content: &mut Vec<u8>| {
        content[name + 1] = 0;
        content.remove(name + 2);
    };
    assert_eq!(refused(&empty_name), StoreErrorKind::Corrupt);
    let long_name = |content: &mut Vec<u8>| {
        content[name..name + 2].copy_from_slice(&1025u16.to_be_bytes());
        content.splice(name + 2..name + 3, [b'x'; 1025]);
    };
    assert_eq!(refused(&long_name), StoreErrorKind::Corrupt);
}

#[test]
fn a_slot_has_at_most_256_kib() {
    let full = |i: usize| PurposeSlot {
        versions: (1..=64).map(version).collect(),
        destroyed: vec![KeyId::from_bytes([1; 24]); 512],
        erased_at: Some(at(1)),
        ..live(&format!("p{i:02}"))
    };
    let slot = |n: usize| slot_of((0..n).map(full).collect());
    let largest = slot(12).seal(&acme(), SUBJECT, &root(1)).unwrap();
    assert!(largest.as_bytes().len() > 250_000);
    assert_eq!(SubjectSlot::open(&largest, &root(1)).unwrap(), slot(12));
    assert!(matches!(slot(13).seal(&acme(), SUBJECT, &root(1)), Err(Error::InvalidInput(_))));

    // Judged before anything is read, and exactly.
    let mut bytes = largest.as_bytes().to_vec();
    bytes.resize(StoredSlot::MAX_LEN, 0);
    assert!(StoredSlot::from_bytes(subject_id(), bytes.clone()).is_ok());
    bytes.push(0);
    let error = StoredSlot::from_bytes(subject_id(), bytes).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
}

#[test]
fn a_subject_slot_shows_its_state_and_what_is_due() {
    let (early, late) = (Some(at(5)), Some(at(9)));
    let gone = PurposeSlot { versions: vec![], erased_at: Some(at(7)), ..live("p") };
    for (slot, state, due, erased_at) in [
        (slot_of(vec![live("p")]), SlotState::Live, None, None),
        (SubjectSlot { retain_until: late, ..slot_of(vec![live("p")]) }, SlotState::Live, late, None),
        (SubjectSlot { erase_at: early, ..slot_of(vec![live("p")]) }, SlotState::Scheduled, early, None),
        (
            SubjectSlot { erase_at: late, retain_until: early, ..slot_of(vec![live("p")]) },
            SlotState::Scheduled,
            early,
            None,
        ),
        (
            SubjectSlot { retain_until: early, closed_at: late, ..slot_of(vec![live("p")]) },
            SlotState::Scheduled,
            early,
            None,
        ),
        (SubjectSlot { whole_at: early, ..slot_of(vec![live("p")]) }, SlotState::Live, None, None),
        (slot_of(vec![live("o"), gone.clone()]), SlotState::Live, None, None),
        (SubjectSlot { epoch: None, ..slot_of(vec![gone]) }, SlotState::Erased, None, Some(at(7))),
    ] {
        let stored = slot.seal(&acme(), SUBJECT, &root(1)).unwrap();
        assert_eq!((stored.state(), stored.epoch(), stored.due()), (state, slot.epoch, due));
        assert_eq!(slot.erased_at(), erased_at);
    }
}

#[test]
fn a_tenant_slot_shows_the_lowest_epoch_to_leave() {
    for (root_epoch, index_keys, expected) in
        [(3, vec![], 3), (3, vec![index_key(1, 2)], 2), (3, vec![index_key(1, 4)], 3)]
    {
        let epoch_keys = vec![wrapped(1), wrapped(3)];
        let slot = TenantSlot { root: wrapped(root_epoch), erased_at: None, told: 0, epoch_keys, index_keys };
        let stored = slot.seal(&acme(), &root(1)).unwrap();
        assert_eq!(stored.epoch(), Some(epoch_of(expected)), "old epoch keys don't hold it back");
    }
}

// --- What becomes of a subject's slot ---------------------------------------------------------

#[test]
fn a_subject_is_closed_since_it_is_due_by_somebody_or_by_the_end_of_its_period() {
    let slot = SubjectSlot { retain_until: Some(at(5)), ..slot_of(vec![live("p")]) };
    let told = |slot: &SubjectSlot, now| (slot.closed(), slot.closed_by(at(now)));
    assert_eq!((told(&slot, 4), told(&slot, 5)), ((None, None), (None, Some(at(5)))));
    let held = SubjectSlot { held: true, ..slot.clone() };
    assert_eq!(told(&held, 9), (None, None), "who is held stays readable");
    let closed = SubjectSlot { closed_at: Some(at(7)), ..slot.clone() };
    assert_eq!(told(&closed, 4), (Some(at(5)), Some(at(5))), "whatever a clock says");
    let scheduled = SubjectSlot { erase_at: Some(at(3)), ..closed };
    assert_eq!(told(&scheduled, 0), (Some(at(3)), Some(at(3))));
    let stored = scheduled.seal(&acme(), SUBJECT, &root(1)).unwrap();
    assert_eq!((stored.state(), stored.due()), (SlotState::Scheduled, Some(at(3))));
}

#[test]
fn an_erasure_as_a_whole_is_of_the_first_line_of_every_purpose() {
    let (a, b, c) = (purpose("a"), purpose("b"), purpose("c"));
    let mut slot = SubjectSlot { held: true, told: 4, ..slot_of(vec![live("a"), live("b")]) };
    assert!(!slot.has_destroyed(&c, 1) && !slot.has_destroyed_whole([].into_iter()));
    slot.destroy_whole([(&a, 3)].into_iter(), at(7));
    assert_eq!(
        (slot.whole_at, slot.erased_at(), slot.epoch, slot.held, slot.told),
        (Some(at(7)), Some(at(7)), None, false, 4)
    );
    assert_eq!(slot.purposes.iter().map(|p| (p.line, p.destroyed.len())).collect::<Vec<_>>(), [(3, 1), (1, 1)]);
    for (name, line, destroyed) in
        [(&a, 3, true), (&a, 4, false), (&b, 1, true), (&b, 2, false), (&c, 1, true), (&c, 2, false)]
    {
        assert_eq!(slot.has_destroyed(name, line), destroyed, "{name:?} {line}");
        assert_eq!(slot.has_destroyed_whole([(name, line)].into_iter()), destroyed, "{name:?} {line}");
    }
    let stored = slot.seal(&acme(), SUBJECT, &root(1)).unwrap();
    assert_eq!(SubjectSlot::open(&stored, &root(1)).unwrap(), slot);

    // What was enrolled again is of another line; what is back is of the first.
    let again = SubjectSlot { epoch: Some(Epoch::FIRST), ..slot.clone() };
    let with = |of: PurposeSlot| SubjectSlot { purposes: vec![of], ..again.clone() };
    assert!(with(PurposeSlot { line: 2, ..live("b") }).has_destroyed_whole([(&a, 1)].into_iter()));
    assert!(!with(live("b")).has_destroyed_whole([(&a, 1)].into_iter()));
    assert!(!SubjectSlot { whole_at: None, ..slot.clone() }.has_destroyed_whole([(&a, 3)].into_iter()), "one by one");

    // Again, of what came later, and a line that came later still stays.
    let mut later = with(PurposeSlot { line: 2, ..live("b") });
    later.destroy_whole([(&a, 3)].into_iter(), at(9));
    assert!(later.purpose(&b).unwrap().is_live() && later.whole_at == Some(at(9)) && later.epoch.is_some());
}

#[test]
fn a_slot_of_a_later_version_keeps_its_place_and_its_root() {
    let vault = bare_vault().seal(&root(1)).unwrap();
    let tenant =
        TenantSlot { root: wrapped(2), erased_at: None, told: 0, epoch_keys: vec![wrapped(1)], index_keys: vec![] };
    let tenant = tenant.seal(&acme(), &root(1)).unwrap();
    let later = |stored: &StoredSlot| {
        let bytes = with_mac(stored, &root(1), |content| {
            (content[0], content[2]) = (2, 9);
            content.truncate(15 + 4 + 24 + 2 + 1 + 2 + 40); // the root, and another body
            content.extend_from_slice(b"another body");
        });
        StoredSlot::from_bytes(stored.id().clone(), bytes).unwrap()
    };
    let (vault, tenant) = (later(&vault), later(&tenant));
    assert_eq!(VaultSlot::root_of(&vault).unwrap(), wrapped(1));
    assert_eq!(TenantSlot::root_of(&tenant).unwrap(), wrapped(2));
    assert_eq!((tenant.state().number(), tenant.epoch()), (9, Some(epoch_of(2))), "a store finds it as ever");
    let columns = RawColumns { state: Some(9), epoch: Some(2), due: None };
    let read = StoredSlot::from_row(tenant.id(), tenant.as_bytes().to_vec(), Some(columns));
    assert_eq!(read.unwrap(), tenant);
    for error in [VaultSlot::open(&vault, &root(1)).map(drop), TenantSlot::open(&tenant, &root(1)).map(drop)] {
        assert!(matches!(error, Err(Error::Store(e)) if e.kind() == StoreErrorKind::NewerSchema));
    }
    assert!(matches!(VaultSlot::open(&vault, &root(2)), Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt));
}
