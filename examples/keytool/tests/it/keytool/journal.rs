//! The journal: verified, replayed onto a restored key store; and what doesn't fit it.

use fieldseal::lifecycle::SubjectState;

use super::*;

#[tokio::test]
async fn a_journal_is_read_from_end_to_end_and_counted() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["hold", BEN]).done();
    place.run(&["erase", ADA, "--yes"]).done();
    let ran = place.run(&["journal", "verify"]).done();
    assert!(ran.out.contains("The chain holds: 7 entries") && ran.out.contains("the key store fits"), "{ran:?}");
    let told = place.run(&["journal", "verify", "--json"]).done().json();
    assert_eq!((&told["entries"], &told["kinds"]["erasure done"]), (&7.into(), &1.into()));
    assert_eq!(told["kinds"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 7);
    // Alone it needs neither key store nor master keys.
    for file in ["keys.db", "master.keyring"] {
        fs::rename(place.path(file), place.path(&format!("away-{file}")))?;
    }
    place.run(&["journal", "verify"]).fails(4, "there is no keyring");
    let alone = place.run(&["journal", "verify", "--alone", "--json"]).done().json();
    assert_eq!((&alone["head"], &alone["compared_with_store"]), (&told["head"], &false.into()));
    Ok(())
}

#[tokio::test]
async fn a_damaged_or_shortened_journal_is_told() -> Result {
    let place = Place::with_subjects().await?;
    let early = fs::read(place.path("erasures.journal"))?;
    place.run(&["erase", ADA, "--yes"]).done();
    place.run(&["status"]).done(); // which has seen it applied
    let whole = fs::read(place.path("erasures.journal"))?;

    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(place.path("erasures.journal"), damaged)?;
    for command in [&["journal", "verify"][..], &["journal", "verify", "--alone"], &["status"]] {
        place.run(command).fails(8, "damaged");
    }
    assert_eq!(place.run(&["journal", "verify", "--json"]).exits(8).error()["kind"], "journal_corrupt");

    fs::write(place.path("erasures.journal"), early)?;
    place.run(&["journal", "verify", "--alone"]).done();
    for command in [&["journal", "verify"][..], &["status"], &["journal", "replay", "--yes"]] {
        place.run(command).fails(5, "restore the journal");
    }

    let other = Place::new();
    fs::copy(other.path("erasures.journal"), place.path("erasures.journal"))?;
    place.run(&["status"]).fails(5, "another journal");
    fs::write(place.path("erasures.journal"), whole)?;
    place.run(&["status"]).done();
    Ok(())
}

#[tokio::test]
async fn a_restored_key_store_is_refused_until_the_journal_is_replayed() -> Result {
    let place = Place::with_subjects().await?;
    place.backup("backup.db").await?;
    place.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    place.run(&["hold", BEN]).done();
    place.restore("backup.db")?;

    for command in [&["status"][..], &["erase", BEN, "--yes"], &["rewrap"], &["receipt", "verify", "r.json"]] {
        place.run(command).fails(5, "replay the journal");
    }
    let error = place.run(&["status", "--json"]).exits(5).error();
    assert_eq!(error["kind"], "store_behind_journal");
    let ran = place.run(&["journal", "replay", "--dry-run"]).done();
    assert!(ran.out.contains("lacks 1 journalled change at least"), "{ran:?}");
    place.run(&["journal", "replay"]).fails(3, "Is every other process that has it open stopped");
    place.run(&["status"]).fails(5, "replay the journal");
    let replayed = place.run(&["journal", "replay", "--yes", "--json"]).done().json();
    assert_eq!((&replayed["erasures"], &replayed["flags"], &replayed["missing"]), (&1.into(), &1.into(), &1.into()));
    assert!(matches!(place.info(ADA).await?.state, SubjectState::Erased { .. }));
    assert!(place.info(BEN).await?.held);
    place.run(&["receipt", "verify", "r.json"]).exits(7);

    // Of a store that is not behind it finds nothing to do.
    let again = place.run(&["journal", "replay", "--yes"]).done();
    assert!(again.out.contains("0 subjects erased again"), "{again:?}");
    Ok(())
}

#[tokio::test]
async fn a_backup_from_before_a_retirement_does_not_fit() -> Result {
    let place = Place::with_subjects().await?;
    place.backup("backup.db").await?;
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap"]).done();
    place.run(&["retire-epoch", "1", "--yes"]).done();
    place.restore("backup.db")?;
    for command in [&["status"][..], &["journal", "replay", "--yes"]] {
        place.run(command).fails(5, "the master key was destroyed");
    }
    let other = Place::new();
    fs::copy(other.path("master.keyring"), place.path("master.keyring"))?;
    place.run(&["status"]).fails(5, "no such master key");
    Ok(())
}
