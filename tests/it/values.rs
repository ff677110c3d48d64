//! Every type that can be sealed: that it comes back, its bytes as `docs/format.md` (section 6) gives them, what is
//! refused, and that nothing of it shows where it shouldn't.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use fieldseal::value::{AsJson, Decoder, Encoder, Kind, Plaintext};
use fieldseal::{Error, FieldContext, Plain, Sealed, SubjectId, SubjectKeys, id::ToId as _};
use fieldseal_testkit::world::rounds;
use fieldseal_testkit::{customer, keys};
use proptest::prelude::*;
use rust_decimal::Decimal;
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, PrimitiveDateTime, UtcDateTime, UtcOffset};
use uuid::Uuid;

/// Seals and opens values in one place of one subject.
struct Bench(SubjectKeys);

impl Bench {
    fn new() -> Self {
        Self(keys(&customer("ada")))
    }

    fn seal<T: Plaintext>(&self, value: T) -> Result<Sealed<T>, Error> {
        self.0.seal_value(&Plain::new(value), &context())
    }

    fn open<T: Plaintext>(&self, sealed: &Sealed<T>) -> Result<T, Error> {
        self.0.open_value(sealed, &context()).map(Plain::into_inner)
    }

    /// What stands in the envelope; `None` for none.
    fn bytes<T: Plaintext>(&self, value: T) -> Option<Vec<u8>> {
        self.recast::<T, Option<Raw<T>>>(value).unwrap().map(|Raw(bytes, _)| bytes)
    }

    /// Reads a `T` from bytes that somebody else sealed as one.
    fn read<T: Plaintext>(&self, bytes: impl AsRef<[u8]>) -> Result<T, Error> {
        self.read_as::<T, T>(bytes)
    }

    /// Reads a `T` from bytes that somebody else sealed as an `S`.
    fn read_as<S: Plaintext, T: Plaintext>(&self, bytes: impl AsRef<[u8]>) -> Result<T, Error> {
        self.recast(Raw::<S>(bytes.as_ref().to_vec(), PhantomData))
    }

    /// Seals a `T` and opens it as a `U`.
    fn recast<T: Plaintext, U: Plaintext>(&self, value: T) -> Result<U, Error> {
        self.open(&Sealed::from_bytes(self.seal(value)?.into_bytes())?)
    }

    /// That a `T` is no `U`.
    fn is_of_another_kind<T: Plaintext, U: Plaintext>(&self, value: T) {
        match self.recast::<T, U>(value) {
            Err(Error::WrongType { found, expected }) => assert_eq!((found, expected), (T::KIND, U::KIND)),
            other => panic!("{:?} as {:?}: {:?}", T::KIND, U::KIND, other.err()),
        }
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

/// Any bytes, sealed as a `T` would be.
struct Raw<T>(Vec<u8>, PhantomData<T>);

impl<T: Plaintext> Plaintext for Raw<T> {
    const KIND: Kind = T::KIND;

    fn encoded_len(&self) -> Result<usize, Error> {
        Ok(self.0.len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
        out.put(&self.0)
    }

    fn decode(value: Decoder<'_>) -> Result<Self, Error> {
        value.into_vec().map(|bytes| Self(bytes, PhantomData))
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "field", &42).unwrap()
}

mod round_trips {
    use super::*;

    fn few<T: Debug>(items: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
        proptest::collection::vec(items, 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(u32::try_from(rounds(64, 256)).unwrap()))]
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
        fn small_floats_by_their_bits(bits: u32) {
            let bench = Bench::new();
            let number = f32::from_bits(bits);
            let opened = bench.open(&bench.seal(number).unwrap()).unwrap();
            assert_eq!(opened.to_bits(), bits);
            // It may become an `f64` of the same value, and back.
            let wide = bench.recast::<f32, f64>(number).unwrap();
            assert!(wide == f64::from(number) || number.is_nan() && wide.is_nan());
            assert_eq!(bench.recast::<f64, f32>(wide).unwrap().to_bits(), bits);
        }

        #[test]
        fn an_f64_that_is_no_f32_is_never_rounded(bits: u64) {
            let number = f64::from_bits(bits);
            if let Ok(small) = Bench::new().recast::<f64, f32>(number) {
                assert!(f64::from(small) == number || small.is_nan() && number.is_nan());
                assert!(bits.trailing_zeros() >= 29);
            }
        }

        #[test]
        fn lists(
            (texts, numbers) in (few(any::<Option<String>>()), few(any::<i64>())),
            (nested, bytes) in (few(few(any::<String>())), few(few(any::<u8>()))),
        ) {
            let bench = Bench::new();
            bench.comes_back(&texts);
            bench.comes_back(&numbers);
            bench.comes_back(&nested);
            bench.comes_back(&bytes);
            bench.comes_back(&Some(numbers.clone()));
            let item = |marker: u8, bytes: &[u8]| [&[marker], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
            let expected = |items: Vec<Vec<u8>>| Some(items.concat());
            let of_text = |text: &Option<String>| match text {
                Some(text) => item(0x82, text.as_bytes()),
                None => item(0x81, b""),
            };
            assert_eq!(bench.bytes(texts.clone()), expected(texts.iter().map(of_text).collect()));
            let of_number = |n: &i64| item(0x83, &i128::from(*n).to_be_bytes());
            assert_eq!(bench.bytes(numbers.clone()), expected(numbers.iter().map(of_number).collect()));
            assert_eq!(bench.bytes(bytes.clone()), expected(bytes.iter().map(|bytes| item(0x80, bytes)).collect()));
        }

        #[test]
        fn addresses(four: u32, six: u128) {
            let bench = Bench::new();
            let (four, six) = (Ipv4Addr::from(four), Ipv6Addr::from(six));
            bench.comes_back(&four);
            bench.comes_back(&six);
            bench.comes_back(&IpAddr::V4(four));
            bench.comes_back(&IpAddr::V6(six));
            bench.comes_back(&four.to_ipv6_mapped());
            assert_eq!(bench.recast::<_, IpAddr>(six).unwrap(), IpAddr::V6(six));
            assert_eq!(bench.recast::<_, String>(four).unwrap(), four.to_string());
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
            bench.comes_back(&chrono.naive_utc());
            bench.comes_back(&chrono.time());
            bench.comes_back(&utc.time());
            let local = PrimitiveDateTime::new(utc.date(), utc.time());
            bench.comes_back(&local);
            assert_eq!(bench.bytes(chrono.naive_utc()), bench.bytes(local));
            assert_eq!(bench.bytes(chrono.time()), bench.bytes(utc.time()));
            let fixed = chrono.with_timezone(&FixedOffset::east_opt(offset).unwrap());
            assert_eq!(bench.bytes(fixed), bench.bytes(chrono));
            let opened = bench.open(&bench.seal(fixed).unwrap()).unwrap();
            assert_eq!((opened, opened.offset().local_minus_utc()), (fixed, 0));
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
        check("bytes", bench.bytes(vec![0u8, 255, 0x80, 0]), &[0, 255, 0x80, 0]);
        check("true", bench.bytes(true), &[1]);
        check("false", bench.bytes(false), &[0]);
        check("-2i8", bench.bytes(-2i8), &[[0xFF; 15].as_slice(), &[0xFE]].concat());
        check("258u16", bench.bytes(258u16), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        check("1.5", bench.bytes(1.5f64), &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0]);
        check("1.5f32", bench.bytes(1.5f32), &[0x3F, 0xF8, 0, 0, 0, 0, 0, 0]);
        check("some", bench.bytes(Some(true)), &[1]);
        check("local", bench.bytes(instant.naive_utc()), b"2026-11-22T09:30:00.000000000");
        check("time", bench.bytes(instant.time()), b"09:30:00.000000000");
        check("ip", bench.bytes("2001:DB8:0:0::1".parse::<IpAddr>().unwrap()), b"2001:db8::1");
        check("mapped", bench.bytes(Ipv4Addr::LOCALHOST.to_ipv6_mapped()), b"::ffff:127.0.0.1");
        check("list", bench.bytes(vec![Some(true), None]), b"\x84\0\0\0\x01\x01\x81\0\0\0\0");
        check("no items", bench.bytes(Vec::<String>::new()), b"");
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
            1.5f32 => 8;
            None::<String> => 0;
            Some(17i64) => 16;
            Uuid::from_u128(1) => 16;
            NaiveDate::from_ymd_opt(7, 3, 1).unwrap() => 10;
            DateTime::<Utc>::UNIX_EPOCH => 30;
            DateTime::<Utc>::UNIX_EPOCH.naive_utc() => 29;
            NaiveTime::MIN => 18;
            Ipv4Addr::LOCALHOST => 9;
            vec!["Ada".to_owned(), String::new()] => 13;
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

    #[test]
    fn what_is_no_value_of_its_kind_is_malformed() {
        let bench = Bench::new();
        bench.refuses_to_read::<bool>([2]);
        bench.refuses_to_read::<bool>([]);
        bench.refuses_to_read::<String>([b'a', 0xFF]);
        bench.refuses_to_read::<f64>([0; 7]);
        bench.refuses_to_read::<[u8; 4]>([0; 5]);
        bench.refuses_to_read::<Uuid>([0; 15]);
    }

    #[test]
    fn none_opens_as_an_option_only() {
        let bench = Bench::new();
        assert_eq!(bench.recast::<Option<i32>, Option<String>>(None).unwrap(), None, "none has no type");
        let refused = |result: Result<(), Error>, expected: Kind| match result {
            Err(Error::WrongType { found: Kind::None, expected: asked }) => assert_eq!(asked, expected),
            other => panic!("{other:?}"),
        };
        refused(bench.recast::<Option<String>, String>(None).map(drop), Kind::Text);
        refused(bench.recast::<Option<SecretString>, SecretString>(None).map(drop), Kind::Text);
        refused(bench.recast::<Option<Vec<i64>>, Vec<u8>>(None).map(drop), Kind::Bytes);
        refused(bench.recast::<Option<i32>, AsJson<Option<i32>>>(None).map(drop), Kind::Json);
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

/// Every type against every kind. The bytes have no say: an `i64` that becomes a `String` opened as sixteen odd characters,
/// if its kind did not say what it is.
mod kinds {
    use super::*;

    /// Something of each kind, asked for as a `T`: it reads its own kind, and these.
    fn reads<T: Plaintext>(bench: &Bench, also: &[Kind]) {
        fn is_read<S: Plaintext, T: Plaintext>(bench: &Bench, value: S, also: &[Kind]) {
            match bench.recast::<S, T>(value) {
                Err(Error::WrongType { found, expected }) => {
                    assert_eq!((found, expected), (S::KIND, T::KIND));
                    assert!(S::KIND != T::KIND && !also.contains(&S::KIND), "{found:?} is refused as {expected:?}");
                }
                // Whether the bytes are one of the type is another question.
                Ok(_) | Err(Error::Malformed) => {
                    assert!(S::KIND == T::KIND || also.contains(&S::KIND), "{:?} is read as {:?}", S::KIND, T::KIND);
                }
                Err(e) => panic!("{e:?}"),
            }
        }
        is_read::<_, T>(bench, b"bytes".to_vec(), also);
        is_read::<_, T>(bench, "text".to_owned(), also);
        is_read::<_, T>(bench, 17i64, also);
        is_read::<_, T>(bench, true, also);
        is_read::<_, T>(bench, 1.5f64, also);
        is_read::<_, T>(bench, Uuid::from_u128(7), also);
        is_read::<_, T>(bench, NaiveDate::from_ymd_opt(2026, 11, 22).unwrap(), also);
        is_read::<_, T>(bench, DateTime::<Utc>::UNIX_EPOCH, also);
        is_read::<_, T>(bench, Decimal::ONE, also);
        is_read::<_, T>(bench, AsJson(1), also);
        is_read::<_, T>(bench, DateTime::<Utc>::UNIX_EPOCH.naive_utc(), also);
        is_read::<_, T>(bench, NaiveTime::MIN, also);
    }

    #[test]
    fn every_type_reads_its_own_kind_and_few_others() {
        let bench = &Bench::new();
        let date = &[Kind::Date];
        reads::<String>(bench, &[]);
        reads::<Option<String>>(bench, &[]);
        reads::<SecretString>(bench, &[]);
        reads::<IpAddr>(bench, &[]);
        reads::<Ipv4Addr>(bench, &[]);
        reads::<Ipv6Addr>(bench, &[]);
        reads::<Vec<u8>>(bench, &[]);
        reads::<[u8; 16]>(bench, &[]);
        reads::<SecretSlice<u8>>(bench, &[]);
        reads::<Vec<String>>(bench, &[]);
        reads::<Vec<Vec<i8>>>(bench, &[]);
        reads::<bool>(bench, &[]);
        reads::<i8>(bench, &[]);
        reads::<u128>(bench, &[]);
        reads::<f64>(bench, &[]);
        reads::<f32>(bench, &[]);
        reads::<Uuid>(bench, &[]);
        reads::<Decimal>(bench, &[]);
        reads::<AsJson<String>>(bench, &[Kind::Text]);
        reads::<Option<AsJson<String>>>(bench, &[Kind::Text]);
        reads::<NaiveDate>(bench, &[]);
        reads::<time::Date>(bench, &[]);
        reads::<NaiveTime>(bench, &[]);
        reads::<time::Time>(bench, &[]);
        reads::<NaiveDateTime>(bench, date);
        reads::<PrimitiveDateTime>(bench, date);
        reads::<DateTime<Utc>>(bench, date);
        reads::<DateTime<FixedOffset>>(bench, date);
        reads::<Option<DateTime<Utc>>>(bench, date);
        reads::<OffsetDateTime>(bench, date);
        reads::<UtcDateTime>(bench, date);
    }

    #[test]
    fn a_date_is_midnight_and_a_text_is_json_where_it_is() {
        let bench = Bench::new();
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let midnight = day.and_time(NaiveTime::MIN);
        assert_eq!(bench.recast::<_, NaiveDateTime>(day).unwrap(), midnight);
        assert_eq!(bench.recast::<_, DateTime<Utc>>(day).unwrap(), midnight.and_utc());
        assert_eq!(bench.recast::<_, DateTime<FixedOffset>>(day).unwrap(), midnight.and_utc());
        let local: PrimitiveDateTime = bench.recast(day).unwrap();
        assert_eq!((local.time(), local.to_string().get(..10)), (time::Time::MIDNIGHT, Some("2026-11-22")));
        assert_eq!(bench.recast::<_, OffsetDateTime>(day).unwrap(), local.assume_utc());
        assert_eq!(bench.recast::<_, UtcDateTime>(day).unwrap(), local.as_utc());
        for bytes in ["2026-02-30", "2026-11-22T09:30:00.000000000Z", "2026-11-22T09:30:00.000000000"] {
            assert!(matches!(bench.read_as::<NaiveDate, NaiveDateTime>(bytes), Err(Error::Malformed)));
            assert!(matches!(bench.read_as::<NaiveDate, DateTime<Utc>>(bytes), Err(Error::Malformed)));
            assert!(matches!(bench.read_as::<NaiveDate, PrimitiveDateTime>(bytes), Err(Error::Malformed)));
            assert!(matches!(bench.read_as::<NaiveDate, UtcDateTime>(bytes), Err(Error::Malformed)));
        }
        assert_eq!(bench.recast::<_, AsJson<Vec<u8>>>("[1, 2]".to_owned()).unwrap().0, [1, 2]);
        assert!(matches!(bench.read_as::<String, AsJson<Vec<u8>>>("[1, 2"), Err(Error::Malformed)));
    }

    #[test]
    fn a_value_that_is_decoded_and_sealed_again_has_the_kind_of_its_type() {
        let bench = Bench::new();
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let moment: DateTime<Utc> = bench.recast(day).unwrap();
        bench.is_of_another_kind::<_, NaiveDate>(moment);
        let json: AsJson<u8> = bench.recast("1".to_owned()).unwrap();
        bench.is_of_another_kind::<_, String>(json);
    }
}

mod a_list {
    use super::*;

    fn list(items: &[(u8, &[u8])]) -> Vec<u8> {
        let item =
            |(marker, bytes): &(u8, &[u8])| [&[*marker], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
        items.iter().map(item).collect::<Vec<_>>().concat()
    }

    #[test]
    fn of_one_type_is_no_list_of_another() {
        let bench = Bench::new();
        let read = bench.recast::<Vec<String>, Vec<i64>>(vec!["a".to_owned()]);
        assert!(matches!(read, Err(Error::WrongType { found: Kind::Text, expected: Kind::Int })));
        assert!(bench.recast::<Vec<String>, Vec<i64>>(vec![]).unwrap().is_empty(), "no items have no type");
        let read = bench.recast::<Vec<Option<String>>, Vec<String>>(vec![None]);
        assert!(matches!(read, Err(Error::WrongType { found: Kind::None, expected: Kind::Text })));
        let read = bench.recast::<Vec<Vec<String>>, Vec<String>>(vec![vec![]]);
        assert!(matches!(read, Err(Error::WrongType { found: Kind::Bytes, expected: Kind::Text })));
        // Its bytes are bytes, and the other way round.
        assert_eq!(bench.recast::<Vec<bool>, Vec<u8>>(vec![true]).unwrap(), b"\x84\0\0\0\x01\x01");
        assert_eq!(bench.recast::<Vec<u8>, Vec<bool>>(b"\x84\0\0\0\x01\x01".to_vec()).unwrap(), [true]);
        // A type of an application's own around a byte is no byte.
        #[derive(fieldseal::Plaintext)]
        struct Byte(u8);
        assert_eq!(bench.bytes(vec![Byte(1)]).unwrap().len(), 21);
    }

    #[test]
    fn that_is_cut_short_or_marked_otherwise_is_malformed() {
        let bench = Bench::new();
        let whole = list(&[(0x82, b"a"), (0x81, b""), (0x82, "Zo\u{eb}".as_bytes())]);
        assert_eq!(bench.read::<Vec<Option<String>>>(&whole).unwrap().len(), 3);
        for len in (0..whole.len()).filter(|len| ![0, 6, 11].contains(len)) {
            bench.refuses_to_read::<Vec<Option<String>>>(&whole[..len]);
        }
        for items in [
            list(&[(0x82, b"a"), (0x7F, b"a")]),
            list(&[(0x00, b"")]),
            list(&[(0xC0, b"a")]),
            list(&[(0x81, b"a")]),
            list(&[(0x82, b"\xFF")]),
            b"\x82\xFF\xFF\xFF\xFFa".to_vec(),
        ] {
            bench.refuses_to_read::<Vec<Option<String>>>(items);
        }
        let later = bench.read::<Vec<String>>(list(&[(0x8D, b"a")]));
        assert!(matches!(later, Err(Error::UnknownFormat)));
    }

    #[test]
    fn is_judged_item_by_item() {
        let bench = Bench::new();
        let (text, wrong, later, cut): (&[u8], &[u8], &[u8], &[u8]) =
            (&list(&[(0x82, b"\xFF")]), &list(&[(0x83, b"1")]), &list(&[(0xBF, b"")]), b"\x82\0");
        let refused = |parts: &[&[u8]]| bench.read::<Vec<String>>(parts.concat()).unwrap_err();
        assert!(matches!(refused(&[text, wrong]), Error::Malformed));
        assert!(matches!(refused(&[wrong, text]), Error::WrongType { found: Kind::Int, .. }));
        assert!(matches!(refused(&[wrong, cut]), Error::WrongType { found: Kind::Int, .. }));
        assert!(matches!(refused(&[later, wrong]), Error::UnknownFormat));
        assert!(matches!(refused(&[cut]), Error::Malformed));
    }

    #[test]
    fn that_can_not_be_read_is_not_sealed() {
        let bench = Bench::new();
        bench.refuses_to_seal(vec![i128::MAX as u128, u128::MAX]);
        bench.refuses_to_seal(vec![AsJson(1.0), AsJson(f64::NAN)]);
        bench.refuses_to_seal(vec![vec![0u8; 9 << 20], vec![0; 8 << 20]]);
    }
}

mod derived {
    use super::*;

    #[derive(Clone, Debug, PartialEq, fieldseal::Plaintext)]
    struct Email(String);

    #[derive(Clone, Debug, PartialEq, fieldseal::Plaintext)]
    struct Nickname {
        name: Option<Email>,
    }

    #[derive(Clone, Debug, PartialEq, fieldseal::Plaintext)]
    struct Since(DateTime<Utc>);

    #[derive(Clone, Debug, PartialEq, fieldseal::Plaintext)]
    struct Tags<T>(Vec<T>);

    #[derive(Clone, Copy, Debug, PartialEq, fieldseal::Plaintext)]
    enum Plan {
        Free,
        #[plaintext(rename = "Paid")]
        Professional,
        Static = 7,
        #[plaintext(rename = "")]
        Unknown,
    }

    #[test]
    fn newtypes_are_sealed_as_what_they_wrap() {
        let bench = Bench::new();
        let ada = Email("ada@example.com".to_owned());
        bench.comes_back(&ada);
        assert_eq!(Email::KIND, Kind::Text);
        assert_eq!(bench.recast::<String, Email>("ada@example.com".to_owned()).unwrap(), ada);
        assert_eq!(bench.recast::<Email, String>(ada.clone()).unwrap(), "ada@example.com");
        bench.is_of_another_kind::<i64, Email>(1);
        for name in [None, Some(ada.clone())] {
            bench.comes_back(&Nickname { name: name.clone() });
            let opened = bench.recast::<Nickname, Option<String>>(Nickname { name: name.clone() }).unwrap();
            assert_eq!(opened, name.map(|Email(name)| name));
        }
        assert!(matches!(bench.recast::<_, String>(Nickname { name: None }), Err(Error::WrongType { .. })));
        assert_eq!(bench.bytes(Nickname { name: None }), None);
        // It reads what is read by what it wraps.
        let day = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        assert_eq!(bench.recast::<_, Since>(day).unwrap().0.date_naive(), day);
        bench.comes_back(&Tags(vec![ada]));
        assert_eq!(bench.bytes(Tags(vec![1u8, 2])).unwrap(), [1, 2]);
    }

    #[test]
    fn plain_enums_are_sealed_as_their_names() {
        let bench = Bench::new();
        for (plan, name) in
            [(Plan::Free, "Free"), (Plan::Professional, "Paid"), (Plan::Static, "Static"), (Plan::Unknown, "")]
        {
            bench.comes_back(&plan);
            assert_eq!(bench.recast::<_, String>(plan).unwrap(), name);
            assert_eq!(bench.read::<Plan>(name).unwrap(), plan);
        }
        for name in ["free", "Professional", "Paid ", "\u{ff}", "Static\0"] {
            bench.refuses_to_read::<Plan>(name);
        }
        bench.refuses_to_read::<Plan>([0xFF]);
        bench.is_of_another_kind::<u8, Plan>(0);
        bench.comes_back(&Some(Plan::Professional));
        bench.comes_back(&vec![Plan::Free, Plan::Unknown]);
    }

    #[test]
    fn a_wiped_value_is_another() {
        let mut plan = Plan::Professional;
        plan.wipe();
        assert_eq!(plan, Plan::Free);
        let mut email = Email("ada@example.com".to_owned());
        email.wipe();
        assert_eq!(email, Email(String::new()));
        let mut tags = Tags(vec!["ada".to_owned(), "bob".to_owned()]);
        tags.wipe();
        assert!(tags.0.iter().all(String::is_empty));
        let mut numbers = vec![17i64, 18];
        numbers.wipe();
        assert_eq!(numbers, [0, 0]);
        let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        address.wipe();
        assert_eq!(address, Ipv6Addr::UNSPECIFIED);
    }

    /// What it would seal, nobody could open.
    #[test]
    fn a_type_around_an_option_that_does_not_say_so_seals_no_none() {
        struct Careless(Option<String>);
        impl Plaintext for Careless {
            const KIND: Kind = Kind::Text;

            fn encoded_len(&self) -> Result<usize, Error> {
                self.0.encoded_len()
            }

            fn encode(&self, out: &mut Encoder<'_>) -> Result<(), Error> {
                self.0.encode(out)
            }

            fn decode(value: Decoder<'_>) -> Result<Self, Error> {
                Option::decode(value).map(Self)
            }

            fn wipe(&mut self) {
                self.0.wipe();
            }
        }
        let bench = Bench::new();
        bench.refuses_to_seal(Careless(None));
        bench.refuses_to_seal(vec![Careless(None)]);
        assert_eq!(bench.recast::<_, String>(Careless(Some("a".to_owned()))).unwrap(), "a");
    }
}

mod addresses {
    use super::*;

    #[test]
    fn are_read_in_every_spelling_and_without_more() {
        let bench = Bench::new();
        for (text, address) in [
            ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
            ("::FFFF:C000:0201", "::ffff:192.0.2.1"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
            ("0:0:0:0:0:0:0:0", "::"),
            ("192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(bench.read::<IpAddr>(text).unwrap().to_string(), address);
        }
        for text in ["", "192.0.2.01", "192.0.2", "192.0.2.256", "::1/128", "fe80::1%eth0", "[::1]", "::1\n", "1::2::3"]
        {
            bench.refuses_to_read::<IpAddr>(text);
            bench.refuses_to_read::<Ipv4Addr>(text);
            bench.refuses_to_read::<Ipv6Addr>(text);
        }
        bench.refuses_to_read::<Ipv4Addr>("::1");
        bench.refuses_to_read::<Ipv6Addr>("192.0.2.1");
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
            bench.refuses_to_seal(day.and_hms_opt(0, 0, 0).unwrap().and_utc().fixed_offset());
            bench.refuses_to_seal(day.and_hms_opt(0, 0, 0).unwrap());
        }
        let before = time::Date::from_ordinal_date(-1, 365).unwrap();
        bench.refuses_to_seal(before);
        bench.refuses_to_seal(before.midnight());
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
        bench.refuses_to_seal(leap);
        bench.refuses_to_seal(leap.time());
        bench.comes_back(&eve.and_hms_nano_opt(23, 59, 59, 999_999_999).unwrap().and_utc());
        for text in ["2016-12-31T23:59:60.000000000Z", "2016-12-31T23:59:60.500000000Z"] {
            bench.refuses_to_read::<DateTime<Utc>>(text);
            bench.refuses_to_read::<OffsetDateTime>(text);
            bench.refuses_to_read::<NaiveDateTime>(&text[..29]);
            bench.refuses_to_read::<PrimitiveDateTime>(&text[..29]);
            bench.refuses_to_read::<NaiveTime>(&text[11..29]);
            bench.refuses_to_read::<time::Time>(&text[11..29]);
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
        for text in [
            "2026-11-22T09:30:00.000000000Z",
            "2026-11-22 09:30:00.000000000",
            "2026-11-22t09:30:00.000000000",
            "2026-11-22T09:30:00.000000",
            "2026-11-22T24:00:00.000000000",
            "2026-02-30T09:30:00.000000000",
            "2026-11-22",
        ] {
            bench.refuses_to_read::<NaiveDateTime>(text);
            bench.refuses_to_read::<PrimitiveDateTime>(text);
        }
        for text in
            ["", "24:00:00.000000000", "09:60:00.000000000", "9:30:00.0000000000", "09:30:00", "09:30:00,000000000"]
        {
            bench.refuses_to_read::<NaiveTime>(text);
            bench.refuses_to_read::<time::Time>(text);
        }
        let (chrono, time): (NaiveTime, time::Time) =
            (bench.read("23:59:59.000000001").unwrap(), bench.read("23:59:59.000000001").unwrap());
        assert_eq!((chrono.to_string(), time.nanosecond()), ("23:59:59.000000001".to_owned(), 1));
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
        assert_eq!(customer(id).id(), "0123abcd-4567-89ab-cdef-0123456789ab");
    }

    #[test]
    fn nil_is_no_id_but_a_value() {
        assert!(matches!(Uuid::nil().to_id(), Err(Error::InvalidInput(_))));
        assert!(SubjectId::new("customer", &Uuid::nil()).is_err());
        Bench::new().comes_back(&Uuid::nil());
    }
}

mod json {
    use super::*;

    #[test]
    fn null_and_none_are_two_things() {
        let bench = Bench::new();
        assert_eq!(bench.bytes(AsJson(None::<i32>)).unwrap(), b"null");
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

    /// `serde_json` writes null for them.
    #[test]
    fn numbers_that_are_not_finite_are_refused_wherever_they_stand() {
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        enum Shape {
            Unit,
            Newtype(f64),
            Tuple(u8, f64),
            Struct { at: f32 },
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        struct Newtype(f64);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        struct Tuple(f64, String);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        struct Flat {
            #[serde(flatten)]
            rest: std::collections::BTreeMap<String, f64>,
        }
        fn judge<T: Serialize + serde::de::DeserializeOwned + Clone + PartialEq + Debug>(
            bench: &Bench,
            make: impl Fn(f64) -> T,
        ) {
            bench.comes_back(&AsJson(make(1.5)));
            assert_eq!(bench.bytes(AsJson(make(1.5))).unwrap(), serde_json::to_vec(&make(1.5)).unwrap());
            for number in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                bench.refuses_to_seal(AsJson(make(number)));
            }
        }
        let bench = &Bench::new();
        judge(bench, |n| n);
        judge(bench, |n| n as f32);
        judge(bench, Some);
        judge(bench, |n| vec![1.0, n]);
        judge(bench, |n| (n, "a".to_owned()));
        judge(bench, |n| [n; 2]);
        judge(bench, Newtype);
        judge(bench, |n| Tuple(n, "a".to_owned()));
        judge(bench, |n| vec![Shape::Unit, Shape::Newtype(n)]);
        judge(bench, |n| Shape::Tuple(1, n));
        judge(bench, |n| Shape::Struct { at: n as f32 });
        judge(bench, |n| std::collections::BTreeMap::from([("a".to_owned(), n)]));
        judge(bench, |n| Flat { rest: [("a".to_owned(), n)].into() });
        judge(bench, |n| Transparent(vec![Some(n)]));
        // As a key, too; whose text is not the number's bits.
        #[derive(PartialEq, Eq, PartialOrd, Ord)]
        struct Bits(u64);
        impl Serialize for Bits {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_f64(f64::from_bits(self.0))
            }
        }
        let map = |number: f64| Unreadable(std::collections::BTreeMap::from([(Bits(number.to_bits()), 1)]));
        assert!(bench.seal(AsJson(map(1.5))).is_ok());
        bench.refuses_to_seal(AsJson(map(f64::NAN)));
        bench.refuses_to_seal(AsJson(map(f64::INFINITY)));
    }

    /// All the other things that a serializer is told are handed on as they are.
    #[test]
    fn what_is_sealed_is_what_serde_json_writes() {
        let bench = Bench::new();
        let value = serde_json::json!({
            "null": null, "text": "a\"\u{e9}", "numbers": [0, -1, u64::MAX, i64::MIN, 1.5e300], "nested": { "": [[], {}, true] },
        });
        bench.comes_back(&AsJson(value.clone()));
        assert_eq!(bench.bytes(AsJson(value.clone())).unwrap(), serde_json::to_vec(&value).unwrap());
        bench.comes_back(&AsJson((i128::MAX, u128::MAX, 'a', (), Some(false), [1i8, -1], [1u16; 2])));
        bench.comes_back(&AsJson(Ipv6Addr::LOCALHOST)); // displayed, because JSON is for humans
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(transparent)]
    struct Transparent<T>(T);

    #[test]
    fn what_has_no_json_is_refused_without_a_quote() {
        let bench = Bench::new();
        let map = std::collections::BTreeMap::from([(("ada@example.com".to_owned(), 1), 2)]);
        let Err(Error::InvalidInput(text)) = bench.seal(AsJson(Unreadable(map))) else {
            panic!("a map keyed by tuples")
        };
        assert!(!text.contains("ada"), "{text}");
    }

    struct Unreadable<K>(std::collections::BTreeMap<K, i32>);

    impl<K: Serialize> Serialize for Unreadable<K> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de, K> Deserialize<'de> for Unreadable<K> {
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
