//! Master keys at KMS and slots in DynamoDB, on an emulator each, each behind a microburst of its own.

use std::sync::Arc;

use fieldseal::Vault;
use fieldseal::guard::Guarded;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::ProviderErrorKind as P;
use fieldseal::store::StoreErrorKind as S;
use fieldseal_aws::AwsKms;
use fieldseal_aws::{DynamoDbLayout, DynamoDbStore};
use serde_json::{Value, json};

use fleet_tests::dynamodb;
use fleet_tests::harness::soak;
use fleet_tests::kms::{self, HOME};
use fleet_tests::microburst::Microburst;
use tokio::sync::OnceCell;

use super::Servers;
use super::load::{self, Kind, guard, prepare};

/// A vault's ports, over ways that break when they are told to.
pub(crate) struct Remote<'a> {
    servers: &'a Servers,
    to_kms: OnceCell<Microburst>,
    to_dynamodb: OnceCell<Microburst>,
    alias: String,
    table: String,
    pub(crate) journal: Arc<MemoryJournal>,
}

impl<'a> Remote<'a> {
    /// In which everybody is enrolled.
    pub(crate) async fn new(servers: &'a Servers) -> Self {
        let world = Self::empty(servers).await;
        prepare(&world.direct().await).await;
        world
    }

    /// In which nobody is.
    pub(crate) async fn empty(servers: &'a Servers) -> Self {
        let client = kms::client(&servers.kms.url(), HOME);
        let (id, _) = kms::key(client.create_key()).await;
        let world = Self {
            servers,
            to_kms: OnceCell::new(),
            to_dynamodb: OnceCell::new(),
            alias: kms::alias(&client, &id).await,
            table: dynamodb::fresh(),
            journal: Arc::new(MemoryJournal::new().unwrap()),
        };
        let layout = DynamoDbLayout::new().partitions(5).floors(4);
        world.store(&servers.dynamodb.url()).create_table_with(layout).await.unwrap();
        world
    }

    /// The microburst before KMS.
    pub(crate) async fn to_kms(&self) -> &Microburst {
        self.to_kms.get_or_init(|| self.servers.kms.microburst()).await
    }

    /// The microburst before DynamoDB.
    pub(crate) async fn to_dynamodb(&self) -> &Microburst {
        self.to_dynamodb.get_or_init(|| self.servers.dynamodb.microburst()).await
    }

    pub(crate) fn provider(&self, url: &str) -> AwsKms {
        AwsKms::new(kms::client(url, HOME), &self.alias).unwrap()
    }

    pub(crate) fn store(&self, url: &str) -> DynamoDbStore {
        DynamoDbStore::new(dynamodb::client(url), &self.table)
    }

    /// Points the alias at a new key.
    pub(crate) async fn rotate(&self) {
        kms::repoint(&kms::client(&self.servers.kms.url(), HOME), &self.alias).await;
    }

    /// A vault that nothing is between.
    pub(crate) async fn direct(&self) -> Vault {
        self.over(&self.servers.kms.url(), &self.servers.dynamodb.url()).await
    }

    /// A vault on ports at these addresses.
    pub(crate) async fn over(&self, kms: &str, dynamodb: &str) -> Vault {
        Vault::builder(self.provider(kms), self.store(dynamodb))
            .kinds(["customer"])
            .journal(self.journal.clone())
            .build()
            .await
            .unwrap()
    }

    /// A vault behind guards, over the ways that break.
    async fn far(&self) -> Vault {
        let provider = Guarded::new(self.provider(&self.to_kms().await.url()), &guard());
        let store = Guarded::new(self.store(&self.to_dynamodb().await.url()), &guard());
        Vault::builder(provider, store).kinds(["customer"]).journal(self.journal.clone()).build().await.unwrap()
    }
}

/// One fault on one of the ways.
async fn suffer(world: &Remote<'_>, to: &Microburst, name: &str, fault: &Value, kinds: &[Kind]) {
    load::suffer(async || world.far().await, async || world.direct().await, &to.url(), name, fault, kinds).await;
}

fn error(code: &str, status: u16) -> Value {
    json!({ "error": { "code": code, "status": status } })
}

/// One error of each kind; every one with `FIELDSEAL_SOAK`. Which code is of which kind, the provider's own tests say.
pub(crate) async fn each_error_of_kms_comes_out_as_its_kind(servers: &Servers) {
    let world = Remote::new(servers).await;
    let mut seen = Vec::new();
    for (code, status, kinds) in [
        ("AccessDeniedException", 400, &[P::Denied] as &[P]),
        ("ExpiredTokenException", 400, &[P::Denied]),
        ("InvalidSignatureException", 400, &[P::Denied]),
        ("DisabledException", 400, &[P::Disabled]),
        // Which state that is, is asked: as long as that fails too, nobody knows, and then it is another one.
        ("KMSInvalidStateException", 400, &[P::Disabled, P::Unavailable]),
        // Whether the id, or the name, or neither is known: it is asked three times.
        ("NotFoundException", 400, &[P::UnknownKey, P::Misconfigured, P::Unavailable]),
        ("KeyUnavailableException", 500, &[P::Unavailable]),
        ("DependencyTimeoutException", 503, &[P::Unavailable]),
        ("KMSInternalException", 500, &[P::Unavailable]),
        ("ServiceUnavailable", 503, &[P::Unavailable]),
        ("ThrottlingException", 400, &[P::Throttled]),
        ("LimitExceededException", 400, &[P::Throttled]),
        // What was just wrapped and does not open is damaged.
        ("InvalidCiphertextException", 400, &[P::Authentication, P::Corrupt]),
        ("IncorrectKeyException", 400, &[P::Authentication, P::Corrupt]),
        ("InvalidKeyUsageException", 400, &[P::Misconfigured]),
        ("InvalidGrantTokenException", 400, &[P::Misconfigured]),
    ] {
        let kinds: Vec<_> = kinds.iter().copied().map(Kind::Provider).collect();
        if seen.contains(&kinds) && !soak() {
            continue;
        }
        seen.push(kinds.clone());
        suffer(&world, world.to_kms().await, code, &error(code, status), &kinds).await;
    }
}

/// One error of each kind; every one with `FIELDSEAL_SOAK`. Which code is of which kind, the store's own tests say.
pub(crate) async fn each_error_of_dynamodb_comes_out_as_its_kind(servers: &Servers) {
    let world = Remote::new(servers).await;
    let mut seen = Vec::new();
    for (code, status, kind) in [
        ("ProvisionedThroughputExceededException", 400, S::Throttled),
        ("ThrottlingException", 400, S::Throttled),
        ("RequestLimitExceeded", 400, S::Throttled),
        ("TransactionConflictException", 400, S::Throttled),
        ("TransactionCanceledException", 400, S::Throttled),
        ("TransactionInProgressException", 400, S::Throttled),
        ("InternalServerError", 500, S::Unavailable),
        ("ServiceUnavailable", 503, S::Unavailable),
        ("AccessDeniedException", 400, S::Denied),
        ("ExpiredTokenException", 400, S::Denied),
        ("ResourceNotFoundException", 400, S::Misconfigured),
        ("ItemCollectionSizeLimitExceededException", 400, S::Misconfigured),
        ("ValidationException", 400, S::Misconfigured),
    ] {
        if seen.contains(&kind) && !soak() {
            continue;
        }
        seen.push(kind);
        suffer(&world, world.to_dynamodb().await, code, &error(code, status), &[Kind::Store(kind)]).await;
    }
}

/// A write may have landed when its answer is lost: it is looked for, and counts.
pub(crate) async fn a_way_that_breaks_is_unavailable_and_nothing_is_lost(servers: &Servers) {
    let world = Remote::new(servers).await;
    for (name, fault) in [
        ("reset", json!({ "reset": true })),
        ("no-answer", json!({ "response": { "abort_bytes": 0 } })),
        ("broken-off", json!({ "response": { "abort_frac": 0.5 } })),
        ("cut", json!({ "response": { "truncate_frac": 0.5 } })),
        ("corrupted", json!({ "response": { "corrupt_bytes": 20 } })),
    ] {
        suffer(&world, world.to_kms().await, &format!("kms-{name}"), &fault, &[Kind::Provider(P::Unavailable)]).await;
        suffer(&world, world.to_dynamodb().await, &format!("table-{name}"), &fault, &[Kind::Store(S::Unavailable)])
            .await;
    }
}

pub(crate) async fn a_slow_way_fails_nothing(servers: &Servers) {
    let world = Remote::new(servers).await;
    let slow = json!({ "latency": { "min": 1, "max": 40 } });
    suffer(&world, world.to_kms().await, "slow-kms", &slow, &[]).await;
    suffer(&world, world.to_dynamodb().await, "slow-table", &slow, &[]).await;
}
