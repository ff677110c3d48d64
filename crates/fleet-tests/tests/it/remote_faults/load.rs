//! An application under load: it enrolls, seals and opens, and remembers what it was told. Whatever it was told must be so
//! when everything works again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fieldseal::envelope::FieldContext;
use fieldseal::guard::Guard;
use fieldseal::journal::JournalErrorKind;
use fieldseal::provider::ProviderErrorKind;
use fieldseal::store::StoreErrorKind;
use fieldseal::{Error, Retry, SubjectId, SubjectKeys, TenantId, Vault};
use fieldseal_testkit::customer;
use serde_json::{Value, json};
use tokio::time::timeout;

use fleet_tests::harness::soak;
use fleet_tests::microburst::follow;

/// Who is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Provider(ProviderErrorKind),
    Store(StoreErrorKind),
    Journal(JournalErrorKind),
}

impl Kind {
    pub(crate) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Provider(e) => Some(Self::Provider(e.kind())),
            Error::Store(e) => Some(Self::Store(e.kind())),
            Error::Journal(e) => Some(Self::Journal(e.kind())),
            _ => None,
        }
    }

    /// Whether the caller is told to come again.
    fn retry(self) -> Retry {
        match self {
            Self::Provider(ProviderErrorKind::Unavailable | ProviderErrorKind::Throttled)
            | Self::Store(StoreErrorKind::Unavailable | StoreErrorKind::Throttled)
            | Self::Journal(JournalErrorKind::Unavailable | JournalErrorKind::Throttled) => Retry::Later,
            _ => Retry::Never,
        }
    }
}

/// Fails unless it is an error of one of these kinds, and says truly whether to come again.
pub(crate) fn is_of(error: &Error, kinds: &[Kind], what: &str) {
    let kind = Kind::of(error).unwrap_or_else(|| panic!("{what}: {error:?}"));
    assert!(kinds.contains(&kind), "{what}: {error:?}");
    assert_eq!(error.retry(), kind.retry(), "{what}: {error:?}");
}

/// Attempts, and no circuit: a port that fails is asked nonetheless. The deadlines are those of a busy machine.
pub(crate) fn guard() -> Guard {
    let millis = Duration::from_millis;
    let guard = Guard::new().attempts(3).backoff(millis(1), millis(5)).circuit(u32::MAX, millis(1));
    guard.attempt_deadline(Duration::from_secs(30)).deadline(Duration::from_secs(60))
}

/// A call that takes longer than any number of the guard's deadlines that it can have met hangs.
pub(crate) async fn in_time<T>(call: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(180), call).await.expect("the call hangs past every deadline")
}

/// Who was enrolled, and what was sealed for whom.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<(String, SubjectId), Sealed>>);

/// Values and their envelopes.
type Sealed = Vec<(Vec<u8>, Vec<u8>)>;

impl Ledger {
    pub(crate) fn enrolled(&self, tenant: &str, subject: &SubjectId) {
        self.0.lock().unwrap().entry((tenant.to_owned(), subject.clone())).or_default();
    }

    /// Seals so many values, opens them and what was sealed before, a few of each.
    pub(crate) fn use_keys(&self, tenant: &str, keys: &SubjectKeys, times: usize) {
        let subject = keys.subject();
        for n in 0..times {
            let value = format!("{tenant} {} {n}", subject.id()).into_bytes();
            let sealed = keys.seal_bytes(&value, &context()).unwrap();
            let mut ledger = self.0.lock().unwrap();
            let all = ledger.get_mut(&(tenant.to_owned(), subject.clone())).expect("whom it was told are enrolled");
            let (value, sealed) = all[all.len() / 2..].first().cloned().unwrap_or((value.clone(), sealed.clone()));
            all.push((value.clone(), sealed.clone()));
            drop(ledger);
            opens(keys, &value, &sealed);
        }
    }

    /// Everybody is there, and everything opens.
    pub(crate) async fn check(&self, vault: &Vault) {
        let ledger = self.0.lock().unwrap().clone();
        let mut tenants: BTreeMap<&str, Vec<&SubjectId>> = BTreeMap::new();
        for (tenant, subject) in ledger.keys() {
            tenants.entry(tenant).or_default().push(subject);
        }
        for (tenant, subjects) in tenants {
            let page = vault.tenant(&TenantId::new(tenant).unwrap()).keys_of(&subjects).await.unwrap();
            for subject in subjects {
                let keys = page.get(subject).unwrap_or_else(|e| panic!("{} of {tenant} is lost: {e}", subject.id()));
                for (value, sealed) in &ledger[&(tenant.to_owned(), subject.clone())] {
                    opens(keys, value, sealed);
                }
            }
        }
    }
}

fn opens(keys: &SubjectKeys, value: &[u8], sealed: &[u8]) {
    let opened = keys.open_bytes(sealed, &context()).unwrap().unwrap();
    assert_eq!(opened.as_slice(), value);
}

pub(crate) fn context() -> FieldContext<'static> {
    FieldContext::new("customer", "email", &17i64).unwrap()
}

/// Tenants whose subjects are there before anything breaks. The vaults that meet a fault know the first one's keys.
pub(crate) const WARM: &str = "warm";
pub(crate) const COLD: [&str; 3] = ["cold-0", "cold-1", "cold-2"];
/// How often the warm ones are used in a round, whoever does it.
const WARM_USES: usize = 256;

/// How many tasks work at once.
fn tasks() -> usize {
    if soak() { 16 } else { 8 }
}

/// Enrolls everybody whom the tasks look for.
pub(crate) async fn prepare(vault: &Vault) {
    let subjects: Vec<_> = (0..tasks()).map(subject).collect();
    for tenant in COLD.into_iter().chain([WARM]) {
        vault.tenant(&TenantId::new(tenant).unwrap()).enroll_all(&subjects).await.unwrap();
    }
}

fn subject(n: usize) -> SubjectId {
    customer(format!("subject-{n}"))
}

/// An application on a vault that has just started, and knows one tenant.
pub(crate) struct Load {
    vault: Vault,
    /// What new subjects and tenants are called by.
    name: String,
    pub(crate) ledger: Ledger,
    used: Mutex<usize>,
}

impl Load {
    pub(crate) async fn start(vault: Vault, name: &str) -> Arc<Self> {
        let warm = vault.tenant(&TenantId::new(WARM).unwrap());
        let subjects: Vec<_> = (0..tasks()).map(subject).collect();
        warm.keys_of(&subjects).await.unwrap();
        let ledger = Ledger::default();
        for tenant in COLD.into_iter().chain([WARM]) {
            subjects.iter().for_each(|subject| ledger.enrolled(tenant, subject));
        }
        Arc::new(Self { vault, name: name.to_owned(), ledger, used: Mutex::default() })
    }

    /// Many tasks at once: each uses one of the warm tenant's subjects, one of a tenant that is there, a new one. What failed
    /// of the last two; the first must not.
    pub(crate) async fn run(self: &Arc<Self>, round: &str) -> Vec<Error> {
        let tasks: Vec<_> = (0..tasks())
            .map(|task| {
                let (load, round) = (Arc::clone(self), round.to_owned());
                tokio::spawn(async move {
                    load.use_subject(WARM, &subject(task), WARM_USES / tasks()).await.unwrap();
                    let known = load.use_subject(COLD[task % COLD.len()], &subject(task), 2).await;
                    let tenant = match task % 4 {
                        0 => format!("new-{}", load.name),
                        n => COLD[n - 1].to_owned(),
                    };
                    let new = load.use_new(&tenant, &customer(format!("{}-{round}-{task}", load.name))).await;
                    [known.err(), new.err()]
                })
            })
            .collect();
        let mut errors = Vec::new();
        for task in tasks {
            errors.extend(task.await.unwrap().into_iter().flatten());
        }
        errors
    }

    async fn use_subject(&self, tenant: &str, subject: &SubjectId, times: usize) -> Result<(), Error> {
        let keys = in_time(self.vault.tenant(&TenantId::new(tenant).unwrap()).keys(subject)).await?;
        self.use_keys(tenant, &keys, times);
        Ok(())
    }

    async fn use_new(&self, tenant: &str, subject: &SubjectId) -> Result<(), Error> {
        let keys = in_time(self.vault.tenant(&TenantId::new(tenant).unwrap()).enroll(subject)).await?;
        self.ledger.enrolled(tenant, subject);
        self.use_keys(tenant, &keys, 2);
        Ok(())
    }

    fn use_keys(&self, tenant: &str, keys: &SubjectKeys, times: usize) {
        self.ledger.use_keys(tenant, keys, times);
        *self.used.lock().unwrap() += 2 * times;
    }

    /// How often something was sealed or opened.
    pub(crate) fn used(&self) -> usize {
        *self.used.lock().unwrap()
    }
}

/// One fault while more than 1 000 values are sealed and opened: first nothing comes through, then some of it, then all.
/// `far` starts a process behind the microburst of this address, `near` one that nothing is between.
pub(crate) async fn suffer(
    far: impl AsyncFn() -> Vault,
    near: impl AsyncFn() -> Vault,
    microburst: &str,
    name: &str,
    fault: &Value,
    kinds: &[Kind],
) {
    let load = Load::start(far().await, name).await;
    let mut rule = json!({ "service": "*" });
    rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    follow(microburst, &json!([rule])).await;
    let failed = load.run("never").await;
    assert_eq!(failed.is_empty(), kinds.is_empty(), "{name}: {failed:?}");
    rule["sequence"] = json!({ "fail": 5, "pass": 4 });
    follow(microburst, &json!([rule])).await;
    let then = load.run("sometimes").await;
    for error in failed.iter().chain(&then) {
        is_of(error, kinds, name);
    }
    assert!(load.used() >= 1_000, "{name}: {}", load.used());
    follow(microburst, &json!([])).await;
    // The same process goes on, with those that failed too; and another one finds everything.
    let failed = load.run("never").await;
    assert!(failed.is_empty(), "{name} left something behind: {failed:?}");
    load.ledger.check(&near().await).await;
}
