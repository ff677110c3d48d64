//! [`Needles`]: what nobody may be shown.

use std::error::Error as StdError;
use std::fmt::Debug;

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

pub(crate) const EMAIL: &str = "ada.lovelace@example.com";
pub(crate) const PHONE: &str = "+44 20 7946 0018";
pub(crate) const SUBJECT: &str = "lovelace-1815-12-10";
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";

/// What must not be found: secrets and personal data, in the forms in which they come to light.
pub(crate) struct Needles(Vec<(String, String)>);

impl Needles {
    pub(crate) fn new() -> Self {
        let mut needles = Self(Vec::new());
        for (what, text) in [("e-mail", EMAIL), ("phone", PHONE), ("subject", SUBJECT), ("passphrase", PASSPHRASE)] {
            needles.add(what, text.as_bytes());
        }
        needles
    }

    pub(crate) fn add(&mut self, what: &str, bytes: &[u8]) {
        // A part of it is as bad.
        let part = &bytes[..bytes.len().min(9)];
        let hex: String = part.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = |join: &str, form: &dyn Fn(&u8) -> String| part.iter().map(form).collect::<Vec<_>>().join(join);
        let mut forms = vec![
            hex.to_uppercase(),
            list(":", &|byte| format!("{byte:02x}")),
            list(",", &|byte| byte.to_string()),
            list(",", &|byte| format!("0x{byte:02x}")),
            part.escape_ascii().to_string(),
            Base64Unpadded::encode_string(part),
            Base64UrlUnpadded::encode_string(part),
            hex,
        ];
        forms.extend(std::str::from_utf8(part).map(str::to_owned));
        // `{:#?}` breaks lists into lines, so white space is left out on both sides.
        self.0.extend(forms.iter().map(|form| (format!("{what} as {form}"), squeezed(form))));
    }

    pub(crate) fn find(&self, shown: &str) -> Option<&str> {
        let shown = squeezed(shown);
        self.0.iter().find(|(_, form)| shown.contains(form)).map(|(needle, _)| needle.as_str())
    }

    #[track_caller]
    pub(crate) fn search(&self, what: &str, shown: &str) {
        assert_eq!(self.find(shown), None, "{what}: {shown}");
    }

    #[track_caller]
    pub(crate) fn search_debug(&self, what: &str, value: &dyn Debug) {
        self.search(what, &format!("{value:?} {value:#?} {value:x?} {value:#X?}"));
    }

    /// An error, and all that it is due to.
    pub(crate) fn search_error(&self, what: &str, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.search(what, &format!("{error} {error:#}"));
            self.search_debug(what, &error);
            next = error.source();
        }
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}
