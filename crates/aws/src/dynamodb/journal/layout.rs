//! Where things stand in the table.
//!
//! | partition key | sort key | item |
//! | --- | --- | --- |
//! | `head` | 0 | the journal's id, version and head; of the last entry, whom it is about: the partition of its copy |
//! | `entries` | position, 8 bytes, from 1 | an entry, and the hash of the head after it |
//! | `of-store`, `of-tenant-NAME`, `of-subject-TAG-NAME` | position, 8 bytes, from 1 | the same entry, by whom it is about: its copy; and the hash of the head before it, at which it is authenticated |
//!
//! An append writes head, entry and copy in one transaction, which holds that the entry before and its copy are there. So of
//! a journal whose head is at `n`, all but the last entry and its copy were written when the head was: DynamoDB writes the
//! items of a transaction one after the other.

use std::fmt::Write as _;

use crate::dynamodb::item::Damaged;
use crate::dynamodb::{Item, PK, SK, binary, bytes_of, key, number, number_of, text};
use fieldseal::id::TenantId;
use fieldseal::journal::{EntryAt, Head, JournalEntry, JournalError, JournalId};
use fieldseal::store::Tag;

/// The key of the head.
pub(super) fn head() -> Item {
    key("head", &[0])
}

/// The head of an empty journal.
pub(super) fn empty(id: JournalId) -> Item {
    let mut item = head();
    item.insert(VERSION.into(), number_of(CURRENT));
    item.insert(ID.into(), bytes_of(id.as_bytes()));
    item.insert(POSITION.into(), number_of(Head::EMPTY.position()));
    item.insert(HASH.into(), bytes_of(Head::EMPTY.hash()));
    item
}

/// Where a journal ends, and the partition of the last entry's copy; none where it is empty.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) head: Head,
    pub(super) about: Option<String>,
}

impl End {
    /// The keys of the last entry and its copy.
    pub(super) fn last(&self) -> Option<[Item; 2]> {
        let position = sort_key(self.head.position());
        Some([key(ENTRIES, &position), key(self.about.as_deref()?, &position)])
    }
}

/// What the head's item says.
pub(super) fn begin(mut item: Item) -> Result<(JournalId, End), JournalError> {
    let version: u32 = required(number(&mut item, VERSION))?;
    if version > CURRENT {
        return Err(JournalError::newer_schema("the journal's table: upgrade this program"));
    }
    let id = JournalId::from_bytes(array(binary(&mut item, ID))?);
    let head = Head::from_parts(required(number(&mut item, POSITION))?, array(binary(&mut item, HASH))?);
    let about = text(&mut item, ABOUT).map_err(|_| damaged())?;
    if about.is_none() != (head.position() == 0) {
        return Err(damaged());
    }
    Ok((id, End { head, about }))
}

/// An entry by its position, with the head after it.
pub(super) fn entry(entry: &JournalEntry, after: &Head) -> Item {
    let mut item = key(ENTRIES, &sort_key(after.position()));
    item.insert(ENTRY.into(), bytes_of(&entry.to_bytes()));
    item.insert(HASH.into(), bytes_of(after.hash()));
    item
}

/// An entry, and the head after it.
pub(super) fn read(mut item: Item) -> Result<(JournalEntry, Head), JournalError> {
    let head = read_head(&mut item, HASH)?;
    Ok((read_entry(&mut item)?, head))
}

/// An entry by whom it is about, with the head before it.
pub(super) fn copy(entry: &JournalEntry, before: &Head) -> Item {
    let position = before.position().saturating_add(1);
    let mut item = key(&about(entry.tenant(), entry.tag()), &sort_key(position));
    item.insert(ENTRY.into(), bytes_of(&entry.to_bytes()));
    item.insert(BEFORE.into(), bytes_of(before.hash()));
    item
}

/// An entry, and the head before it.
pub(super) fn read_copy(mut item: Item) -> Result<EntryAt, JournalError> {
    let at = read_head(&mut item, BEFORE)?;
    let before = Head::from_parts(at.position().checked_sub(1).ok_or_else(damaged)?, *at.hash());
    Ok(EntryAt::new(before, read_entry(&mut item)?))
}

/// The position that an item stands at, with a hash of it.
fn read_head(item: &mut Item, hash: &str) -> Result<Head, JournalError> {
    let position = u64::from_be_bytes(array(binary(item, SK))?);
    Ok(Head::from_parts(position, array(binary(item, hash))?))
}

fn read_entry(item: &mut Item) -> Result<JournalEntry, JournalError> {
    JournalEntry::from_bytes(&required(binary(item, ENTRY))?)
}

/// The key of an item.
pub(super) fn place(item: &Item) -> Item {
    let place = [PK, SK].into_iter().filter_map(|name| item.get_key_value(name));
    place.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The partition of what is about somebody. A tag has a fixed length, so no two are the same.
pub(super) fn about(tenant: Option<&TenantId>, tag: Option<&Tag>) -> String {
    match (tenant, tag) {
        (Some(tenant), Some(tag)) => {
            let mut name = String::from("of-subject-");
            for byte in tag.as_bytes() {
                let _ = write!(name, "{byte:02x}");
            }
            name + "-" + tenant.as_str()
        }
        (Some(tenant), None) => format!("of-tenant-{}", tenant.as_str()),
        (None, _) => "of-store".into(),
    }
}

pub(super) fn sort_key(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

fn required<T>(attribute: Result<Option<T>, Damaged>) -> Result<T, JournalError> {
    attribute.ok().flatten().ok_or_else(damaged)
}

fn array<const N: usize>(attribute: Result<Option<Vec<u8>>, Damaged>) -> Result<[u8; N], JournalError> {
    required(attribute)?.try_into().map_err(|_| damaged())
}

fn damaged() -> JournalError {
    JournalError::corrupt("the attributes of an item")
}

pub(super) const ENTRIES: &str = "entries";
pub(super) const POSITION: &str = "pos";
pub(super) const HASH: &str = "hash";
/// Of a copy alone.
const BEFORE: &str = "before";
/// Of the head alone.
pub(super) const ABOUT: &str = "about";
const ENTRY: &str = "entry";
const ID: &str = "id";
const VERSION: &str = "version";
const CURRENT: u32 = 1;
