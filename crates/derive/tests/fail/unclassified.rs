//! A field that is neither sealed nor said to be in the clear does not compile, and the message has the choices.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "customer")]
struct Customer {
    #[record(id, subject = "customer")]
    id: i64,
    email: Sealed<String>,
    plan: String,
    #[record(rename = "telephone")]
    phone: Option<String>,
}

fn main() {}
