//! [`SampleSlot`]: well-formed slots without keys, for the tests of key stores.

use fieldseal::clock::Timestamp;
use fieldseal::store::{Epoch, Revision, SlotId, SlotState, StoredSlot};

/// Makes a slot that a store can't tell from a real one. No vault opens it: its bytes are made up, its MAC too.
///
/// ```
/// use fieldseal::store::{Epoch, SlotId};
/// use fieldseal_testkit::slot::SampleSlot;
///
/// let first = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).build();
/// let second = SampleSlot::new(SlotId::Vault).epoch(Epoch::FIRST).content(2).build();
/// assert_ne!(first.revision(), second.revision());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SampleSlot {
    id: SlotId,
    state: SlotState,
    epoch: Option<Epoch>,
    due: Option<Timestamp>,
    len: usize,
    content: u64,
}

impl SampleSlot {
    /// The shortest slot there is: a head, a byte, and a revision.
    pub const MIN_LEN: usize = HEAD_LEN + 1 + Revision::LEN;

    /// A live slot of 300 bytes, without an epoch and a due date.
    pub fn new(id: SlotId) -> Self {
        Self { id, state: SlotState::Live, epoch: None, due: None, len: 300, content: 0 }
    }

    /// Its state.
    pub fn state(mut self, state: SlotState) -> Self {
        self.state = state;
        self
    }

    /// The lowest epoch that it holds a key of.
    pub fn epoch(mut self, epoch: Epoch) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// When something is due. The Unix epoch itself is none: the format has 0 for it.
    pub fn due(mut self, due: Timestamp) -> Self {
        self.due = Some(due);
        self
    }

    /// Its length in bytes, [`SampleSlot::MIN_LEN`] to [`StoredSlot::MAX_LEN`].
    pub fn len(mut self, len: usize) -> Self {
        self.len = len.clamp(Self::MIN_LEN, StoredSlot::MAX_LEN);
        self
    }

    /// Tells slots apart that are otherwise the same: other bytes, another revision.
    pub fn content(mut self, content: u64) -> Self {
        self.content = content;
        self
    }

    /// The slot.
    pub fn build(&self) -> StoredSlot {
        let mut bytes = Vec::with_capacity(self.len + 8);
        // As in `docs/format.md`, section 10: version, kind, state, epoch, due.
        bytes.extend([1, self.id.to_bytes().first().copied().unwrap_or_default(), self.state.number()]);
        bytes.extend(self.epoch.map_or(0, Epoch::get).to_be_bytes());
        bytes.extend(self.due.map_or(0, Timestamp::as_millis).to_be_bytes());
        // Filler that depends on id and content and repeats nowhere, so that a store that mixes up two slots, or two
        // parts of one, is found out.
        let mut state = self.content;
        for part in self.id.to_bytes() {
            state = mix(state ^ u64::from(part));
        }
        while bytes.len() < self.len {
            state = state.wrapping_add(GOLDEN);
            bytes.extend(mix(state).to_be_bytes());
        }
        bytes.truncate(self.len);
        StoredSlot::from_bytes(self.id.clone(), bytes).expect("a head, a byte and a revision are a slot")
    }
}

/// SplitMix64.
pub(super) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const HEAD_LEN: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use fieldseal::id::TenantId;

    #[test]
    fn samples_say_what_they_were_told() {
        let (epoch, due) = (Epoch::new(7).unwrap(), Timestamp::from_millis(9));
        for id in [SlotId::Vault, SlotId::Tenant(TenantId::default_tenant())] {
            for len in [SampleSlot::MIN_LEN, 49, 300, StoredSlot::MAX_LEN] {
                let slot = SampleSlot::new(id.clone()).state(SlotState::Erased).epoch(epoch).due(due).len(len).build();
                assert_eq!((slot.state(), slot.epoch(), slot.due()), (SlotState::Erased, Some(epoch), Some(due)));
                assert_eq!(slot.as_bytes().len(), len);
            }
        }
    }
}
