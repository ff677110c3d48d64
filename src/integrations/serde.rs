//! `serde`: [`Sealed<T>`] both ways, [`Plain<T>`] on the way in. (The way out is [`reveal`](crate::reveal).)
//!
//! A deserializer's errors show what it was given: `invalid type: string "ada@example.com", expected i64`. Those end in
//! logs and in answers to other people, so no error of a deserializer passes here: each becomes one that says what was
//! expected.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr as _;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::envelope::header::{HEADER_LEN, TAG_LEN};
use crate::envelope::{MAX_FRAME_LEN, text};
use crate::error::{Error, Result};
use crate::value::{Plain, Plaintext, Sealed};

/// The text form where the format is for people, else bytes.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<T> Serialize for Sealed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&text::encode(self.as_bytes()))
        } else {
            serializer.serialize_bytes(self.as_bytes())
        }
    }
}

/// The text form where the format is for people, else bytes. Errors don't show what was given.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<'de, T> Deserialize<'de> for Sealed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = SealedVisitor(PhantomData);
        let read = if deserializer.is_human_readable() {
            deserializer.deserialize_str(visitor)
        } else {
            deserializer.deserialize_byte_buf(visitor)
        };
        match read {
            Ok(parsed) => parsed.map_err(de::Error::custom),
            Err(error) => Err(unless_missing(error, || SEALED.to_owned())),
        }
    }
}

/// Errors don't show what was given: a value that is refused is as personal as one that is taken.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<'de, T: Plaintext + Deserialize<'de>> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let human_readable = deserializer.is_human_readable();
        T::deserialize(deserializer)
            .map(Self::new)
            .map_err(|error| unless_missing(error, || expected_by::<T>(human_readable)))
    }
}

const SEALED: &str = "a sealed value";

/// Takes what is like text or bytes, whichever was asked for: a format that buffers (`#[serde(flatten)]`, untagged enums)
/// forgets whether it is for people. The two can't be mistaken for each other.
///
/// The envelope's own error is the visitor's value: it may be told, the format's errors may not.
struct SealedVisitor<T>(PhantomData<fn() -> T>);

impl<'de, T> Visitor<'de> for SealedVisitor<T> {
    type Value = Result<Sealed<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SEALED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Sealed::from_str(text))
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Sealed::from_bytes(bytes))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Self::Value, E> {
        Ok(Sealed::from_bytes(bytes))
    }

    /// Formats without a type for bytes.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        const MAX_LEN: usize = HEADER_LEN + MAX_FRAME_LEN + TAG_LEN;
        // A hint is a claim of whoever wrote the input.
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or_default().min(1024));
        while let Some(byte) = seq.next_element::<u8>()? {
            if bytes.len() == MAX_LEN {
                return Ok(Err(Error::Malformed));
            }
            bytes.push(byte);
        }
        Ok(Sealed::from_bytes(bytes))
    }
}

/// Replaces a format's error by one that says what was expected, unless it is that a field is missing: that one is made
/// before anything is read, and it names the field, which whoever gets it needs.
fn unless_missing<E: de::Error>(error: E, expected: impl FnOnce() -> String) -> E {
    let text = Zeroizing::new(error.to_string());
    let field = text.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match field {
        Some(name) if name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) => error,
        _ => E::custom(format_args!("invalid value (not shown), expected {}", expected())),
    }
}

/// What `T` would accept, in the words of its own visitor. It is asked with a deserializer that has nothing to show.
fn expected_by<'de, T: Deserialize<'de>>(human_readable: bool) -> String {
    match T::deserialize(Probe { human_readable }) {
        Err(Expected(text)) => text,
        Ok(_) => "another".to_owned(),
    }
}

struct Probe {
    human_readable: bool,
}

#[derive(Debug)]
struct Expected(String);

impl<'de> Deserializer<'de> for Probe {
    type Error = Expected;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Expected> {
        Err(Expected((&visitor as &dyn de::Expected).to_string()))
    }

    fn is_human_readable(&self) -> bool {
        self.human_readable
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl de::Error for Expected {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Expected {}
