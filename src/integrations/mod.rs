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

/// Overwrites a value of a type that gives no access to its bytes. The optimizer must take the new one for used, so it
/// can't drop the write although the value is dropped right after.
#[cfg(any(feature = "chrono", feature = "rust_decimal", feature = "time", feature = "uuid"))]
fn overwrite<T>(value: &mut T, blank: T) {
    *value = blank;
    std::hint::black_box(value);
}
