//! The derive macros, on any text that is tokens: they never panic, and what they make without an error is Rust.
#![no_main]

#[path = "../../crates/derive/src/ast.rs"]
mod ast;
#[path = "../../crates/derive/src/attr.rs"]
mod attr;
#[path = "../../crates/derive/src/expand.rs"]
mod expand;
#[path = "../../crates/derive/src/plaintext.rs"]
mod plaintext;

use libfuzzer_sys::{Corpus, fuzz_target};
use proc_macro2::TokenStream;

fuzz_target!(|text: &str| -> Corpus {
    // `syn` reads nested things by recursion, as rustc does, which is the one to stop at a depth.
    if text.len() > MAX_LEN {
        return Corpus::Reject;
    }
    let Ok(tokens) = text.parse::<TokenStream>() else { return Corpus::Reject };
    for made in [expand::derive(tokens.clone()), plaintext::derive(tokens)] {
        assert!(!made.is_empty());
        let shown = made.to_string();
        if let Err(e) = syn::parse2::<syn::File>(made) {
            panic!("{e}: {shown}");
        }
    }
    Corpus::Keep
});

const MAX_LEN: usize = 2048;
