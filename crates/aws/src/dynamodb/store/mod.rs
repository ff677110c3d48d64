//! [`DynamoDbStore`]: slots in a DynamoDB table, through the AWS SDK.
//!
//! `layout` says where things stand in the table, `scan`
//! reads it in the order of ids, `residue` says what DynamoDB keeps.

mod layout;
mod residue;
mod scan;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::OnceLock;

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use crate::dynamodb::{Answer, Condition, Item, PK, Refused, SK, Table, number_of};
use fieldseal::clock::Timestamp;
use fieldseal::error::StoreError;
use fieldseal::store::{Epoch, SlotId, StoredSlot};
use fieldseal::store::{Expected, KeyStore, Loaded, Residue, Scan, ScanPage};

pub use layout::DynamoDbLayout;

/// Slots in a DynamoDB table of their own, in one region.
///
/// ```no_run
/// use fieldseal_aws::DynamoDbStore;
///
/// # async fn doc(client: aws_sdk_dynamodb::Client) -> Result<(), fieldseal::error::StoreError> {
/// let store = DynamoDbStore::new(client, "fieldseal-keys");
/// store.create_table().await?; // once, by a deployment: what an application may do need not include it
/// # Ok(())
/// # }
/// ```
///
/// The client is the application's, with its region, credentials, HTTP client, time limits and retries. Reads are strongly
/// consistent; a write is one transaction that holds what it replaces and the floor together.
///
/// # The table
/// `create_table` makes it: billed by request, protected against deletion, without point-in-time recovery. Nobody else may
/// write to it, it must not have a time to live (DynamoDB would delete slots), and **no replicas in other regions**: those of
/// a global table are behind one another, or take no transactions. Such a table is refused when the store is first used; one
/// that is made global later is noticed by the processes that start after it.
///
/// A sort key has 1 024 bytes at most. Slots of a tenant whose name has more than 1 007 stand apart, and each page of a scan
/// over all tenants, or of such a one, reads all of them.
///
/// # What the caller's policy must allow
/// `dynamodb:DescribeTable`, `GetItem`, `BatchGetItem`, `Query`, `PutItem`, `UpdateItem`, `ConditionCheckItem` on the table;
/// `CreateTable` for [`create_table`](Self::create_table); `DescribeContinuousBackups` so that a receipt can say whether
/// point-in-time recovery is on.
///
/// # What calls cost
/// | call | requests | units |
/// | --- | --- | --- |
/// | `load` of up to 100 slots | 1 | 1 read unit a slot and 4 KB of it |
/// | `put` of a new slot | 1 | 2 write units a KB of the slot, 2 for the floor |
/// | `put` over another | 2 | the same, and 1 read unit a 4 KB of the old one |
/// | `scan`, a page | 17 to 257 | 1 read unit a 4 KB of what is passed over, also where a filter leaves it out; 17 at least |
/// | `raise_floor` | 256 | 2 write units each |
///
/// A scan for lower epochs, or for what is due, reads all slots that it passes: there is no index, because those of
/// DynamoDB are never consistent. A page ends after a number of requests, with what was found until then
/// ([`requests_per_page`](Self::requests_per_page)).
///
/// # What to do about an error
/// | kind | |
/// | --- | --- |
/// | `Throttled` | too many calls, or too many writes of one item at once; a `put` may have landed |
/// | `Unavailable` | not reached, or timed out; a `put` may have landed |
/// | `Denied` | the policy, or the credentials: the source names the operation |
/// | `Misconfigured` | no such table, or not one that `create_table` made, or a global one |
///
/// # Security
/// DynamoDB sees tenants' names, tags and wrapped keys, and no subject id. What it keeps of overwritten slots
/// [`scrub`](KeyStore::scrub) says, and can't change.
#[derive(Clone)]
pub struct DynamoDbStore {
    table: Table,
    rounds: usize,
    layout: OnceLock<DynamoDbLayout>,
}

impl DynamoDbStore {
    /// Slots in this table. Nothing is asked of DynamoDB yet.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table.into()), rounds: scan::ROUNDS, layout: OnceLock::new() }
    }

    /// How often a page of a scan asks each partition, at most; 16 if nothing is said, and at least 1. A request passes over
    /// up to 1 MB. A page that found little by then ends there, perhaps empty, and the next one goes on: so no call outlasts
    /// its deadline in a big table. Fewer for deadlines of less than some seconds.
    #[must_use]
    pub fn requests_per_page(mut self, requests: usize) -> Self {
        self.rounds = requests.max(1);
        self
    }

    /// Makes the table, with the layout that is right for most, and waits until it can be used. A table that is there
    /// already is left as it is, if it is one of a key store's.
    ///
    /// # Errors
    /// [`StoreError`] of kind `Misconfigured` if a table of this name has other keys, or replicas; `NewerSchema` if a later
    /// version of this crate made it; `Denied`; `Unavailable`, also if the table isn't ready after 5 minutes.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn create_table(&self) -> Result<(), StoreError> {
        self.create_table_with(DynamoDbLayout::new()).await
    }

    /// [`create_table`](Self::create_table) with another layout. What a table was made with stays: it is recorded there.
    ///
    /// # Errors
    /// Those of [`create_table`](Self::create_table).
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn create_table_with(&self, layout: DynamoDbLayout) -> Result<(), StoreError> {
        self.table.create().await?;
        match self.table.write(vec![self.table.put(layout.to_item(), &Condition::absent())]).await {
            Ok(()) | Err(Refused::Conditions(_)) => {}
            Err(Refused::Failed(failure)) => return Err(failure.into()),
        }
        self.layout().await.map(drop)
    }

    /// The layout that the table was made with. The first call makes certain that the table is what it must be.
    async fn layout(&self) -> Result<DynamoDbLayout, StoreError> {
        if let Some(layout) = self.layout.get() {
            return Ok(*layout);
        }
        self.table.check().await?;
        let no_record = || StoreError::misconfigured("the table is no key store's: `create_table` makes one of it");
        let layout = DynamoDbLayout::from_item(self.table.get(layout::record()).await?.ok_or_else(no_record)?)?;
        Ok(*self.layout.get_or_init(|| layout))
    }
}

#[async_trait]
impl KeyStore for DynamoDbStore {
    async fn load(&self, ids: &[SlotId]) -> Result<Vec<Loaded>, StoreError> {
        let layout = self.layout().await?;
        // DynamoDB refuses a batch that names a key twice.
        let distinct: Vec<_> = ids.iter().collect::<HashSet<_>>().into_iter().map(|id| layout.key(id)).collect();
        let batches: Vec<Vec<_>> = distinct.chunks(Table::BATCH).map(<[_]>::to_vec).collect();
        let reads = stream::iter(batches).map(|keys| self.table.get_all(keys)).buffer_unordered(LOADS_AT_ONCE);
        let items: Vec<Vec<_>> = reads.try_collect().await?;
        // By their keys: what else stands in an item may be damaged.
        let found: HashMap<_, _> = items.into_iter().flatten().map(|item| (place_of(&item), item)).collect();
        let asked: HashSet<_> = ids.iter().map(|id| place_of(&layout.key(id))).collect();
        if found.keys().any(|place| !asked.contains(place)) {
            // In the place of one that was, which is not absent therefore.
            return Err(StoreError::corrupt("DynamoDB answered an item that was not asked for"));
        }
        let find = |id| found.get(&place_of(&layout.key(id))).map_or(Loaded::Absent, |item| layout.loaded(id, item));
        Ok(ids.iter().map(find).collect())
    }

    async fn put(&self, slot: &StoredSlot, expected: Expected) -> Result<(), StoreError> {
        let layout = self.layout().await?;
        let condition = match expected {
            Expected::Absent => Condition::absent(),
            // No condition tells damage: what is there is read, and must be so still when it is replaced.
            Expected::Revision(_) | Expected::Damaged(_) => {
                let item = self.table.get(layout.key(slot.id())).await?.ok_or_else(StoreError::conflict)?;
                if !expected.is_met_by(&layout.loaded(slot.id(), &item)) {
                    return Err(StoreError::conflict());
                }
                DynamoDbLayout::unchanged(&item)
            }
        };
        let mut items = vec![self.table.put(layout.item(slot), &condition)];
        if let Some(epoch) = slot.epoch() {
            let condition = Condition::new("attribute_not_exists(#floor) OR #floor <= :epoch", &[layout::FLOOR]);
            let condition = condition.with(":epoch", number_of(epoch.get()));
            items.push(self.table.must(layout.floor_of(slot.id()), &condition));
        }
        match self.table.write(items).await {
            Ok(()) => Ok(()),
            Err(Refused::Conditions(failed)) if failed.get(1) == Some(&Answer::Fails) => Err(StoreError::below_floor()),
            Err(Refused::Conditions(_)) => Err(StoreError::conflict()),
            Err(Refused::Failed(failure)) => Err(failure.into()),
        }
    }

    async fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        scan::page(&self.table, self.layout().await?, scan, self.rounds).await
    }

    /// Every floor: a `put` holds against one of them, by its slot's id. One that is under way in a transaction makes the
    /// floor's wait, or the other way round.
    async fn raise_floor(&self, epoch: Epoch) -> Result<(), StoreError> {
        let raise = |floor| async move {
            let lower = Condition::new("attribute_not_exists(#floor) OR #floor < :epoch", &[layout::FLOOR]);
            let lower = lower.with(":epoch", number_of(epoch.get()));
            match self.table.write(vec![self.table.set(floor, "SET #floor = :epoch", &lower)]).await {
                // It is as high, or higher.
                Ok(()) | Err(Refused::Conditions(_)) => Ok(()),
                Err(Refused::Failed(failure)) => Err(failure.into()),
            }
        };
        let floors = stream::iter(self.layout().await?.floor_keys()).map(raise).buffer_unordered(RAISES_AT_ONCE);
        floors.try_collect().await
    }

    /// Changes nothing: what DynamoDB keeps of overwritten items nobody can shorten from outside. Says what that is.
    async fn scrub(&self) -> Result<Residue, StoreError> {
        residue::of(&self.table).await
    }

    /// DynamoDB's, in whole seconds.
    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(Some(self.table.clock(layout::record()).await?))
    }
}

impl fmt::Debug for DynamoDbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbStore").field("table", &self.table.name()).finish_non_exhaustive()
    }
}

/// Where an item stands: its partition and sort key.
fn place_of(item: &Item) -> (Option<String>, Option<Vec<u8>>) {
    let text = item.get(PK).and_then(|value| value.as_s().ok()).cloned();
    (text, item.get(SK).and_then(|value| value.as_b().ok()).map(|bytes| bytes.as_ref().to_vec()))
}

/// Batches that are read at a time.
const LOADS_AT_ONCE: usize = 8;
/// Floors that are raised at a time.
const RAISES_AT_ONCE: usize = 32;
