//! [`History`]: what a journal says of one subject, folded into what holds now. Of what is genuine alone: `verify`.
//!
//! Every decision about an erasure, a hold, a schedule or a new line is made on one of these, read up to a head and acted
//! on by an append at that same head: whoever was faster makes the decision be taken again.

use std::collections::BTreeMap;

use super::verify::Accepted;
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
    /// The subject as a whole was to be destroyed, once at least: every purpose that no entry names, too, up to line 1.
    pub(crate) whole_intended: bool,
    /// The same, done.
    pub(crate) whole_done: bool,
    /// The last completion as a whole.
    whole_done_at: Option<Completion>,
    /// The last intent.
    pub(crate) intent: Option<Intent>,
    /// The position of the last entry: one that was read again and has the same has not changed. 0 if there is none.
    pub(crate) last: u64,
}

/// What the last intent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub(crate) at: Timestamp,
    /// It is of the whole subject.
    pub(crate) whole: bool,
    /// Key store or journal knew the subject.
    pub(crate) known: bool,
}

/// The highest line of a purpose that each kind of entry names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lines {
    intended: u32,
    done: u32,
    enrolled: u32,
    /// The last completion that names the purpose.
    done_at: Option<Completion>,
}

/// A completion: where it stands in the journal, and when it was entered. The later one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Completion {
    pub(crate) position: u64,
    pub(crate) at: Timestamp,
}

/// When, and under which epochs at most, something was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) at: Timestamp,
    pub(crate) until: Epoch,
}

impl History {
    pub(crate) fn of(accepted: &Accepted) -> Self {
        let mut history = Self::default();
        accepted.iter().for_each(|(position, entry)| history.add(position, entry));
        Self { last: accepted.last(), ..history }
    }

    /// What a slot's copies of holds and schedules come to.
    pub(crate) fn of_copies(held: bool, scheduled: Option<Timestamp>) -> Self {
        Self { held, scheduled, ..Self::default() }
    }

    /// One entry more.
    pub(crate) fn add(&mut self, position: u64, entry: &JournalEntry) {
        self.last = position;
        match entry.event() {
            JournalEvent::Reenrolled { purpose, line } => {
                let lines = self.purposes.entry(purpose.clone()).or_default();
                lines.enrolled = lines.enrolled.max(*line);
            }
            JournalEvent::ErasureIntended { whole, known, lines } => {
                for ErasedLine { purpose, line } in lines {
                    let lines = self.purposes.entry(purpose.clone()).or_default();
                    lines.intended = lines.intended.max(*line);
                }
                self.intent = Some(Intent { at: entry.at(), whole: *whole, known: *known });
                if *whole {
                    self.scheduled = None;
                    (self.whole_is_open, self.whole_intended) = (true, true);
                }
            }
            JournalEvent::ErasureDone { whole, lines, until } => {
                let completion = Completion { position, at: entry.at() };
                for ErasedLine { purpose, line } in lines {
                    let lines = self.purposes.entry(purpose.clone()).or_default();
                    lines.done = lines.done.max(*line);
                    lines.done_at = Some(completion);
                }
                if *whole {
                    self.whole_done_at = Some(completion);
                }
                self.done = Some(Done { at: entry.at(), until: *until });
                self.whole_is_open &= !whole;
                self.whole_done |= whole;
            }
            JournalEvent::Held => self.held = true,
            JournalEvent::Released => self.held = false,
            JournalEvent::ErasureScheduled { at } => self.scheduled = Some(*at),
            JournalEvent::ErasureCancelled => self.scheduled = None,
            // About a tenant or the whole store, or not for this version to act on: they are in no subject's history.
            JournalEvent::RootCreated { .. }
            | JournalEvent::RootStored { .. }
            | JournalEvent::RootLost { .. }
            | JournalEvent::EpochOpened { .. }
            | JournalEvent::MaxAgeRaised { .. }
            | JournalEvent::TenantErasureIntended { .. }
            | JournalEvent::TenantErasureDone { .. }
            | JournalEvent::MasterKeyDestroyed { .. }
            | JournalEvent::StoreRestored { .. }
            | JournalEvent::RetentionResumed
            | JournalEvent::IndexEpochOpened { .. }
            | JournalEvent::IndexEpochSettled { .. }
            | JournalEvent::IndexEpochGivenUp { .. }
            | JournalEvent::IndexEpochRetired { .. }
            | JournalEvent::Unknown { .. }
            | JournalEvent::LaterVersion { .. } => {}
        }
    }

    /// The highest line of a purpose that there was, or that was destroyed: a new line is above it. 0 for none.
    pub(crate) fn highest_line(&self, purpose: &Purpose) -> u32 {
        self.lines_of(purpose).enrolled.max(self.destroyed_line(purpose))
    }

    /// The highest line of a purpose whose erasure is intended or done. 0 for none.
    pub(crate) fn destroyed_line(&self, purpose: &Purpose) -> u32 {
        let lines = self.lines_of(purpose);
        lines.intended.max(lines.done)
    }

    /// The highest line of a purpose whose erasure is done. 0 for none.
    pub(crate) fn done_line(&self, purpose: &Purpose) -> u32 {
        self.lines_of(purpose).done
    }

    /// The last completion of an erasure of a purpose, alone or with the subject; none if there is none.
    pub(crate) fn done_at(&self, purpose: &Purpose) -> Option<Completion> {
        let named = self.purposes.get(purpose).and_then(|lines| lines.done_at);
        named.max(self.whole_done_at)
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

    /// Whether no key of the subject lives once what was to be destroyed is: it was to be as a whole, and what was enrolled since
    /// was to be, too. What it had before is of first lines, or of lines that the entries name.
    pub(crate) fn leaves_nothing(&self) -> bool {
        self.whole_intended && self.purposes.keys().all(|name| self.highest_line(name) <= self.destroyed_line(name))
    }

    /// Erasures that are intended or done.
    pub(crate) fn destroyed(&self) -> Vec<ErasedLine> {
        self.lines(|l| l.intended.max(l.done))
    }

    /// No erasure is pending any more: every key of the tenant is gone, or the root that its tags were of.
    pub(crate) fn settle(&mut self) {
        (self.held, self.scheduled, self.whole_is_open) = (false, None, false);
        self.whole_intended = self.whole_done;
        for lines in self.purposes.values_mut() {
            lines.intended = lines.done;
        }
    }

    fn lines(&self, line: impl Fn(&Lines) -> u32) -> Vec<ErasedLine> {
        let lines = self.purposes.keys().map(|name| ErasedLine::new(name.clone(), line(&self.lines_of(name))));
        lines.filter(|l| l.line > 0).collect()
    }

    /// An erasure of the whole subject is one of the first line of every purpose, named or not.
    fn lines_of(&self, purpose: &Purpose) -> Lines {
        let named = self.purposes.get(purpose).copied().unwrap_or_default();
        Lines {
            intended: named.intended.max(self.whole_intended.into()),
            done: named.done.max(self.whole_done.into()),
            ..named
        }
    }
}

/// What the entries about a tenant itself come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TenantHistory {
    created: Vec<KeyId>,
    lost: Vec<KeyId>,
    /// The position at which one was given up last: what was entered before about subjects is by tags that stand for nobody any
    /// more. 0 if none was.
    pub(crate) lost_at: u64,
    /// The root that was last recorded as stored.
    pub(crate) stored: Option<KeyId>,
    /// When its erasure was first intended.
    pub(crate) intended: Option<Timestamp>,
    /// Whether key store or journal knew the tenant then.
    pub(crate) known: bool,
    pub(crate) done: Option<Done>,
    /// The position of the last entry; 0 if there is none.
    pub(crate) last: u64,
}

impl TenantHistory {
    pub(crate) fn of(accepted: &Accepted) -> Self {
        let mut history = Self { last: accepted.last(), ..Self::default() };
        for (position, entry) in accepted.iter() {
            match entry.event() {
                JournalEvent::RootCreated { key_id } => history.created.push(*key_id),
                JournalEvent::RootStored { key_id } => history.stored = Some(*key_id),
                JournalEvent::RootLost { key_id } => {
                    history.lost.push(*key_id);
                    history.lost_at = position;
                }
                JournalEvent::TenantErasureIntended { known } if history.intended.is_none() => {
                    (history.intended, history.known) = (Some(entry.at()), *known);
                }
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
        let mut history = History::default();
        for (n, event) in (1..).zip(events) {
            let (tenant, tag) = (TenantId::default_tenant(), Tag::from_bytes([1; 16]));
            history.add(n, &JournalEntry::of_subject(Timestamp::from_millis(n), tenant, tag, event));
        }
        history
    }

    fn purpose(name: &str) -> Purpose {
        Purpose::new(name).unwrap()
    }

    fn lines(of: &[(&str, u32)]) -> Vec<ErasedLine> {
        of.iter().map(|(name, line)| ErasedLine::new(purpose(name), *line)).collect()
    }

    fn intended(whole: bool, of: &[(&str, u32)]) -> JournalEvent {
        JournalEvent::ErasureIntended { whole, known: true, lines: lines(of) }
    }

    fn done(whole: bool, of: &[(&str, u32)]) -> JournalEvent {
        JournalEvent::ErasureDone { whole, lines: lines(of), until: Epoch::FIRST }
    }

    fn enrolled(name: &str, line: u32) -> JournalEvent {
        JournalEvent::Reenrolled { purpose: purpose(name), line }
    }

    #[test]
    fn an_intent_is_open_until_done_and_a_later_one_opens_again() {
        let both = [("billing", 1), ("default", 1)];
        let open = history(vec![intended(false, &both)]);
        assert_eq!((open.open(), open.whole_is_open), (lines(&both), false));
        let closed = history(vec![intended(false, &both), done(false, &both)]);
        assert_eq!((closed.open(), closed.done()), (vec![], lines(&both)));
        let half = history(vec![intended(false, &both), done(false, &[("billing", 1)])]);
        assert_eq!(half.open(), lines(&[("default", 1)]));
        let mut settled = history(vec![JournalEvent::Held, intended(true, &both), done(false, &[("billing", 1)])]);
        settled.settle();
        assert!(!settled.held && !settled.whole_is_open && settled.open().is_empty());
        assert_eq!(settled.done(), lines(&[("billing", 1)]));
        assert_eq!(settled.destroyed_line(&purpose("default")), 0);
        let again =
            [intended(true, &both), done(true, &both), enrolled("default", 2), intended(true, &[("default", 2)])];
        let again = history(again.to_vec());
        assert_eq!((again.open(), again.done(), again.whole_is_open), (lines(&[("default", 2)]), lines(&both), true));
        assert_eq!((again.destroyed_line(&purpose("default")), again.last), (2, 4));
    }

    #[test]
    fn a_whole_erasure_ends_with_a_whole_completion_alone() {
        let one = [("default", 1)];
        let open = history(vec![intended(true, &one)]);
        assert!(open.whole_is_open && !open.whole_done);
        // Somebody finished an erasure of the purpose that began before: what was not named may live still.
        let of_the_purpose = history(vec![intended(true, &one), done(false, &one)]);
        assert!(of_the_purpose.whole_is_open && of_the_purpose.open().is_empty() && !of_the_purpose.whole_done);
        let closed = history(vec![intended(true, &one), done(true, &one)]);
        assert!(!closed.whole_is_open && closed.whole_done);
    }

    #[test]
    fn a_purpose_is_done_when_the_last_completion_that_covers_it_was_entered() {
        let (named, other) = (purpose("default"), purpose("marketing"));
        let at = |history: &History, purpose| history.done_at(purpose).map(|done| (done.position, done.at.as_millis()));
        let one = [("default", 1)];
        let open = history(vec![intended(true, &one)]);
        assert_eq!((at(&open, &named), at(&open, &other)), (None, None));
        let alone = history(vec![intended(false, &one), done(false, &one)]);
        assert_eq!((at(&alone, &named), at(&alone, &other)), (Some((2, 2)), None));
        let whole = [intended(false, &one), done(false, &one), intended(true, &one), done(true, &one)];
        let after = history(whole.to_vec());
        assert_eq!((at(&after, &named), at(&after, &other)), (Some((4, 4)), Some((4, 4))));
        let again = history([&whole[..], &[done(false, &one)]].concat());
        assert_eq!((at(&again, &named), at(&again, &other)), (Some((5, 5)), Some((4, 4))), "a replay did it again");
    }

    #[test]
    fn a_whole_erasure_covers_the_first_line_of_what_nobody_named() {
        let (other, default) = (purpose("marketing"), purpose("default"));
        let intent = history(vec![intended(true, &[("default", 3)])]);
        let line = |history: &History, purpose| {
            (history.highest_line(purpose), history.destroyed_line(purpose), history.done_line(purpose))
        };
        assert_eq!((line(&intent, &other), line(&intent, &default)), ((1, 1, 0), (3, 3, 0)));
        let done_whole = [intended(true, &[("default", 3)]), done(true, &[("default", 3)])];
        let after = history(done_whole.to_vec());
        assert_eq!((line(&after, &other), line(&after, &default)), ((1, 1, 1), (3, 3, 3)));
        assert_eq!(after.done(), lines(&[("default", 3)]), "only what is named can be listed");
        // Whatever comes later: the first line stays destroyed.
        let again = history([&done_whole[..], &[enrolled("marketing", 2)]].concat());
        assert_eq!(line(&again, &other), (2, 1, 1));
        assert_eq!((again.done(), again.open()), (lines(&[("default", 3), ("marketing", 1)]), vec![]));
        // An erasure of a purpose covers nothing else.
        let of_one = history(vec![intended(false, &[("default", 1)]), done(false, &[("default", 1)])]);
        assert_eq!(line(&of_one, &other), (0, 0, 0));
    }

    #[test]
    fn a_whole_erasure_leaves_nothing_until_somebody_is_enrolled_again() {
        let (one, two) = ([("default", 1)], [("default", 2)]);
        assert!(!history(vec![JournalEvent::Held]).leaves_nothing());
        assert!(!history(vec![intended(false, &one), done(false, &one)]).leaves_nothing(), "other purposes may live");
        let mut events = vec![intended(true, &one)];
        assert!(history(events.clone()).leaves_nothing());
        events.push(done(true, &one));
        assert!(history(events.clone()).leaves_nothing());
        events.push(enrolled("default", 2));
        assert!(!history(events.clone()).leaves_nothing());
        let other = [&events[..], &[enrolled("billing", 2), intended(false, &two)]].concat();
        assert!(!history(other).leaves_nothing(), "billing lives");
        events.extend([intended(false, &two), done(false, &two)]);
        assert!(history(events).leaves_nothing(), "whatever lived since the whole erasure has an entry");
    }

    #[test]
    fn a_new_line_is_above_whatever_is_named() {
        let five = [("default", 5)];
        for events in [vec![enrolled("default", 5)], vec![intended(false, &five)], vec![done(false, &five)]] {
            assert_eq!(history(events).highest_line(&purpose("default")), 5);
        }
        let enrolled = history(vec![enrolled("default", 5)]);
        assert_eq!(enrolled.destroyed_line(&purpose("default")), 0, "it is not destroyed");
        assert_eq!(history(vec![]).highest_line(&purpose("default")), 0);
    }

    #[test]
    fn the_last_word_on_holds_and_schedules_counts() {
        use JournalEvent::{ErasureCancelled, ErasureScheduled, Held, Released};
        let schedule = |n| ErasureScheduled { at: Timestamp::from_millis(n) };
        assert!(history(vec![Held]).held && !history(vec![Held, Released]).held && history(vec![Released, Held]).held);
        let at = |events| history(events).scheduled.map(Timestamp::as_millis);
        assert_eq!(at(vec![schedule(5), schedule(9)]), Some(9));
        assert_eq!(at(vec![schedule(5), ErasureCancelled]), None);
        assert_eq!(at(vec![schedule(5), intended(true, &[("a", 1)])]), None, "it is fulfilled");
        assert_eq!(at(vec![schedule(5), intended(false, &[("a", 1)])]), Some(5), "one purpose is not the subject");
    }

    #[test]
    fn the_last_intent_says_whether_anybody_knew_the_subject() {
        let intent = |known| JournalEvent::ErasureIntended { whole: true, known, lines: lines(&[("a", 1)]) };
        let known = |events| history(events).intent.map(|intent| intent.known);
        assert_eq!(known(vec![intent(false)]), Some(false));
        assert_eq!(known(vec![intent(false), done(true, &[("a", 1)]), enrolled("a", 2), intent(true)]), Some(true));
        assert_eq!(known(vec![JournalEvent::Held]), None);
    }
}
