//! [`DynamoDbLayout`]: where things stand in the table.
//!
//! | partition key | sort key | item |
//! | --- | --- | --- |
//! | `layout` | 0 | this, and its version |
//! | `slots-7` | the slot's id | a slot: one of the partitions, by the hash of its id |
//! | `slots-long` | SHA-256 of the id | a slot whose id is longer than a sort key may be |
//! | `floor-7` | 0 | the floor, once more: a put holds against one of them, by the hash of its slot's id |

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;

use crate::dynamodb::item::Damaged;
use crate::dynamodb::{Condition, Item, PK, SK, bytes_of, key, number, number_of};
use fieldseal::clock::Timestamp;
use fieldseal::error::{StoreError, StoreErrorKind};
use fieldseal::store::{Loaded, RawColumns, Revision, SlotId, StoredSlot};
use sha2::{Digest as _, Sha256};

/// Over how many partitions a table's slots are spread, and how often its floor is kept. Fixed when the table is made.
///
/// DynamoDB gives a partition 1 000 write units and 3 000 read units a second before it splits it, which takes minutes under
/// load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct DynamoDbLayout {
    partitions: u16,
    floors: u16,
}

impl DynamoDbLayout {
    /// 16 partitions and 256 floors.
    pub fn new() -> Self {
        Self { partitions: 16, floors: 256 }
    }

    /// Spreads the slots over so many partitions: 1 to 256. Each takes some 500 puts and 3 000 loads a second from the
    /// beginning; each page of a scan asks every one of them.
    pub fn partitions(mut self, partitions: u16) -> Self {
        self.partitions = partitions.clamp(1, 256);
        self
    }

    /// Keeps the floor so often: 1 to 4 096 times. Two puts that hold against the same one at the same moment get in each
    /// other's way, and one is tried again: with 256 of them and 1 000 puts a second, that is a few in a hundred. Each is
    /// written when an epoch is retired.
    pub fn floors(mut self, floors: u16) -> Self {
        self.floors = floors.clamp(1, 4096);
        self
    }

    pub(super) fn to_item(self) -> Item {
        let mut item = record();
        item.insert(VERSION.into(), number_of(CURRENT));
        item.insert("partitions".into(), number_of(self.partitions));
        item.insert("floors".into(), number_of(self.floors));
        item
    }

    pub(super) fn from_item(mut item: Item) -> Result<Self, StoreError> {
        let version: u32 = required(number(&mut item, VERSION))?;
        if version > CURRENT {
            return Err(StoreError::new(StoreErrorKind::NewerSchema));
        }
        let mut count = |name| required(number(&mut item, name).map(|n| n.filter(|n| *n > 0)));
        Ok(Self { partitions: count("partitions")?, floors: count("floors")? })
    }

    /// The partitions of slots, but the one of those with long ids.
    pub(super) fn partition_names(self) -> impl Iterator<Item = String> {
        (0..self.partitions).map(|n| format!("slots-{n}"))
    }

    /// The keys of the floors.
    pub(super) fn floor_keys(self) -> impl Iterator<Item = Item> {
        (0..self.floors).map(floor)
    }

    /// The key of the floor that a slot's puts hold against.
    pub(super) fn floor_of(self, id: &SlotId) -> Item {
        let [.., a, b] = <[u8; 32]>::from(Sha256::digest(id.to_bytes()));
        floor(u16::from_be_bytes([a, b]) % self.floors)
    }

    /// The key of a slot.
    pub(super) fn key(self, id: &SlotId) -> Item {
        let id = id.to_bytes();
        let hash = <[u8; 32]>::from(Sha256::digest(&id));
        if id.len() > MAX_SORT_KEY {
            return key(LONG, &hash);
        }
        let [a, b, ..] = hash;
        key(&format!("slots-{}", u16::from_be_bytes([a, b]) % self.partitions), &id)
    }

    /// A slot as an item.
    pub(super) fn item(self, slot: &StoredSlot) -> Item {
        let mut item = self.key(slot.id());
        let id = slot.id().to_bytes();
        if id.len() > MAX_SORT_KEY {
            item.insert(ID.into(), bytes_of(&id));
        }
        item.insert(BYTES.into(), bytes_of(slot.as_bytes()));
        item.insert(REVISION.into(), bytes_of(slot.revision().as_bytes()));
        item.insert(STATE.into(), number_of(slot.state().number()));
        let columns = [(EPOCH, slot.epoch().map(|e| e.get().into())), (DUE, slot.due().map(Timestamp::as_millis))];
        for (name, value) in columns {
            item.extend(value.map(|value: u64| (name.to_owned(), number_of(value))));
        }
        item
    }

    /// What an item of the partitions of slots is.
    pub(super) fn read(self, item: &Item) -> ReadItem {
        let bytes =
            |name: &str| item.get(name).and_then(|value| value.as_b().ok()).map(|bytes| bytes.as_ref().to_vec());
        let is_long = item.get(PK).and_then(|value| value.as_s().ok()).is_some_and(|partition| partition == LONG);
        let sort = bytes(SK).unwrap_or_default();
        let id = if is_long { bytes(ID).unwrap_or_default() } else { sort.clone() };
        // One that stands in another's place is not there for whoever asks for it.
        let id =
            SlotId::from_bytes(&id).ok().filter(|id| self.key(id).iter().all(|(name, at)| item.get(name) == Some(at)));
        let Columns { epoch, due, .. } = Columns::of(item);
        let key = id.as_ref().map_or(sort, SlotId::to_bytes);
        ReadItem {
            key,
            epoch: epoch.ok().flatten(),
            due: due.ok().flatten(),
            found: id.map(|id| (self.loaded(&id, item), id)),
        }
    }

    /// What an item is in the place of this slot.
    pub(super) fn loaded(self, id: &SlotId, item: &Item) -> Loaded {
        let Columns { state, epoch, due } = Columns::of(item);
        let columns = RawColumns {
            state: state.unwrap_or_default(),
            epoch: epoch.unwrap_or_default(),
            due: due.unwrap_or_default(),
        };
        let bytes = item.get(BYTES).map(|value| value.as_b().map(AsRef::<[u8]>::as_ref));
        // The name of an attribute that a slot with these bytes has otherwise, or of another type.
        let own_id = Some(id.to_bytes()).filter(|id| id.len() > MAX_SORT_KEY);
        let revision = bytes.and_then(Result::ok).and_then(|bytes| bytes.last_chunk::<{ Revision::LEN }>());
        let must_be = [(ID, own_id.as_deref()), (REVISION, revision.map(|revision| revision.as_slice()))];
        let is_other =
            |(name, own): (&'static str, Option<&[u8]>)| (item.get(name) != own.map(bytes_of).as_ref()).then_some(name);
        let of_type = [
            (BYTES, matches!(bytes, Some(Err(_)))),
            (STATE, state.is_err()),
            (EPOCH, epoch.is_err()),
            (DUE, due.is_err()),
        ];
        let odd = must_be.into_iter().filter_map(is_other);
        let odd = odd.chain(of_type.into_iter().filter_map(|(name, is_odd)| is_odd.then_some(name)));
        let more: Vec<_> = odd.map(|name| (name, item.get(name).map(written))).collect();
        let more = if more.is_empty() { Vec::new() } else { format!("{more:?}").into_bytes() };
        Loaded::from_row(id, bytes.and_then(Result::ok).map(<[u8]>::to_vec), columns, &more)
    }

    /// That what is kept of a slot is as it was read.
    pub(super) fn unchanged(item: &Item) -> Condition {
        Condition::unchanged(item, &[ID, BYTES, REVISION, STATE, EPOCH, DUE])
    }
}

/// An item of the partitions of slots.
pub(super) struct ReadItem {
    /// Its place in the order of ids.
    pub(super) key: Vec<u8>,
    pub(super) epoch: Option<i128>,
    pub(super) due: Option<i128>,
    /// None where it has no id, or another's.
    pub(super) found: Option<(Loaded, SlotId)>,
}

/// The numbers of an item; an error where one is of another type.
struct Columns {
    state: Result<Option<i128>, Damaged>,
    epoch: Result<Option<i128>, Damaged>,
    due: Result<Option<i128>, Damaged>,
}

impl Columns {
    fn of(item: &Item) -> Self {
        let number = |name| match item.get(name) {
            None => Ok(None),
            Some(AttributeValue::N(text)) => text.parse().map(Some).map_err(|_| Damaged),
            Some(_) => Err(Damaged),
        };
        Self { state: number(STATE), epoch: number(EPOCH), due: number(DUE) }
    }
}

/// An attribute as text, the same each time.
fn written(value: &AttributeValue) -> String {
    match value {
        AttributeValue::L(list) => format!("{:?}", list.iter().map(written).collect::<Vec<_>>()),
        AttributeValue::M(map) => {
            format!("{:?}", map.iter().map(|(name, value)| (name, written(value))).collect::<BTreeMap<_, _>>())
        }
        other => format!("{other:?}"),
    }
}

impl Default for DynamoDbLayout {
    fn default() -> Self {
        Self::new()
    }
}

/// The key of the layout.
pub(super) fn record() -> Item {
    key("layout", ALONE)
}

fn floor(n: u16) -> Item {
    key(&format!("floor-{n}"), ALONE)
}

fn required<T>(attribute: Result<Option<T>, Damaged>) -> Result<T, StoreError> {
    attribute.and_then(|value| value.ok_or(Damaged)).map_err(damaged)
}

fn damaged(_: Damaged) -> StoreError {
    StoreError::corrupt("the attributes of an item")
}

/// The partition of the slots with long ids.
pub(super) const LONG: &str = "slots-long";
/// DynamoDB's bound, in bytes. An id is longer if its tenant's name has more than 1 007.
pub(super) const MAX_SORT_KEY: usize = 1024;
/// The sort key of what is alone in its partition.
const ALONE: &[u8] = &[0];

const ID: &str = "id";
const BYTES: &str = "slot";
pub(super) const REVISION: &str = "rev";
const STATE: &str = "state";
pub(super) const EPOCH: &str = "epoch";
pub(super) const DUE: &str = "due";
pub(super) const FLOOR: &str = "floor";
const VERSION: &str = "version";
const CURRENT: u32 = 1;
