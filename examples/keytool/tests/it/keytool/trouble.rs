//! What goes wrong outside, and what is not to happen: a full disk, a busy database, an output that can't be written, a dry
//! run that changes something, a question that nobody answered.

use fieldseal::clock::Timestamp;
use fieldseal::id::Purpose;
use fieldseal::journal::{ErasedLine, ErasureJournal as _, JournalEntry, JournalEvent};
use fieldseal::lifecycle::SubjectState;
use fieldseal::store::{Epoch, Tag};

use super::*;

#[test]
fn wrong_arguments_are_refused_and_told_as_asked() {
    let place = Place::bare();
    for args in [&[][..], &["frobnicate"], &["erase"], &["status", "--frobnicate"], &["journal"], &["retire-epoch"]] {
        let ran = place.run(args).exits(2);
        assert!(ran.out.is_empty() && ran.err.contains("Usage: keytool"), "{ran:?}");
        let with_json = [&["--json"], args].concat();
        assert_eq!(place.run(&with_json).exits(2).error()["kind"], "usage");
    }
    assert_eq!(place.files(), ["keytool.toml"]);
    for help in [&["--help"][..], &["erase", "--help"], &["--version"]] {
        place.run(help).done();
    }
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_asks_nobody() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["schedule", BEN, "--in", "14d", "--yes"]).done();
    place.customers().await?.enroll("cy").await?;
    place.run(&["hold", "cy"]).done();
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["status"]).done();
    let before = place.everything().await?;
    for args in [
        &["rotate-subject", ADA][..],
        &["rotate-subject", ADA, "--now"],
        &["advance-epoch", "--add-key"],
        &["rewrap", "--checkpoint", "place.json"],
        &["retire-epoch", "1"],
        &["erase", ADA, BEN, "nobody", "--receipt", "r.json"],
        &["erase", ADA, "--purpose", "billing"],
        &["schedule", ADA, "--in", "1d"],
        &["cancel", BEN],
        &["hold", ADA],
        &["release", "cy"],
        &["sweep", "--receipt", "r.json"],
        &["journal", "replay"],
    ] {
        let ran = place.run(&[args, &["--dry-run"]].concat()).done();
        assert!(ran.out.ends_with("Nothing was changed.\n"), "{ran:?}");
        let json = place.run(&[args, &["--dry-run", "--json"]].concat()).done().json();
        assert_eq!(json["dry_run"], true, "{args:?}");
        assert_eq!(place.everything().await?, before, "{args:?}");
    }
    Ok(())
}

#[tokio::test]
async fn whoever_can_be_asked_is_asked() -> Result {
    let place = Place::with_subjects().await?;
    let before = place.everything().await?;
    for answer in ["no\n", "y\n", "\n"] {
        let ran = place.run_on_a_terminal(&["erase", ADA], answer).exits(3);
        assert!(ran.out.contains("Type yes to go on:") && ran.out.contains("nothing was changed"), "{ran:?}");
        assert_eq!(place.everything().await?, before);
    }
    place.run_on_a_terminal(&["erase", ADA], "yes\n").exits(0);
    assert!(matches!(place.info(ADA).await?.state, SubjectState::Erased { .. }));
    Ok(())
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_half_made() -> Result {
    let place = Place::bare();
    place.run_on_a_full_disk(0, &["init"]).fails(6, "not available");
    assert!(!place.has("master.keyring"), "{:?}", place.files());
    place.run(&["init"]).done();

    let place = Place::with_subjects().await?;
    place.run(&["status"]).done();
    let before = place.everything().await?;
    for args in [&["hold", ADA][..], &["rotate-subject", ADA], &["advance-epoch", "--add-key"]] {
        place.run_on_a_full_disk(0, args).fails(6, "not available");
        assert_eq!(place.everything().await?, before, "{args:?}");
    }
    Ok(())
}

#[tokio::test]
async fn where_the_journal_has_no_room_nothing_is_erased() -> Result {
    let place = Place::with_subjects().await?;
    // Long entries, of a tenant that the key store has nothing of: they say nothing about anybody.
    let journal = FileJournal::open(place.path("erasures.journal")).await?;
    let names = (10..42).map(|n| Purpose::new(n.to_string().repeat(512)));
    let lines = names.map(|name| Ok(ErasedLine::new(name?, 1))).collect::<Result<Vec<_>>>()?;
    let event = JournalEvent::ErasureDone { lines, until: Epoch::FIRST };
    let entry = JournalEntry::of_subject(Timestamp::from_millis(1), acme(), Tag::from_bytes([7; 16]), event);
    while fs::metadata(place.path("erasures.journal"))?.len() < 512 * 1024 {
        journal.append(&entry, &journal.head().await?).await?;
    }
    place.run(&["status"]).done();
    let before = place.everything().await?;
    for args in
        [&["erase", ADA, "--yes", "--receipt", "r.json"][..], &["hold", ADA], &["schedule", ADA, "--in", "1d", "--yes"]]
    {
        place.run_on_a_full_disk(512, args).fails(6, "erasure journal: not available");
        assert_eq!(place.everything().await?, before, "{args:?}");
    }
    place.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    place.run(&["journal", "verify"]).done();
    Ok(())
}

#[tokio::test]
async fn where_a_receipt_has_no_room_nothing_is_erased() -> Result {
    let place = Place::with_subjects().await?;
    let subjects: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
    place.customers().await?.enroll_all(&subjects).await?;
    place.run(&["status"]).done();
    let before = place.everything().await?;
    let args =
        [&["erase", "--yes", "--receipt", "r.json"], &subjects.iter().map(String::as_str).collect::<Vec<_>>()[..]];
    place.run_on_a_full_disk(256, &args.concat()).fails(6, "can't write r.json");
    assert_eq!(place.everything().await?, before, "no key is gone, and no file left");
    place.run(&args.concat()).done();
    let receipts: Vec<Value> = serde_json::from_str(&fs::read_to_string(place.path("r.json"))?)?;
    assert_eq!(receipts.len(), 20);
    place.run(&["erase", ADA, "--yes", "--receipt", "no/such/folder.json"]).fails(4, "can't write no/such/folder.json");
    place.customers().await?.keys(ADA).await?;
    Ok(())
}

#[tokio::test]
async fn an_output_that_can_not_be_written_is_told() -> Result {
    let place = Place::with_subjects().await?;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |args: &[&str]| {
        let child = place.command().args(args).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for args in [&["status"][..], &["status", "--json"], &["erase", ADA, "--yes"]] {
        let (code, err) = run(args);
        assert!(code == Some(6) && err.contains("what was asked is done"), "{code:?} {err}");
    }
    assert!(matches!(place.info(ADA).await?.state, SubjectState::Erased { .. }), "it is done");
    // A reader that has read enough is no failure.
    let mut child = place.command().arg("status").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_database_that_somebody_else_has_locked_is_told_to_be_busy() -> Result {
    let place = Place::with_subjects().await?;
    let mut other = SqliteConnectOptions::new().filename(place.path("keys.db")).connect().await?;
    let turn = other.begin_with("BEGIN IMMEDIATE").await?;
    place.run(&["rotate-subject", ADA]).fails(6, "locked");
    turn.rollback().await?;
    place.run(&["rotate-subject", ADA]).done();
    Ok(())
}

#[tokio::test]
async fn what_is_no_key_store_is_left_as_it_is() -> Result {
    let place = Place::new();
    for (file, why) in [("keys.db", "not an SQLite database"), ("master.keyring", "is not a keyring file")] {
        let kept = fs::read(place.path(file))?;
        for leftover in ["keys.db-wal", "keys.db-shm"] {
            let _ = fs::remove_file(place.path(leftover));
        }
        fs::write(place.path(file), "This is a letter, and no key at all. ".repeat(100))?;
        place.run(&["status"]).fails(2, why);
        assert!(fs::read_to_string(place.path(file))?.starts_with("This is a letter"));
        fs::write(place.path(file), kept)?;
    }
    fs::set_permissions(place.path("master.keyring"), fs::Permissions::from_mode(0o644))?;
    place.run(&["status"]).fails(2, "chmod 600");
    Ok(())
}
