//! Rotating, erasing, scheduling and holding single subjects.

use fieldseal::Error;
use fieldseal::lifecycle::{ErasureReceipt, SubjectState, VersionState};

use super::*;

fn receipt(place: &Place, name: &str) -> Result<ErasureReceipt> {
    Ok(serde_json::from_str(&fs::read_to_string(place.path(name))?)?)
}

#[tokio::test]
async fn a_rotated_subject_has_a_new_version_later_or_at_once() -> Result {
    let place = Place::with_subjects().await?;
    let states = async || -> Result<Vec<VersionState>> {
        Ok(place.info(ADA).await?.purposes[1].versions.iter().map(|version| version.state).collect())
    };
    let ran = place.run(&["rotate-subject", ADA]).done();
    assert!(ran.out.contains(" UTC on."), "{ran:?}");
    assert_eq!(states().await?, [VersionState::Current, VersionState::Pending]);
    let from = place.run(&["rotate-subject", ADA, "--json"]).done().json()["seal_from"].clone();
    assert_eq!(from, place.info(ADA).await?.purposes[1].versions[1].seal_from.unwrap().to_string(), "no second one");

    place.run(&["rotate-subject", ADA, "--now"]).fails(3, "--yes");
    assert_eq!(states().await?.len(), 2);
    place.run(&["rotate-subject", ADA, "--now", "--yes"]).done();
    assert_eq!(states().await?.last(), Some(&VersionState::Current));
    assert_eq!(place.info(BEN).await?.purposes[1].versions.len(), 1);
    place.run(&["rotate-subject", "nobody"]).fails(4, "the subject has no keys");
    Ok(())
}

#[tokio::test]
async fn an_erased_subject_is_gone_and_its_receipt_is_kept() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["erase", ADA]).fails(3, "Destroy every key of 1 subject (2 data keys in all), for good?");
    assert_eq!(place.info(ADA).await?.state, SubjectState::Live);
    let args = ["erase", ADA, "--reference", "request 4711", "--receipt", "receipt.json", "--yes"];
    let ran = place.run(&args).done();
    assert!(ran.out.starts_with("Erasure of subject ") && ran.out.contains("request 4711"), "{ran:?}");
    assert!(matches!(place.customers().await?.keys(ADA).await, Err(Error::SubjectErased { .. })));
    place.customers().await?.keys(BEN).await?;
    let kept = receipt(&place, "receipt.json")?;
    assert_eq!((kept.reference(), kept.tag()), (Some("request 4711"), Some(&place.customers().await?.tag(ADA).await?)));
    assert_eq!(place.mode("receipt.json"), 0o600);
    assert!(!place.has("receipt.json.new"));

    place.run(&args).fails(3, "can't write receipt.json"); // it is never replaced
    assert_eq!(receipt(&place, "receipt.json")?, kept);
    let again = place.run(&["erase", ADA, "--yes", "--json"]).done().json();
    let again: ErasureReceipt = serde_json::from_value(again["receipts"][0].clone())?;
    assert_eq!((again.erased_at(), again.purposes()), (kept.erased_at(), kept.purposes()));
    for command in [&["rotate-subject", ADA][..], &["hold", ADA], &["schedule", ADA, "--in", "1d", "--yes"]] {
        place.run(command).fails(3, "was erased at");
    }
    Ok(())
}

#[tokio::test]
async fn one_purpose_is_erased_alone() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["erase", ADA, "--purpose", "billing", "--yes"]).done();
    let info = place.info(ADA).await?;
    let live: Vec<_> = info.purposes.iter().map(|p| (p.purpose.as_str(), p.versions.len())).collect();
    assert_eq!(live, [("billing", 0), ("default", 1)]);
    place.run(&["erase", ADA, "--purpose", "marketing", "--yes"]).fails(4, "purpose");
    Ok(())
}

#[tokio::test]
async fn of_many_the_ones_that_can_be_are_erased_and_the_others_listed() -> Result {
    let place = Place::with_subjects().await?;
    place.customers().await?.enroll("cy").await?;
    place.run(&["hold", ADA]).done();
    let args = ["erase", ADA, BEN, "nobody", "cy", "--yes", "--json", "--receipt", "receipts.json"];
    let ran = place.run(&args).exits(7).json();
    let failed: Vec<_> = ran["failed"].as_array().unwrap().iter().collect();
    let named: Vec<_> = failed.iter().map(|f| (f["argument"].as_u64(), f["error"]["kind"].as_str())).collect();
    assert_eq!(named, [(Some(1), Some("subject_held")), (Some(3), Some("subject_unknown"))]);
    assert_eq!(ran["receipts"].as_array().unwrap().len(), 2);
    let kept: Vec<ErasureReceipt> = serde_json::from_str(&fs::read_to_string(place.path("receipts.json"))?)?;
    assert_eq!(kept.len(), 2);
    place.run(&["receipt", "verify", "receipts.json"]).exits(7);
    assert_eq!(place.info(ADA).await?.state, SubjectState::Live);
    for subject in [BEN, "cy"] {
        assert!(matches!(place.info(subject).await?.state, SubjectState::Erased { .. }));
    }
    // One alone that is held is a refusal, and leaves no file.
    place.run(&["erase", ADA, "--yes", "--receipt", "none.json"]).fails(3, "release it first");
    assert!(!place.has("none.json") && !place.has("none.json.new"));
    place.run(&["release", ADA]).done();
    place.run(&["erase", ADA, "--yes"]).done();
    Ok(())
}

#[tokio::test]
async fn a_mistyped_subject_is_not_erased_unless_it_is_said() -> Result {
    let place = Place::with_subjects().await?;
    let before = place.everything().await?;
    place.run(&["erase", "nobody", "--yes", "--receipt", "r.json"]).fails(4, "no such subject was ever enrolled");
    assert_eq!(place.everything().await?, before);
    place.run(&["erase", "nobody", "--unknown", "--yes"]).done();
    assert!(matches!(place.customers().await?.enroll("nobody").await, Err(Error::SubjectErased { .. })));
    place.run(&["erase", "ada", "--tenant", "acme", "--yes"]).fails(4, "no such subject");
    Ok(())
}

#[tokio::test]
async fn subjects_can_be_read_from_standard_input() -> Result {
    let place = Place::with_subjects().await?;
    place.run_reading(&["rotate-subject", "-"], &format!("{ADA}\n")).done();
    assert_eq!(place.info(ADA).await?.purposes[0].versions.len(), 2);
    place.run_reading(&["rotate-subject", "-"], &format!("{ADA}\n{BEN}\n")).fails(2, "one subject");
    place.run_reading(&["erase", "-", "--yes"], "\n").fails(2, "no subject");
    let ran = place.run_reading(&["erase", "-", "--yes", "--json"], &format!("{ADA}\n\n{BEN}\n")).done();
    assert_eq!(ran.json()["receipts"].as_array().unwrap().len(), 2);
    Ok(())
}

#[tokio::test]
async fn subjects_of_another_tenant_are_others() -> Result {
    let place = Place::with_subjects().await?;
    place.vault().await?.tenant(&acme()).enroll(ADA).await?;
    place.run(&["erase", ADA, "--tenant", "acme", "--yes"]).done();
    place.customers().await?.keys(ADA).await?;
    assert!(place.vault().await?.tenant(&acme()).keys(ADA).await.is_err());
    place.run(&["hold", ADA, "--tenant", ""]).fails(2, "tenant");
    Ok(())
}

#[tokio::test]
async fn a_held_subject_stays_until_it_is_released() -> Result {
    let place = Place::with_subjects().await?;
    for _ in 0..2 {
        place.run(&["hold", ADA]).done();
    }
    assert!(place.info(ADA).await?.held);
    place.run(&["erase", ADA, "--yes"]).fails(3, "a hold stands on the subject");
    place.run(&["schedule", ADA, "--in", "14d", "--yes"]).fails(3, "a hold stands on the subject");
    place.run(&["release", ADA]).done();
    assert!(!place.info(ADA).await?.held);
    for command in ["hold", "release"] {
        place.run(&[command, "nobody"]).fails(4, "the subject has no keys");
    }
    Ok(())
}

#[tokio::test]
async fn a_scheduled_erasure_is_called_off_or_swept_when_it_is_due() -> Result {
    let place = Place::with_subjects().await?;
    place.run(&["schedule", ADA, "--in", "14d"]).fails(3, "--yes");
    let at = place.run(&["schedule", ADA, "--in", "14d", "--yes", "--json"]).done().json()["at"].clone();
    assert_eq!(place.info(ADA).await?.state, SubjectState::Scheduled { at: at.as_str().unwrap().parse()? });
    place.run(&["cancel", ADA]).done();
    place.customers().await?.keys(ADA).await?;
    place.run(&["schedule", ADA, "--at", "2999-12-01T09:00:00Z", "--yes"]).done();
    assert_eq!(place.info(ADA).await?.state, SubjectState::Scheduled { at: "2999-12-01T09:00:00.000Z".parse()? });
    assert_eq!(place.run(&["sweep", "--yes", "--json"]).done().json()["receipts"], serde_json::json!([]), "not due");

    // Due: by another process, a moment ago.
    let soon = "2020-01-01T00:00:00.000Z".parse()?;
    place.customers().await?.schedule_erasure(BEN, soon).await?;
    assert_eq!(place.run(&["sweep", "--dry-run", "--json"]).done().json()["due"], 1);
    place.run(&["sweep"]).fails(3, "Destroy every key of 1 subject that is due, for good?");
    let ran = place.run(&["sweep", "--yes", "--receipt", "swept.json"]).done();
    assert!(ran.out.starts_with("1 subject erased."), "{ran:?}");
    let swept: Vec<ErasureReceipt> = serde_json::from_str(&fs::read_to_string(place.path("swept.json"))?)?;
    assert_eq!((swept.len(), place.mode("swept.json")), (1, 0o600));
    assert!(matches!(place.info(BEN).await?.state, SubjectState::Erased { .. }));
    place.run(&["cancel", BEN]).fails(3, "was erased at");
    place.run(&["sweep"]).done(); // nothing is due: nobody is asked
    place.run(&["cancel", "nobody"]).fails(4, "the subject has no keys");
    Ok(())
}

#[test]
fn a_moment_that_has_passed_or_is_none_is_refused() {
    let place = Place::new();
    for (args, why) in [
        (&["--at", "2020-01-01T00:00:00Z"][..], "the moment has passed"),
        (&["--in", "0d"], "the moment has passed"),
        (&["--at", "tomorrow"], "as 2026-12-01T09:00:00Z"),
        (&["--at", "2999-02-30T00:00:00Z"], "as 2026-12-01T09:00:00Z"),
        (&["--at", "2999-02-01T00:00:00+01:00"], "in UTC"),
        (&["--in", "a while"], "\"14d\""),
        (&["--in", "99999999999999999999d"], "\"14d\""),
        (&[], "required"),
        (&["--in", "1d", "--at", "2999-12-01T09:00:00Z"], "cannot be used with"),
    ] {
        place.run(&[&["schedule", ADA, "--yes"], args].concat()).fails(2, why);
    }
}
