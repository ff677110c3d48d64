//! What the generated code must compile among.

pub mod denied_lints; // public: else rustc asks no documentation of it
#[allow(single_use_lifetimes, unreachable_pub, reason = "what is tried on the macro need not be tidy")]
mod generics;
#[allow(dead_code, unreachable_pub, reason = "what is tried on the macro need not be tidy")]
mod no_prelude;
#[allow(dead_code, unreachable_pub, reason = "what is tried on the macro need not be tidy")]
mod odd_names;
#[allow(unreachable_pub, reason = "what is tried on the macro need not be tidy")]
mod shadowed_prelude;
