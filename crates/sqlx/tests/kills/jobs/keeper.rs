//! What a job keeps to go on from after a crash: how far it is, and the lines that it revealed. Between its steps are points
//! at which it is killed.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use fieldseal::Error;
use fieldseal::jobs::{Census, Checkpoint, Observer, PageDone, Revealed, TroubleKind};

use super::child::say;
use super::*;

/// Where a child stands still to be killed: at the point with this number.
#[derive(Debug)]
pub(super) struct Stop {
    at: u64,
    passed: AtomicU64,
}

impl Stop {
    pub(super) fn at(at: u64) -> Self {
        Self { at, passed: AtomicU64::new(0) }
    }

    pub(super) fn pass(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) == self.at {
            say("reached");
            loop {
                std::thread::park();
            }
        }
    }
}

/// As far as a job is.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Which step of several: `reseal`, `backfill`, ..
    pub(super) step: String,
    /// How much of the file of revealed lines belongs to it.
    pub(super) revealed: u64,
    /// A checkpoint or a census; empty where the step has just begun.
    pub(super) text: String,
}

impl State {
    pub(super) fn begin(step: &str) -> Self {
        Self { step: step.to_owned(), revealed: 0, text: String::new() }
    }

    pub(super) fn read(place: &SharedFiles) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(place.file(STATE)) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let (head, text) = text.split_once('\n').ok_or("half a state")?;
        let (step, revealed) = head.split_once(' ').ok_or("half a state")?;
        Ok(Some(Self { step: step.to_owned(), revealed: revealed.parse()?, text: text.to_owned() }))
    }

    pub(super) fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        Ok(if self.text.is_empty() { None } else { Some(self.text.parse()?) })
    }

    /// Replaces what was kept, as a whole.
    pub(super) fn keep(&self, place: &SharedFiles, stop: &Stop) -> Result {
        let text = format!("{} {}\n{}", self.step, self.revealed, self.text);
        let new = place.file(&format!("{STATE}.new"));
        write_halting(&mut File::create(&new)?, text.as_bytes(), stop)?;
        stop.pass();
        std::fs::rename(new, place.file(STATE))?;
        File::open(&place.0)?.sync_all()?;
        stop.pass();
        Ok(())
    }
}

/// Writes half, and then the rest, and has the disk keep it.
fn write_halting(file: &mut File, bytes: &[u8], stop: &Stop) -> Result {
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(half)?;
    stop.pass();
    file.write_all(rest)?;
    file.sync_all()?;
    Ok(())
}

/// Keeps each page's checkpoint. What is wrong with a cell is known beforehand, or ends the job.
pub(super) struct Keeper<'a> {
    pub(super) place: &'a SharedFiles,
    pub(super) stop: &'a Stop,
    pub(super) state: State,
}

impl Keeper<'_> {
    fn page(&mut self, done: &PageDone, text: String) -> fieldseal::Result<()> {
        let is_known = |kind: &TroubleKind| match self.state.step.as_str() {
            "backfill" | "verify" | "contract" => matches!(kind, TroubleKind::ErasedInClear),
            _ => matches!(kind, TroubleKind::NotHeld),
        };
        if let Some(trouble) = done.troubles.iter().find(|trouble| !is_known(&trouble.kind)) {
            let column = trouble.column.as_deref().unwrap_or("row");
            say(&format!("failed {}: a {column} {}", self.state.step, trouble.kind));
            return Err(Error::Conflict);
        }
        self.state.text = text;
        self.keep()
    }

    pub(super) fn keep(&self) -> fieldseal::Result<()> {
        self.state.keep(self.place, self.stop).map_err(|e| failed(&e))
    }

    /// What comes after the lines that are known to be whole is of a page that will be revealed again.
    pub(super) fn forget_half_pages(&self) -> Result {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.place.file(REVEALED))?;
        file.set_len(self.state.revealed)?;
        file.sync_all()?;
        Ok(())
    }

    fn append(&mut self, lines: &[Revealed]) -> Result {
        let mut file = OpenOptions::new().append(true).open(self.place.file(REVEALED))?;
        let text: String = lines.iter().map(|line| format!("{}\n", line.expose())).collect();
        write_halting(&mut file, text.as_bytes(), self.stop)?;
        self.stop.pass();
        self.state.revealed += u64::try_from(text.len())?;
        Ok(())
    }
}

#[async_trait]
impl Observer for Keeper<'_> {
    async fn page(&mut self, done: &PageDone, (): &()) -> fieldseal::Result<()> {
        self.page(done, done.checkpoint.to_string())
    }
}

#[async_trait]
impl Observer<Census> for Keeper<'_> {
    async fn page(&mut self, done: &PageDone, census: &Census) -> fieldseal::Result<()> {
        self.page(done, census.to_string())
    }
}

#[async_trait]
impl Observer<Vec<Revealed>> for Keeper<'_> {
    async fn page(&mut self, done: &PageDone, lines: &Vec<Revealed>) -> fieldseal::Result<()> {
        self.append(lines).map_err(|e| failed(&e))?;
        self.page(done, done.checkpoint.to_string())
    }
}

/// An observer ends the job by an error of the library's; the child says why.
fn failed(e: &Failure) -> Error {
    say(&format!("failed {e}"));
    Error::Conflict
}
