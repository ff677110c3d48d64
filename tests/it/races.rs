//! Two vaults on one store, provider and journal at once, round after round: whatever the order of their calls, erased wins,
//! and nothing that lives is lost.
//!
//! Between its port calls each vault gives the other a random number of turns. `FIELDSEAL_SEED` runs a seed again that a
//! failure printed; every second round is one task, and its order follows from the seed.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::id::Purpose;
use fieldseal::journal::JournalEvent;
use fieldseal::vault::Enrollment;
use fieldseal::vault::{ErasureRequest, Rotation, Sweep};
use fieldseal::{Error, SubjectId, SubjectKeys, Tenant, TenantId};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, Gate, Tap};
use fieldseal_testkit::world::{self, Ground, World, rewrap_all};
use futures_util::future::{BoxFuture, join};

use super::common::{DAY, HOUR, Result, context, is_closed, is_erased, open, seal};

tests![
    erase_beats_an_enrollment_of_a_subject_that_was_never_seen
    erase_beats_an_enrollment_that_adds_a_purpose
    erase_beats_sealing_and_loading_in_any_process
    erase_beats_rotation
    erase_beats_rewrapping
    erase_beats_rotating_everybody
    erase_beats_resealing
    erase_beats_a_schedule_and_its_cancellation
    of_an_erasure_and_a_hold_exactly_one_wins
    of_a_tenants_erasure_and_a_hold_exactly_one_wins
    two_erasures_destroy_the_same_keys
    two_rotations_give_one_pending_version
    rotations_of_either_kind_lose_nothing
    a_retirement_beside_an_enrollment_loses_no_key
    a_retirement_beside_a_rotation_loses_no_key
    a_tenants_erasure_beats_an_enrollment
    a_retention_period_that_was_prolonged_is_not_swept
    of_a_sweep_and_a_cancellation_exactly_one_wins
    two_sweeps_erase_once_what_is_due
    after_schedule_and_cancellation_slot_and_journal_agree
    a_schedule_ends_the_keys_of_every_process_that_made_it
    what_was_erased_stays_so_beside_a_new_enrollment
    an_erased_purpose_stays_so_and_the_others_live
    an_erasure_is_finished_once_by_whoever_is_at_it
    two_vaults_open_one_epoch
    a_tenants_load_that_was_under_way_brings_no_key_back
    a_tenant_that_another_process_erased_is_no_restored_store
    a_tenant_that_another_process_erases_stops_no_sweep
];

/// One round: two vaults, and a subject that nobody else has.
#[derive(Clone)]
struct Round {
    world: World,
    a: Tenant,
    /// Has the purpose `billing`, too.
    b: Tenant,
    subject: SubjectId,
    number: u64,
}

fn how_many(on: &Ground) -> u64 {
    if on.is_memory() { world::rounds(50, 1000) } else { world::rounds(5, 30) }
}

/// Runs as many rounds as the ground bears, on a new store every `per_store`.
async fn rounds<F: Future<Output = Result>>(on: &Ground, per_store: u64, round: impl Fn(Round) -> F) -> Result {
    let seed = match std::env::var("FIELDSEAL_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().hash_one(0),
    };
    let mut arena = None;
    for number in 0..how_many(on) {
        let _told = Told { seed, number };
        if number % per_store == 0 {
            let world = World::on(on).await?;
            let taps = [0, 1].map(|of| Tap::random(seed ^ number << 1 ^ of, 4));
            let a = world.tapped(&taps[0]).build().await?.default_tenant();
            let b = world.elsewhere().tapped(&taps[1]).purposes(["billing"]).build().await?.default_tenant();
            arena = Some((world, a, b));
        }
        let (world, a, b) = arena.clone().unwrap();
        if number % 5 == 4 {
            // What was read is read again, and the store held to the journal.
            world.clock.advance(a.vault().max_age() + Duration::from_millis(1));
        }
        let subject = customer(format!("subject {number}"));
        round(Round { world, a, b, subject, number }).await.unwrap_or_else(|e| panic!("{e:?}"));
    }
    Ok(())
}

struct Told {
    seed: u64,
    number: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("FIELDSEAL_SEED={} round {}", self.seed, self.number);
        }
    }
}

impl Round {
    /// Both at once: in one task, or on two threads.
    async fn both<A, B>(&self, a: A, b: B) -> (A::Output, B::Output)
    where
        A: Future<Output: Send> + Send + 'static,
        B: Future<Output: Send> + Send + 'static,
    {
        match self.number % 4 {
            0 => join(a, b).await,
            2 => {
                let (b, a) = join(b, a).await;
                (a, b)
            }
            _ => {
                let (a, b) = (tokio::spawn(a), tokio::spawn(b));
                (a.await.unwrap(), b.await.unwrap())
            }
        }
    }

    /// What was sealed for her. Her period has ended since.
    async fn enroll_ended(&self, by: &Tenant) -> Result<Vec<u8>> {
        let moment = Duration::from_millis(5);
        let ended = Enrollment::new().retain_until(self.world.later(moment));
        let sealed = seal(&by.enroll_with(&self.subject, &ended).await?)?;
        self.world.clock.advance(moment);
        Ok(sealed)
    }

    /// A sweep closed her, a day ago.
    async fn close(&self) -> Result {
        assert_eq!(self.b.vault().erase_due().await?.closed, 1);
        self.world.clock.advance(DAY);
        Ok(())
    }

    /// A call on one vault's tenant about the subject.
    fn on<F>(&self, by: &Tenant, call: impl FnOnce(Tenant, SubjectId) -> F) -> F {
        call(by.clone(), self.subject.clone())
    }

    fn erase(&self, by: &Tenant) -> impl Future<Output = Result> + Send + 'static {
        self.on(by, |by, who| async move { by.erase(&who, &ErasureRequest::new().even_if_unknown()).await.map(drop) })
    }

    fn enroll(&self, by: &Tenant) -> impl Future<Output = Result<SubjectKeys>> + Send + 'static {
        self.on(by, |by, who| async move { by.enroll(&who).await })
    }

    fn enroll_with(&self, by: &Tenant, how: Enrollment) -> impl Future<Output = Result<SubjectKeys>> + Send + 'static {
        self.on(by, move |by, who| async move { by.enroll_with(&who, &how).await })
    }

    fn cancel(&self, by: &Tenant) -> impl Future<Output = Result> + Send + 'static {
        self.on(by, |by, who| async move { by.cancel_erasure(&who).await })
    }

    fn schedule(&self, by: &Tenant, at: Timestamp) -> impl Future<Output = Result> + Send + 'static {
        self.on(by, move |by, who| async move { by.schedule_erasure(&who, at).await })
    }

    /// Both vaults know the subject: its keys in each, and what was sealed under them.
    async fn known_to_both(&self) -> Result<(SubjectKeys, SubjectKeys, Vec<Vec<u8>>)> {
        let (a, b) = (self.a.enroll(&self.subject).await?, self.b.enroll(&self.subject).await?);
        let sealed = vec![seal(&a)?, seal(&b)?];
        Ok((a, b, sealed))
    }

    /// Nobody gets keys of the subject any more, not by asking and not by enrolling.
    async fn check_gone(&self) -> Result {
        let fresh = self.world.tenant().await?;
        assert!(is_erased(&fresh.keys(&self.subject).await), "its keys are back");
        assert!(is_erased(&fresh.enroll(&self.subject).await), "it can be enrolled");
        Ok(())
    }

    /// A process that erased it opens nothing with keys from before either.
    fn check_ended(keys: &SubjectKeys, envelopes: &[Vec<u8>]) {
        for envelope in envelopes {
            assert!(is_erased(&open(keys, envelope)), "keys that are out still open");
        }
        assert!(is_erased(&seal(keys)), "keys that are out still seal");
    }

    /// A fresh process opens these.
    async fn check_opens(&self, envelopes: &[Vec<u8>]) -> Result {
        let keys = self.world.tenant().await?.keys(&self.subject).await?;
        for envelope in envelopes {
            open(&keys, envelope)?;
        }
        Ok(())
    }
}

async fn erase_beats_an_enrollment_of_a_subject_that_was_never_seen(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (erased, enrolled) = r.both(r.erase(&r.a), r.enroll(&r.b)).await;
        erased?;
        assert!(enrolled.is_ok() || is_erased(&enrolled));
        r.check_gone().await
    })
    .await
}

async fn erase_beats_an_enrollment_that_adds_a_purpose(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let keys = r.a.enroll(&r.subject).await?;
        let sealed = [seal(&keys)?];
        let (erased, enrolled) = r.both(r.erase(&r.a), r.enroll(&r.b)).await;
        erased?;
        assert!(enrolled.is_ok() || is_erased(&enrolled));
        Round::check_ended(&keys, &sealed);
        r.check_gone().await
    })
    .await
}

async fn erase_beats_sealing_and_loading_in_any_process(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let first = r.b.enroll(&r.subject).await?;
        let sealed = [seal(&first)?];
        let load = |by: &Tenant| r.on(by, |by, who| async move { by.keys(&who).await });
        let (mine, other) = (load(&r.a), load(&r.b));
        let loads = async move { join(mine, other).await };
        let (erased, (mine, other)) = r.both(r.erase(&r.a), loads).await;
        erased?;
        match mine {
            Ok(keys) => Round::check_ended(&keys, &sealed),
            Err(e) => assert!(is_erased::<()>(&Err(e))),
        }
        assert!(is_erased(&r.a.keys(&r.subject).await), "a load that was under way filled the cache");
        // Another process may go on for `max_age`; what it seals opens nowhere else.
        let keys = other.unwrap_or(first);
        let late = seal(&keys)?;
        assert!(open(&keys, &late).is_ok());
        r.check_gone().await
    })
    .await
}

async fn erase_beats_rotation(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        let at_once = r.number % 3 == 0;
        let rotate = r.on(&r.b, |b, who| async move {
            if at_once { b.rotate_now(&who).await } else { b.rotate(&who).await.map(drop) }
        });
        let (erased, rotated) = r.both(r.erase(&r.a), rotate).await;
        erased?;
        assert!(rotated.is_ok() || is_erased(&rotated));
        Round::check_ended(&a, &sealed);
        r.check_gone().await
    })
    .await
}

async fn erase_beats_rewrapping(on: &Ground) -> Result {
    rounds(on, 4, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        r.world.provider.add_key().await?;
        r.a.vault().advance_epoch().await?;
        let vault = r.b.vault().clone();
        let (erased, rewrapped) = r.both(r.erase(&r.a), async move { rewrap_all(&vault, 100).await }).await;
        erased?;
        rewrapped?;
        Round::check_ended(&a, &sealed);
        r.check_gone().await
    })
    .await
}

async fn erase_beats_rotating_everybody(on: &Ground) -> Result {
    rounds(on, 4, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        let rotation = Rotation::of_keys_before(r.world.later(Duration::from_secs(1))).now();
        let vault = r.b.vault().clone();
        let (erased, rotated) =
            r.both(r.erase(&r.a), async move { vault.rotate_page(&rotation, None, 100).await }).await;
        erased?;
        assert!(rotated?.failed.is_empty(), "who is erased meanwhile is no trouble");
        Round::check_ended(&a, &sealed);
        r.check_gone().await
    })
    .await
}

async fn erase_beats_resealing(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        r.b.rotate_now(&r.subject).await?;
        let envelope = sealed[0].clone();
        let reseal = r.on(&r.b, |b, who| async move {
            let keys = b.keys(&who).await?;
            keys.reseal_bytes(&envelope, &context())
        });
        let (erased, resealed) = r.both(r.erase(&r.a), reseal).await;
        erased?;
        assert!(matches!(&resealed, Ok(Some(_))) || is_erased(&resealed));
        let all: Vec<_> = sealed.into_iter().chain(resealed.ok().flatten()).collect();
        Round::check_ended(&a, &all);
        r.check_gone().await
    })
    .await
}

async fn erase_beats_a_schedule_and_its_cancellation(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        let at = r.world.later(HOUR);
        let change: BoxFuture<'static, Result> = match r.number % 3 {
            0 => Box::pin(r.schedule(&r.b, at)),
            _ => {
                r.b.schedule_erasure(&r.subject, at).await?;
                Box::pin(r.cancel(&r.b))
            }
        };
        let (erased, changed) = r.both(r.erase(&r.a), change).await;
        erased?;
        assert!(changed.is_ok() || is_erased(&changed), "{changed:?}");
        Round::check_ended(&a, &sealed);
        r.check_gone().await
    })
    .await
}

async fn of_an_erasure_and_a_hold_exactly_one_wins(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, _, sealed) = r.known_to_both().await?;
        let hold = r.on(&r.b, |b, who| async move { b.hold(&who).await });
        match r.both(r.erase(&r.a), hold).await {
            (Ok(()), held) => {
                assert!(is_erased(&held), "{held:?}");
                r.check_gone().await
            }
            (Err(Error::SubjectHeld), Ok(())) => {
                r.check_opens(&sealed).await?;
                let erased = r.world.tenant().await?.erase(&r.subject, &ErasureRequest::new()).await;
                assert!(matches!(erased, Err(Error::SubjectHeld)), "the hold stands");
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    })
    .await
}

async fn of_a_tenants_erasure_and_a_hold_exactly_one_wins(on: &Ground) -> Result {
    rounds(on, 25, |r| async move {
        let tenant = TenantId::new(format!("tenant {}", r.number))?;
        let b = r.b.vault().tenant(&tenant);
        b.enroll(&r.subject).await?;
        let hold = r.on(&b, |b, who| async move { b.hold(&who).await });
        let (vault, id) = (r.a.vault().clone(), tenant.clone());
        let erase = async move { vault.erase_tenant(&id, &ErasureRequest::new()).await.map(drop) };
        let outcome = r.both(erase, hold).await;
        let keys = r.world.builder().build().await?.tenant(&tenant).keys(&r.subject).await;
        match outcome {
            (Ok(()), Err(Error::TenantErased { .. } | Error::SubjectErased { .. })) => {
                assert!(matches!(keys, Err(Error::TenantErased { .. })));
            }
            (Err(Error::SubjectHeld), Ok(())) => drop(keys?),
            other => panic!("{other:?}"),
        }
        Ok(())
    })
    .await
}

async fn two_erasures_destroy_the_same_keys(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, b, sealed) = r.known_to_both().await?;
        let erase = |by: &Tenant| {
            r.on(by, |by, who| async move { by.erase(&who, &ErasureRequest::new().even_if_unknown()).await })
        };
        let (one, two) = r.both(erase(&r.a), erase(&r.b)).await;
        assert_eq!(one?.purposes(), two?.purposes());
        Round::check_ended(&a, &sealed);
        Round::check_ended(&b, &sealed);
        r.check_gone().await
    })
    .await
}

async fn two_rotations_give_one_pending_version(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, _, sealed) = r.known_to_both().await?;
        let rotate = |by: &Tenant| r.on(by, |by, who| async move { by.rotate(&who).await });
        let (one, two) = r.both(rotate(&r.a), rotate(&r.b)).await;
        assert_eq!(one?, two?, "they tell the same moment");
        r.check_opens(&sealed).await?;
        let receipt = r.a.erase(&r.subject, &ErasureRequest::new()).await?;
        assert!(receipt.purposes().iter().all(|purpose| purpose.key_ids.len() == 2));
        Ok(())
    })
    .await
}

async fn rotations_of_either_kind_lose_nothing(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, _, mut sealed) = r.known_to_both().await?;
        let now = |by: &Tenant| {
            r.on(by, |by, who| async move {
                by.rotate_now(&who).await?;
                seal(&by.keys(&who).await?)
            })
        };
        let wait = r.on(&r.b, |by, who| async move {
            by.rotate(&who).await?;
            by.refresh(&by.keys(&who).await?).await
        });
        match r.number % 3 {
            0 => {
                let (one, two) = r.both(now(&r.a), now(&r.b)).await;
                sealed.extend([one?, two?]);
            }
            _ => {
                let (one, two) = r.both(now(&r.a), wait).await;
                sealed.extend([one?, seal(&two?)?]);
            }
        }
        r.check_opens(&sealed).await
    })
    .await
}

/// Retiring an epoch, beside a call that writes a subject. Both come to their end, and what the call's keys sealed opens.
async fn beside_a_retirement<F>(r: Round, sealed: Vec<Vec<u8>>, call: F) -> Result
where
    F: Future<Output = Result<SubjectKeys>> + Send + 'static,
{
    let old = r.a.vault().current_epoch().await?;
    r.world.provider.add_key().await?;
    r.a.vault().advance_epoch().await?;
    rewrap_all(r.a.vault(), 100).await?;
    let vault = r.a.vault().clone();
    let (retired, keys) = r.both(async move { vault.retire_epoch(old).await }, call).await;
    match retired {
        Ok(_) => {}
        Err(Error::EpochInUse { slots: 1, unverified: 0 }) => {
            rewrap_all(r.a.vault(), 100).await?;
            r.a.vault().retire_epoch(old).await?;
        }
        Err(e) => return Err(e),
    }
    r.world.assert_nothing_within(old).await?;
    let late = seal(&keys?)?;
    r.check_opens(&sealed.into_iter().chain([late]).collect::<Vec<_>>()).await
}

async fn a_retirement_beside_an_enrollment_loses_no_key(on: &Ground) -> Result {
    rounds(on, 4, |r| async move {
        r.b.enroll(&customer("somebody else")).await?; // so that it holds the keys of the old epoch
        let enroll = r.enroll(&r.b);
        beside_a_retirement(r, vec![], enroll).await
    })
    .await
}

async fn a_retirement_beside_a_rotation_loses_no_key(on: &Ground) -> Result {
    rounds(on, 4, |r| async move {
        let (_, _, sealed) = r.known_to_both().await?;
        let at_once = r.number % 2 == 0;
        let rotate = r.on(&r.b, |b, who| async move {
            if at_once {
                b.rotate_now(&who).await?
            } else {
                b.rotate(&who).await.map(|_| ())?
            }
            b.keys(&who).await
        });
        beside_a_retirement(r, sealed, rotate).await
    })
    .await
}

async fn a_tenants_erasure_beats_an_enrollment(on: &Ground) -> Result {
    rounds(on, 25, |r| async move {
        let tenant = TenantId::new(format!("tenant {}", r.number))?;
        // In the vault that erases, and in another; in a tenant that is there, and in one that was never seen.
        let by = if r.number % 4 < 2 { r.a.vault() } else { r.b.vault() }.tenant(&tenant);
        if r.number % 3 > 0 {
            by.enroll(&customer("somebody else")).await?;
        }
        let (vault, id) = (r.a.vault().clone(), tenant.clone());
        let erase = async move { vault.erase_tenant(&id, &ErasureRequest::new().even_if_unknown()).await };
        let (erased, enrolled) = r.both(erase, r.enroll(&by)).await;
        erased?;
        assert!(
            matches!(&enrolled, Ok(_) | Err(Error::TenantErased { .. } | Error::SubjectErased { .. })),
            "{enrolled:?}"
        );
        let gone = |answer: Result<SubjectKeys>| {
            assert!(matches!(&answer, Err(Error::TenantErased { .. })), "{answer:?}");
        };
        for vault in [r.a.vault().clone(), r.world.builder().build().await?] {
            for subject in [customer("somebody else"), r.subject.clone(), customer("somebody new")] {
                gone(vault.tenant(&tenant).keys(&subject).await);
                gone(vault.tenant(&tenant).enroll(&subject).await);
            }
        }
        Ok(())
    })
    .await
}

/// A sweep that closes, or one a day later that erases.
async fn a_retention_period_that_was_prolonged_is_not_swept(on: &Ground) -> Result {
    rounds(on, 1, |r| async move {
        let sealed = r.enroll_ended(&r.a).await?;
        let is_due = r.number % 2 == 0;
        if is_due {
            r.close().await?;
        }
        let later = Enrollment::new().retain_until(r.world.later(HOUR));
        let vault = r.a.vault().clone();
        let prolong: BoxFuture<'static, Result<SubjectKeys>> = match r.number / 2 % 3 {
            0 => Box::pin(r.enroll_with(&r.b, later)),
            1 => Box::pin(r.on(&r.b, move |b, who| async move {
                b.cancel_erasure(&who).await?;
                b.enroll_with(&who, &later).await
            })),
            _ => Box::pin(r.on(&r.b, move |b, who| async move {
                b.hold(&who).await?;
                b.enroll_with(&who, &later).await?;
                b.release(&who).await?;
                b.keys(&who).await // those from before don't know when her period ends
            })),
        };
        let (swept, prolonged) = r.both(async move { vault.erase_due().await }, prolong).await;
        let swept = swept?.receipts.len();
        match prolonged {
            Ok(keys) => {
                assert_eq!(swept, 0, "it was prolonged, and erased");
                let late = seal(&keys)?;
                r.check_opens(&[sealed, late]).await
            }
            Err(Error::SubjectErased { .. }) => {
                assert!(is_due, "it was not closed for a day");
                // It had begun: then it comes to its end, by the next sweep at the latest.
                assert!(r.b.vault().erase_due().await?.failed.is_empty());
                r.check_gone().await
            }
            Err(Error::SubjectClosed { .. }) if swept == 1 => {
                assert!(is_due, "it was not closed for a day");
                r.check_gone().await
            }
            Err(Error::SubjectClosed { .. }) => {
                // The sweep was faster: for a day, what it did can be called off.
                r.b.cancel_erasure(&r.subject).await?;
                let late = seal(&r.b.enroll_with(&r.subject, &later).await?)?;
                r.check_opens(&[sealed, late]).await
            }
            Err(e) => Err(e),
        }
    })
    .await
}

async fn of_a_sweep_and_a_cancellation_exactly_one_wins(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, _, sealed) = r.known_to_both().await?;
        r.b.schedule_erasure(&r.subject, r.world.clock.wall()).await?;
        let vault = r.a.vault().clone();
        let (swept, cancelled) = r.both(async move { vault.erase_due().await }, r.cancel(&r.b)).await;
        match (swept?.receipts.len(), cancelled) {
            (0, Ok(())) => r.check_opens(&sealed).await,
            (1, Err(Error::SubjectErased { .. })) => r.check_gone().await,
            other => panic!("{other:?}"),
        }
    })
    .await
}

async fn two_sweeps_erase_once_what_is_due(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        r.enroll_ended(&r.b).await?;
        r.close().await?;
        let sweep = |by: &Tenant| {
            let vault = by.vault().clone();
            async move { vault.erase_due().await }
        };
        let (one, two) = r.both(sweep(&r.a), sweep(&r.b)).await;
        let receipts: Vec<_> = one?.receipts.into_iter().chain(two?.receipts).collect();
        assert!(!receipts.is_empty() && receipts.iter().all(|receipt| receipt.tag() == receipts[0].tag()));
        r.check_gone().await
    })
    .await
}

/// The journal decides whether an erasure is scheduled; when the calls have returned, the subject can be read or not as it
/// says.
async fn after_schedule_and_cancellation_slot_and_journal_agree(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        let at = r.world.later(HOUR);
        if r.number % 3 == 0 {
            r.b.schedule_erasure(&r.subject, r.world.later(HOUR / 2)).await?;
        }
        let (scheduled, cancelled) = r.both(r.schedule(&r.a, at), r.cancel(&r.b)).await;
        scheduled?;
        cancelled?;
        let last = r.world.entries().await?.into_iter().rev().find_map(|entry| match entry.event() {
            JournalEvent::ErasureScheduled { .. } => Some(true),
            JournalEvent::ErasureCancelled => Some(false),
            _ => None,
        });
        match last {
            Some(true) => {
                for process in [&r.a, &r.b] {
                    let keys = process.refresh(&a).await;
                    assert!(is_closed(&keys), "{keys:?}");
                }
            }
            _ => {
                // Not by a fresh process: that one would mend it.
                for process in [&r.a, &r.b] {
                    open(&process.refresh(&a).await?, &sealed[0])?;
                }
            }
        }
        Ok(())
    })
    .await
}

async fn a_schedule_ends_the_keys_of_every_process_that_made_it(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, b, sealed) = r.known_to_both().await?;
        let at = r.world.later(HOUR);
        let (one, two) = r.both(r.schedule(&r.a, at), r.schedule(&r.b, at)).await;
        one?;
        two?;
        for keys in [&a, &b] {
            let answer = open(keys, &sealed[0]);
            assert!(matches!(answer, Err(Error::KeysExpired)), "keys that are out still open: {answer:?}");
        }
        assert!(is_closed(&r.a.keys(&r.subject).await) && is_closed(&r.b.keys(&r.subject).await));
        Ok(())
    })
    .await
}

async fn what_was_erased_stays_so_beside_a_new_enrollment(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, _, old) = r.known_to_both().await?;
        r.a.erase(&r.subject, &ErasureRequest::new()).await?;
        let again = Enrollment::new().even_if_erased();
        r.world.pass_old_keys();
        let (keys, other) = match r.number % 3 {
            0 => {
                let (one, two) = r.both(r.enroll_with(&r.a, again), r.enroll_with(&r.b, again)).await;
                (one?, Some(two?))
            }
            _ => {
                let (erased, enrolled) = r.both(r.erase(&r.a), r.enroll_with(&r.b, again)).await;
                erased?;
                // Erased once more before it landed: what others may have sealed under is destroyed again.
                if matches!(enrolled, Err(Error::TooEarly { .. })) {
                    assert!(is_erased(&r.world.tenant().await?.keys(&r.subject).await));
                    return Ok(());
                }
                (enrolled?, None)
            }
        };
        let mut sealed = vec![seal(&keys)?];
        sealed.extend(other.map(|other| seal(&other)).transpose()?);
        let found = match r.world.tenant().await?.keys(&r.subject).await {
            Ok(keys) => keys,
            e if is_erased(&e) && r.number % 3 > 0 => return Ok(()),
            Err(e) => return Err(e),
        };
        for envelope in &old {
            let answer = open(&found, envelope);
            assert!(matches!(answer, Err(Error::PurposeErased { .. })), "the old line is back: {answer:?}");
        }
        sealed.iter().try_for_each(|envelope| open(&found, envelope))
    })
    .await
}

async fn an_erased_purpose_stays_so_and_the_others_live(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (_, b, sealed) = r.known_to_both().await?;
        let billing = context().purpose("billing");
        let iban = b.seal_bytes(b"DE02", &billing)?;
        let request = ErasureRequest::new().purpose(Purpose::new("billing")?);
        let erase = r.on(&r.a, |a, who| async move { a.erase(&who, &request).await.map(drop) });
        let beside: BoxFuture<'static, Result<SubjectKeys>> = match r.number % 4 {
            0 => Box::pin(r.enroll(&r.b)),
            1 => Box::pin(r.enroll_with(&r.b, Enrollment::new().retain_until(r.world.later(HOUR)))),
            2 => Box::pin(r.on(&r.b, |b, who| async move {
                b.rotate_now(&who).await?;
                b.keys(&who).await
            })),
            _ => Box::pin(r.on(&r.b, |b, who| async move {
                b.hold(&who).await?;
                b.keys(&who).await
            })),
        };
        let (erased, keys) = r.both(erase, beside).await;
        let late = seal(&keys?)?;
        r.check_opens(&[sealed[0].clone(), late]).await?;
        let keys = r.world.tenant().await?.enroll(&r.subject).await?;
        match erased {
            Ok(()) => assert!(matches!(keys.open_bytes(&iban, &billing), Err(Error::PurposeErased { .. }))),
            Err(Error::SubjectHeld) => assert!(keys.open_bytes(&iban, &billing).is_ok()),
            Err(e) => return Err(e),
        }
        Ok(())
    })
    .await
}

/// A process that starts finishes what it takes for a crash; the one that is at it is not disturbed.
async fn an_erasure_is_finished_once_by_whoever_is_at_it(on: &Ground) -> Result {
    rounds(on, 50, |r| async move {
        let (a, _, sealed) = r.known_to_both().await?;
        let builder = r.world.tapped(&Tap::random(r.number, 3));
        let (erased, built) = r.both(r.erase(&r.a), async move { builder.build().await }).await;
        erased?;
        built?;
        Round::check_ended(&a, &sealed);
        r.check_gone().await
    })
    .await
}

async fn two_vaults_open_one_epoch(on: &Ground) -> Result {
    rounds(on, 4, |r| async move {
        let (_, _, sealed) = r.known_to_both().await?;
        let before = r.a.vault().current_epoch().await?;
        r.world.provider.add_key().await?;
        let advance = |by: &Tenant| {
            let vault = by.vault().clone();
            async move { vault.advance_epoch().await.map(|advanced| advanced.epoch) }
        };
        let epoch = match r.both(advance(&r.a), advance(&r.b)).await {
            (Ok(one), Ok(two)) => {
                assert_eq!(one, two);
                one
            }
            // The other one had nothing left to do.
            (Ok(one), Err(Error::InvalidInput(_))) | (Err(Error::InvalidInput(_)), Ok(one)) => one,
            other => panic!("{other:?}"),
        };
        assert!(epoch > before && r.world.builder().build().await?.current_epoch().await? == epoch);
        rewrap_all(r.b.vault(), 100).await?;
        r.a.vault().retire_epoch(before).await?;
        r.world.assert_nothing_within(before).await?;
        r.check_opens(&sealed).await
    })
    .await
}

/// A read of a tenant that was sent before the tenant was erased, and is answered after.
async fn a_tenants_load_that_was_under_way_brings_no_key_back(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let tenant = TenantId::new("acme")?;
    world.builder().build().await?.tenant(&tenant).enroll(&customer("ada")).await?;
    let (tap, gate) = (Tap::open(), Gate::new());
    let vault = world.tapped(&tap).build().await?;
    let acme = vault.tenant(&tenant);
    let parked = gate.clone();
    tap.set(move |call| match call.method {
        // The last key of the slot: the read from the store is done.
        "unwrap_key" if call.number < 10 && call.is_over() => Act::Park(parked.clone()),
        _ => Act::Go,
    });
    let load = tokio::spawn({
        let acme = acme.clone();
        async move { acme.enroll(&customer("ben")).await }
    });
    gate.reached().await;
    tap.set(|_| Act::Go);
    vault.erase_tenant(&tenant, &ErasureRequest::new()).await?;
    gate.open();
    assert!(matches!(load.await.unwrap(), Err(Error::TenantErased { .. })));
    assert!(matches!(acme.enroll(&customer("cleo")).await, Err(Error::TenantErased { .. })));
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch().is_none()), "a key was made for nobody");
    Ok(())
}

/// What a process still holds of a tenant must not be taken for what the store has.
async fn a_tenant_that_another_process_erased_is_no_restored_store(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let tenant = TenantId::new("acme")?;
    let (a, b) = (world.builder().build().await?, world.builder().build().await?);
    let half = a.max_age() / 2;
    world.clock.advance(half);
    b.tenant(&tenant).enroll(&customer("ada")).await?;
    a.erase_tenant(&tenant, &ErasureRequest::new()).await?;
    // Time to look into the journal again, and the tenant's keys are not past their age.
    world.clock.advance(half + Duration::from_millis(1));
    b.default_tenant().enroll(&customer("ben")).await?;
    assert!(matches!(b.tenant(&tenant).enroll(&customer("cleo")).await, Err(Error::TenantErased { .. })));
    Ok(())
}

async fn a_tenant_that_another_process_erases_stops_no_sweep(on: &Ground) -> Result {
    let world = World::on(on).await?;
    let tenant = TenantId::new("acme")?;
    let (tap, gate) = (Tap::open(), Gate::new());
    let (a, b) = (world.tapped(&tap).build().await?, world.builder().build().await?);
    let ended = Enrollment::new().retain_until(world.clock.wall());
    b.tenant(&tenant).enroll_with(&customer("ada"), &ended).await?;
    b.default_tenant().enroll_with(&customer("ben"), &ended).await?;
    assert_eq!(b.erase_due().await?.closed, 2);
    world.clock.advance(DAY);
    drop(a.erase_due_with(&Sweep::new().only_count()).await?); // it has looked, and has nothing else to put
    // The intent is in the journal, and no slot is changed yet.
    let parked = gate.clone();
    tap.set(move |call| if call.method == "put" { Act::Park(parked.clone()) } else { Act::Go });
    let erasure = tokio::spawn({
        let (a, tenant) = (a.clone(), tenant.clone());
        async move { a.erase_tenant(&tenant, &ErasureRequest::new()).await }
    });
    gate.reached().await;
    assert_eq!(b.erase_due().await?.receipts.len(), 1, "the other tenant's subject");
    gate.open();
    erasure.await.unwrap()?;
    assert!(world.subjects().await?.iter().all(|slot| slot.epoch().is_none()));
    Ok(())
}
