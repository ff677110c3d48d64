//! What goes wrong outside, and what is not to happen: a full disk, a busy database, an output that can't be written, a dry
//! run that changes something, a question that nobody answered.

use fieldseal::clock::Timestamp;
use fieldseal::id::Purpose;
use fieldseal::journal::{ErasedLine, ErasureJournal as _, JournalEntry, JournalEvent};
use fieldseal::store::{Epoch, Tag};
use fieldseal::vault::SubjectState;
use fieldseal_testkit::customer;

use super::*;

pub(super) fn wrong_arguments_are_refused_and_told_as_asked() {
    let folder = Folder::bare();
    for args in [&[][..], &["frobnicate"], &["erase"], &["status", "--frobnicate"], &["journal"], &["retire-epoch"]] {
        let ran = folder.run(args).exits(2);
        assert!(ran.out.is_empty() && ran.err.contains("Usage: keytool"), "{ran:?}");
        let with_json = [&["--json"], args].concat();
        assert_eq!(folder.run(&with_json).exits(2).error()["kind"], "usage");
    }
    assert_eq!(folder.files(), ["keytool.toml"]);
    for help in [&["--help"][..], &["erase", "--help"], &["--version"]] {
        folder.run(help).done();
    }
}

/// A name that would clear the screen, and one that would rename the window: in JSON, too, where C1 has no escape of its own.
pub(super) fn what_a_name_holds_reaches_no_terminal_raw() {
    let folder = Folder::bare();
    for name in ["a\u{1b}[2Jb", "a\u{9b}2Jb", "a\u{7f}b"] {
        for args in [&["receipt", "verify", name][..], &["status", name], &["--json", "receipt", "verify", name]] {
            let ran = folder.run(args);
            assert!(ran.code != 0 && !ran.err.is_empty(), "{ran:?}");
            assert!(!ran.err.chars().any(|c| c.is_control() && c != '\n'), "{ran:?}");
        }
    }
    folder.run(&["receipt", "verify", "a\u{1b}[2Jb"]).fails(4, "a\\u001b[2Jb");
    let ran = folder.run(&["--json", "receipt", "verify", "a\u{9b}2Jb"]).exits(4);
    assert!(ran.error()["message"].as_str().unwrap().contains("a\u{9b}2Jb"), "a document stays one: {ran:?}");
}

/// What is printed passes one place, which lets no control character through.
pub(super) fn one_place_prints() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|ending| ending != "rs") || path.ends_with("output.rs") {
                continue;
            }
            let code = fs::read_to_string(&path).unwrap();
            for word in ["io::stdout", "io::stderr", "print!", "println!"] {
                assert!(!code.contains(word), "{} has `{word}`", path.display());
            }
            read += 1;
        }
    }
    assert!(read > 40, "{read}");
}

pub(super) async fn a_dry_run_changes_nothing_and_asks_nobody() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["schedule", BEN, "--in", "14d", "--yes"]).done();
    folder.customers().await?.enroll(&customer("cy")).await?;
    folder.run(&["hold", "customer:cy"]).done();
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    for args in [
        &["rotate-subject", ADA][..],
        &["rotate-subject", ADA, "--now"],
        &["advance-epoch", "--add-key"],
        &["rewrap", "--checkpoint", "place.json"],
        &["retire-epoch", "1"],
        &["erase", ADA, BEN, "--receipt", "r.json"],
        &["erase", "customer:nobody", "--even-if-unknown"],
        &["erase", ADA, "--purpose", "billing"],
        &["schedule", ADA, "--in", "1d"],
        &["cancel", BEN],
        &["hold", ADA],
        &["release", "customer:cy"],
        &["sweep", "--receipt", "r.json"],
        &["journal", "replay"],
    ] {
        let ran = folder.run(&[args, &["--dry-run"]].concat()).done();
        assert!(ran.out.ends_with("Nothing was changed.\n"), "{ran:?}");
        let json = folder.run(&[args, &["--dry-run", "--json"]].concat()).done().json();
        assert_eq!(json["dry_run"], true, "{args:?}");
        assert_eq!(folder.everything().await?, before, "{args:?}");
    }
    Ok(())
}

pub(super) async fn whoever_can_be_asked_is_asked() -> Result {
    let folder = Folder::with_subjects().await?;
    let before = folder.everything().await?;
    for answer in ["no\n", "y\n", "\n"] {
        let ran = folder.run_on_a_terminal(&["erase", ADA], answer).exits(3);
        assert!(ran.out.contains("Type yes to go on:") && ran.out.contains("nothing was changed"), "{ran:?}");
        assert_eq!(folder.everything().await?, before);
    }
    folder.run_on_a_terminal(&["erase", ADA], "yes\n").exits(0);
    assert!(matches!(folder.info(ADA).await?.state, SubjectState::Erased { .. }));
    Ok(())
}

pub(super) async fn on_a_full_disk_nothing_is_half_made() -> Result {
    let folder = Folder::bare();
    folder.run_on_a_full_disk(0, &["init"]).fails(6, "not available");
    assert!(!folder.has("master.keyring"), "{:?}", folder.files());
    folder.run(&["init"]).done();

    let folder = Folder::with_subjects().await?;
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    for args in [&["hold", ADA][..], &["rotate-subject", ADA], &["advance-epoch", "--add-key"]] {
        folder.run_on_a_full_disk(0, args).fails(6, "not available");
        assert_eq!(folder.everything().await?, before, "{args:?}");
    }
    Ok(())
}

pub(super) async fn where_the_journal_has_no_room_nothing_is_erased() -> Result {
    let folder = Folder::with_subjects().await?;
    // Long entries, that nobody with the root entered: they say nothing about anybody.
    let journal = FileJournal::open(folder.path("erasures.journal")).await?;
    let names = (10..42).map(|n| Purpose::new(n.to_string().repeat(512)));
    let lines = names.map(|name| Ok(ErasedLine::new(name?, 1))).collect::<Result<Vec<_>>>()?;
    let event = JournalEvent::ErasureDone { whole: false, lines, until: Epoch::FIRST };
    let entry = JournalEntry::of_subject(Timestamp::from_millis(1), acme(), Tag::from_bytes([7; 16]), event);
    while fs::metadata(folder.path("erasures.journal"))?.len() < 512 * 1024 {
        journal.append(&entry, &journal.head().await?).await?;
    }
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    for args in
        [&["erase", ADA, "--yes", "--receipt", "r.json"][..], &["hold", ADA], &["schedule", ADA, "--in", "1d", "--yes"]]
    {
        folder.run_on_a_full_disk(512, args).fails(6, "erasure journal: not available");
        assert_eq!(folder.everything().await?, before, "{args:?}");
    }
    folder.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    folder.run(&["journal", "verify"]).done();
    Ok(())
}

pub(super) async fn where_a_receipt_has_no_room_nothing_is_erased() -> Result {
    let folder = Folder::with_subjects().await?;
    let subjects: Vec<_> = (1..=20).map(|n| format!("customer:{n}")).collect();
    folder.customers().await?.enroll_all(&subjects.iter().map(|text| parsed(text)).collect::<Vec<_>>()).await?;
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    let args =
        [&["erase", "--yes", "--receipt", "r.json"], &subjects.iter().map(String::as_str).collect::<Vec<_>>()[..]];
    folder.run_on_a_full_disk(256, &args.concat()).fails(6, "can't write r.json");
    assert_eq!(folder.everything().await?, before, "no key is gone, and no file left");
    folder.run(&args.concat()).done();
    let receipts: Vec<Value> = serde_json::from_str(&fs::read_to_string(folder.path("r.json"))?)?;
    assert_eq!(receipts.len(), 20);
    folder
        .run(&["erase", ADA, "--yes", "--receipt", "no/such/folder.json"])
        .fails(4, "can't write no/such/folder.json");
    folder.customers().await?.keys(&parsed(ADA)).await?;
    Ok(())
}

pub(super) async fn an_output_that_can_not_be_written_is_told() -> Result {
    let folder = Folder::with_subjects().await?;
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |args: &[&str]| {
        let child = folder.command().args(args).stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for args in [&["status"][..], &["status", "--json"], &["erase", ADA, "--yes"]] {
        let (code, err) = run(args);
        assert!(code == Some(6) && err.contains("what was asked is done"), "{code:?} {err}");
    }
    assert!(matches!(folder.info(ADA).await?.state, SubjectState::Erased { .. }), "it is done");
    // A reader that has read enough is no failure.
    let mut child = folder.command().arg("status").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    assert_eq!(child.wait()?.code(), Some(0));
    Ok(())
}

pub(super) async fn a_database_that_somebody_else_has_locked_is_told_to_be_busy() -> Result {
    let folder = Folder::with_subjects().await?;
    let mut other = SqliteConnectOptions::new().filename(folder.path("keys.db")).connect().await?;
    let turn = other.begin_with("BEGIN IMMEDIATE").await?;
    folder.run(&["rotate-subject", ADA]).fails(6, "locked");
    turn.rollback().await?;
    folder.run(&["rotate-subject", ADA]).done();
    Ok(())
}

pub(super) async fn what_is_no_key_store_is_left_as_it_is() -> Result {
    let folder = Folder::new();
    for (file, why) in [("keys.db", "not an SQLite database"), ("master.keyring", "is not a keyring file")] {
        let kept = fs::read(folder.path(file))?;
        for leftover in ["keys.db-wal", "keys.db-shm"] {
            let _ = fs::remove_file(folder.path(leftover));
        }
        fs::write(folder.path(file), "This is a letter, and no key at all. ".repeat(100))?;
        folder.run(&["status"]).fails(2, why);
        assert!(fs::read_to_string(folder.path(file))?.starts_with("This is a letter"));
        fs::write(folder.path(file), kept)?;
    }
    fs::set_permissions(folder.path("master.keyring"), fs::Permissions::from_mode(0o644))?;
    folder.run(&["status"]).fails(2, "chmod 600");
    Ok(())
}
