//! What the page says, and what it never says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::page::text::{escape, number, percent, short, time};
use super::page::verdict::{Level, findings, headline};
use super::page::{Ages, EpochState, Erasures, MasterKeyEnd, Month, ReportData, Scheme, page};
use super::sample::{self, HOSTILE, at};

pub(super) fn text_from_outside_is_escaped() {
    assert_eq!(escape("<a href=\"x\" id='y'>&"), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
    // What turns the direction of the line, or can't stand in HTML.
    assert_eq!(escape("a\u{202e}b\0c"), "a\u{fffd}b\u{fffd}c");
    assert_eq!(escape("Zoë 日本"), "Zoë 日本");

    let page = page(&sample::hostile());
    assert!(!page.contains("<script") && !page.contains("<img"));
    // The tool, four epochs, two purposes; four tables by name, in their charts' titles, and among the figures.
    assert_eq!(page.matches(&escape(HOSTILE)).count(), 1 + 4 + 2 + 4 * 3);
}

/// By construction: the data has no field for an id, a tag or a value. Whoever adds a text meets this list.
pub(super) fn only_these_texts_reach_the_page() {
    let sources = ["data", "mod", "charts", "table", "text", "verdict"].map(|name| source(&format!("{name}.rs")));
    for source in &sources {
        let imports = source.lines().filter(|line| line.trim_start().starts_with("use ") && line.contains("fieldseal"));
        for import in imports {
            assert_eq!(import, "use fieldseal::clock::Timestamp;", "the page knows times alone");
        }
        assert!(!source.contains("fieldseal::") || source.contains("use fieldseal::clock::Timestamp;"));
    }
    let fields: Vec<_> = sources[0]
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub(crate) ")?.split_once(": "))
        .filter(|(name, _)| !name.contains(['(', ' ']))
        .collect();
    let numbers = ["u64", "u32", "u16", "u8", "Timestamp", "Option<Timestamp>"];
    let ours = ["Scheme", "EpochState", "Ages", "Option<Census>", "MasterKeyEnd", "BTreeMap<Month, Erasures>"];
    let rows = ["Vec<EpochRow>", "Vec<PurposeRow>", "Vec<TableRow>", "Vec<Waiting>"];
    let mut texts = Vec::new();
    for (name, kind) in &fields {
        match kind.trim_end_matches(',') {
            "String" => texts.push(*name),
            kind => assert!([&numbers[..], &ours, &rows].concat().contains(&kind), "{name}: {kind}"),
        }
    }
    assert_eq!(texts, ["tool", "master_key", "purpose", "table"]);
}

pub(super) fn a_scheme_is_all_that_is_shown_of_an_address() {
    let shown = |text| Scheme::of(text).as_str().to_owned();
    assert_eq!(shown("sqlite:keys.db"), "sqlite");
    assert_eq!(shown("postgres://ada:secret@db.example.com/keys"), "postgres");
    for other in ["", "keys.db", ":keys.db", "C:\\keys.db", "ada@example.com:keys", "<b>:x", "C:keys"] {
        assert_eq!(shown(other), "other", "{other}");
    }
}

pub(super) fn the_page_needs_nothing_but_itself() {
    let page = page(&sample::realistic());
    for loads in
        ["http:", "https:", "src=", "href=", "@import", "<script", "<link", "<img", "javascript:", "@font-face"]
    {
        assert!(!page.contains(loads), "{loads}");
    }
    let urls: Vec<_> = page.match_indices("url(").map(|(i, _)| &page[i..i + 5]).collect();
    assert!(!urls.is_empty() && urls.iter().all(|url| *url == "url(#"), "{urls:?}");
    for part in [
        "<!DOCTYPE html>\n<html lang=\"en\">",
        "content=\"default-src 'none'; style-src 'unsafe-inline'\"",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
        "<title>Key report, 2026-11-24 23:50 UTC</title>",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

pub(super) fn ages_end_where_the_next_begin() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const MS: Duration = Duration::from_millis(1);
    let made = at("2024-02-28T12:00:00.000Z");
    let counted = |age: Duration| {
        let mut ages = Ages::default();
        ages.add(made, made.plus(age));
        assert_eq!(ages.total(), 1);
        ages.counts().iter().position(|count| *count == 1).unwrap()
    };
    for (bucket, days) in [7, 30, 90, 365].into_iter().enumerate() {
        assert_eq!(counted(DAY * days - MS), bucket, "{days} days are not over");
        assert_eq!(counted(DAY * days), bucket + 1, "{days} days are over");
    }
    assert_eq!(counted(Duration::ZERO), 0);
    assert_eq!(counted(DAY * 100_000), 4);
    // Made by a clock that is ahead.
    let mut ages = Ages::default();
    ages.add(made.plus(DAY), made);
    assert_eq!(ages.counts(), [1, 0, 0, 0, 0]);
    // Whatever is too much stays the greatest number.
    assert_eq!(Ages::from([u64::MAX, 1, 0, 0, 0]).total(), u64::MAX);
}

pub(super) fn months_are_those_of_utc() {
    let last = Month::of(at("2025-12-31T23:59:59.999Z"));
    let next = Month::of(at("2026-01-01T00:00:00.000Z"));
    assert_eq!((last.text().as_str(), last.name(), last.year()), ("2025-12", "Dec", 2025));
    assert_eq!((next.text().as_str(), next.name(), next.year()), ("2026-01", "Jan", 2026));
    assert!(last < next && next.before() == last && last.before().text() == "2025-11");
}

pub(super) fn numbers_are_grouped_by_thin_spaces() {
    let spaced = |n| number(n).replace('\u{202f}', "_");
    let written = [0, 999, 1000, 12_345, 123_456, 1_000_000_000, u64::MAX].map(spaced);
    assert_eq!(written, ["0", "999", "1_000", "12_345", "123_456", "1_000_000_000", "18_446_744_073_709_551_615"]);
    let moment = time(at("2026-11-24T23:50:59.999Z"));
    assert_eq!(moment, "<time datetime=\"2026-11-24T23:50:59.999Z\">2026-11-24 23:50 UTC</time>");
}

pub(super) fn short_numbers_have_four_characters() {
    let written = [0, 999, 1000, 1099, 1100, 9999, 10_000, 999_999, 1_000_000, 2_500_000_000, u64::MAX].map(short);
    assert_eq!(written, ["0", "999", "1k", "1k", "1.1k", "9.9k", "10k", "999k", "1M", "2.5G", "18E"]);
}

pub(super) fn only_all_is_a_hundred_percent() {
    let written = |part, whole| percent(part, whole).replace('\u{202f}', "_");
    assert_eq!(written(0, 0), "0_%");
    assert_eq!(written(0, 5), "0_%");
    assert_eq!(written(1, 1_000_000_000), "0.1_%");
    assert_eq!(written(999_999_999, 1_000_000_000), "99.9_%");
    assert_eq!(written(1, 2), "50_%");
    assert_eq!(written(u64::MAX, u64::MAX), "100_%");
}

pub(super) fn an_empty_store_has_nothing_to_do() {
    let empty = sample::empty();
    assert_eq!(headline(&findings(&empty)), "Nothing to do");
    assert_eq!(told(&empty), ["No census was made"]);
    let page = page(&empty);
    for text in ["There are no keys yet.", "No erasure was asked for yet.", "There is no epoch yet.", "none yet"] {
        assert!(page.contains(text), "{text}");
    }
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

pub(super) fn a_store_in_order_is_told_so() {
    let data = in_order();
    assert_eq!(headline(&findings(&data)), "Nothing to do");
    assert_eq!(
        told(&data),
        [
            "All keys are in the current epoch",
            "All values that open are under their current key",
            "Every erasure that is done is final",
        ]
    );
    assert!(findings(&data).iter().all(|finding| finding.level == Level::Good && finding.commands.is_empty()));
}

pub(super) fn each_trouble_is_told_with_its_command() {
    type Change = fn(&mut ReportData);
    let troubles: [(Change, &str, &[&str]); 12] = [
        (|data| data.damaged = 2, "2 slots are damaged", &["keytool journal replay"]),
        (|data| data.due = 1, "1 erasure is due", &["keytool sweep"]),
        (|data| data.held = 1200, "1_200 subjects are held", &["keytool release SUBJECT"]),
        (|data| data.census = None, "No census was made", &["keytool census"]),
        (|data| table(data).older = 3, "3 values are under an older key", &["keytool reseal"]),
        (|data| table(data).newer = 1, "1 value is under a key that is newer than the current one", &[]),
        (|data| table(data).destroyed = 4, "4 values are under destroyed keys", &[]),
        (|data| table(data).not_held = 1, "1 value names a key that the store does not hold", &[]),
        (|data| month(data).pending = 1, "1 erasure is begun and not done", &["keytool sweep"]),
        (|data| add_epoch(data, EpochState::Live, 5), "5 slots are in an older epoch", &["keytool rewrap"]),
        (|data| add_epoch(data, EpochState::Retired, 1), "1 slot is in a retired epoch", &["keytool rewrap"]),
        (
            |data| wait(data, MasterKeyEnd::Unconfirmed),
            "3 erasures are not final yet: ask the provider again",
            &["keytool report"],
        ),
    ];
    for (change, what, commands) in troubles {
        let mut data = in_order();
        change(&mut data);
        let all = findings(&data);
        let told = all.iter().find(|finding| plain(&finding.what) == what);
        let told = told.unwrap_or_else(|| panic!("{what}: {all:#?}"));
        assert_eq!(told.commands, commands, "{what}");
        assert!(told.level < Level::Good && told.level == all[0].level, "{what}: the worst comes first");
        assert!(page(&data).contains(&told.what), "{what}");
    }
    let mut data = in_order();
    (data.damaged, data.due) = (1, 1);
    assert_eq!(plain(&headline(&findings(&data))), "1 thing is wrong, 1 to do");
    data.damaged = 0;
    assert_eq!(plain(&headline(&findings(&data))), "1 thing to do");
}

pub(super) fn the_way_to_retire_an_epoch_begins_where_the_epoch_is() {
    let commands = |epoch: u32, state, slots| {
        let mut data = in_order();
        add_epoch(&mut data, state, slots);
        wait(&mut data, MasterKeyEnd::Lives);
        data.waits[0].epoch = epoch;
        let what = format!("3 erasures are not final yet: retire epoch {epoch}");
        let told = findings(&data).into_iter().find(|finding| plain(&finding.what) == what);
        told.unwrap().commands
    };
    let [advance, rewrap] = ["keytool advance-epoch --add-key", "keytool rewrap"];
    assert_eq!(commands(3, EpochState::Live, 0), ["keytool retire-epoch 3"]);
    assert_eq!(commands(3, EpochState::Live, 7), [rewrap, "keytool retire-epoch 3"]);
    assert_eq!(commands(4, EpochState::Live, 0), [advance, rewrap, "keytool retire-epoch 4"]);
    // One that the store doesn't know any more: of a time before a restore.
    assert_eq!(commands(9, EpochState::Live, 0), ["keytool retire-epoch 9"]);

    let mut data = in_order();
    wait(&mut data, MasterKeyEnd::Scheduled { at: at("2026-12-20T04:00:00.000Z") });
    let [first, ..] = &findings(&data)[..] else { panic!("something is told") };
    assert_eq!(plain(&first.what), "3 erasures are not final yet: wait until 2026-12-20 04:00 UTC");
    assert!(first.level == Level::Note && first.commands.is_empty());
}

pub(super) fn an_epoch_that_nothing_needs_is_to_be_retired() {
    let mut data = in_order();
    add_epoch(&mut data, EpochState::Live, 0);
    assert!(told(&data).contains(&"Epoch 3 is empty: retire it".to_owned()));
    // Once is enough.
    wait(&mut data, MasterKeyEnd::Lives);
    data.waits[0].epoch = 3;
    assert!(!told(&data).contains(&"Epoch 3 is empty: retire it".to_owned()));
    let mut data = in_order();
    add_epoch(&mut data, EpochState::Retired, 0);
    assert!(!told(&data).iter().any(|what| what.contains("is empty")));
}

pub(super) fn no_census_is_no_coverage() {
    let without = page(&ReportData { census: None, ..in_order() });
    assert!(without.contains("No census was made. Run <code>keytool census</code>."));
    assert!(!without.contains("Values by table and key"));
    assert!(page(&in_order()).contains("Values by table and key"));
}

pub(super) fn each_chart_says_its_figures_in_words() {
    let page = plain(&page(&sample::realistic()));
    for words in [
        "<title>Epoch 3, live</title><desc>&lt; 3 months 310, &lt; 1 year 9_644, Older 7_201</desc>",
        "<title>customer</title><desc>Current key 702_318, Older 34_120, Destroyed 5_212</desc>",
        "<title>Master key of epoch 2</title><desc>Erasures 187</desc>",
        "2026-11: Done 38, Scheduled 64, Cancelled 9</desc>",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert_eq!(page.matches("role=\"img\"").count(), page.matches("<desc>").count());
    assert_eq!(page.matches("<details>").count(), 4, "the figures of each chart are in a table");
}

pub(super) fn what_is_little_is_seen_and_what_is_nothing_is_not() {
    let mut data = in_order();
    *table(&mut data) = super::page::TableRow {
        table: "t".to_owned(),
        current: 1_000_000_000,
        older: 1,
        newer: 0,
        destroyed: 0,
        not_held: 0,
    };
    let page = page(&data);
    let bar = page.split("<title>t</title>").nth(1).and_then(|rest| rest.split("</svg>").next()).unwrap();
    let widths: Vec<f64> =
        bar.split(" width=\"").skip(1).map(|rest| rest.split('%').next().unwrap().parse().unwrap()).collect();
    assert_eq!(widths.len(), 2, "{bar}");
    assert!(widths[1] >= 1.0 && (widths.iter().sum::<f64>() - 100.0).abs() < 0.01, "{widths:?}");
}

pub(super) fn months_without_erasures_are_shown_and_older_ones_are_tabled() {
    let mut data = in_order();
    data.generated_at = at("2026-02-03T00:00:00.000Z");
    let done = |n| Erasures { done: n, ..Erasures::default() };
    data.erasures = BTreeMap::from([
        (Month::of(at("2024-07-01T00:00:00.000Z")), done(77)),
        (Month::of(data.generated_at), done(5)),
    ]);
    let page = page(&data);
    let chart = page.split("<svg class=\"columns\"").nth(1).and_then(|rest| rest.split("</svg>").next()).unwrap();
    for month in ["Mar", "Apr", "Oct", "Dec", "Jan", "Feb"] {
        assert!(chart.contains(&format!(">{month}</text>")), "{month}");
    }
    assert_eq!(chart.matches("<rect").count(), 1);
    assert!(chart.contains(">2025</text>") && chart.contains(">2026</text>") && !chart.contains("77"));
    assert!(page.contains("2024-07") && page.contains("Earlier months are among the figures."));
}

/// WCAG 2.2: 4.5 for text, 3 for what a chart is made of.
pub(super) fn colors_have_contrast() {
    let css = source("style.css");
    let (light, dark) = css.split_once("@media screen and (prefers-color-scheme: dark)").unwrap();
    let dark = dark.split("\n}\n").next().unwrap();
    for (scheme, css) in [("light", light), ("dark", dark)] {
        let colors: BTreeMap<_, _> = css
            .lines()
            .filter_map(|line| line.trim().strip_prefix("--")?.strip_suffix(';')?.split_once(": #"))
            .map(|(name, hex)| (name, luminance(hex)))
            .collect();
        let check = |names: &[&str], grounds: &[&str], least: f64| {
            for (name, ground) in names.iter().flat_map(|name| grounds.iter().map(move |ground| (name, ground))) {
                let (a, b) = (colors[name], colors[ground]);
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= least, "{scheme}: --{name} on --{ground} has {contrast:.2}");
            }
        };
        check(&["text", "soft"], &["page", "card", "code"], 4.5);
        check(&["good", "todo", "wrong", "note"], &["card"], 4.5);
        check(
            &["age-0", "age-1", "age-2", "age-3", "age-4", "calm", "fine", "late", "bad", "gone", "ahead"],
            &["card"],
            3.0,
        );
        // Ages are told apart by their lightness alone.
        let ages: Vec<_> = (0..5).map(|i| colors[format!("age-{i}").as_str()]).collect();
        for pair in ages.windows(2) {
            let step = (pair[0].max(pair[1]) + 0.05) / (pair[0].min(pair[1]) + 0.05);
            assert!(step > 1.3, "{scheme}: ages are {step:.2} apart");
        }
    }
}

fn luminance(hex: &str) -> f64 {
    let channel = |i: usize| {
        let c = f64::from(u8::from_str_radix(&hex[i..i + 2], 16).unwrap()) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

fn source(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
    fs::read_to_string(folder.join(name)).unwrap()
}

/// Nothing is to be done, and nothing is to be noted.
fn in_order() -> ReportData {
    let mut data = sample::single();
    (data.due, data.held, data.damaged, data.not_final) = (0, 0, 0, 0);
    data.waits.clear();
    data
}

fn table(data: &mut ReportData) -> &mut super::page::TableRow {
    &mut data.census.as_mut().unwrap().tables[0]
}

fn month(data: &mut ReportData) -> &mut Erasures {
    data.erasures.values_mut().next().unwrap()
}

/// Epoch 3, before the current one, which is 4.
fn add_epoch(data: &mut ReportData, state: EpochState, slots: u64) {
    let epoch = super::page::EpochRow { number: 3, state, slots, ..data.epochs[0].clone() };
    data.epochs.insert(0, epoch);
}

fn wait(data: &mut ReportData, end: MasterKeyEnd) {
    data.not_final = 3;
    data.waits = vec![super::page::Waiting { erasures: 3, epoch: 4, end }];
}

fn told(data: &ReportData) -> Vec<String> {
    findings(data).into_iter().map(|finding| plain(&finding.what)).collect()
}

/// With thin spaces as underscores and unbroken ones as spaces.
fn plain(text: &str) -> String {
    text.replace('\u{202f}', "_").replace('\u{a0}', " ")
}
