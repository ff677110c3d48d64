//! What a journal says: an event, its moment, and the tenant and tag it is about. `docs/format.md`, section 11.

use crate::bytes::{Damaged, Reader, Writer};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::error::JournalError;
use crate::id::{Id, Purpose, TenantId};
use crate::keys::{Epoch, MasterKeyId, Tag};

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    at: Timestamp,
    tenant: Option<TenantId>,
    tag: Option<Tag>,
    event: JournalEvent,
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
        /// The new line.
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
        /// The subject as a whole, not only some of its purposes: a schedule is fulfilled by it.
        whole: bool,
        /// What is destroyed: 1 to 32 purposes, by name.
        lines: Vec<ErasedLine>,
    },
    /// They are destroyed, of which a store that was restored from a backup must be reminded.
    ErasureDone {
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
    TenantErasureIntended,
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

impl ErasedLine {
    /// A line, and those below it.
    pub fn new(purpose: Purpose, line: u32) -> Self {
        Self { purpose, line }
    }

    fn write(&self, w: &mut Writer) {
        w.bytes(self.purpose.as_str().as_bytes()).u32(self.line);
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self { purpose: Purpose::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?, line: r.u32()? })
    }
}

/// The most purposes that an entry names: twice those of a slot, because slot and journal may know different ones.
const MAX_LINES: usize = 32;

fn write_lines(w: &mut Writer, lines: &[ErasedLine]) {
    w.u8(u8::try_from(lines.len()).unwrap_or(u8::MAX));
    lines.iter().for_each(|line| line.write(w));
}

fn read_lines(r: &mut Reader<'_>) -> Result<Vec<ErasedLine>, Damaged> {
    let count = usize::from(r.u8()?);
    if count == 0 || count > MAX_LINES {
        return Err(Damaged);
    }
    let lines: Vec<_> = (0..count).map(|_| ErasedLine::read(r)).collect::<Result<_, _>>()?;
    let sound = lines.iter().all(|l| l.line > 0) && lines.is_sorted_by(|a, b| a.purpose < b.purpose);
    if sound { Ok(lines) } else { Err(Damaged) }
}

impl JournalEntry {
    /// The longest entry, in bytes.
    pub const MAX_LEN: usize = 64 * 1024;

    /// An entry about the key store as a whole.
    pub fn store_wide(at: Timestamp, event: JournalEvent) -> Self {
        Self { at, tenant: None, tag: None, event }
    }

    /// An entry about a tenant.
    pub fn of_tenant(at: Timestamp, tenant: TenantId, event: JournalEvent) -> Self {
        Self { at, tenant: Some(tenant), tag: None, event }
    }

    /// An entry about a subject.
    pub fn of_subject(at: Timestamp, tenant: TenantId, tag: Tag, event: JournalEvent) -> Self {
        Self { at, tenant: Some(tenant), tag: Some(tag), event }
    }

    /// When.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// About which tenant; none if about the key store.
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// About which subject; none if about a tenant or the key store.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// What happened.
    pub fn event(&self) -> &JournalEvent {
        &self.event
    }

    /// The entry as bytes: at most [`JournalEntry::MAX_LEN`].
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u8(VERSION).u64(self.at.as_millis());
        w.bytes(self.tenant.as_ref().map_or("", TenantId::as_str).as_bytes());
        w.bytes(self.tag.as_ref().map_or(&[][..], |tag| tag.as_bytes()));
        match &self.event {
            JournalEvent::RootCreated { key_id } => w.u8(1).put(key_id.as_bytes()),
            JournalEvent::EpochOpened { epoch, master } => w.u8(2).u32(epoch.get()).bytes(master.as_str().as_bytes()),
            JournalEvent::MaxAgeRaised { millis } => w.u8(3).u64(*millis),
            JournalEvent::Reenrolled { purpose, line } => w.u8(4).bytes(purpose.as_str().as_bytes()).u32(*line),
            JournalEvent::RootStored { key_id } => w.u8(5).put(key_id.as_bytes()),
            JournalEvent::RootLost { key_id } => w.u8(6).put(key_id.as_bytes()),
            JournalEvent::ErasureIntended { whole, lines } => {
                write_lines(w.u8(7).u8(u8::from(*whole)), lines);
                &mut w
            }
            JournalEvent::ErasureDone { lines, until } => {
                write_lines(w.u8(8).u32(until.get()), lines);
                &mut w
            }
            JournalEvent::Held => w.u8(9),
            JournalEvent::Released => w.u8(10),
            JournalEvent::ErasureScheduled { at } => w.u8(11).u64(at.as_millis()),
            JournalEvent::ErasureCancelled => w.u8(12),
            JournalEvent::TenantErasureIntended => w.u8(13),
            JournalEvent::TenantErasureDone { until } => w.u8(14).u32(until.get()),
            JournalEvent::MasterKeyDestroyed { master } => w.u8(15).bytes(master.as_str().as_bytes()),
        };
        w.finish()
    }

    /// The entry that [`JournalEntry::to_bytes`] made.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Corrupt` if it made no such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, JournalError> {
        Self::read(bytes).map_err(|_| JournalError::corrupt("the bytes of an entry"))
    }

    /// Refuses what would not be read again: a list of lines that is empty, out of order or too long. A journal calls it
    /// before it appends an entry.
    ///
    /// # Errors
    /// [`JournalErrorKind::Misconfigured`](super::JournalErrorKind::Misconfigured)
    pub fn check_bounds(&self) -> Result<(), JournalError> {
        let reads = Self::from_bytes(&self.to_bytes()).is_ok();
        let refused = || JournalError::misconfigured("an entry names 1 to 32 purposes, by name, with lines from 1");
        reads.then_some(()).ok_or_else(refused)
    }

    fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut r = Reader::new(bytes);
        if bytes.len() > Self::MAX_LEN || r.u8()? != VERSION {
            return Err(Damaged);
        }
        let at = Timestamp::from_millis(r.u64()?);
        let tenant = match r.bytes(Id::MAX_LEN)? {
            b"" => None,
            text => Some(TenantId::new(std::str::from_utf8(text).map_err(|_| Damaged)?).map_err(|_| Damaged)?),
        };
        let tag = match r.bytes(Tag::LEN)? {
            b"" => None,
            tag => Some(Tag::from_bytes(tag.try_into().map_err(|_| Damaged)?)),
        };
        if tag.is_some() && tenant.is_none() {
            return Err(Damaged);
        }
        let event = match r.u8()? {
            1 => JournalEvent::RootCreated { key_id: KeyId::from_bytes(r.array()?) },
            2 => JournalEvent::EpochOpened {
                epoch: Epoch::new(r.u32()?).ok_or(Damaged)?,
                master: MasterKeyId::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?,
            },
            3 => JournalEvent::MaxAgeRaised { millis: r.u64()? },
            4 => JournalEvent::Reenrolled {
                purpose: Purpose::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?,
                line: r.u32()?,
            },
            5 => JournalEvent::RootStored { key_id: KeyId::from_bytes(r.array()?) },
            6 => JournalEvent::RootLost { key_id: KeyId::from_bytes(r.array()?) },
            7 => JournalEvent::ErasureIntended {
                whole: match r.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(Damaged),
                },
                lines: read_lines(&mut r)?,
            },
            8 => JournalEvent::ErasureDone { until: Epoch::new(r.u32()?).ok_or(Damaged)?, lines: read_lines(&mut r)? },
            9 => JournalEvent::Held,
            10 => JournalEvent::Released,
            11 => JournalEvent::ErasureScheduled { at: Timestamp::from_millis(r.u64()?) },
            12 => JournalEvent::ErasureCancelled,
            13 => JournalEvent::TenantErasureIntended,
            14 => JournalEvent::TenantErasureDone { until: Epoch::new(r.u32()?).ok_or(Damaged)? },
            15 => JournalEvent::MasterKeyDestroyed {
                master: MasterKeyId::new(r.text(Id::MAX_LEN)?).map_err(|_| Damaged)?,
            },
            _ => return Err(Damaged),
        };
        r.end()?;
        Ok(Self { at, tenant, tag, event })
    }
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_cut_ones_do_not() {
        let tenant = TenantId::new("acme").unwrap();
        let tag = Tag::from_bytes([3; 16]);
        let at = Timestamp::from_millis(7);
        let master = MasterKeyId::new("k").unwrap();
        let second_master = master.clone();
        let line = |name: &str, line| ErasedLine::new(Purpose::new(name).unwrap(), line);
        let of_tag = |event| JournalEntry::of_subject(at, tenant.clone(), tag, event);
        for entry in [
            JournalEntry::store_wide(at, JournalEvent::RootCreated { key_id: KeyId::from_bytes([1; 24]) }),
            JournalEntry::store_wide(at, JournalEvent::EpochOpened { epoch: Epoch::FIRST, master }),
            JournalEntry::store_wide(at, JournalEvent::MaxAgeRaised { millis: 9 }),
            JournalEntry::of_tenant(
                at,
                tenant.clone(),
                JournalEvent::RootCreated { key_id: KeyId::from_bytes([1; 24]) },
            ),
            of_tag(JournalEvent::Reenrolled { purpose: Purpose::new("p").unwrap(), line: 2 }),
            of_tag(JournalEvent::ErasureIntended { whole: true, lines: vec![line("a", 1), line("b", 2)] }),
            of_tag(JournalEvent::ErasureDone { lines: vec![line("a", 1)], until: Epoch::FIRST }),
            of_tag(JournalEvent::ErasureScheduled { at }),
            of_tag(JournalEvent::Held),
            JournalEntry::store_wide(at, JournalEvent::MasterKeyDestroyed { master: second_master }),
        ] {
            let bytes = entry.to_bytes();
            assert!(bytes.len() <= JournalEntry::MAX_LEN);
            assert_eq!(JournalEntry::from_bytes(&bytes).unwrap(), entry);
            for len in 0..bytes.len() {
                assert!(JournalEntry::from_bytes(&bytes[..len]).is_err());
            }
            assert!(JournalEntry::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn the_longest_entry_fits_and_lines_out_of_order_do_not_read() {
        let name = |n: usize| Purpose::new(format!("{n:04}").repeat(256)).unwrap();
        let line = |n, line| ErasedLine::new(name(n), line);
        let entry = |lines| {
            let tenant = TenantId::new("t".repeat(1024)).unwrap();
            let event = JournalEvent::ErasureIntended { whole: true, lines };
            JournalEntry::of_subject(Timestamp::from_millis(7), tenant, Tag::from_bytes([3; 16]), event)
        };
        let longest = entry((0..MAX_LINES).map(|n| line(n, 1)).collect()).to_bytes();
        assert!(longest.len() <= JournalEntry::MAX_LEN && JournalEntry::from_bytes(&longest).is_ok());
        for lines in [
            vec![],
            vec![line(1, 0)],
            vec![line(1, 1), line(1, 2)],
            vec![line(2, 1), line(1, 1)],
            (0..=MAX_LINES).map(|n| line(n, 1)).collect(),
        ] {
            assert!(JournalEntry::from_bytes(&entry(lines).to_bytes()).is_err());
        }
    }

    #[test]
    fn another_program_makes_the_same_entries_and_heads() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/slots.json")).unwrap();
        let unhex = |text: &serde_json::Value| crate::crypto::vectors::hex(text.as_str().unwrap());
        let key_id = |first: u8| KeyId::from_bytes(std::array::from_fn(|i| first + u8::try_from(i).unwrap()));
        let at = |n: u64| Timestamp::from_millis(1_700_000_000_000 + n);
        let acme = || TenantId::new("acme").unwrap();
        let tag = Tag::from_bytes(std::array::from_fn(|i| 0xA0 + u8::try_from(i).unwrap()));
        let master = MasterKeyId::new("arn:key/1").unwrap();
        let second_master = master.clone();
        let of_tag = |n, event| JournalEntry::of_subject(at(n), acme(), tag, event);
        let line = |purpose, line| ErasedLine::new(Purpose::new(purpose).unwrap(), line);
        let lines = || vec![line("billing", 2), line("default", 1)];
        let until = Epoch::new(3).unwrap();
        let ours = [
            JournalEntry::store_wide(at(0), JournalEvent::RootCreated { key_id: key_id(0x10) }),
            JournalEntry::store_wide(at(1), JournalEvent::EpochOpened { epoch: Epoch::FIRST, master }),
            JournalEntry::of_tenant(at(2), acme(), JournalEvent::RootCreated { key_id: key_id(0x20) }),
            JournalEntry::store_wide(at(3), JournalEvent::MaxAgeRaised { millis: 600_000 }),
            of_tag(4, JournalEvent::Reenrolled { purpose: Purpose::new("default").unwrap(), line: 2 }),
            JournalEntry::of_tenant(at(5), acme(), JournalEvent::RootStored { key_id: key_id(0x20) }),
            JournalEntry::of_tenant(at(6), acme(), JournalEvent::RootLost { key_id: key_id(0x20) }),
            of_tag(7, JournalEvent::ErasureIntended { whole: true, lines: lines() }),
            of_tag(8, JournalEvent::ErasureDone { lines: lines(), until }),
            of_tag(9, JournalEvent::Held),
            of_tag(10, JournalEvent::Released),
            of_tag(11, JournalEvent::ErasureScheduled { at: Timestamp::from_millis(1_800_000_000_000) }),
            of_tag(12, JournalEvent::ErasureCancelled),
            JournalEntry::of_tenant(at(13), acme(), JournalEvent::TenantErasureIntended),
            JournalEntry::of_tenant(at(14), acme(), JournalEvent::TenantErasureDone { until }),
            JournalEntry::store_wide(at(15), JournalEvent::MasterKeyDestroyed { master: second_master }),
        ];
        let theirs = file["journal"].as_array().unwrap();
        assert_eq!(theirs.len(), ours.len());
        let mut head = crate::journal::Head::EMPTY;
        for (ours, theirs) in ours.iter().zip(theirs) {
            let bytes = unhex(&theirs["entry"]);
            assert_eq!(ours.to_bytes(), bytes);
            assert_eq!(&JournalEntry::from_bytes(&bytes).unwrap(), ours);
            head = head.advanced_by(ours);
            assert_eq!(head.hash()[..], unhex(&theirs["head"]));
        }
    }
}
