//! A strict crate, which this program is: nothing that the macro emits needs an exception.

use fieldseal::{Plaintext, Record, Sealed};

/// A customer.
#[derive(Debug, Record)]
#[record(schema = "customer")]
#[allow(deprecated)]
#[expect(non_snake_case, reason = "the twin needs it too, and meets no expectation of its own")]
pub struct Customer {
    /// Names the row.
    #[record(id, subject = "customer")]
    pub id: i64,
    /// Reaches the customer.
    pub email: Sealed<String>,
    /// Goes away.
    #[deprecated = "nobody has one"]
    #[record(pad = 32)]
    pub fax: Sealed<String>,
    /// Not as it is usual.
    #[cfg(true)]
    pub displayName: Sealed<String>,
    #[record(purpose = "billing", pad = 64)]
    iban: Option<Sealed<String>>,
    #[record(clear)]
    plan: String,
    #[cfg(false)]
    absent: (),
}

/// Where mail goes.
#[derive(Debug, Plaintext)]
pub struct Email(String);

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Plaintext)]
#[non_exhaustive]
pub enum Plan {
    /// Nothing.
    Free,
    /// More than that.
    #[deprecated = "nobody has it"]
    Paid,
}

mod private {
    use fieldseal::{Record, Sealed};

    #[derive(Debug, Record)]
    #[record(schema = "private", any_subject, unbound)]
    struct Private {
        pub shown: Sealed<String>,
        hidden: Sealed<String>,
    }

    #[derive(Debug, Record)]
    #[record(schema = "crate", any_subject, unbound)]
    pub(crate) struct OfCrate {
        pub(crate) shown: Sealed<String>,
    }

    pub(crate) fn use_them(keys: &fieldseal::SubjectKeys) {
        let row = Private::seal(&PrivatePlain { shown: "".into(), hidden: "".into() }, keys);
        drop(row.map(|row| (row.shown, row.hidden)));
        let row = OfCrate::seal(&OfCratePlain { shown: "".into() }, keys);
        drop(row.map(|row| row.shown));
    }
}

#[test]
fn what_is_made_needs_no_exception_in_a_strict_crate() {
    let _ = private::use_them;
    let (fax, email) = ("".into(), "e".into());
    let plain = CustomerPlain { id: 1, email, fax, displayName: "".into(), iban: None, plan: String::new() };
    assert_eq!(format!("{plain:?}"), "CustomerPlain { .. }");
}
