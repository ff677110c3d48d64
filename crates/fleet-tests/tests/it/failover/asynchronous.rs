//! A standby that confirms nothing, and lags: what was confirmed by the primary alone is lost with it. It is a restore.

use fieldseal::Error;
use fieldseal::vault::ErasureRequest;
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::Tap;

use super::Result;
use super::site::{Site, is_erased, opens, persist, seal};

pub(super) async fn what_the_standby_lacks_is_noticed_and_nobody_erased_returns(site: Site) -> Result {
    let running = site.vault().await?;
    let customers = running.default_tenant();
    let (ada, ben) =
        (seal(&customers.enroll(&customer("ada")).await?)?, seal(&customers.enroll(&customer("ben")).await?)?);
    site.cut_the_standby_off().await;
    customers.erase(&customer("ada"), &ErasureRequest::new()).await?;
    let cy = seal(&customers.enroll(&customer("cy")).await?)?;
    site.kill_the_primary().await;
    site.promote_the_standby();
    site.lead_to_the_standby();

    site.pass_max_age();
    let answer = persist(async || running.default_tenant().keys(&customer("ben")).await).await;
    assert!(matches!(answer, Err(Error::StoreBehindJournal { .. })), "one that ran across: {answer:?}");
    let answer = site.vault().await;
    assert!(matches!(answer, Err(Error::StoreBehindJournal { missing: 1 })), "one that starts: {answer:?}");
    drop((running, customers));

    let (vault, replayed) = site.builder(&Tap::open()).await?.replay().await?;
    assert_eq!(replayed.erasures, 1);
    for vault in [vault, site.vault().await?] {
        let customers = vault.default_tenant();
        assert!(
            is_erased(&customers.keys(&customer("ada")).await) && is_erased(&customers.enroll(&customer("ada")).await)
        );
        let keys = customers.keys(&customer("ben")).await?;
        assert!(opens(&keys, &ben)? && opens(&keys, &ada).is_err());
        // Keys that were made since are lost: the journal knows of none.
        assert!(matches!(customers.keys(&customer("cy")).await, Err(Error::SubjectUnknown)));
    }
    let keys = site.vault().await?.default_tenant().enroll(&customer("cy")).await?;
    assert!(opens(&keys, &cy).is_err());
    Ok(())
}

/// Why it is kept elsewhere.
pub(super) async fn a_journal_in_the_same_cluster_notices_nothing(site: Site) -> Result {
    let customers = site.vault().await?.default_tenant();
    let ada = seal(&customers.enroll(&customer("ada")).await?)?;
    site.cut_the_standby_off().await;
    customers.erase(&customer("ada"), &ErasureRequest::new()).await?;
    drop(customers);
    site.kill_the_primary().await;
    site.promote_the_standby();
    site.lead_to_the_standby();
    let keys = site.vault().await?.default_tenant().keys(&customer("ada")).await?;
    assert!(opens(&keys, &ada)?, "she was erased, and nobody knows");
    Ok(())
}
