//! What a test's world stands on: ports in memory, or in PostgreSQL. The tests are the same on each.
//!
//! They are libtest-mimic's, because which servers there are is known only when they run. A server is started by the first
//! test that needs it, and every world has a schema of its own there.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test needs a part of it")]

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

use fieldseal::journal::{ErasureJournal, MemoryJournal};
use fieldseal::store::{Expected, Filter, KeyStore, MemoryStore, Scan};
use futures_util::future::LocalBoxFuture;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime;

#[cfg(feature = "store-postgres")]
use crate::cluster::{Cluster, Schema};
#[cfg(feature = "store-postgres")]
use crate::postgres::Which;

type Result<T = ()> = fieldseal::Result<T>;

#[derive(Clone)]
pub(crate) enum Ground {
    Memory,
    #[cfg(feature = "store-postgres")]
    Postgres(Arc<Cluster>),
}

/// A new key store and a new journal, as one process has them.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) store: Kept,
    pub(crate) journal: Arc<dyn ErasureJournal>,
}

/// A key store of which backups are taken.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) at: At,
}

/// Where it is.
#[derive(Clone)]
pub(crate) enum At {
    Memory,
    #[cfg(feature = "store-postgres")]
    Postgres(Arc<Cluster>, Arc<Schema>),
}

impl Kept {
    fn in_memory() -> Self {
        Self { store: Arc::new(MemoryStore::new()), at: At::Memory }
    }

    /// What a restore of a backup that is taken now gives.
    pub(crate) async fn backup(&self) -> Result<Self> {
        match &self.at {
            At::Memory => {
                let copy = Self::in_memory();
                for slot in self.store.scan(&Scan::new(Filter::All).limit(1000)).await?.slots {
                    copy.store.put(&slot, Expected::Absent).await?;
                }
                Ok(copy)
            }
            #[cfg(feature = "store-postgres")]
            At::Postgres(cluster, schema) => Cluster::backup(cluster, schema).await,
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

impl Ground {
    /// As two processes have them: what they share is the store and the journal, and no connection.
    pub(crate) async fn ports(&self) -> Result<[Ports; 2]> {
        match self {
            Self::Memory => {
                let ports = Ports { store: Kept::in_memory(), journal: Arc::new(MemoryJournal::new()?) };
                Ok([ports.clone(), ports])
            }
            #[cfg(feature = "store-postgres")]
            Self::Postgres(cluster) => Cluster::ports(cluster).await,
        }
    }

    /// How often a race is run: `FIELDSEAL_ROUNDS`, or what takes a few seconds.
    pub(crate) fn rounds(&self) -> u64 {
        let usual = if self.is_memory() { 1000 } else { 30 };
        std::env::var("FIELDSEAL_ROUNDS").map_or(usual, |rounds| rounds.parse().unwrap())
    }

    pub(crate) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory)
    }
}

/// A test, with its name.
pub(crate) struct Test {
    pub(crate) name: String,
    body: Arc<Body>,
    /// Whether it is run in memory alone: it polls by hand, and knows what each poll does.
    in_memory: bool,
}

type Body = dyn Fn(Ground) -> LocalBoxFuture<'static, Result> + Send + Sync;

impl Test {
    pub(crate) fn new(
        name: impl Into<String>,
        body: impl Fn(Ground) -> LocalBoxFuture<'static, Result> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), body: Arc::new(body), in_memory: false }
    }

    pub(crate) fn in_memory(self) -> Self {
        Self { in_memory: true, ..self }
    }
}

/// Functions as tests. One that is left out is never used, which the compiler says.
macro_rules! tests {
    ($($name:ident)* $(; in memory: $($in_memory:ident)*)?) => {
        pub(crate) fn tests() -> Vec<crate::ground::Test> {
            use crate::ground::Test;
            let named = |name: &str| format!("{}::{name}", module_path!()).split_once("::").unwrap().1.to_owned();
            vec![
                $(Test::new(named(stringify!($name)), |on| Box::pin(async move { $name(&on).await })),)*
                $($(Test::new(named(stringify!($in_memory)), |on| Box::pin(async move { $in_memory(&on).await })).in_memory(),)*)?
            ]
        }
    };
}
pub(crate) use tests;

/// Which versions of PostgreSQL tests are run on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Servers {
    All,
    /// Where it is the number of tests that counts, not how a version answers.
    Newest,
}

/// Runs the tests in memory, and on these servers.
#[cfg_attr(not(feature = "store-postgres"), expect(unused_variables, reason = "there are no servers"))]
pub(crate) fn run(tests: &[Test], on: Servers) -> ExitCode {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runtime = Arc::new(runtime);
    let mut trials = Vec::new();
    for Test { name, body, .. } in tests {
        let (runtime, body) = (runtime.clone(), body.clone());
        trials.push(Trial::test(format!("memory::{name}"), move || {
            runtime.block_on(body(Ground::Memory)).map_err(|e| Failed::from(format!("{e:?}")))
        }));
    }
    #[cfg(feature = "store-postgres")]
    for &which in match on {
        Servers::All => &Which::ALL[..],
        Servers::Newest => &[Which::Embedded],
    } {
        let cluster = Arc::new(tokio::sync::OnceCell::new());
        for Test { name, body, .. } in tests.iter().filter(|test| !test.in_memory) {
            let (runtime, body, cluster) = (runtime.clone(), body.clone(), cluster.clone());
            let test = move || {
                runtime
                    .block_on(async {
                        match cluster.get_or_init(|| Cluster::start(which)).await.clone() {
                            Some(cluster) => body(Ground::Postgres(cluster)).await.map(|()| Completion::Completed),
                            None => Ok(Completion::ignored_with("it is not installed")),
                        }
                    })
                    .map_err(|e| Failed::from(format!("{e:?}")))
            };
            let trial = Trial::ignorable_test(format!("{}::{name}", which.name()), test);
            trials.push(trial.with_ignored_flag(which.skip()));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
