//! Generics, bounds, const generics and lifetimes reach the twin and every impl.
#![deny(warnings)]

use fieldseal::id::ToId;
use fieldseal::{Plaintext, Record, Sealed};
use fieldseal_testkit::customer;

/// With everything.
#[derive(Record)]
#[record(schema = "generic", plain(derive(serde::Serialize), attr(serde(bound(serialize = "I: serde::Serialize")))))]
pub struct Generic<'a, I: ToId + Clone, T: Plaintext = String, const N: usize = 4>
where
    I: std::fmt::Debug,
    T: Send,
{
    #[record(id, subject = "customer")]
    pub id: I,
    #[record(plain(attr(serde(skip))))]
    pub value: Sealed<T>,
    #[record(purpose = "other", plain(attr(serde(skip))))]
    pub bytes: Option<Sealed<[u8; N]>>,
    #[record(clear)]
    pub label: &'a str,
}

/// Around any type that can be sealed.
#[derive(Debug, PartialEq, Plaintext)]
pub struct Around<T: Clone>(pub T)
where
    T: Send;

/// Of any length.
#[derive(Debug, PartialEq, Plaintext)]
pub struct Fixed<const N: usize> {
    /// The bytes.
    pub bytes: [u8; N],
}

type Strings<'a> = Generic<'a, i64>;
type Ints<'a> = Generic<'a, &'a str, i64, 16>;

#[test]
fn generic_newtypes_are_sealed_as_what_they_wrap() {
    assert_eq!(<Around<Option<i64>> as Plaintext>::KIND, i64::KIND);
    const { assert!(<Around<Option<i64>> as Plaintext>::NULLABLE) };
    let keys = fieldseal_testkit::keys(&customer(1));
    let context = fieldseal::FieldContext::new("customer", "field", &1).unwrap();
    let sealed = keys.seal_value(&Around(Some(Fixed { bytes: [1, 2, 3] }.bytes)).into(), &context).unwrap();
    assert_eq!(*keys.open_value(&sealed, &context).unwrap().expose(), Around(Some([1, 2, 3])));
}

#[test]
fn generics_reach_the_twin_and_every_impl() {
    assert_eq!(Strings::VALUE.spec().name(), "value");
    assert_eq!(<Ints<'_> as Record>::PURPOSES, ["default", "other"]);
    let plain = GenericPlain::<'_, i64> { id: 1, value: "v".into(), bytes: Some([0; 4].into()), label: "l" };
    assert_eq!(fieldseal::HasSubject::subject(&plain).unwrap().id(), "1");
}
