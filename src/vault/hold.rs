//! Holds, and erasures that are scheduled: decided by the journal; the slot has a copy.

use super::mend::put_flags;
use super::slots::{Edit, Wrapper};
use super::verified::Decided;
use super::{ATTEMPTS, Tenant};
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::id::HasSubject;
use crate::journal::JournalEvent;
use crate::journal::history::History;
use crate::keys::Tag;
use crate::keys::slot::SubjectSlot;

impl Tenant {
    /// Puts a hold on a subject: it can't be erased until [`release`](Self::release), not by
    /// [`Vault::erase_due`](crate::Vault::erase_due) either. Its data stays readable. Repeatable.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`]; [`Error::SubjectErased`] if its erasure has begun; [`Error::InvalidInput`] without a
    /// journal, or for a kind that isn't declared; [`Error::WrongTenant`]; those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have put the hold.
    pub async fn hold(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<()> {
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        let slot = self.living_slot(&tag).await?;
        self.decide_and_copy(&tag, slot.told, |history| {
            check_not_intended(&slot, history)?;
            Ok((!history.held).then_some(JournalEvent::Held))
        })
        .await
    }

    /// Releases the hold on a subject. Repeatable.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`] if neither key store nor journal knows it; [`Error::InvalidInput`] without a journal, or for a
    /// kind that isn't declared; [`Error::WrongTenant`]; those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have released it.
    pub async fn release(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<()> {
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        let read = self.read_slot(&tag).await?;
        self.decide_and_copy(&tag, read.told(), |history| {
            if read.slot.is_none() && history.last == 0 {
                return Err(Error::SubjectUnknown);
            }
            Ok(history.held.then_some(JournalEvent::Released))
        })
        .await
    }

    /// Makes a subject unreadable now ([`Error::SubjectClosed`]), and has [`Vault::erase_due`](crate::Vault::erase_due) destroy its
    /// keys at `at`. Until then [`cancel_erasure`](Self::cancel_erasure) undoes it. Other processes go on with keys that they
    /// read before for at most `max_age`. Scheduling again moves the moment.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`], [`Error::SubjectErased`]; [`Error::SubjectHeld`] if it is on hold;
    /// [`Error::InvalidInput`] without a journal, for the moment 0, or for a kind that isn't declared; [`Error::WrongTenant`];
    /// those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have scheduled it.
    pub async fn schedule_erasure(&self, subject: &(impl HasSubject + Sync + ?Sized), at: Timestamp) -> Result<()> {
        if at.as_millis() == 0 {
            return Err(Error::invalid("an erasure can't be scheduled for 1970-01-01T00:00:00Z"));
        }
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        let slot = self.living_slot(&tag).await?;
        self.decide_and_copy(&tag, slot.told, |history| {
            check_not_intended(&slot, history)?;
            if history.held {
                return Err(Error::SubjectHeld);
            }
            Ok((history.scheduled != Some(at)).then_some(JournalEvent::ErasureScheduled { at }))
        })
        .await
    }

    /// Calls a scheduled erasure off, or that of a subject which a sweep closed: it is readable again, unless its retention period
    /// has ended and is not prolonged ([`Enrollment::retain_until`](super::Enrollment::retain_until)). Nothing if none is scheduled.
    ///
    /// # Errors
    /// [`Error::SubjectUnknown`]; [`Error::SubjectErased`] if it is too late; [`Error::InvalidInput`] without a journal, or for a
    /// kind that isn't declared; [`Error::WrongTenant`] for keys of another tenant; those of the ports.
    ///
    /// # Cancel safety
    /// A call that is dropped may have cancelled it.
    pub async fn cancel_erasure(&self, subject: &(impl HasSubject + Sync + ?Sized)) -> Result<()> {
        let tag = self.known_tag(&self.subject_of(subject)?).await?;
        for attempt in 0..ATTEMPTS {
            let Some(slot) = self.read_slot(&tag).await?.slot else { return self.cancel_of_nobody(&tag).await };
            let gone = slot.erased_at();
            // Also where only the slot has it: an `erase_due` that closed the subject sees from the entry that it is open again.
            let decide = |history: &History| {
                if attempt > 0 && history.scheduled.is_some() {
                    return Ok((None, false)); // anew, since this cancelled the one that was asked about: that one stands
                }
                if gone.is_none() {
                    check_not_intended(&slot, history)?;
                }
                let any = history.scheduled.is_some() || slot.closed().is_some();
                Ok((any.then_some(JournalEvent::ErasureCancelled), true))
            };
            let Decided { answer: opens, last } = self.decide(&tag, slot.told, decide).await?;
            if let Some(at) = gone {
                return Err(Error::SubjectErased { at });
            }
            if !opens {
                return put_flags(self, &tag).await.map(drop);
            }
            // Only the very slot that was there before the entry: it may have been closed, or scheduled, anew.
            let reopen = |now: Option<&SubjectSlot>, _: &Wrapper<'_>| match now {
                Some(now) if now.closed().is_some() && *now == slot => {
                    let mut open = SubjectSlot { erase_at: None, closed_at: None, ..now.clone() };
                    open.tell(last);
                    Ok(Edit::Put(open, Reopening::Reopened))
                }
                Some(now) if now.closed().is_none() => Ok(Edit::Keep(Reopening::IsOpen)),
                _ => Ok(Edit::Keep(Reopening::Changed)),
            };
            match self.edit_slot(&tag, reopen).await? {
                Reopening::Changed => continue,
                Reopening::IsOpen => {}
                Reopening::Reopened => self.revoke_keys(&tag, None),
            }
            return put_flags(self, &tag).await.map(drop);
        }
        Err(Error::Conflict)
    }

    /// The schedule of a subject whose keys a restore lost: it would keep the subject from being enrolled.
    async fn cancel_of_nobody(&self, tag: &Tag) -> Result<()> {
        let cancel = |history: &History| {
            history.scheduled.ok_or(Error::SubjectUnknown)?;
            Ok((Some(JournalEvent::ErasureCancelled), ()))
        };
        self.decide(tag, 0, cancel).await.map(|decided| decided.answer)
    }

    /// A slot that is no tombstone.
    async fn living_slot(&self, tag: &Tag) -> Result<SubjectSlot> {
        let slot = self.read_slot(tag).await?.slot.ok_or(Error::SubjectUnknown)?;
        match slot.erased_at() {
            Some(at) => Err(Error::SubjectErased { at }),
            None => Ok(slot),
        }
    }

    async fn decide_and_copy(
        &self,
        tag: &Tag,
        told: u64,
        event: impl Fn(&History) -> Result<Option<JournalEvent>> + Send + Sync,
    ) -> Result<()> {
        self.decide(tag, told, |history| Ok((event(history)?, ()))).await?;
        put_flags(self, tag).await.map(drop)
    }
}

/// What became of a slot whose erasure is called off.
enum Reopening {
    Reopened,
    IsOpen,
    /// The slot is another than was read before the entry: decide again.
    Changed,
}

/// An erasure that has begun is binding.
fn check_not_intended(slot: &SubjectSlot, history: &History) -> Result<()> {
    let live = slot.purposes.iter().filter(|p| p.is_live());
    let all_intended = live.clone().all(|p| history.destroyed_line(&p.name) >= p.line);
    if history.whole_is_open || (live.count() > 0 && all_intended) {
        let at = history.intent.map_or(Timestamp::from_millis(0), |intent| intent.at);
        return Err(Error::SubjectErased { at });
    }
    Ok(())
}
