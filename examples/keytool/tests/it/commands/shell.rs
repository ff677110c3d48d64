//! What makes the tool at home in a shell: its version, completions and manual pages.

use std::process::Command;

use super::*;

/// Every command, as the help lists them.
fn commands(folder: &Folder) -> Vec<String> {
    super::manual::commands(&folder.run(&["--help"]).done().out)
}

pub(super) fn the_version_is_the_packages() {
    let folder = Folder::bare();
    let version = format!("keytool {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(folder.run(&["--version"]).done().out, version);
    assert_eq!(folder.run(&["-V"]).done().out, version);
}

pub(super) fn each_shell_is_told_every_command() {
    let folder = Folder::bare();
    fs::remove_file(folder.path("keytool.toml")).unwrap(); // it is not needed
    let commands = commands(&folder);
    assert!(commands.len() > 20 && commands.iter().any(|name| name == "rotate-subject"), "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = folder.run(&["completions", shell]).done().out;
        assert!(!script.contains("\\u00"), "{shell}: no character of the script was escaped");
        for name in commands.iter().map(String::as_str).chain(["--dry-run", "--config"]) {
            let name = if shell == "fish" { name.trim_start_matches('-') } else { name };
            assert!(script.contains(name), "{shell}: {name}");
        }
        let json = folder.run(&["completions", shell, "--json"]).done().json();
        assert_eq!((json["shell"].as_str(), json["script"].as_str()), (Some(shell), Some(&*script)));
    }
    folder.run(&["completions", "dos"]).exits(2);
    folder.run(&["completions"]).exits(2);
}

/// bash is the shell that is everywhere.
pub(super) fn bash_completes_a_command_and_its_options() {
    let folder = Folder::bare();
    let complete = |words: &[&str]| {
        let script = format!(
            "source <(\"$0\" completions bash); COMP_WORDS=({}); COMP_CWORD={}; _keytool keytool {:?} {:?}; \
             echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let mut bash = Command::new("bash");
        Ran::of(bash.args(["--norc", "-c", &script]).arg(crate::folder::TOOL).current_dir(&folder.dir)).done().out
    };
    assert_eq!(complete(&["keytool", "rot"]), "rotate-subject\n");
    assert_eq!(complete(&["keytool", "receipt", "v"]), "verify\n");
    assert_eq!(complete(&["keytool", "erase", "--rec"]), "--receipt\n");
}

pub(super) fn there_is_a_manual_page_for_each_command() {
    let folder = Folder::bare();
    fs::remove_file(folder.path("keytool.toml")).unwrap();
    let page = folder.run(&["man"]).done().out;
    assert!(page.contains(".TH keytool 1") && page.contains("Exit codes:"), "{page}");
    assert_eq!(folder.run(&["man", "--json"]).done().json()["page"].as_str(), Some(&*page));
    folder.run(&["man", "--output", "pages"]).fails(4, "can't write the manual pages into pages");
    fs::create_dir(folder.path("pages")).unwrap();
    for _ in 0..2 {
        folder.run(&["man", "--output", "pages"]).done(); // and replaces them
    }
    assert_eq!(fs::read_to_string(folder.path("pages/keytool.1")).unwrap().trim_end(), page.trim_end());
    for name in commands(&folder).iter().map(String::as_str).chain(["journal-verify", "receipt-verify"]) {
        let page = fs::read_to_string(folder.path(&format!("pages/keytool-{name}.1")));
        let page = page.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(&format!(".TH keytool-{name} 1")) && page.contains("\\-\\-config"), "{page}");
    }
}
