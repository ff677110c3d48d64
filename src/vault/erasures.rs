//! Every erasure, hold and schedule that the journal records: what is pending, and what is not final yet.

use std::collections::BTreeMap;

use super::Vault;
use super::audit::audit;
use super::masters::Masters;
use super::receipt::ErasureStatus;
use super::verified::VerifiedJournal;
use crate::clock::Timestamp;
use crate::error::{JournalErrorKind, Result};
use crate::id::{Purpose, TenantId};
use crate::journal::history::{Done, History};
use crate::journal::{JournalEntry, JournalEvent};
use crate::keys::{SlotId, Tag};

/// What the journal records of one subject, or of a tenant as a whole, that was erased or is to be, or is on hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErasureRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// The subject's tag; none where it is the whole tenant. Pseudonymous personal data.
    pub tag: Option<Tag>,
    /// It is on hold: it can't be erased.
    pub held: bool,
    /// When [`Vault::erase_due`] destroys its keys: it is unreadable already.
    pub scheduled_at: Option<Timestamp>,
    /// When it was last entered that keys are to be destroyed. Binding.
    pub intended_at: Option<Timestamp>,
    /// When it was last entered that they are. None while an erasure is intended and not done: a process crashed, or is still
    /// at it. The next vault that is built finishes it.
    pub done_at: Option<Timestamp>,
    /// That was of the subject, or the tenant, as a whole; else of single purposes.
    pub whole: bool,
    /// The purposes that are destroyed, or to be. None for a tenant: all of them.
    pub purposes: Vec<Purpose>,
    /// Where it is done, what can be said of it: [`ErasureStatus::Erased`] or [`ErasureStatus::Final`], by journal and
    /// provider. Whether the key store was restored since, [`Tenant::erasure_status`](crate::Tenant::erasure_status) says.
    pub status: Option<ErasureStatus>,
    /// Why the rest of this record may not be so any more, and no status is claimed: a later version has entered more about it or
    /// its tenant (`NewerSchema`), or such an entry is missing (`Corrupt`).
    pub unclear: Option<JournalErrorKind>,
}

impl Vault {
    /// Every erasure that the journal records, done, pending or scheduled, and every hold; by tenant and tag, one record
    /// each. Reads the whole journal; the provider is asked once a master key.
    ///
    /// # Errors
    /// [`Error::InvalidInput`](crate::Error::InvalidInput) without a journal; those of the ports.
    ///
    /// # Cancel safety
    /// Reads only.
    ///
    /// # Security
    /// Tags are pseudonymous personal data: count the records, and keep them no longer than that takes.
    pub async fn erasures(&self) -> Result<Vec<ErasureRecord>> {
        let erasures = JournalErasures::read(self.0.journal()?).await?;
        let masters = Masters::ask(&self.0).await?;
        let (now, longest_age) = (self.0.clocks.agreed_if_any(&self.0).await?, self.0.longest_age());
        let status = |done: Done| masters.status(done, done.at.plus(longest_age), now);
        let unclear = &erasures.unclear;
        let of_tenant = |(tenant, (intended_at, done)): (TenantId, (Timestamp, Option<Done>))| ErasureRecord {
            unclear: unclear.get(&SlotId::Tenant(tenant.clone())).copied(),
            tenant,
            tag: None,
            held: false,
            scheduled_at: None,
            intended_at: Some(intended_at),
            done_at: done.map(|done| done.at),
            whole: true,
            purposes: Vec::new(),
            status: done.map(status),
        };
        let of_subject = |((tenant, tag), history): ((TenantId, Tag), History)| {
            let done = history.done.filter(|_| history.open().is_empty() && !history.whole_is_open);
            ErasureRecord {
                unclear: unclear.get(&SlotId::Subject(tenant.clone(), tag)).copied(),
                tenant,
                tag: Some(tag),
                held: history.held,
                scheduled_at: history.scheduled,
                intended_at: history.intent.map(|intent| intent.at),
                done_at: done.map(|done| done.at),
                whole: history.intent.is_some_and(|intent| intent.whole),
                purposes: history.destroyed().into_iter().map(|line| line.purpose).collect(),
                status: done.map(status),
            }
        };
        let mut records: Vec<_> = erasures.tenants.into_iter().map(of_tenant).collect();
        records.extend(erasures.subjects.into_iter().map(of_subject));
        let is_pending = |r: &ErasureRecord| r.held || r.scheduled_at.is_some() || r.unclear.is_some();
        records.retain(|r| is_pending(r) || r.tag.is_none() || !r.purposes.is_empty());
        for record in &mut records {
            // What happened to a tenant happened to each of its subjects.
            let of_tenant = || unclear.get(&SlotId::Tenant(record.tenant.clone())).copied();
            record.unclear = record.unclear.or_else(of_tenant);
            if record.unclear.is_some() {
                record.status = None;
            }
        }
        records.sort_by(|a, b| (&a.tenant, a.tag).cmp(&(&b.tenant, b.tag)));
        Ok(records)
    }
}

/// What a journal records of erasures, folded.
#[derive(Default)]
struct JournalErasures {
    subjects: BTreeMap<(TenantId, Tag), History>,
    tenants: BTreeMap<TenantId, (Timestamp, Option<Done>)>,
    unclear: BTreeMap<SlotId, JournalErrorKind>,
}

impl JournalErasures {
    async fn read(journal: &VerifiedJournal) -> Result<Self> {
        let mut erasures = Self::default();
        let audit = audit(journal, |position, entry| erasures.add(position, entry)).await?;
        for (about, why) in audit.unclear {
            // A record, even if nothing else is known.
            if let SlotId::Subject(tenant, tag) = &about {
                erasures.subjects.entry((tenant.clone(), *tag)).or_default();
            }
            erasures.unclear.insert(about, why);
        }
        Ok(erasures)
    }

    fn add(&mut self, position: u64, entry: &JournalEntry) {
        let Some(tenant) = entry.tenant() else { return };
        if let Some(tag) = entry.tag() {
            return self.subjects.entry((tenant.clone(), *tag)).or_default().add(position, entry);
        }
        match entry.event() {
            JournalEvent::TenantErasureIntended { .. } => {
                self.tenants.entry(tenant.clone()).or_insert((entry.at(), None));
                self.settle(tenant);
            }
            JournalEvent::TenantErasureDone { until } => {
                let done = Some(Done { at: entry.at(), until: *until });
                self.tenants.entry(tenant.clone()).or_insert((entry.at(), None)).1 = done;
            }
            // Its tags stand for nobody any more.
            JournalEvent::RootLost { .. } => self.settle(tenant),
            _ => {}
        }
    }

    /// Nothing waits to be done for any subject of a tenant.
    fn settle(&mut self, tenant: &TenantId) {
        let of_tenant = self.subjects.iter_mut().filter(|((of, _), _)| of == tenant);
        of_tenant.for_each(|(_, history)| history.settle());
    }
}
