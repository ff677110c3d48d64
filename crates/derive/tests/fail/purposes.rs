//! A subject has keys for so many purposes only.

use fieldseal::{Record, Sealed};

#[derive(Record)]
#[record(schema = "purposes", any_subject, unbound)]
struct Purposes {
    #[record(purpose = "p0")]
    f0: Option<Sealed<String>>,
    #[record(purpose = "p1")]
    f1: Option<Sealed<String>>,
    #[record(purpose = "p2")]
    f2: Option<Sealed<String>>,
    #[record(purpose = "p3")]
    f3: Option<Sealed<String>>,
    #[record(purpose = "p4")]
    f4: Option<Sealed<String>>,
    #[record(purpose = "p5")]
    f5: Option<Sealed<String>>,
    #[record(purpose = "p6")]
    f6: Option<Sealed<String>>,
    #[record(purpose = "p7")]
    f7: Option<Sealed<String>>,
    #[record(purpose = "p8")]
    f8: Option<Sealed<String>>,
    #[record(purpose = "p9")]
    f9: Option<Sealed<String>>,
    #[record(purpose = "p10")]
    f10: Option<Sealed<String>>,
    #[record(purpose = "p11")]
    f11: Option<Sealed<String>>,
    #[record(purpose = "p12")]
    f12: Option<Sealed<String>>,
    #[record(purpose = "p13")]
    f13: Option<Sealed<String>>,
    #[record(purpose = "p14")]
    f14: Option<Sealed<String>>,
    #[record(purpose = "p15")]
    f15: Option<Sealed<String>>,
    #[record(purpose = "p16")]
    f16: Option<Sealed<String>>,
}

fn main() {}
