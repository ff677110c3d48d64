//! Where the entries of a journal file are, and which are about whom: what a handle keeps in memory.

use std::collections::HashMap;
use std::num::NonZeroU64;

use super::format::{Committed, HEADER_LEN};
use crate::id::TenantId;
use crate::journal::{Head, JournalEntry};
use crate::keys::Tag;

/// Of all committed entries that were read so far. 16 bytes an entry, and about 50 a subject.
#[derive(Debug)]
pub(super) struct Index {
    offsets: Vec<EntryOffset>,
    store: Last,
    tenants: HashMap<TenantId, Tenant>,
    head: Head,
    end: u64,
}

/// The entries about one subject (or tenant, or the store) form a list, last one first.
#[derive(Clone, Copy, Debug)]
struct EntryOffset {
    offset: u64,
    before: Last,
}

/// The position of the last entry of a list.
type Last = Option<NonZeroU64>;

#[derive(Debug, Default)]
struct Tenant {
    own: Last,
    subjects: HashMap<Tag, Last>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { offsets: Vec::new(), store: None, tenants: HashMap::new(), head: Head::EMPTY, end: HEADER_LEN as u64 }
    }

    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Where the committed frames end.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The offset of the last entry.
    pub(super) fn last(&self) -> Option<u64> {
        self.offsets.last().map(|entry| entry.offset)
    }

    /// One more entry.
    pub(super) fn push(&mut self, Committed { entry, at, end, head }: &Committed) {
        let last = self.last_of(entry);
        let before = std::mem::replace(last, NonZeroU64::new(head.position()));
        self.offsets.push(EntryOffset { offset: *at, before });
        (self.head, self.end) = (*head, *end);
    }

    fn last_of(&mut self, entry: &JournalEntry) -> &mut Last {
        let Some(tenant) = entry.tenant() else { return &mut self.store };
        let tenant = self.tenants.entry(tenant.clone()).or_default();
        match entry.tag() {
            None => &mut tenant.own,
            Some(tag) => tenant.subjects.entry(*tag).or_default(),
        }
    }

    /// The positions of the entries about one subject, tenant or the store, up to `up_to`, in order.
    pub(super) fn of(&self, tenant: Option<&TenantId>, tag: Option<&Tag>, up_to: u64) -> Vec<u64> {
        let mut next = match (tenant, tag) {
            (None, None) => self.store,
            // There is no subject without a tenant.
            (None, Some(_)) => None,
            (Some(tenant), tag) => self.tenants.get(tenant).and_then(|tenant| match tag {
                None => tenant.own,
                Some(tag) => tenant.subjects.get(tag).copied().flatten(),
            }),
        };
        let mut found = Vec::new();
        while let Some(position) = next {
            if position.get() <= up_to {
                found.push(position.get());
            }
            next = self.behind(position.get() - 1).and_then(|entry| entry.before);
        }
        found.reverse();
        found
    }

    /// Where the frames of at most `count` entries behind position `from` begin and end; none if there are none.
    pub(super) fn span(&self, from: u64, count: u64) -> Option<(u64, u64)> {
        let start = self.behind(from)?.offset;
        let end =
            if count == 0 { start } else { self.behind(from.saturating_add(count)).map_or(self.end, |p| p.offset) };
        Some((start, end))
    }

    /// The entry behind a position.
    fn behind(&self, position: u64) -> Option<&EntryOffset> {
        self.offsets.get(usize::try_from(position).ok()?)
    }
}
