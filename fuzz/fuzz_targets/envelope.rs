//! Envelopes: their header, their frame, and opening them. Bytes that nobody sealed never open.
#![no_main]

use fieldseal::provider::KeyMaterial;
use fieldseal::{Error, FieldContext, Sealed};
use libfuzzer_sys::fuzz_target;

const DATA_KEY: [u8; 32] = [7; 32];

fuzz_target!(|bytes: &[u8]| {
    fieldseal::fuzzing::envelope(bytes);
    fieldseal::fuzzing::frame(bytes);

    let keys = fieldseal::fuzzing::keys(&DATA_KEY);
    let context = FieldContext::new("person", "name", &17).unwrap();
    let parsed = Sealed::<String>::from_bytes(bytes);
    let raw = keys.open_bytes(bytes, &context);
    let Ok(sealed) = parsed else {
        assert!(matches!(raw, Err(Error::Malformed | Error::UnknownFormat)), "what has no header is not decrypted");
        return;
    };
    assert_eq!(sealed.as_bytes(), bytes);
    assert!(matches!(keys.open_value(&sealed, &context), Err(Error::Authentication)));

    // As if it named our key, so that it is decrypted.
    let mut ours = bytes.to_vec();
    ours[1..25].copy_from_slice(KeyMaterial::from_slice(&DATA_KEY).unwrap().id().as_bytes());
    assert!(matches!(keys.open_bytes(&ours, &context), Err(Error::Authentication)));
    assert!(matches!(fieldseal::fuzzing::open(&keys, &ours, &context), Err(Error::Authentication)));
});
