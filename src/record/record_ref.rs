//! [`RecordRef`]: one record by its id, for reading, writing and resealing single columns.

use std::fmt;
use std::marker::PhantomData;

use super::owner::Owner;
use super::reseal::reseal_column;
use super::{Column, Field, Record, check_owner, check_subject};
use crate::error::{Error, Result};
use crate::id::{Id, RecordIds, SubjectId};
use crate::subject::{Opener, Resealer, Sealer, SubjectKeys};

/// The record of type `R` with a given id: opens, seals and reseals single columns of it without its row.
///
/// ```
/// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
/// # #[derive(Record)]
/// # #[record(schema = "customer")]
/// # struct Customer { #[record(id, subject = "customer")] id: i64, email: Sealed<String> }
/// fn change_email(keys: &SubjectKeys, id: i64, stored: &Sealed<String>) -> Result<Sealed<String>> {
///     let mut record = keys.record_ref::<Customer>(&id)?;
///     let email = record.open(Customer::EMAIL, stored)?;
///     record.seal(Customer::EMAIL, email.expose().to_lowercase())
/// }
/// ```
pub struct RecordRef<'k, R: Record> {
    keys: &'k SubjectKeys,
    id: &'k R::Id,
    opener: Opener<'k>,
    record: PhantomData<fn() -> R>,
}

impl<'k, R: Record> RecordRef<'k, R> {
    pub(super) fn new(keys: &'k SubjectKeys, id: &'k R::Id) -> Result<Self> {
        check_owner_in::<R>(id, keys)?;
        let opener = Opener::new(keys, R::SCHEMA, &IdsIn::<R>(id))?;
        Ok(Self { keys, id, opener, record: PhantomData })
    }

    /// Seals a value for a column, with a nonce of its own.
    ///
    /// # Errors
    /// Those of [`Record::seal`]; [`Error::InvalidInput`] if none of the ids says whose the record is
    /// ([`seal_for`](Self::seal_for)).
    pub fn seal<C: Column>(&self, field: Field<R, C>, plain: impl Into<C::Plain>) -> Result<C> {
        if R::SUBJECT_FIELD.is_some() {
            return Err(Error::invalid(
                "none of the ids says whose the record is: read that from its row, and seal the value with `seal_for`",
            ));
        }
        self.seal_checked(field, plain)
    }

    /// [`seal`](Self::seal) for a subject that is named besides: for a record whose subject is no id (an order's customer), and a
    /// row whose subject column is NULL still.
    ///
    /// ```
    /// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
    /// # #[derive(Record)]
    /// # #[record(schema = "order")]
    /// # struct Order { #[record(id)] id: i64, #[record(subject = "customer")] customer: i64, note: Sealed<String> }
    /// /// After "SELECT customer FROM order WHERE id = ?".
    /// fn note(keys: &SubjectKeys, id: i64, customer: i64, note: &str) -> Result<Sealed<String>> {
    ///     keys.record_ref::<Order>(&id)?.seal_for(Order::NOTE, note, &Order::subject_of(&customer)?)
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`Record::seal_for`].
    ///
    /// # Security
    /// Name whom the row names. Under another person's keys the value is lost with that person's erasure, and opens nowhere
    /// meanwhile.
    pub fn seal_for<C: Column>(
        &self,
        field: Field<R, C>,
        plain: impl Into<C::Plain>,
        subject: &SubjectId,
    ) -> Result<C> {
        check_subject((subject.kind(), subject.id()), self.keys.subject())?;
        self.seal_checked(field, plain)
    }

    fn seal_checked<C: Column>(&self, field: Field<R, C>, plain: impl Into<C::Plain>) -> Result<C> {
        field.seal(&plain.into(), &mut Sealer::new(self.keys, R::SCHEMA, &IdsIn::<R>(self.id))?)
    }

    /// Opens the value of a column.
    ///
    /// # Errors
    /// Those of [`Record::open`].
    pub fn open<C: Column>(&mut self, field: Field<R, C>, column: &C) -> Result<C::Plain> {
        // The opener checked the keys when the reference was made, which may be long ago.
        self.keys.check()?;
        field.open(column, &mut self.opener)
    }

    /// Moves the value of a column to the current key, as [`Record::reseal`] does. `None` where there is nothing to write: it
    /// is under that key already, or NULL, or of another purpose than its record's that was erased.
    ///
    /// ```
    /// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
    /// # #[derive(Record)]
    /// # #[record(schema = "customer")]
    /// # struct Customer { #[record(id, subject = "customer")] id: i64, email: Sealed<String> }
    /// fn reseal_email(keys: &SubjectKeys, id: i64, stored: &Sealed<String>) -> Result<()> {
    ///     if let Some(email) = keys.record_ref::<Customer>(&id)?.reseal(Customer::EMAIL, stored)? {
    ///         // "UPDATE customer SET email = ? WHERE id = ? AND email = ?", with `email`, `id` and `stored`:
    ///         // what somebody else wrote in the meantime stays.
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`Record::reseal`].
    ///
    /// # Security
    /// As of [`Record::reseal`].
    pub fn reseal<C: Column>(&self, field: Field<R, C>, column: &C) -> Result<Option<C>> {
        reseal_column(column, &mut Resealer::new(self.keys, R::SCHEMA, &IdsIn::<R>(self.id))?, field)
    }
}

/// Where one of the ids names the subject, it must be the keys'.
pub(super) fn check_owner_in<R: Record>(id: &R::Id, keys: &SubjectKeys) -> Result<()> {
    let mut specs = R::IDS.iter();
    R::each_id_of(id, &mut |id| match (specs.next(), R::SUBJECT_KIND) {
        (Some(spec), Some(kind)) if spec.subject => check_owner(&Owner::Subject { kind, id }, keys),
        _ => Ok(()),
    })
}

/// What a record is bound to, of which only the ids are at hand.
pub(super) struct IdsIn<'a, R: Record>(pub(super) &'a R::Id);

impl<R: Record> RecordIds for IdsIn<'_, R> {
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        R::each_id_of(self.0, each)
    }
}

impl<R: Record> fmt::Debug for RecordRef<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordRef({})", R::SCHEMA)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crypto::Suite;
    use crate::record::FieldSpec;
    use crate::record::private::{FieldVisitor, IdSpec, SubjectSpec};
    use crate::subject::tests::{HandClock, MAX_AGE, NOW, policy, ring, subject_keys};
    use crate::value::{Plain, Sealed};

    struct Row {
        email: Sealed<String>,
    }

    const EMAIL: Field<Row, Sealed<String>> =
        Field::new(FieldSpec::new("email", "default", 0, false), |row| &row.email, |row| &mut row.email);

    impl Record for Row {
        type Plain = Plain<String>;
        type Id = i64;
        type Subject = ();
        const SCHEMA: &'static str = "row";
        const PURPOSES: &'static [&'static str] = &["default"];
        const SUBJECT_KIND: Option<&'static str> = None;
        const IDS: &'static [IdSpec] = &[IdSpec::of::<i64>(false, false)];
        const SUBJECT_FIELD: Option<SubjectSpec> = None;

        fn seal_owned(_: &Plain<String>, _: &SubjectKeys, _: Option<&SubjectId>) -> Result<Self> {
            unimplemented!("a record ref needs no row")
        }

        fn open(&self, _: &SubjectKeys) -> Result<Plain<String>> {
            unimplemented!("a record ref needs no row")
        }

        fn each_id(&self, _: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
            Ok(())
        }

        fn each_id_of(id: &i64, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
            id.each_id(each)
        }

        fn set_id(&mut self, _: i64) {}

        fn each_field(visitor: &mut impl FieldVisitor<Self>) {
            visitor.visit(EMAIL);
        }

        fn owner(&self) -> Result<Owner<'_>> {
            Ok(Owner::Any)
        }
    }

    #[test]
    fn a_record_ref_and_a_row_reseal_under_keys_that_did_not_expire() {
        let clock = HandClock::at(NOW);
        let policy = policy("acme", Suite::default(), Arc::clone(&clock) as _);
        let old = subject_keys(&policy, "ada", ring("acme", "ada", "default", &[1]));
        let keys = subject_keys(&policy, "ada", ring("acme", "ada", "default", &[1, 2]));
        let (id, other) = (17, 18);
        let sealed = old.record_ref::<Row>(&id).unwrap().seal(EMAIL, "ada@example.com").unwrap();
        let mut record = keys.record_ref::<Row>(&id).unwrap();
        let resealed = record.reseal(EMAIL, &sealed).unwrap().unwrap();
        assert_eq!(record.open(EMAIL, &resealed).unwrap().expose(), "ada@example.com");
        assert!(record.reseal(EMAIL, &resealed).unwrap().is_none());
        let elsewhere = keys.record_ref::<Row>(&other).unwrap();
        assert!(matches!(elsewhere.reseal(EMAIL, &sealed).map_err(Error::without_field), Err(Error::Authentication)));

        let past = NOW + u64::try_from(MAX_AGE.as_millis()).unwrap() + 1;
        clock.set(past, past);
        assert!(matches!(record.reseal(EMAIL, &sealed), Err(Error::KeysExpired)));
        let mut row = Row { email: sealed.clone() };
        assert!(matches!(row.needs_reseal(&keys), Err(Error::KeysExpired)));
        assert!(matches!(row.reseal(&keys), Err(Error::KeysExpired)));
        assert!(row.email.same_bytes(&sealed));
    }

    #[test]
    fn a_record_ref_expires_with_its_keys() {
        let clock = HandClock::at(NOW);
        let keys = subject_keys(
            &policy("acme", Suite::default(), Arc::clone(&clock) as _),
            "ada",
            ring("acme", "ada", "default", &[1]),
        );
        let mut record = keys.record_ref::<Row>(&17).unwrap();
        let sealed = record.seal(EMAIL, "ada@example.com").unwrap();
        assert_eq!(record.open(EMAIL, &sealed).unwrap().expose(), "ada@example.com");
        assert!(matches!(
            keys.record_ref::<Row>(&18).unwrap().open(EMAIL, &sealed).map_err(Error::without_field),
            Err(Error::Authentication)
        ));

        let past = NOW + u64::try_from(MAX_AGE.as_millis()).unwrap() + 1;
        clock.set(past, past);
        assert!(matches!(record.open(EMAIL, &sealed), Err(Error::KeysExpired)));
        assert!(matches!(record.seal(EMAIL, "ada@example.com"), Err(Error::KeysExpired)));
        assert!(matches!(keys.record_ref::<Row>(&17), Err(Error::KeysExpired)));
    }
}
