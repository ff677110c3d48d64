//! Several providers: a set of which any opens, and tenants with a master key of their own.

use std::collections::HashMap;
use std::sync::Arc;

use fieldseal::provider::{AnyOf, ByTenant, MasterKeyProvider, MasterKeyState};
use fieldseal::store::SqliteStore;
use fieldseal::{TenantId, Vault};

use super::*;

fn with(provider: &str) -> String {
    CONFIG.replace("\"keyring:master.keyring\"", provider)
}

async fn keyring(place: &Place, name: &str) -> Result<LocalKeyring> {
    Ok(LocalKeyring::open(place.path(name)).await?)
}

async fn vault(place: &Place, provider: impl MasterKeyProvider) -> Result<Vault> {
    let journal = FileJournal::open(place.path("erasures.journal")).await?;
    let store = SqliteStore::open(place.path("keys.db")).await?;
    Ok(Vault::builder(provider, store).journal(journal).purposes(["billing"]).build().await?)
}

const SET: &str = r#"["keyring:a.keyring", "keyring:b.keyring"]"#;

/// A set of two keyrings, with two subjects.
async fn set() -> Result<Place> {
    let place = Place::bare();
    place.configure(&with(SET));
    let made = place.run(&["init", "--json"]).done().json();
    assert_eq!(made["made"], serde_json::json!(["keyring", "keyring", "journal", "store", "vault"]));
    let both = AnyOf::new(keyring(&place, "a.keyring").await?).or(keyring(&place, "b.keyring").await?);
    let customers = vault(&place, both).await?.default_tenant();
    customers.enroll(ADA).await?;
    customers.enroll(BEN).await?;
    Ok(place)
}

#[tokio::test]
async fn one_of_a_set_that_is_away_is_missed_only_by_what_wraps() -> Result {
    let place = set().await?;
    for away in ["a.keyring", "b.keyring"] {
        fs::rename(place.path(away), place.path("safe"))?;
        let status = place.run(&["status", "--json"]).done().json();
        assert_eq!(status["subjects"]["live"], 2);
        place.run(&["rotate-subject", ADA]).done();
        let ran = place.run(&["advance-epoch", "--add-key"]).exits(2);
        assert!(ran.err.contains(&format!("there is no keyring at {away}")), "{ran:?}");
        place.run(&["init"]).fails(5, "it was lost");
        fs::rename(place.path("safe"), place.path(away))?;
    }
    fs::rename(place.path("a.keyring"), place.path("safe"))?;
    fs::rename(place.path("b.keyring"), place.path("safe too"))?;
    place.run(&["status"]).fails(4, "there is no keyring at");
    Ok(())
}

#[tokio::test]
async fn a_set_advances_to_new_keys_of_all_and_ends_with_all() -> Result {
    let place = set().await?;
    place.run(&["erase", ADA, "--yes", "--receipt", "ada.json"]).done();
    place.run(&["advance-epoch"]).fails(3, "--add-key makes one");
    // A crash left a new key in one of them: it is taken, and only the other gets one.
    let made = keyring(&place, "a.keyring").await?.add_key().await?;
    let advanced = place.run(&["advance-epoch", "--add-key", "--json"]).done().json();
    assert!(advanced["master_key"].as_str().unwrap().contains(made.as_str()), "{advanced}");
    for name in ["a.keyring", "b.keyring"] {
        assert_eq!(keyring(&place, name).await?.keys().await?.len(), 2, "{name}");
    }
    place.run(&["rewrap"]).done();
    assert_eq!(place.run(&["retire-epoch", "1", "--yes", "--json"]).done().json()["end"], "destroyed_here");
    for name in ["a.keyring", "b.keyring"] {
        let keys = keyring(&place, name).await?.keys().await?;
        assert_eq!(
            keys.iter().filter(|key| !matches!(key.state(), MasterKeyState::Destroyed { .. })).count(),
            1,
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn one_provider_becomes_a_set_and_one_again() -> Result {
    let place = Place::with_subjects().await?;
    place.configure(&with(r#"["keyring:master.keyring", "keyring:b.keyring"]"#));
    assert_eq!(place.run(&["init", "--json"]).done().json()["made"], serde_json::json!(["keyring"]));
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap"]).done();
    place.run(&["retire-epoch", "1", "--yes"]).done();
    // Back, by the one that came.
    place.configure(&format!(
        "previous = [{}]\n{}",
        r#"["keyring:master.keyring", "keyring:b.keyring"]"#,
        with("\"keyring:b.keyring\"")
    ));
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap"]).done();
    let retired = place.run(&["retire-epoch", "2", "--yes", "--json"]).done().json();
    assert_eq!(retired["end"], "destroyed_here");
    place.configure(&with("\"keyring:b.keyring\""));
    fs::remove_file(place.path("master.keyring"))?;
    assert_eq!(place.run(&["status", "--json"]).done().json()["subjects"]["live"], 2);
    vault(&place, keyring(&place, "b.keyring").await?).await?.default_tenant().keys(ADA).await?;
    Ok(())
}

#[tokio::test]
async fn one_before_that_is_away_holds_up_nothing_but_the_end_of_a_master_key() -> Result {
    let place = Place::with_subjects().await?;
    let both = format!("previous = [\"keyring:master.keyring\"]\n{}", with("\"keyring:new.keyring\""));
    place.configure(&both);
    place.run(&["init"]).done();
    place.run(&["advance-epoch"]).done();
    // What only the one before opens can't do without it.
    fs::rename(place.path("master.keyring"), place.path("safe"))?;
    place.run(&["rotate-subject", BEN]).fails(2, "there is no keyring at master.keyring");
    fs::rename(place.path("safe"), place.path("master.keyring"))?;
    place.run(&["rewrap"]).done();

    fs::rename(place.path("master.keyring"), place.path("safe"))?;
    let before = place.everything().await?;
    for more in [&["--yes"][..], &["--dry-run"]] {
        let ran = place.run(&[&["retire-epoch", "1"][..], more].concat()).fails(2, "Nothing was destroyed");
        assert!(ran.err.contains("there is no keyring at master.keyring"), "{ran:?}");
    }
    assert_eq!(place.everything().await?, before);
    place.run(&["erase", ADA, "--yes", "--receipt", "ada.json"]).done();
    place.run(&["rotate-subject", BEN]).done();
    let status = place.run(&["status", "--json"]).done().json();
    assert_eq!((&status["subjects"]["live"], &status["subjects"]["erased"]), (&1.into(), &1.into()));
    assert!(status["advice"][0].as_str().unwrap().contains("there is no keyring at master.keyring"), "{status}");
    let waits = place.run(&["receipt", "verify", "ada.json"]).exits(7);
    assert!(waits.out.contains("the provider could not say"), "{waits:?}");

    fs::rename(place.path("safe"), place.path("master.keyring"))?;
    let retired = place.run(&["retire-epoch", "1", "--yes", "--json"]).done().json();
    assert_eq!(retired["end"], "destroyed_here", "{retired}");
    Ok(())
}

#[tokio::test]
async fn a_tenant_with_a_master_key_of_its_own_is_rotated_with_it_and_erased_without() -> Result {
    let place = Place::bare();
    let config = format!("{CONFIG}[tenant_providers]\nacme = \"keyring:acme.keyring\"\n");
    place.configure(&config);
    place.run(&["init"]).done();
    assert!(place.has("acme.keyring"));
    let acme_has = keyring(&place, "acme.keyring").await?;
    let own: HashMap<TenantId, Arc<dyn MasterKeyProvider>> = HashMap::from([(acme(), Arc::new(acme_has) as _)]);
    let common = keyring(&place, "master.keyring").await?;
    vault(&place, ByTenant::new(common, own)).await?.tenant(&acme()).enroll(ADA).await?;
    place.customers().await?.enroll(BEN).await?;
    place.run(&["rotate-subject", ADA, "--tenant", "acme"]).done();

    fs::rename(place.path("acme.keyring"), place.path("revoked"))?;
    let refused = place.run(&["rotate-subject", ADA, "--tenant", "acme"]).exits(2);
    assert!(refused.err.contains("there is no keyring at acme.keyring"), "{refused:?}");
    place.run(&["rotate-subject", BEN]).done(); // the others go on
    place.run(&["init"]).fails(5, "the tenant has keys already");
    place.run(&["erase", ADA, "--tenant", "acme", "--yes", "--receipt", "ada.json"]).done();

    // Another one, with the former behind it: from the next epoch on.
    LocalKeyring::generate(place.path("new.keyring")).await?;
    fs::rename(place.path("revoked"), place.path("acme.keyring"))?;
    let both = r#"{ provider = "keyring:new.keyring", previous = ["keyring:acme.keyring"] }"#;
    place.configure(&config.replace("\"keyring:acme.keyring\"", both));
    place.run(&["advance-epoch", "--add-key"]).done();
    place.run(&["rewrap"]).done();
    place.run(&["retire-epoch", "1", "--yes"]).done();
    place.configure(&config.replace("acme.keyring", "new.keyring"));
    place.run(&["rotate-subject", BEN]).done();
    assert_eq!(place.run(&["status", "--json"]).done().json()["failed"], serde_json::json!([]));
    place.configure(&config.replace("acme =", "\"\" ="));
    place.run(&["status"]).fails(2, "tenant_providers, \"\"");
    Ok(())
}
