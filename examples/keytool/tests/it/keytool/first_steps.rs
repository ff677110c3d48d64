//! `init`: what it makes, completes and refuses; and how a keyring is protected.

use super::*;

const MADE: [&str; 4] = ["erasures.journal", "keys.db", "keytool.toml", "master.keyring"];

#[test]
fn one_command_makes_everything_that_a_vault_needs() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    place.run(&["init"]).fails(2, "`keytool init --write-config` makes one");
    assert!(place.files().is_empty());
    let ran = place.run(&["init", "--write-config"]).done();
    for part in ["keyring", "journal", "store", "vault"] {
        assert!(ran.out.contains(part), "{ran:?}");
    }
    for file in MADE {
        assert_eq!(place.mode(file), 0o600, "{file}");
    }
    place.run(&["status"]).done();
    place.run(&["init"]).fails(3, "there already");
}

#[test]
fn what_is_there_is_kept_and_what_a_crash_left_out_is_made() {
    let place = Place::new();
    let keyring = fs::read(place.path("master.keyring")).unwrap();
    for (crashed_before, missing) in
        [("keys.db", vec!["store", "vault"]), ("erasures.journal", vec!["journal", "store", "vault"])]
    {
        let made_later = [crashed_before, "keys.db"];
        let later = place.files().into_iter().filter(|name| made_later.iter().any(|of| name.starts_with(of)));
        later.for_each(|name| fs::remove_file(place.path(&name)).unwrap());
        let left = place.files();
        let dry = place.run(&["init", "--dry-run", "--json"]).done().json();
        assert_eq!((&dry["made"], &dry["dry_run"]), (&serde_json::json!(missing), &Value::Bool(true)));
        assert_eq!(place.files(), left, "a dry run makes nothing");
        let ran = place.run(&["init", "--write-config", "--json"]).done();
        assert_eq!(ran.json()["made"], serde_json::json!(missing));
        assert_eq!(fs::read(place.path("master.keyring")).unwrap(), keyring);
        assert_eq!(fs::read_to_string(place.path("keytool.toml")).unwrap(), CONFIG);
    }
}

#[tokio::test]
async fn what_was_lost_is_not_made_anew() -> Result {
    for (lost, why) in [
        ("master.keyring", "put it back"),
        ("erasures.journal", "put it back"),
        ("keys.db", "restore it from a backup"),
    ] {
        let place = Place::with_subjects().await?;
        let names = place.files().into_iter().filter(|name| name.starts_with(lost));
        names.for_each(|name| fs::remove_file(place.path(&name)).unwrap());
        let left = place.files();
        place.run(&["init"]).fails(5, why);
        let error = place.run(&["init", "--json"]).exits(5).error();
        assert!(error["kind"].as_str().unwrap().ends_with("_missing"));
        assert_eq!(place.files(), left, "without {lost} nothing is made");
    }
    Ok(())
}

#[test]
fn the_written_configuration_is_one_also_with_its_examples_taken_in() {
    let place = Place { folder: tempfile::tempdir().unwrap() };
    place.run(&["init", "--write-config"]).done();
    let written = fs::read_to_string(place.path("keytool.toml")).unwrap();
    let taken_in = |line: &str| {
        let is_example = ["# [[", "# max_age", "# database"].iter().any(|start| line.starts_with(start))
            || line.starts_with("# ") && line.contains("  = ")
            || line.starts_with("# subject =");
        if is_example { line.trim_start_matches("# ").to_owned() } else { line.to_owned() }
    };
    let whole: Vec<String> = written.lines().map(taken_in).collect();
    assert!(whole.iter().any(|line| line == "[[table.field]]") && whole.iter().any(|line| line.starts_with("subject")));
    place.configure(&whole.join("\n"));
    place.run(&["status"]).done();
}

#[test]
fn a_passphrase_is_taken_from_the_environment_or_a_file() {
    let place = Place::bare();
    place.configure(&format!("passphrase = {{ env = \"KEYRING_PASSPHRASE\" }}\n{CONFIG}"));
    let with = |passphrase: &str, args: &[&str]| {
        let ran = Ran::of(place.command().args(args).env("KEYRING_PASSPHRASE", passphrase));
        assert!(!ran.out.contains(passphrase) && !ran.err.contains(passphrase), "{ran:?}");
        ran
    };
    place.run(&["init"]).fails(2, "KEYRING_PASSPHRASE");
    assert_eq!(place.files(), ["keytool.toml"]);
    with("correct horse", &["init"]).done();
    let keyring = fs::read_to_string(place.path("master.keyring")).unwrap();
    assert!(keyring.contains("argon2id"), "{keyring}");
    with("correct horse", &["status"]).done();
    with("wrong donkey", &["status"]).fails(2, "the passphrase is not that of this keyring");
    assert_eq!(with("wrong donkey", &["status", "--json"]).exits(2).error()["kind"], "provider_denied");

    place.configure(&format!("passphrase = {{ file = \"secret\" }}\n{CONFIG}"));
    place.run(&["status"]).fails(4, "the passphrase's file");
    fs::write(place.path("secret"), "correct horse\n").unwrap();
    place.run(&["status"]).done();
    fs::write(place.path("secret"), "\n").unwrap();
    place.run(&["status"]).fails(2, "1 to 4096 bytes");

    place.configure(CONFIG);
    place.run(&["status"]).fails(2, "protected by a passphrase");
}

#[test]
fn paths_are_relative_to_the_file_that_has_them() {
    let place = Place::bare();
    let elsewhere = tempfile::tempdir().unwrap();
    let config = place.path("keytool.toml");
    let run = |args: &[&str]| {
        Ran::of(place.command().current_dir(elsewhere.path()).args(["--config", config.to_str().unwrap()]).args(args))
    };
    run(&["init"]).done();
    run(&["status"]).done();
    assert!(place.has("keys.db") && fs::read_dir(elsewhere.path()).unwrap().next().is_none());
}

#[test]
fn a_file_that_is_missing_is_named_and_not_made() {
    let place = Place::new();
    for (file, what) in [("master.keyring", "keyring"), ("keys.db", "key store"), ("erasures.journal", "journal")] {
        fs::rename(place.path(file), place.path("away")).unwrap();
        place.run(&["status"]).fails(4, &format!("there is no {what} at"));
        assert!(!place.has(file), "{file} was made");
        fs::rename(place.path("away"), place.path(file)).unwrap();
    }
    place.run(&["status"]).done();
}
