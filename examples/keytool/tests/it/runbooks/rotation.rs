//! `docs/rotation.md`: a year's work.

use fieldseal::vault::ErasureStatus;

use super::Result;
use super::book::runbook;
use super::company::{Company, epoch, is_destroyed, versions};

pub(super) async fn every_key_is_new_and_what_is_old_has_ended() -> Result {
    let company = Company::new().await?;
    company.run(&runbook("rotation.md", None));
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    company.check_all_are_new(&vault, &[12]).await?;
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
    let status = company.status(&vault, "receipts/2026-0007.json").await?;
    assert!(matches!(status, ErasureStatus::Final { .. }), "{status:?}");
    // The backups that are left open, with the copy of the keyring that is left.
    let vault = company.vault_of("backups/keys-epoch-2.db", company.keyring("elsewhere/master.keyring").await?).await?;
    company.check_all_are_new(&vault, &[12]).await?;
    assert!(company.vault_of("backups/keys.db", company.keyring("master.keyring").await?).await.is_err());
    Ok(())
}
