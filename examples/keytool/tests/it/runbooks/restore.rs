//! `docs/restore.md`: an old key store is put back, and nothing that was erased comes back with it.

use std::fs;

use fieldseal::Error;

use super::Result;
use super::book::runbook;
use super::world::Place;

#[tokio::test]
async fn who_was_erased_since_the_backup_stays_erased_and_what_is_lost_is_told() -> Result {
    let place = Place::new().await?;
    assert!(place.application_runs());
    place.run(&runbook("restore.md", None));
    assert!(!place.application_runs(), "it was stopped first");
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    let customers = vault.default_tenant();
    assert!(matches!(customers.keys(&12).await, Err(Error::SubjectErased { .. })));
    assert!(matches!(customers.keys(&20).await, Err(Error::SubjectUnknown)), "who came since the backup");
    place.check_rows(&vault, &[12, 20]).await?;
    let lost = fs::read_to_string(place.path("lost.jsonl"))?;
    assert_eq!(lost.lines().count(), 3, "an address, an account number, a letter: {lost}");
    assert!(place.has("broken/keys.db"));
    Ok(())
}
