//! What an opened value's bytes are read as: the first byte chooses the type, the others are the value.
//!
//! They are sealed as bytes and opened as that type, so that they come the way of every value.
#![no_main]

use std::fmt::Debug;
use std::sync::LazyLock;

use chrono::{DateTime, NaiveDate, Utc};
use fieldseal::value::AsJson;
use fieldseal::{Error, FieldContext, Plain, Plaintext, Sealed, SubjectKeys};
use libfuzzer_sys::fuzz_target;
use rust_decimal::Decimal;
use secrecy::SecretString;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

static KEYS: LazyLock<SubjectKeys> = LazyLock::new(|| fieldseal::fuzzing::keys(&[7; 32]));

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    // `seed.py` has these numbers.
    match kind % 24 {
        0 => assert_eq!(canonical::<String>(bytes), std::str::from_utf8(bytes).is_ok()),
        1 => assert!(canonical::<Vec<u8>>(bytes)),
        2 => assert_eq!(canonical::<[u8; 16]>(bytes), bytes.len() == 16),
        3 => assert_eq!(canonical::<bool>(bytes), matches!(bytes, [0 | 1])),
        4 => integer::<i8>(bytes),
        5 => integer::<i16>(bytes),
        6 => integer::<i32>(bytes),
        7 => integer::<i64>(bytes),
        8 => integer::<i128>(bytes),
        9 => integer::<u8>(bytes),
        10 => integer::<u16>(bytes),
        11 => integer::<u32>(bytes),
        12 => integer::<u64>(bytes),
        13 => integer::<u128>(bytes),
        14 => assert_eq!(canonical::<f64>(bytes), bytes.len() == 8),
        15 => assert_eq!(canonical::<Option<String>>(bytes), std::str::from_utf8(bytes).is_ok()),
        16 => assert_eq!(canonical::<Uuid>(bytes), bytes.len() == 16),
        17 | 18 => assert_eq!(canonical::<NaiveDate>(bytes), canonical::<Date>(bytes), "one calendar"),
        19 | 20 => assert_eq!(canonical::<DateTime<Utc>>(bytes), canonical::<OffsetDateTime>(bytes), "one calendar"),
        21 => stable::<Decimal>(bytes),
        22 => assert_eq!(canonical::<SecretString>(bytes), std::str::from_utf8(bytes).is_ok()),
        _ => stable::<AsJson<serde_json::Value>>(bytes),
    }
});

/// Whether these bytes are a `T`; if so, that `T` is written as these bytes.
fn canonical<T: Plaintext>(bytes: &[u8]) -> bool {
    let Some(value) = open::<T>(bytes) else { return false };
    assert_eq!(encoded(&value), bytes, "one value, one encoding");
    true
}

/// Where a value has several encodings, the one that is written reads as the same value.
fn stable<T: Plaintext + PartialEq>(bytes: &[u8]) {
    if let Some(value) = open::<T>(bytes) {
        let again = open::<T>(&encoded(&value)).expect("what is written is read");
        assert!(again.expose() == value.expose(), "what is written is the value");
    }
}

/// 16 bytes, of a number in the type's range.
fn integer<T: Plaintext + TryFrom<i128, Error: Debug>>(bytes: &[u8]) {
    let number = bytes.try_into().map(i128::from_be_bytes);
    assert_eq!(canonical::<T>(bytes), number.is_ok_and(|n| T::try_from(n).is_ok()));
}

fn open<T: Plaintext>(bytes: &[u8]) -> Option<Plain<T>> {
    let sealed = KEYS.seal_bytes(bytes, &context()).unwrap();
    match KEYS.open_value(&Sealed::<T>::from_bytes(sealed).unwrap(), &context()) {
        Ok(value) => Some(value),
        Err(Error::Malformed) => None,
        Err(other) => panic!("{other:?}"),
    }
}

fn encoded<T: Plaintext>(value: &Plain<T>) -> Vec<u8> {
    let sealed = KEYS.seal_value(value, &context()).unwrap();
    KEYS.open_bytes(sealed.as_bytes(), &context()).unwrap().expect("a value").to_vec()
}

fn context() -> FieldContext<'static> {
    FieldContext::new("person", "name", &17).unwrap()
}
