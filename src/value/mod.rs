//! Typed values: [`Plain<T>`], [`Sealed<T>`], and [`Plaintext`], how a type becomes bytes.
//!
//! Imports what `subject` may, and `subject`.

mod plain;
pub(crate) mod plaintext;
mod sealed;
mod types;

pub use plain::Plain;
pub use plaintext::{Decoder, Encoder, Plaintext, display_len};
pub use sealed::Sealed;
