//! The library's own tests of a [`World`](fieldseal_testkit::world::World), on PostgreSQL: the modules of `tests/it`, where
//! they are run in memory. Each world has a schema of its own, in a database of key stores and in one of journals. Lives are
//! run on files as well: a key store of SQLite and a journal file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldseal::journal::FileJournal;
use fieldseal_sqlx::{PostgresJournal, PostgresStore, SqliteStore};
use fieldseal_testkit::world::{Backup, Ground, Ports, is_drawn};
use fleet_tests::cluster::{Cluster, Pools, Schema};
use fleet_tests::harness::{Alone, Completion, Failed, Trial};
use fleet_tests::postgres::{Databases, Which};
use futures_util::future::LocalBoxFuture;
use tokio::runtime;
use tokio::sync::OnceCell;

use common::Result;

/// A test that is run on a ground, with its name.
pub(crate) struct Test {
    name: String,
    body: Box<dyn FnOnce(Ground) -> LocalBoxFuture<'static, Result> + Send>,
}

impl Test {
    fn new(
        module: &str,
        name: &str,
        body: impl FnOnce(Ground) -> LocalBoxFuture<'static, Result> + Send + 'static,
    ) -> Self {
        let (_, module) = module.split_once("::ground::").unwrap();
        Self { name: format!("{module}::{name}"), body: Box::new(body) }
    }
}

/// As that of `tests/it/ground.rs`; what is for memory alone is left out.
macro_rules! tests {
    ($($test:ident)* $(; in memory: $($in_memory:ident)*)?) => {
        pub(crate) fn tests() -> Vec<crate::ground::Test> {
            $($(let _ = $in_memory;)*)?
            vec![$(
                crate::ground::Test::new(module_path!(), stringify!($test), |on| Box::pin(async move { $test(&on).await })),
            )*]
        }
    };
    ({ $($test:ident)* $(; in memory: $($in_memory:ident)*)? } $operations:tt) => {
        pub(crate) fn tests() -> Vec<crate::ground::Test> {
            $($(let _ = $in_memory;)*)?
            let mut tests = Vec::new();
            $(tests! { @each tests $test $operations })*
            tests
        }
    };
    (@each $tests:ident $test:ident [$($operation:ident)*]) => {
        $({
            let name = concat!(stringify!($test), "::", stringify!($operation));
            $tests.push(crate::ground::Test::new(module_path!(), name, |on| {
                Box::pin(async move { $test(Operation::$operation, &on).await })
            }));
        })*
    };
}

#[macro_use]
#[path = "../../../../tests/it/operations.rs"]
mod operations;
#[path = "../../../../tests/it/common.rs"]
mod common;

#[path = "../../../../tests/it/cancel.rs"]
mod cancel;
#[path = "../../../../tests/it/faults.rs"]
mod faults;
#[path = "../../../../tests/it/lifecycle/mod.rs"]
mod lifecycle;
#[path = "../../../../tests/it/lives.rs"]
mod lives;
#[path = "../../../../tests/it/races.rs"]
mod races;

/// Those on files: in memory where there is such a place, because calls are abandoned there and no machine fails.
pub(crate) fn trials_on_files() -> Vec<Trial> {
    let trial = |Test { name, body }| {
        Alone::new().threads(2).trial(format!("files::{name}"), async move || {
            let folder = Arc::new(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
            let worlds = AtomicU32::new(0);
            let ground =
                Ground::new(move || files(folder.path().join(worlds.fetch_add(1, Ordering::Relaxed).to_string())));
            body(ground).await
        })
    };
    lives::tests().into_iter().map(trial).collect()
}

async fn files(folder: PathBuf) -> Result<[Ports; 2]> {
    std::fs::create_dir(&folder).unwrap();
    Ok([open_files(&folder).await?, open_files(&folder).await?])
}

async fn open_files(folder: &Path) -> Result<Ports> {
    let store = SqliteStore::open(folder.join("keys.db")).await?;
    Ok(Ports::new(store, FileJournal::open(folder.join("journal")).await?))
}

/// Races on every version. Of the others it is the number that counts, not how a version answers. Of those on the life cycle,
/// each run takes one in two: all of them pass in memory each time.
pub(crate) fn trials(databases: &Databases) -> Vec<Trial> {
    let mut tests = races::tests();
    if databases.which() == Which::Embedded {
        tests.extend(cancel::tests());
        tests.extend(faults::tests());
        let drawn = lifecycle_tests().zip(0..).filter(|(_, n)| is_drawn(*n, 2));
        tests.extend(drawn.map(|(test, _)| test));
    }
    let shared = Arc::new(Shared::new(databases.clone()));
    tests.into_iter().map(|test| shared.clone().trial(test)).collect()
}

fn lifecycle_tests() -> impl Iterator<Item = Test> {
    let modules = [
        lifecycle::corners::tests(),
        lifecycle::damage::tests(),
        lifecycle::entries::tests(),
        lifecycle::epochs::tests(),
        lifecycle::erasure::tests(),
        lifecycle::inventory::tests(),
        lifecycle::provider::tests(),
        lifecycle::restore::tests(),
        lifecycle::rotate_page::tests(),
        lifecycle::rotation::tests(),
        lifecycle::runbook::tests(),
        lifecycle::several::tests(),
        lifecycle::succession::tests(),
    ];
    modules.into_iter().flatten()
}

/// One runtime for all, because pools are of the runtime that they were made on.
struct Shared {
    databases: Databases,
    runtime: runtime::Runtime,
    cluster: OnceCell<Option<Arc<Cluster>>>,
}

impl Shared {
    fn new(databases: Databases) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { databases, runtime, cluster: OnceCell::new() }
    }

    fn trial(self: Arc<Self>, test: Test) -> Trial {
        let (which, Test { name, body }) = (self.databases.which(), test);
        let run = move || match self.ground() {
            Some(ground) => match self.runtime.block_on(body(ground)) {
                Ok(()) => Ok(Completion::Completed),
                Err(e) => Err(Failed::from(format!("{e:?}"))),
            },
            None => Ok(Completion::ignored_with("it is not installed")),
        };
        Trial::ignorable_test(format!("{}::{name}", which.name()), run).with_ignored_flag(which.skip())
    }

    /// `None` if PostgreSQL isn't installed.
    fn ground(&self) -> Option<Ground> {
        self.databases.server()?;
        let start = self.cluster.get_or_init(|| Cluster::start(&self.databases));
        let cluster = self.runtime.block_on(start).clone()?;
        Some(Ground::new(move || ports(cluster.clone())))
    }
}

async fn ports(cluster: Arc<Cluster>) -> Result<[Ports; 2]> {
    let schema = Arc::new(cluster.schema());
    let [one, other] = cluster.pools();
    PostgresStore::builder(one.stores.clone()).schema(&schema.name).migrate().await?;
    PostgresJournal::builder(one.journals.clone()).schema(&schema.name).migrate().await?;
    Ok([open(&cluster, &schema, one).await?, open(&cluster, &schema, other).await?])
}

async fn open(cluster: &Arc<Cluster>, schema: &Arc<Schema>, pools: &Pools) -> Result<Ports> {
    let store = PostgresStore::builder(pools.stores.clone()).schema(&schema.name).lock_timeout(PATIENCE);
    let journal = PostgresJournal::builder(pools.journals.clone()).schema(&schema.name).lock_timeout(PATIENCE);
    let store = dumped(cluster.clone(), schema.clone(), store.open().await?);
    Ok(Ports::with_backup(store, journal.open().await?))
}

/// A key store of which backups are taken by `pg_dump`, and restored in a new database.
fn dumped(cluster: Arc<Cluster>, schema: Arc<Schema>, store: PostgresStore) -> Backup {
    Backup::new(store, move || {
        let (cluster, schema) = (cluster.clone(), schema.clone());
        async move {
            let (schema, pool) = cluster.backup(&schema).await;
            let store = PostgresStore::builder(pool).schema(&schema.name).lock_timeout(PATIENCE).open().await?;
            Ok(dumped(cluster, Arc::new(schema), store))
        }
    })
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
