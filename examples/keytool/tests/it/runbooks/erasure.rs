//! `docs/erasure.md`: one request after the other, and the end of the epoch.

use fieldseal::Error;
use fieldseal::id::Purpose;
use fieldseal::vault::ErasureStatus;
use fieldseal_testkit::customer;

use super::Result;
use super::book::runbook;
use super::company::{Company, epoch, is_destroyed};

pub(super) async fn who_asked_is_erased_for_good_and_nobody_else() -> Result {
    let company = Company::new().await?;
    company.schedule(11, 20, 6).await?;
    company.run(&runbook("erasure.md", None));
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    let customers = vault.default_tenant();
    // 9 keeps what is for billing.
    let partly = customers.inventory(&customer(9)).await?;
    for purpose in partly.purposes {
        assert_eq!(purpose.versions.is_empty(), purpose.purpose == Purpose::new("default")?, "{:?}", purpose.purpose);
    }
    company.check_rows_but(&vault, &[11, 12, 17], &[9]).await?;
    for receipt in ["receipts/2026-0041.json", "receipts/2026-0042.json", "receipts/2026-0007.json"] {
        let status = company.status(&vault, receipt).await?;
        assert!(
            matches!(&status, ErasureStatus::Final { vouched_for } if !vouched_for.is_empty()),
            "{receipt}: {status:?}"
        );
    }
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    let again = customers.enroll(&customer(17)).await;
    assert!(matches!(again, Err(Error::SubjectErased { .. })));
    Ok(())
}
