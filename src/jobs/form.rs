//! How a cell holds a sealed value, and what a value is in the clear: [`Form`] and [`ValueType`].

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::uuid::uuid_bytes;
use crate::envelope::frame::Frame;
use crate::envelope::text;
use crate::error::{Error, Result};
use crate::rows::Cell;
use crate::value::plaintext::frame_of;

/// How a column holds envelopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As their bytes: `BLOB`, `BYTEA`.
    #[default]
    Bytes,
    /// In the text form: `TEXT`, `fs1.` and base64url.
    Text,
}

impl Form {
    /// The envelope in a cell that isn't NULL; it is not looked at yet.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::UnknownFormat`] if the cell holds no envelope in this form.
    pub(super) fn read(self, cell: &Cell) -> Result<Cow<'_, [u8]>> {
        match (self, cell) {
            (Self::Bytes, Cell::Bytes(bytes)) => Ok(Cow::Borrowed(bytes.as_slice())),
            (Self::Text, Cell::Text(text)) => text::decode(text).map(Cow::Owned),
            _ => Err(Error::Malformed),
        }
    }

    pub(super) fn write(self, envelope: Vec<u8>) -> Cell {
        match self {
            Self::Bytes => Cell::bytes(envelope),
            Self::Text => Cell::text(text::encode(&envelope)),
        }
    }
}

/// What a field's values are, as `Plaintext` of the application's type has it: needed where a value is sealed from a column
/// in the clear, or shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueType {
    /// `String`.
    #[default]
    Text,
    /// `Vec<u8>`, arrays of bytes.
    Bytes,
    /// `bool`; 0 and 1 in the clear are taken for it.
    Bool,
    /// Integers of any width.
    Integer,
    /// `f64`.
    Float,
    /// A date: `YYYY-MM-DD`.
    Date,
    /// A moment: RFC 3339 in UTC (`2026-11-24T20:33:02.5Z`; without an offset it is taken for UTC).
    Instant,
    /// `Uuid`, as 16 bytes or text.
    Uuid,
    /// A decimal number, as text.
    Decimal,
    /// `AsJson<T>`.
    Json,
}

impl ValueType {
    /// A plaintext cell as a framed value, padded.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the cell holds something else.
    pub(super) fn frame(self, cell: &Cell, pad: usize) -> Result<Frame> {
        match (self, cell) {
            (Self::Text | Self::Json, Cell::Text(text)) => frame_of::<String>(text, pad),
            (Self::Decimal, Cell::Text(text)) if is_decimal(text) => frame_of::<String>(text, pad),
            (Self::Decimal, Cell::Integer(n)) => frame_of(&*Zeroizing::new(n.to_string()), pad),
            (Self::Date, Cell::Text(text)) if is_date(text.as_bytes()) => frame_of::<String>(text, pad),
            (Self::Instant, Cell::Text(text)) => {
                frame_of(&*Zeroizing::new(instant(text).ok_or_else(|| self.other())?), pad)
            }
            (Self::Bytes, Cell::Bytes(bytes)) => frame_of::<Vec<u8>>(bytes, pad),
            (Self::Bool, Cell::Bool(b)) => frame_of(b, pad),
            (Self::Bool, Cell::Integer(n @ (0 | 1))) => frame_of(&(*n == 1), pad),
            (Self::Integer, Cell::Integer(n)) => frame_of(n, pad),
            (Self::Float, Cell::Real(n)) => frame_of(n, pad),
            (Self::Float, Cell::Integer(n)) if exact(*n).is_some() => frame_of(&exact(*n).unwrap_or_default(), pad),
            (Self::Uuid, Cell::Bytes(bytes)) => {
                let bytes: &[u8; 16] = bytes.as_slice().try_into().map_err(|_| self.other())?;
                frame_of(bytes, pad)
            }
            (Self::Uuid, Cell::Text(text)) => frame_of(&uuid_bytes(text).ok_or_else(|| self.other())?, pad),
            _ => Err(self.other()),
        }
    }

    fn other(self) -> Error {
        let what = match self {
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Bool => "a truth value",
            Self::Integer => "an integer",
            Self::Float => "a number in floating point",
            Self::Date => "a date, YYYY-MM-DD",
            Self::Instant => "a moment, as in 2026-11-24T20:33:02.5Z",
            Self::Uuid => "a UUID",
            Self::Decimal => "a decimal number",
            Self::Json => "JSON as text",
        };
        Error::invalid(format!("the plaintext is not {what}"))
    }
}

/// Only what is the same number: SQLite stores a whole one in a column of floating point as an integer.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "it is looked whether it comes back")]
fn exact(n: i64) -> Option<f64> {
    let float = n as f64;
    (float as i128 == i128::from(n)).then_some(float)
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// `YYYY-MM-DD`, of a month and a day that can be.
fn is_date(text: &[u8]) -> bool {
    let [_, _, _, _, b'-', m1, m0, b'-', d1, d0] = text else { return false };
    let digits = text.iter().enumerate().all(|(at, b)| matches!(at, 4 | 7) || b.is_ascii_digit());
    let month = (m1.wrapping_sub(b'0')).wrapping_mul(10).wrapping_add(m0.wrapping_sub(b'0'));
    let day = (d1.wrapping_sub(b'0')).wrapping_mul(10).wrapping_add(d0.wrapping_sub(b'0'));
    digits && (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// RFC 3339 in UTC with nine decimals, as `docs/format.md` has it; of `2026-11-24 20:33:02`, `..T20:33:02.5Z`, `..+00`.
fn instant(text: &str) -> Option<String> {
    let utc = ["Z", "z", "+00:00", "-00:00", "+00"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    let (date, time) = utc.split_at_checked(10)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [h1, h0, b':', m1, m0, b':', s1, s0] = whole.as_bytes() else { return None };
    let below = |tens: &u8, ones: &u8, limit: u8| {
        tens.is_ascii_digit() && ones.is_ascii_digit() && (tens - b'0') * 10 + (ones - b'0') < limit
    };
    let sound = is_date(date.as_bytes())
        && below(h1, h0, 24)
        && below(m1, m0, 60)
        && below(s1, s0, 60)
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| format!("{date}T{whole}.{fraction:0<9}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(ty: ValueType, cell: &Cell) -> Option<Vec<u8>> {
        let buf = ty.frame(cell, 0).ok()?.finish().ok()?;
        let framed = buf.as_slice().get(crate::envelope::header::HEADER_LEN..)?;
        framed.strip_suffix(b"\x80").map(<[u8]>::to_vec)
    }

    #[test]
    fn a_plaintext_cell_becomes_what_the_applications_type_becomes() {
        let text = |t: &str| Cell::text(t);
        for (ty, cell, bytes) in [
            (ValueType::Text, text("Ada"), b"Ada".to_vec()),
            (ValueType::Bytes, Cell::bytes([1, 0, 128]), vec![1, 0, 128]),
            (ValueType::Bool, Cell::Bool(true), vec![1]),
            (ValueType::Bool, Cell::Integer(0), vec![0]),
            (ValueType::Integer, Cell::Integer(-2), (-2i128).to_be_bytes().to_vec()),
            (ValueType::Float, Cell::Real(1.5), 1.5f64.to_bits().to_be_bytes().to_vec()),
            (ValueType::Float, Cell::Integer(2), 2f64.to_bits().to_be_bytes().to_vec()),
            (ValueType::Date, text("1815-12-10"), b"1815-12-10".to_vec()),
            (ValueType::Instant, text("2026-11-24 20:33:02"), b"2026-11-24T20:33:02.000000000Z".to_vec()),
            (ValueType::Instant, text("2026-11-24T20:33:02.25+00"), b"2026-11-24T20:33:02.250000000Z".to_vec()),
            (
                ValueType::Uuid,
                text("67e55044-10b1-426f-9247-bb680e5fe0c8"),
                vec![0x67, 0xe5, 0x50, 0x44, 0x10, 0xb1, 0x42, 0x6f, 0x92, 0x47, 0xbb, 0x68, 0x0e, 0x5f, 0xe0, 0xc8],
            ),
            (ValueType::Decimal, text("-12.50"), b"-12.50".to_vec()),
            (ValueType::Decimal, Cell::Integer(7), b"7".to_vec()),
            (ValueType::Json, text("[1, 2]"), b"[1, 2]".to_vec()),
        ] {
            assert_eq!(framed(ty, &cell), Some(bytes), "{ty:?}");
        }
    }

    #[test]
    fn a_cell_of_another_type_is_refused_without_being_quoted() {
        for (ty, cell) in [
            (ValueType::Text, Cell::Integer(1)),
            (ValueType::Bool, Cell::Integer(2)),
            (ValueType::Integer, Cell::text("seventeen")),
            (ValueType::Float, Cell::Integer(i64::MAX)),
            (ValueType::Date, Cell::text("10.12.1815")),
            (ValueType::Date, Cell::text("1815-13-10")),
            (ValueType::Date, Cell::text("1815-1a-10")),
            (ValueType::Instant, Cell::text("2026-11-24T20:33:02+01:00")),
            (ValueType::Instant, Cell::text("2026-11-24T24:00:00Z")),
            (ValueType::Instant, Cell::text("2026-11-24T20:33:02.Z")),
            (ValueType::Uuid, Cell::text("no uuid")),
            (ValueType::Uuid, Cell::bytes([1; 15])),
            (ValueType::Decimal, Cell::text("1e5")),
            (ValueType::Decimal, Cell::text(".5")),
            (ValueType::Text, Cell::Null),
        ] {
            let error = ty.frame(&cell, 0).err().unwrap();
            assert!(matches!(error, Error::InvalidInput(_)), "{ty:?}");
            assert!(!error.to_string().contains("1815-1") && !error.to_string().contains("seventeen"));
        }
    }
}
