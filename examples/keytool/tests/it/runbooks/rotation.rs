//! `docs/rotation.md`: a year's work.

use fieldseal::lifecycle::ErasureStatus;

use super::Result;
use super::book::runbook;
use super::world::{Place, epoch, is_destroyed, versions};

#[tokio::test]
async fn every_key_is_new_and_what_is_old_has_ended() -> Result {
    let place = Place::new().await?;
    place.run(&runbook("rotation.md", None));
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    place.check_all_are_new(&vault, &[12]).await?;
    for id in 1..=6 {
        assert_eq!(versions(&vault, id).await?, [2, 3], "what was superseded 60 days ago is retired");
    }
    for id in [7, 17, 20] {
        assert_eq!(
            versions(&vault, id).await?,
            [1, 2],
            "what was superseded today isn't, and nobody was rotated twice"
        );
    }
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    let status = place.status(&vault, "receipts/2026-0007.json").await?;
    assert!(matches!(status, ErasureStatus::Final { .. }), "{status:?}");
    // The backups that are left open, with the copy of the keyring that is left.
    let vault = place.vault_of("backups/keys-epoch-2.db", place.keyring("elsewhere/master.keyring").await?).await?;
    place.check_all_are_new(&vault, &[12]).await?;
    assert!(place.vault_of("backups/keys.db", place.keyring("master.keyring").await?).await.is_err());
    Ok(())
}
