//! What the figures mean, in plain words, each with the command that mends it. Imports the data and text.

use super::data::{EpochState, MasterKeyEnd, ReportData, Waiting, total};
use super::text::{count, number, plain_time};

/// One sentence of the verdict. Its texts are plain, and nothing in them comes from outside.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    pub(crate) what: String,
    pub(crate) why: String,
    /// To be given in this order.
    pub(crate) commands: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Something is lost, or will be.
    Wrong,
    ToDo,
    /// Good to know; nothing to be done now.
    Note,
    Good,
}

/// The worst first.
pub(crate) fn findings(data: &ReportData) -> Vec<Finding> {
    let mut findings: Vec<_> = [
        damaged(data),
        in_retired_epochs(data),
        not_held(data),
        pending(data),
        due(data),
        older_epochs(data),
        older_values(data),
        no_census(data),
        newer_values(data),
        destroyed_values(data),
        held(data),
        final_erasures(data),
    ]
    .into_iter()
    .flatten()
    .chain(data.waits.iter().filter_map(|waiting| waits(data, waiting)))
    .chain(empty_epochs(data))
    .collect();
    findings.sort_by_key(|finding| finding.level);
    findings
}

/// Over all findings.
pub(crate) fn headline(findings: &[Finding]) -> String {
    let of = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    match (of(Level::Wrong), of(Level::ToDo)) {
        (0, 0) => "Nothing to do".to_owned(),
        (0, n) => format!("{} to do", count(n, "thing", "things")),
        (n, 0) => format!("{} wrong", count(n, "thing is", "things are")),
        (n, m) => format!("{} wrong, {} to do", count(n, "thing is", "things are"), number(m)),
    }
}

/// For `Iterator::flatten`: nothing is said of a count of zero.
fn some(n: u64, finding: impl FnOnce(u64) -> Finding) -> Option<Finding> {
    (n > 0).then(|| finding(n))
}

fn finding(level: Level, what: String, why: &str, commands: &[&str]) -> Finding {
    Finding { level, what, why: why.to_owned(), commands: commands.iter().map(|&c| c.to_owned()).collect() }
}

fn damaged(data: &ReportData) -> Option<Finding> {
    some(data.damaged, |n| {
        finding(
            Level::Wrong,
            format!("{} damaged", count(n, "slot is", "slots are")),
            "What was sealed under keys in a damaged slot can't be opened. Restore the key store from a backup, as docs/restore.md \
             says, and replay the journal. A subject whose slot is in no backup can only be erased.",
            &["keytool journal replay"],
        )
    })
}

fn in_retired_epochs(data: &ReportData) -> Option<Finding> {
    some(slots(data, EpochState::Retired), |n| {
        finding(
            Level::Wrong,
            format!("{} in a retired epoch", count(n, "slot is", "slots are")),
            "The master key of these slots was ordered to be destroyed: without it nothing of them opens. Call the destruction \
             back at the provider if it still can be, and move them; else erase their subjects.",
            &["keytool rewrap"],
        )
    })
}

fn not_held(data: &ReportData) -> Option<Finding> {
    some(in_census(data, |[.., not_held]| not_held), |n| {
        finding(
            Level::Wrong,
            format!("{} a key that the store does not hold", count(n, "value names", "values name")),
            "They can't be opened. If the key store was restored, their keys were made after that backup: docs/restore.md \
             says what is lost and what can be done.",
            &[],
        )
    })
}

fn pending(data: &ReportData) -> Option<Finding> {
    some(erasures(data, |[_, pending, ..]| pending), |n| {
        finding(
            Level::ToDo,
            format!("{} begun and not done", count(n, "erasure is", "erasures are")),
            "An erasure that was begun is binding. A sweep carries it on from where it stopped.",
            &["keytool sweep"],
        )
    })
}

fn due(data: &ReportData) -> Option<Finding> {
    some(data.due, |n| {
        finding(
            Level::ToDo,
            format!("{} due", count(n, "erasure is", "erasures are")),
            "The time that was set has come. A sweep erases what is due and not held; it is best run once a day.",
            &["keytool sweep"],
        )
    })
}

fn older_epochs(data: &ReportData) -> Option<Finding> {
    let current = slots(data, EpochState::Current);
    match slots(data, EpochState::Live) {
        0 if current == 0 => None,
        0 if data.damaged > 0 || slots(data, EpochState::Retired) > 0 => None,
        0 => Some(finding(Level::Good, "All keys are in the current epoch".to_owned(), "", &[])),
        n => Some(finding(
            Level::ToDo,
            format!("{} in an older epoch", count(n, "slot is", "slots are")),
            "Their keys open as ever. They have to be moved to the current epoch before the older one can be retired.",
            &["keytool rewrap"],
        )),
    }
}

/// Those that nothing else is said of: their retirement is still to be done.
fn empty_epochs(data: &ReportData) -> impl Iterator<Item = Finding> {
    let waited_for = |number| data.waits.iter().any(|waiting| waiting.epoch == number);
    let empty = data.epochs.iter().filter(|epoch| epoch.state == EpochState::Live && epoch.slots == 0);
    empty.filter(move |epoch| !waited_for(epoch.number)).map(|epoch| Finding {
        level: Level::ToDo,
        what: format!("Epoch {} is empty: retire it", epoch.number),
        why: "No slot needs its master key. Until that is destroyed, it opens older backups of the key store."
            .to_owned(),
        commands: vec![format!("keytool retire-epoch {}", epoch.number)],
    })
}

fn waits(data: &ReportData, waiting: &Waiting) -> Option<Finding> {
    let Waiting { erasures, epoch, end } = *waiting;
    let not_final = |n| format!("{} not final yet", count(n, "erasure is", "erasures are"));
    some(erasures, |n| match end {
        MasterKeyEnd::Lives => Finding {
            level: Level::ToDo,
            what: format!("{}: retire epoch {epoch}", not_final(n)),
            why:
                "The destroyed keys are in older backups of the key store, wrapped, and the master key that opens them \
                  lives. Retiring its epoch ends that."
                    .to_owned(),
            commands: to_retire(data, epoch),
        },
        MasterKeyEnd::Scheduled { at } => Finding {
            level: Level::Note,
            what: format!("{}: wait until {}", not_final(n), plain_time(at)),
            why: format!(
                "The provider destroys the master key of epoch {epoch} then. Until then the destruction can be called back."
            ),
            commands: Vec::new(),
        },
        MasterKeyEnd::Unconfirmed => Finding {
            level: Level::ToDo,
            what: format!("{}: ask the provider again", not_final(n)),
            why: format!("The provider could not say what has become of the master key of epoch {epoch}."),
            commands: vec!["keytool report".to_owned()],
        },
    })
}

/// What leads from here to the end of an epoch.
fn to_retire(data: &ReportData, number: u32) -> Vec<String> {
    let epoch = data.epochs.iter().find(|epoch| epoch.number == number);
    let is_current = epoch.is_some_and(|epoch| epoch.state == EpochState::Current);
    let has_slots = epoch.is_some_and(|epoch| epoch.slots > 0);
    let mut commands = Vec::new();
    if is_current {
        commands.push("keytool advance-epoch --add-key".to_owned());
    }
    if is_current || has_slots {
        commands.push("keytool rewrap".to_owned());
    }
    commands.push(format!("keytool retire-epoch {number}"));
    commands
}

fn final_erasures(data: &ReportData) -> Option<Finding> {
    let done = erasures(data, |[done, ..]| done);
    let is_final = done > 0 && data.not_final == 0 && data.waits.is_empty();
    is_final.then(|| finding(Level::Good, "Every erasure that is done is final".to_owned(), "", &[]))
}

fn older_values(data: &ReportData) -> Option<Finding> {
    let older = in_census(data, |[_, older, ..]| older);
    let current = in_census(data, |[current, ..]| current);
    if older == 0 && current > 0 {
        return Some(finding(Level::Good, "All values that open are under their current key".to_owned(), "", &[]));
    }
    some(older, |n| {
        finding(
            Level::ToDo,
            format!("{} under an older key", count(n, "value is", "values are")),
            "They open as ever. A rotation is complete when they are moved to the current key.",
            &["keytool reseal"],
        )
    })
}

fn no_census(data: &ReportData) -> Option<Finding> {
    data.census.is_none().then(|| {
        finding(
            Level::Note,
            "No census was made".to_owned(),
            "Which keys the values in the application's tables are under is not known.",
            &["keytool census"],
        )
    })
}

fn newer_values(data: &ReportData) -> Option<Finding> {
    some(in_census(data, |[_, _, newer, ..]| newer), |n| {
        finding(
            Level::Note,
            format!("{} under a key that is newer than the current one", count(n, "value is", "values are")),
            "They open as ever. They were sealed by a process whose clock is ahead; time mends it.",
            &[],
        )
    })
}

fn destroyed_values(data: &ReportData) -> Option<Finding> {
    some(in_census(data, |[_, _, _, destroyed, _]| destroyed), |n| {
        finding(
            Level::Note,
            format!("{} under destroyed keys", count(n, "value is", "values are")),
            "That is what an erasure leaves. They are unreadable for good; their rows can be deleted.",
            &[],
        )
    })
}

fn held(data: &ReportData) -> Option<Finding> {
    some(data.held, |n| {
        finding(
            Level::Note,
            format!("{} held", count(n, "subject is", "subjects are")),
            "No erasure touches them until they are released.",
            &["keytool release SUBJECT"],
        )
    })
}

fn slots(data: &ReportData, state: EpochState) -> u64 {
    let of_state = data.epochs.iter().filter(|epoch| epoch.state == state);
    total(&of_state.map(|epoch| epoch.slots).collect::<Vec<_>>())
}

fn in_census(data: &ReportData, of: impl Fn([u64; 5]) -> u64) -> u64 {
    let tables = data.census.iter().flat_map(|census| &census.tables);
    total(&tables.map(|table| of(table.counts())).collect::<Vec<_>>())
}

fn erasures(data: &ReportData, of: impl Fn([u64; 4]) -> u64) -> u64 {
    total(&data.erasures.values().map(|month| of(month.counts())).collect::<Vec<_>>())
}
