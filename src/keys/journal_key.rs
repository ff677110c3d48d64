//! [`JournalKey`]: authenticates the entries of the erasure journal. `docs/format.md`, section 11.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::kdf::Prk;
use crate::crypto::{self, mac};
use crate::envelope::context;

/// The journal MAC key of the vault's root. A journal knows no key, so it can neither make an entry nor tell one that somebody
/// else made from ours.
pub(crate) struct JournalKey(Box<Zeroizing<[u8; 32]>>);

impl JournalKey {
    /// `Expand(PRK, "fieldseal/1 journal", 32)`
    pub(super) fn derive(root: &Prk) -> Self {
        let key = Self::derive_in_place(root);
        crypto::wipe_stack_of_hash();
        key
    }

    #[inline(never)] // so that the wipe covers its frame
    fn derive_in_place(root: &Prk) -> Self {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        root.expand(&[b"fieldseal/1 journal"], key.as_mut_slice());
        Self(key)
    }

    /// `HMAC-SHA256(journal MAC key, ENC("journal entry", hash before, u64be(position), entry))`, where the entry is its bytes
    /// before the MAC, and the first one's position is 1. It binds the entry to the head before it: a copy is none elsewhere.
    pub(crate) fn mac(&self, before: &[u8; 32], position: u64, entry: &[u8]) -> [u8; 32] {
        let message = context::encode("journal entry", &[before, &position.to_be_bytes(), entry]);
        let mac = self.mac_in_place(&message);
        crypto::wipe_stack_of_hash();
        mac
    }

    #[inline(never)] // so that the wipe covers its frame
    fn mac_in_place(&self, message: &[u8]) -> [u8; 32] {
        mac::hmac(&self.0, &[message])
    }
}

impl fmt::Debug for JournalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JournalKey(..)")
    }
}
