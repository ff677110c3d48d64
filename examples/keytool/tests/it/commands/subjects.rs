//! Rotating, erasing, scheduling and holding single subjects.

use fieldseal::Error;
use fieldseal::vault::{ErasureReceipt, SubjectState, VersionState};
use fieldseal_testkit::customer;

use super::*;

fn receipt(folder: &Folder, name: &str) -> Result<ErasureReceipt> {
    Ok(serde_json::from_str(&fs::read_to_string(folder.path(name))?)?)
}

pub(super) async fn a_rotated_subject_has_a_new_version_later_or_at_once() -> Result {
    let folder = Folder::with_subjects().await?;
    let states = async || -> Result<Vec<VersionState>> {
        Ok(folder.info(ADA).await?.purposes[1].versions.iter().map(|version| version.state).collect())
    };
    let ran = folder.run(&["rotate-subject", ADA]).done();
    assert!(ran.out.contains(" UTC on."), "{ran:?}");
    assert_eq!(states().await?, [VersionState::Current, VersionState::Pending]);
    let from = folder.run(&["rotate-subject", ADA, "--json"]).done().json()["seal_from"].clone();
    assert_eq!(from, folder.info(ADA).await?.purposes[1].versions[1].seal_from.unwrap().to_string(), "no second one");

    folder.run(&["rotate-subject", ADA, "--now"]).fails(3, "--yes");
    assert_eq!(states().await?.len(), 2);
    folder.run(&["rotate-subject", ADA, "--now", "--yes"]).done();
    assert_eq!(states().await?.last(), Some(&VersionState::Current));
    assert_eq!(folder.info(BEN).await?.purposes[1].versions.len(), 1);
    folder.run(&["rotate-subject", "customer:nobody"]).fails(4, "no such subject");
    Ok(())
}

pub(super) async fn an_erased_subject_is_gone_and_its_receipt_is_kept() -> Result {
    let folder = Folder::with_subjects().await?;
    for named in [&["erase", ADA][..], &["erase", ADA, ADA]] {
        folder.run(named).fails(3, "Destroy every key of 1 subject (2 data keys in all), for good?");
    }
    assert_eq!(folder.info(ADA).await?.state, SubjectState::Live);
    let args = ["erase", ADA, "--reference", "request 4711", "--receipt", "receipt.json", "--yes"];
    let ran = folder.run(&args).done();
    assert!(ran.out.starts_with("Erasure of subject ") && ran.out.contains("request 4711"), "{ran:?}");
    assert!(matches!(folder.customers().await?.keys(&parsed(ADA)).await, Err(Error::SubjectErased { .. })));
    folder.customers().await?.keys(&parsed(BEN)).await?;
    let kept = receipt(&folder, "receipt.json")?;
    assert_eq!(
        (kept.reference(), kept.tag()),
        (Some("request 4711"), Some(&folder.customers().await?.tag(&parsed(ADA)).await?))
    );
    assert_eq!(folder.mode("receipt.json"), 0o600);
    assert!(!folder.has("receipt.json.new"));

    folder.run(&args).fails(3, "can't write receipt.json"); // it is never replaced
    assert_eq!(receipt(&folder, "receipt.json")?, kept);
    let again = folder.run(&["erase", ADA, "--yes", "--json"]).done().json();
    let again: ErasureReceipt = serde_json::from_value(again["receipts"][0].clone())?;
    assert_eq!((again.erased_at(), again.purposes()), (kept.erased_at(), kept.purposes()));
    for command in [&["rotate-subject", ADA][..], &["hold", ADA], &["schedule", ADA, "--in", "1d", "--yes"]] {
        folder.run(command).fails(3, "was erased at");
    }
    Ok(())
}

pub(super) async fn one_purpose_is_erased_alone() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["erase", ADA, "--purpose", "billing", "--yes"]).done();
    let info = folder.info(ADA).await?;
    let live: Vec<_> = info.purposes.iter().map(|p| (p.purpose.as_str(), p.versions.len())).collect();
    assert_eq!(live, [("billing", 0), ("default", 1)]);
    folder.run(&["erase", ADA, "--purpose", "marketing", "--yes"]).fails(4, "purpose");
    Ok(())
}

pub(super) async fn of_many_those_that_can_be_are_erased_and_the_others_listed() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.customers().await?.enroll(&customer("cy")).await?;
    folder.run(&["hold", ADA]).done();
    let args = ["erase", ADA, BEN, "customer:nobody", "customer:cy", "--yes", "--json", "--receipt", "receipts.json"];
    let ran = folder.run(&args).exits(7).json();
    let failed: Vec<_> = ran["failed"].as_array().unwrap().iter().collect();
    let named: Vec<_> = failed.iter().map(|f| (f["argument"].as_u64(), f["error"]["kind"].as_str())).collect();
    assert_eq!(named, [(Some(1), Some("subject_held")), (Some(3), Some("subject_unknown"))]);
    assert_eq!(ran["receipts"].as_array().unwrap().len(), 2);
    let kept: Vec<ErasureReceipt> = serde_json::from_str(&fs::read_to_string(folder.path("receipts.json"))?)?;
    assert_eq!(kept.len(), 2);
    folder.run(&["receipt", "verify", "receipts.json"]).exits(7);
    assert_eq!(folder.info(ADA).await?.state, SubjectState::Live);
    for subject in [BEN, "customer:cy"] {
        assert!(matches!(folder.info(subject).await?.state, SubjectState::Erased { .. }));
    }
    // One alone that is held is a refusal, and leaves no file.
    folder.run(&["erase", ADA, "--yes", "--receipt", "none.json"]).fails(3, "release it first");
    assert!(!folder.has("none.json") && !folder.has("none.json.new"));
    folder.run(&["release", ADA]).done();
    folder.run(&["erase", ADA, "--yes"]).done();
    Ok(())
}

pub(super) async fn a_mistyped_subject_is_not_erased_unless_it_is_said() -> Result {
    let folder = Folder::with_subjects().await?;
    let before = folder.everything().await?;
    folder
        .run(&["erase", "customer:nobody", "--yes", "--receipt", "r.json"])
        .fails(4, "neither key store nor journal knows such a subject");
    assert_eq!(folder.everything().await?, before);
    folder.run(&["erase", "customer:nobody", "--even-if-unknown", "--yes"]).done();
    assert!(matches!(folder.customers().await?.enroll(&customer("nobody")).await, Err(Error::SubjectErased { .. })));
    folder.run(&["erase", "customer:ada", "--tenant", "acme", "--yes"]).fails(4, "knows such a subject");
    Ok(())
}

/// A backup from before a subject was enrolled: of whom only the journal knows.
async fn with_one_that_only_the_journal_knows(then: &[&str]) -> Result<Folder> {
    let folder = Folder::with_subjects().await?;
    folder.backup("backup.db").await?;
    folder.enroll_and_close(&customer("cy")).await?;
    folder.run(then).done();
    folder.restore("backup.db")?;
    assert!(matches!(folder.customers().await?.inventory(&customer("cy")).await, Err(Error::SubjectUnknown)));
    Ok(folder)
}

pub(super) async fn a_dry_run_of_an_erasure_asks_the_journal_as_the_erasure_does() -> Result {
    let folder = with_one_that_only_the_journal_knows(&["hold", "customer:cy"]).await?;
    folder.run(&["status"]).done();
    let before = folder.everything().await?;
    for even in [&[][..], &["--even-if-unknown"]] {
        for run in [&["--dry-run"][..], &["--yes"]] {
            let args = [&["erase", "customer:cy"], even, run].concat();
            folder.run(&args).fails(3, "a hold stands on the subject");
        }
    }
    let ran = folder.run(&["erase", "customer:cy", "customer:nobody", ADA, "--dry-run", "--json"]).exits(7).json();
    let kind = |n: usize| (&ran["failed"][n]["argument"], &ran["failed"][n]["error"]["kind"]);
    assert_eq!(kind(0), (&1.into(), &"subject_held".into()));
    assert_eq!(kind(1), (&2.into(), &"subject_unknown".into()));
    assert_eq!((&ran["would_erase"][0]["argument"], ran["would_erase"].as_array().unwrap().len()), (&3.into(), 1));
    folder
        .run(&["erase", "customer:nobody", "--dry-run"])
        .fails(4, "neither key store nor journal knows such a subject");
    let ran = folder.run(&["release", "customer:cy", "--dry-run"]).done();
    assert!(ran.out.contains("known to the journal alone, on hold"), "{ran:?}");
    folder.run(&["release", "customer:nobody", "--dry-run"]).fails(4, "no such subject");
    assert_eq!(folder.everything().await?, before);

    folder.run(&["release", "customer:cy"]).done();
    let dry = folder.run(&["erase", "customer:cy", "--dry-run", "--json"]).done().json();
    assert_eq!(dry["would_erase"][0]["subject"]["state"], "journaled");
    folder.run(&["erase", "customer:cy", "--yes", "--receipt", "r.json"]).done();
    assert!(receipt(&folder, "r.json")?.was_known());
    Ok(())
}

pub(super) async fn a_dry_run_of_what_would_be_refused_is_refused() -> Result {
    let folder = with_one_that_only_the_journal_knows(&["schedule", "customer:cy", "--in", "14d", "--yes"]).await?;
    folder.run(&["hold", BEN]).done();
    folder.run(&["erase", ADA, "--yes"]).done();
    for (args, code, why) in [
        (&["hold", ADA][..], 3, "was erased at"),
        (&["rotate-subject", ADA], 3, "was erased at"),
        (&["schedule", ADA, "--in", "1d"], 3, "was erased at"),
        (&["cancel", ADA], 3, "was erased at"),
        (&["schedule", BEN, "--in", "1d"], 3, "a hold stands on the subject"),
        (&["erase", BEN], 3, "a hold stands on the subject"),
        (&["hold", "customer:cy"], 4, "no such subject"),
        (&["cancel", "customer:nobody"], 4, "no such subject"),
    ] {
        let asks = !matches!(args[0], "hold" | "cancel");
        folder.run(&[args, &["--dry-run"]].concat()).fails(code, why);
        folder.run(&[args, if asks { &["--yes"][..] } else { &[] }].concat()).fails(code, why);
    }
    folder.run(&["cancel", "customer:cy", "--dry-run"]).done();
    folder.run(&["cancel", "customer:cy"]).done();
    folder.run(&["cancel", "customer:cy", "--dry-run"]).fails(4, "no such subject");
    Ok(())
}

pub(super) async fn subjects_can_be_read_from_standard_input() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run_reading(&["rotate-subject", "-"], &format!("{ADA}\n")).done();
    assert_eq!(folder.info(ADA).await?.purposes[0].versions.len(), 2);
    folder.run_reading(&["rotate-subject", "-"], &format!("{ADA}\n{BEN}\n")).fails(2, "one subject");
    folder.run_reading(&["erase", "-", "--yes"], "\n").fails(2, "no subject");
    let ran = folder.run_reading(&["erase", "-", "--yes", "--json"], &format!("{ADA}\n\n{BEN}\n{ADA}\n")).done();
    assert_eq!(ran.json()["receipts"].as_array().unwrap().len(), 2);
    Ok(())
}

pub(super) async fn subjects_of_another_tenant_are_others() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.vault().await?.tenant(&acme()).enroll(&parsed(ADA)).await?;
    folder.run(&["erase", ADA, "--tenant", "acme", "--yes"]).done();
    folder.customers().await?.keys(&parsed(ADA)).await?;
    assert!(folder.vault().await?.tenant(&acme()).keys(&parsed(ADA)).await.is_err());
    folder.run(&["hold", ADA, "--tenant", ""]).fails(2, "tenant");
    Ok(())
}

pub(super) async fn a_held_subject_stays_until_it_is_released() -> Result {
    let folder = Folder::with_subjects().await?;
    for _ in 0..2 {
        folder.run(&["hold", ADA]).done();
    }
    assert!(folder.info(ADA).await?.held);
    folder.run(&["erase", ADA, "--yes"]).fails(3, "a hold stands on the subject");
    folder.run(&["schedule", ADA, "--in", "14d", "--yes"]).fails(3, "a hold stands on the subject");
    folder.run(&["release", ADA]).done();
    assert!(!folder.info(ADA).await?.held);
    for command in ["hold", "release"] {
        folder.run(&[command, "customer:nobody"]).fails(4, "no such subject");
    }
    Ok(())
}

pub(super) async fn a_scheduled_erasure_is_called_off_or_swept_when_it_is_due() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.run(&["schedule", ADA, "--in", "14d"]).fails(3, "--yes");
    let at = folder.run(&["schedule", ADA, "--in", "14d", "--yes", "--json"]).done().json()["at"].clone();
    assert_eq!(folder.info(ADA).await?.state, SubjectState::Scheduled { at: at.as_str().unwrap().parse()? });
    folder.run(&["cancel", ADA]).done();
    folder.customers().await?.keys(&parsed(ADA)).await?;
    folder.run(&["schedule", ADA, "--at", "2999-12-01T09:00:00Z", "--yes"]).done();
    assert_eq!(folder.info(ADA).await?.state, SubjectState::Scheduled { at: "2999-12-01T09:00:00.000Z".parse()? });
    assert_eq!(folder.run(&["sweep", "--yes", "--json"]).done().json()["receipts"], serde_json::json!([]), "not due");

    // Due: by another process, a moment ago.
    let soon = "2020-01-01T00:00:00.000Z".parse()?;
    folder.customers().await?.schedule_erasure(&parsed(BEN), soon).await?;
    assert_eq!(folder.run(&["sweep", "--dry-run", "--json"]).done().json()["due"], 1);
    folder.run(&["sweep"]).fails(3, "Destroy every key of 1 subject that is due, for good?");
    let ran = folder.run(&["sweep", "--yes", "--receipt", "swept.json"]).done();
    assert!(ran.out.starts_with("1 subject erased."), "{ran:?}");
    let swept: Vec<ErasureReceipt> = serde_json::from_str(&fs::read_to_string(folder.path("swept.json"))?)?;
    assert_eq!((swept.len(), folder.mode("swept.json")), (1, 0o600));
    assert!(matches!(folder.info(BEN).await?.state, SubjectState::Erased { .. }));
    folder.run(&["cancel", BEN]).fails(3, "was erased at");
    folder.run(&["sweep"]).done(); // nothing is due: nobody is asked
    folder.run(&["cancel", "customer:nobody"]).fails(4, "no such subject");
    Ok(())
}

pub(super) fn a_moment_that_has_passed_or_is_none_is_refused() {
    let folder = Folder::new();
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
        folder.run(&[&["schedule", ADA, "--yes"], args].concat()).fails(2, why);
    }
}
