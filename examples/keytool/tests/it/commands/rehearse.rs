//! `rehearse`: a backup is restored elsewhere, and nothing is written to what is live, nor to the backup.

use fieldseal_testkit::customer;

use super::*;

pub(super) async fn rehearse_touches_nothing_that_is_live() -> Result {
    let folder = Folder::with_subjects().await?;
    for name in ["backup", "scratch"] {
        fs::create_dir(folder.path(name))?;
    }
    for file in ["master.keyring", "keytool.toml"] {
        fs::copy(folder.path(file), folder.path("backup").join(file))?;
    }
    folder.backup("backup/keys.db").await?;
    folder.run(&["erase", ADA, "--yes"]).done();
    folder.run(&["hold", BEN]).done();
    folder.run(&["status"]).done();

    let (live, backup) = (folder.bytes().await?, files(&folder, "backup"));
    let ran = folder.run(&["rehearse", "backup", "--scratch", "scratch"]).done();
    assert!(ran.out.contains("erase 1 subject again, and put back 1 hold"), "{ran:?}");
    assert!(ran.out.contains("1 subject would open with all"), "{ran:?}");
    for args in [["rehearse", "backup/keys.db"], ["rehearse", "sqlite:backup/keys.db"]] {
        let told = folder.run(&[&args[..], &["--scratch", "scratch", "--json"]].concat()).done().json();
        assert_eq!((&told["parts"]["keyrings"], &told["subjects"]["whole"]), (&0.into(), &1.into()), "{told}");
    }
    let told = folder.run(&["rehearse", "backup", "--scratch", "scratch", "--json"]).done().json();
    assert_eq!(told["parts"], serde_json::json!({ "keyrings": 1, "journal": false }));
    assert_eq!((folder.bytes().await?, files(&folder, "backup")), (live, backup));
    assert!(files(&folder, "scratch").is_empty(), "the scratch place is gone");

    for live in ["keys.db", "sqlite:keys.db", "."] {
        folder.run(&["rehearse", live]).fails(2, "this is the live key store");
    }
    folder.run(&["rehearse", "nowhere"]).fails(4, "nowhere is no folder");
    Ok(())
}

pub(super) async fn rehearse_says_what_would_not_open() -> Result {
    let folder = Folder::with_subjects().await?;
    fs::create_dir(folder.path("scratch"))?;
    folder.backup("backup.db").await?;
    let rehearse = |backup: &str| folder.run(&["rehearse", backup, "--scratch", "scratch", "--json"]);
    let numbers = |told: &Value| {
        let number = |name: &str| told["subjects"][name].as_array().map_or(0, Vec::len);
        let whole = told["subjects"]["whole"].as_u64();
        (whole, ["unknown", "in_part", "failed", "back", "mended"].map(number))
    };
    assert_eq!(numbers(&rehearse("backup.db").done().json()), (Some(2), [0; 5]));

    folder.run(&["rotate-subject", ADA]).done();
    folder.customers().await?.enroll(&customer("cy")).await?;
    assert_eq!(numbers(&rehearse("backup.db").exits(7).json()), (Some(1), [1, 1, 0, 0, 0]));
    let text = folder.run(&["rehearse", "backup.db"]).exits(7).out;
    assert!(text.contains("1 subject would not open: they came since the backup"), "{text}");

    // What is damaged now is whole in the backup, and the other way round.
    folder.backup("later.db").await?;
    folder.damage(BEN).await?;
    assert_eq!(numbers(&rehearse("later.db").done().json()), (Some(2), [0, 0, 0, 0, 1]));
    folder.backup("damaged.db").await?;
    folder.restore("later.db")?;
    let told = rehearse("damaged.db").exits(8).json();
    assert_eq!(numbers(&told), (Some(2), [0, 0, 1, 0, 0]));
    assert_eq!(told["subjects"]["failed"][0]["error"]["kind"], "store_corrupt");

    // From before a retirement.
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    let told = rehearse("later.db").exits(8).json();
    assert_eq!((&told["opens"], &told["error"]["kind"]), (&false.into(), &"master_key_destroyed".into()));
    let text = folder.run(&["rehearse", "later.db"]).exits(8).out;
    assert!(text.contains("Nothing would open from this backup"), "{text}");
    assert!(files(&folder, "scratch").is_empty(), "the scratch place is gone, whatever came of it");
    Ok(())
}

/// Files of a folder within the folder, with what they hold.
fn files(folder: &Folder, name: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder.path(name)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.display().to_string(), fs::read(path).unwrap_or_default())).collect();
    files.sort();
    files
}
