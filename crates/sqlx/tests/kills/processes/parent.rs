//! Starts children, kills them, and looks at what they left.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use fieldseal_testkit::world;
use fleet_tests::harness::{Blocking, Completion, Trial, soak};
use fleet_tests::postgres::{Databases, Which};
use tokio::runtime::Runtime;

use super::builds::Build;
use super::*;

pub(crate) fn trials(runtime: &Arc<Runtime>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, test) in tests() {
        let (runtime, test) = (Arc::clone(runtime), test.clone());
        trials.push(Blocking::new().trial(format!("files::{name}"), move || test(&runtime, &Ground::Files)));
    }
    for which in Which::ALL {
        let databases = Databases::new(which);
        for (name, test) in tests_on(which) {
            let (runtime, databases) = (Arc::clone(runtime), databases.clone());
            let place = Blocking::new().named(which.name()).ignored(which.skip());
            trials.push(place.trial(name, move || {
                if databases.server().is_none() {
                    return Ok(Completion::ignored_with("it is not installed"));
                }
                test(&runtime, &Ground::Postgres(databases)).map(|()| Completion::Completed)
            }));
        }
    }
    trials
}

type Test = Arc<dyn Fn(&Runtime, &Ground) -> Result + Send + Sync>;

/// At its points, it is their number that counts, not how a version of PostgreSQL answers: a child is killed there on the
/// newest.
fn tests_on(which: Which) -> Vec<(String, Test)> {
    let mut tests = tests();
    if which != Which::Embedded {
        tests.retain(|(name, _)| !name.starts_with("killed_at_calls") && !name.starts_with("killed_at_writes"));
    }
    tests
}

fn tests() -> Vec<(String, Test)> {
    let mut tests: Vec<(String, Test)> = Vec::new();
    for job in Job::ALL {
        let name = format!("killed_at_calls_of_{job:?}");
        tests.push((name, Arc::new(move |runtime, on| killed_at_calls(runtime, on, job))));
    }
    for build in Build::ALL {
        let name = format!("killed_at_writes_of_a_build_{build:?}");
        tests.push((name, Arc::new(move |runtime, on| killed_while_it_builds(runtime, on, build))));
    }
    tests.push(("killed_at_random_moments".into(), Arc::new(killed_at_random_moments)));
    tests.push(("two_processes_share_keyring_store_and_journal".into(), Arc::new(two_processes)));
    tests
}

/// A place with customers in every state, and what they had sealed.
struct Template {
    folder: tempfile::TempDir,
    sealed: HashMap<&'static str, Vec<u8>>,
}

impl Template {
    async fn make(job: Job, on: &Ground) -> Result<Self> {
        let folder = new_folder()?;
        let place = SharedFolder::make(folder.path(), on).await?;
        let (vault, keyring) = place.vault_an_hour_ago().await?;
        let customers = vault.default_tenant();
        let mut sealed = HashMap::new();
        for subject in ["ada", "ben", "cy", "held", "scheduled", "gone", "due", "ended"] {
            sealed.insert(subject, seal(&customers.enroll(&customer(subject)).await?)?);
        }
        let request = ErasureRequest::new();
        for n in 1..=5i64 {
            vault.tenant(&acme()).enroll(&customer(n)).await?;
        }
        sealed.insert("acme", seal(&vault.tenant(&acme()).keys(&customer(1i64)).await?)?);
        customers.hold(&customer("held")).await?;
        customers.schedule_erasure(&customer("scheduled"), NEVER).await?;
        let elsewhere = new_folder()?;
        let backup = match job {
            Job::Replay => Some(place.with_a_copy_of_the_store(elsewhere.path()).await?),
            _ => None,
        };
        customers.erase(&customer("gone"), &request).await?;
        if job == Job::Sweep {
            let past = fieldseal::clock::Timestamp::from_millis(1);
            customers.schedule_erasure(&customer("due"), past).await?;
            customers.enroll_with(&customer("ended"), &fieldseal::vault::Enrollment::new().retain_until(past)).await?;
        }
        if matches!(job, Job::Advance | Job::Rewrap | Job::Retire) {
            keyring.add_key().await?;
        }
        if matches!(job, Job::Rewrap | Job::Retire) {
            vault.advance_epoch().await?;
        }
        if job == Job::Retire {
            rewrap_all(&vault).await?;
        }
        drop(vault);
        place.fresh().await?; // `applied` is past all this
        if let Some(backup) = backup {
            keep_for_later(&place, &backup).await?;
        }
        Ok(Self { folder, sealed })
    }
}

/// The one slot where the store has a tombstone, and the backup keys: to be put back by hand under a running process.
async fn keep_for_later(place: &SharedFolder, backup: &SharedFolder) -> Result {
    let (store, backup) = (place.store().await?, backup.store().await?);
    for old in backup.scan(&Scan::new(Filter::All).limit(1000)).await?.slots {
        let now = store.load(std::slice::from_ref(old.id())).await?.remove(0).into_slot()?.unwrap();
        if now.state() == fieldseal::store::SlotState::Erased {
            place.keep_for_later(&old)?;
        }
    }
    Ok(())
}

fn killed_at_calls(runtime: &Runtime, on: &Ground, job: Job) -> Result {
    let template = runtime.block_on(Template::make(job, on))?;
    let place = SharedFolder(template.folder.path().to_owned());
    kill(runtime, on, &place, &format!("job\nFOLDER\n{job:?}"), |place| {
        runtime.block_on(look(place, job, &template.sealed))
    })
}

fn killed_while_it_builds(runtime: &Runtime, on: &Ground, build: Build) -> Result {
    let found = runtime.block_on(build.find(on))?;
    kill(runtime, on, &found.place, &format!("build\nFOLDER\n{build:?}"), |place| {
        runtime.block_on(build.look(place, &found))
    })
}

/// Has children do the task in copies of the place, and kills each at another point.
fn kill(
    runtime: &Runtime,
    on: &Ground,
    from: &SharedFolder,
    task: &str,
    look: impl Fn(&SharedFolder) -> Result,
) -> Result {
    runtime.block_on(from.settle())?;
    let lay = || {
        let folder = new_folder()?;
        let place = runtime.block_on(from.copy_to(folder.path()))?;
        Ok((folder, place))
    };
    let start = |(folder, _): &(tempfile::TempDir, SharedFolder), point: u64| {
        start(&[&task.replace("FOLDER", folder.path().to_str().unwrap()), &point.to_string()[..]].join("\n"))
    };
    let points = kill_at_points(on.every(), lay, start, |(_folder, place)| {
        look(&place)?;
        runtime.block_on(place.discard())
    })?;
    assert!(points > 1, "nobody was killed");
    Ok(())
}

impl Ground {
    /// Of how many points a child is killed at one.
    fn every(&self) -> u64 {
        match self {
            Self::Files => 8,
            Self::Postgres(_) => 10,
        }
    }
}

/// What a killed child left, and what the same job makes of it.
async fn look(place: &SharedFolder, job: Job, sealed: &HashMap<&'static str, Vec<u8>>) -> Result {
    let vault = match job {
        // Where nothing of it was done, a build says that the store is behind.
        Job::Replay => place.builder(&Tap::open()).await?.0.replay().await?.0,
        _ => place.fresh().await?,
    };
    job.run(&vault).await?;
    drop(vault);
    let vault = place.fresh().await?;
    let customers = vault.default_tenant();
    let erased: &[&str] = match job {
        Job::Erase => &["ada", "gone"],
        Job::EraseAll => &["ada", "cy", "never seen", "gone"],
        Job::EraseNeverSeen => &["never seen", "gone"],
        Job::Sweep => &["due", "gone"],
        Job::EnrollAgain => &[],
        _ => &["gone"],
    };
    for subject in erased {
        assert!(
            matches!(customers.keys(&customer(*subject)).await, Err(Error::SubjectErased { .. })),
            "{subject} is not erased"
        );
        assert!(matches!(customers.enroll(&customer(*subject)).await, Err(Error::SubjectErased { .. })));
    }
    let hidden = match job {
        Job::Schedule => vec!["ada", "scheduled"],
        Job::Cancel => vec![],
        Job::Sweep => vec!["scheduled", "ended"],
        _ => vec!["scheduled"],
    };
    for (subject, envelope) in sealed {
        if *subject == "acme" {
            let keys = vault.tenant(&acme()).keys(&customer(1i64)).await;
            match job {
                Job::EraseTenant => assert!(matches!(keys, Err(Error::TenantErased { .. }))),
                _ => assert!(keys?.open_bytes(envelope, &context()).is_ok()),
            }
        } else if erased.contains(subject) {
        } else if hidden.contains(subject) {
            assert!(matches!(customers.keys(&customer(*subject)).await, Err(Error::SubjectClosed { .. })));
        } else if *subject == "gone" {
            // Enrolled again: in a new line, that doesn't open the old.
            assert!(opens(&customers, subject, envelope).await.is_err());
        } else {
            assert!(opens(&customers, subject, envelope).await?, "{subject} does not open");
        }
    }
    match job {
        Job::Enroll => drop(customers.keys(&customer("new")).await?),
        Job::Hold => {
            assert!(matches!(customers.erase(&customer("ada"), &ErasureRequest::new()).await, Err(Error::SubjectHeld)))
        }
        Job::Release => drop(customers.erase(&customer("held"), &ErasureRequest::new()).await?),
        Job::EraseOnePurpose => {
            let keys = customers.keys(&customer("ada")).await?;
            let billing = context().purpose("billing");
            assert!(matches!(keys.seal_bytes(b"x", &billing), Err(Error::PurposeErased { .. })));
        }
        // However often it was begun, one new key waits.
        Job::Rotate => assert_eq!(longest_slot(place).await?, BEFORE + ONE_EACH, "rotated twice, or half"),
        Job::Advance => {
            // One that was journaled and not opened has taken its number.
            let opened = vault.current_epoch().await?;
            assert!((2..=3).contains(&opened.get()));
            assert!(matches!(vault.advance_epoch().await, Err(Error::InvalidInput(_))), "no tenant was left behind");
            assert_eq!(vault.current_epoch().await?, opened);
        }
        Job::Rewrap => {
            let left = vault.rewrap_page(None, 1000).await?;
            assert_eq!((left.moved, left.next), (0, None));
        }
        Job::Retire => {
            let keyring = LocalKeyring::open(place.keyring()).await?;
            let first = keyring.keys().await?.remove(0);
            assert!(keyring.destruction(first.id()).await?.is_some());
        }
        _ => {}
    }
    Ok(())
}

/// The longest slot of a customer tells how many keys whoever has the most of them has.
async fn longest_slot(place: &SharedFolder) -> Result<usize> {
    let store = place.store().await?;
    let slots = store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots;
    let of_default = |id: &SlotId| matches!(id, SlotId::Subject(tenant, _) if *tenant == TenantId::default_tenant());
    let longest = slots.iter().filter(|slot| of_default(slot.id())).map(|slot| slot.as_bytes().len()).max();
    Ok(longest.unwrap_or(0))
}

/// The length of a slot with two purposes of one version; and what one more version each adds.
const BEFORE: usize = 15 + 47 + (2 + 7 + 4 + 8 + 2 + 1) * 2 + 2 * 143 + 32;
const ONE_EACH: usize = 2 * 143;

/// In one place after the other, because in the end everybody in a place is erased. `FIELDSEAL_ROUNDS` says in how many.
fn killed_at_random_moments(runtime: &Runtime, on: &Ground) -> Result {
    let seed = seed();
    println!("seed {seed}");
    let mut random = Random(seed);
    let places = match on {
        Ground::Files => world::rounds(1, 100),
        Ground::Postgres(_) => 1,
    };
    let mut kills = 0;
    for place in 0..places {
        kills +=
            killed_in_one_place(runtime, on, &mut random).map_err(|e| format!("seed {seed}, place {place}: {e:?}"))?;
    }
    println!("{kills} kills in {places} places");
    Ok(())
}

/// How many were killed.
fn killed_in_one_place(runtime: &Runtime, on: &Ground, random: &mut Random) -> Result<u64> {
    // How far a child gets in a time depends on what else there is to do: so it is killed after some lines, and a while.
    let (kills, lines, micros) = match on {
        Ground::Files => (if soak() { 100 } else { 60 }, 4, 60_000),
        Ground::Postgres(_) => (20, 20, 10_000),
    };
    let folder = new_folder()?;
    let place = runtime.block_on(SharedFolder::make(folder.path(), on))?;
    let mut told = Told::default();
    for kill in 0..kills {
        let task = ["work", folder.path().to_str().unwrap(), &random.next().to_string(), "100000"].join("\n");
        let mut child = start(&task)?;
        assert_eq!(child.next_line()?, "begun", "kill {kill}");
        for _ in 0..random.below(lines) {
            told.hear(&child.next_line()?)?;
        }
        std::thread::sleep(Duration::from_micros(random.below(micros)));
        child.kill()?;
        while let Some(line) = child.line()? {
            told.hear(&line)?;
        }
        if kill % 20 == 19 {
            runtime.block_on(told.check(&place)).map_err(|e| format!("after kill {kill}: {e:?}"))?;
        }
    }
    runtime.block_on(told.check(&place))?;
    assert!(told.sealed.len() > 10 && told.erased.len() > 5, "the children came to nothing");
    runtime.block_on(end_all_epochs(&place))?;
    runtime.block_on(told.check(&place))?;
    Ok(kills)
}

/// Everything moves to a new epoch, and every other one ends: nothing may have been left behind.
async fn end_all_epochs(place: &SharedFolder) -> Result {
    let (vault, keyring) = place.vault(&Tap::open()).await?;
    keyring.add_key().await?;
    let current = vault.advance_epoch().await?.epoch.get();
    rewrap_all(&vault).await?;
    for epoch in 1..current {
        match vault.retire_epoch(Epoch::new(epoch).unwrap()).await {
            // One that was journaled and lost its race: its master key opened the next.
            Err(Error::InvalidInput(why)) if why.contains("no such epoch") || why.contains("same master key") => {}
            retired => drop(retired?),
        }
    }
    Ok(())
}

fn two_processes(runtime: &Runtime, on: &Ground) -> Result {
    let steps = match on {
        Ground::Files => "300",
        Ground::Postgres(_) => "60",
    };
    let folder = new_folder()?;
    let place = runtime.block_on(SharedFolder::make(folder.path(), on))?;
    let task = |seed: &str| ["work", folder.path().to_str().unwrap(), seed, steps].join("\n");
    let children = [start(&task("1"))?, start(&task("2"))?];
    let hear = |mut child: Process| {
        std::thread::spawn(move || -> Result<Vec<String>> {
            let mut lines = Vec::new();
            while let Some(line) = child.line()? {
                lines.push(line);
            }
            Ok(lines)
        })
    };
    let mut told = Told::default();
    for child in children.map(hear) {
        let lines = child.join().map_err(|_| "a listener panicked")??;
        assert_eq!(lines.last().map(String::as_str), Some("done"), "a child failed");
        lines.iter().try_for_each(|line| told.hear(line))?;
    }
    runtime.block_on(told.check(&place))?;
    runtime.block_on(end_all_epochs(&place))?;
    runtime.block_on(told.check(&place))
}

/// What children said that was done.
#[derive(Default)]
struct Told {
    sealed: Vec<(String, Vec<u8>)>,
    /// Begun, and perhaps done.
    erasing: HashSet<String>,
    erased: HashSet<String>,
    erased_tenants: HashSet<String>,
}

impl Told {
    fn hear(&mut self, line: &str) -> Result {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["begun" | "done"] => {}
            ["sealed", subject, envelope] => {
                let bytes = (0..envelope.len()).step_by(2).map(|i| u8::from_str_radix(&envelope[i..i + 2], 16));
                self.sealed.push(((*subject).to_owned(), bytes.collect::<std::result::Result<_, _>>()?));
            }
            ["erasing", subject] => drop(self.erasing.insert((*subject).to_owned())),
            ["erased", subject] => drop(self.erased.insert((*subject).to_owned())),
            ["spared", _] => {}
            ["erased-tenant", tenant] => drop(self.erased_tenants.insert((*tenant).to_owned())),
            _ => return Err(format!("a child says {line:?}").into()),
        }
        Ok(())
    }

    async fn check(&self, place: &SharedFolder) -> Result {
        let vault = place.fresh().await?;
        let customers = vault.default_tenant();
        for tenant in &self.erased_tenants {
            let enrolled = vault.tenant(&TenantId::new(tenant)?).enroll(&customer(1i64)).await;
            assert!(matches!(enrolled, Err(Error::TenantErased { .. })), "{tenant} came back");
        }
        for subject in &self.erased {
            assert!(
                matches!(customers.keys(&customer(subject)).await, Err(Error::SubjectErased { .. })),
                "{subject} came back"
            );
        }
        for (subject, envelope) in &self.sealed {
            match opens(&customers, subject, envelope).await {
                Ok(opened) => assert!(opened && !self.erased.contains(subject)),
                Err(Error::SubjectErased { .. } | Error::SubjectClosed { .. }) if self.erasing.contains(subject) => {}
                Err(e) => return Err(format!("{subject} is lost: {e:?}").into()),
            }
        }
        Ok(())
    }
}

fn start(task: &str) -> Result<Process> {
    Process::start(&format!("processes\n{task}"), Stdio::null())
}
