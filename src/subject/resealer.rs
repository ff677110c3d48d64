//! [`Resealer`]: moves the fields of one record to the current keys, with one draw of randomness or none.

use std::cmp::Ordering;

use super::{Opener, Sealer, SubjectKeys};
use crate::clock::Timestamp;
use crate::envelope::frame::Frame;
use crate::envelope::header::Envelope;
use crate::error::Result;
use crate::id::RecordIds;
use crate::keys::ring::KeyStanding;

/// Lives in one resealing call. It judges and seals as of one moment, so what it moved needs no move as of then.
#[derive(Debug)]
pub(crate) struct Resealer<'k> {
    opener: Opener<'k>,
    now: Timestamp,
    /// Made for the first field that is sealed: it draws a nonce.
    sealer: Option<Sealer<'k>>,
}

impl<'k> Resealer<'k> {
    pub(crate) fn new(keys: &'k SubjectKeys, schema: &str, ids: &(impl RecordIds + ?Sized)) -> Result<Self> {
        let (_, now) = keys.ring()?;
        Ok(Self { opener: Opener::new(keys, schema, ids)?, now, sealer: None })
    }

    /// The envelope of the same value under the current key; `None` where there is nothing to do.
    ///
    /// The value is not decoded: the frame goes, with its marker and its padding, from one wiping buffer to another. So a kind
    /// of value that only a later version knows is moved as it is.
    pub(crate) fn reseal(&mut self, purpose: &str, field: &str, envelope: &[u8]) -> Result<Option<Vec<u8>>> {
        let (keys, _) = self.opener.place();
        if !keys.is_stale(purpose, &Envelope::parse(envelope)?, self.now)? {
            return Ok(None);
        }
        let frame = Frame::again(self.opener.open(purpose, field, envelope)?.as_slice())?;
        self.sealer()?.seal(purpose, field, frame).map(Some)
    }

    /// Whose keys they are.
    pub(crate) fn keys(&self) -> &'k SubjectKeys {
        self.opener.place().0
    }

    /// Seals other fields of the same record under the same draw.
    pub(crate) fn sealer(&mut self) -> Result<&mut Sealer<'k>> {
        let sealer = match self.sealer.take() {
            Some(sealer) => sealer,
            None => {
                let (keys, aad) = self.opener.place();
                Sealer::at(keys, self.now, aad.clone())?
            }
        };
        Ok(self.sealer.insert(sealer))
    }
}

impl SubjectKeys {
    /// Whether an envelope is to be moved to the current key of its purpose: `purpose`, or else that of the key it names.
    pub(crate) fn needs_reseal(&self, purpose: Option<&str>, envelope: &[u8]) -> Result<bool> {
        let (ring, now) = self.ring()?;
        let envelope = Envelope::parse(envelope)?;
        let purpose = match purpose {
            Some(purpose) => purpose,
            None => ring.purpose_of(&envelope.key_id).map_err(|why| self.not_held(why))?,
        };
        self.is_stale(purpose, &envelope, now)
    }

    /// How the key that an envelope names stands among the purpose's.
    pub(crate) fn standing(&self, purpose: &str, envelope: &Envelope<'_>) -> Result<KeyStanding> {
        let (ring, now) = self.ring()?;
        Ok(ring.standing(purpose, &envelope.key_id, now))
    }

    /// A value under a newer key than the current one is left there: it was sealed by a clock that is ahead of this one, and
    /// a move back would have to be undone.
    fn is_stale(&self, purpose: &str, envelope: &Envelope<'_>, now: Timestamp) -> Result<bool> {
        match self.inner.ring.standing(purpose, &envelope.key_id, now) {
            KeyStanding::Held(held) => Ok(match held.order {
                Ordering::Less => true,
                Ordering::Equal => envelope.suite != self.inner.policy.suite,
                Ordering::Greater => false,
            }),
            KeyStanding::NotHeld(why) => Err(self.not_held(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Suite;
    use crate::subject::tests::{HandClock, NOW, policy, ring, subject_keys};

    #[test]
    fn nothing_is_drawn_before_a_field_is_sealed() {
        let policy = policy("acme", Suite::default(), HandClock::at(NOW));
        let keys = |versions| subject_keys(&policy, "ada", ring("acme", "ada", "default", versions));
        let context = crate::FieldContext::new("customer", "email", "17").unwrap();
        let sealed = keys(&[1]).seal_bytes(b"x", &context).unwrap();
        let mut damaged = sealed.clone();
        *damaged.last_mut().unwrap() ^= 1;

        let (current, rotated) = (keys(&[1]), keys(&[1, 2]));
        let mut resealer = Resealer::new(&current, "customer", "17").unwrap();
        assert!(resealer.reseal("default", "email", &sealed).unwrap().is_none());
        assert!(resealer.sealer.is_none());
        let mut resealer = Resealer::new(&rotated, "customer", "17").unwrap();
        assert!(resealer.reseal("default", "email", &damaged).is_err());
        assert!(resealer.sealer.is_none());
        assert!(resealer.reseal("default", "email", &sealed).unwrap().is_some());
        assert!(resealer.sealer.is_some());
    }
}
