//! What an opened value's bytes are read as: the first byte chooses the type that is asked for, the second the marker that they
//! are sealed with, the others are the value.
#![no_main]

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use fieldseal::value::{AsJson, Kind};
use fieldseal::{Error, FieldContext, Plain, Plaintext, Sealed, SubjectKeys};
use libfuzzer_sys::fuzz_target;
use rust_decimal::Decimal;
use secrecy::SecretString;
use time::{Date, OffsetDateTime, PrimitiveDateTime, Time};
use uuid::Uuid;

static KEYS: LazyLock<SubjectKeys> = LazyLock::new(|| fieldseal::fuzzing::keys(&[7; 32]));

fuzz_target!(|input: &[u8]| {
    let Some((&[ty, marker], bytes)) = input.split_first_chunk() else { return };
    let value = Value { marker: 0x80 | marker & 0x3F, bytes };
    let is_text = std::str::from_utf8(bytes).is_ok();
    // `seed.py` has these numbers.
    match ty % 35 {
        0 => value.canonical::<String>(is_text),
        1 => value.canonical::<Vec<u8>>(true),
        2 => value.canonical::<[u8; 16]>(bytes.len() == 16),
        3 => value.canonical::<bool>(matches!(bytes, [0 | 1])),
        4 => value.integer::<i8>(),
        5 => value.integer::<i16>(),
        6 => value.integer::<i32>(),
        7 => value.integer::<i64>(),
        8 => value.integer::<i128>(),
        9 => value.integer::<u8>(),
        10 => value.integer::<u16>(),
        11 => value.integer::<u32>(),
        12 => value.integer::<u64>(),
        13 => value.integer::<u128>(),
        14 => value.canonical::<f64>(bytes.len() == 8),
        15 => value.canonical::<Option<String>>(is_text),
        16 => value.canonical::<Uuid>(bytes.len() == 16),
        17 | 18 => value.one_calendar::<NaiveDate, Date>(),
        19 => value.one_calendar::<DateTime<Utc>, OffsetDateTime>(),
        20 => value.one_calendar::<DateTime<FixedOffset>, OffsetDateTime>(),
        21 => value.stable::<Decimal>(),
        22 => value.canonical::<SecretString>(is_text),
        23 => value.stable::<AsJson<serde_json::Value>>(),
        24 => value.one_calendar::<NaiveDateTime, PrimitiveDateTime>(),
        25 => value.one_calendar::<NaiveTime, Time>(),
        26 => value.small_float(),
        27 => value.stable::<IpAddr>(),
        28 => value.stable::<Ipv4Addr>(),
        29 => value.stable::<Ipv6Addr>(),
        30 => value.list::<Option<String>>(),
        31 => value.list::<Option<i128>>(),
        32 => value.list::<Vec<u8>>(),
        33 => value.list::<Vec<Option<bool>>>(),
        _ => value.list::<f64>(),
    }
});

struct Value<'a> {
    marker: u8,
    bytes: &'a [u8],
}

impl Value<'_> {
    /// That bytes of its kind are a `T` where they are to be; if so, that `T` is written as these bytes.
    fn canonical<T: Plaintext>(&self, is_one: bool) {
        let opened = self.open::<T>();
        if self.is_of_kind::<T>() {
            assert_eq!(opened.is_some(), is_one);
        }
        self.is_written::<T>(opened);
    }

    /// 16 bytes, of a number in the type's range.
    fn integer<T: Plaintext + TryFrom<i128, Error: Debug>>(&self) {
        let number = self.bytes.try_into().map(i128::from_be_bytes);
        self.canonical::<T>(number.is_ok_and(|n| T::try_from(n).is_ok()));
    }

    /// That two types of different crates read the same.
    fn one_calendar<A: Plaintext, B: Plaintext>(&self) {
        let (a, b) = (self.open::<A>(), self.open::<B>());
        assert_eq!(a.is_some(), b.is_some(), "one calendar");
        if let (Some(a), Some(b)) = (&a, &b) {
            assert!(encoded(a) == encoded(b), "one calendar");
        }
        self.is_written::<A>(a);
    }

    /// An `f64` that is no `f32` is not rounded.
    fn small_float(&self) {
        let small = self.open::<f32>();
        if let Some(small) = &small {
            let wide = *self.open::<f64>().expect("of the same value").expose();
            assert!(f64::from(*small.expose()) == wide || small.expose().is_nan() && wide.is_nan());
        }
        self.is_written::<f32>(small);
    }

    /// Where a value has several encodings, the one that is written reads as the same value.
    fn stable<T: Plaintext + PartialEq>(&self) {
        if let Some(value) = self.open::<T>() {
            let again = Value { marker: T::KIND.marker(), bytes: &encoded(&value).expect("a value") };
            let again = again.open::<T>().expect("what is written is read");
            assert!(again.expose() == value.expose(), "what is written is the value");
        }
    }

    /// A list has one encoding, if its items have.
    fn list<T: Plaintext>(&self) {
        let opened = match self.sealed() {
            Some(sealed) => KEYS.open_value(&Sealed::<Vec<T>>::from_bytes(sealed).unwrap(), &context()),
            None => return,
        };
        match opened {
            Ok(list) => self.is_written::<Vec<T>>(Some(list)),
            // Of the list, or of an item.
            Err(Error::Malformed | Error::UnknownFormat | Error::WrongType { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn is_of_kind<T: Plaintext>(&self) -> bool {
        self.marker == T::KIND.marker()
    }

    /// One value of a kind, one encoding.
    fn is_written<T: Plaintext>(&self, value: Option<Plain<T>>) {
        if let (true, Some(value)) = (self.is_of_kind::<T>(), value) {
            assert_eq!(encoded(&value).as_deref(), Some(self.bytes), "one value, one encoding");
        }
    }

    /// None where there is no such frame: a none has no bytes.
    fn sealed(&self) -> Option<Vec<u8>> {
        fieldseal::fuzzing::seal(&KEYS, self.marker, self.bytes, &context()).ok()
    }

    /// As a type that is no list.
    fn open<T: Plaintext>(&self) -> Option<Plain<T>> {
        let kind = Kind::of(self.marker);
        let reads = kind.is_some_and(|kind| if kind == Kind::None { T::NULLABLE } else { T::reads(kind) });
        match KEYS.open_value(&Sealed::<T>::from_bytes(self.sealed()?).unwrap(), &context()) {
            Ok(value) => {
                assert!(reads);
                Some(value)
            }
            Err(Error::Malformed) => {
                assert!(reads, "the kind is judged before the bytes");
                None
            }
            Err(Error::WrongType { found, expected }) => {
                assert!(!reads && kind == Some(found) && expected == T::KIND);
                None
            }
            Err(Error::UnknownFormat) => {
                assert!(kind.is_none(), "{kind:?}");
                None
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// The bytes that a value is written as; none for a none.
fn encoded<T: Plaintext>(value: &Plain<T>) -> Option<Vec<u8>> {
    let sealed = KEYS.seal_value(value, &context()).unwrap();
    fieldseal::fuzzing::open(&KEYS, sealed.as_bytes(), &context()).unwrap()
}

fn context() -> FieldContext<'static> {
    FieldContext::new("person", "name", &17).unwrap()
}
