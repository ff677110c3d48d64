//! `keytool schedule` and `keytool cancel`: an erasure that can be called off until its moment comes.

use std::time::Duration;

use fieldseal::Error;
use fieldseal::clock::Timestamp;
use fieldseal::vault::{SubjectInfo, SubjectState};

use super::subject::{Known, Subject, described, json, known, living};
use crate::config::duration;
use crate::confirm::Destructive;
use crate::exit::Failure;
use crate::open::{Tool, now};
use crate::output::Report;
use crate::text::moment;

/// Make a subject unreadable now, and have a sweep destroy its keys later. Until then `cancel` undoes it.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("when").required(true))]
pub(crate) struct Schedule {
    #[command(flatten)]
    whom: Subject,
    /// When: 2026-12-01T09:00:00Z.
    #[arg(long, group = "when", value_name = "RFC3339", value_parser = timestamp)]
    at: Option<Timestamp>,
    /// In how long: 90s, 5m, 2h, 14d.
    #[arg(long = "in", group = "when", value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    #[command(flatten)]
    destructive: Destructive,
}

/// Call a scheduled erasure off: the subject is readable again.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    whom: Subject,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Schedule {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let now = now();
        let at = self.at.or(self.delay.map(|delay| now.plus(delay))).filter(|at| *at > now);
        let at = at.ok_or_else(|| Failure::usage("the moment has passed: `keytool erase` erases at once"))?;
        let vault = tool.vault().await?;
        let (tenant, subject) = self.whom.find(&vault)?;
        let info = living(&tenant, &subject).await?;
        if info.held {
            return Err(Error::SubjectHeld.into()); // before anybody is asked
        }
        if self.destructive.dry_run {
            let text = format!("Would make this subject unreadable, and due at {}: {}.", moment(at), described(&info));
            return Ok(Report::dry_run(&text, serde_json::json!({ "at": at.to_string(), "subject": json(&info) })));
        }
        let question = format!("Make a subject unreadable now, and due for erasure at {}?", moment(at));
        self.destructive.confirm(&question)?;
        tenant.schedule_erasure(&subject, at).await?;
        let text = format!(
            "The subject is unreadable now. The first `keytool sweep` after {} destroys its keys; `keytool cancel` undoes it \
             until then.",
            moment(at)
        );
        Ok(Report::new(text, serde_json::json!({ "at": at.to_string() })))
    }
}

impl Cancel {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let vault = tool.vault().await?;
        let (tenant, subject) = self.whom.find(&vault)?;
        if self.dry_run {
            let known = known(&tenant, &subject).await?;
            match &known {
                Known::Stored(SubjectInfo { state: SubjectState::Erased { at }, .. }) => {
                    return Err(Error::SubjectErased { at: *at }.into());
                }
                Known::Journaled(said) if !said.scheduled => return Err(Error::SubjectUnknown.into()),
                _ => {}
            }
            let text = format!("Would call off what is scheduled of this subject: {}.", known.described());
            return Ok(Report::dry_run(&text, serde_json::json!({ "subject": known.json() })));
        }
        tenant.cancel_erasure(&subject).await?;
        Ok(Report::new("No erasure is scheduled: the subject is readable.", serde_json::json!({ "cancelled": true })))
    }
}

/// RFC 3339 in UTC, with or without the fraction.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, String> {
    let whole = text.strip_suffix('Z').filter(|rest| !rest.contains('.')).map(|rest| format!("{rest}.000Z"));
    let moment: Result<Timestamp, _> = whole.as_deref().unwrap_or(text).parse();
    moment.map_err(|_| "a moment is written in UTC, as 2026-12-01T09:00:00Z".to_owned())
}
