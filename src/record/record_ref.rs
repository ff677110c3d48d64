//! [`RecordRef`]: one record by its id, for reading, writing and resealing single columns.

use std::fmt;
use std::marker::PhantomData;

use super::reseal::reseal_column;
use super::{Column, Field, Record, check_owner};
use crate::error::Result;
use crate::id::RecordIds as _;
use crate::subject::{Opener, Resealer, Sealer, SubjectKeys};

/// The record of type `R` with a given id: opens, seals and reseals single columns of it without its row.
///
/// ```
/// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
/// # #[derive(Record)]
/// # #[record(schema = "customer")]
/// # struct Customer { #[record(id, subject)] id: i64, email: Sealed<String> }
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
        let mut n = 0;
        id.each_id(&mut |id| {
            if R::SUBJECT_AMONG_IDS == Some(n) {
                check_owner(Some(id), keys)?;
            }
            n += 1;
            Ok(())
        })?;
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
        // The opener checked the keys when the reference was made, which may be long ago.
        self.keys.check()?;
        column.open_with(&mut self.opener, field.spec())
    }

    /// Moves the value of a column to the current key, as [`Record::reseal`] does. `None` where there is nothing to write: it
    /// is under that key already, or NULL, or of another purpose than its record's that was erased.
    ///
    /// ```
    /// # use fieldseal::{Record, Result, Sealed, SubjectKeys};
    /// # #[derive(Record)]
    /// # #[record(schema = "customer")]
    /// # struct Customer { #[record(id, subject)] id: i64, email: Sealed<String> }
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
        reseal_column(column, &mut Resealer::new(self.keys, R::SCHEMA, self.id)?, field.spec())
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
    use crate::error::Error;
    use crate::id::Id;
    use crate::record::FieldSpec;
    use crate::record::private::FieldVisitor;
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
        const SCHEMA: &'static str = "row";
        const PURPOSES: &'static [&'static str] = &["default"];

        fn seal(_: Plain<String>, _: &SubjectKeys) -> Result<Self> {
            unimplemented!("a record ref needs no row")
        }

        fn open(&self, _: &SubjectKeys) -> Result<Plain<String>> {
            unimplemented!("a record ref needs no row")
        }

        fn each_id(&self, _: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
            Ok(())
        }

        fn each_field(visitor: &mut impl FieldVisitor<Self>) {
            visitor.visit(EMAIL);
        }

        fn owner(&self) -> Result<Option<Id<'_>>> {
            Ok(None)
        }
    }

    #[test]
    fn a_record_ref_and_a_row_reseal_under_keys_that_did_not_expire() {
        let clock = HandClock::at(NOW);
        let policy = policy("acme", Suite::default(), Arc::clone(&clock) as _);
        let old = subject_keys(&policy, "ada", ring("default", &[1]));
        let keys = subject_keys(&policy, "ada", ring("default", &[1, 2]));
        let (id, other) = (17, 18);
        let sealed = old.record_ref::<Row>(&id).unwrap().seal(EMAIL, "ada@example.com").unwrap();
        let mut record = keys.record_ref::<Row>(&id).unwrap();
        let resealed = record.reseal(EMAIL, &sealed).unwrap().unwrap();
        assert_eq!(record.open(EMAIL, &resealed).unwrap().expose(), "ada@example.com");
        assert!(record.reseal(EMAIL, &resealed).unwrap().is_none());
        let elsewhere = keys.record_ref::<Row>(&other).unwrap();
        assert!(matches!(elsewhere.reseal(EMAIL, &sealed), Err(Error::Authentication)));

        let past = NOW + u64::try_from(MAX_AGE.as_millis()).unwrap() + 1;
        clock.set(past, past);
        assert!(matches!(record.reseal(EMAIL, &sealed), Err(Error::KeysExpired)));
        let mut row = Row { email: sealed.clone() };
        assert!(matches!(row.needs_reseal(&keys), Err(Error::KeysExpired)));
        assert!(matches!(row.reseal(&keys), Err(Error::KeysExpired)));
        assert_eq!(row.email, sealed);
    }

    #[test]
    fn a_record_ref_expires_with_its_keys() {
        let clock = HandClock::at(NOW);
        let keys =
            subject_keys(&policy("acme", Suite::default(), Arc::clone(&clock) as _), "ada", ring("default", &[1]));
        let mut record = keys.record_ref::<Row>(&17).unwrap();
        let sealed = record.seal(EMAIL, "ada@example.com").unwrap();
        assert_eq!(record.open(EMAIL, &sealed).unwrap().expose(), "ada@example.com");
        assert!(matches!(keys.record_ref::<Row>(&18).unwrap().open(EMAIL, &sealed), Err(Error::Authentication)));

        let past = NOW + u64::try_from(MAX_AGE.as_millis()).unwrap() + 1;
        clock.set(past, past);
        assert!(matches!(record.open(EMAIL, &sealed), Err(Error::KeysExpired)));
        assert!(matches!(record.seal(EMAIL, "ada@example.com"), Err(Error::KeysExpired)));
        assert!(matches!(keys.record_ref::<Row>(&17), Err(Error::KeysExpired)));
    }
}
