//! What a journal says: an event, its moment, and whom it is about. `docs/format.md`, section 11, steps 1 and 2: what
//! needs no key. Whether an entry is genuine is in `verify`.

use super::Head;
use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::crypto::mac;
use crate::envelope::KeyId;
use crate::error::JournalError;
use crate::id::{Id, Purpose, TenantId};
use crate::keys::{Epoch, JournalKey, MasterKeyId, SlotId, Tag};

/// One entry of a journal.
///
/// A vault authenticates what it enters, and names the entry before it about the same. A journal can do neither, nor check
/// it: it keeps the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    at: Timestamp,
    about: SlotId,
    previous: u64,
    event: JournalEvent,
    mac: [u8; MAC_LEN],
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEvent {
    /// A root was made: the vault's where the entry names no tenant, else the tenant's. It is never made anew.
    RootCreated {
        /// The root's id.
        key_id: KeyId,
    },
    /// An epoch opens, under this master key.
    EpochOpened {
        /// The epoch.
        epoch: Epoch,
        /// Its master key.
        master: MasterKeyId,
    },
    /// The key store's `max_age` was raised.
    MaxAgeRaised {
        /// To so many milliseconds.
        millis: u64,
    },
    /// An erased purpose of a subject gets keys again, in a new line.
    Reenrolled {
        /// The purpose.
        purpose: Purpose,
        /// The new line, from 1.
        line: u32,
    },
    /// A tenant's root is in the key store. From here on a store without it was restored from a backup.
    RootStored {
        /// The root's id.
        key_id: KeyId,
    },
    /// A tenant's root is given up: the store was restored from a backup that is older than it. A new one may be made.
    RootLost {
        /// The root's id.
        key_id: KeyId,
    },
    /// The keys of a subject are to be destroyed, up to these lines. Binding: it is finished by whoever finds it.
    ErasureIntended {
        /// The subject as a whole: every other purpose up to line 1, too. A schedule is fulfilled by it.
        whole: bool,
        /// Key store or journal knew the subject.
        known: bool,
        /// What is destroyed: 1 to 32 purposes, by name.
        lines: Vec<ErasedLine>,
    },
    /// They are destroyed, of which a store that was restored from a backup must be reminded.
    ErasureDone {
        /// The subject as a whole: every other purpose up to line 1, too.
        whole: bool,
        /// What was destroyed: 1 to 32 purposes, by name.
        lines: Vec<ErasedLine>,
        /// The highest epoch that the journal names so far: no later master key ever wrapped one of these keys.
        until: Epoch,
    },
    /// A hold is put on the subject: it can't be erased.
    Held,
    /// The hold is released.
    Released,
    /// The subject is unreadable from now on, and is to be destroyed later.
    ErasureScheduled {
        /// When.
        at: Timestamp,
    },
    /// The scheduled erasure is called off.
    ErasureCancelled,
    /// Every key of the tenant is to be destroyed. Binding.
    TenantErasureIntended {
        /// Key store or journal knew the tenant.
        known: bool,
    },
    /// They are destroyed.
    TenantErasureDone {
        /// The highest epoch that the journal names so far.
        until: Epoch,
    },
    /// A master key was destroyed at its provider, or its destruction was ordered.
    MasterKeyDestroyed {
        /// The master key.
        master: MasterKeyId,
    },
    /// The key store was restored from a backup. Nothing is erased by retention until it is resumed.
    StoreRestored {
        /// The position up to which the backup had applied the journal.
        applied: u64,
    },
    /// Retention is resumed: the dates were looked through.
    RetentionResumed,
    /// A generation of index keys opens.
    IndexEpochOpened {
        /// The index epoch, from 1.
        index_epoch: u32,
    },
    /// Everything has its tokens in an index epoch, so that writers may leave the older one.
    IndexEpochSettled {
        /// The index epoch, from 1.
        index_epoch: u32,
    },
    /// An index epoch is given up: a restore lost its keys.
    IndexEpochGivenUp {
        /// The index epoch, from 1.
        index_epoch: u32,
        /// The highest epoch that the journal names so far.
        until: Epoch,
    },
    /// An index epoch is retired: its keys are gone from the key store.
    IndexEpochRetired {
        /// The index epoch, from 1.
        index_epoch: u32,
        /// The highest epoch that the journal names so far.
        until: Epoch,
    },
    /// An event that this version doesn't know. Up to 127 nobody who doesn't know it acts on what it is about; from 128 on it
    /// may be skipped.
    Unknown {
        /// Its number, from 1.
        number: u8,
        /// What belongs to it.
        bytes: Vec<u8>,
    },
    /// What an entry of a later version has in place of its event.
    LaterVersion {
        /// The entry's version, from 2.
        version: u8,
        /// All of it.
        bytes: Vec<u8>,
    },
}

/// One purpose of a subject in an entry about its erasure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasedLine {
    /// The purpose.
    pub purpose: Purpose,
    /// Its highest line that is destroyed, from 1.
    pub line: u32,
}

impl JournalEntry {
    /// The longest entry, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// An entry about the key store as a whole; not authenticated, so that a vault passes it over. For tests of a journal.
    pub fn store_wide(at: Timestamp, event: JournalEvent) -> Self {
        Self::unsealed(at, SlotId::Vault, event)
    }

    /// An entry about a tenant; not authenticated, so that a vault passes it over. For tests of a journal.
    pub fn of_tenant(at: Timestamp, tenant: TenantId, event: JournalEvent) -> Self {
        Self::unsealed(at, SlotId::Tenant(tenant), event)
    }

    /// An entry about a subject; not authenticated, so that a vault passes it over. For tests of a journal.
    pub fn of_subject(at: Timestamp, tenant: TenantId, tag: Tag, event: JournalEvent) -> Self {
        Self::unsealed(at, SlotId::Subject(tenant, tag), event)
    }

    /// An entry that is not authenticated.
    pub(crate) fn unsealed(at: Timestamp, about: SlotId, event: JournalEvent) -> Self {
        Self { at, about, previous: 0, event, mac: [0; MAC_LEN] }
    }

    /// The entry for the place behind `before`, and no other. `previous` is the position of the last entry about the same.
    pub(crate) fn sealed(mut self, previous: u64, key: &JournalKey, before: &Head) -> Self {
        self.previous = previous;
        self.mac = self.mac_at(key, before);
        self
    }

    /// Whether it was sealed under this key for the place behind `before`.
    pub(crate) fn verifies(&self, key: &JournalKey, before: &Head) -> bool {
        mac::equal(&self.mac_at(key, before), &self.mac)
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// About which tenant; none if about the key store.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.about.tenant()
    }

    /// About which subject; none if about a tenant or the key store.
    pub fn tag(&self) -> Option<&Tag> {
        match &self.about {
            SlotId::Subject(_, tag) => Some(tag),
            SlotId::Vault | SlotId::Tenant(_) => None,
        }
    }

    /// By the slot that it concerns: the vault's where it is about the key store as a whole.
    pub(crate) fn about(&self) -> &SlotId {
        &self.about
    }

    /// The position of the entry before it about the same: the same subject, the same tenant itself, or the key store. 0 if
    /// it is the first.
    pub fn previous(&self) -> u64 {
        self.previous
    }

    /// What happened.
    pub fn event(&self) -> &JournalEvent {
        &self.event
    }

    /// The entry as bytes: at most [`JournalEntry::MAX_LEN`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.content();
        bytes.extend_from_slice(&self.mac);
        bytes
    }

    /// The entry that [`JournalEntry::to_bytes`] made, here or in a later version.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Corrupt` if it made no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JournalError> {
        Self::read(bytes).map_err(|_| JournalError::corrupt("the bytes of an entry"))
    }

    /// Refuses what would not be read again as the same: a list of lines that is empty, out of order or too long, an event
    /// that can't be about whom the entry is. A journal calls it before it appends an entry.
    ///
    /// # Errors
    /// [`JournalErrorKind::Misconfigured`](super::JournalErrorKind::Misconfigured)
    pub fn check_bounds(&self) -> Result<(), JournalError> {
        let reads_back = Self::read(&self.to_bytes()).is_ok_and(|read| read == *self);
        let refused = || {
            JournalError::misconfigured(
                "an entry breaks a bound of the format: it names 1 to 32 purposes, by name, with lines from 1, and its event is \
                 about a subject, a tenant or the key store, as it must be",
            )
        };
        reads_back.then_some(()).ok_or_else(refused)
    }

    fn mac_at(&self, key: &JournalKey, before: &Head) -> [u8; MAC_LEN] {
        key.mac(before.hash(), before.position().saturating_add(1), &self.content())
    }

    /// The bytes before the MAC.
    fn content(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u8(self.event.version()).u64(self.at.as_millis());
        w.bytes(self.tenant().map_or("", TenantId::as_str).as_bytes());
        w.bytes(self.tag().map_or(&[][..], |tag| tag.as_bytes()));
        w.u64(self.previous);
        self.event.write(&mut w);
        w.finish()
    }

    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        if bytes.len() > Self::MAX_LEN {
            return Err(Damaged);
        }
        let (content, mac) = bytes.split_last_chunk().ok_or(Damaged)?;
        let mut r = Reader::new(content);
        let version = r.u8()?;
        let at = Timestamp::from_millis(r.u64()?);
        let about = read_about(&mut r)?;
        let previous = r.u64()?;
        let event = match version {
            0 => return Err(Damaged),
            VERSION => JournalEvent::read(r)?,
            version => JournalEvent::LaterVersion { version, bytes: r.rest().to_vec() },
        };
        if !event.may_be_about(&about) {
            return Err(Damaged);
        }
        Ok(Self { at, about, previous, event, mac: *mac })
    }
}

fn read_about(r: &mut Reader<'_>) -> Result<SlotId, Damaged> {
    let tenant = match r.bytes(Id::MAX_LEN)? {
        b"" => None,
        text => Some(TenantId::new(std::str::from_utf8(text).map_err(|_| Damaged)?).map_err(|_| Damaged)?),
    };
    match (tenant, r.bytes(Tag::LEN)?) {
        (None, b"") => Ok(SlotId::Vault),
        (Some(tenant), b"") => Ok(SlotId::Tenant(tenant)),
        (Some(tenant), tag) => Ok(SlotId::Subject(tenant, Tag::from_bytes(tag.try_into().map_err(|_| Damaged)?))),
        (None, _) => Err(Damaged),
    }
}

impl JournalEvent {
    /// Of the entry's form.
    fn version(&self) -> u8 {
        match self {
            Self::LaterVersion { version, .. } => *version,
            _ => VERSION,
        }
    }

    /// What this version doesn't know may be about anybody.
    fn may_be_about(&self, about: &SlotId) -> bool {
        match self {
            Self::RootCreated { .. } => !matches!(about, SlotId::Subject(..)),
            Self::EpochOpened { .. }
            | Self::MaxAgeRaised { .. }
            | Self::MasterKeyDestroyed { .. }
            | Self::StoreRestored { .. }
            | Self::RetentionResumed
            | Self::IndexEpochOpened { .. }
            | Self::IndexEpochSettled { .. }
            | Self::IndexEpochGivenUp { .. }
            | Self::IndexEpochRetired { .. } => matches!(about, SlotId::Vault),
            Self::RootStored { .. }
            | Self::RootLost { .. }
            | Self::TenantErasureIntended { .. }
            | Self::TenantErasureDone { .. } => matches!(about, SlotId::Tenant(_)),
            Self::Reenrolled { .. }
            | Self::ErasureIntended { .. }
            | Self::ErasureDone { .. }
            | Self::Held
            | Self::Released
            | Self::ErasureScheduled { .. }
            | Self::ErasureCancelled => matches!(about, SlotId::Subject(..)),
            Self::Unknown { .. } | Self::LaterVersion { .. } => true,
        }
    }

    fn write(&self, w: &mut Writer) {
        match self {
            Self::RootCreated { key_id } => w.u8(1).put(key_id.as_bytes()),
            Self::EpochOpened { epoch, master } => w.u8(2).u32(epoch.get()).bytes(master.as_str().as_bytes()),
            Self::MaxAgeRaised { millis } => w.u8(3).u64(*millis),
            Self::Reenrolled { purpose, line } => w.u8(4).bytes(purpose.as_str().as_bytes()).u32(*line),
            Self::RootStored { key_id } => w.u8(5).put(key_id.as_bytes()),
            Self::RootLost { key_id } => w.u8(6).put(key_id.as_bytes()),
            Self::ErasureIntended { whole, known, lines } => {
                write_lines(w.u8(7).u8(u8::from(*whole)).u8(u8::from(*known)), lines)
            }
            Self::ErasureDone { whole, lines, until } => {
                write_lines(w.u8(8).u8(u8::from(*whole)).u32(until.get()), lines)
            }
            Self::Held => w.u8(9),
            Self::Released => w.u8(10),
            Self::ErasureScheduled { at } => w.u8(11).u64(at.as_millis()),
            Self::ErasureCancelled => w.u8(12),
            Self::TenantErasureIntended { known } => w.u8(13).u8(u8::from(*known)),
            Self::TenantErasureDone { until } => w.u8(14).u32(until.get()),
            Self::MasterKeyDestroyed { master } => w.u8(15).bytes(master.as_str().as_bytes()),
            Self::StoreRestored { applied } => w.u8(16).u64(*applied),
            Self::RetentionResumed => w.u8(17),
            Self::IndexEpochOpened { index_epoch } => w.u8(18).u32(*index_epoch),
            Self::IndexEpochSettled { index_epoch } => w.u8(19).u32(*index_epoch),
            Self::IndexEpochGivenUp { index_epoch, until } => w.u8(20).u32(*index_epoch).u32(until.get()),
            Self::IndexEpochRetired { index_epoch, until } => w.u8(21).u32(*index_epoch).u32(until.get()),
            Self::Unknown { number, bytes } => w.u8(*number).put(bytes),
            Self::LaterVersion { bytes, .. } => w.put(bytes),
        };
    }

    /// All that is left is the event.
    fn read(mut r: Reader<'_>) -> Result<Self, Damaged> {
        let event = match r.u8()? {
            0 => return Err(Damaged),
            1 => Self::RootCreated { key_id: KeyId::from_bytes(r.array()?) },
            2 => Self::EpochOpened { epoch: read_epoch(&mut r)?, master: read_master(&mut r)? },
            3 => Self::MaxAgeRaised { millis: r.u64()? },
            4 => Self::Reenrolled { purpose: read_purpose(&mut r)?, line: read_from_1(&mut r)? },
            5 => Self::RootStored { key_id: KeyId::from_bytes(r.array()?) },
            6 => Self::RootLost { key_id: KeyId::from_bytes(r.array()?) },
            7 => Self::ErasureIntended {
                whole: read_flag(&mut r)?,
                known: read_flag(&mut r)?,
                lines: read_lines(&mut r)?,
            },
            8 => {
                Self::ErasureDone { whole: read_flag(&mut r)?, until: read_epoch(&mut r)?, lines: read_lines(&mut r)? }
            }
            9 => Self::Held,
            10 => Self::Released,
            11 => Self::ErasureScheduled { at: Timestamp::from_millis(r.u64()?) },
            12 => Self::ErasureCancelled,
            13 => Self::TenantErasureIntended { known: read_flag(&mut r)? },
            14 => Self::TenantErasureDone { until: read_epoch(&mut r)? },
            15 => Self::MasterKeyDestroyed { master: read_master(&mut r)? },
            16 => Self::StoreRestored { applied: r.u64()? },
            17 => Self::RetentionResumed,
            18 => Self::IndexEpochOpened { index_epoch: read_from_1(&mut r)? },
            19 => Self::IndexEpochSettled { index_epoch: read_from_1(&mut r)? },
            20 => Self::IndexEpochGivenUp { index_epoch: read_from_1(&mut r)?, until: read_epoch(&mut r)? },
            21 => Self::IndexEpochRetired { index_epoch: read_from_1(&mut r)?, until: read_epoch(&mut r)? },
            number => return Ok(Self::Unknown { number, bytes: r.rest().to_vec() }),
        };
        r.end()?;
        Ok(event)
    }
}

impl ErasedLine {
    /// A line, and those below it.
    pub fn new(purpose: Purpose, line: u32) -> Self {
        Self { purpose, line }
    }

    fn write(&self, w: &mut Writer) {
        w.bytes(self.purpose.as_str().as_bytes()).u32(self.line);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self { purpose: read_purpose(r)?, line: read_from_1(r)? })
    }
}

fn write_lines<'a>(w: &'a mut Writer, lines: &[ErasedLine]) -> &'a mut Writer {
    w.u8(u8::try_from(lines.len()).unwrap_or(u8::MAX));
    lines.iter().for_each(|line| line.write(w));
    w
}

fn read_lines(r: &mut Reader<'_>) -> Result<Vec<ErasedLine>, Damaged> {
    let count = usize::from(r.u8()?);
    if count == 0 || count > MAX_LINES {
        return Err(Damaged);
    }
    let lines: Vec<_> = (0..count).map(|_| ErasedLine::read(r)).collect::<Result<_, _>>()?;
    if lines.is_sorted_by(|a, b| a.purpose < b.purpose) { Ok(lines) } else { Err(Damaged) }
}

fn read_flag(r: &mut Reader<'_>) -> Result<bool, Damaged> {
    match r.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged),
    }
}

fn read_from_1(r: &mut Reader<'_>) -> Result<u32, Damaged> {
    Some(r.u32()?).filter(|number| *number > 0).ok_or(Damaged)
}

fn read_epoch(r: &mut Reader<'_>) -> Result<Epoch, Damaged> {
    Epoch::new(r.u32()?).ok_or(Damaged)
}

fn read_master(r: &mut Reader<'_>) -> Result<MasterKeyId, Damaged> {
    MasterKeyId::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)
}

fn read_purpose(r: &mut Reader<'_>) -> Result<Purpose, Damaged> {
    Purpose::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)
}

const VERSION: u8 = 1;
const MAC_LEN: usize = 32;

/// The most purposes that an entry names: twice those of a slot, because slot and journal may know different ones.
const MAX_LINES: usize = 32;

#[cfg(test)]
mod tests;
