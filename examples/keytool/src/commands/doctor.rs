//! `keytool doctor`: what is wrong with key store, journal and master keys, and what to do about each. Writes nothing.

use std::collections::BTreeSet;

use fieldseal::Error;
use fieldseal::error::{JournalErrorKind, StoreErrorKind};
use fieldseal::store::{Filter, KeyStore, Scan, SlotId};
use fieldseal::vault::{Comparison, EpochInfo, EpochStatus, Examination, KeyEnd};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::masters::Providers;
use crate::open::Tool;
use crate::output::{Output, Report};
use crate::progress::Progress;
use crate::text::{self, count, moment, plural, slot, slot_json};

/// Look for what is wrong with key store, journal and master keys, and say what to do about each. Nothing is written.
///
/// Reads every slot, unwraps every key once, and holds the whole journal against the key store: also where no vault starts on it.
/// Exit code 0 if nothing was found, 8 if something was.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

/// Something that is wrong.
struct Finding {
    /// Of which sort it is, in a word.
    sort: &'static str,
    about: Option<SlotId>,
    what: String,
    todo: String,
}

/// All that was found, and what was looked at.
#[derive(Default)]
struct Findings {
    found: Vec<Finding>,
    subjects: u64,
    entries: u64,
    /// Of whom it is said already that nothing of them can be read.
    unreadable: BTreeSet<SlotId>,
    nameless: u64,
}

impl Doctor {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let mut findings = Findings::default();
        findings.add_shut(&ports.provider);
        match ports.builder(tool).examine().await {
            Ok(examination) => findings.examine(&examination, tool.output).await?,
            // Nothing opens. What the store can tell without keys is told all the same.
            Err(e) => {
                findings.add_closed(e)?;
                findings.scan(&*ports.store, tool.output).await?;
            }
        }
        findings.add_nameless(&tool.config.store.table());
        let exit = if findings.found.is_empty() { Exit::Done } else { Exit::Unverified };
        Ok(Report::new(findings.text(), findings.json()).exit(exit))
    }
}

impl Findings {
    fn add(&mut self, sort: &'static str, about: Option<SlotId>, what: impl Into<String>, todo: impl Into<String>) {
        self.found.push(Finding { sort, about, what: what.into(), todo: todo.into() });
    }

    fn add_shut(&mut self, providers: &Providers) {
        for (tenant, why) in providers.shut() {
            let todo = "until it can be, what only it opens stays closed, and no epoch ends";
            match tenant {
                Some(tenant) => self.add("provider", Some(SlotId::Tenant(tenant)), why.to_string(), todo),
                None => self.add("provider", None, format!("a provider can't be opened: {why}"), todo),
            }
        }
    }

    /// # Errors
    /// What says nothing about key store, journal and master keys, but that they can't be asked now, or not so.
    fn add_closed(&mut self, e: Error) -> Result<(), Failure> {
        let failure = Failure::from(e);
        if !matches!(failure.exit(), Exit::Unfit | Exit::Unverified) {
            return Err(failure);
        }
        self.add("closed", None, format!("nothing of the key store opens: {failure}"), "docs/restore.md, section 4");
        Ok(())
    }

    async fn examine(&mut self, examination: &Examination, output: Output) -> Result<(), Failure> {
        self.add_epochs(&examination.epochs().await?);
        self.go_through(examination, output).await?;
        match examination.compare().await {
            Ok(comparison) => self.add_comparison(&comparison),
            Err(e) => self.add_closed(e)?,
        }
        match examination.sweep().await {
            Ok(swept) if swept.retention_is_suspended => self.add(
                "suspended",
                None,
                "the key store was restored, and retention is suspended: its periods are as old as the backup",
                "look through the periods, then `keytool sweep --resume-retention`: docs/restore.md, section 5",
            ),
            Ok(_) => {}
            Err(e @ Error::ClocksDisagree { .. }) => {
                self.add("clock", None, e.to_string(), "until then no sweep erases anybody");
            }
            Err(e @ Error::JournalAhead { .. }) => {
                let todo = "if this machine's clock is right: `keytool sweep --even-if-journal-is-ahead`";
                self.add("clock", None, e.to_string(), todo);
            }
            Err(Error::TooManyDue { due, cap }) => {
                let whom = plural(due, "subject is", "subjects are");
                let todo = format!(
                    "make certain that clocks, periods and schedules are right, then `keytool sweep --at-most {due}`"
                );
                self.add("over the cap", None, format!("{whom} due, and a sweep erases {cap} at most"), todo);
            }
            Err(e) => self.add_closed(e)?,
        }
        Ok(())
    }

    fn add_epochs(&mut self, epochs: &[EpochInfo]) {
        for EpochInfo { epoch, master, status, end, .. } in epochs {
            let is_in_use = matches!(status, EpochStatus::Current | EpochStatus::Live);
            match end {
                KeyEnd::Unconfirmed if *status != EpochStatus::Lost => self.add(
                    "master key",
                    None,
                    format!("no provider says what has become of master key {master} of epoch {epoch}"),
                    "name the provider that has it in `previous`, or make it available",
                ),
                KeyEnd::Scheduled { at } if is_in_use => self.add(
                    "master key",
                    None,
                    format!(
                        "master key {master} of epoch {epoch}, in which keys are, is to be destroyed at {}",
                        moment(*at)
                    ),
                    "call that back at its provider, today; then `keytool advance-epoch` and `keytool rewrap`",
                ),
                KeyEnd::Destroyed | KeyEnd::DestroyedHere { .. } if is_in_use => self.add(
                    "master key",
                    None,
                    format!("master key {master} of epoch {epoch} is destroyed, and the epoch isn't retired"),
                    "what is still in it is lost; if a copy of the master key is left, put it back",
                ),
                _ => {}
            }
        }
    }

    /// Every slot.
    async fn go_through(&mut self, examination: &Examination, output: Output) -> Result<(), Failure> {
        let (mut from, mut progress) = (None, Progress::new(output, "subjects examined", None));
        loop {
            let page = examination.page(from.as_ref(), Scan::MAX_LIMIT).await?;
            progress.advance(page.subjects.len() as u64);
            self.subjects += page.subjects.len() as u64;
            self.nameless += page.nameless;
            for (id, e) in page.failed {
                self.add_unreadable(id, &e);
            }
            for (id, at) in page.absurd {
                let what = format!("something of it is dated {}: a clock was ahead", moment(at));
                let todo = "set that host's clock right; `keytool rotate-subject --all --made-before 2000-01-01T00:00:00Z` gives such \
                            subjects a key of today, and no others";
                self.add("absurd", Some(id), what, todo);
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    fn add_unreadable(&mut self, id: SlotId, e: &Error) {
        let (sort, todo) = match e {
            e if is_later(e) => ("later", UPGRADE),
            Error::Journal(_) => ("unclear", JOURNAL),
            Error::Provider(_) => ("master key", "make its master key available; what was destroyed is lost"),
            _ => ("damaged", mend(&id)),
        };
        self.unreadable.insert(id.clone());
        self.add(sort, Some(id), e.to_string(), todo);
    }

    fn add_comparison(&mut self, found: &Comparison) {
        self.entries = found.head.position();
        if found.missing > 0 {
            let lacks = plural(found.missing, "change is missing", "changes are missing");
            let what = format!("{lacks} that the journal records as done: the key store was restored from a backup");
            self.add("behind", None, what, "stop every process, and `keytool journal replay`: docs/restore.md");
        }
        for (id, e) in &found.unclear {
            if !self.unreadable.contains(id) {
                let todo = if is_later(e) { UPGRADE } else { JOURNAL };
                self.add("unclear", Some(id.clone()), e.to_string(), todo);
            }
        }
        let is_unclear = |id: &SlotId| found.unclear.iter().any(|(unclear, _)| unclear == id);
        for (position, about) in &found.waiting {
            let unreadable = about.as_ref().filter(|id| self.unreadable.contains(id));
            let todo = unreadable.map_or("what is unclear says why, and what to do", mend);
            self.add("waiting", about.clone(), format!("entry {position} of the journal waits for this slot"), todo);
        }
        for id in found.pending.iter().filter(|id| !is_unclear(id)) {
            if !self.unreadable.contains(id) {
                let what = "what the journal says of it can't be held against the key store now";
                self.add("pending", Some(id.clone()), what, "look again once its provider can be asked");
            }
        }
        // After a restore the replay does all of it.
        for id in found.to_do.iter().filter(|_| found.missing == 0) {
            let what = "what the journal says of it is not in the key store yet: an erasure, a hold or a schedule";
            self.add("unfinished", Some(id.clone()), what, "any vault that starts finishes it, or `keytool status`");
        }
        if found.passed_over.count > 0 {
            self.add(
                "stranger",
                None,
                text::passed_over(&found.passed_over),
                "find out who else can write to the journal",
            );
        }
    }

    /// What the store itself can tell, without a key.
    async fn scan(&mut self, store: &dyn KeyStore, output: Output) -> Result<(), Failure> {
        let mut progress = Progress::new(output, "slots read", None);
        let mut scan = Scan::new(Filter::All).limit(Scan::MAX_LIMIT);
        loop {
            let page = store.scan(&scan).await?;
            progress.advance(page.slots.len() as u64);
            self.nameless += page.nameless;
            for (id, _) in page.damaged {
                let todo = mend(&id);
                self.add("damaged", Some(id), "what stands in its place is no slot", todo);
            }
            match page.next {
                Some(next) => scan = scan.starting_after(next),
                None => return Ok(()),
            }
        }
    }

    fn add_nameless(&mut self, table: &str) {
        if self.nameless > 0 {
            let what =
                format!("{table} has {} without an id, or with another's", plural(self.nameless, "slot", "slots"));
            let todo = "mend them by hand, or restore the key store: no epoch ends meanwhile";
            self.add("nameless", None, what, todo);
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "Looked at {} and {} of the journal.\n",
            count(self.subjects, "subject"),
            plural(self.entries, "entry", "entries")
        );
        if self.found.is_empty() {
            text.push_str("Nothing is wrong.\n");
        }
        let width = self.found.iter().map(|finding| finding.sort.len()).max().unwrap_or_default();
        for Finding { sort, about, what, todo } in &self.found {
            let about = about.as_ref().map(|id| format!("{}: ", slot(id))).unwrap_or_default();
            text.push_str(&format!("\n  {sort:<width$}  {about}{what}\n  {:<width$}  -> {todo}\n", ""));
        }
        text
    }

    fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "sort": finding.sort,
                "slot": finding.about.as_ref().map(slot_json),
                "what": finding.what,
                "todo": finding.todo,
            })
        };
        json!({
            "subjects": self.subjects,
            "entries": self.entries,
            "findings": self.found.iter().map(finding).collect::<Vec<_>>(),
        })
    }
}

/// What to do about a slot that can't be read.
fn mend(id: &SlotId) -> &'static str {
    match id {
        SlotId::Vault => "restore the key store: docs/restore.md",
        SlotId::Tenant(_) => "put its slot back from a backup of the key store, and `keytool journal replay`",
        SlotId::Subject(..) => {
            "put its slot back from a backup of the key store, and `keytool journal replay`; or erase the subject as a whole"
        }
    }
}

/// Whether a later version of fieldseal wrote what this one can't take in.
fn is_later(e: &Error) -> bool {
    match e {
        Error::Store(e) => e.kind() == StoreErrorKind::NewerSchema,
        Error::Journal(e) => e.kind() == JournalErrorKind::NewerSchema,
        _ => false,
    }
}

const JOURNAL: &str = "put back a copy of the journal that has every entry";
const UPGRADE: &str = "a later version of fieldseal wrote it: upgrade this program";
