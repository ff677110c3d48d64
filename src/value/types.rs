//! [`Plaintext`] for the types of the standard library; `Vec` is in `list`.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr}; // addresses alone: no layer below does I/O
use std::str::FromStr;

use zeroize::Zeroize as _;

use super::list::ListCodec;
use super::plaintext::{display_len, overwrite};
use super::shape::Shape;
use super::{Decoder, Encoder, Plaintext};
use crate::error::{Error, Result};
use crate::kind::Kind;

impl Plaintext for String {
    const KIND: Kind = Kind::Text;

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

impl<const N: usize> Plaintext for [u8; N] {
    const KIND: Kind = Kind::Bytes;

    fn shape() -> Shape {
        Shape::bytes(N)
    }

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
    const KIND: Kind = Kind::Bool;

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
    const KIND: Kind = Kind::F64;

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

/// Sealed as the `f64` of the same value, so a field may become one. An `f64` that is no `f32` is malformed here: nothing is
/// rounded.
impl Plaintext for f32 {
    const KIND: Kind = Kind::F64;

    fn shape() -> Shape {
        Shape::of("f32")
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(8)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(&widened(*self).to_be_bytes())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        let bits = u64::from_be_bytes(value.array()?);
        Some(narrowed(bits)).filter(|number| widened(*number) == bits).ok_or(Error::Malformed)
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

/// The bits of the `f64` of the same value. A NaN is widened by its bits: what a conversion makes of its payload is the
/// machine's business.
fn widened(number: f32) -> u64 {
    if number.is_nan() {
        let bits = u64::from(number.to_bits());
        (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7F_FFFF) << 29
    } else {
        f64::from(number).to_bits()
    }
}

/// The `f32` that [`widens`](widened) to these bits, if there is one; else any other.
#[expect(clippy::cast_possible_truncation, reason = "the caller looks whether it comes back")]
fn narrowed(bits: u64) -> f32 {
    let number = f64::from_bits(bits);
    if number.is_nan() {
        let (sign, fraction) = ((bits >> 63) as u32, (bits >> 29) as u32 & 0x7F_FFFF);
        f32::from_bits(sign << 31 | 0x7F80_0000 | fraction)
    } else {
        number as f32
    }
}

macro_rules! integers {
    ($($int:ty $({ $($also:tt)* })?)*) => {$(
        impl Plaintext for $int {
            const KIND: Kind = Kind::Int;

            $($($also)*)?

            fn shape() -> Shape {
                Shape::of(stringify!($int))
            }

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
integers!(i8 i16 i32 i64 i128 u8 { const LIST: ListCodec<Self> = ListCodec::BYTES; } u16 u32 u64 u128);

macro_rules! addresses {
    ($($address:ty = $blank:expr;)*) => {$(
        /// Text, as it is usually written: databases hold addresses so, and a `String` and an address are one value. Its
        /// length shows: pad the field.
        impl Plaintext for $address {
            const KIND: Kind = Kind::Text;

            fn shape() -> Shape {
                Shape::of(stringify!($address))
            }

            fn encoded_len(&self) -> Result<usize> {
                Ok(display_len(self))
            }

            fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
                out.put_display(self)
            }

            fn decode(value: Decoder<'_>) -> Result<Self> {
                let text = std::str::from_utf8(value.bytes()?).map_err(|_| Error::Malformed)?;
                Self::from_str(text).map_err(|_| Error::Malformed)
            }

            fn wipe(&mut self) {
                overwrite(self, $blank);
            }
        }
    )*};
}
addresses! {
    IpAddr = Self::V6(Ipv6Addr::UNSPECIFIED);
    Ipv4Addr = Self::UNSPECIFIED;
    Ipv6Addr = Self::UNSPECIFIED;
}

/// None is sealed like a value: whether there is one can't be told from outside, except by the length.
impl<T: Plaintext> Plaintext for Option<T> {
    const KIND: Kind = T::KIND;

    const NULLABLE: bool = {
        assert!(!T::NULLABLE, "Option<Option<T>> can't be sealed: its two nones would be one");
        true
    };

    fn shape() -> Shape {
        T::shape().within("Option")
    }

    fn reads(found: Kind) -> bool {
        T::reads(found)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Those whose bits are near those of a boundary, and a share of all others.
    #[test]
    fn every_f32_comes_back_and_no_other_f64_reads_as_one() {
        let boundaries = [0, 0x0080_0000, 0x3F80_0000, 0x7F7F_FFFF, 0x7F80_0000, 0x7FC0_0000, 0x7FFF_FFFF];
        let near = boundaries.into_iter().flat_map(|at: u32| at.saturating_sub(300)..=(at + 300).min(0x7FFF_FFFF));
        let share = (0..0x7FFF_FFFFu32).step_by(40_009);
        for bits in near.chain(share).flat_map(|bits| [bits, bits | 0x8000_0000]) {
            let number = f32::from_bits(bits);
            let wide = widened(number);
            assert_eq!(narrowed(wide).to_bits(), bits, "{bits:08x}");
            if !number.is_nan() {
                assert_eq!(wide, f64::from(number).to_bits(), "{bits:08x}");
            }
            for lost in [0, 1, 14, 28] {
                let other = wide ^ 1 << lost;
                assert_ne!(widened(narrowed(other)), other, "{bits:08x}");
            }
        }
    }
}
