//! A field in the clear has nothing of a sealed one; every conflict is told at once.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "conflicts")]
struct Conflicts {
    #[record(id, clear)]
    id: i64,
    #[record(subject = "customer", clear)]
    subject: i64,
    #[record(clear, pad = 64)]
    padded: String,
    #[record(clear, purpose = "billing")]
    of_purpose: String,
    #[record(clear, rename = "other")]
    renamed: String,
    #[record(clear, sealed)]
    both: Sealed<String>,
    #[record(id, rename = "other")]
    renamed_id: i64,
    name: Sealed<String>,
}

fn main() {}
