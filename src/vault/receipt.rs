//! [`ErasureReceipt`]: what an erasure destroyed, what may still hold a copy, and what ends that. `docs/receipt.md`.
//!
//! Every claim is one that the library can make: what an engine or an operator may keep is named, not denied.

use std::fmt;

use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::id::{Purpose, TenantId};
use crate::journal::JournalId;
use crate::keys::{Epoch, MasterKeyId, Tag};
use crate::provider::Destruction;
use crate::store::Residue;

/// What an erasure destroyed and what is left to be said. Displays as text for people; JSON with the feature `serde`.
///
/// It names the subject by its tag alone. [`Tenant::erasure_status`](crate::Tenant::erasure_status) says later what has
/// become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErasureReceipt {
    pub(super) journal: JournalId,
    pub(super) tenant: TenantId,
    pub(super) tag: Option<Tag>,
    pub(super) whole: bool,
    pub(super) was_known: bool,
    pub(super) reference: Option<String>,
    pub(super) erased_at: Timestamp,
    pub(super) effective_by: Timestamp,
    pub(super) purposes: Vec<ErasedPurpose>,
    pub(super) key_ids_complete: bool,
    pub(super) residue: Vec<ReceiptResidue>,
    pub(super) masters: Vec<MasterKeyEnd>,
    pub(super) index_keys: Vec<IndexKeyEnd>,
}

/// One purpose of which an erasure destroyed the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasedPurpose {
    /// The purpose.
    pub purpose: Purpose,
    /// Its highest line that is destroyed, from 1.
    pub line: u32,
    /// When it was destroyed.
    pub erased_at: Timestamp,
    /// The ids of its destroyed keys, earlier lines included; at most 512, the newest.
    pub key_ids: Vec<KeyId>,
}

/// A place where overwritten bytes of the wrapped keys may remain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReceiptResidue {
    /// Where.
    pub place: String,
    /// What ends it.
    pub ends_by: String,
}

/// A master key under which a copy of a destroyed key may be wrapped, in a backup or in what an engine left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MasterKeyEnd {
    /// The master key.
    pub master: MasterKeyId,
    /// The epoch that it opened.
    pub epoch: Epoch,
    /// What has become of it.
    pub end: KeyEnd,
}

/// What has become of a master key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyEnd {
    /// It is there: retiring its epoch ends it.
    Lives,
    /// The provider could not say.
    Unconfirmed,
    /// The provider destroys it then; until then it can be called back.
    Scheduled {
        /// When.
        at: Timestamp,
    },
    /// The provider says that no copy is left.
    Destroyed,
    /// It is gone from where the provider keeps it. Whether these hold a copy, only the operator can say.
    DestroyedHere {
        /// What may hold a copy.
        copies: Vec<String>,
    },
}

/// A generation of index keys. Whoever has the tenant's key of one can test which tokens are the person's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexKeyEnd {
    /// The generation, from 1.
    pub index_epoch: u32,
    /// What has become of its keys.
    pub end: IndexEnd,
}

/// What has become of the index keys of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexEnd {
    /// They are in the key store: retiring the index epoch ends them there.
    Lives,
    /// They are gone from the key store. Copies in backups are under the master keys of the epochs up to this one.
    Retired {
        /// The last such epoch.
        until: Epoch,
    },
    /// A restore lost them. Copies in backups are under the master keys of the epochs up to this one.
    GivenUp {
        /// The last such epoch.
        until: Epoch,
    },
}

/// What can be said of an erasure now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErasureStatus {
    /// No process opens what was erased, from the receipt's `effective_by` on. Copies in backups of the key store could be
    /// opened by whoever can still use these master keys.
    Erased {
        /// Each ends by retiring its epoch. Empty before `effective_by`, if none is left, and while clocks disagree on whether that
        /// has passed.
        waits_for: Vec<MasterKeyEnd>,
    },
    /// Every master key that ever wrapped one of the destroyed keys is destroyed: no copy of the key store opens them.
    Final {
        /// As far as the operator vouches that none of these holds a copy of a master key.
        vouched_for: Vec<String>,
    },
    /// It does not hold any more.
    Undone {
        /// Why.
        reason: UndoneReason,
    },
}

/// Why an erasure does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UndoneReason {
    /// The key store has keys of the subject again: a backup was restored. Replay the journal.
    KeysAreBack,
    /// The key store does not know of the erasure: a backup was restored. Replay the journal.
    TombstoneMissing,
    /// The journal does not record that it was done: the erasure did not come to its end, or the journal was replaced.
    NotJournaled,
}

impl ErasureReceipt {
    /// The journal that records it.
    pub fn journal(&self) -> JournalId {
        self.journal
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The subject's tag; none if the whole tenant was erased. Pseudonymous personal data while the tenant's root lives.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Whether the subject, or the tenant, was erased as a whole: purposes that aren't listed are destroyed too, up to line 1.
    /// Else single purposes were.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether key store or journal knew the subject, or the tenant, when its erasure was requested. A name that was misspelt
    /// shows here.
    pub fn was_known(&self) -> bool {
        self.was_known
    }

    /// What was destroyed, by purpose. Empty for a tenant.
    pub fn purposes(&self) -> &[ErasedPurpose] {
        &self.purposes
    }

    /// Whether the ids of all destroyed keys are known. They are not where the erasure replaced a damaged slot.
    pub fn has_all_key_ids(&self) -> bool {
        self.key_ids_complete
    }

    /// What the request was filed under.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// When the keys were destroyed in the key store.
    pub fn erased_at(&self) -> Timestamp {
        self.erased_at
    }

    /// From when on no process opens what was erased: keys that were read before are past their age.
    pub fn effective_by(&self) -> Timestamp {
        self.effective_by
    }

    /// Where the key store's engine may have left bytes of the wrapped keys, as the call found it that gave this receipt.
    pub fn residue(&self) -> &[ReceiptResidue] {
        &self.residue
    }

    /// Every master key under which a copy of a destroyed key may be wrapped, as of the erasure.
    pub fn master_keys(&self) -> &[MasterKeyEnd] {
        &self.masters
    }

    /// Every generation of index keys that the key store had up to the erasure, in order.
    pub fn index_keys(&self) -> &[IndexKeyEnd] {
        &self.index_keys
    }
}

impl MasterKeyEnd {
    pub(super) fn is_final(&self) -> bool {
        matches!(self.end, KeyEnd::Destroyed | KeyEnd::DestroyedHere { .. })
    }

    pub(super) fn into_copies(self) -> Vec<String> {
        match self.end {
            KeyEnd::DestroyedHere { copies } => copies,
            _ => Vec::new(),
        }
    }
}

impl From<Destruction> for KeyEnd {
    fn from(destruction: Destruction) -> Self {
        match destruction {
            Destruction::Destroyed => Self::Destroyed,
            Destruction::Scheduled { at } => Self::Scheduled { at },
            Destruction::DestroyedHere { copies } => {
                Self::DestroyedHere { copies: copies.into_iter().map(str::to_owned).collect() }
            }
        }
    }
}

pub(super) fn residue_of(residue: &Residue) -> Vec<ReceiptResidue> {
    let owned = |item: &crate::store::ResidueItem| ReceiptResidue {
        place: item.place.to_owned(),
        ends_by: item.ends_by.to_owned(),
    };
    residue.items().iter().map(owned).collect()
}

impl fmt::Display for ErasureReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tag {
            Some(tag) => {
                write!(f, "Erasure of subject ")?;
                hex(f, tag.as_bytes())?;
                writeln!(f, " of tenant {:?}", self.tenant.as_str())?;
            }
            None => writeln!(f, "Erasure of tenant {:?}", self.tenant.as_str())?,
        }
        if let Some(reference) = &self.reference {
            writeln!(f, "  filed under    {reference}")?;
        }
        if !self.was_known {
            writeln!(
                f,
                "  unknown        neither key store nor journal knew of it when it was requested: check the name"
            )?;
        }
        writeln!(f, "  destroyed at   {}", self.erased_at)?;
        writeln!(f, "  in force by    {} in every process", self.effective_by)?;
        for erased in &self.purposes {
            let (keys, s) = (erased.key_ids.len(), if erased.key_ids.len() == 1 { "" } else { "s" });
            writeln!(f, "  purpose        {:?}: {keys} key{s}, up to line {}", erased.purpose.as_str(), erased.line)?;
        }
        if !self.key_ids_complete {
            writeln!(f, "  key ids        not all are known: a damaged slot was replaced")?;
        }
        for residue in &self.residue {
            writeln!(f, "  may remain in  {}; ends by: {}", residue.place, residue.ends_by)?;
        }
        for master in &self.masters {
            writeln!(f, "  master key     {} of epoch {}: {}", master.master, master.epoch, master.end)?;
        }
        for index in &self.index_keys {
            writeln!(f, "  index key      of index epoch {}: {}", index.index_epoch, index.end)?;
        }
        f.write_str("Copies of the destroyed keys in backups of the key store open only under these master keys.")
    }
}

impl fmt::Display for KeyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lives => f.write_str("is there; retiring the epoch ends it"),
            Self::Unconfirmed => f.write_str("the provider could not say"),
            Self::Scheduled { at } => write!(f, "will be destroyed at {at}, and can be called back until then"),
            Self::Destroyed => f.write_str("destroyed"),
            Self::DestroyedHere { copies } => {
                write!(f, "destroyed here; the operator answers for {}", copies.join(", "))
            }
        }
    }
}

impl fmt::Display for IndexEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lives => f.write_str("is there; retiring the index epoch ends it"),
            Self::Retired { until } => write!(f, "retired; copies are under the master keys up to epoch {until}"),
            Self::GivenUp { until } => write!(f, "given up; copies are under the master keys up to epoch {until}"),
        }
    }
}

impl fmt::Display for ErasureStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Erased { waits_for } if waits_for.is_empty() => f.write_str(
                "erased: keys that other processes read before are not past their age yet, or clocks disagree",
            ),
            Self::Erased { waits_for } => {
                f.write_str("erased; copies in backups of the key store open until these end:")?;
                waits_for.iter().try_for_each(|m| write!(f, "\n  {} of epoch {}: {}", m.master, m.epoch, m.end))
            }
            Self::Final { vouched_for } if vouched_for.is_empty() => {
                f.write_str("final: every master key that wrapped one of the keys is destroyed")
            }
            Self::Final { vouched_for } => write!(
                f,
                "final, as far as the operator vouches that none of these holds a master key: {}",
                vouched_for.join(", ")
            ),
            Self::Undone { reason } => write!(f, "undone: {reason}"),
        }
    }
}

impl fmt::Display for UndoneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeysAreBack => "the key store has the keys again (a backup was restored): replay the journal",
            Self::TombstoneMissing => {
                "the key store does not know of the erasure (a backup was restored): replay the journal"
            }
            Self::NotJournaled => "the journal does not tell that it was done: erase again",
        })
    }
}

pub(super) fn hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
