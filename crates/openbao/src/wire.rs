//! The bodies of requests and answers, in buffers that are wiped where they hold a key.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keys::BaoKey;
use fieldseal::error::{Error, ProviderError, ProviderErrorKind};
use fieldseal::provider::{KeyMaterial, WrappedKey};

/// A body that is wiped when it was sent.
pub(super) type Body = Zeroizing<Vec<u8>>;

/// What every answer holds its data in.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

/// What the engine made of a key.
#[derive(Deserialize)]
pub(super) struct Sealed<'a> {
    pub(super) ciphertext: &'a str,
}

/// A key in the clear, in base64: borrowed from a buffer that is wiped.
#[derive(Deserialize)]
pub(super) struct Opened<'a> {
    pub(super) plaintext: &'a str,
}

/// What is mounted.
#[derive(Deserialize)]
pub(super) struct Mount {
    pub(super) uuid: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// What the server says where it refuses.
#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    pub(super) errors: Vec<String>,
}

/// The data of an answer.
pub(super) fn data<'a, T: Deserialize<'a>>(answer: &'a [u8]) -> Result<T, ProviderError> {
    match serde_json::from_slice::<Answer<T>>(answer) {
        Ok(answer) => Ok(answer.data),
        // Not as source: serde tells of what it read.
        Err(e) if e.is_eof() => {
            Err(ProviderError::new(ProviderErrorKind::Unavailable).with_hint("its answer was cut short"))
        }
        Err(_) => Err(ProviderError::corrupt("the answer is not one of a transit engine")),
    }
}

pub(super) fn key(answer: &[u8]) -> Result<BaoKey, ProviderError> {
    data(answer)
}

#[derive(Serialize)]
struct Encrypt<'a> {
    plaintext: &'a str,
    associated_data: &'a str,
    context: &'a str,
    /// The engine makes a key that isn't there, unless that would be of a type that it hasn't; one that is there ignores it.
    #[serde(rename = "type")]
    kind: &'static str,
}

pub(super) fn encrypt(key: &KeyMaterial, context: &[u8]) -> Result<Body, ProviderError> {
    let mut text = Zeroizing::new([0; TEXT_LEN]);
    let plaintext = Base64::encode(key.expose(), &mut *text).map_err(|_| bug("a key in base64 has 44 bytes"))?;
    let context = Base64::encode_string(context);
    body(&Encrypt { plaintext, associated_data: &context, context: &context, kind: "must-exist" }, context.len())
}

#[derive(Serialize)]
struct Decrypt<'a> {
    ciphertext: &'a str,
    associated_data: &'a str,
    context: &'a str,
}

pub(super) fn decrypt(ciphertext: &Ciphertext, context: &[u8]) -> Result<Body, ProviderError> {
    let (ciphertext, context) = (ciphertext.text(), Base64::encode_string(context));
    let decrypt = Decrypt { ciphertext: &ciphertext, associated_data: &context, context: &context };
    body(&decrypt, context.len() + ciphertext.len())
}

pub(super) fn allow_deletion() -> Body {
    Zeroizing::new(br#"{"deletion_allowed":true}"#.to_vec())
}

/// In a buffer that does not grow, since it would leave copies behind.
fn body(content: &impl Serialize, len: usize) -> Result<Body, ProviderError> {
    let capacity = 2 * len + 256;
    let mut body = Zeroizing::new(Vec::with_capacity(capacity));
    serde_json::to_writer(&mut *body, content).map_err(|_| bug("a body can be written"))?;
    debug_assert!(body.len() <= capacity);
    Ok(body)
}

/// The key that an answer holds.
pub(super) fn key_material(plaintext: &str) -> Result<KeyMaterial, ProviderError> {
    let mut bytes = Zeroizing::new([0; TEXT_LEN]);
    let wrong = || ProviderError::corrupt("what was unwrapped is no key");
    let key = Base64::decode(plaintext, &mut *bytes).map_err(|_| wrong())?;
    KeyMaterial::from_slice(key).map_err(|_| wrong())
}

/// What the engine makes of a key: `vault:vVERSION:BASE64` in its own words.
///
/// With us `u32be(version) ‖ bytes`: the engine reads version 0 as 1 and takes line breaks in base64, so its own form could be
/// changed unnoticed.
#[derive(Debug, PartialEq)]
pub(super) struct Ciphertext {
    version: u32,
    bytes: Vec<u8>,
}

impl Ciphertext {
    pub(super) fn parse(text: &str) -> Result<Self, ProviderError> {
        Self::parts(text)
            .ok_or_else(|| ProviderError::corrupt("the engine made something else of a key than a ciphertext"))
    }

    fn parts(text: &str) -> Option<Self> {
        let (version, bytes) = text.strip_prefix("vault:v")?.split_once(':')?;
        let ciphertext = Self { version: version.parse().ok()?, bytes: Base64::decode_vec(bytes).ok()? };
        let len = size_of::<u32>() + ciphertext.bytes.len();
        (ciphertext.version > 0 && len <= WrappedKey::MAX_LEN && ciphertext.text() == text).then_some(ciphertext)
    }

    fn text(&self) -> String {
        format!("vault:v{}:{}", self.version, Base64::encode_string(&self.bytes))
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ProviderError> {
        match bytes.split_first_chunk() {
            Some((version, bytes)) if *version != [0; 4] => {
                Ok(Self { version: u32::from_be_bytes(*version), bytes: bytes.to_vec() })
            }
            _ => Err(ProviderError::new(ProviderErrorKind::Authentication)),
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [&self.version.to_be_bytes(), self.bytes.as_slice()].concat()
    }
}

fn bug(what: &'static str) -> ProviderError {
    ProviderError::internal(Error::Bug(what))
}

/// A key in base64.
const TEXT_LEN: usize = 44;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_has_one_form() {
        let ciphertext = Ciphertext::parse("vault:v12:AAECAw==").unwrap();
        assert_eq!(ciphertext.to_bytes(), [0, 0, 0, 12, 0, 1, 2, 3]);
        assert_eq!(Ciphertext::from_bytes(&ciphertext.to_bytes()).unwrap(), ciphertext);
        for text in
            ["vault:v0:AAAA", "vault:v01:AAAA", "vault:v1:AAA", "vault:v1:AA\nAA", "v1:AAAA", "vault:v1AAAA", ""]
        {
            assert_eq!(Ciphertext::parse(text).unwrap_err().kind(), ProviderErrorKind::Corrupt, "{text:?}");
        }
        for bytes in [&[][..], &[0, 0, 1], &[0, 0, 0, 0, 1]] {
            assert_eq!(Ciphertext::from_bytes(bytes).unwrap_err().kind(), ProviderErrorKind::Authentication);
        }
    }

    #[test]
    fn a_body_fits_the_buffer_it_was_given() {
        let key = KeyMaterial::generate().unwrap();
        for len in [0, 1, 100, 2000] {
            let context = vec![0xff; len];
            let text_len = Base64::encode_string(&context).len();
            assert!(encrypt(&key, &context).unwrap().len() <= 2 * text_len + 256);
            let ciphertext = Ciphertext::from_bytes(&[0xff; 64]).unwrap();
            assert!(decrypt(&ciphertext, &context).unwrap().len() <= 2 * (text_len + ciphertext.text().len()) + 256);
        }
    }

    #[test]
    fn what_is_no_key_is_damaged() {
        let key = Base64::encode_string(&[7; 32]);
        assert_eq!(key_material(&key).unwrap().expose(), &[7; 32]);
        for text in ["", "AAAA", &Base64::encode_string(&[7; 33]), &Base64::encode_string(&[7; 64]), "?"] {
            assert_eq!(key_material(text).unwrap_err().kind(), ProviderErrorKind::Corrupt);
        }
    }
}
