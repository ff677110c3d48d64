//! `docs/erasure.md`: one request after the other, and the end of the epoch.

use fieldseal::Error;
use fieldseal::id::Purpose;
use fieldseal::lifecycle::ErasureStatus;

use super::Result;
use super::book::runbook;
use super::world::{Place, epoch, is_destroyed};

#[tokio::test]
async fn who_asked_is_erased_for_good_and_nobody_else() -> Result {
    let place = Place::new().await?;
    place.schedule(11, 20, 6).await?;
    place.run(&runbook("erasure.md", None));
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    let customers = vault.default_tenant();
    // 9 keeps what is for billing.
    let partly = customers.inventory(&9).await?;
    for purpose in partly.purposes {
        assert_eq!(purpose.versions.is_empty(), purpose.purpose == Purpose::new("default")?, "{:?}", purpose.purpose);
    }
    place.check_rows_but(&vault, &[11, 12, 17], &[9]).await?;
    for receipt in ["receipts/2026-0041.json", "receipts/2026-0042.json", "receipts/2026-0007.json"] {
        let status = place.status(&vault, receipt).await?;
        assert!(
            matches!(&status, ErasureStatus::Final { vouched_for } if !vouched_for.is_empty()),
            "{receipt}: {status:?}"
        );
    }
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    let again = customers.enroll(&17).await;
    assert!(matches!(again, Err(Error::SubjectErased { .. })));
    Ok(())
}
