//! `status`: what is so, counted; and what is to be done about it.

use super::*;

pub(super) async fn keys_are_counted_by_epoch_age_and_version() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["rotate-subject", ADA]).done();
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.customers().await?.enroll(&parsed("customer:cy")).await?;
    let told = folder.run(&["status", "--json"]).done().json();
    let epochs: Vec<_> = told["epochs"].as_array().unwrap().iter().collect();
    let counts: Vec<_> = epochs.iter().map(|e| (&e["state"], &e["subjects"], &e["data_keys"], &e["ages"])).collect();
    let ages = |n: u64| serde_json::json!([n, 0, 0, 0, 0]);
    assert_eq!(counts[0], (&"live".into(), &2.into(), &6.into(), &ages(6)));
    assert_eq!(counts[1], (&"current".into(), &1.into(), &2.into(), &ages(2)));
    let one = serde_json::json!({ "pending": 1, "current": 3, "superseded": 0 });
    assert_eq!(told["versions"], serde_json::json!({ "billing": one, "default": one }));
    let made = folder.info(BEN).await?.purposes[0].versions[0].created_at.to_string();
    assert!(told["oldest_key"].as_str().unwrap() <= made.as_str());
    let advice = told["advice"].as_array().unwrap();
    assert!(
        advice
            .iter()
            .any(|line| line.as_str().unwrap().contains("2 subjects are in an earlier epoch: `keytool rewrap`"))
    );

    let text = folder.run(&["status"]).done().out;
    for line in ["Keys, 20", "The oldest data key is of", "Subjects", "Versions", "Erasures", "To be done"] {
        assert!(text.contains(line), "{line:?} is not told: {text}");
    }
    Ok(())
}

pub(super) async fn holds_schedules_and_erasures_are_counted_until_final() -> Result {
    let folder = Folder::with_subjects().await?;
    for subject in ["customer:cy", "customer:dee"] {
        folder.customers().await?.enroll(&parsed(subject)).await?;
    }
    folder.run(&["erase", ADA, "--yes"]).done();
    folder.run(&["hold", BEN]).done();
    folder.run(&["schedule", "customer:cy", "--at", "2999-12-01T09:00:00Z", "--yes"]).done();
    let told = folder.run(&["status", "--json"]).done().json();
    let erasures = &told["erasures"];
    let counts = ["final", "erased", "pending", "scheduled", "held"].map(|name| erasures[name].as_u64().unwrap());
    assert_eq!(counts, [0, 1, 0, 1, 1]);
    assert_eq!(erasures["next_due"], "2999-12-01T09:00:00.000Z");
    assert_eq!((&erasures["waits_for"][0]["epoch"], &erasures["waits_for"][0]["erasures"]), (&1.into(), &1.into()));
    let subjects = ["live", "scheduled", "erased", "held"].map(|name| told["subjects"][name].as_u64().unwrap());
    assert_eq!(subjects, [2, 1, 1, 1]);
    let advice = |told: &Value| told["advice"].as_array().unwrap().iter().map(ToString::to_string).collect::<String>();
    assert!(advice(&told).contains("`keytool advance-epoch`"), "{told}");

    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    let told = folder.run(&["status", "--json"]).done().json();
    assert!(
        advice(&told).contains("nothing is in epoch 1, and 1 erasure waits for it: `keytool retire-epoch 1`"),
        "{told}"
    );
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    let told = folder.run(&["status", "--json"]).done().json();
    assert_eq!((&told["erasures"]["waits_for"], advice(&told)), (&serde_json::json!([]), String::new()));
    assert_eq!(told["epochs"][0]["end"], "destroyed here");
    Ok(())
}

pub(super) async fn an_erasure_that_is_due_is_told() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.customers().await?.schedule_erasure(&parsed(ADA), "2020-01-01T00:00:00.000Z".parse()?).await?;
    let ran = folder.run(&["status"]).done();
    assert!(ran.out.contains("an erasure is due since 2020-01-01 00:00 UTC: `keytool sweep`"), "{ran:?}");
    Ok(())
}

pub(super) async fn a_damaged_slot_is_listed_beside_what_can_be_read() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.damage(ADA).await?;
    let ran = folder.run(&["status", "--json"]).exits(7).json();
    assert_eq!((&ran["subjects"]["live"], ran["failed"].as_array().unwrap().len()), (&1.into(), 1));
    assert_eq!(ran["failed"][0]["error"]["kind"], "store_corrupt");
    let ran = folder.run(&["status"]).exits(7);
    assert!(ran.out.contains("can't be read") && ran.out.contains("docs/restore.md"), "{ran:?}");

    folder.run(&["advance-epoch", "--add-key"]).done();
    let ran = folder.run(&["rewrap", "--json"]).exits(7).json();
    assert_eq!((&ran["moved"], ran["failed"].as_array().unwrap().len()), (&1.into(), 1));
    folder.run(&["erase", ADA, "--yes"]).fails(8, "damaged");
    folder.run(&["rotate-subject", ADA]).fails(8, "damaged");
    Ok(())
}
