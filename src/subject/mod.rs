//! [`SubjectKeys`]: one subject's keys in memory, and sealing and opening with them, on bytes. Sync, no I/O.
//!
//! Imports `error`, `kind`, `id`, `clock`, `crypto`, `envelope` and `keys`. The typed layer is built on [`Sealer`],
//! [`Opener`] and [`Resealer`].

mod opener;
mod resealer;
mod sealer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use opener::Opener;
pub(crate) use resealer::Resealer;
pub use sealer::Sealer;
use zeroize::Zeroizing;

use crate::clock::{Clock, SharedStamp, Stamp, Timestamp};
use crate::crypto::Suite;
use crate::envelope::FieldContext;
use crate::envelope::frame::{self, Frame};
use crate::error::{Error, Result};
use crate::id::{HasSubject, Purpose, SubjectId, TenantId};
use crate::keys::ring::{KeyRing, NotHeld};
use crate::kind::Kind;

/// One subject's data keys, unwrapped, for at most `max_age`.
///
/// Cloning shares them. They are wiped when the last clone, the cache's included, is gone. Every call checks their age, and
/// whether this process erased the subject since.
///
/// # Security
/// Whoever holds these can open all that the subject has under their purposes: keep them no longer than the request.
#[derive(Clone)]
pub struct SubjectKeys {
    inner: Arc<Inner>,
    /// Read after an envelope named a key that was not held: an id that these don't hold is nobody's, as long as the read
    /// is fresh.
    refreshed: bool,
}

struct Inner {
    policy: Arc<Policy>,
    subject: SubjectId,
    loaded: Stamp,
    /// Loaded by a refresh, which is rate-limited.
    by_refresh: bool,
    revocation: Arc<RevocationFlag>,
    ring: KeyRing,
}

/// Ends every key of a subject that is out: shared by all that were read since the last erasure.
#[derive(Debug, Default)]
pub(crate) struct RevocationFlag(AtomicU64);

/// Why issued keys are not to be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revocation {
    /// The subject was erased.
    Erased { at: Timestamp },
    /// Something else changed that they don't know of: read them again.
    Outdated,
}

impl RevocationFlag {
    pub(crate) fn set(&self, revocation: Revocation) {
        let value = match revocation {
            Revocation::Erased { at } => at.as_millis().clamp(1, OUTDATED - 1),
            Revocation::Outdated => OUTDATED,
        };
        self.0.store(value, Ordering::Release);
    }

    fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Acquire) {
            0 => Ok(()),
            OUTDATED => Err(Error::KeysExpired),
            at => Err(Error::SubjectErased { at: Timestamp::from_millis(at) }),
        }
    }
}

const OUTDATED: u64 = u64::MAX;

/// What all subject keys of a tenant have in common.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) tenant: TenantId,
    pub(crate) suite: Suite,
    pub(crate) max_age: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// When this process last made certain that the key store was not restored under it; none where nothing tells. Keys
    /// are good for as long as that is: they may have been read after.
    pub(crate) last_checked: Option<Arc<SharedStamp>>,
}

impl SubjectKeys {
    pub(crate) fn new(
        policy: Arc<Policy>,
        subject: SubjectId,
        ring: KeyRing,
        loaded: Stamp,
        by_refresh: bool,
        revocation: Arc<RevocationFlag>,
    ) -> Self {
        Self { inner: Arc::new(Inner { policy, subject, loaded, by_refresh, revocation, ring }), refreshed: false }
    }

    /// The same keys, asked for at `asked` because of a key that older ones did not hold. Only a read that began later can
    /// tell a key that is not there yet from one that is nobody's.
    pub(crate) fn refreshed_since(self, asked: &Stamp) -> Self {
        Self { refreshed: !self.inner.loaded.is_before(asked), ..self }
    }

    /// Whether a key that these don't hold is known to be nobody's: it may be made any time after the read.
    fn know_of_every_key(&self) -> bool {
        self.refreshed && self.inner.loaded.elapsed(&self.inner.policy.clock) < REFRESH_INTERVAL
    }

    /// Whether these were read before the others.
    pub(crate) fn are_older_than(&self, other: &Stamp) -> bool {
        self.inner.loaded.is_before(other)
    }

    pub(crate) fn loaded(&self) -> &Stamp {
        &self.inner.loaded
    }

    /// Whose keys they are.
    pub fn subject(&self) -> &SubjectId {
        &self.inner.subject
    }

    /// Seals bytes: an envelope of 66 bytes more than `value`. It draws a nonce of its own.
    ///
    /// # Errors
    /// [`Error::KeysExpired`], [`Error::PurposeUnknown`], [`Error::PurposeErased`]; [`Error::InvalidInput`] if the value is
    /// longer than 16 MiB.
    pub fn seal_bytes(&self, value: &[u8], context: &FieldContext<'_>) -> Result<Vec<u8>> {
        let frame = Frame::of(value, 0, Kind::Bytes)?;
        Sealer::new(self, context.schema(), context)?.seal(context.purpose_name(), context.field(), frame)
    }

    /// Opens an envelope that [`seal_bytes`](Self::seal_bytes) made for the same context; `None` where none was sealed.
    ///
    /// # Errors
    /// [`Error::Authentication`] for another context, key or a changed byte; [`Error::WrongPurpose`] for a key of another
    /// purpose; [`Error::KeyNotHeld`] for a key that may be newer than these; [`Error::Malformed`] and
    /// [`Error::UnknownFormat`] for what is no envelope; [`Error::WrongType`] for a value that is no bytes;
    /// [`Error::KeysExpired`], [`Error::PurposeUnknown`], [`Error::PurposeErased`].
    pub fn open_bytes(&self, envelope: &[u8], context: &FieldContext<'_>) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let mut opener = Opener::new(self, context.schema(), context)?;
        let frame = opener.open(context.purpose_name(), context.field(), envelope)?;
        let (marker, len) = frame::parse(frame.as_slice())?;
        match marker.kind()? {
            Kind::None => Ok(None),
            Kind::Bytes => {
                frame.truncate(len);
                Ok(Some(Zeroizing::new(frame.take())))
            }
            found => Err(Error::WrongType { found, expected: Kind::Bytes }),
        }
    }

    /// Moves an envelope that was sealed for the same context to the current key: the same value, of whatever kind, with the
    /// same padding, under a nonce of its own. `None` where there is nothing to do: it is under that key already, or
    /// under one that is newer.
    ///
    /// What needs no move is not opened, so `None` doesn't say that it would open. To lose no write of somebody else, write
    /// the new envelope only where the old one still is: `UPDATE .. SET email = ? WHERE id = ? AND email = ?`.
    ///
    /// # Errors
    /// Those of [`open_bytes`](Self::open_bytes) but [`Error::WrongType`], and [`Error::Entropy`].
    ///
    /// # Security
    /// What opens is moved. An older value of the same place that somebody put back is one of the current key from then on.
    pub fn reseal_bytes(&self, envelope: &[u8], context: &FieldContext<'_>) -> Result<Option<Vec<u8>>> {
        let mut resealer = Resealer::new(self, context.schema(), context)?;
        resealer.reseal(context.purpose_name(), context.field(), envelope)
    }

    /// Whether the keys are past `max_age`, or ended before.
    pub(crate) fn expired(&self) -> bool {
        self.ring().is_err()
    }

    /// That these may be used now.
    pub(crate) fn check(&self) -> Result<()> {
        self.ring().map(drop)
    }

    /// That values of this purpose can be sealed now.
    pub(crate) fn check_for_sealing(&self, purpose: &str) -> Result<()> {
        let (ring, now) = self.ring()?;
        ring.current(purpose, now).map(drop)
    }

    pub(crate) fn belong_to(&self, tenant: &TenantId, subject: &SubjectId) -> bool {
        self.inner.policy.tenant == *tenant && self.inner.subject == *subject
    }

    /// Whether these are the very same keys, from one read.
    pub(crate) fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// How long ago a refresh read them; none if an ordinary load did.
    pub(crate) fn refreshed_ago(&self) -> Option<Duration> {
        self.inner.by_refresh.then(|| self.inner.loaded.elapsed(&self.inner.policy.clock))
    }

    /// Whether each of these purposes has a key or was erased: whether enrolling would add nothing.
    pub(crate) fn know_all(&self, purposes: &[Purpose]) -> bool {
        purposes.iter().all(|purpose| self.inner.ring.knows(purpose))
    }

    /// The keys, if they are not past their age and the subject was not erased since, nor its period has ended; and the time of
    /// day.
    fn ring(&self) -> Result<(&KeyRing, Timestamp)> {
        let Inner { policy, loaded, ring, revocation, .. } = &*self.inner;
        revocation.check()?;
        let now = Stamp::now(&policy.clock);
        let unchecked =
            policy.last_checked.as_ref().is_some_and(|last_checked| last_checked.expired_at(&now, policy.max_age));
        if unchecked || loaded.expired_at(&now, policy.max_age) {
            return Err(Error::KeysExpired);
        }
        match ring.closed(now.wall()) {
            Some(due) => Err(Error::SubjectClosed { due }),
            None => Ok((ring, now.wall())),
        }
    }

    /// What it means to the caller that a key is not held.
    fn not_held(&self, why: NotHeld) -> Error {
        match why {
            NotHeld::Destroyed { at } => Error::PurposeErased { at },
            NotHeld::OtherPurpose => Error::WrongPurpose,
            NotHeld::Retired => Error::Authentication,
            NotHeld::NoPurpose => Error::PurposeUnknown,
            NotHeld::Unknown if self.know_of_every_key() => Error::Authentication,
            NotHeld::Unknown => Error::KeyNotHeld,
        }
    }
}

impl HasSubject for SubjectKeys {
    fn subject(&self) -> Result<SubjectId> {
        Ok(self.inner.subject.clone())
    }

    fn tenant(&self) -> Option<&TenantId> {
        Some(&self.inner.policy.tenant)
    }
}

/// How long a refresh speaks for, and the least time between two.
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Opaque: neither keys nor the subject show.
impl fmt::Debug for SubjectKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKeys(..)")
    }
}

#[cfg(test)]
pub(crate) mod tests;
