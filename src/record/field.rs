//! [`Field`]: one sealed field of a record type.

use std::fmt;

use super::{Column, Record};
use crate::error::{Error, Result};
use crate::subject::{Opener, Sealer};

/// A sealed field of a record, as the constant that the derive macro makes of it: `Customer::EMAIL`.
pub struct Field<R, C> {
    spec: FieldSpec,
    get: fn(&R) -> &C,
    get_mut: fn(&mut R) -> &mut C,
}

/// What a field's values are bound to, beside their record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    name: &'static str,
    purpose: &'static str,
    pad: usize,
    /// Its purpose is another than the record's: once that is erased, it reads as `None`.
    of_other_purpose: bool,
}

impl<R, C> Field<R, C> {
    /// What the derive macro calls.
    #[doc(hidden)]
    pub const fn new(spec: FieldSpec, get: fn(&R) -> &C, get_mut: fn(&mut R) -> &mut C) -> Self {
        Self { spec, get, get_mut }
    }

    /// What its values are bound to.
    pub const fn spec(&self) -> &FieldSpec {
        &self.spec
    }

    pub(crate) fn of(self, row: &R) -> &C {
        (self.get)(row)
    }

    pub(crate) fn of_mut(self, row: &mut R) -> &mut C {
        (self.get_mut)(row)
    }
}

/// Errors name the field.
impl<R: Record, C: Column> Field<R, C> {
    pub(crate) fn seal(self, plain: &C::Plain, sealer: &mut Sealer<'_>) -> Result<C> {
        C::seal_with(plain, sealer, &self.spec).map_err(|e| self.failed(e))
    }

    pub(crate) fn open(self, column: &C, opener: &mut Opener<'_>) -> Result<C::Plain> {
        column.open_with(opener, &self.spec).map_err(|e| self.failed(e))
    }

    pub(crate) fn failed(self, e: Error) -> Error {
        e.in_field(R::SCHEMA, self.spec.name)
    }
}

impl FieldSpec {
    /// What the derive macro calls.
    #[doc(hidden)]
    pub const fn new(name: &'static str, purpose: &'static str, pad: usize, of_other_purpose: bool) -> Self {
        Self { name, purpose, pad, of_other_purpose }
    }

    /// The field's name in the context. It outlives renames of the struct's field.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the field is held for.
    pub const fn purpose(&self) -> &'static str {
        self.purpose
    }

    /// Values are padded to a multiple of so many bytes; 0 where they aren't.
    pub const fn pad(&self) -> usize {
        self.pad
    }

    pub(crate) const fn is_of_other_purpose(&self) -> bool {
        self.of_other_purpose
    }
}

impl<R, C> Clone for Field<R, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, C> Copy for Field<R, C> {}

impl<R, C> fmt::Debug for Field<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.spec).finish()
    }
}
