//! [`Token`]: stands for all that is stored in a slot's place, whether or not it is a slot. Never stored itself.
//!
//! Imports `crypto` and `envelope`.

use std::fmt;

use super::{SlotId, StoredSlot};
use crate::crypto::mac;
use crate::envelope::context;

/// Stands for all that is stored in a slot's place: bytes and columns. What a writer expects there who replaces a damaged slot.
///
/// A revision can't do that: a slot that is changed in its middle still ends in the good one's, and who expects that would
/// overwrite the good slot, put back meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; 32]);

impl Token {
    /// The token of what a store found in the place of a slot: its bytes, none if they are missing; its columns; and `more`,
    /// what the store keeps besides, where that is not what it should be, else empty.
    ///
    /// `SHA-256(ENC("damaged slot", id, bytes, state, epoch, due, more))`; what is absent is empty, what is there has a byte
    /// before it.
    pub fn of(id: &SlotId, bytes: Option<&[u8]>, columns: RawColumns, more: &[u8]) -> Self {
        let column = |column: Option<i128>| part(column.map(i128::to_be_bytes).as_ref().map(<[u8; 16]>::as_slice));
        let (bytes, state) = (part(bytes), column(columns.state));
        let (epoch, due) = (column(columns.epoch), column(columns.due));
        Self(mac::sha256(&[&context::encode("damaged slot", &[&id.to_bytes(), &bytes, &state, &epoch, &due, more])]))
    }
}

/// Opaque: in a log, beside a dump of the store, it would name the slot.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

fn part(bytes: Option<&[u8]>) -> Vec<u8> {
    bytes.map(|bytes| [&[1], bytes].concat()).unwrap_or_default()
}

/// A slot's columns as a store found them, whether or not a slot can have such. What is of another type than it should be is
/// none here, and stands in `more` of the [`Token`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "made by every adapter")]
pub struct RawColumns {
    /// [`SlotState::number`](super::SlotState::number).
    pub state: Option<i128>,
    /// [`StoredSlot::epoch`].
    pub epoch: Option<i128>,
    /// [`StoredSlot::due`], in milliseconds.
    pub due: Option<i128>,
}

impl RawColumns {
    /// The columns of a slot, as each store must keep them.
    pub fn of(slot: &StoredSlot) -> Self {
        slot.columns.raw()
    }
}
