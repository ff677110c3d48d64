//! [`Plain<T>`]: a personal value in the clear, on its way to or from the person who may see it.

use std::fmt;

use super::Plaintext;

/// A personal value in the clear. Wiped on drop; `Debug` is redacted; there is no `Display`, `Clone`, `PartialEq`, `Deref`
/// or `Serialize`: the ways out are [`expose`](Self::expose) and [`into_inner`](Self::into_inner), and they grep.
///
/// ```
/// use fieldseal::Plain;
///
/// let email = Plain::new("ada@example.com".to_owned());
/// assert_eq!(email.expose(), "ada@example.com");
/// assert_eq!(format!("{email:?}"), "Plain(..)");
/// ```
///
/// # Security
/// What `T` keeps on the heap (`String`, `Vec<u8>`) is wiped. A value that lives in the struct itself (an integer, an
/// array) leaves copies where it is moved: wrap those late and don't keep them.
pub struct Plain<T: Plaintext>(
    /// None only inside `into_inner` and `drop`.
    Option<T>,
);

impl<T: Plaintext> Plain<T> {
    /// Marks a value as personal.
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value, to look at.
    pub fn expose(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => unreachable!("only `into_inner` takes the value, and it takes the Plain with it"),
        }
    }

    /// The value, to own: from here on nobody wipes it.
    pub fn into_inner(mut self) -> T {
        match self.0.take() {
            Some(value) => value,
            None => unreachable!("only `into_inner` takes the value, and it takes the Plain with it"),
        }
    }
}

impl<T: Plaintext> From<T> for Plain<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl From<&str> for Plain<String> {
    fn from(value: &str) -> Self {
        Self::new(value.to_owned())
    }
}

impl<T: Plaintext> Drop for Plain<T> {
    fn drop(&mut self) {
        if let Some(value) = &mut self.0 {
            value.wipe();
        }
    }
}

impl<T: Plaintext> fmt::Debug for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain(..)")
    }
}
