//! Names of things: tenant, subject and its kind, purpose, record ids. Text, checked once at the door.
//!
//! Imports `error` only. Ids are compared byte for byte: no case folding, no normalization.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
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

/// What can be an id: text, integers, UUIDs; and an application's own id types, in a few lines:
///
/// ```
/// use fieldseal::id::{Id, ToId};
///
/// struct CustomerId(i64);
///
/// impl ToId for CustomerId {
///     const FORM: &'static str = i64::FORM;
///
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
    /// What the ids are as text, as `record::describe` shows it. A type around another has that one's, so that a column of
    /// `i64` may become one of `CustomerId`.
    const FORM: &'static str = "an application's own";

    /// The id as text.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a placeholder: empty text, the integer 0, the nil UUID. A value sealed under one could
    /// never be opened under the id that the row gets later, so the id must exist before sealing.
    fn to_id(&self) -> Result<Id<'_>>;
}

impl ToId for str {
    const FORM: &'static str = "text";

    fn to_id(&self) -> Result<Id<'_>> {
        Id::text(self)
    }
}

impl ToId for String {
    const FORM: &'static str = str::FORM;

    fn to_id(&self) -> Result<Id<'_>> {
        self.as_str().to_id()
    }
}

impl<T: ToId + ?Sized> ToId for &T {
    const FORM: &'static str = T::FORM;

    fn to_id(&self) -> Result<Id<'_>> {
        (**self).to_id()
    }
}

macro_rules! integers {
    ($($int:ty)*) => {$(
        impl ToId for $int {
            const FORM: &'static str = "integer";

            fn to_id(&self) -> Result<Id<'_>> {
                match self {
                    0 => Err(Error::invalid("the id 0 is a placeholder: seal once the row has its id")),
                    id => Id::display(id),
                }
            }
        }

        impl ToIdOrZero for $int {
            fn to_id_or_zero(&self) -> Result<Id<'_>> {
                Id::display(self)
            }
        }
    )*};
}
integers!(i8 i16 i32 i64 i128 u8 u16 u32 u64 u128);

/// What can be a part of a composite record id in which 0 is an id like any other (`#[record(id, zero)]`): integers; and an
/// application's own id types around one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an id of which 0 is one",
    note = "`zero` is for integers; implement `fieldseal::id::ToIdOrZero` for a type of your own around one"
)]
pub trait ToIdOrZero: ToId {
    /// The id as text, `0` for the integer 0.
    ///
    /// # Errors
    /// Those of [`ToId::to_id`], but for that 0 is a placeholder.
    fn to_id_or_zero(&self) -> Result<Id<'_>>;
}

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

/// What a subject is: a customer, an employee. Customer 17 and employee 17 are two people.
///
/// Part of who a person is: a kind that is renamed loses everybody who was of it. So it is not a table's name, and is declared
/// where a vault is built. Not personal data.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKind(Arc<str>);

impl SubjectKind {
    /// The longest kind, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks the text: 1 to 64 bytes of `a` to `z`, `0` to `9`, `_`, `.` and `-`.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for any other.
    pub fn new(text: impl AsRef<str>) -> Result<Self> {
        check_kind(text.as_ref())?;
        Ok(Self(Arc::from(text.as_ref())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SubjectKind {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKind({:?})", self.as_str())
    }
}

/// The person whose data it is, by kind and id: the unit of erasure.
///
/// `#[derive(Record)]` makes them of an application's own ids (`Customer::subject_of(&17)`), and rows and their plaintext twins
/// say whose they are. For a person of whom there is no record:
///
/// ```
/// use fieldseal::SubjectId;
///
/// let employee = SubjectId::new("employee", &17)?;
/// assert_eq!((employee.kind(), employee.id()), ("employee", "17"));
/// assert_eq!("employee:17".parse::<SubjectId>()?, employee); // as operators write it
/// # Ok::<(), fieldseal::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId(
    /// `<kind>:<id>`, in one allocation. No kind holds a colon, so no two subjects are one text.
    Arc<str>,
);

impl SubjectId {
    /// The subject of this kind with this id.
    ///
    /// # Errors
    /// Those of [`SubjectKind::new`] and [`ToId::to_id`].
    pub fn new(kind: impl AsRef<str>, id: &(impl ToId + ?Sized)) -> Result<Self> {
        let kind = kind.as_ref();
        check_kind(kind)?;
        Ok(Self(Arc::from(format!("{kind}{COLON}{}", id.to_id()?.as_str()))))
    }

    /// What the subject is.
    pub fn kind(&self) -> &str {
        self.parts().0
    }

    /// Which one of its kind.
    pub fn id(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(COLON).unwrap_or_default()
    }
}

/// Reads `customer:17`: the kind ends at the first colon, and the rest is the id as it is.
impl FromStr for SubjectId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, id) = text
            .split_once(COLON)
            .ok_or_else(|| Error::invalid("a subject is written as its kind, a colon and its id: customer:17"))?;
        Self::new(kind, id)
    }
}

/// Opaque: a subject's id is personal data and has no business in a log.
impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectId(..)")
    }
}

/// What stands between kind and id.
const COLON: char = ':';

/// What says whose data it is: rows and their plaintext twins that have a field marked `#[record(subject = "..")]`, and a
/// [`SubjectId`] itself. A bare id names nobody: customer 17 is another person than employee 17.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whose data it is",
    note = "mark a field of the record with `#[record(subject = \"customer\")]` and pass a row of it, or `Customer::subject_of(&id)?`",
    note = "without a record, pass `SubjectId::new(\"customer\", &id)?`"
)]
pub trait HasSubject {
    /// The subject.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] if the id is a placeholder (empty, 0, nil) or too long, or if a row names nobody yet.
    fn subject(&self) -> Result<SubjectId>;

    /// The tenant whose subject it is known to be; none where nothing says it. Another tenant refuses it
    /// ([`Error::WrongTenant`]): its subject of the same kind and id is another person.
    fn tenant(&self) -> Option<&TenantId> {
        None
    }
}

impl HasSubject for SubjectId {
    fn subject(&self) -> Result<SubjectId> {
        Ok(self.clone())
    }
}

impl<T: HasSubject + ?Sized> HasSubject for &T {
    fn subject(&self) -> Result<SubjectId> {
        (**self).subject()
    }

    fn tenant(&self) -> Option<&TenantId> {
        (**self).tenant()
    }
}

fn check(what: &'static str, text: &str) -> Result<()> {
    match text.len() {
        0 => Err(Error::invalid(format!("a {what} must not be empty"))),
        n if n > Id::MAX_LEN => Err(Error::invalid(format!("a {what} has at most {} bytes", Id::MAX_LEN))),
        _ => Ok(()),
    }
}

fn check_kind(text: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    if (1..=SubjectKind::MAX_LEN).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    // Not the text itself: it may be an id in the wrong place.
    Err(Error::invalid("a kind of subject is 1 to 64 of the characters a-z, 0-9, _, . and -: customer"))
}

/// A subject of the kind that most tests have.
#[cfg(test)]
pub(crate) fn customer(id: impl ToId) -> SubjectId {
    SubjectId::new("customer", &id).unwrap()
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
        assert!(SubjectId::new("customer", &0u32).is_err());
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
    fn zero_is_an_id_where_it_is_said_to_be() {
        assert_eq!(0i64.to_id_or_zero().unwrap().as_str(), "0");
        assert_eq!((-17i8).to_id_or_zero().unwrap().as_str(), "-17");
    }

    #[test]
    fn a_kind_has_few_characters() {
        for ok in ["a", "customer", "eu.customer_2-x", "0", &"k".repeat(64)] {
            assert_eq!(SubjectKind::new(ok).unwrap().as_str(), ok);
        }
        for wrong in ["", "Customer", "a b", "a:b", "a/b", "é", "a\0", &"k".repeat(65)] {
            assert!(SubjectKind::new(wrong).is_err(), "{wrong:?}");
            assert!(SubjectId::new(wrong, "17").is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn one_id_of_two_kinds_is_two_subjects() {
        let (customer, employee) = (customer(17), SubjectId::new("employee", &17).unwrap());
        assert_ne!(customer, employee);
        assert_eq!(customer.id(), employee.id());
        assert_eq!((customer.kind(), employee.kind()), ("customer", "employee"));
    }

    #[test]
    fn a_subject_is_read_up_to_the_first_colon() {
        assert_eq!("customer:17".parse::<SubjectId>().unwrap(), customer(17));
        let colons: SubjectId = "customer::a:b:".parse().unwrap();
        assert_eq!((colons.kind(), colons.id()), ("customer", ":a:b:"));
        for wrong in ["", "ada", "customer", "customer:", ":ada", "Ada:17", " customer:17"] {
            let error = wrong.parse::<SubjectId>().unwrap_err().to_string();
            assert!(!error.contains("ada") && !error.contains("Ada"), "{error}");
        }
    }

    #[test]
    fn an_id_that_is_too_long_names_no_subject() {
        assert!(SubjectId::new("customer", &"x".repeat(1024)).is_ok());
        assert!(SubjectId::new("customer", &"x".repeat(1025)).is_err());
        assert!(format!("customer:{}", "x".repeat(1025)).parse::<SubjectId>().is_err());
    }

    #[test]
    fn subject_ids_do_not_show_in_debug() {
        let subject = customer("ada@example.com");
        assert_eq!(format!("{subject:?} {:?}", "ada@example.com".to_id().unwrap()), "SubjectId(..) Id(..)");
    }
}
