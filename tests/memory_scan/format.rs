//! Data keys out of their wrappings, by `docs/format.md` alone: nothing of the library takes part. Whoever tests for leaks
//! learns so what must not be found.

use fieldseal::store::{SlotId, StoredSlot};
use hkdf::Hkdf;
use sha2::Sha256;
use xaes_256_gcm::aead::{AeadInOut, KeyInit};
use zeroize::Zeroizing;

/// Every data key of a subject's slot that is wrapped in this wrapping key, with its wrapping: for the purpose `default`, in
/// its first line. A version ends in `u32be(number)`, a moment, a date, the key's id and its wrapping (section 10), an envelope
/// that names the wrapping key.
pub(crate) fn for_each_data_key(slot: &StoredSlot, kek: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let SlotId::Subject(tenant, tag) = slot.id() else { return };
    let (bytes, id) = (slot.as_bytes(), key_id(kek));
    let names_it = |window: &[u8; 25]| matches!(window[0], 0xF9 | 0xFA) && window[1..] == id;
    for (at, _) in bytes.array_windows().enumerate().filter(|(_, window)| names_it(window)) {
        let (version, data_key_id, wrapped) = (&bytes[at - 45..at - 41], &bytes[at - 24..at], &bytes[at..at + 98]);
        let line = 1u32.to_be_bytes();
        let parts = [tenant.as_str().as_bytes(), tag.as_bytes(), b"default", &line, version, data_key_id];
        let framed = open(kek, &enc("wrap", &parts), wrapped);
        let (key, marker) = framed.split_at(32);
        assert!(marker == [0x80] && key_id(key) == data_key_id, "the library wraps something else");
        each(key, wrapped);
    }
}

/// Section 2.
fn key_id(key: &[u8]) -> [u8; 24] {
    let mut id = [0; 24];
    Hkdf::<Sha256>::new(Some(b"fieldseal/1"), key).expand(b"fieldseal/1 key id", &mut id).unwrap();
    id
}

/// `ENC` of section 1.
fn enc(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let lp = |part: &[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    let mut encoded = [lp(b"fieldseal/1"), lp(label.as_bytes())].concat();
    encoded.extend(u32::try_from(parts.len()).unwrap().to_be_bytes());
    encoded.extend(parts.iter().flat_map(|part| lp(part)));
    encoded
}

/// What an envelope (section 4) holds.
fn open(key: &[u8], context: &[u8], envelope: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut cipher_key = Zeroizing::new([0; 32]);
    let info = [b"fieldseal/1 encrypt ", &envelope[..1]].concat();
    Hkdf::<Sha256>::new(Some(b"fieldseal/1"), key).expand(&info, cipher_key.as_mut_slice()).unwrap();
    match envelope[0] {
        0xF9 => decrypt::<xaes_256_gcm::Xaes256Gcm>(&cipher_key, context, envelope),
        _ => decrypt::<chacha20poly1305::XChaCha20Poly1305>(&cipher_key, context, envelope),
    }
}

fn decrypt<C: AeadInOut + KeyInit>(cipher_key: &[u8; 32], context: &[u8], envelope: &[u8]) -> Zeroizing<Vec<u8>> {
    let (ciphertext, tag) = envelope[49..].split_at(envelope.len() - 49 - 16);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let cipher = C::new_from_slice(cipher_key).unwrap();
    let (nonce, tag) = (envelope[25..49].try_into().unwrap(), tag.try_into().unwrap());
    cipher.decrypt_inout_detached(nonce, context, plaintext.as_mut_slice().into(), tag).unwrap();
    plaintext
}
