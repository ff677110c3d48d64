//! What is measured, ours and its floor: the same eight fields with the derive, and with plain `aes-gcm`.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark fails by a panic")]

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use fieldseal::{Plain, Record, Sealed};

/// The lengths of the fields of [`Customer`].
pub(crate) const LENGTHS: [usize; 8] = [24, 28, 14, 60, 11, 10, 16, 400];

#[derive(Record)]
#[record(schema = "customer")]
pub(crate) struct Customer {
    #[record(id, subject = "customer")]
    pub(crate) id: i64,
    pub(crate) name: Sealed<String>,
    pub(crate) email: Sealed<String>,
    pub(crate) phone: Sealed<String>,
    pub(crate) address: Sealed<String>,
    pub(crate) city: Sealed<String>,
    pub(crate) zip: Sealed<String>,
    pub(crate) card: Sealed<String>,
    pub(crate) note: Sealed<String>,
}

/// The plaintext of one record.
pub(crate) fn plain() -> CustomerPlain {
    let [name, email, phone, address, city, zip, card, note] = LENGTHS.map(|n| Plain::new("x".repeat(n)));
    CustomerPlain { id: 42, name, email, phone, address, city, zip, card, note }
}

/// The floor: AES-256-GCM with a prepared key and a counter for a nonce, one allocation of exact size a field.
pub(crate) struct Raw {
    cipher: Aes256Gcm,
    counter: u64,
}

impl Raw {
    pub(crate) fn new() -> Self {
        Self { cipher: Aes256Gcm::new(&[7; 32].into()), counter: 0 }
    }

    pub(crate) fn seal(&mut self, value: &[u8], aad: &[u8]) -> Vec<u8> {
        self.counter += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        let mut out = Vec::with_capacity(12 + value.len() + 16);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(value);
        let tag = self.cipher.encrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(&mut out[12..])).unwrap();
        out.extend_from_slice(&tag);
        out
    }

    pub(crate) fn open(&self, sealed: &[u8], aad: &[u8]) -> String {
        let (nonce, rest) = sealed.split_first_chunk::<12>().unwrap();
        let (ciphertext, tag) = rest.split_last_chunk::<16>().unwrap();
        let mut out = ciphertext.to_vec();
        self.cipher.decrypt_inout_detached(nonce.into(), aad, InOutBuf::from(&mut out[..]), tag.into()).unwrap();
        String::from_utf8(out).unwrap()
    }
}

/// As many bytes of associated data as a field of [`Customer`] has: its context.
pub(crate) const AAD: [u8; 54] = [1; 54];
