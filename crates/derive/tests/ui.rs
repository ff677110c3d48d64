//! What the derive macro says to wrong input, and hygiene: what it must compile among.
//!
//! The snapshots hold our own messages only. Messages of unmet bounds are rustc's and change with it: doc tests of
//! `fieldseal-derive` hold that those programs don't compile.
//!
//! What must compile is a part of this program: trybuild would build every dependency once more for it, to run it.
#![forbid(unsafe_code, missing_docs)]
#![deny(
    warnings,
    unused,
    nonstandard_style,
    future_incompatible,
    rust_2018_idioms,
    keyword_idents,
    let_underscore,
    missing_debug_implementations,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unnameable_types,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    variant_size_differences
)]

#[allow(clippy::all, clippy::unwrap_used, reason = "what is tried on the macro need not be tidy")]
pub mod pass;

#[test]
fn wrong_records_get_a_message_with_a_remedy() {
    trybuild::TestCases::new().compile_fail("tests/fail/*.rs");
}
