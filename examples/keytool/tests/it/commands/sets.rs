//! Several providers: a set of which any opens, and tenants with a master key of their own.

use std::collections::HashMap;
use std::sync::Arc;

use fieldseal::provider::{AnyOf, ByTenant, MasterKeyProvider, MasterKeyState};
use fieldseal::{TenantId, Vault};
use fieldseal_sqlx::SqliteStore;

use super::*;

fn with(provider: &str) -> String {
    CONFIG.replace("\"keyring:master.keyring\"", provider)
}

async fn keyring(folder: &Folder, name: &str) -> Result<LocalKeyring> {
    Ok(LocalKeyring::open(folder.path(name)).await?)
}

async fn vault(folder: &Folder, provider: impl MasterKeyProvider) -> Result<Vault> {
    let journal = FileJournal::open(folder.path("erasures.journal")).await?;
    let store = SqliteStore::open(folder.path("keys.db")).await?;
    Ok(Vault::builder(provider, store).kinds(["customer"]).journal(journal).purposes(["billing"]).build().await?)
}

const SET: &str = r#"["keyring:a.keyring", "keyring:b.keyring"]"#;

/// A set of two keyrings, with two subjects.
async fn set() -> Result<Folder> {
    let folder = Folder::bare();
    folder.configure(&with(SET));
    let made = folder.run(&["init", "--json"]).done().json();
    assert_eq!(made["made"], serde_json::json!(["keyring", "keyring", "journal", "store", "vault"]));
    let both = AnyOf::new(keyring(&folder, "a.keyring").await?).member(keyring(&folder, "b.keyring").await?);
    let customers = vault(&folder, both).await?.default_tenant();
    customers.enroll(&parsed(ADA)).await?;
    customers.enroll(&parsed(BEN)).await?;
    Ok(folder)
}

pub(super) async fn one_of_a_set_that_is_away_is_missed_only_by_what_wraps() -> Result {
    let folder = set().await?;
    for away in ["a.keyring", "b.keyring"] {
        fs::rename(folder.path(away), folder.path("safe"))?;
        let status = folder.run(&["status", "--json"]).done().json();
        assert_eq!(status["subjects"]["live"], 2);
        folder.run(&["rotate-subject", ADA]).done();
        let ran = folder.run(&["advance-epoch", "--add-key"]).exits(2);
        assert!(ran.err.contains(&format!("there is no keyring at {away}")), "{ran:?}");
        folder.run(&["init"]).fails(5, "it was lost");
        fs::rename(folder.path("safe"), folder.path(away))?;
    }
    fs::rename(folder.path("a.keyring"), folder.path("safe"))?;
    fs::rename(folder.path("b.keyring"), folder.path("safe too"))?;
    folder.run(&["status"]).fails(4, "there is no keyring at");
    Ok(())
}

pub(super) async fn a_set_advances_to_new_keys_of_all_and_ends_with_all() -> Result {
    let folder = set().await?;
    folder.run(&["erase", ADA, "--yes", "--receipt", "ada.json"]).done();
    folder.run(&["advance-epoch"]).fails(3, "--add-key makes one");
    // A crash left a new key in one of them: it is taken, and only the other gets one.
    let made = keyring(&folder, "a.keyring").await?.add_key().await?;
    let advanced = folder.run(&["advance-epoch", "--add-key", "--json"]).done().json();
    assert!(advanced["master_key"].as_str().unwrap().contains(made.as_str()), "{advanced}");
    for name in ["a.keyring", "b.keyring"] {
        assert_eq!(keyring(&folder, name).await?.keys().await?.len(), 2, "{name}");
    }
    folder.run(&["rewrap"]).done();
    assert_eq!(folder.run(&["retire-epoch", "1", "--yes", "--json"]).done().json()["end"], "destroyed_here");
    for name in ["a.keyring", "b.keyring"] {
        let keys = keyring(&folder, name).await?.keys().await?;
        assert_eq!(
            keys.iter().filter(|key| !matches!(key.state(), MasterKeyState::Destroyed { .. })).count(),
            1,
            "{name}"
        );
    }
    Ok(())
}

pub(super) async fn one_provider_becomes_a_set_and_one_again() -> Result {
    let folder = Folder::with_subjects().await?;
    folder.configure(&with(r#"["keyring:master.keyring", "keyring:b.keyring"]"#));
    assert_eq!(folder.run(&["init", "--json"]).done().json()["made"], serde_json::json!(["keyring"]));
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    // Back, by the one that came.
    folder.configure(&format!(
        "previous = [{}]\n{}",
        r#"["keyring:master.keyring", "keyring:b.keyring"]"#,
        with("\"keyring:b.keyring\"")
    ));
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    let retired = folder.run(&["retire-epoch", "2", "--yes", "--json"]).done().json();
    assert_eq!(retired["end"], "destroyed_here");
    folder.configure(&with("\"keyring:b.keyring\""));
    fs::remove_file(folder.path("master.keyring"))?;
    assert_eq!(folder.run(&["status", "--json"]).done().json()["subjects"]["live"], 2);
    vault(&folder, keyring(&folder, "b.keyring").await?).await?.default_tenant().keys(&parsed(ADA)).await?;
    Ok(())
}

pub(super) async fn a_previous_one_that_is_away_holds_up_only_a_master_keys_end() -> Result {
    let folder = Folder::with_subjects().await?;
    let both = format!("previous = [\"keyring:master.keyring\"]\n{}", with("\"keyring:new.keyring\""));
    folder.configure(&both);
    folder.run(&["init"]).done();
    folder.run(&["advance-epoch"]).done();
    // What only the one before opens can't do without it.
    fs::rename(folder.path("master.keyring"), folder.path("safe"))?;
    folder.run(&["rotate-subject", BEN]).fails(2, "there is no keyring at master.keyring");
    fs::rename(folder.path("safe"), folder.path("master.keyring"))?;
    folder.run(&["rewrap"]).done();

    fs::rename(folder.path("master.keyring"), folder.path("safe"))?;
    let before = folder.everything().await?;
    for more in [&["--yes"][..], &["--dry-run"]] {
        let ran = folder.run(&[&["retire-epoch", "1"][..], more].concat()).fails(2, "Nothing was destroyed");
        assert!(ran.err.contains("there is no keyring at master.keyring"), "{ran:?}");
    }
    assert_eq!(folder.everything().await?, before);
    folder.run(&["erase", ADA, "--yes", "--receipt", "ada.json"]).done();
    folder.run(&["rotate-subject", BEN]).done();
    let status = folder.run(&["status", "--json"]).done().json();
    assert_eq!((&status["subjects"]["live"], &status["subjects"]["erased"]), (&1.into(), &1.into()));
    assert!(status["advice"][0].as_str().unwrap().contains("there is no keyring at master.keyring"), "{status}");
    let waits = folder.run(&["receipt", "verify", "ada.json"]).exits(7);
    assert!(waits.out.contains("the provider could not say"), "{waits:?}");

    fs::rename(folder.path("safe"), folder.path("master.keyring"))?;
    let retired = folder.run(&["retire-epoch", "1", "--yes", "--json"]).done().json();
    assert_eq!(retired["end"], "destroyed_here", "{retired}");
    Ok(())
}

pub(super) async fn a_tenants_own_master_key_rotates_it_and_erasing_needs_none() -> Result {
    let folder = Folder::bare();
    let config = format!("{CONFIG}[tenant_providers]\nacme = \"keyring:acme.keyring\"\n");
    folder.configure(&config);
    folder.run(&["init"]).done();
    assert!(folder.has("acme.keyring"));
    let acme_has = keyring(&folder, "acme.keyring").await?;
    let own: HashMap<TenantId, Arc<dyn MasterKeyProvider>> = HashMap::from([(acme(), Arc::new(acme_has) as _)]);
    let common = keyring(&folder, "master.keyring").await?;
    vault(&folder, ByTenant::new(common, own)).await?.tenant(&acme()).enroll(&parsed(ADA)).await?;
    folder.customers().await?.enroll(&parsed(BEN)).await?;
    folder.run(&["rotate-subject", ADA, "--tenant", "acme"]).done();

    fs::rename(folder.path("acme.keyring"), folder.path("revoked"))?;
    let refused = folder.run(&["rotate-subject", ADA, "--tenant", "acme"]).exits(2);
    assert!(refused.err.contains("there is no keyring at acme.keyring"), "{refused:?}");
    folder.run(&["rotate-subject", BEN]).done(); // the others go on
    let named = folder.run(&["doctor"]).exits(8).out;
    let named: Vec<_> = named.lines().filter(|line| line.trim_start().starts_with("provider")).collect();
    assert!(
        named.len() == 1 && named[0].contains("tenant \"acme\"") && named[0].contains("no keyring at acme.keyring")
    );
    folder.run(&["init"]).fails(5, "the tenant has keys already");
    folder.run(&["erase", ADA, "--tenant", "acme", "--yes", "--receipt", "ada.json"]).done();

    // Another one, with the former behind it: from the next epoch on.
    LocalKeyring::generate(folder.path("new.keyring")).await?;
    fs::rename(folder.path("revoked"), folder.path("acme.keyring"))?;
    let both = r#"{ provider = "keyring:new.keyring", previous = ["keyring:acme.keyring"] }"#;
    folder.configure(&config.replace("\"keyring:acme.keyring\"", both));
    folder.run(&["advance-epoch", "--add-key"]).done();
    folder.run(&["rewrap"]).done();
    folder.run(&["retire-epoch", "1", "--yes"]).done();
    folder.configure(&config.replace("acme.keyring", "new.keyring"));
    folder.run(&["rotate-subject", BEN]).done();
    assert_eq!(folder.run(&["status", "--json"]).done().json()["failed"], serde_json::json!([]));
    folder.configure(&config.replace("acme =", "\"\" ="));
    folder.run(&["status"]).fails(2, "tenant_providers, \"\"");
    Ok(())
}
