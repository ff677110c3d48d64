//! `keytool rotate-subject --all`: a new version of everybody's data keys, page by page.

use std::time::Duration;

use fieldseal::clock::Timestamp;
use fieldseal::store::SlotId;
use fieldseal::vault::{RotatePage, Rotation};
use fieldseal::{TenantId, Vault};

use super::schedule::timestamp;
use crate::confirm::Destructive;
use crate::exit::{Exit, Failure};
use crate::open::{Tool, now};
use crate::output::Report;
use crate::progress::Progress;
use crate::text::{count, moment, plural, slot, slot_json};

/// Everybody, and at which pace.
#[derive(Debug, clap::Args)]
pub(crate) struct Everybody {
    /// Every subject instead of one.
    #[arg(long)]
    all: bool,
    /// With --all: subjects that have no data key from this moment or later, 2026-12-01T09:00:00Z. Now, where nothing is said.
    /// With the same moment what was stopped goes on: who was rotated since is not rotated again.
    #[arg(long, conflicts_with = "subject", value_name = "RFC3339", value_parser = timestamp)]
    made_before: Option<Timestamp>,
    /// With --all: slots a page.
    #[arg(long, conflicts_with = "subject", value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// With --all: wait so long after each page, to leave the store to others.
    #[arg(long, conflicts_with = "subject", value_name = "MS", default_value_t = 0)]
    pause: u64,
}

/// What all pages came to.
#[derive(Default)]
struct Done {
    rotated: u64,
    unreadable: u64,
    seal_from: Option<Timestamp>,
    failed: Vec<(SlotId, Failure)>,
}

impl Everybody {
    pub(crate) async fn rotate(
        &self,
        tool: &Tool,
        vault: &Vault,
        tenant: Option<&str>,
        at_once: bool,
        destructive: &Destructive,
    ) -> Result<Report, Failure> {
        let before = self.made_before.unwrap_or_else(now);
        let mut rotation = Rotation::of_keys_before(before);
        if let Some(tenant) = tenant {
            rotation = rotation.tenant(TenantId::new(tenant)?);
        }
        if at_once {
            rotation = rotation.now();
        }
        let mut counting = Progress::new(tool.output, "slots looked at", None);
        let due =
            self.go_through(vault, &rotation.clone().only_count(), |_| counting.advance(self.batch.into())).await?;
        drop(counting);
        let whom = count(due.rotated, "subject");
        if destructive.dry_run {
            let text = format!("Would make new data keys for {whom}, whose keys are from before {}.", moment(before));
            return Ok(Report::dry_run(&(text + "\n" + &due.rest()), due.json(before)));
        }
        if at_once && due.rotated > 0 {
            destructive
                .confirm(&format!("Seal under new keys of {whom} at once, before other processes hold them?"))?;
        }
        let mut progress = Progress::new(tool.output, "subjects rotated", Some(due.rotated));
        let done = self.go_through(vault, &rotation, |page| progress.advance(page.rotated)).await?;
        drop(progress);
        let exit = if done.failed.is_empty() { Exit::Done } else { Exit::Partly };
        Ok(Report::new(done.text(), done.json(before)).exit(exit))
    }

    async fn go_through(
        &self,
        vault: &Vault,
        rotation: &Rotation,
        mut see: impl FnMut(&RotatePage),
    ) -> Result<Done, Failure> {
        let (mut from, mut all) = (None, Done::default());
        loop {
            let page = vault.rotate_page(rotation, from.as_ref(), self.batch.into()).await?;
            see(&page);
            all.rotated += page.rotated;
            all.unreadable += page.unreadable;
            all.seal_from = all.seal_from.max(page.seal_from);
            all.failed.extend(page.failed.into_iter().map(|(id, e)| (id, e.into())));
            from = page.next;
            if from.is_none() {
                return Ok(all);
            }
            if self.pause > 0 {
                tokio::time::sleep(Duration::from_millis(self.pause)).await;
            }
        }
    }
}

impl Done {
    fn text(&self) -> String {
        let mut text = format!("{} new data keys", plural(self.rotated, "subject has", "subjects have"));
        match self.seal_from {
            Some(from) => text.push_str(&format!(", sealed under from {} on at the latest.\n", moment(from))),
            None => text.push_str(".\n"),
        }
        text.push_str("Rows stay under the old ones until they are resealed: `keytool reseal`.\n");
        text + &self.rest()
    }

    /// Whose keys stay.
    fn rest(&self) -> String {
        let mut text = String::new();
        if self.unreadable > 0 {
            let whose = plural(self.unreadable, "subject keeps its keys", "subjects keep their keys");
            text.push_str(&format!("{whose}: to be erased. Where that is called off, rotate again.\n"));
        }
        self.failed.iter().for_each(|(id, e)| text.push_str(&format!("{}: not rotated: {e}\n", slot(id))));
        text
    }

    fn json(&self, before: Timestamp) -> serde_json::Value {
        let failed = self.failed.iter().map(|(id, e)| serde_json::json!({ "slot": slot_json(id), "error": e.json() }));
        serde_json::json!({
            "made_before": before.to_string(),
            "rotated": self.rotated,
            "unreadable": self.unreadable,
            "seal_from": self.seal_from.map(|at| at.to_string()),
            "failed": failed.collect::<Vec<_>>(),
        })
    }
}
