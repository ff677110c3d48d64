//! `docs/emergency.md`: each of its sections, on a folder of its own; and what somebody who has a copy from before can do.

use std::fs;

use fieldseal::Error;
use fieldseal::provider::ProviderErrorKind;

use super::Result;
use super::book::runbook;
use super::company::{Company, epoch, is_destroyed, versions};

/// The sections that have commands.
pub(crate) const DAYS: &[&str] = &[
    "The application's tables",
    "The key store alone",
    "The passphrase",
    "Data keys, or a process's memory",
    "The master keys",
];

async fn place_after(day: &str) -> Result<Company> {
    let company = Company::new().await?;
    // What the thief has.
    company.copy_of_store("stolen.db").await?;
    fs::copy(company.path("master.keyring"), company.path("stolen.keyring"))?;
    company.run(&runbook("emergency.md", Some(day)));
    Ok(company)
}

/// A key store that was copied before does not open any more with the keyring as it is now.
async fn check_copy_is_dead(company: &Company, keyring: &str) -> Result {
    let opened = company.vault_of("stolen.db", company.keyring(keyring).await?).await;
    let kinds = [ProviderErrorKind::KeyDestroyed, ProviderErrorKind::UnknownKey];
    assert!(matches!(&opened, Err(Error::Provider(e)) if kinds.contains(&e.kind())), "{opened:?}");
    Ok(())
}

pub(super) async fn after_tables_leaked_all_has_new_keys_and_unused_ones_end() -> Result {
    let company = place_after("The application's tables").await?;
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    company.check_all_are_new(&vault, &[12]).await?;
    for id in 1..=6 {
        assert_eq!(versions(&vault, id).await?, [2, 3], "what was superseded long ago is retired");
    }
    assert_eq!(versions(&vault, 7).await?, [1, 2], "what was superseded today waits for its grace");
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    check_copy_is_dead(&company, "master.keyring").await
}

pub(super) async fn after_the_key_store_leaked_nothing_left_opens_the_copy() -> Result {
    let company = place_after("The key store alone").await?;
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    company.check_rows(&vault, &[12]).await?;
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    assert!(!company.has("backups/keys.db") && company.has("backups/keys-epoch-2.db"));
    check_copy_is_dead(&company, "master.keyring").await
}

pub(super) async fn after_a_passphrase_leaked_its_keyring_opens_nothing() -> Result {
    let company = Company::with_passphrase().await?;
    company.copy_of_store("stolen.db").await?;
    company.run(&runbook("emergency.md", Some("The passphrase")));
    let passphrase = fs::read_to_string(company.path("elsewhere/new.passphrase"))?;
    let new = company.keyring_behind("elsewhere/new.keyring", passphrase.trim_end()).await?;
    company.check_rows(&company.vault(new).await?, &[12]).await?;
    let old = company.keyring_behind("master.keyring", super::company::PASSPHRASE).await?;
    assert!(company.vault(old.clone()).await.is_err());
    let opened = company.vault_of("stolen.db", old).await;
    assert!(matches!(&opened, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed), "{opened:?}");
    Ok(())
}

pub(super) async fn after_data_keys_leaked_every_value_is_under_a_new_one() -> Result {
    let company = place_after("Data keys, or a process's memory").await?;
    let vault = company.vault(company.keyring("master.keyring").await?).await?;
    company.check_all_are_new(&vault, &[12]).await?;
    assert_eq!(versions(&vault, 17).await?, [1, 2, 3], "once alone, once with everybody");
    assert!(is_destroyed(&epoch(&vault, 1).await?), "the wrapping keys that leaked wrap nothing");
    Ok(())
}

pub(super) async fn after_master_keys_leaked_they_open_nothing_that_is_in_use() -> Result {
    let company = place_after("The master keys").await?;
    let vault = company.vault(company.keyring("elsewhere/new.keyring").await?).await?;
    company.check_all_are_new(&vault, &[12]).await?;
    // The thief's keyring has the old master key, destroyed or not: it opens the key store that he copied, and no later one.
    let thief = company.keyring("stolen.keyring").await?;
    assert!(company.vault_of("stolen.db", thief.clone()).await.is_ok());
    let now = company.vault(thief).await;
    assert!(matches!(&now, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::UnknownKey), "{now:?}");
    assert!(!company.has("backups/keys.db"));
    check_copy_is_dead(&company, "master.keyring").await
}
