//! The stages without a compiler: all errors at once, and no panic whatever the tokens. `tests/ui.rs` holds the messages,
//! `tests/it/derive.rs` of the library what the code does.

use proc_macro2::TokenStream;

use super::expand::derive;

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
    // The purpose, the unknown attribute, the schema, `a`, the padding, the id.
    assert_eq!(errors(input), 6, "{}", derived(input));
}

#[test]
fn what_was_said_wrongly_is_not_also_missing() {
    let input = r#"
        #[record(schema = 1, unbound = 2)]
        struct Row { #[record(clear = 3)] a: i64, #[record(sealed = 4)] b: Alias, #[record(id = 5)] c: i64 }
    "#;
    assert_eq!(errors(input), 5, "{}", derived(input));
}

#[test]
fn a_record_without_errors_becomes_code() {
    let input = r#"#[record(schema = "s")] struct Row { #[record(id)] a: i64, b: Sealed<String> }"#;
    assert_eq!(errors(input), 0);
    assert!(derived(input).contains("struct RowPlain"));
}

#[test]
fn purposes_are_listed_once_in_the_order_of_the_fields() {
    let input = r#"
        #[record(schema = "s", unbound, purpose = "own")]
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
    let schema = |name: &str| format!("#[record(schema = \"{name}\", unbound)] struct Row {{ a: Sealed<u8> }}");
    let rename = |name: &str| {
        format!("#[record(schema = \"s\", unbound)] struct Row {{ #[record(rename = \"{name}\")] a: Sealed<u8> }}")
    };
    let field = |name: &str| format!("#[record(schema = \"s\", unbound)] struct Row {{ {name}: Sealed<u8> }}");
    assert_eq!([schema(&fits), rename(&fits), field(&fits)].map(|input| errors(&input)), [0; 3]);
    assert_eq!([schema(&long), rename(&long), field(&long)].map(|input| errors(&input)), [1; 3]);
}

#[test]
fn constants_are_in_screaming_snake_case() {
    for (field, constant) in [("email", "EMAIL"), ("emailAddress", "EMAIL_ADDRESS"), ("r#fn", "FN"), ("_a1B", "_A1_B")]
    {
        let input = format!("#[record(schema = \"s\", unbound)] struct Row {{ {field}: Sealed<u8> }}");
        assert!(derived(&input).contains(&format!("const {constant} :")), "{field}");
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
                format!("#[record {a}] #[record = {b}] struct Row {{ #[record {{ {a} }}] #[record[{b}]] ŉ: {ty} }}"),
            ] {
                // Not everything is tokens, and not all tokens are attributes.
                if let Ok(tokens) = input.parse::<TokenStream>() {
                    assert!(!derive(tokens).is_empty(), "{input}");
                }
            }
        }
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
    }
}
