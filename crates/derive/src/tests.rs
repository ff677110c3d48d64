//! The stages without a compiler: all errors at once, and no panic whatever the tokens. `tests/ui.rs` holds the messages,
//! `tests/it/derive.rs` of the library what the code does.

use proc_macro2::TokenStream;

use super::expand::derive;
use super::plaintext;

fn derived(input: &str) -> String {
    derive(input.parse().unwrap()).to_string()
}

fn errors(input: &str) -> usize {
    derived(input).matches("compile_error").count()
}

#[test]
fn every_error_is_told_at_once() {
    let input = r#"
        #[record(purpose = "", unknown)]
        struct Row { a: i64, #[record(clear, pad = 1)] b: i64, #[record(id)] c: Option<i64> }
    "#;
    // The purpose, the unknown attribute, the schema, the subject, `a`, the padding, the id.
    assert_eq!(errors(input), 7, "{}", derived(input));
}

#[test]
fn what_was_said_wrongly_is_not_also_missing() {
    let input = r#"
        #[record(schema = 1, unbound = 2, any_subject = 3)]
        struct Row { #[record(clear = 4)] a: i64, #[record(sealed = 5)] b: Alias, #[record(id = 6, subject = 7)] c: i64 }
    "#;
    assert_eq!(errors(input), 7, "{}", derived(input));
}

#[test]
fn a_record_without_errors_becomes_code() {
    let input = r#"#[record(schema = "s")] struct Row { #[record(id, subject = "k")] a: i64, b: Sealed<String> }"#;
    assert_eq!(errors(input), 0);
    assert!(derived(input).contains("struct RowPlain"));
}

#[test]
fn purposes_are_listed_once_in_the_order_of_the_fields() {
    let input = r#"
        #[record(schema = "s", unbound, any_subject, purpose = "own")]
        struct Row {
            #[record(purpose = "b")] a: Option<Sealed<u8>>,
            b: Sealed<u8>,
            #[record(purpose = "b")] c: Option<Sealed<u8>>,
            #[record(purpose = "own")] d: Sealed<u8>,
            #[record(purpose = "a")] e: Option<Sealed<u8>>,
        }
    "#;
    assert!(derived(input).contains(r#"& ["b" , "own" , "a"]"#), "{}", derived(input));
}

/// Not snapshots: how rustc shows so long a line is its own business.
#[test]
fn names_are_as_long_as_ids_at_most() {
    let (fits, long) = ("x".repeat(1024), "x".repeat(1025));
    let schema =
        |name: &str| format!("#[record(schema = \"{name}\", unbound, any_subject)] struct Row {{ a: Sealed<u8> }}");
    let rename = |name: &str| {
        format!(
            "#[record(schema = \"s\", unbound, any_subject)] struct Row {{ #[record(rename = \"{name}\")] a: Sealed<u8> }}"
        )
    };
    let field =
        |name: &str| format!("#[record(schema = \"s\", unbound, any_subject)] struct Row {{ {name}: Sealed<u8> }}");
    assert_eq!([schema(&fits), rename(&fits), field(&fits)].map(|input| errors(&input)), [0; 3]);
    assert_eq!([schema(&long), rename(&long), field(&long)].map(|input| errors(&input)), [1; 3]);
}

#[test]
fn kinds_are_as_long_as_kinds_at_most() {
    let kind = |kind: &str| {
        format!(
            "#[record(schema = \"s\", unbound)] struct Row {{ #[record(subject = \"{kind}\")] a: u8, b: Sealed<u8> }}"
        )
    };
    assert_eq!(errors(&kind(&"k".repeat(64))), 0);
    assert_eq!(errors(&kind(&"k".repeat(65))), 1);
}

#[test]
fn constants_are_in_screaming_snake_case() {
    for (field, constant) in [("email", "EMAIL"), ("emailAddress", "EMAIL_ADDRESS"), ("r#fn", "FN"), ("_a1B", "_A1_B")]
    {
        let input = format!("#[record(schema = \"s\", unbound, any_subject)] struct Row {{ {field}: Sealed<u8> }}");
        assert!(derived(&input).contains(&format!("const {constant} :")), "{field}");
    }
}

#[test]
fn every_error_of_a_plaintext_is_told_at_once() {
    let errors = |input: &str| plaintext::derive(input.parse().unwrap()).to_string().matches("compile_error").count();
    let all = r#"
        #[plaintext(unknown, crate = 1)]
        enum Plan { Free(u8), #[plaintext(rename = "Free")] Other, #[plaintext(rename, rename = "x")] Last { a: u8 } }
    "#;
    // `unknown`, `crate`; the fields of `Free`, its name, `rename` without a value, the fields of `Last`.
    assert_eq!(errors(all), 6);
    for input in ["struct A;", "struct A();", "struct A(u8, u8);", "struct A { a: u8, b: u8 }", "enum A {}"] {
        assert_eq!(errors(input), 1, "{input}");
    }
    for input in ["struct A(u8);", "struct A { a: u8 }", "enum A { B }", "enum A { B = 2, C = 1, r#fn }"] {
        assert_eq!(errors(input), 0, "{input}");
    }
}

#[test]
fn odd_attributes_never_panic() {
    const ODD: &[&str] = &[
        "",
        ",",
        "=",
        "schema",
        "schema = ",
        "schema = 1",
        "schema = \"s\"",
        "schema = b\"s\"",
        "schema = \"\\u{0}\"",
        "purpose = \"p\"",
        "purpose = r\"p\"",
        "unbound",
        "unbound()",
        "id",
        "id = id",
        "r#id",
        "subject",
        "subject = \"customer\"",
        "subject = \"\\u{0}\"",
        "any_subject",
        "zero",
        "clear",
        "sealed",
        "pad = 64",
        "pad = -1",
        "pad = 64u8",
        "pad = 1e9",
        "pad = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        "rename = \"x\"",
        "rename = concat!(\"a\", \"b\")",
        "plain",
        "plain()",
        "plain(,)",
        "plain(name)",
        "plain(name = r#type)",
        "plain(name = \"r#type\")",
        "plain(name = \"1\")",
        "plain(name = \"_\")",
        "plain(name = Self)",
        "plain(name = a::b)",
        "plain(derive)",
        "plain(derive())",
        "plain(derive(::a::B, Debug))",
        "plain(derive(a<b>))",
        "plain(attr)",
        "plain(attr())",
        "plain(attr(unsafe(a)))",
        "plain(attr(a = {}, b[c], crate))",
        "plain[attr(a)]",
        "crate",
        "crate = \"\"",
        "crate = \"::\"",
        "crate = \"crate\"",
        "crate = \"a<b>\"",
        "crate::a = 1",
        "Self",
        "'a",
        "#[record]",
        "\"text\"",
        "é = \"é\"",
        "{ } [ ] ( )",
    ];
    const TYPES: &[&str] = &[
        "Sealed<u8>",
        "Option<Sealed<Self>>",
        "(Sealed, [Self; Self::N])",
        "()",
        "!",
        "fn(Self) -> Sealed",
        "<Self as A>::Sealed",
        "dyn Sealed",
        "m!(Self Sealed)",
        "r#Sealed",
    ];
    for (i, a) in ODD.iter().enumerate() {
        for b in ODD {
            let ty = TYPES[i % TYPES.len()];
            for input in [
                format!("#[record({a}, {b})] struct Row<'a, T> {{ #[record(id)] a: i64, #[record(sealed)] b: {ty} }}"),
                format!(
                    "#[record(schema = \"s\")] struct Row {{ #[record({a}, {b})] r#a: {ty}, #[record(id)] b: u8 }}"
                ),
                format!(
                    "#[plaintext({a}, {b})] enum E<'a, T> {{ #[plaintext({a}, {b})] A, #[plaintext({b})] r#B = 1 }}"
                ),
                format!("#[plaintext {a}] struct N<T>(#[plaintext({b})] {ty});"),
                format!("#[record {a}] #[record = {b}] struct Row {{ #[record {{ {a} }}] #[record[{b}]] ŉ: {ty} }}"),
            ] {
                // Not everything is tokens, and not all tokens are attributes.
                if let Ok(tokens) = input.parse::<TokenStream>() {
                    assert!(!derive(tokens.clone()).is_empty(), "{input}");
                    assert!(!plaintext::derive(tokens).is_empty(), "{input}");
                }
            }
        }
    }
}

#[test]
fn a_trait_is_no_fields_type() {
    for (ty, expected) in [("A +", 1), ("dyn A", 1), ("impl A", 1), ("A", 0), ("(dyn A +)", 0)] {
        let fields = format!(r#"#[record(subject = "k")] a: {ty}, b: Sealed<u8>"#);
        let record = format!(r#"#[record(schema = "s", unbound)] struct Row {{ {fields} }}"#);
        assert_eq!(errors(&record), expected, "{record}");
        let newtype = plaintext::derive(format!("struct A({ty});").parse().unwrap()).to_string();
        assert_eq!(newtype.matches("compile_error").count(), expected, "{newtype}");
    }
}

#[test]
fn odd_items_never_panic() {
    for input in [
        "",
        "fn f() {}",
        "struct",
        "struct Row;",
        "struct Row();",
        "struct Row {}",
        "enum Row {}",
        "union Row { a: u8 }",
        "struct r#match { a: u8 }",
        "struct Row { _: u8 }",
        "struct Row<const N: usize = { 1 + 1 }> where [u8; N]: Sized { a: [u8; N] }",
        "#[allow] #[allow = 1] #[allow()] #[doc] #[doc(hidden)] struct Row { #[doc = 1] a: Sealed<u8> }",
    ] {
        assert!(!derive(input.parse().unwrap()).is_empty(), "{input}");
        assert!(!plaintext::derive(input.parse().unwrap()).is_empty(), "{input}");
    }
}
