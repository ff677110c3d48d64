//! How a cell holds a sealed value, and what a value is in the clear: [`Form`] and [`ValueType`].

use std::borrow::Cow;
use std::net::IpAddr;

use zeroize::Zeroizing;

#[cfg(feature = "serde")]
use super::json::is_json;
use super::uuid::uuid_bytes;
use crate::envelope::frame::Frame;
use crate::envelope::text;
use crate::error::{Error, Result};
use crate::kind::Kind;
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
/// in the clear. What is sealed says itself what it is, but for a list, which is sealed as bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueType {
    /// `String`, and plain enums.
    #[default]
    Text,
    /// `Vec<u8>`, arrays of bytes.
    Bytes,
    /// `bool`; 0 and 1 in the clear are taken for it.
    Bool,
    /// Integers of any width.
    Integer,
    /// `f64`, `f32`.
    Float,
    /// A date: `YYYY-MM-DD`.
    Date,
    /// A moment: RFC 3339 in UTC (`2026-11-24T20:33:02.5Z`; without an offset it is taken for UTC).
    Instant,
    /// A date and time of day in no zone: `2026-11-24T20:33:02.5`.
    LocalDateTime,
    /// A time of day: `20:33:02.5`.
    Time,
    /// `Uuid`, as 16 bytes or text.
    Uuid,
    /// A decimal number, as text.
    Decimal,
    /// `AsJson<T>`: a JSON text, which is sealed as it is. To adopt it takes the feature `serde`, as `AsJson` does.
    Json,
    /// `IpAddr`, `Ipv4Addr`, `Ipv6Addr`, as text; sealed as it is usually written. That all of it is network (`/32`, `/128`)
    /// may be said and is left out.
    Ip,
    /// A `Vec` of anything but bytes. It is revealed item by item, and never adopted: no cell holds one in the clear.
    List,
}

impl ValueType {
    /// A plaintext cell as a framed value, padded.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the cell holds something else.
    pub(super) fn frame(self, cell: &Cell, pad: usize) -> Result<Frame> {
        let text = |text: &str, kind| Frame::of(text.as_bytes(), pad, kind);
        let made = |made: Option<String>, kind| text(&Zeroizing::new(made.ok_or_else(|| self.other())?), kind);
        match (self, cell) {
            (Self::Text, Cell::Text(cell)) => text(cell, Kind::Text),
            (Self::Bytes, Cell::Bytes(bytes)) => Frame::of(bytes, pad, Kind::Bytes),
            (Self::Bool, Cell::Bool(b)) => frame_of(b, pad),
            (Self::Bool, Cell::Integer(n @ (0 | 1))) => frame_of(&(*n == 1), pad),
            (Self::Integer, Cell::Integer(n)) => frame_of(n, pad),
            (Self::Float, Cell::Real(n)) => frame_of(n, pad),
            (Self::Float, Cell::Integer(n)) if exact(*n).is_some() => frame_of(&exact(*n).unwrap_or_default(), pad),
            (Self::Date, Cell::Text(cell)) if is_date(cell.as_bytes()) => text(cell, Kind::Date),
            (Self::Instant, Cell::Text(cell)) => made(instant(cell), Kind::Instant),
            (Self::LocalDateTime, Cell::Text(cell)) => made(local(cell), Kind::LocalDatetime),
            (Self::Time, Cell::Text(cell)) => made(time(cell), Kind::Time),
            (Self::Uuid, Cell::Bytes(bytes)) if bytes.len() == 16 => Frame::of(bytes, pad, Kind::Uuid),
            (Self::Uuid, Cell::Text(cell)) => {
                let bytes = Zeroizing::new(uuid_bytes(cell).ok_or_else(|| self.other())?);
                Frame::of(bytes.as_slice(), pad, Kind::Uuid)
            }
            (Self::Decimal, Cell::Text(cell)) if is_decimal(cell) => text(cell, Kind::Decimal),
            (Self::Decimal, Cell::Integer(n)) => made(Some(n.to_string()), Kind::Decimal),
            #[cfg(feature = "serde")]
            (Self::Json, Cell::Text(cell)) if is_json(cell) => text(cell, Kind::Json),
            (Self::Ip, Cell::Text(cell)) => made(address(cell).map(|address| address.to_string()), Kind::Text),
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
            Self::LocalDateTime => "a date and time without a zone, as in 2026-11-24T20:33:02.5",
            Self::Time => "a time of day, as in 20:33:02.5",
            Self::Uuid => "a UUID",
            Self::Decimal => "a decimal number",
            Self::Json if cfg!(feature = "serde") => "JSON as text",
            Self::Json => "read without the feature `serde` of fieldseal: build with it",
            Self::Ip => "an IP address",
            Self::List => "a list, which is never in the clear",
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

/// `YYYY-MM-DD`, of a day that there is.
fn is_date(text: &[u8]) -> bool {
    let [y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0] = text else { return false };
    let (Some(century), Some(year), Some(month), Some(day)) = (two(y3, y2), two(y1, y0), two(m1, m0), two(d1, d0))
    else {
        return false;
    };
    let year = u16::from(century) * 100 + u16::from(year);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    };
    (1..=12).contains(&month) && (1..=days).contains(&day)
}

/// RFC 3339 in UTC with nine decimals, as `docs/format.md` has it; of `2026-11-24 20:33:02`, `..T20:33:02.5Z`, `..+00`.
fn instant(text: &str) -> Option<String> {
    let utc = ["Z", "z", "+00:00", "-00:00", "+00"].iter().find_map(|zone| text.strip_suffix(zone)).unwrap_or(text);
    Some(format!("{}Z", *Zeroizing::new(local(utc)?)))
}

/// A date and a time of day in no zone, with nine decimals; of `2026-11-24 20:33:02`, `..T20:33:02.5`.
fn local(text: &str) -> Option<String> {
    let (date, clock) = text.split_at_checked(10)?;
    let clock = Zeroizing::new(time(clock.strip_prefix(['T', 't', ' '])?)?);
    is_date(date.as_bytes()).then(|| format!("{date}T{}", *clock))
}

/// A time of day with nine decimals; of `20:33:02`, `20:33:02.5`.
fn time(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let [h1, h0, b':', m1, m0, b':', s1, s0] = whole.as_bytes() else { return None };
    let sound = two(h1, h0)? < 24
        && two(m1, m0)? < 60
        && two(s1, s0)? < 60
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|b| b.is_ascii_digit());
    sound.then(|| format!("{whole}.{fraction:0<9}"))
}

fn two(tens: &u8, ones: &u8) -> Option<u8> {
    let digit = |b: &u8| b.is_ascii_digit().then(|| b - b'0');
    Some(digit(tens)? * 10 + digit(ones)?)
}

/// An address, of `192.0.2.1`, `2001:DB8::1`; PostgreSQL writes how much of it is the network behind it.
fn address(text: &str) -> Option<IpAddr> {
    let (address, all) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { "32" } else { "128" };
    all.is_none_or(|all| all == bits).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kind that the marker names, and the value's bytes.
    fn framed(ty: ValueType, cell: &Cell) -> (Kind, Vec<u8>) {
        let buf = ty.frame(cell, 0).unwrap().finish().unwrap();
        let (marker, value) = buf.as_slice()[crate::envelope::header::HEADER_LEN..].split_last().unwrap();
        (Kind::of(*marker).unwrap(), value.to_vec())
    }

    /// What the application's type is sealed as.
    fn sealed_as<T: crate::Plaintext>(value: &T) -> (Kind, Vec<u8>) {
        let buf = frame_of(value, 0).unwrap().finish().unwrap();
        let (marker, value) = buf.as_slice()[crate::envelope::header::HEADER_LEN..].split_last().unwrap();
        (Kind::of(*marker).unwrap(), value.to_vec())
    }

    #[test]
    fn a_plaintext_cell_becomes_what_the_applications_type_becomes() {
        let text = |t: &str| Cell::text(t);
        for (ty, cell, sealed) in [
            (ValueType::Text, text("Ada"), sealed_as(&"Ada".to_owned())),
            (ValueType::Bytes, Cell::bytes([1, 0, 128]), sealed_as(&vec![1u8, 0, 128])),
            (ValueType::Bool, Cell::Bool(true), sealed_as(&true)),
            (ValueType::Bool, Cell::Integer(0), sealed_as(&false)),
            (ValueType::Integer, Cell::Integer(-2), sealed_as(&-2i32)),
            (ValueType::Float, Cell::Real(1.5), sealed_as(&1.5f64)),
            (ValueType::Float, Cell::Real(f64::from(0.1f32)), sealed_as(&0.1f32)),
            (ValueType::Float, Cell::Integer(2), sealed_as(&2f64)),
            (ValueType::Ip, text("2001:DB8:0::1"), sealed_as(&"2001:db8::1".parse::<IpAddr>().unwrap())),
            (ValueType::Ip, text("192.0.2.1/32"), sealed_as(&std::net::Ipv4Addr::new(192, 0, 2, 1))),
            (ValueType::Ip, text("::1/128"), sealed_as(&std::net::Ipv6Addr::LOCALHOST)),
        ] {
            assert_eq!(framed(ty, &cell), sealed, "{ty:?}");
        }
        // Of types that are a feature's.
        for (ty, cell, kind, bytes) in [
            (ValueType::Date, text("1815-12-10"), Kind::Date, &b"1815-12-10"[..]),
            (ValueType::Date, text("2000-02-29"), Kind::Date, b"2000-02-29"),
            (ValueType::Instant, text("2026-11-24 20:33:02"), Kind::Instant, b"2026-11-24T20:33:02.000000000Z"),
            (ValueType::Instant, text("2026-11-24T20:33:02.25+00"), Kind::Instant, b"2026-11-24T20:33:02.250000000Z"),
            (
                ValueType::LocalDateTime,
                text("2026-11-24 20:33:02"),
                Kind::LocalDatetime,
                b"2026-11-24T20:33:02.000000000",
            ),
            (
                ValueType::LocalDateTime,
                text("2026-11-24T20:33:02.25"),
                Kind::LocalDatetime,
                b"2026-11-24T20:33:02.250000000",
            ),
            (ValueType::Time, text("20:33:02.25"), Kind::Time, b"20:33:02.250000000"),
            (
                ValueType::Uuid,
                text("67e55044-10b1-426f-9247-bb680e5fe0c8"),
                Kind::Uuid,
                &[0x67, 0xe5, 0x50, 0x44, 0x10, 0xb1, 0x42, 0x6f, 0x92, 0x47, 0xbb, 0x68, 0x0e, 0x5f, 0xe0, 0xc8],
            ),
            (ValueType::Uuid, Cell::bytes([1; 16]), Kind::Uuid, &[1; 16]),
            (ValueType::Decimal, text("-12.50"), Kind::Decimal, b"-12.50"),
            (ValueType::Decimal, Cell::Integer(7), Kind::Decimal, b"7"),
            (ValueType::Json, text("[1, 2]"), Kind::Json, b"[1, 2]"),
        ] {
            assert_eq!(framed(ty, &cell), (kind, bytes.to_vec()), "{ty:?}");
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
            (ValueType::Date, Cell::text("1900-02-29")),
            (ValueType::Date, Cell::text("1815-11-31")),
            (ValueType::Date, Cell::text("1815-12-10T00:00:00")),
            (ValueType::Instant, Cell::text("2026-11-24T20:33:02+01:00")),
            (ValueType::Instant, Cell::text("2026-11-24T24:00:00Z")),
            (ValueType::Instant, Cell::text("2026-11-24T20:33:02.Z")),
            (ValueType::Instant, Cell::text("2026-02-30T20:33:02Z")),
            (ValueType::LocalDateTime, Cell::text("2026-11-24T20:33:02Z")),
            (ValueType::LocalDateTime, Cell::text("2026-11-24")),
            (ValueType::Time, Cell::text("24:00:00")),
            (ValueType::Time, Cell::text("20:33:60")),
            (ValueType::Time, Cell::text("20:33")),
            (ValueType::Time, Cell::text("20:33:02+00")),
            (ValueType::Ip, Cell::text("192.0.2.0/24")),
            (ValueType::Ip, Cell::text("192.0.2.1/128")),
            (ValueType::Ip, Cell::text("fe80::1%eth0")),
            (ValueType::Ip, Cell::text("localhost")),
            (ValueType::Uuid, Cell::text("no uuid")),
            (ValueType::Uuid, Cell::bytes([1; 15])),
            (ValueType::Decimal, Cell::text("1e5")),
            (ValueType::Decimal, Cell::text(".5")),
            (ValueType::Json, Cell::text("seventeen")),
            (ValueType::Json, Cell::text("")),
            (ValueType::Json, Cell::text("{\"born\": 1815-12-10}")),
            (ValueType::List, Cell::text("[1, 2]")),
            (ValueType::Text, Cell::Null),
        ] {
            let error = ty.frame(&cell, 0).err().unwrap();
            assert!(matches!(error, Error::InvalidInput(_)), "{ty:?}");
            assert!(!error.to_string().contains("1815-1") && !error.to_string().contains("seventeen"));
        }
    }
}
