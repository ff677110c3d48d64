//! `provider`, `previous` and `tenant_providers`: one provider, or several of which any opens; and those before it.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::parts::{PassphraseSource, url};
use crate::ports::ProviderUrl;

/// Who wraps, and from whom it took over.
#[derive(Clone)]
pub(crate) struct ProviderConfig {
    pub(crate) set: SetConfig,
    pub(crate) previous: Vec<SetConfig>,
}

/// One provider, or several of which any opens.
#[derive(Clone)]
pub(crate) struct SetConfig {
    pub(crate) first: MemberConfig,
    pub(crate) others: Vec<MemberConfig>,
}

/// One provider.
#[derive(Clone)]
pub(crate) struct MemberConfig {
    pub(crate) url: ProviderUrl,
    pub(crate) passphrase: Option<PassphraseSource>,
}

/// `{ provider = .., passphrase = .., previous = [..] }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    provider: SetConfig,
    passphrase: Option<PassphraseSource>,
    #[serde(default)]
    previous: Vec<SetConfig>,
}

impl ProviderConfig {
    /// Every provider that it names.
    pub(crate) fn members_mut(&mut self) -> impl Iterator<Item = &mut MemberConfig> {
        std::iter::once(&mut self.set).chain(&mut self.previous).flat_map(SetConfig::members_mut)
    }
}

impl SetConfig {
    /// Some of a set; none of none.
    pub(crate) fn of(members: impl IntoIterator<Item = MemberConfig>) -> Option<Self> {
        let mut members = members.into_iter();
        members.next().map(|first| Self { first, others: members.collect() })
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &MemberConfig> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn members_mut(&mut self) -> impl Iterator<Item = &mut MemberConfig> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }

    pub(crate) fn has_keyring(&self) -> bool {
        self.members().any(|member| member.url.is_keyring())
    }

    /// The passphrase of those keyrings that have none of their own.
    pub(super) fn protected(mut self, passphrase: Option<&PassphraseSource>) -> Result<Self, &'static str> {
        let Some(passphrase) = passphrase else { return Ok(self) };
        let keyrings = self.members_mut().filter(|member| member.url.is_keyring() && member.passphrase.is_none());
        let mut found = false;
        for keyring in keyrings {
            found = true;
            keyring.passphrase = Some(passphrase.clone());
        }
        if found { Ok(self) } else { Err("a `passphrase` protects a keyring, and there is none that lacks one") }
    }
}

impl<'de> Deserialize<'de> for ProviderConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = ProviderConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ProviderConfig, E> {
                let first = MemberConfig { url: text.parse().map_err(E::custom)?, passphrase: None };
                Ok(ProviderConfig { set: SetConfig { first, others: Vec::new() }, previous: Vec::new() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ProviderConfig, A::Error> {
                let mut members = Vec::new();
                while let Some(Member(member)) = seq.next_element()? {
                    members.push(member);
                }
                let set = SetConfig::of(members).ok_or_else(|| de::Error::custom(FORMS))?;
                Ok(ProviderConfig { set, previous: Vec::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ProviderConfig, A::Error> {
                let raw = Raw::deserialize(MapAccessDeserializer::new(map))?;
                let set = raw.provider.protected(raw.passphrase.as_ref()).map_err(de::Error::custom)?;
                Ok(ProviderConfig { set, previous: raw.previous })
            }
        }

        deserializer.deserialize_any(Form)
    }
}

impl<'de> Deserialize<'de> for SetConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ProviderConfig { set, previous } = ProviderConfig::deserialize(deserializer)?;
        if previous.is_empty() {
            Ok(set)
        } else {
            Err(de::Error::custom("a `previous` within another one: list them all in one"))
        }
    }
}

/// One of a set: no set itself.
struct Member(MemberConfig);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        /// `{ provider = .., passphrase = .. }`
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            #[serde(deserialize_with = "url")]
            provider: ProviderUrl,
            passphrase: Option<PassphraseSource>,
        }

        impl<'de> Visitor<'de> for Form {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORMS)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Member, E> {
                Ok(Member(MemberConfig { url: text.parse().map_err(E::custom)?, passphrase: None }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
                let Raw { provider, passphrase } = Raw::deserialize(MapAccessDeserializer::new(map))?;
                let set = SetConfig { first: MemberConfig { url: provider, passphrase: None }, others: Vec::new() };
                Ok(Member(set.protected(passphrase.as_ref()).map_err(de::Error::custom)?.first))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

const FORMS: &str =
    "a provider is \"URL\", { provider = \"URL\", passphrase = .. }, or a list of these, of which any opens";
