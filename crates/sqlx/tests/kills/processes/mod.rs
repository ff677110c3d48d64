//! Processes that are killed, and processes that run beside each other, on one keyring file, one store and one journal: in
//! files, and in PostgreSQL.
//!
//! A child that is to be killed stands still at a call of a port, says so, and gets SIGKILL; nothing of it runs on. What it
//! left is opened by a fresh vault, the same is called again, and everything that lives must open, everything that was erased
//! must not, and nothing is done twice. Others are killed while they build their vault.

mod builds;
mod child;
mod parent;
mod place;

use fieldseal::provider::{LocalKeyring, MasterKeyProvider};
use fieldseal::store::{Epoch, Filter, KeyStore, Scan, SlotId};
use fieldseal::vault::ErasureRequest;
use fieldseal::{Error, FieldContext, SubjectKeys, Tenant, TenantId, Vault};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::Tap;
use fleet_tests::process::{Failure, Process, Result};
use place::{Ground, SharedFolder};

use crate::{Random, kill_at_points, new_folder, seed};

pub(crate) use child::run as child;
pub(crate) use parent::trials;

/// What a child is killed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Enroll,
    EnrollAgain,
    Rotate,
    RotateNow,
    Erase,
    EraseOnePurpose,
    EraseAll,
    EraseNeverSeen,
    Hold,
    Release,
    Schedule,
    Cancel,
    Sweep,
    Advance,
    Rewrap,
    Retire,
    EraseTenant,
    Replay,
}

impl Job {
    const ALL: [Self; 18] = [
        Self::Enroll,
        Self::EnrollAgain,
        Self::Rotate,
        Self::RotateNow,
        Self::Erase,
        Self::EraseOnePurpose,
        Self::EraseAll,
        Self::EraseNeverSeen,
        Self::Hold,
        Self::Release,
        Self::Schedule,
        Self::Cancel,
        Self::Sweep,
        Self::Advance,
        Self::Rewrap,
        Self::Retire,
        Self::EraseTenant,
        Self::Replay,
    ];

    fn name(self) -> String {
        format!("{self:?}")
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|job| job.name() == name)
    }

    /// What is done, by the child and once more after it was killed.
    async fn run(self, vault: &Vault) -> fieldseal::Result<()> {
        let customers = vault.default_tenant();
        let request = ErasureRequest::new().even_if_unknown();
        match self {
            Self::Enroll => customers.enroll(&customer("new")).await.map(drop),
            Self::EnrollAgain => customers
                .enroll_with(&customer("gone"), &fieldseal::vault::Enrollment::new().even_if_erased())
                .await
                .map(drop),
            Self::Rotate => customers.rotate(&customer("ada")).await.map(drop),
            Self::RotateNow => customers.rotate_now(&customer("ada")).await,
            Self::Erase => customers.erase(&customer("ada"), &request).await.map(drop),
            Self::EraseOnePurpose => {
                let billing = fieldseal::id::Purpose::new("billing")?;
                customers.erase(&customer("ada"), &request.purpose(billing)).await.map(drop)
            }
            Self::EraseAll => {
                let answers = customers.erase_all(&["ada", "cy", "never seen"].map(customer), &request).await?;
                answers.into_iter().try_for_each(|answer| answer.map(drop))
            }
            Self::EraseNeverSeen => customers.erase(&customer("never seen"), &request).await.map(drop),
            Self::Hold => customers.hold(&customer("ada")).await,
            Self::Release => customers.release(&customer("held")).await,
            Self::Schedule => customers.schedule_erasure(&customer("ada"), NEVER).await,
            Self::Cancel => customers.cancel_erasure(&customer("scheduled")).await,
            Self::Sweep => vault
                .erase_due()
                .await
                .and_then(|swept| swept.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e))),
            Self::Advance => match vault.advance_epoch().await {
                // It was done before the kill.
                Err(Error::InvalidInput(_)) if vault.current_epoch().await? > Epoch::FIRST => Ok(()),
                advanced => {
                    advanced.and_then(|advanced| advanced.failed.into_iter().next().map_or(Ok(()), |(_, e)| Err(e)))
                }
            },
            Self::Rewrap => rewrap_all(vault).await,
            Self::Retire => vault.retire_epoch(Epoch::FIRST).await.map(drop),
            Self::EraseTenant => vault.erase_tenant(&acme(), &request).await.map(drop),
            Self::Replay => vault.replay_journal().await.map(drop),
        }
    }
}

/// Far enough for a schedule that is not to come.
const NEVER: fieldseal::clock::Timestamp = fieldseal::clock::Timestamp::from_millis(32_503_680_000_000);

fn acme() -> TenantId {
    TenantId::new("acme").unwrap()
}

async fn rewrap_all(vault: &Vault) -> fieldseal::Result<()> {
    let mut next = None;
    loop {
        next = vault.rewrap_page(next.as_ref(), 3).await?.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

fn seal(keys: &SubjectKeys) -> fieldseal::Result<Vec<u8>> {
    keys.seal_bytes(b"ada@example.com", &context())
}

/// That the subject's keys open what was sealed under them.
async fn opens(customers: &Tenant, subject: &str, envelope: &[u8]) -> fieldseal::Result<bool> {
    let keys = customers.keys(&customer(subject)).await?;
    Ok(keys.open_bytes(envelope, &context())?.is_some_and(|value| value.as_slice() == b"ada@example.com"))
}
