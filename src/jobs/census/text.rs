//! A census as text: what it keeps to go on from after a crash.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64ct::{Base64UrlUnpadded, Encoding as _};

use super::{Census, Count, KeyUse, NamedKey, Version};
use crate::crypto::mac;
use crate::envelope::KeyId;
use crate::error::{Error, Result};

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{HEADER}\nstarted {}\n", self.started_at);
        for table in &self.tables {
            table.to_string().lines().try_for_each(|line| writeln!(text, "table {line}"))?;
        }
        for (Version { table, purpose, usage, version }, Count { cells, rows }) in &self.versions {
            let (line, version) = version.unwrap_or_default();
            let [table, purpose] = [table, purpose].map(|name| Base64UrlUnpadded::encode_string(name.as_bytes()));
            writeln!(text, "version {table} {purpose} {usage} {line} {version} {cells} {rows}")?;
        }
        for (id, NamedKey { rows, is_held }) in &self.keys {
            let held = if *is_held { "held" } else { "lost" };
            writeln!(text, "key {} {held} {rows}", Base64UrlUnpadded::encode_string(id.as_bytes()))?;
        }
        f.write_str(&text)?;
        writeln!(f, "end {}", digest(&text))
    }
}

/// Reads what a [`Census`] displays as, and nothing else.
impl FromStr for Census {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        read(text).ok_or_else(|| Error::invalid("this is no census, or not a whole one: take it anew"))
    }
}

fn read(text: &str) -> Option<Census> {
    let (body, end) = text.strip_suffix('\n')?.rsplit_once('\n').map(|(body, end)| (&text[..=body.len()], end))?;
    if end.strip_prefix("end ")? != digest(body) {
        return None;
    }
    read_body(body)
}

/// What is before the digest.
pub(crate) fn read_body(body: &str) -> Option<Census> {
    let mut lines = body.strip_prefix(HEADER)?.strip_prefix('\n')?.lines().peekable();
    let started_at = lines.next()?.strip_prefix("started ")?.parse().ok()?;
    let mut census = Census { started_at, tables: Vec::new(), versions: BTreeMap::new(), keys: BTreeMap::new() };
    while lines.peek().is_some_and(|line| line.starts_with("table ")) {
        let mut table = String::new();
        loop {
            let line = lines.next()?.strip_prefix("table ")?;
            writeln!(table, "{line}").ok()?;
            if line == "start" || line == "end" || line.starts_with("after ") {
                break;
            }
        }
        census.tables.push(table.parse().ok()?);
    }
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        match *words.as_slice() {
            ["version", table, purpose, usage, line, version, cells, rows] => {
                let name = |text: &str| String::from_utf8(Base64UrlUnpadded::decode_vec(text).ok()?).ok();
                let (table, purpose) = (name(table)?, name(purpose)?);
                let version = Some((line.parse().ok()?, version.parse().ok()?)).filter(|version| *version != (0, 0));
                let count = Count { cells: cells.parse().ok()?, rows: rows.parse().ok()? };
                census.versions.insert(Version { table, purpose, usage: KeyUse::named(usage)?, version }, count);
            }
            ["key", id, held @ ("held" | "lost"), rows] => {
                let id = Base64UrlUnpadded::decode_vec(id).ok()?.try_into().ok()?;
                let key = NamedKey { rows: rows.parse().ok()?, is_held: held == "held" };
                census.keys.insert(KeyId::from_bytes(id), key);
            }
            _ => return None,
        }
    }
    Some(census)
}

/// So that half a file is none.
fn digest(text: &str) -> String {
    Base64UrlUnpadded::encode_string(&mac::sha256(&[text.as_bytes()]))
}

const HEADER: &str = "fieldseal census 1";
