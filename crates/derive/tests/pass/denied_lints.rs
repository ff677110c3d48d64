//! A strict crate: nothing that the macro emits needs an exception.
#![forbid(unsafe_code, missing_docs)]
#![deny(
    warnings,
    unused,
    nonstandard_style,
    future_incompatible,
    rust_2018_idioms,
    keyword_idents,
    let_underscore,
    missing_debug_implementations,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unnameable_types,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    variant_size_differences
)]

use fieldseal::{Record, Sealed};

/// A customer.
#[derive(Debug, Record)]
#[record(schema = "customer")]
#[allow(deprecated)]
#[expect(non_snake_case, reason = "the twin needs it too, and meets no expectation of its own")]
pub struct Customer {
    /// Names the row.
    #[record(id, subject)]
    pub id: i64,
    /// Reaches the customer.
    pub email: Sealed<String>,
    /// Goes away.
    #[deprecated = "nobody has one"]
    #[record(pad = 32)]
    pub fax: Sealed<String>,
    /// Not as it is usual.
    #[cfg(all())]
    pub displayName: Sealed<String>,
    #[record(purpose = "billing", pad = 64)]
    iban: Option<Sealed<String>>,
    #[record(clear)]
    plan: String,
    #[cfg(any())]
    absent: (),
}

mod private {
    use fieldseal::{Record, Sealed};

    #[derive(Debug, Record)]
    #[record(schema = "private", unbound)]
    struct Private {
        pub shown: Sealed<String>,
        hidden: Sealed<String>,
    }

    #[derive(Debug, Record)]
    #[record(schema = "crate", unbound)]
    pub(crate) struct OfCrate {
        pub(crate) shown: Sealed<String>,
    }

    pub(crate) fn use_them(keys: &fieldseal::SubjectKeys) {
        let row = Private::seal(PrivatePlain { shown: "".into(), hidden: "".into() }, keys);
        drop(row.map(|row| (row.shown, row.hidden)));
        let row = OfCrate::seal(OfCratePlain { shown: "".into() }, keys);
        drop(row.map(|row| row.shown));
    }
}

fn main() {
    let _ = private::use_them;
    let (fax, email) = ("".into(), "e".into());
    let plain = CustomerPlain { id: 1, email, fax, displayName: "".into(), iban: None, plan: String::new() };
    assert_eq!(format!("{plain:?}"), "CustomerPlain { .. }");
}
