//! [`Enrolment`]: how a subject is enrolled; and what that makes of its slot.

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::crypto::Suite;
use crate::error::{Error, Result};
use crate::id::{Purpose, TenantId};
use crate::keys::slot::{KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{DataKeyPlace, Epoch, KeyMaterial, Tag, UsableKey, rewrap_data_key, wrap_data_key};

use super::state::TenantState;

/// How a subject is enrolled.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Enrolment {
    retain_until: Option<Timestamp>,
    again: bool,
}

impl Enrolment {
    /// As [`Tenant::enroll`](super::Tenant::enroll) does: no retention period, and nobody again who was erased.
    pub fn new() -> Self {
        Self::default()
    }

    /// The retention period ends then: a sweep erases the subject. For a subject that is enrolled already, it moves the end.
    pub fn due_at(mut self, at: Timestamp) -> Self {
        self.retain_until = Some(at);
        self
    }

    /// Also if the subject, or a purpose of it, was erased: it gets new keys, in a new line. What was sealed before stays
    /// unreadable for good.
    pub fn again(mut self) -> Self {
        self.again = true;
        self
    }

    pub(super) fn is_again(&self) -> bool {
        self.again
    }

    /// Whether a subject that knows every purpose is left as it is.
    pub(super) fn changes_nothing_for_known(&self) -> bool {
        !self.again && self.retain_until.is_none()
    }
}

/// The slot after an enrolment.
#[derive(Debug)]
pub(super) struct Enrolled {
    pub(super) slot: SubjectSlot,
    /// New lines after an erasure: they are journalled before the slot is put.
    pub(super) new_lines: Vec<(Purpose, u32)>,
}

/// What an enrolment is applied to.
pub(super) struct Applicant<'a> {
    pub(super) tenant: &'a TenantId,
    pub(super) tag: &'a Tag,
    pub(super) state: &'a TenantState,
    pub(super) suite: Suite,
    pub(super) now: Timestamp,
    /// The purposes that the vault declares.
    pub(super) purposes: &'a [Purpose],
    /// The highest line of each purpose that the journal names.
    pub(super) journal_lines: &'a HashMap<Purpose, u32>,
}

impl Applicant<'_> {
    /// The slot after the enrolment; none if it changes nothing.
    ///
    /// # Errors
    /// [`Error::SubjectErased`] if every purpose was erased and `again` isn't asked for, or an erasure is scheduled.
    pub(super) fn enroll(&self, old: Option<&SubjectSlot>, enrolment: &Enrolment) -> Result<Option<Enrolled>> {
        // An erasure that is scheduled is undone by cancelling it, not by enrolling.
        let scheduled = old.and_then(|slot| slot.erase_at);
        let erased = old.and_then(SubjectSlot::erased_at).filter(|_| !enrolment.again);
        if let Some(at) = scheduled.or(erased) {
            return Err(Error::SubjectErased { at });
        }
        let epoch = self.state.epoch;
        let kek = self.state.epoch_key(epoch).ok_or(Error::Bug("no wrapping key for the current epoch"))?;
        let mut slot = match old {
            Some(old) => old.clone(),
            None => SubjectSlot { epoch: None, retain_until: None, erase_at: None, held: false, purposes: Vec::new() },
        };
        let mut new_lines = Vec::new();
        for name in self.purposes {
            match slot.purposes.iter_mut().find(|p| p.name == *name) {
                Some(purpose) if purpose.is_live() || !enrolment.again => {}
                Some(purpose) => {
                    purpose.line = self.line_above(name, purpose.line);
                    purpose.line_epoch = epoch;
                    purpose.versions = vec![self.first_version(name, purpose.line, kek)?];
                    new_lines.push((name.clone(), purpose.line));
                }
                None => {
                    let line = self.line_above(name, 0);
                    if line > 1 {
                        new_lines.push((name.clone(), line));
                    }
                    slot.purposes.push(PurposeSlot {
                        name: name.clone(),
                        line,
                        line_epoch: epoch,
                        erased_at: None,
                        destroyed: Vec::new(),
                        versions: vec![self.first_version(name, line, kek)?],
                    });
                }
            }
        }
        slot.purposes.sort_by(|a, b| a.name.cmp(&b.name));
        slot.retain_until = enrolment.retain_until.or(slot.retain_until);
        if old == Some(&slot) {
            return Ok(None);
        }
        self.move_to_epoch(&mut slot, old, kek)?;
        slot.epoch = Some(epoch);
        Ok(Some(Enrolled { slot, new_lines }))
    }

    /// One above every line that slot and journal name: a replay destroys lines up to the one journalled.
    fn line_above(&self, purpose: &Purpose, line: u32) -> u32 {
        self.journal_lines.get(purpose).copied().unwrap_or(0).max(line).saturating_add(1)
    }

    fn first_version(&self, purpose: &Purpose, line: u32, kek: &UsableKey) -> Result<KeyVersion> {
        let key = KeyMaterial::generate()?;
        let key_id = key.id();
        let place = DataKeyPlace { tenant: self.tenant, tag: self.tag, purpose, line, version: 1 };
        Ok(KeyVersion {
            number: 1,
            created_at: self.now,
            // No other key of the line exists, so nobody can be sealing under one.
            seal_from: Some(self.now),
            key_id,
            wrapped: wrap_data_key(kek, self.suite, &place, &key, &key_id)?,
        })
    }

    /// A slot has one epoch: keys that were there already move to it, whenever the slot is written.
    fn move_to_epoch(&self, slot: &mut SubjectSlot, old: Option<&SubjectSlot>, kek: &UsableKey) -> Result<()> {
        let Some((old, from)) = old.and_then(|old| Some((old, old.epoch?))) else { return Ok(()) };
        if from == self.state.epoch {
            return Ok(());
        }
        if from > self.state.epoch {
            return Err(Error::Conflict); // the caller's view of the epochs is older than the slot
        }
        let from = self.old_key(from)?;
        for purpose in &mut slot.purposes {
            for version in &mut purpose.versions {
                let known = old.purpose(&purpose.name).is_some_and(|p| p.versions.contains(version));
                if !known {
                    continue;
                }
                let place = DataKeyPlace {
                    tenant: self.tenant,
                    tag: self.tag,
                    purpose: &purpose.name,
                    line: purpose.line,
                    version: version.number,
                };
                version.wrapped = rewrap_data_key(from, kek, self.suite, &place, &version.key_id, &version.wrapped)?;
            }
        }
        Ok(())
    }

    fn old_key(&self, epoch: Epoch) -> Result<&UsableKey> {
        self.state.epoch_key(epoch).ok_or(Error::Conflict)
    }
}
