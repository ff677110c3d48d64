//! Whose data it is must be said, with the kind of the person.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "nobody")]
struct NoSubject {
    #[record(id)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "no kind")]
struct NoKind {
    #[record(id, subject)]
    id: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "kinds", unbound)]
struct OddKinds {
    #[record(subject = "")]
    a: i64,
    #[record(subject = "Customer")]
    b: i64,
    #[record(subject = "customer:17")]
    c: i64,
    #[record(subject = customer)]
    d: i64,
    name: Sealed<String>,
}

#[derive(Record)]
#[record(schema = "both", any_subject)]
struct AnyAndOne {
    #[record(id, subject = "customer")]
    id: i64,
    name: Sealed<String>,
}

fn main() {}
