//! What no secret of this crate implements. The public ones are held to it by `tests/it/leaks/mod.rs`.

use std::fmt::Display;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use static_assertions::assert_not_impl_any;

use crate::crypto::aead::Cipher;
use crate::crypto::buf::WipingBuf;
use crate::crypto::kdf::Prk;
use crate::keys::ring::KeyRing;
use crate::keys::{RootKey, UsableKey};

macro_rules! secret {
    ($($secret:ty)*) => {$(
        assert_not_impl_any!(
            $secret: Clone, Copy, Display, PartialEq, PartialOrd, Deref, AsRef<[u8]>, Serialize, Deserialize<'static>
        );
    )*};
}
secret!(Cipher KeyRing Prk RootKey UsableKey WipingBuf);

#[test]
fn debug_of_a_secret_is_its_name() {
    let material = crate::keys::KeyMaterial::from_slice(&[0xA7; 32]).unwrap();
    let mut buf = WipingBuf::with_capacity(3);
    buf.put(b"ada").unwrap();
    let shown = format!(
        "{:?} {:?} {:?} {buf:?}",
        UsableKey::derive(&material),
        RootKey::derive(&material),
        Prk::new(material.expose())
    );
    assert_eq!(shown, "UsableKey(..) RootKey(..) Prk(..) WipingBuf(..)");
    let cipher = Cipher::new(crate::Suite::default(), material.expose(), &[0x5A; 24]);
    assert_eq!(format!("{cipher:?}"), "Cipher { suite: Xaes256Gcm, .. }");
}
