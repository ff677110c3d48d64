//! [`Troubles`]: what a job on tables left for somebody to look at, counted, and a line of JSON each in a file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fieldseal::jobs::{Trouble, TroubleKind};
use fieldseal::rows::{Cell, RowKey};
use serde_json::{Value, json};

use crate::exit::Failure;
use crate::files;
use crate::text::{count, hex};

/// What needs a look.
pub(crate) struct Troubles {
    /// Table, column and what is wrong: how often.
    told: BTreeMap<(String, String, String), u64>,
    list: Option<List>,
}

/// The file that lists them.
struct List {
    path: PathBuf,
    file: File,
    is_kept: bool,
}

impl Troubles {
    /// None yet. The file is begun now: if it can't be written, nothing is done. A job that goes on adds to it.
    pub(crate) fn begin(file: Option<&Path>, goes_on: bool) -> Result<Self, Failure> {
        let list = match file {
            None => None,
            Some(path) => {
                let is_there = goes_on && path.exists();
                let file = if is_there { files::append(path)? } else { files::begin(path)? };
                Some(List { path: path.to_owned(), file, is_kept: is_there })
            }
        };
        Ok(Self { told: BTreeMap::new(), list })
    }

    /// Those of a page.
    pub(crate) fn add(&mut self, table: &str, troubles: &[Trouble]) -> Result<(), Failure> {
        for trouble in troubles {
            let column = trouble.column.clone().unwrap_or_default();
            *self.told.entry((table.to_owned(), column, trouble.kind.to_string())).or_default() += 1;
        }
        let Some(list) = self.list.as_mut().filter(|_| !troubles.is_empty()) else { return Ok(()) };
        let lines: String = troubles.iter().map(|trouble| format!("{}\n", line(table, trouble))).collect();
        list.is_kept = true;
        list.file.write_all(lines.as_bytes()).map_err(|e| Failure::of_file("write", &list.path, &e))
    }

    /// The job is done: the file is whole.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let Some(list) = &mut self.list else { return Ok(()) };
        list.is_kept = true;
        list.file.sync_all().map_err(|e| Failure::of_file("write", &list.path, &e))
    }

    /// How many cells are wrong in this way.
    pub(crate) fn number(&self, kind: &TroubleKind) -> u64 {
        let kind = kind.to_string();
        self.told.iter().filter(|((_, _, what), _)| *what == kind).map(|(_, n)| n).sum()
    }

    pub(crate) fn text(&self) -> String {
        if self.told.is_empty() {
            return String::new();
        }
        let mut text = "\nTo be looked at\n".to_owned();
        for ((table, column, what), n) in &self.told {
            let (place, unit) = match column.as_str() {
                "" => (table.clone(), "row"),
                column => (format!("{table}.{column}"), "cell"),
            };
            text.push_str(&format!("  {place}, {}: {what}\n", count(*n, unit)));
        }
        match &self.list {
            Some(list) => text.push_str(&format!("Which ones: {}\n", list.path.display())),
            None => text.push_str("Which ones: `--troubles FILE` lists them.\n"),
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let one = |((table, column, what), n): (&(String, String, String), &u64)| {
            let column = Some(column).filter(|column| !column.is_empty());
            json!({ "table": table, "column": column, "what": what, "count": n })
        };
        self.told.iter().map(one).collect()
    }
}

impl Drop for List {
    /// A job that failed before anything was listed leaves no file, which would stand in the way of the next try.
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn line(table: &str, trouble: &Trouble) -> Value {
    json!({ "table": table, "key": key(&trouble.key), "column": trouble.column, "what": trouble.kind.to_string() })
}

/// A row's key, for whoever is to look at the row.
fn key(key: &RowKey) -> Value {
    let cell = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => (*b).into(),
        Cell::Integer(n) => (*n).into(),
        Cell::Real(n) => (*n).into(),
        Cell::Text(text) => text.as_str().into(),
        Cell::Bytes(bytes) => hex(bytes).into(),
    };
    key.cells().iter().map(cell).collect()
}
