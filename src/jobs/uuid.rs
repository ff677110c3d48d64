//! UUIDs, as 16 bytes and as hyphenated text in lower case.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::id::Id;

/// As a record's or subject's id.
///
/// # Errors
/// [`Error::InvalidInput`] if it is the nil UUID.
pub(super) fn uuid_id<'a>(bytes: &[u8; 16]) -> Result<Id<'a>> {
    if *bytes == [0; 16] {
        return Err(Error::invalid("the nil UUID is a placeholder: it names nobody"));
    }
    Id::display(uuid_text(bytes))
}

/// Hyphenated, in lower case.
pub(super) fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What hyphenated text of a UUID stands for, in either case.
pub(super) fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'-').map(hex).collect::<Option<_>>()?;
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let bytes: [u8; 16] = pairs.iter().map(|[high, low]| high << 4 | low).collect::<Vec<_>>().try_into().ok()?;
    uuid_text(&bytes).eq_ignore_ascii_case(text).then_some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok())
}
