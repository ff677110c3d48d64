//! `docs/keytool.md`, held to the tool: its commands, options, exit codes and configuration.

use super::*;

const MANUAL: &str = include_str!("../../docs/keytool.md");

fn help(place: &Place, args: &[&str]) -> String {
    place.run(&[args, &["--help"]].concat()).done().out
}

/// The names in the list of commands of a help text.
fn commands(help: &str) -> Vec<String> {
    let (_, rest) = help.split_once("Commands:\n").unwrap_or_default();
    let (list, _) = rest.split_once("\n\n").unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.map(|line| line.split_whitespace().next().unwrap().to_owned());
    names.filter(|name| name != "help").collect()
}

/// The long options of a help text.
fn options(help: &str) -> Vec<String> {
    let words = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let names = words.map(|word| word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect::<String>());
    names.filter(|name| !["help", "version", ""].contains(&name.as_str())).collect()
}

#[test]
fn every_command_and_option_is_in_the_manual() {
    let place = Place::bare();
    let (mut seen, mut to_see) = (0, vec![Vec::<String>::new()]);
    while let Some(path) = to_see.pop() {
        let text = help(&place, &path.iter().map(String::as_str).collect::<Vec<_>>());
        for option in options(&text) {
            assert!(MANUAL.contains(&format!("--{option}")), "--{option} of {path:?} is not in the manual");
        }
        let below = commands(&text);
        if below.is_empty() {
            let name = format!("`keytool {}`", path.join(" "));
            assert!(
                MANUAL.lines().any(|line| line.starts_with("### ") && line.contains(&name)),
                "{name} has no heading"
            );
            seen += 1;
        }
        to_see.extend(below.into_iter().map(|name| [path.as_slice(), &[name]].concat()));
    }
    let headings = MANUAL.lines().filter(|line| line.starts_with("### ")).flat_map(|line| line.split("`keytool "));
    assert_eq!(headings.count() - MANUAL.matches("\n### ").count(), seen, "the manual has a command that there is not");
}

#[test]
fn the_exit_codes_are_those_of_the_help() {
    let help = help(&Place::bare(), &[]);
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

#[test]
fn the_configuration_of_the_manual_is_one_and_tells_every_key() {
    let (_, rest) = MANUAL.split_once("```toml\n").unwrap();
    let (block, table) = rest.split_once("```").unwrap();
    let place = Place::bare();
    place.configure(block);
    let ran = Ran::of(place.command().args(["init", "--dry-run"]).env("KEYRING_PASSPHRASE", "correct horse"));
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
