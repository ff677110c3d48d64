//! Only a struct with named fields is a record.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "tuple", any_subject)]
struct Tuple(Sealed<String>);

#[derive(Record)]
#[record(schema = "unit", any_subject)]
struct Unit;

#[derive(Record)]
#[record(schema = "enum", any_subject)]
enum Enum {
    Variant { name: Sealed<String> },
}

#[derive(Record)]
#[record(schema = "union", any_subject)]
union Union {
    name: std::mem::ManuallyDrop<Sealed<String>>,
}

#[derive(Record)]
#[record(schema = "nothing sealed", any_subject)]
struct NothingSealed {
    #[record(id)]
    id: i64,
}

fn main() {}
