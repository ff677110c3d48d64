//! What subject keys promise, on bytes: an envelope opens in its place, under the key it names, and nowhere else.

use std::collections::HashSet;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::crypto::aead::Cipher;
use crate::crypto::collision::{Wish, opens_under_two_keys};
use crate::crypto::kdf::Prk;
use crate::crypto::{self, rng};
use crate::envelope::context::FieldAad;
use crate::envelope::frame::Marker;
use crate::envelope::header::{Envelope, Nonce};
use crate::envelope::{KeyId, OVERHEAD, context, wire};
use crate::id::{Purpose, SubjectKind};
use crate::keys::slot::{Date, KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{DataKeyPlace, Epoch, KeyMaterial, Tag, UsableKey, wrap_data_key};
use crate::value::plaintext::frame_of;

/// A clock that stands where it is put.
#[derive(Debug)]
pub(crate) struct HandClock(Mutex<(Duration, Timestamp)>);

impl HandClock {
    pub(crate) fn at(millis: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new((Duration::from_millis(millis), Timestamp::from_millis(millis)))))
    }

    pub(crate) fn set(&self, monotonic: u64, wall: u64) {
        *self.0.lock().unwrap() = (Duration::from_millis(monotonic), Timestamp::from_millis(wall));
    }
}

impl Clock for HandClock {
    fn monotonic(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn wall(&self) -> Timestamp {
        self.0.lock().unwrap().1
    }
}

/// When the tests take place, on both clocks.
pub(crate) const NOW: u64 = 1_000_000;
pub(crate) const MAX_AGE: Duration = Duration::from_secs(60);

pub(crate) fn policy(tenant: &str, suite: Suite, clock: Arc<dyn Clock>) -> Arc<Policy> {
    Arc::new(Policy { tenant: TenantId::new(tenant).unwrap(), suite, max_age: MAX_AGE, clock, last_checked: None })
}

/// Keys that were loaded now: not refreshed, so more may come.
pub(crate) fn subject_keys(policy: &Arc<Policy>, subject: &str, ring: KeyRing) -> SubjectKeys {
    keys_of(policy, crate::id::customer(subject), ring)
}

fn keys_of(policy: &Arc<Policy>, subject: SubjectId, ring: KeyRing) -> SubjectKeys {
    let loaded = Stamp::now(&policy.clock);
    SubjectKeys::new(policy.clone(), subject, ring, loaded, false, Arc::default())
}

fn refreshed(keys: &SubjectKeys, ring: KeyRing) -> SubjectKeys {
    let policy = &keys.inner.policy;
    let loaded = Stamp::now(&policy.clock);
    SubjectKeys::new(policy.clone(), keys.subject().clone(), ring, loaded, true, Arc::default())
        .refreshed_since(&loaded)
}

/// A data key: another one for each tenant, subject (kind and id), purpose and version. One that they shared would hide swaps.
fn owned_key(tenant: &str, subject: &SubjectId, purpose: &str, version: u8) -> KeyMaterial {
    let names = [tenant, subject.kind(), subject.id(), purpose].map(str::as_bytes);
    let owner = context::encode("test", &[names[0], names[1], names[2], names[3], &[version]]);
    let mut bytes = [0; 32];
    Prk::new(&[0; 32]).expand(&[&owner], &mut bytes);
    KeyMaterial::from_slice(&bytes).unwrap()
}

/// One of subject `ada` of tenant `acme`. No two purposes of hers have one of the same number.
fn key(number: u8) -> KeyMaterial {
    owned_key("acme", &crate::id::customer("ada"), Purpose::DEFAULT, number)
}

/// A ring with one purpose of a customer, and these versions of its key.
pub(crate) fn ring(tenant: &str, subject: &str, purpose: &str, versions: &[u8]) -> KeyRing {
    ring_with(tenant, &crate::id::customer(subject), purpose, versions)
}

fn ring_with(tenant: &str, subject: &SubjectId, purpose: &str, versions: &[u8]) -> KeyRing {
    let keys = versions.iter().map(|version| owned_key(tenant, subject, purpose, *version)).collect();
    KeyRing::of(vec![(Purpose::new(purpose).unwrap(), Some(keys))])
}

/// That of `ada`, for the purpose `default`.
fn adas_ring(versions: &[u8]) -> KeyRing {
    ring("acme", "ada", Purpose::DEFAULT, versions)
}

/// Keys of subject `ada` of tenant `acme`, for the purpose `default`.
fn ada(suite: Suite, versions: &[u8]) -> SubjectKeys {
    subject_keys(&policy("acme", suite, HandClock::at(NOW)), "ada", adas_ring(versions))
}

fn email() -> FieldContext<'static> {
    FieldContext::new("customer", "email", "17").unwrap()
}

/// Like [`Error`], to compare.
fn outcome(opened: Result<Option<Zeroizing<Vec<u8>>>>) -> &'static str {
    match opened {
        Ok(_) => "opened",
        Err(Error::Authentication) => "authentication",
        Err(Error::Malformed) => "malformed",
        Err(Error::UnknownFormat) => "unknown format",
        Err(Error::WrongType { .. }) => "wrong type",
        Err(Error::WrongPurpose) => "wrong purpose",
        Err(Error::KeyNotHeld) => "key not held",
        Err(Error::PurposeErased { at }) if at == Timestamp::from_millis(ERASED_AT) => "purpose erased",
        Err(Error::PurposeUnknown) => "purpose unknown",
        Err(Error::KeysExpired) => "keys expired",
        Err(e) => panic!("{e:?}"),
    }
}

const ERASED_AT: u64 = 500;

// --- The one key -----------------------------------------------------------------------------

/// A message that the AEAD accepts under the keys of two subjects, as an envelope that names `named`.
fn two_key_envelope(keys: [&UsableKey; 2], named: &KeyId, aads: [&[u8]; 2], len: usize) -> Vec<u8> {
    let suite = Suite::Xaes256Gcm;
    let wish = Wish { len, texts: [b"for ada, as sent", b"for bob: a trap."], last: 0x80 };
    let cipher_keys = keys.map(|k| k.cipher_key(suite));
    let (nonce, (ciphertext, tag)) = (0u64..)
        .find_map(|n| {
            let mut nonce: Nonce = [7; 24];
            nonce[16..].copy_from_slice(&n.to_be_bytes());
            let found = opens_under_two_keys(cipher_keys, &nonce, aads, &wish)?;
            Some((nonce, found))
        })
        .unwrap();
    [&[suite.byte()], &named.as_bytes()[..], &nonce, &ciphertext, &tag].concat()
}

#[test]
fn the_ciphertext_that_opens_under_two_keys_opens_under_one() {
    let (suite, bytes) = (Suite::Xaes256Gcm, [0x11, 0x22]);
    let [a, b] = &bytes.map(|byte| UsableKey::derive(&key(byte)));
    let foreign = UsableKey::derive(&key(0x33));
    for named in [a.id(), b.id(), foreign.id()] {
        let mut encoder = FieldAad::new("customer", &email()).unwrap();
        let aad = encoder.of("email").unwrap();
        let envelope = two_key_envelope([a, b], named, [aad; 2], 64);

        // The cipher, with the very associated data that the library makes, accepts it under both, and each frame is
        // well formed: nothing below the comparison of key ids stands in the way.
        let parsed = Envelope::parse(&envelope).unwrap();
        let values = [a, b].map(|k| {
            let cipher = Cipher::new(suite, k.cipher_key(suite), parsed.nonce);
            let mut opened = crypto::buf::WipingBuf::default();
            wire::open(&cipher, &parsed, aad, &mut opened).unwrap();
            assert_eq!(frame::parse(opened.as_slice()).unwrap(), (Kind::Bytes.into(), 63));
            opened.as_slice().to_vec()
        });
        assert_ne!(values[0], values[1]);
        assert!(values[0].starts_with(b"for ada, as sent") && values[1][16..].starts_with(b"for bob: a trap."));
        let cipher = Cipher::new(suite, foreign.cipher_key(suite), parsed.nonce);
        assert!(wire::open(&cipher, &parsed, aad, &mut crypto::buf::WipingBuf::default()).is_err());

        // The library opens it under the one key that it names, and under none if it names another.
        for (usable, byte) in [a, b].into_iter().zip(bytes) {
            let (stale, fresh) =
                if usable.id() == named { ("opened", "opened") } else { ("key not held", "authentication") };
            let keys = ada(suite, &[byte]);
            assert_eq!(outcome(keys.open_bytes(&envelope, &email())), stale);
            let keys = refreshed(&keys, adas_ring(&[byte]));
            assert_eq!(outcome(keys.open_bytes(&envelope, &email())), fresh);
        }
        // So do keys that hold both: there is one reading, whichever comes first in the ring.
        for order in [[bytes[0], bytes[1]], [bytes[1], bytes[0]]] {
            let opened = ada(suite, &order).open_bytes(&envelope, &email());
            match [a, b].iter().position(|k| k.id() == named) {
                Some(i) => assert_eq!(*opened.unwrap().unwrap(), values[i][..63]),
                None => assert_eq!(outcome(opened), "key not held"),
            }
        }
    }
}

/// The same attack on a wrapped data key, where whoever swaps the epoch key would swap the data key.
#[test]
fn a_wrapped_key_made_for_two_keys_unwraps_under_one() {
    let suite = Suite::Xaes256Gcm;
    let [a, b] = &[0x11, 0x22].map(|byte| UsableKey::derive(&key(byte)));
    for named in [a, b] {
        let wrapped = two_key_envelope([a, b], named.id(), [b"context"; 2], 33);
        let parsed = Envelope::parse(&wrapped).unwrap();
        for k in [a, b] {
            let cipher = Cipher::new(suite, k.cipher_key(suite), parsed.nonce);
            let mut opened = crypto::buf::WipingBuf::default();
            wire::open(&cipher, &parsed, b"context", &mut opened).unwrap();
            assert_eq!(frame::parse(opened.as_slice()).unwrap(), (Kind::Bytes.into(), 32));
            let unwrapped = crate::keys::unwrap_in_envelope(k, b"context", &wrapped);
            assert_eq!(unwrapped.is_ok(), k.id() == named.id());
            assert!(unwrapped.is_ok() || matches!(unwrapped, Err(Error::Authentication)));
        }
    }
}

// --- The one place ---------------------------------------------------------------------------

/// Everything that a field is bound to.
#[derive(Clone, Debug, PartialEq)]
struct At {
    tenant: String,
    kind: String,
    subject: String,
    purpose: String,
    schema: String,
    field: String,
    ids: Vec<String>,
}

impl At {
    /// Those of its owner for its purpose, and of nobody else. No others will come: a reader that asks somebody for more is
    /// told the same.
    fn keys(&self, suite: Suite, versions: &[u8]) -> SubjectKeys {
        let policy = policy(&self.tenant, suite, HandClock::at(NOW));
        let ring = ring_with(&self.tenant, &self.owner(), &self.purpose, versions);
        let asked = Stamp::now(&policy.clock);
        keys_of(&policy, self.owner(), ring).refreshed_since(&asked)
    }

    fn key_id(&self, version: u8) -> KeyId {
        owned_key(&self.tenant, &self.owner(), &self.purpose, version).id()
    }

    fn owner(&self) -> SubjectId {
        SubjectId::new(&self.kind, &self.subject).unwrap()
    }

    fn context(&self) -> FieldContext<'_> {
        let context = FieldContext::unbound(&self.schema, &self.field).unwrap().purpose(&self.purpose);
        self.ids.iter().fold(context, |context, id| context.and_id(id).unwrap())
    }

    /// Every place that differs from this one in one respect.
    fn others(&self) -> Vec<Self> {
        let mut out = Vec::new();
        let mut differ = |change: &dyn Fn(&mut Self)| {
            let mut other = self.clone();
            change(&mut other);
            // What is no context at all is refused before; here the question is another context.
            let texts = [&other.tenant, &other.subject, &other.purpose, &other.schema, &other.field];
            let is_kind = SubjectKind::new(&other.kind).is_ok();
            if other != *self
                && is_kind
                && texts.into_iter().chain(&other.ids).all(|text| (1..=1024).contains(&text.len()))
            {
                out.push(other);
            }
        };
        let texts: [fn(&mut Self) -> &mut String; 6] = [
            |at| &mut at.tenant,
            |at| &mut at.kind,
            |at| &mut at.subject,
            |at| &mut at.purpose,
            |at| &mut at.schema,
            |at| &mut at.field,
        ];
        for text in texts {
            differ(&|at| {
                text(at).pop();
            });
            differ(&|at| *text(at) = "x".to_owned());
            differ(&|at| *text(at) = text(at).to_uppercase());
            differ(&|at| *text(at) = text(at).chars().rev().collect());
        }
        for i in 0..self.ids.len() {
            differ(&|at| {
                at.ids[i].pop();
            });
            differ(&|at| at.ids[i] = "x".to_owned());
            differ(&|at| drop(at.ids.remove(i)));
            differ(&|at| at.ids.swap(0, i));
            differ(&|at| at.ids.insert(i, "1".to_owned()));
        }
        differ(&|at| at.ids.clear());
        differ(&|at| at.ids.push("1".to_owned()));
        // The same bytes, divided up differently.
        differ(&|at| std::mem::swap(&mut at.tenant, &mut at.subject));
        differ(&|at| std::mem::swap(&mut at.kind, &mut at.subject));
        differ(&|at| {
            let first = at.subject.remove(0);
            at.kind.push(first);
        });
        differ(&|at| std::mem::swap(&mut at.schema, &mut at.field));
        differ(&|at| {
            let first = at.field.remove(0);
            at.schema.push(first);
        });
        differ(&|at| at.ids = vec![at.ids.concat()]);
        out
    }
}

/// The envelope, with the name of another key.
fn naming(envelope: &[u8], id: &KeyId) -> Vec<u8> {
    [&envelope[..1], id.as_bytes(), &envelope[25..]].concat()
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(any::<char>(), 1..6).prop_map(String::from_iter),
        Just("default".to_owned()),
        (1i64..).prop_map(|n| n.to_string()),
        Just("\u{e9}".repeat(512)),
    ]
}

fn at() -> impl Strategy<Value = At> {
    (id(), "[a-z0-9_.-]{1,9}", id(), id(), id(), id(), proptest::collection::vec(id(), 0..4)).prop_map(
        |(tenant, kind, subject, purpose, schema, field, ids)| At {
            tenant,
            kind,
            subject,
            purpose,
            schema,
            field,
            ids,
        },
    )
}

fn suite() -> impl Strategy<Value = Suite> {
    proptest::sample::select(&Suite::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_value_opens_in_its_place_and_in_no_other(at in at(), suite in suite(), value: Vec<u8>) {
        let keys = at.keys(suite, &[1]);
        let envelope = keys.seal_bytes(&value, &at.context()).unwrap();
        prop_assert_eq!(envelope.len(), value.len() + OVERHEAD);
        prop_assert_eq!(envelope[0], suite.byte());
        prop_assert_eq!(&**keys.open_bytes(&envelope, &at.context()).unwrap().unwrap(), &value[..]);
        // Keys whose policy seals under another suite open it all the same.
        for other in Suite::ALL {
            prop_assert!(at.keys(other, &[1]).open_bytes(&envelope, &at.context()).is_ok());
        }
        for other in at.others() {
            let keys = other.keys(suite, &[1]);
            prop_assert_eq!(outcome(keys.open_bytes(&envelope, &other.context())), "authentication", "{:?}", other);
            // Nor if it names the key that is held there.
            let relabeled = naming(&envelope, &other.key_id(1));
            prop_assert_eq!(outcome(keys.open_bytes(&relabeled, &other.context())), "authentication", "{:?}", other);
        }
    }

    #[test]
    fn an_envelope_with_any_bit_flipped_does_not_open(suite in suite(), value in proptest::collection::vec(any::<u8>(), 0..20)) {
        let keys = ada(suite, &[1]);
        let fresh = refreshed(&keys, adas_ring(&[1]));
        let envelope = keys.seal_bytes(&value, &email()).unwrap();
        for bit in 0..envelope.len() * 8 {
            let mut changed = envelope.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (stale, refreshed) = match (bit / 8, changed[0]) {
                (0, 0xF9 | 0xFA) => ("authentication", "authentication"),
                (0, 0xF8 | 0xFB..) => ("unknown format", "unknown format"),
                (0, _) => ("malformed", "malformed"),
                (1..25, _) => ("key not held", "authentication"),
                _ => ("authentication", "authentication"),
            };
            prop_assert_eq!(outcome(keys.open_bytes(&changed, &email())), stale, "bit {}", bit);
            prop_assert_eq!(outcome(fresh.open_bytes(&changed, &email())), refreshed, "bit {}", bit);
        }
    }

    #[test]
    fn an_envelope_that_is_cut_or_longer_does_not_open(
        suite in suite(), value in proptest::collection::vec(any::<u8>(), 0..20), byte: u8,
    ) {
        let keys = ada(suite, &[1]);
        let envelope = keys.seal_bytes(&value, &email()).unwrap();
        for len in 0..envelope.len() {
            let expected = if len < OVERHEAD { "malformed" } else { "authentication" };
            prop_assert_eq!(outcome(keys.open_bytes(&envelope[..len], &email())), expected, "cut to {}", len);
        }
        for longer in [[&envelope[..], &[byte]].concat(), [&[byte], &envelope[..]].concat()] {
            prop_assert_ne!(outcome(keys.open_bytes(&longer, &email())), "opened");
        }
        prop_assert_eq!(outcome(keys.open_bytes(&[&envelope[..], &[byte]].concat(), &email())), "authentication");
    }

    #[test]
    fn other_bytes_are_refused_in_the_order_of_the_format(first: u8, named: bool, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
        let keys = ada(Suite::Xaes256Gcm, &[1]);
        let mut bytes = [&[first], &rest[..]].concat();
        if let (true, Some(place)) = (named, bytes.get_mut(1..25)) {
            place.copy_from_slice(UsableKey::derive(&key(1)).id().as_bytes());
        }
        for first in [first, 0xF9, 0xFA] {
            bytes[0] = first;
            let expected = match first {
                0xF9 | 0xFA if bytes.len() < OVERHEAD => "malformed",
                0xF9 | 0xFA if named => "authentication",
                0xF9 | 0xFA => "key not held",
                0xF8.. => "unknown format",
                _ => "malformed",
            };
            prop_assert_eq!(outcome(keys.open_bytes(&bytes, &email())), expected);
        }
        prop_assert_eq!(outcome(keys.open_bytes(&[], &email())), "malformed");
    }

    /// The opener keeps the last derived state: whatever came before must not show.
    #[test]
    fn one_opener_opens_envelopes_of_any_origin_in_any_order(order in Just((0..24).collect::<Vec<usize>>()).prop_shuffle()) {
        let (keys, mut sealed) = (ada(Suite::Xaes256Gcm, &[1, 2]), Vec::new());
        for (suite, versions) in [(Suite::Xaes256Gcm, &[1][..]), (Suite::XChaCha20Poly1305, &[1]), (Suite::Xaes256Gcm, &[1, 2])] {
            let keys = ada(suite, versions);
            let mut sealer = Sealer::new(&keys, "customer", &"17").unwrap();
            for i in 0..4u8 {
                let frame = Frame::of(&[i], 0, Kind::Bytes).unwrap();
                sealed.push(("opened", i, sealer.seal(Purpose::DEFAULT, "email", frame).unwrap()));
            }
        }
        for i in 0..sealed.len() {
            let (_, value, mut changed) = sealed[i].clone();
            *changed.last_mut().unwrap() ^= 1;
            sealed.push(("authentication", value, changed));
        }
        let mut opener = Opener::new(&keys, "customer", &"17").unwrap();
        for i in order {
            let (expected, value, envelope) = &sealed[i];
            let frame = [*value, 0x80];
            let opened = opener.open(Purpose::DEFAULT, "email", envelope).map(|frame| frame.as_slice().to_vec());
            prop_assert_eq!(opened.as_ref().ok().map(Vec::as_slice), (*expected == "opened").then_some(&frame[..]));
            prop_assert!(opened.is_ok() || matches!(opened, Err(Error::Authentication)));
        }
    }
}

/// Two of each thing that a value is bound to, in every combination: of any two places that differ in one or two of them,
/// neither opens what was sealed for the other. The suite is that of the envelope's first byte.
#[test]
fn no_value_opens_where_one_or_two_things_differ() {
    const OWNER: u16 = 0b111; // tenant, kind and id of the subject
    const PURPOSE: u16 = 1 << 3;
    const VERSION: u16 = 1 << 7;
    const ALL: u16 = 1 << 9;
    let bit = |place: u16, at: u16| usize::from(place >> at & 1);
    let at = |place: u16| At {
        tenant: ["acme", "acme2"][bit(place, 0)].to_owned(),
        kind: ["customer", "employee"][bit(place, 1)].to_owned(),
        subject: ["17", "18"][bit(place, 2)].to_owned(),
        purpose: [Purpose::DEFAULT, "billing"][bit(place, 3)].to_owned(),
        schema: ["person", "patient"][bit(place, 4)].to_owned(),
        field: ["name", "email"][bit(place, 5)].to_owned(),
        ids: vec![["17", "18"][bit(place, 6)].to_owned()],
    };
    let version = |place: u16| if place & VERSION == 0 { 1 } else { 2 };
    let suite = |place: u16| Suite::ALL[bit(place, 8)];
    // Every key of the owner: both versions for both purposes.
    let all_of = |at: &At| {
        let policy = policy(&at.tenant, Suite::default(), HandClock::at(NOW));
        let purposes = [Purpose::DEFAULT, "billing"].map(|purpose| {
            let keys = [1, 2].map(|version| owned_key(&at.tenant, &at.owner(), purpose, version));
            (Purpose::new(purpose).unwrap(), Some(Vec::from(keys)))
        });
        let asked = Stamp::now(&policy.clock);
        keys_of(&policy, at.owner(), KeyRing::of(Vec::from(purposes))).refreshed_since(&asked)
    };
    let places: Vec<_> = (0..ALL)
        .map(|place| {
            let at = at(place);
            let (only, all) = (at.keys(suite(place), &[version(place)]), all_of(&at));
            let sealed = only.seal_bytes(b"secret", &at.context()).unwrap();
            (at, only, all, sealed)
        })
        .collect();
    for from in 0..ALL {
        let (.., sealed) = &places[usize::from(from)];
        for differs in (0..ALL).filter(|differs| differs.count_ones() <= 2) {
            let to = from ^ differs;
            let (there, only, all, _) = &places[usize::from(to)];
            let moved = [&[suite(to).byte()], &sealed[1..]].concat();
            let relabeled = naming(&moved, &there.key_id(version(to)));
            let expected = if differs == 0 { "opened" } else { "authentication" };
            for envelope in [&moved, &relabeled] {
                assert_eq!(outcome(only.open_bytes(envelope, &there.context())), expected, "{from:09b} {to:09b}");
            }
            // A reader that holds more of the owner's keys is told more, and opens what another version sealed.
            let expected = match differs {
                0 | VERSION => "opened",
                _ if differs & OWNER != 0 => "authentication",
                _ if differs & PURPOSE != 0 => "wrong purpose",
                _ => "authentication",
            };
            assert_eq!(outcome(all.open_bytes(&moved, &there.context())), expected, "{from:09b} {to:09b}");
            let expected = if differs == 0 { "opened" } else { "authentication" };
            assert_eq!(outcome(all.open_bytes(&relabeled, &there.context())), expected, "{from:09b} {to:09b}");
        }
    }
}

#[test]
fn lengths_are_judged_before_anything_is_decrypted() {
    let (max_value, max_frame) = (crate::envelope::MAX_VALUE_LEN, crate::envelope::MAX_FRAME_LEN);
    assert_eq!((OVERHEAD, max_value, max_frame), (66, 16_777_216, 16_842_752));
    let keys = ada(Suite::Xaes256Gcm, &[1]);
    assert!(matches!(keys.seal_bytes(&vec![0xA5; max_value + 1], &email()), Err(Error::InvalidInput(_))));

    let mut envelope = vec![0; 65 + max_frame + 1];
    envelope[0] = 0xF9;
    assert!(matches!(Envelope::parse(&envelope), Err(Error::Malformed)));
    assert!(Envelope::parse(&envelope[..65 + max_frame]).is_ok());
    assert!(Envelope::parse(&envelope[..66]).is_ok());
    assert!(matches!(Envelope::parse(&envelope[..65]), Err(Error::Malformed)));

    // A writer without these limits can make an authentic frame with too long a value in it.
    let mut framed = vec![0xA5; max_frame];
    for (value, expected) in [(max_value, true), (max_value + 1, false), (max_frame - 1, false)] {
        framed[value] = 0x80;
        framed[value + 1..].fill(0);
        assert_eq!(frame::parse(&framed).is_ok(), expected);
        framed[value..].fill(0xA5);
    }
}

#[test]
fn a_frame_without_a_value_is_malformed_and_none_is_none() {
    let (keys, k) = (ada(Suite::Xaes256Gcm, &[1]), UsableKey::derive(&key(1)));
    for suite in Suite::ALL {
        let seal = |framed: &[u8]| seal_raw(&k, suite, &email(), framed.to_vec());
        for framed in [&b"\0"[..], b"\0\0\0", b"a", b"a\x7F", b"a\xC0", b"a\x81", b"\x80\x81\0", b"\0\x81", b"\x80a"] {
            assert_eq!(outcome(keys.open_bytes(&seal(framed), &email())), "malformed", "{framed:?}");
        }
        for (marker, expected) in (0x82..=0xBF).map(|m| (m, if m <= 0x8C { "wrong type" } else { "unknown format" })) {
            for framed in [&[marker][..], &[b'a', marker], &[b'a', marker, 0]] {
                assert_eq!(outcome(keys.open_bytes(&seal(framed), &email())), expected, "{framed:?}");
            }
        }
        assert!(keys.open_bytes(&seal(b"\x81\0\0"), &email()).unwrap().is_none());
        assert_eq!(**keys.open_bytes(&seal(b"\x81\x80\0"), &email()).unwrap().unwrap(), [0x81]);
    }
}

/// An authentic envelope of any frame, of `ada`'s and for the purpose `default`.
fn seal_raw(k: &UsableKey, suite: Suite, context: &FieldContext<'_>, mut framed: Vec<u8>) -> Vec<u8> {
    let nonce = rng::nonce().unwrap();
    let mut aad = FieldAad::new(context.schema(), context).unwrap();
    let aad = aad.of(context.field()).unwrap();
    let tag = Cipher::new(suite, k.cipher_key(suite), &nonce).encrypt(&nonce, aad, &mut framed).unwrap();
    [&[suite.byte()], &k.id().as_bytes()[..], &nonce, &framed, &tag].concat()
}

/// The committed examples, the other way round: sealed with their nonces, they are the same to the byte.
#[test]
fn the_examples_are_sealed_byte_for_byte() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/v1.json")).unwrap();
    let unhex = |text: &serde_json::Value| text.as_str().map(crate::crypto::vectors::hex);
    let entries = file["seal"].as_array().unwrap();
    assert!(entries.len() > 100);
    for entry in entries {
        let text = |name: &str| entry[name].as_str().unwrap();
        let envelope = unhex(&entry["envelope"]).unwrap();
        let parsed = Envelope::parse(&envelope).unwrap();
        let value = unhex(&entry["value"]);
        let len = value.as_ref().map_or(0, Vec::len);
        // Any padding that gives this length; the examples state none.
        let pad = if parsed.ciphertext.len() == len + 1 { 0 } else { parsed.ciphertext.len() };
        let marker = Marker::of(unhex(&entry["marker"]).unwrap()[0]).unwrap();
        let mut frame = Frame::new(len, pad, marker).unwrap();
        frame.put(value.as_deref().unwrap_or_default()).unwrap();
        let k = UsableKey::derive(&KeyMaterial::from_slice(&unhex(&entry["data_key"]).unwrap()).unwrap());
        let cipher = Cipher::new(parsed.suite, k.cipher_key(parsed.suite), parsed.nonce);
        let ids = entry["record_ids"].as_array().unwrap().iter();
        let context = FieldContext::unbound(text("schema"), text("field")).unwrap();
        let context = ids.fold(context, |context, id| context.and_id(id.as_str().unwrap()).unwrap());
        let mut aad = FieldAad::new(text("schema"), &context).unwrap();
        let aad = aad.of(text("field")).unwrap();
        let sealed = wire::seal(&cipher, parsed.suite, k.id(), parsed.nonce, aad, frame).unwrap();
        assert!(sealed == envelope, "{}", text("name"));
    }
}

// --- Versions, lines, purposes ---------------------------------------------------------------

/// A purpose: its name, the keys that were destroyed, and its versions, each with the moment from which it seals.
type InSlot<'a> = (&'a str, &'a [u8], &'a [(u8, Option<u64>)]);

/// A ring through its slot, as the vault makes it.
fn ring_of_slot(purposes: &[InSlot<'_>]) -> KeyRing {
    ring_of(&slot_of(purposes))
}

fn ring_of(slot: &SubjectSlot) -> KeyRing {
    let (tenant, tag, kek) = wrapping();
    KeyRing::unwrap(slot, &tenant, &tag, &[], Some(&kek)).unwrap()
}

fn wrapping() -> (TenantId, Tag, UsableKey) {
    (TenantId::new("acme").unwrap(), Tag::from_bytes([9; 16]), UsableKey::derive(&key(0xEE)))
}

fn slot_of(purposes: &[InSlot<'_>]) -> SubjectSlot {
    let (tenant, tag, kek) = wrapping();
    let purpose = |(name, destroyed, keys): &InSlot<'_>| {
        let name = Purpose::new(name).unwrap();
        let version = |(number, (byte, from)): (u32, &(u8, Option<u64>))| {
            let (key, id) = (key(*byte), key(*byte).id());
            let place = DataKeyPlace { tenant: &tenant, tag: &tag, purpose: &name, line: 1, version: number };
            KeyVersion {
                number,
                created_at: Timestamp::from_millis(1),
                seal_from: from.map_or(Date::Undated, |from| Date::Dated(Timestamp::from_millis(from))),
                key_id: id,
                wrapped: wrap_data_key(&kek, Suite::Xaes256Gcm, &place, &key, &id).unwrap(),
            }
        };
        let versions = (1..).zip(keys.iter()).map(version).collect();
        PurposeSlot {
            line: 1,
            erased_at: (!destroyed.is_empty()).then_some(Timestamp::from_millis(ERASED_AT)),
            destroyed: destroyed.iter().map(|byte| key(*byte).id()).collect(),
            versions,
            name,
        }
    };
    SubjectSlot { epoch: Some(Epoch::FIRST), purposes: purposes.iter().map(purpose).collect(), ..SubjectSlot::empty() }
}

fn named(byte: u8) -> Vec<u8> {
    // What the id says decides before anything else is last_checked at.
    [&[0xF9], &key(byte).id().as_bytes()[..], &[0; 60]].concat()
}

#[test]
fn an_unknown_key_may_be_newer_until_a_refresh_did_not_bring_it() {
    let newer = ada(Suite::Xaes256Gcm, &[1, 2]).seal_bytes(b"x", &email()).unwrap();
    let keys = ada(Suite::Xaes256Gcm, &[1]);
    assert_eq!(outcome(keys.open_bytes(&newer, &email())), "key not held");
    assert_eq!(outcome(refreshed(&keys, adas_ring(&[1])).open_bytes(&newer, &email())), "authentication");
    assert_eq!(outcome(refreshed(&keys, adas_ring(&[1, 2])).open_bytes(&newer, &email())), "opened");
}

#[test]
fn a_key_of_another_purpose_is_a_moved_envelope() {
    let ring =
        ring_of_slot(&[("billing", &[5], &[(1, Some(1))]), ("default", &[6], &[(2, Some(1))]), ("gone", &[7, 8], &[])]);
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, HandClock::at(NOW)), "ada", ring);
    let sealed = keys.seal_bytes(b"x", &email().purpose("billing")).unwrap();
    for (purpose, expected) in
        [("billing", "opened"), ("default", "wrong purpose"), ("gone", "wrong purpose"), ("never had", "wrong purpose")]
    {
        assert_eq!(outcome(keys.open_bytes(&sealed, &email().purpose(purpose))), expected, "{purpose}");
    }
}

#[test]
fn a_destroyed_key_reads_as_erased_in_its_own_purpose_alone() {
    let ring =
        ring_of_slot(&[("billing", &[5], &[(1, Some(1))]), ("default", &[6], &[(2, Some(1))]), ("gone", &[7, 8], &[])]);
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, HandClock::at(NOW)), "ada", ring);
    for (purpose, byte, expected) in [
        ("billing", 5, "purpose erased"),
        ("default", 6, "purpose erased"),
        ("gone", 7, "purpose erased"),
        ("gone", 8, "purpose erased"),
        // Somebody who writes a destroyed id into a field of a live purpose must not make it read as erased.
        ("default", 5, "wrong purpose"),
        ("default", 7, "wrong purpose"),
        ("billing", 8, "wrong purpose"),
        // No key of an erased purpose comes by a refresh.
        ("gone", 99, "purpose erased"),
        ("default", 99, "key not held"),
        ("never had", 99, "purpose unknown"),
    ] {
        assert_eq!(outcome(keys.open_bytes(&named(byte), &email().purpose(purpose))), expected, "{purpose} {byte}");
    }
    let seal = |purpose| keys.seal_bytes(b"x", &email().purpose(purpose));
    assert!(matches!(seal("gone"), Err(Error::PurposeErased { at }) if at.as_millis() == ERASED_AT));
    assert!(matches!(seal("never had"), Err(Error::PurposeUnknown)));
    assert!(seal("default").is_ok());
}

#[test]
fn a_purpose_that_an_erasure_as_a_whole_did_not_name_is_erased() {
    let whole_at = Some(Timestamp::from_millis(ERASED_AT));
    let slot = SubjectSlot { whole_at, ..slot_of(&[("default", &[6], &[(2, Some(1))])]) };
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, HandClock::at(NOW)), "ada", ring_of(&slot));
    for (purpose, byte, expected) in [
        ("never named", 99, "purpose erased"),
        ("never named", 2, "wrong purpose"),
        ("default", 99, "key not held"),
        ("default", 6, "purpose erased"),
    ] {
        assert_eq!(outcome(keys.open_bytes(&named(byte), &email().purpose(purpose))), expected, "{purpose} {byte}");
    }
    let seal = |purpose| keys.seal_bytes(b"x", &email().purpose(purpose));
    assert!(matches!(seal("never named"), Err(Error::PurposeErased { at }) if at.as_millis() == ERASED_AT));
    assert!(seal("default").is_ok(), "it was enrolled again");
}

#[test]
fn a_pending_version_opens_and_does_not_seal_before_its_time() {
    for (versions, sealing) in [
        (&[(1, Some(1)), (2, Some(NOW))][..], 2),
        (&[(1, Some(1)), (2, Some(NOW + 1))], 1),
        (&[(1, Some(1)), (2, None)], 1),
        (&[(1, Some(1)), (2, Some(2)), (3, None)], 2),
        // A subject's first key seals at once, even where nobody has dated it.
        (&[(1, None)], 1),
        (&[(1, Some(NOW + 1)), (2, None)], 1),
    ] {
        let keys = |versions| {
            let ring = ring_of_slot(&[("default", &[], versions)]);
            subject_keys(&policy("acme", Suite::Xaes256Gcm, HandClock::at(NOW)), "ada", ring)
        };
        let sealed = keys(versions).seal_bytes(b"x", &email()).unwrap();
        assert_eq!(sealed[1..25], key(sealing).id().as_bytes()[..], "{versions:?}");
        for (byte, _) in versions {
            let of_version = ada(Suite::Xaes256Gcm, &[*byte]).seal_bytes(b"x", &email()).unwrap();
            assert_eq!(outcome(keys(versions).open_bytes(&of_version, &email())), "opened");
        }
        assert_eq!(outcome(keys(versions).open_bytes(&named(99), &email())), "key not held");
    }
}

// --- Reseal ----------------------------------------------------------------------------------

type Version = (u8, Option<u64>);

fn with_versions(suite: Suite, versions: &[Version]) -> SubjectKeys {
    let ring = ring_of_slot(&[("billing", &[7], &[(8, Some(1))]), ("default", &[9], versions), ("gone", &[5], &[])]);
    subject_keys(&policy("acme", suite, HandClock::at(NOW)), "ada", ring)
}

/// The number of the key that an envelope names.
fn number_of(envelope: &[u8]) -> u8 {
    (0..20).find(|byte| envelope[1..25] == key(*byte).id().as_bytes()[..]).unwrap()
}

fn sealed_of(envelope: &[u8]) -> crate::Sealed<String> {
    crate::Sealed::from_bytes(envelope).unwrap()
}

/// Whether a reseal is needed, of the two that tell the same.
fn needs(keys: &SubjectKeys, envelope: &[u8]) -> Result<bool> {
    let needs = sealed_of(envelope).needs_reseal(keys);
    let in_purpose = keys.needs_reseal(Some(Purpose::DEFAULT), envelope);
    assert_eq!(needs.as_ref().ok(), in_purpose.as_ref().ok());
    needs
}

#[test]
fn a_value_of_an_older_key_is_moved_to_the_current_one() {
    let sealed = ada(Suite::Xaes256Gcm, &[1]).seal_bytes(b"x", &email()).unwrap();
    for (versions, current) in [
        (&[(1, Some(1)), (2, Some(NOW))][..], Some(2)),
        (&[(1, Some(1)), (2, Some(1)), (3, Some(NOW))], Some(3)),
        (&[(1, Some(1)), (2, Some(2)), (3, None)], Some(2)),
        // What is pending is not current, and the current is left alone.
        (&[(1, Some(1)), (2, Some(NOW + 1))], None),
        (&[(1, Some(1)), (2, None)], None),
        (&[(1, None), (2, None)], None),
        (&[(1, Some(1))], None),
    ] {
        let keys = with_versions(Suite::Xaes256Gcm, versions);
        assert_eq!(needs(&keys, &sealed).unwrap(), current.is_some(), "{versions:?}");
        let resealed = keys.reseal_bytes(&sealed, &email()).unwrap();
        assert_eq!(resealed.as_deref().map(number_of), current, "{versions:?}");
        let Some(resealed) = resealed else { continue };
        assert_eq!(**keys.open_bytes(&resealed, &email()).unwrap().unwrap(), *b"x");
        assert!(!needs(&keys, &resealed).unwrap());
        assert!(keys.reseal_bytes(&resealed, &email()).unwrap().is_none());
        assert_eq!(outcome(ada(Suite::Xaes256Gcm, &[1]).open_bytes(&resealed, &email())), "key not held");
        let elsewhere = FieldContext::new("customer", "email", "18").unwrap();
        assert_eq!(outcome(keys.open_bytes(&resealed, &elsewhere)), "authentication");
    }
}

/// Somebody whose clock is ahead sealed it: to move it back would be undone, again and again.
#[test]
fn a_value_of_a_newer_key_than_the_current_one_is_left_there() {
    let keys = with_versions(Suite::Xaes256Gcm, &[(1, Some(1)), (2, Some(NOW + 1))]);
    for suite in Suite::ALL {
        let newer = ada(suite, &[1, 2]).seal_bytes(b"x", &email()).unwrap();
        assert!(!needs(&keys, &newer).unwrap());
        assert!(keys.reseal_bytes(&newer, &email()).unwrap().is_none());
    }
}

#[test]
fn a_value_of_another_suite_is_moved_to_that_of_the_keys() {
    for (from, to) in [(0, 1), (1, 0), (0, 0), (1, 1)].map(|(from, to)| (Suite::ALL[from], Suite::ALL[to])) {
        let (before, keys) = (ada(from, &[1]), ada(to, &[1]));
        let sealed = before.seal_bytes(b"x", &email()).unwrap();
        assert_eq!(needs(&keys, &sealed).unwrap(), from != to);
        let resealed = keys.reseal_bytes(&sealed, &email()).unwrap();
        assert_eq!(
            resealed.as_ref().map(|envelope| (envelope[0], number_of(envelope))),
            (from != to).then(|| (to.byte(), 1))
        );
        let Some(resealed) = resealed else { continue };
        assert_eq!(**before.open_bytes(&resealed, &email()).unwrap().unwrap(), *b"x");
        assert!(needs(&before, &resealed).unwrap() && !needs(&keys, &resealed).unwrap());
    }
}

#[test]
fn a_key_that_is_not_held_is_told_as_when_opening() {
    let keys = with_versions(Suite::Xaes256Gcm, &[(1, Some(1)), (2, Some(1))]);
    let fresh = refreshed(&keys, ring_of_slot(&[("default", &[9], &[(1, Some(1)), (2, Some(1))])]));
    let outcome_of = |reseal: Result<Option<Vec<u8>>>| outcome(reseal.map(|_| None));
    for (keys, byte, whole, of_default) in [
        (&keys, 9, "purpose erased", "purpose erased"),
        (&keys, 99, "key not held", "key not held"),
        (&fresh, 99, "authentication", "authentication"),
        // Who asks without a purpose is told of the key's own.
        (&keys, 5, "purpose erased", "wrong purpose"),
        (&keys, 8, "opened", "wrong purpose"),
    ] {
        let needs = sealed_of(&named(byte)).needs_reseal(keys);
        assert_eq!(outcome(needs.map(|needs| assert!(!needs)).map(|()| None)), whole, "{byte}");
        assert_eq!(outcome(keys.needs_reseal(Some("default"), &named(byte)).map(|_| None)), of_default, "{byte}");
        assert_eq!(outcome_of(keys.reseal_bytes(&named(byte), &email())), of_default, "{byte}");
        assert_eq!(outcome(keys.open_bytes(&named(byte), &email())), of_default, "{byte}");
    }
    assert_eq!(outcome_of(keys.reseal_bytes(&named(99), &email().purpose("never had"))), "purpose unknown");
    for bytes in [&b""[..], b"\x01", &[0xF9; 60]] {
        assert_eq!(outcome_of(keys.reseal_bytes(bytes, &email())), "malformed");
    }
}

#[test]
fn keys_past_max_age_neither_judge_nor_reseal() {
    let clock = HandClock::at(NOW);
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, clock.clone()), "ada", adas_ring(&[1, 2]));
    let sealed = ada(Suite::Xaes256Gcm, &[1]).seal_bytes(b"x", &email()).unwrap();
    assert!(needs(&keys, &sealed).unwrap());
    let past = NOW + u64::try_from(MAX_AGE.as_millis()).unwrap() + 1;
    clock.set(past, past);
    assert!(matches!(needs(&keys, &sealed), Err(Error::KeysExpired)));
    assert!(matches!(keys.reseal_bytes(&sealed, &email()), Err(Error::KeysExpired)));
    // Before anything about the envelope is told.
    assert!(matches!(keys.reseal_bytes(b"", &email()), Err(Error::KeysExpired)));
}

#[test]
fn a_malformed_frame_is_not_vouched_for() {
    let (old, keys) = (UsableKey::derive(&key(1)), ada(Suite::Xaes256Gcm, &[1, 2]));
    for framed in [&b"\0"[..], b"a", b"a\x81"] {
        let envelope = seal_raw(&old, Suite::Xaes256Gcm, &email(), framed.to_vec());
        assert!(matches!(keys.reseal_bytes(&envelope, &email()), Err(Error::Malformed)), "{framed:?}");
    }
    // What only a later version knows is moved as it is.
    for framed in [&b"\x8D"[..], b"a\x8D\0", b"\xFF\0\xBF\0\0"] {
        let envelope = seal_raw(&old, Suite::Xaes256Gcm, &email(), framed.to_vec());
        let moved = keys.reseal_bytes(&envelope, &email()).unwrap().unwrap();
        let mut opener = Opener::new(&keys, "customer", &email()).unwrap();
        assert_eq!(opener.open(Purpose::DEFAULT, "email", &moved).unwrap().as_slice(), framed);
        assert_eq!((number_of(&moved), outcome(keys.open_bytes(&moved, &email()))), (2, "unknown format"));
    }
    let none = seal_raw(&old, Suite::Xaes256Gcm, &email(), b"\x81\0\0".to_vec());
    let resealed = keys.reseal_bytes(&none, &email()).unwrap().unwrap();
    assert!(keys.open_bytes(&resealed, &email()).unwrap().is_none());
    assert_eq!(resealed.len(), none.len());
}

/// Whatever stands between them, and although a version becomes due in the middle of the call.
#[test]
fn one_resealer_draws_once_and_judges_as_of_one_moment() {
    let clock = HandClock::at(NOW);
    let ring = ring_of_slot(&[("default", &[], &[(1, Some(1)), (2, Some(NOW)), (3, Some(NOW + 10))])]);
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, clock.clone()), "ada", ring);
    let seal = |byte: u8| ada(Suite::Xaes256Gcm, &[byte]).seal_bytes(&[byte], &email()).unwrap();
    let mut resealer = Resealer::new(&keys, "customer", &"17").unwrap();
    let mut damaged = seal(1);
    *damaged.last_mut().unwrap() ^= 1;
    let mut resealed = Vec::new();
    for (i, envelope) in [seal(2), seal(1), damaged, seal(1), seal(3), seal(1)].iter().enumerate() {
        clock.set(NOW + 5 * u64::try_from(i).unwrap(), NOW + 5 * u64::try_from(i).unwrap());
        match resealer.reseal(Purpose::DEFAULT, "email", envelope) {
            Ok(Some(envelope)) => resealed.push(envelope),
            Ok(None) => assert!([0, 4].contains(&i)),
            Err(e) => assert!(i == 2 && matches!(e, Error::Authentication), "{i} {e:?}"),
        }
    }
    assert_eq!(resealed.iter().map(|envelope| number_of(envelope)).collect::<Vec<_>>(), [2, 2, 2]);
    let first = u64::from_be_bytes(resealed[0][41..49].try_into().unwrap());
    for (i, envelope) in (0..).zip(&resealed) {
        assert_eq!(envelope[25..41], resealed[0][25..41]);
        assert_eq!(envelope[41..49], first.wrapping_add(i).to_be_bytes());
    }
    assert!(
        Resealer::new(&keys, "customer", &"17").unwrap().reseal("default", "email", &resealed[0]).unwrap().is_some()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_resealed_value_opens_in_its_own_place_alone(
        at in at(), (from, to) in (suite(), suite()), pad in 0..70_usize,
        value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
    ) {
        let (before, keys) = (at.keys(from, &[1]), at.keys(to, &[1, 2]));
        let frame = frame_of(&value, pad).unwrap();
        let mut sealer = Sealer::new(&before, &at.schema, &at.context()).unwrap();
        let sealed = sealer.seal(&at.purpose, &at.field, frame).unwrap();
        let resealed = keys.reseal_bytes(&sealed, &at.context()).unwrap().unwrap();
        prop_assert_eq!(resealed.len(), sealed.len());
        let newest = at.key_id(2);
        prop_assert_eq!((resealed[0], &resealed[1..25]), (to.byte(), &newest.as_bytes()[..]));
        prop_assert_ne!(&resealed[25..49], &sealed[25..49]);
        let opened = keys.open_bytes(&resealed, &at.context()).unwrap();
        prop_assert_eq!(opened.as_deref().map(Vec::as_slice), value.as_deref());
        prop_assert!(keys.reseal_bytes(&resealed, &at.context()).unwrap().is_none());

        for other in at.others() {
            let outcome = outcome(other.keys(to, &[1, 2]).reseal_bytes(&sealed, &other.context()).map(|_| None));
            prop_assert_eq!(outcome, "authentication", "{:?}", other);
        }
        for bit in (25 * 8..sealed.len() * 8).step_by(7) {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(matches!(keys.reseal_bytes(&changed, &at.context()), Err(Error::Authentication)), "bit {}", bit);
        }
    }
}

// --- Age -------------------------------------------------------------------------------------

#[test]
fn keys_past_max_age_do_nothing() {
    let clock = HandClock::at(NOW);
    let keys = subject_keys(&policy("acme", Suite::Xaes256Gcm, clock.clone()), "ada", adas_ring(&[1]));
    let sealed = keys.seal_bytes(b"x", &email()).unwrap();
    let max_age = u64::try_from(MAX_AGE.as_millis()).unwrap();
    let twin = keys.clone();
    for (monotonic, wall, expected) in [
        (NOW + max_age, NOW + max_age, "opened"),
        (NOW + max_age + 1, NOW, "keys expired"),
        (NOW, NOW + max_age + 1, "keys expired"),
        (NOW, NOW - 2_000, "opened"),
        (NOW, NOW - 2_001, "keys expired"),
    ] {
        clock.set(monotonic, wall);
        for keys in [&keys, &twin] {
            assert_eq!(outcome(keys.open_bytes(&sealed, &email())), expected);
            assert_eq!(matches!(keys.seal_bytes(b"x", &email()), Err(Error::KeysExpired)), expected != "opened");
            assert_eq!(keys.expired(), expected != "opened");
            assert_eq!(Sealer::new(keys, "customer", &"17").is_err(), expected != "opened");
            assert_eq!(Opener::new(keys, "customer", &"17").is_err(), expected != "opened");
            // Before anything about the envelope is told.
            assert_eq!(outcome(keys.open_bytes(b"", &email())) == "keys expired", expected != "opened");
        }
    }
}

// --- Nonces ----------------------------------------------------------------------------------

#[test]
fn the_fields_of_one_record_share_a_draw_and_count() {
    for suite in Suite::ALL {
        let ring = KeyRing::of(vec![
            (Purpose::new("a").unwrap(), Some(vec![key(1)])),
            (Purpose::new("b").unwrap(), Some(vec![key(2)])),
        ]);
        let keys = subject_keys(&policy("acme", suite, HandClock::at(NOW)), "ada", ring);
        let mut sealer = Sealer::new(&keys, "customer", &"17").unwrap();
        let sealed: Vec<_> = (0..12u8)
            .map(|i| {
                let purpose = if i % 3 == 0 { "a" } else { "b" };
                let frame = Frame::of(&[i], 0, Kind::Bytes).unwrap();
                (i, purpose, sealer.seal(purpose, "email", frame).unwrap())
            })
            .collect();
        let first = u64::from_be_bytes(sealed[0].2[41..49].try_into().unwrap());
        for (i, purpose, envelope) in &sealed {
            assert_eq!(envelope[25..41], sealed[0].2[25..41]);
            assert_eq!(envelope[41..49], first.wrapping_add(u64::from(*i)).to_be_bytes());
            // Each is a whole envelope: it opens without the others.
            assert_eq!(**keys.open_bytes(envelope, &email().purpose(purpose)).unwrap().unwrap(), [*i]);
            let other = if *purpose == "a" { "b" } else { "a" };
            assert_eq!(outcome(keys.open_bytes(envelope, &email().purpose(other))), "wrong purpose");
        }
    }
}

#[test]
fn every_sealing_call_draws_anew() {
    let keys = ada(Suite::Xaes256Gcm, &[1]);
    let mut seen = HashSet::new();
    for _ in 0..256 {
        let sealed = keys.seal_bytes(b"x", &email()).unwrap();
        // Both parts of the nonce, and what is sealed under it.
        assert!(seen.insert(sealed[25..37].to_vec()) && seen.insert(sealed[37..49].to_vec()));
        assert!(seen.insert(sealed[49..].to_vec()));
    }
}
