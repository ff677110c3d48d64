//! [`ErasureReceipt`] as JSON, by the schema of `docs/receipt.md`: moments as RFC 3339 text, ids and tags in hexadecimal. In
//! which order one is refused, `docs/format.md`, section 15, says.

use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::receipt::{ErasedPurpose, ErasureReceipt, IndexEnd, IndexKeyEnd, KeyEnd, MasterKeyEnd, ReceiptResidue, hex};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::id::{Purpose, TenantId};
use crate::journal::JournalId;
use crate::keys::slot::{MAX_DESTROYED, MAX_PURPOSES};
use crate::keys::{Epoch, MasterKeyId, Tag};

/// The document. A member that it doesn't know is refused: a later version has another `format`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    journal: String,
    tenant: String,
    subject: Option<String>,
    whole: bool,
    was_known: bool,
    reference: Option<String>,
    erased_at: String,
    effective_by: String,
    purposes: Vec<PurposeEntry>,
    key_ids_complete: bool,
    may_remain: Vec<ResidueEntry>,
    master_keys: Vec<MasterKeyEntry>,
    index_keys: Vec<IndexKeyEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurposeEntry {
    purpose: String,
    line: u32,
    erased_at: String,
    key_ids: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResidueEntry {
    place: String,
    ends_by: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MasterKeyEntry {
    id: String,
    epoch: u32,
    end: KeyEndEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
enum KeyEndEntry {
    // Braces, so that a field which nobody knows is refused beside these, too.
    Lives {},
    Unconfirmed {},
    Scheduled { at: String },
    Destroyed {},
    DestroyedHere { copies: Vec<String> },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexKeyEntry {
    index_epoch: u32,
    end: IndexEndEntry,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "state")]
enum IndexEndEntry {
    Lives {},
    Retired { until: u32 },
    GivenUp { until: u32 },
}

impl Serialize for ErasureReceipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            format: format!("{FORMAT}{VERSION}"),
            journal: to_hex(self.journal.as_bytes()),
            tenant: self.tenant.as_str().to_owned(),
            subject: self.tag.as_ref().map(|tag| to_hex(tag.as_bytes())),
            whole: self.whole,
            was_known: self.was_known,
            reference: self.reference.clone(),
            erased_at: self.erased_at.to_string(),
            effective_by: self.effective_by.to_string(),
            purposes: self.purposes.iter().map(PurposeEntry::of).collect(),
            key_ids_complete: self.key_ids_complete,
            may_remain: self.residue.iter().map(ResidueEntry::of).collect(),
            master_keys: self.masters.iter().map(MasterKeyEntry::of).collect(),
            index_keys: self.index_keys.iter().map(IndexKeyEntry::of).collect(),
        };
        document.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ErasureReceipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as a whole first: `format` may come last, and says what to make of the rest.
        let Json { value, repeats } = Json::deserialize(deserializer)?;
        read(value, repeats).map_err(D::Error::custom)
    }
}

/// No message repeats what a document holds: it may name a person.
fn read(value: Value, repeats: bool) -> Result<ErasureReceipt, &'static str> {
    let members = value.as_object().ok_or(FOREIGN)?;
    match members.get("format").ok_or(FOREIGN)?.as_str().map(version_of) {
        Some(Some(VERSION)) => {}
        Some(Some(_)) => return Err(NEWER),
        Some(None) => return Err(FOREIGN),
        None => return Err(DAMAGED),
    }
    if repeats {
        return Err(DAMAGED);
    }
    let document: Document = serde_json::from_value(value).map_err(|_| DAMAGED)?;
    document.receipt().ok_or(DAMAGED)
}

/// The number that a receipt of any version says it is of.
fn version_of(format: &str) -> Option<u32> {
    let number = format.strip_prefix(FORMAT)?;
    let is_one = number.bytes().all(|b| b.is_ascii_digit()) && !number.starts_with('0') && number.len() <= 9;
    number.parse().ok().filter(|_| is_one)
}

impl Document {
    /// The receipt, if all of it is in bounds and fits together.
    fn receipt(self) -> Option<ErasureReceipt> {
        let tag = match self.subject {
            Some(tag) => Some(Tag::from_bytes(from_hex(&tag)?)),
            None => None,
        };
        let receipt = ErasureReceipt {
            journal: JournalId::from_bytes(from_hex(&self.journal)?),
            tenant: TenantId::new(self.tenant).ok()?,
            tag,
            whole: self.whole,
            was_known: self.was_known,
            reference: self.reference,
            erased_at: moment(&self.erased_at)?,
            effective_by: moment(&self.effective_by)?,
            purposes: self.purposes.into_iter().map(PurposeEntry::read).collect::<Option<_>>()?,
            key_ids_complete: self.key_ids_complete,
            residue: self.may_remain.into_iter().map(ResidueEntry::read).collect(),
            masters: self.master_keys.into_iter().map(MasterKeyEntry::read).collect::<Option<_>>()?,
            index_keys: self.index_keys.into_iter().map(IndexKeyEntry::read).collect::<Option<_>>()?,
        };
        fits_together(&receipt).then_some(receipt)
    }
}

fn fits_together(receipt: &ErasureReceipt) -> bool {
    let ErasureReceipt { tag, whole, purposes, key_ids_complete, index_keys, .. } = receipt;
    let is_of_tenant = tag.is_none();
    is_of_tenant == purposes.is_empty()
        && purposes.len() <= MAX_PURPOSES
        && purposes.is_sorted_by(|a, b| a.purpose < b.purpose)
        && index_keys.is_sorted_by(|a, b| a.index_epoch < b.index_epoch)
        && (!is_of_tenant || (*whole && *key_ids_complete))
        && receipt.effective_by >= receipt.erased_at
}

impl PurposeEntry {
    fn of(erased: &ErasedPurpose) -> Self {
        Self {
            purpose: erased.purpose.as_str().to_owned(),
            line: erased.line,
            erased_at: erased.erased_at.to_string(),
            key_ids: erased.key_ids.iter().map(|id| to_hex(id.as_bytes())).collect(),
        }
    }

    fn read(self) -> Option<ErasedPurpose> {
        Some(ErasedPurpose {
            purpose: Purpose::new(self.purpose).ok()?,
            line: Some(self.line).filter(|line| *line > 0)?,
            erased_at: moment(&self.erased_at)?,
            key_ids: Some(self.key_ids)
                .filter(|ids| ids.len() <= MAX_DESTROYED)?
                .iter()
                .map(|id| from_hex(id).map(KeyId::from_bytes))
                .collect::<Option<_>>()?,
        })
    }
}

impl ResidueEntry {
    fn of(residue: &ReceiptResidue) -> Self {
        Self { place: residue.place.clone(), ends_by: residue.ends_by.clone() }
    }

    fn read(self) -> ReceiptResidue {
        ReceiptResidue { place: self.place, ends_by: self.ends_by }
    }
}

impl MasterKeyEntry {
    fn of(master: &MasterKeyEnd) -> Self {
        let end = match &master.end {
            KeyEnd::Lives => KeyEndEntry::Lives {},
            KeyEnd::Unconfirmed => KeyEndEntry::Unconfirmed {},
            KeyEnd::Scheduled { at } => KeyEndEntry::Scheduled { at: at.to_string() },
            KeyEnd::Destroyed => KeyEndEntry::Destroyed {},
            KeyEnd::DestroyedHere { copies } => KeyEndEntry::DestroyedHere { copies: copies.clone() },
        };
        Self { id: master.master.as_str().to_owned(), epoch: master.epoch.get(), end }
    }

    fn read(self) -> Option<MasterKeyEnd> {
        let end = match self.end {
            KeyEndEntry::Lives {} => KeyEnd::Lives,
            KeyEndEntry::Unconfirmed {} => KeyEnd::Unconfirmed,
            KeyEndEntry::Scheduled { at } => KeyEnd::Scheduled { at: moment(&at)? },
            KeyEndEntry::Destroyed {} => KeyEnd::Destroyed,
            KeyEndEntry::DestroyedHere { copies } => KeyEnd::DestroyedHere { copies },
        };
        Some(MasterKeyEnd { master: MasterKeyId::new(self.id).ok()?, epoch: Epoch::new(self.epoch)?, end })
    }
}

impl IndexKeyEntry {
    fn of(index: &IndexKeyEnd) -> Self {
        let end = match index.end {
            IndexEnd::Lives => IndexEndEntry::Lives {},
            IndexEnd::Retired { until } => IndexEndEntry::Retired { until: until.get() },
            IndexEnd::GivenUp { until } => IndexEndEntry::GivenUp { until: until.get() },
        };
        Self { index_epoch: index.index_epoch, end }
    }

    fn read(self) -> Option<IndexKeyEnd> {
        let end = match self.end {
            IndexEndEntry::Lives {} => IndexEnd::Lives,
            IndexEndEntry::Retired { until } => IndexEnd::Retired { until: Epoch::new(until)? },
            IndexEndEntry::GivenUp { until } => IndexEnd::GivenUp { until: Epoch::new(until)? },
        };
        Some(IndexKeyEnd { index_epoch: Some(self.index_epoch).filter(|number| *number > 0)?, end })
    }
}

/// Any JSON, and whether a member of an object in it is there twice.
struct Json {
    value: Value,
    repeats: bool,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

impl Json {
    fn of<E>(value: impl Into<Value>) -> Result<Self, E> {
        Ok(Self { value: value.into(), repeats: false })
    }
}

struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Json::of(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Json::of(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Json::of(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Json::of(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Json::of(value)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Json::of(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let (mut items, mut any_repeats) = (Vec::new(), false);
        while let Some(Json { value, repeats }) = seq.next_element()? {
            items.push(value);
            any_repeats |= repeats;
        }
        Ok(Json { value: Value::Array(items), repeats: any_repeats })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let (mut members, mut any_repeats) = (Map::new(), false);
        while let Some((name, Json { value, repeats })) = map.next_entry::<String, Json>()? {
            any_repeats |= repeats || members.contains_key(&name);
            members.entry(name).or_insert(value);
        }
        Ok(Json { value: Value::Object(members), repeats: any_repeats })
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    // Writing to a `String` can't fail.
    let _ = hex(&mut text, bytes);
    text
}

/// Lower case, as it is written.
fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

const FORMAT: &str = "fieldseal erasure receipt ";
const VERSION: u32 = 1;
const FOREIGN: &str = "not an erasure receipt";
const NEWER: &str = "an erasure receipt of a later version of fieldseal: upgrade";
const DAMAGED: &str = "a damaged erasure receipt";
