//! Tags and slots that another program made of the format, and slots that it refuses.

use super::*;
use crate::id::SubjectId;

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

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../../tests/vectors/slots.json")).unwrap()
}

fn unhex(text: &serde_json::Value) -> Vec<u8> {
    crate::crypto::vectors::hex(text.as_str().unwrap())
}

fn root_of_vectors(file: &serde_json::Value) -> RootKey {
    let root = RootKey::derive(&KeyMaterial::from_slice(&unhex(&file["root"])).unwrap());
    assert_eq!(root.id().as_bytes()[..], unhex(&file["root_id"]));
    root
}

/// Which slot an example is of.
fn id_of(entry: &serde_json::Value) -> SlotId {
    let tenant = || TenantId::new(entry["tenant"].as_str().unwrap()).unwrap();
    match entry["kind"].as_u64().unwrap() {
        1 => SlotId::Vault,
        2 => SlotId::Tenant(tenant()),
        _ => SlotId::Subject(tenant(), Tag::from_bytes(unhex(&entry["tag"]).try_into().unwrap())),
    }
}

#[test]
fn tags_are_what_another_program_makes_of_the_format() {
    let file = vectors();
    let root = root_of_vectors(&file);
    for entry in file["tags"].as_array().unwrap() {
        let tenant = TenantId::new(entry["tenant"].as_str().unwrap()).unwrap();
        let [kind, id] = ["kind", "subject"].map(|name| entry[name].as_str().unwrap());
        let subject = SubjectId::new(kind, id).unwrap();
        assert_eq!(root.tag(&tenant, &subject).as_bytes()[..], unhex(&entry["tag"]));
    }
}

#[test]
fn slots_are_what_another_program_makes_of_the_format() {
    let file = vectors();
    let root = root_of_vectors(&file);
    let slots = file["slots"].as_array().unwrap();
    let mut left: Vec<_> = slots.iter().map(|slot| slot["name"].as_str().unwrap()).collect();
    let mut same = |name: &str, sealed: StoredSlot, opens_as: &dyn Fn(&StoredSlot)| {
        let entry = slots.iter().find(|slot| slot["name"] == name).unwrap();
        assert_eq!((sealed.id(), sealed.as_bytes()), (&id_of(entry), &unhex(&entry["slot"])[..]), "{name}");
        opens_as(&StoredSlot::from_bytes(id_of(entry), unhex(&entry["slot"])).unwrap());
        left.retain(|left| *left != name);
    };

    let record = |epoch, state, created_at, master| EpochRecord {
        epoch: epoch_of(epoch),
        state,
        created_at: at(created_at),
        master: MasterKeyId::new(master).unwrap(),
    };
    let point = |position, first| Point { position, hash: pattern(first) };
    let opened_at = at(1_710_000_000_000);
    let vault = VaultSlot {
        root: patterned(2, 1, "arn:key/2", &pattern::<40>(2)),
        max_age: Duration::from_secs(300),
        journal: Some(pattern(3)),
        applied: point(40, 4),
        settled: point(7, 5),
        settling: Some((point(33, 6), at(1_720_000_000_000))),
        told: 38,
        waiting: vec![12, 39, 40],
        epochs: vec![
            record(1, EpochState::Retired, 1_700_000_000_000, "arn:key/1"),
            record(2, EpochState::Live, 1_700_000_086_400, "arn:key/2"),
        ],
        index_epochs: vec![
            IndexEpochRecord {
                number: 4,
                opened_at,
                state: IndexEpochState::Settled,
                alone_from: Date::Dated(at(1_730_000_000_000)),
            },
            IndexEpochRecord { number: 5, opened_at, state: IndexEpochState::Open, alone_from: Date::Undated },
        ],
    };
    let bare = VaultSlot {
        journal: None,
        applied: Point::NONE,
        settled: Point::NONE,
        settling: None,
        told: 0,
        waiting: vec![],
        index_epochs: vec![],
        ..vault.clone()
    };
    for (name, slot) in [("vault", vault), ("vault without a journal", bare)] {
        let opens_as = |stored: &StoredSlot| assert_eq!(VaultSlot::open(stored, &root).unwrap(), slot, "{name}");
        same(name, slot.seal(&root).unwrap(), &opens_as);
    }

    let tenant = TenantSlot {
        root: patterned(3, 1, "key-3", &pattern::<60>(2)),
        erased_at: None,
        told: 3,
        epoch_keys: vec![patterned(1, 3, "key-1", &pattern::<61>(4)), patterned(3, 5, "key-3", &pattern::<62>(6))],
        index_keys: vec![WrappedIndexKey {
            index_epoch: 4,
            created_at: opened_at,
            write_from: Date::Dated(at(1_711_000_000_000)),
            key: patterned(2, 7, "key-2", &pattern::<63>(8)),
        }],
    };
    let gone = TenantSlot {
        erased_at: Some(at(1_700_000_000_000)),
        told: 14,
        epoch_keys: vec![],
        index_keys: vec![],
        ..tenant.clone()
    };
    for (name, slot) in [("tenant", tenant), ("erased tenant", gone)] {
        let opens_as = |stored: &StoredSlot| assert_eq!(TenantSlot::open(stored, &root).unwrap(), slot, "{name}");
        same(name, slot.seal(&acme(), &root).unwrap(), &opens_as);
    }

    for (name, slot) in subjects_of_vectors() {
        let opens_as = |stored: &StoredSlot| assert_eq!(SubjectSlot::open(stored, &root).unwrap(), slot, "{name}");
        same(name, slot.seal(&acme(), Tag::from_bytes(pattern(10)), &root).unwrap(), &opens_as);
    }
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(slots.len(), 11);
}

fn subjects_of_vectors() -> [(&'static str, SubjectSlot); 7] {
    let (made, gone_at) = (1_600_000_000_000, 1_700_000_000_000);
    let version = |number, created_at, seal_from, first| KeyVersion {
        number,
        created_at: at(created_at),
        seal_from,
        key_id: KeyId::from_bytes(pattern(first)),
        wrapped: pattern(first + 1),
    };
    let ids = |firsts: &[usize]| firsts.iter().map(|first| KeyId::from_bytes(pattern(*first))).collect::<Vec<_>>();
    let of = |name, line, erased_at: Option<u64>, destroyed: &[usize], versions| PurposeSlot {
        name: purpose(name),
        line,
        erased_at: erased_at.map(at),
        destroyed: ids(destroyed),
        versions,
    };
    let live = |purposes| SubjectSlot { epoch: Some(epoch_of(3)), purposes, ..SubjectSlot::empty() };
    let gone = |destroyed| {
        let purposes = vec![of("default", 1, Some(gone_at), destroyed, vec![])];
        SubjectSlot { told: 8, purposes, ..SubjectSlot::empty() }
    };
    let first = || version(1, made, Date::AtOnce, 3);
    let subject = SubjectSlot {
        retain_until: Some(at(1_900_000_000_000)),
        erase_at: Some(at(1_800_000_000_000)),
        held: true,
        told: 12,
        ..live(vec![
            of("billing", 2, Some(gone_at), &[1, 2], vec![]),
            of(
                "default",
                1,
                None,
                &[],
                vec![
                    first(),
                    version(3, 1_650_000_000_000, Date::Dated(at(1_650_000_300_000)), 5),
                    version(4, 1_660_000_000_000, Date::Undated, 7),
                ],
            ),
        ])
    };
    let closed = SubjectSlot {
        retain_until: Some(at(gone_at)),
        closed_at: Some(at(gone_at + 5)),
        ..live(vec![of("default", 1, None, &[], vec![first()])])
    };
    let whole = SubjectSlot { whole_at: Some(at(gone_at)), ..gone(&[1]) };
    let replaced = SubjectSlot { whole_at: Some(at(gone_at)), replaced: true, ..gone(&[]) };
    let again = |first| vec![version(1, gone_at + 9, Date::AtOnce, first)];
    let again = SubjectSlot {
        whole_at: Some(at(gone_at)),
        told: 11,
        ..live(vec![of("default", 2, Some(gone_at), &[1], again(3)), of("research", 2, None, &[], again(5))])
    };
    let retired = live(vec![of("default", 1, None, &[1], vec![version(2, made, Date::Dated(at(made)), 3)])]);
    [
        ("subject", subject),
        ("closed subject", closed),
        ("tombstone", gone(&[1])),
        ("whole tombstone", whole),
        ("replaced", replaced),
        ("enrolled again", again),
        ("retired version", retired),
    ]
}

/// What must not be read, though its MAC fits where the name doesn't say otherwise.
#[test]
fn slots_that_another_program_refuses_are_refused() {
    let file = vectors();
    let root = root_of_vectors(&file);
    let rejects = file["slot_rejects"].as_array().unwrap();
    assert!(rejects.len() > 50);
    for entry in rejects {
        let (id, bytes) = (id_of(entry), unhex(&entry["slot"]));
        let found = match id {
            SlotId::Vault => refusal::<VaultSlot>(&id, &bytes, &root),
            SlotId::Tenant(_) => refusal::<TenantSlot>(&id, &bytes, &root),
            SlotId::Subject(..) => refusal::<SubjectSlot>(&id, &bytes, &root),
        };
        let expected = match entry["error"].as_str().unwrap() {
            "NewerSchema" => StoreErrorKind::NewerSchema,
            error => {
                assert_eq!(error, "Corrupt");
                StoreErrorKind::Corrupt
            }
        };
        assert_eq!(found, expected, "{}", entry["name"]);
        parse_any(&bytes);
    }
}
