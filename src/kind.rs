//! [`Kind`]: what a value is, by the marker behind it. `docs/format.md`, section 5.
//!
//! Imports nothing.

use std::fmt;

/// What a value is: the marker of its frame says it, so that a value is never read as one of another type.
///
/// [`Plaintext::KIND`](crate::value::Plaintext::KIND) is the kind that a type is sealed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Byte strings, and lists.
    Bytes,
    /// There is no value.
    None,
    /// Text, the names of plain enums, IP addresses.
    Text,
    /// Integers of any width.
    Int,
    /// Truth values.
    Bool,
    /// Numbers in floating point.
    F64,
    /// UUIDs.
    Uuid,
    /// Days of the calendar.
    Date,
    /// Moments, in UTC.
    Instant,
    /// Decimal numbers.
    Decimal,
    /// JSON texts.
    Json,
    /// A day and a time of day, in no zone.
    LocalDatetime,
    /// Times of day.
    Time,
}

impl Kind {
    /// The byte that stands for it.
    pub const fn marker(self) -> u8 {
        match self {
            Self::Bytes => 0x80,
            Self::None => 0x81,
            Self::Text => 0x82,
            Self::Int => 0x83,
            Self::Bool => 0x84,
            Self::F64 => 0x85,
            Self::Uuid => 0x86,
            Self::Date => 0x87,
            Self::Instant => 0x88,
            Self::Decimal => 0x89,
            Self::Json => 0x8A,
            Self::LocalDatetime => 0x8B,
            Self::Time => 0x8C,
        }
    }

    /// The kind that a byte stands for; none for a byte that is no marker, or that of a later version.
    pub const fn of(marker: u8) -> Option<Self> {
        Some(match marker {
            0x80 => Self::Bytes,
            0x81 => Self::None,
            0x82 => Self::Text,
            0x83 => Self::Int,
            0x84 => Self::Bool,
            0x85 => Self::F64,
            0x86 => Self::Uuid,
            0x87 => Self::Date,
            0x88 => Self::Instant,
            0x89 => Self::Decimal,
            0x8A => Self::Json,
            0x8B => Self::LocalDatetime,
            0x8C => Self::Time,
            _ => return None,
        })
    }

    /// Its name in `docs/format.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::None => "none",
            Self::Text => "text",
            Self::Int => "int",
            Self::Bool => "bool",
            Self::F64 => "f64",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Instant => "instant",
            Self::Decimal => "decimal",
            Self::Json => "json",
            Self::LocalDatetime => "local_datetime",
            Self::Time => "time",
        }
    }
}

/// In words.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::None => "none",
            Self::Text => "text",
            Self::Int => "an integer",
            Self::Bool => "a truth value",
            Self::F64 => "a number in floating point",
            Self::Uuid => "a UUID",
            Self::Date => "a date",
            Self::Instant => "a moment",
            Self::Decimal => "a decimal number",
            Self::Json => "JSON",
            Self::LocalDatetime => "a date and time without a zone",
            Self::Time => "a time of day",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_those_of_the_format_and_no_others() {
        let names: Vec<_> = (0..=0xFF).filter_map(|marker| Some((marker, Kind::of(marker)?))).collect();
        assert!(names.iter().all(|(marker, kind)| kind.marker() == *marker));
        let names: Vec<_> = names.iter().map(|(marker, kind)| format!("{marker:x} {}", kind.name())).collect();
        assert_eq!(
            names.join(", "),
            "80 bytes, 81 none, 82 text, 83 int, 84 bool, 85 f64, 86 uuid, 87 date, 88 instant, 89 decimal, 8a json, \
             8b local_datetime, 8c time"
        );
    }
}
