//! The typed layer: [`Record`], [`Field`], [`Column`], [`RecordRef`], and sealing typed values with [`SubjectKeys`].
//!
//! Imports everything below it (`value`, `subject`, `envelope`, `id`, `error`); knows no port and no vault.

pub(crate) mod column;
mod describe;
mod field;
mod owner;
mod rebind;
mod record_ref;
mod reseal;

use std::borrow::Borrow;

pub use column::{Column, OptionalColumn};
pub use describe::describe;
pub use field::{Field, FieldSpec};
pub use record_ref::RecordRef;

use owner::Owner;

use crate::envelope::FieldContext;
use crate::error::{Error, Result};
use crate::id::{Id, RecordIds, SubjectId, ToId};
use crate::subject::{Opener, Resealer, Sealer, SubjectKeys};
use crate::value::plaintext::{frame_of, value_of};
use crate::value::{Plain, Plaintext, Sealed};

/// A row as it is stored: its personal fields sealed. Derived with `#[derive(Record)]`.
///
/// The macro also makes the row's plaintext twin ([`Record::Plain`]), a [`Field`] constant for each sealed field
/// (`Customer::EMAIL`), and [`HasSubject`](crate::HasSubject) for both.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a record",
    note = "derive it: `#[derive(fieldseal::Record)]` with `#[record(schema = \"..\")]`"
)]
pub trait Record: Sized {
    /// The plaintext twin: the same fields, each sealed one a [`Plain`].
    type Plain;
    /// What names a record of this type: the type of its id, a tuple of several, or `()` if it is unbound.
    type Id: RecordIds;
    /// What names a subject of this type's records: the type of its id, or `()` if the record doesn't say whose it is.
    type Subject;
    /// The name of the record type in every context. It outlives renames of the struct.
    const SCHEMA: &'static str;
    /// The purposes of its fields, without repeats.
    const PURPOSES: &'static [&'static str];
    /// The kind of its subjects; none where it doesn't say whose it is (`#[record(any_subject)]`).
    const SUBJECT_KIND: Option<&'static str>;

    /// The subject of this record's kind with this id. Of a subject that is text, a `&str` will do.
    ///
    /// ```
    /// use fieldseal::{Record, Sealed, SubjectId};
    ///
    /// #[derive(Record)]
    /// #[record(schema = "order")]
    /// struct Order {
    ///     #[record(id)]
    ///     number: i64,
    ///     #[record(subject = "customer")]
    ///     customer: Option<String>,
    ///     note: Sealed<String>,
    /// }
    ///
    /// assert_eq!(Order::subject_of("ada")?, SubjectId::new("customer", "ada")?);
    /// # Ok::<(), fieldseal::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a placeholder, and for an id that is too long.
    fn subject_of<Q: ToId + ?Sized>(id: &Q) -> Result<SubjectId>
    where
        Self::Subject: Borrow<Q>,
    {
        let kind = Self::SUBJECT_KIND.ok_or_else(|| Error::Bug("a record of a subject, and of no kind"))?;
        SubjectId::new(kind, id)
    }

    /// Seals a whole record, with one draw of randomness. The twin stays with the caller: for another try with fresh keys, and
    /// to be dropped, which wipes it.
    ///
    /// # Errors
    /// [`Error::WrongSubject`] and [`Error::WrongSubjectKind`] if the record is another subject's than the keys;
    /// [`Error::InvalidInput`] if its subject column is NULL ([`seal_for`](Self::seal_for)), an id is a placeholder or a value
    /// can't be encoded; [`Error::KeysExpired`], [`Error::PurposeUnknown`], [`Error::PurposeErased`].
    fn seal(plain: &Self::Plain, keys: &SubjectKeys) -> Result<Self> {
        Self::seal_owned(plain, keys, None)
    }

    /// [`seal`](Self::seal) for a subject that is named besides: what a row needs whose subject column is NULL still (a guest's
    /// order, until they register). It opens with the keys of the subject that is named here, whatever kind that is of, and
    /// with no others.
    ///
    /// Once the column has an id, the row is that one's: open it before, and seal it anew. While it is NULL, nobody finds the
    /// row by its subject: no access request (`jobs::reveal_subject`), and no other job.
    ///
    /// # Errors
    /// Those of [`seal`](Self::seal), but for a subject column that is NULL; [`Error::WrongSubject`] and
    /// [`Error::WrongSubjectKind`] also if the keys are another subject's than the one that is named.
    fn seal_for(plain: &Self::Plain, keys: &SubjectKeys, subject: &SubjectId) -> Result<Self> {
        Self::seal_owned(plain, keys, Some(subject))
    }

    /// Opens a whole record. To read one field, [`SubjectKeys::open`] exposes less.
    ///
    /// # Errors
    /// [`Error::WrongSubject`], [`Error::WrongSubjectKind`]; [`Error::Authentication`] if a value belongs elsewhere or was
    /// changed; [`Error::WrongPurpose`] if it was sealed for another purpose; [`Error::KeyNotHeld`] if it was sealed under a
    /// newer key: refresh the keys; [`Error::WrongType`] if it is of another kind than the field's type reads;
    /// [`Error::Malformed`], [`Error::UnknownFormat`], [`Error::KeysExpired`], [`Error::PurposeUnknown`],
    /// [`Error::PurposeErased`]. An error of a field is in an [`Error::Field`], which names it.
    fn open(&self, keys: &SubjectKeys) -> Result<Self::Plain>;

    /// Whether every field opens here: opens them all, as [`open`](Self::open) does, and keeps nothing.
    ///
    /// A [`Sealed`] that was assigned from another field, row or person compiles, and opens nowhere any more. So call this in
    /// tests, or in a `debug_assert!`, of what moves values about; better, move them with [`SubjectKeys::copy`] and
    /// [`rebind`](Self::rebind).
    ///
    /// # Errors
    /// Those of [`open`](Self::open), of the first field that doesn't.
    fn verify(&self, keys: &SubjectKeys) -> Result<()> {
        rebind::verify(self, keys)
    }

    /// Moves the row to another id: every value is sealed anew for it, with the same padding, and the row gets it. Write it as
    /// a new row, and delete the old one in the same transaction.
    ///
    /// What is NULL stays so, and fields of another purpose than the record's that was erased stay unreadable.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) but [`Error::WrongType`], and of [`seal`](Self::seal); [`Error::WrongSubject`] also if the
    /// new id names another person than the keys: to give a row to somebody else, open it with the keys of the one and seal
    /// the twin with those of the other. The row is then as it was.
    fn rebind(&mut self, id: Self::Id, keys: &SubjectKeys) -> Result<()> {
        rebind::rebind(self, id, keys)
    }

    /// Moves the row's values from another schema to this record's: every value is sealed anew. For a schema that was renamed,
    /// and rows that were sealed under its old name.
    ///
    /// ```
    /// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
    /// #[derive(Record)]
    /// #[record(schema = "client")]
    /// struct Client {
    ///     #[record(id, subject = "customer")]
    ///     id: i64,
    ///     email: Sealed<String>,
    /// }
    ///
    /// // Where the schema was "customer" until today:
    /// fn migrate(row: &mut Client, keys: &SubjectKeys) -> Result<()> {
    ///     row.rebind_from("customer", keys)
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`rebind`](Self::rebind). A row that was moved already doesn't open under the old name:
    /// [`Error::Authentication`].
    fn rebind_from(&mut self, schema: &str, keys: &SubjectKeys) -> Result<()> {
        rebind::rebind_from(self, schema, keys)
    }

    /// Whether a field is to be [resealed](Record::reseal). Nothing is opened to tell, so it is not known whether the fields
    /// would open.
    ///
    /// # Errors
    /// [`Error::WrongSubject`], [`Error::WrongSubjectKind`]; [`Error::WrongPurpose`] if a field names a key of another
    /// purpose; [`Error::Authentication`] for one that is nobody's; [`Error::KeyNotHeld`], [`Error::KeysExpired`],
    /// [`Error::PurposeUnknown`], [`Error::PurposeErased`].
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
    /// Those of [`Record::open`] but [`Error::WrongType`], if a field that is to be moved can't be; and [`Error::Entropy`]. The row is then as it was.
    ///
    /// # Security
    /// What opens is moved. An older value of the same place that somebody put back is one of the current key from then on.
    fn reseal(&mut self, keys: &SubjectKeys) -> Result<u32> {
        reseal::reseal(self, keys)
    }

    /// The fields that are its ids, in the order of the declaration.
    #[doc(hidden)]
    const IDS: &'static [private::IdSpec];

    /// The field that names its subject, where that is no id.
    #[doc(hidden)]
    const SUBJECT_FIELD: Option<private::SubjectSpec>;

    /// Seals it under keys whose subject is the one that the record says, and that is named besides, if one is.
    #[doc(hidden)]
    fn seal_owned(plain: &Self::Plain, keys: &SubjectKeys, named: Option<&SubjectId>) -> Result<Self>;

    /// Calls `each` with the ids of this record, in the order of the declaration.
    #[doc(hidden)]
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()>;

    /// The same, of a record that is not at hand.
    #[doc(hidden)]
    fn each_id_of(id: &Self::Id, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()>;

    /// Sets the ids of this record; its values stay bound to the old ones.
    #[doc(hidden)]
    fn set_id(&mut self, id: Self::Id);

    /// Calls `visitor` with every sealed field, in the order of the declaration.
    #[doc(hidden)]
    fn each_field(visitor: &mut impl private::FieldVisitor<Self>);

    /// Whose this record says it is.
    #[doc(hidden)]
    fn owner(&self) -> Result<Owner<'_>>;
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
    /// Those of [`SubjectKeys::open_bytes`], and [`Error::WrongType`] if it is a value of another kind than the type reads.
    pub fn open_value<T: Plaintext>(&self, sealed: &Sealed<T>, context: &FieldContext<'_>) -> Result<Plain<T>> {
        let mut opener = Opener::new(self, context.schema(), context)?;
        let frame = opener.open(context.purpose_name(), context.field(), sealed.as_bytes())?;
        value_of(frame).map(Plain::new)
    }

    /// Moves a value that [`seal_value`](Self::seal_value) sealed for the same context to the current key; see
    /// [`reseal_bytes`](Self::reseal_bytes). `None` where there is nothing to do.
    ///
    /// # Errors
    /// Those of [`reseal_bytes`](Self::reseal_bytes). The value is not decoded, so not that it is of another kind.
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
        check_owner(&row.owner()?, self)?;
        field.open(field.of(row), &mut Opener::new(self, R::SCHEMA, &IdsOf(row))?)
    }

    /// The value of one field of a row, sealed for another field of the same row: assigning the one to the other would compile,
    /// and open nowhere.
    ///
    /// ```
    /// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
    /// # #[derive(Record)]
    /// # #[record(schema = "order")]
    /// # struct Order {
    /// #     #[record(id)] id: i64, #[record(subject = "customer")] customer: i64,
    /// #     billing: Sealed<String>, delivery: Sealed<String>,
    /// # }
    /// fn deliver_to_who_pays(row: &mut Order, keys: &SubjectKeys) -> Result<()> {
    ///     row.delivery = keys.copy(row, Order::BILLING, Order::DELIVERY)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`Record::open`] and [`Record::seal`], each of the field that it is about.
    pub fn copy<R: Record, A: Column, B: Column<Plain = A::Plain>>(
        &self,
        row: &R,
        from: Field<R, A>,
        to: Field<R, B>,
    ) -> Result<B> {
        let plain = self.open(row, from)?;
        to.seal(&plain, &mut Sealer::new(self, R::SCHEMA, &IdsOf(row))?)
    }

    /// Replaces one field of a row by a new value.
    ///
    /// The row is to be written anyway, so its other fields are [resealed](Record::reseal) in passing, under the same draw of
    /// randomness. Those that can't be (damaged, erased, of a key that isn't held) stay as they are. Nothing is lost where the
    /// changed column alone is written.
    ///
    /// A row whose subject column is NULL says not whose it is: seal the value with [`RecordRef::seal_for`], and assign it.
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
        let owner = row.owner()?;
        if matches!(owner, Owner::Nobody) {
            return Err(Error::invalid(
                "the row names nobody yet, because its subject column is NULL: seal the value with `RecordRef::seal_for`, and \
                 assign it to the field",
            ));
        }
        check_owner(&owner, self)?;
        let mut resealer = Resealer::new(self, R::SCHEMA, &IdsOf(&*row))?;
        *field.of_mut(row) = field.seal(&plain.into(), resealer.sealer()?)?;
        reseal::reseal_in_passing(row, &mut resealer);
        Ok(())
    }

    /// The record of this id, without a row in hand: for a `SELECT` or `UPDATE` of single columns.
    ///
    /// Where the subject is a field that is no id (an order's customer), only the row says whose it is: what is sealed is sealed
    /// with [`RecordRef::seal_for`], which is told the subject.
    ///
    /// # Errors
    /// [`Error::KeysExpired`]; [`Error::InvalidInput`] if the id is a placeholder; [`Error::WrongSubject`] and
    /// [`Error::WrongSubjectKind`] if the id names another subject than the keys'.
    pub fn record_ref<'k, R: Record>(&'k self, id: &'k R::Id) -> Result<RecordRef<'k, R>> {
        RecordRef::new(self, id)
    }
}

/// A row must be of the keys' subject: sealed under another's keys it would be lost with that one's erasure.
fn check_owner(owner: &Owner<'_>, keys: &SubjectKeys) -> Result<()> {
    match owner {
        Owner::Subject { kind, id } => check_subject((*kind, id.as_str()), keys.subject()),
        // The keys decide: what isn't under one of them opens with none.
        Owner::Any | Owner::Nobody => Ok(()),
    }
}

/// What seals a row must know whose it is: from the row, from the caller, or because the record says that the keys decide.
fn check_sealing(owner: &Owner<'_>, keys: &SubjectKeys, named: Option<&SubjectId>) -> Result<()> {
    match (owner, named) {
        (_, Some(named)) => check_subject((named.kind(), named.id()), keys.subject())?,
        (Owner::Nobody, None) => {
            return Err(Error::invalid(
                "the row names nobody yet, because its subject column is NULL: seal it with `seal_for`",
            ));
        }
        (Owner::Any | Owner::Subject { .. }, None) => {}
    }
    check_owner(owner, keys)
}

fn check_subject((kind, id): (&str, &str), keys: &SubjectId) -> Result<()> {
    if kind != keys.kind() {
        return Err(Error::WrongSubjectKind { expected: kind.into(), found: keys.kind().into() });
    }
    if id == keys.id() { Ok(()) } else { Err(Error::WrongSubject) }
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
    use super::{check_owner, check_sealing};
    use crate::id::{RecordIds, SubjectId};
    use crate::record::{Column, Field, OptionalColumn, Record};
    use crate::{Result, SubjectKeys};

    pub use super::owner::{IdSpec, OrZero, Owner, SubjectField, SubjectSpec, subject_in};
    pub use super::reseal::FieldVisitor;
    pub use crate::subject::{Opener, Sealer};

    /// Seals the fields of one record.
    #[derive(Debug)]
    pub struct RecordSealer<'k>(Sealer<'k>);

    impl<'k> RecordSealer<'k> {
        pub fn new<R: Record>(
            keys: &'k SubjectKeys,
            owner: &Owner<'_>,
            named: Option<&SubjectId>,
            ids: &(impl RecordIds + ?Sized),
        ) -> Result<Self> {
            check_sealing(owner, keys, named)?;
            Sealer::new(keys, R::SCHEMA, ids).map(Self)
        }

        pub fn seal<R: Record, C: Column>(&mut self, field: Field<R, C>, plain: &C::Plain) -> Result<C> {
            field.seal(plain, &mut self.0)
        }
    }

    /// Opens the fields of one record.
    #[derive(Debug)]
    pub struct RecordOpener<'k>(Opener<'k>);

    impl<'k> RecordOpener<'k> {
        pub fn new<R: Record>(keys: &'k SubjectKeys, row: &R) -> Result<Self> {
            check_owner(&row.owner()?, keys)?;
            Opener::new(keys, R::SCHEMA, &super::IdsOf(row)).map(Self)
        }

        pub fn open<R: Record, C: Column>(&mut self, field: Field<R, C>, row: &R) -> Result<C::Plain> {
            field.open(field.of(row), &mut self.0)
        }
    }

    /// The field as it is: a bound that its type must meet, because its purpose can be erased without its record's.
    pub const fn of_other_purpose<R, C: OptionalColumn>(field: Field<R, C>) -> Field<R, C> {
        field
    }
}
