//! Attributes that are unknown, misplaced, said twice or said wrongly.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "unknown", any_subject, schemas = "x", id, plain(rename = "x"))]
struct Unknown {
    #[record(id, primary_key)]
    id: i64,
    #[record(unbound, any_subject, plain(skip, derive(Clone)))]
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "twice", any_subject, unbound, plain(derive(Clone), derive(Copy)))]
#[record(schema = "again")]
struct Twice {
    #[record(pad = 8, pad = 8)]
    name: Sealed<String>,
}

#[derive(Record)]
#[record]
#[record = "customer"]
#[record(schema, purpose = 1, unbound = true, any_subject = 1, plain = "x", crate = "not a path")]
struct Wrong {
    #[record(id = "x")]
    id: i64,
    #[record(rename)]
    name: Sealed<String>,
    #[record(sealed())]
    alias: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "syntax" unbound)]
struct Syntax {
    #[record(id subject)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "pad", any_subject, unbound)]
struct Pad {
    #[record(pad = 1)]
    small: Sealed<String>,
    #[record(pad = 65537)]
    large: Sealed<String>,
    #[record(pad = "64")]
    text: Sealed<String>,
    #[record(pad)]
    none: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "twin", any_subject, unbound, plain(name = 1, derive(Debug), attr(derive(Clone))))]
struct Twin {
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "twin", any_subject, unbound, plain(name = "a b", derive = "Clone", attr = "x"))]
struct TwinForms {
    name: Sealed<String>,
}

fn main() {}
