//! [`Scribe`]: enters in a journal what a vault of the same key store would, and what a later version would; from
//! `docs/format.md`, sections 2, 10 and 11, alone.

use std::collections::HashMap;

use fieldseal::envelope::KeyId;
use fieldseal::journal::{ErasureJournal, Head, JournalEntry, JournalEvent};
use fieldseal::provider::{MasterKeyId, MasterKeyProvider, WrapContext, WrappedKey};
use fieldseal::store::{Epoch, KeyStore, Loaded, SlotId, StoredSlot};
use fieldseal::{Error, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Has the roots of a key store, so what it writes is genuine: for tests of what other processes, crashed or of a later
/// version, leave behind.
#[derive(Debug)]
pub struct Scribe<'a> {
    provider: &'a dyn MasterKeyProvider,
    store: &'a dyn KeyStore,
    journal: &'a dyn ErasureJournal,
}

impl<'a> Scribe<'a> {
    /// Of the key store that a vault on these ports has made.
    pub fn new(provider: &'a dyn MasterKeyProvider, store: &'a dyn KeyStore, journal: &'a dyn ErasureJournal) -> Self {
        Self { provider, store, journal }
    }

    /// Enters what the entry says, behind whatever the journal has: authenticated, and naming the entry before it about the
    /// same. Gives its position.
    ///
    /// # Errors
    /// Those of the ports.
    pub async fn enter(&self, entry: &JournalEntry) -> Result<u64> {
        let key = self.root_of(&SlotId::Vault).await?.derived(b"fieldseal/1 journal");
        let (head, last) = self.read(&key).await?;
        let mut bytes = entry.to_bytes();
        let names = entry.tenant().map_or(0, |tenant| tenant.as_str().len())
            + entry.tag().map_or(0, |tag| tag.as_bytes().len());
        let previous = last.get(&about(entry)).copied().unwrap_or(0);
        // Behind version, moment, and the two names with their lengths.
        put(&mut bytes, 1 + 8 + 2 + 2 + names, &previous.to_be_bytes());
        let content = bytes.len().saturating_sub(MAC_LEN);
        let mac = mac_of_entry(&key, &head, bytes.get(..content).unwrap_or_default());
        put(&mut bytes, content, &mac);
        Ok(self.journal.append(&JournalEntry::from_bytes(&bytes)?, &head).await?.position())
    }

    /// Appends the entry as somebody does who can write to the journal, and has no root. Gives its position.
    ///
    /// # Errors
    /// Those of the journal.
    pub async fn forge(&self, entry: &JournalEntry) -> Result<u64> {
        let head = self.journal.head().await?;
        Ok(self.journal.append(entry, &head).await?.position())
    }

    /// A slot as a later version would have written it: with that version, and a body of which this one knows nothing.
    ///
    /// # Errors
    /// Those of the ports; [`Error::InvalidInput`] for the vault's slot or a tenant's.
    pub async fn of_later_version(&self, slot: &StoredSlot) -> Result<StoredSlot> {
        let SlotId::Subject(tenant, tag) = slot.id() else {
            return Err(Error::InvalidInput("only a subject's slot can be made another here".into()));
        };
        let key = self.root_of(&SlotId::Tenant(tenant.clone())).await?.derived(b"fieldseal/1 slot");
        let mut bytes = slot.as_bytes().get(..HEAD_LEN).unwrap_or_default().to_vec();
        put(&mut bytes, 0, &[2]);
        bytes.extend_from_slice(b"of a later version");
        let message = enc("slot", &[tenant.as_str().as_bytes(), tag.as_bytes(), &[3], &bytes]);
        bytes.extend_from_slice(&hmac(&key, &message));
        Ok(StoredSlot::from_bytes(slot.id().clone(), bytes)?)
    }

    /// The journal's head, and the position of the last genuine entry about each.
    async fn read(&self, key: &[u8; 32]) -> Result<(Head, HashMap<SlotId, u64>)> {
        let root = self.root_of(&SlotId::Vault).await?.id;
        let (mut head, mut last, mut is_created) = (Head::EMPTY, HashMap::new(), false);
        for entry in self.journal.read(0, usize::MAX).await? {
            let bytes = entry.to_bytes();
            let (content, mac) = bytes.split_at(bytes.len().saturating_sub(MAC_LEN));
            let is_genuine = mac_of_entry(key, &head, content) == mac;
            let is_root = matches!(entry.event(), JournalEvent::RootCreated { key_id } if *key_id == root);
            is_created |= is_genuine && is_root && entry.tenant().is_none();
            head = head.advanced_by(&entry);
            if is_genuine && is_created {
                last.insert(about(&entry), head.position());
            }
        }
        Ok((head, last))
    }

    /// The root at the beginning of the body of the vault's or a tenant's slot.
    async fn root_of(&self, id: &SlotId) -> Result<Root> {
        let found = self.store.load(std::slice::from_ref(id)).await?.pop();
        let slot = found.unwrap_or(Loaded::Absent).into_slot()?.ok_or(Error::SubjectUnknown)?;
        let mut bytes = Bytes(slot.as_bytes().get(HEAD_LEN..).unwrap_or_default());
        let epoch = Epoch::new(u32::from_be_bytes(bytes.array()?)).ok_or_else(damaged)?;
        let id = KeyId::from_bytes(bytes.array()?);
        let master = std::str::from_utf8(bytes.short()?).map_err(|_| damaged())?;
        let wrapped = WrappedKey::new(MasterKeyId::new(master)?, bytes.short()?)?;
        let context = match slot.id().tenant() {
            None => WrapContext::vault_root(epoch, id),
            Some(tenant) => WrapContext::root(tenant.clone(), epoch, id),
        };
        let key = self.provider.unwrap_key(&wrapped, &context).await?;
        Ok(Root { id, prk: hmac(b"fieldseal/1", key.expose()) })
    }
}

/// A root, as HKDF-SHA256 has extracted it.
struct Root {
    id: KeyId,
    prk: [u8; 32],
}

impl Root {
    /// `Expand(PRK, info, 32)`: one block.
    fn derived(&self, info: &[u8]) -> [u8; 32] {
        hmac(&self.prk, &[info, &[1]].concat())
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(damaged)?;
        self.0 = rest;
        Ok(*head)
    }

    /// `u16be(length) ‖ bytes`
    fn short(&mut self) -> Result<&'a [u8]> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (head, rest) = self.0.split_at_checked(len).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(head)
    }
}

/// The slot that an entry concerns.
fn about(entry: &JournalEntry) -> SlotId {
    match (entry.tenant().cloned(), entry.tag().copied()) {
        (None, _) => SlotId::Vault,
        (Some(tenant), None) => SlotId::Tenant(tenant),
        (Some(tenant), Some(tag)) => SlotId::Subject(tenant, tag),
    }
}

fn mac_of_entry(key: &[u8; 32], before: &Head, content: &[u8]) -> [u8; 32] {
    let position = before.position().saturating_add(1).to_be_bytes();
    hmac(key, &enc("journal entry", &[before.hash(), &position, content]))
}

/// `lp("fieldseal/1") ‖ lp(label) ‖ u32be(n) ‖ lp(p1) ‖ .. ‖ lp(pn)`
fn enc(label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let lp = |part: &[u8]| [&number(part.len())[..], part].concat();
    let mut out = [lp(b"fieldseal/1"), lp(label.as_bytes()), number(parts.len()).to_vec()].concat();
    parts.iter().for_each(|part| out.extend(lp(part)));
    out
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    bytes.iter_mut().skip(at).zip(part).for_each(|(to, from)| *to = *from);
}

fn damaged() -> Error {
    Error::Bug("a slot without a wrapped root")
}

/// Of a slot: version, kind, state, epoch, due.
const HEAD_LEN: usize = 15;
const MAC_LEN: usize = 32;
