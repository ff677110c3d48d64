//! `keytool rotate-subject`: a new version of a subject's data keys, or of everybody's.

use fieldseal::Vault;

use super::rotate_all::Everybody;
use super::subject::{Subject, described, json, living};
use crate::confirm::Destructive;
use crate::exit::Failure;
use crate::open::{Tool, now};
use crate::output::Report;
use crate::text::moment;

/// Give a subject new data keys, or --all of them. What was sealed before opens as it did.
///
/// Without --now a new key is sealed under once every process holds it. With --now, as after a leak, at once: other processes
/// meet envelopes whose key they don't hold, and refresh. Rows move to the new key when they are written, or by a reseal.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateSubject {
    /// The subject's kind and id, as the application has them: `customer:17`; `-` reads it from standard input, so that no
    /// process list shows it.
    #[arg(value_name = "SUBJECT", required_unless_present = "all", conflicts_with = "all")]
    subject: Option<String>,
    /// The tenant: `default` where nothing is said, and with --all every tenant.
    #[arg(long)]
    tenant: Option<String>,
    #[command(flatten)]
    everybody: Everybody,
    /// Seal under the new keys at once.
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    destructive: Destructive,
}

impl RotateSubject {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let vault = ports.vault(tool).await?;
        match self.subject {
            Some(subject) => rotate(&vault, &Subject::new(subject, self.tenant), self.now, &self.destructive).await,
            None => self.everybody.rotate(tool, &vault, self.tenant.as_deref(), self.now, &self.destructive).await,
        }
    }
}

async fn rotate(vault: &Vault, whom: &Subject, at_once: bool, destructive: &Destructive) -> Result<Report, Failure> {
    let (tenant, subject) = whom.find(vault)?;
    if destructive.dry_run {
        let info = living(&tenant, &subject).await?;
        let text = format!("Would make a new version of the data keys of this subject: {}.", described(&info));
        return Ok(Report::dry_run(&text, serde_json::json!({ "subject": json(&info) })));
    }
    let from = if at_once {
        living(&tenant, &subject).await?;
        destructive.confirm("Seal under new keys at once, before other processes hold them?")?;
        tenant.rotate_now(&subject).await?;
        now()
    } else {
        tenant.rotate(&subject).await?
    };
    let text = format!(
        "New data keys are sealed under from {} on. Rows stay under the old ones until they are resealed.",
        moment(from)
    );
    Ok(Report::new(text, serde_json::json!({ "seal_from": from.to_string() })))
}
