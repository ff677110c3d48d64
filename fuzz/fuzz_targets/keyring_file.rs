//! Keyring files: what parses is what is written.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fieldseal::fuzzing::keyring_file(bytes));
