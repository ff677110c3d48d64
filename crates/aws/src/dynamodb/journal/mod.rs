//! [`DynamoDbJournal`]: the journal in a DynamoDB table, through the AWS SDK.
//!
//! `layout` says where things stand in the table.

mod layout;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;

use crate::dynamodb::{ATTEMPTS, Answer, Condition, Query, Refused, Table, bytes_of, number_of, pause, text_of};
use fieldseal::clock::Timestamp;
use fieldseal::id::TenantId;
use fieldseal::journal::{EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalErrorKind, JournalId};
use fieldseal::store::Tag;
use layout::End;

/// The erasure journal in a DynamoDB table of its own, in one region: for the processes of several hosts.
///
/// ```no_run
/// use fieldseal_aws::DynamoDbJournal;
///
/// # async fn doc(client: aws_sdk_dynamodb::Client) -> Result<(), fieldseal::error::JournalError> {
/// let journal = DynamoDbJournal::new(client, "fieldseal-journal");
/// journal.create_table().await?; // once, by a deployment
/// # Ok(())
/// # }
/// ```
///
/// An append is one transaction: the head moves, and the entry stands in the table twice, by its position and by whom it is
/// about, because an index of DynamoDB's is never consistent. Reads are strongly consistent, and `read` verifies the chain
/// of hashes. DynamoDB shows what a transaction writes piece by piece, so `head` gives none whose entry is not there yet.
///
/// # Where to keep it
/// In another table than the key store's, which is restored without it: not in the same backup plan. In another account, it
/// is also out of reach of whoever may write to the key store. Have backups of its own, with point-in-time recovery: an
/// erasure that is not in the journal comes back with a restored key store. No replicas in other regions, no time to live.
///
/// # What the caller's policy must allow
/// `dynamodb:DescribeTable`, `GetItem`, `Query`, `PutItem`, `UpdateItem`, `ConditionCheckItem` on the table, `CreateTable` for
/// [`create_table`](Self::create_table), `BatchGetItem` for [`verify`](Self::verify). Not `DeleteItem`: entries are never
/// removed.
///
/// # Size
/// An entry takes about 450 to 650 bytes, its copy included, and an append 10 write units: it also holds that the entry
/// before it is there as a whole. The head takes two requests, of 5 read units. Appends come one after the other,
/// each a transaction of some ten milliseconds; of many at a time all but one are told of a conflict, and come again.
///
/// # What to do about an error
/// | kind | |
/// | --- | --- |
/// | `Conflict` | somebody else appended: read the head again |
/// | `Throttled` | too many calls, or too many appends at once; an `append` may have landed |
/// | `Unavailable` | not reached, or timed out; an `append` may have landed |
/// | `Denied` | the policy, or the credentials: the source names the operation |
/// | `NewerSchema` | a later version made the table: upgrade |
/// | `Misconfigured` | no such table, or not one that `create_table` made, or a global one |
/// | `Corrupt` | an entry was changed or deleted: put back a copy of the table that has every entry |
///
/// # Security
/// The chain of hashes finds damage, not malice: see [`FileJournal`](fieldseal::journal::FileJournal). That no entry about a subject is
/// hidden from [`read_of`](ErasureJournal::read_of), because its copy is gone, is checked by [`verify`](Self::verify).
/// Whoever may read the table learns tenants' names, how many subjects were erased, and when.
#[derive(Clone)]
pub struct DynamoDbJournal {
    table: Table,
    checked: OnceLock<()>,
    known: Arc<Known>,
}

impl DynamoDbJournal {
    /// The journal in this table. Nothing is asked of DynamoDB yet.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { table: Table::new(client, table.into()), checked: OnceLock::new(), known: Arc::default() }
    }

    /// Makes the table, and an empty journal in it, and waits until it can be used. A journal that is there already is left
    /// as it is.
    ///
    /// A journal that is lost is thereby not replaced unnoticed: a new one has another id, and the key store refuses it
    /// ([`Error::WrongJournal`](fieldseal::Error::WrongJournal)).
    ///
    /// # Errors
    /// [`JournalError`] of kind `Misconfigured` if a table of this name has other keys, or replicas; `NewerSchema` if a later
    /// version of this crate made it; `Denied`; `Unavailable`, also if the table isn't ready after 5 minutes.
    ///
    /// # Cancel safety
    /// Can be called again.
    pub async fn create_table(&self) -> Result<(), JournalError> {
        let id = JournalId::generate().map_err(JournalError::unavailable)?;
        self.table.create().await?;
        match self.table.write(vec![self.table.put(layout::empty(id), &Condition::absent())]).await {
            Ok(()) | Err(Refused::Conditions(_)) => {}
            Err(Refused::Failed(failure)) => return Err(failure.into()),
        }
        self.begin().await.map(drop)
    }

    /// Reads the whole journal and checks every entry: that it is the next of the chain, and that its copy, by whom it is
    /// about, is there and the same. Gives the head that it ends at. For after a restore of the table, and now and then.
    ///
    /// Finds an entry or a copy that is missing, was changed, or was put in another's place. Not a copy without an entry,
    /// which somebody who may write to the table added: [`read_of`](ErasureJournal::read_of) would read it.
    ///
    /// # Errors
    /// [`JournalError`] of kind `Corrupt` if something is damaged, with the position; those of
    /// [`read`](ErasureJournal::read).
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn verify(&self) -> Result<Head, JournalError> {
        let mut head = Head::EMPTY;
        loop {
            // Up to here every entry has its copy: DynamoDB is not in the middle of writing it.
            let left = self.end().await?.head.position().saturating_sub(head.position());
            let page = usize::try_from(left).unwrap_or(usize::MAX).min(Table::BATCH);
            if page == 0 {
                return Ok(head);
            }
            let entries = self.read(head.position(), page).await?;
            let copy = |entry: &JournalEntry| {
                let before = head;
                head = before.advanced_by(entry);
                (head.position(), layout::copy(entry, &before))
            };
            let copies: Vec<_> = entries.iter().map(copy).collect();
            let found = self.table.get_all(copies.iter().map(|(_, copy)| layout::place(copy)).collect()).await?;
            if let Some((position, _)) = copies.iter().find(|(_, copy)| !found.contains(copy)) {
                return Err(JournalError::corrupt(format!(
                    "the copy of entry {position} is missing, or isn't what was appended"
                )));
            }
        }
    }

    /// The first call makes certain that the table is what it must be.
    async fn ready(&self) -> Result<(), JournalError> {
        if self.checked.get().is_none() {
            self.table.check().await?;
            let _ = self.checked.set(());
        }
        Ok(())
    }

    /// The journal's id and end, as the head's item has it: the last entry may be half-way.
    async fn begin(&self) -> Result<(JournalId, End), JournalError> {
        self.ready().await?;
        let none = || JournalError::misconfigured("the table is no journal's: `create_table` makes one of it");
        layout::begin(self.table.get(layout::head()).await?.ok_or_else(none)?)
    }

    /// The journal's end, whose last entry is there with its copy: what is read up to it is whole.
    async fn end(&self) -> Result<End, JournalError> {
        let end = self.begin().await?.1;
        if let Some(last) = end.last() {
            // Not half-way: as one they are there, or were taken away.
            let [Some(entry), Some(copy)] = <[_; 2]>::try_from(self.table.get_as_one(last.into()).await?)
                .map_err(|_| JournalError::corrupt(LAST))?
            else {
                return Err(JournalError::corrupt(LAST));
            };
            let ((entry, head), copy) = (layout::read(entry)?, layout::read_copy(copy)?);
            if head != end.head || copy.entry != entry || copy.before.advanced_by(&entry) != head {
                return Err(JournalError::corrupt(LAST));
            }
        }
        self.known.put(&end);
        Ok(end)
    }
}

/// The last end that this process has seen, so that an append at it needn't ask for it.
#[derive(Debug, Default)]
struct Known(Mutex<Option<End>>);

impl Known {
    fn put(&self, end: &End) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end.clone());
    }

    /// That with this head.
    fn at(&self, head: &Head) -> Option<End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|end| end.head == *head)
    }
}

#[async_trait]
impl ErasureJournal for DynamoDbJournal {
    async fn id(&self) -> Result<JournalId, JournalError> {
        Ok(self.begin().await?.0)
    }

    async fn head(&self) -> Result<Head, JournalError> {
        Ok(self.end().await?.head)
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        entry.check_bounds()?;
        self.ready().await?;
        let next = expected.advanced_by(entry);
        let about = layout::about(entry.tenant(), entry.tag());
        let at_head = Condition::new("#pos = :pos AND #hash = :hash", &[layout::POSITION, layout::HASH, layout::ABOUT])
            .with(":pos", number_of(expected.position()))
            .with(":hash", bytes_of(expected.hash()))
            .with(":next", number_of(next.position()))
            .with(":after", bytes_of(next.hash()))
            .with(":about", text_of(&about));
        let before = match self.known.at(expected) {
            Some(end) => end,
            None if *expected == Head::EMPTY => End { head: Head::EMPTY, about: None },
            None => self.end().await?,
        };
        if before.head != *expected {
            return Err(JournalError::conflict());
        }
        let mut items = vec![
            self.table.set(layout::head(), "SET #pos = :next, #hash = :after, #about = :about", &at_head),
            self.table.put(layout::entry(entry, &next), &Condition::absent()),
            self.table.put(layout::copy(entry, expected), &Condition::absent()),
        ];
        // No append overtakes what is still being written of the one before.
        items.extend(before.last().into_iter().flatten().map(|key| self.table.must_be(key)));
        let end = End { head: next, about: Some(about) };
        for attempt in 1..=ATTEMPTS {
            let answers = match self.table.write(items.clone()).await {
                Ok(()) => {
                    self.known.put(&end);
                    return Ok(next);
                }
                Err(Refused::Conditions(answers)) => answers,
                Err(Refused::Failed(failure)) => return Err(failure.into()),
            };
            // Somebody else's append shows in its entry before it does in the head, while it is being written.
            if answers.first() == Some(&Answer::Fails) || self.end().await?.head != *expected {
                return Err(JournalError::conflict());
            }
            if answers.iter().skip(1).take(2).any(|a| *a == Answer::Fails) && !answers.contains(&Answer::Busy) {
                return Err(JournalError::corrupt("there is an entry behind the head"));
            }
            pause(attempt).await;
        }
        Err(JournalError::new(JournalErrorKind::Throttled).with_hint("other appends stood in the way"))
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        self.ready().await?;
        let mut entries = Vec::new();
        // The chain is verified behind the entry at `from`, whose hash is taken as it stands.
        let first = from.max(1);
        let mut next = first;
        let mut last: Option<Head> = None;
        let (mut after, end) = (None, layout::sort_key(u64::MAX));
        // The entry that the head says is there, and wasn't read.
        let mut missed = None;
        while entries.len() < limit {
            let more = limit.saturating_sub(entries.len()).saturating_add(1);
            let query = Query {
                partition: layout::ENTRIES,
                from: &layout::sort_key(first),
                to: &end,
                after,
                filter: None,
                limit: Some(more),
            };
            let part = self.table.query(query).await?;
            for item in part.items {
                let (entry, head) = layout::read(item)?;
                let before = last.or((next == 1).then_some(Head::EMPTY));
                if head.position() != next || before.is_some_and(|before| before.advanced_by(&entry) != head) {
                    return Err(JournalError::corrupt(format!("the chain of hashes breaks at entry {next}")));
                }
                if next > from && entries.len() < limit {
                    entries.push(entry);
                }
                last = Some(head);
                next = next.saturating_add(1);
            }
            after = part.last;
            if after.is_some() || entries.len() == limit {
                continue;
            }
            // No more is found. A caller would take fewer than the head counts for a journal that was cut off.
            if missed == Some(next) {
                return Err(JournalError::new(JournalErrorKind::Unavailable).with_hint(SHORT));
            }
            if next > self.end().await?.head.position() {
                break;
            }
            missed = Some(next);
            after = last.map(|last| layout::sort_key(last.position()).to_vec());
        }
        Ok(entries)
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        self.ready().await?;
        // Nobody is a subject of the store.
        if up_to.position() == 0 || (tenant.is_none() && tag.is_some()) {
            return Ok(Vec::new());
        }
        let partition = layout::about(tenant, tag);
        let (first, last) = (layout::sort_key(1), layout::sort_key(up_to.position()));
        let copies = self.table.query_all(&partition, &first, &last).await?;
        let entries = copies.into_iter().map(layout::read_copy).collect::<Result<Vec<_>, _>>()?;
        match entries.iter().all(|EntryAt { entry, .. }| entry.tenant() == tenant && entry.tag() == tag) {
            true => Ok(entries),
            false => Err(JournalError::corrupt("an entry stands under somebody whom it is not about")),
        }
    }

    /// DynamoDB's, in whole seconds.
    async fn clock(&self) -> Result<Option<Timestamp>, JournalError> {
        Ok(Some(self.table.clock(layout::head()).await?))
    }
}

impl fmt::Debug for DynamoDbJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamoDbJournal").field("table", &self.table.name()).finish_non_exhaustive()
    }
}

const SHORT: &str = "DynamoDB gives fewer entries than the journal has: read again";
const LAST: &str = "the last entry, or its copy, is missing or isn't what was appended";
