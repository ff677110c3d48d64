//! A replica answers for who is looked up, and decides nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fieldseal::Error;
use fieldseal::error::{StoreError, StoreErrorKind};
use fieldseal::store::{Epoch, Expected, KeyStore, Loaded, Replica, Residue, Scan, ScanPage, SlotId, StoredSlot};
use fieldseal::vault::ErasureRequest;
use fieldseal_testkit::customer;
use fieldseal_testkit::world::{RestorableStore, World};

use crate::common::{Result, open, opens, seal};

type StoreResult<T> = std::result::Result<T, StoreError>;

/// A copy that stays as it was made; what it lacks is looked for where it is a copy of.
#[derive(Debug)]
struct Behind {
    now: RestorableStore,
    then: HashMap<SlotId, StoredSlot>,
    asked: Arc<AtomicU64>,
    fails: Option<fn() -> StoreError>,
}

#[async_trait]
impl KeyStore for Behind {
    async fn load(&self, ids: &[SlotId]) -> StoreResult<Vec<Loaded>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !ids.iter().all(|id| matches!(id, SlotId::Subject(..))) {
            return Err(StoreError::misconfigured("it is asked for subjects alone")); // a panic would be caught
        }
        if let Some(fails) = self.fails {
            return Err(fails());
        }
        let now = self.now.load(ids).await?;
        Ok(ids.iter().zip(now).map(|(id, now)| self.then.get(id).cloned().map_or(now, Loaded::Slot)).collect())
    }

    async fn put(&self, _: &StoredSlot, _: Expected) -> StoreResult<()> {
        unreachable!("a replica")
    }

    async fn scan(&self, _: &Scan) -> StoreResult<ScanPage> {
        unreachable!("a replica")
    }

    async fn raise_floor(&self, _: Epoch) -> StoreResult<()> {
        unreachable!("a replica")
    }

    async fn scrub(&self) -> StoreResult<Residue> {
        unreachable!("a replica")
    }
}

impl Replica for Behind {
    fn bound(&self) -> Duration {
        Duration::from_secs(60)
    }
}

#[tokio::test]
async fn a_replica_delays_no_erasure_beyond_max_age() -> Result {
    let world = World::in_memory()?;
    let there = world.tenant().await?;
    let sealed = seal(&there.enroll(&customer("ada")).await?)?;
    there.enroll(&customer("ben")).await?;
    let slots = world.slots().await?;
    let behind = |asked: &Arc<AtomicU64>| Behind {
        now: world.store.clone(),
        then: slots.iter().map(|slot| (slot.id().clone(), slot.clone())).collect(),
        asked: asked.clone(),
        fails: None,
    };
    let builder = |asked: &Arc<AtomicU64>| world.builder().replica(behind(asked));
    let asked = Arc::new(AtomicU64::new(0));
    let refused = builder(&asked).max_age(Duration::from_secs(119)).build().await;
    assert!(matches!(refused, Err(Error::InvalidInput(_))));

    let here = builder(&asked).build().await?.default_tenant();
    let ben = here.keys(&customer("ben")).await?;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    here.refresh(&ben).await?;
    here.rotate_now(&customer("ben")).await?;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what decides something is not asked of it");

    there.erase(&customer("ada"), &ErasureRequest::new()).await?;
    let keys = here.keys(&customer("ada")).await?;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert!(opens(&keys, &sealed)?, "it doesn't know yet");
    world.clock.advance(Duration::from_secs(5 * 60 - 60 + 1));
    assert!(matches!(opens(&keys, &sealed), Err(Error::KeysExpired)));
    Ok(())
}

#[tokio::test]
async fn a_replica_that_is_down_takes_nobody_along() -> Result {
    let world = World::in_memory()?;
    let there = world.tenant().await?;
    let sealed = seal(&there.enroll(&customer("ada")).await?)?;
    let asked = Arc::new(AtomicU64::new(0));
    let ways: [(fn() -> StoreError, bool); 4] = [
        (|| StoreError::new(StoreErrorKind::Unavailable), true),
        (|| StoreError::new(StoreErrorKind::Throttled), true),
        (|| panic!("on purpose"), true),
        (|| StoreError::new(StoreErrorKind::Corrupt), false),
    ];
    for (fails, is_passed_over) in ways {
        let behind =
            Behind { now: world.store.clone(), then: HashMap::new(), asked: asked.clone(), fails: Some(fails) };
        let vault = world.builder().replica(behind).build().await?;
        let before = asked.load(Ordering::SeqCst);
        let keys = vault.default_tenant().keys(&customer("ada")).await;
        assert_eq!(asked.load(Ordering::SeqCst), before + 1);
        if !is_passed_over {
            let is_told = matches!(keys, Err(Error::Store(e)) if e.kind() == StoreErrorKind::Corrupt);
            assert!(is_told, "that is for the operator to hear");
            continue;
        }
        // From the key store, so for all of `max_age`.
        world.clock.advance(vault.max_age());
        open(&keys?, &sealed)?;
    }
    Ok(())
}
