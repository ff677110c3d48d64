//! What another program makes of the format; and that there is one encoding of each entry.

use super::*;
use crate::crypto::vectors::hex;
use crate::keys::{KeyMaterial, RootKey};

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000 + n)
}

fn purpose(name: &str) -> Purpose {
    Purpose::new(name).unwrap()
}

fn master() -> MasterKeyId {
    MasterKeyId::new("arn:key/1").unwrap()
}

fn pattern<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|i| first + u8::try_from(i).unwrap())
}

fn line(name: &str, line: u32) -> ErasedLine {
    ErasedLine::new(purpose(name), line)
}

/// What the vectors tell of, in their order: whom each is about, and what happened.
fn one_of_each() -> Vec<(SlotId, JournalEvent)> {
    use JournalEvent as E;
    use SlotId::{Tenant, Vault};
    let subject = || SlotId::Subject(tenant(), Tag::from_bytes(pattern(0xA0)));
    let stranger = || SlotId::Subject(tenant(), Tag::from_bytes(pattern(0xB0)));
    let lines = || vec![line("billing", 2), line("default", 1)];
    let (root, key_id) = (KeyMaterial::from_slice(&root()).unwrap().id(), KeyId::from_bytes(pattern(0x20)));
    let until = Epoch::new(3).unwrap();
    vec![
        (Vault, E::RootCreated { key_id: root }),
        (Vault, E::EpochOpened { epoch: Epoch::FIRST, master: master() }),
        (Tenant(tenant()), E::RootCreated { key_id }),
        (Vault, E::MaxAgeRaised { millis: 600_000 }),
        (subject(), E::Reenrolled { purpose: purpose("default"), line: 2 }),
        (Tenant(tenant()), E::RootStored { key_id }),
        (Tenant(tenant()), E::RootLost { key_id }),
        (subject(), E::ErasureIntended { whole: true, known: true, lines: lines() }),
        (subject(), E::ErasureDone { whole: true, lines: lines(), until }),
        (subject(), E::Held),
        (subject(), E::Released),
        (subject(), E::ErasureScheduled { at: Timestamp::from_millis(1_800_000_000_000) }),
        (subject(), E::ErasureCancelled),
        (Tenant(tenant()), E::TenantErasureIntended { known: true }),
        (Tenant(tenant()), E::TenantErasureDone { until }),
        (Tenant(TenantId::new("acme2").unwrap()), E::TenantErasureIntended { known: false }),
        (Vault, E::MasterKeyDestroyed { master: master() }),
        (stranger(), E::ErasureIntended { whole: false, known: false, lines: vec![line("default", 1)] }),
        (stranger(), E::ErasureDone { whole: false, lines: vec![line("default", 1)], until }),
        (Vault, E::StoreRestored { applied: 12 }),
        (Vault, E::RetentionResumed),
        (Vault, E::IndexEpochOpened { index_epoch: 1 }),
        (Vault, E::IndexEpochSettled { index_epoch: 1 }),
        (Vault, E::IndexEpochGivenUp { index_epoch: 2, until }),
        (Vault, E::IndexEpochRetired { index_epoch: 1, until }),
    ]
}

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../tests/vectors/slots.json")).unwrap()
}

fn root() -> Vec<u8> {
    hex(vectors()["root"].as_str().unwrap())
}

#[test]
fn another_program_makes_the_same_entries_and_heads() {
    let key = RootKey::derive(&KeyMaterial::from_slice(&root()).unwrap()).journal_key();
    let (ours, vectors) = (one_of_each(), vectors());
    let theirs = vectors["journal"].as_array().unwrap();
    assert_eq!(theirs.len(), ours.len());
    let mut last = std::collections::HashMap::new();
    let mut head = Head::EMPTY;
    for (n, ((about, event), theirs)) in (0..).zip(ours.into_iter().zip(theirs)) {
        let previous = last.insert(about.clone(), head.position() + 1).unwrap_or(0);
        let ours = JournalEntry::unsealed(at(n), about, event).sealed(previous, &key, &head);
        let bytes = hex(theirs["entry"].as_str().unwrap());
        assert_eq!(ours.to_bytes(), bytes, "{}", theirs["name"]);
        assert_eq!(JournalEntry::from_bytes(&bytes).unwrap(), ours);
        assert!(ours.verifies(&key, &head) && !ours.verifies(&key, &head.advanced_by(&ours)), "{}", theirs["name"]);
        head = head.advanced_by(&ours);
        assert_eq!(head.hash()[..], hex(theirs["head"].as_str().unwrap()));
    }
}

/// What a later build writes, here played by this one.
fn of_later_versions() -> Vec<(SlotId, JournalEvent)> {
    let subject = SlotId::Subject(tenant(), Tag::from_bytes([3; 16]));
    let mut all = Vec::new();
    for about in [SlotId::Vault, SlotId::Tenant(tenant()), subject] {
        for bytes in [vec![], vec![0], vec![7; 300]] {
            for number in [22, 127, 128, 255] {
                all.push((about.clone(), JournalEvent::Unknown { number, bytes: bytes.clone() }));
            }
            for version in [2, 255] {
                all.push((about.clone(), JournalEvent::LaterVersion { version, bytes: bytes.clone() }));
            }
        }
    }
    all
}

#[test]
fn entries_read_back_and_no_other_bytes_are_one() {
    for (about, event) in one_of_each().into_iter().chain(of_later_versions()) {
        let is_known = !matches!(event, JournalEvent::Unknown { .. } | JournalEvent::LaterVersion { .. });
        let entry = JournalEntry::unsealed(at(0), about, event);
        let bytes = entry.to_bytes();
        assert!(entry.check_bounds().is_ok() && bytes.len() <= JournalEntry::MAX_LEN);
        assert_eq!(JournalEntry::from_bytes(&bytes).unwrap(), entry);
        // What belongs to an event of a later version is any bytes, so one more or fewer may be another entry.
        for other in (0..bytes.len()).map(|len| bytes[..len].to_vec()).chain([[&bytes[..], &[0]].concat()]) {
            match JournalEntry::from_bytes(&other) {
                Ok(read) => assert!(!is_known && read.to_bytes() == other, "{entry:?}"),
                Err(e) => assert_eq!(e.kind(), crate::error::JournalErrorKind::Corrupt),
            }
        }
        let unversioned = [&[0], &bytes[1..]].concat();
        assert!(JournalEntry::from_bytes(&unversioned).is_err());
    }
}

#[test]
fn an_event_is_about_what_it_must_be_about() {
    let abouts = [SlotId::Vault, SlotId::Tenant(tenant()), SlotId::Subject(tenant(), Tag::from_bytes([3; 16]))];
    let mut wrong = 0;
    for (own, event) in one_of_each() {
        for about in &abouts {
            let entry = JournalEntry::unsealed(at(0), about.clone(), event.clone());
            let is_right = std::mem::discriminant(about) == std::mem::discriminant(&own)
                || matches!((&event, about), (JournalEvent::RootCreated { .. }, SlotId::Vault | SlotId::Tenant(_)));
            assert_eq!(entry.check_bounds().is_ok(), is_right, "{entry:?}");
            assert_eq!(JournalEntry::from_bytes(&entry.to_bytes()).is_ok(), is_right, "{entry:?}");
            wrong += usize::from(!is_right);
        }
    }
    assert_eq!(wrong, 2 * one_of_each().len() - 2, "a root is the vault's or a tenant's");
}

#[test]
fn what_would_be_read_as_another_entry_is_refused() {
    for event in [
        JournalEvent::Unknown { number: 0, bytes: vec![] },
        JournalEvent::Unknown { number: 17, bytes: vec![] },
        JournalEvent::LaterVersion { version: 0, bytes: vec![] },
        JournalEvent::LaterVersion { version: 1, bytes: vec![17] },
        JournalEvent::IndexEpochOpened { index_epoch: 0 },
        JournalEvent::Unknown { number: 200, bytes: vec![0; JournalEntry::MAX_LEN] },
    ] {
        assert!(JournalEntry::store_wide(at(0), event).check_bounds().is_err());
    }
}

#[test]
fn the_longest_entry_fits_and_lines_out_of_order_do_not_read() {
    let line = |n: usize, line| ErasedLine::new(purpose(&format!("{n:04}").repeat(256)), line);
    let entry = |lines| {
        let event = JournalEvent::ErasureIntended { whole: true, known: true, lines };
        JournalEntry::of_subject(at(0), TenantId::new("t".repeat(1024)).unwrap(), Tag::from_bytes([3; 16]), event)
    };
    let longest = entry((0..MAX_LINES).map(|n| line(n, 1)).collect()).to_bytes();
    assert!(longest.len() <= JournalEntry::MAX_LEN && JournalEntry::from_bytes(&longest).is_ok());
    for lines in [
        vec![],
        vec![line(1, 0)],
        vec![line(1, 1), line(1, 2)],
        vec![line(2, 1), line(1, 1)],
        (0..=MAX_LINES).map(|n| line(n, 1)).collect(),
    ] {
        assert!(JournalEntry::from_bytes(&entry(lines).to_bytes()).is_err());
    }
}
