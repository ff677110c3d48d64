//! Kills while a vault is built: in an empty folder, on a store that gets its first journal, over what a crash left, and
//! over a restored backup.

use std::collections::HashMap;

use fieldseal::id::Purpose;
use fieldseal::journal::JournalEvent;
use fieldseal_testkit::faults::{Act, CallPoint};

use super::*;

/// What a child is killed at: its tap is set before the vault is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// Of a keyring, and nothing else.
    Create,
    /// Of a store that was made without a journal.
    Adopt,
    /// Over erasures of which only the intent is there, a hold and a schedule of which the slot has no copy.
    Finish,
    /// Over a store that was restored from a backup.
    Replay,
}

/// A place as a build finds it, and what was sealed there.
pub(super) struct Found {
    _folder: tempfile::TempDir,
    pub(super) place: SharedFolder,
    sealed: HashMap<&'static str, Vec<u8>>,
}

impl Build {
    pub(super) const ALL: [Self; 4] = [Self::Create, Self::Adopt, Self::Finish, Self::Replay];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|build| format!("{build:?}") == name)
    }

    /// What is done, by the child and once more after it was killed.
    pub(super) async fn run(self, place: &SharedFolder, tap: &Tap) -> Result<Vault> {
        let (builder, _) = place.builder(tap).await?;
        Ok(match self {
            Self::Replay => builder.replay().await?.0,
            _ => builder.build().await?,
        })
    }

    pub(super) async fn find(self, on: &Ground) -> Result<Found> {
        let folder = new_folder()?;
        let mut place = SharedFolder::empty(folder.path(), on).await?;
        let mut sealed = HashMap::new();
        match self {
            Self::Create => {}
            Self::Adopt => {
                let keyring = LocalKeyring::open(place.keyring()).await?;
                let builder = Vault::builder(keyring, place.store().await?).kinds(["customer"]);
                populate(&builder.purposes(["billing"]).without_journal().build().await?, &mut sealed).await?;
            }
            Self::Finish => {
                populate(&place.fresh().await?, &mut sealed).await?;
                place.fresh().await?; // `applied` is past all this
                leave_half_done(&place).await?;
            }
            Self::Replay => {
                let vault = place.fresh().await?;
                populate(&vault, &mut sealed).await?;
                let folder = place.0.join("restored");
                std::fs::create_dir(&folder)?;
                let restored = place.with_a_copy_of_the_store(&folder).await?;
                live_on(&vault).await?;
                drop(vault);
                place.fresh().await?;
                place.leave_the_journal_to(&restored)?;
                place = restored;
                let built = place.fresh().await.map(drop);
                assert!(built.is_err(), "a restored store does not build");
            }
        }
        Ok(Found { _folder: folder, place, sealed })
    }

    /// What a killed child left, and what the same build makes of it.
    pub(super) async fn look(self, place: &SharedFolder, found: &Found) -> Result {
        self.run(place, &Tap::open()).await?;
        let vault = place.fresh().await?;
        let customers = vault.default_tenant();
        let opens_as_before = async |subject: &'static str| -> Result {
            let sealed = found.sealed.get(subject).ok_or("nobody sealed it")?;
            assert!(opens(&customers, subject, sealed).await?, "{subject} does not open");
            Ok(())
        };
        match self {
            Self::Create => assert_eq!(vault.current_epoch().await?, Epoch::FIRST),
            Self::Adopt => {
                for subject in ["ada", "ben", "cy", "held"] {
                    opens_as_before(subject).await?;
                }
                vault.tenant(&acme()).keys(&customer("ada")).await?;
                let created = |event: &JournalEvent| matches!(event, JournalEvent::RootCreated { .. });
                assert_eq!(count(place, created).await?, 3, "the vault's root and the tenants', each once");
                let store = place.store().await?;
                let keyring = LocalKeyring::open(place.keyring()).await?;
                let unjournaled = Vault::builder(keyring, store).kinds(["customer"]).without_journal().build().await;
                assert!(matches!(unjournaled, Err(Error::WrongJournal)));
            }
            Self::Finish | Self::Replay => {
                assert!(matches!(customers.keys(&customer("ada")).await, Err(Error::SubjectErased { .. })));
                assert!(matches!(customers.enroll(&customer("ada")).await, Err(Error::SubjectErased { .. })));
                assert!(matches!(
                    vault.tenant(&acme()).enroll(&customer("ada")).await,
                    Err(Error::TenantErased { .. })
                ));
                opens_as_before("ben").await?;
                let billing = customers.keys(&customer("ben")).await?.seal_bytes(b"x", &context().purpose("billing"));
                assert!(matches!(billing, Err(Error::PurposeErased { .. })));
                assert!(matches!(customers.keys(&customer("cy")).await, Err(Error::SubjectClosed { .. })), "scheduled");
                customers.cancel_erasure(&customer("cy")).await?;
                opens_as_before("cy").await?;
                opens_as_before("held").await?;
                let erased = customers.erase(&customer("held"), &ErasureRequest::new()).await;
                assert!(matches!(erased, Err(Error::SubjectHeld)));
            }
        }
        if self == Self::Finish {
            // Of ada, and of ben's purpose; of acme.
            let done = |event: &JournalEvent| matches!(event, JournalEvent::ErasureDone { .. });
            assert_eq!(count(place, done).await?, 2, "finished once each");
            let done = |event: &JournalEvent| matches!(event, JournalEvent::TenantErasureDone { .. });
            assert_eq!(count(place, done).await?, 1);
        }
        if self == Self::Replay {
            let lost = |event: &JournalEvent| matches!(event, JournalEvent::RootLost { .. });
            assert_eq!(count(place, lost).await?, 1, "given up once");
            vault.tenant(&late()).enroll(&customer("ada")).await?;
        }
        // What is made from here on is there for the next process.
        let new = seal(&customers.enroll(&customer("new")).await?)?;
        customers.erase(&customer("dee"), &ErasureRequest::new().even_if_unknown()).await?;
        let customers = place.fresh().await?.default_tenant();
        assert!(opens(&customers, "new", &new).await?);
        assert!(matches!(customers.enroll(&customer("dee")).await, Err(Error::SubjectErased { .. })));
        Ok(())
    }
}

async fn populate(vault: &Vault, sealed: &mut HashMap<&'static str, Vec<u8>>) -> Result {
    for subject in ["ada", "ben", "cy", "held"] {
        sealed.insert(subject, seal(&vault.default_tenant().enroll(&customer(subject)).await?)?);
    }
    for subject in ["ada", "ben", "cy"] {
        vault.tenant(&acme()).enroll(&customer(subject)).await?;
    }
    Ok(())
}

/// Entered in the journal, and then the process can put nothing more: as if it was killed there.
async fn leave_half_done(place: &SharedFolder) -> Result {
    let tap = Tap::open();
    let (vault, _) = place.vault(&tap).await?;
    vault.default_tenant().keys(&customer("ada")).await?; // it knows the tenant
    let puts = |call: &CallPoint<'_>| call.slot.is_some() && !call.is_over();
    tap.set(move |call| if puts(call) { Act::Fail } else { Act::Go });
    assert!(live_on(&vault).await.is_err());
    let entered = count(place, |event| {
        use JournalEvent::{ErasureIntended, ErasureScheduled, Held, TenantErasureIntended};
        matches!(event, ErasureIntended { .. } | ErasureScheduled { .. } | Held | TenantErasureIntended { .. })
    });
    assert_eq!(entered.await?, 5);
    Ok(())
}

/// What a life comes to: an erasure, one of a purpose, a hold, a schedule, an erasure of a tenant, and a new tenant. Every
/// one is tried; the first that failed is told.
async fn live_on(vault: &Vault) -> Result {
    let customers = vault.default_tenant();
    let request = ErasureRequest::new();
    let done = [
        customers.erase(&customer("ada"), &request).await.map(drop),
        customers.erase(&customer("ben"), &ErasureRequest::new().purpose(Purpose::new("billing")?)).await.map(drop),
        customers.hold(&customer("held")).await,
        customers.schedule_erasure(&customer("cy"), NEVER).await,
        vault.erase_tenant(&acme(), &request).await.map(drop),
    ];
    done.into_iter().collect::<fieldseal::Result<()>>()?;
    vault.tenant(&late()).enroll(&customer("ada")).await?;
    Ok(())
}

fn late() -> TenantId {
    TenantId::new("late").unwrap()
}

/// How many entries of a kind the journal has.
async fn count(place: &SharedFolder, kind: impl Fn(&JournalEvent) -> bool) -> Result<usize> {
    let entries = place.journal().await?.read(0, 10_000).await?;
    Ok(entries.iter().filter(|entry| kind(entry.event())).count())
}
