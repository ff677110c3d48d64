//! The journal: verified, replayed onto a restored key store; and what doesn't fit it.

use fieldseal::vault::SubjectState;

use super::*;

pub(super) async fn a_journal_is_read_from_end_to_end_and_counted() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["hold", BEN]).done();
    folder.run(&["erase", ADA, "--yes"]).done();
    let ran = folder.run(&["journal", "verify"]).done();
    assert!(ran.out.contains("The chain holds: 7 entries") && ran.out.contains("the key store fits"), "{ran:?}");
    let told = folder.run(&["journal", "verify", "--json"]).done().json();
    assert_eq!((&told["entries"], &told["kinds"]["erasure done"]), (&7.into(), &1.into()));
    assert_eq!(told["kinds"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 7);
    // Alone it needs neither key store nor master keys.
    for file in ["keys.db", "master.keyring"] {
        fs::rename(folder.path(file), folder.path(&format!("away-{file}")))?;
    }
    folder.run(&["journal", "verify"]).fails(4, "there is no keyring");
    let alone = folder.run(&["journal", "verify", "--alone", "--json"]).done().json();
    assert_eq!((&alone["head"], &alone["compared_with_store"]), (&told["head"], &false.into()));
    Ok(())
}

pub(super) async fn a_damaged_or_shortened_journal_is_told() -> Result {
    let folder = Folder::with_subjects().await?;
    let early = fs::read(folder.path("erasures.journal"))?;
    folder.run(&["erase", ADA, "--yes"]).done();
    folder.run(&["status"]).done(); // which has seen it applied
    let whole = fs::read(folder.path("erasures.journal"))?;

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(folder.path("erasures.journal"), damaged)?;
    for command in [&["journal", "verify"][..], &["journal", "verify", "--alone"], &["status"]] {
        folder.run(command).fails(8, "damaged");
    }
    assert_eq!(folder.run(&["journal", "verify", "--json"]).exits(8).error()["kind"], "journal_corrupt");

    fs::write(folder.path("erasures.journal"), early)?;
    folder.run(&["journal", "verify", "--alone"]).done();
    for command in [&["journal", "verify"][..], &["status"], &["journal", "replay", "--yes"]] {
        folder.run(command).fails(5, "restore the journal");
    }

    let other = Folder::new();
    fs::copy(other.path("erasures.journal"), folder.path("erasures.journal"))?;
    folder.run(&["status"]).fails(5, "another journal");
    fs::write(folder.path("erasures.journal"), whole)?;
    folder.run(&["status"]).done();
    Ok(())
}

pub(super) async fn a_restored_key_store_is_refused_until_a_journal_replay() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.backup("backup.db").await?;
    folder.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    folder.run(&["hold", BEN]).done();
    folder.restore("backup.db")?;

    for command in [&["status"][..], &["erase", BEN, "--yes"], &["rewrap"], &["receipt", "verify", "r.json"]] {
        folder.run(command).fails(5, "replay the journal");
    }
    let error = folder.run(&["status", "--json"]).exits(5).error();
    assert_eq!(error["kind"], "store_behind_journal");
    let ran = folder.run(&["journal", "replay", "--dry-run"]).done();
    assert!(ran.out.contains("lacks 1 journaled change at least"), "{ran:?}");
    folder.run(&["journal", "replay"]).fails(3, "Is every other process that has it open stopped");
    folder.run(&["status"]).fails(5, "replay the journal");
    let replayed = folder.run(&["journal", "replay", "--yes", "--json"]).done().json();
    assert_eq!((&replayed["erasures"], &replayed["flags"], &replayed["missing"]), (&1.into(), &1.into(), &1.into()));
    assert!(matches!(folder.info(ADA).await?.state, SubjectState::Erased { .. }));
    assert!(folder.info(BEN).await?.held);
    folder.run(&["receipt", "verify", "r.json"]).exits(7);

    // Of a store that is not behind it finds nothing to do.
    let again = folder.run(&["journal", "replay", "--yes"]).done();
    assert!(again.out.contains("0 subjects erased again"), "{again:?}");
    assert!(again.out.contains("Retention is suspended"), "nobody can see a restore after which nothing was erased");
    let looked = folder.run(&["journal", "replay", "--not-restored", "--yes"]).done();
    assert!(looked.out.contains("0 subjects erased again") && !looked.out.contains("Retention"), "{looked:?}");

    // Who runs the sweeps is told, and resumes them.
    let swept = folder.run(&["sweep", "--yes"]).done();
    assert!(swept.out.contains("Retention is suspended"), "{swept:?}");
    let resumed = folder.run(&["sweep", "--resume-retention", "--yes", "--json"]).done().json();
    assert_eq!(resumed["retention_is_suspended"], false);
    let swept = folder.run(&["sweep", "--yes"]).done();
    assert!(!swept.out.contains("Retention"), "{swept:?}");
    Ok(())
}

pub(super) async fn a_backup_from_before_a_retirement_does_not_fit() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.backup("backup.db").await?;
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    folder.restore("backup.db")?;
    for command in [&["status"][..], &["journal", "replay", "--yes"]] {
        folder.run(command).fails(5, "the master key was destroyed");
    }
    let other = Folder::new();
    fs::copy(other.path("master.keyring"), folder.path("master.keyring"))?;
    folder.run(&["status"]).fails(5, "no such master key");
    Ok(())
}
