//! Keys, and the slots that hold them: versioned bytes, no I/O. `docs/format.md`, sections 2, 9, 10 and 11.
//!
//! Imports `error`, `id`, `clock`, `bytes`, `crypto` and `envelope`.

mod journal_key;
mod material;
pub(crate) mod ring;
mod root;
pub(crate) mod slot;
mod wrapped;

pub(crate) use journal_key::JournalKey;
pub use material::KeyMaterial;
pub(crate) use material::UsableKey;
pub(crate) use ring::newest_due;
pub(crate) use root::RootKey;
pub use slot::{Epoch, RawColumns, Revision, SlotId, SlotState, StoredSlot, Tag, Token};
pub(crate) use wrapped::{
    DataKeyPlace, WRAPPED_LEN, rewrap_data_key, unwrap_data_key, unwrap_in_envelope, wrap_data_key, wrap_in_envelope,
};
pub use wrapped::{MasterKeyId, WrapContext, WrapRole, WrappedKey};

#[cfg(test)]
mod tests;
