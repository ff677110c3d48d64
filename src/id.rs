//! Names of things: tenant, subject, purpose, record ids. Text, checked once at the door.
//!
//! Imports `error` only. Ids are compared byte for byte: no case folding, no normalization.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::error::{Error, Result};

/// An id as text: what a record id, subject id or name becomes before it is bound into an envelope.
///
/// 1 to [`Id::MAX_LEN`] bytes of UTF-8. Integers are decimal, UUIDs hyphenated in lower case, strings as they are.
#[derive(Clone)]
pub struct Id<'a>(Repr<'a>);

/// Integers and UUIDs are written in place: binding a record allocates nothing for them.
#[derive(Clone)]
enum Repr<'a> {
    Text(Cow<'a, str>),
    Short { bytes: [u8; SHORT], len: u8 },
}

/// The sign and digits of an `i128`.
const SHORT: usize = 40;

impl<'a> Id<'a> {
    /// The longest id, in bytes.
    pub const MAX_LEN: usize = 1024;

    /// An id that is this text.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it is empty or longer than [`Id::MAX_LEN`].
    pub fn text(text: impl Into<Cow<'a, str>>) -> Result<Self> {
        let text = text.into();
        check("name or id", &text)?;
        Ok(Self(Repr::Text(text)))
    }

    /// An id that is what `value` displays as, in at most 40 bytes: integers, UUIDs, and newtypes around them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if it displays as nothing or as more than 40 bytes.
    pub fn display(value: impl fmt::Display) -> Result<Self> {
        let mut short = Short { bytes: [0; SHORT], len: 0 };
        write!(short, "{value}").map_err(|_| Error::invalid("an id that is displayed has at most 40 bytes"))?;
        if short.len == 0 {
            return Err(Error::invalid("an id must not be empty"));
        }
        Ok(Self(Repr::Short { bytes: short.bytes, len: short.len }))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Text(text) => text,
            // What was written came from a formatter, so it is UTF-8 and within bounds.
            Repr::Short { bytes, len } => {
                bytes.get(..usize::from(*len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for Id<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Id(..)")
    }
}

struct Short {
    bytes: [u8; SHORT],
    len: u8,
}

impl fmt::Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let start = usize::from(self.len);
        let end = start + s.len();
        self.bytes.get_mut(start..end).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len = u8::try_from(end).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

/// What can be an id: text, integers, UUIDs; and an application's own id types, in three lines:
///
/// ```
/// use fieldseal::id::{Id, ToId};
///
/// struct CustomerId(i64);
///
/// impl ToId for CustomerId {
///     fn to_id(&self) -> fieldseal::Result<Id<'_>> {
///         self.0.to_id()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an id",
    note = "ids are text, integers or UUIDs (feature `uuid`); implement `fieldseal::id::ToId` for a type of your own"
)]
pub trait ToId {
    /// The id as text.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a placeholder: empty text, the integer 0, the nil UUID. A value sealed under one could
    /// never be opened under the id that the row gets later, so the id must exist before sealing.
    fn to_id(&self) -> Result<Id<'_>>;
}

impl ToId for str {
    fn to_id(&self) -> Result<Id<'_>> {
        Id::text(self)
    }
}

impl ToId for String {
    fn to_id(&self) -> Result<Id<'_>> {
        self.as_str().to_id()
    }
}

impl<T: ToId + ?Sized> ToId for &T {
    fn to_id(&self) -> Result<Id<'_>> {
        (**self).to_id()
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl ToId for $int {
            fn to_id(&self) -> Result<Id<'_>> {
                match self {
                    0 => Err(Error::invalid("the id 0 is a placeholder: seal once the row has its id")),
                    id => Id::display(id),
                }
            }
        }

        impl HasSubject for $int {
            fn subject(&self) -> Result<SubjectId> {
                SubjectId::of(self)
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);

/// The ids of one record, in the order in which it declares them: one id, or a tuple of two to four, or `()` for a
/// record that is not bound to an id.
pub trait RecordIds {
    /// Calls `each` with every id.
    ///
    /// # Errors
    /// Those of [`ToId::to_id`] and of `each`.
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()>;
}

impl RecordIds for () {
    fn each_id(&self, _: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        Ok(())
    }
}

impl<T: ToId + ?Sized> RecordIds for T {
    fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
        each(self.to_id()?)
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {$(
        impl<$($name: ToId),*> RecordIds for ($($name,)*) {
            #[expect(non_snake_case, reason = "a variable a type parameter")]
            fn each_id(&self, each: &mut dyn FnMut(Id<'_>) -> Result<()>) -> Result<()> {
                let ($($name,)*) = self;
                $(each($name.to_id()?)?;)*
                Ok(())
            }
        }
    )*};
}
tuples!((A B) (A B C) (A B C D));

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text: 1 to 1024 bytes.
            ///
            /// # Errors
            /// [`Error::InvalidInput`] if it is empty or longer.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                check($what, text.as_ref())?;
                Ok(Self(Arc::from(text.as_ref())))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}
names! {
    /// An isolation boundary with wrapping keys of its own. Not personal data: it stands in logs and key records.
    TenantId "tenant id";
    /// The person whose data it is: the unit of erasure.
    SubjectId "subject id";
    /// Why data is held (GDPR article 5(1)(b)). A subject has one line of data keys a purpose.
    Purpose "purpose";
}

impl TenantId {
    /// The tenant of an application that has only one: `default`.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }
}

impl Purpose {
    /// The name of the purpose where nothing is said.
    pub const DEFAULT: &'static str = "default";
}

impl SubjectId {
    /// The subject named by an id.
    ///
    /// # Errors
    /// Those of [`ToId::to_id`].
    pub fn of(id: &(impl ToId + ?Sized)) -> Result<Self> {
        Ok(Self(Arc::from(id.to_id()?.as_str())))
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({:?})", self.as_str())
    }
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Purpose({:?})", self.as_str())
    }
}

/// Opaque: a subject id is personal data and has no business in a log.
impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectId(..)")
    }
}

impl ToId for SubjectId {
    fn to_id(&self) -> Result<Id<'_>> {
        self.as_str().to_id()
    }
}

/// What names a subject: ids, and rows and their plaintext twins that have a field marked `#[record(subject)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose data it is",
    note = "mark a field of the record with `#[record(subject)]`, or pass a subject id"
)]
pub trait HasSubject {
    /// The subject.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the id is a placeholder (empty, 0, nil) or too long.
    fn subject(&self) -> Result<SubjectId>;
}

impl HasSubject for SubjectId {
    fn subject(&self) -> Result<SubjectId> {
        Ok(self.clone())
    }
}

impl HasSubject for str {
    fn subject(&self) -> Result<SubjectId> {
        SubjectId::of(self)
    }
}

impl HasSubject for String {
    fn subject(&self) -> Result<SubjectId> {
        SubjectId::of(self)
    }
}

impl<T: HasSubject + ?Sized> HasSubject for &T {
    fn subject(&self) -> Result<SubjectId> {
        (**self).subject()
    }
}

fn check(what: &'static str, text: &str) -> Result<()> {
    match text.len() {
        0 => Err(Error::invalid(format!("a {what} must not be empty"))),
        n if n > Id::MAX_LEN => Err(Error::invalid(format!("a {what} has at most {} bytes", Id::MAX_LEN))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_decimal() {
        assert_eq!((-17i8).to_id().unwrap().as_str(), "-17");
        assert_eq!(u64::MAX.to_id().unwrap().as_str(), "18446744073709551615");
        assert_eq!(i128::MIN.to_id().unwrap().as_str(), i128::MIN.to_string());
    }

    #[test]
    fn placeholders_are_refused() {
        assert!(0i64.to_id().is_err());
        assert!("".to_id().is_err());
        assert!(0u32.subject().is_err());
        assert_eq!("0".to_id().unwrap().as_str(), "0");
    }

    #[test]
    fn ids_are_bounded() {
        assert!("x".repeat(1024).to_id().is_ok());
        assert!("x".repeat(1025).to_id().is_err());
        assert!(TenantId::new("").is_err());
        assert!(Id::display("x".repeat(41)).is_err());
    }

    #[test]
    fn subject_ids_do_not_show_in_debug() {
        let subject = SubjectId::new("ada@example.com").unwrap();
        assert_eq!(format!("{subject:?} {:?}", subject.to_id().unwrap()), "SubjectId(..) Id(..)");
    }
}
