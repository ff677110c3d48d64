//! A wrapped key unwraps in its place, under its key, and nowhere else.

use super::*;

const SUBJECT: Tag = Tag::from_bytes([9; 16]);

fn key(byte: u8) -> KeyMaterial {
    KeyMaterial::from_slice(&[byte; 32]).unwrap()
}

fn kek(byte: u8) -> UsableKey {
    UsableKey::derive(&key(byte))
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Like [`Error`], to compare.
fn outcome<T>(unwrapped: Result<T>) -> &'static str {
    match unwrapped {
        Ok(_) => "unwrapped",
        Err(Error::Authentication) => "authentication",
        Err(Error::Malformed) => "malformed",
        Err(Error::UnknownFormat) => "unknown format",
        Err(e) => panic!("{e:?}"),
    }
}

#[test]
fn a_data_key_unwraps_in_its_place_and_in_no_other() {
    let (acme, other_tenant) = (tenant("acme"), tenant("acme2"));
    let (purpose, other_purpose) = (Purpose::new("default").unwrap(), Purpose::new("billing").unwrap());
    let other_tag = Tag::from_bytes([8; 16]);
    let place = DataKeyPlace { tenant: &acme, tag: &SUBJECT, purpose: &purpose, line: 2, version: 3 };
    let (id, other_id) = (key(1).id(), key(2).id());
    for suite in Suite::ALL {
        let wrapped = wrap_data_key(&kek(7), suite, &place, &key(1), &id).unwrap();
        let unwrapped = unwrap_data_key(&kek(7), &place, &id, &wrapped).unwrap();
        assert_eq!(unwrapped.id(), &id);
        assert_eq!(unwrapped.cipher_key(suite), kek(1).cipher_key(suite));
        assert_ne!(wrap_data_key(&kek(7), suite, &place, &key(1), &id).unwrap(), wrapped, "each draws a nonce");

        for elsewhere in [
            DataKeyPlace { tenant: &other_tenant, ..place },
            DataKeyPlace { tag: &other_tag, ..place },
            DataKeyPlace { purpose: &other_purpose, ..place },
            DataKeyPlace { line: 3, ..place },
            DataKeyPlace { version: 2, ..place },
            DataKeyPlace { line: 3, version: 2, ..place },
        ] {
            assert_eq!(outcome(unwrap_data_key(&kek(7), &elsewhere, &id, &wrapped)), "authentication");
        }
        assert_eq!(outcome(unwrap_data_key(&kek(7), &place, &other_id, &wrapped)), "authentication");
        assert_eq!(outcome(unwrap_data_key(&kek(6), &place, &id, &wrapped)), "authentication");
        // Naming the other epoch key doesn't help.
        let mut relabeled = wrapped;
        relabeled[1..25].copy_from_slice(kek(6).id().as_bytes());
        for byte in [6, 7] {
            assert_eq!(outcome(unwrap_data_key(&kek(byte), &place, &id, &relabeled)), "authentication");
        }
    }
}

#[test]
fn a_key_of_another_id_than_its_context_names_is_refused() {
    let (acme, purpose) = (tenant("acme"), Purpose::new("default").unwrap());
    let place = DataKeyPlace { tenant: &acme, tag: &SUBJECT, purpose: &purpose, line: 1, version: 1 };
    // Whoever holds the epoch key can make it; it is authentic, and still not the key that the slot names.
    let wrapped = wrap_data_key(&kek(7), Suite::Xaes256Gcm, &place, &key(2), &key(1).id()).unwrap();
    assert!(unwrap_in_envelope(&kek(7), &place.context(&key(1).id()), &wrapped).is_ok());
    for id in [key(1).id(), key(2).id()] {
        assert_eq!(outcome(unwrap_data_key(&kek(7), &place, &id, &wrapped)), "authentication");
    }
}

#[test]
fn a_wrapped_key_with_a_flipped_bit_or_other_length_is_refused() {
    for suite in Suite::ALL {
        let wrapped = wrap_in_envelope(&kek(7), suite, b"context", &key(1)).unwrap();
        assert_eq!(unwrap_in_envelope(&kek(7), b"context", &wrapped).unwrap().expose(), key(1).expose());
        assert_eq!(outcome(unwrap_in_envelope(&kek(7), b"contexu", &wrapped)), "authentication");
        for bit in 0..wrapped.len() * 8 {
            let mut changed = wrapped;
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = match (bit / 8, changed[0]) {
                (1.., _) | (0, 0xF9 | 0xFA) => "authentication",
                (0, 0xF8..) => "unknown format",
                (0, _) => "malformed",
            };
            assert_eq!(outcome(unwrap_in_envelope(&kek(7), b"context", &changed)), expected, "bit {bit}");
        }
        for len in 0..wrapped.len() {
            assert_eq!(outcome(unwrap_in_envelope(&kek(7), b"context", &wrapped[..len])), "malformed", "{len}");
        }
        let longer = [&wrapped[..], &[0]].concat();
        assert_eq!(outcome(unwrap_in_envelope(&kek(7), b"context", &longer)), "malformed");
    }
}

#[test]
fn an_authentic_envelope_that_holds_no_key_is_malformed() {
    let kek = kek(7);
    let seal = |framed: &[u8]| {
        let (suite, nonce, mut framed) = (Suite::Xaes256Gcm, [5; 24], framed.to_vec());
        let tag = Cipher::new(suite, kek.cipher_key(suite), &nonce).encrypt(&nonce, b"context", &mut framed).unwrap();
        [&[suite.byte()], &kek.id().as_bytes()[..], &nonce, &framed, &tag].concat()
    };
    let mut framed = [1; 33];
    framed[32] = 0x80;
    assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "unwrapped");
    for marker in (0..=0xFF).filter(|marker| *marker != 0x80) {
        framed[32] = marker;
        assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "marked {marker:x}");
    }
    framed[31..].copy_from_slice(&[0x80, 0]);
    assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "31 bytes");
    framed[31..].copy_from_slice(&[1, 1]);
    assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "no marker");
    framed = [0; 33];
    framed[0] = 0x81;
    assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "none");
    framed[0] = 0;
    assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "zeros");
    for len in [32, 34] {
        let mut framed = vec![1; len];
        framed[len - 1] = 0x80;
        assert_eq!(outcome(unwrap_in_envelope(&kek, b"context", &seal(&framed))), "malformed", "frame of {len}");
    }
}

#[test]
fn a_provider_is_given_the_context_that_the_format_says() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../../tests/vectors/slots.json")).unwrap();
    let unhex = |text: &serde_json::Value| crate::crypto::vectors::hex(text.as_str().unwrap());
    let key_id = KeyId::from_bytes(unhex(&file["key_id"]).try_into().unwrap());
    let epoch = Epoch::new(2).unwrap();
    let ours = [
        WrapContext::vault_root(epoch, key_id),
        WrapContext::epoch_key(tenant("acme"), epoch, key_id),
        WrapContext::root(tenant("acme"), epoch, key_id),
        WrapContext::index_key(tenant("acme"), epoch, 5, key_id),
    ];
    let theirs = file["contexts"].as_array().unwrap();
    assert_eq!(theirs.len(), ours.len());
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.role().label(), theirs["role"].as_str().unwrap());
        assert_eq!(ours.encode(), unhex(&theirs["context"]), "{}", ours.role().label());
    }
    // No context stands for another, whatever role, tenant, epoch or key it differs in.
    let others = [
        WrapContext::epoch_key(tenant("acme2"), epoch, key_id),
        WrapContext::epoch_key(tenant("acme"), Epoch::FIRST, key_id),
        WrapContext::epoch_key(tenant("acme"), epoch, KeyId::from_bytes([0; 24])),
        WrapContext::index_key(tenant("acme"), epoch, 2, key_id),
        WrapContext::index_key(tenant("acme"), Epoch::new(5).unwrap(), 2, key_id),
    ];
    let all: std::collections::HashSet<_> = ours.iter().chain(&others).map(WrapContext::encode).collect();
    assert_eq!(all.len(), ours.len() + others.len());
}

#[test]
fn what_a_provider_gives_is_bounded() {
    let master = || MasterKeyId::new("k").unwrap();
    assert!(WrappedKey::new(master(), vec![0; 4096]).is_ok());
    assert!(WrappedKey::new(master(), vec![0; 4097]).is_err());
    assert!(WrappedKey::new(master(), vec![]).is_err());
    assert!(MasterKeyId::new("x".repeat(1024)).is_ok());
    assert!(MasterKeyId::new("x".repeat(1025)).is_err());
    assert!(MasterKeyId::new("").is_err());
    assert!(KeyMaterial::from_slice(&[0; 31]).is_err() && KeyMaterial::from_slice(&[0; 33]).is_err());
}

#[test]
fn several_master_keys_have_one_name_that_says_which() {
    let id = |text: &str| MasterKeyId::new(text).unwrap();
    let members = [id("a"), id("arn:aws:kms:eu-central-1:1:key/2"), id("12:x"), id("\u{e9}")];
    let set = MasterKeyId::any_of(&members).unwrap();
    assert_eq!(set.as_str(), "any-of:4:12:x1:a32:arn:aws:kms:eu-central-1:1:key/22:\u{e9}");
    assert_eq!(set.members().unwrap(), [id("12:x"), id("a"), members[1].clone(), id("\u{e9}")]);
    let backwards = MasterKeyId::any_of(members.iter().rev()).unwrap();
    assert_eq!(backwards, set, "whatever the order");
    for alone in [
        "any-of:",
        "any-of:1:a",
        "any-of:1:b1:a",
        "any-of:1:a1:",
        "any-of:01:a1:b",
        "any-of:1:a1:b1",
        "any-of:+1:a1:b",
        "any-of:1:a1:a",
    ] {
        assert_eq!(id(alone).members(), None, "{alone}");
    }
    assert!(MasterKeyId::any_of(&[id("a")]).is_err(), "one");
    assert!(MasterKeyId::any_of(&[id("a"), id("a")]).is_err(), "the same twice");
    assert!(MasterKeyId::any_of(&[set.clone(), id("b")]).is_err(), "a part with parts");
    assert!(MasterKeyId::any_of(&[id(&"x".repeat(600)), id(&"y".repeat(600))]).is_err(), "too long");
    let other = MasterKeyId::any_of(&[id("b"), id("a")]).unwrap();
    for (one, other, shares) in
        [(&set, &other, true), (&set, &id("a"), true), (&id("b"), &set, false), (&other, &other, true)]
    {
        assert_eq!(one.shares_with(other), shares, "{one} {other}");
        assert_eq!(other.shares_with(one), shares, "{one} {other}");
    }
}
