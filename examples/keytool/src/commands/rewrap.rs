//! `keytool rewrap`: moves every key to the current epoch, page by page.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldseal::Error;
use fieldseal::store::{Epoch, Filter, KeyStore, SlotId};
use fieldseal::vault::Shard;
use serde::{Deserialize, Serialize};

use super::epoch::{CountedSlots, slots};
use crate::bulk::shard;
use crate::exit::{Exit, Failure};
use crate::files;
use crate::open::Tool;
use crate::output::Report;
use crate::progress::Progress;
use crate::text::{count, hex, slot, slot_json};

/// Move every key to the current epoch: the same data keys, wrapped anew. No row is touched.
///
/// Safe beside running applications. Can be stopped and begun again at any time: what is moved is not found again, and with
/// --checkpoint what could not be moved isn't tried again either.
#[derive(Debug, clap::Args)]
pub(crate) struct Rewrap {
    /// Slots a page.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// Wait so long after each page, to leave the store to others.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pause: u64,
    /// This process's share of the slots, where several run side by side: 1/3, 2/3 and 3/3.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = shard)]
    shard: Shard,
    /// Keep there how far it is, and go on from there if it was stopped. Removed at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// How far a rewrap is. The place is a slot's id, which holds a tag.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    format: String,
    /// In another epoch it says nothing.
    epoch: u32,
    part: String,
    after: String,
    moved: u64,
}

impl Rewrap {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        let current = vault.current_epoch().await?;
        if self.dry_run {
            let own = self.left(&*ports.store, current).await?;
            let text = format!("Would move {} to epoch {current}.{}", count(own.such, "slot"), own.of_damage());
            let json = serde_json::json!({ "epoch": current.get(), "slots": own.such, "damaged": own.damaged });
            return Ok(Report::dry_run(&text, json));
        }
        let (mut from, before) = match &self.checkpoint {
            Some(file) => Checkpoint::read(file, current, self.shard)?,
            None => (None, 0),
        };
        let (mut moved, mut failed) = (0, Vec::new());
        // Processes side by side don't each read the whole store once more for a bar.
        let total = match self.shard == Shard::ALL {
            true => Some(self.left(&*ports.store, current).await?).map(|left| left.such + left.damaged),
            false => None,
        };
        let mut progress = Progress::new(tool.output, "slots rewrapped", total);
        loop {
            let page = vault.rewrap_shard_page(self.shard, from.as_ref(), self.batch.into()).await?;
            moved += page.moved;
            progress.advance(page.moved + page.failed.len() as u64);
            failed.extend(page.failed);
            from = page.next;
            let Some(next) = &from else { break };
            if let Some(file) = &self.checkpoint {
                Checkpoint::of(current, self.shard, next, before + moved).write(file)?;
            }
            if self.pause > 0 {
                tokio::time::sleep(Duration::from_millis(self.pause)).await;
            }
        }
        drop(progress);
        if let Some(file) = self.checkpoint.filter(|file| file.exists()) {
            fs::remove_file(&file).map_err(|e| Failure::of_file("remove the checkpoint", &file, &e))?;
        }
        Ok(told(current, moved, before, failed))
    }

    /// How many slots of this process's share are in an earlier epoch.
    async fn left(&self, store: &dyn KeyStore, current: Epoch) -> Result<CountedSlots, Failure> {
        slots(store, Filter::EpochBelow(current), |id, _| self.shard.has(&id.to_bytes())).await
    }
}

fn told(epoch: Epoch, moved: u64, before: u64, failed: Vec<(SlotId, Error)>) -> Report {
    let failed: Vec<(SlotId, Failure)> = failed.into_iter().map(|(id, e)| (id, e.into())).collect();
    let mut text = format!("{} moved to epoch {epoch}", count(moved, "slot"));
    if before > 0 {
        text.push_str(&format!(", and {before} before it was stopped"));
    }
    text.push_str(".\n");
    failed.iter().for_each(|(id, e)| text.push_str(&format!("{}: not moved: {e}\n", slot(id))));
    let json = serde_json::json!({
        "epoch": epoch.get(),
        "moved": moved,
        "moved_before": before,
        "failed": failed.iter().map(|(id, e)| serde_json::json!({ "slot": slot_json(id), "error": e.json() })).collect::<Vec<_>>(),
    });
    Report::new(text, json).exit(if failed.is_empty() { Exit::Done } else { Exit::Partly })
}

impl Checkpoint {
    fn of(epoch: Epoch, shard: Shard, after: &SlotId, moved: u64) -> Self {
        let (format, after) = (FORMAT.to_owned(), hex(&after.to_bytes()));
        Self { format, epoch: epoch.get(), part: format!("{shard}"), after, moved }
    }

    /// Where to go on; at the beginning if there is no checkpoint, or it is of another epoch.
    fn read(file: &Path, current: Epoch, shard: Shard) -> Result<(Option<SlotId>, u64), Failure> {
        let text = match fs::read_to_string(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok((None, 0)),
            text => text.map_err(|e| Failure::of_file("read the checkpoint", file, &e))?,
        };
        let damaged = || {
            let what = format!("{} is no checkpoint of a rewrap: remove it, or name another file", file.display());
            Failure::new(Exit::Usage, "checkpoint_damaged", what)
        };
        let checkpoint: Self = serde_json::from_str(&text).map_err(|_| damaged())?;
        if checkpoint.format != FORMAT {
            return Err(damaged());
        }
        if checkpoint.part != shard.to_string() {
            let (theirs, file) = (&checkpoint.part, file.display());
            let what = format!("the checkpoint in {file} is that of shard {theirs}: name another file for this one");
            return Err(Failure::new(Exit::Usage, "checkpoint_of_another", what));
        }
        if checkpoint.epoch != current.get() {
            return Ok((None, 0));
        }
        let bytes = unhex(&checkpoint.after).ok_or_else(damaged)?;
        Ok((Some(SlotId::from_bytes(&bytes).map_err(|_| damaged())?), checkpoint.moved))
    }

    fn write(&self, file: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|e| Failure::new(Exit::Unforeseen, "bug", "can't write a checkpoint").because(&e))?;
        files::replace(file, &(text + "\n"))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

const FORMAT: &str = "fieldseal keytool rewrap 1";
