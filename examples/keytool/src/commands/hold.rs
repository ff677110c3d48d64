//! `keytool hold` and `keytool release`: whether a subject may be erased.

use super::subject::{Subject, described, json, known, living};
use crate::exit::Failure;
use crate::open::Tool;
use crate::output::Report;

/// Keep a subject from being erased, by a sweep too, until it is released. Its data stays readable.
#[derive(Debug, clap::Args)]
pub(crate) struct Hold {
    #[command(flatten)]
    whom: Subject,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Release the hold on a subject.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    #[command(flatten)]
    whom: Subject,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Hold {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        let (tenant, subject) = self.whom.find(&vault)?;
        if self.dry_run {
            let info = living(&tenant, &subject).await?;
            let text = format!("Would put a hold on this subject: {}.", described(&info));
            return Ok(Report::dry_run(&text, serde_json::json!({ "subject": json(&info) })));
        }
        tenant.hold(&subject).await?;
        Ok(Report::new("A hold stands: the subject can't be erased.", serde_json::json!({ "held": true })))
    }
}

impl Release {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        let (tenant, subject) = self.whom.find(&vault)?;
        if self.dry_run {
            let known = known(&tenant, &subject).await?;
            let text = format!("Would release this subject: {}.", known.described());
            return Ok(Report::dry_run(&text, serde_json::json!({ "subject": known.json() })));
        }
        tenant.release(&subject).await?;
        Ok(Report::new("No hold stands: the subject can be erased.", serde_json::json!({ "held": false })))
    }
}
