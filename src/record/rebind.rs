//! Moving the values of a row, and telling whether they are where they belong.

use super::record_ref::{IdsIn, check_owner_in};
use super::reseal::{or_erased, replace};
use super::{Column, Field, IdsOf, Record, check_owner};
use crate::envelope::frame::Frame;
use crate::error::Result;
use crate::record::private::FieldVisitor;
use crate::subject::{Opener, Sealer, SubjectKeys};

/// Opens every field; the error of the first that doesn't.
pub(super) fn verify<R: Record>(row: &R, keys: &SubjectKeys) -> Result<()> {
    struct Verifying<'a, 'k, R> {
        row: &'a R,
        opener: Opener<'k>,
        verified: Result<()>,
    }
    impl<R: Record> FieldVisitor<R> for Verifying<'_, '_, R> {
        fn visit<C: Column>(&mut self, field: Field<R, C>) {
            if self.verified.is_ok() {
                self.verified = field.open(field.of(self.row), &mut self.opener).map(drop);
            }
        }
    }
    check_owner(&row.owner()?, keys)?;
    let opener = Opener::new(keys, R::SCHEMA, &IdsOf(row))?;
    let mut verifying = Verifying { row, opener, verified: Ok(()) };
    R::each_field(&mut verifying);
    verifying.verified
}

/// To another id of the same record type.
pub(super) fn rebind<R: Record>(row: &mut R, id: R::Id, keys: &SubjectKeys) -> Result<()> {
    check_owner(&row.owner()?, keys)?;
    check_owner_in::<R>(&id, keys)?;
    let opener = Opener::new(keys, R::SCHEMA, &IdsOf(&*row))?;
    let sealer = Sealer::new(keys, R::SCHEMA, &IdsIn::<R>(&id))?;
    let envelopes = envelopes(row, opener, sealer)?;
    replace(row, envelopes);
    row.set_id(id);
    Ok(())
}

/// From another schema.
pub(super) fn rebind_from<R: Record>(row: &mut R, schema: &str, keys: &SubjectKeys) -> Result<()> {
    check_owner(&row.owner()?, keys)?;
    let opener = Opener::new(keys, schema, &IdsOf(&*row))?;
    let sealer = Sealer::new(keys, R::SCHEMA, &IdsOf(&*row))?;
    let envelopes = envelopes(row, opener, sealer)?;
    replace(row, envelopes);
    Ok(())
}

/// Every field's value, opened in one place and sealed for the other. It is not decoded: its frame goes from one wiping buffer
/// to another. None for what is NULL or erased.
fn envelopes<R: Record>(row: &R, opener: Opener<'_>, sealer: Sealer<'_>) -> Result<Vec<Option<Vec<u8>>>> {
    struct Moving<'a, 'k, R> {
        row: &'a R,
        opener: Opener<'k>,
        sealer: Sealer<'k>,
        envelopes: Vec<Result<Option<Vec<u8>>>>,
    }
    impl<R: Record> FieldVisitor<R> for Moving<'_, '_, R> {
        fn visit<C: Column>(&mut self, field: Field<R, C>) {
            let (column, spec) = (field.of(self.row), field.spec());
            let moved = column.envelope().map(|envelope| {
                let frame = Frame::again(self.opener.open(spec.purpose(), spec.name(), envelope)?.as_slice())?;
                self.sealer.seal(spec.purpose(), spec.name(), frame).map(Some)
            });
            let moved = or_erased(moved.unwrap_or(Ok(None)), spec).map_err(|e| field.failed(e));
            self.envelopes.push(moved);
        }
    }
    let mut moving = Moving { row, opener, sealer, envelopes: Vec::new() };
    R::each_field(&mut moving);
    moving.envelopes.into_iter().collect()
}
