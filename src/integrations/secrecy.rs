//! `secrecy`: [`SecretString`] as text, [`SecretSlice<u8>`] as bytes.
//!
//! Both are read from the opened frame, which is wiped, into an allocation of their exact size: `into_boxed_str` on a
//! string with room to spare may move it and leave the first copy behind.

use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret as _, SecretBox, SecretSlice, SecretString};

use crate::error::{Error, Result};
use crate::value::{Decoder, Encoder, Kind, Plaintext};

#[cfg_attr(docsrs, doc(cfg(feature = "secrecy")))]
impl Plaintext for SecretString {
    const KIND: Kind = Kind::Text;

    fn encoded_len(&self) -> Result<usize> {
        Ok(self.expose_secret().len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self.expose_secret().as_bytes())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        let text = std::str::from_utf8(value.bytes()?).map_err(|_| Error::Malformed)?;
        Ok(SecretBox::new(Box::from(text)))
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "secrecy")))]
impl Plaintext for SecretSlice<u8> {
    const KIND: Kind = Kind::Bytes;

    fn encoded_len(&self) -> Result<usize> {
        Ok(self.expose_secret().len())
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<()> {
        out.put(self.expose_secret())
    }

    fn decode(value: Decoder<'_>) -> Result<Self> {
        Ok(SecretBox::new(Box::from(value.bytes()?)))
    }

    fn wipe(&mut self) {
        self.zeroize();
    }
}
