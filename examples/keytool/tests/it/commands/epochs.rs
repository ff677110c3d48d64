//! A new master key, everything moved to it, the end of the old one; and what receipts say meanwhile.

use fieldseal::store::Epoch;
use fieldseal_testkit::customer;

use super::*;

async fn epoch_of(folder: &Folder, subject: &str) -> Result<Option<u32>> {
    Ok(folder.info(subject).await?.epoch.map(Epoch::get))
}

pub(super) async fn a_master_key_is_replaced_in_three_commands() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["advance-epoch"]).fails(3, "--add-key");
    assert_eq!(folder.run(&["advance-epoch", "--add-key", "--json"]).done().json()["epoch"], 2);
    folder.run(&["retire-epoch", "1", "--yes"]).fails(3, "2 slots are still under this epoch");
    let ran = folder.run(&["retire-epoch", "1", "--dry-run"]).done();
    assert!(ran.out.contains("Would be refused: 2 slots"), "{ran:?}");
    assert_eq!(folder.run(&["rewrap", "--json"]).done().json()["moved"], 2);
    assert_eq!(folder.run(&["rewrap", "--json"]).done().json()["moved"], 0);
    assert_eq!((epoch_of(&folder, ADA).await?, epoch_of(&folder, BEN).await?), (Some(2), Some(2)));
    folder.run(&["retire-epoch", "1"]).fails(3, "Backups of the key store from before the last rewrap");
    let retired = folder.run(&["retire-epoch", "1", "--yes", "--json"]).done().json();
    assert_eq!((&retired["end"], retired["copies"].as_array().unwrap().len()), (&"destroyed_here".into(), 3));
    let again = folder.run(&["retire-epoch", "1"]).done(); // it is told again, and nobody is asked
    assert!(again.out.contains("You answer for"), "{again:?}");
    folder.customers().await?.keys(&parsed(ADA)).await?;
    folder.run(&["retire-epoch", "2", "--yes"]).fails(3, "epoch 2 is the current one");
    for none in ["0", "7"] {
        folder.run(&["retire-epoch", none, "--yes"]).fails(4, "there is no epoch");
    }
    folder.run(&["retire-epoch", "one"]).fails(2, "invalid value 'one'");
    Ok(())
}

pub(super) async fn a_master_key_that_a_crash_left_unused_is_taken_first() -> Result {
    let folder = Folder::with_subjects().await?;
    let keyring = LocalKeyring::open(folder.path("master.keyring")).await?;
    let made = keyring.add_key().await?;
    let dry = folder.run(&["advance-epoch", "--add-key", "--dry-run", "--json"]).done().json();
    assert_eq!(dry["makes_key"], false);
    let ran = folder.run(&["advance-epoch", "--add-key", "--json"]).done().json();
    assert_eq!(ran["master_key"], made.as_str());
    assert_eq!(keyring.keys().await?.len(), 2);
    Ok(())
}

pub(super) async fn a_rewrap_that_was_stopped_goes_on_from_its_checkpoint() -> Result {
    let folder = Folder::with_subjects().await?;
    for n in 1..=4 {
        folder.customers().await?.enroll(&customer(n)).await?;
    }
    folder.run(&["advance-epoch", "--add-key"]).done();
    // Stopped in the pause after its first page.
    let args = ["rewrap", "--batch", "2", "--checkpoint", "place.json"];
    let mut child = folder.command().args(args).args(["--pause", "600000"]).stdout(Stdio::null()).spawn()?;
    while !folder.has("place.json") {
        assert!(child.try_wait()?.is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    assert_eq!(folder.mode("place.json"), 0o600);
    assert_eq!(folder.run(&["rewrap", "--dry-run", "--json"]).done().json()["slots"], 4);
    assert!(folder.has("place.json"));
    let ran = folder.run(&[&args[..], &["--json"]].concat()).exits(0);
    assert_eq!((&ran.json()["moved"], &ran.json()["moved_before"]), (&4.into(), &2.into()));
    assert!(!folder.has("place.json") && !folder.has("place.json.new"));

    // Of another epoch it says nothing; what is none is not taken for one.
    folder.run(&["advance-epoch", "--add-key"]).done();
    let old = r#"{"format":"fieldseal keytool rewrap 1","epoch":2,"part":"1/1","after":"03ff","moved":9}"#;
    fs::write(folder.path("place.json"), old)?;
    assert_eq!(folder.run(&[&args[..], &["--json"]].concat()).exits(0).json()["moved"], 6);
    fs::write(folder.path("place.json"), old.replace("1/1", "1/2"))?;
    folder.run(&args).fails(2, "is that of shard 1/2");
    for nonsense in ["", "{}", &old.replace("rewrap 1", "rewrap 2"), &old.replace("2,", "3,").replace("03ff", "0g")] {
        fs::write(folder.path("place.json"), nonsense)?;
        folder.run(&args).fails(2, "is no checkpoint of a rewrap");
        assert_eq!(fs::read_to_string(folder.path("place.json"))?, nonsense);
    }
    Ok(())
}

pub(super) async fn a_dry_run_of_a_share_tells_what_the_share_then_moves() -> Result {
    const SUBJECTS: u64 = 40;
    let folder = Folder::new();
    let subjects: Vec<_> = (1..=SUBJECTS).map(customer).collect();
    folder.customers().await?.enroll_all(&subjects).await?;
    folder.run(&["advance-epoch", "--add-key"]).done();
    let slots =
        |part: &str| folder.run(&["rewrap", "--shard", part, "--dry-run", "--json"]).done().json()["slots"].clone();
    assert_eq!(slots("1/1"), SUBJECTS);
    let shares = ["1/3", "2/3", "3/3"];
    let told = shares.map(slots);
    assert!(told.iter().all(|share| *share != 0 && *share != SUBJECTS), "{told:?}");
    for (part, told) in shares.iter().zip(&told) {
        let text = folder.run(&["rewrap", "--shard", part, "--dry-run"]).done().out;
        assert!(text.starts_with(&format!("Would move {told} slots to epoch 2.")), "{text}");
        assert_eq!(folder.run(&["rewrap", "--shard", part, "--json"]).exits(0).json()["moved"], *told, "{part}");
        assert_eq!(slots(part), 0);
    }
    assert_eq!(slots("1/1"), 0, "the shares leave nothing out");
    Ok(())
}

pub(super) async fn progress_is_a_bar_on_a_terminal_elsewhere_json_or_nothing() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap", "--batch", "1"]).done(); // no terminal, no bar
    folder.run(&["advance-epoch", "--add-key"]).done();
    let ran = folder.run(&["rewrap", "--batch", "1", "--pause", "1100", "--json"]).exits(0);
    let lines: Vec<Value> = ran.err.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    assert_eq!(lines.last().map(|line| &line["progress"]["total"]), Some(&2.into()));
    assert_eq!(ran.json()["moved"], 2);
    folder.run(&["advance-epoch", "--add-key"]).done();
    let bar = folder.run_on_a_terminal(&["rewrap", "--batch", "1", "--pause", "300"], "").exits(0).out;
    assert!(bar.contains("slots rewrapped [") && bar.contains("/2 (") && bar.contains("ready in"), "{bar:?}");
    for wrong in [["--batch", "0"], ["--batch", "1001"], ["--pause", "-1"]] {
        folder.run(&["rewrap", wrong[0], wrong[1]]).exits(2);
    }
    Ok(())
}

pub(super) async fn a_receipt_is_erased_then_final_or_undone() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    let verify = |args: &[&str]| folder.run(&[&["receipt", "verify", "r.json"], args].concat());
    let ran = verify(&[]).exits(7);
    assert!(ran.out.contains("erased; copies in backups") && ran.out.contains("epoch 1: is there"), "{ran:?}");
    assert_eq!(verify(&["--json"]).exits(7).json()["receipts"][0]["status"], "erased");

    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    // The receipt's time has come.
    let text = fs::read_to_string(folder.path("r.json"))?;
    let mut receipt: Value = serde_json::from_str(&text)?;
    receipt["effective_by"] = receipt["erased_at"].clone();
    fs::write(folder.path("r.json"), receipt.to_string())?;
    let ran = verify(&["--json"]).done().json();
    assert_eq!(ran["receipts"][0]["status"], "final");
    assert_eq!(ran["receipts"][0]["details"].as_array().unwrap().len(), 3, "what the operator vouches for");

    receipt["purposes"][0]["line"] = 9.into(); // which was never destroyed
    fs::write(folder.path("r.json"), receipt.to_string())?;
    assert_eq!(verify(&["--json"]).exits(8).json()["receipts"][0]["status"], "undone");
    Ok(())
}

pub(super) async fn what_is_no_receipt_of_this_key_store_is_refused() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    let other = Folder::new();
    fs::copy(folder.path("r.json"), other.path("r.json"))?;
    other.run(&["receipt", "verify", "r.json"]).fails(5, "another journal");
    folder.run(&["receipt", "verify", "none.json"]).fails(4, "none.json");
    let text = fs::read_to_string(folder.path("r.json"))?;
    for damaged in ["", "[]x", "{}", &text.replace("\"line\": 1", "\"line\": 0"), &text[..text.len() / 2]] {
        fs::write(folder.path("r.json"), damaged)?;
        folder.run(&["receipt", "verify", "r.json"]).fails(8, "can't be read as an erasure receipt");
    }
    fs::write(folder.path("r.json"), "[]")?;
    folder.run(&["receipt", "verify", "r.json"]).fails(4, "holds no receipt");
    Ok(())
}
