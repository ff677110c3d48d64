//! The examples of `docs/format.md`, written by a program that shares nothing with this crate: what must open, what must
//! not and why, and what must unwrap.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::fmt::Debug;

use serde_json::Value;

use crate::clock::Stamp;
use crate::crypto::Suite;
use crate::crypto::vectors::hex as bytes_of;
use crate::envelope::{FieldContext, KeyId};
use crate::error::Error;
use crate::id::{Purpose, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::{DataKeyPlace, KeyMaterial, Tag, UsableKey, unwrap_data_key, unwrap_in_envelope};
use crate::subject::tests::{HandClock, NOW, policy, subject_keys};
use crate::value::Plaintext;
use crate::{Plain, Sealed, SubjectKeys};

fn entries(section: &str) -> Vec<Value> {
    let mut file: Value = serde_json::from_str(include_str!("../tests/vectors/v1.json")).unwrap();
    assert_eq!(file["format"], "fieldseal/1");
    let entries = std::mem::take(file[section].as_array_mut().unwrap());
    assert!(!entries.is_empty());
    entries
}

fn text<'a>(entry: &'a Value, member: &str) -> &'a str {
    entry[member].as_str().unwrap()
}

fn hex(entry: &Value, member: &str) -> Vec<u8> {
    bytes_of(text(entry, member))
}

fn array<const N: usize>(entry: &Value, member: &str) -> [u8; N] {
    hex(entry, member).try_into().unwrap()
}

/// Keys of one data key. They count as refreshed, so an envelope that names another key is refused for good, as
/// `docs/format.md` says of a reader with one key.
fn keys(entry: &Value) -> SubjectKeys {
    let key = KeyMaterial::from_slice(&hex(entry, "data_key")).unwrap();
    assert_eq!(key.id().as_bytes(), &array::<24>(entry, "key_id"));
    let policy = policy(text(entry, "tenant"), Suite::default(), HandClock::at(NOW));
    let ring = KeyRing::of(vec![(purpose(entry), Some(vec![key]))]);
    let asked = Stamp::now(&policy.clock);
    subject_keys(&policy, text(entry, "subject"), ring).refreshed_since(&asked)
}

fn purpose(entry: &Value) -> Purpose {
    Purpose::new(text(entry, "purpose")).unwrap()
}

fn context(entry: &Value) -> FieldContext<'_> {
    let context = FieldContext::unbound(text(entry, "schema"), text(entry, "field")).unwrap();
    let ids = entry["record_ids"].as_array().unwrap().iter();
    ids.fold(context.purpose(text(entry, "purpose")), |context, id| context.and_id(id.as_str().unwrap()).unwrap())
}

/// Opens a value of type `T` as an application does; gives the bytes that it is made of.
fn typed<T: Plaintext>(
    entry: &Value,
    sealed: Result<Sealed<T>, Error>,
    bytes: impl FnOnce(&T) -> Vec<u8>,
) -> Result<Option<Vec<u8>>, Error> {
    // As an option, because any type's value may be none.
    let sealed = Sealed::<Option<T>>::from_bytes(sealed?.into_bytes())?;
    let opened: Plain<Option<T>> = keys(entry).open_value(&sealed, &context(entry))?;
    Ok(opened.expose().as_ref().map(bytes))
}

/// The value's bytes: through its own type where the crate has it without a feature, else as bytes.
fn open(entry: &Value, envelope: Envelope) -> Result<Option<Vec<u8>>, Error> {
    fn sealed<T>(envelope: Envelope) -> Result<Sealed<T>, Error> {
        match envelope {
            Envelope::Bytes(bytes) => Sealed::from_bytes(bytes),
            Envelope::Text(text) => text.parse(),
        }
    }
    match text(entry, "type") {
        "text" => typed::<String>(entry, sealed(envelope), |text| text.clone().into_bytes()),
        "int" => typed::<i128>(entry, sealed(envelope), |n| n.to_be_bytes().to_vec()),
        "bool" => typed::<bool>(entry, sealed(envelope), |truth| vec![u8::from(*truth)]),
        "f64" => typed::<f64>(entry, sealed(envelope), |number| number.to_bits().to_be_bytes().to_vec()),
        "bytes" | "uuid" | "date" | "instant" | "decimal" | "json" => {
            typed::<Vec<u8>>(entry, sealed(envelope), Clone::clone)
        }
        other => panic!("a type {other} that this test does not know"),
    }
}

#[derive(Clone)]
enum Envelope {
    Bytes(Vec<u8>),
    Text(String),
}

fn is_of_a_feature(entry: &Value) -> bool {
    matches!(text(entry, "type"), "uuid" | "date" | "instant" | "decimal" | "json")
}

fn name_of<T: Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(e @ (Error::Authentication | Error::Malformed | Error::UnknownFormat)) => format!("{e:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_example_opens() {
    for entry in entries("seal") {
        let (name, envelope) = (text(&entry, "name"), hex(&entry, "envelope"));
        let expected = entry["value"].as_str().map(|_| hex(&entry, "value"));
        for form in [Envelope::Bytes(envelope.clone()), Envelope::Text(text(&entry, "text").to_owned())] {
            assert!(open(&entry, form).unwrap() == expected, "{name}");
        }
        assert_eq!(Sealed::<()>::from_bytes(envelope.clone()).unwrap().to_string(), text(&entry, "text"), "{name}");
        let bytes = keys(&entry).open_bytes(&envelope, &context(&entry)).unwrap();
        assert!(bytes.as_deref() == expected.as_ref(), "{name}");
        // And it is its own place that it opens in.
        let elsewhere = FieldContext::unbound(text(&entry, "schema"), "no such field").unwrap();
        let opened = keys(&entry).open_bytes(&envelope, &elsewhere.purpose(text(&entry, "purpose")));
        assert_eq!(name_of(opened), "Authentication", "{name}");
    }
}

#[test]
fn every_forgery_is_refused_for_its_reason() {
    let mut skipped = 0;
    for entry in entries("reject") {
        let (name, error) = (text(&entry, "name"), text(&entry, "error"));
        let mut forms = vec![Envelope::Text(text(&entry, "text").to_owned())];
        // No envelope: the entry is about the text form alone. The envelope of no bytes is known by its text.
        if !text(&entry, "envelope").is_empty() || text(&entry, "text") == "fs1." {
            forms.push(Envelope::Bytes(hex(&entry, "envelope")));
        }
        for form in forms {
            let opened = open(&entry, form);
            // What is wrong with a value of these types shows where their features are on.
            if is_of_a_feature(&entry) && opened.is_ok() {
                assert_eq!(error, "Malformed", "{name}");
                skipped += 1;
                continue;
            }
            assert_eq!(name_of(opened), error, "{name}");
        }
    }
    // Two forms of each of 48 values that are not of their type.
    assert_eq!(skipped, 96);
}

#[test]
fn every_wrapped_key_unwraps_in_its_place_and_in_no_other() {
    for entry in entries("wrap") {
        let name = text(&entry, "name");
        let kek = KeyMaterial::from_slice(&hex(&entry, "kek")).unwrap();
        assert_eq!(kek.id().as_bytes(), &array::<24>(&entry, "kek_id"), "{name}");
        let data_key = KeyMaterial::from_slice(&hex(&entry, "data_key")).unwrap();
        let (tenant, tag) = (TenantId::new(text(&entry, "tenant")).unwrap(), Tag::from_bytes(array(&entry, "tag")));
        let number = |member: &str| u32::try_from(entry[member].as_u64().unwrap()).unwrap();
        let (line, version) = (number("line"), number("version"));
        let unwrap = |kek: &KeyMaterial, line, version, id: &KeyId| {
            let (kek, wrapped) = (UsableKey::derive(kek), hex(&entry, "envelope"));
            let place = DataKeyPlace { tenant: &tenant, tag: &tag, purpose: &purpose(&entry), line, version };
            unwrap_data_key(&kek, &place, id, &wrapped)?;
            // Again, because the library keeps what is derived from a data key and not its bytes.
            unwrap_in_envelope(&kek, &place.context(id), &wrapped)
        };
        let unwrapped = unwrap(&kek, line, version, &data_key.id()).unwrap();
        assert_eq!(unwrapped.expose(), data_key.expose(), "{name}");
        for refused in [
            unwrap(&data_key, line, version, &data_key.id()),
            unwrap(&kek, line ^ 1, version, &data_key.id()),
            unwrap(&kek, line, version ^ 1, &data_key.id()),
            unwrap(&kek, line, version, &kek.id()),
        ] {
            assert_eq!(name_of(refused), "Authentication", "{name}");
        }
    }
}
