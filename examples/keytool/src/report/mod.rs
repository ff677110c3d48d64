//! The report: one HTML page about the keys of a store, for whoever runs it and whoever asks. Imports the library's clock.
//!
//! The page needs nothing but itself: no script, no font, no image, no network, and its policy forbids them. It holds counts
//! and times only, because [`ReportData`] holds nothing else, and whatever text comes from outside is escaped.

mod charts;
mod data;
mod table;
pub(crate) mod text;
pub(crate) mod verdict;

use std::iter;

use charts::{Column, Segment};
use data::{COVERAGE_LABELS, ERASURE_LABELS};
use table::{Cell, Head};
use text::{count, escape, number, percent, plain_time, short, time};
use verdict::{Finding, Level};

pub(crate) use data::{
    AGE_LABELS, Ages, Census, EpochRow, EpochState, Erasures, MasterKeyEnd, Month, PurposeRow, ReportData, Scheme,
    TableRow, Waiting,
};

/// The whole page.
pub(crate) fn page(data: &ReportData) -> String {
    let sections = [
        header(data),
        "<main>".to_owned(),
        verdict(&verdict::findings(data)),
        tiles(data),
        r#"<div class="cards">"#.to_owned(),
        column(&[ages(data), erasures(data), versions(data)]),
        column(&[coverage(data), not_final(data)]),
        epochs(data),
        "</div></main>".to_owned(),
    ]
    .join("\n");
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Key report, {}</title>
<style>
{}</style>
</head>
<body>
{}
{sections}
<footer><p>Counts and times only: this page names no subject and holds no key and no value.</p></footer>
</body>
</html>
"#,
        plain_time(data.generated_at),
        include_str!("style.css"),
        charts::PATTERNS,
    )
}

/// Side by side with the next one, where there is room.
fn column(cards: &[String]) -> String {
    format!(r#"<div class="column">{}</div>"#, cards.join("\n"))
}

fn header(data: &ReportData) -> String {
    let entry = |name: &str, html: &str| format!("<div><dt>{name}</dt><dd>{html}</dd></div>");
    let entries = [
        entry("Provider", &escape(data.provider.as_str())),
        entry("Key store", &escape(data.store.as_str())),
        entry("Journal", &escape(data.journal.as_str())),
        entry("Made by", &escape(&data.tool)),
    ];
    format!(
        r#"<header><div><h1>Key report</h1><p>{}</p></div><dl>{}</dl></header>"#,
        time(data.generated_at),
        entries.concat()
    )
}

fn verdict(findings: &[Finding]) -> String {
    let items: String = findings.iter().map(finding).collect();
    let worst = findings.iter().map(|finding| finding.level).min().unwrap_or(Level::Good);
    format!(
        r#"<section class="verdict {}" aria-labelledby="verdict"><h2 id="verdict">{}</h2><ul class="findings">{items}</ul></section>"#,
        class_of(worst),
        verdict::headline(findings)
    )
}

fn finding(finding: &Finding) -> String {
    let why = if finding.why.is_empty() { String::new() } else { format!("<p>{}</p>", escape(&finding.why)) };
    let commands: String = finding.commands.iter().map(|command| format!("<code>{}</code>", escape(command))).collect();
    let commands = if commands.is_empty() { commands } else { format!(r#"<div class="commands">{commands}</div>"#) };
    let (class, name) = (class_of(finding.level), name_of(finding.level));
    format!(
        r#"<li class="{class}"><span class="level"><span>{name}</span></span><div><h3>{}</h3>{why}</div>{commands}</li>"#,
        escape(&finding.what)
    )
}

fn class_of(level: Level) -> &'static str {
    match level {
        Level::Wrong => "wrong",
        Level::ToDo => "todo",
        Level::Note => "note",
        Level::Good => "good",
    }
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::Wrong => "Wrong",
        Level::ToDo => "To do",
        Level::Note => "Note",
        Level::Good => "Good",
    }
}

fn tiles(data: &ReportData) -> String {
    let sum = |of: fn(&EpochRow) -> u64| data::total(&data.epochs.iter().map(of).collect::<Vec<_>>());
    let done = data::total(&data.erasures.values().map(|month| month.done).collect::<Vec<_>>());
    let tile = |name: &str, n: u64| match n {
        ..100_000_000 => format!("<div><dt>{name}</dt><dd>{}</dd></div>", number(n)),
        _ => format!(r#"<div><dt>{name}</dt><dd title="{}">{}</dd></div>"#, number(n), short(n)),
    };
    let oldest = data.oldest_key.map_or_else(|| "none yet".to_owned(), time);
    let tiles = [
        tile("Slots with keys", sum(|epoch| epoch.slots)),
        tile("Data keys", sum(|epoch| epoch.keys.total())),
        tile("Erasures done", done),
        tile("Not final yet", data.not_final),
        tile("Subjects held", data.held),
        tile("Slots damaged", data.damaged),
        format!(r#"<div class="moment"><dt>Oldest key made</dt><dd>{oldest}</dd></div>"#),
    ];
    format!(r#"<dl class="tiles">{}</dl>"#, tiles.concat())
}

fn card(class: &str, title: &str, lead: &str, content: &str) -> String {
    format!(r#"<section class="card {class}"><h2>{title}</h2><p class="lead">{lead}</p>{content}</section>"#)
}

/// A chart of bars, each under its name.
fn labeled(name: &str, note: &str, bar: &str) -> String {
    let name = escape(name);
    format!(r#"<div class="labeled"><p><span class="name">{name}</span> <span>{note}</span></p>{bar}</div>"#)
}

fn nothing(text: &str) -> String {
    format!(r#"<p class="nothing">{text}</p>"#)
}

fn ages(data: &ReportData) -> String {
    let title = "Keys by epoch and age";
    let shown =
        || data.epochs.iter().rev().filter(|epoch| epoch.keys.total() > 0 || epoch.state != EpochState::Retired);
    let longest = shown().map(|epoch| epoch.keys.total()).max().unwrap_or(0);
    if longest == 0 {
        return card("", title, "Data keys, by the time since they were made.", &nothing("There are no keys yet."));
    }
    let bars: String = shown()
        .map(|epoch| {
            let name = format!("Epoch {}, {}", epoch.number, state_of(epoch.state));
            let parts = charts::parts(AGE_CLASSES, AGE_LABELS, epoch.keys.counts());
            labeled(&name, &count(epoch.keys.total(), "key", "keys"), &charts::bar(&name, &parts, longest))
        })
        .collect();
    let rows = shown().map(|epoch| (Cell::number(epoch.number.into()), epoch.keys.counts()));
    let figures = table::folded(&table::counts("Data keys by epoch and age", "Epoch", AGE_LABELS, rows));
    let legend = charts::legend(&charts::parts(AGE_CLASSES, AGE_LABELS, [0; 5]));
    card("", title, "Data keys, by the time since they were made.", &[legend, bars, figures].concat())
}

fn coverage(data: &ReportData) -> String {
    let title = "Rotation coverage";
    let Some(census) = &data.census else {
        let missing = nothing("No census was made. Run <code>keytool census</code>.");
        return card("", title, "Values by their key.", &missing);
    };
    let lead = format!("Values by their key, in the census of {}.", time(census.made_at));
    if census.tables.is_empty() {
        return card("", title, &lead, &nothing("No table is configured."));
    }
    let of = |row: &TableRow| charts::parts(COVERAGE_CLASSES, COVERAGE_LABELS, row.counts());
    let bars: String = census
        .tables
        .iter()
        .map(|row| {
            let note = match row.total() {
                0 => "empty".to_owned(),
                total => format!("{} current", percent(row.current, total)),
            };
            labeled(
                &row.table,
                &note,
                &[charts::bar(&row.table, &of(row), row.total()), charts::key(&of(row))].concat(),
            )
        })
        .collect();
    let rows = census.tables.iter().map(|row| (Cell::text(&row.table), row.counts()));
    let figures = table::folded(&table::counts("Values by table and key", "Table", COVERAGE_LABELS, rows));
    card("", title, &lead, &[bars, figures].concat())
}

fn erasures(data: &ReportData) -> String {
    let title = "Erasures by month";
    let lead = "Each once, in the month in which it was asked for (UTC), as it stands now.";
    if data.erasures.values().all(|month| month.total() == 0) {
        return card("", title, lead, &nothing("No erasure was asked for yet."));
    }
    let now = Month::of(data.generated_at);
    let mut months: Vec<_> = iter::successors(Some(now), |month| Some(month.before())).take(MONTHS_SHOWN).collect();
    months.reverse();
    let columns: Vec<_> = months
        .iter()
        .enumerate()
        .map(|(i, month)| Column {
            label: month.name().to_owned(),
            group: (month.name() == "Jan" || i == 0 && month.name() != "Dec").then(|| month.year().to_string()),
            title: month.text(),
            parts: of_month(data.erasures.get(month).copied().unwrap_or_default()),
        })
        .collect();
    let rows = data.erasures.iter().rev().map(|(month, erasures)| (Cell::text(&month.text()), erasures.counts()));
    let figures = table::folded(&table::counts("Erasures by month and state", "Month", ERASURE_LABELS, rows));
    let earlier = data.erasures.keys().any(|month| months.first().is_some_and(|first| month < first));
    let earlier = if earlier { r#"<p class="lead">Earlier months are among the figures.</p>"# } else { "" };
    let legend = charts::legend(&of_month(Erasures::default()));
    let chart = charts::columns(title, &columns);
    card("", title, lead, &[legend, chart, earlier.to_owned(), figures].concat())
}

fn of_month(erasures: Erasures) -> Vec<Segment<'static>> {
    charts::parts(ERASURE_CLASSES, ERASURE_LABELS, erasures.counts())
}

fn not_final(data: &ReportData) -> String {
    let title = "Not final yet";
    let lead = "Done, but copies of the destroyed keys in backups can be opened while these master keys live.";
    if data.waits.is_empty() {
        return card("", title, lead, &nothing("None: no master key is waited for."));
    }
    let most = data.waits.iter().map(|waiting| waiting.erasures).max().unwrap_or(0);
    let bars: String = data
        .waits
        .iter()
        .map(|waiting| {
            let name = format!("Master key of epoch {}", waiting.epoch);
            let part = Segment { class: class_of_end(waiting.end), label: "Erasures", value: waiting.erasures };
            let note = count(waiting.erasures, "erasure", "erasures");
            let end = format!(r#"<p class="lead">{}</p>"#, end_of(waiting));
            labeled(&name, &note, &[charts::bar(&name, &[part], most), end].concat())
        })
        .collect();
    let several = if data.waits.len() > 1 {
        r#"<p class="lead">An erasure that waits for several master keys is counted at each.</p>"#
    } else {
        ""
    };
    let heads = [Head::Text("Epoch"), Head::Figures("Erasures"), Head::Text("Its master key")];
    let rows = data.waits.iter().map(|waiting| {
        [Cell::number(waiting.epoch.into()), Cell::number(waiting.erasures), Cell::html(end_of(waiting))]
    });
    let figures = table::folded(&table::table("Erasures by the master key that they wait for", heads, rows));
    card("", title, lead, &[bars, several.to_owned(), figures].concat())
}

fn class_of_end(end: MasterKeyEnd) -> &'static str {
    match end {
        MasterKeyEnd::Lives => "waits",
        MasterKeyEnd::Scheduled { .. } => "scheduled",
        MasterKeyEnd::Unconfirmed => "pending",
    }
}

fn end_of(waiting: &Waiting) -> String {
    match waiting.end {
        MasterKeyEnd::Lives => format!("Lives. Ends by retiring epoch {}.", waiting.epoch),
        MasterKeyEnd::Scheduled { at } => format!("Ends by itself, on {}.", time(at)),
        MasterKeyEnd::Unconfirmed => "The provider could not say.".to_owned(),
    }
}

fn epochs(data: &ReportData) -> String {
    let title = "Epochs";
    let lead = "One master key each. Retiring an epoch destroys it, and with it every copy of what it wrapped.";
    if data.epochs.is_empty() {
        return card("wide", title, lead, &nothing("There is no epoch yet."));
    }
    let heads = [
        Head::Text("Epoch"),
        Head::Text("State"),
        Head::Text("Opened"),
        Head::Figures("Slots"),
        Head::Figures("Data keys"),
        Head::Text("Master key"),
    ];
    let rows = data.epochs.iter().rev().map(|epoch| {
        let state = state_of(epoch.state);
        [
            Cell::number(epoch.number.into()),
            Cell::html(format!(r#"<span class="state {state}">{state}</span>"#)),
            Cell::html(epoch.opened_at.map_or_else(|| "not known".to_owned(), time)),
            Cell::number(epoch.slots),
            Cell::number(epoch.keys.total()),
            Cell::html(format!("<code>{}</code>", escape(&epoch.master_key))),
        ]
    });
    card("wide", title, lead, &table::table("Epochs, the newest first", heads, rows))
}

fn versions(data: &ReportData) -> String {
    let title = "Versions by purpose";
    let lead = "Data keys that seal now, that will, and that only open what they sealed before.";
    if data.purposes.is_empty() {
        return card("", title, lead, &nothing("There are no keys yet."));
    }
    let labels = ["Pending", "Current", "Superseded"];
    let rows = data.purposes.iter().map(|row| (Cell::text(&row.purpose), [row.pending, row.current, row.superseded]));
    card("", title, lead, &table::counts("Versions by purpose and state", "Purpose", labels, rows))
}

fn state_of(state: EpochState) -> &'static str {
    match state {
        EpochState::Current => "current",
        EpochState::Live => "live",
        EpochState::Retired => "retired",
    }
}

/// Classes of `style.css`, in the order of the labels.
const AGE_CLASSES: [&str; 5] = ["age-0", "age-1", "age-2", "age-3", "age-4"];
const COVERAGE_CLASSES: [&str; 5] = ["current", "older", "newer", "destroyed", "not-held"];
const ERASURE_CLASSES: [&str; 4] = ["done", "pending", "scheduled", "cancelled"];
const MONTHS_SHOWN: usize = 12;
