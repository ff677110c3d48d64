//! Generics, bounds, const generics and lifetimes reach the twin and every impl.
#![deny(warnings)]

use fieldseal::id::ToId;
use fieldseal::{Plaintext, Record, Sealed};

/// With everything.
#[derive(Record)]
#[record(schema = "generic", plain(derive(serde::Serialize), attr(serde(bound(serialize = "I: serde::Serialize")))))]
pub struct Generic<'a, I: ToId + Clone, T: Plaintext = String, const N: usize = 4>
where
    I: std::fmt::Debug,
    T: Send,
{
    #[record(id, subject)]
    pub id: I,
    #[record(plain(attr(serde(skip))))]
    pub value: Sealed<T>,
    #[record(purpose = "other", plain(attr(serde(skip))))]
    pub bytes: Option<Sealed<[u8; N]>>,
    #[record(clear)]
    pub label: &'a str,
}

type Strings<'a> = Generic<'a, i64>;
type Ints<'a> = Generic<'a, &'a str, i64, 16>;

#[test]
fn generics_reach_the_twin_and_every_impl() {
    assert_eq!(Strings::VALUE.spec().name(), "value");
    assert_eq!(<Ints<'_> as Record>::PURPOSES, ["default", "other"]);
    let plain = GenericPlain::<'_, i64> { id: 1, value: "v".into(), bytes: Some([0; 4].into()), label: "l" };
    assert_eq!(fieldseal::HasSubject::subject(&plain).unwrap().as_str(), "1");
}
