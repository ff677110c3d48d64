//! Erasures that break off at each of their requests to the store and the journal.

use fieldseal::guard::{Guard, Guarded};
use fieldseal::journal::{ErasureJournal as _, JournalErrorKind as J, JournalEvent};
use fieldseal::store::{StoreErrorKind as S, Tag};
use fieldseal::vault::ErasureRequest;
use fieldseal::{Error, SubjectId, Tenant, TenantId, Vault};
use fieldseal_aws::DynamoDbJournal;
use fieldseal_testkit::customer;
use fieldseal_testkit::world::is_drawn;
use serde_json::{Value, json};

use fleet_tests::dynamodb;

use super::Servers;
use super::aws::Remote;
use super::load::{Kind, context, guard, in_time, is_of};

/// A store and a journal in DynamoDB.
struct Shop<'a> {
    servers: &'a Servers,
    world: Remote<'a>,
    entries: String,
}

impl<'a> Shop<'a> {
    async fn new(servers: &'a Servers) -> Self {
        let shop = Self { servers, world: Remote::empty(servers).await, entries: dynamodb::fresh() };
        shop.journal(&servers.dynamodb.url()).create_table().await.unwrap();
        shop
    }

    fn journal(&self, url: &str) -> DynamoDbJournal {
        DynamoDbJournal::new(dynamodb::client(url), &self.entries)
    }

    /// The customers, in a process that starts now.
    async fn customers(&self, dynamodb: &str, guard: &Guard) -> Tenant {
        let provider = self.world.provider(&self.servers.kms.url());
        let store = Guarded::new(self.world.store(dynamodb), guard);
        let journal = Guarded::new(self.journal(dynamodb), guard);
        let vault = Vault::builder(provider, store).kinds(["customer"]).journal(journal).build().await.unwrap();
        vault.tenant(&TenantId::new("shop").unwrap())
    }

    /// In a process that nothing is in the way of.
    async fn direct(&self) -> Tenant {
        self.customers(&self.servers.dynamodb.url(), &guard()).await
    }

    /// Erases a subject. So many requests are answered, then some (none: all that follow) meet the fault. Tells whether there
    /// was one that did.
    async fn erase(
        &self,
        subject: &SubjectId,
        guard: &Guard,
        fault: &Value,
        answered: u32,
        met: Option<u32>,
    ) -> (Result<(), Error>, bool) {
        let way = self.world.to_dynamodb().await;
        let customers = self.customers(&way.url(), guard).await;
        customers.keys(subject).await.unwrap();
        let mut rule = fault.clone();
        rule["times"] = json!(met);
        // Whoever comes first to the first rule has met with nothing, so many times.
        way.rules(json!([{ "latency": 0, "times": answered }, rule])).await;
        let erased = in_time(customers.erase(subject, &ErasureRequest::new())).await.map(drop);
        let rules = way.fired().await;
        way.rules(json!([])).await;
        (erased, rules[1]["fired_count"] != 0)
    }

    /// For good.
    async fn are_erased(&self, subjects: impl Iterator<Item = &SubjectId>) {
        let customers = self.direct().await;
        for subject in subjects {
            for again in [customers.keys(subject).await, customers.enroll(subject).await] {
                assert!(matches!(again, Err(Error::SubjectErased { .. })), "{}: {again:?}", subject.id());
            }
        }
    }

    /// Whether the journal tells of an erasure of the tag.
    async fn is_intended(&self, customers: &Tenant, tag: &Tag) -> bool {
        let journal = self.journal(&self.servers.dynamodb.url());
        let head = journal.head().await.unwrap();
        let entries = journal.read_of(Some(customers.id()), Some(tag), &head).await.unwrap();
        entries.iter().any(|at| matches!(at.entry.event(), JournalEvent::ErasureIntended { .. }))
    }
}

/// The server does the work and its answer is lost; it does nothing; it refuses. Each run takes one of the three, a run with
/// `FIELDSEAL_SOAK` all.
fn faults() -> Vec<(&'static str, Value)> {
    let faults = [
        ("no-answer", json!({ "response": { "abort_bytes": 0 } })),
        ("reset", json!({ "reset": true })),
        ("failed", json!({ "error": { "code": "InternalServerError", "status": 500 } })),
    ];
    (0..).zip(faults).filter(|(n, _)| is_drawn(*n, 3)).map(|(_, fault)| fault).collect()
}

/// More requests than an erasure makes.
const MOST: u32 = 40;

/// One that was answered with Ok is done. One that failed is finished by whoever starts next, if its intent is in the
/// journal, and else as if it had not been asked for: never something in between, and never undone.
pub(crate) async fn an_erasure_is_done_or_finished_and_never_undone(servers: &Servers) {
    let shop = Shop::new(servers).await;
    let once = guard().attempts(1);
    for (name, fault) in faults() {
        let subjects: Vec<_> = (0..MOST).map(|answered| customer(format!("{name}-{answered}"))).collect();
        let page = shop.direct().await.enroll_all(&subjects).await.unwrap();
        let (mut begun, mut not_begun) = (0, 0);
        for (answered, subject) in (0..).zip(&subjects) {
            let sealed = page.get(subject).unwrap().seal_bytes(b"ada", &context()).unwrap();
            let (erased, _) = shop.erase(subject, &once, &fault, answered, None).await;
            if let Err(error) = &erased {
                is_of(error, &[Kind::Store(S::Unavailable), Kind::Journal(J::Unavailable)], subject.id());
            }
            let next = shop.direct().await;
            let is_intended = shop.is_intended(&next, &next.tag(subject).await.unwrap()).await;
            match next.keys(subject).await {
                Ok(keys) if !is_intended => {
                    assert!(erased.is_err(), "{}", subject.id());
                    assert!(keys.open_bytes(&sealed, &context()).unwrap().is_some());
                    next.erase(subject, &ErasureRequest::new()).await.unwrap();
                }
                Err(Error::SubjectErased { .. }) => assert!(is_intended, "{}", subject.id()),
                other => panic!("{}: {other:?}", subject.id()),
            }
            match erased {
                Ok(()) => break,
                Err(_) if is_intended => begun += 1,
                Err(_) => not_begun += 1,
            }
        }
        assert!(begun > 0 && not_begun > 0 && begun + not_begun < MOST, "{name}: {begun}, {not_begun}");
        shop.are_erased(subjects.iter().take(usize::try_from(begun + not_begun).unwrap() + 1)).await;
    }
}

/// A second attempt does what the first one didn't, or finds that it did.
pub(crate) async fn an_erasure_gets_over_one_failure_wherever_it_is(servers: &Servers) {
    let shop = Shop::new(servers).await;
    let twice = guard().attempts(2);
    for (name, fault) in faults() {
        let subjects: Vec<_> = (0..MOST).map(|answered| customer(format!("{name}-{answered}"))).collect();
        shop.direct().await.enroll_all(&subjects).await.unwrap();
        let mut erased = 0;
        for (answered, subject) in (0..).zip(&subjects) {
            let (done, met) = shop.erase(subject, &twice, &fault, answered, Some(1)).await;
            done.unwrap();
            erased += 1;
            if !met {
                break;
            }
        }
        assert!((2..subjects.len()).contains(&erased), "{name}: it met the fault wherever it could");
        shop.are_erased(subjects.iter().take(erased)).await;
    }
}
