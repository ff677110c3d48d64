//! Implementations for foreign types and of foreign traits, one crate a file, each behind the feature of its name.
//! Nothing else.
//!
//! Imports everything; nothing imports it.

#[cfg(any(feature = "chrono", feature = "time"))]
mod calendar;
#[cfg(feature = "chrono")]
mod chrono;
#[cfg(feature = "rust_decimal")]
mod rust_decimal;
#[cfg(feature = "secrecy")]
mod secrecy;
#[cfg(feature = "serde")]
mod serde;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(feature = "time")]
mod time;
#[cfg(feature = "uuid")]
mod uuid;

#[cfg(any(feature = "chrono", feature = "rust_decimal", feature = "time", feature = "uuid"))]
use crate::value::plaintext::overwrite;
