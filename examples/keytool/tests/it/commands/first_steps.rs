//! `init`: what it makes, completes and refuses; and how a keyring is protected.

use super::*;

const MADE: [&str; 4] = ["erasures.journal", "keys.db", "keytool.toml", "master.keyring"];

pub(super) fn one_command_makes_everything_that_a_vault_needs() {
    let folder = Folder { dir: tempfile::tempdir().unwrap() };
    folder.run(&["init"]).fails(2, "`keytool init --write-config` makes one");
    assert!(folder.files().is_empty());
    let ran = folder.run(&["init", "--write-config"]).done();
    for part in ["keyring", "journal", "store", "vault"] {
        assert!(ran.out.contains(part), "{ran:?}");
    }
    for file in MADE {
        assert_eq!(folder.mode(file), 0o600, "{file}");
    }
    folder.run(&["status"]).done();
    folder.run(&["init"]).fails(3, "there already");
}

pub(super) fn what_is_there_is_kept_and_what_a_crash_left_out_is_made() {
    let folder = Folder::new();
    let keyring = fs::read(folder.path("master.keyring")).unwrap();
    for (crashed_before, missing) in
        [("keys.db", vec!["store", "vault"]), ("erasures.journal", vec!["journal", "store", "vault"])]
    {
        let made_later = [crashed_before, "keys.db"];
        let later = folder.files().into_iter().filter(|name| made_later.iter().any(|of| name.starts_with(of)));
        later.for_each(|name| fs::remove_file(folder.path(&name)).unwrap());
        let left = folder.files();
        let dry = folder.run(&["init", "--dry-run", "--json"]).done().json();
        assert_eq!((&dry["made"], &dry["dry_run"]), (&serde_json::json!(missing), &Value::Bool(true)));
        assert_eq!(folder.files(), left, "a dry run makes nothing");
        let ran = folder.run(&["init", "--write-config", "--json"]).done();
        assert_eq!(ran.json()["made"], serde_json::json!(missing));
        assert_eq!(fs::read(folder.path("master.keyring")).unwrap(), keyring);
        assert_eq!(fs::read_to_string(folder.path("keytool.toml")).unwrap(), CONFIG);
    }
}

pub(super) async fn what_was_lost_is_not_made_anew() -> Result {
    for (lost, why) in [
        ("master.keyring", "put it back"),
        ("erasures.journal", "put it back"),
        ("keys.db", "restore it from a backup"),
    ] {
        let folder = Folder::with_subjects().await?;
        let names = folder.files().into_iter().filter(|name| name.starts_with(lost));
        names.for_each(|name| fs::remove_file(folder.path(&name)).unwrap());
        let left = folder.files();
        folder.run(&["init"]).fails(5, why);
        let error = folder.run(&["init", "--json"]).exits(5).error();
        assert!(error["kind"].as_str().unwrap().ends_with("_missing"));
        assert_eq!(folder.files(), left, "without {lost} nothing is made");
    }
    Ok(())
}

pub(super) fn the_written_configuration_is_valid_also_with_its_examples() {
    let folder = Folder { dir: tempfile::tempdir().unwrap() };
    folder.run(&["init", "--write-config"]).done();
    let written = fs::read_to_string(folder.path("keytool.toml")).unwrap();
    let taken_in = |line: &str| {
        let is_example = ["# [[", "# max_age", "# database"].iter().any(|start| line.starts_with(start))
            || line.starts_with("# ") && line.contains("  = ")
            || line.starts_with("# subject =");
        if is_example { line.trim_start_matches("# ").to_owned() } else { line.to_owned() }
    };
    let whole: Vec<String> = written.lines().map(taken_in).collect();
    assert!(whole.iter().any(|line| line == "[[table.field]]") && whole.iter().any(|line| line.starts_with("subject")));
    folder.configure(&whole.join("\n"));
    folder.run(&["status"]).done();
}

pub(super) fn a_passphrase_is_taken_from_the_environment_or_a_file() {
    let folder = Folder::bare();
    folder.configure(&format!("passphrase = {{ env = \"KEYRING_PASSPHRASE\" }}\n{CONFIG}"));
    let with = |passphrase: &str, args: &[&str]| {
        let ran = Ran::of(folder.command().args(args).env("KEYRING_PASSPHRASE", passphrase));
        assert!(!ran.out.contains(passphrase) && !ran.err.contains(passphrase), "{ran:?}");
        ran
    };
    folder.run(&["init"]).fails(2, "KEYRING_PASSPHRASE");
    assert_eq!(folder.files(), ["keytool.toml"]);
    with("correct horse", &["init"]).done();
    let keyring = fs::read_to_string(folder.path("master.keyring")).unwrap();
    assert!(keyring.contains("argon2id"), "{keyring}");
    with("correct horse", &["status"]).done();
    with("wrong donkey", &["status"]).fails(2, "the passphrase is not that of this keyring");
    assert_eq!(with("wrong donkey", &["status", "--json"]).exits(2).error()["kind"], "provider_denied");

    folder.configure(&format!("passphrase = {{ file = \"secret\" }}\n{CONFIG}"));
    folder.run(&["status"]).fails(4, "the passphrase's file");
    fs::write(folder.path("secret"), "correct horse\n").unwrap();
    folder.run(&["status"]).done();
    fs::write(folder.path("secret"), "\n").unwrap();
    folder.run(&["status"]).fails(2, "1 to 4096 bytes");

    folder.configure(CONFIG);
    folder.run(&["status"]).fails(2, "protected by a passphrase");
}

pub(super) fn paths_are_relative_to_the_file_that_has_them() {
    let folder = Folder::bare();
    let elsewhere = tempfile::tempdir().unwrap();
    let config = folder.path("keytool.toml");
    let run = |args: &[&str]| {
        Ran::of(folder.command().current_dir(elsewhere.path()).args(["--config", config.to_str().unwrap()]).args(args))
    };
    run(&["init"]).done();
    run(&["status"]).done();
    assert!(folder.has("keys.db") && fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

pub(super) fn a_file_that_is_missing_is_named_and_not_made() {
    let folder = Folder::new();
    for (file, what) in [("master.keyring", "keyring"), ("keys.db", "key store"), ("erasures.journal", "journal")] {
        fs::rename(folder.path(file), folder.path("away")).unwrap();
        folder.run(&["status"]).fails(4, &format!("there is no {what} at"));
        assert!(!folder.has(file), "{file} was made");
        fs::rename(folder.path("away"), folder.path(file)).unwrap();
    }
    folder.run(&["status"]).done();
}
