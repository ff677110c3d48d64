//! `docs/emergency.md`: each of its sections, on a folder of its own; and what somebody who has a copy from before can do.

use std::fs;

use fieldseal::Error;
use fieldseal::provider::ProviderErrorKind;

use super::Result;
use super::book::runbook;
use super::world::{Place, epoch, is_destroyed, versions};

/// The sections that have commands.
pub(crate) const DAYS: &[&str] = &[
    "The application's tables",
    "The key store alone",
    "The passphrase",
    "Data keys, or a process's memory",
    "The master keys",
];

async fn place_after(day: &str) -> Result<Place> {
    let place = Place::new().await?;
    // What the thief has.
    place.copy_of_store("stolen.db").await?;
    fs::copy(place.path("master.keyring"), place.path("stolen.keyring"))?;
    place.run(&runbook("emergency.md", Some(day)));
    Ok(place)
}

/// A key store that was copied before does not open any more with the keyring as it is now.
async fn check_copy_is_dead(place: &Place, keyring: &str) -> Result {
    let opened = place.vault_of("stolen.db", place.keyring(keyring).await?).await;
    let kinds = [ProviderErrorKind::KeyDestroyed, ProviderErrorKind::UnknownKey];
    assert!(matches!(&opened, Err(Error::Provider(e)) if kinds.contains(&e.kind())), "{opened:?}");
    Ok(())
}

#[tokio::test]
async fn after_tables_leaked_every_value_is_under_a_new_key_and_the_unused_old_ones_are_gone() -> Result {
    let place = place_after("The application's tables").await?;
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    place.check_all_are_new(&vault, &[12]).await?;
    for id in 1..=6 {
        assert_eq!(versions(&vault, id).await?, [2, 3], "what was superseded long ago is retired");
    }
    assert_eq!(versions(&vault, 7).await?, [1, 2], "what was superseded today waits for its grace");
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    check_copy_is_dead(&place, "master.keyring").await
}

#[tokio::test]
async fn after_the_key_store_leaked_the_copy_opens_with_nothing_that_is_left() -> Result {
    let place = place_after("The key store alone").await?;
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    place.check_rows(&vault, &[12]).await?;
    assert!(is_destroyed(&epoch(&vault, 1).await?));
    assert!(!place.has("backups/keys.db") && place.has("backups/keys-epoch-2.db"));
    check_copy_is_dead(&place, "master.keyring").await
}

#[tokio::test]
async fn after_a_passphrase_leaked_it_opens_a_keyring_that_opens_nothing() -> Result {
    let place = Place::with_passphrase().await?;
    place.copy_of_store("stolen.db").await?;
    place.run(&runbook("emergency.md", Some("The passphrase")));
    let passphrase = fs::read_to_string(place.path("elsewhere/new.passphrase"))?;
    let new = place.keyring_behind("elsewhere/new.keyring", passphrase.trim_end()).await?;
    place.check_rows(&place.vault(new).await?, &[12]).await?;
    let old = place.keyring_behind("master.keyring", super::world::PASSPHRASE).await?;
    assert!(place.vault(old.clone()).await.is_err());
    let opened = place.vault_of("stolen.db", old).await;
    assert!(matches!(&opened, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::KeyDestroyed), "{opened:?}");
    Ok(())
}

#[tokio::test]
async fn after_data_keys_leaked_every_value_is_under_a_new_one() -> Result {
    let place = place_after("Data keys, or a process's memory").await?;
    let vault = place.vault(place.keyring("master.keyring").await?).await?;
    place.check_all_are_new(&vault, &[12]).await?;
    assert_eq!(versions(&vault, 17).await?, [1, 2, 3], "once alone, once with everybody");
    assert!(is_destroyed(&epoch(&vault, 1).await?), "the wrapping keys that leaked wrap nothing");
    Ok(())
}

#[tokio::test]
async fn after_master_keys_leaked_nothing_is_under_a_key_that_they_open() -> Result {
    let place = place_after("The master keys").await?;
    let vault = place.vault(place.keyring("elsewhere/new.keyring").await?).await?;
    place.check_all_are_new(&vault, &[12]).await?;
    // The thief's keyring has the old master key, destroyed or not: it opens the key store that he copied, and no later one.
    let thief = place.keyring("stolen.keyring").await?;
    assert!(place.vault_of("stolen.db", thief.clone()).await.is_ok());
    let now = place.vault(thief).await;
    assert!(matches!(&now, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::UnknownKey), "{now:?}");
    assert!(!place.has("backups/keys.db"));
    check_copy_is_dead(&place, "master.keyring").await
}
