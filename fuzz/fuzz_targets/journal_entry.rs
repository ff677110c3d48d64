//! Journal entries, those of later versions too: there is one encoding of each.
#![no_main]

use fieldseal::journal::JournalEntry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(entry) = JournalEntry::from_bytes(bytes) {
        assert!(bytes.len() <= JournalEntry::MAX_LEN);
        assert_eq!(entry.to_bytes(), bytes, "one entry, one encoding");
        assert!(entry.check_bounds().is_ok(), "what is read can be appended");
    }
});
