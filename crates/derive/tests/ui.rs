//! What the derive macro says to wrong input, and hygiene: what it must compile among.
//!
//! The snapshots hold our own messages only. Messages of unmet bounds are rustc's and change with it: doc tests of
//! `fieldseal-derive` hold that those programs don't compile.

#[test]
fn wrong_records_get_a_message_with_a_remedy() {
    trybuild::TestCases::new().compile_fail("fail/*.rs");
}

#[test]
fn generated_code_compiles_among_clashing_names() {
    trybuild::TestCases::new().pass("pass/*.rs");
}
