//! A PostgreSQL server that the worlds of a test share: a database of key stores and one of journals, in which each world
//! has a schema of its own; and key stores that were restored from a backup, each in a database of its own.
#![allow(dead_code, reason = "each test needs a part of it")]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fieldseal::journal::PostgresJournal;
use fieldseal::store::PostgresStore;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::ground::{At, Kept, Ports};
use crate::postgres::{Server, Which};

type Result<T = ()> = fieldseal::Result<T>;

pub(crate) struct Cluster {
    // Before the server: they are dropped in this order.
    pools: [Pools; 2],
    database: PgConnectOptions,
    server: Server,
    worlds: AtomicU32,
}

/// One process's.
struct Pools {
    stores: PgPool,
    journals: PgPool,
}

/// Where a key store is.
pub(crate) struct Schema {
    pub(crate) database: PgConnectOptions,
    pub(crate) name: String,
}

impl Cluster {
    /// `None` if it isn't installed.
    pub(crate) async fn start(which: Which) -> Option<Arc<Self>> {
        let server = Server::start_with(which, &["fsync=off", "max_connections=300"]).await?;
        let (database, journals) = (server.database().await, server.database().await);
        let pools = [(); 2].map(|()| Pools { stores: pool(&database), journals: pool(&journals) });
        Some(Arc::new(Self { pools, database, server, worlds: AtomicU32::new(0) }))
    }

    /// Of a new world, on two pools.
    pub(crate) async fn ports(cluster: &Arc<Self>) -> Result<[Ports; 2]> {
        let name = format!("world_{}", cluster.worlds.fetch_add(1, Ordering::Relaxed));
        PostgresStore::builder(cluster.pools[0].stores.clone()).schema(&name).migrate().await?;
        PostgresJournal::builder(cluster.pools[0].journals.clone()).schema(&name).migrate().await?;
        let schema = Arc::new(Schema { database: cluster.database.clone(), name });
        let [one, two] = &cluster.pools;
        Ok([Self::open(cluster, &schema, one).await?, Self::open(cluster, &schema, two).await?])
    }

    async fn open(cluster: &Arc<Self>, schema: &Arc<Schema>, pools: &Pools) -> Result<Ports> {
        let store =
            PostgresStore::builder(pools.stores.clone()).schema(&schema.name).lock_timeout(PATIENCE).open().await?;
        let journal =
            PostgresJournal::builder(pools.journals.clone()).schema(&schema.name).lock_timeout(PATIENCE).open().await?;
        let store = Kept { store: Arc::new(store), at: At::Postgres(cluster.clone(), schema.clone()) };
        Ok(Ports { store, journal: Arc::new(journal) })
    }

    /// By `pg_dump`, and restored in a new database.
    pub(crate) async fn backup(cluster: &Arc<Self>, schema: &Arc<Schema>) -> Result<Kept> {
        let from = schema.database.get_database().unwrap();
        let database = cluster.server.database().await;
        let to = database.get_database().unwrap();
        let mut dump =
            cluster.program("pg_dump").args(["-n", &schema.name, from]).stdout(Stdio::piped()).spawn().unwrap();
        let dumped = dump.stdout.take().unwrap();
        let restored =
            cluster.program("psql").args(["-q", "-v", "ON_ERROR_STOP=1", to]).stdin(dumped).output().unwrap();
        assert!(restored.status.success(), "psql: {}", String::from_utf8_lossy(&restored.stderr));
        assert!(dump.wait().unwrap().success(), "pg_dump");
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(database.clone());
        let store = PostgresStore::builder(pool).schema(&schema.name).lock_timeout(PATIENCE).open().await?;
        let schema = Arc::new(Schema { database, name: schema.name.clone() });
        Ok(Kept { store: Arc::new(store), at: At::Postgres(cluster.clone(), schema) })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = self.server.command(name);
        command.args(["-U", "postgres", "-p", "5432", "-h"]).arg(self.server.dir());
        command
    }
}

fn pool(database: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(8).connect_lazy_with(database.clone())
}

/// How long writers wait for one another on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
