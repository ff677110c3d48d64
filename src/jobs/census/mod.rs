//! The census: which keys the sealed values of the application's tables still name, and which of those nobody has any more.

mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(fuzzing)]
pub(crate) use text::read_body;

use super::bound::{Bound, BoundField, cell};
use super::checkpoint::Checkpoint;
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{RowJob, RowOwner, RowVerdict};
use super::run::{Observer, PageDone, run};
use super::tally::{Tally, TroubleKind};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::envelope::header::Envelope;
use crate::error::{Error, Result};
use crate::keys::ring::{HeldKey, KeyStanding, NotHeld};
use crate::rows::{Row, RowSource};
use crate::vault::{Shard, Unnamed, Vault};

/// Which keys the sealed values of the application's tables name.
///
/// Displays as text, which [`FromStr`](std::str::FromStr) reads: keep it from time to time, replaced as a whole, and
/// [`census`] goes on from there. It holds key ids and the cursor, so keep it as you keep ids of persons.
///
/// It takes about 60 bytes in memory for each key that is not the only one of its subject and purpose, and for each that
/// nobody has; the others are only counted.
#[derive(Clone, PartialEq, Eq)]
pub struct Census {
    started_at: Timestamp,
    tables: Vec<Checkpoint>,
    versions: BTreeMap<Version, Count>,
    /// Every key that may be retired some time, or is nobody's.
    keys: BTreeMap<KeyId, NamedKey>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct NamedKey {
    /// How many name it.
    rows: u64,
    is_held: bool,
}

/// How a key that is named stands to its subject's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyUse {
    /// It seals for its purpose now.
    Current,
    /// It did before: what names it is to be resealed.
    Older,
    /// It will, once its time has come.
    Newer,
    /// It was destroyed by an erasure, or is to be by one that is due or scheduled.
    Destroyed,
    /// Nobody has it: a restore of the key store lost it, or it was retired while something still named it.
    NotHeld,
    /// Rows whose subject column is NULL name it, so nobody knows whose it is: it is not retired.
    OfNobody,
}

/// Keys of one version of one purpose that one table names, over all subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionCount {
    /// The table.
    pub table: String,
    /// The purpose of the fields that name them.
    pub purpose: String,
    /// How they are used.
    pub usage: KeyUse,
    /// Line and version of the keys; none where nobody has them any more, or it isn't known whose they are.
    pub version: Option<(u32, u32)>,
    /// Cells that name one of them.
    pub cells: u64,
    /// Rows that name one of them.
    pub rows: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    table: String,
    purpose: String,
    usage: KeyUse,
    version: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    cells: u64,
    rows: u64,
}

/// Takes a census of a table, or goes on with one that was interrupted. Reads only, the rows and the subjects' keys.
///
/// One census may count several tables, one after the other; [`Census::unnamed`] asks which were counted to the end. The
/// census is consistent without standing still: a value that is resealed meanwhile is counted once, under the key that it
/// had when its row was read.
///
/// # Errors
/// Those of [`reseal`](super::reseal()). [`Error::InvalidInput`] if the census counted the same table by another map, or in
/// another number of shards: cells would be counted twice. `options.from` is not looked at: the census knows where it is.
///
/// # Cancel safety
/// Reads only. The census is as far as the pages that it reported.
pub async fn census(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    census: &mut Census,
    options: &JobOptions,
    observer: &mut dyn Observer<Census>,
) -> Result<Tally> {
    let (fingerprint, shard) = (map.fingerprint(), options.shard);
    census.check_takes(map, &fingerprint, shard)?;
    let is_this = |c: &Checkpoint| c.map == fingerprint && c.shard == shard;
    let at = census.tables.iter().position(is_this).unwrap_or_else(|| {
        census.tables.push(Checkpoint::start(NAME, fingerprint.clone(), shard));
        census.tables.len() - 1
    });
    let options = JobOptions { from: census.tables.get(at).cloned(), ..options.clone() };
    let mut counting = Counting { census, at, table: map.name(), observer };
    run(vault, map, rows, &CountKeys, &options, &mut counting).await
}

impl Census {
    /// Of nothing yet; it counts from now on.
    pub fn begin(vault: &Vault) -> Self {
        Self { started_at: vault.now(), tables: Vec::new(), versions: BTreeMap::new(), keys: BTreeMap::new() }
    }

    /// When it began: what was sealed since is in it or not.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Whether a table was counted to its end, all shards of it.
    pub fn is_complete(&self, map: &TableMap) -> bool {
        let fingerprint = map.fingerprint();
        let done = |c: &&Checkpoint| c.map == fingerprint && c.is_done();
        let shards = self.tables.iter().filter(done).map(|c| c.shard);
        let has = |index, count| shards.clone().any(|shard| (shard.index(), shard.count()) == (index, count));
        shards.clone().next().is_some_and(|first| (0..first.count()).all(|index| has(index, first.count())))
    }

    /// What was gone through so far, all tables and shards together.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.tables.iter().for_each(|table| sum += *table.tally());
        sum
    }

    /// What was counted, by table, purpose, standing and version.
    pub fn versions(&self) -> impl Iterator<Item = VersionCount> {
        self.versions.iter().map(|(Version { table, purpose, usage, version }, Count { cells, rows })| VersionCount {
            table: table.clone(),
            purpose: purpose.clone(),
            usage: *usage,
            version: *version,
            cells: *cells,
            rows: *rows,
        })
    }

    /// Keys that are named and that nobody has, with the number of rows that name each: what a restore lost.
    pub fn lost(&self) -> impl Iterator<Item = (&KeyId, u64)> {
        self.keys.iter().filter(|(_, key)| !key.is_held).map(|(id, key)| (id, key.rows))
    }

    /// How many rows name a key that is held and is not the only one of its subject and purpose; 0 if none does.
    pub fn rows_naming(&self, key: &KeyId) -> u64 {
        self.keys.get(key).map_or(0, |key| key.rows)
    }

    /// Adds what another process counted of the other shards.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if both counted the same shard of a table, or shards of different numbers of shards.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        let overlaps = |a: &Checkpoint, b: &Checkpoint| {
            a.map == b.map && (a.shard == b.shard || a.shard.count() != b.shard.count())
        };
        if other.tables.iter().any(|theirs| self.tables.iter().any(|mine| overlaps(mine, theirs))) {
            return Err(Error::invalid("both censuses counted the same shard of a table"));
        }
        self.started_at = self.started_at.min(other.started_at);
        self.tables.extend(other.tables);
        for (version, count) in other.versions {
            let sum = self.versions.entry(version).or_default();
            *sum = Count { cells: sum.cells + count.cells, rows: sum.rows + count.rows };
        }
        for (id, theirs) in other.keys {
            let key = self.keys.entry(id).or_insert(NamedKey { rows: 0, ..theirs });
            key.rows += theirs.rows;
            key.is_held |= theirs.is_held;
        }
        Ok(())
    }

    /// The word on which data key versions are retired ([`Vault::retire_versions_page`]): those that nothing named, and that
    /// stopped being current longer than the store's `max_age` and `grace` before this census began.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if one of `all`, the tables that hold sealed values, was not counted to its end; or if there are
    /// cells that could not be read ([`Tally::failed`]): nobody knows which keys they name.
    ///
    /// # Security
    /// A census knows the tables that it counted. What else holds sealed values (other tables, queues, exports,
    /// backups of the tables that may be restored) is lost with the key: `grace` must be longer than any of those lives.
    pub fn unnamed(&self, all: &[&TableMap], grace: Duration) -> Result<Unnamed> {
        if all.is_empty() {
            return Err(Error::invalid("name the tables that hold sealed values"));
        }
        if let Some(map) = all.iter().find(|map| !self.is_complete(map)) {
            return Err(Error::invalid(format!("the table {:?} was not counted to its end", map.name())));
        }
        let failed = self.tally().failed;
        if failed > 0 {
            return Err(Error::invalid(format!(
                "the census could not read all cells ({failed} failed), so it doesn't know every key that is named: mend those \
                 that it reported as troubles, or the map, and take it anew"
            )));
        }
        Ok(Unnamed::new(self.started_at, grace, self.keys.keys().copied()))
    }

    /// Refuses to count twice.
    fn check_takes(&self, map: &TableMap, fingerprint: &str, shard: Shard) -> Result<()> {
        let counted = || self.tables.iter().filter(|table| table.map == fingerprint);
        if counted().any(|table| table.shard.count() != shard.count()) {
            return Err(Error::invalid("the census counts this table in another number of shards: begin a new census"));
        }
        if counted().next().is_none() && self.versions.keys().any(|version| version.table == map.name()) {
            return Err(Error::invalid(format!(
                "the census counted the table {:?} when it was mapped otherwise: begin a new census",
                map.name()
            )));
        }
        Ok(())
    }

    fn count(&mut self, named: &Named, table: &str) {
        let version = match named.usage {
            KeyUse::Destroyed | KeyUse::NotHeld => None,
            _ => named.version,
        };
        let count = self
            .versions
            .entry(Version { table: table.to_owned(), purpose: named.purpose.clone(), usage: named.usage, version })
            .or_default();
        count.cells += named.cells;
        count.rows += 1;
        if !named.is_only {
            let key = NamedKey { rows: 0, is_held: named.usage != KeyUse::NotHeld };
            self.keys.entry(named.id).or_insert(key).rows += 1;
        }
    }
}

/// Adds each page to the census before it is reported.
struct Counting<'a> {
    census: &'a mut Census,
    at: usize,
    table: &'a str,
    observer: &'a mut dyn Observer<Census>,
}

#[async_trait]
impl Observer<Vec<Named>> for Counting<'_> {
    async fn page(&mut self, done: &PageDone, found: &Vec<Named>) -> Result<()> {
        for named in found {
            self.census.count(named, self.table);
        }
        if let Some(table) = self.census.tables.get_mut(self.at) {
            *table = done.checkpoint.clone();
        }
        self.observer.page(done, self.census).await
    }
}

/// A key that a row names.
struct Named {
    id: KeyId,
    purpose: String,
    usage: KeyUse,
    version: Option<(u32, u32)>,
    /// The subject has no other for the purpose, so it is never retired.
    is_only: bool,
    cells: u64,
}

struct CountKeys;

const NAME: &str = "census";

impl RowJob for CountKeys {
    type Out = Vec<Named>;
    type Item = Named;

    fn name(&self) -> &'static str {
        NAME
    }

    fn judge(&self, row: &Row, bound: &Bound<'_>, owner: RowOwner<'_>, verdict: &mut RowVerdict<Named>) {
        let standing = |field: &BoundField<'_>, envelope: &Envelope<'_>| {
            let keys = owner.keys.as_ref().map_err(Error::clone);
            keys.and_then(|keys| keys.standing(&field.spec.purpose, envelope))
        };
        named_in(row, bound, verdict, |field, envelope, verdict| use_of(field, standing(field, envelope), verdict));
    }

    /// Which keys it names is known, though not whose they are: none of them is retired.
    fn judge_of_nobody(&self, row: &Row, bound: &Bound<'_>, verdict: &mut RowVerdict<Named>) {
        named_in(row, bound, verdict, |_, _, verdict| {
            verdict.tally.of_nobody += 1;
            (KeyUse::OfNobody, None, false)
        });
    }
}

/// How a key is used, its line and version, and whether the subject has no other for the purpose.
type Usage = (KeyUse, Option<(u32, u32)>, bool);

/// Adds each key that a row names to what was found.
fn named_in(
    row: &Row,
    bound: &Bound<'_>,
    verdict: &mut RowVerdict<Named>,
    usage_of: impl Fn(&BoundField<'_>, &Envelope<'_>, &mut RowVerdict<Named>) -> Usage,
) {
    for field in &bound.fields {
        let cell = match cell(row, field.column) {
            Ok(cell) if cell.is_null() => {
                verdict.tally.empty += 1;
                continue;
            }
            Ok(cell) => cell,
            Err(e) => return verdict.error(field, &e),
        };
        let bytes = field.spec.form.read(cell);
        let (id, (usage, version, is_only)) =
            match bytes.as_ref().map_err(Error::clone).and_then(|b| Envelope::parse(b)) {
                Ok(envelope) => (envelope.key_id, usage_of(field, &envelope, verdict)),
                Err(Error::Malformed) if field.spec.is_in_place() => {
                    verdict.fail(field, TroubleKind::InClear);
                    continue;
                }
                Err(e) => {
                    verdict.error(field, &e);
                    continue;
                }
            };
        match verdict.found.iter_mut().find(|named| named.id == id && named.purpose == field.spec.purpose) {
            Some(named) => named.cells += 1,
            None => {
                let purpose = field.spec.purpose.clone();
                verdict.found.push(Named { id, purpose, usage, version, is_only, cells: 1 });
            }
        }
    }
}

fn use_of(field: &BoundField<'_>, standing: Result<KeyStanding>, verdict: &mut RowVerdict<Named>) -> Usage {
    match standing {
        Ok(KeyStanding::Held(HeldKey { order, line, version, is_only })) => {
            verdict.tally.current += 1;
            let usage = match order {
                std::cmp::Ordering::Less => KeyUse::Older,
                std::cmp::Ordering::Equal => KeyUse::Current,
                std::cmp::Ordering::Greater => KeyUse::Newer,
            };
            (usage, Some((line, version)), is_only)
        }
        Ok(KeyStanding::NotHeld(NotHeld::Destroyed { at })) => {
            verdict.error(field, &Error::PurposeErased { at });
            (KeyUse::Destroyed, None, true)
        }
        Ok(KeyStanding::NotHeld(NotHeld::Unknown | NotHeld::NoPurpose | NotHeld::Retired))
        | Err(Error::SubjectUnknown) => {
            verdict.not_held(field);
            (KeyUse::NotHeld, None, false)
        }
        // Here it opens nothing, but it is somebody's: whoever retires it must know.
        Ok(KeyStanding::NotHeld(NotHeld::OtherPurpose)) => {
            verdict.error(field, &Error::WrongPurpose);
            (KeyUse::Older, None, false)
        }
        // Where it is only due, or scheduled, whoever calls that off has the keys again: they are named.
        Err(e @ (Error::SubjectErased { .. } | Error::SubjectClosed { .. } | Error::TenantErased { .. })) => {
            verdict.error(field, &e);
            (KeyUse::Destroyed, None, false)
        }
        // The slot can't be read: its keys stay.
        Err(e) => {
            verdict.error(field, &e);
            (KeyUse::Older, None, false)
        }
    }
}

impl KeyUse {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Current, "current"),
        (Self::Older, "older"),
        (Self::Newer, "newer"),
        (Self::Destroyed, "destroyed"),
        (Self::NotHeld, "not-held"),
        (Self::OfNobody, "of-nobody"),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, n)| *n == name).map(|(usage, _)| usage)
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.into_iter().find(|(usage, _)| usage == self).map_or("", |(_, name)| name))
    }
}

/// Without key ids.
impl fmt::Debug for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Census")
            .field("started_at", &self.started_at)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}
