//! Lives of a key store that are drawn by chance: calls of every kind from two processes, which are killed anywhere, and restores
//! between them: of a backup of one moment or taken slot by slot, replayed at once or only when a build says so, and with a journal
//! that is older or another store's. Nobody who was erased opens, and nothing that lives is lost.
//!
//! `FIELDSEAL_ROUNDS` says how many lives, `FIELDSEAL_SEED` runs those again of which one failed.
#![allow(clippy::print_stdout, reason = "the test prints its seed and its counts")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fieldseal::clock::{Clock as _, Timestamp};
use fieldseal::id::Purpose;
use fieldseal::journal::{ErasureJournal as _, Head, MemoryJournal};
use fieldseal::store::{Expected, KeyStore as _, MemoryStore, SlotId, StoredSlot};
use fieldseal::vault::{Enrollment, ErasureRequest, Ready, VaultBuilder};
use fieldseal::{Error, TenantId, Vault};
use fieldseal_testkit::customer;
use fieldseal_testkit::faults::{Act, Gate, Tap};
use fieldseal_testkit::world::{Ground, MAX_AGE, World, rounds};
use futures_util::future::{Either, select};

use super::common::{DAY, HOUR, Result, acme, opens, seal};

tests![nobody_comes_back_and_nothing_is_lost_in_any_life];

async fn nobody_comes_back_and_nothing_is_lost_in_any_life(on: &Ground) -> Result {
    let seed = match std::env::var("FIELDSEAL_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => RandomState::new().hash_one(0),
    };
    let mut counts = Counts::default();
    let lives = if on.is_memory() { rounds(20, 2000) } else { rounds(2, 500) };
    for number in 0..lives {
        let mut random = Random(seed.wrapping_add(number << 32));
        random.next();
        let mut life = Life::new(on, random, &mut counts).await?;
        life.told = Told { lines: vec![format!("FIELDSEAL_SEED={seed} life {number}")] };
        life.pass().await.unwrap_or_else(|e| panic!("step {}: {e:?}", life.step));
    }
    println!("FIELDSEAL_SEED={seed}: {counts:?}");
    let enough = counts.killed > 20 && counts.whole > 5 && counts.by_slots > 5;
    assert!(enough || lives < 20, "little was tried: {counts:?}");
    Ok(())
}

/// What was done in a life, for whoever reads of a failure.
#[derive(Default)]
struct Told {
    lines: Vec<String>,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.lines.join("\n"));
        }
    }
}

/// What came about, in all lives.
#[derive(Debug, Default)]
struct Counts {
    calls: u64,
    killed: u64,
    /// Restores of a backup of one moment, and of one that was taken slot by slot.
    whole: u64,
    by_slots: u64,
    /// Restores of which nobody told the vault, and that it noticed.
    noticed: u64,
    /// Journals that were not the store's.
    other_journals: u64,
    /// Values that were opened, and those of the erased that were refused.
    opened: u64,
    refused: u64,
}

/// One key store, from its creation on.
struct Life<'a> {
    on: &'a Ground,
    world: World,
    random: Random,
    processes: [Option<(Vault, Tap)>; 2],
    people: BTreeMap<Who, Person>,
    sealed: Vec<Value>,
    backups: Vec<Taken>,
    /// One that is being taken slot by slot.
    taking: Option<Taken>,
    step: u64,
    counts: &'a mut Counts,
    told: Told,
}

/// Somebody, of the default tenant or of the one that may be erased.
type Who = (TenantId, String);

/// What is known of somebody by the answers.
#[derive(Debug, Default)]
struct Person {
    /// How often they were erased.
    erasures: u64,
    now: Standing,
    /// A call was killed that erases them, or they go when their time has come.
    may_be_erased: bool,
    /// They have, or had, a period or a schedule.
    may_be_closed: bool,
}

/// What is sealed for somebody now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// Can be opened.
    #[default]
    Live,
    /// Can't: a process may seal with keys that it read before, and that are destroyed.
    Erased,
    /// They were erased, and perhaps enrolled again.
    Unknown,
}

struct Value {
    who: Who,
    bytes: Vec<u8>,
    step: u64,
    /// How many erasures came before it.
    erasures: u64,
    /// A restore went back to before it was sealed, or it was sealed with keys that were destroyed.
    may_be_lost: bool,
}

struct Taken {
    step: u64,
    at: Timestamp,
    is_of_one_moment: bool,
    vault_is_last: bool,
    slots: BTreeMap<Vec<u8>, StoredSlot>,
}

impl Taken {
    fn is_taken(&self, slot: &StoredSlot) -> bool {
        self.slots.contains_key(&slot.id().to_bytes())
    }
}

/// What may be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Do {
    Enroll,
    Again,
    Retain,
    Keys,
    Rotate,
    RotateNow,
    Erase,
    ErasePurpose,
    EraseTenant,
    Hold,
    Release,
    Schedule,
    Cancel,
    Sweep,
    ResumeRetention,
}

impl Do {
    /// The more often, the more often it is drawn.
    const ALL: [Self; 24] = [
        Self::Enroll,
        Self::Enroll,
        Self::Enroll,
        Self::Enroll,
        Self::Again,
        Self::Again,
        Self::Retain,
        Self::Keys,
        Self::Keys,
        Self::Keys,
        Self::Rotate,
        Self::RotateNow,
        Self::Erase,
        Self::Erase,
        Self::Erase,
        Self::Erase,
        Self::ErasePurpose,
        Self::EraseTenant,
        Self::Hold,
        Self::Release,
        Self::Schedule,
        Self::Cancel,
        Self::Sweep,
        Self::ResumeRetention,
    ];

    /// What it seals, where it gives keys.
    async fn make(self, vault: &Vault, (tenant, name): &Who, until: Timestamp) -> Result<Option<Vec<u8>>> {
        let (tenant, who) = (vault.tenant(tenant), customer(name));
        let keys = match self {
            Self::Enroll => tenant.enroll(&who).await?,
            Self::Again => tenant.enroll_with(&who, &Enrollment::new().even_if_erased()).await?,
            Self::Retain => tenant.enroll_with(&who, &Enrollment::new().retain_until(until)).await?,
            Self::Keys => tenant.keys(&who).await?,
            Self::Rotate => return tenant.rotate(&who).await.map(|_| None),
            Self::RotateNow => return tenant.rotate_now(&who).await.map(|()| None),
            Self::Erase => return tenant.erase(&who, &ErasureRequest::new().even_if_unknown()).await.map(|_| None),
            Self::ErasePurpose => {
                let billing = Purpose::new("billing")?;
                return tenant
                    .erase(&who, &ErasureRequest::new().even_if_unknown().purpose(billing))
                    .await
                    .map(|_| None);
            }
            Self::EraseTenant => return vault.erase_tenant(&acme(), &ErasureRequest::new()).await.map(|_| None),
            Self::Hold => return tenant.hold(&who).await.map(|()| None),
            Self::Release => return tenant.release(&who).await.map(|()| None),
            Self::Schedule => return tenant.schedule_erasure(&who, until).await.map(|()| None),
            Self::Cancel => return tenant.cancel_erasure(&who).await.map(|()| None),
            Self::Sweep => return vault.erase_due().await.map(|_| None),
            Self::ResumeRetention => return vault.resume_retention().await.map(|_| None),
        };
        seal(&keys).map(Some)
    }
}

/// What can't be done with somebody as they are.
fn is_refusal(e: &Error) -> bool {
    matches!(
        e,
        Error::SubjectUnknown
            | Error::SubjectErased { .. }
            | Error::SubjectClosed { .. }
            | Error::SubjectHeld
            | Error::PurposeErased { .. }
            | Error::TenantErased { .. }
            | Error::TooEarly { .. }
            | Error::InvalidInput(_)
    )
}

const STEPS: u64 = 60;
/// What a vault takes for the longest that a backup takes.
const WINDOW: Duration = DAY;

impl<'a> Life<'a> {
    async fn new(on: &'a Ground, random: Random, counts: &'a mut Counts) -> Result<Self> {
        let world = World::on(on).await?.purposes(["billing"]);
        world.vault().await?;
        Ok(Self {
            on,
            world,
            random,
            processes: [None, None],
            people: BTreeMap::new(),
            sealed: Vec::new(),
            backups: Vec::new(),
            taking: None,
            step: 0,
            counts,
            told: Told::default(),
        })
    }

    async fn pass(&mut self) -> Result {
        while self.step < STEPS {
            self.step += 1;
            match self.random.below(20) {
                0 | 1 => self.time_passes(),
                2 => self.processes = [None, None],
                3 | 4 if self.taking.is_none() => self.begin_a_backup().await?,
                5 => self.restore().await?,
                6 => self.lose_the_journal().await?,
                _ => self.call().await?,
            }
            self.go_on_with_the_backup().await?;
            if self.step.is_multiple_of(12) {
                let vault = self.start(self.world.builder()).await?;
                self.check(&vault).await?;
            }
        }
        self.processes = [None, None];
        let vault = self.replay().await?;
        self.check(&vault).await
    }

    fn note(&mut self, what: &str) {
        self.told.lines.push(format!("{}: {what}", self.step));
    }

    fn time_passes(&mut self) {
        let times = [Duration::from_secs(1), MAX_AGE / 2, 2 * MAX_AGE, HOUR, 7 * HOUR, 25 * HOUR];
        let by = self.random.of(&times);
        self.world.clock.advance(by);
        self.note(&format!("{by:?} pass"));
    }

    /// A process that starts now, and replays the journal where a build asks for it.
    async fn start(&mut self, builder: VaultBuilder<Ready>) -> Result<Vault> {
        match builder.build().await {
            Err(Error::StoreBehindJournal { .. }) => {
                self.counts.noticed += 1;
                self.processes = [None, None];
                self.replay().await
            }
            vault => vault,
        }
    }

    async fn replay(&self) -> Result<Vault> {
        Ok(self.world.builder().replay().await?.0)
    }

    /// One call of one process, which may be killed anywhere; and what the answer says is kept.
    async fn call(&mut self) -> Result {
        self.counts.calls += 1;
        let (which, act, who) = (usize::from(self.random.below(2) == 1), self.random.of(&Do::ALL), self.somebody());
        let ahead = self.random.of(&[HOUR, 30 * HOUR, 1000 * HOUR]);
        let until = self.world.later(ahead);
        let dies_at = if self.random.below(3) == 0 { self.random.below(16) } else { u64::MAX };
        if self.processes[which].is_none() {
            let tap = Tap::open();
            let world = if which == 0 { self.world.clone() } else { self.world.elsewhere() };
            let vault = self.start(world.tapped(&tap)).await?;
            self.processes[which] = Some((vault, tap));
        }
        let Some((vault, tap)) = self.processes[which].clone() else { return Ok(()) };
        self.person(&who);
        let (passed, gate) = (AtomicU64::new(0), Gate::new());
        let parked = gate.clone();
        tap.set(
            move |_| {
                if passed.fetch_add(1, Ordering::SeqCst) < dies_at { Act::Go } else { Act::Park(parked.clone()) }
            },
        );
        let answer = match select(pin!(act.make(&vault, &who, until)), pin!(gate.reached())).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => {
                self.counts.killed += 1;
                self.note(&format!("process {which} is killed in call {dies_at} of {act:?} of {who:?}"));
                self.processes[which] = None;
                self.may_have(act, &who);
                return Ok(());
            }
        };
        tap.set(|_| Act::Go);
        self.note(&format!("process {which}: {act:?} of {who:?}: {:?}", answer.as_ref().map(Option::is_some)));
        match answer {
            Ok(envelope) => self.done(act, who, envelope),
            Err(e) if is_refusal(&e) => self.may_have(act, &who),
            // A store that was restored, of which nobody told the vault.
            Err(Error::StoreBehindJournal { .. }) => {
                self.counts.noticed += 1;
                self.processes = [None, None];
                self.may_have(act, &who);
                self.replay().await?;
            }
            Err(e) => panic!("step {}: {act:?} of {who:?}: {e:?}", self.step),
        }
        Ok(())
    }

    fn somebody(&mut self) -> Who {
        let tenant = if self.random.below(6) == 0 { acme() } else { TenantId::default_tenant() };
        (tenant, format!("s{}", self.random.below(10)))
    }

    fn person(&mut self, who: &Who) -> &mut Person {
        self.people.entry(who.clone()).or_default()
    }

    fn of_acme(&mut self) -> impl Iterator<Item = &mut Person> {
        self.people.iter_mut().filter(|((tenant, _), _)| *tenant == acme()).map(|(_, person)| person)
    }

    fn done(&mut self, act: Do, who: Who, envelope: Option<Vec<u8>>) {
        let erase = |person: &mut Person| {
            (person.erasures, person.now, person.may_be_erased) = (person.erasures + 1, Standing::Erased, false);
        };
        match act {
            Do::Erase => erase(self.person(&who)),
            Do::EraseTenant => self.of_acme().for_each(erase),
            Do::Again => self.person(&who).now = Standing::Live,
            _ => self.may_have(act, &who),
        }
        if let Some(bytes) = envelope {
            let Person { erasures, now, .. } = *self.person(&who);
            let erasures = erasures - u64::from(now == Standing::Erased);
            let may_be_lost = now != Standing::Live;
            self.sealed.push(Value { who, bytes, step: self.step, erasures, may_be_lost });
        }
    }

    /// What a call may have done of which nobody heard, or will do one day.
    fn may_have(&mut self, act: Do, who: &Who) {
        match act {
            Do::Erase => self.person(who).may_be_erased = true,
            Do::Schedule | Do::Retain => {
                let person = self.person(who);
                (person.may_be_erased, person.may_be_closed) = (true, true);
            }
            Do::EraseTenant => self.of_acme().for_each(|person| person.may_be_erased = true),
            Do::Again => {
                let person = self.person(who);
                if person.now == Standing::Erased {
                    person.now = Standing::Unknown;
                }
            }
            _ => {}
        }
    }

    /// Of one moment, or slot by slot in the next steps.
    async fn begin_a_backup(&mut self) -> Result {
        let (is_of_one_moment, vault_is_last) = (self.random.below(3) == 0, self.random.below(2) == 0);
        let (step, at) = (self.step, self.world.clock.wall());
        let mut taken = Taken { step, at, is_of_one_moment, vault_is_last, slots: BTreeMap::new() };
        if is_of_one_moment {
            let slots = self.world.slots().await?;
            taken.slots = slots.into_iter().map(|slot| (slot.id().to_bytes(), slot)).collect();
            self.backups.push(taken);
        } else {
            self.taking = Some(taken);
        }
        Ok(())
    }

    /// Takes some of the slots that it lacks. A backup that takes longer than one may is none.
    async fn go_on_with_the_backup(&mut self) -> Result {
        let Some(mut taking) = self.taking.take() else { return Ok(()) };
        if self.world.clock.wall().since(taking.at) > WINDOW {
            return Ok(());
        }
        let slots = self.world.slots().await?;
        // The vault's slot first, last, or anywhere: it says how far everything was checked when it was taken.
        let lacks_others = slots.iter().any(|slot| !taking.is_taken(slot) && *slot.id() != SlotId::Vault);
        let mut is_whole = true;
        for slot in slots {
            if taking.is_taken(&slot) {
                continue;
            }
            let waits = *slot.id() == SlotId::Vault && taking.vault_is_last && lacks_others;
            if !waits && self.random.below(3) == 0 {
                taking.slots.insert(slot.id().to_bytes(), slot);
            } else {
                is_whole = false;
            }
        }
        if is_whole {
            self.backups.push(taking);
        } else {
            self.taking = Some(taking);
        }
        Ok(())
    }

    /// Every process ends, a backup takes the store's place, and the journal is replayed: at once, or when a build says so.
    async fn restore(&mut self) -> Result {
        if self.backups.is_empty() {
            return Ok(());
        }
        let from = usize::try_from(self.random.below(self.backups.len() as u64)).unwrap();
        // What was made after this one is of another life: a root that is given up now is not taken back.
        self.backups.truncate(from + 1);
        let Taken { step, is_of_one_moment, slots, .. } = &self.backups[from];
        let restored = World::on(self.on).await?;
        for slot in slots.values() {
            restored.store.put(slot, Expected::Absent).await?;
        }
        if *is_of_one_moment {
            self.counts.whole += 1;
        } else {
            self.counts.by_slots += 1;
        }
        let what = format!("the store is restored, from a backup of step {step}, of one moment: {is_of_one_moment}");
        for value in &mut self.sealed {
            value.may_be_lost |= value.step >= *step;
        }
        for ((tenant, _), person) in &mut self.people {
            // Who was enrolled again may be so no more. And under a new root nobody knows who was erased under the lost one.
            let has_root = slots.contains_key(&SlotId::Tenant(tenant.clone()).to_bytes());
            if person.erasures > 0 && (person.now == Standing::Live || !has_root) {
                person.now = Standing::Unknown;
            }
        }
        self.note(&what);
        (self.processes, self.taking) = ([None, None], None);
        self.world = self.world.clone().with_store_of(&restored);
        let is_told = self.random.below(2) == 0;
        let vault = if is_told { self.replay().await? } else { self.start(self.world.builder()).await? };
        self.check(&vault).await
    }

    /// Copies of the journal that are older, or of another key store: a build refuses them, or is right all the same.
    async fn lose_the_journal(&mut self) -> Result {
        let entries = self.world.entries().await?;
        let (older, mut head) = (MemoryJournal::with_id(self.world.journal.id().await?), Head::EMPTY);
        let so_many = usize::try_from(self.random.below(entries.len() as u64 + 1)).unwrap();
        for entry in entries.iter().take(so_many) {
            head = older.append(entry, &head).await?;
        }
        let other = World::in_memory()?;
        other.tenant().await?.erase(&customer("s1"), &ErasureRequest::new().even_if_unknown()).await?;
        match self.copy().await?.with_journal(older).vault().await {
            // It may lack entries that are needed to open something, and none that are needed to refuse it.
            Ok(vault) => self.check_that(&vault, false).await?,
            Err(e) => self.note(&format!("an older journal is refused: {e}")),
        }
        let answer = self.copy().await?.with_journal(other.journal).vault().await;
        assert!(answer.is_err(), "another store's journal is taken for this one's");
        self.counts.other_journals += 2;
        Ok(())
    }

    /// The same, on a copy of its store: what is done there comes to nothing.
    async fn copy(&self) -> Result<World> {
        let store = MemoryStore::new();
        for slot in self.world.slots().await? {
            store.put(&slot, Expected::Absent).await?;
        }
        Ok(self.world.clone().with_store(store))
    }

    /// What a process that started opens, and what it doesn't.
    async fn check(&mut self, vault: &Vault) -> Result {
        self.check_that(vault, true).await
    }

    async fn check_that(&mut self, vault: &Vault, all_open: bool) -> Result {
        for Value { who, bytes, step, erasures, may_be_lost } in &self.sealed {
            let (tenant, name) = who;
            let person = &self.people[who];
            let opened = match vault.tenant(tenant).keys(&customer(name)).await {
                Ok(keys) => opens(&keys, bytes),
                Err(e) => Err(e),
            };
            match opened {
                Ok(true) if *erasures < person.erasures => panic!("step {}: {who:?} is back, of {step}", self.step),
                Ok(true) => self.counts.opened += 1,
                Ok(false) => panic!("step {}: {who:?} opens as something else", self.step),
                Err(_) if *erasures < person.erasures => self.counts.refused += 1,
                Err(Error::SubjectClosed { .. }) if person.may_be_closed => {}
                Err(_) if *may_be_lost || person.may_be_erased || !all_open => {}
                Err(e) => panic!("step {}: {who:?}, sealed in {step}, is lost: {e:?}", self.step),
            }
        }
        Ok(())
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}
