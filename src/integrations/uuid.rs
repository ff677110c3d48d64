//! `uuid`: [`Uuid`] as an id, and as a value of 16 bytes.

use uuid::Uuid;

use super::overwrite;
use crate::error::{Error, Result};
use crate::id::{Id, ToId};
use crate::value::{Decoder, Encoder, Kind, Plaintext};

/// Hyphenated, in lower case.
#[cfg_attr(docsrs, doc(cfg(feature = "uuid")))]
impl ToId for Uuid {
    const FORM: &'static str = "UUID";

    fn to_id(&self) -> Result<Id<'_>> {
        if self.is_nil() {
            return Err(Error::invalid("the nil UUID is a placeholder: seal once the row has its id"));
        }
        Id::display(self.hyphenated())
    }
}

/// 16 bytes. As a value the nil UUID is like any other.
#[cfg_attr(docsrs, doc(cfg(feature = "uuid")))]
impl Plaintext for Uuid {
    const KIND: Kind = Kind::Uuid;

    fn encoded_len(&self) -> Result<usize> {
        Ok(16)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self.as_bytes())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        value.array().map(Self::from_bytes)
    }

    fn wipe(&mut self) {
        overwrite(self, Self::nil());
    }
}
