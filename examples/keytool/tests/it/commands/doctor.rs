//! `doctor`: what is wrong is named, whatever else is wrong, and nothing is written.

use std::time::Duration;

use fieldseal::clock::{Clock as _, SystemClock};
use fieldseal::store::SlotId;
use fieldseal::vault::Enrollment;
use fieldseal::{Error, SubjectId};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;

use super::*;

pub(super) async fn doctor_names_what_is_damaged_waiting_absurd_behind_or_over_the_cap() -> Result {
    damaged_waiting_or_absurd().await?;
    behind().await?;
    over_the_cap().await
}

async fn damaged_waiting_or_absurd() -> Result {
    let folder = Folder::with_subjects().await?;
    let ran = folder.run(&["doctor"]).done();
    assert!(ran.out.starts_with("Looked at 2 subjects") && ran.out.ends_with("Nothing is wrong.\n"), "{ran:?}");

    // A key from a host whose clock is ten years ahead.
    let clock = ManualClock::new();
    clock.set_wall(SystemClock::new().wall().plus(YEAR * 10));
    folder
        .builder(folder.store().await?)
        .await?
        .clock(clock)
        .build()
        .await?
        .default_tenant()
        .enroll(&customer("cy"))
        .await?;
    let [ada, ben, cy] =
        [folder.info(ADA).await?.slot, folder.info(BEN).await?.slot, folder.info("customer:cy").await?.slot];
    // A bit of a slot's MAC, and a column of another's, of whom the journal tells something that no vault has looked at since.
    folder.damage(BEN).await?;
    folder.run(&["hold", ADA]).done();
    folder.sql(&format!("UPDATE fieldseal_slots SET state = 2 WHERE id = {}", quoted(&ada))).await?;
    folder.run(&["status"]).exits(7); // a vault starts, and leaves what it can't look at

    let before = folder.bytes().await?;
    let found = findings(&folder);
    for (sort, slot) in [("damaged", &ada), ("damaged", &ben), ("waiting", &ada), ("absurd", &cy)] {
        assert!(found.contains(&(sort.to_owned(), tag_of(slot))), "{sort}: {found:?}");
    }
    assert_eq!(found.len(), 4, "{found:?}");
    let text = folder.run(&["doctor"]).exits(8).out;
    assert!(text.contains("put its slot back") && text.contains("--made-before 2000-01-01"), "{text}");
    assert_eq!(folder.bytes().await?, before, "nothing is written");

    // A row that nobody can ask for.
    folder.sql(&format!("UPDATE fieldseal_slots SET id = x'09' WHERE id = {}", quoted(&ben))).await?;
    let text = folder.run(&["doctor"]).exits(8).out;
    assert!(text.contains("fieldseal_slots has 1 slot without an id"), "{text}");
    Ok(())
}

/// A key store that was restored, and one whose master keys are another's: no vault starts on it.
async fn behind() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.backup("backup.db").await?;
    folder.run(&["erase", ADA, "--yes"]).done();
    folder.restore("backup.db")?;
    let before = folder.bytes().await?;
    assert_eq!(findings(&folder), [("behind".to_owned(), None)]);
    let text = folder.run(&["doctor"]).exits(8).out;
    assert!(text.contains("1 change is missing") && text.contains("keytool journal replay"), "{text}");
    assert_eq!(folder.bytes().await?, before, "nothing is written");

    folder.run(&["journal", "replay", "--yes"]).done();
    assert_eq!(findings(&folder), [("suspended".to_owned(), None)]);
    folder.run(&["sweep", "--resume-retention", "--yes"]).done();
    folder.run(&["doctor"]).done();
    let ben = folder.info(BEN).await?.slot;
    folder.sql(&format!("UPDATE fieldseal_slots SET state = 2 WHERE id = {}", quoted(&ben))).await?;
    fs::copy(Folder::new().path("master.keyring"), folder.path("master.keyring"))?;
    let told = [("closed".to_owned(), None), ("damaged".to_owned(), tag_of(&ben))];
    assert_eq!(findings(&folder), told, "what needs no key is told all the same");
    Ok(())
}

/// One more than a sweep erases without a word.
async fn over_the_cap() -> Result {
    let folder = Folder::new();
    let customers = folder.customers().await?;
    let past = Enrollment::new().retain_until("2020-01-01T00:00:00.000Z".parse()?);
    for n in 1..=1001 {
        match customers.enroll_with(&SubjectId::new("customer", &n)?, &past).await {
            Err(Error::SubjectClosed { .. }) | Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
    }
    assert_eq!(findings(&folder), [("over the cap".to_owned(), None)]);
    let text = folder.run(&["doctor"]).exits(8).out;
    assert!(text.contains("1001 subjects are due, and a sweep erases 1000 at most"), "{text}");
    Ok(())
}

/// What is told, by its sort and whom it is about.
fn findings(folder: &Folder) -> Vec<(String, Option<String>)> {
    let told = folder.run(&["doctor", "--json"]).exits(8).json();
    let finding = |finding: &Value| {
        assert!(!finding["what"].as_str().unwrap().is_empty() && !finding["todo"].as_str().unwrap().is_empty());
        (finding["sort"].as_str().unwrap().to_owned(), finding["slot"]["tag"].as_str().map(str::to_owned))
    };
    told["findings"].as_array().unwrap().iter().map(finding).collect()
}

fn tag_of(slot: &SlotId) -> Option<String> {
    match slot {
        SlotId::Subject(_, tag) => Some(hex(tag.as_bytes())),
        _ => None,
    }
}

fn quoted(slot: &SlotId) -> String {
    format!("x'{}'", hex(&slot.to_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
