//! Journal files: what is read is what is written, and no tail is two things.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fieldseal::fuzzing::journal_file(bytes));
