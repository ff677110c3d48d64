//! Wrapped data keys: bytes that nobody wrapped never unwrap.
#![no_main]

use fieldseal::envelope::KeyId;
use fieldseal::id::Purpose;
use fieldseal::provider::KeyMaterial;
use fieldseal::store::{SlotId, Tag};
use fieldseal::testing::unwrap_vector;
use fieldseal::{Error, TenantId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let kek = KeyMaterial::from_slice(&[7; 32]).unwrap();
    let slot = SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes([1; 16]));
    let (purpose, key_id) = (Purpose::new("default").unwrap(), KeyId::from_bytes([2; 24]));
    let unwrap = |wrapped: &[u8]| {
        let unwrapped = unwrap_vector(&kek, &slot, &purpose, (1, 1), &key_id, wrapped);
        assert!(matches!(unwrapped, Err(Error::Authentication | Error::Malformed | Error::UnknownFormat)));
    };
    unwrap(bytes);

    // As if it named our wrapping key, so that it is decrypted.
    if bytes.len() >= 25 {
        let mut ours = bytes.to_vec();
        ours[1..25].copy_from_slice(kek.id().as_bytes());
        unwrap(&ours);
    }
});
