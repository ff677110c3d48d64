//! [`Plaintext`] for the types of the standard library.

use zeroize::Zeroize as _;

use super::{Decoder, Encoder, Plaintext};
use crate::error::{Error, Result};

impl Plaintext for String {
    fn encoded_len(&self) -> Result<usize> {
        Ok(self.len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self.as_bytes())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        Self::from_utf8(value.into_vec()?).map_err(|e| {
            e.into_bytes().zeroize();
            Error::Malformed
        })
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Plaintext for Vec<u8> {
    fn encoded_len(&self) -> Result<usize> {
        Ok(self.len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        value.into_vec()
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl<const N: usize> Plaintext for [u8; N] {
    fn encoded_len(&self) -> Result<usize> {
        Ok(N)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        value.array()
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Plaintext for bool {
    fn encoded_len(&self) -> Result<usize> {
        Ok(1)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(&[u8::from(*self)])
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        match value.bytes()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Error::Malformed),
        }
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

impl Plaintext for f64 {
    fn encoded_len(&self) -> Result<usize> {
        Ok(8)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(&self.to_bits().to_be_bytes())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        value.array().map(|bits| Self::from_bits(u64::from_be_bytes(bits)))
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl Plaintext for $int {
            fn encoded_len(&self) -> Result<usize> {
                Ok(16)
            }

            fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
                let wide = i128::try_from(*self).map_err(|_| Error::invalid("an integer above i128::MAX can't be sealed"))?;
                out.put(&wide.to_be_bytes())
            }

            fn decode(value: Decoder<'_>) -> Result<Self> {
                Self::try_from(i128::from_be_bytes(value.array()?)).map_err(|_| Error::Malformed)
            }

            fn wipe(&mut self) {
                self.zeroize();
            }
        }
    )*};
}
// Not usize and isize: their range is the machine's, not the data's.
integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);

/// None is sealed like a value: whether there is one can't be told from outside, except by the length.
impl<T: Plaintext> Plaintext for Option<T> {
    const NULLABLE: bool = {
        assert!(!T::NULLABLE, "Option<Option<T>> can't be sealed: its two nones would be one");
        true
    };

    fn encoded_len(&self) -> Result<usize> {
        self.as_ref().map_or(Ok(0), T::encoded_len)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        const { assert!(Self::NULLABLE) };
        match self {
            Some(value) => value.encode(out),
            None => {
                out.put_none();
                Ok(())
            }
        }
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        if value.is_none() { Ok(None) } else { T::decode(value).map(Some) }
    }

    fn wipe(&mut self) {
        if let Some(value) = self {
            value.wipe();
        }
    }
}
