//! [`Column`]: the types that a sealed field of a record can have.

use super::FieldSpec;
use crate::error::{Error, Result};
use crate::subject::{Opener, Sealer};
use crate::value::plaintext::{frame_of, value_of};
use crate::value::{Plain, Plaintext, Sealed};

/// A type that a sealed field can have: [`Sealed<T>`], `Option` of a column for one that may be NULL, and
/// `sqlx::types::Text<Sealed<T>>` for a column of text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a sealed column",
    note = "make the field a `Sealed<T>` (or `Option<Sealed<T>>`), or say `#[record(clear)]` to leave it in the clear"
)]
pub trait Column: sealed::Sealed + Sized {
    /// The column's type in the plaintext twin.
    type Plain;

    /// What is stored in it, in words.
    #[doc(hidden)]
    fn shape() -> String;

    #[doc(hidden)]
    fn seal_with(plain: &Self::Plain, sealer: &mut Sealer<'_>, spec: &FieldSpec) -> Result<Self>;
    #[doc(hidden)]
    fn open_with(&self, opener: &mut Opener<'_>, spec: &FieldSpec) -> Result<Self::Plain>;
    /// None where the column is NULL.
    #[doc(hidden)]
    fn envelope(&self) -> Option<&[u8]>;
    /// The column of an envelope that a sealer made.
    #[doc(hidden)]
    fn of_envelope(envelope: Vec<u8>) -> Self;
}

/// A column that can be NULL.
#[diagnostic::on_unimplemented(
    message = "a field of another purpose than its record must be an `Option`",
    note = "once that purpose is erased, the field reads as `None`: make it `Option<{Self}>`"
)]
pub trait OptionalColumn: Column {}

impl<T: Plaintext> Column for Sealed<T> {
    type Plain = Plain<T>;

    fn shape() -> String {
        T::shape().to_string()
    }

    fn seal_with(plain: &Plain<T>, sealer: &mut Sealer<'_>, spec: &FieldSpec) -> Result<Self> {
        let frame = frame_of(plain.expose(), spec.pad())?;
        sealer.seal(spec.purpose(), spec.name(), frame).map(Self::trusted)
    }

    fn open_with(&self, opener: &mut Opener<'_>, spec: &FieldSpec) -> Result<Plain<T>> {
        let frame = opener.open(spec.purpose(), spec.name(), self.as_bytes())?;
        value_of(frame).map(Plain::new)
    }

    fn envelope(&self) -> Option<&[u8]> {
        Some(self.as_bytes())
    }

    fn of_envelope(envelope: Vec<u8>) -> Self {
        Self::trusted(envelope)
    }
}

impl<C: Column> Column for Option<C> {
    type Plain = Option<C::Plain>;

    fn shape() -> String {
        format!("{} or NULL", C::shape())
    }

    fn seal_with(plain: &Self::Plain, sealer: &mut Sealer<'_>, spec: &FieldSpec) -> Result<Self> {
        const { assert!(<Self as sealed::Sealed>::NULLABLE) };
        plain.as_ref().map(|plain| C::seal_with(plain, sealer, spec)).transpose()
    }

    fn open_with(&self, opener: &mut Opener<'_>, spec: &FieldSpec) -> Result<Self::Plain> {
        match self.as_ref().map(|column| column.open_with(opener, spec)).transpose() {
            Err(Error::PurposeErased { .. }) if spec.is_of_other_purpose() => Ok(None),
            opened => opened,
        }
    }

    fn envelope(&self) -> Option<&[u8]> {
        self.as_ref().and_then(C::envelope)
    }

    fn of_envelope(envelope: Vec<u8>) -> Self {
        Some(C::of_envelope(envelope))
    }
}

impl<C: Column> OptionalColumn for Option<C> {}

/// How a column is sealed is this crate's business: a foreign one could leave its value in the clear.
pub(crate) mod sealed {
    #[expect(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {
        const NULLABLE: bool;
    }

    impl<T> Sealed for crate::value::Sealed<T> {
        const NULLABLE: bool = false;
    }

    impl<C: Sealed> Sealed for Option<C> {
        const NULLABLE: bool = {
            assert!(!C::NULLABLE, "Option<Option<..>> can't be a column: its two nones would be one NULL");
            true
        };
    }
}
