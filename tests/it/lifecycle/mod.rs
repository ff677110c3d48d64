//! The life and death of keys. Several vaults on the same ports are several processes.
//!
//! `docs/lifecycle.md` names the rules without which the protocol fails; each is held by one of these, or by the tests of
//! races, faults and crashes beside them.

pub(crate) mod corners;
pub(crate) mod damage;
pub(crate) mod entries;
pub(crate) mod epochs;
pub(crate) mod erasure;
pub(crate) mod inventory;
pub(crate) mod provider;
pub(crate) mod restore;
pub(crate) mod rotate_page;
pub(crate) mod rotation;
pub(crate) mod runbook;
pub(crate) mod several;
pub(crate) mod succession;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::error::ProviderErrorKind;
use fieldseal::id::Purpose;
use fieldseal::journal::{ErasureJournal as _, JournalEntry, JournalEvent, MemoryJournal};
use fieldseal::provider::{LocalKeyring, MasterKeyProvider};
use fieldseal::store::{
    Epoch, Expected, Filter, KeyStore, Loaded, Residue, Scan, ScanPage, SlotId, StoreError, StoredSlot,
};
use fieldseal::vault::{AdvancedEpoch, ErasureRequest, Shard};
use fieldseal::{Error, FieldContext, SubjectKeys, Tenant, TenantId, Vault};
use fieldseal_testkit::clock::ManualClock;
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, Tap, Tapped};
use fieldseal_testkit::world::{Ground, MAX_AGE, RestorableStore, World, rewrap_all};

use super::common::{
    self, DAY, Result, acme, epoch, is_closed, is_erased, opens as open, opens_for as open_for, seal, seal_for,
};

async fn world_on(ground: &Ground) -> Result<World> {
    Ok(World::on(ground).await?.purposes(["billing"]))
}

/// Opens the next epoch under a new master key.
async fn advance(world: &World, vault: &Vault) -> Result<Epoch> {
    world.provider.add_key().await?;
    all_moved(vault.advance_epoch().await)
}

/// The epoch that was opened, where no tenant stays behind.
fn all_moved(advanced: Result<AdvancedEpoch>) -> Result<Epoch> {
    let AdvancedEpoch { epoch, failed, .. } = advanced?;
    failed.into_iter().next().map_or(Ok(epoch), |(_, e)| Err(e))
}

fn context(purpose: &'static str) -> FieldContext<'static> {
    common::context().purpose(purpose)
}

fn whole() -> ErasureRequest {
    ErasureRequest::new()
}

fn only(purpose: &str) -> ErasureRequest {
    ErasureRequest::new().purpose(Purpose::new(purpose).unwrap())
}

fn is_of_kind<T>(answer: &Result<T>, kind: ProviderErrorKind) -> bool {
    matches!(answer, Err(Error::Provider(e)) if e.kind() == kind)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}
