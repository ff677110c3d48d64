//! What a child does: one job until it is to be killed, or many until somebody kills it.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldseal_testkit::faults::{Act, CallPoint};

use super::builds::Build;
use super::*;

/// `task` is one of
/// - `job FOLDER JOB POINT`: does the job; at its POINT-th call point it says `reached`, and stands still. In databases, where
///   to look at what it left takes longer, its points are those at which something has changed.
/// - `build FOLDER BUILD POINT`: the same of a vault that is built; its points are those at which the files have changed.
/// - `work FOLDER SEED COUNT`: does what comes, COUNT times, and says what it has done.
pub(crate) async fn run(task: &str) -> Result {
    let words: Vec<&str> = task.split('\n').collect();
    match words.as_slice() {
        ["job", folder, job, point] => {
            one_job(&SharedFolder((*folder).into()), Job::named(job).unwrap(), point.parse()?).await
        }
        ["build", folder, build, point] => {
            one_build(&SharedFolder((*folder).into()), Build::named(build).unwrap(), point.parse()?).await
        }
        ["work", folder, seed, count] => work(&SharedFolder((*folder).into()), seed.parse()?, count.parse()?).await,
        _ => Err("a task that nobody gives".into()),
    }
}

async fn one_job(place: &SharedFolder, job: Job, point: u64) -> Result {
    let tap = Tap::open();
    let (vault, _) = place.vault(&tap).await?;
    if job == Job::Replay {
        place.put_back().await?; // under this process
    }
    let samples = place.databases()?.is_some();
    stand_still_at(&tap, point, move |call| !samples || is_after_a_write(call));
    job.run(&vault).await?;
    say("done");
    Ok(())
}

/// A build makes many calls that read. Killed at one of them it leaves what the write before it left.
async fn one_build(place: &SharedFolder, build: Build, point: u64) -> Result {
    let tap = Tap::open();
    stand_still_at(&tap, point, is_after_a_write);
    build.run(place, &tap).await?;
    say("done");
    Ok(())
}

/// Or before anything is done.
fn is_after_a_write(call: &CallPoint<'_>) -> bool {
    let reads = ["id", "head", "read", "read_of", "load", "scan", "current", "wrap_key", "unwrap_key", "destruction"];
    call.number == 0 || (call.is_over() && !reads.contains(&call.method))
}

/// To be killed there: points are counted among those that `counts`.
fn stand_still_at(tap: &Tap, point: u64, counts: impl Fn(&CallPoint<'_>) -> bool + Send + Sync + 'static) {
    let passed = AtomicU64::new(0);
    tap.set(move |call| {
        if counts(call) && passed.fetch_add(1, Ordering::SeqCst) == point {
            say("reached");
            loop {
                std::thread::park();
            }
        }
        Act::Go
    });
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{what}").expect("the parent listens");
    out.flush().expect("the parent listens");
}

/// What is scheduled for then is due at once.
const LONG_AGO: fieldseal::clock::Timestamp = fieldseal::clock::Timestamp::from_millis(1);

/// Enrolls, seals, rotates, erases, holds, schedules, sweeps and advances as the seed says. What it says was done is done.
async fn work(place: &SharedFolder, seed: u64, count: u64) -> Result {
    let (vault, keyring) = place.vault(&Tap::open()).await?;
    let customers = vault.default_tenant();
    say("begun");
    let mut random = Random(seed);
    for _ in 0..count {
        let name = format!("s{}", random.below(40));
        let subject = customer(&name);
        let step = async {
            match random.below(20) {
                0..=5 => match customers.enroll(&subject).await {
                    Ok(keys) => say(&format!("sealed {name} {}", hex(&seal(&keys)?))),
                    Err(Error::SubjectErased { .. } | Error::SubjectClosed { .. }) => {}
                    Err(e) => return Err(e.into()),
                },
                6..=7 => permit(customers.rotate(&subject).await)?,
                8 => permit(customers.rotate_now(&subject).await)?,
                9..=10 => {
                    say(&format!("erasing {name}"));
                    match customers.erase(&subject, &ErasureRequest::new().even_if_unknown()).await {
                        Ok(_) => say(&format!("erased {name}")),
                        Err(Error::SubjectHeld) => say(&format!("spared {name}")),
                        Err(e) => return Err(e.into()),
                    }
                }
                11 => permit(customers.hold(&subject).await)?,
                12 => permit(customers.release(&subject).await)?,
                13 => rewrap_all(&vault).await?,
                14 if random.below(4) == 0 => {
                    keyring.add_key().await?;
                    match vault.advance_epoch().await {
                        // Another process's key came between, or it advanced to this one.
                        Err(Error::InvalidInput(_) | Error::Provider(_)) => {}
                        advanced => drop(advanced?),
                    }
                }
                15 if random.below(4) == 0 => {
                    let current = vault.current_epoch().await?.get();
                    let Some(old) = Epoch::new(current.saturating_sub(1)) else { return Ok(()) };
                    match vault.retire_epoch(old).await {
                        Err(Error::EpochInUse { .. } | Error::InvalidInput(_) | Error::Conflict) => {}
                        retired => drop(retired?),
                    }
                }
                16 if random.below(4) == 0 => {
                    say(&format!("erasing {name}"));
                    permit(customers.schedule_erasure(&subject, LONG_AGO).await)?;
                }
                16 => permit(customers.cancel_erasure(&subject).await)?,
                17 => permit(vault.erase_due().await)?,
                18 => {
                    let request = ErasureRequest::new().purpose(fieldseal::id::Purpose::new("billing")?);
                    permit(customers.erase(&subject, &request).await)?;
                }
                19 => {
                    let tenant = TenantId::new(format!("t{}", random.below(1000)))?;
                    permit(vault.tenant(&tenant).enroll(&customer(1i64)).await)?;
                    if random.below(2) == 0 {
                        permit(vault.erase_tenant(&tenant, &ErasureRequest::new()).await)?;
                        say(&format!("erased-tenant {}", tenant.as_str()));
                    }
                }
                _ => match customers.keys(&subject).await {
                    Ok(keys) => say(&format!("sealed {name} {}", hex(&seal(&keys)?))),
                    Err(Error::SubjectUnknown | Error::SubjectErased { .. } | Error::SubjectClosed { .. }) => {}
                    Err(e) => return Err(e.into()),
                },
            }
            Ok(())
        };
        match step.await {
            Err(e) if is_between_keys(&e) => {}
            done => done?,
        }
    }
    say("done");
    Ok(())
}

/// Another process has made a new master key, and its epoch is not opened yet.
fn is_between_keys(e: &Failure) -> bool {
    let kind = fieldseal::error::ProviderErrorKind::Misconfigured;
    e.downcast_ref().is_some_and(|e| matches!(e, Error::Provider(e) if e.kind() == kind))
}

/// What can't be done with the subject as it is.
fn permit<T>(done: fieldseal::Result<T>) -> Result {
    match done {
        Err(
            Error::SubjectUnknown
            | Error::SubjectErased { .. }
            | Error::SubjectClosed { .. }
            | Error::SubjectHeld
            | Error::PurposeErased { .. }
            | Error::TenantErased { .. }
            | Error::InvalidInput(_),
        ) => Ok(()),
        done => Ok(done.map(drop)?),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
