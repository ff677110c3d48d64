//! [`ErasureReceipt`] as JSON, by the schema of `docs/receipt.md`: moments as RFC 3339 text, ids and tags in hexadecimal.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::receipt::{ErasedPurpose, ErasureReceipt, KeyEnd, MasterKeyEnd, ReceiptResidue, hex};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::id::{Purpose, TenantId};
use crate::journal::JournalId;
use crate::keys::{Epoch, MasterKeyId, Tag};

const FORMAT: &str = "fieldseal erasure receipt 1";

/// The document. A field that it doesn't know is refused: a later version has another `format`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    journal: String,
    tenant: String,
    subject: Option<String>,
    whole: bool,
    reference: Option<String>,
    erased_at: String,
    effective_by: String,
    purposes: Vec<PurposeEntry>,
    may_remain: Vec<ResidueEntry>,
    master_keys: Vec<MasterKeyEntry>,
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

impl Serialize for ErasureReceipt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let document = Document {
            format: FORMAT.to_owned(),
            journal: to_hex(self.journal.as_bytes()),
            tenant: self.tenant.as_str().to_owned(),
            subject: self.tag.as_ref().map(|tag| to_hex(tag.as_bytes())),
            whole: self.whole,
            reference: self.reference.clone(),
            erased_at: self.erased_at.to_string(),
            effective_by: self.effective_by.to_string(),
            purposes: self.purposes.iter().map(PurposeEntry::of).collect(),
            may_remain: self.residue.iter().map(ResidueEntry::of).collect(),
            master_keys: self.masters.iter().map(MasterKeyEntry::of).collect(),
        };
        document.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ErasureReceipt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Document::deserialize(deserializer)?;
        if document.format != FORMAT {
            return Err(D::Error::custom("not an erasure receipt of a format that this version reads"));
        }
        document.receipt().ok_or_else(|| D::Error::custom("a damaged erasure receipt"))
    }
}

impl Document {
    fn receipt(self) -> Option<ErasureReceipt> {
        let tag = match self.subject {
            Some(tag) => Some(Tag::from_bytes(from_hex(&tag)?)),
            None => None,
        };
        if tag.is_none() != self.purposes.is_empty() {
            return None;
        }
        let (erased_at, effective_by) = (moment(&self.erased_at)?, moment(&self.effective_by)?);
        if effective_by < erased_at || !self.purposes.is_sorted_by(|a, b| a.purpose < b.purpose) {
            return None;
        }
        Some(ErasureReceipt {
            journal: JournalId::from_bytes(from_hex(&self.journal)?),
            tenant: TenantId::new(self.tenant).ok()?,
            tag,
            whole: self.whole,
            purposes: self.purposes.into_iter().map(PurposeEntry::read).collect::<Option<_>>()?,
            reference: self.reference,
            erased_at,
            effective_by,
            residue: self.may_remain.into_iter().map(ResidueEntry::read).collect(),
            masters: self.master_keys.into_iter().map(MasterKeyEntry::read).collect::<Option<_>>()?,
        })
    }
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
            key_ids: self.key_ids.iter().map(|id| from_hex(id).map(KeyId::from_bytes)).collect::<Option<_>>()?,
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
