//! The master keys that a process holds, ready for use: what [`LocalKeyring`](super::LocalKeyring) answers from.

use std::fmt;
use std::sync::Arc;

use super::disk::Stamp;
use super::format::{KeyringFile, LineState, StoredKey};
use super::passphrase::PassphraseKey;
use crate::clock::Timestamp;
use crate::error::{ProviderError, ProviderErrorKind};
use crate::keys::{KeyMaterial, MasterKeyId, UsableKey};

/// A master key of a [`LocalKeyring`](super::LocalKeyring): its id, state and time, nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyInfo {
    id: MasterKeyId,
    created: Timestamp,
    state: MasterKeyState,
}

impl MasterKeyInfo {
    /// Its id.
    pub fn id(&self) -> &MasterKeyId {
        &self.id
    }

    /// When it was made.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// What it is used for.
    pub fn state(&self) -> MasterKeyState {
        self.state
    }
}

/// What a master key is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MasterKeyState {
    /// Wraps and unwraps.
    Current,
    /// Unwraps what it wrapped while it was the current one.
    Available,
    /// Gone; its id stays known.
    Destroyed {
        /// When.
        at: Timestamp,
    },
}

/// One state of the keyring. Never changed: replaced by the next.
#[derive(Clone, Debug)]
pub(super) struct Held {
    keys: Vec<HeldKey>,
    /// The file it was read from; none if there is no file.
    stamp: Option<Stamp>,
}

/// Its key is wiped when the last call that uses it has ended.
#[derive(Clone)]
struct HeldKey {
    id: MasterKeyId,
    created: Timestamp,
    state: HeldState,
}

#[derive(Clone)]
enum HeldState {
    Current(Arc<UsableKey>),
    Available(Arc<UsableKey>),
    Destroyed(Timestamp),
}

impl fmt::Debug for HeldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HeldKey").field(&self.id).finish()
    }
}

impl Held {
    /// A keyring with this key alone.
    pub(super) fn first(id: MasterKeyId, created: Timestamp, key: &KeyMaterial) -> Self {
        Self { keys: Vec::new(), stamp: None }.with(id, created, key)
    }

    /// What a file holds. A wrapped key that does not open, though the file's MAC is right, is damage all the same.
    pub(super) fn of_file(
        file: &KeyringFile,
        passphrase: Option<&PassphraseKey>,
        stamp: Stamp,
    ) -> Result<Self, ProviderError> {
        let usable = |id: &MasterKeyId, key: &StoredKey| match (key, passphrase) {
            (StoredKey::Clear(key), None) => Ok(Arc::new(UsableKey::derive(key))),
            (StoredKey::Wrapped(wrapped), Some(passphrase)) => passphrase
                .unwrap(id, wrapped)
                .map(|key| Arc::new(UsableKey::derive(&key)))
                .ok_or_else(|| ProviderError::corrupt("a key in the keyring file does not open: restore a backup")),
            _ => Err(ProviderError::corrupt("the keyring file is protected in another way than its keys")),
        };
        let keys = file
            .keys
            .iter()
            .map(|line| {
                let state = match &line.state {
                    LineState::Current(key) => HeldState::Current(usable(&line.id, key)?),
                    LineState::Available(key) => HeldState::Available(usable(&line.id, key)?),
                    LineState::Destroyed(at) => HeldState::Destroyed(*at),
                };
                Ok(HeldKey { id: line.id.clone(), created: line.created, state })
            })
            .collect::<Result<_, ProviderError>>()?;
        Ok(Self { keys, stamp: Some(stamp) })
    }

    pub(super) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn infos(&self) -> Vec<MasterKeyInfo> {
        let info = |key: &HeldKey| MasterKeyInfo {
            id: key.id.clone(),
            created: key.created,
            state: match key.state {
                HeldState::Current(_) => MasterKeyState::Current,
                HeldState::Available(_) => MasterKeyState::Available,
                HeldState::Destroyed(at) => MasterKeyState::Destroyed { at },
            },
        };
        self.keys.iter().map(info).collect()
    }

    pub(super) fn current(&self) -> Result<(&MasterKeyId, &UsableKey), ProviderError> {
        let current = self.keys.iter().find_map(|key| match &key.state {
            HeldState::Current(usable) => Some((&key.id, &**usable)),
            _ => None,
        });
        current.ok_or_else(|| ProviderError::corrupt("the keyring has no current key"))
    }

    pub(super) fn knows(&self, id: &MasterKeyId) -> bool {
        self.key(id).is_some()
    }

    /// The key to unwrap with.
    pub(super) fn usable(&self, id: &MasterKeyId) -> Result<&UsableKey, ProviderError> {
        match self.key(id).map(|key| &key.state) {
            Some(HeldState::Current(key) | HeldState::Available(key)) => Ok(key),
            Some(HeldState::Destroyed(_)) => Err(ProviderError::new(ProviderErrorKind::KeyDestroyed)),
            None => Err(ProviderError::new(ProviderErrorKind::UnknownKey)),
        }
    }

    /// Whether a key is there to be destroyed: not if it was destroyed before.
    pub(super) fn to_destroy(&self, id: &MasterKeyId) -> Result<bool, ProviderError> {
        match self.key(id).map(|key| &key.state) {
            Some(HeldState::Available(_)) => Ok(true),
            Some(HeldState::Destroyed(_)) => Ok(false),
            Some(HeldState::Current(_)) => Err(ProviderError::misconfigured(
                "the current master key can't be destroyed: add a key first (`LocalKeyring::add_key`), and rewrap what \
                 is wrapped under this one",
            )),
            None => Err(ProviderError::new(ProviderErrorKind::UnknownKey)),
        }
    }

    /// Whether a key was destroyed: not if it is there.
    pub(super) fn is_destroyed(&self, id: &MasterKeyId) -> Result<bool, ProviderError> {
        match self.key(id).map(|key| &key.state) {
            Some(state) => Ok(matches!(state, HeldState::Destroyed(_))),
            None => Err(ProviderError::new(ProviderErrorKind::UnknownKey)),
        }
    }

    /// With one more key, which is now the current one.
    pub(super) fn with(&self, id: MasterKeyId, created: Timestamp, key: &KeyMaterial) -> Self {
        let mut next = self.clone();
        for key in &mut next.keys {
            if let HeldState::Current(usable) = &key.state {
                key.state = HeldState::Available(usable.clone());
            }
        }
        next.keys.push(HeldKey { id, created, state: HeldState::Current(Arc::new(UsableKey::derive(key))) });
        next
    }

    /// Without the key of this id.
    pub(super) fn without(&self, id: &MasterKeyId, at: Timestamp) -> Self {
        let mut next = self.clone();
        for key in next.keys.iter_mut().filter(|key| key.id == *id) {
            key.state = HeldState::Destroyed(at);
        }
        next
    }

    /// Whether this state can have come out of `older`: no key is missing or another, and none came back.
    pub(super) fn follows(&self, older: &Self) -> bool {
        older.keys.iter().all(|old| match (&old.state, self.key(&old.id).map(|key| &key.state)) {
            (_, None) => false,
            (_, Some(HeldState::Destroyed(_))) => true,
            (HeldState::Destroyed(_), Some(_)) => false,
            (
                HeldState::Current(old) | HeldState::Available(old),
                Some(HeldState::Current(new) | HeldState::Available(new)),
            ) => old.id().is(new.id()),
        })
    }

    fn key(&self, id: &MasterKeyId) -> Option<&HeldKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> MasterKeyId {
        MasterKeyId::new(format!("local-{n:016x}")).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_millis(1);

    #[test]
    fn a_later_state_follows_an_earlier_one_and_not_the_other_way() {
        let [a, b] = [(); 2].map(|()| KeyMaterial::generate().unwrap());
        let one = Held::first(id(1), NOW, &a);
        let two = one.with(id(2), NOW, &b);
        let three = two.without(&id(1), NOW);
        for (older, newer) in [(&one, &two), (&two, &three), (&one, &three), (&one, &one)] {
            assert!(newer.follows(older));
        }
        for (older, newer) in [(&two, &one), (&three, &two), (&three, &one)] {
            assert!(!newer.follows(older), "a key is missing, or came back");
        }
        assert!(!Held::first(id(1), NOW, &b).follows(&one), "another key of the same id");
    }

    #[test]
    fn a_new_key_is_current_and_the_old_one_stays_usable() {
        let [a, b] = [(); 2].map(|()| KeyMaterial::generate().unwrap());
        let held = Held::first(id(1), NOW, &a).with(id(2), NOW, &b);
        assert_eq!(held.current().unwrap().0, &id(2));
        assert!(held.usable(&id(1)).unwrap().id().is(&a.id()));
        assert_eq!(held.usable(&id(3)).unwrap_err().kind(), ProviderErrorKind::UnknownKey);
    }

    #[test]
    fn a_destroyed_key_is_dropped() {
        let [a, b] = [(); 2].map(|()| KeyMaterial::generate().unwrap());
        let held = Held::first(id(1), NOW, &a).with(id(2), NOW, &b);
        let HeldState::Available(key) = &held.keys[0].state else { panic!("the first is available") };
        let gone = Arc::downgrade(key);
        let next = held.without(&id(1), NOW);
        drop(held);
        assert!(gone.upgrade().is_none());
        assert_eq!(next.usable(&id(1)).unwrap_err().kind(), ProviderErrorKind::KeyDestroyed);
        assert!(!next.to_destroy(&id(1)).unwrap());
    }
}
