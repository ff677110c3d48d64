//! [`AsJson<T>`]: a value of any type that serde knows, sealed as JSON.

use std::fmt;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::finite::Finite;
use super::{Decoder, Encoder, Plaintext};
use crate::error::{Error, Result};
use crate::kind::Kind;

/// Seals a `T` as JSON. What was sealed as text opens too, where that text is JSON.
///
/// JSON `null` is a value: `AsJson<Option<T>>` with `None` is sealed as the text `null`, and opens as that. It is not the
/// none of `Option<AsJson<T>>`.
///
/// ```
/// use fieldseal::value::AsJson;
/// use fieldseal::{Plain, Sealed};
///
/// struct Row {
///     phones: Sealed<AsJson<Vec<String>>>,
/// }
/// let phones = Plain::new(AsJson(vec!["+44 20 7946 0018".to_owned()]));
/// ```
///
/// # Format
/// The field names and structure that `T` serializes to become part of the format: what is sealed today must be read by
/// tomorrow's `T`. A number that is not finite can't be sealed: JSON has no word for it.
///
/// # Security
/// The JSON text is written straight into the place of its ciphertext and wiped after opening, but for strings with
/// escapes and numbers of more than 19 digits, which pass through a buffer of `serde_json`. The value itself is `T`'s
/// business: it is dropped, not overwritten. Where that matters, make its fields wipe on drop
/// (`zeroize::ZeroizeOnDrop`, `secrecy::SecretString`).
/// Errors of serde, which can quote the value, are not passed on.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
#[derive(Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a wrapper, to be taken off by a pattern")]
pub struct AsJson<T>(pub T);

impl<T: Serialize + DeserializeOwned> Plaintext for AsJson<T> {
    const KIND: Kind = Kind::Json;

    fn reads(found: Kind) -> bool {
        matches!(found, Kind::Json | Kind::Text)
    }

    /// The first of two passes: it counts.
    fn encoded_len(&self) -> Result<usize> {
        let mut count = Count(0);
        serde_json::to_writer(&mut count, &Finite(&self.0)).map_err(|_| Error::invalid(NOT_JSON))?;
        Ok(count.0)
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        let mut writer = Put(out, Ok(()));
        match serde_json::to_writer(&mut writer, &Finite(&self.0)) {
            Ok(()) => Ok(()),
            Err(_) => writer.1.and(Err(Error::invalid(NOT_JSON))),
        }
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        // Not `from_slice`: it doesn't look at the UTF-8 of what `T` skips.
        let text = std::str::from_utf8(value.bytes()?).map_err(|_| Error::Malformed)?;
        serde_json::from_str(text).map(Self).map_err(|_| Error::Malformed)
    }

    /// Overwrites nothing: `T` is wiped as far as its own drop does so.
    fn wipe(&mut self) {}
}

const NOT_JSON: &str =
    "a value can't be written as JSON: it has a NaN, an infinity or a map whose keys are no text, or refuses itself";

/// As `T`, so that it can stand in a twin that is deserialized.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<T: Serialize> Serialize for AsJson<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// As `T`.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
impl<'de, T: Deserialize<'de>> Deserialize<'de> for AsJson<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

/// Redacted: it may stand outside its [`Plain`](super::Plain).
impl<T> fmt::Debug for AsJson<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AsJson(..)")
    }
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the encoder's own error, which says more than that writing failed.
struct Put<'a, 'b>(&'a mut Encoder<'b>, Result<()>);

impl io::Write for Put<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 = self.0.put(bytes);
        if self.1.is_ok() { Ok(bytes.len()) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
