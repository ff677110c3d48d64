//! The parts of URLs: what stands behind the `?`, and `%2F`.

use super::Trouble;

/// `name=value`, joined by `&`. Each is taken by its name; what nobody took is refused.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// What stands before a `?`, and what behind it.
    pub(super) fn split(text: &str) -> Result<(&str, Self), Trouble> {
        let (before, query) = text.split_once('?').unwrap_or((text, ""));
        if text.contains('#') {
            return Err(Trouble::usage("a URL with a `#`: write it as %23"));
        }
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok((before, Self(pairs.collect::<Result<_, Trouble>>()?)))
    }

    /// All values of this name, in order.
    pub(super) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (own, rest) = std::mem::take(&mut self.0).into_iter().partition(|(other, _)| other == name);
        self.0 = rest;
        let own: Vec<(String, String)> = own;
        own.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of this name. `name` stands in the code, so an error may have it.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<String>, Trouble> {
        let mut values = self.take_all(name);
        match values.pop() {
            Some(value) if values.is_empty() && !value.is_empty() => Ok(Some(value)),
            Some(_) if values.is_empty() => Err(Trouble::usage(format!("`{name}` has no value"))),
            Some(_) => Err(Trouble::usage(format!("`{name}` stands there twice"))),
            None => Ok(None),
        }
    }

    /// One of two words, or nothing.
    pub(super) fn take_switch(&mut self, name: &'static str) -> Result<bool, Trouble> {
        match self.take(name)?.as_deref() {
            None | Some("off") => Ok(false),
            Some("on") => Ok(true),
            Some(_) => Err(Trouble::usage(format!("`{name}` is `on` or `off`"))),
        }
    }

    /// Nothing is left.
    pub(super) fn end(self, known: &[&str]) -> Result<(), Trouble> {
        self.end_but(known, |_| false).map(drop)
    }

    /// What is left has such names.
    pub(super) fn end_but(
        self,
        known: &[&str],
        passes: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String)>, Trouble> {
        if self.0.iter().all(|(name, _)| passes(name)) {
            return Ok(self.0);
        }
        // Not which one: a password with a `?` or a `&` in it ends here.
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        Err(Trouble::usage(format!("a parameter that is not known: known are {}", known.join(", "))))
    }
}

/// A text whose `%2F` are `/`.
pub(super) fn decoded(text: &str) -> Result<String, Trouble> {
    let wrong =
        || Trouble::usage("a `%` is followed by two hexadecimal digits, and text is UTF-8 without control characters");
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = rest else { return Err(wrong()) };
        rest = tail;
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (digit(high), digit(low)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(wrong()),
        }
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    if text.chars().any(char::is_control) { Err(wrong()) } else { Ok(text) }
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// `http://host:port` or `https://..`, without a user.
pub(super) fn is_address(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = host.map(|host| host.strip_suffix('/').unwrap_or(host));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    host.is_some_and(|host| !host.is_empty() && host.chars().all(fits))
}
