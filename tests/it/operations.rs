//! Every call that a vault or tenant has, each with what comes before it and what must hold after it: for tests that drop
//! calls, or let their ports fail.
use std::collections::BTreeMap;
use std::time::Duration;

use fieldseal::clock::Clock as _;
use fieldseal::id::Purpose;
use fieldseal::journal::JournalEvent;
use fieldseal::store::{Expected, KeyStore as _, StoredSlot};
use fieldseal::vault::Enrollment;
use fieldseal::vault::{ErasureReceipt, ErasureRequest, ErasureStatus, Rotation};
use fieldseal::{Error, SubjectKeys, Tenant, Vault};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, Tap};
use fieldseal_testkit::world::{Ground, World, is_drawn, is_soak, rewrap_all};

use super::common::{DAY, HOUR, Result, acme, context, epoch, is_closed, is_erased, open, seal};

/// Hands every operation to a macro, behind what that is given. Named once: a call that is left out of the list is left out of
/// the tests.
macro_rules! operations {
    ($then:ident! $what:tt) => {
        $then! { $what [
            Create
            Build
            BuildAfterACrash
            Replay
            ReplayJournal
            SetMaxAge
            Enroll
            EnrollInANewTenant
            EnrollAnotherPurpose
            EnrollDue
            EnrollAgain
            EnrollAfterACrash
            EnrollAll
            Keys
            KeysOf
            Refresh
            Rotate
            RotateNow
            RotatePage
            Erase
            EraseNeverSeen
            EraseAll
            ErasePurpose
            EraseAfterACrash
            ErasureStatus
            Schedule
            Cancel
            Hold
            Release
            SweepRetained
            SweepScheduled
            AdvanceEpoch
            RewrapPage
            RetireEpoch
            EraseTenant
            EraseTenantNeverSeen
        ] }
    };
}

macro_rules! define {
    ($name:ident [$($operation:ident)*]) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($operation,)*
        }
    };
}
operations!(define! Operation);

/// Whether a call of a port changes something.
pub(crate) fn writes(method: &str) -> bool {
    ["put", "raise_floor", "scrub", "append", "destroy_key"].contains(&method)
}

/// Whether a process that starts looks, too, at what a call left that broke off: where that `is_done`, what it was at. A soak
/// looks everywhere in memory, and on servers, which are slow, where it is done; other runs do so in memory alone.
pub(crate) fn starts(on: &Ground, is_done: bool) -> bool {
    match (on.is_memory(), is_soak()) {
        (true, true) => true,
        (true, false) | (false, true) => is_done,
        (false, false) => false,
    }
}

/// Whether an operation is broken off at its `n`-th call of a port: at one in 2, on servers in 4, others in each run. A soak does
/// so at all of them.
pub(crate) fn is_tried(n: u64, on: &Ground) -> bool {
    is_drawn(n, if on.is_memory() { 2 } else { 4 })
}

/// A vault on ports that ask [`Scene::tap`], in a store where Ada and Ben are enrolled.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) tap: Tap,
    operation: Operation,
    pub(crate) vault: Vault,
    pub(crate) customers: Tenant,
    ada: SubjectKeys,
    pub(crate) sealed: Vec<u8>,
    /// Sealed for Ada and the purpose `billing`.
    iban: Vec<u8>,
    receipt: Option<ErasureReceipt>,
}

impl Scene {
    /// With everything done that comes before the operation.
    pub(crate) async fn before(operation: Operation, on: &Ground) -> Result<Self> {
        Self::before_in(World::on(on).await?, operation, on).await
    }

    pub(crate) async fn before_in(world: World, operation: Operation, on: &Ground) -> Result<Self> {
        let tap = Tap::open();
        let other = world.builder().purposes(["billing"]).build().await?.default_tenant();
        other.enroll_all(&["ada", "ben"].map(customer)).await?;
        let vault = world.tapped(&tap).purposes(["billing"]).build().await?;
        let customers = vault.default_tenant();
        let ada = customers.keys(&customer("ada")).await?;
        let (sealed, iban) = (seal(&ada)?, ada.seal_bytes(b"DE02", &context().purpose("billing"))?);
        let mut scene = Self { world, tap, operation, vault, customers, ada, sealed, iban, receipt: None };
        scene.prepare(&other, on).await?;
        Ok(scene)
    }

    async fn prepare(&mut self, other: &Tenant, on: &Ground) -> Result {
        let now = self.world.clock.wall();
        match self.operation {
            Operation::Create => {
                let guard = self.world.guard.take();
                self.world = World::on(on).await?;
                self.world.guard = guard;
            }
            Operation::BuildAfterACrash | Operation::EnrollAfterACrash | Operation::EraseAfterACrash => {
                if self.operation == Operation::EnrollAfterACrash {
                    // One that has reason to look into the journal; built now, because that would finish it.
                    let vault = self.world.tapped(&self.tap).purposes(["billing", "support"]).build().await?;
                    self.customers = vault.default_tenant();
                }
                // After the intent, before the tombstone.
                self.tap.set(|call| if call.puts_a_subject() { Act::Fail } else { Act::Go });
                assert!(self.customers.erase(&customer("ada"), &ErasureRequest::new()).await.is_err());
                self.tap.set(|_| Act::Go);
            }
            Operation::Replay | Operation::ReplayJournal => {
                let (backup, before) = (self.world.store.backup().await?, self.world.subjects().await?);
                other.hold(&customer("ben")).await?;
                other.erase(&customer("ada"), &ErasureRequest::new()).await?;
                if self.operation == Operation::Replay {
                    self.world.store.restore(backup);
                } else {
                    // One slot, by hand, under a vault that runs.
                    restore_subjects(&self.world, &before).await?;
                }
            }
            Operation::EnrollAnotherPurpose => {
                let vault = self.world.tapped(&self.tap).purposes(["billing", "support"]).build().await?;
                self.customers = vault.default_tenant();
            }
            Operation::EnrollDue => drop(
                other.enroll_with(&customer("ada"), &Enrollment::new().retain_until(self.world.later(MOMENT))).await?,
            ),
            Operation::EnrollAgain => {
                other.erase(&customer("ada"), &ErasureRequest::new()).await?;
                self.world.pass_old_keys();
            }
            Operation::ErasureStatus => {
                self.receipt = Some(other.erase(&customer("ada"), &ErasureRequest::new()).await?);
            }
            Operation::Cancel => other.schedule_erasure(&customer("ada"), self.world.later(MOMENT)).await?,
            Operation::Release => other.hold(&customer("ada")).await?,
            Operation::SweepRetained => {
                // The one that closes her was made more than a day ago: one that crashes closes her a millisecond later.
                drop(other.enroll_with(&customer("ada"), &Enrollment::new().retain_until(now)).await?);
                assert_eq!(other.vault().erase_due().await?.closed, 1);
                self.world.clock.advance(DAY + HOUR);
            }
            Operation::SweepScheduled => other.schedule_erasure(&customer("ada"), now).await?,
            Operation::AdvanceEpoch => drop(self.world.provider.add_key().await?),
            Operation::RewrapPage | Operation::RetireEpoch => {
                self.world.provider.add_key().await?;
                other.vault().advance_epoch().await?;
                if self.operation == Operation::RetireEpoch {
                    rewrap_all(other.vault(), 100).await?;
                }
            }
            Operation::Keys | Operation::KeysOf => self.world.clock.advance(Duration::from_secs(301)),
            _ => {}
        }
        Ok(())
    }

    /// The call itself; made again, it gives what the first one would have given.
    pub(crate) async fn call(&self) -> Result {
        let (all, request) = (["ada", "ben"].map(customer), ErasureRequest::new());
        let customers = &self.customers;
        match self.operation {
            Operation::Create | Operation::Build | Operation::BuildAfterACrash => {
                self.world.tapped(&self.tap).build().await.map(drop)
            }
            Operation::Replay => self.world.tapped(&self.tap).replay().await.map(drop),
            Operation::ReplayJournal => self.vault.replay_journal().await.map(drop),
            Operation::SetMaxAge => self.vault.set_max_age(Duration::from_secs(600)).await,
            Operation::Enroll => customers.enroll(&customer("cleo")).await.map(drop),
            Operation::EnrollInANewTenant => self.vault.tenant(&acme()).enroll(&customer("cleo")).await.map(drop),
            Operation::EnrollAnotherPurpose => customers.enroll(&customer("ada")).await.map(drop),
            Operation::EnrollDue => customers
                .enroll_with(&customer("ada"), &Enrollment::new().retain_until(self.world.later(HOUR)))
                .await
                .map(drop),
            Operation::EnrollAgain => {
                customers.enroll_with(&customer("ada"), &Enrollment::new().even_if_erased()).await.map(drop)
            }
            Operation::EnrollAfterACrash => {
                let enrolled = customers.enroll(&customer("ada")).await;
                if is_erased(&enrolled) { Ok(()) } else { enrolled.map(|_| panic!("the erasure is binding")) }
            }
            Operation::EnrollAll => customers.enroll_all(&["ada", "cleo", "dora"].map(customer)).await.map(drop),
            Operation::Keys => customers.keys(&customer("ada")).await.map(drop),
            Operation::KeysOf => customers.keys_of(&all).await.map(drop),
            Operation::Refresh => customers.refresh(&self.ada).await.map(drop),
            Operation::Rotate => customers.rotate(&customer("ada")).await.map(drop_copy),
            Operation::RotateNow => customers.rotate_now(&customer("ada")).await,
            Operation::RotatePage => {
                let rotation = Rotation::of_keys_before(self.world.later(Duration::from_secs(1)));
                self.vault.rotate_page(&rotation, None, 100).await.map(drop)
            }
            Operation::Erase | Operation::EraseAfterACrash => {
                customers.erase(&customer("ada"), &request).await.map(drop)
            }
            Operation::EraseNeverSeen => customers.erase(&customer("cleo"), &request.even_if_unknown()).await.map(drop),
            Operation::EraseAll => {
                let erased = customers.erase_all(&all, &request).await?;
                erased.into_iter().try_for_each(|receipt| receipt.map(drop))
            }
            Operation::ErasePurpose => {
                customers.erase(&customer("ada"), &request.purpose(Purpose::new("billing")?)).await.map(drop)
            }
            Operation::ErasureStatus => {
                let Some(receipt) = &self.receipt else { panic!("there is no receipt") };
                let status = customers.erasure_status(receipt).await?;
                assert!(matches!(status, ErasureStatus::Erased { .. }), "{status:?}");
                Ok(())
            }
            Operation::Schedule => customers.schedule_erasure(&customer("ada"), self.world.later(MOMENT)).await,
            Operation::Cancel => customers.cancel_erasure(&customer("ada")).await,
            Operation::Hold => customers.hold(&customer("ada")).await,
            Operation::Release => customers.release(&customer("ada")).await,
            Operation::SweepRetained | Operation::SweepScheduled => self
                .vault
                .erase_due()
                .await
                .and_then(|swept| swept.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))),
            Operation::AdvanceEpoch => match self.vault.advance_epoch().await {
                Err(Error::InvalidInput(_)) if self.vault.current_epoch().await? > epoch(1) => Ok(()),
                advanced => {
                    advanced.and_then(|advanced| advanced.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e)))
                }
            },
            Operation::RewrapPage => self.vault.rewrap_page(None, 100).await.map(drop),
            Operation::RetireEpoch => self.vault.retire_epoch(epoch(1)).await.map(drop),
            Operation::EraseTenant => self.vault.erase_tenant(customers.id(), &request).await.map(drop),
            Operation::EraseTenantNeverSeen => {
                self.vault.erase_tenant(&acme(), &request.even_if_unknown()).await.map(drop)
            }
        }
    }

    /// What holds once the call has returned: in the process that made it, and in one that starts now.
    pub(crate) async fn check(&self) -> Result {
        let fresh = self.world.builder().purposes(["billing"]).build().await?.default_tenant();
        if self.operation == Operation::Create {
            open(&fresh.enroll(&customer("ada")).await?, &seal(&fresh.keys(&customer("ada")).await?)?)?;
            return self.check_nothing_is_open().await;
        }
        let process = match self.operation {
            // Another vault than the one that may go on for `max_age`.
            Operation::Build | Operation::BuildAfterACrash | Operation::Replay | Operation::ErasureStatus => &fresh,
            _ => &self.customers,
        };
        match self.operation {
            Operation::Erase | Operation::EraseAll | Operation::EraseAfterACrash | Operation::Schedule => {
                // Or they are to be asked for again, where the first call left in doubt what became of them.
                let ended = open(&self.ada, &self.sealed);
                assert!(matches!(ended, Err(Error::SubjectErased { .. } | Error::KeysExpired)), "{ended:?}");
            }
            Operation::ErasePurpose => {
                assert!(matches!(open(&self.ada, &self.sealed), Err(Error::KeysExpired)));
            }
            _ => {}
        }
        for process in [process, &fresh] {
            self.check_ada(process).await?;
        }
        self.check_the_rest(&fresh).await?;
        self.check_nothing_is_open().await
    }

    async fn check_ada(&self, process: &Tenant) -> Result {
        let keys = process.keys(&customer("ada")).await;
        match self.operation {
            Operation::EraseTenant => assert!(matches!(keys, Err(Error::TenantErased { .. })), "{keys:?}"),
            Operation::Erase
            | Operation::EraseAll
            | Operation::EraseAfterACrash
            | Operation::EnrollAfterACrash
            | Operation::BuildAfterACrash
            | Operation::ErasureStatus
            | Operation::Replay
            | Operation::ReplayJournal
            | Operation::SweepRetained
            | Operation::SweepScheduled => assert!(is_erased(&keys), "{keys:?}"),
            Operation::Schedule => assert!(is_closed(&keys), "{keys:?}"),
            Operation::EnrollAgain => {
                let old = open(&keys?, &self.sealed);
                assert!(matches!(old, Err(Error::PurposeErased { .. })), "{old:?}");
            }
            Operation::ErasePurpose => {
                let keys = keys?;
                open(&keys, &self.sealed)?;
                let gone = keys.open_bytes(&self.iban, &context().purpose("billing"));
                assert!(matches!(gone, Err(Error::PurposeErased { .. })), "{gone:?}");
            }
            _ => {
                let keys = keys?;
                open(&keys, &self.sealed)?;
                assert!(keys.open_bytes(&self.iban, &context().purpose("billing"))?.is_some());
            }
        }
        Ok(())
    }

    async fn check_the_rest(&self, fresh: &Tenant) -> Result {
        match self.operation {
            Operation::EraseTenant => return Ok(()),
            Operation::EraseAll => assert!(is_erased(&fresh.keys(&customer("ben")).await)),
            _ => drop(fresh.keys(&customer("ben")).await?),
        }
        let erase = |who: &'static str| async move { fresh.erase(&customer(who), &ErasureRequest::new()).await };
        match self.operation {
            Operation::SetMaxAge => assert_eq!(fresh.vault().max_age(), Duration::from_secs(600)),
            Operation::Enroll | Operation::EnrollAll => drop(fresh.keys(&customer("cleo")).await?),
            Operation::EnrollInANewTenant => drop(fresh.vault().tenant(&acme()).keys(&customer("cleo")).await?),
            Operation::EraseNeverSeen => assert!(is_erased(&fresh.enroll(&customer("cleo")).await)),
            Operation::EnrollDue => {
                self.world.clock.advance(Duration::from_secs(60));
                let swept = fresh.vault().erase_due().await?;
                assert_eq!((swept.receipts.len(), swept.closed), (0, 0), "it was prolonged");
            }
            Operation::Rotate | Operation::RotatePage => {
                let receipt = erase("ada").await?;
                assert!(receipt.purposes().iter().all(|purpose| purpose.key_ids.len() == 2), "rotated twice");
            }
            Operation::Hold => assert!(matches!(erase("ada").await, Err(Error::SubjectHeld))),
            Operation::Replay | Operation::ReplayJournal => {
                assert!(matches!(erase("ben").await, Err(Error::SubjectHeld)), "the hold is back");
            }
            Operation::Release | Operation::Cancel => drop(erase("ada").await?),
            Operation::AdvanceEpoch => {
                // A number that is in the journal is not used again: it may have been put, and lost in a restore.
                assert!(fresh.vault().current_epoch().await? > epoch(1));
                rewrap_all(fresh.vault(), 100).await?;
                fresh.vault().retire_epoch(epoch(1)).await?;
                self.world.assert_nothing_within(epoch(1)).await?;
            }
            Operation::RewrapPage | Operation::RetireEpoch => {
                fresh.vault().retire_epoch(epoch(1)).await?;
                self.world.assert_nothing_within(epoch(1)).await?;
                self.check_ada(&self.world.builder().purposes(["billing"]).build().await?.default_tenant()).await?;
            }
            Operation::EraseTenantNeverSeen => {
                let enrolled = fresh.vault().tenant(&acme()).enroll(&customer("cleo")).await;
                assert!(matches!(enrolled, Err(Error::TenantErased { .. })), "{enrolled:?}");
            }
            _ => {}
        }
        Ok(())
    }

    /// Whatever became of the call: a process that starts now works, Ada's value opens or was to be erased, and nothing is
    /// half done.
    pub(crate) async fn check_start(&self) -> Result {
        let builder = self.world.builder().purposes(["billing"]);
        let vault = match self.operation {
            Operation::Replay | Operation::ReplayJournal => builder.replay().await?.0,
            _ => builder.build().await?,
        };
        let customers = vault.default_tenant();
        use Operation::*;
        match customers.keys(&customer("ada")).await {
            Ok(keys) if self.operation == EnrollAgain => drop(seal(&keys)?),
            Ok(keys) => open(&keys, &self.sealed)?,
            Err(Error::SubjectUnknown) if self.operation == Create => {}
            Err(Error::TenantErased { .. }) if self.operation == EraseTenant => {}
            Err(Error::SubjectErased { .. }) => assert!(
                matches!(
                    self.operation,
                    BuildAfterACrash
                        | Replay
                        | ReplayJournal
                        | EnrollAgain
                        | EnrollAfterACrash
                        | Erase
                        | EraseAll
                        | EraseAfterACrash
                        | ErasureStatus
                        | SweepRetained
                        | SweepScheduled
                ),
                "nobody erased her"
            ),
            Err(Error::SubjectClosed { .. }) => assert!(
                matches!(self.operation, EnrollDue | Schedule | Cancel | SweepRetained | SweepScheduled),
                "nobody closed her"
            ),
            Err(e) => return Err(e),
        }
        self.check_nothing_is_open().await
    }

    /// What is intended is done.
    async fn check_nothing_is_open(&self) -> Result {
        let (mut open, mut tenants) = (BTreeMap::new(), BTreeMap::new());
        for entry in self.world.entries().await? {
            let tag = entry.tag().map(|tag| tag.as_bytes().to_vec());
            match entry.event() {
                JournalEvent::ErasureIntended { lines, .. } => {
                    open.extend(lines.iter().map(|line| ((tag.clone(), line.purpose.clone(), line.line), ())));
                }
                JournalEvent::ErasureDone { lines, .. } => {
                    for done in lines {
                        open.retain(|(of, purpose, line), ()| {
                            (of, purpose) != (&tag, &done.purpose) || *line > done.line
                        });
                    }
                }
                JournalEvent::TenantErasureIntended { .. } => drop(tenants.insert(entry.tenant().cloned(), ())),
                JournalEvent::TenantErasureDone { .. } => drop(tenants.remove(&entry.tenant().cloned())),
                _ => {}
            }
        }
        assert!(open.is_empty() && tenants.is_empty(), "an erasure was begun and not finished");
        Ok(())
    }
}

async fn restore_subjects(world: &World, before: &[StoredSlot]) -> Result {
    for (now, old) in world.subjects().await?.into_iter().zip(before) {
        world.store.put(old, Expected::Revision(now.revision())).await?;
    }
    Ok(())
}

fn drop_copy<T: Copy>(_: T) {}

const MOMENT: Duration = Duration::from_secs(9);
