//! Compiles what the derive macro emits where the dependency has another name.
#![warn(clippy::all, clippy::pedantic, clippy::exhaustive_structs)]

/// With everything that makes the macro name the library.
#[derive(Debug, sealing::Record)]
#[record(schema = "customer", crate = "sealing", plain(name = CustomerForm))]
#[expect(clippy::exhaustive_structs, reason = "an application's own type")]
pub struct Customer {
    /// Names the row.
    #[record(id, subject)]
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

#[cfg(test)]
mod tests {
    use fieldseal_testkit::keys_for;
    use sealing::{HasSubject, Record};

    use super::{Customer, CustomerForm};

    #[test]
    fn a_record_of_the_renamed_library_seals_and_opens() {
        let keys = keys_for(&7, &["default", "billing"], &[]);
        let form = CustomerForm { id: 7, email: "ada@example.com".into(), iban: None, plan: "free".to_owned() };
        assert_eq!(form.subject().unwrap().as_str(), "7");
        let row = Customer::seal(form, &keys).unwrap();
        assert_eq!(row.open(&keys).unwrap().email.expose(), "ada@example.com");
        assert_eq!(keys.open(&row, Customer::EMAIL).unwrap().expose(), "ada@example.com");
        assert!(row.open(&keys_for(&7, &["default", "billing"], &[])).is_err());
    }
}
