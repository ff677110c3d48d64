//! Suite byte, key id and nonce: what stands in clear before the ciphertext.

use std::fmt;

use crate::crypto::{Suite, mac};
use crate::envelope::MAX_FRAME_LEN;
use crate::error::{Error, Result};

/// 24 bytes derived from a key: they name it and commit to it. Public, but they join the rows of one person.
#[derive(Clone, Copy, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// Its length in bytes.
    pub const LEN: usize = 24;

    /// The id that these bytes are.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Compares in constant time, a word at a time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let words = |id: &Self| -> [u64; 3] {
            let mut chunks = id.0.as_chunks().0.iter();
            std::array::from_fn(|_| chunks.next().map_or(0, |chunk| u64::from_ne_bytes(*chunk)))
        };
        mac::equal_words(&words(self), &words(other))
    }
}

/// Opaque: a key id stands for a person.
impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyId(..)")
    }
}

pub(crate) type Nonce = [u8; NONCE_LEN];

pub(crate) const NONCE_LEN: usize = 24;
pub(crate) const TAG_LEN: usize = 16;
/// Suite byte, key id, nonce.
pub(crate) const HEADER_LEN: usize = 1 + KeyId::LEN + NONCE_LEN;

/// An envelope taken apart; its header is known to be well formed, nothing is authenticated yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) suite: Suite,
    pub(crate) key_id: KeyId,
    pub(crate) nonce: &'a Nonce,
    pub(crate) ciphertext: &'a [u8],
    pub(crate) tag: &'a [u8; TAG_LEN],
}

impl<'a> Envelope<'a> {
    /// Steps 2 to 4 of section 8.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (&first, rest) = bytes.split_first().ok_or_else(|| Error::Malformed)?;
        let suite = match first {
            0xF8..=0xFF => Suite::of(first).ok_or_else(|| Error::UnknownFormat)?,
            _ => return Err(Error::Malformed),
        };
        let (key_id, rest) = rest.split_first_chunk().ok_or_else(|| Error::Malformed)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or_else(|| Error::Malformed)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(|| Error::Malformed)?;
        if ciphertext.is_empty() || ciphertext.len() > MAX_FRAME_LEN {
            return Err(Error::Malformed);
        }
        Ok(Self { suite, key_id: KeyId(*key_id), nonce, ciphertext, tag })
    }
}
