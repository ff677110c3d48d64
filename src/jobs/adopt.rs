//! Adopting a table whose columns are in the clear, while the application works on it: its plaintext is sealed into columns
//! of their own (or in place, as text), compared, and then removed.

use super::bound::{Bound, BoundField, cell};
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{RowJob, RowOwner, RowVerdict, is_nobodys, must_be_held};
use super::run::{Observer, run};
use super::tally::{Tally, TroubleKind};
use crate::envelope::frame;
use crate::envelope::header::{Envelope, HEADER_LEN};
use crate::error::{Error, Result};
use crate::rows::{Cell, Row, RowSource};
use crate::subject::{Opener, Sealer, SubjectKeys};
use crate::vault::Vault;

/// A step of adopting a table. `docs/jobs.md` says what the application does before and after each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Adoption {
    /// Every value in the clear is sealed beside it; one that is sealed already and differs (the application changed the
    /// plaintext) is sealed anew: while there is a plaintext, it is what counts. Subjects that have no keys are enrolled.
    Backfill,
    /// Nothing is written: what is not sealed, or differs from its plaintext, is [trouble](super::Trouble).
    Verify,
    /// Each plaintext that is sealed beside it becomes NULL; one that isn't, or differs, stays and is trouble.
    Contract,
}

/// Takes a step of adopting a table; the columns that hold plaintext are those of [`FieldMap::from`](super::FieldMap::from).
///
/// Whether a cell that holds plaintext or its envelope (`from` the column itself) is sealed already is decided by opening it:
/// text that only looks like an envelope is sealed like any other. One that names a key of the subject and doesn't open is
/// left alone: it was sealed for another place, or the map is wrong.
///
/// # Errors
/// Those of [`reseal`](super::reseal()). Cells that can't be adopted don't end the job: they are in
/// [`PageDone::troubles`](super::PageDone::troubles), and are counted as failed.
///
/// # Cancel safety
/// Can be called again, from the start or from the last checkpoint.
///
/// # Security
/// What is removed is gone from the table alone. The database's log, free pages, replicas and backups keep the plaintext until
/// they are overwritten, vacuumed or expire.
pub async fn adopt(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    step: Adoption,
    options: &JobOptions,
    observer: &mut dyn Observer,
) -> Result<Tally> {
    run(vault, map, rows, &Adopt(step), options, observer).await
}

struct Adopt(Adoption);

impl RowJob for Adopt {
    type Out = ();
    type Item = ();

    fn name(&self) -> &'static str {
        match self.0 {
            Adoption::Backfill => "adopt backfill",
            Adoption::Verify => "adopt verify",
            Adoption::Contract => "adopt contract",
        }
    }

    fn enrolls(&self) -> bool {
        self.0 == Adoption::Backfill
    }

    fn judge(&self, row: &Row, bound: &Bound<'_>, owner: RowOwner<'_>, verdict: &mut RowVerdict<()>) {
        let opener = |keys| Ok((keys, Opener::new(keys, bound.map.schema(), &owner.place.ids)?));
        let mut opener = owner.keys.and_then(opener);
        let mut sealer = None;
        for field in &bound.fields {
            let Some(from) = field.from else { continue };
            let (plain, sealed) = match (cell(row, from), cell(row, field.column)) {
                (Ok(plain), Ok(sealed)) => (plain, sealed),
                (Err(e), _) | (_, Err(e)) => return verdict.error(field, &e),
            };
            if plain.is_null() {
                verdict.tally.empty += 1;
                continue;
            }
            let standing = match &mut opener {
                Ok((keys, opener)) => standing(field, plain, sealed, keys, opener),
                Err(e) => Err(e.clone()),
            };
            let in_place = field.spec.is_in_place();
            match (self.0, standing) {
                (Adoption::Contract, Ok(Standing::Sealed)) if !in_place => {
                    verdict.guard(field.column, sealed);
                    verdict.change(from, plain, Cell::Null);
                }
                (_, Ok(Standing::Sealed)) => verdict.tally.current += 1,
                (Adoption::Backfill, Ok(Standing::InClear | Standing::Differs)) => {
                    let mut seal = || {
                        let (keys, _) = opener.as_ref().map_err(Error::clone)?;
                        let frame = field.spec.ty.frame(plain, field.spec.pad)?;
                        let sealer = match &mut sealer {
                            Some(sealer) => sealer,
                            none => none.insert(Sealer::new(keys, bound.map.schema(), &owner.place.ids)?),
                        };
                        sealer.seal(&field.spec.purpose, &field.spec.field, frame)
                    };
                    match seal() {
                        Ok(envelope) => {
                            if !in_place {
                                verdict.guard(from, plain);
                            }
                            verdict.change(field.column, sealed, field.spec.form.write(envelope));
                        }
                        Err(e) => stays_in_clear(field, &e, verdict),
                    }
                }
                (_, Ok(standing)) => match opener.as_ref().map(|(keys, _)| keys.check_for_sealing(&field.spec.purpose))
                {
                    // No backfill will ever seal it.
                    Ok(Err(e @ Error::PurposeErased { .. })) => stays_in_clear(field, &e, verdict),
                    _ if matches!(standing, Standing::Differs) => verdict.fail(field, TroubleKind::Differs),
                    _ => verdict.fail(field, TroubleKind::InClear),
                },
                // A value that is sealed in place and erased is as it is to be.
                (_, Err(e)) if in_place && field.spec.form.read(plain).is_ok() => verdict.error(field, &e),
                (_, Err(e)) => stays_in_clear(field, &e, verdict),
            }
        }
    }
    /// What stands there in the clear stays so: nobody knows under whose keys to seal it.
    fn judge_of_nobody(&self, row: &Row, bound: &Bound<'_>, verdict: &mut RowVerdict<()>) {
        for field in &bound.fields {
            let Some(from) = field.from else { continue };
            match cell(row, from) {
                Ok(plain) if plain.is_null() => verdict.tally.empty += 1,
                Ok(plain) if field.spec.is_in_place() && field.spec.holds_envelope(plain) => {
                    verdict.tally.of_nobody += 1
                }
                Ok(_) => verdict.fail(field, TroubleKind::OfNobody),
                Err(e) => return verdict.error(field, &e),
            }
        }
    }
}

/// A plaintext that can't be sealed.
fn stays_in_clear(field: &BoundField<'_>, e: &Error, verdict: &mut RowVerdict<()>) {
    match e {
        Error::SubjectErased { .. } | Error::PurposeErased { .. } | Error::TenantErased { .. } => {
            verdict.fail(field, TroubleKind::ErasedInClear);
        }
        // Nobody was enrolled for it yet; after a backfill, because the vault doesn't declare the purpose. Or the subject is
        // closed: whether it is erased, or opened again, is not said yet.
        Error::SubjectUnknown | Error::KeyNotHeld | Error::SubjectClosed { .. } => {
            verdict.fail(field, TroubleKind::InClear);
        }
        Error::PurposeUnknown => verdict.fail(field, TroubleKind::Failed(e.clone())),
        e => verdict.error(field, e),
    }
}

/// How a plaintext cell and its sealed one stand to each other.
enum Standing {
    /// The sealed one holds the plaintext; or the cell itself is sealed.
    Sealed,
    /// There is no sealed one.
    InClear,
    /// The sealed one holds something else, or doesn't open: the plaintext is what counts.
    Differs,
}

fn standing(
    field: &BoundField<'_>,
    plain: &Cell,
    sealed: &Cell,
    keys: &SubjectKeys,
    opener: &mut Opener<'_>,
) -> Result<Standing> {
    let spec = field.spec;
    if sealed.is_null() {
        return Ok(Standing::InClear);
    }
    let envelope = spec.form.read(sealed);
    let parsed = envelope.as_ref().map_err(Error::clone).and_then(|bytes| Envelope::parse(bytes));
    let (Ok(envelope), Ok(parsed)) = (&envelope, parsed) else {
        return if spec.is_in_place() { Ok(Standing::InClear) } else { Ok(Standing::Differs) };
    };
    let standing = keys.standing(&spec.purpose, &parsed)?;
    if spec.is_in_place() && is_nobodys(standing) {
        return Ok(Standing::InClear);
    }
    match must_be_held(standing).and_then(|_| opener.open(&spec.purpose, &spec.field, envelope)) {
        Ok(_) if spec.is_in_place() => Ok(Standing::Sealed),
        Ok(opened) => {
            let expected = spec.ty.frame(plain, spec.pad)?.finish()?;
            let expected = expected.as_slice().get(HEADER_LEN..).ok_or(Error::Bug("a frame without its header"))?;
            Ok(if same_value(opened.as_slice(), expected)? { Standing::Sealed } else { Standing::Differs })
        }
        Err(e) if spec.is_in_place() => Err(e),
        Err(e @ (Error::PurposeErased { .. } | Error::PurposeUnknown)) => Err(e),
        Err(Error::Authentication | Error::WrongPurpose | Error::Malformed | Error::KeyNotHeld) => {
            Ok(Standing::Differs)
        }
        Err(e) => Err(e),
    }
}

/// Whether two frames hold the same value, of the same kind, however they are padded.
fn same_value(a: &[u8], b: &[u8]) -> Result<bool> {
    let (a_is, b_is) = (frame::parse(a)?, frame::parse(b)?);
    Ok(a_is == b_is && a.get(..a_is.1) == b.get(..b_is.1))
}
