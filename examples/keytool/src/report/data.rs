//! [`ReportData`]: what the page shows. Imports the library's clock and nothing of the page.
//!
//! Counts and times. There is no field for a subject, a tag, the id of a data key, a value, a path or an address: what isn't
//! here can't be shown.

use std::collections::BTreeMap;
use std::time::Duration;

use fieldseal::clock::Timestamp;

/// Everything on the page.
#[derive(Clone, Debug)]
pub(crate) struct ReportData {
    pub(crate) generated_at: Timestamp,
    /// The tool and its version.
    pub(crate) tool: String,
    pub(crate) provider: Scheme,
    pub(crate) store: Scheme,
    pub(crate) journal: Scheme,
    pub(crate) epochs: Vec<EpochRow>,
    pub(crate) oldest_key: Option<Timestamp>,
    pub(crate) purposes: Vec<PurposeRow>,
    /// None if no census was made.
    pub(crate) census: Option<Census>,
    /// Each erasure once, in the month in which it was asked for, as it stands now.
    pub(crate) erasures: BTreeMap<Month, Erasures>,
    /// Of those that are done, how many have copies of their keys in backups under a master key that may live.
    pub(crate) not_final: u64,
    /// The master keys that they wait for. An erasure that waits for several is counted at each.
    pub(crate) waits: Vec<Waiting>,
    /// Scheduled erasures and retention periods whose time has come.
    pub(crate) due: u64,
    /// Subjects that are held.
    pub(crate) held: u64,
    /// Slots that can't be read.
    pub(crate) damaged: u64,
}

/// What comes before the colon in `sqlite:keys.db`: the rest may name hosts, accounts and folders.
#[derive(Clone, Debug)]
pub(crate) struct Scheme(String);

impl Scheme {
    /// Of text as it stands in the configuration.
    pub(crate) fn of(text: &str) -> Self {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        // `C:\keys.db` and `user@host:..` aren't of a scheme.
        let is_one = scheme.len() > 1 && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c));
        Self(if is_one { scheme.to_owned() } else { "other".to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One epoch, with the keys that are wrapped under it.
#[derive(Clone, Debug)]
pub(crate) struct EpochRow {
    pub(crate) number: u32,
    /// As the provider names it.
    pub(crate) master_key: String,
    pub(crate) state: EpochState,
    /// None if the journal doesn't tell.
    pub(crate) opened_at: Option<Timestamp>,
    pub(crate) slots: u64,
    /// Its data keys by age.
    pub(crate) keys: Ages,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochState {
    Current,
    /// Not the current one, and not retired.
    Live,
    Retired,
}

/// Data keys by the time since they were made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ages([u64; 5]);

impl Ages {
    /// Counts one key.
    pub(crate) fn add(&mut self, created_at: Timestamp, now: Timestamp) {
        let age = now.since(created_at);
        let bucket = AGE_LIMITS.iter().position(|limit| age < *limit).unwrap_or(AGE_LIMITS.len());
        if let Some(count) = self.0.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
    }

    /// From the youngest to the oldest, as [`AGE_LABELS`] names them.
    pub(crate) fn counts(&self) -> [u64; 5] {
        self.0
    }

    pub(crate) fn total(&self) -> u64 {
        total(&self.0)
    }
}

impl From<[u64; 5]> for Ages {
    fn from(counts: [u64; 5]) -> Self {
        Self(counts)
    }
}

/// The data keys of one purpose by the state of their version.
#[derive(Clone, Debug)]
pub(crate) struct PurposeRow {
    pub(crate) purpose: String,
    pub(crate) pending: u64,
    pub(crate) current: u64,
    pub(crate) superseded: u64,
}

/// Which keys the values in the application's tables are sealed under.
#[derive(Clone, Debug)]
pub(crate) struct Census {
    pub(crate) made_at: Timestamp,
    pub(crate) tables: Vec<TableRow>,
}

/// The sealed values of one table.
#[derive(Clone, Debug)]
pub(crate) struct TableRow {
    pub(crate) table: String,
    pub(crate) current: u64,
    pub(crate) older: u64,
    pub(crate) newer: u64,
    /// Under a key that was destroyed.
    pub(crate) destroyed: u64,
    /// Under a key that the store neither holds nor has destroyed.
    pub(crate) not_held: u64,
}

impl TableRow {
    /// As [`COVERAGE_LABELS`] names them.
    pub(crate) fn counts(&self) -> [u64; 5] {
        [self.current, self.older, self.newer, self.destroyed, self.not_held]
    }

    pub(crate) fn total(&self) -> u64 {
        total(&self.counts())
    }
}

/// A month of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: u16,
    /// 1 to 12.
    month: u8,
}

impl Month {
    pub(crate) fn of(at: Timestamp) -> Self {
        let written = at.to_string();
        let mut parts = written.split('-');
        let year = parts.next().and_then(|year| year.parse().ok()).unwrap_or(u16::MAX);
        let month = parts.next().and_then(|month| month.parse().ok()).unwrap_or(12);
        Self { year, month }
    }

    pub(crate) fn before(self) -> Self {
        match self.month {
            ..=1 => Self { year: self.year.saturating_sub(1), month: 12 },
            month => Self { year: self.year, month: month - 1 },
        }
    }

    /// `Nov`.
    pub(crate) fn name(self) -> &'static str {
        MONTHS.get(usize::from(self.month).saturating_sub(1)).copied().unwrap_or("?")
    }

    pub(crate) fn year(self) -> u16 {
        self.year
    }

    /// `2026-11`.
    pub(crate) fn text(self) -> String {
        format!("{:04}-{:02}", self.year, self.month)
    }
}

/// The erasures of one month.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Erasures {
    pub(crate) done: u64,
    /// Begun: binding, and not at its end.
    pub(crate) pending: u64,
    /// To be done at a time that was set.
    pub(crate) scheduled: u64,
    /// Scheduled and called off.
    pub(crate) cancelled: u64,
}

impl Erasures {
    /// As [`ERASURE_LABELS`] names them.
    pub(crate) fn counts(&self) -> [u64; 4] {
        [self.done, self.pending, self.scheduled, self.cancelled]
    }

    pub(crate) fn total(&self) -> u64 {
        total(&self.counts())
    }
}

/// Erasures that become final with the end of one master key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) erasures: u64,
    /// The epoch that the master key opened.
    pub(crate) epoch: u32,
    pub(crate) end: MasterKeyEnd,
}

/// What has become of a master key that is not known to be destroyed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MasterKeyEnd {
    Lives,
    /// The provider could not say.
    Unconfirmed,
    /// The provider destroys it then.
    Scheduled {
        at: Timestamp,
    },
}

/// A sum that stays at the greatest number rather than going over it.
pub(crate) fn total(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
}

pub(crate) const AGE_LABELS: [&str; 5] = ["< 1 week", "< 1 month", "< 3 months", "< 1 year", "Older"];
pub(crate) const COVERAGE_LABELS: [&str; 5] = ["Current key", "Older", "Newer", "Destroyed", "Not held"];
pub(crate) const ERASURE_LABELS: [&str; 4] = ["Done", "Pending", "Scheduled", "Cancelled"];

/// Where one age ends and the next begins. A month is 30 days, a year 365.
const AGE_LIMITS: [Duration; 4] = [days(7), days(30), days(90), days(365)];

const fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 60 * 60)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
