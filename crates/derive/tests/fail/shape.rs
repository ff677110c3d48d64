//! Only a struct with named fields is a record.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "tuple")]
struct Tuple(Sealed<String>);

#[derive(Record)]
#[record(schema = "unit")]
struct Unit;

#[derive(Record)]
#[record(schema = "enum")]
enum Enum {
    Variant { name: Sealed<String> },
}

#[derive(Record)]
#[record(schema = "union")]
union Union {
    name: std::mem::ManuallyDrop<Sealed<String>>,
}

#[derive(Record)]
#[record(schema = "nothing sealed")]
struct NothingSealed {
    #[record(id)]
    id: i64,
}

fn main() {}
