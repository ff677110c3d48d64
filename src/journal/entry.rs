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
}

impl JournalEntry {
    /// The longest entry, in bytes.
    pub const MAX_LEN: usize = 8 * 1024;

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
        for entry in [
            JournalEntry::store_wide(at, JournalEvent::RootCreated { key_id: KeyId::from_bytes([1; 24]) }),
            JournalEntry::store_wide(at, JournalEvent::EpochOpened { epoch: Epoch::FIRST, master }),
            JournalEntry::store_wide(at, JournalEvent::MaxAgeRaised { millis: 9 }),
            JournalEntry::of_tenant(
                at,
                tenant.clone(),
                JournalEvent::RootCreated { key_id: KeyId::from_bytes([1; 24]) },
            ),
            JournalEntry::of_subject(
                at,
                tenant,
                tag,
                JournalEvent::Reenrolled { purpose: Purpose::new("p").unwrap(), line: 2 },
            ),
        ] {
            let bytes = entry.to_bytes();
            assert_eq!(JournalEntry::from_bytes(&bytes).unwrap(), entry);
            for len in 0..bytes.len() {
                assert!(JournalEntry::from_bytes(&bytes[..len]).is_err());
            }
            assert!(JournalEntry::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn entries_and_heads_are_what_another_program_makes_of_the_format() {
        let file: serde_json::Value = serde_json::from_str(include_str!("../../tests/vectors/slots.json")).unwrap();
        let unhex = |text: &serde_json::Value| -> Vec<u8> {
            let text = text.as_str().unwrap();
            (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
        };
        let key_id = |first: u8| KeyId::from_bytes(std::array::from_fn(|i| first + u8::try_from(i).unwrap()));
        let at = |n: u64| Timestamp::from_millis(1_700_000_000_000 + n);
        let acme = || TenantId::new("acme").unwrap();
        let tag = Tag::from_bytes(std::array::from_fn(|i| 0xA0 + u8::try_from(i).unwrap()));
        let master = MasterKeyId::new("arn:key/1").unwrap();
        let ours = [
            JournalEntry::store_wide(at(0), JournalEvent::RootCreated { key_id: key_id(0x10) }),
            JournalEntry::store_wide(at(1), JournalEvent::EpochOpened { epoch: Epoch::FIRST, master }),
            JournalEntry::of_tenant(at(2), acme(), JournalEvent::RootCreated { key_id: key_id(0x20) }),
            JournalEntry::store_wide(at(3), JournalEvent::MaxAgeRaised { millis: 600_000 }),
            JournalEntry::of_subject(
                at(4),
                acme(),
                tag,
                JournalEvent::Reenrolled { purpose: Purpose::new("default").unwrap(), line: 2 },
            ),
        ];
        let theirs = file["journal"].as_array().unwrap();
        assert_eq!(theirs.len(), ours.len());
        let mut head = crate::journal::Head::EMPTY;
        for (ours, theirs) in ours.iter().zip(theirs) {
            let bytes = unhex(&theirs["entry"]);
            assert_eq!(ours.to_bytes(), bytes);
            assert_eq!(&JournalEntry::from_bytes(&bytes).unwrap(), ours);
            head = head.after(ours);
            assert_eq!(head.hash()[..], unhex(&theirs["head"]));
        }
    }
}
