//! What names a row and its subject: [`SubjectField`], and what the derive macro says of both.

use crate::error::{Error, Result};
use crate::id::{Id, SubjectId, ToId, ToIdOrZero};
use crate::record::Record;

/// The type of a field that names the subject of a row: an id, or an `Option` of one that is `None` until it is known whose the row is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't name a subject",
    note = "ids are text, integers or UUIDs (feature `uuid`), or an `Option` of one; implement `fieldseal::id::ToId` for a \
            type of your own"
)]
pub trait SubjectField {
    /// The type of the id.
    type Id: ToId;

    /// Whether the column may be NULL.
    const NULLABLE: bool;

    /// The id; none where the column is NULL.
    fn subject_id(&self) -> Option<&Self::Id>;
}

impl<T: ToId> SubjectField for T {
    type Id = T;

    const NULLABLE: bool = false;

    fn subject_id(&self) -> Option<&T> {
        Some(self)
    }
}

impl<T: ToId> SubjectField for Option<T> {
    type Id = T;

    const NULLABLE: bool = true;

    fn subject_id(&self) -> Option<&T> {
        self.as_ref()
    }
}

/// Whose a row says it is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Owner<'a> {
    /// It never says: the record is of any subject.
    Any,
    /// Nobody's yet: its subject column is NULL.
    Nobody,
    /// This subject's.
    Subject {
        /// What it is.
        kind: &'static str,
        /// Which one.
        id: Id<'a>,
    },
}

impl<'a> Owner<'a> {
    /// The subject that a column names.
    ///
    /// # Errors
    /// Those of [`ToId::to_id`].
    pub fn of(kind: &'static str, column: &'a impl SubjectField) -> Result<Self> {
        Ok(match column.subject_id() {
            Some(id) => Self::Subject { kind, id: id.to_id()? },
            None => Self::Nobody,
        })
    }
}

/// The subject of a row, in this column of it.
///
/// # Errors
/// [`Error::InvalidInput`] where it is NULL; those of [`Record::subject_of`].
pub fn subject_in<R: Record<Subject = C::Id>, C: SubjectField>(column: &C) -> Result<SubjectId> {
    let nobody = || Error::invalid("the row names nobody yet, because its subject column is NULL: pass the subject");
    R::subject_of(column.subject_id().ok_or_else(nobody)?)
}

/// A field that is an id of the record.
#[derive(Clone, Copy, Debug)]
pub struct IdSpec {
    /// What the ids are as text.
    pub(super) form: &'static str,
    /// The integer 0 is an id like any other.
    pub(super) zero: bool,
    /// It names the subject, too.
    pub(super) subject: bool,
}

impl IdSpec {
    /// What the derive macro calls.
    pub const fn of<T: ToId>(zero: bool, subject: bool) -> Self {
        Self { form: T::FORM, zero, subject }
    }
}

/// A field that names the subject, and is no id.
#[derive(Clone, Copy, Debug)]
pub struct SubjectSpec {
    pub(super) name: &'static str,
    /// What the ids are as text.
    pub(super) form: &'static str,
    pub(super) nullable: bool,
}

impl SubjectSpec {
    /// What the derive macro calls.
    pub const fn of<C: SubjectField>(name: &'static str) -> Self {
        Self { name, form: <C::Id as ToId>::FORM, nullable: C::NULLABLE }
    }
}

/// An id of which 0 is one.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "the derive macro's output makes it")]
pub struct OrZero<'a, T>(pub &'a T);

impl<T: ToIdOrZero> ToId for OrZero<'_, T> {
    fn to_id(&self) -> Result<Id<'_>> {
        self.0.to_id_or_zero()
    }
}
