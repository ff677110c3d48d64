//! The engine's keys, and how a master key's id names one.

use std::collections::BTreeMap;

use serde::Deserialize;

use fieldseal::error::{ProviderError, ProviderErrorKind};
use fieldseal::provider::MasterKeyId;

/// The name of a key in the engine: letters, digits, `_`, `.` and `-`, neither of the last two at its ends.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyName(String);

impl KeyName {
    const MAX_LEN: usize = 256;

    pub(super) fn new(name: &str) -> Result<Self, ProviderError> {
        Self::parse(name).ok_or_else(|| {
            ProviderError::misconfigured(
                "the name of a key has 1 to 256 letters, digits, `_`, `.` and `-`, the last two not at its ends",
            )
        })
    }

    fn parse(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_LEN).contains(&name.len()) && name.bytes().all(is_of_name);
        let at_ends = ['.', '-'];
        (fits && !name.starts_with(at_ends) && !name.ends_with(at_ends)).then(|| Self(name.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

/// `openbao:ENGINE:NAME:MADE`: the engine's unique id, the key's name, and when it was made, in seconds since 1970.
#[derive(Clone)]
pub(super) struct BaoKeyId {
    pub(super) engine: String,
    pub(super) name: KeyName,
    pub(super) made: u64,
}

impl BaoKeyId {
    /// The id of a key that an engine could have, or `UnknownKey`.
    pub(super) fn of(master: &MasterKeyId) -> Result<Self, ProviderError> {
        let id = Self::parse(master.as_str()).ok_or_else(|| ProviderError::new(ProviderErrorKind::UnknownKey))?;
        // One key has one id.
        if id.text() == master.as_str() { Ok(id) } else { Err(ProviderError::new(ProviderErrorKind::UnknownKey)) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split(':');
        let (engine, name, made) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || !is_engine(engine) {
            return None;
        }
        Some(Self { engine: engine.to_owned(), name: KeyName::parse(name)?, made: made.parse().ok()? })
    }

    pub(super) fn to_master(&self) -> Result<MasterKeyId, ProviderError> {
        MasterKeyId::new(self.text()).map_err(ProviderError::internal)
    }

    fn text(&self) -> String {
        format!("{PREFIX}{}:{}:{}", self.engine, self.name.as_str(), self.made)
    }
}

/// Whether it can be the unique id of an engine.
pub(super) fn is_engine(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What the engine says of a key.
#[derive(Deserialize)]
pub(super) struct BaoKey {
    #[serde(rename = "type")]
    kind: String,
    /// When each version was made that is not shut off; something else for keys that can't wrap.
    #[serde(default)]
    keys: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    exportable: bool,
    #[serde(default)]
    allow_plaintext_backup: bool,
    #[serde(default)]
    convergent_encryption: bool,
    #[serde(default)]
    soft_deleted: bool,
}

impl BaoKey {
    /// When its first version was made: what tells it from another one of its name.
    pub(super) fn made(&self) -> Option<u64> {
        self.keys.get("1")?.as_u64()
    }

    /// Whether it may wrap; then when it was made.
    pub(super) fn fit_to_wrap(&self) -> Result<u64, ProviderError> {
        if self.soft_deleted {
            return Err(soft_deleted());
        }
        if !KINDS.contains(&self.kind.as_str()) {
            return Err(ProviderError::misconfigured(
                "the key's type is none that wraps: make one of aes256-gcm96, chacha20-poly1305 or xchacha20-poly1305",
            ));
        }
        if self.exportable || self.allow_plaintext_backup {
            return Err(ProviderError::misconfigured(
                "the key may leave the engine (exportable or allow_plaintext_backup), so its destruction would end nothing: \
                 make one that may not",
            ));
        }
        if self.convergent_encryption {
            return Err(ProviderError::misconfigured(
                "the key is convergent: equal keys would be wrapped alike. Make one that isn't",
            ));
        }
        self.made().ok_or_else(first_version_is_shut_off)
    }
}

pub(super) fn soft_deleted() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Disabled)
        .with_hint("it is soft-deleted: restore it in the transit engine, or wrap with another")
}

pub(super) fn first_version_is_shut_off() -> ProviderError {
    ProviderError::misconfigured(
        "the key's first version is below its min_decryption_version, or was trimmed, so that it can't be told from another \
         key of its name",
    )
}

const PREFIX: &str = "openbao:";
/// Authenticated, with associated data, and of 256 bits.
const KINDS: [&str; 3] = ["aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<BaoKeyId, ProviderError> {
        BaoKeyId::of(&MasterKeyId::new(text).unwrap())
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let text = "openbao:d8557043-9a06-63fc-2fa8-d7ba7ff88889:customers-1:1795577701";
        let id = of(text).unwrap();
        assert_eq!((id.name.as_str(), id.made), ("customers-1", 1_795_577_701));
        assert_eq!(id.to_master().unwrap().as_str(), text);
    }

    #[test]
    fn what_is_no_id_of_ours_is_unknown() {
        for text in [
            "local-0011223344556677",
            "openbao:e:customers",
            "openbao:e:customers:1:2",
            "openbao:e:customers:01",
            "openbao:e:customers:+1",
            "openbao::customers:1",
            "openbao:e::1",
            "openbao:e:..:1",
            "openbao:e:../../sys/seal:1",
            "openbao:e:a%2f:1",
            "openbao:e/:customers:1",
        ] {
            assert_eq!(of(text).err().unwrap().kind(), ProviderErrorKind::UnknownKey, "{text}");
        }
    }

    #[test]
    fn a_name_that_the_engine_can_not_have_is_refused() {
        for name in ["", ".", "..", "-a", "a-", "a/b", "a b", "a%2fb", "ä", "a?b", "a:b", &"a".repeat(257)] {
            assert!(KeyName::new(name).is_err(), "{name}");
        }
        for name in ["a", "customers-1", "a.b_c-D9", &"a".repeat(256)] {
            assert!(KeyName::new(name).is_ok(), "{name}");
        }
    }
}
