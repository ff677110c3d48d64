//! Reads slots in the order of their ids: each partition is in that order, so all of them are read side by side, and merged.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::layout::{DUE, DynamoDbLayout, EPOCH, LONG, MAX_SORT_KEY};
use crate::dynamodb::{Condition, Query, Table, number_of};
use fieldseal::error::StoreError;
use fieldseal::store::{Filter, Scan, ScanPage};
use fieldseal::store::{SlotId, StoredSlot, Tag};

/// A page. It is full unless it is the last, or the partitions were asked so often that the rest is left to the next.
pub(super) async fn page(
    table: &Table,
    layout: DynamoDbLayout,
    scan: &Scan,
    rounds: usize,
) -> Result<ScanPage, StoreError> {
    let wanted = Wanted::of(scan);
    let mut streams = vec![wanted.ahead(table, layout).await?];
    if wanted.from <= wanted.to {
        // What falls to each on average, and a little more: most are then read once.
        let share = scan.page_size().div_ceil(layout.partition_names().count());
        streams.extend(layout.partition_names().map(|name| Stream::new(name, share + share / 2 + 4)));
    }
    let mut slots = Vec::with_capacity(scan.page_size());
    let mut round = 0;
    while slots.len() < scan.page_size() {
        let is_hungry = streams.iter().any(Stream::is_hungry);
        // As far as every partition was looked through; none where all are at their end. A page that ends here must get on.
        let looked = streams.iter().filter(|stream| !stream.ended).map(|stream| &stream.after).min();
        let looked = looked.map(|after| after.clone().unwrap_or_default());
        let is_over = round >= rounds && looked.as_ref().is_none_or(|looked| *looked > wanted.cursor);
        if is_hungry && !is_over {
            let hungry = streams.iter_mut().filter(|stream| stream.is_hungry());
            try_join_all(hungry.map(|stream| stream.feed(table, layout, &wanted))).await?;
            round += 1;
            continue;
        }
        let first = streams.iter_mut().filter(|s| !s.ready.is_empty()).min_by(|a, b| a.head().cmp(&b.head()));
        match (looked, first) {
            (Some(looked), first) if is_hungry && first.as_ref().is_none_or(|s| s.head() > Some(looked.as_slice())) => {
                return Ok(ScanPage { slots, next: Some(SlotId::from_bytes(&looked)?) });
            }
            (_, Some(stream)) => slots.extend(stream.ready.pop_front().map(|(_, slot)| slot)),
            (_, None) => break,
        }
    }
    let more = streams.iter().any(|stream| !stream.ended || !stream.ready.is_empty());
    let next = slots.last().filter(|_| more).map(|last: &StoredSlot| last.id().clone());
    Ok(ScanPage { slots, next })
}

/// What a scan is to read.
struct Wanted<'a> {
    scan: &'a Scan,
    /// Behind this id.
    cursor: Vec<u8>,
    /// The first and the last sort key.
    from: Vec<u8>,
    to: Vec<u8>,
}

impl<'a> Wanted<'a> {
    fn of(scan: &'a Scan) -> Self {
        let cursor = scan.cursor().map(SlotId::to_bytes).unwrap_or_default();
        let (mut from, mut to) = match scan.only_tenant() {
            // Every id begins with 1, 2 or 3.
            None => (vec![0], vec![u8::MAX]),
            Some(tenant) => {
                let id = |tag| SlotId::Subject(tenant.clone(), Tag::from_bytes([tag; Tag::LEN])).to_bytes();
                (id(0), id(u8::MAX))
            }
        };
        from = from.max(cursor.clone());
        // No sort key is longer. One that is the beginning of the cursor is before it, and `take` leaves it out.
        from.truncate(MAX_SORT_KEY);
        to.truncate(MAX_SORT_KEY);
        Self { scan, cursor, from, to }
    }

    /// What isn't read by streams: the slot of the one tenant that is asked for, and those with long ids, of which there
    /// should be none. They stand in no order, so all of them are read for each page.
    async fn ahead(&self, table: &Table, layout: DynamoDbLayout) -> Result<Stream, StoreError> {
        let mut items = Vec::new();
        let tenant = self.scan.only_tenant();
        if let Some(tenant) = tenant {
            items.extend(table.get(layout.key(&SlotId::Tenant(tenant.clone()))).await?);
        }
        if tenant.is_none_or(|tenant| 1 + tenant.as_str().len() + Tag::LEN > MAX_SORT_KEY) {
            items.extend(table.query_all(LONG, &[0], &[u8::MAX; 32]).await?);
        }
        let mut ready = Vec::new();
        for item in items {
            ready.extend(self.take(layout.slot(item)?));
        }
        ready.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        ready.dedup_by(|(a, _), (b, _)| a == b);
        Ok(Stream { partition: String::new(), ready: ready.into(), after: None, ended: true, limit: 0 })
    }

    /// The slot with its key in the order, if it is asked for.
    fn take(&self, slot: StoredSlot) -> Option<(Vec<u8>, StoredSlot)> {
        let id = slot.id().to_bytes();
        let found = match self.scan.filter() {
            Filter::All => true,
            Filter::EpochBelow(epoch) => slot.epoch().is_some_and(|own| own < epoch),
            Filter::DueBefore(moment) => slot.due().is_some_and(|own| own < moment),
        };
        let of_tenant = self.scan.only_tenant().is_none_or(|tenant| slot.id().tenant() == Some(tenant));
        (found && of_tenant && id > self.cursor).then_some((id, slot))
    }

    /// What DynamoDB leaves out.
    fn filter(&self) -> Option<Condition> {
        match self.scan.filter() {
            Filter::All => None,
            Filter::EpochBelow(epoch) => {
                Some(Condition::new("#epoch < :epoch", &[EPOCH]).with(":epoch", number_of(epoch.get())))
            }
            Filter::DueBefore(moment) => {
                Some(Condition::new("#due < :due", &[DUE]).with(":due", number_of(moment.as_millis())))
            }
        }
    }
}

/// One partition, as far as it was read.
struct Stream {
    partition: String,
    /// Slots with their keys in the order.
    ready: VecDeque<(Vec<u8>, StoredSlot)>,
    /// The last sort key that was looked at, found or not.
    after: Option<Vec<u8>>,
    ended: bool,
    limit: usize,
}

impl Stream {
    fn new(partition: String, limit: usize) -> Self {
        Self { partition, ready: VecDeque::new(), after: None, ended: false, limit }
    }

    fn is_hungry(&self) -> bool {
        self.ready.is_empty() && !self.ended
    }

    fn head(&self) -> Option<&[u8]> {
        self.ready.front().map(|(key, _)| key.as_slice())
    }

    async fn feed(&mut self, table: &Table, layout: DynamoDbLayout, wanted: &Wanted<'_>) -> Result<(), StoreError> {
        let part = table
            .query(Query {
                partition: &self.partition,
                from: &wanted.from,
                to: &wanted.to,
                after: self.after.clone(),
                filter: wanted.filter(),
                limit: Some(self.limit),
            })
            .await?;
        for item in part.items {
            self.ready.extend(wanted.take(layout.slot(item)?));
        }
        // The fewer are found, the more are read at a time.
        self.limit = self.limit.saturating_mul(2).min(MAX_LIMIT);
        self.ended = part.last.is_none();
        self.after = part.last;
        Ok(())
    }
}

/// How often a page asks one partition: some seconds, and some 10 MB of slots in each.
pub(super) const ROUNDS: usize = 16;
/// More than 1 MB of the shortest slots.
const MAX_LIMIT: usize = 10_000;
