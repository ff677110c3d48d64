//! [`reveal`]: how a personal value leaves in a response.

use serde::{Serialize, Serializer};

use super::{Plain, Plaintext};

/// Serializes a personal value in the clear: for the types of responses to those who may see it.
///
/// [`Plain`] has no `Serialize`, so a value can't get into a response, a log or a queue by a derive alone; each field says
/// so, and it greps. It serves `Plain<T>`, and `Option` and `Vec` of what it serves.
///
/// ```
/// use fieldseal::Plain;
///
/// #[derive(serde::Serialize)]
/// struct Profile {
///     #[serde(serialize_with = "fieldseal::reveal")]
///     email: Plain<String>,
///     #[serde(serialize_with = "fieldseal::reveal", skip_serializing_if = "Option::is_none")]
///     phone: Option<Plain<String>>,
/// }
///
/// let profile = Profile { email: "ada@example.com".into(), phone: None };
/// assert_eq!(serde_json::to_string(&profile)?, r#"{"email":"ada@example.com"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// Those of the serializer.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
pub fn reveal<S: Serializer>(value: &impl Reveal, serializer: S) -> Result<S::Ok, S::Error> {
    Revealed(value).serialize(serializer)
}

/// What [`reveal`] serves: `Plain<T>`, and `Option` and `Vec` of it.
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no personal value to reveal",
    note = "`fieldseal::reveal` is for fields of type `Plain<T>`, `Option<Plain<T>>` or `Vec<Plain<T>>`, with a `T` that \
            serializes"
)]
pub trait Reveal: sealed::Sealed {
    #[doc(hidden)]
    fn reveal_to<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
}

impl<T: Plaintext + Serialize> Reveal for Plain<T> {
    fn reveal_to<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.expose().serialize(serializer)
    }
}

impl<R: Reveal> Reveal for Option<R> {
    fn reveal_to<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().map(Revealed).serialize(serializer)
    }
}

impl<R: Reveal> Reveal for Vec<R> {
    fn reveal_to<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Revealed))
    }
}

struct Revealed<'a, R>(&'a R);

impl<R: Reveal> Serialize for Revealed<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.reveal_to(serializer)
    }
}

/// What may leave in the clear is this crate's business.
mod sealed {
    use crate::value::{Plain, Plaintext};

    #[expect(unnameable_types, reason = "that seals it")]
    pub trait Sealed {}

    impl<T: Plaintext> Sealed for Plain<T> {}
    impl<R: Sealed> Sealed for Option<R> {}
    impl<R: Sealed> Sealed for Vec<R> {}
}
