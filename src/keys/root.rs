//! [`RootKey`]: a tenant's root, or the vault's, ready to derive tags and to authenticate slots.

use std::fmt;

use zeroize::Zeroizing;

use crate::crypto::kdf::Prk;
use crate::crypto::{self, mac};
use crate::envelope::{KeyId, context};
use crate::id::{SubjectId, TenantId};
use crate::keys::material::key_id;
use crate::keys::{JournalKey, KeyMaterial, Tag};

pub(crate) struct RootKey {
    id: KeyId,
    prk: Prk,
    slot_mac_key: Box<Zeroizing<[u8; 32]>>,
}

impl RootKey {
    pub(crate) fn derive(root: &KeyMaterial) -> Self {
        let key = Self::derive_in_place(root);
        crypto::wipe_stack_of_hash();
        key
    }

    #[inline(never)] // so that `wipe_stack` covers its frame
    fn derive_in_place(root: &KeyMaterial) -> Self {
        let prk = Prk::new(root.expose());
        let mut slot_mac_key = Box::new(Zeroizing::new([0; 32]));
        prk.expand(&[b"fieldseal/1 slot"], slot_mac_key.as_mut_slice());
        Self { id: key_id(&prk), prk, slot_mac_key }
    }

    pub(crate) fn id(&self) -> &KeyId {
        &self.id
    }

    /// `tag = Expand(PRK, ENC("tag", tenant, kind, subject id), 16)`
    pub(crate) fn tag(&self, tenant: &TenantId, subject: &SubjectId) -> Tag {
        let parts = [tenant.as_str(), subject.kind(), subject.id()].map(str::as_bytes);
        let info = context::encode("tag", &parts);
        let mut tag = [0; Tag::LEN];
        self.expand(&info, &mut tag);
        crypto::wipe_stack_of_hash();
        Tag::from_bytes(tag)
    }

    /// The key that authenticates the journal's entries. Of the vault's root.
    pub(crate) fn journal_key(&self) -> JournalKey {
        JournalKey::derive(&self.prk)
    }

    #[inline(never)] // so that the wipe covers its frame
    fn expand(&self, info: &[u8], out: &mut [u8]) {
        self.prk.expand(&[info], out);
    }

    /// `HMAC-SHA256(slot MAC key, message)`
    pub(super) fn mac(&self, message: &[u8]) -> [u8; 32] {
        let mac = self.mac_in_place(message);
        crypto::wipe_stack_of_hash();
        mac
    }

    #[inline(never)] // so that the wipe covers its frame
    fn mac_in_place(&self, message: &[u8]) -> [u8; 32] {
        mac::hmac(&self.slot_mac_key, &[message])
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey(..)")
    }
}
