//! A PostgreSQL server that the worlds of a test share: a database of key stores and one of journals, in which each world
//! has a schema of its own; and key stores that were restored from a backup, each in a database of its own.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::postgres::{Databases, Server};

/// Its pools are of the runtime that it was started on.
#[derive(Debug)]
pub struct Cluster {
    // Before the server: they are dropped in this order.
    pools: [Pools; 2],
    database: PgConnectOptions,
    databases: Databases,
    worlds: AtomicU32,
}

/// One process's.
#[derive(Debug)]
pub struct Pools {
    /// To the database of key stores.
    pub stores: PgPool,
    /// To that of journals.
    pub journals: PgPool,
}

/// Where a key store is.
#[derive(Debug)]
pub struct Schema {
    /// The database.
    pub database: PgConnectOptions,
    /// The schema's name, there and in the database of journals.
    pub name: String,
}

impl Cluster {
    /// On the server of these databases. `None` if it isn't installed.
    pub async fn start(databases: &Databases) -> Option<Arc<Self>> {
        let server = databases.server()?;
        let (database, journals) = (server.database().await, server.database().await);
        let pools = [(); 2].map(|()| Pools { stores: pool(&database), journals: pool(&journals) });
        Some(Arc::new(Self { pools, database, databases: databases.clone(), worlds: AtomicU32::new(0) }))
    }

    /// Two processes' pools: what the two share is the databases, and no connection.
    pub fn pools(&self) -> &[Pools; 2] {
        &self.pools
    }

    /// Where a new world's key store is to be.
    pub fn schema(&self) -> Schema {
        let name = format!("world_{}", self.worlds.fetch_add(1, Ordering::Relaxed));
        Schema { database: self.database.clone(), name }
    }

    /// A backup of a key store by `pg_dump`, restored in a new database: where that is, and a pool to it.
    pub async fn backup(&self, schema: &Schema) -> (Schema, PgPool) {
        let server = self.databases.server().expect("it was started");
        let from = schema.database.get_database().unwrap();
        let database = server.database().await;
        let to = database.get_database().unwrap();
        let mut dump =
            program(server, "pg_dump").args(["-n", &schema.name, from]).stdout(Stdio::piped()).spawn().unwrap();
        let dumped = dump.stdout.take().unwrap();
        let restored =
            program(server, "psql").args(["-q", "-v", "ON_ERROR_STOP=1", to]).stdin(dumped).output().unwrap();
        assert!(restored.status.success(), "psql: {}", String::from_utf8_lossy(&restored.stderr));
        assert!(dump.wait().unwrap().success(), "pg_dump");
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(database.clone());
        (Schema { database, name: schema.name.clone() }, pool)
    }
}

fn program(server: &Server, name: &str) -> Command {
    let mut command = server.command(name);
    command.args(["-U", "postgres", "-p", "5432", "-h"]).arg(server.dir());
    command
}

fn pool(database: &PgConnectOptions) -> PgPool {
    PgPoolOptions::new().max_connections(8).connect_lazy_with(database.clone())
}
