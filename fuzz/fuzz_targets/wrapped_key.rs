//! Wrapped data keys: bytes that nobody wrapped never unwrap.
#![no_main]

use fieldseal::Error;
use fieldseal::envelope::KeyId;
use fieldseal::provider::KeyMaterial;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let kek = KeyMaterial::from_slice(&[7; 32]).unwrap();
    let key_id = KeyId::from_bytes([2; 24]);
    let unwrap = |wrapped: &[u8]| {
        let unwrapped = fieldseal::fuzzing::unwrap(&kek, &key_id, wrapped);
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
