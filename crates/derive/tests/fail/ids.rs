//! What a row is bound to must be said, and once.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "no id")]
struct NoId {
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "unbound", unbound)]
struct UnboundWithId {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "many")]
struct TooMany {
    #[record(id)]
    a: i64,
    #[record(id)]
    b: i64,
    #[record(id)]
    c: i64,
    #[record(id)]
    d: i64,
    #[record(id)]
    e: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "types")]
struct Types {
    #[record(id)]
    sealed: Sealed<String>,
    #[record(id)]
    absent: Option<i64>,
    #[record(subject)]
    of: Option<i64>,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "sealed subject", unbound)]
struct SealedSubject {
    #[record(subject)]
    of: fieldseal::Sealed<String>,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "subjects")]
struct TwoSubjects {
    #[record(id, subject)]
    id: i64,
    #[record(subject)]
    customer_id: i64,
    name: Sealed<String>,
}

fn main() {}
