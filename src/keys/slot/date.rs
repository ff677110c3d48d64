//! [`Date`]: from when on a key is used.

use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;

/// From when on a data key is sealed under, or an index key written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Date {
    /// Nobody knows yet, so not now.
    Undated,
    /// From this moment on.
    Dated(Timestamp),
    /// At once. No clock is asked: one that is behind doesn't delay a key that replaces a leaked one.
    AtOnce,
}

impl Date {
    /// Whether it has come.
    pub(crate) fn has_come(self, now: Timestamp) -> bool {
        match self {
            Self::Undated => false,
            Self::Dated(from) => from <= now,
            Self::AtOnce => true,
        }
    }

    /// Whether it is later than the last moment that a clock which is right can give: one that was ahead gave it.
    pub(crate) fn is_absurd(self, horizon: Timestamp) -> bool {
        matches!(self, Self::Dated(from) if from > horizon)
    }

    /// The moment that is encoded as 0 where there is none.
    pub(super) fn moment(self) -> Option<Timestamp> {
        match self {
            Self::Dated(from) => Some(from),
            Self::Undated | Self::AtOnce => None,
        }
    }

    /// The Unix epoch is encoded as no moment.
    pub(super) fn is_canonical(self) -> bool {
        self.moment().is_none_or(|moment| moment.as_millis() > 0)
    }

    pub(super) fn write(self, w: &mut Writer) {
        let state = match self {
            Self::Undated => 0,
            Self::Dated(_) => 1,
            Self::AtOnce => 2,
        };
        w.u8(state).u64(super::millis(self.moment()));
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        match (r.u8()?, super::moment(r.u64()?)) {
            (0, None) => Ok(Self::Undated),
            (1, Some(from)) => Ok(Self::Dated(from)),
            (2, None) => Ok(Self::AtOnce),
            _ => Err(Damaged),
        }
    }
}
