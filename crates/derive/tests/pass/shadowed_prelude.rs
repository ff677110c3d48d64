//! Everything that generated code could mean by a short name is something else here.
#![deny(warnings)]
#![allow(dead_code, non_camel_case_types)]

mod shadowed {
    pub struct Result;
    pub struct Option;
    pub struct Vec;
    pub struct String;
    pub struct Box;
    pub struct Some;
    pub struct None;
    pub struct Ok;
    pub struct Err;
    pub struct Self_;
    pub struct Sealed;
    pub struct Plain;
    pub struct Field;
    pub struct SubjectKeys;
    pub struct Formatter;
    pub struct str;
    pub struct bool;
    pub struct usize;
    pub trait Into {}
    pub trait From {}
    pub trait Clone {}
    pub trait Debug {}
    pub trait FnMut {}
    pub trait Record {}
    pub trait Column {}
    pub trait ToId {}
    pub trait FieldVisitor {}
    pub trait Plaintext {}
    pub struct Kind;
    pub struct Encoder;
    pub struct Decoder;
    pub struct Error;
    pub mod std {}
    pub mod core {}
    pub mod alloc {}
    pub mod fieldseal {}
    pub mod record {}
    pub const fn drop() {}

    #[derive(::fieldseal::Record)]
    #[record(schema = "customer")]
    pub struct Customer {
        #[record(id, subject = "customer")]
        pub id: i64,
        pub email: ::fieldseal::Sealed<::std::string::String>,
        #[record(purpose = "billing")]
        pub iban: ::core::option::Option<::fieldseal::Sealed<::std::string::String>>,
        #[record(clear)]
        pub plan: u8,
    }

    impl Customer {
        pub fn subject(&self) {}
        pub fn subject_of(&self) {}
    }

    impl CustomerPlain {
        pub fn subject(&self) {}
        pub fn subject_of(&self) {}
    }

    #[derive(::fieldseal::Plaintext)]
    pub struct Email(::std::string::String);

    #[derive(::core::fmt::Debug, ::core::cmp::PartialEq, ::fieldseal::Plaintext)]
    pub enum Plan {
        Free,
        Ok,
        None,
        Self_,
    }

    impl Email {
        pub const KIND: i32 = 1;
        pub fn encode(&self) {}
        pub fn decode(&self) {}
        pub fn wipe(&self) {}
        pub fn shape(&self) {}
    }

    /// Among methods, constants and traits of the names that the macro defines or calls.
    #[derive(::fieldseal::Record)]
    #[record(schema = "order", any_subject, plain(name = OrderForm))]
    pub struct Order {
        #[record(id)]
        pub id: i64,
        pub note: ::fieldseal::Sealed<::std::string::String>,
    }

    impl Order {
        pub const SCHEMA: i32 = 1;
        pub const PURPOSES: i32 = 2;
        pub fn seal(&self) {}
        pub fn open(&self) {}
        pub fn needs_reseal(&self) {}
        pub fn reseal(&self) {}
        pub fn each_id(&self) {}
        pub fn each_field(&self) {}
        pub fn owner(&self) {}
        pub fn subject(&self) {}
        pub fn subject_of(&self) {}
        pub fn clone(&self) {}
        pub fn to_id(&self) {}
    }

    impl OrderForm {
        pub fn fmt(&self) {}
        pub fn subject(&self) {}
    }

    trait Clashing {
        const NOTE: i32 = 3;
        type Plain;
        fn seal(&self) {}
        fn open(&self) {}
        fn reseal(&mut self) {}
        fn each_field(&self) {}
    }

    impl Clashing for Order {
        type Plain = i32;
    }

    impl<T> Shadow for T {}
    trait Shadow {
        fn seal(&self) {}
        fn open(&self) {}
        fn clone(&self) {}
        fn to_id(&self) {}
        fn fmt(&self) {}
        fn debug_struct(&self) {}
        fn map(&self) {}
        fn visit(&self) {}
    }
}

#[test]
fn short_names_may_mean_something_else() {
    assert_eq!(<shadowed::Email as fieldseal::Plaintext>::KIND, fieldseal::value::Kind::Text);
    let keys = fieldseal_testkit::keys(&fieldseal_testkit::customer(1));
    let context = fieldseal::FieldContext::new("customer", "plan", &1).unwrap();
    let sealed = keys.seal_value(&shadowed::Plan::None.into(), &context).unwrap();
    assert_eq!(*keys.open_value(&sealed, &context).unwrap().expose(), shadowed::Plan::None);
    assert_eq!(<shadowed::Customer as fieldseal::Record>::PURPOSES, ["default", "billing"]);
    assert_eq!(<shadowed::Order as fieldseal::Record>::SCHEMA, "order");
    assert_eq!(shadowed::Customer::IBAN.spec().purpose(), "billing");
    assert_eq!(shadowed::Order::SCHEMA, 1);
    let row: fn(&shadowed::Customer) = shadowed::Customer::subject;
    let by_id = <shadowed::Customer as fieldseal::Record>::subject_of(&1).unwrap();
    assert_eq!(by_id, fieldseal_testkit::customer(1));
    let _ = row;
    let form = shadowed::OrderForm { id: 1, note: "secret".into() };
    assert_eq!(format!("{form:?}"), "OrderForm { .. }");
}
