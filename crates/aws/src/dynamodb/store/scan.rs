//! Reads slots in the order of their ids: each partition is in that order, so all of them are read side by side, and merged.

use std::collections::VecDeque;

use futures_util::future::try_join_all;

use super::layout::{DUE, DynamoDbLayout, EPOCH, LONG, MAX_SORT_KEY, ReadItem};
use crate::dynamodb::{Condition, Query, Table, number_of};
use fieldseal::error::StoreError;
use fieldseal::store::{Filter, Loaded, Scan, ScanPage, SlotId, Tag};

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
    let mut page = ScanPage::default();
    // The last that has a name: where the next page may begin.
    let (mut last, mut round) = (None, 0);
    while page.slots.len() + page.damaged.len() < scan.page_size() {
        let is_hungry = streams.iter().any(Stream::is_hungry);
        // As far as every partition was looked through; none where all are at their end. A page that ends here must get on.
        let looked = streams.iter().filter(|stream| !stream.ended).map(|stream| &stream.after).min();
        let looked = looked.map(|after| after.clone().unwrap_or_default());
        let is_end = |looked: &Vec<u8>| *looked > wanted.cursor && SlotId::from_bytes(looked).is_ok();
        let is_over = round >= rounds && looked.as_ref().is_none_or(is_end);
        if is_hungry && !is_over {
            let hungry = streams.iter_mut().filter(|stream| stream.is_hungry());
            try_join_all(hungry.map(|stream| stream.feed(table, layout, &wanted))).await?;
            round += 1;
            continue;
        }
        let first = streams.iter_mut().filter(|s| !s.ready.is_empty()).min_by(|a, b| a.head().cmp(&b.head()));
        match (looked, first) {
            (Some(looked), first) if is_hungry && first.as_ref().is_none_or(|s| s.head() > Some(looked.as_slice())) => {
                page.next = Some(SlotId::from_bytes(&looked)?);
                return Ok(page);
            }
            (_, Some(stream)) => match stream.ready.pop_front().and_then(|item| item.found) {
                None => page.nameless += 1,
                Some((found, id)) => {
                    last = Some(id.clone());
                    match found {
                        Loaded::Absent => {}
                        Loaded::Slot(slot) => page.slots.push(slot),
                        Loaded::Damaged(token) => page.damaged.push((id, token)),
                    }
                }
            },
            (_, None) => break,
        }
    }
    let more = streams.iter().any(|stream| !stream.ended || !stream.ready.is_empty());
    page.next = last.filter(|_| more);
    Ok(page)
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
        // No sort key is longer. One that is the beginning of the cursor is before it, and `is_wanted` leaves it out.
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
        let items = items.iter().map(|item| layout.read(item));
        let mut ready: Vec<_> = items.filter(|item| self.is_wanted(item)).collect();
        ready.sort_by(|a, b| a.key.cmp(&b.key));
        ready.dedup_by(|a, b| a.key == b.key);
        Ok(Stream { partition: String::new(), ready: ready.into(), after: None, ended: true, limit: 0 })
    }

    /// Whether it is asked for. What has no name is of no tenant.
    fn is_wanted(&self, item: &ReadItem) -> bool {
        let is_found = match self.scan.filter() {
            Filter::All => true,
            Filter::EpochBelow(epoch) => item.epoch.is_some_and(|own| own < epoch.get().into()),
            Filter::DueBefore(moment) => item.due.is_some_and(|own| own < moment.as_millis().into()),
        };
        let is_of = |tenant| item.found.as_ref().is_some_and(|(_, id)| id.tenant() == Some(tenant));
        is_found && self.scan.only_tenant().is_none_or(is_of) && item.key > self.cursor
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
    /// In their order.
    ready: VecDeque<ReadItem>,
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
        self.ready.front().map(|item| item.key.as_slice())
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
        let items = part.items.iter().map(|item| layout.read(item));
        self.ready.extend(items.filter(|item| wanted.is_wanted(item)));
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
