//! Names that are bound into envelopes: missing, empty, too long, taken.

use fieldseal::{Record, Sealed};

#[derive(Record)]
struct NoSchema {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "", purpose = "")]
struct Empty {
    #[record(id)]
    id: i64,
    #[record(rename = "", purpose = "")]
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "taken")]
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
#[record(schema = "twin", plain(name = Same))]
struct Same {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

fn main() {}
