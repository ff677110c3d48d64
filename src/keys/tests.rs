//! What no secret of this crate implements. The public ones are held to it by `tests/it/leaks/mod.rs`.

use std::fmt::Display;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use static_assertions::assert_not_impl_any;

use crate::crypto::aead::Cipher;
use crate::crypto::buf::WipingBuf;
use crate::crypto::kdf::Prk;
use crate::keys::ring::KeyRing;
use crate::keys::{JournalKey, KeyMaterial, RootKey, UsableKey};

macro_rules! secret {
    ($($secret:ty)*) => {$(
        assert_not_impl_any!(
            $secret: Clone, Copy, Display, PartialEq, PartialOrd, Deref, AsRef<[u8]>, Serialize, Deserialize<'static>
        );
    )*};
}
secret!(Cipher JournalKey KeyRing Prk RootKey UsableKey WipingBuf);

#[test]
fn debug_of_a_secret_is_its_name() {
    let material = KeyMaterial::from_slice(&[0xA7; 32]).unwrap();
    let mut buf = WipingBuf::with_capacity(3);
    buf.put(b"ada").unwrap();
    let shown = format!(
        "{:?} {:?} {:?} {:?} {buf:?}",
        UsableKey::derive(&material),
        RootKey::derive(&material),
        RootKey::derive(&material).journal_key(),
        Prk::new(material.expose())
    );
    assert_eq!(shown, "UsableKey(..) RootKey(..) JournalKey(..) Prk(..) WipingBuf(..)");
    let cipher = Cipher::new(crate::Suite::default(), material.expose(), &[0x5A; 24]);
    assert_eq!(format!("{cipher:?}"), "Cipher { suite: Xaes256Gcm, .. }");
}

#[test]
fn another_program_makes_the_same_macs_of_entries() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/slots.json")).unwrap();
    let unhex = |text: &serde_json::Value| crate::crypto::vectors::hex(text.as_str().unwrap());
    let key = RootKey::derive(&KeyMaterial::from_slice(&unhex(&file["root"])).unwrap()).journal_key();
    let (mut before, entries) = ([0; 32], file["journal"].as_array().unwrap());
    assert!(!entries.is_empty());
    for (position, vector) in (1..).zip(entries) {
        let bytes = unhex(&vector["entry"]);
        let (entry, mac) = bytes.split_last_chunk().unwrap();
        assert_eq!(&key.mac(&before, position, entry), mac);
        assert_ne!(&key.mac(&before, position + 1, entry), mac);
        let hash = crate::crypto::mac::sha256(&[&crate::envelope::context::encode("journal", &[&before, &bytes])]);
        assert_eq!(hash[..], unhex(&vector["head"]));
        before = hash;
    }
}
