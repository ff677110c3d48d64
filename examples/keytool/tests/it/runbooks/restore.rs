//! `docs/restore.md`: an old key store is put back, and nothing that was erased comes back with it.

use std::fs;

use fieldseal::Error;
use fieldseal_testkit::customer;

use super::Result;
use super::book::runbook;
use super::company::Company;

pub(super) async fn the_erased_stay_erased_after_a_restore_and_losses_are_told() -> Result {
    let company = Company::new().await?;
    assert!(company.application_runs());
    company.run(&runbook("restore.md", None));
    assert!(!company.application_runs(), "it was stopped first");
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    let customers = vault.default_tenant();
    assert!(matches!(customers.keys(&customer(12)).await, Err(Error::SubjectErased { .. })));
    assert!(matches!(customers.keys(&customer(20)).await, Err(Error::SubjectUnknown)), "who came since the backup");
    company.check_rows(&vault, &[12, 20]).await?;
    let lost = fs::read_to_string(company.path("lost.jsonl"))?;
    assert_eq!(lost.lines().count(), 3, "an address, an account number, a letter: {lost}");
    assert!(company.has("broken/keys.db"));
    Ok(())
}
