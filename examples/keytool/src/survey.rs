//! [`Survey`]: what the key store, the journal and the master keys come to, counted. Names nobody but damaged slots.

use std::collections::BTreeMap;

use fieldseal::Vault;
use fieldseal::clock::Timestamp;
use fieldseal::store::{Epoch, SlotId};
use fieldseal::vault::{
    EpochInfo, ErasureRecord, ErasureStatus, JournalAudit, MasterKeyEnd, SubjectInfo, SubjectState, VersionState,
};

use crate::exit::Failure;
use crate::open::now;
use crate::output::Output;
use crate::progress::Progress;
use crate::report::Ages;

/// What is so, at one time.
pub(crate) struct Survey {
    pub(crate) at: Timestamp,
    pub(crate) epochs: Vec<EpochCounts>,
    pub(crate) subjects: SubjectCounts,
    pub(crate) purposes: BTreeMap<String, VersionCounts>,
    /// When the oldest data key that there is was made.
    pub(crate) oldest_key: Option<Timestamp>,
    pub(crate) erasures: ErasureCounts,
    pub(crate) journal: JournalAudit,
    /// Sweeps leave retention periods alone, since the key store was restored.
    pub(crate) retention_is_suspended: bool,
    /// Slots that can't be read.
    pub(crate) failed: Vec<(SlotId, Failure)>,
}

/// An epoch, and what is in it.
pub(crate) struct EpochCounts {
    pub(crate) info: EpochInfo,
    pub(crate) subjects: u64,
    pub(crate) data_keys: u64,
    pub(crate) ages: Ages,
}

#[derive(Default)]
pub(crate) struct SubjectCounts {
    pub(crate) live: u64,
    pub(crate) scheduled: u64,
    pub(crate) erased: u64,
    /// Of the live and scheduled ones.
    pub(crate) held: u64,
    /// Whose retention period ends some time.
    pub(crate) retained: u64,
}

#[derive(Default)]
pub(crate) struct VersionCounts {
    pub(crate) pending: u64,
    pub(crate) current: u64,
    pub(crate) superseded: u64,
}

/// What the journal tells of erasures.
#[derive(Default)]
pub(crate) struct ErasureCounts {
    /// Begun, and not done.
    pub(crate) pending: u64,
    /// Done, and not final: copies in backups may open.
    pub(crate) erased: u64,
    pub(crate) final_: u64,
    pub(crate) held: u64,
    pub(crate) scheduled: u64,
    /// The next one that is due.
    pub(crate) next_due: Option<Timestamp>,
    /// The master keys that erasures wait for, and how many do.
    pub(crate) waits_for: Vec<(MasterKeyEnd, u64)>,
}

impl Survey {
    /// Reads every slot, and the whole journal.
    pub(crate) async fn take(vault: &Vault, output: Output) -> Result<Self, Failure> {
        let epochs = vault.epochs().await?.into_iter();
        let epochs = epochs.map(|info| EpochCounts { info, subjects: 0, data_keys: 0, ages: Ages::default() });
        let mut survey = Self {
            at: now(),
            epochs: epochs.collect(),
            subjects: SubjectCounts::default(),
            purposes: BTreeMap::new(),
            oldest_key: None,
            erasures: ErasureCounts::default(),
            journal: vault.audit_journal(|_| ()).await?,
            retention_is_suspended: vault.retention_is_suspended().await?,
            failed: Vec::new(),
        };
        let (mut from, mut progress) = (None, Progress::new(output, "subjects read", None));
        loop {
            let page = vault.inventory_page(from.as_ref(), PAGE).await?;
            progress.advance(page.subjects.len() as u64);
            page.subjects.iter().for_each(|subject| survey.add_subject(subject));
            survey.failed.extend(page.failed.into_iter().map(|(id, e)| (id, e.into())));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        vault.erasures().await?.iter().for_each(|record| survey.erasures.add(record));
        Ok(survey)
    }

    fn add_subject(&mut self, subject: &SubjectInfo) {
        match subject.state {
            SubjectState::Live => self.subjects.live += 1,
            SubjectState::Scheduled { .. } => self.subjects.scheduled += 1,
            _ => {
                self.subjects.erased += 1;
                return;
            }
        }
        self.subjects.held += u64::from(subject.held);
        self.subjects.retained += u64::from(subject.retain_until.is_some());
        let at = self.at;
        let mut epoch = self.epochs.iter_mut().find(|counts| Some(counts.info.epoch) == subject.epoch);
        if let Some(epoch) = &mut epoch {
            epoch.subjects += 1;
        }
        for purpose in &subject.purposes {
            let counts = self.purposes.entry(purpose.purpose.as_str().to_owned()).or_default();
            for version in &purpose.versions {
                match version.state {
                    VersionState::Pending => counts.pending += 1,
                    VersionState::Current => counts.current += 1,
                    _ => counts.superseded += 1,
                }
                self.oldest_key = Some(self.oldest_key.map_or(version.created_at, |old| old.min(version.created_at)));
                if let Some(epoch) = &mut epoch {
                    epoch.data_keys += 1;
                    epoch.ages.add(version.created_at, at);
                }
            }
        }
    }

    /// The current epoch's number.
    pub(crate) fn current(&self) -> Option<Epoch> {
        let is_current = |counts: &&EpochCounts| counts.info.status == fieldseal::vault::EpochStatus::Current;
        self.epochs.iter().find(is_current).map(|counts| counts.info.epoch)
    }
}

impl ErasureCounts {
    fn add(&mut self, record: &ErasureRecord) {
        self.held += u64::from(record.held);
        if let Some(at) = record.scheduled_at {
            self.scheduled += 1;
            self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
        }
        match &record.status {
            Some(ErasureStatus::Final { .. }) => self.final_ += 1,
            Some(ErasureStatus::Erased { waits_for }) => {
                self.erased += 1;
                for master in waits_for {
                    match self.waits_for.iter_mut().find(|(known, _)| known == master) {
                        Some((_, waiting)) => *waiting += 1,
                        None => self.waits_for.push((master.clone(), 1)),
                    }
                }
            }
            _ => self.pending += u64::from(record.intended_at.is_some()),
        }
    }
}

/// Slots a page.
const PAGE: usize = 1000;
