//! `docs/keytool.md`, held to the tool: its commands, options, exit codes and configuration.

use super::*;

const MANUAL: &str = include_str!("../../../../../docs/keytool.md");

fn help(folder: &Folder, args: &[&str]) -> String {
    folder.run(&[args, &["--help"]].concat()).done().out
}

/// The names in the list of commands of a help text.
pub(super) fn commands(help: &str) -> Vec<String> {
    let (_, rest) = help.split_once("Commands:\n").unwrap_or_default();
    let (list, _) = rest.split_once("\n\n").unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The long options of a help text: each begins a line.
fn options(help: &str) -> Vec<String> {
    // A line of prose may begin with an option, in code marks.
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-') && !line.contains('`'));
    let words = lines.filter_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("--")));
    words.map(str::to_owned).filter(|name| !["help", "version"].contains(&name.as_str())).collect()
}

/// What the manual has under a heading, down to the next one.
fn section(heading: impl Fn(&str) -> bool) -> Option<&'static str> {
    let mut parts = MANUAL.split("\n##").map(|part| part.trim_start_matches('#').trim_start());
    parts.find(|part| heading(part.lines().next().unwrap_or_default()))
}

pub(super) fn every_command_and_option_is_in_the_manual() {
    let folder = Folder::bare();
    let (mut seen, mut to_see) = (0, vec![Vec::<String>::new()]);
    while let Some(path) = to_see.pop() {
        let text = help(&folder, &path.iter().map(String::as_str).collect::<Vec<_>>());
        let below = commands(&text);
        if below.is_empty() {
            let name = format!("`keytool {}`", path.join(" "));
            let own = section(|heading| heading.contains(&name)).unwrap_or_else(|| panic!("{name} has no heading"));
            let common = section(|heading| heading == "What all commands have in common").unwrap();
            let tables = section(|heading| heading == "Commands on tables").unwrap();
            let goes_through_tables = text.contains("--table");
            for option in options(&text) {
                let told = format!("--{option}");
                let told =
                    own.contains(&told) || common.contains(&told) || goes_through_tables && tables.contains(&told);
                assert!(told, "--{option} of {name} is not in its section");
            }
            seen += 1;
        }
        to_see.extend(below.into_iter().map(|name| [path.as_slice(), &[name]].concat()));
    }
    let headings = MANUAL.lines().filter(|line| line.starts_with("### ")).flat_map(|line| line.split("`keytool "));
    assert_eq!(headings.count() - MANUAL.matches("\n### ").count(), seen, "the manual has a command that there is not");
}

pub(super) fn every_example_of_the_manual_is_a_command_line() {
    let folder = Folder::bare();
    let mut tried = 0;
    for block in MANUAL.split("```sh\n").skip(1) {
        let lines = block.split("```").next().unwrap().lines();
        for line in lines.filter_map(|line| line.strip_prefix("keytool ")) {
            let line = line.split(" #").next().unwrap().split(['<', '>']).next().unwrap();
            // What is wrong with an option, or with its value, is told before the help is given.
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("\"$0\" {line} --help")]).arg(crate::folder::TOOL).current_dir(&folder.dir);
            assert!(Ran::of(&mut shell).done().out.contains("Usage: keytool"), "{line}");
            tried += 1;
        }
    }
    assert!(tried > 30, "{tried}");
}

pub(super) fn the_exit_codes_are_those_of_the_help() {
    let help = help(&Folder::bare(), &[]);
    let (_, codes) = help.split_once("Exit codes:\n").unwrap();
    let mut told = 0;
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let meaning = meaning.replace("docs/restore.md", "[restore.md](restore.md)");
        assert!(MANUAL.contains(&format!("\n| {code} | {meaning} |\n")), "{code} {meaning}");
        told += 1;
    }
    assert_eq!(told, 9);
}

pub(super) fn the_configuration_of_the_manual_is_one_and_tells_every_key() {
    let (_, rest) = MANUAL.split_once("```toml\n").unwrap();
    let (block, rest) = rest.split_once("```").unwrap();
    let table = rest.split("\n## ").next().unwrap();
    let folder = Folder::bare();
    folder.configure(block);
    let ran = Ran::of(folder.command().args(["init", "--dry-run"]).env("KEYRING_PASSPHRASE", "correct horse"));
    ran.done();
    let keys = block.lines().filter_map(|line| line.split(" = ").next()).filter(|key| !key.is_empty());
    for key in keys {
        assert!(table.contains(&format!("\n| `{key}` |")), "{key} is not in the table");
    }
    // A key that the table tells and the tool does not know.
    for line in table.lines().filter_map(|line| line.strip_prefix("| `")) {
        let key = line.split('`').next().unwrap();
        assert!(block.contains(key) || key == "unbound", "{key} is in no example");
    }
}
