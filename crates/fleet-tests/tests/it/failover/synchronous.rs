//! A standby that confirms each commit: what was confirmed is there, and what was erased stays so.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use fieldseal::store::{Epoch, SlotId, SlotState, StoreErrorKind, StoredSlot};
use fieldseal::vault::ErasureRequest;
use fieldseal::{Error, Vault};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, CallPoint, Gate, Moment, Tap};
use tokio::sync::Notify;

use futures_util::future::{join, join4};

use super::Result;
use super::site::{Site, is_erased, opens, persist, seal};

/// How many there are at first; every second one is erased.
const CUSTOMERS: usize = 40;

/// What the application was told.
#[derive(Default)]
struct Told {
    sealed: BTreeMap<String, Vec<u8>>,
    erased: Vec<String>,
    /// Everything up to this slot is in the new epoch, or no longer there.
    rewrapped: Option<SlotId>,
}

pub(super) async fn what_was_confirmed_is_there_and_vaults_go_on(site: Site) -> Result {
    fails_over(site).await
}

pub(super) async fn a_journal_in_the_same_cluster_fails_over_with_the_store(site: Site) -> Result {
    fails_over(site).await
}

/// Two processes: one rewraps and enrolls, the other erases. The primary is killed while both are at it.
async fn fails_over(site: Site) -> Result {
    site.confirm_on_both().await;
    let (told, killing) = (Arc::new(Mutex::new(Told::default())), Arc::new(Notify::new()));
    let tap = dies_in_a_put(&told, &killing);
    let rewraps = site.builder(&tap).await?.build().await?;
    let erases = site.builder(&tap).await?.build().await?;
    for n in 0..CUSTOMERS {
        let keys = rewraps.default_tenant().enroll(&customer(name(n))).await?;
        told.lock().unwrap().sealed.insert(name(n), seal(&keys)?);
    }
    site.provider.add_key().await?;
    let epoch = rewraps.advance_epoch().await?.epoch;

    let (rewrapped, erased, enrolled, failed_over) = join4(
        rewrap(&rewraps, &told),
        erase(&erases, &told),
        enroll(&rewraps, &told),
        fail_over(&site, &killing, epoch, &told),
    )
    .await;
    rewrapped.and(erased).and(enrolled).and(failed_over)?;

    // Nothing was missing, and nothing is half done: a process that starts builds. The others may use keys that they have for
    // as long as ever.
    site.pass_max_age();
    let told = std::mem::take(&mut *told.lock().unwrap());
    let vault = site.vault().await?;
    for vault in [&vault, &rewraps, &erases] {
        look(vault, &told).await?;
    }
    persist(async || rewrap_rest(&vault).await).await?;
    vault.retire_epoch(Epoch::FIRST).await?;
    look(&site.vault().await?, &told).await
}

/// Notifies `killing` within the first put after something of everything was confirmed: that call is on its way when the
/// primary is killed.
fn dies_in_a_put(told: &Arc<Mutex<Told>>, killing: &Arc<Notify>) -> Tap {
    let (told, killing) = (told.clone(), killing.clone());
    Tap::new(move |call| {
        if call.puts_a_subject() && call.moment == Moment::Before && told.lock().unwrap().has_begun() {
            killing.notify_one();
        }
        Act::Go
    })
}

impl Told {
    fn has_begun(&self) -> bool {
        self.erased.len() >= 3 && self.rewrapped.is_some() && self.sealed.len() >= CUSTOMERS + 3
    }
}

/// Whoever is faster waits for the others, so that none is done when the primary dies.
async fn keep_step(told: &Mutex<Told>) {
    while !told.lock().unwrap().has_begun() {
        tokio::task::yield_now().await;
    }
}

async fn rewrap(vault: &Vault, told: &Mutex<Told>) -> Result {
    let mut from = None;
    loop {
        let page = persist(async || {
            let page = vault.rewrap_page(from.as_ref(), 5).await?;
            page.failed.into_iter().next().map_or(Ok(page.next), |(_, e)| Err(e))
        });
        from = page.await?;
        match &from {
            Some(next) => told.lock().unwrap().rewrapped = Some(next.clone()),
            None => return Ok(()),
        }
        keep_step(told).await;
    }
}

async fn rewrap_rest(vault: &Vault) -> Result {
    let page = vault.rewrap_page(None, 1000).await?;
    page.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))
}

async fn erase(vault: &Vault, told: &Mutex<Told>) -> Result {
    for n in (0..CUSTOMERS).step_by(2) {
        if n >= 6 {
            keep_step(told).await;
        }
        persist(async || vault.default_tenant().erase(&customer(name(n)), &ErasureRequest::new()).await).await?;
        told.lock().unwrap().erased.push(name(n));
    }
    Ok(())
}

async fn enroll(vault: &Vault, told: &Mutex<Told>) -> Result {
    for n in CUSTOMERS..CUSTOMERS + 10 {
        if n >= CUSTOMERS + 3 {
            keep_step(told).await;
        }
        let keys = persist(async || vault.default_tenant().enroll(&customer(name(n))).await).await?;
        told.lock().unwrap().sealed.insert(name(n), seal(&keys)?);
    }
    Ok(())
}

/// Before the name leads to the standby, all that was told until the primary was dead is looked for there.
async fn fail_over(site: &Site, killing: &Notify, epoch: Epoch, told: &Mutex<Told>) -> Result {
    killing.notified().await;
    site.kill_the_primary().await;
    let (sealed, erased, rewrapped) = {
        let told = told.lock().unwrap();
        (told.sealed.clone(), told.erased.clone(), told.rewrapped.clone())
    };
    site.promote_the_standby();
    let slots = site.slots_at_the_standby().await?;
    let subjects = slots.iter().filter(|slot| matches!(slot.id(), SlotId::Subject(..)));
    let gone = subjects.clone().filter(|slot| slot.state() == SlotState::Erased).count();
    assert!(subjects.count() >= sealed.len(), "somebody is lost");
    assert!(gone >= erased.len(), "somebody is back");
    let is_behind = |slot: &&StoredSlot| slot.epoch().is_some_and(|own| own < epoch);
    let behind = slots.iter().filter(is_behind).count();
    let confirmed = slots.iter().filter(|slot| Some(slot.id()) <= rewrapped.as_ref());
    assert_eq!(confirmed.filter(is_behind).count(), 0, "a slot went back to the old epoch");
    assert!(behind > 0 && gone < CUSTOMERS / 2, "it came too late");
    site.lead_to_the_standby();
    Ok(())
}

async fn look(vault: &Vault, told: &Told) -> Result {
    for (name, envelope) in &told.sealed {
        let keys = persist(async || vault.default_tenant().keys(&customer(name)).await).await;
        if told.erased.contains(name) {
            assert!(is_erased(&keys), "{name} came back: {keys:?}");
        } else {
            assert!(opens(&keys?, envelope)?, "{name} does not open");
        }
    }
    Ok(())
}

/// The intent is journaled, and the tombstone not put: whichever vault comes next finishes it.
pub(super) async fn an_erasure_that_was_cut_off_is_finished(site: Site) -> Result {
    site.confirm_on_both().await;
    let (tap, gate) = (Tap::open(), Gate::new());
    let vault = site.builder(&tap).await?.build().await?;
    let customers = vault.default_tenant();
    let sealed = [seal(&customers.enroll(&customer("ada")).await?)?, seal(&customers.enroll(&customer("ben")).await?)?];
    let parked = gate.clone();
    let puts = |call: &CallPoint<'_>| call.puts_a_subject() && call.moment == Moment::Before;
    tap.set(move |call| if puts(call) { Act::Park(parked.clone()) } else { Act::Go });
    let erasure = async { customers.erase(&customer("ada"), &ErasureRequest::new()).await };
    let ends = async {
        gate.reached().await;
        site.kill_the_primary().await;
        gate.open();
    };
    let (erased, ()) = join(erasure, ends).await;
    let failed = erased.map(drop).expect_err("there is no primary");
    assert_eq!(failed.retry(), fieldseal::Retry::Later, "{failed:?}");
    site.promote_the_standby();

    // By its own name, where nobody else goes yet: the slot is as it was, and the next vault sees the intent.
    let slots = site.slots_at_the_standby().await?;
    assert!(slots.iter().all(|slot| slot.state() != SlotState::Erased), "it was cut off");
    let next = site.builder_at_the_standby().await?.build().await?.default_tenant();
    assert!(is_erased(&next.keys(&customer("ada")).await) && is_erased(&next.enroll(&customer("ada")).await));
    assert!(opens(&next.keys(&customer("ben")).await?, &sealed[1])?);
    site.lead_to_the_standby();
    // And so is the call of the process that went on.
    let receipt = persist(async || customers.erase(&customer("ada"), &ErasureRequest::new()).await).await?;
    assert!(receipt.purposes().iter().all(|purpose| purpose.key_ids.len() == 1));
    assert!(is_erased(&customers.keys(&customer("ada")).await));
    assert!(matches!(
        opens(&next.keys(&customer("ben")).await?, &sealed[0]),
        Err(Error::KeyNotHeld | Error::Authentication)
    ));
    Ok(())
}

/// Each write waits for it. What waited is neither lost nor done twice.
pub(super) async fn a_standby_that_is_down_holds_writes_up_and_loses_none(site: Site) -> Result {
    site.confirm_on_both().await;
    let other = site.vault().await?.default_tenant();
    other.enroll(&customer("ben")).await?;
    let (ada, cy) = (seal(&other.enroll(&customer("ada")).await?)?, seal(&other.enroll(&customer("cy")).await?)?);
    let customers = site.guarded().await?.default_tenant();
    customers.keys(&customer("ben")).await?;
    site.cut_the_standby_off().await;

    let request = ErasureRequest::new();
    let (enrolled, erased) =
        join(customers.enroll(&customer("dan")), customers.erase(&customer("ben"), &request)).await;
    for answer in [enrolled.map(drop), erased.map(drop)] {
        let failed = answer.expect_err("the standby has nothing of it");
        // The second attempt meets the first one's lock.
        let kind = if let Error::Store(e) = &failed { e.kind() } else { panic!("{failed:?}") };
        assert!(matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Throttled), "{failed:?}");
    }
    assert!(site.waiting().await > 0, "they wait in the server, and hold no connection of the pool");
    for _ in 0..2 {
        assert!(opens(&customers.keys(&customer("cy")).await?, &cy)?, "what only reads goes on");
        assert!(matches!(customers.keys(&customer("dan")).await, Err(Error::SubjectUnknown)), "it is not confirmed");
        site.pass_max_age(); // and so it does when the next look finds what was intended
    }

    site.confirm_alone().await;
    let keys = persist(async || customers.enroll(&customer("dan")).await).await?;
    let envelope = seal(&keys)?;
    let receipt = persist(async || customers.erase(&customer("ben"), &request).await).await?;
    assert!(receipt.purposes().iter().all(|purpose| purpose.key_ids.len() == 1));
    site.pass_max_age();
    for customers in [&customers, &other, &site.vault().await?.default_tenant()] {
        assert!(
            opens(&customers.keys(&customer("ada")).await?, &ada)?
                && opens(&customers.keys(&customer("dan")).await?, &envelope)?
        );
        assert!(is_erased(&customers.keys(&customer("ben")).await));
    }
    Ok(())
}

fn name(n: usize) -> String {
    format!("customer {n}")
}
