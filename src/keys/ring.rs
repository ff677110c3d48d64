//! [`KeyRing`]: one subject's unwrapped data keys.

use std::cmp::Ordering;

use crate::clock::Timestamp;
use crate::envelope::KeyId;
use crate::error::{Error, Result};
use crate::id::{Purpose, TenantId};
use crate::keys::slot::{Date, KeyVersion, PurposeSlot, SubjectSlot};
use crate::keys::{DataKeyPlace, Tag, UsableKey, unwrap_data_key};

/// How the key that an envelope names stands to a subject's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyStanding {
    Held(HeldKey),
    NotHeld(NotHeld),
}

/// How a key that is held stands among those of its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldKey {
    /// To the one to seal under now: `Less` is older.
    pub(crate) order: Ordering,
    pub(crate) line: u32,
    pub(crate) version: u32,
    /// Whether the purpose has no other.
    pub(crate) is_only: bool,
}

/// The data keys of every purpose that the subject has or had.
#[derive(Debug)]
pub(crate) struct KeyRing {
    purposes: Box<[PurposeKeys]>,
    /// When the subject was last erased as a whole, and so every purpose that isn't named.
    whole_at: Option<Timestamp>,
    /// From when on none of them is to be used, although they are there.
    closes_at: Option<Timestamp>,
}

#[derive(Debug)]
struct PurposeKeys {
    name: Purpose,
    line: u32,
    /// When its last destroyed line was destroyed.
    erased_at: Option<Timestamp>,
    destroyed: Box<[KeyId]>,
    /// By version, in ascending order.
    keys: Box<[DataKey]>,
}

#[derive(Debug)]
struct DataKey {
    version: u32,
    seal_from: Date,
    key: UsableKey,
}

impl KeyRing {
    /// Unwraps every key of a slot. `known` shares the names of purposes that the caller keeps anyway.
    pub(crate) fn unwrap(
        slot: &SubjectSlot,
        tenant: &TenantId,
        tag: &Tag,
        known: &[Purpose],
        kek: Option<&UsableKey>,
    ) -> Result<Self> {
        let share = |name: &Purpose| known.iter().find(|k| *k == name).unwrap_or(name).clone();
        let unwrap = |purpose: &PurposeSlot, version: &KeyVersion| {
            let place =
                DataKeyPlace { tenant, tag, purpose: &purpose.name, line: purpose.line, version: version.number };
            let kek = kek.ok_or_else(|| Error::Bug("a slot with keys and no epoch"))?;
            Ok(DataKey {
                version: version.number,
                seal_from: version.seal_from,
                key: unwrap_data_key(kek, &place, &version.key_id, &version.wrapped)?,
            })
        };
        let purposes = slot
            .purposes
            .iter()
            .map(|purpose| {
                Ok(PurposeKeys {
                    name: share(&purpose.name),
                    line: purpose.line,
                    erased_at: purpose.erased_at,
                    destroyed: purpose.destroyed.as_slice().into(),
                    keys: purpose.versions.iter().map(|v| unwrap(purpose, v)).collect::<Result<_>>()?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { purposes, whole_at: slot.whole_at, closes_at: slot.closes_at() })
    }

    /// A ring of given keys, one line a purpose, for tests and fuzz targets: `None` is an erased purpose.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(purposes: Vec<(Purpose, Option<Vec<crate::keys::KeyMaterial>>)>) -> Self {
        let epoch = Timestamp::from_millis(1);
        let purpose = |(name, keys): (Purpose, Option<Vec<crate::keys::KeyMaterial>>)| PurposeKeys {
            name,
            line: 1,
            erased_at: keys.is_none().then_some(epoch),
            destroyed: Box::default(),
            keys: keys
                .unwrap_or_default()
                .iter()
                .zip(1..)
                .map(|(key, version)| DataKey { version, seal_from: Date::AtOnce, key: UsableKey::derive(key) })
                .collect(),
        };
        Self { purposes: purposes.into_iter().map(purpose).collect(), whole_at: None, closes_at: None }
    }

    /// Where the subject's retention period has ended: when.
    pub(crate) fn closed(&self, now: Timestamp) -> Option<Timestamp> {
        self.closes_at.filter(|end| *end <= now)
    }

    /// The key to seal under now: the newest version whose time has come, else the oldest.
    pub(crate) fn current(&self, purpose: &str, now: Timestamp) -> Result<&UsableKey> {
        let purpose = self.live(purpose)?;
        let key = purpose.keys.get(purpose.current(now)).ok_or_else(|| Error::Bug("a live purpose without a key"))?;
        Ok(&key.key)
    }

    /// The key that an envelope names.
    pub(crate) fn named(&self, purpose: &str, id: &KeyId) -> Result<&UsableKey, NotHeld> {
        self.held(purpose, id).map(|held| held.key)
    }

    /// How the key that an envelope names stands.
    pub(crate) fn standing(&self, purpose: &str, id: &KeyId, now: Timestamp) -> KeyStanding {
        match self.held(purpose, id) {
            Ok(held) => KeyStanding::Held(HeldKey {
                order: held.at.cmp(&held.purpose.current(now)),
                line: held.purpose.line,
                version: held.version,
                is_only: held.purpose.keys.len() == 1,
            }),
            Err(why) => KeyStanding::NotHeld(why),
        }
    }

    /// The purpose of the key that an envelope names.
    pub(crate) fn purpose_of(&self, id: &KeyId) -> Result<&str, NotHeld> {
        if let Some(purpose) = self.purposes.iter().find(|p| p.held(id).is_some()) {
            return Ok(purpose.name.as_str());
        }
        let destroyed = self.purposes.iter().find(|p| p.destroyed.contains(id));
        Err(destroyed.and_then(|p| p.erased_at).map_or(NotHeld::Unknown, |at| NotHeld::Destroyed { at }))
    }

    fn held(&self, purpose: &str, id: &KeyId) -> Result<Held<'_>, NotHeld> {
        if let Some(held) = self.purpose(purpose).and_then(|p| p.held(id)) {
            return Ok(held);
        }
        let destroyed = |p: &&PurposeKeys| p.destroyed.contains(id);
        if let Some(purpose) = self.purpose(purpose).filter(destroyed) {
            return Err(purpose.erased_at.map_or(NotHeld::Retired, |at| NotHeld::Destroyed { at }));
        }
        // Also one that was destroyed: where it stands now it was never sealed.
        if self.purposes.iter().any(|p| p.held(id).is_some() || destroyed(&p)) {
            return Err(NotHeld::OtherPurpose);
        }
        // No key of an erased purpose will ever come by a refresh; one that is unknown may.
        match self.purpose(purpose) {
            None => Err(self.whole_at.map_or(NotHeld::NoPurpose, |at| NotHeld::Destroyed { at })),
            Some(p) => match p.erased() {
                Some(at) => Err(NotHeld::Destroyed { at }),
                None => Err(NotHeld::Unknown),
            },
        }
    }

    /// Whether the subject has or had keys for the purpose.
    pub(crate) fn knows(&self, purpose: &Purpose) -> bool {
        self.purpose(purpose.as_str()).is_some()
    }

    fn live(&self, name: &str) -> Result<&PurposeKeys> {
        let purpose = self.purpose(name);
        match purpose.map_or(self.whole_at, PurposeKeys::erased) {
            Some(at) => Err(Error::PurposeErased { at }),
            None => purpose.ok_or_else(|| Error::PurposeUnknown),
        }
    }

    fn purpose(&self, name: &str) -> Option<&PurposeKeys> {
        self.purposes.iter().find(|p| p.name.as_str() == name)
    }
}

impl PurposeKeys {
    /// When it was erased; none while it has a key.
    fn erased(&self) -> Option<Timestamp> {
        self.erased_at.filter(|_| self.keys.is_empty())
    }

    /// Where the key to seal under now stands.
    fn current(&self, now: Timestamp) -> usize {
        newest_due(self.keys.iter().map(|key| key.seal_from), now)
    }

    fn held(&self, id: &KeyId) -> Option<Held<'_>> {
        let mut keys = self.keys.iter().enumerate();
        let (at, DataKey { version, key, .. }) = keys.find(|(_, k)| k.key.id().is(id))?;
        Some(Held { purpose: self, at, version: *version, key })
    }
}

/// Which of the versions of a key, given by their dates and oldest first, is sealed under now: the newest whose time has come,
/// else the oldest.
pub(crate) fn newest_due(
    mut dates: impl ExactSizeIterator<Item = Date> + DoubleEndedIterator,
    now: Timestamp,
) -> usize {
    dates.rposition(|date| date.has_come(now)).unwrap_or_default()
}

/// A key, found by its id.
struct Held<'r> {
    purpose: &'r PurposeKeys,
    /// Where it stands among the purpose's keys.
    at: usize,
    version: u32,
    key: &'r UsableKey,
}

/// Why no key of the purpose has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotHeld {
    /// It is among the purpose's destroyed, or the whole purpose was erased.
    Destroyed { at: Timestamp },
    /// It was retired, while the purpose lives: it was said that nothing names it.
    Retired,
    /// It is, or was, a key of another purpose: the envelope was moved.
    OtherPurpose,
    /// The subject has no keys for the purpose.
    NoPurpose,
    /// It may be newer than these keys.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_once_is_due_whatever_the_clock_says() {
        let dated = |millis| Date::Dated(Timestamp::from_millis(millis));
        for (dates, now, due) in [
            (vec![Date::AtOnce], 0, 0),
            (vec![dated(5), Date::AtOnce], 1, 1),
            (vec![Date::AtOnce, dated(9), Date::AtOnce], 1, 2),
            (vec![Date::AtOnce, dated(9)], 8, 0),
            (vec![Date::AtOnce, dated(9)], 9, 1),
            (vec![Date::AtOnce, Date::Undated], u64::MAX, 0),
            (vec![dated(9), Date::Undated], 8, 0),
            // A clock that was ahead gave the date in the middle.
            (vec![Date::AtOnce, dated(u64::MAX), dated(9)], 8, 0),
            (vec![Date::AtOnce, dated(u64::MAX), dated(9)], 9, 2),
        ] {
            assert_eq!(newest_due(dates.iter().copied(), Timestamp::from_millis(now)), due, "{dates:?} at {now}");
        }
    }
}
