//! `docs/providers.md`: another provider takes over; and what the tool refuses on the way.

use fieldseal::Error;
use fieldseal::provider::{MasterKeyProvider as _, ProviderErrorKind, Succession};
use fieldseal::vault::{ErasureStatus, KeyEnd};

use super::Result;
use super::book::runbook;
use super::company::{Company, epoch, versions};

pub(super) async fn the_new_provider_alone_opens_all_rows_and_the_old_one_none() -> Result {
    let company = Company::new().await?;
    let old = company.keyring("master.keyring").await?;
    let first = old.current().await?;
    company.run(&runbook("providers.md", None));

    let new = company.keyring("elsewhere/new.keyring").await?;
    let vault = company.vault(new.clone()).await?;
    company.check_rows(&vault, &[12]).await?;
    assert_eq!(versions(&vault, 1).await?, [1, 2], "no data key has changed");
    assert_eq!(epoch(&vault, 2).await?.master, new.current().await?);
    assert_eq!(epoch(&vault, 1).await?.end, KeyEnd::Unconfirmed, "the new one knows nothing of the old one's");
    assert!(!matches!(company.status(&vault, "receipts/2026-0007.json").await?, ErasureStatus::Final { .. }));

    let both = company.vault(Succession::to(new).from(old.clone())).await?;
    assert!(matches!(company.status(&both, "receipts/2026-0007.json").await?, ErasureStatus::Final { .. }));
    assert!(old.destruction(&first).await?.is_some());
    let unknown = company.vault(old).await;
    assert!(matches!(&unknown, Err(Error::Provider(e)) if e.kind() == ProviderErrorKind::UnknownKey), "{unknown:?}");
    Ok(())
}

/// The new keyring in the place's configuration, and what is written as `previous`.
fn both(company: &Company, previous: &str) {
    let text = std::fs::read_to_string(company.path("keytool.toml")).unwrap();
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("pr")).collect();
    let text = format!("provider = \"keyring:new.keyring\"\nprevious = {previous}\n{}\n", rest.join("\n"));
    std::fs::write(company.path("keytool.toml"), text).unwrap();
}

const OLD: &str = "[{ provider = \"keyring:master.keyring\" }]";

pub(super) async fn a_keyring_that_took_over_and_is_lost_is_not_made_anew() -> Result {
    let company = Company::new().await?;
    both(&company, OLD);
    company.shell("keytool init && keytool advance-epoch && mv new.keyring gone");
    let (code, _, said) = company.shell("keytool init");
    assert!(code == Some(5) && said.contains("Put it back"), "{code:?} {said}");
    assert!(!company.has("new.keyring"));
    let (code, _, said) = company.shell("mv gone new.keyring; keytool rewrap");
    assert_eq!(code, Some(0), "{said}");
    Ok(())
}

pub(super) async fn a_copy_of_the_old_keyring_is_no_new_one() -> Result {
    let company = Company::new().await?;
    both(&company, OLD);
    company.shell("cp -p master.keyring new.keyring");
    assert_eq!(company.shell("keytool advance-epoch").0, Some(3), "its master key is the epoch's already");
    // Another key in the copy does: and the old one, which both have, is destroyed in neither.
    assert_eq!(company.shell("keytool advance-epoch --add-key && keytool rewrap").0, Some(0));
    let (code, _, said) = company.shell("keytool retire-epoch 1 --yes");
    assert!(code != Some(0) && said.contains("more than one provider"), "{code:?} {said}");
    let first = epoch(&company.vault(company.keyring("new.keyring").await?).await?, 1).await?;
    for keyring in ["master.keyring", "new.keyring"] {
        assert_eq!(company.keyring(keyring).await?.destruction(&first.master).await?, None, "{keyring}");
    }
    Ok(())
}

pub(super) async fn a_previous_keyring_that_is_missing_or_wrong_is_told_of() -> Result {
    let company = Company::new().await?;
    for (previous, code, why) in [
        ("[{ provider = \"keyring:nowhere.keyring\" }]", 0, "nowhere.keyring"),
        ("[{ provider = \"vault:somewhere\" }]", 2, "line 2"),
        ("[{ provider = \"keyring:master.keyring\", secret = \"a\" }]", 2, "line 2"),
        ("[{ provider = \"keyring:master.keyring\", passphrase = { env = \"NOT_SET\" } }]", 0, "NOT_SET"),
    ] {
        both(&company, previous);
        company.shell("cp -p master.keyring new.keyring");
        // What can't be opened holds nothing up, and is told of; what is none is refused.
        let (ended, told, refused) = company.shell("keytool status");
        let said = if code == 0 { told } else { refused };
        assert!(ended == Some(code) && said.contains(why), "{previous}: {ended:?} {said}");
    }
    Ok(())
}
