//! [`Enrolment`]: how a subject is enrolled; and what that makes of its slot.

use super::slots::Wrapper;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::Purpose;
use crate::journal::history::History;
use crate::keys::Epoch;
use crate::keys::slot::{KeyVersion, PurposeSlot, SubjectSlot};

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
    pub(super) wrapper: Wrapper<'a>,
    pub(super) epoch: Epoch,
    /// The purposes that the vault declares.
    pub(super) purposes: &'a [Purpose],
    /// What the journal says of the subject, where it can matter.
    pub(super) history: &'a History,
}

impl Applicant<'_> {
    /// The slot after the enrolment; none if it changes nothing.
    ///
    /// # Errors
    /// [`Error::SubjectErased`] if every purpose was erased and `again` isn't asked for, or an erasure is scheduled.
    /// [`Error::Conflict`] if the caller's view of the epochs is older than the slot.
    pub(super) fn enroll(&self, old: Option<&SubjectSlot>, enrolment: &Enrolment) -> Result<Option<Enrolled>> {
        // An erasure that is scheduled is undone by cancelling it, not by enrolling.
        let scheduled = old.and_then(|slot| slot.erase_at).or(self.history.scheduled);
        let erased = old.and_then(SubjectSlot::erased_at).filter(|_| !enrolment.again);
        if let Some(at) = scheduled.or(erased) {
            return Err(Error::SubjectErased { at });
        }
        let mut slot = old.cloned().unwrap_or_else(SubjectSlot::empty);
        self.wrapper.move_to_current(&mut slot)?;
        let mut new_lines = Vec::new();
        for name in self.purposes {
            match slot.purposes.iter_mut().find(|p| p.name == *name) {
                Some(purpose) if purpose.is_live() || !enrolment.again => {}
                Some(purpose) => {
                    purpose.line = self.line_above(name, purpose.line);
                    purpose.versions = vec![self.first_version(name, purpose.line)?];
                    new_lines.push((name.clone(), purpose.line));
                }
                None => {
                    self.check_not_erased(name, enrolment)?;
                    let line = self.line_above(name, 0);
                    if line > 1 {
                        new_lines.push((name.clone(), line));
                    }
                    slot.purposes.push(PurposeSlot {
                        name: name.clone(),
                        line,
                        since: self.epoch,
                        erased_at: None,
                        destroyed: Vec::new(),
                        versions: vec![self.first_version(name, line)?],
                    });
                }
            }
        }
        slot.purposes.sort_by(|a, b| a.name.cmp(&b.name));
        slot.retain_until = enrolment.retain_until.or(slot.retain_until);
        let added = old.is_none_or(|old| {
            let lines = |slot: &SubjectSlot| slot.purposes.iter().map(|p| (p.line, p.is_live())).collect::<Vec<_>>();
            lines(old) != lines(&slot) || old.retain_until != slot.retain_until
        });
        if !added {
            return Ok(None);
        }
        slot.epoch = Some(self.epoch);
        Ok(Some(Enrolled { slot, new_lines }))
    }

    /// A purpose that the slot lacks and the journal says was erased: its tombstone is missing, so the store was restored,
    /// or it is on its way.
    fn check_not_erased(&self, purpose: &Purpose, enrolment: &Enrolment) -> Result<()> {
        if enrolment.again || self.history.destroyed_line(purpose) == 0 {
            return Ok(());
        }
        Err(Error::SubjectErased {
            at: self.history.done.map(|done| done.at).or(self.history.intended_at).unwrap_or(self.wrapper.now),
        })
    }

    /// One above every line that slot and journal name: a replay destroys lines up to the one journalled.
    fn line_above(&self, purpose: &Purpose, line: u32) -> u32 {
        self.history.highest_line(purpose).max(line).saturating_add(1)
    }

    /// No other key of the line exists, so nobody can be sealing under one: it is used at once.
    fn first_version(&self, purpose: &Purpose, line: u32) -> Result<KeyVersion> {
        self.wrapper.new_version(purpose, line, 1, Some(self.wrapper.now))
    }
}
