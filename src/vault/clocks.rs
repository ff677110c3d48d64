//! [`Clocks`]: no irreversible act goes by one clock's word.
//!
//! A key store or journal with a clock of its own tells the time, and must agree with this process. Where neither has one, the
//! time of day must have moved as the monotonic clock did since the vault was built: nothing notices a clock that was ahead then.

use std::time::Duration;

use super::VaultInner;
use crate::clock::{Clock, Stamp, Timestamp};
use crate::error::{Error, OtherClock, Result};

/// How far clocks may be apart, and when the vault was built.
#[derive(Debug)]
pub(super) struct Clocks {
    bound: Duration,
    begun: Stamp,
}

/// What the clocks say, whether they agree or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
    /// The one that is furthest from this process's time of day, and by how much.
    furthest: (OtherClock, Duration),
}

impl Clocks {
    /// Far above what time daemons leave, and below the usual `max_age`. DynamoDB tells whole seconds.
    pub(super) const BOUND: Duration = Duration::from_secs(60);

    /// # Errors
    /// [`Error::InvalidInput`] if the bound is none.
    pub(super) fn new(bound: Duration, clock: &dyn Clock) -> Result<Self> {
        if bound < Duration::from_secs(5) || bound > Duration::from_secs(3600) {
            return Err(Error::invalid("the bound between clocks is between 5 seconds and 1 hour"));
        }
        Ok(Self { bound, begun: Stamp::now(clock) })
    }

    /// The moment that an irreversible act goes by: the earliest of those that agree.
    ///
    /// # Errors
    /// [`Error::ClocksDisagree`]; those of the ports.
    pub(super) async fn agreed(&self, vault: &VaultInner) -> Result<Timestamp> {
        self.agree(&self.read(vault).await?)
    }

    /// [`agreed`](Self::agreed); none if they disagree: for a claim that can be left out.
    ///
    /// # Errors
    /// Those of the ports.
    pub(super) async fn agreed_if_any(&self, vault: &VaultInner) -> Result<Option<Timestamp>> {
        match self.agreed(vault).await {
            Err(Error::ClocksDisagree { .. }) => Ok(None),
            agreed => agreed.map(Some),
        }
    }

    /// [`agreed`](Self::agreed), and the journal's last entry is not of a time to come: somebody's clock would be wrong, and that may
    /// be this one.
    ///
    /// # Errors
    /// Those of [`agreed`](Self::agreed); [`Error::JournalAhead`].
    pub(super) async fn agreed_with_journal(&self, vault: &VaultInner) -> Result<Timestamp> {
        let moments = self.read(vault).await?;
        let agreed = self.agree(&moments)?;
        match vault.journal()?.last_entered_at().await? {
            Some(at) if self.is_absurd(at, moments.latest, Duration::ZERO) => Err(Error::JournalAhead { at }),
            _ => Ok(agreed),
        }
    }

    fn agree(&self, moments: &Moments) -> Result<Timestamp> {
        let (whose, apart) = moments.furthest;
        if apart > self.bound { Err(Error::ClocksDisagree { whose, apart }) } else { Ok(moments.earliest) }
    }

    /// Asks each clock.
    ///
    /// # Errors
    /// Those of the ports.
    pub(super) async fn read(&self, vault: &VaultInner) -> Result<Moments> {
        let mut told = Vec::new();
        let before = vault.now();
        told.extend(vault.store.clock().await?.map(|at| (OtherClock::Store, at, apart(at, &before, &vault.now()))));
        if let Some(journal) = &vault.journal {
            let before = vault.now();
            told.extend(journal.clock().await?.map(|at| (OtherClock::Journal, at, apart(at, &before, &vault.now()))));
        }
        if told.is_empty() {
            let passed = before.monotonic().saturating_sub(self.begun.monotonic());
            let expected = self.begun.wall().plus(passed);
            let apart = apart(expected, &before, &before).saturating_sub(passed / DRIFT);
            told.push((OtherClock::Monotonic, expected, apart));
        }
        let own = before.wall();
        let moments = told.iter().map(|(_, at, _)| *at).chain([own]);
        let furthest = told.iter().map(|(whose, _, apart)| (*whose, *apart)).max_by_key(|(_, apart)| *apart);
        Ok(Moments {
            earliest: moments.clone().min().unwrap_or(own),
            latest: moments.max().unwrap_or(own),
            furthest: furthest.unwrap_or((OtherClock::Monotonic, Duration::ZERO)),
        })
    }

    /// Whether nobody whose clock is within the bound can have dated something so by `now`: a clock that is ahead did.
    pub(super) fn is_absurd(&self, moment: Timestamp, now: Timestamp, max_age: Duration) -> bool {
        moment > self.horizon(now, max_age)
    }

    /// `max_age` after a moment by whichever clock within the bound. A date that is later than this is absurd.
    pub(super) fn horizon(&self, moment: Timestamp, max_age: Duration) -> Timestamp {
        moment.plus(max_age).plus(self.bound)
    }
}

/// A monotonic clock that no time daemon corrects goes wrong by less than a ten thousandth.
const DRIFT: u32 = 10_000;

/// How far a moment that was told between two others is from both.
fn apart(at: Timestamp, before: &Stamp, after: &Stamp) -> Duration {
    before.wall().since(at).max(at.since(after.wall()))
}
