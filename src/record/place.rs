//! [`Place`]: one record by its id, for reading and writing single columns.

use std::fmt;
use std::marker::PhantomData;

use super::{Column, Field, Record};
use crate::error::Result;
use crate::subject::{Opener, Sealer, SubjectKeys};

/// The record of type `R` with a given id: opens and seals single columns of it without its row.
///
/// ```ignore
/// let mut place = keys.place::<Customer>(&id)?;
/// let email = place.open(Customer::EMAIL, &stored)?;
/// ```
pub struct Place<'k, R: Record> {
    keys: &'k SubjectKeys,
    id: &'k R::Id,
    opener: Opener<'k>,
    record: PhantomData<fn() -> R>,
}

impl<'k, R: Record> Place<'k, R> {
    pub(super) fn new(keys: &'k SubjectKeys, id: &'k R::Id) -> Result<Self> {
        Ok(Self { keys, id, opener: Opener::new(keys, R::SCHEMA, id)?, record: PhantomData })
    }

    /// Seals a value for a column, with a nonce of its own.
    ///
    /// # Errors
    /// Those of [`Record::seal`].
    pub fn seal<C: Column>(&self, field: Field<R, C>, plain: impl Into<C::Plain>) -> Result<C> {
        C::seal_with(plain.into(), &mut Sealer::new(self.keys, R::SCHEMA, self.id)?, field.spec())
    }

    /// Opens the value of a column.
    ///
    /// # Errors
    /// Those of [`Record::open`].
    pub fn open<C: Column>(&mut self, field: Field<R, C>, column: &C) -> Result<C::Plain> {
        column.open_with(&mut self.opener, field.spec())
    }
}

impl<R: Record> fmt::Debug for Place<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", R::SCHEMA)
    }
}
