//! A runbook out of a page: the commands that an operator types, in order, and what they print.
//!
//! A block that begins with three backticks and `sh` is commands. The block after it is their output if it begins with `text`:
//! all of it, but for lines that are left out, as `..` says, and for what is another each time ([`alike`]).

use std::fs;
use std::path::Path;

use super::PAGES;

/// Commands that stand in one block, and their output where the page shows it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) commands: String,
    pub(crate) output: Option<String>,
}

/// Everything of a page, or of one of its sections, that an operator types.
pub(crate) fn runbook(page: &str, section: Option<&str>) -> Vec<Step> {
    let text = read(page);
    let steps = steps(part(&text, section));
    assert!(!steps.is_empty(), "{page} {section:?} has no commands");
    steps
}

/// Whether a block prints what the page shows.
pub(crate) fn fits(shown: &str, printed: &str) -> bool {
    let lines = |text: &str| alike(text).trim_end().lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
    matches(&lines(shown), &lines(printed))
}

/// Moments, names of master keys, tags and ids of keys are another each time: of each only the form is compared.
pub(crate) fn alike(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let varies = VARIES.iter().find_map(|(name, len)| Some((name, len(rest)?)));
        let in_word = out.chars().next_back().is_some_and(char::is_alphanumeric);
        match varies.filter(|_| !in_word) {
            Some((name, len)) => {
                out.push_str(name);
                rest = &rest[len..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

type Len = fn(&str) -> Option<usize>;

/// What stands for what varies, and how long it is where a text begins with it.
const VARIES: &[(&str, Len)] = &[
    ("<moment>", |text| form(text, "dddd-dd-dd dd:dd UTC")),
    ("<moment>", |text| form(text, "dddd-dd-ddTdd:dd:dd.dddZ")),
    ("<master key>", |text| form(text, "local-xxxxxxxxxxxxxxxx")),
    ("<id>", |text| {
        let len = text.bytes().take_while(|c| c.is_ascii_hexdigit()).count();
        (len >= 32).then_some(len)
    }),
];

/// How long the form is, if a text begins with it: `d` is a digit, `x` one of a hexadecimal number, all else itself.
fn form(text: &str, form: &str) -> Option<usize> {
    let fits = |(c, form): (u8, u8)| match form {
        b'd' => c.is_ascii_digit(),
        b'x' => c.is_ascii_hexdigit(),
        form => c == form,
    };
    (text.len() >= form.len() && text.bytes().zip(form.bytes()).all(fits)).then_some(form.len())
}

/// `..` in a line of its own stands for any lines.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown {
        [] => printed.is_empty(),
        [gap, rest @ ..] if gap == ".." => {
            (0..=printed.len()).any(|skip| printed.get(skip..).is_some_and(|printed| matches(rest, printed)))
        }
        [line, rest @ ..] => {
            printed.split_first().is_some_and(|(first, others)| first == line && matches(rest, others))
        }
    }
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut last_was_commands = false;
    for (kind, body) in blocks(text) {
        match (kind, steps.last_mut()) {
            ("sh", _) => steps.push(Step { commands: body.to_owned(), output: None }),
            ("text", Some(step)) if last_was_commands => step.output = Some(body.to_owned()),
            _ => {}
        }
        last_was_commands = kind == "sh";
    }
    steps
}

/// The fenced blocks: what stands behind the fence, and what is in the block.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let parts: Vec<&str> = text.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    parts.iter().skip(1).step_by(2).filter_map(|block| block.split_once('\n')).collect()
}

/// A section goes from its heading to the next of the same depth.
fn part<'a>(text: &'a str, section: Option<&str>) -> &'a str {
    let Some(section) = section else { return text };
    let heading = format!("\n## {section}\n");
    let (_, from) = text.split_once(&heading).unwrap_or_else(|| panic!("there is no section {section:?}"));
    from.split_once("\n## ").map_or(from, |(section, _)| section)
}

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page)).unwrap()
}

pub(super) fn every_page_is_run_to_its_last_block() {
    for page in PAGES {
        let text = read(page);
        let commands = text.matches("```sh\n").count();
        let of_parts: usize = match *page {
            // Each of its sections is a bad day of its own.
            "emergency.md" => super::emergency::DAYS.iter().map(|day| runbook(page, Some(day)).len()).sum(),
            _ => runbook(page, None).len(),
        };
        assert_eq!(of_parts, commands, "{page} has commands that are not run");
    }
}

pub(super) fn what_varies_is_compared_by_its_form_and_all_else_as_it_is() {
    let shown = "Epoch 2 is open, under master key local-9cc5d6e00297a647.\n..\nsince 2026-11-20 07:30 UTC";
    let printed = "Epoch 2 is open, under master key local-0000000000000001.\nmore\n\nsince 2031-01-02 03:04 UTC\n";
    assert!(fits(shown, printed));
    for wrong in [
        printed.replace("Epoch 2", "Epoch 3"),
        printed.replace("local-0000000000000001", "local-1"),
        printed.replace("03:04 UTC", "noon"),
        format!("{printed}and more"),
        format!("first\n{printed}"),
    ] {
        assert!(!fits(shown, &wrong), "{wrong}");
    }
    assert_eq!(alike("of a65e2e2ca3b3949ea4305a6e6b2ed251, not beef"), "of <id>, not beef");
}
