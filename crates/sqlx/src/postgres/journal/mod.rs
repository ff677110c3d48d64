//! [`PostgresJournal`]: the journal in PostgreSQL, through sqlx.
//!
//! `layout` says what the tables are.

mod builder;
mod error;
mod layout;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};

use crate::postgres::{CLOCK, Schema, bytea, clock_of, read, write};
use error::{failed, standby};
use fieldseal::clock::Timestamp;
use fieldseal::id::TenantId;
use fieldseal::journal::{EntryAt, ErasureJournal, Head, JournalEntry, JournalError, JournalId};
use fieldseal::store::Tag;

pub use builder::PostgresJournalBuilder;

/// The erasure journal in PostgreSQL, 15 or later, for the processes of many hosts.
///
/// ```no_run
/// use fieldseal_sqlx::PostgresJournal;
/// use sqlx::PgPool;
///
/// # async fn doc(pool: PgPool) -> Result<(), fieldseal::error::JournalError> {
/// PostgresJournal::builder(pool.clone()).migrate().await?; // once, by whoever may make tables
/// let journal = PostgresJournal::new(pool).await?;
/// # Ok(())
/// # }
/// ```
///
/// Each call is one transaction and one round trip, and leaves nothing in the session, so a pooler in transaction mode may
/// stand in between. A call that is dropped, or polled no more, holds no lock: the server ends what it was sent by itself.
/// An append is on the server's disk when it returns, and on its synchronous standby's where one is set up.
///
/// # Where to keep it
/// In another database cluster than the key store's, with another schedule of backups. The journal is there for the day on
/// which the key store is restored from a backup: it knows what was erased since. In the same cluster, a restore takes both
/// back to the same moment, neither can notice, and **who was erased in between is there again**. Another schema, or another
/// database of the same server, is not enough: a base backup, point-in-time recovery or a snapshot is of the whole cluster.
/// Back it up as often as you can, or give it a synchronous standby: an erasure that the journal lost comes back with a
/// restored key store.
///
/// # Size
/// An entry takes about 200 bytes more than its event, with short names 300 to 400 bytes, the indexes included. Entries are
/// never removed.
///
/// # What to do about an error
/// | kind | |
/// | --- | --- |
/// | `Conflict` | somebody else appended: read the head again |
/// | `Unavailable` | the server can't be reached, or is a standby. After an append read what the journal says: the entry may be there |
/// | `Throttled` | another append held the head for 1.5 seconds, or was in the way: nothing was appended |
/// | `Corrupt` | entries are missing, or aren't what was appended: put back a copy that has every entry. The key store knows how many that are at least |
/// | `Denied` | the role lacks a privilege: it needs to read both tables, to update `journal` and to insert into `journal_entries` |
/// | `NewerSchema` | a later version made the tables: upgrade |
/// | `Misconfigured` | the tables are not there: the error says what is |
///
/// # Security
/// The chain of hashes finds damage, not malice: whoever may write to the tables can make another chain. What they add has no
/// effect, because a vault passes over what nobody with the store's root entered; and the key store's pins (its journal, the
/// head that it has applied, the last entry that each slot was written after) tell of what is missing. Give the role that uses
/// the journal no `DELETE`, and no `UPDATE` of `journal_entries`; another one makes the tables. Reading checks the part of the
/// chain that is read. That no entry about a subject is hidden from [`read_of`](ErasureJournal::read_of), by a column that was
/// changed, is checked by [`verify`](Self::verify), which reads all.
///
/// Tenants, tags and entries stand in the text of statements, and so in `pg_stat_activity` and in the server's log where
/// statements are logged. They name no person, and hold no key.
#[derive(Clone)]
pub struct PostgresJournal {
    pool: PgPool,
    schema: Schema,
    lock_timeout: Duration,
}

impl PostgresJournal {
    /// The journal in the schema `fieldseal` of a database; made before by [`migrate`](PostgresJournalBuilder::migrate).
    ///
    /// # Errors
    /// Those of [`PostgresJournalBuilder::open`].
    ///
    /// # Cancel safety
    /// Reads only.
    pub async fn new(pool: PgPool) -> Result<Self, JournalError> {
        Self::builder(pool).open().await
    }

    /// A journal in a schema of another name; and what makes its tables.
    pub fn builder(pool: PgPool) -> PostgresJournalBuilder {
        PostgresJournalBuilder::new(pool)
    }

    /// Reads the whole journal and checks every entry: that it is the next of the chain, and about whom its columns say.
    /// Gives the head that it ends at. For after a restore of the journal, and now and then.
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
            let entries = self.read(head.position(), PAGE).await?;
            for entry in &entries {
                head = head.advanced_by(entry);
            }
            if entries.is_empty() {
                return Ok(head);
            }
        }
    }

    async fn ask(&self, statement: &str) -> Result<Vec<PgRow>, JournalError> {
        let (server, rows) = read(&self.pool, &self.schema.sql(statement)).await.map_err(failed)?;
        // It may not have heard of what was confirmed.
        if server.is_standby { Err(standby()) } else { Ok(rows) }
    }
}

#[async_trait]
impl ErasureJournal for PostgresJournal {
    async fn id(&self) -> Result<JournalId, JournalError> {
        let rows = self.ask("SELECT id FROM \"fieldseal\".journal").await?;
        let [row] = rows.as_slice() else { return Err(no_head()) };
        Ok(JournalId::from_bytes(array(row, 0)?))
    }

    async fn head(&self) -> Result<Head, JournalError> {
        let rows = self.ask(HEAD).await?;
        let [row] = rows.as_slice() else { return Err(no_head()) };
        let (position, last): (i64, Option<Vec<u8>>) = read_row(row, |row| Ok((row.try_get(0)?, row.try_get(2)?)))?;
        let head = Head::from_parts(unsigned(position)?, array(row, 1)?);
        let is_last = match &last {
            Some(hash) => hash.as_slice() == head.hash(),
            None => head == Head::EMPTY,
        };
        if is_last { Ok(head) } else { Err(damaged(position)) }
    }

    async fn append(&self, entry: &JournalEntry, expected: &Head) -> Result<Head, JournalError> {
        entry.check_bounds()?;
        let head = expected.advanced_by(entry);
        let Ok(position) = i64::try_from(expected.position()) else { return Err(JournalError::conflict()) };
        let next = position.checked_add(1).ok_or_else(JournalError::conflict)?;
        let (hash, before) = (bytea(head.hash()), bytea(expected.hash()));
        let (tenant, tag) = (bytea(tenant_column(entry.tenant())), bytea(tag_column(entry.tag())));
        // A writer that waited for another one finds another head than it expects.
        let append = format!(
            "WITH moved AS (UPDATE \"fieldseal\".journal SET position = {next}, hash = {hash} \
             WHERE position = {position} AND hash = {before} RETURNING 1) \
             INSERT INTO \"fieldseal\".journal_entries (position, hash, tenant, tag, bytes) \
             SELECT {next}, {hash}, {tenant}, {tag}, {} FROM moved RETURNING 1",
            bytea(&entry.to_bytes()),
        );
        // In one message: whoever is sent it and then polled no more holds the head for nobody.
        let appended = write(&self.pool, self.lock_timeout, &[&self.schema.sql(&append)]).await.map_err(failed)?;
        match appended.len() {
            1 => Ok(head),
            _ => Err(JournalError::conflict()),
        }
    }

    async fn read(&self, from: u64, limit: usize) -> Result<Vec<JournalEntry>, JournalError> {
        let from = signed(from);
        let end = from.saturating_add(i64::try_from(limit).unwrap_or(i64::MAX));
        // The entry at `from` is read for its hash; the head says how many must be there.
        let first = from.max(1);
        let sql = format!(
            "SELECT j.position, e.position, e.hash, e.tenant, e.tag, e.bytes FROM \"fieldseal\".journal j \
             LEFT JOIN \"fieldseal\".journal_entries e ON e.position >= {first} AND e.position <= {end} \
             AND e.position <= j.position ORDER BY e.position"
        );
        let rows = self.ask(&sql).await?;
        let mut head = Head::EMPTY;
        let mut entries = Vec::with_capacity(rows.len());
        let (mut next, mut last) = (first, 0);
        for row in &rows {
            let (all, position): (i64, Option<i64>) = read_row(row, |row| Ok((row.try_get(0)?, row.try_get(1)?)))?;
            last = all.min(end);
            let Some(position) = position else { continue };
            if position != next {
                return Err(damaged(next));
            }
            next = next.saturating_add(1);
            if position == from {
                head = Head::from_parts(unsigned(from)?, array(row, 2)?);
                continue;
            }
            let entry = entry(row, 3, position)?;
            head = head.advanced_by(&entry);
            if *head.hash() != array(row, 2)? {
                return Err(damaged(position));
            }
            entries.push(entry);
        }
        match rows.first() {
            None => Err(no_head()),
            Some(_) if next <= last => Err(damaged(next)),
            Some(_) => Ok(entries),
        }
    }

    async fn read_of(
        &self,
        tenant: Option<&TenantId>,
        tag: Option<&Tag>,
        up_to: &Head,
    ) -> Result<Vec<EntryAt>, JournalError> {
        let (tenant, tag, end) = (tenant_column(tenant), tag_column(tag), signed(up_to.position()));
        let sql = format!(
            "SELECT e.position, e.hash, p.hash, e.tenant, e.tag, e.bytes FROM \"fieldseal\".journal_entries e \
             LEFT JOIN \"fieldseal\".journal_entries p ON p.position = e.position - 1 \
             WHERE e.tenant = {} AND e.tag = {} AND e.position <= {end} ORDER BY e.position",
            bytea(tenant),
            bytea(tag),
        );
        let rows = self.ask(&sql).await?;
        let read = |row: &PgRow| {
            let (position, before): (i64, Option<Vec<u8>>) =
                read_row(row, |row| Ok((row.try_get(0)?, row.try_get(2)?)))?;
            let last = position.saturating_sub(1);
            let before = match before {
                Some(_) => Head::from_parts(unsigned(last)?, array(row, 2)?),
                None if last == 0 => Head::EMPTY,
                None => return Err(damaged(last)),
            };
            let entry = entry(row, 3, position)?;
            match before.advanced_by(&entry).hash() == &array(row, 1)? {
                true => Ok(EntryAt::new(before, entry)),
                false => Err(damaged(position)),
            }
        };
        rows.iter().map(read).collect()
    }

    /// The server's.
    async fn clock(&self) -> Result<Option<Timestamp>, JournalError> {
        let rows = self.ask(CLOCK).await?;
        rows.first().map(|row| clock_of(row).map_err(failed)).transpose()
    }
}

impl fmt::Debug for PostgresJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresJournal").field("schema", &self.schema.name()).finish_non_exhaustive()
    }
}

/// The entry whose tenant, tag and bytes stand from the column `at` on.
fn entry(row: &PgRow, at: usize, position: i64) -> Result<JournalEntry, JournalError> {
    let columns: (Vec<u8>, Vec<u8>, Vec<u8>) =
        read_row(row, |row| Ok((row.try_get(at)?, row.try_get(at + 1)?, row.try_get(at + 2)?)))?;
    let (tenant, tag, bytes) = columns;
    let entry = JournalEntry::from_bytes(&bytes).map_err(|_| damaged(position))?;
    let is_right = tenant == tenant_column(entry.tenant()) && tag == tag_column(entry.tag());
    if is_right { Ok(entry) } else { Err(damaged(position)) }
}

fn array<const N: usize>(row: &PgRow, at: usize) -> Result<[u8; N], JournalError> {
    read_row(row, |row| row.try_get(at))
}

fn read_row<T>(row: &PgRow, read: impl FnOnce(&PgRow) -> Result<T, sqlx::Error>) -> Result<T, JournalError> {
    read(row).map_err(failed)
}

/// As bytes: a name may hold what PostgreSQL's text can't. Empty where there is none.
fn tenant_column(tenant: Option<&TenantId>) -> &[u8] {
    tenant.map(TenantId::as_str).unwrap_or_default().as_bytes()
}

fn tag_column(tag: Option<&Tag>) -> &[u8] {
    tag.map_or(&[], |tag| tag.as_bytes())
}

/// A position that no journal has is behind all that it has.
fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn unsigned(position: i64) -> Result<u64, JournalError> {
    u64::try_from(position).map_err(|_| no_head())
}

fn no_head() -> JournalError {
    JournalError::corrupt("the head of the journal in PostgreSQL: put back a copy that has every entry")
}

fn damaged(position: i64) -> JournalError {
    JournalError::corrupt(format!(
        "entry {position} of the journal in PostgreSQL is missing, or isn't what was appended: put back a copy that has \
         every entry"
    ))
}

/// With the hash of the last entry, which must be the head's.
const HEAD: &str = "SELECT j.position, j.hash, e.hash FROM \"fieldseal\".journal j \
     LEFT JOIN \"fieldseal\".journal_entries e ON e.position = j.position";

/// Entries that a verification reads at a time.
const PAGE: usize = 1000;
