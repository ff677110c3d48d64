//! [`History`]: what a journal says of one subject, folded into what holds now.
//!
//! Every decision about an erasure, a hold, a schedule or a new line is made on one of these, read up to a head and acted
//! on by an append at that same head: whoever was faster makes the decision be taken again.

use std::collections::BTreeMap;

use super::{ErasedLine, JournalEntry, JournalEvent};
use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::id::Purpose;
use crate::keys::Epoch;

/// What the entries about one subject come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    purposes: BTreeMap<Purpose, Lines>,
    /// On hold: it can't be erased.
    pub(crate) held: bool,
    /// When a scheduled erasure destroys the keys.
    pub(crate) scheduled: Option<Timestamp>,
    /// The last completion of an erasure.
    pub(crate) done: Option<Done>,
    /// Full erasure intended, not yet done.
    pub(crate) whole_is_open: bool,
    /// The last intent is of the whole subject.
    pub(crate) whole: bool,
    /// When an erasure was last intended.
    pub(crate) intended_at: Option<Timestamp>,
    /// How many there are: one that was read again and has as many has not changed.
    pub(crate) entries: u64,
}

/// The highest line of a purpose that each kind of entry names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    intended: u32,
    done: u32,
    enrolled: u32,
}

/// When, and under which epochs at most, something was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) at: Timestamp,
    pub(crate) until: Epoch,
}

impl History {
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) -> Self {
        let mut history = Self::default();
        for entry in entries {
            history.add(entry);
        }
        history
    }

    /// One entry more.
    pub(crate) fn add(&mut self, entry: &JournalEntry) {
        self.entries += 1;
        match entry.event() {
            JournalEvent::Reenrolled { purpose, line } => {
                let lines = self.purposes.entry(purpose.clone()).or_default();
                lines.enrolled = lines.enrolled.max(*line);
            }
            JournalEvent::ErasureIntended { whole, lines } => {
                for ErasedLine { purpose, line } in lines {
                    let lines = self.purposes.entry(purpose.clone()).or_default();
                    lines.intended = lines.intended.max(*line);
                }
                self.intended_at = Some(entry.at());
                self.whole = *whole;
                if *whole {
                    self.scheduled = None;
                    self.whole_is_open = true;
                }
            }
            JournalEvent::ErasureDone { lines, until } => {
                for ErasedLine { purpose, line } in lines {
                    let lines = self.purposes.entry(purpose.clone()).or_default();
                    lines.done = lines.done.max(*line);
                }
                self.done = Some(Done { at: entry.at(), until: *until });
                self.whole_is_open &= !self.open().is_empty();
            }
            JournalEvent::Held => self.held = true,
            JournalEvent::Released => self.held = false,
            JournalEvent::ErasureScheduled { at } => self.scheduled = Some(*at),
            JournalEvent::ErasureCancelled => self.scheduled = None,
            // About a tenant or the whole store: they are in no subject's history.
            JournalEvent::RootCreated { .. }
            | JournalEvent::RootStored { .. }
            | JournalEvent::RootLost { .. }
            | JournalEvent::EpochOpened { .. }
            | JournalEvent::MaxAgeRaised { .. }
            | JournalEvent::TenantErasureIntended
            | JournalEvent::TenantErasureDone { .. }
            | JournalEvent::MasterKeyDestroyed { .. } => {}
        }
    }

    /// The highest line of a purpose that any entry names: a new line is above it. 0 for none.
    pub(crate) fn highest_line(&self, purpose: &Purpose) -> u32 {
        self.purposes.get(purpose).map_or(0, |l| l.intended.max(l.done).max(l.enrolled))
    }

    /// The highest line of a purpose whose erasure is intended or done. 0 for none.
    pub(crate) fn destroyed_line(&self, purpose: &Purpose) -> u32 {
        self.purposes.get(purpose).map_or(0, |l| l.intended.max(l.done))
    }

    /// The highest line of a purpose whose erasure is done. 0 for none.
    pub(crate) fn done_line(&self, purpose: &Purpose) -> u32 {
        self.purposes.get(purpose).map_or(0, |l| l.done)
    }

    /// Every purpose that an entry names.
    pub(crate) fn purposes(&self) -> impl Iterator<Item = &Purpose> {
        self.purposes.keys()
    }

    /// Erasures that are done: a store that still has one of these lines was restored from a backup.
    pub(crate) fn done(&self) -> Vec<ErasedLine> {
        self.lines(|l| l.done)
    }

    /// Erasures that are intended and not done: a process is at it, or crashed.
    pub(crate) fn open(&self) -> Vec<ErasedLine> {
        self.lines(|l| if l.intended > l.done { l.intended } else { 0 })
    }

    /// Erasures that are intended or done.
    pub(crate) fn destroyed(&self) -> Vec<ErasedLine> {
        self.lines(|l| l.intended.max(l.done))
    }

    /// No erasure is pending any more: every key of the tenant is gone, or the root that its tags were of.
    pub(crate) fn settle(&mut self) {
        (self.held, self.scheduled, self.whole_is_open) = (false, None, false);
        for lines in self.purposes.values_mut() {
            lines.intended = lines.done;
        }
    }

    fn lines(&self, line: impl Fn(&Lines) -> u32) -> Vec<ErasedLine> {
        let lines = self.purposes.iter().map(|(purpose, lines)| ErasedLine::new(purpose.clone(), line(lines)));
        lines.filter(|l| l.line > 0).collect()
    }
}

/// What the entries about a tenant itself come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantHistory {
    created: Vec<KeyId>,
    lost: Vec<KeyId>,
    /// The root that was last recorded as stored.
    pub(crate) stored: Option<KeyId>,
    pub(crate) intended: Option<Timestamp>,
    pub(crate) done: Option<Done>,
}

impl TenantHistory {
    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a JournalEntry>) -> Self {
        let mut history = Self::default();
        for entry in entries {
            match entry.event() {
                JournalEvent::RootCreated { key_id } => history.created.push(*key_id),
                JournalEvent::RootStored { key_id } => history.stored = Some(*key_id),
                JournalEvent::RootLost { key_id } => history.lost.push(*key_id),
                JournalEvent::TenantErasureIntended => history.intended = history.intended.or(Some(entry.at())),
                JournalEvent::TenantErasureDone { until } => {
                    history.done = Some(Done { at: entry.at(), until: *until });
                }
                _ => {}
            }
        }
        history
    }

    /// Whether the journal records this root.
    pub(crate) fn created(&self, root: &KeyId) -> bool {
        self.created.iter().any(|id| id.is(root))
    }

    /// Whether this root was given up.
    pub(crate) fn lost(&self, root: &KeyId) -> bool {
        self.lost.iter().any(|id| id.is(root))
    }

    /// Whether a root that was stored, and not given up, is not the one `found` in the key store.
    pub(crate) fn is_missing(&self, found: Option<&KeyId>) -> bool {
        self.stored.as_ref().is_some_and(|stored| !self.lost(stored) && !found.is_some_and(|found| found.is(stored)))
    }

    /// When the tenant was erased, or its erasure began: it is binding.
    pub(crate) fn erased(&self) -> Option<Timestamp> {
        self.done.map(|done| done.at).or(self.intended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::TenantId;
    use crate::keys::Tag;

    fn history(events: Vec<JournalEvent>) -> History {
        let at = |n| Timestamp::from_millis(n as u64);
        let entry =
            |(n, event)| JournalEntry::of_subject(at(n), TenantId::default_tenant(), Tag::from_bytes([1; 16]), event);
        History::of(&events.into_iter().enumerate().map(entry).collect::<Vec<_>>())
    }

    fn lines(of: &[(&str, u32)]) -> Vec<ErasedLine> {
        of.iter().map(|(purpose, line)| ErasedLine::new(Purpose::new(purpose).unwrap(), *line)).collect()
    }

    fn intended(of: &[(&str, u32)]) -> JournalEvent {
        JournalEvent::ErasureIntended { whole: true, lines: lines(of) }
    }

    fn done(of: &[(&str, u32)]) -> JournalEvent {
        JournalEvent::ErasureDone { lines: lines(of), until: Epoch::FIRST }
    }

    fn enrolled(purpose: &str, line: u32) -> JournalEvent {
        JournalEvent::Reenrolled { purpose: Purpose::new(purpose).unwrap(), line }
    }

    #[test]
    fn an_intent_is_open_until_done_and_a_later_one_opens_again() {
        let both = [("billing", 1), ("default", 1)];
        assert_eq!(history(vec![intended(&both)]).open(), lines(&both));
        let closed = history(vec![intended(&both), done(&both)]);
        assert_eq!((closed.open(), closed.done()), (vec![], lines(&both)));
        let mut settled = history(vec![JournalEvent::Held, intended(&both), done(&[("billing", 1)])]);
        settled.settle();
        assert!(!settled.held && settled.open().is_empty() && settled.done() == lines(&[("billing", 1)]));
        let half = history(vec![intended(&both), done(&[("billing", 1)])]);
        assert_eq!(half.open(), lines(&[("default", 1)]));
        let again = history(vec![intended(&both), done(&both), enrolled("default", 2), intended(&[("default", 2)])]);
        assert_eq!((again.open(), again.done()), (lines(&[("default", 2)]), lines(&both)));
        assert_eq!(again.destroyed_line(&Purpose::new("default").unwrap()), 2);
    }

    #[test]
    fn a_new_line_is_above_whatever_is_named() {
        let default = Purpose::new("default").unwrap();
        for events in [vec![enrolled("default", 5)], vec![intended(&[("default", 5)])], vec![done(&[("default", 5)])]] {
            assert_eq!(history(events).highest_line(&default), 5);
        }
        assert_eq!(history(vec![enrolled("default", 5)]).destroyed_line(&default), 0, "it is not destroyed");
        assert_eq!(history(vec![]).highest_line(&default), 0);
    }

    #[test]
    fn the_last_word_on_holds_and_schedules_counts() {
        use JournalEvent::{ErasureCancelled, ErasureScheduled, Held, Released};
        let schedule = |n| ErasureScheduled { at: Timestamp::from_millis(n) };
        assert!(history(vec![Held]).held && !history(vec![Held, Released]).held && history(vec![Released, Held]).held);
        let at = |events| history(events).scheduled.map(Timestamp::as_millis);
        assert_eq!(at(vec![schedule(5), schedule(9)]), Some(9));
        assert_eq!(at(vec![schedule(5), ErasureCancelled]), None);
        assert_eq!(at(vec![schedule(5), intended(&[("a", 1)])]), None, "it is fulfilled");
        let one = JournalEvent::ErasureIntended { whole: false, lines: lines(&[("a", 1)]) };
        assert_eq!(at(vec![schedule(5), one]), Some(5), "one purpose is not the subject");
    }
}
