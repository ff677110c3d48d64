//! Not even the prelude is needed.
#![no_implicit_prelude]
#![deny(warnings)]

#[derive(::fieldseal::Record)]
#[record(schema = "customer")]
pub struct Customer {
    #[record(id, subject = "customer")]
    pub id: i64,
    pub email: ::fieldseal::Sealed<::std::string::String>,
}

#[derive(::fieldseal::Plaintext)]
pub struct Email(::std::string::String);

#[derive(::fieldseal::Plaintext)]
pub enum Plan {
    Free,
    Paid,
}
