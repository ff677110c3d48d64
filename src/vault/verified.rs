//! [`VerifiedJournal`]: the journal as a vault sees it. What isn't genuine goes no further than here, and what the vault
//! enters is authenticated here. Only `root`, which makes and finds the root, calls the port's methods besides.
//!
//! A decision reads what the journal says up to a head, and what follows from it is appended at that very head. So of two that
//! decide at the same time, one reads what the other has entered.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;

use super::ATTEMPTS;
use super::turn::Turn;
use crate::clock::{Clock, Timestamp};
use crate::error::{Error, JournalError, JournalErrorKind, Result};
use crate::journal::verify::{Accepted, Judgment, Reading, Unfit, Verifier};
use crate::journal::{ErasureJournal, Head, JournalEntry, JournalEvent, JournalId};
use crate::keys::SlotId;
use crate::timer::Timer;

/// A key store's journal, read and appended to by who has the store's root.
pub(super) struct VerifiedJournal {
    port: Arc<dyn ErasureJournal>,
    id: JournalId,
    verifier: Verifier,
    turn: Turn,
    passed_over: Mutex<Seen>,
}

/// Entries of the journal that don't verify: whoever appended them has not the key store's root. They have no effect.
///
/// Nobody but this library's vaults should be able to write to the journal. Find out who else can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PassedOver {
    /// How many.
    pub count: u64,
    /// Their positions in the journal, the first one's being 1; of the first 100.
    pub positions: Vec<u64>,
}

/// What was passed over up to a position.
#[derive(Default)]
struct Seen {
    found: PassedOver,
    up_to: u64,
}

/// What was decided, and the position of the last entry about the same: that of what was entered, if anything was.
pub(super) struct Decided<T> {
    pub(super) answer: T,
    pub(super) last: u64,
}

/// What is to be entered, if anything, and what the caller gets.
pub(super) type Decision<T> = (Option<JournalEvent>, T);

impl VerifiedJournal {
    /// Of a store whose creation the verifier knows.
    pub(super) fn new(port: Arc<dyn ErasureJournal>, id: JournalId, verifier: Verifier, timer: Arc<dyn Timer>) -> Self {
        Self { port, id, verifier, turn: Turn::new(timer), passed_over: Mutex::default() }
    }

    pub(super) fn id(&self) -> JournalId {
        self.id
    }

    pub(super) async fn head(&self) -> Result<Head> {
        Ok(self.port.head().await?)
    }

    /// The moment by the journal's own clock, if it has one.
    pub(super) async fn clock(&self) -> Result<Option<Timestamp>> {
        Ok(self.port.clock().await?)
    }

    /// What happened to one subject, one tenant or the key store, up to a head. `told` is the position that its slot names, as
    /// it was read before the head was.
    ///
    /// # Errors
    /// [`Error::JournalTruncated`]; [`Error::Journal`] of kind `Corrupt` if an entry is missing or damaged, or `NewerSchema` if
    /// there is more that this version doesn't know: both are about this one alone, unless it is the key store.
    pub(super) async fn said_of(&self, about: &SlotId, told: u64, head: &Head) -> Result<Accepted> {
        let tag = match about {
            SlotId::Subject(_, tag) => Some(tag),
            SlotId::Vault | SlotId::Tenant(_) => None,
        };
        let given = match self.port.read_of(about.tenant(), tag, head).await {
            Err(e) if e.kind() == JournalErrorKind::Corrupt => return Err(of_one(about, e)),
            given => given?,
        };
        if given.iter().any(|at| at.entry.about() != about) {
            return Err(of_one(about, JournalError::corrupt("it answers with entries about somebody else")));
        }
        self.verifier.list(given, told, head).map_err(|unfit| match unfit {
            Unfit::Truncated => Error::JournalTruncated,
            Unfit::LeftOut => left_out(about),
            Unfit::Later => later(about),
        })
    }

    /// Decides on what the journal says of `about` up to its head, and again where somebody else moved that meanwhile.
    ///
    /// # Errors
    /// Those of [`said_of`](Self::said_of), of `decide` and of the port; [`Error::Conflict`].
    pub(super) async fn decide<'a, T: Send>(
        &self,
        about: &SlotId,
        told: u64,
        clock: &dyn Clock,
        decide: impl FnMut(Head, Accepted) -> BoxFuture<'a, Result<Decision<T>>> + Send,
    ) -> Result<Decided<T>> {
        let _turn = self.turn.enter().await;
        self.decide_at_once(about, told, clock, decide).await
    }

    /// As [`decide`](Self::decide), without waiting for others of this process.
    pub(super) async fn decide_at_once<'a, T: Send>(
        &self,
        about: &SlotId,
        told: u64,
        clock: &dyn Clock,
        mut decide: impl FnMut(Head, Accepted) -> BoxFuture<'a, Result<Decision<T>>> + Send,
    ) -> Result<Decided<T>> {
        for _ in 0..APPENDS {
            let head = self.port.head().await?;
            let said = self.said_of(about, told, &head).await?;
            let last = said.last();
            let (event, answer) = decide(head, said).await?;
            let Some(event) = event else { return Ok(Decided { answer, last }) };
            let entry = JournalEntry::unsealed(self.date_of(&event, clock).await?, about.clone(), event);
            match self.port.append(&self.verifier.seal(entry, last, &head), &head).await {
                Err(e) if e.kind() == JournalErrorKind::Conflict => continue,
                appended => return Ok(Decided { answer, last: appended?.position() }),
            }
        }
        Err(Error::Conflict)
    }

    /// The moment that an event is dated with. A completion gets the later one of this process's clock and the journal's: for how
    /// long others may use what was destroyed counts from it, and must not be over early because a clock is behind.
    async fn date_of(&self, event: &JournalEvent, clock: &dyn Clock) -> Result<Timestamp> {
        let is_done = matches!(event, JournalEvent::ErasureDone { .. } | JournalEvent::TenantErasureDone { .. });
        let told = if is_done { self.clock().await? } else { None };
        let own = clock.wall();
        Ok(told.map_or(own, |told| told.max(own)))
    }

    /// Reads all entries behind a head, page by page.
    pub(super) fn pages_from(&self, from: Head) -> Pages<'_> {
        Pages::new(&*self.port, &self.verifier, from)
    }

    /// Whom the entry at a position is about, as the journal says: nothing authenticates it. [`said_of`](Self::said_of) with
    /// this position does.
    pub(super) async fn about_at(&self, position: u64) -> Result<SlotId> {
        let entries = self.port.read(position.saturating_sub(1), 1).await?;
        entries.first().map(|entry| entry.about().clone()).ok_or(Error::JournalTruncated)
    }

    /// What the last entry is dated. None if there is none, or if it isn't genuine: a stranger's stops nobody.
    pub(super) async fn last_entered_at(&self) -> Result<Option<Timestamp>> {
        let head = self.head().await?;
        if head.position() == 0 {
            return Ok(None);
        }
        let about = self.about_at(head.position()).await?;
        match self.said_of(&about, 0, &head).await {
            Ok(said) => Ok(said.iter().last().filter(|(at, _)| *at == head.position()).map(|(_, entry)| entry.at())),
            // About that one nothing is decided.
            Err(Error::Journal(e)) if e.is_of_one_tenant() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The head that the entry at a position was appended at, on the word of that entry; none if it isn't genuine.
    pub(super) async fn head_before(&self, position: u64, head: &Head) -> Result<Option<Head>> {
        let about = self.about_at(position).await?;
        match self.said_of(&about, 0, head).await {
            Err(Error::Journal(e)) if e.is_of_one_tenant() => Ok(None),
            said => Ok(said?.head_before(position)),
        }
    }

    /// What was passed over, as far as this process has read.
    pub(super) fn passed_over(&self) -> PassedOver {
        self.seen().found.clone()
    }

    /// Takes note of a page that was read.
    pub(super) fn note_page(&self, page: &[Judged]) {
        let mut seen = self.seen();
        for judged in page {
            if judged.position > seen.up_to {
                seen.up_to = judged.position;
                seen.found.add(judged);
            }
        }
    }

    /// Takes note of what was passed over in all of the journal up to a position.
    pub(super) fn note_all(&self, found: &PassedOver, up_to: u64) {
        *self.seen() = Seen { found: found.clone(), up_to };
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.passed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PassedOver {
    /// Counts an entry, if it is one.
    pub(super) fn add(&mut self, judged: &Judged) {
        if judged.judgment != Judgment::PassedOver {
            return;
        }
        self.count += 1;
        if self.positions.len() < POSITIONS {
            self.positions.push(judged.position);
        }
    }
}

/// An entry, where it stands, and what is made of it.
pub(super) struct Judged {
    pub(super) position: u64,
    pub(super) entry: JournalEntry,
    pub(super) judgment: Judgment,
}

/// A journal's entries in their order, page by page.
pub(super) struct Pages<'a> {
    port: &'a dyn ErasureJournal,
    verifier: &'a Verifier,
    reading: Reading,
    at: Head,
    pinned: Option<Head>,
}

impl<'a> Pages<'a> {
    /// Behind a head.
    pub(super) fn new(port: &'a dyn ErasureJournal, verifier: &'a Verifier, from: Head) -> Self {
        Self { port, verifier, reading: verifier.read_from(from.position()), at: from, pinned: None }
    }

    /// The journal had this head once: whoever reads must find it.
    pub(super) fn past(self, head: Head) -> Self {
        Self { pinned: Some(head), ..self }
    }

    /// The next page of those up to `head`; none behind the last.
    ///
    /// # Errors
    /// [`Error::JournalTruncated`] if they don't lead to it; those of the port.
    pub(super) async fn next(&mut self, head: &Head) -> Result<Option<Vec<Judged>>> {
        self.check_pinned()?;
        let left = head.position().saturating_sub(self.at.position());
        if left == 0 {
            let is_whole = self.at == *head && self.pinned.is_none_or(|pinned| pinned.position() <= head.position());
            return if is_whole { Ok(None) } else { Err(Error::JournalTruncated) };
        }
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE);
        let entries = self.port.read(self.at.position(), limit).await?;
        if entries.is_empty() {
            return Err(Error::JournalTruncated);
        }
        let mut page = Vec::with_capacity(entries.len());
        for entry in entries {
            let judgment = self.reading.judge(self.verifier, &self.at, &entry);
            self.at = self.at.advanced_by(&entry);
            self.check_pinned()?;
            page.push(Judged { position: self.at.position(), entry, judgment });
        }
        Ok(Some(page))
    }

    fn check_pinned(&self) -> Result<()> {
        match self.pinned {
            Some(pinned) if pinned.position() == self.at.position() && pinned != self.at => {
                Err(Error::JournalTruncated)
            }
            _ => Ok(()),
        }
    }

    /// What was read so far.
    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }
}

/// Why nothing is decided about what an entry is missing of.
pub(super) fn left_out(about: &SlotId) -> Error {
    let what = match about {
        SlotId::Vault => "an entry about the key store is missing: put back a copy that has every entry",
        SlotId::Tenant(_) => "an entry about this tenant is missing: put back a copy that has every entry",
        SlotId::Subject(..) => "an entry about this subject is missing: put back a copy that has every entry",
    };
    of_one(about, JournalError::corrupt(what))
}

/// Why nothing is decided about what a later version has entered something of.
pub(super) fn later(about: &SlotId) -> Error {
    let what = match about {
        SlotId::Vault => "an entry about the key store: upgrade this program",
        SlotId::Tenant(_) => "an entry about this tenant: upgrade this program",
        SlotId::Subject(..) => "an entry about this subject: upgrade this program",
    };
    of_one(about, JournalError::newer_schema(what))
}

/// Others can be worked on all the same.
fn of_one(about: &SlotId, e: JournalError) -> Error {
    if *about == SlotId::Vault { e.into() } else { e.of_one_tenant().into() }
}

/// How often an append is tried at a head that others move.
const APPENDS: usize = 4 * ATTEMPTS;
/// Entries in one read.
const PAGE: usize = 1000;
/// How many positions are told of what was passed over.
const POSITIONS: usize = 100;
