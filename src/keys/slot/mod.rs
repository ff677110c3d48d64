//! Slots: what a key store holds for a subject, a tenant, or the vault. `docs/format.md`, section 10.
//!
//! A slot is versioned bytes that end in a MAC. The store sees an id, a few columns to find slots by, and the bytes.

mod date;
mod subject;
mod tenant;
mod token;
mod vault;

use std::fmt;
use std::num::NonZeroU32;

pub(crate) use date::Date;
pub(crate) use subject::{KeyVersion, MAX_DESTROYED, MAX_PURPOSES, PurposeSlot, SubjectSlot};
#[cfg(test)]
pub(crate) use tenant::WrappedIndexKey;
pub(crate) use tenant::{MAX_EPOCHS, TenantSlot};
pub use token::{RawColumns, Token};
pub(crate) use vault::{EpochRecord, EpochState, MAX_WAITING, Point, VaultSlot};
#[cfg(test)]
pub(crate) use vault::{IndexEpochRecord, IndexEpochState};

use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::crypto::mac;
use crate::envelope::{KeyId, context};
use crate::error::{Error, Result, StoreError, StoreErrorKind};
use crate::id::{Id, TenantId};
use crate::keys::{MasterKeyId, RootKey, WrappedKey};

/// A store-wide generation of keys: one master key, and under it one wrapping key a tenant. 1, 2, ..
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(NonZeroU32);

impl Epoch {
    /// The epoch that a key store begins with.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The epoch of this number; none for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(n) => Some(Self(n)),
            None => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({})", self.get())
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// A keyed hash of 16 bytes that stands for a subject id wherever a port can see it. Pseudonymous personal data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; Self::LEN]);

impl Tag {
    /// Its length in bytes.
    pub const LEN: usize = 16;

    /// The tag that these bytes are.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Opaque: a tag stands for a person.
impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// Which slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a store's key space is fixed by the format")]
pub enum SlotId {
    /// The vault's own.
    Vault,
    /// A tenant's.
    Tenant(TenantId),
    /// A subject's, of a tenant.
    Subject(TenantId, Tag),
}

impl SlotId {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 1 + Id::MAX_LEN + Tag::LEN;

    /// The slot's key in a store, 1 to 1041 bytes: kind (1 vault, 2 tenant, 3 subject) ‖ tenant ‖ tag. Ordered by it,
    /// the vault comes first, then the tenants, then the subjects. Those of one tenant don't stand together where its name
    /// begins another's: a scan of one tenant compares the tenant, not the first bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![self.kind()];
        match self {
            Self::Vault => {}
            Self::Tenant(tenant) => out.extend_from_slice(tenant.as_str().as_bytes()),
            Self::Subject(tenant, tag) => {
                out.extend_from_slice(tenant.as_str().as_bytes());
                out.extend_from_slice(tag.as_bytes());
            }
        }
        out
    }

    /// The id that [`SlotId::to_bytes`] made.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Corrupt` if it made no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let tenant = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| TenantId::new(text).ok());
        match bytes.split_first() {
            Some((1, [])) => Some(Self::Vault),
            Some((2, rest)) => tenant(rest).map(Self::Tenant),
            Some((3, rest)) => rest
                .split_last_chunk()
                .and_then(|(rest, tag)| Some(Self::Subject(tenant(rest)?, Tag::from_bytes(*tag)))),
            _ => None,
        }
        .ok_or_else(|| StoreError::corrupt("a slot id that no version of fieldseal writes"))
    }

    /// The tenant; none for the vault's slot.
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Vault => None,
            Self::Tenant(tenant) | Self::Subject(tenant, _) => Some(tenant),
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Vault => 1,
            Self::Tenant(_) => 2,
            Self::Subject(..) => 3,
        }
    }

    fn tag_bytes(&self) -> &[u8] {
        match self {
            Self::Subject(_, tag) => tag.as_bytes(),
            _ => &[],
        }
    }
}

/// What has become of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlotState {
    /// It holds keys.
    Live,
    /// Its erasure is scheduled, or its retention period has ended and a sweep closed it: unreadable now, destroyed when due.
    Scheduled,
    /// A tombstone: it holds no key.
    Erased,
    /// Of a slot that a later version of fieldseal wrote: this one doesn't know what it says.
    #[non_exhaustive]
    Later(u8),
}

impl SlotState {
    /// The state's number in a store's column.
    pub const fn number(self) -> u8 {
        match self {
            Self::Live => 1,
            Self::Scheduled => 2,
            Self::Erased => 3,
            Self::Later(number) => number,
        }
    }

    const fn of(number: u8) -> Self {
        match number {
            1 => Self::Live,
            2 => Self::Scheduled,
            3 => Self::Erased,
            _ => Self::Later(number),
        }
    }
}

/// A slot's revision: its MAC. Never a counter: two different contents never have the same, not even across a restore.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision([u8; Self::LEN]);

impl Revision {
    /// Its length in bytes.
    pub const LEN: usize = 32;

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// Opaque: in a log, beside a dump of the store, it would name the slot.
impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Revision(..)")
    }
}

/// A slot as a store keeps it: the id, the bytes, and what the store may index.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredSlot {
    id: SlotId,
    version: u8,
    columns: Columns,
    revision: Revision,
    bytes: Vec<u8>,
}

/// The part of a slot that stores index: its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Columns {
    state: SlotState,
    epoch: Option<Epoch>,
    due: Option<Timestamp>,
}

impl Columns {
    fn raw(&self) -> RawColumns {
        RawColumns {
            state: Some(self.state.number().into()),
            epoch: self.epoch.map(Epoch::get).map(i128::from),
            due: self.due.map(Timestamp::as_millis).map(i128::from),
        }
    }
}

impl StoredSlot {
    /// The longest slot, in bytes.
    pub const MAX_LEN: usize = 256 * 1024;

    /// A slot that a store read back. One of a later version, too: only its MAC tells that from damage, and a store has no key
    /// to check it.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Corrupt` if the bytes are no slot.
    pub fn from_bytes(id: SlotId, bytes: Vec<u8>) -> Result<Self, StoreError> {
        let (revision, head) = Self::parts_of(&bytes).map_err(damaged)?;
        if head.kind != id.kind() {
            return Err(StoreError::corrupt("a slot of one kind stands in the place of another"));
        }
        Ok(Self { id, version: head.version, columns: head.columns, revision, bytes })
    }

    /// Like [`StoredSlot::from_bytes`], for a store that indexes columns: they must be those of the bytes, or somebody
    /// changed them to hide the slot from a scan. What is no slot is given back.
    pub(crate) fn from_row(id: &SlotId, bytes: Vec<u8>, columns: Option<RawColumns>) -> Result<Self, Vec<u8>> {
        match Self::parts_of(&bytes) {
            Ok((revision, Head { version, kind, columns: own }))
                if kind == id.kind() && columns.is_none_or(|columns| columns == own.raw()) =>
            {
                Ok(Self { id: id.clone(), version, columns: own, revision, bytes })
            }
            _ => Err(bytes),
        }
    }

    fn parts_of(bytes: &[u8]) -> Result<(Revision, Head), Damaged> {
        if bytes.len() > Self::MAX_LEN {
            return Err(Damaged);
        }
        let (content, mac) = bytes.split_last_chunk().ok_or(Damaged)?;
        let mut reader = Reader::new(content);
        let head = Head::read(&mut reader)?;
        if reader.is_empty() { Err(Damaged) } else { Ok((Revision(*mac), head)) }
    }

    /// What the MAC is over.
    fn content(&self) -> Result<&[u8]> {
        let parts = self.bytes.split_last_chunk::<{ Revision::LEN }>();
        parts.map(|(content, _)| content).ok_or(Error::Bug("a slot without a MAC"))
    }

    /// Stands for it in a store, as [`Token::of`] does for what is damaged: for what is a slot, but doesn't verify.
    pub fn token(&self) -> Token {
        Token::of(&self.id, Some(&self.bytes), RawColumns::of(self), &[])
    }

    /// Which slot it is.
    pub fn id(&self) -> &SlotId {
        &self.id
    }

    /// Its bytes: at most [`StoredSlot::MAX_LEN`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What has become of it.
    pub fn state(&self) -> SlotState {
        self.columns.state
    }

    /// The lowest epoch under which it holds a key; none if it holds none.
    pub fn epoch(&self) -> Option<Epoch> {
        self.columns.epoch
    }

    /// When something is due: a retention period ends, or a scheduled erasure.
    pub fn due(&self) -> Option<Timestamp> {
        self.columns.due
    }
}

impl fmt::Debug for StoredSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSlot").field("id", &self.id).field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// What every version of a slot begins with.
struct Head {
    version: u8,
    kind: u8,
    columns: Columns,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let (version, kind, state) = (reader.u8()?, reader.u8()?, SlotState::of(reader.u8()?));
        if version == 0 || (version == VERSION && matches!(state, SlotState::Later(_))) {
            return Err(Damaged);
        }
        let (epoch, due) = (Epoch::new(reader.u32()?), moment(reader.u64()?));
        Ok(Self { version, kind, columns: Columns { state, epoch, due } })
    }
}

/// What the three kinds of slot have in common: a body of fields behind the columns.
trait Body: Sized {
    fn columns(&self) -> Columns;
    fn write(&self, writer: &mut Writer);
    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged>;
}

/// Writes a slot and its MAC.
fn seal<B: Body>(id: SlotId, body: &B, root: &RootKey) -> Result<StoredSlot> {
    let columns = body.columns();
    let mut writer = Writer::default();
    writer
        .u8(VERSION)
        .u8(id.kind())
        .u8(columns.state.number())
        .u32(columns.epoch.map_or(0, Epoch::get))
        .u64(millis(columns.due));
    body.write(&mut writer);
    let mut bytes = writer.finish();
    if bytes.len() + Revision::LEN > StoredSlot::MAX_LEN {
        return Err(Error::invalid("a slot has at most 256 KiB: retire key versions that nothing uses"));
    }
    let revision = Revision(slot_mac(&id, &bytes, root));
    bytes.extend_from_slice(revision.as_bytes());
    Ok(StoredSlot { id, version: VERSION, columns, revision, bytes })
}

/// Checks a slot's MAC, then its version, then reads it: a version byte that somebody changed is damage, and no later version.
/// Every field is read back to the same bytes: there is one encoding.
fn open<B: Body>(stored: &StoredSlot, root: &RootKey) -> Result<B> {
    let content = stored.content()?;
    if !mac::equal(&slot_mac(&stored.id, content, root), stored.revision.as_bytes()) {
        return Err(StoreError::corrupt("a slot's MAC: it was changed, or belongs elsewhere").into());
    }
    if stored.version > VERSION {
        return Err(StoreError::new(StoreErrorKind::NewerSchema).into());
    }
    let parsed = parse::<B>(content).map_err(damaged)?;
    if parsed.columns() != stored.columns {
        return Err(StoreError::corrupt("a slot's columns").into());
    }
    Ok(parsed)
}

/// Reads the content of a slot.
fn parse<B: Body>(content: &[u8]) -> Result<B, Damaged> {
    let mut reader = Reader::new(content);
    Head::read(&mut reader)?;
    let parsed = B::read(&mut reader)?;
    reader.end().map(|()| parsed)
}

/// Reads the root alone out of a vault's or a tenant's slot, which is not authenticated yet: its MAC needs the root. Every
/// version has it at the beginning of the body.
fn root_of(stored: &StoredSlot) -> Result<WrappedRoot> {
    let mut reader = Reader::new(stored.content()?);
    let root = Head::read(&mut reader).and_then(|_| WrappedRoot::read(&mut reader));
    Ok(root.map_err(damaged)?)
}

fn damaged(_: Damaged) -> StoreError {
    StoreError::corrupt("the bytes of a slot")
}

/// `HMAC-SHA256(slot MAC key, ENC("slot", tenant, tag, kind, body))`; tenant and tag are empty where a slot has none.
fn slot_mac(id: &SlotId, body: &[u8], root: &RootKey) -> [u8; Revision::LEN] {
    let tenant = id.tenant().map_or("", TenantId::as_str);
    root.mac(&context::encode("slot", &[tenant.as_bytes(), id.tag_bytes(), &[id.kind()], body]))
}

fn moment(millis: u64) -> Option<Timestamp> {
    (millis != 0).then(|| Timestamp::from_millis(millis))
}

fn millis(moment: Option<Timestamp>) -> u64 {
    moment.map_or(0, Timestamp::as_millis)
}

fn flag(byte: u8) -> Result<bool, Damaged> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged),
    }
}

fn at_most(n: usize, max: usize) -> Result<usize, Damaged> {
    if n <= max { Ok(n) } else { Err(Damaged) }
}

/// A key that a provider wrapped: its id, the epoch of the master key, and the wrapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrappedRoot {
    pub(crate) epoch: Epoch,
    pub(crate) key_id: KeyId,
    pub(crate) wrapped: WrappedKey,
}

impl WrappedRoot {
    fn write(&self, writer: &mut Writer) {
        writer.u32(self.epoch.get()).put(self.key_id.as_bytes());
        writer.bytes(self.wrapped.master().as_str().as_bytes()).bytes(self.wrapped.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            epoch: Epoch::new(reader.u32()?).ok_or(Damaged)?,
            key_id: KeyId::from_bytes(reader.array()?),
            wrapped: {
                let master = MasterKeyId::new(reader.text(Id::MAX_LEN)?).map_err(|_| Damaged)?;
                WrappedKey::new(master, reader.bytes(WrappedKey::MAX_LEN)?).map_err(|_| Damaged)?
            },
        })
    }
}

const VERSION: u8 = 1;

/// Parses bytes as whatever slot they say they are, as far as that goes without a key. For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(crate) fn parse_any(bytes: &[u8]) {
    let tenant = TenantId::default_tenant();
    let Some(&kind) = bytes.get(1) else { return };
    let id = match kind {
        1 => SlotId::Vault,
        2 => SlotId::Tenant(tenant),
        _ => SlotId::Subject(tenant, Tag::from_bytes([0; 16])),
    };
    let Ok(stored) = StoredSlot::from_bytes(id, bytes.to_vec()) else { return };
    let Ok(content) = stored.content() else { return };
    let _ = root_of(&stored);
    if stored.version > VERSION {
        return; // its body is another
    }
    fn same<B: Body>(content: &[u8]) {
        let Ok(parsed) = parse::<B>(content) else { return };
        let mut writer = Writer::default();
        parsed.write(&mut writer);
        let rest = content.get(15..).unwrap_or_default();
        assert_eq!(writer.finish(), rest, "there is one encoding of a slot");
    }
    match kind {
        1 => same::<VaultSlot>(content),
        2 => same::<TenantSlot>(content),
        _ => same::<SubjectSlot>(content),
    }
}

/// The slot as a later version of this crate might have written it.
#[cfg(test)]
pub(crate) fn as_later_version(stored: &StoredSlot, root: &RootKey) -> StoredSlot {
    let mut bytes = stored.content().unwrap().to_vec();
    bytes[0] = VERSION + 1;
    bytes.extend_from_slice(b"and more");
    let mac = slot_mac(&stored.id, &bytes, root);
    bytes.extend_from_slice(&mac);
    StoredSlot::from_bytes(stored.id.clone(), bytes).unwrap()
}

#[cfg(test)]
mod tests;
