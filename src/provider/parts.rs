//! Wrapped forms that are made of several: parts, and a MAC that holds them together. `docs/format.md`, section 14.
//!
//! Imports `bytes`, `crypto`, `envelope` and `keys`.

use zeroize::Zeroizing;

use crate::bytes::{Reader, Writer};
use crate::crypto::kdf::Prk;
use crate::crypto::{self, mac};
use crate::envelope::context;
use crate::keys::{KeyMaterial, WrappedKey};

/// The parts, each with its length, and `HMAC-SHA256(Expand(PRK, "fieldseal/1 parts", 32), ENC(label, part, ..))` under a key
/// that one of the parts holds: whoever opened that part knows that the others are those it was wrapped with.
pub(super) fn join(label: &str, bound: &[u8], parts: &[&[u8]], key: &KeyMaterial) -> Vec<u8> {
    let mut writer = Writer::default();
    for part in parts {
        writer.bytes(part);
    }
    writer.put(&tag(label, bound, parts, key));
    writer.finish()
}

/// Parts that were read and not verified.
pub(super) struct Parts<'a> {
    parts: Vec<&'a [u8]>,
    tag: [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    /// So many parts, and nothing behind them.
    pub(super) fn read(bytes: &'a [u8], count: usize) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let parts = (0..count).map(|_| reader.bytes(WrappedKey::MAX_LEN).ok()).collect::<Option<_>>()?;
        let tag = reader.array().ok()?;
        reader.end().ok()?;
        Some(Self { parts, tag })
    }

    pub(super) fn get(&self, n: usize) -> &'a [u8] {
        self.parts.get(n).copied().unwrap_or_default()
    }

    pub(super) fn hold_together(&self, label: &str, bound: &[u8], key: &KeyMaterial) -> bool {
        mac::equal(&tag(label, bound, &self.parts, key), &self.tag)
    }
}

fn tag(label: &str, bound: &[u8], parts: &[&[u8]], key: &KeyMaterial) -> [u8; TAG_LEN] {
    let all: Vec<&[u8]> = [bound].into_iter().chain(parts.iter().copied()).collect();
    let tag = hmac(&context::encode(label, &all), key);
    crypto::wipe_stack_of_hash();
    tag
}

#[inline(never)] // so that the wipe covers its frame
fn hmac(message: &[u8], key: &KeyMaterial) -> [u8; TAG_LEN] {
    let mut mac_key = Zeroizing::new([0; 32]);
    Prk::new(key.expose()).expand(&[b"fieldseal/1 parts"], mac_key.as_mut_slice());
    mac::hmac(&mac_key, &[message])
}

const TAG_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::vectors::hex;

    #[test]
    fn parts_are_joined_as_the_format_says() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/slots.json")).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let entries = file["parts"].as_array().unwrap();
        assert_eq!(entries.len(), 3);
        for entry in entries {
            let (label, bound) = (text(&entry["label"]), text(&entry["bound"]));
            let key = KeyMaterial::from_slice(&hex(&text(&entry["key"]))).unwrap();
            let parts: Vec<_> = entry["parts"].as_array().unwrap().iter().map(|part| hex(&text(part))).collect();
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let joined = hex(&text(&entry["joined"]));
            assert_eq!(join(&label, bound.as_bytes(), &parts, &key), joined);
            let read = Parts::read(&joined, parts.len()).unwrap();
            assert!(read.hold_together(&label, bound.as_bytes(), &key));
            assert!(
                !read.hold_together(&label, b"another", &key) && !read.hold_together("other", bound.as_bytes(), &key)
            );
            assert!(Parts::read(&joined, parts.len() + 1).is_none());
            assert!(Parts::read(&joined[..joined.len() - 1], parts.len()).is_none());
            assert!(Parts::read(&[joined.as_slice(), &[0]].concat(), parts.len()).is_none());
        }
    }
}
