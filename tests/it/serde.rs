//! `Sealed<T>` and `Plain<T>` through serde: what is read and written, and that no error quotes a value.

use fieldseal::value::{AsJson, Plaintext};
use fieldseal::{Error, FieldContext, Plain, Sealed, reveal};
use fieldseal_testkit::{customer, keys};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_test::{Compact, Configure as _, Readable, Token};

fn sealed() -> Sealed<String> {
    keys(&customer("ada")).seal_value(&Plain::from("Ada"), &FieldContext::unbound("customer", "name").unwrap()).unwrap()
}

mod sealed {
    use super::*;

    /// To be compared: to the byte.
    #[derive(Clone, Debug, Deserialize, Serialize)]
    #[serde(transparent)]
    struct Same(Sealed<String>);

    impl PartialEq for Same {
        fn eq(&self, other: &Self) -> bool {
            self.0.same_bytes(&other.0)
        }
    }

    #[test]
    fn is_text_where_people_read_it() {
        let sealed = Same(sealed());
        let text: &'static str = sealed.0.to_string().leak();
        serde_test::assert_tokens(&sealed.clone().readable(), &[Token::Str(text)]);
        for token in [Token::String(text), Token::BorrowedStr(text)] {
            serde_test::assert_de_tokens(&sealed.clone().readable(), &[token]);
        }
        let json = serde_json::to_string(&sealed).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Same>(&json).unwrap(), sealed);
        assert_eq!(serde_json::from_reader::<_, Same>(json.as_bytes()).unwrap(), sealed);
    }

    #[test]
    fn is_bytes_elsewhere() {
        let sealed = Same(sealed());
        let bytes: &'static [u8] = sealed.0.as_bytes().to_vec().leak();
        serde_test::assert_tokens(&sealed.clone().compact(), &[Token::Bytes(bytes)]);
        for token in [Token::ByteBuf(bytes), Token::BorrowedBytes(bytes)] {
            serde_test::assert_de_tokens(&sealed.clone().compact(), &[token]);
        }
        let mut seq = vec![Token::Seq { len: Some(usize::MAX) }];
        seq.extend(bytes.iter().map(|&b| Token::U8(b)));
        seq.push(Token::SeqEnd);
        serde_test::assert_de_tokens(&sealed.compact(), &seq);
    }

    /// A format that buffers doesn't remember whether it is for people.
    #[test]
    fn survives_flattening() {
        #[derive(Debug, Deserialize, PartialEq, Serialize)]
        struct Outer {
            #[serde(flatten)]
            inner: Inner,
        }
        #[derive(Debug, Deserialize, PartialEq, Serialize)]
        struct Inner {
            email: Same,
        }
        let email = Same(sealed());
        let bytes: &'static [u8] = email.0.as_bytes().to_vec().leak();
        let outer = Outer { inner: Inner { email } };
        let json = serde_json::to_string(&outer).unwrap();
        assert_eq!(serde_json::from_str::<Outer>(&json).unwrap(), outer);
        serde_test::assert_de_tokens(
            &outer.compact(),
            &[Token::Map { len: None }, Token::Str("email"), Token::ByteBuf(bytes), Token::MapEnd],
        );
    }

    #[test]
    fn refuses_what_is_no_envelope_and_does_not_show_it() {
        for json in [r#""ada@example.com""#, "4711", "[47,11]", r#"{"ada":4711}"#, "null", r#""fs1.ada""#] {
            let error = serde_json::from_str::<Sealed<String>>(json).unwrap_err().to_string();
            assert!(!error.contains("ada") && !error.contains("47"), "{error}");
        }
        let newer = serde_json::from_str::<Sealed<String>>(r#""fs2.ada""#).unwrap_err().to_string();
        assert!(newer.contains("that this build does not know: upgrade"), "{newer}");
        let not = Error::Malformed.to_string().leak();
        serde_test::assert_de_tokens_error::<Compact<Sealed<String>>>(&[Token::Bytes(b"ada")], not);
        serde_test::assert_de_tokens_error::<Readable<Sealed<String>>>(&[Token::Str("ada")], not);
        serde_test::assert_de_tokens_error::<Compact<Sealed<String>>>(
            &[Token::Seq { len: None }, Token::U16(4711)],
            "invalid value (not shown), expected a sealed value",
        );
    }
}

mod plain {
    use super::*;

    #[test]
    fn reads_what_its_type_reads() {
        #[derive(Deserialize)]
        struct Form {
            email: Plain<String>,
            age: Plain<u8>,
            phone: Option<Plain<String>>,
            tags: Plain<AsJson<Vec<String>>>,
            nickname: Plain<Option<String>>,
        }
        let form: Form = serde_json::from_str(r#"{"email":"ada@example.com","age":36,"tags":["a"]}"#).unwrap();
        assert_eq!(form.email.expose(), "ada@example.com");
        assert_eq!(*form.age.expose(), 36);
        assert!(form.phone.is_none() && form.nickname.expose().is_none());
        assert_eq!(form.tags.expose().0, ["a"]);
    }

    fn error_of<T: Plaintext + DeserializeOwned>(json: &str) -> String {
        let error = serde_json::from_str::<Plain<T>>(json).unwrap_err();
        let whole = format!("{error} {error:?}");
        for secret in ["ada", "Ada", "4711", "36.5", "secret"] {
            assert!(!whole.contains(secret), "{whole}");
        }
        error.to_string()
    }

    /// Without ours, each of these errors quotes the value.
    #[test]
    fn errors_say_what_was_expected_and_not_what_was_given() {
        #[derive(Debug, Deserialize, Serialize)]
        struct Address {
            city: String,
        }
        #[derive(Debug, Deserialize, Serialize)]
        #[serde(rename_all = "lowercase")]
        enum Plan {
            Free,
            Paid,
        }
        #[derive(Debug, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        struct Email(String);
        impl TryFrom<String> for Email {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                Err(format!("{text} is no address"))
            }
        }
        impl From<Email> for String {
            fn from(email: Email) -> Self {
                email.0
            }
        }
        impl Clone for Email {
            fn clone(&self) -> Self {
                Self(self.0.clone())
            }
        }
        let expected = "invalid value (not shown), expected ";
        for (error, what) in [
            (error_of::<i32>(r#""ada@example.com""#), "i32"),
            (error_of::<i8>("4711"), "i8"),
            (error_of::<u32>("36.5"), "u32"),
            (error_of::<String>("4711"), "a string"),
            (error_of::<bool>(r#""ada""#), "a boolean"),
            (error_of::<Option<i32>>(r#""ada""#), "option"),
            (error_of::<AsJson<Address>>(r#"{"city":4711}"#), "struct Address"),
            (error_of::<AsJson<Address>>(r#""ada""#), "struct Address"),
            (error_of::<AsJson<Plan>>(r#""ada""#), "enum Plan"),
            (error_of::<AsJson<Email>>(r#""ada""#), "a string"),
            (error_of::<AsJson<std::net::IpAddr>>(r#""ada""#), "IP address"),
            (error_of::<AsJson<Missing>>(r#""ada""#), "another"),
        ] {
            assert!(error.starts_with(&format!("{expected}{what}")), "{error}");
        }
    }

    /// Fails with a text that looks like serde's own about a field.
    #[derive(Debug, Serialize)]
    struct Missing;

    impl<'de> Deserialize<'de> for Missing {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            match String::deserialize(deserializer) {
                Ok(text) => Err(serde::de::Error::custom(format_args!("missing field `{text}@example.com`"))),
                Err(_) => Ok(Self),
            }
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        #[derive(Debug, Deserialize)]
        struct Form {
            #[serde(rename = "e-mail")]
            _email: Plain<String>,
            _sealed: Sealed<String>,
        }
        let error = serde_json::from_str::<Form>("{}").unwrap_err().to_string();
        assert!(error.starts_with("missing field `e-mail` at line 1"), "{error}");
        let error = serde_json::from_str::<Form>(r#"{"e-mail":"a"}"#).unwrap_err().to_string();
        assert!(error.starts_with("missing field `_sealed` at line 1"), "{error}");
    }

    #[test]
    fn a_formats_own_errors_keep_their_place() {
        let error = serde_json::from_str::<Vec<Plain<String>>>("[\n\"ada\",\n  47]").unwrap_err();
        assert_eq!((error.line(), error.to_string().contains("47")), (3, false), "{error}");
    }

    #[test]
    fn is_revealed_field_by_field() {
        #[derive(Serialize)]
        struct Profile {
            #[serde(serialize_with = "fieldseal::reveal")]
            email: Plain<String>,
            #[serde(serialize_with = "fieldseal::reveal")]
            phone: Option<Plain<String>>,
            #[serde(serialize_with = "reveal")]
            nickname: Option<Plain<String>>,
            #[serde(serialize_with = "reveal")]
            age: Plain<Option<u8>>,
            #[serde(serialize_with = "reveal")]
            notes: Vec<Plain<AsJson<Vec<u8>>>>,
        }
        let profile = Profile {
            email: "ada@example.com".into(),
            phone: None,
            nickname: Some("Ada".into()),
            age: Plain::new(None),
            notes: vec![AsJson(vec![1, 2]).into()],
        };
        assert_eq!(
            serde_json::to_string(&profile).unwrap(),
            r#"{"email":"ada@example.com","phone":null,"nickname":"Ada","age":null,"notes":[[1,2]]}"#
        );
    }
}
