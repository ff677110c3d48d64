//! Resealing a table: every value that is under an older key, or of another suite, moves to its subject's current key.

use super::bound::{Bound, cell};
use super::map::TableMap;
use super::options::JobOptions;
use super::page::{RowJob, RowOwner, RowVerdict, must_be_held};
use super::run::{Observer, run};
use super::tally::{Tally, TroubleKind};
use crate::envelope::header::Envelope;
use crate::error::{Error, Result};
use crate::rows::{Row, RowSource};
use crate::subject::Resealer;
use crate::vault::Vault;

/// Moves every value of a table that is under an older key than its subject's current one, or of another suite, to that key:
/// the same value in the same place with the same padding. What is under the current key already costs a look at its key id;
/// running the job again changes nothing.
///
/// What the application writes meanwhile stays: a cell is replaced only where the old envelope still is.
///
/// # Errors
/// [`Error::InvalidInput`] if the map contradicts itself or the source; [`Error::Rows`], and those of the vault's ports:
/// what was resealed before stays so. Cells that can't be resealed don't end the job: they are in
/// [`PageDone::troubles`](super::PageDone::troubles). What the observer gives.
///
/// # Cancel safety
/// Can be called again, from the start or from the last checkpoint.
///
/// # Security
/// What opens is moved. An older value of the same place that somebody put back is one of the current key from then on.
pub async fn reseal(
    vault: &Vault,
    map: &TableMap,
    rows: &dyn RowSource,
    options: &JobOptions,
    observer: &mut dyn Observer,
) -> Result<Tally> {
    run(vault, map, rows, &Reseal, options, observer).await
}

struct Reseal;

impl RowJob for Reseal {
    type Out = ();
    type Item = ();

    fn name(&self) -> &'static str {
        "reseal"
    }

    fn judge(&self, row: &Row, bound: &Bound<'_>, owner: RowOwner<'_>, verdict: &mut RowVerdict<()>) {
        let resealer = |keys| Resealer::new(keys, bound.map.schema(), &owner.place.ids);
        let mut resealer = owner.keys.and_then(resealer);
        for field in &bound.fields {
            let old = match cell(row, field.column) {
                Ok(old) if old.is_null() => {
                    verdict.tally.empty += 1;
                    continue;
                }
                Ok(old) => old,
                Err(e) => return verdict.error(field, &e),
            };
            let mut reseal = || {
                let resealer = resealer.as_mut().map_err(|e| e.clone())?;
                let envelope = field.spec.form.read(old)?;
                let parsed = Envelope::parse(&envelope)?;
                must_be_held(resealer.keys().standing(&field.spec.purpose, &parsed)?)?;
                resealer.reseal(&field.spec.purpose, &field.spec.field, &envelope)
            };
            match reseal() {
                Ok(None) => verdict.tally.current += 1,
                Ok(Some(new)) => verdict.change(field.column, old, field.spec.form.write(new)),
                // What holds no envelope at all may be what is still to be adopted.
                Err(Error::Malformed) if field.spec.is_in_place() => verdict.fail(field, TroubleKind::InClear),
                Err(e) => verdict.error(field, &e),
            }
        }
    }
    /// They stay as they are: whose keys they are under is known to whoever named the subject when they were sealed.
    fn judge_of_nobody(&self, row: &Row, bound: &Bound<'_>, verdict: &mut RowVerdict<()>) {
        for field in &bound.fields {
            match cell(row, field.column) {
                Ok(old) if old.is_null() => verdict.tally.empty += 1,
                Ok(_) => verdict.tally.of_nobody += 1,
                Err(e) => return verdict.error(field, &e),
            }
        }
    }
}
