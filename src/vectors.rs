//! The examples of `docs/format.md`, written by a program that shares nothing with this crate: what must open, what must
//! not and why, whose keys are looked at, what must unwrap and what must not.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::fmt::Debug;
use std::net::IpAddr;

use serde_json::Value;

use crate::clock::Stamp;
use crate::crypto::Suite;
use crate::crypto::vectors::hex as bytes_of;
use crate::envelope::header::HEADER_LEN;
use crate::envelope::{FieldContext, KeyId};
use crate::error::{Error, Result};
use crate::id::{Purpose, TenantId};
use crate::keys::ring::KeyRing;
use crate::keys::{DataKeyPlace, KeyMaterial, Tag, UsableKey, unwrap_data_key, unwrap_in_envelope};
use crate::subject::tests::{HandClock, NOW, policy, subject_keys};
use crate::value::plaintext::frame_of;
use crate::value::{AsJson, Decoder, Encoder, Kind, Plaintext};
use crate::{Sealed, SubjectKeys};

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

fn key(entry: &Value, member: &str) -> KeyMaterial {
    KeyMaterial::from_slice(&hex(entry, member)).unwrap()
}

// --- Readers ---------------------------------------------------------------------------------

/// Keys of the entry's owner. They count as refreshed, so an envelope that names another key is refused for good, as
/// `docs/format.md` says of a reader with one key.
fn reader(entry: &Value, purposes: Vec<(Purpose, Vec<KeyMaterial>)>) -> SubjectKeys {
    let policy = policy(text(entry, "tenant"), Suite::default(), HandClock::at(NOW));
    let ring = KeyRing::of(purposes.into_iter().map(|(purpose, keys)| (purpose, Some(keys))).collect());
    let asked = Stamp::now(&policy.clock);
    subject_keys(&policy, text(entry, "subject"), ring).refreshed_since(&asked)
}

/// Keys of one data key.
fn keys(entry: &Value) -> SubjectKeys {
    let key = key(entry, "data_key");
    assert_eq!(key.id().as_bytes(), &array::<24>(entry, "key_id"));
    reader(entry, vec![(purpose(entry), vec![key])])
}

fn purpose(entry: &Value) -> Purpose {
    Purpose::new(text(entry, "purpose")).unwrap()
}

fn context(entry: &Value) -> FieldContext<'_> {
    let context = FieldContext::unbound(text(entry, "schema"), text(entry, "field")).unwrap();
    let ids = entry["record_ids"].as_array().unwrap().iter();
    ids.fold(context.purpose(text(entry, "purpose")), |context, id| context.and_id(id.as_str().unwrap()).unwrap())
}

#[derive(Clone)]
enum Envelope {
    Bytes(Vec<u8>),
    Text(String),
}

impl Envelope {
    fn sealed<T>(self) -> Result<Sealed<T>> {
        match self {
            Self::Bytes(bytes) => Sealed::from_bytes(bytes),
            Self::Text(text) => text.parse(),
        }
    }
}

/// The forms of an entry: bytes and text.
fn forms(entry: &Value) -> Vec<Envelope> {
    let mut forms = vec![Envelope::Text(text(entry, "text").to_owned())];
    // No envelope: the entry is about the text form alone. The envelope of no bytes is known by its text.
    if !text(entry, "envelope").is_empty() || text(entry, "text") == "fs1." {
        forms.push(Envelope::Bytes(hex(entry, "envelope")));
    }
    forms
}

// --- Types -----------------------------------------------------------------------------------

/// What opened: the value's bytes as its type writes them, or none.
type Opened = Result<Option<Vec<u8>>>;

/// Opens a value as `T`, as an application does; as an option, unless the entry says that the type has no none.
fn typed<T: Plaintext>(entry: &Value, envelope: Envelope) -> Opened {
    fn open<T: Plaintext>(entry: &Value, envelope: Envelope) -> Opened {
        let opened = keys(entry).open_value(&envelope.sealed::<T>()?, &context(entry))?;
        Ok(written(opened.expose()))
    }
    if entry["optional"] == false { open::<T>(entry, envelope) } else { open::<Option<T>>(entry, envelope) }
}

/// The bytes that a value is written as.
fn written<T: Plaintext>(value: &T) -> Option<Vec<u8>> {
    let buf = frame_of(value, 0).unwrap().finish().unwrap();
    let (marker, bytes) = buf.as_slice()[HEADER_LEN..].split_last().unwrap();
    (*marker != Kind::None.marker()).then(|| bytes.to_vec())
}

/// A type that takes whatever bytes are of its kind, and of what it reads also: it stands for one whose feature is off, and
/// for one that doesn't write what it read.
struct Raw<const MARKER: u8>(Vec<u8>);

impl<const MARKER: u8> Plaintext for Raw<MARKER> {
    const KIND: Kind = Kind::of(MARKER).unwrap();

    fn reads(found: Kind) -> bool {
        let also = match Self::KIND {
            Kind::Json => Some(Kind::Text),
            Kind::Instant | Kind::LocalDatetime => Some(Kind::Date),
            _ => None,
        };
        found == Self::KIND || also == Some(found)
    }

    fn encoded_len(&self) -> Result<usize> {
        Ok(self.0.len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(&self.0)
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        value.into_vec().map(Self)
    }

    fn wipe(&mut self) {
        self.0.wipe();
    }
}

/// A way to open a value.
type Open = fn(&Value, Envelope) -> Opened;

/// As the type of that name that writes what it read, whatever features there are.
fn open(entry: &Value, envelope: Envelope) -> Opened {
    let open: Open = match text(entry, "type") {
        "text" => typed::<String>,
        "bytes" => typed::<Vec<u8>>,
        "int" => typed::<i128>,
        "bool" => typed::<bool>,
        "f64" => typed::<f64>,
        "f32" => typed::<f32>,
        "text[]" => typed::<Vec<Option<String>>>,
        "int[]" => typed::<Vec<Option<i128>>>,
        "ip" => typed::<Raw<0x82>>,
        "uuid" => typed::<Raw<0x86>>,
        "date" => typed::<Raw<0x87>>,
        "instant" => typed::<Raw<0x88>>,
        "decimal" => typed::<Raw<0x89>>,
        "json" => typed::<Raw<0x8A>>,
        "local_datetime" => typed::<Raw<0x8B>>,
        "time" => typed::<Raw<0x8C>>,
        other => panic!("a type {other} that this test does not know"),
    };
    open(entry, envelope)
}

/// Of a type that [`open`] takes raw: as each type that there is for it. None without their features.
fn judges(entry: &Value) -> &'static [Open] {
    match text(entry, "type") {
        "ip" => &[typed::<IpAddr>],
        "json" => &[typed::<AsJson<Value>>],
        #[cfg(feature = "uuid")]
        "uuid" => &[typed::<uuid::Uuid>],
        #[cfg(feature = "rust_decimal")]
        "decimal" => &[typed::<rust_decimal::Decimal>],
        #[cfg(all(feature = "chrono", feature = "time"))]
        "date" => &[typed::<chrono::NaiveDate>, typed::<time::Date>],
        #[cfg(all(feature = "chrono", feature = "time"))]
        "instant" => &[
            typed::<chrono::DateTime<chrono::Utc>>,
            typed::<chrono::DateTime<chrono::FixedOffset>>,
            typed::<time::OffsetDateTime>,
            typed::<time::UtcDateTime>,
        ],
        #[cfg(all(feature = "chrono", feature = "time"))]
        "local_datetime" => &[typed::<chrono::NaiveDateTime>, typed::<time::PrimitiveDateTime>],
        #[cfg(all(feature = "chrono", feature = "time"))]
        "time" => &[typed::<chrono::NaiveTime>, typed::<time::Time>],
        _ => &[],
    }
}

const ALL_TYPES: bool = cfg!(all(feature = "uuid", feature = "rust_decimal", feature = "chrono", feature = "time"));

/// The name of an error, as the examples have it.
fn name_of<T: Debug>(result: Result<T>) -> String {
    match result {
        Err(e @ (Error::Authentication | Error::Malformed | Error::UnknownFormat)) => format!("{e:?}"),
        Err(Error::WrongType { found, .. }) => format!("WrongType {}", found.name()),
        other => panic!("{other:?}"),
    }
}

// --- Values ----------------------------------------------------------------------------------

#[test]
fn every_example_opens() {
    for entry in entries("seal") {
        let (name, envelope) = (text(&entry, "name"), hex(&entry, "envelope"));
        let expected = entry["value"].as_str().map(|_| hex(&entry, "value"));
        for form in forms(&entry) {
            assert!(open(&entry, form.clone()).unwrap() == expected, "{name}");
            for judge in judges(&entry) {
                let opened = judge(&entry, form.clone());
                match text(&entry, "type") {
                    // More than this type holds, and nothing is rounded.
                    "decimal" if name.ends_with("40 digits") => assert_eq!(name_of(opened), "Malformed", "{name}"),
                    // One value, several texts.
                    "decimal" | "json" => assert_eq!(opened.unwrap().is_some(), expected.is_some(), "{name}"),
                    _ if name.contains("written as") => assert!(opened.unwrap().is_some(), "{name}"),
                    _ => assert!(opened.unwrap() == expected, "{name}"),
                }
            }
        }
        assert_eq!(Sealed::<()>::from_bytes(envelope.clone()).unwrap().to_string(), text(&entry, "text"), "{name}");
        let bytes = keys(&entry).open_bytes(&envelope, &context(&entry));
        match Kind::of(hex(&entry, "marker")[0]).unwrap() {
            Kind::Bytes | Kind::None => assert!(bytes.unwrap().as_deref() == expected.as_ref(), "{name}"),
            found => assert_eq!(name_of(bytes), format!("WrongType {}", found.name()), "{name}"),
        }
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
        let name = text(&entry, "name");
        let mut error = text(&entry, "error").to_owned();
        if let Some(found) = entry["found"].as_str() {
            error = format!("{error} {found}");
        }
        for form in forms(&entry) {
            let judges = judges(&entry);
            for judge in judges {
                assert_eq!(name_of(judge(&entry, form.clone())), error, "{name}");
            }
            let opened = open(&entry, form);
            // What is wrong with the bytes of a value shows where its type is there.
            if opened.is_ok() {
                assert_eq!(error, "Malformed", "{name}");
                skipped += usize::from(judges.is_empty());
            } else {
                assert_eq!(name_of(opened), error, "{name}");
            }
        }
    }
    assert_eq!(skipped > 0, !ALL_TYPES, "{skipped} forgeries were judged by nobody");
}

// --- Whose keys are looked at ----------------------------------------------------------------

/// What an envelope is bound to by its key alone.
#[test]
fn every_key_is_chosen_among_its_owners() {
    for entry in entries("lookup") {
        let (name, row) = (text(&entry, "name"), &entry);
        let of_row = |key: &&Value| ["tenant", "kind", "subject"].iter().all(|member| key[member] == row[member]);
        let mut purposes: Vec<(Purpose, Vec<KeyMaterial>)> = Vec::new();
        for held in entry["keys"].as_array().unwrap().iter().filter(of_row) {
            let (purpose, key) = (purpose(held), key(held, "data_key"));
            match purposes.iter_mut().find(|(name, _)| *name == purpose) {
                Some((_, keys)) => keys.push(key),
                None => purposes.push((purpose, vec![key])),
            }
        }
        let is_known = purposes.iter().any(|(name, _)| *name == purpose(row));
        // Who has no keys of the row's subject asks for them, and is told that there are none.
        if purposes.is_empty() {
            assert_eq!(text(&entry, "error"), "Authentication", "{name}");
            continue;
        }
        let opened =
            reader(row, purposes).open_value(&Envelope::Bytes(hex(row, "envelope")).sealed().unwrap(), &context(row));
        match (entry["error"].as_str(), opened) {
            (None, Ok(value)) => assert_eq!(String::as_bytes(value.expose()), hex(row, "value"), "{name}"),
            (Some("Authentication"), Err(Error::Authentication | Error::WrongPurpose)) => {}
            (Some("Authentication"), Err(Error::PurposeUnknown)) => assert!(!is_known, "{name}"),
            (_, opened) => panic!("{name}: {:?}", opened.err()),
        }
    }
}

// --- Wrapped keys ----------------------------------------------------------------------------

/// Unwraps the entry's envelope in its place, but for line, version and id.
fn unwrap(entry: &Value, kek: &KeyMaterial, line: u32, version: u32, id: &KeyId) -> Result<KeyMaterial> {
    let (tenant, tag) = (TenantId::new(text(entry, "tenant")).unwrap(), Tag::from_bytes(array(entry, "tag")));
    let (kek, wrapped, purpose) = (UsableKey::derive(kek), hex(entry, "envelope"), purpose(entry));
    let place = DataKeyPlace { tenant: &tenant, tag: &tag, purpose: &purpose, line, version };
    unwrap_data_key(&kek, &place, id, &wrapped)?;
    // Again, because the library keeps what is derived from a data key and not its bytes.
    unwrap_in_envelope(&kek, &place.context(id), &wrapped)
}

fn number(entry: &Value, member: &str) -> u32 {
    u32::try_from(entry[member].as_u64().unwrap()).unwrap()
}

#[test]
fn every_wrapped_key_unwraps_in_its_place_and_in_no_other() {
    for entry in entries("wrap") {
        let (name, kek, data_key) = (text(&entry, "name"), key(&entry, "kek"), key(&entry, "data_key"));
        assert_eq!(kek.id().as_bytes(), &array::<24>(&entry, "kek_id"), "{name}");
        let (line, version) = (number(&entry, "line"), number(&entry, "version"));
        let unwrapped = unwrap(&entry, &kek, line, version, &data_key.id()).unwrap();
        assert_eq!(unwrapped.expose(), data_key.expose(), "{name}");
        for refused in [
            unwrap(&entry, &data_key, line, version, &data_key.id()),
            unwrap(&entry, &kek, line ^ 1, version, &data_key.id()),
            unwrap(&entry, &kek, line, version ^ 1, &data_key.id()),
            unwrap(&entry, &kek, line, version, &kek.id()),
        ] {
            assert_eq!(name_of(refused), "Authentication", "{name}");
        }
    }
}

#[test]
fn every_forged_wrapping_is_refused_for_its_reason() {
    for entry in entries("wrap_reject") {
        let (name, kek) = (text(&entry, "name"), key(&entry, "kek"));
        assert_eq!(kek.id().as_bytes(), &array::<24>(&entry, "kek_id"), "{name}");
        let id = KeyId::from_bytes(array(&entry, "key_id"));
        let unwrapped = unwrap(&entry, &kek, number(&entry, "line"), number(&entry, "version"), &id);
        assert_eq!(name_of(unwrapped), text(&entry, "error"), "{name}");
    }
}
