//! Compiles what the derive macros emit where the dependency has another name.
#![warn(clippy::all, clippy::pedantic, clippy::exhaustive_structs)]

/// With everything that makes the macro name the library.
#[derive(Debug, sealing::Record)]
#[record(schema = "customer", crate = "sealing", plain(name = CustomerForm))]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Customer {
    /// Names the row.
    #[record(id, subject = "customer")]
    pub id: i64,
    /// Reaches the customer.
    pub email: sealing::Sealed<String>,
    /// Bills the customer.
    #[record(purpose = "billing", pad = 64)]
    pub iban: Option<sealing::Sealed<String>>,
    /// What was bought.
    #[record(clear)]
    pub plan: String,
}

/// Reached by mail.
#[derive(Debug, sealing::Plaintext)]
#[plaintext(crate = "sealing")]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Email(pub String);

/// What was bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sealing::Plaintext)]
#[plaintext(crate = "sealing")]
#[non_exhaustive]
pub enum Plan {
    /// Nothing.
    Free,
    /// All of it.
    #[plaintext(rename = "paid")]
    Paid,
}

#[cfg(test)]
mod tests {
    use fieldseal_testkit::{customer, keys_for};
    use sealing::{HasSubject, Record};

    use super::{Customer, CustomerForm, Plan};

    #[test]
    fn a_value_of_the_renamed_library_seals_and_opens() {
        let (keys, context) =
            (keys_for(&customer(7), &[], &[]), sealing::FieldContext::new("customer", "plan", &7).unwrap());
        let sealed = keys.seal_value(&Plan::Paid.into(), &context).unwrap();
        assert_eq!(*keys.open_value(&sealed, &context).unwrap().expose(), Plan::Paid);
    }

    #[test]
    fn a_record_of_the_renamed_library_seals_and_opens() {
        let keys = keys_for(&Customer::subject_of(&7).unwrap(), &["default", "billing"], &[]);
        let form = CustomerForm { id: 7, email: "ada@example.com".into(), iban: None, plan: "free".to_owned() };
        assert_eq!(form.subject().unwrap().id(), "7");
        let row = Customer::seal(&form, &keys).unwrap();
        assert_eq!(row.open(&keys).unwrap().email.expose(), "ada@example.com");
        assert_eq!(keys.open(&row, Customer::EMAIL).unwrap().expose(), "ada@example.com");
        assert!(row.open(&keys_for(&Customer::subject_of(&7).unwrap(), &["default", "billing"], &[])).is_err());
    }
}
