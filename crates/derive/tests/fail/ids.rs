//! What a row is bound to must be said, and once.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "no id", any_subject)]
struct NoId {
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "unbound", any_subject, unbound)]
struct UnboundWithId {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "many", any_subject)]
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
    #[record(id, subject = "customer")]
    of: Option<i64>,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "sealed subject", unbound)]
struct SealedSubject {
    #[record(subject = "customer")]
    of: fieldseal::Sealed<String>,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "subjects")]
struct TwoSubjects {
    #[record(id, subject = "customer")]
    id: i64,
    #[record(subject = "customer")]
    customer_id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "zeros", any_subject)]
struct Zeros {
    #[record(id, zero)]
    a: i64,
    #[record(id, zero)]
    b: i64,
    #[record(zero)]
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "alone", any_subject)]
struct Alone {
    #[record(id, zero)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "nobody")]
struct ZeroSubject {
    #[record(id)]
    id: i64,
    #[record(id, zero, subject = "customer")]
    customer: i64,
    name: Sealed<String>,
}

fn main() {}
