//! Slots: what is written is read back, there is one encoding of it, and nothing else is accepted.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::subject::{MAX_DESTROYED, MAX_PURPOSES, MAX_VERSIONS};
use super::*;
use crate::error::StoreErrorKind;
use crate::id::Purpose;
use crate::keys::{KeyMaterial, WRAPPED_LEN};

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

fn key_version() -> impl Strategy<Value = KeyVersion> {
    (any::<u64>(), option::of(moment_from_1()), key_id(), vec(any::<u8>(), WRAPPED_LEN)).prop_map(
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
    (1..=u32::MAX, epoch(), option::of(moment_from_1()), vec(key_id(), 0..4), versions).prop_map(
        |(line, since, erased_at, destroyed, versions)| PurposeSlot {
            name: purpose("set below"),
            line,
            since,
            // Where something was destroyed, or nothing lives, that has a moment.
            erased_at: erased_at.or((versions.is_empty() || !destroyed.is_empty()).then_some(at(1))),
            destroyed,
            versions: versions.into_iter().map(|(number, version)| KeyVersion { number, ..version }).collect(),
        },
    )
}

fn subject_slot() -> impl Strategy<Value = SubjectSlot> {
    let purposes = btree_map("\\PC{1,8}", purpose_slot(), 1..4);
    (epoch(), option::of(moment_from_1()), option::of(moment_from_1()), any::<bool>(), purposes).prop_map(
        |(epoch, retain_until, erase_at, held, purposes)| {
            let purposes: Vec<_> =
                purposes.into_iter().map(|(name, slot)| PurposeSlot { name: purpose(&name), ..slot }).collect();
            let epoch = purposes.iter().any(PurposeSlot::is_live).then_some(epoch);
            SubjectSlot { epoch, retain_until, erase_at, held, purposes }
        },
    )
}

fn tenant_slot() -> impl Strategy<Value = TenantSlot> {
    let epoch_keys = btree_map(epoch(), wrapped_root(), 1..4);
    let index_keys = btree_map(any::<u32>(), wrapped_root(), 0..4);
    (wrapped_root(), option::of(moment_from_1()), epoch_keys, index_keys).prop_map(
        |(root, erased_at, epoch_keys, index_keys)| {
            let mut slot = TenantSlot {
                root,
                erased_at,
                epoch_keys: epoch_keys.into_iter().map(|(epoch, key)| WrappedRoot { epoch, ..key }).collect(),
                index_keys: index_keys
                    .into_iter()
                    .map(|(index_epoch, key)| WrappedIndexKey { index_epoch, key })
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

fn vault_slot() -> impl Strategy<Value = VaultSlot> {
    let epochs = btree_map(epoch(), (any::<bool>(), any::<u64>(), "\\PC{1,12}"), 1..5);
    let journal = option::of(any::<[u8; 16]>());
    (wrapped_root(), 1..=u64::MAX, journal, any::<(u64, [u8; 32])>(), epochs).prop_map(
        |(root, max_age, journal, applied, epochs)| {
            let record = |(epoch, (live, created_at, master)): (Epoch, (bool, u64, String))| EpochRecord {
                epoch,
                state: if live { EpochState::Live } else { EpochState::Retired },
                created_at: at(created_at),
                master: MasterKeyId::new(master).unwrap(),
            };
            let mut epochs: Vec<_> = epochs.into_iter().map(record).collect();
            epochs.last_mut().unwrap().state = EpochState::Live;
            VaultSlot { root, max_age: Duration::from_millis(max_age), journal, applied, epochs }
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
    let (state, epoch, due) =
        (stored.state().number(), stored.epoch().map(Epoch::get), stored.due().map(Timestamp::as_millis));
    let with = |state, epoch, due| StoredSlot::from_columns(id.clone(), bytes.to_vec(), state, epoch, due);
    prop_assert_eq!(&with(state, epoch, due).unwrap(), stored);
    for columns in [
        with(state % 3 + 1, epoch, due),
        with(0, epoch, due),
        with(state, epoch.map_or(Some(1), |e| e.checked_add(1)), due),
        with(state, if epoch.is_some() { None } else { Some(8) }, due),
        with(state, epoch, due.map_or(Some(1), |d| Some(d ^ 1))),
        with(state, epoch, if due.is_some() { None } else { Some(9) }),
    ] {
        prop_assert_eq!(columns.unwrap_err().kind(), StoreErrorKind::Corrupt);
    }

    // It is of nobody else.
    prop_assert_eq!(refusal::<B>(id, bytes, &root(0xEE)), StoreErrorKind::Corrupt);
    for other in elsewhere {
        prop_assert_eq!(refusal::<B>(other, bytes, own), StoreErrorKind::Corrupt);
    }

    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected =
            if bit / 8 == 0 && changed[0] > 1 { StoreErrorKind::NewerSchema } else { StoreErrorKind::Corrupt };
        prop_assert_eq!(refusal::<B>(id, &changed, own), expected, "bit {}", bit);
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
        seal_from: None,
        key_id: KeyId::from_bytes([1; 24]),
        wrapped: [2; WRAPPED_LEN],
    }
}

fn live(name: &str) -> PurposeSlot {
    PurposeSlot {
        name: purpose(name),
        line: 1,
        since: Epoch::FIRST,
        erased_at: None,
        destroyed: vec![],
        versions: vec![version(1)],
    }
}

fn slot_of(purposes: Vec<PurposeSlot>) -> SubjectSlot {
    SubjectSlot { epoch: Some(Epoch::FIRST), retain_until: None, erase_at: None, held: false, purposes }
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
}

#[test]
fn a_moment_that_reads_as_none_is_not_written() {
    let zero = Some(at(0));
    for slot in [
        SubjectSlot { retain_until: zero, ..slot_of(vec![live("p")]) },
        SubjectSlot { erase_at: zero, ..slot_of(vec![live("p")]) },
        slot_of(vec![PurposeSlot { erased_at: zero, ..live("p") }]),
        slot_of(vec![PurposeSlot { versions: vec![KeyVersion { seal_from: zero, ..version(1) }], ..live("p") }]),
    ] {
        assert!(matches!(slot.seal(&acme(), SUBJECT, &root(1)), Err(Error::InvalidInput(_))));
    }
}

fn wrapped(epoch: u32) -> WrappedRoot {
    WrappedRoot {
        epoch: epoch_of(epoch),
        key_id: KeyId::from_bytes([1; 24]),
        wrapped: WrappedKey::new(MasterKeyId::new("k").unwrap(), vec![1; 40]).unwrap(),
    }
}

#[test]
fn a_tenant_slot_out_of_order_or_bounds_is_refused() {
    let slot = |epochs: &[u32], indexes: &[u32]| TenantSlot {
        root: wrapped(1),
        erased_at: None,
        epoch_keys: epochs.iter().map(|e| wrapped(*e)).collect(),
        index_keys: indexes.iter().map(|i| WrappedIndexKey { index_epoch: *i, key: wrapped(1) }).collect(),
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
    ] {
        refused_both_ways(&SlotId::Tenant(acme()), &slot, &slot.seal(&acme(), &root(1)), what);
    }
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
        journal: None,
        applied: (0, [0; 32]),
        epochs,
    };
    let good = slot(vec![record(1, EpochState::Retired), record(2, EpochState::Live)]);
    let stored = good.seal(&root(1)).unwrap();
    assert_eq!(VaultSlot::open(&stored, &root(1)).unwrap(), good);
    assert_eq!(good.current().unwrap().epoch, epoch_of(2));
    for (what, slot) in [
        ("no epoch", slot(vec![])),
        ("epochs out of order", slot(vec![record(2, EpochState::Live), record(1, EpochState::Live)])),
        ("an epoch twice", slot(vec![record(1, EpochState::Live), record(1, EpochState::Live)])),
        ("a retired current epoch", slot(vec![record(1, EpochState::Retired)])),
        ("a max_age of nothing", VaultSlot { max_age: Duration::ZERO, ..good.clone() }),
    ] {
        refused_both_ways(&SlotId::Vault, &slot, &slot.seal(&root(1)), what);
    }
    // Below what the format can say.
    assert!(VaultSlot { max_age: Duration::from_micros(1500), ..good }.seal(&root(1)).is_err());
    let journal_flag = 15 + (4 + 24 + 2 + 1 + 2 + 40) + 8;
    let epoch_state = journal_flag + 1 + 8 + 32 + 2 + 4;
    for (i, byte) in [(journal_flag, 2), (epoch_state, 0), (epoch_state, 3), (epoch_state - 1, 0)] {
        let bytes = with_mac(&stored, &root(1), |content| content[i] = byte);
        assert_eq!(refusal::<VaultSlot>(stored.id(), &bytes, &root(1)), StoreErrorKind::Corrupt);
        parse_any(&bytes);
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
    let (held, purposes, name) = (15 + 4 + 8 + 8, 15 + 4 + 8 + 8 + 1, 15 + 4 + 8 + 8 + 1 + 1);
    let since = name + 2 + 1 + 4;
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
        ("flag 2", held, 2),
        ("more purposes than there are", purposes, 2),
        ("no purpose", purposes, 0),
        ("a name longer than the rest", name, 0xFF),
        ("a name that is no text", name + 2, 0xFF),
        ("an epoch 0 of a line", since + 3, 0),
    ] {
        assert_eq!(refused(&|content| content[i] = byte), StoreErrorKind::Corrupt, "{what}");
    }
    assert_eq!(refused(&|content| content[0] = 2), StoreErrorKind::NewerSchema);
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
    let index = |epoch| WrappedIndexKey { index_epoch: epoch, key: wrapped(epoch) };
    for (root_epoch, index_keys, expected) in [(3, vec![], 3), (3, vec![index(2)], 2), (3, vec![index(4)], 3)] {
        let epoch_keys = vec![wrapped(1), wrapped(3)];
        let slot = TenantSlot { root: wrapped(root_epoch), erased_at: None, epoch_keys, index_keys };
        let stored = slot.seal(&acme(), &root(1)).unwrap();
        assert_eq!(stored.epoch(), Some(epoch_of(expected)), "old epoch keys don't hold it back");
    }
}

// --- Known answers ---------------------------------------------------------------------------

/// Bytes that count up, as tests/vectors/slots.py makes them.
fn pattern<const N: usize>(first: usize) -> [u8; N] {
    std::array::from_fn(|i| u8::try_from((first * 16 + i) % 256).unwrap())
}

fn patterned(epoch: u32, key_id: usize, master: &str, wrapped: &[u8]) -> WrappedRoot {
    WrappedRoot {
        epoch: epoch_of(epoch),
        key_id: KeyId::from_bytes(pattern(key_id)),
        wrapped: WrappedKey::new(MasterKeyId::new(master).unwrap(), wrapped).unwrap(),
    }
}

#[test]
fn slots_and_tags_are_what_another_program_makes_of_the_format() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../../tests/vectors/slots.json")).unwrap();
    let unhex = |text: &serde_json::Value| crate::crypto::vectors::hex(text.as_str().unwrap());
    let root = RootKey::derive(&KeyMaterial::from_slice(&unhex(&file["root"])).unwrap());
    assert_eq!(root.id().as_bytes()[..], unhex(&file["root_id"]));
    for entry in file["tags"].as_array().unwrap() {
        let tenant = TenantId::new(entry["tenant"].as_str().unwrap()).unwrap();
        let subject = crate::id::SubjectId::new(entry["subject"].as_str().unwrap()).unwrap();
        assert_eq!(root.tag(&tenant, &subject).as_bytes()[..], unhex(&entry["tag"]));
    }

    fn same<B: Body + PartialEq + fmt::Debug>(slot: &B, sealed: &StoredSlot, bytes: &[u8], root: &RootKey) {
        assert_eq!(sealed.as_bytes(), bytes);
        assert_eq!(&open_bytes::<B>(sealed.id(), bytes, root).unwrap(), slot);
    }
    let slots = file["slots"].as_array().unwrap();
    let bytes = |name: &str| unhex(&slots.iter().find(|slot| slot["name"] == name).unwrap()["slot"]);
    assert_eq!(slots.len(), 6);

    let record = |epoch, state, created_at, master| EpochRecord {
        epoch: epoch_of(epoch),
        state,
        created_at: at(created_at),
        master: MasterKeyId::new(master).unwrap(),
    };
    let vault = VaultSlot {
        root: patterned(2, 1, "arn:key/2", &pattern::<40>(2)),
        max_age: Duration::from_secs(300),
        journal: Some(pattern(3)),
        applied: (7, pattern(4)),
        epochs: vec![
            record(1, EpochState::Retired, 1_700_000_000_000, "arn:key/1"),
            record(2, EpochState::Live, 1_700_000_086_400, "arn:key/2"),
        ],
    };
    same(&vault, &vault.seal(&root).unwrap(), &bytes("vault"), &root);

    let tenant = TenantSlot {
        root: patterned(3, 1, "key-3", &pattern::<60>(2)),
        erased_at: None,
        epoch_keys: vec![patterned(1, 3, "key-1", &pattern::<61>(4)), patterned(3, 5, "key-3", &pattern::<62>(6))],
        index_keys: vec![WrappedIndexKey { index_epoch: 4, key: patterned(2, 7, "key-2", &pattern::<63>(8)) }],
    };
    same(&tenant, &tenant.seal(&acme(), &root).unwrap(), &bytes("tenant"), &root);
    let gone = TenantSlot { erased_at: Some(at(1_700_000_000_000)), epoch_keys: vec![], index_keys: vec![], ..tenant };
    same(&gone, &gone.seal(&acme(), &root).unwrap(), &bytes("erased tenant"), &root);

    let tag = Tag::from_bytes(pattern(10));
    let version = |number, created_at, seal_from: Option<u64>, first| KeyVersion {
        number,
        created_at: at(created_at),
        seal_from: seal_from.map(at),
        key_id: KeyId::from_bytes(pattern(first)),
        wrapped: pattern(first + 1),
    };
    let subject = SubjectSlot {
        epoch: Some(epoch_of(3)),
        retain_until: Some(at(1_900_000_000_000)),
        erase_at: Some(at(1_800_000_000_000)),
        held: true,
        purposes: vec![
            PurposeSlot {
                name: purpose("billing"),
                line: 2,
                since: epoch_of(1),
                erased_at: Some(at(1_700_000_000_000)),
                destroyed: vec![KeyId::from_bytes(pattern(1)), KeyId::from_bytes(pattern(2))],
                versions: vec![],
            },
            PurposeSlot {
                name: purpose("default"),
                line: 1,
                since: epoch_of(3),
                erased_at: None,
                destroyed: vec![],
                versions: vec![
                    version(1, 1_600_000_000_000, Some(1_600_000_000_000), 3),
                    version(3, 1_650_000_000_000, None, 5),
                ],
            },
        ],
    };
    same(&subject, &subject.seal(&acme(), tag, &root).unwrap(), &bytes("subject"), &root);

    let tombstone = SubjectSlot {
        epoch: None,
        retain_until: None,
        erase_at: None,
        held: false,
        purposes: vec![PurposeSlot {
            name: purpose("default"),
            line: 1,
            since: epoch_of(1),
            erased_at: Some(at(1_700_000_000_000)),
            destroyed: vec![KeyId::from_bytes(pattern(1))],
            versions: vec![],
        }],
    };
    same(&tombstone, &tombstone.seal(&acme(), tag, &root).unwrap(), &bytes("tombstone"), &root);

    let retired = SubjectSlot {
        epoch: Some(epoch_of(3)),
        purposes: vec![PurposeSlot {
            name: purpose("default"),
            line: 1,
            since: epoch_of(3),
            erased_at: None,
            destroyed: vec![KeyId::from_bytes(pattern(1))],
            versions: vec![version(2, 1_600_000_000_000, Some(1_600_000_000_000), 3)],
        }],
        ..SubjectSlot::empty()
    };
    same(&retired, &retired.seal(&acme(), tag, &root).unwrap(), &bytes("retired version"), &root);
}
