//! The text form of section 7: `fs1.` and canonical base64url without padding.

use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::envelope::MAX_FRAME_LEN;
use crate::envelope::header::{HEADER_LEN, TAG_LEN};
use crate::error::{Error, Result};

const PREFIX: &str = "fs1.";
/// What the longest envelope encodes to: nothing longer is worth an allocation.
const MAX_ENCODED_LEN: usize = (HEADER_LEN + MAX_FRAME_LEN + TAG_LEN).div_ceil(3) * 4;

pub(crate) fn encode(envelope: &[u8]) -> String {
    let mut out = String::with_capacity(PREFIX.len() + Base64UrlUnpadded::encoded_len(envelope));
    out.push_str(PREFIX);
    out.push_str(&Base64UrlUnpadded::encode_string(envelope));
    out
}

/// Step 1 of section 8: the bytes, which are still to be taken apart.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>> {
    match text.strip_prefix(PREFIX) {
        Some(encoded) if encoded.len() > MAX_ENCODED_LEN => Err(Error::Malformed),
        Some(encoded) => Base64UrlUnpadded::decode_vec(encoded).map_err(|_| Error::Malformed),
        None => match text.as_bytes() {
            [b'f', b's', b'2'..=b'9', b'.', ..] => Err(Error::UnknownFormat),
            _ => Err(Error::Malformed),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_text_is_read() {
        assert_eq!(decode("fs1.AAE").unwrap(), [0, 1]);
        for text in ["", "fs1", "AAE", "fs1.AAE=", "fs1.AAF", "fs1. AAE", "fs1.AAE\n", "fs1.A", "fs1.+/+/", "FS1.AAE"] {
            assert!(matches!(decode(text), Err(Error::Malformed)), "{text:?}");
        }
        assert!(matches!(decode("fs2.AAE"), Err(Error::UnknownFormat)));
    }
}
