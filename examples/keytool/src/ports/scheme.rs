//! [`Schemes`]: what a URL may begin with, and what is said of one that begins with something else.

use super::Trouble;

/// The schemes of a port.
pub(super) struct Schemes {
    pub(super) port: &'static str,
    pub(super) known: &'static [Scheme],
}

/// What a URL begins with, how it goes on, and the feature without which this build can't open it.
pub(super) struct Scheme {
    pub(super) name: &'static str,
    pub(super) form: &'static str,
    pub(super) feature: Option<&'static str>,
}

impl Schemes {
    /// The scheme, and what follows.
    pub(super) fn split<'a>(&self, text: &'a str) -> Result<(&'a str, &'a str), Trouble> {
        match text.split_once(':') {
            Some(("postgresql", rest)) => Ok(("postgres", rest)), // libpq has both
            Some(split) => Ok(split),
            None => Err(Trouble::usage(format!("a {} begins with its scheme: {}", self.port, self.forms()))),
        }
    }

    /// Why this is none that can be opened: it isn't known, or this build lacks its feature.
    pub(super) fn refuse(&self, scheme: &str) -> Trouble {
        match self.known.iter().find(|known| known.name == scheme).and_then(|known| known.feature) {
            Some(feature) => lacks(feature),
            None => Trouble::usage(format!("there is no such {}: {}", self.port, self.forms())),
        }
    }

    /// `scheme:FILE`
    pub(super) fn path<'a>(&self, scheme: &str, path: &'a str) -> Result<&'a str, Trouble> {
        match path {
            "" => Err(Trouble::usage(format!("the {scheme} has no path: {}", self.forms()))),
            path => Ok(path),
        }
    }

    fn forms(&self) -> String {
        let forms: Vec<_> = self.known.iter().map(|scheme| format!("\"{}\"", scheme.form)).collect();
        format!("known {} {}", if forms.len() == 1 { "is" } else { "are" }, forms.join(", "))
    }
}

/// What is said of a URL whose backend this build was made without.
pub(crate) fn lacks(feature: &str) -> Trouble {
    Trouble::usage(format!("this build has no `{feature}`: build with `--features {feature}`"))
}
