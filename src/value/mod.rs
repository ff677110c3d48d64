//! Typed values: [`Plain<T>`], [`Sealed<T>`], and [`Plaintext`], how a type becomes bytes.
//!
//! Imports what `subject` may, and `subject`.

#[cfg(feature = "serde")]
mod finite;
#[cfg(feature = "serde")]
mod json;
pub(crate) mod list;
mod plain;
pub(crate) mod plaintext;
#[cfg(feature = "serde")]
mod reveal;
mod sealed;
mod shape;
mod types;

pub use crate::kind::Kind;
#[cfg(feature = "serde")]
pub use json::AsJson;
pub use plain::Plain;
pub use plaintext::{Decoder, Encoder, Plaintext};
#[cfg(feature = "serde")]
pub use reveal::{Reveal, reveal};
pub use sealed::Sealed;
#[doc(hidden)]
pub use shape::Shape;
