//! `keytool reseal`: moves every value to its subject's current key.

use std::path::PathBuf;

use fieldseal::jobs::{self, KeyUse};
use serde_json::json;

use super::census::{count_all, values};
use crate::bulk::{Bulk, exit_of, tallies};
use crate::checkpoints::Checkpoints;
use crate::exit::Failure;
use crate::open::Tool;
use crate::output::Report;
use crate::text::count;

/// Move every value that is sealed under an older key to its subject's current one: the same value in the same place.
///
/// Safe beside running applications: a value is replaced only where the old one still stands. Can be stopped and begun again at
/// any time; what is under the current key is left. Exit code 7 if values could not be moved.
#[derive(Debug, clap::Args)]
pub(crate) struct Reseal {
    #[command(flatten)]
    bulk: Bulk,
    /// Keep there how far it is, and go on from there if it was stopped. Removed at the end.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Reseal {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        let tables = tool.tables(&self.bulk).await?;
        if self.dry_run {
            let census = count_all(tool, &vault, &tables, &self.bulk.without_troubles(), None).await?.census;
            let older = values(&census, KeyUse::Older);
            let text = format!("Would reseal {} under an older key.", count(older, "value"));
            return Ok(Report::dry_run(&text, json!({ "values": older })));
        }
        let checkpoints = Checkpoints::open(self.checkpoint.as_deref(), "reseal")?;
        let mut watch = self.bulk.watch_from(tool, "rows gone through", &tables, checkpoints).await?;
        let mut done = Vec::new();
        for table in &tables {
            watch.begin(table.map.name());
            let options = self.bulk.options(watch.from()?);
            let tally = jobs::reseal(&vault, &table.map, &*table.rows, &options, &mut watch).await;
            done.push((table.map.name().to_owned(), watch.answer(tally)?));
        }
        let troubles = watch.finish()?;
        let (mut text, tables) = tallies(&done, Some("resealed"), "current before");
        text.push_str(&troubles.text());
        let json = json!({ "tables": tables, "troubles": troubles.json() });
        Ok(Report::new(text, json).exit(exit_of(done.iter().map(|(_, tally)| tally))))
    }
}
