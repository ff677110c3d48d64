//! [`Verifier`]: which entries of a journal are genuine, and which of those this version understands. `docs/format.md`,
//! section 11, steps 4 to 8. No I/O: the entries are handed in, each with the head before it.
//!
//! A journal knows no key, so whoever can write to it can append anything, and whoever answers a query can keep entries back.
//! What does not verify is passed over: it has no effect, and stops nobody. What is missing is noticed by the next entry about
//! the same, which names the one before, or by the slot, which names the last one that it was written after.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{EntryAt, Head, JournalEntry, JournalEvent};
use crate::envelope::KeyId;
use crate::keys::{JournalKey, RootKey, SlotId};

/// Judges the entries of one key store's journal, by the store's root.
#[derive(Debug)]
pub(crate) struct Verifier {
    key: JournalKey,
    root: KeyId,
    creation: Option<u64>,
}

/// What a reader makes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgment {
    /// Left by another attempt to make the store, before its creation. Nobody can verify it, it counts for nothing, and nobody
    /// is told.
    Attempt,
    /// It does not verify: whoever appended it has not the store's root. It has no effect, and is reported.
    PassedOver,
    /// An entry about the same was left out before it, or is not what was appended: what it is about is damaged.
    LeftOut,
    /// A later version's: what it is about is not for this version to act on.
    Later,
    /// A later version's, of the events that may be skipped.
    Skipped,
    /// It happened.
    Accepted,
}

/// Entries read in their order, without a gap.
#[derive(Debug)]
pub(crate) struct Reading {
    creation: Option<u64>,
    /// The position behind which it began.
    began: u64,
    /// Of each that an accepted entry is about: the last one's position.
    last: HashMap<SlotId, u64>,
}

/// What happened to one subject, one tenant or the key store, as far as this version knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    entries: Vec<EntryAt>,
    last: u64,
}

/// Why a list of entries is not what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The journal lacks what the slot was written after.
    Truncated,
    /// An entry was left out, or is not what was appended.
    LeftOut,
    /// There is more to it that this version doesn't know.
    Later,
}

impl Verifier {
    /// That of a key store with this root.
    pub(crate) fn of(root: &RootKey) -> Self {
        Self { key: root.journal_key(), root: *root.id(), creation: None }
    }

    /// Knows, from here on, where the store's creation is: the entries before it are no business of this store.
    pub(crate) fn created_at(self, creation: u64) -> Self {
        Self { creation: Some(creation), ..self }
    }

    /// The entry, for the place behind `before`.
    pub(crate) fn seal(&self, entry: JournalEntry, previous: u64, before: &Head) -> JournalEntry {
        entry.sealed(previous, &self.key, before)
    }

    /// Begins to read behind a position: 0 for the first entry.
    pub(crate) fn read_from(&self, position: u64) -> Reading {
        Reading { creation: self.creation, began: position, last: HashMap::new() }
    }

    /// The entries about one subject, tenant or the key store, as a query gave them that reached to `head`. `told` is the
    /// position that their slot names, which was read before the head was.
    pub(crate) fn list(&self, given: Vec<EntryAt>, told: u64, head: &Head) -> Result<Accepted, Unfit> {
        if told > head.position() {
            return Err(Unfit::Truncated);
        }
        let (mut reading, mut accepted) = (self.read_from(0), Accepted::default());
        let (mut is_told, mut is_later) = (told == 0, false);
        for EntryAt { before, entry } in given {
            let (position, judgment) = (position_behind(&before), reading.judge(self, &before, &entry));
            match judgment {
                Judgment::Attempt | Judgment::PassedOver => continue,
                Judgment::LeftOut => return Err(Unfit::LeftOut),
                Judgment::Later => is_later = true,
                Judgment::Skipped => {}
                Judgment::Accepted => accepted.entries.push(EntryAt { before, entry }),
            }
            is_told |= position == told;
            accepted.last = position;
        }
        match (is_told, is_later) {
            (false, _) => Err(Unfit::LeftOut),
            (true, true) => Err(Unfit::Later),
            (true, false) => Ok(accepted),
        }
    }
}

impl Reading {
    /// Judges the next entry.
    pub(crate) fn judge(&mut self, verifier: &Verifier, before: &Head, entry: &JournalEntry) -> Judgment {
        let position = position_behind(before);
        let is_genuine = entry.verifies(&verifier.key, before);
        if self.creation.is_none() && is_genuine && is_creation(entry, &verifier.root) {
            self.creation = Some(position);
        }
        match self.creation {
            Some(creation) if creation <= position => {}
            _ if is_attempt(entry) => return Judgment::Attempt,
            _ => return Judgment::PassedOver,
        }
        if !is_genuine {
            return Judgment::PassedOver;
        }
        let follows = match self.last.entry(entry.about().clone()) {
            Entry::Occupied(mut last) => last.insert(position) == entry.previous(),
            Entry::Vacant(first) => {
                first.insert(position);
                entry.previous() <= self.began
            }
        };
        match entry.event() {
            _ if !follows => Judgment::LeftOut,
            JournalEvent::Unknown { number: 128.., .. } => Judgment::Skipped,
            JournalEvent::Unknown { .. } | JournalEvent::LaterVersion { .. } => Judgment::Later,
            _ => Judgment::Accepted,
        }
    }

    /// Where the store's creation is, once that was read.
    pub(crate) fn creation(&self) -> Option<u64> {
        self.creation
    }

    /// The position of the last entry about this that was accepted; 0 if there was none.
    pub(crate) fn last(&self, about: &SlotId) -> u64 {
        self.last.get(about).copied().unwrap_or(0)
    }
}

impl Accepted {
    /// The entries, each with its position.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &JournalEntry)> {
        self.entries.iter().map(|at| (position_behind(&at.before), &at.entry))
    }

    /// The head that an entry was appended at; none if there is none at this position.
    pub(crate) fn head_before(&self, position: u64) -> Option<Head> {
        self.entries.iter().map(|at| at.before).find(|before| position_behind(before) == position)
    }

    /// The position of the last one, those that were skipped included; 0 if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}

fn is_creation(entry: &JournalEntry, root: &KeyId) -> bool {
    let is_its_root = matches!(entry.event(), JournalEvent::RootCreated { key_id } if key_id.is(root));
    is_its_root && *entry.about() == SlotId::Vault
}

/// Whether whoever makes a key store enters such a thing first.
pub(crate) fn is_attempt(entry: &JournalEntry) -> bool {
    let is_first = matches!(entry.event(), JournalEvent::RootCreated { .. } | JournalEvent::EpochOpened { .. });
    is_first && *entry.about() == SlotId::Vault
}

fn position_behind(before: &Head) -> u64 {
    before.position().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::crypto::vectors::hex;
    use crate::id::TenantId;
    use crate::keys::{KeyMaterial, Tag};

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../../tests/vectors/slots.json")).unwrap()
    }

    fn verifier(vectors: &Value) -> Verifier {
        Verifier::of(&RootKey::derive(&KeyMaterial::from_slice(&hex(text(&vectors["root"]))).unwrap()))
    }

    fn text(value: &Value) -> &str {
        value.as_str().unwrap()
    }

    fn list(value: &Value) -> &[Value] {
        value.as_array().unwrap()
    }

    fn positions(value: &Value) -> Vec<u64> {
        list(value).iter().map(|n| n.as_u64().unwrap()).collect()
    }

    /// The entries of a case up to the first that is damaged, each with the head before it; and the head behind them.
    fn entries(case: &Value) -> (Vec<EntryAt>, Head, bool) {
        let (mut head, mut read) = (Head::EMPTY, Vec::new());
        for bytes in list(&case["entries"]) {
            let Ok(entry) = JournalEntry::from_bytes(&hex(text(bytes))) else { return (read, head, true) };
            read.push(EntryAt::new(head, entry.clone()));
            head = head.advanced_by(&entry);
        }
        (read, head, false)
    }

    /// As `docs/format.md` names it.
    fn word(judgment: Judgment, is_creation: bool) -> &'static str {
        match judgment {
            Judgment::Accepted if is_creation => "creation",
            Judgment::Accepted => "accepted",
            Judgment::Attempt => "before",
            Judgment::PassedOver => "passed",
            Judgment::LeftOut => "left out",
            Judgment::Later => "later",
            Judgment::Skipped => "skipped",
        }
    }

    #[test]
    fn another_program_judges_the_same_of_whole_journals() {
        let vectors = vectors();
        let verifier = verifier(&vectors);
        for case in list(&vectors["journal_reads"]) {
            let (read, head, is_damaged) = entries(case);
            let mut reading = verifier.read_from(0);
            let mut judged = Vec::new();
            for EntryAt { before, entry } in &read {
                let judgment = reading.judge(&verifier, before, entry);
                judged.push(word(judgment, reading.creation() == Some(before.position() + 1)));
            }
            judged.extend(is_damaged.then_some("damage"));
            let refused = match (is_damaged, reading.creation()) {
                (true, _) => Some("Corrupt"),
                (false, None) => Some("JournalTruncated"),
                (false, Some(_)) if head.hash()[..] != hex(text(&case["head"])) => Some("Corrupt"),
                _ => None,
            };
            let expected: Vec<_> = list(&case["judged"]).iter().map(text).collect();
            assert_eq!(judged, expected, "{}", case["name"]);
            assert_eq!(refused, case["refused"].as_str(), "{}", case["name"]);
        }
    }

    #[test]
    fn another_program_judges_the_same_of_lists() {
        let vectors = vectors();
        let mut asked = 0;
        for case in list(&vectors["journal_lists"]) {
            let (all, head, _) = entries(case);
            let judged: Vec<_> = list(&case["judged"]).iter().map(text).collect();
            let creation = judged.iter().position(|judged| *judged == "creation").unwrap() as u64 + 1;
            let verifier = verifier(&vectors).created_at(creation);
            for case in list(&case["lists"]) {
                let given: Vec<_> =
                    positions(&case["given"]).iter().map(|n| all[usize::try_from(*n).unwrap() - 1].clone()).collect();
                let about = match (text(&case["tenant"]), hex(text(&case["tag"]))) {
                    ("", _) => SlotId::Vault,
                    (tenant, tag) if tag.is_empty() => SlotId::Tenant(TenantId::new(tenant).unwrap()),
                    (tenant, tag) => {
                        SlotId::Subject(TenantId::new(tenant).unwrap(), Tag::from_bytes(tag.try_into().unwrap()))
                    }
                };
                assert!(given.iter().all(|given| *given.entry.about() == about), "the test itself");
                let accepted = positions(&case["accepted"]);
                let is = match verifier.list(given, case["told"].as_u64().unwrap(), &head) {
                    Ok(list) => {
                        assert_eq!(list.iter().map(|(n, _)| n).collect::<Vec<_>>(), accepted, "{}", case["name"]);
                        assert_eq!(list.last(), accepted.last().copied().unwrap_or(0), "{}", case["name"]);
                        "whole"
                    }
                    Err(Unfit::LeftOut) => "left out",
                    Err(Unfit::Truncated) => "truncated",
                    Err(Unfit::Later) => "later",
                };
                assert_eq!(is, text(&case["is"]), "{}", case["name"]);
                asked += 1;
            }
        }
        assert!(asked > 0);
    }

    /// What was appended about somebody, one after the other, by who has the root.
    fn said(verifier: &Verifier, events: Vec<JournalEvent>) -> (Vec<EntryAt>, Head) {
        let about = SlotId::Subject(TenantId::default_tenant(), Tag::from_bytes([1; 16]));
        let creation = JournalEvent::RootCreated { key_id: verifier.root };
        let mut all = vec![(SlotId::Vault, creation)];
        all.extend(events.into_iter().map(|event| (about.clone(), event)));
        let (mut head, mut said, mut last) = (Head::EMPTY, Vec::new(), HashMap::new());
        for (about, event) in all {
            let entry = JournalEntry::unsealed(crate::clock::Timestamp::from_millis(1), about.clone(), event);
            let previous = last.insert(about, head.position() + 1).unwrap_or(0);
            let entry = verifier.seal(entry, previous, &head);
            said.push(EntryAt::new(head, entry.clone()));
            head = head.advanced_by(&entry);
        }
        (said, head)
    }

    #[test]
    fn a_reader_that_begins_later_takes_the_first_entry_on_its_word() {
        use JournalEvent::{Held, Released};
        let verifier = verifier(&vectors()).created_at(1);
        let (all, _) = said(&verifier, vec![Held, Released, Held]);
        let judged = |began: u64, of: &[&EntryAt]| -> Vec<Judgment> {
            let mut reading = verifier.read_from(began);
            of.iter().map(|at| reading.judge(&verifier, &at.before, &at.entry)).collect()
        };
        let [_, first, second, third] = &all[..] else { panic!() };
        assert_eq!(judged(2, &[second, third]), [Judgment::Accepted; 2]);
        assert_eq!(judged(0, &[second, third]), [Judgment::LeftOut, Judgment::Accepted], "the first is missing");
        assert_eq!(judged(1, &[first, third]), [Judgment::Accepted, Judgment::LeftOut]);
    }

    #[test]
    fn what_is_later_is_not_read_past_and_what_may_be_skipped_is() {
        let verifier = verifier(&vectors()).created_at(1);
        let skipped = || JournalEvent::Unknown { number: 200, bytes: vec![1] };
        let later = || JournalEvent::Unknown { number: 40, bytes: vec![] };
        let newer = || JournalEvent::LaterVersion { version: 2, bytes: vec![9] };
        let listed = |events| {
            let (all, head) = said(&verifier, events);
            verifier.list(all[1..].to_vec(), 0, &head)
        };
        let list = listed(vec![JournalEvent::Held, skipped()]).unwrap();
        assert_eq!((list.iter().count(), list.last()), (1, 3));
        assert_eq!(listed(vec![later(), JournalEvent::Held]), Err(Unfit::Later));
        assert_eq!(listed(vec![newer()]), Err(Unfit::Later));
        // The slot may name it: it was written after it.
        let (all, head) = said(&verifier, vec![JournalEvent::Held, skipped()]);
        assert!(verifier.list(all[1..].to_vec(), 3, &head).is_ok());
        assert_eq!(verifier.list(all[1..2].to_vec(), 3, &head), Err(Unfit::LeftOut));
    }
}
