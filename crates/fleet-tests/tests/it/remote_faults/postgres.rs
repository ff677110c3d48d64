//! Slots in PostgreSQL, behind a microburst that speaks its protocol.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use fieldseal::Vault;
use fieldseal::guard::Guarded;
use fieldseal::journal::MemoryJournal;
use fieldseal::provider::LocalKeyring;
use fieldseal::store::StoreErrorKind as S;
use fieldseal_sqlx::PostgresStore;
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::net::{TcpStream, UnixStream};

use fleet_tests::postgres::Server;
use fleet_tests::service::{Service, free_port};

use super::load::{self, Kind, guard, prepare};

/// A put may have landed when its answer is lost: it is looked for, and counts.
pub(crate) async fn a_connection_that_breaks_is_unavailable_and_nothing_is_lost() {
    let server = Server::start().await.unwrap();
    let database = server.database().await;
    PostgresStore::builder(pool(&database, PATIENT).await).migrate().await.unwrap();
    let upstream = over_tcp(&database).await;
    let data = Cell::new(0);
    let way = Service::start("microburst", |command, port, _| {
        data.set(free_port());
        command.args(["--protocol", "postgres", "--host", "127.0.0.1", "--upstream", &upstream]);
        command.args(["--port", &data.get().to_string(), "--control-port", &port.to_string()]);
    });
    let mut tries = 0;
    while TcpStream::connect(("127.0.0.1", data.get())).await.is_err() {
        tries += 1;
        assert!(tries < 1200, "microburst does not take its port: {}", way.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let through = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(data.get()).username("postgres");
    let through = through.database(database.get_database().unwrap());
    let keyring = LocalKeyring::ephemeral().unwrap();
    let journal = Arc::new(MemoryJournal::new().unwrap());
    let vault = async |database: &PgConnectOptions, patience| {
        let store = PostgresStore::new(pool(database, patience).await).await.unwrap();
        let store = Guarded::new(store, &guard());
        Vault::builder(keyring.clone(), store).kinds(["customer"]).journal(journal.clone()).build().await.unwrap()
    };
    prepare(&vault(&database, PATIENT).await).await;
    for (name, fault, kinds) in [
        ("reset", json!({ "reset": true }), &[S::Unavailable] as &[S]),
        ("cut", json!({ "partial_rows": 0 }), &[S::Unavailable]),
        ("shutdown", json!({ "error": { "sqlstate": "57P01", "severity": "FATAL" } }), &[S::Unavailable]),
        ("full", json!({ "error": { "sqlstate": "53300", "severity": "FATAL" } }), &[S::Unavailable]),
        ("serialization", json!({ "error": { "sqlstate": "40001" } }), &[S::Throttled]),
        ("slow", json!({ "latency": { "min": 1, "max": 20 } }), &[]),
    ] {
        let kinds: Vec<_> = kinds.iter().copied().map(Kind::Store).collect();
        // sqlx's pool asks a server that is full again and again, until its own time is up. What must succeed has as long.
        let patience = if name == "full" { Duration::from_secs(3) } else { PATIENT };
        let (far, near) = (async || vault(&through, patience).await, async || vault(&database, PATIENT).await);
        load::suffer(far, near, &way.url(), name, &fault, &kinds).await;
    }
}

/// How long a connection is waited for, on a busy machine.
const PATIENT: Duration = Duration::from_secs(30);

async fn pool(database: &PgConnectOptions, patience: Duration) -> PgPool {
    let options = PgPoolOptions::new().max_connections(6).acquire_timeout(patience);
    options.connect_with(database.clone()).await.unwrap()
}

/// The server listens on a Unix socket alone: what comes over TCP is handed on.
async fn over_tcp(database: &PgConnectOptions) -> String {
    let socket = database.get_socket().unwrap().join(format!(".s.PGSQL.{}", database.get_port()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}
