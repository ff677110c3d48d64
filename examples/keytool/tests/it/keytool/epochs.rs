//! A new master key, everything moved to it, the end of the old one; and what receipts say meanwhile.

use fieldseal::store::Epoch;

use super::*;

async fn epoch_of(place: &Place, subject: &str) -> Result<Option<u32>> {
    Ok(place.info(subject).await?.epoch.map(Epoch::get))
}

#[tokio::test]
async fn a_master_key_is_replaced_in_three_commands() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["advance-epoch"]).fails(3, "--add-key");
    assert_eq!(place.run(&["advance-epoch", "--add-key", "--json"]).done().json()["epoch"], 2);
    place.run(&["retire-epoch", "1", "--yes"]).fails(3, "2 slots are still under this epoch");
    let ran = place.run(&["retire-epoch", "1", "--dry-run"]).done();
    assert!(ran.out.contains("Would be refused: 2 slots"), "{ran:?}");
    assert_eq!(place.run(&["rewrap", "--json"]).done().json()["moved"], 2);
    assert_eq!(place.run(&["rewrap", "--json"]).done().json()["moved"], 0);
    assert_eq!((epoch_of(&place, ADA).await?, epoch_of(&place, BEN).await?), (Some(2), Some(2)));
    place.run(&["retire-epoch", "1"]).fails(3, "Backups of the key store from before the last rewrap");
    let retired = place.run(&["retire-epoch", "1", "--yes", "--json"]).done().json();
    assert_eq!((&retired["end"], retired["copies"].as_array().unwrap().len()), (&"destroyed_here".into(), 3));
    let again = place.run(&["retire-epoch", "1"]).done(); // it is told again, and nobody is asked
    assert!(again.out.contains("You answer for"), "{again:?}");
    place.customers().await?.keys(ADA).await?;
    place.run(&["retire-epoch", "2", "--yes"]).fails(3, "epoch 2 is the current one");
    for none in ["0", "7"] {
        place.run(&["retire-epoch", none, "--yes"]).fails(4, "there is no epoch");
    }
    place.run(&["retire-epoch", "one"]).fails(2, "invalid value 'one'");
    Ok(())
}

#[tokio::test]
async fn a_master_key_that_a_crash_left_unused_is_taken_before_another_is_made() -> Result {
    let place = Place::with_subjects().await?;
    let keyring = LocalKeyring::open(place.path("master.keyring")).await?;
    let made = keyring.add_key().await?;
    let dry = place.run(&["advance-epoch", "--add-key", "--dry-run", "--json"]).done().json();
    assert_eq!(dry["makes_key"], false);
    let ran = place.run(&["advance-epoch", "--add-key", "--json"]).done().json();
    assert_eq!(ran["master_key"], made.as_str());
    assert_eq!(keyring.keys().await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_rewrap_that_was_stopped_goes_on_from_its_checkpoint() -> Result {
    let place = Place::with_subjects().await?;
    for n in 1..=4 {
        place.customers().await?.enroll(&n.to_string()).await?;
    }
    place.run(&["advance-epoch", "--add-key"]).done();
    // Stopped in the pause after its first page.
    let args = ["rewrap", "--batch", "2", "--checkpoint", "place.json"];
    let mut child = place.command().args(args).args(["--pause", "600000"]).stdout(Stdio::null()).spawn()?;
    while !place.has("place.json") {
        assert!(child.try_wait()?.is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill()?;
    child.wait()?;
    assert_eq!(place.mode("place.json"), 0o600);
    assert_eq!(place.run(&["rewrap", "--dry-run", "--json"]).done().json()["slots"], 4);
    assert!(place.has("place.json"));
    let ran = place.run(&[&args[..], &["--json"]].concat()).exits(0);
    assert_eq!((&ran.json()["moved"], &ran.json()["moved_before"]), (&4.into(), &2.into()));
    assert!(!place.has("place.json") && !place.has("place.json.new"));

    // Of another epoch it says nothing; what is none is not taken for one.
    place.run(&["advance-epoch", "--add-key"]).done();
    let old = r#"{"format":"fieldseal keytool rewrap 1","epoch":2,"part":"1/1","after":"03ff","moved":9}"#;
    fs::write(place.path("place.json"), old)?;
    assert_eq!(place.run(&[&args[..], &["--json"]].concat()).exits(0).json()["moved"], 6);
    fs::write(place.path("place.json"), old.replace("1/1", "1/2"))?;
    place.run(&args).fails(2, "is that of share 1/2");
    for nonsense in ["", "{}", &old.replace("rewrap 1", "rewrap 2"), &old.replace("2,", "3,").replace("03ff", "0g")] {
        fs::write(place.path("place.json"), nonsense)?;
        place.run(&args).fails(2, "is no checkpoint of a rewrap");
        assert_eq!(fs::read_to_string(place.path("place.json"))?, nonsense);
    }
    Ok(())
}

#[tokio::test]
async fn a_dry_run_of_a_share_tells_what_the_share_then_moves() -> Result {
    const SUBJECTS: usize = 40;
    let place = Place::new();
    let subjects: Vec<String> = (1..=SUBJECTS).map(|n| n.to_string()).collect();
    place.customers().await?.enroll_all(&subjects).await?;
    place.run(&["advance-epoch", "--add-key"]).done();
    let slots =
        |part: &str| place.run(&["rewrap", "--part", part, "--dry-run", "--json"]).done().json()["slots"].clone();
    assert_eq!(slots("1/1"), SUBJECTS);
    let shares = ["1/3", "2/3", "3/3"];
    let told = shares.map(slots);
    assert!(told.iter().all(|share| *share != 0 && *share != SUBJECTS), "{told:?}");
    for (part, told) in shares.iter().zip(&told) {
        let text = place.run(&["rewrap", "--part", part, "--dry-run"]).done().out;
        assert!(text.starts_with(&format!("Would move {told} slots to epoch 2.")), "{text}");
        assert_eq!(place.run(&["rewrap", "--part", part, "--json"]).exits(0).json()["moved"], *told, "{part}");
        assert_eq!(slots(part), 0);
    }
    assert_eq!(slots("1/1"), 0, "the shares leave nothing out");
    Ok(())
}

#[tokio::test]
async fn progress_is_a_bar_on_a_terminal_and_lines_of_json_or_nothing_elsewhere() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap", "--batch", "1"]).done(); // no terminal, no bar
    place.run(&["advance-epoch", "--add-key"]).done();
    let ran = place.run(&["rewrap", "--batch", "1", "--pause", "1100", "--json"]).exits(0);
    let lines: Vec<Value> = ran.err.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
    assert_eq!(lines.last().map(|line| &line["progress"]["total"]), Some(&2.into()));
    assert_eq!(ran.json()["moved"], 2);
    place.run(&["advance-epoch", "--add-key"]).done();
    let bar = place.run_on_a_terminal(&["rewrap", "--batch", "1", "--pause", "300"], "").exits(0).out;
    assert!(bar.contains("slots rewrapped [") && bar.contains("/2 (") && bar.contains("ready in"), "{bar:?}");
    for wrong in [["--batch", "0"], ["--batch", "1001"], ["--pause", "-1"]] {
        place.run(&["rewrap", wrong[0], wrong[1]]).exits(2);
    }
    Ok(())
}

#[tokio::test]
async fn a_receipt_is_erased_then_final_or_undone() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    let verify = |args: &[&str]| place.run(&[&["receipt", "verify", "r.json"], args].concat());
    let ran = verify(&[]).exits(7);
    assert!(ran.out.contains("erased; copies in backups") && ran.out.contains("epoch 1: is there"), "{ran:?}");
    assert_eq!(verify(&["--json"]).exits(7).json()["receipts"][0]["status"], "erased");

    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap"]).done();
    place.run(&["retire-epoch", "1", "--yes"]).done();
    // The receipt's time has come.
    let text = fs::read_to_string(place.path("r.json"))?;
    let mut receipt: Value = serde_json::from_str(&text)?;
    receipt["effective_by"] = receipt["erased_at"].clone();
    fs::write(place.path("r.json"), receipt.to_string())?;
    let ran = verify(&["--json"]).done().json();
    assert_eq!(ran["receipts"][0]["status"], "final");
    assert_eq!(ran["receipts"][0]["details"].as_array().unwrap().len(), 3, "what the operator vouches for");

    receipt["purposes"][0]["line"] = 9.into(); // which was never destroyed
    fs::write(place.path("r.json"), receipt.to_string())?;
    assert_eq!(verify(&["--json"]).exits(8).json()["receipts"][0]["status"], "undone");
    Ok(())
}

#[tokio::test]
async fn what_is_no_receipt_of_this_key_store_is_refused() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["erase", ADA, "--yes", "--receipt", "r.json"]).done();
    let other = Place::new();
    fs::copy(place.path("r.json"), other.path("r.json"))?;
    other.run(&["receipt", "verify", "r.json"]).fails(5, "another journal");
    place.run(&["receipt", "verify", "none.json"]).fails(4, "none.json");
    let text = fs::read_to_string(place.path("r.json"))?;
    for damaged in ["", "[]x", "{}", &text.replace("\"line\": 1", "\"line\": 0"), &text[..text.len() / 2]] {
        fs::write(place.path("r.json"), damaged)?;
        place.run(&["receipt", "verify", "r.json"]).fails(8, "no erasure receipt, or is damaged");
    }
    fs::write(place.path("r.json"), "[]")?;
    place.run(&["receipt", "verify", "r.json"]).fails(4, "holds no receipt");
    Ok(())
}
