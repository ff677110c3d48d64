//! [`Sealed<T>`]: the envelope of a `T`.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use crate::envelope::header::Envelope;
use crate::envelope::text;
use crate::error::Error;
use crate::subject::SubjectKeys;

/// A value of type `T`, sealed: bytes that open in one place only. What the database, its backups and logs see.
///
/// `Display` and `FromStr` are the text form (`fs1.` and base64url). There is no `==`: sealing one value twice gives two that
/// differ, so whether two are equal says nothing of the values ([`same_bytes`](Self::same_bytes)).
pub struct Sealed<T> {
    envelope: Vec<u8>,
    value: PhantomData<fn() -> T>,
}

impl<T> Sealed<T> {
    /// An envelope read back. Its header is checked now; whether it opens is known when it is opened.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are no envelope, [`Error::UnknownFormat`] if they may be one of a later version.
    pub fn from_bytes(envelope: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let envelope = envelope.into();
        Envelope::parse(&envelope)?;
        Ok(Self { envelope, value: PhantomData })
    }

    /// The envelope: 66 bytes more than the value, and the padding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.envelope
    }

    /// The envelope.
    pub fn into_bytes(self) -> Vec<u8> {
        self.envelope
    }

    /// Whether both are one envelope, byte for byte: what a column held is what it holds. Two envelopes of one value are not
    /// the same; to compare values, open them.
    pub fn same_bytes(&self, other: &Self) -> bool {
        self.envelope == other.envelope
    }

    /// Whether the value is to be [resealed](SubjectKeys::reseal_value): its key is older than the one that seals for its
    /// purpose now, or it is of another suite. Nothing is opened to tell, so it is not known whether the value would open.
    ///
    /// # Errors
    /// [`Error::KeyNotHeld`] for a key that may be newer than these, [`Error::Authentication`] for one that is nobody's;
    /// [`Error::PurposeErased`] for one that was destroyed; [`Error::KeysExpired`].
    pub fn needs_reseal(&self, keys: &SubjectKeys) -> Result<bool, Error> {
        keys.needs_reseal(None, &self.envelope)
    }

    /// What a sealer made.
    pub(crate) fn trusted(envelope: Vec<u8>) -> Self {
        Self { envelope, value: PhantomData }
    }
}

#[cfg(feature = "sqlx")]
impl<T> Sealed<T> {
    /// Drivers encode a `Vec<u8>`, whatever its lifetime; not all a borrowed slice.
    pub(crate) fn as_vec(&self) -> &Vec<u8> {
        &self.envelope
    }
}

impl<T> fmt::Display for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text::encode(&self.envelope))
    }
}

impl<T> FromStr for Sealed<T> {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::from_bytes(text::decode(text)?)
    }
}

/// The length alone: an envelope in a log would join the rows of a person.
impl<T> fmt::Debug for Sealed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.envelope.len())
    }
}

impl<T> Clone for Sealed<T> {
    fn clone(&self) -> Self {
        Self::trusted(self.envelope.clone())
    }
}

impl<T> AsRef<[u8]> for Sealed<T> {
    fn as_ref(&self) -> &[u8] {
        &self.envelope
    }
}
