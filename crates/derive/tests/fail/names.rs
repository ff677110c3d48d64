//! Names that are bound into envelopes: missing, empty, too long, taken.

use fieldseal::{Record, Sealed};

#[derive(Record)]
struct NoSchema {
    #[record(id, subject = "customer")]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "", any_subject, purpose = "")]
struct Empty {
    #[record(id)]
    id: i64,
    #[record(rename = "", purpose = "")]
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "taken", any_subject)]
struct Taken {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
    #[record(rename = "name")]
    full_name: Sealed<String>,
    emailAddress: Sealed<String>,
    email_address: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "twin", any_subject, plain(name = Same))]
struct Same {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

fn main() {}
