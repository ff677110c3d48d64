//! What single keys of `keytool.toml` hold: URLs, durations, where a passphrase is. Each error says what to write.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use fieldseal::id::SubjectKind;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::ports::Trouble;

/// A port's URL.
pub(super) fn url<'de, D, U>(deserializer: D) -> Result<U, D::Error>
where
    D: Deserializer<'de>,
    U: FromStr<Err = Trouble>,
{
    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
}

/// What a subject is.
pub(super) fn kind<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let kind = SubjectKind::new(String::deserialize(deserializer)?).map_err(de::Error::custom)?;
    Ok(kind.as_str().to_owned())
}

/// What subjects are.
pub(super) fn kinds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let kinds = Vec::<String>::deserialize(deserializer)?;
    match kinds.iter().find_map(|kind| SubjectKind::new(kind).err()) {
        Some(e) => Err(de::Error::custom(e)),
        None => Ok(kinds),
    }
}

/// Where the application's tables are. Not printable: a URL may hold a password.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum DatabaseSpec {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server's URL.
    #[cfg(feature = "postgres")]
    Postgres(String),
}

impl TryFrom<String> for DatabaseSpec {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return postgres(text);
        }
        // What was written is not repeated: it may be a URL with a password in it.
        let known = "write \"sqlite:FILE\" or \"postgres://user@host/db\"";
        match text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => Err(known.to_owned()),
        }
    }
}

#[cfg(feature = "postgres")]
fn postgres(url: String) -> Result<DatabaseSpec, String> {
    crate::ports::postgres::parameters(&url).map_err(|e| e.to_string())?;
    Ok(DatabaseSpec::Postgres(url))
}

#[cfg(not(feature = "postgres"))]
fn postgres(_: String) -> Result<DatabaseSpec, String> {
    Err(crate::ports::lacks("postgres").to_string())
}

/// How long: `90s`, `5m`, `2h`, `14d`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Age(pub(crate) Duration);

impl TryFrom<String> for Age {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        duration(&text).map(Self)
    }
}

/// Reads `90s`, `5m`, `2h`, `14d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration is a number and a unit: \"90s\", \"5m\", \"2h\", \"14d\"".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Where the passphrase is read.
#[derive(Clone)]
pub(crate) enum PassphraseSource {
    /// An environment variable.
    Env(String),
    /// A file, without the newline at its end.
    File(PathBuf),
}

/// By hand, so that a passphrase that was written itself into the file is in no error.
impl<'de> Deserialize<'de> for PassphraseSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Source;

        impl<'de> Visitor<'de> for Source {
            type Value = PassphraseSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SAY_WHERE)
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<PassphraseSource, E> {
                Err(E::custom(format!("the passphrase itself doesn't belong here: write {SAY_WHERE}")))
            }

            fn visit_i64<E: de::Error>(self, _: i64) -> Result<PassphraseSource, E> {
                self.visit_str("")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PassphraseSource, A::Error> {
                let wrong = || de::Error::custom(format!("write {SAY_WHERE}"));
                let source = match map.next_key::<String>()?.as_deref() {
                    Some("env") => PassphraseSource::Env(map.next_value()?),
                    Some("file") => PassphraseSource::File(map.next_value()?),
                    _ => return Err(wrong()),
                };
                match map.next_key::<String>()? {
                    None => Ok(source),
                    Some(_) => Err(wrong()),
                }
            }
        }

        deserializer.deserialize_any(Source)
    }
}

const SAY_WHERE: &str = "{ env = \"NAME\" } or { file = \"PATH\" }";
