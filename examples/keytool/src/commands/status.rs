//! `keytool status`: what is so, and what is to be done about it.

use fieldseal::error::PortErrorKind as _;
use fieldseal::vault::{EpochStatus, KeyEnd};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::open::Tool;
use crate::output::Report;
use crate::report::AGE_LABELS;
use crate::survey::{EpochCounts, Survey};
use crate::text::{self, count, moment, plural, slot, slot_json, table};

/// Say what is so: keys by epoch, age and version, erasures that are not final, holds, and what is to be done.
///
/// Reads every slot and the whole journal. Exit code 7 if slots can't be read: they are listed.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

impl Status {
    pub(crate) async fn run(self, tool: &Tool) -> Result<Report, Failure> {
        let ports = tool.ports().await?;
        let survey = Survey::take(&ports.vault(tool).await?, tool.output).await?;
        let exit = if survey.failed.is_empty() { Exit::Done } else { Exit::Partly };
        let advice = advice(&survey, ports.provider.why_shut());
        Ok(Report::new(as_text(&survey, &advice), as_json(&survey, &advice)).exit(exit))
    }
}

/// What is to be done, each with the command that does it.
fn advice(survey: &Survey, shut: Option<Failure>) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(shut) = shut {
        advice.push(format!("a provider can't be opened, so nobody knows what has become of a master key: {shut}"));
    }
    for (id, e) in &survey.failed {
        advice.push(format!("{} can't be read: {e}. Restore the key store: docs/restore.md", slot(id)));
    }
    if survey.journal.passed_over.count > 0 {
        advice.push(format!("{}: find out who else can write to it", text::passed_over(&survey.journal.passed_over)));
    }
    for (id, kind) in &survey.journal.unclear {
        advice.push(format!("{}: {}", slot(id), text::unclear(*kind)));
    }
    if survey.erasures.pending > 0 {
        advice.push(format!(
            "{} not come to the end: erase again, or start any vault in a while",
            plural(survey.erasures.pending, "erasure has", "erasures have")
        ));
    }
    if survey.retention_is_suspended {
        advice.push(
            "the key store was restored, so nobody is erased by a retention period: look through the periods, then `keytool sweep \
             --resume-retention`"
                .to_owned(),
        );
    }
    if let Some(due) = survey.erasures.next_due.filter(|due| *due <= survey.at) {
        advice.push(format!("an erasure is due since {}: `keytool sweep`", moment(due)));
    }
    let old: u64 = survey.epochs.iter().filter(|e| e.info.status != EpochStatus::Current).map(|e| e.subjects).sum();
    if old > 0 {
        advice.push(format!("{} in an earlier epoch: `keytool rewrap`", plural(old, "subject is", "subjects are")));
    }
    for epoch in survey.epochs.iter().filter(|epoch| may_be_retired(epoch)) {
        let waiting = survey.erasures.waits_for.iter().find(|(master, _)| master.master == epoch.info.master);
        let waiting = match waiting {
            Some((_, n)) => format!(", and {} for it", plural(*n, "erasure waits", "erasures wait")),
            None => String::new(),
        };
        let number = epoch.info.epoch;
        advice.push(format!("nothing is in epoch {number}{waiting}: `keytool retire-epoch {number}`"));
    }
    for epoch in survey.epochs.iter().filter(|epoch| is_out_of_sight(epoch)) {
        advice.push(format!(
            "the provider can't say what has become of the master key of epoch {}, which is retired: name the one that had it \
             in `previous`",
            epoch.info.epoch
        ));
    }
    let current = survey.current();
    let for_current = survey.erasures.waits_for.iter().find(|(master, _)| Some(master.epoch) == current);
    if let Some((_, n)) = for_current {
        advice.push(format!(
            "{} for the current epoch's master key: `keytool advance-epoch`, when it is time",
            plural(*n, "erasure waits", "erasures wait")
        ));
    }
    advice
}

fn may_be_retired(epoch: &EpochCounts) -> bool {
    let ended = matches!(epoch.info.end, KeyEnd::Destroyed | KeyEnd::DestroyedHere { .. } | KeyEnd::Scheduled { .. });
    epoch.info.status != EpochStatus::Current && epoch.subjects == 0 && !ended && !is_out_of_sight(epoch)
}

/// It is retired, and the provider can't say what has become of its master key: another one had it.
fn is_out_of_sight(epoch: &EpochCounts) -> bool {
    epoch.info.status == EpochStatus::Retired && epoch.info.end == KeyEnd::Unconfirmed
}

fn as_text(survey: &Survey, advice: &[String]) -> String {
    let mut head = vec!["epoch", "state", "opened", "subjects", "data keys"];
    head.extend(AGE_LABELS);
    head.extend(["master key", ""]);
    let rows: Vec<Vec<String>> = survey.epochs.iter().map(row).collect();
    let mut text = format!("Keys, {}\n{}", moment(survey.at), table(&head, &rows));
    if let Some(oldest) = survey.oldest_key {
        let days = survey.at.since(oldest).as_secs() / 86_400;
        text.push_str(&format!("The oldest data key is of {} ({}).\n", moment(oldest), count(days, "day")));
    }
    let subjects = &survey.subjects;
    text.push_str(&format!(
        "\nSubjects\n  {} live, {} scheduled, {} erased; {} on hold, {} with a retention period\n",
        subjects.live, subjects.scheduled, subjects.erased, subjects.held, subjects.retained
    ));
    let rows: Vec<Vec<String>> = survey
        .purposes
        .iter()
        .map(|(purpose, n)| {
            vec![purpose.clone(), n.pending.to_string(), n.current.to_string(), n.superseded.to_string()]
        })
        .collect();
    if !rows.is_empty() {
        let head = ["purpose", "pending", "current", "superseded"];
        text.push_str(&format!("\nVersions\n{}", table(&head, &rows)));
    }
    let erasures = &survey.erasures;
    text.push_str(&format!(
        "\nErasures\n  {} final, {} not final yet, {} pending, {} scheduled\n",
        erasures.final_, erasures.erased, erasures.pending, erasures.scheduled
    ));
    for (master, waiting) in &erasures.waits_for {
        let whom = plural(*waiting, "waits", "wait");
        text.push_str(&format!(
            "  {whom} for master key {} of epoch {}: {}\n",
            master.master, master.epoch, master.end
        ));
    }
    let advice: String = match advice.is_empty() {
        true => "  nothing\n".to_owned(),
        false => advice.iter().map(|line| format!("  {line}\n")).collect(),
    };
    text.push_str(&format!("\nTo be done\n{advice}"));
    text
}

fn row(epoch: &EpochCounts) -> Vec<String> {
    let mut row = vec![
        epoch.info.epoch.to_string(),
        status(epoch.info.status).to_owned(),
        moment(epoch.info.opened_at),
        epoch.subjects.to_string(),
        epoch.data_keys.to_string(),
    ];
    row.extend(epoch.ages.counts().iter().map(u64::to_string));
    row.extend([epoch.info.master.to_string(), end(&epoch.info.end).to_owned()]);
    row
}

fn status(status: EpochStatus) -> &'static str {
    match status {
        EpochStatus::Current => "current",
        EpochStatus::Live => "live",
        EpochStatus::Retired => "retired",
        EpochStatus::Lost => "lost",
        _ => "unknown",
    }
}

fn end(end: &KeyEnd) -> &'static str {
    match end {
        KeyEnd::Lives => "lives",
        KeyEnd::Unconfirmed => "unconfirmed",
        KeyEnd::Scheduled { .. } => "scheduled",
        KeyEnd::Destroyed => "destroyed",
        KeyEnd::DestroyedHere { .. } => "destroyed here",
        _ => "unknown",
    }
}

fn as_json(survey: &Survey, advice: &[String]) -> serde_json::Value {
    let (subjects, erasures) = (&survey.subjects, &survey.erasures);
    json!({
        "at": survey.at.to_string(),
        "epochs": survey.epochs.iter().map(|epoch| json!({
            "epoch": epoch.info.epoch.get(),
            "state": status(epoch.info.status),
            "opened_at": epoch.info.opened_at.to_string(),
            "master_key": epoch.info.master.as_str(),
            "end": end(&epoch.info.end),
            "subjects": epoch.subjects,
            "data_keys": epoch.data_keys,
            "ages": epoch.ages.counts(),
        })).collect::<Vec<_>>(),
        "oldest_key": survey.oldest_key.map(|at| at.to_string()),
        "subjects": {
            "live": subjects.live,
            "scheduled": subjects.scheduled,
            "erased": subjects.erased,
            "held": subjects.held,
            "retained": subjects.retained,
        },
        "versions": survey.purposes.iter().map(|(purpose, n)| {
            (purpose.clone(), json!({ "pending": n.pending, "current": n.current, "superseded": n.superseded }))
        }).collect::<serde_json::Map<_, _>>(),
        "erasures": {
            "final": erasures.final_,
            "erased": erasures.erased,
            "pending": erasures.pending,
            "scheduled": erasures.scheduled,
            "held": erasures.held,
            "next_due": erasures.next_due.map(|at| at.to_string()),
            "waits_for": erasures.waits_for.iter().map(|(master, waiting)| json!({
                "master_key": master.master.as_str(),
                "epoch": master.epoch.get(),
                "end": end(&master.end),
                "erasures": waiting,
            })).collect::<Vec<_>>(),
        },
        "journal": {
            "entries": survey.journal.head.position(),
            "passed_over": text::passed_over_json(&survey.journal.passed_over),
            "unclear": survey.journal.unclear.iter().map(|(id, kind)| {
                json!({ "slot": slot_json(id), "why": kind.name() })
            }).collect::<Vec<_>>(),
        },
        "failed": survey.failed.iter().map(|(id, e)| json!({ "slot": slot_json(id), "error": e.json() })).collect::<Vec<_>>(),
        "advice": advice,
    })
}
