//! Entries for the fuzz targets in `fuzz/` to what isn't public. Compiled under `--cfg fuzzing` alone.
//!
//! Imports `envelope`, `keys`, `provider` and `journal`.

use crate::envelope::frame;
use crate::envelope::header::Envelope;

/// An envelope's header, if these bytes have one, is read whole: its parts are the bytes again.
pub fn envelope(bytes: &[u8]) {
    let Ok(Envelope { suite, key_id, nonce, ciphertext, tag }) = Envelope::parse(bytes) else { return };
    let again = [&[suite.byte()][..], key_id.as_bytes(), nonce, ciphertext, tag].concat();
    assert_eq!(again, bytes, "an envelope is the sum of its parts");
}

/// The bytes as a frame that was authenticated: what is not value and marker is zeros.
pub fn frame(bytes: &[u8]) {
    let (len, marker) = match frame::value_len(bytes) {
        Ok(Some(len)) => (len, 0x80),
        Ok(None) => (0, 0x81),
        Err(_) => return,
    };
    let (found, padding) = bytes.get(len..).and_then(<[u8]>::split_first).expect("a frame has a marker");
    assert!(*found == marker && padding.iter().all(|&b| b == 0), "a frame is value, marker and zeros");
}

/// The bytes of a slot, of the kind that they say, without a key.
pub fn slot(bytes: &[u8]) {
    crate::keys::slot::parse_any(bytes);
}

/// A keyring file, as far as that goes without its check.
pub fn keyring_file(bytes: &[u8]) {
    crate::provider::local::format::parse_for_fuzz(bytes);
}

/// A journal file, its chain included.
pub fn journal_file(bytes: &[u8]) {
    crate::journal::file::format::parse_for_fuzz(bytes);
}

/// The state that a census keeps, without its digest: what is read is written, and read, as the same again.
pub fn census(body: &str) {
    if let Some(census) = crate::jobs::census_of(body) {
        let text = census.to_string();
        assert_eq!(text.parse::<crate::jobs::Census>().ok(), Some(census));
    }
}
