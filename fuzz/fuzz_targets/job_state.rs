//! What a job on tables keeps to go on from: checkpoints, censuses, keys of rows. What is read is written as it was.
#![no_main]

use fieldseal::jobs::Checkpoint;
use fieldseal::rows::RowKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(key) = RowKey::from_bytes(bytes) {
        assert_eq!(key.to_bytes(), bytes);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
    fieldseal::fuzzing::census(text);
});
