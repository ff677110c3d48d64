//! [`Checkpoints`]: how far a job is in each of its tables, in one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fieldseal::jobs::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use crate::files;

/// The checkpoints of a job's tables.
pub(crate) struct Checkpoints {
    file: PathBuf,
    kept: Kept,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: String,
    job: String,
    tables: BTreeMap<String, String>,
}

impl Checkpoints {
    /// Of a job, in this file; with what is there already.
    pub(crate) fn open(file: Option<&Path>, job: &str) -> Result<Option<Self>, Failure> {
        let Some(file) = file else { return Ok(None) };
        let kept = match fs::read_to_string(file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Kept { format: FORMAT.to_owned(), job: job.to_owned(), tables: BTreeMap::new() }
            }
            text => {
                let text = text.map_err(|e| Failure::of_file("read the checkpoint", file, &e))?;
                let kept: Option<Kept> = serde_json::from_str(&text).ok();
                kept.filter(|kept| kept.format == FORMAT).ok_or_else(|| unusable(file, NONE))?
            }
        };
        if kept.job != job {
            return Err(unusable(file, "is the checkpoint of another job"));
        }
        Ok(Some(Self { file: file.to_owned(), kept }))
    }

    /// Whether the job was begun before.
    pub(crate) fn goes_on(&self) -> bool {
        !self.kept.tables.is_empty()
    }

    /// Where the job goes on in a table.
    pub(crate) fn of(&self, table: &str) -> Result<Option<Checkpoint>, Failure> {
        let text = self.kept.tables.get(table);
        text.map(|text| text.parse().map_err(|_| unusable(&self.file, NONE))).transpose()
    }

    pub(crate) fn keep(&mut self, table: &str, checkpoint: &Checkpoint) -> Result<(), Failure> {
        self.kept.tables.insert(table.to_owned(), checkpoint.to_string());
        let text = serde_json::to_string_pretty(&self.kept);
        let text = text.map_err(|e| Failure::new(Exit::Unforeseen, "bug", "can't write a checkpoint").because(&e))?;
        files::replace(&self.file, &(text + "\n"))
    }

    /// The job is done.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        match fs::remove_file(&self.file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::of_file("remove the checkpoint", &self.file, &e))
            }
            _ => Ok(()),
        }
    }
}

fn unusable(file: &Path, what: &str) -> Failure {
    let what = format!("{} {what}: remove it, or name another file", file.display());
    Failure::new(Exit::Usage, "checkpoint_damaged", what)
}

const NONE: &str = "is no checkpoint of a job on tables, or not a whole one";
const FORMAT: &str = "fieldseal keytool job 1";
