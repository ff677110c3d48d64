//! The text form of an envelope: what parses is canonical.
#![no_main]

use fieldseal::Sealed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(sealed) = text.parse::<Sealed<String>>() {
        assert_eq!(sealed.to_string(), text, "one envelope, one text");
        assert!(Sealed::from_bytes(sealed.as_bytes()).is_ok_and(|again| again.same_bytes(&sealed)));
    }
});
