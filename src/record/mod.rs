//! The typed layer: [`Record`], [`Field`], [`Column`], [`RecordRef`], and sealing typed values with [`SubjectKeys`].
//!
//! Imports everything below it (`value`, `subject`, `envelope`, `id`, `error`); knows no port and no vault.

pub(crate) mod column;
mod field;
mod record_ref;
mod reseal;

pub use column::{Column, OptionalColumn};
pub use field::{Field, FieldSpec};
pub use record_ref::RecordRef;

use crate::envelope::FieldContext;
use crate::error::{Error, Result};
use crate::id::{Id, RecordIds};
use crate::subject::{Opener, Resealer, Sealer, SubjectKeys};
use crate::value::{Decoder, Plain, Plaintext, Sealed, plaintext::frame_of};

/// A row as it is stored: its personal fields sealed. Derived with `#[derive(Record)]`.
///
/// The macro also makes the row's plaintext twin ([`Record::Plain`]), a [`Field`] constant for each sealed field
/// (`Customer::EMAIL`), and [`HasSubject`](crate::HasSubject) for both where a field is marked `#[record(subject)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    note = "derive it: `#[derive(fieldseal::Record)]` with `#[record(schema = \"..\")]`"
)]
pub trait Record: Sized {
    /// The plaintext twin: the same fields, each sealed one a [`Plain`].
    type Plain;
    /// What names a record of this type: the type of its id, a tuple of several, or `()` if it is unbound.
    type Id: RecordIds;
    /// The name of the record type in every context. It outlives renames of the struct.
    const SCHEMA: &'static str;
    /// The purposes of its fields, without repeats.
    const PURPOSES: &'static [&'static str];

    /// Seals a whole record, with one draw of randomness.
    ///
    /// # Errors
    /// [`Error::WrongSubject`] if the record is another subject's than the keys; [`Error::InvalidInput`] if an id is a
    /// placeholder or a value can't be encoded; [`Error::KeysExpired`], [`Error::PurposeUnknown`],
    /// [`Error::PurposeErased`].
    fn seal(plain: Self::Plain, keys: &SubjectKeys) -> Result<Self>;

    /// Opens a whole record. To read one field, [`SubjectKeys::open`] exposes less.
    ///
    /// # Errors
    /// [`Error::WrongSubject`]; [`Error::Authentication`] if a value belongs elsewhere or was changed;
    /// [`Error::KeyNotHeld`] if one was sealed under a newer key: refresh the keys; [`Error::Malformed`],
    /// [`Error::UnknownFormat`], [`Error::KeysExpired`], [`Error::PurposeUnknown`], [`Error::PurposeErased`].
    fn open(&self, keys: &SubjectKeys) -> Result<Self::Plain>;

    /// Whether a field is to be [resealed](Record::reseal). Nothing is opened to tell, so it is not known whether the fields
    /// would open.
    ///
    /// # Errors
    /// [`Error::WrongSubject`]; [`Error::Authentication`] if a field names a key of another purpose, or one that is nobody's;
    /// [`Error::KeyNotHeld`], [`Error::KeysExpired`], [`Error::PurposeUnknown`], [`Error::PurposeErased`].
    fn needs_reseal(&self, keys: &SubjectKeys) -> Result<bool> {
        reseal::needs_reseal(self, keys)
    }

    /// Moves the fields whose key is older than the current one, or whose suite is another, to the current key: the same
    /// values in the same place with the same padding. Gives how many there were; for none, nothing is drawn.
    ///
    /// What is NULL stays so, and fields of another purpose than the record's that was erased stay as they are. What needs no
    /// move is not opened: a value under a newer key than the current one needs none.
    ///
    /// To lose no write of somebody else, write a column only where its old envelope still is (`UPDATE .. SET email = ?
    /// WHERE id = ? AND email = ?`), or lock the row before it is read (`SELECT .. FOR UPDATE`).
    ///
    /// # Errors
    /// Those of [`Record::open`], if a field that is to be moved can't be; and [`Error::Entropy`]. The row is then as it was.
    ///
    /// # Security
    /// What opens is moved. An older value of the same place that somebody put back is one of the current key from then on.
    fn reseal(&mut self, keys: &SubjectKeys) -> Result<u32> {
        reseal::reseal(self, keys)
    }

    /// Which of the ids names the subject, if one does: a [`RecordRef`] is made from the ids alone.
    #[doc(hidden)]
    const SUBJECT_AMONG_IDS: Option<usize> = None;

    /// Calls `each` with the ids of this record, in the order of the declaration.
    #[doc(hidden)]
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()>;

    /// Calls `visitor` with every sealed field, in the order of the declaration.
    #[doc(hidden)]
    fn each_field(visitor: &mut impl private::FieldVisitor<Self>);

    /// The subject that this record says it is about.
    #[doc(hidden)]
    fn owner(&self) -> Result<Option<Id<'_>>>;
}

impl SubjectKeys {
    /// Seals a value that is no field of a [`Record`].
    ///
    /// # Errors
    /// Those of [`SubjectKeys::seal_bytes`], and [`Error::InvalidInput`] if the value can't be encoded.
    pub fn seal_value<T: Plaintext>(&self, value: &Plain<T>, context: &FieldContext<'_>) -> Result<Sealed<T>> {
        let frame = frame_of(value.expose(), 0)?;
        let mut sealer = Sealer::new(self, context.schema(), context)?;
        sealer.seal(context.purpose_name(), context.field(), frame).map(Sealed::trusted)
    }

    /// Opens a value that [`seal_value`](Self::seal_value) sealed for the same context.
    ///
    /// # Errors
    /// Those of [`SubjectKeys::open_bytes`], and [`Error::Malformed`] if it is a value of another type.
    pub fn open_value<T: Plaintext>(&self, sealed: &Sealed<T>, context: &FieldContext<'_>) -> Result<Plain<T>> {
        let mut opener = Opener::new(self, context.schema(), context)?;
        let frame = opener.open(context.purpose_name(), context.field(), sealed.as_bytes())?;
        T::decode(Decoder::new(frame)?).map(Plain::new)
    }

    /// Moves a value that [`seal_value`](Self::seal_value) sealed for the same context to the current key; see
    /// [`reseal_bytes`](Self::reseal_bytes). `None` where there is nothing to do.
    ///
    /// # Errors
    /// Those of [`reseal_bytes`](Self::reseal_bytes). The value is not decoded, so not that it is of another type.
    ///
    /// # Security
    /// As of [`reseal_bytes`](Self::reseal_bytes).
    pub fn reseal_value<T>(&self, sealed: &Sealed<T>, context: &FieldContext<'_>) -> Result<Option<Sealed<T>>> {
        Ok(self.reseal_bytes(sealed.as_bytes(), context)?.map(Sealed::trusted))
    }

    /// Opens one field of a row.
    ///
    /// # Errors
    /// Those of [`Record::open`].
    pub fn open<R: Record, C: Column>(&self, row: &R, field: Field<R, C>) -> Result<C::Plain> {
        check_owner(row.owner()?, self)?;
        field.of(row).open_with(&mut Opener::new(self, R::SCHEMA, &IdsOf(row))?, field.spec())
    }

    /// Replaces one field of a row by a new value.
    ///
    /// The row is to be written anyway, so its other fields are [resealed](Record::reseal) in passing, under the same draw of
    /// randomness. Those that can't be (damaged, erased, of a key that isn't held) stay as they are. Nothing is lost where the
    /// changed column alone is written.
    ///
    /// # Errors
    /// Those of [`Record::seal`]; the row is then as it was.
    ///
    /// # Security
    /// As of [`Record::reseal`].
    pub fn change<R: Record, C: Column>(
        &self,
        row: &mut R,
        field: Field<R, C>,
        plain: impl Into<C::Plain>,
    ) -> Result<()> {
        check_owner(row.owner()?, self)?;
        let mut resealer = Resealer::new(self, R::SCHEMA, &IdsOf(&*row))?;
        *field.of_mut(row) = C::seal_with(plain.into(), resealer.sealer()?, field.spec())?;
        reseal::reseal_in_passing(row, &mut resealer);
        Ok(())
    }

    /// The record of this id, without a row in hand: for a `SELECT` or `UPDATE` of single columns.
    ///
    /// # Errors
    /// [`Error::KeysExpired`]; [`Error::InvalidInput`] if the id is a placeholder; [`Error::WrongSubject`] if the id names
    /// another subject than the keys'.
    ///
    /// # Security
    /// Where the subject is a field that is no id (an order's customer), only the row says whose it is: the caller answers for
    /// it. A value sealed under another person's keys is lost with that person's erasure.
    pub fn record_ref<'k, R: Record>(&'k self, id: &'k R::Id) -> Result<RecordRef<'k, R>> {
        RecordRef::new(self, id)
    }
}

/// A row must be of the keys' subject: sealed under another's keys it would be lost with that one's erasure.
pub(crate) fn check_owner(owner: Option<Id<'_>>, keys: &SubjectKeys) -> Result<()> {
    match owner {
        Some(owner) if owner.as_str() != keys.subject().as_str() => Err(Error::WrongSubject),
        _ => Ok(()),
    }
}

/// A row as the ids that it is bound to.
struct IdsOf<'a, R>(&'a R);

impl<R: Record> RecordIds for IdsOf<'_, R> {
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        self.0.each_id(each)
    }
}

/// What the derive macro's output calls. Not part of the public API: its version is the macro's.
#[doc(hidden)]
pub mod private {
    use super::check_owner;
    use crate::id::{Id, RecordIds};
    use crate::record::{Column, Field, OptionalColumn, Record};
    use crate::{Result, SubjectKeys};

    pub use super::reseal::FieldVisitor;
    pub use crate::subject::{Opener, Sealer};

    /// Seals the fields of one record.
    #[derive(Debug)]
    pub struct RecordSealer<'k>(Sealer<'k>);

    impl<'k> RecordSealer<'k> {
        pub fn new<R: Record>(
            keys: &'k SubjectKeys,
            owner: Option<Id<'_>>,
            ids: &(impl RecordIds + ?Sized),
        ) -> Result<Self> {
            check_owner(owner, keys)?;
            Sealer::new(keys, R::SCHEMA, ids).map(Self)
        }

        pub fn seal<R, C: Column>(&mut self, field: Field<R, C>, plain: C::Plain) -> Result<C> {
            C::seal_with(plain, &mut self.0, field.spec())
        }
    }

    /// Opens the fields of one record.
    #[derive(Debug)]
    pub struct RecordOpener<'k>(Opener<'k>);

    impl<'k> RecordOpener<'k> {
        pub fn new<R: Record>(keys: &'k SubjectKeys, row: &R) -> Result<Self> {
            check_owner(row.owner()?, keys)?;
            Opener::new(keys, R::SCHEMA, &super::IdsOf(row)).map(Self)
        }

        pub fn open<R, C: Column>(&mut self, field: Field<R, C>, row: &R) -> Result<C::Plain> {
            field.of(row).open_with(&mut self.0, field.spec())
        }
    }

    /// The field as it is: a bound that its type must meet, because its purpose can be erased without its record's.
    pub const fn of_other_purpose<R, C: OptionalColumn>(field: Field<R, C>) -> Field<R, C> {
        field
    }
}
