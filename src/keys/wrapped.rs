//! Keys under keys: data keys under a tenant's epoch key, and what a provider wraps, with its context.

use std::fmt;
use std::sync::Arc;

use crate::crypto::aead::Cipher;
use crate::crypto::buf::WipingBuf;
use crate::crypto::{self, Suite, rng};
use crate::envelope::frame::{self, Frame};
use crate::envelope::header::{Envelope, HEADER_LEN, KeyId, TAG_LEN};
use crate::envelope::{context, wire};
use crate::error::{Error, Result};
use crate::id::{Id, Purpose, TenantId};
use crate::keys::{Epoch, KeyMaterial, Tag, UsableKey};
use crate::kind::Kind;

/// The name of a master key at its provider: an ARN, a key name, a random id. 1 to 1024 bytes of text, not secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(Arc<str>);

impl MasterKeyId {
    /// Checks the text: 1 to 1024 bytes.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is empty or longer.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        Id::text(text.as_ref()).map_err(|_| Error::invalid("a master key id has 1 to 1024 bytes"))?;
        Ok(Self(Arc::from(text.as_ref())))
    }

    /// The name of several master keys that stand for one: a key is wrapped under each of them, and unwraps under any. Each is
    /// a provider's name of a key. The order doesn't matter: they are sorted by their bytes; together at most 1024 bytes, as
    /// `any-of:` and for each its length in decimal, `:`, and its text.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there are fewer than two, if one of them stands for several itself or appears twice, or if
    /// they are too long together.
    pub fn any_of<'a>(members: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let mut members: Vec<&Self> = members.into_iter().collect();
        members.sort_unstable_by_key(|member| member.as_str());
        let mut text = String::from(ANY_OF);
        for (n, member) in members.iter().enumerate() {
            if member.members().is_some() || members.iter().skip(n + 1).any(|other| other == member) {
                return Err(Error::invalid("a master key can't be part of another twice, nor one that has parts"));
            }
            text.push_str(&format!("{}:{}", member.as_str().len(), member.as_str()));
        }
        if members.len() < 2 {
            return Err(Error::invalid("several master keys that stand for one are at least two"));
        }
        Self::new(text)
            .map_err(|_| Error::invalid("the ids of master keys that stand for one have at most 1024 bytes together"))
    }

    /// The master keys that stand for this one, sorted; none if it is one itself.
    pub fn members(&self) -> Option<Vec<Self>> {
        let mut rest = self.as_str().strip_prefix(ANY_OF)?;
        let mut members = Vec::new();
        while !rest.is_empty() {
            let (len, text) = rest.split_once(':')?;
            let (member, more) = text.split_at_checked(len.parse().ok()?)?;
            members.push(Self(Arc::from(member)));
            rest = more;
        }
        // A provider may call its own key so: what is not written as here has no parts.
        let is_ours = |made: Self| made == *self;
        Self::any_of(&members).is_ok_and(is_ours).then_some(members)
    }

    /// Whether the end of one would be the end of the other, or of a part of it.
    pub(crate) fn shares_with(&self, other: &Self) -> bool {
        let parts = |id: &Self| id.members().unwrap_or_else(|| vec![id.clone()]);
        let theirs = parts(other);
        parts(self).iter().any(|part| theirs.contains(part))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const ANY_OF: &str = "any-of:";

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeyId({:?})", self.as_str())
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key that a provider wrapped: the master key it used, and the provider's own bytes (1 to 4096).
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey {
    master: MasterKeyId,
    bytes: Vec<u8>,
}

impl WrappedKey {
    /// The most bytes that a provider may make of a key.
    pub const MAX_LEN: usize = 4096;

    /// What a provider made of a key.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if there are no bytes or more than [`WrappedKey::MAX_LEN`].
    pub fn new(master: MasterKeyId, bytes: impl Into<Vec<u8>>) -> Result<Self> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            return Err(Error::invalid("a wrapped key has 1 to 4096 bytes"));
        }
        Ok(Self { master, bytes })
    }

    /// The master key it is wrapped under.
    pub fn master(&self) -> &MasterKeyId {
        &self.master
    }

    /// The provider's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey").field("master", &self.master).finish_non_exhaustive()
    }
}

/// What a key that a provider wraps is for. A provider must bind the wrapped key to it, so that it unwraps under the
/// same context only.
///
/// It names no subject: cloud providers write contexts to their logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapContext {
    role: WrapRole,
    tenant: Option<TenantId>,
    epoch: Epoch,
    index_epoch: Option<u32>,
    key_id: KeyId,
}

/// What a wrapped key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrapRole {
    /// The root of a whole key store.
    VaultRoot,
    /// A tenant's wrapping key of one epoch.
    EpochKey,
    /// A tenant's root.
    Root,
    /// A tenant's key of one index epoch.
    IndexKey,
}

impl WrapRole {
    /// The label of the role's context, as in `docs/format.md`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::VaultRoot => "vault root",
            Self::EpochKey => "epoch key",
            Self::Root => "root",
            Self::IndexKey => "index key",
        }
    }
}

impl WrapContext {
    /// The vault's root, wrapped under the master key of `epoch`.
    pub fn vault_root(epoch: Epoch, key_id: KeyId) -> Self {
        Self { role: WrapRole::VaultRoot, tenant: None, epoch, index_epoch: None, key_id }
    }

    /// A tenant's wrapping key of `epoch`.
    pub fn epoch_key(tenant: TenantId, epoch: Epoch, key_id: KeyId) -> Self {
        Self { role: WrapRole::EpochKey, tenant: Some(tenant), epoch, index_epoch: None, key_id }
    }

    /// A tenant's root, wrapped under the master key of `epoch`.
    pub fn root(tenant: TenantId, epoch: Epoch, key_id: KeyId) -> Self {
        Self { role: WrapRole::Root, tenant: Some(tenant), epoch, index_epoch: None, key_id }
    }

    /// A tenant's index key, wrapped under the master key of `epoch`.
    pub fn index_key(tenant: TenantId, epoch: Epoch, index_epoch: u32, key_id: KeyId) -> Self {
        Self { role: WrapRole::IndexKey, tenant: Some(tenant), epoch, index_epoch: Some(index_epoch), key_id }
    }

    /// The same key's context under the master key of another epoch.
    pub(crate) fn in_epoch(&self, epoch: Epoch) -> Self {
        Self { epoch, ..self.clone() }
    }

    /// What the key is.
    pub fn role(&self) -> WrapRole {
        self.role
    }

    /// The tenant it belongs to; none for the vault's root.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The index epoch; none but for an index key.
    pub fn index_epoch(&self) -> Option<u32> {
        self.index_epoch
    }

    /// The id of the key that is wrapped.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// `ENC(role, tenant, u32be(epoch), u32be(index epoch), key id)`, without the parts that the role has not: for a
    /// provider that takes associated data.
    pub fn encode(&self) -> Vec<u8> {
        let (epoch, index_epoch) = (self.epoch.get().to_be_bytes(), self.index_epoch.map(u32::to_be_bytes));
        let mut parts: Vec<&[u8]> = Vec::with_capacity(4);
        parts.extend(self.tenant.as_ref().map(|t| t.as_str().as_bytes()));
        parts.push(&epoch);
        parts.extend(index_epoch.as_ref().map(<[u8; 4]>::as_slice));
        parts.push(self.key_id.as_bytes());
        context::encode(self.role.label(), &parts)
    }

    /// `ENC(label, master key id, ENC(role, ..))`: the same for a provider whose own ciphertexts don't say which of its master
    /// keys made them. `label` is the provider's, in one word.
    pub fn encode_under(&self, label: &str, master: &MasterKeyId) -> Vec<u8> {
        context::encode(label, &[master.as_str().as_bytes(), &self.encode()])
    }
}

/// A wrapped data key: an envelope around 32 bytes.
pub(crate) const WRAPPED_LEN: usize = HEADER_LEN + KeyMaterial::LEN + 1 + TAG_LEN;

/// Where a data key belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataKeyPlace<'a> {
    pub(crate) tenant: &'a TenantId,
    pub(crate) tag: &'a Tag,
    pub(crate) purpose: &'a Purpose,
    pub(crate) line: u32,
    pub(crate) version: u32,
}

impl DataKeyPlace<'_> {
    /// `ENC("wrap", tenant, tag, purpose, u32be(line), u32be(version), key id)`
    pub(crate) fn context(&self, key_id: &KeyId) -> Vec<u8> {
        context::encode(
            "wrap",
            &[
                self.tenant.as_str().as_bytes(),
                self.tag.as_bytes(),
                self.purpose.as_str().as_bytes(),
                &self.line.to_be_bytes(),
                &self.version.to_be_bytes(),
                key_id.as_bytes(),
            ],
        )
    }
}

/// A data key under an epoch key.
pub(crate) fn wrap_data_key(
    kek: &UsableKey,
    suite: Suite,
    place: &DataKeyPlace<'_>,
    key: &KeyMaterial,
    key_id: &KeyId,
) -> Result<[u8; WRAPPED_LEN]> {
    wrap_in_envelope(kek, suite, &place.context(key_id), key)
}

/// A data key out of its wrapping; its id is derived again and compared.
pub(crate) fn unwrap_data_key(
    kek: &UsableKey,
    place: &DataKeyPlace<'_>,
    key_id: &KeyId,
    wrapped: &[u8],
) -> Result<UsableKey> {
    let key = UsableKey::derive(&unwrap_in_envelope(kek, &place.context(key_id), wrapped)?);
    if key.id().is(key_id) { Ok(key) } else { Err(Error::Authentication) }
}

/// A data key under another epoch key: the same key, whose id is checked on the way.
pub(crate) fn rewrap_data_key(
    from: &UsableKey,
    to: &UsableKey,
    suite: Suite,
    place: &DataKeyPlace<'_>,
    key_id: &KeyId,
    wrapped: &[u8],
) -> Result<[u8; WRAPPED_LEN]> {
    let key = unwrap_in_envelope(from, &place.context(key_id), wrapped)?;
    if !key.id().is(key_id) {
        return Err(Error::Authentication);
    }
    wrap_data_key(to, suite, place, &key, key_id)
}

/// A key in an envelope under another key, bound to a context.
pub(crate) fn wrap_in_envelope(
    kek: &UsableKey,
    suite: Suite,
    context: &[u8],
    key: &KeyMaterial,
) -> Result<[u8; WRAPPED_LEN]> {
    let envelope = seal_key(kek, suite, context, key);
    crypto::wipe_stack();
    envelope?.try_into().map_err(|_| Error::Bug("a wrapped key has 98 bytes"))
}

#[inline(never)] // so that `wipe_stack` covers its frame, where the cipher was
fn seal_key(kek: &UsableKey, suite: Suite, context: &[u8], key: &KeyMaterial) -> Result<Vec<u8>> {
    let nonce = rng::nonce()?;
    let framed = Frame::of(key.expose(), 0, Kind::Bytes)?;
    let cipher = Cipher::new(suite, kek.cipher_key(suite), &nonce);
    wire::seal(&cipher, suite, kek.id(), &nonce, context, framed)
}

/// The key in an envelope: steps 1 to 5 of section 9. Nothing behind the comparison of key ids would notice another `kek`.
pub(crate) fn unwrap_in_envelope(kek: &UsableKey, context: &[u8], wrapped: &[u8]) -> Result<KeyMaterial> {
    let envelope = Envelope::parse(wrapped)?;
    if wrapped.len() != WRAPPED_LEN {
        return Err(Error::Malformed);
    }
    if !envelope.key_id.is(kek.id()) {
        return Err(Error::Authentication);
    }
    let framed = open_key(kek, context, &envelope);
    crypto::wipe_stack();
    let framed = framed?;
    let (marker, len) = frame::parse(framed.as_slice())?;
    if marker != Kind::Bytes.into() {
        return Err(Error::Malformed);
    }
    KeyMaterial::from_slice(framed.as_slice().get(..len).unwrap_or_default()).map_err(|_| Error::Malformed)
}

#[inline(never)] // so that `wipe_stack` covers its frame, where the cipher was
fn open_key(kek: &UsableKey, context: &[u8], envelope: &Envelope<'_>) -> Result<WipingBuf> {
    let cipher = Cipher::new(envelope.suite, kek.cipher_key(envelope.suite), envelope.nonce);
    let mut framed = WipingBuf::default();
    wire::open(&cipher, envelope, context, &mut framed)?;
    Ok(framed)
}

#[cfg(test)]
mod tests;
