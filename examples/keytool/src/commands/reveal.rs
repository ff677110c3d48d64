//! `keytool reveal`: what is held of a person, or a whole table, in the clear.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use fieldseal::jobs::{self, Checkpoint, Observer, PageDone, Revealed};
use fieldseal::{Error, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::subject::subjects;
use crate::bulk::{Bulk, Watch, exit_of, tallies};
use crate::exit::{Exit, Failure};
use crate::files::{self, Reserved};
use crate::open::Tool;
use crate::output::Report;
use crate::text::count;

/// Show in the clear what the tables hold of a person (for an access request), or with --all every row.
///
/// Of a person, as one JSON document: on standard output, or in a new file. With --all a line of JSON a row, in a new file; it
/// can be stopped and begun again, and the options for going through the tables are for it. What comes out is plaintext: it is
/// yours to protect, on a terminal too.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("whom").required(true))]
pub(crate) struct Reveal {
    /// The subject's kind and id, as the application has them: `customer:17`; `-` reads it from standard input.
    #[arg(value_name = "SUBJECT", group = "whom")]
    subject: Option<String>,
    /// Every row of the tables.
    #[arg(long, group = "whom", requires = "output")]
    all: bool,
    /// Write to this file, which must not be there yet, with mode 0600.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The subject's tenant; `default` where nothing is said.
    #[arg(long, conflicts_with = "all")]
    tenant: Option<String>,
    #[command(flatten)]
    bulk: Bulk,
}

impl Reveal {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        match (&self.subject, &self.output) {
            (Some(subject), output) => self.person(tool, subject, output.as_deref()).await,
            (None, Some(output)) => self.everything(tool, output).await,
            (None, None) => Err(Failure::usage("name the file for --all: --output FILE")),
        }
    }

    async fn person(&self, tool: &Tool, subject: &str, output: Option<&Path>) -> Result<Report, Failure> {
        if !self.bulk.is_only_tables() {
            return Err(Failure::usage("--batch, --pause, --workers, --shard and --troubles are for --all"));
        }
        let vault = tool.vault().await?;
        let tenant = self.tenant.as_deref().map_or(Ok(TenantId::default_tenant()), TenantId::new)?;
        let subject = match subjects(&[subject.to_owned()])?.as_slice() {
            [subject] => subject.clone(),
            _ => return Err(Failure::usage("standard input is to name one subject, in one line")),
        };
        let tables = tool.tables(&self.bulk).await?;
        let pairs: Vec<_> = tables.iter().map(|table| (&table.map, &*table.rows)).collect();
        let text = jobs::reveal_subject(&vault, &tenant, &subject, &pairs).await?;
        let document: Value = serde_json::from_str(text.expose())
            .map_err(|e| Failure::new(Exit::Unforeseen, "bug", "what was revealed is no JSON").because(&e))?;
        let rows = document.get("rows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let unreadable = rows.iter().filter_map(|row| row.get("unreadable")?.as_object()).map(serde_json::Map::len);
        let (unreadable, rows) = (unreadable.sum::<usize>() as u64, rows.len() as u64);
        match output {
            None => Ok(Report::new(format!("{document:#}"), document)),
            Some(file) => {
                let pretty = format!("{document:#}\n");
                Reserved::new(file, pretty.len())?.write(&pretty)?;
                let mut text = format!("{} in {}.", count(rows, "row"), file.display());
                if unreadable > 0 {
                    text.push_str(&format!(
                        " {} can't be read: each is named with the reason.",
                        count(unreadable, "field")
                    ));
                }
                let file = file.display().to_string();
                Ok(Report::new(text, json!({ "rows": rows, "unreadable": unreadable, "file": file })))
            }
        }
    }

    async fn everything(&self, tool: &Tool, output: &Path) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        let tables = tool.tables(&self.bulk).await?;
        let (file, kept) = Kept::open(output)?;
        let watch = self.bulk.watch(tool, "rows revealed", &tables, !kept.tables.is_empty()).await?;
        let mut writer = Writer { watch, output: output.to_owned(), file, kept, table: String::new() };
        let mut done = Vec::new();
        for table in &tables {
            let options = self.bulk.options(writer.begin(table.map.name())?);
            let tally = jobs::reveal_table(&vault, &table.map, &*table.rows, &options, &mut writer).await;
            done.push((table.map.name().to_owned(), writer.watch.answer(tally)?));
        }
        let troubles = writer.watch.finish()?;
        let checkpoint = checkpoint_of(output);
        fs::remove_file(&checkpoint).map_err(|e| Failure::of_file("remove the checkpoint", &checkpoint, &e))?;
        let (mut text, tables) = tallies(&done, None, "revealed");
        text.push_str(&troubles.text());
        let json = json!({ "file": output.display().to_string(), "tables": tables, "troubles": troubles.json() });
        Ok(Report::new(text, json).exit(exit_of(done.iter().map(|(_, tally)| tally))))
    }
}

/// Appends the lines of each page to the file, then says how far it is.
struct Writer {
    watch: Watch,
    output: PathBuf,
    file: File,
    kept: Kept,
    table: String,
}

impl Writer {
    /// Goes on with this table; gives where from, if it was there before.
    fn begin(&mut self, table: &str) -> Result<Option<Checkpoint>, Failure> {
        self.watch.begin(table);
        table.clone_into(&mut self.table);
        let kept = self.kept.tables.iter().find(|(name, _)| name == table);
        kept.map(|(_, text)| text.parse().map_err(|_| damaged(&self.output))).transpose()
    }

    fn write(&mut self, done: &PageDone, lines: &[Revealed]) -> Result<(), Failure> {
        let failed = |e: std::io::Error| Failure::of_file("write", &self.output, &e);
        for line in lines {
            self.file.write_all(line.expose().as_bytes()).and_then(|()| self.file.write_all(b"\n")).map_err(failed)?;
        }
        self.file.sync_data().map_err(failed)?;
        self.kept.length = self.file.stream_position().map_err(failed)?;
        let text = done.checkpoint.to_string();
        match self.kept.tables.iter_mut().find(|(name, _)| *name == self.table) {
            Some((_, kept)) => *kept = text,
            None => self.kept.tables.push((self.table.clone(), text)),
        }
        self.kept.write(&self.output)
    }
}

#[async_trait]
impl Observer<Vec<Revealed>> for Writer {
    async fn page(&mut self, done: &PageDone, lines: &Vec<Revealed>) -> Result<(), Error> {
        self.watch.note(done)?;
        let written = self.write(done, lines);
        self.watch.stop_at(written)?;
        self.watch.rest().await;
        Ok(())
    }
}

/// How far a file is that is being filled: what lies behind `length` is of a page that was not finished.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: String,
    length: u64,
    tables: Vec<(String, String)>,
}

impl Kept {
    /// The file to be filled: a new one, or one that was begun, without what was not finished.
    fn open(output: &Path) -> Result<(File, Self), Failure> {
        let checkpoint = checkpoint_of(output);
        let failed = |what: &'static str| move |e: std::io::Error| Failure::of_file(what, output, &e);
        let text = match fs::read_to_string(&checkpoint) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let kept = Self { format: FORMAT.to_owned(), length: 0, tables: Vec::new() };
                // First, so that a file without it is a whole one.
                if fs::symlink_metadata(output).is_ok() {
                    return Err(failed("write")(std::io::ErrorKind::AlreadyExists.into()));
                }
                kept.write(output)?;
                return Ok((files::begin(output)?, kept));
            }
            text => text.map_err(|e| Failure::of_file("read the checkpoint", &checkpoint, &e))?,
        };
        let kept: Option<Self> = serde_json::from_str(&text).ok();
        let kept = kept.filter(|kept| kept.format == FORMAT).ok_or_else(|| damaged(output))?;
        if kept.length == 0 && !output.exists() {
            return Ok((files::begin(output)?, kept));
        }
        let mut file = File::options().write(true).open(output).map_err(failed("open"))?;
        if file.metadata().map_err(failed("read"))?.len() < kept.length {
            let what = format!("{} is shorter than it was: remove it and {}", output.display(), checkpoint.display());
            return Err(Failure::new(Exit::Unverified, "file_damaged", what));
        }
        file.set_len(kept.length).map_err(failed("cut"))?;
        file.seek(SeekFrom::End(0)).map_err(failed("write"))?;
        Ok((file, kept))
    }

    fn write(&self, output: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|e| Failure::new(Exit::Unforeseen, "bug", "can't write a checkpoint").because(&e))?;
        files::replace(&checkpoint_of(output), &(text + "\n"))
    }
}

fn damaged(output: &Path) -> Failure {
    let checkpoint = checkpoint_of(output);
    let what = format!("{} is no checkpoint: remove it and {}", checkpoint.display(), output.display());
    Failure::new(Exit::Usage, "checkpoint_damaged", what)
}

/// Beside the file.
fn checkpoint_of(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

const FORMAT: &str = "fieldseal keytool reveal 1";
