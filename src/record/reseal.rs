//! Resealing rows: what each sealed field of one has in common, whatever its type, is its envelope.

use super::{Column, Field, FieldSpec, IdsOf, Record, check_owner};
use crate::error::{Error, Result};
use crate::subject::{Resealer, SubjectKeys};

/// Does something with each sealed field of a record type.
pub trait FieldVisitor<R> {
    /// Called with each field, in the order of the declaration.
    fn visit<C: Column>(&mut self, field: Field<R, C>);
}

/// Whether a field of the row is to be moved; an error of any field, whatever the others say.
pub(super) fn needs_reseal<R: Record>(row: &R, keys: &SubjectKeys) -> Result<bool> {
    struct Judging<'a, R> {
        row: &'a R,
        keys: &'a SubjectKeys,
        needs: Result<bool>,
    }
    impl<R: Record> FieldVisitor<R> for Judging<'_, R> {
        fn visit<C: Column>(&mut self, field: Field<R, C>) {
            let (Ok(before), Some(envelope)) = (&self.needs, field.of(self.row).envelope()) else { return };
            let needs = self.keys.needs_reseal(Some(field.spec().purpose()), envelope);
            self.needs = or_erased(needs, field.spec()).map(|needs| needs | before).map_err(|e| field.failed(e));
        }
    }
    check_owner(&row.owner()?, keys)?;
    // Also of a row whose fields are all NULL.
    if keys.expired() {
        return Err(Error::KeysExpired);
    }
    let mut judging = Judging { row, keys, needs: Ok(false) };
    R::each_field(&mut judging);
    judging.needs
}

/// Moves what is to be moved, or on an error nothing; gives how many fields it moved.
pub(super) fn reseal<R: Record>(row: &mut R, keys: &SubjectKeys) -> Result<u32> {
    check_owner(&row.owner()?, keys)?;
    let mut resealer = Resealer::new(keys, R::SCHEMA, &IdsOf(&*row))?;
    let envelopes = envelopes(row, &mut resealer).into_iter().collect::<Result<Vec<_>>>()?;
    Ok(replace(row, envelopes))
}

/// Moves what can be moved of a row that is written for another reason.
pub(super) fn reseal_in_passing<R: Record>(row: &mut R, resealer: &mut Resealer<'_>) {
    let envelopes = envelopes(row, resealer).into_iter().map(|envelope| envelope.ok().flatten()).collect();
    replace(row, envelopes);
}

/// The column under the current key; `None` where there is nothing to do.
pub(super) fn reseal_column<R: Record, C: Column>(
    column: &C,
    resealer: &mut Resealer<'_>,
    field: Field<R, C>,
) -> Result<Option<C>> {
    Ok(envelope(column, resealer, field)?.map(C::of_envelope))
}

fn envelope<R: Record, C: Column>(
    column: &C,
    resealer: &mut Resealer<'_>,
    field: Field<R, C>,
) -> Result<Option<Vec<u8>>> {
    let (Some(old), spec) = (column.envelope(), field.spec()) else { return Ok(None) };
    or_erased(resealer.reseal(spec.purpose(), spec.name(), old), spec).map_err(|e| field.failed(e))
}

/// Nothing is to be done about what reads as `None` because its purpose was erased.
pub(super) fn or_erased<T: Default>(result: Result<T>, spec: &FieldSpec) -> Result<T> {
    match result {
        Err(Error::PurposeErased { .. }) if spec.is_of_other_purpose() => Ok(T::default()),
        result => result,
    }
}

/// What becomes of each field, in their order.
fn envelopes<R: Record>(row: &R, resealer: &mut Resealer<'_>) -> Vec<Result<Option<Vec<u8>>>> {
    struct Resealing<'a, 'k, R> {
        row: &'a R,
        resealer: &'a mut Resealer<'k>,
        envelopes: Vec<Result<Option<Vec<u8>>>>,
    }
    impl<R: Record> FieldVisitor<R> for Resealing<'_, '_, R> {
        fn visit<C: Column>(&mut self, field: Field<R, C>) {
            self.envelopes.push(envelope(field.of(self.row), self.resealer, field));
        }
    }
    let mut resealing = Resealing { row, resealer, envelopes: Vec::new() };
    R::each_field(&mut resealing);
    resealing.envelopes
}

/// Puts the new envelopes in the place of the old ones. Nothing can fail, so no row is left half of each.
pub(super) fn replace<R: Record>(row: &mut R, envelopes: Vec<Option<Vec<u8>>>) -> u32 {
    struct Replacing<'a, R> {
        row: &'a mut R,
        envelopes: std::vec::IntoIter<Option<Vec<u8>>>,
        replaced: u32,
    }
    impl<R: Record> FieldVisitor<R> for Replacing<'_, R> {
        fn visit<C: Column>(&mut self, field: Field<R, C>) {
            if let Some(envelope) = self.envelopes.next().flatten() {
                *field.of_mut(self.row) = C::of_envelope(envelope);
                self.replaced += 1;
            }
        }
    }
    let mut replacing = Replacing { row, envelopes: envelopes.into_iter(), replaced: 0 };
    R::each_field(&mut replacing);
    replacing.replaced
}
