//! One page of a job: whose rows they are, their keys in one read, a verdict on each, and the changes in one write. Rows
//! that somebody else changed meanwhile are read and judged again.
//!
//! The keys are read after the rows, and past the cache: whatever a row named was in the key store by then, so a key that
//! isn't there is nobody's, and one that is there is the same for everybody.

use std::collections::HashMap;

use super::bound::{Bound, BoundField, RowPlace, cell};
use super::tally::{Tally, Trouble, TroubleKind};
use crate::error::{Error, Result, RowsError};
use crate::id::{SubjectId, TenantId};
use crate::keys::ring::{HeldKey, KeyStanding, NotHeld};
use crate::rows::{Cell, CellSwap, Row, RowKey, RowSource, Swap};
use crate::subject::SubjectKeys;
use crate::vault::{ATTEMPTS, KeyPage, Vault, is_of_one_slot};

/// What a job does with a row.
pub(super) trait RowJob: Sync {
    /// What it finds out, beside numbers.
    type Out: Default + Extend<Self::Item> + Send + Sync;
    type Item: Send;

    /// What its checkpoints are called after.
    fn name(&self) -> &'static str;

    /// Whether subjects that have no keys get some.
    fn enrolls(&self) -> bool {
        false
    }

    /// Judges a row: what becomes of each cell.
    fn judge(&self, row: &Row, bound: &Bound<'_>, owner: RowOwner<'_>, verdict: &mut RowVerdict<Self::Item>);

    /// Judges a row whose subject column is NULL, and that holds something.
    fn judge_of_nobody(&self, row: &Row, bound: &Bound<'_>, verdict: &mut RowVerdict<Self::Item>);
}

/// Whose row it is, and their keys, or why there are none.
pub(super) struct RowOwner<'a> {
    pub(super) place: &'a RowPlace<'a>,
    pub(super) keys: Result<&'a SubjectKeys>,
}

/// What is to become of a row.
pub(super) struct RowVerdict<I> {
    /// By which the row's trouble is reported.
    key: RowKey,
    /// None while nothing is to be changed, or looked at again.
    swap: Option<Swap>,
    pub(super) tally: Tally,
    pub(super) troubles: Vec<Trouble>,
    pub(super) found: Vec<I>,
    /// What no other row would fare better with.
    fatal: Option<Error>,
}

impl<I> RowVerdict<I> {
    fn new(row: &Row) -> Self {
        Self {
            key: row.key.clone(),
            swap: None,
            tally: Tally { rows: 1, ..Tally::default() },
            troubles: Vec::new(),
            found: Vec::new(),
            fatal: None,
        }
    }

    /// A cell is to be changed.
    pub(super) fn change(&mut self, column: usize, old: &Cell, new: Cell) {
        self.swap().cells.push(CellSwap { column, expected: old.clone(), new: Some(new) });
        self.tally.changed += 1;
    }

    /// Only if this cell, too, still holds that: said beside a [`change`](Self::change).
    pub(super) fn guard(&mut self, column: usize, old: &Cell) {
        self.swap().cells.push(CellSwap { column, expected: old.clone(), new: None });
    }

    fn swap(&mut self) -> &mut Swap {
        self.swap.get_or_insert_with(|| Swap::of(self.key.clone()))
    }

    /// A cell names a key that is not among the subject's, or its subject has none.
    pub(super) fn not_held(&mut self, field: &BoundField<'_>) {
        self.tally.not_held += 1;
        self.trouble(field, TroubleKind::NotHeld);
    }

    /// A cell needs a look.
    pub(super) fn fail(&mut self, field: &BoundField<'_>, kind: TroubleKind) {
        self.tally.failed += 1;
        self.trouble(field, kind);
    }

    /// The row as a whole needs a look.
    pub(super) fn fail_row(&mut self, kind: TroubleKind) {
        self.tally.failed += 1;
        self.troubles.push(Trouble { key: self.key.clone(), column: None, kind });
    }

    /// What an error means that a cell met, or the reading of its subject's keys.
    pub(super) fn error(&mut self, field: &BoundField<'_>, e: &Error) {
        match e {
            Error::KeyNotHeld | Error::SubjectUnknown | Error::PurposeUnknown => self.not_held(field),
            Error::SubjectErased { .. }
            | Error::SubjectClosed { .. }
            | Error::PurposeErased { .. }
            | Error::TenantErased { .. } => self.tally.erased += 1,
            Error::Authentication
            | Error::WrongPurpose
            | Error::Malformed
            | Error::UnknownFormat
            | Error::WrongType { .. }
            | Error::InvalidInput(_) => {
                self.fail(field, TroubleKind::Failed(e.clone()));
            }
            e if is_of_one_slot(e) => self.fail(field, TroubleKind::Failed(e.clone())),
            e => self.fatal = Some(e.clone()),
        }
    }

    fn trouble(&mut self, field: &BoundField<'_>, kind: TroubleKind) {
        let key = self.key.clone();
        self.troubles.push(Trouble { key, column: Some(field.spec.column.clone()), kind });
    }
}

/// Why a key is not held, told so that a key which nobody has is never taken for a damaged value: what opens nowhere is
/// `Authentication` to an application, whichever it is.
pub(super) fn must_be_held(standing: KeyStanding) -> Result<HeldKey> {
    match standing {
        KeyStanding::Held(held) => Ok(held),
        KeyStanding::NotHeld(NotHeld::Unknown | NotHeld::NoPurpose | NotHeld::Retired) => Err(Error::KeyNotHeld),
        KeyStanding::NotHeld(NotHeld::Destroyed { at }) => Err(Error::PurposeErased { at }),
        KeyStanding::NotHeld(NotHeld::OtherPurpose) => Err(Error::WrongPurpose),
    }
}

/// Whether the key that an envelope seems to name never was one of its subject's: in a column that holds plaintext until it is
/// sealed, that is text which only looks like an envelope.
pub(super) fn is_nobodys(standing: KeyStanding) -> bool {
    matches!(standing, KeyStanding::NotHeld(NotHeld::Unknown | NotHeld::NoPurpose))
}

/// Where a page is worked on.
pub(super) struct PageWorker<'a, J> {
    pub(super) vault: &'a Vault,
    pub(super) bound: &'a Bound<'a>,
    pub(super) rows: &'a dyn RowSource,
    pub(super) job: &'a J,
}

/// What a page came to.
#[derive(Default)]
pub(super) struct Worked<O> {
    pub(super) tally: Tally,
    pub(super) troubles: Vec<Trouble>,
    pub(super) out: O,
}

impl<J: RowJob> PageWorker<'_, J> {
    pub(super) async fn page(&self, mut rows: Vec<Row>) -> Result<Worked<J::Out>> {
        let mut worked = Worked::default();
        for _ in 0..ATTEMPTS {
            if rows.is_empty() {
                return Ok(worked);
            }
            let verdicts = match self.judge(&rows).await {
                Err(Error::KeysExpired) => continue, // somebody in this process changed a subject's keys meanwhile
                verdicts => verdicts?,
            };
            rows = self.settle(verdicts, &mut worked).await?;
        }
        for row in rows {
            worked.tally += Tally { rows: 1, failed: 1, ..Tally::default() };
            worked.troubles.push(Trouble { key: row.key, column: None, kind: TroubleKind::Contended });
        }
        Ok(worked)
    }

    /// Writes what is to be changed. Gives the rows that somebody else changed since they were read, as they are now.
    async fn settle(&self, mut verdicts: Vec<RowVerdict<J::Item>>, worked: &mut Worked<J::Out>) -> Result<Vec<Row>> {
        let swaps: Vec<Swap> = verdicts.iter_mut().filter_map(|verdict| verdict.swap.take()).collect();
        let swapped = if swaps.is_empty() { Vec::new() } else { self.rows.swap(&swaps).await? };
        let mut swapped = swaps.into_iter().zip(swapped);
        let mut again = Vec::new();
        for verdict in verdicts {
            let changes = verdict.tally.changed > 0;
            match changes.then(|| swapped.next()) {
                Some(Some((_, true))) | None => {}
                Some(Some((swap, false))) => {
                    again.push(swap.key);
                    continue;
                }
                Some(None) => {
                    return Err(RowsError::corrupt("the source answered fewer swaps than it was asked for").into());
                }
            }
            worked.tally += verdict.tally;
            worked.tally.rows_changed += u64::from(changes);
            worked.troubles.extend(verdict.troubles);
            worked.out.extend(verdict.found);
        }
        if again.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.rows.load(&again).await?.into_iter().flatten().collect())
    }

    async fn judge(&self, rows: &[Row]) -> Result<Vec<RowVerdict<J::Item>>> {
        let places: Vec<_> = rows.iter().map(|row| self.bound.place(row)).collect();
        let keys = Keys::read(self.vault, places.iter().flatten(), self.job.enrolls()).await?;
        let judge = |(row, place)| self.judge_row(row, place, &keys);
        let mut verdicts: Vec<_> = rows.iter().zip(&places).map(judge).collect();
        match verdicts.iter_mut().find_map(|verdict| verdict.fatal.take()) {
            Some(e) => Err(e),
            None => Ok(verdicts),
        }
    }

    fn judge_row(&self, row: &Row, place: &Result<RowPlace<'_>>, keys: &Keys) -> RowVerdict<J::Item> {
        let mut verdict = RowVerdict::new(row);
        if row.is_unreadable() {
            verdict.fail_row(TroubleKind::Unreadable);
            return verdict;
        }
        match place {
            Ok(place) => {
                self.job.judge(row, self.bound, RowOwner { place, keys: keys.of(place) }, &mut verdict);
            }
            // A row without a place is no trouble as long as it holds nothing.
            Err(_) if !self.holds_something(row) => verdict.tally.empty += self.bound.fields.len() as u64,
            Err(_) if self.bound.is_of_nobody(row) => self.job.judge_of_nobody(row, self.bound, &mut verdict),
            Err(e) => verdict.fail_row(TroubleKind::Failed(e.clone())),
        }
        verdict
    }

    fn holds_something(&self, row: &Row) -> bool {
        let columns = self.bound.fields.iter().flat_map(|field| [Some(field.column), field.from]).flatten();
        columns.into_iter().any(|at| cell(row, at).is_ok_and(|cell| !cell.is_null()))
    }
}

/// The keys of a page's subjects.
struct Keys(HashMap<TenantId, Result<KeyPage, Error>>);

impl Keys {
    /// One read of the key store a tenant. What is wrong with one tenant is the trouble of its rows.
    async fn read<'a>(vault: &Vault, places: impl Iterator<Item = &'a RowPlace<'a>>, enroll: bool) -> Result<Self> {
        let mut wanted: HashMap<&TenantId, Vec<SubjectId>> = HashMap::new();
        for place in places {
            wanted.entry(&place.tenant).or_default().push(place.subject.clone());
        }
        let mut keys = HashMap::with_capacity(wanted.len());
        for (tenant, subjects) in wanted {
            let read = match vault.tenant(tenant).keys_read_now(&subjects, enroll).await {
                Err(e) if !is_of_one_slot(&e) => return Err(e),
                read => read,
            };
            keys.insert(tenant.clone(), read);
        }
        Ok(Self(keys))
    }

    fn of(&self, place: &RowPlace<'_>) -> Result<&SubjectKeys> {
        match self.0.get(&place.tenant) {
            Some(Ok(page)) => page.get(&place.subject),
            Some(Err(e)) => Err(e.clone()),
            None => Err(Error::Bug("a row whose subject's keys were not read")),
        }
    }
}
