//! [`Shape`]: what the values of a type look like where they are stored, in words.

use std::borrow::Cow;
use std::fmt;

/// What of a type the values that are stored depend on, beside their kind. `record::describe` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Cow<'static, str>);

impl Shape {
    /// What displays as this.
    pub(crate) const fn of(words: &'static str) -> Self {
        Self(Cow::Borrowed(words))
    }

    /// `Vec<text>`.
    pub(crate) fn within(self, outer: &str) -> Self {
        Self(Cow::Owned(format!("{outer}<{self}>")))
    }

    /// So many bytes.
    pub(crate) fn bytes(len: usize) -> Self {
        Self(Cow::Owned(format!("[u8; {len}]")))
    }

    /// One of these names, in whatever order they are declared: what the derive macro says of a plain enum.
    pub fn one_of(names: &[&str]) -> Self {
        let mut names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
        names.sort_unstable();
        Self(Cow::Owned(names.join(" | ")))
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
