//! [`Cell`]: what stands in one column of one row; [`RowKey`]: the cells that name a row.

use std::cmp::Ordering;
use std::fmt;

use zeroize::Zeroizing;

use crate::bytes::{Damaged, Reader, Writer};

/// What stands in one column of one row. Text and bytes are wiped when it is dropped: they may be plaintext.
#[derive(Clone)]
#[expect(clippy::exhaustive_enums, reason = "what SQL databases have in common")]
pub enum Cell {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A number in floating point.
    Real(f64),
    /// Text.
    Text(Zeroizing<String>),
    /// Bytes.
    Bytes(Zeroizing<Vec<u8>>),
}

impl Cell {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Zeroizing::new(text.into()))
    }

    /// Bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Bytes(Zeroizing::new(bytes.into()))
    }

    /// Whether it holds nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Which type it is of, in the order in which types sort.
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Integer(_) => 2,
            Self::Real(_) => 3,
            Self::Text(_) => 4,
            Self::Bytes(_) => 5,
        }
    }

    fn write(&self, w: &mut Writer) {
        w.u8(self.rank());
        match self {
            Self::Null => w,
            Self::Bool(b) => w.u8(u8::from(*b)),
            Self::Integer(n) => w.u64(n.cast_unsigned()),
            Self::Real(n) => w.u64(n.to_bits()),
            Self::Text(text) => put(w, text.as_bytes()),
            Self::Bytes(bytes) => put(w, bytes),
        };
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(match r.u8()? {
            0 => Self::Null,
            1 => Self::Bool(match r.u8()? {
                0 => false,
                1 => true,
                _ => return Err(Damaged),
            }),
            2 => Self::Integer(r.u64()?.cast_signed()),
            3 => Self::Real(f64::from_bits(r.u64()?)),
            4 => Self::text(std::str::from_utf8(take(r)?).map_err(|_| Damaged)?),
            5 => Self::bytes(take(r)?),
            _ => return Err(Damaged),
        })
    }
}

fn put<'w>(w: &'w mut Writer, bytes: &[u8]) -> &'w mut Writer {
    w.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).put(bytes)
}

fn take<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], Damaged> {
    let len = usize::try_from(r.u32()?).map_err(|_| Damaged)?;
    r.slice(len)
}

/// As `IS NOT DISTINCT FROM` has it, but that numbers in floating point are the same if their bits are.
impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cell {}

impl PartialOrd for Cell {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cell {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Real(a), Self::Real(b)) => a.total_cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

/// Its type alone: it may hold plaintext, or an id.
impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool(..)",
            Self::Integer(_) => "Integer(..)",
            Self::Real(_) => "Real(..)",
            Self::Text(_) => "Text(..)",
            Self::Bytes(_) => "Bytes(..)",
        })
    }
}

/// What names a row: the cells of its key columns, in their order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey(Vec<Cell>);

impl RowKey {
    /// The key of these cells.
    pub fn new(cells: Vec<Cell>) -> Self {
        Self(cells)
    }

    /// The cells.
    pub fn cells(&self) -> &[Cell] {
        &self.0
    }

    /// Whether it names a row: NULL names none.
    pub fn names_a_row(&self) -> bool {
        !self.0.iter().any(Cell::is_null)
    }

    /// Bytes that [`from_bytes`](Self::from_bytes) reads, the same for the same key: for a checkpoint.
    ///
    /// # Security
    /// They hold the key as it is, which may be personal data.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        self.0.iter().for_each(|cell| cell.write(&mut w));
        w.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; none if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader::new(bytes);
        let mut cells = Vec::new();
        while !r.is_empty() {
            cells.push(Cell::read(&mut r).ok()?);
        }
        Some(Self(cells))
    }
}

/// Opaque: a row's key may be a person's id.
impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Null),
            any::<bool>().prop_map(Cell::Bool),
            any::<i64>().prop_map(Cell::Integer),
            any::<f64>().prop_map(Cell::Real),
            ".{0,20}".prop_map(Cell::text),
            prop::collection::vec(any::<u8>(), 0..20).prop_map(Cell::bytes),
        ]
    }

    proptest! {
        #[test]
        fn a_key_is_read_as_it_was_written(cells in prop::collection::vec(cell(), 0..4)) {
            let key = RowKey::new(cells);
            prop_assert_eq!(RowKey::from_bytes(&key.to_bytes()), Some(key));
        }

        #[test]
        fn keys_that_differ_are_written_differently(
            a in prop::collection::vec(cell(), 0..4),
            b in prop::collection::vec(cell(), 0..4),
        ) {
            let (a, b) = (RowKey::new(a), RowKey::new(b));
            prop_assert_eq!(a == b, a.to_bytes() == b.to_bytes());
        }

        #[test]
        fn any_bytes_are_a_key_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(key) = RowKey::from_bytes(&bytes) {
                prop_assert_eq!(key.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn nothing_shows_in_debug() {
        let key = RowKey::new(vec![Cell::text("ada"), Cell::Integer(17), Cell::bytes(b"ada".to_vec())]);
        assert_eq!(format!("{key:?} {:?}", key.cells()), "RowKey(..) [Text(..), Integer(..), Bytes(..)]");
    }
}
