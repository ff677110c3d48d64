//! What `derive(Plaintext)` refuses: only newtypes and plain enums are sealed as something else.

use fieldseal::Plaintext;

#[derive(Plaintext)]
struct Several(String, String);

#[derive(Plaintext)]
struct Named {
    first: String,
    last: String,
}

#[derive(Plaintext)]
struct Unit;

#[derive(Plaintext)]
enum Fields {
    Card(String),
    Cash,
    Transfer { iban: String },
}

#[derive(Plaintext)]
enum Empty {}

#[derive(Plaintext)]
enum Alike {
    Free,
    #[plaintext(rename = "Free")]
    Gratis,
}

#[derive(Plaintext)]
union Union {
    number: u32,
}

#[derive(Plaintext)]
#[plaintext(rename = "Plan", transparent)]
struct Unknown(#[plaintext(rename = "x")] String);

#[derive(Plaintext)]
#[plaintext(crate = "not a path")]
enum Wrong {
    #[plaintext(rename)]
    A,
    #[plaintext(rename = "b", rename = "c")]
    B,
    #[plaintext(crate = "x", skip)]
    C,
    #[plaintext]
    D,
}

fn main() {}
