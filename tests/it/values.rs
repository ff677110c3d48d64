//! Every type that can be sealed: that it comes back, its bytes as `docs/format.md` (section 6) gives them, what is
//! refused, and that nothing of it shows where it shouldn't.

use std::fmt::Debug;

use chrono::{DateTime, NaiveDate, Utc};
use fieldseal::value::{AsJson, Plaintext};
use fieldseal::{Error, FieldContext, HasSubject as _, Plain, Sealed, SubjectKeys, id::ToId as _};
use fieldseal_testkit::keys;
use proptest::prelude::*;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcDateTime, UtcOffset};
use uuid::Uuid;

/// Seals and opens values in one place of one subject.
struct Bench(SubjectKeys);

impl Bench {
    fn new() -> Self {
        Self(keys("ada"))
    }

    fn seal<T: Plaintext>(&self, value: T) -> Result<Sealed<T>, Error> {
        self.0.seal_value(&Plain::new(value), &context())
    }

    fn open<T: Plaintext>(&self, sealed: &Sealed<T>) -> Result<T, Error> {
        self.0.open_value(sealed, &context()).map(Plain::into_inner)
    }

    /// What stands in the envelope; `None` for none.
    fn bytes<T: Plaintext>(&self, value: T) -> Option<Vec<u8>> {
        let sealed = self.seal(value).unwrap();
        self.0.open_bytes(sealed.as_bytes(), &context()).unwrap().map(|bytes| bytes.to_vec())
    }

    /// Reads a `T` from bytes that somebody else sealed.
    fn read<T: Plaintext>(&self, bytes: impl AsRef<[u8]>) -> Result<T, Error> {
        self.open(&Sealed::from_bytes(self.0.seal_bytes(bytes.as_ref(), &context())?)?)
    }

    /// Seals a `T` and opens it as a `U`.
    fn recast<T: Plaintext, U: Plaintext>(&self, value: T) -> Result<U, Error> {
        self.open(&Sealed::from_bytes(self.seal(value)?.into_bytes())?)
    }

    fn comes_back<T: Plaintext + Clone + PartialEq + Debug>(&self, value: &T) {
        assert_eq!(self.open(&self.seal(value.clone()).unwrap()).unwrap(), *value);
    }

    fn refuses_to_read<T: Plaintext + Debug>(&self, bytes: impl AsRef<[u8]> + Debug) {
        let read = self.read::<T>(&bytes);
        assert!(matches!(read, Err(Error::Malformed)), "{bytes:?} read as {read:?}");
    }

    fn refuses_to_seal<T: Plaintext>(&self, value: T) {
        let refused = self.seal(value);
        assert!(matches!(refused, Err(Error::InvalidInput(_))), "{refused:?}");
    }
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "field", &42).unwrap()
}

mod round_trips {
    use super::*;

    proptest! {
        #[test]
        fn text_and_bytes(text: String, bytes: Vec<u8>, array: [u8; 12]) {
            let bench = Bench::new();
            bench.comes_back(&text);
            bench.comes_back(&bytes);
            bench.comes_back(&array);
            assert_eq!(bench.bytes(text.clone()).unwrap(), text.as_bytes());
            assert_eq!(bench.bytes(bytes.clone()).unwrap(), bytes);
            assert_eq!(bench.bytes(array).unwrap(), array);
        }

        #[test]
        fn integers(signed: i128, unsigned: u64, small: i8, truth: bool) {
            let bench = Bench::new();
            bench.comes_back(&signed);
            bench.comes_back(&unsigned);
            bench.comes_back(&small);
            bench.comes_back(&truth);
            bench.comes_back(&(unsigned as u32));
            bench.comes_back(&(unsigned as i16));
            assert_eq!(bench.bytes(signed).unwrap(), signed.to_be_bytes());
            assert_eq!(bench.bytes(small).unwrap(), i128::from(small).to_be_bytes());
        }

        #[test]
        fn floats_by_their_bits(bits: u64) {
            let bench = Bench::new();
            let opened = bench.open(&bench.seal(f64::from_bits(bits)).unwrap()).unwrap();
            assert_eq!(opened.to_bits(), bits);
        }

        #[test]
        fn floats_in_json_by_their_bits(bits: u64) {
            let (bench, number) = (Bench::new(), f64::from_bits(bits));
            prop_assume!(number.is_finite()); // JSON has no word for the others
            let AsJson(opened) = bench.open(&bench.seal(AsJson(number)).unwrap()).unwrap();
            assert_eq!(opened.to_bits(), bits);
        }

        #[test]
        fn options(value in proptest::option::of(any::<String>())) {
            Bench::new().comes_back(&value);
        }

        #[test]
        fn uuids(bytes: [u8; 16]) {
            Bench::new().comes_back(&Uuid::from_bytes(bytes));
        }

        #[test]
        fn decimals(mantissa in -(1i128 << 96) + 1..1 << 96, scale in 0u32..=28) {
            let bench = Bench::new();
            let value = Decimal::from_i128_with_scale(mantissa, scale);
            let opened = bench.open(&bench.seal(value).unwrap()).unwrap();
            // Equality of decimals doesn't see trailing zeros; their text does.
            assert_eq!(opened.to_string(), value.to_string());
            assert_eq!(bench.bytes(value).unwrap(), value.to_string().into_bytes());
        }

        #[test]
        fn chrono_and_time_write_the_same_bytes(
            seconds in -62_167_219_200i64..=253_402_300_799,
            nanos in 0u32..1_000_000_000,
            offset in -50_000i32..=50_000,
        ) {
            let bench = Bench::new();
            let chrono = DateTime::<Utc>::from_timestamp(seconds, nanos).unwrap();
            let utc = UtcDateTime::from_unix_timestamp(seconds).unwrap().replace_nanosecond(nanos).unwrap();
            let shifted = utc.checked_to_offset(UtcOffset::from_whole_seconds(offset).unwrap());
            bench.comes_back(&chrono);
            bench.comes_back(&utc);
            bench.comes_back(&chrono.date_naive());
            bench.comes_back(&utc.date());

            let bytes = bench.bytes(chrono);
            assert_eq!(bench.bytes(utc), bytes);
            assert_eq!(bench.bytes(chrono.date_naive()), bench.bytes(utc.date()));
            assert_eq!(bytes.unwrap().len(), 30);
            // The offset is gone, the instant is not. (None: the edge of time's calendar.)
            if let Some(shifted) = shifted {
                let opened = bench.open(&bench.seal(shifted).unwrap()).unwrap();
                assert_eq!((opened, opened.offset()), (shifted, UtcOffset::UTC));
            }
        }

        #[test]
        fn secrets(text: String, bytes: Vec<u8>) {
            let bench = Bench::new();
            let opened = bench.open(&bench.seal(SecretString::from(text.clone())).unwrap()).unwrap();
            assert_eq!(opened.expose_secret(), text);
            let opened = bench.open(&bench.seal(SecretSlice::from(bytes.clone())).unwrap()).unwrap();
            assert_eq!(opened.expose_secret(), bytes);
        }

        #[test]
        fn json(names: Vec<String>, bytes: Vec<u8>) {
            let bench = Bench::new();
            bench.comes_back(&AsJson((names.clone(), bytes)));
            assert_eq!(bench.bytes(AsJson(names.clone())).unwrap(), serde_json::to_vec(&names).unwrap());
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let bench = Bench::new();
            let _ = bench.read::<String>(&bytes);
            let _ = bench.read::<i32>(&bytes);
            let _ = bench.read::<NaiveDate>(&bytes);
            let _ = bench.read::<DateTime<Utc>>(&bytes);
            let _ = bench.read::<OffsetDateTime>(&bytes);
            let _ = bench.read::<Decimal>(&bytes);
            let _ = bench.read::<AsJson<Vec<String>>>(&bytes);
        }

        #[test]
        fn whatever_reads_as_a_decimal_is_of_the_grammar(text in "[-+]?[0-9_]{0,4}[.]?[0-9_e]{0,4}") {
            let bench = Bench::new();
            let of_grammar = {
                let unsigned = text.strip_prefix('-').unwrap_or(&text);
                let parts: Vec<_> = unsigned.split('.').collect();
                parts.len() <= 2 && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            };
            assert_eq!(bench.read::<Decimal>(&text).is_ok(), of_grammar, "{text}");
        }
    }
}

mod bytes {
    use super::*;

    #[test]
    fn are_those_of_the_format() {
        let bench = Bench::new();
        let id = Uuid::from_u128(0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF);
        let instant: DateTime<Utc> = "2026-11-22T09:30:00Z".parse().unwrap();
        let check = |what: &str, bytes: Option<Vec<u8>>, expected: &[u8]| {
            assert_eq!(bytes.as_deref(), Some(expected), "{what}");
        };
        check("text", bench.bytes("Ada Ł".to_owned()), b"Ada \xC5\x81");
        check("empty text", bench.bytes(String::new()), b"");
        check("bytes", bench.bytes(vec![0, 255, 0x80, 0]), &[0, 255, 0x80, 0]);
        check("true", bench.bytes(true), &[1]);
        check("false", bench.bytes(false), &[0]);
        check("-2i8", bench.bytes(-2i8), &[[0xFF; 15].as_slice(), &[0xFE]].concat());
        check("258u16", bench.bytes(258u16), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        check("1.5", bench.bytes(1.5f64), &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0]);
        check("some", bench.bytes(Some(true)), &[1]);
        check("uuid", bench.bytes(id), b"\x01\x23\x45\x67\x89\xAB\xCD\xEF\x01\x23\x45\x67\x89\xAB\xCD\xEF");
        check("date", bench.bytes(NaiveDate::from_ymd_opt(7, 3, 1).unwrap()), b"0007-03-01");
        check("instant", bench.bytes(instant), b"2026-11-22T09:30:00.000000000Z");
        check("decimal", bench.bytes(Decimal::new(-120_500, 3)), b"-120.500");
        check("zero", bench.bytes(Decimal::new(0, 2)), b"0.00");
        check("secret", bench.bytes(SecretString::from("s3cret".to_owned())), b"s3cret");
        check("json", bench.bytes(AsJson(vec![Some("a\"b".to_owned()), None])), br#"["a\"b",null]"#);
        check("json null", bench.bytes(AsJson(None::<String>)), b"null");
        assert_eq!(bench.bytes(None::<String>), None);
        assert_eq!(bench.bytes(None::<AsJson<String>>), None, "a none is not a null");
    }

    #[test]
    fn take_66_bytes_more_when_they_are_sealed() {
        let bench = Bench::new();
        macro_rules! lengths {
            ($($value:expr => $len:literal;)*) => {$(
                let sealed = bench.seal($value).unwrap();
                assert_eq!(sealed.as_bytes().len(), 66 + $len, stringify!($value));
            )*};
        }
        lengths! {
            String::new() => 0;
            "Ada Ł".to_owned() => 6;
            vec![0u8; 1000] => 1000;
            [7u8; 12] => 12;
            true => 1;
            -2i8 => 16;
            u64::MAX => 16;
            1.5f64 => 8;
            None::<String> => 0;
            Some(17i64) => 16;
            Uuid::from_u128(1) => 16;
            NaiveDate::from_ymd_opt(7, 3, 1).unwrap() => 10;
            DateTime::<Utc>::UNIX_EPOCH => 30;
            Decimal::new(-120_500, 3) => 8;
            SecretString::from("s3cret".to_owned()) => 6;
            AsJson(vec![1, 2]) => 5;
        }
    }

    #[test]
    fn of_fixed_meaning_have_a_fixed_length() {
        let bench = Bench::new();
        let of_i8 = bench.seal(-1i8).unwrap().as_bytes().len();
        assert_eq!(of_i8, bench.seal(i128::MAX).unwrap().as_bytes().len());
        assert_eq!(of_i8, bench.seal(0u64).unwrap().as_bytes().len());
        assert_eq!(of_i8, 66 + 16);
        let early = bench.seal(DateTime::<Utc>::UNIX_EPOCH).unwrap();
        let late = bench.seal(DateTime::<Utc>::from_timestamp(253_402_300_799, 999_999_999).unwrap()).unwrap();
        assert_eq!(early.as_bytes().len(), late.as_bytes().len());
    }
}

mod standard_types {
    use super::*;

    #[test]
    fn an_integer_may_widen_and_must_fit() {
        let bench = Bench::new();
        assert_eq!(bench.recast::<i32, i64>(-7).unwrap(), -7);
        assert_eq!(bench.recast::<i64, i32>(-7).unwrap(), -7);
        assert_eq!(bench.recast::<u8, i128>(255).unwrap(), 255);
        assert!(matches!(bench.recast::<i64, i32>(i64::from(i32::MAX) + 1), Err(Error::Malformed)));
        assert!(matches!(bench.recast::<i8, u64>(-1), Err(Error::Malformed)));
        bench.refuses_to_read::<i32>([0; 15]);
        bench.refuses_to_read::<i32>([0; 17]);
    }

    #[test]
    fn an_integer_above_i128_is_refused() {
        let bench = Bench::new();
        bench.comes_back(&(i128::MAX as u128));
        bench.refuses_to_seal(i128::MAX as u128 + 1);
    }

    /// The bytes don't say their type: where those of one are fit for another, it reads. Two types of one width, or text
    /// and bytes, are told apart by nothing but the schema.
    #[test]
    fn another_type_is_malformed_where_the_bytes_do_not_fit() {
        let bench = Bench::new();
        let context = context();
        for (what, envelope) in [
            ("text", bench.seal("seventeen letters".to_owned()).unwrap().into_bytes()),
            ("none", bench.seal(None::<i32>).unwrap().into_bytes()),
            ("nothing", bench.seal(Vec::<u8>::new()).unwrap().into_bytes()),
        ] {
            fn refused<T: Plaintext>(keys: &SubjectKeys, envelope: &[u8], context: &FieldContext<'_>) -> bool {
                let sealed = Sealed::<T>::from_bytes(envelope).unwrap();
                matches!(keys.open_value(&sealed, context), Err(Error::Malformed))
            }
            let checks = [
                refused::<bool>,
                refused::<i64>,
                refused::<f64>,
                refused::<[u8; 4]>,
                refused::<Uuid>,
                refused::<NaiveDate>,
                refused::<DateTime<Utc>>,
                refused::<time::Date>,
                refused::<OffsetDateTime>,
                refused::<UtcDateTime>,
                refused::<Decimal>,
                refused::<AsJson<String>>,
            ];
            for (at, refused) in checks.iter().enumerate() {
                assert!(refused(&bench.0, &envelope, &context), "{what} read by check {at}");
            }
        }
        bench.refuses_to_read::<bool>([2]);
        bench.refuses_to_read::<String>([b'a', 0xFF]);
        assert_eq!(bench.recast::<bool, String>(true).unwrap(), "\u{1}", "one byte of ASCII is text");
        assert_eq!(bench.recast::<String, Vec<u8>>("Ada".into()).unwrap(), b"Ada");
    }

    #[test]
    fn none_opens_as_an_option_only() {
        let bench = Bench::new();
        assert_eq!(bench.recast::<Option<i32>, Option<String>>(None).unwrap(), None, "none has no type");
        assert!(matches!(bench.recast::<Option<String>, String>(None), Err(Error::Malformed)));
        assert!(matches!(bench.recast::<Option<SecretString>, SecretString>(None), Err(Error::Malformed)));
        assert_eq!(bench.recast::<String, Option<String>>("a".into()).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn every_nan_and_zero_keeps_its_bits() {
        let bench = Bench::new();
        for bits in [f64::NAN.to_bits(), 0x7FF0_0000_0000_0001, 0xFFF8_0000_0000_1234, (-0.0f64).to_bits()] {
            let opened = bench.open(&bench.seal(f64::from_bits(bits)).unwrap()).unwrap();
            assert_eq!(opened.to_bits(), bits);
        }
    }
}

mod calendar {
    use super::*;

    #[test]
    fn years_are_of_four_digits() {
        let bench = Bench::new();
        for year in [0, 9999] {
            bench.comes_back(&NaiveDate::from_ymd_opt(year, 12, 31).unwrap());
            bench.comes_back(&time::Date::from_ordinal_date(year, 365).unwrap());
        }
        for year in [-1, 10_000] {
            let day = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
            bench.refuses_to_seal(day);
            bench.refuses_to_seal(day.and_hms_opt(0, 0, 0).unwrap().and_utc());
        }
        let before = time::Date::from_ordinal_date(-1, 365).unwrap();
        bench.refuses_to_seal(before);
        bench.refuses_to_seal(before.midnight().assume_utc());
        bench.refuses_to_seal(UtcDateTime::new(before, time::Time::MIDNIGHT));
    }

    /// It is the year in UTC that counts.
    #[test]
    fn an_offset_can_carry_an_instant_out_of_range() {
        let bench = Bench::new();
        let hours = |h| UtcOffset::from_hms(h, 0, 0).unwrap();
        let last_day = time::Date::from_ordinal_date(9999, 365).unwrap();
        bench.refuses_to_seal(last_day.with_hms(23, 30, 0).unwrap().assume_offset(hours(-1)));
        let first_day = time::Date::from_ordinal_date(0, 1).unwrap();
        bench.refuses_to_seal(first_day.midnight().assume_offset(hours(1)));
        bench.comes_back(&first_day.with_hms(1, 0, 0).unwrap().assume_offset(hours(1)));
    }

    #[test]
    fn a_leap_second_is_refused() {
        let bench = Bench::new();
        let eve = NaiveDate::from_ymd_opt(2016, 12, 31).unwrap();
        let leap = eve.and_hms_nano_opt(23, 59, 59, 1_500_000_000).unwrap();
        bench.refuses_to_seal(leap.and_utc());
        bench.comes_back(&eve.and_hms_nano_opt(23, 59, 59, 999_999_999).unwrap().and_utc());
        for text in ["2016-12-31T23:59:60.000000000Z", "2016-12-31T23:59:60.500000000Z"] {
            bench.refuses_to_read::<DateTime<Utc>>(text);
            bench.refuses_to_read::<OffsetDateTime>(text);
        }
    }

    #[test]
    fn only_the_fixed_forms_are_read() {
        let bench = Bench::new();
        for text in [
            "",
            "2026-11-2",
            "2026-11-222",
            "2026/11/22",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2026-11-00",
            "+026-11-22",
            "-026-11-22",
            "2026-11-2a",
            " 026-11-22",
        ] {
            bench.refuses_to_read::<NaiveDate>(text);
            bench.refuses_to_read::<time::Date>(text);
        }
        for text in [
            "2026-11-22T09:30:00Z",
            "2026-11-22T09:30:00.000000Z",
            "2026-11-22T09:30:00.0000000000Z",
            "2026-11-22T09:30:00.00000000Z ",
            "2026-11-22t09:30:00.000000000Z",
            "2026-11-22 09:30:00.000000000Z",
            "2026-11-22T09:30:00.000000000z",
            "2026-11-22T09:30:00,000000000Z",
            "2026-11-22T09:30:00.00000+0000",
            "2026-11-22T09:30:00.0000+00:00",
            "2026-11-22T24:00:00.000000000Z",
            "2026-11-22T09:60:00.000000000Z",
            "2026-11-22T09:30:00.00000000aZ",
            "2026-02-30T09:30:00.000000000Z",
        ] {
            bench.refuses_to_read::<DateTime<Utc>>(text);
            bench.refuses_to_read::<OffsetDateTime>(text);
            bench.refuses_to_read::<UtcDateTime>(text);
        }
        let instant: DateTime<Utc> = bench.read("2026-11-22T09:30:00.000000001Z").unwrap();
        assert_eq!(instant.timestamp_subsec_nanos(), 1);
    }
}

mod decimals {
    use super::*;

    #[test]
    fn keep_their_trailing_zeros() {
        let bench = Bench::new();
        for text in ["0", "0.00", "1.50", "100", "-0.10", "79228162514264337593543950335", "007.0"] {
            let opened: Decimal = bench.read(text).unwrap();
            assert_eq!(opened.to_string(), text.strip_prefix("00").unwrap_or(text));
        }
        assert_eq!(bench.bytes(Decimal::MIN).unwrap(), b"-79228162514264337593543950335");
    }

    #[test]
    fn are_read_by_the_grammar_alone() {
        let bench = Bench::new();
        for text in
            ["", "-", "+1", "1.", ".5", "-.5", "1e5", "1E5", "1_000", "1,5", " 1", "1 ", "--1", "1.2.3", "NaN", "١"]
        {
            bench.refuses_to_read::<Decimal>(text);
        }
    }

    #[test]
    fn are_never_rounded() {
        let bench = Bench::new();
        bench.refuses_to_read::<Decimal>("79228162514264337593543950336");
        bench.refuses_to_read::<Decimal>("0.00000000000000000000000000001");
        bench.refuses_to_read::<Decimal>("9.9999999999999999999999999999");
        bench.refuses_to_read::<Decimal>("1".repeat(10_000));
    }
}

mod uuids {
    use super::*;

    #[test]
    fn are_ids_in_lower_case() {
        let id = Uuid::parse_str("0123ABCD-4567-89AB-CDEF-0123456789AB").unwrap();
        assert_eq!(id.to_id().unwrap().as_str(), "0123abcd-4567-89ab-cdef-0123456789ab");
        assert_eq!(id.subject().unwrap().as_str(), "0123abcd-4567-89ab-cdef-0123456789ab");
    }

    #[test]
    fn nil_is_no_id_but_a_value() {
        assert!(matches!(Uuid::nil().to_id(), Err(Error::InvalidInput(_))));
        assert!(Uuid::nil().subject().is_err());
        Bench::new().comes_back(&Uuid::nil());
    }
}

mod json {
    use super::*;

    #[test]
    fn null_and_none_are_two_things() {
        let bench = Bench::new();
        assert_eq!(bench.bytes(AsJson(None::<i32>)).unwrap(), b"null");
        assert!(matches!(bench.recast::<Option<i32>, AsJson<Option<i32>>>(None), Err(Error::Malformed)));
        bench.comes_back(&Some(AsJson(None::<i32>)));
        bench.comes_back(&None::<AsJson<Option<i32>>>);
    }

    #[test]
    fn other_text_is_malformed() {
        let bench = Bench::new();
        for text in ["", "{", "\"a", "1 2", "[1]", "\"a\"x", "nul"] {
            bench.refuses_to_read::<AsJson<String>>(text);
        }
        bench.refuses_to_read::<AsJson<String>>(b"\"\xFF\"");
        #[derive(Debug, Deserialize, Serialize)]
        struct Nothing {}
        bench.refuses_to_read::<AsJson<Nothing>>(b"{\"skipped\":\"\xFF\"}");
    }

    #[test]
    fn what_has_no_json_is_refused_without_a_quote() {
        let bench = Bench::new();
        let map = std::collections::BTreeMap::from([(("ada@example.com".to_owned(), 1), 2)]);
        let Err(Error::InvalidInput(text)) = bench.seal(AsJson(Unreadable(map))) else {
            panic!("a map keyed by tuples")
        };
        assert!(!text.contains("ada"), "{text}");
    }

    struct Unreadable(std::collections::BTreeMap<(String, i32), i32>);

    impl Serialize for Unreadable {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Unreadable {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            unreachable!()
        }
    }

    /// It could only happen to a type that serializes differently each time.
    #[test]
    fn a_second_pass_of_another_length_is_refused() {
        struct Growing(std::cell::Cell<usize>);
        impl Serialize for Growing {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.set(self.0.get() + 1);
                serializer.serialize_str(&"x".repeat(self.0.get()))
            }
        }
        impl<'de> Deserialize<'de> for Growing {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                unreachable!()
            }
        }
        Bench::new().refuses_to_seal(AsJson(Growing(0.into())));
    }
}

#[test]
fn nothing_shows_in_debug() {
    let bench = Bench::new();
    let sealed = bench.seal("ada@example.com".to_owned()).unwrap();
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        Plain::new(AsJson("ada@example.com".to_owned())),
        AsJson("ada@example.com".to_owned()),
        Plain::new(SecretString::from("ada@example.com".to_owned())),
        Plain::new(Decimal::new(4711, 0)),
        sealed,
    );
    assert_eq!(shown, "Plain(..) AsJson(..) Plain(..) Plain(..) Sealed(81 bytes)");
}
