//! Whether a text is JSON: what is sealed as JSON must be read as JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether `AsJson` reads the text as a value of any shape.
pub(super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<Anything>(text).is_ok()
}

/// Any value, looked at and dropped. `IgnoredAny` passes over numbers and escapes that nobody can read.
struct Anything;

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while members.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_json_if_it_is_read_as_a_value() {
        for (text, expected) in [
            ("null", true),
            (" { \"a\" : [ 1 , -0.5e+3, \"\\u00e9\\n\" ] , \"\" : {} }\r\n\t", true),
            ("\"\\ud83d\\ude00 \u{1F600}\"", true),
            ("1e308", true),
            ("0", true),
            ("1E400", false),
            ("\"\\ud83d\"", false),
            ("\"\\ude00\"", false),
            ("\"\\ud83d\\u0041\"", false),
            ("\"\\u+0ff\"", false),
            ("\"\\x\"", false),
            ("\"a\nb\"", false),
            ("\"a", false),
            ("", false),
            (" ", false),
            ("ada", false),
            ("True", false),
            ("nul", false),
            ("NaN", false),
            ("01", false),
            ("-", false),
            ("1.", false),
            (".5", false),
            ("+1", false),
            ("1e", false),
            ("[1,]", false),
            ("[,]", false),
            ("[1 2]", false),
            ("{\"a\":1,}", false),
            ("{a:1}", false),
            ("{\"a\"}", false),
            ("{1:2}", false),
            ("[1", false),
            ("1]", false),
            ("1 2", false),
            ("\u{FEFF}1", false),
            ("\u{A0}1", false),
            ("// \n1", false),
        ] {
            assert_eq!(is_json(text), expected, "{text:?}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(text).is_ok(), expected, "{text:?}");
        }
        for (depth, expected) in [(1, true), (127, true), (128, false), (200_000, false)] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(is_json(&text), expected, "{depth} deep");
            let text = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
            assert_eq!(is_json(&text), expected, "{depth} deep");
        }
    }
}
