//! `rust_decimal`: [`Decimal`] as text.

use rust_decimal::Decimal;

use super::overwrite;
use crate::error::{Error, Result};
use crate::value::plaintext::display_len;
use crate::value::{Decoder, Encoder, Kind, Plaintext};

/// Text, `-?[0-9]+(\.[0-9]+)?`; trailing zeros are kept. Its length shows in that of the envelope: pad the field where
/// that says too much.
#[cfg_attr(docsrs, doc(cfg(feature = "rust_decimal")))]
impl Plaintext for Decimal {
    const KIND: Kind = Kind::Decimal;

    fn encoded_len(&self) -> Result<usize> {
        Ok(display_len(self))
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put_display(self)
    }

    /// What a `Decimal` can't hold exactly, because another program wrote it, is malformed: nothing is rounded.
    fn decode(value: Decoder<'_>) -> Result<Self> {
        let text = std::str::from_utf8(value.bytes()?).map_err(|_| Error::Malformed)?;
        if !is_decimal(text) {
            return Err(Error::Malformed);
        }
        Self::from_str_exact(text).map_err(|_| Error::Malformed)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::ZERO);
    }
}

/// The grammar of the format. `rust_decimal` reads more: `+1`, `1_000`, `.5`, and in some versions `1e5`.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(unsigned),
    }
}
