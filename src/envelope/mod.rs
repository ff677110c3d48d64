//! The envelope of one sealed field: bytes to structs and back, no I/O. `docs/format.md`, sections 4, 5, 7 and 8.
//!
//! Imports `error`, `kind`, `id` and `crypto`.

pub(crate) mod context;
pub(crate) mod frame;
pub(crate) mod header;
pub(crate) mod text;
pub(crate) mod wire;

pub use context::FieldContext;
pub use header::KeyId;

/// Bytes that an envelope of an unpadded value is longer than the value.
pub const OVERHEAD: usize = header::HEADER_LEN + 1 + header::TAG_LEN;
/// The longest value, in bytes.
pub const MAX_VALUE_LEN: usize = 16 * 1024 * 1024;
/// The largest `pad`, in bytes.
pub const MAX_PAD: usize = 65_536;
/// The longest framed value: value, marker and padding.
pub(crate) const MAX_FRAME_LEN: usize = MAX_VALUE_LEN + MAX_PAD;
