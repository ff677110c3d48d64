//! `sqlx`: [`Sealed<T>`] as a column of bytes (BLOB, BYTEA, ..) of any driver that has these, and
//! [`Text<Sealed<T>>`](Text) as a column of a record.
//!
//! All is handed to the driver's `Vec<u8>`. `Text` needs nothing of ours to be read and written: sqlx takes the text form
//! from `Display` and `FromStr`.

#[cfg(feature = "sqlx-postgres")]
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{Database, Decode, Encode, Type, encode::IsNull, error::BoxDynError, types::Text};

use crate::error::Result;
use crate::record::{Column, FieldSpec};
use crate::subject::{Opener, Sealer};
use crate::value::{Plain, Plaintext, Sealed};

#[cfg_attr(docsrs, doc(cfg(feature = "sqlx")))]
impl<T, DB: Database> Type<DB> for Sealed<T>
where
    Vec<u8>: Type<DB>,
{
    fn type_info() -> DB::TypeInfo {
        <Vec<u8> as Type<DB>>::type_info()
    }

    fn compatible(ty: &DB::TypeInfo) -> bool {
        <Vec<u8> as Type<DB>>::compatible(ty)
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "sqlx")))]
impl<'q, T, DB: Database> Encode<'q, DB> for Sealed<T>
where
    Vec<u8>: Encode<'q, DB>,
{
    fn encode(self, buf: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.into_bytes().encode(buf)
    }

    fn encode_by_ref(&self, buf: &mut DB::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.as_vec().encode_by_ref(buf)
    }

    fn produces(&self) -> Option<DB::TypeInfo> {
        self.as_vec().produces()
    }

    fn size_hint(&self) -> usize {
        self.as_bytes().len()
    }
}

/// Bytes that are no envelope are a decode error, which shows nothing of them.
#[cfg_attr(docsrs, doc(cfg(feature = "sqlx")))]
impl<'r, T, DB: Database> Decode<'r, DB> for Sealed<T>
where
    Vec<u8>: Decode<'r, DB>,
{
    fn decode(value: DB::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self::from_bytes(<Vec<u8> as Decode<'r, DB>>::decode(value)?)?)
    }
}

/// `BYTEA[]`: many rows in one statement, `INSERT .. SELECT * FROM UNNEST($1, $2)`.
#[cfg(feature = "sqlx-postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlx-postgres")))]
impl<T> PgHasArrayType for Sealed<T> {
    fn array_type_info() -> PgTypeInfo {
        Vec::<u8>::array_type_info()
    }

    fn array_compatible(ty: &PgTypeInfo) -> bool {
        Vec::<u8>::array_compatible(ty)
    }
}

/// A column of text.
#[cfg_attr(docsrs, doc(cfg(feature = "sqlx")))]
impl<T: Plaintext> Column for Text<Sealed<T>> {
    type Plain = Plain<T>;

    fn shape() -> String {
        format!("text form of {}", T::shape())
    }

    fn seal_with(plain: &Plain<T>, sealer: &mut Sealer<'_>, spec: &FieldSpec) -> Result<Self> {
        Sealed::seal_with(plain, sealer, spec).map(Self)
    }

    fn open_with(&self, opener: &mut Opener<'_>, spec: &FieldSpec) -> Result<Plain<T>> {
        self.0.open_with(opener, spec)
    }

    fn envelope(&self) -> Option<&[u8]> {
        self.0.envelope()
    }

    fn of_envelope(envelope: Vec<u8>) -> Self {
        Self(Sealed::of_envelope(envelope))
    }
}

impl<T> crate::record::column::sealed::Sealed for Text<Sealed<T>> {
    const NULLABLE: bool = false;
}
